"""Splits in time and by group: rolling origins, folds of groups; they return positions and never look at values.

Splitters of groups are those of scikit-learn, and take a panel as well as arrays with ``groups``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from sklearn import model_selection

from tsforecast.checks import one_of, whole
from tsforecast.data.panel import Panel
from tsforecast.errors import Argument, DataError, Parameter, ParameterError, Problem, Text, counted, raise_any

Positions = NDArray[np.int64]
Align = Literal["time", "end"]  # cutoffs at the same times, or counted from the end of each series


@dataclass(frozen=True, eq=False)
class Cutoff:
    """One cutoff of all N series: rows ``start:seen`` may be seen, rows ``first:last`` are the targets, (N,) each.

    A series that has ended has no targets.
    """

    tick: int  # on the clock of `clock_of`
    start: Positions
    seen: Positions
    first: Positions
    last: Positions
    min_past: int = 1  # rows that must be seen of a series that is forecast
    on_calendar: bool = True  # the same time in all series; else counted from the end of each

    @property
    def has_observations(self) -> NDArray[np.bool_]:
        """Whether enough of each series may be seen to forecast it, shape (N,)."""
        return np.asarray(self.seen - self.start >= self.min_past)

    def select(self, chosen: Positions) -> Cutoff:
        """Return the cutoff of the chosen series."""
        return replace(self, **{name: getattr(self, name)[chosen] for name in ("start", "seen", "first", "last")})


def is_tested(cutoffs: list[Cutoff]) -> NDArray[np.bool_]:
    """Return for each cutoff and series whether the series is forecast there and has a target, shape (F, N)."""
    start, seen, first, last = (
        np.stack([getattr(cutoff, name) for cutoff in cutoffs]) for name in ("start", "seen", "first", "last")
    )
    return np.asarray((seen - start >= cutoffs[0].min_past) & (last > first))


@dataclass(frozen=True, eq=False)
class Fold:
    """One fit: the series to train on, those to test on, and the cutoffs to forecast them from."""

    number: int  # the audit looks at fold 0
    train: Positions
    test: Positions
    cutoffs: list[Cutoff]  # the oldest first; the model is fitted there


@dataclass(frozen=True)
class RollingOrigin:
    """Test on the last steps from one or several cutoffs, each of which sees its own past only.

    Parameters
    ----------
    horizon : int
        Steps to forecast from each cutoff.
    origins : int
        Number of cutoffs; the last one is `horizon` + `gap` steps before the end.
    step : int, optional
        Steps between neighbouring cutoffs; `horizon` unless given, so that no target is tested twice.
    gap : int
        Steps between a cutoff and the first target.
    train_length : int, optional
        Slide: a cutoff sees at most this many steps. Expand (see all of the past) unless given.
    min_past : int
        A series is forecast only from cutoffs that see at least this many of its steps: the window of a model that
        reads so many, where series are short.
    align : {"time", "end"}
        Cut series with time stamps at the same times, or each so many steps before its own end, as series without time
        stamps always are.

    Raises
    ------
    ParameterError
        When a number is too small to make sense.

    Examples
    --------
    >>> splitter = RollingOrigin(horizon=2, origins=2, gap=1)
    >>> splitter
    RollingOrigin: 2 cutoffs every 2 steps, horizon 2, gap 1, expanding
    >>> for train, test in splitter.split(range(8)):
    ...     print(train.tolist(), test.tolist())
    [0, 1, 2] [4, 5]
    [0, 1, 2, 3, 4] [6, 7]
    """

    horizon: int
    origins: int = 1
    step: int | None = None
    gap: int = 0
    train_length: int | None = None
    min_past: int = 1
    align: Align = "time"

    def __post_init__(self) -> None:
        problems = whole("horizon", self.horizon, 1) + whole("origins", self.origins, 1)
        problems += whole("step", self.step, 1, [None]) + whole("gap", self.gap, 0)
        problems += whole("train_length", self.train_length, 1, [None]) + whole("min_past", self.min_past, 1)
        problems += one_of("align", self.align, get_args(Align))
        if not problems and self.train_length is not None and self.min_past > self.train_length:
            problems.append(
                f"min_past must be <= train_length, the most that a cutoff sees: got {self.min_past}, train_length "
                f"{self.train_length}"
            )
        raise_any(problems, ParameterError)

    def __repr__(self) -> str:
        word = "cutoff" if self.origins == 1 else f"cutoffs every {counted(self.stride, 'step')}"
        kind = "expanding" if self.train_length is None else f"sliding over {counted(self.train_length, 'step')}"
        least = "" if self.min_past == 1 else f", after at least {self.min_past} steps"
        least += "" if self.align == "time" else ", counted from the end of each series"
        return f"RollingOrigin: {self.origins} {word}, horizon {self.horizon}, gap {self.gap}, {kind}{least}"

    @property
    def stride(self) -> int:
        """Steps between neighbouring cutoffs."""
        return self.step or self.horizon

    def ticks(self, length: int, reading: str = "") -> list[int]:
        """Return the cutoffs on a clock of `length` ticks, the oldest first.

        Parameters
        ----------
        length : int
        reading : str
            How the data were read, for the error's sentence; see `Panel.reading`.

        Raises
        ------
        DataError
            When the oldest cutoff would see nothing.
        """
        newest = length - self.gap - self.horizon
        oldest = newest - (self.origins - 1) * self.stride
        least = self.min_past
        if oldest < least:
            needed = self.gap + self.horizon + (self.origins - 1) * self.stride + least
            fits = (newest - least) // self.stride + 1
            origins = Parameter("origins")
            alone = () if self.origins == 1 else (origins, " = 1 and ")  # with several, a shorter horizon may not do
            gap = (Parameter("gap"), " + ") if self.gap else ()
            remedy: Text = ("use ", *alone, *gap, Parameter("horizon"), f" <= {length - least}")
            if fits >= 1:
                remedy = ("use ", origins, f" <= {fits}")
            elif length <= least:
                remedy = "give more rows"
            leave = "a step to learn from" if least == 1 else f"min_past = {least} steps before the oldest cutoff"
            must = f"the origins, gap and horizon must leave {leave}"
            raise DataError(Problem(must, f"they need {needed} steps, the data have {length}{reading}", remedy))
        return [oldest + origin * self.stride for origin in range(self.origins)]

    def cutoffs(self, panel: Panel) -> list[Cutoff]:
        """Return the cutoffs of a panel, the oldest first."""
        clock = clock_of(panel, self.align)
        ticks = np.array(self.ticks(clock.clock_end, panel.reading))[:, None]
        seen, first, last = (
            clock.rows_before(ticks + more) for more in (0, self.gap, self.gap + self.horizon)
        )  # (F, N)
        start = np.zeros_like(seen) if self.train_length is None else clock.rows_before(ticks - self.train_length)
        rows = zip(ticks[:, 0].tolist(), start, seen, first, last, strict=True)
        return [Cutoff(*row, self.min_past, clock.kind != "none") for row in rows]

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[Positions, Positions]]:
        """Yield train and test positions of the rows of `X`, as scikit-learn's splitters do.

        The rows of `X` must be in time order; `y` and `groups` are ignored.

        Raises
        ------
        DataError
            When `X` is a panel, whose series have steps of their own, or has too few rows.
        """
        if isinstance(X, Panel):
            raise DataError(
                f"split takes the rows of one array: got a panel, whose {len(X)} series have rows of their own; "
                "use cutoffs(panel)"
            )
        for tick in self.ticks(len(X)):
            start = 0 if self.train_length is None else max(0, tick - self.train_length)
            yield np.arange(start, tick), np.arange(tick + self.gap, tick + self.gap + self.horizon)

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of cutoffs."""
        return self.origins


