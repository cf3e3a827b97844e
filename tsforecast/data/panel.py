"""Panel: one or many regular time series, immutable, with the roles of their columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self, cast

import numpy as np
from numpy.typing import NDArray

from tsforecast.checks import whole
from tsforecast.data import frames, quality
from tsforecast.data.calendar import Frequency, calendar_columns, calendar_problems
from tsforecast.data.columns import read_file
from tsforecast.data.series import (
    Aggregate,
    CleaningPolicy,
    Duplicates,
    NanPolicy,
    Roles,
    Rows,
    SeasonSource,
    Series,
    Source,
)
from tsforecast.data.values import calendar_values, coded_like
from tsforecast.data.zones import to_utc
from tsforecast.errors import DataError, Phrase, Problem, names_of, raise_any, shorten


@dataclass(frozen=True, eq=False, repr=False)
class Panel(Series):
    """One or many regular time series; immutable.

    Build one with `Panel.of` (anything), `Panel.from_frame` (columns by role), `Panel.from_wide`
    (one column per series) or `Panel.from_array`. `Series` lists its attributes.

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

    @classmethod
    def of(cls, data: Any) -> Panel:
        """Read any supported form: a panel, a frame, a Series, an array, a list of arrays, or a ``.tsf`` file.

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
        if isinstance(data, (str, Path)):
            frame, roles, file = read_file(Path(data))
            panel = cls.from_frame(frame, **roles)
            return replace(panel, notes=(*panel.notes, *file.notes))
        numbers = isinstance(data, (np.ndarray, list, tuple)) or not frames.is_frame(data)
        return cls.from_array(data) if numbers else cls.from_frame(data)

    @classmethod
    def from_frame(
        cls,
        data: Any,
        *,
        time: str | Literal[False] | None = None,
        id: str | None = None,
        target: str | Iterable[str] | None = None,
        past: str | Iterable[str] = (),
        future: str | Iterable[str] = (),
        static: str | Iterable[str] = (),
        group: str | None = None,
        categories: str | Iterable[str] = (),
        frequency: str | None = None,
        season_length: int | Literal["auto"] = "auto",
        nan_policy: NanPolicy | None = None,
        fill_gaps: bool = False,
        sort: bool = False,
        duplicates: Duplicates | None = None,
        resample: str | None = None,
        aggregate: Aggregate = "mean",
        tolerance: str | None = None,
    ) -> Panel:
        """Read a long frame (pandas, polars, arrow; eager or lazy) or a Series.

        Parameters
        ----------
        time, id : str, optional
            Columns of time stamps and of series names. Inferred when there is just one candidate. Whole numbers
            like 202401 or 20240131 are dates, others are steps of an integer axis. With ``time=False`` rows are steps
            in their order, and columns of dates are left out.
        target, past, future, static : str or list of str, optional
            Columns by role. The target is inferred when only one column of numbers has no other role. Others may hold
            text, which is categories, and is not filled in where it is missing; columns of categories are read as text.
        categories : str or list of str, optional
            Past and future columns whose numbers are categories as well, such as the type of a store.
        group : str, optional
            Column whose values never straddle a split (user, machine, patient).
        frequency : str, optional
            A pandas-style alias such as ``"h"``; inferred from the stamps otherwise.
        season_length : int or "auto"
            Steps in one season. Auto: the customary one of the frequency; where it has none, as on an integer axis, it
            is found in the numbers, as in `from_array`.
        nan_policy : {"forward_fill", "mask", "drop_series"}, optional
            Treatment of NaN; without it NaN is an error. `mask` keeps them: they carry no loss
            and no metric. `drop_series` leaves out each series with NaN in any row, once, while reading. It is the
            one policy that looks at all rows, those after a later cutoff as well, because a panel is the same at
            every cutoff; where missing numbers depend on the future (machines that fail, shops that close), use
            `mask`.
        fill_gaps : bool
            Insert missing time stamps (as NaN).
        sort : bool
            Sort each series by time.
        duplicates : {"first", "last"}, optional
            Which row of equal time stamps to keep; without it they are an error.
        resample : str, optional
            Step of bins, such as ``"20ms"``, ``"h"``, ``"D"``, or ``"20"`` on an integer axis: a bin labelled t holds
            the rows after t minus a step up to t, and none of its future. Bins without rows are gaps.
        aggregate : {"mean", "last", "nearest"}
            The number of a bin in each column, without NaN: their mean, the last one, or the one nearest to the middle.
            Bins of `nearest` lie around the multiples of the step, so that stamps that jitter around these fall into
            one bin each, and are labelled by their ends as well, half a step after the multiples.
        tolerance : str, optional
            By how much stamps may miss the steps of `frequency`, such as ``"2ms"``: they are moved to the grid through
            the first stamp of their series, or through the multiples of the step where that is as near. Numbers
            stay; a stamp may be moved back, so that this is for clocks that err.

        Raises
        ------
        DataError
            With every problem found, each with series, position and remedy.
        """
        whose = None if group is None else str(group)
        coded: dict[str, tuple[str, ...]] = dict.fromkeys(_names(categories), ())
        roles = Roles(_names(target), _names(past), _names(future), _names(static), whose, categories=coded)
        cleaning = CleaningPolicy(nan_policy, fill_gaps, sort, duplicates, resample, aggregate, tolerance)
        if time is False:
            raise_any(quality.without_time(frequency, cleaning))
        time = time if time is None or time is False else str(time)
        table = frames.read(data, roles, time, None if id is None else str(id))
        return cls._build(table, frequency, season_length, cleaning)

    @classmethod
    def from_wide(
        cls,
        data: Any,
        *,
        time: str | Literal[False] | None = None,
        frequency: str | None = None,
        season_length: int | Literal["auto"] = "auto",
        nan_policy: NanPolicy | None = None,
        fill_gaps: bool = False,
        sort: bool = False,
        duplicates: Duplicates | None = None,
        resample: str | None = None,
        aggregate: Aggregate = "mean",
        tolerance: str | None = None,
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
        cleaning = CleaningPolicy(nan_policy, fill_gaps, sort, duplicates, resample, aggregate, tolerance)
        if time is False:
            raise_any(quality.without_time(frequency, cleaning))
        return cls._build(frames.stack(table), frequency, season_length, cleaning)

    @classmethod
    def from_array(
        cls, data: Any, *, season_length: int | Literal["auto"] = "auto", nan_policy: NanPolicy | None = None
    ) -> Panel:
        """Read numbers without time stamps.

        Parameters
        ----------
        data : array of shape (T,), (T, C) or (N, T, C), or list of (T,) or (T, C) arrays
            One series; one series with C channels; N series of equal length; ragged series. Every
            channel is a target.
        season_length : int or "auto"
            Steps in one season; 1 for none. Auto: found in the numbers that a model or a comparison may learn from,
            when it does; see `tsforecast.data.seasons`.
        nan_policy : {"forward_fill", "mask", "drop_series"}, optional
            As in `from_frame`.

        Examples
        --------
        >>> Panel.from_array([[1.0, 2.0, 3.0], [4.0, 5.0]])
        Panel: 2 series x 2 to 3 steps, target 'y', integer axis, season auto
        """
        values, offsets, roles, source = _read_arrays(data)
        cleaning = CleaningPolicy(nan_policy)
        if problems := whole("season_length", season_length, 1, ["auto"]):
            raise DataError(problems)
        ids, notes = np.arange(len(offsets) - 1), list[str]()
        if not (np.abs(values) <= quality.TOO_LARGE).all():  # what is NaN is not, either
            rows = Rows(values, offsets, ids)
            raise_any(quality.complete(rows, roles.varying, "none", nan_policy))
            values, offsets, ids, notes = rows.values, rows.offsets, rows.ids, rows.notes
        panel = cls.untimed(values, offsets, ids, roles, source)
        found: tuple[int, SeasonSource] = (1, "auto") if season_length == "auto" else (season_length, "given")
        return replace(panel, season_length=found[0], season_source=found[1], cleaning=cleaning, notes=tuple(notes))

    @classmethod
    def untimed(
        cls,
        values: NDArray[Any],
        offsets: NDArray[np.int64],
        ids: NDArray[Any],
        roles: Roles,
        source: Source,
        statics: dict[str, NDArray[Any]] | None = None,
        weights: NDArray[np.float64] | None = None,
    ) -> Self:
        """Return a panel of checked values without time stamps; the parameters are the attributes of `Series`."""
        starts = np.zeros(len(ids), dtype=np.int64)
        step = Frequency("integer")
        return cls(values, offsets, ids, starts, step, 1, "none", roles, source, statics or {}, weights=weights)

    def read_like(self, data: Any, what: str = "the context") -> Panel:
        """Read `data` as this panel was read: same columns, roles, step and cleaning; errors call it `what`.

        Raises
        ------
        DataError
            When the data cannot have come from the same place.
        """
        named = Phrase(what, "context")
        if isinstance(data, Panel):
            other = coded_like(data, self.roles.categories, named)
        elif frames.is_frame(data) and self.source.form in ("frame", "series", "wide"):
            time = None if self.source.time_in_index else self.source.time
            wide = self.source.form == "wide"
            roles = Roles() if wide or frames.is_series(data) else self.roles.given
            targets: Literal["all", "one"] = "all" if wide else "one"
            table = frames.read(data, roles, time, self.source.id, targets=targets, like=self)
            step, cleaning = (self.frequency if table.kind == self.kind else None), self.cleaning
            if step is None:  # refused below
                cleaning = replace(cleaning, resample=None, aggregate="mean", tolerance=None)
            if not cleaning.sort:
                raise_any(quality.several_series(table, named))
            other = self._build(frames.stack(table) if wide else table, step, self.season_length, cleaning)
            other = other.with_calendar(*self.roles.calendar)
        elif not frames.is_frame(data) and self.source.form in ("array", "arrays"):
            other = Panel.from_array(data, season_length=self.season_length, nan_policy=self.cleaning.nan_policy)
        else:
            must = (named, f" must have the form of the data that were fitted ({self.source.form})")
            raise DataError(Problem(must, f"got {type(data).__name__}", "pass that form or a Panel"))
        raise_any(
            Problem((named, f" must have the {name} of the data that were fitted"), f"{wanted!r}, got {got!r}")
            for name, wanted, got in (
                ("columns", self.roles.varying, other.roles.varying),
                ("frequency", str(self.frequency), str(other.frequency)),
            )
            if wanted != got
        )
        if isinstance(data, Panel) and data.season_source != "auto":
            return other
        season, source, others = self.season_length, self.season_source, self.other_seasons
        return replace(other, season_length=season, season_source=source, other_seasons=others)

    @classmethod
    def _build(
        cls,
        table: frames.Table,
        frequency: str | Frequency | None,
        season_length: int | Literal["auto"],
        cleaning: CleaningPolicy,
    ) -> Panel:
        raise_any(whole("season_length", season_length, 1, ["auto"]))
        step = Frequency.parse(frequency) if isinstance(frequency, str) else frequency
        rows = quality.regular_rows(table, step, cleaning)
        season, origin = _season(season_length, rows.frequency)
        return cls(
            values=rows.values,
            offsets=rows.offsets,
            ids=rows.ids,
            starts=rows.starts,
            frequency=rows.frequency,
            season_length=season,
            kind=table.kind,
            roles=table.roles,
            source=rows.source,
            statics=rows.statics,
            cleaning=cleaning,
            notes=tuple(rows.notes),
            season_source=origin,
        )

    def with_calendar(self, *names: str) -> Panel:
        """Return a panel with calendar features as known future covariates.

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
        roles = replace(self.roles, future=self.roles.future + added, calendar=self.roles.calendar + tuple(names))
        return replace(self, values=calendar_values(self, names), roles=roles)

    @property
    def local_zone(self) -> str | None:
        """The zone that stamps must be turned to for a calendar; None where they are local time."""
        return None if self.source.wall_clock else self.source.zone

    def to_native(self, values: NDArray[Any], suffixes: Sequence[str] | None = None) -> Any:
        """Write forecasts for the steps after each series in the form that the data came in.

        Parameters
        ----------
        values : array of shape (N, H, K), or (N, H, S * K) with S suffixes
        suffixes : sequence of str, optional
            Of the names of several columns for each target, as in ``y_lo80``; an empty one leaves the name as it is. A
            Series becomes a frame.

        Returns
        -------
        frame, Series, array or list of arrays
            A frame or Series of the caller's library and column names; an array of the caller's
            number of dimensions, with H in place of T. Where days or longer steps of a time zone lead to an hour
            that its clocks skip, the stamp is the first one after it; of an hour that comes twice, it is the first.
        """
        if self.source.form in ("array", "arrays", "windows"):
            return _write_arrays(self.source, values)
        n, horizon, width = values.shape
        source, times = self.source, cast("NDArray[np.int64] | None", None)
        if self.kind != "none":
            alike = bool((self.starts == self.starts[0]).all() and (self.lengths == self.lengths[0]).all())
            kinds = 1 if alike else n  # series that begin and end together have the same times
            later = self.stamps(np.arange(kinds)[:, None], self.lengths[:kinds, None] + np.arange(horizon))
            times = np.broadcast_to(later, (n, horizon)).ravel()
            if source.zone and source.wall_clock:
                times, source = to_utc(times, source.zone), replace(source, wall_clock=False)
        endings = [f"_{suffix}" if suffix else "" for suffix in suffixes or [""]]
        if source.form == "wide":
            names = np.array([f"{name}{ending}" for ending in endings for name in self.ids], dtype=object)
            numbers = values.transpose(2, 0, 1).reshape(-1, horizon)
            times = None if times is None else np.tile(times, len(endings))
            return frames.write_wide(source, times, self.kind, names, numbers)
        if suffixes is not None and source.form == "series":
            lacks = {name for name in self.roles.target if source.names.get(name, name) is None}  # its column is y
            source = replace(source, form="frame", names={k: v for k, v in source.names.items() if k not in lacks})
        targets = [f"{name}{ending}" for ending in endings for name in self.roles.target]
        columns = dict(zip(targets, values.reshape(n * horizon, width).T, strict=True))
        return frames.write(source, times, self.kind, self.ids, np.repeat(np.arange(n), horizon), columns)


