"""Synthetic series whose best possible forecast, and its expected error, are known."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
MEAN_ABSOLUTE = math.sqrt(2 / math.pi)  # of a normal distribution with a standard deviation of 1


@dataclass(frozen=True, eq=False)
class KnownSeries:
    """A series with the forecast of its future that no forecaster can beat on average.

    Attributes
    ----------
    past : array of shape (T,)
    future : array of shape (H,)
        The values that follow `past`.
    best : array of shape (H,)
        Expected future given the past.
    error : array of shape (H,)
        Expected absolute error of `best` at each step.
    """

    past: Floats
    future: Floats
    best: Floats
    error: Floats


def noisy_season(steps: int, horizon: int = 1, season: int = 12, noise: float = 0.1, seed: int = 0) -> KnownSeries:
    """Draw a sine of one season with independent noise; the best forecast is the sine.

    Parameters
    ----------
    steps, horizon, season : int
    noise : float
        Standard deviation of the noise; the sine has an amplitude of 1.
    seed : int

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
    """Draw a random walk; the best forecast is the last value.

    Parameters
    ----------
    steps, horizon : int
    noise : float
        Standard deviation of each move.
    seed : int

    Examples
    --------
    >>> walk = random_walk(50, horizon=4)
    >>> bool((walk.best == walk.past[-1]).all()), walk.error.round(2).tolist()
    (True, [0.8, 1.13, 1.38, 1.6])
    """
    values = np.cumsum(noise * np.random.default_rng(seed).normal(size=steps + horizon))
    past, future = values[:steps], values[steps:]
    spread = noise * np.sqrt(np.arange(1, horizon + 1))
    return KnownSeries(past, future, np.full(horizon, past[-1]), spread * MEAN_ABSOLUTE)


def ar1(steps: int, horizon: int = 1, phi: float = 0.8, noise: float = 1.0, seed: int = 0) -> KnownSeries:
    """Draw a stationary autoregression of order 1; the best forecast decays from the last value to zero.

    Parameters
    ----------
    steps, horizon : int
    phi : float
        Coefficient in (-1, 1): each value is `phi` times the one before it, plus noise.
    noise : float
        Standard deviation of the noise.
    seed : int

    Examples
    --------
    >>> series = ar1(50, horizon=2, phi=0.5)
    >>> bool(np.allclose(series.best, series.past[-1] * np.array([0.5, 0.25])))
    True
    """
    moves = noise * np.random.default_rng(seed).normal(size=steps + horizon)
    values = np.empty_like(moves)
    value = 0.0
    for i, move in enumerate(moves):
        value = phi * value + move if i else move / math.sqrt(1 - phi**2)
        values[i] = value
    ahead = np.arange(1, horizon + 1)
    spread = noise * np.sqrt((1 - phi ** (2 * ahead)) / (1 - phi**2))
    past = values[:steps]
    return KnownSeries(past, values[steps:], past[-1] * phi**ahead, spread * MEAN_ABSOLUTE)
