"""Sensors that jitter: bins that hold no future, and stamps that are moved to the grid that they miss by little."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tests.helpers.commands import tsforecast
from tsforecast import NaiveForecaster, leaderboard, load
from tsforecast.data.calendar import nearly
from tsforecast.data.context import with_future
from tsforecast.data.panel import Panel
from tsforecast.errors import DataError
from tsforecast.leakage.audit import audit_procedure

NAN = float("nan")
DAY = pd.Timestamp("2024-01-01")
MS = [3, 19, 20, 22, 41, 58, 60, 75]  # after midnight, with the numbers 1 to 8
#             bins (0, 20], (20, 40], (40, 60], (60, 80]
EXPECTED: dict[str, tuple[list[int], list[float]]] = {
    "mean": ([20, 40, 60, 80], [2, 4, 6, 8]),
    "last": ([20, 40, 60, 80], [3, 4, 7, 8]),
    "nearest": ([10, 30, 50, 70, 90], [1, 3, 5, 7, 8]),  # of bins around 0, 20, 40, 60 and 80
}


def stamps(ms: list[int]) -> pd.DatetimeIndex:
    return DAY + pd.to_timedelta(ms, unit="ms")


def frame(ms: list[int] = MS, y: list[float] | None = None) -> pd.DataFrame:
    return pd.DataFrame({"t": stamps(ms), "y": [float(i + 1) for i in range(len(ms))] if y is None else y})


def in_ms(panel: Panel, series: int = 0) -> list[float]:
    found = panel.stamps(series, np.arange(panel.lengths[series]))
    return list((found - DAY.value) / 1e6)


def numbers(panel: Panel, series: int = 0) -> list[float]:
    return list(panel.series(series)[:, 0])


FORMS: dict[str, Callable[[], Any]] = {
    "pandas": frame,
    "pandas, nanoseconds": lambda: frame().astype({"t": "datetime64[ns]"}),
    "pandas, a zone": lambda: frame().assign(t=lambda f: f["t"].dt.tz_localize("UTC")),
    "an index": lambda: frame().set_index("t"),
    "a Series": lambda: frame().set_index("t")["y"],
    "polars": lambda: pl.from_pandas(frame()),
    "polars, lazy": lambda: pl.from_pandas(frame()).lazy(),
    "polars, milliseconds": lambda: pl.from_pandas(frame()).cast({"t": pl.Datetime("ms")}),
    "polars, float32": lambda: pl.from_pandas(frame()).cast({"y": pl.Float32}),
    "arrow": lambda: pa.Table.from_pandas(frame()),
    "text": lambda: frame().assign(t=[str(stamp.isoformat()) for stamp in stamps(MS)]),
    "Python": lambda: frame().assign(t=np.array(stamps(MS).to_pydatetime(), dtype=object)),
}


USUAL = ("pandas", "an index", "polars, milliseconds")


@pytest.mark.parametrize("aggregate", EXPECTED)
@pytest.mark.parametrize("form", [pytest.param(f, marks=() if f in USUAL else pytest.mark.thorough) for f in FORMS])
def test_a_bin_holds_the_rows_up_to_its_label_in_any_form(form: str, aggregate: Any) -> None:
    data = FORMS[form]()
    panel = Panel.from_frame(data, resample="20ms", aggregate=aggregate)
    labels, values = EXPECTED[aggregate]
    assert (in_ms(panel), numbers(panel), str(panel.frequency)) == (labels, values, "20ms")
    found = NaiveForecaster(horizon=2).fit(panel).predict()
    given = data.collect() if isinstance(data, pl.LazyFrame) else data
    assert type(found) is type(given)
    if isinstance(given, pl.DataFrame):
        assert found.schema["t"] == given.schema["t"]
        found = found.to_pandas()
    elif isinstance(given, pa.Table):
        assert found.schema.field("t").type == given.schema.field("t").type
        found = found.to_pandas()
    elif form in ("an index", "a Series"):
        assert found.index.dtype == given.index.dtype
        found = found.reset_index()
    elif form != "text":  # comes back as dates
        assert found["t"].dtype == given["t"].dtype
    moments = pd.DatetimeIndex(found["t"]).tz_localize(None)
    assert list(moments) == list(stamps([labels[-1] + 20, labels[-1] + 40]))
    assert list(found["y"]) == [values[-1]] * 2


def test_series_are_binned_one_by_one_in_long_and_wide_frames() -> None:
    long = pd.concat([frame().assign(id="a"), frame([1, 20, 21], [5.0, 7.0, 9.0]).assign(id="b")]).iloc[::-1]
    panel = Panel.from_frame(long, id="id", resample="20ms", sort=True)
    assert list(panel.ids) == ["b", "a"]
    assert (in_ms(panel), numbers(panel)) == ([20, 40], [6, 9])
    assert (in_ms(panel, 1), numbers(panel, 1)) == EXPECTED["mean"]
    wide = frame().rename(columns={"y": "a"}).assign(b=[NAN, 1.0, 2.0, NAN, 3.0, 4.0, NAN, NAN])
    panel = Panel.from_wide(wide, resample="20ms", fill_gaps=True, nan_policy="mask")
    assert (in_ms(panel), numbers(panel)) == EXPECTED["mean"]
    assert in_ms(panel, 1) == [20, 40, 60]
    np.testing.assert_equal(numbers(panel, 1), [1.5, NAN, 3.5])


def test_missing_numbers_do_not_count_and_empty_bins_are_gaps() -> None:
    data = frame([5, 10, 15, 30, 70], [1.0, NAN, 3.0, NAN, 9.0])
    reading: dict[str, Any] = {"fill_gaps": True, "nan_policy": "mask"}
    for aggregate, first in (("mean", 2), ("last", 3)):
        panel = Panel.from_frame(data, resample="20ms", aggregate=aggregate, **reading)  # type: ignore[arg-type]
        assert in_ms(panel) == [20, 40, 60, 80]
        np.testing.assert_equal(numbers(panel), [first, NAN, NAN, 9])
    with pytest.raises(DataError, match=r"no gaps: .*\(2 stamps missing\), .*fill_gaps=True .*aggregate='nearest'"):
        Panel.from_frame(data.dropna(), resample="20ms")
    panel = Panel.from_frame(data, resample="20ms", aggregate="nearest", **reading)
    assert in_ms(panel) == [10, 30, 50, 70]  # 5 | 10 .. is the end of the first bin
    np.testing.assert_equal(numbers(panel), [1, 3, NAN, 9])


def test_statics_stay_and_covariates_are_binned_like_the_target() -> None:
    data = frame().assign(past=[*range(10, 18)], kind="new", on=[True, False] * 4)
    reading: dict[str, Any] = {"target": "y", "past": ["past", "on"], "static": "kind"}
    panel = Panel.from_frame(data, time="t", resample="20ms", **reading)
    assert panel.series(0)[:, 1].tolist() == [11, 13, 15, 17]
    np.testing.assert_allclose(panel.series(0)[:, 2], [2 / 3, 0, 2 / 3, 0])
    assert panel.statics["kind"].tolist() == ["new"]
    with pytest.raises(DataError, match="'kind' must be constant within a series"):  # also within one bin
        Panel.from_frame(data.assign(kind=["new", "old", *["new"] * 6]), time="t", resample="20ms", **reading)


def jittered(hours: pd.DatetimeIndex) -> pd.DatetimeIndex:
    return hours - pd.to_timedelta(np.arange(len(hours)) % 3, unit="s")


CALENDAR: dict[str, tuple[pd.DatetimeIndex, list[float], dict[str, Any], list[str], list[float]]] = {
    "days": (
        pd.DatetimeIndex(["2024-01-01 06:00", "2024-01-01 18:00", "2024-01-02", "2024-01-02 12:00"]),
        [1, 3, 5, 7],
        {"resample": "D"},
        ["2024-01-02", "2024-01-03"],
        [3, 7],
    ),
    "weeks end on Sundays": (
        pd.date_range("2024-01-01", periods=14),
        [*range(14)],
        {"resample": "W"},
        ["2024-01-07", "2024-01-14"],
        [3, 10],
    ),
    "days of 24 and 23 hours": (
        jittered(pd.date_range("2024-03-30 01:00", periods=47, freq="h", tz="Europe/Berlin")),
        [*range(47)],
        {"resample": "D"},
        ["2024-03-31 00:00+01:00", "2024-04-01 00:00+02:00"],
        [11.5, 35],
    ),
    "days of 24 and 25 hours": (
        jittered(pd.date_range("2024-10-26 01:00", periods=49, freq="h", tz="Europe/Berlin")),
        [*range(49)],
        {"resample": "D"},
        ["2024-10-27 00:00+02:00", "2024-10-28 00:00+01:00"],
        [11.5, 36],
    ),
    "hours of half an hour beside UTC": (
        pd.DatetimeIndex(["2024-01-01 00:10", "2024-01-01 01:00", "2024-01-01 01:01"], tz="Asia/Kolkata"),
        [1, 3, 5],
        {"resample": "h"},
        ["2024-01-01 01:00+05:30", "2024-01-01 02:00+05:30"],
        [2, 5],
    ),
    "days at eight, more or less, with a change of the clocks": (
        pd.date_range("2024-03-29 08:00", periods=4, tz="Europe/Berlin") + pd.to_timedelta([2, -3, 5, 1], "s"),
        [1, 2, 3, 4],
        {"frequency": "D", "tolerance": "7s"},
        ["2024-04-01 08:00:02+02:00"],
        [1, 2, 3, 4],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CALENDAR)
def test_days_weeks_and_zones_are_those_of_the_wall(case: str) -> None:
    index, y, reading, labels, values = CALENDAR[case]
    data = pd.DataFrame({"t": index, "y": y})
    panel = Panel.from_frame(data, **reading)
    assert numbers(panel) == values
    following = NaiveForecaster(horizon=1).fit(panel).predict()
    again = Panel.from_frame(pd.concat([data, following]), **reading)  # a forecast is a bin of its own
    assert numbers(again) == [*values, values[-1]]
    last = pd.DatetimeIndex(following["t"])
    assert last.dtype == index.dtype
    step = pd.DateOffset(**{"D": {"days": 1}, "W": {"days": 7}, "h": {"hours": 1}}[str(panel.frequency)])
    assert (
        last[0] == pd.Timestamp(labels[-1]).tz_convert(index.tz) + step if index.tz else pd.Timestamp(labels[-1]) + step
    )


def test_the_frequency_of_an_index_is_that_of_the_bins() -> None:
    hours = pd.Series(np.arange(48.0), index=pd.date_range("2024-01-01 01:00", periods=48, freq="h"))
    found = NaiveForecaster(horizon=1).fit(Panel.from_frame(hours, resample="D")).predict()
    assert found.index.freqstr == "D"
    assert found.to_dict() == {pd.Timestamp("2024-01-04"): 35.5}  # of 24 to 47


def test_an_axis_of_counted_steps_is_binned_and_snapped() -> None:
    data = frame().assign(t=MS)
    for aggregate, (labels, values) in EXPECTED.items():
        panel = Panel.from_frame(data, time="t", target="y", resample="20", aggregate=aggregate)  # type: ignore[arg-type]
        assert panel.stamps(0, np.arange(len(values))).tolist() == labels
        assert numbers(panel) == values
    panel = Panel.from_frame(frame([1, 19, 42]).assign(t=[1, 19, 42]), time="t", frequency="20", tolerance="2")
    assert panel.stamps(0, np.arange(3)).tolist() == [0, 20, 40]


def test_dates_stay_dates_and_stamps_that_they_cannot_hold_are_refused() -> None:
    days = pl.DataFrame({"t": pl.date_range(DAY.date(), pd.Timestamp("2024-01-14").date(), eager=True), "y": range(14)})
    found = NaiveForecaster(horizon=1).fit(Panel.from_frame(days, resample="W")).predict()
    assert found.rows() == [(pd.Timestamp("2024-01-21").date(), 10.0)]
    coded = days.with_columns(t=pl.col("t").dt.strftime("%Y%m%d").cast(pl.Int64))
    found = NaiveForecaster(horizon=1).fit(Panel.from_frame(coded, time="t", target="y", resample="W")).predict()
    assert found.rows() == [(20240121, 10.0)]
    for data, reading in ((days, {"aggregate": "nearest"}), (coded, {"aggregate": "nearest"})):
        with pytest.raises(DataError, match=r"time column 't' must be of a type .*: it cannot hold 2024-01-0\dT12"):
            Panel.from_frame(data, time="t", target="y", resample="D", **reading)  # type: ignore[arg-type]


@pytest.mark.parametrize("aggregate", EXPECTED)
@pytest.mark.parametrize("jitter", [0, 7, 30])
@pytest.mark.thorough
def test_what_comes_after_a_label_has_no_part_in_its_bin(jitter: int, aggregate: Any) -> None:
    random = np.random.default_rng(jitter)
    at = np.unique(np.arange(60) * 20 + random.integers(-jitter, jitter + 1, 60))
    data = frame(at.tolist(), random.normal(size=len(at)).tolist())
    reading: dict[str, Any] = {"fill_gaps": True, "nan_policy": "mask", "resample": "20ms", "aggregate": aggregate}
    panel = Panel.from_frame(data, **reading)
    labels = in_ms(panel)
    for end in range(5, len(labels), 6):
        before = Panel.from_frame(data[data["t"] <= stamps([int(labels[end])])[0]], **reading)
        np.testing.assert_array_equal(numbers(before), numbers(panel)[: len(before.values)])
        assert end - 4 < len(before.values) <= end + 1  # the last ones may be empty


def procedure(read: Callable[[pd.DataFrame], pd.Series], cutoff: pd.Timestamp) -> Callable[[pd.DataFrame], Any]:
    """Return a forecast of resampled data from a cutoff: the mean of the last three bins up to it."""
    return lambda data: read(data).loc[:cutoff].tail(3).to_list()  # type: ignore[misc]


def by_panel(data: pd.DataFrame, **reading: Any) -> pd.Series:
    panel = Panel.from_frame(data, fill_gaps=True, nan_policy="mask", sort=True, **reading)
    return pd.Series(numbers(panel), index=DAY + pd.to_timedelta(in_ms(panel), unit="ms"))


def by_left_labels(data: pd.DataFrame) -> pd.Series:
    return data.set_index("t").sort_index()["y"].resample("20ms").mean()  # pandas labels a bin by its start


@pytest.mark.parametrize("aggregate", EXPECTED)
@pytest.mark.thorough
def test_the_audit_of_the_raw_frame_passes_bins_with_labels_at_their_ends(aggregate: str) -> None:
    at = np.arange(100) * 20 + np.random.default_rng(0).integers(-4, 5, 100)
    data = frame(at.tolist(), np.sin(at).tolist())
    for ms in (1000, 1010, 1013):
        cutoff = stamps([ms])[0]
        ours = procedure(lambda data: by_panel(data, resample="20ms", aggregate=aggregate), cutoff)
        report = audit_procedure(ours, data, cutoff, columns=["y"])
        assert report.passed
        assert (report.findings["outcome"] == "passed").sum() >= 3
        assert not audit_procedure(procedure(by_left_labels, cutoff), data, cutoff, columns=["y"]).passed


SNAPPED: dict[str, tuple[list[int], dict[str, Any], list[int], str]] = {
    "around the multiples": ([1, 19, 42, 61, 80], {}, [0, 20, 40, 60, 80], "moved 4 of 5 time stamps by at most 2ms"),
    "beside the multiples": ([107, 126, 148], {}, [107, 127, 147], "moved 2 of 3 time stamps by at most 1ms"),
    "a gap": ([1, 19, 61], {"fill_gaps": True, "nan_policy": "mask"}, [0, 20, 40, 60], "moved 3 of 3"),
    "out of order": ([19, 1, 42], {"sort": True}, [0, 20, 40], "moved 3 of 3"),
    "two at one place": ([1, 19, 21, 40], {"duplicates": "last"}, [0, 20, 40], "moved 3 of 4"),
    "regular": ([0, 20, 40], {}, [0, 20, 40], ""),
}


@pytest.mark.parametrize("case", SNAPPED)
def test_stamps_within_the_tolerance_are_moved_to_the_grid(case: str) -> None:
    ms, more, labels, note = SNAPPED[case]
    panel = Panel.from_frame(frame(ms), frequency="20ms", tolerance="2ms", **more)
    assert in_ms(panel) == labels
    notes = [each for each in panel.notes if each.startswith("moved")]
    assert len(notes) == bool(note)
    assert all(each.startswith(note) and each.endswith(" to the grid of 20ms") for each in notes)


@pytest.mark.thorough
def test_a_context_of_a_fitted_or_loaded_model_is_read_likewise(tmp_path: Path) -> None:
    for reading in ({"resample": "20ms", "aggregate": "nearest"}, {"frequency": "20ms", "tolerance": "3ms"}):
        data = frame([1, 19, 42, 61, 80])
        model = NaiveForecaster(horizon=1).fit(Panel.from_frame(data, **reading))  # type: ignore[arg-type]
        model.save(tmp_path / "model")
        later = pl.from_pandas(frame([1001, 1018, 1042], [4.0, 5.0, 6.0]))
        for each in (model, load(tmp_path / "model")):
            found = each.predict(later)
            ends = 1070 if "resample" in reading else 1060
            assert list(found["t"]) == list(stamps([ends]))
            assert list(found["y"]) == [6.0]


@pytest.mark.parametrize(
    "reading",
    [{"resample": "20ms"}, {"resample": "20ms", "aggregate": "last"}, {"frequency": "20ms", "tolerance": "3ms"}],
)
def test_known_future_covariates_are_read_on_the_same_grid(reading: dict[str, Any]) -> None:
    data = frame([1, 18, 38, 58]).assign(price=1.0)
    panel = Panel.from_frame(data, target="y", future="price", **reading)
    assert in_ms(panel)[-1] == 60
    ahead = frame([78, 99, 119]).drop(columns="y").assign(price=[2.0, 3.0, 4.0])
    assert with_future(panel, 3, ahead).series(0)[-3:, 1].tolist() == [2, 3, 4]


REFUSED: dict[str, tuple[list[int], dict[str, Any], str]] = {
    "jitter": (
        [1, 19, 42, 61, 80],
        {},
        "the step of 20ms: .*; they miss it by 2ms at most: pass frequency='20ms' and tolerance='2ms', or "
        "resample='20ms' and aggregate='nearest'\none call .*, frequency='20ms', tolerance='2ms'[)]$",
    ),
    "jitter, and a gap": (
        [1, 19, 42, 81, 101],
        {},
        r"one call .*, frequency='20ms', tolerance='2ms', fill_gaps=True, nan_policy='mask'[)]$",
    ),
    "jitter around a frequency": (
        [1, 19, 42, 61, 80],
        {"frequency": "20ms"},
        "they miss it by 2ms at most: pass tolerance='2ms', or .*tolerance='2ms'[)]$",
    ),
    "more than the tolerance": (
        [1, 19, 43, 61, 80],
        {"frequency": "20ms", "tolerance": "2ms"},
        "they miss it by 3ms at most: pass tolerance='3ms'",
    ),
    "no grid": ([1, 19, 47, 52, 80], {}, "; pass resample='20ms' to put rows into bins, or another frequency=...$"),
    "two at one place": ([1, 19, 21, 40], {"frequency": "20ms", "tolerance": "2ms"}, "each time stamp must occur once"),
    "out of order": ([19, 1, 42], {"resample": "20ms"}, "^time stamps must go forward: .*sort=True"),
    "twice": ([1, 1, 42], {"resample": "20ms"}, "^each time stamp must occur once: .*duplicates='last'"),
    "a tolerance alone": ([1, 2], {"tolerance": "2ms"}, "^tolerance needs the step of a grid: .*; pass frequency=...$"),
    "half a step": ([1, 2], {"frequency": "20ms", "tolerance": "10ms"}, "^tolerance must be less than half of .*20ms"),
    "months": ([1, 2], {"resample": "MS"}, "^resample must have a fixed length, such as 20ms, h, D or W: got 'MS'"),
    "months with a tolerance": ([1, 2], {"frequency": "MS", "tolerance": "D"}, "^frequency must have a fixed length"),
    "an unknown unit": ([1, 2], {"resample": "20mz"}, "^resample '20mz' is not known"),
    "no unit": ([1, 2], {"resample": "20"}, "^resample must have a unit on an axis of dates: got '20'; write it like"),
    "two steps": ([1, 2], {"resample": "20ms", "frequency": "h"}, "^frequency must be left out with resample"),
    "both": ([1, 2], {"resample": "20ms", "tolerance": "2ms"}, "^tolerance must be left out with resample"),
    "no bins": ([1, 2], {"aggregate": "last"}, "^aggregate needs bins: got 'last' alone; pass resample=...$"),
    "a typo": ([1, 2], {"resample": "20ms", "aggregate": "men"}, "did you mean 'mean'[?]"),
}  # fmt: skip


@pytest.mark.parametrize("ms", [[0, 20, 40], [0, 20, 1, 21], [0, 7, 40, 53], [5, 4, 3]])
def test_no_grid_is_near_where_nothing_jitters_or_no_step_fits(ms: list[int]) -> None:
    assert nearly(np.array(ms), np.array([0, len(ms)])) is None


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_read_is_refused_with_a_remedy(case: str) -> None:
    ms, reading, message = REFUSED[case]
    with pytest.raises(DataError) as caught:
        Panel.from_frame(frame(ms), **reading)
    assert re.search(message, str(caught.value), re.DOTALL), str(caught.value)


def test_an_axis_without_a_unit_or_without_time_takes_no_unit() -> None:
    with pytest.raises(DataError, match="resample must have no unit on an axis that counts steps: got '20ms'"):
        Panel.from_frame(frame().assign(t=MS), time="t", target="y", resample="20ms")
    with pytest.raises(DataError, match=r"resample needs a time axis: .*; name its column with time=\.\.\."):
        Panel.from_frame(frame()[["y"]], resample="20ms")
    with pytest.raises(DataError, match="column 'y' must be complete: series 'y' has 1 infinite value"):
        Panel.from_frame(frame(y=[1, 2, np.inf, -np.inf, 5, 6, 7, 8]).drop(index=3), resample="20ms", aggregate="last")


@pytest.mark.thorough
def test_a_leaderboard_names_the_bins_and_the_moved_stamps() -> None:
    at = np.arange(40) * 20 + np.array([1, -1] * 20)
    boards = [
        leaderboard("mean", Panel.from_frame(frame(at.tolist()), **reading), 4)  # type: ignore[arg-type]
        for reading in (
            {"resample": "40ms"},
            {"resample": "40ms", "aggregate": "last"},
            {"frequency": "20ms", "tolerance": "1ms"},
        )
    ]
    texts = ["resampled 40 rows to ", "the last number of each bin", "moved 40 of 40 time stamps by at most 1ms"]
    for board, text in zip(boards, texts, strict=True):
        assert any(text in note for note in board.notes)
    assert len({board.record.fingerprint for board in boards if board.record}) == 3


def written(folder: Path, ms: list[int] = MS) -> Path:
    path = folder / "data.csv"
    path.write_text("t,y\n" + "".join(f"2024-01-01T00:00:00.{at:03},{i}\n" for i, at in enumerate(ms, 1)))
    return path


@pytest.mark.parametrize("aggregate", EXPECTED)
@pytest.mark.thorough
def test_the_command_line_bins_what_it_fits_and_forecasts(tmp_path: Path, aggregate: str) -> None:
    path, model = written(tmp_path), tmp_path / "model"
    binned = f"--resample 20ms --aggregate {aggregate}".split()
    result = tsforecast("fit", path, "--model", "naive", "--horizon", 1, "--out", model, *binned)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "resampled 8 rows" in result.stdout + result.stderr
    labels, values = EXPECTED[aggregate]
    for more in ([], ["--data", path]):
        result = tsforecast("predict", model, *more)
        assert result.stdout.splitlines() == ["t,y", f"2024-01-01T00:00:00.{labels[-1] + 20:03},{values[-1]:.1f}"]


@pytest.mark.thorough
def test_every_command_on_files_takes_the_options(tmp_path: Path) -> None:
    at = [20 * i + (i % 3) for i in range(45)]
    path = written(tmp_path, at)
    grid, bins = "--frequency 20ms --tolerance 2ms", "--resample 20ms --aggregate nearest"
    for command, options in (
        ("check", grid),
        ("check", bins),
        ("leaderboard --models naive --audit none", bins),
        ("audit --model naive", grid),
    ):
        result = tsforecast(*command.split(), path, "--horizon", 2, *options.split())
        assert result.returncode == 0, result.stdout + result.stderr
    result = tsforecast("check", path, "--resample", "20mz")
    assert result.returncode == 2
    assert "--resample '20mz' is not known" in result.stdout + result.stderr


@pytest.mark.thorough
def test_the_one_command_that_repairs_jitter_is_proposed_and_works(tmp_path: Path) -> None:
    path = written(tmp_path, [1, 19, 42, 61, 80])
    result = tsforecast("check", path)
    assert result.returncode == 1
    message = " ".join((result.stdout + result.stderr).split())
    assert "pass --frequency 20ms and --tolerance 2ms, or --resample 20ms and --aggregate nearest" in message
    assert "moved 4 of 5" in message  # of the overview, as after the repair
    proposed = re.search(r"one command repairs all of it: .*?(--frequency.*)", message)
    assert proposed, message
    assert tsforecast("check", path, *shlex.split(proposed[1])).returncode == 0


@pytest.mark.thorough
def test_a_model_that_was_fitted_on_regular_stamps_names_the_fit_that_takes_others(tmp_path: Path) -> None:
    path, model = written(tmp_path, [0, 20, 40, 60, 80]), tmp_path / "model"
    assert tsforecast("fit", path, "--model", "naive", "--horizon", 1, "--out", model).returncode == 0
    result = tsforecast("predict", model, "--data", written(tmp_path, [1, 19, 42, 61, 80]))
    assert result.returncode == 2
    assert "fit the model with --tolerance 2ms" in " ".join((result.stdout + result.stderr).split())


@pytest.mark.mlflow
def test_a_served_model_bins_its_frame(tmp_path: Path) -> None:
    import mlflow

    from tsforecast import tracking

    model = NaiveForecaster(horizon=1).fit(Panel.from_frame(frame(), resample="20ms"))
    tracking.save_model(model, tmp_path / "served")
    found = mlflow.pyfunc.load_model(str(tmp_path / "served")).predict(frame([1, 18, 30], [4.0, 6.0, 9.0]))
    assert list(pd.DatetimeIndex(found["t"])) == list(stamps([60]))
    assert list(found["y"]) == [9.0]