def _season(given: int | Literal["auto"], step: Frequency) -> tuple[int, SeasonSource]:
    """Return the season that was given or is the calendar's, and its origin; 1 where it is yet to be found."""
    if given != "auto":
        return given, "given"
    return step.season_length, "calendar" if step.season_length > 1 else "auto"


def _names(names: Any) -> tuple[str, ...]:
    """Return names of columns as text; those of pandas may be numbers, and 0 is one."""
    if isinstance(names, (str, int, float)):
        return (str(names),) if names != "" else ()
    return tuple(str(name) for name in names or ())


def ended_note(panel: Panel, old: NDArray[np.bool_]) -> str:
    """Return a warning about the series that ended long before the others."""
    last = [panel.label(stamp) for stamp in panel.stamps(np.arange(len(panel)), panel.lengths - 1)]
    names = [f"{str(panel.ids[i])!r} ({last[i]})" for i in np.flatnonzero(old)]
    is_, own = ("is", "its own end") if len(names) == 1 else ("are", "their own ends")
    latest = last[int((panel.firsts + panel.lengths).argmax())]
    return (
        f"{len(names)} of {len(panel)} series ended long before the latest ({latest}) and {is_} forecast from {own}: "
        f"{shorten(names)}; the option ended decides: drop leaves them out, forecast keeps them without this note"
    )