def holdout(horizon: int, gap: int = 0) -> RollingOrigin:
    """Return the splitter that tests once, on the last `horizon` steps.

    Examples
    --------
    >>> [(train.tolist(), test.tolist()) for train, test in holdout(2).split(range(5))]
    [([0, 1, 2], [3, 4])]
    """
    return RollingOrigin(horizon, gap=gap)


def clock_of(panel: Panel, align: Align | None) -> Panel:
    """Return the panel, or, aligned at the ends, one without time stamps, whose series all end at the same tick."""
    return replace(panel, kind="none") if align == "end" else panel


def trains_on_other_groups(panel: Panel, train: Positions, cutoff: Cutoff) -> bool:
    """Return whether the training series are sequences of other groups, which share no clock with the tested ones."""
    return not cutoff.on_calendar and len(train) < len(panel)


def training_part(panel: Panel, cutoff: Cutoff, train: Positions) -> Panel:
    """Return the training series up to a cutoff; all their rows where they share no clock with the tested ones."""
    if trains_on_other_groups(panel, train, cutoff):
        return panel.select(train)
    chosen = panel if np.array_equal(train, np.arange(len(panel))) else panel.select(train)
    return chosen.between(cutoff.start[train], cutoff.seen[train])


class _PanelGroups:
    """Splitter that takes groups, and the positions to split, from a panel."""

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        """Yield train and test positions: of the series of a panel, or of the rows of an array.

        Parameters
        ----------
        X : Panel or array
        y : ignored
        groups : array of shape (rows,)
            Group of each row of an array; a panel brings its own.

        Raises
        ------
        DataError
            When there are no groups, or too few.
        """
        rows, groups = self._checked(X, groups)
        yield from super().split(rows, y, groups)  # type: ignore[misc]

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return how many pairs `split` yields for the same data."""
        rows, groups = self._checked(X, groups)
        return int(super().get_n_splits(rows, y, groups))  # type: ignore[misc]

    def _checked(self, X: Any, groups: Any) -> tuple[Any, NDArray[Any]]:
        """Return something with one row for each group label, and the labels."""
        if isinstance(X, Panel):
            if X.groups is None:
                remedy = ("name the column with ", Argument("group"))
                raise DataError(Problem("a panel must have groups to be split by them", "", remedy))
            X, groups = np.zeros(len(X)), X.groups
        if groups is None:
            raise DataError("rows must have groups to be split by them: pass groups=..., one label for each row")
        labels = np.asarray(groups)
        found, least = len(set(labels.tolist())), self._least()
        if found < least:
            raise DataError(f"{self!r} needs at least {least} groups: the data have {found}")
        return X, labels

    def _least(self) -> int:
        raise NotImplementedError


class LeaveGroupsOut(_PanelGroups, model_selection.LeavePGroupsOut):  # type: ignore[misc]
    """Test on each group, or each combination of `n_groups` groups, and learn from all others.

    Examples
    --------
    >>> users = ["ann", "ann", "bob", "cem"]
    >>> for train, test in LeaveGroupsOut().split(range(4), groups=users):
    ...     print(train.tolist(), test.tolist())
    [2, 3] [0, 1]
    [0, 1, 3] [2]
    [0, 1, 2] [3]
    >>> LeaveGroupsOut()
    LeaveGroupsOut: 1 group tested at a time
    """

    def __init__(self, n_groups: int = 1) -> None:
        raise_any(whole("n_groups", n_groups, 1), ParameterError)
        super().__init__(n_groups=n_groups)

    def _least(self) -> int:
        return int(self.n_groups) + 1  # one of them to learn from

    def __repr__(self) -> str:
        return f"LeaveGroupsOut: {counted(self.n_groups, 'group')} tested at a time"


class GroupKFold(_PanelGroups, model_selection.GroupKFold):  # type: ignore[misc]
    """Test on `n_splits` parts of about equal size, each with whole groups.

    Examples
    --------
    >>> for train, test in GroupKFold(2).split(range(4), groups=["ann", "ann", "bob", "cem"]):
    ...     print(train.tolist(), test.tolist())
    [2, 3] [0, 1]
    [0, 1] [2, 3]
    """

    def __init__(self, n_splits: int = 5) -> None:
        raise_any(whole("n_splits", n_splits, 2), ParameterError)
        super().__init__(n_splits=n_splits)

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of parts; with data also make sure that there are as many groups."""
        if X is not None or groups is not None:
            self._checked(X, groups)
        return int(self.n_splits)

    def _least(self) -> int:
        return int(self.n_splits)

    def __repr__(self) -> str:
        return f"GroupKFold: {self.n_splits} parts with whole groups, each tested once"


def sides(panel: Panel, groups: LeaveGroupsOut | GroupKFold | None = None) -> list[tuple[Positions, Positions]]:
    """Return pairs of the series to train on and the series to test on, of different groups where the panel has any."""
    if panel.groups is None and groups is None:
        everyone = np.arange(len(panel))
        return [(everyone, everyone)]
    return list((groups or LeaveGroupsOut()).split(panel))
