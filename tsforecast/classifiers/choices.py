"""What a network classifier chooses from the data: who validates, how long it trains, how much a class counts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.classifiers.base import Floats, Labels
from tsforecast.errors import DataError, shorten

Mask = NDArray[np.bool_]

EPOCHS = 12  # at least
STEPS = 1_200  # of the optimiser, at least: few recordings make short epochs
MOST = 300  # epochs


def validating(
    labels: Labels, groups: NDArray[Any] | None, validation: float | int | None, random: np.random.Generator
) -> tuple[int, Mask]:
    """Choose which recordings validate.

    Parameters
    ----------
    labels : int64 array of shape (N,)
    groups : array of shape (N,) or None
    validation : float, int or None
        Share or number of the groups, the last ones in the order in which they appear; without groups of the
        recordings, the same share of each class, of which one recording at least trains.

    Returns
    -------
    int
        Groups, or recordings, that validate.
    bool array of shape (N,)

    Raises
    ------
    DataError
        When nothing would be left to train on, or nothing of some class.

    Examples
    --------
    >>> count, mask = validating(np.array([0, 0, 1, 1]), np.array(["ann", "bob", "ann", "bob"]), 0.5, None)
    >>> count, mask.tolist()
    (1, [False, True, False, True])
    """
    nobody = np.zeros(len(labels), dtype=np.bool_)
    if not validation:
        return 0, nobody
    if groups is None:
        share = validation if isinstance(validation, float) else validation / len(labels)
        if share >= 1:
            raise DataError(
                f"validation must leave recordings to train on: takes {validation} of {len(labels)}; use a smaller "
                "number, or validation=None"
            )
        for label in np.unique(labels):
            own = random.permutation(np.flatnonzero(labels == label))
            nobody[own[: min(round(share * len(own)), len(own) - 1)]] = True
        return int(nobody.sum()), nobody
    names = list(dict.fromkeys(groups.tolist()))
    count = max(1, round(validation * len(names))) if isinstance(validation, float) else int(validation)
    if count >= len(names):
        if len(names) == 1:
            raise DataError(
                f"groups must be two at least, one to train on and one to validate: got 1 group, {str(names[0])!r}, "
                f"for all {len(labels)} recordings; use validation=None, or recordings without groups"
            )
        raise DataError(
            f"validation must leave a group to train on: takes {count} of {len(names)} groups; use validation <= "
            f"{len(names) - 1}"
        )
    mask = np.isin(groups, np.array(names[-count:], dtype=groups.dtype))
    lacking = sorted(set(labels.tolist()) - set(labels[~mask].tolist()))
    if lacking:
        held = shorten([repr(str(name)) for name in names[-count:]])
        raise DataError(
            f"every class must have recordings to train on: without the groups that validate ({held}) {len(lacking)} "
            f"of {len(set(labels.tolist()))} classes have none; use validation=None, or order the recordings so that "
            "other groups come last"
        )
    return count, mask


def epochs(asked: int | str, steps: int) -> int:
    """Return the epochs that were asked for; auto: as many as make 1,200 steps, from 12 up to 300.

    Examples
    --------
    >>> epochs("auto", steps=89), epochs("auto", steps=9), epochs(5, steps=9)
    (14, 134, 5)
    """
    if not isinstance(asked, str):
        return int(asked)
    return min(MOST, max(EPOCHS, -(-STEPS // steps)))


def class_weights(asked: dict[Any, float] | str | None, classes: NDArray[Any], labels: Labels) -> Floats:
    """Return how much a recording of each class counts, (K,), 1 in the mean over those that train.

    Parameters
    ----------
    asked : dict, "balanced" or None
        Weights by label, 1 for one that is not named; or all classes count the same, however frequent they are.
    labels : int64 array of shape (n,)
        Of the recordings that train.

    Examples
    --------
    >>> class_weights("balanced", np.array(["a", "b"]), np.array([0, 0, 0, 1])).round(2).tolist()
    [0.67, 2.0]
    """
    counts = np.bincount(labels, minlength=len(classes)).astype(np.float64)
    if asked is None:
        return np.ones(len(classes))
    named = {} if isinstance(asked, str) else asked
    weights = (
        1 / np.maximum(counts, 1) if isinstance(asked, str) else np.array([named.get(c, 1.0) for c in classes.tolist()])
    )
    return np.asarray(weights * len(labels) / (weights @ counts))
