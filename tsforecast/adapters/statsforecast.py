"""Models of StatsForecast by Nixtla as forecasters, each fitted to one series at a time."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.adapters.base import Question
from tsforecast.adapters.libraries import (
    INTERVALS,
    LibraryForecaster,
    Single,
    interval_quantiles,
    made_by_name,
    refuse_several,
)
from tsforecast.estimators.base import keyword_settings
from tsforecast.forecasters.base import Forecaster


@keyword_settings
class StatsforecastForecaster(LibraryForecaster):
    """Forecasts of a model of ``statsforecast.models``: its ``forecast`` of each series up to the cutoff."""

    season_parameter = "season_length"

    @property
    def reads(self) -> tuple[str, ...]:
        """See `LibraryForecaster.reads`."""
        return ("future",) if self.model.uses_exog else ()

    @property
    def learns_distribution(self) -> bool:
        """Whether the model has intervals; see `Forecaster.learns_distribution`."""
        own = not getattr(self.model, "only_conformal_intervals", False)
        return own or getattr(self.model, "prediction_intervals", None) is not None

    def answer(self, question: Question) -> NDArray[np.float64]:
        """See `ForeignForecaster.answer`."""
        return self.each(question, lambda single: self._asked(question, single)["mean"])

    def answer_quantiles(self, question: Question) -> tuple[list[float], NDArray[np.float64]]:
        """See `ForeignForecaster.answer_quantiles`."""
        levels = sorted(0.5 + sign * share / 200 for share in INTERVALS for sign in (-1, 1))
        asked = partial(self._asked, question, level=list(INTERVALS))
        return levels, self.each(question, lambda one: interval_quantiles(asked(one), "lo-{}", "hi-{}")[1])

    def _asked(self, question: Question, single: Single, level: list[int] | None = None) -> Any:
        """Return what the model forecasts of one series, by name."""
        X, future = (None if each is None else each.to_numpy() for each in (single.covariates, single.future))
        return self.made(question.panel).forecast(single.y, question.horizon, X=X, X_future=future, level=level)


def adapt(model: Any) -> Forecaster | None:
    """Return a forecaster around a model of StatsForecast; None of other objects.

    Raises
    ------
    ParameterError
        When it is a `StatsForecast`, which holds several models.
    """
    refuse_several(model, "StatsForecast", "AutoETS(season_length=7)")
    return StatsforecastForecaster(model) if hasattr(model, "uses_exog") and hasattr(model, "forecast") else None


def make(name: str, random_state: int | None = None) -> Forecaster:
    """Return a forecaster by the name of a class of ``statsforecast.models``, with the season of the data.

    Raises
    ------
    UnknownNameError, ParameterError
    """
    module = import_module("statsforecast.models")
    classes = {each: getattr(module, each) for each in module.__all__}
    settings = {"random_state": random_state}
    return StatsforecastForecaster(
        made_by_name("statsforecast", name, classes, season_length=1, **settings), by_name=settings
    )
