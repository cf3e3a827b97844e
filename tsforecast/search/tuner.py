"""Trials on the cores of this machine or of a ray cluster; a search that was cut short goes on."""

from __future__ import annotations

import logging
import os
import socket
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ray
import ray.tune

from tsforecast.errors import ParameterError, reason
from tsforecast.files import OutputError
from tsforecast.search import journal
from tsforecast.search.journal import Tried
from tsforecast.search.searchers import SCORE, proposals, scheduler
from tsforecast.search.space import Settings, Space
from tsforecast.search.trial import Assignment, Score, run_trial

KEEP = 1.0  # seconds after which an epoch is kept, where a scheduler does not pause trials
WAIT = 5.0  # seconds for a cluster to answer
PAUSING = ("hyperband", "pbt")
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


@dataclass(frozen=True)
class Orders:
    """How a search runs; see `RaySearch`."""

    trials: int
    searcher: str
    scheduler: str
    epochs: int
    seed: int
    folder: Path
    resumes: bool
    time_budget: float | None
    resources: dict[str, float]
    address: str | None


def tune(
    assignment: Assignment, space: Space, orders: Orders, listener: Callable[[str, dict[str, Any]], None] | None = None
) -> list[Tried]:
    """Run all trials and return what came of them, in the order in which they began.

    Ctrl-C ends the search early, with what is there.

    Raises
    ------
    ParameterError
        When the cluster cannot be reached, or a searcher lacks its package.
    OutputError
        When the storage cannot be written to.
    """
    with _quiet(), _cluster(orders.address), _listening(listener):
        shared = {"assignment": assignment, "space": space, "orders": orders}
        trainable = ray.tune.with_resources(ray.tune.with_parameters(_trainable, **shared), orders.resources)
        try:
            _tuner(trainable, space, orders).fit()
        except OSError as error:
            raise OutputError(
                f"the search must keep its trials in {str(orders.folder)!r}: {reason(error)}; make room, or choose "
                "another storage, and run it again: what is kept goes on"
            ) from error
    return journal.read(orders.folder)


def _tuner(trainable: Any, space: Space, orders: Orders) -> Any:
    folder = orders.folder
    if orders.resumes and ray.tune.Tuner.can_restore(str(folder)):
        return ray.tune.Tuner.restore(str(folder), trainable=trainable, resume_unfinished=True)
    searcher, listed = proposals(orders.searcher, space, orders.trials, orders.seed)
    return ray.tune.Tuner(
        trainable,
        param_space={"listed": ray.tune.grid_search(listed)} if listed else None,
        tune_config=ray.tune.TuneConfig(
            search_alg=searcher,
            scheduler=scheduler(orders.scheduler, orders.searcher, space, orders.epochs),
            num_samples=1 if listed else orders.trials,
            time_budget_s=orders.time_budget,
            reuse_actors=True,
            **(SCORE if orders.scheduler == "none" and orders.searcher != "bohb" else {}),
        ),
        run_config=ray.tune.RunConfig(
            name=folder.name,
            storage_path=str(folder.parent.absolute()),
            callbacks=[_Scribe(folder)],
            # A population takes over the weights of trials that have gone on since.
            checkpoint_config=ray.tune.CheckpointConfig(num_to_keep=None if orders.scheduler == "pbt" else 1),
            verbose=0,
        ),
    )


def _trainable(config: Settings, assignment: Assignment, space: Space, orders: Orders) -> None:
    """Run one trial in a process of ray's."""
    import torch

    if orders.resources.get("cpu", 1) <= 1:
        torch.set_num_threads(1)  # several trials share the cores
    settings = space.settings(space.decode(config.get("listed", config)))
    kept = 0.0
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        begun = ray.tune.get_checkpoint()
        if begun:
            begun.to_directory(folder)

        def report(score: Score) -> None:
            nonlocal kept
            due = time.monotonic() - kept >= KEEP or orders.scheduler in PAUSING or orders.searcher == "bohb"
            last = score.epoch >= orders.epochs
            state = ray.tune.Checkpoint.from_directory(folder) if due or last else None
            ray.tune.report(asdict(score), checkpoint=state)
            kept = time.monotonic() if state else kept

        run_trial(assignment, settings, folder, report, mutates=orders.scheduler == "pbt")


def _said(error: Exception | None) -> str:
    """Return the sentence of what ended a trial, without ray's account of where."""
    if error is None:
        return ""
    cause = getattr(error, "cause", None)
    if cause is not None:
        return f"{type(cause).__name__}: {reason(cause)}"
    if "died unexpectedly" in str(error) or "process has died" in str(error):
        return "its process died; it may need more memory: use smaller settings, or fewer trials at a time"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if "Traceback" in str(error) or "ray::" in str(error) else lines[0]


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
        ray.init(address=address, **quiet) if address else ray.init(include_dashboard=False, **quiet)
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
        journal.write(self.folder, "began", trial.trial_id, code=_code(trial.config))

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        told = {name: result[name] for name in ("epoch", "skill", "start")}
        code, seconds = _code(trial.config), result["time_total_s"]
        journal.write(self.folder, "epoch", trial.trial_id, code=code, seconds=seconds, **told)
        for listen in _listeners:
            listen("epoch", result)

    def on_checkpoint(self, iteration: int, trials: list[Any], trial: Any, checkpoint: Any, **_: Any) -> None:
        journal.write(self.folder, "kept", trial.trial_id, path=checkpoint.path)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        journal.write(self.folder, "done", trial.trial_id)
        for listen in _listeners:
            listen("done", {})

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        for listen in _listeners:
            listen("done", {})

    def on_experiment_end(self, trials: list[Any], **_: Any) -> None:
        for trial in trials:  # only now does ray know of each why it failed
            if trial.get_error() is not None:
                journal.write(self.folder, "failed", trial.trial_id, error=_said(trial.get_error()))


def _code(config: Settings) -> Settings:
    """Return settings as the searcher said them, with numbers that JSON knows."""
    listed = config.get("listed", config)
    return {name: value.item() if isinstance(value, np.generic) else value for name, value in listed.items()}


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
