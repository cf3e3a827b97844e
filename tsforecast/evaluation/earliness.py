"""Accuracy of early decisions by how much of a recording they read, and the threshold that validation chooses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tsforecast.checks import between
from tsforecast.errors import DataError, ParameterError, raise_any
from tsforecast.sequences.base import groups_of
from tsforecast.sequences.classifier import labels_of, unfitted
from tsforecast.sequences.network import NeuralSequenceEstimator
from tsforecast.sequences.stream import decided_at, rule_problems

if TYPE_CHECKING:
    from matplotlib.figure import Figure

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99, 1.0)


def earliness_curve(
    model: NeuralSequenceEstimator,
    X: Any,
    y: Any = None,
    groups: Any = None,
    thresholds: Sequence[float] = THRESHOLDS,
    *,
    patience: int = 1,
    deadlines: Sequence[int] = (),
) -> pd.DataFrame:
    """Return how right early decisions are, and how early, by the probability that they wait for.

    Each recording is streamed once. Deadlines are the naive way to decide early: whatever the probabilities are, the
    leading class is taken at one and the same step. A threshold is worth its place where it reads less for the same
    accuracy.

    Parameters
    ----------
    model : NeuralClassifier
        Fitted, on other recordings, with ``bidirectional=False``.
    X, y, groups : as in `Classifier.fit`
    thresholds : list of float
        Each in (0, 1]; the whole recording, 1, is added.
    patience : int
        As in `tsforecast.sequences.stream.EarlyDecision`.
    deadlines : list of int
        Steps, at least 1.

    Returns
    -------
    pandas.DataFrame
        A row for each threshold, then for each deadline: ``threshold``, ``deadline`` (steps, or NaN), ``accuracy``,
        ``lowest`` (that of the user with the lowest, or NaN), ``earliness`` (mean share of a recording that is read: 0
        is early), ``steps`` (their mean number), ``harmonic_mean`` of accuracy and 1 - earliness [Schäfer and Leser
        2020, TEASER] and ``recordings``.

    Raises
    ------
    NotFittedError, DataError
    ParameterError
        Also when the model has no stream, or does not give one label to a whole recording.

    Examples
    --------
    >>> from tsforecast import GRUClassifier
    >>> waves = [np.sin(np.arange(20) * (1 + i % 2) + i) for i in range(40)]
    >>> labels = ["slow", "fast"] * 20
    >>> model = GRUClassifier(units=8, layers=1, bidirectional=False, max_epochs=150, random_state=0)
    >>> model = model.fit(waves[:20], labels[:20])
    >>> curve = earliness_curve(model, waves[20:], labels[20:], thresholds=[0.7], patience=3)
    >>> curve[["threshold", "accuracy"]].values.tolist(), float(curve["steps"].max())
    ([[0.7, 1.0], [1.0, 1.0]], 20.0)
    """
    levels = [*thresholds, *([] if 1 in thresholds else [1.0])]
    problems = [problem for level in levels for problem in rule_problems(level, 1, None)]
    problems += [problem for steps in deadlines for problem in rule_problems(1.0, 1, steps)]
    raise_any([*problems, *rule_problems(1.0, patience, None)], ParameterError)
    if not isinstance(model, NeuralSequenceEstimator):
        raise ParameterError(f"a curve of earliness needs a network with a stream: got {model!r}")
    stream = model.stream()
    stream.decide(1.0)  # refuses what is no label of a whole recording
    panel = model._read(X, reset=False)
    labels = labels_of(X, y, len(panel))
    users, wrong = groups_of(panel, groups)
    assert stream.classes is not None
    raise_any(unfitted(labels, stream.classes, "leave those out") + wrong)
    seen = []  # class that leads at each step of a recording, and its probability
    for i in range(len(panel)):
        probabilities = stream.reset().push(panel.series(i))
        leaders = stream.leaders(probabilities)
        seen.append((leaders, probabilities[np.arange(len(leaders)), leaders]))

    rules: list[tuple[float, int | None]] = [(float(level), None) for level in levels]
    rows = []
    for threshold, deadline in rules + [(1.0, int(steps)) for steps in deadlines]:
        steps = np.array([decided_at(*each, threshold, patience, deadline) for each in seen])
        found = stream.classes[[leaders[count - 1] for (leaders, _), count in zip(seen, steps, strict=True)]]
        right, read = found == labels, float(np.mean(steps / panel.lengths))
        rows.append(
            {
                "threshold": threshold,
                "deadline": np.nan if deadline is None else float(deadline),
                "accuracy": float(right.mean()),
                "lowest": np.nan if users is None else float(pd.Series(right).groupby(users.astype(str)).mean().min()),
                "earliness": read,
                "steps": float(steps.mean()),
                "harmonic_mean": harmonic_mean(float(right.mean()), 1 - read),
                "recordings": len(panel),
            }
        )
    return pd.DataFrame(rows)


def choose_threshold(curve: pd.DataFrame, within: float = 0.01) -> float:
    """Return the threshold that reads least of those that cost at most so much accuracy.

    Make the curve of recordings that neither trained nor will be tested, best of users of their own: a threshold that
    is chosen on the recordings it is reported for is flattered.

    Parameters
    ----------
    curve : pandas.DataFrame
        Of `earliness_curve`.
    within : float
        Accuracy that may be lost against reading whole recordings, in [0, 1).

    Raises
    ------
    ParameterError, DataError

    Examples
    --------
    >>> curve = pd.DataFrame({"threshold": [0.6, 0.9, 1.0], "accuracy": [0.7, 0.945, 0.95]})
    >>> choose_threshold(curve.assign(deadline=np.nan, earliness=[0.2, 0.5, 1.0]))
    0.9
    """
    raise_any(between("within", within, 0, 1), ParameterError)
    if not isinstance(curve, pd.DataFrame):
        raise DataError(f"curve must be a frame as earliness_curve returns it: got {curve!r}")
    own = curve[curve["deadline"].isna()]
    whole = own[own["threshold"] == 1]
    if whole.empty:
        raise DataError("curve must have the row of whole recordings, threshold 1: pass that of earliness_curve")
    enough = own[own["accuracy"] >= whole["accuracy"].iloc[0] - within - 1e-12]
    return float(enough.sort_values("earliness", kind="stable")["threshold"].iloc[0])


def harmonic_mean(accuracy: float, saved: float) -> float:
    """Return the harmonic mean of accuracy and the share that is not read; 0 where both are."""
    return 2 * accuracy * saved / (accuracy + saved) if accuracy + saved > 0 else 0.0


def earliness_figure(curve: pd.DataFrame) -> Figure:
    """Return accuracy by the share of a recording that is read: a dot for each threshold, a line for deadlines.

    Parameters
    ----------
    curve : pandas.DataFrame
        Of `earliness_curve`.

    Examples
    --------
    >>> rows = {"threshold": [0.6, 1.0], "deadline": np.nan, "accuracy": [0.7, 0.9], "earliness": [0.3, 1.0]}
    >>> earliness_figure(pd.DataFrame(rows)).axes[0].get_xlabel()
    'share of the recording that is read'
    """
    from tsforecast.reporting.figures import COLOURS, REFERENCE, canvas, in_style, percent, percent_axis

    with in_style():
        figure, axes = canvas()
        late = curve[curve["deadline"].notna()].sort_values("earliness")
        if len(late):
            axes.plot(late["earliness"], late["accuracy"], color=REFERENCE, marker=".", label="deadline")
        own = curve[curve["deadline"].isna()].sort_values("earliness")
        axes.plot(own["earliness"], own["accuracy"], color=COLOURS[0], marker="o", ms=4, label="threshold")
        for _, row in own.iloc[[0, len(own) // 2, -1]].iterrows():
            axes.annotate(
                percent(row["threshold"]) if row["threshold"] < 1 else "whole",
                (row["earliness"], row["accuracy"]),
                (0, -12),
                textcoords="offset points",
                ha="right" if row["earliness"] > 0.95 else "center",
                color=COLOURS[0],
            )
        axes.set_xlabel("share of the recording that is read")
        axes.set_ylabel("accuracy")
        percent_axis(axes.xaxis)
        percent_axis(axes.yaxis, 1.0)
        axes.grid(axis="y")
        axes.legend(frameon=False, loc="lower right")
    return figure
