"""Results for a person at a terminal."""

from __future__ import annotations

from itertools import accumulate

import pandas as pd
from rich.console import Console
from rich.table import Table

from tsforecast.evaluation.leaderboard import Leaderboard

_COLUMNS = {
    "mase": ("MASE", "{:.3f}"),
    "skill": ("skill", "{:+.1%}"),
    "mae": ("MAE", "{:.4g}"),
    "rmse": ("RMSE", "{:.4g}"),
    "fit_seconds": ("fit s", "{:.2f}"),
    "predict_seconds": ("predict s", "{:.3f}"),
    "smape": ("sMAPE", "{:.2f}"),
    "rmsse": ("RMSSE", "{:.3f}"),
    "owa": ("OWA", "{:.3f}"),
}


def show_leaderboard(board: Leaderboard, title: str, console: Console) -> None:
    """Print the table, what was tested, and a sentence for each model.

    On a narrow terminal the columns that matter least are left out, and said to be.
    """
    names = list(_COLUMNS)
    names.remove(board.metric)
    names.insert(0, board.metric)
    cells = {name: [_cell(name, value) for value in board.table[name]] for name in names}
    widths = [max(map(len, [_COLUMNS[name][0], *cells[name]])) + 3 for name in names]  # space and rule around each
    room = console.width - max(map(len, board.table["model"])) - 4
    kept = [name for name, reach in zip(names, accumulate(widths), strict=True) if reach <= room] or names[:1]
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("model", no_wrap=True)
    for name in kept:
        table.add_column(_COLUMNS[name][0], justify="right", no_wrap=True)
    for row, (model, skill) in enumerate(zip(board.table["model"], board.table["skill"], strict=True)):
        style = "dim" if model == board.reference else "green" if skill > 0 else None
        table.add_row(model, *(cells[name][row] for name in kept), style=style)
    console.print(table)
    if len(kept) < len(names):
        console.print(
            f"(left out for width: {', '.join(_COLUMNS[name][0] for name in names[len(kept) :])})", style="dim"
        )
    console.print(board.basis + ".", highlight=False)
    for note in board.notes:
        console.print(f"Note: {note}.", highlight=False, markup=False)
    for sentence in board.verdicts.values():
        console.print(f"  {sentence}", highlight=False)


def _cell(name: str, value: float) -> str:
    return _COLUMNS[name][1].format(value) if pd.notna(value) else "-"
