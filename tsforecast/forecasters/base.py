"""The one contract of all forecasters: fit on series, predict the steps that follow."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from functools import cache, partial
from typing import Any, Self

import numpy as np
import sklearn.exceptions
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from tsforecast.checks import whole
from tsforecast.data.future import extend
from tsforecast.data.panel import Panel
from tsforecast.data.past import Past
from tsforecast.errors import DataWarning, ParameterError, TsForecastError, nearest, raise_any


class NotFittedError(TsForecastError, sklearn.exceptions.NotFittedError):  # type: ignore[misc]
    """A forecaster was asked for a forecast before it was fitted."""


def require_forecaster(value: object, example: str = "GRUForecaster()") -> None:
    """Raise ParameterError unless `value` is a forecaster, and say what to do with a class or several of them."""
    if isinstance(value, Forecaster):
        return
    got = type(value).__name__
    if isinstance(value, type):
        got = f"the class {value.__name__}; write {value.__name__}()"
    elif isinstance(value, (list, tuple, dict)):
        got += "; give one (leaderboard compares several)"
    raise ParameterError(f"a forecaster is needed, such as {example}: got {got}")


def unknown_settings(forecaster: Forecaster, settings: Iterable[str]) -> list[str]:
    """Return a sentence for each name that is no parameter of a forecaster."""
    known = forecaster._get_param_names()
    return [
        f"{type(forecaster).__name__} has no setting {name!r}; {nearest(name, known)}"
        for name in settings
        if name.partition("__")[0] not in known
    ]


class Forecaster(BaseEstimator):  # type: ignore[misc]
    """Base of all forecasters.

    A forecaster stores its parameters when it is made, learns in `fit`, and answers in `predict`.
    Subclasses say how in `_fit` and `forecast`, and what is wrong with their parameters in
    `_problems`.

    Attributes
    ----------
    panel_ : Panel
        The data that were fitted; `predict` without a context goes on from its end.
    """

    horizon: int
    panel_: Panel
    members_: list[Forecaster] = []  # noqa: RUF012 - fitted forecasters that this one is made of; none, mostly

    def fit(self, data: Any, y: None = None) -> Self:
        """Learn from one or many series.

        Parameters
        ----------
        data : frame, Series, array, list of arrays or Panel
            See `Panel.of`; name columns and roles with `Panel.from_frame`.
        y : None
            Ignored; scikit-learn passes it.

        Returns
        -------
        self

        Raises
        ------
        ParameterError
            When parameters cannot work; all of them are listed.
        DataError
            When the data cannot be used; every problem is listed.
        """
        panel = self._checked(data)
        self._fit(panel)
        self.panel_ = panel
        return self

    def predict(self, context: Any = None, *, future: Any = None, horizon: int | None = None) -> Any:
        """Forecast the steps that follow each series.

        Parameters
        ----------
        context : like the data that were fitted, optional
            Series to go on from; the fitted ones unless given.
        future : frame, optional
            Where the data have future columns: those of the steps to forecast, with time and id. A forecaster that
            reads none of them does without.
        horizon : int, optional
            Steps to forecast; the forecaster's own horizon unless given. Beyond it a network goes
            on from its own forecasts.

        Returns
        -------
        frame, Series, array, list of arrays
            In the form of the data, H steps for each series.

        Raises
        ------
        NotFittedError, ParameterError
        DataError
            When the context or `future` cannot be used, or a target has no number to go on from.
        """
        self.check_fitted()
        if horizon is not None:
            raise_any(whole("horizon", horizon, 1), ParameterError)
        steps = horizon or self.steps
        panel = self.panel_ if context is None else self.panel_.read_like(context)
        # Only who asks for what is known ahead needs it; what is given is read at once, and refused if it is wrong.
        later = cache(partial(extend, panel, steps, future))
        if future is not None:
            later()
        past = Past.at_end(panel, later)
        raise_any(past.problems())
        for caution in self._cautions(past):
            warnings.warn(caution, DataWarning, stacklevel=2)
        return panel.answer(self.forecast(past, steps))

    def set_params(self, **settings: Any) -> Self:
        """Change parameters; see scikit-learn's `BaseEstimator.set_params`.

        Raises
        ------
        ParameterError
            With the nearest name where there is no such parameter.
        """
        raise_any(unknown_settings(self, settings), ParameterError)
        super().set_params(**settings)
        return self

    @property
    def steps(self) -> int:
        """Steps that are forecast unless `predict` is asked for others."""
        return self.horizon

    def check_fitted(self) -> None:
        """Raise NotFittedError unless `fit` was called."""
        if not hasattr(self, "panel_"):
            raise NotFittedError(f"this {type(self).__name__} must be fitted first: call fit(data)")

    def forecast(self, past: Past, horizon: int) -> NDArray[np.float64]:
        """Forecast `horizon` steps after each of n cutoffs.

        This is the door that evaluation uses: many cutoffs at once, and nothing but the past.

        Returns
        -------
        array of shape (n, H, K)
        """
        raise NotImplementedError(f"{type(self).__name__} must say how it forecasts")

    def learned(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return what `fit` found besides panel and members: plain values for JSON, and arrays, both by name."""
        kept = ("panel_", "members_")
        plain = {name: value for name, value in vars(self).items() if name.endswith("_") and name not in kept}
        return plain, {}

    def restore(self, learned: dict[str, Any], numbers: dict[str, NDArray[Any]]) -> None:
        """Take back what `learned` returned."""
        self.__dict__.update(learned)

    def _checked(self, data: Any) -> Panel:
        """Read `data`, once the parameters are found to make sense."""
        raise_any(self._problems(), ParameterError)
        panel = Panel.of(data)
        past = Past.at_end(panel)
        if not past.begun.any():  # a series that has not begun yet is fine beside others
            raise_any(past.problems())
        return panel

    def _fit(self, panel: Panel) -> None:
        """Learn from `panel`; its last rows are the cutoff."""

    def _cautions(self, past: Past) -> list[str]:
        """Return what a user should know about a forecast from `past`."""
        return []

    def _problems(self) -> list[str]:
        """Return what is wrong with the parameters."""
        return whole("horizon", self.horizon, 1)
