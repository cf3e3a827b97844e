"""Few-shot transfer curve: accuracy on a new user after fine-tuning on none to several sequences of each class."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone

from tsforecast.checks import whole
from tsforecast.data.splits import Positions
from tsforecast.errors import DataError, ParameterError, raise_any, shorten
from tsforecast.evaluation.classification import accuracy_by
from tsforecast.evaluation.folds import LabelledSequences, SequenceFold, folds
from tsforecast.evaluation.runner import seeded_clones
from tsforecast.evaluation.significance import over_users
from tsforecast.events import clock
from tsforecast.sequences.neural import NeuralClassifier

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
    """Fit on all users but one, `fine_tune` on a few sequences of that one, and test on the rest of them.

    Parameters
    ----------
    classifier : NeuralClassifier
    X, y, groups : as in `Classifier.fit`
    shots : list of int
        Sequences of each class to tune on, drawn at random by the seed, each draw within the next larger one; 0 is the
        network as fitted on the others. All are tested on the same sequences, which include all copies.
    seeds : int
        As in `compare_classifiers`.
    progress : callable, optional
        Called with the name of each user at its end.
    **tuning
        As in `NeuralClassifier.fine_tune`.

    Returns
    -------
    pandas.DataFrame
        A row for each prediction: ``seed, shots, group, recording, true, predicted, tuned_on`` (number of sequences)
        and ``fit_seconds``. See `learning`.

    Raises
    ------
    DataError, ParameterError
        Also when a user has too few sequences of a class to tune on so many and test on another one.

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
    problems = whole("seeds", seeds, 1)
    if isinstance(shots, str) or not isinstance(shots, Iterable):
        problems.append(f"shots must be a list of whole numbers, such as {list(SHOTS)}: got {shots!r}")
    else:
        problems += [problem for count in shots for problem in whole("shots", count, 0)]
    raise_any(problems, ParameterError)
    data = LabelledSequences.read(X, y, groups)
    if data.groups is None:
        raise DataError("a transfer curve must have users to leave out: got none; pass groups=..., one a recording")
    every = folds(data, ["leave-users-out"])
    raise_any(problem for fold in every for problem in _too_few(data, fold, max(shots)))
    parts = []
    for model in seeded_clones(classifier, seeds):
        for fold in every:
            parts.append(_of_user(model, data, fold, sorted(shots), tuning))
            if progress:
                progress(str(parts[-1]["group"].iloc[0]))
    return pd.concat(parts, ignore_index=True)


def learning(rows: pd.DataFrame) -> pd.DataFrame:
    """Return accuracy by number of sequences of each class for fine-tuning, with intervals over users.

    Takes rows of `transfer_curve`, or tallies of them with a ``count``. The gain is over no shots, user by user.
    """
    users = of_users(rows)
    own = pd.DataFrame([over_users(users[shots]) for shots in users])
    gain = pd.DataFrame([over_users(users[shots] - users.iloc[:, 0]) for shots in users]).add_prefix("gain_")
    table = own.rename(columns={"mean": "accuracy"}).join(gain.rename(columns={"gain_mean": "gain"}))
    table.insert(0, "shots", [int(shots) for shots in users])
    return table[["shots", "accuracy", "low", "high", "gain", "gain_low", "gain_high", "users"]]


def of_users(rows: pd.DataFrame) -> pd.DataFrame:
    """Return accuracy by user, in lines, and number of shots, in columns."""
    return accuracy_by(rows, "group", "shots").sort_index(axis=1)


def _of_user(
    model: NeuralClassifier, data: LabelledSequences, fold: SequenceFold, shots: list[int], tuning: dict[str, Any]
) -> pd.DataFrame:
    """Return the predictions for one user, after each number of shots."""
    drawn = _drawn(data, fold, max(shots), model.random_state)
    tested = np.setdiff1d(fold.test, drawn)
    model = clone(model)
    data.fit(model, fold.train)
    parts = []
    for count in shots:
        own = drawn[:, :count].ravel()
        began = clock()
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
                    "fit_seconds": clock() - began,
                }
            )
        )
    return pd.concat(parts)


def _drawn(data: LabelledSequences, fold: SequenceFold, most: int, seed: int | None) -> NDArray[np.int64]:
    """Draw sequences of each class to tune on, (K, most), from those without copies."""
    random = np.random.default_rng(seed)
    classes = np.unique(data.labels[fold.test])
    found = [random.permutation(_without_copies(data, fold, label))[:most] for label in classes]
    return np.array(found, dtype=np.int64).reshape(len(classes), most)


def _without_copies(data: LabelledSequences, fold: SequenceFold, label: Any) -> Positions:
    """Return the tested sequences of a class that have no copies."""
    copied = [place for copies in data.copies for place in copies.places]
    return np.setdiff1d(fold.test[data.labels[fold.test] == label], copied)


def _too_few(data: LabelledSequences, fold: SequenceFold, most: int) -> list[str]:
    tested = data.labels[fold.test].tolist()
    lacking = [
        f"{tested.count(label)} of {str(label)!r}"
        for label in sorted(set(tested))
        if min(len(_without_copies(data, fold, label)), tested.count(label) - 1) < most
    ]
    if not lacking or data.groups is None:
        return []
    user = str(data.groups[fold.test[0]])
    return [
        f"each user must have more than {most} recordings of each class, to tune on {most} without copies and test on "
        f"others: {user!r} has {shorten(lacking)}; use fewer shots"
    ]
