"""Figures from rows."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tsforecast.data.panel import Panel
from tsforecast.evaluation.leaderboard import Leaderboard
from tsforecast.files import new_file

# Colours of Okabe and Ito (2008), told apart by people with any colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


def plot_forecasts(board: Leaderboard, panel: Panel, models: int = 3, series: str | None = None) -> Figure:
    """Draw what came true and what was forecast from each cutoff, for the best models and the reference.

    Parameters
    ----------
    board : Leaderboard
    panel : Panel
        The data behind the board.
    models : int
        How many of the best models to draw beside the reference.
    series : optional
        Id of the series to draw; the first one unless given. Its first target is drawn.

    Returns
    -------
    matplotlib.figure.Figure
        Not attached to any window; save it with `Figure.savefig`.
    """
    rows = board.rows
    chosen = rows["series"].iloc[0] if series is None else series
    target = panel.roles.target[0]
    mine = rows[(rows["series"] == chosen) & (rows["target"] == target)]
    names = [name for name in board.table["model"] if name != board.reference][:models]

    figure = Figure(figsize=(10, 4.5), layout="constrained")
    axes = figure.subplots()
    _draw_truth(axes, mine, panel, chosen, target)
    for name, colour in zip([board.reference, *names], ("#888888", *COLOURS), strict=False):
        label = f"{name} (reference)" if name == board.reference else name
        for index, (_, part) in enumerate(mine[mine["model"] == name].groupby("cutoff")):
            axes.plot(part["time"], part["forecast"], color=colour, lw=1.5, label=label if index == 0 else None)
    for index, cutoff in enumerate(np.unique(mine["cutoff"].to_numpy())):
        label = "cutoff" if index == 0 else None
        axes.axvline(cutoff, color="#bbbbbb", lw=0.7, ls=":", label=label)
    axes.set_title(f"{chosen}: forecasts of {board.basis.split(';')[0]}", loc="left", fontsize=11)
    axes.set_xlabel("time" if panel.kind == "datetime" else "step")
    axes.set_ylabel(str(target))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="best", frameon=False, fontsize=9)
    return figure


def _draw_truth(axes: Axes, mine: pd.DataFrame, panel: Panel, chosen: object, target: str) -> None:
    index = int(np.flatnonzero(panel.ids == chosen)[0])
    values = panel.series(index)[:, panel.roles.target.index(target)]
    stamps = panel.stamps(index, np.arange(len(values)))
    times = stamps.astype("datetime64[ns]") if panel.kind == "datetime" else stamps
    # Two horizons before the oldest cutoff, or as much again as was tested, are context enough.
    tested = mine["time"].to_numpy()
    shown = times >= times[max(0, len(values) - 2 * len(np.unique(tested)) - panel.season_length)]
    axes.plot(times[shown], values[shown], color="black", lw=1.2, label="truth")


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG, whole or not at all."""
    with new_file(path) as unfinished, matplotlib.rc_context({"savefig.dpi": 130}):
        figure.savefig(unfinished, format="png")
