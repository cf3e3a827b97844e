"""Rates of the outcomes of verdicts in simulated situations: many comparisons at once, as the package makes one."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from processes import Floats, Pair, Random, correlated
from scipy.optimize import brentq
from scipy.special import stdtr
from scipy.stats import nct, ttest_1samp
from scipy.stats import t as student

from tsforecast.evaluation.metrics import SQUARED
from tsforecast.evaluation.significance import MAX_CUTOFFS, Weighing, in_time, independent
from tsforecast.evaluation.verdict import MARGIN, SIGNIFICANCE, Units, units

SEED, DRAWS, AT_ONCE = 0, 10_000, 2_000
LIMIT = 0.05  # of false claims that a model is better


@dataclass(frozen=True, eq=False)
class Comparisons:
    """Comparisons of D pairs of losses; `compare` makes one."""

    gain: Floats  # logarithm of the ratio of mean losses, (D,)
    errors: Floats  # standard errors under each of M kinds of dependence, (D, M)
    weights: Floats  # their probabilities, (D, M)
    freedom: float

    @classmethod
    def of(cls, own: Floats, other: Floats, weighing: Weighing) -> Comparisons:
        """Compare losses, (D, n) each."""
        means = own @ weighing.weights, other @ weighing.weights
        shares = [weighing.weights * each / mean[:, None] for each, mean in zip((own, other), means, strict=True)]
        removed = [np.log1p(-np.minimum(share, 0.999)) for share in shares]
        residuals = (removed[0] - removed[1]) / weighing.weights
        forms = [((residuals @ form) * residuals).sum(axis=1) for form in weighing.forms]
        variance = np.maximum(np.stack(forms, axis=1), 1e-24)
        likelihood = weighing.evidence - weighing.freedom / 2 * np.log(variance)
        weights = np.exp(likelihood - likelihood.max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True)
        return cls(np.log(means[1] / means[0]), np.sqrt(variance), weights, weighing.freedom)

    def p_value(self, gain: float = 0.0) -> Floats:
        """Return the two-sided p-value that the gain is this one; the interval holds it where that is 5 % or more."""
        distance = np.abs(self.gain - gain)[:, None]
        return 2 * (self.weights * stdtr(self.freedom, -distance / self.errors)).sum(axis=1)

    def equivalent(self, margin: float = MARGIN) -> Floats:
        """Return whether the interval of skill lies within the margin."""
        low, high = -np.log1p(margin), -np.log1p(-margin)
        within = (self.gain > low) & (self.gain < high)
        return within & (self.p_value(low) < SIGNIFICANCE) & (self.p_value(high) < SIGNIFICANCE)


@dataclass(frozen=True)
class Design:
    """Series and cutoffs at which models are tested."""

    cutoffs: int
    series: int = 1
    horizon: int = 1
    step: int = 1
    gap: int = 0
    metric: str = "mae"
    groups: tuple[int, ...] = ()  # series in each group
    independent: bool = False  # series are declared to be
    clocks: bool = False  # each series has a calendar of its own
    shortest: float = 1.0  # share of the newest cutoffs that the shortest series has

    def present(self) -> Floats:
        """Return 1 where a series has a cutoff and NaN elsewhere, (S, T)."""
        counts = np.ceil(np.linspace(self.shortest, 1, self.series) * self.cutoffs)
        return np.where(np.arange(self.cutoffs) >= self.cutoffs - counts[:, None], 1.0, np.nan)

    def rows(self, losses: dict[str, Floats]) -> pd.DataFrame:
        """Return rows as of `backtest`, given losses of each model, (S, T), the same at each step."""
        shape = self.series, self.cutoffs, self.horizon
        series, cutoff, step = (each.ravel() for each in np.indices(shape))
        group = np.repeat(np.arange(len(self.groups)), self.groups)[series] if self.groups else None
        cutoff = self.step * cutoff + (7 * series if self.clocks else 0)
        present = np.repeat(np.isfinite(self.present()).ravel(), self.horizon)
        frames = []
        for model, each in losses.items():
            values = np.repeat((np.sqrt(each) if self.metric in SQUARED else each).ravel(), self.horizon)
            columns = {"model": model, "series": series, "target": "y", "cutoff": cutoff, "step": step + 1}
            columns |= {"time": cutoff + self.gap + step + 1, "y": values, "forecast": 0.0, "group": group}
            frames.append(pd.DataFrame(columns | {"naive_mae": 1.0, "naive_mse": 1.0})[present])
        return pd.concat(frames, ignore_index=True)

    def units(self) -> Units:
        """Return the units in which the package judges this design."""
        ones = np.ones((self.series, self.cutoffs))
        return units(self.rows({"model": ones, "naive": ones}), self.metric, self.independent)

    def arranged(self, losses: Floats, kind: str) -> Floats:
        """Return the losses of draws, (D, S, T), in units of a kind, (D, n), as `units` does."""
        losses = losses * self.present()
        if self.metric in SQUARED:
            root = np.sqrt(np.nanmean(losses, axis=2, keepdims=True))
            losses = (losses / root + root) / 2
        if kind == "cutoffs":
            shares = losses / np.isfinite(losses).sum(axis=2, keepdims=True) * self.cutoffs
            return np.asarray(np.nansum(shares, axis=1) / self.series)
        each = np.nanmean(losses, axis=2)
        if kind == "series":
            return np.asarray(each)
        starts = np.cumsum([0, *self.groups[:-1]])
        return np.add.reduceat(each, starts, axis=1) / np.array(self.groups)


def weighed(found: Units, pair: Pair) -> Comparisons:
    """Compare losses in units, (D, n) each, as `Units.compare` does."""
    own, other = pair
    if found.kind != "cutoffs":
        return Comparisons.of(own, other, independent(found.sizes))
    count, overlap = own.shape[1], float(found.overlap)
    if count > MAX_CUTOFFS:
        starts, share = np.linspace(0, count, MAX_CUTOFFS, endpoint=False).astype(int), MAX_CUTOFFS / count
        own, other = (np.add.reduceat(each, starts, axis=1) * share for each in (own, other))
        overlap = 1 + (overlap - 1) * share
    return Comparisons.of(own, other, in_time(own.shape[1], overlap))


@dataclass(frozen=True)
class Situation:
    """Losses of a model and its reference whose truth is known."""

    part: str
    name: str
    design: Design
    draw: Callable[[Random, int, Design], Pair]  # losses of model and reference, (D, S, T), of one distribution
    skill: float = 0.0  # share of the model's losses that is then removed
    draws: int = DRAWS
    limit: float | None = LIMIT
    beside: float | None = None  # memory that another test of the same losses knows, for power
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def random(self) -> Random:
        """Random numbers of this situation alone."""
        return np.random.default_rng([SEED, zlib.crc32(f"{self.part}: {self.name}, {self.design}".encode())])

    def pairs(self, draws: int) -> Iterator[Pair]:
        """Yield losses in units, of some draws at a time."""
        random, kind = self.random, self.design.units().kind
        for start in range(0, draws, AT_ONCE):
            own, other = self.draw(random, min(AT_ONCE, draws - start), self.design)
            yield self.design.arranged(own * (1 - self.skill), kind), self.design.arranged(other, kind)


def rate(name: str, hits: Iterable[bool] | Floats) -> dict[str, float]:
    """Return a rate and its Monte-Carlo error."""
    share = float(np.mean(np.asarray(hits)))
    return {name: share, f"{name}_error": float(np.sqrt(share * (1 - share) / np.size(hits)))}


def rates(situation: Situation, draws: int | None = None) -> dict[str, Any]:
    """Return the rates of outcomes and coverage in a situation, and those of the test beside it."""
    found, draws = situation.design.units(), draws or situation.draws
    row = {
        "part": situation.part,
        "situation": situation.name,
        "cutoffs": situation.design.cutoffs,
        "units": found.count,
        "kind": found.kind,
        "overlap": found.overlap,
        "skill": situation.skill,
        "draws": draws,
        "seed": SEED,
        "limit": situation.limit,
    } | situation.about
    if found.problem:  # whatever the losses are
        return row | rate("better", np.zeros(draws)) | rate("worse", np.zeros(draws)) | {"units": 0}
    truth, hits = -np.log1p(-situation.skill), []
    for own, other in situation.pairs(draws):
        tests = weighed(found, (own, other))
        significant = tests.p_value() < SIGNIFICANCE
        each = [significant & (tests.gain > 0), significant & (tests.gain < 0), tests.p_value(truth) >= SIGNIFICANCE]
        if situation.beside is not None:
            each.append(known(other - own, situation.beside))
        hits.append([*each, tests.equivalent()])
    joined = [np.concatenate(each) for each in zip(*hits, strict=True)]
    names = ["better", "worse", "covered", *(["known"] if situation.beside is not None else []), "equivalent"]
    for name, each in zip(names, joined, strict=True):
        row |= rate(name, each)
    return row


def known(moves: Floats, memory: float) -> Floats:
    """Return whether the test that knows the memory finds the mean of differences, (D, n), to be above 0.

    It is Student's t test of the generalised mean, the best one that does not depend on the scale.
    """
    if memory == 0:
        test = ttest_1samp(moves, 0, axis=1)
        return np.asarray((test.pvalue < SIGNIFICANCE) & (test.statistic > 0))
    count = moves.shape[1]
    inverse = np.linalg.inv(correlated(count, memory))
    total = inverse.sum()
    mean = moves @ inverse.sum(axis=0) / total
    rest = moves - mean[:, None]
    variance = ((rest @ inverse) * rest).sum(axis=1) / (count - 1) / total
    return np.asarray(2 * student.sf(mean / np.sqrt(variance), count - 1) < SIGNIFICANCE) & (mean > 0)


def findable(count: int, memory: float = 0.0, power: float = 0.8) -> float:
    """Return the mean, in standard deviations of one difference, that the test that knows the memory mostly finds."""
    bound = student.isf(SIGNIFICANCE / 2, count - 1)
    shift = brentq(lambda shift: nct.sf(bound, count - 1, shift) - power, 0.5, 9)
    return float(shift / np.sqrt(np.linalg.inv(correlated(count, memory)).sum()))


def coins(
    random: Random, draws: int, sizes: NDArray[np.int64], classes: tuple[int, ...], own: float
) -> dict[str, Floats]:
    """Return gain and p-value of a fair coin, as `classification.judge` computes them, and the tallies behind them.

    Labels have the shares of the classes exactly, over all users. With 0 they fall to users at random; the higher
    `own`, the more does each user have a class of its own.
    """
    labels = np.repeat(np.arange(len(classes)), classes)[None] * np.ones((draws, 1), dtype=int)
    order = np.argsort(own * labels + random.random(labels.shape), axis=1)
    labels = np.take_along_axis(labels, order, axis=1)
    starts = np.cumsum([0, *sizes[:-1]])
    tallies = np.stack([np.add.reduceat(labels == k, starts, axis=1, dtype=int) for k in range(len(classes))], axis=2)
    shares = tallies / sizes[:, None]
    others = (tallies.sum(axis=1, keepdims=True) - tallies).argmax(axis=2)[..., None]
    majority = np.take_along_axis(shares, others, axis=2)[..., 0]
    best = shares.mean(axis=1).argmax(axis=1)[:, None, None]
    constant = np.take_along_axis(shares, best, axis=2)[..., 0]
    base = np.where((majority.mean(axis=1) >= constant.mean(axis=1))[:, None], majority, constant)
    right = random.binomial(sizes, 1 / len(classes), base.shape)
    gain, error = over_people(right / sizes - base, right, sizes)
    p_value = 2 * stdtr(len(sizes) - 1, -np.abs(gain) / error)
    return {"gain": gain, "p_value": p_value, "error": error, "right": right, "tallies": tallies}


def over_people(values: Floats, right: Floats, counts: Floats) -> Pair:
    """Return means over users, (D,), and their standard errors, as `over_users` computes them, of (D, U) values."""
    people = values.shape[1]
    share = (right.sum(axis=1) + 1) / (np.broadcast_to(counts, right.shape).sum(axis=1) + 2)
    least = share * (1 - share) * np.mean(1 / counts, axis=-1) / people
    return values.mean(axis=1), np.sqrt(np.maximum(values.var(axis=1, ddof=1) / people, least))
