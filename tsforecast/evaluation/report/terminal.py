"""Comparisons in a terminal: a table, and a sentence for each model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from rich.console import Console

from tsforecast.estimators.registry import NETWORKS
from tsforecast.reporting.terminal import show_columns, wrap

if TYPE_CHECKING:
    from tsforecast.evaluation.classification import ClassificationResults
    from tsforecast.evaluation.results import ForecastResults

OTHER_SKILL = "The skill that fit prints is another one: of its validation steps, which chose the epoch"


def show_leaderboard(
    board: ForecastResults, title: str | None, console: Console, note_of: Callable[[str], str] = str
) -> None:
    """Print table, summary, a sentence for each model, one for the naive family, and those on intervals with scores."""
    shown = board.display_table
    styles = {name: "green" for name, skill in zip(shown["model"], board.table["skill"], strict=True) if skill > 0}
    if title:
        wrap(console, title, style="bold")
    show_columns(console, shown.columns, shown.itertuples(index=False), styles | {board.reference: "dim"})
    wrap(console, f"{board.headline}.", style="bold")
    wrap(console, f"{board.summary_line}.")
    if {*shown["model"]} & {*NETWORKS}:
        wrap(console, f"{OTHER_SKILL}.")
    for note in board.notes:
        wrap(console, f"Note: {note_of(note)}.", then=" " * len("Note: "))
    for sentence in _sentences(board):
        wrap(console, sentence, first="  ", then="    ")
    if board.calibrations:
        wrap(console, "Intervals:")
    for calibration in board.calibrations.values():
        wrap(console, str(calibration), first="  ", then="    ")
    wrap(console, f"{board.audit_line}.")


def _sentences(board: ForecastResults) -> Iterator[str]:
    """Yield a sentence for each model; those of the naive family share one."""
    naive = [name for name, verdict in board.verdicts.items() if verdict.outcome == "naive"]
    for name, verdict in board.verdicts.items():
        if name not in naive or len(naive) == 1:
            yield verdict.sentence
        elif name == naive[0]:
            yield f"{', '.join(naive[:-1])} and {naive[-1]} are naive forecasts too"


def show_classification(
    results: ClassificationResults, title: str | None, console: Console, note_of: Callable[[str], str] = str
) -> None:
    """Print a table for each protocol, a sentence for each model, the optimism of a random split, and notes."""
    from tsforecast.evaluation.classification import LABELS, REFERENCE

    if title:
        wrap(console, title, style="bold")
    wrap(console, f"{results.summary_line}.")
    better = {name: "green" for name, verdict in results.verdicts.items() if verdict.outcome == "better"}
    for protocol in results.protocols:
        wrap(console, f"{protocol}: {LABELS[protocol]}")
        shown = results.displayed(protocol)
        show_columns(console, shown.columns, shown.itertuples(index=False), better | {REFERENCE: "dim"})
    wrap(console, f"{results.headline}.", style="bold")
    for sentence in (*results.verdicts.values(), *results.optimism):
        wrap(console, str(sentence), first="  ", then="    ")
    for note in results.notes:
        wrap(console, f"Note: {note_of(note)}.", then=" " * len("Note: "))
