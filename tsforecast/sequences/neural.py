"""NeuralClassifier and its four names: small networks that classify labelled sequences."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from tsforecast.checks import between, one_of
from tsforecast.data.panel import Panel
from tsforecast.errors import DataError, ParameterError, Problem, guess, nearest, raise_any, shorten
from tsforecast.estimators.base import keyword_settings, setting
from tsforecast.estimators.network import NetworkEstimator, TrainingData
from tsforecast.events import observed
from tsforecast.networks.classify import CrossEntropy, SequenceClassifier
from tsforecast.sequences.base import Classifier, Floats, Labels
from tsforecast.training.batches import Augmentation, SequenceDataset, tiles
from tsforecast.training.history import OnEpoch
from tsforecast.training.runtime import few_threads, seeded, torch_device

Mask = NDArray[np.bool_]

PARTS = ("jitter", "scale", "time_warp", "rotation", "crop")
AUGMENTATIONS: dict[str, dict[str, float]] = {
    "motion": {"jitter": 0.1, "scale": 0.1, "time_warp": 0.1, "rotation": 9.0},
}


def validation_mask(
    labels: Labels, groups: NDArray[Any] | None, validation: float | int | None, random: np.random.Generator
) -> tuple[int, Mask]:
    """Choose the sequences that validate: return the number of groups, or sequences, and a mask, (N,).

    `validation` is a share or number of the groups, the last ones in the order in which they appear; without groups of
    the sequences, the same share of each class, of which one at least trains. A DataError where nothing would be left
    to train on, or nothing of some class.
    """
    mask = np.zeros(len(labels), dtype=np.bool_)
    if not validation:
        return 0, mask
    if groups is None:
        share = validation if isinstance(validation, float) else validation / len(labels)
        if share >= 1:
            raise DataError(
                f"validation must leave recordings to train on: takes {validation} of {len(labels)}; use a smaller "
                "number, or validation=None"
            )
        for label in np.unique(labels):
            own = random.permutation(np.flatnonzero(labels == label))
            mask[own[: min(round(share * len(own)), len(own) - 1)]] = True
        return int(mask.sum()), mask
    names = list(dict.fromkeys(groups.tolist()))
    count = max(1, round(validation * len(names))) if isinstance(validation, float) else int(validation)
    if count >= len(names):
        if len(names) == 1:
            raise DataError(
                f"groups must be two at least, one to train on and one to validate: got 1 group, {str(names[0])!r}, "
                f"for all {len(labels)} recordings; use validation=None, or recordings without groups"
            )
        raise DataError(
            f"validation must leave a group to train on: takes {count} of {len(names)} groups; use validation <= "
            f"{len(names) - 1}"
        )
    mask = np.isin(groups, np.array(names[-count:], dtype=groups.dtype))
    lacking = sorted(set(labels.tolist()) - set(labels[~mask].tolist()))
    if lacking:
        held = shorten([repr(str(name)) for name in names[-count:]])
        raise DataError(
            f"every class must have recordings to train on: without the groups that validate ({held}) {len(lacking)} "
            f"of {len(set(labels.tolist()))} classes have none; use validation=None, or order the recordings so that "
            "other groups come last"
        )
    return count, mask


def class_weights(weight: dict[Any, float] | str | None, classes: NDArray[Any], labels: Labels) -> Floats:
    """Return the weight of a sequence of each class, (K,), 1 in the mean over those that train, with `labels` (n,).

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


def augment_problems(name: str, augment: Any) -> list[str]:
    """Require a named augmentation, or sizes of its parts."""
    if not isinstance(augment, dict):
        return one_of(name, augment, tuple(AUGMENTATIONS), [None])
    problems: list[str] = []
    for part, value in augment.items():
        if part not in PARTS:
            problems.append(Problem(f"has no part {part!r}", "", nearest(part, PARTS), parameter=name))
        problems += between(name, value, 0, {"rotation": 180, "crop": 1}.get(part, 10), part=f" {part!r}")
    return problems


def class_weight_problems(name: str, weights: Any) -> list[str]:
    """Require "balanced", or a weight for each label that has one."""
    if not isinstance(weights, dict):
        return one_of(name, weights, ("balanced",), [None])
    problems = []
    for label, value in weights.items():
        problems += between(name, value, 0, float("inf"), open_low=True, part=f" of {label!r}")
    return problems


