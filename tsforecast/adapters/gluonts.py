"""Models of GluonTS as forecasters: estimators are trained once on all series, predictors are used as they are."""

from __future__ import annotations

import dataclasses
import inspect
import random
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsforecast.adapters import tables
from tsforecast.adapters.base import Question
from tsforecast.adapters.libraries import (
    ASKED_LEVELS,
    LibraryForecaster,
    Single,
    frequency_of,
    made_by_name,
    time_index,
)
from tsforecast.adapters.names import require_package
from tsforecast.checks import whole
from tsforecast.data.panel import Panel
from tsforecast.errors import ParameterError
from tsforecast.estimators.base import keyword_settings, optional, setting
from tsforecast.forecasters.base import Forecaster
from tsforecast.training.runtime import seeded

_ESTIMATORS = (
    *("DeepAREstimator", "DeepNPTSEstimator", "DLinearEstimator", "LagTSTEstimator", "PatchTSTEstimator"),
    *("SimpleFeedForwardEstimator", "TemporalFusionTransformerEstimator", "TiDEEstimator", "WaveNetEstimator"),
)
_PREDICTORS = {
    "SeasonalNaivePredictor": "gluonts.model.seasonal_naive",
    "NPTSPredictor": "gluonts.model.npts",
    "MeanPredictor": "gluonts.model.trivial.mean",
}
_POINTS = ("SeasonalNaivePredictor", "IdentityPredictor", "ConstantPredictor", "ConstantValuePredictor")  # no spread
# Role -> parameters of estimators: the number of columns, or a list of their dimensions.
_COUNTS = {
    "past": ("num_past_feat_dynamic_real", "past_dynamic_dims"),
    "future": ("num_feat_dynamic_real", "dynamic_dims"),
    "static": ("num_feat_static_real", "static_dims"),
}
_QUIET = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}  # unless it has others
DAYS = "D"  # whole numbers count them: a start of GluonTS is always a date


@keyword_settings
class GluontsForecaster(LibraryForecaster):
    """Forecasts of an estimator or a predictor of GluonTS, the medians of its samples or quantiles."""

    model_: Any = dataclasses.field(init=False)

    random_state: int | None = setting(
        default=0, check=optional(whole, least=0), doc="Seed of training and of samples; None for another each time."
    )

    each_cutoff = False

    @property
    def reads(self) -> tuple[str, ...]:
        """See `SeriesForecaster.reads`; a trained predictor is given all, and takes those that it was trained with."""
        if self.by_name is not None:
            known = inspect.signature(type(self.model).__init__).parameters
            return tuple(role for role, names in _COUNTS.items() if any(name in known for name in names))
        if _is_estimator(self.model):
            return tuple(
                role for role, names in _COUNTS.items() if any(getattr(self.model, name, None) for name in names)
            )
        return tuple(_COUNTS) if type(self.model).__name__ == "PyTorchPredictor" else ()

    @property
    def label(self) -> str:
        """See `ForeignForecaster.label`."""
        return type(self.model).__name__.removesuffix("Estimator")

    @property
    def note(self) -> str:
        """See `ForeignForecaster.note`."""
        if _is_estimator(self.model):
            return super().note
        return "is used as it was trained before" if self.reads else super().note

    @property
    def learns_distribution(self) -> bool:
        """Whether forecasts have a spread; see `Forecaster.learns_distribution`."""
        return type(self.model).__name__ not in _POINTS

    def settings_for(self, panel: Panel) -> dict[str, Any]:
        """See `LibraryForecaster.settings_for`."""
        season, horizon, step = panel.season_length, self.horizon, frequency_of(panel)
        found = {"freq": getattr(step, "freqstr", DAYS), "prediction_length": horizon, "season_length": season}
        found["context_length"] = max(season, 2 * horizon)
        for role, (count, dimensions) in _COUNTS.items():
            columns = getattr(panel.roles, role)
            found |= {count: len(columns), dimensions: [1] * len(columns)}
        return found

    def made(self, panel: Panel) -> Any:
        """See `LibraryForecaster.made`."""
        if self.by_name is not None or _is_estimator(self.model):
            return super().made(panel)
        return self.model  # a trained network is no object to copy: it is not changed

    def train(self, panel: Panel) -> None:
        """Train an estimator on all series; see `ForeignForecaster.train`."""
        super().train(panel)
        model = self.made(panel)
        if model.prediction_length < self.horizon_:
            raise ParameterError(
                f"{self.label} forecasts prediction_length={model.prediction_length} steps, and {self.horizon_} are "
                f"requested: make it with prediction_length={self.horizon_}"
            )
        if not _is_estimator(model):
            self.model_ = model
            return
        question = self.training(panel)
        entries = [
            entry_of(one, fixed) for one, fixed in zip(self.singles(question), self._static(question), strict=True)
        ]
        with (
            self.explained(f"{len(panel):,} series"),
            tempfile.TemporaryDirectory() as folder,
            _seeded(self.random_state),
        ):
            if hasattr(model, "trainer_kwargs"):
                model.trainer_kwargs = _QUIET | {"default_root_dir": folder} | model.trainer_kwargs
            self.model_ = model.train(entries)

    def answer(self, question: Question) -> NDArray[np.float64]:
        """See `ForeignForecaster.answer`."""
        _, found = self._quantiles(question, (0.5,))
        return np.asarray(found[..., 0])

    def answer_quantiles(self, question: Question) -> tuple[list[float], NDArray[np.float64]]:
        """See `ForeignForecaster.answer_quantiles`."""
        return self._quantiles(question, ASKED_LEVELS)

    def _quantiles(self, question: Question, levels: tuple[float, ...]) -> tuple[list[float], NDArray[np.float64]]:
        """Return quantiles of the forecasts, (n, H, K, levels)."""
        known, found = list[float](), []
        for one, fixed in zip(self.singles(question), self._static(question), strict=True):
            with self.explained(f"series {one.id!r} of {len(one.y):,} steps"), _seeded(self.random_state):
                known, values = quantiles_of(self.model_.predict([entry_of(one, fixed)]), levels)
                if values.shape[1] < question.horizon:
                    raise ValueError(f"it makes {values.shape[1]} steps, and {question.horizon} are requested")
            found.append(values[:, : question.horizon])
        return known, tables.from_long(np.concatenate(found), question.panel)

    def _static(self, question: Question) -> NDArray[np.float64]:
        """Return static covariates of each series and target, (n * K, S)."""
        rows = tables.static(question.panel) if "static" in self.reads else None
        if rows is None:
            return np.empty((len(question.panel) * question.panel.n_targets, 0))
        return np.asarray(rows.drop(columns="unique_id"), dtype=np.float64)


