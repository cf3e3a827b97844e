"""Seasonal ARIMA: differences, exact likelihood, choice of orders, forecast.

Candidates are estimated by conditional least squares and compared by the exact likelihood there; the chosen one is
estimated by exact maximum likelihood.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from tsforecast.forecasters.statistical.arma import (
    Covariance,
    Orders,
    constrained,
    differenced,
    inside,
    least_squares,
    log_likelihood,
    named,
    polynomials,
)
from tsforecast.forecasters.statistical.fit import BAD, Fit, FitError, Floats, aicc, filled, minimise

MOST, MOST_SEASONAL = 5, 2  # orders of each polynomial in the search, as in R's auto.arima
MOST_DIFFERENCES = 2
STRONG_SEASON = 0.64  # seasonal strength from which the season is differenced, as in R's nsdiffs
KPSS_CRITICAL = 0.463  # 5 % point for a constant level [Kwiatkowski et al. 1992, table 1]
FARTHEST_ROOT = 1.01  # candidates with a root nearer to the unit circle are left out, as in R's auto.arima
LONGEST_SEASON = 52  # longer seasons are differenced but have no polynomials: their cost grows with the square
STEPS = 94  # models looked at, at most
TRIES = 5  # choices estimated, at most, before the plainest
ROUNDING = 1e-12  # of the largest number: differences that differ by less are equal
FEWEST_EQUAL = 4  # equal differences that are no chance


def estimate(y: Floats, orders: Orders) -> Fit:
    """Estimate the coefficients of known orders by exact maximum likelihood; `y` may hold NaN.

    Raises
    ------
    FitError
    """
    there = np.flatnonzero(~np.isnan(y))
    whole = filled(y)
    w, unit = _standardised(whole, orders)
    if len(w) <= orders.longest + sum(orders.counts) + 1:
        raise FitError(f"its {len(y)} steps are too few for {named(orders)}")
    level = constant(y, orders)
    if level is not None and (orders.mean or level == 0):  # nothing is left to estimate coefficients from
        return Fit(orders.plain(), [0.0] * sum(orders.counts) + [level] * orders.mean)
    start = least_squares(w, orders)
    if start is None or not inside(start, orders, 1.001):
        start = np.zeros(sum(orders.counts) + orders.mean)
    found = _maximum(w, orders, start)
    if not log_likelihood(w, orders, found) >= log_likelihood(w, orders, start):
        found = start
    found = np.append(found[: sum(orders.counts)], found[sum(orders.counts) :] * unit)
    if len(there) < len(y):
        found = _maximum_with_gaps(y, orders, found, unit)
    return Fit(orders.plain(), found.tolist())


def fitted(
    y: Floats, season_length: int, order: tuple[int, int, int] | None, seasonal: tuple[int, int, int] | None
) -> Fit:
    """Choose the orders that are None, and estimate; `y` may hold NaN.

    A choice whose estimate is not stationary and invertible, or errs more one step ahead than its differences alone,
    gives way to the next best. A root near to the unit circle is no reason: one difference too many leaves it there.

    Raises
    ------
    FitError
    """
    if order and seasonal:
        return estimate(y, Orders(*order, *seasonal, m=season_length, mean=order[1] + seasonal[1] == 0))
    exact = _exact(y, season_length, order, seasonal)
    if exact:
        return estimate(y, exact)
    whole = filled(y)
    *ranked, last = choose(whole, season_length, order, seasonal)
    for orders in ranked:
        with suppress(FitError):
            fit = estimate(y, orders)
            if _sound(fit, orders, whole):
                return fit
    return estimate(y, last)


def choose(
    y: Floats, season_length: int, order: tuple[int, int, int] | None, seasonal: tuple[int, int, int] | None
) -> list[Orders]:
    """Choose the orders that are None, after Hyndman and Khandakar (2008): a few models, the best first.

    The season is differenced where it is strong, the rest while a KPSS test rejects a constant level; the other
    orders start from four usual models and move by one while AICc gets smaller. The last one is the plainest seen.
    """
    m = season_length if seasonal or len(y) >= 2 * season_length + 2 else 1
    big_d = seasonal[1] if seasonal else int(m > 1 and seasonal_strength(y, m) > STRONG_SEASON)
    d = order[1] if order else differences(differenced(y, 0, big_d, m), float(np.abs(y).max()))
    return _Search(y, m, d, big_d, order, seasonal).ranked()


def constant(y: Floats, orders: Orders) -> float | None:
    """Return the number that the differences are all equal to, but for rounding; None where they are not.

    `y` may hold NaN. The difference of numbers around 1e6 is no better known than to 1e-6 * ROUNDING.
    """
    w = differenced(y, orders.d, orders.D, orders.m)
    steps, w = len(w), w[~np.isnan(w)]
    room = ROUNDING * float(np.nanmax(np.abs(y)))
    if len(w) < max(FEWEST_EQUAL, steps / 2) or np.ptp(w) > room:
        return None
    level = float(w.mean())
    return level if abs(level) > room else 0.0


def _exact(
    y: Floats, season_length: int, order: tuple[int, int, int] | None, seasonal: tuple[int, int, int] | None
) -> Orders | None:
    """Return the fewest differences that leave a constant, with it as mean; None where no few do.

    There, tests and likelihoods have nothing to go by: the variance is zero.
    """
    p, q = (order[0], order[2]) if order else (0, 0)
    P, Q = (seasonal[0], seasonal[2]) if seasonal else (0, 0)
    ds = (order[1],) if order else range(MOST_DIFFERENCES + 1)
    big_ds = (seasonal[1],) if seasonal else range(1 + (season_length > 1))
    pairs = [(d, big_d) for d in ds for big_d in big_ds if d + big_d <= MOST_DIFFERENCES]
    for d, big_d in sorted(pairs, key=lambda pair: (sum(pair), pair[1])):
        orders = Orders(p, d, q, P, big_d, Q, season_length)
        level = constant(y, orders) if orders.lost < len(y) else None
        if level is not None:
            return replace(orders, mean=level != 0)
    return None


def _sound(fit: Fit, orders: Orders, y: Floats) -> bool:
    """Say whether a fit is stationary and invertible, and errs no more one step ahead than its differences alone."""
    x = np.array(fit.parameters)
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
    """Stepwise search for p, q, P, Q and the mean."""

    def __init__(
        self,
        y: Floats,
        m: int,
        d: int,
        big_d: int,
        order: tuple[int, int, int] | None,
        seasonal: tuple[int, int, int] | None,
    ) -> None:
        self._y, self._m, self._d, self._big_d = y, m, d, big_d
        most = min(MOST, len(y) // 3)
        most_seasonal = min(MOST_SEASONAL, len(y) // (3 * m)) if 1 < m <= LONGEST_SEASON else 0
        p, q = ((order[0], order[0]), (order[2], order[2])) if order else ((0, most), (0, most))
        P, Q = ((0, most_seasonal),) * 2 if seasonal is None else ((seasonal[0],) * 2, (seasonal[2],) * 2)
        self._limits = (p, q, P, Q)
        self._means = (False, True) if d + big_d <= 1 else (False,)
        self._w, _ = _standardised(y, self._orders((0, 0, 0, 0), False))
        self._seen: dict[Orders, float] = {}

    def ranked(self) -> list[Orders]:
        mean = self._means[-1]
        starts = [((2, 2, 1, 1), mean), ((0, 0, 0, 0), mean), ((1, 0, 1, 0), mean), ((0, 1, 0, 1), mean)]
        starts.append(((0, 0, 0, 0), False))
        best = min((self._within(counts, mean) for counts, mean in starts), key=self._criterion)
        moved = True
        while moved and len(self._seen) < STEPS:
            moved = False
            for other in self._around(best):
                if self._criterion(other) < self._criterion(best):
                    best, moved = other, True
                    break
        ranked = sorted((o for o, value in self._seen.items() if np.isfinite(value)), key=self._criterion)
        plain = [o for o in ranked if o.counts == self._within((0, 0, 0, 0), False).counts]
        plainest = plain[0] if plain else self._within((0, 0, 0, 0), False)  # may be too short for any
        better = ranked[: ranked.index(plainest)] if plainest in ranked else ranked
        return [*better[:TRIES], plainest]

    def _orders(self, counts: tuple[int, ...], mean: bool) -> Orders:
        p, q, P, Q = counts
        return Orders(p, self._d, q, P, self._big_d, Q, self._m, mean)

    def _within(self, counts: tuple[int, ...], mean: bool) -> Orders:
        near = [min(max(count, low), high) for count, (low, high) in zip(counts, self._limits, strict=True)]
        return self._orders(tuple(near), mean)

    def _around(self, orders: Orders) -> Iterator[Orders]:
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
        if orders not in self._seen:
            self._seen[orders] = self._scored(orders)
        return self._seen[orders]

    def _scored(self, orders: Orders) -> float:
        w = self._w
        if len(w) <= orders.longest + sum(orders.counts) + 1:
            return np.inf
        found = least_squares(w, orders)
        if found is None or not inside(found, orders, FARTHEST_ROOT):
            return np.inf
        return aicc(log_likelihood(w, orders, found), len(found) + 1, len(w))


def seasonal_strength(y: Floats, m: int) -> float:
    """Return how much of what is not trend the season explains, 0 to 1 [Wang, Smith and Hyndman 2006]."""
    from statsmodels.tsa.seasonal import STL

    parts = STL(np.ascontiguousarray(y), period=m, seasonal=11).fit()
    both = float(np.var(parts.seasonal + parts.resid))
    return max(0.0, 1 - float(np.var(parts.resid)) / both) if both > 0 else 0.0


def differences(y: Floats, size: float = 0.0) -> int:
    """Return how often to difference until a KPSS test does not reject a constant level.

    What varies by no more than rounding, around numbers of that size, is a constant level.
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


