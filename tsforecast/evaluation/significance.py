"""Significance: tests and intervals for differences between forecasts that overlap in time, and between users."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tsforecast.errors import DataError

Floats = NDArray[np.float64]
DRAWS = 2_000  # of the bootstrap
POWER = 0.8  # of the smallest detectable gain
LEVEL = 0.95  # of intervals


def diebold_mariano(first: ArrayLike, second: ArrayLike, overlap: int = 1) -> tuple[float, float]:
    """Test whether the first of two forecasts has the smaller loss, by losses from n cutoffs in order of time, (n,).

    `overlap` is the number of neighbouring cutoffs that share targets: the horizon over the steps between cutoffs,
    rounded up. Losses further apart are taken as independent.

    Return the statistic [Diebold and Mariano 1995], with the correction for small samples of Harvey, Leybourne and
    Newbold 1997, and the one-sided p-value, from Student's t with n - 1 degrees of freedom. The statistic is negative
    where the first is better, infinite where it is by the same everywhere, NaN with fewer than two cutoffs.
    """
    from scipy.stats import t

    moves = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    n = len(moves)
    overlap = min(overlap, n - 1)
    if n < 2 or np.isnan(moves).any():
        return math.nan, math.nan
    if np.ptp(moves) == 0:
        return (0.0, 0.5) if moves[0] == 0 else (math.copysign(math.inf, moves[0]), float(moves[0] > 0))
    off = moves - moves.mean()
    covariances = np.array([off[lag:] @ off[: n - lag] / n for lag in range(overlap)])
    variance = (covariances[0] + 2 * covariances[1:].sum()) / n
    if variance <= 0:  # a Bartlett window weights the covariances
        variance = (covariances[0] + 2 * (1 - np.arange(1, overlap) / overlap) @ covariances[1:]) / n
    correction = math.sqrt((n + 1 - 2 * overlap + overlap * (overlap - 1) / n) / n)
    statistic = float(moves.mean() / math.sqrt(variance) * correction)
    return statistic, float(t.cdf(statistic, n - 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust the p-values of several tests so that they bound the probability of any false claim [Holm 1979]."""
    adjusted, worst = [1.0] * len(p_values), 0.0
    known = [i for i in np.argsort(p_values, kind="stable").tolist() if not math.isnan(p_values[i])]
    for rank, i in enumerate(known):
        worst = max(worst, min(1.0, (len(known) - rank) * p_values[i]))
        adjusted[i] = worst
    return adjusted


@dataclass(frozen=True)
class Interval:
    """A mean over users, with its 95 % interval, NaN with fewer than two users."""

    mean: float
    low: float
    high: float
    users: int


def over_users(values: ArrayLike) -> Interval:
    """Return the mean over users with an interval from Student's t, given one value of each.

    The next sequence may come from a new user: a user counts once, however many sequences there are of each.
    """
    from scipy.stats import t

    each = np.asarray(values, dtype=np.float64)
    mean, n = float(each.mean()), len(each)
    if n < 2:
        return Interval(mean, math.nan, math.nan, n)
    reach = float(t.ppf((1 + LEVEL) / 2, n - 1) * each.std(ddof=1) / math.sqrt(n))
    return Interval(mean, mean - reach, mean + reach, n)


def t_test(gains: ArrayLike) -> float:
    """Return the p-value of a one-sided t test that the mean gain, over users, is positive; NaN for one user."""
    from scipy.stats import t

    each = np.asarray(gains, dtype=np.float64)
    if len(each) < 2:
        return math.nan
    spread = float(each.std(ddof=1))
    if spread == 0:
        return float(each[0] <= 0)
    return float(t.sf(each.mean() / spread * math.sqrt(len(each)), len(each) - 1))


@dataclass(frozen=True)
class Skill:
    """Share of the reference's loss that a model removes, with its uncertainty."""

    value: float
    low: float
    high: float
    detectable: float  # the smallest skill that four of five such experiments would find
    p_value: float  # probability of a skill as high where there is none


