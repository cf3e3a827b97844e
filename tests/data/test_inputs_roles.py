"""Columns that nobody named: text is the names of series only where it does not tear one series apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tests.helpers.commands import tsforecast
from tsforecast import NaiveForecaster, SeasonalNaiveForecaster
from tsforecast.data.panel import Panel
from tsforecast.errors import DataError

DAYS = pd.date_range("2024-01-01", periods=28)
WEATHER = ["sunny", "rain", "rain", "snow"] * 7
LIBRARIES = {"pandas": lambda frame: frame, "polars": pl.from_pandas, "arrow": pa.Table.from_pandas}
YEAR = pd.date_range("2015-01-01", periods=24, freq="MS")


def shops(*names: str) -> pd.DataFrame:
    return pd.concat([pd.DataFrame({"shop": name, "day": DAYS, "y": np.arange(28.0)}) for name in names])


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("kind", ["str", "category"])
@pytest.mark.parametrize("once", [True, False])  # a stamp that occurs twice is a fault, no second series
def test_text_beside_stamps_that_occur_once_is_left_out_with_a_note(library: str, kind: str, once: bool) -> None:
    frame = pd.DataFrame({"day": DAYS, "weather": pd.Series(WEATHER, dtype=kind), "y": np.arange(28.0) % 7})
    given: Any = LIBRARIES[library](frame if once else pd.concat([frame, frame[-1:]], ignore_index=True))
    panel = Panel.from_frame(given, duplicates=None if once else "last")
    assert panel.notes[0] == (
        "column 'weather' was left out: it holds text, and each time stamp occurs once without it; pass id='weather' "
        "if it names series"
    )
    ahead = SeasonalNaiveForecaster(horizon=3).fit(panel).predict()
    assert Panel.of(ahead).values.ravel().tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("shop", "series"),
    [
        (["a"] * 12 + ["b"] * 16, 2),  # one after the other
        (["a", "b", "c", "d"] * 7, 4),  # in turn
        (["a"] * 28, 1),
        (WEATHER, 1),
        ([f"May {1990 + i}" for i in range(28)], 0),
        ([f"row {i}" for i in range(28)], 1),
    ],
)
def test_without_a_time_names_of_series_stand_together_or_in_turn(shop: list[str], series: int) -> None:
    frame = pd.DataFrame({"shop": shop, "y": np.arange(28.0)})
    if not series:
        with pytest.raises(DataError, match="time column 'shop' must hold dates"):
            Panel.of(frame)
        return
    panel = Panel.of(frame)
    assert (len(panel), len(panel.values)) == (series, 28)
    assert bool(panel.notes) == (series == 1 and len(set(shop)) > 1)


def test_recordings_one_after_the_other_are_series_and_a_label_of_the_season_is_none() -> None:
    later = pd.concat([shops("a"), shops("b").assign(day=DAYS + pd.Timedelta(days=90))])
    assert Panel.of(later).ids.tolist() == ["a", "b"]
    label = pd.DataFrame({"day": DAYS, "season": ["winter"] * 20 + ["spring"] * 8, "y": 1.0})
    assert len(Panel.of(label)) == 1
    weekdays = pd.DataFrame({"day": DAYS, "weekday": DAYS.day_name(), "y": 1.0})
    assert len(Panel.of(weekdays)) == len(Panel.of(weekdays.assign(day=DAYS.strftime("%Y-%m-%d")))) == 1


def test_counted_steps_of_an_unsigned_type_go_back_where_another_series_follows() -> None:
    each = {"shop": ["a", "b"] * 6, "step": [10 * (i % 2) + i // 2 for i in range(12)], "y": np.arange(12.0)}
    for kind in ("int32", "uint32"):
        frame = pd.DataFrame(each).astype({"step": kind})
        assert Panel.from_frame(frame, time="step").ids.tolist() == ["a", "b"]


def test_names_of_series_that_share_stamps_are_found_in_any_order() -> None:
    both = shops("a", "b")
    for frame in (both, both.sort_values("day"), shops("a"), both[:40], both[:29], both[26:].sort_values("day")):
        panel = Panel.of(frame)
        assert (panel.source.id, panel.notes) == ("shop", ())
    assert Panel.of(shops("a", "b").assign(month="Jan 2024")[["day", "shop", "y"]]).ids.tolist() == ["a", "b"]


@pytest.mark.long
@pytest.mark.parametrize(
    ("form", "named"),
    [
        ("%b %Y", "%b %Y"), ("%Y-%b", "%Y-%b"), ("%b-%y", "%b-%y"), ("%B %Y", "%B %Y"), ("%b. %Y", "%b. %Y"),
        ("%b-%Y", "%b-%Y"), ("%Y %B", "%Y %B"), ("%b/%y", "%b/%y"),
    ],
)  # fmt: skip
def test_months_in_words_are_dates_whose_format_is_named(form: str, named: str, tmp_path: Path) -> None:
    frame = pd.DataFrame({"month": YEAR.strftime(form), "y": np.arange(24.0)})
    with pytest.raises(DataError) as caught:
        Panel.of(frame)
    assert str(caught.value).endswith(f"convert it first with pandas.to_datetime(..., format={named!r})")
    dated = frame.assign(month=pd.to_datetime(frame["month"], format=named))
    assert str(Panel.of(dated).frequency) == "MS"
    frame.to_csv(tmp_path / "a.csv", index=False)
    words = ("fit", "a.csv", "--model", "seasonal-naive", "--horizon", "2", "--out", "m")
    told = tsforecast(*words, cwd=tmp_path)
    if told.returncode:  # Jan-15 may be a day
        assert told.stderr.strip().endswith(f"give its format: --date-format {named!r}")
        told = tsforecast(*words, "--date-format", named, cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    ahead = [pd.Timestamp(day).strftime(form) for day in ("2017-01-01", "2017-02-01")]
    assert tsforecast("predict", "m", cwd=tmp_path).stdout == f"month,y\n{ahead[0]},12.0\n{ahead[1]},13.0\n"


@pytest.mark.parametrize("form", ["Q{1} {0}", "{0}Q{1}", "{0}-Q{1}", "{1}Q{0}", "{0}-W0{1}"])
def test_quarters_and_weeks_in_a_frame_are_asked_about(form: str) -> None:
    texts = [form.format(2015 + i // 4, 1 + i % 4) for i in range(12)]
    with pytest.raises(DataError, match=r"time column 'when' must hold dates .* write the first day of each"):
        Panel.of(pd.DataFrame({"when": texts, "y": 1.0}))


def test_a_label_of_the_month_beside_days_is_left_out() -> None:
    panel = Panel.of(pd.DataFrame({"day": DAYS, "month": DAYS.strftime("%b %Y"), "y": 1.0}))
    assert (panel.source.time, len(panel)) == ("day", 1)
    labelled = pd.DataFrame({"day": DAYS, "month": ["a"] * 14 + ["b"] * 14, "y": 1.0})
    assert "pass id='month'" in Panel.of(labelled).notes[0]


def test_the_command_line_names_its_own_option_in_a_note(tmp_path: Path) -> None:
    pd.DataFrame({"day": DAYS, "weather": WEATHER, "y": np.arange(28.0)}).to_csv(tmp_path / "a.csv", index=False)
    words = ("fit", "a.csv", "--model", "naive", "--horizon", "1", "--out", "m")
    told = tsforecast(*words, cwd=tmp_path)
    assert "Note: column 'weather' was left out: it holds text, and each time stamp occurs once" in told.stderr
    assert "pass --id weather if it names series" in told.stderr
    assert tsforecast("predict", "m", cwd=tmp_path).stdout == "day,y\n2024-01-29,27.0\n"
    assert tsforecast("predict", "m", "--data", "a.csv", cwd=tmp_path).stdout == "day,y\n2024-01-29,27.0\n"
    assert "--id weather" in tsforecast("check", "a.csv", cwd=tmp_path, width=200).stdout


def test_a_context_with_a_column_of_text_is_read_as_the_data_that_were_fitted() -> None:
    frame = pd.DataFrame({"day": DAYS, "weather": WEATHER, "y": np.arange(28.0)})
    model = NaiveForecaster(horizon=1).fit(frame)
    assert model.predict(frame[:10])["y"].tolist() == [9.0]


@pytest.mark.filterwarnings("error")
def test_text_beside_times_that_are_none_is_refused_without_a_guess_at_their_format() -> None:
    frame = pd.DataFrame({"day": ["soon", "later", "at last", "then"], "weather": list("rsrs"), "y": range(4)})
    with pytest.raises(DataError, match="soon"):
        Panel.from_frame(frame, time="day", target="y")
