"""Forecasts that are written to a folder: the rows that `predict` returns, once each, however the process ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from tsforecast import GRUForecaster, Panel, SeasonalNaiveForecaster, compute
from tsforecast.distributions import parquet
from tsforecast.errors import DataError, ParameterError
from tsforecast.files import OutputError

NUMBERS = np.random.default_rng(0).normal(10, 1, (12, 60))


@pytest.fixture(autouse=True)
def few_series_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "MOST", 5)


def long_frame(**more: Any) -> pd.DataFrame:
    days = pd.date_range("2024-01-01", periods=60, freq="D")
    frames = [pd.DataFrame({"shop": f"s{i}", "day": days, "y": row} | more) for i, row in enumerate(NUMBERS)]
    return pd.concat(frames, ignore_index=True)


@pytest.mark.parametrize("asked", [{}, {"interval": 0.8, "horizon": 5}, {"quantiles": [0.1, 0.9], "tidy": True}])
def test_the_folder_holds_the_rows_that_predict_returns(asked: dict[str, Any], tmp_path: Path) -> None:
    model = SeasonalNaiveForecaster(3).fit(long_frame())
    folder = model.predict(to=tmp_path / "out", **asked)
    assert sorted(os.listdir(folder)) == ["_forecasts.json", *(f"part-0000{i}.parquet" for i in range(3))]
    expected, order = model.predict(**asked), ["shop", "day", "quantile"] if "tidy" in asked else ["shop", "day"]
    found = pd.read_parquet(folder).sort_values(order, ignore_index=True)
    pd.testing.assert_frame_equal(found, expected.sort_values(order, ignore_index=True), check_exact=True)


def test_frames_of_polars_and_a_time_index_come_back(tmp_path: Path) -> None:
    model = SeasonalNaiveForecaster(3).fit(pl.from_pandas(long_frame()))
    model.predict(to=tmp_path / "polars")
    assert pl.read_parquet(tmp_path / "polars" / "*.parquet").equals(model.predict())
    model.fit(long_frame().set_index("day")).predict(to=tmp_path / "index")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "index"), model.predict(), check_freq=False)
    model.fit(pd.Series(NUMBERS[0], name="load")).predict(to=tmp_path / "series")
    assert pd.read_parquet(tmp_path / "series")["load"].tolist() == model.predict().tolist()


def test_arrays_and_wide_frames_are_written_in_rows(tmp_path: Path) -> None:
    model = SeasonalNaiveForecaster(3).fit(NUMBERS[..., None])
    found = pd.read_parquet(model.predict(to=tmp_path / "array", interval=0.8))
    assert found.columns.tolist() == ["series", "step", "y", "y_lo80", "y_hi80"]
    assert found["step"].tolist() == [60, 61, 62] * 12
    assert np.array_equal(found.iloc[:, 2:].to_numpy(), model.predict(interval=0.8).reshape(36, 3))
    wide = long_frame().pivot(index="day", columns="shop", values="y").reset_index()
    model = SeasonalNaiveForecaster(3).fit(Panel.from_wide(wide, time="day"))
    rows = pd.read_parquet(model.predict(to=tmp_path / "wide"))
    back = rows.pivot(index="day", columns="series", values="value")[wide.columns[1:]]
    assert np.array_equal(back.to_numpy(), model.predict().iloc[:, 1:].to_numpy())


def test_known_covariates_reach_each_file(tmp_path: Path) -> None:
    panel = Panel.from_frame(long_frame(open=1), id="shop", time="day", target="y", future="open")
    model = GRUForecaster(horizon=3, units=4, max_epochs=1, steps_per_epoch=2, random_state=0).fit(panel)
    days = pd.date_range("2024-03-01", periods=3, freq="D")
    names = panel.ids.tolist()
    given = pd.DataFrame({"shop": np.repeat(names, 3), "day": np.tile(days, 12), "open": np.tile([0, 1, 1], 12)})
    found = pd.read_parquet(model.predict(future=given, to=tmp_path / "out"))
    pd.testing.assert_frame_equal(found, model.predict(future=given), check_exact=True)
    with pytest.raises(OutputError, match="they differ in data; name another folder"):
        model.predict(future=given.assign(open=1), to=tmp_path / "out")
    with pytest.raises(DataError, match="future columns 'open' must be known for the 3 steps"):
        model.predict(to=tmp_path / "none")


def test_a_second_call_goes_on_where_the_first_ended(tmp_path: Path) -> None:
    model = SeasonalNaiveForecaster(3).fit(long_frame())
    folder = model.predict(to=tmp_path / "out")
    first, second = folder / "part-00000.parquet", folder / "part-00001.parquet"
    kept, written = first.read_bytes(), second.read_bytes()
    first.write_bytes(b"stays")
    second.unlink()
    model.predict(to=folder)
    assert first.read_bytes() == b"stays"
    assert second.read_bytes() == written
    first.write_bytes(kept)
    for model_, data, options, differ in (
        (SeasonalNaiveForecaster(3, season_length=3).fit(long_frame()), None, {}, "model"),
        (model, long_frame().assign(y=1.5), {}, "data"),
        (model, None, {"interval": 0.8}, "options"),
        (model, long_frame()[:180], {}, "data and series"),
    ):
        with pytest.raises(OutputError, match=f"they differ in {differ}; name another folder, or remove it"):
            model_.predict(data, to=folder, **options)
    (folder / "_forecasts.json").write_text("{}")
    with pytest.raises(OutputError, match="they differ in form"):
        model.predict(to=folder)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes").touch()
    with pytest.raises(OutputError, match=r"must be new or empty, or hold an older _forecasts\.json"):
        model.predict(to=tmp_path / "other")


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    model = SeasonalNaiveForecaster(3)
    with pytest.raises(ParameterError, match="to must be the path of a folder: got 3"):
        model.fit(long_frame()).predict(to=3)
    with pytest.raises(ParameterError, match="of supervised windows must be returned"):
        model.fit(NUMBERS[:, :-3], NUMBERS[:, -3:]).predict(NUMBERS[:, :-3], to=tmp_path)


@pytest.mark.process
def test_files_are_the_same_from_several_processes(tmp_path: Path) -> None:
    model = SeasonalNaiveForecaster(3).fit(long_frame())
    model.predict(to=tmp_path / "one", interval=0.8)
    with compute("processes", n_jobs=2):
        model.predict(to=tmp_path / "two", interval=0.8)
    for name in os.listdir(tmp_path / "one"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


SLOW = """
import sys, time
import numpy as np
from tsforecast import SeasonalNaiveForecaster
from tsforecast.distributions import parquet

class Slow(SeasonalNaiveForecaster):
    def forecast(self, past, horizon):
        time.sleep(0.05)
        return super().forecast(past, horizon)

parquet.MOST = 5
model = Slow(3).fit(np.random.default_rng(0).normal(10, 1, (200, 60, 1)))
model.predict(to=sys.argv[1])
np.save(sys.argv[2], model.predict())
"""


@pytest.mark.process
def test_a_killed_process_costs_the_file_under_way_alone(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SLOW, str(tmp_path / "out"), str(tmp_path / "all.npy")]
    process = subprocess.Popen(command)
    parts = tmp_path / "out"
    while len(list(parts.glob("part-*"))) < 7:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = {path: path.stat().st_mtime_ns for path in parts.glob("part-*")}
    assert 7 <= len(before) < 40
    subprocess.run(command, check=True)
    assert before.items() <= {path: path.stat().st_mtime_ns for path in parts.glob("part-*")}.items()
    found = pd.read_parquet(parts)
    assert not found.duplicated(["series", "step"]).any()
    assert np.array_equal(found["y"].to_numpy(), np.load(tmp_path / "all.npy").ravel())
    assert len(os.listdir(parts)) == 41  # and nothing unfinished
