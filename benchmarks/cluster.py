"""A board of 3,000 series on 1 to 100 nodes, simulated from measured tasks, beside one and two real workers.

Run with ``python benchmarks/cluster.py`` (about six minutes on two cores; ``--quick`` takes one, of fewer tasks). Fits
of six models on 3,000 monthly series are timed one by one; a simulation of events lays as many as a board has over the
cores of a cluster. It knows what Ray costs here (starting, handing out a task, bringing back its result) and what a
network needs to bring the panel to each node once. The same simulation is compared with a real Ray of one and two
workers. Rows have the throughput of networks and classical models as well, from which core hours follow.
"""

from __future__ import annotations

import argparse
import heapq
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
from record import record

import tsforecast
from tsforecast import (
    Conv1DForecaster,
    ETSForecaster,
    GRUForecaster,
    LSTMForecaster,
    Panel,
    ReductionForecaster,
    RNNForecaster,
    ThetaForecaster,
)
from tsforecast.executors import run_tasks

SERIES, STEPS, SEASON, HORIZON = 3_000, 120, 12, 12
CORES = 16  # of a simulated node
GIGABIT = 1e9 / 8  # bytes a second
NODES = (1, 2, 5, 10, 20, 50, 100)
CUTOFFS = 200  # at which each model is fitted again
BLOCK = 25  # series of a classical model in one task
MODELS: dict[str, Any] = {
    "theta": ThetaForecaster(horizon=HORIZON),
    "ets": ETSForecaster(horizon=HORIZON),
    "reduction": ReductionForecaster(horizon=HORIZON),
    "gru": GRUForecaster(horizon=HORIZON, max_epochs=5),
    "lstm": LSTMForecaster(horizon=HORIZON, max_epochs=5),
    "conv1d": Conv1DForecaster(horizon=HORIZON, max_epochs=5),
}
BY_SERIES = ("theta", "ets")  # fitted to each series for itself


@dataclass(frozen=True)
class Cluster:
    """Nodes that are alike, and what it costs to use them, in seconds and bytes."""

    nodes: int
    cores: int
    sent: float = 0.0  # bytes of the data, which each node needs once
    bandwidth: float = 10 * GIGABIT  # of the driver, which sends to one node at a time
    handing: float = 0.0  # of the driver's time, for each task
    delay: float = 0.0  # from handing out a task until it begins
    start: float = 0.0  # of the first process of a core


def makespan(tasks: Sequence[float], cluster: Cluster) -> float:
    """Return when the last of the tasks ends, each of which is given to the core that is free first.

    The driver hands out tasks one after the other, and sends the data to a node before its first one.
    """
    free = [(0.0, core) for core in range(cluster.nodes * cluster.cores)]
    heapq.heapify(free)
    driver = uplink = last = 0.0
    ready: dict[int, float] = {}  # node -> when it has the data
    started: set[int] = set()  # cores with a process
    for task in tasks:
        at, core = heapq.heappop(free)
        driver = max(driver, at) + cluster.handing
        node, begin = core % cluster.nodes, driver + cluster.delay
        if node not in ready:
            uplink = ready[node] = max(uplink, driver) + cluster.sent / cluster.bandwidth
        if core not in started:
            started.add(core)
            begin += cluster.start
        end = max(begin, ready[node]) + task
        heapq.heappush(free, (end, core))
        last = max(last, end)
    return last


def made_up(series: int, steps: int = STEPS) -> Panel:
    """Return monthly series with trend, season and noise."""
    random, t = np.random.default_rng(0), np.arange(steps)
    level, slope, size = random.uniform(10, 100, (3, series, 1)) * np.array([1, 0.01, 0.2])[:, None, None]
    season = size * np.sin(2 * np.pi * (t + random.integers(0, SEASON, (series, 1))) / SEASON)
    values = level + slope * t + season + random.normal(size=(series, steps))
    return Panel.from_array(list(values), season_length=SEASON)


def fitted(task: tuple[str, int], panels: dict[int, Panel]) -> float:
    """Fit a model to the first series, and forecast; return the seconds of processor time."""
    name, series = task
    began = time.process_time()
    MODELS[name].fit(panels[series]).predict()
    return time.process_time() - began


