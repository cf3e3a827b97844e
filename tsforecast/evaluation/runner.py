"""Run the fits of a comparison: in several processes, with failures as outcomes, resumed from a checkpoint."""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
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

from tsforecast.checks import whole
from tsforecast.errors import ParameterError, TsForecastError, reason
from tsforecast.evaluation.record import FitRecord
from tsforecast.evaluation.storage import read_rows, write_rows
from tsforecast.executors import run_here, run_tasks
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
class Task(Generic[Model, Fold]):
    """One fit of a comparison."""

    name: str
    model: Model
    fold: Fold

    def attempt(self, experiment: Experiment[Model, Fold, Record]) -> Outcome[Record]:
        """Run the fit; an exception becomes an outcome, too."""
        return self.outcome(experiment, lambda: Outcome(*experiment.run(self.name, self.model, self.fold)))

    def outcome(
        self, experiment: Experiment[Model, Fold, Record], result: Callable[[], Outcome[Record]]
    ) -> Outcome[Record]:
        """Return a result, or the outcome of a fit that failed."""
        trace = ""
        try:
            return result()
        except TsForecastError as error:  # its sentence needs no line of code
            problem = error
        except Exception as error:
            problem = TsForecastError(f"{type(error).__name__}: {reason(error) or 'no reason given'}")
            trace = traceback.format_exc()
        fit = experiment.planned(self.name, self.model, self.fold)
        return Outcome(None, replace(fit, error="; ".join(problem.problems)), problem, trace)


@dataclass(frozen=True, eq=False)
class Outcome(Generic[Record]):
    """The result of a task: rows, or a problem."""

    rows: pd.DataFrame | None
    fit: Record
    problem: TsForecastError | None = None
    trace: str = ""  # of an unexpected exception


def run_all(
    models: Mapping[str, Model],
    experiment: Experiment[Model, Any, Record],
    seeds: int = 1,
    n_jobs: int | None = None,
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
        Task(name, seeded, fold)
        for name, model in models.items()
        for seeded in seeded_clones(model, seeds)
        for fold in folds
    ]
    files = _files(tasks, experiment, checkpoint)
    outcomes = {i: _read(file, experiment) for i, file in enumerate(files) if file and file.is_file()}
    for outcome in outcomes.values():
        on_fit(outcome.fit)
    left = {i: task for i, task in enumerate(tasks) if i not in outcomes}
    with closing(_run(left, experiment, n_jobs, progress)) as ended:
        for i, outcome in ended:
            outcomes[i] = outcome
            on_fit(outcome.fit)
            if outcome.problem:
                _log.warning("%s failed: %s\n%s", outcome.fit.model, outcome.problem, outcome.trace)
                if outcome.fit.model in needed:
                    raise_failures([outcome])
            elif (file := files[i]) and outcome.rows is not None:
                write_rows(file, outcome.rows, {"fit": asdict(outcome.fit)})
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
    tasks: dict[int, Task[Model, Any]],
    experiment: Experiment[Model, Any, Record],
    n_jobs: int | None,
    progress: Callable[[str], None] | None,
) -> Generator[tuple[int, Outcome[Record]], None, None]:
    """Yield the outcome of each task as soon as it is available."""
    announced: set[str] = set()

    def started(task: Task[Model, Any]) -> None:
        if progress and task.name not in announced:
            announced.add(task.name)
            progress(task.name)

    def attempt(task: Task[Model, Any]) -> Outcome[Record]:
        started(task)
        return task.attempt(experiment)

    if run_here(n_jobs):
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
    here = {number for number, task in tasks.items() if packed(task.model) is None}
    for number in here:
        yield number, attempt(tasks[number])
    left = {number: task for number, task in tasks.items() if number not in here}
    with closing(run_tasks(_attempt, left, experiment, n_jobs, started=started)) as results:
        for number, result in results:
            yield number, left[number].outcome(experiment, result.result)


def _attempt(task: Task[Model, Any], experiment: Experiment[Model, Any, Record]) -> Outcome[Record]:
    """Run a task; entry point of workers."""
    return task.attempt(experiment)


def _files(
    tasks: list[Task[Model, Any]], experiment: Experiment[Any, Any, Record], checkpoint: str | Path | None
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
