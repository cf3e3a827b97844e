"""Families of distributions: likelihoods in torch; quantiles, probabilities and scores in numpy."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from scipy import special
from torch import Tensor
from torch.nn import functional as F

from tsforecast.data.windows import constant
from tsforecast.distributions.base import Floats

LEAST = 1e-3  # of the spread of the truth, which the first spread of a family has at least
MOST_DEGREES = 100.0  # of freedom; with more it is as good as normal, and single precision loses its digits
DEGREES = (3.0, 5.0, 10.0, 30.0)  # of freedom of a first Student's t
GRID = (0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.975)  # usual levels of quantiles


class Family(ABC):
    """A family of distributions, from P outputs of a network for each number to its parameters, and their functions.

    The first output is the location that an anchor has moved, `spreads` positive numbers in its unit follow, and
    others. Tensors and arrays of outputs and parameters have them in the last axis.
    """

    name: ClassVar[str]
    outputs: int = 2
    spreads: int = 1
    counts: ClassVar[bool] = False  # whether it speaks of counts, in the data's own units
    usual_point: ClassVar[str] = "median"

    def parameters(self, outputs: Tensor) -> Tensor:
        """Return parameters of the family, (..., P), as `scipy.stats` would take them."""
        return outputs

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return what training makes small: the negative logarithm of the likelihood."""
        return -self.log_likelihood(self.parameters(outputs), y)

    @abstractmethod
    def log_likelihood(self, parameters: Tensor, y: Tensor) -> Tensor:
        """Return the logarithm of density or probability at y."""

    @abstractmethod
    def start(self, location: Floats, y: Floats) -> Floats:
        """Return the outputs after the first, (H, K, P - 1), of the likeliest distributions around locations.

        From m forecasts and truths, (m, H, K), NaN where one is missing.
        """

    @abstractmethod
    def quantiles(self, parameters: Floats, levels: Floats) -> Floats:
        """Return the quantiles at Q levels, (..., Q)."""

    @abstractmethod
    def cdf(self, parameters: Floats, y: Floats) -> Floats:
        """Return the probability of a number up to y."""

    def below(self, parameters: Floats, y: Floats) -> Floats:
        """Return the probability of a number less than y."""
        return self.cdf(parameters, y)

    def mean(self, parameters: Floats) -> Floats | None:
        """Return the means; None where they have no closed form."""
        return None

    def mode(self, parameters: Floats) -> Floats | None:
        """Return the modes; None where they have no closed form."""
        return None

    def crps(self, parameters: Floats, y: Floats) -> Floats | None:
        """Return the continuous ranked probability score; None where it has no closed form."""
        return None


def mean_of(values: Floats, default: float = 0.0) -> Floats:
    """Return the means over the first axis without NaN; `default` where there is no number."""
    known = ~np.isnan(values)
    count = known.sum(axis=0)
    return np.where(count > 0, np.where(known, values, 0.0).sum(axis=0) / np.maximum(count, 1), default)


def floored(spread: Floats, y: Floats) -> Floats:
    """Return spreads (H, K), at least a small share of the spread of the truths (m, H, K)."""
    centred = y - mean_of(y)
    return np.asarray(np.maximum(spread, LEAST * (np.sqrt(mean_of(centred**2).mean(axis=0)) + LEAST)))


class Symmetric(Family):
    """A density of (y - location) / spread that is even, with one peak."""

    @abstractmethod
    def standard_quantiles(self, levels: Floats, shape: Floats) -> Floats:
        """Return the quantiles of the standard distribution, of parameters after the second, (..., P - 2)."""

    @abstractmethod
    def standard_cdf(self, z: Floats, shape: Floats) -> Floats:
        """Return the probability of a number up to z of the standard distribution."""

    @abstractmethod
    def standard_crps(self, z: Floats, shape: Floats) -> Floats:
        """Return the score of z of the standard distribution."""

    def quantiles(self, parameters: Floats, levels: Floats) -> Floats:
        """See `Family.quantiles`."""
        location, spread = parameters[..., :1], parameters[..., 1:2]
        return np.asarray(location + spread * self.standard_quantiles(levels, parameters[..., None, 2:]))

    def cdf(self, parameters: Floats, y: Floats) -> Floats:
        """See `Family.cdf`."""
        return self.standard_cdf((y - parameters[..., 0]) / parameters[..., 1], parameters[..., 2:])

    def mean(self, parameters: Floats) -> Floats:
        """Return the location."""
        return parameters[..., 0]

    def mode(self, parameters: Floats) -> Floats:
        """Return the location."""
        return parameters[..., 0]

    def crps(self, parameters: Floats, y: Floats) -> Floats:
        """See `Family.crps`; closed forms of Jordan, Krüger and Lerch [2019, doi 10.18637/jss.v090.i12]."""
        spread = parameters[..., 1]
        return spread * self.standard_crps((y - parameters[..., 0]) / spread, parameters[..., 2:])


