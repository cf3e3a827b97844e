"""Probes: twins of the data, that differ from the given ones in nothing but what must not be seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import narwhals as nw
import numpy as np
from numpy.typing import NDArray

from tsforecast.data import frames
from tsforecast.data.columns import counts_up, guess_time, names_series
from tsforecast.data.panel import Panel
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


Floats = NDArray[np.float64]
REPLACEMENTS = ("other values", "NaN", "infinities", "shuffled")


def perturbed(rows: Floats, how: str, random: np.random.Generator) -> Floats:
    """Return other numbers in the place of rows of shape (n, C).

    Parameters
    ----------
    how : {"other values", "NaN", "infinities", "shuffled"}

    Examples
    --------
    >>> perturbed(np.array([[1.0], [2.0]]), "infinities", np.random.default_rng(0)).ravel().tolist()
    [inf, -inf]
    """
    if how == "NaN":
        return np.full_like(rows, np.nan)
    if how == "infinities":
        return np.where(np.indices(rows.shape).sum(axis=0) % 2, -np.inf, np.inf)
    if how == "shuffled":
        turned = random.permutation(rows)
        return turned[::-1] if np.array_equal(turned, rows, equal_nan=True) else turned
    size = np.abs(np.nan_to_num(rows)).max(axis=0, initial=0.0) + 1.0
    return np.asarray(10 * size * random.choice([-1.0, 1.0], rows.shape) * random.uniform(1, 2, rows.shape))


def panel_twins(panel: Panel, seen: NDArray[np.int64], horizon: int) -> Iterator[tuple[str, Panel]]:
    """Yield panels that differ in rows that must not be seen, each with the name of what was done.

    Parameters
    ----------
    panel : Panel
    seen : int64 array of shape (N,)
        Rows of each series before the cutoff. Those after it are replaced; future columns only beyond the horizon.
    horizon : int
    """
    random, seen = np.random.default_rng(0), np.minimum(seen, panel.lengths)
    rows = np.arange(len(panel.values)) - np.repeat(panel.offsets[:-1], panel.lengths)  # number within the series
    after = rows >= np.repeat(seen, panel.lengths)
    beyond = rows >= np.repeat(seen + horizon, panel.lengths)
    known = len(panel.roles.varying) - len(panel.roles.future)
    hidden = np.where(np.arange(panel.values.shape[1]) < known, after[:, None], beyond[:, None])  # (rows, C)
    for how in REPLACEMENTS:
        yield f"rows after the cutoff: {how}", with_other(panel, hidden, how, random)
    if len(panel) > 1:
        last = hidden.copy()
        last[: panel.offsets[-2]] = False
        yield "rows after the cutoff of one series: other values", with_other(panel, last, "other values", random)
    if panel.roles.past:
        past = hidden.copy()
        past[:, : panel.n_targets] = past[:, known:] = False
        yield "past columns after the cutoff: other values", with_other(panel, past, "other values", random)
    if not panel.roles.future:  # those are to be given for the steps to forecast
        yield "rows after the cutoff: cut off", panel.until(np.maximum(seen, 1))


def with_other(panel: Panel, hidden: NDArray[np.bool_], how: str, random: np.random.Generator) -> Panel:
    """Return a panel with other numbers in hidden rows, (rows,), or in hidden rows of each column, (rows, C)."""
    values = panel.values.copy()
    for column in range(values.shape[1]):
        at = hidden if hidden.ndim == 1 else hidden[:, column]
        values[at, column] = perturbed(values[at, column : column + 1].astype(np.float64), how, random)[:, 0]
    return panel.with_values(values)


def as_floats(data: Any, columns: Sequence[str] | None = None) -> Any:
    """Return the data with numbers as floats, as its twins hold them: a type must not make a difference.

    Raises
    ------
    DataError
        When the data are nothing that an audit can change.
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


