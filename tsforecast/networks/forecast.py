"""The whole network: an encoder, and a head that says how the naive forecast must be corrected."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tsforecast.data.anchors import anchor_forecast
from tsforecast.networks.conv import ConvEncoder
from tsforecast.networks.recurrent import CELLS, RecurrentEncoder

CELL_NAMES = (*CELLS, "conv1d")


class ForecastNetwork(nn.Module):
    """Forecast all steps of the horizon at once, each target on its own.

    Each target channel is a batch row of its own, read together with the other columns, which all
    targets share. With an anchor, a target is read as differences from its last value, and the output
    is what must be added to the naive forecast. The heads start at zero, so an untrained network *is*
    the naive forecast.

    Parameters
    ----------
    cell : {"rnn", "gru", "lstm", "conv1d"}
    columns, targets : int
        Columns of a window, targets first (C), and how many of them are targets (K).
    window, horizon, units, layers : int
    dropout : float
    lags : int64 array of shape (H,) or None
        The anchor as steps back (see `tsforecast.data.anchors`); None for no anchor.
    ahead, static : int
        Columns known ahead (F) and per series (S).
    instance_norm : bool
        Read each target divided by its own standard deviation over the window, and multiply the output by it
        [cf. Kim et al. 2022, RevIN].

    Examples
    --------
    >>> lags = np.array([1, 1])
    >>> network = ForecastNetwork("gru", 1, 1, window=3, horizon=2, units=4, layers=1, dropout=0.0, lags=lags)
    >>> network.forecast(torch.tensor([[[1.0], [2.0], [5.0]]]))[0, :, 0].tolist()
    [5.0, 5.0]
    """

    def __init__(
        self,
        cell: str,
        columns: int,
        targets: int,
        window: int,
        horizon: int,
        units: int,
        layers: int,
        dropout: float,
        lags: NDArray[np.int64] | None,
        ahead: int = 0,
        static: int = 0,
        instance_norm: bool = False,
    ) -> None:
        super().__init__()
        self.targets, self.horizon, self.lags, self.instance_norm = targets, horizon, lags, instance_norm
        inputs = 1 + columns - targets
        self.encoder: nn.Module
        if cell == "conv1d":
            self.encoder = ConvEncoder(inputs, units, layers, window, dropout)
        else:
            self.encoder = RecurrentEncoder(cell, inputs, units, layers, dropout)
        self.from_static = nn.Linear(static, units) if static else None
        self.from_ahead = nn.Linear(ahead + units, units) if ahead else None
        self.head = _zero(nn.Linear(units, horizon))
        self.ahead_head = _zero(nn.Linear(units, 1)) if ahead else None

    def forward(self, past: Tensor, ahead: Tensor | None = None, static: Tensor | None = None) -> Tensor:
        """Return corrections of the anchor.

        Parameters
        ----------
        past : tensor of shape (B, W, C)
        ahead : tensor of shape (B, H, F), when there are columns known ahead
        static : tensor of shape (B, S), when there are static columns

        Returns
        -------
        tensor of shape (B, H, K)
        """
        batch, window, _ = past.shape
        own = past[..., : self.targets]  # (B, W, K)
        if self.lags is not None:
            own = own - own[:, -1:]
        level, size = torch.zeros_like(own[:, :1]), torch.ones_like(own[:, :1])  # (B, 1, K)
        if self.instance_norm:
            size = own.std(dim=1, keepdim=True, correction=0).clamp(min=1e-4)
            level = own.mean(dim=1, keepdim=True) if self.lags is None else level
            own = (own - level) / size
        own = own.transpose(1, 2).reshape(-1, window, 1)  # (B*K, W, 1)
        shared = self._per_target(past[..., self.targets :])  # (B*K, W, C-K)
        state = self.encoder(torch.cat([own, shared], dim=2))  # (B*K, U)
        if self.from_static is not None and static is not None:
            state = state + torch.tanh(self.from_static(self._per_target(static)))  # (B*K, U)
        correction: Tensor = self.head(state)  # (B*K, H)
        if self.from_ahead is not None and self.ahead_head is not None and ahead is not None:
            states = state[:, None].expand(-1, self.horizon, -1)  # (B*K, H, U)
            steps = torch.relu(self.from_ahead(torch.cat([states, self._per_target(ahead)], dim=2)))  # (B*K, H, U)
            correction = correction + self.ahead_head(steps)[..., 0]  # (B*K, H)
        correction = correction.view(batch, self.targets, self.horizon).transpose(1, 2)  # (B, H, K)
        return correction * size + level

    def _per_target(self, shared: Tensor) -> Tensor:
        """Repeat what all targets share for each of them: (B, ...) to (B*K, ...)."""
        return shared.repeat_interleave(self.targets, dim=0)

    def forecast(self, past: Tensor, ahead: Tensor | None = None, static: Tensor | None = None) -> Tensor:
        """Return scaled forecasts of shape (B, H, K): anchor plus correction."""
        correction: Tensor = self(past, ahead, static)
        if self.lags is None:
            return correction
        anchored: Tensor = anchor_forecast(past[..., : self.targets], self.lags) + correction
        return anchored


def _zero(layer: nn.Linear) -> nn.Linear:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
