"""Memory that kernels use again, threads that share the tiles of a batch, and where compiled kernels lie."""

from __future__ import annotations

import hashlib
import math
import os
import platform
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tsforecast.files import cache_folder
from tsforecast.provenance import installed

ALIGNED = 64  # bytes of a line of the processor's cache
ROOM = 4  # largest size of a block, as a multiple of what is needed

_blocks: deque[NDArray[np.uint8]] = deque(maxlen=8)  # taken and put back by any thread: a deque needs no lock


def clear() -> None:
    """Give all memory back to the system."""
    _blocks.clear()


class Buffers:
    """Uninitialised arrays, `parts`, that live as long as this object; their memory is then used again."""

    def __init__(self, dtype: np.dtype[Any], *shapes: int | tuple[int, ...]) -> None:
        begins, end = [], 0
        for shape in shapes:
            begins.append(end)
            size = (shape if isinstance(shape, int) else math.prod(shape)) * dtype.itemsize
            end += size + -size % ALIGNED
        self._block = _take_block(end)
        self.parts: list[NDArray[Any]] = [
            np.ndarray(shape, dtype, self._block, begin) for begin, shape in zip(begins, shapes, strict=True)
        ]

    def __del__(self) -> None:
        _blocks.append(self._block)


def _take_block(size: int) -> NDArray[np.uint8]:
    for _ in range(len(_blocks)):
        try:
            block = _blocks.popleft()
        except IndexError:  # another thread took it
            break
        if size <= len(block) <= ROOM * size:
            return block
        _blocks.append(block)
    block = np.empty(size + ALIGNED, np.uint8)
    return block[-block.__array_interface__["data"][0] % ALIGNED :][:size]


DENORMAL = 1e-310  # too small for all its digits
WORTH_SHARING = 8_000_000  # multiplications: 0.15 ms of one core, several times what it takes to wake another

allowed: ContextVar[int | None] = ContextVar("allowed", default=None)  # threads of kernels; None for those of torch


@cache
def _pool() -> ThreadPoolExecutor:
    flush = (torch.set_flush_denormal, (True,))
    return ThreadPoolExecutor(os.cpu_count(), "tsforecast", *flush)


os.register_at_fork(after_in_child=_pool.cache_clear)  # threads do not live on in a child


def share(kernel: Callable[..., None], count: int, work: float, *arguments: Any) -> None:
    """Call ``kernel(first, last, *arguments)`` for parts of range(count), on as many threads as the work is worth.

    A kernel releases Python's lock. The caller computes the first part itself, so that callers never wait for each
    other in a circle. Numbers too small for all their digits become zero: slopes of the first of many steps are such
    numbers, with which a processor is some twenty times as slow.
    """
    threads = min(allowed.get() or torch.get_num_threads(), count) if work > WORTH_SHARING else 1
    parts = [(count * i // threads, count * (i + 1) // threads) for i in range(threads)]
    others = [_pool().submit(kernel, *part, *arguments) for part in parts[1:]]
    flushed = 1.0 * DENORMAL == 0  # by the caller's own setting
    torch.set_flush_denormal(True)
    try:
        kernel(*parts[0], *arguments)
    finally:  # no thread may still write to memory that is used again
        torch.set_flush_denormal(flushed)
        wait(others)
    for other in others:
        other.result()


@cache
def folder() -> Path:
    """Return the folder of compiled kernels, and of what they took: in the user's cache, one for all they depend on.

    That is the processor, its cores, the versions of numba, torch and Python, and the text of the kernels.
    """
    about = [_processor(), str(os.cpu_count()), platform.python_version(), installed("numba"), installed("torch")]
    texts = [file.read_text(encoding="utf-8") for file in sorted(Path(__file__).parent.glob("*.py"))]
    name = hashlib.sha256("\n".join(about + texts).encode()).hexdigest()[:12]
    return cache_folder() / "kernels" / name


def _processor() -> str:
    """Return the model of the processor, as far as it is known."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    return next((line for line in lines if line.startswith(("model name", "CPU part"))), platform.processor())
