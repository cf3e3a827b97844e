"""Memory that is used again: to be given fresh pages costs a step as much as its arithmetic."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

ALIGNED = 64  # bytes of a line of the processor's cache
ROOM = 4  # times what is needed, at most, that a block may have

_blocks: deque[NDArray[np.uint8]] = deque(maxlen=8)  # taken and put back by any thread: a deque needs no lock


def clear() -> None:
    """Give all memory back to the system."""
    _blocks.clear()


class Buffers:
    """Arrays of any content, for as long as this object lives; then their memory waits for the next ones.

    Examples
    --------
    >>> buffers = Buffers(np.dtype(np.float32), 4, (2, 3))
    >>> [part.shape for part in buffers.parts]
    [(4,), (2, 3)]
    """

    def __init__(self, kind: np.dtype[Any], *shapes: int | tuple[int, ...]) -> None:
        sizes = [math.prod((shape,) if isinstance(shape, int) else shape) * kind.itemsize for shape in shapes]
        begins = [0]
        for size in sizes:
            begins.append(begins[-1] + size + -size % ALIGNED)
        self._block = _taken(begins[-1] + ALIGNED)
        block = self._block[-self._block.ctypes.data % ALIGNED :]
        pairs = zip(begins, sizes, shapes, strict=False)
        self.parts = [block[begin : begin + size].view(kind).reshape(shape) for begin, size, shape in pairs]

    def __del__(self) -> None:
        _blocks.append(self._block)


def _taken(size: int) -> NDArray[np.uint8]:
    for _ in range(len(_blocks)):
        try:
            block = _blocks.popleft()
        except IndexError:  # another thread was quicker
            break
        if size <= len(block) <= ROOM * size:
            return block
        _blocks.append(block)
    return np.empty(size, np.uint8)
