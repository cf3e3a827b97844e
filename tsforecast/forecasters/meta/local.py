"""Local models: a forecaster of its own for each series."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.data.context import Context
from tsforecast.data.panel import Panel
from tsforecast.data.samples import SupervisedPanel
from tsforecast.distributions.base import Distribution, assembled
from tsforecast.errors import DataError, TsForecastError, shorten
from tsforecast.estimators.base import keyword_settings
from tsforecast.estimators.registry import model_name
from tsforecast.forecasters.base import Forecaster
from tsforecast.forecasters.meta.wrapped import WrappedForecaster

Floats = NDArray[np.float64]


@keyword_settings
class LocalForecaster(WrappedForecaster):
    """One forecaster for each series, fitted on that series alone.

    Networks of many series train side by side (`docs/benchmarks/speed.md`), each as it would alone with the same
    settings; ``kernels="auto"`` of a network counts the trainings of all series. A global model, which is one
    forecaster fitted on all series, also forecasts series that were not fitted, and is often better where series are
    short and alike [Montero-Manso and Hyndman 2021, Int. J. Forecasting 37]. Groups have no meaning for a single
    series, and are left out; of supervised windows, all are one series. Arrays of a list have no names: they are
    matched by position, when they are forecast as well. Ctrl-C ends all fits and is raised: nothing is fitted.

    Attributes
    ----------
    members_ : list of Forecaster
        The fitted forecaster of each series, in the order of the panel.

    Examples
    --------
    >>> from tsforecast.forecasters.naive import DriftForecaster
    >>> model = LocalForecaster(DriftForecaster(), horizon=2)
    >>> model.fit([np.array([1.0, 2.0, 3.0]), np.array([9.0, 7.0])]).predict()[1].tolist()
    [5.0, 3.0]
    """

    role = "of each series"

    def _fit(self, panel: Panel) -> None:
        count = 1 if isinstance(panel, SupervisedPanel) else len(panel)
        fits = [partial(self._fitted, panel, number) for number in range(count)]
        if not self.side_by_side:
            self.members_ = [fit() for fit in fits]
            return
        from tsforecast.networks.kernels.choice import alike
        from tsforecast.training.runtime import together

        with alike(count):
            self.members_ = together(fits)

    def _fitted(self, panel: Panel, number: int) -> Forecaster:
        """Return the forecaster of one series."""
        model = self._new_member()
        try:
            return model.fit(self.panel_of_member(number, panel))
        except TsForecastError as error:
            where = "" if isinstance(panel, SupervisedPanel) else f"series {str(panel.ids[number])!r}: "
            raise type(error)([problem.within(where) for problem in error.problems]) from error

    def panel_of_member(self, number: int, panel: Any) -> Any:
        """Return the series of a member, without its group; see `Estimator.panel_of_member`."""
        if panel is None or isinstance(panel, SupervisedPanel):
            return panel
        own = panel.select([number])
        return own if own.roles.group is None else own.without(own.roles.group)

    def forecast(self, past: Context, horizon: int) -> Floats:
        """Return forecasts of shape (n, H, K); see `Forecaster.forecast`."""
        found = np.empty((len(past), horizon, past.n_targets))
        for chosen, member in self._members_of(past):
            found[chosen] = member.forecast(past.select(chosen), horizon)
        return found

    def distribution(self, past: Context, horizon: int) -> Distribution:
        """Return the distributions of the forecaster of each series; see `Forecaster.distribution`."""
        parts = [(chosen, each.distribution(past.select(chosen), horizon)) for chosen, each in self._members_of(past)]
        return assembled((len(past), horizon, past.n_targets), parts)

    @property
    def side_by_side(self) -> bool:
        """Whether its forecasters train a network; see `Forecaster.side_by_side`."""
        return self._given().side_by_side

    def is_fallback(self, past: Context) -> NDArray[np.bool_]:
        """Return where a fallback stands in for the forecast of a series, (n, K); see `Forecaster.is_fallback`."""
        found = np.zeros((len(past), past.n_targets), dtype=np.bool_)
        for chosen, member in self._members_of(past):
            found[chosen] = member.is_fallback(past.select(chosen))
        return found

    def learned_rows(self) -> NDArray[np.int64]:
        """Return how many first rows of each fitted series trained its forecaster, (N,)."""
        return np.concatenate([member.learned_rows() for member in self.members_])

    def unchanged_since(self) -> NDArray[np.int64]:
        """Return how many rows of each series were known when its forecaster last learned; see `Updatable`."""
        if isinstance(self.panel_, SupervisedPanel):
            return super().unchanged_since()
        return np.concatenate([member.unchanged_since() for member in self.members_])

    def preprocessing_state(self, panel: Panel) -> dict[str, NDArray[Any]]:
        """Return the preprocessing state of all series; see `Forecaster.preprocessing_state`."""
        model = self._new_member(panel.horizon_or(self._own_horizon()))
        found: dict[str, NDArray[Any]] = {}
        if isinstance(panel, SupervisedPanel):
            return model.preprocessing_state(panel)
        for number, name in enumerate(panel.ids):
            for part, state in model.preprocessing_state(self.panel_of_member(number, panel)).items():
                if part.startswith("training rows"):  # of all series, as an audit reads them
                    found.setdefault(part, panel.lengths.copy())[number] = state[0]
                else:
                    found[f"{part} of series {name}"] = state
        return found

    def _members_of(self, past: Context) -> list[tuple[NDArray[np.bool_], Forecaster]]:
        """Return the forecasters of the cutoffs of a context, and which are theirs, (n,)."""
        if isinstance(self.panel_, SupervisedPanel):
            return [(np.ones(len(past), dtype=np.bool_), self.members_[0])]
        known, ids = dict(zip(self.panel_.ids.tolist(), self.members_, strict=True)), past.ids
        names = list(dict.fromkeys(ids.tolist()))
        if unknown := [repr(str(name)) for name in names if name not in known]:
            raise DataError(
                f"a local model must forecast the series that were fitted: got {shorten(unknown)}; leave these out, or "
                f"fit {model_name(self._given())} on all series without LocalForecaster"
            )
        return [(np.asarray(ids == name), known[name]) for name in names]
