"""A frame like another one but for some of its rows: what an audit hands to a procedure that reads frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import narwhals as nw
import numpy as np
from numpy.typing import NDArray

from tsforecast.data import frames
from tsforecast.data.guesses import counts_up, guess_time, names_series
from tsforecast.errors import DataError, nearest, raise_any

Replace = Callable[[NDArray[np.float64]], NDArray[np.float64]]
Mask = NDArray[np.bool_]


def replace_after(data: Any, cutoff: Any, replace: Replace | None, columns: Sequence[str] | None = None) -> Any:
    """Return a frame or series of the same library with other numbers after a cutoff.

    Parameters
    ----------
    data : pandas, polars or arrow frame or series
    cutoff : time stamp or int
        Rows later than that are replaced: by the time column, the pandas index, or where there is neither the number
        of the row.
    replace : callable or None
        From rows (n, C) to other ones; None drops them.
    columns : list of str, optional
        Columns whose numbers are replaced; all that hold numbers, unless they name series, if not given.

    Raises
    ------
    DataError
        When there is nothing to replace.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"day": pd.date_range("2024-01-01", periods=3), "load": [1.0, 2.0, 3.0]})
    >>> replace_after(frame, "2024-01-01", lambda rows: 0 * rows)["load"].tolist()
    [1.0, 0.0, 0.0]
    """
    return replace_rows(data, later_than(data, cutoff), replace, columns)


def replace_rows(data: Any, rows: Mask | None, replace: Replace | None, columns: Sequence[str] | None = None) -> Any:
    """Return a frame or series of the same library with other numbers in some rows, or without those rows.

    Numbers come back as floats, whether they were replaced or not: twins of one frame differ in nothing else.

    Parameters
    ----------
    rows : bool array of shape (rows,), or None for no row
    replace, columns : see `replace_after`

    Examples
    --------
    >>> import pandas as pd
    >>> replace_rows(pd.Series([1, 2, 3]), np.array([True, False, False]), lambda rows: 5 + rows).tolist()
    [6.0, 2.0, 3.0]
    """
    if frames.is_series(data):
        alone = nw.from_native(data, series_only=True)
        name = alone.name or "y"
        framed = data.to_frame(name) if nw.dependencies.is_pandas_series(data) else alone.alias(name).to_frame()
        native = nw.to_native(framed, pass_through=True)
        found = nw.from_native(replace_rows(native, rows, replace, [name]), eager_only=True)
        return found[name].alias(alone.name).to_native() if alone.name else found[name].to_native()
    frame = _eager(data)
    rows = np.zeros(len(frame), dtype=np.bool_) if rows is None else rows
    names = replaceable(data, columns)
    if not names:
        raise DataError("there must be a column of numbers to replace: name it with columns=...")
    values = np.stack([frame[name].to_numpy().astype(np.float64) for name in names], axis=1)
    if replace is not None:
        values[rows] = replace(values[rows])
    # A column of float32 stays one: what is computed from it must not change for its type.
    changed_columns: dict[str, Any] = {
        name: values[:, i].astype(_float_type(frame[name])) for i, name in enumerate(names)
    }
    native = frame.to_native()
    if nw.dependencies.is_pandas_dataframe(native):
        changed: Any = nw.from_native(native.assign(**changed_columns))
    else:
        changed = frame.with_columns(
            *[nw.new_series(name, column, backend=frame.implementation) for name, column in changed_columns.items()]
        )
    changed = changed if replace is not None else changed.filter((~rows).tolist())
    return (changed.lazy() if isinstance(nw.from_native(data), nw.LazyFrame) else changed).to_native()


def replaceable(data: Any, columns: Sequence[str] | None = None) -> list[str]:
    """Return the columns of a frame whose numbers an audit replaces.

    Raises
    ------
    DataError
        When there is no such column.
    """
    frame = _eager(data)
    raise_any(
        f"column {name!r} does not exist; {nearest(name, frame.columns)}"
        for name in sorted(set(columns or ()) - {*frame.columns})
    )
    time = guess_time(frame, ())
    names = [name for name in columns or frame.columns if name != time and frame[name].dtype.is_numeric()]
    raise_any(
        f"column {name!r} must hold numbers to be replaced: it holds {frame[name].dtype}"
        for name in sorted(set(columns or ()) - {*names})
    )
    return [name for name in names if columns or not _labels(frame[name].to_numpy())]


def spared(data: Any) -> list[str]:
    """Return the columns that no probe replaces: text, flags, and numbers that may name series or count steps."""
    if frames.is_series(data) or not frames.is_frame(data):
        return []
    frame, kept = _eager(data), replaceable(data)
    return [name for name in frame.columns if name not in kept and name != guess_time(frame, ())]


def column(data: Any, name: str) -> NDArray[Any]:
    """Return a column of a frame.

    Raises
    ------
    DataError
        When there is no such column.
    """
    frame = _eager(data)
    raise_any([f"column {name!r} does not exist; {nearest(name, frame.columns)}"] if name not in frame.columns else [])
    return np.asarray(frame[name].to_numpy())


def later_than(data: Any, cutoff: Any, series: NDArray[Any] | None = None, tested: Any = None) -> Mask:
    """Return which rows of a frame or series lie after the cutoff, (rows,).

    Parameters
    ----------
    cutoff : time stamp or int
    series : array of shape (rows,), optional
        The series of each row. Where there is no time, the cutoff is then a row of the series `tested`, and that of
        the others unknown: they lie before it.

    Raises
    ------
    DataError
        When there is no row on one side.
    """
    if frames.is_series(data) and not nw.dependencies.is_pandas_series(data):
        stamps: Any = None
        length = len(data)
    else:
        frame = _eager(data.to_frame("y") if frames.is_series(data) else data)
        stamps, length = _stamps(frame), len(frame)
    if stamps is not None:
        later = _beyond(stamps, cutoff)
    elif not isinstance(cutoff, (int, np.integer)):
        raise DataError(f"without a column of dates the cutoff must be the number of a row: got {cutoff!r}")
    elif series is None:
        later = np.arange(length) > cutoff
    else:
        own = series == tested
        later = own & (np.cumsum(own) - 1 > cutoff)
    if not later.any() or later.all():
        raise DataError(
            f"the cutoff must leave rows on both sides: {later.sum()} of {len(later)} are later than {cutoff!r}"
        )
    return np.asarray(later)


def _beyond(stamps: Any, cutoff: Any) -> Mask:
    import pandas as pd

    if isinstance(stamps, pd.PeriodIndex):
        stamps = stamps.to_timestamp()
    elif stamps.dtype.kind not in "iuM" and not isinstance(stamps, pd.DatetimeIndex):
        stamps = pd.to_datetime(stamps)
    if stamps.dtype.kind not in "iu" and isinstance(cutoff, (bool, int, np.integer)):
        raise DataError(f"the cutoff must be a date, since the data have dates ({stamps[0]} ...): got {cutoff!r}")
    try:
        limit = cutoff if stamps.dtype.kind in "iu" else pd.Timestamp(cutoff)
    except (ValueError, TypeError) as error:
        raise DataError(f"the cutoff must be a date such as {str(stamps[-1])[:10]!r}: got {cutoff!r}") from error
    zone = getattr(stamps, "tz", None)
    if zone is None and getattr(limit, "tzinfo", None) is not None:
        raise DataError(f"the cutoff must have no time zone, like the data: got {cutoff}; leave its zone out")
    if zone is not None and limit.tzinfo is None:
        limit = limit.tz_localize(zone)
    return np.asarray(stamps > limit)


def _stamps(frame: nw.DataFrame[Any]) -> Any:
    """Return the time of each row, from the index or the only column of dates; None where there is neither."""
    import pandas as pd

    index = getattr(frame.to_native(), "index", None)
    if isinstance(index, pd.MultiIndex):
        return index.get_level_values(-1)
    if isinstance(index, (pd.DatetimeIndex, pd.PeriodIndex)):
        return index
    time = guess_time(frame, ())
    return None if time is None else pd.Index(frame[time].to_pandas())


def _eager(data: Any) -> nw.DataFrame[Any]:
    frame = nw.from_native(data)
    return frame.collect() if isinstance(frame, nw.LazyFrame) else frame


def _labels(values: NDArray[Any]) -> bool:
    """Tell whether numbers may name series or count steps, so that other ones would make no sense."""
    return names_series(values) or counts_up(values)


def _float_type(column: Any) -> type:
    return np.float32 if column.dtype == nw.Float32 else np.float64
