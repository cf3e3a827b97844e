"""Report of a classifier comparison: one self-contained HTML page for screens and paper, and its figures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from tsforecast.evaluation.class_metrics import counts, probabilities
from tsforecast.evaluation.classification import (
    LABELS,
    REFERENCE,
    ClassificationResults,
    SplitOptimism,
    has_users,
)
from tsforecast.evaluation.report.steps import timeline_figures
from tsforecast.evaluation.steps import StepResults
from tsforecast.evaluation.transfer_curve import learning, of_users
from tsforecast.evaluation.verdict import findings
from tsforecast.reporting.figures import (
    COLOURS,
    INK,
    MAX_LINES,
    PAPER,
    QUIET,
    TINT,
    WIDTH,
    brief,
    canvas,
    hide_frame,
    in_style,
    mark_break,
    percent_axis,
    rows_canvas,
)
from tsforecast.reporting.page import CaptionedFigure, captioned, page
from tsforecast.reporting.tables import MISSING, Grid, as_text

MIN_SHARE = 0.5  # of the best accuracy: a model below it has no place in a figure, it would squeeze the rest
MAX_CLASSES = 24  # of a matrix whose numbers can be read on a phone
MAX_MISTAKES = 30  # that are listed, the most frequent ones
MAX_CURVES = 3  # classes with a colour of their own, those that are hardest to tell from the rest
METRICS = {
    "model": ("model", "{}"),
    "accuracy": ("accuracy", "{:.1%}"),
    "macro_f1": ("macro F1", "{:.3f}"),
    "balanced_accuracy": ("balanced accuracy", "{:.1%}"),
    "roc_auc": ("ROC area", "{:.3f}"),
    "log_loss": ("log loss", "{:.3f}"),
    "brier": ("Brier score", "{:.3f}"),
    "calibration_error": ("calibration error", "{:.1%}"),
}
CLASSES = {
    "class": ("class", "{}"),
    "precision": ("precision", "{:.1%}"),
    "recall": ("recall", "{:.1%}"),
    "f1": ("F1", "{:.3f}"),
    "support": ("recordings", "{:.0f}"),
    "roc_auc": ("ROC area", "{:.3f}"),
    "average_precision": ("average precision", "{:.3f}"),
}


def html_classification(
    results: ClassificationResults,
    title: str | None = None,
    curve: pd.DataFrame | None = None,
    others: Mapping[str, ClassificationResults] | None = None,
    facts: Mapping[str, str] | None = None,
) -> str:
    """Render results as one self-contained HTML page.

    It has the verdicts first, then all numbers, users, classes, the optimism of the random split, rows of
    `tsforecast.transfer_curve`, notes, accuracy on other sets by name, and facts by title. Data are escaped.
    """
    names, known = drawn_models(results), has_users(results.of(results.protocols[0]))
    return page(
        "classification.html.jinja",
        title=title or "Which classifiers are better than the majority?",
        summary=f"{results.headline}.",
        results=results,
        findings=findings(results.verdicts.values()),
        accuracies=_accuracy_figures(results, names, known),
        numbers={f"{name}: {LABELS[name]}": _accuracy_table(results, name) for name in results.protocols},
        timelines=timeline_figures(results, names) if isinstance(results, StepResults) else [],
        users=_figures_of_each(results, "group", names) if known else [],
        of_users=_table_of_each(results, "group") if known else None,
        classes=[*_figures_of_each(results, "true", names), *_confusion_figures(results, names[0])],
        of_classes=_table_of_each(results, "true"),
        metrics=metric_table(results),
        best_classes=class_table(results, names[0]),
        probabilities=_reliability_figures(results, names),
        curves=_one_against_rest_figures(results, names[0]),
        mistakes=mistake_table(results, names[0]),
        optimism=_optimism_figures(results),
        curve=_curve_figures(curve) if curve is not None and len(curve) else [],
        others=_other_sets(others or {}),
        facts=facts or {},
    )


def drawn_models(results: ClassificationResults) -> list[str]:
    """Return the models with a mark in figures, the best first; the majority where it is as good."""
    accuracy = _first(results)["accuracy"]
    return [str(name) for name in accuracy.index if accuracy[name] >= MIN_SHARE * accuracy.iloc[0]][:MAX_LINES]


def _first(results: ClassificationResults) -> pd.DataFrame:
    """Return the table of the protocol that decides, by model."""
    return results.table[results.table["protocol"] == results.protocols[0]].set_index("model")


def _omitted(results: ClassificationResults, names: list[str]) -> str:
    """Return a sentence that names the models without a mark."""
    shares = results.by("group")
    rest = [f"{name} ({shares[name].mean():.1%})" for name in shares if name not in names]
    return f" Left out: {', '.join(rest)}." if rest else ""


# Tables


def mistake_table(results: ClassificationResults, model: str) -> Grid | None:
    """Return the most frequent pairs of true and predicted class, and their users; None without mistakes."""
    rows = results.named(model=model)
    rows = rows.assign(n=counts(rows))
    wrong, total = rows[rows["true"] != rows["predicted"]], rows.groupby("true")["n"].sum()
    lines = []
    for (true, predicted), part in wrong.groupby(["true", "predicted"]):
        users = part.groupby("group")["n"].sum().sort_values(ascending=False)
        whose = ", ".join(f"{name} ({count})" for name, count in users.items()) or MISSING
        lines.append((true, predicted, int(part["n"].sum()), f"{part['n'].sum() / total[true]:.1%}", whose))
    lines.sort(key=lambda line: (-line[2], str(line[0]), str(line[1])))
    columns = ("truth", "predicted", results.unit, "of the class", "users")
    label, words = f"Mistakes of {model}", ("predicted", "users")
    return Grid.of(label, columns, lines, words=words, limit=MAX_MISTAKES) if lines else None


def _accuracy_table(results: ClassificationResults, protocol: str) -> Grid:
    title, table = f"Accuracy of all models, {LABELS[protocol]}", results.displayed(protocol)
    return Grid.of_frame(title, table, marked=REFERENCE, drop_empty=True)


def metric_table(results: ClassificationResults) -> Grid:
    """Return scores of classes and probabilities of each model, by the protocol that decides."""
    table = as_text(results.metrics().reset_index(), METRICS)
    return Grid.of_frame("Metrics of classes and probabilities", table, marked=REFERENCE, drop_empty=True)


def class_table(results: ClassificationResults, model: str) -> Grid:
    """Return precision, recall, F1, support and areas of each class for one model."""
    titles = CLASSES | {"support": (results.unit, "{:.0f}")}
    table = as_text(results.classes(model).reset_index(), titles)
    return Grid.of_frame(f"Precision and recall of {model}", table, drop_empty=True)


def _table_of_each(results: ClassificationResults, key: Literal["group", "true"]) -> Grid:
    """Return the accuracy of each model on each user or class."""
    shares, word = results.by(key), "user" if key == "group" else "class"
    own = results.named(model=REFERENCE)
    total = counts(own).groupby(own[key]).sum()
    rows = [
        (name, int(total[name]), *(f"{share:.1%}" for share in line))
        for name, line in zip(shares.index, shares.to_numpy(), strict=True)
    ]
    return Grid.of(f"Accuracy of each {word}", (word, results.unit, *shares.columns), rows)


def _other_sets(others: Mapping[str, ClassificationResults]) -> Grid | None:
    if not others:
        return None
    accuracy = {name: results.table.set_index("model")["accuracy"] for name, results in others.items()}
    lines = [
        {"set": name} | {str(model): f"{value:.1%}" for model, value in each.items()} for name, each in accuracy.items()
    ]
    return Grid.of_frame("Accuracy in other sets", pd.DataFrame(lines).fillna(MISSING))


# Figures with captions


def _accuracy_figures(results: ClassificationResults, names: list[str], known: bool) -> list[CaptionedFigure]:
    ticks = "A tick is a user; lines are 95% intervals over users. " if known else ""
    caption = (
        f"Accuracy ({LABELS[results.protocols[0]]}); strokes mark an axis that does not begin at 0. {ticks}A filled "
        f"dot is better than chance; a hollow one is worse or inconclusive.{_omitted(results, names)}"
    )
    return [captioned("accuracy", "Accuracy of each model", accuracy_figure(results, names), caption)]


def _figures_of_each(
    results: ClassificationResults, key: Literal["group", "true"], names: list[str]
) -> list[CaptionedFigure]:
    """Return the accuracy of the best models on each user or class."""
    word, shares = "user" if key == "group" else "class", results.by(key)[names]
    left_out = (key, results.protocols[0]) == ("group", "leave-users-out")
    best, unseen = shares[names[0]], " Each user was left out of the fit." if left_out else ""
    low, high = (
        f"{name}" if f"{name}".startswith(word) else f"{word} {name}" for name in (best.idxmin(), best.idxmax())
    )
    ends = f"lowest on {low}, {best.min():.1%}, and highest on {high}, {best.max():.1%}"
    ends = ends if best.min() < best.max() else f"{best.min():.1%} on each {word}"
    caption = f"Accuracy of {names[0]} is {ends}.{unseen}{_omitted(results, names)}"
    return [captioned(f"each-{key}", f"Accuracy of each {word}", figure_of_each(shares), caption)]


def _confusion_figures(results: ClassificationResults, best: str) -> list[CaptionedFigure]:
    """Return the confusion matrix; of very many classes that of those with the most mistakes."""
    table = results.confusion(best)
    wrong = table.sum(axis=1) + table.sum(axis=0) - 2 * np.diag(table)
    kept = sorted(wrong.sort_values(ascending=False, kind="stable").index[:MAX_CLASSES])
    part = f" Shown are the {len(kept)} of {len(table)} classes with the most mistakes."
    some = part if len(kept) < len(table) else ""
    rows = results.of(results.protocols[0])
    seeds = rows.loc[rows["model"] == best, "seed"].nunique()
    times = f", over {seeds} seeds" if seeds > 1 else ""
    caption = (
        f"Rows: true class. Columns: predicted class, by {best}{times}. Numbers are percent of the row; blue is right, "
        f"orange is wrong.{some}"
    )
    return [captioned("confusion", "Confusion matrix", confusion_figure(table.loc[kept, kept]), caption)]


def _reliability_figures(results: ClassificationResults, names: list[str]) -> list[CaptionedFigure]:
    """Return how often models are right by how certain they are; nothing where rows lack probabilities."""
    held = [name for name in names if probabilities(results.named(model=name)) is not None]
    if not held:
        return []
    error = results.metrics().loc[held[0], "calibration_error"]
    caption = (
        "Recordings with about the same probability of the predicted class, and how often that was right. On the "
        "diagonal probabilities are right; below it a model is too certain, above it not certain enough. "
        f"A larger dot is more recordings. The mean distance from it (calibration error) of {held[0]} is {error:.1%}."
    )
    return [captioned("reliability", "Reliability of probabilities", reliability_figure(results, held), caption)]


def _one_against_rest_figures(results: ClassificationResults, best: str) -> list[CaptionedFigure]:
    """Return both curves of each class of a model; nothing where rows lack probabilities, or classes."""
    table = results.classes(best)["roc_auc"].dropna()
    if table.empty:
        return []
    hardest = table.sort_values(kind="stable").index[:MAX_CURVES].tolist()
    some = ": named are those with the smallest area under the curve, grey are the others" * (len(table) > len(hardest))
    who = f"Each class against the rest, by {best}{some}."
    roc = "False positives are recordings of other classes; a curve through the upper left corner has no mistakes."
    both = [
        ("roc", "Receiver operating characteristic", roc),
        ("precision-recall", "Precision and recall", "A curve through the upper right corner has no mistakes."),
    ]
    return [
        captioned(name, title, curves_figure(results, best, name, list(table.index), hardest), f"{who} {how}")
        for name, title, how in both
    ]


def _optimism_figures(results: ClassificationResults) -> list[CaptionedFigure]:
    if not results.optimism:
        return []
    caption = (
        "The orange line is the optimism of the random split (leak premium): accuracy gained because recordings of "
        "each user are on both sides of it. Both splits train on equally many recordings."
    )
    return [captioned("optimism", "Optimism of the random split", optimism_figure(results.optimism), caption)]


def _curve_figures(rows: pd.DataFrame) -> list[CaptionedFigure]:
    learned = learning(rows)
    first, last = learned.iloc[0], learned.iloc[-1]
    low, high = 100 * last["gain_low"], 100 * last["gain_high"]
    interval = "" if math.isnan(low) else f" ({low:+.1f} to {high:+.1f})"
    caption = (
        f"Trained on all users but one, then tuned on {', '.join(map(str, learned['shots'].tolist()))} recordings of "
        f"each class of that one; always tested on the same other ones of the same user. {last['shots']:.0f} of each "
        f"class change the mean accuracy from {first['accuracy']:.1%} to {last['accuracy']:.1%}, by "
        f"{100 * last['gain']:+.1f} points{interval}."
    )
    return [captioned("curve", "A few recordings of the new user", curve_figure(learned, of_users(rows)), caption)]


# Figures


@in_style()
def accuracy_figure(results: ClassificationResults, names: list[str]) -> Figure:
    """Draw the accuracy of each model with its interval, and each user as a tick."""
    table, users = _first(results), results.by("group")
    figure, axes = rows_canvas(names, room=0.34)
    for row, name in enumerate(names):
        better = results.verdicts[name].outcome == "better"
        axes.plot(users[name], np.full(len(users), row), "|", ms=9, color=QUIET, mew=0.8)
        axes.plot([table.loc[name, "low"], min(table.loc[name, "high"], 1.0)], [row, row], color=INK, lw=1.2)
        axes.plot(table.loc[name, "accuracy"], row, "o", ms=6, color=INK, mfc=INK if better else PAPER, mew=1.2)
    _accuracy_axis(axes, float(users[names].min().min()))
    return figure


@in_style()
def figure_of_each(shares: pd.DataFrame) -> Figure:
    """Draw the accuracy of models (columns, the best first) by user or class, where the best is worst first."""
    shares = shares.loc[shares.iloc[:, 0].sort_values(kind="stable").index]
    figure, axes = rows_canvas([str(name) for name in shares.index], room=0.24)
    rows = np.arange(len(shares))
    for i, (name, colour) in enumerate(zip(shares, COLOURS, strict=False)):
        axes.plot(shares[name], rows, "o", ms=6 if i == 0 else 4, color=colour, label=brief(name), zorder=3 - 0.1 * i)
    _accuracy_axis(axes, float(shares.min().min()))
    return figure


@in_style()
def confusion_figure(table: pd.DataFrame, axes: Axes | None = None) -> Figure:
    """Draw the share of each true class (row) by predicted class (column), in percent."""
    size = len(table)
    side = WIDTH * 0.86 / max(size, 6)  # inches: as wide as high
    figure, axes = canvas(0.9 + side * size, axes)
    shares = table.div(table.sum(axis=1).replace(0, 1), axis=0).to_numpy()
    letters = float(np.clip(72 * side * 0.55, 7.2, 9))
    for (row, column), share in np.ndenumerate(shares):
        if count := int(table.iat[row, column]):
            colour = COLOURS[0] if row == column else COLOURS[1]
            alpha = TINT * (share if row == column else min(1.0, 0.15 + 3 * share))
            axes.add_patch(Rectangle((column - 0.48, row - 0.48), 0.96, 0.96, color=colour, alpha=alpha, lw=0))
            number = f"{100 * share:.0f}" if share >= 0.005 else "<1"
            number = ">99" if number == "100" and count < table.iloc[row].sum() else number
            axes.text(column, row, number, ha="center", va="center", color=INK, size=letters)
    names = [brief(name) for name in table.index]
    axes.set(xlim=(-0.5, size - 0.5), ylim=(size - 0.5, -0.5), xlabel="predicted class", ylabel="true class")
    rotation = 90 if max(map(len, names)) * size > 50 else 0
    axes.set_xticks(range(size), names, color=INK, size=max(letters, 7.5), rotation=rotation)
    axes.set_yticks(range(size), names, color=INK, size=max(letters, 7.5))
    axes.tick_params(pad=2)
    hide_frame(axes)
    return figure


@in_style()
def reliability_figure(results: ClassificationResults, names: list[str]) -> Figure:
    """Draw how often models are right by the probability of what they predict, with a diagonal."""
    figure, axes = canvas(3.2)
    axes.plot([0, 1], [0, 1], color=QUIET, lw=0.8, ls=(0, (4, 3)), label="_")
    for name, colour in zip(names, COLOURS, strict=False):
        bins = results.reliability(name)
        share = bins["recordings"] / bins["recordings"].sum()
        axes.plot(bins["confidence"], bins["accuracy"], color=colour, lw=1.2, label=brief(name))
        axes.scatter(bins["confidence"], bins["accuracy"], s=10 + 90 * share, color=colour, lw=0)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel="probability of the predicted class", ylabel="right")
    percent_axis(axes.xaxis)
    percent_axis(axes.yaxis)
    axes.grid()
    return figure


@in_style()
def curves_figure(
    results: ClassificationResults, model: str, curve: str, classes: list[Any], hardest: list[Any]
) -> Figure:
    """Draw a curve of each class against the rest, with a colour for the hardest ones."""
    figure, axes = canvas(3.2)
    x, y = ("false_positive_rate", "true_positive_rate") if curve == "roc" else ("recall", "precision")
    colours = dict(zip(hardest, COLOURS, strict=False))
    for label in [*(each for each in classes if each not in colours), *hardest]:
        points = results.roc(model, label) if curve == "roc" else results.precision_recall(model, label)
        line = {"color": colours.get(label, QUIET), "lw": 1.4 if label in colours else 0.6}
        name = brief(label) if label in colours else "_"
        axes.plot(points[x], points[y], drawstyle="steps-post" if curve == "roc" else "steps-pre", label=name, **line)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel=x.replace("_", " "), ylabel=y.replace("_", " "))
    percent_axis(axes.xaxis)
    percent_axis(axes.yaxis)
    axes.grid()
    return figure


@in_style()
def optimism_figure(optimism: list[SplitOptimism]) -> Figure:
    """Draw accuracy on unseen users and with users on both sides of a random split, with a line between."""
    figure, axes = rows_canvas([each.model for each in optimism], room=0.34)
    unseen, random = [each.unseen for each in optimism], [each.random for each in optimism]
    rows = np.arange(len(optimism))
    axes.hlines(rows, unseen, random, color=COLOURS[1], lw=2, zorder=1)
    axes.plot(unseen, rows, "o", ms=7, color=INK, label="users it has not seen")
    axes.plot(random, rows, "o", ms=7, color=COLOURS[1], label="users on both sides")
    _accuracy_axis(axes, min(unseen))
    return figure


@in_style()
def curve_figure(learned: pd.DataFrame, users: pd.DataFrame) -> Figure:
    """Draw accuracy by number of tuning sequences, with its interval, and a thin line for each user."""
    figure, axes = canvas(3.0)
    shots = learned["shots"].to_numpy()
    for i, (_, accuracy) in enumerate(users.iterrows()):
        axes.plot(shots, accuracy[shots], color=QUIET, lw=0.7, alpha=0.6, label="_" if i else "a user")
    axes.plot([], [], color=COLOURS[0], lw=1.8, label="mean, 95% interval")
    for at, low, high in learned[["shots", "low", "high"]].itertuples(index=False):
        axes.plot([at, at], [low, min(high, 1.0)], color=COLOURS[0], lw=1.2)
    axes.plot(shots, learned["accuracy"], "-o", ms=5, color=COLOURS[0], lw=1.8)
    axes.set(xlabel="recordings of each class of the new user", ylabel="accuracy", xticks=shots)
    axes.set_ylim(_limits(float(np.nanmin([users.min().min(), learned["low"].min()]))))
    percent_axis(axes.yaxis, top=1)
    axes.grid(axis="y")
    mark_break(axes, upright=True)
    return figure


def _limits(low: float) -> tuple[float, float]:
    """Return the ends of an axis of accuracy, from a little below the lowest one to a little above 1."""
    low = min(low, 0.95)  # where all is right, digits behind the point would be drawn
    room = 1 - low
    return low - 0.06 * room, 1 + 0.04 * room


def _accuracy_axis(axes: Axes, low: float) -> None:
    axes.set(xlim=_limits(low), xlabel="accuracy")
    percent_axis(axes.xaxis)
    mark_break(axes)
