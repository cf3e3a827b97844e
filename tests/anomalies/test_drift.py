"""Monitors of drift find what has shifted, keep their rate where nothing has, and do not depend on how rows come."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tsforecast import ConformalForecaster, NaiveForecaster, Panel, drift
from tsforecast.anomalies.drift import SIMULATED, Drift
from tsforecast.errors import ParameterError
from tsforecast.forecasters.meta.local import LocalForecaster

KNOWN, STEPS = 300, 400
ROWS = Path(__file__).parents[2] / "benchmarks" / "results" / "drift.jsonl"


def table(shift: float = 0.0, factor: float = 1.0, price: float = 0.0, series: int = 1) -> pd.DataFrame:
    """Return walks whose steps, and a price that they do not depend on, drift from step 300 on."""
    random, parts = np.random.default_rng(0), []
    for name in range(series):
        errors, prices = random.normal(size=(2, STEPS))
        errors[KNOWN:] = factor * errors[KNOWN:] + shift
        prices[KNOWN:] += price
        days = pd.date_range("2024-01-01", periods=STEPS)
        parts.append(pd.DataFrame({"day": days, "shop": f"s{name}", "sales": errors.cumsum(), "price": prices}))
    return pd.concat(parts, ignore_index=True)


def panels(frame: pd.DataFrame) -> tuple[Panel, Panel]:
    panel = Panel.from_frame(frame, id="shop", target="sales", past="price", season_length=1)
    return panel.until(np.full(len(panel), KNOWN)), panel


def found(**drifted: float) -> Drift:
    known, panel = panels(table(**drifted))
    return drift(NaiveForecaster().fit(known), panel, steps=40)


def test_nothing_is_found_where_nothing_drifts() -> None:
    nothing = found()
    assert [(each.monitor, each.column) for each in nothing.findings] == [
        ("mean", "sales"),
        ("spread", "sales"),
        ("coverage", "sales"),
        ("covariate", "price"),
    ]
    assert nothing.alarms == []
    assert str(nothing).splitlines()[0].startswith("mean error of 'sales' shows no shift in 100 steps: ")
    assert str(nothing).endswith(
        "about 5% of runs of 40 steps have an alarm (1.25% by each monitor); with 290 known errors up to about 13% if "
        "errors depend on each other, and 41% if their spread wanders for long (in simulations at a level of 5%)"
    )
    for known, rate in ((20, "39%"), (60, "39%"), (390, "12%"), (2_000, "7%")):
        assert f"with {known} known errors up to about {rate} if" in replace(nothing, known=known).rate


def test_what_has_no_step_yet_is_not_judged() -> None:
    sentences = str(drift(NaiveForecaster().fit(np.cumsum(np.random.default_rng(0).normal(size=99))))).splitlines()
    assert len(sentences) == 4
    assert all("is not judged yet: no step since has a number (" in sentence for sentence in sentences[:3])


@pytest.mark.parametrize(
    ("drifted", "monitor", "sentence"),
    [
        ({"shift": 1.5}, "mean", "mean error of 'sales' has shifted since 2024-10-2"),
        ({"factor": 4.0}, "spread", "size of errors of 'sales' has shifted since 2024-10-2"),
        ({"factor": 4.0}, "coverage", "share of 'sales' within an interval of 80% has shifted since 2024-10-"),
        ({"price": 1.5}, "covariate", "level of 'price' has shifted since 2024-10-2"),
        ({"shift": 0.8, "series": 3}, "mean", "mean error of 'sales' has shifted since 2024-10-2"),
    ],
)
def test_each_monitor_finds_its_drift(drifted: dict[str, float], monitor: str, sentence: str) -> None:
    finding = next(each for each in found(**drifted).findings if each.monitor == monitor)
    assert finding.alarm
    assert finding.sentence.startswith(sentence)
    if monitor == "covariate":
        assert finding.now == pytest.approx(1.5, abs=0.4)


@pytest.mark.long
def test_rows_that_an_update_took_in_are_judged_as_new_ones() -> None:
    known, panel = panels(table(shift=1.0))
    models = (NaiveForecaster(), ConformalForecaster(NaiveForecaster()), LocalForecaster(NaiveForecaster()))
    for model in models:
        wanted = drift(model.fit(known), panel, steps=20)
        assert [(each.steps, each.alarm) for each in drift(model, steps=20).findings] == [(0, False)] * 4
        model.update(panel.until(np.array([330]))).update(panel.until(np.array([350])))
        assert drift(model, panel, steps=20) == wanted
        assert drift(model, steps=20).findings[0].steps == 50


def test_values_that_cannot_be_used_are_refused() -> None:
    with pytest.raises(ParameterError, match="level must be"):
        drift(NaiveForecaster().fit(np.arange(100.0)), level=0.0)
    with pytest.raises(ParameterError, match="fit a series, not supervised windows"):
        drift(NaiveForecaster().fit(np.ones((5, 2)), np.ones(5)))


def test_committed_rates_of_false_alarms_are_those_that_are_stated_where_enough_is_known() -> None:
    rows = pd.DataFrame([json.loads(line) for line in ROWS.read_text(encoding="utf-8").splitlines()])
    rates = rows[(rows["measured"] == "false alarms") & (rows["monitor"] == "any")]
    steady = rates[rates["noise"] != "volatile"]
    assert len(steady) == 20
    enough = steady[steady["known"] == 2_000]
    assert (enough["rate"] <= enough["stated"] + 2 * enough["error"]).all()
    errors = rates["known"] - 10  # of a naive forecaster with so many rows
    most = rates.groupby([errors, rates["noise"] == "volatile"])["rate"].max().round(2).unstack()
    assert {known: (row[False], row[True]) for known, row in most.iterrows()} == SIMULATED
    delays = rows[rows["measured"] == "delay"].set_index(["drift", "size"])["median"]
    assert delays["mean", 2.0] < delays["mean", 1.0] < delays["mean", 0.5]
