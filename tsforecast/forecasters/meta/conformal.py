"""Conformal intervals around any forecaster, calibrated at cutoffs that it did not learn from."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tsforecast.checks import between, share_or_count
from tsforecast.data.context import CUTOFFS, Context, held_out, with_observations
from tsforecast.data.panel import Panel
from tsforecast.data.samples import SupervisedPanel
from tsforecast.distributions.base import LEVELS, Distribution, Grid
from tsforecast.distributions.conformal import REPORTED, Calibration, adaptive, as_long, needed
from tsforecast.distributions.residuals import scales
from tsforecast.errors import DataError, Parameter, Problem
from tsforecast.estimators.base import keyword_settings, setting
from tsforecast.forecasters import auto
from tsforecast.forecasters.base import HELD_OUT, Forecaster
from tsforecast.forecasters.meta.wrapped import WrappedForecaster
from tsforecast.updates.interface import Changes

Floats = NDArray[np.float64]
OF_EACH = 100  # cutoffs of a series that calibrate, at least, where series are calibrated apart and have so many


@keyword_settings
class ConformalForecaster(WrappedForecaster):
    """The point forecasts of any forecaster, with quantiles calibrated on rows that it did not learn from.

    The forecaster is fitted without the last rows, the calibration part, and forecasts from each cutoff in it. Of m
    errors of a step the i-th in order is the quantile at i / (m + 1) around the point forecast, so that an interval
    holds its share of outcomes wherever the errors to come are exchangeable with these, whatever their distribution
    [Vovk, Gammerman and Shafer 2005; Angelopoulos and Bates 2021, arXiv 2107.07511]. Errors are taken in units of the
    seasonal naive error of each series, or, of a forecaster with a distribution of its own, in units of the width of
    its interval.

    With ``method="adaptive"`` the level of each quantile moves along the cutoffs in order of time, after each error,
    and the quantiles are those of the latest errors [Gibbs and Candes 2021, arXiv 2106.00170; Zaffran et al. 2022,
    arXiv 2202.07282]: coverage is kept where level or spread of the data shift. It goes on after the fit, from errors
    in the past of each forecast.

    Attributes
    ----------
    members_ : list of Forecaster
        The fitted forecaster.
    calibration_ : Calibration
        Errors, series and cutoffs.
    coverage_ : dict of float to float
        Adaptive: the share of calibration errors within intervals of 0.8 and 0.95, each made from errors before it,
        past a first half that begins.

    Examples
    --------
    >>> from tsforecast.forecasters.naive import SeasonalNaiveForecaster
    >>> series = np.tile([1.0, 5.0, 3.0], 100) + np.random.default_rng(0).normal(size=300)
    >>> model = ConformalForecaster(SeasonalNaiveForecaster(season_length=3), horizon=3).fit(series)
    >>> model.predict(interval=0.95).shape, model.calibration_.count()
    ((3, 3), 58)
    """

    role = "of the conformal one"

    method: Literal["split", "adaptive", "mondrian"] = setting(
        default="split",
        kw_only=False,
        doc="`split` takes all errors at once; `adaptive` follows each series in order of time; `mondrian` is `split` "
        "for each group apart, or for each series where the data have no groups.",
    )
    by: Literal["series", "group"] | None = setting(
        default=None,
        doc="Series or groups that are calibrated apart, each on its own last rows; all together unless given. Series "
        "and groups that were not fitted take the errors of all.",
    )
    calibration: float | int = setting(
        default=0.2,
        check=share_or_count,
        doc="Share or number of last steps that calibrate; of whole groups where the data have several, unless groups "
        "or series are calibrated apart.",
    )
    coverage: float = setting(
        default=0.95,
        check=lambda name, value: between(name, value, 0, 1, open_low=True),
        doc="Largest share of outcomes that an interval is to hold: the calibration part must have residuals enough "
        "for it, 39 of each step for 0.95. Wider intervals end at the largest residual.",
    )
    rate: float = setting(
        default=0.02,
        check=lambda name, value: between(name, value, 0, 1, open_low=True),
        doc="Adaptive: how far a level moves after a miss; more follows faster, and wavers more.",
    )
    refit: bool = setting(
        default=True,
        doc="Fit the forecaster once more on all rows for the forecasts to come. The claim is exact without, and the "
        "intervals are a little wide where more rows make it better.",
    )

    def _fit(self, panel: Panel) -> None:
        seen = self._seen(panel)
        member = self._new_member().fit(panel.until(seen))
        most = max(CUTOFFS, OF_EACH * len(panel)) if self._by(panel) else CUTOFFS
        past, truth = with_observations(*held_out(panel, seen, self.horizon_, most=most))
        self.calibration_ = Calibration(_errors(member, past, truth), past.series, past.rows)
        self._require_enough(panel)
        self.seen_ = seen
        self.coverage_ = self._reached() if self.method == "adaptive" else {}
        self.members_ = [self._new_member().fit(panel) if self.refit else member]

    def _training_part(self, panel: Panel) -> Panel:
        return panel.until(self._seen(panel))

    def take_in(self, panel: Panel, changes: Changes) -> None:
        """Take in rows; errors from the cutoffs that have a whole horizon now join those that calibrate.

        Each is that of a forecast by the member as it was. Adaptive intervals find errors after the fit themselves.
        """
        if self.method != "adaptive":
            first = self._cutoffs_since()
            past, truth = with_observations(*held_out(panel, first, self.horizon_, most=len(panel.values)))
            known = self.calibration_
            more = Calibration(_errors(self.members_[0], past, truth), past.series, past.rows)
            order = np.lexsort((np.append(known.cutoffs, more.cutoffs), np.append(known.series, more.series)))
            every = [np.concatenate([getattr(each, field.name) for each in (known, more)]) for field in fields(known)]
            self.calibration_ = Calibration(*(part[order] for part in every))
        if self.refit:
            super().take_in(panel, changes)
        else:  # the member keeps the rows that it learned from
            self.rows_at_fit_ = vars(self).get("rows_at_fit_", self.panel_.lengths)
            self.panel_, self._residuals, self._surprises = panel, None, None

    def _cutoffs_since(self) -> NDArray[np.int64]:
        """Return the first cutoff of each series, (N,), whose error neither calibrates nor was learned from."""
        first = self.unchanged_since().copy()
        later = self.calibration_.cutoffs >= self.fitted_panel.lengths[self.calibration_.series]
        np.maximum.at(first, self.calibration_.series[later], self.calibration_.cutoffs[later] + 1)
        return first

    def forecast(self, past: Context, horizon: int) -> Floats:
        """Return forecasts of shape (n, H, K); see `Forecaster.forecast`."""
        return self.members_[0].forecast(past, horizon)

    def distribution(self, past: Context, horizon: int) -> Distribution:
        """Return the calibrated distributions; see `Forecaster.distribution`.

        Adaptive: errors at cutoffs after the fit count, as far as the context of a forecast itself holds their truth.
        """
        member = self.members_[0]
        unit = units_of(member, past, horizon)
        around = np.empty((*unit.shape, len(LEVELS)))
        for chosen, quantiles in self._adapted(past) if self.method == "adaptive" else self._split(past):
            around[chosen] = as_long(quantiles, horizon)
        return Grid(member.forecast(past, horizon)[..., None] + unit[..., None] * around)

    @property
    def learns_distribution(self) -> bool:
        """Whether it learns distributions, as this one does; see `Forecaster.learns_distribution`."""
        return True

    @property
    def has_parts(self) -> bool:
        """Whether the member has; see `Explainable.has_parts`."""
        return self._given().has_parts

    def scope(self) -> tuple[int, bool, bool]:
        """Return that of the member; see `Explainable.scope`."""
        return self.members_[0].scope()

    def anchor_of(self, past: Context, horizon: int) -> Floats:
        """Return the anchors of the member, (n, H, K); see `Explainable.anchor_of`."""
        return self.members_[0].anchor_of(past, horizon)

    def is_fallback(self, past: Context) -> NDArray[np.bool_]:
        """Return where a fallback stands in for the forecast of the member, (n, K); see `Forecaster.is_fallback`."""
        return self.members_[0].is_fallback(past)

    def learned_rows(self) -> NDArray[np.int64]:
        """Return how many first rows of each fitted series trained the member."""
        return self.members_[0].learned_rows() if self.refit else self.seen_

    def preprocessing_state(self, panel: Panel) -> dict[str, NDArray[Any]]:
        """Return the preprocessing state of the member before calibration; see `Forecaster.preprocessing_state`."""
        seen, horizon = self._seen(panel), panel.horizon_or(self._own_horizon())
        state = self._new_member(horizon).preprocessing_state(panel.until(seen))
        for name in [name for name in state if name.startswith("training rows")]:
            rows = np.zeros(len(panel), dtype=np.int64)  # none of a group that calibrates as a whole
            rows[seen > 0] = state[name]
            state[name] = rows
        return {f"{name} before calibration": part for name, part in state.items()} | {"calibration from": seen}

    def _held_out(self, share: float = HELD_OUT) -> tuple[Forecaster, NDArray[np.int64]]:
        """Return the member that calibrates, or, where it was fitted once more, that of the member itself."""
        member = self.members_[0]
        return member._held_out(share) if self.refit else (member, self.seen_)

    def get_state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return the fitted state; see `Estimator.get_state`."""
        plain, arrays = super().get_state()
        calibration: Calibration = plain.pop("calibration_")
        parts = {field.name: getattr(calibration, field.name) for field in fields(calibration)}
        return plain, arrays | {f"calibration.{name}": part for name, part in parts.items()}

    def set_state(self, plain: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        """Restore the fitted state; see `Estimator.set_state`."""
        super().set_state(plain, arrays)
        names = [field.name for field in fields(Calibration)]
        self.calibration_ = Calibration(*(arrays[f"calibration.{name}"] for name in names))
        if self.calibration_.errors.shape[1:] != (self.horizon_, self.panel_.n_targets):
            raise ValueError(
                f"calibration errors must be those of {self.horizon_} steps and {self.panel_.n_targets} targets: got "
                f"{self.calibration_.errors.shape[1:]}"
            )
        if not self.refit and not isinstance(self.panel_, SupervisedPanel):
            self.members_[0].set_panel(self.fitted_panel.until(self.seen_))

    def _seen(self, panel: Panel) -> NDArray[np.int64]:
        """Return how many first rows of each series the member learns from before it is calibrated, (N,)."""
        group = panel.roles.group
        cut = panel.without(group) if group is not None and self._by(panel) is not None else panel
        remedy = "a forecaster that is not conformal"
        return auto.training_rows(cut, self.calibration, panel.horizon_or(self._own_horizon()), remedy, "calibration")[
            1
        ]

    def _by(self, panel: Panel) -> str | None:
        """Return the units that are calibrated apart."""
        if self.by == "group" and panel.groups is None:
            must, remedy = "needs a group column", "name one when the data are read, or use by='series'"
            raise DataError(Problem(must, "the data have none", remedy, parameter="by"))
        if self.method == "split" or self.by is not None:
            return self.by
        return "group" if self.method == "mondrian" and panel.groups is not None else "series"

    def _cells(self, panel: Panel) -> NDArray[Any]:
        """Return the unit of each series that is calibrated apart, (N,)."""
        by = self._by(panel)
        if by == "group" and panel.groups is not None:
            return panel.groups
        return panel.ids if by == "series" else np.zeros(len(panel), dtype=np.int64)

    def _require_enough(self, panel: Panel) -> None:
        """Raise DataError where a unit has fewer residuals than an interval of the largest share needs."""
        cells = self._cells(panel)[self.calibration_.series]
        counts = {cell: self.calibration_.of(cells == cell).count() for cell in dict.fromkeys(cells.tolist())}
        least, cell = min(((count, str(cell)) for cell, count in counts.items()), default=(0, ""))
        if least >= needed(self.coverage):
            return
        by = self._by(panel)
        whose = f" of {by} {cell!r}" if by and counts else ""
        reached = int(100 * (1 - 2 / (least + 1))) / 100
        ways: list[Any] = ["give longer series, or a larger share as ", Parameter("calibration")]
        ways += [", or use ", Parameter("coverage"), f" <= {reached:g}"] if reached > 0 else []
        raise DataError(
            Problem(
                f"an interval of {100 * self.coverage:g} % must have {needed(self.coverage)} residuals of each step",
                f"the calibration part{whose} has {least}",
                tuple(ways),
            )
        )

    def _split(self, past: Context) -> list[tuple[NDArray[Any], Floats]]:
        """Return the quantiles of each unit that is calibrated apart, (H, K, L), and which cutoffs have them, (n,)."""
        panel, calibration = self.panel_, self.calibration_
        cells = self._cells(panel)
        known = dict(zip(panel.ids.tolist(), cells.tolist(), strict=True))
        if self._by(panel) is None:
            return [(np.ones(len(past), dtype=np.bool_), calibration.quantiles(self.horizon_))]
        own = [known.get(name) for name in past.ids.tolist()]
        found = []
        for cell in dict.fromkeys(own):
            errors = calibration.of(cells[calibration.series] == cell)
            errors = errors if len(errors.errors) else calibration
            found.append((np.array([one == cell for one in own]), errors.quantiles(self.horizon_)))
        return found

    def _adapted(self, past: Context) -> list[tuple[NDArray[Any], Floats]]:
        """Return the quantiles of cutoffs, (H, K, L), from the errors that are known at each."""
        fitted = self.fitted_panel  # errors of later rows are found as for any context
        positions, ends = past.continues(fitted)
        starts, found = past.rows - past.lengths, list[tuple[NDArray[Any], Floats]]()
        for series, start in dict.fromkeys(zip(past.series.tolist(), starts.tolist(), strict=True)):
            chosen = (past.series == series) & (starts == start)
            at, end = int(positions[chosen][0]), int(ends[chosen][0])
            own = self.calibration_.of(self.calibration_.series == at)
            if not len(own.errors):  # a series that was not fitted
                found.append((chosen, self.calibration_.quantiles(self.horizon_)))
                continue
            errors, cutoffs = self._later(past, int(np.flatnonzero(chosen)[past.rows[chosen].argmax()]), at, end)
            ahead = int(fitted.lengths[at]) - end  # rows of the fitted series before those of the context
            quantiles, _ = adaptive(
                np.concatenate([own.errors, errors]),
                np.concatenate([own.cutoffs, cutoffs + ahead]),
                past.rows[chosen] + ahead,
                self.rate,
                len(own.errors) // 2,
                len(own.errors),
            )
            found += [(np.flatnonzero(chosen)[[i]], one) for i, one in enumerate(quantiles)]
        return found

    def _later(self, past: Context, index: int, at: int, end: int) -> tuple[Floats, NDArray[np.int64]]:
        """Return errors at cutoffs from the end of the fit up to cutoff `index`, and these cutoffs, in order."""
        start = int(past.starts[index])
        first = max(end, start + int(self.seen_[at])) if start else end
        cutoffs, truth = past.outcomes(index, first, self.horizon_)
        if not len(cutoffs):
            return truth, cutoffs
        return _errors(self.members_[0], past.earlier(index, cutoffs), truth), cutoffs

    def _reached(self) -> dict[float, float]:
        """Return the coverage along the calibration part, the mean over series."""
        parts, none = [], np.zeros(0, dtype=np.int64)
        for at in np.unique(self.calibration_.series):
            own = self.calibration_.of(self.calibration_.series == at)
            count = len(own.errors)
            parts.append(adaptive(own.errors, own.cutoffs, none, self.rate, count // 2, count)[1])
        return {share: float(np.mean([part[share] for part in parts if part])) for share in REPORTED}

    def _problems(self) -> list[str]:
        problems = super()._problems()
        if self.method == "adaptive" and self.by == "group":
            problems.append("by must be 'series' with method='adaptive', which follows each series: got 'group'")
        return problems


def units_of(member: Forecaster, past: Context, horizon: int) -> Floats:
    """Return the unit of errors, (n, H, K): the width of the member's own interval of 80 %, or a scale of the past."""
    if member.learns_distribution:
        ends = member.distribution(past, horizon).quantiles([0.1, 0.9])
        return np.asarray(ends[..., 1] - ends[..., 0])
    return np.repeat(scales(past, member.panel_.season_length)[:, None], horizon, axis=1)


def _errors(member: Forecaster, past: Context, truth: Floats) -> Floats:
    """Return the errors of forecasts before a truth (n, H, K) in their units; NaN where nothing has moved yet."""
    unit = units_of(member, past, truth.shape[1])
    errors = truth - member.forecast(past, truth.shape[1])
    return np.asarray(np.where(unit > 0, errors, np.nan) / np.where(unit > 0, unit, 1.0))
