"""What all trials of a search are scored on, forecasts or labels, and how far luck flatters the best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.data.panel import Panel
from tsforecast.evaluation import metrics

Floats = NDArray[np.float64]
DRAWS = 1_000  # of the bootstrap


@dataclass(frozen=True, eq=False)
class Fold:
    """What trains, and n cases that a trained model is judged by.

    Attributes
    ----------
    part : Panel
        What a trial learns from.
    weights : array of shape (n,)
        How much each case counts; their sum is 1.
    metric : str
        What is counted.
    reference : str
        The naive baseline whose error skill is a share of.
    naive : array of shape (n,)
        Its losses.
    """

    part: Panel
    weights: Floats
    metric: str
    reference: str
    naive: Floats

    @property
    def settings(self) -> dict[str, Any]:
        """What a model must be set to for these cases."""
        return {}

    @property
    def block(self) -> int:
        """How many neighbouring cases depend on each other."""
        return 1

    def baseline(self) -> Any:
        """Return the reference, not yet fitted."""
        raise NotImplementedError(f"{type(self).__name__} must say what its baseline is")

    def fit(self, model: Any, **how: Any) -> Any:
        """Fit a model on what trains."""
        return model.fit(self.part, **how)

    def losses(self, model: Any) -> Floats:
        """Return the loss of a fitted model in each case, (n,)."""
        raise NotImplementedError(f"{type(self).__name__} must say what is lost")

    def skill(self, losses: Floats, weights: Floats | None = None) -> Any:
        """Return the share of the reference's error that such losses, (..., n), remove."""
        total, naive = (self.total(each, self.weights if weights is None else weights) for each in (losses, self.naive))
        return 1 - metrics.divide(total, naive)

    def total(self, losses: Floats, weights: Floats) -> Any:
        """Return the error that such losses are, (...)."""
        mean = metrics.divide(losses @ weights.T, weights.sum(axis=-1))
        return np.sqrt(mean) if self.metric in ("rmse", "rmsse") else mean


def optimism(folds: Sequence[Fold], losses: Floats, seed: int = 0) -> float:
    """Return by how much the best of many trials looks better in the cases that chose it than it is.

    Parameters
    ----------
    folds : sequence of Fold
    losses : array of shape (trials, n)
        Of each trial at its best epoch, in the cases of all folds one after the other.
    seed : int

    Returns
    -------
    float
        In skill: how much better the best trial is in all cases than, in the mean over draws of blocks of neighbours,
        the trial that is best on those drawn is on those that were not [BBC-CV: Tsamardinos et al. 2018,
        doi 10.1007/s10994-018-5714-4].

    Examples
    --------
    >>> panel, cases = Panel.of(np.arange(9.0)), 40
    >>> fold = Fold(panel, np.full(cases, 1 / cases), "mae", "naive", np.ones(cases))
    >>> optimism([fold], 1 + np.random.default_rng(1).normal(size=(20, cases)) / 5) > 0
    True
    """
    random, ends = np.random.default_rng(seed), np.cumsum([len(fold.weights) for fold in folds])
    drawn, others, real = (np.zeros(shape) for shape in ((DRAWS, len(losses)), (DRAWS, len(losses)), len(losses)))
    for fold, mine in zip(folds, np.split(losses, ends[:-1], axis=1), strict=True):
        counts = _block_counts(len(fold.weights), fold.block, random)  # (D, n)
        drawn += np.asarray(fold.skill(mine, counts * fold.weights)).T / len(folds)
        others += np.asarray(fold.skill(mine, (counts == 0) * fold.weights)).T / len(folds)
        real += fold.skill(mine) / len(folds)
    chosen = others[np.arange(DRAWS), np.argmax(drawn, axis=1)]
    return float(real.max() - np.nanmean(chosen))


def _block_counts(count: int, block: int, random: np.random.Generator) -> Floats:
    """Return how often each case is drawn when blocks are drawn on a circle, (D, n)."""
    starts = random.integers(count, size=(DRAWS, math.ceil(count / block)))
    places = ((starts[..., None] + np.arange(block)) % count).reshape(DRAWS, -1)[:, :count]
    counts = np.zeros((DRAWS, count))
    np.add.at(counts, (np.arange(DRAWS)[:, None], places), 1.0)
    return counts
