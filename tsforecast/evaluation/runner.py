"""Run the fits of a comparison: in several processes, with failures as outcomes, resumed from a checkpoint."""

from __future__ import annotations

import logging
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from pickle import PicklingError
from typing import Any, Generic, Protocol, TypeVar

import cloudpickle
import joblib
import pandas as pd
from sklearn.base import BaseEstimator, clone
from threadpoolctl import threadpool_info

from tsforecast.checks import whole
from tsforecast.errors import ParameterError, TsForecastError, reason
from tsforecast.evaluation.record import FitRecord
from tsforecast.evaluation.storage import read_rows, write_rows
from tsforecast.files import require_place
from tsforecast.provenance import versions

_log = logging.getLogger("tsforecast")
Model = TypeVar("Model", bound=BaseEstimator)  # forecaster or classifier
ModelIn = TypeVar("ModelIn", bound=BaseEstimator, contravariant=True)
Fold = TypeVar("Fold")
Record = TypeVar("Record", bound=FitRecord)
RecordOut = TypeVar("RecordOut", bound=FitRecord, covariant=True)


class Experiment(Protocol[ModelIn, Fold, RecordOut]):
    """The data and folds that all fits of a comparison share; runs one fit."""

    @property
    def folds(self) -> Sequence[Fold]:
        """One fit of each model and seed is made on each of these."""

    @property
    def identity(self) -> Any:
        """Everything that outcomes depend on, except model, fold and versions."""

    @property
    def record_type(self) -> type[RecordOut]:
        """Type of the record of a fit."""

    def planned(self, name: str, model: ModelIn, fold: Fold) -> RecordOut:
        """Return the record of a fit before it begins."""

    def run(self, name: str, model: ModelIn, fold: Fold) -> tuple[pd.DataFrame, RecordOut]:
        """Fit a clone of the model, and return one row for each prediction, and the record."""


@dataclass(frozen=True, eq=False)
class Task(Generic[Model, Fold, Record]):
    """One fit of a comparison."""

    name: str
    model: Model
    fold: Fold
    experiment: Experiment[Model, Fold, Record]

    def attempt(self) -> Outcome[Record]:
        """Run the fit; an exception becomes an outcome, too."""
        try:
            rows, fit = self.experiment.run(self.name, self.model, self.fold)
        except TsForecastError as error:  # its sentence needs no line of code
            return self.failure(error)
        except Exception as error:
            sentence = f"{type(error).__name__}: {reason(error) or 'no reason given'}"
            return self.failure(TsForecastError(sentence), traceback.format_exc())
        return Outcome(rows, fit)

    def failure(self, problem: TsForecastError, trace: str = "") -> Outcome[Record]:
        """Return the outcome of a fit that failed."""
        fit = self.experiment.planned(self.name, self.model, self.fold)
        return Outcome(None, replace(fit, error="; ".join(problem.problems)), problem, trace)


@dataclass(frozen=True, eq=False)
class Outcome(Generic[Record]):
    """The result of a task: rows, or a problem."""

    rows: pd.DataFrame | None
    fit: Record
    problem: TsForecastError | None = None
    trace: str = ""  # of an unexpected exception
    warnings: tuple[Warning, ...] = ()  # issued in another process


