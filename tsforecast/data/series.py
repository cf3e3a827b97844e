"""Series: regular time series below each other in one immutable array, and views of them by position."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from tsforecast.checks import flag, one_of
from tsforecast.data.calendar import Digits, Frequency, Stamps, calendar_columns, stamp_label
from tsforecast.errors import Argument, DataError, Parameter, Part, Problem, Row, closest, nearest, raise_any, shorten
from tsforecast.mapped import copied, forward_fill, rows_between
from tsforecast.reporting.plots import SeriesPlots

TimeKind = Literal["none", "integer", "datetime"]
Backend = Literal["pandas", "polars", "pyarrow"]
NanPolicy = Literal["forward_fill", "mask", "drop_series"]
Duplicates = Literal["first", "last"]
SeasonSource = Literal["given", "calendar", "checked", "auto", "found"]
Aggregate = Literal["mean", "last", "nearest"]
EMPTY: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
MISSING = -1  # code of a text that is missing, a category of its own
DATES = "dates"  # of Python, the type of a column of objects


@dataclass(frozen=True)
class Roles:
    """Names of columns by role."""

    target: tuple[str, ...] = ()
    past: tuple[str, ...] = ()
    future: tuple[str, ...] = ()
    static: tuple[str, ...] = ()
    group: str | None = None  # its values never straddle a split
    calendar: tuple[str, ...] = ()  # features, whose columns are the last ones of `future`
    # Texts of past and future columns of text, whose values are their places here, or MISSING.
    categories: dict[str, tuple[str, ...]] = field(default_factory=dict, repr=False, hash=False)

    @property
    def given(self) -> Roles:
        """The roles of the columns that the caller gave: all but the calendar features."""
        columns = calendar_columns(self.calendar)
        return replace(self, future=tuple(name for name in self.future if name not in columns), calendar=())

    @property
    def varying(self) -> tuple[str, ...]:
        """The columns with a value for each time step, in the order of `Panel.values`."""
        return self.target + self.past + self.future

    def texts(self, name: str, values: NDArray[Any]) -> NDArray[Any]:
        """Return the values of a column, (n,), with the texts of codes, None where there is none."""
        held = np.array([*self.categories.get(name, ()), None], dtype=object)
        return held[places(values, len(held) - 1)] if name in self.categories else values

    @property
    def coded(self) -> list[int]:
        """Positions among the varying columns of those that hold codes of texts."""
        return [at for at, name in enumerate(self.varying) if name in self.categories]


@dataclass(frozen=True)
class Source:
    """Form of the data as they were given, so that forecasts are returned in the same form."""

    form: Literal["array", "arrays", "series", "frame", "wide", "windows"] = "array"
    ndim: int = 1
    backend: Backend = "pandas"
    time: str | None = None
    id: str | None = None
    time_in_index: bool = False
    date_only: bool = False
    period: str | None = None
    digits: Digits | None = None  # of dates that are written as whole numbers
    zone: str | None = None
    wall_clock: bool = True
    unit: Literal["ns", "us", "ms", "s"] = "us"
    horizon: int = 0  # of supervised windows
    types: dict[str, str] = field(default_factory=dict)  # of columns that are written, in the words of the library
    levels: list[Any] | None = None  # categories of an id
    names: dict[str, bool | int | float | str | None] = field(default_factory=dict)  # of columns whose name is no text
    index: list[str] | None = None  # columns in the pandas index; older models only know whether the time is
    step: str | None = None  # frequency of a pandas index
    order: list[str] = field(default_factory=list)  # of columns that are written; else id, time and targets
    dataset: str = ""  # name in the catalogue

    @property
    def local_zone(self) -> str | None:
        """The zone that stamps must be turned to for a calendar; None where they are local time."""
        return None if self.wall_clock else self.zone


@dataclass(frozen=True)
class CleaningPolicy:
    """Repairs that the caller allows; see `Panel.from_frame`."""

    nan_policy: NanPolicy | None = None
    fill_gaps: bool = False
    sort: bool = False
    duplicates: Duplicates | None = None
    resample: str | None = None
    aggregate: Aggregate = "mean"
    tolerance: str | None = None

    def __post_init__(self) -> None:
        for name in ("resample", "tolerance"):  # a number of steps is a text as well
            object.__setattr__(self, name, None if (length := getattr(self, name)) is None else str(length))
        problems = one_of("nan_policy", self.nan_policy, get_args(NanPolicy), [None])
        problems += one_of("duplicates", self.duplicates, get_args(Duplicates), [None])
        problems += one_of("aggregate", self.aggregate, get_args(Aggregate))
        if self.tolerance and self.resample:
            why = "bins take stamps wherever they lie"
            problems.append(Problem(("must be left out with ", Parameter("resample")), why, parameter="tolerance"))
        if self.aggregate != "mean" and not self.resample:
            bins = Argument("resample", ..., "pass")
            problems.append(Problem("needs bins", f"got {self.aggregate!r} alone", bins, parameter="aggregate"))
        if isinstance(self.fill_gaps, str) and (meant := closest(self.fill_gaps, get_args(NanPolicy))):
            both = ("pass ", Argument("fill_gaps", True), " and ", Argument("nan_policy", meant[0]))
            problems.append(Problem("must be True or False", f"got {self.fill_gaps!r}", both, parameter="fill_gaps"))
        else:
            problems += flag("fill_gaps", self.fill_gaps)
        problems += flag("sort", self.sort)
        if problems:
            raise DataError(problems)


@dataclass(frozen=True, eq=False, repr=False)
class Series(SeriesPlots):
    """Arrays and views of a `Panel`, which reads them from data of any form.

    Attributes
    ----------
    values : array of shape (rows, C), float32 or float64
        All series below each other; columns in the order of ``roles.varying``: targets first.
    offsets : int64 array of shape (N + 1,)
        Series i holds the rows ``offsets[i]:offsets[i + 1]``.
    ids : array of shape (N,)
    starts : int64 array of shape (N,)
        Stamp of each first row: nanoseconds since 1970, or an integer.
    frequency : Frequency
    season_length : int
        Steps in one season (m).
    season_source : {"given", "calendar", "checked", "auto", "found"}
        Whether the season was given; is the calendar's, before or after the numbers were searched for others; or is
        found in the rows that a model or a comparison may learn from: 1 before that, also where there is none.
    other_seasons : tuple of int
        Further seasons that were found.
    season_notes : tuple of str
        The seasons that were found, and why.
    statics : dict of arrays of shape (N,)
        Static columns and the group column.
    cleaning : CleaningPolicy
        What was allowed to be repaired while reading.
    notes : tuple of str
        What was repaired on request while reading.
    weights : array of shape (N,), optional
        Weight of each series in training.
    """

    unit: ClassVar[str] = "group"  # that trains or validates as a whole

    values: NDArray[Any]
    offsets: NDArray[np.int64]
    ids: NDArray[Any]
    starts: Stamps
    frequency: Frequency
    season_length: int
    kind: TimeKind
    roles: Roles
    source: Source
    statics: dict[str, NDArray[Any]]
    cleaning: CleaningPolicy = CleaningPolicy()
    notes: tuple[str, ...] = ()
    weights: NDArray[np.float64] | None = None
    season_source: SeasonSource = "given"
    other_seasons: tuple[int, ...] = ()
    season_notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        arrays = {name: getattr(self, name).view() for name in ("values", "offsets", "ids", "starts")}
        statics = {name: fact.view() for name, fact in self.statics.items()}
        for view in (*arrays.values(), *statics.values()):
            view.flags.writeable = False
        for name, value in {**arrays, "statics": statics}.items():
            object.__setattr__(self, name, value)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "filled"}  # as large as the values

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        lengths = self.lengths
        steps = f"{lengths.min()} to {lengths.max()}" if lengths.min() < lengths.max() else str(lengths.max())
        targets = shorten([repr(name) for name in self.roles.target], 8)
        axis = f"frequency {self.frequency}" if self.kind == "datetime" else "integer axis"
        word = "target" if self.n_targets == 1 else "targets"
        season = "auto" if self.season_source == "auto" else " and ".join(map(str, self.seasons))
        return f"Panel: {len(self)} series x {steps} steps, {word} {targets}, {axis}, season {season}"

    @property
    def seasons(self) -> tuple[int, ...]:
        """Lengths of all seasons, the first one first."""
        return self.season_length, *self.other_seasons

    @property
    def reading(self) -> str:
        """How an array with fewer rows than columns was read, to end a sentence about its length; else empty."""
        steps = int(self.lengths.max())
        if self.source.form != "array" or self.source.ndim != 2 or steps >= self.n_targets:
            return ""
        return (
            f" (the array was read as {steps} steps of {self.n_targets} targets: pass array[..., None] if its rows are "
            "series)"
        )

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Steps in each series, shape (N,)."""
        return np.diff(self.offsets)

    @property
    def n_targets(self) -> int:
        """Number of target columns; they come first in `values`."""
        return len(self.roles.target)

    @property
    def groups(self) -> NDArray[Any] | None:
        """The group of each series, shape (N,); None when no group column was named."""
        return self.statics[self.roles.group] if self.roles.group else None

    @cached_property
    def filled(self) -> NDArray[Any]:
        """`values` with each NaN replaced by the number before it in its own series, if there is one."""
        return forward_fill(self.values, self.offsets)

    @cached_property
    def first_numbers(self) -> NDArray[np.int64]:
        """Row of the first number of each series and column, shape (N, C); its length where there is none."""
        rows: NDArray[np.int64] = np.isnan(self.values[self.offsets[:-1]]).astype(np.int64)
        for i in np.flatnonzero(rows.any(axis=1)).tolist():  # as a rule none
            rows[i] = np.isnan(self.series(i)).cumprod(axis=0).sum(axis=0)
        return rows

    @cached_property
    def firsts(self) -> NDArray[np.int64]:
        """First step of each series on a clock that all share, shape (N,).

        Time stamps place series on that clock; series without time stamps all end at the same tick.
        """
        if self.kind == "none":
            return np.asarray(self.lengths.max() - self.lengths)
        numbers = self.frequency.split(self.starts)[0]
        return np.asarray((numbers - numbers.min()) // self.frequency.count)

    @property
    def clock_end(self) -> int:
        """Ticks of the shared clock up to the end of the latest series."""
        return int((self.firsts + self.lengths).max())

    def ended(self, steps: int) -> NDArray[np.bool_]:
        """Whether each series ends more than `steps` steps before the latest one, shape (N,).

        Series on an integer axis that all begin at 0, or at its first step, share no time: none has ended.
        """
        first = self.starts[0]
        if self.kind == "integer" and 0 <= first <= self.frequency.count and (self.starts == first).all():
            return np.zeros(len(self), dtype=np.bool_)
        return np.asarray(self.clock_end - self.firsts - self.lengths > steps)

    def rows_before(self, tick: int | NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows of each series that lie before `tick` on the shared clock, shape (N,); for ticks (F, 1), (F, N)."""
        return np.clip(tick - self.firsts, 0, self.lengths)

    def horizon_or(self, own: int) -> int:
        """Return the steps to forecast: those that the data fix (`SupervisedPanel`), or a model's `own` horizon."""
        return own

    @property
    def context_lengths(self) -> NDArray[np.int64]:
        """Rows of each series before the steps to forecast, shape (N,)."""
        return self.lengths

    @property
    def target_starts(self) -> NDArray[np.int64]:
        """First row of each series that may be a target in training, shape (N,)."""
        return np.zeros_like(self.lengths)

    @property
    def units(self) -> NDArray[np.int64] | None:
        """Number of the unit that each series belongs to, shape (N,); None where series may be cut in time.

        A unit trains or validates as a whole: a group (in the order of first appearance), or a supervised window.
        """
        if self.groups is None:
            return None
        number = {group: i for i, group in enumerate(dict.fromkeys(self.groups.tolist()))}
        return np.array([number[group] for group in self.groups.tolist()]) if len(number) > 1 else None

    def first_cutoffs(self, horizon: int) -> NDArray[np.int64]:
        """First cutoff in each series of a unit that validates as a whole, shape (N,): a forecast needs a context."""
        return self.lengths // 2

    def series(self, index: int) -> NDArray[Any]:
        """All columns of series `index`, shape (T, C); a read-only view."""
        return self.values[self.offsets[index] : self.offsets[index + 1]]

    def stamps(self, index: int | NDArray[np.int64], steps: NDArray[np.int64] | int) -> Stamps:
        """Time stamps of `steps` of one or several series (0 is the first row; steps past the end are the future)."""
        if self.frequency.unit == "integer":  # counted: no calendar is needed
            return np.asarray(self.starts[index] + self.frequency.count * np.asarray(steps))
        return self.frequency.advance(self.starts[index], steps)

    def label(self, stamp: int | np.int64) -> str:
        """Format one time stamp."""
        return stamp_label(stamp, self.kind)

    def select(self, chosen: Sequence[int] | NDArray[Any]) -> Self:
        """Return the panel of the chosen series (positions or a boolean mask)."""
        index = np.arange(len(self))[np.asarray(chosen)]
        return self._cut(index, np.zeros(len(index), dtype=np.int64), self.lengths[index])

    def between(self, first: NDArray[np.int64], last: NDArray[np.int64]) -> Self:
        """Return rows ``first[i]:last[i]`` of each series i; series left without rows are dropped."""
        index = np.flatnonzero(last > first)
        if not len(index):
            raise DataError("a part of a panel must have rows: none lie in this part; move the cutoff")
        return self._cut(index, first[index], last[index])

    def until(self, seen: NDArray[np.int64]) -> Self:
        """Return the first ``seen[i]`` rows of each series i: all that may be known at a cutoff."""
        return self.between(np.zeros_like(seen), seen)

    def _cut(self, index: NDArray[Any], first: NDArray[np.int64], last: NDArray[np.int64]) -> Self:
        begin, end = self.offsets[index] + first, self.offsets[index] + last
        if np.array_equal(begin, self.offsets[:-1]) and np.array_equal(end, self.offsets[1:]):
            return self  # all of it
        return replace(
            self,
            # A copy even of one piece: no part may lead back to the rows that were cut off.
            values=rows_between(self.values, begin, end),
            offsets=np.append(0, np.cumsum(end - begin)),
            ids=self.ids[index],
            starts=self.stamps(index, first),
            statics={name: fact[index] for name, fact in self.statics.items()},
            weights=None if self.weights is None else self.weights[index],
        )

    def without(self, *names: str) -> Self:
        """Return a panel without some columns: past, future or static ones, or the groups.

        Raises
        ------
        DataError
            When there is no such column, or it is a target, or one of the calendar's.

        Examples
        --------
        >>> import pandas as pd
        >>> from tsforecast import Panel
        >>> frame = pd.DataFrame({"id": ["a", "a"], "step": [0, 1], "y": [1.0, 2.0], "kind": ["new", "new"]})
        >>> panel = Panel.from_frame(frame, id="id", time="step", target="y", static="kind")
        >>> panel.without("kind").roles.static
        ()
        """
        roles = self.roles.given
        known = (*roles.past, *roles.future, *roles.static, *([roles.group] if roles.group else []))
        raise_any(
            f"a column to leave out must be a past, future, static or group column: got {name!r}; "
            f"{nearest(name, known) if known else 'there are none'}"
            for name in names
            if name not in known
        )
        left: dict[str, Any] = {
            role: tuple(name for name in getattr(self.roles, role) if name not in names)
            for role in ("past", "future", "static")
        }
        left["categories"] = {name: texts for name, texts in self.roles.categories.items() if name not in names}
        return replace(
            self,
            values=copied(self.values, np.flatnonzero([name not in names for name in self.roles.varying])),
            statics={name: fact for name, fact in self.statics.items() if name not in names},
            roles=replace(self.roles, **left, group=None if roles.group in names else roles.group),
        )

    def with_values(self, values: NDArray[Any]) -> Self:
        """Return a panel that differs in its numbers only; `values` has the shape of ``self.values``."""
        if values.shape != self.values.shape:
            raise DataError(f"values must have shape {self.values.shape}: got {values.shape}")
        return replace(self, values=copied(values))

    def fingerprint(self, labels: NDArray[Any] | None = None) -> str:
        """Return the SHA-256 of everything that models can read, and of the labels of the series if they are given.

        Examples
        --------
        >>> from tsforecast import Panel
        >>> one, other = Panel.of(np.arange(9.0)), Panel.of(np.arange(9.0) + 1)
        >>> one.fingerprint() == Panel.of(np.arange(9.0)).fingerprint(), one.fingerprint() == other.fingerprint()
        (True, False)
        """
        if labels is None and (known := self.__dict__.get("_fingerprint")):
            return str(known)
        season = 1 if self.season_source == "found" else self.season_length  # what is found follows from the rest
        digest = hashlib.sha256(repr((self.roles, self.frequency, self.kind, season)).encode())
        arrays = {name: getattr(self, name) for name in ("values", "offsets", "starts")}
        for at in self.roles.coded:  # of texts those that occur here count, in whatever order they were first read
            arrays["values"] = copied(arrays["values"]) if at == self.roles.coded[0] else arrays["values"]
            texts = self.roles.categories[self.roles.varying[at]]
            used, place = np.unique(places(self.values[:, at], len(texts)), return_inverse=True)
            held = ["" if code == MISSING else texts[code] for code in used]
            arrays["values"][:, at] = np.argsort(np.argsort(held))[place]
            digest.update(repr(sorted(held)).encode())
        for name, array in arrays.items():
            digest.update(f"{name} {array.dtype} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        statics, weights = {name: column.tolist() for name, column in self.statics.items()}, self.weights
        digest.update(repr((self.ids.tolist(), statics, None if weights is None else weights.tolist())).encode())
        if labels is None:
            return str(self.__dict__.setdefault("_fingerprint", digest.hexdigest()))
        own: NDArray[Any] = np.array(labels.tolist()) if labels.dtype.hasobject else labels  # not their places
        digest.update(repr(own.tolist()).encode() if own.dtype.hasobject else own.tobytes())
        return digest.hexdigest()

    def span(self, first: NDArray[np.int64], last: NDArray[np.int64]) -> dict[str, Any]:
        """Count the series with steps ``first[i]`` to ``last[i] - 1`` and their steps; label the first and last stamp.

        Examples
        --------
        >>> from tsforecast import Panel
        >>> Panel.of(np.arange(9.0)).span(np.array([2]), np.array([9]))
        {'series': 1, 'steps': 7, 'first': '2', 'last': '8'}
        """
        index = np.flatnonzero(last > first)
        if not len(index):
            return {"series": 0, "steps": 0}
        begin, end = (self.stamps(index, steps[index]) for steps in (first, last - 1))
        ends = {"first": self.label(begin.min()), "last": self.label(end.max())}
        return {"series": len(index), "steps": int((last - first)[index].sum()), **ends}

    def origin(self, labels: NDArray[Any] | None = None) -> dict[str, Any]:
        """Return the span of all rows and their fingerprint, to record what something was learned from."""
        return self.span(np.zeros_like(self.lengths), self.lengths) | {"sha256": self.fingerprint(labels)}


def places(codes: NDArray[Any], count: int) -> NDArray[np.int64]:
    """Return codes as places among so many texts, and `MISSING` of others; perturbed copies hold any numbers."""
    return np.where((codes >= 0) & (codes < count), codes, MISSING).astype(np.int64)


@dataclass
class Rows:
    """Rows grouped by series; the fields are those of `Panel`."""

    values: NDArray[Any]
    offsets: NDArray[np.int64]
    ids: NDArray[Any]
    stamps: Stamps = field(default_factory=lambda: EMPTY)  # empty without a time axis
    row: NDArray[np.int64] = field(default_factory=lambda: EMPTY)  # of the input; empty: the place in the series
    frequency: Frequency = Frequency("integer")
    statics: dict[str, NDArray[Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    source: Source = field(default_factory=Source)

    @property
    def local(self) -> bool:
        """Whether hours of the stamps are those of the clock on the wall."""
        return self.source.zone is None or self.source.wall_clock

    @property
    def starts(self) -> Stamps:
        return self.stamps[self.offsets[:-1]] if len(self.stamps) else np.zeros(len(self.ids), dtype=np.int64)

    @property
    def owner(self) -> NDArray[np.int64]:
        """The series of each row."""
        return np.repeat(np.arange(len(self.ids)), np.diff(self.offsets))

    def keep(self, chosen: NDArray[Any]) -> None:
        """Keep the chosen rows, in that order; `chosen` holds positions that stay grouped by series."""
        counts = np.bincount(self.owner[chosen], minlength=len(self.ids))
        self.values = self.values[chosen]
        self.stamps, self.row = (part[chosen] if len(part) else part for part in (self.stamps, self.row))
        self.offsets = np.concatenate([[0], np.cumsum(counts)])

    def where(self, at: int) -> Part:
        """Return the row of the input that row `at` was."""
        if not len(self.row):
            return Row(int(at - self.offsets[np.searchsorted(self.offsets, at, side="right") - 1]))
        return Row(int(self.row[at])) if self.row[at] >= 0 else "an inserted row"
