"""The benchmark of searches over white noise: real searches, and committed rows in which most luck is found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
pytestmark = pytest.mark.thorough


def test_most_luck_of_searches_over_white_noise_is_found() -> None:
    rows = [json.loads(line) for line in (BENCHMARKS / "results/optimism.jsonl").read_text().splitlines()]
    assert [row["situation"].split()[0] for row in rows] == ["60", "24", "4"]
    for row in rows:
        assert row["searches"] == 200
        assert row["best"] - row["true"] > 2 * abs(row["off"])  # most of the luck was found
        assert abs(row["off"]) < 2 * row["standard_error"]


def test_a_search_of_the_benchmark_is_one_of_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    import optimism

    monkeypatch.setattr("tsforecast.search.tuner.tune", optimism.one_by_one)
    monkeypatch.setattr(optimism, "EPOCHS", 1)
    found = optimism.searched(0, 1, 4)
    assert found["best"] >= 0
    assert abs(found["true"]) < 0.5
