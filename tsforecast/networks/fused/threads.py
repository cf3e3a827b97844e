"""Several cores at work on the tiles of one batch."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch

from tsforecast.networks.fused.buffers import clear

WORTH_SHARING = 8_000_000  # multiplications: 0.15 ms of one core, several times what it takes to wake another

_allowed: ContextVar[int | None] = ContextVar("allowed", default=None)
_pool: ThreadPoolExecutor | None = None


def _forget() -> None:
    global _pool
    _pool = None


os.register_at_fork(after_in_child=_forget)  # threads do not live on in a child


@contextmanager
def allow(threads: int) -> Iterator[None]:
    """Let kernels use so many threads for a while, whatever torch does beside them, and then give back their memory."""
    token = _allowed.set(threads)
    try:
        yield
    finally:
        _allowed.reset(token)
        clear()


def share(kernel: Callable[..., None], count: int, work: float, *arguments: Any) -> None:
    """Call ``kernel(first, last, *arguments)`` for parts of range(count), on as many threads as the work is worth.

    A kernel lets go of Python's lock. Threads of a pool take parts, the caller the first one, so many callers at once
    never wait for each other in a circle.
    """
    global _pool
    threads = min(_allowed.get() or torch.get_num_threads(), count) if work > WORTH_SHARING else 1
    if threads == 1:
        kernel(0, count, *arguments)
        return
    parts = [(count * i // threads, count * (i + 1) // threads) for i in range(threads)]
    if _pool is None:
        _pool = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="tsforecast")
    others = [_pool.submit(kernel, *part, *arguments) for part in parts[1:]]
    try:
        kernel(*parts[0], *arguments)
    finally:  # whatever happens here, nobody writes to memory that others are given next
        wait(others)
    for other in others:
        other.result()
