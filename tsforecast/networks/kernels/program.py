"""Steps of training as one program: forward, loss, backward, clipping and optimiser, with nothing of torch between.

All that comes before the layers of a `ForecastNetwork`, and after them up to the loss, has nothing to learn. torch
prepares it for many batches at once, and a kernel goes through these step by step: it takes tiles of sixteen windows
(see `autograd`), reads and decodes each, goes back from its loss at once, while all is in the cache, and adds up what
the weights are moved by. Several networks of one shape train side by side, each on batches of its own. Tiles are summed
up in a number of parts that depends on sizes alone, so that numbers do not depend on the number of threads.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from tsforecast.data.windows import Windows
from tsforecast.networks.kernels import memory
from tsforecast.networks.kernels.cells import CELLS, Cell
from tsforecast.networks.kernels.likelihoods import NORMAL, judge
from tsforecast.networks.kernels.matmul import CHUNK, TURNED
from tsforecast.networks.kernels.optimiser import (
    ADAM,
    ADAMW,
    SGD,
    add_up,
    lay_out,
    move,
    sum_lanes,
    tables,
    take,
    wait_for,
)
from tsforecast.networks.kernels.tiles import (
    Rows,
    Sizes,
    add_decoder,
    add_layer,
    below,
    decode,
    decode_back,
    fetch_all,
    read,
    read_back,
)
from tsforecast.networks.kernels.vectors import LANES, SLACK, helper, kernel

PARTS = 8  # partial sums of gradients, so that no sum depends on the number of threads
AT_ONCE = 2_000_000_000  # multiplications of the steps that torch prepares at once: a few tenths of a second
NUMBERS = 4_000_000  # of their windows, at most
STEPS = 16  # whose gradients are summed at once, of several tiles where one has fewer
OPTIMISERS = {"adamw": ADAMW, "adam": ADAM, "sgd": SGD}


class Data(NamedTuple):
    """Windows of several batches as rows, one for each channel; see `Rows`."""

    segments: Any
    ahead: Any
    facts: Any
    base: Any
    way: Any
    truth: Any
    size: Any
    weight: Any
    masks: Any
    begins: Any  # first row of each batch, step by step, and in a step network by network
    scales: Any  # that slopes are multiplied by, (steps, M)


class Learned(NamedTuple):
    """Weights (M, ...) and biases of all networks, their gradients, and what the optimiser keeps of these."""

    weights: Any
    biases: Any
    by_weights: Any
    by_biases: Any
    weights_first: Any
    biases_first: Any
    weights_second: Any
    biases_second: Any


class Room(NamedTuple):
    """Memory of the kernels."""

    packed: Any  # (M, ...)
    partial: Any  # sums (M, parts, ...)
    tally: Any  # of losses and spreads (M, parts, 2)
    work: Any  # of each thread
    turns: Any  # counts of `take`, each in a line of the cache: parts taken, then of each network ended and ready


class Moves(NamedTuple):
    """Settings of the optimiser."""

    kind: int
    decay: float
    one: float
    two: float
    least: float
    clip: float


@partial(kernel, counts=False)
def run(
    first: int, last: int, together: bool, steps: int, z: Sizes, at: Rows, matrices: Any, vectors: Any, data: Data,
    learned: Learned, room: Room, start: Any, share: Any, levels: Any, moves: Moves, rates: Any, done: int, losses: Any,
) -> None:  # fmt: skip
    """Do all steps of networks `first` to `last`; or, `together`, those of all networks with other threads."""
    parts = room.partial.shape[1]
    for slot in range(first, last):
        if together:
            _take_turns(slot, steps, z, at, matrices, vectors, data, learned, room, start, share, levels, moves, rates,
                        done, losses)  # fmt: skip
            continue
        lay_out(matrices, vectors, learned.weights[slot], learned.biases[slot], room.packed[slot])
        for step in range(steps):
            for part in range(parts):
                _learn(slot, part, step, first, z, at, matrices, vectors, data, learned, room, start, share, levels)
            _update(slot, step, z, matrices, vectors, data, learned, room, moves, rates[step], done + 1 + step, losses)


@helper
def _take_turns(
    slot: int, steps: int, z: Any, at: Any, matrices: Any, vectors: Any, data: Any, learned: Any, room: Any, start: Any,
    share: Any, levels: Any, moves: Any, rates: Any, done: int, losses: Any,
) -> None:  # fmt: skip
    """Learn parts of steps, each by the thread that takes it next, until none is left.

    Who ends the last part of a network in a step updates it; who has taken one of its next step waits for that. So
    threads wait only for what another one is busy with, and one that comes late, or never, is not missed.
    """
    parts, members = room.partial.shape[1], len(learned.weights)
    while True:
        step, task = divmod(take(room.turns, 0), parts * members)
        if step >= steps:
            return
        m, part = divmod(task, parts)
        ended, ready = 1 + m, 1 + members + m
        if task % parts == 0 and step == 0:
            lay_out(matrices, vectors, learned.weights[m], learned.biases[m], room.packed[m])
            take(room.turns, ready)
        wait_for(room.turns, ready, step + 1)
        _learn(m, part, step, slot, z, at, matrices, vectors, data, learned, room, start, share, levels)
        if take(room.turns, ended) == (step + 1) * parts - 1:
            _update(m, step, z, matrices, vectors, data, learned, room, moves, rates[step], done + 1 + step, losses)
            take(room.turns, ready)


@helper
def _learn(
    m: int, part: int, step: int, slot: int, z: Any, at: Any, matrices: Any, vectors: Any, data: Any, learned: Any,
    room: Any, start: Any, share: Any, levels: Any,
) -> None:  # fmt: skip
    """Add up gradients and loss of one part of the tiles of a batch."""
    w, partial, packed = room.work[slot], room.partial[m, part], room.packed[m]
    weights, members = learned.weights[m], len(learned.weights)
    row, beyond = data.begins[step * members + m], data.begins[step * members + m + 1]
    tiles, first, scale = -(-(beyond - row) // LANES), 1 + 2 * z.layers, data.scales[step, m]
    parts, lanes = room.partial.shape[1], vectors[0].sums
    partial[:] = 0
    w[at.lanes * LANES : (at.lanes + len(partial) - lanes) * LANES] = 0
    room.tally[m, part] = 0
    tile, until = part * tiles // parts, (part + 1) * tiles // parts
    while tile < until:
        group = min(z.group, until - tile)
        for i in range(group):
            begin = row + (tile + i) * LANES
            count = min(LANES, beyond - begin)
            fetch_all(z, at, i, begin, count, data, w)
            read(z, at, i, matrices, vectors, packed, w)
            decode(z, at, i, begin, first, matrices, vectors, weights, packed, w)
            loss, spread = judge(z, at, i, start, share, levels, scale, w)
            room.tally[m, part, 0] += loss
            room.tally[m, part, 1] += spread
            decode_back(z, at, i, begin, first, matrices, vectors, packed, w)
            for layer in range(z.layers - 1, -1, -1):
                read_back(z, at, i, layer, matrices, vectors, packed, w, partial)
        add_decoder(z, at, group, first, matrices, vectors, w, partial)
        if z.chunk >= z.steps:
            pitch = z.steps + (z.steps > 1)
            for layer in range(z.layers):
                add_layer(z, at, layer, 0, 0, 0, group * pitch, matrices, vectors, w, partial)
        tile += group
    sum_lanes(below(w, at.lanes), partial, lanes, len(partial) - lanes)


@helper
def _update(
    m: int, step: int, z: Any, matrices: Any, vectors: Any, data: Any, learned: Any, room: Any, moves: Any, rate: float,
    count: int, losses: Any,
) -> None:  # fmt: skip
    """Move the parameters of a network by the gradients of a batch, and note its loss."""
    members = len(learned.weights)
    rows = data.begins[step * members + m + 1] - data.begins[step * members + m]
    loss = spread = 0.0
    for part in range(len(room.tally[m])):
        loss += room.tally[m, part, 0]
        spread += room.tally[m, part, 1]
    losses[step, m] = loss * data.scales[step, m]
    mean = spread / (rows * z.targets) if spread > 0 else 1.0  # that spreads are weights by, of a normal distribution
    by_weights, by_biases = learned.by_weights[m], learned.by_biases[m]
    norm = add_up(matrices, vectors, room.partial[m], by_weights, by_biases, 1.0 / mean)
    share = min(moves.clip / (norm + 1e-6), 1.0) if moves.clip > 0 else 1.0
    one, two, least = moves.one, moves.two, moves.least
    move(moves.kind, learned.weights[m], by_weights, learned.weights_first[m], learned.weights_second[m], rate,
         moves.decay, count, share, one, two, least)  # fmt: skip
    move(moves.kind, learned.biases[m], by_biases, learned.biases_first[m], learned.biases_second[m], rate, 0.0, count,
         share, one, two, least)  # fmt: skip
    lay_out(matrices, vectors, learned.weights[m], learned.biases[m], room.packed[m])


class Program:
    """All steps of an epoch of a `ForecastNetwork` that `tsforecast.training.loop.covers`, by a loss of that number.

    The optimiser is one of `tsforecast.training.optim`.

    After a step gradients are where torch has them, and so are the numbers that the optimiser keeps.
    """

    def __init__(
        self,
        network: Any,
        training: Windows,
        objective: Any,
        loss: int,
        optimizer: torch.optim.Optimizer,
        name: str,
        clip: float | None,
        batch_size: int,
    ) -> None:
        self.network, self.training, self.objective, self.optimizer = network, training, objective, optimizer
        groups = optimizer.param_groups
        self.flat = [group["params"][0] for group in groups]  # weights, and biases
        betas = groups[0].get("betas", (groups[0].get("momentum", 0.0), 0.0))
        decay, least = groups[0]["weight_decay"], groups[0].get("eps", 0.0)
        one, two = map(float, betas)
        self.moves = Moves(OPTIMISERS[name], float(decay), one, two, float(least), float(clip or 0.0))
        cell = CELLS[network.encoder.layers[0].cell.mode]
        rows = min(batch_size, len(training)) * (1 if network.joint else network.targets)
        self.z, self.work = _sizes(network, cell, loss, training.window, rows)
        self.parts = 1 if self.work * rows <= memory.WORTH_SHARING else min(PARTS, -(-rows // LANES))
        self.matrices, self.vectors, packed, partial = tables(network, self.z, self.flat)
        self.at, size = _rows(self.z, partial - int(self.vectors["sums"][0]))
        dtype, members = self.flat[0].detach().numpy().dtype, network.members
        self.room = Room(
            np.zeros((members, packed), dtype),
            np.zeros((members, self.parts, partial), dtype),
            np.zeros((members, self.parts, 2)),
            np.zeros((members * self.parts, size * LANES), dtype),  # of which threads use, and the system gives, few
            np.zeros((1 + 2 * members, memory.ALIGNED // 8), np.int64),
        )
        z, each = self.z, 1 if network.joint else network.targets
        numbers = z.steps * z.inputs + z.places * z.ahead + z.static + 4 * z.horizon * z.targets
        self.numbers = each * numbers  # of a window
        self.prepared: tuple[list[Tensor], Tensor, Tensor] | None = None
        self.drawn = 0
        others = self.z.levels - 1
        start = np.zeros((self.z.horizon, network.targets, others)) if network.start is None else network.start.numpy()
        self.start = np.ascontiguousarray(start, dtype)
        family = objective.loss.family
        self.levels = np.asarray(getattr(family, "levels", np.zeros(1)), np.float64)

    @property
    def threads(self) -> int:
        """How many threads share a step, at most."""
        return int(self.network.members) * self.parts

    def __call__(
        self,
        order: Sequence[Sequence[Tensor]],
        rates: Sequence[float],
        generator: torch.Generator = torch.default_generator,
    ) -> Tensor:
        """Train on batches of windows, for each step one of each network; return the losses of steps.

        The `generator` draws what is dropped.
        """
        losses, speeds = np.zeros((len(order), self.network.members)), np.array(rates, np.float64)
        share = np.ascontiguousarray(self.network.share.numpy(), self.start.dtype)
        learned, counts = self._learned()
        z, done = self.z, int(counts[0])
        each = 1 if self.network.joint else self.network.targets
        rows, dropped = max(len(batch) for batch in order[0]) * each, z.dropout * _drawn(z)
        most = NUMBERS // ((self.numbers // each + dropped) * rows)
        steps = int(max(1, min(AT_ONCE // (self.work * rows * len(order[0])), most)))
        usual = memory.allowed.get() or torch.get_num_threads()
        for first in range(0, len(order), steps):
            data, constant = self._data(order[first : first + steps], generator)
            count = len(data.scales)
            found, now = losses[first : first + count], speeds[first : first + count]
            about = (z, self.at, self.matrices, self.vectors, data, learned, self.room)
            rest = (*about, self.start, share, self.levels, self.moves, now)
            members, work = len(order[0]), self.work * rows * len(order[0])
            if self.parts == 1 or members >= usual:
                memory.share(run, members, work * count, False, count, *rest, done, found)
            else:
                self.room.turns[:] = 0
                memory.share(run, min(usual, members * self.parts), work, True, count, *rest, done, found)
            found += constant
            done += count
        for each in counts:
            each += len(order)
        return torch.from_numpy(losses.mean(axis=1)).float()

    def _learned(self) -> tuple[Learned, list[Any]]:
        """Return parameters, gradients and the state of the optimiser, as arrays (M, ...), and its counts of steps."""
        members, names = self.network.members, ("exp_avg", "exp_avg_sq")
        if self.moves.kind == SGD:
            names = ("momentum_buffer", "momentum_buffer")
        counts, parts = list[Any](), list[Any]()
        for flat in self.flat:
            state = self.optimizer.state[flat]
            for name in names:
                if state.get(name) is None:
                    state[name] = torch.zeros_like(flat.detach())
            if self.moves.kind != SGD:
                counts.append(state.setdefault("step", torch.zeros(())))
            parts.append(
                [part.detach().numpy().reshape(members, -1) for part in (flat, flat.grad, *map(state.get, names))]
            )
        (weights, by_weights, *of_weights), (biases, by_biases, *of_biases) = parts
        pairs = (pair for pair in zip(of_weights, of_biases, strict=True))
        return Learned(weights, biases, by_weights, by_biases, *itertools.chain(*pairs)), counts or [np.zeros(())]

    def _data(self, order: Sequence[Sequence[Tensor]], generator: torch.Generator) -> tuple[Data, NDArray[np.float64]]:
        """Return the windows of several batches, and what has no slope of each of their losses, (steps, M)."""
        batches = [batch for step in order for batch in step]
        index, every, begins = torch.cat(batches), len(self.training), np.cumsum([0, *map(len, batches)])
        self.drawn += len(index)
        if self.prepared is None and 2 * self.drawn >= every and every * self.numbers <= NUMBERS:
            self.prepared = self._prepared(torch.arange(every))  # windows come again: once for all
        if self.prepared is None:
            parts, known, constants = self._prepared(index)
        else:
            parts, known, constants = self.prepared
            parts = [part.index_select(0, index) for part in parts]
            known, constants = known.index_select(0, index), constants.index_select(0, index)
        scales = 1 / np.maximum(np.add.reduceat(known.numpy(), begins[:-1]), 1).reshape(len(order), -1)
        constant = np.add.reduceat(constants.numpy(), begins[:-1]).reshape(scales.shape) * scales
        rows = 1 if self.network.joint else self.network.targets
        masks = self._masks([len(batch) * rows for batch in batches], generator).numpy()
        arrays = (part.reshape(len(index) * rows, part.shape[1] // rows).numpy() for part in parts)
        return Data._make([*arrays, masks, begins * rows, scales]), constant

    @torch.no_grad()
    def _prepared(self, index: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
        """Return all of windows that `Data` begins with, their numbers with a truth, and what has no slope, (B,)."""
        network, z = self.network, self.z
        windows = self.training.batch(index)
        given, count, joint = network.prepare(*windows.inputs), len(windows.past), network.joint
        rows = 1 if joint else network.targets

        def of_rows(numbers: Tensor) -> Tensor:  # (B, ..., K)
            return (numbers if joint else numbers.transpose(1, -1)).reshape(count, -1).contiguous()

        def for_each(numbers: Tensor) -> Tensor:  # (B, n)
            return numbers.flatten(1).repeat(1, rows)

        base = torch.zeros_like(windows.future) if given.anchor is None else given.anchor
        if network.instance_norm:
            base = base + given.level
        truth, ahead = windows.future, F.pad(given.ahead, (0, 0, 0, z.places * z.segment - z.horizon))
        weights = None if self.objective.weights is None else self.objective.weights[windows.series]
        known, constants = ~torch.isnan(truth), torch.zeros(count, dtype=torch.float64)
        if z.loss == NORMAL:
            slopes = self.objective.scale.log_slope(torch.where(known, truth, 0.0), windows.series).double()
            constants = torch.where(known, slopes, 0.0).sum(dim=(1, 2)) * (1.0 if weights is None else weights)
        parts = [
            given.segments.reshape(count, -1).contiguous(),
            for_each(ahead),
            for_each(truth.new_zeros(count, 0) if not z.static else windows.static[:, : z.static]),
            of_rows(base),
            of_rows(torch.zeros_like(base) if given.way is None else given.way),
            of_rows(truth),
            of_rows(given.size.expand(-1, 1, network.targets)),
            for_each(truth.new_ones(count, 1) if weights is None else weights.to(truth.dtype)[:, None]),
        ]
        return parts, known.sum(dim=(1, 2)), constants

    def _masks(self, rows: Sequence[int], generator: torch.Generator) -> Tensor:
        """Return what dropout multiplies rows of several batches by, (rows, n), drawn as the layers of torch do."""
        z, kept = self.z, 1 - self.network.architecture.dropout
        like: Tensor = self.flat[0].detach()
        if not z.dropout:
            return like.new_zeros(sum(rows), 0)
        widths = [*[z.steps * z.units] * (z.layers - 1), z.units, *[z.places * z.units] * z.heads]
        parts = ([like.new_empty(n, width).bernoulli_(kept, generator=generator) for width in widths] for n in rows)
        return torch.cat([torch.cat(each, dim=1) for each in parts]).div_(kept)


def _drawn(z: Sizes) -> int:
    """Return how many numbers dropout multiplies in a row."""
    return z.units * ((z.layers - 1) * z.steps + 1 + z.heads * z.places)


def _sizes(network: Any, cell: Cell, loss: int, window: int, rows: int) -> tuple[Sizes, int]:
    """Return sizes, and multiplications for a row of a batch."""
    shape, decoder, embedding = network.architecture, network.decoder, network.embed[0]
    units, inputs, outputs = shape.units, int(embedding.in_features), network.outputs + network.gates
    steps: int = -(-window // shape.segment)
    gates, ahead = (cell.slopes - cell.shift) * units, int(decoder.ahead.in_features) if decoder.ahead else 0
    heads = 1 if isinstance(decoder.head, nn.Linear) else 2
    targets = network.targets if network.joint else 1
    near = max(1, CHUNK // (((cell.slopes + 1) * units + inputs) * LANES))
    chunk = steps if 2 * steps <= 3 * near else near
    group = 1 if chunk < steps else max(1, min(STEPS // (steps + (steps > 1)), -(-rows // LANES)))
    z = Sizes(
        *cell, layers=shape.layers, residual=int(shape.residual), dropout=int(shape.dropout > 0), steps=steps,
        inputs=inputs, units=units, static=network.static, places=decoder.count, segment=decoder.segment, ahead=ahead,
        horizon=network.horizon, targets=targets, levels=network.outputs, gates=network.gates,
        channels=1 if decoder.channel is None else len(decoder.channel), heads=heads, loss=loss, chunk=chunk,
        group=group,
    )  # fmt: skip
    width = decoder.segment * outputs * targets
    once = units * (network.static + units) + decoder.count * units * (width + ahead + (heads - 1) * units)
    return z, 3 * (steps * units * (inputs + 2 * gates * shape.layers) + once)


def _rows(z: Sizes, lanes: int) -> tuple[Rows, int]:
    """Return where parts of the buffer of a thread begin, and its rows."""
    units, block, pitch = z.units, z.slopes * z.units, z.steps + (z.steps > 1)
    whole, width = z.chunk >= z.steps, z.segment * z.targets * (z.levels + z.gates)
    states, placed = z.layers * z.group * (z.steps + 1) * units, z.group * z.places * units
    counts = {
        "none": units, "raw": z.group * pitch * z.inputs, "xs": z.layers * z.group * pitch * units,
        "hs": states, "memory": states * (z.states > 1), "kept": z.layers * z.steps * z.kept * units,
        "slopes": (z.layers * z.group * pitch if whole else z.chunk) * block,
        "by_embedding": (z.group * pitch if whole else z.chunk) * units, "of_x": block, "of_h": block, "direct": units,
        "through": units, "given": units, "by_memory": units, "turned": TURNED,
        "below": z.steps * units * (z.layers > 1),
        "masks": z.dropout * _drawn(z), "state": z.group * units, "facts": z.group * z.static, "raised": units,
        "by_raised": z.group * units * (z.static > 0), "mixed": units, "ahead": z.group * z.places * z.ahead,
        "active": placed, "hidden": placed * (z.heads - 1), "by_active": placed * (z.ahead > 0),
        "by_hidden": placed * (z.heads - 1), "out": z.group * z.places * width, "by_mixed": z.group * units,
        "by_state": units, "base": z.horizon * z.targets, "way": z.horizon * z.targets,
        "truth": z.horizon * z.targets, "size": z.targets, "weight": 1, "spread": 1, "lanes": lanes,
    }  # fmt: skip
    begins = [0, *itertools.accumulate(count + 2 * SLACK for count in counts.values())]
    return Rows(**dict(zip(counts, begins, strict=False))), begins[-1]
