"""Epochs of workers beside those of one process: 3,000 series of 200 steps, on the cores of this machine.

Run with ``python benchmarks/workers.py`` (five minutes on two cores, on a machine with nothing else to do); ``--quick``
runs each way once and keeps no rows. Sizes: all settings as they are, and a wide network with large batches. Ways: one
process, with kernels where they are faster; one process of torch's steps; one and two workers of a Ray that has
started, which compute torch's steps, with kernels in their layers where these are faster. Seconds are those of an
epoch, the median over the epochs of all runs but the first of each, and its range; ways take turns. `start` is what a
fit takes beyond its epochs: the start of workers among others. `difference` has the largest ones of a weight from that
of one process with torch's steps, after each epoch: an absolute error has steps in its slope, at which rounding grows.
`efficiency` is the speed beside torch's steps, over the number of workers.
"""

from __future__ import annotations

import argparse
import statistics
import time
from functools import partial
from typing import Any

import numpy as np
from record import record

from tsforecast import GRUForecaster
from tsforecast.clusters import connected, silenced
from tsforecast.training.history import Epoch

SERIES, LENGTH, HORIZON = 3_000, 200, 12
SIZES: dict[str, dict[str, Any]] = {
    "usual": {},
    "wide": {"units": 256, "batch_size": 1_024, "steps_per_epoch": 10},
}
WAYS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {  # settings, and arguments of fit
    "kernels": ({}, {}),
    "torch": ({"kernels": "off"}, {}),
    "one worker": ({}, {"workers": 1}),
    "two workers": ({}, {"workers": 2}),
}
EPOCHS, RUNS = 4, 3


def series() -> list[np.ndarray[Any, Any]]:
    """Return seasons of twelve steps with noise."""
    random, steps = np.random.default_rng(0), np.arange(LENGTH)
    return [
        (1 + i % 7) * (np.sin(2 * np.pi * (steps + i) / 12) + 0.3 * random.normal(size=LENGTH)) for i in range(SERIES)
    ]


def weights(model: GRUForecaster) -> np.ndarray[Any, Any]:
    """Return all weights of a network."""
    return np.concatenate([part.detach().numpy().ravel() for part in model.network_.parameters()]).copy()


def _keep(found: list[np.ndarray[Any, Any]], model: GRUForecaster, epoch: Epoch) -> None:
    found.append(weights(model))


def measured(size: str, data: list[np.ndarray[Any, Any]], runs: int) -> list[dict[str, Any]]:
    """Return a row for each way to train a size."""
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    starts: dict[str, list[float]] = {way: [] for way in WAYS}
    found: dict[str, list[np.ndarray[Any, Any]]] = {}
    for _ in range(runs):
        for way, (settings, arguments) in WAYS.items():
            usual = {"max_epochs": EPOCHS, "patience": None, "random_state": 0, **SIZES[size]}
            model = GRUForecaster(horizon=HORIZON, **{**usual, **settings})
            found[way] = []
            began = time.perf_counter()
            model.fit(data, **arguments, on_epoch=partial(_keep, found[way], model))
            epochs = [epoch.seconds for epoch in model.history_[1:]]
            starts[way].append(time.perf_counter() - began - sum(epochs))
            seconds[way] += epochs[1:]
            each = statistics.median(epochs[1:])
            print(f"{size:6} {way:12} {each:7.3f} s, {starts[way][-1]:5.1f} s beyond", flush=True)  # noqa: T201
    rows = []
    for way, (_, arguments) in WAYS.items():
        middle, count = statistics.median(seconds[way]), arguments.get("workers", 1)
        rows.append(
            {
                "size": size,
                "way": way,
                "series": SERIES,
                "steps": LENGTH,
                "seed": 0,
                "epochs": len(seconds[way]),
                "seconds": round(middle, 4),
                "fastest": round(min(seconds[way]), 4),
                "slowest": round(max(seconds[way]), 4),
                "start": round(statistics.median(starts[way]), 2),
                "difference": [float(np.abs(a - b).max()) for a, b in zip(found[way], found["torch"], strict=True)][1:],
                "efficiency": round(statistics.median(seconds["torch"]) / middle / count, 3),
            }
        )
    return rows


def main() -> None:
    """Measure all sizes, and keep the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="run each way once, and keep no rows")
    quick, data = parser.parse_args().quick, series()
    with silenced(), connected(None):
        rows = [row for size in SIZES for row in measured(size, data, 1 if quick else RUNS)]
    for row in rows:
        print(row)  # noqa: T201
    if not quick:
        record("workers", rows)


if __name__ == "__main__":
    main()
