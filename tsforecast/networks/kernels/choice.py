"""Kernels or torch, by what both took on this machine: measured once, and kept in the user's cache.

The first training that is long enough compiles the kernels of its cell and measures a few sizes of it, kernels beside
torch, on one thread. From then on the choice is a function of these times and the sizes of a training alone, so that a
fit that is repeated takes the same way. ``TSFORECAST_KERNELS`` names a file of times that are used in place of those of
this machine: a cluster of different machines then chooses alike.
"""

from __future__ import annotations

import json
import math
import os
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from torch import Tensor, nn

from tsforecast.errors import ParameterError, TrainingWarning
from tsforecast.events import uncounted
from tsforecast.files import new_file
from tsforecast.networks.kernels import memory
from tsforecast.networks.layers import every_other

if TYPE_CHECKING:
    from tsforecast.networks.kernels.cells import Cell

MODES = {"rnn": "RNN_TANH", "gru": "GRU", "lstm": "LSTM", "conv1d": "CONV"}  # as torch names them, but the last
# Sizes that are measured. Between two numbers of units, times go along a line of their logarithms; with rows and steps
# they go along lines, as those of many small operations do.
UNITS, ROWS, STEPS = (8, 32, 128, 256), (32, 128), (1, 8)
INPUTS, BATCHES = 8, 4  # numbers in a segment, and batches of an epoch of whole steps
RUNS, ENOUGH = (2, 12), 0.03  # of a size: at least and at most, and seconds after which they end
MARGIN = 1.15  # as much faster kernels must be, since the least of a few runs is not exact
FILE = "times.json"
SAVED = 0.3  # seconds that they must save in a training: about what a process takes to load them
# A training of fewer multiplications takes torch less than a second: nothing is compiled or measured for it. A step
# counts as a million at least: a tenth of a millisecond, which torch spends between its operations.
FEWEST, OF_A_STEP = 1e9, 1e6

Stack = Callable[..., Tensor]  # kernels of a stack of convolutions
Times = NDArray[np.float64]  # (2, units, rows, steps): seconds of kernels and of torch
Ways = Callable[[str, int, int, int], list[Callable[[], object]]]  # from a cell and sizes to both ways of work
# Trainings of about the same size in this process, or others like it, which load kernels once for all.
_alike: ContextVar[int] = ContextVar("alike", default=1)


def pays(times: Times, reads: int, units: int, rows: int, steps: int) -> bool:
    """Return whether kernels save more than loading them takes; it depends on times and sizes alone.

    A layer, or a stack of convolutions, is read, and goes back, so many times: `rows` sequences of so many `steps`.
    """
    kernels, torches = seconds(times, units, rows, steps)
    return bool(reads * (torches - MARGIN * kernels) > SAVED)


def seconds(times: Times, units: int, rows: int, steps: int) -> tuple[float, float]:
    """Return the seconds of kernels and of torch for a layer of any size, from those that were measured."""
    at = np.interp(math.log(units), np.log(UNITS), np.arange(len(UNITS)))
    low = min(int(at), len(UNITS) - 2)
    logs = np.log(times)
    corners = np.exp(logs[:, low] + (at - low) * (logs[:, low + 1] - logs[:, low]))  # (2, rows, steps)
    corners *= max(1.0, units / UNITS[-1]) ** 2
    further = np.maximum(corners[..., 1] - corners[..., 0], 0) / (STEPS[1] - STEPS[0])
    few, many = (corners[..., 0] + (steps - 1) * further).T  # (2,) each: of the smaller and the larger number of rows
    found = np.maximum(few + (rows - ROWS[0]) * (many - few) / (ROWS[1] - ROWS[0]), few * min(1, rows / ROWS[0]))
    return float(found[0]), float(found[1])


@contextmanager
def alike(trainings: int) -> Iterator[None]:
    """Choose between kernels and torch for one of so many trainings of about the same size."""
    before = _alike.set(_alike.get() * trainings)
    try:
        yield
    finally:
        _alike.reset(before)


def chosen(cell: str, reads: int, units: int, rows: int, steps: int, whole: Ways | None = None) -> bool:
    """Return whether a training is faster with kernels on this machine; see `pays` and `times_of`."""
    reads *= _alike.get()
    work = reads * steps * max(OF_A_STEP, 18.0 * rows * units**2)  # three gates, two matrices, three products of each
    times = times_of(MODES[cell], whole) if cell in MODES and work >= FEWEST else None
    return times is not None and pays(times, reads, units, rows, steps)


