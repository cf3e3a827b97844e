"""Architecture of a network, the layers that networks share, and saved weights put into a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

CELL_NAMES = ("rnn", "gru", "lstm", "conv1d")
ACTIVATIONS: dict[str, type[nn.Module]] = {  # GELU: Hendrycks and Gimpel (2016, arXiv 1606.08415)
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


@dataclass(frozen=True)
class Architecture:
    """The shape of a network."""

    cell: str = "gru"
    units: int = 64  # width (U)
    layers: int = 1
    segment: int = 1  # consecutive steps that are read, and forecast, at once (S); 1 reads step by step
    channels: str = "independent"  # each target from its own past by one shared network, or "joint": all from all
    residual: bool = False  # add its input to the output of each layer
    norm: str | None = None  # before each layer
    dropout: float = 0.0  # share of values dropped after each layer
    bidirectional: bool = False  # a recurrent layer also reads its window backwards
    kernel_size: int = 3  # segments that one convolution reads
    activation: str = "relu"  # of embedding, convolutions and decoder
    head_layers: int = 1  # linear layers of the head: one or two

    def embedding(self, inputs: int) -> nn.Sequential:
        """Return the linear layer, with its activation, that makes U numbers of so many."""
        return nn.Sequential(nn.Linear(inputs, self.units), ACTIVATIONS[self.activation]())

    def head(self, inputs: int, outputs: int, layers: int) -> nn.Module:
        """Return a head of one or two linear layers, the last of them zero."""
        last = nn.Linear(inputs if layers == 1 else self.units, outputs)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        return last if layers == 1 else nn.Sequential(*self.embedding(inputs), nn.Dropout(self.dropout), last)


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


def steps_of(x: Tensor, lengths: Tensor) -> Tensor:
    """Return which steps of (B, T, U) lie within sequences of `lengths`, (B,), as (B, T, 1)."""
    until = lengths[:, None].to(x.device, non_blocking=True)
    return (torch.arange(x.shape[1], device=x.device) < until)[..., None]


def norm_layer(name: str | None, units: int) -> nn.Module:
    """Return a normalisation: over the units [layer, Ba et al. 2016, arXiv 1607.06450], over the batch, or none."""
    if name is None:
        return nn.Identity()
    return nn.LayerNorm(units) if name == "layer" else BatchNorm(units)


def every_other(convolution: nn.Conv1d, x: Tensor) -> Tensor:
    """Return a causal convolution of (B, T, U) at every other step, the last among them, as one product of matrices."""
    width, odd = convolution.kernel_size[0], (x.shape[1] - 1) % 2
    padded = F.pad(x, (0, 0, width - 1 - odd, 0))  # (B, P, U); a kernel of one step drops the first
    taps = [padded[:, i : padded.shape[1] - (width - 1 - i) : 2] for i in range(width)]  # k of (B, ceil(T / 2), U)
    weight = convolution.weight.transpose(1, 2).flatten(1)  # (U, kU)
    return F.linear(torch.cat(taps, dim=2), weight, convolution.bias)


class Pooling(nn.Module):
    """Sum up the states of each sequence over its own steps, without padding.

    Attention is a mean with weights that one layer reads from each state [Yang et al. 2016, Hierarchical Attention
    Networks]; "last" is the mean of the first and the last state where states look ahead as well.
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
        whole = lengths is None
        if lengths is None:
            lengths = torch.full((batch,), steps, device=states.device)
        lengths = lengths.to(states.device, non_blocking=True)
        if self.name == "last":
            last = states[torch.arange(batch, device=states.device), lengths - 1]  # (B, U)
            return (last + states[:, 0]) / 2 if self.bidirectional else last
        mask = steps_of(states, lengths)  # (B, T, 1)
        if self.name == "max":
            return _maximum(states, mask)
        if self.name == "attention":
            weights = torch.softmax(self.score(states).masked_fill(~mask, -torch.inf), dim=1)  # (B, T, 1)
            return (states * weights).sum(dim=1)
        shares = (mask / lengths[:, None, None]).to(states.dtype)  # (B, T, 1)
        mean = states.mean(dim=1) if whole else (shares.transpose(1, 2) @ states)[:, 0]  # (B, U)
        return mean if self.name == "mean" else torch.cat([mean, _maximum(states, mask)], dim=1)


