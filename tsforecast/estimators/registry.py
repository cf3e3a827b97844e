"""Estimators by name, for the command line, for tables and for saved models; classes are imported on use."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

from tsforecast.errors import UnknownNameError, nearest

ESTIMATORS = {
    "forecasters.naive": (
        "NaiveForecaster",
        "SeasonalNaiveForecaster",
        "DriftForecaster",
        "MeanForecaster",
        "WindowAverageForecaster",
    ),
    "forecasters.windowed": ("AnchorForecaster",),
    "forecasters.statistical.models": (
        "ETSForecaster",
        "ARIMAForecaster",
        "ThetaForecaster",
        "HoltWintersForecaster",
        "CrostonForecaster",
        "SBAForecaster",
        "TSBForecaster",
    ),
    "forecasters.reduction": ("ReductionForecaster",),
    "forecasters.meta.ensemble": ("EnsembleForecaster",),
    "forecasters.meta.local": ("LocalForecaster",),
    "forecasters.meta.conformal": ("ConformalForecaster",),
    "forecasters.meta.aggregate": ("AggregateForecaster",),
    "forecasters.meta.reconciled": ("ReconciledForecaster",),
    "forecasters.neural": ("NeuralForecaster", "RNNForecaster", "GRUForecaster", "LSTMForecaster", "Conv1DForecaster"),
    "sequences.baselines": ("MajorityClassifier", "NearestNeighborClassifier"),
    "sequences.neural": ("NeuralClassifier", "RNNClassifier", "GRUClassifier", "LSTMClassifier", "Conv1DClassifier"),
    "sequences.rocket": ("RocketClassifier",),
    "sequences.ensemble": ("EnsembleClassifier",),
    "sequences.regressors": (
        "MeanRegressor",
        "NeuralRegressor",
        "RNNRegressor",
        "GRURegressor",
        "LSTMRegressor",
        "Conv1DRegressor",
    ),
    "sequences.generator": ("SequenceGenerator",),
    "search.search": ("RaySearch",),
}
_MODULES = {name: module for module, names in ESTIMATORS.items() for name in names}
CLASSES = tuple(_MODULES)  # the only ones that a saved model may name


def short_name(cls: str) -> str:
    """Return the name of a class in tables: ``"seasonal-naive"`` of SeasonalNaiveForecaster."""
    return re.sub("(?<=[a-z])(?=[A-Z])", "-", re.sub("(Forecaster|Classifier)$", "", cls)).lower()


_NAMES = {short_name(cls): cls for cls in CLASSES if cls.endswith("Forecaster")}
_CLASSIFIERS = {short_name(cls): cls for cls in CLASSES if cls.endswith("Classifier")}
NAIVE_FAMILY = ("naive", "seasonal-naive", "drift", "mean", "window-average")
CLASSICAL = ("ets", "arima", "theta", "holt-winters")
INTERMITTENT = ("croston", "sba", "tsb")
NETWORKS = ("rnn", "gru", "lstm", "conv1d")
# Those of `tsforecast.networks.losses.LOSSES`, which loads torch.
LOSS_NAMES = (
    *("mae", "mse", "huber", "mase", "smape", "normal", "student-t", "laplace", "lognormal", "poisson"),
    *("negative-binomial", "zero-inflated-poisson", "zero-inflated-negative-binomial", "quantile"),
)
MODEL_NAMES = (*NAIVE_FAMILY, "anchor", *CLASSICAL, *INTERMITTENT, "reduction", *NETWORKS)
CLASSIFIER_NAMES = tuple(name for name in _CLASSIFIERS if name != "neural")  # whose cell is to be chosen


def known_name(name: str, classifier: bool = False) -> str:
    """Return the name of a model however it is spelled, as tables show it; another text as it is.

    Examples
    --------
    >>> known_name("GRU"), known_name("SeasonalNaiveForecaster"), known_name("seasonal_naive"), known_name("GRUU")
    ('gru', 'seasonal-naive', 'seasonal-naive', 'GRUU')
    """
    names, shown = (_CLASSIFIERS, CLASSIFIER_NAMES) if classifier else (_NAMES, MODEL_NAMES)
    spelled = {spelling.lower(): each for each in shown for spelling in (each, names[each])}
    return spelled.get(name.strip().lower().replace("_", "-"), name)


def estimator_class(name: str) -> type[Any]:
    """Return an estimator's class by its name, which is one of `CLASSES`."""
    found: type[Any] = getattr(import_module(f"tsforecast.{_MODULES[name]}"), name)
    return found


def make(name: str, **settings: Any) -> Any:
    """Make a forecaster by name with those of `settings` that it has; UnknownNameError has the nearest name.

    Examples
    --------
    >>> make("naive", horizon=3, window=24)
    NaiveForecaster(horizon=3)
    """
    return _made(name, _NAMES, MODEL_NAMES, settings)


def make_classifier(name: str, **settings: Any) -> Any:
    """Make a classifier by name with those of `settings` that it has; UnknownNameError has the nearest name.

    Examples
    --------
    >>> make_classifier("gru", max_epochs=3, horizon=24)
    GRUClassifier(max_epochs=3)
    """
    return _made(name, _CLASSIFIERS, CLASSIFIER_NAMES, settings)


def _made(name: str, classes: dict[str, str], shown: tuple[str, ...], settings: dict[str, Any]) -> Any:
    if name not in classes:
        raise UnknownNameError(f"model {name!r} does not exist; {nearest(name, shown)}")
    cls = estimator_class(classes[name])
    known = cls._get_param_names()
    return cls(**{key: value for key, value in settings.items() if key in known})


def model_name(forecaster: object) -> str:
    """Return the name of a forecaster's class, as tables show it."""
    cls = type(forecaster).__name__
    if label := getattr(forecaster, "label", ""):  # of a model of other software
        return str(label)
    return next((name for name, class_name in _NAMES.items() if class_name == cls), cls)
