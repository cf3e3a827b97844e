"""Time zones: stamps on the clocks of a place, in UTC, or with an offset in their text."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import numpy as np

from tsforecast.data.calendar import DAY, Stamps, best_frequency

MOST_A_DAY = 23  # times of day of steps on the wall; hours are even in UTC alone


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
    long = times == 1 if step is None else step.unit != "nanosecond" or step.count >= DAY // 4
    return wall if (long if like is None else like) else None


def _unskipped(wall: Stamps, utc: Stamps, zone: str | None) -> Stamps:
    """Move stamps right after the clocks went forward to the skipped time of day of other rows, if there is one."""
    if zone:
        skipped = wall - from_utc(utc - 1, zone) - 1
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
    moved[after] -= np.where(late <= skipped[after], late, 0)
    return moved
