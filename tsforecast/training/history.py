"""What happened while a network was trained: one plain record for each epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Epoch:
    """One pass over the training windows; epoch 0 is the untrained network.

    Attributes
    ----------
    number : int
    train_loss, valid_loss : float or None
        Mean of the loss over all steps that have a truth; None where nothing was measured.
    learning_rate : float
        At the end of the epoch.
    seconds : float
    skill : float or None
        Share of the naive forecast's validation loss that the network removes.
    """

    number: int
    train_loss: float | None
    valid_loss: float | None
    learning_rate: float
    seconds: float
    skill: float | None = None


def best_epoch(history: Sequence[Epoch]) -> Epoch:
    """Return the epoch with the lowest validation loss, the earliest of equals; else the last.

    Examples
    --------
    >>> losses = [1.0, 0.5, 0.5]
    >>> best_epoch([Epoch(n, None, loss, 0.1, 0.0) for n, loss in enumerate(losses)]).number
    1
    """
    scored = [epoch for epoch in history if epoch.valid_loss is not None]
    if not scored:
        return history[-1]
    return min(scored, key=lambda epoch: (epoch.valid_loss, epoch.number))
