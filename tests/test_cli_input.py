"""Files are read as people write them, and what cannot be read for sure is refused with its place."""

from __future__ import annotations

import datetime
import gzip
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.helpers.commands import tsforecast
from tests.helpers.workbook import workbook
from tsforecast.cli import files
from tsforecast.cli.data import read_panel
from tsforecast.cli.options import DataOptions
from tsforecast.cli.wording import _without, as_option
from tsforecast.errors import DataError, ParameterError, UnknownNameError

DAY = datetime.date(2023, 2, 1)


def file(folder: Path, *lines: str) -> Path:
    path = folder / "data.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def read_file(*given: Any, **more: Any) -> pl.DataFrame:
    frame: pl.DataFrame = files.read_file(*given, **more)[0]
    return frame


def test_what_a_recording_is_recognised_as_is_not_read_where_it_is_forecast(data_folder: Path) -> None:
    panel, task = read_panel("smartwatch-gestures", DataOptions())
    assert task is not None
    assert task.label == "gesture"
    assert (panel.roles.static, panel.roles.group) == ((), "user")


@pytest.mark.parametrize(
    ("first", "last", "read"),
    [
        ("1", "2.5", 2.5),
        ("1", "NA", None),
        ("1.5", "-", None),
        ("1.5", '"2,5"', 2.5),
        ("1.5", '" 3 "', 3.0),
        ("1", "x", "x"),
    ],
)
def test_a_cell_far_down_counts_as_much_as_the_first(first: str, last: str, read: object, tmp_path: Path) -> None:
    frame = read_file(file(tmp_path, "y,n", *[f"{first},1"] * files.ROWS, f"{last},1"))
    assert (frame["y"][-1], str(frame["y"][0])) == (read, str(float(first)) if frame["y"].dtype.is_float() else first)


@pytest.mark.parametrize(("first", "wrong"), [("1.500", 1), ("1.25", 0)])
def test_points_are_no_thousands_only_where_a_number_shows_it(first: str, wrong: int, tmp_path: Path) -> None:
    problems = files.read_file(file(tmp_path, "y,n", *[f"{first},1"] * files.ROWS, '1.500,"2,5"'))[2]
    assert ["'y'" in str(problem) for problem in problems] == [True] * wrong


def test_a_letter_of_windows_far_down_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(b"id,y\n" + b"a,1.5\n" * files.ROWS + "Köln,2.5\n".encode("cp1252"))
    assert read_file(path).row(-1) == ("Köln", 2.5)
    assert capsys.readouterr().err.count("is not UTF-8") == 1


def test_the_first_lines_of_a_large_file_are_whole_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "TOP", 12)
    rows = [("a", 1.5), ("b", 22.5), ("c", 3.25)]
    assert read_file(file(tmp_path, "id,y", *(f"{name},{value}" for name, value in rows))).rows() == rows
    assert read_file(file(tmp_path, "id,y", *(f'"{name}\n",{value}' for name, value in rows))).rows() == rows


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_found(separator: str, tmp_path: Path) -> None:
    rows = [["day", '"sales, net"', "n"], ["2023-02-01", "1.5", "2"], ["2023-02-02", "2.5", "3"]]
    frame = read_file(file(tmp_path, *(separator.join(row) for row in rows)))
    assert frame.rows() == [(DAY, 1.5, 2), (datetime.date(2023, 2, 2), 2.5, 3)]
    assert frame.columns == ["day", "sales, net", "n"]


def test_a_decimal_comma_is_read_where_commas_do_not_separate(tmp_path: Path) -> None:
    frame = read_file(file(tmp_path, "day;sales", "2023-02-01;1,5", "2023-02-02;-20"))
    assert frame["sales"].to_list() == [1.5, -20.0]


def test_a_file_of_one_column_is_read(tmp_path: Path) -> None:
    assert read_file(file(tmp_path, "sales", "1", "2")).rows() == [(1,), (2,)]


