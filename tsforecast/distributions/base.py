"""Distributions of forecasts: quantiles, probabilities and scores of n x H x K numbers at once, in the data's units."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tsforecast.errors import ParameterError

Floats = NDArray[np.float64]
LEVELS = np.arange(1, 200) / 200  # of a grid: every half percent
ROWS = 2_000  # distributions that are mixed at once


class Distribution(ABC):
    """Distributions of the H steps after n cutoffs, of K targets.

    Subclasses implement `quantiles` and `cdf`, and override what they have in closed form.
    """

    shape: tuple[int, int, int]  # (n, H, K)
    points: Floats | None = None  # the point forecasts, (n, H, K), where they came in the same pass

    @abstractmethod
    def quantiles(self, levels: Sequence[float] | Floats) -> Floats:
        """Return the quantiles at Q increasing levels between 0 and 1, (n, H, K, Q); none crosses the next."""

    @abstractmethod
    def cdf(self, y: ArrayLike) -> Floats:
        """Return the probability of a number up to y, (n, H, K)."""

    def below(self, y: ArrayLike) -> Floats:
        """Return the probability of a number less than y, (n, H, K); differs from `cdf` where numbers are counts."""
        return self.cdf(y)

    def mean(self) -> Floats:
        """Return the means, (n, H, K)."""
        return np.asarray(self.quantiles(LEVELS).mean(axis=-1))

    def median(self) -> Floats:
        """Return the medians, (n, H, K)."""
        return self.quantiles([0.5])[..., 0]

    def crps(self, y: ArrayLike) -> Floats:
        """Return the continuous ranked probability score of the truth, (n, H, K), in the unit of the data.

        It is twice the quantile loss, integrated over all levels [Gneiting and Raftery 2007,
        doi 10.1198/016214506000001437]: by trapezoids between `LEVELS` here.
        """
        truth = np.asarray(y, dtype=np.float64)[..., None]
        total = np.zeros(truth.shape[:-1])
        for part in np.array_split(np.arange(len(LEVELS)), 8):  # all of them at once need much memory
            quantiles = self._at_levels(part)
            total += quantile_losses(truth, quantiles, LEVELS[part]).sum(axis=-1)
            for at, end in ((0, 0.0), (-1, 1.0)):  # beyond the outer levels it is taken to be sure
                if LEVELS[part[at]] == LEVELS[at]:
                    total += quantile_losses(truth[..., 0], quantiles[..., at], end) / 2
        return np.asarray(2 * total / (len(LEVELS) + 1))

    def _at_levels(self, part: NDArray[np.int64]) -> Floats:
        """Return the quantiles at some of `LEVELS`, which follow each other."""
        return self.quantiles(LEVELS[part])

    def at_probabilities(self, probabilities: Floats) -> Floats:
        """Return the numbers with P probabilities of each step, (n, H, K, P): quantiles at levels of their own."""
        return self.grid().at_probabilities(probabilities)

    def to_torch(self) -> Any:
        """Return a `torch.distributions` object of batch shape (n, H, K); ParameterError where there is no family."""
        raise ParameterError(
            "these distributions are known by their quantiles and belong to no family of torch: use quantiles, cdf or "
            "sample, or fit a network whose loss is a family, such as loss='normal'"
        )

    def grid(self) -> Grid:
        """Return the same distributions by their quantiles at `LEVELS`."""
        return Grid(self.quantiles(LEVELS))

    def steps(self, chosen: slice | NDArray[np.int64]) -> Distribution:
        """Return the distributions of some steps: those of a slice, or of (n, H') for each cutoff its own."""
        return self.grid().steps(chosen)


@dataclass(frozen=True, eq=False)
class Grid(Distribution):
    """Distributions by their quantiles at `LEVELS`, (n, H, K, L): straight lines between them, none beyond."""

    values: Floats

    def __post_init__(self) -> None:
        if self.values.ndim != 4 or self.values.shape[-1] != len(LEVELS):
            raise ParameterError(
                f"values of a grid must have shape (n, H, K, {len(LEVELS)}), quantiles at every half percent: got "
                f"{self.values.shape}"
            )

    @classmethod
    def at(cls, points: Floats) -> Grid:
        """Return distributions that are sure of their points, (n, H, K)."""
        return cls(np.repeat(points[..., None], len(LEVELS), axis=-1))

    @classmethod
    def of_samples(cls, samples: Floats) -> Grid:
        """Return the distributions of samples, (n, H, K, S)."""
        return cls(np.moveaxis(np.quantile(samples, LEVELS, axis=-1, method="weibull"), 0, -1))

    @property
    def shape(self) -> tuple[int, int, int]:  # type: ignore[override]
        """Numbers of cutoffs, steps and targets."""
        n, steps, targets, _ = self.values.shape
        return n, steps, targets

    def quantiles(self, levels: Sequence[float] | Floats) -> Floats:
        """See `Distribution.quantiles`."""
        place = np.clip(np.asarray(levels, dtype=np.float64) * (len(LEVELS) + 1) - 1, 0, len(LEVELS) - 1)
        lower = np.minimum(place.astype(np.int64), len(LEVELS) - 2)
        share = place - lower
        low, high = self.values[..., lower], self.values[..., lower + 1]
        return np.asarray(np.where(share == 1, high, low + share * (high - low)))

    def _at_levels(self, part: NDArray[np.int64]) -> Floats:
        return self.values[..., part[0] : part[-1] + 1]

    def cdf(self, y: ArrayLike) -> Floats:
        """See `Distribution.cdf`; 0 below the first quantile, 1 from the last one on."""
        return self._probability(np.asarray(y, dtype=np.float64), upto=True)

    def below(self, y: ArrayLike) -> Floats:
        """See `Distribution.below`."""
        return self._probability(np.asarray(y, dtype=np.float64), upto=False)

    def _probability(self, y: Floats, upto: bool) -> Floats:
        held = self.values <= y[..., None] if upto else self.values < y[..., None]
        count = held.sum(axis=-1)  # quantiles that y has passed
        lower, upper = np.clip(count - 1, 0, None), np.clip(count, None, len(LEVELS) - 1)
        low, high = (np.take_along_axis(self.values, at[..., None], axis=-1)[..., 0] for at in (lower, upper))
        way = np.clip((y - low) / np.where(high > low, high - low, 1.0), 0.0, 1.0)
        inside = (count + way) / (len(LEVELS) + 1)
        return np.where(count == 0, 0.0, np.where(count == len(LEVELS), 1.0, inside))

    def at_probabilities(self, probabilities: Floats) -> Floats:
        """See `Distribution.at_probabilities`."""
        place = np.clip(probabilities * (len(LEVELS) + 1) - 1, 0, len(LEVELS) - 1)
        lower = np.minimum(place.astype(np.int64), len(LEVELS) - 2)
        low, high = (np.take_along_axis(self.values, at, axis=-1) for at in (lower, lower + 1))
        return np.asarray(low + (place - lower) * (high - low))

    def grid(self) -> Grid:
        """Return itself."""
        return self

    def steps(self, chosen: slice | NDArray[np.int64]) -> Grid:
        """See `Distribution.steps`."""
        if isinstance(chosen, slice):
            return type(self)(self.values[:, chosen])
        return type(self)(np.take_along_axis(self.values, chosen[:, :, None, None], axis=1))


@dataclass(frozen=True, eq=False)
class Atoms(Grid):
    """Distributions of single numbers, such as counts, by their quantiles at `LEVELS`: nothing lies between them."""

    def quantiles(self, levels: Sequence[float] | Floats) -> Floats:
        """See `Distribution.quantiles`."""
        return self.values[..., _upper_place(np.asarray(levels, dtype=np.float64))]

    def at_probabilities(self, probabilities: Floats) -> Floats:
        """See `Distribution.at_probabilities`."""
        return np.take_along_axis(self.values, _upper_place(probabilities), axis=-1)


def _upper_place(levels: Floats) -> NDArray[np.int64]:
    """Return the places of the next higher levels of a grid."""
    return np.clip(np.ceil(levels * (len(LEVELS) + 1) - 1e-9), 1, len(LEVELS)).astype(np.int64) - 1


def mixture(parts: Sequence[Distribution], weights: Sequence[float] | None = None) -> Grid:
    """Return the mixture of distributions, of equal shape, with weights whose sum is 1; equal ones unless given.

    The quantiles at `LEVELS` of all parts are pooled, each with its weight.
    """
    share = np.full(len(parts), 1 / len(parts)) if weights is None else np.asarray(weights, dtype=np.float64)
    mass = np.repeat(share / len(LEVELS), len(LEVELS))
    shape = (*parts[0].shape, len(LEVELS))
    every = [part.grid().values.reshape(-1, len(LEVELS)) for part in parts]
    found = np.empty((len(every[0]), len(LEVELS)))
    for first in range(0, len(found), ROWS):  # all of them at once need much memory
        pooled = np.concatenate([values[first : first + ROWS] for values in every], axis=1)  # (rows, M * L)
        order = np.argsort(pooled, axis=1, kind="stable")  # merges what is sorted already
        reached = np.cumsum(mass[order], axis=1)
        # A quantile at l / (L + 1) is the first number at which the mass reaches it: count those below.
        below = np.floor(reached * (len(LEVELS) + 1) + 1e-9).astype(np.int64)
        width, rows = len(LEVELS) + 2, np.arange(len(pooled))[:, None]
        counts = np.bincount((rows * width + below).ravel(), minlength=len(pooled) * width).reshape(-1, width)
        place = np.minimum(np.cumsum(counts, axis=1)[:, : len(LEVELS)], pooled.shape[1] - 1)
        found[first : first + ROWS] = np.take_along_axis(pooled, np.take_along_axis(order, place, axis=1), axis=1)
    return Grid(found.reshape(shape))


def assembled(shape: tuple[int, int, int], parts: Sequence[tuple[NDArray[np.bool_], Distribution]]) -> Grid:
    """Return distributions whose cutoffs come from several parts: the mask (n,) of each, and its distributions."""
    values = np.empty((*shape, len(LEVELS)))
    for chosen, part in parts:
        values[chosen] = part.grid().values
    return Grid(values)


def quantile_losses(y: ArrayLike, quantiles: ArrayLike, levels: ArrayLike) -> Floats:
    """Return the quantile loss: the error, times the level where y lies above, times 1 less the level below.

    The three are broadcast against each other [Koenker and Bassett 1978].
    """
    error, level = np.asarray(y, dtype=np.float64) - np.asarray(quantiles), np.asarray(levels, dtype=np.float64)
    return np.asarray(np.maximum(level * error, (level - 1) * error))


def interval_losses(y: ArrayLike, low: ArrayLike, high: ArrayLike, level: float) -> Floats:
    """Return the interval score: the width, and 2 / (1 - level) times by how much y lies outside.

    [Gneiting and Raftery 2007]; scaled by the seasonal naive error it is the MSIS of the M4 competition.
    """
    truth, bottom, top = (np.asarray(each, dtype=np.float64) for each in (y, low, high))
    outside = np.maximum(bottom - truth, 0) + np.maximum(truth - top, 0)
    return np.asarray(top - bottom + 2 / (1 - level) * outside)