def entry_of(one: Single, static: NDArray[np.float64] | None = None) -> dict[str, Any]:
    """Return a series as an entry of a dataset of GluonTS, with the covariates that it has."""
    entry: dict[str, Any] = {"item_id": one.id, "start": _start(one.times), "target": one.y.astype(np.float32)}
    rows = pd.DataFrame() if one.covariates is None else one.covariates
    known = [] if one.future is None else list(one.future.columns)
    if past := [name for name in rows if name not in known]:
        entry["past_feat_dynamic_real"] = rows[past].to_numpy(dtype=np.float32).T
    if known:
        entry["feat_dynamic_real"] = pd.concat([rows[known], one.future]).to_numpy(dtype=np.float32).T
    if static is not None and static.size:
        entry["feat_static_real"] = static.astype(np.float32)
    return entry


def quantiles_of(
    forecasts: Iterable[Any], levels: tuple[float, ...] = ASKED_LEVELS
) -> tuple[list[float], NDArray[np.float64]]:
    """Return levels and quantiles (n, H, levels) of forecasts of GluonTS: at their own levels where they have some."""
    found = []
    for forecast in forecasts:
        own = [key for key in getattr(forecast, "forecast_keys", ()) if key != "mean"]
        known = sorted(map(float, own)) if own and levels != (0.5,) else list(levels)
        found.append(np.stack([forecast.quantile(level) for level in known], axis=-1))
    return known, np.stack(found).astype(np.float64)


def _start(times: NDArray[Any]) -> pd.Period:
    """Return the first time as a period of pandas; a day where it has none for the step."""
    if times.dtype.kind != "M":
        return pd.Period(ordinal=int(times[0]), freq=DAYS)
    index = time_index(times)
    try:
        return index.to_period()[0]
    except (ValueError, TypeError, AttributeError):
        return index[:1].to_period(DAYS)[0]


def adapt(model: Any) -> Forecaster | None:
    """Return a forecaster around an estimator or a predictor of GluonTS; None of its other objects."""
    forecasts = callable(getattr(model, "predict", None)) or _is_estimator(model)
    return GluontsForecaster(model) if forecasts and hasattr(model, "prediction_length") else None


def make(name: str, random_state: int | None = None) -> Forecaster:
    """Return a forecaster by the name of an estimator of ``gluonts.torch``, or of a predictor of ``gluonts.model``.

    Windows are those of a season or two horizons, and covariates those of the data that it has parameters for.

    Raises
    ------
    UnknownNameError, ParameterError
    """
    classes = dict.fromkeys(_ESTIMATORS, object) | dict.fromkeys(_PREDICTORS, object)
    if name in classes:
        require_package("lightning" if name in _ESTIMATORS else "gluonts", f"gluonts:{name}", "gluonts[torch]")
        classes[name] = getattr(import_module(_PREDICTORS.get(name, "gluonts.torch")), name)
    needed = {"freq": DAYS, "prediction_length": 1, "season_length": 1}
    return GluontsForecaster(made_by_name("gluonts", name, classes, **needed), by_name={}, random_state=random_state)


def _is_estimator(model: Any) -> bool:
    """Return whether a model of GluonTS is to be trained."""
    return callable(getattr(model, "train", None))


@contextmanager
def _seeded(random_state: int | None) -> Iterator[None]:
    """Seed the numbers that GluonTS draws, of three libraries, and restore their states at the end."""
    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        random.seed(random_state)
        np.random.seed(random_state)  # noqa: NPY002 GluonTS draws windows of this state
        with seeded(random_state):
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
