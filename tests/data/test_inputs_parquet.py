"""Parquet files that pandas wrote are read as the frames that they hold: index, periods and categories."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from tsforecast import SeasonalNaiveForecaster
from tsforecast.cli.app import app
from tsforecast.estimators.persistence import save

DAYS = pd.date_range("2024-01-01", periods=24)
PLAIN = pd.DataFrame({"day": DAYS, "y": np.arange(24.0) % 7})
LONG = pd.concat([PLAIN.assign(id="b"), PLAIN.assign(id="a", y=PLAIN["y"] + 10)], ignore_index=True)
LONG = LONG[["id", "day", "y"]]
AHEAD = "day,y\n2024-01-25,3.0\n2024-01-26,4.0\n"
BOTH = "id,day,y\nb,2024-01-25,3.0\nb,2024-01-26,4.0\na,2024-01-25,13.0\na,2024-01-26,14.0\n"
PERIODS = {  # frequency of 24 periods from 2020 on -> the two that follow, and the values of a season before
    "M": ("2022-01,0.0", "2022-02,1.0"),
    "Q": ("2026Q1,0.0", "2026Q2,1.0"),
    "Y": ("2044,11.0", "2045,11.0"),
    "D": ("2020-01-25,3.0", "2020-01-26,4.0"),
    "h": ("2020-01-02 00:00,0.0", "2020-01-02 01:00,1.0"),
}


def cli(*words: object) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return result.output


def forecast(folder: Path, frame: Any, *words: str) -> str:
    """Return the printed seasonal naive forecasts of two steps from a frame in a Parquet file."""
    frame.to_parquet(folder / "past.parquet")
    model = ("--model", "seasonal-naive", "--horizon", "2", "--out", folder / "m")
    cli("fit", folder / "past.parquet", *model, *words)
    return cli("predict", folder / "m")


FRAMES: dict[str, tuple[pd.DataFrame, str, tuple[str, ...]]] = {
    "dates in a column": (PLAIN, AHEAD, ()),
    "rows cut from a frame": (PLAIN.set_axis(range(5, 29)), AHEAD, ()),
    "rows numbered with a gap": (PLAIN.set_axis(np.r_[0:14, 20:30]), AHEAD, ()),
    "rows numbered with a gap, a target": (PLAIN.set_axis(np.r_[0:14, 20:30]), AHEAD, ("--target", "y")),
    "dates in the index": (PLAIN.set_index("day"), AHEAD, ()),
    "dates in the index, named": (PLAIN.set_index("day"), AHEAD, ("--time", "day")),
    "dates in an index without a name": (
        PLAIN.set_index("day").rename_axis(None),
        AHEAD.replace("day", "time"),
        (),
    ),
    "dates of Python": (PLAIN.assign(day=PLAIN["day"].dt.date), AHEAD, ()),
    "a date_range in the index": (PLAIN[["y"]].set_axis(DAYS.rename("day")), AHEAD, ()),
    "categories": (LONG.assign(id=LONG["id"].astype("category")), BOTH, ()),
    "ids and dates in the index": (LONG.set_index(["id", "day"]), BOTH, ()),
    "ids in the index": (LONG.set_index("id"), BOTH, ()),
    "ids and dates in an index without names": (
        LONG.set_index(["id", "day"]).rename_axis([None, None]),
        BOTH.replace("day", "time"),
        (),
    ),
    "arrow types": (LONG.convert_dtypes(dtype_backend="pyarrow"), BOTH, ()),
    "columns with numbers": (
        LONG[["y", "day", "id"]].set_axis([0, 1, 2], axis=1),
        "0,1,2\n3.0,2024-01-25,b\n4.0,2024-01-26,b\n13.0,2024-01-25,a\n14.0,2024-01-26,a\n",
        (),
    ),
    "years in the index": (
        PLAIN[["y"]].set_axis(pd.Index(range(1990, 2014), name="year")),
        "year,y\n2014,3.0\n2015,4.0\n",
        (),
    ),
}


@pytest.mark.thorough
@pytest.mark.parametrize("what", FRAMES)
def test_a_frame_in_a_file_is_forecast_as_the_frame(what: str, tmp_path: Path) -> None:
    frame, expected, words = FRAMES[what]
    assert forecast(tmp_path, frame, *words) == expected
    assert cli("predict", tmp_path / "m", "--data", tmp_path / "past.parquet") == expected


@pytest.mark.thorough
@pytest.mark.parametrize("place", ["column", "index", "index without a name"])
@pytest.mark.parametrize("freq", PERIODS)
def test_periods_in_a_file_go_on_as_periods(freq: str, place: str, tmp_path: Path) -> None:
    periods = pd.period_range("2020", periods=24, freq=freq)
    season = {"M": 12, "Q": 4, "Y": 12, "D": 7, "h": 24}[freq]
    frame = pd.DataFrame({"when": periods, "y": np.arange(24.0) % season})
    if place != "column":
        frame = frame.set_index("when").rename_axis("when" if place == "index" else None)
    name = "time" if place == "index without a name" else "when"
    assert forecast(tmp_path, frame) == f"{name},y\n" + "\n".join(PERIODS[freq]) + "\n"


def test_a_damaged_description_of_pandas_leaves_the_columns(tmp_path: Path) -> None:
    table = pa.Table.from_pandas(PLAIN).replace_schema_metadata({"pandas": "{"})
    pq.write_table(table, tmp_path / "past.parquet")
    cli("fit", tmp_path / "past.parquet", "--model", "naive", "--horizon", "1", "--out", tmp_path / "m")
    assert cli("predict", tmp_path / "m") == "day,y\n2024-01-25,2.0\n"


@pytest.mark.parametrize(
    ("series", "names"),
    [
        (PLAIN.set_index("day")["y"], "day,y"),
        (PLAIN.set_index("day")["y"].rename(None).rename_axis(None), "time,y"),
        (PLAIN.set_index("day")["y"].rename(0), "day,0"),
    ],
)
def test_a_series_without_names_gets_them_in_a_file(series: Any, names: str, tmp_path: Path) -> None:
    save(SeasonalNaiveForecaster(horizon=2).fit(series), tmp_path / "m")
    assert cli("predict", tmp_path / "m") == AHEAD.replace("day,y", names)
