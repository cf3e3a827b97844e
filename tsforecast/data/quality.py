"""Regular time axis and complete numbers: refuse what is wrong, or repair it on request.

Each check looks at all rows at once; each problem names the series, the row and the remedy.
Repairs look back in time only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.data.calendar import Frequency, Stamps, infer_frequency, inner_steps, other_reading
from tsforecast.data.frames import Table
from tsforecast.data.series import CleaningPolicy, Duplicates, NanPolicy, TimeKind, forward_fill, stamp_label
from tsforecast.errors import Argument, DataError, Parameter, Part, Phrase, Problem, Row, Text, counted, raise_any

EMPTY: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
MAX_LISTED = 20  # problems of one kind; the rest is counted
MOST_FILLED = 10_000_000  # time stamps that are inserted, unless there are many rows
TOO_LARGE = np.float64(1e100)  # numbers beyond it cannot be squared and summed; float32 ends earlier


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


def regular_rows(table: Table, frequency: Frequency | None, cleaning: CleaningPolicy) -> Rows:
    """Group a table by series, with a regular time axis and complete numbers; DataError lists all problems at once."""
    rows = _group(table)
    problems = [*table.problems, *_statics(table, rows)]
    if table.stamps is not None:
        if cleaning.sort:
            rows.keep(np.lexsort((rows.stamps, rows.owner)))
        if cleaning.duplicates:
            _drop_duplicates(rows, cleaning.duplicates)
        inferred = frequency or infer_frequency(rows.stamps, rows.offsets, table.kind)
        if inferred is None:
            must = "the step from one time stamp to the next must be known"
            raise DataError(Problem(must, "no series has two rows", ("give more rows or ", Argument("frequency"))))
        rows.frequency = inferred
        if frequency is None and (other := other_reading(rows.stamps, rows.offsets, inferred)):
            rows.notes.append(f"the time stamps fit the frequencies {inferred} and {other}: {inferred} was taken")
        irregular = list(_irregularities(rows, table, cleaning))
        problems += irregular
        if cleaning.fill_gaps and not irregular:
            _fill_gaps(rows)
    raise_any(problems + complete(rows, table.roles.varying, table.kind, cleaning.nan_policy))
    return rows


def complete(rows: Rows, names: tuple[str, ...], kind: TimeKind, nan_policy: NanPolicy | None) -> list[str]:
    """Repair missing numbers as `nan_policy` allows; return the problems of the numbers that are left."""
    if nan_policy == "drop_series":
        _drop_incomplete(rows)
    if nan_policy == "forward_fill":
        rows.values = forward_fill(rows.values, rows.offsets)
    return list(_bad_numbers(rows, names, kind, nan_policy))


def _group(table: Table) -> Rows:
    """Bring the rows of each series together, in the order in which the series first appear."""
    values = np.stack(list(table.columns.values()), axis=1)  # (rows, C)
    count = len(values)
    if table.labels is None:
        name = table.roles.target[0] if len(table.roles.target) == 1 else "series"
        ids, codes = np.array([name], dtype=object), np.zeros(count, dtype=np.int64)
    else:
        import pandas as pd

        codes, ids = pd.factorize(table.labels)
    row = np.arange(count)
    stamps = EMPTY if table.stamps is None else table.stamps
    if np.any(codes[1:] < codes[:-1]):
        row = np.argsort(codes, kind="stable")
        values = values[row]
        stamps = stamps[row] if len(stamps) else stamps
    offsets = np.concatenate([[0], np.cumsum(np.bincount(codes, minlength=len(ids)))])
    return Rows(values, offsets, np.asarray(ids), stamps, row, notes=[*table.notes])


def _statics(table: Table, rows: Rows) -> Iterator[str]:
    """Reduce static columns and the group to one value per series; yield where they vary."""
    for name, column in table.statics.items():
        ordered = _one_kind_of_missing(column[rows.row] if len(rows.row) else column)
        first = ordered[rows.offsets[:-1]]
        rows.statics[name] = first
        same = (ordered == first[rows.owner]) | ((ordered != ordered) & (first != first)[rows.owner])
        if name == table.roles.group:
            nobody = first == None if first.dtype == object else first != first  # noqa: E711 - one by one
            for series in np.flatnonzero(nobody)[:MAX_LISTED]:
                yield Problem(
                    f"column {name!r} must name the group of every series",
                    f"series {str(rows.ids[series])!r} has none",
                    "fill it in, or leave that series out",
                    series=rows.ids[series],
                )
        for series in np.unique(rows.owner[~same.astype(bool)])[:MAX_LISTED]:
            at = rows.offsets[series] + int(np.argmax(rows.owner[~same] == series))
            held = f"series {str(rows.ids[series])!r} has {str(first[series])!r} and another value (near "
            yield Problem(
                f"column {name!r} must be constant within a series",
                (held, rows.where(int(at)), ")"),
                "give each group series of its own" if name == table.roles.group else "make it a past column or fix it",
                series=rows.ids[series],
            )


def _one_kind_of_missing(column: NDArray[Any]) -> NDArray[Any]:
    """Return a static column in which what is missing is NaN among numbers and None among others, in every library."""
    if column.dtype != object:
        return column
    import pandas as pd

    found = column.copy()
    missing = np.asarray(pd.isna(column), dtype=bool)
    found[missing] = None
    kinds = {isinstance(value, (int, float, np.number)) for value in found[~missing]} if missing.any() else {False}
    return found.astype(np.float64) if kinds == {True} else found


def _drop_duplicates(rows: Rows, which: Duplicates) -> None:
    order = np.lexsort((rows.stamps, rows.owner))  # stable: equal stamps stay in their order
    owner, stamps = rows.owner[order], rows.stamps[order]
    same = (owner[1:] == owner[:-1]) & (stamps[1:] == stamps[:-1])
    extra = np.concatenate([[False], same]) if which == "first" else np.concatenate([same, [False]])
    if extra.any():
        rows.keep(np.sort(order[~extra]))
        rows.notes.append(f"dropped {counted(extra.sum(), 'duplicate time stamp')}, kept the {which} of each")


def _irregularities(rows: Rows, table: Table, cleaning: CleaningPolicy) -> Iterator[str]:
    """Yield a problem for each irregularity of the time axis: order, duplicates, off-grid stamps, gaps."""
    later, count = inner_steps(rows.offsets), rows.frequency.count
    numbers, remainders = rows.frequency.split(rows.stamps)
    step = numbers[later] - numbers[later - 1]
    move = rows.stamps[later] - rows.stamps[later - 1]
    off_grid = (remainders[later] != remainders[later - 1]) | (step % count != 0)
    owner = rows.owner[later]
    # In a series that is out of order, distances between stamps mean nothing yet.
    forward = (move > 0) & ~np.isin(owner, owner[move < 0])
    gap = forward & ~off_grid & (step > count) & (not cleaning.fill_gaps)
    missing = np.zeros(len(rows.ids), dtype=np.int64)
    np.add.at(missing, owner[gap], step[gap] // count - 1)

    sort = Argument("sort", True, "pass")
    named: tuple[Part, ...] = (", or name the id column",)
    if table.hidden_id:
        named = (", or name the id column: ", Argument("id", table.hidden_id))
    found: list[tuple[NDArray[np.bool_], str, tuple[Part, ...]]] = [
        (
            move < 0,
            "time stamps must go forward",
            ("sort by time first, ", sort, *named) if table.hidden_id else ("sort by time first, or ", sort),
        ),
        (
            move == 0,
            "each time stamp must occur once",
            ("drop the extra rows, ", Argument("duplicates", "last", "pass"), *named),
        ),
        (
            forward & off_grid,
            f"time stamps must keep the step of {rows.frequency if table.kind == 'datetime' else count}",
            ("resample first, or ", Argument("frequency", verb="pass")),
        ),
        (
            gap,
            "time stamps must have no gaps",
            (Argument("fill_gaps", True, "pass"), " to insert them, with a ", Parameter("nan_policy")),
        ),
    ]

    def breaks(series: int, places: int) -> str:
        lacks = f" ({counted(missing[series], 'stamp')} missing)" if wrong is gap else ""
        return f"breaks this at {counted(places, 'place')}{lacks}"

    def stamps(row: int) -> str:
        return f" ({stamp_label(rows.stamps[row - 1], table.kind)} -> {stamp_label(rows.stamps[row], table.kind)})"

    for wrong, must, remedy in found:
        yield from _by_series(rows, later[wrong], must, remedy, breaks, stamps, ("breaks this", "break this"))


def _by_series(
    rows: Rows,
    wrong: NDArray[np.int64],
    must: str,
    remedy: Text,
    does: Callable[[int, int], str],
    when: Callable[[int], str],
    others: tuple[str, str],
) -> Iterator[str]:
    """Yield a problem for each series that holds some of the rows `wrong`, with their number and the first of them.

    `does` describes a series and a number of rows, `when` a row, and `others` one series and several that are not
    listed.
    """
    series, first, counts = np.unique(rows.owner[wrong], return_index=True, return_counts=True)
    for index, row, count in list(zip(series, wrong[first].tolist(), counts, strict=True))[:MAX_LISTED]:
        name = rows.ids[index]
        got = (f"series {str(name)!r} {does(index, count)}, first at ", rows.where(row), when(row))
        yield Problem(must, got, remedy, series=name)
    more = len(series) - MAX_LISTED
    if more > 0:
        yield f"{must}: {more} more series {others[more > 1]}"


def _fill_gaps(rows: Rows) -> None:
    numbers = rows.frequency.split(rows.stamps)[0]
    place = (numbers - np.repeat(numbers[rows.offsets[:-1]], np.diff(rows.offsets))) // rows.frequency.count
    lengths = place[rows.offsets[1:] - 1] + 1
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    missing = int(offsets[-1] - len(rows.values))
    if not missing:
        return
    if missing > max(MOST_FILLED, 100 * len(rows.values)):
        raise DataError(
            f"gaps must be small enough to fill: {missing} time stamps are missing beside {len(rows.values)} that are "
            f"there, with a step of {rows.frequency}; look for a wrong date, or resample first"
        )
    to = offsets[rows.owner] + place
    values = np.full((offsets[-1], rows.values.shape[1]), np.nan, dtype=rows.values.dtype)
    values[to] = rows.values
    row = np.full(offsets[-1], -1)
    row[to] = rows.row
    steps = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
    stamps = rows.frequency.advance(np.repeat(rows.starts, lengths), steps)
    rows.values, rows.stamps, rows.offsets, rows.row = values, stamps, offsets, row
    rows.notes.append(f"inserted {counted(missing, 'missing time stamp')}")


def _drop_incomplete(rows: Rows) -> None:
    whole = ~np.isin(np.arange(len(rows.ids)), rows.owner[np.isnan(rows.values).any(axis=1)])
    if whole.all():
        return
    if not whole.any():
        must = (Argument("nan_policy", "drop_series"), " must leave a series")
        held = "the only one has NaN" if len(whole) == 1 else f"all {len(whole)} have NaN"
        raise DataError(Problem(must, held, "use 'forward_fill' or 'mask'"))
    rows.keep(np.flatnonzero(whole[rows.owner]))
    rows.offsets = rows.offsets[[True, *whole]]  # series without rows end where the one before them ends
    rows.ids = rows.ids[whole]
    rows.statics = {name: fact[whole] for name, fact in rows.statics.items()}
    rows.notes.append(f"dropped {(~whole).sum()} series with NaN")


def _bad_numbers(rows: Rows, names: tuple[str, ...], kind: TimeKind, nan_policy: NanPolicy | None) -> Iterator[str]:
    """Yield counts of NaN, infinities and numbers too large to work with, per column and series."""
    infinite = np.isinf(rows.values)
    large = (np.abs(rows.values) > TOO_LARGE) & ~infinite
    found: list[tuple[str, tuple[str, str], NDArray[np.bool_], Text]] = [
        ("complete", ("infinite value", "infinite values"), infinite, "replace them by NaN or by numbers first"),
        (
            f"within ±{TOO_LARGE:g}",
            ("larger number", "larger numbers"),
            large,
            "replace them by NaN, or divide the column first",
        ),
    ]
    if nan_policy != "mask":
        fill = Argument("nan_policy", "forward_fill", "pass")
        reader = Phrase(" to Panel.from_frame or Panel.from_array", "reader")
        remedy: Text = (fill, ", 'mask' or 'drop_series'", reader, ", or fill them first")
        if nan_policy == "forward_fill":
            mask = Argument("nan_policy", "mask", "use")
            remedy = ("there is nothing before them to fill from: cut them off or ", mask)
        found.append(("complete", ("NaN", "NaN"), np.isnan(rows.values), remedy))

    def has(series: int, count: int) -> str:
        return f"has {counted(count, *what)}"

    def stamp(row: int) -> str:
        return f" ({stamp_label(rows.stamps[row], kind)})" if kind != "none" else ""

    for be, what, wrong, remedy in found:
        for column in np.flatnonzero(wrong.any(axis=0)):
            must, places = f"column {names[column]!r} must be {be}", np.flatnonzero(wrong[:, column])
            yield from _by_series(rows, places, must, remedy, has, stamp, (f"has {what[1]}", f"have {what[1]}"))
