"""Aggregate of forecasters and the naive family, whose weights follow the errors in the past of each forecast."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tsforecast.data.context import Context, held_out, with_observations
from tsforecast.data.panel import Panel
from tsforecast.data.samples import SupervisedPanel
from tsforecast.distributions.base import Distribution
from tsforecast.estimators.base import keyword_settings, setting
from tsforecast.estimators.registry import NAIVE_FAMILY, make, model_name
from tsforecast.forecasters import auto
from tsforecast.forecasters.base import Forecaster
from tsforecast.forecasters.meta.ensemble import EnsembleForecaster

Floats = NDArray[np.float64]
MOST_ROUNDS = 30  # that the validation part counts for
MULTIPLES = np.array([0.0, *2.0 ** np.arange(-2, 9)])  # of a mean loss, that gaps may start from


@keyword_settings
class AggregateForecaster(EnsembleForecaster):
    """Weighted mean of forecasters and the naive family, with weights that follow the errors of each series.

    Each series, target and step of the horizon has weights of its own, none negative, with sum 1. They start equal, are
    learned along the validation part, which members forecast that were fitted without it, and go on after the fit, from
    the errors in the past of each forecast: `predict` with a longer context, or the later cutoffs of a backtest, count
    the new rows without a fit. Series that were not fitted, and windows, have the mean weights.

    Weights are exponential in the sum of absolute errors, at a rate that the validation part chooses and that falls
    with each error after it, as AdaHedge does [de Rooij et al. 2014, JMLR 15], for errors that are known h steps late.
    The validation part counts as up to 30 cutoffs, at which the best member was followed. Over these and T
    cutoffs after the fit, the absolute errors of step h add up to at most those of the best of M members, plus
    ``gaps_ + S * sqrt((2h - 1) * T * log(M)) + 2 * (2h - 1) * S``, where S is the largest difference between the errors
    of two members at a cutoff: whatever the data, and in any unit. `docs/concepts/aggregation.md` has the proof.

    Attributes
    ----------
    members_ : list of Forecaster
        The given ones, and the naive family behind them.
    weights_ : list of float
        Weights of the members at the end of the fit, in the mean over series, steps and targets.
    losses_ : array of shape (N, H, K, M)
        Absolute errors along the validation part: sums over as many cutoffs as it counts for.
    gaps_ : array of shape (N, H, K)
        What the sum of errors lies above that of the best member, at most, before the first error after the fit.

    Examples
    --------
    >>> from tsforecast.forecasters.naive import DriftForecaster
    >>> line = np.arange(40.0)
    >>> model = AggregateForecaster(DriftForecaster(), horizon=2).fit(line)
    >>> dict(zip([type(member).__name__ for member in model.members_], np.round(model.weights_, 2)))["DriftForecaster"]
    np.float64(1.0)
    >>> model.predict().round(6).tolist()
    [40.0, 41.0]
    """

    forecasters: Forecaster | list[Forecaster] | tuple[Forecaster, ...] | None = setting(
        default=None,
        doc="One or several; a `GRUForecaster` unless given. They are cloned, with the horizon of the aggregate.",
    )
    seeds: int = setting(default=1, init=False)
    combine: Literal["mean"] = setting(default="mean", init=False)
    weights: Literal["validation"] = setting(default="validation", init=False)
    validation: float | int = setting(
        default=0.15,
        doc="Share or number of last steps, or of whole groups, along which the weights are learned first.",
    )
    random_state: int = setting(default=0, doc="Seed of the first forecaster that has none; the next have the next.")

    losses_: Floats = dataclasses.field(init=False)
    gaps_: Floats = dataclasses.field(init=False)

    def _fit(self, panel: Panel) -> None:
        seen = self._seen(panel)
        members = [member.fit(panel.until(seen)) for member in self._new_members()]
        past, truth = with_observations(*held_out(panel, seen, self.horizon_))
        losses = _losses(members, past, truth)  # (n, H, K, M)
        # Supervised windows are rounds of one series, in the order of rows.
        supervised = isinstance(panel, SupervisedPanel)
        series, cutoffs = (np.zeros_like(past.series), past.series) if supervised else (past.series, past.rows)
        every = [losses[series == at] for at in range(1 if supervised else len(panel))]
        at_cutoffs = [cutoffs[series == at] for at in range(len(every))]
        self.losses_, self.gaps_ = _start(every, at_cutoffs)
        self.weights_ = self._mean_shares().mean(axis=(0, 1)).tolist()
        self.members_ = [member.fit(panel) for member in self._new_members()]

    def _seen(self, panel: Panel) -> NDArray[np.int64]:
        return auto.training_rows(panel, self.validation, self.horizon_, "forecasters without an aggregate")[1]

    def forecast(self, past: Context, horizon: int) -> Floats:
        """Return forecasts of shape (n, H, K); see `Forecaster.forecast`."""
        each = np.stack([member.forecast(past, horizon) for member in self.members_], axis=-1)  # (n, H, K, M)
        steps = np.minimum(np.arange(horizon), self.horizon_ - 1)  # beyond the last one its weights stay
        return np.asarray((each * self._shares(past)[:, steps]).sum(axis=-1))

    @property
    def learns_distribution(self) -> bool:
        """Whether it learns distributions: it has those of its errors; see `Forecaster.learns_distribution`."""
        return False

    def distribution(self, past: Context, horizon: int) -> Distribution:
        """Return the distributions of the errors of the aggregate; see `Forecaster.distribution`."""
        return Forecaster.distribution(self, past, horizon)

    @property
    def has_parts(self) -> bool:
        """Whether it corrects an anchor: its naive members have none; see `Explainable.has_parts`."""
        return False

    def get_state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return the fitted state; see `Estimator.get_state`."""
        plain, arrays = super().get_state()
        return plain, arrays | {name: plain.pop(name) for name in ("losses_", "gaps_")}

    def set_state(self, plain: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        """Restore the fitted state; see `Estimator.set_state`."""
        super().set_state(plain, arrays)
        self.losses_, self.gaps_ = arrays["losses_"], arrays["gaps_"]
        shape = (len(self.panel_), self.horizon_, self.panel_.n_targets, len(self.members_))
        if self.losses_.shape != shape or self.gaps_.shape != shape[:-1]:
            raise ValueError(f"losses and gaps must be those of {shape}: got {self.losses_.shape}, {self.gaps_.shape}")

    def _shares(self, past: Context) -> Floats:
        """Return the weights of cutoffs, (n, H, K, M), from the errors that are known at each."""
        found = np.broadcast_to(self._mean_shares(), (len(past), *self.losses_.shape[1:])).copy()
        if isinstance(self.panel_, SupervisedPanel):
            return found
        positions, ends = past.continues(self.fitted_panel)
        for at, end, start in sorted(set(zip(positions.tolist(), ends.tolist(), past.starts.tolist(), strict=True))):
            own = np.flatnonzero((positions == at) & (ends == end) & (past.starts == start))
            if at < 0 or not self.losses_[at].any():  # not fitted, or not validated
                continue
            index = int(own[past.rows[own].argmax()])
            cutoffs, truth = past.outcomes(index, end, self.horizon_)
            losses = _losses(self.members_, past.earlier(index, cutoffs), truth)
            rounds = Rounds(losses, cutoffs, self.losses_[at], self.gaps_[at])
            found[own] = rounds.shares(past.rows[own])
        return found

    def _mean_shares(self) -> Floats:
        """Return the weights at the end of the fit, in the mean over the series that validated, (H, K, M)."""
        validated = self.losses_.any(axis=(1, 2, 3))
        chosen = validated if validated.any() else ~validated
        return np.asarray(shares(self.losses_[chosen], self.gaps_[chosen]).mean(axis=0))

    def _new_members(self) -> list[Forecaster]:
        given = super()._new_members()
        names = {model_name(member) for member in given}
        return given + [make(name, horizon=self.horizon_) for name in NAIVE_FAMILY if name not in names]


class Rounds:
    """Losses of M members at T cutoffs in order, (T, H, K, M), and weights from those that are known at a cutoff.

    The loss of step h after a cutoff c is known at c + h. `losses` and `gaps` are sums from before, (H, K, M) and
    (H, K). NaN, of any member, makes a round that does not count.
    """

    def __init__(
        self,
        losses: Floats,
        cutoffs: NDArray[np.int64],
        before: Floats | None = None,
        gaps: Floats | None = None,
    ) -> None:
        count, horizon, _, _ = losses.shape
        self._steps, self._cutoffs = np.arange(horizon), cutoffs
        self._known_at = cutoffs[:, None] + self._steps + 1  # (T, H)
        losses = np.where(np.isnan(losses).any(axis=-1, keepdims=True), 0.0, losses)
        totals = np.zeros((count + 1, *losses.shape[1:]))
        totals[1:] = losses.cumsum(axis=0)
        self._totals = totals if before is None else totals + before  # before each round, (T + 1, H, K, M)
        self._gaps = np.zeros(totals.shape[:-1])
        if gaps is not None:
            self._gaps[0] = gaps
        for i, known in enumerate(self._known(cutoffs)):
            gap = self._gaps[known, self._steps]  # (H, K)
            loss = (shares(self._totals[known, self._steps], gap) * losses[i]).sum(axis=-1)
            mixed = mixed_loss(self._totals[i + 1], gap) - mixed_loss(self._totals[i], gap)
            self._gaps[i + 1] = self._gaps[i] + np.maximum(loss - mixed, 0.0)

    def shares(self, cutoffs: NDArray[np.int64]) -> Floats:
        """Return the weights at cutoffs, (n, H, K, M)."""
        known = self._known(cutoffs)  # (n, H)
        return shares(self._totals[known, self._steps], self._gaps[known, self._steps])

    @property
    def end(self) -> tuple[Floats, Floats]:
        """Sums of losses, (H, K, M), and of gaps, (H, K), after all rounds."""
        return self._totals[-1], self._gaps[-1]

    def losses_at(self, gap: Floats) -> Floats:
        """Return the sums of losses, (H, K), of the weights of a gap (H, K) that stays."""
        known = self._known(self._cutoffs)  # (T, H)
        weights = shares(self._totals[known, self._steps], np.broadcast_to(gap, (len(known), *gap.shape)))
        return np.asarray((weights * np.diff(self._totals, axis=0)).sum(axis=(0, 3)))

    def _known(self, cutoffs: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many rounds are known of each step at cutoffs, (n, H)."""
        return np.stack([np.searchsorted(at, cutoffs, side="right") for at in self._known_at.T], axis=1)


def _start(losses: list[Floats], cutoffs: list[NDArray[np.int64]]) -> tuple[Floats, Floats]:
    """Return sums of losses, (N, H, K, M), and gaps, (N, H, K), to start from, of rounds (T, H, K, M) of each series.

    Gaps are a multiple of the mean loss of the best member of each series and step: the one, for all, whose weights
    would have lost least.
    """
    totals, units, lost = [], [], np.zeros(len(MULTIPLES))
    for own, at in zip(losses, cutoffs, strict=True):
        rounds = Rounds(own, at)
        count = np.maximum((~np.isnan(own).any(axis=-1)).sum(axis=0), 1)  # (H, K)
        total = rounds.end[0]
        unit = total.min(axis=-1) / count
        safe = np.where(unit > 0, unit, 1.0)
        lost += [float((rounds.losses_at(multiple * unit) / safe).sum()) for multiple in MULTIPLES]
        totals.append(total * np.minimum(1.0, MOST_ROUNDS / count)[..., None])
        units.append(unit)
    return np.stack(totals), MULTIPLES[int(lost.argmin())] * np.stack(units)


def shares(totals: Floats, gap: Floats) -> Floats:
    """Return weights (..., M) that fall by e with each gap / log(M) that the sum of losses lies above the least.

    Without a gap (...) they are equal, among the members with the least sum.

    Examples
    --------
    >>> shares(np.array([[1.0, 3.0]]), np.array([2.0 * np.log(2)])).round(3).tolist()
    [[0.731, 0.269]]
    """
    excess, scale = totals - totals.min(axis=-1, keepdims=True), gap[..., None] / max(np.log(totals.shape[-1]), 1e-9)
    raw = np.where(scale > 0, np.exp(-excess / np.where(scale > 0, scale, 1.0)), excess == 0)
    return np.asarray(raw / raw.sum(axis=-1, keepdims=True))


def mixed_loss(totals: Floats, gap: Floats) -> Floats:
    """Return the sum of losses of the mixture at the rate log(M) / gap: the soft minimum of totals (..., M)."""
    least, scale = totals.min(axis=-1), gap / max(np.log(totals.shape[-1]), 1e-9)
    safe = np.where(scale > 0, scale, 1.0)
    return np.asarray(least - scale * np.log(np.exp(-(totals - least[..., None]) / safe[..., None]).mean(axis=-1)))


def _losses(members: list[Forecaster], past: Context, truth: Floats) -> Floats:
    """Return the absolute errors of members, (n, H, K, M), before a truth (n, H, K)."""
    if not len(past):
        return np.zeros((*truth.shape, len(members)))
    each = np.stack([member.forecast(past, truth.shape[1]) for member in members], axis=-1)
    return np.asarray(np.abs(each - truth[..., None]))
