"""Context of forecasts: the rows before each cutoff, and the known future covariates after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from tsforecast.data import frames
from tsforecast.data.calendar import DAY, Frequency, Stamps, calendar_features, snapped
from tsforecast.data.panel import Panel
from tsforecast.data.series import Roles, Source
from tsforecast.data.zones import binned, from_utc, origin_of, to_utc
from tsforecast.errors import Argument, DataError, Phrase, Problem, Row, counted, likewise, raise_any
from tsforecast.mapped import rows_between, scratch

FUTURE = Argument("future", "")
CUTOFFS = 2_000  # of a part that was held out that are forecast from, at most


class Context:
    """Rows before n cutoffs of a panel; no method reveals a row at or after its cutoff, or before its start.

    For each cutoff, (n,), `series` is the position of its series, `n_observed` the rows of the series before it, at
    least 1, and `start` the first row of the context, 0 unless given; `lengths` are the rows of each context.
    `extended` returns the panel with the rows that hold the future covariates, where they do not lie in `panel`.
    """

    def __init__(
        self,
        panel: Panel,
        series: NDArray[np.int64],
        n_observed: NDArray[np.int64],
        start: NDArray[np.int64] | None = None,
        extended: Callable[[], Panel] | None = None,
    ) -> None:
        self._panel = panel
        self._n_observed = n_observed
        self._start = np.zeros_like(n_observed) if start is None else start
        self.extended = extended
        self._tails: dict[int, NDArray[np.float64]] = {}  # read by cautions and forecasts alike
        self.scalings: dict[Any, Any] = {}  # of each preprocessor, see `Preprocessor.of`
        self.series = series
        self.lengths = n_observed - self._start

    @classmethod
    def at_end(cls, panel: Panel, extended: Callable[[], Panel] | None = None) -> Context:
        """Return the context whose cutoffs are the ends of all series."""
        return cls(panel, np.arange(len(panel)), panel.lengths, extended=extended)

    def __len__(self) -> int:
        return len(self.series)

    def select(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> Context:
        """Return the context of the chosen cutoffs."""
        return Context(self._panel, self.series[chosen], self._n_observed[chosen], self._start[chosen], self.extended)

    def by_time(self) -> Iterator[tuple[NDArray[np.int64], Panel]]:
        """Yield the positions of the cutoffs at each time, and the contexts there as a panel."""
        ends = self._panel.firsts[self.series] + self._n_observed
        for at in (np.flatnonzero(ends == end) for end in np.unique(ends)):
            every = self._panel.select(self.series[at])
            yield at, every.between(self._start[at], self._n_observed[at])

    def of_all_series(self) -> tuple[Context, NDArray[np.int64]]:
        """Return the contexts of all series of the panel at the times of these cutoffs, and where these are in it."""
        panel, first = self._panel, self._panel.firsts[self.series]
        ticks, at = np.unique(first + self._n_observed, return_inverse=True)
        begins = np.zeros_like(ticks)  # of contexts that do not go back to the first row
        np.maximum.at(begins, at, np.where(self._start > 0, first + self._start, 0))
        seen = panel.rows_before(ticks[:, None])  # (F, N)
        start = np.where(seen > 0, panel.rows_before(begins[:, None]), 0)
        number, series = np.nonzero(seen > start)
        chosen = Context(panel, series, seen[number, series], start[number, series], self.extended)
        return chosen, np.searchsorted(number * len(panel) + series, at * len(panel) + self.series)

    @property
    def starts(self) -> NDArray[np.int64]:
        """First row of each context, shape (n,)."""
        return self._start

    @property
    def ids(self) -> NDArray[Any]:
        """Series id of each cutoff, shape (n,)."""
        return self._panel.ids[self.series]

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that `tail` and `history` hold, targets first."""
        return self._panel.roles.varying

    @property
    def roles(self) -> Roles:
        """Roles of the columns of the context."""
        return self._panel.roles

    @property
    def texts(self) -> dict[str, tuple[str, ...]]:
        """Texts of the codes of its columns, and of those that are known ahead."""
        return (self.extended() if self.extended else self._panel).roles.categories

    @property
    def n_targets(self) -> int:
        """Number of target columns."""
        return self._panel.n_targets

    @property
    def season_length(self) -> int:
        """Steps in one season."""
        return self._panel.season_length

    def tail(self, window: int, least: int | None = None) -> NDArray[np.float64]:
        """Return the last `window` rows before each cutoff, shape (n, W, C), not to be written to.

        A missing number is replaced by the one before it, at the start of the context by the first number in it; so are
        rows before it, where it has fewer than the window. NaN is left only in a column that has no number before the
        cutoff. DataError names the first series that has fewer rows than the `least`: the window, unless given.
        """
        least = window if least is None else least
        short = np.flatnonzero(self.lengths < least)
        if len(short):
            name, length = str(self.ids[short[0]]), self.lengths[short[0]]
            others = f" (and {len(short) - 1} more)" if len(short) > 1 else ""
            raise DataError(
                f"the window must fit in the past of every series: needs {least} steps, series {name!r} has "
                f"{length}{others}; give more past, or fit with window <= {length} "
                f"(a backtest with a min_past of {least} leaves such cutoffs out)"
            )
        if window not in self._tails:
            place = self._n_observed[:, None] - np.arange(window, 0, -1)  # (n, W)
            begin = self._panel.offsets[self.series]
            if np.any(self.lengths < window):
                found = self._panel.filled[begin[:, None] + np.maximum(place, self._start[:, None])]  # (n, W, C)
            else:  # one copy of so many rows each, faster than row by row
                every = sliding_window_view(self._panel.filled, window, axis=0)  # (rows - W + 1, C, W)
                found = every[begin + self._n_observed - window].transpose(0, 2, 1)
            rows = self._known(found, place)
            rows.setflags(write=False)
            self._tails[window] = rows
        return self._tails[window]

    def lagged(self, lags: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the rows that lie `lags` (n, L) steps before each cutoff (1: the last row), (n, L, C); see `tail`."""
        if lags.min() < 1 or np.any(lags > self.lengths[:, None]):
            raise DataError(f"lags must lie between 1 and the steps of the context: got {lags.min()} to {lags.max()}")
        rows = self._n_observed[:, None] - lags  # (n, L)
        return self._known(self._panel.filled[self._panel.offsets[self.series][:, None] + rows], rows)

    def _known(self, found: NDArray[Any], rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return filled numbers (n, L, C) of `rows` as known at each cutoff."""
        if self._start.any() or np.isnan(found).any():
            first = self._first  # (n, C)
            # Where nothing is known, the last row of the context holds NaN.
            place = np.minimum(first, self._n_observed[:, None] - 1)
            begin = self._panel.offsets[self.series][:, None]
            known = self._panel.values[begin + place, np.arange(found.shape[2])]  # (n, C)
            found = np.where(rows[..., None] < first[:, None], known[:, None], found)
        return found.astype(np.float64)

    @cached_property
    def _first(self) -> NDArray[np.int64]:
        """Row of the first number of each column in the context, (n, C); not before the cutoff if there is none."""
        first = np.maximum(self._panel.first_numbers[self.series], self._start[:, None])
        begin = self._panel.offsets[self.series]
        at = begin[:, None] + np.minimum(first, self._n_observed[:, None] - 1)
        missing = np.isnan(self._panel.values[at, np.arange(first.shape[1])]) & (first < self._n_observed[:, None])
        for i in np.flatnonzero(missing.any(axis=1)):  # the context starts with missing numbers
            there = ~np.isnan(self._panel.values[begin[i] + self._start[i] : begin[i] + self._n_observed[i]])
            first[i] = np.where(there.any(axis=0), self._start[i] + there.argmax(axis=0), self._n_observed[i])
        return first

    @property
    def has_observations(self) -> NDArray[np.bool_]:
        """Whether the context has a number of each target, shape (n, K); a forecast needs one."""
        return np.asarray(self._first[:, : self.n_targets] < self._n_observed[:, None])

    @property
    def known_lengths(self) -> NDArray[np.int64]:
        """Rows of the context from the first number of each target on, (n, K)."""
        return np.asarray(self._n_observed[:, None] - self._first[:, : self.n_targets])

    def problems(self) -> list[str]:
        """Return a sentence on the targets that cannot be forecast, if there are any."""
        lacks = np.argwhere(~self.has_observations)
        return [
            f"a target must have a number before its forecast: column {self.columns[k]!r} of series "
            f"{str(self.ids[i])!r} has none in {self.lengths[i]} steps{likewise(lacks[:, 0], len(self))}; leave "
            f"{'that' if len(lacks) == 1 else 'such'} series out, or give more of its past"
            for i, k in lacks[:1]
        ]

    def future_known(self, horizon: int) -> NDArray[np.float64]:
        """Return the known future covariates of the steps after each cutoff, shape (n, horizon, F).

        Where the data end, or a number is missing, the number before it is repeated.
        """
        width = len(self._panel.roles.future)
        if not width:
            return np.zeros((len(self), horizon, 0))
        panel = self.extended() if self.extended else self._panel
        steps = self._n_observed[:, None] + np.arange(horizon)  # (n, H)
        rows = np.minimum(steps, panel.lengths[self.series][:, None] - 1)
        rows += panel.offsets[self.series][:, None]
        known: NDArray[Any] = panel.values[rows, -width:]
        if np.isnan(known).any():  # all of the panel must be filled in: as a rule no number is missing here
            known = panel.filled[rows, -width:]
        return known.astype(np.float64)

    def on_the_wall(self, horizon: int) -> NDArray[np.int64] | None:
        """Return the step whose forecast each step takes, (n, horizon), where the clocks of a zone change; else None.

        Steps in UTC whose seasons are days repeat the wrong hour once the clocks of the zone have changed since the
        season before: they take the forecast of the same time on the wall. Known covariates may hold the time of
        day, so that models with any keep their own.
        """
        panel, step = self._panel, self._panel.frequency
        days = step.unit == "nanosecond" and panel.season_length * step.count % DAY == 0
        if panel.kind != "datetime" or panel.source.local_zone is None or not days or panel.roles.future:
            return None
        zone, steps = panel.source.local_zone, np.arange(horizon)
        ahead = self._n_observed[:, None] + steps  # (n, H)
        before = self._n_observed[:, None] - panel.season_length + steps % panel.season_length
        now, then = (panel.stamps(self.series[:, None], each) for each in (ahead, before))
        change = (from_utc(now.ravel(), zone) - now.ravel()) - (from_utc(then.ravel(), zone) - then.ravel())
        later = (np.sign(change) * (np.abs(change) // step.count)).reshape(now.shape)
        return np.maximum(steps + later, 0) if later.any() else None

    def of_lost_hours(self, steps: NDArray[np.int64]) -> tuple[NDArray[np.bool_], Context, NDArray[np.int64]]:
        """Return which of the steps `on_the_wall` have hours that the last season lacks, (n, horizon), and a remedy.

        A day that is an hour shorter or longer lacks an hour of the clocks in as many steps. The remedy is a context
        that ends so much earlier that its last season has the hours, and the steps whose forecast is taken there.
        """
        panel, season, step = self._panel, self._panel.season_length, self._panel.frequency.count
        zone, length, end = str(panel.source.local_zone), season * step, self._n_observed[:, None]
        moments = partial(panel.stamps, self.series[:, None])
        ahead, last = np.arange(steps.shape[1]), moments(end - 1)

        def wall(utc: Stamps) -> Stamps:
            return from_utc(utc.ravel(), zone).reshape(utc.shape)

        wanted = wall(moments(end + ahead))
        lost = (wanted - wall(moments(end - season + steps % season))) % length != 0
        same = wanted + (wall(last) - wanted) // length * length  # the last such hour that the past has
        for _ in range(2):  # nor may the clocks have skipped it
            since = last - to_utc(same, zone)
            same = np.where((wall(last - since) != same) | (since < 0), same - length, same)
        since = last - to_utc(same, zone)
        row = end - 1 - since // step
        lost &= (row >= 0) & (since % step == 0)
        earlier = np.where(lost, end - season - row, 0).max(axis=1, keepdims=True, initial=0)
        lost &= row < end - earlier
        taken = row - (end - earlier - season)
        taken += np.maximum((ahead + earlier - taken) // season, 0) * season
        begin = np.maximum(self._start - earlier[:, 0], 0)
        return lost, Context(panel, self.series, self._n_observed - earlier[:, 0], begin), taken

    def earlier(self, index: int, rows: NDArray[np.int64]) -> Context:
        """Return the context of cutoff `index` as it was after `rows` rows of its series, of those that it holds."""
        if np.any(rows <= self._start[index]) or np.any(rows > self._n_observed[index]):
            raise DataError(f"an earlier cutoff must lie in the context: got {rows.min()} to {rows.max()} rows")
        same = np.full(len(rows), index)
        return Context(self._panel, self.series[same], rows, self._start[same], self.extended)

    def outcomes(self, index: int, first: int, horizon: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the cutoffs before cutoff `index`, from row `first` on, and the truth after each, (e, H, K).

        They are the last `CUTOFFS`, and the truth is NaN where the context does not hold it.
        """
        last, start = int(self._n_observed[index]), int(self._start[index])
        cutoffs = np.arange(max(first, last - CUTOFFS), last)
        rows = cutoffs[:, None] + np.arange(horizon)  # (e, H)
        values = self.history(index, filled=False)[:, : self.n_targets]
        return cutoffs, np.where((rows < last)[..., None], values[np.minimum(rows, last - 1) - start], np.nan)

    def continues(self, panel: Panel) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the position in `panel` of each cutoff's series, and the row of this one where `panel` ends, (n,).

        The position is -1 for a series that `panel` does not hold, or whose last known row there is another one here.
        """
        known, width = {name: at for at, name in enumerate(panel.ids.tolist())}, self.n_targets
        positions, ends = np.full(len(self), -1), np.zeros(len(self), dtype=np.int64)
        for at in np.unique(self.series):
            mine, own = self.series == at, known.get(self._panel.ids[at], -1)
            if own < 0:
                continue
            steps = np.arange(self._n_observed[mine].max())
            last = panel.stamps(own, int(panel.lengths[own]) - 1)
            row = int(np.searchsorted(self._panel.stamps(int(at), steps), last))
            theirs = panel.series(own)[-1, :width]
            if row < len(steps) and np.array_equal(self._panel.series(int(at))[row, :width], theirs, equal_nan=True):
                positions[mine], ends[mine] = own, row + 1
        return positions, ends

    @property
    def rows(self) -> NDArray[np.int64]:
        """Rows of the series before each cutoff, those before the start of the context included, (n,)."""
        return self._n_observed

    @property
    def statics(self) -> dict[str, NDArray[Any]]:
        """Static columns and the group of each cutoff's series, shape (n,) each."""
        return {name: fact[self.series] for name, fact in self._panel.statics.items()}

    def history(self, index: int, filled: bool = True) -> NDArray[np.float64]:
        """Return all rows before cutoff `index`, shape (T, C).

        A missing number is replaced by the one before it, so that NaN is left before the first number only; unless
        `filled` is false.
        """
        begin, start, end = self._panel.offsets[self.series[index]], self._start[index], self._n_observed[index]
        if not filled:
            return self._panel.values[begin + start : begin + end].astype(np.float64)
        rows = self._panel.filled[begin + start : begin + end].astype(np.float64)
        if start:  # a number from before the start is not known
            rows[np.arange(start, end)[:, None] < self._first[index]] = np.nan
        return rows

    def histories(self) -> NDArray[np.float64]:
        """Return what `history` returns of each cutoff, one after the other, shape (rows, C)."""
        if self._start.any():
            return np.concatenate([self.history(i) for i in range(len(self))])
        begin = self._panel.offsets[self.series]
        return rows_between(self._panel.filled, begin, begin + self._n_observed).astype(np.float64, copy=False)


def with_future(panel: Panel, horizon: int, future: Any = None) -> Panel:
    """Return a panel with `horizon` more rows per series that hold the known future covariates, and NaN elsewhere.

    `future` is a frame with the future covariates of the steps after each series, with the time and id columns of the
    data; without a time axis, exactly `horizon` rows for each series, in the panel's order. DataError is raised when a
    future column or a date of it is missing.
    """
    given, roles = panel.roles.given.future, panel.roles
    if not panel.roles.future:
        if future is not None:
            remedy = ("name them with ", Argument("future"), " when the data are read")
            raise DataError(Problem("the panel has no future columns", "", remedy))
        return panel
    columns, count = panel.values.shape[1], len(panel)
    ahead = np.full((count, horizon, columns), np.nan)
    stamps = panel.stamps(np.arange(count)[:, None], panel.lengths[:, None] + np.arange(horizon))  # (N, H)
    at = len(panel.roles.varying) - len(panel.roles.future)
    if given:
        ahead[..., at : at + len(given)], found = _known(panel, stamps, future)
        roles = replace(roles, categories=roles.categories | found.categories)
    if panel.roles.calendar:
        features = calendar_features(stamps.ravel(), panel.roles.calendar, panel.source.local_zone)
        ahead[..., at + len(given) :] = features.reshape(count, horizon, -1)
    offsets = panel.offsets + horizon * np.arange(count + 1)
    values = scratch((int(offsets[-1]), columns), np.float64, panel.values)
    for i, end in enumerate(offsets[1:]):
        values[offsets[i] : end - horizon], values[end - horizon : end] = panel.series(i), ahead[i]
    return replace(panel, values=values, offsets=offsets, roles=roles)


def _on_clock_of(source: Source, stamps: Stamps, given: Source) -> Stamps:
    """Convert the stamps of a frame that was read as `given` to the clock of `source`, as moments that exist."""
    if bool(source.zone) != bool(given.zone):
        has, other = (f"the zone {source.zone}", "no zone") if source.zone else ("no zone", f"the zone {given.zone}")
        must = (FUTURE, f" must have time stamps like those of the data, which have {has}")
        raise DataError(Problem(must, f"got {other}", "localize or convert them first"))
    if not source.zone or not given.zone or (source.zone, source.wall_clock) == (given.zone, False):
        return stamps
    if source.wall_clock and given.wall_clock and source.zone.startswith("Etc/") and given.zone.startswith("Etc/"):
        return stamps  # offsets from UTC, of which a place may have two
    utc = to_utc(stamps, given.zone) if given.wall_clock else stamps
    return from_utc(utc, source.zone) if source.wall_clock else utc


def _known(panel: Panel, stamps: NDArray[np.int64], future: Any) -> tuple[NDArray[np.float64], Roles]:
    """Look the future columns up for each series and stamp, (N, H, F); return their roles, with texts, as well."""
    names = panel.roles.given.future
    quoted = ", ".join(repr(name) for name in names)
    count, horizon = stamps.shape
    must = f"future columns {quoted} must be known for the {horizon} steps after each series"
    if future is None:
        first, last = (panel.label(stamps[0, end]) for end in (0, -1))
        remedy = (Phrase("pass future=, a frame", "future frame"), f" from {first} to {last}")
        raise DataError(Problem(must, "nothing was given", remedy))
    source = panel.source
    alone = source.id is None
    texts = {name: held for name, held in panel.roles.categories.items() if name in names}
    table = frames.read(future, Roles(future=names, categories=texts), source.time, source.id, alone, "none", panel)
    raise_any(table.problems)
    values = np.stack([table.columns[name] for name in names], axis=1)  # (rows, F)
    raise_any(
        Problem(
            f"future column {name!r} must hold finite numbers",
            (Row(int(np.isinf(column).argmax())), " of ", FUTURE, f" holds {column[np.isinf(column)][0]}"),
            "correct it",
        )
        for name, column in zip(names, values.T, strict=True)
        if np.isinf(column).any()
    )
    if table.stamps is None:
        if len(values) != count * horizon:
            due = (FUTURE, f" must have {horizon} rows for each of {count} series")
            raise DataError(Problem(due, f"got {len(values)} rows"))
        known: NDArray[np.float64] = values.reshape(count, horizon, -1)
        raise_any(_gaps(panel, known, stamps, np.arange(len(values)).reshape(count, horizon)))
        return known, table.roles
    import pandas as pd

    labels = np.repeat(panel.ids[:1], len(values)) if table.ids is None else table.ids[table.codes]
    moments, rows = _on_clock_of(source, table.stamps, table.source), np.arange(len(values))
    if panel.cleaning.resample or panel.cleaning.tolerance:
        labels, moments, values, rows = _on_grid_of(panel, labels, moments, values, table.roles.coded)
    given = pd.MultiIndex.from_arrays([labels, moments])
    wanted = pd.MultiIndex.from_arrays([np.repeat(panel.ids, horizon), _on_clock_of(source, stamps.ravel(), source)])
    if not given.is_unique:
        once = (FUTURE, " must have each time stamp of a series once")
        raise DataError(Problem(once, "some occur twice", "drop the extra rows"))
    place = given.get_indexer(wanted)
    known = values[place].reshape(count, horizon, -1)
    missing = (place < 0).reshape(count, horizon)
    problems: list[str] = []
    lacking = np.flatnonzero(missing.any(axis=1))
    for i in lacking[:1]:
        since = panel.label(stamps[i, missing[i].argmax()])
        lacks = f"series {str(panel.ids[i])!r} lacks {missing[i].sum()}, from {since} on{likewise(lacking, count)}"
        problems.append(Problem(must, lacks, ("add them to ", FUTURE), series=panel.ids[i]))
    known[missing] = 0  # reported above
    raise_any(problems + _gaps(panel, known, stamps, rows[place].reshape(count, horizon)))
    return known, table.roles


def _on_grid_of(
    panel: Panel, labels: NDArray[Any], stamps: Stamps, values: NDArray[np.float64], coded: Sequence[int]
) -> tuple[NDArray[Any], Stamps, NDArray[np.float64], NDArray[np.int64]]:
    """Bin, or snap, rows of a frame as the panel was read: return their series, stamps, numbers and rows."""
    import pandas as pd

    cleaning, step = panel.cleaning, panel.frequency.count
    origin = origin_of(panel.source, panel.kind)
    if cleaning.tolerance:
        series = pd.Index(panel.ids).get_indexer(labels)
        within = Frequency.parse(cleaning.tolerance).count
        return labels, snapped(stamps, panel.starts[series], step, within, origin), values, np.arange(len(values))
    codes, ids = pd.factorize(labels)
    order = np.lexsort((stamps, codes))
    rows, how = (values[order], codes[order], stamps[order]), cleaning.aggregate
    series, ends, numbers, row = binned(*rows, step, how, origin, coded)
    return ids[series], ends, numbers, order[row]


def _gaps(
    panel: Panel, known: NDArray[np.float64], stamps: NDArray[np.int64], place: NDArray[np.integer[Any]]
) -> list[str]:
    """Return a problem for each of the future columns, shape (N, H, F), that holds something else than numbers.

    `place`, of shape (N, H), are their rows in the input.
    """
    problems: list[str] = []
    for at, name in enumerate(panel.roles.given.future):
        wrong = ~np.isfinite(known[..., at])  # (N, H)
        lacking = np.flatnonzero(wrong.any(axis=1))
        for i in lacking[:1]:
            first = int(wrong[i].argmax())
            when = f" ({panel.label(stamps[i, first])})" if panel.kind != "none" else ""
            count = counted(wrong[i].sum(), "NaN or infinite value")
            has = f"series {str(panel.ids[i])!r} has {count}, first at "
            must = (f"future column {name!r} must be complete in ", FUTURE)
            got = (has, Row(int(place[i, first])), when + likewise(lacking, len(panel)))
            problems.append(Problem(must, got, "replace them by numbers", series=panel.ids[i]))
    return problems


def held_out(
    panel: Panel, seen: NDArray[np.int64], horizon: int, least: int | None = None, most: int = CUTOFFS
) -> tuple[Context, NDArray[np.float64]]:
    """Return cutoffs spread over the validation part, `most` at most, and the truth after them, (n, H, K).

    The horizon behind each lies in the data; with `least`, so many steps do, and the truth of the others is NaN.
    """
    # A whole group that validates is forecast in its second half: members need a past.
    first = np.where(seen > 0, seen, panel.first_cutoffs(horizon))
    counts = np.maximum(panel.lengths - (least or horizon) - first + 1, 0)
    ends, count = np.cumsum(counts), int(counts.sum())
    chosen = np.unique(np.linspace(0, count - 1, min(most, count)).astype(int))
    series = np.searchsorted(ends, chosen, side="right")
    cutoffs = first[series] + chosen - (ends - counts)[series]
    steps = cutoffs[:, None] + np.arange(horizon)  # (n, H)
    there = steps < panel.lengths[series][:, None]
    rows = panel.offsets[series][:, None] + np.where(there, steps, 0)
    truth = panel.values[rows, : panel.n_targets].astype(np.float64)
    truth[~there] = np.nan
    return Context(panel, series, cutoffs), truth


def with_observations(past: Context, truth: NDArray[np.float64]) -> tuple[Context, NDArray[np.float64]]:
    """Return the cutoffs at which a target has a number, and the truth after them, NaN of targets that have none."""
    there = past.has_observations  # (n, K)
    some = np.asarray(there.any(axis=1))
    return past.select(some), np.where(there[some][:, None], truth[some], np.nan)
