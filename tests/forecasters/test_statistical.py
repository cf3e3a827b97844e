"""The classical models: known answers, statsmodels as the independent twin, and what happens when a fit fails."""

from __future__ import annotations

import pickle
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from statsmodels.tsa.arima.model import ARIMA
from statsmodels.tsa.exponential_smoothing.ets import ETSModel
from statsmodels.tsa.forecasting.theta import ThetaModel
from statsmodels.tsa.holtwinters import ExponentialSmoothing
from statsmodels.tsa.innovations.arma_innovations import arma_innovations, arma_loglike
from threadpoolctl import threadpool_info

from tests.helpers.forecasters import wave
from tsforecast import load_dataset
from tsforecast.catalog.synthetic import random_walk
from tsforecast.data.context import Context
from tsforecast.data.panel import Panel
from tsforecast.errors import FitWarning, ParameterError
from tsforecast.estimators.persistence import load, save
from tsforecast.estimators.registry import CLASSICAL, make
from tsforecast.evaluation.backtest import backtest
from tsforecast.evaluation.leaderboard import leaderboard
from tsforecast.evaluation.results import ForecastResults
from tsforecast.forecasters.naive import SeasonalNaiveForecaster
from tsforecast.forecasters.statistical import base, ets
from tsforecast.forecasters.statistical.arma import (
    Covariance,
    Orders,
    constrained,
    least_squares,
    log_likelihood,
    polynomials,
)
from tsforecast.forecasters.statistical.base import StatisticalForecaster
from tsforecast.forecasters.statistical.fit import FittedModel
from tsforecast.forecasters.statistical.models import (
    ARIMAForecaster,
    ETSForecaster,
    HoltWintersForecaster,
    ThetaForecaster,
    arima,
)

SEASON = np.array([4.0, -1.0, -3.0, 2.0, -2.0, 0.0])


def noise(steps: int, seed: int = 0, scale: float = 1.0) -> np.ndarray:
    return scale * np.random.default_rng(seed).normal(size=steps)


def trend_and_season(steps: int, level: float = 50.0) -> np.ndarray:
    return level + 0.5 * np.arange(steps) + np.resize(SEASON, steps)


def at(panel: Panel, *cutoffs: tuple[int, int]) -> Context:
    series, seen = np.array(cutoffs).T
    return Context(panel, series, seen)


def fitted(model: StatisticalForecaster, y: np.ndarray, season: int = 6) -> Any:
    return model.fit(Panel.from_array(y, season_length=season, nan_policy="mask"))


WEEK = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 9.0, 9.0])
LINES = {
    "30 steps": (np.arange(30.0), 1),
    "60 steps": (np.arange(60.0), 1),
    "100 steps of days": (np.arange(100.0), 7),
    "200 steps of months": (np.arange(200.0), 12),
    "years": (np.arange(1900.0, 1990.0), 1),
    "tenths": (100 - 0.3 * np.arange(60.0), 1),
    "a slow line far from zero": (1e6 + 1e-3 * np.arange(60.0), 1),
}


@pytest.mark.parametrize("name", CLASSICAL)
@pytest.mark.parametrize("kind", LINES)
def test_a_line_without_noise_is_gone_on_with(name: str, kind: str) -> None:
    y, season = LINES[kind]
    slope = y[1] - y[0]
    truth = y[-1] + slope * np.arange(1, 6)
    if name == "theta":
        truth = y[-1] + slope / 2 * np.arange(1, 6)  # half the slope is what it adds
    model = fitted(make(name, horizon=5), y, season)
    assert model.predict() == pytest.approx(truth, abs=0.02 * abs(slope))
    assert model.failures_ == []


@pytest.mark.parametrize("name", CLASSICAL)
@pytest.mark.parametrize("slope", [0.0, 0.1, 1.0])
def test_a_week_and_a_line_without_noise_are_gone_on_with(name: str, slope: float) -> None:
    y = np.tile(WEEK, 21) + slope * np.arange(147)
    forecast = fitted(make(name, horizon=7), y[:140], 7).predict()
    # Theta's season is a factor, which shrinks and grows with the line; it adds half the slope.
    room = 1e-6 if slope == 0 else (0.75 + 3 * slope) * np.ptp(WEEK) if name == "theta" else 0.01 * slope
    assert forecast == pytest.approx(y[140:], abs=room)


