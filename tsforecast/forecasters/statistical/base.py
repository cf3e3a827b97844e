"""Base of the forecasters that fit each series and target on its own, in several processes where that pays."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from tsforecast.checks import one_of, whole
from tsforecast.data.context import Context
from tsforecast.data.panel import Panel
from tsforecast.data.supervised import SupervisedPanel
from tsforecast.errors import Argument, FitWarning, ParameterError, Problem, shorten
from tsforecast.estimators.registry import model_name
from tsforecast.forecasters.base import Forecaster
from tsforecast.forecasters.naive import SeasonalNaiveForecaster
from tsforecast.forecasters.statistical import ets as smoothing
from tsforecast.forecasters.statistical.fit import Fit, FitError, Floats, filled
from tsforecast.saving.codec import typed

FEWEST = 8  # numbers; a shorter series is smoothed simply
ABSURD = 10.0  # times the range of all that was seen; see `_trouble`
EXTREME = 1e30  # numbers of this size, or as small, are fitted in units of their own
WORTH_PROCESSES = 5_000  # steps to fit, from which more processes win back what starting them takes
BATCH = 20_000_000  # steps of many pasts that are held at once
LAST_VALUE, STAND_IN = {"rule": "last value"}, {"rule": "seasonal naive"}


@dataclass(frozen=True, eq=False)
class _Task:
    """One series and target: what to fit, and to forecast from."""

    y: Floats
    fit: Fit | None  # None: to be chosen
    again: bool  # estimate anew, with the specification of `fit`
    same_start: bool  # the series starts where the one starts that `fit` was learned from


@dataclass(frozen=True, eq=False)
class _Outcome:
    """What became of a task: the fit that stands, its forecast of shape (H,), and what went wrong, if anything."""

    fit: Fit
    forecast: Floats
    trouble: str = ""


class StatisticalForecaster(Forecaster):
    """Base of the classical models: one fit for each series and target.

    What is too short for a model gets the simplest that makes sense: a constant series its value, fewer than three
    numbers their last one, fewer than eight simple exponential smoothing; a season takes part from two whole ones on.

    What cannot be fitted, or has a forecast that is not finite or absurd (farther from all that was seen than ten
    times its range; with a horizon longer than the series, as much more), is forecast by the seasonal naive.

    A series that was not fitted is fitted on its own past when it is forecast.

    Attributes
    ----------
    models_ : list of list of Fit or None
        What was learned of each series and target; None where a target has no number yet.
    failures_ : list of str
        One sentence for each series and target that the seasonal naive forecasts instead.
    season_length_ : int
    """

    season_length: int | None
    parameters: str
    n_jobs: int | None
    models_: list[list[Fit | None]]
    failures_: list[str]
    season_length_: int
    _reads_gaps = False  # whether NaN between numbers is left to the model

    def _choose(self, y: Floats, season_length: int) -> Fit:
        """Choose a specification for one series, at least eight numbers that are not all equal, and estimate it."""
        raise NotImplementedError(f"{type(self).__name__} must say how it is fitted")

    def _needs_season(self) -> bool:
        """Say whether the parameters ask for a season, whatever the data."""
        return False

    def _estimate(self, y: Floats, specification: dict[str, Any]) -> Fit:
        """Estimate a known specification anew."""
        raise NotImplementedError(f"{type(self).__name__} must say how it is estimated")

    def _go_on(self, fit: Fit, y: Floats, horizon: int, same_start: bool) -> Floats:
        """Forecast H steps after one series."""
        raise NotImplementedError(f"{type(self).__name__} must say how it forecasts")

    def _fit(self, panel: Panel) -> None:
        self.season_length_ = self.season_length or panel.season_length
        if self.season_length_ == 1 and self._needs_season():
            remedy = ("give ", Argument("season_length"))
            raise ParameterError(Problem("a model with a season needs its length", "the data have none", remedy))
        self.models_, self.failures_ = [], []
        if isinstance(panel, SupervisedPanel):
            return  # every row is a context of its own, and will be fitted when it is forecast
        past = Context.at_end(panel)
        tasks = {(i, k): _Task(y, None, False, True) for i, k, y in self._numbers(past) if len(y)}
        outcomes = dict(zip(tasks, self._done(list(tasks.values()), self.horizon_), strict=True))
        learned: list[list[Fit | None]] = [[None] * panel.n_targets for _ in range(len(panel))]
        for (i, k), outcome in outcomes.items():
            learned[i][k] = outcome.fit
        self.models_ = learned
        failed = {at: outcome.trouble for at, outcome in outcomes.items() if outcome.trouble}
        self.failures_ = self._sentences(past, failed)
        self._warn(past, failed, "could not be fitted for")

    def forecast(self, past: Context, horizon: int) -> Floats:
        """Return forecasts of shape (n, H, K); see `Forecaster.forecast`."""
        forecasts, _, failed = self._answers(past, horizon)
        self._warn(past, failed, "could not go on from")
        return forecasts

    def is_fallback(self, past: Context) -> NDArray[np.bool_]:
        """Say which forecasts of the own horizon are the seasonal naive ones, (n, K); found by forecasting again."""
        return self._answers(past, self.horizon_)[1]

    def get_state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return what `fit` found as plain values; see `Estimator.get_state`."""
        plain, numbers = super().get_state()
        plain["models_"] = [[asdict(fit) if fit else None for fit in fits] for fits in self.models_]
        return plain, numbers

    def set_state(self, learned: dict[str, Any], numbers: dict[str, NDArray[Any]]) -> None:
        """Restore what `get_state` returned; see `Estimator.set_state`."""
        models = [[typed(Fit, fit) if fit else None for fit in fits] for fits in learned["models_"]]
        count = 0 if isinstance(self.panel_, SupervisedPanel) else len(self.panel_)
        longest = int(self.panel_.lengths.max())
        if [len(fits) for fits in models] != [self.panel_.n_targets] * count:
            raise ValueError(f"there must be a fit for each target of each of {count} series")
        for fit in (fit for fits in models for fit in fits if fit):
            counts = [value for value in fit.specification.values() if isinstance(value, int)]
            if max(counts, default=0) > longest or min(counts, default=0) < 0:
                raise ValueError(f"orders and seasons must fit in series of {longest} steps: got {fit.specification}")
        super().set_state({**learned, "models_": models}, numbers)

    def _answers(self, past: Context, horizon: int) -> tuple[Floats, NDArray[np.bool_], dict[tuple[int, int], str]]:
        """Return forecasts (n, H, K), which of them stand in (n, K), and what newly went wrong where."""
        stand_ins = SeasonalNaiveForecaster(horizon, self.season_length_)
        stand_ins.season_length_ = self.season_length_
        forecasts = stand_ins.forecast(past, horizon)  # (n, H, K)
        is_fallback = np.zeros((len(past), past.n_targets), dtype=np.bool_)
        failed = {}
        for tasks in _batches(self._tasks(past)):
            for (i, k), outcome in zip(tasks, self._done(list(tasks.values()), horizon), strict=True):
                if outcome.fit.specification == STAND_IN:
                    is_fallback[i, k] = True
                else:
                    forecasts[i, :, k] = outcome.forecast
                if outcome.trouble:  # of what failed when it was fitted, all is said
                    failed[i, k] = outcome.trouble
        return forecasts, is_fallback, failed

    def _tasks(self, past: Context) -> Iterator[tuple[tuple[int, int], _Task]]:
        """Yield what there is to do for each cutoff and target that has a number."""
        fitted = Context.at_end(self.panel_)
        place = {name: j for j, name in enumerate(self.panel_.ids)} if self.models_ else {}
        began: dict[tuple[int, int], Floats] = {}
        ids = past.ids
        for i, k, y in self._numbers(past):
            if not len(y):
                continue
            j = place.get(ids[i])
            fit = None if j is None else self.models_[j][k]
            if j is None or fit is None:
                yield (i, k), _Task(y, None, False, True)
                continue
            if (j, k) not in began:
                began[j, k] = self._numbers_of(fitted, j, k)
            first, shorter = began[j, k], min(len(began[j, k]), len(y))
            same_start = np.array_equal(first[:shorter], y[:shorter], equal_nan=True)
            again = self.parameters == "refit" and not (same_start and len(first) == len(y))
            if again and "rule" in fit.specification:
                yield (i, k), _Task(y, None, False, True)
            else:
                yield (i, k), _Task(y, fit, again, same_start)

    def _numbers(self, past: Context) -> Iterator[tuple[int, int, Floats]]:
        """Yield cutoff, target and the past from its first number on."""
        for i in range(len(past)):
            rows = past.history(i, filled=not self._reads_gaps)
            for k in range(past.n_targets):
                yield i, k, _begun(rows[:, k])

    def _numbers_of(self, past: Context, i: int, k: int) -> Floats:
        return _begun(past.history(i, filled=not self._reads_gaps)[:, k])

    def _done(self, tasks: list[_Task], horizon: int) -> list[_Outcome]:
        """Do all tasks, in several processes where that is worth their start."""
        # Without what an earlier fit learned, it travels lightly.
        worker = clone(self)
        todo = sum(len(task.y) for task in tasks if task.fit is None or task.again)
        jobs = 1
        if todo >= WORTH_PROCESSES and len(tasks) > 1:
            from joblib import effective_n_jobs

            jobs = min(int(effective_n_jobs(self.n_jobs)), len(tasks))
        if jobs == 1:
            return _do(worker, tasks, self.season_length_, horizon)
        from joblib import Parallel, delayed

        parts = [tasks[first :: 8 * jobs] for first in range(min(8 * jobs, len(tasks)))]
        done = Parallel(n_jobs=jobs, max_nbytes=None)(
            delayed(_do)(worker, part, self.season_length_, horizon) for part in parts
        )
        outcomes: list[Any] = [None] * len(tasks)
        for first, part in enumerate(done):
            outcomes[first :: 8 * jobs] = part
        return outcomes

    def _do(self, task: _Task, season_length: int, horizon: int) -> _Outcome:
        """Fit one series where that is to be done, forecast, and look at the forecast."""
        fit = task.fit
        if fit and fit.specification == STAND_IN:
            return _Outcome(fit, np.zeros(horizon))
        unit = _unit(task.y) if fit is None or task.again else fit.unit
        y = task.y / unit
        try:
            if fit is None:
                fit = self._simplest(y) or self._choose(y, _usable(season_length, y))
            elif task.again:
                fit = self._estimate(y, fit.specification)
            forecast = unit * self._onward(fit, y, horizon, task.same_start or task.again)
            done = _Outcome(replace(fit, unit=unit), forecast)
            trouble = _trouble(done.forecast, task.y)
        except (FitError, ArithmeticError, ValueError, IndexError) as error:
            trouble = str(error) or type(error).__name__
        return _Outcome(Fit(dict(STAND_IN), []), np.zeros(horizon), trouble) if trouble else done

    def _simplest(self, y: Floats) -> Fit | None:
        """Return what a series gets that says too little for the model."""
        numbers = y[~np.isnan(y)]
        if len(numbers) < 3 or numbers.min() == numbers.max():
            return Fit(dict(LAST_VALUE), [])
        if len(numbers) >= FEWEST:
            return None
        simple = smoothing.choose(filled(y), 1, [smoothing.Components("add", None, None, False)])
        return Fit({"rule": "simple smoothing", **simple.specification}, simple.parameters)

    def _onward(self, fit: Fit, y: Floats, horizon: int, same_start: bool) -> Floats:
        if "rule" not in fit.specification:
            return self._go_on(fit, y, horizon, same_start)
        if fit.specification == LAST_VALUE:
            return np.full(horizon, filled(y)[-1])
        plain = {name: value for name, value in fit.specification.items() if name != "rule"}
        return smoothing.forecast(Fit(plain, fit.parameters), filled(y), horizon, same_start)

    def _sentences(self, past: Context, failed: dict[tuple[int, int], str]) -> list[str]:
        name = model_name(self)
        return [
            f"{name} could not be fitted to {past.columns[k]!r} of series {str(past.ids[i])!r}: {trouble}; the "
            "seasonal naive forecast stands in its place"
            for (i, k), trouble in failed.items()
        ]

    def _warn(self, past: Context, failed: dict[tuple[int, int], str], what: str) -> None:
        if not failed:
            return
        of = list(dict.fromkeys(str(past.ids[i]) for i, _ in failed))
        names, total = shorten([repr(name) for name in of], 8), len(np.unique(past.series))
        theirs = (
            "its forecast is the seasonal naive one" if len(of) == 1 else "their forecasts are the seasonal naive ones"
        )
        first = next(iter(failed.values()))
        warnings.warn(
            f"{model_name(self)} {what} {len(of)} of {total} series ({names}): {theirs}; the first because {first}",
            FitWarning,
            stacklevel=4,
        )

    def _problems(self) -> list[str]:
        problems = super()._problems() + whole("season_length", self.season_length, 1, [None])
        problems += one_of("parameters", self.parameters, ("keep", "refit"))
        jobs = self.n_jobs
        if jobs is not None and (isinstance(jobs, bool) or not isinstance(jobs, (int, np.integer)) or jobs == 0):
            must = "must be a whole number other than 0, or None"
            problems.append(Problem(must, f"got {jobs!r}", parameter="n_jobs"))
        return problems


