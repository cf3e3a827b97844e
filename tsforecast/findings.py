"""Findings of checks as sentences made of counts, so that those of parts of the data add up to one of all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from tsforecast.errors import Argument, Part, Problem, Row, Text, counted, shorten


class Tally(Problem):
    """Problem, or note, made of counts, which those of other rows of the same data can be added to.

    `write` makes the problem of its counts. In a sum, whole numbers add up, the larger of two floats and what two sets
    share stay, lists go on with what is new, and all else is that of the first.

    Examples
    --------
    >>> def dropped(count): return f"dropped {counted(count, 'row')}"
    >>> print(Tally(dropped, count=1) + Tally(dropped, count=4))
    dropped 5 rows
    """

    write: Callable[..., str]
    counts: dict[str, Any]

    def __new__(cls, write: Callable[..., str], **counts: Any) -> Self:
        found = Problem.of(write(**counts))
        self = super().__new__(cls, found.must, found.got, found.remedy, series=found.series)
        self.write, self.counts = write, counts
        return self

    def __add__(self, other: Tally) -> Tally:  # type: ignore[override] # texts are not joined
        return Tally(self.write, **{name: _sum(one, other.counts[name]) for name, one in self.counts.items()})

    def __reduce__(self) -> Any:
        return Problem, (self.must, self.got, self.remedy), {"series": self.series}

    def moved(self, place: Callable[[Row], Row]) -> Tally:
        """Return the tally with rows of another table."""
        counts = self.counts.items()
        return Tally(self.write, **{name: place(one) if isinstance(one, Row) else one for name, one in counts})


def _sum(one: Any, other: Any) -> Any:
    if isinstance(one, list):
        return list(dict.fromkeys(one + other))
    if isinstance(one, frozenset):
        return one & other
    return max(one, other) if isinstance(one, float) else one + other if isinstance(one, int) else one


@dataclass(frozen=True)
class Named:
    """Id of a series, of any type."""

    id: object

    def __repr__(self) -> str:
        return repr(str(self.id))


def broken(
    kind: str, must: str, remedy: Text, when: str, missing: int = 0, closed: frozenset[str] = frozenset(), **places: Any
) -> Problem:
    """Return the problem of a time axis that breaks a rule at places."""
    held = counted(places["places"], "place")
    more = f"{counted(missing, 'stamp')} missing{''.join(closed)}" if missing else ""
    return _of_kind(must, remedy, (f"breaks this at {held}", f"break this at {held}"), more, when, **places)


def unfit(
    columns: list[int],
    names: tuple[str, ...],
    be: str,
    what: tuple[str, str],
    count: int,
    remedy: Text,
    when: str,
    **places: Any,
) -> Problem:
    """Return the problem of numbers that cannot be worked with."""
    held, own = counted(count, *what), [repr(names[column]) for column in sorted(columns)]
    must = f"column{'s' * (len(columns) > 1)} {shorten(own, 8)} must be {be}"
    return _of_kind(must, remedy, (f"has {held}", f"have {held}"), "", when, **places)


def _of_kind(
    must: str,
    remedy: Text,
    does: tuple[str, str],
    more: str,
    when: str,
    *,
    wrong: int,
    series: int,
    first: Named,
    places: int,
    rows: int,
    where: Part,
) -> Problem:
    """Return the problem of all `_places`: how many in how many series, which share of all, and the first of them.

    `does` describes what one series and several do; `more` stands beside the share, and `when` after the first row.
    """
    share = f"{max(places / rows, 0.001):.1%} of the rows" if places > 1 else ""
    beside = "; ".join(filter(None, (more, share)))
    who = f"series {first} {does[0]}" if wrong == 1 else f"{wrong} of {series} series {does[1]}"
    at = "first at " if wrong == 1 else f"first in series {first} at "
    got = (who + (f" ({beside})" if beside else "") + f", {at}", where, when)
    return Problem(must, got, remedy, series=first.id)


def varying(column: str, wrong: int, series: int, first: Named, value: str, where: Part, remedy: str) -> Problem:
    """Return the problem of a fact that is not the same in all rows of a series."""
    likewise = f" (and {wrong - 1} more of {series} series likewise)" if wrong > 1 else ""
    held = (f"series {first} has {value!r} and another value (near ", where, f"){likewise}")
    return Problem(f"column {column!r} must be constant within a series", held, remedy, series=first.id)


def ungrouped(column: str, wrong: int, series: int, first: Named) -> Problem:
    """Return the problem of series without a group."""
    held = f"series {first} has none" if wrong == 1 else f"{wrong} of {series} series have none, such as {first}"
    remedy = f"fill it in, or leave {'that' if wrong == 1 else 'those'} series out"
    return Problem(f"column {column!r} must name the group of every series", held, remedy, series=first.id)


def none_left(count: int) -> Problem:
    """Return the problem of series that all have NaN, and would be dropped."""
    must = (Argument("nan_policy", "drop_series"), " must leave a series")
    held = "the only one has NaN" if count == 1 else f"all {count} have NaN"
    return Problem(must, held, "use 'forward_fill' or 'mask'")


def incomplete(count: int) -> str:
    """Return the note on series that were dropped."""
    return f"dropped {count} series with NaN"


def dropped(count: int, which: str) -> str:
    """Return the note on equal time stamps."""
    return f"dropped {counted(count, 'duplicate time stamp')}, kept the {which} of each"


def inserted(missing: int, closed: frozenset[str]) -> str:
    """Return the note on time stamps that were missing."""
    advice = "; nan_policy 'mask' keeps such steps out of training and errors; forecasts of them mean nothing"
    where = "".join(closed)
    return f"inserted {counted(missing, 'missing time stamp')}{where}{advice if where else ''}"


def resampled(rows: int, bins: int, how: str) -> str:
    """Return the note on bins."""
    return f"resampled {counted(rows, 'row')} to {counted(bins, 'bin')} of {how}"


def read_twice(step: str, other: str, parts: int) -> str:
    """Return the note on stamps that fit two frequencies, in so many parts of the data."""
    return f"the time stamps fit the frequencies {step} and {other}: {step} was taken"


def nameless(name: str, missing: int) -> str:
    """Return the problem of rows without a series."""
    return f"column {name!r} must name a series in every row: {counted(missing, 'row has', 'rows have')} none"


def timeless(name: str, missing: int, rows: int, first: Row) -> Problem:
    """Return the problem of rows without a time."""
    held: Text = (f"{missing} of {rows} stamps {'is' if missing == 1 else 'are'} missing, the first in ", first)
    remedy = "fill them in, or drop those rows (an empty line is one)"
    return Problem(f"time column {name!r} must be complete", held, remedy)
