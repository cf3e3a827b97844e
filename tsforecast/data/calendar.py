"""Time axis: frequencies, seasons, the stamps that follow, and calendar features.

A stamp is an int64: nanoseconds since 1970 for dates and times, the number itself for an integer axis.
A `Frequency` splits stamps into a *number* that grows by `count` from step to step (nanoseconds,
months or business days) and a *remainder* that stays the same (the day in the month, the time of day).
Everything about regularity is then whole-number arithmetic on all rows at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tsforecast.errors import Argument, DataError, Problem, Text, nearest

Stamps = NDArray[np.int64]
Unit = Literal["integer", "nanosecond", "month", "month end", "business day"]
Digits = Literal["YYYYMM", "YYYYMMDD", "YYYYMMDDHH"]

SECOND = 1_000_000_000
DAY = 86_400 * SECOND
SHORTEST_MONTH = 28 * DAY
_ALIASES: dict[str, tuple[Unit, int]] = {
    "ns": ("nanosecond", 1),
    "us": ("nanosecond", 1_000),
    "ms": ("nanosecond", 1_000_000),
    "s": ("nanosecond", SECOND),
    "min": ("nanosecond", 60 * SECOND),
    "h": ("nanosecond", 3_600 * SECOND),
    "D": ("nanosecond", DAY),
    "W": ("nanosecond", 7 * DAY),
    "B": ("business day", 1),
    "MS": ("month", 1),
    "QS": ("month", 3),
    "YS": ("month", 12),
    "ME": ("month end", 1),
    "QE": ("month end", 3),
    "YE": ("month end", 12),
}
# As earlier versions of pandas name frequencies.
_FORMER = {"AS": "YS", "H": "h", "T": "min", "S": "s", "L": "ms", "U": "us", "N": "ns"}
_WORDS = {"sec": "s", "min": "min", "hour": "h", "da": "D", "week": "W", "month": "M", "quarter": "Q", "year": "Y"}
_WORDS |= {"annual": "Y", "business": "B"}  # beginnings of words, such as daily
_FORMER_ENDS = {"M": "M", "Q": "Q", "Y": "Y", "A": "Y"}
_BUSINESS = ("BM", "BME", "BMS", "BQ", "BQE", "BQS", "BY", "BYE", "BYS", "BA", "BAS", "CBMS", "CBME")
_TWICE = ("SM", "SME", "SMS")
_CHANGING = "write each as the first day of its month"
_NUMBERED = "number the steps from 0 and "


@dataclass(frozen=True)
class Frequency:
    """Distance between neighbouring time steps: so many units.

    Examples
    --------
    >>> hourly = Frequency.parse("h")
    >>> str(hourly), hourly.season_length
    ('h', 24)
    >>> str(Frequency("month", 3)), Frequency("month", 3).season_length
    ('QS', 4)
    """

    unit: Unit
    count: int = 1

    @classmethod
    def parse(cls, alias: str, parameter: str = "frequency") -> Frequency:
        """Read a pandas-style alias: a whole number and one of ns ... W, B, MS, ME, QS, QE, YS, YE; or steps to count.

        DataError, raised when the alias is not known, names the nearest one, and the `parameter` that it is of.

        Examples
        --------
        >>> Frequency.parse("30min").season_length
        48
        """
        if re.fullmatch(r"\s*0*[1-9]\d{0,17}\s*", alias):
            return cls("integer", int(alias))
        match = re.fullmatch(r"(\d*)([A-Za-z]+)", alias.strip())
        if match is None or match[2] not in _ALIASES or match[1] == "0":
            raise DataError(Problem(f"{alias!r} is not known", "", _known(alias.strip()), parameter=parameter))
        unit, count = _ALIASES[match[2]]
        return cls(unit, count * int(match[1] or 1))

    def __str__(self) -> str:
        if self.unit == "integer":
            return f"{self.count} (integer axis)"
        # The longest alias that divides the step: 1_800 s is 30min, 7 days are W.
        fitting = [(n, a) for a, (u, n) in _ALIASES.items() if u == self.unit and not self.count % n]
        size, alias = max(fitting)
        return alias if self.count == size else f"{self.count // size}{alias}"

    @property
    def season_length(self) -> int:
        """Steps in the customary season of this frequency; 1 where there is none.

        A day for anything from a minute up to a day, a week for days (five steps for business
        days), a year for weeks, months and quarters.
        """
        if self.unit == "business day":
            return 5 if self.count == 1 else 1
        if self.unit in ("month", "month end"):
            return max(1, 12 // self.count)
        if self.unit == "nanosecond" and self.count in (DAY, 7 * DAY):
            return 7 if self.count == DAY else 52
        daily = self.unit == "nanosecond" and self.count >= 60 * SECOND and not DAY % self.count
        return DAY // self.count if daily else 1

    def split(self, stamps: Stamps) -> tuple[Stamps, Stamps]:
        """Split stamps into numbers that grow by `count` and remainders that stay (see the module)."""
        if self.unit in ("integer", "nanosecond"):
            return stamps, np.zeros_like(stamps)
        if self.unit == "business day":
            days, time_of_day = np.divmod(stamps, DAY)
            dates = days.astype("datetime64[D]")
            epoch = np.datetime64(0, "D")
            number = np.asarray(np.busday_count(epoch, dates), dtype=np.int64)
            # A weekend stamp gets a remainder of its own, so that it never looks regular.
            return number, np.where(np.is_busday(dates), time_of_day, -1 - days)
        months = stamps.astype("datetime64[ns]").astype("datetime64[M]")
        shift = 1 if self.unit == "month end" else 0
        origin = (months + shift).astype("datetime64[ns]").astype(np.int64)
        return months.astype(np.int64), stamps - origin

    def join(self, numbers: Stamps, remainders: Stamps) -> Stamps:
        """Undo `split`."""
        if self.unit in ("integer", "nanosecond"):
            return numbers + remainders
        if self.unit == "business day":
            dates = np.busday_offset(np.datetime64(0, "D"), numbers, roll="forward")
            return dates.astype(np.int64) * DAY + remainders
        shift = 1 if self.unit == "month end" else 0
        months = (numbers + shift).astype("datetime64[M]")
        return months.astype("datetime64[ns]").astype(np.int64) + remainders

    def advance(self, stamps: Stamps | int, steps: Stamps | int) -> Stamps:
        """Return the stamps that lie `steps` steps after `stamps`; the two broadcast.

        Examples
        --------
        >>> january = np.datetime64("2024-01-31", "ns").astype("int64")
        >>> later = Frequency.parse("ME").advance(january, np.array([1, 2]))
        >>> later.astype("datetime64[ns]").astype("datetime64[D]").astype(str).tolist()
        ['2024-02-29', '2024-03-31']
        """
        numbers, remainders = self.split(np.asarray(stamps, dtype=np.int64))
        return self.join(numbers + self.count * np.asarray(steps), remainders)

    def phase(self, stamps: Stamps, season_length: int) -> NDArray[np.int64]:
        """Return where in its season each stamp lies: 0 is midnight, Monday, January, or the first step of an axis.

        Examples
        --------
        >>> noon = np.array(["2024-01-01T12:00"], dtype="datetime64[ns]").astype("int64")
        >>> Frequency.parse("h").phase(noon, 24).tolist(), Frequency.parse("D").phase(noon, 7).tolist()
        ([12], [0])
        """
        numbers = self.split(np.asarray(stamps, dtype=np.int64))[0] // self.count
        daily = self.unit == "business day" or (self.unit == "nanosecond" and self.count == DAY)
        return (numbers + (3 if daily else 0)) % season_length  # counting of days began on a Thursday


def _known(alias: str) -> Text:
    """Return a remedy for an alias that is not known."""
    count, name, anchor = re.match(r"(\d*) ?([A-Za-z]*)(-[A-Z]{3})?", alias).groups()  # type: ignore[union-attr]
    name = next((short for begin, short in _WORDS.items() if name.lower().startswith(begin)), name)
    if name in _BUSINESS:
        return f"steps of months on business days are not supported: {_CHANGING}"
    if name in _TWICE:
        return (f"two steps a month are not supported: {_NUMBERED}", Argument("season_length", 24, "pass"))
    since = f" without {anchor!r}: the dates show it" if anchor else ""
    if name in _FORMER_ENDS:
        steps = count + _FORMER_ENDS[name]
        return f"use '{steps}E' (by their last day) or '{steps}S' (by their first day){since}"
    if count == "0" or name not in {*_ALIASES, *_FORMER}:
        return nearest(name or alias, _ALIASES)
    return f"use '{count}{_FORMER.get(name, name)}'{since}"


def unsupported(stamps: Stamps, offsets: NDArray[np.int64]) -> Text | None:
    """Return a remedy for stamps that keep to a calendar without a frequency, such as weeks in fours and fives."""
    later, days = inner_steps(offsets), (stamps // DAY).astype("datetime64[D]")
    months = days.astype("datetime64[M]")
    of_month = (days - months.astype("datetime64[D]")).astype(np.int64) + 1
    move = (stamps[later] - stamps[later - 1]) // DAY
    if np.isin(move, (28, 35)).all():
        numbered = f"they are 4 and 5 weeks apart: {_NUMBERED}"
        return (numbered, Argument("season_length", 12, "pass"))
    step = months[later].astype(np.int64) - months[later - 1].astype(np.int64)
    if step.min() > 0 and (step == step[0]).all():
        often = "a month" if step[0] == 1 else f"in {step[0]} months"
        return f"they come once {often} on changing days, such as the last business day: {_CHANGING}"
    edge = (of_month == 1) | ((days + 1).astype("datetime64[M]") > months)
    if (edge | (of_month == 15)).all() and (of_month == 15).any() and np.isin(move, range(13, 18)).all():
        return (
            f"they come twice a month: {_NUMBERED}",
            Argument("season_length", 24, "pass"),
            ", or sum them by month",
        )
    return None


def inner_steps(offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rows that have a predecessor in their own series."""
    rows = np.arange(offsets[-1])
    return np.delete(rows, offsets[:-1][offsets[:-1] < offsets[-1]])


