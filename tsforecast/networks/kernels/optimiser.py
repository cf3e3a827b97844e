"""Weights laid out for kernels, partial sums made gradients, the step of AdamW, Adam or SGD, and turns of threads.

Two tables describe the parameters of a network: its matrices, and its vectors (biases, and embeddings of places).
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from torch import Tensor, nn

from tsforecast.networks.kernels.cells import GRU
from tsforecast.networks.kernels.matmul import summed_shape
from tsforecast.networks.kernels.tiles import Sizes
from tsforecast.networks.kernels.vectors import BLOCK, LANES, helper, load, store, sums, zeros

ADAMW, ADAM, SGD = range(3)
LOOKS = 2_000  # at a count, a few microseconds, before a thread that waits lets another one have its core
YIELD = "sched_yield" if os.name == "posix" else "SwitchToThread"  # of the system

MATRIX = np.dtype(
    [
        ("begin", np.int64),  # among the weights of the network
        ("high", np.int64),
        ("wide", np.int64),
        ("packed", np.int64),  # where it lies ready for a product
        ("across", np.int64),  # where its transpose does, with columns that are rotated by `turn`
        ("turn", np.int64),
        ("sums", np.int64),  # where a matrix (down, along) of partial sums begins; its rows are rotated by `back`
        ("down", np.int64),
        ("along", np.int64),
        ("back", np.int64),
    ]
)
VECTOR = np.dtype(
    [
        ("bias", np.int64),  # 1: begins among the biases; 0: among the weights
        ("begin", np.int64),
        ("length", np.int64),
        ("packed", np.int64),  # where a product begins with it; -1: nowhere
        ("sums", np.int64),  # where its partial sums begin, of which the one in place `first + turn` comes first
        ("first", np.int64),
        ("turn", np.int64),
    ]
)


def tables(member: Any, z: Sizes, flat: Sequence[Tensor]) -> tuple[Any, Any, int, int]:
    """Return tables of matrices and vectors of one network, and the sizes of what is packed and of partial sums."""
    cells = [layer.cell for layer in member.encoder.layers]
    decoder, linear = member.decoder, [part for part in member.decoder.head.modules() if isinstance(part, nn.Linear)]
    layers = [
        member.embed[0],
        *itertools.repeat(None, 2 * len(cells)),
        member.from_static,
        decoder.state,
        decoder.ahead,
    ]
    layers += [*linear, None][:2]
    weights = [getattr(layer, "weight", None) for layer in layers]
    biases = [getattr(layer, "bias", None) for layer in layers]
    for n, cell in enumerate(cells):
        weights[1 + 2 * n : 3 + 2 * n] = [cell.weight_ih_l0, cell.weight_hh_l0]
        biases[1 + 2 * n : 3 + 2 * n] = [cell.bias_ih_l0, cell.bias_hh_l0]
    biases[-3:-2] = [decoder.place, decoder.channel]  # in place of one of the future covariates, which have none
    matrices, vectors, packed, sums = np.zeros(len(weights), MATRIX), np.zeros(len(biases), VECTOR), 0, 0

    def begin(parameter: Any, biased: bool) -> int:
        return int(parameter.data_ptr() - flat[biased].data_ptr()) // int(parameter.element_size())

    for n, weight in enumerate(weights):
        if weight is None:
            continue
        high, wide = weight.shape
        of_x = 1 <= n <= 2 * len(cells) and n % 2 == 1
        turn = z.shift * z.units if of_x else 0
        across = packed + _padded(high, BLOCK) * wide
        down, along = summed_shape(high, wide)
        matrices[n] = (begin(weight, False), high, wide, packed, across, turn, sums, down, along, (high - turn) % high)
        packed = _padded(across + _padded(wide, BLOCK) * high, LANES)
        sums = _padded(sums + down * along, LANES)
    for n, bias in enumerate(biases):
        length, first, turn, place = 0 if bias is None else bias.numel(), 0, 0, packed
        of_cell = 1 <= n <= 2 * len(cells)
        block = z.slopes * z.units
        if of_cell and n % 2 == 0:  # the second bias of a cell has sums in common with the first
            vectors[n] = vectors[n - 1]
            vectors[n]["begin"], vectors[n]["first"], vectors[n]["turn"] = begin(bias, True), block - length, 0
            if z.kind == GRU:
                vectors[n]["packed"], packed = packed, packed + _padded(length, LANES)
            continue
        turn = z.shift * z.units if of_cell else 0
        biased = bias is not None and bias.ndim == 1
        vectors[n] = (biased, 0 if bias is None else begin(bias, biased), length, place, sums, first, turn)
        packed += _padded(length, LANES)
        sums += _padded(block if of_cell else length, LANES)
    return matrices, vectors, packed + BLOCK * LANES, sums


def _padded(count: int, unit: int) -> int:
    return count + -count % unit


@helper
def lay_out(matrices: Any, vectors: Any, weights: Any, biases: Any, packed: Any) -> None:
    """Pack the matrices of a network for products, also transposed, and add up the biases that products begin with."""
    for n in range(len(matrices)):
        m = matrices[n]
        high, wide = m.high, m.wide
        numbers = weights[m.begin : m.begin + high * wide].reshape(high, wide)
        for block in range(-(-high // BLOCK)):
            first = block * BLOCK
            for k in range(wide):
                at = m.packed + (block * wide + k) * BLOCK
                line = packed[at : at + BLOCK]
                if first + BLOCK <= high:
                    for r in range(BLOCK):
                        line[r] = numbers[first + r, k]
                else:
                    for r in range(high - first):
                        line[r] = numbers[first + r, k]
        for block in range(-(-wide // BLOCK)):
            first = block * BLOCK
            for k in range(high):
                at = m.across + (block * high + (k + m.turn) % high) * BLOCK
                line = packed[at : at + BLOCK]
                if first + BLOCK <= wide:
                    for r in range(BLOCK):
                        line[r] = numbers[k, first + r]
                else:
                    for r in range(wide - first):
                        line[r] = numbers[k, first + r]
    for n in range(len(vectors)):
        v = vectors[n]
        if v.bias and v.packed >= 0:
            packed[v.packed : v.packed + v.length] = 0
    for n in range(len(vectors)):  # of a cell whose two products are added, both biases lie in one place
        v = vectors[n]
        if v.bias and v.packed >= 0:
            for r in range(v.length):
                packed[v.packed + r] += biases[v.begin + r]


@helper
def add_up(matrices: Any, vectors: Any, partial: Any, weights: Any, biases: Any, scale: float) -> float:
    """Add up partial sums (parts, size), in their order, to the gradients of weights and biases; return their norm."""
    whole, factor = partial[0], partial.dtype.type(scale)
    for row in range(len(whole) // LANES):
        total = load(whole, row)
        for part in range(1, len(partial)):
            total = total + load(partial[part], row)
        store(whole, row, total * factor)
    for n in range(len(matrices)):
        m = matrices[n]
        numbers = weights[m.begin : m.begin + m.high * m.wide].reshape(m.high, m.wide)
        added = whole[m.sums : m.sums + m.down * m.along].reshape(m.down, m.along)
        for r in range(m.high):
            row = numbers[(r + m.back) % m.high]
            for k in range(m.wide):
                row[k] = added[r, k]
    for n in range(len(vectors)):
        v = vectors[n]
        target = biases if v.bias else weights
        for r in range(v.length):
            target[v.begin + r] = whole[v.sums + v.first + (r + v.turn) % v.length]
    return math.sqrt(_squares(weights, whole) + _squares(biases, whole))


@helper
def _squares(numbers: Any, lanes: Any) -> float:
    """Return the sum of squares; writes to `lanes`."""
    rows = len(numbers) // LANES
    total = zeros(numbers)
    for row in range(rows):
        total = total + load(numbers, row) * load(numbers, row)
    store(lanes, 0, total)
    found = 0.0
    for lane in range(LANES):
        found += float(lanes[lane])
    for i in range(rows * LANES, len(numbers)):
        found += float(numbers[i]) * float(numbers[i])
    return found


@helper
def sum_lanes(lanes: Any, target: Any, begin: int, count: int) -> None:
    """Write the sum of the lanes of each of `count` rows, a multiple of LANES, to numbers from `begin` on."""
    for n in range(0, count, LANES):
        total = sums((
            load(lanes, n), load(lanes, n + 1), load(lanes, n + 2), load(lanes, n + 3),
            load(lanes, n + 4), load(lanes, n + 5), load(lanes, n + 6), load(lanes, n + 7),
            load(lanes, n + 8), load(lanes, n + 9), load(lanes, n + 10), load(lanes, n + 11),
            load(lanes, n + 12), load(lanes, n + 13), load(lanes, n + 14), load(lanes, n + 15),
        ))  # fmt: skip
        store(target, (begin + n) // LANES, total)


@helper
def move(
    kind: int, numbers: Any, slopes: Any, first: Any, second: Any, rate: float, decay: float, count: int, share: float,
    one: float, two: float, least: float,
) -> None:  # fmt: skip
    """Move numbers against their slopes, of which clipping leaves a `share`, in the `count`-th step; as torch does.

    `first` and `second` are Adam's means of slopes and of their squares, which forget by `one` and `two`, and the root
    of the latter has `least` added. SGD with momentum `one` has its direction as `first`.
    """
    number = numbers.dtype.type
    kept, pull, speed = number(share), number(decay), number(rate)
    if kind == SGD:
        stays = number(one)
        for i in range(len(numbers)):
            first[i] = stays * first[i] + (slopes[i] * kept + pull * numbers[i])
            numbers[i] -= speed * first[i]
        return
    pull = number(decay if kind == ADAM else 0.0)
    shrunk = number(1.0 - rate * decay if kind == ADAMW else 1.0)
    to_first, to_second, stays, tiny = number(1 - one), number(1 - two), number(two), number(least)
    step, root = number(rate / (1 - one**count)), number(1 / math.sqrt(1 - two**count))
    for i in range(len(numbers)):
        value = numbers[i]
        slope = slopes[i] * kept + pull * value
        mean = first[i] + (slope - first[i]) * to_first
        square = stays * second[i] + to_second * slope * slope
        first[i], second[i] = mean, square
        numbers[i] = value * shrunk - step * mean / (math.sqrt(square) * root + tiny)


@intrinsic  # type: ignore[untyped-decorator]
def take(typing: Any, counts: Any, place: Any) -> Any:
    """Return the count at the begin of a row, and add one to it, so that no two threads find the same."""

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        where = _count(context, builder, signature, values)
        return builder.atomic_rmw("add", where, ir.Constant(where.type.pointee, 1), "seq_cst")

    return types.int64(counts, types.intp), build


@intrinsic  # type: ignore[untyped-decorator]
def _look(typing: Any, counts: Any, place: Any) -> Any:
    """Return the count at the begin of a row; what was written before it was raised is seen from then on."""

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.load_atomic(_count(context, builder, signature, values), "seq_cst", 8)

    return types.int64(counts, types.intp), build


def _count(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    array = context.make_array(signature.args[0])(context, builder, values[0])
    (_, wide), step = cgutils.unpack_tuple(builder, array.shape), values[1]
    return builder.gep(array.data, [builder.mul(step, wide)])


@intrinsic  # type: ignore[untyped-decorator]
def _step_aside(typing: Any) -> Any:
    """Let another thread have the core."""

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kind = ir.FunctionType(ir.IntType(32), [])
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, YIELD), [])

    return types.int32(), build


@helper
def wait_for(counts: Any, place: int, least: int) -> None:
    """Wait until a count is `least`, or more."""
    looks = 0
    while _look(counts, place) < least:
        looks += 1
        if looks > LOOKS:
            _step_aside()
