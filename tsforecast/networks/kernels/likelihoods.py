"""Losses of distributions, and their slopes, in one pass over all numbers: likelihoods with gamma functions, quantiles.

torch has the same as a hundred operations forth and back, on as few numbers as a batch has. A parameter that is held at
the end of its range keeps its slope here, by which it can return. `judge` goes through all
outputs of a tile, by the losses that a `program` trains.
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
from tsforecast.networks.kernels.vectors import (
    LANES,
    clipped,
    helper,
    inlined,
    kernel,
    load,
    splat,
    store,
    where_known,
    where_positive,
    zeros,
)

FAMILIES = ("poisson", "negative-binomial", "zero-inflated-poisson", "zero-inflated-negative-binomial", "student-t")
FEW = 16  # of a product at most so many factors are multiplied
LEAST, MOST = DISPERSIONS
STUDENT_T = 4
MAE, MSE, HUBER, NORMAL, QUANTILE = range(5)  # losses of `judge`
SPREAD = 1e-3  # of that of an untrained network, which a trained one has at least
LOG_ROOT = 0.5 * math.log(2 * math.pi)  # of the density of a normal distribution


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
    """Return a loss (...) with known slopes by outputs, both (..., P): torch derives nothing again in each step."""
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


@helper
def judge(z: Any, at: Any, i: int, start: Any, share: Any, levels: Any, scale: float, w: Any) -> Any:
    """Replace the outputs of tile `i` by the slopes of its loss; return the loss, and the sum of mean spreads.

    Numbers without a truth have neither. A level is `base` + `share` x `size` x (output - gate x way).
    """
    numbers = z.levels + z.gates
    out = at.out + i * z.places * z.segment * z.targets * numbers
    total, spreads = 0.0, 0.0
    for h in range(z.horizon, z.places * z.segment):  # of the last segment, beyond the horizon
        for q in range(z.targets * numbers):
            store(w, out + h * z.targets * numbers + q, load(w, at.none))
    if z.loss <= HUBER:
        return _judge_levels(z, at, out, share, scale, w), spreads
    for j in range(z.targets):
        if z.loss == NORMAL:
            spreads += _spreads(z, at, out, j, start, w)
        for h in range(z.horizon):
            place = h * z.targets + j
            for lane in range(LANES):
                at_ = (out + place * numbers) * LANES + lane
                size, weight = w[(at.size + j) * LANES + lane], w[at.weight * LANES + lane]
                step = share[h] * size
                truth, way = w[(at.truth + place) * LANES + lane], w[(at.way + place) * LANES + lane]
                gate = w[at_ + z.levels * LANES] if z.gates else 0.0 * way
                y = w[(at.base + place) * LANES + lane] + step * (w[at_] - gate * way)
                error = y - truth
                known = truth == truth
                loss, slope = 0.0, 0.0
                factor = scale * weight if known else 0.0
                if z.loss == NORMAL:
                    loss, slope = _normal(at, at_, lane, error, size, start[h, j, 0], factor, w)
                else:
                    loss, slope = _quantile(at_, z.levels, y, truth, size, start[h, j], levels, factor, w)
                slope = factor * slope * step if known else 0.0
                total += weight * loss if known else 0.0
                w[at_] = slope
                if not known:
                    for q in range(1, z.levels):
                        w[at_ + q * LANES] = 0
                if z.gates:
                    w[at_ + z.levels * LANES] = -slope * way
    return total, spreads


@helper
def _judge_levels(z: Any, at: Any, out: int, share: Any, scale: float, w: Any) -> float:
    """Do what `judge` does, by a loss of levels alone, in all lanes at once."""
    one, losses = splat(w.dtype.type(1)), zeros(w)
    for j in range(z.targets):
        size, weight = load(w, at.size + j), load(w, at.weight)
        for h in range(z.horizon):
            place = h * z.targets + j
            at_, step, level = out + place * (1 + z.gates), size * share[h], load(w, out + place * (1 + z.gates))
            if z.gates:
                level = level - load(w, at_ + 1) * load(w, at.way + place)
            truth = load(w, at.truth + place)
            error = load(w, at.base + place) + step * level - truth
            if z.loss == MAE:
                slope = where_positive(error, one) - where_positive(zeros(w) - error, one)
                loss = slope * error
            elif z.loss == MSE:
                slope, loss = 2.0 * error, error * error
            else:
                slope = clipped(error, 1.0)
                loss = slope * (error - 0.5 * slope)
            losses = losses + where_known(truth, weight * loss)
            slope = where_known(truth, slope * step * (weight * scale))
            store(w, at_, slope)
            if z.gates:
                store(w, at_ + 1, zeros(w) - slope * load(w, at.way + place))
    store(w, at.spread, losses)
    total = 0.0
    for lane in range(LANES):
        total += w[at.spread * LANES + lane]
    return total


@helper
def _spread_of(raw: float, start: float, size: float) -> Any:
    """Return a spread, and its slope by the output, of an untrained spread and the size of a window."""
    grown = raw + 1 if raw > 0 else math.exp(raw)
    slope = (1 - SPREAD) * (1.0 if raw > 0 else grown)
    return start * size * ((1 - SPREAD) * grown + SPREAD), start * size * slope


@helper
def _spreads(z: Any, at: Any, out: int, j: int, start: Any, w: Any) -> float:
    """Write the mean spread of each window to `spread`, and return their sum, of windows that exist."""
    total = 0.0
    for lane in range(LANES):
        mean = 0.0
        for h in range(z.horizon):
            raw = w[(out + (h * z.targets + j) * (z.levels + z.gates) + 1) * LANES + lane]
            mean += _spread_of(raw, start[h, j, 0], w[(at.size + j) * LANES + lane])[0] / z.horizon
        w[at.spread * LANES + lane] = mean
        total += mean if w[at.weight * LANES + lane] >= 0 else 0.0
    return total


@helper
def _normal(at: Any, at_: int, lane: int, error: float, size: float, start: float, scale: float, w: Any) -> Any:
    """Return the loss, and its slope by the level; write that by the spread's output. Slopes are times the spread."""
    spread, slope = _spread_of(w[at_ + LANES], start, size)
    mean, part = w[at.spread * LANES + lane], error / spread
    w[at_ + LANES] = scale * mean * (1 - part * part) / spread * slope
    return part * part / 2 + math.log(spread) + LOG_ROOT, mean * part / spread