def _maximum(states: Tensor, mask: Tensor) -> Tensor:
    """Return the highest of the states in the `mask`, (B, U)."""
    return states.masked_fill(~mask, -torch.inf).amax(dim=1)


class Missing(nn.Module):
    """Steps that a window of W lacks, by how many of the last ones are known, and an anchor of copied `rows`, (H, A).

    All is looked up: in a step of training that is cheaper than comparisons.
    """

    def __init__(self, window: int, segment: int, rows: NDArray[np.int64]) -> None:
        super().__init__()
        self.window, self.segment, self.count = window, segment, -(-window // segment)
        known = np.arange(window + 1)
        copies = (rows >= window - known[:, None, None]).sum(2)  # that exist, (W + 1, H)
        level = (copies == 0) / np.maximum(known, 1)[:, None]
        factors = torch.from_numpy(np.stack([1 / np.maximum(copies, 1), level], axis=-1).astype(np.float32))
        before = (self.count - 1) * segment  # steps of all segments but the last
        shares = (torch.arange(-before, window + 1) / segment).clamp(0, 1)
        self.exist: Tensor
        self.shares: Tensor
        self.factors: Tensor  # of the sum of copies, and of that of all known steps, in the anchor, (W + 1, H, 2)
        self.register_buffer("exist", (torch.arange(2 * window) >= window).float(), persistent=False)
        self.register_buffer("shares", shares, persistent=False)
        self.register_buffer("factors", factors, persistent=False)

    def steps(self, known: Tensor) -> Tensor:
        """Return 1 for each step that exists, else 0, (B, W, 1), given how many do, (B,)."""
        return self.exist.unfold(0, self.window, 1).index_select(0, known)[..., None]

    def segments(self, known: Tensor) -> Tensor:
        """Return the share of the steps of each segment that exists, (B, T)."""
        return self.shares.as_strided((self.window + 1, self.count), (1, self.segment)).index_select(0, known)

    def anchor(self, total: Tensor, own: Tensor, known: Tensor) -> Tensor:
        """Return the anchor, (B, H, K), of the `total` of copies that exist and windows (B, W, K)."""
        factors = self.factors.index_select(0, known)  # (B, H, 2)
        # Not in one operation: that may round in another way elsewhere in a batch.
        return total * factors[..., :1] + own.sum(1, keepdim=True) * factors[..., 1:]


class TrainableNetwork(nn.Module):
    """A network with a naive reference, of which parts can be frozen while the rest is trained further."""

    members: int = 1  # networks that are trained at once, each alone on its own batches
    separate: bool = True  # whether these share no parameters

    def __init__(self) -> None:
        super().__init__()
        self.frozen: tuple[str, ...] = ()

    def naive(self, *inputs: Any, **named: Any) -> Tensor:
        """Return the outputs of the naive reference for the inputs of `forward`."""
        raise NotImplementedError(f"{type(self).__name__} must have a naive reference")

    def alone(self) -> list[Callable[..., Tensor]]:
        """Return the `forward` of each member on its own."""
        return [self]

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


LATER = ("share",)  # numbers that the networks of older versions lack: those of a new network stand for them
Network = TypeVar("Network", bound=nn.Module)


def with_weights(build: Callable[[], Network], layers: int, weights: Mapping[str, NDArray[Any]]) -> Network:
    """Build a network and load its weights, at least one for each of its `layers`.

    Nothing is allocated before all shapes are known to match: a file that describes a huge network without its weights
    costs nothing.
    """
    if layers > len(weights):
        raise ValueError(f"weights must be those of the network: {len(weights)} arrays are no {layers} layers")
    with torch.device("meta"), _NothingInPlace():
        needed = {name: tuple(part.shape) for name, part in build().state_dict().items()}
    given = {name: array.shape for name, array in weights.items()}
    for name in sorted(needed.keys() | given.keys()):
        if given.get(name) != needed.get(name) and (name in given or name not in LATER):
            found = f"has shape {given[name]}" if name in given else "is missing"
            wanted = f"{needed[name]} is needed" if name in needed else "nothing of the name is needed"
            raise ValueError(f"weights must be those of the network: {name!r} {found}, and {wanted}")
    with torch.random.fork_rng(devices=[]):  # initial weights are not used
        network = build()
    network.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()}, strict=False)
    return network


class _NothingInPlace(TorchFunctionMode):
    """Skip in-place operations: of shapes alone there is nothing to fill, and torch imports a lot to do so."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name.endswith("_") and not name.startswith("_"):
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))
