"""Checks of parameters; each returns its problems, so that a caller can report all at once. And findings about data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from tsforecast.errors import (
    Argument,
    Parameter,
    ParameterError,
    Part,
    Phrase,
    Problem,
    Row,
    Text,
    counted,
    guess,
    shorten,
)


def whole(name: str, value: Any, least: int, also: Sequence[Any] = ()) -> list[str]:
    """Require a whole number >= `least`, or one of the values `also`."""
    if _among(value, also) or (_is_whole(value) and value >= least):
        return []
    return [Problem((f"must be a whole number >= {least}", *_others(also)), f"got {value!r}", parameter=name)]


def jobs(name: str, value: Any) -> list[str]:
    """Require a number of processes as in scikit-learn, or None."""
    fine = value is None or (_is_whole(value) and value != 0)
    must = "must be a whole number of processes, or -1 for one on each core, -2 for one less, ..."
    return [] if fine else [Problem(must, f"got {value!r}", parameter=name)]


def between(name: str, value: Any, low: float, high: float, *, open_low: bool = False, part: str = "") -> list[str]:
    """Require a number in [low, high), or in (low, high) with `open_low`, of a parameter or a part of it."""
    number = _is_whole(value) or isinstance(value, (float, np.floating))
    if number and (low < value if open_low else low <= value) and value < high:
        return []
    must = f"{part} must be a number in {'(' if open_low else '['}{low:g}, {high:g})"
    return [Problem((Parameter(name), must), f"got {value!r}")]


def share_or_count(name: str, value: Any, also: Sequence[Any] = ()) -> list[str]:
    """Require a share in (0, 1), a whole number >= 1, or one of the values `also`."""
    if _among(value, also) or (_is_whole(value) and value >= 1) or (isinstance(value, float) and 0 < value < 1):
        return []
    must = ("must be a share in (0, 1), a whole number >= 1", *_others(also))
    return [Problem(must, f"got {value!r}", parameter=name)]


def flag(name: str, value: Any) -> list[str]:
    """Require True or False."""
    fine = isinstance(value, (bool, np.bool_))
    return [] if fine else [Problem("must be True or False", f"got {value!r}", parameter=name)]


def one_of(name: str, value: Any, options: Sequence[str], also: Sequence[Any] = ()) -> list[str]:
    """Require one of some names, or one of the values `also`, and guess which one was meant."""
    if _among(value, [*options, *also]):
        return []
    shown = [*options, *also]
    remedy = "" if value is None else guess(value, [option for option in shown if not isinstance(option, bool)])
    must = (f"must be one of {', '.join(map(repr, options))}", *_others(also, ", "))
    return [Problem(must, f"got {value!r}", remedy, parameter=name)]


def _others(values: Sequence[Any], between: str = " or ") -> list[Part]:
    """Return more values that are possible, in words; on the command line None is an option that is left out."""
    return [Phrase(f"{between}None", "no value") if value is None else f"{between}{value!r}" for value in values]


def _is_whole(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _among(value: Any, options: Sequence[Any]) -> bool:
    """Return whether a value is one of the options; texts are compared, others are identical."""
    return any(value is other or (isinstance(value, str) and value == other) for other in options)


def require_estimator(value: object, kind: type, example: str) -> None:
    """Raise ParameterError unless `value` is an estimator of a kind; explain what to do with a class, or several."""
    if isinstance(value, kind) and not isinstance(value, type):
        return
    got = type(value).__name__
    if isinstance(value, type):
        got = f"the class {value.__name__}; write {value.__name__}()"
    elif isinstance(value, (list, tuple, dict)):
        got += "; give one (leaderboard compares several)"
    elif hasattr(value, "fit") and hasattr(value, "predict"):
        got += f"; a regressor of scikit-learn becomes one as ReductionForecaster({got}())"
    raise ParameterError(f"a forecaster is needed, such as {example}: got {got}")


# Findings about data -------------------------------------------------------------------------------------------------


class Tally(Problem):
    """Problem, or note, made of counts, which those of other rows of the same data can be added to.

    `write` makes the problem of its counts. In a sum, whole numbers add up, the larger of two floats stays, lists go
    on with what is new, and all else is that of the first.

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

    def moved(self, place: Callable[[Any], Any]) -> Tally:
        """Return the tally with rows of another table, and phrases of another reader."""

        def placed(one: Any) -> Any:
            if type(one) is tuple:
                return tuple(map(placed, one))
            return place(one) if isinstance(one, (Row, Phrase)) else one

        return Tally(self.write, **{name: placed(one) for name, one in self.counts.items()})


def merged(found: Sequence[str], **totals: Any) -> list[Any]:
    """Return findings in parts of the data, those of a kind as one, with counts of all the data in place of theirs."""
    kinds: dict[Any, str] = {}
    for each in found:
        kind: tuple[Any, ...] = tuple(map(str, Problem.of(each).must))
        if isinstance(each, Tally):
            named = ("what", "kind", "column", "name", "be", "which", "step", "how")
            kind = (each.write, *(str(each.counts.get(name)) for name in named))
        known = kinds.get(kind)
        kinds[kind] = known + each if isinstance(known, Tally) and isinstance(each, Tally) else known or each
    return [
        Tally(each.write, **each.counts | {name: count for name, count in totals.items() if name in each.counts})
        if isinstance(each, Tally)
        else each
        for each in kinds.values()
    ]


def _sum(one: Any, other: Any) -> Any:
    if isinstance(one, list):
        return list(dict.fromkeys(one + other))
    return max(one, other) if isinstance(one, float) else one + other if isinstance(one, int) else one


@dataclass(frozen=True)
class Named:
    """Id of a series, of any type."""

    id: object

    def __repr__(self) -> str:
        return repr(str(self.id))


def broken(kind: str, must: str, remedy: Text, when: str, missing: int = 0, closed: str = "", **places: Any) -> Problem:
    """Return the problem of a time axis that breaks a rule at places."""
    held = counted(places["places"], "place")
    more = f"{counted(missing, 'stamp')} missing{closed}" if missing else ""
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


def stepless() -> Problem:
    """Return the problem of stamps without a step."""
    must = "the step from one time stamp to the next must be known"
    return Problem(must, "no series has two rows", ("give more rows or ", Argument("frequency")))


def dropped(count: int, which: str) -> str:
    """Return the note on equal time stamps."""
    return f"dropped {counted(count, 'duplicate time stamp')}, kept the {which} of each"


def inserted(missing: int, closed: str) -> str:
    """Return the note on time stamps that were missing."""
    advice = "; nan_policy 'mask' keeps such steps out of training and errors; forecasts of them mean nothing"
    return f"inserted {counted(missing, 'missing time stamp')}{closed}{advice if closed else ''}"


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


def repaired(repairs: dict[str, Any], reader: str) -> Problem:
    """Return the call of a reader of panels with all of the repairs."""
    call = ", ".join(f"{name}={value!r}" for name, value in repairs.items())
    return Problem((Phrase(f"one call repairs all of it: Panel.{reader}(..., {call})", "repair", repairs),))


def repairs_of(problem: Problem | None) -> dict[str, Any] | None:
    """Return the repairs of `repaired`, if there is one."""
    found = (part.value for part in (problem.references if problem else ()) if isinstance(part, Phrase))
    return next((held for held in found if isinstance(held, dict)), None)
