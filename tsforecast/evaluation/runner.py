"""Many models, seeds and cutoffs: on several cores, with failures kept apart, going on where a run was cut short."""

from __future__ import annotations

import logging
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import BrokenExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from pickle import PicklingError
from typing import Any

import joblib
import pandas as pd
from sklearn.base import clone
from threadpoolctl import threadpool_info

from tsforecast.checks import whole
from tsforecast.data.panel import Panel, fingerprint
from tsforecast.data.protocol import Piece, Protocol
from tsforecast.errors import ParameterError, TsForecastError, reason
from tsforecast.evaluation.backtest import run
from tsforecast.evaluation.record import Fit
from tsforecast.evaluation.storage import read_rows, write_rows
from tsforecast.files import require_place
from tsforecast.forecasters.base import Forecaster
from tsforecast.provenance import versions

_log = logging.getLogger("tsforecast")


@dataclass(frozen=True, eq=False)
class Task:
    """One fit that is to be made."""

    model: str
    forecaster: Forecaster
    piece: Piece


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came of a task: rows, or a problem.

    Attributes
    ----------
    rows : pandas.DataFrame or None
    fit : Fit
    problem : TsForecastError or None
    trace : str
        Where in the code the problem arose.
    warnings : tuple of Warning
        What was warned of in another process.
    """

    rows: pd.DataFrame | None
    fit: Fit
    problem: TsForecastError | None = None
    trace: str = ""
    warnings: tuple[Warning, ...] = ()


def run_all(
    models: Mapping[str, Forecaster],
    panel: Panel,
    protocol: Protocol,
    seeds: int = 1,
    n_jobs: int | None = 1,
    checkpoint: str | Path | None = None,
    progress: Callable[[str], None] | None = None,
    needed: Collection[str] = (),
    tell: Callable[[Fit], None] = lambda fit: None,
) -> list[Outcome]:
    """Fit and test every model with every seed; the order of what is returned does not depend on `n_jobs`.

    Parameters
    ----------
    models : dict of name to forecaster
    panel : Panel
    protocol : Protocol
    seeds : int
        How often a forecaster with a random state is fitted, with ``random_state, random_state + 1, ...``.
    n_jobs : int or None
        Processes; -1 for one on each core.
    checkpoint : path, optional
        Folder in which each outcome is kept at once, and where those of an earlier run are found again.
    progress : callable, optional
        Called with the name of each model when it starts.
    needed : collection of str
        Models without which all others are in vain.
    tell : callable
        Called with each fit when it is over, or found again.

    Raises
    ------
    ParameterError, DataError
        Also at once when a needed model fails.
    """
    pieces = protocol.pieces(panel)
    tasks = [
        Task(name, forecaster, piece)
        for name, one in models.items()
        for forecaster in seeded(one, seeds)
        for piece in pieces
    ]
    files = _files(tasks, panel, protocol, checkpoint)
    outcomes = {number: _kept(files[number]) for number in range(len(tasks)) if files and files[number].is_file()}
    for outcome in outcomes.values():
        tell(outcome.fit)
    open_tasks = {number: task for number, task in enumerate(tasks) if number not in outcomes}
    for number, outcome in _run(open_tasks, panel, protocol, n_jobs, progress):
        outcomes[number] = outcome
        tell(outcome.fit)
        if outcome.problem:
            _log.warning("%s failed: %s\n%s", tasks[number].model, outcome.problem, outcome.trace)
            if tasks[number].model in needed:
                raise_failures([outcome])
        elif files and outcome.rows is not None:
            write_rows(files[number], outcome.rows, {"fit": asdict(outcome.fit)})
        for warning in outcome.warnings:
            warnings.warn(warning, stacklevel=3)
    return [outcomes[number] for number in range(len(tasks))]


def raise_failures(outcomes: Iterable[Outcome]) -> None:
    """Raise what went wrong, with the names of the models; the first error says of which kind."""
    problems = {outcome.fit.model: outcome.problem for outcome in outcomes if outcome.problem}
    for problem in problems.values():
        raise type(problem)([f"{model}: {one}" for model, each in problems.items() for one in each.problems])


def seeded(forecaster: Forecaster, seeds: int) -> list[Forecaster]:
    """Return clones with one seed after the other; one clone where nothing in it is random.

    Examples
    --------
    >>> from tsforecast.estimators.registry import make
    >>> [model.random_state for model in seeded(make("ensemble", random_state=7), 2)]
    [7, 8]
    >>> len(seeded(make("naive"), 2))
    1
    """
    states = {
        name: state
        for name, state in forecaster.get_params(deep=True).items()
        if re.fullmatch(r"(.*__)?random_state", name) and not whole(name, 0 if state is None else state, 0)
    }
    if seeds == 1 or not states:
        return [clone(forecaster)]
    return [
        clone(forecaster).set_params(**{name: (state or 0) + seed for name, state in states.items()})
        for seed in range(seeds)
    ]


def _run(
    tasks: dict[int, Task],
    panel: Panel,
    protocol: Protocol,
    n_jobs: int | None,
    progress: Callable[[str], None] | None,
) -> Iterator[tuple[int, Outcome]]:
    """Yield the outcome of each task when it is there."""
    announced: set[str] = set()

    def started() -> Iterator[tuple[int, Task]]:
        for number, task in tasks.items():
            if progress and task.model not in announced:
                announced.add(task.model)
                progress(task.model)
            yield number, task

    if joblib.effective_n_jobs(n_jobs) == 1:
        for number, task in started():
            yield number, attempt(task, panel, protocol)
        return
    threads = _threads()
    left = dict(tasks)
    with joblib.parallel_config("loky", n_jobs=n_jobs, inner_max_num_threads=threads["blas"]):
        run_in_process = joblib.delayed(_elsewhere)
        jobs = (run_in_process(number, task, panel, protocol, threads["torch"]) for number, task in started())
        parallel = joblib.Parallel(return_as="generator_unordered", pre_dispatch="n_jobs", batch_size=1)
        try:
            for number, outcome in parallel(jobs):
                del left[number]
                yield number, outcome
        except BrokenExecutor:
            _log.warning("a process was killed; the %s fits that are left run one by one", len(left))
    for number, task in left.items():
        yield number, _alone(number, task, panel, protocol, threads["torch"])


def attempt(task: Task, panel: Panel, protocol: Protocol) -> Outcome:
    """Run a task; an exception is an outcome, too."""
    try:
        rows, fit = run(task.model, task.forecaster, panel, protocol, task.piece)
    except Exception as error:
        if isinstance(error, TsForecastError):  # a sentence that needs no line of code
            return _failure(task, panel, protocol, error)
        told = f"{type(error).__name__}: {reason(error) or 'no reason given'}"
        return _failure(task, panel, protocol, TsForecastError(told), traceback.format_exc())
    return Outcome(rows, fit)


def _failure(task: Task, panel: Panel, protocol: Protocol, problem: TsForecastError, trace: str = "") -> Outcome:
    fit = Fit.planned(task.model, task.forecaster, panel, protocol, task.piece)
    return Outcome(None, replace(fit, error="; ".join(problem.problems)), problem, trace)


def _elsewhere(number: int, task: Task, panel: Panel, protocol: Protocol, threads: int | None) -> tuple[int, Outcome]:
    """Run a task in a process of its own with the threads of the first one, so that sums round in the same way."""
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    # Models that would start processes themselves fit one series after the other here.
    with joblib.parallel_config("sequential"), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        outcome = attempt(task, panel, protocol)
    own = [item.message for item in caught if type(item.message).__module__.startswith("tsforecast")]
    return number, replace(outcome, warnings=tuple(message for message in own if isinstance(message, Warning)))


def _alone(number: int, task: Task, panel: Panel, protocol: Protocol, threads: int | None) -> Outcome:
    """Run a task in a process that it shares with nobody; that it is killed is an outcome, too."""
    from joblib.externals.loky import ProcessPoolExecutor

    with ProcessPoolExecutor(max_workers=1) as executor:
        try:
            return executor.submit(_elsewhere, number, task, panel, protocol, threads).result()[1]  # type: ignore[no-any-return]
        except BrokenExecutor:
            killed = "its process was killed, though it ran alone; it may need more memory: use smaller settings"
            return _failure(task, panel, protocol, TsForecastError(killed))


def _threads() -> dict[str, int | None]:
    """Return how many threads this process computes with; none of torch where that is not in use."""
    blas = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    torch: Any = sys.modules.get("torch")
    return {"blas": max(blas, default=1), "torch": torch.get_num_threads() if torch else None}


def _files(tasks: list[Task], panel: Panel, protocol: Protocol, checkpoint: str | Path | None) -> list[Path]:
    """Return the file of each task, named after all that its outcome depends on; no files without a folder."""
    if checkpoint is None:
        return []
    folder = Path(checkpoint)
    require_place(folder)
    shared = fingerprint(panel), repr(protocol), sorted(versions().items())
    files = []
    for task in tasks:
        try:
            key = joblib.hash((shared, task.model, task.forecaster, task.piece.number))
        except (PicklingError, AttributeError, TypeError) as error:
            raise ParameterError(
                f"{task.model} must be made of parts that can be pickled where a checkpoint is kept: {reason(error)}; "
                "use functions with a name in a module, or no checkpoint"
            ) from error
        files.append(folder / f"{re.sub(r'[^A-Za-z0-9_-]', '_', task.model)}-{key}.parquet")
    return files


def _kept(file: Path) -> Outcome:
    rows, told = read_rows(file)
    return Outcome(rows, Fit.from_plain(told["fit"]))
