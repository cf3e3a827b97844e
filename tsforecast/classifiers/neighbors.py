"""The classic that networks must beat: the label of the nearest recording, time warped."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.checks import between, one_of
from tsforecast.classifiers.base import Classifier, Floats, Labels, learned_from
from tsforecast.classifiers.warping import warping_distances
from tsforecast.data.panel import Panel
from tsforecast.data.scaling import SCALERS, Scaling, ScalingRecipe


class NearestNeighborClassifier(Classifier):
    """Say the label of the training recording with the smallest dynamic time warping distance.

    The usual baseline for labelled sequences [Bagnall et al. 2017, The great time series classification bake off].
    It learns nothing; saying the label of one recording takes time in proportion to all that were fitted.

    Parameters
    ----------
    band : float or None
        Matched steps are at most this share of the longer recording apart; None lets them be anywhere.
    scaler : {"standard", "min-max", "robust"}, scikit-learn transformer or None
        Of every channel, learned on training recordings alone.

    Attributes
    ----------
    scaling_ : Scaling
    scaled_on_ : dict
        What scales were learned from: recordings and steps, and their SHA-256.
    recordings_ : list of arrays of shape (T, C)
        Scaled training recordings.
    labels_ : int64 array of shape (N,)
        Their places in `classes_`.

    Examples
    --------
    >>> early, late = np.array([0.0, 1.0, 0.0, 0.0, 0.0]), np.array([0.0, 0.0, 0.0, 1.0, 0.0])
    >>> model = NearestNeighborClassifier().fit([early, np.arange(5.0)], ["bump", "ramp"])
    >>> model.predict([late, np.arange(9.0) / 2]).tolist()
    ['bump', 'ramp']
    """

    scaling_: Scaling
    scaled_on_: dict[str, Any]
    recordings_: list[Floats]
    labels_: Labels

    def __init__(self, band: float | None = None, scaler: Any = "standard") -> None:
        self.band = band
        self.scaler = scaler

    def _fit(self, panel: Panel, labels: Labels, groups: NDArray[Any] | None) -> None:
        recipe = ScalingRecipe(None, self.scaler, per_series=False)
        self.scaling_ = recipe.fit(panel.values, panel.offsets[[0, -1]], panel.n_targets)
        self.scaled_on_ = learned_from(panel, labels)
        self.recordings_, self.labels_ = self._scaled(panel), labels

    def learned(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return what `fit` found; see `Savable.learned`."""
        plain, numbers = super().learned()
        scaling, recordings, labels = (plain.pop(name) for name in ("scaling_", "recordings_", "labels_"))
        lengths = np.array([len(recording) for recording in recordings])
        kept = {"recordings": np.concatenate(recordings), "lengths": lengths, "labels": labels}
        return plain, numbers | kept | scaling.numbers()

    def restore(self, learned: dict[str, Any], numbers: dict[str, NDArray[Any]]) -> None:
        """Take back what `learned` returned; see `Savable.restore`."""
        super().restore(learned, numbers)
        self.scaling_ = Scaling.from_numbers(numbers, False, 1, self.channels_, self.channels_)
        rows, lengths, labels = numbers["recordings"], numbers["lengths"], numbers["labels"]
        if rows.dtype != np.float64 or rows.ndim != 2 or rows.shape[1] != self.channels_:
            raise ValueError(f"recordings must be float64 of shape (steps, {self.channels_}): got {rows.shape}")
        if lengths.dtype != np.int64 or lengths.ndim != 1 or (lengths < 1).any() or lengths.sum() != len(rows):
            raise ValueError(f"lengths of recordings must be steps that add up to {len(rows)}")
        if (
            labels.dtype != np.int64
            or labels.shape != lengths.shape
            or not np.isin(labels, range(len(self.classes_))).all()
        ):
            raise ValueError(
                f"labels must be one of {len(self.classes_)} classes for each of {len(lengths)} recordings"
            )
        self.recordings_, self.labels_ = np.split(rows, np.cumsum(lengths)[:-1]), labels

    def _probabilities(self, panel: Panel) -> Floats:
        nearest = [warping_distances(one, self.recordings_, self.band).argmin() for one in self._scaled(panel)]
        return np.eye(len(self.classes_))[self.labels_[nearest]]

    def _scaled(self, panel: Panel) -> list[Floats]:
        return np.split(self.scaling_.transform(panel.values, 0), panel.offsets[1:-1])

    def _problems(self) -> list[str]:
        problems = [] if self.band is None else between("band", self.band, 0, 1)
        return problems + (one_of("scaler", self.scaler, SCALERS) if isinstance(self.scaler, str) else [])
