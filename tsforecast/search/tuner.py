"""Trials on the cores of this machine or of a ray cluster; a search that was cut short goes on."""

from __future__ import annotations

import json
import logging
import os
import shutil
import socket
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
import ray
import ray.tune
from filelock import FileLock, Timeout
from platformdirs import user_data_dir

from tsforecast.data.panel import Panel
from tsforecast.errors import ParameterError, Phrase, Problem, TsForecastError, reason
from tsforecast.files import OutputError
from tsforecast.provenance import machine, versions
from tsforecast.search import journal
from tsforecast.search.journal import Tried
from tsforecast.search.space import Settings, Space
from tsforecast.search.storage import About, begin
from tsforecast.search.suggest import JOB, SCORE, Remembering, listed_jobs, proposals, recall, scheduler
from tsforecast.search.trial import FIT, LOSSES, Assignment, Score, run_trial, trains_in_epochs

if TYPE_CHECKING:
    from tsforecast.search.search import RaySearch


@dataclass(frozen=True)
class Orders:
    """How a search runs; see `RaySearch`."""

    trials: int
    searcher: str
    scheduler: str
    epochs: int
    seed: int
    folder: Path
    time_budget: float | None
    resources: dict[str, float]
    address: str | None

    @property
    def pauses(self) -> bool:
        """Whether trials wait for others, and go on from copies of their own state or of another's."""
        return self.scheduler in ("hyperband", "pbt") or self.searcher == "bohb"

    def place(self, trial: int) -> Path:
        """Return where a trial keeps its state, and the losses of its epochs."""
        return self.folder / "trials" / f"{trial:05d}"


def prepare(search: RaySearch, panel: Panel, space: Space, assignment: Assignment, given: dict[str, str]) -> Orders:
    """Return how a search runs, and keep in its folder what it was asked; what is `given` besides belongs to it.

    Raises
    ------
    ParameterError, OutputError
        When the folder holds another search, or something else, or cannot be written to.
    """
    about = _about(search, panel, space, assignment)
    asked = {"data": panel.fingerprint(), "forecaster": about.forecaster, "space": json.dumps(about.space)}
    for name in ("searcher", "scheduler", "metric", "random_state", "max_epochs", "validation", "validation_origins"):
        asked[name] = str(getattr(search, name))
    asked |= {name: str(value) for name, value in assignment.folds[0].settings.items()} | given
    folder = Path(search.storage or Path(user_data_dir("tsforecast"), "searches")).absolute()
    folder /= search.name or f"{type(search.forecaster).__name__}-{joblib.hash(asked)[:12]}"
    begin(folder, asked, about, search.resume)
    return Orders(
        trials=about.trials,
        searcher=search.searcher,
        scheduler=search.scheduler,
        epochs=about.epochs,
        seed=search.random_state,
        folder=folder,
        time_budget=search.time_budget,
        resources=dict(search.resources_per_trial or {"cpu": 1}),
        address=search.address,
    )


def _about(search: RaySearch, panel: Panel, space: Space, assignment: Assignment) -> About:
    model, newest = assignment.model({}), assignment.folds[0]
    return About(
        data=repr(panel).removeprefix("Panel: "),
        forecaster=" ".join(repr(search.forecaster).split()),
        space=space.plain(),
        season_length=panel.season_length,
        epochs=int(model.get_params()["max_epochs"]) if trains_in_epochs(model) else 0,
        trials=sum(1 for _ in islice(space.grid(), search.trials)) if search.searcher == "grid" else search.trials,
        horizon=newest.settings.get("horizon", 0),
        metric=newest.metric,
        reference=newest.reference,
        cutoffs=sum(len(fold.weights) for fold in assignment.folds),
        origins=len(assignment.folds),
        searcher=search.searcher,
        scheduler=search.scheduler,
        made=datetime.now().astimezone().isoformat(timespec="seconds"),
        versions=versions() | {name: version(name) for name in ("ray", "optuna")},
        machine=machine(),
    )


logger = logging.getLogger("tsforecast")
Listener = Callable[[str, dict[str, Any]], None]


@contextmanager
def show_trials(
    verbose: int, told: str, trials: int, reference: str, before: int = 0, best: float = 0.0
) -> Iterator[Listener]:
    """Yield a function that hears of each epoch, and of each trial that is over.

    Parameters
    ----------
    verbose : int
        1 shows a bar at a terminal; where there is none, such as in a file of a search that runs overnight, a line for
        each trial. 0 shows nothing; whoever listens to the logger hears the same.
    told : str
        How large the space is.
    trials : int
        As asked.
    reference : str
        What a skill is above or below.
    before : int
        How many of them were over before.
    best : float
        Skill of the best of those.

    Examples
    --------
    >>> with show_trials(0, "4 combinations", 2, "naive") as listen:
    ...     listen("epoch", {"best_skill": 0.1})
    """
    from rich import get_console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = get_console()
    at_terminal = console.is_terminal or console.is_jupyter

    def say(sentence: str) -> None:
        logger.info("search: %s", sentence)
        if verbose and not at_terminal:
            console.print(sentence, highlight=False, soft_wrap=True)

    say(told)
    if verbose and at_terminal:
        console.print(told, highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=20), MofNCompleteColumn(), TimeRemainingColumn())
    done, began = before, time.monotonic()
    with Progress(*columns, console=console, transient=True, disable=not (verbose and at_terminal)) as bar:
        task = bar.add_task(_so_far(best, reference), total=trials, completed=done)

        def listen(event: str, result: dict[str, Any]) -> None:
            nonlocal best, done
            if result.get("best_skill", 0.0) > best:
                best = float(result["best_skill"])
                bar.update(task, description=_so_far(best, reference))
            if event == "done":
                done += 1
                bar.advance(task)
                left = timedelta(seconds=round((time.monotonic() - began) / (done - before) * (trials - done)))
                say(f"{done} of {trials} trials, {_so_far(best, reference)}, about {left} left")

        yield listen


