"""Rows of services as JSON and as frames in the types that were fitted."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from tsforecast.data import frames
from tsforecast.data.panel import Panel
from tsforecast.data.series import DATES, Source
from tsforecast.data.zones import to_utc

SERIES_COLUMN = "series"  # names series where no column of the user's does
SERIES = 3  # of an example


def long(panel: Panel) -> Panel:
    """Return a panel with input and forecasts in long pandas frames."""
    source = panel.source
    name = source.id if source.form in ("frame", "series") else SERIES_COLUMN
    plain = replace(source, form="frame", backend="pandas", id=name, time_in_index=False, date_only=False)
    return replace(panel, source=replace(plain, types={}, levels=None, names={}, index=None, step=None))


def unnamed(panel: Panel) -> bool:
    """Return whether there is one series without an id column."""
    return len(panel) == 1 and panel.source.form in ("array", "arrays", "wide")


def as_dates(frame: pd.DataFrame, source: Source) -> pd.DataFrame:
    """Convert time stamps from text to the fitted type: with a zone whose clocks may change, or periods."""
    fixed = source.zone is None or re.match("UTC$|Etc/|[+-]", source.zone)  # perhaps of text with offsets, read as such
    time = source.time if source.period or not fixed else None
    if time is None or time not in frame or not pd.api.types.is_string_dtype(frame[time]):
        return frame
    if source.period:
        return frame.assign(**{time: pd.PeriodIndex(frame[time].astype(str), freq=source.period)})
    return frame.assign(**{time: pd.to_datetime(frame[time], utc=True).dt.tz_convert(source.zone)})


def as_fitted(frame: pd.DataFrame, panel: Panel) -> pd.DataFrame:
    """Return a frame in the types that were fitted, of which MLflow hands on the values alone."""
    source, types = panel.source, dict[str, Any]()
    if panel.values.dtype == np.float32:
        types |= dict.fromkeys(panel.roles.given.varying, "float32")
    if source.backend == "pandas":
        types |= {name: kind for name, kind in source.types.items() if kind != DATES}
    for name, kind in types.items():
        if name not in frame:
            continue
        if name == source.time and "string" not in kind and pd.api.types.is_string_dtype(frame[name]):
            continue  # it is read as text
        if str(kind).endswith("category"):
            if not frame[name].isin(source.levels or ()).all():  # a series that was not fitted
                continue
            kind = pd.CategoricalDtype(source.levels, kind.startswith("ordered"))
        with suppress(TypeError, ValueError):  # the values need a wider type
            frame = frame.assign(**{name: frame[name].astype(kind)})
    return frame


def as_text(frame: pd.DataFrame) -> pd.DataFrame:
    """Convert time stamps with a zone, and periods, to text."""
    strange = [name for name, kind in frame.dtypes.items() if isinstance(kind, (pd.DatetimeTZDtype, pd.PeriodDtype))]
    return frame.assign(**{name: [cell(stamp) for stamp in frame[name]] for name in strange})


def as_json(frame: pd.DataFrame) -> dict[str, Any]:
    """Return a frame as JSON for a service, with all digits of numbers."""
    columns = [[cell(value) for value in frame[name].tolist()] for name in frame]
    return {"columns": [str(name) for name in frame], "data": [list(row) for row in zip(*columns, strict=True)]}


def cell(value: Any) -> Any:
    """Return a value of a frame as JSON can hold it."""
    if pd.isna(value):
        return None
    return value.isoformat() if isinstance(value, date) else str(value) if isinstance(value, pd.Period) else value


def example_of(panel: Panel, steps: int, ahead: int) -> pd.DataFrame:
    """Return the end of the first series as a frame; targets and past columns of the last `ahead` rows are unknown."""
    given, source = panel.roles.given, panel.source
    chosen = [np.arange(max(0, length - steps - ahead), length) for length in panel.lengths[:SERIES].tolist()]
    owner, at = np.repeat(np.arange(len(chosen)), list(map(len, chosen))), np.concatenate(chosen)
    values = panel.values[panel.offsets[owner] + at, : len(given.varying)].astype(np.float64)
    values[at >= panel.lengths[owner] - ahead, : len(given.target) + len(given.past)] = np.nan
    columns = {name: panel.roles.texts(name, codes) for name, codes in zip(given.varying, values.T, strict=True)}
    columns |= {name: panel.statics[name][owner] for name in (*given.static, *([given.group] if given.group else []))}
    stamps = None if panel.kind == "none" else panel.stamps(owner, at)
    if stamps is not None and source.zone and source.wall_clock:
        stamps, source = to_utc(stamps, source.zone), replace(source, wall_clock=False)
    return as_text(frames.write(source, stamps, panel.kind, panel.ids, owner, columns))
