"""Shuffles: contexts in which one part of what is seen comes from other cutoffs, and the order of those cutoffs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.data.calendar import calendar_columns
from tsforecast.data.context import Context, held_out
from tsforecast.data.panel import Panel

Floats = NDArray[np.float64]
RIDGE = 1e-6  # of the variance of a number, so that steps that copy each other have an inverse
NUMBERS = 1_500  # of a window whose steps are foretold from all its columns
BLOCKS = 8  # of past steps, at most, unless their length is given


@dataclass(frozen=True)
class Part:
    """Something that a forecast reads: steps of the targets, a covariate or a static column."""

    name: str
    kind: str  # past steps, past, future, calendar or static
    columns: tuple[int, ...] = ()  # of the rows of a context
    steps: tuple[int, int] | None = None  # the last and the first one that it has, counted back from the cutoff
    static: str | None = None  # name of a static column

    def seen(self, past: Context, window: int, horizon: int) -> NDArray[Any]:
        """Return what the part holds at each cutoff, (n, values)."""
        if self.static is not None:
            return np.asarray(past.statics[self.static])[:, None]
        rows = past.tail(window, 1)[:, self.back(window)][..., list(self.columns)]
        parts = [rows.reshape(len(past), -1)]
        if at := self.ahead(past)[0]:
            parts.append(past.future_known(horizon)[..., at].reshape(len(past), -1))
        return np.concatenate(parts, axis=1)

    def back(self, window: int) -> slice:
        """Return the steps as rows of a window."""
        if self.steps is None:
            return slice(None)
        last, first = self.steps
        return slice(max(window - first, 0), max(window - last + 1, 0))

    def ahead(self, past: Context) -> tuple[list[int], list[int]]:
        """Return its future covariates, as positions among those that are known ahead and among all columns."""
        begin = len(past.columns) - past.future_known(1).shape[2]
        columns = [column for column in self.columns if column >= begin]
        return [column - begin for column in columns], columns


def parts_of(panel: Panel, window: int, steps: int | None) -> list[Part]:
    """Return the parts that a window of a panel has: blocks of so many past steps, then covariates and static columns.

    Blocks are seasons unless their length is given; longer ones where there would be too many, and quarters of the
    window where it holds less than two seasons.
    """
    roles, season = panel.roles, panel.season_length
    if steps is None:
        whole = season if 1 < season <= window // 2 else -(-window // 4)
        steps = whole * -(-window // (whole * BLOCKS))
    targets = tuple(range(panel.n_targets))
    found = []
    for last in range(1, window + 1, steps):
        first = min(last + steps - 1, window)
        name = f"{last} to {first} steps back" if first > last else f"{last} step{'s' * (last > 1)} back"
        found.append(Part(name, "past steps", targets, (last, first)))
    place = {name: at for at, name in enumerate(roles.varying)}
    found += [Part(name, kind, (place[name],)) for kind in ("past", "future") for name in getattr(roles.given, kind)]
    for name in roles.calendar:
        found.append(Part(name, "calendar", tuple(place[column] for column in calendar_columns([name]))))
    return found + [Part(name, "static", static=name) for name in roles.static]


class Shuffled(Context):
    """A context in which one part comes from other cutoffs of it, (n,), in units of their series."""

    def __init__(
        self,
        past: Context,
        part: Part,
        donors: NDArray[np.int64],
        units: Units,
        news: Floats | None = None,
        own: NDArray[np.int64] | None = None,
    ) -> None:
        self._past, self._part, self._donors, self._units, self._news = past, part, donors, units, news
        self._own = np.arange(len(past)) if own is None else own  # the cutoffs that are left, as positions in `past`
        begin = past._start[self._own]
        super().__init__(past._panel, past.series[self._own], past._n_observed[self._own], begin, past.extended)

    def select(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> Shuffled:
        """Return the chosen cutoffs; see `Context.select`."""
        return Shuffled(self._past, self._part, self._donors[chosen], self._units, self._news, self._own[chosen])

    def tail(self, window: int, least: int | None = None) -> Floats:
        """Return the last rows before each cutoff; see `Context.tail`."""
        every, back, columns = self._past.tail(window, least), self._part.back(window), list(self._part.columns)
        rows = every[self._own]
        if self._news is None:
            rows[:, back, columns] = self._moved(every[:, back][..., columns], columns)
        else:  # the rest of the window stays what it was, and so does what it foretells of these steps
            news = self._news[:, self._news.shape[1] - (back.stop - back.start) :]
            rows[:, back, columns] += self._moved(news, columns, level=False) - news[self._own]
        return rows

    def future_known(self, horizon: int) -> Floats:
        """Return the known future covariates; see `Context.future_known`."""
        every, (at, columns) = self._past.future_known(horizon), self._part.ahead(self._past)
        known = every[self._own]
        if at:
            known[..., at] = self._moved(every[..., at], columns)
        return known

    @property
    def statics(self) -> dict[str, NDArray[Any]]:
        """Static columns; see `Context.statics`."""
        every, name = self._past.statics, self._part.static
        return {each: values[self._donors if each == name else self._own] for each, values in every.items()}

    def _moved(self, values: Floats, columns: list[int], level: bool = True) -> Floats:
        """Return what the donors have of columns, (n, steps, columns), in units of those that receive it."""
        return self._units.moved(values, self._donors, self._own, columns, level)


@dataclass(frozen=True, eq=False)
class Units:
    """Level and size of each column at each cutoff, (n, C): where a number of another series would lie."""

    level: Floats
    size: Floats

    @classmethod
    def of(cls, past: Context, panel: Panel, per_series: bool, powered: bool) -> Units:
        """Return the mean and the standard deviation of the series of each cutoff.

        Targets whose logarithm or power is read are relative to their mean size: they may not become negative. Where
        one scale serves all series, and where there is one alone, numbers stay as they are.
        """
        level, size = np.zeros((len(panel), panel.values.shape[1])), np.ones((len(panel), panel.values.shape[1]))
        for i in np.unique(past.series).tolist() if per_series and len(panel) > 1 else ():
            rows = panel.series(i).astype(np.float64)
            there, rows = ~np.isnan(rows), np.nan_to_num(rows)
            count = np.maximum(there.sum(axis=0), 1)
            level[i] = rows.sum(axis=0) / count
            size[i] = np.sqrt((np.where(there, rows - level[i], 0.0) ** 2).sum(axis=0) / count)
            if powered:
                targets = panel.n_targets
                level[i, :targets], size[i, :targets] = 0.0, np.abs(rows[:, :targets]).sum(axis=0) / count[:targets]
        level[:, panel.roles.coded], size[:, panel.roles.coded] = 0.0, 1.0  # texts have no size
        return cls(level[past.series], np.where(size > 0, size, 1.0)[past.series])

    def moved(
        self, values: Floats, donors: NDArray[np.int64], own: NDArray[np.int64], columns: list[int], level: bool = True
    ) -> Floats:
        """Return what donors have of values, (n, steps, columns), where it would lie at the cutoffs `own`.

        Differences, such as corrections, have a size but no level.
        """
        columns_of = (slice(None), None, columns)
        scaled = values[donors] - (self.level[donors][columns_of] if level else 0.0)
        scaled = scaled / self.size[donors][columns_of] * self.size[own][columns_of]
        return np.asarray(scaled + (self.level[own][columns_of] if level else 0.0))


@dataclass(frozen=True, eq=False)
class Innovations:
    """What steps of a window hold that the rest of it does not foretell, by the best linear forecast of them.

    Steps of a series resemble each other: windows with a block from elsewhere would be none of this series, and a model
    that spreads its weights over steps that resemble each other would err without any of them. The rows of the inverse
    of the covariance of a window have the forecast of each step from all others.
    """

    precision: Floats  # of the numbers of a window in units of their series, step by step, (W * C, W * C)
    columns: tuple[int, ...]  # that they are of

    @classmethod
    def of(cls, panel: Panel, window: int, per_series: bool, powered: bool) -> Innovations:
        """Return those of the windows of a panel; the covariance is shrunk [Ledoit and Wolf 2004].

        Where windows of all columns have too many numbers, those of the targets alone foretell each other.
        """
        from sklearn.covariance import ledoit_wolf

        past, _ = held_out(panel, np.minimum(window, panel.lengths), 1)
        past = past.select(past.lengths >= window)
        every = [at for at in range(panel.values.shape[1]) if at not in panel.roles.coded]
        columns = tuple(every if len(every) * window <= NUMBERS else every[: panel.n_targets])
        rows = _flat(past, window, columns, Units.of(past, panel, per_series, powered))
        size = rows.std(axis=0)
        size[size == 0] = 1.0
        covariance = ledoit_wolf(rows / size)[0] + RIDGE * np.eye(rows.shape[1])
        return cls(np.linalg.inv(covariance) / np.outer(size, size), columns)

    def __call__(self, past: Context, part: Part, units: Units, window: int) -> Floats:
        """Return those of the steps of a part, (n, steps, K), in the data's own units."""
        back, targets = part.back(window), list(part.columns)
        at = (np.arange(back.start, back.stop)[:, None] * len(self.columns) + np.array(targets)).ravel()
        weighted = _flat(past, window, self.columns, units) @ self.precision[:, at]  # (n, steps * K)
        found = np.linalg.solve(self.precision[np.ix_(at, at)], weighted.T).T
        return np.asarray(found.reshape(len(past), -1, len(targets)) * units.size[:, None, targets])


