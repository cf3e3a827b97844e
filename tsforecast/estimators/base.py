"""What forecasters and classifiers share: parameters with checked names, and what they learned as plain values."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from tsforecast.errors import ParameterError, nearest, raise_any


def unknown_settings(estimator: BaseEstimator, settings: Iterable[str]) -> list[str]:
    """Return a sentence for each name that is no parameter of a forecaster, or of a classifier."""
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
        Of the data that were fitted: series, steps, first, last, and the SHA-256 of all that could be read.
    """

    fitted_on_: dict[str, Any]
    members_: list[Any] = []  # noqa: RUF012 - fitted models that this one is made of; none, mostly

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
        found: dict[str, Any] = self.get_params(deep=False)
        return found

    def learned(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return what `fit` found besides panel and members: plain values, and arrays for a file, both by name."""
        kept = ("panel_", "members_")
        plain = {name: value for name, value in vars(self).items() if name.endswith("_") and name not in kept}
        return plain, {}

    def restore(self, learned: dict[str, Any], numbers: dict[str, NDArray[Any]]) -> None:
        """Take back what `learned` returned.

        Raises
        ------
        ValueError
            When a name is none of what is learned.
        """
        for name in learned:
            if not name.endswith("_") or name.startswith("_") or hasattr(type(self), name):
                raise ValueError(f"{name!r} is nothing that a {type(self).__name__} learns")
        self.__dict__.update(learned)

    def _problems(self) -> list[str]:
        """Return what is wrong with the parameters."""
        return []