@keyword_settings
class NeuralClassifier(NetworkEstimator, Classifier):
    """A small network, trained on labelled sequences of any length, that classifies new ones.

    Untrained it is the majority classifier: it predicts the share of each class. Scales are learned on the sequences
    that train only. Those that validate, whole groups where there are groups, choose the epoch; epoch 0, the majority
    classifier itself, is a candidate. The prediction for a sequence does not depend on its batch-mates.

    Attributes
    ----------
    classes_ : array of shape (K,)
    resolved_ : dict
        Values used where a setting left a choice: validation (sequences, or groups), max_epochs, best_epoch, device,
        head_layers (more than one after `fine_tune` with two), fused (whether fast kernels read; sizes and length of
        the training decide).
    network_ : tsforecast.networks.classify.SequenceClassifier
    scaling_ : Scaling
    scaled_on_ : dict
        Summary of the sequences that scales, and the network, were learned from: steps, and their SHA-256.
    longest_ : int
        Steps of the longest sequence that trained.
    history_ : list of Epoch
        Losses are cross entropies; skill is the share of the majority classifier's that the network removes.

    Examples
    --------
    >>> random = np.random.default_rng(0)
    >>> sequences = [np.sin(np.arange(random.integers(9, 20)) * (1 + i % 2)) for i in range(40)]
    >>> labels = ["slow", "fast"] * 20
    >>> model = NeuralClassifier("gru", units=16, layers=1, max_epochs=40, random_state=0).fit(sequences, labels)
    >>> model.score(sequences, labels)
    1.0
    """

    segment: int = setting(default=1, doc="Consecutive steps read at once (S); 1 reads step by step.")
    layers: int = 2
    dropout: float = 0.1
    bidirectional: bool = True
    pooling: Literal["mean", "max", "mean-max", "last", "attention"] = setting(
        default="mean-max",
        fixed=True,
        doc="Summary of the states at all steps; see `tsforecast.networks.layers.Pooling`.",
    )
    differences: bool = setting(
        default=False, fixed=True, doc="Read the changes since the step before as further channels."
    )
    augment: dict[str, float] | Literal["motion"] | None = setting(
        default=None,
        check=augment_problems,
        doc="Variation of the sequences that train, anew in each epoch, by any of jitter, scale, time_warp, rotation "
        "and crop; see `tsforecast.training.batches.Augmentation`. Motion is a choice for sensors with three axes.",
    )
    label_smoothing: float = setting(
        default=0.1,
        check=partial(between, low=0, high=1),
        doc="Share of each true label that is spread over all classes.",
    )
    class_weight: dict[Any, float] | Literal["balanced"] | None = setting(
        default=None,
        check=class_weight_problems,
        doc="Weight of a sequence, by its label; balanced: all classes alike, however frequent.",
    )
    learning_rate: float = 0.006
    weight_decay: float = 0.01
    batch_size: int = 32
    max_epochs: int | Literal["auto"] = setting(
        default="auto",
        doc="Epochs, unless patience ends training before. Auto: as many as make 1,200 steps, from 12 up to 300.",
    )
    patience: int | Literal["auto"] | None = None
    _epochs: ClassVar[tuple[int, int, int]] = (1_200, 12, 300)
    validation: float | int | None = setting(
        default=0.15,
        doc="Share or number of sequences kept from training, of each class alike; where there are groups, share or "
        "number of whole groups, the last ones. None trains on all for `max_epochs`.",
    )
    refit: bool = setting(
        default=False,
        doc="Train once more, on all sequences, for as many epochs as were best on validation: worth its time where "
        "groups are few, and each that validates is missed.",
    )

    def fit(
        self,
        X: Any,
        y: Any = None,
        groups: ArrayLike | None = None,
        *,
        checkpoint: str | Path | None = None,
        checkpoint_every: int | str = 1,
        resume_from: str | Path | None = None,
        on_epoch: OnEpoch | None = None,
    ) -> Self:
        """Learn from labelled sequences; see `Classifier.fit`.

        Parameters
        ----------
        X, y, groups : as in `Classifier.fit`
        checkpoint, checkpoint_every, resume_from, on_epoch
            As in `tsforecast.NeuralForecaster.fit`.

        Raises
        ------
        ParameterError, DataError, ModelFileError
        TrainingError
            When the loss is no longer a number; the classifier then has the last good weights.
        """
        panel, labels, sides = self._checked(X, y, groups)
        same = {"labels": labels.tolist(), "groups": None if sides is None else sides.tolist()}
        checkpoints = self._checkpoints(panel, same, checkpoint, checkpoint_every, resume_from)
        validates = self._split(labels, sides)
        config = self._training_config(self.resolved_["max_epochs"])
        self.history_ = []
        with observed(self, panel, on_epoch) as activity:
            sequences, network = self._prepare(panel, labels, validates)
            self.channels_ = panel.values.shape[1]  # from the first epoch on there are weights to predict with
            self._train_network(sequences, config, network, checkpoints, activity.notify)
            if self._refits(config):
                # The schedule ends with the best epoch: nothing validates, so the last weights are those that are kept.
                sequences, network = self._prepare(panel, labels, np.zeros_like(validates))
                config = self._training_config(self.resolved_["best_epoch"])
                self._train_network(sequences, config, network, checkpoints, phase="refit")
        return self

    def fine_tune(
        self,
        X: Any,
        y: Any = None,
        groups: ArrayLike | None = None,
        *,
        freeze: Literal["none", "encoder"] = "none",
        head: Literal["keep", "new"] = "keep",
        layers: Literal[1, 2] = 1,
        scaling: Literal["keep", "new"] = "keep",
        **settings: Any,
    ) -> Self:
        """Train a fitted network further, on other sequences; this classifier stays as it is.

        Parameters
        ----------
        X, y, groups : as in `fit`
            A few sequences suffice: with one of a class none validate.
        freeze, head, layers, scaling, **settings
            As in `tsforecast.NeuralForecaster.fine_tune`; a new head is for the classes of `y`, and untrained it
            predicts their shares.

        Returns
        -------
        NeuralClassifier
            A new one, fitted.

        Raises
        ------
        NotFittedError, ParameterError, DataError

        Examples
        --------
        >>> waves = [np.sin(np.arange(12) * (1 + i % 2)) for i in range(20)]
        >>> labels = ["slow", "fast"] * 10
        >>> source = NeuralClassifier(units=8, layers=1, max_epochs=20, random_state=0).fit(waves, labels)
        >>> tuned = source.fine_tune([2 * wave for wave in waves[:2]], labels[:2], max_epochs=2, learning_rate=1e-3)
        >>> tuned.classes_.tolist()
        ['fast', 'slow']
        """
        model = self._copy_to_tune(freeze, head, layers, scaling, settings)
        panel, labels, sides = model._checked(X, y, groups, reset=False, head=head)
        validates = model._split(labels, sides)
        model.resolved_["head_layers"] = layers if head == "new" else self.resolved_.get("head_layers", 1)
        if scaling == "new":
            model._scale(panel.select(~validates), labels[~validates])
        if head == "new":
            # Training draws from the same seed again, whatever the new head drew.
            with few_threads(model.units), seeded(model.random_state):
                model.network_.renew_head(model._shares(labels[~validates]), layers)
        model.channels_ = panel.values.shape[1]
        with observed(model, panel) as activity:
            config = model._training_config(model.resolved_["max_epochs"])
            model._tune_network(model._sequences(panel, labels, validates), config, freeze, None, activity.notify)
        return model

    def _split(self, labels: Labels, groups: NDArray[Any] | None) -> Mask:
        """Choose the sequences that validate, and what follows from their number."""
        known = self.classes_.tolist()
        weighted = self.class_weight if isinstance(self.class_weight, dict) else {}
        must = f"must be by labels of y, {shorten([repr(label) for label in known], 12)}"
        strange = [label for label in weighted if label not in known]
        raise_any(
            (Problem(must, f"got {label!r}", guess(label, known), parameter="class_weight") for label in strange),
            ParameterError,
        )
        random = np.random.default_rng(self.random_state)
        count, validates = validation_mask(labels, groups, self.validation, random)
        self.resolved_ = {
            "validation": count,
            "max_epochs": self.epochs(int((~validates).sum())),
            "device": str(torch_device(self.device)),
            "head_layers": 1,
        }
        return validates

    def _prepare(
        self, panel: Panel, labels: Labels, validates: Mask
    ) -> tuple[TrainingData, Callable[[], SequenceClassifier]]:
        """Learn scales on the sequences that train; return the examples, and how to build a network for them."""
        self._scale(panel.select(~validates), labels[~validates])
        self.longest_ = int(panel.lengths[~validates].max())
        shares = self._shares(labels[~validates])
        return self._sequences(panel, labels, validates), partial(self._untrained_network, shares)

    def _sequences(self, panel: Panel, labels: Labels, validates: Mask) -> TrainingData:
        """Return the scaled sequences that train, augmented, and those that validate."""
        device = torch_device(self.device)
        training, own = panel.select(~validates), labels[~validates]
        weights = class_weights(self.class_weight, self.classes_, own)
        objective = CrossEntropy(torch.from_numpy(weights).float().to(device), self.label_smoothing)

        def dataset(part: Panel, truth: Labels, augmentation: Augmentation | None = None) -> SequenceDataset:
            values = self.scaling_.transform(part.values, 0)
            return SequenceDataset(values, part.offsets, truth, part.ids, augmentation, device)

        validation = dataset(panel.select(validates), labels[validates]) if validates.any() else None
        segments = -(-int(training.lengths.mean()) // int(self.segment))
        return TrainingData(dataset(training, own, self._augmentation(device)), validation, objective, 1, segments)

    def _shares(self, labels: Labels) -> Tensor:
        """Return the weighted share of each class in training, (K,)."""
        weights = class_weights(self.class_weight, self.classes_, labels)
        counted = weights * np.bincount(labels, minlength=len(self.classes_))
        return torch.from_numpy(counted / counted.sum()).float()

    def _untrained_network(self, shares: Tensor | None = None) -> SequenceClassifier:
        """Return a network with random weights, for classes with these shares, (K,)."""
        shares = torch.ones(len(self.classes_)) if shares is None else shares
        return SequenceClassifier(
            self._architecture(), self.channels_, self.pooling, self.differences, shares, self.longest_
        )

    def _augmentation(self, device: torch.device) -> Augmentation | None:
        if not self.augment:
            return None
        parts = AUGMENTATIONS[self.augment] if isinstance(self.augment, str) else self.augment
        if parts.get("rotation") and self.scaling_.location.shape[1] % 3:
            raise DataError(
                "augment 'rotation' must have channels in threes, the axes of a sensor: got "
                f"{self.scaling_.location.shape[1]}; leave rotation out"
            )
        both = (self.scaling_.location, self.scaling_.scale)
        location, scale = (torch.from_numpy(part[0]).float().to(device) for part in both)
        return Augmentation(**parts, data_scale=(location, scale), least=self._least_steps())

    @torch.inference_mode()
    def _probabilities(self, panel: Panel) -> Floats:
        """Return the probability of each class, (N, K)."""
        self.network_.eval()
        scaled = self.scaling_.transform(panel.values, 0).astype(np.float32)
        with few_threads(self.units):
            logits = torch.empty(len(panel), len(self.network_.prior))
            for index, steps in tiles(scaled, panel.offsets):
                device = next(self.network_.parameters()).device
                logits[index] = self.network_(steps.to(device))[: len(index)].float().cpu()
        if logits.shape[1] == 1:
            second = torch.sigmoid(logits.double())
            return np.asarray(torch.cat([1 - second, second], dim=1).numpy())
        return np.asarray(torch.softmax(logits.double(), dim=1).numpy())

    def _least_steps(self) -> int:
        """Return the least number of steps of a sequence."""
        return int(self.kernel_size) if self.cell == "conv1d" else 1

    def recording_problems(self, panel: Panel) -> list[str]:
        least = self._least_steps()
        return [
            f"recording {i} must have {least} steps at least, as many as one convolution reads: it has "
            f"{panel.lengths[i]}; use a smaller kernel_size, or leave it out"
            for i in np.flatnonzero(panel.lengths < least)
        ]


@keyword_settings
class RNNClassifier(NeuralClassifier):
    """Classify with an Elman network: a `NeuralClassifier` with ``cell="rnn"``."""

    cell: Literal["rnn"] = setting(default="rnn", init=False)


@keyword_settings
class GRUClassifier(NeuralClassifier):
    """Classify with gated recurrent units: a `NeuralClassifier` with ``cell="gru"``.

    Examples
    --------
    >>> GRUClassifier(units=8).get_params()["units"]
    8
    """

    cell: Literal["gru"] = setting(default="gru", init=False)


@keyword_settings
class LSTMClassifier(NeuralClassifier):
    """Classify with long short-term memory: a `NeuralClassifier` with ``cell="lstm"``."""

    cell: Literal["lstm"] = setting(default="lstm", init=False)


@keyword_settings
class Conv1DClassifier(NeuralClassifier):
    """Classify with dilated convolutions: a `NeuralClassifier` with ``cell="conv1d"``."""

    cell: Literal["conv1d"] = setting(default="conv1d", init=False)
