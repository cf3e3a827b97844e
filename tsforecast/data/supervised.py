"""Ready-made windows, as scikit-learn hands them over: rows of X and y laid out as short series, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.data.calendar import Frequency
from tsforecast.data.frames import Roles, Source
from tsforecast.data.panel import Panel
from tsforecast.errors import DataError


def windows(X: NDArray[Any], y: NDArray[Any], weights: NDArray[np.float64] | None = None) -> Panel:
    """Lay out windows and the steps that follow them: each row becomes a series of W + H steps.

    Parameters
    ----------
    X : array of shape (n, W) or (n, W, C)
    y : array of shape (n,), (n, H) or (n, H, K)
        The first K channels of `X` are the targets' past; the others are known up to now.
    weights : array of shape (n,), optional
        How much each row counts in training.

    Raises
    ------
    DataError
        When the shapes are others, or there are more targets than channels.

    Examples
    --------
    >>> panel = windows(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([3.0, 5.0]))
    >>> panel.series(1).ravel().tolist(), panel.ready
    ([3.0, 4.0, 5.0], 1)
    """
    if X.ndim not in (2, 3) or y.ndim not in (1, 2, 3) or 0 in X.shape + y.shape:
        raise DataError(
            f"windows must have shape (n, W) or (n, W, C), and y (n,), (n, H) or (n, H, K): got {X.shape} and {y.shape}"
        )
    past = X.reshape(len(X), X.shape[1], -1)  # (n, W, C)
    later = y.reshape(len(y), -1, y.shape[2] if y.ndim == 3 else 1)  # (n, H, K)
    (count, window, channels), (_, horizon, targets) = past.shape, later.shape
    if targets > channels:
        raise DataError(f"y must have at most as many targets as X has channels: got {targets} and {channels}")
    values = np.full((count, window + horizon, channels), np.nan, dtype=np.result_type(past, later))
    values[:, :window] = past
    values[:, window:, :targets] = later
    names = ("y",) if targets == 1 else tuple(f"y{k}" for k in range(targets))
    roles = Roles(names, tuple(f"x{c}" for c in range(targets, channels)))
    return _panel(values, roles, Source("windows", y.ndim, horizon=horizon), weights)


def contexts(X: NDArray[Any], like: Panel) -> Panel:
    """Lay out windows to forecast from: each row becomes a series of W steps.

    Parameters
    ----------
    X : array of shape (n, W) or (n, W, C)
    like : Panel
        What `windows` returned for the data that were fitted.

    Raises
    ------
    DataError
        When the number of channels differs.
    """
    past = X.reshape(len(X), X.shape[1], -1)  # (n, W, C)
    channels = len(like.roles.varying)
    if past.shape[2] != channels:
        raise DataError(f"X must have the {channels} channels that were fitted: got {past.shape[2]}")
    return _panel(past, like.roles, like.source, None)


def _panel(values: NDArray[Any], roles: Roles, source: Source, weights: NDArray[np.float64] | None) -> Panel:
    """Return a panel of n series from values of shape (n, T, C)."""
    count, steps, channels = values.shape
    return Panel(
        values=values.reshape(-1, channels),
        offsets=np.arange(count + 1) * steps,
        ids=np.arange(count),
        starts=np.zeros(count, dtype=np.int64),
        frequency=Frequency("integer"),
        season_length=1,
        kind="none",
        roles=roles,
        source=source,
        statics={},
        weights=weights,
    )
