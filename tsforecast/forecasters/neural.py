"""Small networks that correct the naive forecast: RNN, GRU, LSTM and Conv1D behind one class."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from tsforecast.data.anchors import Anchor
from tsforecast.data.panel import Panel
from tsforecast.data.preprocessing import Preprocessor
from tsforecast.events import observed
from tsforecast.forecasters import assembly
from tsforecast.forecasters import auto as choices
from tsforecast.forecasters.settings import setting_problems
from tsforecast.forecasters.windowed import WindowedForecaster
from tsforecast.networks.layers import under, with_weights
from tsforecast.networks.losses import LOSSES, Loss, Objective
from tsforecast.networks.recurrent import use_kernels
from tsforecast.saving.codec import typed
from tsforecast.training.checkpoint import Checkpoints
from tsforecast.training.history import Epoch, best_epoch, show_epochs
from tsforecast.training.loop import PREDICT_ROWS, finished, train
from tsforecast.training.optim import TrainingConfig
from tsforecast.training.runtime import few_threads, seeded, torch_device

Floats = NDArray[np.float64]
TILE = 64  # windows that are forecast at once are filled up to a multiple of it
STATES = 2**20  # numbers that a cell says of the windows that are forecast at once, if those are more than usual


class NeuralForecaster(WindowedForecaster):
    """A small network, trained on windows of all series at once, that corrects the naive forecast.

    Scaling is learned on the training part only. The last `validation` share of the steps chooses the
    epoch; epoch 0, the naive forecast itself, is a candidate. Past columns, columns known ahead
    (calendar features among them) and static columns of the panel are read when there are any.

    Parameters
    ----------
    cell : {"rnn", "gru", "lstm", "conv1d"}
    window : int or "auto"
        Steps to read (W). Auto: two weeks where a season is a day, else three seasons, two horizons or 24 steps,
        whichever is longest; at most a third of the shortest series' training part.
    horizon : int
        Steps to forecast (H), all at once.
    segment : int or "auto"
        Consecutive steps read, and forecast, at once (S) [Lin et al. 2023, SegRNN, arXiv 2308.11200]. 1 reads step by
        step. Auto: the longest that a season is made of, up to 24.
    units, layers : int
        Width and depth.
    dropout : float
        In [0, 1); after each layer and in the decoder.
    channels : {"independent", "joint"}
        Forecast each target from its own past (and the past columns), or all from the past of all.
    residual : bool
        Add to what a recurrent layer says what it was told; convolutions always do.
    norm : {"layer", "batch"} or None
        Normalise before each layer.
    bidirectional : bool
        Recurrent layers read the window backwards, too.
    kernel_size : int
        Segments that one convolution reads.
    activation : {"relu", "gelu", "tanh", "sigmoid"}
        Of embedding, convolutions and decoder.
    anchor : {"auto", "last", "seasonal", "average", "none"} or sequence of int
        The naive forecast that the network corrects: last value, last season, mean of the last season's values, or
        the mean of the seasonal naive forecasts of several season lengths. Auto: the one with the smallest error
        on the training part.
    value_transform : {"auto", "log", "box-cox"} or None
        Of the targets, before scaling; see `ScalingRecipe`. Auto: logarithm where all training values are well
        above zero.
    scaler : {"standard", "min-max", "robust"}, scikit-learn transformer or None
        Of every column.
    per_series : bool or "auto"
        Learn transform and scaler for each series on its own, or once for all. Auto: on its own, unless groups
        keep the series of training and test apart.
    instance_norm : bool
        Divide the targets in each window by their standard deviation there.
    loss : {"mae", "mse", "huber", "mase", "smape"} or Loss
        The first three on scaled numbers, the others in the data's units; see `tsforecast.networks.losses`.
    optimizer : {"adamw", "adam", "sgd"}
    learning_rate : float
        Highest one of the schedule.
    schedule : {"one-cycle", "cosine", "plateau", "constant"}
        Of the learning rate; a plateau divides it by ten after half of `patience` (five epochs without one).
    weight_decay : float
        L2 penalty on weights, not on biases and normalisation.
    clip : float or None
        Largest norm of the gradient.
    batch_size, max_epochs : int
    steps_per_epoch : int or None
        At most so many batches an epoch; a longer training part is drawn from anew each epoch.
    patience : int or None
        Stop after so many epochs without a better validation loss.
    validation : float, int or None
        Share or number of last steps kept from training (at least `horizon`); where the data have groups, share
        or number of whole groups instead, the last ones. None trains on all for `max_epochs`.
    refit : bool
        Train once more, on all rows, for as many epochs as were best on validation.
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
    resolved_ : dict
        What was used where there was a choice: window, segment, anchor, value_transform, per_series, season_length,
        validation (steps, or groups), best_epoch, device, head_layers (more than one after `fine_tune` with two),
        fused (whether quick kernels read, see `tsforecast.networks.fused`; sizes and length of the training decide).
    network_ : ForecastNetwork
    inputs_ : Inputs
        What was learned about scales and static categories.
    history_ : list of Epoch

    Examples
    --------
    >>> sine = np.sin(np.arange(400) * 2 * np.pi / 20)
    >>> model = NeuralForecaster("gru", window=20, horizon=5, units=8, max_epochs=3, random_state=0)
    >>> model.fit(sine).predict().shape
    (5,)
    """

    def __init__(
        self,
        cell: str = "gru",
        window: int | str = "auto",
        horizon: int = 1,
        segment: int | str = "auto",
        units: int = 64,
        layers: int = 1,
        dropout: float = 0.0,
        channels: str = "independent",
        residual: bool = False,
        norm: str | None = None,
        bidirectional: bool = False,
        kernel_size: int = 3,
        activation: str = "relu",
        anchor: Anchor = "auto",
        value_transform: str | None = "auto",
        scaler: Any = "standard",
        per_series: bool | str = "auto",
        instance_norm: bool = False,
        loss: str | Loss = "mae",
        optimizer: str = "adamw",
        learning_rate: float = 0.002,
        schedule: str = "one-cycle",
        weight_decay: float = 1e-4,
        clip: float | None = 1.0,
        batch_size: int = 64,
        max_epochs: int = 20,
        steps_per_epoch: int | None = 200,
        patience: int | None = 8,
        validation: float | int | None = 0.15,
        refit: bool = False,
        mixed_precision: bool = False,
        device: str = "auto",
        random_state: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.cell = cell
        self.window = window
        self.horizon = horizon
        self.segment = segment
        self.units = units
        self.layers = layers
        self.dropout = dropout
        self.channels = channels
        self.residual = residual
        self.norm = norm
        self.bidirectional = bidirectional
        self.kernel_size = kernel_size
        self.activation = activation
        self.anchor = anchor
        self.value_transform = value_transform
        self.scaler = scaler
        self.per_series = per_series
        self.instance_norm = instance_norm
        self.loss = loss
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
        data: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        checkpoint: str | Path | None = None,
        checkpoint_every: int | str = 1,
        resume_from: str | Path | None = None,
        on_epoch: Callable[[Epoch], None] | None = None,
    ) -> Self:
        """Learn from one or many series, or from supervised windows; see `Forecaster.fit`.

        Ctrl-C ends training early and keeps the best network so far, with a warning.

        Parameters
        ----------
        checkpoint : path, optional
            Folder to keep the state of training in.
        checkpoint_every : int or str
            Epochs between checkpoints, or minutes, as in ``"10min"``.
        resume_from : path, optional
            Folder of a checkpoint to go on from, with the same data and settings. The weights will be those of
            a fit that was never interrupted, to the bit on the same machine and number of threads.
        on_epoch : callable, optional
            Called with each epoch when it is over and kept; the forecaster can be asked to `forecast` meanwhile. Not
            called while `refit` trains once more.

        Raises
        ------
        ParameterError, DataError, ModelFileError
        TrainingError
            When the loss is no longer a number; the forecaster then has the last good weights.
        """
        panel = self._checked(data, y, sample_weight)
        checkpoints = assembly.checkpoints(self, panel, checkpoint, checkpoint_every, resume_from)
        checkpoints.begin()
        with observed(self, panel) as activity:
            seen = self._prepare(panel)
            plan, train = assembly.plan(self), checkpoints.phase("train")
            with self._torch_settings():
                self.network_ = assembly.network(self, panel).to(self._torch_device())
                self.history_: list[Epoch] = []
                self._remember(panel)  # from here on there are weights to forecast with, whatever happens
                self.history_ = self._train(panel, seen, plan, train, activity.with_callback(on_epoch))
            self.resolved_["best_epoch"] = best_epoch(self.history_).number
            validates = self.refit and self.resolved_["validation"]
            if validates and finished(self.history_, plan, validates=True):  # not cut short
                self._train_on_all(panel, checkpoints.phase("refit"))
        return self

    def fine_tune(
        self,
        data: Any,
        *,
        freeze: Literal["none", "encoder"] = "none",
        head: Literal["keep", "new"] = "keep",
        layers: Literal[1, 2] = 1,
        scaling: Literal["keep", "new"] = "keep",
        **settings: Any,
    ) -> Self:
        """Train a fitted network further, on other data; this forecaster stays as it is.

        Parameters
        ----------
        data : like the data that were fitted
        freeze : {"none", "encoder"}
            What must not change: nothing, or what reads the window (``embed.*`` and ``encoder.*``).
        head : {"keep", "new"}
            Go on with the last layer, or put a new one in its place. A new one starts from the naive forecast.
        layers : {1, 2}
            Linear layers of a new head; two have an activation and dropout between them.
        scaling : {"keep", "new"}
            Keep what was learned of scales and categories, or learn it anew from the training part of `data`.
            Series that were not fitted have no scales to keep: theirs are learned.
        **settings
            Parameters of the new forecaster that differ, such as ``max_epochs=5, learning_rate=1e-4``.

        Returns
        -------
        NeuralForecaster
            A new one, fitted.

        Raises
        ------
        NotFittedError, ParameterError, DataError

        Examples
        --------
        >>> sine = np.sin(np.arange(400) * 2 * np.pi / 20)
        >>> source = NeuralForecaster(window=20, horizon=5, units=8, max_epochs=3, random_state=0).fit(sine)
        >>> tuned = source.fine_tune(3 * sine[:100], freeze="encoder", head="new", max_epochs=1)
        >>> tuned.predict().shape
        (5,)
        """
        from tsforecast.forecasters.transfer import fine_tuned

        return fine_tuned(self, data, freeze, head, layers, scaling, settings)

    def _training_rows(self, panel: Panel) -> tuple[int, NDArray[np.int64]]:
        return choices.training_rows(panel, self.validation, self.horizon_)

    def _resolve(self, panel: Panel, seen: NDArray[np.int64], past: Panel) -> dict[str, Any]:
        segment = choices.segment(self.segment, panel.season_length)
        return super()._resolve(panel, seen, past) | {
            "segment": segment,
            "device": str(self._torch_device()),
            "head_layers": 1,
        }

    def _train(
        self,
        panel: Panel,
        seen: NDArray[np.int64],
        plan: TrainingConfig,
        checkpoints: Checkpoints | None,
        on_epoch: Callable[[Epoch], None] | None = None,
    ) -> list[Epoch]:
        """Train the network on the first `seen` rows of each series; the rest validates."""
        inputs = self.inputs_
        if not seen.all():  # the first window of a series that only validates gives it a scale, as if it were new
            first = np.minimum(self.resolved_["window"], panel.lengths)
            inputs = inputs.with_series(panel.until(np.where(seen > 0, seen, first)))
        training, validation = assembly.windows(self, inputs, panel, seen)
        self.resolved_["fused"] = assembly.fuse(self, plan, len(training))
        device = self._torch_device()
        objective = Objective(
            self._loss(), assembly.units(self, inputs, panel, seen, device), assembly.weights(panel, device)
        )
        with show_epochs(self.verbose, plan.epochs, type(self).__name__) as show:

            def report(epoch: Epoch) -> None:
                show(epoch)
                if on_epoch:
                    on_epoch(epoch)

            return train(self.network_, training, validation, objective, plan, device, report, checkpoints)

    def _train_on_all(self, panel: Panel, checkpoints: Checkpoints) -> None:
        """Begin anew with all rows, for as many epochs as were best."""
        self.inputs_ = Preprocessor.fit(panel, self._recipe())
        plan = replace(assembly.plan(self), stop=self.resolved_["best_epoch"])
        with self._torch_settings():
            self.network_ = assembly.network(self, panel).to(self._torch_device())
            self._train(panel, panel.lengths, plan, checkpoints)

    @contextmanager
    def _torch_settings(self) -> Iterator[None]:
        """Seed torch, and run small networks on one thread, for a while."""
        with few_threads(self.units), seeded(self.random_state):
            yield

    @torch.inference_mode()
    def _corrections(self, rows: Floats, ahead: Floats, static: NDArray[np.float32]) -> Floats:
        """Return what the network says; see `WindowedForecaster._corrections`."""
        device = next(self.network_.parameters()).device
        self.network_.eval()
        whole = [torch.from_numpy(np.nan_to_num(part).astype(np.float32)) for part in (rows, ahead, static)]
        said, at_once = [], max(PREDICT_ROWS, int(STATES // (rows.shape[1] * self.units) // TILE * TILE))
        with few_threads(self.units):
            for batch in zip(*(torch.split(part, at_once) for part in whole), strict=True):
                # Blocks of one size: a matrix product of another size may round in another way, and what is said of a
                # window must not depend on its batch-mates.
                filled = [F.pad(part, (0, 0) * (part.ndim - 1) + (0, -len(part) % TILE)).to(device) for part in batch]
                said.append(self._loss().point(self.network_(*filled, add_anchor=False))[: len(batch[0])].cpu())
            return np.asarray(torch.cat(said).numpy(), dtype=np.float64)

    def get_state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return what `fit` found; see `Estimator.get_state`."""
        plain, numbers = super().get_state()
        network = plain.pop("network_")
        plain["history_"] = [asdict(epoch) for epoch in self.history_]
        return plain, numbers | {f"network.{name}": part.cpu().numpy() for name, part in network.state_dict().items()}

    def learned_rows(self) -> NDArray[np.int64]:
        """Return how many first rows of each series trained; all where it was trained once more on them."""
        again = self.refit and finished(self.history_, assembly.plan(self), validates=True)
        return self.panel_.lengths if again else self._training_rows(self.panel_)[1]

    def set_state(self, learned: dict[str, Any], numbers: dict[str, NDArray[Any]]) -> None:
        """Restore what `get_state` returned; see `Estimator.set_state`."""
        super().set_state(learned, numbers)
        self.history_ = [typed(Epoch, epoch) for epoch in learned["history_"]]
        build = partial(assembly.network, self, self.panel_)
        self.network_ = with_weights(build, self.layers, under("network.", numbers)).to(self._torch_device())
        use_kernels(self.network_, bool(self.resolved_.get("fused", False)))

    def _loss(self) -> Loss:
        return LOSSES[self.loss] if isinstance(self.loss, str) else self.loss

    def _torch_device(self) -> torch.device:
        return torch_device(self.device)

    def _problems(self) -> list[str]:
        return super()._problems() + setting_problems(self)
