"""Forecasters by name, for the command line, for tables and for saved models."""

from __future__ import annotations

from importlib import import_module
from typing import Any, cast

from tsforecast.errors import UnknownNameError, nearest
from tsforecast.forecasters.base import Forecaster

_CLASSES = {
    "naive": "naive:NaiveForecaster",
    "seasonal-naive": "naive:SeasonalNaiveForecaster",
    "drift": "naive:DriftForecaster",
    "mean": "naive:MeanForecaster",
    "window-average": "naive:WindowAverageForecaster",
    "ets": "statistical.models:ETSForecaster",
    "arima": "statistical.models:ARIMAForecaster",
    "theta": "statistical.models:ThetaForecaster",
    "holt-winters": "statistical.models:HoltWintersForecaster",
    "rnn": "neural:RNNForecaster",
    "gru": "neural:GRUForecaster",
    "lstm": "neural:LSTMForecaster",
    "conv1d": "neural:Conv1DForecaster",
    "reduction": "reduction:ReductionForecaster",
    "neural": "neural:NeuralForecaster",
    "ensemble": "ensemble:EnsembleForecaster",
}
NAIVE_FAMILY = ("naive", "seasonal-naive", "drift", "mean", "window-average")
CLASSICAL = ("ets", "arima", "theta", "holt-winters")
NETWORKS = ("rnn", "gru", "lstm", "conv1d")
MODEL_NAMES = (*NAIVE_FAMILY, *CLASSICAL, "reduction", *NETWORKS)


def forecaster_class(name: str) -> type[Forecaster]:
    """Return the class behind a model name.

    Raises
    ------
    UnknownNameError
        With the nearest name.

    Examples
    --------
    >>> forecaster_class("drift").__name__
    'DriftForecaster'
    """
    if name not in _CLASSES:
        raise UnknownNameError(f"model {name!r} does not exist; {nearest(name, MODEL_NAMES)}")
    module, _, attribute = _CLASSES[name].partition(":")
    # Imported on use: the naive family needs no torch.
    return cast(type[Forecaster], getattr(import_module(f"tsforecast.forecasters.{module}"), attribute))


def make(name: str, **settings: Any) -> Forecaster:
    """Make a forecaster by name with those of `settings` that it has.

    Examples
    --------
    >>> make("naive", horizon=3, window=24)
    NaiveForecaster(horizon=3)
    """
    cls = forecaster_class(name)
    known = cls._get_param_names()
    return cls(**{key: value for key, value in settings.items() if key in known})


def model_name(forecaster: Forecaster) -> str:
    """Return the name of a forecaster's class, as tables show it.

    Examples
    --------
    >>> model_name(make("seasonal-naive"))
    'seasonal-naive'
    """
    cls = type(forecaster).__name__
    return next((name for name, path in _CLASSES.items() if path.endswith(f":{cls}")), cls)