@cache
def times_of(mode: str, whole: Ways | None = None) -> Times | None:
    """Return the times of a cell on this machine, measured unless they are kept; None where it has no kernels.

    They are those of the cell alone, forwards and back; or of `whole` steps of training, where kernels do all of it.

    Raises
    ------
    ParameterError
        When ``TSFORECAST_KERNELS`` names no file with these times.
    """
    if not numba_found():
        return None
    name, given = f"{mode} step" if whole else mode, os.environ.get("TSFORECAST_KERNELS")
    place = Path(given) if given else memory.folder() / FILE
    kept = _read(place).get(name)
    if given and kept is None:
        raise ParameterError(
            f"TSFORECAST_KERNELS must name a file with times of {name}, such as {FILE} in a folder that `tsforecast "
            f"compile` names: got {given!r}{'' if place.exists() else ', which does not exist'}; unset it, and this "
            "machine is measured"
        )
    if kept is not None or loaded(mode) is None:
        return kept
    return _kept(name, partial(whole, mode), BATCHES) if whole else _ready(mode)[1]


def loaded(mode: str) -> Cell | Stack | None:
    """Return the kernels of a cell, ready to read; None where there are none, with a warning where compiling fails."""
    return _ready(mode)[0] if numba_found() else None


def numba_found() -> bool:
    """Return whether numba is installed."""
    return find_spec("numba") is not None


@cache
def _ready(mode: str) -> tuple[Cell | Stack | None, Times | None]:
    """Load the kernels of a cell; where this machine has no times of it, compile and measure them first, uncounted."""
    times = _read(memory.folder() / FILE).get(mode)
    if times is not None:
        return _tried(mode), times
    with uncounted("compiled kernels", "compiling kernels for this machine, once: a minute or so"), _alone():
        kernels = _tried(mode)
        return kernels, _kept(mode, partial(_ways, mode, kernels)) if kernels is not None else None


def _kept(name: str, ways: Callable[[int, int, int], list[Callable[[], object]]], batches: int = 1) -> Times:
    """Return times from the file of this machine; measure and keep them first where it has none."""
    place = memory.folder() / FILE
    with uncounted("measured kernels"), _alone():
        times = _read(place).get(name)
        if times is None:
            times = measured(ways, batches)
            kept = {known: one.tolist() for known, one in (_read(place) | {name: times}).items()}
            with suppress(OSError), new_file(place) as unfinished:
                unfinished.write_text(json.dumps(kept))
    return times


@contextmanager
def _alone() -> Iterator[None]:
    """Let one process at a time compile: others wait, and find all there. Where nothing can be written none waits."""
    place = memory.folder()
    lock = FileLock(place / "lock", is_singleton=True)  # the same one within the block
    try:
        place.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError:
        pass
    try:
        yield
    finally:
        lock.release()


def _tried(mode: str) -> Cell | Stack | None:
    """Return the kernels of a cell, compiled and tried on a few numbers; None, with a warning, where that fails."""
    try:
        with torch.inference_mode(False), torch.enable_grad():
            one = torch.ones(1, 1, 1)
            if mode == "CONV":
                from tsforecast.networks.kernels.convolution import blocks_of, stack

                weights = [torch.ones(shape, requires_grad=True) for shape in ((1, 1, 1), (1,))]
                stack(one, None, blocks_of(1, (1,), (0,), 1), weights[:1], weights[1:]).sum().backward()  # type: ignore[no-untyped-call]
                return stack
            from tsforecast.networks.kernels.autograd import read_layer
            from tsforecast.networks.kernels.cells import CELLS

            kernels = CELLS[mode]
            rows = kernels.slopes - kernels.shift  # of a weight, for each unit
            weights = [torch.ones(shape, requires_grad=True) for shape in 2 * [(rows, 1)] + 2 * [(rows,)]]
            read_layer(kernels, one, None, weights, False, True).sum().backward()  # type: ignore[no-untyped-call]
    except Exception as error:  # whatever fails in a compiler, torch works without it
        what = str(error).partition("\n")[0]
        warnings.warn(
            f"numba must compile the fast kernels and cannot ({type(error).__name__}: {what}): torch's own modules do "
            "the same more slowly; install numba again",
            TrainingWarning,
            stacklevel=2,
        )
        return None
    return kernels


