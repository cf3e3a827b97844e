"""Reconciled forecaster: forecasts of series and their sums that agree, around any forecaster."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tsforecast.checks import share_or_count
from tsforecast.data.context import Context
from tsforecast.data.panel import Panel
from tsforecast.distributions.base import Distribution, Grid
from tsforecast.errors import DataError, Problem, shorten
from tsforecast.estimators.base import keyword_settings, setting
from tsforecast.forecasters import auto
from tsforecast.forecasters.meta.wrapped import WrappedForecaster
from tsforecast.hierarchies.hierarchy import Hierarchy
from tsforecast.hierarchies.reconciliation import OF_ERRORS, Covariance, Reconciler, shares_of
from tsforecast.updates.interface import Changes

Floats = NDArray[np.float64]
MOST = 100  # cutoffs whose errors are counted
DRAWS = 500  # paths behind the quantiles of a forecast
LEARNED = ("diagonal", "rows", "shares")  # arrays of a fitted model


@keyword_settings
class ReconciledForecaster(WrappedForecaster):
    """Forecasts of series and of their sums that agree, from those of any forecaster, which do not.

    It learns from a panel that `Hierarchy.with_sums` returns. The forecaster is fitted to all series and sums in it;
    then its forecasts at a cutoff are replaced by near ones that add up, in the geometry of their errors: those that
    usually err less move less. The methods that need errors take those at cutoffs of the last rows, of the forecaster
    fitted without these; then it is fitted once more on all rows.

    Forecasts are sums of the forecasts of series, so that they agree but for rounding. Quantiles are those of paths
    through all series and sums, each of which adds up [Panagiotelis et al. 2023, doi 10.1016/j.ejor.2022.07.040];
    quantiles themselves do not, and need not. `sample` returns such paths.

    Attributes
    ----------
    members_ : list of Forecaster
        The fitted forecaster.
    covariances_ : list of Covariance
        Of the errors of all sums and series, for each target; empty where the method needs none.
    shares_ : array of shape (K, n)
        Of each series in the sum of all, for ``method="top-down"``; else empty.

    Examples
    --------
    >>> from tsforecast.forecasters.naive import DriftForecaster
    >>> tree = Hierarchy.of({"both": ["0", "1"]})
    >>> random = np.random.default_rng(0)
    >>> panel = tree.with_sums([np.arange(40.0) + random.normal(size=40) for _ in range(2)])
    >>> model = ReconciledForecaster(DriftForecaster(), hierarchy=tree, horizon=2).fit(panel)
    >>> both, one, other = model.predict()
    >>> bool(np.allclose(both, one + other, rtol=1e-12))
    True
    """

    role = "of the reconciled one"

    hierarchy: Hierarchy = setting(
        doc="Which series add up to which sums; see `Hierarchy.of`. The data hold all of them.",
    )
    method: Literal["bottom-up", "top-down", "top-down-forecasts", "ols", "wls-structure", "wls-variance", "mint"] = (
        setting(
            default="mint",
            doc="`mint` weights by the covariance of errors, shrunk to its diagonal, `wls-variance` by their "
            "variances, `wls-structure` by the number of series in a sum, `ols` equally. `bottom-up` adds up the "
            "forecasts of series; `top-down` divides that of the total by shares of the history, "
            "`top-down-forecasts` by those of the forecasts below each sum.",
        )
    )
    nonnegative: bool = setting(
        default=False,
        doc="Whether forecasts of series below zero become zero before they are added up, as of counts [Di Fonzo and "
        "Girolimetto 2023, doi 10.1016/j.ijforecast.2021.08.004].",
    )
    validation: float | int = setting(
        default=0.3,
        check=share_or_count,
        doc="Share or number of last steps whose errors are learned from, of methods that need errors.",
    )
    _reconcilers: list[Reconciler] | None = dataclasses.field(default=None, init=False)

    def _fit(self, panel: Panel) -> None:
        self.hierarchy.require_sums(panel)
        order, self._reconcilers = self._order(panel.ids), None
        self.covariances_ = list[Covariance]()
        if self.method in OF_ERRORS:
            errors, overlap = self._errors(panel)
            plain = self.method != "mint"
            self.covariances_ = [Covariance.of(errors[..., order, k], overlap, plain) for k in range(panel.n_targets)]
        self.shares_ = np.zeros((0, len(self.hierarchy.series)))
        if self.method == "top-down":
            known = {str(name): panel.series(at) for at, name in enumerate(panel.ids)}
            each = [{name: rows[:, k] for name, rows in known.items()} for k in range(panel.n_targets)]
            self.shares_ = np.stack([shares_of(self.hierarchy, values) for values in each])
        self._each_target(panel.n_targets)  # which refuses a hierarchy that the method does not fit
        self.members_ = [self._new_member().fit(panel)]

    def _errors(self, panel: Panel) -> tuple[Floats, float]:
        """Return errors at J cutoffs that were not learned from, (J, H, N, K), and how many of these share a truth."""
        begin, ends = self._begin(panel), panel.clock_end
        learned = panel.rows_before(begin)
        member = self._new_member().fit(panel.until(learned))
        ticks = np.unique(np.linspace(begin, ends - 1, min(MOST, ends - begin)).astype(np.int64))
        steps = np.arange(self.horizon_)
        found = np.full((len(ticks), self.horizon_, len(panel), panel.n_targets), np.nan)
        for at, tick in enumerate(ticks):
            seen = panel.rows_before(int(tick))
            series = np.flatnonzero(learned > 0)
            past = Context(panel, series, seen[series])
            there = np.asarray(past.has_observations.any(axis=1))
            past, series = past.select(there), series[there]
            rows = seen[series][:, None] + steps  # (n, H)
            known = rows < panel.lengths[series][:, None]
            place = panel.offsets[series][:, None] + np.where(known, rows, 0)
            truth = np.where(known[..., None], panel.values[place, : panel.n_targets], np.nan)
            found[at][:, series] = np.moveaxis(truth - member.forecast(past, self.horizon_), 1, 0)
        apart = (ticks[-1] - ticks[0]) / max(len(ticks) - 1, 1)
        return found, float(max(1.0, self.horizon_ / max(apart, 1.0)))

    def _begin(self, panel: Panel) -> int:
        """Return the time of the first cutoff whose errors count."""
        horizon = panel.horizon_or(self._own_horizon())
        steps, _ = auto.training_rows(panel, self.validation, horizon, "method='wls-structure'")
        return panel.clock_end - steps

    def _training_part(self, panel: Panel) -> Panel:
        return panel.until(panel.rows_before(self._begin(panel))) if self.method in OF_ERRORS else panel

    def take_in(self, panel: Panel, changes: Changes) -> None:
        """Take in rows of all series and sums; weights stay as they were learned."""
        self.hierarchy.require_sums(panel)
        super().take_in(panel, changes)

    def forecast(self, past: Context, horizon: int) -> Floats:
        """Return forecasts of shape (n, H, K); see `Forecaster.forecast`."""
        every, place = past.of_all_series()
        base = self.members_[0].forecast(every, horizon)
        found = np.empty_like(base)
        for at in _times(every):
            found[at] = self._coherent(every.ids[at], base[at])
        return found[place]

    def distribution(self, past: Context, horizon: int) -> Distribution:
        """Return the distributions of coherent paths; see `Forecaster.distribution`."""
        every, place = past.of_all_series()
        member, found = self.members_[0], []
        for at in _times(every):
            part, random = (
                every.select(at),
                np.random.default_rng(0),
            )  # the same at each cutoff, whatever others there are
            paths = member.paths_of(member.distribution(part, horizon), part, DRAWS, random)
            found.append(Grid.of_samples(np.moveaxis(self._coherent(part.ids, paths), 0, -1)).values)
        return Grid(np.concatenate(found)[place])

    def paths(self, past: Context, horizon: int, paths: int, random: np.random.Generator) -> Floats:
        """Draw coherent paths, (P, n, H, K); see `Forecaster.sample`."""
        every, place = past.of_all_series()
        parts = [every.select(at) for at in _times(every)]
        drawn = [self._coherent(part.ids, self.members_[0].paths(part, horizon, paths, random)) for part in parts]
        return np.concatenate(drawn, axis=1)[:, place]

    @property
    def joint(self) -> bool:
        """Whether the forecast of a series needs the past of all others: it does."""
        return True

    def is_fallback(self, past: Context) -> NDArray[np.bool_]:
        """Return where a fallback stands in for the forecast of the member, (n, K); see `Forecaster.is_fallback`."""
        return self.members_[0].is_fallback(past)

    def learned_rows(self) -> NDArray[np.int64]:
        """Return how many first rows of each fitted series trained the member."""
        return self.members_[0].learned_rows()

    def preprocessing_state(self, panel: Panel) -> dict[str, NDArray[Any]]:
        """Return the preprocessing state of the member; see `Forecaster.preprocessing_state`."""
        return self._new_member(panel.horizon_or(self._own_horizon())).preprocessing_state(panel)

    def saved_params(self) -> dict[str, Any]:
        """Return the parameters that a saved model keeps, with the hierarchy as names."""
        tree = self.hierarchy
        plain = {"series": list(tree.series), "levels": {k: list(v) for k, v in tree.levels.items()}}
        return super().saved_params() | {"hierarchy": plain | {"bottom": tree.bottom}}

    @classmethod
    def params_for_this_machine(cls, parameters: dict[str, Any]) -> dict[str, Any]:
        """Return parameters of a saved model, with the hierarchy that its names stand for."""
        return parameters | {"hierarchy": Hierarchy(**parameters["hierarchy"])}

    def get_state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return the fitted state; see `Estimator.get_state`."""
        plain, arrays = super().get_state()
        learned: list[Covariance] = plain.pop("covariances_")
        parts = {name: np.stack([getattr(each, name) for each in learned]) for name in LEARNED[:2] if learned}
        plain["shrinkage_"] = [each.shrinkage for each in learned]
        return plain, arrays | parts | {"shares": plain.pop("shares_")}

    def set_state(self, plain: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        """Restore the fitted state; see `Estimator.set_state`."""
        shrinkage = plain.pop("shrinkage_")
        super().set_state(plain, arrays)
        self.shares_, count = arrays["shares"], len(self.hierarchy.names)
        learned = zip(arrays["diagonal"], arrays["rows"], shrinkage, strict=True) if shrinkage else ()
        self.covariances_ = [Covariance(*each) for each in learned]
        if any(each.diagonal.shape != (count,) or each.rows.shape[1:] != (count,) for each in self.covariances_):
            raise ValueError(f"covariances must be those of {count} sums and series")

    def _each_target(self, count: int) -> list[Reconciler]:
        """Return how forecasts of each target are reconciled."""
        if self._reconcilers is None:
            none: list[Any] = [None] * count
            learned, shares = self.covariances_ or none, list(self.shares_) or none
            self._reconcilers = [
                Reconciler(self.hierarchy, self.method, learned[k], shares[k], self.nonnegative) for k in range(count)
            ]
        return self._reconcilers

    def _order(self, ids: NDArray[Any]) -> NDArray[np.int64]:
        """Return the positions of all sums and series in an array of names, in the order of the hierarchy."""
        place = {str(name): at for at, name in enumerate(ids)}
        if missing := [name for name in self.hierarchy.names if name not in place]:
            must = "a forecast of a hierarchy must have the past of all its series and sums"
            got = f"{shorten([*map(repr, missing)])} {'has' if len(missing) == 1 else 'have'} none"
            raise DataError(Problem(must, got, "give them as well, or start later"))
        return np.array([place[name] for name in self.hierarchy.names])

    def _coherent(self, ids: NDArray[Any], base: Floats) -> Floats:
        """Return coherent forecasts of all series and sums at one cutoff, (..., N, H, K), with these names."""
        order, found = self._order(ids), np.empty_like(base)
        for k, reconcile in enumerate(self._each_target(base.shape[-1])):
            own = np.moveaxis(base[..., k], -2, 0)[order]  # (N, ..., H)
            done = reconcile(own.reshape(len(order), -1)).reshape(own.shape)
            np.moveaxis(found[..., k], -2, 0)[order] = done
        return found

    def _problems(self) -> list[str]:
        problems = super()._problems()
        if not isinstance(self.hierarchy, Hierarchy):
            must = "must be a Hierarchy, such as Hierarchy.of(panel, 'region/city')"
            problems.append(Problem(must, f"got {type(self.hierarchy).__name__}", parameter="hierarchy"))
        return problems


def _times(every: Context) -> list[NDArray[np.int64]]:
    """Return the positions of all series at each time, of what `Context.of_all_series` returned."""
    return np.split(np.arange(len(every)), np.flatnonzero(np.diff(every.series) <= 0) + 1)
