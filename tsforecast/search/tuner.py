"""Run trials: quick ones in this process, others on Ray, here or on a cluster; each goes on from a folder."""

from __future__ import annotations

import logging
import os
import re
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import ray
import ray.tune
from filelock import FileLock, Timeout
from ray.tune.schedulers import TrialScheduler

from tsforecast.clusters import connected, silenced
from tsforecast.errors import ParameterError, Phrase, Problem, TsForecastError, reason
from tsforecast.events import clock, interruptible, unobserved
from tsforecast.executors import computed_address
from tsforecast.files import OutputError
from tsforecast.search.space import Settings, Space
from tsforecast.search.storage import (
    MARK_FILE,
    Files,
    Mirror,
    RunConfig,
    SearchSpec,
    TrialRecord,
    append_event,
    changed_files,
    read_log,
    repair_log,
    write_files,
)
from tsforecast.search.suggest import JOB, SCORE, Rules
from tsforecast.search.trial import Score, TrialSetup, judge, run_job
from tsforecast.training.history import rewrite_line

logger = logging.getLogger("tsforecast")
Listener = Callable[[str, dict[str, Any]], None]  # called with "epoch" or "done", and the result of a trial

ENOUGH_TRIALS, ENOUGH_SHARE = 10, 0.5  # trials, and share of all, after which a search may end as hopeless
# Ray takes some ten seconds to start, in which one process gets through as many seconds of trials. Whether what is left
# takes longer is known, well enough, after a few: the first trial loads kernels.
QUICK, KNOWN = 15.0, 3.0  # seconds
RETRIES = 2  # runs of a trial whose process died, or whose node was lost, in which it gets no further
FILES = "files"  # in the result of a trial
LEAST_ROOM = 1 << 16  # bytes without which a trial cannot keep its state
# Ray pickles its callbacks, and cannot pickle a terminal, nor should it the data.
_listeners: list[Listener] = []
_hopeless: set[Path] = set()  # folders of searches that are to end


def tune(setup: TrialSetup, space: Space, config: RunConfig, verbose: int = 0) -> tuple[list[TrialRecord], bool]:
    """Run all trials that are left; return the records of all by number, and whether it ended as hopeless.

    Ctrl-C ends the search early, with the trials so far. ParameterError is raised when the cluster cannot be reached, a
    searcher lacks its package, or another process runs this search; OutputError when the storage cannot be written to.
    """
    spec = config.spec
    try:
        with _exclusive(config.folder):
            repair_log(config.folder)
            config = replace(config, mark=_mark(config.folder))
            earlier = read_log(config.folder)
            over = [record for record in earlier if record.is_over(spec.epochs)]
            with _show_progress(verbose, space, spec, over), _watch(setup, config) as is_hopeless:
                if (len(earlier) < spec.trials or len(over) < len(earlier)) and not is_hopeless():
                    with silenced():
                        _run(setup, space, config, earlier)
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


def _run(setup: TrialSetup, space: Space, config: RunConfig, earlier: list[TrialRecord]) -> None:
    """Run the trials that are left: in this process while they are quick and nothing asks for Ray, then on Ray."""
    began = time.monotonic()
    config = replace(config, address=config.address or computed_address())
    if config.address is None and not ray.is_initialized() and not config.pauses and set(config.resources) <= {"cpu"}:
        if _Here(setup, space, config, Rules.of(setup, space, config, earlier)).run():
            return
        earlier, config = read_log(config.folder), _with_time_left(config, began)
    with connected(config.address):
        while True:
            _tuner(setup, space, config, Rules.of(setup, space, config, earlier)).fit()
            earlier = read_log(config.folder)
            left = [record for record in earlier if not record.is_over(config.spec.epochs)]
            # An end by Ctrl-C, or for lack of time, leaves trials that were not lost.
            if not left or len(earlier) < config.spec.trials or not all(record.lost for record in left):
                return
            config = _with_time_left(config, began)


def _with_time_left(config: RunConfig, began: float) -> RunConfig:
    """Return the configuration of the rest of a run that began at that time."""
    if config.time_budget is None:
        return config
    return replace(config, time_budget=max(0.01, config.time_budget - (time.monotonic() - began)))


