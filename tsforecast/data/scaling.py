"""Scaling: a value transform and a scaler, fitted on training rows, applied to any rows, and inverted.

Two steps, each optional: a value transform of the targets (a power with an offset; the logarithm is the
power 0), then a scaler of every column. The two steps that belong to single windows, instance
normalisation and anchor, are part of the network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tsforecast.errors import ParameterError
from tsforecast.mapped import slices, whole_series

Floats = NDArray[np.float64]
Series = NDArray[np.int64] | int

TRANSFORMS = ("log", "box-cox")
TINY = 1e-100  # a smaller spread counts as none
PADDING = 1.0  # in place of absent columns, for a transformer that needs all; positive, for a logarithm
_HELD = {"lowest": -1, "highest": 1}  # older models hold no covariates
SCALERS = ("standard", "min-max", "robust")
_SHARES = {"min-max": (0.0, 0.0, 1.0), "robust": (0.25, 0.5, 0.75)}  # quantiles: the scale is from first to last
ARRAYS = ("shift", "power", "edge", "location", "scale", "lowest", "highest")  # of a scaling, besides its transformers


@dataclass(frozen=True)
class ScalingRecipe:
    """Recipe of a scaling.

    The transform of the targets is ``log(y + offset)``, or ``((y + offset)**power - 1) / power`` with the power in
    [0, 1] that makes the training part most normal [Box and Cox 1964]. The offset is 0 where all training values are
    positive. Values far below those of training are held where the function still exists.
    """

    transform: str | None = None  # one of `TRANSFORMS`
    scaler: Any = "standard"  # of every column: one of `SCALERS`, or a scikit-learn transformer that is cloned
    per_series: bool = True  # learn for each series on its own; else once for all

    def fit(
        self,
        values: NDArray[Any],
        offsets: NDArray[np.int64],
        targets: int,
        weights: NDArray[np.float64] | None = None,
    ) -> Scaling:
        """Fit on training rows (rows, C) alone; the first so many columns are `targets`, and NaN is left out.

        Series weigh as much as `weights` (N,) in the mean and deviation that all share; other statistics leave out
        those of weight 0. A column that does not vary, beyond rounding, gets the scale 1; one without any number gets
        location 0 and scale 1. Covariates are held in the range that was learned from, and as far again on both sides
        (by 1 where they do not vary). ParameterError is raised when the scaler is an object that does not scale column
        by column, or cannot undo what it does.
        """
        count, columns = len(offsets) - 1, values.shape[1]
        shift, power, edge = np.zeros((count, targets)), np.ones((count, targets)), np.ones((count, targets))
        location, scale = np.zeros((count, columns)), np.ones((count, columns))
        lowest, highest = np.zeros((count, columns)), np.zeros((count, columns))
        tools: list[Any] = []
        blocks = [(slice(0, 1), np.array([0, len(values)]))]
        if self.per_series:
            blocks = [(slice(*block), offsets[block[0] : block[1] + 1]) for block in whole_series(offsets)]
        elif self._walks:
            shift[:], edge[:], mean, spread, lowest[:], highest[:] = self._walked(values, offsets, targets, weights)
            blocks, power = [], np.zeros_like(power) if self.transform else power
            if self.scaler:
                location[:], scale[:] = mean, spread
        for some, bounds in blocks:
            rows, parts = values[bounds[0] : bounds[-1]].astype(np.float64), bounds - bounds[0]
            weight = np.ones(len(rows))
            if weights is not None and not self.per_series:
                weight = np.repeat(weights, np.diff(offsets)).astype(np.float64)
                rows, weight = rows[weight > 0], weight[weight > 0]
                parts = np.array([0, len(rows)])
            if self.transform:
                owner = np.repeat(np.arange(len(parts) - 1), np.diff(parts))
                learned = _fit_powers(rows[:, :targets], parts, self.transform)
                shift[some], power[some], edge[some] = learned
                rows[:, :targets] = _raise(rows[:, :targets], *(numbers[owner] for numbers in learned))
            lowest[some], highest[some] = (by_part(extreme, rows, parts) for extreme in (np.fmin, np.fmax))
            if self.scaler == "standard":
                location[some], scale[some] = _mean_and_deviation(rows, parts, weight)
            elif isinstance(self.scaler, str):
                low, location[some], high = _quantiles(rows, parts, _SHARES[self.scaler])
                scale[some] = _never_zero(high - low, _size(rows, parts))
            elif self.scaler is not None:
                tools += [_fitted(self.scaler, rows[begin:end]) for begin, end in pairwise(parts)]
        if not self.per_series:
            for numbers in (shift, power, edge, location, scale, lowest, highest):
                numbers[:] = numbers[0]
            tools = tools * count
        lowest, highest = np.nan_to_num(lowest), np.nan_to_num(highest)  # of a column without any number
        margin = highest - lowest
        margin = np.where(margin > 0, margin, 1.0)  # the scale of what does not vary
        lowest, highest = lowest - margin, highest + margin
        lowest[:, :targets], highest[:, :targets] = -np.inf, np.inf
        return Scaling(bool(self.transform), shift, power, edge, location, scale, lowest, highest, tuple(tools))

    @property
    def _walks(self) -> bool:
        """Whether statistics of all series together are sums and extremes, which need not have all rows at once."""
        return self.scaler in ("standard", None) and self.transform != "box-cox"

    def _walked(
        self, values: NDArray[Any], offsets: NDArray[np.int64], targets: int, weights: NDArray[np.float64] | None
    ) -> tuple[Floats, Floats, Floats, Floats, Floats, Floats]:
        """Return offset and edge of the targets, (1, K), and location, scale, lowest and highest of all, (1, C)."""
        offset, edge, power = np.zeros((1, targets)), np.ones((1, targets)), np.zeros((1, targets))

        def walk(whole: bool) -> Iterator[tuple[Floats, Floats]]:
            for some in slices(len(values)):
                rows = values[some].astype(np.float64)
                weight = np.ones(len(rows))
                if weights is not None:
                    owner = np.searchsorted(offsets, np.arange(some.start, some.stop), side="right") - 1
                    weight = weights[owner].astype(np.float64)
                    rows, weight = rows[weight > 0], weight[weight > 0]
                if not whole:
                    rows, weight = rows[:, :targets], np.ones(len(rows))
                elif self.transform:
                    rows[:, :targets] = _raise(rows[:, :targets], offset, power, edge)
                yield rows, weight

        if self.transform:
            _, spread, low, _ = _over(lambda: walk(False), targets)
            offset, edge = _offsets(low, spread, ~np.isnan(low))
        return offset, edge, *_over(lambda: walk(True), values.shape[1])


@dataclass(frozen=True, eq=False)
class Scaling:
    """Fitted `ScalingRecipe` of N series, K targets and C columns: transforms, and inverts its transform."""

    powered: bool  # whether targets are transformed first
    shift: Floats  # of the value transform, (N, K)
    power: Floats
    edge: Floats  # shifted values below it are held there
    location: Floats  # (N, C)
    scale: Floats  # (N, C), never zero
    lowest: Floats  # numbers of covariates below it are held there, and those above the `highest`, (N, C)
    highest: Floats
    tools: tuple[Any, ...] = ()  # fitted transformers of scikit-learn, one for each series, or none
    first: int = 0  # column of the transformers that is the first one here

    @classmethod
    def from_numbers(
        cls, numbers: Mapping[str, NDArray[Any]], powered: bool, series: int, targets: int, columns: int
    ) -> Scaling:
        """Undo `numbers`, for so many series, targets and columns; raise ValueError where shape or kind differ."""
        free = {f"scaling.{name}": np.full((series, columns), sign * np.inf) for name, sign in _HELD.items()}
        arrays: dict[str, Any] = {name: (free | dict(numbers))[f"scaling.{name}"] for name in ARRAYS}
        for name, array in arrays.items():
            shape = (series, targets if name in ("shift", "power", "edge") else columns)
            if array.shape != shape or array.dtype != np.float64:
                raise ValueError(f"{name} must be float64 of shape {shape}: got {array.dtype}, {array.shape}")
        return cls(powered, **arrays)

    def numbers(self) -> dict[str, Floats]:
        """Return the fitted arrays by name; the state of transformers is not among them."""
        return {f"scaling.{name}": getattr(self, name) for name in ARRAYS}

    def transform(self, values: NDArray[Any], series: Series) -> Floats:
        """Scale `values`, (rows, C) or (n, T, C), as fitted on `series`, one or (rows,) or (n,).

        Fewer columns are taken as the first ones.
        """
        values = np.array(values, dtype=np.float64)
        if self.powered:
            k = min(values.shape[-1], self.shift.shape[1])
            learned = (self._of(array, series, values, k) for array in (self.shift, self.power, self.edge))
            values[..., :k] = _raise(values[..., :k], *learned)
        begin = self._covariates
        if values.shape[-1] > begin:
            held = (self._of(array, series, values)[..., begin:] for array in (self.lowest, self.highest))
            values[..., begin:] = np.clip(values[..., begin:], *held)
        if self.tools:
            return self._by_tool(values, series, "transform")
        return np.asarray((values - self._of(self.location, series, values)) / self._of(self.scale, series, values))

    def held(self, targets: NDArray[Any], series: Series) -> NDArray[np.bool_]:
        """Return which targets, as in `transform`, lie so far below training that they are held at an edge."""
        shift, edge = self._of(self.shift, series, targets), self._of(self.edge, series, targets)
        return np.asarray((targets + shift < edge) & self.powered)

    def beyond(self, values: NDArray[Any], series: Series) -> NDArray[np.bool_]:
        """Return which covariates, as in `transform`, lie so far beyond training that they are held at an edge."""
        return np.asarray(
            (values < self._of(self.lowest, series, values)) | (values > self._of(self.highest, series, values))
        )

    @property
    def _covariates(self) -> int:
        """Column that is the first one of a covariate."""
        return max(int(self.shift.shape[1]) - self.first, 0)

    def inverse(self, values: NDArray[Any], series: Series) -> Floats:
        """Undo `transform`."""
        if self.tools:
            values = self._by_tool(np.asarray(values, dtype=np.float64), series, "inverse_transform")
        else:
            values = values * self._of(self.scale, series, values) + self._of(self.location, series, values)
        if self.powered:
            k = min(values.shape[-1], self.shift.shape[1])
            shift, power = self._of(self.shift, series, values, k), self._of(self.power, series, values, k)
            values[..., :k] = _lower(values[..., :k], shift, power)
        return np.asarray(values)

    def columns(self, first: int) -> Scaling:
        """Return the scaling of the columns from `first` on; they must not be targets of a transform."""
        return replace(
            self,
            powered=False,
            location=self.location[:, first:],
            scale=self.scale[:, first:],
            lowest=self.lowest[:, first:],
            highest=self.highest[:, first:],
            first=self.first + first,
        )

    def take(self, index: NDArray[np.int64]) -> Scaling:
        """Return the scaling of the chosen series, in that order; entries may repeat."""
        arrays: dict[str, Any] = {name: getattr(self, name)[index] for name in ARRAYS}
        return replace(self, **arrays, tools=tuple(self.tools[i] for i in index) if self.tools else ())

    @staticmethod
    def joined(parts: Sequence[Scaling]) -> Scaling:
        """Return the scaling of the series of all parts, one part after the other."""
        arrays: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in ARRAYS}
        return replace(parts[0], **arrays, tools=tuple(tool for part in parts for tool in part.tools))

    def _by_tool(self, values: Floats, series: Series, method: str) -> Floats:
        """Apply the transformers, which need all columns, to some columns."""
        if not values.size:
            return values
        count = values.shape[-1]
        padding = [(0, 0)] * (values.ndim - 1) + [(self.first, self.location.shape[1] - count)]
        full = np.pad(values, padding, constant_values=PADDING)
        owner = np.broadcast_to(np.asarray(series), values.shape[:1])
        out = np.empty_like(full)
        for i in np.unique(owner):
            mine = owner == i
            flat = getattr(self.tools[i], method)(full[mine].reshape(-1, full.shape[-1]))
            out[mine] = np.asarray(flat).reshape(full[mine].shape)
        return out[..., self.first : self.first + count]

    @staticmethod
    def _of(statistic: Floats, series: Series, values: NDArray[Any], width: int | None = None) -> Floats:
        chosen = statistic[series][..., : width or values.shape[-1]]
        return chosen[:, None] if chosen.ndim == 2 and values.ndim == 3 else chosen


def _fitted(scaler: Any, rows: Floats) -> Any:
    """Return a clone of a transformer that learned from `rows`, once it is seen to be a scaler."""
    from sklearn.base import clone

    must = (
        f"scaler must be one of {', '.join(map(repr, SCALERS))}, None, or a scikit-learn transformer that scales each "
        "column by itself and undoes it, such as StandardScaler()"
    )
    if isinstance(scaler, type) and hasattr(scaler, "fit"):
        raise ParameterError(f"{must}: got the class {scaler.__name__}; pass {scaler.__name__}()")
    lacks = [name for name in ("fit", "transform", "inverse_transform") if not hasattr(scaler, name)]
    if lacks:
        raise ParameterError(f"{must}: {scaler!r} has no {' and no '.join(lacks)}")
    try:
        tool = clone(scaler).fit(rows)
        scaled = tool.transform(rows)
    except (ValueError, TypeError) as error:
        raise ParameterError(f"{must}: {scaler!r} cannot learn from the data: {str(error).splitlines()[0]}") from error
    if scaled.shape != rows.shape:
        raise ParameterError(f"{must}: {scaler!r} turns {rows.shape[1]} columns into {scaled.shape[-1]}")
    alone = tool.transform(np.where(np.arange(rows.shape[1]) == 0, rows, PADDING))
    if not np.allclose(np.asarray(alone)[:, 0], np.asarray(scaled)[:, 0], equal_nan=True):
        raise ParameterError(f"{must}: {scaler!r} mixes columns")
    # Most numbers, not all: a transformer may hold what is extreme.
    back = np.asarray(tool.inverse_transform(scaled), dtype=np.float64)
    there = ~np.isnan(rows) & ~np.isnan(back)
    numbers, missed = rows[there], np.abs(back - rows)[there]
    if len(numbers) and np.median(missed) > 1e-3 * np.ptp(numbers) + 1e-6 * np.abs(numbers).max():
        raise ParameterError(f"{must}: {scaler!r} does not undo what it does")
    return tool


def by_part(reduction: np.ufunc, values: NDArray[Any], parts: NDArray[np.int64]) -> NDArray[Any]:
    """Reduce the rows of each part, (rows, C) to (N, C); 0 for a part without rows."""
    found = np.zeros((len(parts) - 1, values.shape[1]))
    there = np.flatnonzero(np.diff(parts))
    if len(there):
        for k, column in enumerate(np.ascontiguousarray(values.T)):
            found[there, k] = reduction.reduceat(column, parts[:-1][there])
    return found


def _mean_and_deviation(rows: Floats, parts: NDArray[np.int64], weight: Floats) -> tuple[Floats, Floats]:
    there, owner = ~np.isnan(rows), np.repeat(np.arange(len(parts) - 1), np.diff(parts))
    counts = np.where(there, weight[:, None], 0.0)
    total = by_part(np.add, counts, parts)
    total = np.where(total > 0, total, 1.0)
    mean = by_part(np.add, np.where(there, rows, 0.0) * counts, parts) / total
    squares = np.where(there, rows - mean[owner], 0.0) ** 2 * counts
    return mean, _never_zero(np.sqrt(by_part(np.add, squares, parts) / total), _size(rows, parts))


def _over(walk: Callable[[], Iterator[tuple[Floats, Floats]]], columns: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Return mean, deviation, lowest and highest numbers, (1, C) each, of a walk over blocks of rows and weights."""
    total, sums, squares, size = np.zeros((4, 1, columns))
    lowest, highest = np.full((2, 1, columns), np.nan)
    for rows, weight in walk():
        there, parts = ~np.isnan(rows), np.array([0, len(rows)])
        counts = np.where(there, weight[:, None], 0.0)
        total += by_part(np.add, counts, parts)
        sums += by_part(np.add, np.where(there, rows, 0.0) * counts, parts)
        size = np.maximum(size, _size(rows, parts))
        if len(rows):
            lowest, highest = np.fmin(lowest, np.fmin.reduce(rows)), np.fmax(highest, np.fmax.reduce(rows))
    total = np.where(total > 0, total, 1.0)
    mean = sums / total
    for rows, weight in walk():
        there, parts = ~np.isnan(rows), np.array([0, len(rows)])
        squares += by_part(
            np.add, np.where(there, rows - mean, 0.0) ** 2 * np.where(there, weight[:, None], 0.0), parts
        )
    return mean, _never_zero(np.sqrt(squares / total), size), lowest, highest


