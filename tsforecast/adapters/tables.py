"""Tables between a panel and models of other software: contexts out, in two forms, and forecasts in, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsforecast.data import frames
from tsforecast.data.panel import Panel
from tsforecast.data.series import Roles
from tsforecast.data.zones import to_utc
from tsforecast.errors import DataError, counted, likewise, shorten

Floats = NDArray[np.float64]
ARRAYS = ("array", "arrays", "windows")  # forms of data without names


def as_given(panel: Panel) -> Any:
    """Return the rows of a panel in the form of the data that it was read from.

    A frame of the caller's library has the columns that the panel kept, under their names. Arrays have the number of
    dimensions that they had, a Series is one unless there are covariates, and a wide frame is wide.
    """
    source = panel.source
    if source.form in ARRAYS:
        parts = [panel.series(i).astype(np.float64) for i in range(len(panel))]
        parts = [part[:, 0] for part in parts] if source.ndim == 1 else parts
        return parts if source.form == "arrays" else np.stack(parts) if source.ndim == 3 else parts[0]
    if source.form == "wide":
        return _wide(panel)
    owner, steps = _places(panel)
    stamps = None if panel.kind == "none" else panel.stamps(owner, steps)
    return _written(panel, owner, stamps, _named(panel, panel.roles.varying, panel.values))


def future_as_given(panel: Panel, future: Floats) -> Any:
    """Return known future covariates (N, H, F) of the steps after each series in the form of the data, or None."""
    count, horizon, width = future.shape
    if not width:
        return None
    owner = np.repeat(np.arange(count), horizon)
    stamps = None if panel.kind == "none" else _ahead(panel, horizon).ravel()
    return _written(panel, owner, stamps, _named(panel, panel.roles.future, future.reshape(-1, width)))


def long(panel: Panel) -> pd.DataFrame:
    """Return a panel as a frame of pandas in the form that most libraries read.

    Columns ``unique_id`` (the position of the series, times the targets, plus that of the target), ``ds`` (dates on the
    regular clock of the panel, or whole numbers), ``y``, and past and future covariates by name, numbers or text. NaN
    stays.
    """
    owner, steps = _places(panel)
    times = times_of(panel, panel.stamps(owner, steps))
    parts = []
    for k in range(panel.n_targets):
        columns = {"unique_id": owner * panel.n_targets + k, "ds": times, "y": panel.values[:, k].astype(np.float64)}
        others = panel.roles.varying[panel.n_targets :]
        parts.append(pd.DataFrame(columns | _named(panel, others, panel.values[:, panel.n_targets :])))
    joined = parts[0] if len(parts) == 1 else pd.concat(parts)
    return joined.sort_values("unique_id", kind="stable", ignore_index=True)


def long_future(panel: Panel, future: Floats) -> pd.DataFrame:
    """Return the steps after each series and target as `long` does: ``unique_id``, ``ds`` and future covariates."""
    count, horizon, width = future.shape
    k = panel.n_targets
    times = times_of(panel, _ahead(panel, horizon))  # (N, H)
    columns = {"unique_id": np.repeat(np.arange(count * k), horizon), "ds": np.repeat(times, k, axis=0).ravel()}
    known = np.repeat(future, k, axis=0).reshape(count * k * horizon, width)
    return pd.DataFrame(columns | _named(panel, panel.roles.future if width else (), known))


def static(panel: Panel) -> pd.DataFrame | None:
    """Return the static columns with ``unique_id`` as in `long`; None where there are none."""
    if not panel.roles.static:
        return None
    columns = {name: np.repeat(panel.statics[name], panel.n_targets) for name in panel.roles.static}
    return pd.DataFrame({"unique_id": np.arange(len(panel) * panel.n_targets)} | columns)


def from_long(forecasts: NDArray[Any], panel: Panel) -> Floats:
    """Return forecasts of `long` series in their order, (N * K, H, ...), as (N, H, K, ...)."""
    split = np.asarray(forecasts, dtype=np.float64).reshape(len(panel), panel.n_targets, *forecasts.shape[1:])
    return np.moveaxis(split, 1, 2)


def times_of(panel: Panel, stamps: NDArray[np.int64]) -> NDArray[Any]:
    """Return stamps of a panel as dates, or as the whole numbers that they are."""
    return stamps.astype("datetime64[ns]") if panel.kind == "datetime" else stamps


def read_answer(answer: Any, panel: Panel, horizon: int, label: str) -> Floats:
    """Return forecasts of the H steps after each series as an array (N, H, K).

    `answer` is an array of that shape, (N, H) of one target, or without the axis of series where there is one; a dict
    of id to steps; or a frame with id and time as the data have them and the forecasts under the name of the target,
    or as the only column of numbers.

    Raises
    ------
    DataError
        With one sentence that begins with `label`, when the shape, an id or a time is not as asked, or a forecast is no
        finite number.
    """
    shape = len(panel), horizon, panel.n_targets
    if isinstance(answer, Mapping):
        answer = _of_mapping(answer, panel, label)
    if frames.is_frame(answer) and not _is_plain_series(answer):
        found = _of_frame(answer, panel, horizon, label)
    else:
        found = _of_array(answer, shape, label)
    wrong = ~np.isfinite(found)
    if wrong.any():
        i, step, _ = np.argwhere(wrong)[0]
        raise DataError(
            f"{label} must forecast finite numbers: {wrong.sum()} of {found.size} are not, the first in step "
            f"{step + 1} of series {str(panel.ids[i])!r}"
        )
    return found


def _of_array(answer: Any, shape: tuple[int, int, int], label: str) -> Floats:
    count, horizon, targets = shape
    wanted = f"an array of shape {(count, horizon)}" if targets == 1 else f"an array of shape {shape}"
    must = f"{label} must forecast {counted(horizon, 'step')} of {count} series, in {wanted} or a frame"
    if answer is None:
        raise DataError(f"{must}: it returned None")
    try:
        found = np.asarray(answer, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{must}: got {type(answer).__name__}, which holds no numbers of that shape") from error
    shapes = [shape, *([(count, horizon)] if targets == 1 else [])]
    shapes += [(horizon, targets), *([(horizon,)] if targets == 1 else [])] if count == 1 else []
    shapes += [()] if shape == (1, 1, 1) else []
    if found.shape not in shapes:
        raise DataError(f"{must}: got shape {found.shape}")
    return found.reshape(shape)


def _of_mapping(answer: Mapping[Any, Any], panel: Panel, label: str) -> list[Any]:
    ids = panel.ids.tolist()
    missing = [repr(str(name)) for name in ids if name not in answer]
    if missing:
        raise DataError(f"{label} must forecast every series: {shorten(missing)} of {len(ids)} series are missing")
    return [answer[name] for name in ids]


def _of_frame(answer: Any, panel: Panel, horizon: int, label: str) -> Floats:
    """Look up the forecasts of each series and step in a frame."""
    source, targets = panel.source, panel.roles.target
    columns = nw.from_native(answer, allow_series=True)
    names = [] if isinstance(columns, nw.Series) else [str(name) for name in columns.collect_schema().names()]
    wide = source.form == "wide" and set(map(str, panel.ids)) <= set(names)
    if wide:
        targets = tuple(map(str, panel.ids))
    roles = Roles(target=targets) if set(targets) <= set(names) else Roles()
    time = source.time if source.time in names else None
    id = source.id if source.id in names else None
    alone = id is None and (wide or len(panel) == 1)
    try:
        table = frames.read(answer, roles, time, id, alone, like=panel)
    except DataError as error:
        must = f"{label} must forecast a frame that can be read: "
        raise DataError([problem.within(must) for problem in error.problems]) from error
    if table.problems or len(table.roles.target) != len(targets):
        got = "; ".join(table.problems) or f"it has the columns {shorten(list(map(repr, names)), 8)}"
        raise DataError(f"{label} must forecast numbers of {', '.join(map(repr, targets))}: {got}")
    values = np.stack([table.columns[name] for name in table.roles.target], axis=1)  # (rows, K)
    rows = len(values)
    if wide:
        stamps = None if table.stamps is None else np.tile(table.stamps, len(panel))
        owner = np.repeat(np.arange(len(panel)), rows)
        return _placed(values.T.reshape(-1, 1), owner, _steps_of(stamps, owner, panel, horizon), panel, horizon, label)
    if table.codes is None and len(panel) > 1:
        raise DataError(
            f"{label} must name the series of each forecast: column {source.id!r} is missing in {rows} rows"
        )
    owner = np.zeros(rows, dtype=np.int64)
    if table.codes is not None and table.ids is not None:
        owner = pd.Index(list(map(str, panel.ids))).get_indexer(list(map(str, table.ids)))[table.codes]
    return _placed(values, owner, _steps_of(table.stamps, owner, panel, horizon), panel, horizon, label)


def _placed(
    values: Floats, owner: NDArray[np.int64], step: NDArray[np.int64], panel: Panel, horizon: int, label: str
) -> Floats:
    """Place rows by series and step, (N, H, K); refuse steps that are missing, twice or none of those asked for."""
    asked = f"{label} must forecast each of {counted(horizon, 'step')} after {len(panel)} series once"
    strange = int(((owner < 0) | (step < 0) | (step >= horizon)).sum())
    if strange:
        raise DataError(f"{asked}: {strange} of {len(values)} rows are of other times or series")
    place = owner * horizon + step
    count = np.bincount(place, minlength=len(panel) * horizon).reshape(-1, horizon)
    if (count > 1).any():
        i, at = np.argwhere(count > 1)[0]
        raise DataError(f"{asked}: step {at + 1} of series {str(panel.ids[i])!r} is there {count[i, at]} times")
    if (count < 1).any():
        lacking = np.argwhere(count < 1)
        i, at = lacking[0]
        more = likewise(lacking[:, 0], len(panel))
        raise DataError(f"{asked}: step {at + 1} of series {str(panel.ids[i])!r} is missing{more}")
    found = np.empty((len(panel) * horizon, values.shape[1]))
    found[place] = values
    return found.reshape(len(panel), horizon, -1)


def _steps_of(
    stamps: NDArray[np.int64] | None, owner: NDArray[np.int64], panel: Panel, horizon: int
) -> NDArray[np.int64]:
    """Return which step after its series each stamp is, from 0; -1 for none. Rows without stamps are in order."""
    if stamps is None:
        return np.asarray(pd.Series(owner).groupby(owner).cumcount())
    ahead = _ahead(panel, horizon)
    keys = pd.MultiIndex.from_arrays([np.repeat(np.arange(len(panel)), horizon), ahead.ravel()])
    place = keys.get_indexer(pd.MultiIndex.from_arrays([owner, stamps]))
    return np.where(place < 0, -1, place % horizon)


def _is_plain_series(answer: Any) -> bool:
    """Return whether an answer is a Series without dates in its index: no more than its numbers in order."""
    return frames.is_series(answer) and not isinstance(
        getattr(answer, "index", None), (pd.DatetimeIndex, pd.PeriodIndex)
    )


def _named(panel: Panel, names: tuple[str, ...], values: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Return columns (rows, C) by name, text where their codes stand for it."""
    columns = values.astype(np.float64).T
    return {name: panel.roles.texts(name, column) for name, column in zip(names, columns, strict=True)}