def _tuner(setup: TrialSetup, space: Space, config: RunConfig, rules: Rules) -> ray.tune.Tuner:
    spec, place, system = config.spec, str(config.folder), None
    if config.mirror and config.pauses:  # states of trials go straight there, from wherever they are
        place, system = f"{config.mirror.root}/ray", _arrow(config.mirror)
    begun = [config.trial_folder(record.trial) for record in read_log(config.folder) if not record.is_over(spec.epochs)]
    kept = {folder.name: changed_files(folder, {}) for folder in begun}
    shared = {"setup": setup, "space": space, "run": replace(config, mirror=None), "kept": kept}
    return ray.tune.Tuner(
        ray.tune.with_resources(ray.tune.with_parameters(_trainable, **shared), config.resources),
        param_space=None if rules.searcher else {JOB: ray.tune.grid_search(rules.jobs)},
        tune_config=ray.tune.TuneConfig(
            search_alg=rules.searcher,
            scheduler=rules.scheduler,
            num_samples=rules.left if rules.searcher else 1,
            time_budget_s=config.time_budget,
            reuse_actors=True,
            **(SCORE if spec.stopping == "none" else {}),
        ),
        run_config=ray.tune.RunConfig(
            name="ray",
            stop=_Hopeless(config.folder),
            storage_path=place,
            storage_filesystem=system,
            callbacks=[_LogCallback(config)],
            # A population takes over the weights of trials that have gone on since.
            checkpoint_config=ray.tune.CheckpointConfig(num_to_keep=None if spec.stopping == "pbt" else 2),
            verbose=0,
        ),
    )


def _trainable(config: Settings, setup: TrialSetup, space: Space, run: RunConfig, kept: dict[str, Files]) -> None:
    """Run one trial in a worker process of Ray.

    Where that does not reach the folder of the search, the trial has a folder of its own, with the files that are
    `kept` of it, and what changes in it goes along with each score.
    """
    job, checkpoint = config[JOB], ray.tune.get_checkpoint()
    with ExitStack() as stack:
        sent: dict[str, bytes] | None = None
        if not run.is_shared():
            run = replace(run, folder=Path(stack.enter_context(tempfile.TemporaryDirectory())))
            sent = {}
            write_files(run.trial_folder(job["trial"]), kept.get(run.trial_folder(job["trial"]).name, {}))
        folder = run.trial_folder(job["trial"])

        def report(score: Score) -> None:
            state = ray.tune.Checkpoint.from_directory(folder) if run.pauses else None
            files = {} if sent is None else {FILES: changed_files(folder, sent)}
            ray.tune.report(asdict(score) | files, checkpoint=state)

        restore = checkpoint.to_directory if checkpoint else None
        run_job(setup, space, run, job, report, restore)


@dataclass(eq=False)
class _Trial:
    """A trial in this process, with what schedulers, searchers and `_LogCallback` read of one of Ray."""

    trial_id: str
    config: Settings
    result: dict[str, Any] = field(default_factory=dict)  # the last one
    error: Exception | None = None
    began: float = field(default_factory=clock)

    def get_error(self) -> Exception | None:
        """Return the error that ended it."""
        return self.error


class _Failed(Exception):
    """The failure of a trial in this process, as Ray wraps it."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


class _Stopped(Exception):
    """Raised in a trial that the scheduler ends, or with the whole search."""


class _Here:
    """A search whose trials run one after the other in this process; see `_run`.

    Searcher, scheduler, log and folders are those of a search on Ray.
    """

    def __init__(self, setup: TrialSetup, space: Space, config: RunConfig, rules: Rules) -> None:
        self.setup, self.space, self.config, self.rules = setup, space, config, rules
        self.log, self.scheduler = _LogCallback(config), cast(Any, rules.scheduler)
        self.controller = SimpleNamespace(get_live_trials=list)
        self.began, self.start = time.monotonic(), clock()
        self.over = 0  # trials
        self.ends = self.slow = False

    def run(self) -> bool:
        """Run the trials; return False where the rest takes so long that Ray pays."""
        jobs, searcher, scheduler = iter(self.rules.jobs), self.rules.searcher, self.scheduler
        while self.over < self.rules.left and not (self.ends or self.slow):
            name = f"here-{self.over}"
            proposed = searcher.suggest(name) if searcher else {JOB: next(jobs)}
            if not isinstance(proposed, dict):
                return True
            trial = _Trial(name, proposed)
            scheduler.on_trial_add(self.controller, trial)
            self.log.on_trial_start(0, [], trial)
            if self._is_cut_short(trial):
                break
            if trial.error is None:
                scheduler.on_trial_complete(self.controller, trial, trial.result)
                self.log.on_trial_complete(0, [], trial)
            else:
                scheduler.on_trial_error(self.controller, trial)
                self.log.on_trial_error(0, [], trial)
                self.log.on_experiment_end([trial])
            if searcher:
                searcher.on_trial_complete(name, trial.result or None, error=trial.error is not None)
            self.over += 1
            self._look(self.over)
        return self.ends or self.over >= self.rules.left

    def _is_cut_short(self, trial: _Trial) -> bool:
        """Run a trial to its end, or that of the search in its midst: return whether it was the latter."""
        try:
            with unobserved(), interruptible():
                run_job(self.setup, self.space, self.config, trial.config[JOB], partial(self._report, trial))
        except _Stopped:
            return self.ends or self.slow
        except KeyboardInterrupt:
            self.ends = True
            return True
        except Exception as error:
            trial.error = _Failed(error)
        return False

    def _report(self, trial: _Trial, score: Score) -> None:
        """Pass on the score of an epoch, in Ray's order; raise `_Stopped` where none is to follow."""
        epochs, searcher = max(1, self.config.spec.epochs), self.rules.searcher
        own = {"training_iteration": max(1, score.epoch), "time_total_s": clock() - trial.began}
        trial.result = asdict(score) | own
        stops = self.scheduler.on_trial_result(self.controller, trial, trial.result) == TrialScheduler.STOP
        if searcher and not stops:
            searcher.on_trial_result(trial.trial_id, trial.result)
        self.log.on_trial_result(0, [], trial, trial.result)
        if score.epoch < epochs and not stops:
            self._look(self.over + score.epoch / epochs)
        if stops or self.ends or self.slow:
            raise _Stopped

    def _look(self, over: float) -> None:
        """Note whether the search ends, or Ray pays, once so many trials are over."""
        budget, spent, left = self.config.time_budget, clock() - self.start, self.rules.left - over
        late = budget is not None and time.monotonic() - self.began >= budget
        self.ends = self.config.folder in _hopeless or late
        self.slow = over > 0 and spent > KNOWN and spent / over * left > QUICK


