"""Readers of CSV files in their many dialects, of Excel, Parquet and `.tsf`; errors about a CSV file name its lines."""

from __future__ import annotations

import csv
import gzip
import logging
import re
import zlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from tsforecast.cli.console import suffix_of, warn
from tsforecast.cli.dates import (
    EPOCHS,
    ISO,
    PEEK,
    Decimal,
    Encoding,
    Form,
    Separator,
    as_days,
    date_form,
    epoch_of,
    first_line,
    is_iso,
    joined,
    marked,
    open_text,
    ragged,
    records_of,
    separator_of,
    with_dates,
    with_format,
)
from tsforecast.errors import (
    Argument,
    DataError,
    ParameterError,
    Part,
    Problem,
    Row,
    TsForecastError,
    UnknownNameError,
    guess,
    raise_any,
    reason,
    shorten,
)

SUFFIXES = (".csv", ".csv.gz", ".xlsx", ".parquet", ".tsf")
ROWS = 1000  # rows by which its decimals are counted, and types of columns proposed
TOP = 1 << 20  # bytes in which these rows are looked for
_PLAIN = r"^\s*[+-]?\d+([.,]\d+)?\s*$"
_COMMA = r"^[+-]?\d*,\d+([eE][+-]?\d+)?$"
_EITHER = r"^\s*[+-]?[1-9]\d{0,2}[.,]\d{3}\s*$"  # 1,234: with a decimal comma, or with thousands set apart
_MISSING = ("", "na", "n/a", "#n/a", "<na>", "nan", "-nan", "null", "none", "-", "--", "–", ".")  # of R, Excel, SQL
_NO_TEXT = "file {!r} must be text in UTF-8: it is not; save it again as CSV in UTF-8"
_THOUSANDS = (  # 1.234,5; 1,234.5; 1.234.567; 1 234: what can be read in one way only, so not 1.234
    r"^\s*[+-]?\d{1,3}((\.\d{3})+,\d+|(,\d{3})+\.\d+|(\.\d{3}){2,}|(,\d{3}){2,}"
    r"|([ '\u00a0\u202f\u2019]\d{3})+([.,]\d+)?)\s*$"
)


