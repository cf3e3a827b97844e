"""The history of training, one record per epoch, and its progress bar."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Epoch:
    """One pass over the training windows; epoch 0 is the untrained network."""

    number: int
    train_loss: float | None  # mean of the loss over all steps with a truth; None where there is none
    valid_loss: float | None
    learning_rate: float  # at the end of the epoch
    seconds: float
    skill: float | None = None  # share of the validation loss of the naive reference that the network removes


OnEpoch = Callable[[Epoch], None]


def best_epoch(history: Sequence[Epoch]) -> Epoch:
    """Return the epoch with the lowest validation loss, the earliest of equals; else the last."""
    scored = [epoch for epoch in history if epoch.valid_loss is not None]
    return min(scored, key=lambda epoch: (epoch.valid_loss, epoch.number)) if scored else history[-1]


logger = logging.getLogger("tsforecast")


@contextmanager
def show_epochs(verbose: int, max_epochs: int, name: str, on_epoch: OnEpoch | None = None) -> Iterator[OnEpoch]:
    """Yield a function that logs an epoch, and calls `on_epoch`; with `verbose` a terminal shows a progress bar."""

    def report(epoch: Epoch) -> None:
        logger.log(logging.INFO if verbose else logging.DEBUG, "%s %s", name, describe(epoch))
        if verbose and console.is_jupyter:
            rewrite_line(f"{name} {describe(epoch).partition(', rate')[0]}")
        elif verbose:
            progress.update(task, completed=epoch.number, description=describe(epoch).partition(", rate")[0])
        if on_epoch:
            on_epoch(epoch)

    if not verbose:
        yield report
        return
    from rich import get_console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = get_console()
    # The line fits in 80 columns: no name, no rate, a short bar.
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=10), TimeRemainingColumn())
    silent = console.is_jupyter or not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=silent) as progress:
        task = progress.add_task(name, total=max_epochs)
        yield report
    if console.is_jupyter:
        sys.stdout.write("\n")


def rewrite_line(line: str) -> None:
    """Write a line over the one before, in a notebook, where a bar of rich would ask for widgets."""
    sys.stdout.write(f"\r{line:<76}")  # blanks cover a longer line
    sys.stdout.flush()


def describe(epoch: Epoch) -> str:
    """Describe an epoch in one line."""
    parts = [("train", epoch.train_loss), ("validation", epoch.valid_loss)]
    words = [f"{name} {loss:.4f}" for name, loss in parts if loss is not None]
    words += [f"skill {epoch.skill:+.1%}"] if epoch.skill is not None else []
    words += [f"rate {epoch.learning_rate:.2g}"] if epoch.number else []
    return f"epoch {epoch.number}: {', '.join(words) or 'no loss measured'}"