class _LogCallback(ray.tune.Callback):
    """Writes the trial log, with files that workers send, and calls the listeners in this process."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        self._append("began", trial, code=_code(trial))

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        if FILES in result:
            write_files(self.config.trial_folder(trial.config[JOB]["trial"]), result[FILES])
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
        deaths = {record.trial: record.lost for record in read_log(self.config.folder)}
        for trial in trials:  # Ray has the errors of trials only now
            if (error := _error_of(trial)) is not None:
                lost = _is_lost(error)
                # A trial that failed because nothing, or not even its error, could be written is run again.
                again = isinstance(getattr(error, "cause", None), OSError) or not str(error).strip()
                again |= lost and deaths.get(trial.config[JOB]["trial"], 0) < RETRIES
                self._append("failed", trial, error=_error_text(error), again=again, lost=int(lost))

    def _append(self, event: str, trial: Any, **fields: Any) -> None:
        append_event(self.config.folder, event, trial.config[JOB]["trial"], **fields)
        if self.config.mirror:
            self.config.mirror.push(now=event != "epoch")

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


def _mark(folder: Path) -> str:
    """Mark a folder, so that workers know whether they reach it: the folder of a node may have the same name."""
    mark = uuid.uuid4().hex
    (folder / MARK_FILE).write_text(mark, encoding="utf-8")
    return mark


def _arrow(mirror: Mirror) -> Any:
    """Return the file system of a mirror as Ray takes it."""
    from pyarrow.fs import FSSpecHandler, PyFileSystem

    return PyFileSystem(FSSpecHandler(mirror.system))


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


def _is_lost(error: Exception) -> bool:
    """Return whether a trial ended with its process or node: Ray has no more of that than a text of its own."""
    text = str(error)
    return getattr(error, "cause", None) is None and bool(text.strip()) and not re.search("Traceback|ray::", text)


def _error_text(error: Exception) -> str:
    """Return the message of the error that ended a trial, without Ray's traceback."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, MemoryError):
        return f"it needs more memory than there is ({reason(cause)}): use smaller settings, or fewer trials at a time"
    if cause is not None:
        return f"{type(cause).__name__}: {reason(cause)}"
    if _is_lost(error):
        return "its process or node died; it may need more memory: use smaller settings, or fewer trials at a time"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return "its error could not be kept"
    return lines[-1] if "Traceback" in str(error) or "ray::" in str(error) else lines[0]


@contextmanager
def _show_progress(verbose: int, space: Space, spec: SearchSpec, over: list[TrialRecord]) -> Iterator[Listener]:
    """Listen to the trials of a search, some of which are over already, and show their progress.

    With `verbose` that is a bar at a terminal, one line in a notebook, and a line for each trial elsewhere, such as in
    the log file of a search that runs overnight. Either way the logger gets the lines.
    """
    from rich import get_console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = get_console()
    in_notebook = verbose and console.is_jupyter
    at_terminal = console.is_terminal and not console.is_jupyter

    def log_line(line: str) -> None:
        logger.info("search: %s", line)
        if in_notebook:
            rewrite_line(line)
        elif verbose and not at_terminal:
            console.print(line, highlight=False, soft_wrap=True)

    size, trials, reference = space.describe(spec.trials), spec.trials, spec.reference
    log_line(size)
    if in_notebook:
        sys.stdout.write("\n")
    elif verbose and at_terminal:
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
            if in_notebook:
                sys.stdout.write("\n")


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
