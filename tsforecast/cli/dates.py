"""How a file writes its text, its table and its dates: ISO 8601, quarters, given formats, counts, days and hours."""

from __future__ import annotations

import codecs
import csv
import gzip
import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

from tsforecast.errors import Argument, DataError, ParameterError, Phrase, Problem, Row, counted, reason

Separator = Literal[",", ";", "\t", "|"]
Encoding = Literal["utf-8", "utf-8-sig", "cp1252", "utf-16"]
Decimal = Literal[".", ","]
PEEK = 1 << 16  # characters of a file from which its dialect is inferred
_SEP = r'"?sep=.?"?'
ISO = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}(:?\d{2})?)?)?$"
_PARTS = {  # of years: what stands in a cell, the strptime format of such cells, and that of their first days
    r"^\d{4}-\d{2}$": ("%Y-%m", "%Y-%m-%d"),
    r"^\d{4}M\d{2}$": ("%YM%m", "%YM%m-%d"),
    r"^\d{4}-M\d{2}$": ("%Y-M%m", "%Y-M%m-%d"),
    r"^\d{4}Q[1-4]$": ("%YQ%q", "%YQ%m-%d"),
    r"^\d{4}-Q[1-4]$": ("%Y-Q%q", "%Y-Q%m-%d"),
    r"^\d{4} Q[1-4]$": ("%Y Q%q", "%Y Q%m-%d"),
    r"^Q[1-4] \d{4}$": ("Q%q %Y", "Q%m %Y-%d"),
    r"^[A-Z][a-z]{2} \d{4}$": ("%b %Y", "%b %Y-%d"),  # only English names are read
    r"^[A-Z][a-z]{2}-\d{4}$": ("%b-%Y", "%b-%Y-%d"),
    r"^\d{4}-[A-Z][a-z]{2}$": ("%Y-%b", "%Y-%b-%d"),
    r"^\d{4}W\d{2}$": ("%GW%V", "%GW%V-%u"),
    r"^\d{4}-W\d{2}$": ("%G-W%V", "%G-W%V-%u"),
}
EPOCHS: dict[Literal["s", "ms", "us"], tuple[str, str]] = {
    "s": ("seconds", "%s"),
    "ms": ("milliseconds", "%s%3f"),
    "us": ("microseconds", "%s%6f"),
}
_TIMES = ("%H:%M", "%H:%M:%S", "%I:%M %p")


@dataclass(frozen=True)
class Form:
    """How a table is written, so that its forecasts can be written likewise."""

    date_format: str | None = None  # that was given
    dates: dict[str, str] = field(default_factory=dict)  # strptime format of each column of dates that was text
    separator: Separator = ","
    decimal_comma: bool = False
    decimal: Decimal | None = None  # the sign before decimals, where it was given, or a point that cannot be another
    decimals: dict[str, int] = field(default_factory=dict)  # behind the sign, of each column that was text
    columns: list[str] = field(default_factory=list)  # their order
    encoding: Encoding = "utf-8"
    crlf: bool = False  # at the ends of lines


def is_iso(column: Any) -> bool:
    """Return whether all of a column of text is ISO 8601."""
    return str(column.dtype) == "String" and _fits(column, ISO)


def epoch_of(column: Any) -> Literal["s", "ms", "us"] | None:
    """Return the unit in which whole numbers count from 1970: all of them lie between the years 1990 and 2030."""
    counted = column.dtype.is_integer() and column.count()
    for unit, size in zip(EPOCHS, (1, 10**3, 10**6), strict=True) if counted else ():
        if 631_152_000 * size <= column.min() and column.max() <= 1_900_000_000 * size:  # 2024013112 lies beyond
            return unit
    return None


