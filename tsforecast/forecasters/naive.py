"""Naive forecasts, the baselines of all models [Hyndman and Athanasopoulos 2021, section 5.2]."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tsforecast.data.context import Context
from tsforecast.data.panel import Panel
from tsforecast.distributions.base import Distribution
from tsforecast.distributions.residuals import HistoryResiduals, lowest_of, scales
from tsforecast.errors import names_of, shorten
from tsforecast.estimators.base import keyword_settings, setting
from tsforecast.forecasters.anchors import anchor_lags, observed_mean
from tsforecast.forecasters.base import Forecaster

Floats = NDArray[np.float64]
SETTLED = 8  # moves from which the scale of a series is taken
SETTLED_SHARE = (
    0.5  # of its last scale, that a series has at every cutoff: one that has hardly begun to move shows none
)


class _FromHistory(Forecaster):
    """Base of forecasters that learn nothing: every cutoff of the history shows an error of theirs.

    Their distribution has those errors, in units of the standard deviation that a step has in theory: around the naive
    forecast of a random walk, a season of random walks, a random walk with drift, or the mean of independent values
    [Hyndman and Athanasopoulos 2021, section 5.5].
    """

    def distribution(self, past: Context, horizon: int) -> Distribution:
        """Return the distributions of H steps after each of n cutoffs; see `Forecaster.distribution`."""
        if self._residuals is None or self._residuals.errors.shape[1] < horizon:
            _, first = self._held_out()
            last = SETTLED_SHARE * scales(Context.at_end(self.panel_), self.panel_.season_length)  # (N, K)
            self._residuals = HistoryResiduals.over(
                self.forecast,
                lambda past, steps: self._spread(past, steps, last[past.series]),
                self.panel_,
                first,
                horizon,
            )
        return self._residuals.around(self.forecast(past, horizon), self._spread(past, horizon), lowest_of(self.panel_))

    def _held_out(self, share: float = 0.0) -> tuple[Forecaster, NDArray[np.int64]]:
        """Return this model, which learned from no row, and the rows from which the scale of each series settled."""
        lengths, season = self.panel_.lengths, self.panel_.season_length
        return self, np.maximum(np.minimum(self._least() + season + SETTLED, (self._least() + lengths) // 2), 1)

    def _spread(self, past: Context, horizon: int, least: Floats | float = 0.0) -> Floats:
        """Return the spread of each step in theory, (n, H, K), in the data's own units, from a `least` scale on."""
        growth = self._growth(past.known_lengths[:, None], np.arange(1, horizon + 1)[:, None])  # (n, H, K)
        return np.asarray(growth * np.maximum(scales(past, self.panel_.season_length), least)[:, None])

    def _least(self) -> int:
        """Return the rows of a past that has the forecast of a long one."""
        return 1

    def _growth(self, known: NDArray[np.int64], steps: NDArray[np.int64]) -> Floats:
        """Return the deviation of steps (H, 1) in deviations of one move or value, after known rows (n, 1, K)."""
        raise NotImplementedError(f"{type(self).__name__} must implement _growth")


@keyword_settings
class NaiveForecaster(_FromHistory):
    """Repeat the last value.

    Examples
    --------
    >>> NaiveForecaster(horizon=2).fit(np.array([1.0, 5.0, 3.0])).predict().tolist()
    [3.0, 3.0]
    """

    horizon: int = setting(default=1, kw_only=False, doc="Steps to forecast.")

    def forecast(self, past: Context, horizon: int) -> Floats:
        """Return forecasts of shape (n, H, K); see `Forecaster.forecast`."""
        last = past.tail(1)[:, :, : past.n_targets]  # (n, 1, K)
        return np.repeat(last, horizon, axis=1)  # (n, H, K)

    def _growth(self, known: NDArray[np.int64], steps: NDArray[np.int64]) -> Floats:
        return np.sqrt(steps)