def _batches(tasks: Iterator[tuple[tuple[int, int], _Task]]) -> Iterator[dict[tuple[int, int], _Task]]:
    """Yield tasks in parts whose numbers fit in memory: the pasts of many cutoffs overlap."""
    part: dict[tuple[int, int], _Task] = {}
    steps = 0
    for at, task in tasks:
        part[at] = task
        steps += len(task.y)
        if steps >= BATCH:
            yield part
            part, steps = {}, 0
    yield part


def _do(worker: StatisticalForecaster, tasks: list[_Task], season_length: int, horizon: int) -> list[_Outcome]:
    """Do tasks one after the other; the door of other processes."""
    with np.errstate(all="ignore"), _one_thread():  # what overflows on the way is seen by its forecast
        return [worker._do(task, season_length, horizon) for task in tasks]


_lock = threading.Lock()
_inside: list[Callable[[], None]] = []  # how to undo the limit, as often as there are threads within it


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep linear algebra to one thread: on matrices of a few rows, threads do nothing but wait for each other.

    The limit holds for the whole process, so the first that comes sets it and the last that leaves lifts it.
    """
    import scipy.linalg
    import scipy.optimize  # noqa: F401 - what is not loaded yet would not be limited
    from threadpoolctl import threadpool_limits

    with _lock:
        _inside.append(_inside[0] if _inside else threadpool_limits(1, user_api="blas").restore_original_limits)
    try:
        yield
    finally:
        with _lock:
            undo = _inside.pop()
            if not _inside:
                undo()


def _begun(y: Floats) -> Floats:
    """Return `y` from its first number on; nothing where there is none."""
    there = ~np.isnan(y)
    return np.ascontiguousarray(y[there.argmax() :]) if there.any() else y[:0]


def _unit(y: Floats) -> float:
    """Return what to divide a series by before it is fitted: a power of two, so that no digit is lost."""
    size = float(np.nanmax(np.abs(y)))
    return 1.0 if size == 0 or 1 / EXTREME < size < EXTREME else 2.0 ** int(np.log2(size))


def _usable(season_length: int, y: Floats) -> int:
    """Return the season length, or 1 where there are too few steps for two seasons or for what a season adds."""
    return season_length if len(y) >= max(2 * season_length, season_length + FEWEST) else 1


def _trouble(forecast: Floats, y: Floats) -> str:
    """Say what is wrong with a forecast."""
    if not np.isfinite(forecast).all():
        return "its forecast is not finite"
    low, high = float(np.nanmin(y)), float(np.nanmax(y))
    most = ABSURD * max(1.0, len(forecast) / len(y)) * (high - low)
    worst = max(float(forecast.max()) - high, low - float(forecast.min()))
    if worst > most:
        return f"its forecast goes {worst:.3g} beyond all that was seen, whose range is {high - low:.3g}"
    return ""
