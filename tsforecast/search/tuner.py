"""Run trials on Ray, on this machine or on a cluster; an interrupted search goes on from its folder."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import ray
import ray.tune
from filelock import FileLock, Timeout

from tsforecast.errors import ParameterError, Phrase, Problem, TsForecastError, reason
from tsforecast.files import OutputError
from tsforecast.search.space import Settings, Space
from tsforecast.search.storage import RunConfig, SearchSpec, TrialRecord, append_event, read_log, repair_log
from tsforecast.search.suggest import (
    JOB,
    SCORE,
    SeededSearcher,
    make_scheduler,
    make_searcher,
    remaining_jobs,
    warm_start,
)
from tsforecast.search.trial import FIT, LOSSES, Score, TrialSetup, judge, run_trial

logger = logging.getLogger("tsforecast")
Listener = Callable[[str, dict[str, Any]], None]  # called with "epoch" or "done", and the result of a trial

CLUSTER_TIMEOUT = 5.0  # seconds
LOCK_TIMEOUT = 60.0  # seconds for a worker of a killed search to end
ENOUGH_TRIALS, ENOUGH_SHARE = 10, 0.5  # trials, and share of all, after which a search may end as hopeless
LEAST_ROOM = 1 << 16  # bytes without which a trial cannot keep its state
# Ray pickles its callbacks, and cannot pickle a terminal, nor should it the data.
_listeners: list[Listener] = []
_hopeless: set[Path] = set()  # folders of searches that are to end

# Environment of Ray: no tables in the terminal, no files for TensorBoard, no advice on checkpoints.
RAY_ENVIRONMENT = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


def tune(setup: TrialSetup, space: Space, config: RunConfig, verbose: int = 0) -> tuple[list[TrialRecord], bool]:
    """Run all trials that are left; return the records of all by number, and whether it ended as hopeless.

    Ctrl-C ends the search early, with the trials so far. ParameterError is raised when the cluster cannot be reached, a
    searcher lacks its package, or another process runs this search; OutputError when the storage cannot be written to.
    """
    spec = config.spec
    try:
        with _exclusive(config.folder):
            repair_log(config.folder)
            earlier = read_log(config.folder)
            over = [record for record in earlier if record.is_over(spec.epochs)]
            with _show_progress(verbose, space, spec, over), _watch(setup, config) as is_hopeless:
                if (len(earlier) < spec.trials or len(over) < len(earlier)) and not is_hopeless():
                    with _silenced(), _cluster(config.address):
                        _tuner(setup, space, config, earlier).fit()
                    _require_room(config.folder)
                return read_log(config.folder), config.folder in _hopeless
    except (OSError, EOFError) as error:  # EOFError: Ray reads back a file that it could not write whole
        if isinstance(error, TsForecastError):
            raise
        why = "not all could be written" if isinstance(error, EOFError) else reason(error)
        raise OutputError(
            f"the search must keep its trials in {str(config.folder)!r}: {why}; make room, or choose another "
            "storage, and run it again: it goes on from what is kept"
        ) from error


def _tuner(setup: TrialSetup, space: Space, config: RunConfig, earlier: list[TrialRecord]) -> ray.tune.Tuner:
    spec, shared = config.spec, {"setup": setup, "space": space, "run": config}
    start = space.start(setup.model({}).get_params())
    searcher, listed = make_searcher(spec.searcher, space, spec.trials, config.seed, start, earlier)
    scheduler = make_scheduler(spec.stopping, space, spec.epochs)
    if not config.pauses:
        warm_start(scheduler, earlier)
    left = max(0, spec.trials - len(earlier)) + sum(not record.is_over(spec.epochs) for record in earlier)
    jobs = remaining_jobs(listed, earlier, spec.epochs)
    return ray.tune.Tuner(
        ray.tune.with_resources(ray.tune.with_parameters(_trainable, **shared), config.resources),
        param_space={JOB: ray.tune.grid_search(jobs)} if listed else None,
        tune_config=ray.tune.TuneConfig(
            search_alg=SeededSearcher(searcher, earlier, spec.epochs) if searcher else None,
            scheduler=scheduler,
            num_samples=left if searcher else 1,
            time_budget_s=config.time_budget,
            reuse_actors=True,
            **(SCORE if spec.stopping == "none" else {}),
        ),
        run_config=ray.tune.RunConfig(
            name="ray",
            stop=_Hopeless(config.folder),
            storage_path=str(config.folder),
            callbacks=[_LogCallback(config.folder)],
            # A population takes over the weights of trials that have gone on since.
            checkpoint_config=ray.tune.CheckpointConfig(num_to_keep=None if spec.stopping == "pbt" else 2),
            verbose=0,
        ),
    )


def _trainable(config: Settings, setup: TrialSetup, space: Space, run: RunConfig) -> None:
    """Run one trial in a worker process of Ray."""
    import torch

    if run.resources.get("cpu", 1) <= 1:
        torch.set_num_threads(1)  # several trials share the cores
    job = config[JOB]
    folder, reported = run.trial_folder(job["trial"]), job["reported"]
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock", timeout=LOCK_TIMEOUT):  # a killed search may leave a worker behind
        if checkpoint := ray.tune.get_checkpoint():
            reported = None
            if (folder / FIT).exists():
                shutil.rmtree(folder / FIT)
            (folder / LOSSES).unlink(missing_ok=True)
            checkpoint.to_directory(folder)

        def report(score: Score) -> None:
            state = ray.tune.Checkpoint.from_directory(folder) if run.pauses else None
            ray.tune.report(asdict(score), checkpoint=state)

        settings = space.settings(space.decode(job["code"]))
        run_trial(setup, settings, folder, report, reported, mutates=run.spec.stopping == "pbt")


class _LogCallback(ray.tune.Callback):
    """Writes the trial log, and calls the listeners in this process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        self._append("began", trial, code=_code(trial))

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        fields = {name: result[name] for name in ("epoch", "skill", "start")}
        seconds = trial.config[JOB]["seconds"] + result["time_total_s"]
        self._append("epoch", trial, code=_code(trial), seconds=seconds, **fields)
        self._notify("epoch", result)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        self._append("done", trial)
        self._notify("done", {})

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        self._notify("done", {})

    def on_experiment_end(self, trials: list[Any], **_: Any) -> None:
        for trial in trials:  # Ray has the errors of trials only now
            if (error := _error_of(trial)) is not None:
                # A trial that failed because nothing, or not even its error, could be written is run again.
                again = isinstance(getattr(error, "cause", None), OSError) or not str(error).strip()
                self._append("failed", trial, error=_error_text(error), again=again)

    def _append(self, event: str, trial: Any, **fields: Any) -> None:
        append_event(self.folder, event, trial.config[JOB]["trial"], **fields)

    def _notify(self, event: str, result: dict[str, Any]) -> None:
        for listen in _listeners:
            listen(event, result)


