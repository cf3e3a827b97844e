"""Calibration of distributions: outcomes within central intervals, with a verdict, and probabilities of the truth."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from tsforecast.distributions.base import Floats
from tsforecast.evaluation.scores import column, normal_scores
from tsforecast.evaluation.significance import LEVEL, compare, in_time, independent, neighbours_averaged
from tsforecast.evaluation.verdict import Units, units

JUDGED = {80: 0.05, 95: 0.025}  # percent that an interval is to hold -> by how much fewer or more it may hold
LEVELS = np.arange(1, 20) / 20  # of a reliability curve
BARS = 10  # of a histogram


@dataclass(frozen=True)
class Coverage:
    """Share of outcomes within the central intervals of one model, with a verdict; NaN where there is none."""

    held: int  # percent of outcomes that the intervals are to hold
    outcome: str  # "covers", "too narrow", "too wide" or "inconclusive"
    share: float
    low: float = math.nan  # ends of its 95 % interval
    high: float = math.nan

    def __str__(self) -> str:
        span = f", interval {100 * self.low:.1f} to {100 * self.high:.1f} %" if math.isfinite(self.low) else ""
        return f"{self.outcome} at {self.held} % ({100 * self.share:.1f} % of outcomes inside{span})"


@dataclass(frozen=True)
class Calibration:
    """Verdicts on the intervals of one model, in one sentence without its full stop."""

    model: str
    coverages: tuple[Coverage, ...]
    about: str  # number and kind of the units, or the reason for no verdict

    def __str__(self) -> str:
        return f"{self.model}: {', '.join(map(str, self.coverages))}; {self.about}"


def calibrations(rows: pd.DataFrame, independent_series: bool = False) -> dict[str, Calibration]:
    """Return by model the verdicts on its intervals of 80 and of 95 %, in the units of the other verdicts."""
    normal = units(rows, "normal_score", independent_series)
    scores = pd.Series(normal_scores(rows)).groupby(rows["model"].to_numpy()).agg(["var", "count"])
    found: dict[str, list[Coverage]] = {}
    for held in JUDGED:
        inside = units(rows, f"coverage{held}", independent_series)
        for model, shares in inside.losses.items():
            variance, count = scores.loc[model]
            outcomes = effective(normal.losses[model], float(variance), int(count))
            found.setdefault(model, []).append(judged(held, inside, shares, outcomes))
    about = inside.problem or f"on {inside.counted}, about {inside.population}"
    return {model: Calibration(model, tuple(each), about) for model, each in found.items()}


def judged(held: int, inside: Units, shares: Floats, outcomes: float) -> Coverage:
    """Return the verdict on the shares of outcomes inside, (n,), that tell as much as so many independent outcomes.

    Intervals cover where the whole interval of their share is near the share that they are to hold, see `JUDGED`. Else
    they are too narrow or too wide where that share lies outside of it.
    """
    share = float(np.average(shares, weights=inside.sizes))
    if inside.problem or not math.isfinite(share):
        return Coverage(held, "inconclusive", share)
    level, margin = held / 100, JUDGED[held]
    low, high = interval(inside, shares, level, outcomes)
    outcome = "too narrow" if high < level else "too wide" if low > level else "inconclusive"
    if level - margin <= low and high <= level + margin:
        outcome = "covers"
    return Coverage(held, outcome, share, low, high)


def interval(inside: Units, shares: Floats, level: float, outcomes: float) -> tuple[float, float]:
    """Return the 95 % interval of a mean share, of units that depend on each other as losses do.

    It is at least that of so many independent outcomes: a few units that agree have hardly a variance of their own.
    """
    from scipy.special import stdtrit

    share = float(np.average(shares, weights=inside.sizes))
    weighing, count = independent(inside.sizes), inside.count
    if inside.kind == "cutoffs":
        shares, overlap = neighbours_averaged(shares, inside.overlap)
        weighing, count = in_time(len(shares), overlap), len(shares)
    missed = share < 0.5  # the logarithm of the larger part is nearly linear
    found = compare(1 - shares if missed else shares, np.ones(count), weighing)
    low, high = (end if missed else 1 - end for end in sorted((found.low, found.high), reverse=not missed))
    least = -float(stdtrit(count - 1, (1 - LEVEL) / 2)) * math.sqrt(level * (1 - level) / outcomes)
    return max(0.0, min(low, share - least)), min(1.0, max(high, share + least))


def effective(scores: Floats, variance: float, count: int) -> float:
    """Return the number of independent outcomes that have as much variance as the mean of dependent ones.

    `scores` are the means of normal scores of units, (n,), `variance` and `count` those of all outcomes.
    """
    spread = float(np.var(scores, ddof=1)) / len(scores) if len(scores) > 1 else 0.0
    least = min(len(scores), count)
    return float(np.clip(variance / spread, least, count)) if spread > 0 else float(least)


def below(rows: pd.DataFrame, levels: ArrayLike) -> Floats:
    """Return the share of rows whose truth lies below the quantile at each level.

    The probability of a count is spread evenly between its two ends [Czado, Gneiting and Held 2009, doi
    10.1111/j.1541-0420.2009.01191.x].
    """
    low, high = column(rows, "pit_lo"), column(rows, "pit_hi")
    width = high - low
    return np.array(
        [
            np.nanmean(np.where(width > 0, np.clip((at - low) / np.where(width > 0, width, 1.0), 0, 1), low <= at))
            for at in np.atleast_1d(levels)
        ]
    )


def histogram(rows: pd.DataFrame) -> Floats:
    """Return the share of rows in each of `BARS` intervals of probability, over that of a calibrated model."""
    reached = below(rows, np.arange(1, BARS) / BARS)
    return np.diff([0.0, *reached, 1.0]) * BARS
