"""Objectives: the training part of a search, and the cases whose losses score its trials."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.data.context import Context, held_out
from tsforecast.data.panel import Panel
from tsforecast.data.scaling import seasonal_scale
from tsforecast.errors import DataError
from tsforecast.estimators.network import NetworkEstimator
from tsforecast.estimators.registry import NAIVE_FAMILY, make
from tsforecast.evaluation import metrics
from tsforecast.evaluation.scores import scores_of
from tsforecast.events import unobserved
from tsforecast.forecasters import auto as choices
from tsforecast.forecasters.base import Forecaster
from tsforecast.sequences.base import Floats
from tsforecast.sequences.baselines import MajorityClassifier
from tsforecast.sequences.classifier import Classifier, Labels
from tsforecast.sequences.network import validation_mask

PARTS = 5  # of the cases, each of which is left out once; smaller ones share more of their past with the others
BLOCKS = 100  # of the cases, at most, for an interval
SEPARATE = 3  # blocks of cases that share nothing, at least, for an interval
LEVEL = 0.95  # of the interval, one-sided
LEAST_SKILL = 0.02  # a smaller one is not worth a search
CRPS = "crps"  # the metric of distributions
CLASSIFICATION_METRICS = ("error", "log_loss")


@dataclass(frozen=True, eq=False)
class Parts:
    """Parts of n cases, each of which may be left out, and smaller blocks."""

    of: NDArray[np.int64]  # part of each case, (n,)
    apart: NDArray[np.bool_]  # cases that share nothing with each part, (parts, n)
    block: NDArray[np.int64]  # block of each case, (n,); blocks share nothing but with their neighbours

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return int(self.block.max()) + 1

    @classmethod
    def by_owner(cls, owner: NDArray[Any]) -> Parts:
        """Return parts of owners (series, groups) that share nothing."""
        number = np.unique(owner, return_inverse=True)[1].reshape(-1)
        of = number % PARTS
        return cls(of, of != np.unique(of)[:, None], number % BLOCKS)

    @classmethod
    def by_time(cls, first: NDArray[np.int64], last: NDArray[np.int64]) -> Parts:
        """Return parts by the times of the first and the last target of each case, (n,): overlapping ones share."""
        times, number = np.unique(first, return_inverse=True)
        number, count, reach = number.reshape(-1), len(times), (last - first).max()
        of = number * min(PARTS, count) // count
        ends = np.array([(first[of == part].min(), last[of == part].max()) for part in range(of.max() + 1)])
        blocks, end = 0, -math.inf
        for time in times:
            if time > end:
                blocks, end = blocks + 1, time + reach
        block = number * min(BLOCKS, blocks) // count
        return cls(of, (last < ends[:, :1]) | (first > ends[:, 1:]), block)


@dataclass(frozen=True, eq=False)
class Objective:
    """Training part, and n cases on which a fitted model is scored."""

    part: Panel  # data that a trial is fitted on
    weights: Floats  # of each case, (n,); their sum is 1
    metric: str
    reference: str  # naive baseline; skill is the share of its error that a model removes
    family: Floats  # losses of all naive baselines, (baselines, n); the first is the reference

    @property
    def naive(self) -> Floats:
        """Losses of the reference, (n,)."""
        return np.asarray(self.family[0])

    @property
    def settings(self) -> dict[str, Any]:
        """Parameters that these cases require of a model."""
        return {}

    @cached_property
    def parts(self) -> Parts:
        """Parts of the cases."""
        raise NotImplementedError(f"{type(self).__name__} must define its parts")

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


@dataclass(frozen=True)
class Honest:
    """Score of a search, and an estimate of its skill on cases that did not choose."""

    best: float  # skill of the best epoch of the best trial, on the cases that chose it
    skill: float  # estimate for other cases
    high: float  # upper end of its one-sided 95 % interval; infinite with fewer than three separate parts

    @property
    def optimism(self) -> float:
        """By how much the best looks better than it is."""
        return self.best - self.skill

    @property
    def is_hopeless(self) -> bool:
        """Whether nothing so far beats naive: nothing seems to, or by next to nothing."""
        return self.best <= 0 or self.high <= LEAST_SKILL


def honest_skill(objectives: Sequence[Objective], trials: Iterable[Floats]) -> Honest:
    """Estimate the skill that a search has on cases other than those that chose its best epoch of its best trial.

    `trials` has the losses of each trial, (epochs, n), in the cases of all objectives one after the other. Each part of
    the cases is left out in turn, with all cases that share something with it, such as targets; the rest choose naive
    reference, trial and epoch again, and their losses on that part count [h-block cross-validation: Burman, Chow and
    Nolan 1994, doi 10.1093/biomet/81.2.351]. Where nothing is left to choose by, the reference is chosen: then all of a
    score may be luck.
    """
    ends = np.cumsum([len(objective.weights) for objective in objectives])[:-1]
    choices = [_Choice(objective) for objective in objectives]
    best = 0.0
    for trial in trials:
        own = np.split(trial, ends, axis=1)
        skills = np.stack([objective.skill(losses) for objective, losses in zip(objectives, own, strict=True)])
        best = max(best, float(skills.mean(axis=0).max()))
        for choice, losses, elsewhere in zip(choices, own, skills.sum(axis=0) - skills, strict=True):
            choice.offer(losses, elsewhere)
    skill = float(np.mean([choice.skill() for choice in choices]))
    return Honest(best, skill, skill + _reach(choices))


class _Choice:
    """The choice of all cases but those of one part, for each part of an objective."""

    def __init__(self, objective: Objective) -> None:
        self.objective, self.parts = objective, objective.parts
        self.others = self.parts.apart * objective.weights
        self.skills = np.full(len(self.others), -np.inf)  # of the choice, where it was made, (parts,)
        self.left = np.zeros(len(objective.weights))  # its losses where it was not, (n,)
        self.offer(objective.family, np.zeros(len(objective.family)))
        self.reference = self.left.copy()

    def offer(self, losses: Floats, elsewhere: Floats) -> None:
        """Choose, where it is better so far, one of several (epochs, n) with such skills in other objectives."""
        found = np.nan_to_num(self.objective.skill(losses, self.others)) + elsewhere[:, None]  # (epochs, parts)
        epoch = found.argmax(axis=0)
        found = found[epoch, np.arange(len(epoch))]
        better = (found > self.skills)[self.parts.of]
        self.left[better] = losses[epoch[self.parts.of], np.arange(len(self.left))][better]
        self.skills = np.maximum(self.skills, found)

    def skill(self, weights: Floats | None = None) -> Any:
        """Return the skill of the choice where it was not made."""
        weights = self.objective.weights if weights is None else weights
        return 1 - metrics.divide(*(self.objective.total(each, weights) for each in (self.left, self.reference)))


def _reach(choices: Sequence[_Choice]) -> float:
    """Return by how much the interval of the skill of choices reaches up, by a jackknife over blocks."""
    from scipy.stats import t

    variance, freedom = 0.0, 0
    for choice in choices:
        blocks = choice.parts.blocks
        others = choice.parts.block != np.arange(blocks)[:, None]
        variance += (blocks - 1) * float(np.var(choice.skill(others * choice.objective.weights)))
        freedom += blocks - 1
    if freedom < SEPARATE - 1 or math.isnan(variance):
        return math.inf
    return float(t.ppf(LEVEL, freedom)) * math.sqrt(variance) / len(choices)


@dataclass(frozen=True, eq=False)
class ForecastObjective(Objective):
    """One validation origin: forecasts from cutoffs after the training part, against the best naive forecast."""

    context: Context  # at n cutoffs
    truth: Floats  # (n, H, K)
    scale: Floats  # error of the seasonal naive forecast on the training part, squared for RMSSE, (n, K)
    span: NDArray[np.int64]  # time of the first and the last target, (2, n)

    @property
    def horizon(self) -> int:
        """Steps to forecast (H)."""
        return int(self.truth.shape[1])

    @property
    def settings(self) -> dict[str, Any]:
        """Parameters that these cases require of a forecaster."""
        return {"horizon": self.horizon}

    @cached_property
    def parts(self) -> Parts:
        """Parts by time, in which series share what happens, or the series where there is no time for that."""
        in_time = Parts.by_time(*self.span)
        series = Parts.by_owner(self.context.series)
        return series if in_time.blocks < SEPARATE <= series.blocks else in_time

    def baseline(self) -> Forecaster:
        """Return the best of the naive family."""
        forecaster: Forecaster = make(self.reference, horizon=self.horizon)
        return forecaster

    def losses(self, model: Forecaster) -> Floats:
        """Return the loss of a fitted model from each cutoff, (n,)."""
        if self.metric == CRPS:
            predicted = self._crps(model)
            error = metrics.divide(predicted, self.scale[:, None])
        else:
            predicted = model.forecast(self.context, self.horizon)
            error = metrics.losses(self.metric, self.truth, predicted, self.scale[:, None])
        observed = ~np.isnan(self.truth)
        broken = (np.isnan(predicted) & observed).any(axis=(1, 2))
        total = np.where(observed, np.nan_to_num(error), 0.0).sum(axis=(1, 2))
        return np.asarray(np.where(broken, np.nan, total / np.maximum(observed.sum(axis=(1, 2)), 1)))

    def _crps(self, model: Forecaster) -> Floats:
        """Return the CRPS of the distribution of each step, (n, H, K), in the unit of the data.

        A network of point forecasts shows no errors that it did not learn from: it is taken to be sure of its point.
        """
        if isinstance(model, NetworkEstimator) and not model.learns_distribution:
            return np.asarray(np.abs(model.forecast(self.context, self.horizon) - self.truth))
        return scores_of(model.distribution, self.context, 0, self.truth)[CRPS]


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
            if int(trained[trained < panel.lengths].min()) <= count + horizon:
                raise DataError(
                    f"validation_origins must leave steps to learn from: {origins} of {count} steps need more than "
                    f"{int(panel.lengths.min())}; use validation_origins <= {origin + 1}, or a smaller validation"
                )
            panel = panel.until(trained)
    return objectives


def _forecast_objective(panel: Panel, trained: NDArray[np.int64], horizon: int, metric: str) -> ForecastObjective:
    context, truth = held_out(panel, trained, horizon)
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
    if metric in ("mase", "rmsse", CRPS) and not np.nanmax(scales, initial=0.0):
        metric = {"mase": "mae", "rmsse": "rmse"}.get(metric, metric)  # a constant past gives no scale
        scales = np.ones_like(scales)
    weights, part = _equal_weights(context.series), panel.until(trained)
    scale = scales[context.series, :, int(metric == "rmsse")]
    span = np.stack([panel.stamps(context.series, context.lengths + step) for step in (0, horizon - 1)])
    bare = ForecastObjective(part, weights, metric, "", np.empty((0, 0)), context, truth, scale, span)
    naive = {name: bare.losses(make(name, horizon=horizon).fit(part)) for name in NAIVE_FAMILY}
    order = sorted(naive, key=lambda name: bare.total(naive[name], weights))
    return replace(bare, reference=order[0], family=np.stack([naive[name] for name in order]))


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
    owner: NDArray[Any]  # group of each, or a number of its own, (n,)

    @cached_property
    def parts(self) -> Parts:
        """Parts by group, or by sequence where there are few groups."""
        groups = Parts.by_owner(self.owner)
        return groups if groups.blocks >= SEPARATE else Parts.by_owner(np.arange(len(self.owner)))

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
    sequences of each class alike. DataError is raised when a class has no sequence left to train on, there are fewer
    groups than all objectives hold out, or sequences have several labels.
    """
    if labels.ndim > 1:
        raise DataError(f"y must have one label for each recording in a search: got {labels.shape[1]}; search for each")
    if len(labels) != len(panel):
        raise DataError(
            "y must have one label for each recording in a search: got labels of steps; use scikit-learn's "
            "GridSearchCV with cv=LeaveGroupsOut()"
        )
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
        each = np.arange(len(truth)) if groups is None else groups[held_out]
        bare = ClassificationObjective(part, weights, metric, "majority", np.empty((0, 0)), own, test, truth, each)
        objectives.append(replace(bare, family=bare.losses(bare.fit(bare.baseline()))[None]))
        if groups is not None:  # the last groups are held out: those held out so far come first from now on
            order = np.concatenate([order[mask], order[~mask]])
    return objectives