class _Hopeless(ray.tune.Stopper):
    """Ends a search that cannot beat naive."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Return that no trial ends for itself."""
        return False

    def stop_all(self) -> bool:
        """Return whether the search is to end."""
        return self.folder in _hopeless


@contextmanager
def _watch(setup: TrialSetup, config: RunConfig) -> Iterator[Callable[[], bool]]:
    """Find out, after each trial, whether a search is hopeless; yield the function that does."""
    spec = config.spec

    def is_hopeless() -> bool:
        records = read_log(config.folder)
        over = sum(record.is_over(spec.epochs) for record in records)
        if config.give_up and max(ENOUGH_TRIALS, ENOUGH_SHARE * spec.trials) <= over < spec.trials:
            honest = judge(setup.objectives, (config.trial_folder(record.trial) for record in records))
            if honest and honest.is_hopeless:
                _hopeless.add(config.folder)
        return config.folder in _hopeless

    def listen(event: str, result: dict[str, Any]) -> None:
        if event == "done":
            is_hopeless()

    _listeners.append(listen)
    try:
        yield is_hopeless
    finally:
        _listeners.remove(listen)
        _hopeless.discard(config.folder)


def _code(trial: Any) -> Settings:
    """Return encoded settings with numbers that JSON can hold."""
    code = trial.config[JOB]["code"]
    return {name: value.item() if isinstance(value, np.generic) else value for name, value in code.items()}


