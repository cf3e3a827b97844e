"""Memory and speed of the data core: windows over 20,000 series, and the check of a million-row frame.

Run with ``python benchmarks/windows.py``; each measurement is made in a process of its own, five times.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from typing import Any

from record import record

SERIES, STEPS, WINDOW, HORIZON, BATCH, BATCHES = 20_000, 500, 96, 24, 512, 1_000
REPEATS = 5

WINDOWS = f"""
import json, resource, time
import numpy as np
import torch
from tsforecast.data.preprocessing import Preprocessor
from tsforecast.data.panel import Panel
from tsforecast.data.scaling import ScalingRecipe
from tsforecast.data.windows import Windows
torch.set_num_threads(1)

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

data = np.empty(({SERIES}, {STEPS}, 1), dtype=np.float32)
for i in range({SERIES}):
    data[i, :, 0] = np.sin(np.arange({STEPS}) / (5 + i % 7))
before = peak()
began = time.perf_counter()
panel = Panel.from_array(data)
values, truth = Preprocessor.fit(panel, ScalingRecipe()).rows(panel)
windows = Windows(values, truth, panel.offsets, {WINDOW}, {HORIZON})
built = time.perf_counter() - began
order = torch.randperm(len(windows), dtype=torch.int32)
began = time.perf_counter()
for number in range({BATCHES}):
    windows.batch(order[number * {BATCH} : (number + 1) * {BATCH}].long())
drawn = time.perf_counter() - began
print(json.dumps({{
    "windows": len(windows), "data_mb": data.nbytes / 1e6, "extra_peak_mb": peak() - before,
    "build_seconds": built, "windows_per_second": {BATCH * BATCHES} / drawn,
}}))
"""

CHECK = """
import json, time
import numpy as np
import pandas as pd
import polars as pl
from tsforecast.data.panel import Panel

days = pd.date_range("2020-01-01", periods=1000)
ids = np.repeat([f"series {i}" for i in range(1000)], 1000)
frame = pd.DataFrame({"id": ids, "day": np.tile(days, 1000), "y": np.random.rand(1_000_000)})
broken = frame.copy()
broken.loc[[7, 500_000], "y"] = np.nan
broken = broken.drop(index=[250_000, 750_001])
seconds = {}
for name, data in [("pandas", frame), ("polars", pl.from_pandas(frame)), ("pandas with errors", broken)]:
    began = time.perf_counter()
    try:
        Panel.from_frame(data)
    except ValueError:
        pass
    seconds[name] = time.perf_counter() - began
print(json.dumps(seconds))
"""


def measure(code: str) -> list[dict[str, Any]]:
    """Run `code` in fresh processes and return what each printed."""
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(REPEATS)
    ]
    return [json.loads(run.stdout) for run in runs]


def spread(runs: list[dict[str, Any]], name: str) -> dict[str, float]:
    values = [run[name] for run in runs]
    return {"median": statistics.median(values), "lowest": min(values), "highest": max(values)}


def main() -> None:
    setting = {"series": SERIES, "steps": STEPS, "window": WINDOW, "horizon": HORIZON, "batch": BATCH, "threads": 1}
    runs = measure(WINDOWS)
    rows = [{"measured": name, **spread(runs, name), **setting} for name in runs[0]]
    checks = measure(CHECK)
    rows += [
        {"measured": "check_seconds", "frame": name, **spread(checks, name), "rows": 1_000_000} for name in checks[0]
    ]
    record("windows", rows)
    for row in rows:
        sys.stdout.write(f"{row['measured']} {row.get('frame', '')}: {row['median']:.4g}\n")


if __name__ == "__main__":
    main()
