"""Bases of forecasters around models that read series one by one, and around those of a library, which are copied."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import signature
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsforecast.adapters import tables
from tsforecast.adapters.base import ForeignForecaster, Question
from tsforecast.adapters.protocol import copied
from tsforecast.data.context import Context
from tsforecast.data.panel import Panel
from tsforecast.errors import DataError, ParameterError, UnknownNameError, nearest, reason, shorten
from tsforecast.estimators.base import keyword_settings, setting

ASKED_LEVELS = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)  # of quantiles
INTERVALS = (20, 40, 60, 80, 90, 98)  # central shares in percent, whose ends have those levels
_COLUMNS = ("unique_id", "ds", "y")


@dataclass(frozen=True, eq=False)
class Single:
    """One series of one target up to a cutoff, and the covariates of the steps after it, None where none are read."""

    id: str
    times: NDArray[Any]  # (T,), dates or whole numbers
    y: NDArray[np.float64]  # (T,)
    covariates: pd.DataFrame | None  # (T, F)
    ahead: NDArray[Any]  # (H,), times
    future: pd.DataFrame | None  # (H, F)


@keyword_settings
class SeriesForecaster(ForeignForecaster):
    """Base of forecasters around models that read series one by one, as columns of numbers.

    A number that is missing is replaced by the one before it, unless the model takes missing numbers. A subclass names
    the covariates that its model reads in `reads`; a note names the rest.
    """

    each_cutoff = True  # is fitted again there
    takes_missing = False  # NaN, in series and covariates
    takes_text = False  # in covariates

    @property
    def reads(self) -> tuple[str, ...]:
        """Covariates that the model reads: some of past, future and static."""
        return ()

    @property
    def note(self) -> str:
        """See `ForeignForecaster.note`."""
        fits = "is fitted again at each cutoff, and " if self.each_cutoff else ""
        read = f"{' and '.join(self.reads)} covariates" if self.reads else "no covariates"
        return f"{fits}reads {read}" + (" alone" if 0 < len(self.reads) < 3 else "")

    def train(self, panel: Panel) -> None:
        """Check that the model can read the columns; see `ForeignForecaster.train`."""
        names = [name for role in self.reads for name in getattr(panel.roles, role)]
        taken = [repr(name) for name in panel.roles.varying[panel.n_targets :] if name in _COLUMNS]
        if taken:
            raise DataError(f"{self.label} needs the names {', '.join(_COLUMNS)}: rename covariate {shorten(taken)}")
        static = [name for name in names if name in panel.statics and panel.statics[name].dtype.kind not in "biuf"]
        texts = [repr(name) for name in names if name in panel.roles.categories or name in static]
        if texts and not self.takes_text:
            raise DataError(
                f"{self.label} reads numbers alone: {shorten(texts)} {'is' if len(texts) == 1 else 'are'} text; "
                "write categories as numbers, or leave them out"
            )

    def complete(self, question: Question) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return the contexts and the steps to forecast as `tables.long` does, with the covariates that are read.

        No number is missing, unless the model takes them: it is the one before it, and of a covariate that has none
        before it the first.
        """
        roles = question.panel.roles
        names = [name for role in ("past", "future") if role in self.reads for name in getattr(roles, role)]
        rows, numbers = question.long()[[*_COLUMNS, *names]], ["y", *names]
        unknown = np.empty((len(question.panel), question.horizon, 0))
        ahead = tables.long_future(question.panel, question.future if "future" in self.reads else unknown)
        begun = rows["unique_id"]
        if self.takes_missing:
            begun = begun[rows["y"].notna()]
        elif rows[numbers].isna().any(axis=None):
            by_series = rows.groupby("unique_id")
            rows = rows.assign(**by_series[numbers].ffill())
            rows = rows.assign(**{name: rows.groupby("unique_id")[name].bfill() for name in names}).dropna(subset=["y"])
            begun = rows["unique_id"]
        lacking = set(ahead["unique_id"]) - set(begun)
        if lacking:
            raise DataError(
                f"{self.label}: series {self._id(question, min(lacking))!r} has no number before the cutoff"
            )
        return rows.reset_index(drop=True), ahead

    def training(self, panel: Panel) -> Question:
        """Return a question about no step, whose contexts are the rows of training of the series that have begun."""
        past = Context.at_end(panel)
        begun = np.flatnonzero(past.has_observations.all(axis=1))
        return Question(panel.select(begun), past.select(begun), 0)

    def singles(self, question: Question) -> Iterator[Single]:
        """Yield each series and target of a question."""
        rows, ahead = self.complete(question)
        names, known = list(rows.columns[3:]), list(ahead.columns[2:])
        following = dict(iter(ahead.groupby("unique_id")))
        for at, past in rows.groupby("unique_id"):
            after = following.get(at, ahead)  # no step follows rows of training
            yield Single(
                self._id(question, at),
                past["ds"].to_numpy(),
                past["y"].to_numpy(),
                past[names].reset_index(drop=True) if names else None,
                after["ds"].to_numpy(),
                after[known].reset_index(drop=True) if known else None,
            )

    def one_by_one(self, question: Question) -> Iterator[Question]:
        """Yield questions about each series, whose answers do not depend on the rounding of others beside it."""
        for at in np.arange(len(question.panel))[:, None]:
            yield Question(question.panel.select(at), question.past.select(at), question.horizon)

    def joined(self, question: Question) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return what `complete` does, with static columns beside each row of the contexts."""
        rows, ahead = self.complete(question)
        static = tables.static(question.panel)
        return (rows if static is None else rows.merge(static, on="unique_id")), ahead

    def in_order(self, found: pd.DataFrame, question: Question) -> NDArray[np.float64]:
        """Return the last column of a long frame of forecasts, (n, H, K)."""
        sorted_ = found.sort_values(["unique_id", "ds"])
        return tables.from_long(sorted_.iloc[:, -1].to_numpy().reshape(-1, question.horizon), question.panel)

    def each(self, question: Question, forecast: Any) -> NDArray[np.float64]:
        """Return what `forecast(single)` returns for each series and target, (H, ...), as (n, H, K, ...)."""
        found = []
        for single in self.singles(question):
            with self.explained(f"series {single.id!r} of {len(single.y):,} steps"):
                found.append(np.asarray(forecast(single), dtype=np.float64))
        return tables.from_long(np.stack(found), question.panel)

    @contextmanager
    def explained(self, what: str) -> Iterator[None]:
        """Raise DataError with the message of any error of the library."""
        try:
            yield
        except Exception as error:  # of the library
            raise DataError(f"{self.label} cannot forecast {what}: {type(error).__name__}: {reason(error)}") from error

    def _id(self, question: Question, at: int) -> str:
        """Return the id of the series at a place of the long table."""
        return str(question.panel.ids[at // question.panel.n_targets])


@keyword_settings
class LibraryForecaster(SeriesForecaster):
    """Base of forecasters around models of a library, which are copied before they are fitted."""

    model: Any = setting(kw_only=False, doc="Model of the library, which is copied.")
    by_name: dict[str, Any] | None = setting(
        default=None, doc="Settings of a model by name, which is made with them and with the season of the data."
    )

    season_parameter = ""  # of the library's models

    @property
    def label(self) -> str:
        """See `ForeignForecaster.label`."""
        return type(self.model).__name__

    @property
    def sources(self) -> tuple[Any, ...]:
        """See `ForeignForecaster.sources`."""
        return (type(self.model),)

    def made(self, panel: Panel) -> Any:
        """Return an unfitted copy of the model, of one by name with the settings that suit a panel."""
        if self.by_name is None:
            return copied(self.model)
        return type(self.model)(**taken_by(type(self.model), self.by_name | self.settings_for(panel)))

    def settings_for(self, panel: Panel) -> dict[str, Any]:
        """Return settings of a model by name that suit a panel."""
        return {self.season_parameter: panel.season_length}


def taken_by(cls: Any, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that a class of models has parameters for."""
    known = signature(cls.__init__).parameters  # those of a metaclass have no names
    return {name: value for name, value in settings.items() if name in known}


