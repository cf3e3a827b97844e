"""Architecture of a network, the layers that networks share, and saved weights put into a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

CELL_NAMES = ("rnn", "gru", "lstm", "conv1d")
POOLINGS = ("mean", "max", "mean-max", "last", "attention")


@dataclass(frozen=True)
class Architecture:
    """The shape of a network.

    Parameters
    ----------
    cell : {"rnn", "gru", "lstm", "conv1d"}
    units, layers : int
        Width (U) and depth.
    segment : int
        Consecutive steps that are read, and forecast, at once (S); 1 reads step by step.
    channels : {"independent", "joint"}
        Each target forecast from its own past by one network that all share, or all from the past of all.
    residual : bool
        Add its input to the output of each layer.
    norm : {"layer", "batch"} or None
        Before each layer.
    dropout : float
        Share of values dropped after each layer.
    bidirectional : bool
        A recurrent layer also reads its window backwards.
    kernel_size : int
        Segments that one convolution reads.
    activation : {"relu", "gelu", "tanh", "sigmoid"}
        Of embedding, convolutions and decoder.
    head_layers : {1, 2}
        Linear layers of the head.
    """

    cell: str = "gru"
    units: int = 64
    layers: int = 1
    segment: int = 1
    channels: str = "independent"
    residual: bool = False
    norm: str | None = None
    dropout: float = 0.0
    bidirectional: bool = False
    kernel_size: int = 3
    activation: str = "relu"
    head_layers: int = 1


_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


def activation_layer(name: str) -> nn.Module:
    """Return an activation by name; GELU is that of Hendrycks and Gimpel (2016, arXiv 1606.08415).

    Examples
    --------
    >>> activation_layer("tanh")
    Tanh()
    """
    return _ACTIVATIONS[name]()


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation of (B, T, U) over sequences and steps [Ioffe and Szegedy 2015, arXiv 1502.03167]."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Normalise; steps outside the `mask`, (B, T, 1), are not counted and become zero."""
        steps = x.flatten(0, 1) if mask is None else x[mask[..., 0]]  # (steps of all sequences, U)
        if self.training and len(steps) == 1:  # which has no spread of its own
            normed = F.batch_norm(steps, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        else:
            normed = super().forward(steps)
        if mask is None:
            return normed.view_as(x)  # (B, T, U)
        padded = normed.new_zeros(x.shape)
        padded[mask[..., 0]] = normed
        return padded


def normalise(norm: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
    """Apply a normalisation to (B, T, U); one over the batch reads only the steps in the `mask`, (B, T, 1)."""
    normed: Tensor = norm(x, mask) if isinstance(norm, BatchNorm) else norm(x)
    return normed


def steps_of(x: Tensor, lengths: Tensor | None) -> Tensor | None:
    """Return which steps of (B, T, U) lie within sequences of `lengths`, (B,), as (B, T, 1); None where all do."""
    if lengths is None:
        return None
    return (torch.arange(x.shape[1], device=x.device) < lengths.to(x.device)[:, None])[..., None]


def norm_layer(name: str | None, units: int) -> nn.Module:
    """Return the normalisation of (B, T, U) over units (layer), over the batch, or none.

    Layer normalisation is that of Ba et al. (2016, arXiv 1607.06450).
    """
    if name is None:
        return nn.Identity()
    return nn.LayerNorm(units) if name == "layer" else BatchNorm(units)


class Pooling(nn.Module):
    """Sum up the states of each sequence over its own steps, without padding.

    Parameters
    ----------
    name : {"mean", "max", "mean-max", "last", "attention"}
        Attention is a mean with weights that one layer reads from each state [Yang et al. 2016, Hierarchical
        Attention Networks]; mean-max concatenates both.
    units : int
        Width of a state (U).
    bidirectional : bool
        States look ahead as well: "last" is then the mean of the first and the last state.

    Examples
    --------
    >>> states = torch.tensor([[[1.0], [3.0], [9.0]]])
    >>> Pooling("mean-max", 1)(states, torch.tensor([2])).tolist()
    [[2.0, 3.0]]
    """

    def __init__(self, name: str, units: int, bidirectional: bool = False) -> None:
        super().__init__()
        self.name, self.bidirectional = name, bidirectional
        self.width = 2 * units if name == "mean-max" else units
        self.score = nn.Sequential(nn.Linear(units, units), nn.Tanh(), nn.Linear(units, 1, bias=False))
        if name != "attention":
            self.score = nn.Sequential()

    def forward(self, states: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Map states (B, T, U) of sequences with `lengths`, (B,), or of T steps, to (B, U) or (B, 2U)."""
        batch, steps, _ = states.shape
        if lengths is None:
            lengths = torch.full((batch,), steps)
        lengths = lengths.to(states.device)
        mask = (torch.arange(steps, device=states.device) < lengths[:, None])[..., None]  # (B, T, 1)
        if self.name == "last":
            last = states[torch.arange(batch, device=states.device), lengths - 1]  # (B, U)
            return (last + states[:, 0]) / 2 if self.bidirectional else last
        if self.name == "max":
            return _maximum(states, mask)
        if self.name == "attention":
            weights = torch.softmax(self.score(states).masked_fill(~mask, -torch.inf), dim=1)  # (B, T, 1)
            return (states * weights).sum(dim=1)
        mean = torch.where(mask, states, 0.0).sum(dim=1) / lengths[:, None]  # (B, U)
        return mean if self.name == "mean" else torch.cat([mean, _maximum(states, mask)], dim=1)


def _maximum(states: Tensor, mask: Tensor) -> Tensor:
    return states.masked_fill(~mask, -torch.inf).amax(dim=1)  # (B, U)


class TrainableNetwork(nn.Module):
    """A network with a naive reference, of which parts can be frozen while the rest is trained further."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen: tuple[str, ...] = ()

    def naive(self, *inputs: Any, **named: Any) -> Tensor:
        """Return the outputs of the naive reference for the inputs of `forward`."""
        raise NotImplementedError(f"{type(self).__name__} must have a naive reference")

    def freeze(self, names: tuple[str, ...]) -> None:
        """Freeze every parameter whose name starts with one of `names`, and free all others."""
        self.frozen = names
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(not name.startswith(names) if names else True)

    def train(self, mode: bool = True) -> Self:
        """Set training mode, but not for frozen parts: their statistics and dropout are off as well."""
        super().train(mode)
        for name, part in self.named_modules():
            if self.frozen and f"{name}.".startswith(self.frozen):
                part.training = False
        return self


Network = TypeVar("Network", bound=nn.Module)


def with_weights(build: Callable[[], Network], layers: int, weights: Mapping[str, NDArray[Any]]) -> Network:
    """Build a network and load its weights.

    Nothing is allocated before all shapes are known to match: a file that describes a huge network without its weights
    costs nothing.

    Parameters
    ----------
    build : callable
    layers : int
        Layers of the network; each has at least one weight.
    weights : dict of arrays

    Raises
    ------
    ValueError

    Examples
    --------
    >>> import numpy as np
    >>> with_weights(lambda: nn.Linear(10**9, 10**9), 1, {"weight": np.ones((1, 2)), "bias": np.ones(1)})
    Traceback (most recent call last):
        ...
    ValueError: weights must be those of the network: 'bias' has shape (1,), and (1000000000,) is needed
    """
    if layers > len(weights):
        raise ValueError(f"weights must be those of the network: {len(weights)} arrays are no {layers} layers")
    with torch.device("meta"), _NothingInPlace():
        needed = {name: tuple(part.shape) for name, part in build().state_dict().items()}
    given = {name: array.shape for name, array in weights.items()}
    for name in sorted(needed.keys() | given.keys()):
        if given.get(name) != needed.get(name):
            found = f"has shape {given[name]}" if name in given else "is missing"
            wanted = f"{needed[name]} is needed" if name in needed else "nothing of the name is needed"
            raise ValueError(f"weights must be those of the network: {name!r} {found}, and {wanted}")
    with torch.random.fork_rng(devices=[]):  # initial weights are not used
        network = build()
    network.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    return network


class _NothingInPlace(TorchFunctionMode):
    """Skip in-place operations: of shapes alone there is nothing to fill, and torch imports a lot to do so."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name.endswith("_") and not name.startswith("_"):
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))