def _quantiles(rows: Floats, parts: NDArray[np.int64], shares: tuple[float, ...]) -> Floats:
    """Return quantiles of each part and column, (shares, N, C)."""
    found = np.zeros((len(shares), len(parts) - 1, rows.shape[1]))
    for i, (begin, end) in enumerate(pairwise(parts)):
        for k, column in enumerate(rows[begin:end].T):
            numbers = column[~np.isnan(column)]
            if len(numbers):
                found[:, i, k] = np.quantile(numbers, shares)
    return found


def _size(rows: Floats, parts: NDArray[np.int64]) -> Floats:
    """Return the largest number of each part and column by its size, (N, C)."""
    return by_part(np.maximum, np.abs(np.nan_to_num(rows)), parts)


def _never_zero(spread: Floats, size: Floats) -> Floats:
    """Replace spreads that are zero, or no more than rounding, by 1."""
    # Rounding alone spreads equal numbers by some units in the last place of their size.
    return np.where(spread > np.maximum(16 * np.finfo(np.float64).eps * size, TINY), spread, 1.0)


def _offsets(lowest: Floats, spread: Floats, known: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return offset and lowest shifted value, given lowest number and deviation (1 where numbers do not vary)."""
    offset = np.where(known & (lowest <= 0), spread - lowest, 0.0)
    return offset, np.where(known, np.maximum(1e-3 * (lowest + offset), TINY), 1.0)


def _fit_powers(rows: Floats, parts: NDArray[np.int64], transform: str) -> tuple[Floats, Floats, Floats]:
    """Return offset, power and lowest shifted value of each part and target, (N, K) each."""
    known = by_part(np.add, ~np.isnan(rows), parts) > 0
    _, spread = _mean_and_deviation(rows, parts, np.ones(len(rows)))
    offset, edge = _offsets(by_part(np.fmin, rows, parts), spread, known)
    power = np.zeros_like(offset)
    if transform == "box-cox":
        for i, k in np.argwhere(known):
            numbers = rows[parts[i] : parts[i + 1], k]
            power[i, k] = _best_power(np.maximum(numbers[~np.isnan(numbers)] + offset[i, k], TINY))
    return offset, power, edge


def _best_power(positive: Floats) -> float:
    """Return the power in [0, 1] that makes positive numbers most normal."""
    from scipy.optimize import minimize_scalar
    from scipy.stats import boxcox_llf

    positive = positive / positive.max()  # the best power does not depend on the unit
    if positive.min() == 1.0:
        return 0.0
    # Powers outside [0, 1] lose digits that no inverse brings back.
    best = minimize_scalar(lambda power: -boxcox_llf(power, positive), bounds=(0.0, 1.0), method="bounded")
    return float(best.x)


def _raise(values: Floats, shift: Floats, power: Floats, edge: Floats) -> Floats:
    logs: Floats = np.log(np.maximum(values + shift, edge))
    if not power.any():
        return logs
    safe = np.where(power == 0, 1.0, power)
    return np.where(power == 0, logs, np.expm1(safe * logs) / safe)


def _lower(values: Floats, shift: Floats, power: Floats) -> Floats:
    logs = values
    if power.any():
        safe = np.where(power == 0, 1.0, power)
        logs = np.where(power == 0, values, np.log1p(np.maximum(safe * values, -1 + 1e-12)) / safe)
    return np.exp(np.minimum(logs, 700.0)) - shift  # e**709 is the largest float64


def seasonal_scale(values: ArrayLike, season_length: int) -> tuple[float, float]:
    """Mean absolute and mean squared error of the seasonal naive forecast on a training part, (T,).

    NaN is left out. With at most `season_length` steps, neighbouring steps are compared instead.
    """
    numbers = np.asarray(values, dtype=np.float64)
    lag = season_length if len(numbers) > season_length else 1
    moves = np.abs(numbers[lag:] - numbers[:-lag])
    moves = moves[~np.isnan(moves)]
    return (float(moves.mean()), float((moves**2).mean())) if moves.size else (float("nan"), float("nan"))


def seasonal_scales(pasts: NDArray[np.float64], season_length: int) -> NDArray[np.float64]:
    """Return `seasonal_scale` of training parts of one length, (n, K, T), as an array (n, K, 2)."""
    lag = season_length if pasts.shape[-1] > season_length else 1
    moves = np.abs(pasts[..., lag:] - pasts[..., :-lag])
    if np.isnan(moves).any() or not moves.size:
        return np.array([[seasonal_scale(part, season_length) for part in past] for past in pasts])
    return np.stack([moves.mean(axis=-1), (moves**2).mean(axis=-1)], axis=-1)