@pytest.mark.parametrize("end", ["", "\n", "\n\n\n", "\r\n\r\n"])
def test_empty_lines_at_the_end_are_no_rows(end: str, tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(f"day,sales\n2023-02-01,1\n2023-02-02,2\n{end}".encode())
    assert read_file(path)["sales"].to_list() == [1, 2]
    path.write_bytes(f"a,b\n1,2\n3,4\n,\n{end}".encode())  # Excel writes commas where rows were deleted
    assert read_file(path).rows() == [(1, 2), (3, 4)]


def test_empty_lines_between_rows_are_said(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read_panel(str(file(tmp_path, "day,sales", "2023-02-01,1", "", "2023-02-02,2")), DataOptions())
    assert str(caught.value) == (
        "time column 'day' must be complete: 1 of 3 stamps is missing, the first in line 3; fill them in, or drop "
        "those rows (an empty line is one)"
    )


@pytest.mark.parametrize("first", ["2023-02-01,10.5", "0,10.5", "2023-02-01,3"])
def test_a_file_without_names_is_refused_since_its_first_row_would_be_lost(first: str, tmp_path: Path) -> None:
    path = file(tmp_path, first, first)
    with pytest.raises(DataError) as caught:
        read_file(path)
    names = ", ".join(map(repr, first.split(",")))
    assert str(caught.value) == (
        f"the first line of {str(path)!r} must hold the names of its columns: it holds {names}; add a line of names"
    )


def test_columns_may_have_whole_numbers_as_names(tmp_path: Path) -> None:
    assert read_file(file(tmp_path, "0,1", "1.5,2", "2.5,3")).columns == ["0", "1"]


@pytest.mark.parametrize("value", ["$10.5", "10.5%", '"10,5 kg"'])
def test_where_no_column_holds_numbers_what_they_hold_is_shown(value: str, tmp_path: Path) -> None:
    shown = value.strip('"')
    with pytest.raises(DataError) as caught:
        read_panel(str(file(tmp_path, "day,sales", f"2023-02-01,{value}", f"2023-02-02,{value}")), DataOptions())
    assert str(caught.value) == (
        f"a number column to forecast is needed: the frame has 'day' (Date), 'sales' (String, such as {shown!r}); "
        "convert it, or name it with target=..."
    )


def test_a_year_of_five_digits_is_a_date_and_no_name(tmp_path: Path) -> None:
    path = file(tmp_path, "day,sales", "99999-01-01,1", "99999-01-02,2")
    with pytest.raises(DataError, match=r"time column 'day' must hold dates like .*: line 2 holds '99999-01-01'; "):
        read_panel(str(path), DataOptions())


def test_a_line_with_too_many_cells_is_named(tmp_path: Path) -> None:
    path = file(tmp_path, "day,sales", "2023-02-01,1", "2023-02-02,1,5")
    with pytest.raises(DataError) as caught:
        read_file(path)
    assert str(caught.value) == (
        f"file {str(path)!r} must be a readable CSV table: line 3 has 3 cells, the first line 2"
    )


def test_the_format_of_stamps_is_that_of_the_longest(tmp_path: Path) -> None:
    path = file(tmp_path, "a,b,n", "2024-01-31 08:00,2024-01-31T08:00Z,1", "2024-01-31 08:00:30,2024-01-31T09:00Z,2")
    assert files.read_file(path)[1].dates == {"a": "%Y-%m-%d %H:%M:%S", "b": "%Y-%m-%dT%H:%MZ"}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("2023-02-01", pl.Date),
        ("2023-02-01 00:15", pl.Datetime),
        ("2023-02-01T00:15:00.5", pl.Datetime),
        ("2023-02-01T00:15:00Z", pl.Datetime),
        ("2023-02-01T00:15:00+01:00", pl.Datetime),
        ("01/02/2023", pl.String),
        ("2023-02-31", pl.String),
    ],
)
def test_dates_are_read_only_when_there_is_one_way_to_read_them(text: str, kind: type, tmp_path: Path) -> None:
    assert read_file(file(tmp_path, "day,sales", f"{text},1", ",2"))["day"].dtype == kind


