"""Figures from rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from tsforecast.data.panel import Panel
from tsforecast.evaluation.board import Leaderboard
from tsforecast.files import new_file

# Colours of Okabe and Ito (2008), told apart by people with any colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_NUMBERS = {1: "one", 2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}


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
    others = [name for name in board.table["model"] if name != board.reference]
    names = others[:models]

    cutoffs = _apart(mine)
    figure = Figure(figsize=(10, 4.8), layout="constrained")
    axes = figure.subplots()
    _draw_truth(axes, panel, chosen, target, cutoffs[0], mine["time"].max())
    for name, colour in zip([board.reference, *names], ("#888888", *COLOURS), strict=False):
        label = f"{name} (reference)" if name == board.reference else name
        for cutoff in cutoffs:
            part = mine[(mine["model"] == name) & (mine["cutoff"] == cutoff)]
            axes.plot(part["time"], part["forecast"], color=colour, lw=1.5, label=label)
            label = "_"  # one entry in the legend
    for cutoff in cutoffs:
        axes.axvline(cutoff, color="#999999", lw=0.8, ls=":", label="cutoff" if cutoff == cutoffs[0] else "_")
    total, shown = mine["cutoff"].nunique(), []
    if len(cutoffs) < total:
        shown.append(f"{len(cutoffs)} of {total} cutoffs")
    if len(names) < len(others):
        shown.append(f"best {_NUMBERS.get(models, models)} of {len(others)} models and the reference")
    horizon = int(mine["step"].max())
    axes.set_title(
        f"{chosen}: forecasts {horizon} steps ahead" + (f" ({', '.join(shown)})" if shown else ""),
        loc="left",
        fontsize=11,
    )
    axes.set_xlabel("time" if panel.kind == "datetime" else "step")
    axes.set_ylabel(str(target))
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    return figure


def _apart(rows: pd.DataFrame) -> NDArray[Any]:
    """Return cutoffs whose forecasts do not overlap, the newest among them."""
    ends = rows.groupby("cutoff")["time"].max()
    kept = [ends.index[-1]]
    for cutoff, end in zip(ends.index[::-1], ends[::-1], strict=True):
        if end <= kept[-1]:
            kept.append(cutoff)
    return np.array(kept[::-1])


def _draw_truth(axes: Axes, panel: Panel, chosen: object, target: str, first: Any, last: Any) -> None:
    """Draw the truth from before the first cutoff to the end, with as much before as after, at most."""
    index = int(np.flatnonzero(panel.ids == chosen)[0])
    values = panel.series(index)[:, panel.roles.target.index(target)]
    stamps = panel.stamps(index, np.arange(len(values)))
    times = stamps.astype("datetime64[ns]") if panel.kind == "datetime" else stamps
    begin, end = np.searchsorted(times, np.array([first, last], dtype=times.dtype))
    shown = slice(max(0, begin - max(end - begin, 2 * panel.season_length) // 2), end + 1)
    axes.plot(times[shown], values[shown], color="black", lw=1.2, label="truth")


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG, whole or not at all."""
    with new_file(path) as unfinished, matplotlib.rc_context({"savefig.dpi": 130}):
        figure.savefig(unfinished, format="png")
