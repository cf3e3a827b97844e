"""The decoder: all steps of the horizon at once, from one state."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tsforecast.networks.architecture import Architecture
from tsforecast.networks.pieces import activation_layer


class Decoder(nn.Module):
    """Turn a state into outputs for every step, a segment of steps at a time and all segments in parallel.

    Each segment of the horizon has an embedding of its place, each channel one of its own [cf. Lin et al. 2023,
    SegRNN, arXiv 2308.11200]; state, embeddings and what is known ahead are added, activated and read out. The
    last layer starts at zero, so an untrained network says nothing.

    Parameters
    ----------
    segment, horizon : int
        Steps in a segment (S) and to forecast (H).
    channels : int
        Channels that share the network, one row each (G).
    outputs : int
        Numbers said per step and row (Q).
    ahead : int
        Columns known ahead (F).
    architecture : Architecture
        Width (U), dropout, activation and layers of the head.

    Examples
    --------
    >>> decoder = Decoder(Architecture(units=8), segment=4, horizon=6, channels=2, outputs=3, ahead=1)
    >>> decoder(torch.randn(5, 2, 8), torch.randn(5, 6, 1)).shape
    torch.Size([5, 2, 6, 3])
    """

    def __init__(
        self, architecture: Architecture, segment: int, horizon: int, channels: int, outputs: int, ahead: int
    ) -> None:
        super().__init__()
        units = architecture.units
        self.architecture, self.segment, self.horizon, self.outputs = architecture, segment, horizon, outputs
        self.count = -(-horizon // segment)  # segments of the horizon (M); the last may reach beyond it
        self.state = nn.Linear(units, units)
        self.place = nn.Parameter(_small(self.count, units))
        self.channel = nn.Parameter(_small(channels, units)) if channels > 1 else None
        self.ahead = nn.Linear(segment * ahead, units, bias=False) if ahead else None
        self.activation = activation_layer(architecture.activation)
        self.dropout = nn.Dropout(architecture.dropout)
        self.head = self.new_head(architecture.head_layers)

    def new_head(self, layers: int) -> nn.Module:
        """Return a head of one or two linear layers that says nothing yet."""
        units = self.architecture.units
        last = nn.Linear(units, self.segment * self.outputs)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        if layers == 1:
            return last
        activation, dropout = activation_layer(self.architecture.activation), nn.Dropout(self.architecture.dropout)
        return nn.Sequential(nn.Linear(units, units), activation, dropout, last)

    def forward(self, state: Tensor, ahead: Tensor) -> Tensor:
        """Map states (B, G, U) and columns known ahead (B, H, F) to outputs (B, G, H, Q)."""
        mixed = self.state(state)[:, :, None] + self.place  # (B, G, M, U)
        if self.channel is not None:
            mixed = mixed + self.channel[:, None]
        if self.ahead is not None:
            beyond = self.count * self.segment - self.horizon
            padded = F.pad(ahead, (0, 0, 0, beyond))  # (B, M*S, F)
            known = self.ahead(padded.reshape(len(ahead), self.count, -1))  # (B, M, U)
            mixed = mixed + known[:, None]
        said: Tensor = self.head(self.dropout(self.activation(mixed)))  # (B, G, M, S*Q)
        return said.reshape(*state.shape[:2], -1, self.outputs)[:, :, : self.horizon]  # (B, G, H, Q)


def _small(*shape: int) -> Tensor:
    """Return small random numbers."""
    return nn.init.normal_(torch.empty(*shape)).mul_(0.1)
