"""Families of counts: Poisson and negative binomial, with or without a share of zeros of their own."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import numpy as np
import torch
from scipy import special
from torch import Tensor
from torch.nn import functional as F

from tsforecast.distributions.base import Floats
from tsforecast.distributions.families import Family, before_softplus, mean_of

NEAR_ZERO = 0.1  # counts; a mean is bent upwards where it comes as near to zero, and stays positive
DISPERSIONS = (1e-6, 1e6)  # least and most
ALMOST_POISSON = 1e-4  # a dispersion up to it
LOGIT = 12.0  # largest of a share of zeros: all but 6 of a million


class Counts(Family):
    """Distributions of counts, in the data's own units; the first parameter is the mean."""

    spreads = 0
    counts = True
    usual_point = "mean"

    def mean(self, parameters: Floats) -> Floats:
        """Return the first parameter."""
        return parameters[..., 0]

    @abstractmethod
    def half_difference(self, parameters: Floats) -> Floats:
        """Return half the mean distance of two independent numbers."""

    @abstractmethod
    def crps(self, parameters: Floats, y: Floats) -> Floats:
        """See `Family.crps`."""

    @abstractmethod
    def mode(self, parameters: Floats) -> Floats:
        """See `Family.mode`."""

    def below(self, parameters: Floats, y: Floats) -> Floats:
        """See `Family.below`."""
        return self.cdf(parameters, np.ceil(y) - 1)

    def excess(self, location: Floats, y: Floats) -> Floats:
        """Return by how much squared errors exceed a Poisson's, as a share of the squared mean, (H, K)."""
        mean = np.where(np.isnan(y), np.nan, positive(torch.from_numpy(location)).numpy())
        return np.clip(mean_of((y - mean) ** 2 - mean, 0.0) / np.maximum(mean_of(mean**2), NEAR_ZERO**2), 0.01, 100.0)


class Poisson(Counts):
    """Poisson distributions: the mean."""

    name = "poisson"
    outputs = 1

    def parameters(self, outputs: Tensor) -> Tensor:
        """Return the mean."""
        return positive(outputs)

    def log_likelihood(self, parameters: Tensor, y: Tensor) -> Tensor:
        """See `Family.log_likelihood`."""
        mean = parameters[..., 0]
        return torch.xlogy(y, mean) - mean - torch.lgamma(y + 1)

    def start(self, location: Floats, y: Floats) -> Floats:
        """Return nothing."""
        return np.zeros((*y.shape[1:], 0))

    def quantiles(self, parameters: Floats, levels: Floats) -> Floats:
        """See `Family.quantiles`."""
        mean = parameters[..., :1]
        return _least_count(special.pdtrik(levels, mean), lambda count: special.pdtr(count, mean), levels)

    def cdf(self, parameters: Floats, y: Floats) -> Floats:
        """See `Family.cdf`."""
        return np.where(y < 0, 0.0, special.pdtr(np.floor(np.maximum(y, 0.0)), parameters[..., 0]))

    def mode(self, parameters: Floats) -> Floats:
        """See `Family.mode`."""
        return np.floor(parameters[..., 0])

    def half_difference(self, parameters: Floats) -> Floats:
        """See `Counts.half_difference`."""
        mean = parameters[..., 0]
        return np.asarray(mean * (special.ive(0, 2 * mean) + special.ive(1, 2 * mean)))

    def crps(self, parameters: Floats, y: Floats) -> Floats:
        """See `Family.crps` [Wei and Held 2014, doi 10.1007/s11749-014-0380-8]."""
        mean = parameters[..., 0]
        count = np.floor(np.maximum(y, 0.0))
        density = np.where(y < 0, 0.0, np.exp(special.xlogy(count, mean) - mean - special.gammaln(count + 1)))
        centre = (y - mean) * (2 * self.cdf(parameters, y) - 1) + 2 * mean * density
        return np.asarray(centre - self.half_difference(parameters))


POISSON = Poisson()


