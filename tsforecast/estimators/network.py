"""NetworkEstimator: settings, training, fine-tuning and saved state that all networks share."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import TransformerMixin, clone
from torch import nn

from tsforecast.checks import between, one_of, share_or_count, whole
from tsforecast.data.panel import Panel
from tsforecast.errors import ParameterError, Problem, raise_any
from tsforecast.estimators.base import Estimator, keyword_settings, optional, setting, unknown_settings
from tsforecast.estimators.quotes import Quote, quote_of, trial
from tsforecast.mapped import chunks
from tsforecast.networks.encoders import use_kernels, uses_kernels
from tsforecast.networks.kernels import choice
from tsforecast.networks.layers import Architecture, TrainableNetwork, with_weights
from tsforecast.saving.codec import typed, under
from tsforecast.training.batches import Dataset, Objective
from tsforecast.training.checkpoint import Checkpoints, parse_every
from tsforecast.training.history import Epoch, OnEpoch, best_epoch, show_epochs
from tsforecast.training.loop import TrainingConfig, covers, finished, steps_of, train
from tsforecast.training.runtime import few_threads, seeded, torch_device
from tsforecast.workers import Workers

PATIENCE, PATIENCE_SHARE = 8, 0.4  # epochs of "auto": so many at least, and the share of all

logger = logging.getLogger("tsforecast")
Kind = TypeVar("Kind")


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Examples to train and to validate on, and the objective."""

    training: Dataset[Any]
    validation: Dataset[Any] | None
    objective: Objective[Any]
    rows: int  # sequences that a cell reads for each example
    steps: int  # segments in a sequence, on average


