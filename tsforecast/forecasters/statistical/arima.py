"""Seasonal ARIMA: differences, exact likelihood, choice of orders, forecast.

Candidates are estimated by conditional least squares and compared by the exact likelihood there; the chosen one is
estimated by exact maximum likelihood.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from scipy.signal import lfilter

from tsforecast.forecasters.statistical.arma import (
    Covariance,
    Orders,
    constrained,
    differenced,
    inside,
    least_squares,
    log_likelihood,
    polynomials,
)
from tsforecast.forecasters.statistical.fit import (
    BAD,
    LIMIT,
    FitError,
    FittedModel,
    Floats,
    Minimum,
    aicc,
    filled,
    minimise,
    normal_quantiles,
    variance,
)

MOST, MOST_SEASONAL = 5, 2  # orders of each polynomial in the search, as in R's auto.arima
MOST_DIFFERENCES = 2
STRONG_SEASON = 0.64  # seasonal strength from which the season is differenced, as in R's nsdiffs
KPSS_CRITICAL = 0.463  # 5 % point for a constant level [Kwiatkowski et al. 1992, table 1]
FARTHEST_ROOT = 1.01  # candidates with a root nearer to the unit circle are left out, as in R's auto.arima
LONGEST_SEASON = 52  # longer seasons are differenced but have no polynomials: their cost grows quadratically
MOST_MODELS = 94  # compared in a search
MOST_ESTIMATES = 5  # candidates estimated before the simplest one
ROUNDING = 1e-12  # relative to the largest number: smaller differences are zero
FEWEST_EQUAL = 4  # equal differences that are not by chance

Given = tuple[int, int, int] | None  # orders that the user chose


def estimate(y: Floats, specification: dict[str, Any]) -> FittedModel:
    """Estimate the coefficients of known orders by exact maximum likelihood; `y` may hold NaN. Raises FitError."""
    orders = Orders.of(specification)
    w, unit = _standardised(filled(y), orders)
    if len(w) <= orders.longest + sum(orders.counts) + 1:
        raise FitError(f"its {len(y)} steps are too few for {orders}")
    level = constant(y, orders)
    if level is not None and (orders.mean or level == 0):  # nothing is left to estimate
        return FittedModel(specification, [0.0] * sum(orders.counts) + [level] * orders.mean)
    start = least_squares(w, orders)
    if start is None or not inside(start, orders, 1.001):
        start = np.zeros(sum(orders.counts) + orders.mean)
    if not len(start):
        return FittedModel(specification, [])
    best = _maximum(partial(log_likelihood, w, orders), orders, start, precision=1e-8)
    if best.value >= BAD:
        raise FitError(f"the likelihood of {orders} has no maximum that can be found")
    if not best.converged:
        raise FitError(f"the likelihood of {orders} did not converge")
    found = best.x if log_likelihood(w, orders, best.x) >= log_likelihood(w, orders, start) else start
    scale = np.r_[np.ones(sum(orders.counts)), [unit] * orders.mean]
    found = scale * found
    if np.isnan(y).any():
        model, inner = _state_space(y, orders), 0.9 * found  # at the bounds the gradient vanishes
        if orders.mean:
            inner[-1] = found[-1] / unit
        # Differences lose numbers around every gap, so that this likelihood is flat and slow: a few iterations will do.
        best = _maximum(
            lambda x: float(model.loglike(_for_state_space(scale * x, orders))), orders, inner, 1e-7, iterations=30
        )
        found = scale * best.x if best.value < BAD else found
    return FittedModel(specification, found.tolist())


def choose(y: Floats, season_length: int, order: Given, seasonal: Given) -> FittedModel:
    """Choose the orders that are None, and estimate; `y` may hold NaN. Raises FitError.

    A candidate whose estimate is not stationary and invertible, or has larger errors one step ahead than its
    differences alone, is skipped. A root near the unit circle is no reason: overdifferencing leaves it there.
    """
    if order and seasonal:
        return estimate(y, Orders(*order, *seasonal, m=season_length, mean=order[1] + seasonal[1] == 0).plain())
    exact = _exact(y, season_length, order, seasonal)
    if exact:
        return estimate(y, exact.plain())
    whole = filled(y)
    *ranked, last = _Search(whole, season_length, order, seasonal).ranked()
    for orders in ranked:
        with suppress(FitError):
            model = estimate(y, orders.plain())
            if _is_sound(model, orders, whole):
                return model
    return estimate(y, last.plain())


def constant(y: Floats, orders: Orders) -> float | None:
    """Return the value of the differences where all are equal up to rounding; None where they are not.

    `y` may hold NaN. Rounding is relative to the largest number of `y`.
    """
    w = differenced(y, orders.d, orders.D, orders.m)
    steps, w = len(w), w[~np.isnan(w)]
    room = ROUNDING * float(np.nanmax(np.abs(y)))
    if len(w) < max(FEWEST_EQUAL, steps / 2) or np.ptp(w) > room:
        return None
    level = float(w.mean())
    return level if abs(level) > room else 0.0


def _exact(y: Floats, season_length: int, order: Given, seasonal: Given) -> Orders | None:
    """Return the fewest differences that leave a constant, with it as mean; None where none do.

    Tests and likelihoods are undefined there: the variance is zero.
    """
    p, _, q = order or (0, 0, 0)
    P, _, Q = seasonal or (0, 0, 0)
    ds = (order[1],) if order else range(MOST_DIFFERENCES + 1)
    big_ds = (seasonal[1],) if seasonal else range(1 + (season_length > 1))
    pairs = [(d, big_d) for d in ds for big_d in big_ds if d + big_d <= MOST_DIFFERENCES]
    for d, big_d in sorted(pairs, key=lambda pair: (sum(pair), pair[1])):
        orders = Orders(p, d, q, P, big_d, Q, season_length)
        level = constant(y, orders) if orders.lost < len(y) else None
        if level is not None:
            return replace(orders, mean=level != 0)
    return None


def _is_sound(model: FittedModel, orders: Orders, y: Floats) -> bool:
    """Return whether a model is stationary, invertible, and no worse one step ahead than its differences alone."""
    x = np.array(model.parameters)
    if not sum(orders.counts):
        return True
    if not inside(x, orders, 1.0):
        return False
    w = differenced(y, orders.d, orders.D, orders.m)
    ar, ma = polynomials(x, orders)
    errors = Covariance(ar, ma, len(w)).errors(w - x[-1] if orders.mean else w)
    plain = w - w.mean() if orders.mean else w
    return float(errors @ errors) <= float(plain @ plain)


class _Search:
    """Choice of the orders that are None, after Hyndman and Khandakar (2008).

    The season is differenced where it is strong, the rest while a KPSS test rejects a constant level; the other
    orders start from four usual models and change by one while AICc decreases.
    """

    def __init__(self, y: Floats, season_length: int, order: Given, seasonal: Given) -> None:
        m = season_length if seasonal or len(y) >= 2 * season_length + 2 else 1
        big_d = seasonal[1] if seasonal else int(m > 1 and seasonal_strength(y, m) > STRONG_SEASON)
        d = order[1] if order else differences(differenced(y, 0, big_d, m), float(np.abs(y).max()))
        most = min(MOST, len(y) // 3)
        most_seasonal = min(MOST_SEASONAL, len(y) // (3 * m)) if 1 < m <= LONGEST_SEASON else 0
        p, q = ((order[0], order[0]), (order[2], order[2])) if order else ((0, most), (0, most))
        P, Q = ((0, most_seasonal),) * 2 if seasonal is None else ((seasonal[0],) * 2, (seasonal[2],) * 2)
        self._limits = (p, q, P, Q)
        self._means = (False, True) if d + big_d <= 1 else (False,)
        self._plain = Orders(0, d, 0, D=big_d, m=m)
        self._w, _ = _standardised(y, self._plain)
        self._seen: dict[Orders, float] = {}

    def ranked(self) -> list[Orders]:
        """Return the best models compared, the best first, and the simplest one last."""
        mean = self._means[-1]
        starts = [((2, 2, 1, 1), mean), ((0, 0, 0, 0), mean), ((1, 0, 1, 0), mean), ((0, 1, 0, 1), mean)]
        starts.append(((0, 0, 0, 0), False))
        best = min((self._within(counts, mean) for counts, mean in starts), key=self._criterion)
        improved = True
        while improved and len(self._seen) < MOST_MODELS:
            improved = False
            for other in self._neighbours(best):
                if self._criterion(other) < self._criterion(best):
                    best, improved = other, True
                    break
        ranked = sorted((o for o, value in self._seen.items() if np.isfinite(value)), key=self._criterion)
        default = self._within((0, 0, 0, 0), False)  # the series may be too short for any
        simplest = next((o for o in ranked if o.counts == default.counts), default)
        ahead = ranked[: ranked.index(simplest)] if simplest in ranked else ranked
        return [*ahead[:MOST_ESTIMATES], simplest]

    def _orders(self, counts: tuple[int, ...], mean: bool) -> Orders:
        p, q, P, Q = counts
        return replace(self._plain, p=p, q=q, P=P, Q=Q, mean=mean)

    def _within(self, counts: tuple[int, ...], mean: bool) -> Orders:
        near = [min(max(count, low), high) for count, (low, high) in zip(counts, self._limits, strict=True)]
        return self._orders(tuple(near), mean)

    def _neighbours(self, orders: Orders) -> Iterator[Orders]:
        """Yield the neighbours of a model in the order of R's auto.arima."""
        moves = [(0, 0, -1, 0), (0, 0, 0, -1), (0, 0, 1, 0), (0, 0, 0, 1), (0, 0, 1, 1), (0, 0, -1, -1)]
        moves += [(0, 0, -1, 1), (0, 0, 1, -1), (-1, 0, 0, 0), (0, -1, 0, 0), (1, 0, 0, 0), (0, 1, 0, 0)]
        moves += [(-1, -1, 0, 0), (1, 1, 0, 0), (-1, 1, 0, 0), (1, -1, 0, 0)]
        for move in moves:
            counts = tuple(count + step for count, step in zip(orders.counts, move, strict=True))
            near = self._within(counts, orders.mean)
            if near.counts == counts and near not in self._seen:
                yield near
        other = self._orders(orders.counts, not orders.mean)
        if other.mean in self._means and other not in self._seen:
            yield other

    def _criterion(self, orders: Orders) -> float:
        """Return AICc at the conditional least squares estimate; infinite where there is none."""
        if orders not in self._seen:
            w, value = self._w, np.inf
            if len(w) > orders.longest + sum(orders.counts) + 1:
                found = least_squares(w, orders)
                if found is not None and inside(found, orders, FARTHEST_ROOT):
                    value = aicc(log_likelihood(w, orders, found), len(found) + 1, len(w))
            self._seen[orders] = value
        return self._seen[orders]