def inner_moves(stamps: Stamps, offsets: NDArray[np.int64]) -> Stamps:
    """Return the distances from each stamp to the next of its own series, where each series is in one piece."""
    return np.asarray(np.diff(stamps)[inner_steps(offsets) - 1])


def own_moves(stamps: Stamps, codes: NDArray[np.int64] | None) -> Stamps:
    """Return the distances from each stamp to the next of its own series, whose number is in `codes`, in any order."""
    if codes is None:
        return np.diff(stamps)
    order = np.argsort(codes, kind="stable")
    return np.asarray(np.diff(stamps[order])[np.diff(codes[order]) == 0])


def go_forward(stamps: Stamps, codes: NDArray[np.int64] | None) -> bool:
    """Return whether the stamps of each series, whose number is in `codes`, go forward."""
    return bool((own_moves(stamps, codes) > 0).all())


def put_in_order(times: NDArray[Any], codes: NDArray[np.int64], often: bool) -> bool:
    """Return whether times go forward in each series alone, or leap where one series follows another, not `often`."""
    import pandas as pd

    try:
        form = "ISO8601" if times.dtype.kind in "OUT" else None  # no guess at other text, with a warning
        whole = times.dtype.kind in "iu"
        numbers = times.astype(np.int64) if whole else pd.to_datetime(times, format=form, utc=True).asi8
    except (TypeError, ValueError):
        return False
    steps = np.diff(numbers)
    if (steps < 0).any():
        return go_forward(numbers, codes)
    edges, inner = steps[np.diff(codes) != 0], steps[np.diff(codes) == 0]
    return not often and len(inner) > 0 and bool(edges.min() < inner.min() or edges.max() > inner.max())


