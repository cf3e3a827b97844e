"""Kernels of the RNN, GRU and LSTM: all steps of a tile, forward and backward.

What differs between cells is the pass over the units of a step. A branch for each step chooses it: numba caches neither
closures nor functions with functions as arguments, and these cost a step 5 %.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, overload

from tsforecast.networks.kernels.matmul import (
    BLOCK,
    DEEP,
    FAR,
    PAIR,
    TURNED,
    add_gradient,
    add_rows,
    chunk_of,
    deep_product,
    expect_rows,
    gather,
    joint_blocks,
    pack,
    pack_across,
    pad,
    padded_rows,
    product,
    product_blocks,
    scatter,
    span_of,
)
from tsforecast.networks.kernels.vectors import (
    LANES,
    clipped,
    inlined,
    kernel,
    load,
    rows,
    store,
    where_positive,
    within,
    zeros,
)

RNN, GRU, LSTM = range(3)

# tanh(x) = x P(x²) / Q(x²) up to a relative error of 2e-8 on [-9, 9], fitted by reweighted least squares; beyond that
# it is one to the last digit of a float32.
CLAMP = 9.0
OVER = (9.999999795e-01, 1.338102480e-01, 3.495587147e-03, 2.060906703e-05, 1.335464187e-08)
UNDER = (1.000000000e00, 4.671434039e-01, 2.587697841e-02, 3.285633251e-04, 7.776549944e-07)
# The logistic function is 1/2 + tanh(x / 2) / 2.
HALF_OVER = tuple(number / 4 ** (power + 1) for power, number in enumerate(OVER))
HALF_UNDER = tuple(number / 4**power for power, number in enumerate(UNDER))


class Cell(NamedTuple):
    """One kind of cell, and the sizes of the buffers that its kernels need."""

    kind: int
    states: int  # arrays of a state: two for the LSTM, whose memory comes second
    kept: int  # blocks of U rows that a step keeps for the way back
    slopes: int  # blocks of U rows of gradients with respect to what comes before the activations of a step
    shift: int  # first block of slopes that belongs to the product with the state; in torch's weights it comes first


CELLS = {
    "RNN_TANH": Cell(RNN, states=1, kept=0, slopes=1, shift=0),
    "GRU": Cell(GRU, states=1, kept=4, slopes=4, shift=1),
    "LSTM": Cell(LSTM, states=2, kept=5, slopes=4, shift=0),
}


@intrinsic  # type: ignore[untyped-decorator]
def _exact_exp(typing: Any, vector: Any) -> Any:
    """Return the exponential by the C library, one lane after the other."""

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kind = values[0].type
        name = f"llvm.exp.v{LANES}f{vector.scalar.bitwidth}"
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind]), name)
        return builder.call(function, values)

    return vector(vector), build


@inlined
def _fraction(x: Any, most: float, over: Any, under: Any) -> Any:
    """Return numerator and denominator of a rational function."""
    x = clipped(x, most)
    s = x * x
    above = (((over[4] * s + over[3]) * s + over[2]) * s + over[1]) * s + over[0]
    return x * above, (((under[4] * s + under[3]) * s + under[2]) * s + under[1]) * s + under[0]


def tanh(x: Any) -> Any:
    """Return the hyperbolic tangent of a vector, up to 4e-7 in float32 and to the last digits in float64."""
    raise NotImplementedError


@overload(tanh, strict=False, jit_options={"forceinline": True})  # type: ignore[untyped-decorator]
def _tanh(x: Any) -> Any:
    if x.scalar == types.float64:
        return lambda x: 1.0 - 2.0 / (_exact_exp(x * 2.0) + 1.0)

    def approximate(x: Any) -> Any:
        over, under = _fraction(x, CLAMP, OVER, UNDER)
        return over / under

    return approximate


def gates(x: Any, y: Any) -> Any:
    """Return the logistic function of two vectors, as exact as `tanh`; one division, which is slow, does for both."""
    raise NotImplementedError


@overload(gates, strict=False, jit_options={"forceinline": True})  # type: ignore[untyped-decorator]
def _gates(x: Any, y: Any) -> Any:
    if x.scalar == types.float64:
        return lambda x, y: (tanh(x * 0.5) * 0.5 + 0.5, tanh(y * 0.5) * 0.5 + 0.5)

    def approximate(x: Any, y: Any) -> Any:
        (a, b), (c, d) = _fraction(x, 2 * CLAMP, HALF_OVER, HALF_UNDER), _fraction(y, 2 * CLAMP, HALF_OVER, HALF_UNDER)
        part = 1.0 / (b * d)
        return a * (d * part) + 0.5, c * (b * part) + 0.5

    return approximate


def four_gates(x: Any, y: Any, z: Any, new: Any) -> Any:
    """Return the logistic function of three vectors, and the hyperbolic tangent of one; see `gates`."""
    raise NotImplementedError


@overload(four_gates, strict=False, jit_options={"forceinline": True})  # type: ignore[untyped-decorator]
def _four_gates(x: Any, y: Any, z: Any, new: Any) -> Any:
    if x.scalar == types.float64:
        return lambda x, y, z, new: (*gates(x, y), gates(z, z)[0], tanh(new))

    def approximate(x: Any, y: Any, z: Any, new: Any) -> Any:
        (a, b), (c, d) = _fraction(x, 2 * CLAMP, HALF_OVER, HALF_UNDER), _fraction(y, 2 * CLAMP, HALF_OVER, HALF_UNDER)
        (e, f), (g, h) = _fraction(z, 2 * CLAMP, HALF_OVER, HALF_UNDER), _fraction(new, CLAMP, OVER, UNDER)
        part = 1.0 / ((b * d) * (f * h))
        left, right = part * (f * h), part * (b * d)
        return a * (d * left) + 0.5, c * (b * left) + 0.5, e * (h * right) + 0.5, g * (f * right)

    return approximate


@kernel
def forward(
    first: int, last: int, cell: Any, x: Any, lengths: Any, wi: Any, wh: Any, bi: Any, bh: Any, we: Any, be: Any,
    reverse: bool, keeps: int, raw: Any, xs: Any, hs: Any, kept: Any, y: Any,
) -> None:  # fmt: skip
    """Read tiles `first` to `last`; write the states of all steps to y, (B, T, U), or of the last one, (B, 1, U)."""
    steps, wide, inputs, units, outputs = x.shape[1], x.shape[2], wi.shape[1], wh.shape[1], y.shape[1]
    states, memory = hs[0], hs[-1]
    by_x, by_h, by_e, from_e = pack(wi, 0), pack(wh, 0), pack(we, 0), pad(be)
    joined = cell.kind != GRU  # whose reset gate scales the product with the state alone
    from_x, from_h = pad(bi + bh) if joined else pad(bi), pad(bh)
    embedded, of_x = rows(hs, padded_rows(by_e)), rows(hs, padded_rows(by_x))
    of_h = of_x if joined else rows(hs, padded_rows(by_h))
    span, series = span_of(steps, wide, keeps), x.reshape(len(x), steps * wide)
    far, share = keeps and states.size + kept.size > FAR, -(-cell.kept * units // len(by_h))
    if not keeps:
        raw, xs = rows(hs, span * wide), rows(hs, span * inputs)
    source = raw if len(we) else xs
    for tile in range(first, last):
        end, now = load(lengths, tile), tile * (keeps * steps + 1) * units
        states[now * LANES : (now + units) * LANES] = 0
        memory[now * LANES : (now + units) * LANES] = 0
        for step in range(steps):
            time = steps - 1 - step if reverse else step
            begin = time // span * span
            place = tile * steps + time if keeps else time - begin
            if step == 0 or time == (min(begin + span, steps) - 1 if reverse else begin):
                count = min(span, steps - begin)
                part = series[:, begin * wide : (begin + count) * wide]
                gather(part, tile, source, (place - time + begin) * wide, lengths, begin, count)
            if len(we):
                product(by_e, from_e, raw, place * wide, embedded)
                for i in range(inputs):
                    store(xs, place * inputs + i, where_positive(load(embedded, i), load(embedded, i)))
            then, keep = now + keeps * units, (tile * steps + step) * cell.kept * units
            if not joined:
                product(by_x, from_x, xs, place * inputs, of_x)
            for block in range(0, len(by_h), PAIR):
                if far:
                    expect_rows(kept, keep + block * share, PAIR * share)
                if joined:
                    joint_blocks(block, by_x, from_x, xs, place * inputs, by_h, states, now, of_x)
                else:
                    product_blocks(block, by_h, from_h, states, now, of_h)
            if cell.kind == RNN:
                _rnn(of_x, states, now, then, time, end, units)
            elif cell.kind == GRU:
                _gru(of_x, of_h, states, now, then, time, end, units, keeps, kept, keep)
            else:
                _lstm(of_x, states, memory, now, then, time, end, units, keeps, kept, keep)
            now = then
            if step >= steps - outputs:
                slot = time % outputs  # y has a slot for each step, or a single one, for the step that is read last
                scatter(states, now, y[:, slot], tile, lengths, time)


@inlined
def _rnn(sums: Any, states: Any, now: int, then: int, time: int, end: Any, units: int) -> None:
    """Elman (1990), with tanh; nothing is kept but the states."""
    for u in range(units):
        store(states, then + u, within(time, end, tanh(load(sums, u)), load(states, now + u)))


@inlined
def _gru(
    of_x: Any, of_h: Any, states: Any, now: int, then: int, time: int, end: Any, units: int, keeps: int, kept: Any,
    keep: int,
) -> None:  # fmt: skip
    """Cho et al. (2014, arXiv 1406.1078); kept are reset, update, candidate, and the product that reset scales."""
    for u in range(units):  # of short passes the processor has more units under way
        reset, update = gates(load(of_x, u) + load(of_h, u), load(of_x, units + u) + load(of_h, units + u))
        store(of_x, u, reset)
        store(of_x, units + u, update)
        if keeps:
            store(kept, keep + u, reset)
            store(kept, keep + units + u, update)
    for u in range(units):
        recurrent = load(of_h, 2 * units + u)
        new = tanh(load(of_x, 2 * units + u) + load(of_x, u) * recurrent)
        before = load(states, now + u)
        store(states, then + u, within(time, end, new + load(of_x, units + u) * (before - new), before))
        if keeps:
            store(kept, keep + 2 * units + u, new)
            store(kept, keep + 3 * units + u, recurrent)


@inlined
def _lstm(
    sums: Any, states: Any, memory: Any, now: int, then: int, time: int, end: Any, units: int, keeps: int, kept: Any,
    keep: int,
) -> None:  # fmt: skip
    """Hochreiter and Schmidhuber (1997); kept are input, forget, candidate and output, and the tanh of the memory."""
    for u in range(units):  # as in `_gru`
        enter, forget, leave, new = four_gates(
            load(sums, u), load(sums, units + u), load(sums, 3 * units + u), load(sums, 2 * units + u)
        )
        held = load(memory, now + u)
        store(memory, then + u, within(time, end, forget * held + enter * new, held))
        store(sums, 3 * units + u, leave)
        if keeps:
            store(kept, keep + u, enter)
            store(kept, keep + units + u, forget)
            store(kept, keep + 2 * units + u, new)
            store(kept, keep + 3 * units + u, leave)
    for u in range(units):
        bounded = tanh(load(memory, then + u))
        store(states, then + u, within(time, end, load(sums, 3 * units + u) * bounded, load(states, now + u)))
        if keeps:
            store(kept, keep + 4 * units + u, bounded)


@kernel
def backward(
    first: int, last: int, cell: Any, tiles: int, lengths: Any, wi: Any, wh: Any, reverse: bool, raw: Any, xs: Any,
    hs: Any, kept: Any, dy: Any, dx: Any, dwi: Any, dwh: Any, db: Any, dwe: Any, dbe: Any,
) -> None:  # fmt: skip
    """Go back through partial sums `first` to `last` of the tiles: from dy to dx, and to sums of those of weights."""
    steps, wide, inputs, units, outputs = dx.shape[1], dx.shape[2], wi.shape[1], wh.shape[1], dy.shape[1]
    states, memory, blocks = hs[0], hs[-1], cell.slopes
    chunk = chunk_of(steps, (blocks + 1) * units + inputs)
    by_embedding = rows(hs, chunk * inputs)
    to_x, to_h = pack_across(wi, cell.shift * units), pack_across(wh, 0)
    slopes, none = rows(hs, chunk * blocks * units), np.zeros(max(padded_rows(to_x), padded_rows(to_h)), hs.dtype)
    direct, through = rows(hs, units), rows(hs, padded_rows(to_h))  # gradients of a state: its own, through weights
    given, by_memory, of_x = rows(hs, units), rows(hs, units), rows(hs, padded_rows(to_x))
    turned = rows(hs, TURNED)
    deep, far, share = to_h.shape[1] > DEEP, states.size + kept.size > FAR, cell.kept * BLOCK
    onward = -1 if reverse else 1  # from the input of a step to that of the next one
    for part in range(last - 1, first - 1, -1):
        dwi[part], dwh[part] = 0, 0
        if len(dwe):
            dwe[part] = 0
        # What was written last may still be in a cache.
        for tile in range((part + 1) * tiles // len(db) - 1, part * tiles // len(db) - 1, -1):
            end = load(lengths, tile)
            direct[:] = 0
            through[:] = 0
            by_memory[:] = 0
            for step in range(steps - 1, -1, -1):
                time = steps - 1 - step if reverse else step
                now, keep = (tile * (steps + 1) + step) * units, (tile * steps + step) * cell.kept * units
                slope = step % chunk * blocks * units
                if step >= steps - outputs:
                    slot = time % outputs  # as in `forward`
                    gather(dy[:, slot], tile, given, 0, lengths, time)
                else:
                    given[:] = 0
                if cell.kind == RNN:
                    _rnn_back(states, now, direct, through, given, slopes, slope, time, end, units)
                elif cell.kind == GRU:
                    _gru_back(states, now, kept, keep, direct, through, given, slopes, slope, time, end, units)
                else:
                    _lstm_back(
                        memory, by_memory, now, kept, keep, direct, through, given, slopes, slope, time, end, units
                    )
                if deep:
                    deep_product(to_h, slopes, slope + cell.shift * units, through)
                for block in range(0, 0 if deep else len(to_h), PAIR):
                    if far:  # what the step before has kept
                        expect_rows(kept, keep - cell.kept * units + block * share, PAIR * share)
                        expect_rows(states, now - units + block * BLOCK, PAIR * BLOCK)
                        if cell.states > 1:
                            expect_rows(memory, now - units + block * BLOCK, PAIR * BLOCK)
                    product_blocks(block, to_h, none, slopes, slope + cell.shift * units, through)
                if len(dx) or len(dwe):
                    product(to_x, none, slopes, slope, of_x)
                if len(dx):
                    scatter(of_x, 0, dx[:, time], tile, lengths, time)
                for i in range(inputs if len(dwe) else 0):
                    at = (tile * steps + time) * inputs + i
                    store(by_embedding, step % chunk * inputs + i, where_positive(load(xs, at), load(of_x, i)))
                if step % chunk:
                    continue
                # The first step of a chunk: sums over its steps go to the gradients of the weights.
                count, place, row = min(chunk, steps - step), tile * steps + time, blocks * units
                add_rows(slopes, row, count, db[part])
                add_gradient(slopes, 0, row, xs, place * inputs, onward * inputs, count, dwi[part], turned)
                add_gradient(slopes, cell.shift * units, row, states, now, units, count, dwh[part], turned)
                if len(dwe):
                    add_rows(by_embedding, inputs, count, dbe[part])
                    add_gradient(by_embedding, 0, inputs, raw, place * wide, onward * wide, count, dwe[part], turned)


@inlined
def _rnn_back(
    states: Any, now: int, direct: Any, through: Any, given: Any, slopes: Any, slope: int, time: int, end: Any,
    units: int,
) -> None:  # fmt: skip
    """Slopes are those of the sum."""
    nothing = zeros(slopes)
    for u in range(units):
        passed, after = load(direct, u) + load(through, u), load(states, now + units + u)
        by_sums = (passed + load(given, u)) * (1.0 - after * after)
        store(slopes, slope + u, within(time, end, by_sums, nothing))
        store(direct, u, within(time, end, nothing, passed))


@inlined
def _gru_back(
    states: Any, now: int, kept: Any, keep: int, direct: Any, through: Any, given: Any, slopes: Any, slope: int,
    time: int, end: Any, units: int,
) -> None:  # fmt: skip
    """Slopes: of the candidate by the input, of reset, of update, and of the candidate by the state."""
    nothing = zeros(slopes)
    for u in range(units):
        passed = load(direct, u) + load(through, u)
        whole = passed + load(given, u)
        reset, update = load(kept, keep + u), load(kept, keep + units + u)
        new, recurrent = load(kept, keep + 2 * units + u), load(kept, keep + 3 * units + u)
        by_new = whole * (1.0 - update) * (1.0 - new * new)
        by_reset = by_new * recurrent * reset * (1.0 - reset)
        by_update = whole * (load(states, now + u) - new) * update * (1.0 - update)
        store(slopes, slope + u, within(time, end, by_new, nothing))
        store(slopes, slope + units + u, within(time, end, by_reset, nothing))
        store(slopes, slope + 2 * units + u, within(time, end, by_update, nothing))
        store(slopes, slope + 3 * units + u, within(time, end, by_new * reset, nothing))
        store(direct, u, within(time, end, whole * update, passed))


@inlined
def _lstm_back(
    memory: Any, by_memory: Any, now: int, kept: Any, keep: int, direct: Any, through: Any, given: Any, slopes: Any,
    slope: int, time: int, end: Any, units: int,
) -> None:  # fmt: skip
    """Slopes: one block for each gate, in the order of torch."""
    nothing = zeros(slopes)
    for u in range(units):
        passed = load(direct, u) + load(through, u)
        whole = passed + load(given, u)
        enter, forget = load(kept, keep + u), load(kept, keep + units + u)
        new, leave = load(kept, keep + 2 * units + u), load(kept, keep + 3 * units + u)
        bounded, held = load(kept, keep + 4 * units + u), load(by_memory, u)
        by_after = held + whole * leave * (1.0 - bounded * bounded)
        by_enter = by_after * new * enter * (1.0 - enter)
        by_forget = by_after * load(memory, now + u) * forget * (1.0 - forget)
        by_new = by_after * enter * (1.0 - new * new)
        by_leave = whole * bounded * leave * (1.0 - leave)
        store(slopes, slope + u, within(time, end, by_enter, nothing))
        store(slopes, slope + units + u, within(time, end, by_forget, nothing))
        store(slopes, slope + 2 * units + u, within(time, end, by_new, nothing))
        store(slopes, slope + 3 * units + u, within(time, end, by_leave, nothing))
        store(direct, u, within(time, end, nothing, passed))
        store(by_memory, u, within(time, end, by_after * forget, held))