def run_all(
    models: Mapping[str, Model],
    experiment: Experiment[Model, Any, Record],
    seeds: int = 1,
    n_jobs: int | None = 1,
    checkpoint: str | Path | None = None,
    progress: Callable[[str], None] | None = None,
    needed: Collection[str] = (),
    on_fit: Callable[[Record], None] = lambda fit: None,
) -> list[Outcome[Record]]:
    """Fit and test every model with every seed on every fold, in an order that does not depend on `n_jobs`.

    `seeds`, `n_jobs` and `checkpoint` are those of `tsforecast.leaderboard`; `progress` gets the name of each model
    when it starts, `on_fit` the record of each fit that ended, or was read from the checkpoint. A failure of a model
    in `needed`, without which no other can be judged, is raised at once.
    """
    folds = experiment.folds
    tasks = [
        Task(name, seeded, fold, experiment)
        for name, model in models.items()
        for seeded in seeded_clones(model, seeds)
        for fold in folds
    ]
    files = _files(tasks, experiment, checkpoint)
    outcomes = {i: _read(file, experiment) for i, file in enumerate(files) if file and file.is_file()}
    for outcome in outcomes.values():
        on_fit(outcome.fit)
    left = {i: task for i, task in enumerate(tasks) if i not in outcomes}
    with closing(_run(left, n_jobs, progress)) as ended:
        for i, outcome in ended:
            outcomes[i] = outcome
            on_fit(outcome.fit)
            if outcome.problem:
                _log.warning("%s failed: %s\n%s", outcome.fit.model, outcome.problem, outcome.trace)
                if outcome.fit.model in needed:
                    raise_failures([outcome])
            elif (file := files[i]) and outcome.rows is not None:
                write_rows(file, outcome.rows, {"fit": asdict(outcome.fit)})
            for warning in outcome.warnings:
                warnings.warn(warning, stacklevel=3)
    return [outcomes[i] for i in range(len(tasks))]


def complete(outcomes: Iterable[Outcome[Any]], baselines: Collection[str]) -> dict[str, list[pd.DataFrame]]:
    """Return the rows of each model that failed nowhere; where these are baselines alone, raise every failure."""
    outcomes = list(outcomes)
    failed = {outcome.fit.model for outcome in outcomes if outcome.problem}
    if not {outcome.fit.model for outcome in outcomes if outcome.fit.model not in baselines} - failed:
        raise_failures(outcomes)
    parts: dict[str, list[pd.DataFrame]] = {}
    for outcome in outcomes:
        if outcome.rows is not None and outcome.fit.model not in failed:
            parts.setdefault(outcome.fit.model, []).append(outcome.rows)
    return parts


def by_name(pairs: Iterable[tuple[str, Model]]) -> dict[str, Model]:
    """Return models by name, with a number after each repetition."""
    found: dict[str, Model] = {}
    for name, model in pairs:
        unique, number = name, 2
        while unique in found:
            unique, number = f"{name}-{number}", number + 1
        found[unique] = model
    return found


def raise_failures(outcomes: Iterable[Outcome[Any]]) -> None:
    """Raise every problem with the name of its model, as the type of the first one."""
    problems = {outcome.fit.model: outcome.problem for outcome in outcomes if outcome.problem}
    for problem in problems.values():
        raise type(problem)([one.within(f"{model}: ") for model, each in problems.items() for one in each.problems])


def seeded_clones(model: Model, seeds: int) -> list[Model]:
    """Return one clone for each seed, or a single clone of a model without a random state."""
    states = random_states(model)
    if seeds == 1 or not states:
        return [clone(model)]
    return [
        clone(model).set_params(**{name: (state or 0) + seed for name, state in states.items()})
        for seed in range(seeds)
    ]


def random_states(model: BaseEstimator) -> dict[str, int | None]:
    """Return the parameters of a model and of its parts that are random states, None among them."""
    return {
        name: state
        for name, state in model.get_params(deep=True).items()
        if re.fullmatch(r"(.*__)?random_state", name) and not whole(name, 0 if state is None else state, 0)
    }


