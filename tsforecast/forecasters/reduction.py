"""Forecasting by regression: any scikit-learn regressor on windows, shared by all series."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone, is_regressor
from sklearn.linear_model import Ridge
from sklearn.multioutput import MultiOutputRegressor
from sklearn.utils import get_tags
from sklearn.utils.validation import has_fit_parameter

from tsforecast.data.context import Context
from tsforecast.data.panel import Panel
from tsforecast.data.preprocessing import Preprocessor
from tsforecast.data.samples import SupervisedPanel
from tsforecast.data.windows import Batch, Windows
from tsforecast.distributions.base import LEVELS, Distribution, Grid
from tsforecast.distributions.families import Quantiles
from tsforecast.distributions.residuals import lowest_of
from tsforecast.errors import DataError, DataWarning, ParameterError, Problem
from tsforecast.estimators.base import keyword_settings, setting
from tsforecast.events import unobserved
from tsforecast.forecasters.windowed import Known, WindowedForecaster

Floats = NDArray[np.float64]
TILE = 64  # rows of one call of predict
SMALL = 1e-4  # standard deviation below which a window is not divided by it
LEARNED = (0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975)  # levels of quantile regressors, a fit each
_LINEAR = ("coef_", "intercept_")  # fitted state of a linear regressor


def _regressor_problems(name: str, regressor: Any) -> list[str]:
    """Require a regressor of scikit-learn, or None."""
    if regressor is None or (isinstance(regressor, BaseEstimator) and is_regressor(regressor)):
        return []
    must = "must be a regressor of scikit-learn, such as Ridge()"
    return [Problem(must, f"got {regressor!r}", parameter=name)]


@keyword_settings
class ReductionForecaster(WindowedForecaster):
    """Regression of the residual of the naive forecast on windows [Bontempi et al. 2013].

    The same regressors serve all series and targets. The features are the scaled window of one target, less its last
    value where there is an anchor; the windows of past and future covariates; the future covariates of the steps to
    forecast; the static covariates; and, with several targets, an indicator of the target.

    A regressor of quantiles, such as ``HistGradientBoostingRegressor(loss="quantile", quantile=0.5)``, is fitted once
    more for each of nine levels when quantiles are asked for, and sorted, so that none crosses the next; its own level
    is that of the point forecast. Other regressors, and all with ``"recursive"``, have the errors of their points at
    cutoffs that they did not learn from; see `Forecaster.distribution`.

    Attributes
    ----------
    resolved_ : dict
        Values used for automatic settings: window, anchor, value_transform, per_series, season_length.
    inputs_ : Preprocessor
    regressors_ : list of fitted regressors
        One for each step of the horizon with `direct`, else one.
    targets_ : int
        Target columns (K).

    Examples
    --------
    >>> sine = np.sin(np.arange(300) * 2 * np.pi / 20)
    >>> model = ReductionForecaster(strategy="recursive", window=20, horizon=5).fit(sine[:295])
    >>> bool(np.abs(model.predict() - sine[295:]).max() < 0.05)
    True
    """

    regressors_: list[Any] = dataclasses.field(init=False)
    # Once quantiles are asked for; none of those of one level.
    _by_level: list[WindowedForecaster] | None = dataclasses.field(default=None, init=False)

    regressor: BaseEstimator | None = setting(
        default=None,
        check=_regressor_problems,
        kw_only=False,
        doc="Regressor of scikit-learn, which is cloned; ``Ridge()`` unless given.",
    )
    strategy: Literal["multioutput", "direct", "recursive"] = setting(
        default="multioutput",
        kw_only=False,
        doc="One regressor of all steps of the horizon (where it predicts one number only, one for each step); one for "
        "each step, with the future covariates of that step alone; or one for the next step, applied to its own "
        "forecasts.",
    )
    horizon: int = setting(default=1, doc="Steps to forecast (H), in the way of the `strategy`.")
    instance_norm: bool = setting(
        default=False,
        fixed=True,
        doc="Divide the targets in each window by their standard deviation there, and multiply the forecast by it.",
    )
    max_windows: int | None = setting(
        default=200_000, least=1, doc="Train on at most so many windows, taken evenly from all."
    )

    def _fit(self, panel: Panel) -> None:
        if self._by_level != []:
            # Of supervised windows one is kept, from which nothing can be learned later.
            now = isinstance(panel, SupervisedPanel) and self.learns_distribution
            self._by_level = self._fitted_by_level(panel) if now else None
        self._split(panel)
        self.inputs_ = Preprocessor.fit(panel, self._recipe())
        self.targets_ = panel.n_targets
        batch = self._windows(panel)
        past, ahead, static, future = (part.numpy() for part in (batch.past, batch.ahead, batch.static, batch.future))
        ahead = self.inputs_.categories.numbers(ahead, past.shape[2] - ahead.shape[2])
        X, naive, size = self._features(past, None if batch.known is None else batch.known.numpy(), static)
        y = ((future - naive) / size).transpose(0, 2, 1).reshape(len(X), -1)  # (n * K, B)
        weights = None if panel.weights is None else np.repeat(panel.weights[batch.series.numpy()], panel.n_targets)
        self.regressors_ = [
            self._fitted_on(_with_future(X, ahead[:, steps]), y[:, steps], weights) for steps in self._steps()
        ]

    def _windows(self, panel: Panel) -> Batch:
        """Return the training windows as one batch."""
        values, truth = self.inputs_.rows(panel, np.float64)
        windows = Windows(
            values,
            truth,
            panel.offsets,
            self.resolved_["window"],
            self._block,
            least=self._least,
            ahead=len(panel.roles.future),
            static=self._static(panel),
            first=panel.target_starts,
            dtype=torch.float64,
        )
        count = min(len(windows), self.max_windows or len(windows))
        return windows.batch(torch.arange(count) * len(windows) // count)

    def _features(self, past: Floats, known: Known, static: NDArray[Any]) -> tuple[Floats, Floats, Floats]:
        """Return features (n * K, features), naive forecast (n, B, K) and scale (n, 1, K) of scaled windows.

        Steps that do not exist are zero among the features, and one more is the share of those that do.
        """
        targets, window = self.targets_, past.shape[1]
        own, shared = past[..., :targets], self.inputs_.categories.numbers(past[..., targets:], targets)
        there: Any = True  # (n, W, 1)
        if known is not None:
            there = (np.arange(window) >= window - known[:, None])[..., None]
            shared = np.where(there, shared, 0.0)
        level, spread = np.zeros_like(own[:, :1]), np.ones_like(own[:, :1])  # (n, 1, K)
        if self.instance_norm:
            level = own.mean(axis=1, keepdims=True, where=there)
            spread = own.std(axis=1, keepdims=True, where=there)
        naive = np.repeat(level, self._block, axis=1)  # (n, B, K)
        if self._has_anchor:
            level, naive = own[:, -1:], self._naive(own, known, static)
            static = static[:, : self.inputs_.statics.width]
        size = np.maximum(spread, SMALL)
        features = [np.where(there, (own - level) / size, 0.0).transpose(0, 2, 1).reshape(-1, window)]  # (n * K, W)
        shares = np.zeros((len(past), 0)) if known is None else known[:, None] / window
        features += [np.repeat(part.reshape(len(past), -1), targets, axis=0) for part in (shared, static, shares)]
        if targets > 1:
            features.append(np.tile(np.eye(targets), (len(past), 1)))
        return np.concatenate(features, axis=1), naive, size

    def _steps(self) -> list[slice]:
        """Return the steps of a block that each regressor predicts."""
        if self.strategy != "direct":
            return [slice(0, self._block)]
        return [slice(step, step + 1) for step in range(self._block)]

    def _fitted_on(self, X: Floats, y: Floats, weights: Floats | None) -> Any:
        """Return a clone of the regressor, fitted on the rows that have a truth."""
        valid = ~np.isnan(y).any(axis=1)
        if not valid.any():
            raise DataError("a step to forecast must be known after some window: it is missing everywhere; fill it in")
        regressor = clone(self._regressor())
        if weights is not None and not has_fit_parameter(regressor, "sample_weight"):
            raise ParameterError(
                f"sample_weight must have a regressor that takes it: {type(regressor).__name__} does not; leave it out"
            )
        if y.shape[1] > 1 and not get_tags(regressor).target_tags.multi_output:
            regressor = MultiOutputRegressor(regressor)
        options = {} if weights is None else {"sample_weight": weights[valid]}
        regressor.fit(X[valid], y[valid] if y.shape[1] > 1 else y[valid, 0], **options)
        if self.regressor is None:
            # In the order in memory that `load` gives: products with another one differ in the last digit.
            regressor.coef_ = np.ascontiguousarray(regressor.coef_)
        return regressor

    @property
    def _block(self) -> int:
        return 1 if self.strategy == "recursive" else self.horizon_

    def _corrections(self, rows: Floats, known: Known, ahead: Floats, static: NDArray[np.float32]) -> Floats:
        """Return the predictions of the regressors; see `WindowedForecaster._corrections`."""
        X, naive, size = self._features(np.nan_to_num(rows), known, static)
        ahead = self.inputs_.categories.numbers(ahead, rows.shape[2] - ahead.shape[2])
        parts = [
            _predict(regressor, _with_future(X, np.nan_to_num(ahead[:, steps])))
            for regressor, steps in zip(self.regressors_, self._steps(), strict=True)
        ]
        predicted = np.concatenate(parts, axis=1).reshape(len(rows), -1, self._block).transpose(0, 2, 1)  # (n, B, K)
        return predicted * size + naive if not self._has_anchor else predicted * size

    @property
    def learns_distribution(self) -> bool:
        """Whether the regressor predicts quantiles; see `Forecaster.learns_distribution`."""
        return self.strategy != "recursive" and _level_name(self.regressor) is not None

    def distribution(self, past: Context, horizon: int) -> Distribution:
        """Return the distributions of H steps after each of n cutoffs; see `Forecaster.distribution`.

        Steps beyond the fitted horizon have the distributions of its steps, around what the forecaster continues to.
        """
        if not self.learns_distribution:
            return super().distribution(past, horizon)
        if self._by_level is None:
            self._by_level = self._fitted_by_level(self.fitted_panel)
        points, block = self.forecast(past, horizon), min(horizon, self._block)
        each = np.stack([model.forecast(past, block) for model in self._by_level], axis=-1)  # (n, B, K, levels)
        grid = Quantiles(LEARNED).quantiles(np.sort(each, axis=-1), LEVELS)
        steps = np.arange(horizon) % block
        beyond = (points - points[:, steps])[..., None]  # zero within the fitted horizon
        return Grid(np.maximum(grid[:, steps] + beyond, lowest_of(self.panel_)[:, None]))

    def _fitted_by_level(self, panel: Panel) -> list[WindowedForecaster]:
        """Return a forecaster for each of the levels that are learned."""
        name, found = f"regressor__{_level_name(self.regressor)}", list[WindowedForecaster]()
        with unobserved(), warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)  # which the fit of the point forecasts has shown
            for level in LEARNED:
                model = clone(self).set_params(horizon=self.horizon_, **{name: level})
                model._by_level = []
                found.append(model.fit(panel))
        return found

    def get_state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return the fitted state; see `Estimator.get_state`. Regressors other than the default one have no arrays."""
        plain, numbers = super().get_state()
        if self.regressor is not None:
            return plain, numbers
        del plain["regressors_"]
        for i, regressor in enumerate(self.regressors_):
            numbers |= {f"regressor{i}.{name}": np.asarray(getattr(regressor, name)) for name in _LINEAR}
        return plain, numbers

    def set_state(self, learned: dict[str, Any], numbers: dict[str, NDArray[Any]]) -> None:
        """Restore the state that `get_state` returned; see `Estimator.set_state`."""
        super().set_state(learned, numbers)
        if self.targets_ != self.panel_.n_targets:
            raise ValueError(f"targets must be those of the panel, {self.panel_.n_targets}: got {self.targets_!r}")
        self.regressors_ = []
        for i in range(len(self._steps())):
            regressor = Ridge()
            for name in _LINEAR:
                setattr(regressor, name, numbers[f"regressor{i}.{name}"])
            self.regressors_.append(regressor)

    def _regressor(self) -> Any:
        return Ridge() if self.regressor is None else self.regressor

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = get_tags(self._regressor()).regressor_tags.poor_score
        return tags


