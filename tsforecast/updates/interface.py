"""Updatable: what a forecaster gains that keeps its panel: new rows, without a new fit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from tsforecast.checks import one_of, whole
from tsforecast.data.panel import Panel
from tsforecast.data.protocol import joined
from tsforecast.data.samples import SupervisedPanel
from tsforecast.distributions.interface import Distributional
from tsforecast.distributions.residuals import Residuals
from tsforecast.errors import DataError, Parameter, ParameterError, Problem, counted, raise_any

Rows = NDArray[np.int64]
Floats = NDArray[np.float64]
Scales = Literal["keep", "learn"]
HELD_OUT = 0.25  # share of the rows that were not learned from, the last ones, on which further training is judged

WORTH = 0.01  # share of its error that training must remove: less is not worth other errors than those that are known
UPDATED = {"rows_at_fit_", "changed_rows_", "errors_"}  # attributes of a forecaster that was updated


@dataclass
class Changes:
    """What an update changes besides the rows, and sentences on what came of it."""

    scales: Scales = "keep"
    epochs: int = 0
    settings: dict[str, Any] = field(default_factory=dict)
    sentences: list[str] = field(default_factory=list)


class Updatable(Distributional):
    """Base of forecasters: the fitted panel grows, and what was learned stays, or some of it is learned again.

    Attributes
    ----------
    rows_at_fit_ : array of shape (N,)
        Rows of each series at the fit, of a forecaster that was updated.
    changed_rows_ : array of shape (N,)
        Rows of each series when an update last changed what was learned, where one has.
    errors_ : array
        Errors at held-out cutoffs, in seasonal naive errors, of the forecaster as it was before that change.
    """

    members_: list[Any]
    inputs_: Any  # of a windowed forecaster
    fine_tune: Any  # of a network
    scope: Any
    _recipe: Any
    panel_of_member: Any

    def learned_rows(self) -> Rows:
        """Return how many first rows of each series were learned from."""
        raise NotImplementedError

    @property
    def fitted_panel(self) -> Panel:
        """The rows of the fit, without those of later updates."""
        rows: Rows | None = vars(self).get("rows_at_fit_")
        return self.panel_ if rows is None else self.panel_.until(rows)

    def update(self, data: Any, *, scales: Scales = "keep", epochs: int = 0, **settings: Any) -> Self:
        """Take in rows that follow those that are known, without a new fit; in place, whole or not at all.

        Forecasts then continue from the new end, and intervals count the errors of forecasts from the new cutoffs, each
        made from rows before it by what was learned before these rows. As long as scales are kept and no epochs are
        trained, point forecasts are those of ``predict(context=all rows)``, to the bit, however the rows come in parts.

        Parameters
        ----------
        data : like the data that were fitted
            Rows that follow on, of some or all series. Known rows may come again, as they were. Arrays have no times:
            give all rows from the first one on.
        scales : {"keep", "learn"}
            Keep the scales of networks, of regressions and of anchors as they were learned, or learn them again from
            all rows that are known now. Other forecasters have none; the unit of errors, the seasonal naive error,
            always follows the rows before a cutoff.
        epochs : int
            Epochs to train networks further, on windows whose targets they have not learned from. The last of these
            rows are held out; the network stays as it was unless training makes the error there 1 % smaller.
        **settings
            Of that training, such as ``learning_rate=1e-4``.

        Returns
        -------
        self
            With `last_update`, a sentence on what was done.

        Raises
        ------
        NotFittedError
        ParameterError
            When supervised windows were fitted, or there is nothing to train further.
        DataError
            When rows leave a gap, differ from known ones or are of a series that was not fitted.

        Examples
        --------
        >>> import pandas as pd
        >>> from tsforecast.forecasters.naive import DriftForecaster
        >>> days = pd.date_range("2024-01-01", periods=5, freq="D")
        >>> sales = pd.DataFrame({"day": days, "sales": [1.0, 2.0, 3.0, 5.0, 9.0]})
        >>> model = DriftForecaster().fit(sales[:3])
        >>> model.update(sales[3:]).predict()["sales"].tolist()
        [11.0]
        >>> model.last_update
        '2 new rows of 1 of 1 series, up to 2024-01-05'
        """
        self.check_fitted()
        raise_any(one_of("scales", scales, ("keep", "learn")) + whole("epochs", epochs, 0), ParameterError)
        if settings and not epochs:
            got = f"got {', '.join(settings)}"
            raise ParameterError(Problem("settings of training must come with epochs", got, "add epochs=5"))
        known = self.panel_
        if isinstance(known, SupervisedPanel):
            remedy = "fit series, or fit all windows again"
            raise ParameterError(Problem("update takes in rows of series", "supervised windows were fitted", remedy))
        new = known.read_like(data, what="the new rows")
        panel = joined(known, new)
        changes = Changes(scales, epochs, settings)
        self._require_change(changes)
        before = [(each, dict(vars(each))) for each in self.every_member()]
        try:
            self.take_in(panel, changes)
        except BaseException:
            for each, state in before:
                vars(each).clear()
                vars(each).update(state)
            raise
        self._last_update = "; ".join([_sentence(known, panel), *changes.sentences])
        return self

    @property
    def last_update(self) -> str:
        """What the last `update` did, in a sentence; nothing where there was none since `fit` or `load`."""
        return str(vars(self).get("_last_update", ""))

    def unchanged_since(self) -> Rows:
        """Return how many rows of each series were known when anything was last learned from them, (N,)."""
        own = vars(self).get("changed_rows_", self.fitted_panel.lengths)
        return np.asarray(np.maximum.reduce([own, *(member.unchanged_since() for member in self.members_)]))

    def every_member(self) -> Iterator[Updatable]:
        """Yield this forecaster, its members, and theirs."""
        yield self
        for member in self.members_:
            yield from member.every_member()

    def take_in(self, panel: Panel, changes: Changes) -> None:
        """Take in a panel whose rows begin with those that are known.

        Attributes are replaced, and their values never changed, so that an error can leave all as it was.
        """
        for number, member in enumerate(self.members_):
            member.take_in(self.panel_of_member(number, panel), changes)
        self.rows_at_fit_: Rows = vars(self).get("rows_at_fit_", self.panel_.lengths)
        self.panel_, self._residuals, self._surprises = panel, None, None
        learns, trains = changes.scales == "learn" and hasattr(self, "inputs_"), changes.epochs and _trains(self)
        if not (learns or trains):
            return
        learned = self.learned_rows()
        held_out = "errors_" in vars(self) or (learned < self.rows_at_fit_).any()  # else another fit shows errors
        errors = self.measured().errors.ravel() if held_out else None
        if learns:
            self.inputs_ = self.inputs_.renewed(panel, self._recipe())
        if not (trains and self._train_further(learned, changes)) and not learns:
            return
        if errors is not None:
            self.errors_: Floats = errors
        self.changed_rows_: Rows = panel.lengths
        self._residuals = None

    def measured(self) -> Residuals:
        """Return errors at held-out cutoffs, those before an update changed what was learned as they were."""
        kept: Floats | None = vars(self).get("errors_")
        if kept is None:
            return super().measured()
        panel, errors = self.panel_, [kept.reshape(-1, self.horizon_, self.panel_.n_targets)]
        with suppress(DataError):  # no new cutoff has its truth yet
            later = Residuals.of(self.forecast, panel, self.changed_rows_, self.horizon_, self._most_cutoffs)
            errors.append(later.errors)
        return Residuals(np.concatenate(errors))

    def require_updated(self, plain: dict[str, Any]) -> None:
        """Raise ValueError unless what a saved forecaster keeps of updates belongs to its panel."""
        for name in ("rows_at_fit_", "changed_rows_"):
            rows = np.asarray(plain.get(name, self.panel_.lengths))
            same = rows.shape == self.panel_.lengths.shape and rows.dtype.kind in "iu"
            if not same or (rows < 1).any() or (rows > self.panel_.lengths).any():
                raise ValueError(f"{name} must be rows of {len(self.panel_)} series: got {plain[name]!r}")
        size, errors = self.panel_.n_targets * plain["horizon_"], np.asarray(plain.get("errors_", ()))
        if errors.ndim != 1 or errors.dtype.kind != "f" or errors.size % size:
            raise ValueError(f"errors_ must be numbers of {size} steps and targets each: got {errors.size}")

    def _require_change(self, changes: Changes) -> None:
        """Refuse epochs where no network would be trained."""
        if changes.epochs and not any(map(_trains, self.every_member())):
            must = "only networks can be trained further"
            got = f"a {type(self).__name__} has none that an update trains"
            raise ParameterError(Problem(must, got, ("leave ", Parameter("epochs"), " out, or fit all rows again")))

    def _train_further(self, learned: Rows, changes: Changes) -> bool:
        """Train the network on windows with new targets; return whether that helps, so that it is kept."""
        panel, horizon = self.panel_, self.horizon_
        new = panel.lengths - learned
        held_out = max(horizon, round(HELD_OUT * int(new.max())))
        if int(new.max()) < held_out + horizon:
            got = f"at most {counted(int(new.max()), 'row')} of a series were not learned from"
            must = f"training further must have {held_out + horizon} such rows, of which {held_out} are held out"
            raise DataError(Problem(must, got, ("wait for more, and leave ", Parameter("epochs"), " out")))
        recent = panel.between(np.maximum(learned - self.scope()[0], 0), panel.lengths)
        settings = {"max_epochs": changes.epochs, "validation": held_out, "validation_origins": 1} | changes.settings
        trained = self.fine_tune(recent, **settings)
        seen = np.maximum(panel.lengths - held_out, 1)
        before, after = (_mean_error(each, panel, seen) for each in (self, trained))
        name = f"the {type(self).__name__} on the last {counted(held_out, 'row')}"
        compared = f"{after:.4g} after training, {before:.4g} before, in seasonal naive errors"
        helped = after <= (1 - WORTH) * before
        for changed in ("network_", "history_", "resolved_") if helped else ():
            setattr(self, changed, getattr(trained, changed))
        outcome = f"helped {name}" if helped else f"did not help {name}, and is not kept"
        changes.sentences.append(f"training {outcome}: {compared}")
        return helped


def _trains(forecaster: Any) -> bool:
    return hasattr(forecaster, "fine_tune")


def _mean_error(forecaster: Any, panel: Panel, seen: Rows) -> float:
    """Return the mean absolute error of forecasts after the first rows of each series, in seasonal naive errors."""
    errors = np.abs(Residuals.of(forecaster.forecast, panel, seen, forecaster.horizon_).errors)
    return float(np.nanmean(errors)) if np.isfinite(errors).any() else float("nan")


def _sentence(known: Panel, panel: Panel) -> str:
    """Return how many rows are new, and up to when."""
    more = panel.lengths - known.lengths
    if not more.any():
        return "no new rows"
    ends = panel.frequency.advance(panel.starts, panel.lengths - 1)[more > 0]
    series = f"{int((more > 0).sum())} of {len(panel)} series"
    return f"{counted(int(more.sum()), 'new row')} of {series}, up to {panel.label(int(ends.max()))}"
