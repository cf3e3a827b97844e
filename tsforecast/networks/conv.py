"""The convolutional encoder: causal, dilated, residual."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class CausalBlock(nn.Module):
    """One residual step: a convolution that looks back only, ReLU, dropout, plus what came in."""

    def __init__(self, units: int, kernel_size: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.reach = (kernel_size - 1) * dilation
        self.convolution = nn.Conv1d(units, units, kernel_size, dilation=dilation)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, U, W) to (B, U, W); step t of the result depends on steps up to t."""
        seen = self.convolution(F.pad(x, (self.reach, 0)))  # (B, U, W)
        mixed: Tensor = x + self.dropout(F.relu(seen))
        return mixed


class ConvEncoder(nn.Module):
    """Read a window with stacks of dilated convolutions and return the state at its last step.

    In each stack the dilation doubles from block to block until the last step has seen the whole
    window [van den Oord et al. 2016, arXiv 1609.03499; Bai et al. 2018, arXiv 1803.01271].

    Parameters
    ----------
    inputs, units, layers : int
        Columns read at each step, channels, number of stacks.
    window : int
        Steps that the last state must have seen.
    dropout : float
    kernel_size : int
        Steps that one convolution reads.

    Examples
    --------
    >>> import torch
    >>> ConvEncoder(inputs=1, units=8, layers=1, window=24, dropout=0.0)(torch.zeros(4, 24, 1)).shape
    torch.Size([4, 8])
    """

    def __init__(self, inputs: int, units: int, layers: int, window: int, dropout: float, kernel_size: int = 3) -> None:
        super().__init__()
        self.project = nn.Conv1d(inputs, units, 1)
        blocks: list[int] = []
        reach, dilation = 1, 1
        while not blocks or reach < window:
            blocks.append(dilation)
            reach += (kernel_size - 1) * dilation
            dilation *= 2
        self.blocks = nn.Sequential(
            *(CausalBlock(units, kernel_size, d, dropout) for _ in range(layers) for d in blocks)
        )

    def forward(self, past: Tensor) -> Tensor:
        """Map windows of shape (B, W, I) to states of shape (B, U)."""
        features = self.blocks(self.project(past.transpose(1, 2)))  # (B, U, W)
        last: Tensor = features[:, :, -1]  # (B, U)
        return last