class Normal(Symmetric):
    """Normal distributions: location and deviation."""

    name = "normal"

    def log_likelihood(self, parameters: Tensor, y: Tensor) -> Tensor:
        """See `Family.log_likelihood`."""
        location, spread = parameters.unbind(-1)
        return -0.5 * ((y - location) / spread) ** 2 - spread.log() - 0.5 * math.log(2 * math.pi)

    def start(self, location: Floats, y: Floats) -> Floats:
        """See `Family.start`."""
        return floored(np.sqrt(mean_of((y - location) ** 2)), y)[..., None]

    def standard_quantiles(self, levels: Floats, shape: Floats) -> Floats:
        """See `Symmetric.standard_quantiles`."""
        return np.asarray(special.ndtri(levels))

    def standard_cdf(self, z: Floats, shape: Floats) -> Floats:
        """See `Symmetric.standard_cdf`."""
        return np.asarray(special.ndtr(z))

    def standard_crps(self, z: Floats, shape: Floats) -> Floats:
        """See `Symmetric.standard_crps`."""
        density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
        return np.asarray(z * (2 * special.ndtr(z) - 1) + 2 * density - 1 / math.sqrt(math.pi))


class Laplace(Symmetric):
    """Laplace distributions: location and mean absolute deviation."""

    name = "laplace"

    def log_likelihood(self, parameters: Tensor, y: Tensor) -> Tensor:
        """See `Family.log_likelihood`."""
        location, spread = parameters.unbind(-1)
        return -(y - location).abs() / spread - (2 * spread).log()

    def start(self, location: Floats, y: Floats) -> Floats:
        """See `Family.start`."""
        return floored(mean_of(np.abs(y - location)), y)[..., None]

    def standard_quantiles(self, levels: Floats, shape: Floats) -> Floats:
        """See `Symmetric.standard_quantiles`."""
        return np.where(levels < 0.5, np.log(2 * levels), -np.log(2 * (1 - levels)))

    def standard_cdf(self, z: Floats, shape: Floats) -> Floats:
        """See `Symmetric.standard_cdf`."""
        tail = np.exp(-np.abs(z)) / 2
        return np.where(z < 0, tail, 1 - tail)

    def standard_crps(self, z: Floats, shape: Floats) -> Floats:
        """See `Symmetric.standard_crps`."""
        return np.asarray(np.abs(z) + np.exp(-np.abs(z)) - 0.75)


