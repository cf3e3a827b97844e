"""Paths: draws of all series and steps at once, which depend on each other as they did at past cutoffs."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tsforecast.data.context import Context, with_observations
from tsforecast.data.panel import Panel
from tsforecast.distributions.base import Distribution, Floats
from tsforecast.distributions.residuals import scales
from tsforecast.errors import DataError, Parameter, Problem

MOST, FORECASTS = 300, 20_000  # past cutoffs, and forecasts at them in all series; of many series at least
ENOUGH = 50  # cutoffs where there are so many
FEWEST = 10  # cutoffs, below which paths are refused
CHUNK = 500  # forecasts whose distributions are held at once


class Model(Protocol):
    """What is needed of a forecaster."""

    @property
    def learns_distribution(self) -> bool: ...
    def forecast(self, past: Context, horizon: int) -> Floats: ...
    def distribution(self, past: Context, horizon: int) -> Distribution: ...


def surprises(model: Model, panel: Panel, seen: NDArray[np.int64], horizon: int) -> Floats:
    """Return how high the truth lay under the forecasts at J past cutoffs, (J, N, H, K), NaN where a series has none.

    A cutoff is the same time in all series. Where the model has a distribution of its own, the number is the
    probability of what came; else the error in units of the scale of its series, which has the same order. `seen` are
    the rows of each series that the model learned from, (N,). DataError is raised where few cutoffs have a horizon.
    """
    first = np.where(seen > 0, seen, panel.first_cutoffs(horizon))
    begin, end = panel.firsts + first, panel.firsts + panel.lengths - horizon
    count = int(np.maximum(end - begin + 1, 0).max())
    if count < FEWEST:
        raise DataError(
            Problem(
                f"paths must have at least {FEWEST} past cutoffs with {horizon} steps that were not learned from",
                f"the data have {count}",
                ("give longer series, or use ", Parameter("horizon"), f" <= {max(1, horizon + count - FEWEST)}"),
            )
        )
    ticks = np.arange(begin[end >= begin].min(), end.max() + 1)
    most = int(np.clip(FORECASTS // len(panel), ENOUGH, MOST))
    ticks = ticks[np.unique(np.linspace(0, len(ticks) - 1, min(most, len(ticks))).astype(int))]
    there = (begin <= ticks[:, None]) & (ticks[:, None] <= end)  # (J, N)
    at, series = np.nonzero(there)
    found = np.full((len(ticks), len(panel), horizon, panel.n_targets), np.nan)
    for part in np.array_split(np.arange(len(at)), max(1, len(at) // CHUNK)):
        cutoffs = ticks[at[part]] - panel.firsts[series[part]]
        past = Context(panel, series[part], cutoffs)
        rows = panel.offsets[series[part]][:, None] + cutoffs[:, None] + np.arange(horizon)
        truth = panel.values[rows, : panel.n_targets].astype(np.float64)
        known = np.asarray(past.has_observations.any(axis=1))
        found[at[part][known], series[part][known]] = _surprise(model, *with_observations(past, truth))
    return found


def _surprise(model: Model, past: Context, truth: Floats) -> Floats:
    horizon = truth.shape[1]
    if not model.learns_distribution:
        scale = scales(past, past.season_length)[:, None]
        return np.asarray((truth - model.forecast(past, horizon)) / np.where(scale > 0, scale, 1.0))
    distribution, filled = model.distribution(past, horizon), np.nan_to_num(truth)
    share = (distribution.cdf(filled) + distribution.below(filled)) / 2  # of counts: the middle of the step
    return np.where(np.isnan(truth), np.nan, share)


def coherent(
    distribution: Distribution,
    surprises: Floats,
    positions: NDArray[np.int64],
    paths: int,
    random: np.random.Generator,
) -> Floats:
    """Return draws of distributions (n, H, K), each as a path through all of them, (P, n, H, K).

    A path is a past cutoff: each number has the rank, among all cutoffs of its series, step and target, that came
    there [the Schaake shuffle; Clark et al. 2004, doi 10.1175/1525-7541(2004)005<0243:TSSAMF>2.0.CO;2]. Ranks become
    probabilities, spread over their share of the distribution by one draw for each path. Of a series, or a number,
    that the cutoffs do not have, the rank is that of another series drawn at random, or is drawn by itself.
    `positions` of the n series among those of `surprises` (J, N, H, K) are -1 where there is none.
    """
    count, series = surprises.shape[:2]
    order = np.lexsort((random.random(surprises.shape), surprises), axis=0)  # equal ones in any order, NaN last
    ranks = np.argsort(order, axis=0)
    known = (~np.isnan(surprises)).sum(axis=0)  # (N, H, K)
    chosen = np.concatenate([random.permutation(count) for _ in range(-(-paths // count))])[:paths]
    stand_in = random.integers(series, size=(paths, len(positions)))
    mine = np.where(positions >= 0, positions, stand_in)  # (P, n)
    picked, of = ranks[chosen[:, None], mine], known[mine]  # (P, n, H, K)
    probability = (picked + random.random((paths, 1, 1, 1))) / np.maximum(of, 1)
    missing = picked >= of
    probability[missing] = random.random(int(missing.sum()))
    return np.moveaxis(distribution.at_probabilities(np.moveaxis(probability, 0, -1)), -1, 0)
