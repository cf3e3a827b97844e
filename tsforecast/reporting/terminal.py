"""Results for a person at a terminal."""

from __future__ import annotations

import textwrap
from itertools import accumulate
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tsforecast.evaluation.board import Leaderboard
from tsforecast.evaluation.ledger import AuditReport

if TYPE_CHECKING:
    from tsforecast.search.folder import Kept


def show_leaderboard(board: Leaderboard, title: str, console: Console) -> None:
    """Print the table, what was tested, and a sentence for each model.

    On a narrow terminal the columns that matter least are left out, and said to be.
    """
    shown = board.shown
    names = list(shown.columns[1:])
    widths = [max(map(len, [name, *shown[name]])) + 3 for name in names]  # space and rule around each
    room = console.width - max(map(len, shown["model"])) - 4
    kept = [name for name, reach in zip(names, accumulate(widths), strict=True) if reach <= room] or names[:1]
    _say(console, title, style="bold")
    table = Table()
    table.add_column("model", no_wrap=True)
    for name in kept:
        table.add_column(name, justify="right", no_wrap=True)
    for row, skill in zip(shown[["model", *kept]].itertuples(index=False), board.table["skill"], strict=True):
        style = "dim" if row[0] == board.reference else "green" if skill > 0 else None
        table.add_row(*map(escape, row), style=style)
    console.print(table)
    if len(kept) < len(names):
        _say(console, f"(left out for width: {', '.join(names[len(kept) :])})", style="dim")
    _say(console, f"{board.basis}.")
    for note in board.notes:
        _say(console, f"Note: {note}.", then=" " * len("Note: "))
    for verdict in board.verdicts.values():
        _say(console, verdict.sentence, first="  ", then="    ")
    _say(console, f"{board.proof}.")


def show_audit(report: AuditReport, title: str, console: Console) -> None:
    """Print the verdict of an audit, and a line for each probe."""
    _say(console, title, style="bold")
    shown = report.shown
    table = Table(*shown.columns)
    styles = {"LEAK": "bold red", "not run": "yellow"}
    for row in shown.itertuples(index=False):
        table.add_row(*(escape(str(cell)) for cell in row), style=styles.get(row.outcome))
    console.print(table)
    _say(console, f"{report.verdict}.")


def show_search(kept: Kept, title: str, console: Console) -> None:
    """Print what a search found, its best trials, and how all ended.

    On a narrow terminal the last columns are left out, and said to be.
    """
    # A page can be made of them, for which matplotlib is loaded: a leaderboard does not wait for that.
    from tsforecast.reporting.search_grids import best_trials
    from tsforecast.reporting.search_report import counts, headline
    from tsforecast.search.analysis import scored

    trials = kept.trials
    _say(console, title, style="bold")
    _say(console, headline(kept, trials))
    if len(scored(trials)):
        grid = best_trials(trials, kept.space)
        widths = [max(map(len, column)) + 3 for column in zip(grid.columns, *grid.rows, strict=True)]
        kept_columns = sum(reach < console.width for reach in accumulate(widths)) or 1
        table = Table()
        for column in grid.columns[:kept_columns]:
            table.add_column(column, justify="left" if column in ("trial", *grid.words) else "right", no_wrap=True)
        for row in grid.rows:
            style = "dim" if row[0] == grid.marked else "green" if row[1].strip("+-0.%") and row[1][0] == "+" else None
            table.add_row(*map(escape, row[:kept_columns]), style=style)
        console.print(table)
        if kept_columns < len(grid.columns):
            _say(console, f"(left out for width: {', '.join(grid.columns[kept_columns:])})", style="dim")
    _say(console, counts(kept, trials))


def _say(console: Console, sentence: str, first: str = "", then: str = "", style: str | None = None) -> None:
    """Print a sentence with `first` before it, and `then` before each line that it goes on in."""
    lines = textwrap.fill(sentence, console.width, initial_indent=first, subsequent_indent=then, break_on_hyphens=False)
    console.print(lines, style=style, highlight=False, markup=False, soft_wrap=True)
