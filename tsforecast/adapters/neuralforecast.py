"""Networks of NeuralForecast by Nixtla as forecasters, trained once on all series."""

from __future__ import annotations

import dataclasses
from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsforecast.adapters import tables
from tsforecast.adapters.base import Question
from tsforecast.adapters.libraries import LibraryForecaster, frequency_of, made_by_name, refuse_several
from tsforecast.data.panel import Panel
from tsforecast.errors import DataError, ParameterError, shorten
from tsforecast.estimators.base import keyword_settings
from tsforecast.forecasters.base import Forecaster

_LISTS = {"past": "hist_exog_list", "future": "futr_exog_list", "static": "stat_exog_list"}
_QUIET = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}  # unless the model has others


@keyword_settings
class NeuralforecastForecaster(LibraryForecaster):
    """Forecasts of a model of ``neuralforecast.models``, within a ``NeuralForecast`` of its own."""

    model_: Any = dataclasses.field(init=False)

    each_cutoff = False

    @property
    def label(self) -> str:
        """See `ForeignForecaster.label`; NeuralForecast names its columns so."""
        return str(self.model.alias or type(self.model).__name__)

    @property
    def reads(self) -> tuple[str, ...]:
        """See `LibraryForecaster.reads`."""
        return tuple(role for role, names in _LISTS.items() if getattr(self.model, names))

    @property
    def learns_distribution(self) -> bool:
        """Whether the loss is that of quantiles or of a distribution; see `Forecaster.learns_distribution`."""
        return len(getattr(self.model.loss, "output_names", ("",))) > 2

    def settings_for(self, panel: Panel) -> dict[str, Any]:
        """See `LibraryForecaster.settings_for`."""
        return {"h": self.horizon, "input_size": max(panel.season_length, 2 * self.horizon)}

    def train(self, panel: Panel) -> None:
        """Train the network; see `ForeignForecaster.train`."""
        super().train(panel)
        for role, listed in _LISTS.items():
            held = getattr(panel.roles, role)
            if missing := [repr(name) for name in getattr(self.model, listed) or () if name not in held]:
                raise DataError(
                    f"{self.label} reads {listed}, which must be {role} columns of the data: got {shorten(missing)}, "
                    f"and the data have {shorten(list(map(repr, held))) if held else 'none'}; name columns with {role}="
                )
        model, question = self.made(panel), self.training(panel)
        if model.h != self.horizon_:
            raise ParameterError(
                f"{self.label} forecasts h={model.h} steps, and {self.horizon_} are requested: make it with "
                f"h={self.horizon_}"
            )
        model.trainer_kwargs = _QUIET | model.trainer_kwargs
        self.model_ = import_module("neuralforecast").NeuralForecast([model], freq=frequency_of(panel))
        with self.explained(f"{len(panel):,} series"):
            self.model_.fit(self.complete(question)[0], static_df=self._static(question))

    def answer(self, question: Question) -> NDArray[np.float64]:
        """See `ForeignForecaster.answer`."""
        found = self._predicted(question)
        return self._column(question, found[self.label if self.label in found else f"{self.label}-median"])

    def answer_quantiles(self, question: Question) -> tuple[list[float], NDArray[np.float64]]:
        """See `ForeignForecaster.answer_quantiles`."""
        found = self._predicted(question)
        ends = tuple(f"{self.label}-{end}" for end in ("lo-", "median", "hi-"))  # others are parameters
        levels = {level_of(name.removeprefix(self.label)): name for name in found if name.startswith(ends)}
        known = sorted(levels)
        return known, np.stack([self._column(question, found[levels[level]]) for level in known], axis=-1)

    def _predicted(self, question: Question) -> pd.DataFrame:
        """Return the columns of all forecasts, for series and steps in order."""
        return pd.concat([self._alone(each) for each in self.one_by_one(question)], ignore_index=True)

    def _alone(self, question: Question) -> pd.DataFrame:
        """Return the columns of the forecasts of one series."""
        rows, ahead = self.complete(question)
        with self.explained(f"{question.horizon} steps"):
            found = self.model_.predict(rows, self._static(question), ahead if "future" in self.reads else None)
        return found.sort_values(["unique_id", "ds"]).drop(columns=["unique_id", "ds"])

    def _column(self, question: Question, values: pd.Series) -> NDArray[np.float64]:
        """Return one column of forecasts, (n, H, K)."""
        steps = values.to_numpy().reshape(-1, self.model_.h)[:, : question.horizon]
        return tables.from_long(steps, question.panel)

    def _static(self, question: Question) -> Any:
        """Return the static covariates where the model reads some."""
        return tables.static(question.panel) if "static" in self.reads else None


def level_of(name: str) -> float:
    """Return the level of a quantile by the end of its column's name.

    Examples
    --------
    >>> level_of("-lo-80.0"), level_of("-median"), level_of("-hi-50")
    (0.1, 0.5, 0.75)
    """
    _, side, *share = name.split("-", 2)
    return round(0.5 + {"lo": -1, "median": 0, "hi": 1}[side] * float(share[0] if share else 0) / 200, 6)


def adapt(model: Any) -> Forecaster | None:
    """Return a forecaster around a network of NeuralForecast; None of other objects.

    Raises
    ------
    ParameterError
        When it is a `NeuralForecast`, which holds several models.
    """
    refuse_several(model, "NeuralForecast", "NHITS(h=7, input_size=14)")
    return NeuralforecastForecaster(model) if hasattr(model, "futr_exog_list") else None


def make(name: str, random_state: int | None = None) -> Forecaster:
    """Return a forecaster by the name of a class of ``neuralforecast.models``, whose input is a season or two horizons.

    Raises
    ------
    UnknownNameError, ParameterError
    """
    module, settings = import_module("neuralforecast.models"), {"random_seed": random_state}
    classes = {each: getattr(module, each) for each in module.__all__}
    model = made_by_name("neuralforecast", name, classes, h=4, input_size=8, **settings)
    return NeuralforecastForecaster(model, by_name=settings)
