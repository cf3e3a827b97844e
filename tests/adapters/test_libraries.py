"""Models of other libraries against the libraries themselves; `make adapters` runs them, where these are installed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from shops import (
    AHEAD,
    DAYS,
    HORIZON,
    LEVELS,
    PANEL,
    PRICED,
    PRICES,
    SHOPS,
    A,
    B,
    check_names,
    check_on_a_board,
    check_quantiles,
    check_that_the_future_moves_nothing,
    forecasts_of,
)

from tsforecast.adapters.names import make
from tsforecast.adapters.protocol import as_forecaster
from tsforecast.data.panel import Panel
from tsforecast.errors import DataError, ParameterError, UnknownNameError

pytestmark = [
    pytest.mark.adapters,
    pytest.mark.filterwarnings("ignore"),  # those of the libraries are theirs
]


def test_statsforecast() -> None:
    from statsforecast import models

    ets = models.AutoETS(season_length=7)
    expected = [ets.forecast(y, HORIZON)["mean"] for y in (B, A)]
    np.testing.assert_allclose(forecasts_of(ets), expected, rtol=1e-12)
    np.testing.assert_allclose(forecasts_of(make("statsforecast:AutoETS")), expected, rtol=1e-12)
    found = check_quantiles(ets)
    np.testing.assert_allclose(found[0, :, 0], ets.forecast(B, HORIZON, level=[80])["lo-80"], rtol=1e-6)
    check_that_the_future_moves_nothing(ets)
    check_names("statsforecast", "AutoETS", "AutoETZ", "season_length")

    arima = models.ARIMA(order=(1, 0, 0))
    own = arima.forecast(B, HORIZON, X=PRICES[:100, None], X_future=np.arange(3.0)[:, None])["mean"]
    np.testing.assert_allclose(forecasts_of(arima, PRICED, AHEAD)[0], own, rtol=1e-12)
    assert "reads future covariates alone" in as_forecaster(arima).note
    check_that_the_future_moves_nothing(arima, PRICED)
    assert not as_forecaster(models.CrostonClassic()).learns_distribution
    with pytest.raises(DataError, match=r"series 'b' of 2 steps"):
        as_forecaster(ets).fit(Panel.from_frame(SHOPS[:2], id="shop", time="day", target="sales")).predict()
    with pytest.raises(ParameterError, match="cannot be made with its defaults"):
        make("statsforecast:WindowAverage")


@pytest.mark.parametrize("step", ["W-SAT", "MS", "QE"])
def test_sktime_computes_with_weeks_months_and_quarters(step: str) -> None:
    from sktime.forecasting.trend import PolynomialTrendForecaster

    times = pd.date_range("2015-01-31", periods=40, freq=step)
    line = pd.DataFrame({"time": times, "y": 3 + 2 * np.arange(40.0)})
    fitted = as_forecaster(PolynomialTrendForecaster()).set_params(horizon=2).fit(line)
    made = fitted.predict()
    np.testing.assert_allclose(made["y"], [83, 85])
    assert made["time"].tolist() == pd.date_range(times[-1], periods=3, freq=step)[1:].tolist()


def test_sktime() -> None:
    from sklearn.linear_model import LinearRegression
    from sktime.forecasting.compose import YfromX
    from sktime.forecasting.theta import ThetaForecaster

    theta = ThetaForecaster(sp=7)
    fh = np.arange(1, HORIZON + 1)
    expected = [theta.clone().fit(pd.Series(y, index=DAYS[-len(y) :]), fh=fh).predict().to_numpy() for y in (B, A)]
    np.testing.assert_allclose(forecasts_of(theta), expected, rtol=1e-12)
    np.testing.assert_allclose(forecasts_of(make("sktime:ThetaForecaster")), expected, rtol=1e-12)
    quantiles = theta.clone().fit(pd.Series(A, index=DAYS[-80:]), fh=fh).predict_quantiles(alpha=list(LEVELS))
    np.testing.assert_allclose(check_quantiles(theta)[1], quantiles, rtol=1e-6)
    check_that_the_future_moves_nothing(theta)
    check_names("sktime", "ThetaForecaster", "TetaForecaster", "sp")

    regression = YfromX(LinearRegression())
    own = LinearRegression().fit(PRICES[100:, None], A).predict(np.arange(3.0, 6)[:, None])
    np.testing.assert_allclose(forecasts_of(regression, PRICED, AHEAD)[1], own, rtol=1e-9)


def test_darts() -> None:
    from darts import TimeSeries
    from darts.models import ExponentialSmoothing, LinearRegressionModel

    def series(values: np.ndarray, days: pd.DatetimeIndex) -> TimeSeries:
        return TimeSeries.from_times_and_values(days, values)

    smoothing = ExponentialSmoothing(seasonal_periods=7)
    both = [series(B, DAYS), series(A, DAYS[20:])]
    expected = [smoothing.untrained_model().fit(each).predict(HORIZON).values()[:, 0] for each in both]
    np.testing.assert_allclose(forecasts_of(smoothing), expected, rtol=1e-12)
    np.testing.assert_allclose(forecasts_of(make("darts:ExponentialSmoothing")), expected, rtol=1e-12)
    check_quantiles(smoothing)
    check_that_the_future_moves_nothing(smoothing)
    check_names("darts", "ExponentialSmoothing", "ExponentialSmooting", "seasonal_periods")
    check_on_a_board({"darts:LinearRegressionModel": make("darts:LinearRegressionModel")})

    regression = LinearRegressionModel(lags=7, lags_future_covariates=[0])
    later = DAYS.union(DAYS[-1] + pd.to_timedelta([1, 2, 3], "D"))
    known = [series(np.append(PRICES[:100], [0, 1, 2]), later), series(np.append(PRICES[100:], [3, 4, 5]), later[20:])]
    own = regression.untrained_model().fit(both, future_covariates=known)
    expected = [each.values()[:, 0] for each in own.predict(HORIZON, series=both, future_covariates=known)]
    np.testing.assert_allclose(forecasts_of(regression, PRICED, AHEAD), expected, rtol=1e-9)
    assert as_forecaster(regression).note == "reads future covariates alone"
    check_that_the_future_moves_nothing(regression, PRICED)
    check_quantiles(LinearRegressionModel(lags=7, likelihood="quantile", quantiles=[0.1, 0.3, 0.5, 0.7, 0.9]))


def test_mlforecast() -> None:
    from mlforecast import MLForecast
    from sklearn.linear_model import LinearRegression

    model = MLForecast(LinearRegression(), freq="D", lags=[1, 7])
    long = SHOPS.rename(columns={"shop": "unique_id", "day": "ds", "sales": "y"})
    own = MLForecast(LinearRegression(), freq="D", lags=[1, 7]).fit(long[["unique_id", "ds", "y"]]).predict(HORIZON)
    expected = own["LinearRegression"].to_numpy().reshape(2, HORIZON)[::-1]
    np.testing.assert_allclose(forecasts_of(model), expected, rtol=1e-9)
    check_that_the_future_moves_nothing(model)
    check_on_a_board({"mlforecast:LinearRegression": make("mlforecast:LinearRegression")})

    sized = long.assign(size=np.where(long["unique_id"] == "a", 1.0, 2.0))
    own = MLForecast(LinearRegression(), freq="D", lags=[1, 7]).fit(sized, static_features=["size"])
    known = AHEAD.rename(columns={"shop": "unique_id", "day": "ds"})
    expected = own.predict(HORIZON, X_df=known)["LinearRegression"].to_numpy().reshape(2, HORIZON)[::-1]
    roles = {"target": "sales", "future": "price", "static": "size"}
    panel = Panel.from_frame(SHOPS.assign(size=sized["size"]), id="shop", time="day", **roles)
    np.testing.assert_allclose(forecasts_of(model, panel, AHEAD), expected, rtol=1e-9)
    check_that_the_future_moves_nothing(model, PRICED)
    with pytest.raises(ParameterError, match="must have one model"):
        as_forecaster(MLForecast([LinearRegression(), LinearRegression()], freq="D", lags=[1]))
    with pytest.raises(UnknownNameError, match="'LinearRegression'"):
        make("mlforecast:LinearRegresion")


def test_skforecast() -> None:
    from skforecast.recursive import ForecasterRecursive, ForecasterRecursiveMultiSeries
    from sklearn.linear_model import LinearRegression

    model = ForecasterRecursive(estimator=LinearRegression(), lags=7)
    own = ForecasterRecursive(estimator=LinearRegression(), lags=7)
    expected = []
    for y, days, prices, known in ((B, DAYS, PRICES[:100], AHEAD[:3]), (A, DAYS[20:], PRICES[100:], AHEAD[3:])):
        exog = pd.Series(prices, index=days, name="price")
        own.fit(pd.Series(y, index=days, name="y"), exog=exog)
        future = known.set_index("day")["price"].asfreq("D")
        expected.append(own.predict(HORIZON, exog=future).to_numpy())
    np.testing.assert_allclose(forecasts_of(model, PRICED, AHEAD), expected, rtol=1e-9)
    check_quantiles(model)
    check_that_the_future_moves_nothing(model, PRICED)
    check_on_a_board({"skforecast:LinearRegression": make("skforecast:LinearRegression")})

    with pytest.raises(ParameterError, match="of one series each: got ForecasterRecursiveMultiSeries"):
        as_forecaster(ForecasterRecursiveMultiSeries(estimator=LinearRegression(), lags=7))
    with pytest.raises(UnknownNameError, match="'LinearRegression'"):
        make("skforecast:LinearRegresion")


def test_neuralforecast() -> None:
    from neuralforecast import NeuralForecast
    from neuralforecast.losses.pytorch import MQLoss
    from neuralforecast.models import MLP

    quiet = {"logger": False, "enable_progress_bar": False, "enable_checkpointing": False, "accelerator": "cpu"}
    small = {"input_size": 14, "hidden_size": 8, "max_steps": 5, **quiet}
    model = MLP(h=HORIZON, futr_exog_list=["price"], **small)
    long = SHOPS.rename(columns={"shop": "unique_id", "day": "ds", "sales": "y"})
    long["unique_id"] = np.where(long["unique_id"] == "b", 0, 1)
    known = AHEAD.rename(columns={"shop": "unique_id", "day": "ds"})
    known["unique_id"] = np.where(known["unique_id"] == "b", 0, 1)
    own = NeuralForecast([MLP(h=HORIZON, futr_exog_list=["price"], **small)], freq="D")
    own.fit(long)
    expected = own.predict(futr_df=known)["MLP"].to_numpy().reshape(2, HORIZON)
    np.testing.assert_allclose(forecasts_of(model, PRICED, AHEAD), expected, rtol=1e-5)
    assert as_forecaster(model).note == "reads future covariates alone"
    check_that_the_future_moves_nothing(model, PRICED)
    loss, longer = MQLoss(level=[50, 80]), {"max_steps": 200, "alias": "wide"}
    check_quantiles(MLP(h=HORIZON, loss=loss, **(small | longer)))
    check_on_a_board({"mlp": MLP(h=HORIZON, **small)})
    assert make("neuralforecast:MLP").settings_for(PANEL) == {"h": 1, "input_size": 7}
    with pytest.raises(UnknownNameError, match="'NHITS'"):
        make("neuralforecast:NHIT")
    with pytest.raises(ParameterError, match="h=3"):
        as_forecaster(model).set_params(horizon=4).fit(PRICED)
