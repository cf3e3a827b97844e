"""Graphs: fitted forecasters as functions of raw rows in torch, with scaling, anchor and distribution inside.

A graph takes rows as they come: `past`, (n, L, C) in double precision with NaN where a number is missing, and any
numbers before the first row of a series; how many last rows are `known`, (n,); the number of each `series` among those
that were fitted, -1 for another one; the covariates that are known `ahead`, (n, H, F); and `static` columns, (n, S).
Columns of text hold the places of their texts, -1 where there is none. It returns points, (n, H, K), and quantiles,
(n, H, K, Q).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tsforecast.export.levels import FamilyLevels, MixtureLevels, ResidualLevels
from tsforecast.export.scales import Filled, Scale, Scales


@dataclass(frozen=True)
class Shape:
    """Numbers that a graph is made for."""

    targets: int
    horizon: int
    window: int = 1  # rows that are read
    least: int = 1  # known rows, with fewer of which a series repeats its last season
    season: int = 1
    ahead: int = 0  # known future covariates, the last columns


class Naive(nn.Module):
    """A naive forecast, and the quantiles of its errors."""

    def __init__(self, kind: str, shape: Shape, steps: int = 1, residuals: ResidualLevels | None = None) -> None:
        super().__init__()
        self.kind, self.shape, self.steps, self.residuals = kind, shape, steps, residuals

    def forward(
        self, past: Tensor, known: Tensor, series: Tensor, ahead: Tensor, static: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return points and quantiles."""
        rows = Filled.of(past, known)
        points = naive(rows, self.kind, self.shape, self.steps)
        return points, _quantiles(self.residuals, points, rows)


def naive(rows: Filled, kind: str, shape: Shape, steps: int) -> Tensor:
    """Return a naive forecast by name, (n, H, K); see `forecasters.naive`."""
    k, horizon = shape.targets, shape.horizon
    last = rows.tail(1)[..., :k]
    if kind == "last":
        return last.expand(-1, horizon, -1)
    if kind == "seasonal":
        season = rows.tail(shape.season)[:, torch.arange(horizon) % shape.season, :k]
        return torch.where(rows.numbers(k) >= shape.season, season, last)
    if kind == "drift":
        slope = (last - rows.first[..., :k]) / (rows.numbers(k) - 1).clamp(min=1)
        return last + torch.arange(1, horizon + 1)[:, None] * slope
    there = rows.began[..., :k]
    if kind == "average":
        length = there.shape[1]
        there = there & (torch.arange(length) >= length - steps)[:, None]
    total = torch.where(there, rows.values[..., :k], 0.0).sum(1, keepdim=True)
    return (total / there.sum(1, keepdim=True)).expand(-1, horizon, -1)


def _quantiles(residuals: ResidualLevels | None, points: Tensor, rows: Filled) -> Tensor:
    return points.new_zeros(*points.shape, 0) if residuals is None else residuals(points, rows)


class Levels(nn.Module):
    """Columns of codes of texts turned into the levels that a network reads; see `CategoryEncoder`."""

    def __init__(self, tables: Sequence[tuple[int, Sequence[float]]]) -> None:
        """Take the position of each column and, for each of its texts, none and any other, the level."""
        super().__init__()
        self.columns = [at for at, _ in tables]
        for at, table in tables:
            self.register_buffer(f"table{at}", torch.tensor(table, dtype=torch.float64))

    def forward(self, values: Tensor, first: int = 0) -> Tensor:
        """Return values (n, T, c), whose columns are those from the `first` one on, with levels."""
        for at in self.columns:
            if at < first:
                continue
            table: Tensor = getattr(self, f"table{at}")
            code, texts = values[..., at - first], table.shape[0] - 2
            place = torch.where(code == -1, texts, torch.where((code >= 0) & (code < texts), code, texts + 1))
            found = table[place.to(torch.int64)]
            mine = torch.arange(values.shape[2]) == at - first
            values = torch.where(mine, found[..., None], values)
        return values

    def restored(self, scaled: Tensor, values: Tensor, first: int = 0) -> Tensor:
        """Return scaled numbers with the levels of columns of text as they were."""
        for at in self.columns:
            if at >= first:
                scaled = torch.where(torch.arange(values.shape[2]) == at - first, values, scaled)
        return scaled


