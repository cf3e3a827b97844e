"""Objectives: the training part of a search, and the cases whose losses score its trials."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.classifiers.base import Classifier, Floats, Labels
from tsforecast.classifiers.baselines import MajorityClassifier
from tsforecast.classifiers.neural import validation_mask
from tsforecast.data.context import Context
from tsforecast.data.panel import Panel
from tsforecast.data.scaling import seasonal_scale
from tsforecast.errors import DataError
from tsforecast.estimators.registry import NAIVE_FAMILY, make
from tsforecast.evaluation import metrics
from tsforecast.events import unobserved
from tsforecast.forecasters import auto as choices
from tsforecast.forecasters.base import Forecaster

DRAWS = 1_000  # of the bootstrap
CLASSIFICATION_METRICS = ("error", "log_loss")


@dataclass(frozen=True, eq=False)
class Objective:
    """Training part, and n cases on which a fitted model is scored."""

    part: Panel  # data that a trial is fitted on
    weights: Floats  # of each case, (n,); their sum is 1
    metric: str
    reference: str  # naive baseline; skill is the share of its error that a model removes
    naive: Floats  # losses of the baseline, (n,)

    @property
    def settings(self) -> dict[str, Any]:
        """Parameters that these cases require of a model."""
        return {}

    @property
    def block(self) -> int:
        """Number of neighbouring cases that depend on each other."""
        return 1

    def baseline(self) -> Any:
        """Return the reference, not yet fitted."""
        raise NotImplementedError(f"{type(self).__name__} must define its baseline")

    def fit(self, model: Any, **options: Any) -> Any:
        """Fit a model on the training part."""
        return model.fit(self.part, **options)

    def losses(self, model: Any) -> Floats:
        """Return the loss of a fitted model in each case, (n,)."""
        raise NotImplementedError(f"{type(self).__name__} must define its losses")

    def skill(self, losses: Floats, weights: Floats | None = None) -> Any:
        """Return the share of the reference's error that such losses, (..., n), remove."""
        total, naive = (self.total(each, self.weights if weights is None else weights) for each in (losses, self.naive))
        return 1 - metrics.divide(total, naive)

    def total(self, losses: Floats, weights: Floats) -> Any:
        """Return the error of such losses, (...)."""
        mean = metrics.divide(losses @ weights.T, weights.sum(axis=-1))
        return np.sqrt(mean) if self.metric in metrics.SQUARED else mean


def optimism(objectives: Sequence[Objective], losses: Floats) -> float:
    """Estimate by how much the best of many trials looks better on the cases that chose it than it is.

    The losses, (trials, n), are those of each trial at its best epoch, in the cases of all objectives one after the
    other. The optimism is in skill: the score of the best trial on all cases, minus the mean score, over bootstrap
    draws of blocks of neighbours, of the trial that is best on the drawn cases, on those not drawn [BBC-CV:
    Tsamardinos et al. 2018, doi 10.1007/s10994-018-5714-4].
    """
    random, ends = np.random.default_rng(0), np.cumsum([len(objective.weights) for objective in objectives])
    drawn, others, real = (np.zeros(shape) for shape in ((DRAWS, len(losses)), (DRAWS, len(losses)), len(losses)))
    for objective, own in zip(objectives, np.split(losses, ends[:-1], axis=1), strict=True):
        counts = _block_counts(DRAWS, len(objective.weights), objective.block, random)  # (D, n)
        drawn += np.asarray(objective.skill(own, counts * objective.weights)).T / len(objectives)
        others += np.asarray(objective.skill(own, (counts == 0) * objective.weights)).T / len(objectives)
        real += objective.skill(own) / len(objectives)
    chosen = others[np.arange(DRAWS), np.argmax(drawn, axis=1)]
    return float(real.max() - np.nanmean(chosen))


