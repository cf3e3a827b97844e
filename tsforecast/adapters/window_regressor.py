"""WindowRegressor: a forecaster as a regressor of rows of lags, as skforecast, MLForecast and Darts make them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.utils.validation import check_is_fitted, validate_data

from tsforecast.adapters.protocol import as_forecaster
from tsforecast.checks import whole
from tsforecast.data.columns import require_unique
from tsforecast.errors import DataError, ParameterError, raise_any, shorten
from tsforecast.estimators.base import FLOATS
from tsforecast.forecasters.base import Forecaster

_LAG = re.compile(r"lag_?(\d+)")  # of skforecast and of MLForecast
_LAG_OF = re.compile(r".+_lag_?\d+")  # of one of several series


class WindowRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """A forecaster as a regressor of rows of lags and covariates.

    A forecaster alone is a regressor of windows whose columns are steps, the oldest first; scikit-learn, Darts and
    sktime lay windows out so. Others lay out the newest lag first, and covariates of the step to forecast next to lags:
    here lags are put in order of time, and each covariate becomes a channel that has its number in every step.

    Parameters
    ----------
    forecaster : Forecaster, or anything that `as_forecaster` takes
        It is copied.
    lags : int or sequence of int, optional
        Lags of the first columns of an ``X`` without names of lags: so many, with the newest first, or those of the
        sequence, in its order. The other columns are covariates. Unless given, every column is a step, the oldest
        first. Columns with names such as ``lag_3`` or ``lag3`` are lags by their names.

    Attributes
    ----------
    forecaster_ : Forecaster
        The fitted copy.
    steps_ : array of int, shape (W,)
        Columns of X that are steps, in order of time.
    covariates_ : array of int, shape (F,)
        The other columns.
    n_features_in_ : int
    feature_names_in_ : array of shape (n_features_in_,)
        Where X was a frame with names.

    Notes
    -----
    Lags with gaps between them, such as 1, 2 and 7, are neighbouring steps to the forecaster.

    Examples
    --------
    >>> from tsforecast import NaiveForecaster
    >>> newest_first = np.array([[3.0, 2.0, 1.0], [4.0, 3.0, 2.0]])
    >>> WindowRegressor(NaiveForecaster(), lags=3).fit(newest_first, [4.0, 5.0]).predict(newest_first).tolist()
    [3.0, 4.0]
    """

    def __init__(self, forecaster: Any, lags: int | Sequence[int] | None = None) -> None:
        self.forecaster = forecaster
        self.lags = lags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Learn from rows of lags and covariates.

        Parameters
        ----------
        X : frame or array of shape (n, columns)
        y : array of shape (n,) or (n, H)
            The number that follows each row, or H numbers.
        sample_weight : array of shape (n,), optional
            How much each row counts in training.

        Raises
        ------
        ParameterError, DataError, ValueError, TypeError
            When the forecaster, the lags or the rows cannot be used.
        """
        if y is None:
            raise DataError("WindowRegressor requires y to be passed, but the target y is None")
        rows = self._read(X, reset=True)
        self.steps_ = self._steps(rows.shape[1])
        self.covariates_ = np.setdiff1d(np.arange(rows.shape[1]), self.steps_)
        self.forecaster_: Forecaster = clone(as_forecaster(self.forecaster))
        self.forecaster_.fit(self._windows(rows), y, sample_weight)
        return self

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Return the numbers that follow rows, (n,) or (n, H) as y was.

        Raises
        ------
        NotFittedError, DataError, ValueError, TypeError
        """
        check_is_fitted(self, "forecaster_")
        return np.asarray(self.forecaster_.predict(self._windows(self._read(X, reset=False))))

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn may expect: y may have several columns; rows in no order of time are poor ones."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.regressor_tags.poor_score = True
        return tags

    def _read(self, X: Any, reset: bool) -> NDArray[Any]:
        """Read rows with the checks, and the words, of scikit-learn."""
        require_unique(X)
        dtypes: Any = getattr(X, "dtypes", None)
        if hasattr(dtypes, "items"):
            texts = [repr(name) for name, dtype in dtypes.items() if getattr(dtype, "kind", "O") not in "biuf"]
            if texts:
                verb = "holds" if len(texts) == 1 else "hold"
                raise DataError(f"X must hold numbers: {shorten(texts)} {verb} none; encode categories as numbers")
        return np.asarray(validate_data(self, X, reset=reset, dtype=FLOATS))

    def _steps(self, count: int) -> NDArray[np.int64]:
        """Return the columns that are steps, in order of time, of `count` columns."""
        asked = _lags_of(self.lags)
        named = {at: int(found[1]) for at, name in enumerate(self._names()) if (found := _LAG.fullmatch(name))}
        if named and asked and sorted(named.values()) != sorted(asked):
            have = shorten([self._names()[at] for at in named], 8)
            raise ParameterError(f"lags must be those of the columns of X: got {self.lags!r}, and X has {have}")
        others = [name for name in self._names() if _LAG_OF.fullmatch(name)]
        if others and not named and not asked:
            raise ParameterError(
                f"X must name lags of one series lag_1, lag_2, ...: {len(others)} of {count} columns are lags of a "
                f"column, such as {others[0]!r}; rename those of the series that is forecast"
            )
        if len(asked) > count:
            raise ParameterError(f"lags must be columns of X: got {len(asked)} lags, and X has {count} columns")
        lag_of = named or dict(enumerate(asked)) or {at: count - at for at in range(count)}
        return np.array(sorted(lag_of, key=lambda at: -lag_of[at]), dtype=np.int64)

    def _names(self) -> list[str]:
        """Return the names of the columns that were fitted; none of an array."""
        return [str(name) for name in getattr(self, "feature_names_in_", ())]

    def _windows(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Return windows (n, W), or with covariates (n, W, 1 + F), each with its number in every step."""
        steps = rows[:, self.steps_]
        if not len(self.covariates_):
            return steps
        beside = np.repeat(rows[:, None, self.covariates_], steps.shape[1], axis=1)  # (n, W, F)
        return np.concatenate([steps[..., None], beside], axis=2)


def _lags_of(lags: int | Sequence[int] | None) -> list[int]:
    """Return the lags of the first columns; none where every column is a step.

    Examples
    --------
    >>> _lags_of(3), _lags_of(range(2, 0, -1)), _lags_of(None)
    ([1, 2, 3], [2, 1], [])
    """
    if lags is None:
        return []
    if isinstance(lags, str) or not isinstance(lags, (int, np.integer, Sequence, np.ndarray)) or isinstance(lags, bool):
        raise ParameterError(f"lags must be a number of lags, or the lag of each of the first columns: got {lags!r}")
    if not isinstance(lags, (Sequence, np.ndarray)):
        raise_any(whole("lags", lags, 1), ParameterError)
        return list(range(1, lags + 1))
    raise_any([problem for lag in lags for problem in whole("lags", lag, 1)][:1], ParameterError)
    found = [int(lag) for lag in lags]
    if len({*found}) < len(found) or not found:
        raise ParameterError(f"lags must be distinct{'' if found else ', and at least one'}: got {found}")
    return found
