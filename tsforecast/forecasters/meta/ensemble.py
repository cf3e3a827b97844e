"""Ensemble of several forecasters, or of one with several seeds."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from tsforecast.checks import share_or_count
from tsforecast.data.context import Context, held_out
from tsforecast.data.panel import Panel
from tsforecast.distributions.base import Distribution, mixture
from tsforecast.errors import Problem
from tsforecast.estimators.base import Estimator, keyword_settings, setting
from tsforecast.estimators.registry import model_name
from tsforecast.forecasters import auto
from tsforecast.forecasters.base import Forecaster

Floats = NDArray[np.float64]


@keyword_settings
class EnsembleForecaster(Forecaster):
    """Mean or median of the forecasts of several forecasters, or of one with several seeds.

    Attributes
    ----------
    members_ : list of Forecaster
    weights_ : list of float

    Examples
    --------
    >>> from tsforecast.forecasters.naive import DriftForecaster, NaiveForecaster
    >>> model = EnsembleForecaster([NaiveForecaster(), DriftForecaster()], horizon=2)
    >>> model.fit(np.array([1.0, 2.0, 3.0])).predict().tolist()
    [3.5, 4.0]
    """

    members_: list[Forecaster] = dataclasses.field(init=False)

    forecasters: Forecaster | Sequence[Forecaster] | None = setting(
        default=None,
        kw_only=False,
        doc="One that is fitted `seeds` times, or several that are fitted once each; a `GRUForecaster` unless given. "
        "They are cloned, with the horizon of the ensemble.",
    )
    horizon: int | None = setting(  # type: ignore[assignment]
        default=None, least=1, kw_only=False, doc="Steps to forecast; those of the forecasters unless given."
    )
    seeds: int = setting(
        default=5,
        least=1,
        kw_only=False,
        doc="Number of fits of a single forecaster, with the seeds ``random_state, random_state + 1, ...``.",
    )
    combine: Literal["mean", "median"] = setting(default="mean", kw_only=False, doc="How forecasts become one.")
    weights: Literal["validation"] | None = setting(
        default=None,
        kw_only=False,
        doc="Weighted mean: weights (none negative, sum 1) with the smallest squared error on the validation part, "
        "which members forecast that were fitted without it; then the members are fitted on all rows. Equal weights "
        "unless given.",
    )
    validation: float | int = setting(
        default=0.15,
        check=share_or_count,
        kw_only=False,
        doc="Share or number of last steps, or of whole groups, used to learn the weights.",
    )
    random_state: int = setting(
        default=0,
        least=0,
        kw_only=False,
        doc="First seed; of several forecasters those that have none get ``random_state, random_state + 1, ...``.",
    )

    def _fit(self, panel: Panel) -> None:
        members = self._new_members()
        self.weights_ = [1 / len(members)] * len(members)
        if self.weights:
            self.weights_ = self._learn_weights(panel)
        self.members_ = _fitted(members, panel)

    def _training_part(self, panel: Panel) -> Panel:
        if not self.weights:
            return panel
        return panel.until(self._seen(panel))

    def _seen(self, panel: Panel) -> NDArray[np.int64]:
        """Return how many first rows of each series the weights are not learned along, (N,)."""
        return auto.training_rows(panel, self.validation, self.horizon_, without="weights=None")[1]

    def preprocessing_state(self, panel: Panel) -> dict[str, NDArray[Any]]:
        """Return the preprocessing state of all members; see `Forecaster.preprocessing_state`."""
        horizon = panel.horizon_or(self._own_horizon())
        states = [clone(member).set_params(horizon=horizon).preprocessing_state(panel) for member in self._given()]
        return {f"{name} of member {i}": part for i, state in enumerate(states) for name, part in state.items()}

    def forecast(self, past: Context, horizon: int) -> Floats:
        """Return forecasts of shape (n, H, K); see `Forecaster.forecast`."""
        each = [member.forecast(past, horizon) for member in self.members_]  # (n, H, K) each
        if self.combine == "median":
            return np.asarray(np.median(each, axis=0))
        # Added up one by one: the sum of a series does not depend on those beside it.
        return np.asarray(sum(weight * part for weight, part in zip(self.weights_, each, strict=True)))

    @property
    def learns_distribution(self) -> bool:
        """Whether a member learns distributions; see `Forecaster.learns_distribution`."""
        return any(member.learns_distribution for member in self._given())

    def distribution(self, past: Context, horizon: int) -> Distribution:
        """Return the mixture of the distributions of all members, with their weights; see `Forecaster.distribution`.

        It is as wide as members and their differences are, whether `combine` takes the mean or the median; its mean
        is that of their means.
        """
        return mixture([member.distribution(past, horizon) for member in self.members_], self.weights_)

    @property
    def side_by_side(self) -> bool:
        """Whether a member trains a network; see `Forecaster.side_by_side`."""
        return any(member.side_by_side for member in self._given())

    @property
    def has_parts(self) -> bool:
        """Whether it is a mean of anchors and their corrections; see `Explainable.has_parts`."""
        return self.combine == "mean" and all(member.has_parts for member in self._given())

    def scope(self) -> tuple[int, bool, bool]:
        """Return the longest window, and whether any member scales by series or transforms; see `Explainable.scope`."""
        windows, by_series, powered = zip(*(member.scope() for member in self.members_), strict=True)
        return max(windows), any(by_series), any(powered)

    def anchor_of(self, past: Context, horizon: int) -> Floats:
        """Return the weighted mean of the anchors of all members, (n, H, K); see `Explainable.anchor_of`."""
        each = (member.anchor_of(past, horizon) for member in self.members_)
        return np.asarray(sum(weight * part for weight, part in zip(self.weights_, each, strict=True)))

    def is_fallback(self, past: Context) -> NDArray[np.bool_]:
        """Return where a fallback stands in for the forecast of a member, (n, K); see `Forecaster.is_fallback`."""
        return np.asarray(np.any([member.is_fallback(past) for member in self.members_], axis=0))

    def _new_members(self) -> list[Forecaster]:
        given = self._given()
        single = len(given) == 1 and not isinstance(self.forecasters, (list, tuple))
        members = [clone(member) for member in (given * self.seeds if single else given)]
        for seed, member in enumerate(members, self.random_state):
            parameters = member.get_params()
            if "random_state" in parameters and (single or parameters["random_state"] is None):
                member.set_params(random_state=seed)
        return [member.set_params(horizon=self.horizon_) for member in members]

    def _given(self) -> list[Forecaster]:
        """Return the forecasters as a list."""
        if self.forecasters is None:
            from tsforecast.forecasters.neural import GRUForecaster

            return [GRUForecaster()]
        return [self.forecasters] if isinstance(self.forecasters, Forecaster) else list(self.forecasters)

    def _own_horizon(self) -> int:
        return self.horizon or self._given()[0]._own_horizon()

    def _learn_weights(self, panel: Panel) -> list[float]:
        """Return the weights with the smallest squared error on the validation part."""
        seen = self._seen(panel)
        members = _fitted(self._new_members(), panel.until(seen))
        past, truth = held_out(panel, seen, self.horizon_)
        each = np.stack([member.forecast(past, self.horizon_) for member in members])  # (M, n, H, K)
        scale = np.stack([np.nanstd(panel.series(i)[:, : panel.n_targets], axis=0) for i in past.series])[:, None]
        # A target without observations before the cutoff is not forecast.
        valid = ~np.isnan(truth) & past.has_observations[:, None]
        scale = np.broadcast_to(np.where(scale > 0, scale, 1.0), truth.shape)
        return _simplex_least_squares((each[:, valid] / scale[valid]).T, truth[valid] / scale[valid])

    def _problems(self) -> list[str]:
        problems = Estimator._problems(self)  # not those of a forecaster, whose horizon must be given
        if self.weights is not None and self.combine == "median":
            problems.append("weights belong to a mean: use combine='mean', or weights=None")
        given = self.forecasters
        several = list(given) if isinstance(given, (list, tuple)) else [given]
        if not several or any(not isinstance(member, Forecaster | None) for member in several):
            return [*problems, f"forecasters must be a forecaster or a list of them: got {given!r}"]
        for member in self._given():
            own = map(Problem.of, member._problems())
            problems += [problem.within(f"{model_name(member)} of the ensemble: ") for problem in own]
        horizons = {member.horizon for member in self._given()}
        if self.horizon is None and len(horizons) > 1 and not problems:
            problems.append(f"horizon must be given where forecasters differ in theirs: got {sorted(horizons)}")
        return problems


def _fitted(members: Sequence[Forecaster], panel: Panel) -> list[Forecaster]:
    """Fit members, in their order; networks side by side."""
    networks = [member for member in members if member.side_by_side]
    for member in members:
        if member not in networks:
            member.fit(panel)
    if networks:
        from tsforecast.training.runtime import together

        together([partial(member.fit, panel) for member in networks])
    return list(members)


def _simplex_least_squares(each: Floats, truth: Floats) -> list[float]:
    """Return weights >= 0 with sum 1 that bring the columns of `each` (n, M) closest to `truth` (n,)."""
    from scipy.optimize import nnls

    heavy = 1e3 * np.sqrt(len(truth)) * max(float(np.abs(truth).max()), 1.0)  # one more equation: the sum is 1
    weights, _ = nnls(np.vstack([each, np.full((1, each.shape[1]), heavy)]), np.append(truth, heavy))
    return [float(weight) for weight in weights / weights.sum()]
