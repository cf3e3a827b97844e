"""Panel: one or many regular time series, immutable, with the roles of their columns."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tsforecast.checks import whole
from tsforecast.data import arrays, frames, quality
from tsforecast.data.calendar import Frequency, Stamps, calendar_columns, calendar_features, calendar_problems, to_utc
from tsforecast.data.frames import Roles, Source, Table, TimeKind
from tsforecast.errors import DataError, Phrase, Problem, nearest, raise_any, shorten


@dataclass(frozen=True, eq=False, repr=False)
class Panel:
    """One or many regular time series; immutable.

    Build one with `Panel.of` (anything), `Panel.from_frame` (columns by role), `Panel.from_wide`
    (one column per series) or `Panel.from_array`.

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
    statics : dict of arrays of shape (N,)
        Static columns and the group column.
    mending : Mending
        What was allowed to be mended while reading.
    notes : tuple of str
        What was mended on request while reading.
    weights : array of shape (N,), optional
        How much each series counts in training.

    Examples
    --------
    >>> import pandas as pd
    >>> days = pd.date_range("2024-01-01", periods=4, freq="D")
    >>> panel = Panel.of(pd.DataFrame({"day": days, "load": [3.0, 4.0, 5.0, 6.0]}))
    >>> panel
    Panel: 1 series x 4 steps, target 'load', frequency D, season 7
    >>> panel.series(0).ravel().tolist()
    [3.0, 4.0, 5.0, 6.0]
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
    mending: quality.CleaningPolicy = quality.CleaningPolicy()
    notes: tuple[str, ...] = ()
    weights: NDArray[np.float64] | None = None

    @classmethod
    def of(cls, data: Any) -> Panel:
        """Read any supported form: a panel, a frame, a Series, an array or a list of arrays.

        An object with a method ``__panel__`` is read as the panel that it returns; `SealedPanel` has one.

        Raises
        ------
        DataError
            When the data are not regular, complete numbers; every problem is listed.
        """
        if isinstance(data, Panel):
            return data
        if hasattr(data, "__panel__"):
            return cls.of(data.__panel__())
        if frames.is_frame(data):
            return cls.from_frame(data)
        if isinstance(data, (str, Path)):
            raise DataError(
                f"data must be a frame, a Series, numbers or a Panel: got the text {str(data)!r}; pass "
                f"load_dataset({str(data)!r}) if that is a dataset's name, and read a file first, for example with "
                "pandas.read_csv"
            )
        return cls.from_array(data)

    @classmethod
    def from_frame(
        cls,
        data: Any,
        *,
        time: str | None = None,
        id: str | None = None,
        target: str | Iterable[str] | None = None,
        past: str | Iterable[str] = (),
        future: str | Iterable[str] = (),
        static: str | Iterable[str] = (),
        group: str | None = None,
        frequency: str | None = None,
        season_length: int | None = None,
        nan_policy: quality.NanPolicy | None = None,
        fill_gaps: bool = False,
        sort: bool = False,
        duplicates: quality.Duplicates | None = None,
    ) -> Panel:
        """Read a long frame (pandas, polars, arrow; eager or lazy) or a Series.

        Parameters
        ----------
        time, id : str, optional
            Columns of time stamps and of series names. Inferred when there is just one candidate.
        target, past, future, static : str or list of str, optional
            Columns by role. The target is inferred when only one column of numbers has no other role.
        group : str, optional
            Column whose values never straddle a split (user, machine, patient).
        frequency : str, optional
            A pandas-style alias such as ``"h"``; inferred from the stamps otherwise.
        season_length : int, optional
            Steps in one season; taken from the frequency otherwise.
        nan_policy : {"forward_fill", "mask", "drop_series"}, optional
            What to do with NaN; without it NaN is an error. `mask` keeps them: they carry no loss
            and no metric. `drop_series` leaves out each series with NaN in any row, once, while reading. It is the
            one policy that looks at all rows, those after a later cutoff as well, because a panel is the same at
            every cutoff; where what was measured at all tells about the future (machines that fail, shops that
            close), use `mask`.
        fill_gaps : bool
            Insert missing time stamps (as NaN).
        sort : bool
            Sort each series by time.
        duplicates : {"first", "last"}, optional
            Which row of equal time stamps to keep; without it they are an error.

        Raises
        ------
        DataError
            With every problem found, each with series, position and remedy.
        """
        roles = Roles(_names(target or ()), _names(past), _names(future), _names(static), group)
        table = frames.read(data, roles, time, id)
        mending = quality.CleaningPolicy(nan_policy, fill_gaps, sort, duplicates)
        return cls._build(table, frequency, season_length, mending)

    @classmethod
    def from_wide(
        cls,
        data: Any,
        *,
        time: str | None = None,
        frequency: str | None = None,
        season_length: int | None = None,
        nan_policy: quality.NanPolicy | None = None,
        fill_gaps: bool = False,
        sort: bool = False,
        duplicates: quality.Duplicates | None = None,
    ) -> Panel:
        """Read a wide frame in which every number column is a series of its own.

        NaN before the first and after the last number of a column is not part of the series. The
        parameters are those of `from_frame`; the frames that come back are wide again.

        Examples
        --------
        >>> import pandas as pd
        >>> months = pd.date_range("2024-01-01", periods=3, freq="MS")
        >>> wide = pd.DataFrame({"month": months, "a": [1.0, 2.0, 3.0], "b": [None, 5.0, 6.0]})
        >>> Panel.from_wide(wide)
        Panel: 2 series x 2 to 3 steps, target 'value', frequency MS, season 12
        """
        table = frames.read(data, Roles(), time, None, targets="all")
        if table.source.id is not None:
            raise DataError(
                f"a wide frame must hold numbers besides its time: column {table.source.id!r} holds something else; "
                "drop it, or read a long frame with Panel.from_frame(id=...)"
            )
        mending = quality.CleaningPolicy(nan_policy, fill_gaps, sort, duplicates)
        return cls._build(frames.stack(table), frequency, season_length, mending)

    @classmethod
    def from_array(
        cls, data: Any, *, season_length: int | None = None, nan_policy: quality.NanPolicy | None = None
    ) -> Panel:
        """Read numbers without time stamps.

        Parameters
        ----------
        data : array of shape (T,), (T, C) or (N, T, C), or list of (T,) or (T, C) arrays
            One series; one series with C channels; N series of equal length; ragged series. Every
            channel is a target.
        season_length : int, optional
            Steps in one season; 1 (no season) otherwise.
        nan_policy : {"forward_fill", "mask", "drop_series"}, optional
            As in `from_frame`.

        Examples
        --------
        >>> Panel.from_array([[1.0, 2.0, 3.0], [4.0, 5.0]])
        Panel: 2 series x 2 to 3 steps, target 'y', integer axis, season 1
        """
        return cls._build(arrays.read(data), None, season_length, quality.CleaningPolicy(nan_policy))

    def read_like(self, data: Any, what: str = "the context") -> Panel:
        """Read `data` as this panel was read: same columns, roles, step and mending; errors call it `what`.

        Raises
        ------
        DataError
            When the data cannot have come from the same place.
        """
        named = Phrase(what, "context")
        if isinstance(data, Panel):
            other = data
        elif frames.is_frame(data) and self.source.form in ("frame", "series", "wide"):
            time = None if self.source.time_in_index else self.source.time
            wide = self.source.form == "wide"
            roles = Roles() if wide or frames.is_series(data) else self.roles.given
            table = frames.read(data, roles, time, self.source.id, targets="all" if wide else "one")
            step = self.frequency if table.kind == self.kind else None
            other = self._build(frames.stack(table) if wide else table, step, self.season_length, self.mending)
            other = other.with_calendar(*self.roles.calendar)
        elif not frames.is_frame(data) and self.source.form in ("array", "arrays"):
            other = Panel.from_array(data, season_length=self.season_length, nan_policy=self.mending.nan_policy)
        else:
            raise DataError(
                Problem(
                    (named, f" must have the form of the data that were fitted ({self.source.form})"),
                    f"got {type(data).__name__}",
                    "pass that form or a Panel",
                )
            )
        raise_any(
            Problem((named, f" must have the {name} of the data that were fitted"), f"{wanted!r}, got {got!r}")
            for name, wanted, got in (
                ("columns", self.roles.varying, other.roles.varying),
                ("frequency", str(self.frequency), str(other.frequency)),
            )
            if wanted != got
        )
        return other

    @classmethod
    def _build(
        cls,
        table: Table,
        frequency: str | Frequency | None = None,
        season_length: int | None = None,
        mending: quality.CleaningPolicy = quality.CleaningPolicy(),
    ) -> Panel:
        raise_any(whole("season_length", season_length, 1, [None]))
        step = Frequency.parse(frequency) if isinstance(frequency, str) else frequency
        rows = quality.regular_rows(table, step, mending)
        return cls(
            values=_frozen(rows.values),
            offsets=_frozen(rows.offsets),
            ids=_frozen(rows.ids),
            starts=_frozen(rows.starts),
            frequency=rows.frequency,
            season_length=season_length or rows.frequency.season_length,
            kind=table.kind,
            roles=table.roles,
            source=table.source,
            statics={name: _frozen(fact) for name, fact in rows.statics.items()},
            mending=mending,
            notes=tuple(rows.notes),
        )

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        lengths = self.lengths
        steps = f"{lengths.min()} to {lengths.max()}" if lengths.min() < lengths.max() else str(lengths.max())
        targets = shorten([repr(name) for name in self.roles.target], 8)
        axis = f"frequency {self.frequency}" if self.kind == "datetime" else "integer axis"
        word = "target" if self.n_targets == 1 else "targets"
        return f"Panel: {len(self)} series x {steps} steps, {word} {targets}, {axis}, season {self.season_length}"

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
        return quality.forward_fill(self.values, self.offsets)

    @cached_property
    def first_numbers(self) -> NDArray[np.int64]:
        """Row of the first number of each series and column, shape (N, C); its length where there is none."""
        there = ~np.isnan(self.values)
        rows = [np.where(t.any(axis=0), t.argmax(axis=0), len(t)) for t in np.split(there, self.offsets[1:-1])]
        return np.stack(rows)

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

    def seen(self, tick: int | NDArray[np.int64]) -> NDArray[np.int64]:
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

    def stamps(self, index: int, steps: NDArray[np.int64] | int) -> Stamps:
        """Time stamps of `steps` (0 is the first row; steps past the end are the future)."""
        return self.frequency.advance(self.starts[index], steps)

    def label(self, stamp: int | np.int64) -> str:
        """Write one time stamp for a person to read."""
        return quality.label(int(stamp), self.kind)

    def select(self, chosen: Sequence[int] | NDArray[Any]) -> Panel:
        """Return the panel of the chosen series (positions or a boolean mask)."""
        index = np.arange(len(self))[np.asarray(chosen)]
        return self._cut(index, np.zeros(len(index), dtype=np.int64), self.lengths[index])

    def between(self, first: NDArray[np.int64], last: NDArray[np.int64]) -> Panel:
        """Return rows ``first[i]:last[i]`` of each series i; series left without rows are dropped."""
        index = np.flatnonzero(last > first)
        if not len(index):
            raise DataError("a part of a panel must have rows: none lie in this part; move the cutoff")
        return self._cut(index, first[index], last[index])

    def until(self, seen: NDArray[np.int64]) -> Panel:
        """Return the first ``seen[i]`` rows of each series i: all that may be known at a cutoff."""
        return self.between(np.zeros_like(seen), seen)

    def _cut(self, index: NDArray[Any], first: NDArray[np.int64], last: NDArray[np.int64]) -> Panel:
        begin, end = self.offsets[index] + first, self.offsets[index] + last
        offsets = np.concatenate([[0], np.cumsum(end - begin)])
        pieces = [self.values[b:e] for b, e in zip(begin, end, strict=True)]
        return replace(
            self,
            # A copy even of one piece: no part may lead back to the rows that were cut off.
            values=_frozen(np.concatenate(pieces)),
            offsets=_frozen(offsets),
            ids=_frozen(self.ids[index]),
            starts=_frozen(self.frequency.advance(self.starts[index], first)),
            statics={name: _frozen(fact[index]) for name, fact in self.statics.items()},
            weights=None if self.weights is None else self.weights[index],
        )

    def without(self, *names: str) -> Panel:
        """Return a panel without some columns: past, future or static ones, or the groups.

        Raises
        ------
        DataError
            When there is no such column, or it is a target, or one of the calendar's.

        Examples
        --------
        >>> import pandas as pd
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
        return replace(
            self,
            values=_frozen(np.compress([name not in names for name in self.roles.varying], self.values, axis=1)),
            statics={name: fact for name, fact in self.statics.items() if name not in names},
            roles=replace(self.roles, **left, group=None if roles.group in names else roles.group),
        )

    def with_values(self, values: NDArray[Any]) -> Panel:
        """Return a panel that differs in its numbers only; `values` has the shape of ``self.values``."""
        if values.shape != self.values.shape:
            raise DataError(f"values must have shape {self.values.shape}: got {values.shape}")
        return replace(self, values=_frozen(np.array(values)))

    def with_calendar(self, *names: str) -> Panel:
        """Return a panel with calendar features as columns that are known ahead.

        Parameters
        ----------
        names : {"minute", "hour", "weekday", "day", "yearday", "month"}
            Each becomes two columns, the sine and cosine of where a stamp lies in that cycle.

        Raises
        ------
        DataError
            When there are no dates, or a name is not known or named twice.

        Examples
        --------
        >>> import pandas as pd
        >>> days = pd.date_range("2024-01-01", periods=4, freq="D")
        >>> Panel.of(pd.Series([1.0, 2.0, 3.0, 4.0], index=days)).with_calendar("weekday").roles.future
        ('weekday_sine', 'weekday_cosine')
        """
        if not names:
            return self
        raise_any(calendar_problems(names, self.kind))
        added = calendar_columns(names)
        taken = sorted(set(added) & set(self.roles.varying))
        raise_any(f"column {name!r} exists already; rename it" for name in taken)
        steps = np.arange(len(self.values)) - np.repeat(self.offsets[:-1], self.lengths)
        stamps = self.frequency.advance(np.repeat(self.starts, self.lengths), steps)
        features = calendar_features(stamps, names, self.local_zone)
        roles = replace(self.roles, future=self.roles.future + added, calendar=self.roles.calendar + tuple(names))
        return replace(self, values=_frozen(np.concatenate([self.values, features], axis=1)), roles=roles)

    @property
    def local_zone(self) -> str | None:
        """The zone that stamps must be turned to for a calendar; None where they tell local time."""
        return None if self.source.wall_clock else self.source.zone

    def to_native(self, values: NDArray[Any]) -> Any:
        """Write forecasts for the steps after each series in the form that the data came in.

        Parameters
        ----------
        values : array of shape (N, H, K)

        Returns
        -------
        frame, Series, array or list of arrays
            A frame or Series of the caller's library and column names; an array of the caller's
            number of dimensions, with H in place of T. Where days or longer steps of a time zone lead to an hour
            that its clocks skip, the stamp is the first one after it; of an hour that comes twice, it is the first.
        """
        if self.source.form in ("array", "arrays", "windows"):
            return arrays.write(self.source, values)
        n, horizon, targets = values.shape
        source, times = self.source, None
        if self.kind != "none":
            alike = bool((self.starts == self.starts[0]).all() and (self.lengths == self.lengths[0]).all())
            kinds = 1 if alike else n  # series that begin and end together have the same times
            ahead = self.lengths[:kinds, None] + np.arange(horizon)
            later = self.frequency.advance(self.starts[:kinds, None], ahead)
            times = np.broadcast_to(later, (n, horizon)).ravel()
            if source.zone and source.wall_clock:
                times, source = to_utc(times, source.zone), replace(source, wall_clock=False)
        if source.form == "wide":
            return frames.write_wide(source, times, self.kind, self.ids, values[..., 0])
        columns = dict(zip(self.roles.target, values.reshape(n * horizon, targets).T, strict=True))
        return frames.write(source, times, self.kind, self.ids, np.repeat(np.arange(n), horizon), columns)

    def fingerprint(self, labels: NDArray[np.int64] | None = None) -> str:
        """Return the SHA-256 of everything that models can read, and of the labels of the series if they are given.

        Examples
        --------
        >>> one, other = Panel.of(np.arange(9.0)), Panel.of(np.arange(9.0) + 1)
        >>> one.fingerprint() == Panel.of(np.arange(9.0)).fingerprint(), one.fingerprint() == other.fingerprint()
        (True, False)
        """
        digest = hashlib.sha256(repr((self.roles, self.frequency, self.kind, self.season_length)).encode())
        for name in ("values", "offsets", "starts"):
            array = getattr(self, name)
            digest.update(f"{name} {array.dtype} {array.shape}".encode() + np.ascontiguousarray(array).tobytes())
        statics = {name: column.tolist() for name, column in self.statics.items()}
        weights = None if self.weights is None else self.weights.tolist()
        digest.update(repr((self.ids.tolist(), statics, weights)).encode())
        if labels is not None:
            digest.update(np.ascontiguousarray(labels).tobytes())
        return digest.hexdigest()

    def span(self, first: NDArray[np.int64], last: NDArray[np.int64]) -> dict[str, Any]:
        """Count the series with steps ``first[i]`` to ``last[i] - 1`` and their steps; label the first and last stamp.

        Examples
        --------
        >>> Panel.of(np.arange(9.0)).span(np.array([2]), np.array([9]))
        {'series': 1, 'steps': 7, 'first': '2', 'last': '8'}
        """
        index = np.flatnonzero(last > first)
        if not len(index):
            return {"series": 0, "steps": 0}
        stamps = [self.frequency.advance(self.starts[index], steps[index]) for steps in (first, last - 1)]
        ends = {"first": self.label(stamps[0].min()), "last": self.label(stamps[1].max())}
        return {"series": len(index), "steps": int((last - first)[index].sum()), **ends}

    def origin(self, labels: NDArray[np.int64] | None = None) -> dict[str, Any]:
        """Return the span of all rows and their fingerprint, to record what something was learned from."""
        return self.span(np.zeros_like(self.lengths), self.lengths) | {"sha256": self.fingerprint(labels)}


def _names(names: str | Iterable[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    view = array.view()
    view.flags.writeable = False
    return view
