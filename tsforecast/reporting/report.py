"""One page that says what a leaderboard found: self-contained, for screens of any width and for paper."""

from __future__ import annotations

import pandas as pd

from tsforecast.evaluation.board import Leaderboard
from tsforecast.evaluation.record import Record
from tsforecast.evaluation.verdict import Verdict
from tsforecast.reporting import grids, pictures
from tsforecast.reporting.canvas import ranked
from tsforecast.reporting.page import moment, page, template

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
        skill=pictures.of_skill(board),
        numbers=grids.all_numbers(board),
        forecasts=pictures.of_forecasts(board),
        errors=pictures.of_errors(board),
        evenness=pictures.of_evenness(board),
        wins=grids.wins(board),
        training=pictures.of_training(record),
        facts=_facts(board),
        fits=grids.fitted(record.fits) if record else None,
        settings=_settings(record) if record else {},
        series=grids.every_series(board) if board.rows["series"].nunique() > 1 and ranked(board) else None,
    )


def html_table(board: Leaderboard) -> str:
    """Return table and verdicts of a leaderboard as HTML to stand in another page, such as a notebook.

    Examples
    --------
    >>> from tsforecast import leaderboard
    >>> html_table(leaderboard([], range(20), horizon=2)).count("<tr")
    4
    """
    return template("table.html.jinja").render(grid=grids.all_numbers(board), board=board, verdicts=_in_order(board))


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
