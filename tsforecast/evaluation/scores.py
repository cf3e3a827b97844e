"""Scores of distributions: numbers of each forecast that do not depend on the form of its distribution."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from tsforecast.data.context import Context
from tsforecast.distributions.base import Distribution, Floats, quantile_losses

INTERVALS = (50, 80, 95)  # percent of outcomes that central intervals are to hold
DECILES = np.arange(1, 10) / 10  # levels of the mean quantile loss
ENDS = {f"{end}{held}": (50 + sign * held / 2) / 100 for held in INTERVALS for end, sign in (("lo", -1), ("hi", 1))}
# Columns of rows. The probability of the truth has two ends, which differ where numbers are counts: that of less, and
# that of the truth or less.
SCORES = ("crps", "quantile_loss", *ENDS, "pit_lo", "pit_hi")
MOST = 40_000  # distributions that are kept at once: each has 200 numbers


def scores(distribution: Distribution, y: Floats) -> dict[str, Floats]:
    """Return every one of `SCORES` given the truth, (n, H, K) each.

    The quantile loss is the mean over `DECILES`, times two, whose limit for many levels is the CRPS.
    """
    levels = sorted({*ENDS.values(), *DECILES.tolist()})
    quantiles = dict(zip(levels, np.moveaxis(distribution.quantiles(levels), -1, 0), strict=True))
    losses = [quantile_losses(y, quantiles[level], level) for level in DECILES.tolist()]
    return {
        "crps": distribution.crps(y),
        "quantile_loss": 2 * np.mean(losses, axis=0),
        **{name: quantiles[level] for name, level in ENDS.items()},
        "pit_lo": distribution.below(y),
        "pit_hi": distribution.cdf(y),
    }


def scores_of(ask: Callable[[Context, int], Distribution], past: Context, gap: int, truth: Floats) -> dict[str, Floats]:
    """Return `SCORES` of the distributions that `ask` gives for the steps after a gap, (n, H, K) each; in parts."""
    _, horizon, targets = truth.shape
    found = [
        scores(ask(past.select(part), gap + horizon).steps(slice(gap, None)), truth[part])
        for part in _parts(len(past), max(1, MOST // ((gap + horizon) * targets)))
    ]
    return {name: np.concatenate([part[name] for part in found]) for name in SCORES}


def _parts(count: int, most: int) -> Iterator[np.ndarray]:
    return (np.arange(first, min(first + most, count)) for first in range(0, count, most))


def column(rows: pd.DataFrame, name: str) -> Floats:
    """Return one of `SCORES` of rows; where a row has none, that of a distribution that is sure of its forecast."""
    y, forecast = (rows[each].to_numpy(dtype=np.float64) for each in ("y", "forecast"))
    sure: Floats = np.abs(y - forecast)
    if name not in ("crps", "quantile_loss"):
        sure = {"pit_lo": (forecast < y) * 1.0, "pit_hi": (forecast <= y) * 1.0}.get(name, forecast)
    if name not in rows:
        return sure
    known = rows[name].to_numpy(dtype=np.float64)
    return np.asarray(np.where(np.isnan(known), sure, known))


def size_scores(rows: pd.DataFrame) -> Floats:
    """Return the normal quantiles at the probability that the smallest central interval with the truth is to hold.

    They are standard normal where distributions are right, and an interval holds the truth where they are low: they
    depend on each other as its misses do, or more, and differ where none is missed.
    """
    from scipy.special import ndtri

    probability = np.abs(column(rows, "pit_lo") + column(rows, "pit_hi") - 1)
    return np.asarray(ndtri(np.clip(probability, 0.0025, 0.9975)))
