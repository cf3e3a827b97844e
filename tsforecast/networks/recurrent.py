"""The recurrent encoder: one module, cell by name."""

from __future__ import annotations

from torch import Tensor, nn

CELLS: dict[str, type[nn.RNN] | type[nn.GRU] | type[nn.LSTM]] = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


class RecurrentEncoder(nn.Module):
    """Read a window step by step and return the last state.

    Parameters
    ----------
    cell : {"rnn", "gru", "lstm"}
        Elman (1990), Cho et al. (2014, arXiv 1406.1078), Hochreiter and Schmidhuber (1997).
    inputs, units, layers : int
        Columns read at each step, width and depth.
    dropout : float
        Share of values dropped between layers and before the state is returned.

    Examples
    --------
    >>> import torch
    >>> RecurrentEncoder("gru", inputs=1, units=8, layers=2, dropout=0.0)(torch.zeros(4, 24, 1)).shape
    torch.Size([4, 8])
    """

    def __init__(self, cell: str, inputs: int, units: int, layers: int, dropout: float) -> None:
        super().__init__()
        between = dropout if layers > 1 else 0.0
        self.cell = CELLS[cell](inputs, units, layers, batch_first=True, dropout=between)
        self.dropout = nn.Dropout(dropout)

    def forward(self, past: Tensor) -> Tensor:
        """Map windows of shape (B, W, I) to states of shape (B, U)."""
        states, _ = self.cell(past)  # (B, W, U)
        last: Tensor = self.dropout(states[:, -1])  # (B, U)
        return last
