"""Figures of the page with the words around them; what does not apply to a board is left out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from numpy.typing import NDArray

from tsforecast.evaluation.board import Leaderboard
from tsforecast.evaluation.record import Fit, Record
from tsforecast.reporting import charts
from tsforecast.reporting.canvas import WORST, near, ranked
from tsforecast.reporting.plots import CUTOFFS, NEAREST, apart, forecasts, rows_of
from tsforecast.reporting.svg import Key, inline_svg, legend

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