@pytest.mark.parametrize("odd", ["02-02-2023", "2023/02/02", "2023-2-2", "+2023-02-02", "2023-02-29"])
def test_days_are_dates_only_if_all_are_written_alike(odd: str, tmp_path: Path) -> None:
    days = [f"2023-01-{day:02},{day}" for day in range(1, 32)]
    assert read_file(file(tmp_path, "day,sales", *days, "2023-02-01,32"))["day"].dtype == pl.Date
    assert read_file(file(tmp_path, "day,sales", *days, f"{odd},32"))["day"].dtype == pl.String


def test_other_dates_are_refused_unless_the_user_says_how_they_are_written(tmp_path: Path) -> None:
    path = file(tmp_path, "day,sales", "01/02/2023,1", "02/02/2023,2", "03/02/2023,3")
    with pytest.raises(DataError) as caught:
        read_panel(str(path), DataOptions())
    assert str(caught.value.map(as_option)) == (
        "time column 'day' must hold dates like 2024-01-31 (ISO 8601): line 2 holds '01/02/2023'; "
        "give its format: --date-format '%d/%m/%Y'; '%m/%d/%Y' if the month comes first"
    )
    for time in ("day", None):
        panel, _ = read_panel(str(path), DataOptions(time=time, date_format="%d/%m/%Y"))
        assert panel.label(panel.starts[0]) == "2023-02-01"
        assert str(panel.frequency) == "D"


def test_a_date_that_does_not_fit_the_format_is_shown_with_its_row(tmp_path: Path) -> None:
    path = file(tmp_path, "day,sales", "01.02.2023 10:00,1", "bad,2")
    with pytest.raises(DataError) as caught:
        read_file(path, "day", "%d.%m.%Y %H:%M")
    assert str(caught.value) == (
        "time column 'day' must hold dates like '%d.%m.%Y %H:%M': row 1 holds 'bad'; correct the file or the format"
    )
    with pytest.raises(DataError, match=r"one column must hold dates like '%Y': none does; name the column with time="):
        read_file(path, None, "%Y")
    years = read_file(file(tmp_path, "year,n", "1999,1", "2000,2"), "year", "%Y")
    assert years["year"].to_list() == [datetime.date(1999, 1, 1), datetime.date(2000, 1, 1)]


def test_every_role_and_mending_of_the_library_can_be_asked_for(tmp_path: Path) -> None:
    lines = ["2023-02-03,a,3,1,0", "2023-02-01,a,1,1,0", "2023-02-01,a,7,1,0", "2023-02-05,a,5,1,1"]
    said = DataOptions(
        time="day", id="shop", target="sales", past="price", future="open", frequency="D", season=2, nan="forward_fill",
        fill_gaps=True, sort=True, duplicates="last",
    )  # fmt: skip
    panel, task = read_panel(str(file(tmp_path, "day,shop,sales,price,open", *lines)), said)
    assert task is None
    assert panel.values[:, 0].tolist() == [7, 7, 3, 3, 5]
    assert (panel.roles.past, panel.roles.future) == (("price",), ("open",))
    assert panel.season_length == 2
    with pytest.raises(ParameterError, match="dataset 'co2-weekly' has its own columns, season and cleaning"):
        read_panel("co2-weekly", DataOptions(sort=True))


@pytest.mark.parametrize(
    ("held", "plain"),
    [("10.103,70", "10103,70"), ("1.234.567", "1234567"), ("10,103.70", "10103.70"), ("-1 234,5", "-1234,5")],
)
def test_numbers_with_thousands_set_apart_are_shown_with_line_and_remedy(held: str, plain: str, tmp_path: Path) -> None:
    path = file(tmp_path, "day;sales;n", "2023-02-01;950,00;1", f"2023-02-02;{held};2")
    said = (
        f"column 'sales' must hold numbers without thousands separators: line 3 holds {held!r}; "
        f"write {plain}, and the others likewise"
    )
    for target in ("sales", None):
        with pytest.raises(DataError) as caught:
            read_panel(str(path), DataOptions(target=target))
        assert caught.value.problems[0] == said
    assert read_file(path, numbers=["n"])["sales"].to_list() == ["950,00", held]  # nobody reads it as a number


