"""One page that says what was recognised: self-contained, for screens of any width and for paper."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

from tsforecast.evaluation.classification import (
    LABELS,
    REFERENCE,
    ClassificationResults,
    SplitOptimism,
    counts,
    display,
    span,
)
from tsforecast.evaluation.transfer_curve import learning, of_users
from tsforecast.evaluation.verdict import findings
from tsforecast.reporting.figures import (
    COLOURS,
    INK,
    MAX_LINES,
    PAPER,
    QUIET,
    brief,
    canvas,
    in_style,
    percent,
    percent_axis,
    rows_canvas,
)
from tsforecast.reporting.page import CaptionedFigure, captioned, page
from tsforecast.reporting.tables import MAX_ROWS, MISSING, Grid

NEAR = 0.5  # of the best accuracy: a model below it has no place in a figure, it would squeeze the rest
MOST_CLASSES = 24  # lines of a matrix whose numbers can be read on a phone
TINT = 0.5  # of the strongest cell: words can be read on it


def near(found: ClassificationResults) -> list[str]:
    """Return the models that are worth a mark, the best first; the majority is where it is as good.

    Examples
    --------
    >>> one = {"protocol": "random", "seed": None, "fold": 0, "group": "ann", "true": "up", "fit_seconds": 1.0}
    >>> rows = [one | {"model": name, "predicted": name, "predict_seconds": 0.1} for name in ("up", "majority")]
    >>> near(ClassificationResults(pd.DataFrame(rows)))
    ['up']
    """
    table = found.table[found.table["protocol"] == found.protocols[0]]
    accuracy = table.set_index("model")["accuracy"]
    return [str(name) for name in accuracy.index if accuracy[name] >= NEAR * accuracy.iloc[0]][:MAX_LINES]


@in_style()
def accuracies(found: ClassificationResults) -> Figure:
    """Draw the accuracy of each model with its interval, and each user as a tick."""
    table = found.table[found.table["protocol"] == found.protocols[0]].set_index("model")
    users, models = found.by("group"), near(found)
    figure, axes = rows_canvas(models, room=0.34)
    for row, name in enumerate(models):
        beats = found.verdicts[name].outcome == "beats"
        axes.plot(users[name], np.full(len(users), row), "|", ms=9, color=QUIET, mew=0.8)
        axes.plot([table.loc[name, "low"], min(table.loc[name, "high"], 1.0)], [row, row], color=INK, lw=1.2)
        axes.plot(table.loc[name, "accuracy"], row, "o", ms=6, color=INK, mfc=INK if beats else PAPER, mew=1.2)
    _up_to_one(axes, float(users[models].min().min()))
    axes.set_xlabel("recordings recognised")
    return figure


@in_style()
def of_each(found: ClassificationResults, key: str) -> Figure:
    """Draw the accuracy of the best models of each user, or of each class; where the best one is worst comes first."""
    models = near(found)
    shares = found.by(key)[models]
    shares = shares.loc[shares[models[0]].sort_values(kind="stable").index]
    figure, axes = rows_canvas([str(name) for name in shares.index], room=0.24)
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
def optimism(found: list[SplitOptimism]) -> Figure:
    """Draw accuracy with users on both sides of a random split, and on unseen users, with a line between."""
    figure, axes = rows_canvas([one.model for one in found], room=0.34)
    for row, one in enumerate(found):
        axes.plot([one.unseen, one.random], [row, row], color=COLOURS[1], lw=2, zorder=1)
    rows = np.arange(len(found))
    axes.plot([one.unseen for one in found], rows, "o", ms=7, color=INK, label="users it has not seen")
    axes.plot([one.random for one in found], rows, "o", ms=7, color=COLOURS[1], label="users on both sides")
    _up_to_one(axes, min(one.unseen for one in found))
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
    percent_axis(axes.xaxis)


def left_out(found: ClassificationResults) -> str:
    """Say which models have no mark."""
    users = found.by("group")
    rest = [f"{name} ({users[name].mean():.1%})" for name in users if name not in near(found)]
    return f" Left out: {', '.join(rest)}." if rest else ""


MISTAKES = 30  # that are listed, the most frequent ones


def html_recognition(
    found: ClassificationResults,
    title: str | None = None,
    curve: pd.DataFrame | None = None,
    others: Mapping[str, ClassificationResults] | None = None,
    facts: Mapping[str, str] | None = None,
) -> str:
    """Return the report as one HTML page that needs nothing else.

    Parameters
    ----------
    found : Recognised
    title : str, optional
    curve : pandas.DataFrame, optional
        Of `tsforecast.transfer_curve`: what a few recordings of one more user add.
    others : dict of name to Recognised, optional
        What was recognised in other sets, for a table.
    facts : dict of str, optional
        What else a reader may want to know: data, machine, versions.

    Returns
    -------
    str
        Verdicts come first, then all numbers, users, classes and confusion, the optimism of the random split, copies,
        transfer, other sets, and how it was measured. Everything that came from data is escaped.

    Examples
    --------
    >>> one = {"protocol": "random", "seed": None, "fold": 0, "group": "ann", "true": "up", "fit_seconds": 1.0}
    >>> rows = [one | {"model": name, "predicted": name, "predict_seconds": 0.1} for name in ("up", "majority")]
    >>> html_recognition(ClassificationResults(pd.DataFrame(rows))).startswith("<!doctype html>")
    True
    """
    best = near(found)[0]
    return page(
        "recognition.html.jinja",
        title=title or "Which movements are recognised?",
        summary=summary(found, best),
        found=found,
        findings=findings(found.verdicts.values()),
        accuracies=_accuracies(found),
        numbers={f"{name}: {LABELS[name]}": _numbers(found, name) for name in found.protocols},
        users=_each(found, "group", best) if found.by("group").index.notna().all() else [],
        of_users=_shares(found, "group"),
        classes=[*_each(found, "true", best), *_matrix(found, best)],
        of_classes=_shares(found, "true"),
        mistakes=mistakes(found, best),
        optimism=_optimism(found),
        curve=_curve(curve) if curve is not None and len(curve) else [],
        others=_others(others or {}),
        facts=facts or {},
    )


def summary(found: ClassificationResults, best: str) -> str:
    """Say in a sentence what the best model recognises."""
    table = found.table[found.table["protocol"] == found.protocols[0]].set_index("model")
    one = table.loc[best]
    sure = f" (95% interval {span(one['low'], one['high'])})" if not math.isnan(one["low"]) else ""
    whom = {"leave-users-out": " of users it has not seen", "random": ", with users on both sides of the split"}
    return f"{best} recognises {one['accuracy']:.1%} of the recordings{whom.get(found.protocols[0], '')}{sure}."


def mistakes(found: ClassificationResults, model: str) -> Grid | None:
    """Return which class is most often taken for which other one, and of whom; None where nothing is mistaken."""
    rows = found.of(found.protocols[0])
    rows = rows[rows["model"] == model]
    every = counts(rows)
    wrong = rows["true"] != rows["predicted"]
    if not wrong.any():
        return None
    total = every.groupby(rows["true"]).sum()
    lines = []
    for (true, predicted), part in rows[wrong].assign(n=every[wrong]).groupby(["true", "predicted"]):
        users = part.groupby("group")["n"].sum().sort_values(ascending=False)
        whose = ", ".join(f"{name} ({count})" for name, count in users.items()) or MISSING
        lines.append((int(part["n"].sum()), str(true), str(predicted), part["n"].sum() / total[true], whose))
    lines.sort(key=lambda line: (-line[0], line[1:3]))
    told = tuple((true, said, str(n), f"{share:.1%}", whose) for n, true, said, share, whose in lines[:MISTAKES])
    columns = ("truth", "taken for", "recordings", "of all of it", "users")
    more = max(0, len(lines) - MISTAKES)
    return Grid(f"Mistakes of {model}", columns, told, words=("taken for", "users"), more=more)


def _accuracies(found: ClassificationResults) -> list[CaptionedFigure]:
    users = "A tick is a user; lines are 95% intervals over users. " if found.by("group").index.notna().all() else ""
    caption = (
        f"Recordings recognised, {LABELS[found.protocols[0]]}. {users}A filled dot beats {REFERENCE}; a hollow one "
        f"does not, or cannot be told from it.{left_out(found)}"
    )
    return [captioned("accuracy", "Accuracy of each model", accuracies(found), caption)]


def _numbers(found: ClassificationResults, protocol: str) -> Grid:
    told = display(found.table[found.table["protocol"] == protocol])
    told = told.loc[:, (told != MISSING).any()]
    rows = tuple(tuple(map(str, line)) for line in told.itertuples(index=False))
    return Grid(f"Accuracy of all models, {LABELS[protocol]}", tuple(told.columns), rows, marked=REFERENCE)


def _each(found: ClassificationResults, key: str, best: str) -> list[CaptionedFigure]:
    """Return the accuracy of each user, or of each class."""
    word, title = ("user", "Accuracy of each user") if key == "group" else ("class", "Accuracy of each class")
    shares = found.by(key)[best]
    apart = " Each user was left out of the fit." if (key, found.protocols[0]) == ("group", "leave-users-out") else ""
    caption = (
        f"{best} recognises least of {word} {shares.idxmin()}, {shares.min():.1%}, and most of {shares.idxmax()}, "
        f"{shares.max():.1%}.{apart}{left_out(found)}"
    )
    return [captioned(f"each-{key}", title, of_each(found, key), caption)]


def _matrix(found: ClassificationResults, best: str) -> list[CaptionedFigure]:
    """Return what each class was taken for; of very many classes those with the most mistakes."""
    table = found.confusion(best)
    wrong = table.sum(axis=1) + table.sum(axis=0) - 2 * np.diag(table)
    shown_classes = sorted(wrong.sort_values(ascending=False, kind="stable").index[:MOST_CLASSES])
    some = f" Shown are the {len(shown_classes)} of {len(table)} classes with the most mistakes." * (
        len(table) > len(shown_classes)
    )
    seeds = found.of(found.protocols[0]).query("model == @best")["seed"].nunique()
    times = f", {seeds} seeds together" if seeds > 1 else ""
    caption = (
        f"Lines are what recordings are, columns what {best} takes them for{times}; blue is right, orange is not.{some}"
    )
    return [captioned("confusion", "Confusion matrix", matrix(table.loc[shown_classes, shown_classes]), caption)]


def _shares(found: ClassificationResults, key: str) -> Grid | None:
    """Return the accuracy of each model of each user, or class, over the protocols."""
    shares = found.by(key)
    if not shares.index.notna().all():
        return None
    word = "user" if key == "group" else "class"
    own = found.of(found.protocols[0])
    own = own[own["model"] == REFERENCE]
    total = counts(own).groupby(own[key]).sum()
    rows = tuple(
        (str(name), str(int(total[name])), *(f"{share:.1%}" for share in line))
        for name, line in zip(shares.index[:MAX_ROWS], shares.to_numpy(), strict=False)
    )
    more = max(0, len(shares) - MAX_ROWS)
    return Grid(f"Accuracy of each {word}", (word, "recordings", *shares.columns), rows, more=more)


def _optimism(found: ClassificationResults) -> list[CaptionedFigure]:
    if not found.optimism:
        return []
    caption = (
        "The orange line is the optimism of the random split (leak premium): accuracy gained because recordings of "
        "each user are on both sides of it. Both splits train on equally many recordings."
    )
    return [captioned("optimism", "Optimism of the random split", optimism(found.optimism), caption)]


def _curve(rows: pd.DataFrame) -> list[CaptionedFigure]:
    learned = learning(rows)
    first, last = learned.iloc[0], learned.iloc[-1]
    known = "" if math.isnan(last["gain_low"]) else f" ({span_of_gain(last)})"
    caption = (
        f"Learned from all users but one, then tuned on {', '.join(map(str, learned['shots'].tolist()))} recordings of "
        f"each class of that one; always tested on the same other ones of the same user. {last['shots']:.0f} of each "
        f"class move the mean from {first['accuracy']:.1%} to {last['accuracy']:.1%}, by "
        f"{100 * last['gain']:+.1f} points{known}."
    )
    return [captioned("curve", "A few recordings of the new user", curve(learned, of_users(rows)), caption)]


def span_of_gain(line: pd.Series) -> str:
    """Say the interval of a gain in points."""
    return f"{100 * line['gain_low']:+.1f} to {100 * line['gain_high']:+.1f}"


def _others(others: Mapping[str, ClassificationResults]) -> Grid | None:
    if not others:
        return None
    lines = []
    for name, found in others.items():
        table = found.table.set_index("model")
        lines.append({"set": name} | {str(model): f"{table.loc[model, 'accuracy']:.1%}" for model in table.index})
    told = pd.DataFrame(lines).fillna(MISSING)
    rows = tuple(tuple(map(str, line)) for line in told.itertuples(index=False))
    return Grid("Accuracy in other sets", tuple(told.columns), rows)
