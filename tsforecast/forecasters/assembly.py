"""From the settings of a network forecaster to the parts of a fit: network, windows, units, plan, checkpoints."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from tsforecast.data.anchors import seasonal_scale
from tsforecast.data.panel import Panel
from tsforecast.data.preprocessing import Preprocessor
from tsforecast.data.windows import Windows
from tsforecast.errors import DataError, ParameterError, raise_any
from tsforecast.networks.forecast import ForecastNetwork
from tsforecast.networks.layers import Architecture
from tsforecast.networks.losses import Units
from tsforecast.networks.recurrent import choose_kernels
from tsforecast.training.checkpoint import Checkpoints, parse_every
from tsforecast.training.optim import TrainingConfig

if TYPE_CHECKING:
    from tsforecast.forecasters.neural import NeuralForecaster


def network(model: NeuralForecaster, panel: Panel) -> ForecastNetwork:
    """Return an untrained network of the size that the panel asks for."""
    architecture = Architecture(
        model.cell,
        int(model.units),  # torch wants its whole numbers to be Python's
        int(model.layers),
        model.resolved_["segment"],
        model.channels,
        model.residual,
        model.norm,
        model.dropout,
        model.bidirectional,
        int(model.kernel_size),
        model.activation,
        model.resolved_["head_layers"],
    )
    return ForecastNetwork(
        architecture,
        len(panel.roles.varying),
        panel.n_targets,
        model.resolved_["window"],
        model.horizon_,
        model._lags(),
        len(panel.roles.future),
        model.inputs_.statics.width,
        model.instance_norm,
        model._loss(),
    )


def windows(
    model: NeuralForecaster, inputs: Preprocessor, panel: Panel, seen: NDArray[np.int64]
) -> tuple[Windows, Windows | None]:
    """Return the windows whose targets lie in the first `seen` rows of each series, and those of the rest, if any."""
    values, truth = inputs.rows(panel)
    cut = partial(
        Windows,
        values,
        truth,
        panel.offsets,
        model.resolved_["window"],
        model.horizon_,
        ahead=len(panel.roles.future),
        static=inputs.static(panel),
        names=panel.ids,
        device=model._torch_device(),
    )
    begin = panel.target_starts
    validation = cut(first=np.maximum(seen, begin)) if np.any(seen < panel.lengths) else None
    if validation is not None and not len(validation):
        raise DataError(
            f"validation must have a window: none of the held-out groups has a series of "
            f"{model.resolved_['window']} + {model.horizon_} steps; use a smaller window, or validation=None"
        )
    return cut(first=begin, last=seen), validation


def fuse(model: NeuralForecaster, plan: TrainingConfig, count: int) -> bool:
    """Choose whether quick kernels read, for a training on so many windows; see `choose_kernels`."""
    rows = min(plan.batch_size, count) * (1 if model.network_.joint else model.network_.targets)
    segments = -(-model.resolved_["window"] // model.resolved_["segment"])
    return choose_kernels(model.network_, plan.max_epochs * plan.steps(count), rows, segments)


def units(
    model: NeuralForecaster, inputs: Preprocessor, panel: Panel, seen: NDArray[np.int64], device: torch.device
) -> Units:
    """Return what the loss must know of each series, learned on its first `seen` rows."""
    scaling, targets = inputs.scaling_of(panel), panel.n_targets
    naive = np.ones((len(panel), targets))
    for i in range(len(panel)) if model._loss().needs_units else ():
        for k in range(targets):
            error, _ = seasonal_scale(panel.series(i)[: seen[i] or None, k], panel.season_length)
            naive[i, k] = error if error > 0 else 1.0
    parts = (scaling.location[:, :targets], scaling.scale[:, :targets], scaling.shift, scaling.power, naive)
    location, scale, shift, power, mae = (torch.from_numpy(part.astype(np.float32)).to(device) for part in parts)
    return Units(location, scale, shift, power, mae, scaling.powered)


def weights(panel: Panel, device: torch.device) -> torch.Tensor | None:
    """Return how much each series counts, (N,), 1 in the mean."""
    if panel.weights is None:
        return None
    return torch.from_numpy((panel.weights / panel.weights.mean()).astype(np.float32)).to(device)


def plan(model: Any, epochs: int | None = None) -> TrainingConfig:
    """Return how to train any network, for as many epochs as it is set to unless given."""
    return TrainingConfig(
        int(model.batch_size),
        int(model.max_epochs if epochs is None else epochs),
        model.learning_rate,
        model.steps_per_epoch,
        model.optimizer,
        model.schedule,
        model.patience,
        model.weight_decay,
        model.clip,
        model.mixed_precision,
    )


def checkpoints(
    model: NeuralForecaster, panel: Panel, folder: str | Path | None, every: int | str, resume_from: str | Path | None
) -> Checkpoints:
    """Return where training is kept and taken up again, with what must be the same then."""
    data = {"frequency": str(panel.frequency), "season_length": str(panel.season_length)}
    return kept_in(model, panel, data, folder, every, resume_from)


def kept_in(
    model: Any,
    panel: Panel,
    data: dict[str, str],
    folder: str | Path | None,
    every: int | str,
    resume_from: str | Path | None,
) -> Checkpoints:
    """Return the checkpoints of any network: the same settings, the same numbers and, in words, the same `data`."""
    number, minutes = parse_every(every)
    named = {"checkpoint": folder, "resume_from": resume_from}
    raise_any(
        (
            f"{name} must be the path of a folder: got {place!r}"
            for name, place in named.items()
            if not isinstance(place, (str, Path, type(None)))
        ),
        ParameterError,
    )
    if folder is None and every != 1:
        raise ParameterError(f"checkpoint_every={every!r} must have a folder to write to: give checkpoint='folder'")
    if folder is None and resume_from is None:
        return Checkpoints(None, 1, False, None, {})
    given = {name: value for name, value in model.get_params().items() if name not in ("verbose", "device")}
    plain = {name: value.item() if isinstance(value, np.generic) else value for name, value in given.items()}
    rows = panel.values.astype(np.float64).tobytes() + panel.offsets.tobytes()
    same = {name: repr(value) for name, value in ({"cell": model.cell} | plain).items()} | data
    same["data"] = f"{len(panel)} series of {len(panel.values)} rows ({hashlib.sha256(rows).hexdigest()[:12]})"
    places = [None if place is None else Path(place) for place in (folder, resume_from)]
    return Checkpoints(places[0], number, minutes, places[1], same)
