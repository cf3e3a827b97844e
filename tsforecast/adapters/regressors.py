"""Regressors and pipelines of scikit-learn as forecasters: by reduction, and by name for the command line."""

from __future__ import annotations

from typing import Any

from sklearn.base import BaseEstimator, is_classifier, is_regressor
from sklearn.utils import all_estimators

from tsforecast.errors import ParameterError, UnknownNameError, nearest, reason
from tsforecast.forecasters.base import Forecaster
from tsforecast.forecasters.reduction import ReductionForecaster


def adapt(model: Any) -> Forecaster | None:
    """Return a reduction by a regressor or a pipeline that ends in one; None of other estimators.

    Raises
    ------
    ParameterError
        When it is a classifier.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> adapt(make_pipeline(StandardScaler(), Ridge())).strategy
    'multioutput'
    """
    if isinstance(model, BaseEstimator) and is_regressor(model):
        return ReductionForecaster(model)
    if isinstance(model, BaseEstimator) and is_classifier(model):
        raise ParameterError(
            f"{type(model).__name__} is a classifier, which forecasts no numbers: give a regressor, or compare "
            "classifiers with compare_classifiers"
        )
    return None


def make(name: str, random_state: int | None = None) -> Any:
    """Return a regressor of scikit-learn by the name of its class, with its defaults and a random state.

    Raises
    ------
    UnknownNameError, ParameterError

    Examples
    --------
    >>> make("ExtraTreesRegressor", random_state=0)
    ExtraTreesRegressor(random_state=0)
    """
    classes = dict(all_estimators(type_filter="regressor"))
    if name not in classes:
        raise UnknownNameError(f"scikit-learn has no regressor {name!r}; {nearest(name, classes)}")
    try:
        found = classes[name]()
    except TypeError as error:  # such as VotingRegressor, which is made of others
        raise ParameterError(
            f"sklearn:{name} needs parameters of its own: {reason(error)}; make it in a module of yours, and name that"
        ) from error
    return found.set_params(random_state=random_state) if "random_state" in found.get_params() else found
