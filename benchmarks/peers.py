"""Fits, forecasts and a backtest beside NeuralForecast and Darts: networks of a size, as many steps of as many windows.

Run with ``make bench-peers``: the peers live in an environment of their own. Three tasks: a fit of one series; a
backtest of one series from many cutoffs, whose one fit is not counted; a fit and forecasts of 3,000 series. Each run is
a process of its own, which warms up before anything is timed, and ours and theirs take turns. Peers are tried
with one thread and with two, and go on with what is quicker. Data are brought into a library's form before it fits,
which is timed apart. ``--quick`` takes few steps, once, and keeps no rows.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from peer_runs import CALLS, middle, timed
from record import record

HERE = Path(__file__).parent
RUNS = 3
TRIAL = 2  # epochs, by which the number of threads of a peer is chosen
SHARED = {"window": 24, "horizon": 12, "batch": 256, "seed": 1, "warm": 1}
SUNSPOTS = {"set": "sunspots", "cell": "GRU", "units": 32, "season": 132, "rate": 0.002}
TASKS: dict[str, dict[str, Any]] = {  # train: first rows of each series; steps: of an epoch; warm: epochs, of the peers
    "one series": {**SUNSPOTS, "train": 2797, "origins": 469, "epochs": 100, "steps": 10, "keeps": ["read", "fit"]},
    "many cutoffs": {**SUNSPOTS, "train": 792, "origins": 2474, "epochs": 250, "steps": 2, "keeps": ["backtest"]},
    "many series": {"set": "3,000 seasons", "cell": "LSTM", "units": 8, "season": 12, "rate": 0.01}
    | {"train": 288, "origins": 0, "epochs": 10, "steps": 100, "keeps": ["read", "fit", "predict"]},
}
Way = tuple[str, str, dict[str, Any]]  # library, settings, and the part of its task that they are
WAYS: list[Way] = [
    ("tsforecast", "default", {"segment": "auto", "anchor": "auto", "threads": 2}),
    ("tsforecast", "as the peers", {"segment": 1, "anchor": "none", "threads": 2}),
    *((name, "its best", {"library": name, "threads": n}) for name in ("NeuralForecast", "Darts") for n in (1, 2)),
]
SHOWN = ("measured", "library", "settings", "threads", "seconds", "lowest", "highest", "core_seconds", "runs", "mae")


def ours(told: dict[str, Any]) -> dict[str, Any]:
    """Return with ours what `peer_runs.measured` returns with a peer."""
    from tsforecast import Panel, backtest
    from tsforecast.forecasters import neural

    fits: list[list[float]] = []

    class Timed(getattr(neural, f"{told['cell']}Forecaster")):  # type: ignore[misc]
        def fit(self, data: Any) -> Any:
            result, seconds = timed(lambda: super(Timed, self).fit(data))
            fits.append(seconds)
            return result

    frame = pd.read_csv(told["data"], parse_dates=["ds"])
    train = frame[frame.groupby("unique_id").cumcount() < told["train"]]
    names = {"id": "unique_id", "time": "ds", "target": "y", "season_length": told["season"]}
    panel, read = timed(lambda: Panel.from_frame(train, **names))
    model = Timed(
        horizon=told["horizon"],
        window=told["window"],
        segment=told["segment"],
        anchor=told["anchor"],
        units=told["units"],
        batch_size=told["batch"],
        learning_rate=told["rate"],
        max_epochs=told["epochs"],
        steps_per_epoch=told["steps"],
        validation=None,
        random_state=told["seed"],
    )
    for _ in range(2):  # the first one warms up, and is as long as the other: kernels are not worth loading for less
        model.fit(panel)
    found = {"read": read, "fit": fits[-1], "steps": told["epochs"] * told["steps"]}
    if not told["origins"]:
        values = frame["y"].to_numpy().reshape(-1, told["length"])
        said, found["predict"] = middle(model.predict, CALLS)
        truth = values[:, told["train"] : told["train"] + told["horizon"]]
        return found | {"mae": float(np.abs(said["y"].to_numpy().reshape(truth.shape) - truth).mean())}
    whole = Panel.from_frame(frame, **names)
    parts = []
    for _ in range(CALLS + 1 if "backtest" in told["keeps"] else 1):
        rows, seconds = timed(lambda: backtest(model, whole, told["horizon"], told["origins"], step=1, audit=None))
        parts.append(np.subtract(seconds, fits[-1]))  # its one fit is not counted
    found["backtest"] = np.median(parts[1:] or parts, axis=0).tolist()
    return found | {"mae": float((rows["y"] - rows["forecast"]).abs().mean())}


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--peer", help="Python of the environment with the peers")
    words.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    words.add_argument("--runs", type=int, default=RUNS)
    words.add_argument("--quick", action="store_true", help="few steps, and no rows")
    words.add_argument("--ours", help="run ours once on a task in JSON, and print the measurement")
    said = words.parse_args()
    if said.ours:
        print(json.dumps(ours(json.loads(said.ours))))  # noqa: T201
        return
    peers = measured([said.peer, str(HERE / "peer_runs.py")])
    for task in said.tasks:
        with tempfile.TemporaryDirectory() as place:
            told = SHARED | TASKS[task]
            values = numbers(told["set"])
            told |= {"data": _csv(told["set"], values, place), "series": len(values), "length": values.shape[1]}
            trial = told | {"epochs": TRIAL}
            ways = quicker(told, WAYS, side_by_side(said.peer, trial, WAYS, 1))
            busy = [os.getloadavg()[0]]
            runs = side_by_side(said.peer, trial if said.quick else told, ways, 1 if said.quick else said.runs)
            busy += [os.getloadavg()[0]]
        found = rows_of(trial if said.quick else told, ways, runs, naive_error(told, values))
        rows = [{"task": task, **row, "load": busy, "peers": peers} for row in found]
        for row in rows:
            print(task, {name: row[name] for name in SHOWN}, flush=True)  # noqa: T201
        if not said.quick:
            record("peers", rows, replacing={"task": task})


def side_by_side(peer: str, told: dict[str, Any], ways: list[Way], turns: int) -> list[list[dict[str, Any]]]:
    """Return what the runs of each way measured; the ways take turns."""
    found: list[list[dict[str, Any]]] = [[] for _ in ways]
    for _ in range(turns):
        for (_, _, way), runs in zip(ways, found, strict=True):
            command = [peer, str(HERE / "peer_runs.py")] if "library" in way else [sys.executable, __file__, "--ours"]
            runs.append(measured([*command, json.dumps(told | way)]))
    return found


def quicker(told: dict[str, Any], ways: list[Way], found: list[list[dict[str, Any]]]) -> list[Way]:
    """Return the ways that were their library's quickest, with these settings, at some part.

    Reading the data does not count: threads of torch have no share in it.
    """
    chosen = set()
    for part in set(told["keeps"]) - {"read"}:
        best: dict[tuple[str, str], int] = {}
        for number, (library, settings, _) in enumerate(ways):
            known = best.get((library, settings), number)
            best[library, settings] = min(known, number, key=lambda n: found[n][0][part][0])
        chosen |= set(best.values())
    return [ways[number] for number in sorted(chosen)]


def rows_of(
    told: dict[str, Any], ways: list[Way], found: list[list[dict[str, Any]]], naive: float
) -> list[dict[str, Any]]:
    """Return a row for each way and each part that is kept of it."""
    about = {name: told[name] for name in ("set", "series", "cell", "units", "window", "horizon", "batch", "origins")}
    about["steps"] = told["epochs"] * told["steps"]
    taken = {run["steps"] for runs in found for run in runs}
    if taken != {about["steps"]}:
        raise RuntimeError(f"every library must take {about['steps']} steps: they took {sorted(taken)}")
    rows = []
    for part in told["keeps"]:
        for (library, settings, way), runs in zip(ways, found, strict=True):
            seconds, computed = zip(*(run[part] for run in runs), strict=True)
            rows.append(
                {"measured": part, **about, "library": library, "settings": settings, "threads": way["threads"]}
                | {"seconds": round(statistics.median(seconds), 4), "lowest": round(min(seconds), 4)}
                | {"highest": round(max(seconds), 4), "core_seconds": round(statistics.median(computed), 4)}
                | {"lowest_core": round(min(computed), 4), "highest_core": round(max(computed), 4), "runs": len(runs)}
                | {"mae": round(statistics.median(run["mae"] for run in runs), 4), "naive_mae": round(naive, 4)}
            )
    return rows


def measured(command: list[str]) -> dict[str, Any]:
    """Return what a run prints in its last line."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} must run: {done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def numbers(name: str) -> np.ndarray:
    """Return the series of a set, (N, T): sunspots, or 25 years of months with a season, a level and noise."""
    if name == "sunspots":
        from tsforecast import load_dataset

        return load_dataset(name).series(0)[None, :, 0].astype(np.float64)
    random, months = np.random.default_rng(0), np.arange(300)
    level, height = random.uniform(10, 100, (3000, 1)), random.uniform(1, 5, (3000, 1))
    turn = 2 * np.pi * months / 12 + random.uniform(0, 2 * np.pi, (3000, 1))
    series = level + height * (np.sin(turn) + 0.5 * np.sin(2 * turn)) + random.normal(size=(3000, 300))
    return np.round(series, 3)


def naive_error(told: dict[str, Any], values: np.ndarray) -> float:
    """Return the mean absolute error of the last value, or of the last season, whichever is lower."""
    season, horizon, train = told["season"], told["horizon"], told["train"]
    errors = []
    for cutoff in range(train, train + max(1, told["origins"])):
        truth = values[:, cutoff : cutoff + horizon]
        naive = values[:, cutoff - 1 : cutoff], values[:, cutoff - season : cutoff - season + horizon]
        errors.append([np.abs(truth - guess).mean() for guess in naive])
    return float(np.mean(errors, axis=0).min())


def _csv(name: str, values: np.ndarray, place: str) -> str:
    """Write a long frame that every library reads."""
    count, length = values.shape
    stamps = np.tile(pd.date_range("1749-01-01", periods=length, freq="MS"), count)
    path = Path(place, "data.csv")
    ids = np.repeat([f"{i:04d}{name[0]}" for i in range(count)], length)
    pd.DataFrame({"unique_id": ids, "ds": stamps, "y": values.ravel()}).to_csv(path, index=False)
    return str(path)


if __name__ == "__main__":
    main()