def _so_far(best: float, reference: str) -> str:
    return f"best skill {best:+.1%}" if best > 0 else f"nothing beats {reference} yet"


WAIT = 5.0  # seconds for a cluster to answer
ROOM = 1 << 16  # bytes without which a trial cannot keep its state
WAIT_FOR_ANOTHER = 60.0  # seconds for a process that is about to end
_listeners: list[Callable[[str, dict[str, Any]], None]] = []  # ray pickles its callbacks, and cannot pickle a screen

# What ray reads from the environment: no tables in the terminal, no files for TensorBoard, no advice on checkpoints.
QUIET = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


class ClusterError(ParameterError):
    """A ray cluster could not be reached."""


def tune(
    assignment: Assignment, space: Space, orders: Orders, listener: Callable[[str, dict[str, Any]], None] | None = None
) -> list[Tried]:
    """Run all trials that are left, and return what came of all of them by their number.

    Ctrl-C ends the search early, with what is there.

    Raises
    ------
    ParameterError
        When the cluster cannot be reached, a searcher lacks its package, or another process runs this search.
    OutputError
        When the storage cannot be written to.
    """
    try:
        with _alone(orders.folder):
            journal.mend(orders.folder)
            earlier = journal.read(orders.folder)
            if len(earlier) < orders.trials or not all(one.over(orders.epochs) for one in earlier):
                with _quiet(), _cluster(orders.address), _listening(listener):
                    _tuner(assignment, space, orders, earlier).fit()
                _require_room(orders.folder)
            return journal.read(orders.folder)
    except (OSError, EOFError) as error:  # the latter where ray reads again what it could not write whole
        if isinstance(error, TsForecastError):
            raise
        why = "not all could be written" if isinstance(error, EOFError) else reason(error)
        raise OutputError(
            f"the search must keep its trials in {str(orders.folder)!r}: {why}; make room, or choose another "
            "storage, and run it again: it goes on from what is kept"
        ) from error


def _tuner(assignment: Assignment, space: Space, orders: Orders, earlier: list[Tried]) -> Any:
    shared = {"assignment": assignment, "space": space, "orders": orders}
    start, before = space.start(assignment.model({}).get_params()), [one.code for one in earlier]
    searcher, listed = proposals(orders.searcher, space, orders.trials, orders.seed, start, before)
    rules = scheduler(orders.scheduler, orders.searcher, space, orders.epochs)
    if not orders.pauses:
        recall(rules, earlier)
    left = max(0, orders.trials - len(earlier)) + sum(not one.over(orders.epochs) for one in earlier)
    jobs = listed_jobs(listed, earlier, orders.epochs)
    return ray.tune.Tuner(
        ray.tune.with_resources(ray.tune.with_parameters(_trainable, **shared), orders.resources),
        param_space={JOB: ray.tune.grid_search(jobs)} if listed else None,
        tune_config=ray.tune.TuneConfig(
            search_alg=Remembering(searcher, earlier, orders.epochs) if searcher else None,
            scheduler=rules,
            num_samples=left if searcher else 1,
            time_budget_s=orders.time_budget,
            reuse_actors=True,
            **(SCORE if orders.scheduler == "none" and orders.searcher != "bohb" else {}),
        ),
        run_config=ray.tune.RunConfig(
            name="ray",
            storage_path=str(orders.folder),
            callbacks=[_Scribe(orders.folder)],
            # A population takes over the weights of trials that have gone on since.
            checkpoint_config=ray.tune.CheckpointConfig(num_to_keep=None if orders.scheduler == "pbt" else 2),
            verbose=0,
        ),
    )