def _flat(past: Context, window: int, columns: tuple[int, ...], units: Units) -> Floats:
    """Return the numbers of windows in units of their series, (n, W * C); those that are missing are means."""
    chosen = list(columns)
    rows = (past.tail(window, 1)[..., chosen] - units.level[:, None, chosen]) / units.size[:, None, chosen]
    there = ~np.isnan(rows)
    mean = np.nan_to_num(rows).sum(axis=(0, 1)) / np.maximum(there.sum(axis=(0, 1)), 1)
    return np.where(there, rows - mean, 0.0).reshape(len(past), -1)


def donors(series: NDArray[np.int64], count: int, random: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Yield `count` orders of n cutoffs, (n,), of series in order of time: the cutoff that each one takes a part from.

    The series come in a random order, and all cutoffs are then turned by a random number of places: what follows each
    other in time still does, so that a column that is alike from step to step stays so, and a chance likeness of it and
    the errors is as frequent as it was [a permutation of single cutoffs would find it significant far too often]. One
    series has n - 1 turns, which come once each.
    """
    own = np.split(np.arange(len(series)), np.flatnonzero(np.diff(series)) + 1)
    turns = 1 + random.permutation(len(series) - 1)
    if len(own) > 1:
        turns = random.integers(1, len(series), count)
    for turn in turns[:count].tolist():
        order = np.concatenate([own[i] for i in random.permutation(len(own))])
        yield np.roll(order, turn)


def spans(panel: Panel, past: Context, horizon: int) -> NDArray[np.int64]:
    """Return the span of time of each cutoff, (n,): 5 to 10, of a horizon where the cutoffs allow as many.

    Where series have fewer than 10 different cutoffs, each is a span of its own.
    """
    moments, place = np.unique(panel.stamps(past.series, past.rows - 1), return_inverse=True)
    if len(moments) < 10:
        return past.series
    count = np.clip((past.rows.max() - past.rows.min() + 1) // horizon, 5, 10)
    return np.asarray(place * count // len(moments))