class StudentT(Symmetric):
    """Student's t: location, scale and degrees of freedom, more than 2."""

    name = "student-t"
    outputs = 3

    def parameters(self, outputs: Tensor) -> Tensor:
        """Return location, scale and degrees of freedom."""
        return torch.cat([outputs[..., :2], _degrees(outputs[..., 2:])], dim=-1)

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """See `Family.loss`."""
        location, spread, others = outputs.unbind(-1)
        return -self._log_density(location, spread, _degrees(others), y)

    def log_likelihood(self, parameters: Tensor, y: Tensor) -> Tensor:
        """See `Family.log_likelihood`."""
        location, spread, degrees = parameters.unbind(-1)
        return self._log_density(location, spread, degrees, y)

    @staticmethod
    def _log_density(location: Tensor, spread: Tensor, degrees: Tensor, y: Tensor) -> Tensor:
        half = degrees / 2
        gammas = torch.lgamma(half + 0.5) - torch.lgamma(half)
        tail = (half + 0.5) * (((y - location) / spread) ** 2 / degrees).log1p()
        return gammas - (spread * degrees.sqrt()).log() - 0.5 * math.log(math.pi) - tail

    def start(self, location: Floats, y: Floats) -> Floats:
        """See `Family.start`: the scale of each step by expectation maximisation, the likeliest degrees of a target."""
        squares = (y - location) ** 2
        least = floored(np.zeros(y.shape[1:]), y) ** 2
        best: tuple[Floats, Floats] | None = None
        found = np.empty((*y.shape[1:], 2))
        for degrees in DEGREES:
            variance = np.maximum(mean_of(squares) / 2, least)
            for _ in range(12):
                weights = (degrees + 1) / (degrees + squares / variance)
                variance = np.maximum(mean_of(weights * squares), least)
            shape = np.full(variance.shape, degrees)
            stacked = np.stack([np.zeros_like(variance), np.sqrt(variance), shape], axis=-1)
            tensors = torch.from_numpy(stacked), torch.from_numpy(np.sqrt(squares))
            likelihood = mean_of(self.log_likelihood(*tensors).numpy()).mean(axis=0)  # (K,)
            better = np.ones(likelihood.shape, dtype=bool) if best is None else likelihood > best[0]
            best = (likelihood, better) if best is None else (np.maximum(likelihood, best[0]), better)
            found[:, better, 0] = np.sqrt(variance)[:, better]
            found[:, better, 1] = before_softplus(degrees - 2)
        return found

    def standard_quantiles(self, levels: Floats, shape: Floats) -> Floats:
        """See `Symmetric.standard_quantiles`."""
        return np.asarray(special.stdtrit(shape[..., 0], levels))

    def standard_cdf(self, z: Floats, shape: Floats) -> Floats:
        """See `Symmetric.standard_cdf`."""
        return np.asarray(special.stdtr(shape[..., 0], z))

    def standard_crps(self, z: Floats, shape: Floats) -> Floats:
        """See `Symmetric.standard_crps`."""
        degrees = shape[..., 0]
        gammas = special.betaln(0.5, degrees / 2)
        density = np.exp(-(degrees + 1) / 2 * np.log1p(z**2 / degrees) - gammas) / np.sqrt(degrees)
        spread = 2 * np.sqrt(degrees) / (degrees - 1) * np.exp(special.betaln(0.5, degrees - 0.5) - 2 * gammas)
        centre = z * (2 * special.stdtr(degrees, z) - 1)
        return np.asarray(centre + 2 * density * (degrees + z**2) / (degrees - 1) - spread)


