"""The naive family gives the forecasts that can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsforecast.data.context import Context
from tsforecast.data.panel import Panel
from tsforecast.errors import DataWarning, ParameterError
from tsforecast.estimators.registry import NAIVE_FAMILY, make
from tsforecast.forecasters.naive import (
    DriftForecaster,
    MeanForecaster,
    NaiveForecaster,
    SeasonalNaiveForecaster,
    WindowAverageForecaster,
)

SERIES = np.array([2.0, 4.0, 9.0, 3.0, 5.0, 7.0])


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (NaiveForecaster(), [7, 7, 7, 7]),
        (SeasonalNaiveForecaster(season_length=3), [3, 5, 7, 3]),
        (SeasonalNaiveForecaster(season_length=99), [7, 7, 7, 7]),
        (DriftForecaster(), [8, 9, 10, 11]),
        (MeanForecaster(), [5, 5, 5, 5]),
        (WindowAverageForecaster(window=3), [5, 5, 5, 5]),
        (WindowAverageForecaster(window=2), [6, 6, 6, 6]),
        (WindowAverageForecaster(window=99), [5, 5, 5, 5]),
    ],
)
def test_a_forecast_is_what_the_definition_says(model: object, expected: list[float]) -> None:
    assert model.fit(SERIES).predict(horizon=4).tolist() == expected


@given(season=st.integers(1, 8), steps=st.integers(1, 40), horizon=st.integers(1, 20))
def test_the_seasonal_naive_equals_its_slow_twin(season: int, steps: int, horizon: int) -> None:
    values = np.arange(float(steps))
    grown = list(values)
    for _ in range(horizon):
        grown.append(grown[-season] if steps >= season else grown[-1])
    forecast = SeasonalNaiveForecaster(horizon, season).fit(values).predict()
    assert forecast.tolist() == grown[steps:]


@pytest.mark.parametrize("name", NAIVE_FAMILY)
def test_many_cutoffs_at_once_equal_one_fit_for_each(name: str, ragged: Panel) -> None:
    model = make(name, horizon=7).fit(ragged)
    series, seen = np.array([0, 0, 1, 2]), np.array([40, 90, 31, 60])
    together = model.forecast(Context(ragged, series, seen), 7)
    for row, i, n in zip(together, series, seen, strict=True):
        alone = make(name, horizon=7).fit(Panel.from_array(ragged.series(i)[:n].copy(), season_length=6)).predict()
        assert np.array_equal(row, alone)


@pytest.mark.parametrize("name", NAIVE_FAMILY)
def test_channels_are_forecast_each_on_its_own(name: str) -> None:
    both = np.stack([SERIES, SERIES[::-1] * 10], axis=1)
    together = make(name, horizon=3).fit(both).predict()
    for channel in (0, 1):
        assert np.array_equal(together[:, channel], make(name, horizon=3).fit(both[:, channel]).predict())


@pytest.mark.parametrize("name", NAIVE_FAMILY)
def test_a_series_of_one_step_can_be_forecast(name: str) -> None:
    assert make(name, horizon=2).fit(np.array([4.0])).predict().tolist() == [4.0, 4.0]


def test_wrong_parameters_are_refused_when_fitting() -> None:
    with pytest.raises(ParameterError, match=r"2 problems:\n  - horizon .* got 0\n  - season_length .* got -1"):
        SeasonalNaiveForecaster(horizon=0, season_length=-1).fit(SERIES)


def test_a_horizon_far_beyond_the_history_is_forecast_with_a_warning() -> None:
    model = NaiveForecaster(horizon=2).fit(np.arange(30.0))
    assert len(model.predict(horizon=30)) == 30
    sentence = "a forecast of 31 steps lies far beyond the fitted horizon of 2, after at most 30 steps: do not rely on"
    with pytest.warns(DataWarning, match=sentence) as caught:
        assert len(model.predict(horizon=31)) == 31
    assert len(caught) == 1


def test_a_target_with_less_than_a_season_of_numbers_repeats_the_last_as_a_series_of_its_own_does() -> None:
    days = pd.date_range("2023-01-01", periods=200, freq="D")
    long, short = days.day_of_week * 1.0, np.where(np.arange(200) < 195, np.nan, 7.0 + days.day_of_week)
    ended = np.where(np.arange(200) < 120, 50.0, np.nan)
    wide = pd.DataFrame({"day": days, "long": long, "short": short, "ended": ended})
    panel = Panel.from_frame(wide, target=["long", "short", "ended"], nan_policy="mask")
    with pytest.warns(DataWarning) as caught:
        found = SeasonalNaiveForecaster(horizon=8).fit(panel).predict()
    assert found.long.tolist() == [3.0, 4.0, 5.0, 6.0, 0.0, 1.0, 2.0, 3.0]
    assert found.short.tolist() == [9.0] * 8
    assert [str(each.message) for each in caught] == [
        "1 of 3 targets has no number in more than 8 last rows and is forecast from its own last one: 'ended' "
        "(2023-04-30)",
        "1 of 3 targets repeats its last value, as less than a season of 7 steps is known: 'short'",
    ]
    alone = Panel.from_frame(wide[["day", "short"]], target="short", nan_policy="mask")
    assert SeasonalNaiveForecaster(horizon=8).fit(alone).predict().short.tolist() == [9.0] * 8
    twice = Panel.from_frame(
        pd.concat([wide.assign(shop=name) for name in "ab"]),
        id="shop",
        target=["long", "ended"],
        nan_policy="mask",
    )
    with pytest.warns(DataWarning, match=r"^2 of 4 targets have no number .* 'ended' of 'a' \(.*\), 'ended' of 'b' \("):
        SeasonalNaiveForecaster(horizon=8).fit(twice).predict()
    begun = SeasonalNaiveForecaster(horizon=8).fit(twice)
    begun.predict(ended="forecast")
