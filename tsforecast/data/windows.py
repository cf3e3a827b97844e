"""Sliding windows: contexts and targets of many cutoffs, gathered from one tensor without copying them all."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tsforecast.mapped import AtRandom, copied, has_nan, is_mapped, scratch

LISTED = 2**25  # windows that are shuffled as a list; of more, those of an epoch are drawn


@dataclass(frozen=True)
class Batch:
    """B windows of a model: float32 inputs without NaN, and the truth."""

    past: Tensor  # all columns, targets first, (B, W, C)
    ahead: Tensor  # known future covariates, (B, H, F)
    static: Tensor  # (B, S)
    future: Tensor  # targets; NaN where the truth is missing, (B, H, K)
    series: Tensor  # the series that each window is cut from, int64, (B,)
    gaps: bool  # whether any truth of these windows may be missing
    known: Tensor | None = None  # last steps of the past that exist, int64, (B,), and are to be read; None: all

    @property
    def inputs(self) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Arguments of the network: past, future known and static covariates, and how many steps exist."""
        return self.past, self.ahead, self.static, self.known


class Windows:
    """All windows whose targets lie in rows ``first:last`` (all unless given) of each series.

    A window is a start position; `batch` gathers any of them from one contiguous tensor. Windows never
    cross from one series into another, because the starts of each series are counted on their own; the past may reach
    back before `first`. `values` (rows, C) are scaled, without NaN, targets first, the `ahead` known future covariates
    last; `truth` (rows, K) is the targets again, with NaN where the loss skips them. `static` is (N, S), and `names`
    (N,) are those of the series in messages. With `least` a window may begin before its series does, as long as so many
    of its steps exist: a batch has the number of `known` ones, and in place of the others rows of no meaning. Of blocks
    of each series, first and last rows (N, B, 2), windows `within` have all targets in one, windows `without` no truth.
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
        least: int | None = None,
        ahead: int = 0,
        static: NDArray[Any] | None = None,
        first: NDArray[np.int64] | None = None,
        last: NDArray[np.int64] | None = None,
        within: NDArray[np.int64] | None = None,
        without: NDArray[np.int64] | None = None,
        names: NDArray[Any] | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        lengths = np.diff(offsets)
        earliest = np.maximum(np.zeros_like(lengths) if first is None else first, window if least is None else least)
        begin = earliest - window  # perhaps before the series
        end = lengths if last is None else last
        counts = np.maximum(end - horizon - window - begin + 1, 0)
        self.window, self.horizon = window, horizon
        self.counts = counts
        self.names = np.arange(len(lengths)) if names is None else names
        self.device = torch.device(device)
        bounds = np.cumsum(counts)
        self._bounds = torch.from_numpy(bounds).to(device)
        shift = begin - bounds + counts  # from a window to its first row in the series
        whole = bool((begin[counts > 0] >= 0).all())
        self._known = None if whole else torch.from_numpy(shift + window).to(device)  # from a window to its steps
        # The first series needs rows in front; windows of the others reach into the series before.
        front = -int((offsets[:-1] + begin)[counts > 0].min(initial=0))
        self._shift = torch.from_numpy(offsets[:-1] + shift + front).to(device)  # from a window to its row
        # One contiguous tensor each; when nothing is missing the truth is read from the values.
        rows = _contiguous(values, front)
        self._values = torch.from_numpy(rows).to(device, dtype)
        self._filed = rows if self.device.type == "cpu" and is_mapped(rows) else None
        self._targets, self._ahead = truth.shape[1], ahead
        self._chosen: tuple[Tensor, Tensor] | None = None  # last window, and windows so far, of each block of those
        self._own: tuple[int, int] | None = None  # numbers of those whose rows are here; None: all
        if within is not None:
            place = (bounds - counts - begin - window)[:, None, None] + within  # window whose first target is a row
            firsts, numbers = _between(place, bounds - counts, horizon)
            self._chosen = torch.from_numpy(firsts).to(device), torch.from_numpy(np.cumsum(numbers)).to(device)
        if without is not None:
            truth = copied(truth)
            for start, stop in (offsets[:-1, None, None] + without).reshape(-1, 2).tolist():
                truth[start:stop] = np.nan
        facts = np.zeros((len(lengths), 0)) if static is None else static
        self._static = torch.from_numpy(_contiguous(facts)).to(device, dtype)
        self._gaps = has_nan(truth)
        self._truth = torch.from_numpy(_contiguous(truth, front)).to(device, dtype) if self._gaps else self._values

    def __len__(self) -> int:
        return int(self.counts.sum() if self._chosen is None else self._chosen[1][-1])

    def part(self, first: int, last: int) -> Windows:
        """Return these windows with the rows of those with the numbers ``first:last`` alone, in memory of their own.

        All keep their numbers, and `own` selects those that can be gathered.
        """
        part = copy.copy(self)
        part._own, rows = (first, last), slice(0, 0)
        if first < last:
            ends = torch.tensor([first, last - 1], device=self.device)
            begin, end = (self._place(ends) + self._shift[self.series_index(ends)]).tolist()
            rows = slice(begin, end + self.window + self.horizon)
        part._values = self._values[rows].clone()
        part._truth = self._truth[rows].clone() if self._gaps else part._values
        part._shift = self._shift - rows.start
        return part

    def own(self, index: Tensor) -> Tensor:
        """Return those of the windows `index`, on the host, whose rows a part has."""
        first, last = self._own or (0, len(self))
        return index[(index >= first) & (index < last)]

    def shuffled(self, batch_size: int, steps: int) -> list[Tensor]:
        """Return the batches of one epoch: windows in a new order, each at most once."""
        return shuffled(len(self), batch_size, steps)

    def series_index(self, index: Tensor) -> Tensor:
        """Return the series that each of the windows `index` belongs to, shape (B,)."""
        return torch.searchsorted(self._bounds, self._place(index.to(self.device, non_blocking=True)), right=True)

    def batch(self, index: Tensor) -> Batch:
        """Gather the windows `index` (int64, shape (B,), on the host or on the device)."""
        index = index.to(self.device, non_blocking=True)
        series, index = self.series_index(index), self._place(index)
        start = index + self._shift.index_select(0, series)  # (B,)
        with self._reads(start.numpy()) if self._filed is not None else nullcontext():
            rows = self._gather(self._values, start, self.window + self.horizon)  # (B, W + H, C)
        past, future, known = rows[:, : self.window], rows[:, self.window :], None
        if self._known is not None:
            known = (index + self._known.index_select(0, series)).clamp(max=self.window)  # (B,)
        ahead = future[..., rows.shape[2] - self._ahead :]  # (B, H, F)
        future = future[..., : self._targets]  # (B, H, K)
        if self._gaps:
            future = self._gather(self._truth, start + self.window, self.horizon)
        return Batch(past, ahead, self._static.index_select(0, series), future, series, self._gaps, known)

    @cached_property
    def _reads(self) -> AtRandom:
        assert self._filed is not None
        return AtRandom(self._filed, self.window + self.horizon)

    def _place(self, index: Tensor) -> Tensor:
        """Return the places of windows among those of all rows."""
        if self._chosen is None:
            return index
        ends, numbers = self._chosen
        block = torch.searchsorted(numbers, index, right=True)
        return index - numbers.index_select(0, block) + ends.index_select(0, block)

    @staticmethod
    def _gather(values: Tensor, start: Tensor, length: int) -> Tensor:
        view = values.unfold(0, length, 1)  # (rows - length + 1, C, length), a view
        return view.index_select(0, start).transpose(1, 2)  # (B, length, C)


@lru_cache(maxsize=1_024)
def constant(numbers: tuple[Any, ...], device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """Return numbers, or rows of them, as a tensor that is copied to a device once, not in each step of training."""
    with torch.inference_mode(False):
        return torch.tensor(numbers, dtype=dtype).to(device)


def _between(
    blocks: NDArray[np.int64], least: NDArray[np.int64], horizon: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the windows whose targets lie in blocks (N, B, 2) of each series, from its first window on.

    They are the ends and the numbers of runs of windows, (N * B,) each, in the order of the windows.
    """
    own = np.take_along_axis(blocks, np.lexsort((blocks[..., 1], blocks[..., 0]))[..., None], axis=1)
    first, end = np.maximum(own[..., 0], least[:, None]), own[..., 1] - horizon + 1
    return np.maximum(end, first).ravel(), np.maximum(end - first, 0).ravel()


