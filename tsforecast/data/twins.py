"""A frame like another one but for its last rows: what an audit hands to a procedure that reads frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import narwhals as nw
import numpy as np
from numpy.typing import NDArray

from tsforecast.data import frames
from tsforecast.data.guesses import guess_time, names_series
from tsforecast.errors import DataError, nearest, raise_any

Replace = Callable[[NDArray[np.float64]], NDArray[np.float64]]


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
    if frames.is_series(data):
        alone = nw.from_native(data, series_only=True)
        name = alone.name or "y"
        framed = data.to_frame(name) if nw.dependencies.is_pandas_series(data) else alone.alias(name).to_frame()
        found = nw.from_native(replace_after(nw.to_native(framed, pass_through=True), cutoff, replace), eager_only=True)
        return found[name].alias(alone.name).to_native() if alone.name else found[name].to_native()
    frame = nw.from_native(data)
    frame = frame.collect() if isinstance(frame, nw.LazyFrame) else frame
    later, time = _later(frame, cutoff)
    if not later.any() or later.all():
        raise DataError(
            f"the cutoff must leave rows on both sides: {later.sum()} of {len(later)} are later than {cutoff!r}"
        )
    if replace is None:
        return frame.filter((~later).tolist()).to_native()
    raise_any(
        f"column {name!r} does not exist; {nearest(name, frame.columns)}"
        for name in set(columns or ()) - {*frame.columns}
    )
    numbers = [name for name in columns or frame.columns if name != time and frame[name].dtype.is_numeric()]
    numbers = [name for name in numbers if columns or not names_series(frame[name].to_numpy())]
    if not numbers:
        raise DataError("there must be a column of numbers to replace: name it with columns=...")
    values = np.stack([frame[name].to_numpy().astype(np.float64) for name in numbers], axis=1)
    values[later] = replace(values[later])
    native = frame.to_native()
    if nw.dependencies.is_pandas_dataframe(native):
        return native.assign(**{name: values[:, i] for i, name in enumerate(numbers)})
    added = [nw.new_series(name, values[:, i], backend=frame.implementation) for i, name in enumerate(numbers)]
    return frame.with_columns(*added).to_native()


def _later(frame: nw.DataFrame[Any], cutoff: Any) -> tuple[NDArray[np.bool_], str | None]:
    """Return which rows lie after the cutoff, and the name of the time column."""
    import pandas as pd

    native = frame.to_native()
    index = getattr(native, "index", None)
    stamps: Any = None
    time = guess_time(frame, ())
    if isinstance(index, pd.MultiIndex):
        stamps = index.get_level_values(-1)
    elif isinstance(index, (pd.DatetimeIndex, pd.PeriodIndex)):
        stamps = index
    elif time is not None:
        stamps = pd.Index(frame[time].to_pandas())
    if stamps is None:
        return np.arange(len(frame)) > cutoff, None
    if isinstance(stamps, pd.PeriodIndex):
        stamps = stamps.to_timestamp()
    elif stamps.dtype.kind not in "iuM" and not isinstance(stamps, pd.DatetimeIndex):
        stamps = pd.to_datetime(stamps)
    limit = cutoff if stamps.dtype.kind in "iu" else pd.Timestamp(cutoff)
    zone = getattr(stamps, "tz", None)
    if zone is not None and limit.tzinfo is None:
        limit = limit.tz_localize(zone)
    return np.asarray(stamps > limit), time
