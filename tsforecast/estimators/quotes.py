"""Quotes: the time and memory that a fit of a network will take, from a few steps of it on this machine."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tsforecast.errors import ParameterError, Problem, counted, spoken
from tsforecast.events import clock, unobserved
from tsforecast.training.history import Epoch
from tsforecast.training.loop import TrainingConfig

SECONDS = 0.5  # that the steps of a trial take, about
EPOCHS = 4  # of a trial, at most
FEWEST = 4  # steps of an epoch in a trial, or all where there are fewer
PAUSE = 0.005  # s between two readings of the memory


@dataclass(frozen=True)
class Quote:
    """Time and memory of a fit, before it runs.

    Attributes
    ----------
    seconds : float
        Of the fit, if it trains to its last epoch.
    least_seconds : float
        Of the fit, if patience ends it as early as it can; `seconds` where nothing may.
    memory : int
        Bytes of the whole process at the peak; 0 where the system does not count them.
    epochs, steps : int
        Epochs at most, and batches in each.
    epoch_seconds : float
        Of one epoch with its validation; with `refit` of two.
    spent : float
        Seconds that the quote took.
    """

    seconds: float
    least_seconds: float
    memory: int
    epochs: int
    steps: int
    epoch_seconds: float
    spent: float

    def after(self, epochs: int) -> float:
        """Return the seconds of a fit that ends after so many epochs; a refit is counted as long as that.

        Raises
        ------
        ParameterError
            When that is no whole number of epochs from 0 up to all.
        """
        if isinstance(epochs, bool) or not isinstance(epochs, int | np.integer) or not 0 <= epochs <= self.epochs:
            must = f"must be a whole number from 0 to {self.epochs}, the epochs of the fit"
            raise ParameterError(Problem(must, f"got {epochs!r}", parameter="epochs"))
        return self.seconds - (self.epochs - epochs) * self.epoch_seconds

    def __str__(self) -> str:
        """Return time and memory in words."""
        least = f"{spoken(self.least_seconds)} to " if self.least_seconds < self.seconds else ""
        each = f"{counted(self.epochs, 'epoch')} of {counted(self.steps, 'step')}"
        memory = f", {self.memory / 2**20:,.0f} MiB of memory at the peak" if self.memory else ""
        return f"{least}{spoken(self.seconds)} for at most {each}{memory}"


class Trial:
    """The short training that stands for each one of a fit."""

    def __init__(self) -> None:
        self.spent = self.seconds = self.least = self.epoch = 0.0
        self.epochs = self.steps = 0

    def run(self, train: Callable[..., list[Epoch]], config: TrainingConfig, examples: int, times: int) -> list[Epoch]:
        """Train for a few short epochs and return their history; note how long all would take, so many `times`."""
        began, steps = clock(), config.steps(examples)
        few = more = min(FEWEST, steps)
        history, epoch = _timed(train, config, few)
        if few < steps:
            more = min(steps, max(2 * few, round(few * SECONDS / max(epoch, 1e-6))))
            history, longer = _timed(train, config, more)
            epoch = longer + max(0.0, longer - epoch) / (more - few) * (steps - more)
        patience = config.epochs if config.patience is None else config.patience
        self.seconds += times * config.epochs * epoch
        self.least += min(config.epochs, patience) * epoch
        self.epoch, self.epochs, self.steps = self.epoch + times * epoch, config.epochs, steps
        self.spent += clock() - began
        return history


def _timed(train: Callable[..., list[Epoch]], config: TrainingConfig, steps: int) -> tuple[list[Epoch], float]:
    """Train for a few epochs of so many steps; return the history, and the seconds of the quickest but the first."""
    short = replace(config, steps_per_epoch=steps, stop=min(EPOCHS, config.epochs), patience=None)
    history = train(config=short, progress=nullcontext(lambda epoch: None))
    return history, min((epoch.seconds for epoch in history[2:] or history[1:]), default=0.0)


trial: ContextVar[Trial | None] = ContextVar("trial", default=None)  # in place of the training of a fit


def quote_of(fit: Callable[[], Any]) -> Quote:
    """Return the quote of a fit, which is run with a trial in place of its training."""
    found, began = Trial(), clock()
    token = trial.set(found)
    try:
        with unobserved(), warnings.catch_warnings(), _peak() as peak:
            warnings.simplefilter("ignore")  # the fit issues them
            fit()
    finally:
        trial.reset(token)
    spent = clock() - began
    around = spent - found.spent
    sizes = (peak[0], found.epochs, found.steps, found.epoch, spent)
    return Quote(around + found.seconds, around + found.least, *sizes)


@contextmanager
def _peak() -> Iterator[list[int]]:
    """Read the memory of the process every few milliseconds; yield a list with the largest of them."""
    found, done = [0], threading.Event()

    def watch() -> None:
        while not done.wait(PAUSE):
            found[0] = max(found[0], _memory())

    found[0] = _memory()
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield found
    finally:
        done.set()
        watcher.join()


def _memory() -> int:
    """Return the bytes of this process in memory; 0 where the system does not count them in a file."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