@helper
def _quantile(
    at_: int, count: int, y: float, truth: float, size: float, start: Any, levels: Any, scale: float, w: Any
) -> Any:
    """Return twice the mean quantile loss, and its slope by the median; write those of the steps from it."""
    middle = int(np.searchsorted(levels, 0.5))
    slope = (1.0 if truth < y else 0.0) - levels[middle]
    total, of_median = slope * (y - truth), slope
    for begin, last, direction in ((1, middle + 1, -1), (middle + 1, count, 1)):
        quantile, beyond = float(y), 0.0
        for q in range(begin, last):
            quantile += direction * _spread_of(w[at_ + q * LANES], start[q - 1], size)[0]
            slope = (1.0 if truth < quantile else 0.0) - levels[middle + direction * (q - begin + 1)]
            total += slope * (quantile - truth)
            beyond += slope
        of_median += beyond
        quantile = float(y)
        for q in range(begin, last):  # a step moves all quantiles beyond it
            step, by_step = _spread_of(w[at_ + q * LANES], start[q - 1], size)
            quantile += direction * step
            w[at_ + q * LANES] = scale * direction * 2 / count * beyond * by_step
            beyond -= (1.0 if truth < quantile else 0.0) - levels[middle + direction * (q - begin + 1)]
    return 2 / count * total, 2 / count * of_median
