"""Published tests of the mean of dependent differences beside the comparison of the package, on the same draws."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from processes import LEVEL_OF_LOSSES, Floats, correlated, difference, memory
from scipy.linalg import toeplitz
from scipy.optimize import brentq
from scipy.special import gammaln
from scipy.stats import norm
from scipy.stats import t as student
from verdict_rates import LIMIT, SEED, SIGNIFICANCE, Design, Situation, findable, rate, weighed

COUNTS = (10, 12, 16, 24, 30, 60)
VALID = (0.0, 0.3, 0.5, 0.8)  # correlations of neighbours under which a valid test is to hold its level
COVERAGE = 0.92  # that intervals of 95 % are to keep under each of these
OWN = "this package"
SIDE = SIGNIFICANCE / 2


@dataclass(frozen=True, eq=False)
class MeanTest:
    """A two-sided test of a mean: significant where it is more than so many standard errors from 0."""

    weights: Floats  # of n differences in the mean, (n,)
    form: Floats  # the squared standard error is a quadratic form of the differences, (n, n)
    bound: float

    def significant(self, moves: Floats) -> Floats:
        """Return the sign of the mean of differences, (D, n), where it is significant, and 0 elsewhere."""
        mean = moves @ self.weights
        error = np.sqrt(np.maximum(((moves @ self.form) * moves).sum(axis=1), 0))
        return np.asarray(np.sign(mean) * (np.abs(mean) > self.bound * error))

    def level(self, correlation: Floats) -> float:
        """Return the probability that it is significant, given normal differences of mean 0 that correlate so, (n, n).

        The probability that a normal number exceeds another length is an integral of exponentials [Craig 1991], and
        their mean over the lengths is a product. Rank and sign of the form must be those of a variance.
        """
        root = np.linalg.cholesky(correlation)
        both = root.T @ (np.outer(self.weights, self.weights) - self.bound**2 * self.form) @ root
        values = np.linalg.eigvalsh(both)
        ratios = np.maximum(-values[:-1], 0) / values[-1]
        angles = (np.arange(400) + 0.5) / 400 * np.pi / 2
        return float(np.exp(-0.5 * np.log1p(ratios / np.sin(angles)[:, None] ** 2).sum(axis=1)).mean())


def t_test(count: int) -> MeanTest:
    """Return Student's t test.

    The test of Diebold and Mariano with the correction for few cutoffs [Harvey, Leybourne and Newbold 1997] is the same
    where cutoffs do not overlap.
    """
    return _of_factors(np.eye(count) - 1 / count, count - 1)


def cosines(count: int) -> MeanTest:
    """Return the test by equally weighted cosines [Lazarus, Lewis, Stock and Watson 2018]."""
    number = max(1, round(0.4 * count ** (2 / 3)))
    waves = np.cos(np.pi * np.arange(1, number + 1)[:, None] * (np.arange(count) + 0.5) / count)
    return _of_factors(np.sqrt(2 / count) * waves, number)


def periodogram(count: int) -> MeanTest:
    """Return the test by the equally weighted periodogram [Coroneo and Iacone 2020]."""
    number = int(count ** (1 / 3))
    angles = 2 * np.pi * np.arange(1, number + 1)[:, None] * np.arange(count) / count
    return _of_factors(np.sqrt(2 / count) * np.concatenate([np.cos(angles), np.sin(angles)]), 2 * number)


def _of_factors(factors: Floats, freedom: int) -> MeanTest:
    """Return a test whose long-run variance is the sum of squares of factors, (F, n), over the degrees of freedom."""
    count = factors.shape[1]
    return MeanTest(
        np.full(count, 1 / count), factors.T @ factors / (freedom * count), float(student.isf(SIDE, freedom))
    )


def fixed_b(count: int) -> MeanTest:
    """Return the test by Bartlett's kernel of bandwidth n^(1/2) [Coroneo and Iacone 2020].

    Its bound accounts for the share of lags that are summed [Kiefer and Vogelsang 2005, table 1].
    """
    bandwidth = int(count**0.5)
    share = bandwidth / count
    return _bartlett(count, bandwidth, 1.96 + 2.9694 * share + 0.416 * share**2 - 0.5324 * share**3)


def newey_west(count: int) -> MeanTest:
    """Return the test by Bartlett's kernel whose bound is that of a normal distribution [Newey and West 1987]."""
    return _bartlett(count, int(4 * (count / 100) ** (2 / 9)) + 1, float(norm.isf(SIDE)))


