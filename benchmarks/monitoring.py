"""How often a monitor of losses is ever wrong, looked at after each loss, and how soon it finds skill, and its loss.

Run with ``python benchmarks/monitoring.py`` (some minutes on one core). Streams of losses are simulated: their
differences are autoregressive, of three kinds of noise, over horizons of 1, 7 and 24 steps.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray
from record import record
from scipy.signal import lfilter

from tsforecast.evaluation.monitor import FIRST, LEVEL, Monitor, block_lengths, log_evidence, measured

Floats = NDArray[np.float64]
SIMULATIONS, STEPS, WARM = 1_000, 2_000, 200
NOISES = ("normal", "t4", "volatile")
LEVEL_OF_LOSSES = 10.0  # differences have a standard deviation near 1 beside it, so that none is negative


def noise(kind: str, shape: tuple[int, int], random: np.random.Generator) -> Floats:
    """Draw independent noise: normal, Student's t of 4 degrees, or normal with volatility that wanders."""
    if kind == "t4":
        return random.standard_t(4, shape) / np.sqrt(2)
    drawn = random.standard_normal(shape)
    if kind == "volatile":
        drawn *= np.exp(lfilter([0.2], [1, -0.97], random.standard_normal(shape), axis=1))
    return drawn


def differences(
    kind: str, coefficient: float, horizon: int, steps: int, simulations: int, seed: int, overlap: bool = False
) -> Floats:
    """Return mean differences over horizons, (S, cutoffs), of an autoregression with variance 1 for each step."""
    drawn = noise(kind, (simulations, steps + WARM), np.random.default_rng(seed))
    series = lfilter([np.sqrt(1 - coefficient**2)], [1, -coefficient], drawn, axis=1)[:, WARM:]
    if overlap:
        sums = np.cumsum(np.pad(series, ((0, 0), (1, 0))), axis=1)
        return np.asarray((sums[:, horizon:] - sums[:, :-horizon]) / horizon)
    return np.asarray(series[:, : steps // horizon * horizon].reshape(simulations, -1, horizon).mean(axis=2))


def hidden(seed: int) -> Floats:
    """Return white noise over a slow autoregression of a tenth of its variance."""
    slow = differences("normal", 0.95, 1, STEPS, SIMULATIONS, seed)
    return np.sqrt(0.9) * np.random.default_rng(seed + 1).standard_normal(slow.shape) + np.sqrt(0.1) * slow


def skewed(seed: int) -> Floats:
    """Return differences of a model whose errors are rare and enormous: minus a centred lognormal."""
    return np.exp(0.5) - np.exp(np.random.default_rng(seed).standard_normal((SIMULATIONS, STEPS)))


def losses(difference: Floats, skill: float = 0.0) -> tuple[Floats, Floats]:
    """Return losses of a model and a reference, which differ so on top of the skill."""
    return LEVEL_OF_LOSSES * (1 - skill) - difference / 2, LEVEL_OF_LOSSES + difference / 2


def first_claims(own: Floats, other: Floats, limit: float = 1 / LEVEL) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return after how many of (S, n) losses each stream is first claimed to have skill, or less than none, and which.

    Streams without a claim have n + 1. This is `Monitor` for many streams at once.
    """
    count, streams = own.shape[1], len(own)
    when, better = np.full(streams, count + 1), np.zeros(streams, dtype=bool)
    sums = np.cumsum(np.pad(other - own, ((0, 0), (1, 0))), axis=1)
    seen = FIRST
    while seen <= count:
        following = next((n for n in range(seen + 1, count + 1) if measured(n) > seen), count + 1)
        ratio = own[:, :seen].sum(axis=1, keepdims=True) / other[:, :seen].sum(axis=1, keepdims=True)
        lengths = block_lengths(ratio * other[:, :seen] - own[:, :seen], seen)
        for length in np.unique(lengths):
            mine = np.flatnonzero((lengths == length) & (when > count))
            blocks = np.arange(1, (following - 1) // length + 1)
            if not len(blocks) or not len(mine):
                continue
            ends = sums[mine][:, blocks * length]
            squares = np.cumsum(np.diff(ends, axis=1, prepend=0.0) ** 2, axis=1) / length
            evidence = log_evidence(ends, squares, blocks, length)
            looked = (blocks + 1) * length > seen  # the last whole block at `seen`, and all that follow
            hits = (evidence >= np.log(limit)) & looked
            at = hits.argmax(axis=1)
            found = hits.any(axis=1)
            when[mine[found]] = np.maximum(blocks[at] * length, seen)[found]
            better[mine[found]] = ends[np.arange(len(mine)), at][found] > 0
        seen = following
    return when, better


def false_claims(name: str, difference: Floats) -> dict[str, Any]:
    """Return how often models without skill are ever called better or worse."""
    when, better = first_claims(*losses(difference))
    ever = when <= difference.shape[1]
    rates = {"ever_false": ever.mean(), "ever_better": (ever & better).mean()}
    error = {"standard_error": np.sqrt(ever.mean() * (1 - ever.mean()) / len(ever))}
    return {"measured": name, "simulations": len(ever), "losses": difference.shape[1], **_rounded(rates | error)}


def detections(skill: float, coefficient: float, spread: float, seed: int) -> dict[str, Any]:
    """Return after how many losses skill is claimed; differences deviate by `spread` times the reference's loss."""
    difference = spread * LEVEL_OF_LOSSES * differences("normal", coefficient, 1, STEPS, SIMULATIONS // 2, seed)
    when, better = first_claims(*losses(difference, skill))
    low, median, high = np.quantile(when, [0.1, 0.5, 0.9], method="lower")
    return {
        "measured": "losses until better",
        "skill": skill,
        "coefficient": coefficient,
        "spread": spread,
        "simulations": len(when),
        "tenth": int(low),
        "median": int(median),
        "nine_tenths": int(high),  # STEPS + 1: not found
        "found": round(float((better & (when <= STEPS)).mean()), 4),
    }


def falls(kind: str, coefficient: float, after: int | None, count: int, simulations: int, seed: int) -> dict[str, Any]:
    """Return how often a skill of 20 % is found to have fallen, which it does to 0 after so many losses, or never."""
    difference = 0.4 * LEVEL_OF_LOSSES * differences(kind, coefficient, 1, count, simulations, seed)
    own, other = losses(difference, 0.2)
    if after is not None:
        own[:, after:] += 0.2 * LEVEL_OF_LOSSES
    more = -min(own.min() / 0.8, other.min(), 0.0)
    own, other = own + 0.8 * more, other + more  # above 0, and of the same skill
    found = np.array([Monitor().update(*both) for both in zip(own, other, strict=True)])
    return {
        "measured": "skill found to have fallen",
        "noise": kind,
        "coefficient": coefficient,
        "fell_after": after,
        "losses": count,
        "simulations": simulations,
        **_rounded({"found": found.mean(), "standard_error": np.sqrt(found.mean() * (1 - found.mean()) / simulations)}),
    }


def _rounded(numbers: dict[str, Any]) -> dict[str, float]:
    return {name: round(float(number), 5) for name, number in numbers.items()}


def main() -> None:
    rows = []
    for overlap in (False, True):
        for horizon in (1, 7, 24)[overlap:]:
            for coefficient in (0.0, 0.5, 0.8, 0.95):
                for kind in NOISES:
                    drawn = differences(kind, coefficient, horizon, STEPS, SIMULATIONS, 1, overlap)
                    about = {"noise": kind, "coefficient": coefficient, "horizon": horizon, "overlap": overlap}
                    rows.append(false_claims("ever false", drawn) | about)
                    sys.stdout.write(f"{rows[-1]}\n")
    rows.append(false_claims("ever false, slow memory of a tenth under white noise", hidden(1)))
    rows.append(false_claims("ever false, lognormal errors of the model", skewed(1)))
    for skill in (0.05, 0.1, 0.2):
        for coefficient in (0.0, 0.5, 0.8):
            rows += [detections(skill, coefficient, spread, 1) for spread in (0.25, 0.5, 1.0)]
    for kind in NOISES:
        rows += [falls(kind, coefficient, None, STEPS // 2, 60, 1) for coefficient in (0.0, 0.8)]
    for before in (100, 400):
        rows += [falls("normal", 0.0, before, before + more, 40, 1) for more in (50, 100, 200, 400)]
    record("monitoring", [row | {"seed": 1} for row in rows])
    for row in rows:
        sys.stdout.write(f"{row}\n")


if __name__ == "__main__":
    main()
