"""What leaks seem to gain, and what the audit says of leaks and of clean procedures: the galleries of tests/leakage.

``python benchmarks/leaks.py`` writes a row for each mistake to ``results/leaks.jsonl``, beside its honest twin, and one
for each clean procedure to ``results/clean.jsonl``, in a few minutes. The gain is the measure of Albelali and Ahmed
(2025, arXiv 2512.06932): by how many percent the RMSE with the leak lies below the one without. Their leaky LSTM gained
20.5 % at most. Series and settings of the gallery were picked to show each mistake at work, so that its gains are
examples and no estimate of what such a mistake gains elsewhere.

A clean procedure whose runs differ is audited 20 to 150 times, as ten seconds allow, any other twice. The rate of false
alarms has the upper bound of an exact binomial interval of 95 %. Leaks through what one run leaves to the next are in
``results/kept.jsonl``.
"""

from __future__ import annotations

import os
import sys
import time
import warnings
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from record import record
from scipy.stats import binomtest

sys.path.insert(0, str(Path(__file__).parents[1]))  # tests are not part of the installed package

from tests.leakage import stateful
from tests.leakage.gallery import GALLERY
from tests.leakage.gallery.clean import CLEAN, Clean
from tests.leakage.gallery.entry import Entry
from tsforecast import audit_procedure

SECONDS, MOST = 10.0, 150  # for the audits of a procedure whose runs differ, 20 at least


def measured(entry: Entry) -> dict[str, Any]:
    """Return the row of a mistake."""
    leaky, honest = entry.rmse(entry.leaky), entry.rmse(entry.honest)
    found, twin = entry.audit(entry.leaky), entry.audit(entry.honest)
    return {
        "mistake": entry.name,
        "leaky": round(leaky, 6),
        "honest": round(honest, 6),
        "gain": round(100 * (1 - leaky / honest), 2),
        "caught": "LEAK" in found.outcome,
        "accused": "LEAK" in twin.outcome,
        "probes": sorted(set(found.findings.loc[found.findings["outcome"] == "LEAK", "perturbation"])),
    }


def kept(name: str) -> dict[str, Any]:
    """Return the row of a mistake that outlives a run: nothing is gained by it that could be measured."""
    with TemporaryDirectory() as folder, chdir(folder):
        os.environ["TMPDIR"] = folder
        alone = audit_procedure(stateful.STATEFUL[name], stateful.series(), stateful.CUTOFF, isolated=True)
        together = audit_procedure(stateful.STATEFUL[name], stateful.series(), stateful.CUTOFF)
    return {"mistake": name, "caught": "LEAK" in alone.outcome, "caught_together": "LEAK" in together.outcome}


def of_clean(entry: Clean) -> dict[str, Any]:
    """Return the row of a clean procedure."""
    calls = 0

    def counted(data: Any) -> Any:
        nonlocal calls
        calls += 1
        return entry.procedure(data)

    began, reports = time.process_time(), [entry.audit(procedure=counted) for _ in range(2)]
    while entry.unseeded or entry.threads:
        reports.append(entry.audit(procedure=counted))
        if len(reports) >= 20 and (len(reports) >= MOST or time.process_time() > began + SECONDS):
            break
    audits = len(reports)
    accused = sum("LEAK" in report.outcome for report in reports)
    outcomes = np.concatenate([report.findings["outcome"].to_numpy(dtype=str) for report in reports])
    return {
        "procedure": entry.name,
        "audits": audits,
        "accused": accused,
        "at_most": round(float(binomtest(accused, audits).proportion_ci().high), 4),
        "passed": sum(report.passed for report in reports),
        "repeatable": sum(report.repeatable for report in reports),
        "rounding": int((outcomes == "rounding").sum()),
        "not_proven": int((outcomes == "not proven").sum()),
        "runs": round(calls / audits, 1),
    }


def main() -> None:
    warnings.simplefilter("ignore")
    rows = []
    for entry in GALLERY:
        rows.append(measured(entry))
        sys.stdout.write(f"{rows[-1]}\n")
    record("leaks", rows)
    record("kept", [kept(name) for name in stateful.STATEFUL])
    rows = []
    for clean in CLEAN:
        rows.append(of_clean(clean))
        sys.stdout.write(f"{rows[-1]}\n")
        sys.stdout.flush()
    record("clean", rows)


if __name__ == "__main__":
    main()