def joined(frame: Any, day: str, hour: str, name: str) -> tuple[Any, str]:
    """Return the frame with one column of stamps in place of days and hours, and how the hours are written."""
    import polars as pl

    from tsforecast.data.zones import date_formats, odd_one

    days, hours = frame[day], frame[hour]
    if not days.dtype.is_temporal():
        forms, at = date_formats(days.drop_nulls().to_list()), odd_one(days.to_list()) or 0
        remedy = Phrase("", "date format", f": --date-format {forms[0]!r}") if forms else "write it like 2024-01-31"
        raise DataError(Problem(f"column {day!r} must hold dates", (Row(at), f" holds {days[at]!r}"), remedy))
    counted = hours.dtype.is_integer() or hours.dtype == pl.String
    whole = hours.cast(pl.Int64, strict=False) if counted else hours.clear()
    if 2 * whole.count() > hours.count():
        wrong = ~whole.is_between(0, 23).fill_null(False) & hours.is_not_null()
        form, spans = "%-H", pl.duration(hours=pl.lit(whole))
    else:
        times = {form: hours.cast(pl.String).str.to_time(form, strict=False) for form in _TIMES}
        form = min(times, key=lambda form: times[form].null_count())
        wrong = times[form].is_null() & hours.is_not_null()
        spans = pl.lit(times[form].cast(pl.Duration("us")))
    if wrong.any():
        held = (Row(wrong.arg_max()), f" holds {hours[wrong.arg_max()]!r}")
        raise DataError(
            Problem(f"column {hour!r} must hold hours from 0 to 23, or times like 13:30", held, "convert it")
        )
    stamps = (pl.col(day).cast(pl.Date).cast(pl.Datetime("us")) + spans).alias(name)
    return frame.with_columns(stamps).drop(day, hour), form


def _part_of_year(column: Any) -> str | None:
    """Return the pattern that all of a column of text fits, such as that of quarters."""
    return next((pattern for pattern in _PARTS if _fits(column, pattern)), None)


def _fits(column: Any, pattern: str) -> bool:
    """Return whether all of a column of text fits a pattern; the first rows rule most columns out."""
    first = column.head(9).drop_nulls().to_list() if column.count() else [""]
    return all(re.search(pattern, text) for text in first) and bool(column.str.contains(pattern).all())


def as_days(column: Any) -> Any:
    """Return a column of text as dates if all of it is written like 2024-01-31, else None."""
    import polars as pl
    import pyarrow as pa

    if not _fits(column.head(9), ISO):
        return None
    try:  # its reader takes this form alone, and knows the days of months
        return pl.concat(pl.Series(column.name, part.to_arrow().cast(pa.date32())) for part in column.get_chunks())
    except pa.ArrowInvalid:
        return None


def with_dates(column: Any) -> Any:
    """Return a column of text as dates or stamps if all of it is ISO 8601, or quarters; any other column as it is."""
    import pandas as pd
    import polars as pl

    from tsforecast.data.zones import offset_of, offset_zone

    if column.dtype != pl.String or not column.count():
        return column
    if (days := as_days(column)) is not None:
        return days
    if pattern := _part_of_year(column):
        first = column.str.replace_many({f"Q{part}": f"Q{3 * part - 2:02}" for part in (1, 2, 3, 4)}) + "-1"
        found = first.str.to_date(_PARTS[pattern][1], strict=False)
        return column if found.null_count() > column.null_count() else found
    if not is_iso(column):
        return column
    try:
        there = column.drop_nulls()
        offsets = there.str.extract(r"[T ].*(Z|[+-]\d{2}(?::?\d{2})?)$").unique()
        if len(offsets) > 1:
            return column  # read, or refused, as the time
        stamps = pl.Series(column.name, pd.to_datetime(column.to_list(), format="ISO8601", utc=offsets[0] is not None))
        zone = offset_zone(offset_of(there[0]) or 0)
        return stamps if offsets[0] is None or zone[0] in "+-" else stamps.dt.convert_time_zone(zone)
    except (pl.exceptions.PolarsError, ValueError):
        return column  # 2024-02-31: refused when it is read as the time


def date_form(column: Any) -> str:
    """Return how a column writes quarters, or ISO 8601 by its longest text."""
    if pattern := _part_of_year(column):
        return _PARTS[pattern][0]
    longest = column[column.str.len_chars().arg_max()]
    hours, seconds, parts, zone, _ = re.fullmatch(ISO, longest).groups(default="")  # type: ignore[union-attr]
    if not hours:
        return "%Y-%m-%d"
    fraction = f"%.{len(parts) - 1}f" if len(parts) in (4, 7, 10) else "%.f" if parts else ""
    offset = {0: "", 1: "Z", 3: "%:::z", 5: "%z", 6: "%:z"}[len(zone)]
    return f"%Y-%m-%d{hours[0]}%H:%M{':%S' if seconds else ''}{fraction}{offset}"