def _trainable(config: Settings, assignment: Assignment, space: Space, orders: Orders) -> None:
    """Run one trial in a process of ray's."""
    import torch

    if orders.resources.get("cpu", 1) <= 1:
        torch.set_num_threads(1)  # several trials share the cores
    job = config[JOB]
    place, reported = orders.place(job["trial"]), job["reported"]
    place.mkdir(parents=True, exist_ok=True)
    with FileLock(place / "lock", timeout=WAIT_FOR_ANOTHER):  # of the process that a killed search left behind
        if copy := ray.tune.get_checkpoint():
            reported = None
            for name in (FIT, LOSSES):
                _remove(place / name)
            copy.to_directory(place)

        def report(score: Score) -> None:
            state = ray.tune.Checkpoint.from_directory(place) if orders.pauses else None
            ray.tune.report(asdict(score), checkpoint=state)

        settings = space.settings(space.decode(job["code"]))
        run_trial(assignment, settings, place, report, reported, mutates=orders.scheduler == "pbt")


def _require_room(folder: Path) -> None:
    """Notice a disk that is full: ray goes on without what it could not write.

    Raises
    ------
    OSError
    """
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(bytes(ROOM))
        file.flush()
        os.fsync(file.fileno())


def _remove(place: Path) -> None:
    if place.is_dir():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)


def _said(error: Exception) -> str:
    """Return the sentence of what ended a trial, without ray's account of where."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, MemoryError):
        return f"it needs more memory than there is ({reason(cause)}): use smaller settings, or fewer trials at a time"
    if cause is not None:
        return f"{type(cause).__name__}: {reason(cause)}"
    if any(words in str(error) for words in ("died unexpectedly", "process has died", "low on memory")):
        return "its process died; it may need more memory: use smaller settings, or fewer trials at a time"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return "its error could not be kept"
    return lines[-1] if "Traceback" in str(error) or "ray::" in str(error) else lines[0]


def _error_of(trial: Any) -> Exception | None:
    """Return what ended a trial; ray keeps it in a file, which a full disk cuts short."""
    try:
        error: Exception | None = trial.get_error()
        return error
    except EOFError:
        return OSError()


def _for_want_of_room(error: Exception) -> bool:
    """Tell whether a trial failed because nothing could be written, or not even its error."""
    return isinstance(getattr(error, "cause", None), OSError) or not str(error).strip()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep ray's and the searchers' remarks to themselves; what matters is in the journal."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    log = logging.getLogger("ray")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


@contextmanager
def _cluster(address: str | None) -> Iterator[None]:
    """Start ray on this machine, or connect to a cluster, unless that was done already; leave it as it was found."""
    if ray.is_initialized():
        yield
        return
    _reach(address)
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": False}
    try:
        # Left to itself, ray would join a cluster that somebody else started here.
        ray.init(address=address, **quiet) if address else ray.init("local", include_dashboard=False, **quiet)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        raise _unreachable(address, error) from error
    try:
        yield
    finally:
        ray.shutdown()


class _Scribe(ray.tune.Callback):
    """Writes the journal, and tells whoever listens in this process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        self._write("began", trial, code=_code(trial))

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        told = {name: result[name] for name in ("epoch", "skill", "start")}
        seconds = trial.config[JOB]["seconds"] + result["time_total_s"]
        self._write("epoch", trial, code=_code(trial), seconds=seconds, **told)
        self._tell("epoch", result)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        self._write("done", trial)
        self._tell("done", {})

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        self._tell("done", {})

    def on_experiment_end(self, trials: list[Any], **_: Any) -> None:
        for trial in trials:  # only now does ray know of each why it failed
            if (error := _error_of(trial)) is not None:
                self._write("failed", trial, error=_said(error), again=_for_want_of_room(error))

    def _write(self, event: str, trial: Any, **told: Any) -> None:
        journal.write(self.folder, event, trial.config[JOB]["trial"], **told)

    def _tell(self, event: str, result: dict[str, Any]) -> None:
        for listen in _listeners:
            listen(event, result)


def _code(trial: Any) -> Settings:
    """Return settings as the searcher said them, with numbers that JSON knows."""
    code = trial.config[JOB]["code"]
    return {name: value.item() if isinstance(value, np.generic) else value for name, value in code.items()}


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes from running the same search.

    Raises
    ------
    ParameterError
        When one does.
    """
    lock = FileLock(folder / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise ParameterError(
            Problem(
                "a search must run once at a time",
                f"another process runs the one in {str(folder)!r}",
                ("wait for it, or give this one another ", Phrase("name", "search")),
            )
        ) from error
    try:
        yield
    finally:
        lock.release()


def _reach(address: str | None) -> None:
    """Knock at a host and port first: ray itself waits for many minutes.

    Raises
    ------
    ClusterError
    """
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if not port.isdigit():
        return  # this machine, or "auto"
    try:
        socket.create_connection((host, int(port)), timeout=WAIT).close()
    except OSError as error:
        raise _unreachable(address, error) from error


def _unreachable(address: str | None, error: Exception) -> ClusterError:
    return ClusterError(
        f"address must be that of a ray cluster that runs: {address!r} cannot be reached ({reason(error)}); start one "
        "with ray start --head, or leave address out to use this machine"
    )


@contextmanager
def _listening(listener: Callable[[str, dict[str, Any]], None] | None) -> Iterator[None]:
    if listener:
        _listeners.append(listener)
    try:
        yield
    finally:
        if listener:
            _listeners.remove(listener)
