"""Reading beside other libraries: a CSV file beside polars, a frame of pandas beside NeuralForecast, turn by turn.

Run with ``make bench-peers``: NeuralForecast lives in an environment of its own. Ours ends with a checked panel. The
file is 1,000,000 rows of 3,000 series, one after another, with ids and dates as text and one or two columns of numbers;
polars reads it and sorts it by id and date, without and with dates parsed. The frame is 3,000 series of 300 days, with
ids as pandas reads them or as objects; NeuralForecast makes its dataset of it. Each run is a process, in which the
median of five calls counts after a first one. ``times`` is the median over turns of our seconds by theirs.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from peer_runs import CALLS, middle

TURNS, SEED, SERIES, ROWS, DAYS = 7, 0, 3_000, 1_000_000, 300
READ, PARSED, PEER = "polars: read, sort", "polars: read with dates, sort", "NeuralForecast"
TASKS: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    *(({"measured": "file", "numbers": numbers, "rows": ROWS}, (READ, PARSED)) for numbers in (1, 2)),
    *(({"measured": "frame", "ids": ids, "rows": SERIES * DAYS}, (PEER,)) for ids in ("str", "object")),
]


def table(rows: int, numbers: int = 1) -> pd.DataFrame:
    """Return so many rows of all series, one after another."""
    lengths = np.full(SERIES, rows // SERIES) + (np.arange(SERIES) < rows % SERIES)
    step = np.arange(rows) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    random = np.random.default_rng(SEED)
    return pd.DataFrame(
        {
            "unique_id": np.repeat([f"shop {i:04d}" for i in range(SERIES)], lengths),
            "ds": np.datetime64("2023-01-01", "ns") + step.astype("timedelta64[D]"),
            **{name: np.round(random.normal(100, 20, rows), 2) for name in ("y", "price")[:numbers]},
        }
    )


def work(way: str, task: dict[str, Any]) -> Callable[[], Any]:
    """Return the call that is timed."""
    path = task.get("path", "")
    if task["measured"] == "frame":
        frame = table(task["rows"]).astype({"unique_id": task["ids"]})
        if way == PEER:
            from neuralforecast.tsdataset import TimeSeriesDataset

            return lambda: TimeSeriesDataset.from_df(frame)
        from tsforecast import Panel

        return lambda: Panel.of(frame)
    if way == "tsforecast":
        from tsforecast.cli.data import read_panel
        from tsforecast.cli.options import DataOptions

        return lambda: read_panel(path, DataOptions(target="y"))
    import polars as pl

    return lambda: pl.read_csv(path, try_parse_dates=way == PARSED).sort("unique_id", "ds")


def side_by_side(peer: str, task: dict[str, Any], ways: tuple[str, ...]) -> dict[str, list[list[float]]]:
    """Return both seconds of each run of each way; the ways take turns."""
    from peers import measured

    found: dict[str, list[list[float]]] = {way: [] for way in ways}
    for _ in range(TURNS):
        for way, runs in found.items():
            command = [peer if way == PEER else sys.executable, __file__, "--way", way, "--task", json.dumps(task)]
            runs.append(measured(command)["seconds"])
    return found


def rows_of(task: dict[str, Any], found: dict[str, list[list[float]]]) -> list[dict[str, Any]]:
    """Return a row for each way."""
    ours, rows = np.array(found["tsforecast"]), []
    for way, runs in found.items():
        seconds, computed = zip(*runs, strict=True)
        times, core_times = np.median(ours / np.array(runs), axis=0).round(3).tolist()
        rows.append(
            {**task, "series": SERIES, "seed": SEED, "library": way, "seconds": round(statistics.median(seconds), 4)}
            | {"lowest": round(min(seconds), 4), "highest": round(max(seconds), 4)}
            | {"core_seconds": round(statistics.median(computed), 4), "lowest_core": round(min(computed), 4)}
            | {"highest_core": round(max(computed), 4), "times": times, "core_times": core_times, "runs": TURNS}
        )
    return rows


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--peer", help="Python of the environment with NeuralForecast")
    words.add_argument("--way", help="time one way of reading, and print it")
    words.add_argument("--task", type=json.loads)
    said = words.parse_args()
    if said.way:
        print(json.dumps({"seconds": middle(work(said.way, said.task), CALLS)[1]}))  # noqa: T201
        return
    from peers import measured
    from record import record

    version = "import json, importlib.metadata as m; print(json.dumps({'neuralforecast': m.version('neuralforecast')}))"
    rows, about = [], {"peers": measured([said.peer, "-c", version])}
    with tempfile.TemporaryDirectory() as place:
        for task, others in TASKS:
            path = Path(place, "data.csv")
            if task["measured"] == "file":
                table(task["rows"], task["numbers"]).to_csv(path, index=False)
            busy = [os.getloadavg()[0]]
            found = side_by_side(said.peer, task | {"path": str(path)}, ("tsforecast", *others))
            busy += [os.getloadavg()[0]]
            rows += [{**row, "load": busy, **about} for row in rows_of(task, found)]
            for row in rows[-1 - len(others) :]:
                print({name: row[name] for name in ("library", "seconds", "core_seconds", "times", "core_times")})  # noqa: T201
    record("reading", rows)


if __name__ == "__main__":
    main()