@pytest.mark.parametrize(
    ("separator", "held", "row"),
    [
        (";", ["1.200", "1.790"], 2),
        (";", ["980", "-1.200"], 3),
        (";", ["1.234", "2.345", "NA"], 2),
        ("\t", ["980", "1.200 "], 3),
        (",", ["0", "980", "1.200"], 4),
        (";", ["0.123", "12.500"], 0),
        (";", ["1.200", "1.5"], 0),
        (";", ["1.200", "12345"], 0),
        (",", ["1.234", "2.345"], 0),
        (",", ["1.5", "12.500", "980"], 0),
        (",", ["2", "12345", "12.500"], 0),
    ],
)
def test_points_that_may_set_thousands_apart_are_asked_about(
    separator: str, held: list[str], row: int, tmp_path: Path
) -> None:
    path = file(tmp_path, f"day{separator}y", *(f"2024-01-{i:02d}{separator}{y}" for i, y in enumerate(held, 1)))
    plain = [None if value == "NA" else float(value) for value in held]
    problems = files.read_file(path)[2]
    assert [(problem.row or 0) + 2 for problem in problems] == [row] * bool(row)
    frame, form, problems = files.read_file(path, decimal=".")
    assert (frame["y"].to_list(), problems, form.decimal_comma) == (plain, [], False)
    if row:
        frame, form, problems = files.read_file(path, decimal=",")
        joined = [None if value == "NA" else float(value.replace(".", "")) for value in held]
        assert (frame["y"].to_list(), problems, form.decimal_comma) == (joined, [], True)


def test_the_sign_before_decimals_is_given_or_remembered(tmp_path: Path) -> None:
    days = pl.date_range(datetime.date(2024, 1, 1), datetime.date(2024, 2, 9), eager=True)
    path = file(tmp_path, "Datum;Umsatz", *(f"{day};{900 + 10 * i:,}".replace(",", ".") for i, day in enumerate(days)))
    fit = ["fit", path, "--model", "naive", "--horizon", "1", "--out", tmp_path / "m"]
    refused = tsforecast(*fit)
    assert refused.returncode == 2
    assert "line 12 holds '1.000', which may be one; write 1000 or 1,0000, or pass --decimal , for" in refused.stderr
    assert "--decimal must be one of '.', ','" in tsforecast(*fit, "--decimal", "x").stderr
    assert tsforecast(*fit, "--decimal", ",").returncode == 0
    for given in ([], ["--data", path]):
        assert tsforecast("predict", tmp_path / "m", *given).stdout.splitlines() == [
            "Datum;Umsatz",
            "2024-02-10;1290,0",
        ]


@pytest.mark.parametrize(
    ("dates", "example"),
    [
        (["janv. 2015", "f\u00e9vr. 2015", "mars 2015"], "2015-03-01 for March 2015"),
        (["1 janvier 2015", "2 janvier 2015", "3 janvier 2015"], "2015-03-01 for March 2015"),
        (["Feb 2015", "Mrz 2015", "Apr 2015"], "2015-03-01 for March 2015"),
        (["Q1/2015", "Q2/2015", "Q3/2015"], "2015-04-01 for the second quarter of 2015"),
        (["2015W1", "2015W2", "2015W3"], "2015-01-26 for week 5 of 2015"),
    ],
)
def test_dates_that_cannot_be_read_are_asked_about(dates: list[str], example: str, tmp_path: Path) -> None:
    path = file(tmp_path, "when;y", *(f"{day};{y}" for y, day in enumerate(dates)))
    with pytest.raises(DataError) as caught:
        read_panel(str(path), DataOptions())
    said = f"line 2 holds {dates[0]!r}; write the first day of each, such as {example}, or pass --time none to number"
    assert said in str(caught.value.map(as_option))
    assert read_panel(str(path), DataOptions(time="none"))[0].values[:, 0].tolist() == [0, 1, 2]


