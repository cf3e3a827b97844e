"""Regular time axis and complete numbers: refuse what is wrong, or repair it on request.

Each check looks at all rows at once; each problem counts one kind of fault, with an example and the remedy.
Repairs look back in time only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.checks import (
    Named,
    Tally,
    broken,
    dropped,
    incomplete,
    inserted,
    none_left,
    read_twice,
    repaired,
    resampled,
    stepless,
    unfit,
    ungrouped,
    varying,
)
from tsforecast.data import zones
from tsforecast.data.calendar import (
    DAY,
    Frequency,
    Stamps,
    Unit,
    best_frequency,
    even_step,
    go_forward,
    inner_moves,
    inner_steps,
    nearly,
    other_reading,
    rounded,
    snapped,
    stamp_label,
    unsupported,
    usual_step,
)
from tsforecast.data.frames import Table
from tsforecast.data.series import (
    EMPTY,
    Aggregate,
    CleaningPolicy,
    Duplicates,
    NanPolicy,
    Rows,
    TimeKind,
)
from tsforecast.data.values import one_kind_of_missing
from tsforecast.errors import (
    Argument,
    DataError,
    Parameter,
    Part,
    Phrase,
    Problem,
    Text,
    shorten,
)
from tsforecast.mapped import forward_fill

MOST_FILLED = 10_000_000  # time stamps that are inserted, unless there are many rows
WEEKDAYS = ("Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays", "Sundays")
_AXIS = ("fill_gaps", "sort", "duplicates", "resample", "tolerance")  # repairs of a time axis
TOO_LARGE = np.float64(1e100)  # numbers beyond it cannot be squared and summed; float32 ends earlier


Infer = Callable[[Stamps, NDArray[np.int64], TimeKind, int | None], tuple[Frequency | None, float]]


def regular_rows(
    table: Table, frequency: Frequency | None, cleaning: CleaningPolicy, infer: Infer | None = None
) -> Rows:
    """Group a table by series, with a regular time axis and complete numbers; DataError lists all problems at once.

    Of a part of the data, a frequency that is not given is the one that `infer` finds, as `best_frequency` does.
    """
    rows = _group(table)
    problems, repairs = [*table.problems, *_statics(table, rows)], dict[str, Any]()
    if table.stamps is not None or cleaning.resample or cleaning.tolerance:
        frequency = zones.asked_step(table.kind, frequency, cleaning)
    if table.stamps is not None:
        if cleaning.tolerance and frequency:
            _snap(rows, table.kind, frequency, cleaning.tolerance)
        if cleaning.sort:
            rows.keep(np.lexsort((rows.stamps, rows.owner)))
        if cleaning.duplicates:
            _drop_duplicates(rows, cleaning.duplicates)
        if cleaning.resample and frequency and (inner_moves(rows.stamps, rows.offsets) > 0).all():
            _resample(rows, table, frequency, cleaning.aggregate)
        even = even_step(rows.stamps, rows.offsets)
        view = _in_order(rows) if even is None and table.hidden_id is None else rows
        inferred = frequency or (infer or best_frequency)(view.stamps, view.offsets, table.kind, even)[0]
        if inferred is None:
            raise DataError(stepless())
        rows.frequency = view.frequency = inferred
        if frequency is None and (other := other_reading(view.stamps, view.offsets, inferred)):
            rows.notes.append(Tally(read_twice, step=str(inferred), other=str(other), parts=1))
        zone = None if rows.local else rows.source.zone
        if zone and inferred.season_length * inferred.count == DAY and zones.clocks_change(rows.stamps, zone):
            rows.notes.append(
                f"the clocks of {zone} change: steps are even in UTC, and after a change forecasts are those of the "
                "same local time; convert the stamps to UTC if each day is meant to have 24 hours"
            )
        regular = even is not None and inferred in (Frequency("integer", even), Frequency("nanosecond", even))
        irregular = [] if regular else list(_irregularities(rows, view, table, frequency, cleaning, repairs))
        problems += irregular
        if cleaning.fill_gaps and not irregular:
            _fill_gaps(rows)
    problems += complete(rows, table.roles.varying, table.kind, cleaning.nan_policy, infer is not None)
    if problems:
        if np.isnan(rows.values).any() and cleaning.nan_policy != "mask":
            repairs["nan_policy"] = "mask"
        raise DataError(problems, _repair(table, frequency, cleaning, repairs))
    return rows


def _repair(
    table: Table, frequency: Frequency | None, cleaning: CleaningPolicy, repairs: dict[str, Any]
) -> Problem | None:
    """Return the call with all `repairs` together, where nothing would be left to refuse."""
    if not repairs or table.problems or table.hidden_id or not table.one_repair:
        return None
    with suppress(DataError):
        step = Frequency.parse(repairs["frequency"]) if "frequency" in repairs else frequency
        others = {name: value for name, value in repairs.items() if name != "frequency"}
        regular_rows(table, step, replace(cleaning, **others))
        return repaired(repairs, "from_wide" if table.source.form == "wide" else "from_frame")
    return None


def complete(
    rows: Rows, names: tuple[str, ...], kind: TimeKind, nan_policy: NanPolicy | None, part: bool = False
) -> list[str]:
    """Repair missing numbers as `nan_policy` allows; return the problems of the numbers that are left."""
    if nan_policy == "drop_series":
        _drop_incomplete(rows, part)
    if nan_policy == "forward_fill":
        rows.values = forward_fill(rows.values, rows.offsets)
    return list(bad_numbers(rows, names, kind, nan_policy))


def _snap(rows: Rows, kind: TimeKind, step: Frequency, tolerance: str) -> None:
    """Move stamps to the grid of a step, as far as they are near."""
    given, rows.source = zones.clock_of(rows.stamps, rows.source, step.count)
    begin = np.repeat(np.minimum.reduceat(given, rows.offsets[:-1]), np.diff(rows.offsets))
    within = Frequency.parse(tolerance).count
    rows.stamps = snapped(given, begin, step.count, within, zones.origin_of(rows.source, kind))
    by = np.abs(rows.stamps - given)
    if by.any():
        rows.notes.append(
            Tally(zones.snapped_note, moved=int((by > 0).sum()), rows=len(by), most=float(by.max()), step=step)
        )
    zones.require_fit(rows.source, kind, rows.stamps)


def _resample(rows: Rows, table: Table, step: Frequency, aggregate: Aggregate) -> None:
    """Replace rows by bins of a step, each labelled by its end."""
    if bad := list(bad_numbers(rows, table.roles.varying, table.kind, "mask")):
        raise DataError([*table.problems, *bad])
    given, rows.source = zones.clock_of(rows.stamps, rows.source, step.count)
    origin = zones.origin_of(rows.source, table.kind)
    coded = table.roles.coded
    owner, rows.stamps, values, row = zones.binned(rows.values, rows.owner, given, step.count, aggregate, origin, coded)
    rows.offsets = np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=len(rows.ids)))])
    rows.values, rows.row = values, rows.row[row]
    of_texts = ", of texts the last one," if coded and aggregate == "mean" else ","
    number = {"mean": "the mean", "last": "the last number", "nearest": "the number nearest to the middle"}[aggregate]
    rows.source = replace(rows.source, step=rows.source.step and zones.length_of(step))
    how = f"{zones.length_of(step)}: {number} of each bin{of_texts} which is labelled by its end"
    rows.notes.append(Tally(resampled, rows=len(given), bins=len(row), how=how))
    zones.require_fit(rows.source, table.kind, rows.stamps)


def _group(table: Table) -> Rows:
    """Bring the rows of each series together, in the order in which the series first appear."""
    columns = list(table.columns.values())
    values = columns[0][:, None] if len(columns) == 1 else np.stack(columns, axis=1)  # (rows, C)
    count = len(values)
    if table.codes is None or table.ids is None:
        name = table.roles.target[0] if len(table.roles.target) == 1 else "series"
        ids, codes = np.array([name], dtype=object), np.zeros(count, dtype=np.int64)
    else:
        codes, ids = table.codes, table.ids
    row = np.arange(count)
    stamps = EMPTY if table.stamps is None else table.stamps
    begins = np.flatnonzero(codes[1:] != codes[:-1]) + 1
    if len(begins) >= len(ids):  # the rows of some series do not stand together
        row = np.argsort(codes, kind="stable")
        values = values[row]
        stamps = stamps[row] if len(stamps) else stamps
        codes = codes[row]
        begins = np.flatnonzero(codes[1:] != codes[:-1]) + 1
    elif len(columns) == 1:
        values = values.copy()  # ours alone
    offsets = np.concatenate([[0], begins, [count]])
    return Rows(values, offsets, ids, stamps, row, notes=[*table.notes], source=table.source)


def _statics(table: Table, rows: Rows) -> Iterator[str]:
    """Reduce static columns and the group to one value per series; yield where they vary."""
    for name, column in table.statics.items():
        ordered = one_kind_of_missing(column[rows.row] if len(rows.row) else column)
        first = ordered[rows.offsets[:-1]]
        rows.statics[name] = first
        same = (ordered == first[rows.owner]) | ((ordered != ordered) & (first != first)[rows.owner])
        nobody = first == None if first.dtype == object else first != first  # noqa: E711 - one by one
        if name == table.roles.group and nobody.any():
            series = rows.ids[nobody]
            yield Tally(ungrouped, column=name, wrong=len(series), series=len(rows.ids), first=Named(series[0]))
        if not same.all():
            varies, at = np.unique(rows.owner[~same.astype(bool)]), int(np.argmin(same))
            remedy = "make it a past column or fix it"
            yield Tally(
                varying,
                column=name,
                wrong=len(varies),
                series=len(rows.ids),
                first=Named(rows.ids[rows.owner[at]]),
                value=str(first[rows.owner[at]]),
                where=rows.where(at),
                remedy="give each group series of its own" if name == table.roles.group else remedy,
            )


def _drop_duplicates(rows: Rows, which: Duplicates) -> None:
    order = np.lexsort((rows.stamps, rows.owner))  # stable: equal stamps stay in their order
    owner, stamps = rows.owner[order], rows.stamps[order]
    same = (owner[1:] == owner[:-1]) & (stamps[1:] == stamps[:-1])
    extra = np.concatenate([[False], same]) if which == "first" else np.concatenate([same, [False]])
    if extra.any():
        rows.keep(np.sort(order[~extra]))
        rows.notes.append(Tally(dropped, count=int(extra.sum()), which=which))


def _in_order(rows: Rows) -> Rows:
    """Return rows in order of time, in a copy unless they are; what else is wrong shows in it."""
    if (inner_moves(rows.stamps, rows.offsets) >= 0).all():
        return rows
    view = replace(rows)
    view.keep(np.lexsort((rows.stamps, rows.owner)))
    return view


def _irregularities(
    rows: Rows,
    view: Rows,
    table: Table,
    given: Frequency | None,
    cleaning: CleaningPolicy,
    repairs: dict[str, Any],
) -> Iterator[str]:
    """Yield a problem for each irregularity: order, and, of a `view` in order, duplicates, off-grid stamps, gaps.

    What would repair them is added to `repairs`.
    """
    later, count = inner_steps(view.offsets), view.frequency.count
    numbers, remainders = view.frequency.split(view.stamps)
    units, rests = np.divmod(numbers, count)  # before they are subtracted: 300 years of nanoseconds overflow
    step = np.diff(units)[later - 1]
    off_grid = (np.diff(remainders)[later - 1] != 0) | (np.diff(rests)[later - 1] != 0)
    now, before, owner = view.stamps[later], view.stamps[later - 1], view.owner[later]
    # In a series that is out of order, distances between stamps mean nothing yet.
    forward = (now > before) & ~np.isin(owner, owner[now < before])
    gap = forward & ~off_grid & (step > 1) & (not cleaning.fill_gaps)
    missing = int((step[gap] - 1).sum())
    backward = inner_steps(rows.offsets)
    backward = backward[rows.stamps[backward] < rows.stamps[backward - 1]]
    twice = later[now == before]
    if cleaning.resample and (len(backward) or len(twice)):  # nothing was resampled
        forward, gap = forward & False, gap & False

    sort, last = Argument("sort", True, "pass"), Argument("duplicates", "last", "pass")
    named: tuple[Part, ...] = (", or name the id column",)
    order: tuple[Part, ...] = ("sort by time first, or ", sort)
    if table.hidden_id:
        named = (", or name the id column: ", Argument("id", table.hidden_id))
        order = ("sort by time first, ", sort, *named)
    kept = str(view.frequency if table.kind == "datetime" else count)
    resample: Text = ""
    settings: dict[str, Any] = {}
    insert: Text = (Argument("fill_gaps", True, "pass"), " to insert them, with a ", Parameter("nan_policy"))
    if cleaning.resample and cleaning.aggregate != "nearest":
        insert = (*insert, ", or ", Argument("aggregate", "nearest"), " if stamps jitter around the edges of bins")
    fill = {"fill_gaps": True, "nan_policy": cleaning.nan_policy or "mask"}
    closed = _closed(view, _absent(view, later[gap])) if gap.any() else ""
    if (forward & off_grid).any():
        kept, resample, settings = _off_grid(view, table.kind, given, fill, kept)
    keep, drop = f"time stamps must keep the step of {kept}", ("drop the extra rows, ", last, *named)
    found: list[tuple[Rows, NDArray[np.int64], str, Text, dict[str, Any]]] = [
        (rows, backward, "time stamps must go forward", order, {"sort": True}),
        (view, twice, "each time stamp must occur once", drop, {"duplicates": "last"}),
        (view, later[forward & off_grid], keep, resample, settings),
        (view, later[gap], "time stamps must have no gaps", insert, fill),
    ]
    if 2 * len(twice) > len(view.stamps):  # these are rows of other series
        drop = ("a column with the names of series is probably missing: name it with ", Argument("id"))
        found[1], table.one_repair = (*found[1][:3], drop, *found[1][4:]), False
    for number, (at, wrong, must, remedy, repair) in enumerate(found):
        if len(wrong):
            repairs |= repair
            stamps = [stamp_label(at.stamps[row], table.kind) for row in (wrong[0] - 1, wrong[0])]
            facts: dict[str, Any] = {"must": must, "remedy": remedy, "when": f" ({stamps[0]} -> {stamps[1]})"}
            facts |= {"missing": missing, "closed": closed} if number == 3 else {}
            yield Tally(broken, **_places(at, wrong), kind=str(number), **facts)


def _off_grid(
    view: Rows, kind: TimeKind, given: Frequency | None, fill: dict[str, Any], step: str
) -> tuple[str, Text, dict[str, Any]]:
    """Return the step that stamps off their grid should keep, a remedy, and the settings that repair all of it."""
    special = unsupported(view.stamps, view.offsets) if kind == "datetime" else None
    unit: Unit = "integer" if kind == "integer" else "nanosecond"
    if special or (given and given.unit != unit):
        return step, special or ("resample first, or ", Argument("frequency", verb="pass")), {}
    count = given.count if given else None
    found = nearly(view.stamps, view.offsets, count, zones.origin_of(view.source, kind))
    if found is None:
        counts = [given.count] if given else rounded(usual_step(view.stamps, view.offsets))
        bins = Argument("resample", zones.length_of(Frequency(unit, counts[0])) if counts else ..., "pass")
        return step, (bins, " to put rows into bins, or another ", Argument("frequency")), {}
    count, near = found
    length, by = zones.length_of(Frequency(unit, count)), int(np.abs(near - view.stamps).max())
    settings = ({} if given else {"frequency": length}) | {"tolerance": zones.at_least(by, 1, unit)}
    gaps = (inner_moves(near, view.offsets) > count).any()
    within = Argument("tolerance", settings["tolerance"], "pass" if given else "")
    move: tuple[Part, ...] = (within,) if given else (Argument("frequency", length, "pass"), " and ", within)
    remedy = (f"they miss it by {zones.at_least(by, 2, unit)} at most: ", *move)
    others = (", or ", Argument("resample", length), " and ", Argument("aggregate", "nearest"))
    return length, (*remedy, *others), settings | (fill if gaps else {})


def _places(rows: Rows, wrong: NDArray[np.int64]) -> dict[str, Any]:
    """Return how many rows are `wrong` of how many, in how many series of how many, and the first of them."""
    owner = rows.owner[wrong]
    series: dict[str, Any] = {
        "wrong": len(np.unique(owner)),
        "series": len(rows.ids),
        "first": Named(rows.ids[owner[0]]),
    }
    return series | {"places": len(wrong), "rows": len(rows.values), "where": rows.where(int(wrong[0]))}


def _absent(rows: Rows, after: NDArray[np.int64]) -> Stamps:
    """Return the stamps that are missing before the rows `after`; of very many only the first."""
    if rows.frequency.unit != "nanosecond":
        return EMPTY
    before = rows.stamps[after - 1]
    count = rows.frequency.count
    lacks = np.minimum(rows.stamps[after] // count - before // count - 1, MOST_FILLED // len(after))
    step = np.arange(lacks.sum()) - np.repeat(np.cumsum(lacks) - lacks, lacks) + 1
    return np.asarray(np.repeat(before, lacks) + step * count)


def _closed(rows: Rows, missing: Stamps) -> str:
    """Return which of the missing stamps lie on weekdays, or at hours, that no row has: a pattern of the calendar."""
    where, count = _never(rows, rows.stamps, missing)
    some = "all" if count == len(missing) else str(count)
    return f", {some} {where}, which no row has: closed then, as it seems" if where else ""


def _some_closed(rows: Rows, missing: Stamps, owner: NDArray[np.int64]) -> str:
    """Return the series, numbered by `owner` in order, that are closed on weekdays, or at hours, of their own."""
    lacking, begin = np.unique(owner, return_index=True)
    each = zip(lacking, np.split(missing, begin[1:]), strict=True)
    parts = ((i, _never(rows, rows.stamps[rows.offsets[i] : rows.offsets[i + 1]], own)[0]) for i, own in each)
    closed = [f"{str(rows.ids[i])!r} {where}" for i, where in parts if where]
    some = f"{len(closed)} of {len(rows.ids)} series {'is' if len(closed) == 1 else 'are'} closed, as it seems"
    return f"; {some}: {shorten(closed)}" if closed else ""


def _never(rows: Rows, stamps: Stamps, missing: Stamps) -> tuple[str, int]:
    """Return the weekdays or hours of several missing stamps and of none of the others, and the missing ones there."""
    daily = rows.frequency.unit == "nanosecond" and rows.frequency.count == DAY
    hourly = rows.frequency.unit == "nanosecond" and rows.frequency.count < DAY and DAY % rows.frequency.count == 0
    if not len(missing) or not (daily or (hourly and rows.local)):
        return "", 0

    def phases(stamps: Stamps) -> NDArray[np.int64]:
        return rows.frequency.phase(stamps, 7) if daily else stamps % DAY // (DAY // 24)

    count, held = np.bincount(phases(missing), minlength=24), np.bincount(phases(stamps), minlength=24)
    always = np.flatnonzero((count > 1) & (held == 0))
    if not len(always) or count[held > 0].sum() > held.sum():  # or much is missing on all days
        return "", 0
    names = shorten([WEEKDAYS[i] for i in always] if daily else [f"{i}:00" for i in always], 24)
    return f"on {names}" if daily else f"at the hours {names}", int(count[always].sum())


def _fill_gaps(rows: Rows) -> None:
    numbers = rows.frequency.split(rows.stamps)[0]
    units = numbers // rows.frequency.count
    place = units - np.repeat(units[rows.offsets[:-1]], np.diff(rows.offsets))
    lengths = place[rows.offsets[1:] - 1] + 1
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    missing = int(offsets[-1] - len(rows.values))
    if not missing:
        return
    if missing > max(MOST_FILLED, 100 * len(rows.values)):
        raise DataError(
            f"gaps must be small enough to fill: {missing} time stamps are missing, and {len(rows.values)} are "
            f"there, with a step of {rows.frequency}; look for a wrong date, or resample first"
        )
    present = replace(rows)
    to = offsets[rows.owner] + place
    values = np.full((offsets[-1], rows.values.shape[1]), np.nan, dtype=rows.values.dtype)
    values[to] = rows.values
    row = np.full(offsets[-1], -1)
    row[to] = rows.row
    steps = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
    stamps = rows.frequency.advance(np.repeat(rows.starts, lengths), steps)
    rows.values, rows.stamps, rows.offsets, rows.row = values, stamps, offsets, row
    added, owner = rows.stamps[rows.row < 0], rows.owner[rows.row < 0]
    closed = _closed(present, added) or _some_closed(present, added, owner)
    rows.notes.append(Tally(inserted, missing=missing, closed=closed))


def _drop_incomplete(rows: Rows, part: bool) -> None:
    whole = ~np.isin(np.arange(len(rows.ids)), rows.owner[np.isnan(rows.values).any(axis=1)])
    if whole.all():
        return
    if not whole.any() and not part:
        raise DataError([Tally(none_left, count=len(whole))])
    rows.keep(np.flatnonzero(whole[rows.owner]))
    rows.offsets = rows.offsets[[True, *whole]]  # series without rows end where the one before them ends
    rows.ids = rows.ids[whole]
    rows.statics = {name: fact[whole] for name, fact in rows.statics.items()}
    rows.notes.append(Tally(incomplete, count=int((~whole).sum())))


def bad_numbers(
    rows: Rows, names: tuple[str, ...], kind: TimeKind, nan_policy: NanPolicy | None, most: np.floating[Any] = TOO_LARGE
) -> Iterator[str]:
    """Yield counts of NaN, infinities and numbers too large to work with, of all columns that hold some."""
    if np.min(rows.values, initial=0.0) >= -most and np.max(rows.values, initial=0.0) <= most:  # none is NaN
        return
    infinite = np.isinf(rows.values)
    large = (np.abs(rows.values) > most) & ~infinite
    within, divide = f"within ±{most:g}", "replace them by NaN, or divide the column first"
    found: list[tuple[str, tuple[str, str], NDArray[np.bool_], Text]] = [
        ("complete", ("infinite value", "infinite values"), infinite, "replace them by NaN or by numbers first"),
        (within, ("larger number", "larger numbers"), large, divide),
    ]
    if nan_policy != "mask":
        fill = Argument("nan_policy", "forward_fill", "pass")
        reader = Phrase(" to Panel.from_frame or Panel.from_array", "reader")
        remedy: Text = (fill, ", 'mask' or 'drop_series'", reader, ", or fill them first")
        if nan_policy == "forward_fill":
            mask = Argument("nan_policy", "mask", "use")
            remedy = ("there is nothing before them to fill from: cut them off or ", mask)
        found.append(("complete", ("NaN", "NaN"), np.isnan(rows.values), remedy))
    for be, what, wrong, remedy in found:
        columns = np.flatnonzero(wrong.any(axis=0)).tolist()
        if columns:
            places = np.flatnonzero(wrong.any(axis=1))
            when = f" ({stamp_label(rows.stamps[places[0]], kind)})" if kind != "none" else ""
            facts: dict[str, Any] = {"columns": columns, "names": names, "be": be, "what": what, "remedy": remedy}
            yield Tally(unfit, **_places(rows, places), **facts, count=int(wrong.sum()), when=when)


def several_series(table: Table, named: Phrase) -> list[Problem]:
    """Return the problem of rows, called as `named`, that hold more series than the id tells apart."""
    if table.stamps is None or go_forward(table.stamps, table.codes):
        return []
    codes = np.zeros(len(table.stamps), dtype=np.int64) if table.codes is None else table.codes
    twice = len(codes) - len(np.unique(np.stack([codes, table.stamps]), axis=1).T)
    id, hidden = table.source.id, table.hidden_id
    if not twice or (hidden is None and (id is not None or 2 * twice < len(codes))):
        return []
    own = "one series" if id is None else f"one series for each {id!r}"
    must = (named, f" must hold {own}, like the data that were fitted")
    found = f"column {hidden!r} distinguishes several"
    fit = "fit the model with an id of both columns" if id else Argument("id", hidden or ..., "fit the model with")
    got = found if hidden else f"{twice} of {len(codes)} rows have the time of another"
    return [Problem(must, got, ("give one at a time, or ", fit))]


def without_time(frequency: str | None, cleaning: CleaningPolicy) -> Iterator[Problem]:
    """Refuse settings of a time axis where there is to be none."""
    given = {"frequency": frequency, **{name: getattr(cleaning, name) for name in _AXIS}}
    why = ("there is no time with ", Argument("time", False))
    return (Problem("must be left out", why, parameter=name) for name, value in given.items() if value)
