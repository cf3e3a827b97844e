"""Metrics: arrays in, numbers out.

Arrays are of any shape; NaN in `y` is a missing truth and is left out. Where nothing is left the result is NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def mae(y: ArrayLike, forecast: ArrayLike) -> float:
    """Mean absolute error, in the data's units.

    Examples
    --------
    >>> mae([1.0, 2.0], [2.0, 4.0])
    1.5
    """
    return _mean(absolute_errors(y, forecast))


def mse(y: ArrayLike, forecast: ArrayLike) -> float:
    """Mean squared error, in the data's units squared.

    Examples
    --------
    >>> mse([1.0, 2.0], [2.0, 4.0])
    2.5
    """
    return _mean(absolute_errors(y, forecast) ** 2)


def rmse(y: ArrayLike, forecast: ArrayLike) -> float:
    """Root of the mean squared error, in the data's units.

    Examples
    --------
    >>> rmse([1.0, 2.0], [2.0, 3.0])
    1.0
    """
    return float(np.sqrt(mse(y, forecast)))


def smape(y: ArrayLike, forecast: ArrayLike) -> float:
    """Symmetric mean absolute percentage error in [0, 200], as in the M4 competition.

    Two zeros are no error [Makridakis et al. 2020, doi 10.1016/j.ijforecast.2019.04.014].

    Examples
    --------
    >>> smape([100.0, 0.0], [300.0, 0.0])
    50.0
    """
    return _mean(symmetric_errors(y, forecast))


def mase(y: ArrayLike, forecast: ArrayLike, naive_mae: ArrayLike) -> float:
    """Mean absolute scaled error [Hyndman and Koehler 2006, doi 10.1016/j.ijforecast.2006.03.001].

    Parameters
    ----------
    naive_mae : number or array like y
        Mean absolute error of the seasonal naive forecast on the training part
        (`tsforecast.data.scaling.seasonal_scale`).
        Where it is 0 the error has no scale and is left out.

    Examples
    --------
    >>> mase([1.0, 2.0], [2.0, 4.0], naive_mae=3.0)
    0.5
    """
    return _mean(divide(absolute_errors(y, forecast), naive_mae))


def rmsse(y: ArrayLike, forecast: ArrayLike, naive_mse: ArrayLike) -> float:
    """Root mean squared scaled error [Makridakis et al. 2022, doi 10.1016/j.ijforecast.2021.11.013].

    Examples
    --------
    >>> rmsse([1.0, 2.0], [3.0, 4.0], naive_mse=4.0)
    1.0
    """
    return float(np.sqrt(_mean(divide(absolute_errors(y, forecast) ** 2, naive_mse))))


def owa(smape: float, mase: float, reference_smape: float, reference_mase: float) -> float:
    """Overall weighted average: the mean of sMAPE and MASE, each relative to a reference model's.

    In the M4 competition the reference is Naive2 [Makridakis et al. 2020].

    Examples
    --------
    >>> owa(10.0, 1.0, reference_smape=20.0, reference_mase=2.0)
    0.5
    """
    return float((divide(smape, reference_smape) + divide(mase, reference_mase)) / 2)


def skill(error: float, reference_error: float) -> float:
    """Share of a reference model's error that a model removes; above 0 it beats the reference.

    Examples
    --------
    >>> skill(3.0, reference_error=4.0)
    0.25
    """
    return float(1 - divide(error, reference_error))


def absolute_errors(y: ArrayLike, forecast: ArrayLike) -> NDArray[np.float64]:
    """Return |y - forecast| elementwise."""
    return np.abs(np.asarray(y, dtype=np.float64) - np.asarray(forecast, dtype=np.float64))


def symmetric_errors(y: ArrayLike, forecast: ArrayLike) -> NDArray[np.float64]:
    """Return 200 |y - forecast| / (|y| + |forecast|) elementwise; 0 where both are 0."""
    size = np.abs(np.asarray(y, dtype=np.float64)) + np.abs(np.asarray(forecast, dtype=np.float64))
    return 200 * absolute_errors(y, forecast) / np.where(size == 0, 1.0, size)


def divide(numerator: ArrayLike, denominator: ArrayLike) -> Any:
    """Divide; NaN where the denominator is 0."""
    below = np.asarray(denominator, dtype=np.float64)
    return np.asarray(numerator, dtype=np.float64) / np.where(below == 0, np.nan, below)


def _mean(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
