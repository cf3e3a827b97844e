"""Forecasters of skforecast as forecasters of tsforecast, each fitted to one series at a time."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsforecast.adapters import regressors
from tsforecast.adapters.base import Question
from tsforecast.adapters.libraries import ASKED_LEVELS, LibraryForecaster, Single, time_index
from tsforecast.data.panel import Panel
from tsforecast.errors import ParameterError
from tsforecast.estimators.base import keyword_settings
from tsforecast.forecasters.base import Forecaster

_ALONE = ("ForecasterRecursive", "ForecasterDirect", "ForecasterStats", "ForecasterEquivalentDate")
_BOOTSTRAPPED = ("ForecasterRecursive", "ForecasterDirect")


@keyword_settings
class SkforecastForecaster(LibraryForecaster):
    """Forecasts of a forecaster of skforecast."""

    @property
    def reads(self) -> tuple[str, ...]:
        """See `LibraryForecaster.reads`."""
        return () if self.label == "ForecasterEquivalentDate" else ("future",)

    @property
    def learns_distribution(self) -> bool:
        """Whether the model has quantiles, of its errors in training; see `Forecaster.learns_distribution`."""
        return self.label in _BOOTSTRAPPED

    def settings_for(self, panel: Panel) -> dict[str, Any]:
        """See `LibraryForecaster.settings_for`."""
        return {"lags": max(panel.season_length, self.horizon)}

    def answer(self, question: Question) -> NDArray[np.float64]:
        """See `ForeignForecaster.answer`."""
        return self.each(question, lambda one: self._alone(question, one))

    def answer_quantiles(self, question: Question) -> tuple[tuple[float, ...], NDArray[np.float64]]:
        """See `ForeignForecaster.answer_quantiles`."""
        return ASKED_LEVELS, self.each(question, lambda one: self._alone(question, one, ASKED_LEVELS))

    def _alone(self, question: Question, one: Single, levels: tuple[float, ...] = ()) -> NDArray[np.float64]:
        """Return the forecasts of one series, (H,), or quantiles at levels, (H, levels)."""
        (exog, future), model = _covariates(one), self.made(question.panel)
        residuals = {"store_in_sample_residuals": True} if levels else {}
        model.fit(pd.Series(one.y, time_index(one.times), name="y"), exog=exog, suppress_warnings=True, **residuals)
        asked = {"steps": question.horizon, "exog": future, "suppress_warnings": True}
        found = model.predict_quantiles(quantiles=list(levels), **asked) if levels else model.predict(**asked)
        return np.asarray(found, dtype=np.float64)


def _covariates(one: Single) -> tuple[Any, Any]:
    """Return the covariates of the past, and of the steps to forecast, with their times; None where there are none."""
    if one.covariates is None or one.future is None:
        return None, None
    both = time_index(np.concatenate([one.times, one.ahead]))
    return one.covariates.set_axis(both[: len(one.times)]), one.future.set_axis(both[len(one.times) :])


def adapt(model: Any) -> Forecaster | None:
    """Return a forecaster around one of skforecast; None of its other objects.

    Raises
    ------
    ParameterError
        When it forecasts classes, or learns from several series.
    """
    name = type(model).__name__
    if name in _ALONE:
        return SkforecastForecaster(model)
    if name.startswith("Forecaster"):
        raise ParameterError(
            f"a forecaster of skforecast must be one of {', '.join(_ALONE)}, of one series each: got {name}"
        )
    return None


def make(name: str, random_state: int | None = None) -> Forecaster:
    """Return a ``ForecasterRecursive`` with a regressor of scikit-learn by name, whose lags are those of a season.

    Raises
    ------
    UnknownNameError, ParameterError
    """
    regressor = regressors.make(name, random_state)
    recursive = import_module("skforecast.recursive").ForecasterRecursive(estimator=regressor, lags=1)
    return SkforecastForecaster(recursive, by_name={"estimator": regressor})
