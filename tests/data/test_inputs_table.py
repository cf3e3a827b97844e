"""Calendars and zones x frames, types and files: seasonal naive values and dates, in Python and on the command line."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tests.helpers.commands import tsforecast
from tests.helpers.workbook import workbook
from tsforecast import SeasonalNaiveForecaster
from tsforecast.data.panel import Panel

# First stamp, frequency, rows, season, zone, and the two stamps that follow on the clocks of the zone. The values are
# 0, 1, ... in each season, and the rows whole seasons: 0 and 1 follow.
CALENDARS: dict[str, tuple[str, str, int, int, str | None, list[str]]] = {
    "days to a leap day": ("2024-02-01", "D", 28, 7, None, ["2024-02-29", "2024-03-01"]),
    "business days": ("2024-01-01", "B", 20, 5, None, ["2024-01-29", "2024-01-30"]),
    "weeks": ("2022-01-03", "7D", 104, 52, None, ["2024-01-01", "2024-01-08"]),
    "month starts": ("2022-01-01", "MS", 24, 12, None, ["2024-01-01", "2024-02-01"]),
    "month ends": ("2022-02-28", "ME", 24, 12, None, ["2024-02-29", "2024-03-31"]),
    "quarter ends": ("2022-03-31", "QE", 8, 4, None, ["2024-03-31", "2024-06-30"]),
    "hours": ("2024-02-27", "h", 48, 24, None, ["2024-02-29 00:00", "2024-02-29 01:00"]),
    "quarters of hours": ("2024-02-27", "15min", 192, 96, None, ["2024-02-29 00:00", "2024-02-29 00:15"]),
    "hours in UTC": ("2024-02-27", "h", 48, 24, "UTC", ["2024-02-29 00:00", "2024-02-29 01:00"]),
    "days in Berlin": ("2024-03-04", "D", 28, 7, "Europe/Berlin", ["2024-04-01 00:00", "2024-04-02 00:00"]),
    "no midnight": ("2018-10-21", "D", 28, 7, "America/Sao_Paulo", ["2018-11-18 00:00", "2018-11-19 00:00"]),
    "shifts": ("2024-02-25 06:00", "12h", 28, 2, "America/New_York", ["2024-03-10 06:00", "2024-03-10 18:00"]),
    "half an hour": ("2024-09-10 02:15", "D", 28, 7, "Australia/Lord_Howe", ["2024-10-08 02:15", "2024-10-09 02:15"]),
}  # fmt: skip
Rows = list[tuple[str | None, str, float]]  # id, wall clock, value


def past_of(calendar: str) -> pd.DataFrame:
    first, frequency, count, season, zone, _ = CALENDARS[calendar]
    stamps = pd.date_range(first, periods=count, freq=frequency).tz_localize(zone, True, "shift_forward")
    return pd.DataFrame({"when": stamps, "y": np.arange(count) % season * 1.0})


def shops(past: pd.DataFrame, names: list[Any], kind: Any) -> pd.DataFrame:
    each = [past.assign(shop=name, y=past["y"] + 10 * at) for at, name in enumerate(names)]
    return pd.concat(each, ignore_index=True).astype({"shop": kind})


def texts(past: pd.DataFrame) -> pd.DataFrame:
    daily = past["when"].dt.tz is None and (past["when"].dt.normalize() == past["when"]).all()
    return past.assign(when=[str(when.date()) if daily else when.isoformat() for when in past["when"]])


FRAMES: dict[str, Callable[[pd.DataFrame], Any]] = {
    "pandas": lambda past: past,
    "a pandas index": lambda past: past.set_index("when"),
    "pandas categories": lambda past: shops(past, ["b", "a"], "category"),
    "pandas, ids of 16 bits": lambda past: shops(past, [7, 3], "int16").set_index(["shop", "when"]),
    "polars": pl.from_pandas,
    "polars Enum, float32": lambda past: pl.from_pandas(shops(past, ["b", "a"], "str")).with_columns(
        pl.col("shop").cast(pl.Enum(["a", "b"])), pl.col("y").cast(pl.Float32)
    ),
    "arrow": lambda past: pa.Table.from_pandas(past, preserve_index=False),
    "arrow dictionaries": lambda past: pa.Table.from_pandas(shops(past, ["b", "a"], "category"), preserve_index=False),
}


def csv(past: pd.DataFrame, **how: Any) -> bytes:
    return texts(past).to_csv(None, index=False, **how).encode()


def excel(past: pd.DataFrame) -> bytes:
    file = io.BytesIO()
    workbook(file, [["when", "y"], *texts(past).itertuples(index=False)])
    return file.getvalue()


FILES: dict[str, tuple[str, Callable[[pd.DataFrame], bytes], list[Any] | None]] = {
    "CSV": (".csv", csv, None),
    "CSV with ids": (".csv", lambda past: csv(shops(past, ["007", "7"], "str")), ["007", "7"]),
    "CSV of Excel": (".csv", lambda past: csv(past, sep=";", decimal=","), None),
    "gzip": (".csv.gz", lambda past: gzip.compress(csv(past, sep="\t")), None),
    "Excel": (".xlsx", excel, None),
}


def rows(frame: Any) -> Rows:
    """Return forecasts of any library as rows."""
    flat = frame if isinstance(frame, pd.DataFrame) else frame.to_pandas()
    flat = flat.reset_index() if flat.index.names != [None] else flat
    ids = flat["shop"].tolist() if "shop" in flat else [None] * len(flat)
    return [
        (name, str(when)[:16].replace("T", " "), y) for name, when, y in zip(ids, flat["when"], flat["y"], strict=True)
    ]


def wanted(calendar: str, names: list[Any] | None) -> Rows:
    ahead = [when if ":" in when else f"{when} 00:00" for when in CALENDARS[calendar][-1]]
    return [
        (name, when, 10.0 * at + step) for at, name in enumerate(names or [None]) for step, when in enumerate(ahead)
    ]


def by_command(folder: Path, file: Path, *words: str) -> Rows:
    """Return the forecasts that go on from a file."""
    fit = ("fit", file, *words, "--model", "seasonal-naive", "--horizon", "2", "--out", "m")
    for command in (fit, ("predict", "m", "--data", file, "--out", "next.csv")):
        done = tsforecast(*command, cwd=folder)
        assert done.returncode == 0, done.stderr
    found = (folder / "next.csv").read_text()
    mark = next(mark for mark in ";\t," if mark in found)
    table = pd.read_csv(io.StringIO(found), sep=mark, decimal="," if mark == ";" else ".", dtype={"shop": str})
    at = table["when"].str.slice(0, 16)
    return rows(table.assign(when=at.where(at.str.len() > 10, at + " 00:00")))


@pytest.mark.thorough
@pytest.mark.parametrize("calendar", CALENDARS)
@pytest.mark.parametrize("kind", FRAMES)
def test_a_frame_goes_on_in_python_and_from_a_file(kind: str, calendar: str, tmp_path: Path) -> None:
    frame = FRAMES[kind](past_of(calendar))
    model = SeasonalNaiveForecaster(horizon=2).fit(frame)
    found = rows(model.predict())
    names = [*dict.fromkeys(name for name, *_ in found)]
    dated = [(name, when if len(when) > 10 else f"{when} 00:00", y) for name, when, y in found]
    assert dated == wanted(calendar, names)
    assert Panel.of(model.predict()).source.zone == Panel.of(frame).source.zone
    table = frame if isinstance(frame, pd.DataFrame) else frame.to_pandas()
    file = tmp_path / "past.parquet"
    frame.write_parquet(file) if isinstance(frame, pl.DataFrame) else table.to_parquet(file)
    assert by_command(tmp_path, file) == wanted(calendar, [None if name is None else str(name) for name in names])


@pytest.mark.thorough
@pytest.mark.parametrize("calendar", CALENDARS)
@pytest.mark.parametrize("kind", FILES)
def test_a_file_goes_on_as_it_is_written(kind: str, calendar: str, tmp_path: Path) -> None:
    suffix, written, names = FILES[kind]
    if suffix == ".xlsx":
        pytest.importorskip("fastexcel")
    file = tmp_path / f"past{suffix}"
    file.write_bytes(written(past_of(calendar)))
    assert by_command(tmp_path, file, *(("--id", "shop") if names else ())) == wanted(calendar, names)


def test_the_table_has_150_inputs() -> None:
    assert len(CALENDARS) * (len(FRAMES) + len(FILES)) >= 150
