"""Inference of column roles, each only where there is a single candidate, and the types of columns."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import replace
from itertools import pairwise
from typing import Any

import narwhals as nw
import numpy as np
from numpy.typing import NDArray

from tsforecast.data.calendar import DAY, Stamps, digits_of, own_moves, put_in_order
from tsforecast.data.series import Source
from tsforecast.data.zones import DATED, PART_OF_YEAR
from tsforecast.errors import Argument, DataError, Part, Phrase, Problem, Row, shorten

_DATE = re.compile(r"\d{4}[-/]\d{2}|(\d{4}[-/]\d{2}[-/]\d{2}|\d{1,6}([-/.])\d{1,2}\2\d{1,4}).*")
_IF_NAMES = " if it names series"
_NAMED_BY_TIME = re.compile(r"(19|20)\d{2}([-/ ]?[QMqm]\d{1,2})?")  # years, quarters and months
LOOKED_AT = 100  # first values of a column of text by which dates and numbers are found
FEW = 0.1  # of all rows whose time stamp occurs again by mistake; with several series there are more


def guess_time(frame: nw.DataFrame[Any], taken: Collection[str | None]) -> str | None:
    """Return the only column of dates; DataError when there are several."""
    return _only(columns_of_dates(frame, taken), "dates", ("name one with ", Argument("time")))


def columns_of_dates(frame: nw.DataFrame[Any], taken: Collection[str | None]) -> list[str]:
    """Return the columns of dates that are not taken; whole numbers, and text like Jan 2015, if no other has them.

    At last, years with words that go on from row to row in the first column: months, perhaps in another language.
    """
    free = [name for name in frame.columns if name not in taken]
    return (
        [name for name in free if looks_like_time(frame[name])]
        or [name for name in free if _digits_go_on(frame[name]) or _mostly(frame[name], PART_OF_YEAR)]
        or [name for name in free[:1] if name == frame.columns[0] and _words_go_on(frame[name])]
    )


def guess_id(
    frame: nw.DataFrame[Any], taken: Collection[str | None], group: str | None, time: str | None
) -> tuple[str | None, list[str]]:
    """Return the only column of text, the group only if there is no other, and notes; DataError if there are several.

    A column that is mostly empty holds remarks, and one of times of day is a part of the time: neither names series.
    Nor does text that would tear one series apart, which is noted.
    """
    texts = [name for name in frame.columns if name not in taken and is_text(frame[name])]
    filled = [name for name in texts if 2 * frame[name].null_count() < len(frame) and not _holds_hours(frame[name])]
    found = [name for name in filled if first_text(frame[name]) is None]
    if group in found and len(found) > 1:
        found.remove(group)
    out = [name for name in found if name != group and _tears(frame, name, time)]
    why = "it changes from row to row" if time is None else "each time stamp occurs once without it"
    notes: list[str] = [
        Problem(f"column {name!r} was left out", f"it holds text, and {why}", (Argument("id", name, "pass"), _IF_NAMES))
        for name in out
    ]
    found = [name for name in found if name not in out]
    return _only(found, "text", ("name the series' column with ", Argument("id"))), notes


def _tears(frame: nw.DataFrame[Any], name: str, time: str | None) -> bool:
    """Return whether names of series in a column would tear one series apart.

    They would where each time stamp occurs once and they bring no order into the stamps, or few occur twice and that is
    not due to several names; without a time, where rows of one name stand neither together nor in turn.
    """
    rows, twice = len(frame), 0
    try:
        for part in (frame[: rows // 8], frame) if time else ():  # the first rows mostly show that many occur again
            twice = len(part) - part[str(time)].n_unique()
            if twice > FEW * rows:
                return False
        codes, names = codes_of(frame[name].drop_nulls())
        alike = rows - len(frame.select(str(time), name).unique()) if twice else 0
    except TypeError:  # of objects that cannot be names
        return False
    runs, count = 1 + int(np.count_nonzero(np.diff(codes))), len(names)
    if count == 1:
        return False
    if time is None:
        in_turn = bool((codes == np.arange(len(codes)) % count).all())
        return count == len(codes) or not (runs == count or in_turn)
    if twice:
        return 2 * alike > twice or runs > count + 2 * twice
    return len(codes) < rows or not put_in_order(to_numpy(frame[time]), codes, runs > count)


def _only(found: list[str], held: str, remedy: tuple[Part, ...]) -> str | None:
    if len(found) > 1:
        raise DataError(Problem(f"columns {_quoted(found)} all hold {held}", "", remedy))
    return found[0] if found else None


def guess_targets(
    frame: nw.DataFrame[Any], taken: Collection[str | None], time: str | None, id: str | None, several: bool = False
) -> tuple[str, ...]:
    """Return the only column of numbers that has no other role, or all of them with `several`.

    A column of numbers in which some text got counts as well: it is refused later, with row and value. DataError is
    raised when there is none, or which one is not clear.
    """
    spoilt, found = dict[str, tuple[int, object]](), []
    for name in frame.columns:
        if name in taken or name in (time, id):
            continue
        if (text := first_text(frame[name])) is not None:
            spoilt[name] = text
        numbers = frame[name].dtype.is_numeric() or frame[name].dtype == nw.Boolean or _holds_decimals(frame[name])
        if name in spoilt or numbers:
            found.append(name)
    if not found:
        what = ", ".join(f"{name!r} ({frame[name].dtype}{_example(frame[name])})" for name in frame.columns[:8])
        remedy = ("convert it, or name it with ", Argument("target"))
        held = (Phrase("the frame", "data"), f" has {what}")
        raise DataError(Problem("a number column to forecast is needed", held, remedy))
    if several or len(found) == 1:
        return tuple(found)
    hints: dict[str, tuple[Part, ...]] = {
        name: (f"{name!r} holds {value!r} in ", Row(row)) for name, (row, value) in spoilt.items()
    }
    columns = {name: to_numpy(frame[name].drop_nulls()) for name in found if name not in spoilt}
    series = [to_numpy(frame[id])] if id else [values for values in columns.values() if names_series(values)]
    for name, values in columns.items():
        if id is None and names_series(values):
            hints[name] = (f"{name!r} repeats few values and may be ", Argument("id", name))
        elif counts_up(values) and _begins_with_series(values, series):
            may = Argument("time", name) if time is None else "no more than a row number"
            hints[name] = (f"{name!r} counts up by equal steps and may be ", may)
    _require_long(frame, found)
    likely = [name for name in found if name not in hints] or found
    several_of = likely[:2] if len(likely) > 1 else [...]
    raise DataError(
        Problem(
            "which column to forecast must be clear",
            f"{_quoted(found)} hold numbers",
            (
                *("name one with ", Argument("target", likely[0])),
                *(", or several with ", Argument("target", several_of)),
                *([Phrase(", or all with Panel.from_wide", "reader")] if time and not (id or hints) else []),
                *(part for name in found if name in hints for part in ("; ", *hints[name])),
            ),
        )
    )


def _holds_decimals(column: nw.Series[Any]) -> bool:
    """Return whether a column of pandas holds decimals, as from a database, which it keeps as objects."""
    import pandas as pd

    return column.dtype == nw.Object and pd.api.types.infer_dtype(column.to_native(), skipna=True) == "decimal"


def table_of(data: Any) -> Any:
    """Return a batch of rows of arrow as a table, and any other data as they are."""
    if type(data).__name__ != "RecordBatch" or not type(data).__module__.startswith("pyarrow"):
        return data
    import pyarrow as pa

    return pa.Table.from_batches([data])


def _begins_with_series(values: NDArray[Any], series: list[NDArray[Any]]) -> bool:
    """Return whether numbers go up throughout, or begin anew only where the names in a column change."""
    anew = np.flatnonzero(values[1:] <= values[:-1])
    return not len(anew) or any(bool((of[anew + 1] != of[anew]).all()) for of in series if len(of) == len(values))


def _require_long(frame: nw.DataFrame[Any], found: list[str]) -> None:
    """Refuse a table most of whose columns are named by dates: a row is a series there."""
    dated = [name for name in found if _DATE.fullmatch(name) or _NAMED_BY_TIME.fullmatch(name)]
    if len(dated) < 3 or 2 * len(dated) <= len(frame.columns):
        return
    others = [name for name in frame.columns if name not in dated]
    turned = f".melt({others!r}, var_name='time', value_name='value')"
    must = (Phrase("the frame", "data"), " must have a row for each time")
    got = f"{len(dated)} of its {len(frame.columns)} columns are named by dates, such as {dated[0]!r}"
    raise DataError(Problem(must, got, Phrase(f"turn it with frame{turned}", "wide", turned)))


def require_whole_stamps(time: str, hours: nw.Series[Any], stamps: Stamps) -> None:
    """Refuse dates beside a column that holds the hours of these days."""
    if _holds_hours(hours) and not np.any(stamps % DAY):
        must = f"time column {time!r} must hold the hour as well"
        joined = "join the two to one column of stamps"
        held = f"it holds days, and {hours.name!r} their hours"
        raise DataError(Problem(must, held, Phrase(joined, "two columns", f"{time},{hours.name}")))


def _holds_hours(column: nw.Series[Any]) -> bool:
    """Return whether a column holds times of day, or the numbers of hours."""
    if not column.dtype.is_integer():
        values = _sample(column)
        return bool(values) and all(re.fullmatch(r"\d{1,2}:\d{2}(:\d{2})?", str(value)) for value in values)
    hours = set(column.drop_nulls().to_list())
    return 2 < len(hours) <= 25 and min(hours) in (0, 1) and max(hours) <= 24


def guess_hidden_id(
    frame: nw.DataFrame[Any],
    taken: Collection[str | None],
    stamps: Stamps,
    series: NDArray[np.int64] | None = None,
) -> str | None:
    """Return a column that splits the rows, or those of each of the `series`, into ones whose stamps all go forward."""
    import pandas as pd

    for name in frame.columns:
        if name in taken:
            continue
        try:
            codes, _ = pd.factorize(frame[name].to_numpy())
        except TypeError:  # lists and the like cannot be ids
            continue
        parts = codes.any()
        codes = codes if series is None else series * (codes.max() + 1) + codes
        moves = own_moves(stamps, codes)
        if parts and 2 * len(moves) >= len(stamps) and (moves > 0).all():
            return name
    return None


def looks_like_time(column: nw.Series[Any]) -> bool:
    """Return whether a column holds time stamps, or text most of which is written like dates."""
    if isinstance(column.dtype, (nw.Datetime, nw.Date)) or zone_of(column) or is_period(column):
        return True
    return _mostly(column, _DATE)


def _mostly(column: nw.Series[Any], form: re.Pattern[str]) -> bool:
    """Return whether most of a column of text is written in a form."""
    values = _sample(column) if column.dtype == nw.String else []
    return 2 * sum(form.fullmatch(str(value).strip()) is not None for value in values) > len(values)


def _digits_go_on(column: nw.Series[Any]) -> bool:
    """Return whether a column holds whole numbers like 20240131 that go forward, series by series of ten or more."""
    if not column.dtype.is_integer() or len(column) < 3 or column.is_null().any():
        return False
    numbers = column.to_numpy().astype(np.int64)
    found = digits_of(numbers)
    return found is not None and not found[1].any() and 10 * (np.diff(numbers) <= 0).sum() <= len(numbers)


def _words_go_on(column: nw.Series[Any]) -> bool:
    """Return whether a column holds years with words, none of which follows itself."""
    values = _sample(column)
    return len(values) > 2 and _mostly(column, DATED) and all(one != next_ for one, next_ in pairwise(values))


def first_text(column: nw.Series[Any]) -> tuple[int, object] | None:
    """Return row and value of the first text in a column of text most of which are numbers; None in any other."""
    if not is_text(column):
        return None
    values = _sample(column)
    if 2 * sum(map(is_number, values)) <= len(values):
        return None
    rows = enumerate(zip(column.to_list(), column.is_null().to_list(), strict=True))
    return next(((row, value) for row, (value, missing) in rows if not missing and not is_number(value)), None)


def is_number(value: object) -> bool:
    """Return whether a value is a number or can be read as one; 1_000 and digits of other scripts are text."""
    if isinstance(value, str) and not (value.isascii() and "_" not in value):
        return False
    try:
        float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def to_numpy(column: nw.Series[Any]) -> NDArray[Any]:
    """Return a column as an array; of objects where whole numbers have more than 64 bits."""
    if column.dtype in (nw.Int128, nw.UInt128):
        return np.array(column.to_list(), dtype=object)
    return column.to_numpy()


def numbers_of(column: nw.Series[Any]) -> tuple[NDArray[Any], list[str]]:
    """Return the column as float32 (if it was) or float64, and the problem if it holds no numbers."""
    values = to_numpy(column)
    if values.dtype == np.float32:
        return values, []
    if column.dtype.is_numeric() or column.dtype == nw.Boolean:
        return values.astype(np.float64, copy=False), []
    numbers = np.empty(len(values))
    for row, (value, missing) in enumerate(zip(values.tolist(), column.is_null().to_list(), strict=True)):
        if not missing and not is_number(value):
            remedy = "convert the column to numbers, or name another one"
            held = (Row(row), f" holds {value!r}")
            return np.zeros(len(values)), [Problem(f"column {column.name!r} must hold numbers", held, remedy)]
        numbers[row] = np.nan if missing else float(value)
    return numbers, []


def one_kind_of_missing(column: NDArray[Any]) -> NDArray[Any]:
    """Return a static column in which what is missing is NaN among numbers and None among others, in every library."""
    if column.dtype != object:
        return column
    import pandas as pd

    found = column.copy()
    missing = np.asarray(pd.isna(column), dtype=bool)
    found[missing] = None
    kinds = {isinstance(value, (int, float, np.number)) for value in found[~missing]} if missing.any() else {False}
    return found.astype(np.float64) if kinds == {True} else found


def no_names(name: str, values: NDArray[Any]) -> list[str]:
    """Return the problem of a column whose values cannot be names, such as lists."""
    for row, value in enumerate(values if values.dtype == object else ()):
        try:
            hash(value)
        except TypeError:
            held = (Row(row), f" holds {str(value)[:40]}, a {type(value).__name__}")
            remedy = "convert it, or leave it out"
            return [Problem(f"column {name!r} must hold text or numbers", held, remedy)]
    return []


def codes_of(column: nw.Series[Any]) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Return the place of each value among the distinct ones, and those in the order in which they appear.

    TypeError is raised for values that cannot be names.
    """
    import pandas as pd

    native = column.to_native()
    texts = isinstance(column.dtype, (nw.String, nw.Categorical, nw.Enum))
    if not texts or str(getattr(native, "dtype", "")) == "object":
        codes, values = pd.factorize(to_numpy(column))
        return codes, np.asarray(values)
    # Text is made one object for each distinct value, not for each row.
    native = getattr(native, "array", native)
    if isinstance(native, pd.Categorical):
        numbers, names = native.codes, native.categories.to_numpy()
    elif isinstance(native, pd.api.extensions.ExtensionArray):
        numbers, names = native.factorize()
        names = np.asarray(names, dtype=object)
    elif column.implementation.is_polars() and column.dtype == nw.String:
        names, places = distinct(native)
        return places(), names.to_numpy()
    else:
        native = native if column.implementation.is_pyarrow() else native.to_arrow()
        native = native.combine_chunks() if hasattr(native, "combine_chunks") else native
        native = native if hasattr(native, "dictionary") else native.dictionary_encode()
        numbers, names = native.indices.to_numpy(), native.dictionary.to_numpy(zero_copy_only=False)
    codes, order = pd.factorize(numbers)
    return codes, names[order]


