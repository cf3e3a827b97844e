"""The runtime of training: device, threads and random numbers."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from tsforecast.networks.kernels import memory

ONE_THREAD = 128  # units up to which one thread is as fast as two, or faster


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


os.register_at_fork(after_in_child=_renew_lock)  # a thread that held it does not exist in the child


@contextmanager
def seeded(random_state: int | None) -> Iterator[None]:
    """Seed torch's random numbers, at random without a seed, and restore their state at the end.

    All threads of a process share one generator, so they take turns.
    """
    with _drawing, torch.random.fork_rng():
        if random_state is not None:
            torch.manual_seed(random_state)
        else:
            torch.seed()
        yield