def _level_name(regressor: Any) -> str | None:
    """Return the parameter of a regressor of quantiles that is its level; None of other regressors."""
    params = {} if regressor is None else regressor.get_params(deep=False)
    losses = {params[name] for name in ("loss", "objective") if name in params}
    if losses - {"quantile"}:
        return None
    return "quantile" if "quantile" in params else "alpha" if losses and "alpha" in params else None


def _predict(regressor: Any, X: Floats) -> Floats:
    """Predict in tiles of fixed size, (n, B), so that a row does not depend on its batch-mates."""
    filled = np.concatenate([X, np.zeros((-len(X) % TILE, X.shape[1]))])
    tiles = [np.asarray(regressor.predict(tile)) for tile in filled.reshape(-1, TILE, X.shape[1])]
    for tile in tiles:
        if tile.dtype.kind not in "biuf" or tile.shape[:1] != (TILE,):
            raise ParameterError(
                f"regressor {type(regressor).__name__}() must predict numbers, one row for each of {TILE}: got shape "
                f"{tile.shape}, {tile.dtype}"
            )
    return np.concatenate(tiles).reshape(len(filled), -1)[: len(X)]


def _with_future(X: Floats, ahead: Floats) -> Floats:
    """Append the future covariates (n, B, F) of the predicted steps to the features (n * K, features)."""
    if not ahead.size:
        return X
    flat = ahead.reshape(len(ahead), -1)
    return np.concatenate([X, np.repeat(flat, len(X) // len(flat), axis=0)], axis=1)
