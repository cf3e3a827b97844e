"""Observer hooks for fits and comparisons; silent unless an observer subscribes. The clock that times them.

Fits and comparisons announce themselves with `observed`; an observer such as `tsforecast.tracking` subscribes with
`observing`. Neither depends on the other.
"""

from __future__ import annotations

import logging
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from tsforecast.errors import TrainingWarning


@dataclass(eq=False)
class Activity:
    """One fit, or one comparison of several models; activities can be nested."""

    subject: Any  # forecaster or classifier that is fitted, or models by name
    data: Any  # Panel
    result: Any = None  # of a comparison; None until it is over
    callback: Callable[[Any], None] | None = field(default=None, repr=False)  # of the user, for the events
    _observers: tuple[Observer, ...] = field(default=(), repr=False)

    def notify(self, event: Any) -> None:
        """Send an event to the callback and the observers: an epoch, or the outcome of one fit of many."""
        if self.callback:
            self.callback(event)
        for observer in self._observers:
            observer.on_event(self, event)


class Observer(Protocol):
    """Methods called for every activity in a context; a nested activity starts later and ends earlier."""

    def on_start(self, activity: Activity) -> None: ...

    def on_event(self, activity: Activity, event: Any) -> None: ...

    def on_end(self, activity: Activity, error: BaseException | None) -> None: ...


# Bound to a context: threads and processes started within it have their own, without observers.
_observers: ContextVar[tuple[Observer, ...]] = ContextVar("observers", default=())


@contextmanager
def observed(subject: Any, data: Any, callback: Callable[[Any], None] | None = None) -> Iterator[Activity]:
    """Report the start of an activity to the observers, and its end, with or without an error."""
    activity = Activity(subject, data, callback=callback, _observers=_observers.get())
    for observer in activity._observers:
        observer.on_start(activity)
    error: BaseException | None = None
    try:
        yield activity
    except BaseException as raised:
        error = raised
        raise
    finally:
        for observer in reversed(activity._observers):
            observer.on_end(activity, error)


@contextmanager
def observing(observer: Observer | None) -> Iterator[None]:
    """Subscribe an observer to all activities within the block; None hides them from all observers."""
    before = _observers.set((*_observers.get(), observer) if observer else ())
    try:
        yield
    finally:
        _observers.reset(before)


unobserved = partial(observing, None)  # for fits that only check something


def has_observers() -> bool:
    """Return whether an observer subscribes to activities in this context."""
    return bool(_observers.get())


@contextmanager
def interruptible() -> Iterator[None]:
    """End all fits on Ctrl-C, where a network alone would stop training and keep its best weights."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "training was interrupted", TrainingWarning)
        try:
            yield
        except TrainingWarning:
            raise KeyboardInterrupt from None


_left_out = threading.local()  # seconds, in each thread
logger = logging.getLogger("tsforecast")


def clock() -> float:
    """Return seconds as `time.perf_counter` does, less those of this thread that are left out."""
    return time.perf_counter() - float(getattr(_left_out, "seconds", 0.0))


def leave_out(seconds: float) -> None:
    """Take seconds that passed from `clock`, in this thread."""
    _left_out.seconds = float(getattr(_left_out, "seconds", 0.0)) + seconds


@contextmanager
def uncounted(what: str | None = None, before: str | None = None) -> Iterator[None]:
    """Stop `clock`, in this thread, within the block: for `what` a machine does once, which is no part of a fit.

    A note has how long that took, where it was seconds, and one stands `before`; the outermost block writes both.
    """
    start, began, outermost = time.perf_counter(), clock(), not getattr(_left_out, "within", False)
    if before and outermost:
        logger.info(before, extra={"note": True})
    _left_out.within = True
    try:
        yield
    finally:
        leave_out(clock() - began)
        _left_out.within, seconds = not outermost, time.perf_counter() - start
        if what and outermost and seconds >= 1:
            logger.info("%s for this machine: %.0f s, not counted", what, seconds, extra={"note": True})
