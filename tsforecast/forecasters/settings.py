"""What can be wrong with the settings of a network, all of it at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from tsforecast.checks import between, flag, one_of, share_or_count, whole
from tsforecast.data.scaling import SCALERS
from tsforecast.errors import Problem
from tsforecast.networks.layers import ACTIVATIONS, CELL_NAMES, CHANNELS, NORMS
from tsforecast.networks.losses import LOSSES, Loss, loss_problems
from tsforecast.training.optim import OPTIMIZERS, SCHEDULES

if TYPE_CHECKING:
    from tsforecast.forecasters.neural import NeuralForecaster

_NAMES: dict[str, Sequence[str]] = {"activation": ACTIVATIONS, "optimizer": OPTIMIZERS, "schedule": SCHEDULES}
_FLAGS = ("residual", "bidirectional", "refit", "mixed_precision")


def setting_problems(model: NeuralForecaster) -> list[str]:
    """Return a sentence for each setting that cannot work."""
    problems = network_problems(model, {"channels": CHANNELS}, NORMS)
    if isinstance(model.window, int) and isinstance(model.segment, int) and model.segment > model.window >= 1:
        got = f"got {model.segment}, window {model.window}"
        problems.append(Problem("must be <= window", got, parameter="segment"))
    if model.bidirectional and model.cell == "conv1d":
        must = "must be False for cell 'conv1d', whose convolutions look back only"
        problems.append(Problem(must, "got True", parameter="bidirectional"))
    return problems + _loss_problems(model)


def network_problems(
    model: Any, names: dict[str, Sequence[str]], norms: Sequence[str], auto: Sequence[str] = ("segment",)
) -> list[str]:
    """Return a sentence for each setting that cannot work, of those that all networks have.

    Parameters
    ----------
    model : estimator
    names : dict of sequences of str
        Further settings that are names, with their options.
    norms : sequence of str
        What `norm` may be, besides None.
    auto : sequence of str
        Counts that may be "auto".
    """
    problems: list[str] = []
    for name in ("units", "layers", "batch_size", "kernel_size"):
        problems += whole(name, getattr(model, name), 1)
    problems += whole("segment", model.segment, 1, ["auto"] if "segment" in auto else [])
    for name in ("patience", "steps_per_epoch"):
        problems += whole(name, getattr(model, name), 1, [None])
    problems += whole("max_epochs", model.max_epochs, 0, ["auto"] if "max_epochs" in auto else []) + whole(
        "verbose", model.verbose, 0, [True, False]
    )
    problems += whole("random_state", model.random_state, 0, [None])
    problems += between("dropout", model.dropout, 0, 1)
    problems += between("learning_rate", model.learning_rate, 0, 10, open_low=True)
    problems += between("weight_decay", model.weight_decay, 0, 10)
    if model.clip is not None:
        problems += between("clip", model.clip, 0, float("inf"), open_low=True)
    problems += share_or_count("validation", model.validation, [None])
    for name, options in ({"cell": CELL_NAMES} | names | _NAMES).items():
        problems += one_of(name, getattr(model, name), options)
    problems += one_of("norm", model.norm, norms, [None])
    for name in _FLAGS:
        problems += flag(name, getattr(model, name))
    return problems + device_problems(model.device)


def _loss_problems(model: NeuralForecaster) -> list[str]:
    loss = model.loss
    if not isinstance(loss, (str, Loss)):
        names = ", ".join(map(repr, LOSSES))
        must = f"must be one of {names}, or an instance of your own subclass of tsforecast.networks.losses.Loss"
        return [Problem(must, f"got {loss!r}", parameter="loss")]
    problems = one_of("loss", loss, tuple(LOSSES)) if isinstance(loss, str) else loss_problems(loss)
    if not problems and model._loss().needs_units and not isinstance(model.scaler, str | None):
        named = repr(loss) if isinstance(loss, str) else f"{type(loss).__name__}()"
        must = f"{named} judges in the data's own units, which scaler {type(model.scaler).__name__}() hides"
        remedy = f"use one of {', '.join(map(repr, SCALERS))} or None, or loss='mae'"
        problems.append(Problem(must, "", remedy, parameter="loss"))
    return problems


def device_problems(name: str) -> list[str]:
    """Return what is wrong with the name of a device."""
    if name == "auto":
        return []
    try:
        torch.zeros(0, device=name)
    except (RuntimeError, AssertionError, NotImplementedError):
        must = "must be 'auto', 'cpu' or a device that torch finds on this machine"
        return [Problem(must, f"got {name!r}", parameter="device")]
    return []
