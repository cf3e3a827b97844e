"""Preprocessor: scaling and encoding of categories, fitted on the past, from a panel to the inputs of a model."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from tsforecast.data.context import Context
from tsforecast.data.panel import Panel
from tsforecast.data.scaling import PADDING, Scaling, ScalingRecipe
from tsforecast.data.series import MISSING, Roles, places
from tsforecast.mapped import chunks, copied, has_nan, scratch


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


@dataclass(frozen=True)
class CategoryEncoder:
    """Encode covariates of text: each text, or none, that occurs in the training part has a level there, from 1 on.

    All other texts have level 0, which counts as the mean of the training part: as zeros, once the `shares` that levels
    have in its rows are subtracted from indicators of them, or from their embeddings.
    """

    columns: tuple[tuple[int, tuple[str | None, ...], tuple[float, ...]], ...] = ()  # position, levels, shares

    @classmethod
    def fit(cls, past: Panel) -> CategoryEncoder:
        """Fit on the training rows; what follows does not depend on codes, which later rows have a part in."""
        learned = []
        for at in past.roles.coded:
            texts = past.roles.categories[past.roles.varying[at]]
            codes = (past.values[rows, at] for rows in chunks(past.values))
            parts = [places(part[~np.isnan(part)], len(texts)) + 1 for part in codes]
            counts = np.sum([np.bincount(part, minlength=len(texts) + 1) for part in parts], axis=0).tolist()
            rows = {text: count for text, count in zip((None, *texts), counts, strict=True) if count}
            levels = tuple(sorted(rows, key=lambda text: (text is not None, text or "")))
            learned.append((at, levels, tuple(rows[level] / sum(rows.values()) for level in levels)))
        return cls(tuple(learned))

    @classmethod
    def checked(cls, columns: Any, roles: Roles) -> CategoryEncoder:
        """Return the encoder of a saved model, once it fits the roles of the panel; ValueError otherwise."""
        found = cls(tuple((at, tuple(levels), tuple(map(float, shares))) for at, levels, shares in columns))
        whole = all(len(levels) == len(shares) for _, levels, shares in found.columns)
        if [at for at, _, _ in found.columns] != roles.coded or not whole:
            raise ValueError(f"categories must be those of the columns {list(roles.categories)}: got {columns!r}")
        return found

    def levels(self, values: NDArray[Any], roles: Roles, first: int = 0) -> NDArray[Any]:
        """Return values (..., C), whose columns are those from the `first` one on, with levels in place of codes."""
        own = [column for column in self.columns if column[0] >= first]
        values = values.copy() if own else values
        for at, levels, _ in own:
            number = {level: place for place, level in enumerate(levels, 1)}
            texts = roles.categories[roles.varying[at]]
            table = np.array([number.get(text, 0) for text in (*texts, None)] + [0])
            codes = values[..., at - first]
            values[..., at - first] = table[np.where(codes == MISSING, len(texts), places(codes, len(texts)))]
        return values

    def numbers(self, values: NDArray[Any], first: int = 0) -> NDArray[Any]:
        """Return values (..., C) with indicators of the commonest levels, less their shares, behind the numbers.

        Columns are those from the `first` one on; there are `INDICATORS` for each one of text at most.
        """
        own = [column for column in self.columns if column[0] >= first]
        if not own:
            return values
        parts = [np.delete(values, [at - first for at, _, _ in own], axis=-1)]
        for at, _, shares in own:
            commonest = np.sort(np.argsort(shares)[::-1][:INDICATORS])
            level = values[..., at - first, None]
            parts.append(((level == commonest + 1) - np.array(shares)[commonest]) * (level > 0))
        return np.concatenate(parts, axis=-1)

    def hidden(self, values: NDArray[Any], first: int = 0) -> NDArray[Any]:
        """Return values (..., C) with a number that any scaler takes in the columns of text."""
        own = [at - first for at, _, _ in self.columns if at >= first]
        if own:
            values = copied(values)
            values[..., own] = PADDING
        return values


KEPT = 4
Key = TypeVar("Key", bound=Hashable)
Made = TypeVar("Made")


def once(kept: dict[Key, Made], key: Key, make: Callable[[], Made]) -> Made:
    """Return what was made for one of the latest keys; an audit asks again for that of a fit, of equal data."""
    found = kept.get(key)
    if found is None:
        found = kept[key] = make()
        for old in list(kept)[:-KEPT]:  # other threads may do the same
            kept.pop(old, None)
    return found


_latest: dict[tuple[str, ScalingRecipe], Scaling] = {}
INDICATORS = 16  # of levels of a column of text, for a regression; a network has embeddings where there are more
BLOCK = 1 << 16  # rows that are scaled at a time: float64 for all of them would be twice the data


@dataclass(frozen=True, eq=False)
class Preprocessor:
    """Scaling and encoding of categories, fitted once on the training rows."""

    recipe: ScalingRecipe
    scaling: Scaling  # one entry for each series of `ids`
    statics: StaticEncoder
    ids: NDArray[Any]  # of the training series, (N,)
    origin: dict[str, Any]  # span and fingerprint of the training rows, see `Panel.origin`
    categories: CategoryEncoder = CategoryEncoder()

    @classmethod
    def fit(cls, past: Panel, recipe: ScalingRecipe) -> Preprocessor:
        """Fit on a panel that ends at the cutoff."""
        categories, statics = CategoryEncoder.fit(past), StaticEncoder.fit(past.statics, past.roles.static)
        origin, values = past.origin(), partial(categories.hidden, past.values)

        def fitted() -> Scaling:
            return recipe.fit(values(), past.offsets, past.n_targets, past.weights)

        named = isinstance(recipe.scaler, str | None)  # and no object, which may change
        scaling = once(_latest, (origin["sha256"], recipe), fitted) if named else fitted()
        return cls(recipe, scaling, statics, past.ids, origin, categories)

    def scaled(
        self, scaling: Scaling, values: NDArray[Any], series: NDArray[np.int64], first: int = 0
    ) -> NDArray[np.float64]:
        """Return values, see `Scaling.transform`, of the columns from the `first` one on, scaled but for levels."""
        numbers = scaling.columns(first) if first else scaling
        found = numbers.transform(self.categories.hidden(values, first), series)
        for at, _, _ in self.categories.columns:
            if at >= first:
                found[..., at - first] = values[..., at - first]
        return found

    def rows(self, panel: Panel, dtype: type[np.floating[Any]] = np.float32) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return scaled rows without NaN, (rows, C), and their targets with NaN where truth is missing, (rows, K).

        A series that was not fitted is scaled by all its rows in `panel`; see `with_series`.
        """
        scaling = self.of(panel)
        scaled, steps = scratch(panel.values.shape, dtype, panel.values), int(panel.lengths[0])
        alike = steps <= BLOCK and bool((panel.lengths == steps).all())  # series need not be told apart row by row
        most = BLOCK // steps * steps if alike else BLOCK
        for begin in range(0, len(scaled), most):
            values = self.categories.levels(panel.filled[begin : begin + most], panel.roles)
            if alike:
                values = values.reshape(-1, steps, scaled.shape[1])
                owner = begin // steps + np.arange(len(values))
            else:
                owner = np.searchsorted(panel.offsets, np.arange(begin, begin + len(values)), side="right") - 1
            scaled[begin : begin + most] = self.scaled(scaling, values, owner).reshape(-1, scaled.shape[1])
        truth, targets = scaled[:, : panel.n_targets], panel.values[:, : panel.n_targets]
        if has_nan(targets):
            truth = copied(truth)
            for rows in chunks(truth):
                truth[rows][np.isnan(targets[rows])] = np.nan
        for rows in chunks(scaled):
            if not np.isfinite(scaled[rows]).all():
                np.nan_to_num(scaled[rows], copy=False)
        return scaled, truth

    def of(self, data: Panel | Context) -> Scaling:
        """Return one scaling for each series or cutoff: that of training, or for a new series one fitted on `data`."""
        kept: dict[Any, Scaling] = data.scalings if isinstance(data, Context) else {}
        if self not in kept:
            kept[self] = self._scaling_of(data)
        return kept[self]

    def _scaling_of(self, data: Panel | Context) -> Scaling:
        if not self.recipe.per_series:
            return self.scaling.take(np.zeros(len(data), dtype=np.int64))  # learned once for all
        if np.array_equal(data.ids, self.ids):
            return self.scaling
        places = np.array([self._places.get(name, -1) for name in data.ids.tolist()], dtype=np.int64)
        new = np.flatnonzero(places < 0)
        places[new] = len(self.ids) + np.arange(len(new))
        learned, most = [self.scaling], max(1, BLOCK * len(data) // max(int(data.lengths.sum()), 1))
        for some in np.split(new, np.arange(most, len(new), most)) if len(new) else []:
            added = data.select(some)
            rows = added.values if isinstance(added, Panel) else added.histories()
            offsets = np.append(0, np.cumsum(added.lengths))
            learned.append(self.recipe.fit(self.categories.hidden(rows), offsets, data.n_targets))
        return Scaling.joined(learned).take(places)

    @cached_property
    def _places(self) -> dict[Any, int]:
        """The place of each training series by its id."""
        return {name: i for i, name in enumerate(self.ids.tolist())}

    def renewed(self, past: Panel, recipe: ScalingRecipe) -> Preprocessor:
        """Return a preprocessor fitted again, but with the levels of texts that a network has embeddings of."""
        return replace(Preprocessor.fit(past, recipe), categories=self.categories)

    def with_series(self, past: Panel) -> Preprocessor:
        """Return a preprocessor that also scales the series of `past` that it had no scaling for, fitted on `past`."""
        new = ~np.isin(past.ids, self.ids)
        if not self.recipe.per_series or not new.any():
            return self
        added = past.select(new)
        learned = self.recipe.fit(self.categories.hidden(added.values), added.offsets, added.n_targets)
        return replace(self, scaling=Scaling.joined([self.scaling, learned]), ids=np.concatenate([self.ids, added.ids]))

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