def _places(panel: Panel) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return series and step of each row."""
    owner = np.repeat(np.arange(len(panel)), panel.lengths)
    return owner, np.arange(len(owner)) - np.repeat(panel.offsets[:-1], panel.lengths)


def _ahead(panel: Panel, horizon: int) -> NDArray[np.int64]:
    """Return the stamps of the steps after each series, (N, H)."""
    return panel.stamps(np.arange(len(panel))[:, None], panel.lengths[:, None] + np.arange(horizon))


def _written(
    panel: Panel, owner: NDArray[np.int64], stamps: NDArray[np.int64] | None, columns: dict[str, NDArray[Any]]
) -> Any:
    """Return rows as a frame, or a Series, of the caller's library, with static columns."""
    source = panel.source
    if source.zone and source.wall_clock and stamps is not None:
        stamps, source = to_utc(stamps, source.zone), replace(source, wall_clock=False)
    known = (source.id, source.time, *columns)
    columns = columns | {name: fact[owner] for name, fact in panel.statics.items() if name not in known}
    if source.form == "series" and list(columns) != list(panel.roles.target):
        unnamed = {name for name, own in source.names.items() if own is None}
        source = replace(source, form="frame", names={k: v for k, v in source.names.items() if k not in unnamed})
    return frames.write(source, stamps, panel.kind, panel.ids, owner, columns)


def _wide(panel: Panel) -> Any:
    """Return a wide frame, a column for each series; NaN where a series has no row."""
    rows = panel.firsts - panel.firsts.min()
    table = np.full((int((rows + panel.lengths).max()), len(panel)), np.nan)
    for i, first in enumerate(rows):
        table[first : first + panel.lengths[i], i] = panel.series(i)[:, 0]
    columns = dict(zip(map(str, panel.ids), table.T, strict=True))
    earliest = int(panel.firsts.argmin())
    stamps = None if panel.kind == "none" else panel.stamps(earliest, np.arange(len(table)))
    source = panel.source
    if source.zone and source.wall_clock and stamps is not None:
        stamps, source = to_utc(stamps, source.zone), replace(source, wall_clock=False)
    return frames.write(source, stamps, panel.kind, panel.ids, np.empty(0, dtype=np.int64), columns)
