"""Results for a person at a terminal."""

from __future__ import annotations

import pandas as pd
from rich.console import Console
from rich.table import Table

from tsforecast.evaluation.leaderboard import Leaderboard

_COLUMNS = {
    "mase": ("MASE", "{:.3f}"),
    "skill": ("skill", "{:+.1%}"),
    "mae": ("MAE", "{:.4g}"),
    "rmse": ("RMSE", "{:.4g}"),
    "smape": ("sMAPE", "{:.2f}"),
    "rmsse": ("RMSSE", "{:.3f}"),
    "owa": ("OWA", "{:.3f}"),
    "fit_seconds": ("fit s", "{:.2f}"),
    "predict_seconds": ("predict s", "{:.2f}"),
}


def show_leaderboard(board: Leaderboard, title: str, console: Console) -> None:
    """Print the table, what was tested, and a sentence for each model.

    On a narrow terminal the columns that matter least are left out, and said to be.
    """
    names = list(_COLUMNS)
    names.remove(board.metric)
    names.insert(0, board.metric)
    room = console.width - max(len(name) for name in board.table["model"]) - 5
    kept = [name for i, name in enumerate(names) if room >= 11 * (i + 1)] or names[:2]
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("model", no_wrap=True)
    for name in kept:
        table.add_column(_COLUMNS[name][0], justify="right", no_wrap=True)
    for record in board.table.to_dict("records"):
        style = "dim" if record["model"] == board.reference else None
        style = "green" if record["skill"] > 0 else style
        cells = [_COLUMNS[name][1].format(record[name]) if pd.notna(record[name]) else "-" for name in kept]
        table.add_row(record["model"], *cells, style=style)
    console.print(table)
    if len(kept) < len(names):
        console.print(
            f"(left out for width: {', '.join(_COLUMNS[name][0] for name in names[len(kept) :])})", style="dim"
        )
    console.print(board.basis + ".", highlight=False)
    for sentence in board.verdicts.values():
        console.print(f"  {sentence}", highlight=False)
