"""One layer, in one direction, as a function that torch can differentiate.

torch spends most of a step between its operations, not on arithmetic. Here one compiled function reads all steps of a
layer, and another one goes back through them. A *tile* is sixteen windows side by side: each row of a buffer is a
vector (`vectors`) with one number of each, so that every instruction works on all sixteen. A step embeds its input,
where that is asked for, makes two products of a weight matrix with rows (`matmul`) and one pass over the units for
gates and state (`cells`). On the way back, gradients of the weights are summed over a chunk of steps while it is in the
cache. Tiles go to all cores (`memory`), and sums over tiles have an order that does not depend on how many there are.
`tsforecast.networks.encoders` decides when all this is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from tsforecast.networks.kernels.cells import Cell, backward, forward
from tsforecast.networks.kernels.matmul import collect, summed_shape
from tsforecast.networks.kernels.memory import Buffers, share
from tsforecast.networks.kernels.vectors import LANES, SLACK

PARTIAL_SUMS = 16  # of gradients, at most, so that no sum depends on the number of threads
LEAST = 16  # steps of tiles in each
ACTIVATION = 16  # multiplications that take as long as one


def read_layer(
    cell: Cell,
    x: Tensor,
    lengths: Tensor | None,
    weights: Sequence[Tensor],
    reverse: bool,
    whole: bool,
    embedding: Sequence[Tensor] = (),
) -> Tensor:
    """Read sequences (B, T, I), or the first `lengths`, (B,), of their steps, with one layer in one direction.

    Return all states, (B, T, U), zeros beyond `lengths`; or without `whole`, where all have T steps, the last ones
    alone, (B, 1, U). The weights are two matrices and two biases as torch has them. With a weight (E, I) and a bias as
    `embedding`, the cell reads the ReLU of that layer, (B, T, E); x itself then has no gradient.
    """
    we, be = embedding or (x.new_empty(0, 0), x.new_empty(0))
    keeps = torch.is_grad_enabled() and any(part.requires_grad for part in (x, *weights, we, be))
    states: Tensor = _Layer.apply(cell, reverse, whole, keeps, x, lengths, *weights, we, be)  # type: ignore[no-untyped-call]
    return states


class _Layer(torch.autograd.Function):
    """`read_layer`, as torch differentiates it."""

    @staticmethod
    def forward(
        ctx: Any, cell: Cell, reverse: bool, whole: bool, keeps: bool, x: Tensor, lengths: Tensor | None,
        wi: Tensor, wh: Tensor, bi: Tensor, bh: Tensor, we: Tensor, be: Tensor,
    ) -> Tensor:  # fmt: skip
        (batch, steps, wide), (inputs, units) = x.shape, (wi.shape[1], wh.shape[1])
        tiles = -(-batch // LANES)
        numbers = _array(x)
        dtype = numbers.dtype
        until = np.zeros(tiles * LANES, dtype)
        until[:batch] = steps if lengths is None else lengths.numpy()
        buffers = Buffers(
            dtype,
            keeps * (tiles * steps * wide * bool(len(we)) + SLACK) * LANES,
            keeps * (tiles * steps * inputs + SLACK) * LANES,
            (cell.states, (tiles * (keeps * steps + 1) * units + SLACK) * LANES),
            keeps * tiles * steps * cell.kept * units * LANES,
        )
        y = np.empty((batch, steps if whole else 1, units), dtype)
        weights = [_array(part) for part in (wi, wh, bi, bh, we, be)]
        work = batch * steps * (wi.numel() + wh.numel() + we.numel() + ACTIVATION * cell.slopes * units)
        share(forward, tiles, work, cell, numbers, until, *weights, reverse, int(keeps), *buffers.parts, y)
        if keeps:
            ctx.save_for_backward(wi, wh, we)
            ctx.cell, ctx.reverse, ctx.work = cell, reverse, 2 * work
            ctx.shape, ctx.until, ctx.buffers = x.shape, until, buffers
        return torch.from_numpy(y)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> Any:
        cell, until, (batch, steps, wide) = ctx.cell, ctx.until, ctx.shape
        wi, wh, we = (_array(weight) for weight in ctx.saved_tensors)
        units, dtype, tiles = wh.shape[1], wh.dtype, len(until) // LANES
        parts = min(tiles, PARTIAL_SUMS, -(-tiles * steps // LEAST))
        dx = np.empty((batch if ctx.needs_input_grad[4] else 0, steps, wide), dtype)
        sums = Buffers(dtype, *((parts * bool(len(w)), *summed_shape(*w.shape)) for w in (wi, wh, we)))
        dwi, dwh, dwe = sums.parts
        db, dbe = (np.zeros((parts, rows * LANES), dtype) for rows in (cell.slopes * units, len(we)))
        share(
            backward, parts, ctx.work, cell, tiles, until, wi, wh, ctx.reverse, *ctx.buffers.parts, _array(dy), dx,
            dwi, dwh, db, dwe, dbe,
        )  # fmt: skip
        slopes = [np.empty(shape, dtype) for shape in (wi.shape, wh.shape, len(wi), len(wh), we.shape, len(we))]
        collect(dwi, dwh, db, dwe, dbe, cell.shift * units, *slopes)
        into_x = torch.from_numpy(dx) if dx.size else None
        return None, None, None, None, into_x, None, *map(torch.from_numpy, slopes)


def _array(tensor: Tensor) -> Any:
    return tensor.detach().contiguous().numpy()
