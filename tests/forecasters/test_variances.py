"""Distributions of classical models: the variances of statsmodels, simulated paths, gaps and fallbacks."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from statsmodels.tsa.exponential_smoothing.ets import ETSModel
from statsmodels.tsa.statespace.sarimax import SARIMAX

from tsforecast.catalog.synthetic import ar1, noisy_season, random_walk
from tsforecast.data.context import Context
from tsforecast.data.panel import Panel
from tsforecast.distributions.base import Distribution
from tsforecast.errors import FitWarning
from tsforecast.estimators.registry import CLASSICAL, make
from tsforecast.forecasters.naive import SeasonalNaiveForecaster
from tsforecast.forecasters.statistical import theta
from tsforecast.forecasters.statistical.arima import Orders, _for_state_space
from tsforecast.forecasters.statistical.base import FALLBACK, StatisticalForecaster
from tsforecast.forecasters.statistical.ets import Components
from tsforecast.forecasters.statistical.fit import FittedModel
from tsforecast.forecasters.statistical.models import ARIMAForecaster, ETSForecaster, ThetaForecaster

HORIZON = 24
NOISE = np.random.default_rng(0).normal(size=144)
SEASON = np.resize(5 * np.sin(np.arange(12) * np.pi / 6), 144)
SERIES = {
    "walk": 100 + random_walk(144).past,
    "autoregression": 100 + ar1(144).past,
    "noise": 20 + NOISE,
    "trend and season": 50 + 0.5 * np.arange(144) + SEASON + NOISE,
    "growing season": (50 + 0.5 * np.arange(144)) * (1 + SEASON / 20) * np.exp(0.03 * NOISE),
}
FEW = ("walk", "growing season")  # in every run
each_series = pytest.mark.parametrize(
    "series", [pytest.param(name, marks=[] if name in FEW else [pytest.mark.thorough]) for name in SERIES]
)


def of(model: StatisticalForecaster, y: np.ndarray, season: int = 12) -> Distribution:
    model.set_params(horizon=HORIZON).fit(Panel.from_array(y, season_length=season, nan_policy="mask"))
    return model.distribution(Context.at_end(model.panel_), HORIZON)


def deviations(found: Distribution, share: float = 0.8) -> np.ndarray:
    low, high = found.quantiles([(1 - share) / 2, (1 + share) / 2])[0, :, 0].T
    return (high - low) / 2 / norm.ppf((1 + share) / 2)


def of_state_space(y: np.ndarray, fitted: FittedModel, lost: int) -> np.ndarray:
    """Deviations by the state space of statsmodels, with the variance for so many parameters as were estimated."""
    orders, x = Orders.of(fitted.specification), np.array(fitted.parameters)
    model = SARIMAX(
        y,
        order=(orders.p, orders.d, orders.q),
        seasonal_order=(orders.P, orders.D, orders.Q, 12 if orders.P + orders.D + orders.Q else 0),
        trend="c" if orders.mean else None,
        concentrate_scale=True,
    )
    count = np.isfinite(y).sum() - lost
    found = model.smooth(_for_state_space(x, orders)).get_forecast(HORIZON).se_mean
    return np.asarray(found) * np.sqrt(count / (count - len(x)))


@pytest.mark.sample(3)
@each_series
@pytest.mark.parametrize(
    ("order", "seasonal"),
    [((1, 1, 1), (0, 1, 1)), ((2, 0, 1), (0, 0, 0)), ((0, 1, 1), (0, 0, 0)), ((1, 0, 0), (1, 0, 0))],
)
def test_arima_has_the_variances_of_its_state_space(
    series: str, order: tuple[int, int, int], seasonal: tuple[int, int, int]
) -> None:
    model = ARIMAForecaster(order=order, seasonal_order=seasonal)
    found, fitted = deviations(of(model, SERIES[series])), model.models_[0][0]
    assert fitted is not None
    assert found == pytest.approx(of_state_space(SERIES[series], fitted, order[1] + 12 * seasonal[1]), rel=2e-3)


def test_arima_has_the_variances_of_its_state_space_where_there_are_gaps() -> None:
    y = ar1(144).past
    y[[20, 21, 22, 60, 142]] = np.nan
    model = ARIMAForecaster(order=(1, 0, 1), seasonal_order=(0, 0, 0))
    found, fitted = deviations(of(model, y)), model.models_[0][0]
    assert fitted is not None
    assert found == pytest.approx(of_state_space(y, fitted, 0), rel=1e-6)


def of_smoothing(y: np.ndarray, fitted: FittedModel) -> tuple[object, float]:
    """The model of statsmodels with the same parameters, and the factor of its deviation to ours."""
    parts = Components(*(fitted.specification[name] for name in ("error", "trend", "season", "damped")))
    alpha, beta, gamma, phi, level, slope, *season = fitted.parameters
    given = [alpha, *[beta * alpha] * bool(parts.trend), *[gamma * (1 - alpha)] * bool(parts.season)]
    given += [*[phi] * parts.damped, level, *[slope] * bool(parts.trend), *(season if parts.season else [])]
    model = ETSModel(
        pd.Series(y),
        error=parts.error,
        trend=parts.trend,
        seasonal=parts.season,
        damped_trend=parts.damped,
        seasonal_periods=12 if parts.season else None,
    )
    estimated = 2 + 2 * bool(parts.trend) + parts.damped + (12 if parts.season else 0)  # the variance is not one
    return model.smooth(np.array(given)), float(np.sqrt(len(y) / (len(y) - estimated)))


@each_series
@pytest.mark.parametrize(
    ("trend", "season", "damped"),
    [(None, None, False), ("add", None, False), ("add", None, True), (None, "add", False), ("add", "add", True)],
)
def test_additive_smoothing_has_the_variances_of_the_closed_form(
    series: str, trend: str | None, season: str | None, damped: bool
) -> None:
    y = SERIES[series] - SERIES[series].mean()  # of both signs: quantiles end at zero where no number is negative
    model = ETSForecaster(error="add", trend=trend, season=season, damped=damped)
    found, fitted = deviations(of(model, y)), model.models_[0][0]
    assert fitted is not None
    twin, factor = of_smoothing(y, fitted)
    variances = twin.get_prediction(len(y), len(y) + HORIZON - 1).forecast_variance
    assert found == pytest.approx(factor * np.sqrt(variances), rel=2e-3)


@pytest.mark.long
@pytest.mark.sample(3)
@each_series
@pytest.mark.parametrize(
    ("trend", "season", "damped"),
    [(None, None, False), ("add", "mul", False), ("add", "add", True), ("mul", "mul", False)],
)
def test_multiplicative_smoothing_has_the_spread_of_simulated_paths(
    series: str, trend: str | None, season: str | None, damped: bool
) -> None:
    y = SERIES[series]
    model = ETSForecaster(error="mul", trend=trend, season=season, damped=damped)
    found, fitted = of(model, y), model.models_[0][0]
    assert fitted is not None
    twin, factor = of_smoothing(y, fitted)
    paths = np.asarray(twin.simulate(HORIZON, anchor="end", repetitions=10_000, rng=np.random.default_rng(1)))
    low, high = factor * np.quantile(paths, [0.1, 0.9], axis=1)
    assert deviations(found) == pytest.approx((high - low) / 2 / norm.ppf(0.9), rel=0.07)
    assert (found.quantiles([0.005, 0.5])[0, :, 0] > 0).all()
    again = of(ETSForecaster(error="mul", trend=trend, season=season, damped=damped), y)
    assert (again.grid().values == found.grid().values).all()


def test_theta_has_the_variance_of_simple_smoothing_with_a_drift() -> None:
    y = SERIES["walk"]
    model = ThetaForecaster()
    found, fitted = deviations(of(model, y, season=1)), model.models_[0][0]
    assert fitted is not None
    ahead = [theta.forecast(fitted, y[:seen], 1, True)[0] for seen in range(1, len(y))]
    variance = ((y[1:] - ahead) ** 2).sum() / (len(y) - 1 - 2)
    alpha = fitted.parameters[0]
    assert found == pytest.approx(np.sqrt(variance * (1 + np.arange(HORIZON) * alpha**2)), rel=2e-3)


def test_a_season_stretches_the_variance_of_theta() -> None:
    model = ThetaForecaster()
    found, fitted = deviations(of(model, SERIES["growing season"])), model.models_[0][0]
    assert fitted is not None
    assert fitted.specification["season"] == "mul"
    assert found[:12] / found[0] == pytest.approx(
        np.array(fitted.parameters[2:]) / fitted.parameters[2] * np.sqrt(1 + np.arange(12) * fitted.parameters[0] ** 2),
        rel=2e-3,
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", CLASSICAL)
def test_intervals_of_classical_models_hold_as_many_outcomes_as_asked(name: str) -> None:
    held = []
    for seed in range(40):
        y = noisy_season(144, horizon=6, season=6, noise=0.3, seed=seed)
        ends = make(name, horizon=6, season_length=6).fit(y.past).predict(interval=[0.8, 0.95])
        held.append([np.mean((ends[:, at] <= y.future) & (y.future <= ends[:, at + 1])) for at in (1, 3)])
    assert np.mean(held, axis=0) == pytest.approx([0.8, 0.95], abs=0.05)


def test_units_of_huge_numbers_scale_the_distribution() -> None:
    found, huge = (of(ETSForecaster(error="add"), scale * SERIES["noise"]) for scale in (1.0, 2.0**120))
    assert huge.quantiles([0.1, 0.9]) / 2.0**120 == pytest.approx(found.quantiles([0.1, 0.9]))


def test_a_fallback_has_the_distribution_of_the_seasonal_naive() -> None:
    panel = Panel.from_array([SERIES["noise"], SERIES["trend and season"], np.full(144, 7.0)], season_length=12)
    model = ETSForecaster(horizon=HORIZON).fit(panel)
    model.models_[1][0] = FittedModel(dict(FALLBACK), [])
    past = Context.at_end(panel)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        found = model.distribution(past, HORIZON).grid().values
    naive = SeasonalNaiveForecaster(HORIZON).fit(panel).distribution(past, HORIZON).grid().values
    assert found[1] == pytest.approx(naive[1])
    assert (found[2] == 7.0).all()
    assert deviations(model.distribution(past, HORIZON)) == pytest.approx(
        deviations(of(ETSForecaster(), SERIES["noise"])), rel=1e-6
    )
