"""Parameters laid beside each other: what an optimiser does for each of them takes longer than its arithmetic."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import nn


def lay_flat(parameters: Sequence[nn.Parameter]) -> nn.Parameter:
    """Lay parameters and their gradients one after the other in memory, and return all of it as one long vector.

    They go on as they were, and whoever changes them changes the vector. Gradients must be set to zero, not taken away.

    Examples
    --------
    >>> layer = nn.Linear(2, 3)
    >>> whole = lay_flat(list(layer.parameters()))
    >>> whole.data.zero_().shape, layer.weight.detach().abs().sum().item()
    (torch.Size([9]), 0.0)
    """
    whole = nn.Parameter(torch.cat([parameter.detach().flatten() for parameter in parameters]))
    whole.grad = torch.zeros_like(whole)
    numbers = [parameter.numel() for parameter in parameters]
    values, slopes = torch.split(whole.detach(), numbers), torch.split(whole.grad, numbers)
    for parameter, value, slope in zip(parameters, values, slopes, strict=True):
        parameter.data, parameter.grad = value.view_as(parameter), slope.view_as(parameter)
    return whole


def lay_apart(parameters: Iterable[nn.Parameter]) -> None:
    """Give each parameter memory of its own again, and take gradients away; on a GPU nothing was laid flat."""
    for parameter in parameters:
        parameter.grad = None
        if parameter.device.type == "cpu":
            parameter.data = parameter.detach().clone()
