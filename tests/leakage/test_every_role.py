"""Nothing after the cutoff moves a forecast, a scale or a choice: with every role, gaps, groups and new series."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.helpers.forecasters import small, wave
from tsforecast.data.context import Context
from tsforecast.data.panel import Panel
from tsforecast.data.scaling import ARRAYS, Scaling
from tsforecast.estimators.registry import MODEL_NAMES, NETWORKS
from tsforecast.evaluation.backtest import backtest
from tsforecast.forecasters.base import Forecaster
from tsforecast.forecasters.neural import NeuralForecaster

CUTOFF, STEPS = 70, 90
# The last one is not fitted. What `late` sells is not known before step 55, its price not before the cutoff.
SHOPS = {"north": "ann", "late": "ann", "south": "bob", "east": "cem", "new": "dan"}
FUTURES = {"other numbers": lambda rows: rows * -1000 + 7, "NaN": lambda rows: np.full_like(rows, np.nan)}
SCALING = [
    {"per_series": True, "value_transform": "box-cox"},
    {"per_series": True, "value_transform": "log", "scaler": "robust"},
    {"per_series": False},
    {},
]


def shops() -> Panel:
    """Return the panel as it is without any change after the cutoff."""
    parts = []
    for i, (shop, owner) in enumerate(SHOPS.items()):
        part = pd.DataFrame({"shop": shop, "owner": owner, "day": pd.date_range("2024-01-01", periods=STEPS)})
        part["sales"], part["price"] = 10 * (i + 1) + wave(STEPS, i), wave(STEPS, i + 9)
        parts.append(part.assign(region="hills" if i % 2 else "sea", size=float(i)))
    frame = pd.concat(parts, ignore_index=True)
    late = frame["shop"] == "late"
    day = frame.groupby("shop").cumcount()
    frame.loc[late & (day < 55), "sales"] = np.nan
    frame.loc[late & (day < CUTOFF + 3), "price"] = np.nan
    frame.loc[(frame["shop"] == "south") & day.between(60, 64), ["sales", "price"]] = np.nan
    return Panel.from_frame(
        frame,
        target="sales",
        past="price",
        static=["region", "size"],
        group="owner",
        id="shop",
        nan_policy="mask",
        season_length=6,
    )


def pair(change: str) -> tuple[Panel, Panel]:
    """Return two panels that differ after the cutoff only."""
    panel = shops()
    changed = panel.values.reshape(len(SHOPS), STEPS, -1).copy()
    changed[:, CUTOFF:] = FUTURES[change](changed[:, CUTOFF:])
    return panel, panel.with_values(changed.reshape(panel.values.shape))


def scales(scaling: Scaling) -> dict[str, list[Any]]:
    return {name: getattr(scaling, name).tolist() for name in ARRAYS}


@pytest.mark.sample(3)
@pytest.mark.parametrize("change", list(FUTURES))
@pytest.mark.parametrize("name", MODEL_NAMES)
def test_no_forecast_depends_on_rows_after_the_cutoff(name: str, change: str) -> None:
    seen = np.full(len(SHOPS), CUTOFF)
    first, second = (
        small(name, 4).fit(panel.until(seen).select([0, 1, 2, 3])).forecast(Context(panel, np.arange(5), seen), 7)
        for panel in pair(change)
    )
    assert first.shape == (5, 7, 1)
    assert np.isfinite(first).all()
    assert np.array_equal(first, second)


@pytest.mark.long
@pytest.mark.sample(3)
@pytest.mark.parametrize("change", list(FUTURES))
@pytest.mark.parametrize("settings", SCALING)
def test_no_scale_choice_or_static_number_depends_on_rows_after_the_cutoff(
    settings: dict[str, Any], change: str
) -> None:
    seen = np.full(len(SHOPS), CUTOFF)
    learned = []
    for panel in pair(change):
        model = small("gru", 4).set_params(window="auto", **settings)
        model.fit(panel.until(seen).select([0, 1, 2, 3]))
        past = Context(panel, np.arange(5), seen)
        learned.append(
            {
                "fitted": scales(model.inputs_.scaling),
                "at the cutoff": scales(model.inputs_.of(past)),  # that of `new` is learned there
                "statics": model.inputs_.statics,
                "static numbers": model.inputs_.static(past).tolist(),
                "resolved": model.resolved_,
                "forecast": model.forecast(past, 7).tolist(),
            }
        )
    assert len(learned[0]["at the cutoff"]["location"]) == 5
    assert learned[0] == learned[1]


@pytest.mark.thorough
@pytest.mark.parametrize("refit", [True, False])
@pytest.mark.parametrize("groups", [True, False])
@pytest.mark.parametrize("name", ["naive", "drift", "gru"])
def test_no_row_of_a_backtest_depends_on_later_rows(name: str, groups: bool, refit: bool) -> None:
    panels = [panel if groups else _without_groups(panel) for panel in pair("other numbers")]
    # One of the cutoffs is CUTOFF itself.
    rows = [backtest(small(name), panel, horizon=4, origins=4, step=8, refit=refit) for panel in panels]
    before, after = (part[part["cutoff"] < np.datetime64("2024-01-01") + CUTOFF] for part in rows)
    assert 0 < len(before) < len(rows[0])
    columns = ["series", "cutoff", "step", "forecast", "naive_mae", "naive_mse"]
    pd.testing.assert_frame_equal(before[columns], after[columns], check_exact=True)


def _without_groups(panel: Panel) -> Panel:
    return replace(panel, roles=replace(panel.roles, group=None))


def shift_of_regime(tail: int) -> np.ndarray:
    """Return 60 steps of season and level, then a steep fall below zero: each calls for other choices."""
    t = np.arange(60)
    calm = 20 + 5 * np.sin(2 * np.pi * t / 6) + 0.5 * np.random.default_rng(0).normal(size=60)
    return np.r_[calm, 20 - 10.0 * np.arange(tail)]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("settings", [{"value_transform": "auto"}, {"value_transform": "box-cox", "scaler": "min-max"}])
def test_rows_that_validate_choose_neither_scale_nor_anchor_nor_transform_nor_window(
    name: str, settings: dict[str, Any]
) -> None:
    whole = Panel.from_array(shift_of_regime(45), season_length=6)
    model = small(name).set_params(window="auto", validation=45, **settings).fit(whole)
    alone = small(name).set_params(window="auto", validation=None, **settings).fit(whole.until(np.array([60])))
    chosen = ("window", "segment", "anchor", "blend", "value_transform", "per_series")
    assert {key: model.resolved_.get(key) for key in chosen} == {key: alone.resolved_.get(key) for key in chosen}
    assert scales(model.inputs_.scaling) == scales(alone.inputs_.scaling)
    # The tail would have chosen otherwise, had it been looked at.
    looked = small(name).set_params(window="auto", validation=None, **settings).fit(whole)
    for key in ("window", "blend"):
        assert looked.resolved_.get(key) != model.resolved_.get(key)
    assert scales(looked.inputs_.scaling) != scales(model.inputs_.scaling)
    assert (
        settings["value_transform"] == "box-cox"
        or looked.resolved_["value_transform"] != model.resolved_["value_transform"]
    )


def test_groups_that_validate_choose_neither_scale_nor_anchor_nor_transform_nor_window() -> None:
    t = np.arange(90)
    frames = [
        pd.DataFrame({"id": f"r{i}", "user": user, "y": values})
        for i, (user, values) in enumerate(
            [("ann", shift_of_regime(0)), ("bob", shift_of_regime(0) + 3), ("cem", -1000.0 * t), ("dan", 50.0 * t[:20])]
        )
    ]

    def fit(users: int, validation: int | None) -> NeuralForecaster:
        panel = Panel.from_frame(pd.concat(frames[:users]), id="id", target="y", group="user", season_length=6)
        found: Forecaster = small("gru").set_params(window="auto", validation=validation)
        assert isinstance(found, NeuralForecaster)
        return found.fit(panel)

    model, alone, looked = fit(4, 2), fit(2, None), fit(4, None)
    chosen = ("window", "segment", "anchor", "blend", "value_transform", "per_series")
    assert {key: model.resolved_.get(key) for key in chosen} == {key: alone.resolved_.get(key) for key in chosen}
    assert scales(model.inputs_.scaling) == scales(alone.inputs_.scaling)
    for key in ("least", "blend", "value_transform"):
        assert looked.resolved_.get(key) != model.resolved_.get(key)
