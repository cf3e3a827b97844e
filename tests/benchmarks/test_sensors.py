"""The benchmark of sensors: every cutoff of people who were not learned from, and a skill that is what it says."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tsforecast import Panel, ReductionForecaster, audit_procedure
from tsforecast.estimators.registry import NAIVE_FAMILY, make

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
LENGTHS = (14, 15, 22, 31)  # of the recordings of each person; the first is too short by a step


@pytest.fixture
def sensors(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    import sensors

    return sensors


def recordings(kind: str) -> Panel:
    """Return recordings of five people with two axes: waves that go on, or walks that go anywhere."""
    random, parts = np.random.default_rng(0), []
    for who in "abcde":
        for i, length in enumerate(LENGTHS):
            time, has_observations = np.arange(length)[:, None], random.uniform(0, 2 * np.pi, 2)
            wave, walk = np.sin(0.6 * time + has_observations), random.normal(size=(length, 2)).cumsum(axis=0)
            x, y = (wave if kind == "waves" else walk).T
            parts.append(pd.DataFrame({"id": f"{who}{i}", "who": who, "x": x, "y": y}))
    return Panel.from_frame(pd.concat(parts), id="id", target=["x", "y"], group="who")


def ridge() -> ReductionForecaster:
    return ReductionForecaster(window=10)


def test_every_cutoff_with_a_window_before_and_a_horizon_after_it_is_forecast_once(sensors: ModuleType) -> None:
    rows = sensors.forecasts(make("naive"), recordings("walks"))
    counts = rows.groupby("series", observed=True)["cutoff"].nunique().to_dict()
    assert counts == {f"{who}{i}": n - 14 for who in "abcde" for i, n in enumerate(LENGTHS) if n > 14}
    assert not rows.duplicated(["series", "target", "cutoff", "step"]).any()
    assert len(rows) == sum(counts.values()) * 2 * sensors.HORIZON


@pytest.mark.thorough
def test_what_goes_on_as_before_is_foretold_and_what_goes_anywhere_is_not(sensors: ModuleType) -> None:
    found = {}
    for kind in ("waves", "walks"):
        panel = recordings(kind)
        naive = [sensors.on_people(panel, None, make(name)) for name in NAIVE_FAMILY]
        best = min(naive, key=lambda scores: scores["value"])
        found[kind] = sensors.skill(sensors.on_people(panel, None, ridge()), best)["skill"]
    assert found["waves"] > 0.95
    assert -0.2 < found["walks"] < 0.05


def test_the_skill_is_a_mean_over_people_of_the_error_that_is_gone(sensors: ModuleType) -> None:
    found = sensors.skill({"each": {"ann": 1.0, "bob": 3.0}}, {"each": {"ann": 2.0, "bob": 4.0}})
    assert found == {"skill": pytest.approx(0.375), "deviation": pytest.approx(np.std([0.5, 0.25], ddof=1))}


@pytest.mark.thorough
def test_a_forecast_depends_on_no_other_recording_of_that_person(sensors: ModuleType) -> None:
    def of_one(panel: Panel) -> np.ndarray:
        rows = sensors.forecasts(ridge(), panel)
        return rows.loc[rows["series"] == "b3", "forecast"].to_numpy()

    report = audit_procedure(of_one, recordings("walks"), tested="b3")
    assert report.passed, report
    assert "other series of the tested group: left out" in set(report.findings["perturbation"])


def test_the_watch_is_read_without_its_gestures(sensors: ModuleType, data_folder: Path) -> None:
    panel, part = sensors.watch(), sensors.first_training_part()
    assert (panel.roles.static, panel.roles.group) == ((), "user")
    assert sorted(set(part.groups)) == sorted(set(panel.groups))[1:]


def kept() -> list[dict[str, Any]]:
    """Return the rows that were measured."""
    return [json.loads(line) for line in (BENCHMARKS / "results/sensors.jsonl").read_text().splitlines()]


def test_the_network_of_the_watch_is_the_best_candidate_on_the_first_training_part(sensors: ModuleType) -> None:
    tried = {row["model"]: row for row in kept() if row["settings"] == "candidate"}
    assert set(tried) == set(sensors.CANDIDATES)
    assert min(tried, key=lambda name: tried[name]["value"]) == sensors.CHOSEN
    assert {who for row in tried.values() for who in row["each"]} == {f"U0{i}" for i in range(2, 9)}


def test_the_numbers_to_reach_are_reached_and_nothing_leaks() -> None:
    rows = [row for row in kept() if row["set"] == "gestures"]
    assert {row["audit"] for row in rows} == {"passed (data)"}
    assert all(row["skill"] >= 0.23 for row in rows if row["model"] in ("network", "ensemble"))
    assert all(row["skill"] < 0.23 for row in rows if row["model"].startswith("ridge"))
    assert {row["forecasts"] for row in rows} == {18_815 * 5 * 3}


def test_the_skill_of_each_row_follows_from_its_errors(sensors: ModuleType) -> None:
    rows = kept()
    by_model = {(row["set"], row["model"]): row for row in rows}
    for row in rows:
        naive = {name: by_model[row["set"], name] for name in NAIVE_FAMILY}
        assert row["reference"] == min(naive, key=lambda name: naive[name]["value"])
        assert sensors.skill(row, naive[row["reference"]])["skill"] == pytest.approx(row["skill"])
        assert row["value"] == pytest.approx(np.mean(list(row["each"].values())))