class NegativeBinomial(Counts):
    """Negative binomial distributions: the mean m, and the dispersion a of a variance of m + a m^2."""

    name = "negative-binomial"
    outputs = 2

    def parameters(self, outputs: Tensor) -> Tensor:
        """Return mean and dispersion."""
        return torch.cat([positive(outputs[..., :1]), F.softplus(outputs[..., 1:]).clamp(*DISPERSIONS)], dim=-1)

    def log_likelihood(self, parameters: Tensor, y: Tensor) -> Tensor:
        """See `Family.log_likelihood`."""
        mean, dispersion = parameters.unbind(-1)
        size = 1 / dispersion
        gammas = torch.lgamma(y + size) - torch.lgamma(size) - torch.lgamma(y + 1)
        return gammas - size * (mean * dispersion).log1p() + torch.xlogy(y, mean / (mean + size))

    def start(self, location: Floats, y: Floats) -> Floats:
        """See `Family.start`: by moments."""
        return np.asarray(before_softplus(self.excess(location, y))[..., None])

    def quantiles(self, parameters: Floats, levels: Floats) -> Floats:
        """See `Family.quantiles`."""
        size, share = _size_and_share(parameters[..., None, :])
        guess = special.nbdtrik(levels, size, share)
        return _least_count(guess, lambda count: _cdf(count, size, share), levels)

    def cdf(self, parameters: Floats, y: Floats) -> Floats:
        """See `Family.cdf`."""
        return _cdf(y, *_size_and_share(parameters))

    def mode(self, parameters: Floats) -> Floats:
        """See `Family.mode`."""
        mean, dispersion = np.moveaxis(parameters, -1, 0)
        return np.asarray(np.floor(np.maximum(mean * (1 - dispersion), 0.0)))

    def half_difference(self, parameters: Floats) -> Floats:
        """See `Counts.half_difference`."""
        mean, dispersion = np.moveaxis(parameters, -1, 0)
        wide = mean * (1 + dispersion * mean)
        with np.errstate(all="ignore"):
            exact = wide * special.hyp2f1(1 / dispersion + 1, 0.5, 2.0, -4 * dispersion * wide)
        # Where that has no digits, dispersion is small: almost a Poisson of another variance, to five digits.
        near = POISSON.half_difference(parameters) * np.sqrt(1 + dispersion * mean) * (1 - dispersion / 8)
        return np.asarray(np.where(np.isfinite(exact) & (dispersion > ALMOST_POISSON), exact, near))

    def crps(self, parameters: Floats, y: Floats) -> Floats:
        """See `Family.crps` [Wei and Held 2014]."""
        mean = parameters[..., 0]
        size, share = _size_and_share(parameters)
        centre = y * (2 * _cdf(y, size, share) - 1) - mean * (2 * _cdf(y - 1, size + 1, share) - 1)
        return np.asarray(centre - self.half_difference(parameters))


