"""A board on a Ray cluster of three nodes, of which a worker, a node or the driver is killed at a random moment.

Run with ``python benchmarks/kills.py`` (ten minutes at most): 20 kills of each kind; ``--times`` and ``--kinds`` choose
others, ``--quick`` kills each once and keeps no rows. A board has six models, one of them slow, at four cutoffs: 24
tasks. Each round runs it in a process of its own, with a checkpoint, sends SIGKILL at a moment drawn between the first
task and the end, and starts another node, or the driver again, where that was killed. Rows are compared with those of
one process: none may lack, be twice or differ.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from ray.cluster_utils import Cluster
from record import record

from tsforecast import MeanForecaster, NaiveForecaster, Panel, WindowAverageForecaster, compute, leaderboard

KINDS, SECONDS = ("worker", "node", "driver"), 0.3


class Slow(NaiveForecaster):
    """The naive forecast, after a while; notes the process that it runs in."""

    def __init__(self, pids: str = "", horizon: int = 1) -> None:
        super().__init__(horizon)
        self.pids = pids

    def _fit(self, panel: Panel) -> None:
        if self.pids:
            with open(self.pids, "a") as lines:
                lines.write(f"{os.getpid()}\n")
            time.sleep(SECONDS)


def board(folder: Path, address: str | None = None) -> pd.DataFrame:
    """Return the rows of a board, on a cluster or in the current process."""
    pids = str(folder / "pids") if address else ""
    models = {"slow": Slow(pids), "mean": MeanForecaster(), "window-average": WindowAverageForecaster()}
    data = np.random.default_rng(0).normal(size=(5, 60, 1)).cumsum(axis=1)
    with compute("ray" if address else "processes", n_jobs=None if address else 1, address=address):
        kept = folder / "kept" if address else None
        return leaderboard(models, data, 3, origins=4, refit=True, seeds=1, checkpoint=kept).rows


def plain(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows without their seconds."""
    return rows.drop(columns=["fit_seconds", "predict_seconds"]).astype({"model": str}).reset_index(drop=True)


def driver(address: str, folder: Path) -> subprocess.Popen[bytes]:
    """Start a board in a process of its own, which writes its rows in the end."""
    command = [sys.executable, __file__, "--driver", address, str(folder)]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)


def kill(kind: str, run: subprocess.Popen[bytes], cluster: Any, folder: Path, random: np.random.Generator) -> bool:
    """Kill one of a kind, and return whether it was there."""
    if kind == "driver":
        there = run.poll() is None
        run.kill()
        run.wait()
        return there
    if kind == "node":
        nodes = sorted(cluster.worker_nodes, key=lambda node: node.node_id)
        cluster.remove_node(nodes[random.integers(len(nodes))], allow_graceful=False)
        cluster.add_node(num_cpus=1)
        return run.poll() is None
    workers = [pid for pid in dict.fromkeys((folder / "pids").read_text().split()) if Path(f"/proc/{pid}").exists()]
    if not workers or run.poll() is not None:
        return False
    with suppress(ProcessLookupError):
        os.kill(int(workers[random.integers(len(workers))]), signal.SIGKILL)
        return True
    return False


def round_of(kind: str, cluster: Any, whole: pd.DataFrame, random: np.random.Generator) -> dict[str, int]:
    """Run a board, kill at a random moment, and compare its rows."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = driver(cluster.address, folder)
        while not (folder / "pids").exists():
            if run.poll() is not None:
                raise RuntimeError("the board ended before its first slow fit")
            time.sleep(0.01)
        time.sleep(float(random.uniform(0, 2 * SECONDS)))
        hit = kill(kind, run, cluster, folder, random)
        if kind == "driver":
            run = driver(cluster.address, folder)
        ended = run.wait(timeout=120) == 0
        rows = pd.read_parquet(folder / "rows.parquet") if ended else whole[:0]
        fits = len((folder / "pids").read_text().split())
    keys = ["model", "series", "cutoff", "step"]
    joined = whole[keys].astype(str).merge(rows[keys].astype(str).drop_duplicates(), how="left", indicator=True)
    same = rows.equals(whole)
    return {
        "hit": hit,
        "lost": int((joined["_merge"] == "left_only").sum()),
        "twice": int(rows.duplicated(keys).sum()),
        "same": same,
        "again": fits - 4,
    }


def main() -> None:
    """Kill each kind, and keep a row for each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--driver", nargs=2, metavar=("ADDRESS", "FOLDER"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.driver:
        folder = Path(given.driver[1])
        plain(board(folder, given.driver[0])).to_parquet(folder / "part")
        (folder / "part").rename(folder / "rows.parquet")
        return
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "rows.parquet"  # types as they are read
        plain(board(Path(name))).to_parquet(path)
        whole = pd.read_parquet(path)
    here = str(Path(__file__).parent)
    os.environ["PYTHONPATH"] = os.pathsep.join([here, os.environ.get("PYTHONPATH", "")])
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=1)
        for kind in given.kinds:
            random, began = np.random.default_rng(KINDS.index(kind)), time.perf_counter()
            rounds = list[dict[str, int]]()
            for _ in range(1 if given.quick else given.times):
                rounds.append(round_of(kind, cluster, whole, random))
                print(kind, rounds[-1], flush=True)  # noqa: T201
            total = {key: int(sum(each[key] for each in rounds)) for key in rounds[0]}
            seconds = round(time.perf_counter() - began, 1)
            row = {"measured": "kills", "killed": kind, "rounds": len(rounds), "seed": KINDS.index(kind), **total}
            print({**row, "seconds": seconds}, flush=True)  # noqa: T201
            if not given.quick:
                record("kills", [{**row, "seconds": seconds}], {"measured": "kills", "killed": kind})
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main()
