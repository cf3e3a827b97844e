"""Summaries of random convolutions as operations of a graph: those that compiled code makes in `sequences.rocket`.

Additions have the same order as there, and all products are by 2 and -1: responses are equal to the last bit, so that
none that equals a threshold falls on another side of it.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

TAPS = 9  # of a convolution: three weigh 2, the others -1
TRIPLES = np.array(list(combinations(range(TAPS), 3)))  # (84, 3)
DOUBLINGS = 20  # of the distance at which the last step that is not above a threshold is looked for


class Summaries(nn.Module):
    """Share, mean excess, mean place and longest run of responses above each of B thresholds."""

    channels: Tensor
    read: Tensor
    dilations: Tensor
    weights: Tensor
    changes: Tensor
    whole: Tensor
    owner: Tensor
    thresholds: Tensor

    def __init__(self, bank: Any, channels: int) -> None:
        """Take a `sequences.rocket.Bank` of recordings with so many channels."""
        super().__init__()
        count, widths = len(bank.triples), np.diff(bank.reads)
        table = np.zeros((widths.max(), count), dtype=np.int64)  # row of each channel that is read, (S, P)
        read = np.arange(widths.max())[:, None] < widths
        for p in range(count):
            own = bank.channels[bank.reads[p] : bank.reads[p + 1]]
            table[: widths[p], p] = own + channels * bank.changes[p]
        weights = np.full((TAPS, count), -1.0, dtype=np.float32)
        weights[TRIPLES[bank.triples].T, np.arange(count)] = 2.0
        buffers: dict[str, NDArray[Any]] = {
            "channels": table,
            "read": read,
            "dilations": bank.dilations,
            "weights": weights,
            "changes": bank.changes == 1,
            "whole": bank.whole == 1,
            "owner": np.repeat(np.arange(count), np.diff(bank.begins)),
            "thresholds": bank.thresholds,
        }
        for name, array in buffers.items():
            self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(array)))

    def forward(self, steps: Tensor, lengths: Tensor) -> Tensor:
        """Return summaries, (N, 4B), of scaled float32 recordings (N, T, C) whose first `lengths` are read."""
        rows = steps.transpose(1, 2)  # (N, C, T)
        time = torch.arange(rows.shape[2])
        later = rows.index_select(2, (time + 1).clamp(max=rows.shape[2] - 1))
        changed = torch.where(time + 1 < lengths[:, None, None], later - rows, 0.0)
        rows = torch.cat([rows, changed], dim=1)  # (N, 2C, T)
        long = torch.where(self.changes, (lengths[:, None] - 1).clamp(min=1), lengths[:, None])  # (N, P)
        response = self._responses(rows, time, long)
        edge = torch.where(self.whole, 0, TAPS // 2 * self.dilations)  # (P,)
        edge = torch.where(long <= 2 * edge, 0, edge)  # (N, P)
        long, edge = long[:, self.owner, None], edge[:, self.owner, None]  # (N, B, 1)
        own = response[:, self.owner]  # (N, B, T)
        above = (own > self.thresholds[:, None]) & (time >= edge) & (time < long - edge)
        count, number = (long - 2 * edge)[..., 0].double(), above.sum(-1).double()  # (N, B)
        some = number.clamp(min=1)
        excess = torch.where(above, (own - self.thresholds[:, None]).double(), 0.0).sum(-1) / some
        places = torch.where(above, (time - edge).double(), 0.0).sum(-1) / some
        places = torch.where(number > 0, (places + 0.5) / count, 0.0)
        runs = torch.where(above, time - self._last_below(above, time), 0).amax(-1).double()
        every = torch.stack([number / count, torch.where(number > 0, excess, 0.0), places, runs / count], dim=-1)
        return every.flatten(1).float()

    def _responses(self, rows: Tensor, time: Tensor, long: Tensor) -> Tensor:
        """Return the response of each convolution, (N, P, T), added up channel by channel and tap by tap."""
        total = torch.zeros_like(rows[:, :1, :]).expand(-1, self.weights.shape[1], -1)
        for channels, read in zip(self.channels, self.read, strict=True):
            picked = rows.index_select(1, channels)  # (N, P, T)
            for tap in range(TAPS):
                place = time + ((tap - TAPS // 2) * self.dilations)[:, None]  # (P, T)
                there = read[:, None] & (place >= 0) & (place < long[..., None])  # (N, P, T)
                index = place.clamp(min=0).minimum(time[-1:]).expand(picked.shape[0], -1, -1)
                total = total + torch.where(there, self.weights[tap][:, None] * picked.gather(2, index), 0.0)
        return total

    def _last_below(self, above: Tensor, time: Tensor) -> Tensor:
        """Return the last step up to each at which a response is not above, or -1, (N, B, T)."""
        last = torch.where(above, -1, time)
        for power in range(DOUBLINGS):
            before = time - 2**power
            earlier = last.index_select(2, before.clamp(min=0))
            last = torch.where(before >= 0, torch.maximum(last, earlier), last)
        return last


class Features(nn.Module):
    """Summaries as a network reads them, (N, F)."""

    location: Tensor
    scale: Tensor

    def __init__(self, drawn: Any, channels: int) -> None:
        """Take `sequences.rocket.Convolutions`."""
        super().__init__()
        self.summaries = Summaries(drawn.bank, channels)
        self.register_buffer("location", torch.from_numpy(drawn.location))
        self.register_buffer("scale", torch.from_numpy(drawn.scale))

    def forward(self, steps: Tensor, lengths: Tensor) -> Tensor:
        """Return features of scaled recordings."""
        found: Tensor = (self.summaries(steps, lengths) - self.location) / self.scale
        return found


class Ridge(nn.Module):
    """The probabilities of a `RocketClassifier`, (N, K), from summaries of scaled recordings."""

    weights: Tensor
    intercept: Tensor

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.summaries, self.temperature = Summaries(model.bank_, model.channels_), model.resolved_["temperature"]
        self.register_buffer("weights", torch.from_numpy(model.weights_))
        self.register_buffer("intercept", torch.from_numpy(model.intercept_))

    def forward(self, steps: Tensor, lengths: Tensor) -> Tensor:
        """Return probabilities."""
        decisions = self.summaries(steps, lengths).double() @ self.weights + self.intercept
        return torch.softmax(decisions / self.temperature, dim=-1)
