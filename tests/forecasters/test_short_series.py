"""Panels of unequal lengths: each series trains on the windows it has, and every series is forecast."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.helpers.commands import tsforecast
from tests.helpers.forecasters import wave
from tsforecast.data.context import Context
from tsforecast.data.panel import Panel
from tsforecast.errors import DataError, DataWarning, ParameterError
from tsforecast.estimators.persistence import load
from tsforecast.evaluation.leaderboard import leaderboard
from tsforecast.forecasters.naive import NaiveForecaster
from tsforecast.forecasters.neural import GRUForecaster, NeuralForecaster
from tsforecast.forecasters.reduction import ReductionForecaster
from tsforecast.leakage.audit import audit

SHORT = {"new": 5, "newer": 1}


def shops(lengths: dict[str, int]) -> pd.DataFrame:
    """Return daily series that end together; the last `count` values of each begin with its length."""
    parts = []
    for number, (name, steps) in enumerate(lengths.items()):
        days = pd.date_range(end="2024-06-30", periods=steps)
        parts.append(pd.DataFrame({"shop": name, "day": days, "y": wave(steps, number)}))
    return pd.concat(parts, ignore_index=True)


def tiny(kind: str, **settings: Any) -> Any:
    if kind == "network":
        return GRUForecaster(units=4, max_epochs=1, window=14, horizon=3, random_state=0, **settings)
    return ReductionForecaster(window=14, horizon=3, **settings)


@pytest.mark.long
@pytest.mark.sample(2)
@pytest.mark.parametrize("kind", ["network", "reduction"])
def test_a_series_shorter_than_the_window_is_forecast_and_one_of_a_step_is_by_the_naive(
    kind: str, tmp_path: Path
) -> None:
    data = pd.concat([shops({"a": 60, "b": 70, "c": 80}), shops(SHORT).assign(y=[1.0, 2, 3, 4, 5, 9])])
    model = tiny(kind).fit(data)
    assert (model.resolved_["window"], model.resolved_["least"]) == (14, 3)
    note = "1 of 5 series is shorter than the 3 steps that a forecast needs, and .* the seasonal naive: .newer"
    with pytest.warns(DataWarning, match=note):
        found = model.predict()
    assert found.loc[found["shop"] == "newer", "y"].tolist() == [9, 9, 9]
    assert model.is_fallback(Context.at_end(model.panel_))[:, 0].tolist() == [False] * 4 + [True]
    model.save(tmp_path / "model")
    with pytest.warns(DataWarning, match=note):
        pd.testing.assert_frame_equal(load(tmp_path / "model").predict(), found)
    with pytest.raises(DataError, match="needs 3 steps, series 'newer' has 1"):
        model.predict(data[data["shop"] == "newer"])


def test_a_window_longer_than_all_series_is_refused() -> None:
    with pytest.raises(DataError, match=r"needs 14 \+ 3 = 17 steps, series 'a' has 16; so do 2 other series"):
        tiny("reduction").fit(shops({"a": 16, **SHORT}))


def test_a_leaderboard_with_short_series_has_forecasts_of_all_and_names_the_replaced() -> None:
    data = shops({"a": 60, "b": 70, "new": 8, "newer": 5})
    board = leaderboard({"ridge": tiny("reduction")}, data, horizon=3, origins=1)
    assert board.notes[0].startswith("the numbers do not have the season of 7 steps that is customary for D, but a")
    assert board.notes[1:] == ("ridge: 1 of 4 series is forecast by the seasonal naive instead: 'newer'",)
    newer = board.rows[board.rows["series"] == "newer"].pivot_table("forecast", "step", "model")
    assert newer["ridge"].tolist() == newer["seasonal-naive"].tolist()


@pytest.mark.thorough
def test_short_series_leak_nothing() -> None:
    panel = Panel.of(shops({"new": 8, "a": 60, "b": 70}))
    assert audit(tiny("network"), panel, cutoffs=1, horizon=3, level="fit").passed
    assert audit(tiny("reduction"), panel, cutoffs=1, horizon=3, level="fit").passed


def test_windows_are_whole_where_every_series_has_one() -> None:
    model = tiny("reduction").fit(shops({"a": 60, "b": 17}))
    assert model.resolved_["least"] == 14
    assert model.learned_rows().tolist() == [60, 17]
    assert not np.isnan(model.predict()["y"]).any()


UNEQUAL = [wave(steps, number) for number, steps in enumerate([5, 40, 100, 300, 300])]


def test_the_window_follows_the_median_series_and_validation_the_length_of_each() -> None:
    panel = Panel.from_array(UNEQUAL, season_length=12)
    model = GRUForecaster(horizon=3, units=2, max_epochs=0, validation=0.2).fit(panel)
    assert (model.resolved_["window"], model.resolved_["least"]) == (24, 3)  # a third of 80; 24 of two seasons
    assert model.learned_rows().tolist() == [5, 32, 80, 240, 240]  # 5 are too few to validate
    assert model.resolved_["validation"] == 40  # of the median of those that do
    similar = Panel.from_array(UNEQUAL[2:], season_length=12)  # a third of 80 is more than half of three seasons
    assert GRUForecaster(horizon=3, units=2, max_epochs=0, validation=0.2).fit(similar).resolved_["least"] == 24
    counted = GRUForecaster(horizon=3, units=2, max_epochs=0, validation=30).fit(panel)
    assert counted.learned_rows().tolist() == [5, 10, 70, 270, 270]


@pytest.mark.long
@pytest.mark.sample(3)
@pytest.mark.parametrize(
    "settings",
    [
        {"cell": "gru", "instance_norm": True, "segment": 5},
        {"cell": "lstm", "loss": "normal", "anchor": "seasonal"},
        {"cell": "rnn", "anchor": "none", "instance_norm": True, "per_series": False, "value_transform": None},
        {"cell": "conv1d", "anchor": (6, 12), "refit": True},
    ],
)
def test_a_forecast_from_a_masked_window_depends_on_its_own_series_alone(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    panel = Panel.from_array([np.stack([part, part[::-1] ** 2], axis=1) for part in UNEQUAL], season_length=6)
    for channels in ("independent", "joint"):
        model = NeuralForecaster(window=36, horizon=3, units=16, max_epochs=1, random_state=0, channels=channels)
        model.set_params(steps_per_epoch=8, **settings).fit(panel)
        found = model.predict(horizon=7)  # beyond the horizon from its own forecasts
        assert np.isfinite(np.concatenate(found)).all()
        past = Context.at_end(panel)
        for i in range(len(panel)):
            alone = Context.at_end(panel.select(np.array([i])))
            assert np.array_equal(model.forecast(alone, 7)[0], found[i])
            assert model.learns_distribution == (settings.get("loss") == "normal")
        model.save(tmp_path / channels)
        assert np.array_equal(load(tmp_path / channels).forecast(past, 7), np.stack(found))


def test_a_network_that_reads_masked_windows_is_tuned_on_short_series() -> None:
    settings = {"window": 36, "horizon": 3, "units": 4, "max_epochs": 1, "random_state": 0, "validation": None}
    model = GRUForecaster(**settings).fit(UNEQUAL)
    tuned = model.fine_tune([wave(9), wave(7)])
    assert [part.shape for part in tuned.predict()] == [(3,), (3,)]
    with pytest.raises(DataError, match=r"needs 3 \+ 3 = 6 steps, series '0' has 5; .*; use at least 1 more rows"):
        model.fine_tune([wave(5), wave(4)])


@pytest.mark.parametrize("instance_norm", [False, True])
def test_a_short_series_is_forecast_from_the_steps_that_it_has(instance_norm: bool) -> None:
    random = np.random.default_rng(0)
    slopes, lengths = [1.5, *random.normal(size=30)], [8, 60, *random.integers(8, 24, 29)]
    panel = Panel.from_array([100 + slope * np.arange(steps) for slope, steps in zip(slopes, lengths, strict=True)])
    settings = {"window": 24, "horizon": 4, "instance_norm": instance_norm, "per_series": False}
    models: list[Any] = [ReductionForecaster(**settings)]
    if instance_norm:
        small = {"units": 8, "max_epochs": 8, "steps_per_epoch": 20, "learning_rate": 0.01, "random_state": 0}
        models.append(GRUForecaster(**small, **settings))
    for model in models:
        found = model.set_params(value_transform=None).fit(panel).predict()[0]
        naive, truth = 100 + 1.5 * 7, 100 + 1.5 * np.arange(8, 12)
        assert np.abs(found - truth).mean() < 0.7 * np.abs(naive - truth).mean()


def ended_shops() -> pd.DataFrame:
    """Return a shop that is open until 2024-06-30, one that closed on 2024-03-31, and one that closed a week ago."""
    open_, closed, lately = (shops({name: 60}) for name in ("open", "closed", "lately"))
    closed["day"] -= pd.Timedelta(days=91)
    lately["day"] -= pd.Timedelta(days=7)
    return pd.concat([open_, closed, lately])


def test_a_series_that_ended_long_ago_is_not_forecast_without_a_note() -> None:
    model = NaiveForecaster(horizon=2).fit(ended_shops())
    sentence = (
        "1 of 3 series ended long before the latest (2024-06-30) and is forecast from its own end: 'closed' "
        "(2024-03-31); in predict, ended='drop' leaves them out, and ended='forecast' keeps them without this note"
    )
    with pytest.warns(DataWarning, match=re.escape(sentence)):
        found = model.predict()
    assert found["day"].dt.strftime("%m-%d").tolist() == ["07-01", "07-02", "04-01", "04-02", "06-24", "06-25"]
    pd.testing.assert_frame_equal(model.predict(ended="forecast"), found)
    pd.testing.assert_frame_equal(model.predict(ended="drop"), found[found["shop"] != "closed"].reset_index(drop=True))
    pd.testing.assert_frame_equal(model.predict(ended_shops(), ended="drop"), model.predict(ended="drop"))
    with pytest.raises(ParameterError, match="ended must be one of 'forecast', 'drop', None: got 'keep'"):
        model.predict(ended="keep")  # type: ignore[arg-type]


def test_arrays_of_different_lengths_all_end_now() -> None:
    assert len(NaiveForecaster().fit([np.arange(90.0), np.arange(5.0)]).predict()) == 2


@pytest.mark.filterwarnings("always::tsforecast.errors.DataWarning")
def test_the_command_line_fits_short_series_and_leaves_out_ended_ones(tmp_path: Path) -> None:
    frame = pd.concat([ended_shops(), shops({"new": 5})])
    frame.to_csv(tmp_path / "shops.csv", index=False)
    fitted = tsforecast("fit", "shops.csv", "--model", "reduction", "--horizon", "6", "--out", "model", cwd=tmp_path)
    default = tsforecast("predict", "model", cwd=tmp_path)
    dropped = tsforecast("predict", "model", "--ended", "drop", cwd=tmp_path)
    refused = tsforecast("predict", "model", "--ended", "no", cwd=tmp_path)
    note = "1 of 4 series ended long before the latest (2024-06-30)"
    written = tsforecast("predict", "model", "--out", "next.csv", cwd=tmp_path)
    later = tsforecast("predict", "model", "--data", "shops.csv", cwd=tmp_path)
    assert all(note in each.stderr for each in (fitted, written, later))
    assert "ended" not in default.stderr + dropped.stderr  # what is printed is the table that `fit` announced
    assert [each.returncode for each in (fitted, default, dropped, refused)] == [0, 0, 0, 2]
    assert "--ended must be one of 'forecast', 'drop'" in refused.stderr
    shown, kept = (pd.read_csv(io.StringIO(each.stdout))["shop"].unique().tolist() for each in (default, dropped))
    assert (shown, kept) == (["open", "closed", "lately", "new"], ["open", "lately", "new"])
