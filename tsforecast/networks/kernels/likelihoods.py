"""Losses of distributions, and their slopes, in one pass over all numbers: likelihoods with gamma functions, quantiles.

torch has the same as a hundred operations forth and back, on as few numbers as a batch has. A parameter that is held at
the end of its range keeps its slope here, by which it can return.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from tsforecast.distributions.counts import DISPERSIONS, LOGIT, NEAR_ZERO
from tsforecast.distributions.families import MOST_DEGREES
from tsforecast.networks.kernels.vectors import helper, inlined, kernel

FAMILIES = ("poisson", "negative-binomial", "zero-inflated-poisson", "zero-inflated-negative-binomial", "student-t")
FEW = 16  # of a product at most so many factors are multiplied
LEAST, MOST = DISPERSIONS
STUDENT_T = 4


def losses(
    name: str, outputs: Tensor, truth: Tensor, series: Tensor, parts: tuple[Tensor, ...], powered: bool
) -> Tensor:
    """Return negative logarithms of the likelihood of a truth (B, H, K) by its outputs (B, H, K, P), both scaled.

    `parts` are location, scale, shift and power of each series, (N, K). Families of counts, whose parameters are in the
    data's units, need them in double precision.
    """
    numbers, y, which, *scaling = (each.detach().contiguous().numpy() for each in (outputs, truth, series, *parts))
    value, slopes = np.empty(y.shape, scaling[0].dtype), np.empty_like(numbers)
    _losses(FAMILIES.index(name), numbers, y, which, *scaling, powered, value, slopes)
    return _with_slopes(outputs, torch.from_numpy(value), torch.from_numpy(slopes))


class _WithSlopes(torch.autograd.Function):
    """`_with_slopes`, as torch differentiates it."""

    @staticmethod
    def forward(ctx: Any, outputs: Tensor, value: Tensor, slopes: Tensor) -> Tensor:
        ctx.save_for_backward(slopes)
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        (slopes,) = ctx.saved_tensors
        return gradient[..., None] * slopes, None, None


def _with_slopes(outputs: Tensor, value: Tensor, slopes: Tensor) -> Tensor:
    """Return a loss (...) with known slopes by outputs, both (..., P): torch derives nothing anew in each step."""
    found: Tensor = _WithSlopes.apply(outputs, value, slopes)  # type: ignore[no-untyped-call]
    return found


def quantile_losses(outputs: Tensor, truth: Tensor, levels: NDArray[np.float64]) -> Tensor:
    """Return twice the mean quantile loss, (B, H, K), of medians and steps down and up from them, (B, H, K, P)."""
    numbers, y = (each.detach().contiguous().numpy() for each in (outputs, truth))
    value, slopes = np.empty(y.shape, numbers.dtype), np.empty_like(numbers)
    flat = (numbers.reshape(-1, len(levels)), y.ravel(), levels, value.ravel(), slopes.reshape(-1, len(levels)))
    _quantile_losses(*flat)
    return _with_slopes(outputs, torch.from_numpy(value), torch.from_numpy(slopes))


@kernel
def _quantile_losses(outputs: Any, truth: Any, levels: Any, value: Any, slopes: Any) -> None:
    count, middle = len(levels), int(np.searchsorted(levels, 0.5))
    for n in range(len(outputs)):
        total, of_median = _quantile_loss(outputs[n, 0], truth[n], levels[middle])
        for first, last, direction in ((1, middle + 1, -1), (middle + 1, count, 1)):
            quantile, beyond = outputs[n, 0], 0.0
            for j in range(first, last):
                quantile += direction * outputs[n, j]
                loss, slope = _quantile_loss(quantile, truth[n], levels[middle + direction * (j - first + 1)])
                total += loss
                slopes[n, j] = slope
            for j in range(last - 1, first - 1, -1):  # a step moves all quantiles beyond it
                beyond += slopes[n, j]
                slopes[n, j] = direction * 2 / count * beyond
            of_median += beyond
        slopes[n, 0] = 2 / count * of_median
        value[n] = 2 / count * total


@inlined
def _quantile_loss(quantile: float, y: float, level: float) -> Any:
    slope = (1.0 if y < quantile else 0.0) - level
    return slope * (quantile - y), slope


@kernel
def _losses(
    family: int, outputs: Any, truth: Any, series: Any, location: Any, scale: Any, shift: Any, power: Any,
    powered: bool, value: Any, slopes: Any,
) -> None:  # fmt: skip
    windows, steps, targets, _ = outputs.shape
    for b in range(windows):
        for k in range(targets):
            i = series[b]
            scaling = (location[i, k], scale[i, k], shift[i, k], power[i, k])
            for h in range(steps):
                y, y_slope = _to_data(truth[b, h, k], scaling, powered)
                if family == STUDENT_T:
                    value[b, h, k] = _student_t(outputs[b, h, k], truth[b, h, k], slopes[b, h, k]) + math.log(y_slope)
                    continue
                level, level_slope = _to_data(outputs[b, h, k, 0], scaling, powered)
                value[b, h, k] = _counts(family, level, outputs[b, h, k], np.rint(y), slopes[b, h, k])
                slopes[b, h, k, 0] *= level_slope


@helper
def _to_data(scaled: float, scaling: Any, powered: bool) -> Any:
    """Return a number in the scale of the data, and how much it moves with the scaled one."""
    location, scale, shift, power = scaling
    number = scaled * scale + location
    if not powered:
        return number, scale
    logs = number if power == 0 else math.log1p(max(power * number, -1 + 1e-6)) / power
    return math.exp(min(logs, 80.0)) - shift, scale * math.exp(min((1 - power) * logs, 80.0))


@helper
def _counts(family: int, level: float, outputs: Any, y: float, slopes: Any) -> Any:
    """Return the loss of a count, and its slopes by level, dispersion and the logit of a share of zeros."""
    root = math.hypot(level, 2 * NEAR_ZERO)
    mean = (level + root) / 2 if level > 0 else 2 * NEAR_ZERO**2 / (root - level)
    inflated, dispersed = family >= 2, family % 2 == 1
    logit = max(min(outputs[-1], LOGIT), -LOGIT) if inflated else -math.inf
    share = 1 / (1 + math.exp(-logit))
    inner = mean / (1 - share)
    by_dispersion = 0.0
    found = -_log_rising(1.0, y)[0]
    if dispersed:
        raw = outputs[1]
        dispersion = max(raw, 0.0) + math.log1p(math.exp(-abs(raw)))
        dispersion = max(min(dispersion, MOST), LEAST)
        size, product = 1 / dispersion, inner * dispersion
        error, logs = (y - inner) / (1 + product), math.log1p(product)
        rising, by_size = _log_rising(size, y)
        found += rising - size * logs
        by_mean = error / inner
        by_dispersion = -(by_size - logs - dispersion * error) * size * size
        if y > 0:
            found += y * math.log(inner / (inner + size))
        slopes[1] = by_dispersion * math.expm1(-dispersion)
    else:
        by_mean = y / inner - 1
        found -= inner
        if y > 0:
            found += y * math.log(inner)
    kept = 1.0  # probability that a count is of the family
    if inflated:
        found += math.log1p(-share)
        slopes[-1] = share - by_mean * inner * share
        if y == 0:
            both = math.log(share + math.exp(found))
            kept = math.exp(found - both)
            slopes[-1] = kept * slopes[-1] - (1 - kept) * (1 - share)
            found = both
        if dispersed:
            slopes[1] *= kept
    slopes[0] = -kept * by_mean / (1 - share) * mean / root
    return -found


@helper
def _student_t(outputs: Any, y: float, slopes: Any) -> Any:
    """Return the loss of a scaled number, and its slopes by location, scale and degrees of freedom."""
    raw = outputs[2]
    degrees = 2 + min(max(raw, 0.0) + math.log1p(math.exp(-abs(raw))), MOST_DEGREES)
    z = (y - outputs[0]) / outputs[1]
    half, square = degrees / 2, z * z
    logs = math.log1p(square / degrees)
    weight = (degrees + 1) / (degrees + square)  # of an outlier less
    excess = weight * square - 1
    slopes[0], slopes[1] = -weight * z / outputs[1], -excess / outputs[1]
    by_half = _digamma(half + 0.5) - _digamma(half) - logs + excess / degrees
    slopes[2] = by_half / 2 * math.expm1(2 - degrees)
    gammas = math.lgamma(half + 0.5) - math.lgamma(half)
    return (half + 0.5) * logs - gammas + math.log(outputs[1] * math.sqrt(degrees)) + 0.5 * math.log(math.pi)


@helper
def _log_rising(size: float, count: float) -> Any:
    """Return the logarithm of size (size + 1) ... (size + count - 1), and its slope by the size."""
    if count > FEW:
        return math.lgamma(size + count) - math.lgamma(size), _digamma(size + count) - _digamma(size)
    product, slope = 1.0, 0.0
    for i in range(int(count)):
        product *= size + i
        slope += 1 / (size + i)
    return math.log(product), slope


@helper
def _digamma(x: float) -> float:
    """Return the slope of the logarithm of the gamma function, by its asymptotic series from 8 on."""
    lower = 0.0
    while x < 8:
        lower += 1 / x
        x += 1
    square = 1 / (x * x)
    series = square * (1 / 12 - square * (1 / 120 - square * (1 / 252 - square * (1 / 240 - square / 132))))
    return math.log(x) - 0.5 / x - series - lower
