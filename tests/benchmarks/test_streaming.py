"""The benchmark of streams counts the answers that are late."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def streaming(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    import streaming

    return streaming


@pytest.mark.parametrize(
    ("seconds", "late"),
    [
        ([0.5, 0.5, 0.5, 0.5], 0),
        ([0.5, 2.4, 0.5, 0.5], 0.75),  # done at 0.5, 3.4, 3.9, 4.4, where 1, 2, 3 and 4 are due
        ([0.5, 1.4, 0.1, 0.5], 0.25),  # the third one is on time again, at 2.5
        ([2.0, 2.0, 2.0, 2.0], 1),
    ],
)
def test_a_step_is_late_when_it_waits_for_others_too(streaming: ModuleType, seconds: list[float], late: float) -> None:
    assert streaming.late(np.array(seconds), rate=1) == late


@pytest.mark.long
def test_a_row_of_a_small_network_has_times_that_fit_together(streaming: ModuleType) -> None:
    source = streaming.Source("fast", 50, 2, 12, 20)
    row = streaming.latency(source, "gru", 4, 1)
    assert row["steps"] == 1000
    assert 0 < row["p50"] <= row["p99"] <= row["highest"] < 1
    assert 0 < row["core_p50"] <= row["core_p99"]
    assert row["again"] > row["p50"]


def test_steps_that_come_at_a_rate_are_answered_after_they_came(streaming: ModuleType) -> None:
    source = streaming.Source("fast", 50, 2, 12, 20)
    stream = streaming.fitted(source, "gru", 4, 1).stream()
    found = streaming.paced(stream, np.zeros((30, 2)), rate=200)
    assert stream.steps == 30
    assert 0 < found["p50"] <= found["p99"] <= found["highest"]
    assert 0 <= found["late"] <= 1
