"""GRU [Cho et al. 2014, arXiv 1406.1078] over all steps of a tile, forwards and back."""

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

STATES = 1
KEPT = 4  # blocks of U rows kept of a step: reset, update, new, and what the state said to new
SLOPES = 4  # blocks of gradients of a step: by new as the input moves it, reset, update, and new as the state moves it
SHIFT = 1  # blocks that the state does not move; weights have reset and update first


@kernel
def forward(
    first: int, last: int, x: Any, ends: Any, h0: Any, wi: Any, wh: Any, bi: Any, bh: Any, we: Any, be: Any,
    turned: bool, keeps: int, raw: Any, xs: Any, hs: Any, kept: Any, y: Any, hn: Any,
) -> None:  # fmt: skip
    steps, inputs, units, states = x.shape[1], wi.shape[1], h0.shape[2], hs[0]
    by_x, by_h, from_x, from_h = packed(wi), packed(wh), padded(bi), padded(bh)
    by_e, from_e = packed(we), padded(be)
    embedded = rows(hs, height(by_e))
    of_x, of_h = rows(hs, height(by_x)), rows(hs, height(by_h))
    for tile in range(first, last):
        end = load(ends, tile)
        now, place = tile * (keeps * steps + 1) * units, tile * (keeps * (steps - 1) + 1)
        gather(h0[0], tile, states, now, ends, -1)
        for step in range(steps):
            time = steps - 1 - step if turned else step
            read_in(x[:, time], tile, raw, xs, place, by_e, from_e, embedded, inputs, ends, time)
            product(by_x, from_x, xs, place * inputs, of_x, False)
            product(by_h, from_h, states, now, of_h, False)
            then, keep = now + keeps * units, (tile * steps + step) * KEPT * units
            for u in range(units):
                reset = sigmoid(load(of_x, u) + load(of_h, u))
                update = sigmoid(load(of_x, units + u) + load(of_h, units + u))
                said = load(of_h, 2 * units + u)
                new = tanh(load(of_x, 2 * units + u) + reset * said)
                before = load(states, now + u)
                store(states, then + u, within(time, end, new + update * (before - new), before))
                if keeps:
                    store(kept, keep + u, reset)
                    store(kept, keep + units + u, update)
                    store(kept, keep + 2 * units + u, new)
                    store(kept, keep + 3 * units + u, said)
            now, place = then, place + keeps
            if len(y):
                scatter(states, now, y[:, time], tile, ends, time)
        scatter(states, now, hn[0], tile, ends, -1)


@kernel
def backward(
    first: int, last: int, tiles: int, ends: Any, wi: Any, wh: Any, turned: bool, raw: Any, xs: Any,
    hs: Any, kept: Any, dy: Any, dhn: Any, dx: Any, dh0: Any, dwi: Any, dwh: Any, db: Any, dwe: Any, dbe: Any,
) -> None:  # fmt: skip
    steps, wide, inputs, units, states = dx.shape[1], dx.shape[2], wi.shape[1], dhn.shape[2], hs[0]
    chunk = chunk_of(steps, SLOPES * units + units + inputs)
    bent = rows(hs, chunk * inputs)  # gradients of an embedding
    to_x, to_h = turned_and_packed(wi, SHIFT * units), turned_and_packed(wh, 0)
    slopes, none = rows(hs, chunk * SLOPES * units), np.zeros(max(height(to_x), height(to_h)), hs.dtype)
    direct, through = rows(hs, units), rows(hs, height(to_h))  # gradient of a state, and what comes through the weights
    given, of_x, nothing = rows(hs, units), rows(hs, height(to_x)), zeros(hs)
    for piece in range(first, last):
        for tile in range(*tiles_of(piece, tiles, len(db))):
            end = load(ends, tile)
            gather(dhn[0], tile, direct, 0, ends, -1)
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
                    reset, update = load(kept, keep + u), load(kept, keep + units + u)
                    new, said = load(kept, keep + 2 * units + u), load(kept, keep + 3 * units + u)
                    by_new = whole * (1.0 - update) * (1.0 - new * new)
                    by_reset = by_new * said * reset * (1.0 - reset)
                    by_update = whole * (load(states, now + u) - new) * update * (1.0 - update)
                    store(slopes, slope + u, within(time, end, by_new, nothing))
                    store(slopes, slope + units + u, within(time, end, by_reset, nothing))
                    store(slopes, slope + 2 * units + u, within(time, end, by_update, nothing))
                    store(slopes, slope + 3 * units + u, within(time, end, by_new * reset, nothing))
                    store(direct, u, within(time, end, whole * update, passed))
                product(to_h, none, slopes, slope + units, through, False)
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
