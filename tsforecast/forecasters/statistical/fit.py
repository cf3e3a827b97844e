"""Fitted state of a statistical model for one series, its errors, and the shared minimiser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import ndtri

from tsforecast.distributions.base import LEVELS

Floats = NDArray[np.float64]

LIMIT = 500  # maximum iterations; beyond, treated as not converged
BAD = 1e12  # in place of infinity: a line search can step back from it


class FitError(Exception):
    """A model cannot be fitted to a series, with the reason."""


@dataclass(frozen=True)
class FittedModel:
    """A chosen specification, as JSON values, and the parameters estimated for it.

    Parameters belong to the series divided by `unit`, which differs from 1 where the numbers are so small or large
    that their squares come near the limits of floats.
    """

    specification: dict[str, Any]
    parameters: list[float]
    unit: float = 1.0


@dataclass(frozen=True, eq=False)
class Minimum:
    """Result of a minimisation: place, value, and whether the search converged."""

    x: Floats
    value: float
    converged: bool


def minimise(
    function: Callable[[Floats], float],
    start: Floats,
    bounds: list[tuple[float, float]] | None = None,
    iterations: int = LIMIT,
    precision: float = 1e-9,
) -> Minimum:
    """Minimise by L-BFGS-B with forward differences."""
    high = np.array([bound[1] for bound in bounds]) if bounds else np.full(len(start), np.inf)

    def with_gradient(x: Floats) -> tuple[float, Floats]:
        here = function(x)
        gradient = np.empty(len(x))
        moved = x.copy()
        for i, value in enumerate(x):
            step = 1e-7 if value + 1e-7 <= high[i] else -1e-7
            moved[i] = value + step
            gradient[i] = (function(moved) - here) / step
            moved[i] = value
        return here, gradient

    options = {"maxiter": iterations, "maxfun": 20 * iterations, "ftol": precision, "gtol": 1e-5}
    found = minimize(with_gradient, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return Minimum(np.asarray(found.x), float(found.fun), found.status != 1)  # 1: out of iterations


def aicc(log_likelihood: float, parameters: int, steps: int) -> float:
    """Return Akaike's criterion, corrected for short series; infinite where there are too few steps for it."""
    room = steps - parameters - 1
    if room <= 0 or not np.isfinite(log_likelihood):
        return np.inf
    return -2 * log_likelihood + 2 * parameters + 2 * parameters * (parameters + 1) / room


def filled(y: Floats) -> Floats:
    """Replace NaN by the number before it; the first one is a number."""
    return np.asarray(y[np.maximum.accumulate(np.where(np.isnan(y), 0, np.arange(len(y))))])


def normal_quantiles(means: Floats, deviations: Floats) -> Floats:
    """Return the quantiles of normal distributions at `LEVELS`, (H, L)."""
    return np.asarray(means[:, None] + deviations[:, None] * ndtri(LEVELS))


def variance(errors: Floats, parameters: int) -> float:
    """Return the variance of errors one step ahead, for so many estimated parameters."""
    return float(errors @ errors) / max(len(errors) - parameters, 1)
