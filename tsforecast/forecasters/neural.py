"""NeuralForecaster and its four names: small networks that correct the naive forecast."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from tsforecast.data.context import Context
from tsforecast.data.panel import Panel
from tsforecast.data.preprocessing import Preprocessor
from tsforecast.data.scaling import Scaling
from tsforecast.data.windows import Windows
from tsforecast.distributions.base import Distribution, assembled
from tsforecast.distributions.families import Quantiles, Symmetric
from tsforecast.distributions.parametric import Parametric
from tsforecast.errors import DataError, Problem, raise_any
from tsforecast.estimators.base import keyword_settings, setting
from tsforecast.estimators.network import NetworkEstimator, TrainingData
from tsforecast.events import observed
from tsforecast.forecasters import auto
from tsforecast.forecasters.naive import SeasonalNaiveForecaster
from tsforecast.forecasters.windowed import Known, WindowedForecaster
from tsforecast.networks.forecast import ForecastNetwork, learn_start, learned_share
from tsforecast.networks.losses import LOSSES, DataScale, Loss, Objective, conflicts, loss_problems, require_numbers
from tsforecast.training.history import OnEpoch
from tsforecast.training.loop import PREDICT_ROWS, evenly
from tsforecast.training.runtime import few_threads, torch_device
from tsforecast.workers import Workers

Floats = NDArray[np.float64]
TILE = 64  # windows that are forecast at once are filled up to a multiple of it
STATES = 2**20  # numbers in the states of the windows that are forecast at once, if those are more than usual


@keyword_settings
class NeuralForecaster(NetworkEstimator, WindowedForecaster):
    """A small network, trained on windows of all series at once, that corrects the naive forecast.

    Scaling is learned on the training part only. The last `validation` share of the steps chooses the
    epoch; epoch 0, the naive forecast itself, is a candidate. Past, future and static covariates of the panel
    (calendar features among them) are read when there are any.

    Attributes
    ----------
    resolved_ : dict
        Values used where a setting left a choice: window, least (steps that a series must have for a forecast of its
        own), segment, anchor, value_transform, per_series, season_length, validation (steps, or groups), best_epoch,
        share (of its corrections that the network keeps, mean of steps),
        device, head_layers (more than one after `fine_tune` with two), kernels ("on" where they read, or "off",
        see `tsforecast.networks.kernels.choice`).
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
    loss: (
        Literal[
            "mae", "mse", "huber", "mase", "smape", "normal", "student-t", "laplace", "lognormal", "poisson",
            "negative-binomial", "zero-inflated-poisson", "zero-inflated-negative-binomial", "quantile",
        ]
        | Loss
    ) = setting(
        default="mae",
        check=loss_problems,
        doc="Training loss. Of a point forecast: mae, mse and huber on scaled numbers, mase and smape in the data's. "
        "Of a distribution, whose parameters the network computes: its negative log-likelihood, or the "
        "mean loss of quantiles. Or a loss of `tsforecast.networks.losses`, such as ``QuantileLoss([0.1, 0.9])`` or an "
        "instance of your own subclass of `Loss` or `Likelihood`.",
    )  # fmt: skip
    point: Literal["auto", "mean", "median", "mode"] = setting(
        default="auto",
        doc="Point forecast that is read from a distribution. Auto: the mean of counts, the median of others; a loss "
        "of point forecasts has no other.",
    )
    instance_norm: bool | Literal["auto"] = setting(
        default="auto",
        fixed=True,
        doc="Divide the targets of each window by their standard deviation there, and multiply the forecast by it. "
        "Auto: for point forecasts of 20 series or more.",
    )
    members: int = setting(
        default=1,
        least=1,
        fixed=True,
        doc="Networks that are trained at once, each on its own order of windows, and averaged.",
    )
    validation_origins: int | Literal["auto"] = setting(
        default=1,
        least=1,
        doc="Blocks of a horizon or more that the rows of `validation` are split into: one at the end, the others "
        "before it, spread over three times as many rows, or the last half. A network learns no target in a block, but "
        "those between, from windows that read the blocks before. Auto: up to four. Groups validate as wholes.",
    )

    @classmethod
    def recipes(cls) -> dict[str, auto.Recipe]:
        """Return settings by name, from the fastest to the best, with the time of a fit relative to the default.

        Examples
        --------
        >>> GRUForecaster(horizon=24, **GRUForecaster.recipes()["best"].settings)
        GRUForecaster(horizon=24, members=5)
        """
        return dict(auto.RECIPES)

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
        workers: int | None = None,
        address: str | None = None,
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
        workers : int, optional
            Workers of Ray that train together, each on a share of the windows, and on a GPU where there are so many.
            Weights are those of one process but for rounding, and dropout; a checkpoint resumes with any number. What
            a lost worker costs is the epoch under way.
        address : str, optional
            Ray cluster whose nodes they run on, as for `RaySearch`; this machine without one.

        Raises
        ------
        ParameterError, DataError, ModelFileError
        TrainingError
            When the loss is no longer a number; the forecaster then has the last good weights.
        """
        team = Workers.of(self, workers, address)
        panel = self._checked(data, y, sample_weight)
        require_numbers(self.loss, panel)
        same = {"frequency": panel.frequency, "season_length": " and ".join(map(str, panel.seasons))}
        checkpoints = self._checkpoints(panel, same, checkpoint, checkpoint_every, resume_from)
        with observed(self, panel, on_epoch) as activity:
            trains, past = self._split(panel)
            self.inputs_ = Preprocessor.fit(past, self._recipe())
            windows, self.history_ = self._windows(panel, trains), []
            config = self._training_config(self.epochs(len(windows.training)))
            self._remember(panel)  # from the first epoch on there are weights to forecast with
            notify = self._forgetting(activity.notify)
            learn = partial(self._train_network, checkpoints=checkpoints, workers=team)
            learn(windows, config, partial(self._naive_network, windows), on_epoch=notify)
            share = self._learn_share(windows)
            if self._refits(config):
                self.inputs_ = Preprocessor.fit(panel, self._recipe())
                windows = self._windows(panel, panel.lengths)
                config = replace(config, stop=self.resolved_["best_epoch"])
                learn(windows, config, partial(self._naive_network, windows), phase="refit")
                self.network_.share.copy_(share)
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
            Parameters that stay: none, or those that read the window (``categories.*``, ``embed.*``, ``encoder.*``).
        head : {"keep", "new"}
            Continue with the last layer, or replace it; a new one starts from the naive forecast.
        layers : {1, 2}
            Linear layers of a new head; two have an activation and dropout between them.
        scaling : {"keep", "new"}
            Keep scaling and static categories, or learn them again from the training part of `data`. Series that were
            not fitted have no scales to keep: theirs are learned. Texts of covariates stay those that were fitted.
        **settings
            Parameters of the new forecaster that differ, such as ``max_epochs=5, learning_rate=1e-4``.

        Returns
        -------
        NeuralForecaster, fitted

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
        past = panel.until(trains)
        auto.require_room(panel, trains, self.resolved_["window"], self._least, self.horizon_)
        if scaling == "keep":
            raise_any(f"{problem}; use scaling='new'" for problem in self.inputs_.beyond_transform(past))
        kept = self.inputs_
        model.inputs_ = kept.renewed(past, model._recipe()) if scaling == "new" else kept.with_series(past)
        model.resolved_ |= {"validation": held_out} | ({"head_layers": layers} if head == "new" else {})
        require_numbers(self.loss, panel)
        with observed(model, panel) as activity:
            windows = model._windows(panel, trains)

            def renewed() -> None:
                model.network_.renew_head(layers)
                learn_start(model.network_, windows.training, model._loss(), windows.objective)  # type: ignore[arg-type]

            model.network_.share.fill_(1.0)
            config = model._training_config(model.epochs(len(windows.training)))
            model._tune_network(windows, config, freeze, renewed if head == "new" else None, activity.notify)
            model._learn_share(windows)
            model._remember(panel)
        return model

    def _training_rows(self, panel: Panel, horizon: int | None = None) -> tuple[int, NDArray[np.int64]]:
        held_out, trains = auto.training_rows(panel, self.validation, horizon or self.horizon_)
        return held_out, auto.last_block(panel, trains, horizon or self.horizon_, self._origins)

    @property
    def _origins(self) -> int:
        return auto.ORIGINS if isinstance(self.validation_origins, str) else self.validation_origins

    def _resolve(self, panel: Panel, past: Panel) -> dict[str, Any]:
        resolved = super()._resolve(panel, past)
        if self.loss == "lognormal":
            resolved["value_transform"] = "log"
        return resolved | {
            "segment": auto.segment(self.segment, panel.season_length),
            "instance_norm": auto.instance_norm(past, self.instance_norm, self._loss().family is None),
            "device": str(torch_device(self.device)),
            "head_layers": 1,
        }

    def _windows(self, panel: Panel, trains: NDArray[np.int64]) -> TrainingData:
        """Return the windows whose targets lie in the first rows of each series that train, and those of the rest."""
        inputs, window = self.inputs_, self.resolved_["window"]
        if not trains.all():  # the first window of a series that only validates gives it a scale, as if it were new
            first = np.minimum(window, panel.lengths)
            inputs = inputs.with_series(panel.until(np.where(trains > 0, trains, first)))
        (values, truth), device = inputs.rows(panel), torch_device(self.device)
        cut = partial(
            Windows,
            values,
            truth,
            panel.offsets,
            window,
            self.horizon_,
            least=self._least,
            ahead=len(panel.roles.future),
            static=self._static(panel),
            names=panel.ids,
            device=device,
        )
        begin, held_out, blocks = panel.target_starts, np.any(trains < panel.lengths), None
        if held_out and self._origins > 1 and panel.units is None:
            _, first = auto.training_rows(panel, self.validation, self.horizon_)
            blocks = auto.blocks(panel, first, self.horizon_, self._origins)  # (N, B, 2)
        first = begin if blocks is not None else np.maximum(trains, begin)
        validation = cut(first=first, within=blocks) if held_out else None
        if validation is not None and not len(validation):
            raise DataError(
                f"validation must have a window: none of the held-out groups has a series of "
                f"{self._least} + {self.horizon_} steps; use a smaller window, or validation=None"
            )
        loss, weights = self._loss(), None
        if panel.weights is not None:  # 1 in the mean
            weights = torch.from_numpy(np.float32(panel.weights / panel.weights.mean())).to(device)
        objective = Objective(loss, DataScale.of(loss, inputs.of(panel), panel, trains, device), weights)
        rows, segments = 1 if self.channels == "joint" else panel.n_targets, -(-window // self.resolved_["segment"])
        return TrainingData(cut(first=begin, last=trains, without=blocks), validation, objective, rows, segments)

    def _untrained_network(self) -> ForecastNetwork:
        """Return a network of the size that settings and fitted panel ask for, with random weights."""
        return ForecastNetwork(
            self._architecture(),
            self.panel_.values.shape[1],
            self.panel_.n_targets,
            self.resolved_["window"],
            self.horizon_,
            lags=self._lags(),
            blend=self.blend_,
            ahead=len(self.panel_.roles.future),
            static=self.inputs_.statics.width,
            # Of older models there is the setting alone.
            instance_norm=self.resolved_.get("instance_norm", self.instance_norm),
            loss=self._loss(),
            masked=self._least < self.resolved_["window"],
            members=self.members,
            categories=[(at, shares) for at, _, shares in self.inputs_.categories.columns],
        )

    def _naive_network(self, data: TrainingData) -> ForecastNetwork:
        """Return an untrained network, of which a distribution is spread as the naive forecast is on training data."""
        network = self._untrained_network().to(torch_device(self.device))
        learn_start(network, data.training, self._loss(), data.objective)  # type: ignore[arg-type]
        return network

    def _learn_share(self, data: TrainingData) -> torch.Tensor:
        """Set the share of corrections that the network keeps, learned on the validation windows, and return it."""
        share: torch.Tensor = self.network_.share
        if data.validation is not None:
            with few_threads(self.units):
                share.copy_(learned_share(self.network_, data.validation, evenly(data.validation), data.objective))  # type: ignore[arg-type]
        self.resolved_["share"] = round(float(share.mean()), 3)
        return share

    def _forecast_block(
        self, rows: Floats, known: Known, ahead: Floats, static: NDArray[np.float32], scaling: Scaling
    ) -> Floats:
        """Forecast one block; see `WindowedForecaster._forecast_block`. The median is where the level is."""
        if self._point == "level":
            return super()._forecast_block(rows, known, ahead, static, scaling)
        return self._parametric(rows, known, ahead, static, scaling)[1]

    @property
    def _point(self) -> Literal["level", "mean", "median", "mode"]:
        """Point forecast that is read from the outputs."""
        family = self._loss().family
        if family is None:
            return "level"
        name = family.usual_point if self.point == "auto" else self.point
        return "level" if name == "median" and isinstance(family, Symmetric | Quantiles) else name  # type: ignore[return-value]

    def _parametric(
        self, rows: Floats, known: Known, ahead: Floats, static: NDArray[np.float32], scaling: Scaling
    ) -> tuple[Parametric, Floats]:
        """Return distributions and points of one block, of rows as in `_forecast_block`, in one pass of the network."""
        family: Any = self._loss().family
        scaled_rows, scaled_ahead = self._scaled(rows, ahead, scaling)
        outputs = self._outputs(scaled_rows, known, scaled_ahead, static, lambda found: found)
        correction = outputs[..., 0].copy()
        if self._has_anchor:
            outputs[..., 0] += self._naive(scaled_rows[..., : outputs.shape[2]], known, static)
        found, name = Parametric(family, outputs, scaling), self._point
        if name == "level":
            return found, self._anchored(correction, rows, known, scaled_rows, scaling, static)
        return found, found.point(name)

    @property
    def learns_distribution(self) -> bool:
        """Whether the loss is that of a distribution; see `Forecaster.learns_distribution`."""
        return getattr(LOSSES.get(str(self.loss), self.loss), "family", None) is not None

    def distribution(self, past: Context, horizon: int) -> Distribution:
        """Return the distributions of H steps after each of n cutoffs; see `Forecaster.distribution`.

        Of a loss that is a likelihood, or has quantiles, they are those of the network. Steps beyond the fitted
        horizon have the distributions of its steps, around what the forecaster continues to: they do not widen.
        """
        if (family := self._loss().family) is None:
            return super().distribution(past, horizon)
        if (short := past.lengths < self._least).any():
            naive = SeasonalNaiveForecaster(self.horizon_).fit(self.panel_)
            naive.season_length_ = self.resolved_["season_length"]
            models = [(chosen, model) for chosen, model in ((short, naive), (~short, self)) if chosen.any()]
            parts = [(chosen, model.distribution(past.select(chosen), horizon)) for chosen, model in models]
            return assembled((len(past), horizon, past.n_targets), parts)
        outputs = list[Floats]()  # (B, K, P) of each window, block by block

        def forecast_block(*inputs: Any) -> Floats:
            found, points = self._parametric(*inputs)
            outputs.append(found.outputs)
            return points

        points, blocks = self._in_parts(past, horizon, forecast_block), -(-horizon // self._block)
        each = [np.concatenate(outputs[i : i + blocks], axis=1)[:, :horizon] for i in range(0, len(outputs), blocks)]
        return Parametric(family, np.concatenate(each), self.inputs_.of(past), points)

    def _corrections(self, rows: Floats, known: Known, ahead: Floats, static: NDArray[np.float32]) -> Floats:
        """Return the network's corrections; see `WindowedForecaster._corrections`."""
        return self._outputs(rows, known, ahead, static, self._loss().point)

    @torch.inference_mode()
    def _outputs(
        self,
        rows: Floats,
        known: Known,
        ahead: Floats,
        static: NDArray[np.float32],
        read: Callable[[torch.Tensor], torch.Tensor],
    ) -> Floats:
        """Return what is read from the network's outputs, (n, B, K, P), without the anchor."""
        device = next(self.network_.parameters()).device
        self.network_.eval()
        whole = [torch.from_numpy(np.nan_to_num(part).astype(np.float32)) for part in (rows, ahead, static)]
        whole += [] if known is None else [torch.from_numpy(known)]
        points, at_once = [], max(PREDICT_ROWS, int(STATES // (rows.shape[1] * self.units) // TILE * TILE))
        with few_threads(self.units):
            for batch in zip(*(torch.split(part, at_once) for part in whole), strict=True):
                # Blocks of one size: a matrix product of another size may round in another way, and the forecast of a
                # window must not depend on its batch-mates.
                filled = [F.pad(part, (0, 0) * (part.ndim - 1) + (0, -len(part) % TILE)).to(device) for part in batch]
                points.append(read(self.network_(*filled, add_anchor=False))[: len(batch[0])].cpu())
            return np.asarray(torch.cat(points).numpy(), dtype=np.float64)

    def learned_rows(self) -> NDArray[np.int64]:
        """Return how many first rows of each series trained; all where it was trained once more on them."""
        rows = super().learned_rows()
        # In older models all settings are numbers, and as many steps of each series validated.
        updated = "changed_rows_" in vars(self)
        if updated or self._refits(self._training_config(self.resolved_.get("max_epochs", self.max_epochs))):
            return rows
        validation = self.validation if "least" in self.resolved_ else self.resolved_["validation"]
        trains = auto.training_rows(self.fitted_panel, validation, self.horizon_)[1]
        return np.minimum(rows, auto.last_block(self.fitted_panel, trains, self.horizon_, self._origins))

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
        return problems + conflicts(self.loss, self.scaler, self.point, self.value_transform)


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
