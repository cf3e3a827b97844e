"""What every trial is scored on: the same targets whatever its window, beside the naive forecast."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.data.anchors import seasonal_scale
from tsforecast.data.panel import Panel
from tsforecast.data.past import Past
from tsforecast.errors import DataError
from tsforecast.evaluation import metrics
from tsforecast.forecasters import choices
from tsforecast.forecasters.base import Forecaster
from tsforecast.forecasters.registry import NAIVE_FAMILY, make
from tsforecast.watchers import unwatched

Floats = NDArray[np.float64]
DRAWS = 1_000  # of the bootstrap


@dataclass(frozen=True, eq=False)
class Validation:
    """One validation origin: what trains, and the cutoffs after it that are forecast from.

    Attributes
    ----------
    part : Panel
        What a trial learns from.
    past : Past
        At n cutoffs.
    truth : array of shape (n, H, K)
    scale : array of shape (n, K)
        Error of the seasonal naive forecast on what trains; squared for RMSSE.
    weights : array of shape (n,)
        Each series counts the same; their sum is 1.
    metric : {"mase", "mae", "rmse", "smape", "rmsse"}
    reference : str
        The best of the naive family on these targets.
    naive : array of shape (n,)
        Its losses.
    """

    part: Panel
    past: Past
    truth: Floats
    scale: Floats
    weights: Floats
    metric: str
    reference: str
    naive: Floats

    @property
    def horizon(self) -> int:
        """Steps to forecast (H)."""
        return int(self.truth.shape[1])

    def losses(self, model: Forecaster) -> Floats:
        """Return the loss of a fitted model from each cutoff, (n,)."""
        said = model.forecast(self.past, self.horizon)
        error = metrics.absolute_errors(self.truth, said)
        if self.metric == "smape":
            error = metrics.symmetric_errors(self.truth, said)
        elif self.metric == "mase":
            error = metrics.divide(error, self.scale[:, None])
        elif self.metric == "rmsse":
            error = metrics.divide(error**2, self.scale[:, None])
        elif self.metric == "rmse":
            error = error**2
        there = ~np.isnan(self.truth)
        broken = (np.isnan(said) & there).any(axis=(1, 2))
        total = np.where(there, np.nan_to_num(error), 0.0).sum(axis=(1, 2))
        return np.asarray(np.where(broken, np.nan, total / np.maximum(there.sum(axis=(1, 2)), 1)))

    def skill(self, losses: Floats, weights: Floats | None = None) -> Any:
        """Return the share of the best naive forecast's error that such losses, (..., n), remove."""
        total, naive = (
            self._total(each, self.weights if weights is None else weights) for each in (losses, self.naive)
        )
        return 1 - metrics.divide(total, naive)

    def _total(self, losses: Floats, weights: Floats) -> Any:
        mean = metrics.divide(losses @ weights.T, weights.sum(axis=-1))
        return np.sqrt(mean) if self.metric in ("rmse", "rmsse") else mean


@unwatched()  # the best naive forecast of all is trial 0
def validations(panel: Panel, horizon: int, share: float | int, origins: int, metric: str) -> list[Validation]:
    """Return the validation origins, the newest first.

    Parameters
    ----------
    panel : Panel
        Everything that the search may see.
    horizon : int
    share : float or int
        Share or number of last steps (or of whole groups) that validate, of each origin.
    origins : int
        Each lies a validation part before the one after it.
    metric : str

    Raises
    ------
    DataError
        When the series are too short.
    """
    found = []
    for origin in range(origins):
        if origin and panel.groups is not None:
            raise DataError("validation_origins must be 1 where groups are kept apart: got more")
        count, seen = choices.training_rows(panel, share, horizon, without="a test part of your own")
        found.append(_validation(panel, seen, horizon, metric))
        share = count  # the older ones are as long
        if origin + 1 < origins:
            if int(seen.min()) <= count + horizon:
                raise DataError(
                    f"validation_origins must leave steps to learn from: {origins} of {count} steps need more than "
                    f"{int(panel.lengths.min())}; use validation_origins <= {origin + 1}, or a smaller validation"
                )
            panel = panel.until(seen)
    return found


