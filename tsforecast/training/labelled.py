"""Labelled recordings in batches: of similar length, padded no further than the longest of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tsforecast.networks.classes import LabelledBatch
from tsforecast.training.augment import Augmentation

POOL = 8  # batches' worth of recordings that are sorted by length before they are cut into batches
TILE = 32  # recordings that are asked about at once: always as many, and all of one length


class LabelledRecordings:
    """Recordings of any length with a label each.

    Parameters
    ----------
    values : array of shape (rows, C)
        Scaled numbers, all recordings below each other.
    offsets : int64 array of shape (N + 1,)
    labels : int64 array of shape (N,)
    names : array of shape (N,), optional
        What messages call the recordings; their numbers unless given.
    augmentation : Augmentation, optional
        How each batch is varied, anew each time; for training only.
    device : torch device

    Examples
    --------
    >>> found = LabelledRecordings(np.arange(5.0)[:, None], np.array([0, 2, 5]), np.array([0, 1]))
    >>> batch = found.batch(torch.tensor([0, 1]))
    >>> batch.steps[..., 0].tolist(), batch.lengths.tolist()
    ([[0.0, 1.0, 0.0], [2.0, 3.0, 4.0]], [2, 3])
    """

    kind = "recording"  # what `names` name

    def __init__(
        self,
        values: NDArray[Any],
        offsets: NDArray[np.int64],
        labels: NDArray[np.int64],
        names: NDArray[Any] | None = None,
        augmentation: Augmentation | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.device = torch.device(device)
        self.names = np.arange(len(labels)) if names is None else names
        self._values = torch.from_numpy(np.ascontiguousarray(values)).to(device, torch.float32)
        self._begin = torch.from_numpy(np.array(offsets[:-1])).to(device)
        self._lengths = torch.from_numpy(np.diff(offsets)).to(device)
        self._labels = torch.from_numpy(np.array(labels)).to(device)
        self._augmentation = augmentation

    def __len__(self) -> int:
        return len(self._labels)

    def owner(self, index: Tensor) -> Tensor:
        """Return the recordings `index` themselves, (B,)."""
        return index

    def batch(self, index: Tensor) -> LabelledBatch:
        """Gather the recordings `index`, int64 of shape (B,), in this order."""
        lengths, begin = self._lengths[index], self._begin[index]  # (B,)
        step = torch.arange(int(lengths.max()), device=self.device)
        there = step < lengths[:, None]  # (B, T)
        rows = begin[:, None] + torch.minimum(step, lengths[:, None] - 1)
        steps = self._values[rows] * there[..., None]  # (B, T, C)
        if self._augmentation is not None:
            steps, lengths = self._augmentation(steps, lengths)
        equal = bool((lengths == steps.shape[1]).all())
        return LabelledBatch(steps, None if equal else lengths, self._labels[index])

    def shuffled(self, batch_size: int, steps: int) -> list[Tensor]:
        """Return the batches of one epoch, at most `steps`, in a random order, each with recordings of similar length.

        Sorting few batches' worth at a time leaves it to chance who is in a batch with whom.
        """
        order = torch.randperm(len(self))[: steps * batch_size]
        lengths = self._lengths.cpu()
        batches: list[Tensor] = []
        for pool in torch.split(order, POOL * batch_size):
            alike = pool[torch.argsort(lengths[pool], stable=True)]
            batches += torch.split(alike, batch_size)
        return [batches[i] for i in torch.randperm(len(batches))]


def tiles(values: NDArray[np.float32], offsets: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
    """Yield numbers of recordings of one length and their steps, (TILE, T, C), filled up with zeros.

    Nothing is padded in time, and a matrix product has a size that depends on T alone: products of other sizes may
    round in another way, and what is said of a recording must not depend on its batch-mates.
    """
    lengths = np.diff(offsets)
    for length in np.unique(lengths):
        alike = np.flatnonzero(lengths == length)
        for begin in range(0, len(alike), TILE):
            index = alike[begin : begin + TILE]
            steps = np.zeros((TILE, length, values.shape[1]), dtype=np.float32)
            steps[: len(index)] = values[offsets[index][:, None] + np.arange(length)]
            yield index, torch.from_numpy(steps)
