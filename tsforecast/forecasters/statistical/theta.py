"""The Theta method: no season, simple exponential smoothing and half the slope of the straight line."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.signal import lfilter

from tsforecast.forecasters.statistical.fit import FittedModel, Floats, normal_quantiles, variance

LOWEST, HIGHEST = 1e-4, 1 - 1e-4
SEASONAL = 1.645**2  # 10 % point for the autocorrelation at one season


def choose(y: Floats, season_length: int) -> FittedModel:
    """Remove the season where a test finds one, then estimate, like statsmodels' ThetaModel."""
    kind = None
    if 1 < season_length <= len(y) // 2 and _has_season(y, season_length):
        kind = "mul" if y.min() > 0 else "add"
    return estimate(y, {"season": kind, "season_length": season_length})


def estimate(y: Floats, specification: dict[str, Any]) -> FittedModel:
    """Estimate with a season of a known kind: "mul", "add" or None."""
    kind, season = specification["season"], np.zeros(0)
    if kind:
        kind, season = season_of(y, specification["season_length"], kind)
    adjusted = _adjusted(y, kind, season)
    steps = np.arange(len(y)) - (len(y) - 1) / 2
    slope = float(steps @ adjusted / (steps @ steps))
    return FittedModel({**specification, "season": kind}, [_smoothing(adjusted), slope, *season.tolist()])


def season_of(y: Floats, m: int, kind: str) -> tuple[str, Floats]:
    """Return one season, shape (m,), by classical decomposition; additive where a factor would not be positive."""
    from statsmodels.tsa.seasonal import seasonal_decompose

    found = np.asarray(seasonal_decompose(y, model=kind, period=m).seasonal[:m])
    if kind == "mul" and not found.min() > 0:
        return season_of(y, m, "add")
    return kind, found


def forecast(fitted: FittedModel, y: Floats, horizon: int, same_origin: bool) -> Floats:
    """Run the smoothing over `y` and forecast H steps; where `y` starts elsewhere, its season is estimated again."""
    kind, season = _season(fitted, y, same_origin)
    alpha, slope = fitted.parameters[:2]
    level = _levels(_adjusted(y, kind, season), alpha)[-1]
    ahead = np.arange(horizon)
    line = level + slope / 2 * (ahead + (1 - (1 - alpha) ** len(y)) / alpha)
    if not kind:
        return np.asarray(line)
    seasons = season[(len(y) + ahead) % len(season)]
    return np.asarray(line * seasons if kind == "mul" else line + seasons)


def quantiles(fitted: FittedModel, y: Floats, horizon: int, same_origin: bool) -> Floats:
    """Return normal quantiles of H steps after `y`, (H, L), with the variance of simple smoothing with a drift.

    It is that of the errors one step ahead, times 1 + (h - 1) alpha^2 [Hyndman and Billah 2003]; the interval of
    statsmodels' ThetaModel, 1 + (h - 1)(1 + (1 - alpha)^2), grows where a level stays. A season stretches it.
    """
    means = forecast(fitted, y, horizon, same_origin)
    kind, season = _season(fitted, y, same_origin)
    alpha, slope = fitted.parameters[:2]
    adjusted, steps = _adjusted(y, kind, season), np.arange(1, len(y))
    drift = slope / 2 * (1 - (1 - alpha) ** steps) / alpha
    errors = adjusted[1:] - _levels(adjusted, alpha)[:-1] - drift
    spread = np.sqrt(variance(errors, 2) * (1 + np.arange(horizon) * alpha**2))
    if kind == "mul":
        spread = spread * season[(len(y) + np.arange(horizon)) % len(season)]
    return normal_quantiles(means, spread)


def _season(fitted: FittedModel, y: Floats, same_origin: bool) -> tuple[str | None, Floats]:
    """Return kind and season, estimated again where `y` starts elsewhere."""
    kind, m = fitted.specification["season"], fitted.specification["season_length"]
    if not kind or same_origin:
        return kind, np.array(fitted.parameters[2:])
    if len(y) >= 2 * m and (kind == "add" or y.min() > 0):
        return season_of(y, m, kind)
    return None, np.zeros(0)


def _has_season(y: Floats, m: int) -> bool:
    errors = y - y.mean()
    power = np.fft.rfft(errors, 2 * len(y))
    covariance = np.fft.irfft(np.abs(power) ** 2)[: m + 1]
    rho = covariance / covariance[0]
    return bool(len(y) * rho[m] ** 2 / (rho[:m] ** 2).sum() > SEASONAL)


def _adjusted(y: Floats, kind: str | None, season: Floats) -> Floats:
    """Return `y` without its season."""
    if not kind:
        return y
    tiled = np.resize(season, len(y))
    return y / tiled if kind == "mul" else y - tiled


def _levels(y: Floats, alpha: float) -> Floats:
    """Return the level after each step, from the first value on."""
    levels: Floats = lfilter([alpha], [1.0, alpha - 1.0], y, zi=[(1 - alpha) * y[0]])[0]
    return levels


def _smoothing(y: Floats) -> float:
    """Return the smoothing parameter with the smallest squared error one step ahead."""

    def squared(alpha: float) -> float:
        errors = y[1:] - _levels(y, alpha)[:-1]
        return float(errors @ errors)

    grid = np.linspace(LOWEST, HIGHEST, 24)
    best = int(np.argmin([squared(alpha) for alpha in grid]))
    near = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    found = minimize_scalar(squared, bounds=near, method="bounded", options={"xatol": 1e-7})
    return float(found.x if found.fun < squared(grid[best]) else grid[best])
