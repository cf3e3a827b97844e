"""Models behind a service: each request is read alone; forecasts of several are computed in one pass."""

from __future__ import annotations

import copy
import json
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsforecast.checks import whole
from tsforecast.data.context import Context
from tsforecast.data.panel import Panel
from tsforecast.data.samples import SupervisedPanel
from tsforecast.distributions.predictions import asked_levels, warn_unless_finite, warn_where_still, with_levels
from tsforecast.errors import ParameterError, TsForecastError, counted, nearest, raise_any, reason
from tsforecast.estimators.registry import model_name
from tsforecast.forecasters.base import Forecaster
from tsforecast.forecasters.meta.conformal import ConformalForecaster
from tsforecast.forecasters.meta.ensemble import EnsembleForecaster
from tsforecast.forecasters.naive import DriftForecaster, MeanForecaster, NaiveForecaster, SeasonalNaiveForecaster
from tsforecast.provenance import __version__
from tsforecast.serving.reading import RequestError, read_json, read_numbers, read_table, refuse
from tsforecast.serving.table import SERIES_COLUMN, as_dates, as_fitted, as_text, cell, example_of, long, unnamed
from tsforecast.serving.worker import Answer, Limits

NAIVE = (NaiveForecaster, SeasonalNaiveForecaster, DriftForecaster, MeanForecaster)
OF_JOINED = (EnsembleForecaster, ConformalForecaster)  # where all members are
MOST_LEVELS = 100
COLUMNS = 10  # of an answer with as many rows as it may have
LEAST = 12  # steps of an example
Floats = NDArray[np.float64]


@dataclass(eq=False)
class Asked:
    """A request that was read: the series to continue, their context, steps and levels; how the answer is written."""

    panel: Panel
    past: Context
    steps: int
    levels: Mapping[str, float]
    records: bool  # the answer is a list of these, as the context was
    own: bool  # the context came with the request
    apart: bool  # no pass of several has it: hours that clocks skip are looked up further back
    notes: list[str]

    def goes_with(self, other: Asked) -> bool:
        """Return whether both can be forecast in one pass."""
        return (
            not (self.apart or other.apart)
            and (self.steps, self.levels) == (other.steps, other.levels)
            and all(getattr(self.panel, name) == getattr(other.panel, name) for name in ALIKE)
            and self.panel.ids.dtype.kind == other.panel.ids.dtype.kind
            and self.panel.values.dtype == other.panel.values.dtype
        )


ALIKE = ("kind", "frequency", "season_length", "other_seasons", "roles", "source")  # of panels in one pass


