"""Figures about the trials of a search: one plain function for each, trials in, figure out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from tsforecast.reporting.figures import (
    COLOURS,
    INK,
    PAPER,
    QUIET,
    REFERENCE,
    WIDTH,
    brief,
    canvas,
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
    pareto_front,
    score_floor,
    scored,
    scores_differ,
    with_last_score,
)

LEADERS = 3  # trials with a line of their own
TINT = 0.5  # of the strongest cell of a heat map: words can be read on it
CROWDED = 6  # words on an axis above which they are set smaller, and shortened


@in_style()
def curves(trials: pd.DataFrame, reference: str) -> Figure:
    """Draw the skill of each trial by epoch, the best one in colour, with a dot where one was stopped early."""
    figure, axes = canvas(3.0)
    tried, floor = scored(trials), score_floor(with_last_score(trials))
    winner = best(trials, 1)["trial"].iloc[0] if scores_differ(trials) or len(tried) == 1 else None
    label = "trials" if winner is None else "other trials"
    for one in tried.itertuples():
        if one.trial == winner:
            continue
        axes.plot(one.scores, color=QUIET, lw=0.7, alpha=_faint(len(tried)), label=label)
        label = "_"
    stopped = tried[(tried["status"] == "stopped early") & (tried["last_score"] >= floor)]
    if len(stopped):
        axes.plot(stopped["epochs"], stopped["last_score"], "o", ms=2.5, color=QUIET, label="stopped early")
    for one in tried[tried["trial"] == winner].itertuples():
        axes.plot(one.scores, color=COLOURS[0], lw=1.8, label=f"trial {winner}, the best")
        axes.plot(one.best_epoch, one.best_score, "o", ms=5, color=COLOURS[0])
    _naive(axes, reference)
    lowest = min(min(scores) for scores in tried["scores"])
    _from(axes, max(floor, lowest), float(tried["best_score"].max()))
    axes.set_xlabel("epoch (0 is untrained)")
    axes.set_ylabel("skill")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


@in_style()
def importance(found: Importance) -> Figure:
    """Draw the importance of each setting with its interval."""
    figure, axes = rows_canvas([share.setting for share in found.shares])
    for row, share in enumerate(found.shares):
        told = share.low > 0
        axes.plot([share.low, share.high], [row, row], color=INK, lw=1.2)
        axes.plot(share.mean, row, "o", ms=6, color=INK, mfc=INK if told else PAPER, mew=1.2)
    axes.axvline(0, color=REFERENCE, lw=1.4, ls="--", zorder=0.5)
    axes.set_xlabel("share of the differences between scores")
    percent_axis(axes.xaxis)
    return figure


@in_style()
def parallel(trials: pd.DataFrame, scales: list[SettingAxis]) -> Figure:
    """Draw each trial as a line through its settings, one below the other, down to its score."""
    tried, last = scored(trials), len(scales)
    figure, axes = canvas(0.6 + 0.5 * (last + 1))
    low, top = _span(max(score_floor(trials), float(tried["best_score"].min())), float(tried["best_score"].max()))
    for row, axis in enumerate(scales):
        axes.plot([0, 1], [row, row], color=REFERENCE, lw=0.8, zorder=1)
        _words(axes, axis, row)
    axes.plot([0, 1], [last, last], color=INK, lw=0.8, zorder=1)
    for score in MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]).tick_values(low, top):
        if low <= score <= top:
            _word(axes, (score - low) / (top - low), last, percent(score))
    lines = {one.trial: _line(one, scales, (one.best_score - low) / (top - low)) for one in tried.itertuples()}
    leaders = best(trials, LEADERS)["trial"].tolist()
    for trial, (x, y) in lines.items():
        if trial not in leaders:
            axes.plot(x, y, color=QUIET, lw=0.6, alpha=_faint(len(tried)), zorder=2)
    for rank, trial in enumerate(leaders):
        label = f"trial {trial}" + (", the best" if rank == 0 else "")
        axes.plot(*lines[trial], "-o", ms=3, color=COLOURS[rank], lw=1.8, zorder=4 - 0.1 * rank, label=label)
    axes.set_yticks(range(last + 1), [*(brief(axis.setting) for axis in scales), "skill"], color=INK)
    axes.set_ylim(last + 0.55, -0.3)
    axes.set_xlim(-0.05, 1.05)
    axes.set_xticks([])
    axes.tick_params(axis="y", length=0)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    return figure


@in_style()
def heat(pair: Pair) -> Figure:
    """Draw the mean score of each pair of values as a tint, with mean, best and count as words."""
    rows, columns = pair.mean.shape
    figure, axes = canvas(0.75 + 0.52 * rows)
    size = 8 if columns > 4 else 9
    strongest = max(float(np.nanmax(np.abs(pair.mean))), 1e-9)
    for row in range(rows):
        for column in range(columns):
            if not pair.count[row, column]:
                axes.text(column, row, "–", ha="center", va="center", color=QUIET, size=size)
                continue
            mean, top, count = pair.mean[row, column], pair.best[row, column], pair.count[row, column]
            shade = COLOURS[0] if mean > 0 else COLOURS[1]
            alpha = TINT * min(1.0, abs(mean) / strongest)
            axes.add_patch(Rectangle((column - 0.48, row - 0.47), 0.96, 0.94, color=shade, alpha=alpha, lw=0))
            axes.text(column, row - 0.2, skill_word(mean), ha="center", va="center", color=INK, size=size + 0.5)
            words = f"{skill_word(top)} of {count}"
            axes.text(column, row + 0.22, words, ha="center", va="center", color=INK, size=8)
    axes.set_xlim(-0.5, columns - 0.5)
    axes.set_ylim(rows - 0.5, -0.5)
    axes.set_xticks(range(columns), [_short(word, columns) for word in pair.across.labels], color=INK, size=size)
    axes.set_yticks(range(rows), [brief(word) for word in pair.down.labels], color=INK)
    axes.tick_params(length=0)
    axes.set_xlabel(brief(pair.across.setting))
    axes.set_ylabel(brief(pair.down.setting))
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    return figure


@in_style()
def cost(trials: pd.DataFrame, reference: str) -> Figure:
    """Draw score against seconds, with the trials that no cheaper one equals as a line."""
    figure, axes = canvas()
    tried, floor = scored(trials), score_floor(trials)
    tried = tried[tried["seconds"] > 0]
    _dots(axes, tried["seconds"], tried["best_score"], floor, tried["status"] == "finished")
    edge = pareto_front(tried)
    seconds = [*edge["seconds"], float(tried["seconds"].max())]
    scores = [*edge["best_score"], float(edge["best_score"].max())]
    axes.plot(seconds, np.maximum(scores, floor), color=COLOURS[0], drawstyle="steps-post", label="best for the time")
    _naive(axes, reference)
    _from(axes, max(floor, float(tried["best_score"].min())), max(scores))
    if tried["seconds"].max() > 10 * tried["seconds"].min():
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_xlim(left=0)
    axes.set_xlabel("seconds of a trial")
    axes.set_ylabel("skill")
    return figure


@in_style()
def progress(trials: pd.DataFrame, reference: str) -> Figure:
    """Draw the score of one trial after the other, and the best so far."""
    figure, axes = canvas()
    tried, floor = scored(trials), score_floor(trials)
    _dots(axes, tried["trial"], tried["best_score"], floor, tried["status"] == "finished")
    best_so_far = np.maximum(tried["best_score"].cummax(), floor)
    axes.plot(tried["trial"], best_so_far, color=COLOURS[0], drawstyle="steps-post", label="best so far")
    _naive(axes, reference)
    _from(axes, max(floor, float(tried["best_score"].min())), float(tried["best_score"].max()))
    axes.set_xlabel("trial, in the order in which they began")
    axes.set_ylabel("skill")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def skill_word(skill: float) -> str:
    """Return a skill as it stands in a cell.

    Examples
    --------
    >>> skill_word(0.123), skill_word(-0.004), skill_word(-0.2)
    ('+12%', '−0.4%', '−20%')
    """
    digits = 1 if abs(skill) < 0.0995 else 0
    return f"{100 * skill:+.{digits}f}%".replace("-", "\N{MINUS SIGN}")


def _dots(axes: Axes, x: pd.Series, scores: pd.Series, floor: float, finished: pd.Series) -> None:
    """Draw trials that finished as filled dots, others as hollow ones, and those far below as arrows at the edge."""
    seen = scores >= floor
    looks = ((finished & seen, QUIET, "finished"), (~finished & seen, PAPER, "not to the end"))
    for which, fill, label in looks:
        if which.any():
            axes.plot(x[which], scores[which], "o", ms=4, mew=0.8, color=QUIET, mfc=fill, label=label)
    if (~seen).any():
        axes.plot(x[~seen], np.full((~seen).sum(), floor), "v", ms=4, color=QUIET)


def _naive(axes: Axes, reference: str) -> None:
    axes.axhline(0, color=REFERENCE, lw=1.4, ls="--", zorder=0.5, label=f"{brief(reference)} (reference)")


def _from(axes: Axes, low: float, top: float) -> None:
    """Show skill between two ends, and naive, in percent."""
    low, top = _span(low, top)
    room = 0.06 * (top - low)
    axes.set_ylim(low - room, top + room)
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: percent(share)))
    axes.grid(axis="y")


def _span(low: float, top: float) -> tuple[float, float]:
    """Return the ends of an axis of skill: naive lies between them, and they are not one."""
    low, top = min(low, 0.0), max(top, 0.0)
    return (low, top) if top - low > 1e-9 else (-0.01, 0.01)


def _line(one: Any, scales: list[SettingAxis], skill: float) -> tuple[list[float], list[int]]:
    """Return the line of a trial through its settings; those through the same word lie beside each other."""
    shift = ((one.trial * 0.618) % 1 - 0.5) * 0.03
    rows = [row for row, axis in enumerate(scales) if axis.setting in one.params]
    places = [scales[row].fraction(one.params[scales[row].setting]) + shift for row in rows]
    return [*places, max(0.0, skill)], [*rows, len(scales)]


def _words(axes: Axes, axis: SettingAxis, row: int) -> None:
    """Write the values of a setting below its line; of many numbers some."""
    words = axis.labels
    places = np.linspace(0, 1, len(words)) if len(words) > 1 else np.array([0.5])
    every = -(-len(words) // CROWDED) if axis.numeric else 1
    for place, word in list(zip(places, words, strict=True))[::every]:
        _word(axes, float(place), row, _short(word, len(words[::every])))


def _word(axes: Axes, place: float, row: int, word: str) -> None:
    sides = "left" if place < 0.02 else "right" if place > 0.98 else "center"
    axes.annotate(
        word,
        (place + {"left": -0.03, "right": 0.03, "center": 0.0}[sides], row),
        (0, -4),
        textcoords="offset points",
        ha=sides,
        va="top",
        size=8,
        color=INK,
        zorder=5,
        bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 0.6, "alpha": 0.8},
    )


def _short(word: str, count: int) -> str:
    """Return a word that has room beside so many others."""
    room = max(5, int(WIDTH * 72 * 0.72 / 4.6 / count))
    word = brief(word)
    return word if len(word) <= room else word[: room - 1] + "…"


def _faint(count: int) -> float:
    """Return how strong each of so many lines is."""
    return float(np.clip(25 / count, 0.15, 0.6))
