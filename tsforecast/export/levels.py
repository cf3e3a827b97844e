"""Quantiles and points of distributions in torch, at levels that are fixed: what `distributions` computes in numpy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tsforecast.distributions.base import LEVELS
from tsforecast.distributions.counts import DISPERSIONS, LOGIT, NegativeBinomial, Poisson, ZeroInflated, positive
from tsforecast.distributions.families import MOST_DEGREES, Family, Laplace, Normal, Quantiles, StudentT, Symmetric
from tsforecast.export.scales import Filled, Scale

DEGREES = 8_192  # places of a table of quantiles of Student's t, between which lines are right to eight digits


class ResidualLevels(nn.Module):
    """Quantiles of residuals around points: by step, in units of the seasonal naive error of a past, that may grow."""

    by_step: Tensor
    way: Tensor
    lowest: Tensor

    def __init__(
        self,
        by_step: NDArray[np.float64],
        lowest: NDArray[np.float64],
        levels: Sequence[float],
        season: int,
        growth: str = "none",
        steps: int = 1,
        own_season: int = 1,
    ) -> None:
        """Take quantiles at `LEVELS`, (H, K, L), the lowest number of each target, and what growth depends on."""
        super().__init__()
        places, way = _between(levels)
        low = np.array(places)
        ends = np.stack([by_step[..., low], by_step[..., low + 1]])  # (2, H, K, Q)
        self.register_buffer("way", torch.from_numpy(way))
        self.register_buffer("by_step", torch.from_numpy(ends))
        self.register_buffer("lowest", torch.from_numpy(lowest[:, None]))
        self.season, self.growth, self.steps, self.own_season = season, growth, steps, own_season

    def forward(self, points: Tensor, past: Filled) -> Tensor:
        """Return quantiles, (n, H, K, Q), around points (n, H, K)."""
        targets = points.shape[2]
        unit = past.spread(targets, self.season) * self._grown(past.numbers(targets), points.shape[1])
        low, high = (torch.maximum(points[..., None] + unit[..., None] * end, self.lowest) for end in self.by_step)
        found: Tensor = low + self.way * (high - low)
        return found

    def _grown(self, known: Tensor, horizon: int) -> Tensor:
        """Return the deviation of each step in theory, (n, H, K); see `forecasters.naive`."""
        steps = torch.arange(1, horizon + 1)[:, None].double()
        count = known.double()
        if self.growth == "last":
            return steps.sqrt()[None]
        if self.growth == "seasonal":
            seasons = torch.div(steps - 1, self.own_season, rounding_mode="floor") + 1
            return torch.where(known < self.own_season, steps, seasons).sqrt()
        if self.growth == "drift":
            return (steps * (1 + steps / (count - 1).clamp(min=1))).sqrt()
        if self.growth in ("mean", "average"):
            most = self.steps if self.growth == "average" else None
            return (1 + 1 / count.clamp(min=1, max=most)).sqrt() * torch.ones_like(steps)
        return torch.ones_like(steps)[None]


class MixtureLevels(nn.Module):
    """Quantiles of the mixture of distributions that are known by their quantiles at `LEVELS`."""

    mass: Tensor
    way: Tensor

    def __init__(self, weights: Sequence[float], levels: Sequence[float]) -> None:
        """Take the weights of the parts, whose sum is 1, and the levels."""
        super().__init__()
        self.places, way = _between(levels)
        self.register_buffer("way", torch.from_numpy(way))
        self.register_buffer("mass", torch.from_numpy(np.repeat(np.asarray(weights) / len(LEVELS), len(LEVELS))))

    def forward(self, parts: Sequence[Tensor]) -> Tensor:
        """Return quantiles, (n, H, K, Q), given those of each part at `LEVELS`; see `distributions.base.mixture`."""
        pooled, order = torch.cat([*parts], dim=-1).sort(-1)
        below = (self.mass[order].cumsum(-1) * (len(LEVELS) + 1) + 1e-9).floor()
        last = pooled.shape[-1] - 1
        low, high = (
            torch.cat([pooled.gather(-1, (below <= place).sum(-1, keepdim=True).clamp(max=last)) for place in end], -1)
            for end in (self.places, [place + 1 for place in self.places])
        )
        return low + self.way * (high - low)


def _between(levels: Sequence[float]) -> tuple[list[int], NDArray[np.float64]]:
    """Return the place in `LEVELS` below each level, and how far the level lies on the way to the next one."""
    place = np.clip(np.asarray(levels) * (len(LEVELS) + 1) - 1, 0, len(LEVELS) - 1)
    low = np.minimum(np.floor(place).astype(np.int64), len(LEVELS) - 2)
    return low.tolist(), place - low


class FamilyLevels(nn.Module):
    """Quantiles and point of the distributions of a family, of the outputs of a network."""

    table: Tensor

    def __init__(self, family: Family, levels: Sequence[float], most: int = 0) -> None:
        """Take the levels; counts above the `most` are not found: quantiles among them are NaN."""
        super().__init__()
        self.family, self.levels, self.most = family, tuple(map(float, levels)), most
        wanted = np.array(self.levels)
        if isinstance(family, Normal | Laplace):
            self.register_buffer("table", torch.from_numpy(family.standard_quantiles(wanted, np.zeros((0,)))))
        elif isinstance(family, StudentT):
            degrees = 1 / np.linspace(1 / (2 + MOST_DEGREES), 0.5, DEGREES)
            quantiles = family.standard_quantiles(wanted, degrees[:, None, None])
            self.register_buffer("table", torch.from_numpy(quantiles))  # (D, Q)

    def of(self, outputs: Tensor, scale: Scale) -> Tensor:
        """Return the parameters of the family, (n, H, K, P); see `Parametric`."""
        if self.family.counts:
            outputs = torch.cat([scale.inverse(outputs[..., 0])[..., None], outputs[..., 1:]], dim=-1)
        return _parameters(self.family, outputs)

    def forward(self, outputs: Tensor, scale: Scale) -> Tensor:
        """Return quantiles in the data's units, (n, H, K, Q)."""
        found = self._quantiles(self.of(outputs, scale))
        if self.family.counts:
            return found
        return torch.stack([scale.inverse(found[..., i]) for i in range(len(self.levels))], dim=-1)

    def point(self, name: str, outputs: Tensor, scale: Scale) -> Tensor:
        """Return the point forecast, (n, H, K): those that `point_problem` lets pass."""
        parameters = self.of(outputs, scale)
        if name == "median":
            return self.forward(outputs, scale)[..., self.levels.index(0.5)]
        if self.family.counts:
            return parameters[..., 0]
        location, deviation = parameters[..., 0], parameters[..., 1]
        if not scale.powered:
            return scale.inverse(location)
        factor = scale.scale[..., : location.shape[2]]
        moved = location * factor + scale.location[..., : location.shape[2]]
        squares = (deviation * factor).square()
        return (moved + (squares / 2 if name == "mean" else -squares)).exp() - scale.shift

    def _quantiles(self, parameters: Tensor) -> Tensor:
        family: Any = self.family
        if isinstance(family, Quantiles):
            odds, levels = _logit(family.levels), np.array(self.levels)
            lower = np.clip(np.searchsorted(family.levels, levels, side="right") - 1, 0, len(family.levels) - 2)
            way = (_logit(levels) - odds[lower]) / (odds[lower + 1] - odds[lower])
            low, high = (parameters.index_select(-1, torch.from_numpy(at)) for at in (lower, lower + 1))
            return low + torch.from_numpy(way) * (high - low)
        if isinstance(family, Symmetric):
            return parameters[..., :1] + parameters[..., 1:2] * self._standard(parameters)
        wanted = torch.tensor(self.levels, dtype=torch.float64)
        if isinstance(family, ZeroInflated):
            share = parameters[..., -1:]
            others = torch.cat([parameters[..., :1] / (1 - share), parameters[..., 1:-1]], dim=-1)
            return self._counted(others, (wanted - share) / (1 - share))
        return self._counted(parameters, wanted.expand(*parameters.shape[:-1], -1))

    def _standard(self, parameters: Tensor) -> Tensor:
        """Return the quantiles of the standard distribution, of Student's t between those of two degrees of freedom."""
        if not isinstance(self.family, StudentT):
            return self.table
        first, last = 1 / (2 + MOST_DEGREES), 0.5
        place = ((1 / parameters[..., 2] - first) * ((DEGREES - 1) / (last - first))).clamp(0, DEGREES - 1)
        low = place.floor().clamp(max=DEGREES - 2)
        at = low.to(torch.int64)
        return self.table[at] + (place - low)[..., None] * (self.table[at + 1] - self.table[at])

    def _counted(self, parameters: Tensor, levels: Tensor) -> Tensor:
        """Return the least counts up to which the probability is as high as levels (n, H, K, Q)."""
        base = self.family.base if isinstance(self.family, ZeroInflated) else self.family
        count = torch.arange(1, self.most + 1, dtype=torch.float64)
        mean = parameters[..., :1]
        if isinstance(base, NegativeBinomial):
            dispersion = parameters[..., 1:2]
            size = 1 / dispersion
            first = -size * (1 + dispersion * mean).log()
            steps = ((count - 1 + size) / count).log() + (dispersion * mean / (1 + dispersion * mean)).log()
        else:
            first, steps = -mean, mean.log() - count.log()
        logs = torch.cat([first, steps], dim=-1).cumsum(-1)  # of the probability of each count
        reached = logs.exp().cumsum(-1)  # (n, H, K, most + 1)
        found = [(reached < levels[..., i : i + 1]).sum(-1) for i in range(len(self.levels))]
        counts = torch.stack(found, dim=-1).double()
        return torch.where(counts > self.most, torch.nan, counts)


