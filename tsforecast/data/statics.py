"""Static columns as numbers: categories and scales learned on training series only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class StaticEncoder:
    """Turn static columns into numbers.

    A number becomes its distance from the mean in standard deviations; a category becomes one column
    for each value seen in training, and one more for every value that was not.

    Parameters
    ----------
    columns : tuple of (name, mean, deviation, categories)
        Categories are empty for a number.

    Examples
    --------
    >>> encoder = StaticEncoder.fit({"region": np.array(["n", "s"]), "size": np.array([1.0, 3.0])}, ["region", "size"])
    >>> encoder.encode({"region": np.array(["s", "west"]), "size": np.array([3.0, 5.0])}, 2).tolist()
    [[0.0, 1.0, 0.0, 1.0], [0.0, 0.0, 1.0, 3.0]]
    """

    columns: tuple[tuple[str, float, float, tuple[str, ...]], ...] = ()

    @classmethod
    def fit(cls, facts: Mapping[str, NDArray[Any]], names: Sequence[str]) -> StaticEncoder:
        """Learn from one value for each training series."""
        learned: list[tuple[str, float, float, tuple[str, ...]]] = []
        for name in names:
            values = facts[name]
            if values.dtype.kind in "iuf":
                there = values[~np.isnan(values.astype(np.float64))].astype(np.float64)
                mean, spread = (float(there.mean()), float(there.std())) if len(there) else (0.0, 1.0)
                learned.append((name, mean, spread or 1.0, ()))
            else:
                learned.append((name, 0.0, 1.0, tuple(sorted({str(value) for value in values}))))
        return cls(tuple(learned))

    @property
    def width(self) -> int:
        """Columns that `encode` returns (S)."""
        return sum(len(categories) + 1 for *_, categories in self.columns)

    def encode(self, facts: Mapping[str, NDArray[Any]], count: int) -> NDArray[np.float32]:
        """Return the static columns of `count` series as numbers, shape (count, S)."""
        parts = [np.zeros((count, 0))]
        for name, mean, spread, categories in self.columns:
            values = facts[name]
            if not categories:
                scaled = (values.astype(np.float64) - mean) / spread
                parts.append(np.nan_to_num(scaled)[:, None])  # a missing number is the mean
                continue
            place = {category: i for i, category in enumerate(categories)}
            codes = np.array([place.get(str(value), len(categories)) for value in values])
            parts.append(np.eye(len(categories) + 1)[codes])
        return np.concatenate(parts, axis=1).astype(np.float32)
