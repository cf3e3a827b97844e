"""Stamps: dates in text, clocks of a place, in UTC or with an offset in their text, and bins of a step."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.data.calendar import DAY, Frequency, Stamps, Unit, best_frequency, from_digits, to_digits
from tsforecast.data.series import DATES, Aggregate, CleaningPolicy, Source, TimeKind
from tsforecast.errors import Argument, DataError, Parameter, Phrase, Problem, Text, counted

HOUR = DAY // 24
MOST_A_DAY = 23  # times of day of steps on the wall; hours are even in UTC alone
LONG = DAY // 4  # steps that keep to the wall
SUNDAY = int(np.datetime64("2000-01-02", "ns").astype(np.int64))  # at midnight, where weeks end

# Dates in text --------------------------------------------------------------------------------------------------

_MONTH = r"(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}"
PART_OF_YEAR = re.compile(  # of a year, which is no ISO 8601: Jan 2015, 2015-Jan, Q1 2015, 2015Q1, 2015-W05
    rf"{_MONTH}\.?([-/ ]?)(\d{{4}}|\d{{2}})|(\d{{4}}|\d{{2}})[-/ ]?{_MONTH}"
    r"|Q[1-4][-/ ]?(\d{4}|\d{2})|[1-4]Q[-/ ]?\d{4}|\d{4}[-/ ]?(Q[1-4]|[MW]\d{1,2})",
    re.I,
)
DATED = re.compile(r"(?=.*[^\W\d_]{3})(.*\D)?(19|20)\d{2}(\D.*)?")  # a word and a year: janv. 2015, 5. Mai 2024
_DAY_FIRST = re.compile(r"\d{1,2}([-/.])\d{1,2}\1(\d{4}|\d{2})(?!\d)(,? ?)(.*)")
_TIMES = {r"\d{1,2}:\d{2}": "%H:%M", r"\d{1,2}:\d{2}:\d{2}": "%H:%M:%S", r"\d{1,2}:\d{2} ?[AaPp][Mm]": "%I:%M %p"}


def odd_one(texts: list[Any]) -> int | None:
    """Return the first row that is not written as most of a column, up to digits and letters; None if few are alike.

    Examples
    --------
    >>> odd_one(["2000Q1", "2000Q2", "2000Q3", "?", "2001Q1", "2001Q2"]), odd_one(["a", "1"])
    (3, None)
    """
    shapes = [re.sub(r"[^\W\d_]", "a", re.sub(r"\d", "0", str(text).strip())) for text in texts]
    shape, count = Counter(shapes).most_common(1)[0]
    return next(row for row, one in enumerate(shapes) if one != shape) if 0.8 <= count / len(texts) < 1 else None


def date_formats(texts: list[Any]) -> list[str]:
    """Return the strptime formats that fit all texts: one, or two where the day or the month may come first.

    Examples
    --------
    >>> date_formats(["07.02.2024", "13.02.2024"]), date_formats(["1/2/24 1:00 PM"])
    (['%d.%m.%Y'], ['%d/%m/%y %I:%M %p', '%m/%d/%y %I:%M %p'])
    """
    import pandas as pd
    from pandas.tseries.api import guess_datetime_format

    first = str(texts[0]).strip()
    match = _DAY_FIRST.fullmatch(first)
    if match:
        mark, year, space, rest = match.groups()
        hour = next((form for pattern, form in _TIMES.items() if re.fullmatch(pattern, rest)), None)
        if rest and hour is None:
            return []
        days = [f"{mark}".join(["%d", "%m"]), f"{mark}".join(["%m", "%d"])]
        tried = [f"{day}{mark}%{'Y' if len(year) == 4 else 'y'}{space}{hour or ''}" for day in days]
    else:
        names, marks = ("%b", "%B"), ("-", " ", "/", "", ". ")
        tried = [form for form in [guess_datetime_format(first)] if form]
        tried += [f"{month}{mark}{year}" for month in names for mark in marks for year in ("%Y", "%y")]
        tried += [f"%Y{mark}{month}" for month in names for mark in marks]
    read = partial(pd.to_datetime, errors="coerce")
    fit = [form for form in tried if read([first], format=form).notna()[0] and read(texts, format=form).notna().all()]
    return fit[:1] if match and match[1] == "." else fit


def wrong_date(texts: list[Any], wrong: NDArray[np.int64]) -> tuple[int, Text]:
    """Return which of the rows that hold no date in ISO 8601 is shown, and a remedy."""
    first = int(wrong[0])
    if 2 * len(wrong) < len(texts):
        return first, f"correct or drop {'that row' if len(wrong) == 1 else f'the {len(wrong)} rows of the kind'}"
    odd = odd_one(texts)
    if odd is None or date_formats(texts):
        return first, date_remedy(texts)
    return odd, f"write it as the others, such as {texts[wrong[1] if first == odd else first]!r}"


def date_remedy(texts: list[Any]) -> Text:
    """Return a remedy for dates that are not ISO 8601, with the format that they have."""
    forms = date_formats(texts)  # 01/02/2023 may be read in two ways: no guess is made
    if not forms and (DATED.fullmatch(text := str(texts[0]).strip()) or PART_OF_YEAR.fullmatch(text)):
        kinds = {"2015-04-01 for the second quarter of 2015": r"\bQ\d|\dQ", "2015-01-26 for week 5 of 2015": r"W\d"}
        kinds["2015-03-01 for March 2015"] = ""
        example = next(kind for kind, form in kinds.items() if re.search(form, text, re.I))
        remedy = f"write the first day of each, such as {example}, or "
        return (remedy, Argument("time", False, "pass"), " to number the rows")
    named = repr(forms[0] if forms else "%d/%m/%Y")
    example = "" if forms else ", for example"
    alike = f"; {forms[1]!r} if the month comes first" if len(forms) > 1 else ""
    convert = f"convert it first{example} with pandas.to_datetime(..., format={named}){alike}"
    return (Phrase(convert, "date format", f"{example or ':'} --date-format {named}{alike}"),)


# Clocks ---------------------------------------------------------------------------------------------------------


def to_utc(stamps: Stamps, zone: str) -> Stamps:
    """Turn stamps on the clocks of a zone into UTC.

    An hour that the clocks skip becomes the first moment after it; of an hour that comes twice, the first is taken.

    Examples
    --------
    >>> skipped = np.array(["2024-03-31T02:30"], dtype="datetime64[ns]").astype("int64")
    >>> to_utc(skipped, "Europe/Berlin").astype("datetime64[ns]").astype("datetime64[m]").astype(str).tolist()
    ['2024-03-31T01:00']
    """
    import pandas as pd

    first = np.ones(stamps.size, dtype=bool)  # summer time comes before winter time
    index = pd.DatetimeIndex(stamps.ravel().astype("datetime64[ns]"))
    index = index.tz_localize(zone, ambiguous=first, nonexistent="shift_forward").tz_convert("UTC").tz_localize(None)
    return np.asarray(index.to_numpy().astype("datetime64[ns]").astype(np.int64)).reshape(stamps.shape)


def from_utc(stamps: Stamps, zone: str) -> Stamps:
    """Convert stamps in UTC to the wall clock of a zone."""
    import pandas as pd

    index = pd.DatetimeIndex(stamps.astype("datetime64[ns]")).tz_localize("UTC").tz_convert(zone).tz_localize(None)
    return np.asarray(index.to_numpy().astype("datetime64[ns]").astype(np.int64))


def clocks_change(utc: Stamps, zone: str) -> bool:
    """Return whether the clocks of a zone differ from UTC by several amounts from the first stamp to half a year on."""
    moments = np.array([utc.min(), utc.max(), utc.max() + 182 * DAY])
    return bool(np.ptp(from_utc(moments, zone) - moments))


_OFFSET = re.compile(r"[T ]\d\d.*?(?:Z|([+-])(\d\d):?(\d\d)?)$")  # sign, hours, minutes
# Zones of offsets from UTC, in minutes, that no zone named Etc/GMT has.
_OFFSET_ZONES = {0: "UTC", 270: "Asia/Kabul", 330: "Asia/Kolkata", 345: "Asia/Kathmandu", 390: "Asia/Yangon"}


def offset_zone(minutes: int) -> str:
    """Return a zone whose clocks always differ from UTC by so many minutes.

    Examples
    --------
    >>> offset_zone(60), offset_zone(-300), offset_zone(330), offset_zone(-210)
    ('Etc/GMT-1', 'Etc/GMT+5', 'Asia/Kolkata', '-03:30')
    """
    if minutes in _OFFSET_ZONES:
        return _OFFSET_ZONES[minutes]
    hours, rest = divmod(abs(minutes), 60)
    ahead = minutes > 0
    return f"{'-+'[ahead]}{hours:02}:{rest:02}" if rest else f"Etc/GMT{'+-'[ahead]}{hours}"


@cache
def _offset(sign: str | None, hours: str, minutes: str | None) -> int:
    return int(f"{sign}1") * (60 * int(hours) + int(minutes or 0)) if sign else 0


def offset_of(text: str) -> int | None:
    """Return the minutes by which the clocks of a stamp in ISO 8601 differ from UTC, if they are written there.

    Examples
    --------
    >>> [offset_of(f"2024-01-31{time}") for time in ("", " 12:00", "T12Z", "T12+01", "T12:00+0530")]
    [None, None, 0, 60, 330]
    """
    match = _OFFSET.search(text)
    return _offset(*match.groups()) if match else None


def on_the_wall(wall: Stamps, utc: Stamps, zone: str | None, codes: Any, like: bool | None) -> Stamps | None:
    """Return stamps on the clocks of a place if their steps are more regular there than in UTC; None otherwise.

    What is as regular on both, as is every zone without a change of its clocks, is on the wall if it takes six hours
    or more, or as the data that it is read `like`. A time of day that the clocks skip is in the data the first moment
    after it, and becomes the time of day that the other rows have. `codes` number the series of the rows; without a
    `zone` there are offsets alone.
    """
    times = len(np.unique(wall % DAY))
    if times > MOST_A_DAY:
        return None
    wall = _unskipped(wall, utc, zone)
    if like is None and len(np.unique(wall % DAY)) == 1:
        return wall
    codes = np.zeros(len(utc), dtype=np.int64) if codes is None else codes
    order = np.lexsort((utc, codes))
    offsets = np.concatenate([[0], np.cumsum(np.bincount(codes))])
    (_, even), (step, share) = (best_frequency(each[order], offsets, "datetime") for each in (utc, wall))
    if share != even:
        return wall if share > even else None
    long = times == 1 if step is None else step.unit != "nanosecond" or step.count >= LONG
    return wall if (long if like is None else like) else None


def _unskipped(wall: Stamps, utc: Stamps, zone: str | None) -> Stamps:
    """Move stamps right after the clocks went forward to the skipped time of day of other rows, if there is one.

    Where the clocks skip half an hour, pandas moves a stamp that they skip to the next full hour.
    """
    if zone:
        skipped = wall - from_utc(utc - HOUR, zone) - HOUR
    else:  # since the row before it
        _, first, back = np.unique(utc, return_index=True, return_inverse=True)
        offset = (wall - utc)[first]
        skipped = np.diff(offset, prepend=offset[:1])[back]
    after = np.flatnonzero(skipped > 0)
    usual = np.unique(np.delete(wall, after) % DAY)
    if not len(after) or not len(usual):
        return wall
    late = ((wall[after, None] - usual) % DAY).min(axis=1)
    moved = wall.copy()
    moved[after] -= np.where(late <= np.maximum(skipped[after], HOUR), late, 0)
    return moved


# Steps ----------------------------------------------------------------------------------------------------------


def clock_of(stamps: Stamps, source: Source, step: int) -> tuple[Stamps, Source]:
    """Return stamps on the clock that a step keeps, on the wall from six hours on, and the source with that clock."""
    wall = step >= LONG
    if not source.zone or wall == source.wall_clock:
        return stamps, source
    return (from_utc if wall else to_utc)(stamps, source.zone), replace(source, wall_clock=wall)


def origin_of(source: Source, kind: TimeKind) -> int:
    """Return a stamp on the grids of all steps, on the clock of a source: a Sunday's midnight there, or step 0."""
    if kind != "datetime":
        return 0
    return int(to_utc(np.array([SUNDAY]), source.zone)[0]) if source.zone and not source.wall_clock else SUNDAY


