"""Who learns and who is tested: the folds on which classifiers of recordings are compared."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.classifiers.base import Classifier, labels_of
from tsforecast.data import sequences as recordings
from tsforecast.data.panel import Panel
from tsforecast.data.sequences import Copies, content, find_copies
from tsforecast.data.splits import LeaveGroupsOut, Positions
from tsforecast.errors import DataError, ParameterError, nearest, raise_any, shorten

PROTOCOLS = ("leave-users-out", "random")
GIVEN = "given"  # the split came with the recordings
PARTS = 5  # of a random split where there are no users to count


@dataclass(frozen=True, eq=False)
class Labelled:
    """Recordings with a label each, and the user of each where that is known.

    Attributes
    ----------
    panel : Panel
    labels : array of shape (N,)
    groups : array of shape (N,) or None
    copies : list of Copies
    """

    panel: Panel
    labels: NDArray[Any]
    groups: NDArray[Any] | None
    copies: list[Copies]

    @classmethod
    def read(cls, X: Any, y: Any, groups: Any = None) -> Labelled:
        """Read what `Classifier.fit` takes, with every problem said at once.

        Raises
        ------
        DataError
        """
        panel = recordings.read(X)
        labels = labels_of(X, y, len(panel))
        problems = []
        classes = sorted(set(labels.tolist()))
        if len(classes) < 2:
            problems.append(
                f"y must have two classes at least: got 1 class, {str(classes[0])!r}, for all {len(panel)} recordings; "
                "give recordings of another class as well"
            )
        users = panel.groups if groups is None else np.asarray(groups)
        if users is not None and users.shape != (len(panel),):
            problems.append(f"groups must be one for each recording, ({len(panel)},): got shape {users.shape}")
        raise_any(problems)
        return cls(panel, labels, users, find_copies(panel, labels, users))

    def __len__(self) -> int:
        return len(self.panel)

    def part(self, places: Positions) -> list[NDArray[Any]]:
        """Return recordings as arrays, which any splitter of scikit-learn can take apart again."""
        return [self.panel.series(i) for i in places]

    def users(self, places: Positions) -> NDArray[Any] | None:
        """Return the user of each of some recordings."""
        return None if self.groups is None else self.groups[places]


@dataclass(frozen=True, eq=False)
class Fold:
    """One fit: the recordings that it learns from, and those that it is tested on.

    Attributes
    ----------
    protocol : str
    number : int
    train, test : int64 arrays
    """

    protocol: str
    number: int
    train: Positions
    test: Positions


def folds(data: Labelled, protocols: Sequence[str], test: Any = None) -> list[Fold]:
    """Return the folds of each protocol, or the one that a given split makes.

    Parameters
    ----------
    data : Labelled
    protocols : list of {"leave-users-out", "random"}
        See `tsforecast.recognise`.
    test : bool array of shape (N,), optional

    Raises
    ------
    DataError, ParameterError
        Also when a class would be tested that has no recordings to learn from.

    Examples
    --------
    >>> data = Labelled.read(np.arange(8.0).reshape(4, 2), ["up", "down"] * 2, ["ann", "ann", "bob", "bob"])
    >>> [(fold.train.tolist(), fold.test.tolist()) for fold in folds(data, ["leave-users-out"])]
    [([2, 3], [0, 1]), ([0, 1], [2, 3])]
    """
    if test is not None:
        found = [Fold(GIVEN, 0, *_given(data, test))]
    else:
        unknown = [
            f"protocol must be one of {', '.join(map(repr, PROTOCOLS))}: got {name!r}; {nearest(name, PROTOCOLS)}"
            for name in protocols
            if name not in PROTOCOLS
        ]
        raise_any(unknown, ParameterError)
        found = []
        for name in protocols:
            pairs = _leaving_users_out(data) if name == "leave-users-out" else _at_random(data)
            found += [Fold(name, number, *pair) for number, pair in enumerate(pairs)]
    raise_any(problem for fold in found for problem in _lacking(data, fold))
    return found


def both_sides(data: Labelled, every: Sequence[Fold]) -> list[str]:
    """Say how many users are on both sides of a split that came with the recordings.

    Examples
    --------
    >>> data = Labelled.read(np.arange(6.0).reshape(3, 2), ["up", "down", "up"], ["ann", "ann", "ann"])
    >>> both_sides(data, folds(data, [], test=[False, False, True]))
    ['1 of 1 tested users is on both sides of the split that came with the recordings']
    """
    found = []
    for fold in every:
        if fold.protocol == GIVEN and data.groups is not None:
            tested = set(data.groups[fold.test].tolist())
            count = len(tested & set(data.groups[fold.train].tolist()))
            are = "is" if count == 1 else "are"
            where = "on both sides of the split that came with the recordings"
            found += [f"{count} of {len(tested)} tested users {are} {where}"] * bool(count)
    return found


def model_problems(models: dict[str, Any], data: Labelled) -> list[str]:
    """Return what stands in the way of fitting any of the models, so that nothing is trained in vain."""
    found: list[str] = []
    for name, model in models.items():
        inner = getattr(model, "estimator", model)  # what a search tries
        if isinstance(inner, Classifier):
            found += [f"{name}: {problem}" for problem in inner.recording_problems(data.panel)]
    return found


def _leaving_users_out(data: Labelled) -> list[tuple[Positions, Positions]]:
    if data.groups is None:
        raise DataError(
            "recordings must have users to leave out: pass groups=..., one for each recording; or test=... for a split "
            "that came with them; or protocol='random', where a user may be on both sides"
        )
    names = sorted({str(user) for user in data.groups})
    if len(names) < 2:
        raise DataError(
            f"groups must be two at least, one to learn from and one to test on: got 1 group, {names[0]!r}, for all "
            f"{len(data)} recordings; protocol='random' tells how well that one is recognised"
        )
    return list(LeaveGroupsOut().split(np.arange(len(data)), groups=data.groups))


def _at_random(data: Labelled) -> list[tuple[Positions, Positions]]:
    """Split at random, each class alike, into as many parts as there are users: each learns as much as without one.

    Copies stay together: one of them that is learned from would give the other one away.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    parts = PARTS if data.groups is None else max(2, len(set(data.groups.tolist())))
    parts = min(parts, max(2, int(np.unique(data.labels, return_counts=True)[1].max())))
    splitter = StratifiedGroupKFold(parts, shuffle=True, random_state=0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")  # what it lacks is said in our words
        return list(splitter.split(np.zeros(len(data)), data.labels, content(data.panel)))


def _given(data: Labelled, test: Any) -> tuple[Positions, Positions]:
    mask = np.asarray(test)
    if mask.shape != (len(data),) or mask.dtype != np.bool_:
        raise DataError(
            f"test must say for each recording whether it is tested, True or False, ({len(data)},): got shape "
            f"{mask.shape} of {mask.dtype}"
        )
    if mask.all() or not mask.any():
        raise DataError(
            f"test must leave recordings on both sides: it is True for {int(mask.sum())} of {len(data)} recordings"
        )
    return np.flatnonzero(~mask), np.flatnonzero(mask)


def _lacking(data: Labelled, fold: Fold) -> list[str]:
    """Return what is wrong with a fold that tests classes which it cannot learn."""
    learned = set(data.labels[fold.train].tolist())
    tested = data.labels[fold.test].tolist()
    found = []
    for label in sorted(set(tested) - learned):
        where = "in the given split"
        if fold.protocol == "leave-users-out" and data.groups is not None:
            where = f"without user {str(data.groups[fold.test[0]])!r}"
        elif fold.protocol == "random":
            where = f"in part {fold.number + 1} of the random split"
        found.append(
            f"every class must have recordings to learn from: {where} class {str(label)!r} has none, and "
            f"{tested.count(label)} are tested; leave these out, or record that class more widely"
        )
    if len(learned) < 2 and not found:
        found.append(
            f"what is learned from must have two classes at least: fold {fold.number + 1} of {fold.protocol} has "
            f"{shorten([repr(str(label)) for label in learned])} alone"
        )
    return found
