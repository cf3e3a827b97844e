"""How a search is getting on, at a terminal: trials done, the best skill so far, the time that is left."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

logger = logging.getLogger("tsforecast")
Listener = Callable[[str, dict[str, Any]], None]


@contextmanager
def show_trials(verbose: int, told: str, trials: int) -> Iterator[Listener]:
    """Yield a function that hears of each epoch and of each trial that is over.

    Examples
    --------
    >>> with show_trials(0, "4 combinations", 2) as listen:
    ...     listen("epoch", {"best_skill": 0.1})
    """
    from rich import get_console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = get_console()
    logger.info("search: %s", told)
    silent = not verbose or not (console.is_terminal or console.is_jupyter)
    if verbose:
        console.print(told, highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=20), MofNCompleteColumn(), TimeRemainingColumn())
    best = 0.0
    with Progress(*columns, console=console, transient=True, disable=silent) as bar:
        task = bar.add_task("nothing beats naive yet", total=trials)

        def listen(event: str, result: dict[str, Any]) -> None:
            nonlocal best
            if result.get("best_skill", 0.0) > best:
                best = float(result["best_skill"])
                bar.update(task, description=f"best skill {best:+.1%}")
            if event == "done":
                bar.advance(task)
                logger.info("search: a trial is over, best skill so far %+.1f %%", 100 * best)

        yield listen
