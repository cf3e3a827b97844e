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

    Each target channel is a batch row of its own, read together with the past columns that all
    targets share. With an anchor, a window is read as differences from its last row, and the output
    is what must be added to the naive forecast. The head starts at zero, so an untrained network
    *is* the naive forecast.

    Parameters
    ----------
    cell : {"rnn", "gru", "lstm", "conv1d"}
    columns, targets : int
        Columns of a window, targets first (C), and how many of them are targets (K).
    window, horizon, units, layers : int
    dropout : float
    lags : int64 array of shape (H,) or None
        The anchor as steps back (see `tsforecast.data.anchors`); None for no anchor.

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
    ) -> None:
        super().__init__()
        self.targets, self.horizon, self.lags = targets, horizon, lags
        inputs = 1 + columns - targets
        self.encoder: nn.Module
        if cell == "conv1d":
            self.encoder = ConvEncoder(inputs, units, layers, window, dropout)
        else:
            self.encoder = RecurrentEncoder(cell, inputs, units, layers, dropout)
        self.head = nn.Linear(units, horizon)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, past: Tensor) -> Tensor:
        """Map scaled windows of shape (B, W, C) to corrections of shape (B, H, K)."""
        batch, window, _ = past.shape
        if self.lags is not None:
            past = past - past[:, -1:]
        own = past[..., : self.targets].transpose(1, 2).reshape(-1, window, 1)  # (B*K, W, 1)
        shared = past[..., self.targets :].repeat_interleave(self.targets, dim=0)  # (B*K, W, C-K)
        state = self.encoder(torch.cat([own, shared], dim=2))  # (B*K, U)
        correction: Tensor = self.head(state)  # (B*K, H)
        return correction.view(batch, self.targets, self.horizon).transpose(1, 2)  # (B, H, K)

    def forecast(self, past: Tensor) -> Tensor:
        """Map scaled windows to scaled forecasts of shape (B, H, K): anchor plus correction."""
        correction: Tensor = self(past)
        if self.lags is None:
            return correction
        anchored: Tensor = anchor_forecast(past[..., : self.targets], self.lags) + correction
        return anchored
