"""The convolutional encoder: causal, dilated, residual."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from tsforecast.networks.architecture import Architecture
from tsforecast.networks.pieces import activation_layer, norm_layer


class CausalBlock(nn.Module):
    """One residual step: normalise, a convolution that looks back only, activation, dropout, plus what came in."""

    def __init__(self, architecture: Architecture, dilation: int) -> None:
        super().__init__()
        self.reach = (architecture.kernel_size - 1) * dilation
        self.norm = norm_layer(architecture.norm, architecture.units)
        self.convolution = nn.Conv1d(
            architecture.units, architecture.units, architecture.kernel_size, dilation=dilation
        )
        self.activation = activation_layer(architecture.activation)
        self.dropout = nn.Dropout(architecture.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, U) to (B, T, U); step t of the result depends on steps up to t."""
        padded = F.pad(self.norm(x).transpose(1, 2), (self.reach, 0))  # (B, U, reach + T)
        seen = self.convolution(padded).transpose(1, 2)  # (B, T, U)
        mixed: Tensor = x + self.dropout(self.activation(seen))
        return mixed


class ConvEncoder(nn.Module):
    """Read embedded segments with stacks of dilated convolutions and return the state at the last one.

    In each of the `layers` stacks the dilation doubles from block to block until the last state has seen the
    whole window [van den Oord et al. 2016, arXiv 1609.03499; Bai et al. 2018, arXiv 1803.01271].

    Parameters
    ----------
    architecture : Architecture
    length : int
        Segments that the last state must have seen (T).

    Examples
    --------
    >>> import torch
    >>> ConvEncoder(Architecture("conv1d", units=8), length=24)(torch.zeros(4, 24, 8)).shape
    torch.Size([4, 8])
    """

    def __init__(self, architecture: Architecture, length: int) -> None:
        super().__init__()
        dilations: list[int] = []
        reach, dilation = 1, 1
        while not dilations or reach < length:
            dilations.append(dilation)
            reach += (architecture.kernel_size - 1) * dilation
            dilation *= 2
        self.blocks = nn.Sequential(
            *(CausalBlock(architecture, d) for _ in range(architecture.layers) for d in dilations)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map segments of shape (B, T, U) to states of shape (B, U)."""
        last: Tensor = self.blocks(x)[:, -1]  # (B, U)
        return last
