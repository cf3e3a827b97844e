"""Supervised windows: rows of X and y of scikit-learn as a panel of short series, and back."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from tsforecast.data.panel import Panel
from tsforecast.data.series import Roles, Source
from tsforecast.errors import DataError


class SupervisedPanel(Panel):
    """A panel whose every series is one row of X (W steps) followed by its row of y (H steps to forecast).

    Build one with `from_rows`. Rows are independent: each trains or validates as a whole.
    """

    unit: ClassVar[str] = "window"

    @classmethod
    def from_rows(cls, X: NDArray[Any], y: NDArray[Any], weights: NDArray[np.float64] | None = None) -> Self:
        """Lay out windows (n, W) or (n, W, C) and the steps that follow them, (n,), (n, H) or (n, H, K).

        The first K channels of `X` are the targets' past; the others are past covariates. `weights` (n,) are those of
        the rows in training. DataError is raised when the shapes are others, or there are more targets than channels.
        """
        if X.ndim not in (2, 3) or y.ndim not in (1, 2, 3) or 0 in X.shape + y.shape:
            raise DataError(
                f"windows must have shape (n, W) or (n, W, C), and y (n,), (n, H) or (n, H, K): got {X.shape} and "
                f"{y.shape}"
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
        return cls.untimed(*_rows(values), roles, Source("windows", y.ndim, horizon=horizon), weights=weights)

    def contexts(self, X: NDArray[Any]) -> Panel:
        """Lay out windows, (n, W) or (n, W, C), as a panel of n series whose forecasts are written like y.

        DataError is raised when the number of channels differs.
        """
        past = X.reshape(len(X), X.shape[1], -1)  # (n, W, C)
        channels = len(self.roles.varying)
        if past.shape[2] != channels:
            raise DataError(f"X must have the {channels} channels that were fitted: got {past.shape[2]}")
        return Panel.untimed(*_rows(past), self.roles, self.source)

    @property
    def horizon(self) -> int:
        """Steps to forecast at the end of each row (H)."""
        return self.source.horizon

    @property
    def window(self) -> int:
        """Steps of each row of X (W)."""
        return int(self.lengths[0]) - self.horizon

    def horizon_or(self, own: int) -> int:
        """Return the steps of y, whatever the model's `own` horizon."""
        return self.horizon

    @property
    def context_lengths(self) -> NDArray[np.int64]:
        """Steps of X in each row, shape (n,)."""
        return self.lengths - self.horizon

    @property
    def target_starts(self) -> NDArray[np.int64]:
        """First step of y in each row, shape (n,): X is context only."""
        return self.context_lengths

    @property
    def units(self) -> NDArray[np.int64]:
        """Each row is a unit of its own, shape (n,)."""
        return np.arange(len(self))

    def first_cutoffs(self, horizon: int) -> NDArray[np.int64]:
        """The one cutoff of each row, shape (n,)."""
        return self.lengths - horizon


def _rows(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[np.int64]]:
    """Return values, offsets and ids of n series from values of shape (n, T, C)."""
    count, steps, channels = values.shape
    return values.reshape(-1, channels), np.arange(count + 1) * steps, np.arange(count)
