"""Encoders by cell: recurrent, and convolutional: causal, dilated, residual; read by torch or by fast kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from tsforecast.networks.kernels.choice import MODES, loaded
from tsforecast.networks.layers import (
    ACTIVATIONS,
    Architecture,
    BatchNorm,
    every_other,
    norm_layer,
    normalise,
    steps_of,
)

if TYPE_CHECKING:
    from tsforecast.networks.kernels.cells import Cell

CELLS: dict[str, type[nn.RNN] | type[nn.GRU] | type[nn.LSTM]] = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


class RecurrentLayer(nn.Module):
    """One layer: normalise, read forwards (and backwards, if bidirectional), drop, and add the input (if residual)."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        units, both = architecture.units, architecture.bidirectional
        self.norm = norm_layer(architecture.norm, units)
        self.cell = CELLS[architecture.cell](units, units, batch_first=True, bidirectional=both)
        self.join = nn.Linear(2 * units, units) if both else nn.Identity()
        self.dropout = nn.Dropout(architecture.dropout)
        self.residual = architecture.residual
        self.fused = False  # read with the fast kernels where possible

    def forward(
        self, x: Tensor, lengths: Tensor | None = None, last: bool = False, embed: nn.Sequential | None = None
    ) -> Tensor:
        """Map (B, T, U) to (B, T, U), or to the last step alone, (B, 1, U).

        Sequences that end before T have their `lengths`, (B,), and zeros after them. `embed` comes first, if given.
        """
        if embed is not None and (self.residual or not isinstance(self.norm, nn.Identity)):
            x, embed = embed(x), None
        mask = steps_of(x, lengths) if lengths is not None and isinstance(self.norm, BatchNorm) else None
        x = normalise(self.norm, x, mask)
        states = read(self.cell, x, lengths, last, self.fused, embed)  # (B, T, U), or (B, T, 2U)
        outputs: Tensor = self.dropout(self.join(states))  # (B, T, U)
        return x[:, -outputs.shape[1] :] + outputs if self.residual else outputs