def skill_interval(model: ArrayLike, reference: ArrayLike, overlap: int = 1) -> Skill:
    """Return skill with an interval from a block bootstrap over cutoffs and series.

    `model` and `reference` hold the mean loss of each series at each cutoff in order of time, (S, O), NaN where there
    is none; with one series and one cutoff only, DataError. `overlap` is that of `diebold_mariano`; blocks are twice
    as long, to keep most of the correlation, and longer where there are many cutoffs.

    Each draw takes series with replacement, and blocks of neighbouring cutoffs on a circle [Politis and Romano 1992]
    that all series share. The draws give the standard error; the interval takes its width from Student's t with as
    many degrees of freedom as there are blocks (or series, where there is one block) less one, and inflates the error
    of few blocks, whose percentiles are too narrow.
    """
    from scipy.stats import t

    own, other = (np.atleast_2d(np.asarray(part, dtype=np.float64)) for part in (model, reference))
    there = ~(np.isnan(own) | np.isnan(other))
    own, other = np.where(there, own, 0.0), np.where(there, other, 0.0)
    count, cutoffs = own.shape
    if count * cutoffs < 2:
        raise DataError("an interval needs several cutoffs or series: there is one of each; use more origins")
    block = _block(cutoffs, overlap)
    random = np.random.default_rng(0)
    times = block_counts(DRAWS, cutoffs, block, random)  # (D, O)
    series = random.multinomial(count, np.full(count, 1 / count), DRAWS).astype(np.float64)  # (D, S)
    # Each series counts the same, however many cutoffs it has.
    own, other = (part / np.maximum(there.sum(axis=1, keepdims=True), 1) for part in (own, other))
    losses = [np.einsum("ds,so,do->d", series, part, times) for part in (own, other)]
    with np.errstate(divide="ignore", invalid="ignore"):
        draws = 1 - losses[0] / losses[1]
    error = float(np.std(draws[np.isfinite(draws)], ddof=1)) if np.isfinite(draws).sum() > 1 else math.nan
    independent = cutoffs / block if cutoffs > block else count
    value = float(1 - own.sum() / other.sum()) if other.sum() else math.nan
    if independent <= 1:  # one block of one series has no spread
        return Skill(value, -math.inf, math.inf, math.inf, 0.5)
    error *= math.sqrt(independent / max(independent - 1, 0.5) * _missed(overlap, block))
    freedom = max(1.0, independent - 1)
    reach = float(t.ppf((1 + LEVEL) / 2, freedom)) * error
    needed = reach + float(t.ppf(POWER, freedom)) * error
    p_value = float(t.sf(value / error, freedom)) if error else float(value <= 0)
    return Skill(value, value - reach, value + reach, needed, p_value)


def block_counts(draws: int, count: int, block: int, random: np.random.Generator) -> Floats:
    """Return how often each of so many neighbours is drawn when blocks of them are drawn on a circle, (D, n)."""
    starts = random.integers(count, size=(draws, math.ceil(count / block)))
    positions = ((starts[..., None] + np.arange(block)) % count).reshape(draws, -1)[:, :count]
    counts = np.zeros((draws, count))
    np.add.at(counts, (np.arange(draws)[:, None], positions), 1.0)
    return counts


def _missed(overlap: int, block: int) -> float:
    """Return the factor by which blocks understate a variance, where cutoffs correlate as far as they share targets."""
    lags = np.abs(np.arange(1 - overlap, overlap))
    shared = 1 - lags / overlap
    return float(shared.sum() / (shared @ np.clip(1 - lags / block, 0, None)))


def _block(cutoffs: int, overlap: int) -> int:
    """Return the length of a block: twice the overlap, or less where that leaves few blocks."""
    block = max(2 * overlap if overlap > 1 else 1, round(cutoffs ** (1 / 3)))
    return min(cutoffs, block if 4 * block <= cutoffs else max(overlap, cutoffs // 3))
