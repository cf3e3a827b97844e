"""Values in and out: numbers, categories, names and types of one column of a frame; numbers of arrays."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import narwhals as nw
import numpy as np
from numpy.typing import NDArray

from tsforecast.checks import Tally
from tsforecast.data.calendar import calendar_features
from tsforecast.data.series import MISSING, Roles, Series, Source, places
from tsforecast.errors import Argument, DataError, Phrase, Problem, Row, raise_any, shorten
from tsforecast.mapped import copied, scratch, whole_series

AnySeries = TypeVar("AnySeries", bound=Series)
LOOKED_AT = 100  # first values of a column of text by which dates and numbers are found
LEAST_ROWS = 4  # of a series that may be there twice by a fault
MOST, FEW = 1_000, 20  # texts of a covariate; a half of the rows at most, unless they are few


def first_text(column: nw.Series[Any]) -> tuple[int, object] | None:
    """Return row and value of the first text in a column of text most of which are numbers; None in any other."""
    if not is_text(column):
        return None
    values = sample(column)
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


def is_text(column: nw.Series[Any]) -> bool:
    """Return whether a column holds text, categories or any other objects."""
    return isinstance(column.dtype, (nw.String, nw.Categorical, nw.Enum, nw.Object))


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
    held, missing = values.tolist(), column.is_null().to_list()
    wrong = [row for row, value in enumerate(held) if not missing[row] and not is_number(value)]
    if wrong:
        more = f", one of {len(wrong)} such rows among {len(held)}" if len(wrong) > 1 else ""
        got = (Row(wrong[0]), f" holds {held[wrong[0]]!r}{more}")
        remedy = "convert the column to numbers, or name another one"
        return np.zeros(len(held)), [Problem(f"column {column.name!r} must hold numbers", got, remedy)]
    return np.array([np.nan if none else float(value) for value, none in zip(held, missing, strict=True)]), []


def holds_categories(column: nw.Series[Any]) -> bool:
    """Return whether a column is one of categories, or holds text most of which are no numbers."""
    if isinstance(column.dtype, (nw.Categorical, nw.Enum)):
        return True
    held = column.drop_nulls().head(LOOKED_AT).to_list() if is_text(column) else []
    return len(held) > 0 and 2 * sum(map(is_number, held)) <= len(held)


def categories_of(
    column: nw.Series[Any], known: tuple[str, ...] | None = None
) -> tuple[NDArray[np.float32], tuple[str, ...], list[str]]:
    """Return the codes of a column of text, the texts that they are places in, and the problem if these are too many.

    Texts that are `known` keep their codes, and any number of others follow.
    """
    if column.dtype == nw.Object and (problem := no_names(column.name, to_numpy(column))):
        return np.zeros(len(column), dtype=np.float32), known or (), problem
    there = ~column.is_null().to_numpy()
    codes, names = codes_of(column)
    used, place = np.unique(codes[there], return_inverse=True)
    held = [_as_text(name) for name in names[used]]
    texts = joined(known or (), held)
    number = {text: i for i, text in enumerate(texts)}
    found = np.full(len(codes), MISSING, dtype=np.float32)
    found[there] = np.array([number[text] for text in held], dtype=np.float32)[place]
    first = held[0] if held else ""
    return found, texts, [] if known else too_many(column.name, texts, int(there.sum()), len(codes), first)


def too_many(name: str, texts: tuple[str, ...], there: int, rows: int, first: str) -> list[str]:
    """Return the problem of a column with more texts than a covariate may have, `there` in so many of its rows."""
    most = min(MOST, max(FEW, there // 2))
    if len(texts) <= most:
        return []
    must = f"column {name!r} must hold few different texts to be a covariate, {most} at most here"
    got = f"it holds {len(texts)} in {rows} rows, such as {first[:40]!r}"
    return [Problem(must, got, "leave it out, or write what they have in common into a column")]


def _as_text(name: object) -> str:
    """Return the text of a category; whole numbers may be floats where some are missing."""
    return str(int(name)) if isinstance(name, (float, np.floating)) and name.is_integer() else str(name)


def joined(texts: Iterable[str], others: Iterable[str]) -> tuple[str, ...]:
    """Return texts, whose codes stay, followed by the others that are not among them, in alphabetical order."""
    return tuple(dict.fromkeys((*texts, *sorted(others))))


def coded_like(panel: AnySeries, categories: Mapping[str, tuple[str, ...]], named: Phrase) -> AnySeries:
    """Return a panel, called as `named`, with texts coded as in `categories`, and others behind them."""
    own = panel.roles.categories
    if own == categories:
        return panel
    if own.keys() != categories.keys():
        must = (named, f" must have text in the columns {sorted(categories)}")
        raise DataError(Problem(must, f"got text in {sorted(own)}"))
    values, texts = copied(panel.values), dict[str, tuple[str, ...]]()
    for at in panel.roles.coded:
        name = panel.roles.varying[at]
        texts[name] = joined(categories[name], own[name])
        table = np.array([*map(texts[name].index, own[name]), MISSING])
        values[:, at] = table[places(values[:, at], len(own[name]))]
    return replace(panel, values=values, roles=replace(panel.roles, categories=texts))


def calendar_values(panel: AnySeries, names: Sequence[str]) -> NDArray[np.float64]:
    """Return the values of a panel with columns of the calendar behind them; see `calendar_features`."""
    zone, width = None if panel.source.wall_clock else panel.source.zone, panel.values.shape[1] + 2 * len(names)
    values: NDArray[np.float64] = scratch((len(panel.values), width), np.float64, panel.values)
    for begin, end in whole_series(panel.offsets):
        rows = slice(panel.offsets[begin], panel.offsets[end])
        owner = np.repeat(np.arange(begin, end), panel.lengths[begin:end])
        stamps = panel.stamps(owner, np.arange(rows.start, rows.stop) - panel.offsets[owner])
        np.concatenate([panel.values[rows], calendar_features(stamps, names, zone)], axis=1, out=values[rows])
    return values


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
        numbers = native.indices.to_numpy(zero_copy_only=False)
        names = native.dictionary.to_numpy(zero_copy_only=False)
    codes, order = pd.factorize(numbers)  # nulls have code -1, and no name where there is nothing else
    return codes, names[order.astype(np.int64)] if len(names) else np.empty(len(order), dtype=object)


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
    for part in column.get_chunks():  # each fits into the cache of a processor; a filter leaves empty ones
        starts += [begin + _changes(part)] if len(part) else []
        begin += len(part)
    found = np.concatenate(starts)
    return found if 4 * len(found) <= begin else None


def _changes(part: Any) -> NDArray[np.int64]:
    """Return the rows of a chunk of text that differ from the one before them, and the first."""
    import polars as pl

    held = part.to_arrow(compat_level=pl.CompatLevel.newest())
    if held.null_count or len(held.buffers()) > 2:  # beyond 12 bytes, a text stands in a buffer of its own
        return np.union1d([0], part.ne_missing(part.shift(1)).arg_true().to_numpy())
    words = np.frombuffer(held.buffers()[1], np.uint64)[2 * held.offset :][: 2 * len(held)]  # two for each text
    return np.union1d([0], np.flatnonzero(words[2:] != words[:-2]) // 2 + 1)


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


def sample(column: nw.Series[Any]) -> list[Any]:
    """Return the first values of a column that are there."""
    return column.head(LOOKED_AT).drop_nulls().to_list()


def order_notes(
    columns: list[NDArray[Any]], codes: NDArray[np.int64], ids: NDArray[Any], dates: list[nw.Series[Any]]
) -> list[str]:
    """Return notes on rows whose order makes the steps of series: not that of left out dates, or each of them twice.

    A series is there twice where its second half repeats the first, whose rows all differ, or each row the one before.
    """
    row = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes))
    begins, notes = ends - np.bincount(codes), list[str]()
    for column in dates:
        stamps = column.to_numpy()[row]
        back = np.flatnonzero((stamps[1:] < stamps[:-1]) & (codes[row][1:] == codes[row][:-1]))
        if len(back):
            wrong = len(set(codes[row][back].tolist()))
            notes.append(Tally(_unordered, name=column.name, wrong=wrong, series=len(ids)))
    values = np.stack(columns, axis=1)[row] if columns else np.empty((len(codes), 0))
    twice = [str(ids[i]) for i, (begin, end) in enumerate(zip(begins, ends, strict=True)) if _twice(values[begin:end])]
    if twice:
        notes.append(Tally(_repeated, names=[*map(repr, twice)], series=len(ids)))
    return notes


def _unordered(name: str, wrong: int, series: int) -> Problem:
    held = f"they are not in the order of {name!r} in {wrong} of {series}"
    remedy = (Argument("time", name, "pass"), " and ", Argument("sort", True), ", or order them first")
    return Problem("rows are the steps of series", held, remedy)


def _repeated(names: list[str], series: int) -> Problem:
    held = f"{len(names)} of {series} hold each row twice, {shorten(names)}"
    return Problem("rows are the steps of series", held, "remove the copies, unless they were recorded so")


def _twice(rows: NDArray[Any]) -> bool:
    """Return whether the rows of a series are there twice, one half after the other, or each after itself."""
    half, odd = divmod(len(rows), 2)
    pairs = [] if odd or half < LEAST_ROWS else [(rows[:half], rows[half:]), (rows[::2], rows[1::2])]
    return any(bool((one == other).all()) and len(np.unique(one, axis=0)) == half for one, other in pairs)


def read_arrays(data: Any) -> tuple[NDArray[Any], NDArray[np.int64], Roles, Source]:
    """Return values (rows, C) and offsets of (T,), (T, C), (N, T, C) or ragged numbers; every channel is a target."""
    if data is None or isinstance(data, (dict, set)) or np.isscalar(data):
        named = type(data).__name__ if isinstance(data, (dict, set)) else repr(data)
        raise DataError(f"data must be a frame, a Series, an array, a list of arrays or a Panel: got {named}")
    if isinstance(data, (list, tuple)) and data and not np.isscalar(data[0]):
        arrays = [_floats(part, f"series {i}") for i, part in enumerate(data)]
        ndim = arrays[0].ndim
        wanted = "one dimension" if ndim == 1 else "shape (T, C)"
        raise_any(
            f"series {i} must have {wanted} like series 0: got shape {a.shape}"
            for i, a in enumerate(arrays)
            if a.ndim != ndim or ndim not in (1, 2) or a.shape[1:] != arrays[0].shape[1:]
        )
        source = Source("arrays", ndim)
    else:
        array = _floats(data, "the array")
        if array.ndim not in (1, 2, 3):
            raise DataError(f"an array must have shape (T,), (T, C) or (N, T, C): got {array.shape}")
        arrays = list(array) if array.ndim == 3 else [array]
        source = Source("array", array.ndim)
    empty = [i for i, array in enumerate(arrays) if not array.size]
    if empty or not arrays:
        which = f": series {empty[0]} has shape {arrays[empty[0]].shape}" if empty else ""
        raise DataError(f"the data must have at least one step and one channel in every series{which}")
    values = np.concatenate([a.reshape(len(a), -1) for a in arrays])  # a copy: the panel cannot be changed from outside
    channels = values.shape[1]
    names = ("y",) if channels == 1 else tuple(f"y{c}" for c in range(channels))
    return values, np.cumsum([0, *map(len, arrays)]), Roles(names), source


def _floats(data: Any, what: str) -> NDArray[Any]:
    try:
        array = np.asarray(data)
        if np.iscomplexobj(array):
            raise DataError(f"{what} must hold real numbers: it holds {array.dtype}; pass its real part or its size")
        if array.dtype.kind not in "biufO":
            raise DataError(f"{what} must hold numbers: it holds {array.dtype}; convert it first")
        return array if array.dtype == np.float32 else array.astype(np.float64)
    except DataError:
        raise
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{what} must hold numbers: {error}") from None


def write_arrays(source: Source, values: NDArray[Any]) -> Any:
    """Return forecasts of shape (N, H, K) in the form of the arrays, or of the y, that were read."""
    if source.form == "array":
        return {1: values[0, :, 0], 2: values[0], 3: values}[source.ndim]
    if source.form == "windows":
        return {1: values[:, 0, 0], 2: values[..., 0], 3: values}[source.ndim]
    return list(values[..., 0] if source.ndim == 1 else values)