def even_step(stamps: Stamps, offsets: NDArray[np.int64]) -> int | None:
    """Return the step forward that all rows of all series keep; None where there is none."""
    lengths = np.diff(offsets)
    if lengths.max() < 2:
        return None
    first = offsets[lengths.argmax()]
    steps, ends = np.diff(stamps), offsets[(offsets > 0) & (offsets < len(stamps))]
    steps[ends - 1] = steps[first]
    return int(steps[first]) if steps[first] > 0 and (steps == steps[first]).all() else None


def best_frequency(
    stamps: Stamps, offsets: NDArray[np.int64], kind: str, even: int | None = None
) -> tuple[Frequency | None, float]:
    """Return the frequency that explains most of the steps, None when no series has two rows, and its share of them.

    Steps of four weeks and more that are as regular in months are months: three of them may be equally long. The
    `even_step` may be known.
    """
    even = even or even_step(stamps, offsets)
    if even and (kind != "datetime" or even < SHORTEST_MONTH):
        return Frequency("nanosecond" if kind == "datetime" else "integer", even), 1.0
    later = inner_steps(offsets)
    if not len(later):
        return None, 0.0
    counts = ((unit, *step_counts(unit, stamps, later)) for unit in units_of(kind, stamps[0]))
    return commonest(kind, counts, len(later))


