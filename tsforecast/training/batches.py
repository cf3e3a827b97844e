"""What training reads: protocols of datasets and objectives, and labelled sequences in batches, perhaps augmented."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tsforecast.networks.layers import steps_of
from tsforecast.networks.sequence import UNLABELLED, SequenceBatch

KNOTS = 4  # points between which the speed of a warped sequence changes
POOL = 8  # batches' worth of sequences that are sorted by length before they are cut into batches
TILE = 32  # sequences that are classified at once: always as many, and all of one length
TILE_STEPS = TILE * 512  # steps that are classified at once: of long sequences there are fewer in a tile


class Batch(Protocol):
    """Examples with the arguments of the network among them."""

    @property
    def inputs(self) -> tuple[Any, ...]: ...


Batch_co = TypeVar("Batch_co", bound=Batch, covariant=True)
Batch_contra = TypeVar("Batch_contra", bound=Batch, contravariant=True)


class Dataset(Protocol[Batch_co]):
    """Examples that a network trains or is scored on: windows of series, or whole sequences."""

    kind: str  # what `names` are the names of, for messages
    names: NDArray[Any]  # of each series
    device: torch.device

    def __len__(self) -> int: ...

    def series_index(self, index: Tensor) -> Tensor:
        """Return the position in `names` of each of the examples `index`, (B,)."""

    def batch(self, index: Tensor) -> Batch_co:
        """Gather the examples `index`, (B,), of the host as a rule: `inputs` for the network, and the truth."""

    def shuffled(self, batch_size: int, steps: int) -> list[Tensor]:
        """Return the batches of one epoch, at most `steps` of them, in a new order each time."""


class Objective(Protocol[Batch_contra]):
    """The loss of outputs on a batch."""

    @property
    def in_nats(self) -> bool:
        """Whether losses are compared by their difference: a negative logarithm of a likelihood, which has no zero."""

    def loss_of(self, outputs: Tensor, batch: Batch_contra) -> tuple[Tensor, Tensor]:
        """Return the sum of the loss of a network's outputs over a batch, and the number of its terms."""


