"""The recurrent encoder: one module, cell by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from tsforecast.networks.kernels.dispatch import embeds, kernels_for, worth_loading
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
        x = normalise(self.norm, x, steps_of(x, lengths) if isinstance(self.norm, BatchNorm) else None)
        states, _ = read(self.cell, x, lengths, last=last, fused=self.fused, embed=embed)  # (B, T, U), or (B, T, 2U)
        outputs: Tensor = self.dropout(self.join(states))  # (B, T, U)
        return x[:, -outputs.shape[1] :] + outputs if self.residual else outputs


class RecurrentEncoder(nn.Module):
    """Embed segments, read one after the other and return the last state.

    The cells are those of Elman (1990), Cho et al. (2014, arXiv 1406.1078), and Hochreiter and Schmidhuber (1997).

    Examples
    --------
    >>> import torch
    >>> RecurrentEncoder(Architecture("gru", units=8, layers=2))(torch.zeros(4, 24, 8)).shape
    torch.Size([4, 8])
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


def read(
    cell: nn.RNNBase,
    x: Tensor,
    lengths: Tensor | None = None,
    state: Tensor | tuple[Tensor, ...] | None = None,
    last: bool = False,
    fused: bool = True,
    embed: nn.Sequential | None = None,
) -> tuple[Tensor, Any]:
    """Read sequences with a module of torch: by the fast kernels where possible, by the module itself elsewhere.

    Parameters
    ----------
    cell : RNN, GRU or LSTM of torch, with ``batch_first=True``
    x : tensor of shape (B, T, I)
    lengths : int64 tensor of shape (B,), optional
        Steps of each sequence where not all have T.
    state : tensor of shape (L, B, U), or a pair of them for the LSTM, optional
        The first state; L counts layers, and their directions.
    last : bool
        Return the states of the last step alone.
    fused : bool
        Use kernels where possible.
    embed : linear layer and activation, optional
        Layers before the cell; kernels compute them on the way where they can.

    Returns
    -------
    states : tensor of shape (B, T, U), (B, T, 2U) in both directions, or with `last` of one step
    state : like `state`, after the last step

    Examples
    --------
    >>> states, _ = read(nn.GRU(1, 4, batch_first=True), torch.zeros(3, 5, 1))
    >>> states.shape
    torch.Size([3, 5, 4])
    """
    kernels = kernels_for(cell, x) if fused else None
    if embed is not None and (kernels is None or not embeds(embed, cell, x)):
        x, embed = embed(x), None
    if kernels is not None:
        states, state = _by_kernels(kernels, cell, x, lengths, state, last and lengths is None, embed)
    elif lengths is None:
        states, state = cell(x, state)
    else:  # packed, so that reading backwards begins at the end of each
        packed, state = cell(pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False), state)
        states, _ = pad_packed_sequence(packed, batch_first=True, total_length=x.shape[1])
    return states[:, -1:] if last and states.shape[1] > 1 else states, state


def _by_kernels(
    kernels: Cell,
    cell: nn.RNNBase,
    x: Tensor,
    lengths: Tensor | None,
    state: Any,
    last: bool,
    embed: nn.Sequential | None,
) -> tuple[Tensor, Any]:
    from tsforecast.networks.kernels.autograd import read_layer

    ways, pair = 1 + cell.bidirectional, cell.mode == "LSTM"
    first = None if state is None else torch.stack(state if pair else (state,))  # (S, L, B, U)
    ended, embedding = [], [] if embed is None else list(embed[0].parameters())
    for depth in range(cell.num_layers):
        top = depth == cell.num_layers - 1
        whole = not (last and top and ways == 1)
        outputs = []
        for way in range(ways):
            number = depth * ways + way
            weights, begin = cell.all_weights[number], None if first is None else first[:, number]
            states, end = read_layer(kernels, x, lengths, begin, weights, way == 1, whole, embedding)
            outputs.append(states)
            ended.append(end)
        x, embedding = torch.cat(outputs, dim=2) if ways == 2 else outputs[0], []
        if not top:
            x = F.dropout(x, cell.dropout, cell.training)
    after = torch.stack(ended, dim=1) if len(ended) > 1 else ended[0][:, None]  # (S, L, B, U)
    return x, (after[0], after[1]) if pair else after[0]


def choose_kernels(network: nn.Module, batches: int, batch: int, steps: int) -> bool:
    """Use kernels in the recurrent layers of a network if that saves more time than loading them; return whether.

    Parameters
    ----------
    network : Module
    batches, batch, steps : int
        Batches of the training, rows in a batch, steps in a row.
    """
    pays = any(worth_loading(layer.cell, batches, batch, steps) for layer in _layers(network))
    use_kernels(network, pays)
    return pays


def use_kernels(network: nn.Module, use: bool) -> None:
    """Use kernels in the recurrent layers of a network, or not."""
    for layer in _layers(network):
        layer.fused = use


def _layers(network: nn.Module) -> list[RecurrentLayer]:
    return [part for part in network.modules() if isinstance(part, RecurrentLayer)]