def _contiguous(rows: NDArray[Any], front: int = 0) -> NDArray[Any]:
    """Return rows as a contiguous array, behind so many rows of zeros; a view where there are none."""
    if front:
        padded = scratch((front + len(rows), *rows.shape[1:]), rows.dtype, rows)
        padded[:front], padded[front:] = 0, rows
        rows = padded
    return np.ascontiguousarray(rows)


def shuffled(count: int, batch_size: int, steps: int) -> list[Tensor]:
    """Return at most `steps` batches of the numbers up to `count`, in a random order."""
    wanted = min(count, steps * batch_size)
    if count <= LISTED or 4 * wanted > count:
        kind = torch.int32 if count < 2**31 else torch.int64  # int32: half the memory for millions of windows
        order = torch.randperm(count, dtype=kind)[:wanted]
    else:
        order = _distinct(count, wanted)
    return [part.long() for part in torch.split(order, batch_size)]


def _distinct(count: int, wanted: int) -> Tensor:
    """Draw numbers below `count` until so many differ: those of a shuffled list of all, without the list."""
    drawn = torch.empty(0, dtype=torch.int64)
    while len(drawn) < wanted:
        drawn = torch.cat([drawn, torch.randint(count, (wanted,))])
        _, first = np.unique(drawn.numpy(), return_index=True)
        drawn = drawn[torch.from_numpy(np.sort(first))]
    return drawn[:wanted]
