"""A board of six models on 3,000 series: one worker beside two, and processes beside a Ray of this machine.

Run with ``python benchmarks/executors.py`` (seven minutes, on a machine of two cores with nothing else to do);
``--quick`` takes a tenth of the series and of the epochs, once, and keeps no rows. Every worker has one thread, and one
worker one core. One Ray runs throughout. Each executor first runs a small board, so that its workers have loaded what
they need: the seconds of that, and of starting Ray, are its start. Ways take turns, and ratios are those of minima.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from record import record
from threadpoolctl import threadpool_limits

from tsforecast import GRUForecaster, LSTMForecaster, Panel, ThetaForecaster, compute, leaderboard
from tsforecast.clusters import connected
from tsforecast.evaluation.leaderboard import Leaderboard

SERIES, STEPS, SEASON, HORIZON, ORIGINS, ROUNDS = 3000, 120, 12, 12, 6, 2
EPOCHS = 24


def models(epochs: int) -> dict[str, Any]:
    """Return three models; the naive, the seasonal naive and the drift forecast are always there."""
    network = {"max_epochs": epochs, "patience": None, "random_state": 0}
    return {"theta": ThetaForecaster(), "gru": GRUForecaster(**network), "lstm": LSTMForecaster(**network)}


def made_up(series: int) -> Panel:
    """Return random walks with a season."""
    random, steps = np.random.default_rng(0), np.arange(STEPS)
    season = 10 * random.random((series, 1)) * np.sin(2 * np.pi * (steps / SEASON + random.random((series, 1))))
    walk = np.cumsum(random.normal(size=(series, STEPS)), axis=1)
    return Panel.from_array((100 + season + walk + random.normal(size=walk.shape))[..., None], season_length=SEASON)


def board(panel: Panel, epochs: int = 2) -> Leaderboard:
    """Compare all models, fitted again at each cutoff."""
    return leaderboard(models(epochs), panel, HORIZON, origins=ORIGINS, refit=True)


def plain(found: Leaderboard) -> pd.DataFrame:
    """Return the rows without their seconds."""
    return found.rows.drop(columns=["fit_seconds", "predict_seconds"])


def on_one_core(run: Callable[[], Leaderboard]) -> Leaderboard:
    """Run on one core, where threads would use two."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        return run()
    finally:
        os.sched_setaffinity(0, cores)


def main() -> None:
    """Measure all ways and keep a row."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    epochs = 2 if quick else EPOCHS
    torch.set_num_threads(1)
    threadpool_limits(1)
    panel, small = made_up(SERIES // 10 if quick else SERIES), made_up(20)
    start, seconds, rows = dict[str, float](), dict[str, list[float]](), dict[str, pd.DataFrame]()
    board(small)  # loads libraries

    def timed(way: str, run: Callable[[], Leaderboard]) -> None:
        began = time.perf_counter()
        found = run()
        seconds.setdefault(way, []).append(round(time.perf_counter() - began, 2))
        rows[way] = plain(found)
        print(way, seconds[way][-1], flush=True)  # noqa: T201

    began = time.perf_counter()
    with connected(None):
        start["starting ray"] = round(time.perf_counter() - began, 2)
        for executor in ("processes", "ray"):
            began = time.perf_counter()
            with compute(executor, n_jobs=2):  # type: ignore[arg-type]
                board(small)
            start[executor] = round(time.perf_counter() - began, 2)
        for _ in range(1 if quick else ROUNDS):
            with compute("processes", n_jobs=1):
                timed("one process", lambda: on_one_core(lambda: board(panel, epochs)))
            with compute("processes", n_jobs=2):
                timed("two processes", lambda: board(panel, epochs))
            with compute("ray", n_jobs=1):
                timed("one worker of ray", lambda: board(panel, epochs))
            with compute("ray", n_jobs=2):
                timed("two workers of ray", lambda: board(panel, epochs))
    best = {way: min(each) for way, each in seconds.items()}
    row = {
        "measured": "executors",
        "series": len(panel),
        "cutoffs": ORIGINS,
        "seconds": seconds,
        "start": start,
        "gain of processes": round(best["one process"] / best["two processes"], 2),
        "gain of ray": round(best["one worker of ray"] / best["two workers of ray"], 2),
        "overhead of ray": round(best["two workers of ray"] / best["two processes"] - 1, 3),
        "same rows": all(each.equals(rows["one process"]) for each in rows.values()),
    }
    print(row)  # noqa: T201
    if not quick:
        record("executors", [row], {"measured": "executors"})


if __name__ == "__main__":
    main()
