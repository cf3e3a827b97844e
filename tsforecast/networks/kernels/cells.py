"""Kernels of the RNN, GRU and LSTM: all steps of a tile, forward and backward.

Each cell has functions of its own: numba caches what has a name, but neither closures nor functions with functions as
arguments, and these cost a step 5 %.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tsforecast.networks.kernels.matmul import (
    add_embedding,
    add_gradients,
    chunk_of,
    gather,
    load_input,
    pack,
    pack_transposed,
    pad,
    padded_rows,
    product,
    scatter,
    tiles_of,
)
from tsforecast.networks.kernels.vectors import inlined, kernel, load, rows, sigmoid, store, tanh, within, zeros


@dataclass(eq=False)
class Cell:
    """Kernels of one kind of cell, and the sizes of the buffers that they need.

    Attributes
    ----------
    forward, backward : kernels
    states : int
        Arrays of a state: two for the LSTM, whose memory comes second.
    kept : int
        Blocks of U rows that a step keeps for the way back.
    slopes : int
        Blocks of U rows of gradients with respect to what comes before the activations of a step.
    shift : int
        First block of slopes that belongs to the product with the state; in the weights of torch it comes first.
    """

    forward: Callable[..., None]
    backward: Callable[..., None]
    states: int
    kept: int
    slopes: int
    shift: int


@inlined
def _pass_back(
    to_x: Any, to_h: Any, none: Any, slopes: Any, blocks: int, shift: int, units: int, through: Any, of_x: Any,
    by_embedding: Any, chunk: int, tile: int, steps: int, step: int, time: int, lengths: Any, raw: Any, xs: Any,
    inputs: int, states: Any, dx: Any, dwi: Any, dwh: Any, db: Any, dwe: Any, dbe: Any, part: int,
) -> None:  # fmt: skip
    """Pass the slopes of a step on: to the state before it, to its input, and to the weights."""
    slope = step % chunk * blocks * units
    product(to_h, none, slopes, slope + shift * units, through, False)
    if len(dx) or len(dwe):
        product(to_x, none, slopes, slope, of_x, False)
    if len(dx):
        scatter(of_x, 0, dx[:, time], tile, lengths, time)
    if len(dwe):
        add_embedding(
            of_x, xs, inputs, raw, dx.shape[2], by_embedding, chunk, tile * steps + step, steps, step, dwe[part],
            dbe[part],
        )  # fmt: skip
    add_gradients(
        slopes, blocks, shift, units, chunk, xs, inputs, states, tile, steps, step, dwi[part], dwh[part], db[part]
    )


@kernel
def _rnn(
    first: int, last: int, x: Any, lengths: Any, h0: Any, wi: Any, wh: Any, bi: Any, bh: Any, we: Any, be: Any,
    reverse: bool, keeps: int, raw: Any, xs: Any, hs: Any, kept: Any, y: Any, hn: Any,
) -> None:  # fmt: skip
    """Elman (1990), with tanh; nothing is kept but the states."""
    steps, inputs, units, states = x.shape[1], wi.shape[1], h0.shape[2], hs[0]
    by_x, by_h, start = pack(wi), pack(wh), pad(bi + bh)
    by_e, from_e = pack(we), pad(be)
    embedded = rows(hs, padded_rows(by_e))
    sums = rows(hs, padded_rows(by_x))
    for tile in range(first, last):
        end = load(lengths, tile)
        now, row = tile * (keeps * steps + 1) * units, tile * (keeps * (steps - 1) + 1)
        gather(h0[0], tile, states, now, lengths, -1)
        for step in range(steps):
            time = steps - 1 - step if reverse else step
            load_input(x[:, time], tile, raw, xs, row, by_e, from_e, embedded, inputs, lengths, time)
            product(by_x, start, xs, row * inputs, sums, False)
            product(by_h, start, states, now, sums, True)
            then = now + keeps * units
            for u in range(units):
                store(states, then + u, within(time, end, tanh(load(sums, u)), load(states, now + u)))
            now, row = then, row + keeps
            if len(y):
                scatter(states, now, y[:, time], tile, lengths, time)
        scatter(states, now, hn[0], tile, lengths, -1)


@kernel
def _rnn_back(
    first: int, last: int, tiles: int, lengths: Any, wi: Any, wh: Any, reverse: bool, raw: Any, xs: Any,
    hs: Any, kept: Any, dy: Any, dhn: Any, dx: Any, dh0: Any, dwi: Any, dwh: Any, db: Any, dwe: Any, dbe: Any,
) -> None:  # fmt: skip
    """Slopes are those of the sum."""
    steps, inputs, units, states = dx.shape[1], wi.shape[1], dhn.shape[2], hs[0]
    chunk = chunk_of(steps, 2 * units + inputs)
    by_embedding = rows(hs, chunk * inputs)
    to_x, to_h = pack_transposed(wi, 0), pack_transposed(wh, 0)
    slopes, none = rows(hs, chunk * units), np.zeros(max(padded_rows(to_x), padded_rows(to_h)), hs.dtype)
    direct, through = rows(hs, units), rows(hs, padded_rows(to_h))  # gradients of a state: its own, through weights
    given, of_x, nothing = rows(hs, units), rows(hs, padded_rows(to_x)), zeros(hs)
    for part in range(first, last):
        for tile in range(*tiles_of(part, tiles, len(db))):
            end = load(lengths, tile)
            gather(dhn[0], tile, direct, 0, lengths, -1)
            through[:] = 0
            for step in range(steps - 1, -1, -1):
                time = steps - 1 - step if reverse else step
                now, slope = (tile * (steps + 1) + step) * units, step % chunk * units
                if len(dy):
                    gather(dy[:, time], tile, given, 0, lengths, time)
                for u in range(units):
                    passed, after = load(direct, u) + load(through, u), load(states, now + units + u)
                    by_sums = (passed + load(given, u)) * (1.0 - after * after)
                    store(slopes, slope + u, within(time, end, by_sums, nothing))
                    store(direct, u, within(time, end, nothing, passed))
                _pass_back(
                    to_x, to_h, none, slopes, 1, 0, units, through, of_x, by_embedding, chunk, tile, steps, step, time,
                    lengths, raw, xs, inputs, states, dx, dwi, dwh, db, dwe, dbe, part,
                )  # fmt: skip
            for u in range(units):
                store(direct, u, load(direct, u) + load(through, u))
            scatter(direct, 0, dh0[0], tile, lengths, -1)


@kernel
def _gru(
    first: int, last: int, x: Any, lengths: Any, h0: Any, wi: Any, wh: Any, bi: Any, bh: Any, we: Any, be: Any,
    reverse: bool, keeps: int, raw: Any, xs: Any, hs: Any, kept: Any, y: Any, hn: Any,
) -> None:  # fmt: skip
    """Cho et al. (2014, arXiv 1406.1078); kept are reset, update, candidate, and the product that reset scales."""
    steps, inputs, units, states = x.shape[1], wi.shape[1], h0.shape[2], hs[0]
    by_x, by_h, from_x, from_h = pack(wi), pack(wh), pad(bi), pad(bh)
    by_e, from_e = pack(we), pad(be)
    embedded = rows(hs, padded_rows(by_e))
    of_x, of_h = rows(hs, padded_rows(by_x)), rows(hs, padded_rows(by_h))
    for tile in range(first, last):
        end = load(lengths, tile)
        now, row = tile * (keeps * steps + 1) * units, tile * (keeps * (steps - 1) + 1)
        gather(h0[0], tile, states, now, lengths, -1)
        for step in range(steps):
            time = steps - 1 - step if reverse else step
            load_input(x[:, time], tile, raw, xs, row, by_e, from_e, embedded, inputs, lengths, time)
            product(by_x, from_x, xs, row * inputs, of_x, False)
            product(by_h, from_h, states, now, of_h, False)
            then, keep = now + keeps * units, (tile * steps + step) * 4 * units
            for u in range(units):
                reset = sigmoid(load(of_x, u) + load(of_h, u))
                update = sigmoid(load(of_x, units + u) + load(of_h, units + u))
                recurrent = load(of_h, 2 * units + u)
                new = tanh(load(of_x, 2 * units + u) + reset * recurrent)
                before = load(states, now + u)
                store(states, then + u, within(time, end, new + update * (before - new), before))
                if keeps:
                    store(kept, keep + u, reset)
                    store(kept, keep + units + u, update)
                    store(kept, keep + 2 * units + u, new)
                    store(kept, keep + 3 * units + u, recurrent)
            now, row = then, row + keeps
            if len(y):
                scatter(states, now, y[:, time], tile, lengths, time)
        scatter(states, now, hn[0], tile, lengths, -1)


@kernel
def _gru_back(
    first: int, last: int, tiles: int, lengths: Any, wi: Any, wh: Any, reverse: bool, raw: Any, xs: Any,
    hs: Any, kept: Any, dy: Any, dhn: Any, dx: Any, dh0: Any, dwi: Any, dwh: Any, db: Any, dwe: Any, dbe: Any,
) -> None:  # fmt: skip
    """Slopes: of the candidate by the input, of reset, of update, and of the candidate by the state."""
    steps, inputs, units, states = dx.shape[1], wi.shape[1], dhn.shape[2], hs[0]
    chunk = chunk_of(steps, 5 * units + inputs)
    by_embedding = rows(hs, chunk * inputs)
    to_x, to_h = pack_transposed(wi, units), pack_transposed(wh, 0)
    slopes, none = rows(hs, chunk * 4 * units), np.zeros(max(padded_rows(to_x), padded_rows(to_h)), hs.dtype)
    direct, through = rows(hs, units), rows(hs, padded_rows(to_h))  # gradients of a state: its own, through weights
    given, of_x, nothing = rows(hs, units), rows(hs, padded_rows(to_x)), zeros(hs)
    for part in range(first, last):
        for tile in range(*tiles_of(part, tiles, len(db))):
            end = load(lengths, tile)
            gather(dhn[0], tile, direct, 0, lengths, -1)
            through[:] = 0
            for step in range(steps - 1, -1, -1):
                time = steps - 1 - step if reverse else step
                now, keep = (tile * (steps + 1) + step) * units, (tile * steps + step) * 4 * units
                slope = step % chunk * 4 * units
                if len(dy):
                    gather(dy[:, time], tile, given, 0, lengths, time)
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
                _pass_back(
                    to_x, to_h, none, slopes, 4, 1, units, through, of_x, by_embedding, chunk, tile, steps, step, time,
                    lengths, raw, xs, inputs, states, dx, dwi, dwh, db, dwe, dbe, part,
                )  # fmt: skip
            for u in range(units):
                store(direct, u, load(direct, u) + load(through, u))
            scatter(direct, 0, dh0[0], tile, lengths, -1)


@kernel
def _lstm(
    first: int, last: int, x: Any, lengths: Any, h0: Any, wi: Any, wh: Any, bi: Any, bh: Any, we: Any, be: Any,
    reverse: bool, keeps: int, raw: Any, xs: Any, hs: Any, kept: Any, y: Any, hn: Any,
) -> None:  # fmt: skip
    """Hochreiter and Schmidhuber (1997); kept are input, forget, candidate and output, and the tanh of the memory."""
    steps, inputs, units, states, memory = x.shape[1], wi.shape[1], h0.shape[2], hs[0], hs[1]
    by_x, by_h, start = pack(wi), pack(wh), pad(bi + bh)
    by_e, from_e = pack(we), pad(be)
    embedded = rows(hs, padded_rows(by_e))
    gates = rows(hs, padded_rows(by_x))
    for tile in range(first, last):
        end = load(lengths, tile)
        now, row = tile * (keeps * steps + 1) * units, tile * (keeps * (steps - 1) + 1)
        gather(h0[0], tile, states, now, lengths, -1)
        gather(h0[1], tile, memory, now, lengths, -1)
        for step in range(steps):
            time = steps - 1 - step if reverse else step
            load_input(x[:, time], tile, raw, xs, row, by_e, from_e, embedded, inputs, lengths, time)
            product(by_x, start, xs, row * inputs, gates, False)
            product(by_h, start, states, now, gates, True)
            then, keep = now + keeps * units, (tile * steps + step) * 5 * units
            for u in range(units):
                enter, forget = sigmoid(load(gates, u)), sigmoid(load(gates, units + u))
                new, leave = tanh(load(gates, 2 * units + u)), sigmoid(load(gates, 3 * units + u))
                held = load(memory, now + u)
                after = forget * held + enter * new
                shown = tanh(after)
                store(memory, then + u, within(time, end, after, held))
                store(states, then + u, within(time, end, leave * shown, load(states, now + u)))
                if keeps:
                    store(kept, keep + u, enter)
                    store(kept, keep + units + u, forget)
                    store(kept, keep + 2 * units + u, new)
                    store(kept, keep + 3 * units + u, leave)
                    store(kept, keep + 4 * units + u, shown)
            now, row = then, row + keeps
            if len(y):
                scatter(states, now, y[:, time], tile, lengths, time)
        scatter(states, now, hn[0], tile, lengths, -1)
        scatter(memory, now, hn[1], tile, lengths, -1)


@kernel
def _lstm_back(
    first: int, last: int, tiles: int, lengths: Any, wi: Any, wh: Any, reverse: bool, raw: Any, xs: Any,
    hs: Any, kept: Any, dy: Any, dhn: Any, dx: Any, dh0: Any, dwi: Any, dwh: Any, db: Any, dwe: Any, dbe: Any,
) -> None:  # fmt: skip
    """Slopes: one block for each gate, in the order of torch."""
    steps, inputs, units, states, memory = dx.shape[1], wi.shape[1], dhn.shape[2], hs[0], hs[1]
    chunk = chunk_of(steps, 5 * units + inputs)
    by_embedding = rows(hs, chunk * inputs)
    to_x, to_h = pack_transposed(wi, 0), pack_transposed(wh, 0)
    slopes, none = rows(hs, chunk * 4 * units), np.zeros(max(padded_rows(to_x), padded_rows(to_h)), hs.dtype)
    direct, through = rows(hs, units), rows(hs, padded_rows(to_h))  # gradients of a state: its own, through weights
    by_memory = rows(hs, units)
    given, of_x, nothing = rows(hs, units), rows(hs, padded_rows(to_x)), zeros(hs)
    for part in range(first, last):
        for tile in range(*tiles_of(part, tiles, len(db))):
            end = load(lengths, tile)
            gather(dhn[0], tile, direct, 0, lengths, -1)
            gather(dhn[1], tile, by_memory, 0, lengths, -1)
            through[:] = 0
            for step in range(steps - 1, -1, -1):
                time = steps - 1 - step if reverse else step
                now, keep = (tile * (steps + 1) + step) * units, (tile * steps + step) * 5 * units
                slope = step % chunk * 4 * units
                if len(dy):
                    gather(dy[:, time], tile, given, 0, lengths, time)
                for u in range(units):
                    passed = load(direct, u) + load(through, u)
                    whole = passed + load(given, u)
                    enter, forget = load(kept, keep + u), load(kept, keep + units + u)
                    new, leave = load(kept, keep + 2 * units + u), load(kept, keep + 3 * units + u)
                    shown, held = load(kept, keep + 4 * units + u), load(by_memory, u)
                    by_after = held + whole * leave * (1.0 - shown * shown)
                    by_enter = by_after * new * enter * (1.0 - enter)
                    by_forget = by_after * load(memory, now + u) * forget * (1.0 - forget)
                    by_new = by_after * enter * (1.0 - new * new)
                    by_leave = whole * shown * leave * (1.0 - leave)
                    store(slopes, slope + u, within(time, end, by_enter, nothing))
                    store(slopes, slope + units + u, within(time, end, by_forget, nothing))
                    store(slopes, slope + 2 * units + u, within(time, end, by_new, nothing))
                    store(slopes, slope + 3 * units + u, within(time, end, by_leave, nothing))
                    store(direct, u, within(time, end, nothing, passed))
                    store(by_memory, u, within(time, end, by_after * forget, held))
                _pass_back(
                    to_x, to_h, none, slopes, 4, 0, units, through, of_x, by_embedding, chunk, tile, steps, step, time,
                    lengths, raw, xs, inputs, states, dx, dwi, dwh, db, dwe, dbe, part,
                )  # fmt: skip
            for u in range(units):
                store(direct, u, load(direct, u) + load(through, u))
            scatter(direct, 0, dh0[0], tile, lengths, -1)
            scatter(by_memory, 0, dh0[1], tile, lengths, -1)


CELLS = {
    "RNN_TANH": Cell(_rnn, _rnn_back, states=1, kept=0, slopes=1, shift=0),
    "GRU": Cell(_gru, _gru_back, states=1, kept=4, slopes=4, shift=1),
    "LSTM": Cell(_lstm, _lstm_back, states=2, kept=5, slopes=4, shift=0),
}
