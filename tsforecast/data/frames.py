"""Frames of pandas, polars and arrow, in and out; with `columns` and `values` the only module that uses narwhals.

`read` turns a frame into a `Table` of plain numpy columns and keeps its form in a `Source`, so that `write` returns
forecasts in the same library and with the same names.
"""

from __future__ import annotations

import datetime
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

import narwhals as nw
import numpy as np
from numpy.typing import NDArray

from tsforecast.checks import Tally, nameless, timeless
from tsforecast.data.calendar import DAY, Stamps, digits_of, from_digits, go_forward, parts_of_years, to_digits
from tsforecast.data.columns import (
    columns_of_dates,
    guess_hidden_id,
    inferred,
    looks_like_time,
    require_unique,
    require_whole_stamps,
    table_of,
)
from tsforecast.data.series import DATES, Backend, Roles, Series, Source, TimeKind
from tsforecast.data.values import (
    LOOKED_AT,
    categories_of,
    codes_of,
    holds_categories,
    is_period,
    is_text,
    no_names,
    numbers_of,
    order_notes,
    to_numpy,
    typed,
    types_of,
    zone_of,
)
from tsforecast.data.zones import offset_of, offset_zone, on_the_wall, wrong_date
from tsforecast.errors import DataError, Phrase, Problem, Row, counted, raise_any, shorten


@dataclass
class Table:
    """Columns as numpy arrays, one entry per row of the input; the neutral form between libraries."""

    columns: dict[str, NDArray[Any]]
    roles: Roles
    source: Source
    stamps: Stamps | None = None
    kind: TimeKind = "none"
    ids: NDArray[Any] | None = None  # of the series, in the order in which they appear
    codes: NDArray[np.int64] | None = None  # the series of each row, by its place in `ids`
    statics: dict[str, NDArray[Any]] = field(default_factory=dict)
    one_repair: bool = True  # not where most rows would be dropped as duplicates
    hidden_id: str | None = None  # a column that nobody named, and that would put time stamps in order
    problems: list[str] = field(default_factory=list)  # of columns that hold no numbers, which are 0 here
    notes: list[str] = field(default_factory=list)  # of a reading that could have been another one


Like = Series | Table | None  # whose times were read before


def is_frame(data: object) -> bool:
    """Return whether `data` is a frame, eager or lazy, or a series that narwhals supports."""
    data = table_of(data)
    lazy = nw.dependencies.is_polars_lazyframe(data) or isinstance(data, nw.LazyFrame)
    return bool(lazy or nw.dependencies.is_into_dataframe(data) or is_series(data))


def is_series(data: object) -> bool:
    """Return whether `data` is a pandas or polars series."""
    return bool(nw.dependencies.is_into_series(data))


