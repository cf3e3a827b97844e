"""Anchors: the naive forecast of a window, as steps back from its end.

A naive forecast copies what lay some steps back, or the mean of several such steps. Written as lags, one
definition serves the naive forecasters, the networks that correct them, and the scale of MASE.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

ANCHORS = ("last", "seasonal", "average", "none")
Anchor = str | Sequence[int]  # a name, or the lengths of the seasons whose naive forecasts are averaged


def anchor_lags(anchor: Anchor, horizon: int, season_length: int) -> NDArray[np.int64]:
    """Return how many steps back from the first forecast step each forecast step looks, shape (H, A).

    Parameters
    ----------
    anchor : {"last", "seasonal", "average"} or sequence of int
        The last value; the last season; the mean of the last season's values; or the mean of the seasonal naive
        forecasts of several season lengths, such as ``(24, 168)``.
    horizon, season_length : int

    Examples
    --------
    >>> anchor_lags("last", 3, 2).ravel().tolist()
    [1, 1, 1]
    >>> anchor_lags("seasonal", 5, 3).ravel().tolist()
    [3, 2, 1, 3, 2]
    >>> anchor_lags([2, 3], 3, 1).tolist()
    [[2, 3], [1, 2], [2, 1]]
    """
    if anchor == "last":
        return np.ones((horizon, 1), dtype=np.int64)
    if anchor == "average":
        return np.tile(np.arange(1, season_length + 1), (horizon, 1))
    seasons = np.array([season_length] if isinstance(anchor, str) else anchor, dtype=np.int64)
    return np.asarray(seasons - np.arange(horizon)[:, None] % seasons)


def anchor_forecast(past: NDArray[Any], lags: NDArray[np.int64]) -> NDArray[Any]:
    """Return the naive forecast of each window.

    Parameters
    ----------
    past : array of shape (B, W, C)
        W must be at least the largest lag.
    lags : int64 array of shape (H, A)

    Returns
    -------
    array of shape (B, H, C)
        The mean over the A steps that each forecast step looks back to.
    """
    if lags.shape[1] == 1:
        return past[:, past.shape[1] - lags[:, 0]]  # (B, H, C), the copied numbers to the bit
    return np.asarray(past[:, past.shape[1] - lags].mean(2))  # (B, H, A, C) -> (B, H, C)


def seasonal_scale(values: ArrayLike, season_length: int) -> tuple[float, float]:
    """Mean absolute and mean squared error of the seasonal naive forecast on a training part.

    Parameters
    ----------
    values : array of shape (T,)
        NaN is left out. With at most `season_length` steps, neighbouring steps are compared instead.
    season_length : int

    Examples
    --------
    >>> seasonal_scale([1.0, 2.0, 4.0, 2.0], season_length=2)
    (1.5, 4.5)
    """
    numbers = np.asarray(values, dtype=np.float64)
    lag = season_length if len(numbers) > season_length else 1
    moves = np.abs(numbers[lag:] - numbers[:-lag])
    moves = moves[~np.isnan(moves)]
    return (float(moves.mean()), float((moves**2).mean())) if moves.size else (float("nan"), float("nan"))
