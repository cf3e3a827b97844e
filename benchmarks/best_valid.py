"""Bound on the power of any test that holds its level whatever the memory, by a least favourable mixture."""

from __future__ import annotations

import numpy as np
from processes import Floats, Random, correlated, memory, under_noise
from scipy.special import logsumexp

MEMORIES = np.arange(0.0, 0.81, 0.1)  # under which the test is to hold its level
STEPS = 400


def best_power(
    count: int, size: float, level: float, random: Random, draws: int = 5_000, hidden: bool = False
) -> float:
    """Return the highest power to find a mean of so many standard deviations of independent differences.

    No test that is independent of their scale, and whose false claims of a positive mean are at most `level` under
    each memory, exceeds that of the likelihood ratio against a mixture of memories that has this level in the mean, for
    any mixture [Elliott, Mueller and Watson 2015, doi 10.3982/ECTA10535]; this one is near the least favourable. With
    `hidden` the level is to hold under each memory with as much noise, too.
    """
    noises = [*(memory(each) for each in MEMORIES), *(under_noise(each) for each in MEMORIES[1:] if hidden)]
    nulls = [correlated(count, each) for each in MEMORIES]
    nulls += [(each + np.eye(count)) / 2 for each in nulls[1:] if hidden]
    null = np.concatenate([noise(random, (draws, count)) for noise in noises])
    alternative = size + random.standard_normal((10 * draws, count))
    ratios = _against(null, size, nulls)  # density under each null over that under the alternative
    mixture = np.full(len(nulls), 1 / len(nulls))
    logs = np.log(mixture)
    for step in range(STEPS):
        claims = (ratios @ np.exp(logs) < 1).reshape(len(nulls), draws).mean(axis=1)
        logs += 40 / (10 + step) * (claims - level)
    mixture = np.exp(logs - logsumexp(logs))
    under = ratios @ mixture
    order = np.argsort(under)
    reached = np.cumsum(np.repeat(mixture / draws, draws)[order])
    bound = under[order][np.searchsorted(reached, level)]
    return float((_against(alternative, size, nulls) @ mixture < bound).mean())


def _against(moves: Floats, size: float, nulls: list[Floats]) -> Floats:
    """Return densities of n differences, whatever their scale, under each null over those with a mean, (D, M)."""
    count = moves.shape[1]
    moves = moves / np.sqrt((moves**2).sum(axis=1, keepdims=True))
    grid = np.linspace(-size * np.sqrt(count), size * np.sqrt(count), 400)
    scales = np.linspace(1e-3, 2 * np.sqrt(count) + size * np.sqrt(count) + 8, 800)
    inner = (count - 1) * np.log(scales) - scales**2 / 2 + grid[:, None] * scales
    table = logsumexp(inner, axis=1) - count * size**2 / 2
    plain = logsumexp((count - 1) * np.log(scales) - scales**2 / 2)  # the same without mean or memory
    mean = np.interp(size * moves.sum(axis=1), grid, table)
    found = []
    for correlation in nulls:
        form = ((moves @ np.linalg.inv(correlation)) * moves).sum(axis=1)
        found.append(plain - 0.5 * np.linalg.slogdet(correlation)[1] - count / 2 * np.log(form) - mean)
    return np.exp(np.stack(found, axis=1))