def seasonal_strength(y: Floats, m: int) -> float:
    """Return the share of the detrended variance that the season explains, 0 to 1 [Wang, Smith and Hyndman 2006]."""
    from statsmodels.tsa.seasonal import STL

    parts = STL(np.ascontiguousarray(y), period=m, seasonal=11).fit()
    both = float(np.var(parts.seasonal + parts.resid))
    return max(0.0, 1 - float(np.var(parts.resid)) / both) if both > 0 else 0.0


def differences(y: Floats, size: float = 0.0) -> int:
    """Return the number of differences until a KPSS test does not reject a constant level.

    Variation within rounding, around numbers of the given size, is a constant level.
    """
    for d in range(MOST_DIFFERENCES):
        if len(y) < 4 or y.std() <= max(1e-10 * np.abs(y).max(), ROUNDING * size) or _kpss(y) < KPSS_CRITICAL:
            return d
        y = np.diff(y)
    return MOST_DIFFERENCES


def _kpss(y: Floats) -> float:
    """Return the statistic of Kwiatkowski, Phillips, Schmidt and Shin (1992) for a constant level."""
    n = len(y)
    errors = y - y.mean()
    lags = int(3 * np.sqrt(n) / 13)
    variance = float(errors @ errors)
    for lag in range(1, lags + 1):
        variance += 2 * (1 - lag / (lags + 1)) * float(errors[lag:] @ errors[:-lag])
    return float((np.cumsum(errors) ** 2).sum()) / (n * variance) if variance > 0 else 0.0


