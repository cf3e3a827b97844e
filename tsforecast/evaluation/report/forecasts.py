"""One page that says what a leaderboard found: self-contained, for screens of any width and for paper."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, is_dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure
from numpy.typing import NDArray

from tsforecast.evaluation.record import Fit, Record
from tsforecast.evaluation.report import figures as charts
from tsforecast.evaluation.report.figures import CUTOFFS, NEAREST, apart, forecasts, gains_by, rows_of
from tsforecast.evaluation.results import SHOWN, Leaderboard
from tsforecast.evaluation.summaries import KEYS
from tsforecast.evaluation.verdict import Verdict
from tsforecast.reporting.figures import WORST, near, ranked
from tsforecast.reporting.page import moment, page, template
from tsforecast.reporting.svg import Key, inline_svg, legend
from tsforecast.training.history import Epoch, best_epoch

if TYPE_CHECKING:
    from tsforecast.evaluation.results import Leaderboard


MOST_ROWS = 200  # of a table that grows with the data; the rest is counted
NOTHING = "-"


@dataclass(frozen=True)
class Grid:
    """A table whose first column names its rows.

    Attributes
    ----------
    label : str
        What the table is, for those who cannot see it.
    columns : tuple of str
    rows : tuple of tuples of str
    words : tuple of str
        Columns after the first that hold words; the others hold numbers.
    marked : str
        Name of the row that the others are compared with.
    more : int
        How many rows there are beyond those shown.
    """

    label: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: tuple[str, ...] = ()
    marked: str = ""
    more: int = 0


def all_numbers(board: Leaderboard) -> Grid:
    """Return the table of a board.

    Examples
    --------
    >>> from tsforecast import leaderboard
    >>> all_numbers(leaderboard([], range(20), horizon=2)).rows[0][:3]
    ('drift', '0.000', '-')
    """
    shown = board.shown
    words = (SHOWN["leak_audit"][0],)
    return Grid("Errors of all models", tuple(shown.columns), _rows(shown), words, board.reference)


def wins(board: Leaderboard) -> Grid:
    """Return how often each model has the smaller error than each other one.

    Examples
    --------
    >>> from tsforecast import leaderboard
    >>> wins(leaderboard([], [1.0, 2.0, 4.0, 5.0, 7.0, 8.0, 10.0], horizon=1)).columns
    ('model', 'drift', 'naive', 'seasonal-naive')
    """
    rates = board.win_rates
    names = [name for name in board.table["model"] if name in rates.index]
    rows = [[name, *(_percent(rates.loc[name, other], name == other) for other in names)] for name in names]
    return Grid("Share of wins of each model over each other", ("model", *names), _rows(rows), marked=board.reference)


def every_series(board: Leaderboard) -> Grid:
    """Return the error on each series, those with the lowest skill of the best model first.

    Examples
    --------
    >>> import numpy as np
    >>> from tsforecast import leaderboard
    >>> every_series(leaderboard([], np.arange(20.0), horizon=2)).columns
    ('series', 'skill of naive', 'drift', 'naive', 'seasonal-naive')
    """
    models, errors = ranked(board), board.by("series")
    gains = gains_by(board, "series")[models[0]].reindex(errors.index).sort_values(kind="stable")
    digits = SHOWN[board.metric][1]
    rows = [
        [
            str(name),
            _cell(gain, "{:+.1%}"),
            *(_cell(errors.loc[name, model], digits) for model in [board.reference, *models]),
        ]
        for name, gain in gains.iloc[:MOST_ROWS].items()
    ]
    columns = ("series", f"skill of {models[0]}", board.reference, *models)
    return Grid(f"{board.metric.upper()} of each series", columns, _rows(rows), more=max(0, len(gains) - MOST_ROWS))


def fitted(fits: Sequence[Fit]) -> Grid:
    """Return what was fitted on what, one row for each fit, with the columns that say something.

    Examples
    --------
    >>> from tsforecast import leaderboard
    >>> board = leaderboard([], range(20), horizon=2)
    >>> fitted(board.record.fits).rows[0][:5]
    ('naive', '0', '17', 'passed (data)', '1')
    """
    columns = ("model", "seed", "learned from", "to", "left out", "scaling", "leak audit", "error")
    counts = ("series", "steps", "epochs", "kept epoch", "fit s", "predict s")
    rows = [
        [
            fit.model,
            NOTHING if fit.seed is None else str(fit.seed),
            *fit.learned_from,
            ", ".join(map(str, fit.left_out)) or NOTHING,
            fit.scaling or NOTHING,
            fit.leak_audit or NOTHING,
            fit.error or NOTHING,
            str(fit.series),
            str(fit.steps),
            *_epochs(fit),
            _cell(fit.fit_seconds, "{:.2f}"),
            _cell(fit.predict_seconds, "{:.3f}"),
        ]
        for fit in fits[:MOST_ROWS]
    ]
    told = pd.DataFrame(rows, columns=[*columns, *counts])
    told = told.loc[:, (told != NOTHING).any()]
    more = max(0, len(fits) - MOST_ROWS)
    return Grid("What was fitted on what", tuple(told.columns), _rows(told), words=columns, more=more)


def _epochs(fit: Fit) -> tuple[str, str]:
    """Return how many epochs a network was trained for, and which one was kept."""
    if not fit.history:
        return NOTHING, NOTHING
    history = [Epoch(**epoch) for epoch in fit.history]
    return str(history[-1].number), str(best_epoch(history).number)


def _rows(rows: pd.DataFrame | Iterable[Sequence[Any]]) -> tuple[tuple[str, ...], ...]:
    lines = rows.itertuples(index=False) if isinstance(rows, pd.DataFrame) else rows
    return tuple(tuple(map(str, line)) for line in lines)


def _percent(share: float, same: bool) -> str:
    return NOTHING if same else _cell(share, "{:.0%}")


def _cell(value: float, digits: str) -> str:
    """Return a number as text, or a dash where there is none."""
    return NOTHING if value is None or math.isnan(value) else digits.format(value)


def json_report(board: Leaderboard) -> str:
    """Return table, verdicts, views and record as JSON; what is no number is null.

    Examples
    --------
    >>> from tsforecast.evaluation.leaderboard import leaderboard
    >>> told = json.loads(json_report(leaderboard([], np.arange(20.0), horizon=2, origins=3)))
    >>> list(told)
    ['metric', 'reference', 'basis', 'proof', 'notes', 'table', 'verdicts', 'errors', 'win_rates', 'ranks', 'record']
    >>> told["errors"]["step"]["naive"]
    {'1': 1.0, '2': 2.0}
    """
    record = board.record.plain() if board.record else None
    told = {
        "metric": board.metric,
        "reference": board.reference,
        "basis": board.basis,
        "proof": board.proof,
        "notes": board.notes,
        "table": board.table.to_dict("records"),
        "verdicts": list(board.verdicts.values()),
        "errors": {key: board.by(key).to_dict() for key in KEYS if _has(board.rows, key)},
        "win_rates": board.win_rates.to_dict(),
        "ranks": board.ranks,
        "record": record and {name: value for name, value in record.items() if name != "past"},
    }
    return json.dumps(plain_data(told), indent=2, ensure_ascii=False, allow_nan=False)


def _has(rows: pd.DataFrame, key: str) -> bool:
    return key in rows and bool(rows[key].notna().any())


def plain_data(value: Any) -> Any:
    """Return a value as JSON holds it: text for keys and stamps, null for NaN and infinities."""
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, pd.Series):
        value = value.to_dict()
    if isinstance(value, dict):
        return {str(key): plain_data(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_data(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)


NETWORKS = 12  # whose training is drawn, at most
RUNS = 10  # of one network, at most


@dataclass(frozen=True)
class Picture:
    """A figure of the page.

    Attributes
    ----------
    title : str
    svg : markupsafe.Markup
    legend : list of Key
    caption : str
        How to read it.
    """

    title: str
    svg: Markup
    legend: list[Key]
    caption: str


def of_skill(board: Leaderboard) -> list[Picture]:
    """Return the skill of each model.

    Examples
    --------
    >>> import numpy as np
    >>> from tsforecast import leaderboard
    >>> [picture.title for picture in of_skill(leaderboard([], np.arange(20.0), horizon=2))]
    ['Skill of each model']
    """
    if not ranked(board):
        return []
    lines = "Lines are 95% intervals. " if any(np.isfinite(verdict.low) for verdict in board.verdicts.values()) else ""
    caption = (
        f"Right of the dashed line a model has a lower {board.metric.upper()} than {board.reference}. {lines}A filled "
        "dot beats the reference; a hollow one does not, or cannot be told from it."
    )
    return [picture("skill", "Skill of each model", charts.skill(board), caption)]


def of_forecasts(board: Leaderboard) -> list[Picture]:
    """Return forecasts of a typical series and of the worst one; of a single one, the newest and the worst."""
    past = board.record.past if board.record else None
    pictures: list[Picture] = []
    for place in _places(board):
        figure = forecasts(board, place.series, place.target, past, place.cutoffs)
        caption = f"{place.reason}{_left_out(board, NEAREST)}"
        pictures.append(picture(f"forecasts-{len(pictures)}", place.title, figure, caption))
    return pictures


def of_errors(board: Leaderboard) -> list[Picture]:
    """Return where the error lies: by step of the horizon, by place in the season, by group."""
    rows, pictures = board.rows, []
    metric, rest = board.metric.upper(), _left_out(board)
    if rows["step"].nunique() > 1:
        figure = charts.error_by(board, "step", "steps ahead")
        caption = f"Mean {metric} of all forecasts so many steps ahead; lower is better.{rest}"
        pictures.append(picture("by-step", "Error by step of the horizon", figure, caption))
    if "phase" in rows and rows["phase"].nunique() > 1:
        figure = charts.error_by(board, "phase", "place in the season, from 0")
        caption = f"Mean {metric} of all forecasts of that place in the season; lower is better.{rest}"
        pictures.append(picture("by-phase", "Error by place in the season", figure, caption))
    if "group" in rows and rows["group"].nunique() > 1 and ranked(board):
        total = rows["group"].nunique()
        shown = f" Shown are {charts.GROUPS} of {total} groups." if total > charts.GROUPS else ""
        caption = (
            f"Each line is a group that was left out of the fit; dots left of the bar have a lower {metric} than "
            f"{board.reference}. Groups where {ranked(board)[0]} gains least come first.{shown}{rest}"
        )
        pictures.append(picture("by-group", "Error by group", charts.error_by_group(board), caption))
    return pictures


def of_evenness(board: Leaderboard) -> list[Picture]:
    """Return how skill differs between series, and average ranks."""
    pictures: list[Picture] = []
    if ranked(board) and len(gains := charts.gains_by(board, "series")) > 1:
        best = ranked(board)[0]
        metric, share = board.metric.upper(), (gains[best] > 0).mean()
        caption = (
            f"Each tick is a series, of {len(gains)}. The dot is the median, the bar the middle half, the line the "
            f"middle 90%; skill below {WORST:.0%} is drawn there. {best} has a lower {metric} than {board.reference} "
            f"on {share:.0%} of the series."
        )
        pictures.append(picture("by-series", "Skill over series", charts.spread_of_skill(board), caption))
    if np.isfinite(board.ranks.critical_difference):  # else there is too little to rank
        pictures.append(picture("ranks", "Average rank", charts.ranks(board), _about_ranks(board)))
    return pictures


def of_training(record: Record | None) -> list[Picture]:
    """Return how the loss of each network fell while it was trained."""
    histories: dict[str, list[Fit]] = {}
    for fit in record.fits if record else ():
        if fit.history:
            histories.setdefault(fit.model, []).append(fit)
    pictures: list[Picture] = []
    for model, fits in list(histories.items())[:NETWORKS]:
        figure = charts.training([fit.history for fit in fits[:RUNS]])
        runs = f"One line for each of {min(len(fits), RUNS)} fits" if len(fits) > 1 else "One fit"
        rest = f" of {len(fits)}" if len(fits) > RUNS else ""
        caption = f"{runs}{rest}; the dot marks the epoch that was kept, the one with the lowest validation loss."
        pictures.append(picture(f"training-{len(pictures)}", model, figure, caption))
    return pictures


def picture(name: str, title: str, figure: Figure, caption: str) -> Picture:
    """Return a figure with its words; `name` stands before the ids in it."""
    return Picture(title, inline_svg(figure, name, f"{title}. {caption}"), legend(figure), caption)


@dataclass(frozen=True)
class _Place:
    """A series and cutoffs that are worth a look, and why."""

    title: str
    series: object
    target: object
    cutoffs: NDArray[Any]
    reason: str


def _places(board: Leaderboard) -> list[_Place]:
    """Return where to look: at a typical and at the worst series, or at the newest and the worst cutoff."""
    if not ranked(board):
        return [_newest(board, board.rows["series"].iloc[0], "", "")]
    best, many = ranked(board)[0], board.rows["series"].nunique() > 1
    gains = charts.gains_by(board, "series" if many else "cutoff")[best].sort_values(kind="stable")
    if len(gains) < 2:
        return [_newest(board, board.rows["series"].iloc[0], "", "")]
    worst, last = gains.index[0], f"{best} has a skill of {gains.iloc[0]:+.1%} here, its lowest."
    if many:
        middle = (len(gains) - 1) // 2
        typical = f"{best} has a skill of {gains.iloc[middle]:+.1%} here: half of the series have a higher one."
        return [
            _newest(board, gains.index[middle], "A typical series: ", typical),
            _newest(board, worst, "The worst series: ", last),
        ]
    newest = _newest(board, board.rows["series"].iloc[0], "", "")
    stamp = str(worst).removesuffix(" 00:00:00")
    return [newest, replace(newest, title=f"The worst cutoff: {stamp}", cutoffs=np.array([worst]), reason=last)]


def _newest(board: Leaderboard, series: object, title: str, reason: str) -> _Place:
    """Return the newest cutoffs of a series that do not overlap, as many as a figure has room for."""
    target = board.rows.loc[board.rows["series"] == series, "target"].iloc[0]
    rows = rows_of(board, series, target)
    total, shown = rows["cutoff"].nunique(), apart(rows)[-CUTOFFS:]
    which = "the only cutoff" if total == 1 else f"{len(shown)} of {total} cutoffs, the newest ones that do not overlap"
    told = f"Forecasts from {which} (dotted): right of it no model had seen the truth."
    return _Place(f"{title}{series}", series, target, shown, f"{told} {reason}".strip())


def _left_out(board: Leaderboard, most: int | None = None) -> str:
    """Say which models have no line of their own."""
    rest = [name for name in ranked(board) if name not in near(board)[:most]]
    return f" Left out: {', '.join(rest)}." if rest else ""


def _about_ranks(board: Leaderboard) -> str:
    """Say what was ranked, and what the critical difference is."""
    found = board.ranks
    return (
        f"Models ranked on each of {found.count} {found.unit}, then averaged. A grey line joins models that cannot be "
        f"told apart: their average ranks differ by no more than {found.critical_difference:.2f}, the critical "
        f"difference of the Nemenyi test at 5%."
    )


# Outcome of a verdict -> the word on its badge, in the order of the page.
BADGES = {
    "beats": "beats",
    "cannot be told": "not told",
    "reference": "reference",
    "does not beat": "does not",
    "cannot be compared": "failed",
    "failed": "failed",
}


def html_report(board: Leaderboard, title: str | None = None) -> str:
    """Return the report of a leaderboard as one HTML page that needs nothing else.

    Parameters
    ----------
    board : Leaderboard
    title : str, optional

    Returns
    -------
    str
        Verdicts come first, then all numbers, forecasts, where the error lies, how networks were trained, and what
        was fitted on what. Everything that came from data is escaped.

    Examples
    --------
    >>> from tsforecast import leaderboard
    >>> page = html_report(leaderboard(["mean"], range(20), horizon=2, origins=3))
    >>> page.startswith("<!doctype html>"), "mean does not beat drift" in page
    (True, True)
    """
    record = board.record
    return page(
        "report.html.jinja",
        title=title or f"Which models beat {board.reference}?",
        summary=_summary(board),
        made=moment(record.made) if record else "",
        board=board,
        record=record,
        badges=BADGES,
        verdicts=_in_order(board),
        skill=of_skill(board),
        numbers=all_numbers(board),
        forecasts=of_forecasts(board),
        errors=of_errors(board),
        evenness=of_evenness(board),
        wins=wins(board),
        training=of_training(record),
        facts=_facts(board),
        fits=fitted(record.fits) if record else None,
        settings=_settings(record) if record else {},
        series=every_series(board) if board.rows["series"].nunique() > 1 and ranked(board) else None,
    )


def html_table(board: Leaderboard) -> str:
    """Return table and verdicts of a leaderboard as HTML to stand in another page, such as a notebook.

    Examples
    --------
    >>> from tsforecast import leaderboard
    >>> html_table(leaderboard([], range(20), horizon=2)).count("<tr")
    4
    """
    return template("table.html.jinja").render(grid=all_numbers(board), board=board, verdicts=_in_order(board))


def _in_order(board: Leaderboard) -> list[Verdict]:
    """Return the verdicts, models that beat the reference first."""
    order = list(BADGES)
    return sorted(board.verdicts.values(), key=lambda verdict: order.index(verdict.outcome))


def _summary(board: Leaderboard) -> str:
    """Count the verdicts in a sentence."""
    words = [BADGES[verdict.outcome] for verdict in board.verdicts.values() if verdict.outcome != "reference"]
    beats, unsure, worse, failed = (words.count(word) for word in ("beats", "not told", "does not", "failed"))
    models = f"{len(words)} model" + ("" if len(words) == 1 else "s")
    parts = [f"{beats or 'None'} of {models} {'beats' if beats < 2 else 'beat'} {board.reference}"]
    parts += [f"{unsure} cannot be told from it"] if unsure else []
    parts += [f"{worse} {'does' if worse == 1 else 'do'} not"] if worse and worse < len(words) else []
    parts += [f"{failed} could not be compared"] if failed else []
    return "; ".join(parts) + "."


def _facts(board: Leaderboard) -> dict[str, str]:
    """Return what all models share, and where it came from."""
    rows, record = board.rows, board.record
    cutoffs = rows["cutoff"]
    first, last = _stamp(cutoffs.min()), _stamp(cutoffs.max())
    seeds = sorted(rows["seed"].dropna().unique()) if "seed" in rows else []
    facts = {
        "Cutoffs": first if first == last else f"{first} to {last}",
        "Last step tested": _stamp(rows["time"].max()),
        "Seeds": ", ".join(map(str, seeds)) or "none",
        "Leak audit": board.proof,
    }
    return _origin(record) | facts if record else facts


def _origin(record: Record) -> dict[str, str]:
    """Return what a record tells of data, protocol and machine."""
    again = "fitted anew at each cutoff" if record.refit else "fitted at the oldest cutoff"
    gap = f", {record.gap} steps of gap" if record.gap else ""
    cutoffs = "1 cutoff" if record.origins == 1 else f"{record.origins} cutoffs {record.step} steps apart"
    return {
        "Data": record.data,
        "Fingerprint of the data": record.fingerprint,
        "Protocol": (f"horizon {record.horizon}, {cutoffs}{gap}, {again}, season of {record.season_length} steps"),
        "Versions": ", ".join(f"{name} {version}" for name, version in record.versions.items()),
        "Machine": record.machine,
        "Made": moment(record.made),
    }


def _settings(record: Record) -> dict[str, str]:
    """Return how each model was set up, and what it chose by itself."""
    found = {}
    for fit in record.fits:
        chosen = ", ".join(f"{name}={value}" for name, value in fit.resolved.items())
        found[fit.model] = fit.settings + (f" chose {chosen}" if chosen else "")
    return found


def _stamp(value: object) -> str:
    """Return a time stamp without an hour of zeros."""
    return str(value).removesuffix(" 00:00:00") if isinstance(value, pd.Timestamp) else str(value)