def made_by_name(library: str, name: str, classes: Mapping[str, type], **settings: Any) -> Any:
    """Return a model of a library by the name of its class, with its defaults and those of the settings it has.

    Raises
    ------
    UnknownNameError, ParameterError
    """
    if name not in classes:
        raise UnknownNameError(f"{library} has no model {name!r}; {nearest(name, classes)}")
    try:
        return classes[name](**taken_by(classes[name], settings))
    except Exception as error:  # of the library
        raise ParameterError(
            f"{library}:{name} cannot be made with its defaults: {reason(error).rstrip('.')}; make it in a module of "
            "yours, and name that"
        ) from error


def interval_quantiles(answer: Mapping[str, Any], low: str, high: str) -> tuple[Sequence[float], NDArray[np.float64]]:
    """Return levels and quantiles (..., levels) of the ends of `INTERVALS`, which have names with their percent."""
    ends = [(0.5 - share / 200, answer[low.format(share)]) for share in INTERVALS[::-1]]
    ends += [(0.5 + share / 200, answer[high.format(share)]) for share in INTERVALS]
    return [level for level, _ in ends], np.stack([values for _, values in ends], axis=-1)


def time_index(times: NDArray[Any]) -> pd.Index:
    """Return times as an index that has its frequency where it is one of pandas; whole numbers as a range."""
    if times.dtype.kind == "M":
        return pd.DatetimeIndex(times, freq="infer" if len(times) > 2 else None)
    step = int(times[1] - times[0]) if len(times) > 1 else 1
    return pd.RangeIndex(times[0], times[-1] + step, step)


def frequency_of(panel: Panel) -> Any:
    """Return the step of a panel as an offset of pandas, or as the whole number that it is."""
    longest = int(panel.lengths.argmax())
    times = tables.times_of(panel, panel.stamps(longest, np.arange(panel.lengths[longest])))
    return time_index(times).freq if panel.kind == "datetime" else int(times[1] - times[0])


def refuse_several(model: Any, holder: str, one: str) -> None:
    """Raise ParameterError for the class of a library that holds several models; `one` of them is the example."""
    if type(model).__name__ == holder:
        raise ParameterError(f"{holder} holds several models: give them one by one, such as {one}")