def read_file(
    path: Path,
    time: str | None = None,
    date_format: str | None = None,
    numbers: Collection[str | None] | None = None,
    texts: Collection[str | None] = (),
    decimal: Decimal | None = None,
) -> tuple[Any, Form, list[Problem]]:
    """Return the table in a file as a frame, how it was written, and problems.

    Separator, decimal comma, encoding and marks of missing numbers of a CSV file are inferred. Dates are read where
    they are ISO 8601, or quarters and the like, and in the time column where they are written as `date_format`, or
    count from 1970. A time of two names with a comma is joined from days and hours. The columns `texts` stay as they
    stand in a CSV or Excel file. The columns `numbers` will be read as numbers; any but the time may be unless given;
    those that can be read in two ways are the problems, and 0 in the frame; none can where the sign before the
    decimals is given.
    """
    import polars as pl

    suffix = suffix_of(path, SUFFIXES, "a file")
    if not path.exists():
        beside = path.parent.glob("*") if path.parent.is_dir() else ()
        meant = guess(path.name, sorted(file.name for file in beside if file.name.lower().endswith(SUFFIXES)))
        where = f"check the name and the folder, which is {str(path.absolute().parent)!r}"
        raise UnknownNameError(f"file {str(path)!r} does not exist; {meant or where}")
    if date_format is not None and "%" not in date_format:
        raise ParameterError(
            f"a date format must be written in strptime codes, such as %d.%m.%Y for 31.01.2024: got {date_format!r}"
        )
    if suffix == ".tsf":
        from tsforecast.monash import read_monash

        return read_monash(path).table()[0], Form(), []
    if suffix == ".parquet" and date_format is None and (written := _written_by_pandas(path)) is not None:
        return written, Form(), []
    try:
        raw, shown, encoding = _READERS[suffix](path, {*texts, time, *(time or "").split(",")})
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, EOFError, zlib.error) as error:
        damaged = isinstance(error, (pl.exceptions.PanicException, EOFError, zlib.error))
        broken = "it is damaged; write it again" if damaged else None
        why = broken or (ragged(path) if suffix.startswith(".csv") else None)
        raise DataError(
            f"file {str(path)!r} must be a readable {suffix.split('.')[1].upper()} table: {why or reason(error)}"
        ) from error
    parts = [] if time is None or time in raw.columns else time.split(",")
    time = parts[0] if parts else time
    problems: dict[str, Problem] = {}
    form = Form(date_format)
    if suffix != ".parquet":
        separator: Separator = separator_of(path) if suffix != ".xlsx" else ","
        crlf = suffix != ".xlsx" and first_line(path)[0].endswith("\r\n")
        texts = {*texts, time if date_format and time in raw.columns and raw[time].dtype == pl.String else None}
        commas = None if suffix == ".xlsx" else separator == ","
        typed, problems, form = _typed(raw, time, numbers, texts, commas, date_format is None, decimal)
        decimals = {column.name: _decimals(shown[column.name]) for column in typed if column.dtype.is_numeric()}
        form = replace(form, date_format=date_format, separator=separator, decimals=decimals, columns=raw.columns)
        form = replace(form, encoding=encoding, crlf=crlf)
        raw = typed
    frame, dates = raw.with_columns(pl.lit(0.0).alias(name) for name in problems), {**form.dates}
    if date_format:
        frame, note = with_format(frame, time, date_format, problems.values())
        if note:
            warn("Note", note)
        read = (name for name in frame.columns if frame[name].dtype.is_temporal() and not raw[name].dtype.is_temporal())
        dates = dict.fromkeys(read, date_format)
    for name in frame.columns:
        if name not in {*texts, *dates} and is_iso(frame[name]):  # with several offsets
            dates[name] = date_format or date_form(frame[name])
    if time and time in frame.columns and suffix != ".parquet" and (unit := epoch_of(frame[time])):
        word, dates[time] = EPOCHS[unit]
        frame = frame.with_columns(pl.from_epoch(time, time_unit=unit))
        warn("Note", f"column {time!r} was read as {word} since 1970: its first number is {frame[time][0]}")
    if len(parts) == 2 and {*parts} <= {*frame.columns}:
        frame, dates[parts[1]] = joined(frame, parts[0], parts[1], ",".join(parts))
    return frame, replace(form, dates=dates), list(problems.values())


@contextmanager
def lines_of(path: Path | None) -> Iterator[None]:
    """Replace rows by lines, as an editor counts them, in errors about a CSV file."""
    try:
        yield
    except TsForecastError as error:
        rows = {part.number for problem in error.problems for part in problem.references if isinstance(part, Row)}
        if not rows or path is None or path.suffix.lower() == ".parquet":
            raise
        lines = {row: row + 2 for row in rows}
        with suppress(OSError, csv.Error):
            for row, (line, _) in enumerate(
                () if path.suffix == ".xlsx" else records_of(path), -1
            ):  # the first one holds the names
                if row in lines:
                    lines[row] = line  # a cell may span several lines
        raise error.map(lambda part: f"line {lines[part.number]}" if isinstance(part, Row) else part) from error


def _read_csv(path: Path, texts: Collection[str | None]) -> tuple[Any, Any, Encoding]:
    """Return the cells of a CSV file, those of its first rows as text, and its encoding.

    Columns and last rows of nothing are left out.

    Cells are text, but for columns, other than `texts`, of numbers that can be read in one way only.
    """
    import polars as pl

    mark = marked(path)
    if mark == "utf-16":  # "Unicode text" of Excel
        with suppress(UnicodeDecodeError), open_text(path, errors="strict", newline="") as file:
            return *_cells(path, file.read().encode(), texts, "utf8"), mark
        raise DataError(_NO_TEXT.format(str(path)))
    source = gzip.decompress(path.read_bytes()) if path.suffix.lower() == ".gz" else path
    try:
        return *_cells(path, source, texts, "utf8"), mark or "utf-8"
    except pl.exceptions.ComputeError:
        if not _is_windows(path):
            raise
    return *_cells(path, source, texts, "cp1252"), "cp1252"