def forecast(fit: Fit, y: Floats, horizon: int) -> Floats:
    """Forecast H steps after `y`, which may hold NaN.

    Raises
    ------
    FitError
    """
    orders = Orders.of(fit.specification)
    if np.isnan(y).any():
        return _forecast_with_gaps(fit, orders, y, horizon)
    x = np.array(fit.parameters)
    w = differenced(y, orders.d, orders.D, orders.m)
    if len(w) <= orders.longest:
        raise FitError(f"its {len(y)} steps are too few for {named(orders)}")
    mean = x[-1] if orders.mean else 0.0
    ar, ma = polynomials(x, orders)
    shocks = Covariance(ar, ma, len(w)).expected(w - mean, horizon)  # (H,)
    operator = ar
    for lag, times in ((1, orders.d), (orders.m, orders.D)):
        for _ in range(times):
            operator = np.convolve(operator, np.r_[1.0, np.zeros(lag - 1), -1.0])
    weights = -operator[:0:-1]  # of the oldest value first
    known = np.concatenate([y[len(y) - len(weights) :], np.zeros(horizon)])
    constant = mean * ar.sum()
    for step in range(horizon):
        at = len(weights) + step
        known[at] = weights @ known[step:at] + shocks[step] + constant
    return known[len(weights) :]


