"""Products of matrices with tiles, and the way into a tile and out of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from tsforecast.networks.kernels.vectors import (
    LANES,
    kernel,
    load,
    part,
    splat,
    store,
    sums,
    turn_in,
    turn_out,
    where_positive,
    zeros,
)

BLOCK = 8  # rows of a product whose sums stay in registers
CHUNK = 65_536  # numbers that stay in the second cache until weights get their gradient
SIDE = 4  # of a square of sums over windows, LANES of them


@part
def packed(weight: Any) -> Any:
    """Return a matrix (R, K) as (R / BLOCK, K, BLOCK), the numbers that a product needs at once beside each other."""
    high, wide = weight.shape
    laid = np.zeros((-(-high // BLOCK), wide, BLOCK), weight.dtype)
    for r in range(high):
        for k in range(wide):
            laid[r // BLOCK, k, r % BLOCK] = weight[r, k]
    return laid


@part
def turned_and_packed(weight: Any, shift: int) -> Any:
    """Return the transpose of a matrix, packed, its columns moved on by `shift`, the last ones to the front."""
    high, wide = weight.shape
    laid = np.zeros((-(-wide // BLOCK), high, BLOCK), weight.dtype)
    for r in range(high):
        for k in range(wide):
            laid[k // BLOCK, (r + shift) % high, k % BLOCK] = weight[r, k]
    return laid


@part
def padded(bias: Any) -> Any:
    """Return a bias with zeros behind it, for a product with a packed matrix."""
    longer = np.zeros(-(-len(bias) // BLOCK) * BLOCK, bias.dtype)
    longer[: len(bias)] = bias
    return longer


@part
def product(weight: Any, start: Any, source: Any, s: int, target: Any, add: bool) -> None:
    """Write start + W x of a packed W to the rows of `target`, x being the rows of `source` from s on.

    With `add` the product is added to what is there instead.
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


@part
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


@part
def gather(values: Any, tile: int, target: Any, t: int, ends: Any, time: int) -> None:
    """Put the rows of a tile, values (B, K), into K rows of lanes from t on; zeros for windows that have ended."""
    width, row = values.shape[1], tile * LANES
    if width >= LANES and all_there(values, row, ends, time):
        for block in range(0, width, LANES):
            k = min(block, width - LANES)  # the last block may do some columns again
            turn_in(values, row, k, target, t + k)
        return
    for lane in range(LANES):
        there = row + lane < len(values) and time < ends[row + lane]
        for k in range(width):
            target[(t + k) * LANES + lane] = values[row + lane, k] if there else 0


@part
def scatter(source: Any, s: int, values: Any, tile: int, ends: Any, time: int) -> None:
    """Put K rows of lanes from s on back into the rows of a tile, values (B, K); zeros for windows that have ended."""
    width, row = values.shape[1], tile * LANES
    if width >= LANES and all_there(values, row, ends, time):
        for block in range(0, width, LANES):
            k = min(block, width - LANES)
            turn_out(source, s + k, values, row, k)
        return
    for lane in range(min(LANES, len(values) - row)):
        there = time < ends[row + lane]
        for k in range(width):
            values[row + lane, k] = source[(s + k) * LANES + lane] if there else 0


@part
def read_in(
    values: Any, tile: int, raw: Any, xs: Any, place: int, weight: Any, bias: Any, told: Any, inputs: int, ends: Any,
    time: int,
) -> None:  # fmt: skip
    """Put what a cell reads at a step into the `place`-th rows of xs: the rows of a tile, values (B, K).

    Where there is a packed weight, `raw` takes them, and xs what is positive in their embedding.
    """
    wide = values.shape[1]
    if not len(weight):
        gather(values, tile, xs, place * wide, ends, time)
        return
    gather(values, tile, raw, place * wide, ends, time)
    product(weight, bias, raw, place * wide, told, False)
    for i in range(inputs):
        store(xs, place * inputs + i, where_positive(load(told, i), load(told, i)))


