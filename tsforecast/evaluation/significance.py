"""Significance: tests and intervals for the ratio of two mean losses, whose units depend on each other in time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
LEVEL = 0.95  # of intervals
POWER = 0.8  # of the smallest detectable gain
MOST_STEPS = 200  # of Newton, of which some ten are taken
MAX_CUTOFFS = 100  # neighbours are averaged where there are more: their memory is short beside so many
MEMORIES = (*np.arange(0.0, 0.96, 0.05).round(2).tolist(), 0.97, 0.99)  # correlation of neighbours
# Prior weight of memory beyond shared targets, and the power of memories, divided by the number of cutoffs, by which it
# is spread: few cutoffs do not tell short memory from none, and need not. Chosen by simulation
# (`benchmarks/verdicts.py`): the most power that leaves coverage above 92 % from ten cutoffs on where neighbours
# correlate by at most 0.8, and false claims below 10 % at 0.95.
MEMORY_WEIGHT, MEMORY_POWER = 0.23, 50.0
# Memory may be hidden under noise that has a share of the variance. The prior weight of this is for 60 cutoffs, rises
# with the cube of their number, and has a limit. Chosen in the same way: where 24 cutoffs have no memory, a test that
# holds its level under hidden memory finds less than 0.85 of the gains that others find; with 60 ours does both.
HIDDEN_MEMORIES, NOISES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98), (0.25, 0.5)
HIDDEN_WEIGHT, HIDDEN_LIMIT, HIDDEN_POWER = 0.03, 0.05, 6
# Powers of the correlation of sums of shared shocks: that of their absolute values is near its square, or less.
OVERLAP_POWERS = (1, 2, 4)


@dataclass(frozen=True)
class Comparison:
    """Share of the reference's mean loss that a model removes, with an interval and the test that agrees with it."""

    skill: float
    low: float  # ends of the 95 % interval
    high: float
    p_value: float  # two-sided, of no skill; below 5 % where the interval does not hold 0
    detectable: float  # the smallest skill that four of five such comparisons would find


@dataclass(frozen=True, eq=False)
class Weighing:
    """How a weighted mean of n units and its variance are computed, under each of M kinds of dependence."""

    weights: Floats  # of the units in the mean, (n,); their sum is 1
    forms: Floats  # the variance of the mean is a quadratic form of the units, (M, n, n)
    evidence: Floats  # logarithm of the prior and of the part of the likelihood without data, (M,)
    freedom: float  # degrees of freedom of Student's t


def compare(model: ArrayLike, reference: ArrayLike, weighing: Weighing) -> Comparison:
    """Return the skill of a model, given the losses of both in each unit, (n,).

    The variance is that of the difference which is linear around the ratio of the mean losses (delta method). Each
    kind of dependence counts by its probability, given those differences with mean and scale integrated out. Test and
    interval are of one distribution, a mixture of Student's t around the skill.
    """
    from scipy.special import stdtr

    own, other = (np.asarray(each, dtype=np.float64) for each in (model, reference))
    means = float(weighing.weights @ own), float(weighing.weights @ other)
    if means[1] == 0:
        return Comparison(0.0 if means[0] == 0 else -math.inf, -math.inf, math.inf, 1.0, math.inf)
    if means[0] == 0:
        return Comparison(1.0, 1.0, 1.0, 0.0, 0.0)
    found, freedom, outside = _mixtures(own, other, weighing), weighing.freedom, (1 - LEVEL) / 2
    gain, reach = float(found.gain), float(found.reach)
    p_value = min(1.0, 2 * float(found.weights @ stdtr(freedom, -abs(gain) / found.errors)))
    needed = reach * (1 - _quantile(1 - POWER, freedom) / _quantile(1 - outside, freedom))
    skill, low, high, needed = (-math.expm1(-each) for each in (gain, gain - reach, gain + reach, needed))
    return Comparison(skill, low, high, p_value, needed)


def least_shown(models: Floats, references: Floats, weighing: Weighing) -> Floats:
    """Return for each of D pairs of losses, (D, n), the skill above which the model would be found better, (D,).

    A share is removed from the losses of the model, which moves skill and interval alike. Losses that are all 0 show
    nothing: infinite.
    """
    there, least = (models.max(axis=1) > 0) & (references.max(axis=1) > 0), np.full(len(models), math.inf)
    found = _mixtures(models[there], references[there], weighing)
    least[there] = -np.expm1(found.gain - found.reach)
    return least


def reach_of_mean(values: Floats, weighing: Weighing) -> float:
    """Return the distance from the mean of values, (n,), to the ends of its 95 % interval."""
    return float(_Mixtures.of(np.asarray(weighing.weights @ values), values, weighing).reach)


