"""Figures about errors: one plain function for each, board in, figure out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tsforecast.evaluation.board import Leaderboard
from tsforecast.reporting.canvas import (
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
