"""The benchmarks of a GPU and of ragged recordings: every way has its row, and makes the steps that it is told."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return import_module


@pytest.mark.slow
def test_on_the_cpu_every_way_has_a_row_with_its_seconds_or_a_reason(
    bench: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    module = bench("gpu")
    monkeypatch.setenv("TSFORECAST_RESULTS", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--device", "cpu", "--quick"])
    monkeypatch.setattr(module, "FEW", module.FEW[1:])
    module.main()
    rows = [json.loads(line) for line in (tmp_path / "gpu.jsonl").read_text().splitlines()]
    assert [row["way"] for row in rows] == ["eager", "bf16", "cpu", "NeuralForecast", "Darts"]
    for row in rows:
        assert (row["seconds"] is None) == ("skipped" in row)
        assert row["device"] == "cpu"
        assert {"machine", "versions", "steps", *module.Size._fields} <= row.keys()
    assert [row["seeds"] for row in rows[:3]] == [[0], [0], [0]]


@pytest.mark.long
def test_a_fit_makes_as_many_steps_as_a_peer_is_told_to(bench: Any) -> None:
    module = bench("gpu")
    for size in module.SIZES[:2]:
        frame = module.series(size)
        model = module.ours("eager", "cpu", size, 2 * module.EPOCH, frame)(0)
        windows = size.series * (len(frame) // size.series - size.window - module.HORIZON + 1)
        assert [epoch.number for epoch in model.history_] == [0, 1, 2]
        assert windows >= module.EPOCH * size.batch  # so that no epoch is shorter


def test_an_epoch_of_the_plain_loop_reads_each_recording_to_its_end(bench: Any) -> None:
    module = bench("ragged_speed")
    network = module.Plain("gru", True, 3, 20)
    parts, labels = module.made_up(5)
    examples = [(torch.from_numpy(part).float(), label) for part, label in zip(parts, labels.tolist(), strict=True)]
    batch, lengths, _ = module.padded(examples)
    together = network(batch, lengths)
    for row, part in enumerate(parts):
        alone = network(torch.from_numpy(part).float()[None], torch.tensor([len(part)]))
        assert torch.allclose(together[row], alone[0], atol=1e-6)


def test_the_table_of_ragged_recordings_has_the_faster_torch(bench: Any) -> None:
    module, tables = bench("ragged_speed"), bench("speed_tables")
    seconds = {"default": [1.0, 3.0], "two steps at once": [0.5, 0.5], "torch, 1 thread": [6.0], "torch": [8.0]}
    row = module.row("gru", True, seconds, module.made_up(4))
    assert row["ratios"] == {"default": 3.0, "two steps at once": 12.0}
    cells = [cell.strip() for cell in tables.ragged(pd.DataFrame([row])).splitlines()[-1].strip("|").split("|")]
    assert cells == ["gru", "2", "2.00 s", "0.50 s", "6.00 s", "3.0", "12.0"]