def read(
    data: Any,
    roles: Roles,
    time: str | Literal[False] | None,
    id: str | None,
    one_series: bool = False,
    targets: Literal["one", "all", "none"] = "one",
    like: Series | None = None,
    part_of: Table | None = None,
) -> Table:
    """Read a frame or series into a `Table`; covariates of text as codes, which continue those that the roles have.

    Columns that are not named are inferred: the time is the pandas index or the only column of
    dates, the id is the only column of text (unless there is but `one_series`), and the target is the only
    column of numbers that is left, `all` of them, or `none`. DataError lists all problems of the columns at once; what
    is no number is left to `Table.problems`. A time that can be read in several ways is read `like` that of a panel.
    Columns of dates are left out where there is to be no time, as `time` False demands, or a panel that has none. Rows
    that are `part_of` a table have columns by name, with categories that are known, and are read as its first part is.
    """
    data = table_of(data)
    source = Source("series" if is_series(data) else "frame", backend=_backend(data))
    if is_series(data):
        series = nw.from_native(data, series_only=True)
        name = "y" if series.name in (None, "") else str(series.name)
        source = replace(source, names=_own({name: series.name}))
        data = series.alias(name).to_frame().to_native()
    require_unique(data)
    data, index_time, index_id, source = _unpack_pandas_index(data, source)
    frame = nw.from_native(data)
    if isinstance(frame, nw.LazyFrame):
        frame = frame.collect()
    if not len(frame):
        held = f"it has none (columns: {shorten(frame.columns, 8)})"
        raise DataError(Problem((Phrase("the frame", "data"), " must have rows"), held))

    named = {*roles.varying, *roles.static}
    gone, dates, untimed = list[str](), list[nw.Series[Any]](), time is False
    if time is False or (like is not None and like.kind == "none"):
        gone = columns_of_dates(frame, {*named, roles.group, id})
        gone += [index_time] if time is False and index_time and index_time not in gone else []
        dates = [frame[name] for name in gone if isinstance(frame[name].dtype, (nw.Datetime, nw.Date))]
        frame, source = frame.drop(gone), _without_index(source, gone)
    time, id = time or (None if index_time in gone else index_time), id or index_id
    roles, time, id, notes = inferred(
        frame, roles, time or None, id, index_time, one_series=one_series, targets=targets
    )
    source = replace(source, time=time, id=id, time_in_index=time is not None and time == index_time)

    table = Table({}, roles, source, notes=notes)
    if gone:
        held = f"{shorten([repr(name) for name in gone])} {'holds' if len(gone) == 1 else 'hold'} times"
        table.notes.append(f"{held} and {'was' if len(gone) == 1 else 'were'} left out: rows are steps in their order")
    problems: list[str] = []
    for name in roles.varying:
        known = roles.categories.get(name)
        numbers = like is not None or part_of is not None or name in roles.target
        if known is None and (numbers or not holds_categories(frame[name])):
            table.columns[name], problem = numbers_of(frame[name])
        else:
            table.columns[name], texts, problem = categories_of(frame[name], known)
            table.roles = replace(table.roles, categories=table.roles.categories | {name: texts})
        table.problems += problem
    names = (*roles.static, *([roles.group] if roles.group else []))
    table.statics = {name: to_numpy(frame[name]) for name in names}
    for name, column in table.statics.items():
        problems += no_names(name, column) if name != id else []
    if id is not None:
        nobody = frame[id].is_null()
        if missing := int((nobody | frame[id].is_nan() if frame[id].dtype.is_float() else nobody).sum()):
            problems.append(Tally(nameless, name=id, missing=missing))
        else:
            try:
                table.codes, table.ids = codes_of(frame[id])
            except TypeError:  # an object that cannot be a name
                problems += no_names(id, to_numpy(frame[id]))
    if time is not None:
        problems += _read_time(frame[time], table, part_of if like is None else like)
    if problems:
        raise DataError([*table.problems, *problems])
    if untimed and table.codes is not None and table.ids is not None:
        table.notes += order_notes([*table.columns.values()], table.codes, table.ids, dates)
    table.source = types_of(table.source, frame, roles.target)
    asked = not one_series and (id is None or like is not None)
    if asked and table.stamps is not None and not go_forward(table.stamps, table.codes):
        table.hidden_id = guess_hidden_id(frame, {*roles.varying, time, id}, table.stamps, table.codes)
        if table.hidden_id and id is None and time is not None and table.kind == "datetime":
            require_whole_stamps(time, frame[table.hidden_id], table.stamps)
    return table


def _backend(data: Any) -> Backend:
    library = type(nw.to_native(data, pass_through=True)).__module__.split(".")[0]
    if library not in ("pandas", "polars", "pyarrow"):
        raise DataError(f"a frame must come from pandas, polars or pyarrow: got one of {library}; convert it first")
    return cast(Backend, library)


