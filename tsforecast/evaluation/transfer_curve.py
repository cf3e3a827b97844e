"""How much a few recordings of one more user help: a curve from none to several of each class."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone

from tsforecast.checks import whole
from tsforecast.classifiers.neural import NeuralClassifier
from tsforecast.data.splits import Positions
from tsforecast.errors import ParameterError, raise_any, shorten
from tsforecast.evaluation.classification import over_users
from tsforecast.evaluation.compare_classifiers import fit
from tsforecast.evaluation.folds import Fold, Labelled, folds
from tsforecast.evaluation.runner import seeded_clones

SHOTS = (0, 1, 3, 5)


def transfer_curve(
    classifier: NeuralClassifier,
    X: Any,
    y: Any,
    groups: Any = None,
    shots: Sequence[int] = SHOTS,
    *,
    seeds: int = 1,
    progress: Callable[[str], None] | None = None,
    **tuning: Any,
) -> pd.DataFrame:
    """Learn from all users but one, `fine_tune` on a few recordings of that one, and test on the rest of them.

    Parameters
    ----------
    classifier : NeuralClassifier
    X, y, groups : as in `Classifier.fit`
    shots : list of int
        Recordings of each class to tune on; 0 is the network as it came from the others. Drawn at random by the seed,
        the fewer among the more; the recordings that test are the same for all, and copies are always among them.
    seeds : int
        As in `compare_classifiers`.
    progress : callable, optional
        Called with the name of each user when it is done.
    **tuning
        As in `NeuralClassifier.fine_tune`.

    Returns
    -------
    pandas.DataFrame
        A row for each answer: ``seed, shots, group, recording, true, predicted, tuned_on`` (recordings) and
        ``fit_seconds``. See `learning`.

    Raises
    ------
    DataError, ParameterError
        Also when a user has too few recordings of a class to tune on so many and test on another one.

    Examples
    --------
    >>> waves = [np.sin(np.arange(12) * (1 + i % 2) + i / 9) for i in range(24)]
    >>> labels, users = np.array(["slow", "fast"] * 12), np.repeat(["ann", "bob"], 12)
    >>> model = NeuralClassifier(units=8, layers=1, max_epochs=5, validation=None, random_state=0)
    >>> rows = transfer_curve(model, waves, labels, users, shots=(0, 2))
    >>> rows.groupby("shots")["tuned_on"].max().to_dict(), len(rows)
    ({0: 0, 2: 4}, 32)
    """
    if not isinstance(classifier, NeuralClassifier):
        raise ParameterError(f"a transfer curve needs a network with fine_tune: got {classifier!r}")
    problems = whole("seeds", seeds, 1) + [problem for count in shots for problem in whole("shots", count, 0)]
    raise_any(problems, ParameterError)
    data = Labelled.read(X, y, groups)
    every = folds(data, ["leave-users-out"])
    raise_any(classifier.recording_problems(data.panel))
    raise_any(problem for fold in every for problem in _too_few(data, fold, max(shots)))
    parts = []
    for model in seeded_clones(classifier, seeds):
        for fold in every:
            parts.append(_of_user(model, data, fold, sorted(shots), tuning))
            if progress:
                progress(str(parts[-1]["group"].iloc[0]))
    return pd.concat(parts, ignore_index=True)


def learning(rows: pd.DataFrame) -> pd.DataFrame:
    """Return accuracy by number of recordings of each class that were tuned on, with intervals over users.

    Parameters
    ----------
    rows : pandas.DataFrame
        See `transfer_curve`; or tallies with a ``count``.

    Returns
    -------
    pandas.DataFrame
        ``shots, accuracy, low, high, gain, gain_low, gain_high, users``; the gain is over no shots, user by user.

    Examples
    --------
    >>> rows = pd.DataFrame({"shots": [0, 0, 1, 1], "group": ["ann", "bob"] * 2, "true": "up"})
    >>> learning(rows.assign(predicted=["up", "down", "up", "up"]))[["shots", "accuracy", "gain"]].to_numpy().tolist()
    [[0.0, 0.5, 0.0], [1.0, 1.0, 0.5]]
    """
    users, found = of_users(rows), []
    for shots in users:
        own, gain = over_users(users[shots]), over_users(users[shots] - users[users.columns[0]])
        found.append(
            {
                "shots": int(shots),
                "accuracy": own.mean,
                "low": own.low,
                "high": own.high,
                "gain": gain.mean,
                "gain_low": gain.low,
                "gain_high": gain.high,
                "users": own.users,
            }
        )
    return pd.DataFrame(found)


def of_users(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the accuracy of each user, a line, after each number of shots, a column.

    Examples
    --------
    >>> rows = pd.DataFrame({"shots": [0, 1], "group": "ann", "true": "up", "predicted": ["down", "up"]})
    >>> of_users(rows).loc["ann"].to_dict()
    {0: 0.0, 1: 1.0}
    """
    counts = rows["count"] if "count" in rows else pd.Series(1, index=rows.index)
    right, keys = counts.where(rows["true"] == rows["predicted"], 0), [rows["shots"], rows["group"]]
    return (right.groupby(keys).sum() / counts.groupby(keys).sum()).unstack(level=0)


def _of_user(
    model: NeuralClassifier, data: Labelled, fold: Fold, shots: list[int], tuning: dict[str, Any]
) -> pd.DataFrame:
    """Return the answers about one user, after each number of shots."""
    drawn = _drawn(data, fold, max(shots), model.random_state)
    tested = np.setdiff1d(fold.test, drawn)
    model = clone(model)
    fit(model, data, fold.train)
    parts = []
    for count in shots:
        own = drawn[:, :count].ravel()
        began = time.perf_counter()
        tuned = model.fine_tune(data.part(own), data.labels[own], **tuning) if count else model
        parts.append(
            pd.DataFrame(
                {
                    "seed": model.random_state,
                    "shots": count,
                    "group": str(data.groups[fold.test[0]]) if data.groups is not None else "",
                    "recording": data.panel.ids[tested],
                    "true": data.labels[tested],
                    "predicted": tuned.predict(data.part(tested)),
                    "tuned_on": len(own),
                    "fit_seconds": time.perf_counter() - began,
                }
            )
        )
    return pd.concat(parts)


def _drawn(data: Labelled, fold: Fold, most: int, seed: int | None) -> NDArray[np.int64]:
    """Draw recordings of each class to tune on, (K, most); none of which there is a copy."""
    random = np.random.default_rng(seed)
    classes = np.unique(data.labels[fold.test])
    found = [random.permutation(_alone(data, fold, label))[:most] for label in classes]
    return np.array(found, dtype=np.int64).reshape(len(classes), most)


def _alone(data: Labelled, fold: Fold, label: Any) -> Positions:
    """Return the tested recordings of a class that have no copies."""
    copied = [place for copies in data.copies for place in copies.places]
    return np.setdiff1d(fold.test[data.labels[fold.test] == label], copied)


def _too_few(data: Labelled, fold: Fold, most: int) -> list[str]:
    tested = data.labels[fold.test].tolist()
    lacking = [
        f"{tested.count(label)} of {str(label)!r}"
        for label in sorted(set(tested))
        if min(len(_alone(data, fold, label)), tested.count(label) - 1) < most
    ]
    if not lacking or data.groups is None:
        return []
    user = str(data.groups[fold.test[0]])
    return [
        f"each user must have more than {most} recordings of each class, to tune on {most} without copies and test on "
        f"others: {user!r} has {shorten(lacking)}; use fewer shots"
    ]