@dataclass(frozen=True, eq=False)
class _Mixtures:
    """Mixtures of Student's t around gains, (...)."""

    gain: Floats  # logarithm of the ratio of mean losses, or another mean, (...)
    errors: Floats  # standard errors under each of M kinds of dependence, (..., M)
    weights: Floats  # their probabilities, (..., M)
    freedom: float

    @classmethod
    def of(cls, gain: Floats, values: Floats, weighing: Weighing) -> _Mixtures:
        """Return mixtures around means, given values, (..., n), that vary around them."""
        variance = np.einsum("...mi,...i->...m", np.tensordot(values, weighing.forms, (-1, 1)), values)
        variance = np.maximum(variance, 1e-24)  # equal values leave rounding
        likelihood = weighing.evidence - weighing.freedom / 2 * np.log(variance)
        weights = np.exp(likelihood - likelihood.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        return cls(gain, np.sqrt(variance), weights, weighing.freedom)

    @property
    def reach(self) -> Floats:
        """Distance from the gain to the ends of its interval, (...).

        The probability beyond a distance is convex: Newton's steps from 0 on come ever nearer, and never too far.
        """
        from scipy.special import gammaln, stdtr

        freedom, outside = self.freedom, (1 - LEVEL) / 2
        constant = math.exp(gammaln((freedom + 1) / 2) - gammaln(freedom / 2)) / math.sqrt(freedom * math.pi)
        reach = np.zeros((*np.shape(self.gain), 1))
        for _ in range(MOST_STEPS):
            ratio = reach / self.errors
            excess = (self.weights * stdtr(freedom, -ratio)).sum(axis=-1, keepdims=True) - outside
            density = constant * (1 + ratio**2 / freedom) ** (-(freedom + 1) / 2) / self.errors
            step = excess / (self.weights * density).sum(axis=-1, keepdims=True)
            reach = reach + step
            if (np.abs(step) <= 1e-12 * reach).all():
                break
        return np.asarray(reach[..., 0])


def _mixtures(own: Floats, other: Floats, weighing: Weighing) -> _Mixtures:
    """Compare losses, (..., n); see `compare`."""
    means = own @ weighing.weights, other @ weighing.weights
    # Effect of leaving each unit out, as in the jackknife: beside its linear part, one large loss counts more.
    shares = (
        np.minimum(weighing.weights * each / mean[..., None], 0.999)
        for each, mean in zip((own, other), means, strict=True)
    )
    removed = [np.log1p(-share) for share in shares]
    residuals = (removed[0] - removed[1]) / weighing.weights
    return _Mixtures.of(np.asarray(np.log(means[1] / means[0])), residuals, weighing)


def _quantile(probability: float, freedom: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, probability))


def in_time(count: int, overlap: float = 1) -> Weighing:
    """Return the weighing of cutoffs in order of time: neighbours depend on each other.

    `overlap` is the number of neighbouring cutoffs whose steps up to the last target overlap. Losses depend on each
    other through those, as moving averages do or less, and through memory beyond them, as in an autoregression of first
    order or in one under noise; how much less, its coefficient and the share of noise are integrated out. With 24
    cutoffs it keeps 0.9 of the power of a t test where these are independent, and holds its level where neighbours
    correlate by 0.8. Variances by equally weighted cosines [Lazarus, Lewis, Stock and Watson 2018, doi
    10.1080/07350015.2018.1506926] keep 0.6 of it and do not hold it.
    """
    return _in_time(count, round(min(float(overlap), count), 6))


@lru_cache(maxsize=16)
def _in_time(count: int, overlap: float) -> Weighing:
    kinds, prior = _kinds(count)
    powers = OVERLAP_POWERS if overlap > 1 else (1,)
    ones, forms, evidence = np.ones(count), [], []
    for power, (memory, noise) in product(powers, kinds):
        correlation = _correlation(count, memory, overlap, noise) ** power
        inverse = np.linalg.inv(correlation)
        total = float(ones @ inverse @ ones)
        around_mean = inverse - np.outer(inverse @ ones, ones @ inverse) / total
        of_mean = float(ones @ correlation @ ones) / count**2
        forms.append(around_mean * of_mean / (count - 1))
        # The likelihood has the form without the variance of the mean.
        constant = -0.5 * float(np.linalg.slogdet(correlation)[1]) - 0.5 * math.log(total)
        evidence.append(constant + (count - 1) / 2 * math.log(of_mean))
    return Weighing(ones / count, np.array(forms), np.tile(np.log(prior), len(powers)) + evidence, count - 1)


