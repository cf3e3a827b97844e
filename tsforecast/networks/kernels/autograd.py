"""One layer, in one direction, as a function that torch can differentiate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from tsforecast.networks.kernels.cells import Cell
from tsforecast.networks.kernels.matmul import SIDE, collect
from tsforecast.networks.kernels.memory import Buffers, share
from tsforecast.networks.kernels.vectors import LANES, SLACK

PARTIAL_SUMS = 16  # of gradients, so that no sum depends on the number of threads


def read_layer(
    cell: Cell,
    x: Tensor,
    lengths: Tensor | None,
    h0: Tensor | None,
    weights: Sequence[Tensor],
    reverse: bool,
    whole: bool,
    embedding: Sequence[Tensor] = (),
) -> tuple[Tensor, Tensor]:
    """Read sequences with one layer in one direction.

    Parameters
    ----------
    cell : Cell
    x : tensor of shape (B, T, I)
    lengths : int64 tensor of shape (B,) or None
        Steps of each sequence; None for T.
    h0 : tensor of shape (S, B, U) or None
        The first state; S is 2 for the LSTM, whose memory comes second. None for zeros.
    weights : two weights and two biases as torch has them
    reverse : bool
        Read from the end.
    whole : bool
        Return the states of all steps.
    embedding : weight of shape (E, I) and bias, optional
        The cell reads the ReLU of this layer, (B, T, E); x itself then has no gradient.

    Returns
    -------
    states : tensor of shape (B, T, U), zeros beyond `lengths`; or the last ones alone, (B, 1, U)
    last : tensor of shape (S, B, U)
    """
    we, be = embedding or (x.new_empty(0, 0), x.new_empty(0))
    keeps = torch.is_grad_enabled() and any(
        part is not None and part.requires_grad for part in (x, h0, *weights, we, be)
    )
    read: tuple[Tensor, Tensor] = _Layer.apply(cell, reverse, whole, keeps, x, lengths, h0, *weights, we, be)  # type: ignore[no-untyped-call]
    return read


class _Layer(torch.autograd.Function):
    """`read_layer`, as torch differentiates it."""

    @staticmethod
    def forward(
        ctx: Any, cell: Cell, reverse: bool, whole: bool, keeps: bool, x: Tensor, lengths: Tensor | None,
        h0: Tensor | None, wi: Tensor, wh: Tensor, bi: Tensor, bh: Tensor, we: Tensor, be: Tensor,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        (batch, steps, wide), (inputs, units) = x.shape, (wi.shape[1], wh.shape[1])
        tiles = -(-batch // LANES)
        numbers = _array(x)
        dtype = numbers.dtype
        until = np.zeros(tiles * LANES, dtype)
        until[:batch] = steps if lengths is None else lengths.numpy()
        buffers = Buffers(
            dtype,
            (tiles * (steps if keeps else 1) * wide * bool(len(we)) + SLACK) * LANES,
            (tiles * (steps if keeps else 1) * inputs + SLACK) * LANES,
            (cell.states, (tiles * (keeps * steps + 1) * units + SLACK) * LANES),
            keeps * tiles * steps * cell.kept * units * LANES,
        )
        y, hn = np.empty((batch if whole else 0, steps, units), dtype), np.empty((cell.states, batch, units), dtype)
        weights = [_array(part) for part in (wi, wh, bi, bh, we, be)]
        work = batch * steps * (wi.numel() + wh.numel() + we.numel())
        begin = np.zeros((cell.states, batch, units), dtype) if h0 is None else _array(h0)
        share(cell.forward, tiles, work, numbers, until, begin, *weights, reverse, int(keeps), *buffers.parts, y, hn)
        if keeps:
            ctx.set_materialize_grads(False)
            ctx.save_for_backward(wi, wh, we)
            ctx.cell, ctx.reverse, ctx.whole, ctx.work = cell, reverse, whole, 2 * work
            ctx.shape, ctx.until, ctx.buffers = x.shape, until, buffers
        return torch.from_numpy(y if whole else hn[0][:, None].copy()), torch.from_numpy(hn)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor | None, dhn: Tensor | None) -> Any:
        cell, until, (batch, steps, wide) = ctx.cell, ctx.until, ctx.shape
        wi, wh, we = (_array(weight) for weight in ctx.saved_tensors)
        units, dtype, tiles = wh.shape[1], wh.dtype, len(until) // LANES
        parts = min(tiles, PARTIAL_SUMS)
        given = np.empty((0, steps, units), dtype) if dy is None or not ctx.whole else _array(dy)
        at_end = np.zeros((cell.states, batch, units), dtype) if dhn is None else _array(dhn).copy()
        if dy is not None and not ctx.whole:
            at_end[0] += _array(dy)[:, 0]
        dx = np.empty((batch if ctx.needs_input_grad[4] else 0, steps, wide), dtype)
        dh0 = np.empty((cell.states, batch if ctx.needs_input_grad[6] else 0, units), dtype)
        dwi, dwh, dwe = (
            np.zeros((parts * bool(len(w)), -(-len(w) // SIDE), -(-w.shape[1] // SIDE), LANES), dtype)
            for w in (wi, wh, we)
        )
        db, dbe = (np.zeros((parts, rows * LANES), dtype) for rows in (cell.slopes * units, len(we)))
        share(
            cell.backward, parts, ctx.work, tiles, until, wi, wh, ctx.reverse, *ctx.buffers.parts, given, at_end, dx,
            dh0, dwi, dwh, db, dwe, dbe,
        )  # fmt: skip
        slopes = [np.empty(shape, dtype) for shape in (wi.shape, wh.shape, len(wi), len(wh), we.shape, len(we))]
        collect(dwi, dwh, db, dwe, dbe, cell.shift * units, *slopes)
        into_x, into_h0 = (torch.from_numpy(part) if part.size else None for part in (dx, dh0))
        return None, None, None, None, into_x, None, into_h0, *map(torch.from_numpy, slopes)


def _array(tensor: Tensor) -> Any:
    return tensor.detach().contiguous().numpy()