def _block_counts(draws: int, count: int, block: int, random: np.random.Generator) -> Floats:
    """Return how often each of so many neighbours is drawn when blocks of them are drawn on a circle, (D, n)."""
    starts = random.integers(count, size=(draws, math.ceil(count / block)))
    positions = ((starts[..., None] + np.arange(block)) % count).reshape(draws, -1)[:, :count]
    counts = np.zeros((draws, count))
    np.add.at(counts, (np.arange(draws)[:, None], positions), 1.0)
    return counts


@dataclass(frozen=True, eq=False)
class ForecastObjective(Objective):
    """One validation origin: forecasts from cutoffs after the training part, against the best naive forecast."""

    context: Context  # at n cutoffs
    truth: Floats  # (n, H, K)
    scale: Floats  # error of the seasonal naive forecast on the training part, squared for RMSSE, (n, K)

    @property
    def horizon(self) -> int:
        """Steps to forecast (H)."""
        return int(self.truth.shape[1])

    @property
    def settings(self) -> dict[str, Any]:
        """Parameters that these cases require of a forecaster."""
        return {"horizon": self.horizon}

    @property
    def block(self) -> int:
        """Number of neighbouring cutoffs within two horizons."""
        steps = np.diff(self.context.lengths)[np.diff(self.context.series) == 0]
        distance = max(1, int(np.median(steps))) if len(steps) else self.horizon
        return max(1, min(len(self.weights) // 4, math.ceil(2 * self.horizon / distance)))

    def baseline(self) -> Forecaster:
        """Return the best of the naive family."""
        forecaster: Forecaster = make(self.reference, horizon=self.horizon)
        return forecaster

    def losses(self, model: Forecaster) -> Floats:
        """Return the loss of a fitted model from each cutoff, (n,)."""
        predicted = model.forecast(self.context, self.horizon)
        error = metrics.losses(self.metric, self.truth, predicted, self.scale[:, None])
        observed = ~np.isnan(self.truth)
        broken = (np.isnan(predicted) & observed).any(axis=(1, 2))
        total = np.where(observed, np.nan_to_num(error), 0.0).sum(axis=(1, 2))
        return np.asarray(np.where(broken, np.nan, total / np.maximum(observed.sum(axis=(1, 2)), 1)))


@unobserved()  # the best naive forecast of all is trial 0
def forecast_objectives(
    panel: Panel, horizon: int, share: float | int, origins: int, metric: str
) -> list[ForecastObjective]:
    """Return the objective of each validation origin, the newest first; DataError is raised of series too short.

    At each origin a share or number of last steps (or of whole groups) validates; each lies a validation part before
    the one after it.
    """
    objectives = []
    for origin in range(origins):
        if origin and panel.groups is not None:
            raise DataError("validation_origins must be 1 where groups are kept apart: got more")
        count, trained = choices.training_rows(panel, share, horizon, without="a test part of your own")
        objectives.append(_forecast_objective(panel, trained, horizon, metric))
        share = count  # the older ones are as long
        if origin + 1 < origins:
            if int(trained.min()) <= count + horizon:
                raise DataError(
                    f"validation_origins must leave steps to learn from: {origins} of {count} steps need more than "
                    f"{int(panel.lengths.min())}; use validation_origins <= {origin + 1}, or a smaller validation"
                )
            panel = panel.until(trained)
    return objectives


def _forecast_objective(panel: Panel, trained: NDArray[np.int64], horizon: int, metric: str) -> ForecastObjective:
    context, truth = choices.held_out(panel, trained, horizon)
    observed = ~np.isnan(truth) & context.has_observations[:, None]
    truth = np.where(observed, truth, np.nan)
    if not observed.any():
        raise DataError("the validation part must hold a truth after a past: there is none; use a larger validation")
    targets = panel.n_targets
    scales = np.full((len(panel), targets, 2), np.nan)
    for i in np.unique(context.series):
        end = int(trained[i]) or int(context.lengths[context.series == i].min())
        scales[i] = [
            seasonal_scale(column[:end].astype(float), panel.season_length) for column in panel.series(i)[:, :targets].T
        ]
    if metric in ("mase", "rmsse") and not np.nanmax(scales, initial=0.0):
        metric = "mae" if metric == "mase" else "rmse"  # a constant past gives no scale
    weights, part = _equal_weights(context.series), panel.until(trained)
    scale = scales[context.series, :, int(metric == "rmsse")]
    bare = ForecastObjective(part, weights, metric, "", np.empty(0), context, truth, scale)
    naive = {name: bare.losses(make(name, horizon=horizon).fit(part)) for name in NAIVE_FAMILY}
    best = min(naive, key=lambda name: bare.total(naive[name], weights))
    return replace(bare, reference=best, naive=naive[best])


def _equal_weights(owner: NDArray[Any]) -> Floats:
    """Return a weight for each case such that all owners (series, groups) weigh the same, (n,)."""
    _, index, counts = np.unique(owner, return_inverse=True, return_counts=True)
    return 1 / counts[index] / len(counts)


@dataclass(frozen=True, eq=False)
class ClassificationObjective(Objective):
    """Labelled sequences for training, and n held-out ones, of other groups where there are groups."""

    labels: NDArray[Any]  # of the training part
    held_out: Panel
    truth: NDArray[Any]  # labels of the held-out sequences, (n,)

    def baseline(self) -> Classifier:
        """Return the classifier that predicts the most frequent class."""
        return MajorityClassifier()

    def fit(self, model: Any, **options: Any) -> Any:
        """Fit a classifier on the training part."""
        return model.fit(self.part, self.labels, **options)

    def losses(self, model: Classifier) -> Floats:
        """Return 1 for each wrong label, or minus the logarithm of the probability of the right one, (n,)."""
        probabilities = model.predict_proba(self.held_out)
        right = np.searchsorted(model.classes_, self.truth)
        if self.metric == "log_loss":
            of_right = probabilities[np.arange(len(probabilities)), right]
            return np.asarray(-np.log(np.clip(of_right, np.finfo(float).eps, 1)))
        return np.where(np.isnan(probabilities).any(axis=1), np.nan, probabilities.argmax(axis=1) != right)


@unobserved()  # the majority classifier is trial 0
def classification_objectives(
    panel: Panel,
    labels: Labels,
    classes: NDArray[Any],
    groups: NDArray[Any] | None,
    share: float | int,
    count: int,
    metric: str,
    seed: int,
) -> list[ClassificationObjective]:
    """Return so many objectives, each with other groups held out, or other sequences where there are no groups.

    The labels, (N,), are positions in `classes`. Each objective holds out a share or number of whole groups, or of the
    sequences of each class alike. DataError is raised when a class has no sequence left to train on, or there are
    fewer groups than all objectives hold out.
    """
    order, objectives = np.arange(len(labels)), []
    names = [] if groups is None else list(dict.fromkeys(groups.tolist()))
    for number in range(count):
        sides = None if groups is None else groups[order]
        size, mask = validation_mask(labels[order], sides, share, np.random.default_rng(seed + number))
        if groups is not None and size * count > len(names):
            raise DataError(
                f"validation_origins must leave other groups to each: {count} of {size} need {size * count}, there "
                f"are {len(names)}; use validation_origins <= {len(names) // size}, or a smaller validation"
            )
        held_out = np.zeros(len(labels), dtype=np.bool_)
        held_out[order] = mask
        owner = np.zeros(len(labels)) if groups is None else groups
        part, test = panel.select(~held_out), panel.select(held_out)
        weights = _equal_weights(owner[held_out])
        own, truth = classes[labels[~held_out]], classes[labels[held_out]]
        bare = ClassificationObjective(part, weights, metric, "majority", np.empty(0), own, test, truth)
        objectives.append(replace(bare, naive=bare.losses(bare.fit(bare.baseline()))))
        if groups is not None:  # the last groups are held out: those held out so far come first from now on
            order = np.concatenate([order[mask], order[~mask]])
    return objectives
