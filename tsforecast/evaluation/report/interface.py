"""Plots and pages that boards and comparisons of classifiers gain: one line each, on axes of matplotlib."""

from __future__ import annotations

from functools import partial
from typing import Any

from tsforecast.reporting.notebook import Framed
from tsforecast.reporting.plots import axes_of
from tsforecast.reporting.terminal import printed


class BoardPlots(Framed):
    """Base of leaderboards."""

    def __repr__(self: Any) -> str:  # at a prompt, the same as print
        from tsforecast.evaluation.report.terminal import show_leaderboard

        return printed(partial(show_leaderboard, self, None))

    def plot(self: Any, ax: Any = None) -> Any:
        """Draw the skill of each model with its interval, next to the reference at zero.

        A filled dot is better than the reference; a hollow one is worse or inconclusive.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            New ones unless given.

        Returns
        -------
        matplotlib.axes.Axes

        Examples
        --------
        >>> import numpy as np
        >>> from tsforecast import leaderboard
        >>> axes = leaderboard(["mean"], np.arange(20.0), horizon=2, origins=3).plot()
        >>> axes.get_xlabel()
        'skill: share of MASE removed'
        """
        from tsforecast.evaluation.report.figures import View, skill

        view = View(self)
        axes = axes_of(ax, (7.2, 0.8 + 0.3 * len(view.ranked)))
        skill(view, axes)
        return axes

    def plot_forecasts(self: Any, series: Any = None, target: Any = None, ax: Any = None) -> Any:
        """Draw actual values and forecasts of one series around its newest cutoffs.

        The reference and the best three models have a line each; the intervals of the best one are shaded where rows
        have distributions.

        Parameters
        ----------
        series, target : optional
            The first ones unless given.
        ax : matplotlib.axes.Axes, optional
            New ones unless given.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        DataError
            When there is no such series or target.

        Examples
        --------
        >>> import numpy as np
        >>> from tsforecast import leaderboard
        >>> axes = leaderboard(["mean"], np.arange(20.0), horizon=2, origins=3).plot_forecasts()
        >>> [line.get_label() for line in axes.lines[:2]]
        ['actual', 'drift (reference)']
        """
        from tsforecast.evaluation.report.figures import newest_forecasts

        return newest_forecasts(self, axes_of(ax, (10, 4.8)), series, target)

    def _repr_html_(self: Any) -> str:
        from tsforecast.evaluation.report.forecasts import html_table

        return html_table(self)


class ComparisonPlots(Framed):
    """Base of comparisons of classifiers."""

    def __repr__(self: Any) -> str:
        from tsforecast.evaluation.report.terminal import show_classification

        return printed(partial(show_classification, self, None))

    def plot_confusion(self: Any, model: str | None = None, ax: Any = None) -> Any:
        """Draw the confusion matrix of a model: true classes in rows, predicted ones in columns, percent of a row.

        Parameters
        ----------
        model : str, optional
            The best one unless given.
        ax : matplotlib.axes.Axes, optional
            New ones unless given.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        ParameterError

        Examples
        --------
        >>> import numpy as np
        >>> from tsforecast import NearestNeighborClassifier, compare_classifiers
        >>> waves = [np.sin(np.arange(12) * (1 + i % 2) + i / 9) for i in range(8)]
        >>> found = compare_classifiers([NearestNeighborClassifier()], waves, ["slow", "fast"] * 4, protocol="random")
        >>> found.plot_confusion().get_xlabel()
        'predicted class'
        """
        from tsforecast.evaluation.report.classification import confusion_figure, drawn_models

        table = self.confusion(model or drawn_models(self)[0])
        size = 1.5 + 0.55 * max(len(table), 4)
        axes = axes_of(ax, (size, size))
        confusion_figure(table, axes)
        return axes

    def _repr_html_(self: Any) -> str:
        from tsforecast.evaluation.report.classification import metric_table
        from tsforecast.evaluation.verdict import findings
        from tsforecast.reporting.notebook import facts_html

        facts = [("data", f"{self.summary_line}.")]
        facts += [(badge, f"{sentence}.") for badge, sentence in findings(self.verdicts.values())]
        return facts_html(f"{self.headline}.", facts, metric_table(self))
