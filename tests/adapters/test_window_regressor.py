"""Forecasters as regressors of rows of lags: the checks of scikit-learn, and equal forecasts within other libraries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import LinearRegression
from sklearn.utils.estimator_checks import parametrize_with_checks

from tsforecast.adapters.window_regressor import WindowRegressor
from tsforecast.errors import DataError, ParameterError
from tsforecast.forecasters.naive import NaiveForecaster, SeasonalNaiveForecaster
from tsforecast.forecasters.neural import GRUForecaster
from tsforecast.forecasters.reduction import ReductionForecaster

RANDOM = np.random.default_rng(0)
DAYS = pd.date_range("2024-01-01", periods=140, freq="D")
PRICES = RANDOM.normal(size=140)
SALES = np.tile([5.0, 6, 7, 8, 9, 14, 12], 20) + 3 * PRICES + RANDOM.normal(size=140) / 4
KNOWN = 133  # rows that are learned from; a week is forecast
Y = pd.Series(SALES[:KNOWN], DAYS[:KNOWN], name="y")
EXOG = pd.DataFrame({"price": PRICES}, DAYS)
GRU = GRUForecaster(units=4, max_epochs=5, learning_rate=0.01, random_state=0)
RIDGE = ReductionForecaster(LinearRegression())
W = 7

theirs = pytest.mark.adapters
quiet = pytest.mark.filterwarnings("ignore")  # of the libraries


def rows(steps: int = W, ahead: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return windows of the sales, (n, W), the oldest first, and the number so many steps after each."""
    every = np.lib.stride_tricks.sliding_window_view(SALES[:KNOWN], steps + ahead)
    return every[:, :steps].copy(), every[:, -1].copy()


def recursive(model: Any, steps: int = 7) -> np.ndarray:
    """Return forecasts of one step after another."""
    seen = list(SALES[:KNOWN])
    for _ in range(steps):
        seen.append(float(model.predict(np.array([seen[-W:]]))[0]))
    return np.array(seen[KNOWN:])


def direct(forecaster: Any, steps: int, same_rows: bool) -> np.ndarray:
    """Return forecasts of a model for each step, each fitted to as many rows as it has, or as the last one has."""
    last, least = SALES[None, KNOWN - W : KNOWN], KNOWN - W - steps + 1 if same_rows else None
    fitted = [clone(forecaster).fit(*(part[:least] for part in rows(ahead=step))) for step in range(1, steps + 1)]
    return np.array([float(each.predict(last)[0]) for each in fitted])


CHECKED = [WindowRegressor(each) for each in (NaiveForecaster(), RIDGE, clone(GRU).set_params(max_epochs=1))]


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::tsforecast.errors.DataWarning")  # their y is of another kind than X
@parametrize_with_checks(
    [*CHECKED, WindowRegressor(RIDGE, lags=1)],
    expected_failed_checks=lambda each: (
        {"check_sample_weight_equivalence_on_dense_data": "the last rows validate, and batches are drawn of rows"}
        if isinstance(each.forecaster, GRUForecaster)
        else {}
    ),
)
def test_the_checks_of_scikit_learn_pass(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)


@pytest.mark.parametrize("forecaster", [GRU, RIDGE, SeasonalNaiveForecaster(season_length=7)])
def test_lags_are_put_in_order_of_time_by_name_or_by_place(forecaster: Any) -> None:
    windows, y = rows()
    expected = clone(forecaster).fit(windows, y).predict(windows)
    skforecast = pd.DataFrame(windows[:, ::-1], columns=[f"lag_{lag}" for lag in range(1, W + 1)])
    order = [3, 1, 7, 2, 6, 5, 4]
    mixed = windows[:, [W - lag for lag in order]]
    mlforecast = pd.DataFrame(mixed, columns=[f"lag{lag}" for lag in order])
    for X, lags in [(windows, None), (skforecast, None), (mlforecast, W), (windows[:, ::-1], W), (mixed, order)]:
        model = WindowRegressor(forecaster, lags).fit(X, y)
        assert np.array_equal(model.predict(X), expected)


def test_covariates_beside_lags_are_channels_with_their_number_in_every_step() -> None:
    windows, y = rows()
    price = PRICES[W:KNOWN]
    channels = np.stack([windows, np.repeat(price[:, None], W, axis=1)], axis=2)
    expected = clone(GRU).fit(channels, y).predict(channels)
    frame = pd.DataFrame(windows, columns=[f"lag{lag}" for lag in range(W, 0, -1)])
    frame.insert(2, "price", price)
    model = WindowRegressor(GRU).fit(frame, y)
    assert model.covariates_.tolist() == [2]
    assert np.array_equal(model.predict(frame), expected)
    newest = np.column_stack([windows[:, ::-1], price])
    assert np.array_equal(WindowRegressor(GRU, lags=W).fit(newest, y).predict(newest), expected)
    error = np.abs(WindowRegressor(RIDGE).fit(frame, y).predict(frame) - y).mean()
    assert error < 0.75 * np.abs(clone(RIDGE).fit(windows, y).predict(windows) - y).mean()


