"""Targets: the truth of recordings in numbers, the outputs that a network has for it, and the loss between them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from torch import Tensor

from tsforecast.data.scaling import Scaling
from tsforecast.networks.sequence import (
    UNLABELLED,
    BinaryCrossEntropy,
    CrossEntropy,
    NumberLoss,
    OrdinalCrossEntropy,
    SequenceLoss,
)

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

LEAST_SPREAD = 1e-3  # of scaled numbers, where those that train are all the same
TEMPERATURES = (0.05, 20.0)  # between which one is looked for
LEAST = 1e-6  # of the share of a label, or class, that no recording has: its logit stays finite


class Target(Protocol):
    """What a network learns about a recording, or about each step of it.

    The truth is an array, one row for each recording, or for each step of all recordings below each other.
    """

    @property
    def at_steps(self) -> bool:
        """Whether there is a truth for each step."""

    @property
    def outputs(self) -> int:
        """Numbers that the network has for each row of the truth (Q)."""

    def strata(self, truth: NDArray[Any]) -> Labels:
        """Return a class for each recording, by which as large a share of each validates."""

    def coded(self, truth: NDArray[Any]) -> NDArray[Any]:
        """Return the truth as the loss reads it."""

    def prior(self, truth: NDArray[Any]) -> Tensor:
        """Return the outputs, (Q,), of the baseline that learns from the truth alone."""

    def loss(self, truth: NDArray[Any]) -> SequenceLoss:
        """Return the loss, with weights that are 1 in the mean over this truth."""

    def answers(self, outputs: Tensor) -> Floats:
        """Return probabilities of classes, or numbers, of outputs, (rows, Q)."""


@dataclass(frozen=True, eq=False)
class Classes:
    """One class for each recording, or step: a logit for each class, one for the second of two against the first."""

    classes: NDArray[Any]  # (K,)
    class_weight: dict[Any, float] | str | None = None
    smoothing: float = 0.0
    at_steps: bool = False
    focal: float = 0.0
    temperature: float = 1.0  # by which logits are divided

    @property
    def outputs(self) -> int:
        """See `Target.outputs`."""
        return 1 if len(self.classes) == 2 else len(self.classes)

    @property
    def kinds(self) -> int:
        """Probabilities that sum up to 1."""
        return len(self.classes)

    def strata(self, truth: NDArray[Any]) -> Labels:
        """See `Target.strata`: the classes themselves."""
        return truth

    def coded(self, truth: NDArray[Any]) -> NDArray[Any]:
        """See `Target.coded`: the position of each class."""
        return truth

    def prior(self, truth: NDArray[Any]) -> Tensor:
        """See `Target.prior`: the logarithms of the weighted shares of the classes."""
        truth = truth[truth != UNLABELLED]
        weights = class_weights(self.class_weight, self.classes, truth)
        counted = weights * np.bincount(truth, minlength=len(self.classes))
        shares = torch.from_numpy(counted / counted.sum()).float()
        return torch.log(shares[1:] / shares[:1]) if len(shares) == 2 else torch.log(shares)

    def loss(self, truth: NDArray[Any]) -> SequenceLoss:
        """See `Target.loss`."""
        weights = class_weights(self.class_weight, self.classes, truth)
        return CrossEntropy(torch.from_numpy(weights).float(), self.smoothing, self.focal)

    def answers(self, outputs: Tensor) -> Floats:
        """See `Target.answers`: the probability of each class, (rows, K)."""
        outputs = outputs / self.temperature
        if outputs.shape[1] > 1:
            return np.asarray(torch.softmax(outputs.double(), dim=1).numpy())
        second = torch.sigmoid(outputs.double())
        return np.asarray(torch.cat([1 - second, second], dim=1).numpy())

    def best_temperature(self, outputs: Tensor, truth: NDArray[Any], trained: NDArray[Any]) -> float:
        """Return the temperature with the lowest cross entropy, weighted as in training [Guo et al. 2017, 1706.04599].

        Of n recordings the true class counts as (n + 1) / (n + 2) certain, as in Platt (1999): where a few are all
        classified right, the temperature would otherwise be the lowest there is.
        """
        count, kinds = int((truth >= 0).sum()), self.kinds
        loss = replace(self, smoothing=kinds / (kinds - 1) / (count + 2), focal=0.0).loss(trained)
        labels = torch.from_numpy(self.coded(truth))

        def entropy(logarithm: float) -> float:
            errors, counts = loss.errors(outputs.double() / math.exp(logarithm), labels)
            return float(errors[counts].mean())

        bounds = tuple(map(math.log, TEMPERATURES))
        return math.exp(minimize_scalar(entropy, bounds=bounds, method="bounded").x) if count else 1.0


@dataclass(frozen=True, eq=False)
class Ordered(Classes):
    """One class of several in an order: a logit for each step up, of a higher class where a recording got so far.

    These conditional probabilities make those of being above each class, which fall from class to class whatever the
    network has learned: CORN [Shi, Cao and Raschka 2021, arXiv 2111.08851].
    """

    order: tuple[Any, ...] = ()  # the classes from the lowest to the highest

    @property
    def outputs(self) -> int:
        """See `Target.outputs`."""
        return len(self.classes) - 1

    @property
    def places(self) -> Labels:
        """Position of each class in the order, (K,)."""
        return np.array([self.order.index(label) for label in self.classes.tolist()])

    def coded(self, truth: NDArray[Any]) -> NDArray[Any]:
        """See `Target.coded`: the place of each in the order, of those without a class as they are."""
        return np.where(truth < 0, truth, self.places[truth])

    def prior(self, truth: NDArray[Any]) -> Tensor:
        """See `Target.prior`: logits of the weighted shares of the classes, step by step."""
        weights = class_weights(self.class_weight, self.classes, truth)
        counted = np.empty(len(self.classes))
        counted[self.places] = weights * np.bincount(truth[truth >= 0], minlength=len(self.classes))
        reached = counted[::-1].cumsum()[::-1]  # of each class or a higher one
        return logits(np.divide(reached[1:], reached[:-1], out=np.zeros(self.outputs), where=reached[:-1] > 0))

    def loss(self, truth: NDArray[Any]) -> SequenceLoss:
        """See `Target.loss`."""
        weights = np.empty(len(self.classes))
        weights[self.places] = class_weights(self.class_weight, self.classes, truth)
        return OrdinalCrossEntropy(torch.from_numpy(weights).float(), self.smoothing, self.focal)

    def answers(self, outputs: Tensor) -> Floats:
        """See `Target.answers`: the probability of each class, (rows, K), in the order of `classes`."""
        above = torch.sigmoid(outputs.double() / self.temperature).cumprod(dim=1).numpy()  # (rows, K - 1)
        return np.asarray(-np.diff(above, axis=1, prepend=1.0, append=0.0)[:, self.places])

    def medians(self, probabilities: Floats) -> Labels:
        """Return the class in the middle of each row of probabilities, (rows,), as a position in `classes`."""
        ordered = np.argsort(self.places)
        below = (probabilities[:, ordered].cumsum(axis=1) < 0.5).sum(axis=1)
        return np.asarray(ordered[below.clip(max=len(ordered) - 1)])


@dataclass(frozen=True, eq=False)
class Several(Classes):
    """Any number of the classes, or labels, for each recording: a logit for each, of having it."""

    @property
    def outputs(self) -> int:
        """See `Target.outputs`."""
        return len(self.classes)

    @property
    def kinds(self) -> int:
        """See `Classes.kinds`: with a label, or without it."""
        return 2

    def strata(self, truth: NDArray[Any]) -> Labels:
        """See `Target.strata`: all are one."""
        return np.zeros(len(truth), dtype=np.int64)

    def prior(self, truth: NDArray[Any]) -> Tensor:
        """See `Target.prior`: logits of the weighted shares of recordings that have each label."""
        return logits(truth.mean(axis=0) * self._weights(truth)[:, 1])

    def loss(self, truth: NDArray[Any]) -> SequenceLoss:
        """See `Target.loss`; the weights of each label are 1 in the mean."""
        return BinaryCrossEntropy(torch.from_numpy(self._weights(truth)).float(), self.smoothing, self.focal)

    def answers(self, outputs: Tensor) -> Floats:
        """See `Target.answers`: the probability of each label, (rows, L)."""
        return np.asarray(torch.sigmoid(outputs.double() / self.temperature).numpy())

    def _weights(self, truth: NDArray[Any]) -> Floats:
        """Return the weights of recordings without and with each label, (L, 2)."""
        found = []
        for name, has in zip(self.classes.tolist(), truth.T, strict=True):
            given = self.class_weight
            weight = {1: given.get(name, 1.0)} if isinstance(given, dict) else given
            found.append(class_weights(weight, np.arange(2), has))
        return np.array(found)


@dataclass(frozen=True, eq=False)
class Numbers:
    """Some numbers, M, for each recording: scaled outputs, and for loss "normal" logarithms of their deviations."""

    count: int
    name: str  # of the loss
    scaling: Scaling | None = None  # of the truth; None before it was learned
    at_steps: bool = False

    @property
    def outputs(self) -> int:
        """See `Target.outputs`; the locations come before the deviations."""
        return self.count * (2 if self.name == "normal" else 1)

    def strata(self, truth: NDArray[Any]) -> Labels:
        """See `Target.strata`: all are one."""
        return np.zeros(len(truth), dtype=np.int64)

    def coded(self, truth: NDArray[Any]) -> NDArray[Any]:
        """See `Target.coded`: scaled numbers, (N, M)."""
        if self.scaling is None:
            raise ValueError("numbers must have been scaled")
        return self.scaling.transform(truth, 0)

    def prior(self, truth: NDArray[Any]) -> Tensor:
        """See `Target.prior`: the mean, or the median, and the deviations."""
        scaled = self.coded(truth)
        level = np.median(scaled, axis=0) if self.name == "mae" else scaled.mean(axis=0)
        spread = np.log(np.maximum(scaled.std(axis=0), LEAST_SPREAD))
        return torch.from_numpy(np.concatenate([level, spread][: self.outputs // self.count])).float()

    def loss(self, truth: NDArray[Any]) -> SequenceLoss:
        """See `Target.loss`."""
        return NumberLoss(self.name)

    def answers(self, outputs: Tensor) -> Floats:
        """See `Target.answers`: numbers, and their deviations if there are any, in units of the truth, (rows, M, P)."""
        if self.scaling is None:
            raise ValueError("numbers must have been scaled")
        level = self.scaling.inverse(outputs[:, : self.count].double().numpy(), 0)
        if self.name != "normal":
            return level[..., None]
        spread = np.exp(outputs[:, self.count :].double().numpy()) * self.scaling.scale
        return np.stack([level, spread], axis=-1)


def logits(shares: Floats) -> Tensor:
    """Return the logits of shares, none of which is taken to be certain."""
    shares = np.clip(shares, LEAST, 1 - LEAST)
    return torch.from_numpy(np.log(shares / (1 - shares))).float()


def class_weights(weight: dict[Any, float] | str | None, classes: NDArray[Any], labels: Labels) -> Floats:
    """Return the weight of a row of each class, (K,), 1 in the mean over those that train, with `labels` (n,).

    `weight` is by label, 1 for one that is not named; "balanced": all classes alike, however frequent they are.
    """
    labels = labels[labels != UNLABELLED]
    counts = np.bincount(labels, minlength=len(classes)).astype(np.float64)
    if weight is None:
        return np.ones(len(classes))
    if isinstance(weight, str):
        weights = 1 / np.maximum(counts, 1)
    else:
        weights = np.array([weight.get(label, 1.0) for label in classes.tolist()])
    return np.asarray(weights * len(labels) / (weights @ counts))
