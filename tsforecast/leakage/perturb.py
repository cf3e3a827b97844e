"""Perturbed copies of panels, frames and arrays: equal to the original except in rows that must not be seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import narwhals as nw
import numpy as np
from numpy.typing import NDArray

from tsforecast.data import frames
from tsforecast.data.columns import counts_up, guess_time, names_series
from tsforecast.data.panel import Panel
from tsforecast.errors import DataError, nearest, raise_any

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Replace = Callable[[Floats], Floats]
REPLACEMENTS = ("other values", "NaN", "infinities", "shuffled")


def perturb(rows: Floats, how: str, random: np.random.Generator) -> Floats:
    """Return other numbers in the place of rows of shape (n, C).

    Parameters
    ----------
    how : {"other values", "NaN", "infinities", "shuffled"}

    Examples
    --------
    >>> perturb(np.array([[1.0], [2.0]]), "infinities", np.random.default_rng(0)).ravel().tolist()
    [inf, -inf]
    """
    if how == "NaN":
        return np.full_like(rows, np.nan)
    if how == "infinities":
        return np.where(np.indices(rows.shape).sum(axis=0) % 2, -np.inf, np.inf)
    if how == "shuffled":
        shuffled = random.permutation(rows)
        return shuffled[::-1] if np.array_equal(shuffled, rows, equal_nan=rows.dtype.kind == "f") else shuffled
    size = np.abs(np.nan_to_num(rows)).max(axis=0, initial=0.0) + 1.0
    return np.asarray(10 * size * random.choice([-1.0, 1.0], rows.shape) * random.uniform(1, 2, rows.shape))


def as_floats(data: Any, columns: Sequence[str] | None = None) -> Any:
    """Return the data with numbers as floats, like their perturbed copies: the type must not make a difference.

    Raises
    ------
    DataError
        When the data cannot be perturbed.
    """
    if isinstance(data, Panel):
        return data
    if frames.is_frame(data):
        return replace_rows(data, None, lambda rows: rows, columns)
    arrays = [np.asarray(array) for array in (data if isinstance(data, (list, tuple)) else [data])]
    if any(array.ndim not in (1, 2) or array.dtype.kind not in "biuf" for array in arrays):
        raise DataError(
            "an audit takes a frame, a Panel, an array of numbers of shape (T,) or (T, C), or a list of them: got "
            f"{type(data).__name__}"
        )
    arrays = [array if array.dtype.kind == "f" else array.astype(np.float64) for array in arrays]
    return arrays if isinstance(data, (list, tuple)) else arrays[0]


def as_rows(data: Any, name: str) -> Any:
    """Return windows or targets as an array of floats, labels as an array, recordings as a list of arrays of floats.

    Arrays are new, of one memory layout: those that an estimator keeps must differ in their numbers only.

    Raises
    ------
    DataError
        When the data are something else.
    """
    with suppress(ValueError, TypeError):
        return np.array(data, dtype=np.float64, order="C")
    try:
        return np.array(data, ndmin=1) if name == "y" else [np.array(one, dtype=np.float64, order="C") for one in data]
    except (ValueError, TypeError) as error:
        raise DataError(
            "X must be rows of numbers or a list of recordings, and y a number, numbers or a label for each: got "
            f"{name} of type {type(data).__name__}"
        ) from error


def perturbed_after(
    data: Any, cutoff: Any, columns: Sequence[str] | None = None, id: str | None = None, tested: Any = None
) -> Iterator[tuple[str, Any]]:
    """Yield copies of arrays, frames or panels that differ in rows after `cutoff`, each with its name.

    Parameters
    ----------
    data : array of shape (T,) or (T, C), list of such arrays, frame or Panel
        As `as_floats` returns it.
    cutoff : int, time stamp or value of the time column
        The last row, or time, that may be seen.
    columns : list of str, optional
        Columns of a frame to be perturbed; all that hold numbers unless given. The others may be known in the future,
        so that no rows are cut off then.
    id : str, optional
        Column of a frame that names series.
    tested : optional
        The series that is forecast. Without time, only this one is cut.
    """
    random = np.random.default_rng(0)
    if isinstance(data, Panel):
        # Future covariates stay: only the procedure defines how many of their steps are known.
        yield from perturbed_panels(data, _rows_seen(data, cutoff, tested), data.clock_end)
    elif frames.is_frame(data):
        later = later_rows(data, cutoff, None if id is None else column(data, id), tested)
        for how in REPLACEMENTS:
            copy = replace_rows(data, later, partial(perturb, how=how, random=random), columns)
            yield f"rows after the cutoff: {how}", copy
        if columns is None:
            yield "rows after the cutoff: cut off", replace_rows(data, later, None)
    else:
        arrays = list(data) if isinstance(data, (list, tuple)) else [data]
        longest = max((len(array) for array in arrays), default=0)
        if not isinstance(cutoff, (int, np.integer)) or not 0 <= cutoff < longest - 1:
            raise DataError(
                f"the cutoff must be the number of a row, with rows on both sides: got {cutoff!r} for {longest} rows"
            )
        for how in (*REPLACEMENTS, "cut off"):
            parts = [perturbed_rows(array, int(cutoff) + 1, how, random) for array in arrays]
            yield f"rows after the cutoff: {how}", parts if isinstance(data, (list, tuple)) else parts[0]


def perturbed_groups(
    data: Any, tested: Any, id: str | None = None, group: str | None = None, columns: Sequence[str] | None = None
) -> Iterator[tuple[str, Any]]:
    """Yield copies of frames or panels that differ in series too close to the tested one, each with its name.

    These are the other series of its group, and series of other groups that equal one of its group.

    Parameters
    ----------
    data : frame or Panel
    tested : name of a series
    id, group : str, optional
        Columns of a frame that name series and groups; without a group each series is its own.

    Raises
    ------
    DataError
        When there is no such series, or nothing to perturb.
    """
    if not isinstance(data, Panel) and (id is None or not frames.is_frame(data)):
        raise DataError("a series that is tested needs a Panel, or a frame with id=..., the column that names series")
    names, owners, values = _rows_of_series(data, id, group, columns)
    if not (names == tested).any():
        raise DataError(
            f"the series that is tested must exist: {tested!r} does not; {nearest(tested, sorted({*names.tolist()}))}"
        )
    own = owners == owners[names == tested][0]
    kept = {values[names == name].tobytes() for name in set(names[own])}
    others, copies = own & (names != tested), np.zeros(len(names), dtype=bool)
    for name in set(names[~own]):
        copies |= (names == name) & (values[names == name].tobytes() in kept)
    if not others.any() and not copies.any():
        raise DataError(
            f"there is nothing to change: series {tested!r} is the only one of its group, and none of another group "
            "equals it"
        )
    random = np.random.default_rng(0)
    if others.any():
        for how in (*REPLACEMENTS, "left out"):
            yield f"other series of the tested group: {how}", _perturbed_rows(data, others, how, random, columns)
    if copies.any():
        yield "copies of a tested series: left out", _perturbed_rows(data, copies, "left out", random, columns)


def _rows_of_series(
    data: Any, id: str | None, group: str | None, columns: Sequence[str] | None
) -> tuple[Any, Any, Any]:
    """Return series, group and numbers of each row."""
    if isinstance(data, Panel):
        owners = data.ids if data.groups is None else data.groups
        return np.repeat(data.ids, data.lengths), np.repeat(owners, data.lengths), data.values[:, : data.n_targets]
    names = column(data, str(id))
    numbers = [name for name in replaceable(data, columns) if name not in (id, group)]
    values = np.stack([column(data, name).astype(np.float64) for name in numbers], axis=1)
    return names, names if group is None else column(data, group), values


def _perturbed_rows(data: Any, rows: Mask, how: str, random: np.random.Generator, columns: Sequence[str] | None) -> Any:
    if not isinstance(data, Panel):
        replace = None if how == "left out" else partial(perturb, how=how, random=random)
        return replace_rows(data, rows, replace, columns)
    if how == "left out":
        return data.select(~rows[data.offsets[:-1]])
    return perturb_panel(data, rows, how, random)


def perturbed_rows(rows: Any, first: int, how: str, random: np.random.Generator) -> Any:
    """Return an array, or a list of recordings, that differs from row `first` on."""
    if how == "cut off":
        return rows[:first].copy()
    if isinstance(rows, list):
        return rows[:first] + [perturbed_rows(recording, 0, how, random) for recording in rows[first:]]
    values = rows.copy()
    later = values[first:]
    values[first:] = perturb(later.reshape(len(later), -1), how, random).reshape(later.shape)
    return values


# Panels ---------------------------------------------------------------------------------------------------------


def perturb_panel(panel: Panel, hidden: Mask, how: str, random: np.random.Generator) -> Panel:
    """Return a panel with other numbers in hidden rows, (rows,), or in hidden rows of each column, (rows, C)."""
    values = panel.values.copy()
    for column in range(values.shape[1]):
        at = hidden if hidden.ndim == 1 else hidden[:, column]
        values[at, column] = perturb(values[at, column : column + 1].astype(np.float64), how, random)[:, 0]
    return panel.with_values(values)


def perturbed_panels(panel: Panel, seen: NDArray[np.int64], horizon: int) -> Iterator[tuple[str, Panel]]:
    """Yield panels that differ in rows that must not be seen, each with its name.

    Parameters
    ----------
    panel : Panel
    seen : int64 array of shape (N,)
        Rows of each series before the cutoff. Those after it are perturbed; future covariates only beyond the horizon.
    horizon : int
    """
    random, seen = np.random.default_rng(0), np.minimum(seen, panel.lengths)
    rows = np.arange(len(panel.values)) - np.repeat(panel.offsets[:-1], panel.lengths)  # number within the series
    after = rows >= np.repeat(seen, panel.lengths)
    beyond = rows >= np.repeat(seen + horizon, panel.lengths)
    known = len(panel.roles.varying) - len(panel.roles.future)
    hidden = np.where(np.arange(panel.values.shape[1]) < known, after[:, None], beyond[:, None])  # (rows, C)
    for how in REPLACEMENTS:
        yield f"rows after the cutoff: {how}", perturb_panel(panel, hidden, how, random)
    if len(panel) > 1:
        last = hidden.copy()
        last[: panel.offsets[-2]] = False
        yield "rows after the cutoff of one series: other values", perturb_panel(panel, last, "other values", random)
    if panel.roles.past:
        past = hidden.copy()
        past[:, : panel.n_targets] = past[:, known:] = False
        yield "past columns after the cutoff: other values", perturb_panel(panel, past, "other values", random)
    if not panel.roles.future:  # those are needed for the steps to forecast
        yield "rows after the cutoff: cut off", panel.until(np.maximum(seen, 1))


def _rows_seen(panel: Panel, cutoff: Any, tested: Any) -> NDArray[np.int64]:
    """Return the rows of each series that may be seen, (N,)."""
    if isinstance(cutoff, (int, np.integer)):
        seen = panel.rows_before(int(cutoff) + 1)
        if tested is not None and panel.kind == "none":  # no common clock: the cutoff is a row of the tested series
            seen = np.where(panel.ids == tested, min(int(cutoff) + 1, int(panel.lengths.max())), panel.lengths)
    elif panel.kind == "datetime":
        import pandas as pd

        limit, zone = pd.Timestamp(cutoff), panel.source.zone
        if zone is not None:
            limit = limit.tz_convert(zone) if limit.tzinfo else limit.tz_localize(zone)
            limit = limit.tz_localize(None) if panel.source.wall_clock else limit.tz_convert(None)
        last = [panel.stamps(i, np.arange(steps)) for i, steps in enumerate(panel.lengths)]
        seen = np.array([int((stamps <= limit.as_unit("ns").value).sum()) for stamps in last])
    else:
        raise DataError(f"a panel without dates needs a number as cutoff: got {cutoff!r}")
    if (seen >= panel.lengths).all() or (seen == 0).all():
        raise DataError(f"the cutoff must leave rows on both sides: {cutoff!r} leaves none on one of them")
    return np.asarray(seen)


# Frames ---------------------------------------------------------------------------------------------------------


def replace_rows(data: Any, rows: Mask | None, replace: Replace | None, columns: Sequence[str] | None = None) -> Any:
    """Return a frame or series of the same library with other numbers in some rows, or without those rows.

    Numbers come back as floats, replaced or not, so that all copies of one frame have the same types.

    Parameters
    ----------
    data : pandas, polars or arrow frame or series
    rows : bool array of shape (rows,), or None for no row
    replace : callable or None
        From rows (n, C) to other ones; None drops them.
    columns : list of str, optional
        Columns whose numbers are replaced; if not given, all that hold numbers and do not name series.

    Raises
    ------
    DataError
        When there is nothing to replace.

    Examples
    --------
    >>> import pandas as pd
    >>> replace_rows(pd.Series([1, 2, 3]), np.array([True, False, False]), lambda rows: 5 + rows).tolist()
    [6.0, 2.0, 3.0]
    """
    if frames.is_series(data):
        series = nw.from_native(data, series_only=True)
        name = series.name or "y"
        framed = data.to_frame(name) if nw.dependencies.is_pandas_series(data) else series.alias(name).to_frame()
        native = nw.to_native(framed, pass_through=True)
        replaced = nw.from_native(replace_rows(native, rows, replace, [name]), eager_only=True)[name]
        return (replaced.alias(series.name) if series.name else replaced).to_native()
    frame = _eager(data)
    rows = np.zeros(len(frame), dtype=np.bool_) if rows is None else rows
    names = replaceable(data, columns)
    if not names:
        raise DataError("there must be a column of numbers to replace: name it with columns=...")
    values = np.stack([frame[name].to_numpy().astype(np.float64) for name in names], axis=1)
    if replace is not None:
        values[rows] = replace(values[rows])
    # A column of float32 stays one: results must not change with its type.
    types = [np.float32 if frame[name].dtype == nw.Float32 else np.float64 for name in names]
    changed: dict[str, Any] = {name: values[:, i].astype(types[i]) for i, name in enumerate(names)}
    native = frame.to_native()
    if nw.dependencies.is_pandas_dataframe(native):
        copy: Any = nw.from_native(native.assign(**changed))
    else:
        backend = frame.implementation
        copy = frame.with_columns(*[nw.new_series(name, item, backend=backend) for name, item in changed.items()])
    copy = copy if replace is not None else copy.filter((~rows).tolist())
    return (copy.lazy() if isinstance(nw.from_native(data), nw.LazyFrame) else copy).to_native()


def replaceable(data: Any, columns: Sequence[str] | None = None) -> list[str]:
    """Return the columns of a frame whose numbers an audit perturbs.

    Raises
    ------
    DataError
        When a column does not exist or does not hold numbers.
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