def distinct(column: Any) -> tuple[Any, Callable[[], NDArray[np.int64]]]:
    """Return the distinct texts of a polars series as they first appear, and a function for the places of all rows."""
    import polars as pl

    # Rows of a series mostly stand after one another: then each run is looked at once.
    starts = _starts_of_runs(column)
    if starts is not None:
        held, places = distinct(column.gather(starts))
        return held, lambda: np.repeat(places(), np.diff(starts, append=len(column)))
    found = column.to_arrow().dictionary_encode(null_encoding="encode")
    return pl.Series(column.name, found.dictionary), found.indices.to_numpy


def _starts_of_runs(column: Any) -> NDArray[np.int64] | None:
    """Return where runs of equal texts begin, and each chunk of the series; None where runs are short on average."""
    if len(_changes(column.head(LOOKED_AT))) * 4 > min(len(column), LOOKED_AT):
        return None
    starts, begin = list[NDArray[np.int64]](), 0
    for part in column.get_chunks():  # each fits into the cache of a processor
        starts.append(begin + _changes(part))
        begin += len(part)
    found = np.concatenate(starts)
    return found if 4 * len(found) <= begin else None


def _changes(column: Any) -> NDArray[np.int64]:
    return np.union1d([0], column.ne_missing(column.shift(1)).arg_true().to_numpy())


