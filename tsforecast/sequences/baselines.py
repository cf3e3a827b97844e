"""Baselines of classifiers: the majority class, and the nearest neighbour by dynamic time warping."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.base import TransformerMixin

from tsforecast.checks import between
from tsforecast.data.panel import Panel
from tsforecast.estimators.base import keyword_settings, optional, setting
from tsforecast.sequences.base import Floats
from tsforecast.sequences.classifier import Classifier, Labels

CELLS = 1 << 20  # most cells of cost matrices in memory at once


@keyword_settings
class MajorityClassifier(Classifier):
    """Predict the most frequent class of training for every sequence, or step; of equal ones the first.

    Attributes
    ----------
    shares_ : array of shape (K,)
        Share of each class, or of recordings that have each label, predicted by `predict_proba` for every sequence.

    Examples
    --------
    >>> model = MajorityClassifier().fit(np.zeros((4, 5)), ["a", "b", "b", "b"])
    >>> model.predict(np.ones((1, 5))).tolist(), model.predict_proba(np.ones((1, 5))).tolist()
    (['b'], [[0.25, 0.75]])
    """

    output: Literal["recording", "step"] = setting(
        default="recording", doc="Whether each recording has a label, or each of its steps."
    )

    shares_: Floats = dataclasses.field(init=False)
    _several: ClassVar[bool] = True

    def __sklearn_tags__(self) -> Any:
        """Return the tags of scikit-learn."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.poor_score = True
        return tags

    def _fit(self, panel: Panel, labels: Labels, groups: NDArray[Any] | None) -> None:
        if self.multilabel_:
            self.shares_ = labels.sum(axis=0) / len(labels)
        else:
            counts = np.bincount(labels[labels >= 0], minlength=len(self.classes_))
            self.shares_ = counts / counts.sum()

    def _answers(self, panel: Panel) -> Floats:
        return np.tile(self.shares_, (len(panel.values) if self.at_steps else len(panel), 1))


