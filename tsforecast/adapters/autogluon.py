"""Models of AutoGluon-TimeSeries as forecasters, within a predictor of their own, which is fitted once."""

from __future__ import annotations

import copy
import dataclasses
import shutil
import tempfile
import weakref
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsforecast.adapters import tables
from tsforecast.adapters.base import Question
from tsforecast.adapters.libraries import ASKED_LEVELS, LibraryForecaster, frequency_of
from tsforecast.checks import whole
from tsforecast.data.panel import Panel
from tsforecast.errors import DataError, ParameterError, Problem, UnknownNameError, nearest, shorten
from tsforecast.estimators.base import keyword_settings, optional, setting
from tsforecast.forecasters.base import Forecaster, Pretraining

# Models that learn from the data alone.
MODELS = (
    *("ADIDA", "ARIMA", "AutoARIMA", "AutoCES", "AutoETS", "Average", "Croston", "DeepAR", "DirectTabular", "DLinear"),
    *("DynamicOptimizedTheta", "ETS", "IMAPA", "Naive", "NPTS", "PatchTST", "PerStepTabular", "RecursiveTabular"),
    *("SeasonalAverage", "SeasonalNaive", "SimpleFeedForward", "TemporalFusionTransformer", "Theta", "TiDE"),
    *("WaveNet", "Zero"),
)
_PRETRAINED = ("chronos", "toto")  # how models begin whose weights are downloaded unless they lie in a local folder
_USUAL = ("SeasonalNaive", "ETS", "Theta", "RecursiveTabular", "DirectTabular")  # of a predictor without settings
_INDEX = ("item_id", "timestamp")  # names of its index


def _settings_problems(name: str, settings: Any) -> list[str]:
    """Require settings of ``TimeSeriesPredictor.fit`` that download no weights."""
    if not isinstance(settings, Mapping):
        return [Problem("must be a dict of settings of TimeSeriesPredictor.fit", f"got {settings!r}", parameter=name)]
    local = "name models instead, such as {'hyperparameters': {'ETS': {}, 'DirectTabular': {}}}"
    chosen = settings.get("hyperparameters", {})
    for key, value in {"presets": settings.get("presets"), "hyperparameters": chosen}.items():
        if value is not None and not isinstance(value, Mapping):
            return [
                Problem(f"must have no {key} by name, which download weights", f"got {value!r}", local, parameter=name)
            ]
    remote = [str(model) for model, each in chosen.items() if _downloads(model, each)]
    if not remote:
        return []
    remedy = "give each a 'model_path' that is a local folder"
    return [Problem("must name models without weights to download", f"got {shorten(remote)}", remedy, parameter=name)]


def _downloads(model: Any, settings: Any) -> bool:
    """Return whether a model has pretrained weights that lie in no local folder."""
    if not _is_pretrained(model):
        return False
    each = settings if isinstance(settings, list) else [settings]
    return not each or any(
        not Path(str(one.get("model_path", ""))).is_dir() or not one.get("model_path") for one in each
    )


def _is_pretrained(model: Any) -> bool:
    """Return whether a model, by name or as a class, has pretrained weights."""
    return str(getattr(model, "__name__", model)).lower().startswith(_PRETRAINED)


