"""Forecast distributions of a family in the data's units: quantiles and probabilities through the scaling."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy import special

from tsforecast.data.scaling import TINY, Scaling
from tsforecast.distributions.base import LEVELS, Distribution, Floats
from tsforecast.distributions.families import Family, Laplace, Normal, StudentT
from tsforecast.errors import DataWarning

OF_TORCH: dict[str, Callable[..., torch.distributions.Distribution]] = {  # by name of the family, of its parameters
    "normal": torch.distributions.Normal,
    "laplace": torch.distributions.Laplace,
    "student-t": lambda location, scale, degrees: torch.distributions.StudentT(degrees, location, scale),
    "poisson": torch.distributions.Poisson,
    "negative-binomial": lambda mean, dispersion: torch.distributions.NegativeBinomial(
        1 / dispersion, mean * dispersion / (1 + mean * dispersion)
    ),
}
PEAK = 20  # neighbouring levels of a grid, a tenth of the probability, of which the closest hold the mode


@dataclass(frozen=True, eq=False)
class Parametric(Distribution):
    """Distributions of a family, of the outputs of a network, (n, H, K, P), and the scaling of their n series.

    A family of counts speaks of the data themselves; others of scaled numbers, so that quantiles are those of the
    family, each through the inverse of the scaling.
    """

    family: Family
    outputs: Floats
    scaling: Scaling
    points: Floats | None = None

    @property
    def shape(self) -> tuple[int, int, int]:  # type: ignore[override]
        """Numbers of cutoffs, steps and targets."""
        n, steps, targets, _ = self.outputs.shape
        return n, steps, targets

    @property
    def parameters(self) -> Floats:
        """Parameters of the family, (n, H, K, P)."""
        outputs = self.outputs
        if self.family.counts:
            outputs = np.concatenate([self._to_data(outputs[..., 0])[..., None], outputs[..., 1:]], axis=-1)
        return np.asarray(self.family.parameters(torch.from_numpy(outputs)).numpy())

    def quantiles(self, levels: Sequence[float] | Floats) -> Floats:
        """See `Distribution.quantiles`."""
        found = self.family.quantiles(self.parameters, np.asarray(levels, dtype=np.float64))  # (n, H, K, Q)
        if self.family.counts:
            return found
        n, steps, targets, count = found.shape
        flat = np.moveaxis(found, -1, 2).reshape(n, steps * count, targets)
        return np.moveaxis(self._to_data(flat).reshape(n, steps, count, targets), 2, -1)

    def cdf(self, y: ArrayLike) -> Floats:
        """See `Distribution.cdf`."""
        return np.where(self._least > np.asarray(y), 0.0, self.family.cdf(self.parameters, self._scaled(y)))

    def below(self, y: ArrayLike) -> Floats:
        """See `Distribution.below`."""
        return np.where(self._least >= np.asarray(y), 0.0, self.family.below(self.parameters, self._scaled(y)))

    def mean(self) -> Floats:
        """See `Distribution.mean`; where it is infinite the median stands in, with a warning."""
        found = self._mean()
        if not (endless := self._endless()).any():
            return found
        warnings.warn(
            f"{endless.sum()} of {endless.size} means are infinite, of a {self.family.name} distribution of logarithms "
            "or powers, and the medians stand in for them: use loss='normal', or value_transform=None",
            DataWarning,
            stacklevel=2,
        )
        return np.where(endless, self.median(), found)

    def _mean(self) -> Floats:
        if self._lognormal is not None:
            location, deviation, shift = self._lognormal
            return np.asarray(np.exp(location + deviation**2 / 2) - shift)
        found = self.family.mean(self.parameters) if self._linear else None
        if found is None:
            return super().mean()
        return found if self.family.counts else self._to_data(found)

    def mode(self) -> Floats:
        """Return the numbers of the highest density or probability, (n, H, K).

        Without a closed form: the middle of the shortest interval that holds a tenth of the probability.
        """
        if self._lognormal is not None:
            location, deviation, shift = self._lognormal
            return np.asarray(np.exp(location - deviation**2) - shift)
        found = self.family.mode(self.parameters) if self._linear else None
        if found is not None:
            return found if self.family.counts else self._to_data(found)
        grid = self.quantiles(LEVELS)
        first = np.argmin(grid[..., PEAK:] - grid[..., :-PEAK], axis=-1)
        return np.take_along_axis(grid, first[..., None] + PEAK // 2, axis=-1)[..., 0]

    def point(self, name: Literal["mean", "median", "mode"]) -> Floats:
        """Return one number for each distribution, by name, (n, H, K)."""
        return {"mean": self.mean, "median": self.median, "mode": self.mode}[name]()

    def crps(self, y: ArrayLike) -> Floats:
        """See `Distribution.crps`; in closed form where there is one."""
        truth = np.asarray(y, dtype=np.float64)
        if self._lognormal is not None:
            location, deviation, shift = self._lognormal
            return _lognormal_crps(location, deviation, truth + shift)
        found = self.family.crps(self.parameters, self._scaled(truth)) if self._linear else None
        if found is None:
            return super().crps(y)
        return found if self.family.counts else found * self.scaling.scale[:, None, : self.shape[2]]

    def at_probabilities(self, probabilities: Floats) -> Floats:
        """See `Distribution.at_probabilities`; counts are whole."""
        found = super().at_probabilities(probabilities)
        return np.ceil(found) if self.family.counts else found

    def to_torch(self) -> torch.distributions.Distribution:
        """See `Distribution.to_torch`: in the data's units, also behind a logarithm; not behind other powers."""
        parameters = self.parameters
        if self._lognormal is not None:
            location, deviation, shift = map(torch.from_numpy, self._lognormal)
            back = torch.distributions.AffineTransform(-shift, torch.ones_like(shift))
            return torch.distributions.TransformedDistribution(torch.distributions.LogNormal(location, deviation), back)
        if not self._linear or self.family.name not in OF_TORCH:
            super().to_torch()  # which refuses
        if not self.family.counts:
            spread = parameters[..., 1] * self.scaling.scale[:, None, : self.shape[2]]
            parts = [self._to_data(parameters[..., 0]), spread, *np.moveaxis(parameters[..., 2:], -1, 0)]
            parameters = np.stack(parts, axis=-1)
        made: torch.distributions.Distribution = OF_TORCH[self.family.name](*torch.from_numpy(parameters).unbind(-1))
        return made

    def steps(self, chosen: slice | NDArray[np.int64]) -> Parametric:
        """See `Distribution.steps`."""
        if isinstance(chosen, slice):
            return replace(self, outputs=self.outputs[:, chosen], points=None)
        taken = np.take_along_axis(self.outputs, chosen[:, :, None, None], axis=1)
        return replace(self, outputs=taken, points=None)

    def _endless(self) -> NDArray[np.bool_]:
        """Return where the mean is infinite, (n, H, K): tails that an exponential, or a power, makes too heavy."""
        scaling, targets = self.scaling, self.shape[2]
        if not scaling.powered or not isinstance(self.family, StudentT | Laplace):
            return np.zeros(self.shape, dtype=np.bool_)
        power, parameters = scaling.power[:, None], self.parameters
        if isinstance(self.family, StudentT):  # moments up to the degrees of freedom
            return np.asarray(power * parameters[..., 2] <= 1)
        return np.asarray((power == 0) & (parameters[..., 1] * scaling.scale[:, None, :targets] >= 1))

    @property
    def _linear(self) -> bool:
        """Whether numbers of the family are the data's but for a factor and a shift."""
        return self.family.counts or not (self.scaling.powered or self.scaling.tools)

    @property
    def _lognormal(self) -> tuple[Floats, Floats, Floats] | None:
        """Location and deviation of the logarithm, and the shift before it; None where that is not normal."""
        scaling, targets = self.scaling, self.shape[2]
        if not (isinstance(self.family, Normal) and scaling.powered and not scaling.power.any()) or scaling.tools:
            return None
        location, deviation = np.moveaxis(self.parameters, -1, 0)
        scale, centre = scaling.scale[:, None, :targets], scaling.location[:, None, :targets]
        return location * scale + centre, deviation * scale, scaling.shift[:, None]

    def _to_data(self, scaled: Floats) -> Floats:
        return self.scaling.inverse(scaled, np.arange(len(scaled)))

    def _scaled(self, y: ArrayLike) -> Floats:
        """Return numbers as the family takes them; they are not held at the edge of what training had."""
        truth = np.broadcast_to(np.asarray(y, dtype=np.float64), self.shape)
        if self.family.counts:
            return np.array(truth)
        exact = replace(self.scaling, edge=np.full_like(self.scaling.edge, TINY))
        return exact.transform(truth, np.arange(len(truth)))

    @property
    def _least(self) -> Floats:
        """Numbers at which a value transform ends, (n, 1, K)."""
        n, _, targets = self.shape
        powered = self.scaling.powered and not self.family.counts
        return -self.scaling.shift[:, None] if powered else np.full((n, 1, targets), -np.inf)


def _lognormal_crps(location: Floats, deviation: Floats, y: Floats) -> Floats:
    """Return the score of log-normal distributions [Baran and Lerch 2015, doi 10.1002/qj.2521]."""
    z = (np.log(np.maximum(y, np.finfo(float).tiny)) - location) / deviation
    mean = 2 * np.exp(location + deviation**2 / 2)
    beyond = special.ndtr(z - deviation) + special.ndtr(deviation / math.sqrt(2)) - 1
    return np.asarray(y * (2 * special.ndtr(z) - 1) - mean * beyond)
