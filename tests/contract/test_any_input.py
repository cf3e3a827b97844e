"""Whatever is handed over, every call ends in a result or in an error of ours."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Callable
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.inputs import arrays, frames, numbers
from tests.helpers.forecasters import small
from tsforecast import (
    Conv1DClassifier,
    EnsembleForecaster,
    GRUClassifier,
    MajorityClassifier,
    NearestNeighborClassifier,
    Panel,
    RocketClassifier,
)
from tsforecast.errors import DataError, TsForecastError
from tsforecast.estimators.registry import CLASSICAL, MODEL_NAMES

FEW, MANY = min(30, settings().max_examples), 600  # cases of each model: in every run, and of the long one
CLASSIFIERS = {
    "majority": MajorityClassifier,
    "nearest": NearestNeighborClassifier,
    "rocket": lambda: RocketClassifier(features=672, random_state=0),
    "gru": lambda: GRUClassifier(units=3, layers=1, max_epochs=1, random_state=0),
    "conv1d": lambda: Conv1DClassifier(units=3, layers=1, max_epochs=1, random_state=0),
}
LENIENT = {"deadline": None, "suppress_health_check": list(HealthCheck)}


def made(name: str, horizon: int = 2) -> Any:
    """Return a forecaster that is fitted in a moment."""
    if name == "ensemble":
        return EnsembleForecaster([small("drift"), small("reduction")], horizon=horizon)
    model, quick = small(name, horizon), {"max_epochs": 1, "window": 4, "n_jobs": 1}
    return model.set_params(**{name: value for name, value in quick.items() if name in model.get_params()})


def ends_well(call: Callable[[], Any]) -> None:
    """Call, and pass over errors of ours, and of scikit-learn about what it checks for us."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            call()
        except TsForecastError:
            pass
        except (ValueError, TypeError) as error:
            last = traceback.extract_tb(error.__traceback__)[-1].filename
            if "sklearn" not in last:
                raise


def fit_and_ask(name: str, data: Any, said: dict[str, Any] | None) -> None:
    """Fit and predict; where columns are said, a panel is read with them first."""
    model = made(name)

    def call() -> None:
        panel = data if said is None else Panel.from_frame(data, **said)
        assert model.fit(panel).predict(horizon=3) is not None
        model.predict(data)

    ends_well(call)


KEPT = ("frequency", "duplicates", "season_length")
NAMES = (*MODEL_NAMES, "ensemble")
QUICK = [name for name in NAMES if name not in CLASSICAL]  # these fit every window again


@st.composite
def cases(draw: st.DrawFn) -> tuple[Any, dict[str, Any] | None]:
    """Data, and what is said of their columns, if anything is."""
    if draw(st.integers(0, 2)) == 0:
        return draw(st.one_of(frames(), arrays())), None
    said: dict[str, Any] = {"time": "day", "target": "sales"}
    said["nan_policy"] = draw(st.sampled_from([None, "forward_fill", "mask", "drop_series"]))
    said |= {"sort": draw(st.booleans()), "fill_gaps": draw(st.booleans())}
    rare = {"past": "price", "future": "price", "static": "shop", "group": "shop", "frequency": "D"}
    rare |= {"duplicates": "last", "season_length": 5, "id": "shop"}
    data = draw(frames(plain=True))
    there = nw.from_native(data).collect_schema().names()
    chosen = {name: rare[name] for name in rare if draw(st.integers(0, 3)) == 0}
    return data, said | {name: what for name, what in chosen.items() if name in KEPT or what in there}


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=FEW, **LENIENT)
@given(case=cases())
def test_any_data_are_forecast_or_refused(name: str, case: tuple[Any, Any]) -> None:
    fit_and_ask(name, *case)


def fit_and_ask_windows(name: str, X: Any, y: Any) -> None:
    model = made(name)
    ends_well(lambda: model.fit(X, y).predict(X))