def silent_note(panel: Panel, steps: int) -> str | None:
    """Return a warning about targets whose numbers end more than `steps` steps before the rows of their series."""
    targets, ends = panel.roles.target, panel.offsets[1:] - 1
    late = np.flatnonzero(np.isnan(panel.values[ends, : len(targets)]).any(axis=1))
    if not len(late):  # as a rule
        return None
    part = panel.select(late)
    rows = np.where(np.isnan(part.values[:, : len(targets)]), -1, np.arange(len(part.values))[:, None])
    last = np.maximum.reduceat(rows, part.offsets[:-1]) - part.offsets[:-1, None]  # (n, K)
    old = np.argwhere((last >= 0) & (part.lengths[:, None] - 1 - last > steps))
    if not len(old):
        return None
    when = [part.label(stamp) for stamp in part.stamps(old[:, 0], last[tuple(old.T)])]
    old[:, 0] = late[old[:, 0]]
    names = [f"{name} ({stamp})" for name, stamp in zip(names_of(panel.ids, targets, old), when, strict=True)]
    what, have = "targets" if len(targets) > 1 else "series", "has" if len(names) == 1 else "have"
    own = "its own last one" if len(names) == 1 else "their own last ones"
    return (
        f"{len(names)} of {len(panel) * len(targets)} {what} {have} no number in more than {steps} last rows and "
        f"{'is' if len(names) == 1 else 'are'} forecast from {own}: {shorten(names)}"
    )


