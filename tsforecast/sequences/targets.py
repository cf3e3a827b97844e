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

from tsforecast.networks.sequence import CrossEntropy, SequenceLoss

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

TEMPERATURES = (0.05, 20.0)  # between which one is looked for


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

    def prior(self, truth: NDArray[Any]) -> Tensor:
        """Return the outputs, (Q,), of the baseline that learns from the truth alone."""

    def loss(self, truth: NDArray[Any]) -> SequenceLoss:
        """Return the loss, with weights that are 1 in the mean over this truth."""

    def answers(self, outputs: Tensor) -> Floats:
        """Return probabilities of classes, or numbers, of outputs, (rows, Q)."""


@dataclass(frozen=True, eq=False)
class Classes:
    """One class for each recording: a logit for each class, one for the second of two against the first."""

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

    def strata(self, truth: NDArray[Any]) -> Labels:
        """See `Target.strata`: the classes themselves."""
        return truth

    def prior(self, truth: NDArray[Any]) -> Tensor:
        """See `Target.prior`: the logarithms of the weighted shares of the classes."""
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
        count = int((truth >= 0).sum())
        smoothing = len(self.classes) / (len(self.classes) - 1) / (count + 2)
        loss, labels = replace(self, smoothing=smoothing, focal=0.0).loss(trained), torch.from_numpy(truth)

        def entropy(logarithm: float) -> float:
            errors, counts = loss.errors(outputs.double() / math.exp(logarithm), labels)
            return float(errors[counts].mean())

        bounds = tuple(map(math.log, TEMPERATURES))
        return math.exp(minimize_scalar(entropy, bounds=bounds, method="bounded").x) if count else 1.0


def class_weights(weight: dict[Any, float] | str | None, classes: NDArray[Any], labels: Labels) -> Floats:
    """Return the weight of a row of each class, (K,), 1 in the mean over those that train, with `labels` (n,).

    `weight` is by label, 1 for one that is not named; "balanced": all classes alike, however frequent they are.
    """
    counts = np.bincount(labels, minlength=len(classes)).astype(np.float64)
    if weight is None:
        return np.ones(len(classes))
    if isinstance(weight, str):
        weights = 1 / np.maximum(counts, 1)
    else:
        weights = np.array([weight.get(label, 1.0) for label in classes.tolist()])
    return np.asarray(weights * len(labels) / (weights @ counts))
