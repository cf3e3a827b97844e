"""Sliding windows: contexts and targets of many cutoffs, gathered from one tensor without copying them all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """B windows of a model: float32 inputs without NaN, and the truth."""

    past: Tensor  # all columns, targets first, (B, W, C)
    ahead: Tensor  # known future covariates, (B, H, F)
    static: Tensor  # (B, S)
    future: Tensor  # targets; NaN where the truth is missing, (B, H, K)
    series: Tensor  # the series that each window is cut from, int64, (B,)
    gaps: bool  # whether any truth of these windows may be missing

    @property
    def inputs(self) -> tuple[Tensor, Tensor, Tensor]:
        """Arguments of the network: past, future known and static covariates."""
        return self.past, self.ahead, self.static


class Windows:
    """All windows whose targets lie in rows ``first:last`` (all unless given) of each series.

    A window is a start position; `batch` gathers any of them from one contiguous tensor. Windows never
    cross from one series into another, because the starts of each series are counted on their own; the past may reach
    back before `first`. `values` (rows, C) are scaled, without NaN, targets first, the `ahead` known future covariates
    last; `truth` (rows, K) is the targets again, with NaN where the loss skips them. `static` is (N, S), and `names`
    (N,) are those of the series in messages.
    """

    kind = "series"  # what `names` name

    def __init__(
        self,
        values: NDArray[Any],
        truth: NDArray[Any],
        offsets: NDArray[np.int64],
        window: int,
        horizon: int,
        *,
        ahead: int = 0,
        static: NDArray[Any] | None = None,
        first: NDArray[np.int64] | None = None,
        last: NDArray[np.int64] | None = None,
        names: NDArray[Any] | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        lengths = np.diff(offsets)
        begin = np.maximum(np.zeros_like(lengths) if first is None else first, window) - window
        end = lengths if last is None else last
        counts = np.maximum(end - horizon - window - begin + 1, 0)
        self.window, self.horizon = window, horizon
        self.counts = counts
        self.names = np.arange(len(lengths)) if names is None else names
        self.device = torch.device(device)
        bounds = np.cumsum(counts)
        self._bounds = torch.from_numpy(bounds).to(device)
        self._shift = torch.from_numpy(offsets[:-1] + begin - bounds + counts).to(device)  # from a window to its row
        # One contiguous tensor each; when nothing is missing the truth is read from the values.
        self._values = torch.from_numpy(np.ascontiguousarray(values)).to(device, dtype)
        self._targets, self._ahead = truth.shape[1], ahead
        facts = np.zeros((len(lengths), 0)) if static is None else static
        self._static = torch.from_numpy(np.ascontiguousarray(facts)).to(device, dtype)
        self._gaps = bool(np.isnan(truth).any())
        self._truth = torch.from_numpy(np.ascontiguousarray(truth)).to(device, dtype) if self._gaps else self._values

    def __len__(self) -> int:
        return int(self.counts.sum())

    def shuffled(self, batch_size: int, steps: int) -> list[Tensor]:
        """Return the batches of one epoch: windows in a new order, each at most once."""
        return shuffled(len(self), batch_size, steps)

    def series_index(self, index: Tensor) -> Tensor:
        """Return the series that each of the windows `index` belongs to, shape (B,)."""
        return torch.searchsorted(self._bounds, index, right=True)

    def batch(self, index: Tensor) -> Batch:
        """Gather the windows `index` (int64, shape (B,))."""
        series = self.series_index(index)
        start = index + self._shift.index_select(0, series)  # (B,)
        rows = self._gather(self._values, start, self.window + self.horizon)  # (B, W + H, C)
        past, future = rows[:, : self.window], rows[:, self.window :]
        ahead = future[..., rows.shape[2] - self._ahead :]  # (B, H, F)
        future = future[..., : self._targets]  # (B, H, K)
        if self._gaps:
            future = self._gather(self._truth, start + self.window, self.horizon)
        return Batch(past, ahead, self._static.index_select(0, series), future, series, self._gaps)

    @staticmethod
    def _gather(values: Tensor, start: Tensor, length: int) -> Tensor:
        view = values.unfold(0, length, 1)  # (rows - length + 1, C, length), a view
        return view.index_select(0, start).transpose(1, 2)  # (B, length, C)


def shuffled(count: int, batch_size: int, steps: int) -> list[Tensor]:
    """Return at most `steps` batches of the numbers up to `count`, in a random order."""
    order = torch.randperm(count, dtype=torch.int32)  # int32: half the memory for millions of windows
    return [part.long() for part in torch.split(order[: steps * batch_size], batch_size)]
