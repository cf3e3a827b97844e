"""Past covariates of models of Darts and NeuralForecast against direct calls; `make adapters` runs these tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tsforecast.adapters.names import make
from tsforecast.adapters.protocol import as_forecaster
from tsforecast.data.panel import Panel
from tsforecast.errors import DataError, ParameterError
from tsforecast.leakage.audit import audit

pytestmark = [pytest.mark.adapters, pytest.mark.filterwarnings("ignore")]

DAYS = pd.date_range("2024-01-01", periods=100, freq="D")
RANDOM = np.random.default_rng(0)
PRICES, RAIN = RANDOM.normal(size=(2, 180))
SALES = 10 + np.tile([0.0, 1, 2, 3, 4, 9, 7], 26)[:180] + 2 * PRICES + RANDOM.normal(size=180) / 4
SALES[1:] += 3 * RAIN[:-1]  # of the day before
SHOPS = pd.DataFrame(
    {"shop": ["b"] * 100 + ["a"] * 80, "day": [*DAYS, *DAYS[20:]], "sales": SALES, "price": PRICES, "rain": RAIN}
)
NAMES = {"id": "shop", "time": "day", "target": "sales"}
RAINY = Panel.from_frame(SHOPS.drop(columns="price"), **NAMES, past="rain")
BOTH = Panel.from_frame(SHOPS, **NAMES, past="rain", future="price")
PLAIN = Panel.from_frame(SHOPS[["shop", "day", "sales"]], **NAMES)
LATER = DAYS[-1] + pd.to_timedelta([1, 2, 3], "D")
AHEAD = pd.DataFrame({"shop": np.repeat(["b", "a"], 3), "day": [*LATER, *LATER], "price": np.arange(6.0)})
SPANS = ((slice(0, 100), DAYS, [0.0, 1, 2]), (slice(100, 180), DAYS[20:], [3.0, 4, 5]))
QUIET = {"logger": False, "enable_progress_bar": False, "enable_checkpointing": False, "accelerator": "cpu"}


def forecasts_of(model: Any, panel: Panel, future: Any = None) -> np.ndarray:
    """Return the forecasts of the three steps after b and a, (2, 3)."""
    made = as_forecaster(model).set_params(horizon=3).fit(panel).predict(future=future)
    return np.stack([made.loc[made["shop"] == shop, "sales"] for shop in "ba"])


def of_darts(model: Any, *, past: bool, future: bool) -> np.ndarray:
    """Return the forecasts of direct calls of Darts, (2, 3)."""
    from darts import TimeSeries

    read = TimeSeries.from_times_and_values
    given: dict[str, Any] = {"series": [read(days, SALES[span]) for span, days, _ in SPANS]}
    if past:
        given["past_covariates"] = [read(days, RAIN[span]) for span, days, _ in SPANS]
    if future:
        known = [(days.union(LATER), np.append(PRICES[span], after)) for span, days, after in SPANS]
        given["future_covariates"] = [read(*each) for each in known]
    model = model.untrained_model().fit(**given)
    parts = [{name: values[at] for name, values in given.items()} for at in range(2)]
    return np.stack([model.predict(3, **part).values()[:, 0] for part in parts])


def test_darts_reads_past_covariates_alone_and_beside_known_ones() -> None:
    from darts.models import LinearRegressionModel, NLinearModel

    lags = {"lags": 7, "lags_past_covariates": 3, "output_chunk_length": 3}
    linear = LinearRegressionModel(**lags)
    np.testing.assert_allclose(forecasts_of(linear, RAINY), of_darts(linear, past=True, future=False), rtol=1e-9)
    np.testing.assert_allclose(forecasts_of(linear, BOTH, AHEAD), of_darts(linear, past=True, future=False), rtol=1e-9)
    assert as_forecaster(linear).note == "reads past covariates alone"
    both = LinearRegressionModel(**lags, lags_future_covariates=[0])
    np.testing.assert_allclose(forecasts_of(both, BOTH, AHEAD), of_darts(both, past=True, future=True), rtol=1e-9)
    assert not np.allclose(forecasts_of(both, BOTH, AHEAD), forecasts_of(linear, BOTH, AHEAD))
    settings = {"n_epochs": 2, "random_state": 0, "pl_trainer_kwargs": QUIET | {"enable_model_summary": False}}
    network = NLinearModel(7, 3, **settings)
    assert not as_forecaster(network).learns_distribution  # it has no likelihood
    np.testing.assert_allclose(forecasts_of(network, RAINY), of_darts(network, past=True, future=False), rtol=1e-4)
    np.testing.assert_allclose(forecasts_of(network, BOTH, AHEAD), of_darts(network, past=True, future=True), rtol=1e-4)
    found = audit(as_forecaster(both).set_params(horizon=3), BOTH, horizon=3, level="fit")
    assert found.passed, str(found)


def test_darts_needs_all_steps_at_once_where_it_reads_the_past_and_networks_by_name_are_seeded() -> None:
    from darts.models import LinearRegressionModel

    with pytest.raises(ParameterError, match="forecasts 1 of 3 steps at once: make it with output_chunk_length=3"):
        forecasts_of(LinearRegressionModel(lags=7, lags_past_covariates=3), RAINY)
    with pytest.raises(DataError, match="cannot forecast 2 series"):
        forecasts_of(LinearRegressionModel(lags=7, lags_past_covariates=3, output_chunk_length=3), PLAIN)
    named = make("darts:NLinearModel").made(RAINY)
    assert named.model_params["random_state"] == 0
    assert named.model_params["output_chunk_length"] == 1
    assert named.model_params["pl_trainer_kwargs"]["enable_progress_bar"] is False


def of_neuralforecast(model: Any, columns: list[str]) -> np.ndarray:
    """Return the forecasts of direct calls of NeuralForecast, (2, 3)."""
    from neuralforecast import NeuralForecast

    ids = {"b": 0, "a": 1}
    long = SHOPS.rename(columns={"shop": "unique_id", "day": "ds", "sales": "y"})[["unique_id", "ds", "y", *columns]]
    known = AHEAD.rename(columns={"shop": "unique_id", "day": "ds"})
    static = pd.DataFrame({"unique_id": [0, 1], "size": [2.0, 1.0]}) if model.stat_exog_list else None
    own = NeuralForecast([model], freq="D")
    own.fit(long.assign(unique_id=long["unique_id"].map(ids)), static_df=static)
    found = own.predict(futr_df=known.assign(unique_id=known["unique_id"].map(ids)))
    return found[type(model).__name__].to_numpy().reshape(2, 3)


def test_neuralforecast_reads_past_covariates_alone_and_beside_others() -> None:
    from neuralforecast.models import MLP

    small = {"h": 3, "input_size": 14, "hidden_size": 8, "max_steps": 5, **QUIET}
    roles = {"hist_exog_list": ["rain"], "futr_exog_list": ["price"], "stat_exog_list": ["size"]}
    sized = SHOPS.assign(size=np.where(SHOPS["shop"] == "a", 1.0, 2.0))
    every = Panel.from_frame(sized, **NAMES, past="rain", future="price", static="size")
    for panel, names in [(RAINY, list(roles)[:1]), (BOTH, list(roles)[:1]), (BOTH, list(roles)[:2]), (every, [*roles])]:
        asked = {name: roles[name] for name in names}
        columns = ["rain", "price"][: len(names)]
        expected = of_neuralforecast(MLP(**small, **asked), columns)
        future = AHEAD if panel.roles.future else None
        np.testing.assert_allclose(forecasts_of(MLP(**small, **asked), panel, future), expected, rtol=1e-5)
    assert as_forecaster(MLP(**small, hist_exog_list=["rain"])).note == "reads past covariates alone"
    sentence = "reads hist_exog_list, which must be past columns of the data: got 'price', and the data have 'rain'"
    with pytest.raises(DataError, match=sentence):
        forecasts_of(MLP(**small, hist_exog_list=["price"]), BOTH, AHEAD)
    with pytest.raises(DataError, match="got 'rain', and the data have none; name columns with past="):
        forecasts_of(MLP(**small, hist_exog_list=["rain"]), PLAIN)


def test_missing_numbers_of_a_past_covariate_are_those_before_them() -> None:
    from neuralforecast.models import MLP

    small = {"h": 3, "input_size": 14, "hidden_size": 8, "max_steps": 5, **QUIET, "hist_exog_list": ["rain"]}
    holes = SHOPS["rain"].mask(np.arange(180) % 10 == 3)
    filled = SHOPS.assign(rain=holes.groupby(SHOPS["shop"]).ffill())
    panels = [
        Panel.from_frame(SHOPS.assign(rain=holes), **NAMES, past="rain", nan_policy="mask"),
        Panel.from_frame(filled, **NAMES, past="rain"),
    ]
    np.testing.assert_array_equal(*(forecasts_of(MLP(**small), panel) for panel in panels))
