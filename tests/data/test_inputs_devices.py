"""Devices recorded at different hours: cutoffs before the end of each, rows that are numbered in their order."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from tests.helpers.commands import tsforecast
from tsforecast import NaiveForecaster, ReductionForecaster, SeasonalNaiveForecaster, audit, backtest, leaderboard, load
from tsforecast.cli.tune import _tune_forecaster
from tsforecast.data.panel import Panel
from tsforecast.data.protocol import Protocol
from tsforecast.data.splits import RollingOrigin, training_part
from tsforecast.errors import DataError, ParameterError
from tsforecast.evaluation.leaderboard import Leaderboard
from tsforecast.evaluation.record import ForecastRecord
from tsforecast.evaluation.seal import SealedPanel
from tsforecast.leakage import evidence

# Device: its first hour and its hours. The value of an hour is its number in the recording, + 100 for each device.
DEVICES = {"a": ("2024-01-01 00:00", 30), "b": ("2024-01-03 05:00", 26), "c": ("2024-01-08 13:00", 40)}

# Two cutoffs two hours apart, season of 24 hours. Device a has 30 hours, from 0:00 to 5:00 of the next day: its cutoffs
# see 26 and 28 of them, so that the last are 1:00 and 3:00, and the forecasts are the hours 2, 3 and 4, 5.
EXPECTED = {
    "a": [
        ("2024-01-02 01:00", "2024-01-02 02:00", 2.0, 26.0),
        ("2024-01-02 01:00", "2024-01-02 03:00", 3.0, 27.0),
        ("2024-01-02 03:00", "2024-01-02 04:00", 4.0, 28.0),
        ("2024-01-02 03:00", "2024-01-02 05:00", 5.0, 29.0),
    ],
    "b": [  # 22 hours are less than a season: the last value
        ("2024-01-04 02:00", "2024-01-04 03:00", 121.0, 122.0),
        ("2024-01-04 02:00", "2024-01-04 04:00", 121.0, 123.0),
        ("2024-01-04 04:00", "2024-01-04 05:00", 100.0, 124.0),
        ("2024-01-04 04:00", "2024-01-04 06:00", 101.0, 125.0),
    ],
    "c": [
        ("2024-01-10 00:00", "2024-01-10 01:00", 212.0, 236.0),
        ("2024-01-10 00:00", "2024-01-10 02:00", 213.0, 237.0),
        ("2024-01-10 02:00", "2024-01-10 03:00", 214.0, 238.0),
        ("2024-01-10 02:00", "2024-01-10 04:00", 215.0, 239.0),
    ],
}


def devices(**more: tuple[str, int]) -> pd.DataFrame:
    parts = []
    for at, (name, (first, hours)) in enumerate((DEVICES | more).items()):
        stamps, y = pd.date_range(first, periods=hours, freq="h"), np.arange(hours) + 100 * at
        parts.append(pd.DataFrame({"device": name, "hour": stamps, "y": y}))
    return pd.concat(parts, ignore_index=True).astype({"y": float})


def wide() -> Panel:
    table = devices().pivot(index="hour", columns="device", values="y").asfreq("h")
    return Panel.from_wide(table.reset_index().rename_axis(columns=None))


FORMS: dict[str, Callable[[], Any]] = {
    "pandas": devices,
    "index": lambda: devices().set_index(["device", "hour"]),
    "polars": lambda: pl.from_pandas(devices()),
    "arrow": lambda: pl.from_pandas(devices()).to_arrow(),
    "text": lambda: devices().astype({"hour": str}),
    "interleaved": lambda: devices().sort_values(["y"], key=lambda y: y % 100, ignore_index=True),
    "zoned": lambda: devices().assign(hour=devices()["hour"].dt.tz_localize("UTC")),
    "whole numbers": lambda: devices().assign(hour=devices()["hour"].dt.strftime("%Y%m%d%H").astype(int)),
    "wide": wide,
}


def thorough_but(*quick: str, of: dict[str, Any]) -> list[Any]:
    return [name if name in quick else pytest.param(name, marks=pytest.mark.thorough) for name in of]


def rows_of(rows: pd.DataFrame, name: str) -> list[tuple[Any, ...]]:
    own = rows[(rows["series"] == name) & (rows["model"] == rows["model"].iloc[-1])]
    stamps = [own[column].dt.strftime("%Y-%m-%d %H:%M") for column in ("cutoff", "time")]
    return list(zip(*stamps, own["forecast"], own["y"], strict=True))


# Cutoffs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", thorough_but("pandas", "wide", of=FORMS))
def test_each_device_is_tested_before_its_own_end(form: str) -> None:
    rows = backtest(SeasonalNaiveForecaster(), FORMS[form](), horizon=2, origins=2, align="end")
    assert {name: rows_of(rows, name) for name in EXPECTED} == EXPECTED
    assert set(rows["leak_audit"]) == {"passed (data)"}


@pytest.mark.thorough
def test_the_command_line_tests_each_device_before_its_own_end(tmp_path: Path) -> None:
    devices().to_csv(tmp_path / "devices.csv", index=False)
    command = ("leaderboard", "devices.csv", "--models", "seasonal-naive", "--horizon", "2", "--origins", "2")
    done = tsforecast(*command, "--align", "end", "--out", "board", cwd=tmp_path)
    assert done.returncode == 0
    assert "3 series, 1 target, 2 cutoffs counted from the end of each series, horizon 2;" in done.stdout
    assert "Leak audit of all models: passed (data)." in done.stdout
    rows = pd.read_parquet(tmp_path / "board" / "rows.parquet")
    rows = rows[rows["model"] == "seasonal-naive"]
    assert {name: rows_of(rows, name) for name in EXPECTED} == EXPECTED


@pytest.mark.thorough
def test_cutoffs_before_the_own_ends_are_those_of_rows_without_time() -> None:
    timed, untimed = Panel.of(devices()), Panel.from_frame(devices(), time=False, season_length=24)
    boards = [leaderboard(["reduction"], timed, 2, 3, align="end"), leaderboard(["reduction"], untimed, 2, 3)]
    assert boards[0].rows[["forecast", "y", "step"]].equals(boards[1].rows[["forecast", "y", "step"]])
    pd.testing.assert_series_equal(boards[0].table["mase"], boards[1].table["mase"])
    assert [str(each) for each in boards[0].verdicts.values()] == [str(each) for each in boards[1].verdicts.values()]


@pytest.mark.thorough
def test_recordings_of_other_groups_are_learned_from_as_a_whole() -> None:
    frame = devices().assign(user=lambda frame: frame["device"].map({"a": "ann", "b": "bob", "c": "bob"}))
    timed = Panel.from_frame(frame, id="device", group="user")
    untimed = Panel.from_frame(frame, id="device", group="user", time=False, season_length=24)
    boards = [leaderboard(["reduction"], timed, 2, 2, align="end"), leaderboard(["reduction"], untimed, 2, 2)]
    assert boards[0].rows["forecast"].equals(boards[1].rows["forecast"])
    assert [fit.steps for fit in boards[0].record.fits if fit.model == "reduction"] == [26 + 40, 30]


# Lost series --------------------------------------------------------------------------------------------------------

TWO = {"d": ("2024-01-08 23:00", 30)}  # ends with c
LATE = dict.fromkeys("defg", ("2024-01-10 03:00", 2))  # with c, and without a past before its last two hours
REFUSED = (
    "most series must have a past and a target at the cutoffs: 2 of 3 have none at any, since they were recorded at "
    "other times; pass align='end' to cut each before its own end, which tests 3, or align='time' to test the other 1 "
    "alone"
)


@pytest.mark.parametrize(
    ("more", "align", "tested"),
    [
        ({}, None, REFUSED),
        pytest.param({}, "time", "c", marks=pytest.mark.thorough),
        pytest.param({}, "end", "abc", marks=pytest.mark.thorough),
        pytest.param(TWO, None, "cd", marks=pytest.mark.thorough),  # half of four
        pytest.param(TWO, "end", "abcd", marks=pytest.mark.thorough),
        (LATE, None, "6 of 7 have none at any, since they were recorded at other times; pass align='end' to cut each"),
        pytest.param(LATE, "end", "abc", marks=pytest.mark.thorough),
    ],
)
def test_a_board_that_would_lose_most_series_is_refused(more: dict[str, Any], align: Any, tested: str) -> None:
    data, run = devices(**more), {"horizon": 2, "origins": 2, "align": align}
    if len(tested) > 9:
        for compare in (lambda: backtest(NaiveForecaster(), data, **run), lambda: leaderboard([], data, **run)):
            with pytest.raises(DataError) as refused:
                compare()
            assert tested in str(refused.value)
        return
    board = leaderboard([], data, **run)
    assert set(board.rows["series"]) == set(backtest(NaiveForecaster(), data, **run)["series"]) == set(tested)
    assert any("no past and target at any cutoff" in note for note in board.notes) == (len(tested) < 3 + len(more))


@pytest.mark.thorough
def test_series_that_no_cutoff_of_their_own_could_test_do_not_refuse_a_board() -> None:
    short = dict.fromkeys("defg", ("2024-01-01", 1))
    data = devices(**short)
    lone = data[~data["device"].isin(["a", "b"])]
    assert set(leaderboard([], lone, 2, 2).rows["series"]) == {"c"}
    assert set(leaderboard([], [np.arange(40.0), *[np.ones(1)] * 4], 2, 2).rows["series"]) == {0}


def test_the_command_line_refuses_a_board_that_would_lose_most_series(tmp_path: Path) -> None:
    devices().to_csv(tmp_path / "devices.csv", index=False)
    counts = ("--horizon", "2", "--origins", "1")
    command = ("leaderboard", "devices.csv", "--models", "naive", *counts, "--out", "board")
    refused = tsforecast(*command, cwd=tmp_path)
    words = REFUSED.replace("align='end'", "--align end").replace("align='time'", "--align time")
    assert (refused.returncode, refused.stdout, refused.stderr) == (2, "", f"Error: {words}\n")
    assert [file.name for file in tmp_path.iterdir()] == ["devices.csv"]
    checked = tsforecast("check", "devices.csv", "--horizon", "2", cwd=tmp_path, width=400)
    assert f"refused: {words}" in checked.stdout
    own = tsforecast("check", "devices.csv", "--horizon", "2", "--align", "end", cwd=tmp_path, width=400)
    assert "tests 3 of 3 series" in own.stdout
    for option, wrong in (("--align", "ends"), ("--align", "")):
        wrongly = tsforecast(*command, option, wrong, cwd=tmp_path)
        assert wrongly.returncode == 2
        assert f"--align must be one of 'time', 'end': got {wrong!r}" in wrongly.stderr


# Records ------------------------------------------------------------------------------------------------------------


@pytest.mark.thorough
def test_boards_of_different_cutoffs_do_not_merge(tmp_path: Path) -> None:
    one, other = (leaderboard([], devices(), 2, 2, align=align) for align in ("end", "time"))
    with pytest.raises(DataError, match="boards must have the same align to be merged: end and time"):
        one.merge(other)
    one.to_parquet(tmp_path / "one.parquet")
    read = Leaderboard.from_parquet(tmp_path / "one.parquet")
    assert read.record.align == "end"
    assert read.summary_line == one.summary_line
    assert "counted from" not in other.summary_line


@pytest.mark.thorough
def test_records_of_before_had_cutoffs_at_the_same_times() -> None:
    board = leaderboard([], devices(), 2, 2, align="time")
    stored = board.record.plain()
    del stored["align"]
    assert ForecastRecord.from_plain(stored).align == "time"
    arrays = [np.arange(30.0), np.arange(20.0)]  # there is one way to cut them
    assert leaderboard([], arrays, 2, align="end").merge(leaderboard(["mean"], arrays, 2)).record.align == "time"


# Leaks --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["data", pytest.param("fit", marks=pytest.mark.thorough)])
def test_what_lies_after_the_own_cutoff_of_each_device_moves_nothing(level: Any) -> None:
    report = audit(ReductionForecaster(window=4), devices(), horizon=2, level=level, align="end")
    assert report.passed
    assert report.findings["cutoff"].unique().tolist() == ["2024-01-02 01:00:00", "2024-01-02 03:00:00"]


@pytest.mark.thorough
def test_a_fit_on_rows_after_the_own_cutoff_of_one_device_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def leaky(panel: Panel, cutoff: Any, learn: Any) -> Panel:
        return panel.until(np.where(panel.ids == "c", panel.lengths, cutoff.seen))

    monkeypatch.setattr(evidence, "training_part", leaky)
    found = audit(ReductionForecaster(window=4), devices(), horizon=2, level="fit", align="end")
    assert not found.passed
    leaks = found.findings[found.findings["outcome"] == "LEAK"]
    assert "rows after the cutoff of one series: other values" in set(leaks["perturbation"])


def test_rows_of_other_devices_may_be_later_than_the_cutoff_of_one() -> None:
    panel = Panel.of(devices())
    (cutoff,) = RollingOrigin(2, align="end").cutoffs(panel)
    part = training_part(panel, cutoff, np.arange(3))
    last = [part.label(stamp) for stamp in part.stamps(np.arange(3), part.lengths - 1)]
    assert last == ["2024-01-02 03:00:00", "2024-01-04 04:00:00", "2024-01-10 02:00:00"]


@pytest.mark.thorough
def test_the_command_line_audits_cutoffs_before_the_own_ends(tmp_path: Path) -> None:
    devices().to_csv(tmp_path / "devices.csv", index=False)
    command = ("audit", "devices.csv", "--model", "naive", "--horizon", "2", "--level", "data")
    done = tsforecast(*command, "--align", "end", cwd=tmp_path)
    assert done.returncode == 0
    assert "2024-01-02 01:00:00" in done.stdout
    assert "passed: nothing moved" in done.stdout


def test_a_seal_before_the_own_ends_leaves_the_first_rows_of_each_device() -> None:
    panel = Panel.of(devices())
    assert SealedPanel(panel, 3, align="end").train.lengths.tolist() == [27, 23, 37]
    assert SealedPanel(panel, 0.1, align="end").train.lengths.tolist() == [26, 22, 36]
    assert SealedPanel(panel, 3).train.lengths.tolist() == [30, 26, 37]
    with pytest.raises(DataError, match="takes 40 of 40; use test < 40"):
        SealedPanel(panel, 40, align="end")
    with pytest.raises(ParameterError, match="align must be one of 'time', 'end': got None"):
        SealedPanel(panel, 3, align=None)  # type: ignore[arg-type]


def test_the_splitter_counts_from_the_end_of_each_series() -> None:
    splitter = RollingOrigin(2, origins=2, train_length=5, align="end")
    assert repr(splitter).endswith("sliding over 5 steps, counted from the end of each series")
    cutoffs = splitter.cutoffs(Panel.of(devices()))
    found = [(each.start.tolist(), each.seen.tolist(), each.last.tolist()) for each in cutoffs]
    assert found == [([21, 17, 31], [26, 22, 36], [28, 24, 38]), ([23, 19, 33], [28, 24, 38], [30, 26, 40])]
    with pytest.raises(ParameterError, match="align must be one of 'time', 'end': got 'ends'"):
        RollingOrigin(2, align="ends")  # type: ignore[arg-type]


@pytest.mark.thorough
def test_a_search_does_not_see_the_test_part_of_any_device(tmp_path: Path) -> None:
    seen: list[Panel] = []
    search = SimpleNamespace(
        fit=seen.append, complete_=True, report=lambda *given: None, best_params_={}, best_score_=0.0, optimism_=0.0
    )
    search.reference_, search.best_estimator_ = "naive", NaiveForecaster()
    search.forecaster, search.metric = NaiveForecaster(), "skill"
    _tune_forecaster(search, Panel.of(devices()), Protocol(2, 2, align="end"), "devices", tmp_path)  # type: ignore[arg-type]
    assert seen[0].lengths.tolist() == [26, 22, 36]
    assert "2 cutoffs counted from the end of each series" in (tmp_path / "report.html").read_text(encoding="utf-8")


# Rows in their order ------------------------------------------------------------------------------------------------


def one_device() -> pd.DataFrame:
    return pd.DataFrame({"day": pd.date_range("2024-01-01", periods=9), "y": [1.0, 2, 3, 4, 5, 6, 7, 8, 9]})


UNTIMED: dict[str, tuple[Callable[[], Any], str]] = {  # data, and the columns that are left out
    "pandas": (one_device, "'day' holds"),
    "index": (lambda: one_device().set_index("day"), "'day' holds"),
    "index without a name": (lambda: one_device().set_index("day").rename_axis(None), "'time' holds"),
    "series": (lambda: one_device().set_index("day")["y"], "'day' holds"),
    "periods": (lambda: one_device().set_index("day").to_period("D"), "'day' holds"),
    "polars": (lambda: pl.from_pandas(one_device()), "'day' holds"),
    "arrow": (lambda: pl.from_pandas(one_device()).to_arrow(), "'day' holds"),
    "text": (lambda: one_device().astype({"day": str}), "'day' holds"),
    "day first": (lambda: one_device().assign(day=one_device()["day"].dt.strftime("%d.%m.%Y")), "'day' holds"),
    "whole numbers": (lambda: one_device().assign(day=range(20240101, 20240110)), "'day' holds"),
    "counter": (lambda: one_device().drop(columns="day").rename_axis("step"), "'step' holds"),
    "two columns": (lambda: one_device().assign(read=one_device()["day"]), "'day', 'read' hold"),
    "uneven": (lambda: one_device().assign(day=pd.to_datetime(np.arange(9) ** 2, unit="h")), "'day' holds"),
    "backward": (lambda: one_device().assign(day=one_device()["day"].to_numpy()[::-1]), "'day' holds"),
    "missing": (lambda: one_device().assign(day=one_device()["day"].where(lambda day: day.dt.day != 3)), "'day' holds"),
}


@pytest.mark.parametrize("form", thorough_but("pandas", "index", of=UNTIMED))
def test_without_time_rows_are_steps_in_their_order(form: str) -> None:
    make, gone = UNTIMED[form]
    panel = Panel.from_frame(make(), time=False, season_length=4)
    assert (panel.kind, panel.roles.varying, panel.source.time) == ("none", ("y",), None)
    assert panel.notes[0].startswith(gone)
    model = SeasonalNaiveForecaster(horizon=3).fit(panel)
    found, again = model.predict(), model.predict(make())
    values = found["y"] if not isinstance(found, pd.Series) else found
    assert list(np.asarray(values)) == [6.0, 7.0, 8.0]
    assert type(found) is type(again)
    assert np.array_equal(np.asarray(found), np.asarray(again))
    if not isinstance(found, pd.Series):
        assert list(found.column_names if form == "arrow" else found.columns) == ["y"]


def test_wide_rows_without_time_are_steps_in_their_order() -> None:
    frame = one_device().assign(z=10.0)
    panel = Panel.from_wide(frame, time=False, season_length=4)
    assert panel.ids.tolist() == ["y", "z"]
    found = SeasonalNaiveForecaster(horizon=2).fit(panel).predict(frame)
    assert found.to_dict("list") == {"y": [6.0, 7.0], "z": [10.0, 10.0]}


def test_several_devices_without_time_keep_their_ids_and_covariates() -> None:
    frame = devices().assign(heat=lambda frame: frame["y"] / 2, open=1.0)
    read = {"id": "device", "target": "y", "past": "heat", "future": "open"}
    panel = Panel.from_frame(frame, time=False, **read)
    assert panel.ids.tolist() == ["a", "b", "c"]
    assert panel.roles.varying == ("y", "heat", "open")
    model = ReductionForecaster(window=4, horizon=2).fit(panel)
    ahead = frame.groupby("device").head(2)  # rows with dates, two for each device
    pd.testing.assert_frame_equal(model.predict(future=ahead), model.predict(future=ahead.drop(columns="hour")))


def test_settings_of_a_time_axis_are_refused_without_one() -> None:
    for read in (Panel.from_frame, Panel.from_wide):
        with pytest.raises(DataError) as refused:
            read(one_device(), time=False, frequency="D", sort=True, fill_gaps=True, duplicates="last")
        assert [problem.parameter for problem in refused.value.problems] == [
            *("frequency", "fill_gaps", "sort", "duplicates")
        ]
        assert str(refused.value.problems[0]) == "frequency must be left out: there is no time with time=False"


def test_a_column_named_zero_is_still_a_time() -> None:
    frame = pd.DataFrame({0: pd.date_range("2024-01-01", periods=9), "y": 1.0})
    assert Panel.from_frame(frame, time=0).kind == "datetime"  # type: ignore[arg-type]


@pytest.mark.thorough
def test_the_command_line_numbers_rows_and_a_saved_model_does_likewise(tmp_path: Path) -> None:
    one_device().to_csv(tmp_path / "days.csv", index=False)
    read = ("days.csv", "--time", "none", "--season", "4", "--horizon", "3")
    done = tsforecast("fit", *read, "--model", "seasonal-naive", "--out", "model", cwd=tmp_path)
    assert done.returncode == 0
    assert "Note: 'day' holds times and was left out: rows are steps in their order" in done.stderr
    assert load(tmp_path / "model").predict(one_device())["y"].tolist() == [6.0, 7.0, 8.0]
    for data in ((), ("--data", "days.csv")):
        assert tsforecast("predict", "model", *data, cwd=tmp_path).stdout == "y\n6.0\n7.0\n8.0\n"
    for wrong, why in {
        ("--sort",): "--sort must be left out: there is no time with --time none",
        ("--date-format", "%Y"): "--date-format must be left out with --time none: no dates are read",
    }.items():
        refused = tsforecast("fit", *read, *wrong, "--model", "naive", "--out", "other", cwd=tmp_path)
        assert (refused.returncode, refused.stderr) == (2, f"Error: {why}\n")
    pierced = one_device().assign(y=[1.0, 2, None, 4, 5, 6, 7, 8, 9])
    pierced.to_csv(tmp_path / "days.csv", index=False)
    checked = tsforecast("check", *read, cwd=tmp_path)
    assert checked.returncode == 1
    assert "no time axis, 4" in checked.stdout


@pytest.mark.thorough
def test_a_column_named_none_is_the_time(tmp_path: Path) -> None:
    one_device().rename(columns={"day": "none"}).to_csv(tmp_path / "days.csv", index=False)
    checked = tsforecast("check", "days.csv", "--time", "none", "--horizon", "1", cwd=tmp_path)
    assert "time 'none'" in checked.stdout


# Ends ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "step", "noted"),
    [
        ([0, 0], 1, False),
        ([1, 1], 1, False),
        ([0, 0], 20, False),
        ([20, 20], 20, False),
        ([2, 2], 1, True),
        ([1990, 1990], 1, True),
        ([0, 5], 1, True),
        ([-1, -1], 1, True),
        ([21, 21], 20, True),
    ],
)
def test_counts_that_begin_anew_in_each_recording_have_no_common_end(first: list[int], step: int, noted: bool) -> None:
    parts = [
        pd.DataFrame({"id": name, "step": np.arange(start, start + rows * step, step), "y": np.arange(rows) * 1.0})
        for name, start, rows in zip("ab", first, (10, 40), strict=True)
    ]
    panel = Panel.from_frame(pd.concat(parts), time="step", id="id", target="y")
    model = NaiveForecaster(horizon=3).fit(panel)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = model.predict()
    assert [str(each.message)[:42] for each in caught] == ["1 of 2 series ended long before the latest"] * noted
    assert found["y"].tolist() == [9.0] * 3 + [39.0] * 3
    assert found["step"].tolist()[:3] == [first[0] + step * rows for rows in (10, 11, 12)]
    assert len(model.predict(ended="drop")) == (3 if noted else 6)


# Horizons -----------------------------------------------------------------------------------------------------------


MEDIAN = "horizon {}: a tenth of the median length of the series ({} steps); see --horizon.\n"


@pytest.mark.parametrize(
    ("lengths", "horizon", "printed"),
    [
        ([60, 60, 9], 6, MEDIAN.format(6, 60)),
        pytest.param([200, 200, 9], 7, "", marks=pytest.mark.thorough),
        pytest.param([9, 9], 1, MEDIAN.format(1, 9), marks=pytest.mark.thorough),
        pytest.param([30, 40], 3, MEDIAN.format(3, 35), marks=pytest.mark.thorough),
    ],
)
def test_one_short_series_does_not_decide_the_horizon(
    tmp_path: Path, lengths: list[int], horizon: int, printed: str
) -> None:
    end = pd.Timestamp("2024-06-30")
    parts = [
        pd.DataFrame({"id": f"s{i}", "day": pd.date_range(end=end, periods=rows), "y": np.arange(rows) % 5})
        for i, rows in enumerate(lengths)
    ]
    pd.concat(parts).to_csv(tmp_path / "days.csv", index=False)
    done = tsforecast("fit", "days.csv", "--model", "naive", "--out", "model", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith(f"{printed}fitted naive on ")
    assert load(tmp_path / "model").horizon_ == horizon


# Contexts -----------------------------------------------------------------------------------------------------------


def two(column: str = "shop", names: Any = (1, 2)) -> pd.DataFrame:
    return pd.concat([one_device().assign(**{column: name}) for name in names], ignore_index=True)


ONE = "the context must hold one series, like the data that were fitted: "
EACH = "the context must hold one series for each 'shop', like the data that were fitted: "
GIVE = "; give one at a time, or fit the model with "
CONTEXTS = {  # fitted, context and the message
    "one after the other": (one_device, two, f"{ONE}column 'shop' distinguishes several{GIVE}id='shop'"),
    "interleaved": (
        one_device,
        lambda: two().sort_values(["day", "shop"], ignore_index=True),
        f"{ONE}column 'shop' distinguishes several{GIVE}id='shop'",
    ),
    "polars": (
        lambda: pl.from_pandas(one_device()),
        lambda: pl.from_pandas(two()),
        f"{ONE}column 'shop' distinguishes several{GIVE}id='shop'",
    ),
    "without a column": (
        one_device,
        lambda: two().drop(columns="shop"),
        f"{ONE}9 of 18 rows have the time of another{GIVE}id=...",
    ),
    "a second id": (
        lambda: two(names="ab"),
        lambda: pd.concat([two(names="ab").assign(region=region) for region in ("x", "y")], ignore_index=True),
        f"{EACH}column 'region' distinguishes several{GIVE}an id of both columns",
    ),
    "a row twice": (
        one_device,
        lambda: one_device().iloc[[0, 1, 2, 2, 3]],
        "each time stamp must occur once: series 'y' breaks this at 1 place",
    ),
    "out of order": (
        one_device,
        lambda: one_device().iloc[[0, 1, 3, 2]].assign(shop=[1, 1, 2, 1]),
        "time stamps must go forward: series 'y' breaks this at 1 place",
    ),
}


@pytest.mark.parametrize("kind", thorough_but("one after the other", "a second id", of=CONTEXTS))
def test_a_context_of_more_series_than_were_fitted_names_the_column(kind: str) -> None:
    fitted, context, message = CONTEXTS[kind]
    model = NaiveForecaster(horizon=1).fit(fitted())
    with pytest.raises(DataError) as refused:
        model.predict(context())
    assert str(refused.value).startswith(message)


@pytest.mark.thorough
def test_the_command_line_names_the_column_of_a_context_of_several_series(tmp_path: Path) -> None:
    one_device().to_csv(tmp_path / "one.csv", index=False)
    two().to_csv(tmp_path / "two.csv", index=False)
    tsforecast("fit", "one.csv", "--model", "naive", "--horizon", "1", "--out", "model", cwd=tmp_path)
    refused = tsforecast("predict", "model", "--data", "two.csv", cwd=tmp_path)
    message = f"{ONE}column 'shop' distinguishes several{GIVE}--id shop".replace("the context", "the file of --data")
    assert (refused.returncode, refused.stderr) == (2, f"Error: {message}\n")


def test_a_context_of_several_named_series_is_read() -> None:
    found = NaiveForecaster(horizon=1).fit(one_device()).predict(two(names="ab"))
    assert found.to_dict("list") == {"shop": ["a", "b"], "day": [pd.Timestamp("2024-01-10")] * 2, "y": [9.0, 9.0]}
