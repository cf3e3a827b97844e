"""Preprocessor: scaling and static encoding, fitted on the past, from a panel to the inputs of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.data.context import Context
from tsforecast.data.panel import Panel
from tsforecast.data.scaling import Scaling, ScalingRecipe


@dataclass(frozen=True)
class StaticEncoder:
    """Encode static columns as numbers.

    A number becomes its distance from the mean in standard deviations; a category becomes one column
    for each value of the training series, and one for all other values.
    """

    columns: tuple[tuple[str, float, float, tuple[str, ...]], ...] = ()  # name, mean, deviation; or categories

    @classmethod
    def fit(cls, statics: Mapping[str, NDArray[Any]], names: Sequence[str]) -> StaticEncoder:
        """Fit on one value for each training series."""
        learned: list[tuple[str, float, float, tuple[str, ...]]] = []
        for name in names:
            values = statics[name]
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

    def encode(self, statics: Mapping[str, NDArray[Any]], count: int) -> NDArray[np.float32]:
        """Return the static columns of `count` series as numbers, shape (count, S)."""
        parts = [np.zeros((count, 0))]
        for name, mean, spread, categories in self.columns:
            values = statics[name]
            if not categories:
                scaled = (values.astype(np.float64) - mean) / spread
                parts.append(np.nan_to_num(scaled)[:, None])  # a missing number is the mean
                continue
            place = {category: i for i, category in enumerate(categories)}
            codes = np.array([place.get(str(value), len(categories)) for value in values])
            parts.append(np.eye(len(categories) + 1)[codes])
        return np.concatenate(parts, axis=1).astype(np.float32)


BLOCK = 1 << 16  # rows that are scaled at a time: float64 for all of them would be twice the data


@dataclass(frozen=True, eq=False)
class Preprocessor:
    """Scaling and static encoding, fitted once on the training rows."""

    recipe: ScalingRecipe
    scaling: Scaling  # one entry for each series of `ids`
    statics: StaticEncoder
    ids: NDArray[Any]  # of the training series, (N,)
    origin: dict[str, Any]  # span and fingerprint of the training rows, see `Panel.origin`

    @classmethod
    def fit(cls, past: Panel, recipe: ScalingRecipe) -> Preprocessor:
        """Fit on a panel that ends at the cutoff."""
        scaling = recipe.fit(past.values, past.offsets, past.n_targets, past.weights)
        return cls(recipe, scaling, StaticEncoder.fit(past.statics, past.roles.static), past.ids, past.origin())

    def rows(self, panel: Panel, dtype: type[np.floating[Any]] = np.float32) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return scaled rows without NaN, (rows, C), and their targets with NaN where truth is missing, (rows, K).

        A series that was not fitted is scaled by all its rows in `panel`; see `with_series`.
        """
        scaling = self.of(panel)
        scaled = np.empty(panel.values.shape, dtype=dtype)
        for begin in range(0, len(scaled), BLOCK):
            rows = np.arange(begin, min(begin + BLOCK, len(scaled)))
            owner = np.searchsorted(panel.offsets, rows, side="right") - 1
            scaled[rows] = scaling.transform(panel.filled[rows], owner)
        truth = scaled[:, : panel.n_targets]
        missing = np.isnan(panel.values[:, : panel.n_targets])
        if missing.any():
            truth = np.where(missing, dtype(np.nan), truth)
        return np.nan_to_num(scaled, copy=False), truth

    def of(self, data: Panel | Context) -> Scaling:
        """Return one scaling for each series or cutoff: that of training, or for a new series one fitted on `data`."""
        if not self.recipe.per_series:
            return self.scaling.take(np.zeros(len(data), dtype=np.int64))  # learned once for all
        if np.array_equal(data.ids, self.ids):
            return self.scaling
        place = {name: i for i, name in enumerate(self.ids.tolist())}
        places = np.array([place.get(name, -1) for name in data.ids.tolist()], dtype=np.int64)
        known, rows_of = self.scaling, data.series if isinstance(data, Panel) else data.history
        for number, i in enumerate(np.flatnonzero(places < 0)):
            rows = rows_of(int(i))
            known = known.with_series(self.recipe.fit(rows, np.array([0, len(rows)]), data.n_targets))
            places[i] = len(self.ids) + number
        return known.take(places)

    def with_series(self, past: Panel) -> Preprocessor:
        """Return a preprocessor that also scales the series of `past` that it had no scaling for, fitted on `past`."""
        new = ~np.isin(past.ids, self.ids)
        if not self.recipe.per_series or not new.any():
            return self
        added = past.select(new)
        learned = self.recipe.fit(added.values, added.offsets, added.n_targets)
        return replace(self, scaling=self.scaling.with_series(learned), ids=np.concatenate([self.ids, added.ids]))

    def beyond_transform(self, panel: Panel) -> list[str]:
        """Return a problem for each target with numbers below the domain of the fitted transform."""
        scaling, problems = self.of(panel), []
        for i in range(len(panel)):
            targets = panel.series(i)[:, : panel.n_targets].astype(np.float64)
            held = scaling.held(targets, i)
            for k in np.flatnonzero(held.any(axis=0)):
                problems.append(
                    f"{panel.roles.target[k]!r} of series {str(panel.ids[i])!r} must lie where its transform is "
                    f"defined, above {scaling.edge[i, k] - scaling.shift[i, k]:.3g}: {held[:, k].sum()} of "
                    f"{len(held)} values do not, the lowest is {np.nanmin(targets[:, k]):.3g}"
                )
        return problems

    def static(self, series: Panel | Context) -> NDArray[np.float32]:
        """Return the static columns of each series or cutoff as numbers, shape (n, S)."""
        return self.statics.encode(series.statics, len(series))
