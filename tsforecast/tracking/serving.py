"""A fitted forecaster as a service: a long frame in, a long frame with forecasts out, whatever form was fitted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsforecast.data import frames
from tsforecast.data.calendar import to_utc
from tsforecast.data.frames import Source
from tsforecast.data.panel import Panel
from tsforecast.errors import DataError
from tsforecast.forecasters.base import Forecaster

SERIES_COLUMN = "series"  # names series where no column of the user's does
SERIES, LEAST, ROWS = 3, 12, 3  # of an example: series, steps, ready-made windows
# Kind of a numpy array -> type of a column in MLflow's words.
_TYPES = {"f": "double", "i": "long", "u": "long", "b": "boolean", "M": "datetime"}

Columns = tuple[tuple[str, str], ...]  # name and type


@dataclass(frozen=True, eq=False)
class Interface:
    """What a service takes and gives, as the fitted panel tells it.

    Attributes
    ----------
    inputs, outputs : tuple of (name, type)
        Columns of the frames; of ready-made windows none, which come as an array.
    example : pandas.DataFrame or array
        The end of the first few series; where columns are known ahead, the last `horizon` rows have no target.
    horizon : int
        Steps that are forecast unless asked otherwise.
    answer : array
        Of ready-made windows: the shape of what comes back.
    """

    inputs: Columns
    outputs: Columns
    example: Any
    horizon: int
    answer: NDArray[Any] | None = None

    @classmethod
    def of(cls, forecaster: Forecaster, data: Panel | None = None) -> Interface:
        """Return the interface of a fitted forecaster; `data` are those that were fitted, its own unless given."""
        panel, horizon = forecaster.panel_, forecaster.horizon_
        if panel.ready:
            fitted = panel if data is None else data
            rows = np.stack([fitted.series(i)[: -fitted.ready] for i in range(min(ROWS, len(fitted)))])  # (n, W, C)
            windows = rows[..., 0] if rows.shape[2] == 1 else rows
            return cls((), (), windows, horizon, np.asarray(forecaster.predict(windows)))
        unnamed, panel = _unnamed(panel), long(panel)
        ahead = horizon if panel.roles.given.future else 0
        window = getattr(forecaster, "resolved_", {}).get("window", 0)
        example = _example(panel, max(LEAST, window, 2 * panel.season_length), ahead)
        given = panel.roles.given
        if unnamed:
            example = example.drop(columns=SERIES_COLUMN)
        shown = [name for name in (panel.source.id, panel.source.time) if name in example]
        outputs = example[shown].assign(**dict.fromkeys(given.target, 0.0))
        return cls(_columns(example), _columns(outputs), example, horizon)


class Served:
    """Answers as `Forecaster.predict` does, in long frames that JSON can hold.

    Parameters
    ----------
    forecaster : Forecaster
        Its panel is read as a long frame from here on.
    """

    def __init__(self, forecaster: Forecaster) -> None:
        self.forecaster = forecaster
        self._unnamed = _unnamed(forecaster.panel_)
        if not forecaster.panel_.ready:
            forecaster.panel_ = long(forecaster.panel_)

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> Any:
        """Return forecasts of what follows.

        Parameters
        ----------
        model_input : pandas.DataFrame or array
            Series to go on from, in the columns that were fitted. Where columns are known ahead, rows at the end of
            each series that have no target tell them for the steps to forecast. An array where ready-made windows were
            fitted.
        params : dict, optional
            ``horizon``: steps to forecast.

        Raises
        ------
        DataError, ParameterError
        """
        forecaster, panel = self.forecaster, self.forecaster.panel_
        if panel.ready:
            return forecaster.predict(np.asarray(model_input))
        horizon = int((params or {}).get("horizon") or forecaster.horizon_)
        frame = as_dates(pd.DataFrame(model_input), panel.source)
        if self._unnamed:
            frame = frame.assign(**{SERIES_COLUMN: panel.ids[0]})
        context, future = _split(frame, panel)
        answer = as_text(forecaster.predict(context, future=future, horizon=horizon))
        return answer.drop(columns=SERIES_COLUMN) if self._unnamed else answer


def long(panel: Panel) -> Panel:
    """Return a panel whose data come, and whose forecasts go, as long pandas frames.

    Examples
    --------
    >>> long(Panel.of([[1.0, 2.0], [3.0, 4.0, 5.0]])).answer(np.array([[[3.0]], [[6.0]]])).values.tolist()
    [[0.0, 3.0], [1.0, 6.0]]
    """
    source = panel.source
    name = source.id if source.form in ("frame", "series") else SERIES_COLUMN
    plain = replace(source, form="frame", backend="pandas", id=name, time_in_index=False, date_only=False)
    return replace(panel, source=plain)


def _unnamed(panel: Panel) -> bool:
    """Tell whether there is one series, and no column of the user's that names it."""
    return len(panel) == 1 and panel.source.form in ("array", "arrays", "wide")


