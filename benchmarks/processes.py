"""Random losses of a model and of its reference, of one distribution, that depend on each other in known ways."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import toeplitz
from scipy.signal import lfilter

Floats = NDArray[np.float64]
Pair = tuple[Floats, Floats]
Random = np.random.Generator
Noise = Callable[[Random, tuple[int, ...]], Floats]  # standard noise along the last axis

LEVEL_OF_LOSSES = 20.0  # mean loss where differences are what is simulated, in their standard deviations
BURN_IN = 60


def correlated(count: int, memory: float) -> Floats:
    """Return the correlation of neighbours with memory, (n, n)."""
    return np.asarray(toeplitz(memory ** np.arange(count)))


def normal(random: Random, shape: tuple[int, ...]) -> Floats:
    """Return independent noise."""
    return random.standard_normal(shape)


def tails(freedom: float) -> Noise:
    """Return noise of Student's t, scaled to variance 1."""
    return lambda random, shape: random.standard_t(freedom, shape) * np.sqrt((freedom - 2) / freedom)


def filtered(past: list[float], shocks: list[float] | None = None) -> Noise:
    """Return an autoregression on past values, or a moving average of shocks, after a burn-in."""

    def noise(random: Random, shape: tuple[int, ...]) -> Floats:
        long = random.standard_normal((*shape[:-1], shape[-1] + BURN_IN))
        values = np.asarray(lfilter(shocks or [1.0], [1.0, *(-each for each in past)], long, axis=-1))
        impulse = lfilter(shocks or [1.0], [1.0, *(-each for each in past)], np.eye(1, 400)[0])
        return np.asarray(values[..., BURN_IN:] / np.sqrt((impulse**2).sum()))

    return noise


def memory(share: float) -> Noise:
    """Return an autoregression of first order, stationary from the first value on."""

    def noise(random: Random, shape: tuple[int, ...]) -> Floats:
        shocks = random.standard_normal(shape)
        shocks[..., 0] /= np.sqrt(1 - share**2)
        return np.asarray(np.sqrt(1 - share**2) * lfilter([1.0], [1.0, -share], shocks, axis=-1))

    return noise if share else normal


def under_noise(share: float) -> Noise:
    """Return an autoregression plus independent noise of the same variance."""
    persistent = memory(share)
    return lambda random, shape: (persistent(random, shape) + random.standard_normal(shape)) / np.sqrt(2)


def clustered(random: Random, shape: tuple[int, ...]) -> Floats:
    """Return volatility that follows the size of shocks, GARCH(1, 1), of mean square 1."""
    shocks = random.standard_normal((shape[-1] + BURN_IN, *shape[:-1]))
    variance = np.ones_like(shocks)
    for step in range(1, len(shocks)):
        variance[step] = 0.1 + (0.3 * shocks[step - 1] ** 2 + 0.6) * variance[step - 1]
    return np.asarray(np.sqrt(np.moveaxis(variance[BURN_IN:], 0, -1)))


def difference(noise: Noise = normal, skill: float = 0.0) -> Any:
    """Return losses whose difference is noise, also after a share of the first has been removed."""

    def draw(random: Random, draws: int, design: Any) -> Pair:
        own, other = noise(random, (2, draws, design.series, design.cutoffs))
        return LEVEL_OF_LOSSES + own / (1 - skill), LEVEL_OF_LOSSES + other

    return draw


