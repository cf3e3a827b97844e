"""What can be wrong with the settings of a network, all of it at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from tsforecast.checks import between, one_of, whole
from tsforecast.data.anchors import ANCHORS
from tsforecast.data.scaling import SCALERS, TRANSFORMS
from tsforecast.networks.architecture import ACTIVATIONS, CELL_NAMES, CHANNELS, NORMS
from tsforecast.networks.heads import LOSSES, Loss
from tsforecast.training.plan import OPTIMIZERS
from tsforecast.training.schedules import SCHEDULES

if TYPE_CHECKING:
    from tsforecast.forecasters.neural import NeuralForecaster

_FLAGS = ("residual", "bidirectional", "instance_norm", "refit", "mixed_precision")


def setting_problems(model: NeuralForecaster) -> list[str]:
    """Return a sentence for each setting that cannot work."""
    problems: list[str] = []
    for name in ("units", "layers", "batch_size", "kernel_size"):
        problems += whole(name, getattr(model, name), 1)
    for name in ("window", "segment"):
        problems += whole(name, getattr(model, name), 1, ["auto"])
    for name in ("patience", "steps_per_epoch"):
        problems += whole(name, getattr(model, name), 1, [None])
    problems += whole("max_epochs", model.max_epochs, 0)
    problems += whole("random_state", model.random_state, 0, [None])
    problems += between("dropout", model.dropout, 0, 1)
    problems += between("learning_rate", model.learning_rate, 0, 10, open_low=True)
    problems += between("weight_decay", model.weight_decay, 0, 10)
    if model.clip is not None:
        problems += between("clip", model.clip, 0, float("inf"), open_low=True)
    if isinstance(model.validation, float):
        problems += between("validation", model.validation, 0, 1)
    else:
        problems += whole("validation", model.validation, 0, [None])
    for name, options in _names(model).items():
        problems += one_of(name, getattr(model, name), options)
    for name in _FLAGS:
        if not isinstance(getattr(model, name), bool):
            problems.append(f"{name} must be True or False: got {getattr(model, name)!r}")
    if model.bidirectional and model.cell == "conv1d":
        problems.append("bidirectional must be False for cell 'conv1d', whose convolutions look back only: got True")
    return problems + _anchor_problems(model.anchor) + _device_problems(model.device) + _loss_problems(model)


def _names(model: NeuralForecaster) -> dict[str, Sequence[str]]:
    """Return the options of each setting that is a name here; an object in its place is checked where it is used."""
    options: dict[str, Sequence[str]] = {
        "cell": CELL_NAMES,
        "channels": CHANNELS,
        "activation": ACTIVATIONS,
        "optimizer": OPTIMIZERS,
        "schedule": SCHEDULES,
    }
    if model.norm is not None:
        options["norm"] = NORMS
    if model.transform is not None:
        options["transform"] = ("auto", *TRANSFORMS)
    if isinstance(model.scaler, str):
        options["scaler"] = SCALERS
    if not isinstance(model.per_series, bool):
        options["per_series"] = ("auto", "True", "False")
    return options


def _loss_problems(model: NeuralForecaster) -> list[str]:
    if isinstance(model.loss, Loss):
        return []
    problems = one_of("loss", model.loss, tuple(LOSSES))
    if not problems and LOSSES[model.loss].needs_units and not isinstance(model.scaler, str | None):
        problems.append(
            f"loss {model.loss!r} judges in the data's own units, which scaler {type(model.scaler).__name__}() hides: "
            f"use one of {', '.join(map(repr, SCALERS))} or None, or loss='mae'"
        )
    return problems


def _anchor_problems(anchor: Any) -> list[str]:
    if isinstance(anchor, str):
        return one_of("anchor", anchor, ("auto", *ANCHORS))
    lengths = list(anchor) if isinstance(anchor, Sequence) else []
    if lengths and not any(whole("anchor", length, 1) for length in lengths):
        return []
    return [f"anchor must be a name or season lengths such as (24, 168): got {anchor!r}"]


def _device_problems(name: str) -> list[str]:
    if name == "auto":
        return []
    try:
        torch.zeros(0, device=name)
    except (RuntimeError, AssertionError, NotImplementedError):
        return [f"device must be 'auto', 'cpu' or a device that torch finds on this machine: got {name!r}"]
    return []
