"""What every trial is scored on: the same targets whatever its window, beside the naive forecast."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.data.anchors import seasonal_scale
from tsforecast.data.panel import Panel
from tsforecast.data.past import Past
from tsforecast.errors import DataError
from tsforecast.evaluation import metrics
from tsforecast.forecasters import choices
from tsforecast.forecasters.base import Forecaster
from tsforecast.forecasters.registry import NAIVE_FAMILY, make
from tsforecast.search.fold import Fold
from tsforecast.watchers import unwatched

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Validation(Fold):
    """One validation origin of a forecast: cutoffs after what trains; the reference is the best of the naive family.

    Attributes
    ----------
    past : Past
        At n cutoffs.
    truth : array of shape (n, H, K)
    scale : array of shape (n, K)
        Error of the seasonal naive forecast on what trains; squared for RMSSE.
    """

    past: Past
    truth: Floats
    scale: Floats

    @property
    def horizon(self) -> int:
        """Steps to forecast (H)."""
        return int(self.truth.shape[1])

    @property
    def settings(self) -> dict[str, Any]:
        """What a forecaster must be set to."""
        return {"horizon": self.horizon}

    @property
    def block(self) -> int:
        """How many neighbouring cutoffs stay together: those within two horizons."""
        steps = np.diff(self.past.lengths)[np.diff(self.past.series) == 0]
        apart = max(1, int(np.median(steps))) if len(steps) else self.horizon
        return max(1, min(len(self.weights) // 4, math.ceil(2 * self.horizon / apart)))

    def baseline(self) -> Forecaster:
        """Return the best of the naive family."""
        return make(self.reference, horizon=self.horizon)

    def losses(self, model: Forecaster) -> Floats:
        """Return the loss of a fitted model from each cutoff, (n,)."""
        said = model.forecast(self.past, self.horizon)
        error = metrics.absolute_errors(self.truth, said)
        if self.metric == "smape":
            error = metrics.symmetric_errors(self.truth, said)
        elif self.metric == "mase":
            error = metrics.divide(error, self.scale[:, None])
        elif self.metric == "rmsse":
            error = metrics.divide(error**2, self.scale[:, None])
        elif self.metric == "rmse":
            error = error**2
        there = ~np.isnan(self.truth)
        broken = (np.isnan(said) & there).any(axis=(1, 2))
        total = np.where(there, np.nan_to_num(error), 0.0).sum(axis=(1, 2))
        return np.asarray(np.where(broken, np.nan, total / np.maximum(there.sum(axis=(1, 2)), 1)))


@unwatched()  # the best naive forecast of all is trial 0
def validations(panel: Panel, horizon: int, share: float | int, origins: int, metric: str) -> list[Validation]:
    """Return the validation origins, the newest first.

    Parameters
    ----------
    panel : Panel
        Everything that the search may see.
    horizon : int
    share : float or int
        Share or number of last steps (or of whole groups) that validate, of each origin.
    origins : int
        Each lies a validation part before the one after it.
    metric : str

    Raises
    ------
    DataError
        When the series are too short.
    """
    found = []
    for origin in range(origins):
        if origin and panel.groups is not None:
            raise DataError("validation_origins must be 1 where groups are kept apart: got more")
        count, seen = choices.training_rows(panel, share, horizon, without="a test part of your own")
        found.append(_validation(panel, seen, horizon, metric))
        share = count  # the older ones are as long
        if origin + 1 < origins:
            if int(seen.min()) <= count + horizon:
                raise DataError(
                    f"validation_origins must leave steps to learn from: {origins} of {count} steps need more than "
                    f"{int(panel.lengths.min())}; use validation_origins <= {origin + 1}, or a smaller validation"
                )
            panel = panel.until(seen)
    return found


def _validation(panel: Panel, seen: NDArray[np.int64], horizon: int, metric: str) -> Validation:
    past, truth = choices.held_out(panel, seen, horizon)
    there = ~np.isnan(truth) & past.begun[:, None]
    truth = np.where(there, truth, np.nan)
    if not there.any():
        raise DataError("the validation part must hold a truth after a past: there is none; use a larger validation")
    targets = panel.n_targets
    scales = np.full((len(panel), targets, 2), np.nan)
    for i in np.unique(past.series):
        upto = int(seen[i]) or int(past.lengths[past.series == i].min())
        scales[i] = [
            seasonal_scale(column[:upto].astype(float), panel.season_length)
            for column in panel.series(i)[:, :targets].T
        ]
    if metric in ("mase", "rmsse") and not np.nanmax(scales, initial=0.0):
        metric = "mae" if metric == "mase" else "rmse"  # a constant past gives no scale
    _, owner, counts = np.unique(past.series, return_inverse=True, return_counts=True)
    weights, part = 1 / counts[owner] / len(counts), panel.until(seen)
    scale = scales[past.series, :, int(metric == "rmsse")]
    bare = Validation(part, weights, metric, "", np.empty(0), past, truth, scale)
    naive = {name: bare.losses(make(name, horizon=horizon).fit(part)) for name in NAIVE_FAMILY}
    best = min(naive, key=lambda name: bare.total(naive[name], weights))
    return replace(bare, reference=best, naive=naive[best])
