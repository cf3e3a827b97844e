"""Figures about errors: one plain function for each, board in, figure out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from tsforecast.data.panel import Panel
from tsforecast.evaluation.results import Leaderboard
from tsforecast.files import new_file
from tsforecast.reporting.figures import (
    COLOURS,
    INK,
    QUIET,
    REFERENCE,
    WORST,
    brief,
    canvas,
    in_percent,
    in_style,
    listed,
    looks,
    near,
    percent,
    ranked,
)

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


GROUPS = 20  # lines that a figure of groups has at most


@in_style()
def skill(board: Leaderboard) -> Figure:
    """Draw the skill of each model with its interval, and the reference as the line at zero.

    A filled dot beats the reference. What lies left of the figure is written at its edge.
    """
    models = ranked(board)
    figure, axes = listed(models)
    for row, verdict in enumerate(board.verdicts[name] for name in models):
        if verdict.skill < WORST:
            far = percent(round(verdict.skill, 2)) if np.isfinite(verdict.skill) else "without limit"
            axes.plot(WORST, row, "<", ms=5, color=QUIET)
            axes.annotate(far, (WORST, row), (7, 0), textcoords="offset points", va="center", color=QUIET)
            continue
        beats = verdict.outcome == "beats"
        axes.plot([max(verdict.low, WORST), verdict.high], [row, row], color=INK, lw=1.2)
        axes.plot(verdict.skill, row, "o", ms=6, color=INK, mfc=INK if beats else "#ffffff", mew=1.2)
    _skill_axis(axes, board)
    return figure


@in_style()
def error_by(board: Leaderboard, key: str, label: str) -> Figure:
    """Draw the error of the best models and the reference along a key of the rows that counts upwards."""
    errors = board.by(key)
    figure, axes = canvas()
    for name, look in looks(board, near(board)).items():
        marker = "o" if len(errors) < 13 else None
        axes.plot(errors.index, errors[name], marker=marker, ms=3, **look)
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel(label)
    axes.set_ylabel(board.metric.upper())
    axes.grid(axis="y")
    return figure


def groups_shown(board: Leaderboard) -> pd.DataFrame:
    """Return the errors of groups that a figure has room for: those where the best model gains least come first."""
    errors = board.by("group")
    gain = 1 - errors[ranked(board)[0]] / errors[board.reference]
    return errors.loc[gain.sort_values(kind="stable").index[:GROUPS]]


@in_style()
def error_by_group(board: Leaderboard) -> Figure:
    """Draw the error of the best models in each group as dots, and that of the reference as a bar."""
    errors = groups_shown(board)
    figure, axes = listed([str(name) for name in errors.index])
    rows = np.arange(len(errors))
    for name, look in looks(board, near(board)).items():
        mark: dict[str, Any] = (
            {"marker": "|", "ms": 13, "mew": 2} if name == board.reference else {"marker": "o", "ms": 5}
        )
        axes.plot(errors[name], rows, ls="", color=look["color"], label=look["label"], **mark)
    axes.set_xlim(left=0)
    axes.set_xlabel(board.metric.upper())
    return figure


def gains_by(board: Leaderboard, key: str) -> pd.DataFrame:
    """Return the skill of each model for each value of a key, leaving out values where there is none.

    Examples
    --------
    >>> from tsforecast import leaderboard
    >>> board = leaderboard([], np.arange(40.0).reshape(2, 20, 1) ** 2, horizon=2)
    >>> gains_by(board, "series").shape
    (2, 2)
    """
    errors = board.by(key)
    gains = 1 - errors[ranked(board)].div(errors[board.reference], axis=0)
    return gains[np.isfinite(gains).all(axis=1)]


@in_style()
def spread_of_skill(board: Leaderboard) -> Figure:
    """Draw how the skill of each model differs from series to series."""
    gains = gains_by(board, "series").clip(lower=WORST)
    figure, axes = listed(list(gains.columns), room=0.32)
    for row, name in enumerate(gains.columns):
        low, first, median, third, high = np.quantile(gains[name], [0.05, 0.25, 0.5, 0.75, 0.95])
        _ticks(axes, gains[name].to_numpy(), row)
        axes.plot([low, high], [row, row], color=INK, lw=0.8)
        axes.plot([first, third], [row, row], color=INK, lw=4, solid_capstyle="butt")
        axes.plot(median, row, "o", ms=6, color=INK, mfc="#ffffff", mew=1.2)
    _skill_axis(axes, board)
    return figure


@in_style()
def ranks(board: Leaderboard) -> Figure:
    """Draw the average rank of each model, and a line beside each run of models that cannot be told apart."""
    found = board.ranks
    names, places = [str(name) for name in found.average.index], found.average.to_numpy()
    figure, axes = listed(names)
    for row, (name, place) in enumerate(zip(names, places, strict=True)):
        axes.plot(place, row, "o", ms=6, color=REFERENCE if name == board.reference else INK)
    for run, together in enumerate(found.together, 1):
        beside = places.max() + 0.06 * run * np.ptp(places)
        first, last = names.index(together[0]), names.index(together[-1])
        axes.plot([beside, beside], [first - 0.25, last + 0.25], color=REFERENCE, lw=2.5)
    axes.set_xlabel("average rank (1 is best)")
    return figure


@in_style()
def training(histories: Sequence[Sequence[Mapping[str, Any]]]) -> Figure:
    """Draw the loss of one model by epoch, one line for each fit, with the epoch that was kept as a dot."""
    figure, axes = canvas()
    for fit, history in enumerate(histories):
        losses = pd.DataFrame(history).astype(float)
        label = ("validation", "training") if fit == 0 else ("_", "_")
        axes.plot(losses["number"], losses["train_loss"], color=QUIET, lw=0.8, ls=":", label=label[1])
        axes.plot(losses["number"], losses["valid_loss"], color=COLOURS[0], lw=1.2, label=label[0])
        if losses["valid_loss"].notna().any():
            kept = losses.loc[losses["valid_loss"].idxmin()]
            axes.plot(kept["number"], kept["valid_loss"], "o", ms=5, color=COLOURS[0], label=("_", "kept")[fit == 0])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch (0 is untrained)")
    axes.set_ylabel("loss")
    axes.grid(axis="y")
    return figure


def _skill_axis(axes: Axes, board: Leaderboard) -> None:
    """Make the x axis one of skill, with the reference as its zero."""
    axes.axvline(0, color=REFERENCE, lw=1.4, ls="--", zorder=0.5)
    axes.text(0, 1, brief(board.reference), transform=axes.get_xaxis_transform(), ha="center", va="bottom", color=QUIET)
    axes.set_xlabel(f"skill: share of {board.metric.upper()} removed")
    in_percent(axes)


def _ticks(axes: Axes, values: np.ndarray, row: int) -> None:
    """Draw a short line for each value, all of them as one path: hundreds of them stay light."""
    x = np.repeat(values, 3)
    y = np.tile([row - 0.25, row + 0.25, np.nan], len(values))
    axes.plot(x, y, color=REFERENCE, lw=0.5, alpha=float(np.clip(60 / len(values), 0.15, 0.6)))
