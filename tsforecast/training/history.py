"""The history of training, one record per epoch, and its progress bar."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Epoch:
    """One pass over the training windows; epoch 0 is the untrained network.

    Attributes
    ----------
    number : int
    train_loss, valid_loss : float or None
        Mean of the loss over all steps with a truth; None where there is none.
    learning_rate : float
        At the end of the epoch.
    seconds : float
    skill : float or None
        Share of the validation loss of the naive reference that the network removes.
    """

    number: int
    train_loss: float | None
    valid_loss: float | None
    learning_rate: float
    seconds: float
    skill: float | None = None


def best_epoch(history: Sequence[Epoch]) -> Epoch:
    """Return the epoch with the lowest validation loss, the earliest of equals; else the last.

    Examples
    --------
    >>> losses = [1.0, 0.5, 0.5]
    >>> best_epoch([Epoch(n, None, loss, 0.1, 0.0) for n, loss in enumerate(losses)]).number
    1
    """
    scored = [epoch for epoch in history if epoch.valid_loss is not None]
    if not scored:
        return history[-1]
    return min(scored, key=lambda epoch: (epoch.valid_loss, epoch.number))


logger = logging.getLogger("tsforecast")


@contextmanager
def show_epochs(verbose: int, max_epochs: int, name: str) -> Iterator[Callable[[Epoch], None]]:
    """Yield a function that logs each epoch and, with `verbose`, shows a progress bar in a terminal.

    Examples
    --------
    >>> with show_epochs(0, 10, "GRUForecaster") as report:
    ...     report(Epoch(0, None, 0.5, 0.001, 0.0))
    """
    if not verbose:
        yield lambda epoch: logger.debug("%s %s", name, describe(epoch))
        return
    from rich import get_console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = get_console()
    # The line fits in 80 columns: no name, no rate, a short bar.
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=10), TimeRemainingColumn())
    silent = not (console.is_terminal or console.is_jupyter)
    with Progress(*columns, console=console, transient=True, disable=silent) as progress:
        task = progress.add_task(name, total=max_epochs)

        def report(epoch: Epoch) -> None:
            logger.info("%s %s", name, describe(epoch))
            progress.update(task, completed=epoch.number, description=describe(epoch).partition(", rate")[0])

        yield report


def describe(epoch: Epoch) -> str:
    """Describe an epoch in one line.

    Examples
    --------
    >>> describe(Epoch(3, 0.25, 0.5, 0.001, 1.2, skill=0.1))
    'epoch 3: train 0.2500, validation 0.5000, skill +10.0%, rate 0.001'
    """
    parts = [("train", epoch.train_loss), ("validation", epoch.valid_loss)]
    words = [f"{name} {loss:.4f}" for name, loss in parts if loss is not None]
    words += [f"skill {epoch.skill:+.1%}"] if epoch.skill is not None else []
    words += [f"rate {epoch.learning_rate:.2g}"] if epoch.number else []
    return f"epoch {epoch.number}: {', '.join(words) or 'no loss measured'}"
