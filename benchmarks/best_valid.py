"""Bound on the power of any test that holds its level whatever the memory, by a least favourable mixture."""

from __future__ import annotations

import numpy as np
from processes import Floats, Random, correlated, memory
from scipy.special import logsumexp

MEMORIES = np.arange(0.0, 0.81, 0.1)  # under which the test is to hold its level
STEPS = 400


def best_power(count: int, size: float, level: float, random: Random, draws: int = 5_000) -> float:
    """Return the highest power to find a mean of so many standard deviations of independent differences.

    No test that is independent of their scale, and whose false claims of a positive mean are at most `level` under
    each memory, exceeds that of the likelihood ratio against a mixture of memories that has this level in the mean, for
    any mixture [Elliott, Mueller and Watson 2015, doi 10.3982/ECTA10535]; this one is near the least favourable.
    """
    null = np.concatenate([memory(each)(random, (draws, count)) for each in MEMORIES])
    alternative = size + random.standard_normal((10 * draws, count))
    ratios = _against(null, size)  # density under each memory over that under the alternative
    mixture = np.full(len(MEMORIES), 1 / len(MEMORIES))
    logs = np.log(mixture)
    for step in range(STEPS):
        claims = (ratios @ np.exp(logs) < 1).reshape(len(MEMORIES), draws).mean(axis=1)
        logs += 40 / (10 + step) * (claims - level)
    mixture = np.exp(logs - logsumexp(logs))
    under = ratios @ mixture
    order = np.argsort(under)
    reached = np.cumsum(np.repeat(mixture / draws, draws)[order])
    bound = under[order][np.searchsorted(reached, level)]
    return float((_against(alternative, size) @ mixture < bound).mean())


def _against(moves: Floats, size: float) -> Floats:
    """Return densities of n differences, whatever their scale, under each memory over those with a mean, (D, M)."""
    count = moves.shape[1]
    moves = moves / np.sqrt((moves**2).sum(axis=1, keepdims=True))
    grid = np.linspace(-size * np.sqrt(count), size * np.sqrt(count), 400)
    scales = np.linspace(1e-3, 2 * np.sqrt(count) + size * np.sqrt(count) + 8, 800)
    inner = (count - 1) * np.log(scales) - scales**2 / 2 + grid[:, None] * scales
    table = logsumexp(inner, axis=1) - count * size**2 / 2
    plain = logsumexp((count - 1) * np.log(scales) - scales**2 / 2)  # the same without mean or memory
    mean = np.interp(size * moves.sum(axis=1), grid, table)
    found = []
    for each in MEMORIES:
        correlation = correlated(count, each)
        form = ((moves @ np.linalg.inv(correlation)) * moves).sum(axis=1)
        found.append(plain - 0.5 * np.linalg.slogdet(correlation)[1] - count / 2 * np.log(form) - mean)
    return np.exp(np.stack(found, axis=1))