def _unpack_pandas_index(data: Any, source: Source) -> tuple[Any, str | None, str | None, Source]:
    """Move a meaningful pandas index into columns; return the frame, the names of time and id, and what was moved."""
    if not nw.dependencies.is_pandas_dataframe(data):
        return data, None, None, source
    import pandas as pd

    if data.columns.nlevels > 1:
        raise DataError(
            f"a column must have one name: the columns have {data.columns.nlevels} levels; join them to one"
        )
    own = _own({str(name): name for name in data.columns})
    data = data.rename(columns=str)
    require_unique(data)
    index = data.index
    taken = [name for name in index.names if name is not None and str(name) in data.columns]
    raise_any(f"index and columns must have names of their own: both have {name!r}; rename one" for name in taken)
    types: dict[str, str] = {}  # of columns of Python's dates
    if index.dtype == object and len(index) and isinstance(index[0], datetime.date):
        types[_named(index, ("time",), data)[0]] = "object" if isinstance(index[0], datetime.datetime) else DATES
        index = pd.DatetimeIndex(index, name=index.name)
        data = data.set_axis(index)
    dates = isinstance(index, (pd.DatetimeIndex, pd.PeriodIndex)) or _counts(index, data) or _dates_as_text(index, data)
    time: str | None = None
    id: str | None = None
    names: list[str] = []
    if isinstance(index, pd.MultiIndex) and index.nlevels == 2:
        # Dates that come first are the time, whatever the order of the levels.
        last = isinstance(index.levels[0], pd.DatetimeIndex) and not isinstance(index.levels[1], pd.DatetimeIndex)
        names = _named(index, ("time", "id") if last else ("id", "time"), data)
        time, id = names if last else names[::-1]
    elif dates:
        names = _named(index, ("time",), data)
        time = names[0]
    elif index.nlevels == 1 and index.name is not None and not index.is_unique:
        names = _named(index, ("id",), data)
        id = names[0]
    own |= _own(dict(zip(names, index.names, strict=False)))
    step = index.freqstr if isinstance(index, pd.DatetimeIndex) else None
    data = data.reset_index(names=names) if names else data.reset_index(drop=True)
    for name, kind in data.dtypes.items():  # objects of pandas may be dates of Python
        first = data[name].iloc[0] if str(kind) == "object" and len(data) else None
        if isinstance(first, datetime.date) and data[name].map(lambda value: isinstance(value, datetime.date)).all():
            data[name] = pd.to_datetime(data[name])
            types[name] = "object" if isinstance(first, datetime.datetime) else DATES
    source = replace(source, names=own | source.names, index=names, step=step, types=types)
    return data, time, id, source


def _without_index(source: Source, gone: list[str]) -> Source:
    """Return the source of a frame without the columns `gone`, which may have come from its index."""
    kept = None if source.index is None else [name for name in source.index if name not in gone]
    return replace(source, index=kept, step=source.step if kept == source.index else None)


def _own(names: dict[str, Any]) -> dict[str, Any]:
    """Return the names, by the text that is used for them, that are numbers, empty or none."""
    plain = (int, float, str, type(None))
    return {text: name for text, name in names.items() if text != name and isinstance(name, plain) and name == name}


def _named(index: Any, defaults: tuple[str, ...], data: Any) -> list[str]:
    """Return names for the levels of an index as columns beside those of the frame."""
    taken = {*data.columns, *index.names}
    free = [default if default not in taken else f"{default} of the index" for default in defaults]
    return [default if name is None else str(name) for name, default in zip(index.names, free, strict=True)]


def _counts(index: Any, data: Any) -> bool:
    """Return whether a pandas index of whole numbers counts time: it has a name or starts late, beside numbers only."""
    if not all(kind.kind in "biuf" for kind in data.dtypes if hasattr(kind, "kind")) or index.dtype.kind not in "iu":
        return False
    late = getattr(index, "start", 0) != 0  # rows cut from a longer frame, or numbered by the caller
    return bool(index.is_monotonic_increasing and (index.name is not None or late))


