"""Boards in plain words: the headline, names of naive forecasts, steps and seasons, and amounts in a unit."""

from __future__ import annotations

import calendar
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsforecast.errors import Argument, Problem
from tsforecast.evaluation.record import ForecastRecord
from tsforecast.evaluation.verdict import Verdict

DAY = 86_400.0
SPANS = {
    "second": 1.0,
    "minute": 60.0,
    "hour": 3600.0,
    "day": DAY,
    "week": 7 * DAY,
    "month": 30.44 * DAY,
    "quarter": 91.31 * DAY,
    "year": 365.25 * DAY,
}
TOLERANCE = 0.09  # of a span: months have 28 to 31 days
BEFORE = {
    "hour": "the value an hour before",
    "day": "yesterday's value",
    "week": "last week's value",
    "month": "last month's value",
    "quarter": "last quarter's value",
    "year": "last year's value",
}
NAIVE = {
    "naive": "the last value",
    "drift": "a straight line",
    "mean": "the mean",
    "window-average": "the recent average",
}
SEASONAL = "seasonal-naive"
WEEK, BUSINESS_WEEK = 7, 5  # days
MAX_UNIT = 20  # letters: it stands after numbers, and in titles of axes


@dataclass(frozen=True)
class Wording:
    """Words for the parts of a board, as far as rows and record have them."""

    step: str = "step"  # "day", or "15 minutes"; "step" where times are numbers
    season: str = ""  # "year"; empty where a season is none of the calendar
    series: str = "series"  # the column with the names of series
    time: str = ""  # the column of times; empty where it is not known
    unit: str = ""  # of the target
    many: bool = False  # more than one series
    targets: int = 1
    names: tuple[str, ...] = ()  # of the phases of a season: weekdays, months, hours or quarters

    @classmethod
    def of(cls, rows: pd.DataFrame, record: ForecastRecord | None, unit: str = "") -> Wording:
        """Return the words for rows of `backtest`."""
        many, targets = rows["series"].nunique() > 1, int(rows["target"].nunique())
        words = cls(unit=unit, many=many, targets=targets)
        if record is not None:
            words = replace(words, series=record.id_column or "series", time=record.time_column)
        if rows["time"].dtype.kind != "M":
            return words
        first = rows[rows["step"] == rows["step"].min()]
        steps = int(first["step"].iloc[0]) + (record.gap if record else 0)
        seconds = float((first["time"] - first["cutoff"]).median().total_seconds()) / steps
        length = record.season_length if record else int(rows["phase"].max()) + 1 if "phase" in rows else 1
        step = span_of(seconds) or (f"{seconds / 60:.0f} minutes" if seconds % 60 == 0 and seconds < 3600 else "step")
        week = step == "day" and length in (WEEK, BUSINESS_WEEK)
        season = "" if length < 2 else "week" if week else span_of(seconds * length)
        return replace(words, step=step, season=season, names=_phase_names(rows, step, season))

    def naive(self, model: str) -> str:
        """Return a naive forecast in plain words; any other model as it is named."""
        if model == SEASONAL:
            return BEFORE.get(self.season, "the value one season before")
        return NAIVE.get(model, model)

    @property
    def each(self) -> str:
        """The unit that errors are means over: ``shop and day``."""
        return f"{self.series} and {self.step}" if self.many else self.step

    @property
    def phase(self) -> str:
        """Name of the position in a season: ``weekday``, ``month of the year``."""
        if (self.step, self.season) == ("day", "week"):
            return "weekday"
        return f"{self.step} of the {self.season}" if self.season else "position in the season"

    @property
    def ahead(self) -> str:
        """Title of an axis of steps of the horizon: ``days ahead``."""
        return f"{self.step}s ahead" if self.step in SPANS else "steps ahead"

    def titled(self, name: object) -> str:
        """Return a column of values with its unit, as the title of an axis."""
        return f"{name} ({self.unit})" if self.unit else str(name)

    def moment(self, stamp: object) -> str:
        """Return a time of the rows, with its weekday where steps are days, and without an hour of zeros."""
        if not isinstance(stamp, pd.Timestamp):
            return str(stamp)
        text = str(stamp).removesuffix(" 00:00:00")
        return f"{calendar.day_abbr[stamp.day_of_week]} {text}" if self.step == "day" else text

    def amounts(self, one: float, other: float) -> str:
        """Return two mean absolute errors in words, with as many digits as show that they differ."""
        texts = next(pair for digits in range(2, 9) if (pair := _pair(one, other, digits))[0] != pair[1] or digits == 8)
        mine, theirs = (f"{text} {self.unit}".rstrip() for text in texts)
        return f"off by {mine} instead of {theirs} per {self.each}"