def absolute(noise: Noise = normal, shared: float = 0.5, volatility: str = "", power: int = 1) -> Any:
    """Return absolute errors, or their squares, of two models of which each has a share of its own variance.

    Volatility is that of both: "halfway" triples in the second half, "scattered" is another one at each cutoff, and
    "clusters" follow the size of shocks, those of both or of each model.
    """

    def draw(random: Random, draws: int, design: Any) -> Pair:
        shape = (draws, design.series, design.cutoffs)
        both, *each = noise(random, (3, *shape))
        size: Any = 1.0
        if volatility == "halfway":
            size = np.where(np.arange(shape[-1]) < shape[-1] // 2, 1.0, 3.0)
        elif volatility == "scattered":
            size = np.exp(0.5 * random.standard_normal(shape))
        elif volatility == "clusters":
            size = clustered(random, shape)
        elif volatility == "each in clusters":
            each = [one * clustered(random, shape) for one in each]
        elif volatility == "series":
            size = np.exp(random.standard_normal((draws, design.series, 1)))
        own, other = (np.abs(size * (np.sqrt(shared) * both + np.sqrt(1 - shared) * one)) ** power for one in each)
        return own, other

    return draw


def skewed(spread: float = 1.0, noise: Noise = normal) -> Any:
    """Return lognormal losses, half of whose logarithm both share."""

    def draw(random: Random, draws: int, design: Any) -> Pair:
        both, *each = noise(random, (3, draws, design.series, design.cutoffs))
        own, other = (np.exp(spread * np.sqrt(0.5) * (both + one)) for one in each)
        return own, other

    return draw


def scaled(noise: Noise = normal) -> Any:
    """Return absolute errors over the mean absolute change of a random past of each series, as MASE has them."""
    plain = absolute(noise)

    def draw(random: Random, draws: int, design: Any) -> Pair:
        own, other = plain(random, draws, design)
        size = np.abs(random.standard_normal((draws, design.series, 1, 20))).mean(axis=3)
        return own / size, other / size

    return draw


def panel(correlation: float, noise: Noise = normal) -> Any:
    """Return absolute errors of series whose shocks at one time are correlated, for each model by its own shocks."""

    def draw(random: Random, draws: int, design: Any) -> Pair:
        own, other = (
            np.abs(
                np.sqrt(correlation) * noise(random, (draws, 1, design.cutoffs))
                + np.sqrt(1 - correlation) * random.standard_normal((draws, design.series, design.cutoffs))
            )
            for _ in range(2)
        )
        return own, other

    return draw


def ahead(shared: float = 0.5, correlation: float = 0.0) -> Any:
    """Return mean absolute errors of forecasts that lack all shocks between cutoff and target, gap included."""

    def draw(random: Random, draws: int, design: Any) -> Pair:
        steps = design.step * (design.cutoffs - 1) + design.gap + design.horizon
        both, *each = random.standard_normal((3, draws, design.series, steps))
        if correlation:  # of series at one time
            each = [
                np.sqrt(correlation) * random.standard_normal((draws, 1, steps)) + np.sqrt(1 - correlation) * one
                for one in each
            ]
        starts = design.step * np.arange(design.cutoffs)
        found = []
        for one in each:
            walk = np.cumsum(np.sqrt(shared) * both + np.sqrt(1 - shared) * one, axis=-1)
            walk = np.concatenate([np.zeros((*walk.shape[:-1], 1)), walk], axis=-1)
            loss = np.zeros((draws, design.series, design.cutoffs))
            for step in range(design.gap + 1, design.gap + design.horizon + 1):
                loss += np.abs(walk[..., starts + step] - walk[..., starts]) / design.horizon
            found.append(loss)
        return found[0], found[1]

    return draw


def people(spread: float) -> Any:
    """Return losses of series in groups, between which gains differ by a spread."""

    def draw(random: Random, draws: int, design: Any) -> Pair:
        group = np.repeat(np.arange(len(design.groups)), design.groups)
        gain = (spread / 2 * random.standard_normal((draws, len(design.groups))))[:, group, None]
        level = np.exp(0.3 * random.standard_normal((draws, len(design.groups))))[:, group, None]
        shape = (draws, design.series, design.cutoffs)
        own, other = (level * (1 + sign * gain + 0.2 * random.standard_normal(shape)).clip(0.05) for sign in (1, -1))
        return own, other

    return draw