def measured_tasks(repeats: int, series: int) -> dict[str, list[float]]:
    """Return times of the tasks of each model: whole fits, or fits of a block of series."""
    panels = {number: made_up(number) for number in (BLOCK, series)}
    found: dict[str, list[float]] = {}
    for name in MODELS:
        task = (name, BLOCK if name in BY_SERIES else series)
        fitted((name, BLOCK), panels)  # loads kernels
        with tsforecast.compute(n_jobs=1):  # the time of other processes would not be seen
            found[name] = [fitted(task, panels) for _ in range(2 * repeats if name in BY_SERIES else repeats)]
    return found


def nothing(task: int, shared: None) -> int:
    """Return at once."""
    return task


def spin(task: float, shared: None) -> float:
    """Keep a core busy for so many seconds of its own time."""
    began = time.process_time()
    while time.process_time() - began < task:
        pass
    return task


def real(function: Any, tasks: Sequence[Any], workers: int | None) -> float:
    """Return seconds of tasks on a Ray that runs, of so many at a time."""
    with tsforecast.compute("ray", n_jobs=workers):
        began = time.perf_counter()
        for _, outcome in run_tasks(function, dict(enumerate(tasks)), None):
            outcome.result()
        return time.perf_counter() - began


def of_ray(count: int, size: float) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Return rows of a real Ray of one and two workers beside the simulation, and what it costs to use it."""
    with tsforecast.compute("ray", n_jobs=1), closing(run_tasks(nothing, {0: 0, 1: 1}, None)) as first:
        began = time.perf_counter()
        next(first)
        start = time.perf_counter() - began
        real(nothing, range(8), None)  # a process for each core
        costs = {"handing": real(nothing, range(count), None) / count}
        costs["delay"] = max(0.0, real(nothing, range(count // 5), 1) / (count // 5) - costs["handing"])
        tasks = [size * (1 + number % 3) for number in range(40)]
        rows = [{"measured": "ray", "start": start, **costs, "tasks": count}]
        for workers in (1, 2):
            runs = [real(spin, tasks, workers) for _ in range(3)]
            row = {"measured": "real", "workers": workers, "tasks": len(tasks), "work": sum(tasks), "seconds": runs}
            rows.append(row | {"simulated": makespan(tasks, Cluster(1, workers, **costs))})
        return rows, costs | {"start": start}


def throughput(series: int) -> list[dict[str, Any]]:
    """Return rows of processor time: of networks for each row of the data and epoch, of others for each series."""
    panel, rows = made_up(series), []
    for kind in (RNNForecaster, GRUForecaster, LSTMForecaster, Conv1DForecaster):
        spent: dict[int, list[float]] = {6: [], 21: []}  # kernels are chosen by the time that they save
        for epochs in (6, 21, 6, 21):
            began = time.process_time()
            kind(horizon=HORIZON, max_epochs=epochs, validation=None).fit(panel)
            spent[epochs].append(time.process_time() - began)
        seconds = (min(spent[21]) - min(spent[6])) / 15 / len(panel.values)
        rows.append({"measured": "throughput", "model": kind.__name__, "microseconds": 1e6 * seconds})
    return rows


def board(times: dict[str, list[float]], series: int) -> list[float]:
    """Return the tasks of a board in which each model is fitted again at each cutoff, drawn from measured times."""
    random = np.random.default_rng(0)
    tasks: list[float] = []
    for name, found in times.items():
        count = CUTOFFS * (series // BLOCK if name in BY_SERIES else 1)
        tasks += random.choice(found, count).tolist()
    return sorted(tasks, reverse=True)  # the longest first: a long last one leaves cores idle


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    repeats, series = (2, 300) if quick else (3, SERIES)
    times = measured_tasks(repeats, series)
    rows: list[dict[str, Any]] = [
        {
            "measured": "task",
            "model": name,
            "series": BLOCK if name in BY_SERIES else series,
            "times": found,
        }
        for name, found in times.items()
    ]
    rows += throughput(min(series, 1_000))
    found, costs = of_ray(*((200, 0.1) if quick else (1_000, 0.15)))
    rows += found
    whole = board(times, series)
    for nodes in NODES:
        seconds = makespan(whole, Cluster(nodes, CORES, sent=4 * series * STEPS, **costs))
        row = {"measured": "simulated", "nodes": nodes, "cores": nodes * CORES, "tasks": len(whole)}
        efficiency = sum(whole) / seconds / (nodes * CORES)
        rows.append(row | {"seconds": seconds, "efficiency": efficiency, "longest": max(whole)})
    record("cluster", rows)


if __name__ == "__main__":
    main()