def device_problems(name: str, device: str) -> list[str]:
    """Require "auto" or the name of a device that torch finds."""
    if device == "auto":
        return []
    try:
        torch.zeros(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        must = "must be 'auto', 'cpu' or a device that torch finds on this machine"
        return [Problem(must, f"got {device!r}", parameter=name)]
    return []


def kernels_problems(name: str, value: object) -> list[str]:
    """Require the name of a choice of kernels, and numba for "on"."""
    problems = one_of(name, value, ("auto", "on", "off"))
    if value == "on" and not choice.numba_found():
        problems.append(Problem("must be 'auto' or 'off' without numba", "got 'on'", "install numba", parameter=name))
    return problems


@keyword_settings
class NetworkEstimator(Estimator):
    """Base of forecasters and classifiers that train a network.

    Subclasses build the network, cut the data into `TrainingData`, and call `_train_network`.
    """

    cell: Literal["rnn", "gru", "lstm", "conv1d"] = setting(
        default="gru", fixed=True, kw_only=False, doc="Recurrent cell, or dilated convolutions."
    )
    segment: int | Literal["auto"] = setting(
        default="auto",
        least=1,
        fixed=True,
        doc="Consecutive steps read, and forecast, at once (S) [Lin et al. 2023, SegRNN, arXiv 2308.11200]; 1 reads "
        "step by step. Auto: the longest, up to 24, that a season is made of.",
    )
    units: int = setting(default=64, least=1, fixed=True, doc="Width of each layer (U).")
    layers: int = setting(default=1, least=1, fixed=True, doc="Number of layers.")
    dropout: float = setting(
        default=0.0,
        check=partial(between, low=0, high=1),
        doc="Share of values dropped in training, in [0, 1): after each layer and before the output.",
    )
    residual: bool = setting(
        default=False, fixed=True, doc="Add the input of a recurrent layer to its output; convolutions always do."
    )
    norm: Literal["layer", "batch"] | None = setting(default=None, fixed=True, doc="Normalisation before each layer.")
    bidirectional: bool = setting(
        default=False,
        fixed=True,
        doc="Recurrent layers read backwards, too; convolutions of a classifier look ahead as far as back.",
    )
    kernel_size: int = setting(default=3, least=1, fixed=True, doc="Segments that one convolution reads.")
    activation: Literal["relu", "gelu", "tanh", "sigmoid"] = setting(
        default="relu", fixed=True, doc="Activation of embedding, convolutions and decoder."
    )
    scaler: Literal["standard", "min-max", "robust"] | TransformerMixin | None = setting(
        default="standard", fixed=True, doc="Scaling of every column: a name, or a transformer of scikit-learn."
    )
    optimizer: Literal["adamw", "adam", "sgd"] = setting(default="adamw", doc="Optimiser; sgd has momentum 0.9.")
    learning_rate: float = setting(
        default=0.002,
        check=partial(between, low=0, high=10, open_low=True),
        doc="Highest learning rate of the schedule.",
    )
    schedule: Literal["one-cycle", "cosine", "plateau", "constant"] = setting(
        default="one-cycle",
        doc="Course of the learning rate; a plateau divides it by ten after half of `patience` (five epochs without "
        "one).",
    )
    weight_decay: float = setting(
        default=1e-4,
        check=partial(between, low=0, high=10),
        doc="L2 penalty on weights, not on biases and normalisation.",
    )
    clip: float | None = setting(
        default=1.0,
        check=optional(between, low=0, high=float("inf"), open_low=True),
        doc="Largest norm of the gradient.",
    )
    batch_size: int = setting(default=64, least=1, doc="Examples in a batch.")
    max_epochs: int | Literal["auto"] = setting(
        default="auto",
        least=0,
        doc="Epochs, unless patience ends training before. Auto: as many as make 2,400 steps, from 12 up to 100.",
    )
    steps_per_epoch: int | None = setting(
        default=200,
        least=1,
        doc="Largest number of batches in an epoch; of more examples a new sample is drawn in each epoch.",
    )
    patience: int | Literal["auto"] | None = setting(
        default="auto",
        least=1,
        doc="Epochs without a better validation loss after which training stops. Auto: two fifths of all, 8 at least.",
    )
    validation: float | int | None = setting(
        default=0.15,
        check=partial(share_or_count, also=(None,)),
        doc="Share or number of the last steps kept from training (at least `horizon`); where the data have groups, "
        "share or number of whole groups, the last ones. None trains on all for `max_epochs`.",
    )
    refit: bool = setting(
        default=False, fixed=True, doc="Train once more, on all data, for as many epochs as were best on validation."
    )
    mixed_precision: bool = setting(default=False, doc="Compute in bfloat16 where that is safe.")
    device: str = setting(
        default="auto", check=device_problems, doc='Device of torch, or "auto" for a GPU where there is one.'
    )
    kernels: Literal["auto", "on", "off"] = setting(
        default="auto",
        check=kernels_problems,
        doc="Compute recurrent layers and convolutions by compiled kernels, or by torch's modules. Auto: whichever is "
        "faster in a training of this size, by times that this machine measures once; `fine_tune` keeps the choice. On "
        "a GPU, in mixed precision, and where convolutions have a norm or no ReLU, torch computes all.",
    )
    random_state: int | None = setting(
        default=None, least=0, doc="Seed; makes a fit repeatable on the same machine and number of threads."
    )
    verbose: int = setting(
        default=0,
        check=partial(whole, least=0, also=(True, False)),
        doc="1 shows the epochs as they come, in a terminal.",
    )

    _epochs: ClassVar[tuple[int, int, int]] = (2_400, 12, 100)  # steps that "auto" makes, its fewest and most epochs

    network_: Any = dataclasses.field(init=False)
    history_: list[Epoch] = dataclasses.field(init=False)
    resolved_: dict[str, Any] = dataclasses.field(init=False)

    def _untrained_network(self) -> TrainableNetwork:
        """Return a network of the size of the fitted one, with random weights."""
        raise NotImplementedError(f"{type(self).__name__} must build its network")

    def _made(self, kind: type[Kind], **changes: Any) -> Kind:
        """Make a dataclass of the settings that it has fields for, with changes; whole numbers are Python's own."""
        settings = {field.name for field in dataclasses.fields(self)}
        shared = [field.name for field in dataclasses.fields(kind) if field.name in settings]  # type: ignore[arg-type]
        given = {name: getattr(self, name) for name in shared} | changes
        return kind(**{name: int(value) if isinstance(value, np.integer) else value for name, value in given.items()})

    def _architecture(self) -> Architecture:
        """Return the shape of the network."""
        chosen = {name: self.resolved_.get(name, getattr(self, name)) for name in ("cell", "segment")}
        return self._made(Architecture, **chosen, head_layers=self.resolved_.get("head_layers", 1))

    def epochs(self, examples: int) -> int:
        """Return the number of epochs for so many windows, or sequences, to train on; see `max_epochs`."""
        if not isinstance(self.max_epochs, str):
            return int(self.max_epochs)
        steps, fewest, most = self._epochs
        return min(most, max(fewest, -(-steps // self._training_config(0).steps(examples))))

    def _training_config(self, epochs: int) -> TrainingConfig:
        """Return how to train, for so many epochs."""
        patience = max(PATIENCE, round(PATIENCE_SHARE * epochs)) if self.patience == "auto" else self.patience
        return self._made(TrainingConfig, max_epochs=epochs, patience=patience)

    def _train_network(
        self,
        data: TrainingData,
        config: TrainingConfig,
        network: Callable[[], TrainableNetwork],
        checkpoints: Checkpoints | None = None,
        on_epoch: OnEpoch | None = None,
        phase: Literal["train", "refit", "tune"] = "train",
        workers: Workers | None = None,
    ) -> None:
        """Train the network that `network` returns, with seeded random numbers; keep history and best epoch.

        A "refit" on all data, which may follow, has no history of its own.
        """
        device = torch_device(self.device)
        before = uses_kernels(self.network_) if phase != "train" else None
        with few_threads(self.units), seeded(self.random_state):
            self.network_ = network().to(device)
            kernels = self._reads_by_kernels(data, config, device, before, workers)
            use_kernels(self.network_, kernels)
            progress = show_epochs(self.verbose, config.epochs, type(self).__name__, on_epoch)
            place = checkpoints.phase(phase) if checkpoints and phase != "tune" else None
            self.resolved_ |= {"kernels": "on" if kernels else "off"}
            self.resolved_ |= {"max_epochs": config.max_epochs, "patience": config.patience}
            parts = (self.network_, data.training, data.validation, data.objective)
            if (short := trial.get()) is None:
                history = (workers.train if workers else train)(*parts, config, device, progress, place)
            else:  # for a quote
                run, times = partial(train, *parts, device=device), 1 + (self.refit and data.validation is not None)
                history = short.run(run, config, len(data.training), times)
        if phase != "refit":
            self.history_ = history
            self.resolved_["best_epoch"] = best_epoch(history).number

    def quote(self, *data: Any, **named: Any) -> Quote:
        """Return the time and memory that `fit` would take with the same arguments; see `Quote`.

        A copy of this estimator reads the data and trains for a few short epochs on this machine, and their times are
        multiplied. Nothing is fitted, and another load on the machine is part of the quote.

        Parameters
        ----------
        *data, **named : as in `fit`

        Raises
        ------
        ParameterError, DataError
            As `fit` does.

        Examples
        --------
        >>> from tsforecast import GRUForecaster, load_dataset
        >>> quote = GRUForecaster(horizon=8, max_epochs=50).quote(load_dataset("co2-weekly"))
        >>> quote.epochs
        50
        """
        copy = clone(self).set_params(verbose=0)
        return quote_of(lambda: copy.fit(*data, **named))

    def _reads_by_kernels(
        self,
        data: TrainingData,
        config: TrainingConfig,
        device: torch.device,
        before: bool | None,
        workers: Workers | None = None,
    ) -> bool:
        """Return whether kernels read layers: as set, or as `before`, or whichever is faster here."""
        cell, count = str(self.resolved_.get("cell", self.cell)), len(data.training)
        uncovered = cell == "conv1d" and (self.norm is not None or self.activation != "relu")
        if self.kernels == "off" or uncovered or device.type != "cpu" or self.mixed_precision:
            return False
        if self.kernels == "on":
            return choice.loaded(choice.MODES[cell]) is not None
        if before is not None:
            return before
        use_kernels(self.network_, True)
        whole = steps_of if workers is None and covers(self.network_, data.training, data.objective) else None
        layers = self.network_.members * self.layers * (1 + self.bidirectional)
        reads = config.max_epochs * config.steps(count) * layers
        rows = min(config.batch_size, count) * data.rows // (workers.count if workers else 1)
        return choice.chosen(cell, reads, self.units, max(1, rows), data.steps, whole)

    def _refits(self, config: TrainingConfig) -> bool:
        """Return whether training on all data follows: requested, after a validated training that was not cut short."""
        validated = self.refit and self.resolved_["validation"] and self.history_  # none before training is over
        return bool(validated and finished(self.history_, config, validates=True))

    def _copy_to_tune(self, freeze: str, head: str, layers: int, scaling: str, settings: Mapping[str, Any]) -> Self:
        """Return a copy of this fitted estimator with other settings, once all arguments of `fine_tune` are checked."""
        self.check_fitted()
        fixed = {field.name for field in dataclasses.fields(self) if field.metadata.get("fixed")}
        problems = one_of("freeze", freeze, ("none", "encoder")) + one_of("head", head, ("keep", "new"))
        problems += one_of("scaling", scaling, ("keep", "new"))
        belongs = "belongs to the fitted network and cannot change: leave it out"
        problems += [f"{name} {belongs}" for name in settings if name in fixed]
        problems += unknown_settings(self, settings)
        if layers not in (1, 2):
            problems.append(f"layers of a new head must be 1 or 2: got {layers!r}")
        if layers == 2 and head == "keep":
            problems.append("layers=2 is for a new head: use head='new', or layers=1")
        raise_any(problems, ParameterError)
        model = copy.deepcopy(self).set_params(**settings)
        raise_any(model._problems(), ParameterError)
        return model

    def _tune_network(
        self,
        data: TrainingData,
        config: TrainingConfig,
        freeze: str,
        renew: Callable[[], None] | None,
        on_epoch: OnEpoch | None = None,
    ) -> None:
        """Train the fitted network further, with a new head where `renew` puts one in place."""

        def network() -> TrainableNetwork:
            if renew is not None:
                renew()
            self.network_.freeze(("categories.", "embed.", "encoder.") if freeze == "encoder" else ())
            return self.network_  # type: ignore[no-any-return]

        self._train_network(data, config, network, None, on_epoch, "tune")
        self.network_.freeze(())

    def _checkpoints(
        self,
        panel: Panel,
        same: Mapping[str, object],
        folder: str | Path | None,
        every: int | str,
        resume_from: str | Path | None,
    ) -> Checkpoints | None:
        """Return where training is kept and resumed from, if it is; settings, data and `same` must then be the same.

        A quote keeps nothing.
        """
        if trial.get() is not None or (folder is None and resume_from is None and every == 1):
            return None
        number, minutes = parse_every(every)
        given = {"checkpoint": folder, "resume_from": resume_from}
        problems = [
            f"{name} must be the path of a folder: got {place!r}"
            for name, place in given.items()
            if not isinstance(place, (str, Path, type(None)))
        ]
        if folder is None and every != 1:
            problems.append(f"checkpoint_every={every!r} must have a folder to write to: give checkpoint='folder'")
        raise_any(problems, ParameterError)
        digest = hashlib.sha256()
        for some in chunks(panel.values):
            digest.update(panel.values[some].astype(np.float64).tobytes())
        digest.update(panel.offsets.tobytes())
        settings = {"cell": self.cell} | self.get_params()
        plain = {name: value.item() if isinstance(value, np.generic) else value for name, value in settings.items()}
        kept = {name: repr(value) for name, value in plain.items() if name not in ("verbose", "device")}
        kept |= {name: str(value) for name, value in same.items()}
        kept["data"] = f"{len(panel)} series of {len(panel.values)} rows ({digest.hexdigest()[:12]})"
        places = [None if place is None else Path(place) for place in (folder, resume_from)]
        checkpoints = Checkpoints(places[0], number, minutes, places[1], kept)
        checkpoints.begin()
        return checkpoints

    @classmethod
    def params_for_this_machine(cls, parameters: dict[str, Any]) -> dict[str, Any]:
        """Replace a device that is not here; see `Estimator.params_for_this_machine`."""
        device = parameters.get("device", "auto")
        if not device_problems("device", device):
            return parameters
        logger.info("%s was fitted on device %r, which is not here: it is loaded with 'auto'", cls.__name__, device)
        return parameters | {"device": "auto"}

    def get_state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return the fitted state; see `Estimator.get_state`."""
        plain, arrays = super().get_state()
        network: nn.Module = plain.pop("network_")
        plain["history_"] = [dataclasses.asdict(epoch) for epoch in self.history_]
        return plain, arrays | {f"network.{name}": part.cpu().numpy() for name, part in network.state_dict().items()}

    def set_state(self, plain: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        """Restore the fitted state; see `Estimator.set_state`."""
        super().set_state(plain, arrays)
        self.history_ = [typed(Epoch, epoch) for epoch in plain["history_"]]
        network = with_weights(self._untrained_network, self.layers, under("network.", arrays))
        self.network_ = network.to(torch_device(self.device))
        fused = self.resolved_.pop("fused", False)  # its name in older models
        self.resolved_.setdefault("kernels", "on" if fused else "off")
        use_kernels(self.network_, self.resolved_["kernels"] == "on")
