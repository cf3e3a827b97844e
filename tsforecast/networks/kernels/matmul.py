"""Products of matrices with tiles, gradients of their weights, and the way into a tile and out of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from tsforecast.networks.kernels.vectors import (
    BLOCK as BLOCK,
)
from tsforecast.networks.kernels.vectors import (
    LANES,
    add_products,
    add_scaled,
    add_square,
    expect,
    helper,
    inlined,
    kernel,
    load,
    load_block,
    load_transposed,
    maker,
    splat,
    spread,
    store,
    store_block,
    store_transposed,
    sums,
    turn,
    within,
    zeros,
)

CHUNK = 65_536  # numbers that stay in the second cache until weights get their gradient
NEAR = 512  # rows that stay in the first one
FAR = 262_144  # numbers beyond which buffers are not in the second cache
DEEP = 256  # columns of a product at once, whose vectors stay there
SPAN = 64  # narrow steps that are read at once
PAIR = 2  # blocks of a product at once
NARROW = 8  # steps whose vectors are transposed at once
TURNED = 2 * NARROW * LANES  # rows of them
SIDE = 4  # of a square of LANES sums over windows


@maker
def pack(weight: Any, shift: int) -> Any:
    """Lay a matrix (R, K), its columns rotated by `shift`, out as (R / BLOCK, K, BLOCK).

    What a product needs at once is then contiguous.
    """
    high, wide = weight.shape
    laid = np.zeros((-(-high // BLOCK), wide, BLOCK), weight.dtype)
    for r in range(high):
        block, place = r // BLOCK, r % BLOCK
        for k in range(wide - shift):
            laid[block, k + shift, place] = weight[r, k]
        for k in range(wide - shift, wide):
            laid[block, k + shift - wide, place] = weight[r, k]
    return laid


@maker
def pack_across(weight: Any, shift: int) -> Any:
    """Lay the transpose of a matrix (K, R) out in the same way: its columns, rows of the matrix, are rotated."""
    wide, high = weight.shape
    laid = np.zeros((-(-high // BLOCK), wide, BLOCK), weight.dtype)
    whole = high // BLOCK
    for k in range(wide):
        column = (k + shift) % wide
        for block in range(whole):
            for place in range(BLOCK):
                laid[block, column, place] = weight[k, block * BLOCK + place]
        for r in range(whole * BLOCK, high):
            laid[whole, column, r % BLOCK] = weight[k, r]
    return laid


@maker
def pad(bias: Any) -> Any:
    """Pad a bias with zeros, for a product with a packed matrix."""
    longer = np.zeros(-(-len(bias) // BLOCK) * BLOCK, bias.dtype)
    longer[: len(bias)] = bias
    return longer


@inlined
def product(weight: Any, start: Any, source: Any, s: int, target: Any) -> None:
    """Write start + W x of a packed W to the rows of `target`; x are the rows of `source` from s on."""
    for block in range(0, len(weight), PAIR):
        product_blocks(block, weight, start, source, s, target)


@inlined
def product_blocks(block: int, weight: Any, start: Any, source: Any, s: int, target: Any) -> None:
    """Do the rows of two blocks of a product, or of the last one."""
    low = spread(start, BLOCK * block)
    if block + 1 < len(weight):
        low, high = _add_pair(block, weight, low, spread(start, BLOCK * block + BLOCK), source, s)
        store_block(target, BLOCK * block + BLOCK, 1, high)
    else:
        low = _add_block(block, weight, low, source, s)
    store_block(target, BLOCK * block, 1, low)


@inlined
def joint_product(by_x: Any, start: Any, xs: Any, x: int, by_h: Any, states: Any, now: int, target: Any) -> None:
    """Write start + V x + W h of packed V and W to the rows of `target`; rows of x and h begin at x and now."""
    for block in range(0, len(by_h), PAIR):
        joint_blocks(block, by_x, start, xs, x, by_h, states, now, target)


@inlined
def joint_blocks(
    block: int, by_x: Any, start: Any, xs: Any, x: int, by_h: Any, states: Any, now: int, target: Any
) -> None:
    """Do the rows of two blocks of a joint product, or of the last one."""
    low = spread(start, BLOCK * block)
    if block + 1 < len(by_h):
        low, high = _add_pair(block, by_x, low, spread(start, BLOCK * block + BLOCK), xs, x)
        low, high = _add_pair(block, by_h, low, high, states, now)
        store_block(target, BLOCK * block + BLOCK, 1, high)
    else:
        low = _add_block(block, by_h, _add_block(block, by_x, low, xs, x), states, now)
    store_block(target, BLOCK * block, 1, low)


@inlined
def _add_block(block: int, weight: Any, found: Any, source: Any, s: int) -> Any:
    """Add the rows of one block of W x."""
    wide = weight.shape[1]
    for k in range(wide):
        found = add_products(found, weight, (block * wide + k) * BLOCK, 1, (load(source, s + k),))
    return found


@inlined
def _add_pair(block: int, weight: Any, low: Any, high: Any, source: Any, s: int) -> Any:
    """Add the rows of two blocks of W x, of which one alone has too few sums to keep the processor busy."""
    wide = weight.shape[1]
    first, second = block * wide * BLOCK, (block + 1) * wide * BLOCK
    for k in range(wide):
        x = (load(source, s + k),)
        low = add_products(low, weight, first + k * BLOCK, 1, x)
        high = add_products(high, weight, second + k * BLOCK, 1, x)
    return low, high


@inlined
def expect_rows(buffer: Any, row: int, count: int) -> None:
    """Begin to fetch rows, while a block of a product is computed; those beyond the buffer need not exist."""
    for at in range(row, row + count):
        expect(buffer, at)


@helper
def deep_product(weight: Any, source: Any, s: int, target: Any) -> None:
    """Write W x of a packed W with many columns to the rows of `target`: few at once, whose vectors stay near."""
    wide = weight.shape[1]
    for row in range(weight.shape[0] * BLOCK):
        store(target, row, zeros(target))
    for first in range(0, wide, DEEP):
        for block in range(weight.shape[0]):
            found = load_block(target, BLOCK * block, 1)
            for k in range(first, min(first + DEEP, wide)):
                found = add_products(found, weight, (block * wide + k) * BLOCK, 1, (load(source, s + k),))
            store_block(target, BLOCK * block, 1, found)


@helper
def outer(left: Any, at: int, left_step: int, right: Any, by: int, right_step: int, steps: int) -> Any:
    """Return the sums over windows and steps of four rows x four rows, in the lanes of a vector."""
    zero = zeros(left)
    a0, a1, a2, a3, b0, b1, b2, b3 = zero, zero, zero, zero, zero, zero, zero, zero
    c0, c1, c2, c3, d0, d1, d2, d3 = zero, zero, zero, zero, zero, zero, zero, zero
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
    return sums((a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3))


def summed_shape(high: int, wide: int) -> tuple[int, int]:
    """Return the shape of sums of the gradients of a matrix (high, wide), in which all blocks are whole."""
    down, across = (LANES, 1) if wide == 1 else (BLOCK, SIDE if wide <= LANES else LANES)
    return -(-high // down) * down, -(-wide // across) * across


@helper
def add_gradient(
    left: Any, p: int, left_step: int, right: Any, q: int, right_step: int, steps: int, target: Any, turned: Any
) -> None:
    """Add the sums over windows and steps of left x right to a matrix, whose shape is a `summed_shape`.

    The first rows are p and q; those of a step begin `left_step` and `right_step` after those of the one before. Rows
    beyond the last are read, for blocks that reach over the edge. TURNED rows are written to `turned`.
    """
    if target.shape[1] == 1:
        add_column(left, p, left_step, right, q, right_step, steps, target)
    elif target.shape[1] <= LANES:
        near = max(1, NEAR // (target.shape[1] + SIDE))
        for step in range(0, steps, near):
            first, by = p + step * left_step, q + step * right_step
            add_squares(left, first, left_step, right, by, right_step, min(near, steps - step), target)
    else:
        near = -(-steps // -(-steps // NARROW))
        for step in range(0, steps, near):
            first, by = p + step * left_step, q + step * right_step
            add_across(left, first, left_step, right, by, right_step, min(near, steps - step), target, turned)


@helper
def add_across(
    left: Any, p: int, left_step: int, right: Any, q: int, right_step: int, steps: int, target: Any, turned: Any
) -> None:
    """Add gradients of a wide matrix: `right` is transposed, so that lanes are columns, over which nothing is summed.

    Two vectors of columns at once need ten numbers for sixteen products; one alone needs nine for eight.
    """
    across, deep, high = target.shape[1] // LANES, steps * LANES, target.shape[0] // BLOCK
    for column in range(0, across, 2):
        both = column + 1 < across
        for step in range(steps):
            row = q + step * right_step + column * LANES
            turn(right, row, turned, step * LANES)
            if both:
                turn(right, row + LANES, turned, deep + step * LANES)
        for block in range(high):
            at, row = block * BLOCK * across + column, p + block * BLOCK
            if both:
                _add_columns(left, row, left_step, steps, target, at, across, turned)
            else:
                _add_one_column(left, row, left_step, steps, target, at, across, turned)


@inlined
def _add_columns(
    left: Any, row: int, left_step: int, steps: int, target: Any, at: int, across: int, turned: Any
) -> None:
    """Add the gradients of BLOCK rows and two vectors of columns."""
    found, by, deep = load_block(target, at, across) + load_block(target, at + 1, across), 0, steps * LANES
    for step in range(steps):
        begin = (row + step * left_step) * LANES
        for lane in range(LANES):
            found = add_products(found, left, begin + lane, LANES, (load(turned, by), load(turned, by + deep)))
            by += 1
    store_block(target, at, across, found[:BLOCK])
    store_block(target, at + 1, across, found[BLOCK:])


@inlined
def _add_one_column(
    left: Any, row: int, left_step: int, steps: int, target: Any, at: int, across: int, turned: Any
) -> None:
    """Add the gradients of BLOCK rows and a vector of columns."""
    found, by = load_block(target, at, across), 0
    for step in range(steps):
        begin = (row + step * left_step) * LANES
        for lane in range(LANES):
            found = add_products(found, left, begin + lane, LANES, (load(turned, by),))
            by += 1
    store_block(target, at, across, found)


@helper
def add_squares(
    left: Any, p: int, left_step: int, right: Any, q: int, right_step: int, steps: int, target: Any
) -> None:
    """Add gradients of a narrow matrix, in squares whose LANES sums over windows are added up at the end."""
    for i in range(0, target.shape[0], SIDE):
        for j in range(0, target.shape[1], SIDE):
            add_square(target, i, j, outer(left, p + i, left_step, right, q + j, right_step, steps))


@helper
def add_column(left: Any, p: int, left_step: int, right: Any, q: int, right_step: int, steps: int, target: Any) -> None:
    """Add gradients of a single column."""
    zero = zeros(left)
    none = (zero, zero, zero, zero, zero, zero, zero, zero)
    for i in range(0, target.shape[0], LANES):
        low, high = none, none
        at = p + i
        for step in range(steps):
            x = load(right, q + step * right_step)
            low = add_scaled(low, load_block(left, at, 1), x)
            high = add_scaled(high, load_block(left, at + BLOCK, 1), x)
            at += left_step
        store(target, i // LANES, load(target, i // LANES) + sums(low + high))


@maker
def gather(values: Any, tile: int, target: Any, t: int, lengths: Any, time: int, steps: int = 1) -> None:
    """Read a tile of `steps` steps from `time` on, values (B, steps * K), into as many vectors from row t on.

    Windows that have ended have zeros.
    """
    width, row = values.shape[1], tile * LANES
    if width >= LANES and row + LANES <= len(values):
        for block in range(0, width, LANES):
            k = min(block, width - LANES)  # the last block may do some columns again
            load_transposed(values, row, k, target, t + k)
    else:
        for lane in range(LANES):
            there = row + lane < len(values)
            for k in range(width):
                target[(t + k) * LANES + lane] = values[row + lane, k] if there else 0
    if lengths[row : row + LANES].min() >= time + steps:
        return
    end, nothing, wide = load(lengths, tile), zeros(target), width // steps
    for k in range(width):
        store(target, t + k, within(time + k // wide, end, load(target, t + k), nothing))


@maker
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


@maker
def is_full(values: Any, row: int, lengths: Any, time: int) -> bool:
    """Return whether a tile from `row` on is full, and none of its windows has ended."""
    return row + LANES <= len(values) and lengths[row : row + LANES].min() > time


@helper
def add_rows(source: Any, step: int, steps: int, target: Any) -> None:
    """Add the sums over steps of `step` rows of `source` to as many rows of `target`."""
    one, whole = splat(source.dtype.type(1)), step // BLOCK * BLOCK
    for row in range(0, whole, BLOCK):
        totals = load_block(target, row, 1)
        for i in range(steps):
            totals = add_scaled(totals, load_block(source, i * step + row, 1), one)
        store_block(target, row, 1, totals)
    for row in range(whole, step):
        total = load(target, row)
        for i in range(steps):
            total = total + load(source, i * step + row)
        store(target, row, total)


@helper
def chunk_of(steps: int, rows: int) -> int:
    """Return how many steps of so many rows stay in the nearer caches."""
    return max(1, min(steps, CHUNK // (rows * LANES)))


@helper
def span_of(steps: int, wide: int, keeps: int) -> int:
    """Return how many steps are read at once: all that are kept, or some, where they are narrower than a tile."""
    if wide >= LANES:
        return 1
    return steps if keeps else min(steps, SPAN)


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


@maker
def totals(sums: Any) -> Any:
    """Add up partial sums of vectors, each to one number."""
    whole = np.zeros(sums.shape[1] // LANES, sums.dtype)
    for part in range(len(sums)):
        for r in range(len(whole)):
            whole[r] += sums[part, r * LANES : (r + 1) * LANES].sum()
    return whole


@helper
def join(sums: Any, shift: int, target: Any) -> None:
    """Add up partial sums of a matrix, and write it with its rows rotated by `shift`."""
    high, wide = target.shape
    for r in range(high):
        row = target[(r + shift) % high]
        for k in range(wide):
            row[k] = sums[0, r, k]
        for part in range(1, len(sums)):
            for k in range(wide):
                row[k] += sums[part, r, k]