def _standardised(y: Floats, orders: Orders) -> tuple[Floats, float]:
    """Return the differenced series divided by its standard deviation, and that."""
    if len(y) <= orders.lost:
        raise FitError(f"its {len(y)} steps are too few for {named(orders)}")
    w = differenced(y, orders.d, orders.D, orders.m)
    unit = float(w.std())
    if unit <= ROUNDING * float(np.abs(y).max()):  # but for rounding, a constant
        unit = float(np.abs(w).max()) or 1.0
    return w / unit, unit


def _maximum(w: Floats, orders: Orders, start: Floats) -> Floats:
    """Maximise the exact likelihood over stationary and invertible coefficients."""
    if not len(start):
        return start

    def function(u: Floats) -> float:
        value = -log_likelihood(w, orders, constrained(u, orders))
        return value if np.isfinite(value) else BAD

    u = constrained(start, orders, back=True)
    found = minimise(function, u, precision=1e-8)
    if found.value >= BAD:
        raise FitError(f"the likelihood of {named(orders)} has no maximum that can be found")
    if not found.converged:
        raise FitError(f"the likelihood of {named(orders)} did not converge")
    return constrained(found.x, orders)


def _state_space(y: Floats, orders: Orders) -> Any:
    """Return statsmodels' model, which can pass over NaN; the variance is put at its best value."""
    from statsmodels.tsa.statespace.sarimax import SARIMAX

    trend = None if not orders.mean else "c"
    seasonal = (orders.P, orders.D, orders.Q, orders.m if orders.P + orders.D + orders.Q else 0)
    return SARIMAX(
        y, order=(orders.p, orders.d, orders.q), seasonal_order=seasonal, trend=trend, concentrate_scale=True
    )


def _for_state_space(x: Floats, orders: Orders) -> Floats:
    """Order coefficients as statsmodels does; the mean becomes the constant of the autoregression."""
    if not orders.mean:
        return x
    constant = x[-1] * polynomials(x, orders)[0].sum()
    return np.concatenate([[constant], x[:-1]])


def _maximum_with_gaps(y: Floats, orders: Orders, start: Floats, unit: float) -> Floats:
    """Maximise the likelihood of the numbers that are there, from the estimate on filled numbers."""
    if not len(start):
        return start
    model = _state_space(y, orders)

    def coefficients(u: Floats) -> Floats:
        x = constrained(u, orders)
        if orders.mean:
            x[-1] *= unit
        return x

    def function(u: Floats) -> float:
        value = -float(model.loglike(_for_state_space(coefficients(u), orders)))
        return value if np.isfinite(value) else BAD

    inner = 0.9 * start  # from the bounds nothing leads back
    if orders.mean:
        inner[-1] = start[-1] / unit
    # Differences cost numbers around every gap, which makes this likelihood flat and slow: it need not be exhausted.
    found = minimise(function, constrained(inner, orders, back=True), iterations=30, precision=1e-7)
    return coefficients(found.x) if found.value < BAD else start


def _forecast_with_gaps(fit: Fit, orders: Orders, y: Floats, horizon: int) -> Floats:
    model = _state_space(y, orders)
    filtered = model.filter(_for_state_space(np.array(fit.parameters), orders))
    return np.asarray(filtered.forecast(horizon), dtype=np.float64)
