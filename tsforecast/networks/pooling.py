"""Pooling: from the states at all steps of a recording to one."""

from __future__ import annotations

import torch
from torch import Tensor, nn

POOLINGS = ("mean", "max", "mean-max", "last", "attention")


class Pooling(nn.Module):
    """Sum up the states of each sequence over its own steps; padding counts for nothing.

    Parameters
    ----------
    name : {"mean", "max", "mean-max", "last", "attention"}
        Attention is a mean with weights that one layer reads from each state [Yang et al. 2016, Hierarchical
        Attention Networks]; mean-max puts both beside each other.
    units : int
        Width of a state (U).
    bidirectional : bool
        States look ahead as well: the last word then is what the mean of the first and the last state says.

    Examples
    --------
    >>> states = torch.tensor([[[1.0], [3.0], [9.0]]])
    >>> Pooling("mean-max", 1)(states, torch.tensor([2])).tolist()
    [[2.0, 3.0]]
    """

    def __init__(self, name: str, units: int, bidirectional: bool = False) -> None:
        super().__init__()
        self.name, self.bidirectional = name, bidirectional
        self.width = 2 * units if name == "mean-max" else units
        self.score = nn.Sequential(nn.Linear(units, units), nn.Tanh(), nn.Linear(units, 1, bias=False))
        if name != "attention":
            self.score = nn.Sequential()

    def forward(self, states: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Map states (B, T, U) of sequences with `lengths`, (B,), or of T steps, to (B, U) or (B, 2U)."""
        batch, steps, _ = states.shape
        if lengths is None:
            lengths = torch.full((batch,), steps)
        lengths = lengths.to(states.device)
        there = (torch.arange(steps, device=states.device) < lengths[:, None])[..., None]  # (B, T, 1)
        if self.name == "last":
            last = states[torch.arange(batch, device=states.device), lengths - 1]  # (B, U)
            return (last + states[:, 0]) / 2 if self.bidirectional else last
        if self.name == "max":
            return _maximum(states, there)
        if self.name == "attention":
            weights = torch.softmax(self.score(states).masked_fill(~there, -torch.inf), dim=1)  # (B, T, 1)
            return (states * weights).sum(dim=1)
        mean = torch.where(there, states, 0.0).sum(dim=1) / lengths[:, None]  # (B, U)
        return mean if self.name == "mean" else torch.cat([mean, _maximum(states, there)], dim=1)


def _maximum(states: Tensor, there: Tensor) -> Tensor:
    return states.masked_fill(~there, -torch.inf).amax(dim=1)  # (B, U)
