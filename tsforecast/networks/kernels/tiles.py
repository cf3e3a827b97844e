"""A tile on its way through a forecast network and back: layers and decoder; see `program`.

All works on one buffer, of which `Rows` names the first row of each part. A group of tiles keeps what gradients of
weights are summed over.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from tsforecast.networks.kernels.cells import GRU, RNN, _gru, _gru_back, _lstm, _lstm_back, _rnn, _rnn_back, tanh
from tsforecast.networks.kernels.matmul import add_gradient, add_rows, joint_product, product
from tsforecast.networks.kernels.vectors import (
    BLOCK,
    LANES,
    helper,
    load,
    load_transposed,
    splat,
    store,
    view,
    where_positive,
)


class Sizes(NamedTuple):
    """The sizes of a network and of its batches; letters are those of `tsforecast.networks.forecast`."""

    kind: int  # of the cell, as are the next four
    states: int
    kept: int
    slopes: int
    shift: int
    layers: int
    residual: int
    dropout: int
    steps: int  # T
    inputs: int
    units: int  # U
    static: int
    places: int  # segments of the horizon, M
    segment: int  # steps of one
    ahead: int  # future covariates of a segment
    horizon: int  # H
    targets: int  # that a row forecasts
    levels: int  # outputs of a step and target without the gate
    gates: int
    channels: int  # rows of a window that have an embedding; 1: none
    heads: int  # layers of the head
    loss: int
    chunk: int  # steps whose gradients are summed at once
    group: int  # tiles whose gradients are


class Rows(NamedTuple):
    """The first row of each part of the buffer of a thread."""

    none: int  # zeros
    raw: int  # inputs of all steps of a group
    xs: int  # inputs of cells, of all layers
    hs: int  # states
    memory: int
    kept: int
    slopes: int  # of what comes before the activations of cells
    by_embedding: int
    of_x: int
    of_h: int
    direct: int
    through: int
    given: int
    by_memory: int
    turned: int  # of `add_gradient`
    below: int  # slopes of the outputs of a lower layer
    masks: int  # of dropout
    state: int  # that the decoder reads
    facts: int  # static covariates
    raised: int  # what they add to the state
    by_raised: int
    mixed: int
    ahead: int
    active: int  # what the head reads
    hidden: int  # between two layers of it
    by_active: int
    by_hidden: int
    out: int  # outputs, then their slopes
    by_mixed: int
    by_state: int
    base: int  # what a level is added to
    way: int  # that a gate goes back
    truth: int
    size: int
    weight: int
    spread: int
    lanes: int  # gradients of vectors, summed over tiles


@helper
def fetch(values: Any, row: int, count: int, buffer: Any, to: int, otherwise: float) -> None:
    """Read LANES rows of values (n, K) from `row` on into K vectors from `to` on; only `count` rows exist."""
    width = values.shape[1]
    if count >= LANES and width >= LANES:
        for block in range(0, width, LANES):
            k = min(block, width - LANES)  # the last block may do some columns again
            load_transposed(values, row, k, buffer, to + k)
        return
    for lane in range(LANES):
        for k in range(width):
            buffer[(to + k) * LANES + lane] = values[row + lane, k] if lane < count else otherwise


@view
def matrix(packed: Any, begin: int, high: int, wide: int) -> Any:
    """Return a packed matrix, (high / BLOCK, wide, BLOCK)."""
    blocks = -(-high // BLOCK)
    return packed[begin : begin + blocks * wide * BLOCK].reshape(blocks, wide, BLOCK)


@view
def added(partial: Any, m: Any) -> Any:
    """Return the partial sums of a matrix."""
    return partial[m.sums : m.sums + m.down * m.along].reshape(m.down, m.along)


@view
def below(w: Any, row: int) -> Any:
    """Return a buffer from a row on."""
    return w[row * LANES :]


@helper
def fetch_all(z: Any, at: Any, i: int, begin: int, count: int, data: Any, w: Any) -> None:
    """Read all that belongs to the windows of a tile."""
    pitch = z.steps + (z.steps > 1)
    fetch(data.segments, begin, count, w, at.raw + i * pitch * z.inputs, 0.0)
    fetch(data.base, begin, count, w, at.base, 0.0)
    fetch(data.truth, begin, count, w, at.truth, float("nan"))
    fetch(data.size, begin, count, w, at.size, 1.0)
    fetch(data.weight, begin, count, w, at.weight, -1.0)
    if z.gates:
        fetch(data.way, begin, count, w, at.way, 0.0)
    if z.ahead:
        fetch(data.ahead, begin, count, w, at.ahead + i * z.places * z.ahead, 0.0)
    if z.static:
        fetch(data.facts, begin, count, w, at.facts + i * z.static, 0.0)
    if z.dropout:
        fetch(data.masks, begin, count, w, at.masks, 0.0)


@helper
def read(z: Any, at: Any, i: int, matrices: Any, vectors: Any, packed: Any, w: Any) -> None:
    """Read all steps of tile `i` of a group with all layers, and write the last state to `state`."""
    units, pitch = z.units, z.steps + (z.steps > 1)
    high = (z.slopes - z.shift) * units
    joined = z.kind != GRU
    of_x = below(w, at.of_x)
    of_h = of_x if joined else below(w, at.of_h)
    m, v = matrices[0], vectors[0]
    memory, nothing = below(w, at.memory - at.hs), matrix(packed, 0, high, 0)  # rows of the memory are those of states
    embedding, of_embedding = matrix(packed, m.packed, units, z.inputs), packed[v.packed :]
    for layer in range(z.layers):
        m, v = matrices[1 + 2 * layer], vectors[1 + 2 * layer]
        by_x, from_x = matrix(packed, m.packed, high, units), packed[v.packed :]
        m, v = matrices[2 + 2 * layer], vectors[2 + 2 * layer]
        by_h, from_h = matrix(packed, m.packed, high, units), packed[v.packed :]
        x = at.xs + (layer * z.group + i) * pitch * units
        now, keep = at.hs + (layer * z.group + i) * (z.steps + 1) * units, at.kept + layer * z.steps * z.kept * units
        for u in range(units):
            store(w, now + u, load(w, at.none))
            if z.states > 1:
                store(memory, now + u, load(w, at.none))
        for step in range(z.steps):
            if not layer:
                product(embedding, of_embedding, w, at.raw + (i * pitch + step) * z.inputs, of_x)
                for u in range(units):
                    store(w, x + u, where_positive(load(of_x, u), load(of_x, u)))
            if joined and step:
                joint_product(by_x, from_x, w, x, by_h, w, now, of_x)
            else:
                product(by_x, from_x, w, x, of_x)
            if not joined:  # the first state is zero
                product(by_h if step else nothing, from_h, w, now, of_h)
            then = now + units
            if z.kind == RNN:
                _rnn(of_x, w, now, then, step, None, units)
            elif z.kind == GRU:
                _gru(of_x, of_h, w, now, then, step, None, units, 1, w, keep)
            else:
                _lstm(of_x, w, memory, now, then, step, None, units, 1, w, keep)
            if layer < z.layers - 1 or step == z.steps - 1:
                to = x + z.group * pitch * units if layer < z.layers - 1 else at.state + i * units
                mask = at.masks + (layer * z.steps + (step if layer < z.layers - 1 else 0)) * units
                for u in range(units):
                    y = load(w, then + u)
                    if z.dropout:
                        y = y * load(w, mask + u)
                    if z.residual:
                        y = y + load(w, x + u)
                    store(w, to + u, y)
            now, x, keep = then, x + units, keep + z.kept * units


@helper
def read_back(
    z: Any, at: Any, i: int, layer: int, matrices: Any, vectors: Any, packed: Any, w: Any, partial: Any
) -> None:
    """Go back through one layer: from slopes of its outputs to those of its inputs, in `below`."""
    units, pitch, high = z.units, z.steps + (z.steps > 1), (z.slopes - z.shift) * z.units
    block, top = z.slopes * units, layer == z.layers - 1
    by_x, by_h = matrices[1 + 2 * layer], matrices[2 + 2 * layer]
    to_x, to_h = matrix(packed, by_x.across, units, high), matrix(packed, by_h.across, units, high)
    none, of_x, through = below(w, at.none), below(w, at.of_x), below(w, at.through)
    direct, by_memory = below(w, at.direct), below(w, at.by_memory)
    whole = z.chunk >= z.steps
    x = at.xs + (layer * z.group + i) * pitch * units
    states, keeps = at.hs + (layer * z.group + i) * (z.steps + 1) * units, at.kept + layer * z.steps * z.kept * units
    memory = below(w, at.memory - at.hs)
    slopes, embedded = at.slopes, at.by_embedding
    if whole:
        slopes, embedded = at.slopes + (layer * z.group + i) * pitch * block, at.by_embedding + i * pitch * units
    for u in range(units):
        store(direct, u, load(w, at.none))
        store(through, u, load(w, at.none))
        store(by_memory, u, load(w, at.none))
    for step in range(z.steps - 1, -1, -1):
        now, keep, place = states + step * units, keeps + step * z.kept * units, step % z.chunk
        slope = slopes + place * block
        last = step == z.steps - 1
        out = (at.by_state if last else at.none) if top else at.below + step * units
        given = out
        if z.dropout and (last or not top):
            mask, given = at.masks + (layer * z.steps + (0 if top else step)) * units, at.given
            for u in range(units):
                store(w, given + u, load(w, out + u) * load(w, mask + u))
        given_ = below(w, given)
        if z.kind == RNN:
            _rnn_back(w, now, direct, through, given_, w, slope, step, None, units)
        elif z.kind == GRU:
            _gru_back(w, now, w, keep, direct, through, given_, w, slope, step, None, units)
        else:
            _lstm_back(memory, by_memory, now, w, keep, direct, through, given_, w, slope, step, None, units)
        if step:
            product(to_h, none, w, slope + z.shift * units, through)
        product(to_x, none, w, slope, of_x)
        for u in range(units):
            back = load(of_x, u)
            if z.residual:
                back = back + load(w, out + u)
            if layer:
                store(w, at.below + step * units + u, back)
            else:
                store(w, embedded + place * units + u, where_positive(load(w, x + step * units + u), back))
        if not whole and place == 0:
            count = min(z.chunk, z.steps - step)
            add_layer(z, at, layer, step * units, step * z.inputs, step * units, count, matrices, vectors, w, partial)


@helper
def add_layer(
    z: Any, at: Any, layer: int, x: int, raw: int, state: int, count: int, matrices: Any, vectors: Any, w: Any,
    partial: Any,
) -> None:  # fmt: skip
    """Add gradients of the weights of a layer, over `count` steps, to partial sums."""
    turned = below(w, at.turned)
    units, block, pitch = z.units, z.slopes * z.units, z.steps + (z.steps > 1)
    slopes = at.slopes + (layer * z.group * pitch * block if z.chunk >= z.steps else 0)
    lanes = at.lanes - vectors[0].sums
    add_rows(below(w, slopes), block, count, below(w, lanes + vectors[1 + 2 * layer].sums))
    target = added(partial, matrices[1 + 2 * layer])
    add_gradient(w, slopes, block, w, at.xs + layer * z.group * pitch * units + x, units, count, target, turned)
    if z.steps > 1:
        target = added(partial, matrices[2 + 2 * layer])
        begin = at.hs + layer * z.group * (z.steps + 1) * units + state
        add_gradient(w, slopes + z.shift * units, block, w, begin, units, count, target, turned)
    if not layer:
        add_rows(below(w, at.by_embedding), units, count, below(w, lanes + vectors[0].sums))
        target = added(partial, matrices[0])
        add_gradient(w, at.by_embedding, units, w, at.raw + raw, z.inputs, count, target, turned)


@helper
def decode(
    z: Any, at: Any, i: int, row: int, first: int, matrices: Any, vectors: Any, weights: Any, packed: Any, w: Any
) -> None:
    """Write the outputs of tile `i` of a group, whose first row of the batch is `row`."""
    units, places, width = z.units, z.places, z.segment * z.targets * (z.levels + z.gates)
    state = at.state + i * units
    if z.static:
        m, v = matrices[first], vectors[first]
        product(
            matrix(packed, m.packed, units, z.static),
            packed[v.packed :],
            w,
            at.facts + i * z.static,
            below(w, at.mixed),
        )
        for u in range(units):
            more = tanh(load(w, at.mixed + u))
            store(w, at.raised + u, more)
            store(w, state + u, load(w, state + u) + more)
    m, v = matrices[first + 1], vectors[first + 1]
    product(matrix(packed, m.packed, units, units), packed[v.packed :], w, state, below(w, at.mixed))
    if z.channels > 1:
        table = vectors[first + 3].begin
        for lane in range(LANES):
            own = table + (row + lane) % z.channels * units
            for u in range(units):
                w[(at.mixed + u) * LANES + lane] += weights[own + u]
    masks, table = at.masks + ((z.layers - 1) * z.steps + 1) * units, vectors[first + 2].begin
    for m_ in range(places):
        active = at.active + (i * places + m_) * units
        if z.ahead:
            m = matrices[first + 2]
            known = matrix(packed, m.packed, units, z.ahead)
            product(known, w[at.none * LANES :], w, at.ahead + (i * places + m_) * z.ahead, below(w, at.of_x))
        for u in range(units):
            sum_ = load(w, at.mixed + u) + splat(weights[table + m_ * units + u])
            if z.ahead:
                sum_ = sum_ + load(w, at.of_x + u)
            sum_ = where_positive(sum_, sum_)
            if z.dropout:
                sum_ = sum_ * load(w, masks + m_ * units + u)
            store(w, active + u, sum_)
        m, v = matrices[first + 3], vectors[first + 4]
        if z.heads == 2:
            hidden = at.hidden + (i * places + m_) * units
            product(matrix(packed, m.packed, units, units), packed[v.packed :], w, active, below(w, at.of_x))
            for u in range(units):
                sum_ = where_positive(load(w, at.of_x + u), load(w, at.of_x + u))
                if z.dropout:
                    sum_ = sum_ * load(w, masks + (places + m_) * units + u)
                store(w, hidden + u, sum_)
            active, m, v = hidden, matrices[first + 4], vectors[first + 5]
        out = at.out + (i * places + m_) * width  # rows beyond these are written again by the next place
        product(matrix(packed, m.packed, width, units), packed[v.packed :], w, active, below(w, out))


@helper
def decode_back(
    z: Any, at: Any, i: int, row: int, first: int, matrices: Any, vectors: Any, packed: Any, w: Any
) -> None:
    """Go back from slopes of the outputs of tile `i` to those of the last state, in `by_state`, which it writes."""
    units, places, width = z.units, z.places, z.segment * z.targets * (z.levels + z.gates)
    masks, lanes = at.masks + ((z.layers - 1) * z.steps + 1) * units, at.lanes - vectors[0].sums
    total = at.by_mixed + i * units
    for u in range(units):
        store(w, total + u, load(w, at.none))
    to_place = lanes + vectors[first + 2].sums
    for m_ in range(places):
        active = at.active + (i * places + m_) * units
        m = matrices[first + 2 + z.heads]
        product(
            matrix(packed, m.across, units, width),
            w[at.none * LANES :],
            w,
            at.out + (i * places + m_) * width,
            below(w, at.of_x),
        )
        if z.heads == 2:
            hidden, slopes = at.hidden + (i * places + m_) * units, at.by_hidden + (i * places + m_) * units
            for u in range(units):
                slope = load(w, at.of_x + u)
                if z.dropout:
                    slope = slope * load(w, masks + (places + m_) * units + u)
                store(w, slopes + u, where_positive(load(w, hidden + u), slope))
            m = matrices[first + 3]
            product(matrix(packed, m.across, units, units), w[at.none * LANES :], w, slopes, below(w, at.of_x))
        for u in range(units):
            slope = load(w, at.of_x + u)
            if z.dropout:
                slope = slope * load(w, masks + m_ * units + u)
            slope = where_positive(load(w, active + u), slope)
            store(w, total + u, load(w, total + u) + slope)
            store(w, to_place + m_ * units + u, load(w, to_place + m_ * units + u) + slope)
            if z.ahead:
                store(w, at.by_active + (i * places + m_) * units + u, slope)
    if z.channels > 1:
        to_channel = lanes + vectors[first + 3].sums
        for lane in range(LANES):
            own = to_channel + (row + lane) % z.channels * units
            for u in range(units):
                w[(own + u) * LANES + lane] += w[(total + u) * LANES + lane]
    m = matrices[first + 1]
    product(matrix(packed, m.across, units, units), w[at.none * LANES :], w, total, below(w, at.by_state))
    if z.static:
        for u in range(units):
            more = load(w, at.raised + u)
            store(w, at.by_raised + i * units + u, load(w, at.by_state + u) * (1.0 - more * more))


@helper
def add_decoder(z: Any, at: Any, tiles: int, first: int, matrices: Any, vectors: Any, w: Any, partial: Any) -> None:
    """Add the gradients of a group of tiles to partial sums."""
    turned = below(w, at.turned)
    units, places, width = z.units, z.places, z.segment * z.targets * (z.levels + z.gates)
    lanes = at.lanes - vectors[0].sums
    read = at.active if z.heads == 1 else at.hidden
    m = matrices[first + 2 + z.heads]
    add_gradient(w, at.out, width, w, read, units, tiles * places, added(partial, m), turned)
    add_rows(below(w, at.out), width, tiles * places, below(w, lanes + vectors[first + 3 + z.heads].sums))
    if z.heads == 2:
        target = added(partial, matrices[first + 3])
        add_gradient(w, at.by_hidden, units, w, at.active, units, tiles * places, target, turned)
        add_rows(below(w, at.by_hidden), units, tiles * places, below(w, lanes + vectors[first + 4].sums))
    target = added(partial, matrices[first + 1])
    add_gradient(w, at.by_mixed, units, w, at.state, units, tiles, target, turned)
    add_rows(below(w, at.by_mixed), units, tiles, below(w, lanes + vectors[first + 1].sums))
    if z.ahead:
        target = added(partial, matrices[first + 2])
        add_gradient(w, at.by_active, units, w, at.ahead, z.ahead, tiles * places, target, turned)
    if z.static:
        target = added(partial, matrices[first])
        add_gradient(w, at.by_raised, units, w, at.facts, z.static, tiles, target, turned)
        add_rows(below(w, at.by_raised), units, tiles, below(w, lanes + vectors[first].sums))