def _bartlett(count: int, bandwidth: int, bound: float) -> MeanTest:
    around = np.eye(count) - 1 / count
    kernel = toeplitz(np.maximum(1 - np.arange(count) / bandwidth, 0))
    return MeanTest(np.full(count, 1 / count), around @ kernel @ around / count**2, bound)


def blocks(number: int) -> Callable[[int], MeanTest]:
    """Return Student's t test of the means of so many blocks [Ibragimov and Mueller 2010]."""

    def test(count: int) -> MeanTest:
        means = np.zeros((number, count))
        for i, block in enumerate(np.array_split(np.arange(count), number)):
            means[i, block] = 1 / len(block)
        around = means - means.mean(axis=0)
        return MeanTest(
            means.mean(axis=0), around.T @ around / (number * (number - 1)), float(student.isf(SIDE, number - 1))
        )

    return test


def components(level: float) -> Callable[[int], MeanTest]:
    """Return the test by principal components of the correlation [Mueller and Watson 2022].

    It holds its level, of both sides, under each autoregression up to the strongest of `VALID`; the number of
    components is the one with the shortest interval in the mean where there is no memory.
    """

    def test(count: int) -> MeanTest:
        around, weights = np.eye(count) - 1 / count, np.full(count, 1 / count)
        _, vectors = np.linalg.eigh(around @ correlated(count, max(VALID)) @ around)
        nulls = [correlated(count, share) for share in np.arange(0, max(VALID) + 0.01, 0.1)]
        found = []
        for number in range(1, count):
            factors = vectors[:, ::-1][:, :number]
            form = factors @ factors.T / (number * count)

            def excess(bound: float, form: Floats = form) -> float:
                return max(MeanTest(weights, form, bound).level(null) for null in nulls) - level

            bound = float(brentq(excess, 1, 99))
            length = bound * np.sqrt(2 / number) * np.exp(gammaln((number + 1) / 2) - gammaln(number / 2))
            found.append((length, MeanTest(weights, form, bound)))
        return min(found, key=lambda each: each[0])[1]

    return test


TESTS: dict[str, Callable[[int], MeanTest]] = {
    "Student's t; Diebold and Mariano, corrected": t_test,
    "Newey and West": newey_west,
    "Bartlett, fixed b": fixed_b,
    "cosines": cosines,
    "periodogram": periodogram,
    "4 blocks": blocks(4),
    "8 blocks": blocks(8),
    "principal components": components(SIGNIFICANCE),
    "principal components, interval of 92 %": components(1 - COVERAGE),
}


def published(draws: int) -> Iterator[dict[str, Any]]:
    """Yield the rates of each test under each memory, and its power where there is none."""
    for count in COUNTS:
        tests = {name: make(count) for name, make in TESTS.items()}
        gain = float(findable(count) * np.sqrt(2) / LEVEL_OF_LOSSES)
        for share, skill in (*((share, 0.0) for share in (*VALID, 0.95)), (0.0, gain)):
            name = f"differences of losses: autoregression {share}" if share else "independent differences of losses"
            part, draw = "power" if skill else "memory", difference(memory(share), skill)
            situation = Situation(part, name, Design(count), draw, skill, draws)
            found: dict[str, list[tuple[Floats, Floats]]] = {}
            for own, other in situation.pairs(draws):
                whole, moves = weighed(situation.design.units(), (own, other)), other - own
                sign = np.sign(whole.gain) * (whole.p_value() < SIGNIFICANCE)
                found.setdefault(OWN, []).append((sign, whole.p_value(-np.log1p(-skill)) >= SIGNIFICANCE))
                for test, each in tests.items():
                    covered = each.significant(moves - skill * LEVEL_OF_LOSSES) == 0
                    found.setdefault(test, []).append((each.significant(moves), covered))
            for test, hits in found.items():
                sign, covered = (np.concatenate(each) for each in zip(*hits, strict=True))
                yield {
                    "part": "published", "situation": name, "test": test, "cutoffs": count, "units": count,
                    "kind": "cutoffs", "memory": share, "skill": skill, "draws": draws, "seed": SEED,
                    "limit": None if skill else 0.1 if share > max(VALID) else LIMIT,
                    **rate("better", sign > 0), **rate("worse", sign < 0), **rate("covered", covered),
                }  # fmt: skip