def data_twins(
    data: Any, cutoff: Any, columns: Sequence[str] | None = None, id: str | None = None, tested: Any = None
) -> Iterator[tuple[str, Any]]:
    """Yield arrays, frames or panels that differ in rows after `cutoff`.

    Parameters
    ----------
    data : array of shape (T,) or (T, C), list of such arrays, frame or Panel
        As `as_floats` returns it.
    cutoff : int, time stamp or whatever the time column holds
        The last row, or time, that may be seen.
    columns : list of str, optional
        Of a frame, those that are replaced; all that hold numbers unless given. The others may be known ahead, so
        that no rows are cut off then.
    id : str, optional
        The column of a frame that names series.
    tested : optional
        The series that is forecast. Without time it is the only one that is cut.
    """
    random = np.random.default_rng(0)
    if isinstance(data, Panel):
        # Future columns stay: how many of their steps are known ahead only the procedure knows.
        yield from panel_twins(data, _seen(data, cutoff, tested), data.clock_end)
    elif frames.is_frame(data):
        series = None if id is None else column(data, id)
        later = later_than(data, cutoff, series, tested)
        for how in REPLACEMENTS:
            other = replace_rows(data, later, partial(perturbed, how=how, random=random), columns)
            yield f"rows after the cutoff: {how}", other
        if columns is None:
            yield "rows after the cutoff: cut off", replace_rows(data, later, None)
    else:
        arrays = list(data) if isinstance(data, (list, tuple)) else [data]
        lengths = [len(array) for array in arrays]
        if not isinstance(cutoff, (int, np.integer)) or not 0 <= cutoff < max(lengths, default=0) - 1:
            raise DataError(
                "the cutoff must be the number of a row, with rows on both sides: got "
                f"{cutoff!r} for {max(lengths, default=0)} rows"
            )
        for how in (*REPLACEMENTS, "cut off"):
            parts = [_array_with(array, int(cutoff), how, random) for array in arrays]
            yield f"rows after the cutoff: {how}", parts if isinstance(data, (list, tuple)) else parts[0]


def group_twins(
    data: Any, tested: Any, id: str | None = None, group: str | None = None, columns: Sequence[str] | None = None
) -> Iterator[tuple[str, Any]]:
    """Yield frames or panels that differ in what says too much of the series that is tested.

    That is the other series of its group, and series of other groups that equal one of its own.

    Parameters
    ----------
    data : frame or Panel
    tested : name of a series
    id, group : str, optional
        Columns of a frame that name series and groups; without a group each series is its own.

    Raises
    ------
    DataError
        When there is no such series, or nothing to change.
    """
    if not isinstance(data, Panel) and (id is None or not frames.is_frame(data)):
        raise DataError("a series that is tested needs a Panel, or a frame with id=..., the column that names series")
    names, owners, values = _members(data, id, group, columns)
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
            yield f"other series of the tested group: {how}", _rows_with(data, others, how, random, columns)
    if copies.any():
        yield "copies of a tested series: left out", _rows_with(data, copies, "left out", random, columns)


def _members(data: Any, id: str | None, group: str | None, columns: Sequence[str] | None) -> tuple[Any, Any, Any]:
    """Return series, group and numbers of each row."""
    if isinstance(data, Panel):
        owners = data.ids if data.groups is None else data.groups
        return np.repeat(data.ids, data.lengths), np.repeat(owners, data.lengths), data.values[:, : data.n_targets]
    names = column(data, str(id))
    numbers = [name for name in replaceable(data, columns) if name not in (id, group)]
    values = np.stack([column(data, name).astype(np.float64) for name in numbers], axis=1)
    return names, names if group is None else column(data, group), values


def _rows_with(
    data: Any, rows: NDArray[np.bool_], how: str, random: np.random.Generator, columns: Sequence[str] | None
) -> Any:
    if not isinstance(data, Panel):
        replace = None if how == "left out" else partial(perturbed, how=how, random=random)
        return replace_rows(data, rows, replace, columns)
    if how == "left out":
        return data.select(~rows[data.offsets[:-1]])
    return with_other(data, rows, how, random)


def _seen(panel: Panel, cutoff: Any, tested: Any) -> NDArray[np.int64]:
    """Return the rows of each series that may be seen, (N,)."""
    if isinstance(cutoff, (int, np.integer)):
        seen = panel.rows_before(int(cutoff) + 1)
        if tested is not None and panel.kind == "none":  # recordings share no clock: the cutoff is a row of that one
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


def _array_with(array: NDArray[Any], cutoff: int, how: str, random: np.random.Generator) -> NDArray[Any]:
    if how == "cut off":
        return array[: cutoff + 1].copy()
    values = array.copy()
    later = values[cutoff + 1 :]
    values[cutoff + 1 :] = perturbed(later.reshape(len(later), -1), how, random).reshape(later.shape)
    return values
