"""Metrics: the loss of each forecast, whose mean is the metric, or its square; and errors relative to a reference."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from tsforecast.checks import one_of
from tsforecast.errors import ParameterError, raise_any

METRICS = ("mase", "mae", "rmse", "smape", "rmsse")
SQUARED = ("rmse", "rmsse")  # roots of a mean loss
SCALES = {"mase": "naive_mae", "rmsse": "naive_mse"}  # metric -> column of rows with its scale


def losses(metric: str, y: ArrayLike, forecast: ArrayLike, scale: ArrayLike = 1.0) -> NDArray[np.float64]:
    """Return the loss of each forecast, whose mean is the metric, or its square in the case of `SQUARED`.

    sMAPE is in [0, 200], as in the M4 competition, where two zeros are no error [Makridakis et al. 2020,
    doi 10.1016/j.ijforecast.2019.04.014]. `scale` is the mean absolute (MASE) [Hyndman and Koehler 2006,
    doi 10.1016/j.ijforecast.2006.03.001] or squared error (RMSSE) [Makridakis et al. 2022,
    doi 10.1016/j.ijforecast.2021.11.013] of the seasonal naive forecast on all that lies before the cutoff, see
    `tsforecast.data.scaling.seasonal_scale`; where it is 0 the loss is NaN.

    Examples
    --------
    >>> losses("rmse", [1.0, 2.0], [2.0, 4.0]).tolist(), losses("smape", [100.0, 0.0], [300.0, 0.0]).tolist()
    ([1.0, 4.0], [100.0, 0.0])
    >>> losses("mase", [1.0, 2.0], [2.0, 4.0], scale=[4.0, 0.0]).tolist()
    [0.25, nan]
    """
    raise_any(one_of("metric", metric, METRICS), ParameterError)
    truth, predicted = np.asarray(y, dtype=np.float64), np.asarray(forecast, dtype=np.float64)
    error: NDArray[np.float64] = np.abs(truth - predicted)
    if metric == "smape":
        size = np.abs(truth) + np.abs(predicted)
        error = 200 * error / np.where(size == 0, 1.0, size)
    if metric in SQUARED:
        error = error**2
    return error if metric not in SCALES else divide(error, scale)


def losses_of_rows(rows: pd.DataFrame, metric: str) -> NDArray[np.float64]:
    """Return the loss of each row of `tsforecast.backtest`."""
    return losses(metric, rows["y"], rows["forecast"], rows[SCALES[metric]] if metric in SCALES else 1.0)


def owa(smape: float, mase: float, reference_smape: float, reference_mase: float) -> float:
    """Overall weighted average: the mean of sMAPE and MASE, each relative to a reference model's.

    In the M4 competition the reference is Naive2 [Makridakis et al. 2020].
    """
    return float((divide(smape, reference_smape) + divide(mase, reference_mase)) / 2)


def skill(error: float, reference_error: float) -> float:
    """Share of a reference model's error that a model removes; above 0 it beats the reference."""
    return float(1 - divide(error, reference_error))


def divide(numerator: ArrayLike, denominator: ArrayLike) -> NDArray[np.float64]:
    """Divide; NaN where the denominator is 0."""
    below = np.asarray(denominator, dtype=np.float64)
    return np.asarray(numerator, dtype=np.float64) / np.where(below == 0, np.nan, below)