@dataclass(frozen=True, eq=False)
class Augmentation:
    """Random variation of sequences; each part is drawn again for each sequence, and 0 leaves it out.

    The parts are those of Um et al. (2017, arXiv 1706.00527), for movements measured by wearable sensors. A rotation
    turns channels 0 to 2, 3 to 5 and so on as vectors about a random axis, as if a sensor were worn another way.
    """

    jitter: float = 0.0  # standard deviation of noise that is added to each number, of the scaled channel
    scale: float = 0.0  # spread of the logarithm of a factor for each channel, around its mean
    time_warp: float = 0.0  # spread of the logarithm of the speed, which changes smoothly, and of the length
    rotation: float = 0.0  # standard deviation of the angle, in degrees
    crop: float = 0.0  # at most this share of the steps is cut off, at both ends together
    data_scale: tuple[Tensor, Tensor] | None = None  # location and scale, (C,), back to the data, whose vectors turn

    def __call__(self, steps: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Vary padded sequences, (B, T, C), of `lengths`, (B,) on the host; return others, perhaps of other lengths.

        Where these differ, the given step that is nearest to each comes with them, (B, T').
        """
        nearest = None
        if self.time_warp or self.crop:
            steps, lengths, nearest = self._resampled(steps, lengths)
        if self.rotation:
            steps = self._rotated(steps)
        if self.scale:
            steps = steps * torch.exp(self.scale * torch.randn_like(steps[:, :1]))
        if self.jitter:
            steps = steps + self.jitter * torch.randn_like(steps)
        return steps * steps_of(steps, lengths), lengths, nearest

    def _resampled(self, steps: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Crop both ends and resample the rest at changing speed, by linear interpolation."""
        batch, device = len(steps), steps.device
        # Lengths are drawn on the host, which then need not wait for a GPU.
        cropped = (self.crop * torch.rand(batch) * lengths).floor()
        kept = (lengths - cropped).clamp(min=1)  # (B,)
        begin = (torch.rand(batch) * (lengths - kept + 1)).floor()
        stretch = torch.exp(self.time_warp * torch.randn(batch))
        resampled = (kept * stretch).round().long().clamp(min=1, max=2 * steps.shape[1])  # (B,)
        place = torch.arange(int(resampled.max()), device=device)
        columns = (
            part[:, None].to(device, non_blocking=True) for part in (begin, kept - 1, lengths - 1, resampled - 1)
        )
        start, span, end, last = columns  # (B, 1)
        position = place / last.clamp(min=1)  # (B, T'), 0 to 1
        # Elapsed time is the integral of a speed that is linear between a few knots.
        speed = torch.exp(self.time_warp * torch.randn(batch, KNOTS, device=device))  # (B, KNOTS)
        passed = torch.cat([torch.zeros_like(speed[:, :1]), (speed[:, 1:] + speed[:, :-1]).cumsum(1)], dim=1)
        passed = passed / passed[:, -1:]
        at = position.clamp(max=1) * (KNOTS - 1)
        knot = at.floor().long().clamp(max=KNOTS - 2)
        low, high = passed.gather(1, knot), passed.gather(1, knot + 1)
        source = start + (low + (high - low) * (at - knot)) * span  # (B, T')
        first = source.floor().long()
        second = torch.minimum(first + 1, end)
        share = (source - first)[..., None]
        left, right = (torch.take_along_dim(steps, rows[..., None], dim=1) for rows in (first, second))
        return left + (right - left) * share, resampled, torch.where(share[..., 0] < 0.5, first, second)

    def _rotated(self, steps: Tensor) -> Tensor:
        """Rotate each three channels about a random axis by a random angle."""
        axis = torch.nn.functional.normalize(torch.randn(len(steps), 3, device=steps.device), dim=1)
        angle = math.radians(self.rotation) * torch.randn(len(steps), 1, 1, device=steps.device)
        cross = torch.zeros(len(steps), 3, 3, device=steps.device)  # v -> axis x v
        cross[:, 0, 1], cross[:, 0, 2], cross[:, 1, 2] = -axis[:, 2], axis[:, 1], -axis[:, 0]
        cross = cross - cross.transpose(1, 2)
        turn = torch.eye(3, device=steps.device) + angle.sin() * cross + (1 - angle.cos()) * cross @ cross  # Rodrigues
        location, scale = self.data_scale or (steps.new_zeros(1), steps.new_ones(1))
        own = steps * scale + location
        vectors = own.reshape(*own.shape[:2], -1, 3)  # (B, T, C / 3, 3)
        return (torch.einsum("bij,btgj->btgi", turn, vectors).reshape(own.shape) - location) / scale


class SequenceDataset:
    """Sequences of any length with their truth.

    Scaled `values`, (rows, C), of all sequences lie below each other, between `offsets`, (N + 1,). The `truth` is
    (N, ...), or at each step, (rows, ...); `names` are those of messages. For training only: an augmentation varies
    each batch again, and a `mixup` above 0 mixes each sequence with another of its batch, by a share that is drawn
    from a beta distribution with both parameters as high as that. `features`, (N, F), come with each sequence as they
    are.
    """

    kind = "sequence"  # what `names` name

    def __init__(
        self,
        values: NDArray[Any],
        offsets: NDArray[np.int64],
        truth: NDArray[Any],
        names: NDArray[Any] | None = None,
        augmentation: Augmentation | None = None,
        device: torch.device | str = "cpu",
        at_steps: bool = False,
        mixup: float = 0.0,
        features: NDArray[np.float32] | None = None,
    ) -> None:
        self.device = torch.device(device)
        self.names = np.arange(len(offsets) - 1) if names is None else names
        nothing = [np.ascontiguousarray(values), np.zeros((1, values.shape[1]), values.dtype)]  # after the end of each
        self._values = torch.from_numpy(np.concatenate(nothing)).to(device, torch.float32)
        self._begin = torch.from_numpy(np.array(offsets[:-1])).to(device)
        self._lengths = torch.from_numpy(np.diff(offsets))  # on the host: the size of a batch does not wait for a GPU
        numbers = torch.from_numpy(np.array(truth)).to(device)
        if at_steps:
            numbers = torch.cat([numbers, torch.full_like(numbers[:1], UNLABELLED)])
        self._truth = numbers.float() if numbers.is_floating_point() else numbers
        self._features = None if features is None else torch.from_numpy(features).to(device)
        self._augmentation, self._at_steps, self._mixup = augmentation, at_steps, mixup

    def __len__(self) -> int:
        return len(self._lengths)

    def series_index(self, index: Tensor) -> Tensor:
        """Return `index` itself, (B,): each example is a whole sequence."""
        return index

    def batch(self, index: Tensor) -> SequenceBatch:
        """Gather the sequences `index`, int64 of shape (B,), in this order."""
        lengths, index = self._lengths[index], index.to(self.device, non_blocking=True)  # (B,)
        until = lengths[:, None].to(self.device, non_blocking=True)
        step = torch.arange(int(lengths.max()), device=self.device)
        rows = self._begin.index_select(0, index)[:, None] + step  # (B, T)
        rows = rows.masked_fill_(step >= until, len(self._values) - 1).flatten()
        steps = self._values.index_select(0, rows).view(len(index), len(step), -1)  # (B, T, C)
        truth = self._truth.index_select(0, rows if self._at_steps else index)
        if self._at_steps:
            truth = truth.view(len(index), len(step), *truth.shape[1:])
        if self._augmentation is not None:
            steps, lengths, nearest = self._augmentation(steps, lengths)
            if self._at_steps and nearest is not None:
                ends = ~steps_of(steps, lengths)[..., 0]  # (B, T')
                truth = truth[torch.arange(len(truth), device=self.device)[:, None], nearest]
                truth = truth.masked_fill(ends.reshape(*ends.shape, *[1] * (truth.dim() - 2)), UNLABELLED)
        equal = int(lengths.min()) == steps.shape[1]
        mix = None
        if self._mixup:
            shares = torch.distributions.Beta(self._mixup, self._mixup).sample((len(index),))
            mix = (
                torch.randperm(len(index)).to(self.device, non_blocking=True),
                shares.to(self.device, non_blocking=True),
            )
        features = None if self._features is None else self._features[index]  # (B, F)
        return SequenceBatch(steps, None if equal else lengths, truth, mix, features)

    def shuffled(self, batch_size: int, steps: int) -> list[Tensor]:
        """Return the batches of one epoch, at most `steps`, in a random order, each with sequences of similar length.

        Sorting few batches' worth at a time keeps batches random.
        """
        order = torch.randperm(len(self))[: steps * batch_size]
        batches: list[Tensor] = []
        for pool in torch.split(order, POOL * batch_size):
            alike = pool[torch.argsort(self._lengths[pool], stable=True)]
            batches += torch.split(alike, batch_size)
        return [batches[i] for i in torch.randperm(len(batches))]


def tiles(values: NDArray[np.float32], offsets: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
    """Yield positions of sequences of one length and their steps, (TILE, T, C), filled up with zeros; fewer long ones.

    Nothing is padded in time, and the size of a matrix product depends on T alone: other sizes may round differently,
    and a prediction must not depend on its batch-mates.
    """
    lengths = np.diff(offsets)
    for length in np.unique(lengths):
        alike = np.flatnonzero(lengths == length)
        size = max(1, min(TILE, TILE_STEPS // int(length)))
        for begin in range(0, len(alike), size):
            index = alike[begin : begin + size]
            steps = np.zeros((size, length, values.shape[1]), dtype=np.float32)
            steps[: len(index)] = values[offsets[index][:, None] + np.arange(length)]
            yield index, torch.from_numpy(steps)


def filled(rows: NDArray[np.float32], size: int) -> Tensor:
    """Return rows, (n, F), filled up with zeros to a tile, (size, F)."""
    tile = torch.zeros(size, rows.shape[1])
    tile[: len(rows)] = torch.from_numpy(rows)
    return tile
