"""Figures about recognised recordings: one plain function for each, answers in, figure out."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

from tsforecast.evaluation.recognised import Premium, Recognised
from tsforecast.reporting.canvas import (
    COLOURS,
    INK,
    MOST,
    PAPER,
    QUIET,
    brief,
    canvas,
    in_percent,
    in_style,
    listed,
    percent,
)

NEAR = 0.5  # of the best accuracy: a model below it has no place in a figure, it would squeeze the rest
MOST_CLASSES = 24  # lines of a matrix whose numbers can be read on a phone
TINT = 0.5  # of the strongest cell: words can be read on it


def near(found: Recognised) -> list[str]:
    """Return the models that are worth a mark, the best first; the majority is where it is as good.

    Examples
    --------
    >>> one = {"protocol": "random", "seed": None, "fold": 0, "group": "ann", "true": "up", "fit_seconds": 1.0}
    >>> rows = [one | {"model": name, "predicted": name, "predict_seconds": 0.1} for name in ("up", "majority")]
    >>> near(Recognised(pd.DataFrame(rows)))
    ['up']
    """
    table = found.table[found.table["protocol"] == found.protocols[0]]
    accuracy = table.set_index("model")["accuracy"]
    return [str(name) for name in accuracy.index if accuracy[name] >= NEAR * accuracy.iloc[0]][:MOST]


@in_style()
def accuracies(found: Recognised) -> Figure:
    """Draw the accuracy of each model with its interval, and each user as a tick."""
    table = found.table[found.table["protocol"] == found.protocols[0]].set_index("model")
    users, models = found.by("group"), near(found)
    figure, axes = listed(models, room=0.34)
    for row, name in enumerate(models):
        beats = found.verdicts[name].outcome == "beats"
        axes.plot(users[name], np.full(len(users), row), "|", ms=9, color=QUIET, mew=0.8)
        axes.plot([table.loc[name, "low"], min(table.loc[name, "high"], 1.0)], [row, row], color=INK, lw=1.2)
        axes.plot(table.loc[name, "accuracy"], row, "o", ms=6, color=INK, mfc=INK if beats else PAPER, mew=1.2)
    _up_to_one(axes, float(users[models].min().min()))
    axes.set_xlabel("recordings recognised")
    return figure


@in_style()
def of_each(found: Recognised, key: str) -> Figure:
    """Draw the accuracy of the best models of each user, or of each class; where the best one is worst comes first."""
    models = near(found)
    shares = found.by(key)[models]
    shares = shares.loc[shares[models[0]].sort_values(kind="stable").index]
    figure, axes = listed([str(name) for name in shares.index], room=0.24)
    rows = np.arange(len(shares))
    for i, (name, colour) in enumerate(zip(models, COLOURS, strict=False)):
        axes.plot(shares[name], rows, "o", ms=6 if i == 0 else 4, color=colour, label=brief(name), zorder=3 - 0.1 * i)
    _up_to_one(axes, float(shares.min().min()))
    axes.set_xlabel("recordings recognised")
    return figure


@in_style()
def matrix(table: pd.DataFrame) -> Figure:
    """Draw what each class (a line) was taken for (a column): tints are shares of the line, numbers are recordings."""
    size = len(table)
    cell = 4.4 * 0.86 / max(size, 6)  # inches: as wide as high
    figure, axes = canvas(0.9 + cell * size)
    shares = table.div(table.sum(axis=1).replace(0, 1), axis=0).to_numpy()
    letters = float(np.clip(72 * cell * 0.55, 7.2, 9))
    for (row, column), share in np.ndenumerate(shares):
        count = int(table.iat[row, column])
        if not count:
            continue
        shade = COLOURS[0] if row == column else COLOURS[1]
        alpha = TINT * (share if row == column else min(1.0, 0.15 + 3 * share))
        axes.add_patch(Rectangle((column - 0.48, row - 0.48), 0.96, 0.96, color=shade, alpha=alpha, lw=0))
        axes.text(column, row, str(count), ha="center", va="center", color=INK, size=letters)
    names = [brief(name) for name in table.index]
    axes.set_xlim(-0.5, size - 0.5)
    axes.set_ylim(size - 0.5, -0.5)
    turned = 90 if max(map(len, names)) * size > 50 else 0
    axes.set_xticks(range(size), names, color=INK, size=max(letters, 7.5), rotation=turned)
    axes.set_yticks(range(size), names, color=INK, size=max(letters, 7.5))
    axes.tick_params(length=0, pad=2)
    axes.set_xlabel("taken for")
    axes.set_ylabel("truth")
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    return figure


@in_style()
def premium(premiums: list[Premium]) -> Figure:
    """Draw what a random split says beside what users not seen say, a line from one to the other."""
    figure, axes = listed([one.model for one in premiums], room=0.34)
    for row, one in enumerate(premiums):
        axes.plot([one.unseen, one.random], [row, row], color=COLOURS[1], lw=2, zorder=1)
    rows = np.arange(len(premiums))
    axes.plot([one.unseen for one in premiums], rows, "o", ms=7, color=INK, label="users it has not seen")
    axes.plot([one.random for one in premiums], rows, "o", ms=7, color=COLOURS[1], label="users on both sides")
    _up_to_one(axes, min(one.unseen for one in premiums))
    axes.set_xlabel("recordings recognised")
    return figure


@in_style()
def curve(learned: pd.DataFrame, users: pd.DataFrame) -> Figure:
    """Draw accuracy by number of recordings that were tuned on, with its interval, and a thin line for each user."""
    figure, axes = canvas(3.0)
    shots = learned["shots"].to_numpy()
    for place, (_, one) in enumerate(users.iterrows()):
        axes.plot(shots, one[shots], color=QUIET, lw=0.7, alpha=0.6, label="_" if place else "a user")
    axes.plot([], [], color=COLOURS[0], lw=1.8, label="mean, 95% interval")
    for at, low, high in learned[["shots", "low", "high"]].itertuples(index=False):
        axes.plot([at, at], [low, min(high, 1.0)], color=COLOURS[0], lw=1.2)
    axes.plot(shots, learned["accuracy"], "-o", ms=5, color=COLOURS[0], lw=1.8)
    low = float(np.nanmin([users.min().min(), learned["low"].min()]))
    axes.set_ylim(low - 0.06 * (1 - low), 1 + 0.04 * (1 - low))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: percent(share) if share <= 1 else ""))
    axes.set_xticks(shots)
    axes.set_xlabel("recordings of each class of the new user")
    axes.set_ylabel("recordings recognised")
    axes.grid(axis="y")
    return figure


def _up_to_one(axes: Axes, low: float) -> None:
    """Show shares from a little below the lowest one up to all."""
    room = max(1 - low, 0.01)
    axes.set_xlim(low - 0.06 * room, 1 + 0.04 * room)
    in_percent(axes)


def left_out(found: Recognised) -> str:
    """Say which models have no mark."""
    users = found.by("group")
    rest = [f"{name} ({users[name].mean():.1%})" for name in users if name not in near(found)]
    return f" Left out: {', '.join(rest)}." if rest else ""
