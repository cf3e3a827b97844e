"""Filled rows and scales in torch: what `data.context` and `data.scaling` compute, as operations of a graph.

A series that was fitted has the scales that were learned; those of another one are learned from its own rows, in the
graph itself. All numbers are in double precision, as they are there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tsforecast.data.scaling import ARRAYS, TINY

SHARES = {"min-max": (0.0, 0.0, 1.0), "robust": (0.25, 0.5, 0.75)}  # quantiles: location is the second
PLACES, ROUNDS = 32, 6  # of an interval that are compared, and times that the best and its neighbours are kept


@dataclass(frozen=True, eq=False)
class Filled:
    """Rows whose missing numbers are the ones before them, and at the start of a series the first one."""

    values: Tensor  # (n, L, C); NaN in a column without any number
    began: Tensor  # whether a number of the column has come, (n, L, C)
    first: Tensor  # first number, (n, 1, C)
    lengths: Tensor  # rows of each series, (n,)

    @classmethod
    def of(cls, past: Tensor, known: Tensor) -> Filled:
        """Fill rows (n, L, C), of which the last `known`, (n,), belong to the series; the others are not read."""
        steps = torch.arange(past.shape[1])
        there = ~past.isnan() & (steps >= past.shape[1] - known[:, None])[..., None]
        rank = there.to(torch.int64).cumsum(1)  # numbers so far, (n, L, C)
        table = past.new_full((past.shape[0], past.shape[1] + 1, past.shape[2]), torch.nan)
        table = table.scatter(1, torch.where(there, rank, 0), past)  # by rank; what comes to the place 0 is not read
        values = table.gather(1, rank.clamp(min=1))
        return cls(values, rank > 0, table[:, 1:2], known.clamp(max=past.shape[1]))

    def tail(self, count: int) -> Tensor:
        """Return the last rows, (n, count, C), as `Context.tail` does."""
        return torch.cat([self.first.expand(-1, count, -1), self.values], dim=1)[:, -count:]

    def numbers(self, targets: int) -> Tensor:
        """Return how many rows of each target there are from its first number on, (n, 1, K)."""
        return self.began[..., :targets].sum(1, keepdim=True)

    def spread(self, targets: int, lag: int) -> Tensor:
        """Return the mean absolute move over a lag, (n, 1, K); see `distributions.residuals.scales`."""
        rows = torch.where(self.began, self.values, torch.nan)[..., :targets]
        found = []
        for back in (lag, 1):
            before = torch.cat([rows.new_full((rows.shape[0], back, targets), torch.nan), rows], dim=1)
            moves = (before[:, back:] - before[:, :-back]).abs()  # (n, L, K)
            count = (~moves.isnan()).sum(1, keepdim=True)
            found.append(torch.where(moves.isnan(), 0.0, moves).sum(1, keepdim=True) / count.clamp(min=1))
        return torch.where((self.lengths > lag)[:, None, None], found[0], found[1])


@dataclass(frozen=True, eq=False)
class Scale:
    """Scale of n series: the fields of a `Scaling`, (n, 1, K) or (n, 1, C) each, and what it does."""

    powered: bool
    shift: Tensor
    power: Tensor
    edge: Tensor
    location: Tensor
    scale: Tensor
    lowest: Tensor
    highest: Tensor

    def transform(self, values: Tensor, first: int = 0) -> Tensor:
        """Scale values (n, T, c), whose columns are those from the `first` one on; see `Scaling.transform`."""
        end, targets = first + values.shape[2], self.shift.shape[2]
        own = values[..., : max(targets - first, 0)]
        if self.powered and own.shape[2]:
            k = own.shape[2]
            own = raised(own, self.shift[..., :k], self.power[..., :k], self.edge[..., :k])
        rest = values[..., own.shape[2] :]
        some = slice(first + own.shape[2], end)
        rest = torch.minimum(torch.maximum(rest, self.lowest[..., some]), self.highest[..., some])
        scaled = torch.cat([own, rest], dim=2)
        return (scaled - self.location[..., first:end]) / self.scale[..., first:end]

    def inverse(self, values: Tensor) -> Tensor:
        """Undo `transform` of targets, (n, T, K)."""
        k = values.shape[2]
        values = values * self.scale[..., :k] + self.location[..., :k]
        if not self.powered:
            return values
        safe = torch.where(self.power == 0, 1.0, self.power)
        roots = (1 + (safe * values).clamp(min=-1 + 1e-12)).log() / safe
        return torch.where(self.power == 0, values, roots).clamp(max=700.0).exp() - self.shift


def raised(values: Tensor, shift: Tensor, power: Tensor, edge: Tensor) -> Tensor:
    """Return the value transform of targets (n, T, K)."""
    logs = torch.maximum(values + shift, edge).log()
    safe = torch.where(power == 0, 1.0, power)
    return torch.where(power == 0, logs, ((safe * logs).exp() - 1) / safe)


class Scales(nn.Module):
    """Scales that were learned, of N series or of all, and the recipe for a series that was not among them."""

    rows: Tensor | None
    shift: Tensor

    def __init__(
        self,
        arrays: Mapping[str, NDArray[np.float64]],
        rows: NDArray[np.int64] | None,
        transform: str | None,
        scaler: str | None,
    ) -> None:
        """Take arrays of a `Scaling` and, of each series that has a number, the row among them, or -1; None: one row.

        Rows are those of the numbers of series that a graph reads.
        """
        super().__init__()
        self.powered, self.kind, self.scaler = transform is not None, transform, scaler
        for name in ARRAYS:
            self.register_buffer(name, torch.from_numpy(np.array(arrays[name], dtype=np.float64)))
        self.register_buffer("rows", None if rows is None else torch.from_numpy(np.append(rows, -1)))

    def of(self, past: Filled, series: Tensor) -> Scale:
        """Return the scale of series, (n,), -1 for those that were not fitted."""
        learned: list[Tensor] = [getattr(self, name) for name in ARRAYS]
        if self.rows is None:
            count = past.values.shape[0]
            return Scale(self.powered, *(array[:1, None].expand(count, -1, -1) for array in learned))
        row = self.rows[torch.where(series < 0, self.rows.shape[0] - 1, series)]  # (n,)
        own = self._fitted(past)
        seen, row = (row >= 0)[:, None, None], row.clamp(min=0)
        kept = [torch.where(seen, old[row][:, None], new) for old, new in zip(learned, own, strict=True)]
        return Scale(self.powered, *kept)

    def _fitted(self, past: Filled) -> list[Tensor]:
        """Return the scales of the rows themselves, see `ScalingRecipe.fit`, in the order of `ARRAYS`."""
        rows, there, k = past.values, past.began, self.shift.shape[1]
        shift, power = (torch.zeros_like(rows[:, :1, :k]) for _ in range(2))
        edge = torch.ones_like(shift)
        if self.powered:
            own, mine = rows[..., :k], there[..., :k]
            shift, edge = _offsets(own, mine)
            if self.kind == "box-cox":
                power = _best_power(torch.maximum(own + shift, shift.new_tensor(TINY)), mine)
            rows = torch.cat([raised(own, shift, power, edge), rows[..., k:]], dim=2)
        count = there.sum(1, keepdim=True)
        location, scale = torch.zeros_like(rows[:, :1]), torch.ones_like(rows[:, :1])
        if self.scaler == "standard":
            location, scale = _mean_and_deviation(rows, there)
        elif self.scaler is not None:
            low, location, high = (_quantile(rows, there, count, share) for share in SHARES[self.scaler])
            scale = _never_zero(high - low, rows, there)
        low, high = _extremes(rows, there)
        low, high = (torch.where(count > 0, end, 0.0) for end in (low, high))
        margin = torch.where(high > low, high - low, 1.0)
        free = torch.arange(rows.shape[2]) < k  # targets are not held
        lowest = torch.where(free, -torch.inf, low - margin)
        highest = torch.where(free, torch.inf, high + margin)
        return [shift, power, edge, location, scale, lowest, highest]


def _extremes(rows: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
    """Return the lowest and the highest number of each column, (n, 1, C)."""
    return (
        torch.where(there, rows, torch.inf).amin(1, keepdim=True),
        torch.where(there, rows, -torch.inf).amax(1, keepdim=True),
    )


def _mean_and_deviation(rows: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
    total = there.sum(1, keepdim=True).clamp(min=1)
    mean = torch.where(there, rows, 0.0).sum(1, keepdim=True) / total
    squares = torch.where(there, rows - mean, 0.0).square().sum(1, keepdim=True)
    return mean, _never_zero((squares / total).sqrt(), rows, there)


def _never_zero(spread: Tensor, rows: Tensor, there: Tensor) -> Tensor:
    """Replace spreads that are no more than rounding by 1; see `data.scaling`."""
    size = torch.where(there, rows, 0.0).abs().amax(1, keepdim=True)
    return torch.where(spread > (16 * np.finfo(np.float64).eps * size).clamp(min=TINY), spread, 1.0)


def _quantile(rows: Tensor, there: Tensor, count: Tensor, share: float) -> Tensor:
    """Return a quantile of each column as numpy has it, 0 of one without a number."""
    ordered = torch.where(there, rows, torch.inf).sort(1)[0]
    place = share * (count - 1).clamp(min=0).to(rows.dtype)  # (n, 1, C)
    low = place.floor()
    below, above = (ordered.gather(1, at.to(torch.int64)) for at in (low, place.ceil()))
    return torch.where(count > 0, below + (above - below) * (place - low), 0.0)


def _offsets(own: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
    """Return offset and lowest shifted value of the value transform."""
    lowest, known = _extremes(own, there)[0], there.any(1, keepdim=True)
    spread = _mean_and_deviation(own, there)[1]
    offset = torch.where(known & (lowest <= 0), spread - lowest, 0.0)
    return offset, torch.where(known, (1e-3 * (lowest + offset)).clamp(min=TINY), 1.0)


def _best_power(positive: Tensor, there: Tensor) -> Tensor:
    """Return the power in [0, 1] that makes positive numbers most normal, (n, 1, K), ever more closely."""
    low, high = _extremes(positive, there)
    logs = torch.where(there, (positive / high).log(), 0.0)
    count = there.sum(1, keepdim=True).clamp(min=1)

    def unlikely(power: Tensor) -> Tensor:
        """Return the negative logarithm of the likelihood at powers (n, P, K), of which each has all rows."""
        some = there[:, :, None]
        raised = torch.where(some, (power[:, None] * logs[:, :, None]).exp() / power[:, None], 0.0)  # (n, L, P, K)
        mean = raised.sum(1) / count
        squares = torch.where(some, raised - mean[:, None], 0.0).square().sum(1)
        return count / 2 * (squares / count).log() - (power - 1) * logs.sum(1, keepdim=True)

    begin, width = torch.zeros_like(high), 1.0
    places = torch.arange(1, PLACES, dtype=logs.dtype)[:, None] / PLACES  # (P, 1)
    for _ in range(ROUNDS):
        best = unlikely(begin + width * places).argmin(1, keepdim=True).to(logs.dtype) + 1  # (n, 1, K)
        begin, width = begin + (best - 1) * (width / PLACES), 2 * width / PLACES
    return torch.where(low < high, begin + width / 2, 0.0)