def units_of(kind: str, first: int | np.int64) -> tuple[Unit, ...]:
    """Return the units that steps may be counted in: once a year both of months fit, and the first stamp decides."""
    if kind != "datetime":
        return ("integer",)
    next_day = np.array([first // DAY + 1]).astype("datetime64[D]")
    by_end = bool((next_day == next_day.astype("datetime64[M]")).all())
    return ("nanosecond", *(("month end", "month") if by_end else ("month", "month end")), "business day")


def step_counts(unit: Unit, stamps: Stamps, later: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the whole steps forward to the rows `later`, in a unit, and how often each occurs."""
    numbers, remainders = Frequency(unit).split(stamps)
    steps, moved = np.diff(numbers)[later - 1], np.diff(remainders)[later - 1]
    return np.unique(steps[(moved == 0) & (steps > 0)], return_counts=True)


def commonest(
    kind: str, found: Iterable[tuple[Unit, NDArray[np.int64], NDArray[np.int64]]], total: int
) -> tuple[Frequency, float]:
    """Return the frequency of most of so many steps in all, and its share, of units with their steps and counts."""
    best, most = Frequency("nanosecond", DAY) if kind == "datetime" else Frequency("integer", 1), 0.0
    for unit, sizes, counts in found:
        if not len(sizes):
            continue
        share = float(counts.max()) / total
        may_be_months = best.unit == "nanosecond" and best.count >= SHORTEST_MONTH and not best.count % DAY
        if share > most or (share == most and may_be_months and unit.startswith("month")):
            best, most = Frequency(unit, int(sizes[counts.argmax()])), share
        if share == 1.0 and (unit != "nanosecond" or best.count < SHORTEST_MONTH):
            break
    return best, most


def snapped(stamps: Stamps, begin: Stamps, step: int, tolerance: int, origin: int = 0) -> Stamps:
    """Return stamps, each moved by `tolerance` at most to the grid of its series; those farther off stay.

    The grid passes through `begin`, the first stamp of the series, or through `origin` where that is as near; no later
    stamp has a part in it.

    Examples
    --------
    >>> snapped(np.array([101, 119, 144]), np.array([101, 101, 101]), step=20, tolerance=2).tolist()
    [100, 120, 144]
    """

    def moved(stamps: Stamps, through: Stamps | int) -> Stamps:
        near = through + (stamps - through + step // 2) // step * step
        return np.where(np.abs(stamps - near) <= tolerance, near, stamps)

    return moved(stamps, moved(begin, origin))


def nearly(
    stamps: Stamps, offsets: NDArray[np.int64], count: int | None = None, origin: int = 0
) -> tuple[int, Stamps] | None:
    """Return a round step, or the one of `count`, whose grid all stamps miss by a fifth of it at most, and that grid.

    Examples
    --------
    >>> step, near = nearly(np.array([1, 19, 42, 61, 80]), np.array([0, 5]))
    >>> step, near.tolist()
    (20, [0, 20, 40, 60, 80])
    """
    first = np.repeat(offsets[:-1], np.diff(offsets))
    for step in [count] if count else rounded(usual_step(stamps, offsets)):
        near = snapped(stamps, stamps[first], step, step // 5, origin)
        on_grid = not ((near - near[first]) % step).any() and (near != stamps).any()
        if on_grid and (inner_moves(near, offsets) > 0).all():
            return step, near
    return None


def usual_step(stamps: Stamps, offsets: NDArray[np.int64]) -> int:
    """Return the middle one of all steps, the lower of two."""
    return int(np.quantile(inner_moves(stamps, offsets), 0.5, method="lower"))


def rounded(count: int) -> list[int]:
    """Return numbers of few digits near a count, of nanoseconds beyond a minute those alone that divide a day."""
    sizes = [10 ** max(len(str(count)) - digits, 0) for digits in (1, 2, 3, 4)]
    found = dict.fromkeys((count + size // 2) // size * size for size in sizes)
    return [step for step in found if step > 0 and (step < 60 * SECOND or not DAY % step or not step % DAY)]


def other_reading(stamps: Stamps, offsets: NDArray[np.int64], frequency: Frequency) -> Frequency | None:
    """Return another frequency that fits regular stamps as well: weeks for two months, business days for a few days."""
    if frequency == Frequency("nanosecond", DAY):
        week = (stamps[:7] // DAY).astype("datetime64[D]")  # whose steps are a day each, unless it is another series
        every = np.is_busday(week).all() and np.is_busday((stamps // DAY).astype("datetime64[D]")).all()
        return Frequency("business day") if every else None
    if not frequency.unit.startswith("month"):
        return None
    moves = np.unique(inner_moves(stamps, offsets))
    return None if len(moves) != 1 or moves[0] % (7 * DAY) else Frequency("nanosecond", int(moves[0]))


_MONTH_SPANS: dict[Digits, int] = {"YYYYMM": 1, "YYYYMMDD": 100, "YYYYMMDDHH": 10_000}
# Year and number of a quarter, week or day: how many numbers a year spans, and the last of them.
_YEAR_SPANS = {"YYYYQ (quarters)": (10, 4), "YYYYWW (weeks)": (100, 53), "YYYYDDD (days)": (1_000, 366)}
FEW_WRONG = 0.1  # of whole numbers that are dates; a counter has more


def digits_of(numbers: Stamps) -> tuple[Digits, NDArray[np.bool_]] | None:
    """Return how whole numbers between the years 1900 and 2099 write dates, and which of them are none.

    Examples
    --------
    >>> digits_of(np.array([202312, 202401]))
    ('YYYYMM', array([False, False]))
    >>> digits_of(np.arange(202301, 202340)), digits_of(np.arange(1990, 2024))
    (None, None)
    """
    for form, span in _MONTH_SPANS.items():
        if numbers.min() >= 190001 * span and numbers.max() < 210000 * span:
            wrong = to_digits(from_digits(numbers, form), form) != numbers
            return (form, wrong) if wrong.mean() <= FEW_WRONG else None
    return None


def parts_of_years(numbers: Stamps) -> str | None:
    """Return how whole numbers would write the quarters, weeks or days of the years 1900 to 2099, if they do."""
    for form, (span, last) in _YEAR_SPANS.items():
        part = numbers % span
        if numbers.min() >= 1900 * span and numbers.max() < 2100 * span and part.min() >= 1 and part.max() <= last:
            return form
    return None


def from_digits(numbers: Stamps, form: Digits) -> Stamps:
    """Return the stamps of dates that are written as whole numbers."""
    months, rest = np.divmod(numbers, _MONTH_SPANS[form])
    if form == "YYYYMM":
        rest = rest + 1
    days, hours = np.divmod(rest, 100) if form == "YYYYMMDDHH" else (rest, np.zeros_like(rest))
    begin = (months // 100 - 1970) * 12 + months % 100 - 1
    since = begin.astype("datetime64[M]").astype("datetime64[ns]").astype(np.int64)
    return np.asarray(since + (days - 1) * DAY + hours * (DAY // 24))


def to_digits(stamps: Stamps, form: Digits) -> Stamps:
    """Undo `from_digits`."""
    days = stamps // DAY
    months = days.astype("datetime64[D]").astype("datetime64[M]")
    number = np.asarray(months.astype(np.int64) // 12 * 100 + months.astype(np.int64) % 12 + 197_001)
    if form != "YYYYMM":
        number = number * 100 + days - months.astype("datetime64[D]").astype(np.int64) + 1
    return number * 100 + stamps % DAY // (DAY // 24) if form == "YYYYMMDDHH" else number


# Name of a feature -> where a stamp lies in its cycle, and how long the cycle is.
_CYCLES: dict[str, tuple[Callable[[Any], Any], float]] = {
    "minute": (lambda index: index.minute, 60),
    "hour": (lambda index: index.hour + index.minute / 60 + index.second / 3600, 24),
    "weekday": (lambda index: index.day_of_week, 7),
    "day": (lambda index: index.day - 1, 31),
    "yearday": (lambda index: index.day_of_year - 1, 365.25),
    "month": (lambda index: index.month - 1, 12),
}
CALENDAR = tuple(_CYCLES)


def calendar_problems(names: Sequence[str], kind: str) -> list[str]:
    """Return the problems of calendar features of these names on a time axis of this kind.

    Examples
    --------
    >>> calendar_problems(["hours"], "datetime")
    ["calendar feature 'hours' does not exist; did you mean 'hour'?"]
    """
    problems = [
        f"calendar feature {name!r} does not exist; {nearest(name, CALENDAR)}"
        for name in sorted(set(names) - set(CALENDAR))
    ]
    if kind != "datetime":
        problems.append("calendar features need dates: the time axis has none; name a time column")
    return problems + [
        f"calendar feature {name!r} must be named once: got it {names.count(name)} times"
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]


def calendar_columns(names: Sequence[str]) -> tuple[str, ...]:
    """Return the columns that calendar features are written to.

    Examples
    --------
    >>> calendar_columns(["hour"])
    ('hour_sine', 'hour_cosine')
    """
    return tuple(f"{name}_{wave}" for name in names for wave in ("sine", "cosine"))


def calendar_features(stamps: Stamps, names: Sequence[str], zone: str | None = None) -> NDArray[np.float64]:
    """Return sine and cosine of where each stamp lies in the cycles `names`, shape (rows, 2 x names).

    With a zone, the stamps are in UTC and the calendar is that of the zone.

    Examples
    --------
    >>> noon = np.array(["2024-01-01T12:00"], dtype="datetime64[ns]").astype("int64")
    >>> calendar_features(noon, ["hour"]).round(6).tolist()
    [[0.0, -1.0]]
    """
    import pandas as pd

    index = pd.DatetimeIndex(stamps.astype("datetime64[ns]"))
    if zone:
        index = index.tz_localize("UTC").tz_convert(zone)
    cycles = [_CYCLES[name] for name in names]
    angles = [2 * np.pi * np.asarray(where(index), dtype=np.float64) / length for where, length in cycles]
    return np.stack([wave(angle) for angle in angles for wave in (np.sin, np.cos)], axis=1)


def stamp_label(stamp: int | np.int64, kind: str) -> str:
    """Write one stamp for a person: the date alone at midnight, the number on an integer axis."""
    if kind != "datetime":
        return str(stamp)
    text = str(np.datetime64(int(stamp), "ns").astype("datetime64[ms]"))
    return text.removesuffix(".000").removesuffix("T00:00:00").replace("T", " ")