class ServedForecaster:
    """A fitted forecaster that answers bodies of JSON, and describes what it reads."""

    fields = ("context", "future", "series", "horizon", "quantiles", "interval")
    path, verb = "/forecast", "forecast"

    def __init__(self, forecaster: Forecaster, limits: Limits) -> None:
        self.fitted, self.limits = forecaster.panel_, limits
        self.forecaster = copy.copy(forecaster)
        self.windows = isinstance(self.fitted, SupervisedPanel)
        if not self.windows:
            self.forecaster.panel_ = long(self.fitted)
        self.panel = self.forecaster.panel_
        self.unnamed = unnamed(self.fitted)
        self.joined = is_joined(forecaster) and not self.windows
        own = max(10 * forecaster.horizon_, 10 * self.fitted.season_length, 100)
        self.furthest = limits.max_horizon or max(own, forecaster.horizon_)

    def warm_up(self) -> None:
        """Answer the example, so that libraries are loaded and kernels compiled before the first request comes."""
        more = {"interval": 0.8} if self.joined else {}  # errors at past cutoffs, which other models take long for
        self.answer([json.dumps(self.example() | more).encode()])

    def answer(self, bodies: Sequence[bytes]) -> list[Answer]:
        """Return one answer for each body: JSON, or an error. No body changes the answer of another."""
        answers: list[Answer] = [or_error(self._alone, body) for body in bodies] if not self.joined else []
        if answers or not bodies:
            return answers
        asked = [or_error(self._read, body) for body in bodies]
        answers = [each if isinstance(each, Exception) else b"" for each in asked]
        for places in _groups(asked):
            together = [cast(Asked, asked[place]) for place in places]
            found = None
            if len(together) > 1:
                with warnings.catch_warnings():
                    warnings.simplefilter("error")  # what is to be noted is noted of each alone
                    found = or_error(self._numbers, together)
            for at, place in enumerate(places):
                # The pass of all has failed, and at most one of them is to blame.
                own = found[at] if isinstance(found, list) else None
                answers[place] = or_error(self._written, together[at], own)
        return answers

    def _alone(self, body: bytes) -> bytes:
        if self.windows:
            return self._answer_windows(self._fields(body))
        return self._written(self._read(body), None)

    def _fields(self, body: bytes) -> dict[str, Any]:
        return read_json(body, ("context", "quantiles", "interval") if self.windows else self.fields)

    def _read(self, body: bytes) -> Asked:
        """Read a request; RequestError or another error of ours where it cannot be answered."""
        given = self._fields(body)
        steps = given.get("horizon", self.forecaster.horizon_)
        raise_any(whole("horizon", steps, 1), ParameterError)
        if steps > self.furthest:
            remedy = "ask for fewer steps, or start the server with --max-horizon"
            refuse(f"'horizon' must be at most {self.furthest} steps", f"got {steps}", remedy)
        levels = _levels(given)
        if "context" in given and "series" in given:
            refuse("'series' must be left out where there is a context", "got both", "choose rows of the context")
        notes = list[str]()
        with noted(notes), reading("the request"):
            context = self._context(given)
            count = len(self.panel) if context is None else len(context)
            self._check_answer(count, steps, levels)
            rows = given.get("future")
            future = None if rows is None else self._frame(rows, "future")
            panel, past, steps = self.forecaster.continued(context, future, steps, None)
            if past.extended and panel.roles.future and self.panel.roles.given.future:
                past.extended()  # its problems are those of the request
            apart = past.on_the_wall(steps) is not None
        records = isinstance(given.get("context", given.get("future")), list)
        return Asked(panel, past, steps, levels, records, context is not None, apart, notes)

    def _check_answer(self, count: int, steps: int, levels: Mapping[str, float]) -> None:
        """Refuse answers of too many rows before anything is computed."""
        most, remedy = self.limits.max_rows, "ask for fewer steps or levels, or name some 'series'"
        if count * steps > most:
            refuse(f"the answer must have at most {most} rows", f"got {count} series x {steps} steps", remedy, 413)
        columns = self.panel.n_targets * (1 + len(levels))
        if count * steps * columns > COLUMNS * most:
            got = f"got {count} series x {steps} steps x {columns} columns"
            refuse(f"the answer must have at most {COLUMNS * most} numbers", got, remedy, 413)
        if len(levels) > MOST_LEVELS:
            refuse(f"a request must have at most {MOST_LEVELS} levels", f"got {len(levels)}", "ask for fewer", 413)

    def _context(self, given: dict[str, Any]) -> Panel | None:
        """Return the series to continue; None for all that were fitted."""
        if "series" in given:
            names = given["series"] if isinstance(given["series"], list) else [given["series"]]
            known = {str(name): place for place, name in enumerate(self.panel.ids.tolist())}
            for name in names:
                if not isinstance(name, (str, int)) or str(name) not in known:
                    refuse(f"series {str(name)[:80]!r} must be a fitted one", "", nearest(str(name)[:80], known))
            if not names:
                refuse("'series' must name some", "got an empty list", "leave it out for all")
            chosen = np.zeros(len(self.panel), dtype=np.bool_)
            chosen[[known[str(name)] for name in names]] = True
            return self.panel.select(chosen)
        if "context" not in given:
            return None
        rows = given["context"]
        arrays = self.fitted.source.form in ("array", "arrays")
        if arrays and isinstance(rows, list) and rows and not isinstance(rows[0], dict):
            return long(self.fitted.read_like(self._arrays(rows)))
        return self.panel.read_like(self._frame(rows, "context"))

    def _frame(self, rows: Any, name: str) -> pd.DataFrame:
        """Return rows as a frame in the types that were fitted."""
        frame, source = read_table(rows, name, self.limits.max_rows), self.panel.source
        try:
            frame = as_fitted(as_dates(frame, source), self.fitted)
        except (ValueError, OverflowError):
            stamp = (
                cell(pd.Timestamp(2024, 1, 31, tz=source.zone)) if source.zone else pd.Period("2024-01", source.period)
            )
            refuse(
                f"{source.time!r} of {name!r} must hold times of one form, such as {stamp}", _odd(frame[source.time])
            )
        lacks = self.unnamed and SERIES_COLUMN not in frame
        return frame.assign(**{SERIES_COLUMN: self.panel.ids[0]}) if lacks else frame

    def _arrays(self, rows: list[Any]) -> list[Floats]:
        """Return series that are given as lists: one of numbers, or of steps with several channels, or several."""
        depth = 1 if len(self.panel.roles.varying) == 1 else 2
        several = isinstance(rows[0], list) and (depth == 1 or (bool(rows[0]) and isinstance(rows[0][0], list)))
        series = [read_numbers(row, "a series", self.limits.max_rows) for row in (rows if several else [rows])]
        if sum(map(len, series)) > self.limits.max_rows:
            refuse(f"'context' must have at most {self.limits.max_rows} rows", f"got {sum(map(len, series))}", "", 413)
        return series

    def _answer_windows(self, given: dict[str, Any]) -> bytes:
        """Return forecasts from supervised windows, in the form of y."""
        if "context" not in given:
            refuse("'context' must have windows to forecast from", "nothing was given", "send a list of windows")
        levels, notes = _levels(given), list[str]()
        with noted(notes), reading("the request"):
            depth = 1 if len(self.panel.roles.varying) == 1 else 2
            rows = given["context"] if isinstance(given["context"], list) else [given["context"]]
            windows = [read_numbers(row, "a window", self.limits.max_rows) for row in rows]
            self._check_answer(len(windows), self.forecaster.horizon_, levels)
            if not windows or any(window.shape != windows[0].shape for window in windows) or windows[0].ndim != depth:
                form = "as many numbers" if depth == 1 else f"as many lists of {len(self.panel.roles.varying)} numbers"
                refuse(f"'context' must be a list of windows of {form} each", f"got {len(windows)} of other forms")
            window = getattr(self.forecaster, "n_features_in_", len(windows[0]))
            if len(windows[0]) != window or any(np.isnan(each).any() for each in windows):
                got = f"got {len(windows[0])}" if len(windows[0]) != window else "null is among them"
                refuse(f"each window of 'context' must have {window} steps that are numbers", got)
            shares = {name: given.get(name, ()) for name in ("quantiles", "interval")}
            found = self.forecaster.predict(np.stack(windows), **shares)
        return written({"forecast": plain(np.asarray(found)), "notes": notes})

    def _numbers(self, together: Sequence[Asked]) -> list[tuple[Floats, Floats]]:
        """Return points and quantiles of each of some requests, computed in one pass."""
        first = together[0]
        past = Context.at_end(joined([each.panel for each in together]))
        if first.past.extended:
            extended = [cast(Callable[[], Panel], each.past.extended) for each in together]
            past.extended = lambda: joined([each() for each in extended])
        points, quantiles = self.forecaster.numbers(past, first.steps, first.levels)
        ends = np.cumsum([len(each.panel) for each in together])[:-1]
        return list(zip(np.split(points, ends), np.split(quantiles, ends), strict=True))

    def _written(self, asked: Asked, own: tuple[Floats, Floats] | None) -> bytes:
        """Return the answer to a request, from its numbers, which are computed where there are none."""
        notes, panel = list(asked.notes), asked.panel
        with noted(notes), reading("the context") if asked.own else nullcontext():
            points, quantiles = own or self.forecaster.numbers(asked.past, asked.steps, asked.levels)
            warn_unless_finite(points)
            warn_where_still(panel, quantiles)
            some = with_levels(panel, points, quantiles, asked.levels, False) if asked.levels else None
            frame = as_text(panel.to_native(points) if some is None else some)
        frame = frame.drop(columns=SERIES_COLUMN) if self.unnamed and len(panel) == 1 else frame
        columns = {str(name): [_value(value) for value in frame[name].tolist()] for name in frame}
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        return written({"forecast": rows if asked.records else columns, "notes": notes})

    def example(self) -> dict[str, Any]:
        """Return a request that runs: the last rows of the first series, as columns."""
        steps = max(LEAST, getattr(self.forecaster, "resolved_", {}).get("window", 0), 2 * self.panel.season_length)
        if self.windows:
            window = self.panel.series(0)[: -self.panel.horizon_or(1)]
            return {"context": [plain(window[:, 0] if window.shape[1] == 1 else window)]}
        ahead = self.forecaster.horizon_ if self.panel.roles.given.future else 0
        frame = example_of(self.panel, steps, ahead)
        frame = frame.drop(columns=SERIES_COLUMN) if self.unnamed else frame
        if not ahead:
            return {"context": _columns(frame)}
        given, source = self.panel.roles.given, self.panel.source
        known = frame[list(given.target)].notna().any(axis=1)
        shown = [name for name in (source.id, source.time, *given.future) if name in frame]
        return {"context": _columns(frame[known]), "future": _columns(frame.loc[~known, shown])}

    def about(self) -> dict[str, Any]:
        """Return what a client should know of the model."""
        given, source = self.panel.roles.given, self.panel.source
        roles = {"time": source.time if self.panel.kind != "none" else None, "id": None if self.unnamed else source.id}
        named = ("target", "past", "future", "static")
        roles |= {name: [str(column) for column in getattr(given, name)] for name in named}  # type: ignore[misc]
        return {
            **about_model(self.forecaster),
            "kind": "forecaster",
            "horizon": self.forecaster.horizon_,
            "max_horizon": self.furthest,
            "roles": roles,
            "frequency": str(self.panel.frequency) if self.panel.kind != "none" else None,
            "season_length": self.panel.season_length,
            "series": len(self.fitted),
            "joins": self.joined,
        }


