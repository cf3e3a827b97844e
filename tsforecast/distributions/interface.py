"""Distributional: methods of every forecaster with known errors: distributions, their objects, and paths."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.checks import whole
from tsforecast.data.context import CUTOFFS, Context
from tsforecast.data.panel import Panel
from tsforecast.data.samples import SupervisedPanel
from tsforecast.distributions.base import Distribution, Grid
from tsforecast.distributions.paths import coherent, surprises
from tsforecast.distributions.predictions import ForecastDistribution, with_paths
from tsforecast.distributions.residuals import Residuals, lowest_of, scales
from tsforecast.errors import DataError, ParameterError, raise_any

RANKED = 0.5  # share of the last rows whose ranks paths have: a model that knows less hurts ranks less than errors


class Distributional:
    """Base of forecasters: distributions around `forecast`, from errors at cutoffs that were not learned from."""

    horizon_: int
    panel_: Panel
    _most_cutoffs: int = CUTOFFS  # whose errors are forecast
    _residuals: Residuals | None = None  # at held-out cutoffs, once they are asked for
    _surprises: NDArray[np.float64] | None = None  # at held-out cutoffs, once paths are asked for

    @property
    def joint(self) -> bool:
        """Whether the forecast of a series needs the past of all others."""
        return any(getattr(member, "joint", False) for member in getattr(self, "members_", []))

    def check_fitted(self) -> None:
        """Raise NotFittedError unless `fit` was called."""
        raise NotImplementedError

    def forecast(self, past: Context, horizon: int) -> NDArray[np.float64]:
        """Forecast H steps after each of n cutoffs, (n, H, K).

        Evaluation calls this: many cutoffs at once, and nothing but their context.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement forecast")

    def _held_out(self, share: float = ...) -> tuple[Distributional, NDArray[np.int64]]:
        """Return a model that learned from the first rows of each fitted series alone, and how many those are, (N,)."""
        raise NotImplementedError

    def continued(
        self, context: Any, future: Any, horizon: int | None, ended: str | None
    ) -> tuple[Panel, Context, int]:
        """Return the panel to continue, its context and the steps to forecast."""
        raise NotImplementedError

    def forecast_on_the_wall(self, past: Context, horizon: int) -> NDArray[np.float64]:
        """Forecast as `forecast` does; hours after the clocks of a zone change are those of the same name."""
        steps = past.on_the_wall(horizon)
        if steps is None:
            return self.forecast(past, horizon)
        further = self.forecast(past, max(horizon, int(steps.max()) + 1))
        found = np.asarray(np.take_along_axis(further, steps[..., None], axis=1))
        lost, earlier, taken = past.of_lost_hours(steps)
        some = np.flatnonzero(lost.any(axis=1))
        if len(some):
            lost, taken = lost[some, :, None], taken[some, :, None]
            with suppress(DataError):  # too short a past without its last hours
                further = self.forecast(earlier.select(some), int(taken[lost].max()) + 1)
                again = np.take_along_axis(further, np.where(lost, taken, 0), axis=1)
                found[some] = np.where(lost, again, found[some])
        return found

    @property
    def learns_distribution(self) -> bool:
        """Whether it learns to forecast distributions: by a likelihood, by quantiles or by calibration.

        Leaderboards score those by default, and audits compare them. All other forecasters answer as well, from
        the variances of their models or the errors of their points; these are scored on request alone.
        """
        return False

    def distribution(self, past: Context, horizon: int) -> Distribution:
        """Return the distributions of H steps after each of n cutoffs.

        Unless a forecaster has its own: the point forecast, and around it the errors of each step at cutoffs that it
        did not learn from, in units of the seasonal naive error of the series. No quantile is negative where no fitted
        number is. Evaluation calls this.
        """
        if self._residuals is None or self._residuals.errors.shape[1] < min(horizon, self.horizon_):
            self._residuals = self.measured()
        scale = scales(past, self.panel_.season_length)[:, None]
        return self._residuals.around(self.forecast(past, horizon), scale, lowest_of(self.panel_))

    def measured(self) -> Residuals:
        """Return the errors at cutoffs that were not learned from."""
        model, seen = self._held_out()
        return Residuals.of(model.forecast, self.panel_, seen, self.horizon_, self._most_cutoffs)

    def distribution_on_the_wall(self, past: Context, horizon: int) -> Distribution:
        """Return distributions as `distribution` does, of the steps whose forecast `forecast_on_the_wall` takes."""
        steps = past.on_the_wall(horizon)
        if steps is None:
            return self.distribution(past, horizon)
        found = self.distribution(past, max(horizon, int(steps.max()) + 1)).steps(steps)
        lost, earlier, taken = past.of_lost_hours(steps)
        some = np.flatnonzero(lost.any(axis=1))
        if len(some):
            lost, taken = lost[some], np.where(lost, taken, 0)[some]
            with suppress(DataError):  # too short a past without its last hours
                again = self.distribution(earlier.select(some), int(taken.max()) + 1).grid().steps(taken)
                values = found.grid().values.copy()
                values[some] = np.where(lost[..., None, None], again.values, values[some])
                return Grid(values)
        return found

    def numbers(
        self, past: Context, horizon: int, levels: Mapping[str, float]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return points of H steps after each cutoff, (n, H, K), and quantiles at the sorted levels, (n, H, K, Q)."""
        if not levels:
            points = self.forecast_on_the_wall(past, horizon)
            return points, np.zeros((*points.shape, 0))
        distribution = self.distribution_on_the_wall(past, horizon)
        own = distribution.points  # of a network, in the same pass
        points = self.forecast_on_the_wall(past, horizon) if own is None else own
        return points, distribution.quantiles(sorted(levels.values()))

    def predict_distribution(
        self, context: Any = None, *, future: Any = None, horizon: int | None = None
    ) -> ForecastDistribution:
        """Forecast the distributions of the steps that follow each series.

        Parameters
        ----------
        context, future, horizon
            As in `predict`.

        Returns
        -------
        ForecastDistribution
            Quantiles, probabilities, means and scores of N series, H steps and K targets, with their names and times.

        Raises
        ------
        NotFittedError, ParameterError, DataError
            As in `predict`.

        Examples
        --------
        >>> from tsforecast.forecasters.naive import SeasonalNaiveForecaster
        >>> series = np.tile([1.0, 5.0, 3.0], 20) + np.random.default_rng(0).normal(size=60)
        >>> found = SeasonalNaiveForecaster(horizon=3, season_length=3).fit(series).predict_distribution()
        >>> found.shape, found.quantiles([0.1, 0.5, 0.9]).shape
        ((1, 3, 1), (1, 3, 1, 3))
        """
        self._refuse_windows("predict_distribution")
        panel, past, steps = self.continued(context, future, horizon, None)
        points = self.forecast_on_the_wall(past, steps)
        return ForecastDistribution(panel, points, self.distribution_on_the_wall(past, steps))

    def sample(
        self,
        paths: int = 200,
        random_state: int | None = None,
        context: Any = None,
        *,
        future: Any = None,
        horizon: int | None = None,
    ) -> Any:
        """Draw paths: possible futures of all series and steps at once.

        The numbers of a path depend on each other as they did in the past, by the empirical copula: each path is a past
        cutoff that the model did not learn from, and each of its numbers has the rank among all cutoffs that came
        there, in the distribution of today (`distributions.paths`). Sums over steps and series therefore have
        the intervals of sums. Cutoffs that overlap repeat each other: of long horizons there are few independent ones.

        Parameters
        ----------
        paths : int
        random_state : int, optional
            Seed; drawn at random unless given.
        context, future, horizon
            As in `predict`.

        Returns
        -------
        frame, array or list of arrays
            A long frame with a column ``path``, from 0; arrays have a first axis more. A Series becomes a frame.

        Raises
        ------
        NotFittedError, ParameterError
        DataError
            As in `predict`, or when too few past cutoffs have a whole horizon behind them.

        Examples
        --------
        >>> from tsforecast.forecasters.naive import NaiveForecaster
        >>> walk = np.cumsum(np.random.default_rng(0).normal(size=200))
        >>> drawn = NaiveForecaster(horizon=5).fit(walk).sample(100, random_state=0)
        >>> drawn.shape, bool(drawn[:, -1].std() > drawn[:, 0].std())
        ((100, 5), True)
        """
        self._refuse_windows("sample")
        raise_any(whole("paths", paths, 1) + whole("random_state", random_state, 0, [None]), ParameterError)
        panel, past, steps = self.continued(context, future, horizon, None)
        return with_paths(panel, self.paths(past, steps, paths, np.random.default_rng(random_state)))

    def paths(self, past: Context, horizon: int, paths: int, random: np.random.Generator) -> NDArray[np.float64]:
        """Draw paths of the H steps after each of n cutoffs, (P, n, H, K); see `sample`."""
        return self.paths_of(self.distribution_on_the_wall(past, horizon), past, paths, random)

    def paths_of(
        self, found: Distribution, past: Context, paths: int, random: np.random.Generator
    ) -> NDArray[np.float64]:
        """Draw paths of distributions (n, H, K) after n cutoffs, with the ranks of the past, (P, n, H, K)."""
        horizon = found.shape[1]
        if self._surprises is None or self._surprises.shape[2] != horizon:
            model, seen = self._held_out(RANKED)
            self._surprises = surprises(model, self.panel_, seen, horizon)
        known = {name: at for at, name in enumerate(self.panel_.ids.tolist())}
        positions = np.array([known.get(name, -1) for name in past.ids.tolist()])
        return coherent(found, self._surprises, positions, paths, random)

    def _refuse_windows(self, method: str) -> None:
        """Raise ParameterError where supervised windows were fitted."""
        self.check_fitted()
        if isinstance(self.panel_, SupervisedPanel):
            raise ParameterError(f"{method} belongs to series: fit series, or ask predict for quantiles of windows")
