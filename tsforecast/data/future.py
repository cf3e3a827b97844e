"""What is known ahead: the rows after each series, with the future columns filled in and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.data import frames
from tsforecast.data.calendar import Stamps, calendar_features, from_utc, to_utc
from tsforecast.data.frames import Roles, Source
from tsforecast.data.panel import Panel
from tsforecast.errors import DataError, raise_any

MAX_LISTED = 10


def extend(panel: Panel, horizon: int, future: Any = None) -> Panel:
    """Return a panel with `horizon` more rows per series in which only what is known ahead is filled in.

    Parameters
    ----------
    panel : Panel
    horizon : int
    future : frame, optional
        The future columns of the steps after each series, with the time and id columns of the data;
        without a time axis, exactly `horizon` rows for each series, in the panel's order.

    Raises
    ------
    DataError
        When a future column or a date of it is missing.
    """
    given = panel.roles.given.future
    if not panel.roles.future:
        if future is not None:
            raise DataError("the panel has no future columns: name them with future=... when the data are read")
        return panel
    columns, count = panel.values.shape[1], len(panel)
    ahead = np.full((count, horizon, columns), np.nan)
    steps = panel.lengths[:, None] + np.arange(horizon)  # (N, H)
    stamps = panel.frequency.advance(panel.starts[:, None], steps)
    at = len(panel.roles.varying) - len(panel.roles.future)
    if given:
        ahead[..., at : at + len(given)] = _known(panel, stamps, future)
    if panel.roles.calendar:
        features = calendar_features(stamps.ravel(), panel.roles.calendar, panel.local_zone)
        ahead[..., at + len(given) :] = features.reshape(count, horizon, -1)
    parts = [part for i in range(count) for part in (panel.series(i), ahead[i])]
    return replace(
        panel, values=np.concatenate(parts), offsets=panel.offsets + horizon * np.arange(count + 1), notes=panel.notes
    )


def _on_the_clock_of(source: Source, stamps: Stamps, given: Source) -> Stamps:
    """Return the stamps of a frame that was read as `given` in the way those of `source` are kept."""
    if bool(source.zone) != bool(given.zone):
        has, other = (f"the zone {source.zone}", "no zone") if source.zone else ("no zone", f"the zone {given.zone}")
        raise DataError(
            f"future= must have time stamps like those of the data, which have {has}: got {other}; localize or convert "
            "them first"
        )
    if not source.zone or not given.zone or (source.zone, source.wall_clock) == (given.zone, given.wall_clock):
        return stamps
    utc = to_utc(stamps, given.zone) if given.wall_clock else stamps
    return from_utc(utc, source.zone) if source.wall_clock else utc


def _known(panel: Panel, stamps: NDArray[np.int64], future: Any) -> NDArray[np.float64]:
    """Look the future columns up for each series and stamp, shape (N, H, F)."""
    names = panel.roles.given.future
    quoted = ", ".join(repr(name) for name in names)
    count, horizon = stamps.shape
    if future is None:
        raise DataError(
            f"future columns {quoted} must be known for the {horizon} steps after each series: nothing was given; "
            f"pass future=, a frame from {panel.label(stamps[0, 0])} to {panel.label(stamps[0, -1])}"
        )
    source = panel.source
    alone = source.id is None
    table = frames.read(future, Roles(future=names), source.time, source.id, one_series=alone, targets="none")
    values = np.stack([table.columns[name] for name in names], axis=1)  # (rows, F)
    raise_any(
        f"future column {name!r} must hold finite numbers: row {int(np.isinf(column).argmax())} of future= holds "
        f"{column[np.isinf(column)][0]}; correct it"
        for name, column in zip(names, values.T, strict=True)
        if np.isinf(column).any()
    )
    if table.stamps is None:
        if len(values) != count * horizon:
            raise DataError(f"future= must have {horizon} rows for each of {count} series: got {len(values)} rows")
        known: NDArray[np.float64] = values.reshape(count, horizon, -1)
        raise_any(_gaps(panel, known, stamps))
        return known
    import pandas as pd

    labels = np.repeat(panel.ids[:1], len(values)) if table.labels is None else table.labels
    given = pd.MultiIndex.from_arrays([labels, _on_the_clock_of(source, table.stamps, table.source)])
    wanted = pd.MultiIndex.from_arrays([np.repeat(panel.ids, horizon), stamps.ravel()])
    place = given.get_indexer(wanted) if given.is_unique else None
    if place is None:
        raise DataError("future= must have each time stamp of a series once: some occur twice; drop the extra rows")
    known = values[place].reshape(count, horizon, -1)
    missing = (place < 0).reshape(count, horizon)
    problems = []
    for i in np.flatnonzero(missing.sum(axis=1))[:MAX_LISTED]:
        since = panel.label(int(stamps[i, missing[i].argmax()]))
        problems.append(
            f"future columns {quoted} must be known for the {horizon} steps after each series: series "
            f"{str(panel.ids[i])!r} lacks {missing[i].sum()}, from {since} on; add them to future="
        )
    known[missing] = 0  # said already
    raise_any(problems + _gaps(panel, known, stamps))
    return known


def _gaps(panel: Panel, known: NDArray[np.float64], stamps: NDArray[np.int64]) -> list[str]:
    """Return where future columns that were given, shape (N, H, F), are no numbers."""
    problems = []
    for at, name in enumerate(panel.roles.given.future):
        wrong = ~np.isfinite(known[..., at])  # (N, H)
        for i in np.flatnonzero(wrong.any(axis=1))[:MAX_LISTED]:
            first = int(wrong[i].argmax())
            where = panel.label(int(stamps[i, first])) if panel.kind != "none" else f"row {i * wrong.shape[1] + first}"
            problems.append(
                f"future column {name!r} must be complete in future=: series {str(panel.ids[i])!r} has "
                f"{wrong[i].sum()} NaN or infinite values, first at {where}; replace them by numbers"
            )
    return problems