def is_joined(model: Any) -> bool:
    """Return whether a forecast of a model is the same to the bit, whatever other series are forecast with it."""
    if model.joint:
        return False
    if "tsforecast.forecasters.neural" in sys.modules:  # else there is no network, and no need of torch
        from tsforecast.forecasters.neural import NeuralForecaster

        if isinstance(model, NeuralForecaster):
            return True
    return isinstance(model, NAIVE) or (isinstance(model, OF_JOINED) and all(map(is_joined, model.members_)))


def joined(panels: Sequence[Panel]) -> Panel:
    """Return one panel with the series of several that are read alike."""
    if len(panels) == 1:
        return panels[0]
    first, lengths = panels[0], np.concatenate([panel.lengths for panel in panels])
    return replace(
        first,
        values=np.concatenate([panel.values for panel in panels]),
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        ids=np.concatenate([panel.ids for panel in panels]),
        starts=np.concatenate([panel.starts for panel in panels]),
        statics={name: np.concatenate([panel.statics[name] for panel in panels]) for name in first.statics},
    )


def _groups(asked: Sequence[Asked | Exception]) -> Iterator[list[int]]:
    """Yield the places of requests that can be forecast in one pass."""
    groups = list[list[int]]()
    for place, each in enumerate(asked):
        if isinstance(each, Exception):
            continue
        fit = [group for group in groups if each.goes_with(cast(Asked, asked[group[0]]))]
        (fit[0].append if fit else lambda place: groups.append([place]))(place)
    yield from groups


