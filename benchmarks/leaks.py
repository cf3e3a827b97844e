"""What leaks seem to gain, and what the audit says of leaks and of clean procedures: the galleries of tests/leakage.

``python benchmarks/leaks.py`` writes a row for each mistake to ``results/leaks.jsonl``, beside its honest twin, and one
for each clean procedure to ``results/clean.jsonl``, in some ten minutes. The gain is the measure of Albelali and Ahmed
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
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from record import record
from scipy.stats import binomtest

sys.path.insert(0, str(Path(__file__).parents[1]))  # tests are not part of the installed package

from tests.leakage import stateful
from tests.leakage.gallery import GALLERY
from tests.leakage.gallery.clean import CLEAN, Clean
from tests.leakage.gallery.customs import CUSTOMS
from tests.leakage.gallery.entry import Entry
from tsforecast import AuditReport, audit_procedure

CUTOFFS = 6  # at which each mistake and its twin are audited, where it has as many
SECONDS, MOST = 10.0, 150  # for the audits of a procedure whose runs differ, 20 at least


def measured(entry: Entry) -> dict[str, Any]:
    """Return the row of a mistake, audited beside its honest twin at cutoffs that are spread over the data."""
    leaky, honest = entry.rmse(entry.leaky), entry.rmse(entry.honest)
    began = time.process_time()
    found, twin = entry.reports(entry.leaky, CUTOFFS), entry.reports(entry.honest, CUTOFFS)
    seconds = time.process_time() - began
    findings = pd.concat([report.findings for report in found.values()])
    return {
        "mistake": entry.name,
        "how": entry.words,
        "leaky": round(leaky, 6),
        "honest": round(honest, 6),
        "gain": round(100 * (1 - leaky / honest), 2),
        "cutoffs": len(found),
        "caught": sum("LEAK" in report.outcome for report in found.values()),
        "accused": sum("LEAK" in report.outcome for report in twin.values()),
        "probes": sorted(set(findings.loc[findings["outcome"] == "LEAK", "perturbation"])),
        "runs": sum(report.runs for report in (*found.values(), *twin.values())),
        "seconds": round(seconds, 2),
    }


def kept(name: str) -> dict[str, Any]:
    """Return the row of a mistake that outlives a run: nothing is gained by it that could be measured."""
    alone, together = [], []
    for cutoff in stateful.CUTOFFS:
        procedure = partial(stateful.STATEFUL[name], cutoff=cutoff)
        with TemporaryDirectory() as folder, chdir(folder):
            os.environ["TMPDIR"] = folder
            alone.append(audit_procedure(procedure, stateful.series(), cutoff, isolated=True).outcome)
            together.append(audit_procedure(procedure, stateful.series(), cutoff).outcome)
    caught, caught_together = (sum("LEAK" in outcome for outcome in outcomes) for outcomes in (alone, together))
    return {"mistake": name, "cutoffs": len(alone), "caught": caught, "caught_together": caught_together}


def of_clean(entry: Clean) -> dict[str, Any]:
    """Return the row of a clean procedure, at all its cutoffs."""

    def audited() -> list[AuditReport]:
        return [case.audit() for case in entry.cases]

    began, reports = time.process_time(), [*audited(), *audited()]
    while entry.unseeded or entry.threads:
        reports += audited()
        if len(reports) >= 20 and (len(reports) >= MOST or time.process_time() > began + SECONDS):
            break
    audits = len(reports)
    accused = sum("LEAK" in report.outcome for report in reports)
    outcomes = np.concatenate([report.findings["outcome"].to_numpy(dtype=str) for report in reports])
    return {
        "procedure": entry.name,
        "cutoffs": len(entry.cases),
        "audits": audits,
        "accused": accused,
        "at_most": round(float(binomtest(accused, audits).proportion_ci().high), 4),
        "passed": sum(report.passed for report in reports),
        "repeatable": sum(report.repeatable for report in reports),
        "rounding": int((outcomes == "rounding").sum()),
        "not_proven": int((outcomes == "not proven").sum()),
        "runs": round(sum(report.runs for report in reports) / audits, 1),
        "seconds": round((time.process_time() - began) / audits, 3),
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
    for clean in (*CUSTOMS, *CLEAN):
        rows.append(of_clean(clean))
        sys.stdout.write(f"{rows[-1]}\n")
        sys.stdout.flush()
    record("clean", rows)


if __name__ == "__main__":
    main()
