"""Scenarios: a forecast with other covariates, beside the forecast as it is, and what cannot be asked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from tsforecast import (
    EnsembleForecaster,
    ETSForecaster,
    GRUForecaster,
    NaiveForecaster,
    Panel,
    ReductionForecaster,
    SeasonalNaiveForecaster,
)
from tsforecast.errors import DataError, DataWarning, ParameterError

ROWS, HORIZON = 300, 4
EFFECT, HOLIDAY = -4.0, 12.0  # of a unit of the price, and of a holiday


def shop() -> pd.DataFrame:
    random = np.random.default_rng(0)
    rows = ROWS + HORIZON
    frame = pd.DataFrame({"day": pd.date_range("2024-01-01", periods=rows), "price": random.uniform(5, 12, rows)})
    frame["holiday"] = (random.random(rows) < 0.15).astype(float)
    frame["weather"] = random.normal(size=rows)
    frame["sales"] = 100 + EFFECT * frame["price"] + HOLIDAY * frame["holiday"] + 0.5 * random.normal(size=rows)
    return frame


SHOP = shop()
FUTURE = SHOP.loc[ROWS:, ["day", "price", "holiday"]].assign(price=9.0, holiday=0.0)
DAYS = [str(day.date()) for day in FUTURE["day"]]


def panel(frame: Any = SHOP[:ROWS]) -> Panel:
    return Panel.from_frame(frame, target="sales", future=["price", "holiday"], past="weather", time="day")


@pytest.fixture(scope="module")
def model() -> ReductionForecaster:
    return ReductionForecaster(horizon=HORIZON, window=7).fit(panel())


def test_a_difference_is_what_the_data_taught_and_the_forecast_that_of_predict(model: ReductionForecaster) -> None:
    found = model.scenario({"price": 8.5, "holiday": {DAYS[1]: 1}}, future=FUTURE)
    assert found.columns.tolist() == [
        *("day", "sales", "sales_scenario", "sales_difference", "sales_difference_lo80", "sales_difference_hi80")
    ]
    assert found["sales"].tolist() == model.predict(future=FUTURE)["sales"].tolist()
    changed = FUTURE.assign(price=8.5, holiday=[0.0, 1.0, 0.0, 0.0])
    predicted = model.predict(future=changed, interval=0.8)
    assert found["sales_scenario"].to_numpy() == pytest.approx(predicted["sales"].to_numpy())
    assert found["sales_difference"].to_numpy() == pytest.approx([2, 2 + HOLIDAY, 2, 2], abs=0.5)
    for end in ("lo80", "hi80"):
        assert found[f"sales_difference_{end}"].to_numpy() == pytest.approx(predicted[f"sales_{end}"] - found["sales"])


@pytest.mark.parametrize(
    "change",
    [
        [9.0, 8.0, 9.0, 9.0],
        np.array([9.0, 8.0, 9.0, 9.0]),
        np.array([[9.0, 8.0, 9.0, 9.0]]),
        {DAYS[1]: 8.0},
        {pd.Timestamp(DAYS[1]): 8},
        {pd.Timestamp(DAYS[1]).date(): np.float32(8)},
    ],
    ids=str,
)
def test_a_change_is_a_number_a_time_or_an_array(change: Any, model: ReductionForecaster) -> None:
    found = model.scenario({"price": change}, future=FUTURE, interval=None)
    assert found.columns.tolist() == ["day", "sales", "sales_scenario", "sales_difference"]
    assert found["sales_difference"].to_numpy() == pytest.approx([0, -EFFECT, 0, 0], abs=0.5)
    assert found["sales_difference"][[0, 2, 3]].abs().max() < 0.1  # by steps that read the covariates of others


def test_what_is_planned_changes_nothing(model: ReductionForecaster) -> None:
    assert (model.scenario({"price": 9.0}, future=FUTURE)["sales_difference"] == 0).all()


def test_networks_and_ensembles_of_any_library_have_scenarios() -> None:
    network = GRUForecaster(horizon=HORIZON, window=7, units=16, learning_rate=0.02, max_epochs=15, random_state=0)
    linear = ReductionForecaster(horizon=HORIZON, window=7)
    for one in (network, EnsembleForecaster([linear, NaiveForecaster(horizon=HORIZON)], horizon=HORIZON)):
        fitted = one.fit(panel(pl.from_pandas(SHOP[:ROWS])))
        found = fitted.scenario({"price": 8.0}, future=pl.from_pandas(FUTURE))
        assert isinstance(found, pl.DataFrame)
        assert (found["sales_difference"].to_numpy() > 1).all()


def test_series_may_have_changes_of_their_own_and_texts_are_texts() -> None:
    random = np.random.default_rng(0)
    parts = []
    for name in "ab":
        kind = random.choice(["plain", "sale"], ROWS)
        sold = 20 + 6 * (kind == "sale") + random.normal(size=ROWS)
        parts.append(pd.DataFrame({"shop": name, "step": np.arange(ROWS), "kind": kind, "sold": sold}))
    data = Panel.from_frame(pd.concat(parts), id="shop", time="step", target="sold", future="kind")
    fitted = ReductionForecaster(horizon=2, window=5).fit(data)
    ahead = pd.DataFrame({"shop": ["a", "a", "b", "b"], "step": [ROWS, ROWS + 1] * 2, "kind": "plain"})
    found = fitted.scenario({"kind": [["plain", "sale"], ["sale", "plain"]]}, future=ahead)
    assert found["sold_difference"].to_numpy() == pytest.approx([0, 6, 6, 0], abs=0.7)
    found = fitted.scenario({"kind": {ROWS: "sale"}}, future=ahead)
    assert found["sold_difference"].to_numpy() == pytest.approx([6, 0, 6, 0], abs=0.7)
    with pytest.raises(
        ParameterError, match=r"changes of 'kind' .*: it had no text 'sail' so far; did you mean 'sale'"
    ):
        fitted.scenario({"kind": "sail"}, future=ahead)
    with pytest.raises(ParameterError, match="a time must be one of the steps ahead, from 300 to 301: got 3"):
        fitted.scenario({"kind": {3: "sale"}}, future=ahead)


def test_times_of_a_zone_are_those_of_its_clocks() -> None:
    hours = pd.date_range("2024-03-30", periods=ROWS + HORIZON, freq="h", tz="Europe/Berlin")
    frame = SHOP.assign(day=hours)
    fitted = ReductionForecaster(horizon=HORIZON, window=7).fit(panel(frame[:ROWS]))
    future = FUTURE.assign(day=hours[ROWS:])
    third = hours[ROWS + 2]
    for time in (third, third.tz_convert("UTC"), str(third.tz_localize(None))):
        found = fitted.scenario({"price": {time: 8.0}}, future=future, interval=None)
        assert (found["sales_difference"] > 2).tolist() == [False, False, True, False]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, r"changes must be a dict of columns that are known ahead, such as \{'price': 8.5\}: got \{\}"),
        (8.5, r"changes must be a dict of columns that are known ahead"),
        ({"prise": 8.5}, "changes must be of columns that are known ahead: got 'prise'; did you mean 'price'"),
        ({"weather": 1.0}, "got 'weather'; it is known up to the cutoff alone"),
        ({"price": np.nan}, r"must be what it can hold: the column has numbers, which must be finite: got nan"),
        ({"price": "8.5"}, "the column has numbers, which must be finite: got '8.5'"),
        ({"price": [8.5, 9.0]}, r"an array must have a number for each step, of shape \(4,\) or \(1, 4\): got \(2,\)"),
        ({"price": {"2025-06-01": 8.5}}, "a time must be one of the steps ahead, from 2024-10-27 to 2024-10-30"),
        ({"price": {"soon": 8.5}}, "a time must be a date: got 'soon'"),
        (
            {"price": 85},
            r"changes of 'price' must lie between -1\.\d+ and 18\.\d+: got 85 in 4 of 4 steps, and training had "
            r"5\.\d+ to 11\.9\d+; nothing was learned so far away",
        ),
        ({"holiday": {DAYS[0]: 3}}, "must lie between -1 and 2: got 3 in 1 of 4 steps, and training had 0 to 1"),
    ],
    ids=str,
)
def test_what_cannot_be_asked_is_a_sentence(changes: Any, sentence: str, model: ReductionForecaster) -> None:
    with pytest.raises(ParameterError, match=sentence):
        model.scenario(changes, future=FUTURE)


def test_all_problems_are_reported_at_once(model: ReductionForecaster) -> None:
    with pytest.raises(ParameterError, match="2 problems"):
        model.scenario({"price": 85, "prise": 1}, future=FUTURE)


def test_models_that_read_nothing_ahead_have_no_scenario() -> None:
    for one in (ETSForecaster(horizon=HORIZON), SeasonalNaiveForecaster(horizon=HORIZON)):
        with pytest.raises(
            ParameterError, match=rf"reads columns known ahead: {type(one).__name__} forecasts the same"
        ):
            one.fit(panel()).scenario({"price": 8.0}, future=FUTURE)
    alone = ReductionForecaster(horizon=HORIZON, window=7).fit(SHOP.loc[: ROWS - 1, ["day", "sales"]])
    with pytest.raises(ParameterError, match="must be of columns that are known ahead: the data that were fitted have"):
        alone.scenario({"price": 8.0})


def test_the_plan_must_be_given(model: ReductionForecaster) -> None:
    with pytest.raises(DataError, match="must be known for the 4 steps after each series: nothing was given"):
        model.scenario({"price": 8.0})


def test_a_model_that_learned_nothing_of_a_column_says_so() -> None:
    steady = SHOP.assign(holiday=0.0)
    fitted = ReductionForecaster(horizon=HORIZON, window=7).fit(panel(steady[:ROWS]))
    with pytest.raises(
        ParameterError, match="must lie between 0 and 0: got 1 in 4 of 4 steps, and training had 0 alone"
    ):
        fitted.scenario({"holiday": 1}, future=FUTURE)
    idle = GRUForecaster(horizon=HORIZON, window=7, units=4, max_epochs=1, learning_rate=1e-12, random_state=0)
    with pytest.warns(DataWarning, match="the changes change no forecast"):
        idle.fit(panel()).scenario({"price": 8.0}, future=FUTURE)