def test_names_with_a_year_that_stand_together_are_no_dates(tmp_path: Path) -> None:
    path = file(tmp_path, "car;y", *(f"Ford {year};{y}" for year in (2015, 2016) for y in range(4)))
    assert read_panel(str(path), DataOptions())[0].ids.tolist() == ["Ford 2015", "Ford 2016"]


def test_numbers_beside_another_text_are_not_taken_for_thousands(tmp_path: Path) -> None:
    path = file(tmp_path, "day,sales", "2023-02-01,1.234", "2023-02-02,5.678", "2023-02-03,much")
    with pytest.raises(DataError, match="column 'sales' must hold numbers: line 4 holds 'much'"):
        read_panel(str(path), DataOptions())


def test_text_of_the_windows_kind_is_read_and_said_to_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "data.csv"
    text = "tag;größe\n2023-02-01;1,5\n2023-02-02;2,5\n"
    path.write_bytes(text.encode())
    expected = read_file(path)
    assert capsys.readouterr().err == ""
    path.write_bytes(text.encode("latin-1"))
    assert read_file(path).equals(expected)
    assert capsys.readouterr().err == (
        f"Note: file {str(path)!r} is not UTF-8 and was read as Windows-1252 (latin-1); if names in it look wrong, "
        "save it again as CSV in UTF-8\n"
    )
    for spoiled in (text.encode("utf-16")[2:], text.encode("utf-16") + b"\0", text.encode("latin-1") + b"\x81"):
        path.write_bytes(spoiled)
        with pytest.raises(DataError) as caught:
            read_file(path)
        assert (
            str(caught.value) == f"file {str(path)!r} must be text in UTF-8: it is not; save it again as CSV in UTF-8"
        )


@pytest.mark.sample(5)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
def test_forecasts_stand_behind_their_history_byte_by_byte(
    encoding: str, end: str, suffix: str, tmp_path: Path
) -> None:
    lines = ["Tag\tOrt\tGröße", *(f"2023-02-{day:02d}\tKöln\t{day},5" for day in range(1, 25))]
    data, text = tmp_path / f"data{suffix}", "".join(line + end for line in lines)
    data.write_bytes(gzip.compress(text.encode(encoding)) if suffix == ".csv.gz" else text.encode(encoding))
    arguments = ["--id", "Ort", "--model", "naive", "--horizon", "2", "--out", tmp_path / "m"]
    assert tsforecast("fit", data, *arguments).returncode == 0
    expected = f"{lines[0]}{end}2023-02-25\tKöln\t24,5{end}2023-02-26\tKöln\t24,5{end}"
    for given in ([], ["--data", data]):
        out = tmp_path / "next.csv"
        assert tsforecast("predict", tmp_path / "m", *given, "--out", out).returncode == 0
        assert out.read_bytes() == expected.encode(encoding)


