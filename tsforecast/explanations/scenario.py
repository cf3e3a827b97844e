"""Scenarios: forecasts with other covariates than the planned ones, next to the forecast for the plan."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tsforecast.data.context import Context
from tsforecast.data.panel import Panel
from tsforecast.data.zones import from_utc
from tsforecast.distributions.predictions import require_names_of_their_own, warn_unless_finite
from tsforecast.errors import DataWarning, Parameter, ParameterError, Part, Problem, nearest, raise_any

Floats = NDArray[np.float64]
SCENARIO, DIFFERENCE = "scenario", "difference"


class Forecaster(Protocol):
    """A fitted forecaster."""

    panel_: Panel

    def learned_rows(self) -> NDArray[np.int64]: ...
    def numbers(self, past: Context, horizon: int, levels: Mapping[str, float]) -> tuple[Floats, Floats]: ...
    def _cautions(self, past: Context) -> list[str]: ...


def compared(
    model: Forecaster, panel: Panel, planned: Panel, changes: Mapping[str, Any], levels: Mapping[str, float]
) -> Any:
    """Return forecasts after a panel as `planned`, which has the steps ahead as well, and with changes of that."""
    names = [DIFFERENCE, *(f"{DIFFERENCE}_{level}" for level in levels)]
    require_names_of_their_own(panel, [SCENARIO, *names], [])
    steps = int(planned.lengths[0] - panel.lengths[0])
    changed = _changed(model, panel, planned, steps, changes)
    reads = [False]

    def read() -> Panel:
        reads[0] = True
        return changed

    past = Context.at_end(panel, read)
    points, found = model.numbers(past, steps, levels)
    if not reads[0]:
        raise ParameterError(
            f"a scenario must have a model that reads columns known ahead: {type(model).__name__} forecasts the same "
            "whatever they hold; fit a network or a ReductionForecaster"
        )
    as_planned = Context.at_end(panel, lambda: planned)
    known = model._cautions(as_planned)  # which were given already
    for caution in model._cautions(past):
        if caution not in known:
            warnings.warn(caution, DataWarning, stacklevel=4)
    base, _ = model.numbers(as_planned, steps, {})
    difference = warn_unless_finite(points, 4) - warn_unless_finite(base, 4)
    if not difference.any() and not np.array_equal(changed.values, planned.values, equal_nan=True):
        warnings.warn(
            "the changes change no forecast: the model has learned nothing from these columns, as where it is the "
            "naive forecast",
            DataWarning,
            stacklevel=4,
        )
    place = {level: at for at, level in enumerate(sorted({*levels.values()}))}
    ends = [found[..., place[level]] - base for level in levels.values()]
    return panel.to_native(np.concatenate([base, points, difference, *ends], axis=2), ["", SCENARIO, *names])


def _changed(model: Forecaster, panel: Panel, planned: Panel, steps: int, changes: Mapping[str, Any]) -> Panel:
    """Return a panel whose steps ahead have the changes; ParameterError, with all problems, where they cannot be."""
    given, roles = planned.roles.given.future, planned.roles
    must = "must be a dict of columns that are known ahead, such as {'price': 8.5}"
    if not given:
        why = f"the data that were fitted have none{', but for the calendar' if roles.calendar else ''}"
        remedy = "name them with future= when the data are read"
        raise ParameterError(Problem("must be of columns that are known ahead", why, remedy, parameter="changes"))
    if not isinstance(changes, Mapping) or not changes:
        raise ParameterError(Problem(must, f"got {changes!r}", parameter="changes"))
    values, problems = planned.values.astype(np.float64), list[str]()
    rows = (planned.offsets[1:] - steps)[:, None] + np.arange(steps)  # (N, H)
    for name, change in changes.items():
        if name not in given:
            problems.append(_unknown(str(name), roles, given))
            continue
        column = roles.varying.index(name)
        own = values[rows, column]
        try:
            own = _of_column(planned, name, change, own, panel.lengths)
        except _Wrong as error:
            problems.append(Problem(_of(name, "must be what it can hold"), str(error)))
            continue
        if name not in roles.categories:
            problems += _far(model, name, own, own != values[rows, column])
        values[rows, column] = own
    raise_any(problems, ParameterError)
    return planned.with_values(values.astype(planned.values.dtype))


def _unknown(name: str, roles: Any, given: tuple[str, ...]) -> Problem:
    """Return the problem of a column that no scenario can change."""
    why = nearest(name, given)
    if name in roles.future:
        why = "the calendar is what it is"
    elif name in (*roles.past, *roles.target):
        why = "it is known up to the cutoff alone"
    return Problem("must be of columns that are known ahead", f"got {name!r}", why, parameter="changes")


class _Wrong(ValueError):
    """A change that cannot be made, in words."""


def _of_column(planned: Panel, name: str, change: Any, own: Floats, ends: NDArray[np.int64]) -> Floats:
    """Return the numbers of a column ahead, (N, H), with a change of them."""
    texts = planned.roles.categories.get(name)
    found = own.copy()
    if isinstance(change, Mapping):
        for time, value in change.items():
            found[_at(planned, time, own.shape[1], ends)] = _number(value, texts)
        return found
    if isinstance(change, str) or np.ndim(change) == 0:
        found[:] = _number(change, texts)
        return found
    each = np.asarray(change, dtype=object)
    if each.shape not in ((own.shape[1],), own.shape):
        wanted = f"({own.shape[1]},) or {own.shape}"
        raise _Wrong(f"an array must have a number for each step, of shape {wanted}: got {each.shape}")
    flat = [_number(value, texts) for value in np.broadcast_to(each, own.shape).ravel().tolist()]
    return np.array(flat).reshape(own.shape)


def _number(value: Any, texts: tuple[str, ...] | None) -> float:
    """Return a value as a number, that of its code where a column has texts."""
    if texts is not None:
        if str(value) not in texts:
            raise _Wrong(f"it had no text {value!r} so far; {nearest(value, texts)}")
        return float(texts.index(str(value)))
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = np.nan
    if not np.isfinite(number) or isinstance(value, str):
        raise _Wrong(f"the column has numbers, which must be finite: got {value!r}")
    return number


def _at(planned: Panel, time: Any, steps: int, ends: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which steps ahead are at a time, (N, H)."""
    ahead = np.arange(steps)
    if planned.kind == "none":
        at = np.broadcast_to(ahead + 1 == time, (len(ends), steps))
        first, last = "1", str(steps)
    else:
        stamps = planned.stamps(np.arange(len(ends))[:, None], ends[:, None] + ahead)
        at = stamps == _stamp(planned, time)
        first, last = planned.label(stamps.min()), planned.label(stamps.max())
    if not at.any():
        raise _Wrong(f"a time must be one of the steps ahead, from {first} to {last}: got {time!r}")
    return np.asarray(at)


