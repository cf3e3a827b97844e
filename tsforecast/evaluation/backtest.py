"""Backtest: forecasts from rolling origins, one row for each."""

from __future__ import annotations

from contextlib import closing, suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone

from tsforecast.adapters.protocol import as_forecaster, label_of
from tsforecast.checks import flag
from tsforecast.data.context import Context
from tsforecast.data.panel import Panel
from tsforecast.data.protocol import Protocol
from tsforecast.data.scaling import seasonal_scales
from tsforecast.data.splits import (
    Align,
    Cutoff,
    Fold,
    GroupKFold,
    LeaveGroupsOut,
    Positions,
    is_tested,
    training_part,
    trains_on_other_groups,
)
from tsforecast.data.zones import from_utc
from tsforecast.errors import DataError, ParameterError, TsForecastError, raise_any
from tsforecast.evaluation.record import PAST_ROWS, ForecastFit, as_code, learned, times_of
from tsforecast.evaluation.runner import packed, random_states
from tsforecast.evaluation.scores import ENDS, SCORES, scores_of
from tsforecast.evaluation.seal import count_opening
from tsforecast.events import clock, interruptible, unobserved
from tsforecast.executors import run_here, run_tasks
from tsforecast.forecasters.base import Forecaster
from tsforecast.leakage.audit import audit_case
from tsforecast.mapped import slices

NUMBERS = 2**20  # of the pasts that are scored at once


def backtest(
    forecaster: Any,
    data: Any,
    horizon: int,
    origins: int = 1,
    step: int | None = None,
    gap: int = 0,
    refit: bool = False,
    train_length: int | None = None,
    name: str | None = None,
    groups: LeaveGroupsOut | GroupKFold | None = None,
    audit: Literal["data", "fit"] | None = "data",
    min_past: int = 1,
    align: Align | None = None,
    distributions: bool = False,
    seal: str | Path | None = None,
) -> pd.DataFrame:
    """Forecast from rolling cutoffs with a clone of `forecaster`, which sees only the past of each.

    Parameters
    ----------
    forecaster : Forecaster, regressor, function or object
        Anything that `as_forecaster` takes. Cloned, with its own horizon replaced by `gap` + `horizon`.
    data : anything that `Panel.of` reads
    horizon, origins, step, gap, train_length
        See `RollingOrigin`. Series of other groups without time stamps are learned from as a whole.
    refit : bool
        Fit again at each cutoff, in processes or a cluster as set by `tsforecast.compute`; else fit once at the oldest
        cutoff and forecast from the later ones.
    name : str, optional
        The model's name in the rows.
    groups : LeaveGroupsOut or GroupKFold, optional
        Splitter of a panel with groups: a model forecasts series of groups that it was not fitted on. Each group is
        left out in turn unless given.
    audit : {"data", "fit"} or None
        Level of the leak audit at the oldest cutoff, and for the first groups that are left out; see
        `tsforecast.audit`. `data` takes a few hundredths of the time of a fit, `fit` fits about ten times more, thirty
        without a seed; so does a model of other software at both levels, which is run as a whole.
    min_past : int
        Least number of steps of a series before a cutoff, such as the window of a model. Series shorter than
        `min_past` + `gap` + `horizon` are left out.
    align : {"time", "end"}, optional
        Cut all series at the same times, or each so many steps before its own end, although they have time stamps: for
        recordings of devices at different hours. Training rows of one series may then be later than the cutoff of
        another; what lies after a series' own cutoff stays hidden. Unless given, "time", and refused where more than
        half of the series would be lost that "end" could test.
    distributions : bool
        Score the distribution of each forecast as well.
    seal : path, optional
        Ledger of a sealed test part, see `tsforecast.seal`: an opening is counted where its rows are tested, and
        ``rows.attrs["seal"]`` has a note on those before.

    Returns
    -------
    pandas.DataFrame
        One row for each series, target, cutoff and step: ``model, series, group, target, cutoff`` (last time stamp
        before the forecast), ``step`` (1 is the first after the cutoff and gap), ``time``, ``phase`` (position in
        season, see `Frequency.phase`), ``y, forecast, seed``; ``leak_audit``, the outcome of the audit and its level;
        ``replaced``, whether a simpler forecast was used as fallback; ``naive_mae, naive_mse``, the errors of the
        seasonal naive forecast on the past, which scale MASE and RMSSE; ``fit_seconds`` of the fit and
        ``predict_seconds`` of the call. With distributions also ``crps``; ``quantile_loss``, twice its mean over the
        levels .1, .2, ... .9; ``lo50, hi50, lo80, hi80, lo95, hi95``, ends of central intervals; ``pit_lo, pit_hi``,
        the probabilities of less than the truth and of the truth or less, which are one but for counts.

    Raises
    ------
    ParameterError, DataError

    Examples
    --------
    >>> from tsforecast.forecasters.naive import NaiveForecaster
    >>> rows = backtest(NaiveForecaster(), np.arange(10.0), horizon=2, origins=2)
    >>> rows[["cutoff", "step", "time", "y", "forecast"]].values.tolist()
    [[5.0, 1.0, 6.0, 6.0, 5.0], [5.0, 2.0, 7.0, 7.0, 5.0], [7.0, 1.0, 8.0, 8.0, 7.0], [7.0, 2.0, 9.0, 9.0, 7.0]]
    """
    name = name or label_of(forecaster)
    forecaster = as_forecaster(forecaster)
    raise_any(flag("distributions", distributions), ParameterError)
    protocol = Protocol(horizon, origins, step, gap, refit, train_length, groups, audit, min_past, align)
    panel = protocol.prepared(Panel.of(data))
    test = Backtest(panel, protocol, distributions)
    note = count_opening(seal, panel, test.folds, [name]) if seal is not None else ""
    folds = dict(enumerate(test.folds))
    # A single fit runs here, and spreads its own tasks; so does what cannot be pickled.
    here = len(folds) == 1 or (not run_here() and packed(forecaster) is None)
    with closing(run_tasks(_rows, folds, (test, name, forecaster), 1 if here else None)) as ended:
        parts = {number: outcome.result() for number, outcome in ended}
    rows = joined([parts[number] for number in folds])
    if note:
        rows.attrs["seal"] = note
    return rows