@keyword_settings
class NearestNeighborClassifier(Classifier):
    """Predict the label of the training sequence with the smallest dynamic time warping distance.

    The usual baseline for labelled sequences [Bagnall et al. 2017, The great time series classification bake off].
    Fitting only stores the sequences; the time of a prediction is proportional to their number.

    Attributes
    ----------
    scaling_ : Scaling
    scaled_on_ : dict
        Number of training sequences and steps, and their SHA-256.
    recordings_ : list of arrays of shape (T, C)
        Scaled training sequences.
    labels_ : int64 array of shape (N,)
        Their positions in `classes_`.

    Examples
    --------
    >>> early, late = np.array([0.0, 1.0, 0.0, 0.0, 0.0]), np.array([0.0, 0.0, 0.0, 1.0, 0.0])
    >>> model = NearestNeighborClassifier().fit([early, np.arange(5.0)], ["bump", "ramp"])
    >>> model.predict([late, np.arange(9.0) / 2]).tolist()
    ['bump', 'ramp']
    """

    band: float | None = setting(
        default=None,
        check=optional(between, low=0, high=1),
        kw_only=False,
        doc="Matched steps are at most this share of the longer sequence apart; None is no limit.",
    )
    scaler: Literal["standard", "min-max", "robust"] | TransformerMixin | None = setting(
        default="standard", kw_only=False, doc="Scaler of every channel, fitted on training sequences alone."
    )

    recordings_: list[Floats] = dataclasses.field(init=False)
    labels_: Labels = dataclasses.field(init=False)

    def _fit(self, panel: Panel, labels: Labels, groups: NDArray[Any] | None) -> None:
        self._scale(panel, labels)
        self.recordings_, self.labels_ = self._scaled(panel), labels

    def get_state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return the fitted state; see `Estimator.get_state`."""
        plain, numbers = super().get_state()
        recordings, labels = plain.pop("recordings_"), plain.pop("labels_")
        lengths = np.array([len(recording) for recording in recordings])
        return plain, numbers | {"recordings": np.concatenate(recordings), "lengths": lengths, "labels": labels}

    def set_state(self, learned: dict[str, Any], numbers: dict[str, NDArray[Any]]) -> None:
        """Restore the state that `get_state` returned; see `Estimator.set_state`."""
        super().set_state(learned, numbers)
        rows, lengths, labels = numbers["recordings"], numbers["lengths"], numbers["labels"]
        if rows.dtype != np.float64 or rows.ndim != 2 or rows.shape[1] != self.channels_:
            raise ValueError(f"recordings must be float64 of shape (steps, {self.channels_}): got {rows.shape}")
        if lengths.dtype != np.int64 or lengths.ndim != 1 or (lengths < 1).any() or lengths.sum() != len(rows):
            raise ValueError(f"lengths of recordings must be steps that add up to {len(rows)}")
        count, fits = len(self.classes_), labels.dtype == np.int64 and labels.shape == lengths.shape
        if not fits or not np.isin(labels, range(count)).all():
            raise ValueError(f"labels must be one of {count} classes for each of {len(lengths)} recordings")
        self.recordings_, self.labels_ = np.split(rows, np.cumsum(lengths)[:-1]), labels

    def _answers(self, panel: Panel) -> Floats:
        nearest = [warping_distances(one, self.recordings_, self.band).argmin() for one in self._scaled(panel)]
        return np.eye(len(self.classes_))[self.labels_[nearest]]

    def _scaled(self, panel: Panel) -> list[Floats]:
        return np.split(self.scaling_.transform(panel.values, 0), panel.offsets[1:-1])


def warping_distances(one: Floats, others: list[Floats], band: float | None = None) -> Floats:
    """Return the dynamic time warping distance of one sequence to each of many.

    The square root of the smallest sum of squared Euclidean distances along a path of matched steps [Sakoe and Chiba
    1978, IEEE Transactions on Acoustics, Speech and Signal Processing 26, 43-49]; all channels are warped together.

    Each is (T, C), with its own T. Matched steps are at most `band`, a share of the longer sequence, apart, or as far
    as the lengths differ.
    """
    squared = np.empty(len(others))
    for chosen in _batches(one, others):
        squared[chosen] = _squared_distances(one, [others[i] for i in chosen], band)
    return np.sqrt(squared)


def _batches(one: Floats, others: list[Floats]) -> Iterator[NDArray[np.int64]]:
    """Yield positions of sequences of similar length, in batches that fit in memory."""
    lengths = np.array([len(other) for other in others])
    order = np.argsort(lengths, kind="stable")
    while len(order):
        # Sequences are padded to the longest of their batch; batches get smaller as sequences get longer.
        count = max(1, min(len(order), CELLS // (len(one) * int(lengths[order[0]]))))
        while count > 1 and count * len(one) * lengths[order[count - 1]] > 2 * CELLS:
            count //= 2
        yield order[:count]
        order = order[count:]


def _squared_distances(one: Floats, others: list[Floats], band: float | None) -> Floats:
    """Return the smallest sum of squares for each of n sequences, by dynamic programming along the diagonals.

    Cells of one diagonal (i + j) depend on the two diagonals before it only, so n diagonals are one array.
    """
    rows, columns = len(one), max(len(other) for other in others)
    lengths = np.array([len(other) for other in others])
    padded = np.zeros((len(others), columns, one.shape[1]))
    for number, other in enumerate(others):
        padded[number, : len(other)] = other
    costs = np.zeros((len(others), rows, columns))  # padding lies behind the end of every path
    for c in range(one.shape[1]):
        costs += (one[:, None, c] - padded[:, None, :, c]) ** 2
    if band is not None:
        reach = np.maximum(np.ceil(band * np.maximum(lengths, rows)), np.abs(lengths - rows))  # (n,)
        distance = np.abs(np.arange(rows)[:, None] - np.arange(columns))
        costs = np.where(distance > reach[:, None, None], math.inf, costs)
    # Entry i + 1 of a diagonal is its cell in row i; entry 0 is the border.
    before = np.full((len(others), rows + 1), math.inf)
    last = before.copy()
    before[:, 0] = 0.0  # the path begins in the first cell
    total = np.empty(len(others))
    for diagonal in range(rows + columns - 1):
        i = np.arange(max(0, diagonal - columns + 1), min(diagonal, rows - 1) + 1)
        now = np.full_like(last, math.inf)
        best = np.minimum(np.minimum(last[:, i + 1], last[:, i]), before[:, i])
        now[:, i + 1] = costs[:, i, diagonal - i] + best
        ends = lengths == diagonal - rows + 2  # sequences whose last cell is on this diagonal
        total[ends] = now[ends, rows]
        before, last = last, now
    return total
