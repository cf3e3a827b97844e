"""A whole fit beside a plain loop of torch, and an ensemble of five beside one network, each pair side by side.

Run with ``python benchmarks/fit_speed.py`` (five minutes, on a machine with nothing else to do); ``--cells``
measures some cells alone, ``--quick`` runs each pair once and keeps no rows. Kind `fit`: a layer of 32 units
reads windows of 24 steps step by step, in batches of 256, for 200 and 1,000 steps; a fit reads and checks its series
and chooses its anchor, the loop has its windows ready, a linear head, mean absolute error, clipping and a fused AdamW,
with one thread of torch or with all: the faster of the two counts. Kind `members`: five networks beside one, with all
settings as they are. Ratios are those of medians over interleaved runs, with nothing validated in kind `fit`.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from record import record
from torch import nn

from tsforecast.forecasters.neural import NeuralForecaster
from tsforecast.networks.encoders import CELLS

WINDOW, HORIZON, UNITS, BATCH, STEPS = 24, 12, 32, 256, (200, 1_000)
EPOCH = 20  # steps of an epoch, over all windows
LENGTH = EPOCH * BATCH + WINDOW + HORIZON - 1
MEMBERS = 5
RUNS, QUICK = 3, 1
REST = 0.05  # s before each run: threads of torch go on looking for work for a while


def series() -> np.ndarray[Any, Any]:
    """Return a season with noise."""
    steps = np.arange(LENGTH)
    return np.sin(2 * np.pi * steps / 12) + 0.3 * np.random.default_rng(0).normal(size=LENGTH)


def fit(cell: str, steps: int) -> Callable[[], object]:
    """Return a fit of a forecaster on so many batches."""
    settings = {"window": WINDOW, "horizon": HORIZON, "segment": 1, "units": UNITS, "batch_size": BATCH}
    settings |= {"validation": None, "steps_per_epoch": EPOCH}

    def run() -> object:
        model = NeuralForecaster(cell, max_epochs=steps // EPOCH, random_state=0, **settings)
        return model.fit(series())

    return run


class Plain(nn.Module):
    """A recurrent layer and a linear head."""

    def __init__(self, cell: str, units: int) -> None:
        super().__init__()
        self.cell, self.head = CELLS[cell](1, units, batch_first=True), nn.Linear(units, HORIZON)

    def forward(self, past: torch.Tensor) -> torch.Tensor:
        """Map windows (B, W, 1) to forecasts (B, H)."""
        return self.head(self.cell(past)[0][:, -1])  # type: ignore[no-any-return]


def loop(cell: str, steps: int, threads: int, units: int = UNITS, batch_size: int = BATCH) -> Callable[[], object]:
    """Return a loop over so many batches, as one writes it with torch."""

    def run() -> object:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        values = torch.from_numpy(series()).float()
        windows = ((values - values.mean()) / values.std()).unfold(0, WINDOW + HORIZON, 1)
        network = Plain(cell, units)
        optimizer = torch.optim.AdamW(network.parameters(), 0.002, fused=True)
        done = 0
        while done < steps:
            for index in torch.split(torch.randperm(len(windows)), batch_size)[: min(EPOCH, steps - done)]:
                batch = windows[index]
                loss = (network(batch[:, :WINDOW, None]) - batch[:, WINDOW:]).abs().mean()
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                optimizer.step()
                done += 1
        torch.set_num_threads(before)
        return network

    return run


def measure(runs: dict[str, Callable[[], object]], count: int) -> dict[str, list[float]]:
    """Return the seconds of interleaved runs, after one that warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(count + 1):
        for name, run in runs.items():
            time.sleep(REST)
            start = time.perf_counter()
            run()
            if number:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def row(kind: str, cell: str, seconds: dict[str, list[float]], about: dict[str, Any]) -> dict[str, Any]:
    """Return what is kept of measured seconds: the ratio of the fastest way beside the first one, and medians."""
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    first, *others = medians.values()
    ratio = min(others) / first
    ends = {name: [round(min(times), 4), round(max(times), 4)] for name, times in seconds.items()}
    known = {"measured": kind, "kind": kind, "cell": cell, "clock": "wall", **about}
    medians = {name: round(median, 4) for name, median in medians.items()}
    return {**known, "ratio": round(ratio, 3), "seconds": medians, "seconds_least_and_most": ends}


def rows(cell: str, count: int) -> list[dict[str, Any]]:
    """Measure one cell."""
    found, cores = [], torch.get_num_threads()
    for steps in STEPS:
        runs = {"fit": fit(cell, steps), "torch, 1 thread": loop(cell, steps, 1)}
        runs |= {"torch": loop(cell, steps, cores)} if cores > 1 else {}
        found.append(row("fit", cell, measure(runs, count), {"steps": steps, "units": UNITS, "batch": BATCH}))
        print(cell, steps, found[-1]["ratio"], found[-1]["seconds"], flush=True)  # noqa: T201
    pair = {
        name: lambda members=members: NeuralForecaster(cell, horizon=HORIZON, members=members, random_state=0).fit(
            series()[:2_000]
        )
        for name, members in (("one", 1), ("five", MEMBERS))
    }
    found.append(row("members", cell, measure(pair, count), {"members": MEMBERS}))
    print(cell, "members", found[-1]["ratio"], found[-1]["seconds"], flush=True)  # noqa: T201
    return found


def main() -> None:
    """Measure all cells and keep the rows."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cells", nargs="+", choices=list(CELLS), default=list(CELLS))
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    for cell in given.cells:
        found = rows(cell, QUICK if given.quick else RUNS)
        for kind in () if given.quick else ("fit", "members"):
            record("speed", [each for each in found if each["kind"] == kind], {"kind": kind, "cell": cell})


if __name__ == "__main__":
    main()