def _rows(fold: Fold, shared: tuple[Backtest, str, Forecaster]) -> pd.DataFrame:
    """Return the rows of a fold; entry point of workers."""
    test, name, forecaster = shared
    return test.run(name, forecaster, fold)[0]


@dataclass(frozen=True, eq=False)
class Backtest:
    """The data and cutoffs that all forecasters of a comparison share; an `evaluation.runner.Experiment`."""

    panel: Panel
    protocol: Protocol
    distributions: bool = False
    record_type = ForecastFit

    @property
    def folds(self) -> list[Fold]:
        """Folds of the protocol."""
        return self.protocol.folds(self.panel)

    @property
    def tested_at(self) -> Cutoffs:
        """The cutoffs of all folds, of the series that are tested there."""
        parts = [_cutoffs(self.panel, fold.cutoffs, fold.test) for fold in self.folds]
        return Cutoffs(*(np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(Cutoffs)))

    @property
    def identity(self) -> tuple[str, str]:
        """Fingerprint of the data, and the protocol as code, with the seasons, which a fingerprint has not if found."""
        protocol = f"{self.protocol!r} with seasons {self.panel.seasons}"
        return self.panel.fingerprint(), protocol + " with distributions" * self.distributions

    def planned(self, name: str, forecaster: Forecaster, fold: Fold) -> ForecastFit:
        """Return the record of a fit before it begins."""
        panel, oldest = self.panel, fold.cutoffs[0]
        whole = trains_on_other_groups(panel, fold.train, oldest)  # see `training_part`
        start = np.zeros_like(oldest.start) if whole else oldest.start
        seen = panel.lengths if whole else oldest.seen
        mine = fold.train[seen[fold.train] > start[fold.train]]
        first = panel.frequency.advance(panel.starts[mine], start[mine]).min()
        last = panel.frequency.advance(panel.starts[mine], seen[mine] - 1).max()
        left_out = panel.groups[fold.test] if panel.groups is not None and len(fold.test) < len(panel) else ()
        seed = next((state for state in random_states(forecaster).values() if state is not None), None)
        return ForecastFit(
            model=name,
            seed=None if seed is None else int(seed),
            series=len(mine),
            learned_from=(panel.label(first), panel.label(last)),
            steps=int((seen - start)[mine].sum()),
            left_out=tuple(sorted({str(group) for group in left_out})),
            settings=as_code(forecaster),
        )

    def run(self, name: str, forecaster: Forecaster, fold: Fold) -> tuple[pd.DataFrame, ForecastFit]:
        """Fit a clone once and forecast from each cutoff of the fold; return the rows and the record."""
        model = self.unfitted(forecaster)
        began = clock()
        self.fit(model, fold)
        fit = replace(self.planned(name, forecaster, fold), fit_seconds=clock() - began)
        return self.tested(model, fold, replace(fit, **self.audited(model, fold)))

    def unfitted(self, forecaster: Forecaster) -> Forecaster:
        """Return a clone that forecasts as far as the protocol asks."""
        model: Forecaster = clone(forecaster).set_params(horizon=self.protocol.ahead)
        return model

    def fit(self, model: Forecaster, fold: Fold) -> None:
        """Fit a model on what lies before the oldest cutoff of a fold."""
        with interruptible():
            model.fit(training_part(self.panel, fold.cutoffs[0], fold.train))

    def tested(self, model: Forecaster, fold: Fold, fit: ForecastFit) -> tuple[pd.DataFrame, ForecastFit]:
        """Forecast with a fitted model from each cutoff of the fold; return the rows, and the record completed."""
        panel, protocol = self.panel, self.protocol
        began = clock()
        cutoffs = _cutoffs(panel, fold.cutoffs, fold.test)
        past = cutoffs.past(panel)
        forecasts = model.forecast_on_the_wall(past, protocol.ahead)[:, protocol.gap :]  # (n, H, K)
        fit = replace(fit, **learned(model), predict_seconds=clock() - began)
        fit = replace(fit, cut_off=int(model.is_cut_off(past).sum()))
        truth = truth_after(panel, cutoffs, protocol.horizon)
        values = {"y": truth, "forecast": forecasts}
        if self.distributions:
            values |= dict.fromkeys(SCORES, np.full(truth.shape, np.nan))
            try:
                with unobserved():  # it may fit a clone, to see its errors
                    values |= scores_of(model.distribution_on_the_wall, past, protocol.gap, truth)
            except TsForecastError as error:
                fit = replace(fit, no_distribution="; ".join(error.problems))
        return rows_of(panel, cutoffs, values, model.is_fallback(past), fit), fit

    def audited(self, model: Forecaster, fold: Fold) -> dict[str, Any]:
        """Return outcome and cost of the audit in the first fold, as fields of `ForecastFit`; nothing in others."""
        panel, protocol = self.panel, self.protocol
        if fold.number > 0:
            return {}
        if protocol.audit is None:
            return {"leak_audit": "not run"}
        # Recordings of other groups are learned from as a whole at each cutoff: the newest one forecasts the most.
        cutoff = fold.cutoffs[-1 if trains_on_other_groups(panel, fold.train, fold.cutoffs[0]) else 0]
        began = clock()
        found = audit_case(model, panel, cutoff, fold.train, fold.test, protocol.ahead, protocol.audit)
        seconds = clock() - began
        return {"leak_audit": found.outcome, "audit_runs": found.runs, "audit_seconds": seconds}


