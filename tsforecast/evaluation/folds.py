"""Folds of labelled sequences: leave users out, split at random, or use a given split."""

from __future__ import annotations

import hashlib
import inspect
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import config_context
from sklearn.base import ClassifierMixin

from tsforecast.checks import one_of
from tsforecast.data import samples
from tsforecast.data.panel import Panel
from tsforecast.data.samples import DuplicateSet, content, find_duplicates
from tsforecast.data.splits import Fold, LeaveGroupsOut, Positions
from tsforecast.errors import DataError, ParameterError, counted, raise_any, shorten
from tsforecast.events import interruptible
from tsforecast.sequences.base import groups_of
from tsforecast.sequences.classifier import labels_of, one_class, table_of

PROTOCOLS = ("leave-users-out", "random")
GIVEN = "given"  # the split came with the sequences
RANDOM_PARTS = 5  # of a random split of sequences without users


@dataclass(frozen=True, eq=False)
class LabelledSequences:
    """Sequences with a label each, and the user of each where that is known."""

    panel: Panel
    labels: NDArray[Any]  # (N,)
    groups: NDArray[Any] | None  # users, (N,)
    copies: list[DuplicateSet]

    @classmethod
    def read(cls, X: Any, y: Any, groups: Any = None) -> LabelledSequences:
        """Read the arguments of `Classifier.fit`; DataError has every problem."""
        panel = samples.read(X)
        if table_of(X, y, len(panel)) is not None:
            raise DataError(
                "a comparison must have one label for each recording: got a table of several; compare one column at a "
                "time, or use cross_val_score"
            )
        labels = labels_of(X, y, len(panel))
        users, problems = groups_of(panel, groups)
        raise_any(one_class(labels, sorted(set(labels.tolist()))) + problems)
        return cls(panel, labels, users, find_duplicates(panel, labels, users))

    def __len__(self) -> int:
        return len(self.panel)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of sequences, labels and users."""
        users = None if self.groups is None else self.groups.tolist()
        return hashlib.sha256(repr((self.panel.fingerprint(), self.labels.tolist(), users)).encode()).hexdigest()

    def part(self, positions: Positions) -> list[NDArray[Any]]:
        """Return sequences as arrays, which every splitter of scikit-learn can index."""
        return [self.panel.series(i) for i in positions]

    def users(self, positions: Positions) -> NDArray[Any] | None:
        """Return the user of each of some sequences."""
        return None if self.groups is None else self.groups[positions]

    @property
    def described(self) -> str:
        """Number of recordings, users and classes, in words."""
        users = "" if self.groups is None else f" of {counted(len(set(self.groups.tolist())), 'user')}"
        every = self.known(np.arange(len(self)))
        classes = counted(len(set(every.tolist())), "class", "classes")
        return f"{counted(len(self), 'recording')}{users}, {classes}"

    def given(self, positions: Positions) -> Any:
        """Return the labels of some sequences, as `fit` takes them."""
        return self.labels[positions]

    def known(self, positions: Positions) -> NDArray[Any]:
        """Return all labels of some sequences, (n,)."""
        return self.labels[positions]

    def fit(self, model: ClassifierMixin, positions: Positions) -> None:
        """Fit a model on some sequences, with their users where `fit` takes groups."""
        users, takes = self.users(positions), inspect.signature(model.fit).parameters.values()
        routes = any(each.name == "groups" or each.kind is each.VAR_KEYWORD for each in takes)
        groups = {} if users is None or not routes else {"groups": users}
        with interruptible(), config_context(enable_metadata_routing=True):  # so that a search hands groups on
            model.fit(self.part(positions), self.given(positions), **groups)


@dataclass(frozen=True, eq=False)
class SequenceFold(Fold):
    """Sequences to train on and to test on, without cutoffs; see `Fold`."""

    protocol: str  # one of `PROTOCOLS`, or `GIVEN`


def folds(data: LabelledSequences, protocols: Sequence[str], test: Any = None) -> list[SequenceFold]:
    """Return the folds of each protocol, or the one that a given split makes; see `tsforecast.compare_classifiers`.

    DataError also where a tested class has no sequences to learn from.
    """
    if test is not None:
        found = [SequenceFold(0, *_given(data, test), [], GIVEN)]
    else:
        if not protocols:
            raise ParameterError(f"protocol must name one of {', '.join(map(repr, PROTOCOLS))}, or both: got none")
        raise_any((problem for name in protocols for problem in one_of("protocol", name, PROTOCOLS)), ParameterError)
        found = []
        for name in protocols:
            pairs = _leaving_users_out(data) if name == "leave-users-out" else _at_random(data)
            found += [SequenceFold(number, *pair, [], name) for number, pair in enumerate(pairs)]
    raise_any(problem for fold in found for problem in _lacking(data, fold))
    return found


def both_sides(data: LabelledSequences, every: Sequence[SequenceFold]) -> list[str]:
    """Return a note on the users who are on both sides of a given split."""
    if data.groups is None or every[0].protocol != GIVEN:
        return []
    tested, learned = (set(data.groups[side].tolist()) for side in (every[0].test, every[0].train))
    count = len(tested & learned)
    are = "is" if count == 1 else "are"
    where = "on both sides of the split that came with the recordings"
    return [f"{count} of {len(tested)} tested users {are} {where}"] if count else []


def _leaving_users_out(data: LabelledSequences) -> list[tuple[Positions, Positions]]:
    if data.groups is None:
        raise DataError(
            "recordings must have users to leave out: pass groups=..., one for each recording; or test=... for a split "
            "that came with them; or protocol='random', where a user may be on both sides"
        )
    names = sorted({str(user) for user in data.groups})
    if len(names) < 2:
        raise DataError(
            f"groups must be two at least, one to learn from and one to test on: got 1 group, {names[0]!r}, for all "
            f"{counted(len(data), 'recording')}; protocol='random' measures accuracy on that one"
        )
    return list(LeaveGroupsOut().split(np.arange(len(data)), groups=data.groups))


def _at_random(data: LabelledSequences) -> list[tuple[Positions, Positions]]:
    """Split at random, stratified by class, into one part for each user, so that a fit learns from as many sequences.

    Copies stay together: a copy among the training sequences would give the label away.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    parts = RANDOM_PARTS if data.groups is None else max(2, len(set(data.groups.tolist())))
    most = int(np.unique(data.labels, return_counts=True)[1].max())
    parts, same = min(parts, max(2, most)), content(data.panel)
    if len(set(same)) < 2:
        raise DataError(f"recordings must be two at least, one to learn from and one to test on: got {len(set(same))}")
    labels = data.labels if most > 1 else np.zeros(len(data))  # of steps each recording may have its own main one
    splitter = StratifiedGroupKFold(parts, shuffle=True, random_state=0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")  # see _lacking
        return list(splitter.split(np.zeros(len(data)), labels, same))


def _given(data: LabelledSequences, test: Any) -> tuple[Positions, Positions]:
    mask = np.asarray(test)
    if mask.shape != (len(data),) or mask.dtype != np.bool_:
        raise DataError(
            f"test must hold True (tested) or False for each recording, ({len(data)},): got shape "
            f"{mask.shape} of {mask.dtype}"
        )
    if mask.all() or not mask.any():
        raise DataError(
            f"test must leave recordings on both sides: it is True for {int(mask.sum())} of {len(data)} recordings"
        )
    return np.flatnonzero(~mask), np.flatnonzero(mask)


def _lacking(data: LabelledSequences, fold: SequenceFold) -> list[str]:
    """Return the problems of a fold with tested classes that it cannot learn."""
    learned = set(data.known(fold.train).tolist())
    tested = data.known(fold.test).tolist()
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
            f"recordings to learn from must have two classes at least: fold {fold.number + 1} of {fold.protocol} "
            f"has {shorten([repr(str(label)) for label in learned])} alone"
        )
    return found
