"""The past door: all that a forecaster may look at when it forecasts from given cutoffs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.data.panel import Panel
from tsforecast.errors import DataError


class Past:
    """The rows before n cutoffs of a panel; nothing here reveals a row at or after its cutoff.

    Parameters
    ----------
    panel : Panel
    series : int64 array of shape (n,)
        Position in the panel of the series of each cutoff.
    seen : int64 array of shape (n,)
        How many of its rows may be seen; at least 1.

    Examples
    --------
    >>> past = Past.at_end(Panel.of(np.arange(5.0)))
    >>> past.tail(2)[0].ravel().tolist()
    [3.0, 4.0]
    """

    def __init__(self, panel: Panel, series: NDArray[np.int64], seen: NDArray[np.int64]) -> None:
        self._panel = panel
        self.series = series
        self.lengths = seen

    @classmethod
    def at_end(cls, panel: Panel) -> Past:
        """Return the past whose cutoffs are the ends of all series."""
        return cls(panel, np.arange(len(panel)), panel.lengths)

    def __len__(self) -> int:
        return len(self.series)

    @property
    def ids(self) -> NDArray[Any]:
        """Series id of each cutoff, shape (n,)."""
        return self._panel.ids[self.series]

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that `tail` and `history` hold, targets first."""
        return self._panel.roles.varying

    @property
    def n_targets(self) -> int:
        """Number of target columns."""
        return self._panel.n_targets

    def tail(self, window: int) -> NDArray[np.float64]:
        """Return the last `window` rows before each cutoff, shape (n, W, C).

        A missing number is replaced by the one before it; at the start of a series by the first number, if that
        lies before the cutoff. NaN is left only where nothing is known at the cutoff.

        Raises
        ------
        DataError
            When a series has fewer rows than that; it names the first such series.
        """
        short = np.flatnonzero(self.lengths < window)
        if len(short):
            name, length = str(self.ids[short[0]]), self.lengths[short[0]]
            others = f" (and {len(short) - 1} more)" if len(short) > 1 else ""
            raise DataError(
                f"the window must fit in the past of every series: needs {window} steps, series {name!r} has "
                f"{length}{others}; give more past, or fit with window <= {length}"
            )
        return self.back(np.broadcast_to(np.arange(window, 0, -1), (len(self), window)))

    def back(self, lags: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the rows that lie `lags` steps before each cutoff; 1 is the last row that may be seen.

        Parameters
        ----------
        lags : int64 array of shape (n, L)
            Between 1 and the length of the series' past.

        Returns
        -------
        array of shape (n, L, C)
            NaN as in `tail`.
        """
        if lags.min() < 1 or np.any(lags > self.lengths[:, None]):
            raise DataError(f"lags must lie between 1 and the steps that may be seen: got {lags.min()} to {lags.max()}")
        begin = self._panel.offsets[self.series][:, None]
        rows = begin + self.lengths[:, None] - lags  # (n, L)
        found: NDArray[Any] = self._panel.filled[rows]  # (n, L, C)
        if np.isnan(found).any():
            first = self._panel.first_numbers[self.series][:, None]  # (n, 1, C): rows of the first numbers
            known = self._panel.values[begin[..., None] + first, np.arange(found.shape[2])]  # (n, 1, C)
            found = np.where(np.isnan(found) & (first < self.lengths[:, None, None]), known, found)
        return found.astype(np.float64)

    def ahead(self, horizon: int) -> NDArray[np.float64]:
        """Return the future columns of the steps after each cutoff, shape (n, horizon, F): no other column.

        Where the data end, or a number is missing, the one before it stands.
        """
        width = len(self._panel.roles.future)
        if not width:
            return np.zeros((len(self), horizon, 0))
        steps = self.lengths[:, None] + np.arange(horizon)  # (n, H)
        rows = np.minimum(steps, self._panel.lengths[self.series][:, None] - 1)
        known: NDArray[Any] = self._panel.filled[self._panel.offsets[self.series][:, None] + rows, -width:]
        return known.astype(np.float64)

    @property
    def facts(self) -> dict[str, NDArray[Any]]:
        """Static columns and the group of each cutoff's series, shape (n,) each."""
        return {name: fact[self.series] for name, fact in self._panel.facts.items()}

    def history(self, index: int) -> NDArray[np.float64]:
        """Return all rows before cutoff `index`, shape (T, C); NaN is left before the first number only."""
        begin = self._panel.offsets[self.series[index]]
        return self._panel.filled[begin : begin + self.lengths[index]].astype(np.float64)