@dataclass(frozen=True, eq=False)
class Ahead(Backtest):
    """One fit of each model on all data, and its forecasts of the steps that follow; without an audit."""

    explained: str | None = None  # the model whose forecasts are explained as well

    @property
    def folds(self) -> list[Fold]:
        """One fold, whose cutoff is the end of each series."""
        every, seen = np.arange(len(self.panel)), self.panel.lengths
        end = Cutoff(0, np.zeros_like(seen), seen, seen + self.protocol.gap, seen + self.protocol.ahead)
        return [Fold(0, every, every, [end])]

    @property
    def identity(self) -> tuple[str, str]:
        """See `Backtest.identity`."""
        data, protocol = super().identity
        return data, f"{protocol} ahead" + f" explained {self.explained}" * (self.explained is not None)

    def audited(self, model: Forecaster, fold: Fold) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def tested(self, model: Forecaster, fold: Fold, fit: ForecastFit) -> tuple[pd.DataFrame, ForecastFit]:
        """Return forecasts, with the ends of central intervals, of as many series as a record keeps."""
        panel, protocol = self.panel, self.protocol
        past = Context.at_end(panel)
        kept = np.flatnonzero(past.has_observations.all(axis=1))
        past = past.select(kept[: max(1, PAST_ROWS // (protocol.horizon * panel.n_targets))])
        values = {"forecast": model.forecast_on_the_wall(past, protocol.ahead)[:, protocol.gap :]}  # (n, H, K)
        try:
            with unobserved():
                found = model.distribution_on_the_wall(past, protocol.ahead).steps(slice(protocol.gap, None))
            values |= dict(zip(ENDS, np.moveaxis(found.quantiles([*ENDS.values()]), -1, 0), strict=True))
        except TsForecastError as error:
            fit = replace(fit, no_distribution="; ".join(error.problems))
        if fit.model == self.explained:
            with unobserved(), suppress(TsForecastError):  # too few cutoffs
                fit = replace(fit, explanation=model.explain().plain())
        n, horizon, targets = values["forecast"].shape
        steps = fold.cutoffs[0].first[past.series][:, None] + np.arange(horizon)  # (n, H)
        times = panel.frequency.advance(panel.starts[past.series][:, None], steps)
        frame = {
            "model": fit.model,
            "series": np.repeat(panel.ids[past.series], horizon * targets),
            "target": np.tile(np.repeat(panel.roles.target, horizon), n),
            "step": np.tile(np.arange(1, horizon + 1), n * targets),
            "time": times_of(panel, np.repeat(times[:, None], targets, axis=1).ravel()),
        }
        return pd.DataFrame(frame | {name: each.transpose(0, 2, 1).ravel() for name, each in values.items()}), fit


def joined(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """Join the rows of one model, with the outcome of the audit in its first fold for all of them."""
    rows = pd.concat(parts, ignore_index=True)
    rows["leak_audit"] = pd.Categorical([parts[0]["leak_audit"].iloc[0]]).repeat(len(rows))
    return rows


@dataclass(frozen=True, eq=False)
class Cutoffs:
    """Positions at n cutoffs, shape (n,) each: the series, and its rows as in `Cutoff`."""

    series: Positions
    start: Positions
    seen: Positions
    first: Positions
    last: Positions

    def past(self, panel: Panel) -> Context:
        return Context(panel, self.series, self.seen, self.start)

    def where(self, chosen: NDArray[np.bool_]) -> Cutoffs:
        return Cutoffs(*(getattr(self, field.name)[chosen] for field in fields(self)))


def _cutoffs(panel: Panel, cutoffs: list[Cutoff], test: Positions) -> Cutoffs:
    """Return every cutoff with an observation before it and a target after it."""
    names = ("start", "seen", "first", "last")
    rows = {name: np.concatenate([getattr(cutoff, name) for cutoff in cutoffs]) for name in names}
    found = Cutoffs(np.tile(np.arange(len(panel)), len(cutoffs)), **rows)
    found = found.where(is_tested(cutoffs).ravel() & np.isin(found.series, test))
    if len(found.series):
        found = found.where(np.asarray(found.past(panel).has_observations.any(axis=1)))
    if not len(found.series):
        raise DataError("no series has both a past and a target at any cutoff; use fewer origins or a shorter horizon")
    return found


def truth_after(panel: Panel, cutoffs: Cutoffs, horizon: int) -> NDArray[np.float64]:
    """Return the truth after each cutoff, (n, H, K), NaN where there is none; it is read only here."""
    at = cutoffs.first[:, None] + np.arange(horizon)  # (n, H)
    inside = at < cutoffs.last[:, None]
    rows = np.where(inside, panel.offsets[cutoffs.series][:, None] + at, 0)
    return np.where(inside[..., None], panel.values[rows, : panel.n_targets], np.nan)


def rows_of(
    panel: Panel,
    cutoffs: Cutoffs,
    values: dict[str, NDArray[np.float64]],
    is_fallback: NDArray[np.bool_],
    fit: ForecastFit,
) -> pd.DataFrame:
    """Return truth, forecasts and scores, (n, H, K) each, as rows."""
    _, horizon, targets = values["y"].shape
    series = cutoffs.series
    at = cutoffs.first[:, None] + np.arange(horizon)  # (n, H): rows of the truth in each series
    scales = _scales(panel, cutoffs)  # (n, K, 2)

    n = len(series)
    size = n * horizon * targets
    last_seen = panel.frequency.advance(panel.starts[series], cutoffs.seen - 1)
    times = panel.frequency.advance(panel.starts[series][:, None], at)

    def flat(name: str) -> NDArray[np.float64]:
        return values[name].transpose(0, 2, 1).ravel()

    def spread(per_cutoff: NDArray[Any]) -> NDArray[Any]:
        return np.repeat(per_cutoff, horizon * targets)

    groups = pd.array([None] * len(panel) if panel.groups is None else panel.groups.astype(str), dtype="string")
    target_codes = np.tile(np.repeat(np.arange(targets), horizon), n)
    rows = pd.DataFrame(
        {
            "model": pd.Categorical([fit.model]).repeat(size),
            "series": pd.Categorical.from_codes(spread(series), pd.Index(panel.ids)),
            "group": groups.take(spread(series)),
            "target": pd.Categorical.from_codes(target_codes, pd.Index(panel.roles.target)),
            "cutoff": times_of(panel, spread(last_seen)),
            "step": np.tile(np.arange(1, horizon + 1, dtype=np.int32), n * targets),
            "time": times_of(panel, np.repeat(times[:, None], targets, axis=1).ravel()),
            "phase": np.repeat(_phases(panel, times)[:, None], targets, axis=1).ravel(),
            "y": flat("y"),
            "forecast": flat("forecast"),
            "seed": pd.array([fit.seed], dtype="Int32").repeat(size),
            "replaced": np.repeat(is_fallback.ravel(), horizon),
            "leak_audit": pd.Categorical([fit.leak_audit]).repeat(size),
            "naive_mae": np.repeat(scales[..., 0].ravel(), horizon),
            "naive_mse": np.repeat(scales[..., 1].ravel(), horizon),
            "fit_seconds": np.float32(fit.fit_seconds),
            "predict_seconds": np.float32(fit.predict_seconds),
            **{name: flat(name) for name in SCORES if name in values},
        }
    )
    # No row for a target without observations before the cutoff, or without truth.
    has_observations = cutoffs.past(panel).has_observations.ravel()  # (n * K)
    return rows[np.repeat(has_observations, horizon) & ~np.isnan(rows["y"].to_numpy())]


def _phases(panel: Panel, stamps: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return the position in season of each stamp, in local time."""
    if panel.source.local_zone and panel.kind == "datetime":
        stamps = from_utc(stamps.ravel(), panel.source.local_zone).reshape(stamps.shape)
    return panel.frequency.phase(stamps, panel.season_length).astype(np.int32)


def _scales(panel: Panel, cutoffs: Cutoffs) -> NDArray[np.float64]:
    """Return the seasonal naive's mean absolute and squared error on the past of each cutoff, (n, K, 2)."""
    season, targets = panel.season_length, panel.n_targets
    start, seen = cutoffs.start, cutoffs.seen
    scales, single = np.empty((len(seen), targets, 2)), list[NDArray[np.int64]]()
    order = np.argsort(cutoffs.series, kind="stable")
    for mine in np.split(order, np.flatnonzero(np.diff(cutoffs.series[order])) + 1):
        if len(mine) == 1 or seen[mine].min() <= season or start[mine].any():
            single.append(mine)
            continue
        # Running sums serve all cutoffs of a series at once.
        values = panel.series(cutoffs.series[mine[0]])[:, :targets].astype(np.float64)
        moves = np.abs(values[season:] - values[:-season])
        there = np.cumsum(~np.isnan(moves), axis=0)
        upto = seen[mine] - season - 1
        for power in (1, 2):
            total = np.cumsum(np.nan_to_num(moves) ** power, axis=0)
            scales[mine, :, power - 1] = np.where(there[upto], total[upto] / np.maximum(there[upto], 1), np.nan)
    alone = np.concatenate([*single, np.empty(0, dtype=np.int64)])
    for first, last in np.unique(np.stack([start[alone], seen[alone]], axis=1), axis=0):
        same = alone[(start[alone] == first) & (seen[alone] == last)]
        for part in slices(len(same), max(1, NUMBERS // (max(1, last - first) * targets))):
            mine = same[part]
            rows = panel.offsets[cutoffs.series[mine]][:, None] + np.arange(first, last)
            past = panel.values[rows, :targets].astype(np.float64).transpose(0, 2, 1)  # (n, K, T)
            scales[mine] = seasonal_scales(np.ascontiguousarray(past), season)
    return scales