def unit_problems(unit: object) -> list[Problem]:
    """Return a problem where a unit is not a short text."""
    if isinstance(unit, str) and len(unit) <= MAX_UNIT and unit.isprintable():
        return []
    remedy = ("pass ", Argument("unit", "EUR"), " or another word")
    return [Problem(f"must be text of at most {MAX_UNIT} letters", f"got {unit!r}", remedy, parameter="unit")]


def span_of(seconds: float) -> str:
    """Return the name of a span of time, such as ``day``; empty where it has none."""
    return next((name for name, span in SPANS.items() if abs(seconds - span) <= TOLERANCE * span), "")


def _phase_names(rows: pd.DataFrame, step: str, season: str) -> tuple[str, ...]:
    """Return the names of phases from 0 on, where all times of a phase have the same one."""
    kinds = {("day", "week"): "weekday", ("month", "year"): "month", ("hour", "day"): "hour", ("quarter", "year"): "q"}
    kind = kinds.get((step, season))
    if kind is None or "phase" not in rows:
        return ()
    times = rows["time"].dt
    found = {"weekday": times.day_of_week, "month": times.month, "hour": times.hour, "q": times.quarter}[kind]
    by_phase = found.groupby(rows["phase"]).agg(["min", "max"])
    if (by_phase["min"] != by_phase["max"]).any() or by_phase.index[-1] + 1 != len(by_phase):
        return ()  # names would be wrong for some, or lack some
    looks = {
        "weekday": lambda number: calendar.day_abbr[number],
        "month": lambda number: calendar.month_abbr[number],
        "hour": lambda number: f"{number}:00",
        "q": lambda number: f"Q{number}",
    }
    return tuple(looks[kind](int(number)) for number in by_phase["min"])


def _pair(one: float, other: float, digits: int) -> tuple[str, str]:
    """Return two numbers with the same decimals: so many significant digits of the larger one."""
    largest = max(abs(one), abs(other))
    decimals = max(0, digits - 1 - math.floor(math.log10(largest))) if 0 < largest < math.inf else 0
    if decimals > 6 or largest >= 1e15:
        return f"{one:.{digits}g}", f"{other:.{digits}g}"
    return f"{one:,.{decimals}f}", f"{other:,.{decimals}f}"


def amount_format(values: NDArray[np.float64]) -> str:
    """Return the format of amounts of a column: as many decimals as the largest needs for four digits."""
    largest = float(np.nanmax(np.abs(values), initial=0.0))
    if not 1e-4 <= largest < 1e12:
        return "{:.4g}"
    return f"{{:,.{max(0, 3 - math.floor(math.log10(largest)))}f}}"


def share(value: float) -> str:
    """Return a share in percent, with a decimal below 10 %, where it would be missed."""
    text = f"{100 * value:.{0 if abs(value) >= 0.0995 else 1}f}%"
    return text.removeprefix("-") if float(text[:-1]) == 0 else text


def times(ratio: float) -> str:
    """Return a ratio of two errors in words."""
    return f"{ratio:.0f} times" if ratio >= 9.95 else f"{ratio:.1f} times"


def size(verdict: Verdict, interval: bool = True) -> str:
    """Return the error of a model relative to that of the reference in words, with its interval in brackets."""
    skill, low, high = verdict.skill, verdict.low, verdict.high
    if skill == -math.inf:
        return "an error where the reference has none"
    if skill < -1:
        text, ends, look = f"{times(1 - skill)} the error", (1 - high, 1 - low), _times
    elif skill < 0:
        text, ends, look = f"{share(-skill)} more error", (-high, -low), _percent
    else:
        text, ends, look = f"{share(skill)} less error" if skill else "the same error", (low, high), _percent
    first, last = map(look, ends)
    known = any(map(math.isfinite, ends)) and (skill != 0 or first != last)
    return f"{text} ({first} to {last})" if interval and known else text


def _percent(end: float) -> str:
    """Return an end of an interval in percent; what is far off has no digits worth reading."""
    if not math.isfinite(end):
        return "no limit"
    return ("under -1000" if end < 0 else "over 1000") if abs(end) > 10 else f"{100 * end:z.0f}"


def _times(end: float) -> str:
    """Return an end of an interval of ratios."""
    return f"{end:.{0 if abs(end) >= 9.95 else 1}f}" if math.isfinite(end) else "no limit"


