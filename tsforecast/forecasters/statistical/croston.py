"""Intermittent demand: sizes and their frequency are smoothed apart, by Croston's method and two that correct its bias.

The forecast is a rate: mean demand for each step. Its distribution is zero with the probability that no demand occurs,
else one of the past sizes, each as likely as smoothing weighs it: the mean is the rate, and counts stay counts.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from tsforecast.distributions.base import LEVELS
from tsforecast.forecasters.statistical.fit import FitError, FittedModel, Floats

CROSTON, SBA, TSB = "croston", "sba", "tsb"
GRID = np.linspace(0.05, 0.2, 7)  # smoothing parameters, in the usual range [Syntetos and Boylan 2005]


def choose(y: Floats, method: str) -> FittedModel:
    """Estimate the parameters of a method; `y` has a number other than zero."""
    return estimate(y, {"method": method})


def estimate(y: Floats, specification: dict[str, Any]) -> FittedModel:
    """Return the smoothing parameters on `GRID` with the smallest squared error of the rate one step ahead.

    One for sizes and intervals; by the method of Teunter, Syntetos and Babai one for sizes and one for the probability.
    Steps up to the first demand, where all rates begin, do not count.
    """
    method = specification["method"]
    begin = int(np.flatnonzero(y)[0]) + 1 if y.any() else len(y)
    every = [(alpha, beta) for alpha in GRID for beta in (GRID if method == TSB else (alpha,))]
    rates = np.stack([_rates(y, method, alpha, beta) for alpha, beta in every])  # (options, T)
    squared = ((y[begin:] - rates[:, begin - 1 : -1]) ** 2).sum(axis=1)
    alpha, beta = every[int(squared.argmin())]
    return FittedModel(specification, [float(alpha), *([float(beta)] if method == TSB else [])])


def forecast(fitted: FittedModel, y: Floats, horizon: int, same_origin: bool = True) -> Floats:
    """Return the rate after `y` for each of H steps, wherever `y` starts."""
    alpha, beta = fitted.parameters[0], fitted.parameters[-1]
    return np.full(horizon, _rates(y, fitted.specification["method"], alpha, beta)[-1])


def quantiles(fitted: FittedModel, y: Floats, horizon: int, same_origin: bool = True) -> Floats:
    """Return quantiles of H steps after `y`, (H, L): of no demand, or of a past size."""
    alpha, beta = fitted.parameters[0], fitted.parameters[-1]
    sizes = y[y != 0]
    if not len(sizes):
        return np.zeros((horizon, len(LEVELS)))
    share = float(np.clip(_frequencies(y, fitted.specification["method"], alpha, beta)[-1], 0.0, 1.0))
    weights = share * alpha * (1 - alpha) ** np.arange(len(sizes) - 1.0, -1.0, -1.0)
    weights[0] = share * (1 - alpha) ** (len(sizes) - 1)  # where smoothing begins
    values, mass = np.append(sizes, 0.0), np.append(weights, 1 - share)
    order = np.argsort(values)
    place = np.searchsorted(np.cumsum(mass[order]), LEVELS - 1e-9)
    return np.tile(values[order][np.minimum(place, len(values) - 1)], (horizon, 1))


def _rates(y: Floats, method: str, alpha: float, beta: float) -> Floats:
    """Return the forecast after each step, (T,); zero before the first demand. FitError is raised of negative ones."""
    if (negative := y[y < 0]).size:
        raise FitError(
            f"demand must be 0 or more: {len(negative)} of its {len(y)} numbers are negative, the first is "
            f"{negative[0]:g}; set returns to 0, or use ets"
        )
    demands = np.flatnonzero(y)
    if not len(demands):
        return np.zeros(len(y))
    sizes = _smoothed(y[demands], alpha)
    since = np.cumsum(y != 0)  # demands up to each step
    level = np.where(since > 0, sizes[np.maximum(since - 1, 0)], 0.0)
    return np.asarray(level * _frequencies(y, method, alpha, beta))


def _frequencies(y: Floats, method: str, alpha: float, beta: float) -> Floats:
    """Return the probability of a demand after each step, as each method has it, (T,)."""
    occurs = (y != 0).astype(np.float64)
    if method == TSB:
        return _smoothed(occurs, beta)
    demands: NDArray[np.int64] = np.flatnonzero(occurs)
    intervals = _smoothed(np.diff(demands, prepend=-1).astype(np.float64), beta)
    since = np.cumsum(occurs).astype(np.int64)
    factor = 1 - alpha / 2 if method == SBA else 1.0
    return np.asarray(np.where(since > 0, factor / intervals[np.maximum(since - 1, 0)], 0.0))


def _smoothed(values: Floats, alpha: float) -> Floats:
    """Return the level of simple exponential smoothing after each value, from the first one on."""
    levels: Floats = lfilter([alpha], [1.0, alpha - 1.0], values, zi=[(1 - alpha) * values[0]])[0]
    return levels
