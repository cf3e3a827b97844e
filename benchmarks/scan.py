"""Scan of files: time and memory of `Panel.scan`, and windows drawn from its folder beside memory.

A made-up panel of `--series` text ids and `--steps` days is written as Parquet files, in the order of series and in
that of days, and scanned by a process of its own. Memory is the largest anonymous part of that process, and its largest
resident one, which counts pages of files as well. Windows are drawn at random, in batches of 1,024, from the mapped
numbers and from a copy of them in memory, in turns. At 200,000 x 200 the files take 150 MB, the folder 165 MB, and all
of it about 3 minutes on two cores: ``python benchmarks/scan.py``.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import tempfile
import time
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from record import record

from tsforecast import Panel

FILES = 8
SEED = 0
ROUNDS, BATCHES = 15, 20


def write(folder: Path, series: int, steps: int, order: str) -> int:
    """Write the rows to files, each in parts that fit into memory; return their bytes."""
    random = np.random.default_rng(SEED)
    ids = np.array([f"store-{i // 50:05d}-item-{i % 50:05d}" for i in range(series)])
    days = np.datetime64("2024-01-01") + np.arange(steps)
    folder.mkdir(parents=True)
    whole = series if order == "series" else steps
    for number, (begin, end) in enumerate(pairwise(np.linspace(0, whole, FILES + 1).astype(int).tolist())):
        count = end - begin
        held = {"id": np.repeat(ids[begin:end], steps), "day": np.tile(days, count)}
        if order == "day":
            held = {"id": np.tile(ids, count), "day": np.repeat(days[begin:end], series)}
        sold = random.gamma(2.0, 10.0, size=len(held["id"])).astype(np.float32)
        pl.DataFrame(held).with_columns(pl.Series("sold", sold)).write_parquet(folder / f"part-{number}.parquet")
    return sum(file.stat().st_size for file in folder.iterdir())


def scan(folder: Path, store: Path, sent: Any) -> None:
    """Scan the files, and once more; send how long both took."""
    begin = time.perf_counter()
    Panel.scan(folder, id="id", time="day", target="sold", store=store)
    first = time.perf_counter() - begin
    Panel.scan(folder, id="id", time="day", target="sold", store=store)
    sent.send((first, time.perf_counter() - begin - first))


def memory(pid: int) -> tuple[int, int]:
    """Return the anonymous and the largest resident memory of a process in MB."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0, 0
    found = {line.partition(":")[0]: line.split()[1] for line in lines if line.startswith(("RssAnon", "VmHWM"))}
    return int(found.get("RssAnon", 0)) // 1024, int(found.get("VmHWM", 0)) // 1024


def measured(folder: Path, store: Path) -> dict[str, Any]:
    """Scan in a process of its own, and watch its memory."""
    context = multiprocessing.get_context("spawn")
    got, sent = context.Pipe(duplex=False)
    process = context.Process(target=scan, args=(folder, store, sent))
    process.start()
    anonymous = resident = 0
    while not got.poll(0.02):
        now = memory(process.pid or 0)
        anonymous, resident = max(anonymous, now[0]), max(resident, now[1])
        if not process.is_alive() and not got.poll(0.1):
            raise SystemExit("the scan failed")
    first, again = got.recv()
    process.join()
    return {"seconds": first, "seconds_again": again, "anonymous_mb": anonymous, "resident_mb": resident}


def windows(panel: Panel) -> dict[str, Any]:
    """Draw windows at random from the folder and from memory, in turns."""
    import torch

    from tsforecast.data.windows import Windows

    torch.set_num_threads(1)
    held = {"disk": panel.values, "memory": np.array(panel.values)}
    warnings.filterwarnings("ignore", "The given NumPy array is not writable")  # nobody writes to it here
    drawn = {name: Windows(values, values, panel.offsets, 28, 7) for name, values in held.items()}
    torch.manual_seed(SEED)
    index = [torch.randint(len(drawn["disk"]), (1_024,)) for _ in range(BATCHES)]
    seconds: dict[str, list[float]] = {"disk": [], "memory": []}
    for _ in range(ROUNDS):
        for name, own in drawn.items():
            begin = time.perf_counter()
            for each in index:
                own.batch(each)
            seconds[name].append(time.perf_counter() - begin)
    rates = {name: BATCHES * 1_024 / statistics.median(times) for name, times in seconds.items()}
    ratios = [memory / disk for disk, memory in zip(seconds["disk"], seconds["memory"], strict=True)]
    return {
        "windows_per_second_disk": round(rates["disk"]),
        "windows_per_second_memory": round(rates["memory"]),
        "share_of_memory": statistics.median(ratios),
        "share_quartiles": [float(one) for one in np.quantile(ratios, (0.25, 0.75))],
    }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--series", type=int, default=200_000)
    options.add_argument("--steps", type=int, default=200)
    options.add_argument("--folder", type=Path, help="on a disk, not in memory; by default the temporary folder")
    options.add_argument("--dry", action="store_true", help="keep no rows")
    given = options.parse_args()
    rows = []
    for order in ("series", "day"):
        with tempfile.TemporaryDirectory(dir=given.folder) as made:
            folder, store = Path(made) / "files", Path(made) / "panel"
            size = write(folder, given.series, given.steps, order)
            row = {"order": order, "series": given.series, "steps": given.steps, "seed": SEED, "files_mb": size / 1e6}
            row |= measured(folder, store)
            row["folder_mb"] = sum(file.stat().st_size for file in store.iterdir()) / 1e6
            row["folder_mb_per_second"] = row["folder_mb"] / row["seconds"]
            row["rows_per_second"] = given.series * given.steps / row["seconds"]
            row |= windows(Panel.open(store)) if order == "series" else {}
            rows.append(row)
            print(row)  # noqa: T201
    if not given.dry:
        record("scan", rows)


if __name__ == "__main__":
    main()
