"""Small networks that correct the naive forecast: RNN, GRU, LSTM and Conv1D behind one class."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tsforecast.checks import between, one_of, whole
from tsforecast.data.anchors import ANCHORS, anchor_forecast, anchor_lags
from tsforecast.data.inputs import Inputs
from tsforecast.data.panel import Panel
from tsforecast.data.past import Past
from tsforecast.data.scaling import ARRAYS, SCALERS, TRANSFORMS, Scaling, ScalingRecipe
from tsforecast.data.statics import StaticEncoder
from tsforecast.data.windows import Windows
from tsforecast.errors import DataError, nearest
from tsforecast.forecasters import choices
from tsforecast.forecasters.base import Forecaster
from tsforecast.networks.forecast import CELL_NAMES, ForecastNetwork
from tsforecast.networks.recurrent import CELLS
from tsforecast.training.history import Epoch
from tsforecast.training.loop import PREDICT_ROWS, Plan, train
from tsforecast.training.progress import show_epochs

Floats = NDArray[np.float64]


class NeuralForecaster(Forecaster):
    """A small network, trained on windows of all series at once, that corrects the naive forecast.

    Scaling is learned on the training part only. The last `validation` share of the steps chooses the
    epoch; epoch 0, the naive forecast itself, is a candidate. Past columns, columns known ahead
    (calendar features among them) and static columns of the panel are read when there are any.

    Parameters
    ----------
    cell : {"rnn", "gru", "lstm", "conv1d"}
    window : int or "auto"
        Steps to read (W). Auto: two seasons and at least two horizons, but no more than a third of the shortest
        series' training part.
    horizon : int
        Steps to forecast (H), all at once.
    units, layers : int
        Width and depth.
    dropout : float
        In [0, 1).
    batch_size, max_epochs : int
    learning_rate : float
        Highest one of a one-cycle schedule.
    patience : int or None
        Stop after so many epochs without a better validation loss.
    validation : float, int or None
        Share or number of last steps kept from training (at least `horizon`); where the data have groups, share
        or number of whole groups instead, the last ones. None trains on all for `max_epochs`.
    anchor : {"auto", "last", "seasonal", "none"}
        The naive forecast that the network corrects. Auto: the one with the smaller error on the training part.
    transform : {"log", "box-cox"} or None
        Of the targets, before scaling; see `ScalingRecipe`.
    scaler : {"standard", "min-max", "robust"}, scikit-learn transformer or None
        Of every column.
    per_series : bool or "auto"
        Learn transform and scaler for each series on its own, or once for all. Auto: on its own, unless groups
        keep the series of training and test apart.
    instance_norm : bool
        Divide the targets in each window by their standard deviation there.
    device : str
        A torch device, or "auto" for a GPU where there is one.
    random_state : int or None
        Makes a fit repeatable on the same machine and number of threads.
    verbose : int
        1 shows the epochs as they come, in a terminal.

    Attributes
    ----------
    window_, anchor_, validation_ : int, str, int
        What was used; `validation_` counts steps, or groups.
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
        units: int = 32,
        layers: int = 1,
        dropout: float = 0.0,
        batch_size: int = 64,
        max_epochs: int = 30,
        learning_rate: float = 0.005,
        patience: int | None = 10,
        validation: float | int | None = 0.15,
        anchor: str = "auto",
        transform: str | None = None,
        scaler: Any = "standard",
        per_series: bool | str = "auto",
        instance_norm: bool = False,
        device: str = "auto",
        random_state: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.cell = cell
        self.window = window
        self.horizon = horizon
        self.units = units
        self.layers = layers
        self.dropout = dropout
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.learning_rate = learning_rate
        self.patience = patience
        self.validation = validation
        self.anchor = anchor
        self.transform = transform
        self.scaler = scaler
        self.per_series = per_series
        self.instance_norm = instance_norm
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def _fit(self, panel: Panel) -> None:
        self.validation_, seen = choices.training_rows(panel, self.validation, self.horizon)
        self.window_ = choices.window(panel, seen, self.window, self.horizon)
        past = panel.until(seen)
        self.anchor_ = choices.anchor(past, self.anchor, self.window_, self.horizon)
        self.inputs_ = Inputs.fit(past, self._recipe(panel))
        training, validation = self._windows(panel, seen)
        device = self._torch_device()
        with (
            self._threads(),
            _seeded(self.random_state),
            show_epochs(self.verbose, self.max_epochs, type(self).__name__) as report,
        ):
            self.network_ = self._new_network(panel).to(device)
            self.history_ = train(self.network_, training, validation, self._plan(), device, report)

    def forecast(self, past: Past, horizon: int) -> Floats:
        """Return forecasts of shape (n, H, K); see `Forecaster.forecast`.

        Beyond the trained horizon the network goes on from its own forecasts; past columns then keep
        their last value.
        """
        rows = past.tail(self.window_)  # (n, W, C)
        scaling = self.inputs_.of(past)
        static = self.inputs_.static(past)  # (n, S)
        blocks = math.ceil(horizon / self.horizon)
        known = past.ahead(blocks * self.horizon)  # (n, blocks * H, F)
        parts: list[Floats] = []
        for ahead in np.split(known, blocks, axis=1):  # (n, H, F)
            part = self._forecast_block(rows, ahead, static, scaling)  # (n, H, K)
            parts.append(part)
            following = np.repeat(rows[:, -1:], self.horizon, axis=1)  # (n, H, C)
            following[..., : part.shape[2]] = part
            following[..., following.shape[2] - ahead.shape[2] :] = ahead
            rows = np.concatenate([rows, following], axis=1)[:, -self.window_ :]  # (n, W, C)
        return np.concatenate(parts, axis=1)[:, :horizon]

    def _forecast_block(self, rows: Floats, ahead: Floats, static: NDArray[np.float32], scaling: Scaling) -> Floats:
        """Forecast one trained horizon from rows of shape (n, W, C) in the data's own units."""
        index = np.arange(len(rows))
        known = scaling.columns(rows.shape[2] - ahead.shape[2]).transform(ahead, index)
        correction = self._run(scaling.transform(rows, index), known, static).astype(np.float64)  # (n, H, K)
        lags = self._lags()
        if lags is None:
            return scaling.inverse(correction, index)
        naive: Floats = anchor_forecast(rows[..., : correction.shape[2]], lags)
        # The correction is added in the data's own units: where it is zero this is the naive forecast to the bit.
        scaled = scaling.transform(naive, index)
        return naive + (scaling.inverse(scaled + correction, index) - scaling.inverse(scaled, index))

    @contextmanager
    def _threads(self) -> Iterator[None]:
        """Run small recurrent networks on one thread: more only wait for each other, the more so on a busy machine."""
        before = torch.get_num_threads()
        small = self.cell in CELLS and self.units <= 64
        torch.set_num_threads(1 if small else before)
        try:
            yield
        finally:
            torch.set_num_threads(before)

    @torch.inference_mode()
    def _run(self, rows: Floats, ahead: Floats, static: NDArray[np.float32]) -> NDArray[np.float32]:
        device = next(self.network_.parameters()).device
        self.network_.eval()
        whole = [torch.from_numpy(np.nan_to_num(part).astype(np.float32)) for part in (rows, ahead, static)]
        batches = zip(*(torch.split(part, PREDICT_ROWS) for part in whole), strict=True)
        parts = [self.network_(*(part.to(device) for part in batch)).cpu() for batch in batches]
        return np.asarray(torch.cat(parts).numpy())

    def learned(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return what `fit` found; see `Forecaster.learned`."""
        plain, numbers = super().learned()
        inputs, network = plain.pop("inputs_"), plain.pop("network_")
        plain["history_"] = [asdict(epoch) for epoch in self.history_]
        plain["statics"], plain["scaled_ids"] = inputs.statics.columns, inputs.ids.tolist()
        scaling = {f"scaling.{name}": getattr(inputs.scaling, name) for name in ARRAYS}
        weights = {f"network.{name}": tensor.cpu().numpy() for name, tensor in network.state_dict().items()}
        return plain, numbers | scaling | weights

    def restore(self, learned: dict[str, Any], numbers: dict[str, NDArray[Any]]) -> None:
        """Take back what `learned` returned; see `Forecaster.restore`."""
        plain = dict(learned)
        statics = StaticEncoder(tuple((name, m, s, tuple(c)) for name, m, s, c in plain.pop("statics")))
        ids = np.array(plain.pop("scaled_ids"), dtype=self.panel_.ids.dtype)
        super().restore(plain, numbers)
        self.history_ = [Epoch(**epoch) for epoch in learned["history_"]]
        arrays: dict[str, Any] = {name: numbers[f"scaling.{name}"] for name in ARRAYS}
        scaling = Scaling(powered=self.transform is not None, **arrays)
        self.inputs_ = Inputs(self._recipe(self.panel_), scaling, statics, ids)
        weights = {name: torch.from_numpy(array) for name, array in numbers.items() if name.startswith("network.")}
        self.network_ = self._new_network(self.panel_).to(self._torch_device())
        self.network_.load_state_dict({name.removeprefix("network."): tensor for name, tensor in weights.items()})

    def _windows(self, panel: Panel, seen: NDArray[np.int64]) -> tuple[Windows, Windows | None]:
        values, truth = self.inputs_.rows(panel)
        cut = partial(
            Windows,
            values,
            truth,
            panel.offsets,
            self.window_,
            self.horizon,
            ahead=len(panel.roles.future),
            static=self.inputs_.static(panel),
            device=self._torch_device(),
        )
        validation = cut(first=seen) if self.validation_ else None
        if validation is not None and not len(validation):
            raise DataError(
                f"validation must have a window: none of the held-out groups has a series of {self.window_} + "
                f"{self.horizon} steps; use a smaller window, or validation=None"
            )
        return cut(last=seen), validation

    def _recipe(self, panel: Panel) -> ScalingRecipe:
        own = panel.groups is None if isinstance(self.per_series, str) else self.per_series
        return ScalingRecipe(self.transform, self.scaler, own)

    def _lags(self) -> NDArray[np.int64] | None:
        if self.anchor_ == "none":
            return None
        return anchor_lags(self.anchor_, self.horizon, self.season_length_)

    def _new_network(self, panel: Panel) -> ForecastNetwork:
        self.season_length_ = panel.season_length
        columns = len(panel.roles.varying)
        return ForecastNetwork(
            self.cell,
            columns,
            panel.n_targets,
            self.window_,
            self.horizon,
            self.units,
            self.layers,
            self.dropout,
            self._lags(),
            len(panel.roles.future),
            self.inputs_.statics.width,
            self.instance_norm,
        )

    def _plan(self) -> Plan:
        return Plan(self.batch_size, self.max_epochs, self.learning_rate, self.patience)

    def _torch_device(self) -> torch.device:
        if self.device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return torch.device(self.device)

    def _problems(self) -> list[str]:
        problems = super()._problems()
        problems += one_of("cell", self.cell, CELL_NAMES)
        problems += whole("window", self.window, 1, ["auto"])
        for name in ("units", "layers", "batch_size"):
            problems += whole(name, getattr(self, name), 1)
        problems += whole("max_epochs", self.max_epochs, 0)
        problems += whole("patience", self.patience, 1, [None])
        problems += between("dropout", self.dropout, 0, 1)
        problems += between("learning_rate", self.learning_rate, 0, 10, open_low=True)
        if isinstance(self.validation, float):
            problems += between("validation", self.validation, 0, 1)
        else:
            problems += whole("validation", self.validation, 0, [None])
        problems += one_of("anchor", self.anchor, ("auto", *ANCHORS)) + whole(
            "random_state", self.random_state, 0, [None]
        )
        problems += _device_problems(self.device)
        if self.transform is not None:
            problems += one_of("transform", self.transform, TRANSFORMS)
        if not isinstance(self.per_series, bool):
            problems += one_of("per_series", self.per_series, ("auto", "True", "False"))
        if isinstance(self.scaler, str):
            problems += one_of("scaler", self.scaler, SCALERS)
        return problems


def _device_problems(name: str) -> list[str]:
    if name == "auto":
        return []
    try:
        torch.zeros(0, device=name)
    except (RuntimeError, AssertionError, NotImplementedError):
        return [f"device must be 'auto', 'cpu' or a device that torch finds on this machine: got {name!r}"]
    return []


@contextmanager
def _seeded(random_state: int | None) -> Iterator[None]:
    """Seed torch for a while and give the caller's random numbers back afterwards."""
    with torch.random.fork_rng():
        if random_state is not None:
            torch.manual_seed(random_state)
        else:
            torch.seed()
        yield


def _with_cell(cell: str) -> Callable[..., None]:
    """Return an `__init__` that fixes the cell and takes every other parameter."""

    signature = inspect.signature(NeuralForecaster.__init__)

    def __init__(self: NeuralForecaster, **settings: Any) -> None:
        for name in settings.keys() - (signature.parameters.keys() - {"self", "cell"}):
            raise TypeError(f"{type(self).__name__} has no setting {name!r}; {nearest(name, signature.parameters)}")
        NeuralForecaster.__init__(self, cell, **settings)

    kept = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) if name != "self" else parameter
        for name, parameter in signature.parameters.items()
        if name != "cell"
    ]
    __init__.__signature__ = signature.replace(parameters=kept)  # type: ignore[attr-defined]
    return __init__


class RNNForecaster(NeuralForecaster):
    """A `NeuralForecaster` with an Elman network, ``cell="rnn"``; same parameters, by keyword."""

    __init__ = _with_cell("rnn")


class GRUForecaster(NeuralForecaster):
    """A `NeuralForecaster` with gated recurrent units, ``cell="gru"``; same parameters, by keyword.

    Examples
    --------
    >>> GRUForecaster(units=8).get_params()["units"]
    8
    """

    __init__ = _with_cell("gru")


class LSTMForecaster(NeuralForecaster):
    """A `NeuralForecaster` with long short-term memory, ``cell="lstm"``; same parameters, by keyword."""

    __init__ = _with_cell("lstm")


class Conv1DForecaster(NeuralForecaster):
    """A `NeuralForecaster` with causal convolutions, ``cell="conv1d"``; same parameters, by keyword."""

    __init__ = _with_cell("conv1d")