@pytest.mark.parametrize(
    ("act", "error", "sentence"),
    [
        (
            lambda X, y: WindowRegressor(GRU, lags=0).fit(X, y),
            ParameterError,
            "lags must be a whole number >= 1: got 0",
        ),
        (lambda X, y: WindowRegressor(GRU, lags=[1, 1]).fit(X, y), ParameterError, "lags must be distinct: got [1, 1]"),
        (lambda X, y: WindowRegressor(GRU, lags="7").fit(X, y), ParameterError, "lags must be a number of lags, or"),
        (lambda X, y: WindowRegressor(GRU, lags=9).fit(X, y), ParameterError, "got 9 lags, and X has 7 columns"),
        (
            lambda X, y: WindowRegressor(GRU, lags=2).fit(pd.DataFrame(X[:, :1], columns=["lag1"]), y),
            ParameterError,
            "lags must be those of the columns of X: got 2, and X has lag1",
        ),
        (
            lambda X, y: WindowRegressor(GRU).fit(pd.DataFrame({"lag1": y, "kind": "a"}), y),
            DataError,
            "X must hold numbers: 'kind' holds none; encode categories as numbers",
        ),
        (lambda X, y: WindowRegressor(GRUForecaster).fit(X, y), ParameterError, "write GRUForecaster()"),
        (lambda X, y: WindowRegressor(GRU).fit(X, None), DataError, "requires y to be passed"),
        (lambda X, y: WindowRegressor(RIDGE).fit(X, y).predict(X[:, :3]), ValueError, "X has 3 features, but"),
    ],
)
def test_bad_input_gives_a_sentence(act: Any, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error) as caught:
        act(*rows())
    assert sentence in str(caught.value)


@theirs
@quiet
@pytest.mark.parametrize("forecaster", [GRU, RIDGE], ids=["gru", "reduction"])
def test_skforecast_forecasts_what_a_direct_use_of_its_windows_forecasts(forecaster: Any) -> None:
    from skforecast.direct import ForecasterDirect
    from skforecast.recursive import ForecasterRecursive

    model = WindowRegressor(forecaster, lags=W)
    found = ForecasterRecursive(estimator=model, lags=W)
    found.fit(Y)
    np.testing.assert_allclose(found.predict(7), recursive(clone(forecaster).fit(*rows())), rtol=1e-6)
    each = ForecasterDirect(estimator=model, lags=W, steps=3)
    each.fit(Y)
    np.testing.assert_allclose(each.predict(3), direct(forecaster, 3, same_rows=True), rtol=1e-6)
    several = ForecasterDirect(estimator=model, lags=W, steps=7)
    several.fit(Y, exog=EXOG[:KNOWN])
    assert error_of(several.predict(7, exog=EXOG[KNOWN:])) < error_of(naive())


@theirs
@quiet
def test_skforecast_learns_covariates_window_features_and_many_series() -> None:
    from skforecast.preprocessing import RollingFeatures
    from skforecast.recursive import ForecasterRecursive, ForecasterRecursiveMultiSeries

    model = WindowRegressor(GRU.__class__(**(GRU.get_params() | {"max_epochs": 60})), lags=W)
    found = ForecasterRecursive(
        estimator=model, lags=W, window_features=RollingFeatures(stats=["mean"], window_sizes=7)
    )
    found.fit(Y, exog=EXOG[:KNOWN])
    assert found.estimator.covariates_.tolist() == [7, 8]
    assert error_of(found.predict(7, exog=EXOG[KNOWN:])) < error_of(naive()) / 2
    several = ForecasterRecursiveMultiSeries(estimator=WindowRegressor(RIDGE), lags=W)
    several.fit(pd.DataFrame({"a": Y, "b": 2 * Y}))
    made = several.predict(7)
    assert several.estimator.steps_.tolist() == [6, 5, 4, 3, 2, 1, 0]
    assert error_of(made.loc[made["level"] == "a", "pred"]) < error_of(naive())


