"""Local models of 64 series side by side, beside one after the other: by kernels, and by a plain loop of torch.

Run with ``python benchmarks/together.py`` (a quarter of an hour, on a machine with nothing else to do); ``--cells`` and
``--units`` measure some alone, ``--quick`` runs each way once and keeps no rows. A layer reads windows of 24 steps step
by step, for 200 steps of training, and nothing validates. A fit reads and checks its series and chooses its anchor; the
loop of torch is that of `fit_speed`, with one thread or with all: the faster of the two counts. It trains 8 of the
networks, whose seconds count eight times. Ratios are those of medians over interleaved runs.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from typing import Any

import fit_speed
import numpy as np
import torch
from fit_speed import EPOCH, HORIZON, QUICK, RUNS, WINDOW, measure
from record import record

from tsforecast import LocalForecaster
from tsforecast.forecasters.neural import NeuralForecaster

COUNT, BY_TORCH, STEPS = 64, 8, 200
UNITS, BATCHES, CELLS = (8, 16, 32, 64), (64, 256), ("gru", "lstm", "rnn")


def ways(cell: str, units: int, batch: int) -> dict[str, Callable[[], object]]:
    """Return the trainings of all networks side by side, and in turn by kernels and by torch."""
    length = EPOCH * batch + WINDOW + HORIZON - 1
    noise = 0.3 * np.random.default_rng(0).normal(size=(COUNT, length))
    every = list(np.sin(2 * np.pi * np.arange(length) / 12) + noise)
    settings = {"window": WINDOW, "horizon": HORIZON, "segment": 1, "units": units, "batch_size": batch}
    settings |= {"validation": None, "steps_per_epoch": EPOCH, "max_epochs": STEPS // EPOCH, "random_state": 0}
    model = NeuralForecaster(cell, kernels="on", **settings)

    def by_torch(threads: int) -> Callable[[], object]:
        run = fit_speed.loop(cell, STEPS, threads, units, batch)
        return lambda: [run() for _ in range(BY_TORCH)]

    found = {
        "side by side": lambda: LocalForecaster(model).fit(every),
        "in turn": lambda: [NeuralForecaster(cell, kernels="on", **settings).fit(series) for series in every],
        "torch, 1 thread": by_torch(1),
    }
    cores = torch.get_num_threads()
    return found | ({"torch": by_torch(cores)} if cores > 1 else {})


def row(cell: str, units: int, batch: int, count: int) -> dict[str, Any]:
    """Measure one size."""
    seconds = {
        name: [each * COUNT / BY_TORCH for each in times] if name.startswith("torch") else times
        for name, times in measure(ways(cell, units, batch), count).items()
    }
    medians = {name: round(statistics.median(times), 3) for name, times in seconds.items()}
    ours = medians["side by side"]
    about = {"measured": "together", "kind": "together", "cell": cell, "clock": "wall", "units": units, "batch": batch}
    return {
        **about,
        "networks": COUNT,
        "steps": STEPS,
        "seconds": medians,
        "ratio": round(min(value for name, value in medians.items() if name.startswith("torch")) / ours, 2),
        "beside_kernels": round(medians["in turn"] / ours, 2),
    }


def main() -> None:
    """Measure all sizes and keep the rows."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=["gru"])
    parser.add_argument("--units", nargs="+", type=int, default=list(UNITS))
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    for cell in given.cells:
        found = []
        for batch in BATCHES:
            for units in given.units:
                one = row(cell, units, batch, QUICK if given.quick else RUNS)
                print(cell, units, batch, one["ratio"], one["beside_kernels"], one["seconds"], flush=True)  # noqa: T201
                found.append(one)
        if not given.quick:
            record("speed", found, {"kind": "together", "cell": cell})


if __name__ == "__main__":
    main()
