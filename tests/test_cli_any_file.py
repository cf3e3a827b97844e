"""Whatever a file holds, the command line ends with a model or with one message."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from tests.contract.inputs import frames
from tsforecast.cli.app import app
from tsforecast.cli.files import read_file
from tsforecast.errors import DataError, TsForecastError

LENIENT = {"deadline": None, "suppress_health_check": list(HealthCheck)}
CELLS = ["1", "2.5", "-3", "1,5", "1.234,5", "1 234", "", "NaN", "nan", "inf", "-inf", "1e400", "0x1F", "abc", "ä"]
CELLS += ["2024-01-01", "2024-01-32", "01/02/2024", "2024-01-01T00:00:00Z", "2024-01-01 00:00:00+02:00", "9999-12-31"]
CELLS += [
    '"',
    '""',
    '"a',
    '"1,2"',
    "'",
    "\x00",
    "\r",
    "=1+1",
    "<script>",
    "9" * 400,
    "1_000",
    "٣",
    " 1 ",
    "\ufeff",
    "数",
]
CELLS += [
    "NA",
    "#N/A",
    "null",
    "-",
    ".",
    "true",
    '"1,5"',
    '"1,234"',
    "1.500",
    "2024Q1",
    "2024-W01",
    "24",
    "13:30",
    "007",
    " ",
]
DATES = ["2024-01-{:02}", "{}", "{:02}.01.2024", "2024-01-01 {:02}:00", "2024-W{:02}", "20{:02}Q1", "20{:02}-01"]
DATES += ["17040672{:02}", "17040672{:02}000", "2024-01-01T{:02}:00+01:00", "2024-01-01,{:02}", "2024-01-01,{:02}:00"]
MARKS = ["\ufeff".encode(), "\ufeff".encode("utf-16"), b"", b"", b"", b"\xff\xfe\x00", b"PK\x03\x04", b"\x1f\x8b"]


@st.composite
def texts(draw: st.DrawFn) -> bytes:
    """The bytes of a CSV file: a table that may well be read, mostly, with a few cells that may not."""
    separator = draw(st.sampled_from([",", ",", ";", "\t", "|", " ", "::"]))
    end = draw(st.sampled_from(["\n", "\n", "\r\n", "\r", "\n\n"]))
    rows, date = (
        draw(st.integers(0, 30)),
        draw(st.sampled_from(DATES)),
    )
    lines = [["day", "sales"], *([date.format(1 + row % 28), str(row * 1.5)] for row in range(rows))]
    for _ in range(draw(st.sampled_from([0, 0, 1, 3, 20]))):
        line = lines[draw(st.integers(0, len(lines) - 1))]
        if draw(st.booleans()) and line:
            line[draw(st.integers(0, len(line) - 1))] = draw(st.one_of(st.sampled_from(CELLS), st.text(max_size=3)))
        elif draw(st.booleans()):
            line.append(draw(st.sampled_from(CELLS)))
        elif line:
            line.pop()
    mark = draw(st.sampled_from(["", "", "", "sep=;\n"]))
    text = mark + end.join(separator.join(line) for line in lines) + draw(st.sampled_from(["", end, end * 3]))
    code = draw(st.sampled_from(["utf-8", "utf-8", "utf-8", "latin-1", "utf-16", "cp1252"]))
    told = bytearray(draw(st.sampled_from(MARKS)) + text.encode(code, errors="replace"))
    for _ in range(draw(st.sampled_from([0, 0, 0, 2])) if told else 0):
        told[draw(st.integers(0, len(told) - 1))] = draw(st.integers(0, 255))
    return bytes(told)


@st.composite
def tables(draw: st.DrawFn) -> bytes:
    """The bytes of a Parquet file, whole mostly."""
    frame = draw(frames(plain=draw(st.booleans())))
    try:
        table = frame.collect() if isinstance(frame, pl.LazyFrame) else frame
        if not isinstance(table, pl.DataFrame):
            table = pl.from_pandas(table) if hasattr(table, "iloc") else pl.from_arrow(table)
        table = table.to_frame() if isinstance(table, pl.Series) else table
        with tempfile.TemporaryFile() as file:
            table.write_parquet(file)
            file.seek(0)
            told = bytearray(file.read())
    except Exception:
        told = bytearray(b"PAR1PAR1")
    way = draw(st.sampled_from(["whole", "whole", "whole", "cut", "bytes"]))
    if way == "cut":
        told = told[: draw(st.integers(0, len(told)))]
    elif way == "bytes":
        for _ in range(draw(st.integers(1, 5))):
            told[draw(st.integers(0, len(told) - 1))] = draw(st.integers(0, 255))
    return bytes(told)


OPTIONS = [["--time", "day"], ["--target", "sales"], ["--past", "price"], ["--id", "shop"], ["--fill-gaps"], ["--sort"]]
OPTIONS += [
    ["--date-format", "%d.%m.%Y"],
    ["--time", "day,sales"],
    ["--nan", "forward_fill"],
    ["--duplicates", "last"],
    ["--frequency", "D"],
    ["--id", "sales"],
]


def run(told: bytes, suffix: str, options: list[list[str]]) -> None:
    """Fit the naive forecaster to a file, and predict, as the command line does; what is not ours is raised."""
    place = Path(tempfile.mkdtemp())
    try:
        (place / f"data{suffix}").write_bytes(told)
        words = ["fit", str(place / f"data{suffix}"), "--model", "naive", "--out", str(place / "model")]
        words += [word for option in options for word in option]
        again = ["predict", str(place / "model"), "--data", str(place / f"data{suffix}")]
        for command in (words, again):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                result = CliRunner().invoke(app, command)
            if result.exception and not isinstance(result.exception, (TsForecastError, SystemExit)):
                raise result.exception
            if result.exception:
                return
    finally:
        shutil.rmtree(place, ignore_errors=True)


CHOSEN = st.lists(st.sampled_from(OPTIONS), max_size=4, unique_by=lambda option: option[0])


@pytest.mark.thorough
@settings(max_examples=60, **LENIENT)
@given(told=texts(), options=CHOSEN)
def test_any_text_is_read_or_refused(told: bytes, options: list[list[str]]) -> None:
    run(told, ".csv", options)


@pytest.mark.thorough
@settings(max_examples=40, **LENIENT)
@given(told=tables(), options=CHOSEN)
def test_any_table_is_read_or_refused(told: bytes, options: list[list[str]]) -> None:
    run(told, ".parquet", options)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_thousands_of_files_are_read_or_refused(suffix: str) -> None:
    @settings(max_examples=2000, derandomize=False, **LENIENT)
    @given(told=texts() if suffix == ".csv" else tables(), options=CHOSEN)
    def every(told: bytes, options: list[list[str]]) -> None:
        run(told, suffix, options)

    every()


def test_a_file_over_which_the_reader_itself_breaks_down_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks_down(path: Path, **how: object) -> pl.DataFrame:
        raise pl.exceptions.PanicException("assertion failed: range.end as u64 <= self.size")  # no Exception at all

    (tmp_path / "data.parquet").write_bytes(b"PAR1")
    monkeypatch.setattr(pl, "read_parquet", breaks_down)
    with pytest.raises(DataError, match=r"must be a readable PARQUET table: it is damaged; write it again$"):
        read_file(tmp_path / "data.parquet")


def late_decimals(file: Path, rows: int) -> str:
    """Write whole numbers, of which the last is none, and fit; return what is forecast."""
    with file.open("w") as out:
        out.write("step,sales\n")
        for begin in range(0, rows, 1_000_000):
            out.write("".join(f"{step},{step % 7}\n" for step in range(begin, min(rows, begin + 1_000_000))))
        out.write(f"{rows},0.5\n")
    model = str(file.parent / "model")
    words = ["fit", str(file), "--time", "step", "--model", "naive", "--horizon", "1", "--out", model]
    result = CliRunner().invoke(app, words)
    assert result.exception is None, result.output
    forecast: str = CliRunner().invoke(app, ["predict", model]).output
    return forecast


@pytest.mark.long
def test_a_number_that_is_no_whole_one_may_come_late(tmp_path: Path) -> None:
    assert late_decimals(tmp_path / "data.csv", 300_000) == "step,sales\n300001,0.5\n"


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_number_that_is_no_whole_one_may_come_after_a_gigabyte(tmp_path: Path) -> None:
    if shutil.disk_usage(tmp_path).free < 4 << 30:
        pytest.skip("a file of a gigabyte and its model need a disk with room for four")
    assert late_decimals(tmp_path / "data.csv", 100_000_000).endswith("100000001,0.5\n")
    assert (tmp_path / "data.csv").stat().st_size > 1 << 30