STEPS = {
    "up and down": (np.tile([0.0, 1.0], 40), 1, np.full(5, 0.5), 0.6),
    "up and down as a season": (np.tile([0.0, 1.0], 40), 2, np.array([0.0, 1.0, 0.0, 1.0, 0.0]), 1e-3),
    "a step every second": (np.floor(np.arange(100) / 2), 1, 49.5 + 0.375 * np.arange(1, 6), 1.2),
    "a step every fifth": (np.floor(np.arange(100) / 5), 1, np.full(5, 20.0), 1.0),
    "a step a year": (1000.0 + 25 * (np.arange(72) // 12), 12, np.full(5, 1137.5), 13.0),
    "a step a year without season": (1000.0 + 25 * (np.arange(72) // 12), 1, np.full(5, 1130.0), 5.0),
    "one step": (np.r_[np.zeros(40), np.ones(40)], 1, np.ones(5), 0.07),
    "one step and weeks": (np.r_[np.zeros(40), np.ones(40)], 7, np.ones(5), 0.1),
    "a step at the end": (np.r_[np.zeros(79), 1.0], 1, np.full(5, 0.5), 0.5),
    "a step at the start": (np.r_[5.0, np.ones(50)], 1, np.ones(5), 0.1),
    "a line that starts late": (np.r_[np.zeros(40), np.arange(40.0)], 1, np.arange(39.5, 42, 0.5), 2.6),
}


@pytest.mark.parametrize("name", CLASSICAL)
@pytest.mark.parametrize("kind", STEPS)
def test_steps_and_what_mostly_stays_are_gone_on_with_near_to_where_they_are(name: str, kind: str) -> None:
    y, season, near, room = STEPS[kind]
    model = fitted(make(name, horizon=5), y, season)
    assert model.predict() == pytest.approx(near, abs=room)
    assert model.failures_ == []


@pytest.mark.parametrize(
    ("y", "season", "order", "seasonal", "level"),
    [
        (np.arange(60.0), 1, [0, 1, 0], [0, 0, 0, 1], 1.0),
        (100 - 0.3 * np.arange(60.0), 7, [0, 1, 0], [0, 0, 0, 7], -0.3),
        (np.r_[np.arange(20.0), np.nan, np.nan, np.arange(22.0, 60)], 1, [0, 1, 0], [0, 0, 0, 1], 1.0),
        (np.arange(60.0) ** 2, 1, [0, 2, 0], [0, 0, 0, 1], 2.0),
        (np.tile(WEEK, 20), 7, [0, 0, 0], [0, 1, 0, 7], None),
        (np.tile(WEEK, 20) + np.arange(140), 7, [0, 0, 0], [0, 1, 0, 7], 7.0),
        (1000.0 + 25 * (np.arange(72) // 12), 12, [0, 0, 0], [0, 1, 0, 12], 25.0),
        (np.tile(WEEK, 10) + np.arange(70.0) ** 2, 7, [0, 1, 0], [0, 1, 0, 7], 14.0),
    ],
)
def test_where_differences_leave_a_constant_arima_is_that_constant(
    y: np.ndarray, season: int, order: list[int], seasonal: list[int], level: float | None
) -> None:
    fit = fitted(ARIMAForecaster(), y, season).models_[0][0]
    assert fit.specification == {"order": order, "seasonal_order": seasonal, "mean": level is not None}
    assert fit.parameters == ([] if level is None else [pytest.approx(level, rel=1e-9)])


def test_arima_goes_on_with_exact_numbers_where_some_or_all_orders_are_given() -> None:
    line, weeks = np.arange(60.0), np.tile(WEEK, 20) + np.arange(140)
    model = fitted(ARIMAForecaster(5, order=(1, 1, 1), seasonal_order=(0, 0, 0)), line, 1)
    assert model.predict() == pytest.approx(np.arange(60.0, 65), abs=1e-3)
    for orders in (
        {"seasonal_order": (0, 1, 1)},
        {"order": (0, 1, 1)},
        {"order": (0, 1, 1), "seasonal_order": (0, 1, 1)},
    ):
        model = fitted(ARIMAForecaster(5, **orders), weeks, 7)
        assert model.predict() == pytest.approx([141.0, 143.0, 145.0, 147.0, 149.0], abs=1e-6)
        assert model.failures_ == []


def test_free_numbers_lead_to_coefficients_and_back() -> None:
    orders = Orders(2, 0, 2, 1, 0, 1, 12)
    x = np.array([0.5, 0.2, 0.6, 0.3, 0.4, -0.5])
    assert constrained(constrained(x, orders, back=True), orders) == pytest.approx(x, abs=1e-12)


@pytest.mark.parametrize(
    ("w", "orders"),
    [
        (np.tile([-1.0, 1.0], 40), Orders(0, 0, 5)),
        (noise(90), Orders(2, 0, 3, 1, 0, 1, 6)),
        (np.diff(noise(90)), Orders(0, 0, 1)),
    ],
)
def test_an_exact_estimate_is_at_least_as_likely_as_the_least_squares_it_starts_from(
    w: np.ndarray, orders: Orders
) -> None:
    start, mine = least_squares(w, orders), np.array(arima.estimate(w, orders.plain()).parameters)
    assert log_likelihood(w, orders, mine) >= log_likelihood(w, orders, start)


@pytest.mark.sample(5)
@pytest.mark.parametrize("name", CLASSICAL)
@pytest.mark.parametrize("unit", [1e-200, 1e-80, 1e-29, 1e27, 1e50, 1e95])
@pytest.mark.parametrize("parameters", ["keep", "refit"])
def test_tiny_and_huge_numbers_are_forecast_as_those_of_usual_size(
    name: str, unit: float, parameters: str, tmp_path: Path
) -> None:
    y = trend_and_season(96) + noise(96)
    usual, other = (fitted(make(name, horizon=6, parameters=parameters), y[:72] * size) for size in (1.0, unit))
    assert other.failures_ == []
    assert other.predict() / unit == pytest.approx(usual.predict(), rel=1e-4)
    assert other.predict(y * unit) / unit == pytest.approx(usual.predict(y), rel=1e-4)
    save(other, tmp_path / "model")
    assert np.array_equal(load(tmp_path / "model").predict(y * unit), other.predict(y * unit))


@pytest.mark.parametrize("name", ["ets", "arima", "holt-winters"])
def test_trend_and_season_are_gone_on_with(name: str) -> None:
    y = trend_and_season(84) + noise(84, scale=0.1)
    errors = fitted(make(name, horizon=12), y[:72]).predict() - trend_and_season(84)[72:]
    assert np.sqrt((errors**2).mean()) < 0.2  # twice the noise; the season alone has 2.4


def test_theta_goes_on_with_the_season_and_half_the_slope() -> None:
    forecast = fitted(ThetaForecaster(horizon=12), trend_and_season(72, level=500.0)).predict()
    assert forecast[6:] - forecast[:6] == pytest.approx(np.full(6, 6 * 0.5 / 2), abs=0.05)
    assert np.corrcoef(forecast[:6], SEASON)[0, 1] > 0.98


@pytest.mark.parametrize("level", [100.0, 3.0, None])
def test_theta_equals_that_of_statsmodels(level: float | None) -> None:
    y = np.cumsum(noise(96)) if level is None else trend_and_season(96, level) + noise(96)
    twin = ThetaModel(y, period=6).fit()
    model = fitted(ThetaForecaster(horizon=10), y)
    assert model.predict() == pytest.approx(np.asarray(twin.forecast(10)), rel=1e-5)
    assert model.models_[0][0].parameters[:2] == pytest.approx([twin.params["alpha"], twin.params["b0"]], rel=1e-3)


@pytest.mark.sample(3)
@pytest.mark.parametrize(
    ("order", "seasonal"),
    [((1, 0, 1), (0, 0, 0)), ((0, 1, 2), (1, 0, 0)), ((1, 1, 0), (0, 1, 1)), ((2, 0, 0), (0, 0, 1))],
)
@pytest.mark.parametrize("gaps", [False, True])
def test_arima_of_known_orders_equals_that_of_statsmodels(order: tuple, seasonal: tuple, gaps: bool) -> None:
    y = (
        50 + np.resize(SEASON, 96) / 8 + noise(96)
        if order[1] == 0
        else np.cumsum(noise(96)) + 0.6 * trend_and_season(96)
    )
    if gaps:
        y[[20, 40, 41, 94]] = np.nan
    twin = ARIMA(y, order=order, seasonal_order=(*seasonal, 6 if any(seasonal) else 0)).fit()
    model = fitted(ARIMAForecaster(horizon=12, order=order, seasonal_order=seasonal), y)
    assert model.predict() == pytest.approx(twin.forecast(12), rel=2e-3)


def test_the_exact_likelihood_equals_that_of_the_innovations_algorithm() -> None:
    for orders in (
        Orders(2, 0, 1, 1, 0, 1, 4),
        Orders(0, 0, 3),
        Orders(3, 0, 0),
        Orders(1, 0, 2, 0, 0, 2, 4),
        Orders(0, 0, 0),
    ):
        x = np.array([0.4, -0.3, 0.3, 0.2, 0.1])[: sum(orders.counts)]
        ar, ma = polynomials(x, orders)
        w = noise(40)
        errors, variances = arma_innovations(w, -ar[1:], ma[1:])
        twin = arma_loglike(w, -ar[1:], ma[1:], float(np.mean(errors**2 / variances)))
        assert Covariance(ar, ma, 40).log_likelihood(w) == pytest.approx(twin, rel=1e-10)


def test_a_past_hardly_longer_than_the_polynomials_is_gone_on_from_as_by_statsmodels() -> None:
    coefficients, y = [0.3, 0.1, -0.2, 0.3, 0.5, 0.4, 0.3], noise(5)
    fit = FittedModel(Orders(4, 0, 3).plain(), coefficients)
    twin = ARIMA(y, order=(4, 0, 3), trend="n").filter([*coefficients, 1.0])
    assert arima.forecast(fit, y, 5) == pytest.approx(twin.forecast(5), rel=1e-8)


@pytest.mark.parametrize(
    "kind", [("add", "add", "add", True), ("mul", "add", "mul", False), ("mul", None, "add", False)]
)
def test_ets_runs_as_that_of_statsmodels_and_is_at_least_as_likely(kind: tuple) -> None:
    error, trend, season, damped = kind
    y = trend_and_season(90) + noise(90)
    settings: dict[str, Any] = {"error": error, "trend": trend, "seasonal": season, "damped_trend": damped}
    settings["seasonal_periods"] = 6
    model = fitted(ETSForecaster(9, error=error, trend=trend, season=season, damped=damped), y)
    alpha, beta, gamma, phi, level, slope, *backwards = model.models_[0][0].parameters
    known = ETSModel(
        y,
        **settings,
        initialization_method="known",
        initial_level=level,
        initial_trend=slope if trend else None,
        initial_seasonal=backwards[::-1],
    )
    parameters = [alpha, *([alpha * beta] if trend else []), gamma * (1 - alpha), *([phi] if damped else [])]
    twin = known.smooth(np.array(parameters))
    assert model.predict() == pytest.approx(np.asarray(twin.forecast(9)), rel=1e-9)
    assert twin.llf > ETSModel(y, **settings).fit(disp=False).llf - 0.5


@pytest.mark.parametrize("seasonal", ["add", "mul"])
def test_holt_winters_errs_no_more_than_that_of_statsmodels(seasonal: str) -> None:
    y = trend_and_season(90) + noise(90)
    fit = fitted(HoltWintersForecaster(seasonal=seasonal), y).models_[0][0]
    engine = ets.Engine(y, 6, ets.Components("add", "add", seasonal, False))
    ets.run(engine.model, np.array(fit.parameters), np.array(y), engine._yhat, engine._states)
    mine = ((y - engine._yhat) ** 2).sum()
    twin = ExponentialSmoothing(y, trend="add", seasonal=seasonal, seasonal_periods=6).fit().sse
    assert mine < 1.01 * twin


def simulated(kind: str, seed: int, steps: int = 144) -> np.ndarray:
    """Return numbers of a known model: its letters are trend and season."""
    random = np.random.default_rng(seed)
    level, slope, season = 200.0, 0.0 if kind[0] == "N" else 2.0, np.array([1.0, 1.3, 0.8, 0.9, 1.2, 0.8])
    y = []
    for t in range(steps):
        shock = 0.03 * random.normal()
        factor = season[t % 6] if kind[1] == "M" else 1.0
        added = 40 * (season[t % 6] - 1) if kind[1] == "A" else 0.0
        mean = (level + slope) * factor + added
        y.append(mean + 200 * shock if kind[1] != "M" else mean * (1 + shock))
        level += slope + 0.2 * shock * (200 if kind[1] != "M" else level)
    return np.array(y)


@pytest.mark.long
@pytest.mark.sample(2)
@pytest.mark.parametrize("kind", ["NN", "AN", "AA", "AM"])
def test_aicc_finds_the_components_that_made_the_numbers(kind: str) -> None:
    words = {"N": None, "A": "add", "M": "mul"}
    right = 0
    for seed in range(5):
        chosen = fitted(ETSForecaster(), simulated(kind, seed)).models_[0][0].specification
        right += (chosen["trend"] is not None, chosen["season"]) == (kind[0] == "A", words[kind[1]])
    assert right >= 4


def test_the_search_finds_the_orders_that_made_the_numbers() -> None:
    shocks = noise(400, 3)
    walk = np.cumsum(shocks[1:] + 0.6 * shocks[:-1])
    calm = np.zeros(400)
    for t in range(1, 400):
        calm[t] = 0.7 * calm[t - 1] + shocks[t]
    chosen = [fitted(ARIMAForecaster(), y).models_[0][0].specification for y in (walk, calm + 30)]
    assert chosen[0] == {"order": [0, 1, 1], "seasonal_order": [0, 0, 0, 6], "mean": False}
    assert chosen[1] == {"order": [1, 0, 0], "seasonal_order": [0, 0, 0, 6], "mean": True}
    seasonal = trend_and_season(120) + np.cumsum(noise(120))
    assert fitted(ARIMAForecaster(), seasonal).models_[0][0].specification["seasonal_order"][1] == 1


@pytest.mark.parametrize("name", CLASSICAL)
def test_a_later_past_is_filtered_with_the_parameters_that_were_fitted_or_they_are_estimated_anew(name: str) -> None:
    y = np.r_[trend_and_season(60), trend_and_season(60)[::-1]] + noise(120)
    panel = Panel.from_array(y, season_length=6)
    keep, again = (
        make(name, horizon=5, parameters=parameters).fit(panel.until(np.array([60])))
        for parameters in ("keep", "refit")
    )
    later, end = at(panel, (0, 110)), at(panel, (0, 60))
    assert np.array_equal(keep.forecast(end, 5), again.forecast(end, 5))
    kept = keep.forecast(later, 5)[0, :, 0]
    assert not np.array_equal(kept, again.forecast(later, 5)[0, :, 0])
    assert kept.tolist() == keep._model.forecast(keep.models_[0][0], y[:110], 5, True).tolist()
    anew = keep._model.estimate(y[:110], keep.models_[0][0].specification)
    assert again.forecast(later, 5)[0, :, 0].tolist() == again._model.forecast(anew, y[:110], 5, True).tolist()


def test_arima_keeps_its_parameters_as_statsmodels_does() -> None:
    y = random_walk(120).past
    model = fitted(ARIMAForecaster(6, order=(1, 1, 1), seasonal_order=(0, 0, 0)), y[:70])
    twin = ARIMA(y[:70], order=(1, 1, 1)).fit()
    assert model.predict(y) == pytest.approx(twin.apply(y).forecast(6), rel=1e-3)


@pytest.mark.parametrize("name", CLASSICAL)
def test_a_past_that_starts_elsewhere_gets_states_of_its_own(name: str) -> None:
    y = trend_and_season(96) + noise(96, scale=0.1)
    model = fitted(make(name, horizon=6), y[:60])
    short = model.predict(y[33:90])
    assert np.abs(short - trend_and_season(96)[90:]).max() < (3 if name == "theta" else 0.5)


@pytest.mark.parametrize("name", CLASSICAL)
def test_what_lies_after_a_later_cutoff_changes_nothing(name: str) -> None:
    y = trend_and_season(100) + noise(100)
    other = np.r_[y[:80], -1e3 * noise(20, 5)]
    first, second = (
        make(name, horizon=4).fit(Panel.from_array(y[:70], season_length=6)).forecast(at(panel, (0, 75), (0, 80)), 4)
        for panel in (Panel.from_array(numbers, season_length=6) for numbers in (y, other))
    )
    assert np.array_equal(first, second)


@pytest.mark.parametrize("name", CLASSICAL)
def test_a_series_that_was_not_fitted_is_fitted_on_its_own_past(name: str) -> None:
    panel = Panel.from_array([wave(60, seed) for seed in range(3)], season_length=6)
    model = make(name, horizon=4).fit(panel.select([0, 1]))
    own = make(name, horizon=4).fit(panel.select([2])).predict()
    assert np.array_equal(model.forecast(Context.at_end(panel), 4)[2], np.asarray(own).reshape(4, 1))


@pytest.mark.parametrize("name", CLASSICAL)
def test_of_ready_made_windows_nothing_is_learned(name: str) -> None:
    X, y = np.stack([wave(60, seed) for seed in range(2)]), np.zeros((2, 4))
    model = make(name, season_length=6).fit(X, y)
    assert model.models_ == []
    alone = make(name, horizon=4, season_length=6).fit([X[0], X[1]]).predict()
    assert np.array_equal(model.predict(X), np.stack(alone))


@pytest.mark.parametrize("name", CLASSICAL)
def test_short_and_constant_series_get_the_simplest_that_makes_sense(name: str) -> None:
    parts = [wave(steps, 4) for steps in range(1, 20)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = make(name, horizon=7).fit(Panel.from_array([*parts, np.full(40, 3.0)], season_length=6))
    forecasts = model.forecast(Context.at_end(model.panel_), 7)[..., 0]
    assert np.isfinite(forecasts).all()
    assert forecasts[0].tolist() == [parts[0][0]] * 7
    assert forecasts[1].tolist() == [parts[1][1]] * 7
    assert forecasts[-1].tolist() == [3.0] * 7
    assert (np.ptp(forecasts[2:7], axis=1) == 0).all()  # simple exponential smoothing is flat
    assert model.models_[2][0].specification["rule"] == "simple smoothing"
    assert "rule" not in model.models_[8][0].specification
    assert np.ptp(forecasts[15]) > (0.1 if name == "theta" else 0.5)  # 16 steps: the season takes part


@pytest.mark.parametrize("name", CLASSICAL)
def test_missing_numbers_before_the_first_are_left_out(name: str) -> None:
    y = wave(60)
    late = fitted(make(name, horizon=4), np.r_[np.full(5, np.nan), y]).predict()
    assert np.array_equal(late, fitted(make(name, horizon=4), y).predict())


def test_targets_are_fitted_each_on_its_own() -> None:
    both = np.stack([wave(60), 10 * wave(60, 1)], axis=1)
    together = ETSForecaster(3, season_length=6).fit(both).predict()
    for k in (0, 1):
        assert np.array_equal(together[:, k], ETSForecaster(3, season_length=6).fit(both[:, k]).predict())


def calm_and_explosive() -> Panel:
    """Return a calm series and one that doubles at every step, whose line leads far beyond all observed numbers."""
    return Panel.from_array([wave(40), 2.0 ** np.arange(40)], season_length=6)


def above_and_below_zero() -> Panel:
    return Panel.from_array([20 + wave(60), -wave(60), wave(60, 1) - 11], season_length=6)


def steep(horizon: int = 100) -> ETSForecaster:
    return ETSForecaster(horizon, error="add", trend="add", season=None, damped=False)


def positive(horizon: int = 12) -> ETSForecaster:
    return ETSForecaster(horizon, error="mul")


def test_an_absurd_forecast_is_replaced_by_the_seasonal_naive_one_to_the_bit_and_said_once() -> None:
    panel = calm_and_explosive()
    model = steep()
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        model.fit(panel)
        forecasts = model.forecast(Context.at_end(panel), 100)
    assert [warning.category for warning in heard] == [FitWarning]
    assert str(heard[0].message).startswith(
        "ets could not be fitted for 1 of 2 series ('1'): its forecast is the seasonal naive one; the first because "
        "its forecast goes 2.7"
    )
    assert len(model.failures_) == 1
    assert model.failures_[0].startswith("ets could not be fitted to 'y' of series '1': its forecast goes 2.7")
    assert model.failures_[0].endswith("the seasonal naive forecast is used instead")
    naive = SeasonalNaiveForecaster(100).fit(panel).forecast(Context.at_end(panel), 100)
    assert model.is_fallback(Context.at_end(panel)).ravel().tolist() == [False, True]
    assert np.array_equal(forecasts[1], naive[1])
    assert not np.array_equal(forecasts[0], naive[0])


def test_a_fit_that_is_not_possible_is_replaced_and_all_of_them_said_in_one_sentence() -> None:
    with pytest.warns(FitWarning) as heard:
        model = positive().fit(above_and_below_zero())
    assert [str(warning.message) for warning in heard] == [
        "ets could not be fitted for 2 of 3 series ('1', '2'): their forecasts are the seasonal naive ones; the first "
        "because its multiplicative components need numbers above zero"
    ]
    assert [sentence[: sentence.index(":")] for sentence in model.failures_] == [
        f"ets could not be fitted to 'y' of series '{i}'" for i in (1, 2)
    ]


def test_a_context_that_cannot_be_gone_on_from_is_marked_and_warned_of() -> None:
    panel = above_and_below_zero()
    model = positive().fit(panel.select([0]))
    with pytest.warns(FitWarning, match=r"ets could not forecast 2 of 3 series \('1', '2'\): their forecasts are"):
        forecasts = model.forecast(Context.at_end(panel), 12)
    naive = SeasonalNaiveForecaster(12).fit(panel).forecast(Context.at_end(panel), 12)
    assert model.is_fallback(Context.at_end(panel)).ravel().tolist() == [False, True, True]
    assert np.array_equal(forecasts[1:], naive[1:])
    assert model.failures_ == []


def test_rows_and_board_say_which_forecasts_are_stand_ins() -> None:
    with pytest.warns(FitWarning):
        board = leaderboard([positive(), "theta"], above_and_below_zero(), horizon=12, origins=2, step=1)
    rows = board.rows[board.rows["model"] == "ets"]
    assert rows.groupby("series", observed=True)["replaced"].all().tolist() == [False, True, True]
    assert not board.rows.loc[board.rows["model"] != "ets", "replaced"].any()
    assert board.notes == ("ets: 2 of 3 series are forecast by the seasonal naive instead: '1', '2'",)
    naive = board.rows[board.rows["model"] == "seasonal-naive"]["forecast"].to_numpy()
    there = rows["replaced"].to_numpy()
    assert np.array_equal(rows["forecast"].to_numpy()[there], naive[there])


@pytest.mark.parametrize("name", CLASSICAL)
def test_a_saved_model_goes_on_as_the_one_that_was_saved(name: str, tmp_path: Path) -> None:
    panel = Panel.from_array([wave(90), wave(70, 1), np.r_[1.0, 2.0]], season_length=6)
    model = make(name, horizon=4).fit(panel.until(np.array([60, 60, 2])))
    save(model, tmp_path / "model")
    again = load(tmp_path / "model")
    past = at(panel, (0, 60), (0, 80), (1, 70), (2, 2))
    assert np.array_equal(again.forecast(past, 6), model.forecast(past, 6))
    assert again.models_ == model.models_
    assert len(pickle.dumps(model.get_state())) < 3_000


@pytest.mark.process
@pytest.mark.parametrize("name", ["ets", "arima"])
def test_one_process_and_two_give_the_same_to_the_bit(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "WORTH_PROCESSES", 0)
    panel = Panel.from_array([wave(50, seed) for seed in range(19)], season_length=6)
    one, two = (make(name, horizon=4, n_jobs=jobs).fit(panel) for jobs in (1, 2))
    assert one.models_ == two.models_
    assert np.array_equal(one.predict(), two.predict())


@pytest.mark.parametrize("name", CLASSICAL)
def test_threads_may_forecast_at_once(name: str) -> None:
    panel = Panel.from_array([wave(60, seed) for seed in range(8)], season_length=6)
    model = make(name, horizon=4).fit(panel.select([0]))
    before, limits = pickle.dumps(model.get_state()), [pool["num_threads"] for pool in threadpool_info()]
    alone = [model.forecast(at(panel, (i, 60)), 4) for i in range(8)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda i: model.forecast(at(panel, (i, 60)), 4), range(8)))
    assert np.array_equal(alone, together)
    assert pickle.dumps(model.get_state()) == before
    assert [pool["num_threads"] for pool in threadpool_info()] == limits


@pytest.mark.process
def test_statsmodels_is_loaded_only_when_something_is_fitted() -> None:
    code = "import sys, tsforecast; tsforecast.ETSForecaster(); sys.exit('statsmodels' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_parameters_that_cannot_work_are_refused_all_at_once() -> None:
    with pytest.raises(ParameterError) as caught:
        ETSForecaster(error="add", trend="mul", season="ad", damped=2, n_jobs=0, parameters="new").fit(wave())
    assert caught.value.problems == (
        "parameters must be one of 'keep', 'refit': got 'new'",
        "n_jobs must be a whole number of processes, or -1 for one on each core, -2 for one less, ...: got 0",
        "season must be one of 'auto', 'add', 'mul': got 'ad'; did you mean 'add'?",
        "damped must be True, False or 'auto': got 2",
        "a multiplicative trend or season needs multiplicative errors: use error='mul' or 'auto'",
    )
    with pytest.raises(ParameterError, match=r"order must be 'auto' or three whole numbers >= 0, .* got \(1, 0\)"):
        ARIMAForecaster(order=(1, 0)).fit(wave())
    with pytest.raises(ParameterError, match="a damped trend needs a trend: use trend='add'"):
        HoltWintersForecaster(trend=None, damped=True).fit(wave())


@pytest.mark.parametrize(
    "model",
    [ETSForecaster(season="add"), ARIMAForecaster(seasonal_order=(0, 1, 1)), HoltWintersForecaster(seasonal="mul")],
)
def test_a_season_that_is_asked_for_needs_its_length(model: StatisticalForecaster) -> None:
    with pytest.raises(ParameterError, match="a model with a season needs its length: the data have none"):
        model.fit(Panel.from_array(wave(), season_length=1))
    assert np.ptp(model.set_params(season_length=6, horizon=6).fit(wave()).predict()) > 1


@pytest.mark.parametrize("batch", [1, 150])
def test_many_cutoffs_in_small_batches_give_the_same(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    panel = Panel.from_array(np.stack([wave(60), wave(60, 1)], axis=1), season_length=6)
    model, past = ThetaForecaster(4).fit(panel), at(panel, (0, 50), (0, 55), (0, 60))
    whole = model.forecast(past, 4)
    monkeypatch.setattr(base, "BATCH", batch)
    assert np.array_equal(model.forecast(past, 4), whole)


def test_differences_are_as_many_as_it_takes() -> None:
    assert arima.differences(noise(100)) == 0
    assert arima.differences(np.cumsum(noise(100))) == 1
    assert arima.differences(np.cumsum(np.cumsum(noise(100)))) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "dataset", "horizon", "published"),
    [
        ("theta", "m4-hourly", 48, 2.455),  # Mcompetitions/M4-methods
        ("ets", "m4-hourly", 48, 1.824),  # the same
        ("theta", "hospital", 12, 0.761),  # Monash archive
        ("ets", "hospital", 12, 0.765),  # the same
    ],
)
def test_published_errors_are_reached(
    name: str, dataset: str, horizon: int, published: float, data_folder: Path
) -> None:
    rows = backtest(make(name), load_dataset(dataset), horizon)
    table = ForecastResults.from_rows(rows.assign(model="model"), reference="model").table
    assert table["mase"].iloc[0] < 1.02 * published


def drifting_cycle(seed: int) -> np.ndarray:
    """A cycle of about eleven steps, as of sunspots."""
    random, steps = np.random.default_rng(seed), np.arange(202)
    phase = 2 * np.pi * steps / 11 + np.cumsum(random.normal(0, 0.08, 202))
    return np.asarray(60 + 40 * np.sin(phase) + random.normal(0, 3, 202))


def test_components_of_ets_that_lead_astray_two_seasons_ahead_give_way_to_others() -> None:
    past, truth = np.split(drifting_cycle(4), [180])
    every = ets.admissible("auto", "auto", "auto", "auto", 11)
    fits = [ets.choose(past, 11, every, ahead) for ahead in (0, 22)]
    assert fits[0].specification != fits[1].specification
    errors = [np.abs(ets.forecast(fit, past, 22, True) - truth).mean() for fit in fits]
    assert errors[1] < errors[0] / 5
    assert make("ets", horizon=22, season_length=11).fit(past).models_[0][0].specification == fits[1].specification
    short = past[:109]  # less than ten seasons
    assert make("ets", season_length=11).fit(short).models_[0][0] == ets.choose(short, 11, every)


def test_components_of_ets_are_those_of_aicc_where_others_are_not_clearly_better() -> None:
    steps = np.arange(240)
    past = 50 + 0.1 * steps + 5 * np.sin(steps * np.pi / 6) + np.random.default_rng(0).normal(size=240)
    every = ets.admissible("auto", "auto", "auto", "auto", 12)
    assert ets.choose(past, 12, every, ahead=24) == ets.choose(past, 12, every)
    one = [ets.Components("add", "add", "add", False)]  # the only one that was asked for
    astray = drifting_cycle(4)[:180]
    assert ets.choose(astray, 11, one, ahead=22) == ets.choose(astray, 11, one)


def test_errors_of_several_steps_are_those_of_forecasts_from_each_cutoff() -> None:
    y, model = drifting_cycle(0), ets.Components("add", "add", "add", True)
    fitted = ets.choose(y, 11, [model])
    cutoffs = np.unique(np.linspace(len(y) // 3, len(y) - 11, ets.CUTOFFS).astype(int))
    slow = [np.abs(ets.forecast(fitted, y[:at], 22, True)[: len(y) - at] - y[at : at + 22]).mean() for at in cutoffs]
    found = ets.Engine(y, 11, model).error_of(np.array(fitted.parameters), 22)
    assert found == pytest.approx(np.mean(slow), rel=1e-12)


def test_a_search_that_meets_the_edge_of_what_is_stationary_goes_on() -> None:
    panel = load_dataset("elnino-monthly")
    model = ARIMAForecaster(horizon=12).fit(panel.until(panel.lengths - 66))  # found there: a singular matrix
    assert model.failures_ == []
