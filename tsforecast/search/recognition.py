"""Recordings that all trials of a search are scored on, of people that none of them has seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.classifiers import choices
from tsforecast.classifiers.base import Classifier, Floats, Labels
from tsforecast.classifiers.naive import MajorityClassifier
from tsforecast.data.panel import Panel
from tsforecast.errors import DataError
from tsforecast.search.fold import Fold
from tsforecast.watchers import unwatched

METRICS = ("error", "log_loss")


@dataclass(frozen=True, eq=False)
class Recognition(Fold):
    """Labelled recordings that train, and n others, of other groups where there are groups.

    Attributes
    ----------
    labels : array
        Of the recordings that train.
    judged : Panel
        Of n recordings.
    truth : array of shape (n,)
        Their labels.
    """

    labels: NDArray[Any]
    judged: Panel
    truth: NDArray[Any]

    def baseline(self) -> Classifier:
        """Return the classifier that says the most frequent class of all."""
        return MajorityClassifier()

    def fit(self, model: Any, **how: Any) -> Any:
        """Fit a classifier on the recordings that train."""
        return model.fit(self.part, self.labels, **how)

    def losses(self, model: Classifier) -> Floats:
        """Return 1 for each label that is wrong, or minus the logarithm of the probability of the right one, (n,)."""
        said = model.predict_proba(self.judged)
        right = np.searchsorted(model.classes_, self.truth)
        if self.metric == "log_loss":
            sure = np.clip(said[np.arange(len(said)), right], np.finfo(float).eps, 1)
            return np.asarray(-np.log(sure))
        return np.where(np.isnan(said).any(axis=1), np.nan, said.argmax(axis=1) != right)


@unwatched()  # the majority classifier is trial 0
def recognitions(
    panel: Panel,
    labels: Labels,
    classes: NDArray[Any],
    groups: NDArray[Any] | None,
    share: float | int,
    folds: int,
    metric: str,
    seed: int,
) -> list[Recognition]:
    """Return what trials train on and are judged by, in each fold by other groups.

    Parameters
    ----------
    panel : Panel
        All recordings that the search may see.
    labels : int array of shape (N,)
        Places in `classes`.
    classes : array of shape (K,)
    groups : array of shape (N,) or None
    share : float or int
        Share or number of whole groups, or of recordings of each class alike, that judge in a fold.
    folds : int
    metric : {"error", "log_loss"}
    seed : int
        Draws the recordings that judge where there are no groups.

    Raises
    ------
    DataError
        When a class has no recording left to train on, or there are fewer groups than the folds ask for.

    Examples
    --------
    >>> panel = Panel.from_array(list(np.arange(24.0).reshape(6, 4)))
    >>> names, people = np.array(["rest", "wave"]), np.array(["ann", "ann", "bob", "bob", "cat", "cat"])
    >>> both = recognitions(panel, np.array([0, 1] * 3), names, people, 1, 2, "error", seed=0)
    >>> [(len(fold.part), fold.judged.ids.tolist(), fold.naive.tolist()) for fold in both]
    [(4, [4, 5], [0.0, 1.0]), (4, [2, 3], [0.0, 1.0])]
    """
    order, found = np.arange(len(labels)), []
    names = [] if groups is None else list(dict.fromkeys(groups.tolist()))
    for number in range(folds):
        sides = None if groups is None else groups[order]
        count, mask = choices.validating(labels[order], sides, share, np.random.default_rng(seed + number))
        if groups is not None and count * folds > len(names):
            raise DataError(
                f"validation_origins must leave other groups to each: {folds} of {count} need {count * folds}, there "
                f"are {len(names)}; use validation_origins <= {len(names) // count}, or a smaller validation"
            )
        judges = np.zeros(len(labels), dtype=np.bool_)
        judges[order] = mask
        found.append(_recognition(panel, labels, classes, groups, judges, metric))
        if groups is not None:  # the last ones judge: those that did come first from now on
            order = np.concatenate([order[mask], order[~mask]])
    return found


def _recognition(
    panel: Panel, labels: Labels, classes: NDArray[Any], groups: NDArray[Any] | None, judges: choices.Mask, metric: str
) -> Recognition:
    part, judged = panel.select(~judges), panel.select(judges)
    own = np.zeros(int(judges.sum())) if groups is None else groups[judges]
    _, owner, counts = np.unique(own, return_inverse=True, return_counts=True)
    weights = 1 / counts[owner] / len(counts)  # each person counts the same
    learned, truth = classes[labels[~judges]], classes[labels[judges]]
    bare = Recognition(part, weights, metric, "majority", np.empty(0), learned, judged, truth)
    naive = bare.losses(bare.fit(bare.baseline()))
    return Recognition(part, weights, metric, "majority", naive, learned, judged, truth)
