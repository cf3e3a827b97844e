"""Figures of forecasts against what came true."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from numpy.typing import NDArray

from tsforecast.data.panel import Panel
from tsforecast.evaluation.board import Leaderboard
from tsforecast.files import new_file
from tsforecast.reporting.canvas import INK, QUIET, brief, canvas, in_style, looks, near, ranked

CUTOFFS = 4  # that a small figure has room for, at most
NEAREST = 3  # models in a figure of forecasts, beside the reference
APART = 4  # a hole of more usual steps than this is not bridged; a weekend without trade is
_NUMBERS = {1: "one", 2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}


@in_style()
def plot_forecasts(board: Leaderboard, panel: Panel, models: int = NEAREST, series: str | None = None) -> Figure:
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
    chosen = board.rows["series"].iloc[0] if series is None else series
    target = panel.roles.target[0]
    rows = rows_of(board, chosen, target)
    cutoffs = apart(rows)
    figure = Figure(figsize=(10, 4.8), layout="constrained")
    axes = figure.subplots()
    _draw(axes, board, rows, _series_of(panel, chosen), cutoffs, 2 * panel.season_length, ranked(board)[:models])
    others, total, shown = ranked(board), rows["cutoff"].nunique(), []
    if len(cutoffs) < total:
        shown.append(f"{len(cutoffs)} of {total} cutoffs")
    if models < len(others):
        shown.append(f"best {_NUMBERS.get(models, models)} of {len(others)} models and the reference")
    axes.set_title(
        f"{chosen}: forecasts {int(rows['step'].max())} steps ahead" + (f" ({', '.join(shown)})" if shown else ""),
        loc="left",
        fontsize=11,
    )
    axes.set_ylabel(str(target))
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    return figure


@in_style()
def forecasts(
    board: Leaderboard, series: object, target: object, past: pd.DataFrame | None, cutoffs: NDArray[Any]
) -> Figure:
    """Draw truth and forecasts of one series from some cutoffs, small.

    Parameters
    ----------
    board : Leaderboard
    series, target : object
        As in the rows.
    past : pandas.DataFrame or None
        Columns ``series, target, time, y``: the truth before the oldest cutoff.
    cutoffs : array
        In order of time.
    """
    rows = rows_of(board, series, target)
    truth = rows.drop_duplicates("time").set_index("time")["y"]
    if past is not None:
        before = past[(past["series"] == series) & (past["target"] == target)].set_index("time")["y"]
        truth = pd.concat([before, truth])
    truth = truth[~truth.index.duplicated()].sort_index()
    figure, axes = canvas()
    _draw(axes, board, rows, truth, cutoffs, 2 * int(rows["step"].max()), near(board)[:NEAREST])
    axes.set_ylabel(brief(target))
    return figure


def rows_of(board: Leaderboard, series: object, target: object) -> pd.DataFrame:
    """Return the rows of one series and target."""
    rows = board.rows
    return rows[(rows["series"] == series) & (rows["target"] == target)]


def apart(rows: pd.DataFrame) -> NDArray[Any]:
    """Return cutoffs whose forecasts do not overlap, the newest among them.

    Examples
    --------
    >>> apart(pd.DataFrame({"cutoff": [1, 1, 2, 2, 3, 3], "time": [2, 3, 3, 4, 4, 5]}))
    array([1, 3])
    """
    ends = rows.groupby("cutoff")["time"].max()
    kept = [ends.index[-1]]
    for cutoff, end in zip(ends.index[::-1], ends[::-1], strict=True):
        if end <= kept[-1]:
            kept.append(cutoff)
    return np.array(kept[::-1])


def _draw(
    axes: Axes,
    board: Leaderboard,
    rows: pd.DataFrame,
    truth: pd.Series,
    cutoffs: NDArray[Any],
    least: int,
    names: list[str],
) -> None:
    """Draw truth, forecasts and cutoffs; the truth before the first cutoff for at least half of `least` steps."""
    shown = rows[rows["cutoff"].isin(cutoffs)]
    first, last = truth.index.searchsorted(cutoffs[0]), truth.index.searchsorted(shown["time"].max())
    truth = truth.iloc[max(0, first - max(last - first, least) // 2) : last + 1]
    axes.plot(*_broken(truth), color=INK, lw=1.2, label="truth")
    keys = ["cutoff", *(["seed"] if "seed" in rows else [])]
    alone = "o" if rows["step"].max() < 4 else None  # a line of few points is hardly one
    for name, look in looks(board, names).items():
        mine, label = shown[shown["model"] == name], look["label"]
        for _, part in mine.groupby(keys, dropna=False, observed=True):
            axes.plot(part["time"], part["forecast"], **{**look, "label": label}, marker=alone, ms=3)
            label = "_"  # one entry in the legend
    for cutoff in cutoffs:
        axes.axvline(cutoff, color=QUIET, lw=0.8, ls=":", label="cutoff" if cutoff == cutoffs[0] else "_")
    dates = truth.index.dtype.kind == "M"
    axes.set_xlabel("time" if dates else "step")
    if dates:
        locator = AutoDateLocator(minticks=3, maxticks=7)  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]


def _broken(truth: pd.Series) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Return times and values with NaN where steps are missing, so that no line bridges them."""
    times, values = truth.index.to_numpy(), truth.to_numpy(dtype=np.float64)
    gaps = np.diff(times)
    holes = np.flatnonzero(gaps > APART * np.median(gaps)) + 1 if len(gaps) else np.empty(0, dtype=int)
    return np.insert(times, holes, times[holes]), np.insert(values, holes, np.nan)


def _series_of(panel: Panel, chosen: object) -> pd.Series:
    """Return the first target of a series by time."""
    index = int(np.flatnonzero(panel.ids == chosen)[0])
    values = panel.series(index)[:, 0]
    stamps = panel.stamps(index, np.arange(len(values)))
    return pd.Series(values, index=stamps.astype("datetime64[ns]") if panel.kind == "datetime" else stamps)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG, whole or not at all."""
    with new_file(path) as unfinished, matplotlib.rc_context({"savefig.dpi": 130}):
        figure.savefig(unfinished, format="png")
