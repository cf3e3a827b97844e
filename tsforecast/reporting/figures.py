"""Style, sizes and colours of all figures."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import partial
from typing import cast

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

# Colours of Okabe and Ito (2008), distinct for people with any colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
INK, REFERENCE, QUIET, RULE = "#111111", "#888888", "#666666", "#DDDDDD"
PAPER = "#ffffff"  # inside a hollow dot

MAX_LINES = 5  # models with a line of their own: more cannot be followed
WIDTH = 4.4  # inches; drawn small, so that words can be read on a phone
NAME_LENGTH = 22  # letters of a name that a figure has room for
SHADE = 0.16  # of each interval of a fan: the inner ones lie on the outer ones
TINT = 0.5  # of the strongest cell of a matrix: words can be read on it

STYLE = {
    "text.parse_math": False,  # a name may hold dollar signs
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": QUIET,
    "axes.linewidth": 0.6,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.4,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "svg.fonttype": "none",  # letters stay letters, to be read aloud and searched
    "svg.hashsalt": "tsforecast",  # the same figure is the same text each time
}

# Draw in the style of the package, whatever the user's settings are; a context, and a decorator.
in_style = partial(style.context, ["default", STYLE])


def canvas(height: float = 2.7, axes: Axes | None = None) -> tuple[Figure, Axes]:
    """Return a figure of the usual width with one pair of axes, or that of given axes."""
    if axes is not None:
        return cast(Figure, axes.figure), axes
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.subplots()


def rows_canvas(names: list[str], room: float = 0.26, axes: Axes | None = None) -> tuple[Figure, Axes]:
    """Return a canvas with a row for each name, the first on top at 0."""
    figure, axes = canvas(0.8 + room * len(names), axes)
    axes.set_yticks(range(len(names)), [brief(name) for name in names], color=INK)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    return figure, axes


def fan(axes: Axes, x: ArrayLike, ends: Iterable[tuple[ArrayLike, ArrayLike]], colour: str) -> None:
    """Shade central intervals, given the ends of each along x."""
    for low, high in ends:
        axes.fill_between(np.asarray(x), np.asarray(low), np.asarray(high), color=colour, alpha=SHADE, lw=0)


def brief(name: object) -> str:
    """Return a name that fits into a figure, without letters that cannot be drawn."""
    text = "".join(letter if letter.isprintable() else "\ufffd" for letter in str(name))
    return text if len(text) <= NAME_LENGTH else text[: NAME_LENGTH - 1] + "…"


def percent(share: float) -> str:
    """Return a share as percent, with no more digits than it needs."""
    return f"{round(100 * share, 6):g}%".replace("-", "\N{MINUS SIGN}")


def percent_axis(axis: Axis, top: float = math.inf) -> None:
    """Label an axis of shares in percent, without labels above `top`."""
    axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(lambda share, _: percent(share) if share <= top else "")


def mark_break(axes: Axes, upright: bool = False) -> None:
    """Mark an axis that does not begin at 0 with two strokes near its beginning."""
    low, _ = axes.get_ylim() if upright else axes.get_xlim()
    if low > 0:
        x, y = (0, 0.06) if upright else (0.035, 0)
        strokes = axes.text(x, y, "//", transform=axes.transAxes, ha="center", va="center", color=QUIET, size=8)
        strokes.set_rotation(90 if upright else 0)
        strokes.set_bbox({"facecolor": PAPER, "edgecolor": "none", "pad": 0.4})


def hide_frame(axes: Axes) -> None:
    """Remove the lines of both axes and their ticks, for a figure of tinted cells."""
    axes.tick_params(length=0)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
