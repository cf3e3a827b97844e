"""CSV files as Excel, R, databases and portals write them: each is read as it is meant, or refused in one sentence."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.helpers.workbook import workbook
from tsforecast.cli.app import app
from tsforecast.cli.data import read_panel
from tsforecast.cli.files import read_file
from tsforecast.cli.options import DataOptions
from tsforecast.cli.wording import as_option
from tsforecast.data.panel import Panel
from tsforecast.errors import DataError

DAYS = [f"2024-01-{day:02d}" for day in range(1, 31)]
NAN = float("nan")


def table(names: str, row: str, count: int = 6) -> str:
    """Return a file with a row for each day; `row` is formatted with the day and its number from 0."""
    return f"{names}\n" + "".join(row.format(day=DAYS[i], i=i) + "\n" for i in range(count))


def panel(folder: Path, text: str | bytes, name: str = "data.csv", **reading: Any) -> Panel:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_panel(str(path), DataOptions(**reading))[0]


def cli(*words: object) -> Any:
    return CliRunner().invoke(app, [str(word) for word in words])


READ: dict[str, tuple[str, dict[str, Any]]] = {  # how a file may write the numbers 0 to 5 on six days
    "plain": (table("day,sales", "{day},{i}"), {}),
    "a space in the header": (table("day, sales", "{day}, {i}"), {}),
    "a space in the header, and a target": (table("day, sales", "{day}, {i}"), {"target": "sales"}),
    "a space in the target": (table("day, sales", "{day}, {i}"), {"target": " sales"}),
    "spaces around cells": (table(" day ,sales\t", " {day} , {i} "), {"time": "day"}),
    "spaces that do not break": (table("day;sales", "{day};\u00a0{i}\u00a0"), {}),
    "a comma at the end of lines": (table("day,sales,", "{day},{i},"), {}),
    "three commas at the end of lines": (table("day,sales,,,", "{day},{i},,,"), {}),
    "a comma at the end of rows alone": (table("day,sales", "{day},{i},"), {}),
    "a comma at the end of the header alone": (table("day,sales,", "{day},{i}"), {}),
    "empty rows at the end": (table("day;sales", "{day};{i}") + ";\n;\n\n", {}),
    "quoted numbers": (table("day,sales", '{day},"{i}"'), {}),
    "decimal commas in quotes": (table("day,sales", '{day},"{i},0"'), {}),
    "decimal commas": (table("day;sales", "{day};{i},00"), {}),
    "three decimals": (table("day;sales", "{day};{i},000"), {}),
    "points beside decimal commas": (table("day;sales;price", "{day};{i}.0;{i},5"), {"target": "sales"}),
    "signs": (table("day,sales", "{day},+{i}"), {}),
    "a separator for Excel": ("sep=;\n" + table("day;sales", "{day};{i}"), {}),
    "a separator for Excel in quotes": ('"sep=\t"\n' + table("day\tsales", "{day}\t{i}"), {}),
    "a separator after a mark of UTF-8": ("\ufeffsep=;\n" + table("day;sales", "{day};{i},0"), {}),
    "a remark here and there": (table("day,sales,note", "{day},{i},") .replace("3,\n", "3,promo\n"), {}),
    "remarks that are all empty": (table("day,sales,note", "{day},{i},"), {}),
    "lines of Windows": (table("day,sales", "{day},{i}").replace("\n", "\r\n"), {}),
}  # fmt: skip


@pytest.mark.parametrize("how", READ)
def test_numbers_are_read_however_they_are_written(how: str, tmp_path: Path) -> None:
    text, reading = READ[how]
    read = panel(tmp_path, text, **reading)
    assert read.values.ravel().tolist() == [0, 1, 2, 3, 4, 5]
    assert (read.roles.target, read.label(read.starts[0]), str(read.frequency)) == (("sales",), "2024-01-01", "D")
    assert panel(tmp_path, gzip.compress(text.encode()), "data.csv.gz", **reading).values.tolist() == (
        read.values.tolist()
    )


@pytest.mark.parametrize(
    "mark", ["", "NaN", "nan", "NA", "N/A", "n/a", "#N/A", "NULL", "null", "None", "-", ".", " ", " NA ", '""', '"NA"']
)
@pytest.mark.parametrize(
    "number", ["{i}.5", *(pytest.param(form, marks=pytest.mark.thorough) for form in ("{i}", '"{i},5"'))]
)
def test_marks_of_missing_numbers_are_understood(mark: str, number: str, tmp_path: Path) -> None:
    text = table("day,sales", "{day}," + number).replace(number.format(i=2) + "\n", mark + "\n")
    part = 0.5 if "5" in number else 0
    assert panel(tmp_path, text, nan="mask").values[[1, 3], 0].tolist() == [1 + part, 3 + part]
    assert panel(tmp_path, text, nan="forward_fill").values[2, 0] == 1 + part
    with pytest.raises(DataError, match=r"column 'sales' must be complete: .*line 4"):
        panel(tmp_path, text)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "ids",
    [
        ("01067", "04109"), ("12e4", "45e1"), ("007", "7"), ("1.10", "1.1"), ("NA", "DE"), ("null", "-"), ("1", "true"),
        ("89314404000000000012", "89314404000000000013"), ("+49", "49"), ("1e400", "inf"), ("2024-01-01", "2024-01-02"),
        ("1,5", "1,50"), ("1 000", "1000"), ("nan", "NaN"),
    ],
)  # fmt: skip
def test_ids_stand_in_forecasts_as_in_the_file(ids: tuple[str, str], tmp_path: Path) -> None:
    rows = [f'"{name}",{day},{value}\n' for name, value in zip(ids, (5, 9), strict=True) for day in DAYS]
    path = tmp_path / "data.csv"
    path.write_text("store,day,sales\n" + "".join(rows))
    told = cli("fit", path, "--id", "store", "--group", "store", "--target", "sales", "--time", "day", "--model",
               "seasonal-naive", "--horizon", "2", "--out", tmp_path / "m")  # fmt: skip
    assert told.exit_code == 0, told.output
    names = [f'"{name}"' if "," in name else name for name in ids]
    wanted = [f"{name},{day},{value}.0" for name, value in zip(names, (5, 9), strict=True)
              for day in ("2024-01-31", "2024-02-01")]  # fmt: skip
    assert cli("predict", tmp_path / "m").output.splitlines()[1:] == wanted
    path.write_text("store,day,sales\n" + "".join(rows).replace(",5\n", ",6\n"))  # the same stores, later
    again = cli("predict", tmp_path / "m", "--data", path).output.splitlines()[1:]
    assert again == [line.replace(",5.0", ",6.0") for line in wanted]


def test_labels_and_groups_are_text(tmp_path: Path) -> None:
    (tmp_path / "moves.csv").write_text("id,step,x,label,person\na,0,1,01,007\na,1,2,01,007\nb,0,1,1,7\nb,1,2,1,7\n")
    reading = DataOptions(id="id", time="step", target="x", group="person")
    read, _ = read_panel(str(tmp_path / "moves.csv"), reading, "label")
    assert read.statics["label"].tolist() == ["01", "1"]
    assert read.groups is not None
    assert read.groups.tolist() == ["007", "7"]


def test_ids_that_were_numbers_when_a_model_was_fitted_are_numbers_in_a_file(tmp_path: Path) -> None:
    frame = read_file(_written(tmp_path, "store,day,sales\n007,2024-01-01,5\n"))[0]
    assert frame["store"].to_list() == [7]
    assert read_file(tmp_path / "data.csv", texts=["store"])[0]["store"].to_list() == ["007"]


def _written(folder: Path, text: str) -> Path:
    (folder / "data.csv").write_text(text)
    return folder / "data.csv"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            table("day,sales", '{day},"{i},234"').replace("0,234", "1,234"),
            "column 'sales' must hold numbers without thousands separators: line 2 holds '1,234', which may be one; "
            "write 1234 or 1.2340, or pass decimal='.' for the former, decimal=',' for the latter",
        ),
        (
            table("day;sales;price", "{day};1.50{i};{i},5"),
            "column 'sales' must hold numbers without thousands separators: line 2 holds '1.500', which may be one; "
            "write 1500 or 1,5000, or pass decimal=',' for the former, decimal='.' for the latter",
        ),
        (
            table("day,sales", '{day},"{i},5"').replace('"3,5"', "much"),
            "column 'sales' must hold numbers: line 5 holds 'much'; convert the column to numbers, or name another one",
        ),
    ],
)
def test_numbers_that_may_mean_two_things_are_refused(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        panel(tmp_path, text, target="sales")
    assert caught.value.problems[0] == said


@pytest.mark.parametrize(
    ("dates", "wanted"),
    [
        (["07.02.2024", "08.02.2024"], "%d.%m.%Y"),
        (["7.2.2024", "8.2.2024"], "%d.%m.%Y"),
        (["07.02.24", "08.02.24"], "%d.%m.%y"),
        (["13/02/2024", "14/02/2024"], "%d/%m/%Y"),
        (["12/02/2024", "13/02/2024"], "%d/%m/%Y"),
        (["02/13/2024", "02/14/2024"], "%m/%d/%Y"),
        (["02/12/2024", "02/13/2024"], "%m/%d/%Y"),
        (["02.12.2024", "02.13.2024"], "%m.%d.%Y"),
        (["02-12-2024", "02-13-2024"], "%m-%d-%Y"),
        (["07.02.2024 13:00", "07.02.2024 14:00"], "%d.%m.%Y %H:%M"),
        (["07.02.24, 9:00:00", "07.02.24, 10:00:00"], "%d.%m.%y, %H:%M:%S"),
        (["02/13/2024 01:00 PM", "02/13/2024 02:00 PM"], "%m/%d/%Y %I:%M %p"),
        (["7 Feb 2024", "8 Feb 2024"], "%d %b %Y"),
    ],
)
def test_the_format_of_dates_that_is_at_hand_is_proposed_and_reads_them(
    dates: list[str], wanted: str, tmp_path: Path
) -> None:
    text = "day;sales\n" + "".join(f"{day};{value}\n" for value, day in enumerate(dates))
    with pytest.raises(DataError) as caught:
        panel(tmp_path, text, time="day")
    assert f"give its format: --date-format {wanted!r}" in str(caught.value.map(as_option))
    assert "if the month" not in str(caught.value)
    assert len(panel(tmp_path, text, date_format=wanted).values) == 2


def test_where_day_and_month_cannot_be_told_apart_both_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"format='%d/%m/%Y'\); '%m/%d/%Y' if the month comes first$"):
        panel(tmp_path, "day,sales\n01/02/2024,1\n01/03/2024,2\n")


def test_dates_as_columns_are_refused_with_a_way_to_turn_the_table(tmp_path: Path) -> None:
    for names in (DAYS, [str(1990 + year) for year in range(30)], [f"2016Q{part}" for part in (1, 2, 3, 4)]):
        numbers = ",".join(map(str, range(len(names))))
        with pytest.raises(DataError) as caught:
            panel(tmp_path, f"store,{','.join(names)}\nA,{numbers}\nB,{numbers}\n")
        assert str(caught.value.map(as_option)) == (
            f"the file must have a row for each time: {len(names)} of its {len(names) + 1} columns are named by dates, "
            f"such as {names[0]!r}; turn it with pandas.read_csv(FILE).melt(['store'], var_name='time', "
            "value_name='value')"
        )


@pytest.mark.parametrize("hour", ["{}", "{}:00", "{}:00:00"])
def test_hours_beside_days_are_no_names_of_series(hour: str, tmp_path: Path) -> None:
    rows = [f"{day},{hour.format(at)},1\n" for day in DAYS[:4] for at in range(24)]
    with pytest.raises(DataError) as caught:
        panel(tmp_path, "date,hour,load\n" + "".join(rows), target="load", id=None)
    assert str(caught.value.map(as_option)) == (
        "time column 'date' must hold the hour as well: it holds days, and 'hour' their hours; pass --time date,hour"
    )


def forecasts(folder: Path, text: str, *words: str, model: str = "seasonal-naive", name: str = "data.csv") -> list[str]:
    """Return the lines that `predict --out` writes from a model of the file, and from the file; they are the same."""
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    told = cli("fit", path, *words, "--model", model, "--horizon", "2", "--out", folder / "m")
    assert told.exit_code == 0, told.output
    for more in ((), ("--data", path)):
        told = cli("predict", folder / "m", *more, "--out", folder / f"next{len(more)}.csv")
        assert told.exit_code == 0, told.output
    lines = (folder / "next0.csv").read_text().splitlines()
    assert lines == (folder / "next2.csv").read_text().splitlines()
    return lines


def hours(row: str, count: int = 72) -> str:
    """Return a row for each hour from Monday 2024-01-01; `row` has day, dotted day, hour, seconds and hour as value."""
    return "".join(
        row.format(day=DAYS[i // 24], dotted=f"{1 + i // 24:02}.01.2024", hour=i % 24, s=1704067200 + 3600 * i) + "\n"
        for i in range(count)
    )


QUARTERS = [(2016 + i // 4, i % 4 + 1) for i in range(12)]
MONTHS = [(2016 + i // 12, i % 12 + 1) for i in range(24)]
WRITTEN: dict[str, tuple[str, tuple[str, ...], list[str]]] = {  # a file, options, and its seasonal naive forecasts
    "decimal commas, German dates": (
        "Tag;Menge\n" + "".join(f"{i + 1:02}.01.2024;{i % 7},25\n" for i in range(28)),
        ("--date-format", "%d.%m.%Y", "--time", "Tag"),
        ["Tag;Menge", "29.01.2024;0,25", "30.01.2024;1,25"],
    ),
    "decimal commas in quotes": (
        table("day,sales", '{day},"{i},5"', 7), (), ["day,sales", '2024-01-08,"0,5"', '2024-01-09,"1,5"'],
    ),
    "tabs, the number first": (
        table("sales\tday", "{i}\t{day}", 7), (), ["sales\tday", "0.0\t2024-01-08", "1.0\t2024-01-09"],
    ),
    "columns of the file in their order": (
        table("sales,open,day,shop", "{i}.5,1,{day},7", 7), ("--target", "sales", "--id", "shop"),
        ["sales,day,shop", "0.5,2024-01-08,7", "1.5,2024-01-09,7"],
    ),
    "a line sep=": (
        "sep=;\n" + table("day;sales", "{day};{i}", 7), (), ["day;sales", "2024-01-08;0.0", "2024-01-09;1.0"],
    ),
    "quarters": (
        "q,sales\n" + "".join(f"{year}Q{part},{part}\n" for year, part in QUARTERS), (),
        ["q,sales", "2019Q1,1.0", "2019Q2,2.0"],
    ),
    "quarters with a hyphen": (
        "q,sales\n" + "".join(f"{year}-Q{part},{part}\n" for year, part in QUARTERS), ("--target", "sales"),
        ["q,sales", "2019-Q1,1.0", "2019-Q2,2.0"],
    ),
    "quarters with a space": (
        "q,sales\n" + "".join(f"{year} Q{part},{part}\n" for year, part in QUARTERS), ("--time", "q"),
        ["q,sales", "2019 Q1,1.0", "2019 Q2,2.0"],
    ),
    "months": (
        "month,sales\n" + "".join(f"{year}-{month:02},{month}\n" for year, month in MONTHS), (),
        ["month,sales", "2018-01,1.0", "2018-02,2.0"],
    ),
    "months of statistical offices": (
        "month,sales\n" + "".join(f"{year}M{month:02},{month}\n" for year, month in MONTHS), (),
        ["month,sales", "2018M01,1.0", "2018M02,2.0"],
    ),
    "weeks": (
        "week,sales\n" + "".join(f"2016-W{week:02},{week}\n" for week in range(1, 53)), (),
        ["week,sales", "2017-W01,1.0", "2017-W02,2.0"],
    ),
    "seconds since 1970": (
        "ts,load\n" + hours("{s},{hour}"), ("--time", "ts", "--target", "load"),
        ["ts,load", "1704326400,0.0", "1704330000,1.0"],
    ),
    "milliseconds since 1970": (
        "ts,load\n" + hours("{s}000,{hour}"), ("--time", "ts", "--target", "load"),
        ["ts,load", "1704326400000,0.0", "1704330000000,1.0"],
    ),
    "an offset from UTC": (
        "at,load\n" + hours("{day}T{hour:02}:00:00+02:00,{hour}"), ("--time", "at"),
        ["at,load", "2024-01-04T00:00:00+02:00,0.0", "2024-01-04T01:00:00+02:00,1.0"],
    ),
    "UTC": (
        "at,load\n" + hours("{day} {hour:02}:00Z,{hour}"), (),
        ["at,load", "2024-01-04 00:00Z,0.0", "2024-01-04 01:00Z,1.0"],
    ),
    "days and numbers of hours": (
        "date,hour,load\n" + hours("{day},{hour},{hour}"), ("--time", "date,hour", "--target", "load"),
        ["date,hour,load", "2024-01-04,0,0.0", "2024-01-04,1,1.0"],
    ),
    "hours and days": (
        "load;hour;date\n" + hours("{hour},5;{hour}:00;{dotted}"),
        ("--time", "date, hour", "--date-format", "%d.%m.%Y", "--target", "load"),
        ["load;hour;date", "0,5;00:00;04.01.2024", "1,5;01:00;04.01.2024"],
    ),
    "days and hours with seconds": (
        "date,time,load\n" + hours("{day},{hour:02}:00:00,{hour}"), ("--time", "date,time", "--target", "load"),
        ["date,time,load", "2024-01-04,00:00:00,0.0", "2024-01-04,01:00:00,1.0"],
    ),
}  # fmt: skip


@pytest.mark.long
@pytest.mark.sample(4)
@pytest.mark.parametrize("how", WRITTEN)
@pytest.mark.parametrize("name", ["data.csv", pytest.param("data.csv.gz", marks=pytest.mark.thorough)])
def test_forecasts_are_written_as_the_file_that_they_go_on_from(how: str, name: str, tmp_path: Path) -> None:
    text, words, wanted = WRITTEN[how]
    assert forecasts(tmp_path, text, *words, name=name) == wanted


def test_numbers_have_three_decimals_more_than_those_that_were_read(tmp_path: Path) -> None:
    text = "day;a;b\n" + "".join(f"{day};{row % 3};{row % 3},25\n" for row, day in enumerate(DAYS[:10]))
    lines = forecasts(tmp_path, text, "--target", "a,b", model="mean")  # 9 / 10, and 9 / 10 + 1 / 4
    assert lines[1] == "2024-01-11;0,9;1,15"
    text = table("day,a", "{day},{i}", 6).replace(",1\n", ",2\n")  # 16 / 6
    assert forecasts(tmp_path, text, model="mean")[1] == "2024-01-07,2.667"


def test_seconds_since_1970_are_noted(tmp_path: Path) -> None:
    path = _written(tmp_path, "ts,load\n" + hours("{s},{hour}"))
    told = cli("fit", path, "--time", "ts", "--target", "load", "--model", "naive", "--out", tmp_path / "m")
    assert "Note: column 'ts' was read as seconds since 1970: its first number is 2024-01-01 00:00:00" in told.output
    assert "frequency h, season 24" in told.output


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["2024-01-01,24,1"], "column 'hour' must hold hours from 0 to 23, or times like 13:30: line 2 holds 24"),
        (["2024-01-01,noon,1"], "column 'hour' must hold hours from 0 to 23, or times like 13:30: line 2 holds 'noon'"),
        (
            ["31.01.2024,1,1"],
            "column 'date' must hold dates: line 2 holds '31.01.2024'; give its format: --date-format",
        ),
    ],
)
def test_hours_that_cannot_be_joined_to_days_are_refused(rows: list[str], said: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        panel(tmp_path, "\n".join(["date,hour,load", *rows, ""]), time="date,hour", target="load")
    assert str(caught.value.map(as_option)).startswith(said)


def test_an_excel_file_is_read_and_forecast(tmp_path: Path) -> None:
    pytest.importorskip("fastexcel")
    rows = [["store", " day ", "sales"], *([7, f"{i + 1:02}.01.2024", i % 7 if i != 3 else "NA"] for i in range(28))]
    path, words = workbook(tmp_path / "data.xlsx", rows), ("--model", "seasonal-naive", "--out", tmp_path / "m")
    told = cli("fit", path, *words, "--id", "store", "--date-format", "%d.%m.%Y", "--horizon", "2")
    assert isinstance(told.exception, DataError)
    assert "column 'sales' must be complete" in str(told.exception)
    assert "line 5 (2024-01-04)" in str(told.exception)
    told = cli("fit", path, *words, "--id", "store", "--date-format", "%d.%m.%Y", "--horizon", "2", "--nan", "mask")
    assert told.exit_code == 0, told.output
    assert cli("predict", tmp_path / "m").output == "store,day,sales\n7,29.01.2024,0.0\n7,30.01.2024,1.0\n"


def test_files_that_are_no_excel_files_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("fastexcel")
    (tmp_path / "data.xlsx").write_text("day,sales")
    with pytest.raises(DataError, match="must be a readable XLSX table: it is no Excel file, or damaged"):
        read_file(tmp_path / "data.xlsx")


def test_where_no_reader_of_excel_files_is_installed_its_command_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fastexcel", None)
    with pytest.raises(DataError, match=r"needs a reader of Excel .*: pip install 'tsforecast-toolkit\[excel\]'$"):
        read_file(workbook(tmp_path / "data.xlsx", [["a"], [1]]))


@pytest.mark.parametrize("cut", [0, 5, 20, 40])
def test_a_compressed_file_that_is_damaged_is_refused(cut: int, tmp_path: Path) -> None:
    whole = gzip.compress(table("day,sales", "{day},{i}", 28).encode())
    (tmp_path / "data.csv.gz").write_bytes(whole[:-cut] if cut else b"day,sales")
    with pytest.raises(DataError, match="must be a readable CSV table: "):
        read_file(tmp_path / "data.csv.gz")


@pytest.mark.parametrize(
    ("first", "second", "date", "frequency"),
    [
        ("2016Q2", "2016Q3", "2016-04-01", "QS"),
        ("2016-Q4", "2017-Q1", "2016-10-01", "QS"),
        ("2016 Q1", "2016 Q2", "2016-01-01", "QS"),
        ("2016-12", "2017-01", "2016-12-01", "MS"),
        ("2016M03", "2016M04", "2016-03-01", "MS"),
        ("2016-W05", "2016-W06", "2016-02-01", "W"),
        ("2020W53", "2021W01", "2020-12-28", "W"),
    ],
)
def test_parts_of_years_are_their_first_days(
    first: str, second: str, date: str, frequency: str, tmp_path: Path
) -> None:
    read = panel(tmp_path, f"when,sales\n{first},1\n{second},2\n")
    assert (read.label(read.starts[0]), str(read.frequency)) == (date, frequency)