def headline(
    verdicts: Collection[Verdict],
    reference: str,
    words: Wording,
    errors: Mapping[str, float],
    networks: Collection[str] = (),
    claims: Mapping[str, str] | None = None,
) -> str:
    """Return which models beat the reference, and by how much the best does, without the last full stop.

    `errors` are mean absolute errors by model, and `claims` what is to be known of a model that was trained before.
    """
    judged = [each for each in verdicts if each.outcome not in ("reference", "naive", "leak")]
    compared = [each for each in judged if math.isfinite(each.skill)]
    naive = words.naive(reference)
    if not compared:
        first = naive if naive == reference else naive[:1].upper() + naive[1:]  # a model is written as it is named
        return f"{first} is the naive forecast to beat" if not judged else "No model could be compared"
    best = max(compared, key=lambda verdict: verdict.skill)
    count, better = len(judged), sum(each.outcome == "better" for each in judged)
    kind = "networks" if all(each.model in networks for each in judged) else "models"
    details = [size(best)] + ([best.outcome] if best.outcome != "better" else [])
    found = ", ".join(details) + (f" ({claim})" if (claim := (claims or {}).get(best.model)) else "")
    mine, theirs = errors.get(best.model, math.nan), errors.get(reference, math.nan)
    comparable = words.targets == 1 and bool(np.isfinite([mine, theirs]).all())
    if comparable and best.skill and (mine < theirs) == (best.skill > 0):  # the metric may weigh series otherwise
        found += f"; {words.amounts(mine, theirs)}"
    if count == 1:
        return f"{best.model} {'beats' if better else 'is not shown to beat'} {naive}: {found}"
    if not better:
        return f"No model is shown to beat {naive}. Best of {count}: {best.model}, {found}"
    every = "Both" if count == 2 else f"All {count}"
    some = f"{every} {kind} beat" if better == count else f"{better} of {count} {kind} beat{'s' * (better == 1)}"
    return f"{some} {naive}. Best: {best.model}, {found}"


GUESS = "guessing the most frequent class"
TESTED = {  # protocol of a comparison of classifiers -> what was tested
    "leave-users-out": "a user that it has not seen",
    "random": "users on both sides of the split",
    "given": "the test part",
}


def class_headline(
    verdicts: Mapping[str, Verdict], table: pd.DataFrame, base: float, tested: str, networks: Collection[str] = ()
) -> str:
    """Return which classifiers beat a guess of the most frequent class, which is right in a share `base` of cases.

    `table` has accuracy and its interval by model, and `tested` is in words. The last full stop is left out.
    """
    judged = {name: each for name, each in verdicts.items() if each.outcome != "reference"}
    kind = "networks" if {*judged} <= {*networks} else "models"
    compared = [name for name in table.index if name in judged and math.isfinite(table.loc[name, "accuracy"])]
    if not compared:
        if judged:
            return "No model could be compared"
        return f"{GUESS[:1].upper()}{GUESS[1:]} is the answer to beat: right on {_exactly(base)} of the {tested}"
    better = [name for name in compared if judged[name].outcome == "better"]
    best, count = (better or compared)[0], len(judged)  # the table has the best first
    accuracy, low, high = (float(table.loc[best, name]) for name in ("accuracy", "low", "high"))
    ends = "" if math.isnan(low) else f" ({100 * max(low, 0.0):.0f} to {100 * min(high, 1.0):.0f})"
    mine, guessed = _exactly(accuracy), _exactly(base)
    found = f"right on {mine}{ends} instead of {guessed} of the {tested}"
    if mine == guessed:
        found = f"right on {mine}{ends} of the {tested}, as often as a guess"
    found += "" if best in better else f", {judged[best].outcome}"
    if count == 1:
        return f"{best} {'beats' if better else 'is not shown to beat'} {GUESS}: {found}"
    if not better:
        return f"No model is shown to beat {GUESS}. Best of {count}: {best}, {found}"
    every = "Both" if count == 2 else f"All {count}"
    some = f"{every} {kind} beat" if len(better) == count else f"{len(better)} of {count} {kind} beat"
    return f"{some}{'s' * (len(better) == 1)} {GUESS}. Best: {best}, {found}"


def _exactly(value: float) -> str:
    """Return a share in percent, with a decimal near 100 %, which is written only where nothing is wrong."""
    return f"{100 * value:.0f}%" if value == 1 or value < 0.98 else f"{min(100 * value, 99.9):.1f}%"