def _run(
    tasks: dict[int, Task[Model, Any, Record]], n_jobs: int | None, progress: Callable[[str], None] | None
) -> Generator[tuple[int, Outcome[Record]], None, None]:
    """Yield the outcome of each task as soon as it is available."""
    announced: set[str] = set()

    def announced_first(task: Task[Model, Any, Record]) -> Task[Model, Any, Record]:
        if progress and task.name not in announced:
            announced.add(task.name)
            progress(task.name)
        return task

    def attempt(task: Task[Model, Any, Record]) -> Outcome[Record]:
        return announced_first(task).attempt()

    if joblib.effective_n_jobs(n_jobs) == 1:
        networks = {number for number, task in tasks.items() if getattr(task.model, "side_by_side", False)}
        for number, task in tasks.items():
            if number not in networks:
                yield number, attempt(task)
        if networks:
            from tsforecast.training.runtime import side_by_side

            numbers = sorted(networks)
            with closing(side_by_side([partial(attempt, tasks[number]) for number in numbers])) as ended:
                for place, outcome in ended:
                    yield numbers[place], outcome.result()
        return
    blas = max((pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"), default=1)
    torch: Any = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch else None
    here = {number for number, task in tasks.items() if packed(task.model) is None}
    for number in here:
        yield number, tasks[number].attempt()
    left = {number: task for number, task in tasks.items() if number not in here}
    with joblib.parallel_config("loky", n_jobs=n_jobs, inner_max_num_threads=blas):
        run_in_process = joblib.delayed(_in_process)
        jobs = (run_in_process(number, announced_first(task), threads) for number, task in left.copy().items())
        parallel = joblib.Parallel(return_as="generator_unordered", pre_dispatch="n_jobs", batch_size=1)
        try:
            for number, outcome in parallel(jobs):
                del left[number]
                yield number, outcome
        except BrokenExecutor:
            _log.warning("a process was killed; the %s fits that are left run one by one", len(left))
    for number, task in left.items():
        yield number, _in_own_process(number, task, threads)


def _in_process(number: int, task: Task[Model, Any, Record], threads: int | None) -> tuple[int, Outcome[Record]]:
    """Run a task in a worker process with as many threads of torch as here, None if not loaded, to round sums alike."""
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    # Models that would start processes of their own fit one series after the other here.
    with joblib.parallel_config("sequential"), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        outcome = task.attempt()
    own = [item.message for item in caught if type(item.message).__module__.startswith("tsforecast")]
    return number, replace(outcome, warnings=tuple(message for message in own if isinstance(message, Warning)))


def _in_own_process(number: int, task: Task[Model, Any, Record], threads: int | None) -> Outcome[Record]:
    """Run a task in a process of its own; a killed process becomes an outcome, too."""
    from joblib.externals.loky import ProcessPoolExecutor

    with ProcessPoolExecutor(max_workers=1) as executor:
        try:
            return executor.submit(_in_process, number, task, threads).result()[1]  # type: ignore[no-any-return]
        except BrokenExecutor:
            killed = "its process was killed, though it ran alone; it may need more memory: use smaller settings"
            return task.failure(TsForecastError(killed))


def _files(
    tasks: list[Task[Model, Any, Record]], experiment: Experiment[Any, Any, Record], checkpoint: str | Path | None
) -> list[Path | None]:
    """Return the file of each task, named by a hash of all that its outcome depends on; None where there is none."""
    if checkpoint is None:
        return [None] * len(tasks)
    if not isinstance(checkpoint, str | Path):
        raise ParameterError(f"checkpoint must be the path of a folder: got {checkpoint!r}")
    folder = Path(checkpoint)
    require_place(folder)
    shared = experiment.identity, sorted(versions().items())
    files: list[Path | None] = []
    for task in tasks:
        model: Any = task.model
        try:
            joblib.hash(model)
        except (PicklingError, AttributeError, TypeError) as error:
            if not hasattr(model, "code"):  # of this package, where a setting without a name is a mistake
                raise ParameterError(
                    f"{task.name} must be made of parts that can be pickled where a checkpoint is kept: "
                    f"{reason(error)}; use functions with a name in a module, or no checkpoint"
                ) from error
            model = packed(model)
        code = getattr(task.model, "code", "")
        key = joblib.hash((shared, task.name, model, task.fold, *([code] if code else [])))
        name = f"{re.sub(r'[^A-Za-z0-9_-]', '_', task.name)}-{key}.parquet"
        files.append(None if model is None else folder / name)
    return files


def packed(model: Any) -> bytes | None:
    """Return a model as bytes, functions without a name by their code; None where it cannot be pickled."""
    try:
        return cloudpickle.dumps(model)  # type: ignore[no-any-return]
    except Exception:  # what a part of it raises
        return None


def _read(file: Path, experiment: Experiment[Any, Any, Record]) -> Outcome[Record]:
    rows, stored = read_rows(file)
    return Outcome(rows, experiment.record_type.from_plain(stored["fit"]))