class Statics(nn.Module):
    """Static columns as the numbers that a network reads; see `StaticEncoder`."""

    def __init__(self, columns: Sequence[tuple[float, float, Sequence[int]]]) -> None:
        """Take mean and deviation of each column, or for each of its texts the place among those that were learned."""
        super().__init__()
        self.columns = [(mean, spread, len(table)) for mean, spread, table in columns]
        for at, (_, _, table) in enumerate(columns):
            if len(table):
                width = max(table) + 1  # the last one is of any other text
                rows = torch.eye(width, dtype=torch.float64)[torch.tensor(table)]
                self.register_buffer(f"rows{at}", rows)

    def forward(self, static: Tensor) -> Tensor:
        """Map (n, S) to numbers."""
        parts = [static[:, :0]]
        for at, (mean, spread, texts) in enumerate(self.columns):
            column = static[:, at]
            if texts:
                known = (column >= 0) & (column < texts - 1)
                place = torch.where(known, column, texts - 1).to(torch.int64)
                parts.append(getattr(self, f"rows{at}")[place])
            else:
                parts.append(((column - mean) / spread).nan_to_num()[:, None])
        return torch.cat(parts, dim=1)


@dataclass(frozen=True, eq=False)
class Anchor:
    """The naive forecast that a network corrects: steps back, (H, A), or a blend with weights by series; or none."""

    lags: NDArray[np.int64] | None = None
    blend: Callable[[Tensor, Tensor, Tensor | None], Tensor] | None = None
    weights: NDArray[np.float64] | None = None  # of each series that has a number, and of any other, (N + 1, K * G * J)

    @property
    def exists(self) -> bool:
        """Whether there is one."""
        return self.lags is not None or self.blend is not None

    @property
    def copies(self) -> bool:
        """Whether it copies single steps."""
        return self.lags is not None and self.lags.shape[1] == 1


@dataclass(frozen=True, eq=False)
class Parts:
    """What a graph is made of besides the numbers of its shape."""

    scales: Scales
    anchor: Anchor
    network: nn.Module | None = None  # corrections of the anchor in scaled units, (n, H, K, P); none: zeros
    levels: Levels = field(default_factory=lambda: Levels(()))
    statics: Statics = field(default_factory=lambda: Statics(()))
    family: FamilyLevels | None = None  # of a network that learned distributions
    point: str = "level"
    asked: int = 0  # first levels of the family that are returned
    residuals: ResidualLevels | None = None  # of any other


