"""Networks honour every role: what is known ahead and per series is used, on request, and only then."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import StandardScaler

from tests.helpers.forecasters import wave
from tsforecast.data.panel import Panel
from tsforecast.errors import DataError, ParameterError
from tsforecast.estimators.persistence import load, save
from tsforecast.estimators.registry import NETWORKS
from tsforecast.evaluation.backtest import backtest
from tsforecast.forecasters.naive import NaiveForecaster
from tsforecast.forecasters.neural import GRUForecaster, NeuralForecaster

DAYS = pd.date_range("2020-01-01", periods=500)
EVENTS = np.random.default_rng(0).integers(0, 2, size=500).astype(float)  # cannot be guessed


def events(days: int = 480) -> pd.DataFrame:
    return pd.DataFrame({"day": DAYS[:days], "sales": 10 + 5 * EVENTS[:days], "event": EVENTS[:days]})


@pytest.mark.parametrize("cell", NETWORKS)
def test_a_column_known_ahead_is_used_for_the_steps_that_it_belongs_to(cell: str) -> None:
    model = NeuralForecaster(
        cell, window=5, horizon=4, units=16, max_epochs=15, learning_rate=0.01, anchor="none", random_state=0
    )
    model.fit(Panel.from_frame(events(), target="sales", future="event"))
    future = pd.DataFrame({"day": DAYS[480:484], "event": [1.0, 0.0, 0.0, 1.0]})
    assert np.abs(model.predict(future=future)["sales"].to_numpy() - [15, 10, 10, 15]).max() < 1
    turned = model.predict(future=future.assign(event=[0.0, 1.0, 1.0, 0.0]))["sales"].to_numpy()
    assert np.abs(turned - [10, 15, 15, 10]).max() < 1
    beyond = pd.DataFrame({"day": DAYS[480:490], "event": EVENTS[480:490]})
    long = model.predict(future=beyond, horizon=10)["sales"].to_numpy()
    assert np.abs(long - (10 + 5 * EVENTS[480:490])).max() < 1.5


def test_the_future_of_a_context_must_be_given_too() -> None:
    model = GRUForecaster(window=5, horizon=2, units=4, max_epochs=1).fit(
        Panel.from_frame(events(), target="sales", future="event")
    )
    with pytest.raises(DataError, match="future columns 'event' must be known for the 2 steps after each series"):
        model.predict(events(300))
    future = pd.DataFrame({"day": DAYS[300:302], "event": [0.0, 0.0]})
    assert model.predict(events(300), future=future)["day"].tolist() == list(DAYS[300:302])


@pytest.mark.long
def test_a_backtest_hands_out_what_was_known_ahead_at_each_cutoff() -> None:
    panel = Panel.from_frame(events(), target="sales", future="event")
    model = GRUForecaster(window=5, units=16, max_epochs=15, learning_rate=0.01, anchor="none", random_state=0)
    rows = backtest(model, panel, horizon=4, origins=5)
    assert np.abs(rows["y"] - rows["forecast"]).max() < 1
    blind = backtest(model, Panel.from_frame(events(), target="sales", past="event"), horizon=4, origins=5)
    assert np.abs(blind["y"] - blind["forecast"]).mean() > 1.5


@pytest.mark.long
def test_calendar_features_let_a_network_know_the_weekday() -> None:
    rng = np.random.default_rng(0)
    week = rng.permutation(np.arange(7.0))
    series = pd.Series(week[DAYS.day_of_week.to_numpy()], index=DAYS)
    settings = {"window": 2, "horizon": 3, "units": 32, "max_epochs": 30, "learning_rate": 0.01, "anchor": "none"}
    panel = Panel.of(series[:490])
    knows = GRUForecaster(**settings, random_state=0).fit(panel.with_calendar("weekday"))
    assert np.abs(knows.predict() - series[490:493]).max() < 0.7
    assert knows.predict(series[:485]).index.tolist() == DAYS[485:488].tolist()


def test_static_columns_tell_series_apart_and_unseen_categories_are_taken() -> None:
    rng = np.random.default_rng(0)
    parts = []
    for i in range(12):
        kind = "up" if i % 2 else "down"
        steps = rng.normal(0, 0.05, size=40).cumsum() + (1 if i % 2 else -1) * np.arange(40)
        # The window is hidden: only the kind says where the series goes.
        parts.append(pd.DataFrame({"id": f"s{i}", "kind": kind, "y": np.where(np.arange(40) % 2, steps, 0.0)}))
    panel = Panel.from_frame(pd.concat(parts), id="id", target="y", static="kind")
    model = GRUForecaster(
        window=1, horizon=1, units=8, max_epochs=20, validation=None, per_series=False, random_state=0
    )
    model.set_params(anchor="none", learning_rate=0.02).fit(panel)
    flat = pd.DataFrame({"id": ["a", "b", "c"], "kind": ["up", "down", "sideways"], "y": 0.0})
    forecast = model.predict(Panel.from_frame(flat, id="id", target="y", static="kind"))["y"].to_numpy()
    assert forecast[0] > 5
    assert forecast[1] < -5
    assert np.isfinite(forecast[2])


@pytest.mark.sample(3)
@pytest.mark.parametrize("cell", NETWORKS)
@pytest.mark.parametrize(
    "settings",
    [{"value_transform": "log"}, {"value_transform": "box-cox"}, {"scaler": "min-max"}, {"scaler": "robust"},
     {"scaler": None},
     {"scaler": StandardScaler()}, {"per_series": False}, {"instance_norm": True}],
)  # fmt: skip
def test_each_step_of_scaling_changes_the_fit_and_keeps_the_naive_forecast_where_nothing_is_learned(
    cell: str, settings: dict
) -> None:
    panel = Panel.from_array([wave(90) * 5, wave(80, 1)], season_length=6)
    plain = NeuralForecaster(
        cell, window=12, horizon=4, units=4, max_epochs=2, validation=None, anchor="last", random_state=0
    )
    plain.set_params(value_transform=None)
    expected = [part.tolist() for part in plain.fit(panel).predict()]
    plain.set_params(**settings)
    changed = [part.tolist() for part in plain.fit(panel).predict()]
    if settings != {"scaler": settings.get("scaler")} or not isinstance(settings["scaler"], StandardScaler):
        assert changed != expected
    else:
        assert np.allclose(changed[0], expected[0], rtol=1e-3)
    untrained = plain.set_params(max_epochs=0).fit(panel).predict()
    for part, naive in zip(untrained, NaiveForecaster(4).fit(panel).predict(), strict=True):
        assert np.array_equal(part, naive)


@pytest.mark.parametrize("anchor", ["last", "none"])
def test_with_instance_norm_the_size_of_a_window_scales_the_forecast(anchor: str) -> None:
    model = GRUForecaster(
        window=12, horizon=3, units=4, max_epochs=3, anchor=anchor, instance_norm=True, random_state=0
    )
    model.set_params(validation=None, scaler=None).fit(wave(90))
    small, large = model.predict(wave(50)), model.predict(wave(50) * 1000)
    assert np.allclose(small * 1000, large, rtol=1e-3)


def test_masked_numbers_are_not_learned_from_and_a_late_starter_is_forecast() -> None:
    values = wave(200)
    holed = values.copy()
    holed[50:60] = np.nan
    late = np.r_[np.full(150, np.nan), wave(50, 1)]
    frame = pd.DataFrame({"day": DAYS[:200], "whole": holed, "late": late})
    panel = Panel.from_frame(frame, target=["whole", "late"], nan_policy="mask", season_length=6)
    model = GRUForecaster(window=12, horizon=3, units=4, max_epochs=3, random_state=0).fit(panel)
    assert all(np.isfinite(epoch.valid_loss) for epoch in model.history_)
    forecast = model.predict()
    assert np.isfinite(forecast[["whole", "late"]].to_numpy()).all()
    rows = backtest(model, panel, horizon=3, origins=40, step=4)
    assert np.isfinite(rows["forecast"]).all()
    counts = rows.groupby("target", observed=True).size()
    assert counts["late"] < counts["whole"] < 120


def test_a_network_with_every_role_is_saved_and_loaded(tmp_path: Path) -> None:
    frame = events().assign(shop="a", region="n", wind=np.arange(480.0))
    panel = Panel.from_frame(frame, id="shop", target="sales", past="wind", future="event", static="region")
    panel = panel.with_calendar("weekday")
    model = GRUForecaster(window=5, horizon=2, units=4, max_epochs=1, value_transform="box-cox", random_state=0).fit(
        panel
    )
    future = pd.DataFrame({"shop": "a", "day": DAYS[480:482], "event": [1.0, 0.0]})
    save(model, tmp_path / "model")
    assert load(tmp_path / "model").predict(future=future).equals(model.predict(future=future))


def test_a_scaler_object_cannot_be_saved_and_says_so(tmp_path: Path) -> None:
    model = GRUForecaster(window=5, units=2, max_epochs=0, scaler=StandardScaler()).fit(wave())
    with pytest.raises(ParameterError, match=r"cannot be saved: .* of tsforecast only, not StandardScaler"):
        save(model, tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_a_scaler_that_does_not_exist_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(ParameterError) as caught:
        GRUForecaster(scaler="standart", value_transform="logg", per_series="no").fit(wave())
    assert len(caught.value.problems) == 3
    assert "did you mean 'standard'?" in str(caught.value)
