"""Who hears of fits and comparisons while they happen: nobody, unless somebody asks to.

Work announces itself with `observed`; an observer such as `tsforecast.tracking` subscribes with `observing`.
Neither knows the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(eq=False)
class Activity:
    """Something under way: the fit of one model, or a comparison of many, in which others may lie.

    Attributes
    ----------
    subject : Any
        Forecaster or classifier that is fitted, or models by name.
    data : Panel
    result : Any
        What came of a comparison; None until it is over.
    """

    subject: Any
    data: Any
    result: Any = None
    _watchers: tuple[Observer, ...] = field(default=(), repr=False)

    def tell(self, fact: Any) -> None:
        """Let watchers hear of something that happened within: an epoch, or the outcome of one fit of many."""
        for watcher in self._watchers:
            watcher.heard(self, fact)

    def also(self, hears: Callable[[Any], None] | None) -> Callable[[Any], None]:
        """Return a function that tells a fact to `hears`, where there is one, and then to watchers."""

        def tell(fact: Any) -> None:
            if hears:
                hears(fact)
            self.tell(fact)

        return tell


class Observer(Protocol):
    """Hears of all work in its context; work within other work begins later and ends earlier."""

    def began(self, work: Activity) -> None: ...

    def heard(self, work: Activity, fact: Any) -> None: ...

    def ended(self, work: Activity, error: BaseException | None) -> None: ...


# Of a context: threads and processes that are started in it have their own, where nobody listens.
_present: ContextVar[tuple[Observer, ...]] = ContextVar("watchers", default=())


@contextmanager
def observed(subject: Any, data: Any) -> Iterator[Activity]:
    """Let watchers hear that work begins, and of its end, good or bad.

    Examples
    --------
    >>> class Printer:
    ...     def began(self, work): print("began", work.subject)
    ...     def heard(self, work, fact): print(fact)
    ...     def ended(self, work, error): print("ended")
    >>> with observing(Printer()), observed("a fit", None) as work:
    ...     work.tell("epoch 0")
    began a fit
    epoch 0
    ended
    """
    work = Activity(subject, data, _watchers=_present.get())
    for watcher in work._watchers:
        watcher.began(work)
    error: BaseException | None = None
    try:
        yield work
    except BaseException as raised:
        error = raised
        raise
    finally:
        for watcher in reversed(work._watchers):
            watcher.ended(work, error)


@contextmanager
def observing(watcher: Observer) -> Iterator[None]:
    """Let a watcher hear of all work, for a while."""
    with _present_are((*_present.get(), watcher)):
        yield


@contextmanager
def unobserved() -> Iterator[None]:
    """Let nobody hear of what is tried only to prove something, for a while."""
    with _present_are(()):
        yield


@contextmanager
def _present_are(watchers: tuple[Observer, ...]) -> Iterator[None]:
    before = _present.set(watchers)
    try:
        yield
    finally:
        _present.reset(before)
