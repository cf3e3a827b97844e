"""Figures of a search: learning curves, importance, settings, pairs, cost and progress."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from tsforecast.reporting.figures import (
    COLOURS,
    INK,
    PAPER,
    QUIET,
    REFERENCE,
    TINT,
    WIDTH,
    brief,
    canvas,
    hide_frame,
    in_style,
    percent,
    percent_axis,
    rows_canvas,
)
from tsforecast.search.importance import Importance
from tsforecast.search.results import (
    Pair,
    SettingAxis,
    best,
    score_floor,
    scored,
    scores_differ,
)

LEADERS = 3  # trials with a line of their own
PALE = 0.4  # of the tint of a cell with one trial, which may be chance
MAX_LABELS = 6  # of an axis of numbers in `parallel`


@in_style()
def curves(trials: pd.DataFrame, reference: str) -> Figure:
    """Draw the skill of each trial by epoch, the best one in colour, with a dot at each early stop."""
    figure, axes = canvas(3.0)
    usable, floor = scored(trials), score_floor(trials, "last_score")
    winner = best(trials, 1)["trial"].iloc[0] if scores_differ(trials) or len(usable) == 1 else None
    label = "trials" if winner is None else "other trials"
    for scores in usable["scores"][usable["trial"] != winner]:
        axes.plot(scores, color=QUIET, lw=0.7, alpha=_opacity(len(usable)), label=label)
        label = "_"
    stopped = usable[(usable["status"] == "stopped early") & (usable["last_score"] >= floor)]
    if len(stopped):
        axes.plot(stopped["epochs"], stopped["last_score"], "o", ms=2.5, color=QUIET, label="stopped early")
    for trial in usable[usable["trial"] == winner].itertuples():
        axes.plot(trial.scores, color=COLOURS[0], lw=1.8, label=f"trial {winner}, the best")
        axes.plot(trial.best_epoch, trial.best_score, "o", ms=5, color=COLOURS[0])
    lowest = min(min(scores) for scores in usable["scores"])
    _skill_axis(axes, reference, max(floor, lowest), float(usable["best_score"].max()))
    axes.set_xlabel("epoch (0 is untrained)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


@in_style()
def importance(estimate: Importance) -> Figure:
    """Draw the importance of each setting with its interval."""
    figure, axes = rows_canvas([share.setting for share in estimate.shares])
    for row, share in enumerate(estimate.shares):
        axes.plot([share.low, share.high], [row, row], color=INK, lw=1.2)
        axes.plot(share.mean, row, "o", ms=6, color=INK, mfc=INK if share.low > 0 else PAPER, mew=1.2)
    axes.axvline(0, color=REFERENCE, lw=1.4, ls="--", zorder=0.5)
    axes.set_xlabel("share of the differences between scores")
    percent_axis(axes.xaxis)
    return figure


@in_style()
def parallel(trials: pd.DataFrame, settings: list[SettingAxis]) -> Figure:
    """Draw each trial as a line through its settings, one below the other, down to its score."""
    usable, last = scored(trials), len(settings)
    figure, axes = canvas(0.6 + 0.5 * (last + 1))
    low, top = _span(max(score_floor(trials), float(usable["best_score"].min())), float(usable["best_score"].max()))
    for row, setting in enumerate(settings):
        axes.plot([0, 1], [row, row], color=REFERENCE, lw=0.8, zorder=1)
        _write_labels(axes, setting, row)
    axes.plot([0, 1], [last, last], color=INK, lw=0.8, zorder=1)
    for score in MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]).tick_values(low, top):
        if low <= score <= top:
            _write(axes, (score - low) / (top - low), last, percent(score))
    lines = {
        trial.trial: _line(trial, settings, (trial.best_score - low) / (top - low)) for trial in usable.itertuples()
    }
    leaders = best(trials, LEADERS)["trial"].tolist()
    for trial, (x, y) in lines.items():
        if trial not in leaders:
            axes.plot(x, y, color=QUIET, lw=0.6, alpha=_opacity(len(usable)), zorder=2)
    for rank, trial in enumerate(leaders):
        label = f"trial {trial}" + (", the best" if rank == 0 else "")
        axes.plot(*lines[trial], "-o", ms=3, color=COLOURS[rank], lw=1.8, zorder=4 - 0.1 * rank, label=label)
    axes.set_yticks(range(last + 1), [*(brief(setting.title) for setting in settings), "skill"], color=INK)
    axes.set_ylim(last + 0.55, -0.3)
    axes.set_xlim(-0.05, 1.05)
    axes.set_xticks([])
    hide_frame(axes)
    return figure


@in_style()
def heat(pair: Pair) -> Figure:
    """Draw the mean score of each pair of values as a tint, with mean, best and count as text."""
    rows, columns = pair.mean.shape
    figure, axes = canvas(0.75 + 0.52 * rows)
    size = 8 if columns > 4 else 9
    strongest = max(float(np.nanmax(np.abs(pair.mean))), 1e-9)
    for row, column in np.ndindex(rows, columns):
        if not pair.count[row, column]:
            axes.text(column, row, "–", ha="center", va="center", color=QUIET, size=size)
            continue
        mean, top = float(pair.mean[row, column]), float(pair.best[row, column])
        shade, alpha = COLOURS[0] if mean > 0 else COLOURS[1], TINT * min(1.0, abs(mean) / strongest)
        alpha *= PALE if pair.count[row, column] == 1 else 1.0
        axes.add_patch(Rectangle((column - 0.48, row - 0.47), 0.96, 0.94, color=shade, alpha=alpha, lw=0))
        axes.text(column, row - 0.2, skill_text(mean), ha="center", va="center", color=INK, size=size + 0.5)
        text = f"{skill_text(top)} of {pair.count[row, column]}"
        axes.text(column, row + 0.22, text, ha="center", va="center", color=INK, size=8)
    axes.set_xlim(-0.5, columns - 0.5)
    axes.set_ylim(rows - 0.5, -0.5)
    axes.set_xticks(range(columns), [_short(label, columns) for label in pair.across.bins], color=INK, size=size)
    axes.set_yticks(range(rows), [brief(label) for label in pair.down.bins], color=INK)
    axes.set_xlabel(brief(pair.across.title))
    axes.set_ylabel(brief(pair.down.title))
    hide_frame(axes)
    return figure


@in_style()
def progress(trials: pd.DataFrame, reference: str, by: str = "trial", axes: Axes | None = None) -> Figure:
    """Draw the scores of trials by their number, or by their ``seconds``, and the best so far as a line."""
    figure, axes = canvas(axes=axes)
    usable, floor = scored(trials), score_floor(trials)
    usable = usable[usable[by] > 0]
    _dots(axes, usable, by, floor)
    ordered, label = usable.sort_values(by, kind="stable"), "best so far" if by == "trial" else "best for the time"
    best_so_far = np.maximum(ordered["best_score"].cummax(), floor)
    axes.plot(ordered[by], best_so_far, color=COLOURS[0], drawstyle="steps-post", label=label)
    _skill_axis(axes, reference, max(floor, float(usable["best_score"].min())), float(usable["best_score"].max()))
    axes.set_xlabel("trial, in order of their start" if by == "trial" else "seconds of a trial")
    if by == "trial":
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    elif usable["seconds"].max() > 10 * usable["seconds"].min():
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.set_xlabel("seconds of a trial (log scale)")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_xlim(left=0)
    return figure


def skill_text(skill: float) -> str:
    """Return a skill as text of a cell."""
    digits = 1 if abs(skill) < 0.0995 else 0
    return f"{100 * skill:+.{digits}f}%".replace("-", "\N{MINUS SIGN}")


def _dots(axes: Axes, trials: pd.DataFrame, column: str, floor: float) -> None:
    """Draw finished trials as filled dots, others as hollow ones, and those below the floor as arrows at the edge."""
    x, scores, finished = trials[column], trials["best_score"], trials["status"] == "finished"
    above = scores >= floor
    for mask, fill, label in ((finished & above, QUIET, "finished"), (~finished & above, PAPER, "not to the end")):
        if mask.any():
            axes.plot(x[mask], scores[mask], "o", ms=4, mew=0.8, color=QUIET, mfc=fill, label=label)
    if (~above).any():
        axes.plot(x[~above], np.full((~above).sum(), floor), "v", ms=4, color=QUIET)


def _skill_axis(axes: Axes, reference: str, low: float, top: float) -> None:
    """Label the y axis as skill in percent between two limits, with naive as a line at 0."""
    axes.axhline(0, color=REFERENCE, lw=1.4, ls="--", zorder=0.5, label=f"{brief(reference)} (reference)")
    low, top = _span(low, top)
    room = 0.06 * (top - low)
    axes.set_ylim(low - room, top + room)
    percent_axis(axes.yaxis)
    axes.grid(axis="y")
    axes.set_ylabel("skill")


def _span(low: float, top: float) -> tuple[float, float]:
    """Return distinct limits of an axis of skill, with 0 between them."""
    low, top = min(low, 0.0), max(top, 0.0)
    return (low, top) if top - low > 1e-9 else (-0.01, 0.01)


def _line(trial: Any, settings: list[SettingAxis], skill: float) -> tuple[list[float], list[int]]:
    """Return the line of a trial through its settings, shifted a little so that equal values do not overlap."""
    shift = ((trial.trial * 0.618) % 1 - 0.5) * 0.03
    rows = [row for row, setting in enumerate(settings) if setting.name in trial.params]
    x = [settings[row].fraction(trial.params[settings[row].name]) + shift for row in rows]
    return [*x, max(0.0, skill)], [*rows, len(settings)]


def _write_labels(axes: Axes, setting: SettingAxis, row: int) -> None:
    """Write the values of a setting below its line, some of many numbers."""
    labels = setting.labels
    positions = np.linspace(0, 1, len(labels)) if len(labels) > 1 else np.array([0.5])
    every = -(-len(labels) // MAX_LABELS) if setting.numeric else 1
    for position, label in list(zip(positions, labels, strict=True))[::every]:
        _write(axes, float(position), row, _short(label, len(labels[::every])))


def _write(axes: Axes, position: float, row: int, text: str) -> None:
    side = "left" if position < 0.02 else "right" if position > 0.98 else "center"
    axes.annotate(
        text,
        (position + {"left": -0.03, "right": 0.03, "center": 0.0}[side], row),
        (0, -4),
        textcoords="offset points",
        ha=side,
        va="top",
        size=8,
        color=INK,
        zorder=5,
        bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 0.6, "alpha": 0.8},
    )


def _short(label: str, count: int) -> str:
    """Return a label that fits beside so many others."""
    room = max(5, int(WIDTH * 72 * 0.72 / 4.6 / count))
    label = brief(label)
    return label if len(label) <= room else label[: room - 1] + "…"


def _opacity(count: int) -> float:
    """Return the opacity of each of so many lines."""
    return float(np.clip(25 / count, 0.15, 0.6))
