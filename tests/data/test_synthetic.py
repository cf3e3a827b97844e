"""Synthetic series have the best forecast and the expected error that they state, and no forecaster beats them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tsforecast.catalog.synthetic import KnownSeries, ar1, intermittent, noisy_season, random_walk
from tsforecast.forecasters.naive import MeanForecaster, NaiveForecaster, SeasonalNaiveForecaster
from tsforecast.forecasters.statistical.models import ARIMAForecaster

DRAW: list[Callable[..., KnownSeries]] = [noisy_season, random_walk, ar1, intermittent]
SAMPLE = 2000


def errors(draws: list[KnownSeries], forecasts: list[np.ndarray]) -> np.ndarray:
    """Return the mean absolute error of forecasts at each step, (H,)."""
    return np.mean([np.abs(one.future - said) for one, said in zip(draws, forecasts, strict=True)], axis=0)


@pytest.mark.sample(2)
@pytest.mark.parametrize("draw", DRAW)
def test_the_best_forecast_has_the_expected_error(draw: Callable[..., KnownSeries]) -> None:
    draws = [draw(40, horizon=5, seed=seed) for seed in range(SAMPLE)]
    found = errors(draws, [one.best for one in draws])
    spread = np.std([np.abs(one.future - one.best) for one in draws]) / draws[0].error.mean()
    assert np.abs(found / draws[0].error - 1).max() < 4 * spread / np.sqrt(SAMPLE)  # four standard errors


@pytest.mark.parametrize("draw", DRAW)
def test_the_same_seed_draws_the_same_past_whatever_the_horizon(draw: Callable[..., KnownSeries]) -> None:
    assert np.array_equal(draw(40, horizon=1, seed=7).past, draw(40, horizon=9, seed=7).past)


def test_the_naive_forecast_is_the_best_one_of_a_random_walk() -> None:
    walk = random_walk(60, horizon=4)
    assert np.array_equal(NaiveForecaster(horizon=4).fit(walk.past).predict(), walk.best)


@pytest.mark.long
def test_a_naive_forecast_of_a_noisy_season_carries_the_noise_twice() -> None:
    draws = [noisy_season(36, horizon=3, season=12, seed=seed) for seed in range(200)]
    model = SeasonalNaiveForecaster(horizon=3, season_length=12)
    found = errors(draws, [model.fit(one.past).predict() for one in draws])
    assert np.abs(found / (np.sqrt(2) * draws[0].error) - 1).max() < 0.25


@pytest.mark.long
def test_arima_comes_closer_to_the_best_forecast_of_an_autoregression_than_naive_ones() -> None:
    draws = [ar1(200, horizon=3, seed=seed) for seed in range(8)]
    distance = {
        type(model).__name__: np.mean([np.abs(model.fit(one.past).predict() - one.best).mean() for one in draws])
        for model in (ARIMAForecaster(horizon=3), NaiveForecaster(horizon=3), MeanForecaster(horizon=3))
    }
    assert distance["ARIMAForecaster"] < 0.6 * min(distance["NaiveForecaster"], distance["MeanForecaster"])


def test_intermittent_demand_has_the_share_and_the_size_that_were_asked_for() -> None:
    y = intermittent(20_000, horizon=2, share=0.2, size=3.0, ends=10_000)
    first, second = y.past[:10_000], y.past[10_000:]
    assert [(half > 0).mean() for half in (first, second)] == pytest.approx([0.2, 0.02], rel=0.15)
    assert first[first > 0].mean() == pytest.approx(3.0, rel=0.05)
    assert (y.past == y.past.round()).all()
    assert y.best == pytest.approx([0.06, 0.06])
