"""Searches of 40 trials of 10 epochs on sunspots, beside NeuralForecast's AutoGRU on the same spaces.

Run with ``make bench-peers``: the peer lives in an environment of its own. Both search at random, without stopping any
trial early, two trials at a time on one thread each, which suits the peer better than its own one at a time on all
cores; our quick trials run one after the other. Each run is a process of its own, which starts Ray where it needs it,
searches, and fits the best settings again, turn by turn. An epoch is as many steps of as many windows on both sides,
and each epoch is validated. One space has networks up to 128 units in three layers, the other small ones.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from record import record

HERE = Path(__file__).parent
HORIZON, TRIALS, EPOCHS, BATCH, VALIDATION = 12, 40, 10, 128, 480
RATES = (1e-4, 1e-1)
SPACES: dict[str, dict[str, list[int]]] = {
    "large": {"units": [16, 32, 64, 128], "layers": [1, 2, 3], "windows": [24, 48, 96]},
    "small": {"units": [8, 16, 32], "layers": [1, 2], "windows": [24, 48]},
}
REPEATS = {"large": 1, "small": 3}  # of half an hour, and of minutes


def ours(size: str, segment: int | str) -> dict[str, float]:
    """Search with ours, reading steps one by one as the peer does, or in segments as we do by default."""
    from tsforecast import GRUForecaster, load_dataset
    from tsforecast.search.search import RaySearch
    from tsforecast.search.space import log

    panel = load_dataset("sunspots")
    model = GRUForecaster(horizon=HORIZON, batch_size=BATCH, segment=segment)
    own = SPACES[size]
    space = {"units": own["units"], "layers": own["layers"], "window": own["windows"], "learning_rate": log(*RATES)}
    rules: dict[str, Any] = {"searcher": "random", "scheduler": "none", "validation": VALIDATION, "give_up": False}
    with tempfile.TemporaryDirectory() as place:
        began = time.perf_counter()
        search = RaySearch(model.set_params(max_epochs=EPOCHS), space, trials=TRIALS, storage=place, **rules).fit(panel)
        seconds = time.perf_counter() - began
    finished = int((search.trials_["status"] == "finished").sum())
    return {"seconds": seconds, "finished": finished, "best_skill": search.best_score_}


def measured(command: list[str]) -> dict[str, float]:
    """Return what a run prints in its last line."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} must run: {done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--peer", help="Python of the environment with the peer")
    words.add_argument("--space", choices=SPACES, help="measure one space alone")
    words.add_argument("--ours", help="run ours once on that space, with this segment, and print what was measured")
    said = words.parse_args()
    if said.ours:
        print(json.dumps(ours(said.space, said.ours if said.ours == "auto" else int(said.ours))))  # noqa: T201
        return
    version, rows = measured([said.peer, str(HERE / "peer_search.py")]), []
    for size in [said.space] if said.space else SPACES:
        rows += _measured(size, said.peer, version)
    record("search", rows, {"space": said.space} if said.space else None)


def _measured(size: str, python: str, version: dict[str, float]) -> list[dict[str, Any]]:
    """Measure the searches of one space in turn, and return a row of each."""
    steps = EPOCHS * math.ceil((_length() - VALIDATION - max(SPACES[size]["windows"]) - HORIZON) / BATCH)
    me, peer = [sys.executable, __file__, "--space", size, "--ours"], [python, str(HERE / "peer_search.py")]
    with tempfile.TemporaryDirectory() as place:
        told = {"data": _csv(place), "h": HORIZON, "trials": TRIALS, "steps": steps, "epochs": EPOCHS, "batch": BATCH}
        told |= {"validation": VALIDATION, "rates": RATES, "cpus": 1} | SPACES[size]
        runs = {
            ("tsforecast", "as the peer reads: step by step"): [*me, "1"],
            ("tsforecast", "default"): [*me, "auto"],
            ("NeuralForecast AutoGRU", "a core a trial"): [*peer, json.dumps(told)],
        }
        found: dict[tuple[str, str], list[dict[str, float]]] = {name: [] for name in runs}
        for _ in range(REPEATS[size]):
            for name, command in runs.items():
                found[name].append(measured(command))
    return [{"space": size} | _row(name, settings, each, version) for (name, settings), each in found.items()]


def _row(name: str, settings: str, runs: list[dict[str, float]], peers: dict[str, Any]) -> dict[str, Any]:
    rates = [60 * TRIALS / run["seconds"] for run in runs]
    return {
        "measured": "trials_a_minute",
        "set": "sunspots",
        "library": name,
        "settings": settings,
        "median": statistics.median(rates),
        "lowest": min(rates),
        "highest": max(rates),
        "repeats": len(runs),
        "trials": TRIALS,
        "epochs": EPOCHS,
        "finished": min(run["finished"] for run in runs),
        "peers": peers,
    }


def _length() -> int:
    from tsforecast import load_dataset

    return int(load_dataset("sunspots").lengths[0])


def _csv(place: str) -> str:
    import pandas as pd

    from tsforecast import load_dataset

    panel = load_dataset("sunspots")
    stamps = pd.date_range("1749-01-01", periods=int(panel.lengths[0]), freq="MS")
    path = Path(place, "sunspots.csv")
    pd.DataFrame({"unique_id": "sunspots", "ds": stamps, "y": panel.series(0)[:, 0]}).to_csv(path, index=False)
    return str(path)


if __name__ == "__main__":
    main()
