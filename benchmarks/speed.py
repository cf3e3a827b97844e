"""A step of training with the fast kernels and with torch's own modules, side by side.

Run with ``python benchmarks/speed.py`` (a quarter of an hour, on a machine with nothing else to do); ``--cells gru``
measures some cells alone, ``--quick`` few sizes and keeps no rows. Three kinds: `module` is a step of the cell alone,
reading one series, with a linear head, MAE and AdamW; `network` is one of what `fit` does, the whole network of a
forecaster, clipping included; `score` fits whole models on the embedded datasets, with kernels and without, and asks
whether they forecast as well. Torch may use one thread or all: the faster of the two counts. A ratio is that of medians
over interleaved runs; above 1 kernels are faster. On a busy machine, where several threads wait for each other,
``--clock processor`` counts the seconds that one thread computes, for both. The floor is what the multiplications of
the cell, forwards and twice as many back, take at the pace of a product of large matrices here.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import torch
from record import record
from torch import nn

from tsforecast import backtest, load_dataset
from tsforecast.catalog.card import card
from tsforecast.forecasters.neural import NeuralForecaster
from tsforecast.networks.encoders import CELLS, kernels_for, read, use_kernels
from tsforecast.networks.forecast import ForecastNetwork
from tsforecast.networks.kernels import memory
from tsforecast.networks.layers import Architecture
from tsforecast.training.optim import clip, make_optimizer

UNITS, BATCHES, WINDOWS = (8, 16, 32, 64), (32, 256, 1024), (24, 96, 336)
QUICK = {(8, 32, 24), (16, 256, 96), (32, 32, 24), (32, 256, 24), (64, 256, 24), (64, 1024, 96)}
SETS, SEEDS = ("co2-weekly", "elnino-monthly"), (0, 1, 2)
SECONDS = 3.0  # of all runs of a size, about
LEAST, MOST = 5, 60  # runs of each
REST = 0.01  # s before each: threads of torch go on looking for work for a while, on cores that kernels would need
CLOCKS = {"wall": time.perf_counter, "processor": time.thread_time}
KINDS = ["module", "network", "score"]
BLOCKS = {"rnn": 1, "gru": 3, "lstm": 4}  # matrices in a cell
Step = Callable[[bool], None]


def module_step(cell: str, units: int, batch: int, window: int) -> Step:
    """Return a step of the cell alone: fused or not."""
    module = CELLS[cell](1, units, batch_first=True)
    head = nn.Linear(units, 1)
    parts = nn.ModuleList([module, head])
    optimizer = make_optimizer(parts, "adamw", 1e-4)
    x, y = torch.randn(batch, window, 1), torch.randn(batch, 1)

    def step(fused: bool) -> None:
        states = read(module, x, last=True, fused=fused)
        loss = (head(states[:, 0]) - y).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def network_step(cell: str, units: int, batch: int, window: int) -> Step:
    """Return a step of the network of a forecaster: fused or not."""
    network = ForecastNetwork(Architecture(cell, units), 1, 1, window, horizon=1, lags=np.array([[1]]))
    optimizer = make_optimizer(network, "adamw", 1e-4)
    x, y = torch.randn(batch, window, 1), torch.randn(batch, 1, 1)

    def step(fused: bool) -> None:
        use_kernels(network, fused)
        loss = (network(x)[..., 0] - y).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        clip(optimizer, 1.0)
        optimizer.step()

    return step


def pace(cores: int) -> float:
    """Return how many multiplications of large matrices are done in a second, at best."""
    size, times = 1024, []
    one, other = torch.randn(size, size), torch.randn(size, size)
    before = torch.get_num_threads()
    torch.set_num_threads(cores)
    for _ in range(20):
        start = time.perf_counter()
        torch.mm(one, other)
        times.append(time.perf_counter() - start)
    torch.set_num_threads(before)
    return float(size**3 / min(times))


def scores(cell: str) -> list[dict[str, Any]]:
    """Return the errors of models that learned with kernels, and without, with the same seeds."""
    rows = []
    for name, seed, kernels in product(SETS, SEEDS, ("on", "off")):
        task = card(name).task
        model = NeuralForecaster(cell, segment=1, kernels=kernels, random_state=seed)
        found = backtest(model, load_dataset(name), task.horizon, task.origins, task.step, audit=None)
        mase = float(((found["y"] - found["forecast"]).abs() / found["naive_mae"]).mean())
        about = {"measured": "score", "kind": "score", "cell": cell, "clock": "wall", "set": name, "seed": seed}
        rows.append(
            about | {"kernels": kernels == "on", "mase": mase, "fit_seconds": float(found["fit_seconds"].iloc[0])}
        )
        print(cell, name, seed, "kernels" if kernels == "on" else "torch", rows[-1]["mase"], flush=True)  # noqa: T201
    return rows


def interleaved(
    ways: dict[str, tuple[Callable[[], object], int]], clock: str, seconds: float, least: int, most: int
) -> dict[str, list[float]]:
    """Return milliseconds of several ways, (function, threads) each, in runs turn by turn; sorted, without the first.

    There are `least` to `most` runs, in so many seconds if they can.
    """
    now, before, began = CLOCKS[clock], torch.get_num_threads(), time.perf_counter()
    times: dict[str, list[float]] = {name: [] for name in ways}
    runs, allowed = 0, memory.allowed.set(max(threads for _, threads in ways.values()))
    while runs <= least or (runs <= most and time.perf_counter() - began < seconds):
        for name, (run, threads) in ways.items():
            torch.set_num_threads(threads)
            time.sleep(REST)
            run()  # not counted: it finds caches as the way before left them
            start = now()
            run()
            times[name].append(1000 * (now() - start))
        runs += 1
    memory.allowed.reset(allowed)
    memory.clear()
    torch.set_num_threads(before)
    return {name: sorted(part[1:]) for name, part in times.items()}  # the first one warms up


def measure(step: Step, clock: str) -> dict[str, Any]:
    """Return milliseconds of a step by kernels, and by torch with one thread and, by the wall clock, with all."""
    cores = torch.get_num_threads() if clock == "wall" else 1
    ways: dict[str, tuple[Callable[[], object], int]] = {"fused": (partial(step, True), 1)}
    ways |= {"torch, 1 thread": (partial(step, False), 1)}
    ways |= {"torch": (partial(step, False), cores)} if cores > 1 else {}
    kept = interleaved(ways, clock, SECONDS, LEAST, MOST)
    medians = {name: statistics.median(part) for name, part in kept.items()}
    rivals = [name for name in ways if name != "fused"]
    spread = {
        name: [round(part[len(part) // 10], 4), round(part[-1 - len(part) // 10], 4)] for name, part in kept.items()
    }
    return {
        "ratio": round(min(medians[name] for name in rivals) / medians["fused"], 3),
        "ratio_of_lowest": round(min(kept[name][0] for name in rivals) / kept["fused"][0], 3),
        "ms": {name: round(value, 4) for name, value in medians.items()},
        "ms_tenth_and_ninetieth": spread,
        "runs": len(kept["fused"]),
        "threads": cores,
        "clock": clock,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", nargs="+", default=list(CELLS), choices=list(CELLS))
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS)
    parser.add_argument("--clock", default="wall", choices=list(CLOCKS))
    parser.add_argument("--quick", action="store_true", help="few sizes, and no rows")
    told = parser.parse_args()
    for cell, kind in product(told.cells, told.kinds):
        if kernels_for(CELLS[cell](1, 1, batch_first=True), torch.zeros(1, 1, 1)) is None:
            raise SystemExit(f"the kernels of {cell} must load, or torch is measured beside itself: install numba")
        rows = []
        if kind == "score":
            record("speed", scores(cell), replacing={"kind": kind, "cell": cell})
            continue
        limit = 3 * BLOCKS[cell] / pace(torch.get_num_threads() if told.clock == "wall" else 1)
        for units, batch, window in product(UNITS, BATCHES, WINDOWS):
            if told.quick and (units, batch, window) not in QUICK:
                continue
            torch.manual_seed(0)
            step = (module_step if kind == "module" else network_step)(cell, units, batch, window)
            about = {"measured": "step", "kind": kind, "cell": cell, "units": units, "batch": batch, "window": window}
            inputs = 1 if kind == "module" else units
            floor = 1000 * limit * batch * window * units * (units + inputs)
            rows.append(about | measure(step, told.clock) | {"floor_ms": round(floor, 4)})
            print(cell, kind, units, batch, window, rows[-1]["ratio"], rows[-1]["ms"], flush=True)  # noqa: T201
        ratios = [row["ratio"] for row in rows]
        print(cell, kind, "mean", round(statistics.geometric_mean(ratios), 2), "lowest", min(ratios))  # noqa: T201
        if not told.quick:
            record("speed", rows, replacing={"kind": kind, "cell": cell, "clock": told.clock})


if __name__ == "__main__":
    main()