def _parameters(family: Family, outputs: Tensor) -> Tensor:
    """Return what `Family.parameters` does, with a softplus that onnxruntime has for double precision."""
    if isinstance(family, StudentT):
        return torch.cat([outputs[..., :2], 2 + _softplus(outputs[..., 2:]).clamp(max=MOST_DEGREES)], dim=-1)
    if isinstance(family, NegativeBinomial):
        return torch.cat([positive(outputs[..., :1]), _softplus(outputs[..., 1:]).clamp(*DISPERSIONS)], dim=-1)
    if isinstance(family, ZeroInflated):
        share = torch.sigmoid(outputs[..., -1:].clamp(-LOGIT, LOGIT))
        return torch.cat([_parameters(family.base, outputs[..., :-1]), share], dim=-1)
    return family.parameters(outputs)


def _softplus(x: Tensor) -> Tensor:
    return x.clamp(min=0) + (1 + (-x.abs()).exp()).log()


def point_problem(family: Family, name: str, powered: bool, only_logs: bool) -> str:
    """Return what keeps a point forecast of a family out of a graph; empty where nothing does."""
    if name in ("level", "median"):
        return ""
    if family.counts:
        return "" if name == "mean" else f"the {name} of a {family.name} distribution"
    if isinstance(family, Symmetric) and (not powered or (only_logs and isinstance(family, Normal))):
        return ""
    return f"the {name} of a {family.name} distribution of transformed values"


def most_count(family: Family, highest: float) -> int:
    """Return the largest count that is looked for, given the highest of the data; 0 of a family that has none."""
    if not isinstance(family, Poisson | NegativeBinomial | ZeroInflated):
        return 0
    return int(2 ** np.ceil(np.log2(8 * max(highest, 1.0) + 64)))


def _logit(levels: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.log(levels / (1 - levels)))