@theirs
@quiet
@pytest.mark.parametrize("forecaster", [GRU, RIDGE], ids=["gru", "reduction"])
def test_mlforecast_forecasts_what_a_direct_use_of_its_windows_forecasts(forecaster: Any) -> None:
    from mlforecast import MLForecast

    long = pd.DataFrame({"unique_id": "a", "ds": DAYS[:KNOWN], "y": SALES[:KNOWN]})
    lags = list(range(1, W + 1))
    expected = recursive(clone(forecaster).fit(*rows()))
    for as_numpy in (False, True):
        model = MLForecast([WindowRegressor(forecaster, lags=W)], freq="D", lags=lags)
        found = model.fit(long, as_numpy=as_numpy).predict(7)["WindowRegressor"]
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    model = MLForecast({"ours": WindowRegressor(forecaster)}, freq="D", lags=lags)
    found = model.fit(long, max_horizon=3).predict(3)["ours"]
    np.testing.assert_allclose(found, direct(forecaster, 3, same_rows=False), rtol=1e-6)


@theirs
@quiet
def test_mlforecast_learns_covariates_static_columns_and_transforms() -> None:
    from mlforecast import MLForecast
    from mlforecast.lag_transforms import RollingMean
    from mlforecast.target_transforms import Differences

    one = pd.DataFrame({"ds": DAYS, "y": SALES, "price": PRICES})
    long = pd.concat(
        [one.assign(unique_id=name, size=size, y=one["y"] * size) for name, size in (("a", 1.0), ("b", 2.0))]
    )
    past, ahead = long[long["ds"] < DAYS[KNOWN]], long[long["ds"] >= DAYS[KNOWN]].drop(columns=["y", "size"])
    model = MLForecast(
        {"ours": WindowRegressor(RIDGE)},
        freq="D",
        lags=list(range(1, W + 1)),
        lag_transforms={1: [RollingMean(7)]},
        target_transforms=[Differences([7])],
    )
    made = model.fit(past, static_features=["size"]).predict(7, X_df=ahead)
    assert len(model.models_["ours"].covariates_) == 3
    assert error_of(made["ours"][:7]) < error_of(naive())


@theirs
@quiet
@pytest.mark.parametrize("forecaster", [GRU, RIDGE], ids=["gru", "reduction"])
def test_darts_and_sktime_lay_windows_out_as_a_forecaster_alone_reads_them(forecaster: Any) -> None:
    from darts import TimeSeries
    from darts.models import SKLearnModel
    from sktime.forecasting.compose import make_reduction

    expected = recursive(clone(forecaster).fit(*rows()))
    reduced = make_reduction(clone(forecaster), window_length=W, strategy="recursive").fit(Y, fh=range(1, 8))
    np.testing.assert_allclose(reduced.predict(), expected, rtol=1e-6)
    reduced = make_reduction(clone(forecaster), window_length=W, strategy="direct").fit(Y, fh=[1, 2, 3])
    np.testing.assert_allclose(reduced.predict(), direct(forecaster, 3, same_rows=True), rtol=1e-6)

    series = TimeSeries.from_times_and_values(DAYS[:KNOWN], SALES[:KNOWN])
    found = SKLearnModel(lags=W, model=clone(forecaster)).fit(series).predict(7)
    np.testing.assert_allclose(found.values()[:, 0], expected, rtol=1e-5)
    known = TimeSeries.from_times_and_values(DAYS, PRICES)
    model = WindowRegressor(RIDGE, lags=range(W, 0, -1))
    found = (
        SKLearnModel(lags=W, lags_future_covariates=[0], model=model).fit(series, future_covariates=known).predict(7)
    )
    assert error_of(found.values()[:, 0]) < error_of(naive()) / 2


def naive() -> np.ndarray:
    """Return the sales of the last week."""
    return SALES[KNOWN - 7 : KNOWN]


def error_of(forecast: Any) -> float:
    """Return the mean absolute error of a forecast of the week."""
    return float(np.abs(np.asarray(forecast) - SALES[KNOWN:]).mean())


def test_lags_of_several_series_are_not_read_as_one_window() -> None:
    windows, y = rows()
    frame = pd.DataFrame(windows[:, :4], columns=["sales_lag_1", "sales_lag_2", "price_lag_1", "price_lag_2"])
    with pytest.raises(ParameterError, match="4 of 4 columns are lags of a column, such as 'sales_lag_1'; rename"):
        WindowRegressor(NaiveForecaster()).fit(frame, y)
    own = frame.rename(columns={"sales_lag_1": "lag_1", "sales_lag_2": "lag_2"})
    assert WindowRegressor(GRU).fit(own, y).covariates_.tolist() == [2, 3]
