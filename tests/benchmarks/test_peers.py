"""The benchmark beside peers: the same work for each library, and nobody is quick by learning nothing."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tsforecast.forecasters.naive import NaiveForecaster, SeasonalNaiveForecaster

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SMALL = {"horizon": 3, "window": 6, "batch": 16, "seed": 1, "cell": "GRU", "units": 4, "season": 4, "rate": 0.01}
SMALL |= {"epochs": 2, "steps": 3, "segment": 1, "anchor": "none"}


@pytest.fixture
def peers(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    import peers

    return peers


def kept() -> pd.DataFrame:
    """Return the rows that were measured."""
    lines = (BENCHMARKS / "results/peers.jsonl").read_text().splitlines()
    return pd.DataFrame([json.loads(line) for line in lines])


def told(peers: ModuleType, values: np.ndarray, place: Path, **more: Any) -> dict[str, Any]:
    return SMALL | {"data": peers._csv("walks", values, str(place)), "length": values.shape[1]} | more


def walks(count: int, length: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, length)).cumsum(axis=1)


def test_a_run_of_ours_takes_the_steps_it_is_told_and_times_every_part(peers: ModuleType, tmp_path: Path) -> None:
    found = peers.ours(told(peers, walks(4, 60), tmp_path, train=50, origins=0, keeps=["fit", "predict"]))
    assert found["steps"] == 6
    assert all(found[part][0] > 0 for part in ("read", "fit", "predict"))


@pytest.mark.thorough
def test_a_backtest_of_ours_does_not_count_its_fit(
    peers: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tsforecast import GRUForecaster

    fit, slept = GRUForecaster.fit, 0.5

    def slow(self: GRUForecaster, *data: Any, **settings: Any) -> GRUForecaster:
        time.sleep(slept)
        return fit(self, *data, **settings)

    monkeypatch.setattr(GRUForecaster, "fit", slow)  # what is timed is a subclass of it
    monkeypatch.setattr(peers, "CALLS", 1)
    found = peers.ours(told(peers, walks(1, 60), tmp_path, train=40, origins=18, keeps=["backtest"]))
    assert found["fit"][0] > slept > found["backtest"][0] > 0


def test_the_naive_error_is_that_of_the_better_naive_forecaster(peers: ModuleType, tmp_path: Path) -> None:
    from tsforecast import Panel, backtest

    values = walks(1, 60)
    panel = Panel.from_array(values[0], season_length=4)
    rows = [backtest(model, panel, 3, 18, step=1) for model in (NaiveForecaster(), SeasonalNaiveForecaster())]
    errors = [(part["y"] - part["forecast"]).abs().mean() for part in rows]
    assert peers.naive_error(SMALL | {"train": 40, "origins": 18}, values) == pytest.approx(min(errors))


def test_each_library_goes_on_with_the_threads_that_were_quicker_at_some_part(peers: ModuleType) -> None:
    parts = [
        {"fit": [fit, 9.0], "predict": [predict, 9.0]}
        for fit, predict in [(1, 1), (1, 1), (5, 2), (6, 1), (5, 1), (6, 2)]
    ]
    chosen = peers.quicker({"keeps": ["read", "fit", "predict"]}, peers.WAYS, [[part] for part in parts])
    assert chosen == peers.WAYS[:5]


def test_rows_are_refused_when_a_library_took_other_steps(peers: ModuleType) -> None:
    task = peers.SHARED | peers.TASKS["many series"] | {"series": 3000}
    steps = task["epochs"] * task["steps"]
    run = {"steps": steps, "read": [1.0, 1.0], "fit": [1.0, 1.0], "predict": [1.0, 1.0], "mae": 1.0}
    found = [[run] for _ in peers.WAYS]
    assert len(peers.rows_of(task, peers.WAYS, found, 1.0)) == 3 * len(peers.WAYS)
    found[-1] = [run | {"steps": steps - 1}]
    with pytest.raises(
        RuntimeError, match=rf"every library must take {steps} steps: they took \[{steps - 1}, {steps}\]"
    ):
        peers.rows_of(task, peers.WAYS, found, 1.0)


def test_every_part_of_every_task_was_measured_in_every_way(peers: ModuleType) -> None:
    rows = kept()
    for task, settings in peers.TASKS.items():
        for part in settings["keeps"]:
            here = rows[(rows["task"] == task) & (rows["measured"] == part)]
            ways = set(zip(here["library"], here["settings"], strict=True))
            assert ways == {(library, words) for library, words, _ in peers.WAYS}
            assert set(here["steps"]) == {settings["epochs"] * settings["steps"]}
    assert (rows["lowest"] <= rows["seconds"]).all()
    assert (rows["seconds"] <= rows["highest"]).all()
    assert (rows["runs"] >= 3).all()


def test_nobody_is_quick_by_learning_nothing() -> None:
    rows = kept()
    assert (rows["mae"] < rows["naive_mae"]).all()
    worst = rows[rows["library"] == "tsforecast"].groupby("task")["mae"].max()
    best = rows[rows["library"] != "tsforecast"].groupby("task")["mae"].min()
    assert (worst < 1.1 * best).all()
