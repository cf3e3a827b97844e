"""Readers of CSV files in their many dialects, and of Parquet; errors about a CSV file name its lines."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import takewhile
from pathlib import Path
from typing import Any

from tsforecast.cli.console import suffix_of, warn
from tsforecast.errors import (
    Argument,
    DataError,
    ParameterError,
    Problem,
    Row,
    TsForecastError,
    UnknownNameError,
    guess,
    raise_any,
    reason,
    shorten,
)

SUFFIXES = (".csv", ".parquet")
PEEK = 1 << 16  # characters of a file from which its dialect is inferred
_ISO = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?$"
_PLAIN = r"^\s*[+-]?\d+([.,]\d+)?\s*$"
_THOUSANDS = (  # 1.234,5; 1,234.5; 1.234.567; 1 234: what can be read in one way only, so not 1.234
    r"^\s*[+-]?\d{1,3}((\.\d{3})+,\d+|(,\d{3})+\.\d+|(\.\d{3}){2,}|(,\d{3}){2,}"
    r"|([ '\u00a0\u202f\u2019]\d{3})+([.,]\d+)?)\s*$"
)


def read_file(
    path: Path, time: str | None = None, date_format: str | None = None, numbers: Collection[str | None] | None = None
) -> tuple[Any, dict[str, str], list[Problem]]:
    """Return the table in a file as a polars frame, the strptime format of dates that were text, and problems.

    Separator, decimal comma and encoding of a CSV file are inferred. Dates are read where they are ISO 8601, and in
    the time column where they are written as `date_format`. The columns `numbers` will be read as numbers; any but the
    time may be unless given; those with thousands separators are the problems, and 0 in the frame.
    """
    import polars as pl

    suffix = suffix_of(path, SUFFIXES, "a file")
    if not path.exists():
        beside = path.parent.glob("*") if path.parent.is_dir() else ()
        meant = guess(path.name, sorted(file.name for file in beside if file.suffix.lower() in SUFFIXES))
        where = f"check the name and the folder, which is {str(path.absolute().parent)!r}"
        raise UnknownNameError(f"file {str(path)!r} does not exist; {meant or where}")
    if date_format is not None and "%" not in date_format:
        raise ParameterError(
            f"a date format must be written in strptime codes, such as %d.%m.%Y for 31.01.2024: got {date_format!r}"
        )
    try:
        raw = pl.read_parquet(path, glob=False) if suffix == ".parquet" else _read_csv(path)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        broken = "it is damaged; write it anew" if isinstance(error, pl.exceptions.PanicException) else None
        why = _ragged(path) if suffix == ".csv" else broken
        raise DataError(
            f"file {str(path)!r} must be a readable {suffix[1:].upper()} table: {why or reason(error)}"
        ) from error
    columns = [name for name in raw.columns if name != time and (numbers is None or name in numbers)]
    problems = {name: problem for name in columns if (problem := _thousands(raw[name]))}
    frame = raw.with_columns(pl.lit(0.0).alias(name) for name in problems)
    if date_format:
        frame = _with_dates(frame, time, date_format, problems.values())
    elif suffix == ".csv":
        frame = frame.with_columns(map(_iso_dates, frame))
    read = [name for name in frame.columns if frame[name].dtype.is_temporal() and not raw[name].dtype.is_temporal()]
    return frame, {name: date_format or _iso_form(raw[name]) for name in read}, list(problems.values())


@contextmanager
def lines_of(path: Path | None) -> Iterator[None]:
    """Replace rows by lines, as an editor counts them, in errors about a CSV file."""
    try:
        yield
    except TsForecastError as error:
        rows = {part.number for problem in error.problems for part in problem.references if isinstance(part, Row)}
        if not rows or path is None or path.suffix.lower() != ".csv":
            raise
        lines = {row: row + 2 for row in rows}
        with suppress(OSError, csv.Error):
            for row, (line, _) in enumerate(_records(path), -1):  # the first one holds the names
                if row in lines:
                    lines[row] = line  # a cell may span several lines
        raise error.map(lambda part: f"line {lines[part.number]}" if isinstance(part, Row) else part) from error


def _read_csv(path: Path) -> Any:
    import polars as pl

    separator, encoding = _separator(path), _encoding(path)
    with open(path, encoding="utf-8", errors="replace") as file:
        cells = [cell for line in file.read(PEEK).splitlines()[1:] for cell in line.split(separator)]
    comma = separator != "," and any(re.fullmatch(r'\s*"?-?\d+,\d+"?\s*', cell) for cell in cells)
    # Types are read from all rows: a column that turns to decimals late is still a number column.
    # A file whose name has brackets or stars is that file alone.
    how: dict[str, Any] = {"separator": separator, "encoding": encoding, "glob": False}
    frame = pl.read_csv(path, decimal_comma=comma, infer_schema_length=None, **how)
    first = pl.read_csv(path, has_header=False, n_rows=1, infer_schema=False, **how).row(0)
    raise_any(_bad_names(path, first))
    if len(frame.columns) == 1:
        return frame
    with open(path, "rb") as end:  # empty lines there, without even a separator, are no rows
        end.seek(max(0, path.stat().st_size - PEEK))
        empty = sum(1 for _ in takewhile(lambda line: not line, reversed(end.read().splitlines())))
    return frame.head(len(frame) - empty)


def _bad_names(path: Path, first: Sequence[str | None]) -> Iterator[str]:
    """Refuse a first line of dates and decimals alone, which is meant as the first row, and two columns of one name."""
    names = [name for name in first if name is not None]
    numbers = len(names) == len(first) and all(re.match(f"{_ISO}|{_PLAIN}", name) for name in names)
    if numbers and not all(name.strip().isdigit() for name in names):
        must = f"the first line of {str(path)!r} must hold the names of its columns"
        yield f"{must}: it holds {shorten([repr(name) for name in names])}; add a line of names"
    twice = [repr(name) for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        yield f"columns of {str(path)!r} must have names of their own: {shorten(twice)} stands there twice; rename one"


def _encoding(path: Path) -> str:
    """Return ``utf8``, or ``cp1252`` for Windows text, with a note: some letters may differ; refuse anything else."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            while file.read(PEEK):
                pass
        return "utf8"
    except UnicodeDecodeError:
        pass
    try:
        with open(path, encoding="cp1252", newline="") as file:
            text = next((part for part in iter(lambda: file.read(PEEK), "") if "\0" in part), None)
    except UnicodeDecodeError:
        text = "\0"
    if text is not None:
        raise DataError(f"file {str(path)!r} must be text in UTF-8: it is not; save it anew as CSV in UTF-8")
    warn(
        "Note",
        f"file {str(path)!r} is not UTF-8 and was read as Windows-1252 (latin-1); if names in it look wrong, save it "
        "anew as CSV in UTF-8",
    )
    return "cp1252"