def _dates_as_text(index: Any, data: Any) -> bool:
    """Return whether a pandas index holds text like dates, as `read_csv` leaves it, beside columns that hold none."""
    if index.nlevels > 1 or str(index.dtype) not in ("str", "string", "object"):
        return False
    columns = [index.to_series().iloc[:LOOKED_AT], *(column for _, column in data.items())]
    first, *others = (looks_like_time(nw.from_native(column, series_only=True)) for column in columns)
    return first and not any(others)


def _utc(column: nw.Series[Any]) -> NDArray[Any]:
    native = column.to_native()
    if nw.dependencies.is_pandas_series(native):
        return np.asarray(native.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy())
    return column.dt.convert_time_zone("UTC").dt.replace_time_zone(None).to_numpy()


def _read_time(column: nw.Series[Any], table: Table, like: Like) -> list[str]:
    """Fill in `table.stamps`, and its source with the form of the times; return the problems."""
    name, source = column.name, table.source
    missing = int(column.is_null().sum())
    if missing:
        first = Row(int(column.is_null().arg_max() or 0))
        return [Tally(timeless, name=name, missing=missing, rows=len(column), first=first)]
    if column.dtype.is_integer():
        return _read_whole_numbers(name, to_numpy(column).astype(np.int64), table, like)
    values: Any
    if is_period(column):
        native = column.to_native()
        values = native.dt.to_timestamp().to_numpy()
        table.source = replace(source, period=str(native.dtype)[len("period[") : -1])
    elif zone := zone_of(column):
        table.source = replace(source, zone=zone, unit=_unit_of(column))
        values = _on_its_clock(table, column.dt.replace_time_zone(None).to_numpy(), _utc(column), zone, like)
    elif isinstance(column.dtype, (nw.Datetime, nw.Date)):
        table.source = replace(source, date_only=isinstance(column.dtype, nw.Date), unit=_unit_of(column))
        values = column.to_numpy()
    elif is_text(column):
        values, problem = _read_texts(column, table, like)
        if problem:
            return problem
    else:
        return [f"time column {name!r} must hold dates or whole numbers: it holds {column.dtype}; convert it first"]
    values = values if values.dtype.kind == "M" else values.astype("datetime64[us]")  # of Python, in pandas and arrow
    counts = values.view(np.int64)
    ends = np.array([counts.min(), counts.max()]).view(values.dtype).astype("datetime64[D]")
    days = np.abs(ends.astype(np.int64))
    if days.max() > 106_000:  # datetime64[ns] ends in the years 1677 and 2262
        far = ends[days.argmax()]
        return [f"time column {name!r} must lie between the years 1678 and 2262: it holds {far}; correct or drop it"]
    table.stamps, table.kind = _nanoseconds(values), "datetime"
    return []


def _on_its_clock(table: Table, wall: NDArray[Any], utc: NDArray[Any], zone: str | None, like: Like) -> Any:
    """Return stamps of a zone, or of offsets, as read on the wall or in UTC; note in the source of the table which."""
    given = like.source.wall_clock if like is not None and like.source.zone else None
    found = on_the_wall(_nanoseconds(wall), _nanoseconds(utc), zone, table.codes, given)
    table.source = replace(table.source, wall_clock=found is not None)
    return utc if found is None else found.astype("datetime64[ns]")


