"""Calendars as people have them: short series, dates as whole numbers, zones whose clocks change, offsets from UTC."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from typer.testing import CliRunner

from tsforecast import NaiveForecaster, ReductionForecaster, SeasonalNaiveForecaster, backtest
from tsforecast.cli.app import app
from tsforecast.data.calendar import Frequency
from tsforecast.data.panel import Panel
from tsforecast.errors import DataError

SHORT = {  # the first stamps, and the two that follow
    "year starts": ("2021-01-01 2022-01-01 2023-01-01 2024-01-01", "2025-01-01 2026-01-01"),
    "year ends": ("2020-12-31 2021-12-31 2022-12-31 2023-12-31", "2024-12-31 2025-12-31"),
    "years to the end of February": ("2021-02-28 2022-02-28 2023-02-28", "2024-02-29 2025-02-28"),
    "two years": ("2022-12-31 2023-12-31", "2024-12-31 2025-12-31"),
    "years on a day in May": ("2021-05-17 2022-05-17", "2023-05-17 2024-05-17"),
    "every fourth year": ("2012-07-01 2016-07-01 2020-07-01", "2024-07-01 2028-07-01"),
    "month starts": ("2024-07-01 2024-08-01 2024-09-01", "2024-10-01 2024-11-01"),
    "month starts around a new year": ("2023-12-01 2024-01-01 2024-02-01", "2024-03-01 2024-04-01"),
    "month ends": ("2024-06-30 2024-07-31 2024-08-31", "2024-09-30 2024-10-31"),
    "month ends at the last minute": ("2024-06-30T23:59 2024-07-31T23:59", "2024-08-31T23:59 2024-09-30T23:59"),
    "the 15th": ("2024-07-15 2024-08-15 2024-09-15", "2024-10-15 2024-11-15"),
    "quarter starts": ("2023-07-01 2023-10-01 2024-01-01", "2024-04-01 2024-07-01"),
    "quarter ends": ("2023-06-30 2023-09-30", "2023-12-31 2024-03-31"),
    "half years": ("2022-01-01 2022-07-01", "2023-01-01 2023-07-01"),
    "a month of 28 days": ("2023-02-01 2023-03-01", "2023-04-01 2023-05-01"),
    "28 days": ("2023-01-01 2023-01-29 2023-02-26", "2023-03-26 2023-04-23"),
    "30 days": ("2023-01-01 2023-01-31", "2023-03-02 2023-04-01"),
    "91 days": ("2023-01-02 2023-04-03 2023-07-03", "2023-10-02 2024-01-01"),
    "weeks": ("2023-01-01 2023-01-08 2023-01-15", "2023-01-22 2023-01-29"),
    "days": ("2023-01-01 2023-01-02 2023-01-03", "2023-01-04 2023-01-05"),
    "business days": ("2024-01-04 2024-01-05 2024-01-08 2024-01-09", "2024-01-10 2024-01-11"),
}


def forecast(frame: pd.DataFrame, horizon: int = 2) -> pd.DataFrame:
    return NaiveForecaster(horizon=horizon).fit(frame).predict()


@pytest.mark.parametrize("kind", SHORT)
def test_a_short_series_goes_on_by_its_calendar(kind: str) -> None:
    past, ahead = (pd.DatetimeIndex(text.split()) for text in SHORT[kind])
    found = forecast(pd.DataFrame({"t": past, "y": np.arange(len(past)) * 1.0}))
    assert found.t.tolist() == ahead.tolist()
    assert found.y.tolist() == [len(past) - 1.0] * 2


@pytest.mark.sample(3)
@pytest.mark.parametrize("kind", SHORT)
def test_thirty_short_series_go_on_by_their_calendar(kind: str) -> None:
    past, ahead = (pd.DatetimeIndex(text.split()) for text in SHORT[kind])
    firms = [pd.DataFrame({"firm": f"f{i}", "t": past, "y": 1.0 * i}) for i in range(30)]
    assert forecast(pd.concat(firms)).t.tolist() == ahead.tolist() * 30


@pytest.mark.parametrize(
    ("stamps", "note"),
    [
        ("2023-02-01 2023-03-01", "the time stamps fit the frequencies MS and 4W: MS was taken"),
        ("2023-04-03 2023-07-03", "the time stamps fit the frequencies QS and 13W: QS was taken"),
        ("2024-01-01 2024-01-02 2024-01-03", "the time stamps fit the frequencies D and B: D was taken"),
        ("2023-07-01 2023-08-01", None),
        ("2023-02-01 2023-03-01 2023-04-01", None),
        ("2024-01-05 2024-01-06 2024-01-07", None),
    ],
)
def test_stamps_that_fit_two_calendars_are_noted(stamps: str, note: str | None) -> None:
    frame = pd.DataFrame({"t": pd.DatetimeIndex(stamps.split()), "y": 1.0})
    assert list(Panel.of(frame).notes) == ([note] if note else [])
    assert not Panel.from_frame(frame, frequency=str(Panel.of(frame).frequency)).notes


def months(first: int, count: int) -> list[int]:
    """Return numbers like 202401 of so many months."""
    begin = first // 100 * 12 + first % 100 - 1
    return [month // 12 * 100 + month % 12 + 1 for month in range(begin, begin + count)]


JANUARY = [20240100 + day for day in range(1, 32)]
DIGITS = {  # whole numbers, and the two that follow
    "months of a year": (months(202301, 12), [202401, 202402]),
    "months of years": (months(202207, 30), [202501, 202502]),
    "quarters by their last month": ([202303, 202306, 202309, 202312], [202403, 202406]),
    "Januaries": ([202101, 202201, 202301], [202401, 202501]),
    "months before 1970": (months(196911, 3), [197002, 197003]),
    "days of January": (JANUARY, [20240201, 20240202]),
    "days to the end of February": ([20240226, 20240227, 20240228], [20240229, 20240301]),
    "business days": ([20240104, 20240105, 20240108, 20240109], [20240110, 20240111]),
    "month ends": ([20231130, 20231231, 20240131], [20240229, 20240331]),
    "weeks": ([20231218, 20231225, 20240101], [20240108, 20240115]),
    "hours": ([2023123121, 2023123122, 2023123123], [2024010100, 2024010101]),
    "years": ([2021, 2022, 2023], [2024, 2025]),
    "steps from 0": ([0, 1, 2, 3], [4, 5]),
    "steps like months, but for most": (list(range(202300, 202350)), [202350, 202351]),
    "seconds since 1970": ([1704067200, 1704070800, 1704074400], [1704078000, 1704081600]),
}


@pytest.mark.sample(4)
@pytest.mark.parametrize("kind", DIGITS)
@pytest.mark.parametrize("library", ["pandas", "polars", "index", "wide", "shops"])
def test_whole_numbers_go_on_as_dates_or_as_a_count(kind: str, library: str) -> None:
    past, ahead = DIGITS[kind]
    frame = pd.DataFrame({"t": past, "y": np.arange(len(past)) * 1.0})
    if library == "wide":
        found = NaiveForecaster(horizon=2).fit(Panel.from_wide(frame.assign(z=1.0), time="t")).predict()
        assert found.columns.tolist() == ["t", "y", "z"]
    elif library == "index":
        found = forecast(frame.set_index("t")).reset_index()
    elif library == "shops":
        shops = pd.concat([frame.assign(shop=name) for name in "ab"])
        found = NaiveForecaster(horizon=2).fit(Panel.from_frame(shops, time="t", id="shop", target="y")).predict()
        assert found.t.tolist() == ahead * 2
        found = found[found["shop"] == "b"]
    else:
        given = pl.from_pandas(frame) if library == "polars" else frame
        found = NaiveForecaster(horizon=2).fit(Panel.from_frame(given, time="t", target="y")).predict()
    assert [int(number) for number in found["t"]] == ahead
    assert list(found["y"]) == [len(past) - 1.0] * 2


def test_dates_as_whole_numbers_are_noted_and_have_a_season() -> None:
    panel = Panel.from_frame(pd.DataFrame({"month": months(202207, 30), "y": 1.0}), time="month", target="y")
    assert (str(panel.frequency), panel.season_length, panel.kind) == ("MS", 12, "datetime")
    assert panel.notes == ("the whole numbers in column 'month' were read as dates (YYYYMM), not as a count of steps",)
    years = Panel.from_frame(pd.DataFrame({"year": [1990, 1991], "y": 1.0}), time="year", target="y")
    assert (years.kind, years.notes) == ("integer", ())


def test_gaps_between_whole_numbers_are_those_of_the_calendar() -> None:
    numbers = [number for number in months(202207, 30) if number != 202302]
    frame = pd.DataFrame({"month": numbers, "y": np.arange(29.0)})
    with pytest.raises(DataError, match=r"1 place \(1 stamp missing\), first at row 7 \(2023-01-01 -> 2023-03-01\)"):
        Panel.from_frame(frame, time="month", target="y")
    repair = {"fill_gaps": True, "nan_policy": "forward_fill"}
    panel = Panel.from_frame(frame, time="month", target="y", **repair)
    assert panel.values.ravel().tolist() == [*range(7), 6, *range(7, 29)]


def test_a_column_of_dates_as_whole_numbers_is_found_as_the_time() -> None:
    frame = pd.DataFrame({"day": JANUARY, "sales": np.arange(31) + 50})
    assert Panel.of(frame).source.time == "day"
    born = pd.DataFrame({"born": [19800131, 19790228, 19811231] * 4, "sales": np.arange(12.0)})
    assert Panel.from_frame(born, target="sales").source.time is None


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        (
            [*months(202301, 12), 202313],
            "time column 't' must hold dates, which most numbers in it are (YYYYMM): row 12 holds 202313; correct it, "
            "or number the steps from 0 if they are counted",
        ),
        ([*JANUARY, 20240132], "dates, which most numbers in it are (YYYYMMDD): row 31 holds 20240132"),
        ([202351, 202352, 202401], "must hold dates or count steps: 202351 to 202401 may be written YYYYWW (weeks)"),
        ([20233, 20234, 20241], "must hold dates or count steps: 20233 to 20241 may be written YYYYQ (quarters)"),
        ([2023365, 2024001], "must hold dates or count steps: 2023365 to 2024001 may be written YYYYDDD (days)"),
    ],
)
def test_whole_numbers_that_may_be_dates_are_asked_about(numbers: list[int], words: str) -> None:
    with pytest.raises(DataError) as caught:
        Panel.from_frame(pd.DataFrame({"t": numbers, "y": 1.0}), time="t", target="y")
    assert words in str(caught.value)
    assert "fill_gaps" not in str(caught.value)


def test_a_model_of_counted_steps_reads_any_numbers_as_steps() -> None:
    steps = pd.DataFrame({"t": np.arange(202280, 202330), "y": np.arange(50.0)})
    model = NaiveForecaster(horizon=1).fit(Panel.from_frame(steps, time="t", target="y"))
    assert model.predict(steps[21:32]).t.tolist() == [202312]


def test_history_and_forecast_of_whole_numbers_are_read_together() -> None:
    frame = pd.DataFrame({"month": months(202301, 12), "y": np.arange(12.0)})
    model = NaiveForecaster(horizon=2).fit(Panel.from_frame(frame, time="month", target="y"))
    assert model.predict(pd.concat([frame, model.predict()])).month.tolist() == [202403, 202404]


MIDNIGHTS = {  # zones and days on which the clocks skip midnight
    "America/Sao_Paulo": "2018-11-04",
    "Africa/Cairo": "2024-04-26",
    "Asia/Beirut": "2024-03-31",
    "America/Santiago": "2023-09-03",
    "America/Havana": "2024-03-10",
}


def with_numbers(stamps: pd.DatetimeIndex | list[str]) -> pd.DataFrame:
    return pd.DataFrame({"t": stamps, "y": np.arange(len(stamps)) * 1.0})


def midnights(zone: str, first: pd.Timestamp, count: int) -> pd.DatetimeIndex:
    return pd.date_range(first, periods=count).tz_localize(zone, nonexistent="shift_forward", ambiguous=True)


@pytest.mark.sample(4)
@pytest.mark.parametrize("zone", MIDNIGHTS)
@pytest.mark.parametrize("before", [0, 1, 14, 39, 40])  # days before the one without midnight: in the past or ahead
def test_days_go_on_where_the_clocks_skip_midnight(zone: str, before: int) -> None:
    whole = midnights(zone, pd.Timestamp(MIDNIGHTS[zone]) - pd.Timedelta(days=before), 50)
    past, ahead = with_numbers(whole[:40]), whole[40:45]
    model = NaiveForecaster(horizon=5).fit(past)
    assert model.predict().t.tolist() == ahead.tolist()
    assert model.panel_.season_length == 7
    assert model.predict(pd.concat([past, model.predict()])).t.tolist() == whole[45:].tolist()
    texts = [stamp.isoformat() for stamp in whole[:40]]
    if before:  # offsets do not show that the clocks changed at the first of them
        assert [str(stamp)[:10] for stamp in forecast(with_numbers(texts)).t] == [str(day)[:10] for day in ahead[:2]]
    known = pl.DataFrame({"t": whole[:40], "y": np.arange(40.0), "price": 1.0})
    informed = NaiveForecaster(horizon=5).fit(Panel.from_frame(known, target="y", future="price"))
    assert informed.predict(future=pl.DataFrame({"t": ahead, "price": 1.0}))["t"].to_list() == ahead.tolist()


@pytest.mark.parametrize(
    ("first", "step", "rows"),  # of Lord Howe Island, whose clocks go forward by half an hour at two o'clock
    [
        ("1996-08-27 02:00", "D", 95),
        ("2006-09-02 18:15", "4h", 340),
        ("1993-10-18 02:00", "8h", 159),
        ("2003-10-23 18:15", "4h", 216),
        ("2024-10-01 02:15", "D", 20),
    ],
)
@pytest.mark.parametrize("form", ["zone", pytest.param("text", marks=pytest.mark.thorough)])
def test_times_of_day_go_on_where_the_clocks_skip_half_an_hour(first: str, step: str, rows: int, form: str) -> None:
    wall = pd.date_range(first, periods=rows + 2, freq=step)
    whole = wall.tz_localize("Australia/Lord_Howe", True, "shift_forward")
    past = whole[:-2] if form == "zone" else [stamp.isoformat() for stamp in whole[:-2]]
    model = NaiveForecaster(horizon=1).fit(with_numbers(past))
    both = pd.concat([with_numbers(past), model.predict()])
    assert [str(stamp)[:16] for stamp in (model.predict().t[0], model.predict(both).t[0])] == [
        str(stamp)[:16] for stamp in wall[-2:]
    ]


@pytest.mark.sample(4)
@pytest.mark.parametrize("hours", [(6, 18), (6, 14, 22), (0, 6, 12, 18), (2, 10, 18), (0, 4, 8, 12, 16, 20)])
@pytest.mark.parametrize("first", ["2024-03-10", "2024-10-10", "2024-06-01"])
@pytest.mark.parametrize("form", ["zone", pytest.param("text", marks=pytest.mark.thorough)])
def test_shifts_keep_their_hours_on_the_wall(hours: tuple[int, ...], first: str, form: str) -> None:
    moments = [day + pd.Timedelta(hours=hour) for day in pd.date_range(first, periods=41) for hour in hours]
    whole = pd.DatetimeIndex(moments).tz_localize("Europe/Berlin", True, "shift_forward")
    past, ahead = whole[: -len(hours)], whole[-len(hours) :]
    frame = with_numbers(past if form == "zone" else [stamp.isoformat() for stamp in past])
    model = NaiveForecaster(horizon=len(hours)).fit(frame)
    assert model.predict().t.tolist() == ahead.tolist()
    assert model.predict(frame[-2:]).t.tolist() == ahead.tolist()
    both = pd.concat([frame, model.predict()])
    assert model.predict(both).t[0] == ahead[0] + pd.Timedelta(days=1)


@pytest.mark.parametrize("step", ["15min", "h", "6h", "D"])
@pytest.mark.parametrize("first", ["2024-03-20", "2024-10-20"])
@pytest.mark.parametrize("form", ["zone", pytest.param("text", marks=pytest.mark.thorough)])
def test_steps_that_are_even_in_utc_stay_so(step: str, first: str, form: str) -> None:
    whole = pd.date_range(first, periods=4000 if step == "15min" else 1000 if step == "h" else 60, freq=step, tz="UTC")
    whole = whole.tz_convert("Europe/Berlin")
    frame = with_numbers(whole[:-2] if form == "zone" else [stamp.isoformat() for stamp in whole[:-2]])
    assert forecast(frame).t.tolist() == whole[-2:].tolist()
    shops = pd.concat([frame.assign(shop=name) for name in "ab"]).sort_index(kind="stable")
    assert forecast(shops).t.tolist() == whole[-2:].tolist() * 2


@pytest.mark.parametrize(
    ("past", "ahead"),
    [
        ("2024-01-02T23:00:00+01:00", "2024-01-03T00:00:00+01:00"),
        ("2024-01-02T23:00:00+0100", "2024-01-03T00:00:00+01:00"),
        ("2024-01-02 23:00:00+01", "2024-01-03T00:00:00+01:00"),
        ("2024-01-02 23:00+01", "2024-01-03T00:00:00+01:00"),
        ("2024-01-02T23:00:00.000-05:00", "2024-01-03T00:00:00-05:00"),
        ("2024-01-02T23:00:00Z", "2024-01-03T00:00:00+00:00"),
        ("2024-01-02T23:00:00+00:00", "2024-01-03T00:00:00+00:00"),
        ("2024-01-02T23:00:00+05:30", "2024-01-03T00:00:00+05:30"),
        ("2024-01-02T23:00:00-03:30", "2024-01-03T00:00:00-03:30"),
        ("2024-01-02T23:00:00", "2024-01-03T00:00:00"),
    ],
)
@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_text_with_an_offset_goes_on_with_it(past: str, ahead: str, library: str) -> None:
    before = past.replace("T23", "T22").replace(" 23", " 22")
    frame = with_numbers([before, past])
    given = pl.from_pandas(frame) if library == "polars" else frame
    model = NaiveForecaster(horizon=1).fit(given)
    stamp = pd.Timestamp(model.predict()["t"][0])
    assert stamp == pd.Timestamp(ahead)
    if library == "pandas" or "03:30" not in past:  # polars has no zone like that
        assert stamp.isoformat() == ahead
    if library == "pandas":
        again = model.predict(pd.concat([frame, model.predict()])).t[0]
        assert again == pd.Timestamp(ahead) + pd.Timedelta(hours=1)


def test_several_offsets_are_noted_and_must_stand_in_every_row() -> None:
    texts = [stamp.isoformat() for stamp in pd.date_range("2024-03-25", periods=14, tz="Europe/Berlin")]
    panel = Panel.of(with_numbers(texts))
    assert panel.notes == (
        "column 't' has several offsets from UTC: forecasts have its last; convert it to a time zone to follow the "
        "clocks of that",
    )
    assert panel.season_length == 7
    texts[3] = texts[3][:19]
    with pytest.raises(DataError) as caught:
        Panel.of(with_numbers(texts))
    assert str(caught.value) == (
        "time column 't' must have an offset from UTC in every row, or in none: row 3 holds '2024-03-28T00:00:00'; add "
        "it, or leave out the others"
    )


@pytest.mark.sample(3)
@pytest.mark.parametrize(
    ("first", "last", "following"),
    [
        ("2024-01-02 22:00:00+01", "2024-01-02 23:00:00+01", "2024-01-03 00:00:00+01"),
        ("2024-01-02T22:00:00+01:00", "2024-01-02T23:00:00+01:00", "2024-01-03T00:00:00+01:00"),
        ("2024-01-02T22:00:00+0530", "2024-01-02T23:00:00+0530", "2024-01-03T00:00:00+0530"),
        ("2024-01-02T22:00Z", "2024-01-02T23:00Z", "2024-01-03T00:00Z"),
        ("2024-03-30T00:00:00+01:00", "2024-04-01T00:00:00+02:00", "2024-04-02T00:00:00+02:00"),
        ("202311", "202312", "202401"),
        ("20240228", "20240229", "20240301"),
        ("2023-11-30", "2023-12-31", "2024-01-31"),
    ],
)
def test_forecasts_of_a_file_write_dates_as_the_file(first: str, last: str, following: str, tmp_path: Path) -> None:
    between = ["2024-03-31T00:00:00+01:00"] if first.startswith("2024-03-30") else []
    rows = [f"{stamp},{i}" for i, stamp in enumerate([first, *between, last])]
    data, model = tmp_path / "a.csv", tmp_path / "model"
    data.write_text("\n".join(["t,load", *rows, ""]))
    fit = ["fit", str(data), "--time", "t", "--target", "load", "--model", "naive", "--horizon", "1"]
    assert CliRunner().invoke(app, [*fit, "--out", str(model)]).exit_code == 0
    found = CliRunner().invoke(app, ["predict", str(model), "--data", str(data)])
    assert found.output.splitlines()[-1].split(",")[0] == following


@pytest.mark.parametrize(
    ("alias", "remedy"),
    [
        ("M", "use 'ME' (by their last day) or 'MS' (by their first day)"),
        ("Q", "use 'QE' (by their last day) or 'QS' (by their first day)"),
        ("2Q", "use '2QE' (by their last day) or '2QS' (by their first day)"),
        ("Y", "use 'YE' (by their last day) or 'YS' (by their first day)"),
        ("A", "use 'YE' (by their last day) or 'YS' (by their first day)"),
        ("A-DEC", "use 'YE' (by their last day) or 'YS' (by their first day) without '-DEC': the dates show it"),
        ("W-MON", "use 'W' without '-MON': the dates show it"),
        ("QE-MAR", "use 'QE' without '-MAR': the dates show it"),
        ("15T", "use '15min'"),
        ("H", "use 'h'"),
        ("BME", "steps of months on business days are not supported: write each as the first day of its month"),
        ("SMS", "two steps a month are not supported: number the steps from 0 and pass season_length=24"),
        ("d", "did you mean 'D'?"),
        ("0D", "did you mean 'D'?"),
        ("day", "use 'D'"),
        ("hourly", "use 'h'"),
        ("2 weeks", "use '2W'"),
        ("monthly", "use 'ME' (by their last day) or 'MS' (by their first day)"),
        ("?", "choose from 'ns', 'us', 'ms', 's', 'min', 'h', 'D', 'W', 'B', 'MS', 'QS', 'YS', 'ME', 'QE', 'YE'"),
    ],
)
def test_a_frequency_that_is_not_known_is_answered_with_the_one_to_use(alias: str, remedy: str) -> None:
    with pytest.raises(DataError) as caught:
        Frequency.parse(alias)
    assert str(caught.value) == f"frequency {alias!r} is not known; {remedy}"


MONTHLY = (
    "they come once a month on changing days, such as the last business day: write each as the first day of its month"
)


ONE_OFF = "pass resample='1D' to put rows into bins, or another frequency=..."


@pytest.mark.parametrize(
    ("stamps", "remedy"),
    [
        (pd.date_range("2022-01-31", periods=30, freq="BME"), MONTHLY),
        (pd.date_range("2022-01-01", periods=30, freq="BMS"), MONTHLY),
        (pd.DatetimeIndex([pd.Timestamp("2023-01-30") + pd.DateOffset(months=m) for m in range(26)]), MONTHLY),
        (pd.date_range("2022-01-01", periods=30, freq="BQE"), MONTHLY.replace("a month", "in 3 months")),
        (
            pd.date_range("2022-01-01", periods=40, freq="SMS"),
            "they come twice a month: number the steps from 0 and pass season_length=24, or sum them by month",
        ),
        (
            pd.date_range("2022-01-15", periods=40, freq="SME"),
            "they come twice a month: number the steps from 0 and pass season_length=24, or sum them by month",
        ),
        (
            pd.Timestamp("2022-01-29") + pd.to_timedelta(np.cumsum([0] + [28, 28, 35] * 8), unit="D"),
            "they are 4 and 5 weeks apart: number the steps from 0 and pass season_length=12",
        ),
        (pd.DatetimeIndex(["2024-01-01", "2024-01-02", "2024-01-03T05"]), ONE_OFF),
    ],
)
def test_a_calendar_without_a_frequency_is_named_with_a_remedy(stamps: pd.DatetimeIndex, remedy: str) -> None:
    with pytest.raises(DataError) as caught:
        Panel.of(with_numbers(stamps))
    assert str(caught.value).endswith(f"); {remedy}")


def by_hour(end: str, zone: str = "Europe/Berlin", step: str = "h") -> pd.DataFrame:
    """Return two weeks whose values are the hours on the wall, up to a stamp."""
    stamps = pd.date_range(end=pd.Timestamp(end, tz=zone), periods=14 * 24 * (1 if step == "h" else 2), freq=step)
    return pd.DataFrame({"t": stamps, "y": stamps.hour * 1.0})


CHANGES = {  # zones and days whose clocks change, with a day before the first end and the hours up to the last
    "Europe/Berlin 2024-10-27": ("Europe/Berlin", "2024-10-26 20:00", 58),
    "Europe/Berlin 2024-03-31": ("Europe/Berlin", "2024-03-30 00:00", 72),
    "America/New_York 2024-11-03": ("America/New_York", "2024-11-02 20:00", 58),
    "America/Santiago 2024-04-07": ("America/Santiago", "2024-04-06 20:00", 58),
    "Africa/Cairo 2024-04-26": ("Africa/Cairo", "2024-04-25 20:00", 58),
}


@pytest.mark.thorough
@pytest.mark.parametrize("step", ["h", "15min"])
@pytest.mark.parametrize("change", CHANGES)
def test_hours_keep_their_season_on_the_wall(change: str, step: str) -> None:
    zone, first, hours = CHANGES[change]
    for end in pd.date_range(pd.Timestamp(first, tz=zone), periods=hours, freq="h")[:: 1 if step == "h" else 7]:
        stamps = pd.date_range(end=end, periods=8 * 24 * (1 if step == "h" else 4), freq=step)
        past = pd.DataFrame({"t": stamps, "y": 100 + stamps.hour + stamps.minute / 100})
        found = SeasonalNaiveForecaster(horizon=72 if step == "h" else 200).fit(past).predict()
        assert found.t[0] - end == stamps[-1] - stamps[-2], end
        assert (found.y - 100 - found.t.dt.hour - found.t.dt.minute / 100).abs().max() < 1e-9, end


def test_a_daily_peak_outlives_the_change_to_winter_time() -> None:
    stamps = pd.date_range("2024-10-15", "2024-10-27 08:00", freq="h", tz="Europe/Berlin")
    past = pd.DataFrame({"t": stamps, "y": np.where(stamps.hour == 9, 100.0, 10.0)})
    for model in (SeasonalNaiveForecaster(horizon=72), ReductionForecaster(horizon=72)):
        found = model.fit(past).predict()
        assert ((found.y > 55) == (found.t.dt.hour == 9)).all(), model
    again = SeasonalNaiveForecaster(horizon=72).fit(past).predict(pd.concat([past, found]))
    assert again.t[0] == found.t.iloc[-1] + pd.Timedelta(hours=1)
    short = past.iloc[-24:]  # no hour before the season: the forecast stands, as it can
    assert len(SeasonalNaiveForecaster(horizon=72).fit(short).predict()) == 72


def test_hours_in_utc_and_models_with_known_covariates_keep_their_steps() -> None:
    past = by_hour("2024-03-30 23:00")
    utc = past.assign(t=past.t.dt.tz_convert("UTC"))
    plain = SeasonalNaiveForecaster(horizon=30).fit(utc)
    assert plain.predict().y.tolist() == [*range(24), *range(6)]
    assert not plain.panel_.notes
    told = SeasonalNaiveForecaster(horizon=30).fit(Panel.of(past).with_calendar("hour"))
    assert told.predict().y.tolist() == [*range(24), *range(6)]


def test_a_note_names_the_zone_whose_clocks_change() -> None:
    (note,) = Panel.of(by_hour("2024-03-30 23:00")).notes
    assert note == (
        "the clocks of Europe/Berlin change: steps are even in UTC, and after a change forecasts are those of the same "
        "local time; convert the stamps to UTC if each day is meant to have 24 hours"
    )
    assert not Panel.of(by_hour("2024-03-30 23:00", "Asia/Tokyo")).notes


def test_a_backtest_judges_the_hours_that_predict_forecasts() -> None:
    whole = by_hour("2024-04-01 06:00")
    rows = backtest(SeasonalNaiveForecaster(), whole, horizon=31)
    found = SeasonalNaiveForecaster(horizon=31).fit(whole[:-31]).predict()
    assert rows.forecast.tolist() == found.y.tolist()
    assert rows.forecast.tolist() == rows.y.tolist()
