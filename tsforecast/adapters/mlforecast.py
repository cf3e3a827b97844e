"""Models of MLForecast by Nixtla as forecasters, fitted once to all series."""

from __future__ import annotations

import dataclasses
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.adapters import regressors
from tsforecast.adapters.base import Question
from tsforecast.adapters.libraries import LibraryForecaster, frequency_of
from tsforecast.data.panel import Panel
from tsforecast.errors import ParameterError, shorten
from tsforecast.estimators.base import keyword_settings
from tsforecast.forecasters.base import Forecaster


@keyword_settings
class MlforecastForecaster(LibraryForecaster):
    """Forecasts of an ``MLForecast`` with one model."""

    model_: Any = dataclasses.field(init=False)

    reads = ("future", "static")
    each_cutoff = False

    @property
    def label(self) -> str:
        """See `ForeignForecaster.label`."""
        return str(next(iter(self.model.models)))

    def settings_for(self, panel: Panel) -> dict[str, Any]:
        """See `LibraryForecaster.settings_for`."""
        lags = range(1, max(panel.season_length, self.horizon) + 1)
        return {"freq": frequency_of(panel), "lags": list(lags)}

    def train(self, panel: Panel) -> None:
        """Fit the model to all series; see `ForeignForecaster.train`."""
        super().train(panel)
        rows, _ = self.joined(self.training(panel))
        with self.explained(f"{len(panel):,} series"):
            self.model_ = self.made(panel).fit(rows, static_features=list(panel.roles.static))

    def answer(self, question: Question) -> NDArray[np.float64]:
        """See `ForeignForecaster.answer`."""
        return np.concatenate([self._alone(each) for each in self.one_by_one(question)])

    def _alone(self, question: Question) -> NDArray[np.float64]:
        """Return the forecasts of one series, (1, H, K)."""
        rows, ahead = self.joined(question)
        known = ahead if question.panel.roles.future else None
        with self.explained(f"{len(question.panel):,} series"):
            found = self.model_.predict(question.horizon, new_df=rows, X_df=known)
        return self.in_order(found, question)


def adapt(model: Any) -> Forecaster | None:
    """Return a forecaster around an ``MLForecast``; None of other objects.

    Raises
    ------
    ParameterError
        When it has several models.
    """
    if type(model).__name__ != "MLForecast":
        return None
    if len(model.models) > 1:
        raise ParameterError(
            f"MLForecast must have one model on a board, where each is a line of its own: got {shorten(model.models)}"
        )
    return MlforecastForecaster(model)


def make(name: str, random_state: int | None = None) -> Forecaster:
    """Return a forecaster with a regressor of scikit-learn by name, whose lags are those of a season, or a horizon.

    Raises
    ------
    UnknownNameError, ParameterError
    """
    regressor = {name: regressors.make(name, random_state)}
    return MlforecastForecaster(
        import_module("mlforecast").MLForecast(regressor, freq=1, lags=[1]), by_name={"models": regressor}
    )
