"""Small networks that correct the naive forecast: RNN, GRU, LSTM and Conv1D behind one class."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tsforecast.checks import between, one_of, whole
from tsforecast.data.anchors import ANCHORS, anchor_forecast, anchor_lags
from tsforecast.data.panel import Panel
from tsforecast.data.past import Past
from tsforecast.data.scaling import Scaling, fit_standard
from tsforecast.data.windows import Windows
from tsforecast.errors import DataError
from tsforecast.forecasters.base import Forecaster
from tsforecast.networks.forecast import CELL_NAMES, ForecastNetwork
from tsforecast.training.history import Epoch
from tsforecast.training.loop import PREDICT_ROWS, Plan, train
from tsforecast.training.progress import show_epochs

Floats = NDArray[np.float64]


class NeuralForecaster(Forecaster):
    """A small network, trained on windows of all series at once, that corrects the naive forecast.

    Each series is scaled by its own mean and standard deviation over the training part. The last
    `validation` share of the steps chooses the epoch; epoch 0, the naive forecast itself, is a
    candidate.

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
        Share or number of last steps kept from training (at least `horizon`); None trains on all
        of them for `max_epochs`.
    anchor : {"auto", "last", "seasonal", "none"}
        The naive forecast that the network corrects. Auto: the one with the smaller error on the training part.
    device : str
        A torch device, or "auto" for a GPU where there is one.
    random_state : int or None
        Makes a fit repeatable on the same machine and number of threads.
    verbose : int
        1 shows the epochs as they come, in a terminal.

    Attributes
    ----------
    window_, anchor_, validation_ : int, str, int
        What was used.
    network_ : ForecastNetwork
    scaling_ : Scaling
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
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def _fit(self, panel: Panel) -> None:
        self.validation_ = self._validation_steps(panel)
        seen = panel.lengths - self.validation_  # rows that training may see
        self.window_ = self._choose_window(panel, seen)
        past = panel.until(seen)
        self.anchor_ = self._choose_anchor(past)
        self.scaling_ = fit_standard(past.values, past.offsets)
        training, validation = self._windows(panel, seen)
        device = self._torch_device()
        with _seeded(self.random_state), show_epochs(self.verbose, self.max_epochs, type(self).__name__) as report:
            self.network_ = self._new_network(panel).to(device)
            self.history_ = train(self.network_, training, validation, self._plan(), device, report)

    def forecast(self, past: Past, horizon: int) -> Floats:
        """Return forecasts of shape (n, H, K); see `Forecaster.forecast`.

        Beyond the trained horizon the network goes on from its own forecasts; past columns then keep
        their last value.
        """
        rows = past.tail(self.window_)  # (n, W, C)
        scaling = self._scaling_of(past)
        blocks: list[Floats] = []
        for _ in range(math.ceil(horizon / self.horizon)):
            block = self._forecast_block(rows, scaling)  # (n, H, K)
            blocks.append(block)
            ahead = np.repeat(rows[:, -1:], self.horizon, axis=1)  # (n, H, C)
            ahead[..., : block.shape[2]] = block
            rows = np.concatenate([rows, ahead], axis=1)[:, -self.window_ :]  # (n, W, C)
        return np.concatenate(blocks, axis=1)[:, :horizon]

    def _forecast_block(self, rows: Floats, scaling: Scaling) -> Floats:
        """Forecast one trained horizon from rows of shape (n, W, C) in the data's own units."""
        index = np.arange(len(rows))
        scaled = np.nan_to_num(scaling.transform(rows, index)).astype(np.float32)
        correction = self._run(torch.from_numpy(scaled)).astype(np.float64)  # (n, H, K)
        lags = self._lags()
        if lags is None:
            return scaling.inverse(correction, index)
        # The anchor is added in the data's own units: a correction of zero is the naive forecast to the bit.
        naive: Floats = anchor_forecast(rows[..., : correction.shape[2]], lags)
        return naive + scaling.stretch(correction, index)

    @torch.inference_mode()
    def _run(self, scaled: torch.Tensor) -> NDArray[np.float32]:
        device = next(self.network_.parameters()).device
        self.network_.eval()
        parts = [self.network_(part.to(device)).cpu() for part in torch.split(scaled, PREDICT_ROWS)]
        return np.asarray(torch.cat(parts).numpy())

    def _scaling_of(self, past: Past) -> Scaling:
        """Return statistics for each cutoff: those of training, or of its own past if the series is new."""
        place = {name: i for i, name in enumerate(self.panel_.ids)}
        index = np.array([place.get(name, -1) for name in past.ids])
        location, scale = self.scaling_.location[index], self.scaling_.scale[index]
        for i in np.flatnonzero(index < 0):
            rows = past.history(int(i))
            own = fit_standard(rows, np.array([0, len(rows)]))
            location[i], scale[i] = own.location[0], own.scale[0]
        return Scaling(location, scale)

    def learned(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return what `fit` found; see `Forecaster.learned`."""
        plain, numbers = super().learned()
        for name in ("network_", "scaling_"):
            del plain[name]
        plain["history_"] = [asdict(epoch) for epoch in self.history_]
        numbers = {"scaling.location": self.scaling_.location, "scaling.scale": self.scaling_.scale}
        weights = {f"network.{name}": tensor.cpu().numpy() for name, tensor in self.network_.state_dict().items()}
        return plain, numbers | weights

    def restore(self, learned: dict[str, Any], numbers: dict[str, NDArray[Any]]) -> None:
        """Take back what `learned` returned; see `Forecaster.restore`."""
        super().restore(learned, numbers)
        self.history_ = [Epoch(**epoch) for epoch in learned["history_"]]
        self.scaling_ = Scaling(numbers["scaling.location"], numbers["scaling.scale"])
        weights = {name: torch.from_numpy(array) for name, array in numbers.items() if name.startswith("network.")}
        self.network_ = self._new_network(self.panel_).to(self._torch_device())
        self.network_.load_state_dict({name.removeprefix("network."): tensor for name, tensor in weights.items()})

    def _windows(self, panel: Panel, seen: NDArray[np.int64]) -> tuple[Windows, Windows | None]:
        owner = np.repeat(np.arange(len(panel)), panel.lengths)
        targets = slice(0, panel.n_targets)
        scaled = self.scaling_.transform(panel.filled, owner).astype(np.float32)  # (rows, C)
        truth = np.where(np.isnan(panel.values[:, targets]), np.nan, scaled[:, targets])
        scaled = np.nan_to_num(scaled, copy=False)
        shape = (scaled, truth, panel.offsets, self.window_, self.horizon)
        device = self._torch_device()
        training = Windows(*shape, last=seen, device=device)
        if not self.validation_:
            return training, None
        return training, Windows(*shape, first=seen, device=device)

    def _validation_steps(self, panel: Panel) -> int:
        if not self.validation:
            return 0
        if isinstance(self.validation, float):
            return max(self.horizon, round(self.validation * int(panel.lengths.min())))
        return self.validation

    def _choose_window(self, panel: Panel, seen: NDArray[np.int64]) -> int:
        shortest = int(seen.min())
        wanted = max(2 * panel.season_length, 2 * self.horizon)
        window = min(wanted, max(1, shortest // 3)) if self.window == "auto" else int(self.window)
        self._require_room(panel, seen, window)
        return window

    def _require_room(self, panel: Panel, seen: NDArray[np.int64], window: int) -> None:
        """Refuse series whose training part has no window, with the arithmetic and a remedy."""
        needed = window + self.horizon
        short = np.flatnonzero(seen < needed)
        if not len(short):
            return
        worst = short[seen[short].argmin()]
        has, length = int(seen[worst]), int(panel.lengths[worst])
        held = f" ({length} less {self.validation_} for validation)" if self.validation_ else ""
        others = f"; so do {len(short) - 1} other series" if len(short) > 1 else ""
        ways = [f"window <= {has - self.horizon}"] if has > self.horizon else []
        ways += [f"horizon <= {has - window}"] if has > window else []
        ways = ways or ["more rows, or a smaller window, horizon and validation"]
        raise DataError(
            f"window + horizon must fit in the training part: needs {window} + {self.horizon} = {needed} steps, "
            f"series {str(panel.ids[worst])!r} has {max(has, 0)}{held}{others}; use {' or '.join(ways)}"
        )

    def _choose_anchor(self, past: Panel) -> str:
        """Return the anchor; auto is the one with the smaller error on the training part."""
        season = past.season_length
        fits = 1 < season <= self.window_
        if self.anchor == "seasonal" and not fits:
            raise DataError(
                f"a seasonal anchor needs a season that fits in the window: season_length is {season}, the window "
                f"{self.window_}; use window >= {max(season, 2)}, anchor='last', or give season_length to the panel"
            )
        if self.anchor != "auto":
            return self.anchor
        candidates = ["last", "seasonal"] if fits else ["last"]
        return min(candidates, key=lambda anchor: _anchor_error(past, anchor, self.horizon))

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
        return problems + one_of("anchor", self.anchor, ("auto", *ANCHORS))


def _anchor_error(past: Panel, anchor: str, horizon: int) -> float:
    """Return the scaled mean absolute error of a naive forecast, over all cutoffs of the training part."""
    errors = []
    for i in range(len(past)):
        values = past.series(i)[:, : past.n_targets].astype(np.float64)
        spread = np.nanstd(values, axis=0)
        for step, lag in enumerate(anchor_lags(anchor, horizon, past.season_length)):
            reach = step + lag
            if len(values) > reach:
                moves = np.abs(values[reach:] - values[:-reach])
                errors.append(np.nanmean(moves) / (np.nanmean(spread) or 1.0))
    return float(np.mean(errors)) if errors else math.inf


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

    def __init__(self: NeuralForecaster, **settings: Any) -> None:
        NeuralForecaster.__init__(self, cell, **settings)

    signature = inspect.signature(NeuralForecaster.__init__)
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
