"""The recurrent encoder: one module, cell by name."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from tsforecast.networks.architecture import Architecture
from tsforecast.networks.pieces import norm_layer

CELLS: dict[str, type[nn.RNN] | type[nn.GRU] | type[nn.LSTM]] = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


class RecurrentLayer(nn.Module):
    """One layer: normalise, read forwards (and backwards, if asked), drop, and add what came in."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        units, both = architecture.units, architecture.bidirectional
        self.norm = norm_layer(architecture.norm, units)
        self.cell = CELLS[architecture.cell](units, units, batch_first=True, bidirectional=both)
        self.join = nn.Linear(2 * units, units) if both else nn.Identity()
        self.dropout = nn.Dropout(architecture.dropout)
        self.residual = architecture.residual

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Map (B, T, U) to (B, T, U); sequences that end before T have their `lengths`, (B,), and zeros after them."""
        if lengths is None:
            states, _ = self.cell(self.norm(x))  # (B, T, U), or (B, T, 2U) both ways
        else:  # packed, so that reading backwards begins at the end of each
            packed = pack_padded_sequence(self.norm(x), lengths.cpu(), batch_first=True, enforce_sorted=False)
            states, _ = pad_packed_sequence(self.cell(packed)[0], batch_first=True, total_length=x.shape[1])
        read: Tensor = self.dropout(self.join(states))  # (B, T, U)
        return x + read if self.residual else read


class RecurrentEncoder(nn.Module):
    """Read embedded segments one after the other and return the last state.

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

    def forward(self, x: Tensor) -> Tensor:
        """Map segments of shape (B, T, U) to states of shape (B, U)."""
        return self.states(x)[:, -1]  # (B, U)

    def states(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Map (B, T, U) to the state at each step, (B, T, U); what lies beyond `lengths`, (B,), says nothing."""
        for layer in self.layers:
            x = layer(x, lengths)
        return x
