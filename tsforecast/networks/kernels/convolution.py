"""Kernels of a stack of causal convolutions with residuals: all blocks of a tile, forward and backward.

torch copies each step several times: it transposes, pads and lays taps side by side. Here the steps of sixteen windows,
a *tile*, stay in the cache through all blocks; taps are read where they lie, two outputs at a time, so that a weight is
loaded once for both, and a mask of bits is all that ReLU and dropout leave for the way back. The embedding comes on
the way, and once more on the way back: that costs less than keeping it. `tsforecast.networks.encoders` decides when
this is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic
from torch import Tensor
from torch.autograd.function import once_differentiable

from tsforecast.networks.kernels import memory
from tsforecast.networks.kernels.matmul import (
    SIDE,
    add_squares,
    chunk_of,
    gather,
    join,
    pack,
    pad,
    product,
    scatter,
    totals,
)
from tsforecast.networks.kernels.memory import Buffers, share
from tsforecast.networks.kernels.vectors import (
    BLOCK,
    LANES,
    SLACK,
    add_products,
    helper,
    inlined,
    kernel,
    load,
    maker,
    rows,
    spread,
    store,
    store_block,
    where_positive,
    within,
    zeros,
)

PARTIAL_SUMS, TILES = 16, 4  # at most, and at least in each where there are more than two: whatever the threads


class Block(NamedTuple):
    """One convolution: how many steps it reads and returns, and where an output finds its taps."""

    before: int
    after: int
    begin: int  # step of the first output
    stride: int  # steps from one output to the next
    dilation: int
    ahead: int  # steps from an output to its last tap


@cache
def blocks_of(steps: int, dilations: tuple[int, ...], ahead: tuple[int, ...], halved: int) -> tuple[Block, ...]:
    """Return the blocks of a stack that reads so many steps; the last `halved` return what the last state reads."""
    blocks = []
    for number, (dilation, further) in enumerate(zip(dilations, ahead, strict=True), 1):
        if number <= len(dilations) - halved:
            blocks.append(Block(steps, steps, 0, 1, dilation, further))
            continue
        after = 1 if number == len(dilations) else -(-steps // 2)  # steps lie a dilation apart
        blocks.append(Block(steps, after, (steps - 1) % 2 if after > 1 else steps - 1, 2, 1, 0))
        steps = after
    return tuple(blocks)


def stack(
    x: Tensor,
    lengths: Tensor | None,
    blocks: tuple[Block, ...],
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    embedding: Sequence[Tensor] = (),
    dropout: float = 0.0,
) -> Tensor:
    """Map sequences (B, T, U) through blocks of x + dropout(ReLU(convolution(x))) to (B, T', U).

    A block has a weight (U, U, k) and a bias (U,). Steps beyond `lengths`, (B,), are read as zeros, and are zeros in
    the result. With a weight (U, I) and a bias as `embedding`, blocks read the ReLU of that layer of x, (B, T, I), and
    x has no gradient.
    """
    we, be = embedding or (x.new_empty(0, 0), x.new_empty(0))
    keeps = torch.is_grad_enabled() and any(part.requires_grad for part in (x, *weights, *biases, we, be))
    states: Tensor = _Stack.apply(x, lengths, blocks, dropout, keeps, we, be, *weights, *biases)  # type: ignore[no-untyped-call]
    return states


class _Stack(torch.autograd.Function):
    """`stack`, as torch differentiates it."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, lengths: Tensor | None, blocks: tuple[Block, ...], dropout: float, keeps: bool,
        we: Tensor, be: Tensor, *parts: Tensor,
    ) -> Tensor:  # fmt: skip
        (batch, steps, _), tiles, plan = x.shape, -(-len(x) // LANES), np.array(blocks, np.int64)
        whole, biases = torch.stack(parts[: len(blocks)]), torch.stack(parts[len(blocks) :])  # (D, U, U, k), (D, U)
        units, taps = whole.shape[2:]
        numbers = _array(x).reshape(batch, -1)
        dtype = numbers.dtype
        until = np.zeros(tiles * LANES, dtype)
        until[:batch] = steps if lengths is None else lengths.numpy()
        room = sum(block.after for block in blocks)
        buffers = Buffers(
            dtype,
            ((1 + keeps * tiles * room) * (units + 1) + SLACK) * LANES,
            -(-keeps * tiles * room * units * 2 // dtype.itemsize),
        )
        kept, bits = buffers.parts[0], buffers.parts[1].view(np.uint16)
        kept[: (units + 1) * LANES] = 0  # read in place of steps before the first
        chance = np.zeros(2, np.uint32)
        if dropout:
            chance[:] = min(round((1 - dropout) * 2**32), 2**32 - 1), int(torch.randint(2**32, ()))
        y = np.empty((batch, blocks[-1].after * units), dtype)
        work = batch * (steps * we.numel() + room * whole[0].numel())
        scale = 1 / (1 - dropout)
        share(
            forward, tiles, work, plan, numbers, until, _array(we), _array(be), lay_out(_array(whole), False),
            _array(biases), taps, chance, scale, int(keeps), kept, bits, y,
        )  # fmt: skip
        if keeps:
            ctx.save_for_backward(x, whole, we, be)
            ctx.rest = plan, until, scale, buffers, kept, bits, 2 * work
        return torch.from_numpy(y.reshape(batch, -1, units))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> Any:
        x, whole, we, be = ctx.saved_tensors
        plan, until, scale, _, kept, bits, work = ctx.rest
        (batch, steps, inputs), (depth, units, _, taps) = x.shape, whole.shape
        tiles, dtype, high, embeds = len(until) // LANES, kept.dtype, -(-units // SIDE) * SIDE, len(we) > 0
        parts = min(PARTIAL_SUMS, max(min(tiles, 2), tiles // TILES)) if work > memory.WORTH_SHARING else 1
        dx = np.empty((batch if ctx.needs_input_grad[0] else 0, steps, inputs), dtype)
        dw = np.zeros((parts, depth, taps, high, high), dtype)
        dwe = np.zeros((parts * embeds, high, -(-inputs // SIDE) * SIDE), dtype)
        db, dbe = (np.zeros((parts, count, units * LANES), dtype) for count in (depth, 1))
        share(
            backward, parts, work, tiles, plan, _array(x).reshape(batch, -1), until, _array(we), _array(be),
            lay_out(_array(whole), True), taps, scale, kept, bits, _array(dy).reshape(batch, -1),
            dx.reshape(len(dx), steps * inputs), dw, db, dwe, dbe,
        )  # fmt: skip
        slopes = [np.empty(shape, dtype) for shape in (whole.shape, (depth, units), we.shape, be.shape)]
        collect(dw, db, dwe, dbe, *slopes)
        of_weights, of_biases, *of_embedding = map(torch.from_numpy, slopes)
        return torch.from_numpy(dx) if len(dx) else None, None, None, None, None, *of_embedding, *of_weights, *of_biases


@inlined
def row_step(units: int) -> int:
    """Return how many rows lie from step to step: odd ones where all steps would share few lines of a cache."""
    return units + (units % 32 == 0)


def _array(tensor: Tensor) -> Any:
    return tensor.detach().contiguous().numpy()


@kernel
def lay_out(weights: Any, back: bool) -> Any:
    """Lay weights (D, U, U, k) out as packed matrices (D, U / BLOCK, kU, BLOCK); transposed for the way back."""
    depth, units, _, taps = weights.shape
    laid = np.zeros((depth, -(-units // BLOCK), taps * units, BLOCK), weights.dtype)
    for block in range(depth):
        for row in range(units):
            for column in range(units):
                one, other = (column, row) if back else (row, column)
                for tap in range(taps):
                    laid[block, row // BLOCK, tap * units + column, row % BLOCK] = weights[block, one, other, tap]
    return laid


@kernel
def collect(dw: Any, db: Any, dwe: Any, dbe: Any, weights: Any, biases: Any, we: Any, be: Any) -> None:
    """Sum partial gradients of weights and biases, and write them in the order of torch."""
    for block in range(dw.shape[1]):
        for tap in range(dw.shape[2]):
            join(dw[:, block, tap], 0, weights[block, :, :, tap])
        biases[block] = totals(db[:, block])
    if len(we):
        join(dwe, 0, we)
        be[:] = totals(dbe[:, 0])


@kernel
def forward(
    first: int, last: int, plan: Any, x: Any, lengths: Any, we: Any, be: Any, weights: Any, biases: Any, taps: int,
    chance: Any, scale: float, keeps: int, kept: Any, bits: Any, y: Any,
) -> None:  # fmt: skip
    """Map tiles `first` to `last` of x, (B, T * I), to y, (B, T' * U)."""
    units, most, room, outputs = biases.shape[1], plan[0, 0], plan[:, 1].sum(), plan[-1, 1]
    wide, by_e, from_e = row_step(units), pack(we, 0), pad(be)
    raw, entry = rows(kept, x.shape[1]), rows(kept, (1 + most) * wide)
    states = kept if keeps else rows(kept, (1 + room) * wide)
    high = weights.shape[1] * BLOCK
    sums, at, random = rows(kept, 2 * high), np.zeros((2, taps), np.int64), np.zeros(LANES, np.uint32)
    for tile in range(first, last):
        end, top = load(lengths, tile), int(lengths[tile * LANES : (tile + 1) * LANES].max())
        read_input(x, tile, lengths, top, by_e, from_e, units, wide, raw, entry)
        source, low, done = entry, wide, keeps * tile * room  # steps in `states` and `bits` so far
        for depth in range(len(plan)):
            before, after = min(top, plan[depth, 0]), min(top, plan[depth, 1])
            begin, stride, dilation, ahead = plan[depth, 2], plan[depth, 3], plan[depth, 4], plan[depth, 5]
            start, to = pad(biases[depth]), (1 + done) * wide
            sow(random, chance[1], tile, depth)
            state = load(random, 0)
            for pair in range(0, after, 2):
                for i in range(2):
                    for tap in range(taps):
                        step = begin + stride * (pair + i) + ahead - dilation * (taps - 1 - tap)
                        at[i, tap] = low + step * wide if 0 <= step < before and pair + i < after else 0
                two_products(weights[depth], start, source, at, sums)
                for step in range(pair, min(pair + 2, after)):
                    of_step, own = (step - pair) * high, low + (begin + stride * step) * wide
                    for u in range(units):
                        total = load(sums, of_step + u)
                        passes = positive(total)
                        if chance[0]:
                            state = scrambled(state)
                            passes = passes & below(state, chance[0])
                            total = total * scale
                        if keeps:
                            bits[(done + step) * units + u] = passes
                        total = load(source, own + u) + where_bits(passes, total)
                        time = step if stride == 1 else 0  # without `lengths` where steps are left out
                        store(states, to + step * wide + u, within(time, end, total, zeros(sums)))
            source, low, done = states, to, done + plan[depth, 1]
        for step in range(min(top, outputs), outputs):
            states[(low + step * wide) * LANES : (low + step * wide + units) * LANES] = 0
        write_steps(states, low, units, wide, y, tile, lengths)


@kernel
def backward(
    first: int, last: int, tiles: int, plan: Any, x: Any, lengths: Any, we: Any, be: Any, weights: Any, taps: int,
    scale: float, kept: Any, bits: Any, dy: Any, dx: Any, dw: Any, db: Any, dwe: Any, dbe: Any,
) -> None:  # fmt: skip
    """Go back through partial sums `first` to `last` of the tiles: from dy to dx, and to sums of those of weights."""
    units, most, room, outputs = weights.shape[2] // taps, plan[0, 0], plan[:, 1].sum(), plan[-1, 1]
    wide, by_e, from_e = row_step(units), pack(we, 0), pad(be)
    raw, entry = rows(kept, x.shape[1]), rows(kept, (1 + most) * wide)
    given, passed, slopes = rows(kept, most * wide), rows(kept, most * wide), rows(kept, (1 + most) * wide)
    for part in range(first, last):
        for tile in range(part * tiles // len(db), (part + 1) * tiles // len(db)):
            top = int(lengths[tile * LANES : (tile + 1) * LANES].max())
            read_input(x, tile, lengths, top, by_e, from_e, units, wide, raw, entry)
            read_steps(dy, tile, lengths, min(top, outputs), units, wide, given, 0)
            done = (tile + 1) * room
            for depth in range(len(plan) - 1, -1, -1):
                done -= plan[depth, 1]
                source, low = (kept, (1 + done - plan[depth - 1, 1]) * wide) if depth else (entry, wide)
                into_weights(plan[depth], top, taps, scale, bits[done * units :], given, source, low, units, wide,
                             slopes, dw[part, depth], db[part, depth])  # fmt: skip
                if depth or len(dx) or len(dwe):
                    into_steps(plan[depth], top, taps, weights[depth], load(lengths, tile), slopes, given, units, wide,
                               passed)  # fmt: skip
                    given, passed = passed, given
            if len(dx):
                given[top * wide * LANES :] = 0
                write_steps(given, 0, units, wide, dx, tile, lengths)
            if len(dwe):
                for row in range(top * wide):
                    store(given, row, where_positive(load(entry, wide + row), load(given, row)))
                add_steps(given, 0, top, units, wide, dbe[part, 0])
                add_squares(given, 0, wide, raw, 0, x.shape[1] // most, top, dwe[part])


@helper
def into_weights(
    block: Any, top: int, taps: int, scale: float, bits: Any, given: Any, source: Any, low: int, units: int, wide: int,
    slopes: Any, dw: Any, db: Any,
) -> None:  # fmt: skip
    """Write gradients before the activations of a block, from row `wide` on, and add those of its weights and bias."""
    before, after, begin, stride = min(top, block[0]), min(top, block[1]), block[2], block[3]
    chunk = chunk_of(block[1], 3 * units)
    for start in range(0, after, chunk):
        stop = min(start + chunk, after)
        for step in range(start, stop):
            for u in range(units):
                slope = where_bits(bits[step * units + u], load(given, step * wide + u)) * scale
                store(slopes, (1 + step) * wide + u, slope)
        add_steps(slopes, 1 + start, stop - start, units, wide, db)
        for tap in range(taps):
            shift = begin + block[5] - block[4] * (taps - 1 - tap)  # from the first output to its tap
            one, other = max(start, -(shift // stride)), min(stop, (before - 1 - shift) // stride + 1)
            if one < other:  # outputs whose tap is inside
                add_squares(slopes, (1 + one) * wide, wide, source, low + (shift + stride * one) * wide, stride * wide,
                          other - one, dw[tap])  # fmt: skip


@maker
def into_steps(
    block: Any, top: int, taps: int, weight: Any, end: Any, slopes: Any, given: Any, units: int, wide: int, passed: Any
) -> None:
    """Write gradients of what a block reads: those of its outputs, and those that come through its taps."""
    before, after = min(top, block[0]), min(top, block[1])
    begin, stride, dilation, ahead = block[2], block[3], block[4], block[5]
    high = weight.shape[0] * BLOCK
    sums, none, at = rows(slopes, 2 * high), np.zeros(high, slopes.dtype), np.zeros((2, taps), np.int64)
    for odd in range(stride):  # steps of a pair are a stride apart, so that the same taps read both
        for pair in range(odd, before, 2 * stride):
            for i in range(2):
                for tap in range(taps):
                    far = pair + i * stride - begin - ahead + dilation * (taps - 1 - tap)
                    reads = far % stride == 0 and 0 <= far // stride < after and pair + i * stride < before
                    at[i, tap] = (1 + far // stride) * wide if reads else 0
            two_products(weight, none, slopes, at, sums)
            for step in range(pair, min(pair + 2 * stride, before), stride):
                of_step = high if step > pair else 0
                own = (step - begin) % stride == 0 and 0 <= (step - begin) // stride < after
                for u in range(units):
                    total = load(sums, of_step + u)
                    if own:
                        total = total + load(given, (step - begin) // stride * wide + u)
                    time = step if stride == 1 else 0
                    store(passed, step * wide + u, within(time, end, total, zeros(sums)))


@helper
def two_products(weight: Any, start: Any, source: Any, at: Any, target: Any) -> None:
    """Write start + W x of a packed W for two outputs; the taps of x begin at rows `at`, (2, k), of `source`.

    Row 0 stands for a tap outside: there are zeros.
    """
    high, wide, units = weight.shape[0] * BLOCK, weight.shape[1], weight.shape[1] // at.shape[1]
    for row in range(0, high, BLOCK):
        found = spread(start, row) + spread(start, row)
        for tap in range(at.shape[1]):
            one, other = at[0, tap], at[1, tap]
            if one == 0 and other == 0:
                continue
            place = row * wide + tap * units * BLOCK
            for unit in range(units):
                both = load(source, one + unit), load(source, other + unit)
                found = add_products(found, weight, place + unit * BLOCK, 1, both)
        store_block(target, row, 1, found[:BLOCK])
        store_block(target, high + row, 1, found[BLOCK:])


@maker
def read_input(
    x: Any, tile: int, lengths: Any, top: int, we: Any, be: Any, units: int, wide: int, raw: Any, entry: Any
) -> None:
    """Write what the first block reads to `entry`, from its second step on; with an embedding its inputs to `raw`."""
    if not len(we):
        read_steps(x, tile, lengths, top, units, wide, entry, 1)
        return
    end, inputs = load(lengths, tile), we.shape[1]
    gather(x, tile, raw, 0, lengths, 0, x.shape[1] // inputs)
    for step in range(top):
        row = (1 + step) * wide
        product(we, be, raw, step * inputs, entry[row * LANES :])
        for u in range(units):
            state = load(entry, row + u)
            store(entry, row + u, within(step, end, where_positive(state, state), zeros(entry)))


@maker
def read_steps(
    values: Any, tile: int, lengths: Any, steps: int, units: int, wide: int, target: Any, place: int
) -> None:
    """Read steps of values (B, T * U) into a buffer, from step `place` on; windows that have ended have zeros."""
    if wide == units:
        gather(values, tile, target, place * wide, lengths, 0, values.shape[1] // units)
    else:
        for step in range(steps):
            part = values[:, step * units : (step + 1) * units]
            gather(part, tile, target, (place + step) * wide, lengths, step, 1)


@maker
def write_steps(source: Any, low: int, units: int, wide: int, values: Any, tile: int, lengths: Any) -> None:
    """Write all steps from row `low` on to a tile of values (B, T * U)."""
    if wide == units:
        scatter(source, low, values, tile, lengths, 0)
        return
    for step in range(values.shape[1] // units):
        scatter(source, low + step * wide, values[:, step * units : (step + 1) * units], tile, lengths, 0)


@helper
def add_steps(source: Any, place: int, steps: int, units: int, wide: int, target: Any) -> None:
    """Add the sums over steps from `place` on to U rows."""
    for u in range(units):
        total = load(target, u)
        for step in range(place, place + steps):
            total = total + load(source, step * wide + u)
        store(target, u, total)


@helper
def sow(random: Any, seed: int, tile: int, depth: int) -> None:
    """Set random numbers that depend on the seed, the window and the block alone."""
    for lane in range(LANES):
        mixed = np.uint64(seed) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(tile * LANES + lane + 1)
        mixed = mixed * np.uint64(0xBF58476D1CE4E5B9) + np.uint64(depth)
        mixed = (mixed ^ (mixed >> np.uint64(31))) * np.uint64(0x94D049BB133111EB)
        random[lane] = (mixed >> np.uint64(32)) | np.uint64(1)  # zero would stay zero


@intrinsic  # type: ignore[untyped-decorator]
def positive(typing: Any, vector: Any) -> Any:
    """Return a bit for each lane that is positive or NaN."""

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.bitcast(builder.fcmp_unordered(">", values[0], ir.Constant(values[0].type, None)), _BITS)

    return types.uint16(vector), build


@intrinsic  # type: ignore[untyped-decorator]
def where_bits(typing: Any, bits: Any, vector: Any) -> Any:
    """Return the lanes of `vector` that have their bit, and zeros elsewhere."""

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        lanes = builder.bitcast(values[0], ir.VectorType(ir.IntType(1), LANES))
        return builder.select(lanes, values[1], ir.Constant(values[1].type, None))

    return vector(types.uint16, vector), build


@intrinsic  # type: ignore[untyped-decorator]
def below(typing: Any, numbers: Any, limit: Any) -> Any:
    """Return a bit for each lane of whole numbers that is below a limit."""

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kind = values[0].type
        one = builder.insert_element(ir.Constant(kind, ir.Undefined), values[1], ir.Constant(ir.IntType(32), 0))
        everywhere = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        limits = builder.shuffle_vector(one, ir.Constant(kind, ir.Undefined), everywhere)
        return builder.bitcast(builder.icmp_unsigned("<", values[0], limits), _BITS)

    return types.uint16(numbers, types.uint32), build


@intrinsic  # type: ignore[untyped-decorator]
def scrambled(typing: Any, numbers: Any) -> Any:
    """Return the next random numbers of each lane: xorshift [Marsaglia 2003, Journal of Statistical Software 8(14)]."""

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        (state,) = values
        for name, count in (("shl", 13), ("lshr", 17), ("shl", 5)):
            state = builder.xor(state, getattr(builder, name)(state, ir.Constant(state.type, [count] * LANES)))
        return state

    return numbers(numbers), build


_BITS = ir.IntType(LANES)
