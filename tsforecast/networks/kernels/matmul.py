"""Products of matrices with tiles, gradients of their weights, and the way into a tile and out of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from tsforecast.networks.kernels.vectors import (
    LANES,
    helper,
    kernel,
    load,
    load_transposed,
    splat,
    store,
    store_transposed,
    sums,
    where_positive,
    zeros,
)

BLOCK = 8  # rows of a product whose sums stay in registers
CHUNK = 65_536  # numbers that stay in the second cache until weights get their gradient
SIDE = 4  # of a square of LANES sums over windows


@helper
def pack(weight: Any, shift: int) -> Any:
    """Lay a matrix (R, K), its columns rotated by `shift`, out as (R / BLOCK, K, BLOCK).

    What a product needs at once is then contiguous.
    """
    high, wide = weight.shape
    laid = np.zeros((-(-high // BLOCK), wide, BLOCK), weight.dtype)
    for k in range(wide):
        column = (k + shift) % wide
        for r in range(high):
            laid[r // BLOCK, column, r % BLOCK] = weight[r, k]
    return laid


@helper
def pad(bias: Any) -> Any:
    """Pad a bias with zeros, for a product with a packed matrix."""
    longer = np.zeros(-(-len(bias) // BLOCK) * BLOCK, bias.dtype)
    longer[: len(bias)] = bias
    return longer


@helper
def product(weight: Any, start: Any, source: Any, s: int, target: Any, add: bool) -> None:
    """Write start + W x of a packed W to the rows of `target`; x are the rows of `source` from s on.

    With `add`, add the product to `target` instead.
    """
    for block in range(weight.shape[0]):
        row = BLOCK * block
        if add:
            a, b, c, d = load(target, row), load(target, row + 1), load(target, row + 2), load(target, row + 3)
            e, f, g, h = load(target, row + 4), load(target, row + 5), load(target, row + 6), load(target, row + 7)
        else:
            a, b, c, d = splat(start[row]), splat(start[row + 1]), splat(start[row + 2]), splat(start[row + 3])
            e, f, g, h = splat(start[row + 4]), splat(start[row + 5]), splat(start[row + 6]), splat(start[row + 7])
        for k in range(weight.shape[1]):
            x = load(source, s + k)
            a = a + splat(weight[block, k, 0]) * x
            b = b + splat(weight[block, k, 1]) * x
            c = c + splat(weight[block, k, 2]) * x
            d = d + splat(weight[block, k, 3]) * x
            e = e + splat(weight[block, k, 4]) * x
            f = f + splat(weight[block, k, 5]) * x
            g = g + splat(weight[block, k, 6]) * x
            h = h + splat(weight[block, k, 7]) * x
        store(target, row, a)
        store(target, row + 1, b)
        store(target, row + 2, c)
        store(target, row + 3, d)
        store(target, row + 4, e)
        store(target, row + 5, f)
        store(target, row + 6, g)
        store(target, row + 7, h)


@helper
def add_outer(left: Any, p: int, left_step: int, right: Any, q: int, right_step: int, steps: int, target: Any) -> None:
    """Add the sums over windows and steps of left x right to squares of a matrix, (P / SIDE, Q / SIDE, LANES).

    The first rows are p and q; those of a step begin `left_step` and `right_step` after those of the one before. Up to
    three rows beyond the last are read, for squares that reach over the edge.
    """
    zero = zeros(left)
    for i in range(target.shape[0]):
        for j in range(target.shape[1]):
            a0, a1, a2, a3, b0, b1, b2, b3 = zero, zero, zero, zero, zero, zero, zero, zero
            c0, c1, c2, c3, d0, d1, d2, d3 = zero, zero, zero, zero, zero, zero, zero, zero
            at, by = p + SIDE * i, q + SIDE * j
            for _ in range(steps):
                w, x, y, z = load(right, by), load(right, by + 1), load(right, by + 2), load(right, by + 3)
                a = load(left, at)
                a0, a1, a2, a3 = a0 + a * w, a1 + a * x, a2 + a * y, a3 + a * z
                b = load(left, at + 1)
                b0, b1, b2, b3 = b0 + b * w, b1 + b * x, b2 + b * y, b3 + b * z
                c = load(left, at + 2)
                c0, c1, c2, c3 = c0 + c * w, c1 + c * x, c2 + c * y, c3 + c * z
                d = load(left, at + 3)
                d0, d1, d2, d3 = d0 + d * w, d1 + d * x, d2 + d * y, d3 + d * z
                at, by = at + left_step, by + right_step
            square = sums((a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3))
            flat = target[i, j]
            store(flat, 0, load(flat, 0) + square)


@helper
def gather(values: Any, tile: int, target: Any, t: int, lengths: Any, time: int) -> None:
    """Read a tile of values (B, K) into K vectors from row t on; zeros for windows that have ended."""
    width, row = values.shape[1], tile * LANES
    if width >= LANES and is_full(values, row, lengths, time):
        for block in range(0, width, LANES):
            k = min(block, width - LANES)  # the last block may do some columns again
            load_transposed(values, row, k, target, t + k)
        return
    for lane in range(LANES):
        there = row + lane < len(values) and time < lengths[row + lane]
        for k in range(width):
            target[(t + k) * LANES + lane] = values[row + lane, k] if there else 0


@helper
def scatter(source: Any, s: int, values: Any, tile: int, lengths: Any, time: int) -> None:
    """Write K vectors from row s on to a tile of values (B, K); zeros for windows that have ended."""
    width, row = values.shape[1], tile * LANES
    if width >= LANES and is_full(values, row, lengths, time):
        for block in range(0, width, LANES):
            k = min(block, width - LANES)
            store_transposed(source, s + k, values, row, k)
        return
    for lane in range(min(LANES, len(values) - row)):
        there = time < lengths[row + lane]
        for k in range(width):
            values[row + lane, k] = source[(s + k) * LANES + lane] if there else 0


@helper
def load_input(
    values: Any, tile: int, raw: Any, xs: Any, place: int, weight: Any, bias: Any, embedded: Any, inputs: int,
    lengths: Any, time: int,
) -> None:  # fmt: skip
    """Read the input of a step, a tile of values (B, K), into the rows of step `place` in xs.

    With a packed weight they go to `raw`, and the ReLU of their embedding to xs.
    """
    wide = values.shape[1]
    if not len(weight):
        gather(values, tile, xs, place * wide, lengths, time)
        return
    gather(values, tile, raw, place * wide, lengths, time)
    product(weight, bias, raw, place * wide, embedded, False)
    for i in range(inputs):
        store(xs, place * inputs + i, where_positive(load(embedded, i), load(embedded, i)))


@helper
def is_full(values: Any, row: int, lengths: Any, time: int) -> bool:
    """Return whether a tile from `row` on is full, and none of its windows has ended."""
    return row + LANES <= len(values) and lengths[row : row + LANES].min() > time


@helper
def add_rows(source: Any, step: int, steps: int, target: Any) -> None:
    """Add the sums over steps of `step` rows of `source` to as many rows of `target`."""
    for row in range(step):
        total = load(target, row)
        for i in range(steps):
            total = total + load(source, i * step + row)
        store(target, row, total)


@helper
def chunk_of(steps: int, rows: int) -> int:
    """Return how many steps of so many rows stay in the nearer caches."""
    return max(1, min(steps, CHUNK // (rows * LANES)))


@helper
def padded_rows(weight: Any) -> int:
    """Return the number of rows that a product with a packed matrix writes."""
    return int(weight.shape[0] * BLOCK)


@kernel
def collect(
    dwi: Any, dwh: Any, db: Any, dwe: Any, dbe: Any, shift: int, wi: Any, wh: Any, bi: Any, bh: Any, we: Any, be: Any
) -> None:
    """Sum partial gradients of weights and biases, and write them in the order of torch."""
    join(dwi, -shift, wi)
    join(dwh, 0, wh)
    if len(we):
        join(dwe, 0, we)
        be[:] = totals(dbe)
    slopes = totals(db)
    for r in range(len(bi)):
        bi[r] = slopes[(r + shift) % len(bi)]
        bh[r] = slopes[r + len(slopes) - len(bh)]


@helper
def totals(sums: Any) -> Any:
    """Add up partial sums of vectors, each to one number."""
    whole = np.zeros(sums.shape[1] // LANES, sums.dtype)
    for part in range(len(sums)):
        for r in range(len(whole)):
            whole[r] += sums[part, r * LANES : (r + 1) * LANES].sum()
    return whole


@helper
def join(sums: Any, shift: int, target: Any) -> None:
    """Add up partial sums of a matrix in squares, and write it with its rows rotated by `shift`."""
    whole = sums[0]
    for part in range(1, len(sums)):
        whole += sums[part]
    high, wide = target.shape
    for r in range(high):
        row, first = target[(r + shift) % high], r % SIDE * SIDE
        for k in range(wide):
            row[k] = whole[r // SIDE, k // SIDE, first + k % SIDE]
