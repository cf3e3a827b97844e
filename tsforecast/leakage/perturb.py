"""Perturbed copies of panels, frames and arrays: equal to the original except in rows that must not be seen."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
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
REPLACEMENTS = ("other values", "NaN", "infinities", "shuffled")
REPEATED = "repeated past"
# For procedures, whose limits and neighbours are not seen: a limit that is above all values is lowered by low ones
# alone, a spread that lets everything through is narrowed by equal ones alone, and windows that are far from the last
# one come near by a repetition of the past.
FOR_PROCEDURES = ("higher values", "lower values", "equal values", REPEATED)
REMOVALS = ("cut off", "left out")
LARGER_VALUES = "larger values"  # for what may hide in noise or rounding: a leak grows with the values, noise does not
LARGER = 1e6  # times
LATER = "rows after the cutoff"


def perturb(rows: Floats, how: str, random: np.random.Generator) -> Floats:
    """Return other numbers in the place of rows of shape (n, C); `how` is one of REPLACEMENTS or FOR_PROCEDURES."""
    if how == "NaN":
        return np.full_like(rows, np.nan)
    if how == "infinities":
        return np.where(np.indices(rows.shape).sum(axis=0) % 2, -np.inf, np.inf)
    if how == "shuffled":
        shuffled = random.permutation(rows)
        return shuffled[::-1] if np.array_equal(shuffled, rows, equal_nan=rows.dtype.kind == "f") else shuffled
    if how == "equal values":
        return _equal(rows)
    if how not in ("other values", LARGER_VALUES, *FOR_PROCEDURES[:2]):
        raise ValueError(f"rows are replaced by one of {', '.join((*REPLACEMENTS, *FOR_PROCEDURES))}: got {how!r}")
    size = np.abs(np.nan_to_num(rows)).max(axis=0, initial=0.0)
    size = np.where(size > 0, size, 1.0) * (LARGER if how == LARGER_VALUES else 1.0)
    signs = {"higher values": 1.0, "lower values": -1.0}
    sign = signs[how] if how in signs else random.choice([-1.0, 1.0], rows.shape)
    return np.asarray(10 * size * sign * random.uniform(1, 2, rows.shape))


def replaced(values: Floats, at: Mask, how: str, random: np.random.Generator) -> Floats:
    """Return values of shape (rows, C) with other numbers in the rows of a mask; see `perturb`.

    Examples
    --------
    >>> at = np.array([False, False, False, True, True, True, True])
    >>> replaced(np.arange(7.0)[:, None], at, REPEATED, np.random.default_rng(0)).ravel()
    array([0., 1., 2., 1., 2., 1., 2.])
    """
    values = values.copy()
    if how != REPEATED:
        values[at] = perturb(values[at], how, random)
        return values
    kept, places = np.flatnonzero(~at), np.flatnonzero(at)
    for block in np.split(places, np.flatnonzero(np.diff(places) > 1) + 1):  # each series has one
        rows, before = (len(block) + 1) // 2, int(np.searchsorted(kept, block[:1]).sum())
        source = kept[max(0, before - rows) : before] if before else kept[:rows]
        if len(source):
            values[block] = values[np.resize(source, len(block))]
    return values


def _equal(rows: Floats) -> Floats:
    """Return the median of each column in all rows, or half of it where it is there already."""
    if not len(rows):
        return rows
    known = np.where(np.isfinite(rows), rows, np.nan)
    known = np.where(np.isnan(known).all(axis=0), 1.0, known)
    level = np.nanmedian(known, axis=0)
    level = np.where((rows == level).all(axis=0), np.where(level == 0, 1.0, level / 2), level)
    return np.broadcast_to(level, rows.shape).astype(rows.dtype)


def as_floats(data: Any, columns: Sequence[str] | None = None) -> Any:
    """Return the data with numbers as floats, like their perturbed copies: the type must not make a difference."""
    if isinstance(data, Panel):
        return data
    if frames.is_frame(data):
        return perturbed_frame(data, None, "", np.random.default_rng(0), columns)
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
    data: Any, later: Any, hows: Sequence[str], columns: Sequence[str] | None = None
) -> Iterator[tuple[str, Any]]:
    """Yield copies of what `as_floats` returned that differ in rows after the cutoff, each with its name.

    `later` is what `after_cutoff` returned.
    """
    random = np.random.default_rng(0)
    if isinstance(data, Panel):
        # Future covariates stay: only the procedure defines how many of their steps are known.
        yield from perturbed_panels(data, later, data.clock_end, hows)
        return
    for how in hows:
        if frames.is_frame(data):
            yield f"{LATER}: {how}", perturbed_frame(data, later, how, random, columns)
        elif isinstance(data, list):
            yield f"{LATER}: {how}", [perturbed_rows(array, later, how, random) for array in data]
        else:
            yield f"{LATER}: {how}", perturbed_rows(data, later, how, random)


def after_cutoff(
    data: Any, cutoff: Any, time: str | None = None, id: str | None = None, tested: Any = None, free: Sequence[str] = ()
) -> Any:
    """Return which rows of data lie after the cutoff.

    Of a panel the numbers of rows that may be seen, (N,); of a frame a mask, (rows,); of arrays the first such row.
    Columns that are `free` cannot be time.
    """
    if isinstance(data, Panel):
        return _rows_seen(data, cutoff, tested)
    if frames.is_frame(data):
        return later_rows(data, cutoff, time, None if id is None else column(data, id), tested, {*free, id})
    longest = max((len(array) for array in (data if isinstance(data, list) else [data])), default=0)
    if not isinstance(cutoff, (int, np.integer)) or not 0 <= cutoff < longest - 1:
        raise DataError(
            f"the cutoff must be the number of a row, with rows on both sides: got {cutoff!r} for {longest} rows"
        )
    return int(cutoff) + 1


def counts_steps(values: NDArray[Any]) -> bool:
    """Return whether numbers count steps: of one series, of several below each other, or of several step by step.

    Examples
    --------
    >>> counts_steps(np.array([3, 4, 5, 3, 4])), counts_steps(np.array([3, 3, 4, 4, 5, 5])), counts_steps(np.ones(9))
    (True, True, False)
    """
    if values.dtype.kind not in "iu" or len(np.unique(values)) < 3:
        return False
    steps, moves = np.diff(np.unique(values)), np.diff(values.astype(np.int64))
    one_by_one = (moves[moves > 0] == steps[0]).all() and moves.all()
    return bool((steps == steps[0]).all() and ((moves >= 0).all() or one_by_one))


def perturbed_groups(
    data: Any, tested: Any, hows: Sequence[str], id: str | None, group: str | None, columns: Sequence[str] | None
) -> Iterator[tuple[str, Any]]:
    """Yield copies of frames or panels that differ in series too close to the tested one, each with its name.

    These are the other series of its group, and series of other groups that equal one of its group. Without a group
    each series is its own.
    """
    if isinstance(data, Panel):
        names, values = np.repeat(data.ids, data.lengths), data.values[:, : data.n_targets]
        owners = names if data.groups is None else np.repeat(data.groups, data.lengths)
    elif id is None or not frames.is_frame(data):
        raise DataError("a series that is tested needs a Panel, or a frame with id=..., the column that names series")
    else:
        names = column(data, str(id))
        owners = names if group is None else column(data, group)
        values = np.stack([column(data, name).astype(np.float64) for name in replaceable(data, columns)], axis=1)
    if not (names == tested).any():
        raise DataError(
            f"the series that is tested must exist: {tested!r} does not; {nearest(tested, sorted({*names.tolist()}))}"
        )
    own = owners == owners[names == tested][0]
    kept = {values[names == name].tobytes() for name in set(names[own])}
    copied = [name for name in set(names[~own]) if values[names == name].tobytes() in kept]
    others, copies = own & (names != tested), np.isin(names, copied)
    if not others.any() and not copies.any():
        raise DataError(
            f"there is nothing to change: series {tested!r} is the only one of its group, and none of another group "
            "equals it"
        )
    random = np.random.default_rng(0)
    changed = perturb_panel if isinstance(data, Panel) else partial(perturbed_frame, columns=columns)
    if others.any():
        for how in hows:
            yield f"other series of the tested group: {how}", changed(data, others, how, random)
    if copies.any() and "left out" in hows:
        yield "copies of a tested series: left out", changed(data, copies, "left out", random)


def perturbed_rows(rows: Any, first: int, how: str, random: np.random.Generator) -> Any:
    """Return an array, or a list of recordings, that differs from row `first` on."""
    if how == "cut off":
        return rows[:first].copy()
    if isinstance(rows, list):
        return rows[:first] + [perturbed_rows(recording, 0, how, random) for recording in rows[first:]]
    return replaced(rows.reshape(len(rows), -1), np.arange(len(rows)) >= first, how, random).reshape(rows.shape)


# Panels ---------------------------------------------------------------------------------------------------------


def rows_from(panel: Panel, first: NDArray[np.int64]) -> Mask:
    """Return which rows of a panel are the ``first[i]``-th of their series i or later ones, shape (rows,)."""
    before = np.minimum(first, panel.lengths)
    counts = np.stack([before, panel.lengths - before], axis=1)
    return np.repeat(np.arange(counts.size) % 2 == 1, counts.ravel())


def perturb_panel(panel: Panel, hidden: Mask, how: str, random: np.random.Generator) -> Panel:
    """Return a panel with other numbers in hidden rows, (rows,) or (rows, C), or without the series that are hidden."""
    if how == "left out":
        return panel.select(~hidden[panel.offsets[:-1]])
    return replace(panel, values=_perturbed(panel.values, hidden, how, random))


def _perturbed(values: NDArray[Any], hidden: Mask, how: str, random: np.random.Generator) -> NDArray[Any]:
    """Return values (rows, C) with other numbers in hidden rows, (rows,) or (rows, C)."""
    values, hidden = values.copy(), np.broadcast_to(hidden.reshape(len(hidden), -1), values.shape)
    for column in range(values.shape[1]):
        if how == REPEATED:
            part = values[:, column : column + 1].astype(np.float64)
            values[:, column] = replaced(part, hidden[:, column], how, random)[:, 0]
        else:
            at = np.flatnonzero(hidden[:, column])
            values[at, column] = perturb(values[at, column, None].astype(np.float64), how, random)[:, 0]
    return values


def perturbed_panels(
    panel: Panel,
    seen: NDArray[np.int64],
    horizon: int,
    hows: Sequence[str] = (*REPLACEMENTS, "cut off"),
    in_turn: bool = False,
) -> Iterator[tuple[str, Panel]]:
    """Yield panels that differ in rows that must not be seen, each with its name.

    Of each series the first `seen` rows, (N,), stay; future covariates are perturbed beyond the horizon only. Series
    have one of the replacements each, `in_turn`, all in one panel; or all have the same, in a panel for each.
    """
    random, seen = np.random.default_rng(0), np.minimum(seen, panel.lengths)
    known = len(panel.roles.varying) - len(panel.roles.future)
    hidden = np.empty(panel.values.shape, dtype=np.bool_)
    hidden[:, :known] = rows_from(panel, seen)[:, None]
    hidden[:, known:] = rows_from(panel, seen + horizon)[:, None]
    if in_turn:
        values, at = panel.values.copy(), np.flatnonzero(hidden.any(axis=1))
        from_end = len(panel) - np.searchsorted(panel.offsets, at, side="right")  # of each row's series; the last: 0
        for number, how in enumerate(REPLACEMENTS):
            mine = at[from_end % len(REPLACEMENTS) == number]
            values[mine] = _perturbed(values[mine], hidden[mine], how, random)
        yield f"{LATER}: {' or '.join(REPLACEMENTS)}, by series", replace(panel, values=values)
    for how in hows:
        if how != "cut off" and not in_turn:
            yield f"{LATER}: {how}", perturb_panel(panel, hidden, how, random)
    if "other values" not in hows:
        return
    if len(panel) > 1 and not in_turn:
        last = hidden.copy()
        last[: panel.offsets[-2]] = False
        yield f"{LATER} of one series: other values", perturb_panel(panel, last, "other values", random)
    if panel.roles.past:
        past = hidden.copy()
        past[:, : panel.n_targets] = past[:, known:] = False
        yield "past columns after the cutoff: other values", perturb_panel(panel, past, "other values", random)
    if "cut off" in hows and not panel.roles.future:  # those are needed for the steps to forecast
        yield f"{LATER}: cut off", panel.until(np.maximum(seen, 1))


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


def perturbed_frame(
    data: Any, rows: Mask | None, how: str, random: np.random.Generator, columns: Sequence[str] | None = None
) -> Any:
    """Return a frame or series of the same library with other numbers in some rows, or without those rows.

    Numbers come back as floats, replaced or not, so that all copies of one frame have the same types.
    """
    if frames.is_series(data):
        series = nw.from_native(data, series_only=True)
        framed = series.alias("y").to_frame().to_native()
        changed = nw.from_native(perturbed_frame(framed, rows, how, random, ["y"]), eager_only=True)["y"]
        return changed.to_native().rename(series.name)
    frame, names = _eager(data), replaceable(data) if columns is None else list(columns)
    values = np.stack([frame[name].to_numpy().astype(np.float64) for name in names], axis=1)
    if rows is not None and how not in REMOVALS:
        values = replaced(values, rows, how, random)
    # A column of float32 stays one: results must not change with its type.
    types = [np.float32 if frame[name].dtype == nw.Float32 else np.float64 for name in names]
    floats: dict[str, Any] = {name: values[:, i].astype(types[i]) for i, name in enumerate(names)}
    native = frame.to_native()
    if nw.dependencies.is_pandas_dataframe(native):
        copy: Any = nw.from_native(native.assign(**floats))
    else:
        backend = frame.implementation
        copy = frame.with_columns(*[nw.new_series(name, item, backend=backend) for name, item in floats.items()])
    if rows is not None and how in REMOVALS:
        copy = copy.filter((~rows).tolist())
    return (copy.lazy() if isinstance(nw.from_native(data), nw.LazyFrame) else copy).to_native()


def replaceable(
    data: Any, columns: Sequence[str] | None = None, time: str | None = None, names: Sequence[str | None] = ()
) -> list[str]:
    """Return the columns of a frame whose numbers an audit perturbs: neither its time nor the `names` of series.

    Unless named, columns that may name series or count steps are left: perturbing them would make no sense.
    """
    frame, named = _eager(data), sorted(set(columns or ()))
    missing = [name for name in named if name not in frame.columns]
    raise_any(f"column {name!r} does not exist; {nearest(name, frame.columns)}" for name in missing)
    taken = {*names, time or guess_time(frame, ())}
    found = [name for name in columns or frame.columns if name not in taken and frame[name].dtype.is_numeric()]
    raise_any(
        f"column {name!r} must hold numbers to be replaced: it holds {frame[name].dtype}"
        for name in named
        if name not in found
    )
    values = {name: frame[name].to_numpy() for name in found}
    found = [name for name in found if columns or not (names_series(values[name]) or counts_up(values[name]))]
    if not found:
        raise DataError("there must be a column of numbers to replace: name it with columns=...")
    return found


def unperturbed(data: Any, replaced: Sequence[str], time: str | None, names: Sequence[str | None]) -> str:
    """Name the other columns of a frame: text, flags, numbers that may name series or count steps."""
    frame = _eager(data)
    known = {*replaced, *names, time or guess_time(frame, ())}
    return ", ".join(repr(name) for name in sorted(set(frame.columns) - known))


def column(data: Any, name: str) -> NDArray[Any]:
    """Return a column of a frame."""
    frame = _eager(data)
    raise_any([f"column {name!r} does not exist; {nearest(name, frame.columns)}"] if name not in frame.columns else [])
    return np.asarray(frame[name].to_numpy())


def later_rows(
    data: Any, cutoff: Any, time: str | None, series: NDArray[Any] | None, tested: Any, free: Collection[Any]
) -> Mask:
    """Return a mask of the rows of a frame or series after the cutoff, (rows,).

    The cutoff is compared with the time column or the pandas index. Where there is neither it is the number of a row:
    in each series, where the `series` of each row, (rows,), is given, or in the one that is `tested` alone.
    """
    import pandas as pd

    stamps = _stamps(data, time)
    if stamps is not None:
        later = _after(stamps, cutoff)
    elif not isinstance(cutoff, (int, np.integer)):
        raise DataError(f"without a column of dates the cutoff must be the number of a row: got {cutoff!r}")
    else:
        rows = pd.Series(np.zeros(len(_eager(data)), dtype=np.int64) if series is None else series)
        own = np.ones(len(rows), dtype=np.bool_) if tested is None else np.asarray(rows == tested)
        later = own & np.asarray(rows.groupby(rows, sort=False).cumcount() > cutoff)
        _require_one_reading(data, cutoff, later, own, free)
    if not later.any() or later.all():
        raise DataError(
            f"the cutoff must leave rows on both sides: {later.sum()} of {len(later)} are later than {cutoff!r}"
        )
    return np.asarray(later)


def _require_one_reading(data: Any, cutoff: Any, later: Mask, own: Mask, free: Collection[Any]) -> None:
    """Refuse a number as cutoff where a column counts steps, and the cutoff in it hides other rows."""
    frame = _eager(data)
    for name in [] if frames.is_series(data) else [name for name in frame.columns if name not in free]:
        values = frame[name].to_numpy()
        if counts_steps(values) and not np.array_equal((values > cutoff)[own], later[own]):
            raise DataError(
                f"the cutoff must be clear: {cutoff!r} may be the number of a row or a value of {name!r}, which counts "
                f"steps; pass time={name!r}, or as time= a column that numbers the rows"
            )


def _after(stamps: Any, cutoff: Any) -> Mask:
    """Return which stamps are later than the cutoff, in the time zone of the data."""
    import pandas as pd

    if isinstance(stamps, pd.PeriodIndex):
        stamps = stamps.to_timestamp()
    elif stamps.dtype.kind not in "iufM" and not isinstance(stamps, pd.DatetimeIndex):
        stamps = pd.to_datetime(stamps)
    if stamps.dtype.kind in "iuf":
        if not isinstance(cutoff, (int, float, np.number)):
            raise DataError(f"the cutoff must be a number, since time holds numbers ({stamps[0]} ...): got {cutoff!r}")
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


def _stamps(data: Any, time: str | None) -> Any:
    """Return the time of each row, from its column, the index or the only column of dates; None where none is."""
    import pandas as pd

    if time is not None:
        column(data, time)
        return pd.Index(_eager(data)[time].to_pandas())

    index = getattr(data, "index", None)
    if isinstance(index, pd.MultiIndex):
        return index.get_level_values(-1)
    if isinstance(index, (pd.DatetimeIndex, pd.PeriodIndex)):
        return index
    if frames.is_series(data):
        return None
    frame = _eager(data)
    time = guess_time(frame, ())
    return None if time is None else pd.Index(frame[time].to_pandas())


def _eager(data: Any) -> Any:
    """Return a frame or series of narwhals, collected."""
    frame = nw.from_native(data, allow_series=True)
    return frame.collect() if isinstance(frame, nw.LazyFrame) else frame