def types_of(source: Source, frame: nw.DataFrame[Any], targets: tuple[str, ...]) -> Source:
    """Keep the order of the columns that are written, and their types as far as their values do not show them."""
    types, levels = dict[str, str](), None
    written = {source.id, source.time, *targets}
    order = [name for name in frame.columns if name in written]
    for name in order:
        column, native = frame[name].dtype, frame[name].to_native()
        kind: Any = native.type if source.backend == "pyarrow" else native.dtype
        text = type(kind).__name__ if source.backend == "polars" else str(kind)
        if name in source.types:  # dates of Python
            types[name] = source.types[name]
        elif name == source.id:
            types[name] = text
            if text in ("category", "Enum"):
                levels = list(kind.categories)
                types[name] = "ordered category" if getattr(kind, "ordered", False) else text
            elif getattr(kind, "storage", "") == "python":
                types[name] = f"{text}[python]"
        elif column.is_float() or (name == source.time and (column.is_integer() or text.endswith("[pyarrow]"))):
            types[name] = text
    return replace(source, types=types, levels=levels, order=order)


def typed(name: str, values: NDArray[Any], source: Source) -> Any:
    """Return values as a series of the library, in the type that came in if it holds them."""
    kind: Any = source.types.get(name)
    ready = values.tolist() if values.dtype == object else values
    errors: tuple[type[Exception], ...] = (TypeError, ValueError, OverflowError, NotImplementedError, AttributeError)
    try:
        if kind and source.backend == "pandas":
            import pandas as pd

            category = pd.CategoricalDtype(source.levels, kind.startswith("ordered"))
            kind = category if kind.endswith("category") else kind
            return pd.Series(values, name=name, dtype=kind)
        if kind and source.backend == "polars":
            import polars as pl

            errors += (pl.exceptions.PolarsError,)
            dtype = pl.Enum(source.levels or []) if kind == "Enum" else getattr(pl, kind)
            return pl.Series(name, ready, dtype=dtype)
        if kind:
            import pyarrow as pa

            found = re.fullmatch(r"dictionary<values=(\w+), indices=(\w+), ordered=([01])>", kind)
            alias = pa.type_for_alias
            dtype = pa.dictionary(alias(found[2]), alias(found[1]), found[3] == "1") if found else alias(kind)
            return pa.chunked_array([pa.array(ready, type=dtype)])
    except errors:
        pass  # a number that grew out of it
    return nw.new_series(name, ready, backend=source.backend).to_native()