def _cells(path: Path, source: Path | bytes, texts: Collection[str | None], encoding: str) -> tuple[Any, Any]:
    """Return what `_read_csv` does, of a file in an encoding."""
    import polars as pl

    how: dict[str, Any] = {"separator": separator_of(path), "encoding": encoding, "infer_schema": False}
    how |= {"skip_lines": int(first_line(path)[1]), "glob": False}  # a name with brackets is that of one file
    cut = how | {"truncate_ragged_lines": True}
    try:
        first = pl.read_csv(_top(source), has_header=False, n_rows=1 + ROWS, **cut)
    except pl.exceptions.ComputeError:  # it names the column once the names are known
        first = pl.read_csv(source, has_header=False, n_rows=1, **cut)
    names = [(name or "").strip() for name in first.row(0)]
    names[0] = names[0].removeprefix("ï»¿")  # the mark of UTF-8, in text that is not
    raise_any(_bad_names(path, names))
    frame, shown = None, first[1:]
    kinds = [pl.String() if name in texts else _kind(shown.to_series(at)) for at, name in enumerate(names)]
    if any(kind != pl.String for kind in kinds):
        with suppress(pl.exceptions.PolarsError):  # there is text further down
            frame = pl.read_csv(source, schema_overrides=kinds, **how)
    try:
        frame = pl.read_csv(source, **how) if frame is None else frame
    except pl.exceptions.ComputeError:
        frame = pl.read_csv(source, **cut)
        if ragged(path):  # something stands in the cells that are too many
            raise
    kept = [at for at, name in enumerate(names) if name or frame.to_series(at).count()]
    frame, shown = (part.select(part.to_series(at).alias(names[at]) for at in kept) for part in (frame, shown))
    if frame.width > 1 and {*frame.tail(1).rows()} == {(None,) * frame.width}:  # of one, it may be a missing number
        held = frame.select(pl.any_horizontal(pl.all().is_not_null())).to_series()
        frame = frame.head(len(frame) - (held.reverse().arg_max() or 0) if held.any() else 0)
    return frame, shown


def _top(source: Path | bytes) -> Path | bytes:
    """Return the first lines of a large file, if none of them may end within a cell; polars maps the whole of it."""
    if isinstance(source, bytes):
        return source
    with source.open("rb") as file:
        lines = file.read(TOP)
    return source if b'"' in lines or len(lines) < TOP else lines[: lines.rfind(b"\n") + 1] or source


def _read_excel(path: Path, texts: Collection[str | None]) -> tuple[Any, Any, Encoding]:
    import polars as pl

    try:
        import fastexcel
    except ModuleNotFoundError as error:
        raise DataError(
            f"file {str(path)!r} needs a reader of Excel files, which is not installed: pip install "
            "'tsforecast-toolkit[excel]'"
        ) from error
    logging.getLogger("fastexcel").setLevel(logging.ERROR)  # a column may be empty
    try:
        first, *others = fastexcel.read_excel(path).sheet_names
        frame = pl.read_excel(path, infer_schema_length=None).rename(str.strip)
    except fastexcel.FastExcelError as error:
        raise OSError(f"it is no Excel file, or damaged ({reason(error)})") from error
    if others:
        warn("Note", f"sheet {first!r} of {str(path)!r} was read, the first one, not {shorten([*map(repr, others)])}")
    return frame, frame, "utf-8"


def _read_parquet(path: Path, texts: Collection[str | None]) -> tuple[Any, Any, Encoding]:
    import polars as pl

    return pl.read_parquet(path, glob=False), None, "utf-8"


def _written_by_pandas(path: Path) -> Any:
    """Return the frame of pandas in a Parquet file, with its index, periods and categories; None in any other file."""
    import pandas as pd
    import pyarrow.parquet as pq

    with suppress(ValueError, TypeError, KeyError, AttributeError, LookupError, OSError, NotImplementedError):
        if b"pandas" in (pq.read_schema(path).metadata or {}):
            return pd.read_parquet(path)
    return None


_READERS = {".csv": _read_csv, ".csv.gz": _read_csv, ".xlsx": _read_excel, ".parquet": _read_parquet}


