"""What the loop must know of a task: examples that come in batches, and how a network is judged on one."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from numpy.typing import NDArray
from torch import Tensor


class Examples(Protocol):
    """What a network learns from, or is scored on: windows of series, or whole recordings.

    Attributes
    ----------
    kind : str
        What the owners of examples are called, for messages.
    names : array
        Name of each owner.
    """

    kind: str
    names: NDArray[Any]
    device: torch.device

    def __len__(self) -> int: ...

    def owner(self, index: Tensor) -> Tensor:
        """Return the place in `names` of each of the examples `index`, (B,)."""

    def batch(self, index: Tensor) -> Any:
        """Gather the examples `index`, (B,), in the form that the objective judges."""

    def shuffled(self, batch_size: int, steps: int) -> list[Tensor]:
        """Return the batches of one epoch, at most `steps` of them, in a new order each time."""


class Objective(Protocol):
    """How a network is judged."""

    def of(self, network: Any, batch: Any, naive: bool = False) -> tuple[Tensor, Tensor]:
        """Return the sum of the loss of a network, or of the naive reference, over a batch, and what it sums over."""