class Graph(nn.Module):
    """A forecaster that corrects an anchor; see `forecasters.windowed`, whose steps these are."""

    weights: Tensor | None

    def __init__(self, shape: Shape, parts: Parts) -> None:
        super().__init__()
        self.shape, self.anchor, self.point = shape, parts.anchor, parts.point
        self.scales, self.network, self.levels, self.statics = parts.scales, parts.network, parts.levels, parts.statics
        self.family, self.asked, self.residuals = parts.family, parts.asked, parts.residuals
        weights = parts.anchor.weights
        self.register_buffer("weights", None if weights is None else torch.from_numpy(weights))

    def forward(
        self, past: Tensor, known: Tensor, series: Tensor, ahead: Tensor, static: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return points and quantiles."""
        shape, k = self.shape, self.shape.targets
        filled = Filled.of(past, known)
        scale = self.scales.of(filled, series)
        rows, there = self.levels(filled.tail(shape.window)), None
        if shape.least < shape.window:
            there = filled.lengths.clamp(max=shape.window)
        static = self._with_weights(self.statics(static), series)
        scaled = self.levels.restored(scale.transform(rows), rows)
        outputs = self._outputs(scaled, there, self._ahead(filled, ahead, scale), static)
        points = self._anchored(outputs[..., 0], rows[..., :k], there, scaled[..., :k], scale, static)
        quantiles = None
        if self.family is not None:
            if self.anchor.exists:
                moved = outputs[..., :1] + self._naive(scaled[..., :k], there, static)[..., None]
                outputs = torch.cat([moved, outputs[..., 1:]], dim=-1)
            if self.point != "level":
                points = self.family.point(self.point, outputs, scale)
            quantiles = points.new_zeros(*points.shape, 0)
            if self.asked:  # the median of a point forecast may come after those that are asked for
                quantiles = self.family(outputs, scale)[..., : self.asked]
        short = (filled.lengths < shape.least)[:, None, None]
        if shape.least > 1:
            naively = naive(filled, "seasonal", shape, 1)
            points = torch.where(short, naively, points)
            if quantiles is not None:  # those of the seasonal naive forecast are not here
                quantiles = torch.where(short[..., None], torch.nan, quantiles)
        return points, _quantiles(self.residuals, points, filled) if quantiles is None else quantiles

    def _ahead(self, filled: Filled, ahead: Tensor, scale: Scale) -> Tensor:
        """Return the known future covariates in scaled units, a missing number being the one before it."""
        width, columns = self.shape.ahead, filled.values.shape[2]
        if not width:
            return ahead
        first = columns - width
        rows = torch.cat([filled.values[..., first:], ahead], dim=1)
        every = torch.full_like(filled.lengths, 1) * rows.shape[1]
        rows = self.levels(Filled.of(rows, every).values[:, -self.shape.horizon :], first)
        return self.levels.restored(scale.transform(rows, first), rows, first)

    def _with_weights(self, static: Tensor, series: Tensor) -> Tensor:
        """Return static numbers followed by the weights of a blend."""
        if self.weights is None:
            return static
        row = torch.where(series < 0, self.weights.shape[0] - 1, series)
        return torch.cat([static, self.weights[row]], dim=1)

    def _outputs(self, scaled: Tensor, known: Tensor | None, ahead: Tensor, static: Tensor) -> Tensor:
        """Return the outputs of the network without the anchor, (n, H, K, P)."""
        if self.network is None:
            return scaled.new_zeros(scaled.shape[0], self.shape.horizon, self.shape.targets, 1)
        inputs = [part.nan_to_num().float() for part in (scaled, ahead, static)]
        outputs: Tensor = self.network(*inputs, known)
        return outputs.double()

    def _anchored(
        self,
        correction: Tensor,
        rows: Tensor,
        known: Tensor | None,
        scaled_rows: Tensor,
        scale: Scale,
        static: Tensor,
    ) -> Tensor:
        """Return the forecast in the data's own units; see `WindowedForecaster._anchored`."""
        if not self.anchor.exists:
            return scale.inverse(correction)
        if scale.powered and not self.anchor.copies:  # what is corrected is the mean of powers
            return scale.inverse(self._naive(scaled_rows, known, static) + correction)
        found = self._naive(rows, known, static)
        scaled = scale.transform(found)
        return found + (scale.inverse(scaled + correction) - scale.inverse(scaled))

    def _naive(self, own: Tensor, known: Tensor | None, static: Tensor) -> Tensor:
        """Return the anchor, (n, H, K), of windows of the targets (n, W, K)."""
        window = self.shape.window
        there = None if known is None else torch.arange(window) >= window - known[:, None]  # (n, W)
        if self.anchor.blend is not None and self.weights is not None:
            weights = static[:, static.shape[1] - self.weights.shape[1] :]
            return self.anchor.blend(own, weights, None if there is None else there[..., None])
        assert self.anchor.lags is not None
        lags: NDArray[np.int64] = self.anchor.lags
        copied = own[:, torch.from_numpy(window - lags)]  # (n, H, A, K)
        if known is None or there is None or lags.max() == 1:
            return copied[:, :, 0] if lags.shape[1] == 1 else copied.mean(2)
        exist = (torch.from_numpy(lags) <= known[:, None, None])[..., None]  # (n, H, A, 1)
        total, count = torch.where(exist, copied, 0.0).sum(2), exist.sum(2)
        mean = torch.where(there[..., None], own, 0.0).sum(1, keepdim=True) / known[:, None, None]
        return torch.where(count > 0, total / count.clamp(min=1), mean)


class Ensemble(nn.Module):
    """Weighted mean, or median, of the points of several graphs, and the mixture of their distributions."""

    def __init__(
        self, members: Sequence[nn.Module], weights: Sequence[float] | None, mixture: MixtureLevels | None
    ) -> None:
        """Take the weights of a mean, None for the median, and a mixture of quantiles, where some are wanted."""
        super().__init__()
        self.members, self.weights, self.mixture = nn.ModuleList(members), weights, mixture

    def forward(
        self, past: Tensor, known: Tensor, series: Tensor, ahead: Tensor, static: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return points and quantiles."""
        every: list[Any] = list(self.members)
        answers = [member(past, known, series, ahead, static) for member in every]
        each = [points for points, _ in answers]
        if self.weights is None:
            ordered, count = torch.stack(each).sort(0)[0], len(each)
            found = (ordered[(count - 1) // 2] + ordered[count // 2]) / 2
        else:
            found = sum((weight * part for weight, part in zip(self.weights, each, strict=True)), torch.zeros(()))
        if self.mixture is None:
            return found, found.new_zeros(*found.shape, 0)
        return found, self.mixture([quantiles for _, quantiles in answers])
