"""Rates of verdicts on intervals, as `evaluation.calibration` gives them, where the share that they hold is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from processes import Floats, Random, memory, normal
from scipy.special import ndtr, ndtri
from verdict_rates import LIMIT, SEED, rate

from tsforecast.evaluation.calibration import JUDGED, judged, reached
from tsforecast.evaluation.verdict import Units

FEW = 2_000  # draws at most: each is judged alone
STEPS = 12
NARROW, WIDE = 0.6, 1.6  # intervals so many times as wide as they should be

# Errors in their own standard deviations, (D, T, outcomes at each cutoff), given random numbers, D and T.
Errors = Callable[[Random, int, int], Floats]


def apart(random: Random, draws: int, cutoffs: int) -> Floats:
    """Return independent errors."""
    return normal(random, (draws, cutoffs, STEPS))


def walks(step: int) -> Errors:
    """Return errors of a random walk, whose shocks neighbouring cutoffs share where they are few steps apart."""

    def errors(random: Random, draws: int, cutoffs: int) -> Floats:
        path = np.cumsum(normal(random, (draws, step * (cutoffs - 1) + STEPS + 1)), axis=1)
        starts, steps = step * np.arange(cutoffs), np.arange(1, STEPS + 1)
        moved = path[:, starts[:, None] + steps] - path[:, starts, None]
        return np.asarray(moved / np.sqrt(steps))

    return errors


def lasting(share: float) -> Errors:
    """Return one error at each cutoff, whose neighbours correlate."""
    return lambda random, draws, cutoffs: memory(share)(random, (draws, cutoffs))[..., None]


def volatile(share: float) -> Errors:
    """Return errors whose size, not their sign, lasts: normal quantiles of sizes are an autoregression."""

    def errors(random: Random, draws: int, cutoffs: int) -> Floats:
        size = ndtri((1 + ndtr(memory(share)(random, (draws, cutoffs)))) / 2)
        return np.asarray(size * random.choice([-1.0, 1.0], size.shape))[..., None]

    return errors


def misses(share: float, held: int) -> Errors:
    """Return errors that are missed by an interval in runs: whether they are correlates between neighbours."""

    def errors(random: Random, draws: int, cutoffs: int) -> Floats:
        fresh, level = random.random((draws, cutoffs)), held / 100
        missed = np.empty((draws, cutoffs), dtype=bool)
        missed[:, 0] = fresh[:, 0] > level
        for t in range(1, cutoffs):
            again = random.random(draws) < share
            missed[:, t] = np.where(again, missed[:, t - 1], fresh[:, t] > level)
        place = random.random((draws, cutoffs))
        size = ndtri((1 + np.where(missed, level + (1 - level) * place, level * place)) / 2)
        return np.asarray(size * random.choice([-1.0, 1.0], size.shape))[..., None]

    return errors


def panel(correlation: float) -> Errors:
    """Return errors of 50 series at each cutoff, correlated by a shock that they share."""

    def errors(random: Random, draws: int, cutoffs: int) -> Floats:
        common, own = normal(random, (draws, cutoffs, 1)), normal(random, (draws, cutoffs, 50))
        return np.asarray(np.sqrt(correlation) * common + np.sqrt(1 - correlation) * own)

    return errors


def situations(held: int) -> Iterator[tuple[str, Errors, int, tuple[int, ...]]]:
    """Yield name, errors, overlap and numbers of cutoffs of each situation, for intervals that are to hold so many."""
    yield "12 independent outcomes at each cutoff", apart, 1, (6, 10, 24, 60)
    yield "random walk, horizon 12, every 12 steps", walks(12), 1, (10, 24, 60)
    yield "random walk, horizon 12, every 4 steps", walks(4), 3, (10, 24, 60)
    yield "random walk, horizon 12, every step", walks(1), 12, (24, 60)
    yield "errors: autoregression 0.8", lasting(0.8), 1, (10, 24, 60)
    yield "sizes of errors: autoregression 0.8", volatile(0.8), 1, (10, 24, 60)
    yield "misses: neighbours correlate by 0.8", misses(0.8, held), 1, (10, 24, 60)
    yield "50 series, shocks correlated 0.5", panel(0.5), 1, (10, 24)
    yield "50 series, shocks correlated 0.9", panel(0.9), 1, (10, 24)


def coverage(draws: int) -> Iterator[dict[str, Any]]:
    """Yield the rates of verdicts on intervals that hold as many outcomes as they should, fewer and more."""
    draws = min(draws, FEW)
    for held in JUDGED:
        for name, errors, overlap, counts in situations(held):
            for count in counts:
                yield {**rates(held, name, errors, overlap, count, 1.0, draws), "limit": LIMIT}
        for width in (NARROW, WIDE):
            for count in (10, 24, 60):
                name = f"12 independent outcomes, intervals {width} times as wide"
                yield {**rates(held, name, apart, 1, count, width, draws), "limit": None}


def rates(held: int, name: str, errors: Errors, overlap: int, cutoffs: int, width: float, draws: int) -> dict[str, Any]:
    """Return the rates of outcomes, and of intervals that hold the true share."""
    random = np.random.default_rng([SEED, held, cutoffs, len(name)])
    inside = Units({}, "cutoffs", np.ones(cutoffs, dtype=np.int64), overlap)
    end = width * float(ndtri((1 + held / 100) / 2))
    truth, found = 2 * float(ndtr(end)) - 1, []
    for each in errors(random, draws, cutoffs):
        scores = ndtri(np.clip(2 * ndtr(np.abs(each) / width) - 1, 0.0025, 0.9975))  # as of `size_scores`
        reach = reached(inside, scores.mean(axis=1), float(scores.std(ddof=1)), scores.size)
        found.append(judged(held, inside, (np.abs(each) <= end).mean(axis=1), reach))
    row = {
        "part": "coverage", "situation": name, "held": held, "cutoffs": cutoffs, "units": cutoffs, "kind": "cutoffs",
        "overlap": overlap, "width": width, "draws": draws, "seed": SEED,
    }  # fmt: skip
    for outcome in ("covers", "too narrow", "too wide"):
        row |= rate(outcome, [each.outcome == outcome for each in found])
    return row | rate("covered", [each.low <= truth <= each.high for each in found])
