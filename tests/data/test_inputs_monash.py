"""Files of the Monash archive: series, roles and stamps as the header has them, and faults with their lines."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.commands import tsforecast
from tsforecast import leaderboard
from tsforecast.data.panel import Panel
from tsforecast.errors import DataError
from tsforecast.monash import read_monash

HEADER = """# made for a test
@relation shops
@attribute series_name string
@attribute state string
@attribute size numeric
@attribute start_timestamp date
@frequency monthly
@horizon 6
@missing true
@equallength false
@data
"""
SERIES = "a:north:1.5:1979-01-01 00-00-00:1,2,?,4,5.5\nb:south:?:1981-11-01 00-00-00:-7,8e1,9\n"


def written(tmp_path: Path, text: str | bytes, name: str = "x.tsf") -> Path:
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def problems(tmp_path: Path, text: str | bytes) -> str:
    with pytest.raises(DataError) as caught:
        Panel.of(written(tmp_path, text))
    return str(caught.value)


def test_a_panel_has_series_stamps_statics_and_missing_numbers_of_the_file(tmp_path: Path) -> None:
    panel = Panel.of(str(written(tmp_path, HEADER + SERIES)))
    assert panel.ids.tolist() == ["a", "b"]
    assert (str(panel.frequency), panel.season_length) == ("MS", 12)
    np.testing.assert_array_equal(panel.series(0)[:, 0], [1, 2, np.nan, 4, 5.5])
    np.testing.assert_array_equal(panel.series(1)[:, 0], [-7, 80, 9])
    assert panel.label(panel.stamps(1, 2)) == "1982-01-01"
    assert panel.statics["size"].tolist()[0] == 1.5
    assert np.isnan(panel.statics["size"][1])
    assert "state" not in panel.statics  # text that differs in every series is a name
    assert panel.cleaning.nan_policy == "mask"


@pytest.mark.parametrize(
    ("frequency", "alias", "second"),
    [
        ("4_seconds", "4s", "2020-02-28 23:59:50"),
        ("minutely", "min", "2020-02-29 00:00:46"),
        ("10_minutes", "10min", "2020-02-29 00:09:46"),
        ("half_hourly", "30min", "2020-02-29 00:29:46"),
        ("hourly", "h", "2020-02-29 00:59:46"),
        ("daily", "D", "2020-02-29 23:59:46"),
        ("weekly", "W", "2020-03-06 23:59:46"),
        ("monthly", "MS", "2020-03-28 23:59:46"),
        ("quarterly", "QS", "2020-05-28 23:59:46"),
        ("yearly", "YS", "2021-02-28 23:59:46"),
    ],
)
def test_a_frequency_of_the_format_is_one_of_a_panel(tmp_path: Path, frequency: str, alias: str, second: str) -> None:
    text = f"@attribute series_name string\n@attribute start_timestamp date\n@frequency {frequency}\n@data\n"
    panel = Panel.of(written(tmp_path, text + "a:2020-02-28 23-59-46:1,2,3,4\n"))
    assert str(panel.frequency) == alias
    assert panel.label(panel.stamps(0, 1)) == second


@pytest.mark.parametrize("day", [29, 31])
def test_months_go_on_at_the_first_day_where_a_series_begins_after_the_28th(tmp_path: Path, day: int) -> None:
    panel = Panel.of(
        written(tmp_path, HEADER + f"a:north:1:1979-01-{day} 00-00-00:1,2,3\nb:s:2:1980-01-28 00-00-00:4,5\n")
    )
    assert [panel.label(panel.stamps(0, step)) for step in range(3)] == ["1979-01-01", "1979-02-01", "1979-03-01"]
    assert panel.label(panel.stamps(1, 1)) == "1980-02-28"
    assert "1 of 2 series begins after day 28 of a month and got its first day" in panel.notes


def test_without_starts_rows_are_steps_and_the_season_is_that_of_the_frequency(tmp_path: Path) -> None:
    text = "@relation r\n@attribute name string\n@frequency quarterly\n@data\nx:1,2,3\ny:4,5\n"
    panel = Panel.of(written(tmp_path, text))
    assert (panel.kind, panel.season_length, panel.lengths.tolist()) == ("none", 4, [3, 2])


def test_series_without_any_attribute_are_counted(tmp_path: Path) -> None:
    assert Panel.of(written(tmp_path, "@relation r\n@data\n1,2,3\n4,5\n")).ids.tolist() == ["T1", "T2"]


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.replace("\n", "\r").encode(),
        lambda text: text.replace("\n", "\n\n  \n# why\n").encode(),
        lambda text: b"\xef\xbb\xbf" + text.encode(),
        lambda text: text.replace("@relation", "@RELATION").replace("@data", "@Data").rstrip("\n").encode(),
        lambda text: text.replace("00-00-00", "00:00:00").encode(),
        lambda text: text.replace(",", " , ").encode(),
    ],
    ids=["CRLF", "CR", "blank and comment lines", "mark", "letters", "colons", "spaces"],
)
def test_a_file_in_another_dialect_is_the_same_panel(tmp_path: Path, change: Callable[[str], bytes]) -> None:
    one, other = written(tmp_path, HEADER + SERIES), written(tmp_path, change(HEADER + SERIES), "other.tsf")
    assert Panel.of(one).fingerprint() == Panel.of(other).fingerprint()


def test_a_file_in_latin_1_keeps_its_letters(tmp_path: Path) -> None:
    text = (HEADER + SERIES).replace("\na:", "\nZürich:")
    assert Panel.of(written(tmp_path, text.encode("latin-1"))).ids.tolist() == ["Zürich", "b"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "must have a line @data before its series: it has no header at all"),
        (HEADER.replace("@data\n", "") + SERIES, "line 11: a line before @data must begin with @ or #: got 'a:north"),
        (HEADER, "must have a series after @data: it has none"),
        (HEADER + SERIES + "c:north:1:1,2,3\n", "line 14: a series must have 4 attributes (series_name, state, size, "),
        (HEADER + "a:north:1:1979-01-01 00-00-00:\n", "line 12: a series must have a number: it has none"),
        (HEADER + "a:north:1:1979-01-01 00-00-00:?,?\n", "line 12: a series must have a number: all 2 are missing"),
        (HEADER + "a:n:1:1979-01-01 00-00-00:1,,2\n", "line 12: numbers must have commas between them, and ? where"),
        (HEADER + "a:n:1:1979-01-01 00-00-00:1,x,2\n", "number 2 of 3 is 'x'"),
        (HEADER + "a:n:1:1979-01-01 00-00-00:1,inf\n", "line 12: numbers must be finite: number 2 is 'inf'"),
        (HEADER + "a:n:big:1979-01-01 00-00-00:1,2\n", "attribute 'size' must be a number, or ?: got 'big'"),
        (
            HEADER + "a:n:1:yesterday:1,2\n",
            "a start must be a date such as 2024-01-31 or 2024-01-31 12-00-00: got 'yes",
        ),
        (HEADER + "a:n:1:1979-02-30 00-00-00:1,2\n", "a start must be a date such as"),
        (HEADER + "a:n:1:1500-01-01 00-00-00:1,2\n", "series must begin between the years 1678 and 2261"),
        (HEADER + SERIES + SERIES[:44] + "\n", "line 14: series must have names of their own: 'a' is there again"),
        (HEADER.replace("monthly", "monthy") + SERIES, "line 7: @frequency must be one of the format, or a number"),
        (HEADER.replace("monthly", "monthy") + SERIES, "did you mean 'monthly'?"),
        (HEADER.replace("@frequency monthly\n", "") + SERIES, "must name its frequency, since series begin at dates"),
        (HEADER.replace("horizon 6", "horizon six") + SERIES, "@horizon must be a whole number of steps above 0"),
        (HEADER.replace("missing true", "missing yes") + SERIES, "line 9: @missing must be true or false: got 'yes'"),
        (HEADER.replace("size numeric", "size") + SERIES, "line 5: an attribute must have a name and a type (string, "),
        (HEADER.replace("size numeric", "state string") + SERIES, "attributes must have names of their own: 'state'"),
        (HEADER.replace("@horizon", "@horizons") + SERIES, "@horizons; did you mean '@horizon'?"),
        (HEADER.replace("@horizon 6", "@relation s") + SERIES, "@relation must occur once"),
        (b"PK\x03\x04\x00\x00", "must be text: it holds bytes that are none; unpack it first"),
    ],
)
def test_a_fault_is_named_with_its_line(tmp_path: Path, text: str | bytes, sentence: str) -> None:
    assert sentence in problems(tmp_path, text)


def test_all_faults_are_named_at_once(tmp_path: Path) -> None:
    found = problems(tmp_path, HEADER + "a:n:x:never:1,y\nb:1\n")
    assert found.startswith("4 problems:")


def test_other_files_and_missing_ones_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"must be a readable \.tsf file: No such file or directory"):
        Panel.of(tmp_path / "none.tsf")
    with pytest.raises(DataError, match=r"'sales\.csv' must name files in Parquet, CSV or Arrow .*: there is none"):
        Panel.of("sales.csv")


@given(lines=st.lists(st.text("abc@#:?,.-1 \n\t", max_size=30), max_size=8))
def test_any_lines_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    path = tmp_path_factory.getbasetemp() / "lines.tsf"
    path.write_text("@relation r\n@attribute series_name string\n" + "\n".join(["@data", *lines]))
    with suppress(DataError):
        read_monash(path)


def test_a_leaderboard_of_a_file_is_that_of_its_numbers(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0).normal(size=60).round(3)
    text = HEADER + f"a:n:1:2001-05-01 00-00-00:{','.join(map(str, numbers))}\n"
    months = pd.date_range("2001-05-01", periods=60, freq="MS")
    ours, theirs = (
        leaderboard(["mean"], data, horizon=3, origins=4)
        for data in (str(written(tmp_path, text)), pd.Series(numbers, months))
    )
    np.testing.assert_array_equal(ours.rows["forecast"], theirs.rows["forecast"])
    assert ours.table["mase"].tolist() == theirs.table["mase"].tolist()


def test_the_command_line_takes_horizon_roles_and_statics_from_the_header(tmp_path: Path) -> None:
    rng, lines = np.random.default_rng(0), []
    for name, state in (("a", "n"), ("b", "s"), ("c", "n")):
        lines.append(f"{name}:{state}:1:2001-05-01 00-00-00:{','.join(map(str, rng.normal(size=60).round(3)))}")
    path = written(tmp_path, HEADER + "\n".join(lines))
    shown = tsforecast("check", path).stdout
    assert "static 'state'" in shown
    assert "horizon 6" in shown
    assert "--target must be left out with x.tsf" in tsforecast("check", path, "--target", "value").stderr
    assert "group 'state'" in tsforecast("check", path, "--group", "state").stdout
    tsforecast("fit", path, "--model", "naive", "--out", tmp_path / "model")
    forecast = tsforecast("predict", tmp_path / "model", "--data", path).stdout.splitlines()
    assert forecast[0] == "series_name,timestamp,value"
    assert len(forecast) == 1 + 3 * 6
