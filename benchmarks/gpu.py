"""Fits on a GPU beside the same fits on the CPU and those of NeuralForecast and Darts on that GPU.

Run with ``python benchmarks/gpu.py`` (at most eight minutes on one GPU; what is left then is not measured);
``--device cpu --quick`` runs the same script on the CPU in a minute, and keeps no rows unless a folder is named in
TSFORECAST_RESULTS. A fit reads its series, makes as many steps as all others, step by step and without an anchor,
and validates nothing. *graph* is the default on a GPU: whole steps, captured and replayed; *eager* launches each
operation from Python; *bf16* is a graph in mixed precision; *cpu* has kernels on all cores. Each way runs once to warm
up, and its other runs have one seed each. A peer that is not installed, and a size that would take the CPU minutes, has
a row without seconds that says so.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import peer_runs
import torch
from record import record

from tsforecast import Panel
from tsforecast.forecasters.neural import NeuralForecaster
from tsforecast.training import loop


class Size(NamedTuple):
    """What is fitted."""

    units: int
    batch: int
    window: int
    series: int


SIZES = [
    *(Size(8, 64, 24, 1), Size(32, 64, 24, 1), Size(32, 256, 24, 1), Size(64, 256, 24, 1), Size(64, 256, 96, 1)),
    *(Size(128, 256, 96, 1), Size(32, 256, 24, 1_000), Size(64, 1_024, 24, 1_000), Size(128, 1_024, 96, 1_000)),
    Size(256, 1_024, 336, 100),
]
FEW = [Size(4, 16, 12, 1), Size(8, 32, 12, 5)]  # of --quick
CELL, HORIZON, STEPS, EPOCH, LENGTH, SEEDS, RATE = "gru", 12, 200, 20, 2_000, (0, 1), 0.002
MINUTES = 8.0
MOST = 4e10  # multiplications of a step on the CPU
PEERS = {"NeuralForecast": ("neuralforecast", peer_runs.NeuralForecast), "Darts": ("darts", peer_runs.Darts)}


def series(size: Size) -> pd.DataFrame:
    """Return months of seasons with noise, as many for each series as make enough windows."""
    length = max(LENGTH // min(size.series, 10), EPOCH * size.batch // size.series) + size.window + HORIZON
    steps, random = np.arange(length), np.random.default_rng(0)
    values = np.sin(2 * np.pi * steps / 12) + 0.3 * random.normal(size=(size.series, length))
    names = np.repeat(np.arange(size.series).astype(str), length)
    months = np.tile((np.datetime64("1700-01", "M") + steps).astype("datetime64[s]"), size.series)
    return pd.DataFrame({"unique_id": names, "ds": months, "y": values.ravel()})


def ours(way: str, device: str, size: Size, steps: int, frame: pd.DataFrame) -> Callable[[int], object]:
    """Return a fit of a seed."""
    settings = {"units": size.units, "batch_size": size.batch, "window": size.window, "horizon": HORIZON}
    settings |= {"segment": 1, "anchor": "none", "validation": None, "steps_per_epoch": min(EPOCH, steps)}
    settings |= {"max_epochs": max(1, steps // EPOCH), "learning_rate": RATE, "mixed_precision": way == "bf16"}
    settings |= {"device": "cpu" if way == "cpu" else device, "kernels": "on" if way == "cpu" else "off"}

    def run(seed: int) -> object:
        usual = loop.captures
        try:
            if way == "eager":
                loop.captures = lambda dataset, device: False
            model = NeuralForecaster(CELL, random_state=seed, **settings)
            return model.fit(Panel.from_frame(frame, id="unique_id", time="ds", target="y"))
        finally:
            loop.captures = usual

    return run


def theirs(peer: str, device: str, size: Size, steps: int, frame: pd.DataFrame) -> Callable[[int], object]:
    """Return a fit of a peer."""
    task = {"units": size.units, "batch": size.batch, "window": size.window, "horizon": HORIZON, "rate": RATE}
    task |= {"cell": CELL.upper(), "steps": min(EPOCH, steps), "train": int(frame["unique_id"].eq("0").sum())}

    def run(seed: int) -> object:
        peer_runs.QUIET["accelerator"] = "cpu" if device == "cpu" else "gpu"
        model = PEERS[peer][1](task | {"seed": seed})
        model.read(frame)
        return model.fit(max(1, steps // EPOCH))

    return run


def measured(run: Callable[[int], object], seeds: tuple[int, ...]) -> dict[str, Any]:
    """Return the seconds of runs of each seed, after one that warms up."""
    seconds = []
    for seed in (seeds[0], *seeds):
        start = time.perf_counter()
        run(seed)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    counted = seconds[1:]
    spread = {"seconds_least_and_most": [round(min(counted), 4), round(max(counted), 4)], "seeds": list(seeds)}
    return {"seconds": round(statistics.median(counted), 4), "first_seconds": round(seconds[0], 4), **spread}


def row(way: str, device: str, size: Size, steps: int, seeds: tuple[int, ...]) -> dict[str, Any]:
    """Measure one way of fitting."""
    about = {"measured": "gpu", "way": way, **size._asdict(), "cell": CELL, "horizon": HORIZON, "steps": steps}
    frame = series(size)
    if way in PEERS:
        module = PEERS[way][0]
        if find_spec(module) is None:
            return {**about, "seconds": None, "skipped": f"{module} is not installed"}
        return {**about, "version": version(module), **measured(theirs(way, device, size, steps, frame), seeds)}
    if way == "cpu" and 18.0 * size.units**2 * size.batch * size.window > MOST:
        return {**about, "seconds": None, "skipped": "it would take the CPU minutes"}
    return {**about, **measured(ours(way, device, size, steps, frame), seeds)}


def main() -> None:
    """Measure all sizes, and keep the rows."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--minutes", type=float, default=MINUTES)
    given, began = parser.parse_args(), time.monotonic()
    on_gpu = given.device != "cpu"
    ways = ["graph", "eager", "bf16", "cpu", *PEERS] if on_gpu else ["eager", "bf16", "cpu", *PEERS]
    name = torch.cuda.get_device_name() if on_gpu else "cpu"
    device = {"device": name, "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}
    rows: list[dict[str, Any]] = []
    for size in FEW if given.quick else SIZES:
        for way in ways:
            if time.monotonic() - began > 60 * given.minutes:
                break
            found = row(way, given.device, size, 10 if given.quick else STEPS, SEEDS[:1] if given.quick else SEEDS)
            rows.append({**found, **device})
            print(way, *size, found.get("seconds"), found.get("skipped", ""), flush=True)  # noqa: T201
            if not given.quick or os.environ.get("TSFORECAST_RESULTS"):
                record("gpu", rows)


if __name__ == "__main__":
    main()
