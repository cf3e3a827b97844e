"""A panel that is larger than the memory: fit of the default GRU, and forecasts to Parquet, with a limit on both.

A made-up panel (days with a season and noise, seed 0) is laid out as a file of float32 and left out of the cache of the
system. A process of its own, in a memory cgroup where one can be made, fits two epochs and forecasts all series into a
folder. A row has the seconds of each part, the largest anonymous memory (``peak_anonymous_mb``: what cannot be dropped,
as pages of files can), the largest resident memory with those pages (``peak_resident_mb``), and the limit. Batches of
windows of a panel in a file that the cache holds are gathered beside those of the same panel in memory, turn by turn
(``gathered``: median of ratios of their speeds).

Default: 10 GB, 500,000 series of 5,000 steps, limit 1.5 GB; it needs 30 GB of disk (the panel, its training part and
its scaled rows) and some 4 to 8 minutes of two quiet cores. ``--series 200000 --steps 200`` takes half a minute.
Scratch files lie in the folder.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

HORIZON, SEASON, BLOCK, TURNS = 12, 24, 1_000, 15
CGROUPS = (  # folder, limit and largest use: of the first version, and of the second
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.max_usage_in_bytes"),
    (Path("/sys/fs/cgroup"), "memory.max", "memory.peak"),
)


def lay_out(path: Path, series: int, steps: int) -> None:
    """Write the panel series by series, and have the system forget its pages."""
    random, day = np.random.default_rng(0), np.arange(steps) * 2 * np.pi / SEASON
    block = 20 + random.uniform(1, 3, (BLOCK, 1)) * np.sin(day) + random.normal(0, 0.5, (BLOCK, steps))
    with path.open("wb") as file:
        for begin in range(0, series, BLOCK):
            block[: series - begin].astype(np.float32).tofile(file)
            block = np.roll(block, 7, axis=1)
        file.flush()
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def panel_of(values: Any, series: int) -> Any:
    """Return the panel of values, (rows, 1)."""
    from tsforecast import Panel

    few = Panel.from_array(np.zeros((1, 2, 1)), season_length=SEASON)
    offsets = np.arange(series + 1) * (len(values) // series)
    return few.untimed(values, offsets, np.arange(series), few.roles, few.source)


def status(name: str) -> float:
    """Return a size of this process in megabytes."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1024


@contextmanager
def watched(row: dict[str, Any]) -> Iterator[None]:
    """Keep the largest anonymous memory in a row."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            row["peak_anonymous_mb"] = round(max(row.get("peak_anonymous_mb", 0), status("RssAnon")))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        row["peak_resident_mb"] = round(status("VmHWM"))


def timed(row: dict[str, Any], name: str, call: Callable[[], Any]) -> Any:
    """Call, and keep the seconds in a row."""
    began = time.perf_counter()
    found = call()
    row[f"{name}_seconds"] = round(time.perf_counter() - began, 1)
    return found


def work(path: Path, series: int, steps: int, limit: int, group: str) -> None:
    """Fit and forecast in this process, within a cgroup, and print a row."""
    for folder, _, _ in CGROUPS if group else ():
        if (folder / group).is_dir():
            (folder / group / "cgroup.procs").write_text(str(os.getpid()))
    from tsforecast import GRUForecaster
    from tsforecast.mapped import Mapped

    panel = panel_of(Mapped(path, np.float32, (series * steps, 1)), series)
    row: dict[str, Any] = {"gigabytes": round(panel.values.nbytes / 1e9, 2), "series": series, "steps": steps}
    row |= {"limit_mb": limit if group else None, "epochs": 2, "seed": 0}
    with watched(row):
        model = GRUForecaster(horizon=HORIZON, max_epochs=2, random_state=0)
        timed(row, "fit", lambda: model.fit(panel))
        folder = timed(row, "predict", lambda: model.predict(to=path.parent / "forecasts"))
    from pyarrow import parquet

    files = [*folder.glob("part-*")]
    row["forecasts"], row["files"] = sum(parquet.read_metadata(file).num_rows for file in files), len(files)
    row["skill"] = model.history_[-1].skill
    sys.stdout.write(json.dumps(row) + "\n")


def gathered(path: Path, series: int, steps: int) -> dict[str, Any]:
    """Return how fast windows are gathered from a file that the cache holds, beside memory."""
    import torch

    from tsforecast.data.windows import Windows
    from tsforecast.mapped import Mapped

    series = min(series, 10**8 // steps)  # as much as 400 MB
    mapped, offsets = Mapped(path, np.float32, (series * steps, 1)), np.arange(series + 1) * steps
    file = np.memmap(path, np.float32, "c", shape=mapped.shape)  # may be written to, as torch wants it
    kept = np.array(mapped)
    ways = {
        name: Windows(rows, rows, offsets, 5 * SEASON, HORIZON) for name, rows in (("file", file), ("memory", kept))
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(TURNS + 1):
        order = torch.randint(len(ways["file"]), (200, 64), generator=torch.Generator().manual_seed(turn))
        for name, windows in ways.items():
            began = time.perf_counter()
            for index in order:
                windows.batch(index)
            seconds[name].append(time.perf_counter() - began)
    ratios = [m / f for f, m in zip(seconds["file"][1:], seconds["memory"][1:], strict=True)]
    return {
        "gathered": round(statistics.median(ratios), 3),
        "gathered_spread": [round(min(ratios), 3), round(max(ratios), 3)],
    }


def cgroup(limit: int) -> tuple[str, list[Path]]:
    """Return the name of a new memory cgroup with a limit in megabytes, and its folder; nothing where refused."""
    name = f"beyond-memory-{os.getpid()}"
    for folder, file, _ in CGROUPS:
        with suppress(OSError):
            if (folder / "cgroup.procs").exists():
                (folder / name).mkdir()
                try:
                    (folder / name / file).write_text(str(limit << 20))
                    return name, [folder / name]
                except OSError:
                    (folder / name).rmdir()
    return "", []


def main() -> None:
    """Run one size and keep its row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=500_000)
    parser.add_argument("--steps", type=int, default=5_000)
    parser.add_argument("--limit", type=int, default=1_500, help="megabytes")
    parser.add_argument("--folder", type=Path, help="on a disk, not in memory; the temporary folder unless given")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        path, group = given.work.split(",")
        work(Path(path), given.series, given.steps, given.limit, group)
        return
    from record import record

    with tempfile.TemporaryDirectory(dir=given.folder) as place:
        path = Path(place) / "values"
        row: dict[str, Any] = {}
        timed(row, "layout", lambda: lay_out(path, given.series, given.steps))
        name, folders = cgroup(given.limit)
        sizes = ["--series", str(given.series), "--steps", str(given.steps), "--limit", str(given.limit)]
        command = [sys.executable, __file__, *sizes, "--work", f"{path},{name}"]
        try:
            done = subprocess.run(
                command, env=os.environ | {"TSFORECAST_SCRATCH": place}, stdout=subprocess.PIPE, text=True, check=True
            )
            most = [file for folder in folders for _, _, peak in CGROUPS if (file := folder / peak).exists()]
            row |= json.loads(done.stdout.splitlines()[-1])
            row["peak_with_cache_mb"] = int(most[0].read_text()) >> 20 if most else None
        finally:
            for folder in folders:
                with suppress(OSError):
                    folder.rmdir()
        row |= gathered(path, given.series, given.steps)
    sys.stdout.write(f"{row}\n")
    record("beyond_memory", [row], {"series": given.series, "steps": given.steps})


if __name__ == "__main__":
    main()