def test_a_note_on_a_file_is_printed_once_and_a_number_as_it_stands_there(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    rows = (f"2023-02-{day:02d};{day}\u00a0000,0\n" for day in range(1, 25))
    path.write_bytes(f"Tag;Größe\n{''.join(rows)}".encode("cp1252"))
    told = tsforecast("check", path)
    assert told.returncode == 2
    assert told.stderr.count("Note: ") == 1
    assert "line 2 holds '1\u00a0000,0'; write 1000,0" in told.stderr


def test_the_sheet_of_several_that_was_read_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("fastexcel")
    rows: list[list[object]] = [["n"], [1], [2]]
    assert read_file(workbook(tmp_path / "one.xlsx", rows))["n"].to_list() == [1, 2]
    assert capsys.readouterr().err == ""
    path = workbook(tmp_path / "two.xlsx", rows, ["Info", "Daten"])
    assert read_file(path)["n"].to_list() == [1, 2]
    assert capsys.readouterr().err == f"Note: sheet 'Info' of {str(path)!r} was read, the first one, not 'Daten'\n"


def test_a_check_of_data_whose_run_is_refused_ends_with_one(tmp_path: Path) -> None:
    days = [datetime.date(2024, month, day) for month in (1, 3, 5) for day in range(1, 29)]
    path = file(tmp_path, "day,id,y", *(f"{day},{day:%b},{day.day % 7}" for day in days))
    told = tsforecast("check", path)
    assert "refused: most series must have" in " ".join(told.stdout.replace("│", " ").split())
    assert told.returncode == 1
    assert tsforecast("check", path, "--align", "end").returncode == 0


def test_the_command_of_a_repair_has_each_option_once(tmp_path: Path) -> None:
    days = [f"2024-01-{day:02d}" for day in range(1, 29) if day != 9]
    path = file(tmp_path, "day,y", *(f"{day},{'' if day.endswith('5') else 1}" for day in days), f"{days[-1]},2")
    told = tsforecast("check", path, "--nan=forward_fill", "--season", "7", "--duplicates", "first").stdout
    assert told.splitlines()[-1].endswith("data.csv --season 7 --duplicates first --fill-gaps --nan forward_fill")
    told = tsforecast("check", path, "--fill-gaps", "--season", "7").stdout
    assert told.splitlines()[-1].endswith("data.csv --fill-gaps --season 7 --duplicates last --nan mask")


@pytest.mark.parametrize(
    ("words", "kept"),
    [("--nan drop_series --sort f.csv", "f.csv"), ("f.csv --nan=mask --season 7 --sort", "f.csv --season 7")],
)
def test_options_that_follow_anew_are_left_out(words: str, kept: str) -> None:
    assert _without(words.split(), ["--nan", "--sort"]) == kept.split()


def test_most_rows_are_not_dropped_as_duplicates(tmp_path: Path) -> None:
    days = [f"2024-01-{day:02d}" for day in range(1, 29)]
    rows = [f"{day},{'sun' if at % 2 else 'rain'},{at}" for _ in range(4) for at, day in enumerate(days)]
    told = tsforecast("check", file(tmp_path, "day,weather,y", *rows), "--id", "weather")
    assert told.returncode == 1
    assert "a column with the names of series is probably missing: name it with --id ..." in told.stdout
    assert "one command repairs" not in told.stdout


def test_a_date_format_without_codes_is_answered_with_an_example(tmp_path: Path) -> None:
    path = file(tmp_path, "day,sales", "01.02.2023,1", "02.02.2023,2")
    with pytest.raises(ParameterError) as caught:
        read_file(path, "day", "TT.MM.JJJJ")
    assert str(caught.value) == (
        "a date format must be written in strptime codes, such as %d.%m.%Y for 31.01.2024: got 'TT.MM.JJJJ'"
    )


def test_a_file_that_does_not_exist_is_no_dataset_with_a_typo(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError) as caught:
        read_panel(str(tmp_path / "nosuch.csv"), DataOptions())
    assert str(caught.value) == (
        f"file {str(tmp_path / 'nosuch.csv')!r} does not exist; check the name and the folder, which is "
        f"{str(tmp_path)!r}"
    )
    with pytest.raises(UnknownNameError, match=r"file '.*' does not exist; did you mean 'data\.csv'"):
        read_file(file(tmp_path, "a", "1").with_name("dta.csv"))
    with pytest.raises(UnknownNameError, match="dataset 'co2' does not exist; did you mean 'co2-weekly'"):
        read_panel("co2", DataOptions())


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_name_with_brackets_or_stars_is_that_of_one_file(tmp_path: Path, suffix: str) -> None:
    days = ["2024-01-01", "2024-01-02", "2024-01-03"]
    for name, sales in {"a[1]": 1.0, "a1": 999.0, "b*": 2.0, "b2": 998.0}.items():
        frame = pl.DataFrame({"day": days, "sales": [sales] * 3})
        with (tmp_path / f"{name}{suffix}").open("wb") as file:
            frame.write_csv(file) if suffix == ".csv" else frame.write_parquet(file)
    for name, sales in {"a[1]": 1.0, "b*": 2.0}.items():
        assert read_file(tmp_path / f"{name}{suffix}")["sales"].to_list() == [sales] * 3


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("day,sales,sales\n2024-01-01,1,5\n2024-01-02,1,5\n")
    with pytest.raises(DataError, match=r"must have names of their own: 'sales' occurs twice; rename one"):
        read_file(tmp_path / "a.csv")
    (tmp_path / "b.csv").write_text("day,sales,sales_duplicated_0\n2024-01-01,1,5\n2024-01-02,1,5\n")
    assert read_file(tmp_path / "b.csv").width == 3


def test_faults_of_several_kinds_are_reported_together(tmp_path: Path) -> None:
    lines = [f"2024-01-{day:02d};{day}.5;1;2" for day in range(1, 29)]
    lines[2], lines[8] = "2024-01-03;much;1;2", "2024-01-09;9.5;;2"
    lines[10:] = [line.removesuffix("2") + "1 234" for line in lines[10:]]
    path = file(tmp_path, "day;sales;price;stock", *lines[:5], *lines[6:])
    with pytest.raises(DataError) as caught:
        read_panel(str(path), DataOptions(target="sales", past="price,stock"))
    assert [str(problem).split(":")[0] for problem in caught.value.problems] == [
        "column 'stock' must hold numbers without thousands separators",
        "column 'sales' must hold numbers",
        "time stamps must have no gaps",
        "column 'price' must be complete",
    ]
    with pytest.raises(DataError) as caught:
        read_panel(str(path), DataOptions(time="day", date_format="%d.%m.%Y"))
    assert len(caught.value.problems) == 2


def test_days_in_iso_8601_among_others_are_read_with_a_note(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dates = ["28.02.2023", "01.03.2023", "2023-03-02", "03.03.2023", "2023-03-04"]
    rows = [f"{date};{number},5" for number, date in enumerate(dates)]
    options = DataOptions(time="day", date_format="%d.%m.%Y")
    panel, _ = read_panel(str(file(tmp_path, "day;sales", *rows)), options)
    assert panel.label(panel.starts[0]) == "2023-02-28"
    assert panel.lengths.tolist() == [5]
    note = "Note: 2 dates are written like 2024-01-31 (ISO 8601) instead of '%d.%m.%Y', and read so"
    assert note in " ".join(capsys.readouterr().err.split())
    for odd in ("2023-02-30", "03/05/2023"):
        path = file(tmp_path, "day;sales", *rows, f"{odd};1,5", f"{odd};2,5")
        with pytest.raises(DataError, match=f"holds '{odd}', one of 2 such rows; correct"):
            read_panel(str(path), options)


def test_a_pattern_and_a_folder_of_files_are_scanned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TSFORECAST_CACHE", str(tmp_path / "cache"))
    days = pl.date_range(DAY, datetime.date(2023, 2, 5), eager=True)
    for shop in ("a", "b"):
        frame = pl.DataFrame({"shop": shop, "date": days, "sold": [1.0, 2.0, 3.0, 4.0, 5.0]})
        (tmp_path / "sales").mkdir(exist_ok=True)
        frame.write_parquet(tmp_path / "sales" / f"{shop}.parquet")
    for data in (str(tmp_path / "sales" / "*.parquet"), str(tmp_path / "sales")):
        assert read_panel(data, DataOptions())[0].ids.tolist() == ["a", "b"]
    with pytest.raises(ParameterError, match="date-format must be left out with several files"):
        read_panel(str(tmp_path / "sales"), DataOptions(date_format="%d.%m.%Y"))
    with pytest.raises(DataError, match="must name files in Parquet, CSV or Arrow"):
        read_panel("nowhere/*.parquet", DataOptions())
    model = tmp_path / "model"
    tsforecast("fit", str(tmp_path / "sales"), "--model", "naive", "--horizon", "1", "--out", str(model))
    found = tsforecast("predict", str(model), str(tmp_path / "sales" / "*.parquet")).stdout
    assert found.splitlines() == ["shop,date,sold", "a,2023-02-06,5.0", "b,2023-02-06,5.0"]
