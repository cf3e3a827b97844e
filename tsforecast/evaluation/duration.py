"""Durations: the time that a leaderboard will take, from short fits of its models, and the cutoffs that fit a time."""

from __future__ import annotations

import heapq
import math
import re
import warnings
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tsforecast.data.protocol import Protocol, counts_cutoffs
from tsforecast.data.splits import Fold, trains_on_other_groups
from tsforecast.errors import ParameterError, Problem, counted, spoken
from tsforecast.estimators.registry import NAIVE_FAMILY
from tsforecast.evaluation.backtest import Backtest
from tsforecast.evaluation.runner import random_states, seeded_clones
from tsforecast.evaluation.verdict import MIN_UNITS
from tsforecast.events import Activity, clock, observing, unobserved
from tsforecast.executors import workers
from tsforecast.forecasters.base import Forecaster
from tsforecast.leakage.perturb import perturbed_panels
from tsforecast.training.history import Epoch, best_epoch

PROBE = 2.0  # seconds after which the fit that is timed for a model ends
SHARE = 0.1  # of the time of `within` that all of them may take together
EPOCHS = 0.8  # of the most epochs that a network takes until patience ends it, where that is not seen
SAMPLES = (16, 8, 4, 2)  # of models that are no networks: parts of the series that are fitted first
UNITS = {"": 1.0, "s": 1.0, "min": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class ModelTime:
    """Seconds that one model takes: of a fit, of its audit, and of forecasts."""

    seeds: int
    fit: float  # once, with what forecasts from it take whatever their number
    cutoff: float  # of the forecasts from one cutoff
    audit: float  # at the first cutoff of each seed
    epochs: tuple[int, int] | None = None  # of a network whose fit was cut short: those that were timed, and taken

    def fits(self, sides: int, origins: int, refit: bool) -> list[float]:
        """Return the seconds of each fit: for each seed and side of groups one, or one at each cutoff."""
        folds, cutoffs = (sides * origins, 1) if refit else (sides, origins)
        one = self.fit + cutoffs * self.cutoff
        return [one + self.audit * (fold == 0) for _ in range(self.seeds) for fold in range(folds)]


@dataclass(frozen=True, eq=False)
class Duration:
    """The time that a leaderboard is predicted to take; see `duration_of`."""

    models: Mapping[str, ModelTime]
    protocol: Protocol
    sides: int  # splits of the series by groups
    processes: int
    most_epochs: int  # of networks that were cut short
    loading: float  # seconds, once in each process that has not yet loaded the libraries
    spent: float  # seconds that the prediction took

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds of each model, in one process."""
        protocol = self.protocol
        return {name: sum(one.fits(self.sides, protocol.origins, protocol.refit)) for name, one in self.models.items()}

    def total(self, origins: int | None = None, refit: bool | None = None, loaded: bool = False) -> float:
        """Return the seconds of the leaderboard, or with other cutoffs and fits; `loaded` once libraries are."""
        origins, refit = origins or self.protocol.origins, self.protocol.refit if refit is None else refit
        ends = [0.0] * self.processes
        for model in self.models.values():
            for one in model.fits(self.sides, origins, refit):  # the next one goes to the process that is free first
                heapq.heapreplace(ends, ends[0] + one)
        # Naive forecasts choose the reference at earlier cutoffs, as many.
        naive = [one.fit + origins * one.cutoff for name, one in self.models.items() if name in NAIVE_FAMILY]
        return max(ends) + sum(naive) + self.loading * (not loaded or self.processes > 1)

    @property
    def sentence(self) -> str:
        """The time, the models that take most of it, and what is not known about it."""
        protocol, seconds = self.protocol, self.seconds
        longest = sorted(seconds, key=lambda name: -seconds[name])[:2]
        most = " and ".join(f"{name} {spoken(seconds[name])}" for name in longest)
        many = f"{counted(len(seconds), 'model')} at {counted(protocol.origins, 'cutoff')}"
        found = (
            f"A leaderboard of {many}, {_fits(protocol.origins, protocol.refit)}, would take about "
            f"{spoken(self.total())} on this machine, of which {most}"
        )
        short = {name: one.epochs for name, one in self.models.items() if one.epochs}
        if not short:
            return found
        timed = _listed([f"{seen} of {name}" for name, (seen, _) in short.items()], "and")
        taken = _listed(sorted({str(epochs) for _, epochs in short.values()}), "or")
        return (
            f"{found}. Of at most {counted(self.most_epochs, 'epoch')}, {timed} were timed; {taken} are assumed "
            "until the validation loss no longer falls"
        )


def duration_of(
    models: Mapping[str, Forecaster], test: Backtest, seeds: int = 1, n_jobs: int | None = None, probe: float = PROBE
) -> Duration:
    """Time short fits of models, and multiply by cutoffs, fits, seeds and audits.

    A network trains at the middle cutoff of those it is fitted at, until it is done or `probe` seconds are over; the
    epochs that are left are then taken to last as long, and to be four fifths of the most where patience may end them.
    Another model is fitted to a sixteenth of the series, and twice as many, until all are fitted or half of that time
    is over.
    """
    began, folds = clock(), test.folds
    fold, protocol = folds[len(folds) // 2], test.protocol
    found, loading, most = {}, 0.0, 0
    with unobserved(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the run issues them
        for name, model in models.items():
            timed = _Probe(test, model, Fold(0, fold.train, fold.test, fold.cutoffs), probe)
            found[name] = replace(timed.measured(), seeds=len(seeded_clones(model, seeds)))
            loading += timed.loading
            most = max(most, timed.most_epochs if found[name].epochs else 0)
    sides = len(folds) // (protocol.origins if protocol.refit else 1)
    processes = workers(n_jobs)
    return Duration(found, protocol, max(1, sides), processes, most, loading, clock() - began)


class _Enough(Exception):
    """Ends the training of a network that is timed."""


class _Probe:
    """Short fits of one model, and its forecasts."""

    def __init__(self, test: Backtest, model: Forecaster, fold: Fold, limit: float) -> None:
        self.test, self.fold, self.limit = test, fold, limit
        self.forecaster = model
        self.loading = 0.0
        self.settings, self.most_epochs = model.get_params(deep=False), 0
        self.epochs: list[tuple[float, Epoch]] = []  # each with the seconds at its end
        self._began, self._until = 0.0, math.inf

    def measured(self) -> ModelTime:
        """Return the seconds of the model; those until it failed where it does."""
        began = clock()
        try:
            return self._network() if self.settings.get("max_epochs", 0) else self._any()
        except Exception:  # the run has the sentence about it
            return ModelTime(1, clock() - began, 0.0, 0.0)

    # An observer of the epochs of a fit.

    def on_start(self, activity: Activity) -> None:
        """Nothing is noted at the start of a fit."""

    def on_event(self, activity: Activity, event: Any) -> None:
        """Note the end of an epoch; end training after the time."""
        seconds = clock() - self._began
        self.epochs.append((seconds, event))
        if event.number >= self._until or (event.number > 1 and seconds > self.limit):
            raise _Enough

    def on_end(self, activity: Activity, error: BaseException | None) -> None:
        """Nothing is noted at the end of a fit."""

    def _network(self) -> ModelTime:
        """Time epochs of a network: one with the libraries that are loaded on its first use, then as many as fit."""
        cold = self._trained(1)[0]
        first = self.epochs[-1][0] if self.epochs else cold
        seconds, model, whole = self._trained()
        self.loading = max(0.0, first - self.epochs[min(1, len(self.epochs) - 1)][0])
        epochs = None
        if not whole:
            last = len(self.epochs) - 1
            best = best_epoch([epoch for _, epoch in self.epochs]).number
            taken, patience = model.resolved_["max_epochs"], model.resolved_["patience"]
            self.most_epochs = taken
            if patience is None or patience >= taken or self.settings["validation"] is None:
                patience = 0
            else:
                taken = min(taken, max(last, best + patience, round(EPOCHS * taken)))
            each = (self.epochs[last][0] - self.epochs[1][0]) / (last - 1)
            again = max(1, taken - patience) if self.settings["refit"] else 0
            seconds = self.epochs[last][0] + each * (taken - last + again)
            epochs = last, taken
        start, cutoff = self._forecasts(model, self.fold)
        return ModelTime(1, seconds + start, cutoff, self._audit(seconds + start + cutoff, self.fold), epochs)

    def _trained(self, until: float = math.inf) -> tuple[float, Forecaster, bool]:
        """Train for some epochs at most; return the seconds, the model and whether training came to its end."""
        model = self.test.unfitted(self.forecaster)
        self.epochs, self._until = [], until
        whole, self._began = True, clock()
        with observing(self):
            try:
                self.test.fit(model, self.fold)
            except _Enough:
                whole = False
        return clock() - self._began, model, whole

    def _any(self) -> ModelTime:
        """Time a model that is no network, on parts of the series until half of the time is over."""
        count, timed = len(self.fold.train), list[tuple[float, ModelTime]]()
        began = clock()
        for part in (*SAMPLES, 1):
            fold = Fold(0, self.fold.train[::part], self.fold.test[::part], self.fold.cutoffs)
            size = len(fold.train)
            if part > 1 and (size == count or (timed and size == timed[-1][0])):
                continue
            if not timed:
                cold = self._once(fold)
                self.loading = cold.fit
            timed.append((size, self._once(fold)))
            if len(timed) == 1:
                self.loading = max(0.0, self.loading - timed[0][1].fit)
            if clock() - began > self.limit / 2:
                break
        return _extrapolated(timed, count)

    def _once(self, fold: Fold) -> ModelTime:
        """Time one fit, its forecasts and its audit."""
        model, began = self.test.unfitted(self.forecaster), clock()
        self.test.fit(model, fold)
        seconds = clock() - began
        start, cutoff = self._forecasts(model, fold)
        return ModelTime(1, seconds + start, cutoff, self._audit(seconds + start + cutoff, fold))

    def _forecasts(self, model: Forecaster, fold: Fold) -> tuple[float, float]:
        """Return the seconds of forecasts whatever the number of cutoffs, and those of each cutoff."""
        fit = self.test.planned("timed", model, fold)

        def seconds(cutoffs: int) -> float:
            began = clock()
            self.test.tested(model, replace(fold, cutoffs=fold.cutoffs[:cutoffs]), fit)
            return clock() - began

        one = min(seconds(1), seconds(1))  # the first may load libraries
        several, total = 1, one
        while several < len(fold.cutoffs) and total < self.limit / 10:
            several = min(2 * several, len(fold.cutoffs))
            total = seconds(several)
        each = max(0.0, total - one) / (several - 1) if several > 1 else one
        return max(0.0, one - each), each

    def _audit(self, run: float, fold: Fold) -> float:
        """Return the seconds of the audit, which fits a model several times, or computes what is not trained."""
        test, protocol = self.test, self.test.protocol
        if protocol.audit is None:
            return 0.0
        if protocol.audit == "data":
            began = clock()
            test.audited(test.unfitted(self.forecaster), fold)
            return clock() - began
        seen = fold.cutoffs[0].seen
        if trains_on_other_groups(test.panel, fold.train, fold.cutoffs[0]):
            seen = test.panel.lengths
        runs = 4 + sum(1 for _ in perturbed_panels(test.panel, seen, protocol.ahead))  # twice as it is, and reordered
        return run * runs * (3 if None in random_states(self.forecaster).values() else 1)


def _extrapolated(timed: list[tuple[float, ModelTime]], count: int) -> ModelTime:
    """Return the seconds for all series, along the line through the last two sizes."""
    size, last = timed[-1]
    if size == count:
        return last
    before, less = timed[-2] if len(timed) > 1 else (0, ModelTime(1, 0.0, 0.0, 0.0))

    def along(field: str) -> float:
        now, then = getattr(last, field), getattr(less, field)
        return float(now + max(0.0, now - then) / (size - before) * (count - size))

    return ModelTime(1, along("fit"), along("cutoff"), along("audit"))


def within_time(
    within: float | str,
    models: Mapping[str, Forecaster],
    test: Backtest,
    seeds: int = 1,
    n_jobs: int | None = None,
    independent_series: bool = False,
) -> tuple[Protocol, str]:
    """Return the protocol with as many cutoffs as fit in a time, and the reason; see `fitted_to`."""
    limit = seconds_of(within)
    found = duration_of(models, test, seeds, n_jobs, min(PROBE, SHARE * limit / len(models)))
    counts = counts_cutoffs(test.panel, test.protocol, independent_series)
    return fitted_to(found, limit, MIN_UNITS if counts else 1)


def fitted_to(found: Duration, limit: float, least: int) -> tuple[Protocol, str]:
    """Return the protocol with as many cutoffs as fit, with a fit at each or else one fit, and the reason.

    The time of the prediction is part of the limit. ParameterError is raised where not even the least fit.
    """
    protocol, left, whole = found.protocol, limit - found.spent, found.total(loaded=True)
    planned = protocol.origins
    counts = range(min(planned, least), planned + 1)
    for refit in dict.fromkeys((protocol.refit, False)):
        fitting = bisect_right(counts, left, key=lambda origins: found.total(origins, refit, loaded=True))
        if not fitting:
            continue
        origins = counts[fitting - 1]
        some = f"all {planned}" if origins == planned > 1 else f"{origins} of {planned}"
        why = (
            f"{some} {'cutoff is' if planned == 1 else 'cutoffs are'} tested, with {_fits(origins, refit)}: predicted "
            f"to take {spoken(found.total(origins, refit, loaded=True))} of the {spoken(limit)}"
        )
        if (origins, refit) != (planned, protocol.refit):
            why += f", where all with {_fits(planned, protocol.refit)} would take {spoken(whole)}"
        return replace(protocol, origins=origins, refit=refit), why
    seconds, each = found.total(counts[0], False, loaded=True), found.seconds
    longest = max(each.keys() - set(NAIVE_FAMILY), key=lambda name: each[name], default=None)
    smaller = f"leave out models such as {longest}, which takes the most, or give those with smaller settings"
    raise ParameterError(
        Problem(
            f"must be at least {spoken(1.05 * seconds + found.spent)}",
            f"got {spoken(limit)}, of which the prediction took {spoken(found.spent)}, and the least, "
            f"{counted(counts[0], 'cutoff')} with one fit, would take {spoken(seconds)}",
            smaller if longest else "give fewer series",
            parameter="within",
        )
    )


def _listed(words: list[str], last: str) -> str:
    return f" {last} ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _fits(origins: int, refit: bool) -> str:
    return "a fit at each" if refit and origins > 1 else "one fit"


def seconds_of(within: Any) -> float:
    """Read a time: seconds, or a text such as ``"10min"``.

    Examples
    --------
    >>> [seconds_of(within) for within in (600, "90s", "10min", "1.5 h")]
    [600.0, 90.0, 600.0, 5400.0]
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|min|h|)", within.strip() if isinstance(within, str) else "")
    if found:
        seconds = float(found[1]) * UNITS[found[2]]
    else:
        seconds = float(within) if isinstance(within, (int, float)) and not isinstance(within, bool) else math.nan
    if not 0 < seconds < math.inf:
        must = "must be a time above 0, in seconds or with s, min or h, such as 600 or '10min'"
        raise ParameterError(Problem(must, f"got {within!r}", parameter="within"))
    return seconds
