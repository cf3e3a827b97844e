"""How a search is getting on: trials done, the best skill so far, the time that is left."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

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
