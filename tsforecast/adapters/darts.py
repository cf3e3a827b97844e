"""Models of Darts as forecasters: local ones are fitted at each cutoff, global ones once, to all series."""

from __future__ import annotations

import dataclasses
from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsforecast.adapters.base import Question
from tsforecast.adapters.libraries import ASKED_LEVELS, LibraryForecaster, Single, made_by_name, taken_by, time_index
from tsforecast.data.panel import Panel
from tsforecast.errors import ParameterError
from tsforecast.estimators.base import keyword_settings
from tsforecast.forecasters.base import Forecaster

_SAMPLES = 500  # that quantiles are taken of
_QUIET = {"logger": False, "enable_progress_bar": False, "enable_checkpointing": False, "enable_model_summary": False}


@keyword_settings
class DartsForecaster(LibraryForecaster):
    """Forecasts of a model of Darts, where it is probabilistic and global the medians of its samples."""

    model_: Any = dataclasses.field(init=False)

    @property
    def each_cutoff(self) -> bool:  # type: ignore[override]
        """See `LibraryForecaster.each_cutoff`."""
        return not isinstance(self.model, _module("forecasting_model").GlobalForecastingModel)

    @property
    def reads(self) -> tuple[str, ...]:
        """See `LibraryForecaster.reads`."""
        return tuple(each for each in ("past", "future") if getattr(self.model, f"supports_{each}_covariates"))

    @property
    def learns_distribution(self) -> bool:
        """Whether the model has samples; see `Forecaster.learns_distribution`.

        Networks that are not trained yet call themselves probabilistic, and have samples with a likelihood alone.
        """
        if self.each_cutoff:
            return bool(self.model.supports_probabilistic_prediction)
        return self.model.likelihood is not None

    def settings_for(self, panel: Panel) -> dict[str, Any]:
        """See `LibraryForecaster.settings_for`."""
        season, horizon = panel.season_length, self.horizon
        width = max(season, 2 * horizon)
        windows = {"lags": width, "input_chunk_length": width, "output_chunk_length": horizon, "K": season}
        names = ("season_length", "seasonal_periods", "seasonality_period") if season > 1 else ()
        return windows | dict.fromkeys(names, season)

    def made(self, panel: Panel) -> Any:
        """See `LibraryForecaster.made`; networks by name are seeded, and silent."""
        cls = type(self.model)
        if self.by_name is None or not hasattr(cls, "load_weights"):
            return super().made(panel)
        settings = taken_by(cls, self.settings_for(panel)) | self.by_name  # the seed is no parameter of every class
        return cls(**settings, pl_trainer_kwargs=_QUIET)

    def train(self, panel: Panel) -> None:
        """Fit a global model to all series; see `ForeignForecaster.train`."""
        super().train(panel)
        if self.each_cutoff:
            return
        model, steps = self.made(panel), self.horizon_
        at_once = getattr(model, "output_chunk_length", None) or steps
        if "past" in self.reads and panel.roles.past and at_once < steps:
            raise ParameterError(
                f"{self.label} reads past covariates, which end at the cutoff, and forecasts {at_once} of {steps} "
                f"steps at once: make it with output_chunk_length={steps}, or leave them out"
            )
        given = _given(list(self.singles(self.training(panel))))
        with self.explained(f"{len(panel):,} series"):
            self.model_ = model.fit(**given)

    def answer(self, question: Question) -> NDArray[np.float64]:
        """See `ForeignForecaster.answer`."""
        if self.learns_distribution and not self.each_cutoff:
            return np.asarray(np.median(self._samples(question, _SAMPLES), axis=-1))
        return self._samples(question, 1)[..., 0]

    def answer_quantiles(self, question: Question) -> tuple[tuple[float, ...], NDArray[np.float64]]:
        """See `ForeignForecaster.answer_quantiles`."""
        quantiles = np.quantile(self._samples(question, _SAMPLES), ASKED_LEVELS, axis=-1)
        return ASKED_LEVELS, np.moveaxis(quantiles, 0, -1)

    def _samples(self, question: Question, count: int) -> NDArray[np.float64]:
        """Return samples of the forecasts, (n, H, K, count)."""
        settings = {"n": question.horizon, "num_samples": count, "random_state": 0, "verbose": False}
        if self.each_cutoff:
            return self.each(question, lambda one: self._alone(one, self.made(question.panel), settings))
        return self.each(question, lambda one: self.model_.predict(**_given([one]), **settings)[0].all_values()[:, 0])

    def _alone(self, one: Single, model: Any, settings: dict[str, Any]) -> NDArray[np.float64]:
        """Return samples of a model that is fitted to one series, (H, count)."""
        given = {name: values[0] for name, values in _given([one]).items()}
        model.fit(**given)
        del given["series"]
        return np.asarray(model.predict(**given, **settings).all_values()[:, 0])


def _module(name: str) -> Any:
    return import_module(f"darts.models.forecasting.{name}")


def _given(singles: list[Single]) -> dict[str, list[Any]]:
    """Return series and covariates as Darts names them."""
    read = import_module("darts").TimeSeries.from_times_and_values
    found: dict[str, list[Any]] = {"series": [read(time_index(one.times), one.y) for one in singles]}
    for one in singles:
        known = list(one.future.columns) if one.future is not None else []
        rows = one.covariates if one.covariates is not None else pd.DataFrame()
        if past := [name for name in rows.columns if name not in known]:
            found.setdefault("past_covariates", []).append(read(time_index(one.times), rows[past].to_numpy()))
        if known:
            times, both = np.concatenate([one.times, one.ahead]), pd.concat([rows[known], one.future])
            found.setdefault("future_covariates", []).append(read(time_index(times), both.to_numpy()))
    return found


def adapt(model: Any) -> Forecaster | None:
    """Return a forecaster around a model of Darts; None of its other objects."""
    return DartsForecaster(model) if hasattr(model, "supports_future_covariates") else None


def make(name: str, random_state: int | None = None) -> Forecaster:
    """Return a forecaster by the name of a class of ``darts.models``, with the season of the data.

    Models that read windows get those of a season, or of two horizons where these are longer.

    Raises
    ------
    UnknownNameError, ParameterError
    """
    module, settings = import_module("darts.models"), {"random_state": random_state}
    classes = dict.fromkeys(module.__all__, object)
    if name in classes:
        classes[name] = getattr(module, name)
    windows = {"lags": 1, "input_chunk_length": 1, "output_chunk_length": 1}
    return DartsForecaster(made_by_name("darts", name, classes, **windows, **settings), by_name=settings)
