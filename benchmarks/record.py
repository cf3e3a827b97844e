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


def record(name: str, rows: list[dict[str, Any]]) -> None:
    """Replace the rows of one benchmark: one JSON object per line in ``results/<name>.jsonl``."""
    about = {
        "date": date.today().isoformat(),
        "machine": machine(),
        "versions": {library: version(library) for library in LIBRARIES},
    }
    RESULTS.mkdir(exist_ok=True)
    lines = [json.dumps({**row, **about}) for row in rows]
    (RESULTS / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


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
