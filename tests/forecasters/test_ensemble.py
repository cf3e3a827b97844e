"""An ensemble says the mean, the median or a weighted mean of its members, and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone

from tests.helpers.forecasters import small, wave
from tsforecast.catalog.synthetic import random_walk
from tsforecast.data.context import Context
from tsforecast.data.panel import Panel
from tsforecast.errors import DataError, ParameterError
from tsforecast.estimators.persistence import load, save
from tsforecast.evaluation.backtest import backtest
from tsforecast.forecasters.meta.ensemble import EnsembleForecaster, _simplex_least_squares
from tsforecast.forecasters.naive import DriftForecaster, MeanForecaster, NaiveForecaster, SeasonalNaiveForecaster

THREE = (NaiveForecaster(), DriftForecaster(), MeanForecaster())


@pytest.mark.parametrize(("combine", "by"), [("mean", np.mean), ("median", np.median)])
def test_members_are_combined(combine: str, by: object, ragged: Panel) -> None:
    model = EnsembleForecaster(THREE, horizon=4, combine=combine).fit(ragged)
    each = [clone(member).set_params(horizon=4).fit(ragged).predict() for member in THREE]
    for got, parts in zip(model.predict(), zip(*each, strict=True), strict=True):
        assert np.allclose(got, by(parts, axis=0))


def test_one_forecaster_is_fitted_with_several_seeds() -> None:
    model = EnsembleForecaster(small("gru"), horizon=3, seeds=3, random_state=5).fit(wave())
    assert [member.random_state for member in model.members_] == [5, 6, 7]
    each = [small("gru").set_params(random_state=seed).fit(wave()).predict() for seed in (5, 6, 7)]
    assert not np.array_equal(each[0], each[1])
    assert np.allclose(model.predict(), np.mean(each, axis=0))


def test_weights_find_the_member_that_is_right_without_seeing_what_comes_later() -> None:
    season = np.tile([1.0, 5.0, 2.0, 9.0, 4.0, 3.0], 30)
    panel = Panel.from_array(season, season_length=6)
    members = (NaiveForecaster(), SeasonalNaiveForecaster(), MeanForecaster())
    model = EnsembleForecaster(members, horizon=6, weights="validation").fit(panel)
    assert model.weights_ == pytest.approx([0, 1, 0], abs=1e-6)
    assert np.allclose(model.predict(), season[:6])
    equal = EnsembleForecaster(members, horizon=6).fit(panel)
    assert equal.weights_ == pytest.approx([1 / 3] * 3)


class Remembers(NaiveForecaster):
    """Says what came next wherever that was fitted, and the last value elsewhere."""

    def forecast(self, past: Context, horizon: int) -> np.ndarray:
        forecasts = super().forecast(past, horizon)
        known = getattr(self, "known_", np.zeros(0))
        for i, cutoff in enumerate(past.lengths):
            after = known[cutoff : cutoff + horizon]
            forecasts[i, : len(after), 0] = after
        return forecasts

    def _fit(self, panel: Panel) -> None:
        self.known_ = panel.series(0)[:, 0]


def test_weights_are_learned_on_rows_that_no_member_was_fitted_on() -> None:
    walk = random_walk(200).past
    model = EnsembleForecaster([Remembers(), MeanForecaster()], horizon=5, weights="validation").fit(walk)
    twin = EnsembleForecaster([NaiveForecaster(), MeanForecaster()], horizon=5, weights="validation").fit(walk)
    assert model.weights_ == pytest.approx(twin.weights_)
    assert 0 < twin.weights_[1] < 0.5  # one that knew the rows would get all


def test_weights_are_those_of_a_slow_search() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=200)
    each = truth[:, None] + rng.normal(size=(200, 3)) * [0.5, 1.0, 3.0]
    grid = [(a, b, 1 - a - b) for a in np.arange(0, 1.005, 0.01) for b in np.arange(0, 1.005 - a, 0.01)]
    best = min(grid, key=lambda weights: ((each @ weights - truth) ** 2).sum())
    assert _simplex_least_squares(each, truth) == pytest.approx(best, abs=0.011)


def test_weights_do_not_look_beyond_the_data_that_are_fitted() -> None:
    data = wave(120)
    rows = [
        backtest(EnsembleForecaster(THREE, weights="validation"), np.r_[data[:110], tail], horizon=10)
        for tail in (data[110:], np.full(10, 1e4))
    ]
    assert np.array_equal(rows[0]["forecast"], rows[1]["forecast"])


def test_an_ensemble_is_cloned_saved_and_loaded(tmp_path: Path, ragged: Panel) -> None:
    for model in (
        EnsembleForecaster([small("gru"), NaiveForecaster()], horizon=3, weights="validation"),
        EnsembleForecaster(small("conv1d"), horizon=3, seeds=2),
    ):
        fitted = clone(model).fit(ragged)
        save(fitted, tmp_path / "model")
        for got, expected in zip(load(tmp_path / "model").predict(), fitted.predict(), strict=True):
            assert np.array_equal(got, expected)


def test_the_settings_of_a_single_forecaster_are_reached_through_the_ensemble() -> None:
    model = EnsembleForecaster(small("gru")).set_params(forecasters__units=7)
    assert model.forecasters.units == 7


def test_all_wrong_settings_are_reported_at_once() -> None:
    with pytest.raises(ParameterError) as caught:
        EnsembleForecaster([3], seeds=0, combine="median", weights="validation", validation=0).fit(wave())
    assert len(caught.value.problems) == 4
    assert "weights belong to a mean: use combine='mean', or weights=None" in caught.value.problems
    assert "forecasters must be a forecaster or a list of them: got [3]" in caught.value.problems
    with pytest.raises(ParameterError, match="forecasters must be a forecaster or a list of them: got <class"):
        EnsembleForecaster(NaiveForecaster).fit(wave())
    with pytest.raises(DataError, match="validation must hold a whole horizon"):
        EnsembleForecaster(THREE, horizon=9, weights="validation", validation=3).fit(wave())


@pytest.mark.parametrize("combine", ["mean", "median"])
def test_the_distribution_is_the_mixture_of_those_of_the_members(combine: str, ragged: Panel) -> None:
    members = [NaiveForecaster(), DriftForecaster(), SeasonalNaiveForecaster()]
    model = EnsembleForecaster(members, horizon=4, combine=combine).fit(ragged)
    past = Context.at_end(ragged)
    found = model.distribution(past, 4)
    parts = [member.set_params(horizon=4).fit(ragged).distribution(past, 4) for member in members]
    y = model.forecast(past, 4)
    for each in (y, y + 1, y - 3):
        assert found.cdf(each) == pytest.approx(np.mean([part.cdf(each) for part in parts], axis=0), abs=0.012)


def test_the_weights_of_an_ensemble_weigh_its_mixture() -> None:
    model = EnsembleForecaster([DriftForecaster(), MeanForecaster()], horizon=5)
    model.fit(np.arange(60.0) + np.random.default_rng(0).normal(size=60))
    model.weights_, past = [0.8, 0.2], Context.at_end(model.panel_)
    each = [member.distribution(past, 5).mean() for member in model.members_]
    expected = 0.8 * each[0] + 0.2 * each[1]
    assert model.distribution(past, 5).mean() == pytest.approx(expected, rel=0.01)
