"""Probes: twins of the data, that differ from the given ones in nothing but what must not be seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.data import frames, twins
from tsforecast.data.panel import Panel
from tsforecast.errors import DataError, nearest

Floats = NDArray[np.float64]
REPLACEMENTS = ("other values", "NaN", "infinities", "shuffled")


def replaced(rows: Floats, how: str, random: np.random.Generator) -> Floats:
    """Return other numbers in the place of rows of shape (n, C).

    Parameters
    ----------
    how : {"other values", "NaN", "infinities", "shuffled"}

    Examples
    --------
    >>> replaced(np.array([[1.0], [2.0]]), "infinities", np.random.default_rng(0)).ravel().tolist()
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
        values[at, column] = replaced(values[at, column : column + 1].astype(np.float64), how, random)[:, 0]
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
        return twins.replace_rows(data, None, lambda rows: rows, columns)
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
        series = None if id is None else twins.column(data, id)
        later = twins.later_than(data, cutoff, series, tested)
        for how in REPLACEMENTS:
            other = twins.replace_rows(data, later, partial(replaced, how=how, random=random), columns)
            yield f"rows after the cutoff: {how}", other
        if columns is None:
            yield "rows after the cutoff: cut off", twins.replace_rows(data, later, None)
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
    names = twins.column(data, str(id))
    numbers = [name for name in twins.replaceable(data, columns) if name not in (id, group)]
    values = np.stack([twins.column(data, name).astype(np.float64) for name in numbers], axis=1)
    return names, names if group is None else twins.column(data, group), values


def _rows_with(
    data: Any, rows: NDArray[np.bool_], how: str, random: np.random.Generator, columns: Sequence[str] | None
) -> Any:
    if not isinstance(data, Panel):
        replace = None if how == "left out" else partial(replaced, how=how, random=random)
        return twins.replace_rows(data, rows, replace, columns)
    if how == "left out":
        return data.select(~rows[data.offsets[:-1]])
    return with_other(data, rows, how, random)


def _seen(panel: Panel, cutoff: Any, tested: Any) -> NDArray[np.int64]:
    """Return the rows of each series that may be seen, (N,)."""
    if isinstance(cutoff, (int, np.integer)):
        seen = panel.seen(int(cutoff) + 1)
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
    values[cutoff + 1 :] = replaced(later.reshape(len(later), -1), how, random).reshape(later.shape)
    return values
