"""Plots of forecasters: the end of a series with the forecast after it and its intervals, and losses by epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tsforecast.data.samples import SupervisedPanel
from tsforecast.distributions.predictions import asked_levels
from tsforecast.errors import ParameterError, Problem
from tsforecast.reporting.plots import axes_of, column_of, named, places, time_axis, times_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PAST = 3  # horizons of the past next to a forecast
LEAST = 36  # steps of it, where there are as many


class ForecastPlots:
    """Base of forecasters: plots of their forecasts and of their training."""

    def plot(
        self: Any,
        context: Any = None,
        *,
        future: Any = None,
        horizon: int | None = None,
        interval: float | Sequence[float] | None = 0.8,
        series: Any = None,
        target: Any = None,
        past: int | None = None,
        unit: str = "",
        ax: Any = None,
    ) -> Any:
        """Draw the end of a series, the forecast after it, and its intervals.

        Parameters
        ----------
        context, future, horizon
            As in `predict`: forecasts follow the fitted series unless a context is given.
        interval : float, list of float or None
            Shares of outcomes, between 0 and 1, that central intervals are to hold; None draws none.
        series, target : optional
            Names of a series and of a target; the first ones unless given.
        past : int, optional
            Number of steps before the forecast; three horizons, and 36 steps at least, unless given.
        unit : str, optional
            Of the numbers, for the label of the axis.
        ax : matplotlib.axes.Axes, optional
            New ones unless given.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        NotFittedError, ParameterError, DataError

        Examples
        --------
        >>> from tsforecast import SeasonalNaiveForecaster
        >>> model = SeasonalNaiveForecaster(horizon=7, season_length=7).fit(np.arange(60.0) % 7)
        >>> [line.get_label() for line in model.plot(interval=None).lines]
        ['actual', 'forecast']
        """
        from tsforecast.reporting.figures import COLOURS, INK, brief, fan, in_style

        self.check_fitted()
        if isinstance(self.panel_, SupervisedPanel):
            got, remedy = "this one was fitted on windows X and y", "fit it on a frame or a series, and plot that"
            raise ParameterError(Problem("plot must be of a forecaster of series", got, remedy))
        panel, before, steps = self.continued(context, future, horizon, "forecast")
        (i,) = places(panel, series)[:1]
        column = column_of(panel, target, panel.roles.target)
        own = before.select(np.array([i]))
        points = self.forecast(own, steps)[0, :, column]
        levels = asked_levels((), interval)
        bands = self.distribution(own, steps).quantiles([*levels.values()])[0, :, column] if levels else np.empty(0)
        length = int(panel.lengths[i])
        rows = np.arange(max(0, length - (past or max(PAST * steps, LEAST))), length)
        old, new = times_of(panel, i, rows), times_of(panel, i, np.arange(length, length + steps))
        seen = np.asarray(panel.series(i)[rows, column], dtype=np.float64)
        axes = axes_of(ax)
        with in_style():
            axes.plot(old, seen, color=INK, lw=1.2, label="actual")
            marker = "o" if steps < 4 else None  # a line of few points is hardly one
            axes.plot(new, points, color=COLOURS[0], lw=1.6, marker=marker, ms=3, label="forecast")
            fan(axes, new, [(bands[:, at], bands[:, at + 1]) for at in range(0, len(levels), 2)], COLOURS[0])
            if levels:
                shares = [name.removeprefix("lo") for name in list(levels)[::2]]
                axes.collections[-1].set_label(f"{', '.join(shares)}% interval{'s' * (len(shares) > 1)}")
            time_axis(axes, np.concatenate([old, new]))
            axes.set_ylabel(named(panel.roles.varying[column], unit))
            if len(panel) > 1:
                axes.set_title(brief(panel.ids[i]), loc="left")
            axes.legend(frameon=False, ncols=3, loc="lower right", bbox_to_anchor=(1, 1))
        return axes

    def plot_history(self: Any, ax: Any = None) -> Any:
        """Draw the loss by epoch of training and validation, with the epoch that was kept as a dot.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            New ones unless given.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        NotFittedError
        ParameterError
            When the model has no epochs.

        Examples
        --------
        >>> from tsforecast import GRUForecaster
        >>> model = GRUForecaster(units=4, max_epochs=2, horizon=2, random_state=0).fit(np.sin(np.arange(60.0)))
        >>> model.plot_history().get_xlabel()
        'epoch (0 is untrained)'
        """
        self.check_fitted()
        histories = [each.history_ for each in [self, *self.members_] if getattr(each, "history_", None)]
        if not histories:
            must = Problem("plot_history must be of a model that is trained by epochs", f"{type(self).__name__} is not")
            raise ParameterError(must)
        return draw_history(histories, axes_of(ax))


def draw_history(histories: Sequence[Sequence[Any]], axes: Axes) -> Axes:
    """Draw the losses of some fits by epoch."""
    from matplotlib.ticker import MaxNLocator

    from tsforecast.reporting.figures import COLOURS, QUIET, in_style

    with in_style():
        for fit, history in enumerate(histories):
            number = [epoch.number for epoch in history]
            train, valid = (
                np.array([getattr(epoch, name) for epoch in history], dtype=np.float64)
                for name in ("train_loss", "valid_loss")
            )
            label = (lambda word: word) if not fit else (lambda word: "_")
            axes.plot(number, train, color=QUIET, lw=1, ls=":", label=label("training"))
            if np.isfinite(valid).any():
                axes.plot(number, valid, color=COLOURS[0], lw=1.4, label=label("validation"))
                kept = int(np.nanargmin(valid))
                axes.plot(number[kept], valid[kept], "o", ms=5, color=COLOURS[0], label=label("kept"))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(xlabel="epoch (0 is untrained)", ylabel="loss")
        axes.grid(axis="y")
        axes.legend(frameon=False)
    return axes