def asked_step(kind: TimeKind, frequency: Frequency | None, cleaning: CleaningPolicy) -> Frequency | None:
    """Return the step that is asked for, if any; DataError where it does not fit the axis or the other settings."""
    problems, step = list[str](), frequency
    if kind == "none":
        name = "resample" if cleaning.resample else "tolerance"
        remedy = ("name its column with ", Argument("time"))
        raise DataError(Problem("needs a time axis", "there is none", remedy, parameter=name))
    if cleaning.resample:
        step = Frequency.parse(cleaning.resample, "resample")
        if frequency not in (None, step):
            held = f"the step is {length_of(step)} there"
            problems.append(Problem(("must be left out with ", Parameter("resample")), held, parameter="frequency"))
    steps = {"resample" if cleaning.resample else "frequency": step}
    if cleaning.tolerance:
        steps["tolerance"] = within = Frequency.parse(cleaning.tolerance, "tolerance")
        if step is None:
            grid = Argument("frequency", verb="pass")
            problems.append(Problem("needs the step of a grid", "none is given", grid, parameter="tolerance"))
        elif step.unit == within.unit and 2 * within.count >= step.count:
            half, held = f"must be less than half of the step of {length_of(step)}", f"got {length_of(within)}"
            problems.append(Problem(half, held, Argument("resample", length_of(step), "use"), parameter="tolerance"))
    for name, each in steps.items():
        if each and (each.unit == "integer") != (kind == "integer"):
            must, alike = "must have a unit on an axis of dates", "write it like 20ms"
            if kind == "integer":
                must, alike = "must have no unit on an axis that counts steps", "write a number"
            problems.append(Problem(must, f"got {length_of(each)!r}", alike, parameter=name))
        elif each and each.unit not in ("integer", "nanosecond") and (cleaning.resample or cleaning.tolerance):
            fixed = "must have a fixed length, such as 20ms, h, D or W"
            problems.append(Problem(fixed, f"got {str(each)!r}", "group by month first", parameter=name))
    if problems:
        raise DataError(problems)
    return step


