"""Metrics by their definitions, one mean each; a missing truth is left out."""

from __future__ import annotations

import numpy as np


def mae(y: object, forecast: object, scale: object = 1.0) -> float:
    """Mean absolute error."""
    return _mean(abs(np.asarray(y, float) - np.asarray(forecast, float)) / _scale(scale))


def mse(y: object, forecast: object, scale: object = 1.0) -> float:
    """Mean squared error."""
    return _mean((np.asarray(y, float) - np.asarray(forecast, float)) ** 2 / _scale(scale))


def rmse(y: object, forecast: object, scale: object = 1.0) -> float:
    """Root of the mean squared error."""
    return float(np.sqrt(mse(y, forecast, scale)))


def smape(y: object, forecast: object) -> float:
    """Symmetric mean absolute percentage error; two zeros are no error."""
    y, forecast = np.asarray(y, float), np.asarray(forecast, float)
    size = abs(y) + abs(forecast)
    return _mean(np.where(size == 0, 0.0, 200 * abs(y - forecast) / np.where(size == 0, 1.0, size)))


mase, rmsse = mae, rmse  # with a scale


def _scale(scale: object) -> np.ndarray:
    return np.where(np.asarray(scale, float) == 0, np.nan, scale)


def _mean(each: np.ndarray) -> float:
    known = each[~np.isnan(each)]
    return float(known.mean()) if known.size else float("nan")
