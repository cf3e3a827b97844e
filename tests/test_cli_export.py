"""Exports on the command line: a file and a program that forecast as the command `predict` does."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.helpers.commands import tsforecast
from tsforecast.forecasters.naive import SeasonalNaiveForecaster
from tsforecast.sequences.baselines import MajorityClassifier
from tsforecast.sequences.neural import GRUClassifier


@pytest.mark.process
def test_an_exported_file_and_its_program_forecast_what_the_saved_model_does(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {"day": pd.date_range("2024-01-01", periods=60), "sales": np.arange(60) % 7 + np.arange(60) / 9}
    )
    table.to_csv(tmp_path / "sales.csv", index=False, date_format="%d.%m.%Y")
    SeasonalNaiveForecaster(horizon=3).fit(table).save(tmp_path / "model")
    (tmp_path / "model" / "reading.json").write_text('{"date_format": "%d.%m.%Y"}')  # as `fit` leaves it of such a file
    done = tsforecast("export", tmp_path / "model", tmp_path / "out" / "sales.onnx", "--interval", "80")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(
        f"kB in {tmp_path / 'out' / 'sales.onnx'}, and {tmp_path / 'out' / 'forecast.py'} to run it\n"
    )
    program = [
        sys.executable,
        tmp_path / "out" / "forecast.py",
        tmp_path / "out" / "sales.onnx",
        tmp_path / "sales.csv",
    ]
    alone = subprocess.run(program, capture_output=True, text=True, check=True).stdout
    found = pd.read_csv(io.StringIO(alone))
    truth = SeasonalNaiveForecaster(horizon=3).fit(table).predict(interval=0.8)
    assert found["day"].tolist() == ["01.03.2024", "02.03.2024", "03.03.2024"]
    np.testing.assert_allclose(
        found[["sales", "sales_lo80", "sales_hi80"]], truth[["sales", "sales_lo80", "sales_hi80"]], atol=1e-5
    )


@pytest.mark.long
def test_a_model_of_recordings_is_exported_without_intervals_or_refused_in_a_sentence(tmp_path: Path) -> None:
    waves, labels = [np.sin(np.arange(12) * (1 + i % 2)) for i in range(8)], ["slow", "fast"] * 4
    MajorityClassifier().fit(waves, labels).save(tmp_path / "majority")
    done = tsforecast("export", tmp_path / "majority", tmp_path / "m.onnx")
    assert done.returncode == 2
    assert "MajorityClassifier must have a graph to be exported" in done.stderr
    GRUClassifier(units=4, max_epochs=1, features=0).fit(waves, labels).save(tmp_path / "gru")
    refused = tsforecast("export", tmp_path / "gru", tmp_path / "m.onnx", "--interval", "80")
    assert refused.returncode == 2
    assert "--interval" in refused.stderr
    assert not (tmp_path / "m.onnx").exists()
    assert tsforecast("export", tmp_path / "gru", tmp_path / "m.onnx").returncode == 0
    assert {each.name for each in tmp_path.iterdir()} >= {"m.onnx", "predict.py"}
