"""What forecasters around one other forecaster share: that forecaster, and the horizon that it gets."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from sklearn.base import clone

from tsforecast.errors import Problem
from tsforecast.estimators.base import Estimator, keyword_settings, setting
from tsforecast.estimators.registry import model_name
from tsforecast.forecasters.base import Forecaster


@keyword_settings
class WrappedForecaster(Forecaster):
    """Base of forecasters that fit clones of one other forecaster, their members.

    Subclasses implement `_fit` and `forecast`, and name the members in `role`.
    """

    members_: list[Forecaster] = dataclasses.field(init=False)

    forecaster: Forecaster | None = setting(
        default=None,
        kw_only=False,
        doc="Any forecaster; a `GRUForecaster` unless given. It is cloned, with the horizon of this one.",
    )
    horizon: int | None = setting(  # type: ignore[assignment]
        default=None, least=1, kw_only=False, doc="Steps to forecast; those of the forecaster unless given."
    )

    role: ClassVar[str]  # of a member, in messages

    @property
    def learns_distribution(self) -> bool:
        """Whether its members learn distributions; see `Forecaster.learns_distribution`."""
        return self._given().learns_distribution

    def _given(self) -> Forecaster:
        """Return the forecaster that members are clones of, not fitted."""
        if self.forecaster is not None:
            return self.forecaster
        from tsforecast.forecasters.neural import GRUForecaster

        return GRUForecaster()

    def _new_member(self, horizon: int | None = None) -> Forecaster:
        """Return a member that is not fitted, with this forecaster's horizon unless another one is given."""
        member: Forecaster = clone(self._given()).set_params(horizon=horizon or self.horizon_)
        return member

    def _own_horizon(self) -> int:
        return self.horizon or self._given()._own_horizon()

    def _problems(self) -> list[str]:
        problems = Estimator._problems(self)  # not those of a forecaster, whose horizon must be given
        if not isinstance(self.forecaster, Forecaster | None):
            must = "must be a forecaster, such as ReductionForecaster()"
            return [*problems, Problem(must, f"got {self.forecaster!r}", parameter="forecaster")]
        own = map(Problem.of, self._given()._problems())
        return problems + [problem.within(f"{model_name(self._given())} {self.role}: ") for problem in own]
