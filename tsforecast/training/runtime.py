"""The runtime of training: device, threads, random numbers, fits that run side by side, and workers of one fit."""

from __future__ import annotations

import contextvars
import os
import threading
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from sklearn import config_context, get_config
from torch import Tensor, distributed

from tsforecast.events import clock, has_observers, interruptible, leave_out, uncounted
from tsforecast.networks.kernels import memory

ONE_THREAD = 128  # units up to which one thread is as fast as two, or faster
MOST = 16  # fits side by side, whatever the number of cores
T = TypeVar("T")


def torch_device(name: str) -> torch.device:
    """Return a device by name; "auto" is a GPU where there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


_lock = threading.Lock()
_usual: list[int] = []  # torch's own number, once for each thread within `few_threads`
_within = threading.local()  # the number of this thread, within `few_threads`


@contextmanager
def few_threads(units: int) -> Iterator[None]:
    """Run small networks on one thread; the fast kernels keep the usual number, and give their memory back at the end.

    More threads of a small network only wait for each other, the more so on a busy machine. A new thread of Python
    starts with the number that was set last, so each restores the number from before the first one.
    """
    outer = getattr(_within, "threads", None)
    with _lock:
        usual = _usual[0] if _usual else torch.get_num_threads()
        _usual.append(usual)
    _within.threads = 1 if units <= ONE_THREAD else usual
    torch.set_num_threads(_within.threads)
    before = memory.allowed.set(usual)
    try:
        yield
    finally:
        memory.allowed.reset(before)
        memory.clear()
        with _lock:
            _usual.pop()
            torch.set_num_threads(usual if outer is None else outer)
        _within.threads = outer


_drawing = threading.RLock()


def _renew_lock() -> None:
    global _drawing
    _drawing = threading.RLock()
    _meeting.set(None)


os.register_at_fork(after_in_child=_renew_lock)  # a thread that held it does not exist in the child


@contextmanager
def seeded(random_state: int | None) -> Iterator[None]:
    """Seed torch's random numbers, at random without a seed, and restore their state at the end.

    All threads of a process share one generator, so they take turns; those of `side_by_side` hand it on.
    """
    with nullcontext() if _meeting.get() else _drawing, torch.random.fork_rng():
        if random_state is not None:
            torch.manual_seed(random_state)
        else:
            torch.seed()
        yield


def side_by_side(calls: Sequence[Callable[[], T]]) -> Generator[tuple[int, Future[T]], None, None]:
    """Make calls that train networks, several at a time; yield the number and the outcome of each as it ends.

    One of them runs at any time, but for what it computes `aside`, on another core. So each has what it would have had
    alone: torch's random numbers, the filters of warnings, and results that are equal to the bit. `events.clock` counts
    for a call what it runs itself. They are made one after the other within another such call, and where an observer
    follows them, which knows one at a time.

    Close the generator where not all outcomes are taken: it then ends the calls that are under way at their next epoch.
    So does Ctrl-C, which is raised here.
    """
    if len(calls) < 2 or _meeting.get() or has_observers():
        for number, call in enumerate(calls):
            outcome = Future[T]()
            try:
                outcome.set_result(call())
            except Exception as error:
                outcome.set_exception(error)
            yield number, outcome
        return
    with _drawing:
        meeting = _Meeting(calls)
        try:
            for _ in calls:
                yield meeting.next_ended()
        finally:
            meeting.end()


def together(calls: Sequence[Callable[[], T]]) -> list[T]:
    """Make calls `side_by_side` and return their results; the first error, or Ctrl-C, is raised."""
    found = dict[int, T]()
    with interruptible(), closing(side_by_side(calls)) as ended:
        for number, outcome in ended:
            found[number] = outcome.result()
    return [found[number] for number in range(len(calls))]


@contextmanager
def aside(threads: int) -> Iterator[torch.Generator]:
    """Let other calls of `side_by_side` run within the block, which computes on so many threads where it is alone.

    The block must not touch what a process has once. It draws its random numbers from the generator that it gets, which
    is torch's own where nothing else runs.
    """
    meeting = _meeting.get()
    if meeting is None:
        yield torch.default_generator
        return
    with meeting.aside(threads) as generator:
        yield generator
    meeting.heed()


def heed() -> None:
    """End a call of `side_by_side` whose outcome nobody waits for any more."""
    if meeting := _meeting.get():
        meeting.heed()


class _Ended(BaseException):
    """Ends a call whose outcome nobody waits for."""


class _Meeting(Generic[T]):
    """Calls that take turns: threads that wait for each other, and the caller's, which takes their outcomes."""

    def __init__(self, calls: Sequence[Callable[[], T]]) -> None:
        self._calls, self._ended = iter(enumerate(calls)), deque[tuple[int, Future[T]]]()
        self._turn, self._caller = threading.Condition(), threading.current_thread()
        self._owner: threading.Thread | None = self._caller  # whose turn it is
        self._under_way = set[threading.Thread]()
        self._over = False
        self._cores, self._context, self._begin = torch.get_num_threads(), contextvars.copy_context(), _state()
        self._config = get_config()
        # While some compute, one more prepares what it computes next.
        count = min(len(calls), self._cores + 1, MOST)
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def next_ended(self) -> tuple[int, Future[T]]:
        """Let calls run until one has ended; KeyboardInterrupt and the like are raised."""
        before = _state()
        self._leave()
        self._take(lambda: bool(self._ended))
        _restore(before)
        number, outcome = self._ended.popleft()
        error = outcome.exception()
        if error is not None and not isinstance(error, Exception):
            raise error
        return number, outcome

    def end(self) -> None:
        """End all calls."""
        before = self._begin if self._owner is not self._caller else _state()
        with self._turn:
            self._over = True
            self._owner = None if self._owner is self._caller else self._owner
            self._turn.notify_all()  # those that wait for the caller to take an outcome, too
        for thread in self._threads:
            thread.join()
        _restore(before)

    @contextmanager
    def aside(self, threads: int) -> Iterator[torch.Generator]:
        """See `aside`."""
        (numbers, *others), generator = _state(), torch.Generator()
        generator.set_state(numbers)
        given = max(1, self._cores // len(self._under_way))
        allowed, began = memory.allowed.set(given), clock()
        self._leave()
        try:
            yield generator
        finally:
            memory.allowed.reset(allowed)
            leave_out((clock() - began) * max(0.0, 1 - given / min(threads, self._cores)))
            with uncounted():
                self._take()
            _restore((generator.get_state(), *others))

    def heed(self) -> None:
        """Raise what ends the call of this thread, once all are to end."""
        if self._over:
            raise _Ended

    def _work(self) -> None:
        """Make calls until none is left; the caller takes each outcome before the next call begins."""
        torch.set_num_threads(self._cores)
        here = threading.current_thread()
        while True:
            self._take(lambda: not self._ended or self._over)
            number, call = next(self._calls, (-1, None))
            if call is None or self._over:
                break
            self._under_way.add(here)
            outcome = Future[T]()
            _restore(self._begin)
            try:
                outcome.set_result(self._context.copy().run(self._called, call))
            except BaseException as error:  # raised in the thread of the caller
                outcome.set_exception(error)
            self._under_way.remove(here)
            self._ended.append((number, outcome))
            self._leave()
        self._leave()

    def _called(self, call: Callable[[], T]) -> T:
        _meeting.set(self)
        with config_context(**self._config):
            return call()

    def _take(self, due: Callable[[], bool] = lambda: True) -> None:
        """Wait for a turn, once it is due."""
        here = threading.current_thread()
        with self._turn:
            self._turn.wait_for(lambda: self._owner in (None, here) and due())
            self._owner = here

    def _leave(self) -> None:
        """Give the turn to another thread."""
        with self._turn:
            if self._owner is threading.current_thread():
                self._owner = None
                self._turn.notify_all()


_meeting: contextvars.ContextVar[_Meeting[Any] | None] = contextvars.ContextVar("meeting", default=None)
_OF_WARNINGS = ("filters", "showwarning", "_showwarnmsg_impl")


def _state() -> tuple[Any, ...]:
    """Return what a process has once, and a fit changes for a while."""
    return (torch.get_rng_state(), *(getattr(warnings, name) for name in _OF_WARNINGS))


def _restore(state: Iterable[Any]) -> None:
    numbers, *others = state
    torch.set_rng_state(numbers)
    for name, value in zip(_OF_WARNINGS, others, strict=True):
        setattr(warnings, name, value)
    with warnings.catch_warnings():  # the module learns that its filters changed
        pass


@dataclass(frozen=True)
class Team:
    """Workers that train one network, each on the windows that it has, as a single process would."""

    rank: int
    size: int

    def sum(self, *parts: Tensor) -> None:
        """Replace tensors of one kind by their sums over all workers, in one message."""
        whole = torch.cat([part.flatten() for part in parts]) if len(parts) > 1 else parts[0]
        distributed.all_reduce(whole)
        if len(parts) > 1:
            for part, own in zip(parts, torch.split(whole, [part.numel() for part in parts]), strict=True):
                part.copy_(own.view_as(part))

    @contextmanager
    def own_numbers(self) -> Iterator[None]:
        """Draw random numbers of this worker alone; those that follow are the same for all workers again."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(torch.randint(2**62, ())) + self.rank)
            yield