def as_dates(frame: pd.DataFrame, source: Source) -> pd.DataFrame:
    """Turn time stamps that JSON had to hold as text into what was fitted: of a zone, or periods."""
    time = source.time
    if time is None or time not in frame or not (source.zone or source.period):
        return frame
    if source.period:
        return frame.assign(**{time: pd.PeriodIndex(frame[time].astype(str), freq=source.period)})
    return frame.assign(**{time: pd.to_datetime(frame[time], utc=True).dt.tz_convert(source.zone)})


def as_text(frame: pd.DataFrame) -> pd.DataFrame:
    """Turn time stamps of a zone, and periods, into text."""
    strange = [name for name, kind in frame.dtypes.items() if isinstance(kind, (pd.DatetimeTZDtype, pd.PeriodDtype))]
    return frame.assign(**{name: [_iso(stamp) for stamp in frame[name]] for name in strange})


def as_json(frame: pd.DataFrame) -> dict[str, Any]:
    """Return a frame as a service reads it, numbers to their last digit.

    Examples
    --------
    >>> as_json(pd.DataFrame({"day": pd.to_datetime(["2024-01-31"]), "sales": [0.1]}))
    {'columns': ['day', 'sales'], 'data': [['2024-01-31T00:00:00', 0.1]]}
    """
    columns = [[_cell(value) for value in frame[name].tolist()] for name in frame]
    return {"columns": [str(name) for name in frame], "data": [list(row) for row in zip(*columns, strict=True)]}


def _cell(value: Any) -> Any:
    return _iso(value) if isinstance(value, (pd.Timestamp, pd.Period)) else None if value != value else value


def _iso(stamp: Any) -> str:
    return str(stamp.isoformat() if isinstance(stamp, pd.Timestamp) else stamp)


def _split(frame: pd.DataFrame, panel: Panel) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """Return the rows to go on from, and those that tell what is known ahead."""
    given = panel.roles.given
    if not given.future:
        return frame, None
    missing = [name for name in given.target if name not in frame]
    if missing:
        raise DataError(f"the frame must have the targets {given.target}: it lacks {missing}")
    told = frame[list(given.target)].notna().any(axis=1)
    groups = frame[panel.source.id] if panel.source.id else pd.Series(0, index=frame.index)
    later = ~told[::-1].groupby(groups[::-1], sort=False).cummax()[::-1]  # no number of a target from here on
    shown = [name for name in (panel.source.id, panel.source.time) if name]
    ahead = frame.loc[later, [*shown, *given.future]]
    return frame[~later], ahead if len(ahead) else None


def _example(panel: Panel, steps: int, ahead: int) -> pd.DataFrame:
    """Return the end of the first series as a frame; targets and past columns of the last `ahead` rows are unknown."""
    given, source = panel.roles.given, panel.source
    times, labels, blocks = [], [], []
    for i in range(min(SERIES, len(panel))):
        length = int(panel.lengths[i])
        at = np.arange(max(0, length - steps - ahead), length)
        block = panel.series(i)[at, : len(given.varying)].astype(np.float64)
        if ahead:
            block[-ahead:, : len(given.target) + len(given.past)] = np.nan
        times.append(panel.stamps(i, at))
        labels.append(np.full(len(at), i))
        blocks.append(block)
    owner, values = np.concatenate(labels), np.concatenate(blocks)
    columns = dict(zip(given.varying, values.T, strict=True))
    columns |= {name: panel.facts[name][owner] for name in (*given.static, *([given.group] if given.group else []))}
    stamps = None if panel.kind == "none" else np.concatenate(times)
    if stamps is not None and source.zone and source.wall_clock:
        stamps, source = to_utc(stamps, source.zone), replace(source, wall_clock=False)
    return as_text(frames.write(source, stamps, panel.kind, panel.ids, owner, columns))


def _columns(frame: pd.DataFrame) -> Columns:
    return tuple((str(name), _TYPES.get(getattr(kind, "kind", "O"), "string")) for name, kind in frame.dtypes.items())
