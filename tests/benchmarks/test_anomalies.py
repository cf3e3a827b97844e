"""Windows that are found, false alarms and the score of the benchmark of anomalies, by hand."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(name="bench")
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("anomalies")


def test_alarms_in_windows_are_true_and_those_a_day_apart_are_one(bench: Any) -> None:
    times = pd.date_range("2014-10-01", "2015-01-31 23:30", freq="30min").to_numpy()
    detections = np.array(
        ["2014-10-05", "2014-10-05T20:00", "2014-11-02T01:00", "2014-12-10", "2015-01-25"], dtype="datetime64[ns]"
    )
    found = bench.scored("nyc-taxi", times, detections)
    assert (found["windows"], found["found"], found["alarms"], found["false_alarms"]) == (5, 2, 4, 2)
    assert (found["recall"], found["precision"]) == (0.4, 0.5)
    hours = [(pd.Timestamp(b) - pd.Timestamp(a)) / pd.Timedelta(hours=1) for a, b in bench.WINDOWS["nyc-taxi"]]
    weeks = (123 * 24 - 0.5 - sum(hours)) / 168
    assert found["false_per_week"] == pytest.approx(2 / weeks, abs=1e-3)
    assert found["median_delay_hours"] == round(float(np.median([57.5, 3.5])), 1)


def test_silence_scores_nothing_and_the_begin_of_each_window_scores_all(bench: Any) -> None:
    for data, windows in bench.WINDOWS.items():
        times = pd.date_range(bench.FIRST[data], "2015-02-01", freq="30min").to_numpy()
        begins = np.array([np.datetime64(begin, "ns") for begin, _ in windows])
        assert bench.scored(data, times, begins[:0])["nab_like"] == 0.0
        assert bench.scored(data, times, begins)["nab_like"] == 100.0
        late = np.array([np.datetime64(end, "ns") for _, end in windows])
        assert bench.scored(data, times, late)["nab_like"] == 50.0