def measured(ways: Callable[[int, int, int], list[Callable[[], object]]], batches: int = 1) -> Times:
    """Measure so many batches by kernels beside torch at all sizes, on one thread; of one, rounded to two digits."""
    threads, times = torch.get_num_threads(), np.empty((2, len(UNITS), len(ROWS), len(STEPS)))
    allowed = memory.allowed.set(1)
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.enable_grad():
            for at in np.ndindex(times.shape[1:]):
                units, rows, steps = (sizes[i] for sizes, i in zip((UNITS, ROWS, STEPS), at, strict=True))
                times[(slice(None), *at)] = _seconds(ways(units, rows, steps))
    finally:
        memory.allowed.reset(allowed)
        torch.set_num_threads(threads)
        memory.clear()
    for axis in (1, 2, 3):  # what took longer than a larger size was disturbed
        times = np.flip(np.minimum.accumulate(np.flip(times, axis), axis), axis)
    return np.array([float(f"{one / batches:.1e}") for one in times.flat]).reshape(times.shape)


def _ways(mode: str, kernels: Any, units: int, rows: int, steps: int) -> list[Callable[[], object]]:
    """Return a step by kernels, and one by torch, of an embedding and a cell, or of one and a stack of convolutions."""
    embed = nn.Sequential(nn.Linear(INPUTS, units), nn.ReLU())
    x, embedding = torch.randn(rows, steps, INPUTS), list(embed[0].parameters())
    if mode == "CONV":
        return _ways_of_convolutions(kernels, embed, x, units)
    from tsforecast.networks.kernels.autograd import read_layer

    cell = getattr(nn, mode.removesuffix("_TANH"))(units, units, batch_first=True)
    return [
        lambda: read_layer(kernels, x, None, cell.all_weights[0], False, False, embedding).sum().backward(),  # type: ignore[no-untyped-call]
        lambda: cell(embed(x))[0][:, -1:].sum().backward(),
    ]


def _ways_of_convolutions(kernels: Stack, embed: nn.Sequential, x: Tensor, units: int) -> list[Callable[[], object]]:
    """Return the ways for a stack that halves the steps until one is left."""
    from tsforecast.networks.kernels.convolution import blocks_of

    depth = max(1, (x.shape[1] - 1).bit_length())
    convolutions = [nn.Conv1d(units, units, 3) for _ in range(depth)]
    blocks = blocks_of(x.shape[1], depth * (1,), depth * (0,), depth)
    weights, biases = ([getattr(one, name) for one in convolutions] for name in ("weight", "bias"))
    embedding = list(embed[0].parameters())

    def torches() -> None:
        state = embed(x)
        for convolution in convolutions:
            state = state[:, (state.shape[1] - 1) % 2 :: 2] + torch.relu(every_other(convolution, state))
        state.sum().backward()

    return [lambda: kernels(x, None, blocks, weights, biases, embedding).sum().backward(), torches]  # type: ignore[no-untyped-call]


def _seconds(ways: list[Callable[[], object]]) -> list[float]:
    """Return the least seconds of each of several ways, in turn; of this thread alone, where these are known."""
    least, began = [math.inf] * len(ways), time.perf_counter()
    now = time.thread_time if time.get_clock_info("thread_time").resolution < 1e-5 else time.perf_counter
    for run in range(RUNS[1]):
        for i, way in enumerate(ways):
            start = now()
            way()
            least[i] = min(least[i], now() - start)
        if run + 1 >= RUNS[0] and time.perf_counter() - began > ENOUGH:
            break
    return least


def _read(place: Path) -> dict[str, Times]:
    """Return the times of each cell in a file; none of a file that is missing or broken."""
    shape = (2, len(UNITS), len(ROWS), len(STEPS))
    try:
        found = {mode: np.array(times, dtype=np.float64) for mode, times in json.loads(place.read_text()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
    good = {mode: times for mode, times in found.items() if times.shape == shape}
    return {mode: times for mode, times in good.items() if np.isfinite(times).all() and (times > 0).all()}
