"""Frames as nobody expects them are refused in a sentence, too: what the search for any input has found."""

from __future__ import annotations

import decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tsforecast import MajorityClassifier, NaiveForecaster
from tsforecast.data.panel import Panel
from tsforecast.errors import DataError

DAYS = pd.date_range("2024-01-01", periods=3, name="day")
TWICE = pd.DataFrame([[[1.0], 1.0], [[2.0], 2.0]], columns=["a", "a"])
NUMBERS = pd.DataFrame({"day": [2.0, 3.0, 4.0]}, index=DAYS)
LEVELS = pd.DataFrame([[1.0, 2.0]], columns=pd.MultiIndex.from_tuples([("a", "x"), ("a", "y")]))


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (TWICE, "column names must be unique: 'a' occurs twice; rename one"),
        (pa.table([[1.0], [2.0]], names=["a", "a"]), "column names must be unique: 'a' occurs twice; rename one"),
        (NUMBERS, "index and columns must have names of their own: both have 'day'; rename one"),
        (LEVELS, "a column must have one name: the columns have 2 levels; join them to one"),
        ([10**400, 1], "the array must hold numbers: int too large to convert to float"),
    ],
)
def test_what_cannot_be_told_apart_or_read_is_refused(frame: Any, words: str) -> None:
    with pytest.raises(DataError) as caught:
        Panel.of(frame)
    assert str(caught.value) == words


def test_a_column_of_lists_names_no_series() -> None:
    frame = pd.DataFrame({"day": DAYS, "shop": [["a"], ["a"], ["b"]], "sales": [1.0, 2.0, 3.0]})
    for roles in ({"id": "shop"}, {"static": "shop"}, {"group": "shop"}):
        with pytest.raises(DataError, match=r"column 'shop' must hold text or numbers: row 0 holds .*, a list"):
            Panel.from_frame(frame, time="day", target="sales", **roles)
    out_of_order = pl.from_pandas(frame.iloc[[1, 0, 2]])
    with pytest.raises(DataError, match="time stamps must go forward"):
        Panel.from_frame(out_of_order, time="day", target="sales")


def test_decimals_may_be_missing_where_the_target_is_guessed() -> None:
    some = [decimal.Decimal("1.5"), None, decimal.Decimal("2.5")] * 4
    with pytest.raises(DataError, match="which column to forecast must be clear: 'a', 'b' hold numbers"):
        Panel.of(pl.DataFrame({"a": some, "b": np.arange(12.0)}))


def test_gaps_that_would_fill_the_memory_are_refused() -> None:
    stamps = [*pd.date_range("2024-01-01", periods=9, freq="us"), pd.Timestamp("2200-01-01")]
    frame = pd.DataFrame({"day": stamps, "sales": 1.0})
    with pytest.raises(DataError, match=r"gaps must be small enough to fill: \d+ time stamps are missing, and 10"):
        Panel.from_frame(frame, time="day", fill_gaps=True, nan_policy="forward_fill")


def test_windows_and_recordings_of_frames_are_refused_in_the_same_words() -> None:
    twice = pd.DataFrame([[1.0, 2.0]] * 4, columns=["a", "a"])
    dates = pd.DataFrame({"a": pd.date_range("2024-01-01", periods=4), "b": 1.0})
    held = "some columns hold dates; leave them out"
    for frame, words in (
        (twice, "column names must be unique: 'a' occurs twice"),
        (dates, held),
        (dates[["a"]], held),
        (pl.DataFrame(dates[["a"]]), held),
        (dates[["a"]].to_numpy(), held),
    ):
        with pytest.raises(DataError, match=words):
            NaiveForecaster().fit(frame, np.ones(4))
        with pytest.raises(DataError, match=words):
            MajorityClassifier().fit(frame, ["x", "y"] * 2)