@part
def add_embedding(
    of_x: Any, xs: Any, inputs: int, raw: Any, wide: int, slopes: Any, chunk: int, place: int, steps: int, step: int,
    dwe: Any, dbe: Any,
) -> None:  # fmt: skip
    """Add to the gradients of an embedding what the gradient of x says, once for each chunk of steps."""
    slope = step % chunk * inputs
    for i in range(inputs):
        store(slopes, slope + i, where_positive(load(xs, place * inputs + i), load(of_x, i)))
    if step % chunk == 0:
        count = min(chunk, steps - step)
        add_rows(slopes, inputs, count, dbe)
        add_outer(slopes, 0, inputs, raw, place * wide, wide, count, dwe)


@part
def all_there(values: Any, row: int, ends: Any, time: int) -> bool:
    """Tell whether a tile from `row` on is full, and none of its windows has ended."""
    return row + LANES <= len(values) and ends[row : row + LANES].min() > time


@part
def add_rows(source: Any, step: int, steps: int, target: Any) -> None:
    """Add the sums over steps of `step` rows of `source` to as many rows of `target`."""
    for row in range(step):
        total = load(target, row)
        for i in range(steps):
            total = total + load(source, i * step + row)
        store(target, row, total)


@part
def tiles_of(piece: int, tiles: int, pieces: int) -> Any:
    """Return the first tile of a piece, and of the next one."""
    return piece * tiles // pieces, (piece + 1) * tiles // pieces


@part
def chunk_of(steps: int, rows: int) -> int:
    """Return how many steps of so many rows stay in the nearer caches."""
    return max(1, min(steps, CHUNK // (rows * LANES)))


@part
def height(weight: Any) -> int:
    """Return how many rows a product with a packed matrix fills."""
    return int(weight.shape[0] * BLOCK)


@part
def add_gradients(
    slopes: Any, blocks: int, shift: int, units: int, chunk: int, xs: Any, inputs: int, states: Any, tile: int,
    steps: int, step: int, dwi: Any, dwh: Any, db: Any,
) -> None:  # fmt: skip
    """Add to the gradients of the weights what a chunk of steps says, once the slopes of its first `step` are there.

    The input moves the first blocks of slopes, the state those from `shift` on.
    """
    if step % chunk:
        return
    count = min(chunk, steps - step)
    add_rows(slopes, blocks * units, count, db)
    add_outer(slopes, 0, blocks * units, xs, (tile * steps + step) * inputs, inputs, count, dwi)
    add_outer(slopes, shift * units, blocks * units, states, (tile * (steps + 1) + step) * units, units, count, dwh)


@kernel
def collect(
    dwi: Any, dwh: Any, db: Any, dwe: Any, dbe: Any, shift: int, wi: Any, wh: Any, bi: Any, bh: Any, we: Any, be: Any
) -> None:
    """Write the gradients of weights and biases, summed over pieces, as torch has them."""
    join(dwi, -shift, wi)
    join(dwh, 0, wh)
    if len(we):
        join(dwe, 0, we)
        be[:] = totals(dbe)
    slopes = totals(db)
    for r in range(len(bi)):
        bi[r] = slopes[(r + shift) % len(bi)]
        bh[r] = slopes[r + len(slopes) - len(bh)]


@part
def totals(sums: Any) -> Any:
    """Add up pieces of rows of lanes, each row to one number."""
    whole = np.zeros(sums.shape[1] // LANES, sums.dtype)
    for piece in range(len(sums)):
        for r in range(len(whole)):
            whole[r] += sums[piece, r * LANES : (r + 1) * LANES].sum()
    return whole


@part
def join(sums: Any, shift: int, target: Any) -> None:
    """Add up pieces of a matrix in squares, and write it with its rows moved on by `shift`."""
    whole = sums[0]
    for piece in range(1, len(sums)):
        whole += sums[piece]
    high, wide = target.shape
    for r in range(high):
        row, first = target[(r + shift) % high], r % SIDE * SIDE
        for k in range(wide):
            row[k] = whole[r // SIDE, k // SIDE, first + k % SIDE]
