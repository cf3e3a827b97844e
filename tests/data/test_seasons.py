"""Seasons that are found in the numbers: right where there is one, none where there is none, from the past alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from tsforecast import GRUForecaster, Panel, RaySearch, SeasonalNaiveForecaster, audit, leaderboard, load
from tsforecast.data.protocol import Protocol
from tsforecast.data.seasons import find, resolved
from tsforecast.forecasters.auto import _anchors
from tsforecast.forecasters.meta.conformal import ConformalForecaster
from tsforecast.forecasters.meta.ensemble import EnsembleForecaster
from tsforecast.forecasters.reduction import ReductionForecaster

Floats = NDArray[np.float64]


def seasonal(period: int, steps: int, seed: int, noise: float = 0.5) -> Floats:
    """Return a drawn season of a standard deviation of one, with noise and a slow trend."""
    random = np.random.default_rng([period, steps, seed])
    cycle = random.standard_normal(period)
    cycle = (cycle - cycle.mean()) / cycle.std()
    return (
        np.tile(cycle, steps // period + 1)[:steps] + noise * random.standard_normal(steps) + 0.003 * np.arange(steps)
    )


@pytest.mark.long
@pytest.mark.parametrize(
    ("period", "steps"), [(4, 200), (7, 150), (12, 144), (12, 600), (20, 300), (24, 1000), (48, 700), (96, 1500)]
)
def test_a_season_is_found_by_its_length(period: int, steps: int) -> None:
    found = [find([seasonal(period, steps, seed)]).lengths[:1] for seed in range(6)]
    assert found.count((period,)) >= 5


def test_a_day_in_a_week_is_found_as_two_seasons() -> None:
    random = np.random.default_rng(1)
    for _ in range(3):
        days, hours = np.repeat(random.standard_normal(7), 24), np.tile(random.standard_normal(24), 7)
        assert find([np.tile(days + hours, 9) + 0.4 * random.standard_normal(9 * 168)]).lengths == (24, 168)


@pytest.mark.sample(5)
@pytest.mark.parametrize("steps", [60, 200, 1000, 5000])
@pytest.mark.parametrize("kind", ["walk", "white", "red", "red of order two", "trend", "counts"])
def test_no_season_is_found_where_there_is_none(kind: str, steps: int) -> None:
    count = 0
    for seed in range(5):
        random = np.random.default_rng([steps, seed])
        noise = random.standard_normal(steps)
        y = {"walk": noise.cumsum(), "white": noise, "trend": 0.05 * np.arange(steps) + noise}.get(kind)
        if kind == "counts":
            y = random.poisson(0.3, steps).astype(float)
        if y is None:
            y = noise.copy()
            first, second = (0.9, 0.0) if kind == "red" else (1.3, -0.4)
            for t in range(2, steps):
                y[t] += first * y[t - 1] + second * y[t - 2]
        count += bool(find([y]).lengths)
    assert count <= 1


def test_numbers_of_any_size_are_searched_and_few_have_no_season() -> None:
    wave = np.tile([1.0, 5.0, 2.0, 0.0, 3.0], 40)
    for size in (1e-200, 1.0, 1e300):
        assert find([size * wave]).lengths == (5,)
    gaps = np.where(np.random.default_rng(0).random(200) < 0.1, np.nan, wave)
    assert find([np.r_[np.full(7, np.nan), gaps]]).lengths == (5,)
    for none in (np.zeros(50), np.full(50, np.nan), np.arange(50.0), np.r_[np.zeros(49), 1.0], wave[:12]):
        assert find([none]).lengths == ()
    assert find([]).lengths == ()


def test_a_season_without_noise_has_no_other_in_what_rounding_leaves() -> None:
    spike = np.r_[1.0, np.zeros(4)]
    for cycle, steps in ((np.arange(7.0), 85), (np.arange(7.0), 88), (spike, 100), (np.arange(24.0) / 24, 400)):
        assert find([np.resize(cycle, steps)]).lengths == (len(cycle),)


def test_series_vote_and_one_seasonal_series_does_not_decide_for_all() -> None:
    noise = np.random.default_rng(0).standard_normal((9, 300))
    waves = np.stack([seasonal(12, 300, seed, noise=1.5) for seed in range(9)])
    assert find(waves).lengths == (12,)
    assert find([*noise, waves[0]]).lengths == ()
    assert find([wave[: 60 + 30 * i] for i, wave in enumerate(waves)]).lengths == (12,)  # of different lengths


def test_a_model_learns_the_season_from_the_rows_that_train() -> None:
    """Rows that validate, and later ones, may hold another season: nothing moves."""
    y = seasonal(12, 300, 1)
    later = np.r_[y[:200], seasonal(7, 100, 2)]
    panels = [Panel.from_array(each) for each in (y, later)]
    assert str(panels[0]).endswith("season auto")
    settings = {"horizon": 3, "max_epochs": 1, "units": 2, "random_state": 0}
    fits = [GRUForecaster(**settings, validation=100).fit(panel) for panel in panels]
    for fit in fits:
        assert fit.resolved_["season_length"] == fit.panel_.season_length == 12
        assert fit.resolved_["season"].startswith("season of 12 steps found: numbers 12 steps apart have")
    assert fits[0].resolved_["season"] == fits[1].resolved_["season"]
    learning = [
        ReductionForecaster(horizon=3),
        ConformalForecaster(SeasonalNaiveForecaster(), horizon=3, calibration=100),
        EnsembleForecaster([SeasonalNaiveForecaster()], weights="validation", validation=100, horizon=3),
        RaySearch(GRUForecaster(**settings), {"units": [2]}, validation=100),
    ]
    for model in learning:
        model.horizon_ = 3
        parts = [model._training_part(panel) for panel in panels]
        if isinstance(model, ReductionForecaster):  # all rows train
            assert len(parts[0].values) == 300
        else:
            assert len(parts[0].values) == 200
            assert np.array_equal(parts[0].values, parts[1].values)


@pytest.mark.thorough
def test_an_audit_sees_the_season_of_each_training_part() -> None:
    y = seasonal(12, 300, 3)
    for model in (SeasonalNaiveForecaster(), ReductionForecaster(horizon=3)):
        assert audit(model, y, horizon=3).passed


def test_a_comparison_has_one_season_of_the_oldest_training_part() -> None:
    y, options = seasonal(12, 400, 4), {"horizon": 6, "origins": 10, "audit": None}
    results = leaderboard(["mean"], y, **options)
    assert results.record.season_length == 12
    assert any(note.startswith("season of 12 steps found") for note in results.notes)
    given = leaderboard(["mean"], Panel.from_array(y, season_length=12), **options)
    pd.testing.assert_frame_equal(
        results.rows.drop(columns=["fit_seconds", "predict_seconds"]),
        given.rows.drop(columns=["fit_seconds", "predict_seconds"]),
    )
    later = np.r_[y[:340], seasonal(7, 60, 5)]  # all after the oldest cutoff
    prepared = [Protocol(6, 10).prepared(Panel.of(each)) for each in (y, later)]
    assert prepared[0].seasons == prepared[1].seasons == (12,)
    assert prepared[0].season_notes == prepared[1].season_notes


def test_a_kept_comparison_without_a_season_is_none_with_one(tmp_path: Path) -> None:
    y = seasonal(12, 150, 0)
    options = {"horizon": 4, "origins": 3, "audit": None}
    kept = leaderboard(["seasonal-naive"], Panel.from_array(y, season_length=1), checkpoint=tmp_path, **options)
    found = leaderboard(["seasonal-naive"], y, checkpoint=tmp_path, **options)
    alone = leaderboard(["seasonal-naive"], y, **options)
    assert found.table["mase"].tolist() == alone.table["mase"].tolist() != kept.table["mase"].tolist()


def test_a_season_that_is_given_is_not_searched() -> None:
    panel = Panel.from_array(seasonal(12, 300, 6), season_length=1)
    assert resolved(panel, panel) is panel
    assert SeasonalNaiveForecaster().fit(panel).season_length_ == 1
    assert SeasonalNaiveForecaster().fit(panel.values[:, 0]).season_length_ == 12
    assert SeasonalNaiveForecaster(season_length=5).fit(panel.values[:, 0]).season_length_ == 5


def test_no_season_is_sought_for_groups_that_are_left_out() -> None:
    frame = pd.concat(
        pd.DataFrame({"id": name, "user": name[0], "step": np.arange(80), "y": seasonal(8, 80, 7)})
        for name in ("a1", "a2", "b1", "b2")
    )
    panel = Panel.from_frame(frame, id="id", time="step", target="y", group="user")
    assert resolved(panel, panel).season_length == 8
    prepared = Protocol(4).prepared(panel)
    assert (prepared.season_length, prepared.season_source) == (1, "found")


def test_a_calendar_keeps_its_season_and_learns_of_others() -> None:
    minutes = pd.date_range("2024-01-01", periods=2000, freq="5min")
    panel = Panel.of(pd.Series(seasonal(12, 2000, 8), index=minutes))
    found = resolved(panel, panel)
    assert found.seasons == (288, 12)
    assert found.season_notes[0].startswith(
        "the numbers do not have the season of 288 steps that is customary for 5min, but a season of 12 steps found: "
    )
    assert found.season_notes[0].endswith("; pass season_length=12 to use it")
    daily = Panel.of(pd.Series(seasonal(7, 300, 9), index=pd.date_range("2024-01-01", periods=300)))
    assert (resolved(daily, daily).seasons, resolved(daily, daily).season_notes) == ((7,), ())


def test_further_seasons_are_offered_to_the_anchor_and_saved(tmp_path: Path) -> None:
    assert _anchors((10, 70))[-3:] == [[70], [10, 70], [70, 140]]
    assert _anchors((24,)) == _anchors((24, 168))
    random = np.random.default_rng(2)
    cycle = np.repeat(random.standard_normal(7), 10) + 2 * np.tile(random.standard_normal(10), 7)
    y = np.tile(cycle, 12) + 0.3 * random.standard_normal(840)
    model = ReductionForecaster(horizon=5).fit(y)
    assert (model.resolved_["season_length"], model.resolved_["other_seasons"]) == (10, [70])
    assert "season 70" in model.resolved_["blend"]
    model.save(tmp_path / "model")
    assert load(tmp_path / "model").panel_.seasons == (10, 70)
    assert load(tmp_path / "model").predict(y[:-5]) == pytest.approx(model.predict(y[:-5]))
