"""Forecasters of sktime as forecasters of tsforecast: each fitted to one series at a time."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsforecast.adapters.base import Question
from tsforecast.adapters.libraries import ASKED_LEVELS, LibraryForecaster, Single, made_by_name, time_index
from tsforecast.estimators.base import keyword_settings
from tsforecast.forecasters.base import Forecaster


@keyword_settings
class SktimeForecaster(LibraryForecaster):
    """Forecasts of a forecaster of sktime, which is fitted to each series up to the cutoff."""

    season_parameter = "sp"

    @property
    def reads(self) -> tuple[str, ...]:
        """See `LibraryForecaster.reads`."""
        return ("future",) if self.model.get_tag("capability:exogenous") else ()

    @property
    def learns_distribution(self) -> bool:
        """Whether the model has intervals; see `Forecaster.learns_distribution`."""
        return bool(self.model.get_tag("capability:pred_int"))

    def answer(self, question: Question) -> NDArray[np.float64]:
        """See `ForeignForecaster.answer`."""
        return self._asked(question, "predict")

    def answer_quantiles(self, question: Question) -> tuple[tuple[float, ...], NDArray[np.float64]]:
        """See `ForeignForecaster.answer_quantiles`."""
        return ASKED_LEVELS, self._asked(question, "predict_quantiles", alpha=list(ASKED_LEVELS))

    def _asked(self, question: Question, method: str, **settings: Any) -> NDArray[np.float64]:
        """Return what a method of fitted copies predicts, (n, H, K), with levels behind it where it has them."""

        def fitted(y: Any, X: Any, future: Any) -> NDArray[np.float64]:
            model = self.made(question.panel).fit(y, X=X, fh=np.arange(1, question.horizon + 1))
            return np.asarray(getattr(model, method)(X=future, **settings), dtype=np.float64)

        def alone(one: Single) -> NDArray[np.float64]:
            index = time_index(one.times)
            ahead = time_index(one.ahead)
            if in_periods(index):  # of weeks, months and longer, sktime can compute with periods alone
                index = index.to_period()
                ahead = ahead.to_period(index.freq)
            X, future = (one.covariates, one.future) if one.future is not None else (None, None)
            X, future = (None if X is None else X.set_axis(index), None if future is None else future.set_axis(ahead))
            found = fitted(pd.Series(one.y, index=index, name="y"), X, future)
            return found if settings else found.reshape(question.horizon)

        return self.each(question, alone)


def in_periods(index: pd.Index) -> bool:
    """Return whether the steps of an index are weeks, months, quarters or years that pandas has periods of."""
    if not isinstance(index, pd.DatetimeIndex) or index.freq is None or index.freq.rule_code[0] not in "WMQY":
        return False
    return not (index.freq.n > 1 and index.freq.rule_code.partition("-")[0].endswith("S"))


def adapt(model: Any) -> Forecaster | None:
    """Return a forecaster around one of sktime; None of its other objects."""
    is_forecaster = hasattr(model, "get_tag") and model.get_tag("object_type", None, raise_error=False) == "forecaster"
    return SktimeForecaster(model) if is_forecaster else None


def make(name: str, random_state: int | None = None) -> Forecaster:
    """Return a forecaster by the name of a class of sktime, with the season of the data.

    Raises
    ------
    UnknownNameError, ParameterError
    """
    found = dict(import_module("sktime.registry").all_estimators("forecaster", suppress_import_stdout=True))
    settings = {"random_state": random_state}
    return SktimeForecaster(made_by_name("sktime", name, found, sp=1, **settings), by_name=settings)
