"""LSTM [Hochreiter and Schmidhuber 1997] over all steps of a tile, forwards and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from tsforecast.networks.kernels.matmul import (
    add_embedding,
    add_gradients,
    chunk_of,
    gather,
    height,
    packed,
    padded,
    product,
    read_in,
    scatter,
    tiles_of,
    turned_and_packed,
)
from tsforecast.networks.kernels.vectors import kernel, load, rows, sigmoid, store, tanh, within, zeros

STATES = 2  # what it says, and its memory
KEPT = 5  # blocks of U rows kept of a step: input, forget, new and output gate, and the squashed memory
SLOPES, SHIFT = 4, 0  # blocks of gradients of a step, one by each gate


@kernel
def forward(
    first: int, last: int, x: Any, ends: Any, h0: Any, wi: Any, wh: Any, bi: Any, bh: Any, we: Any, be: Any,
    turned: bool, keeps: int, raw: Any, xs: Any, hs: Any, kept: Any, y: Any, hn: Any,
) -> None:  # fmt: skip
    steps, inputs, units, states, memory = x.shape[1], wi.shape[1], h0.shape[2], hs[0], hs[1]
    by_x, by_h, start = packed(wi), packed(wh), padded(bi + bh)
    by_e, from_e = packed(we), padded(be)
    embedded = rows(hs, height(by_e))
    told = rows(hs, height(by_x))
    for tile in range(first, last):
        end = load(ends, tile)
        now, place = tile * (keeps * steps + 1) * units, tile * (keeps * (steps - 1) + 1)
        gather(h0[0], tile, states, now, ends, -1)
        gather(h0[1], tile, memory, now, ends, -1)
        for step in range(steps):
            time = steps - 1 - step if turned else step
            read_in(x[:, time], tile, raw, xs, place, by_e, from_e, embedded, inputs, ends, time)
            product(by_x, start, xs, place * inputs, told, False)
            product(by_h, start, states, now, told, True)
            then, keep = now + keeps * units, (tile * steps + step) * KEPT * units
            for u in range(units):
                enter, forget = sigmoid(load(told, u)), sigmoid(load(told, units + u))
                new, leave = tanh(load(told, 2 * units + u)), sigmoid(load(told, 3 * units + u))
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
            now, place = then, place + keeps
            if len(y):
                scatter(states, now, y[:, time], tile, ends, time)
        scatter(states, now, hn[0], tile, ends, -1)
        scatter(memory, now, hn[1], tile, ends, -1)


@kernel
def backward(
    first: int, last: int, tiles: int, ends: Any, wi: Any, wh: Any, turned: bool, raw: Any, xs: Any,
    hs: Any, kept: Any, dy: Any, dhn: Any, dx: Any, dh0: Any, dwi: Any, dwh: Any, db: Any, dwe: Any, dbe: Any,
) -> None:  # fmt: skip
    steps, wide, inputs, units, states, memory = dx.shape[1], dx.shape[2], wi.shape[1], dhn.shape[2], hs[0], hs[1]
    chunk = chunk_of(steps, SLOPES * units + units + inputs)
    bent = rows(hs, chunk * inputs)  # gradients of an embedding
    to_x, to_h = turned_and_packed(wi, 0), turned_and_packed(wh, 0)
    slopes, none = rows(hs, chunk * SLOPES * units), np.zeros(max(height(to_x), height(to_h)), hs.dtype)
    direct, through = rows(hs, units), rows(hs, height(to_h))  # gradient of a state, and what comes through the weights
    by_memory = rows(hs, units)
    given, of_x, nothing = rows(hs, units), rows(hs, height(to_x)), zeros(hs)
    for piece in range(first, last):
        for tile in range(*tiles_of(piece, tiles, len(db))):
            end = load(ends, tile)
            gather(dhn[0], tile, direct, 0, ends, -1)
            gather(dhn[1], tile, by_memory, 0, ends, -1)
            through[:] = 0
            for step in range(steps - 1, -1, -1):
                time = steps - 1 - step if turned else step
                now, keep = (tile * (steps + 1) + step) * units, (tile * steps + step) * KEPT * units
                slope = step % chunk * SLOPES * units
                if len(dy):
                    gather(dy[:, time], tile, given, 0, ends, time)
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
                product(to_h, none, slopes, slope, through, False)
                if len(dx) or len(dwe):
                    product(to_x, none, slopes, slope, of_x, False)
                if len(dx):
                    scatter(of_x, 0, dx[:, time], tile, ends, time)
                if len(dwe):
                    add_embedding(
                        of_x, xs, inputs, raw, wide, bent, chunk, tile * steps + step, steps, step, dwe[piece],
                        dbe[piece],
                    )  # fmt: skip
                add_gradients(
                    slopes, SLOPES, SHIFT, units, chunk, xs, inputs, states, tile, steps, step, dwi[piece], dwh[piece],
                    db[piece],
                )  # fmt: skip
            for u in range(units):
                store(direct, u, load(direct, u) + load(through, u))
            scatter(direct, 0, dh0[0], tile, ends, -1)
            scatter(by_memory, 0, dh0[1], tile, ends, -1)
