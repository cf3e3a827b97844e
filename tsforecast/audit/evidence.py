"""Evidence: what a forecaster computes from data, laid out so that two runs can be compared to the bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from tsforecast.audit.perturb import with_other
from tsforecast.data import frames
from tsforecast.data.context import Context
from tsforecast.data.panel import Panel
from tsforecast.data.splits import Cutoff, Positions, training_part, trains_on_other_groups
from tsforecast.errors import DataError
from tsforecast.forecasters.base import Forecaster

Evidence = dict[str, NDArray[Any]]  # what must not move, by name
ALONE = 8  # windows that are forecast one by one, to see that each does not depend on the others


def differences(first: Evidence, second: Evidence) -> Iterator[tuple[str, tuple[int, ...], float]]:
    """Yield the name of what differs, where first, and by how much at most; NaN where that is no number.

    Examples
    --------
    >>> list(differences({"a": np.array([1.0, 2.0])}, {"a": np.array([1.0, 2.5])}))
    [('a', (1,), 0.5)]
    """
    for name, one in first.items():
        other = second.get(name)
        if other is None or one.shape != other.shape:
            yield name, (), np.nan
        elif one.dtype.kind not in "biuf" or other.dtype.kind not in "biuf":
            if not np.array_equal(one, other):
                yield name, (), np.nan
        elif not np.array_equal(one, other, equal_nan=True):
            apart = ~((one == other) | ((one != one) & (other != other)))
            place = tuple(int(i) for i in np.unravel_index(int(apart.argmax()), one.shape))
            sizes = np.abs(one[apart].astype(np.float64) - other[apart].astype(np.float64))
            yield name, place, float(sizes.max())
    for name in second.keys() - first.keys():
        yield name, (), np.nan


def numbers(result: Any, name: str = "returned") -> Evidence:
    """Return the numbers in whatever a procedure returned, by name; names and dates beside them are left out.

    Raises
    ------
    DataError
        When there is none, or something in which they cannot be found.

    Examples
    --------
    >>> sorted(numbers({"rmse": 1.0, "forecast": [2.0, 3.0], "model": "mine"}))
    ["returned['forecast']", "returned['rmse']"]
    """
    found = _numbers(result, name)
    if not any(item.size for item in found.values()):
        raise DataError(f"a procedure must return numbers, in arrays, frames, lists or dicts: got {result!r}")
    return found


def _numbers(result: Any, name: str) -> Evidence:
    if isinstance(result, Mapping):
        parts = [_numbers(value, f"{name}[{key!r}]") for key, value in result.items()]
    elif frames.is_frame(result):
        import narwhals as nw

        native = nw.from_native(result, allow_series=True)
        framed = native.collect() if isinstance(native, nw.LazyFrame) else native
        columns = [framed] if isinstance(framed, nw.Series) else [framed[column] for column in framed.columns]
        kept = [column for column in columns if column.dtype.is_numeric() or column.dtype == nw.Boolean]
        parts = [{f"{name}[{column.name!r}]": _plain(column.to_numpy())} for column in kept]
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


def _plain(values: NDArray[Any]) -> NDArray[Any]:
    """Return a column of numbers, some of which may be missing, as numbers."""
    return values if values.dtype.kind in "biuf" else values.astype(np.float64)


def weights(model: Forecaster, name: str = "weights") -> Evidence:
    """Return what a fitted forecaster learned; not how long that took, nor what from."""
    plain, arrays = model.get_state()
    for not_learned in ("history_", "fitted_on_", "scaled_on_"):
        plain.pop(not_learned, None)
    found = {f"{name} {key}": np.asarray(array) for key, array in arrays.items()}
    found[f"{name}, all"] = np.array(joblib.hash(plain))
    for i, member in enumerate(model.members_):
        found |= weights(member, f"{name} of member {i}")
    return found


@dataclass(frozen=True, eq=False)
class Cut:
    """A forecaster at one cutoff: the series that it learns from and is tested on.

    Attributes
    ----------
    forecaster : Forecaster
    fold : Cutoff
    learn, test : int64 arrays
        Positions of series.
    steps : int
        To forecast.
    trains : bool
        Whether weights and forecasts are evidence, too.
    """

    forecaster: Forecaster
    fold: Cutoff
    learn: Positions
    test: Positions
    steps: int
    trains: bool
    _views: dict[str, Evidence] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        forecaster: Forecaster,
        panel: Panel,
        fold: Cutoff,
        learn: Positions,
        test: Positions,
        steps: int,
        trains: bool,
    ) -> Cut:
        """Return the cut with those of the tested series that have begun.

        Raises
        ------
        DataError
            When none has.
        """
        test = test[fold.has_observations[test]]
        if len(test):
            test = test[Context(panel, test, fold.seen[test], fold.start[test]).has_observations.any(axis=1)]
        if not len(test):
            raise DataError("no series has a past at the cutoff; use fewer cutoffs or a shorter horizon")
        return cls(forecaster, fold, learn, test, steps, trains)

    def seen(self, panel: Panel) -> Positions:
        """Return the rows of each series that may be seen, as learned from or as context, (N,)."""
        if trains_on_other_groups(panel, self.learn):  # what is learned from has no cutoff
            return np.where(np.isin(np.arange(len(panel)), self.test), self.fold.seen, panel.lengths)
        return self.fold.seen

    def label(self, panel: Panel) -> str:
        """Return the last time that may be seen."""
        first = int(self.test[0])
        return panel.label(int(panel.stamps(first, int(self.fold.seen[first]) - 1)))

    def evidence(self, panel: Panel) -> Evidence:
        """Return what must be the same for all panels that differ in what must not be seen."""
        part, past = training_part(panel, self.fold, self.learn), self.past(panel, self.test)
        found = dict(self.preprocessing_state(part))
        found |= {f"context {i}": past.history(i) for i in range(len(past))}
        found["known ahead"] = past.ahead(self.steps)
        if self.trains:
            model = clone(self.forecaster).fit(part)
            found |= weights(model) | {"forecasts": model.forecast(past, self.steps)}
        return found

    def other_evidence(self, panel: Panel) -> Iterator[tuple[str, Callable[[], Evidence]]]:
        """Yield probes that change something else than rows after the cutoff, and how to get what must not move."""
        part, random = training_part(panel, self.fold, self.learn), np.random.default_rng(0)
        trained = [item for name, item in self.preprocessing_state(part).items() if name.startswith("training rows")]
        held_out = np.max(trained, axis=0) if trained else part.lengths  # of an ensemble: what no member trains on
        if np.any(held_out < part.lengths):
            rows = np.arange(len(part.values)) - np.repeat(part.offsets[:-1], part.lengths)
            changed = with_other(part, rows >= np.repeat(held_out, part.lengths), "other values", random)
            yield "rows that validate: other values", partial(self._scales_and_choices, changed)
        if len(self.learn) < len(panel):
            owner = np.repeat(np.arange(len(panel)), panel.lengths)
            changed = with_other(panel, np.isin(owner, self.test), "other values", random)
            learned = training_part(changed, self.fold, self.learn)
            yield "the group that is tested: other values", partial(self.forecaster.preprocessing_state, learned)
        if self.trains:
            yield "forecast in another order", partial(self._forecast_otherwise, panel, part, alone=0)
            yield "forecast one by one", partial(self._forecast_otherwise, panel, part, alone=ALONE)

    def _scales_and_choices(self, part: Panel) -> Evidence:
        """Return of a view what rows that validate must not move."""
        view = self.forecaster.preprocessing_state(part)
        return {name: item for name, item in view.items() if name.startswith(("scaler", "choices"))}

    def _forecast_otherwise(self, panel: Panel, part: Panel, alone: int) -> Evidence:
        """Return forecasts of the last series first, or of the first few each by itself."""
        model = clone(self.forecaster).fit(part)
        said = model.forecast(self.past(panel, self.test[::-1]), self.steps)[::-1]
        by_themselves = [model.forecast(self.past(panel, np.array([i])), self.steps) for i in self.test[:alone]]
        return {"forecasts": np.concatenate([*by_themselves, said[alone:]])}

    def preprocessing_state(self, part: Panel) -> Evidence:
        """Return what the forecaster computes from a training part before it trains.

        Without training, parts that are equal to the bit are looked at once: there is nothing else to compute it from.
        """
        fields = (part.values, part.offsets, part.ids, part.starts, part.statics, part.roles, part.season_length)
        key = joblib.hash(fields)
        if self.trains or key not in self._views:
            self._views[key] = {"training part": np.array(key)} | self.forecaster.preprocessing_state(part)
        return self._views[key]

    def past(self, panel: Panel, series: Positions) -> Context:
        """Return what may be seen of some series."""
        return Context(panel, series, self.fold.seen[series], self.fold.start[series])