def _read_texts(column: nw.Series[Any], table: Table, like: Like) -> tuple[Any, list[str]]:
    """Return the stamps that are written in ISO 8601, perhaps with offsets from UTC, and the problems."""
    import pandas as pd

    texts, must = column.to_list(), f"time column {column.name!r} must hold dates like 2024-01-31 (ISO 8601)"
    try:
        parsed = pd.to_datetime(texts, format="ISO8601", errors="coerce")
    except ValueError:  # several offsets
        parsed = pd.to_datetime(texts, format="ISO8601", errors="coerce", utc=True)
    wrong = np.flatnonzero(parsed.isna())
    if len(wrong):
        row, remedy = wrong_date(texts, wrong)
        held = (Row(row), f" holds {texts[row]!r}")
        return None, [Problem(must, held, remedy)]
    if parsed.tz is None:
        return parsed.to_numpy(), []
    found = [offset_of(str(text)) for text in texts]
    if None in found:
        row = found.index(None)
        must = f"time column {column.name!r} must have an offset from UTC in every row, or in none"
        return None, [Problem(must, (Row(row), f" holds {str(texts[row])!r}"), "add it, or leave out the others")]
    minutes = np.array(found)
    utc = parsed.tz_convert(None).to_numpy()
    last = offset_zone(int(minutes[utc.argmax()]))
    if np.ptp(minutes):
        table.notes.append(
            f"column {column.name!r} has several offsets from UTC: forecasts have its last; convert it to a time zone "
            "to follow the clocks of that"
        )
    table.source = replace(table.source, zone=last)
    return _on_its_clock(table, utc + minutes * np.timedelta64(60, "s"), utc, None, like), []


def _read_whole_numbers(name: str, numbers: Stamps, table: Table, like: Like) -> list[str]:
    """Fill in `table.stamps` with dates like 20240131, or steps that are counted; return the problems."""
    table.stamps, table.kind = numbers, "integer"
    if like is not None and like.kind == "integer":
        return []
    found = digits_of(numbers)
    if found is None:
        form = parts_of_years(numbers)
        if not form:
            return []
        held = f"{numbers.min()} to {numbers.max()} may be written {form}"
        remedy = "write the first day of each like 2024-01-31, or number the steps from 0 if they are counted"
        return [Problem(f"time column {name!r} must hold dates or count steps", held, remedy)]
    form, wrong = found
    if wrong.any():
        first = int(wrong.argmax())
        remedy = "correct it, or number the steps from 0 if they are counted"
        must = f"time column {name!r} must hold dates, which most numbers in it are ({form})"
        return [Problem(must, (Row(first), f" holds {numbers[first]}"), remedy)]
    table.stamps, table.kind, table.source = from_digits(numbers, form), "datetime", replace(table.source, digits=form)
    table.notes.append(f"the whole numbers in column {name!r} were read as dates ({form}), not as a count of steps")
    return []


def _unit_of(column: nw.Series[Any]) -> Literal["ns", "us", "ms", "s"]:
    if isinstance(column.dtype, nw.Datetime):
        return column.dtype.time_unit
    return getattr(getattr(column.to_native(), "dtype", None), "unit", "us")  # see zone_of


def _nanoseconds(values: NDArray[Any]) -> Stamps:
    if values.dtype == "datetime64[D]":  # which a frame holds in 32 bits: these are ours, and a product is fast
        return np.multiply(values.view(np.int64), DAY, out=values.view(np.int64))
    return values.astype("datetime64[ns]").view(np.int64)


