"""What leaks seem to gain: the gallery of tests/leakage, each mistake beside its honest twin.

``python benchmarks/leaks.py`` writes a row for each to ``results/leaks.jsonl``, in a few seconds. The gain is the
measure of Albelali and Ahmed (2025, arXiv 2512.06932): by how many percent the RMSE with the leak lies below the one
without. Their leaky LSTM gained 20.5 % at most. Series and settings of the gallery were picked to show each mistake at
work, so that its gains are examples and no estimate of what such a mistake gains elsewhere.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from record import record

sys.path.insert(0, str(Path(__file__).parents[1]))  # tests are not part of the installed package

from tests.leakage.gallery import GALLERY
from tests.leakage.gallery.entry import Entry


def measured(entry: Entry) -> dict[str, Any]:
    """Return the row of a mistake."""
    leaky, honest = entry.rmse(entry.leaky), entry.rmse(entry.honest)
    found, twin = entry.audit(entry.leaky), entry.audit(entry.honest)
    return {
        "mistake": entry.name,
        "leaky": round(leaky, 6),
        "honest": round(honest, 6),
        "gain": round(100 * (1 - leaky / honest), 2),
        "caught": not found.passed,
        "accused": not twin.passed,
        "probes": sorted(set(found.findings.loc[found.findings["outcome"] == "LEAK", "perturbation"])),
    }


def main() -> None:
    rows = []
    for entry in GALLERY:
        rows.append(measured(entry))
        sys.stdout.write(f"{rows[-1]}\n")
    record("leaks", rows)


if __name__ == "__main__":
    main()
