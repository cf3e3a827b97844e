"""Fingerprints of what a forecaster computes from data, comparable to the bit between two runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from datetime import date
from functools import partial
from typing import Any

import numpy as np
from joblib.hashing import NumpyHasher
from numpy.typing import NDArray
from sklearn.base import clone

from tsforecast.data import frames
from tsforecast.data.context import Context
from tsforecast.data.panel import Panel
from tsforecast.data.splits import Cutoff, Positions, training_part
from tsforecast.errors import DataError
from tsforecast.estimators.base import Estimator
from tsforecast.forecasters.base import Forecaster
from tsforecast.leakage.perturb import perturb_panel, rows_from

Fingerprint = dict[str, NDArray[Any]]  # arrays that must not change, by name
# Attributes, keys and columns that equal runs differ in.
TIMES = re.compile(r"(.*_)?(fit|refit|score|train|predict|elapsed)_time_?|(.*_)?seconds")
QUANTILES = (0.025, 0.1, 0.5, 0.9, 0.975)  # that are compared where a model learns them
ONE_BY_ONE = 8  # windows that are forecast one by one, to check that none depends on the others


def differences(first: Fingerprint, second: Fingerprint) -> Iterator[tuple[str, tuple[int, ...], float]]:
    """Yield names of arrays that differ, the first place, and the largest difference; NaN where it is no number."""
    for name, one in first.items():
        other = second.get(name)
        if other is not None and _same_bits(one, other):
            continue
        if other is None or one.shape != other.shape:
            yield name, (), np.nan
        elif one.dtype.kind not in "biuf" or other.dtype.kind not in "biuf":
            if not np.array_equal(one, other):
                yield name, (), np.nan
        elif not np.array_equal(one, other, equal_nan=True):
            differ = ~((one == other) | ((one != one) & (other != other)))
            first_place = tuple(int(i) for i in np.unravel_index(int(differ.argmax()), one.shape))
            sizes = np.abs(one[differ].astype(np.float64) - other[differ].astype(np.float64))
            yield name, first_place, float(sizes.max())
    for name in second.keys() - first.keys():
        yield name, (), np.nan


def _same_bits(one: Any, other: Any) -> bool:
    """Return whether two arrays, dicts of arrays or other values are equal to the bit, which is quick to see."""
    if one is other:
        return True
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same_bits(item, other[name]) for name, item in one.items())
    if not isinstance(one, np.ndarray) or not isinstance(other, np.ndarray):
        return type(one) is type(other) and bool(one == other)
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if one.dtype.hasobject:
        return np.array_equal(one, other)
    first, second = (np.ascontiguousarray(array).reshape(-1).view(np.uint8) for array in (one, other))
    words = len(first) // 8 * 8  # compared eight bytes at a time
    return np.array_equal(first[:words].view(np.uint64), second[:words].view(np.uint64)) and np.array_equal(
        first[words:], second[words:]
    )


def numbers(result: Any, name: str = "returned") -> Fingerprint:
    """Return the numbers in the result of a procedure, by name; text, dates and durations of fits are left out.

    DataError is raised when there is none, or an object of another kind.

    Examples
    --------
    >>> sorted(numbers({"rmse": 1.0, "forecast": [2.0, 3.0], "model": "mine"}))
    ["returned['forecast']", "returned['rmse']"]
    """
    arrays = _numbers(result, name)
    if not any(array.size for array in arrays.values()):
        raise DataError(f"a procedure must return numbers, in arrays, frames, lists or dicts: got {result!r}")
    return arrays


def _numbers(result: Any, name: str) -> Fingerprint:
    if isinstance(result, Mapping):
        kept = {key: value for key, value in result.items() if not TIMES.fullmatch(str(key))}
        parts = [_numbers(value, f"{name}[{key!r}]") for key, value in kept.items()]
    elif frames.is_frame(result):
        import narwhals as nw

        native = nw.from_native(result, allow_series=True)
        framed = native.collect() if isinstance(native, nw.LazyFrame) else native
        columns = [framed] if isinstance(framed, nw.Series) else [framed[column] for column in framed.columns]
        columns = [column for column in columns if not TIMES.fullmatch(str(column.name))]
        columns = [column for column in columns if column.dtype.is_numeric() or column.dtype == nw.Boolean]
        arrays = {f"{name}[{column.name!r}]": column.to_numpy() for column in columns}
        # Whole numbers some of which are missing are objects.
        return {key: array if array.dtype.kind in "biuf" else array.astype(float) for key, array in arrays.items()}
    else:
        try:
            array = np.asarray(result)
        except ValueError:  # a ragged list
            array = np.empty(0, dtype=object)
        if array.dtype.kind in "biuf":
            return {name: array}
        if array.dtype.kind in "USMm" or result is None or isinstance(result, date):
            return {}
        if not isinstance(result, (list, tuple)):
            raise DataError(f"a procedure must return numbers, in arrays, frames, lists or dicts: got {result!r}")
        parts = [_numbers(value, f"{name}[{i}]") for i, value in enumerate(result)]
    return {key: value for part in parts for key, value in part.items()}


def weights(model: Estimator, name: str = "weights") -> Fingerprint:
    """Return the learned state of a fitted forecaster, without its training history and references to the data."""
    plain, arrays = model.get_state()
    for not_learned in ("history_", "fitted_on_", "scaled_on_"):
        plain.pop(not_learned, None)
    state = {f"{name} {key}": np.asarray(array) for key, array in arrays.items()}
    state[f"{name}, all"] = np.array(_Hasher().hash(plain))
    for i, member in enumerate(model.members_):
        state |= weights(member, f"{name} of member {i}")
    return state


def learned(model: Any) -> Fingerprint:
    """Return all that a fitted object holds: the state of an estimator of this package, and each attribute.

    Arrays of numbers are kept, of other attributes a hash. Those that cannot be pickled are left out, such as a lock,
    or a function within a function.
    """
    state = weights(model) if isinstance(model, Estimator) else {}
    for name, value in getattr(model, "__dict__", {"": model}).items():
        with suppress(Exception):
            if TIMES.fullmatch(name):
                continue
            if type(value) is np.ndarray and value.dtype.kind in "biuf":
                state[f"attribute {name}"] = value.copy()
            else:
                state[f"attribute {name}"] = np.array(_Hasher().hash(value))
    return state


class _Hasher(NumpyHasher):  # type: ignore[misc]
    """Hash of an object that is the same for equal runs: tensors count by their numbers, times not at all."""

    def save(self, obj: Any) -> None:
        if hasattr(type(obj), "__torch_function__") and hasattr(obj, "detach"):  # torch pickles its place in memory
            obj = obj.detach().cpu().double().numpy()
        elif isinstance(obj, np.ma.MaskedArray):  # joblib cannot hash it
            obj = (obj.data, obj.mask)
        elif isinstance(obj, dict) and any(TIMES.fullmatch(str(name)) for name in obj):
            obj = {name: value for name, value in obj.items() if not TIMES.fullmatch(str(name))}
        super().save(obj)


@dataclass(frozen=True, eq=False)
class AuditCase:
    """A forecaster at one cutoff, with the positions of the series that it learns from and is tested on."""

    forecaster: Forecaster
    cutoff: Cutoff
    learn: Positions
    test: Positions
    steps: int  # to forecast
    trains: bool  # whether the fingerprint includes weights and forecasts
    _states: list[tuple[Panel, Fingerprint]] = field(default_factory=list)  # of parts that differ

    def fingerprint(self, panel: Panel) -> Fingerprint:
        """Return what must be the same for all panels that differ only in what must not be seen."""
        part, past = training_part(panel, self.cutoff, self.learn), self.past(panel, self.test)
        state = dict(self.preprocessing_state(part))
        state |= {"contexts": past.histories(), "future covariates": past.future_known(self.steps)}
        if self.trains:
            model = clone(self.forecaster).fit(part)
            state |= weights(model) | {"forecasts": model.forecast(past, self.steps)}
            if model.learns_distribution:
                state["quantiles"] = model.distribution(past, self.steps).quantiles(QUANTILES)
        return state

    def other_perturbations(self, panel: Panel) -> Iterator[tuple[str, Panel, Callable[[Panel], Fingerprint]]]:
        """Yield perturbations other than of rows after the cutoff, with a function for a part of the fingerprint."""
        part = self._states[0][0] if self._states else training_part(panel, self.cutoff, self.learn)
        random = np.random.default_rng(0)
        trained = [item for name, item in self.preprocessing_state(part).items() if name.startswith("training rows")]
        held_out = np.max(trained, axis=0) if trained else part.lengths  # of an ensemble: rows that no member trains on
        if np.any(held_out < part.lengths):
            changed = perturb_panel(part, rows_from(part, held_out), "other values", random)
            yield "rows that validate: other values", changed, self._scales_and_choices
        if len(self.learn) < len(panel):
            owner = np.repeat(np.arange(len(panel)), panel.lengths)
            changed = perturb_panel(panel, np.isin(owner, self.test), "other values", random)
            changed = training_part(changed, self.cutoff, self.learn)
            yield "the group that is tested: other values", changed, self.preprocessing_state
        if self.trains:
            yield "forecast in another order", panel, partial(self._forecast_reordered, one_by_one=0)
            yield "forecast one by one", panel, partial(self._forecast_reordered, one_by_one=ONE_BY_ONE)

    def _scales_and_choices(self, part: Panel) -> Fingerprint:
        """Return the part of the preprocessing state that rows that validate must not change."""
        state = self.forecaster.preprocessing_state(part)
        return {name: item for name, item in state.items() if name.startswith(("scaler", "choices"))}

    def _forecast_reordered(self, panel: Panel, one_by_one: int) -> Fingerprint:
        """Return forecasts made in reverse order of the series, those of the first few one by one."""
        model = clone(self.forecaster).fit(training_part(panel, self.cutoff, self.learn))
        orders = [np.array([i]) for i in self.test[:one_by_one]] + [self.test[one_by_one:][::-1]]
        parts = [self.past(panel, order) for order in orders if len(order)]

        def joined(answers: list[NDArray[np.float64]]) -> NDArray[np.float64]:
            return np.concatenate([answer[::-1] for answer in answers])

        state = {"forecasts": joined([model.forecast(past, self.steps) for past in parts])}
        if model.learns_distribution:
            answers = [model.distribution(past, self.steps).quantiles(QUANTILES) for past in parts]
            state["quantiles"] = joined(answers)
        return state

    def preprocessing_state(self, part: Panel) -> Fingerprint:
        """Return what the forecaster computes from a training part before it trains.

        Without training, it is computed once for all parts that are equal to the bit: it depends on nothing else.
        """
        for known, state in self._states:
            names = [one.name for one in fields(part)] if type(known) is type(part) else []
            if names and all(_same_bits(getattr(known, name), getattr(part, name)) for name in names):
                return state
        key = repr((part.fingerprint(), part.seasons, part.season_source))
        state = {"training part": np.array(key)} | self.forecaster.preprocessing_state(part)
        if not self.trains:
            self._states.append((part, state))
        return state

    def past(self, panel: Panel, series: Positions) -> Context:
        """Return the context of some series at the cutoff."""
        return Context(panel, series, self.cutoff.seen[series], self.cutoff.start[series])