@contextmanager
def noted(notes: list[str]) -> Iterator[None]:
    """Keep the warnings of a request as its notes. One thread computes, so that these are its own."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    notes.extend(dict.fromkeys(str(each.message) for each in caught if each.category.__module__ != "builtins"))


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Make an error of a library beneath, on data of a client, one sentence."""
    try:
        yield
    except TsForecastError:
        raise
    except (MemoryError, KeyboardInterrupt):
        raise
    except Exception as error:
        raise RequestError(f"{what} must have data that the model can read: {reason(error)[:300]}") from error


def or_error(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return a result, or the error that was raised."""
    try:
        return function(*arguments)
    except Exception as error:
        if not isinstance(error, TsForecastError):
            sys.stderr.write(f"a request failed: {type(error).__name__}: {reason(error)[:300]}\n")
        return error


def _levels(given: dict[str, Any]) -> dict[str, float]:
    """Return the levels of quantiles and intervals that a request asks for."""
    for name in ("quantiles", "interval"):
        values = given.get(name, [])
        values = values if isinstance(values, list) else [values]
        wrong = [value for value in values if isinstance(value, bool) or not isinstance(value, (int, float))]
        if wrong or len(values) > MOST_LEVELS:
            got = f"got {len(values)} of them" if not wrong else f"got {json.dumps(wrong[0])[:80]}"
            refuse(f"{name!r} must be at most {MOST_LEVELS} numbers between 0 and 1", got, "send such as [0.1, 0.9]")
    return asked_levels(given.get("quantiles", ()), given.get("interval"))


def about_model(model: Any) -> dict[str, Any]:
    return {"name": model_name(model), "fingerprint": model.fingerprint(), "tsforecast": __version__}


def _columns(frame: pd.DataFrame) -> dict[str, Any]:
    return {str(name): [_value(value) for value in frame[name].tolist()] for name in frame}


def _odd(texts: pd.Series[Any]) -> str:
    """Return the text that is no time, or is of a rarer form than the others, in words."""
    forms = ["".join("0" if letter.isdigit() else letter for letter in str(text)) for text in texts]
    rarest = min(dict.fromkeys(forms), key=forms.count)
    return f"got {str(texts.iloc[forms.index(rarest)])[:80]!r}"


def _value(value: Any) -> Any:
    """Return a value of a frame as JSON can hold it; what is no finite number is null."""
    plain = cell(value)
    return None if isinstance(plain, float) and not np.isfinite(plain) else plain


def plain(value: Any) -> Any:
    """Return arrays, and numbers of numpy, as JSON can hold them; what is no finite number is null."""
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist())
    return None if isinstance(value, float) and not np.isfinite(value) else value


def written(answer: dict[str, Any]) -> bytes:
    """Return JSON in ASCII: texts of a client that are no characters are escaped."""
    return json.dumps(answer, allow_nan=False).encode("ascii")


def counts_of(limits: Limits) -> str:
    """Return limits in words."""
    return (
        f"{limits.max_bytes:,} bytes and {limits.max_rows:,} rows a request, {limits.max_seconds:g} s, "
        f"{counted(limits.max_waiting, 'request')} at a time, {limits.max_batch} in one pass"
    )