def _typed(
    frame: Any,
    time: str | None,
    numbers: Collection[str | None] | None,
    texts: Collection[str | None],
    commas: bool | None,
    dated: bool,
    decimal: Decimal | None,
) -> tuple[Any, dict[str, Problem], Form]:
    """Return a frame whose columns of text are numbers where they can be, problems of the others, and their form.

    Where `commas` separate columns, not another sign, those in numbers may be thousands as well; None in Excel. Dates
    are read if `dated`. All is looked for in the distinct texts of a column: ids and dates come again and again.
    """
    import polars as pl

    from tsforecast.data.values import distinct

    typed, problems, points, dates = {}, dict[str, Problem](), dict[str, Any](), dict[str, str]()
    decimal_comma = False
    for column in frame:
        name, text = column.name, column.dtype == pl.String
        if name in texts:
            column = column.fill_nan(None) if column.dtype.is_float() else column  # of an Excel file
            whole = column.dtype.is_float() and (column == column.round()).all()
            column = column if text else column.cast(pl.Int64 if whole else column.dtype).cast(pl.String)
            held, places = distinct(column)
            trimmed = _trimmed(held)
            typed[name] = column if trimmed is held else trimmed.gather(places())
        elif text:
            asked, signs = name != time and (numbers is None or name in numbers), False
            column = _joined_thousands(column, decimal) if asked and decimal else column
            if dated and (days := as_days(column)) is not None:
                typed[name], dates[name] = days, "%Y-%m-%d"
                continue
            typed[name] = _cast(column)
            if typed[name] is None:
                held, places = distinct(column)
                trimmed = _trimmed(held)
                found, signs = _as_numbers(trimmed)
                either = bool(commas) and signs and decimal is None
                grouped = asked and (either or trimmed.str.contains(_THOUSANDS).any())
                if grouped and (problem := _thousands(trimmed.gather(places()), either)):
                    problems[name] = problem
                    continue
                if dated and (stamps := with_dates(found)) is not found:
                    found, dates[name] = stamps, date_form(found)
                typed[name] = column if found is held else found.gather(places())
            decimal_comma |= signs
            if asked and not signs and typed[name].dtype.is_float():
                points[name] = column
    for name, column in points.items() if decimal is None else ():
        either = decimal_comma or _unsigned(column, commas is False)
        problems |= {name: problem} if either and (problem := _thousands(column, True)) else {}
    frame, comma = frame.with_columns(**typed), decimal_comma or decimal == ","
    if not comma and any(kind.is_float() for kind in frame.dtypes):
        decimal = "."
    return frame, problems, Form(dates=dates, decimal_comma=comma, decimal=decimal)


def _unsigned(column: Any, semicolons: bool) -> bool:
    """Return whether points in numbers may set thousands apart: there are whole numbers below 1,000, none above."""
    small, large = (column.str.contains(rf"^\s*[+-]?{digits}\s*$").any() for digits in (r"\d{1,3}", r"\d{4,}"))
    return bool((semicolons or small) and not large)


def _joined_thousands(column: Any, decimal: Decimal) -> Any:
    """Return a column of text without the sign between thousands, where the one before decimals is known."""
    sign = "." if decimal == "," else ","
    apart = column.str.contains(rf"^\s*[+-]?\d{{1,3}}([{sign}]\d{{3}})+([{decimal}]\d+)?\s*$").fill_null(False)
    return column.zip_with(~apart, column.str.replace_all(sign, "", literal=True)) if apart.any() else column


def _trimmed(column: Any) -> Any:
    """Return a column of text without spaces around it."""
    if (column == column.str.strip_chars()).all():
        return column
    column = column.str.strip_chars()
    return column.set(column == "", None)


def _cast(column: Any) -> Any:
    """Return a column of text as whole numbers or decimals if all of it is, else None."""
    import polars as pl

    first = column.head(ROWS)  # it rules most out
    held = [kind for kind in (pl.Int64, pl.Float64) if first.count() and _holds(first.cast(kind, strict=False), first)]
    casts = (column.cast(kind, strict=False) for kind in held)
    return next((cast for cast in casts if _holds(cast, column)), None)


def _holds(cast: Any, column: Any) -> bool:
    return bool(cast.null_count() == column.null_count())


def _kind(first: Any) -> Any:
    """Return the type of the cells of a column whose first ones are given as text.

    Decimals are text as long as each of them could set thousands apart.
    """
    import polars as pl

    cast = _cast(first)
    if cast is None:
        return pl.String()
    clear = cast.dtype.is_integer() or (first.str.contains(r"\d[.,]\d") & ~first.str.contains(_EITHER)).any()
    return cast.dtype if clear else pl.String()


