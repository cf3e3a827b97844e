"""Recordings that all trials of a search are scored on, of people that none of them has seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.classifiers.base import Classifier, Floats, Labels
from tsforecast.classifiers.baselines import MajorityClassifier
from tsforecast.classifiers.neural import Mask, validation_mask
from tsforecast.data.anchors import seasonal_scale
from tsforecast.data.context import Context
from tsforecast.data.panel import Panel
from tsforecast.errors import DataError
from tsforecast.estimators.registry import NAIVE_FAMILY, make
from tsforecast.evaluation import metrics
from tsforecast.events import unobserved
from tsforecast.forecasters import auto as choices
from tsforecast.forecasters.base import Forecaster

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


@dataclass(frozen=True, eq=False)
class Validation(Fold):
    """One validation origin of a forecast: cutoffs after what trains; the reference is the best of the naive family.

    Attributes
    ----------
    past : Past
        At n cutoffs.
    truth : array of shape (n, H, K)
    scale : array of shape (n, K)
        Error of the seasonal naive forecast on what trains; squared for RMSSE.
    """

    past: Context
    truth: Floats
    scale: Floats

    @property
    def horizon(self) -> int:
        """Steps to forecast (H)."""
        return int(self.truth.shape[1])

    @property
    def settings(self) -> dict[str, Any]:
        """What a forecaster must be set to."""
        return {"horizon": self.horizon}

    @property
    def block(self) -> int:
        """How many neighbouring cutoffs stay together: those within two horizons."""
        steps = np.diff(self.past.lengths)[np.diff(self.past.series) == 0]
        apart = max(1, int(np.median(steps))) if len(steps) else self.horizon
        return max(1, min(len(self.weights) // 4, math.ceil(2 * self.horizon / apart)))

    def baseline(self) -> Forecaster:
        """Return the best of the naive family."""
        forecaster: Forecaster = make(self.reference, horizon=self.horizon)
        return forecaster

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


@unobserved()  # the best naive forecast of all is trial 0
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
    there = ~np.isnan(truth) & past.has_observations[:, None]
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
    bare = Validation(part, weights, metric, "", np.empty(0), past, truth, scale)
    naive = {name: bare.losses(make(name, horizon=horizon).fit(part)) for name in NAIVE_FAMILY}
    best = min(naive, key=lambda name: bare.total(naive[name], weights))
    return replace(bare, reference=best, naive=naive[best])


METRICS = ("error", "log_loss")


@dataclass(frozen=True, eq=False)
class ClassificationObjective(Fold):
    """Labelled recordings that train, and n others, of other groups where there are groups.

    Attributes
    ----------
    labels : array
        Of the recordings that train.
    judged : Panel
        Of n recordings.
    truth : array of shape (n,)
        Their labels.
    """

    labels: NDArray[Any]
    judged: Panel
    truth: NDArray[Any]

    def baseline(self) -> Classifier:
        """Return the classifier that says the most frequent class of all."""
        return MajorityClassifier()

    def fit(self, model: Any, **how: Any) -> Any:
        """Fit a classifier on the recordings that train."""
        return model.fit(self.part, self.labels, **how)

    def losses(self, model: Classifier) -> Floats:
        """Return 1 for each label that is wrong, or minus the logarithm of the probability of the right one, (n,)."""
        said = model.predict_proba(self.judged)
        right = np.searchsorted(model.classes_, self.truth)
        if self.metric == "log_loss":
            sure = np.clip(said[np.arange(len(said)), right], np.finfo(float).eps, 1)
            return np.asarray(-np.log(sure))
        return np.where(np.isnan(said).any(axis=1), np.nan, said.argmax(axis=1) != right)


@unobserved()  # the majority classifier is trial 0
def classification_objectives(
    panel: Panel,
    labels: Labels,
    classes: NDArray[Any],
    groups: NDArray[Any] | None,
    share: float | int,
    folds: int,
    metric: str,
    seed: int,
) -> list[ClassificationObjective]:
    """Return what trials train on and are judged by, in each fold by other groups.

    Parameters
    ----------
    panel : Panel
        All recordings that the search may see.
    labels : int array of shape (N,)
        Places in `classes`.
    classes : array of shape (K,)
    groups : array of shape (N,) or None
    share : float or int
        Share or number of whole groups, or of recordings of each class alike, that judge in a fold.
    folds : int
    metric : {"error", "log_loss"}
    seed : int
        Draws the recordings that judge where there are no groups.

    Raises
    ------
    DataError
        When a class has no recording left to train on, or there are fewer groups than the folds ask for.

    Examples
    --------
    >>> panel = Panel.from_array(list(np.arange(24.0).reshape(6, 4)))
    >>> names, people = np.array(["rest", "wave"]), np.array(["ann", "ann", "bob", "bob", "cat", "cat"])
    >>> both = classification_objectives(panel, np.array([0, 1] * 3), names, people, 1, 2, "error", seed=0)
    >>> [(len(fold.part), fold.judged.ids.tolist(), fold.naive.tolist()) for fold in both]
    [(4, [4, 5], [0.0, 1.0]), (4, [2, 3], [0.0, 1.0])]
    """
    order, found = np.arange(len(labels)), []
    names = [] if groups is None else list(dict.fromkeys(groups.tolist()))
    for number in range(folds):
        sides = None if groups is None else groups[order]
        count, mask = validation_mask(labels[order], sides, share, np.random.default_rng(seed + number))
        if groups is not None and count * folds > len(names):
            raise DataError(
                f"validation_origins must leave other groups to each: {folds} of {count} need {count * folds}, there "
                f"are {len(names)}; use validation_origins <= {len(names) // count}, or a smaller validation"
            )
        judges = np.zeros(len(labels), dtype=np.bool_)
        judges[order] = mask
        found.append(_recognition(panel, labels, classes, groups, judges, metric))
        if groups is not None:  # the last ones judge: those that did come first from now on
            order = np.concatenate([order[mask], order[~mask]])
    return found


def _recognition(
    panel: Panel,
    labels: Labels,
    classes: NDArray[Any],
    groups: NDArray[Any] | None,
    judges: Mask,
    metric: str,
) -> ClassificationObjective:
    part, judged = panel.select(~judges), panel.select(judges)
    own = np.zeros(int(judges.sum())) if groups is None else groups[judges]
    _, owner, counts = np.unique(own, return_inverse=True, return_counts=True)
    weights = 1 / counts[owner] / len(counts)  # each person counts the same
    learned, truth = classes[labels[~judges]], classes[labels[judges]]
    bare = ClassificationObjective(part, weights, metric, "majority", np.empty(0), learned, judged, truth)
    naive = bare.losses(bare.fit(bare.baseline()))
    return ClassificationObjective(part, weights, metric, "majority", naive, learned, judged, truth)
