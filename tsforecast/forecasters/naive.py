"""Naive forecasts, the baselines of all models [Hyndman and Athanasopoulos 2021, section 5.2]."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tsforecast.data.context import Context, names_of
from tsforecast.data.panel import Panel
from tsforecast.errors import shorten
from tsforecast.estimators.base import keyword_settings, setting
from tsforecast.forecasters.auto import anchor_lags, observed_mean
from tsforecast.forecasters.base import Forecaster

Floats = NDArray[np.float64]


@keyword_settings
class NaiveForecaster(Forecaster):
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


@keyword_settings
class SeasonalNaiveForecaster(Forecaster):
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
class DriftForecaster(Forecaster):
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


@keyword_settings
class MeanForecaster(Forecaster):
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


@keyword_settings
class WindowAverageForecaster(Forecaster):
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