def _as_numbers(column: Any) -> tuple[Any, bool]:
    """Return a column of text as numbers or truth values if it can be, and whether commas are its decimal sign.

    Where most of it are numbers, marks of missing ones are null and decimal commas points; else it stays as it is.
    """
    import polars as pl

    held = column.unique().drop_nulls()
    marks = held.str.to_lowercase().is_in(_MISSING)
    rest = held.filter(~marks)
    if len(rest) and rest.str.to_lowercase().is_in(["true", "false"]).all():
        return column.str.to_lowercase() == "true", False
    commas = rest.str.contains(_COMMA)
    good = rest.zip_with(~commas, rest.str.replace(",", ".")).cast(pl.Float64, strict=False).is_not_null()
    if 2 * good.sum() <= len(rest):
        return column, False
    column = column.set(column.is_in(held.filter(marks).to_list()), None)
    column = column.zip_with(~column.str.contains(_COMMA), column.str.replace(",", ".")) if commas.any() else column
    if good.all():
        whole, column = column.cast(pl.Int64, strict=False), column.cast(pl.Float64)
        column = whole if whole.null_count() == column.null_count() else column
    return column, bool(commas.any())


def _bad_names(path: Path, first: Sequence[str]) -> Iterator[str]:
    """Refuse a first line that is empty or holds dates and decimals alone, as the first row, and two of one name."""
    names = [name for name in first if name]
    if not names:
        yield f"the first line of {str(path)!r} must hold the names of its columns: it is empty; write them there"
    numbers = len(names) == len(first) and all(re.match(f"{ISO}|{_PLAIN}", name) for name in names)
    if numbers and not all(name.strip().isdigit() for name in names):
        must = f"the first line of {str(path)!r} must hold the names of its columns"
        yield f"{must}: it holds {shorten([repr(name) for name in names])}; add a line of names"
    twice = [repr(name) for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        yield f"columns of {str(path)!r} must have names of their own: {shorten(twice)} occurs twice; rename one"


def _is_windows(path: Path) -> bool:
    """Return whether a file is Windows text, not UTF-8, with a note: some letters may differ; refuse anything else."""
    try:
        with open_text(path, errors="strict", newline="") as file:
            while file.read(PEEK):
                pass
        return False
    except UnicodeDecodeError:
        pass
    try:
        with open_text(path, "cp1252", "strict", newline="") as file:
            text = next((part for part in iter(lambda: file.read(PEEK), "") if "\0" in part), None)
    except UnicodeDecodeError:
        text = "\0"
    if text is not None:
        raise DataError(_NO_TEXT.format(str(path)))
    warn(
        "Note",
        f"file {str(path)!r} is not UTF-8 and was read as Windows-1252 (latin-1); if names in it look wrong, save it "
        "again as CSV in UTF-8",
    )
    return True


def _thousands(column: Any, either: bool) -> Problem | None:
    """Return the problem if a column of text, most of which are numbers, has thousands separators.

    With `either` also if each comma or point in it may be one.
    """
    grouped = column.str.contains(_THOUSANDS).fill_null(False)
    numeric = grouped | column.str.contains(_PLAIN).fill_null(False)
    signed = column.str.contains(r"\d[.,]\d").fill_null(False)
    unclear = either and signed.any() and column.filter(signed).str.contains(_EITHER).all()
    if not unclear and (not grouped.any() or 2 * numeric.sum() <= column.count()):
        return None
    row = (signed if unclear else grouped).arg_max()
    value = column[row].strip()
    separator = value.lstrip("+-0123456789")[0]
    plain = value.replace(separator, "")
    remedy: tuple[Part, ...] = (f"write {plain}, and the others likewise",)
    if unclear:
        other = "." if separator == "," else ","
        remedy = (f"write {plain} or {value.replace(separator, other)}0, or ", Argument("decimal", other, "pass"))
        remedy += (" for the former, ", Argument("decimal", separator), " for the latter")
    return Problem(
        f"column {column.name!r} must hold numbers without thousands separators",
        (Row(row), f" holds '{value}'" + (", which may be one" if unclear else "")),
        remedy,
    )


def _decimals(column: Any) -> int:
    """Return the most digits behind the decimal sign of numbers that were text, by its first rows."""
    import polars as pl

    if column.dtype != pl.String:
        return 15
    shown = column.head(ROWS)
    return 15 if shown.str.contains("[eE]").any() else shown.str.extract(r"[.,](\d+)\s*$").str.len_chars().max() or 0
