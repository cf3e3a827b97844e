"""Losses of a user's own, of a module that a saved model can name."""

from __future__ import annotations

import torch

from tsforecast.networks.losses import Likelihood, Loss

IMPORTED: list[str] = []  # what was made of these, so that a test sees it


class Gumbel(Likelihood):
    """The likelihood of a Gumbel distribution, whose scale is a spread."""

    outputs, spreads = 2, 1

    def __init__(self, factor: float = 1.0) -> None:
        IMPORTED.append("Gumbel")
        self.factor = factor

    def distribution(self, outputs: torch.Tensor) -> torch.distributions.Distribution:
        return torch.distributions.Gumbel(outputs[..., 0], self.factor * outputs[..., 1])


class Absolute(Loss):
    """The absolute error."""

    def errors(self, outputs: torch.Tensor, truth: torch.Tensor, series: object, scale: object) -> torch.Tensor:
        return (outputs[..., 0] - truth).abs()
