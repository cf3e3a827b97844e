"""NeuralForecaster and its four names: small networks that correct the naive forecast."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from tsforecast.checks import one_of
from tsforecast.data.panel import Panel
from tsforecast.data.preprocessing import Preprocessor
from tsforecast.data.scaling import SCALERS, seasonal_scale
from tsforecast.data.windows import Windows
from tsforecast.errors import DataError, Problem, raise_any
from tsforecast.estimators.base import keyword_settings, setting
from tsforecast.estimators.network import NetworkEstimator, TrainingData
from tsforecast.events import observed
from tsforecast.forecasters import auto
from tsforecast.forecasters.windowed import WindowedForecaster
from tsforecast.networks.forecast import ForecastNetwork
from tsforecast.networks.losses import LOSSES, DataScale, Loss, Objective, loss_problems
from tsforecast.training.history import OnEpoch
from tsforecast.training.loop import PREDICT_ROWS
from tsforecast.training.runtime import few_threads, torch_device

Floats = NDArray[np.float64]
TILE = 64  # windows that are forecast at once are filled up to a multiple of it
STATES = 2**20  # numbers in the states of the windows that are forecast at once, if those are more than usual


def _loss_problems(name: str, loss: Any) -> list[str]:
    """Require the name of a loss, or a loss that works."""
    if isinstance(loss, Loss):
        return loss_problems(loss)
    if isinstance(loss, str):
        return one_of(name, loss, tuple(LOSSES))
    names = ", ".join(map(repr, LOSSES))
    must = f"must be one of {names}, or an instance of your own subclass of tsforecast.networks.losses.Loss"
    return [Problem(must, f"got {loss!r}", parameter=name)]


@keyword_settings
class NeuralForecaster(NetworkEstimator, WindowedForecaster):
    """A small network, trained on windows of all series at once, that corrects the naive forecast.

    Scaling is learned on the training part only. The last `validation` share of the steps chooses the
    epoch; epoch 0, the naive forecast itself, is a candidate. Past, future and static covariates of the panel
    (calendar features among them) are read when there are any.

    Attributes
    ----------
    resolved_ : dict
        Values used where a setting left a choice: window, segment, anchor, value_transform, per_series, season_length,
        validation (steps, or groups), best_epoch, device, head_layers (more than one after `fine_tune` with two),
        fused (whether fast kernels read, see `tsforecast.networks.kernels`; sizes and length of the training decide).
    network_ : ForecastNetwork
    inputs_ : Preprocessor
        Scaling and static categories, learned on the training part.
    history_ : list of Epoch

    Examples
    --------
    >>> sine = np.sin(np.arange(400) * 2 * np.pi / 20)
    >>> model = NeuralForecaster("gru", window=20, horizon=5, units=8, max_epochs=3, random_state=0)
    >>> model.fit(sine).predict().shape
    (5,)
    """

    channels: Literal["independent", "joint"] = setting(
        default="independent",
        fixed=True,
        doc="Forecast each target from its own past (and the covariates), or all from the past of all.",
    )
    loss: Literal["mae", "mse", "huber", "mase", "smape"] | Loss = setting(
        default="mae",
        check=_loss_problems,
        doc="Training loss: the first three on scaled numbers, the others in the data's units; or an instance of your "
        "own subclass of `tsforecast.networks.losses.Loss`.",
    )
    max_epochs: int = 20

    def fit(
        self,
        data: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        checkpoint: str | Path | None = None,
        checkpoint_every: int | str = 1,
        resume_from: str | Path | None = None,
        on_epoch: OnEpoch | None = None,
    ) -> Self:
        """Learn from one or many series, or from supervised windows; see `Forecaster.fit`.

        Ctrl-C ends training early and keeps the best network so far, with a warning.

        Parameters
        ----------
        data, y, sample_weight : as in `Forecaster.fit`
        checkpoint : path, optional
            Folder to keep the state of training in.
        checkpoint_every : int or str
            Epochs between checkpoints, or minutes, as in ``"10min"``.
        resume_from : path, optional
            Folder of a checkpoint to resume from, with the same data and settings. The weights will be those of
            a fit that was never interrupted, to the bit on the same machine and number of threads.
        on_epoch : callable, optional
            Called with each epoch when it is over and kept; the forecaster can `forecast` meanwhile. Not called
            while `refit` trains once more.

        Raises
        ------
        ParameterError, DataError, ModelFileError
        TrainingError
            When the loss is no longer a number; the forecaster then has the last good weights.
        """
        panel = self._checked(data, y, sample_weight)
        same = {"frequency": panel.frequency, "season_length": panel.season_length}
        checkpoints = self._checkpoints(panel, same, checkpoint, checkpoint_every, resume_from)
        with observed(self, panel, on_epoch) as activity:
            part, trains = self._split(panel)
            self.inputs_ = Preprocessor.fit(part.until(trains), self._recipe())
            windows, config = self._windows(part, trains), self._training_config()
            self.history_ = []
            self._remember(panel)  # from the first epoch on there are weights to forecast with
            self._train_network(windows, config, self._untrained_network, checkpoints, activity.notify)
            if self._refits(config):
                self.inputs_ = Preprocessor.fit(part, self._recipe())
                windows = self._windows(part, part.lengths)
                config = replace(config, stop=self.resolved_["best_epoch"])
                self._train_network(windows, config, self._untrained_network, checkpoints, phase="refit")
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
            Parameters that stay as they are: none, or those that read the window (``embed.*`` and ``encoder.*``).
        head : {"keep", "new"}
            Continue with the last layer, or replace it; a new one starts from the naive forecast.
        layers : {1, 2}
            Linear layers of a new head; two have an activation and dropout between them.
        scaling : {"keep", "new"}
            Keep scaling and categories, or learn them anew from the training part of `data`. Series that were not
            fitted have no scales to keep: theirs are learned.
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
        model = self._copy_to_tune(freeze, head, layers, scaling, settings)
        panel = self.panel_.read_like(data, what="the data to tune on")
        held_out, trains = model._training_rows(panel)
        # Refuse data that are too short.
        auto.window(panel, lambda _: trains, self.resolved_["window"], self.horizon_, fixed=True)
        past = panel.until(trains)
        if scaling == "keep":
            raise_any(f"{problem}; use scaling='new'" for problem in self.inputs_.beyond_transform(past))
        model.inputs_ = Preprocessor.fit(past, model._recipe()) if scaling == "new" else self.inputs_.with_series(past)
        model.resolved_ |= {"validation": held_out} | ({"head_layers": layers} if head == "new" else {})
        renew = partial(model.network_.renew_head, layers) if head == "new" else None
        with observed(model, panel) as activity:
            windows = model._windows(panel, trains)
            model._tune_network(windows, model._training_config(), freeze, renew, activity.notify)
            model._remember(panel)
        return model

    def _training_rows(self, panel: Panel, horizon: int | None = None) -> tuple[int, NDArray[np.int64]]:
        return auto.training_rows(panel, self.validation, horizon or self.horizon_)

    def _resolve(self, panel: Panel, past: Panel) -> dict[str, Any]:
        return super()._resolve(panel, past) | {
            "segment": auto.segment(self.segment, panel.season_length),
            "device": str(torch_device(self.device)),
            "head_layers": 1,
        }

    def _windows(self, panel: Panel, trains: NDArray[np.int64]) -> TrainingData:
        """Return the windows whose targets lie in the first rows of each series that train, and those of the rest."""
        inputs, window = self.inputs_, self.resolved_["window"]
        if not trains.all():  # the first window of a series that only validates gives it a scale, as if it were new
            first = np.minimum(window, panel.lengths)
            inputs = inputs.with_series(panel.until(np.where(trains > 0, trains, first)))
        values, truth = inputs.rows(panel)
        device = torch_device(self.device)
        cut = partial(
            Windows,
            values,
            truth,
            panel.offsets,
            window,
            self.horizon_,
            ahead=len(panel.roles.future),
            static=inputs.static(panel),
            names=panel.ids,
            device=device,
        )
        begin = panel.target_starts
        validation = cut(first=np.maximum(trains, begin)) if np.any(trains < panel.lengths) else None
        if validation is not None and not len(validation):
            raise DataError(
                f"validation must have a window: none of the held-out groups has a series of "
                f"{window} + {self.horizon_} steps; use a smaller window, or validation=None"
            )
        weights = None
        if panel.weights is not None:  # 1 in the mean
            weights = torch.from_numpy((panel.weights / panel.weights.mean()).astype(np.float32)).to(device)
        objective = Objective(self._loss(), self._loss_units(inputs, panel, trains, device), weights)
        rows = 1 if self.channels == "joint" else panel.n_targets
        segments = -(-window // self.resolved_["segment"])
        return TrainingData(cut(first=begin, last=trains), validation, objective, rows, segments)

    def _loss_units(
        self, inputs: Preprocessor, panel: Panel, trains: NDArray[np.int64], device: torch.device
    ) -> DataScale:
        """Return the scale of each series for the loss, learned on its rows that train."""
        scaling, targets = inputs.of(panel), panel.n_targets
        naive = np.ones((len(panel), targets))
        for i in range(len(panel)) if self._loss().needs_scale else ():
            for k in range(targets):
                error, _ = seasonal_scale(panel.series(i)[: trains[i] or None, k], panel.season_length)
                naive[i, k] = error if error > 0 else 1.0
        parts = (scaling.location[:, :targets], scaling.scale[:, :targets], scaling.shift, scaling.power, naive)
        location, scale, shift, power, mae = (torch.from_numpy(part.astype(np.float32)).to(device) for part in parts)
        return DataScale(location, scale, shift, power, mae, scaling.powered)

    def _untrained_network(self) -> ForecastNetwork:
        """Return a network of the size that settings and fitted panel ask for, with random weights."""
        return ForecastNetwork(
            self._architecture(),
            self.panel_.values.shape[1],
            self.panel_.n_targets,
            self.resolved_["window"],
            self.horizon_,
            lags=self._lags(),
            ahead=len(self.panel_.roles.future),
            static=self.inputs_.statics.width,
            instance_norm=self.instance_norm,
            loss=self._loss(),
        )

    @torch.inference_mode()
    def _corrections(self, rows: Floats, ahead: Floats, static: NDArray[np.float32]) -> Floats:
        """Return the network's corrections; see `WindowedForecaster._corrections`."""
        device = next(self.network_.parameters()).device
        self.network_.eval()
        whole = [torch.from_numpy(np.nan_to_num(part).astype(np.float32)) for part in (rows, ahead, static)]
        points, at_once = [], max(PREDICT_ROWS, int(STATES // (rows.shape[1] * self.units) // TILE * TILE))
        with few_threads(self.units):
            for batch in zip(*(torch.split(part, at_once) for part in whole), strict=True):
                # Blocks of one size: a matrix product of another size may round in another way, and the forecast of a
                # window must not depend on its batch-mates.
                filled = [F.pad(part, (0, 0) * (part.ndim - 1) + (0, -len(part) % TILE)).to(device) for part in batch]
                points.append(self._loss().point(self.network_(*filled, add_anchor=False))[: len(batch[0])].cpu())
            return np.asarray(torch.cat(points).numpy(), dtype=np.float64)

    def learned_rows(self) -> NDArray[np.int64]:
        """Return how many first rows of each series trained; all where it was trained once more on them."""
        rows = super().learned_rows()
        if not self._refits(self._training_config()):
            rows[rows > 0] = self._training_rows(self.panel_.select(rows > 0) if not rows.all() else self.panel_)[1]
        return rows

    def _loss(self) -> Loss:
        return LOSSES[self.loss] if isinstance(self.loss, str) else self.loss

    def _problems(self) -> list[str]:
        problems = super()._problems()
        if isinstance(self.window, int) and isinstance(self.segment, int) and self.segment > self.window >= 1:
            got = f"got {self.segment}, window {self.window}"
            problems.append(Problem("must be <= window", got, parameter="segment"))
        if self.bidirectional and self.cell == "conv1d":
            must = "must be False for cell 'conv1d', whose convolutions look back only"
            problems.append(Problem(must, "got True", parameter="bidirectional"))
        loss = LOSSES.get(self.loss) if isinstance(self.loss, str) else self.loss
        if isinstance(loss, Loss) and loss.needs_scale and not isinstance(self.scaler, str | None):
            named = repr(self.loss) if isinstance(self.loss, str) else f"{type(loss).__name__}()"
            must = f"{named} judges in the data's own units, which scaler {type(self.scaler).__name__}() hides"
            remedy = f"use one of {', '.join(map(repr, SCALERS))} or None, or loss='mae'"
            problems.append(Problem(must, "", remedy, parameter="loss"))
        return problems


@keyword_settings
class RNNForecaster(NeuralForecaster):
    """Forecast with an Elman network: a `NeuralForecaster` with ``cell="rnn"``."""

    cell: Literal["rnn"] = setting(default="rnn", init=False)


@keyword_settings
class GRUForecaster(NeuralForecaster):
    """Forecast with gated recurrent units: a `NeuralForecaster` with ``cell="gru"``.

    Examples
    --------
    >>> GRUForecaster(units=8).get_params()["units"]
    8
    """

    cell: Literal["gru"] = setting(default="gru", init=False)


@keyword_settings
class LSTMForecaster(NeuralForecaster):
    """Forecast with long short-term memory: a `NeuralForecaster` with ``cell="lstm"``."""

    cell: Literal["lstm"] = setting(default="lstm", init=False)


@keyword_settings
class Conv1DForecaster(NeuralForecaster):
    """Forecast with causal convolutions: a `NeuralForecaster` with ``cell="conv1d"``."""

    cell: Literal["conv1d"] = setting(default="conv1d", init=False)