@keyword_settings
class SeasonalNaiveForecaster(_FromHistory):
    """Repeat the last season.

    Examples
    --------
    >>> model = SeasonalNaiveForecaster(horizon=3, season_length=2)
    >>> model.fit(np.array([1.0, 2.0, 3.0, 4.0])).predict().tolist()
    [3.0, 4.0, 3.0]
    """

    horizon: int = setting(default=1, kw_only=False, doc="Steps to forecast.")
    season_length: int | None = setting(
        default=None,
        least=1,
        kw_only=False,
        doc="Steps in one season; taken from the data unless given. Where the past of a target, from its first number "
        "on, is shorter than one season, the last value is repeated.",
    )

    def _fit(self, panel: Panel) -> None:
        self.season_length_ = self.season_length or panel.season_length

    def forecast(self, past: Context, horizon: int) -> Floats:
        """Return forecasts of shape (n, H, K); see `Forecaster.forecast`."""
        lags = anchor_lags("seasonal", horizon, self.season_length_)[:, 0]  # (H,)
        long_enough = past.lengths >= self.season_length_
        rows = past.lagged(np.where(long_enough[:, None], lags, 1))[..., : past.n_targets]  # (n, H, K)
        short = (past.known_lengths < self.season_length_) & long_enough[:, None]
        return np.where(short[:, None], past.tail(1)[..., : past.n_targets], rows) if short.any() else rows

    def _least(self) -> int:
        return self.season_length_

    def _growth(self, known: NDArray[np.int64], steps: NDArray[np.int64]) -> Floats:
        return np.sqrt(np.where(known < self.season_length_, steps, (steps - 1) // self.season_length_ + 1))

    def _cautions(self, past: Context) -> list[str]:
        short = past.known_lengths < self.season_length_
        if not short.any() or short.all():
            return []
        names = names_of(past.ids, past.columns[: past.n_targets], np.argwhere(short))
        return [
            f"{len(names)} of {short.size} {'targets' if past.n_targets > 1 else 'series'} "
            f"{'repeats its' if len(names) == 1 else 'repeat their'} last value, as less than a season of "
            f"{self.season_length_} steps is known: {shorten(names)}"
        ]


@keyword_settings
class DriftForecaster(_FromHistory):
    """Extend the line from the first to the last value.

    Examples
    --------
    >>> DriftForecaster(horizon=2).fit(np.array([1.0, 5.0, 3.0])).predict().tolist()
    [4.0, 5.0]
    """

    horizon: int = setting(default=1, kw_only=False, doc="Steps to forecast.")

    def forecast(self, past: Context, horizon: int) -> Floats:
        """Return forecasts of shape (n, H, K); see `Forecaster.forecast`."""
        steps = np.arange(1, horizon + 1)[:, None]  # (H, 1)
        lines = []
        for i in range(len(past)):
            values = past.history(i)[:, : past.n_targets]
            first = np.argmax(~np.isnan(values), axis=0)  # a series may start late
            distance = np.maximum(len(values) - 1 - first, 1)
            slope = (values[-1] - np.take_along_axis(values, first[None], axis=0)[0]) / distance  # (K,)
            lines.append(values[-1] + steps * slope)  # (H, K)
        return np.stack(lines)

    def _least(self) -> int:
        return 2

    def _growth(self, known: NDArray[np.int64], steps: NDArray[np.int64]) -> Floats:
        return np.asarray(np.sqrt(steps * (1 + steps / np.maximum(known - 1, 1))))


@keyword_settings
class MeanForecaster(_FromHistory):
    """Forecast the mean of the whole past.

    Examples
    --------
    >>> MeanForecaster(horizon=2).fit(np.array([1.0, 5.0, 3.0])).predict().tolist()
    [3.0, 3.0]
    """

    horizon: int = setting(default=1, kw_only=False, doc="Steps to forecast.")

    def forecast(self, past: Context, horizon: int) -> Floats:
        """Return forecasts of shape (n, H, K); see `Forecaster.forecast`."""
        means = [observed_mean(past.history(i)[:, : past.n_targets]) for i in range(len(past))]
        return np.repeat(np.stack(means)[:, None], horizon, axis=1)  # (n, H, K)

    def _growth(self, known: NDArray[np.int64], steps: NDArray[np.int64]) -> Floats:
        return np.asarray(np.sqrt(1 + 1 / np.maximum(known, 1)) * np.ones(steps.shape))


@keyword_settings
class WindowAverageForecaster(_FromHistory):
    """Forecast the mean of the last few values.

    Examples
    --------
    >>> WindowAverageForecaster(horizon=2, window=2).fit(np.array([1.0, 5.0, 3.0])).predict().tolist()
    [4.0, 4.0]
    """

    horizon: int = setting(default=1, kw_only=False, doc="Steps to forecast.")
    window: int | None = setting(
        default=None,
        least=1,
        kw_only=False,
        doc="Steps to average, or as many as there are; one season unless given, ten steps where the data have no "
        "season.",
    )

    def _fit(self, panel: Panel) -> None:
        season = panel.season_length if panel.season_length > 1 else 10
        self.window_ = self.window or season

    def forecast(self, past: Context, horizon: int) -> Floats:
        """Return forecasts of shape (n, H, K); see `Forecaster.forecast`."""
        means = [observed_mean(past.history(i)[-self.window_ :, : past.n_targets]) for i in range(len(past))]
        return np.repeat(np.stack(means)[:, None], horizon, axis=1)  # (n, H, K)

    def _growth(self, known: NDArray[np.int64], steps: NDArray[np.int64]) -> Floats:
        return np.asarray(np.sqrt(1 + 1 / np.clip(known, 1, self.window_)) * np.ones(steps.shape))
