"""Forecaster: fit on series, predict the steps that follow."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, RegressorMixin, clone

from tsforecast.checks import one_of, whole
from tsforecast.data.context import Context, with_future
from tsforecast.data.panel import Panel
from tsforecast.data.protocol import ended_note, silent_note
from tsforecast.data.samples import SupervisedPanel, other_units
from tsforecast.data.seasons import resolved
from tsforecast.distributions.parquet import write_forecasts
from tsforecast.distributions.plots import ForecastPlots
from tsforecast.distributions.predictions import asked_levels, warn_unless_finite, warn_where_still, with_levels
from tsforecast.errors import DataError, DataWarning, ParameterError, Problem, raise_any
from tsforecast.estimators.base import FLOATS, Estimator
from tsforecast.events import observed
from tsforecast.explanations.interface import Explainable
from tsforecast.export.interface import Exportable
from tsforecast.forecasters.auto import training_rows
from tsforecast.provenance import Pretraining as Pretraining
from tsforecast.records.forecasts import recorder
from tsforecast.saving.folder import GOLDEN_OUTPUTS
from tsforecast.updates.interface import UPDATED, Updatable

GOLDEN_SERIES = 3  # of a panel, whose forecasts a saved model keeps
FURTHEST = 10_000  # largest horizon of a saved model, or as many steps as its longest series has
HELD_OUT = 0.2  # share of the last rows at whose cutoffs a forecaster without a validation part shows its errors


def pretraining_of(model: Any) -> Pretraining | None:
    """Return the data that a model of any kind, or several in a list, learned from before; None where none states it.

    Of several the release is the latest, and not known where that of one is not. ParameterError is raised for an
    attribute ``pretraining`` that is no `Pretraining`.
    """
    if isinstance(model, (list, tuple, dict)):
        every = map(pretraining_of, model.values() if isinstance(model, dict) else model)
        known = [each for each in every if each is not None]
        if not known:
            return None
        release = max(each.release for each in known) if all(each.release for each in known) else ""
        return Pretraining(release, tuple(dict.fromkeys(name for each in known for name in each.trained_on)))
    found = None if isinstance(model, (str, type)) else getattr(model, "pretraining", None)
    if not isinstance(found, Pretraining | None):
        must = f"must be Pretraining(release, trained_on) where {type(model).__name__} has it"
        raise ParameterError(Problem(must, f"got {found!r}", parameter="pretraining"))
    if found is None and isinstance(model, BaseEstimator) and not isinstance(model, (Forecaster, type)):
        return pretraining_of(list(model.get_params(deep=False).values()))  # of a pipeline
    return found


class Forecaster(RegressorMixin, Estimator, Explainable, Updatable, Exportable, ForecastPlots):  # type: ignore[misc]
    """Base of all forecasters.

    A forecaster stores its parameters when it is made, and learns in `fit`. It has two interfaces:
    `fit(series)` and `predict()` speak of series; `fit(X, y)` and `predict(X)` of supervised windows, one a row, as any
    regressor of scikit-learn does.

    Subclasses implement `_fit` and `forecast`, and list problems with their parameters in `_problems`.

    Attributes
    ----------
    panel_ : Panel
        The data that were fitted; `predict` without a context continues from its end. Of supervised windows, the first.
    horizon_ : int
        Steps that are forecast: `horizon`, or the width of `y`.
    n_features_in_ : int
        Steps in each supervised window (W), where those were fitted.
    feature_names_in_ : array of shape (W,)
        Their names, where `X` was a frame.
    """

    horizon: int
    horizon_: int
    panel_: Panel
    _fitted_attribute, _fit_call = "panel_", "fit(data)"

    def fit(self, data: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Learn from one or many series, or from supervised windows.

        Parameters
        ----------
        data : frame, Series, array, list of arrays or Panel
            See `Panel.of`; name columns and roles with `Panel.from_frame`. With `y`: windows of shape (n, W), or
            (n, W, C) with C channels, in order of time.
        y : array of shape (n,), (n, H) or (n, H, K), optional
            The H steps that follow each window, of its first K channels.
        sample_weight : array of shape (n,), optional
            How much each window counts in training.

        Returns
        -------
        self

        Raises
        ------
        ParameterError
            When parameters cannot work; all of them are listed.
        DataError
            When the data cannot be used; every problem is listed.
        ValueError, TypeError
            When `data` and `y` are not what scikit-learn takes for X and y.

        Examples
        --------
        >>> from tsforecast.forecasters.naive import NaiveForecaster
        >>> X, y = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([3.0, 5.0])
        >>> NaiveForecaster().fit(X, y).predict(X).tolist()
        [2.0, 4.0]
        """
        panel = self._checked(data, y, sample_weight)
        with observed(self, panel):
            self._fit(panel)
            self._remember(panel)
        return self

    def predict(
        self,
        context: Any = None,
        *,
        future: Any = None,
        horizon: int | None = None,
        ended: Literal["forecast", "drop"] | None = None,
        quantiles: Sequence[float] = (),
        interval: float | Sequence[float] | None = None,
        tidy: bool = False,
        to: str | Path | None = None,
        record: str | Path | None = None,
        record_key: str | Path | None = None,
    ) -> Any:
        """Forecast the steps that follow each series.

        Parameters
        ----------
        context : like the data that were fitted, optional
            Series to continue; the fitted ones unless given. Where supervised windows were fitted: the windows to
            forecast from, (n, W) or (n, W, C).
        future : frame, optional
            Where the data have future columns: those of the steps to forecast, with time and id. A forecaster that
            reads none of them does without.
        horizon : int, optional
            Steps to forecast; the forecaster's own horizon unless given. Beyond it a network goes
            on from its own forecasts; a warning follows where they are more than ten horizons, ten seasons and 100
            steps, or more than the longest series that was fitted.
        ended : {"forecast", "drop"}, optional
            Series that end before the latest one by more than a season and more than a horizon: forecast from their
            own ends, or left out. Forecast with a warning that names them unless given.
        quantiles : sequence of float, optional
            Levels between 0 and 1 of quantiles to return with the point forecast, such as ``(0.1, 0.5, 0.9)``.
        interval : float or sequence of float, optional
            Shares of outcomes, such as 0.8, that central intervals are to hold, whose ends are returned with it.
        tidy : bool
            Return a row for each quantile, with its level in a column, in place of a column for each.
        to : path, optional
            Folder to write the forecasts to, in place of returning them: a Parquet file for each range of series, with
            the columns of the frame; of arrays and wide frames with a row for each series and step. Files run as tasks
            of `tsforecast.compute`. The same call goes on where an earlier one ended; a folder with
            forecasts of another model, other data or options is an OutputError.
        record : path, optional
            File that a record of these forecasts is appended to, one line that follows from those before by its hash:
            the numbers, their times, the cutoffs, fingerprints of model and data, the time of now. `verify_records`
            checks such a file, and scores it once the truth is known.
        record_key : path, optional
            Private key, PEM, that signs the record, such as `make_key` writes.

        Returns
        -------
        frame, Series, array, list of arrays
            In the form of the data, H steps for each series; of windows in the form of `y`. With quantiles or intervals
            a frame has columns such as ``y_q0.1``, or ``y_lo80`` and ``y_hi80``, behind that of each target; a Series
            becomes a frame; an array has a last axis more, of the point, the quantiles and the ends. With `to` a path.

        Raises
        ------
        NotFittedError, ParameterError, OutputError
        DataError
            When the context or `future` cannot be used, or a target has no number to continue from.
        """
        self.check_fitted()
        levels = asked_levels(quantiles, interval)
        keep = recorder(record, record_key, to)
        if isinstance(self.panel_, SupervisedPanel):
            if to is not None or keep:
                raise ParameterError(
                    f"forecasts of supervised windows must be returned: leave {'record' if keep else '`to`'} out, or "
                    "fit series"
                )
            return self._predict_rows(self.panel_, context, future, horizon, levels, tidy)
        panel, past, steps = self.continued(context, future, horizon, ended)
        if to is not None:
            return write_forecasts(to, self, panel, steps, future, levels, tidy)
        known = future is not None
        return self.native_forecasts(panel, past, steps, levels, tidy, keep and partial(keep, self, panel, past, known))

    def native_forecasts(
        self,
        panel: Panel,
        past: Context,
        steps: int,
        levels: Mapping[str, float],
        tidy: bool,
        keep: Callable[..., None] | None = None,
    ) -> Any:
        """Return what `predict` does, after `past`, which ends with all series of a panel; `keep` sees the numbers."""
        points, found = self.numbers(past, steps, levels)
        warn_unless_finite(points, 4)
        if len(levels):
            warn_where_still(panel, found)
        native = with_levels(panel, points, found, levels, tidy) if levels else panel.to_native(points)
        if keep:
            keep(points, found, levels)
        return native

    def continued(
        self, context: Any, future: Any, horizon: int | None, ended: str | None
    ) -> tuple[Panel, Context, int]:
        """Return the panel to continue, its context and the steps to forecast; see `predict`."""
        problems = [] if horizon is None else whole("horizon", horizon, 1)
        raise_any(problems + one_of("ended", ended, ("forecast", "drop"), [None]), ParameterError)
        steps = horizon or self.horizon_
        panel = self.panel_ if context is None else self.panel_.read_like(context)
        if (old := panel.ended(max(steps, panel.season_length))).any() and ended != "forecast":
            if ended is None:
                warnings.warn(ended_note(panel, old), DataWarning, stacklevel=3)
            else:
                panel = panel.select(~old)
        if ended is None and (silent := silent_note(panel, max(steps, panel.season_length))):
            warnings.warn(silent, DataWarning, stacklevel=3)
        longest = int(self.panel_.lengths.max())
        if steps > self.horizon_ and steps > min(longest, 10 * max(self.horizon_, panel.season_length, 10)):
            warnings.warn(
                f"a forecast of {steps} steps lies far beyond the fitted horizon of {self.horizon_}, after at most "
                f"{longest} steps: do not rely on its end; fit a longer horizon, or forecast fewer steps",
                DataWarning,
                stacklevel=3,
            )
        # What is given is read at once, so that wrong covariates are refused; else only when a model needs them.
        later = cache(partial(with_future, panel, steps, future))
        if future is not None:
            later()
        past = Context.at_end(panel, later)
        raise_any(past.problems())
        for caution in self._cautions(past):
            warnings.warn(caution, DataWarning, stacklevel=3)
        return panel, past, steps

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the coefficient of determination (R2) of the forecasts from supervised windows.

        Parameters
        ----------
        X, y : arrays as in `fit`
        sample_weight : array of shape (n,), optional

        Raises
        ------
        ParameterError
            When series were fitted; `backtest` and `leaderboard` judge those.
        """
        self.check_fitted()
        if not isinstance(self.panel_, SupervisedPanel):
            raise ParameterError("score judges supervised windows: judge series with backtest or leaderboard")
        from sklearn.metrics import r2_score

        truth, forecasts = (np.asarray(part).reshape(len(part), -1) for part in (y, self.predict(X)))
        return float(r2_score(truth, forecasts, sample_weight=sample_weight))

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn may expect of `fit(X, y)`."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.target_tags.multi_output = True
        tags.target_tags.required = False  # series come without
        # Series are smooth: where columns are in no order, correcting the last of them is a poor idea.
        tags.regressor_tags.poor_score = True
        return tags

    def _held_out(self, share: float = HELD_OUT) -> tuple[Forecaster, NDArray[np.int64]]:
        """Return a model that learned from the first rows of each fitted series alone, and how many those are, (N,).

        It is this one where it kept rows for validation; else a clone that is fitted once more, without a share of the
        last rows of the fit.
        """
        seen, fitted = self.learned_rows(), self.fitted_panel
        if (seen < fitted.lengths).any():
            return self, seen
        _, seen = training_rows(fitted, share, self.horizon_)
        model = clone(self).set_params(horizon=self.horizon_)
        return model.fit(fitted.until(seen)), seen

    def preprocessing_state(self, panel: Panel) -> dict[str, NDArray[Any]]:
        """Return what is learned from the data before training, and resolved settings, by name, for an audit.

        Names that begin with ``scaler`` or ``choices`` must not depend on rows that only validate.
        """
        return {"windows": panel.values}

    @property
    def pretraining(self) -> Pretraining | None:
        """Data that the model, or a part of it, has learned from before any fit; None where all is learned in `fit`."""
        return pretraining_of(list(self.get_params(deep=False).values()))

    @property
    def side_by_side(self) -> bool:
        """Whether fits in one process run side by side: those of networks, unless a terminal shows their epochs."""
        return hasattr(self, "kernels") and not getattr(self, "verbose", 0)

    def is_fallback(self, past: Context) -> NDArray[np.bool_]:
        """Return which forecasts after `past` are those of a simpler fallback model, (n, K)."""
        return np.zeros((len(past), past.n_targets), dtype=np.bool_)

    def is_cut_off(self, past: Context) -> NDArray[np.bool_]:
        """Return which contexts have numbers that the model cannot read, and are held at the nearest ones, (n,)."""
        return np.zeros(len(past), dtype=np.bool_)

    def _checked(self, data: Any, y: Any = None, sample_weight: Any = None) -> Panel:
        """Check parameters and read the data of `fit`."""
        raise_any(self._problems(), ParameterError)
        if y is not None:
            panel = self._read_rows(data, y, sample_weight)
        elif sample_weight is not None:
            raise ParameterError("sample_weight belongs to supervised windows: give their y as well")
        else:
            panel = Panel.of(data)
            begun = panel.first_numbers[:, : panel.n_targets] < panel.lengths[:, None]
            if not begun.any():  # a series that has not begun yet is fine beside others
                raise_any(Context.at_end(panel).problems())
            self._forget_array()
        self.horizon_ = panel.horizon_or(self._own_horizon())
        return self._with_seasons(panel)

    def _with_seasons(self, panel: Panel) -> Panel:
        """Return a panel with the seasons of the part that this model learns from, where they are to be found."""
        return resolved(panel, self._training_part(panel)) if panel.season_source in ("calendar", "auto") else panel

    def _training_part(self, panel: Panel) -> Panel:
        """Return the rows that choices are learned from."""
        return panel

    def _read_rows(self, X: Any, y: Any, sample_weight: Any) -> Panel:
        """Read windows with the checks, and the words, of scikit-learn."""
        from sklearn.utils.validation import _check_sample_weight, check_array, check_consistent_length

        X = self._read_array(X, reset=True)
        try:
            y = check_array(y, ensure_2d=False, allow_nd=True, dtype=FLOATS, input_name="y", estimator=self)
        except OverflowError as error:
            raise DataError(f"y must hold numbers that a float can hold: {error}; scale them down") from error
        check_consistent_length(X, y)
        if found := other_units(X, y):
            warnings.warn(
                f"y should continue X in the same units, but {found}: leave the scaler out (a forecaster scales for "
                "itself, see scaler=), or scale both alike",
                DataWarning,
                stacklevel=4,
            )
        if sample_weight is None:
            return SupervisedPanel.from_rows(X, y)
        weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        return SupervisedPanel.from_rows(X, y, weights)

    def _predict_rows(
        self,
        fitted: SupervisedPanel,
        X: Any,
        future: Any,
        horizon: int | None,
        levels: Mapping[str, float],
        tidy: bool,
    ) -> Any:
        """Forecast from supervised windows, in the form of y."""
        if X is None or future is not None or horizon is not None:
            raise ParameterError("where supervised windows were fitted, predict takes windows of that form and no more")
        if levels and not self.learns_distribution:
            raise ParameterError(
                "supervised windows show no errors of forecasts that were not learned from: fit "
                f"ConformalForecaster({type(self).__name__}(...)), or series"
            )
        panel = fitted.contexts(self._read_array(X, reset=False))
        past = Context.at_end(panel)
        points = warn_unless_finite(self.forecast(past, self.horizon_))
        if not levels:
            return panel.to_native(points)
        found = self.distribution(past, self.horizon_).quantiles(sorted(levels.values()))
        return with_levels(panel, points, found, levels, tidy)

    def _remember(self, panel: Panel) -> None:
        """Keep the fitted panel, to continue from; of supervised windows one is enough to show their form."""
        for name in UPDATED & vars(self).keys():
            delattr(self, name)
        self.fitted_on_, self._residuals, self._surprises = panel.origin(), None, None
        self.panel_ = panel.select([0]) if isinstance(panel, SupervisedPanel) else panel

    def _forgetting(self, callback: Callable[[Any], None]) -> Callable[[Any], None]:
        """Return a callback of a training after which no errors are kept: the next epoch has others."""

        def notify(event: Any) -> None:
            try:
                callback(event)
            finally:
                self._residuals = self._surprises = None

        return notify

    def saved_panel(self) -> Panel:
        """Return the fitted panel."""
        return self.panel_

    def set_panel(self, panel: Panel | None) -> None:
        """Restore the fitted panel; see `Estimator.set_panel`."""
        if panel is None:
            raise ValueError(f"a {type(self).__name__} must have the panel that was fitted")
        self.panel_ = panel

    def golden(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return a forecast from the end of the first fitted series; see `Estimator.golden`."""
        has_observations = Context.at_end(self.panel_).has_observations.all(axis=1)
        question = {"series": np.flatnonzero(has_observations)[:GOLDEN_SERIES].tolist()}
        return question, {GOLDEN_OUTPUTS: self.golden_outputs(question, {})}

    def golden_outputs(self, question: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> NDArray[np.float64]:
        """Return forecasts of some fitted series, (n, H, K); see `Estimator.golden_outputs`."""
        panel, series = self.panel_, np.array(question["series"], dtype=np.int64)
        if not len(series):
            return np.zeros((0, self.horizon_, panel.n_targets))
        if series.min() < 0 or series.max() >= len(panel):
            raise ValueError(f"golden series must be among {len(panel)}: got {series.tolist()}")
        with np.errstate(all="ignore"):
            forecasts = self.forecast(Context(panel, series, panel.context_lengths[series]), self.horizon_)
        last = panel.lengths.copy()
        last[series] -= 1
        panel.between(last, panel.lengths).to_native(forecasts)  # the caller's library, zone and names work as well
        return forecasts

    def provenance(self) -> dict[str, Any]:
        """Return where this fitted model comes from; see `Estimator.provenance`."""
        found = super().provenance()
        if not isinstance(self.panel_, SupervisedPanel):
            found["data"] = found["data"] | {"panel": repr(self.panel_).removeprefix("Panel: ")}
        return found

    def _split_spans(self) -> dict[str, Any]:
        if isinstance(self.panel_, SupervisedPanel):
            return super()._split_spans()
        panel, trains = self.panel_, self.learned_rows()
        ends = np.maximum(trains, self.fitted_panel.lengths)
        return {"trained": panel.span(np.zeros_like(trains), trains), "validated": panel.span(trains, ends)}

    def set_state(self, plain: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        """Restore the fitted state, once its horizon is that of the golden forecast: a file cannot make it huge."""
        horizon, longest = plain["horizon_"], max(FURTHEST, int(self.panel_.lengths.max()))
        most = arrays[GOLDEN_OUTPUTS].shape[1] if GOLDEN_OUTPUTS in arrays else longest
        if whole("horizon_", horizon, 1) or horizon > most:
            raise ValueError(f"horizon_ must be a whole number up to {most}: got {horizon!r}")
        self.require_updated(plain)
        super().set_state(plain, arrays)

    def learned_rows(self) -> NDArray[np.int64]:
        """Return how many first rows of each fitted series trained this model; the others validated."""
        return self.fitted_panel.lengths

    def _own_horizon(self) -> int:
        """Return the horizon where no `y` sets it."""
        return self.horizon

    def _fit(self, panel: Panel) -> None:
        """Learn from `panel`; its last rows are the cutoff."""

    def _cautions(self, past: Context) -> list[str]:
        """Return warnings about a forecast from `past`."""
        return []

    def _problems(self) -> list[str]:
        """Return one sentence for each parameter that cannot work."""
        return whole("horizon", self.horizon, 1) + super()._problems()
