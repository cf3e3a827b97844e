"""Anchors: the naive forecast of a window, as steps back from its end.

A naive forecast copies what lay some steps back. Said as lags, one definition serves the naive
forecasters, the networks that correct them, and the scale of MASE.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

ANCHORS = ("last", "seasonal", "none")


def anchor_lags(anchor: str, horizon: int, season_length: int) -> NDArray[np.int64]:
    """Return how many steps back from the first forecast step each forecast step looks, shape (H,).

    Examples
    --------
    >>> anchor_lags("last", 3, 2).tolist()
    [1, 1, 1]
    >>> anchor_lags("seasonal", 5, 3).tolist()
    [3, 2, 1, 3, 2]
    """
    if anchor == "seasonal":
        return season_length - np.arange(horizon) % season_length
    return np.ones(horizon, dtype=np.int64)


def anchor_forecast(past: Any, lags: NDArray[np.int64]) -> Any:
    """Return the naive forecast of each window.

    Parameters
    ----------
    past : numpy array or torch tensor of shape (B, W, C)
        W must be at least the largest lag.
    lags : int64 array of shape (H,)

    Returns
    -------
    array or tensor of shape (B, H, C)
    """
    return past[:, past.shape[1] - lags]  # (B, H, C)
