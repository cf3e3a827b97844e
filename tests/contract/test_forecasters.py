"""What holds for every forecaster of the package."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone

from tests.helpers.forecasters import small, wave
from tsforecast.data.panel import Panel
from tsforecast.errors import ParameterError
from tsforecast.estimators.base import NotFittedError
from tsforecast.forecasters.base import Forecaster

DAYS = pd.date_range("2024-01-01", periods=90, freq="D")


def test_pandas_polars_and_numpy_give_the_same_forecast_to_the_bit(forecaster: Forecaster) -> None:
    forecaster.set_params(**({"season_length": 7} if "season_length" in forecaster.get_params() else {}))
    series = pd.Series(wave(90), index=DAYS, name="y")
    frame = series.rename_axis("day").reset_index()
    forms = series, frame, pl.from_pandas(frame)
    panels = [Panel.from_array(wave(90), season_length=7), *(Panel.from_frame(form, season_length=7) for form in forms)]
    forecasts = [np.asarray(clone(forecaster).fit(data).predict()) for data in panels[:2]]
    forecasts += [clone(forecaster).fit(data).predict()["y"].to_numpy() for data in panels[2:]]
    for other in forecasts[1:]:
        assert np.array_equal(forecasts[0], other)


def test_the_same_random_state_gives_the_same_forecast_to_the_bit(forecaster: Forecaster) -> None:
    first, second = (clone(forecaster).fit(wave(90)).predict() for _ in range(2))
    assert np.array_equal(first, second)


def test_a_forecaster_can_be_cloned_copied_and_pickled(forecaster: Forecaster) -> None:
    assert clone(forecaster).get_params() == forecaster.get_params()
    fitted = forecaster.fit(wave(90))
    assert not hasattr(clone(fitted), "panel_")
    for again in (copy.deepcopy(fitted), pickle.loads(pickle.dumps(fitted))):
        assert np.array_equal(again.predict(), fitted.predict())


def test_every_forecaster_is_made_without_arguments_and_only_stores_them(forecaster: Forecaster) -> None:
    fresh = type(forecaster)()
    assert {name: getattr(fresh, name) for name in fresh.get_params()} == fresh.get_params()
    assert not [name for name in vars(fresh) if name.endswith("_")]


def test_the_default_forecaster_fits_and_forecasts_one_step(forecaster: Forecaster) -> None:
    fresh = type(forecaster)()
    if "max_epochs" in fresh.get_params():
        fresh.set_params(max_epochs=1)
    assert fresh.fit(wave(60)).predict().shape == (1,)


def test_predict_changes_nothing_that_was_learned(forecaster: Forecaster) -> None:
    fitted = forecaster.fit(wave(90))
    before, values = pickle.dumps(fitted.get_state()), fitted.panel_.values.copy()
    first = fitted.predict()
    fitted.predict(wave(50, 3), horizon=8)
    assert pickle.dumps(fitted.get_state()) == before
    assert np.array_equal(fitted.panel_.values, values)
    assert np.array_equal(fitted.predict(), first)


def test_a_context_is_forecast_from_its_own_end(forecaster: Forecaster) -> None:
    fitted = forecaster.fit(wave(90))
    longer = wave(95)
    assert not np.array_equal(fitted.predict(longer), fitted.predict())
    assert np.array_equal(fitted.predict(wave(90)), fitted.predict())


def test_an_unfitted_forecaster_says_so(forecaster: Forecaster) -> None:
    with pytest.raises(NotFittedError, match=f"this {type(forecaster).__name__} must be fitted first: call fit"):
        forecaster.predict()


@pytest.mark.parametrize("horizon", [0, -1, 1.5, True])
def test_a_horizon_that_is_no_count_is_refused(forecaster: Forecaster, horizon: object) -> None:
    with pytest.raises(ParameterError, match="horizon must be a whole number >= 1: got"):
        clone(forecaster).set_params(horizon=horizon).fit(wave(90))
    with pytest.raises(ParameterError, match="horizon must be a whole number >= 1: got"):
        forecaster.fit(wave(90)).predict(horizon=horizon)


def test_a_failed_fit_leaves_no_half_fitted_forecaster() -> None:
    model = small("gru").set_params(window=80)
    with pytest.raises(ValueError, match="window \\+ horizon must fit"):
        model.fit(wave(60))
    with pytest.raises(NotFittedError):
        model.predict()


def test_float32_numbers_stay_close_to_float64(forecaster: Forecaster) -> None:
    narrow = forecaster.fit(wave(90).astype(np.float32)).predict()
    wide = clone(forecaster).fit(wave(90)).predict()
    assert np.allclose(narrow, wide, rtol=1e-4)
