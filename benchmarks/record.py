"""Rows of benchmarks: what was measured, on which machine, with which versions."""

from __future__ import annotations

import json
import os
import platform
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
LIBRARIES = ("tsforecast", "torch", "numpy", "pandas", "polars")


def record(name: str, rows: list[dict[str, Any]], replacing: dict[str, Any] | None = None) -> None:
    """Keep the rows of a benchmark: one JSON object per line in ``results/<name>.jsonl``.

    They replace all rows that were there, or those whose values are `replacing`.
    """
    about = {
        "date": date.today().isoformat(),
        "machine": machine(),
        "versions": {library: version(library) for library in LIBRARIES},
    }
    path = RESULTS / f"{name}.jsonl"
    before = [json.loads(line) for line in path.read_text().splitlines()] if replacing and path.exists() else []
    kept = [row for row in before if any(row.get(key) != value for key, value in (replacing or {}).items())]
    RESULTS.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in [*kept, *({**row, **about} for row in rows)]))


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