def forecast(fitted: FittedModel, y: Floats, horizon: int, same_origin: bool = True) -> Floats:
    """Forecast H steps after `y`, which may hold NaN, wherever it starts. Raises FitError."""
    orders, x = Orders.of(fitted.specification), np.array(fitted.parameters)
    if np.isnan(y).any():
        filtered = _state_space(y, orders).filter(_for_state_space(x, orders))
        return np.asarray(filtered.forecast(horizon), dtype=np.float64)
    w = differenced(y, orders.d, orders.D, orders.m)
    if len(w) <= orders.longest:
        raise FitError(f"its {len(y)} steps are too few for {orders}")
    mean = x[-1] if orders.mean else 0.0
    ar, ma = polynomials(x, orders)
    shocks = Covariance(ar, ma, len(w)).expected(w - mean, horizon)  # (H,)
    weights = -_with_differences(ar, orders)[:0:-1]  # the oldest value first
    known = np.concatenate([y[len(y) - len(weights) :], np.zeros(horizon)])
    constant = mean * ar.sum()
    for step in range(horizon):
        at = len(weights) + step
        known[at] = weights @ known[step:at] + shocks[step] + constant
    return known[len(weights) :]


def quantiles(fitted: FittedModel, y: Floats, horizon: int, same_origin: bool = True) -> Floats:
    """Return normal quantiles of H steps after `y`, (H, L): sums of squared weights of later shocks, by their variance.

    [Box and Jenkins 1970, section 5.1], where shocks that the past shows only in part count as later ones; for a series
    with gaps the state space has the variances.
    """
    orders, x = Orders.of(fitted.specification), np.array(fitted.parameters)
    means = forecast(fitted, y, horizon, same_origin)
    if np.isnan(y).any():
        filtered = _state_space(y, orders).filter(_for_state_space(x, orders))
        count = int((~np.isnan(y)).sum()) - orders.lost
        share = count / max(count - len(x), 1)
        return normal_quantiles(means, np.sqrt(share * np.asarray(filtered.get_forecast(horizon).var_pred_mean)))
    w = differenced(y, orders.d, orders.D, orders.m)
    ar, ma = polynomials(x, orders)
    covariance = Covariance(ar, ma, len(w) + horizon)
    shocks = covariance.shocks(w - x[-1] if orders.mean else w)
    weights = lfilter([1.0], _with_differences(ar, orders), covariance.ahead(horizon), axis=0)  # (H, H)
    return normal_quantiles(means, np.sqrt(variance(shocks, len(x)) * (weights**2).sum(axis=1)))


