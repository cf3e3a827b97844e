"""Synthetic series whose best possible forecast, and its expected error, are known."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter
from scipy.stats import poisson

Floats = NDArray[np.float64]
MEAN_ABSOLUTE = math.sqrt(2 / math.pi)  # of a normal distribution with a standard deviation of 1


@dataclass(frozen=True, eq=False)
class KnownSeries:
    """A series with the forecast of its future that no forecaster can beat on average."""

    past: Floats  # (T,)
    future: Floats  # the values that follow `past`, (H,)
    best: Floats  # expected future given the past, (H,)
    error: Floats  # expected absolute error of `best` at each step, (H,)


def noisy_season(steps: int, horizon: int = 1, season: int = 12, noise: float = 0.1, seed: int = 0) -> KnownSeries:
    """Draw a sine of amplitude 1 with independent noise of deviation `noise`; the best forecast is the sine.

    Examples
    --------
    >>> series = noisy_season(24, horizon=3, noise=0.0)
    >>> bool(np.allclose(series.future, series.best)), series.error.tolist()
    (True, [0.0, 0.0, 0.0])
    """
    sine = np.sin(2 * np.pi * np.arange(steps + horizon) / season)
    values = sine + noise * np.random.default_rng(seed).normal(size=steps + horizon)
    return KnownSeries(values[:steps], values[steps:], sine[steps:], np.full(horizon, noise * MEAN_ABSOLUTE))


def random_walk(steps: int, horizon: int = 1, noise: float = 1.0, seed: int = 0) -> KnownSeries:
    """Draw a random walk whose moves have the deviation `noise`; the best forecast is the last value."""
    values = np.cumsum(noise * np.random.default_rng(seed).normal(size=steps + horizon))
    past, future = values[:steps], values[steps:]
    spread = noise * np.sqrt(np.arange(1, horizon + 1))
    return KnownSeries(past, future, np.full(horizon, past[-1]), spread * MEAN_ABSOLUTE)


def ar1(steps: int, horizon: int = 1, phi: float = 0.8, noise: float = 1.0, seed: int = 0) -> KnownSeries:
    """Draw a stationary autoregression of order 1; the best forecast decays from the last value to zero.

    Each value is `phi`, in (-1, 1), times the one before it, plus a move of deviation `noise`.

    Examples
    --------
    >>> series = ar1(50, horizon=2, phi=0.5)
    >>> bool(np.allclose(series.best, series.past[-1] * np.array([0.5, 0.25])))
    True
    """
    moves = noise * np.random.default_rng(seed).normal(size=steps + horizon)
    moves[0] /= math.sqrt(1 - phi**2)  # as if the series had begun long ago
    values = lfilter([1.0], [1.0, -phi], moves)
    ahead = np.arange(1, horizon + 1)
    spread = noise * np.sqrt((1 - phi ** (2 * ahead)) / (1 - phi**2))
    past = values[:steps]
    return KnownSeries(past, values[steps:], past[-1] * phi**ahead, spread * MEAN_ABSOLUTE)


def intermittent(
    steps: int, horizon: int = 1, share: float = 0.2, size: float = 3.0, ends: int | None = None, seed: int = 0
) -> KnownSeries:
    """Draw counts, mostly zero: a demand in a `share` of the steps, of 1 and a Poisson number, `size` on average.

    The best forecast is the mean, whose error is the smallest squared one. Where `ends` is a step, demand is a tenth
    as frequent from it on.

    Examples
    --------
    >>> series = intermittent(200, horizon=2, share=0.2, size=3.0)
    >>> bool((series.past == 0).mean() > 0.7), series.best.round(2).tolist()
    (True, [0.6, 0.6])
    """
    draw = np.random.default_rng(seed)
    shares = np.where(np.arange(steps + horizon) < (steps + horizon if ends is None else ends), share, share / 10)
    occurs, sizes = draw.random((steps + horizon, 2)).T
    values = np.where(occurs < shares, 1 + poisson.ppf(sizes, size - 1), 0.0)
    best = shares[steps:] * size
    counts = np.arange(1, int(poisson.ppf(1 - 1e-12, size - 1)) + 2)
    above = np.abs(counts - best[:, None]) @ poisson.pmf(counts - 1, size - 1)
    return KnownSeries(values[:steps], values[steps:], best, (1 - shares[steps:]) * best + shares[steps:] * above)
