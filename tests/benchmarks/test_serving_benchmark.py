"""The page on serving has the tables of the committed rows, and these are what is promised."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(name="rows")
def committed() -> list[dict[str, Any]]:
    return [json.loads(line) for line in (BENCHMARKS / "results/serving.jsonl").read_text().splitlines()]


def test_the_page_has_the_tables_of_the_committed_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import tables

    text = tables.SERVING.read_text(encoding="utf-8")
    assert tables.written(text, tables.DRAWN[tables.SERVING]) == text


def test_no_hostile_request_of_ten_thousand_failed_and_memory_was_flat(rows: list[dict[str, Any]]) -> None:
    hostile = [row for row in rows if row["measured"] == "hostile"]
    assert sum(row["requests"] for row in hostile) == 10_000
    assert all(sum(row["statuses"].values()) == row["requests"] for row in hostile)
    assert all(int(status) < 500 for row in hostile for status in row["statuses"])
    assert all(row["sound_one_after"] == 200 for row in hostile)
    (memory,) = (row for row in rows if row["measured"] == "memory")
    assert memory["requests"] == 100_000
    assert max(memory["mib"][1:]) - min(memory["mib"][1:]) < 8
    assert {row["clients"] for row in rows if row["measured"] == "latency"} == {1, 10, 100}