class ZeroInflated(Family):
    """Counts of a family, or zeros of a probability of their own, the last parameter; the first is the mean of both."""

    spreads = 0
    counts = True
    usual_point = "mean"

    def __init__(self, counts: Counts) -> None:
        self.base, self.outputs = counts, counts.outputs + 1
        self.name = f"zero-inflated-{counts.name}"  # type: ignore[misc]

    def parameters(self, outputs: Tensor) -> Tensor:
        """Return the mean, those of the family after it, and the probability of a zero of its own."""
        share = torch.sigmoid(outputs[..., -1:].clamp(-LOGIT, LOGIT))
        return torch.cat([self.base.parameters(outputs[..., :-1]), share], dim=-1)

    def log_likelihood(self, parameters: Tensor, y: Tensor) -> Tensor:
        """See `Family.log_likelihood`."""
        share = parameters[..., -1]
        mean = parameters[..., :1] / (1 - share[..., None])
        others = (-share).log1p() + self.base.log_likelihood(torch.cat([mean, parameters[..., 1:-1]], dim=-1), y)
        return torch.where(y == 0, torch.logaddexp(share.log(), others), others)

    def start(self, location: Floats, y: Floats) -> Floats:
        """See `Family.start`: as many zeros of their own as a Poisson around the mean has too few of."""
        mean = np.where(np.isnan(y), np.nan, positive(torch.from_numpy(location)).numpy())
        zeros = mean_of(np.where(np.isnan(y), np.nan, y == 0))
        share = np.clip(zeros - mean_of(np.exp(-mean)), 0.01, 0.9)
        return np.concatenate([self.base.start(location, y), special.logit(share)[..., None]], axis=-1)

    def mean(self, parameters: Floats) -> Floats:
        """Return the first parameter."""
        return parameters[..., 0]

    def below(self, parameters: Floats, y: Floats) -> Floats:
        """See `Family.below`."""
        return self.cdf(parameters, np.ceil(y) - 1)

    def quantiles(self, parameters: Floats, levels: Floats) -> Floats:
        """See `Family.quantiles`."""
        others, share = self._parts(parameters)
        rest = (levels - share[..., None]) / (1 - share[..., None])
        found = [self.base.quantiles(others, rest[..., at, None])[..., 0] for at in range(len(levels))]
        return np.maximum(np.where(rest > 0, np.stack(found, axis=-1), 0.0), 0.0)

    def cdf(self, parameters: Floats, y: Floats) -> Floats:
        """See `Family.cdf`."""
        others, share = self._parts(parameters)
        return np.asarray(np.where(y >= 0, share + (1 - share) * self.base.cdf(others, y), 0.0))

    def mode(self, parameters: Floats) -> Floats:
        """See `Family.mode`."""
        peak = self.base.mode(self._parts(parameters)[0])
        zero = self.cdf(parameters, np.zeros_like(peak))
        higher = self.cdf(parameters, peak) - self.cdf(parameters, peak - 1)
        return np.where((peak > 0) & (higher > zero), peak, 0.0)

    def crps(self, parameters: Floats, y: Floats) -> Floats:
        """See `Family.crps`: half the mean distances within and between the two parts are taken from that to y."""
        others, share = self._parts(parameters)
        mean, within = others[..., 0], self.base.half_difference(others)
        to_y = self.base.crps(others, y) + within  # the mean distance of the family's counts to y
        between = share * (1 - share) * mean + (1 - share) ** 2 * within
        return np.asarray(share * np.abs(y) + (1 - share) * to_y - between)

    def _parts(self, parameters: Floats) -> tuple[Floats, Floats]:
        """Return the parameters of the family, and the probability of a zero of its own."""
        share = parameters[..., -1]
        others = parameters[..., :-1].copy()
        others[..., 0] /= 1 - share
        return others, share


def positive(x: Tensor) -> Tensor:
    """Return x, bent upwards near zero so that it stays positive: half of x + sqrt(x^2 + 4 d^2)."""
    root = (x**2 + 4 * NEAR_ZERO**2).sqrt()
    return torch.where(x > 0, (x + root) / 2, 2 * NEAR_ZERO**2 / (root - x.clamp(max=0)))


def _size_and_share(parameters: Floats) -> tuple[Floats, Floats]:
    """Return the parameters of `scipy.stats.nbinom`."""
    mean, dispersion = np.moveaxis(parameters, -1, 0)
    return 1 / dispersion, 1 / (1 + dispersion * mean)


def _cdf(y: Floats, size: Floats, share: Floats) -> Floats:
    """Return the probability of a number up to y of `scipy.stats.nbinom`."""
    return np.where(y < 0, 0.0, special.betainc(size, np.floor(np.maximum(y, 0.0)) + 1, share))


def _least_count(guess: Floats, cdf: Callable[[Floats], Floats], levels: Floats) -> Floats:
    """Return the least counts up to which the probability is as high as the levels, next to a guess between counts."""
    count = np.maximum(np.ceil(np.nan_to_num(guess)), 0.0)
    less = np.maximum(count - 1, 0.0)
    return np.where(cdf(less) >= levels, less, np.where(cdf(count) >= levels, count, count + 1))