def zone_of(column: nw.Series[Any]) -> str | None:
    """Return the time zone of a column's stamps."""
    if isinstance(column.dtype, nw.Datetime):
        return column.dtype.time_zone
    # narwhals does not recognise pandas stamps in a zone whose name has an underscore.
    zone = getattr(getattr(column.to_native(), "dtype", None), "tz", None)
    return None if zone is None else str(zone)


def is_period(column: nw.Series[Any]) -> bool:
    """Return whether a column holds periods of pandas."""
    return str(getattr(column.to_native(), "dtype", "")).startswith("period[")


def is_text(column: nw.Series[Any]) -> bool:
    """Return whether a column holds text, categories or any other objects."""
    return isinstance(column.dtype, (nw.String, nw.Categorical, nw.Enum, nw.Object))


def names_series(values: NDArray[Any]) -> bool:
    """Return whether numbers are few and come again and again, as names of series do; 0 and 1 alone are a flag."""
    distinct = np.unique(values.astype(np.float64) if values.dtype == object else values)  # decimals
    return 1 < len(distinct) <= np.sqrt(len(values)) and not np.isin(distinct, (0, 1)).all()


def counts_up(values: NDArray[Any]) -> bool:
    """Return whether whole numbers grow by equal steps, beginning anew every ten rows (for each series) at most."""
    if values.dtype.kind not in "iu" or len(np.unique(values)) <= np.sqrt(len(values)):
        return False
    moves = np.diff(values.astype(np.int64))
    ups = moves[moves > 0]
    return len(ups) > 0 and bool((ups == ups[0]).all()) and 10 * (moves < 0).sum() <= len(moves)


def _sample(column: nw.Series[Any]) -> list[Any]:
    return column.head(LOOKED_AT).drop_nulls().to_list()


def _example(column: nw.Series[Any]) -> str:
    """Return the first value of a column of text: what keeps it from being numbers mostly shows."""
    return "".join(f", such as {str(value)[:20]!r}" for value in _sample(column)[:1] if is_text(column))


def _quoted(names: list[str]) -> str:
    return shorten([repr(name) for name in names], 6)