@keyword_settings
class AutogluonForecaster(LibraryForecaster):
    """Forecasts of a ``TimeSeriesPredictor``: of its best model, where it is fitted with several."""

    model_: Any = dataclasses.field(init=False)

    model: Any = setting(
        default=None, doc="Unfitted ``TimeSeriesPredictor``, whose ``eval_metric`` is that of the fit."
    )
    fit_settings: dict[str, Any] | None = setting(
        default=None,
        check=optional(_settings_problems),
        doc="Settings of ``TimeSeriesPredictor.fit``, such as ``{'hyperparameters': {'ETS': {}}}``; models that are "
        "fitted in seconds unless given.",
    )
    random_state: int | None = setting(
        default=0, check=optional(whole, least=0), doc="Seed of training; None for another each time."
    )

    each_cutoff, learns_distribution, takes_missing, takes_text = False, True, True, True

    @property
    def reads(self) -> tuple[str, ...]:
        """See `SeriesForecaster.reads`."""
        registry = import_module("autogluon.timeseries.models").ModelRegistry
        classes = [registry.get_model_class(model) for model in self._hyperparameters]
        names = {"past": "past_covariates", "future": "known_covariates", "static": "static_features"}
        return tuple(role for role, name in names.items() if any(getattr(cls, f"_supports_{name}") for cls in classes))

    @property
    def label(self) -> str:
        """Name of the model, where it is one; see `ForeignForecaster.label`."""
        first, *others = map(str, self._hyperparameters)
        return "AutoGluon" if others else first

    @property
    def sources(self) -> tuple[Any, ...]:
        """See `ForeignForecaster.sources`."""
        return (type(self),)

    @property
    def note(self) -> str:
        """See `ForeignForecaster.note`."""
        chosen = list(map(str, self._hyperparameters))
        return f"weighs {', '.join(chosen)}, and {super().note}" if len(chosen) > 1 else super().note

    @property
    def pretraining(self) -> Pretraining | None:
        """See `Forecaster.pretraining`: of weights in a folder nothing is known."""
        return Pretraining() if any(_is_pretrained(model) for model in self._hyperparameters) else None

    @property
    def _hyperparameters(self) -> Mapping[Any, Any]:
        """Models and their settings."""
        return (self.fit_settings or {}).get("hyperparameters") or {name: {} for name in _USUAL}

    def made(self, panel: Panel) -> Any:
        """Return an unfitted predictor with the metric of the given one, in a folder that goes when it goes."""
        known = list(panel.roles.future) if "future" in self.reads else []
        given, folder, step = self.model, tempfile.mkdtemp(), frequency_of(panel)
        made = import_module("autogluon.timeseries").TimeSeriesPredictor(
            target="y",
            prediction_length=self.horizon,
            known_covariates_names=known,
            freq=f"{step}D" if isinstance(step, int) else getattr(step, "freqstr", None),
            eval_metric=None if given is None else copy.deepcopy(given.eval_metric),
            quantile_levels=list(ASKED_LEVELS),
            path=f"{folder}/predictor",
            verbosity=0,
            log_to_file=False,
        )
        weakref.finalize(made, shutil.rmtree, folder, ignore_errors=True)
        if given is None:
            return made
        if given.prediction_length not in (1, self.horizon):  # 1 is its default
            raise ParameterError(
                f"{self.label} forecasts prediction_length={given.prediction_length} steps, and {self.horizon} are "
                f"requested: make it with prediction_length={self.horizon}"
            )
        if strange := [repr(name) for name in given.known_covariates_names if name not in known]:
            raise ParameterError(
                f"{self.label} has known_covariates_names that are no future columns of the data which its models "
                f"read: {shorten(strange)}; leave them out, for they are those of the data"
            )
        return made

    def train(self, panel: Panel) -> None:
        """Fit the predictor to all series; see `ForeignForecaster.train`."""
        super().train(panel)
        columns = (*panel.roles.varying[panel.n_targets :], *panel.roles.static)
        if taken := [repr(name) for name in columns if name in _INDEX]:
            raise DataError(f"{self.label} needs the names {', '.join(_INDEX)}: rename covariate {shorten(taken)}")
        predictor, question = self.made(panel), self.training(panel)
        settings = {"random_seed": self.random_state} | (self.fit_settings or {}) | {"verbosity": 0}
        settings["hyperparameters"] = dict(self._hyperparameters)
        with self.explained(f"{len(panel):,} series"):
            self.model_ = predictor.fit(self._frame(self.complete(question)[0], question), **settings)
            if not predictor.model_names():  # AutoGluon logs why, and raises nothing
                raise ValueError("none of its models could be fitted; fit it with AutoGluon to see why")

    def answer(self, question: Question) -> NDArray[np.float64]:
        """See `ForeignForecaster.answer`."""
        return self._forecast(question, ["mean"])[..., 0]

    def answer_quantiles(self, question: Question) -> tuple[tuple[float, ...], NDArray[np.float64]]:
        """See `ForeignForecaster.answer_quantiles`."""
        return ASKED_LEVELS, self._forecast(question, list(map(str, ASKED_LEVELS)))

    def _forecast(self, question: Question, columns: list[str]) -> NDArray[np.float64]:
        """Return columns of the forecasts, (n, H, K, columns)."""
        return np.concatenate([self._alone(each, columns) for each in self.one_by_one(question)])

    def _alone(self, question: Question, columns: list[str]) -> NDArray[np.float64]:
        """Return columns of the forecasts of one series, (1, H, K, columns)."""
        rows, ahead = self.complete(question)
        with self.explained(f"{question.horizon} steps of series {self._id(question, 0)!r}"):
            known = self._frame(ahead, None) if len(ahead.columns) > 2 else None
            found = self.model_.predict(self._frame(rows, question), known, random_seed=self.random_state)
            values = found[columns].to_numpy().reshape(question.panel.n_targets, -1, len(columns))
            if values.shape[1] < question.horizon:
                raise ValueError(f"it makes {values.shape[1]} steps, and {question.horizon} are requested")
        return tables.from_long(values[:, : question.horizon], question.panel)

    def _frame(self, rows: pd.DataFrame, question: Question | None) -> Any:
        """Return a frame of AutoGluon, with the static columns that are read; whole numbers count days."""
        if rows["ds"].dtype.kind != "M":
            rows = rows.assign(ds=pd.to_datetime(rows["ds"], unit="D"))
        static = tables.static(question.panel) if question is not None and "static" in self.reads else None
        read = import_module("autogluon.timeseries").TimeSeriesDataFrame.from_data_frame
        return read(rows, id_column="unique_id", timestamp_column="ds", static_features_df=static)


def adapt(model: Any) -> Forecaster | None:
    """Return a forecaster around an unfitted ``TimeSeriesPredictor``; None of other objects.

    Raises
    ------
    ParameterError
        When it is fitted already.
    """
    if type(model).__name__ != "TimeSeriesPredictor":
        return None
    if model.is_fit:
        raise ParameterError(
            "a TimeSeriesPredictor must be unfitted, since each fit of a board has rows of its own: give "
            "AutogluonForecaster(fit_settings={'hyperparameters': {'ETS': {}}})"
        )
    return AutogluonForecaster(model=model)


def make(name: str, random_state: int | None = None) -> Forecaster:
    """Return a forecaster by the name of one model of AutoGluon-TimeSeries, with its defaults.

    Raises
    ------
    UnknownNameError, ParameterError
    """
    if _is_pretrained(name):
        raise ParameterError(
            f"autogluon:{name} downloads weights: give a local folder with them as pretrained:FOLDER, or "
            f"AutogluonForecaster(fit_settings={{'hyperparameters': {{'{name}': {{'model_path': 'FOLDER'}}}}}})"
        )
    if name not in MODELS:
        raise UnknownNameError(f"autogluon has no model {name!r}; {nearest(name, MODELS)}")
    return AutogluonForecaster(fit_settings={"hyperparameters": {name: {}}}, random_state=random_state)
