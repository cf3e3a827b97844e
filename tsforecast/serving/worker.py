"""One thread that answers requests in their order; those that wait while it is busy are answered together."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from tsforecast.checks import between, whole
from tsforecast.errors import ParameterError, raise_any

Answer = bytes | Exception


@dataclass(frozen=True)
class Limits:
    """Most that a server takes on; what is beyond is refused with one sentence.

    Parameters
    ----------
    max_bytes : int
        Bytes of a body.
    max_rows : int
        Rows of a request, and of its answer.
    max_horizon : int, optional
        Steps of a forecast; ten horizons of the model, ten seasons and 100 steps, whichever are most, unless given.
    max_seconds : float
        Time for reading a body, and again for its answer.
    max_waiting : int
        Requests that are read, wait or are computed.
    max_batch : int
        Requests that are answered together; 1 answers each alone.

    Examples
    --------
    >>> Limits(max_batch=0)
    Traceback (most recent call last):
    tsforecast.errors.ParameterError: max_batch must be a whole number >= 1: got 0
    """

    max_bytes: int = 4_000_000
    max_rows: int = 100_000
    max_seconds: float = 30.0
    max_waiting: int = 200
    max_batch: int = 64
    max_horizon: int | None = None

    def __post_init__(self) -> None:
        counts = ("max_bytes", "max_rows", "max_waiting", "max_batch")
        problems = [problem for name in counts for problem in whole(name, getattr(self, name), 1)]
        problems += [] if self.max_horizon is None else whole("max_horizon", self.max_horizon, 1)
        seconds = between("max_seconds", self.max_seconds, 0, 1e6, open_low=True)
        raise_any([*problems, *seconds], ParameterError)


class Worker:
    """A thread that calls `answer` with the bodies that wait, `max_batch` at most, which returns one answer for each.

    One thread computes: torch and numpy have threads of their own, and warnings of a forecast belong to its request.
    """

    def __init__(self, answer: Callable[[Sequence[bytes]], Sequence[Answer]], max_batch: int) -> None:
        self._answer, self._max_batch = answer, max_batch
        self._waiting: deque[tuple[bytes, Future[bytes]]] = deque()
        self._there = threading.Condition()
        self._open = True
        self.answered, self.batches = 0, 0
        self._thread = threading.Thread(target=self._run, name="tsforecast-serving", daemon=True)
        self._thread.start()

    def submit(self, body: bytes) -> Future[bytes]:
        """Return the future answer to a body; one that is cancelled before its turn costs nothing."""
        future: Future[bytes] = Future()
        with self._there:
            self._waiting.append((body, future))
            self._there.notify()
        return future

    def close(self) -> None:
        """End the thread once all that waits is answered."""
        with self._there:
            self._open = False
            self._there.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._there:
                while self._open and not self._waiting:
                    self._there.wait()
                if not self._waiting:
                    return
                taken = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._max_batch))]
            batch = [(body, future) for body, future in taken if future.set_running_or_notify_cancel()]
            if batch:
                self._finish([future for _, future in batch], [body for body, _ in batch])

    def _finish(self, futures: Sequence[Future[bytes]], bodies: Sequence[bytes]) -> None:
        try:
            answers = self._answer(bodies)
        except Exception as error:  # the thread outlives whatever happens to one batch
            answers = [error] * len(bodies)
        self.batches += 1
        self.answered += len(bodies)
        for future, answer in zip(futures, answers, strict=True):
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
