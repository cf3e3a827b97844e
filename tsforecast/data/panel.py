"""Panel: one or many regular time series, immutable, with the roles of their columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self, cast

import numpy as np
from numpy.typing import NDArray

from tsforecast.checks import whole
from tsforecast.data import frames, quality
from tsforecast.data.calendar import Frequency, calendar_columns, calendar_problems
from tsforecast.data.columns import read_file, roles_of, scan_settings
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
from tsforecast.data.store import Reading, changed, described, fields_of, is_panel, scan, season_of
from tsforecast.data.values import calendar_values, coded_like, read_arrays, write_arrays
from tsforecast.data.zones import to_utc
from tsforecast.errors import DataError, Phrase, Problem, nearest, raise_any
from tsforecast.tables import is_files, small_table


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
        """Read any supported form: a panel, a frame, a Series, an array, a list of arrays, or files (see `scan`).

        One file of at most 32 MB is read into memory. An object with a method ``__panel__`` is the panel it returns.

        Raises
        ------
        DataError
            When the data are not regular, complete numbers; every problem is listed.
        """
        if isinstance(data, Panel):
            return data
        if hasattr(data, "__panel__"):
            return cls.of(data.__panel__())
        if isinstance(data, (str, Path, list, tuple)) and is_files(data):
            return cls.scan(data) if (table := small_table(data)) is None else cls.from_frame(table)
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
        roles = roles_of(target, past, future, static, group, categories)
        cleaning = CleaningPolicy(nan_policy, fill_gaps, sort, duplicates, resample, aggregate, tolerance)
        if time is False:
            raise_any(quality.without_time(frequency, cleaning))
        time = time if time is None or time is False else str(time)
        table = frames.read(data, roles, time, None if id is None else str(id))
        return cls._build(table, frequency, season_length, cleaning)

    @classmethod
    def scan(
        cls,
        files: Any,
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
        store: str | Path | None = None,
        storage_options: dict[str, Any] | None = None,
        **cleaning: Any,
    ) -> Panel:
        """Read a long table in files that may be larger than the memory; its numbers stay on the disk, as float32.

        The rows of a series may lie in several files and between those of others. They are checked and repaired as
        `from_frame` does, in parts of whole series, and laid out once; a second scan of the same files opens that.

        Parameters
        ----------
        files : path, str, list of these, or LazyFrame of polars
            Files in Parquet, CSV or Arrow: by name, as a pattern (``"sales/*.parquet"``), a folder, perhaps with
            partitions (``year=2024/...``), or a URL that fsspec supports, from which they are copied.
        time, id, target, past, future, static, group, categories, frequency, season_length, **cleaning
            As in `from_frame`, with `nan_policy`, `fill_gaps`, `sort`, `duplicates`, `resample`, `aggregate` and
            `tolerance`. What is inferred from rows is so from the first 100,000 of them, but the frequency from all.
        store : path, optional
            Folder of the panel, which replaces an older one; by default one in the cache for each state of the files.
        storage_options : dict, optional
            Arguments of the file system of a URL, such as ``{"key": ..., "secret": ...}`` of s3fs.

        Returns
        -------
        Panel
            It pickles as a reference to its folder, which has to be there when it is read back.

        Raises
        ------
        DataError
            With every problem found in all of the rows.

        Examples
        --------
        >>> import tempfile, polars as pl
        >>> folder = Path(tempfile.mkdtemp())
        >>> for month in (1, 2):
        ...     rows = {"shop": ["a", "b"], "month": [month, month], "sold": [3.0, 4.0]}
        ...     pl.DataFrame(rows).write_parquet(folder / f"{month}.parquet")
        >>> Panel.scan(folder / "*.parquet", id="shop", time="month", target="sold", store=folder / "panel")
        Panel: 2 series x 2 steps, target 'sold', integer axis, season auto
        """
        roles = roles_of(target, past, future, static, group, categories)
        for name in cleaning.keys() - asdict(CleaningPolicy()).keys():
            raise TypeError(f"Panel.scan has no parameter {name!r}; {nearest(name, asdict(CleaningPolicy()))}")
        policy = CleaningPolicy(**cleaning)
        raise_any(quality.without_time(frequency, policy) if time is False else [])
        raise_any(whole("season_length", season_length, 1, ["auto"]))
        return cls.open(scan(files, Reading(roles, time, id, frequency, season_length, policy), store, storage_options))

    @classmethod
    def open(cls, folder: str | Path, *, verify: bool = False) -> Panel:
        """Open the panel in a folder that `scan` wrote; DataError where it has changed, which `verify` reads all of."""
        place = Path(folder).absolute()
        known = described(place)["fingerprint"]
        panel = cls(**fields_of(place))
        if verify and panel.fingerprint() != known:
            raise changed(place, "its numbers changed since")
        panel.__dict__.update(_fingerprint=known, _folder=str(place))
        return panel

    def __reduce_ex__(self, protocol: Any) -> Any:
        if "_folder" not in self.__dict__:
            return super().__reduce_ex__(protocol)
        return _opened, (self.__dict__["_folder"], self.__dict__["_fingerprint"])

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
        values, offsets, roles, source = read_arrays(data)
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
        if is_files(data) and self.source.form == "frame" and not self.source.time_in_index:
            if (small := small_table(data)) is not None:
                data = small
            elif is_panel(data):
                data = Panel.open(data)
            else:
                data = Panel.scan(data, **scan_settings(self)).with_calendar(*self.roles.calendar)
        if isinstance(data, Panel):
            other = coded_like(data, self.roles.categories, named)
        elif frames.is_frame(data) and self.source.form in ("frame", "series", "wide"):
            time = None if self.source.time_in_index else self.source.time
            wide = self.source.form == "wide"
            roles = Roles() if wide or frames.is_series(data) else self.roles.given
            targets: Literal["all", "one"] = "all" if wide else "one"
            table = frames.read(data, roles, time, self.source.id, targets=targets, like=self)
            step = self.frequency if table.kind == self.kind else None  # which is refused below
            cleaning = (
                self.cleaning if step else replace(self.cleaning, resample=None, aggregate="mean", tolerance=None)
            )
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
        season, origin = season_of(season_length, rows.frequency)
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

    def to_frame(self) -> Any:
        """Return all rows, as they were repaired, in a long frame of the caller's library (of arrays: pandas).

        Examples
        --------
        >>> Panel.from_array([[1.0, 2.0], [3.0]]).to_frame().values.tolist()
        [[0.0, 1.0], [0.0, 2.0], [1.0, 3.0]]
        """
        owner, own = np.repeat(np.arange(len(self)), self.lengths), self.source
        source = replace(own, form="frame", id=own.id or ("id" if len(self) > 1 else None))
        times = None if self.kind == "none" else self.stamps(owner, np.arange(len(owner)) - self.offsets[owner])
        if times is not None and own.zone and own.wall_clock:
            times, source = to_utc(times, own.zone), replace(source, wall_clock=False)
        numbers = zip(self.roles.varying, self.values.T.astype(np.float64), strict=True)
        named = {name: self.roles.texts(name, column) for name, column in numbers}
        named |= {name: values[owner] for name, values in self.statics.items() if name not in (source.id, *named)}
        return frames.write(source, times, self.kind, self.ids, owner, named)

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
            return write_arrays(self.source, values)
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


def _opened(folder: str, fingerprint: str) -> Panel:
    """Return the panel that a reference stands for."""
    if (panel := Panel.open(folder)).fingerprint() != fingerprint:
        raise DataError(f"the folder {folder!r} must hold the panel that was read: it has changed; scan again")
    return panel