def _error_of(trial: Any) -> Exception | None:
    """Return the error that ended a trial; Ray keeps it in a file, which a full disk truncates."""
    try:
        error: Exception | None = trial.get_error()
        return error
    except EOFError:
        return OSError()


def _error_text(error: Exception) -> str:
    """Return the message of the error that ended a trial, without Ray's traceback."""
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


@contextmanager
def _show_progress(verbose: int, space: Space, spec: SearchSpec, over: list[TrialRecord]) -> Iterator[Listener]:
    """Listen to the trials of a search, some of which are over already, and show their progress.

    With `verbose` that is a bar at a terminal, and a line for each trial elsewhere, such as in the log file of a search
    that runs overnight. Either way the logger gets the lines.
    """
    from rich import get_console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = get_console()
    at_terminal = console.is_terminal or console.is_jupyter

    def log_line(line: str) -> None:
        logger.info("search: %s", line)
        if verbose and not at_terminal:
            console.print(line, highlight=False, soft_wrap=True)

    size, trials, reference = space.describe(spec.trials), spec.trials, spec.reference
    log_line(size)
    if verbose and at_terminal:
        console.print(size, highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=20), MofNCompleteColumn(), TimeRemainingColumn())
    done, began = len(over), time.monotonic()
    best = max([0.0, *(skill for record in over for skill in record.skills.values())])
    with Progress(*columns, console=console, transient=True, disable=not (verbose and at_terminal)) as bar:
        task = bar.add_task(_best_so_far(best, reference), total=trials, completed=done)

        def listen(event: str, result: dict[str, Any]) -> None:
            nonlocal best, done
            if result.get("best_skill", 0.0) > best:
                best = float(result["best_skill"])
                bar.update(task, description=_best_so_far(best, reference))
            if event == "done":
                done += 1
                bar.advance(task)
                left = timedelta(seconds=round((time.monotonic() - began) / (done - len(over)) * (trials - done)))
                log_line(f"{done} of {trials} trials, {_best_so_far(best, reference)}, about {left} left")

        _listeners.append(listen)
        try:
            yield listen
        finally:
            _listeners.remove(listen)


def _best_so_far(best: float, reference: str) -> str:
    return f"best skill {best:+.1%}" if best > 0 else f"nothing beats {reference} yet"


def _require_room(folder: Path) -> None:
    """Raise OSError where the disk is full, which Ray ignores."""
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(bytes(LEAST_ROOM))
        file.flush()
        os.fsync(file.fileno())


def _exclusive(folder: Path) -> AbstractContextManager[Any]:
    """Keep other processes from running the same search; ParameterError is raised where one does."""
    try:
        return FileLock(folder / "lock").acquire(timeout=0)
    except Timeout as error:
        raise ParameterError(
            Problem(
                "a search must run once at a time",
                f"another process runs the one in {str(folder)!r}",
                ("wait for it, or give this one another ", Phrase("name", "search")),
            )
        ) from error


@contextmanager
def _silenced() -> Iterator[None]:
    """Silence Ray and the searchers, since errors are in the trial log."""
    for name, value in RAY_ENVIRONMENT.items():
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
    """Start Ray on this machine, or connect to a cluster, unless that was done already; end only what it started."""
    if ray.is_initialized():
        yield
        return
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": False}
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    # On this machine, other errors of the system are not of a cluster but of the disk: see `tune`.
    unreachable = (OSError if address else ConnectionError, TimeoutError, RuntimeError, ValueError)
    try:
        if port.isdigit():  # Ray itself waits for many minutes
            socket.create_connection((host, int(port)), timeout=CLUSTER_TIMEOUT).close()
        # Without "local", Ray would join a cluster that another user started here.
        ray.init(address=address, **options) if address else ray.init("local", include_dashboard=False, **options)
    except unreachable as error:
        raise ParameterError(
            f"address must be that of a ray cluster that runs: {address!r} cannot be reached ({reason(error)}); start "
            "one with ray start --head, or leave address out to use this machine"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()
