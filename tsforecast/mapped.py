"""Arrays in files: numbers that are mapped into memory, and scratch files for what is made of them.

What is larger than the memory stays on the disk: the system reads the pages that are used, and drops them when it needs
room. A walk over rows goes in `chunks`, so that what it makes on the way is small, and an array that is as large as the
data is made by `scratch`.
"""

from __future__ import annotations

import math
import mmap
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import DTypeLike, NDArray

from tsforecast.errors import DataError, reason
from tsforecast.files import OutputError, cache_folder

LARGE = 1 << 26  # bytes from which an array that is made of a mapped one goes into a file as well
BLOCK = 1 << 24  # bytes of an array that are read at a time
ROWS = 1 << 16  # rows, or rows of whole series, that are computed with at a time
SCRATCH = "TSFORECAST_SCRATCH"  # names the folder of scratch files


class Mapped(np.memmap[Any, Any]):
    """Read-only array in a file, which pickles as a reference to it: path, place, shape and type.

    So do its contiguous parts; any other part pickles as numbers. What is computed from it is an ordinary array.

    Parameters
    ----------
    path : path
        A file that stays as it is: a reference is refused once its size or time of change is another.
    dtype : type of the numbers
    shape : tuple of int
    offset : int
        Bytes of the file before the first number.

    Raises
    ------
    DataError
        When the file is not there, or too short.

    Examples
    --------
    >>> import tempfile
    >>> from pickle import dumps, loads
    >>> path = Path(tempfile.mkdtemp()) / "numbers"
    >>> np.arange(1000.0).tofile(path)
    >>> numbers = Mapped(path, np.float64, (500, 2))
    >>> len(dumps(numbers)) < 500, loads(dumps(numbers[10:12])).tolist()
    (True, [[20.0, 21.0], [22.0, 23.0]])
    """

    _mmap: mmap.mmap | None
    _state: tuple[int, int] | None = None  # size and time of change of the file, in bytes and nanoseconds

    def __new__(cls, path: str | Path, dtype: DTypeLike, shape: tuple[int, ...], offset: int = 0) -> Self:
        path = Path(path).absolute()
        try:
            state, size = _state(path), offset + math.prod(shape) * np.dtype(dtype).itemsize
            if state[0] < size:
                raise DataError(f"the file {str(path)!r} must hold {size} bytes: it has {state[0]}; write it again")
            found: Any = super().__new__(cls, path, np.dtype(dtype), "r", offset, shape)
        except OSError as error:
            raise DataError(f"the file {str(path)!r} must be one that can be read: {reason(error)}") from error
        found._state = state
        return cast("Self", found)

    def __array_finalize__(self, obj: Any) -> None:
        super().__array_finalize__(obj)
        self._state = getattr(obj, "_state", None)

    def __array_wrap__(self, array: NDArray[Any], context: Any = None, return_scalar: bool = False) -> Any:
        return array[()] if return_scalar else array.view(np.ndarray)

    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        return found.view(np.ndarray) if isinstance(found, Mapped) and found._mmap is None else found

    def __deepcopy__(self, memo: Any) -> Any:
        return self if self._mmap is not None else np.array(self, subok=False)

    def __reduce_ex__(self, protocol: Any) -> Any:
        found = reference_of(self)
        return self.view(np.ndarray).__reduce_ex__(protocol) if found is None else (opened, found)

    def _place(self) -> int:
        """Return the byte of the file where the first number lies."""
        pages = cast("mmap.mmap", self._mmap)  # from the one on that holds the first number of the whole array
        start = np.frombuffer(pages, dtype=np.uint8).ctypes.data
        return int(self.offset - self.offset % mmap.ALLOCATIONGRANULARITY + self.ctypes.data - start)


Reference = tuple[str, str, tuple[int, ...], int, tuple[int, int]]  # path, type, shape, first byte, and state of a file


def reference_of(array: Any) -> Reference | None:
    """Return where a `Mapped` array lies, for `opened`; None of other arrays, and of parts that are not contiguous."""
    if not isinstance(array, Mapped) or array._mmap is None or not (array.size and array.flags.c_contiguous):
        return None
    assert array._state is not None
    return str(array.filename), array.dtype.str, array.shape, array._place(), array._state


def opened(path: str, dtype: str, shape: tuple[int, ...], offset: int, state: tuple[int, int] | None) -> Mapped:
    """Return the array that a reference stands for; a DataError where the file is not in that state any more."""
    found = Mapped(path, dtype, shape, offset)
    if state is not None and found._state != state:
        raise DataError(f"the file {path!r} must be as it was when it was read: it has changed; read the data again")
    return found


def _state(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def is_mapped(array: Any) -> bool:
    """Return whether the numbers of an array, or of the one that it is a view of, lie in a file."""
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap) and array._mmap is not None:  # type: ignore[attr-defined]
            return True
        array = array.base
    return False