def _kinds(count: int) -> tuple[list[tuple[float, float]], Floats]:
    """Return kinds of dependence, each a memory and a share of noise, and their prior probabilities, (M,)."""
    hidden = list(product(HIDDEN_MEMORIES, NOISES))
    weight = min(HIDDEN_WEIGHT * (count / 60) ** 3, HIDDEN_LIMIT)
    plain_spread = np.array(MEMORIES[1:]) ** (MEMORY_POWER / count)
    hidden_spread = np.array([memory**HIDDEN_POWER for memory, _ in hidden])
    prior = (
        [1 - MEMORY_WEIGHT - weight],
        MEMORY_WEIGHT * plain_spread / plain_spread.sum(),
        weight * hidden_spread / hidden_spread.sum(),
    )
    return [*((memory, 0.0) for memory in MEMORIES), *hidden], np.concatenate(prior)


def _correlation(count: int, memory: float, overlap: float, noise: float) -> Floats:
    """Return the correlation of n neighbours, (n, n), with memory under noise, averaged over what they share."""
    reach = count + math.ceil(overlap)
    lags = np.abs(np.arange(-reach, reach + 1))
    shared = np.clip(1 - np.arange(-math.ceil(overlap) + 1, math.ceil(overlap)).__abs__() / overlap, 0, None)
    own = np.convolve(np.where(lags == 0, 1.0, (1 - noise) * memory**lags), shared, mode="same")
    line = own[reach : reach + count] / own[reach]
    return np.asarray(line[np.abs(np.subtract.outer(np.arange(count), np.arange(count)))])


def neighbours_averaged(losses: Floats, overlap: float) -> tuple[Floats, float]:
    """Return at most `MAX_CUTOFFS` units of n ones, (..., n), with the same mean, and their overlap."""
    count = losses.shape[-1]
    if count <= MAX_CUTOFFS:
        return losses, overlap
    starts = np.linspace(0, count, MAX_CUTOFFS, endpoint=False).astype(int)
    share = MAX_CUTOFFS / count
    return np.add.reduceat(losses, starts, axis=-1) * share, 1 + (overlap - 1) * share


def independent(sizes: ArrayLike) -> Weighing:
    """Return the weighing of independent units, such as groups, by their sizes, (n,).

    With equal sizes it is a t test. A large group pulls the mean to itself: variance and degrees of freedom are those
    of units with one variance whatever their size, the bias of the variance removed [Bell and McCaffrey 2002; Imbens
    and Kolesar 2016, doi 10.1162/REST_a_00552].
    """
    size = np.asarray(sizes, dtype=np.float64)
    weights = size / size.sum()
    residuals = np.eye(len(size)) - weights  # of each unit, from the mean
    form = (residuals.T * (weights**2 / np.maximum(1 - weights, 1e-12))) @ residuals
    trace = float(np.trace(form))
    if trace <= 0:  # one unit has no spread
        return Weighing(weights, np.full((1, len(size), len(size)), np.inf), np.zeros(1), 1.0)
    freedom = trace**2 / float((form**2).sum())
    return Weighing(weights, (form * float((weights**2).sum()) / trace)[None], np.zeros(1), freedom)


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
    """A mean over users, with its 95 % interval and test, NaN with fewer than two users."""

    mean: float
    low: float
    high: float
    users: int
    p_value: float = math.nan  # two-sided, of a mean of 0


def over_users(values: ArrayLike, right: ArrayLike = (), counts: ArrayLike = ()) -> Interval:
    """Return the mean over users with an interval from Student's t, given one value of each, (U,).

    The next sequence may come from a new user: a user counts once, however many sequences there are of each. Values
    that are shares (or differ from shares by constants) have numbers of successes and of sequences, (U,): their
    variance is at least that of independent sequences, so that few users who agree do not make an interval of no width.
    """
    each = np.asarray(values, dtype=np.float64)
    mean, n = float(each.mean()), len(each)
    if n < 2:
        return Interval(mean, math.nan, math.nan, n)
    variance = float(each.var(ddof=1)) / n
    if np.size(counts):
        share = (np.sum(right) + 1) / (np.sum(counts) + 2)  # neither 0 nor 1 [Agresti and Coull 1998]
        variance = max(variance, float(share * (1 - share) * np.mean(1 / np.asarray(counts, dtype=np.float64)) / n))
    reach = _quantile((1 + LEVEL) / 2, n - 1) * math.sqrt(variance)
    return Interval(mean, mean - reach, mean + reach, n, _two_sided(mean, math.sqrt(variance), n - 1))


def _two_sided(mean: float, error: float, freedom: float) -> float:
    from scipy.special import stdtr

    return float(2 * stdtr(freedom, -abs(mean) / error)) if error else float(mean == 0)
