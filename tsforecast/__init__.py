"""tsforecast: train small networks on your own time series and learn whether they beat the naive forecast.

The names below are all that a user needs. They are loaded on first use, so that
``import tsforecast`` is quick.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tsforecast.classifiers.cells import Conv1DClassifier as Conv1DClassifier
    from tsforecast.classifiers.cells import GRUClassifier as GRUClassifier
    from tsforecast.classifiers.cells import LSTMClassifier as LSTMClassifier
    from tsforecast.classifiers.cells import RNNClassifier as RNNClassifier
    from tsforecast.classifiers.naive import MajorityClassifier as MajorityClassifier
    from tsforecast.classifiers.neighbors import NearestNeighborClassifier as NearestNeighborClassifier
    from tsforecast.classifiers.neural import NeuralClassifier as NeuralClassifier
    from tsforecast.data.catalog import dataset_names as dataset_names
    from tsforecast.data.catalog import load_dataset as load_dataset
    from tsforecast.data.groups import GroupKFold as GroupKFold
    from tsforecast.data.groups import LeaveGroupsOut as LeaveGroupsOut
    from tsforecast.data.panel import Panel as Panel
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
    from tsforecast.evaluation.adaptation import transfer_curve as transfer_curve
    from tsforecast.evaluation.audit import audit as audit
    from tsforecast.evaluation.audit import audit_procedure as audit_procedure
    from tsforecast.evaluation.backtest import backtest as backtest
    from tsforecast.evaluation.board import Leaderboard as Leaderboard
    from tsforecast.evaluation.leaderboard import leaderboard as leaderboard
    from tsforecast.evaluation.ledger import AuditReport as AuditReport
    from tsforecast.evaluation.recognised import Recognised as Recognised
    from tsforecast.evaluation.recognition import recognise as recognise
    from tsforecast.forecasters.cells import Conv1DForecaster as Conv1DForecaster
    from tsforecast.forecasters.cells import GRUForecaster as GRUForecaster
    from tsforecast.forecasters.cells import LSTMForecaster as LSTMForecaster
    from tsforecast.forecasters.cells import RNNForecaster as RNNForecaster
    from tsforecast.forecasters.ensemble import EnsembleForecaster as EnsembleForecaster
    from tsforecast.forecasters.naive import DriftForecaster as DriftForecaster
    from tsforecast.forecasters.naive import MeanForecaster as MeanForecaster
    from tsforecast.forecasters.naive import NaiveForecaster as NaiveForecaster
    from tsforecast.forecasters.naive import SeasonalNaiveForecaster as SeasonalNaiveForecaster
    from tsforecast.forecasters.naive import WindowAverageForecaster as WindowAverageForecaster
    from tsforecast.forecasters.neural import NeuralForecaster as NeuralForecaster
    from tsforecast.forecasters.reduction import ReductionForecaster as ReductionForecaster
    from tsforecast.forecasters.statistical import ARIMAForecaster as ARIMAForecaster
    from tsforecast.forecasters.statistical import ETSForecaster as ETSForecaster
    from tsforecast.forecasters.statistical import HoltWintersForecaster as HoltWintersForecaster
    from tsforecast.forecasters.statistical import ThetaForecaster as ThetaForecaster
    from tsforecast.saving.store import load as load
    from tsforecast.saving.store import save as save
    from tsforecast.search.search import RaySearch as RaySearch
    from tsforecast.tracking import track as track

__version__ = "0.1.0"
logging.getLogger(__name__).addHandler(logging.NullHandler())  # silent until somebody listens

# In the order in which a newcomer meets them.
_HOMES = {
    "load_dataset": "data.catalog",
    "dataset_names": "data.catalog",
    "Panel": "data.panel",
    "leaderboard": "evaluation.leaderboard",
    "Leaderboard": "evaluation.board",
    "backtest": "evaluation.backtest",
    "audit": "evaluation.audit",
    "audit_procedure": "evaluation.audit",
    "AuditReport": "evaluation.ledger",
    "NaiveForecaster": "forecasters.naive",
    "SeasonalNaiveForecaster": "forecasters.naive",
    "DriftForecaster": "forecasters.naive",
    "MeanForecaster": "forecasters.naive",
    "WindowAverageForecaster": "forecasters.naive",
    "ReductionForecaster": "forecasters.reduction",
    "ETSForecaster": "forecasters.statistical",
    "ARIMAForecaster": "forecasters.statistical",
    "ThetaForecaster": "forecasters.statistical",
    "HoltWintersForecaster": "forecasters.statistical",
    "RNNForecaster": "forecasters.cells",
    "GRUForecaster": "forecasters.cells",
    "LSTMForecaster": "forecasters.cells",
    "Conv1DForecaster": "forecasters.cells",
    "NeuralForecaster": "forecasters.neural",
    "EnsembleForecaster": "forecasters.ensemble",
    "RaySearch": "search.search",
    "MajorityClassifier": "classifiers.naive",
    "NearestNeighborClassifier": "classifiers.neighbors",
    "RNNClassifier": "classifiers.cells",
    "GRUClassifier": "classifiers.cells",
    "LSTMClassifier": "classifiers.cells",
    "Conv1DClassifier": "classifiers.cells",
    "NeuralClassifier": "classifiers.neural",
    "recognise": "evaluation.recognition",
    "Recognised": "evaluation.recognised",
    "transfer_curve": "evaluation.adaptation",
    "RollingOrigin": "data.splits",
    "holdout": "data.splits",
    "LeaveGroupsOut": "data.groups",
    "GroupKFold": "data.groups",
    "track": "tracking",
    "save": "saving.store",
    "load": "saving.store",
    "TsForecastError": "errors",
    "DataError": "errors",
    "ParameterError": "errors",
    "LeakageError": "errors",
    "TrainingError": "errors",
    "TrainingWarning": "errors",
    "TrackingError": "errors",
    "TrackingWarning": "errors",
    "DataWarning": "errors",
    "FitWarning": "errors",
}
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
