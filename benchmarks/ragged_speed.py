"""An epoch of a classifier on recordings of different lengths, beside a plain loop of torch that packs its batches.

Run with ``python benchmarks/ragged_speed.py`` (ten minutes, on a machine with nothing else to do); ``--cells`` measures
some cells alone, ``--quick`` runs each way once, on few recordings, and keeps no rows. The recordings are the gestures
in TSFORECAST_DATA, or made-up ones as long. Both ways have as many units and recordings in a batch, read forwards or in
both directions, and have the mean of all states, clipping and AdamW; a classifier also embeds its steps. It reads by
kernels, with its default segment, which is one step here, or two steps at once; torch has one thread or all, and the
faster of them counts. Ratios are those of medians over epochs of interleaved runs, without the first epoch of each;
nothing is validated.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import torch
from record import record
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence
from torch.utils.data import DataLoader

from tsforecast import load_dataset
from tsforecast.networks.encoders import CELLS
from tsforecast.sequences.neural import NeuralClassifier

SET, LABEL = "smartwatch-gestures", "gesture"
UNITS, BATCH = 64, 32
SEGMENTS: dict[str, int | str] = {"default": "auto", "two steps at once": 2}
RUNS, EPOCHS = 3, 4  # the first epoch of each run warms up
FEW = 200  # recordings of --quick
REST = 0.05  # s before each run: threads of torch go on looking for work for a while

Recordings = tuple[list[np.ndarray[Any, Any]], np.ndarray[Any, Any]]
Run = Callable[[], list[float]]


def recordings() -> Recordings:
    """Return recordings, (T, C) each, and their labels."""
    if not os.environ.get("TSFORECAST_DATA"):
        return made_up()
    panel = load_dataset(SET)
    return np.split(panel.values, panel.offsets[1:-1]), np.asarray(panel.statics[LABEL])


def made_up(count: int = 3_251) -> Recordings:
    """Return waves along three axes, of twenty speeds and of the lengths of gestures."""
    random = np.random.default_rng(0)
    labels, lengths = np.arange(count) % 20, random.integers(10, 52, count)
    places = [np.arange(length)[:, None] * speed for length, speed in zip(lengths, (1 + labels) / 20, strict=True)]
    return [np.sin(place + np.arange(3)) + 0.3 * random.normal(size=(len(place), 3)) for place in places], labels


def fit(cell: str, both: bool, segment: int | str, given: Recordings, epochs: int) -> Run:
    """Return a fit of a classifier, whose epochs it times."""

    def run() -> list[float]:
        model = NeuralClassifier(cell, units=UNITS, batch_size=BATCH, segment=segment, pooling="mean", kernels="on")
        model.set_params(bidirectional=both, validation=None, max_epochs=epochs, steps_per_epoch=None, random_state=0)
        return [epoch.seconds for epoch in model.fit(*given).history_[1:]]

    return run


class Plain(nn.Module):
    """A recurrent layer over packed recordings, the mean of its states, and a linear head."""

    def __init__(self, cell: str, both: bool, channels: int, classes: int) -> None:
        super().__init__()
        self.cell = CELLS[cell](channels, UNITS, batch_first=True, bidirectional=both)
        self.head = nn.Linear(UNITS * (1 + both), classes)

    def forward(self, steps: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Map padded recordings (B, T, C) to logits (B, K)."""
        packed = pack_padded_sequence(steps, lengths, batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(self.cell(packed)[0], batch_first=True)  # zeros after the end of each
        return self.head(states.sum(1) / lengths[:, None])  # type: ignore[no-any-return]


def padded(batch: list[tuple[torch.Tensor, int]]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return a batch as padded recordings, lengths and labels."""
    lengths = torch.tensor([len(steps) for steps, _ in batch])
    return pad_sequence([steps for steps, _ in batch], batch_first=True), lengths, torch.tensor([y for _, y in batch])


def loop(cell: str, both: bool, threads: int, given: Recordings, epochs: int) -> Run:
    """Return a loop over batches as one writes it with torch, whose epochs it times."""
    places = np.unique(given[1], return_inverse=True)[1].tolist()
    steps = np.concatenate(given[0])
    scaled = [torch.from_numpy(np.float32((one - steps.mean(0)) / steps.std(0))) for one in given[0]]
    examples: Any = list(zip(scaled, places, strict=True))

    def run() -> list[float]:
        before, seconds = torch.get_num_threads(), []
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        network = Plain(cell, both, steps.shape[1], max(places) + 1)
        optimizer = torch.optim.AdamW(network.parameters(), 0.006, fused=True)
        loader = DataLoader(examples, BATCH, shuffle=True, collate_fn=padded)
        for _ in range(epochs):
            start = time.perf_counter()
            for batch, lengths, labels in loader:
                loss = nn.functional.cross_entropy(network(batch, lengths), labels)
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                optimizer.step()
            seconds.append(time.perf_counter() - start)
        torch.set_num_threads(before)
        return seconds

    return run


def measure(runs: dict[str, Run], count: int) -> dict[str, list[float]]:
    """Return the seconds of epochs of interleaved runs."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(count):
        for name, run in runs.items():
            time.sleep(REST)
            seconds[name] += run()[1:]
    return seconds


def row(cell: str, both: bool, seconds: dict[str, list[float]], given: Recordings) -> dict[str, Any]:
    """Return what is kept of measured seconds: medians, and how many times as fast as torch each segment is."""
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    rival = min(median for name, median in medians.items() if name not in SEGMENTS)
    known = {"measured": "ragged", "kind": "ragged", "cell": cell, "clock": "wall", "seed": 0}
    known |= {"directions": 1 + both}
    known |= {"set": SET if os.environ.get("TSFORECAST_DATA") else "made up", "recordings": len(given[1])}
    known |= {"units": UNITS, "batch": BATCH, "epochs": len(next(iter(seconds.values())))}
    return {
        **known,
        "ratios": {name: round(rival / medians[name], 3) for name in SEGMENTS},
        "seconds": {name: round(median, 4) for name, median in medians.items()},
        "seconds_least_and_most": {n: [round(min(times), 4), round(max(times), 4)] for n, times in seconds.items()},
    }


def main() -> None:
    """Measure all cells and keep the rows."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cells", nargs="+", choices=list(CELLS), default=list(CELLS))
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    given, cores = recordings(), torch.get_num_threads()
    given = (given[0][:FEW], given[1][:FEW]) if options.quick else given
    epochs, count = (2, 1) if options.quick else (EPOCHS, RUNS)
    for cell, both in product(options.cells, (False, True)):
        runs = {name: fit(cell, both, segment, given, epochs) for name, segment in SEGMENTS.items()}
        runs["torch, 1 thread"] = loop(cell, both, 1, given, epochs)
        runs |= {"torch": loop(cell, both, cores, given, epochs)} if cores > 1 else {}
        found = row(cell, both, measure(runs, count), given)
        print(cell, found["directions"], found["ratios"], found["seconds"], flush=True)  # noqa: T201
        if not options.quick:
            record("speed", [found], {"kind": "ragged", "cell": cell, "directions": 1 + both})


if __name__ == "__main__":
    main()
