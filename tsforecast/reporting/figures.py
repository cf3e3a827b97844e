"""What all figures share: size, colours, and lines for the few models that are worth one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tsforecast.evaluation.results import Leaderboard

# Colours of Okabe and Ito (2008), told apart by people with any colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
INK, REFERENCE, QUIET, RULE = "#111111", "#888888", "#666666", "#DDDDDD"
PAPER = "#ffffff"  # inside a hollow dot

MOST = 5  # models with a line of their own: more cannot be followed
WORST = -1.0  # skill below which a model has no place in a figure: it would squeeze the rest
WIDTH = 4.4  # inches; drawn small, so that words can be read on a phone
NAME = 22  # letters of a name that a figure has room for

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


@contextmanager
def in_style() -> Iterator[None]:
    """Draw in the style of the package, whatever the user's settings are; a decorator and a context.

    Examples
    --------
    >>> with in_style():
    ...     canvas()[1].spines["top"].get_visible()
    False
    """
    with style.context(["default", STYLE]):
        yield


def canvas(height: float = 2.7) -> tuple[Figure, Axes]:
    """Return a figure of the usual width with one pair of axes."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.subplots()


def listed(names: list[str], room: float = 0.26) -> tuple[Figure, Axes]:
    """Return a canvas with a line for each name, the first on top at 0.

    Examples
    --------
    >>> figure, axes = listed(["gru", "naive"])
    >>> [label.get_text() for label in axes.get_yticklabels()]
    ['gru', 'naive']
    """
    figure, axes = canvas(0.8 + room * len(names))
    axes.set_yticks(range(len(names)), [brief(name) for name in names], color=INK)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    return figure, axes


def brief(name: object) -> str:
    """Return a name that fits into a figure, without letters that cannot be drawn.

    Examples
    --------
    >>> brief("turbine-north-2024-hourly-power"), brief("a\\nb")
    ('turbine-north-2024-ho…', 'a\ufffdb')
    """
    text = "".join(letter if letter.isprintable() else "\ufffd" for letter in str(name))
    return text if len(text) <= NAME else text[: NAME - 1] + "…"


def ranked(board: Leaderboard) -> list[str]:
    """Return the models other than the reference that have an error, the best first.

    Examples
    --------
    >>> import numpy as np
    >>> from tsforecast import leaderboard
    >>> ranked(leaderboard([], np.arange(20.0), horizon=2))
    ['naive', 'seasonal-naive']
    """
    table = board.table[board.table[board.metric].notna()]
    return [str(name) for name in table["model"] if name != board.reference]


def near(board: Leaderboard) -> list[str]:
    """Return the models that are worth a line: the best few that come near the reference.

    Examples
    --------
    >>> import numpy as np
    >>> from tsforecast import leaderboard
    >>> near(leaderboard([], np.arange(20.0), horizon=2))  # none does: the best of them stays
    ['naive']
    """
    skill = board.table.set_index("model")["skill"]
    return [name for name in ranked(board)[:MOST] if skill[name] > WORST] or ranked(board)[:1]


def looks(board: Leaderboard, names: list[str]) -> dict[str, dict[str, Any]]:
    """Return how the lines of the reference and of other models look.

    Examples
    --------
    >>> import numpy as np
    >>> from tsforecast import leaderboard
    >>> looks(leaderboard([], np.arange(20.0), horizon=2), ["naive"])["naive"]
    {'color': '#0072B2', 'linestyle': '-', 'label': 'naive'}
    """
    reference = {"color": REFERENCE, "linestyle": "--", "label": f"{brief(board.reference)} (reference)"}
    others = {
        name: {"color": colour, "linestyle": "-", "label": brief(name)}
        for name, colour in zip(names, COLOURS, strict=False)
    }
    return {board.reference: reference, **others}


def percent(share: float) -> str:
    """Return a share as percent, with no more digits than it needs.

    Examples
    --------
    >>> percent(-0.3), percent(0.025)
    ('−30%', '2.5%')
    """
    return f"{round(100 * share, 6):g}%".replace("-", "\N{MINUS SIGN}")


def in_percent(axes: Axes) -> None:
    """Show shares on the x axis as percent."""
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(lambda share, _: percent(share))