def _stamp(planned: Panel, time: Any) -> int:
    """Return a time as the panel has it."""
    if planned.kind == "integer":
        try:
            return int(time)
        except (TypeError, ValueError) as error:
            raise _Wrong(f"a time must be a whole number, as in the data: got {time!r}") from error
    import pandas as pd

    try:
        moment = pd.Timestamp(time)
    except (TypeError, ValueError) as error:
        raise _Wrong(f"a time must be a date: got {time!r}") from error
    zone, local = planned.source.zone, planned.source.wall_clock
    if moment.tzinfo is not None:
        stamp = np.array([moment.tz_convert("UTC").tz_localize(None).as_unit("ns").value])
        return int((from_utc(stamp, zone) if zone and local else stamp)[0])
    if zone and not local:  # without a zone of its own it is a time on the clocks of the data
        moment = moment.tz_localize(zone, ambiguous=True, nonexistent="shift_forward").tz_convert("UTC")
        moment = moment.tz_localize(None)
    return int(moment.as_unit("ns").value)


def _far(model: Forecaster, name: str, numbers: Floats, changed: NDArray[np.bool_]) -> list[Problem]:
    """Return a problem where changed numbers lie further beyond those of training than as far again on both sides.

    There the preprocessing of networks holds covariates, so that they show nothing of what such numbers do.
    """
    fitted, trained = model.panel_, model.learned_rows()
    column = fitted.roles.varying.index(name)
    parts = [fitted.series(i)[: int(rows), column] for i, rows in enumerate(trained) if rows]
    learned = np.concatenate(parts) if parts else fitted.values[:, column]
    low, high = float(np.nanmin(learned)), float(np.nanmax(learned))
    least, most = low - (high - low), high + (high - low)
    wrong = changed & ((numbers < least) | (numbers > most))
    if not wrong.any():
        return []
    worst = numbers[wrong][np.argmax(np.maximum(least - numbers[wrong], numbers[wrong] - most))]
    must = _of(name, f"must lie between {least:.6g} and {most:.6g}")
    held = f"training had {low:.6g} to {high:.6g}" if high > low else f"training had {low:.6g} alone"
    got = f"got {worst:.6g} in {wrong.sum()} of {wrong.size} steps, and {held}"
    return [Problem(must, got, "nothing was learned so far away")]


def _of(name: str, must: str) -> tuple[Part, ...]:
    return Parameter("changes"), f" of {name!r} {must}"
