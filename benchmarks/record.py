"""Rows of benchmarks: what was measured, on which machine, with which versions."""

from __future__ import annotations

import json
import os
import platform
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd

from tsforecast.files import write_or_return
from tsforecast.provenance import installed

RESULTS = Path(__file__).parent / "results"  # the committed rows
LIBRARIES = ("tsforecast", "torch", "statsmodels", "numpy", "pandas", "polars")


def record(name: str, rows: list[dict[str, Any]], replacing: dict[str, Any] | None = None) -> None:
    """Keep the rows of a benchmark: one JSON object per line in ``<name>.jsonl`` in the folder of results.

    They replace all rows that were there, or, in their place, those whose values are `replacing`.
    """
    about = {
        "date": date.today().isoformat(),
        "machine": machine(),
        "versions": {library: installed(library) for library in LIBRARIES},
    }
    folder = Path(os.environ.get("TSFORECAST_RESULTS") or RESULTS)  # as `tsforecast benchmark` sets it
    path = folder / f"{name}.jsonl"
    before = [json.loads(line) for line in path.read_text().splitlines()] if replacing and path.exists() else []
    stays = [any(row.get(key) != value for key, value in (replacing or {}).items()) for row in before]
    place = stays.index(False) if False in stays else len(before)
    pairs = list(zip(before, stays, strict=True))
    kept = [[row for row, stay in part if stay] for part in (pairs[:place], pairs[place:])]
    lines = [*kept[0], *({**row, **about} for row in rows), *kept[1]]
    write_or_return("".join(json.dumps(line) + "\n" for line in lines), path)  # whole: a kill leaves the rows of before


def rows(name: str) -> pd.DataFrame:
    """Read the committed rows of a benchmark."""
    lines = (RESULTS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return pd.DataFrame([json.loads(line) for line in lines])


def machine() -> dict[str, Any]:
    """Describe the machine by its kind, not by its name."""
    model = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": platform.system(),
    }
