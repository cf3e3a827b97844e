"""Augmentation: other recordings that would have the same label, made from those that train."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

KNOTS = 4  # points between which the speed of a warped recording changes


@dataclass(frozen=True, eq=False)
class Augmentation:
    """How recordings are varied; each part is drawn anew for each recording, and 0 leaves it out.

    The parts are those of Um et al. (2017, arXiv 1706.00527), who recognise movements by the same kind of sensor.

    Parameters
    ----------
    jitter : float
        Standard deviation of noise that is added to each number, in units of the channel's own (scaled ones).
    scale : float
        Spread of the logarithm of a factor for each channel, around its mean.
    time_warp : float
        Spread of the logarithm of the speed, which changes smoothly, and of the length.
    rotation : float
        Standard deviation in degrees of an angle by which channels 0 to 2, 3 to 5 and so on are turned as vectors
        about a random axis, as if a sensor were worn another way.
    crop : float
        At most this share of the steps is cut off, at both ends together.
    units : two tensors of shape (C,), optional
        Location and scale that lead back to the data's own numbers, in which vectors are turned.
    least : int
        Steps that a recording keeps at least, if it has them.
    """

    jitter: float = 0.0
    scale: float = 0.0
    time_warp: float = 0.0
    rotation: float = 0.0
    crop: float = 0.0
    units: tuple[Tensor, Tensor] | None = None
    least: int = 1

    def __call__(self, steps: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Vary padded recordings, (B, T, C), of `lengths`, (B,); return others, perhaps of other lengths."""
        if self.time_warp or self.crop:
            steps, lengths = self._resampled(steps, lengths)
        if self.rotation:
            steps = self._rotated(steps)
        if self.scale:
            steps = steps * torch.exp(self.scale * torch.randn_like(steps[:, :1]))
        if self.jitter:
            steps = steps + self.jitter * torch.randn_like(steps)
        there = torch.arange(steps.shape[1], device=steps.device) < lengths[:, None]  # (B, T)
        return steps * there[..., None], lengths

    def _resampled(self, steps: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Cut ends off and read what is left at changing speed, between steps along a line."""
        batch, device = len(steps), steps.device
        lost = (self.crop * torch.rand(batch, device=device) * lengths).floor()
        kept = torch.maximum(lengths - lost, lengths.clamp(max=self.least))  # (B,)
        begin = (torch.rand(batch, device=device) * (lengths - kept + 1)).floor()
        stretch = torch.exp(self.time_warp * torch.randn(batch, device=device))
        least = lengths.clamp(max=self.least)
        made = torch.maximum((kept * stretch).round().long(), least).clamp(max=2 * steps.shape[1])  # (B,)
        place = torch.arange(int(made.max()), device=device) / (made - 1).clamp(min=1)[:, None]  # (B, T'), 0 to 1
        # Time passed is the sum of a speed that changes along lines between a few knots.
        speed = torch.exp(self.time_warp * torch.randn(batch, KNOTS, device=device))  # (B, KNOTS)
        passed = torch.cat([torch.zeros_like(speed[:, :1]), (speed[:, 1:] + speed[:, :-1]).cumsum(1)], dim=1)
        passed = passed / passed[:, -1:]
        at = place.clamp(max=1) * (KNOTS - 1)
        knot = at.floor().long().clamp(max=KNOTS - 2)
        low, high = passed.gather(1, knot), passed.gather(1, knot + 1)
        source = begin[:, None] + (low + (high - low) * (at - knot)) * (kept - 1)[:, None]  # (B, T')
        first = source.floor().long()
        second = torch.minimum(first + 1, lengths[:, None] - 1)
        share = (source - first)[..., None]
        left, right = (torch.take_along_dim(steps, rows[..., None], dim=1) for rows in (first, second))
        return left + (right - left) * share, made

    def _rotated(self, steps: Tensor) -> Tensor:
        """Turn each three channels about a random axis by a random angle."""
        axis = torch.nn.functional.normalize(torch.randn(len(steps), 3, device=steps.device), dim=1)
        angle = math.radians(self.rotation) * torch.randn(len(steps), 1, 1, device=steps.device)
        cross = torch.zeros(len(steps), 3, 3, device=steps.device)  # v -> axis x v
        cross[:, 0, 1], cross[:, 0, 2], cross[:, 1, 2] = -axis[:, 2], axis[:, 1], -axis[:, 0]
        cross = cross - cross.transpose(1, 2)
        turn = torch.eye(3, device=steps.device) + angle.sin() * cross + (1 - angle.cos()) * cross @ cross  # Rodrigues
        location, scale = self.units or (steps.new_zeros(1), steps.new_ones(1))
        own = steps * scale + location
        vectors = own.reshape(*own.shape[:2], -1, 3)  # (B, T, C / 3, 3)
        return (torch.einsum("bij,btgj->btgi", turn, vectors).reshape(own.shape) - location) / scale