def _read_arrays(data: Any) -> tuple[NDArray[Any], NDArray[np.int64], Roles, Source]:
    """Return values (rows, C) and offsets of (T,), (T, C), (N, T, C) or ragged numbers; every channel is a target."""
    if data is None or isinstance(data, (dict, set)) or np.isscalar(data):
        named = type(data).__name__ if isinstance(data, (dict, set)) else repr(data)
        raise DataError(f"data must be a frame, a Series, an array, a list of arrays or a Panel: got {named}")
    if isinstance(data, (list, tuple)) and data and not np.isscalar(data[0]):
        arrays = [_floats(part, f"series {i}") for i, part in enumerate(data)]
        ndim = arrays[0].ndim
        wanted = "one dimension" if ndim == 1 else "shape (T, C)"
        raise_any(
            f"series {i} must have {wanted} like series 0: got shape {a.shape}"
            for i, a in enumerate(arrays)
            if a.ndim != ndim or ndim not in (1, 2) or a.shape[1:] != arrays[0].shape[1:]
        )
        source = Source("arrays", ndim)
    else:
        array = _floats(data, "the array")
        if array.ndim not in (1, 2, 3):
            raise DataError(f"an array must have shape (T,), (T, C) or (N, T, C): got {array.shape}")
        arrays = list(array) if array.ndim == 3 else [array]
        source = Source("array", array.ndim)
    empty = [i for i, array in enumerate(arrays) if not array.size]
    if empty or not arrays:
        which = f": series {empty[0]} has shape {arrays[empty[0]].shape}" if empty else ""
        raise DataError(f"the data must have at least one step and one channel in every series{which}")
    values = np.concatenate([a.reshape(len(a), -1) for a in arrays])  # a copy: the panel cannot be changed from outside
    channels = values.shape[1]
    names = ("y",) if channels == 1 else tuple(f"y{c}" for c in range(channels))
    return values, np.cumsum([0, *map(len, arrays)]), Roles(names), source


def _floats(data: Any, what: str) -> NDArray[Any]:
    try:
        array = np.asarray(data)
        if np.iscomplexobj(array):
            raise DataError(f"{what} must hold real numbers: it holds {array.dtype}; pass its real part or its size")
        if array.dtype.kind not in "biufO":
            raise DataError(f"{what} must hold numbers: it holds {array.dtype}; convert it first")
        return array if array.dtype == np.float32 else array.astype(np.float64)
    except DataError:
        raise
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{what} must hold numbers: {error}") from None


def _write_arrays(source: Source, values: NDArray[Any]) -> Any:
    """Return forecasts of shape (N, H, K) in the form of the arrays, or of the y, that were read."""
    if source.form == "array":
        return {1: values[0, :, 0], 2: values[0], 3: values}[source.ndim]
    if source.form == "windows":
        return {1: values[:, 0, 0], 2: values[..., 0], 3: values}[source.ndim]
    return list(values[..., 0] if source.ndim == 1 else values)