def _thousands(column: Any) -> Problem | None:
    """Return the problem if a column of text, most of which are numbers, has thousands separators."""
    import polars as pl

    if column.dtype != pl.String:
        return None
    grouped = column.str.contains(_THOUSANDS).fill_null(False)
    numeric = grouped | column.str.contains(_PLAIN).fill_null(False)
    if not grouped.any() or 2 * numeric.sum() <= column.count():
        return None
    row = grouped.arg_max()
    value = column[row].strip()
    separator = value.lstrip("+-0123456789")[0]
    return Problem(
        f"column {column.name!r} must hold numbers without thousands separators",
        (Row(row), f" holds {value!r}"),
        f"write {value.replace(separator, '')}, and the others likewise",
    )


def _separator(path: Path) -> str:
    """Return the character that separates the names in the first line."""
    with open(path, encoding="utf-8", errors="replace") as file:
        header = re.sub(r'"[^"]*"', "", file.readline(PEEK))
    return max(",;\t|", key=header.count)


def _records(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the line, counted from 1, on which each record of a CSV file begins, and its cells."""
    with open(path, encoding="utf-8", errors="replace", newline="") as file:
        records, begins = csv.reader(file, delimiter=_separator(path)), 1
        for cells in records:
            yield begins, cells
            begins = records.line_num + 1


def _ragged(path: Path) -> str | None:
    """Return a description of the first line of a CSV file with more cells than its header, if any."""
    with suppress(OSError, csv.Error):  # the message of polars is used
        records = _records(path)
        width = len(next(records, (1, []))[1])
        for line, cells in records:
            if len(cells) > width:
                return f"line {line} has {len(cells)} cells, the first line {width}"
    return None


def _iso_dates(column: Any) -> Any:
    """Return a column of text as dates or stamps if all of it is ISO 8601; any other column as it is."""
    import pandas as pd
    import polars as pl

    if column.dtype != pl.String or not len(column.drop_nulls()) or not column.str.contains(_ISO).all():
        return column
    try:
        if column.str.len_chars().max() == len("2024-01-31"):
            return column.str.to_date("%Y-%m-%d")
        zoned = column.str.contains(r"(Z|[+-]\d{2}:?\d{2})$")
        if zoned.any() and not zoned.all():
            return column
        return pl.Series(column.name, pd.to_datetime(column.to_list(), format="ISO8601", utc=bool(zoned.any())))
    except (pl.exceptions.PolarsError, ValueError):
        return column  # 2024-02-31: refused when it is read as the time


def _iso_form(column: Any) -> str:
    """Return how a column writes ISO 8601, by its longest text."""
    longest = column[column.str.len_chars().arg_max()]
    hours, seconds, parts, zone = re.fullmatch(_ISO, longest).groups(default="")  # type: ignore[union-attr]
    if not hours:
        return "%Y-%m-%d"
    fraction = f"%.{len(parts) - 1}f" if len(parts) in (4, 7, 10) else "%.f" if parts else ""
    offset = {"": "", "Z": "Z"}.get(zone, "%:z" if ":" in zone else "%z")
    return f"%Y-%m-%d{hours[0]}%H:%M{':%S' if seconds else ''}{fraction}{offset}"


def _with_dates(frame: Any, time: str | None, date_format: str, others: Iterable[Problem]) -> Any:
    """Return the frame with the time column read by `date_format`; other problems are reported with its own."""
    import polars as pl

    if time is None:
        found = [name for name in frame.columns if frame[name].dtype == pl.String]
        found = [name for name in found if len(_by_format(frame[name], date_format).drop_nulls())]
        if len(found) != 1:
            listed = ", ".join(map(repr, found)) or "none"
            must = f"one column must hold dates like {date_format!r}"
            raise DataError([Problem(must, f"{listed} does", ("name the column with ", Argument("time"))), *others])
        time = found[0]
    if time not in frame.columns:
        return frame  # refused, with the nearest name, when the roles are read
    if frame[time].dtype.is_temporal():
        return frame  # a Parquet file holds dates, not a way to write them
    stamps = _by_format(frame[time], date_format)
    wrong = (stamps.is_null() & frame[time].is_not_null()).arg_max()
    if stamps.null_count() > frame[time].null_count():
        held = (Row(wrong), f" holds {frame[time][wrong]!r}")
        must = f"time column {time!r} must hold dates like {date_format!r}"
        raise DataError([Problem(must, held, "correct the file or the format"), *others])
    return frame.with_columns(stamps)


def _by_format(column: Any, date_format: str) -> Any:
    """Return dates, or stamps where the format has hours; null where a text is written in another way."""
    import polars as pl

    text = column.cast(pl.String)
    try:
        if re.search(r"%[HIMSTRXcsfpkl]", date_format):
            return text.str.to_datetime(date_format, strict=False)
        return text.str.to_date(date_format, strict=False)
    except pl.exceptions.PolarsError as error:
        raise ParameterError(f"a date format must be like %d/%m/%Y: got {date_format!r}; {reason(error)}") from error
