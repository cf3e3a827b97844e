"""The classic that networks must beat: the label of the nearest recording, time warped."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.checks import between, one_of
from tsforecast.classifiers.base import Classifier, Floats, Labels
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
    recordings_: list[Floats]
    labels_: Labels

    def __init__(self, band: float | None = None, scaler: Any = "standard") -> None:
        self.band = band
        self.scaler = scaler

    def _fit(self, panel: Panel, labels: Labels, groups: NDArray[Any] | None) -> None:
        recipe = ScalingRecipe(None, self.scaler, per_series=False)
        self.scaling_ = recipe.fit(panel.values, panel.offsets[[0, -1]], panel.n_targets)
        self.recordings_, self.labels_ = self._scaled(panel), labels

    def _probabilities(self, panel: Panel) -> Floats:
        nearest = [warping_distances(one, self.recordings_, self.band).argmin() for one in self._scaled(panel)]
        return np.eye(len(self.classes_))[self.labels_[nearest]]

    def _scaled(self, panel: Panel) -> list[Floats]:
        return np.split(self.scaling_.transform(panel.values, 0), panel.offsets[1:-1])

    def _problems(self) -> list[str]:
        problems = [] if self.band is None else between("band", self.band, 0, 1)
        return problems + (one_of("scaler", self.scaler, SCALERS) if isinstance(self.scaler, str) else [])
