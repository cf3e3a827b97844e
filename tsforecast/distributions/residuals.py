"""Distributions from residuals: the errors of forecasts at cutoffs that a model did not learn from, by step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from tsforecast.data.context import CUTOFFS, Context, held_out, with_observations
from tsforecast.data.panel import Panel
from tsforecast.distributions.base import LEVELS, Floats, Grid
from tsforecast.errors import DataError
from tsforecast.mapped import chunks

ENOUGH = 40  # residuals of a step; where it has fewer, those of its neighbours count as well
FEWEST = 4  # independent residuals that show a spread; steps with fewer take it from theory
LAGS = 24  # at which the dependence of residuals is measured, each; greater ones in steps that grow
Points = Callable[[Context, int], Floats]  # forecasts of n cutoffs and H steps, (n, H, K)


@dataclass(frozen=True, eq=False)
class Residuals:
    """Errors at m held-out cutoffs, in seasonal naive errors of their series, (m, H, K), NaN where truth is missing."""

    errors: Floats

    @classmethod
    def of(cls, points: Points, panel: Panel, seen: NDArray[np.int64], horizon: int, most: int = CUTOFFS) -> Residuals:
        """Return the errors of forecasts after the first `seen` rows of each series, (N,), at `most` cutoffs.

        Of a series with no row seen, the second half counts. DataError is raised where no horizon fits.
        """
        past, truth = with_observations(*held_out(panel, seen, horizon, most=most))  # (n, H, K)
        _require_truth(panel, truth)
        return cls(_in_units(truth - points(past, horizon), scales(past, panel.season_length)[:, None]))

    def around(self, points: Floats, scale: Floats, lowest: Floats) -> Grid:
        """Return points, (n, H, K), with the residuals of their step around, in units of a scale, (n, 1 or H, K).

        No quantile lies below the `lowest` number of its target, (K,).
        """
        by_step = self.quantiles(points.shape[1])  # (H, K, L)
        return Grid(np.maximum(points[..., None] + scale[..., None] * by_step, lowest[:, None]))

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


@dataclass(frozen=True, eq=False)
class HistoryResiduals(Residuals):
    """Errors at the cutoffs of a whole history, in units of a spread that theory gives to each step.

    They overlap: independent errors as informative as m of one step are m / (1 + 2 sum r^2), with the autocorrelations
    r up to that step [Bayley and Hammersley 1946]. From 40 on the quantiles are those of the errors; from 4 on
    those of Student's t with so many degrees of freedom and the mean square of the errors, as is exact for a normal
    sample; further steps have the quantiles of the last step with 4 in the units of theory.
    """

    independent: Floats  # by step, (H, K)

    @classmethod
    def over(cls, points: Points, spread: Points, panel: Panel, first: NDArray[np.int64], horizon: int) -> Residuals:
        """Return the errors at cutoffs from `first` on, (N,), in units of a spread, (n, H, K).

        DataError is raised where no series has a step behind its first cutoff.
        """
        past, truth = with_observations(*held_out(panel, first, horizon, least=1))  # (n, H, K)
        if not len(past):
            raise DataError(
                "a distribution must have errors to show: no series has a step behind its first "
                f"{int(first.min())}; give longer series"
            )
        errors = _in_units(truth - points(past, horizon), spread(past, horizon))
        return cls(errors, _independent(errors, past))

    def quantiles(self, horizon: int) -> Floats:
        """Return the quantiles at `LEVELS` of so many steps, (H, K, L), in units of theory."""
        _, known, targets = self.errors.shape
        found = np.zeros((horizon, targets, len(LEVELS)))
        for k in range(targets):
            for step in range(min(horizon, known)):
                errors, count = self.errors[:, step, k], float(self.independent[step, k])
                errors = errors[~np.isnan(errors)]
                if count >= ENOUGH:
                    found[step, k] = np.quantile(errors, LEVELS, method="weibull")
                elif count >= FEWEST or (step == 0 and len(errors)):
                    found[step, k] = np.sqrt(np.mean(errors**2)) * stdtrit(max(count, 2.0), LEVELS)
                elif step:
                    found[step, k] = found[step - 1, k]
        found[known:] = found[min(known, horizon) - 1]
        return found


def lowest_of(panel: Panel) -> Floats:
    """Return 0 for each target of which no number is negative, such as sales; minus infinity for the others, (K,)."""
    targets, least = panel.values[:, : panel.n_targets], np.full(panel.n_targets, np.inf)
    for rows in chunks(targets):
        least = np.fmin(least, np.fmin.reduce(targets[rows], axis=0))
    return np.where(least >= 0, 0.0, -np.inf)


def _require_truth(panel: Panel, truth: Floats) -> None:
    """Raise DataError where a target has no truth, and so no error, at any cutoff."""
    lacking = np.isnan(truth).all(axis=(0, 1))
    if lacking.any():
        name = panel.roles.target[int(lacking.argmax())]
        raise DataError(
            f"quantiles of {name!r} must have errors to show: it has no number in the rows that the model did not "
            "learn from; leave out the rows after its last one, or this target"
        )


def _in_units(errors: Floats, unit: Floats) -> Floats:
    """Return errors in a unit; NaN where the unit is zero, as long as nothing has moved."""
    return np.asarray(np.where(unit > 0, errors, np.nan) / np.where(unit > 0, unit, 1.0))


def _independent(errors: Floats, past: Context) -> Floats:
    """Return how many independent errors tell as much of their spread as those of each step, (H, K)."""
    count, horizon, _ = errors.shape
    there, numbers = ~np.isnan(errors), np.nan_to_num(errors)
    squares, total = (numbers**2).sum(axis=0), there.sum(axis=0)
    together = past.series[1:] == past.series[:-1]
    apart = np.diff(past.lengths)[together]
    stride = max(float(np.median(apart)), 1.0) if len(apart) else 1.0  # steps between cutoffs that are compared
    furthest = min(int((horizon - 1) / stride), count - 1)
    lags = _lags(furthest)
    shared = np.zeros(squares.shape)
    for lag, width in zip(lags, np.diff(lags, prepend=0), strict=True):
        same = (past.series[lag:] == past.series[:-lag])[:, None, None]
        products = np.where(same, numbers[lag:] * numbers[:-lag], 0.0).sum(axis=0)  # (H, K)
        pairs = (same & there[lag:] & there[:-lag]).sum(axis=0)
        size = np.where(squares > 0, squares, 1.0) / np.maximum(total, 1)
        correlation = products / np.maximum(pairs, 1) / size
        by_chance = 1 / np.maximum(pairs, 1)
        overlaps = (np.arange(1, horizon + 1) > lag * stride)[:, None] & (pairs > 0)
        shared += width * np.where(overlaps, np.clip(correlation**2 - by_chance, 0.0, 1.0), 0.0)
    return np.asarray(total / (1 + 2 * shared))


def _lags(furthest: int) -> list[int]:
    """Return lags up to a furthest one, the same ones whatever it is: a step has one distribution at any horizon."""
    found, lag = list[int](), 1
    while lag <= furthest:
        found.append(lag)
        lag += 1 if lag < LAGS else lag // 8
    return found


def scales(past: Context, season_length: int) -> Floats:
    """Return the mean absolute seasonal naive error of each past, (n, K); 0 where nothing moved.

    See `seasonal_scale`; of all pasts of one series in one pass, since the longest has the others in it.
    """
    found = np.zeros((len(past), past.n_targets))
    origin = np.stack([past.series, past.starts], axis=1)
    _, owner = np.unique(origin, axis=0, return_inverse=True)
    order = np.lexsort((past.lengths, owner.ravel()))
    for own in np.split(order, np.flatnonzero(np.diff(owner.ravel()[order])) + 1) if len(past) else []:
        rows, lengths = past.history(int(own[-1]))[:, : past.n_targets], past.lengths[own]
        every = [_means_up_to(rows, lag) for lag in (season_length, 1)]  # (T + 1, K)
        found[own] = np.where((lengths > season_length)[:, None], every[0][lengths], every[1][lengths])
    return found


def _means_up_to(rows: Floats, lag: int) -> Floats:
    """Return the mean absolute move over a lag in the first 0 to T of rows (T, K), (T + 1, K); 0 without any."""
    moves = np.zeros((len(rows) + 1, rows.shape[1]))
    moves[lag + 1 :] = np.abs(rows[lag:] - rows[:-lag])
    there = ~np.isnan(moves)
    there[: lag + 1] = False
    return np.asarray(np.nan_to_num(moves).cumsum(axis=0) / np.maximum(there.cumsum(axis=0), 1))
