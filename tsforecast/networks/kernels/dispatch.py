"""Choice between fast kernels and torch's own modules: where kernels are available, exact enough and faster.

torch spends most of a step between its operations, not on arithmetic. Here one compiled function reads all steps of a
layer, and another one goes back through them. A *tile* is sixteen windows side by side: each row of a buffer is a
vector (`vectors`) with one number of each, so that every instruction works on all sixteen. A step embeds its input,
where that is asked for, makes two products of a weight matrix with rows (`matmul`) and one pass over the units for
gates and state (`cells`). On the way back, gradients of the weights are summed over a chunk of steps while it is in the
cache. Tiles go to all cores (`memory`), and sums over tiles have an order that does not depend on how many there are.
`autograd` makes it differentiable, this module decides when it is used, for `tsforecast.networks.recurrent`.
"""

from __future__ import annotations

import warnings
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from tsforecast.errors import TrainingWarning

if TYPE_CHECKING:
    from tsforecast.networks.kernels.cells import Cell

# Units up to which kernels are used: faster in all rows of benchmarks/results/speed.jsonl, which end at 64, but one
# (an LSTM of 64 units on both cores, 32 windows of 24 steps: 0.93), and in a trial at 128; at 256 torch was faster at
# one size.
WIDEST = {"RNN_TANH": 128, "GRU": 128, "LSTM": 128}
BLOCKS = {"RNN_TANH": 1, "GRU": 3, "LSTM": 4}  # of U rows in a weight
# Microseconds that kernels save in a batch on one core, fitted to 24 sizes of a cell, of 8 to 64 units, 32 and 256
# rows, 1 to 14 steps: at its first step, where torch may be faster, and there for each unit of each row; at each
# further step, there for each row, and for each unit of each row.
GAIN = {
    "RNN_TANH": (-50.0, -0.004, 30.0, 0.1, 0.005),
    "GRU": (30.0, -0.012, 80.0, 0.22, 0.011),
    "LSTM": (160.0, -0.015, -5.0, 0.24, 0.006),
}
LOADING = 0.45  # s; compiling, once on each machine, takes ten


def worth_loading(cell: nn.RNNBase, batches: int, batch: int, steps: int) -> bool:
    """Return whether so much training saves more time than kernels take to load; it depends on sizes alone.

    Examples
    --------
    >>> worth_loading(nn.GRU(8, 8), batches=10, batch=32, steps=24)
    False
    >>> worth_loading(nn.GRU(8, 8), batches=2_000, batch=32, steps=24)
    True
    """
    if cell.mode not in WIDEST or cell.hidden_size > WIDEST[cell.mode]:
        return False
    first, of_first, step, of_row, of_unit = GAIN[cell.mode]
    units = batch * cell.hidden_size
    saved = first + of_first * units + (steps - 1) * (step + of_row * batch + of_unit * units)
    return 1e-6 * batches * saved > LOADING


def kernels_for(cell: nn.RNNBase, x: Tensor) -> Cell | None:
    """Return the kernels that can read x, (B, T, I), in place of a module of torch; None where they cannot."""
    covered = (
        cell.mode in WIDEST
        and cell.hidden_size <= WIDEST[cell.mode]
        and cell.batch_first
        and cell.bias
        and not cell.proj_size
        and x.device.type == "cpu"
        and x.dtype == cell.weight_hh_l0.dtype == torch.float32
        and x.numel() > 0
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )
    return _loaded(cell.mode) if covered else None


def embeds(embed: nn.Sequential, cell: nn.RNNBase, x: Tensor) -> bool:
    """Return whether kernels can embed x, (B, T, I), on the way to a cell: by a linear layer and ReLU.

    They cannot where both directions would repeat it, or where x itself needs a gradient.
    """
    return isinstance(embed[1], nn.ReLU) and not cell.bidirectional and not x.requires_grad


@cache
def _loaded(mode: str) -> Cell | None:
    """Return the kernels of a cell, compiled and tried on a few numbers; None, with a warning, where that fails."""
    if find_spec("numba") is None:
        return None
    try:
        from tsforecast.networks.kernels.autograd import read_layer
        from tsforecast.networks.kernels.cells import CELLS

        kernels = CELLS[mode]
        with torch.inference_mode(False), torch.enable_grad():
            shapes = [(BLOCKS[mode], 1)] * 2 + [(BLOCKS[mode],)] * 2
            weights = [torch.ones(shape, requires_grad=True) for shape in shapes]
            read_layer(kernels, torch.ones(1, 1, 1), None, None, weights, False, True)[1].sum().backward()  # type: ignore[no-untyped-call]
    except Exception as error:  # whatever fails in a compiler, torch works without it
        what = str(error).partition("\n")[0]
        warnings.warn(
            f"numba must compile the fast kernels and cannot ({type(error).__name__}: {what}): torch's own modules do "
            "the same more slowly; install numba anew",
            TrainingWarning,
            stacklevel=2,
        )
        return None
    return kernels
