"""tsforecast: train small networks on your own time series and learn whether they beat the naive forecast.

The names below are all that a user needs. They are loaded on first use, so that
``import tsforecast`` is quick.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

from tsforecast.estimators.registry import ESTIMATORS
from tsforecast.provenance import __version__ as __version__

if TYPE_CHECKING:
    from tsforecast.adapters.protocol import as_forecaster as as_forecaster
    from tsforecast.anomalies.detector import Detector as Detector
    from tsforecast.anomalies.detector import detect as detect
    from tsforecast.anomalies.drift import Drift as Drift
    from tsforecast.anomalies.drift import drift as drift
    from tsforecast.anomalies.results import Anomalies as Anomalies
    from tsforecast.catalog.card import dataset_names as dataset_names
    from tsforecast.catalog.loaders import load_dataset as load_dataset
    from tsforecast.data.panel import Panel as Panel
    from tsforecast.data.splits import GroupKFold as GroupKFold
    from tsforecast.data.splits import LeaveGroupsOut as LeaveGroupsOut
    from tsforecast.data.splits import RollingOrigin as RollingOrigin
    from tsforecast.data.splits import holdout as holdout
    from tsforecast.errors import DataError as DataError
    from tsforecast.errors import DataWarning as DataWarning
    from tsforecast.errors import FitWarning as FitWarning
    from tsforecast.errors import LeakageError as LeakageError
    from tsforecast.errors import ParameterError as ParameterError
    from tsforecast.errors import TrackingError as TrackingError
    from tsforecast.errors import TrackingWarning as TrackingWarning
    from tsforecast.errors import TrainingError as TrainingError
    from tsforecast.errors import TrainingWarning as TrainingWarning
    from tsforecast.errors import TsForecastError as TsForecastError
    from tsforecast.estimators.persistence import load as load
    from tsforecast.estimators.persistence import save as save
    from tsforecast.evaluation.backtest import backtest as backtest
    from tsforecast.evaluation.classification import ClassificationResults as ClassificationResults
    from tsforecast.evaluation.compare_classifiers import ClassifierComparison as ClassifierComparison
    from tsforecast.evaluation.compare_classifiers import StepComparison as StepComparison
    from tsforecast.evaluation.compare_classifiers import compare_classifiers as compare_classifiers
    from tsforecast.evaluation.contamination import contamination_check as contamination_check
    from tsforecast.evaluation.earliness import choose_threshold as choose_threshold
    from tsforecast.evaluation.earliness import earliness_curve as earliness_curve
    from tsforecast.evaluation.leaderboard import Leaderboard as Leaderboard
    from tsforecast.evaluation.leaderboard import leaderboard as leaderboard
    from tsforecast.evaluation.monitor import Monitor as Monitor
    from tsforecast.evaluation.overall import Overall as Overall
    from tsforecast.evaluation.overall import overall as overall
    from tsforecast.evaluation.seal import SealedPanel as SealedPanel
    from tsforecast.evaluation.seal import seal as seal
    from tsforecast.evaluation.steps import step_scores as step_scores
    from tsforecast.evaluation.transfer_curve import transfer_curve as transfer_curve
    from tsforecast.evaluation.verification import Verification as Verification
    from tsforecast.evaluation.verification import verify_records as verify_records
    from tsforecast.executors import compute as compute
    from tsforecast.forecasters.base import Pretraining as Pretraining
    from tsforecast.forecasters.meta.aggregate import AggregateForecaster as AggregateForecaster
    from tsforecast.forecasters.meta.conformal import ConformalForecaster as ConformalForecaster
    from tsforecast.forecasters.meta.ensemble import EnsembleForecaster as EnsembleForecaster
    from tsforecast.forecasters.meta.local import LocalForecaster as LocalForecaster
    from tsforecast.forecasters.meta.reconciled import ReconciledForecaster as ReconciledForecaster
    from tsforecast.forecasters.naive import DriftForecaster as DriftForecaster
    from tsforecast.forecasters.naive import MeanForecaster as MeanForecaster
    from tsforecast.forecasters.naive import NaiveForecaster as NaiveForecaster
    from tsforecast.forecasters.naive import SeasonalNaiveForecaster as SeasonalNaiveForecaster
    from tsforecast.forecasters.naive import WindowAverageForecaster as WindowAverageForecaster
    from tsforecast.forecasters.neural import Conv1DForecaster as Conv1DForecaster
    from tsforecast.forecasters.neural import GRUForecaster as GRUForecaster
    from tsforecast.forecasters.neural import LSTMForecaster as LSTMForecaster
    from tsforecast.forecasters.neural import NeuralForecaster as NeuralForecaster
    from tsforecast.forecasters.neural import RNNForecaster as RNNForecaster
    from tsforecast.forecasters.reduction import ReductionForecaster as ReductionForecaster
    from tsforecast.forecasters.statistical.models import ARIMAForecaster as ARIMAForecaster
    from tsforecast.forecasters.statistical.models import CrostonForecaster as CrostonForecaster
    from tsforecast.forecasters.statistical.models import ETSForecaster as ETSForecaster
    from tsforecast.forecasters.statistical.models import HoltWintersForecaster as HoltWintersForecaster
    from tsforecast.forecasters.statistical.models import SBAForecaster as SBAForecaster
    from tsforecast.forecasters.statistical.models import ThetaForecaster as ThetaForecaster
    from tsforecast.forecasters.statistical.models import TSBForecaster as TSBForecaster
    from tsforecast.forecasters.windowed import AnchorForecaster as AnchorForecaster
    from tsforecast.hierarchies.hierarchy import Hierarchy as Hierarchy
    from tsforecast.hierarchies.tables import reconcile as reconcile
    from tsforecast.leakage.audit import audit as audit
    from tsforecast.leakage.audit import audit_procedure as audit_procedure
    from tsforecast.leakage.report import AuditReport as AuditReport
    from tsforecast.records.chain import make_key as make_key
    from tsforecast.search.search import RaySearch as RaySearch
    from tsforecast.sequences.baselines import MajorityClassifier as MajorityClassifier
    from tsforecast.sequences.baselines import NearestNeighborClassifier as NearestNeighborClassifier
    from tsforecast.sequences.ensemble import EnsembleClassifier as EnsembleClassifier
    from tsforecast.sequences.generator import SequenceGenerator as SequenceGenerator
    from tsforecast.sequences.neural import Conv1DClassifier as Conv1DClassifier
    from tsforecast.sequences.neural import GRUClassifier as GRUClassifier
    from tsforecast.sequences.neural import LSTMClassifier as LSTMClassifier
    from tsforecast.sequences.neural import NeuralClassifier as NeuralClassifier
    from tsforecast.sequences.neural import RNNClassifier as RNNClassifier
    from tsforecast.sequences.regressors import Conv1DRegressor as Conv1DRegressor
    from tsforecast.sequences.regressors import GRURegressor as GRURegressor
    from tsforecast.sequences.regressors import LSTMRegressor as LSTMRegressor
    from tsforecast.sequences.regressors import MeanRegressor as MeanRegressor
    from tsforecast.sequences.regressors import NeuralRegressor as NeuralRegressor
    from tsforecast.sequences.regressors import RNNRegressor as RNNRegressor
    from tsforecast.sequences.rocket import RocketClassifier as RocketClassifier
    from tsforecast.tracking import track as track

logging.getLogger(__name__).addHandler(logging.NullHandler())  # silent until somebody listens

# In the order in which a newcomer meets them.
_NAMES = {
    "catalog.loaders": ("load_dataset",),
    "catalog.card": ("dataset_names",),
    "data.panel": ("Panel",),
    "evaluation.leaderboard": ("leaderboard", "Leaderboard"),
    "evaluation.backtest": ("backtest",),
    "evaluation.seal": ("seal", "SealedPanel"),
    "evaluation.contamination": ("contamination_check",),
    "evaluation.monitor": ("Monitor",),
    "anomalies.detector": ("detect", "Detector"),
    "anomalies.drift": ("drift", "Drift"),
    "anomalies.results": ("Anomalies",),
    "evaluation.overall": ("overall", "Overall"),
    "evaluation.verification": ("verify_records", "Verification"),
    "records.chain": ("make_key",),
    "adapters.protocol": ("as_forecaster",),
    "forecasters.base": ("Pretraining",),
    "leakage.audit": ("audit", "audit_procedure"),
    "leakage.report": ("AuditReport",),
    **ESTIMATORS,
    "hierarchies.hierarchy": ("Hierarchy",),
    "hierarchies.tables": ("reconcile",),
    "evaluation.compare_classifiers": ("compare_classifiers", "ClassifierComparison", "StepComparison"),
    "evaluation.classification": ("ClassificationResults",),
    "evaluation.steps": ("step_scores",),
    "evaluation.transfer_curve": ("transfer_curve",),
    "evaluation.earliness": ("earliness_curve", "choose_threshold"),
    "data.splits": ("RollingOrigin", "holdout", "LeaveGroupsOut", "GroupKFold"),
    "executors": ("compute",),
    "tracking": ("track",),
    "estimators.persistence": ("save", "load"),
    "errors": (
        "TsForecastError",
        "DataError",
        "ParameterError",
        "LeakageError",
        "TrainingError",
        "TrainingWarning",
        "TrackingError",
        "TrackingWarning",
        "DataWarning",
        "FitWarning",
    ),
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names}
__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        from tsforecast.errors import nearest

        raise AttributeError(f"tsforecast has no {name!r}; {nearest(name, _HOMES)}")
    value = getattr(import_module(f"tsforecast.{_HOMES[name]}"), name)
    globals()[name] = value  # the next access does not come here
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
