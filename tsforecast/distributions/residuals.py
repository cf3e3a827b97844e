"""Distributions from residuals: the errors of forecasts at cutoffs that a model did not learn from, by step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tsforecast.data.context import Context, held_out
from tsforecast.data.panel import Panel
from tsforecast.data.scaling import seasonal_scale
from tsforecast.distributions.base import LEVELS, Floats, Grid

ENOUGH = 40  # residuals of a step; where it has fewer, those of its neighbours count as well
Points = Callable[[Context, int], Floats]  # forecasts of n cutoffs and H steps, (n, H, K)


@dataclass(frozen=True, eq=False)
class Residuals:
    """Errors at m held-out cutoffs, in seasonal naive errors of their series, (m, H, K), NaN where truth is missing."""

    errors: Floats

    @classmethod
    def of(cls, points: Points, panel: Panel, seen: NDArray[np.int64], horizon: int) -> Residuals:
        """Return the errors of forecasts after the first `seen` rows of each series, (N,).

        Of a series with no row seen, the second half counts. DataError is raised where no horizon fits.
        """
        past, truth = held_out(panel, seen, horizon)  # (n, H, K)
        valid = np.asarray(past.has_observations.all(axis=1))
        past, truth = past.select(valid), truth[valid]
        return cls((truth - points(past, horizon)) / scales(past, panel.season_length)[:, None])

    def around(self, points: Floats, scale: Floats) -> Grid:
        """Return points, (n, H, K), with the residuals of their step around them, in units of a scale, (n, K)."""
        by_step = self.quantiles(points.shape[1])  # (H, K, L)
        return Grid(points[..., None] + scale[:, None, :, None] * by_step)

    def quantiles(self, horizon: int) -> Floats:
        """Return the quantiles at `LEVELS` of so many steps, (H, K, L); beyond the last step they stay."""
        _, known, targets = self.errors.shape
        found = np.zeros((horizon, targets, len(LEVELS)))
        counts = (~np.isnan(self.errors)).sum(axis=0)  # (H, K)
        for step in range(min(horizon, known)):
            for k in range(targets):
                reach = 0
                while counts[max(step - reach, 0) : step + reach + 1, k].sum() < ENOUGH and reach < known:
                    reach += 1
                near = self.errors[:, max(step - reach, 0) : step + reach + 1, k].ravel()
                near = near[~np.isnan(near)]
                if len(near):  # a share i / (m + 1) lies below the i-th of m, as in conformal prediction
                    found[step, k] = np.quantile(near, LEVELS, method="weibull")
        found[known:] = found[min(known, horizon) - 1]
        return found


def scales(past: Context, season_length: int) -> Floats:
    """Return the mean absolute seasonal naive error of each past, (n, K); 0 where nothing moved."""
    found = np.zeros((len(past), past.n_targets))
    known: dict[tuple[int, int], Floats] = {}
    for i in range(len(past)):
        at = int(past.series[i]), int(past.lengths[i])
        if at not in known:
            rows = past.history(i)[:, : past.n_targets]
            known[at] = np.array([seasonal_scale(column, season_length)[0] for column in rows.T])
        found[i] = known[at]
    return np.nan_to_num(found)