@st.composite
def windows(draw: st.DrawFn) -> tuple[Any, Any]:
    """X and y that go together mostly."""
    rows, steps = draw(st.integers(0, 12)), draw(st.sampled_from([0, 1, 4, 5, 6, 9]))
    odd = draw(st.integers(0, 5)) == 0
    X = draw(arrays()) if odd else draw(numbers(rows * steps)).reshape(rows, steps)
    y = draw(arrays()) if draw(st.integers(0, 9)) == 0 else draw(numbers(2 * rows)).reshape(rows, 2)
    return X, y if draw(st.booleans()) or not isinstance(y, np.ndarray) or y.ndim != 2 or y.shape[1] < 1 else y[:, 0]


@pytest.mark.parametrize("name", QUICK)
@settings(max_examples=min(10, FEW), **LENIENT)
@given(given_windows=windows())
def test_any_windows_are_forecast_or_refused(name: str, given_windows: tuple[Any, Any]) -> None:
    fit_and_ask_windows(name, *given_windows)


LABELS = st.one_of(
    st.sampled_from(["a", "b"]), st.integers(0, 2), st.sampled_from([None, 1.5, np.nan, "", True, b"x", [1]])
)


@st.composite
def labelled(draw: st.DrawFn) -> tuple[Any, Any]:
    """Recordings and labels that go together mostly."""
    count = draw(st.sampled_from([0, 1, *range(2, 9), *range(2, 9)]))
    channels = draw(st.integers(1, 2))
    way = draw(st.sampled_from(["ragged", "ragged", "array", "any"]))
    if way == "any":
        recordings: Any = draw(st.one_of(arrays(), frames()))
    elif way == "array":
        recordings = draw(numbers(count * 6 * channels)).reshape(count, 6, channels)
    else:
        lengths = [
            draw(st.integers(0, 9)) if draw(st.integers(0, 9)) == 0 else draw(st.integers(3, 9)) for _ in range(count)
        ]
        recordings = [draw(numbers(length * channels)).reshape(length, channels) for length in lengths]
    labels: Any = [["a", "b"][i % 2] for i in range(count)]
    if draw(st.integers(0, 7)) == 0:
        labels = draw(st.one_of(st.lists(LABELS, max_size=9), arrays()))
    return recordings, labels


def fit_and_ask_recordings(name: str, recordings: Any, labels: Any) -> None:
    ends_well(lambda: CLASSIFIERS[name]().fit(recordings, labels).predict_proba(recordings))


@pytest.mark.parametrize(
    "X",
    [
        pd.Series(pd.period_range("2000", periods=2, freq="M")),
        pd.Series([None, {}], dtype=object),
        pd.Series([None, [1]], dtype=object),
        pd.Series(pd.Categorical(["a", None])),
        pd.DataFrame({"a": ["x", "y"], "b": [1, 2]}),
        pl.DataFrame({"a": [[1], [2]]}),
        pa.table({"a": [None, [1]]}),
    ],
    ids=["period", "dict", "list", "category", "text", "polars", "arrow"],
)
@pytest.mark.parametrize("model", [MajorityClassifier(), small("reduction", 1)], ids=["classifier", "forecaster"])
def test_columns_that_are_no_numbers_are_refused_in_words(model: Any, X: Any) -> None:
    with pytest.raises(DataError, match="X must hold numbers, one step in each column: "):
        model.fit(X, [0, 1])


@pytest.mark.parametrize("name", CLASSIFIERS)
@settings(max_examples=FEW, **LENIENT)
@given(pair=labelled())
def test_any_recordings_are_recognised_or_refused(name: str, pair: tuple[Any, Any]) -> None:
    fit_and_ask_recordings(name, *pair)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("name", "call", "given_data", "count"),
    [
        *((name, fit_and_ask, cases(), MANY) for name in NAMES),
        *((name, fit_and_ask_windows, windows(), MANY // 5) for name in QUICK),
        *((name, fit_and_ask_recordings, labelled(), MANY // 2) for name in CLASSIFIERS),
    ],
)
def test_ten_thousand_data_end_well(name: str, call: Callable[..., None], given_data: Any, count: int) -> None:
    @settings(max_examples=count, derandomize=False, **LENIENT)
    @given(data=given_data)
    def every(data: tuple[Any, ...]) -> None:
        call(name, *data)

    every()
