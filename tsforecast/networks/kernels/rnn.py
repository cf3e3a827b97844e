"""RNN [Elman 1990] with tanh over all steps of a tile, forwards and back."""

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
from tsforecast.networks.kernels.vectors import kernel, load, rows, store, tanh, within, zeros

STATES, KEPT, SLOPES, SHIFT = 1, 0, 1, 0  # nothing is kept but the states


@kernel
def forward(
    first: int, last: int, x: Any, ends: Any, h0: Any, wi: Any, wh: Any, bi: Any, bh: Any, we: Any, be: Any,
    turned: bool, keeps: int, raw: Any, xs: Any, hs: Any, kept: Any, y: Any, hn: Any,
) -> None:  # fmt: skip
    steps, inputs, units, states = x.shape[1], wi.shape[1], h0.shape[2], hs[0]
    by_x, by_h, start = packed(wi), packed(wh), padded(bi + bh)
    by_e, from_e = packed(we), padded(be)
    embedded = rows(hs, height(by_e))
    told = rows(hs, height(by_x))
    for tile in range(first, last):
        end = load(ends, tile)
        now, place = tile * (keeps * steps + 1) * units, tile * (keeps * (steps - 1) + 1)
        gather(h0[0], tile, states, now, ends, -1)
        for step in range(steps):
            time = steps - 1 - step if turned else step
            read_in(x[:, time], tile, raw, xs, place, by_e, from_e, embedded, inputs, ends, time)
            product(by_x, start, xs, place * inputs, told, False)
            product(by_h, start, states, now, told, True)
            then = now + keeps * units
            for u in range(units):
                store(states, then + u, within(time, end, tanh(load(told, u)), load(states, now + u)))
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
    to_x, to_h = turned_and_packed(wi, 0), turned_and_packed(wh, 0)
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
                now, slope = (tile * (steps + 1) + step) * units, step % chunk * SLOPES * units
                if len(dy):
                    gather(dy[:, time], tile, given, 0, ends, time)
                for u in range(units):
                    passed, said = load(direct, u) + load(through, u), load(states, now + units + u)
                    by_told = (passed + load(given, u)) * (1.0 - said * said)
                    store(slopes, slope + u, within(time, end, by_told, nothing))
                    store(direct, u, within(time, end, nothing, passed))
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