def _validation(panel: Panel, seen: NDArray[np.int64], horizon: int, metric: str) -> Validation:
    past, truth = choices.held_out(panel, seen, horizon)
    there = ~np.isnan(truth) & past.begun[:, None]
    truth = np.where(there, truth, np.nan)
    if not there.any():
        raise DataError("the validation part must hold a truth after a past: there is none; use a larger validation")
    targets = panel.n_targets
    scales = np.full((len(panel), targets, 2), np.nan)
    for i in np.unique(past.series):
        upto = int(seen[i]) or int(past.lengths[past.series == i].min())
        scales[i] = [
            seasonal_scale(column[:upto].astype(float), panel.season_length)
            for column in panel.series(i)[:, :targets].T
        ]
    if metric in ("mase", "rmsse") and not np.nanmax(scales, initial=0.0):
        metric = "mae" if metric == "mase" else "rmse"  # a constant past gives no scale
    _, owner, counts = np.unique(past.series, return_inverse=True, return_counts=True)
    weights, part = 1 / counts[owner] / len(counts), panel.until(seen)
    scale = scales[past.series, :, int(metric == "rmsse")]
    bare = Validation(part, past, truth, scale, weights, metric, "", np.empty(0))
    naive = {name: bare.losses(make(name, horizon=horizon).fit(part)) for name in NAIVE_FAMILY}
    best = min(naive, key=lambda name: bare._total(naive[name], weights))
    return replace(bare, reference=best, naive=naive[best])


def optimism(folds: Sequence[Validation], losses: Floats, seed: int = 0) -> float:
    """Return by how much the best of many trials looks better on the targets that chose it than it is.

    Parameters
    ----------
    folds : sequence of Validation
    losses : array of shape (trials, n)
        Of each trial at its best epoch, from the cutoffs of all folds one after the other.
    seed : int

    Returns
    -------
    float
        In skill: how much better the best trial is on all targets than, in the mean over draws of blocks of
        neighbouring cutoffs, the trial that is best on those drawn is on those that were not [BBC-CV: Tsamardinos et
        al. 2018, doi 10.1007/s10994-018-5714-4].

    Examples
    --------
    >>> panel = Panel.of(np.random.default_rng(0).normal(size=200))
    >>> fold = validations(panel, 5, 0.2, 1, "mae")
    >>> noise = np.random.default_rng(1).normal(size=(20, len(fold[0].naive))) / 5
    >>> optimism(fold, fold[0].naive + noise) > 0
    True
    """
    random, ends = np.random.default_rng(seed), np.cumsum([len(fold.weights) for fold in folds])
    drawn, others, real = (np.zeros(shape) for shape in ((DRAWS, len(losses)), (DRAWS, len(losses)), len(losses)))
    for fold, mine in zip(folds, np.split(losses, ends[:-1], axis=1), strict=True):
        counts = _block_counts(len(fold.weights), _block(fold), random)  # (D, n)
        drawn += np.asarray(fold.skill(mine, counts * fold.weights)).T / len(folds)
        others += np.asarray(fold.skill(mine, (counts == 0) * fold.weights)).T / len(folds)
        real += fold.skill(mine) / len(folds)
    chosen = others[np.arange(DRAWS), np.argmax(drawn, axis=1)]
    return float(real.max() - np.nanmean(chosen))


def _block(fold: Validation) -> int:
    """Return how many neighbouring cutoffs stay together: those within two horizons."""
    steps = np.diff(fold.past.lengths)[np.diff(fold.past.series) == 0]
    apart = max(1, int(np.median(steps))) if len(steps) else fold.horizon
    return max(1, min(len(fold.weights) // 4, math.ceil(2 * fold.horizon / apart)))


def _block_counts(count: int, block: int, random: np.random.Generator) -> Floats:
    """Return how often each cutoff is drawn when blocks are drawn on a circle, (D, n)."""
    starts = random.integers(count, size=(DRAWS, math.ceil(count / block)))
    places = ((starts[..., None] + np.arange(block)) % count).reshape(DRAWS, -1)[:, :count]
    counts = np.zeros((DRAWS, count))
    np.add.at(counts, (np.arange(DRAWS)[:, None], places), 1.0)
    return counts