class Quantiles(Family):
    """Distributions by quantiles: the median, and steps down and up from it, which are positive.

    Between and beyond the quantiles, numbers are straight lines in the logarithm of the odds: tails are exponential.
    """

    name = "quantile"

    def __init__(self, levels: Sequence[float] = GRID) -> None:
        self.levels = np.array(sorted({*map(float, levels), 0.5}))
        self.outputs, self.spreads = len(self.levels), len(self.levels) - 1
        self.middle = int(np.searchsorted(self.levels, 0.5))
        place = np.arange(len(self.levels))
        down = -(place[:, None] < np.arange(1, self.middle + 1)).astype(float)[:, ::-1]  # nearest to the median first
        up = (place[:, None] > np.arange(self.middle, len(self.levels) - 1)).astype(float)
        sums = np.concatenate([np.ones((len(place), 1)), down, up], axis=1)
        self._sums = tuple(map(tuple, sums.T.tolist()))  # from outputs to quantiles

    def parameters(self, outputs: Tensor) -> Tensor:
        """Return the quantiles at the levels."""
        return outputs @ constant(self._sums, outputs.device, outputs.dtype)

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return twice the mean quantile loss, which comes near the continuous ranked probability score."""
        levels = constant(tuple(self.levels.tolist()), outputs.device, outputs.dtype)
        error = y[..., None] - self.parameters(outputs)
        return 2 * torch.maximum(levels * error, (levels - 1) * error).mean(dim=-1)

    def log_likelihood(self, parameters: Tensor, y: Tensor) -> Tensor:
        """Raise: quantiles have no likelihood."""
        raise NotImplementedError("quantiles are trained by their loss")

    def start(self, location: Floats, y: Floats) -> Floats:
        """See `Family.start`."""
        errors = y - location
        found = np.zeros((*y.shape[1:], self.spreads))
        for step, k in np.ndindex(*y.shape[1:]):
            known = errors[~np.isnan(errors[:, step, k]), step, k]
            if len(known):
                steps = np.diff(np.quantile(known, self.levels, method="weibull"))
                found[step, k] = np.concatenate([steps[: self.middle][::-1], steps[self.middle :]])
        least = floored(np.zeros(y.shape[1:]), y)
        return np.maximum(found, least[..., None] / self.spreads)

    def quantiles(self, parameters: Floats, levels: Floats) -> Floats:
        """See `Family.quantiles`."""
        odds = special.logit(self.levels)
        lower = np.clip(np.searchsorted(self.levels, levels, side="right") - 1, 0, len(self.levels) - 2)
        way = (special.logit(levels) - odds[lower]) / (odds[lower + 1] - odds[lower])
        low, high = parameters[..., lower], parameters[..., lower + 1]
        return np.asarray(np.where(way == 0, low, low + way * (high - low)))

    def cdf(self, parameters: Floats, y: Floats) -> Floats:
        """See `Family.cdf`."""
        odds = special.logit(self.levels)
        lower = np.clip((parameters <= y[..., None]).sum(axis=-1) - 1, 0, len(self.levels) - 2)
        low, high = (np.take_along_axis(parameters, at[..., None], axis=-1)[..., 0] for at in (lower, lower + 1))
        way = (y - low) / np.maximum(high - low, np.finfo(float).tiny)
        return np.asarray(special.expit(odds[lower] + way * (odds[lower + 1] - odds[lower])))


class OfTorch(Family):
    """Distributions of `torch.distributions`: quantiles by `icdf` where there is one, else of samples."""

    name = "torch"
    samples: ClassVar[int] = 1_000

    def __init__(self, make: Any, outputs: int, spreads: int) -> None:
        self.make, self.outputs, self.spreads = make, outputs, spreads

    def log_likelihood(self, parameters: Tensor, y: Tensor) -> Tensor:
        """See `Family.log_likelihood`."""
        found: Tensor = self.make(parameters).log_prob(y)
        return found

    def start(self, location: Floats, y: Floats) -> Floats:
        """Return deviations as spreads, and zeros."""
        deviation = floored(np.sqrt(mean_of((y - location) ** 2)), y)[..., None]
        zeros = np.zeros((*deviation.shape[:2], self.outputs - 1 - self.spreads))
        return np.concatenate([np.repeat(deviation, self.spreads, axis=-1), zeros], axis=-1)

    def quantiles(self, parameters: Floats, levels: Floats) -> Floats:
        """See `Family.quantiles`."""
        made = self.make(torch.from_numpy(parameters))
        try:
            return np.stack([made.icdf(torch.tensor(level, dtype=torch.float64)).numpy() for level in levels], axis=-1)
        except NotImplementedError:
            return np.moveaxis(np.quantile(self._drawn(made), levels, axis=0, method="weibull"), 0, -1)

    def cdf(self, parameters: Floats, y: Floats) -> Floats:
        """See `Family.cdf`."""
        made = self.make(torch.from_numpy(parameters))
        try:
            return np.asarray(made.cdf(torch.from_numpy(y)).numpy())
        except NotImplementedError:
            return np.asarray((self._drawn(made) <= y).mean(axis=0))

    def mean(self, parameters: Floats) -> Floats | None:
        """See `Family.mean`."""
        try:
            return np.asarray(self.make(torch.from_numpy(parameters)).mean.numpy())
        except NotImplementedError:
            return None

    def _drawn(self, made: Any) -> Floats:
        """Return samples, (S, ...), the same each time."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return np.asarray(made.sample((self.samples,)).numpy())


def _degrees(outputs: Tensor) -> Tensor:
    """Return degrees of freedom."""
    return 2 + F.softplus(outputs).clamp(max=MOST_DEGREES)


def before_softplus(x: float | Floats) -> Any:
    """Return the number whose softplus is x."""
    return x + np.log(-np.expm1(-np.asarray(x)))