def with_format(frame: Any, time: str | None, date_format: str, others: Iterable[Problem]) -> tuple[Any, str]:
    """Return the frame with its time read by `date_format`, and a note; other problems are reported with its own."""
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
        return frame, ""  # refused, with the nearest name, when the roles are read
    if frame[time].dtype.is_temporal():
        return frame, ""  # a Parquet file holds dates, not a way to write them
    stamps, note = _with_iso(frame[time], _by_format(frame[time], date_format), date_format)
    wrong = stamps.is_null() & frame[time].is_not_null()
    if count := int(wrong.sum()):
        at = wrong.arg_max()
        held = (Row(at), f" holds {frame[time][at]!r}", f", one of {count} such rows" if count > 1 else "")
        must = f"time column {time!r} must hold dates like {date_format!r}"
        raise DataError([Problem(must, held, "correct the file or the format"), *others])
    return frame.with_columns(stamps), note


def _with_iso(column: Any, stamps: Any, date_format: str) -> tuple[Any, str]:
    """Return days, and those in ISO 8601 among them, which can be read in one way alone; and a note on these."""
    import polars as pl

    lacks = stamps.is_null() & column.is_not_null()
    if stamps.dtype != pl.Date or not lacks.any() or lacks.all():
        return stamps, ""
    iso = column.cast(pl.String).str.strip_chars()
    found = iso.set(~iso.str.contains(r"^\d{4}-\d{2}-\d{2}$"), None).str.to_date("%Y-%m-%d", strict=False)
    rows = counted(int((lacks & found.is_not_null()).sum()), "date is", "dates are")
    note = f"{rows} written like 2024-01-31 (ISO 8601) instead of {date_format!r}, and read so"
    return stamps.fill_null(found), "" if rows.startswith("0 ") else note


def _by_format(column: Any, date_format: str) -> Any:
    """Return dates, or stamps where the format has hours; null where a text is written in another way."""
    import polars as pl

    text = column.cast(pl.String)
    try:
        if re.search(r"%[HIMSTRXcsfpkl]", date_format):
            return text.str.to_datetime(date_format, strict=False)
        if re.search(r"%-?[bBhm]", date_format) and not re.search(r"%-?[cdeDFjuvwx]", date_format):  # months
            text, date_format = text + " 1", f"{date_format} %d"
        return text.str.to_date(date_format, strict=False)
    except pl.exceptions.PolarsError as error:
        raise ParameterError(f"a date format must be like %d/%m/%Y: got {date_format!r}; {reason(error)}") from error


def marked(path: Path) -> Literal["utf-16", "utf-8-sig"] | None:
    """Return the encoding that the mark at the beginning of a text file is of, if it has one."""
    reader: Any = gzip.open if path.suffix.lower() == ".gz" else open
    with reader(path, "rb") as file:
        first = file.read(3)
    if first[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return "utf-16"
    return "utf-8-sig" if first == codecs.BOM_UTF8 else None


def open_text(path: Path, encoding: str | None = None, errors: str = "replace", newline: str | None = None) -> IO[str]:
    """Open a text file, which may be compressed; in UTF-8, or what its mark is of, where no encoding is given."""
    reader: Any = gzip.open if path.suffix.lower() == ".gz" else open
    encoding = encoding or marked(path) or "utf-8"
    opened: IO[str] = reader(path, "rt", encoding=encoding, errors=errors, newline=newline)
    return opened


def first_line(path: Path) -> tuple[str, bool]:
    """Return the line of names of a CSV file, and whether a line ``sep=;`` of Excel stands before it."""
    with open_text(path, newline="") as file:
        first = file.readline(PEEK)
        return (file.readline(PEEK), True) if re.fullmatch(_SEP, first.strip(), re.I) else (first, False)


def separator_of(path: Path) -> Separator:
    """Return the character that separates the names in the first line."""
    header = re.sub(r'"[^"]*"', "", first_line(path)[0])
    separators: tuple[Separator, ...] = (",", ";", "\t", "|")
    return max(separators, key=header.count)


def records_of(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the line, counted from 1, on which each record of a CSV file begins, and its cells."""
    with open_text(path, newline="") as file:
        begins = 1 + first_line(path)[1]
        for _ in range(1, begins):
            file.readline()
        records, before = csv.reader(file, delimiter=separator_of(path)), begins
        for cells in records:
            yield begins, cells
            begins = records.line_num + before


def ragged(path: Path) -> str | None:
    """Return a description of the first line of a CSV file with more filled cells than its header, if any."""
    with suppress(OSError, EOFError, zlib.error, csv.Error):  # their own message is used
        records = records_of(path)
        width = len(next(records, (1, []))[1])
        line, cells = 1, list[str]()
        for line, cells in records:
            if any(cells[width:]):
                return f"line {line} has {len(cells)} cells, the first line {width}"
        if "\n" in "".join(cells[-1:]):
            return f"the quote that is opened in line {line} is never closed"
    return None