def length_of(step: Frequency) -> str:
    """Write a step as it is given."""
    text = str(step.count) if step.unit == "integer" else str(step)
    return text if text[0].isdigit() else f"1{text}"


def at_least(count: int, digits: int, unit: Unit) -> str:
    """Write a length that is at least so long, in few digits."""
    size = 10 ** max(len(str(count)) - digits, 0)
    return length_of(Frequency(unit, -(-count // size) * size))


def snapped_note(moved: int, rows: int, most: float, step: Frequency) -> str:
    """Return the note on stamps that were moved, by so many nanoseconds or steps at most."""
    by, length = at_least(int(most), 3, step.unit), length_of(step)
    return f"moved {moved} of {counted(rows, 'time stamp')} by at most {by} to the grid of {length}"


def binned(
    values: NDArray[Any],
    codes: NDArray[np.int64],
    stamps: Stamps,
    step: int,
    aggregate: Aggregate,
    origin: int,
    coded: Sequence[int] = (),
) -> tuple[NDArray[np.int64], Stamps, NDArray[Any], NDArray[np.int64]]:
    """Return series, label, numbers and last row of each bin of rows in order; a bin (t - step, t] is labelled t.

    Labels are on the grid through `origin`; those of `nearest` lie half a step after it, so that it is their middle.
    Columns that are `coded` have no mean: their last code is taken.

    Examples
    --------
    >>> values, stamps = np.array([[1.0], [2.0], [4.0]]), np.array([11, 20, 21])
    >>> [part.tolist() for part in binned(values, np.zeros(3, int), stamps, 10, "mean", 0)]
    [[0, 0], [20, 30], [[1.5], [4.0]], [1, 2]]
    """
    import pandas as pd

    half = step // 2 if aggregate == "nearest" else 0
    ends = origin + half - (origin + half - stamps) // step * step
    order = np.arange(len(stamps))
    if half:
        order = np.argsort(np.abs(ends - half - stamps), kind="stable")
    grouped = pd.DataFrame(values[order]).groupby([codes[order], ends[order]])
    found = {"mean": grouped.mean, "last": grouped.last, "nearest": grouped.first}[aggregate]()  # none counts NaN
    row = np.zeros(len(found), dtype=np.int64)
    np.maximum.at(row, grouped.ngroup().to_numpy(), order)
    series, labels = (found.index.get_level_values(level).to_numpy() for level in (0, 1))
    numbers = found.to_numpy(dtype=values.dtype)
    if coded and aggregate == "mean":
        numbers = numbers.copy()
        numbers[:, list(coded)] = grouped.last()[list(coded)].to_numpy()
    return series, labels, numbers, row


def _fits(source: Source, stamps: Stamps) -> bool:
    """Return whether dates in the type of the time column that was read can be these stamps."""
    if source.digits:
        return bool((from_digits(to_digits(stamps, source.digits), source.digits) == stamps).all())
    dates = source.date_only or source.types.get(source.time or "") == DATES
    if source.period:
        import pandas as pd

        index = pd.DatetimeIndex(stamps.astype("datetime64[ns]"))
        return bool((index.to_period(source.period).to_timestamp() == index).all())
    rounded = stamps.astype("datetime64[ns]").astype(f"datetime64[{'D' if dates else source.unit}]")
    return bool((rounded.astype("datetime64[ns]").astype(np.int64) == stamps).all())


def require_fit(source: Source, kind: TimeKind, stamps: Stamps) -> None:
    """Refuse stamps that the type of the time column cannot hold, such as noon in a column of dates."""
    if kind != "datetime" or _fits(source, stamps):
        return
    first = next(stamp for stamp in stamps if not _fits(source, np.array([stamp])))
    must = f"time column {source.time!r} must be of a type that can hold the new stamps"
    held = f"it cannot hold {first.astype('datetime64[ns]')}"
    raise DataError(Problem(must, held, "convert it to stamps in nanoseconds, or take another step"))
