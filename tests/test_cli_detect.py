"""`tsforecast detect`: anomalies in a file that follows the fitted one, printed and written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.helpers.commands import tsforecast
from tsforecast import MeanForecaster, Panel, SeasonalNaiveForecaster, save


@pytest.fixture(name="days")
def new_model(tmp_path: Path) -> pd.DataFrame:
    """White noise with a point; a model of the first days lies in ``model``, and ``new.csv`` has the others."""
    numbers = np.random.default_rng(0).normal(50, 1, 600).round(3)
    numbers[550] = 99.0
    frame = pd.DataFrame({"day": pd.date_range("2023-01-01", periods=600), "sales": numbers})
    save(MeanForecaster().fit(Panel.from_frame(frame[:400], time="day", target="sales")), tmp_path / "model")
    frame[390:].to_csv(tmp_path / "new.csv", index=False)
    return frame


@pytest.mark.long
def test_a_point_is_printed_and_written_in_the_form_of_the_ending(days: pd.DataFrame, tmp_path: Path) -> None:
    for name in ("found.html", "found.csv", "found.JSON"):
        result = tsforecast("detect", "model", "--data", "new.csv", "--out", name, cwd=tmp_path)
        assert (result.returncode, result.stderr) == (0, "")
        assert "1 anomaly in 200 numbers: 1 point and 0 collective.\n" in result.stdout
        assert "│ 1    │ point │ 2024-07-04 00:00:00 │" in result.stdout
        assert result.stdout.endswith(f"wrote {name}\n")
    table = pd.read_csv(tmp_path / "found.csv")
    assert table[["kind", "series", "start", "rows", "y"]].values.tolist() == [
        ["point", "sales", "2024-07-04", 1, 99.0]
    ]
    found = json.loads((tmp_path / "found.JSON").read_text())
    assert found["anomalies"][0]["y"] == 99.0
    assert "<h1>Anomalies in new.csv</h1>" in (tmp_path / "found.html").read_text()


def test_options_of_the_command_are_those_of_the_library(days: pd.DataFrame, tmp_path: Path) -> None:
    words = ("detect", "model", "--data", "new.csv", "--memory", "1", "--level", "0.2", "--tail", "none")
    result = tsforecast(*words, cwd=tmp_path)
    assert "a stretch of 1 step has a false point with a probability of about 20% or less" in result.stdout.replace(
        "\n", " "
    )
    for words, sentence in [
        (("--tail", "powr"), "--tail must be one of 'power', 'exponential': got 'powr'; did you mean 'power'?"),
        (("--level", "2"), "--level must be a number in (0, 1): got 2.0"),
        (("--step", "3"), "--step must be at most the horizon of the model: got 3, the model forecasts 1 step; fit a"),
        (("--out", "found.txt"), "what is found must end in .html, .csv or .json: got 'found.txt'"),
    ]:
        result = tsforecast("detect", "model", "--data", "new.csv", *words, cwd=tmp_path, width=200)
        assert result.returncode == 2
        assert result.stderr.startswith(f"Error: {sentence}")
    days[420:].to_csv(tmp_path / "late.csv", index=False)
    result = tsforecast("detect", "model", "--data", "late.csv", cwd=tmp_path, width=200)
    assert "has 2024-02-05 next, and the file begins with 2024-02-25; add the rows between" in result.stderr


def test_a_model_of_arrays_is_used_from_python(tmp_path: Path) -> None:
    save(SeasonalNaiveForecaster(season_length=2).fit(np.arange(90.0)), tmp_path / "arrays")
    (tmp_path / "new.csv").write_text("y\n1\n")
    result = tsforecast("detect", "arrays", "--data", "new.csv", cwd=tmp_path, width=200)
    assert result.stderr == (
        "Error: the model in 'arrays' must have been fitted on a table, to know which rows are new: use "
        "tsforecast.detect from Python\n"
    )
