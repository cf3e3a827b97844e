"""Encoders by cell: the recurrent one, read by torch or by fast kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from tsforecast.networks.conv import ConvEncoder
from tsforecast.networks.kernels.choice import MODES, loaded
from tsforecast.networks.layers import Architecture, BatchNorm, norm_layer, normalise, steps_of

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
    elif lengths is None:
        states, _ = cell(x)
    else:  # packed, so that reading backwards begins at the end of each
        packed, _ = cell(pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False))
        states, _ = pad_packed_sequence(packed, batch_first=True, total_length=x.shape[1])
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
