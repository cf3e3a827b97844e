"""Estimator, the base of forecasters and classifiers: checked parameters, fitted state, saving and pickling."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import sklearn.exceptions
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from tsforecast._version import __version__
from tsforecast.data import frames
from tsforecast.errors import DataError, ParameterError, TsForecastError, nearest, raise_any

FLOATS = [np.float64, np.float32]
_VERSION = "_tsforecast_version"  # in a pickle


class NotFittedError(TsForecastError, sklearn.exceptions.NotFittedError):  # type: ignore[misc]
    """A prediction, or a saved model, was requested before `fit`."""


class VersionWarning(sklearn.exceptions.InconsistentVersionWarning):  # type: ignore[misc]
    """A pickle was written by another version of this package."""

    def __init__(self, name: str, here: str, wrote: str) -> None:
        super().__init__(estimator_name=name, current_sklearn_version=here, original_sklearn_version=wrote)

    def __str__(self) -> str:
        return (
            f"a pickled {self.estimator_name} of tsforecast {self.original_sklearn_version} is read by version "
            f"{self.current_sklearn_version} and may not work: fit it anew, or keep models with save and load"
        )


def unknown_settings(estimator: BaseEstimator, settings: Iterable[str]) -> list[str]:
    """Return one problem for each name that is no parameter of an estimator."""
    known = estimator._get_param_names()
    return [
        f"{type(estimator).__name__} has no setting {name!r}; {nearest(name, known)}"
        for name in settings
        if name.partition("__")[0] not in known
    ]


class Estimator(BaseEstimator):  # type: ignore[misc]
    """Base of everything that is fitted and can be saved.

    Attributes
    ----------
    fitted_on_ : dict
        Summary of the fitted data: series, steps, first, last, and the SHA-256 of all that could be read.
    members_ : list of Estimator
        Fitted estimators that this one is made of; empty for most.
    """

    fitted_on_: dict[str, Any]
    members_: list[Any] = []  # noqa: RUF012
    _fitted_attribute: ClassVar[str]  # set by `fit` as soon as predictions are possible
    _fit_call: ClassVar[str]

    def set_params(self, **settings: Any) -> Self:
        """Change parameters; see scikit-learn's `BaseEstimator.set_params`.

        Raises
        ------
        ParameterError
            With the nearest name where there is no such parameter.
        """
        raise_any(unknown_settings(self, settings), ParameterError)
        super().set_params(**settings)
        return self

    def check_fitted(self) -> None:
        """Raise NotFittedError unless `fit` was called."""
        if not hasattr(self, self._fitted_attribute):
            raise NotFittedError(f"this {type(self).__name__} must be fitted first: call {self._fit_call}")

    def save(self, folder: str | Path) -> None:
        """Write this fitted model to a folder, which `tsforecast.load` reads; see `tsforecast.save`.

        Raises
        ------
        ParameterError, NotFittedError, OutputError
        """
        from tsforecast.estimators.persistence import save

        save(self, folder)

    def saved_params(self) -> dict[str, Any]:
        """Return the parameters that a saved model keeps."""
        parameters: dict[str, Any] = self.get_params(deep=False)
        return parameters

    def get_state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return the fitted state besides panel and members: plain values, and arrays, both by name."""
        apart = ("panel_", "members_")
        plain = {name: value for name, value in vars(self).items() if name.endswith("_") and name not in apart}
        return plain, {}

    def set_state(self, plain: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        """Restore the fitted state that `get_state` returned.

        Raises
        ------
        ValueError
            When a name is no attribute that `fit` sets.
        """
        for name in plain:
            if not name.endswith("_") or name.startswith("_") or hasattr(type(self), name):
                raise ValueError(f"{name!r} is no fitted attribute of a {type(self).__name__}")
        self.__dict__.update(plain)

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        return {**state, _VERSION: __version__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        wrote = state.get(_VERSION, "before 0.1.0")
        if wrote != __version__:
            warnings.warn(VersionWarning(type(self).__name__, __version__, wrote), stacklevel=2)
        super().__setstate__({name: value for name, value in state.items() if name != _VERSION})

    def _problems(self) -> list[str]:
        """Return one sentence for each parameter that cannot work."""
        return []


def read_rows(X: Any, read: Callable[[], Any]) -> Any:
    """Read X with a check of scikit-learn; explain what scikit-learn lets through to libraries beneath it.

    Parameters
    ----------
    X : array or frame
    read : callable
        Calls the check and returns the array.

    Raises
    ------
    DataError
    ValueError, TypeError
        Those of scikit-learn itself.
    """
    frames.require_unique(X)
    try:
        return read()
    except np.exceptions.DTypePromotionError as error:
        raise DataError("X must hold numbers, one step in each column: some columns hold dates") from error
    except (TypeError, ValueError) as error:
        if _raised_in(error).startswith("sklearn"):
            raise
        raise DataError(f"X must hold numbers, one step in each column: {error}") from error


def _raised_in(error: BaseException) -> str:
    """Return the name of the module that raised an error."""
    at = error.__traceback__
    while at and at.tb_next:
        at = at.tb_next
    return str(at.tb_frame.f_globals.get("__name__")) if at else ""
