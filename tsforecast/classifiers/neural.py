"""Small networks that recognise recordings: RNN, GRU, LSTM and Conv1D behind one class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from tsforecast.classifiers import choices
from tsforecast.classifiers.base import Classifier, Floats, Labels, learned_from
from tsforecast.classifiers.settings import AUGMENTATIONS, setting_problems
from tsforecast.data.panel import Panel
from tsforecast.data.scaling import Scaling, ScalingRecipe
from tsforecast.errors import DataError
from tsforecast.events import observed
from tsforecast.forecasters import assembly
from tsforecast.networks.classify import CrossEntropy, SequenceClassifier
from tsforecast.networks.layers import Architecture, under, with_weights
from tsforecast.networks.recurrent import choose_kernels, use_kernels
from tsforecast.saving.codec import typed
from tsforecast.training.batches import Augmentation, SequenceDataset, tiles
from tsforecast.training.checkpoint import Checkpoints
from tsforecast.training.history import Epoch, best_epoch, show_epochs
from tsforecast.training.loop import finished, train
from tsforecast.training.runtime import few_threads, seeded, torch_device


class NeuralClassifier(Classifier):
    """A small network, trained on labelled recordings of any length, that says which class another one belongs to.

    Untrained it is the majority classifier: it says how frequent each class is. Scales are learned on the recordings
    that train only. Those that validate, whole groups where there are groups, choose the epoch; epoch 0, the majority
    classifier itself, is a candidate. What is said of a recording does not depend on others that are asked about.

    Parameters
    ----------
    cell : {"rnn", "gru", "lstm", "conv1d"}
    segment : int
        Consecutive steps read at once (S); 1 reads step by step.
    units, layers : int
        Width and depth.
    dropout : float
        In [0, 1); after each layer and before the last one.
    residual : bool
        Add to what a recurrent layer says what it was told; convolutions always do.
    norm : {"layer"} or None
        Normalise before each layer.
    bidirectional : bool
        Read recordings backwards, too; convolutions look ahead as far as back.
    kernel_size : int
        Steps (segments) that one convolution reads.
    activation : {"relu", "gelu", "tanh", "sigmoid"}
        Of embedding and convolutions.
    pooling : {"mean-max", "mean", "max", "last", "attention"}
        How the states at all steps become one; see `tsforecast.networks.layers`.
    differences : bool
        Read what changed since the step before as further channels.
    scaler : {"standard", "min-max", "robust"}, scikit-learn transformer or None
        Of every channel.
    augment : dict of floats, "motion" or None
        Vary recordings that train, anew in each epoch, by any of ``jitter``, ``scale``, ``time_warp``, ``rotation`` and
        ``crop``; see `tsforecast.training.batches`. Motion is a choice for sensors with three axes.
    label_smoothing : float
        Share of each truth that is spread over all classes.
    class_weight : dict, "balanced" or None
        How much a recording counts, by its label; balanced: all classes alike, however frequent.
    optimizer : {"adamw", "adam", "sgd"}
    learning_rate : float
        Highest one of the schedule.
    schedule : {"one-cycle", "cosine", "plateau", "constant"}
    weight_decay : float
        L2 penalty on weights, not on biases and normalisation.
    clip : float or None
        Largest norm of the gradient.
    batch_size : int
    max_epochs : int or "auto"
        Auto: as many as make 1,200 steps, from 12 up to 300.
    steps_per_epoch : int or None
        At most so many batches an epoch.
    patience : int or None
        Stop after so many epochs without a better validation loss.
    validation : float, int or None
        Share or number of recordings kept from training, of each class alike; where there are groups, share or number
        of whole groups instead, the last ones. None trains on all for `max_epochs`.
    refit : bool
        Train once more, on all recordings, for as many epochs as were best on validation: worth its time where groups
        are few, and each that validates is missed.
    mixed_precision : bool
        Compute in bfloat16 where that is safe.
    device : str
        A torch device, or "auto" for a GPU where there is one.
    random_state : int or None
        Makes a fit repeatable on the same machine and number of threads.
    verbose : int
        1 shows the epochs as they come, in a terminal.

    Attributes
    ----------
    classes_ : array of shape (K,)
    resolved_ : dict
        What was used where there was a choice: validation (recordings, or groups), max_epochs, best_epoch, device,
        fused (whether quick kernels read; sizes and length of the training decide).
    network_ : ClassNetwork
    scaling_ : Scaling
    scaled_on_ : dict
        What scales, and the network, were learned from: recordings and steps, and their SHA-256.
    longest_ : int
        Steps of the longest recording that trained.
    history_ : list of Epoch
        Losses are cross entropies; skill is the share of the majority classifier's that the network removes.

    Examples
    --------
    >>> random = np.random.default_rng(0)
    >>> recordings = [np.sin(np.arange(random.integers(9, 20)) * (1 + i % 2)) for i in range(40)]
    >>> labels = ["slow", "fast"] * 20
    >>> model = NeuralClassifier("gru", units=16, layers=1, max_epochs=40, random_state=0).fit(recordings, labels)
    >>> model.score(recordings, labels)
    1.0
    """

    resolved_: dict[str, Any]
    network_: SequenceClassifier
    scaling_: Scaling
    scaled_on_: dict[str, Any]
    longest_: int
    history_: list[Epoch]

    def __init__(
        self,
        cell: str = "gru",
        segment: int = 1,
        units: int = 64,
        layers: int = 2,
        dropout: float = 0.1,
        residual: bool = False,
        norm: str | None = None,
        bidirectional: bool = True,
        kernel_size: int = 3,
        activation: str = "relu",
        pooling: str = "mean-max",
        differences: bool = False,
        scaler: Any = "standard",
        augment: dict[str, float] | str | None = None,
        label_smoothing: float = 0.1,
        class_weight: dict[Any, float] | str | None = None,
        optimizer: str = "adamw",
        learning_rate: float = 0.006,
        schedule: str = "one-cycle",
        weight_decay: float = 0.01,
        clip: float | None = 1.0,
        batch_size: int = 32,
        max_epochs: int | str = "auto",
        steps_per_epoch: int | None = 200,
        patience: int | None = None,
        validation: float | int | None = 0.15,
        refit: bool = False,
        mixed_precision: bool = False,
        device: str = "auto",
        random_state: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.cell = cell
        self.segment = segment
        self.units = units
        self.layers = layers
        self.dropout = dropout
        self.residual = residual
        self.norm = norm
        self.bidirectional = bidirectional
        self.kernel_size = kernel_size
        self.activation = activation
        self.pooling = pooling
        self.differences = differences
        self.scaler = scaler
        self.augment = augment
        self.label_smoothing = label_smoothing
        self.class_weight = class_weight
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.weight_decay = weight_decay
        self.clip = clip
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.steps_per_epoch = steps_per_epoch
        self.patience = patience
        self.validation = validation
        self.refit = refit
        self.mixed_precision = mixed_precision
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def fit(
        self,
        X: Any,
        y: Any = None,
        groups: ArrayLike | None = None,
        *,
        checkpoint: str | Path | None = None,
        checkpoint_every: int | str = 1,
        resume_from: str | Path | None = None,
        on_epoch: Callable[[Epoch], None] | None = None,
    ) -> Self:
        """Learn from labelled recordings; see `Classifier.fit`.

        Ctrl-C ends training early and keeps the best network so far, with a warning.

        Parameters
        ----------
        checkpoint, checkpoint_every, resume_from, on_epoch
            As in `tsforecast.NeuralForecaster.fit`.

        Raises
        ------
        ParameterError, DataError, ModelFileError
        TrainingError
            When the loss is no longer a number; the classifier then has the last good weights.
        """
        panel, labels, sides = self._checked(X, y, groups)
        facts = {"labels": str(labels.tolist()), "groups": str(None if sides is None else sides.tolist())}
        checkpoints = assembly.kept_in(self, panel, facts, checkpoint, checkpoint_every, resume_from)
        checkpoints.begin()
        random = np.random.default_rng(self.random_state)
        count, validates = choices.validating(labels, sides, self.validation, random)
        epochs = self.epochs(int((~validates).sum()))
        self.resolved_ = {"validation": count, "max_epochs": epochs, "device": str(torch_device(self.device))}
        self.history_ = []
        with observed(self, panel) as activity:
            train = checkpoints.phase("train")
            self.history_ = self._train(panel, labels, validates, epochs, train, activity.with_callback(on_epoch))
            best = self.resolved_["best_epoch"] = best_epoch(self.history_).number
            if self.refit and count and finished(self.history_, assembly.plan(self, epochs), validates=True):
                # The schedule ends with the best epoch: nothing validates, so the last weights are those that are kept.
                self._train(panel, labels, np.zeros_like(validates), best, checkpoints.phase("refit"), None)
        return self

    def epochs(self, recordings: int) -> int:
        """Return the epochs that training on so many recordings takes."""
        return choices.epochs(self.max_epochs, assembly.plan(self, 0).steps(recordings))

    def fine_tune(
        self,
        X: Any,
        y: Any = None,
        groups: ArrayLike | None = None,
        *,
        freeze: Literal["none", "encoder"] = "none",
        head: Literal["keep", "new"] = "keep",
        scaling: Literal["keep", "new"] = "keep",
        **settings: Any,
    ) -> Self:
        """Train a fitted network further, on other recordings; this classifier stays as it is.

        Parameters
        ----------
        X, y, groups : as in `fit`
            Few recordings do: those that validate are chosen as in `fit`, and with one recording of a class none are.
        freeze : {"none", "encoder"}
            What must not change: nothing, or what reads the recording (``embed.*`` and ``encoder.*``).
        head : {"keep", "new"}
            Go on with the last layer, or put a new one in its place, which says the classes of `y`: untrained it is
            their majority.
        scaling : {"keep", "new"}
            Keep what was learned of scales, or learn it anew from the recordings that train.
        **settings
            Parameters of the new classifier that differ, such as ``max_epochs=30, learning_rate=1e-3``.

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
        from tsforecast.classifiers.transfer import fine_tuned

        return fine_tuned(self, X, y, groups, freeze, head, scaling, settings)

    def _train(
        self,
        panel: Panel,
        labels: Labels,
        validates: choices.Mask,
        epochs: int,
        checkpoints: Checkpoints,
        on_epoch: Callable[[Epoch], None] | None,
    ) -> list[Epoch]:
        """Learn scales, and train a new network, on all recordings but those that validate."""
        scaling = self._scaling(panel.select(~validates), labels[~validates])
        return self._learn(panel, labels, validates, epochs, checkpoints, on_epoch, scaling)

    def _scaling(self, panel: Panel, labels: Labels) -> Scaling:
        """Learn the scales of recordings."""
        self.scaled_on_ = learned_from(panel, labels)
        recipe = ScalingRecipe(None, self.scaler, per_series=False)
        return recipe.fit(panel.values, panel.offsets[[0, -1]], panel.n_targets)

    def _learn(
        self,
        panel: Panel,
        labels: Labels,
        validates: choices.Mask,
        epochs: int,
        checkpoints: Checkpoints | None,
        on_epoch: Callable[[Epoch], None] | None,
        scaling: Scaling,
        network: SequenceClassifier | None = None,
    ) -> list[Epoch]:
        """Train a new network, or one that is there, on recordings in their scales."""
        device = torch_device(self.device)
        training, own = panel.select(~validates), labels[~validates]
        weights = choices.class_weights(self.class_weight, self.classes_, own)
        objective = CrossEntropy(torch.from_numpy(weights).float().to(device), self.label_smoothing)

        def examples(part: Panel, truth: Labels, augmentation: Augmentation | None = None) -> SequenceDataset:
            return SequenceDataset(
                scaling.transform(part.values, 0), part.offsets, truth, part.ids, augmentation, device
            )

        learned = examples(training, own, self._augmentation(scaling, device))
        judged = examples(panel.select(validates), labels[validates]) if validates.any() else None
        plan = assembly.plan(self, epochs)
        with (
            few_threads(self.units),
            seeded(self.random_state),
            show_epochs(self.verbose, plan.epochs, type(self).__name__) as show,
        ):
            if network is None:
                self.longest_ = int(training.lengths.max())
                network = self._network(panel.values.shape[1], self._shares(own), self.longest_).to(device)
            self.scaling_, self.network_ = scaling, network
            rows, steps = min(plan.batch_size, len(training)), -(-int(training.lengths.mean()) // int(self.segment))
            batches = plan.max_epochs * plan.steps(len(training))
            self.resolved_["fused"] = choose_kernels(network, batches, rows, steps)
            self.channels_ = panel.values.shape[1]  # from here on there are weights to answer with, whatever happens

            def report(epoch: Epoch) -> None:
                show(epoch)
                if on_epoch:
                    on_epoch(epoch)

            return train(self.network_, learned, judged, objective, plan, device, report, checkpoints)

    def _shares(self, labels: Labels) -> Tensor:
        """Return how much of what is learned from each class is, (K,)."""
        weights = choices.class_weights(self.class_weight, self.classes_, labels)
        counted = weights * np.bincount(labels, minlength=len(self.classes_))
        return torch.from_numpy(counted / counted.sum()).float()

    def get_state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return what `fit` found; see `Estimator.get_state`."""
        plain, numbers = super().get_state()
        network, scaling = plain.pop("network_"), plain.pop("scaling_")
        plain["history_"] = [asdict(epoch) for epoch in self.history_]
        weights = {f"network.{name}": part.cpu().numpy() for name, part in network.state_dict().items()}
        return plain, numbers | weights | scaling.numbers()

    def set_state(self, learned: dict[str, Any], numbers: dict[str, NDArray[Any]]) -> None:
        """Restore what `get_state` returned; see `Estimator.set_state`."""
        super().set_state(learned, numbers)
        self.history_ = [typed(Epoch, epoch) for epoch in learned["history_"]]
        self.scaling_ = Scaling.from_numbers(numbers, False, 1, self.channels_, self.channels_)
        build = partial(self._network, self.channels_, torch.ones(len(self.classes_)), self.longest_)
        weights = under("network.", numbers)
        self.network_ = with_weights(build, self.layers, weights).to(torch_device(self.device))
        use_kernels(self.network_, bool(self.resolved_.get("fused", False)))

    def _network(self, channels: int, shares: Tensor, length: int) -> SequenceClassifier:
        """Return an untrained network for recordings of up to `length` steps and classes with these shares."""
        architecture = Architecture(
            cell=self.cell,
            units=int(self.units),
            layers=int(self.layers),
            segment=int(self.segment),
            residual=self.residual,
            norm=self.norm,
            dropout=self.dropout,
            bidirectional=self.bidirectional,
            kernel_size=int(self.kernel_size),
            activation=self.activation,
        )
        return SequenceClassifier(architecture, channels, self.pooling, self.differences, shares, length)

    def _augmentation(self, scaling: Scaling, device: torch.device) -> Augmentation | None:
        if not self.augment:
            return None
        parts = AUGMENTATIONS[self.augment] if isinstance(self.augment, str) else self.augment
        if parts.get("rotation") and scaling.location.shape[1] % 3:
            raise DataError(
                "augment 'rotation' must have channels in threes, the axes of a sensor: got "
                f"{scaling.location.shape[1]}; leave rotation out"
            )
        location, scale = (torch.from_numpy(part[0]).float().to(device) for part in (scaling.location, scaling.scale))
        return Augmentation(**parts, units=(location, scale), least=self._least_steps())

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
        """Return the steps that a recording must have."""
        return int(self.kernel_size) if self.cell == "conv1d" else 1

    def recording_problems(self, panel: Panel) -> list[str]:
        least = self._least_steps()
        return [
            f"recording {i} must have {least} steps at least, as many as one convolution reads: it has "
            f"{panel.lengths[i]}; use a smaller kernel_size, or leave it out"
            for i in np.flatnonzero(panel.lengths < least)
        ]

    def _problems(self) -> list[str]:
        return super()._problems() + setting_problems(self)
