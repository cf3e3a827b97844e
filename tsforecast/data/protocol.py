"""Protocol of a comparison: what is learned from, what is tested, and from which cutoffs; rows that come later."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tsforecast.checks import flag, one_of
from tsforecast.data.panel import Panel
from tsforecast.data.seasons import resolved
from tsforecast.data.splits import (
    Align,
    Fold,
    GroupKFold,
    LeaveGroupsOut,
    RollingOrigin,
    clock_of,
    is_tested,
    sides,
    training_part,
)
from tsforecast.errors import (
    Argument,
    DataError,
    ParameterError,
    Phrase,
    Problem,
    counted,
    names_of,
    raise_any,
    shorten,
)

LEAST_CUTOFFS, MOST_CUTOFFS = 10, 30  # where their number is not given and the data have room
TESTED = 1 / 3  # of the median series, its end, where cutoffs then lie


@dataclass(frozen=True)
class Protocol:
    """Test that is the same for every model; `backtest` explains the fields."""

    horizon: int
    origins: int = 1
    step: int | None = None
    gap: int = 0
    refit: bool = False
    train_length: int | None = None
    groups: LeaveGroupsOut | GroupKFold | None = None
    audit: Literal["data", "fit"] | None = "data"
    min_past: int = 1
    align: Align | None = None

    def __post_init__(self) -> None:
        raise_any(option_problems(self.refit, self.groups, self.audit, self.align), ParameterError)

    @property
    def ahead(self) -> int:
        """Steps from a cutoff to the last target."""
        return self.gap + self.horizon

    def folds(self, panel: Panel) -> list[Fold]:
        """Return the fits of one model: one for each split by groups, and for each cutoff where it is refitted.

        DataError is raised when the series are too short, most of them end too early, or there are too few groups.
        """
        cutoffs = self._origins.cutoffs(panel)
        tested, found = is_tested(cutoffs), []
        if self.align is None:
            self._require_most(panel, int(tested.any(axis=0).sum()))
        for train, test in sides(panel, self.groups):
            any_tested = tested[:, test].any(axis=1)  # of short sequences, at the last few cutoffs
            own = [cutoffs[i] for i in np.flatnonzero(any_tested)] or cutoffs
            found += [(train, test, part) for part in ([[cutoff] for cutoff in own] if self.refit else [own])]
        return [Fold(number, *fold) for number, fold in enumerate(found)]

    def long_enough(self, panel: Panel) -> Panel:
        """Return the panel without the series that are shorter than min_past + gap + horizon, with a note of them.

        All series are kept where `min_past` is 1. DataError is raised when there is no other.
        """
        least = self._origins.min_past + self.ahead
        short = panel.lengths < least
        if self.min_past == 1 or not short.any():
            return panel
        arithmetic = f"min_past + gap + horizon = {self.min_past} + {self.gap} + {self.horizon} = {least} steps"
        if short.all():
            raise DataError(
                f"a series must have {arithmetic}: the longest has {panel.lengths.max()}; use a smaller min_past or "
                "a shorter horizon"
            )
        names = shorten([repr(name) for name in map(str, panel.ids[short])])
        are = "is" if short.sum() == 1 else "are"
        note = f"{short.sum()} of {len(panel)} series {are} shorter than {arithmetic} and {are} left out: {names}"
        return replace(panel.select(np.flatnonzero(~short)), notes=(*panel.notes, note))

    def prepared(self, panel: Panel) -> Panel:
        """Return the panel that models are compared on: its series that are `long_enough`, with the season to find.

        All models and metrics have the seasons that the training part of the oldest cutoff has. None is sought where
        groups are left out: there is no part that no model is tested on.
        """
        panel = self.long_enough(panel)
        if panel.season_source not in ("calendar", "auto"):
            return panel
        oldest = self.folds(panel)[0]
        if len(oldest.test) < len(panel):
            return replace(panel, season_source="found" if panel.season_source == "auto" else "checked")
        return resolved(panel, training_part(panel, oldest.cutoffs[0], oldest.train))

    def _require_most(self, panel: Panel, tested: int) -> None:
        """Refuse cutoffs that test fewer than half of the series, if more could be tested before their own ends."""
        at_ends, count = 0, len(panel)
        if 2 * tested < count:
            with suppress(DataError):  # no series is long enough
                at_ends = int(is_tested(replace(self, align="end")._origins.cutoffs(panel)).any(axis=0).sum())
        if at_ends > tested:
            must = "most series must have a past and a target at the cutoffs"
            got = f"{count - tested} of {count} have none at any, since they were recorded at other times"
            ends = (Argument("align", "end", "pass"), f" to cut each before its own end, which tests {at_ends}, or ")
            remedy = (*ends, Argument("align", "time"), f" to test the other {tested} alone")
            raise DataError(Problem(must, got, remedy))

    @property
    def _origins(self) -> RollingOrigin:
        counts = (self.horizon, self.origins, self.step, self.gap, self.train_length, self.min_past)
        return RollingOrigin(*counts, align=self.align or "time")


def default_cutoffs(panel: Panel, protocol: Protocol, independent_series: bool = False) -> tuple[int, int | None, str]:
    """Return number and step of the cutoffs where the number of the protocol is not to be used, and the reason.

    Where groups are left out, series have clocks of their own or are independent, verdicts count those: one cutoff.
    """
    stride = protocol._origins.stride  # numbers that make no sense are refused here
    length, ahead = int(np.median(panel.lengths)), protocol.ahead
    room = min(int(length * TESTED), length - protocol.min_past) - ahead  # from the oldest cutoff to the newest
    last = f"the last third of the median series ({counted(length, 'step')})"
    if not counts_cutoffs(panel, protocol, independent_series):
        grouped = panel.groups is not None or protocol.groups is not None
        units = "groups are left out" if grouped else "series are independent or have clocks of their own"
        return 1, protocol.step, f"1 cutoff: {units}, and a verdict counts those"
    apart = max(0, room) // stride + 1
    if protocol.step or apart >= LEAST_CUTOFFS:
        found = min(apart, MOST_CUTOFFS)
        most = f"the most that are taken unless told, of {apart} in {last}" if apart > found else f"all in {last}"
        return found, protocol.step, f"{counted(found, 'cutoff')}, {counted(stride, 'step')} apart: {most}"
    if room < 1:
        return 1, None, f"1 cutoff: {last} holds no more"
    stride = max(1, room // (LEAST_CUTOFFS - 1))
    found = min(room // stride + 1, LEAST_CUTOFFS)
    why = f"{last} would hold {apart} whose targets do not overlap"
    return found, stride, f"{counted(found, 'cutoff')}, {counted(stride, 'step')} apart: {why}"


def counts_cutoffs(panel: Panel, protocol: Protocol, independent_series: bool = False) -> bool:
    """Return whether a verdict counts cutoffs; else groups that are left out, or series."""
    if panel.groups is not None or protocol.groups is not None:
        return False
    return len(panel) == 1 or not (independent_series or not _shares_ends(panel, protocol.align))


def _shares_ends(panel: Panel, align: Align | None) -> bool:
    """Return whether the series are cut at the same times: those without a shared clock where they end together."""
    if clock_of(panel, align).kind != "none":
        return True
    ends = np.unique(panel.frequency.advance(panel.starts, panel.lengths - 1))
    return len(ends) == 1 if panel.kind == "none" else len(panel) > 1.5 * len(ends)


def option_problems(refit: Any, groups: Any, audit: Any, align: Any) -> list[str]:
    """Return the problems of options that all models share."""
    problems = one_of("audit", audit, ("data", "fit"), [None]) + flag("refit", refit)
    problems += one_of("align", align, get_args(Align), [None])
    if not isinstance(groups, LeaveGroupsOut | GroupKFold | None):
        problems.append(
            f"groups must be a splitter, such as LeaveGroupsOut(): got {groups!r}; the column of groups is named when "
            "the data are read, with Panel.from_frame(group=...)"
        )
    return problems


def ended_note(panel: Panel, old: NDArray[np.bool_]) -> Problem:
    """Return a warning about the series that ended long before the others."""
    last = [panel.label(stamp) for stamp in panel.stamps(np.arange(len(panel)), panel.lengths - 1)]
    names = [f"{str(panel.ids[i])!r} ({last[i]})" for i in np.flatnonzero(old)]
    is_, own = ("is", "its own end") if len(names) == 1 else ("are", "their own ends")
    latest = last[int((panel.firsts + panel.lengths).argmax())]
    must = f"{len(names)} of {len(panel)} series ended long before the latest ({latest}) and {is_} forecast from {own}"
    drop, keep = Argument("ended", "drop"), Argument("ended", "forecast")
    remedy = ("in predict, ", drop, " leaves them out, and ", keep, " keeps them without this note")
    return Problem(must, shorten(names), remedy)


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


def joined(panel: Panel, new: Panel) -> Panel:
    """Return a panel with the rows of another one that follow on; known rows may come again.

    DataError names every series that the panel lacks, or whose rows leave a gap or differ from those that are known.
    """
    places = {str(name): i for i, name in enumerate(panel.ids)}
    rows, problems = [panel.values[:0]] * len(panel), list[str]()
    for j, name in enumerate(new.ids):
        if str(name) not in places:
            must = f"series must be among those that were fitted: {str(name)!r} is not"
            problems.append(f"{must}; leave it out, or fit a model again")
            continue
        i, given = places[str(name)], new.series(j).astype(panel.values.dtype)
        for at in panel.roles.coded:  # texts that were not fitted are alike, since files number them again
            given[:, at] = np.minimum(given[:, at], len(panel.roles.categories[panel.roles.varying[at]]))
        begin, mine = (int(panel.frequency.split(stamp)[0]) for stamp in (new.starts[j], panel.starts[i]))
        first, length = (begin - mine) // panel.frequency.count, int(panel.lengths[i])
        if first > length or panel.stamps(i, first) != new.starts[j]:
            due = panel.label(int(panel.stamps(i, length)))
            got = (f"series {str(name)!r} has {due} next, and ", Phrase("the table", "data"), " begins with ")
            found = (*got, panel.label(new.starts[j]))
            problems.append(Problem("new rows must follow on", found, "add the rows between", series=name))
            continue
        before, again = panel.series(i)[max(first, 0) : first + len(given)], given[max(-first, 0) : length - first]
        problems += _changed(panel, i, max(first, 0), before, again)
        rows[i] = given[length - first :] if first + len(given) > length else rows[i]
    raise_any(problems)
    return extended(panel, rows)


def _changed(panel: Panel, i: int, first: int, before: NDArray[Any], again: NDArray[Any]) -> list[str]:
    """Return a problem where rows of series i, from a first one on, come again with other numbers, (n, C) each."""
    other = ~((before == again) | (np.isnan(before) & np.isnan(again)))
    if not other.any():
        return []
    row, column = np.argwhere(other)[0]
    held, when = panel.roles.varying[column], panel.label(int(panel.stamps(i, first + row)))
    was, now = (panel.roles.texts(held, part[[row], column])[0] for part in (before, again))
    shown = "{!r}" if held in panel.roles.categories else "{:g}"
    untimed = panel.source.form in ("array", "arrays")
    remedy = "arrays have no times: give all rows from the first one on" if untimed else "leave them out"
    return [
        f"known rows must stay as they were: series {str(panel.ids[i])!r} had {shown.format(was)} in {held!r} at "
        f"{when}, now it has {shown.format(now)}; {remedy}"
    ]


def extended(panel: Panel, rows: Sequence[NDArray[Any]]) -> Panel:
    """Return a panel with more rows at the end of each series, (n, C) each."""
    parts = [np.concatenate([panel.series(i), more]) for i, more in enumerate(rows)]
    return replace(panel, values=np.concatenate(parts), offsets=np.cumsum([0, *map(len, parts)]))
