"""Local models: one fit for each series and target, in several processes where that pays, with a naive fallback."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Literal, cast

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from threadpoolctl import threadpool_limits

from tsforecast.checks import jobs
from tsforecast.data.context import Context
from tsforecast.data.panel import Panel
from tsforecast.data.samples import SupervisedPanel
from tsforecast.distributions.base import LEVELS, Distribution, Grid
from tsforecast.distributions.residuals import lowest_of
from tsforecast.errors import Argument, FitWarning, ParameterError, Problem, shorten
from tsforecast.estimators.base import keyword_settings, setting
from tsforecast.estimators.registry import model_name
from tsforecast.executors import run_here, run_tasks, workers
from tsforecast.forecasters.base import Forecaster
from tsforecast.forecasters.naive import SeasonalNaiveForecaster
from tsforecast.forecasters.statistical import ets
from tsforecast.forecasters.statistical.fit import FitError, FittedModel, Floats, filled
from tsforecast.saving.codec import typed

FEWEST = 8  # numbers; a shorter series gets simple smoothing
ABSURD = 10.0  # times the observed range; see `_problem_of`
EXTREME = 1e30  # numbers of this size, or as small, are divided by a unit of their own
WORTH_PROCESSES = 5_000  # steps to fit, from which more processes save more time than they cost
BATCH = 20_000_000  # steps of contexts that are held at once
LAST_VALUE, FALLBACK = {"rule": "last value"}, {"rule": "seasonal naive"}


@dataclass(frozen=True, eq=False)
class _Task:
    """One series and target: numbers to fit to and to forecast from."""

    y: Floats
    fitted: FittedModel | None = None  # None: to be chosen
    refit: bool = False  # estimate again, with the specification of `fitted`
    same_origin: bool = True  # `y` starts where the series of `fitted` starts


@dataclass(frozen=True, eq=False)
class _Outcome:
    """Result of a task: the fitted model, its forecast of shape (H,), and the reason of a fallback, if any.

    Where they were asked for and the model has them, also its quantiles at `LEVELS`, (H, L).
    """

    fitted: FittedModel
    forecast: Floats
    problem: str = ""
    quantiles: Floats | None = None


@keyword_settings
class StatisticalForecaster(Forecaster):
    """Base of the classical models: one fit for each series and target.

    Series too short for a model get a simpler one: a constant series its value, fewer than three numbers their last
    one, fewer than eight simple exponential smoothing; a season is modelled from two whole ones on.

    The seasonal naive forecast stands in where a fit fails, or where a forecast is not finite or absurd (farther from
    all observed numbers than ten times their range; with a horizon longer than the series, as much more).

    A series that was not fitted is fitted on its own past when it is forecast.

    Attributes
    ----------
    models_ : list of list of FittedModel or None
        Fitted model of each series and target; None where a target has no number yet.
    failures_ : list of str
        One sentence for each series and target that is forecast by the seasonal naive instead.
    season_length_ : int
    """

    horizon: int = setting(default=1, kw_only=False, doc="Steps to forecast.")
    season_length: int | None = setting(
        default=None,
        kw_only=False,
        least=1,
        doc="Steps in one season; taken from the data unless given.",
    )
    parameters: Literal["keep", "refit"] = setting(
        default="keep",
        doc="Whether a later past of a fitted series is filtered with the estimated parameters, or they are estimated "
        "again, for the components or orders that were chosen.",
    )
    n_jobs: int | None = setting(
        default=None,
        check=jobs,
        doc="Processes, as in joblib: -1 is one for each core. Unless given, those of `tsforecast.compute`, and "
        "outside of it one for each core. A few series are fitted in the current process.",
    )

    _model = cast(Any, None)  # module with `estimate`, `forecast` and `quantiles`
    _kind: ClassVar[type[Grid]] = Grid  # of the distributions
    _reads_gaps = False  # whether NaN between numbers is passed to the model

    def _choose(self, y: Floats, season_length: int) -> FittedModel:
        """Choose a specification for one series, at least eight numbers that are not all equal, and estimate it."""
        raise NotImplementedError

    def _needs_season(self) -> bool:
        """Return whether the parameters require a season, whatever the data."""
        return False

    def _fit(self, panel: Panel) -> None:
        self.season_length_ = self.season_length or panel.season_length
        if self.season_length_ == 1 and self._needs_season():
            remedy = ("give ", Argument("season_length"))
            raise ParameterError(Problem("a model with a season needs its length", "the data have none", remedy))
        self.models_: list[list[FittedModel | None]] = []
        self.failures_: list[str] = []
        if isinstance(panel, SupervisedPanel):
            return  # every row is a context of its own, fitted when it is forecast
        past = Context.at_end(panel)
        tasks = {at: _Task(y) for at, y in self._numbers(past)}
        outcomes = dict(zip(tasks, self._run(list(tasks.values()), self.horizon_), strict=True))
        self.models_ = [[None] * panel.n_targets for _ in range(len(panel))]
        for (i, k), outcome in outcomes.items():
            self.models_[i][k] = outcome.fitted
        failed = {at: outcome.problem for at, outcome in outcomes.items() if outcome.problem}
        self.failures_ = [
            f"{model_name(self)} could not be fitted to {past.columns[k]!r} of series {str(past.ids[i])!r}: {problem}; "
            "the seasonal naive forecast is used instead"
            for (i, k), problem in failed.items()
        ]
        self._warn(past, failed, "could not be fitted for")

    def forecast(self, past: Context, horizon: int) -> Floats:
        """Return forecasts of shape (n, H, K); see `Forecaster.forecast`."""
        forecasts, _, failed = self._forecasts(past, horizon)
        self._warn(past, failed, "could not forecast")
        return forecasts

    def distribution(self, past: Context, horizon: int) -> Distribution:
        """Return the distributions of H steps after each of n cutoffs; see `Forecaster.distribution`.

        With the variances of the models themselves; where a simpler rule or the seasonal naive forecast stands in, with
        the errors of the latter. Not below zero where no fitted number is.
        """
        values = np.full((len(past), horizon, past.n_targets, len(LEVELS)), np.nan)
        points, *_ = self._forecasts(past, horizon, values)
        lacking = ~np.isfinite(values).all(axis=(1, 3))  # (n, K)
        if lacking.any():
            naive = self._fallback()
            own = lacking.any(axis=1)
            part = past.select(own)
            around = naive.distribution(part, horizon).grid().values - naive.forecast(part, horizon)[..., None]
            replaced = points[own][..., None] + around
            values[own] = np.where(lacking[own][:, None, :, None], replaced, values[own])
        return self._kind(np.maximum(values, lowest_of(self.panel_)[:, None]))

    def is_fallback(self, past: Context) -> NDArray[np.bool_]:
        """Return which forecasts of the own horizon are the seasonal naive ones, (n, K); this forecasts again."""
        return self._forecasts(past, self.horizon_)[1]

    def get_state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return the fitted models as plain values; see `Estimator.get_state`."""
        plain, numbers = super().get_state()
        plain["models_"] = [[asdict(model) if model else None for model in row] for row in self.models_]
        return plain, numbers

    def set_state(self, learned: dict[str, Any], numbers: dict[str, NDArray[Any]]) -> None:
        """Restore the state that `get_state` returned; see `Estimator.set_state`."""
        models = [[typed(FittedModel, model) if model else None for model in row] for row in learned["models_"]]
        count = 0 if isinstance(self.panel_, SupervisedPanel) else len(self.panel_)
        longest = int(self.panel_.lengths.max())
        if [len(row) for row in models] != [self.panel_.n_targets] * count:
            raise ValueError(f"there must be a fit for each target of each of {count} series")
        for model in (model for row in models for model in row if model):
            counts = [value for value in model.specification.values() if isinstance(value, int)]
            if max(counts, default=0) > longest or min(counts, default=0) < 0:
                raise ValueError(f"orders and seasons must fit in series of {longest} steps: got {model.specification}")
        super().set_state({**learned, "models_": models}, numbers)

    def _fallback(self) -> SeasonalNaiveForecaster:
        """Return the seasonal naive forecaster of the fitted panel."""
        fallback = SeasonalNaiveForecaster(self.horizon_, self.season_length_)
        fallback.season_length_, fallback.horizon_, fallback.panel_ = self.season_length_, self.horizon_, self.panel_
        return fallback

    def _forecasts(
        self, past: Context, horizon: int, values: Floats | None = None
    ) -> tuple[Floats, NDArray[np.bool_], dict[tuple[int, int], str]]:
        """Return forecasts (n, H, K), which of them are fallbacks (n, K), and new failures by place.

        Quantiles of the models are written into `values` (n, H, K, L), where it is given.
        """
        forecasts = self._fallback().forecast(past, horizon)  # (n, H, K)
        is_fallback = np.zeros((len(past), past.n_targets), dtype=np.bool_)
        failed = {}
        for tasks in _batches(self._tasks(past)):
            for (i, k), outcome in zip(
                tasks, self._run(list(tasks.values()), horizon, values is not None), strict=True
            ):
                if values is not None and outcome.quantiles is not None:
                    values[i, :, k] = outcome.quantiles
                if outcome.fitted.specification == FALLBACK:
                    is_fallback[i, k] = True
                else:
                    forecasts[i, :, k] = outcome.forecast
                if outcome.problem:  # failures of `fit` have been reported
                    failed[i, k] = outcome.problem
        return forecasts, is_fallback, failed

    def _tasks(self, past: Context) -> Iterator[tuple[tuple[int, int], _Task]]:
        """Yield a task for each cutoff and target that has a number."""
        training = Context.at_end(self.fitted_panel)  # rows of updates are a later past
        position = {name: j for j, name in enumerate(self.panel_.ids)} if self.models_ else {}
        known: dict[tuple[int, int], Floats] = {}
        ids = past.ids
        for (i, k), y in self._numbers(past):
            j = position.get(ids[i])
            fitted = None if j is None else self.models_[j][k]
            if j is None or fitted is None:
                yield (i, k), _Task(y)
                continue
            if (j, k) not in known:
                history = training.history(j, filled=not self._reads_gaps)
                known[j, k] = _from_first_number(history[:, k])
            first, shorter = known[j, k], min(len(known[j, k]), len(y))
            same_origin = np.array_equal(first[:shorter], y[:shorter], equal_nan=True)
            refit = self.parameters == "refit" and not (same_origin and len(first) == len(y))
            simple = refit and "rule" in fitted.specification
            yield (i, k), _Task(y) if simple else _Task(y, fitted, refit, same_origin)

    def _numbers(self, past: Context) -> Iterator[tuple[tuple[int, int], Floats]]:
        """Yield cutoff and target, and the past from its first number on; those without a number are left out."""
        for i in range(len(past)):
            rows = past.history(i, filled=not self._reads_gaps)
            for k in range(past.n_targets):
                if len(y := _from_first_number(rows[:, k])):
                    yield (i, k), y

    def _run(self, tasks: list[_Task], horizon: int, whole: bool = False) -> list[_Outcome]:
        """Run all tasks, in several processes where that saves time; as a `whole`, with their quantiles."""
        shared = (clone(self), self.season_length_, horizon, whole)  # without fitted state, small to send
        todo = sum(len(task.y) for task in tasks if task.fitted is None or task.refit)
        if todo < WORTH_PROCESSES or run_here(self.n_jobs, otherwise=-1):
            return _run_tasks(tasks, shared)
        count = min(8 * workers(self.n_jobs, otherwise=-1), len(tasks))
        parts = {first: tasks[first::count] for first in range(count)}
        outcomes: list[Any] = [None] * len(tasks)
        with closing(run_tasks(_run_tasks, parts, shared, self.n_jobs, otherwise=-1)) as ended:
            for first, outcome in ended:
                outcomes[first::count] = outcome.result()
        return outcomes

    def _run_task(self, task: _Task, season_length: int, horizon: int, whole: bool) -> _Outcome:
        """Fit one series if necessary, forecast, and check the forecast."""
        fitted = task.fitted
        if fitted and fitted.specification == FALLBACK:
            return _Outcome(fitted, np.zeros(horizon))
        unit = _unit(task.y) if fitted is None or task.refit else fitted.unit
        y = task.y / unit
        try:
            if fitted is None:
                seasonal = len(y) >= max(2 * season_length, season_length + FEWEST)
                fitted = self._simple_model(y) or self._choose(y, season_length if seasonal else 1)
            elif task.refit:
                fitted = self._model.estimate(y, fitted.specification)
            same_origin = task.same_origin or task.refit
            forecast = unit * self._any_forecast(fitted, y, horizon, same_origin)
            quantiles = self._any_quantiles(fitted, y, horizon, same_origin) if whole else None
            outcome = _Outcome(
                replace(fitted, unit=unit), forecast, quantiles=None if quantiles is None else unit * quantiles
            )
            problem = _problem_of(forecast, task.y)
        except (FitError, ArithmeticError, ValueError, IndexError) as error:
            problem = str(error) or type(error).__name__
        return _Outcome(FittedModel(dict(FALLBACK), []), np.zeros(horizon), problem) if problem else outcome

    def _simple_model(self, y: Floats) -> FittedModel | None:
        """Return a simpler model for a series that is too short or constant; None for others."""
        numbers = y[~np.isnan(y)]
        if len(numbers) < 3 or numbers.min() == numbers.max():
            return FittedModel(dict(LAST_VALUE), [])
        if len(numbers) >= FEWEST:
            return None
        simple = ets.choose(filled(y), 1, [ets.Components("add", None, None, False)])
        return FittedModel({"rule": "simple smoothing", **simple.specification}, simple.parameters)

    def _any_forecast(self, fitted: FittedModel, y: Floats, horizon: int, same_origin: bool) -> Floats:
        """Forecast by the model, or by the simpler one that a series got."""
        if "rule" not in fitted.specification:
            return np.asarray(self._model.forecast(fitted, y, horizon, same_origin))
        if fitted.specification == LAST_VALUE:
            return np.full(horizon, filled(y)[-1])
        return ets.forecast(fitted, filled(y), horizon, same_origin)

    def _any_quantiles(self, fitted: FittedModel, y: Floats, horizon: int, same_origin: bool) -> Floats | None:
        """Return the quantiles of the model, or of simple smoothing, (H, L); None for a last value."""
        if fitted.specification == LAST_VALUE:
            return None
        if "rule" in fitted.specification:
            return ets.quantiles(fitted, filled(y), horizon, same_origin)
        return np.asarray(self._model.quantiles(fitted, y, horizon, same_origin))

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


