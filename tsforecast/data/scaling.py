"""Scaling: statistics learned on rows that may be seen, applied to any rows, and undone."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Scaling:
    """What `fit_standard` learned; it also undoes itself.

    Attributes
    ----------
    location, scale : float64 arrays of shape (N, C)
        Of each series and column. A scale is never zero.

    Examples
    --------
    >>> scaling = fit_standard(np.array([[1.0], [3.0]]), np.array([0, 2]))
    >>> scaling.transform(np.array([[1.0], [3.0], [5.0]]), 0).ravel().tolist()
    [-1.0, 1.0, 3.0]
    """

    location: Floats
    scale: Floats

    def transform(self, values: NDArray[Any], series: NDArray[np.int64] | int) -> Floats:
        """Scale `values` of shape (..., C) with the statistics of `series`."""
        return np.asarray((values - self._of(self.location, series, values)) / self._of(self.scale, series, values))

    def inverse(self, values: NDArray[Any], series: NDArray[np.int64] | int) -> Floats:
        """Undo `transform`."""
        return np.asarray(values * self._of(self.scale, series, values) + self._of(self.location, series, values))

    def stretch(self, differences: NDArray[Any], series: NDArray[np.int64] | int) -> Floats:
        """Undo `transform` for differences of scaled values; exactly zero stays zero.

        `differences` has shape (n, H, K) with K <= C.
        """
        return np.asarray(differences * self._of(self.scale, series, differences))

    @staticmethod
    def _of(statistic: Floats, series: NDArray[np.int64] | int, values: NDArray[Any]) -> Floats:
        chosen = statistic[series][..., : values.shape[-1]]
        return chosen[:, None] if chosen.ndim == 2 and values.ndim == 3 else chosen


def fit_standard(values: NDArray[Any], offsets: NDArray[np.int64]) -> Scaling:
    """Learn mean and standard deviation of each series and column.

    Parameters
    ----------
    values : array of shape (rows, C)
        NaN is left out. Only rows that may be seen: what is not here cannot leak.
    offsets : int64 array of shape (N + 1,)

    Notes
    -----
    A column that does not vary, beyond rounding, gets the scale 1; one without any number gets
    location 0 and scale 1.
    """
    shape = (len(offsets) - 1, values.shape[1])
    location, scale = np.zeros(shape), np.ones(shape)
    for i, (begin, end) in enumerate(pairwise(offsets)):
        rows = values[begin:end].astype(np.float64)
        there = ~np.isnan(rows)
        count = there.sum(axis=0)
        mean = np.where(there, rows, 0.0).sum(axis=0) / np.maximum(count, 1)
        spread = np.sqrt(np.where(there, rows - mean, 0.0).__pow__(2).sum(axis=0) / np.maximum(count, 1))
        # Rounding alone spreads equal numbers by some units in the last place of their mean.
        varies = spread > 16 * np.finfo(np.float64).eps * np.abs(mean)
        location[i], scale[i] = mean, np.where(varies, spread, 1.0)
    return Scaling(location, scale)