def write(
    source: Source,
    times: Stamps | None,
    kind: TimeKind,
    ids: NDArray[Any],
    owner: NDArray[np.int64],
    columns: dict[str, NDArray[Any]],
) -> Any:
    """Return rows as a frame or series of the library that `source` came from.

    `times` and each of `columns` are (rows,), `owner` is the series of each row, and `ids` (N,) are written only where
    the source had an id column. Columns are in the order that they had there.
    """
    out: dict[str, Any] = {}
    if source.id is not None:  # each id is made a text of the library once, not once for each row
        names = nw.from_native(typed(source.id, ids, source), series_only=True)
        out[source.id] = nw.maybe_reset_index(names[owner]).to_native()
    if source.time is not None and times is not None:
        dates = times.astype("datetime64[ns]").astype(f"datetime64[{source.unit}]")
        counted_on = to_digits(times, source.digits) if source.digits else times
        numbers = kind == "integer" or source.digits is not None
        out[source.time] = typed(source.time, counted_on, source) if numbers else dates
    out.update({name: typed(name, column, source) for name, column in columns.items()})
    frame = nw.from_dict({name: out[name] for name in (*source.order, *out) if name in out}, backend=source.backend)
    if source.time is not None and kind == "datetime":
        time = nw.col(source.time)
        if source.zone:  # stamps are in UTC here
            known = source.backend == "pandas" or source.zone[0] not in "+-"
            zone = source.zone if known else "UTC"
            frame = frame.with_columns(time.dt.replace_time_zone("UTC").dt.convert_time_zone(zone))
        elif source.date_only:
            frame = frame.with_columns(time.cast(nw.Date))
    native: Any = frame.to_native()
    if source.backend == "pandas":
        native = _as_pandas(native, source, kind)
    if source.form == "series":
        target = next(iter(columns))
        name, series = source.names.get(target, target), native[native.columns[0]]
        return series.alias(str(name)) if source.backend == "polars" else series.rename(name)
    return native


def _as_pandas(frame: Any, source: Source, kind: TimeKind) -> Any:
    """Return a frame of pandas with index, names and kinds of dates as they came in."""
    import pandas as pd

    time = source.time or ""
    held = source.types.get(time)
    if source.period:
        frame[time] = frame[time].dt.to_period(source.period)
    elif held and kind == "datetime":
        frame[time] = frame[time].dt.date if held == DATES else frame[time].astype(held)
    index = source.index if source.index is not None else [source.id or "", time] if source.time_in_index else []
    index = [name for name in index if name in frame]
    if len(index) == 1:  # set_index makes a range of whole numbers
        moved = frame.pop(index[0])
        frame = frame.set_axis(pd.Index(moved, dtype=moved.dtype))
    elif index:
        frame = frame.set_index(index)
    if index:
        frame = frame.rename_axis([source.names.get(name, name) for name in index])
    if source.step:
        with suppress(ValueError):  # of stamps that do not keep it
            frame.index.freq = source.step
    return frame.rename(columns=source.names) if source.names else frame


def write_wide(source: Source, times: Stamps | None, kind: TimeKind, names: NDArray[Any], values: NDArray[Any]) -> Any:
    """Return a frame with one column for each series; NaN where a series has no value at a time.

    `times` (N * H,) may be None, then all series share the same rows; `names` are (N,), `values` (N, H).
    """
    if times is None:
        return write(source, None, kind, names, np.empty(0, np.int64), dict(zip(names, values, strict=True)))
    stamps, row = np.unique(times, return_inverse=True)
    table = np.full((len(names), len(stamps)), np.nan)
    table[np.repeat(np.arange(len(names)), values.shape[1]), row.ravel()] = values.ravel()
    return write(source, stamps, kind, names, np.empty(0, np.int64), dict(zip(names, table, strict=True)))


def stack(table: Table) -> Table:
    """Turn a table with one column per series into one with a series per run of rows.

    NaN before the first and after the last number of a column is left out.
    """
    raise_any(table.problems)
    parts, stamps = [], list[Stamps]()
    for name, column in table.columns.items():
        there = np.flatnonzero(~np.isnan(column))
        if not len(there):
            rows = counted(len(column), "row")
            raise DataError(f"column {name!r} must hold at least one number: it has none in {rows}; drop it")
        cut = slice(there[0], there[-1] + 1)
        parts.append(column[cut])
        stamps += [] if table.stamps is None else [table.stamps[cut]]
    source, columns = replace(table.source, form="wide"), {"value": np.concatenate(parts)}
    joined = np.concatenate(stamps) if stamps else None
    ids, codes = np.array([*table.columns], dtype=object), np.repeat(np.arange(len(parts)), list(map(len, parts)))
    return Table(columns, Roles(("value",)), source, joined, table.kind, ids, codes, notes=table.notes)