def unperturbed(data: Any) -> list[str]:
    """Return the columns that are never perturbed: text, flags, numbers that may name series or count steps."""
    if frames.is_series(data) or not frames.is_frame(data):
        return []
    frame, names = _eager(data), replaceable(data)
    return [name for name in frame.columns if name not in names and name != guess_time(frame, ())]


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


def later_rows(data: Any, cutoff: Any, series: NDArray[Any] | None = None, tested: Any = None) -> Mask:
    """Return a mask of the rows of a frame or series after the cutoff, (rows,).

    Parameters
    ----------
    cutoff : time stamp or int
        Compared with the time column or the pandas index; where there is neither, with the number of the row.
    series : array of shape (rows,), optional
        The series of each row. Without time, the cutoff is then a row of the series `tested`, and all rows of the
        others lie before it.

    Raises
    ------
    DataError
        When there is no row on one side.
    """
    stamps: Any = None
    if frames.is_series(data) and not nw.dependencies.is_pandas_series(data):
        length = len(data)
    else:
        frame = _eager(data.to_frame("y") if frames.is_series(data) else data)
        stamps, length = _stamps(frame), len(frame)
    if stamps is not None:
        later = _after(stamps, cutoff)
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


def _after(stamps: Any, cutoff: Any) -> Mask:
    """Return which stamps are later than the cutoff, in the time zone of the data."""
    import pandas as pd

    if isinstance(stamps, pd.PeriodIndex):
        stamps = stamps.to_timestamp()
    elif stamps.dtype.kind not in "iuM" and not isinstance(stamps, pd.DatetimeIndex):
        stamps = pd.to_datetime(stamps)
    if stamps.dtype.kind in "iu":
        return np.asarray(stamps > cutoff)
    if isinstance(cutoff, (bool, int, np.integer)):
        raise DataError(f"the cutoff must be a date, since the data have dates ({stamps[0]} ...): got {cutoff!r}")
    try:
        limit = pd.Timestamp(cutoff)
    except (ValueError, TypeError) as error:
        raise DataError(f"the cutoff must be a date such as {str(stamps[-1])[:10]!r}: got {cutoff!r}") from error
    zone = getattr(stamps, "tz", None)
    if zone is None and limit.tzinfo is not None:
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
    """Return whether numbers may name series or count steps, so that perturbing them would make no sense."""
    return names_series(values) or counts_up(values)