class RecurrentEncoder(nn.Module):
    """Embed segments, read one after the other and return the last state.

    The cells are those of Elman (1990), Cho et al. (2014, arXiv 1406.1078), and Hochreiter and Schmidhuber (1997).
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(RecurrentLayer(architecture) for _ in range(architecture.layers)))

    def forward(self, x: Tensor, embed: nn.Sequential | None = None) -> Tensor:
        """Map segments of shape (B, T, U), or the inputs of `embed`, to states of shape (B, U)."""
        *lower, top = self.layers
        for layer in lower:
            x, embed = layer(x, embed=embed), None
        return top(x, last=True, embed=embed)[:, 0]  # type: ignore[no-any-return]  # (B, U)

    def states(self, x: Tensor, lengths: Tensor | None = None, embed: nn.Sequential | None = None) -> Tensor:
        """Map (B, T, U) to the state at each step, (B, T, U); beyond `lengths`, (B,), it has no meaning."""
        for layer in self.layers:
            x, embed = layer(x, lengths, embed=embed), None
        return x


class CausalBlock(nn.Module):
    """One residual block: normalise, a convolution that looks back only, activation, dropout, plus the input.

    A bidirectional one looks as far ahead as it looks back.
    """

    def __init__(self, architecture: Architecture, dilation: int) -> None:
        super().__init__()
        self.reach = (architecture.kernel_size - 1) * dilation
        self.ahead = self.reach // 2 if architecture.bidirectional else 0
        self.norm = norm_layer(architecture.norm, architecture.units)
        self.convolution = nn.Conv1d(
            architecture.units, architecture.units, architecture.kernel_size, dilation=dilation
        )
        self.activation = ACTIVATIONS[architecture.activation]()
        self.dropout = nn.Dropout(architecture.dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None, halve: bool = False) -> Tensor:
        """Map (B, T, U) to (B, T, U); step t of the result depends on steps up to t, unless the block looks ahead.

        Steps outside the `mask`, (B, T, 1), are read as zeros. With `halve`, the steps of x are those that lie a
        dilation apart, and every other one is returned, the last among them, (B, ceil(T / 2), U).
        """
        if halve:
            return self._halved(x)
        steps = self.norm(x) if mask is None else normalise(self.norm, x, mask) * mask
        padded = F.pad(steps.transpose(1, 2), (self.reach - self.ahead, self.ahead))  # (B, U, reach + T)
        convolved = self.convolution(padded).transpose(1, 2)  # (B, T, U)
        mixed: Tensor = x + self.dropout(self.activation(convolved))
        return mixed

    def _halved(self, x: Tensor) -> Tensor:
        """Return every other step, the last among them."""
        convolved = every_other(self.convolution, self.norm(x))
        mixed: Tensor = x[:, (x.shape[1] - 1) % 2 :: 2] + self.dropout(self.activation(convolved))
        return mixed


class ConvEncoder(nn.Module):
    """Read embedded segments with stacks of dilated convolutions and return the state at the last one.

    In each of the `layers` stacks the dilation doubles from block to block until the last state reaches back over
    the whole window of `length` segments [van den Oord et al. 2016, arXiv 1609.03499; Bai et al. 2018, arXiv
    1803.01271].
    """

    def __init__(self, architecture: Architecture, length: int) -> None:
        super().__init__()
        dilations: list[int] = []
        reach, dilation = 1, 1
        while not dilations or (
            reach < length and architecture.kernel_size > 1
        ):  # one of a single step never reaches further
            dilations.append(dilation)
            reach += (architecture.kernel_size - 1) * dilation
            dilation *= 2
        self.blocks = nn.Sequential(
            *(CausalBlock(architecture, d) for _ in range(architecture.layers) for d in dilations)
        )
        # Fewer steps matter to the last state from block to block. Blocks that look ahead, and norms over a batch,
        # need all of them.
        skips = not architecture.bidirectional and architecture.norm != "batch"
        self.skipping = len(dilations) if skips else 0  # last blocks that compute only what the next one reads
        self.fused = False  # read with the fast kernels where possible

    def forward(self, x: Tensor, embed: nn.Sequential | None = None) -> Tensor:
        """Map segments of shape (B, T, U), or the inputs of `embed`, to states of shape (B, U)."""
        if self.fused and self.has_kernels(x):
            return self.by_kernels(x, None, embed, self.skipping)[:, -1]  # (B, U)
        x = x if embed is None else embed(x)
        for left, block in zip(range(len(self.blocks), 0, -1), self.blocks, strict=True):
            x = block(x, halve=left <= self.skipping)
        return x[:, -1]  # (B, U)

    def states(self, x: Tensor, lengths: Tensor | None = None, embed: nn.Sequential | None = None) -> Tensor:
        """Map (B, T, U) to the state at each step, (B, T, U); beyond `lengths`, (B,), it has no meaning."""
        if self.fused and self.has_kernels(x):
            return self.by_kernels(x, lengths, embed, 0)
        x = x if embed is None else embed(x)
        mask = None if lengths is None else steps_of(x, lengths)  # (B, T, 1)
        for block in self.blocks:
            x = block(x, mask)
        return x

    def has_kernels(self, x: Tensor) -> bool:
        """Return whether the fast kernels can map x, (B, T, I)."""
        block = cast(CausalBlock, self.blocks[0])
        covered = (
            isinstance(block.norm, nn.Identity)
            and isinstance(block.activation, nn.ReLU)
            and x.device.type == "cpu"
            and x.dtype == block.convolution.weight.dtype == torch.float32
            and x.numel() > 0
            and not torch.is_autocast_enabled("cpu")
            and not torch.compiler.is_compiling()
        )
        return covered and loaded(MODES["conv1d"]) is not None

    def by_kernels(self, x: Tensor, lengths: Tensor | None, embed: nn.Sequential | None, halved: int) -> Tensor:
        """Map (B, T, I) to (B, T, U), or to the state of the last step alone where so many blocks are `halved`."""
        from tsforecast.networks.kernels.convolution import blocks_of, stack

        if embed is not None and (x.requires_grad or not isinstance(embed[1], nn.ReLU)):
            x, embed = embed(x), None
        blocks = [cast(CausalBlock, block) for block in self.blocks]
        dilations, ahead = zip(*((block.convolution.dilation[0], block.ahead) for block in blocks), strict=True)
        return stack(
            x,
            lengths,
            blocks_of(x.shape[1], dilations, ahead, halved),
            [block.convolution.weight for block in blocks],
            [cast(Tensor, block.convolution.bias) for block in blocks],
            [] if embed is None else list(embed[0].parameters()),
            blocks[0].dropout.p if blocks[0].dropout.training else 0.0,
        )


def encoder(architecture: Architecture, length: int) -> ConvEncoder | RecurrentEncoder:
    """Return the encoder of a cell; a convolutional one reaches back over so many segments."""
    return ConvEncoder(architecture, length) if architecture.cell == "conv1d" else RecurrentEncoder(architecture)


def read(
    cell: nn.RNNBase,
    x: Tensor,
    lengths: Tensor | None = None,
    last: bool = False,
    fused: bool = True,
    embed: nn.Sequential | None = None,
) -> Tensor:
    """Read sequences (B, T, I) with one layer of torch: by kernels if `fused` and possible, by the module itself else.

    Sequences that end before T have their `lengths`, (B,). `embed`, a linear layer and an activation, comes before the
    cell; kernels compute it on the way where they can. Return the states, (B, T, U), in both directions (B, T, 2U), or
    those of the last step alone, with one step in place of T.
    """
    kernels = kernels_for(cell, x) if fused else None
    if embed is not None and (kernels is None or not embeds(embed, cell, x)):
        x, embed = embed(x), None
    if kernels is not None:
        from tsforecast.networks.kernels.autograd import read_layer

        whole = not last or lengths is not None or cell.bidirectional
        embedding = [] if embed is None else list(embed[0].parameters())
        ways = [
            read_layer(kernels, x, lengths, weights, backwards, whole, embedding)
            for backwards, weights in zip((False, True), cell.all_weights, strict=False)
        ]
        states = torch.cat(ways, dim=2) if cell.bidirectional else ways[0]
    elif lengths is None or not cell.bidirectional:  # what follows the end of a sequence comes after all its states
        states, _ = cell(x)
    else:  # packed, so that reading backwards begins at the end of each; sorted here, as torch would wait for a GPU
        lengths, order = lengths.sort(descending=True)
        back = order.argsort().to(x.device, non_blocking=True)
        x = x.index_select(0, order.to(x.device, non_blocking=True))
        packed, _ = cell(pack_padded_sequence(x, lengths, batch_first=True))
        states, _ = pad_packed_sequence(packed, batch_first=True, total_length=x.shape[1])
        states = states.index_select(0, back)
    return states[:, -1:] if last and states.shape[1] > 1 else states


def kernels_for(cell: nn.RNNBase, x: Tensor) -> Cell | None:
    """Return the kernels that can read x, (B, T, I), in place of a layer of torch; None where they cannot."""
    covered = (
        cell.mode in MODES.values()
        and cell.num_layers == 1
        and cell.batch_first
        and cell.bias
        and not cell.proj_size
        and x.device.type == "cpu"
        and x.dtype == cell.weight_hh_l0.dtype == torch.float32
        and x.numel() > 0
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )
    return cast("Cell | None", loaded(cell.mode)) if covered else None


def embeds(embed: nn.Sequential, cell: nn.RNNBase, x: Tensor) -> bool:
    """Return whether kernels can embed x, (B, T, I), on the way to a cell: by a linear layer and ReLU.

    They cannot where both directions would repeat it, or where x itself needs a gradient.
    """
    return isinstance(embed[1], nn.ReLU) and not cell.bidirectional and not x.requires_grad


def use_kernels(network: nn.Module, use: bool) -> None:
    """Use kernels in the encoders of a network, or not."""
    for part in _parts(network):
        part.fused = use


def uses_kernels(network: nn.Module) -> bool:
    """Return whether encoders of a network use kernels."""
    return any(part.fused for part in _parts(network))


def _parts(network: nn.Module) -> list[RecurrentLayer | ConvEncoder]:
    return [part for part in network.modules() if isinstance(part, RecurrentLayer | ConvEncoder)]