def _batches(tasks: Iterator[tuple[tuple[int, int], _Task]]) -> Iterator[dict[tuple[int, int], _Task]]:
    """Yield tasks in parts that fit in memory: the contexts of many cutoffs overlap."""
    part: dict[tuple[int, int], _Task] = {}
    steps = 0
    for at, task in tasks:
        part[at] = task
        steps += len(task.y)
        if steps >= BATCH:
            yield part
            part, steps = {}, 0
    yield part


def _run_tasks(tasks: list[_Task], shared: tuple[StatisticalForecaster, int, int, bool]) -> list[_Outcome]:
    """Run tasks in order; entry point of worker processes."""
    of, season_length, horizon, whole = shared
    with np.errstate(all="ignore"), _one_thread():  # an overflow on the way shows in the forecast
        return [of._run_task(task, season_length, horizon, whole) for task in tasks]


_lock = threading.Lock()
_inside: list[Callable[[], None]] = []  # functions that lift the limit, one for each thread within it


@contextmanager
def _one_thread() -> Iterator[None]:
    """Limit linear algebra to one thread: on matrices of a few rows, threads only wait for each other.

    The limit holds for the whole process, so the first to enter sets it and the last to leave lifts it.
    """
    with _lock:
        # Libraries loaded later would not be limited: the imports above load those of scipy.
        _inside.append(_inside[0] if _inside else threadpool_limits(1, user_api="blas").restore_original_limits)
    try:
        yield
    finally:
        with _lock:
            undo = _inside.pop()
            if not _inside:
                undo()


def _from_first_number(y: Floats) -> Floats:
    """Return `y` from its first number on; an empty array where there is none."""
    valid = ~np.isnan(y)
    return np.ascontiguousarray(y[valid.argmax() :]) if valid.any() else y[:0]


def _unit(y: Floats) -> float:
    """Return the divisor of a series before it is fitted: a power of two, so that no digit is lost."""
    size = float(np.nanmax(np.abs(y)))
    return 1.0 if size == 0 or 1 / EXTREME < size < EXTREME else 2.0 ** int(np.log2(size))


def _problem_of(forecast: Floats, y: Floats) -> str:
    """Return the problem of a forecast, or an empty string."""
    if not np.isfinite(forecast).all():
        return "its forecast is not finite"
    low, high = float(np.nanmin(y)), float(np.nanmax(y))
    most = ABSURD * max(1.0, len(forecast) / len(y)) * (high - low)
    worst = max(float(forecast.max()) - high, low - float(forecast.min()))
    if worst > most:
        return f"its forecast goes {worst:.3g} beyond all observed numbers, whose range is {high - low:.3g}"
    return ""