def _with_differences(ar: Floats, orders: Orders) -> Floats:
    """Return the autoregressive polynomial of the series itself."""
    for lag, times in ((1, orders.d), (orders.m, orders.D)):
        for _ in range(times):
            ar = np.convolve(ar, np.r_[1.0, np.zeros(lag - 1), -1.0])
    return ar


def _standardised(y: Floats, orders: Orders) -> tuple[Floats, float]:
    """Return the differenced series divided by its standard deviation, and the divisor."""
    if len(y) <= orders.lost:
        raise FitError(f"its {len(y)} steps are too few for {orders}")
    w = differenced(y, orders.d, orders.D, orders.m)
    unit = float(w.std())
    if unit <= ROUNDING * float(np.abs(y).max()):  # a constant up to rounding
        unit = float(np.abs(w).max()) or 1.0
    return w / unit, unit


def _maximum(
    likelihood: Callable[[Floats], float], orders: Orders, start: Floats, precision: float, iterations: int = LIMIT
) -> Minimum:
    """Maximise a likelihood over stationary and invertible coefficients, which are `x` of the result."""

    def function(u: Floats) -> float:
        value = -likelihood(constrained(u, orders))
        return value if np.isfinite(value) else BAD

    found = minimise(function, constrained(start, orders, back=True), iterations=iterations, precision=precision)
    return replace(found, x=constrained(found.x, orders))


def _state_space(y: Floats, orders: Orders) -> Any:
    """Return the model of statsmodels, which handles NaN, with the variance concentrated out."""
    from statsmodels.tsa.statespace.sarimax import SARIMAX

    trend = "c" if orders.mean else None
    seasonal = (orders.P, orders.D, orders.Q, orders.m if orders.P + orders.D + orders.Q else 0)
    return SARIMAX(
        y, order=(orders.p, orders.d, orders.q), seasonal_order=seasonal, trend=trend, concentrate_scale=True
    )


def _for_state_space(x: Floats, orders: Orders) -> Floats:
    """Order coefficients like statsmodels, with the mean as constant of the autoregression."""
    if not orders.mean:
        return x
    constant = x[-1] * polynomials(x, orders)[0].sum()
    return np.concatenate([[constant], x[:-1]])
