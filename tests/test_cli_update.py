"""`tsforecast update`: a model with more rows, what has drifted, and a monitor that goes on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.helpers.commands import tsforecast
from tests.helpers.forecasters import small
from tsforecast import MeanForecaster, Panel, load, save

ROWS = 160


def table() -> pd.DataFrame:
    numbers = np.random.default_rng(0).normal(50, 1, 200).round(3)
    return pd.DataFrame({"day": pd.date_range("2024-01-01", periods=200), "sales": numbers})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    frame = table()
    save(MeanForecaster(horizon=2).fit(frame[:ROWS]), tmp_path / "model")
    frame[ROWS : ROWS + 15].to_csv(tmp_path / "new.csv", index=False)
    frame[: ROWS + 15].to_csv(tmp_path / "whole.csv", index=False)
    frame[ROWS : ROWS + 31].to_csv(tmp_path / "all.csv", index=False)
    frame[ROWS + 15 : ROWS + 31].to_csv(tmp_path / "later.csv", index=False)
    return tmp_path


@pytest.mark.long
def test_the_monitor_of_an_updated_model_goes_on_where_that_of_one_that_was_not_would_be(folder: Path) -> None:
    done = tsforecast("update", "model", "new.csv", "--out", "next", cwd=folder, width=200)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(
        "15 new rows of 1 of 1 series, up to 2024-06-23\nmean error of 'sales' shows no shift"
    )
    assert "without drift, about 5% of runs of 100 steps have an alarm (1.67% by each monitor)" in done.stdout
    assert done.stdout.endswith("wrote next\n")
    assert not (folder / "model" / "monitor.json").exists()
    assert load(folder / "next").panel_.lengths.tolist() == [ROWS + 15]
    forecasts = [
        float(tsforecast("predict", *words, cwd=folder).stdout.split(",")[-1])
        for words in (["next"], ["model", "--data", "whole.csv"])
    ]
    assert forecasts[0] == pytest.approx(forecasts[1], rel=1e-6)
    for model, file in (("next", "later.csv"), ("model", "all.csv")):
        assert tsforecast("monitor", model, "--data", file, cwd=folder).returncode == 0
    kept = [json.loads((folder / name / "monitor.json").read_text()) for name in ("next", "model")]
    assert len(kept[0]["model_losses"]) == 15
    for name in ("model_losses", "reference_losses", "cutoffs", "passed", "reference", "starts"):
        assert kept[0][name] == kept[1][name]
    assert [len(rows) for state in kept for rows in state["rows"].values()] == [16, 31]


@pytest.mark.long
def test_a_model_is_replaced_on_request_alone(folder: Path) -> None:
    before = (folder / "model" / "model.json").read_bytes()
    for words, sentence in {
        (): "a folder for the updated model, or --in-place, must be given: got neither; give --out",
        ("--out", "x", "--in-place"): "must be given: got both",
        ("--out", "./model"): "--out must be another folder than that of the model",
        ("--out", "next", "--scales", "new"): "--scales must be one of 'keep', 'learn': got 'new'",
        ("--out", "next", "--epochs", "2"): "only networks can be trained further: a MeanForecaster has none",
    }.items():
        refused = tsforecast("update", "model", "new.csv", *words, cwd=folder, width=300)
        assert refused.returncode == 2
        assert sentence in refused.stderr
    assert (folder / "model" / "model.json").read_bytes() == before
    assert not (folder / "next").exists()
    assert tsforecast("update", "model", "new.csv", "--in-place", cwd=folder).returncode == 0
    again = tsforecast("update", "model", "all.csv", "--in-place", cwd=folder)
    assert "16 new rows" in again.stdout
    assert len(json.loads((folder / "model" / "monitor.json").read_text())["model_losses"]) == 15
    assert tsforecast("monitor", "model", cwd=folder).returncode == 0


@pytest.mark.long
def test_drift_is_a_warning_and_a_monitor_never_judges_rows_that_were_trained_on(tmp_path: Path) -> None:
    frame = table()
    frame.loc[ROWS:, "sales"] += 6.0
    model = small("gru").set_params(validation=60)
    save(model.fit(Panel.from_frame(frame[:ROWS], season_length=6)), tmp_path / "model")
    frame[ROWS:].to_csv(tmp_path / "new.csv", index=False)
    done = tsforecast("update", "model", "new.csv", "--out", "next", "--scales", "learn", cwd=tmp_path, width=200)
    assert done.returncode == 0
    assert done.stderr.startswith("Drift: size of errors of 'sales' has shifted since 2024-06-")
    state = json.loads((tmp_path / "next" / "monitor.json").read_text())
    assert len(state["cutoffs"]) == 40 // 3
    assert state["passed"] * 3 >= 40  # the next cutoff lies behind all rows that the scales were learned from
