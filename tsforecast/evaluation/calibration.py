"""Calibration of distributions: outcomes within central intervals, with a verdict, and probabilities of the truth."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from tsforecast.distributions.base import Floats
from tsforecast.evaluation.scores import column, size_scores
from tsforecast.evaluation.significance import (
    LEVEL,
    Weighing,
    compare,
    in_time,
    independent,
    neighbours_averaged,
    reach_of_mean,
)
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
    sizes = units(rows, "size_score", independent_series)
    scores = pd.Series(size_scores(rows)).groupby(rows["model"].to_numpy()).agg(["std", "count"])
    found: dict[str, list[Coverage]] = {}
    for held in JUDGED:
        inside = units(rows, f"coverage{held}", independent_series)
        for model, shares in inside.losses.items():
            deviation, count = scores.loc[model]
            reach = reached(sizes, sizes.losses[model], float(deviation), int(count))
            found.setdefault(model, []).append(judged(held, inside, shares, reach))
    about = inside.problem or f"on {inside.counted}, about {inside.population}"
    return {model: Calibration(model, tuple(each), about) for model, each in found.items()}


def judged(held: int, inside: Units, shares: Floats, reach: float) -> Coverage:
    """Return the verdict on the shares of outcomes inside, (n,), given the reach of an interval of a mean of outcomes.

    Intervals cover where the whole interval of their share is near the share that they are to hold, see `JUDGED`. Else
    they are too narrow or too wide where that share lies outside of it.
    """
    share = float(np.average(shares, weights=inside.sizes))
    if inside.problem or not math.isfinite(share):
        return Coverage(held, "inconclusive", share)
    level, margin = held / 100, JUDGED[held]
    low, high = interval(inside, shares, level, reach)
    outcome = "too narrow" if high < level else "too wide" if low > level else "inconclusive"
    if level - margin <= low and high <= level + margin:
        outcome = "covers"
    return Coverage(held, outcome, share, low, high)


def interval(inside: Units, shares: Floats, level: float, reach: float) -> tuple[float, float]:
    """Return the 95 % interval of a mean share, of units that depend on each other as losses do.

    It reaches at least as far as that of outcomes that vary as those of right intervals do, given the `reach` of a mean
    in deviations of one outcome: units that agree have hardly a variance of their own.
    """
    share = float(np.average(shares, weights=inside.sizes))
    missed = share < 0.5  # the logarithm of the larger part is nearly linear
    part, weighing = _weighed(inside, 1 - shares if missed else shares)
    whole, _ = _weighed(inside, np.ones(len(shares)))  # where numbers of neighbours differ, so do their sums
    found = compare(part, whole, weighing)
    low, high = (end if missed else 1 - end for end in sorted((found.low, found.high), reverse=not missed))
    least = reach * math.sqrt(level * (1 - level))
    return max(0.0, min(low, share - least)), min(1.0, max(high, share + least))


def reached(found: Units, scores: Floats, deviation: float, count: int) -> float:
    """Return how far the 95 % interval of the mean of size scores, (n,), reaches, in deviations of one outcome.

    It is at least that of as many independent outcomes as there are.
    """
    from scipy.special import stdtrit

    if found.problem:
        return math.inf
    scores, weighing = _weighed(found, scores - np.average(scores, weights=found.sizes))
    least = -float(stdtrit(weighing.freedom, (1 - LEVEL) / 2)) / math.sqrt(count)
    return max(least, reach_of_mean(scores, weighing) / deviation) if deviation > 0 else least * math.sqrt(count)


def _weighed(found: Units, values: Floats) -> tuple[Floats, Weighing]:
    """Return values of units, neighbours averaged where there are many, and their weighing."""
    if found.kind != "cutoffs":
        return values, independent(found.sizes)
    values, overlap = neighbours_averaged(values, found.overlap)
    return values, in_time(len(values), overlap)


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