class AtRandom:
    """Reads of some rows of a mapped array from each of many on, in any order, as windows are gathered.

    Nothing around them is read: of a file that does not fit in the memory that would displace what was read before.
    Where the last ones came from the disk, the next ones are asked for first, all at once: the disk then finds them
    side by side, where touching one after the other waits for each.
    """

    def __init__(self, array: NDArray[Any], rows: int) -> None:
        owner: Any = array
        while not isinstance(owner, np.memmap):
            owner = owner.base
        self._pages: mmap.mmap = owner._mmap  # type: ignore[attr-defined]
        self._first = array.ctypes.data - np.frombuffer(self._pages, dtype=np.uint8).ctypes.data
        self._row, self._size, self._asks = array.strides[0], rows * array.strides[0], False
        if hasattr(mmap, "MADV_RANDOM"):
            self._pages.madvise(mmap.MADV_RANDOM)

    @contextmanager
    def __call__(self, begin: NDArray[np.int64]) -> Iterator[None]:
        """Read the rows from each of `begin` on within the block."""
        read = _blocks_read()
        if self._asks and hasattr(mmap, "MADV_WILLNEED"):
            places = self._first + begin * self._row
            for page, place in zip((places // mmap.PAGESIZE * mmap.PAGESIZE).tolist(), places.tolist(), strict=True):
                self._pages.madvise(mmap.MADV_WILLNEED, page, place + self._size - page)
        yield
        self._asks = _blocks_read() > read


def _blocks_read() -> int:
    """Return how often this process waited for, or read from, a disk; 0 where the system does not count."""
    try:
        import resource
    except ImportError:  # not Unix
        return 0
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_majflt + used.ru_inblock


def scratch(shape: tuple[int, ...], dtype: DTypeLike, like: Any) -> NDArray[Any]:
    """Return a new array to write to: in a file without a name where it is large and `like` is mapped, else in memory.

    The file lies in the folder that the environment variable ``TSFORECAST_SCRATCH`` names, or else in that of the
    cache, and is gone with the array, however the process ends.

    Raises
    ------
    OutputError
        When the folder cannot be written to, or its disk has no room for all of the array.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size < LARGE or not is_mapped(like):
        return np.empty(shape, dtype)
    place = Path(os.environ.get(SCRATCH) or cache_folder() / "scratch")
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place) as file:
            if hasattr(os, "posix_fallocate"):  # else a full disk ends the process at its first write
                os.posix_fallocate(file.fileno(), 0, size)
            return np.memmap(file, dtype, "r+", shape=shape).view(np.ndarray)
    except OSError as error:
        raise OutputError(
            f"the folder {str(place)!r} must have room for {size / 1e9:.3g} GB of scratch files: {reason(error)}; name "
            f"another one in {SCRATCH}"
        ) from error


def chunks(array: NDArray[Any]) -> Iterator[slice]:
    """Yield slices of the rows of an array, of so many `BLOCK` bytes at most but at least one row each.

    Examples
    --------
    >>> list(chunks(np.zeros((5, 2))))
    [slice(0, 5, None)]
    """
    yield from slices(len(array), max(1, BLOCK // max(1, math.prod(array.shape[1:]) * array.itemsize)))


def slices(count: int, most: int | None = None) -> Iterator[slice]:
    """Yield slices of so many rows, of `ROWS` rows at most unless told otherwise."""
    most = ROWS if most is None else most
    for begin in range(0, count, most):
        yield slice(begin, min(begin + most, count))


def has_nan(array: NDArray[Any]) -> bool:
    """Return whether any number is NaN."""
    return any(bool(np.isnan(array[rows]).any()) for rows in chunks(array))


def copied(array: NDArray[Any], columns: NDArray[np.int64] | None = None) -> NDArray[Any]:
    """Return a copy to write to of all columns, or of some, which is mapped where the array is; see `scratch`."""
    width = array.shape[1:] if columns is None else (len(columns),)
    copy = scratch((len(array), *width), array.dtype, array)
    for rows in chunks(array):
        copy[rows] = array[rows] if columns is None else array[rows][:, columns]
    return copy


def whole_series(offsets: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Yield ranges of series that are read at once: as float64, not all of them need fit in memory."""
    begin = 0
    while begin < len(offsets) - 1:
        end = max(begin + 1, int(np.searchsorted(offsets, offsets[begin] + ROWS, side="right")) - 1)
        yield begin, end
        begin = end


def rows_between(values: NDArray[Any], begin: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[Any]:
    """Return a copy of the rows ``begin[i]:end[i]`` of values (rows, C), one part after the other; see `scratch`."""
    moves, counts = np.diff(begin), end - begin
    values = np.asarray(values)  # whose parts are cut faster than those of a subclass
    found = scratch((int(counts.sum()), values.shape[1]), values.dtype, values)
    if len(moves) and counts[0] > 0 and (moves == moves[0]).all() and (counts == counts[0]).all():  # as if one array
        (row, column), size = values.strides, (len(begin), counts[0], values.shape[1])
        np.copyto(found.reshape(size), as_strided(values[begin[0] :], size, (moves[0] * row, row, column)))
        return found
    return np.concatenate([values[b:e] for b, e in zip(begin, end, strict=True)], out=found)


def forward_fill(values: NDArray[Any], offsets: NDArray[np.int64]) -> NDArray[Any]:
    """Replace each NaN of `values` (rows, C) by the number before it in its own series; leading NaN stay."""
    if not has_nan(values):
        return values
    filled = copied(values)
    for begin, end in whole_series(offsets):
        part = filled[offsets[begin] : offsets[end]]
        k, at = np.nonzero(np.isnan(part).T)
        if len(at):
            bounds = offsets[begin : end + 1] - offsets[begin]
            first = bounds[np.searchsorted(bounds, at, side="right") - 1]  # row of each one's series
            begins = np.append(True, np.diff(k * (len(part) + 1) + at) > 1) | (at == first)  # of a run of NaN
            before = at[begins][np.cumsum(begins) - 1] - 1
            part[at, k] = part[np.where(before < first, at, before), k]
    return filled
