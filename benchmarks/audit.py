"""What the audit of the data costs beside a fit: the default GRU on M4 Hourly, three times each, turn by turn.

Run with ``python benchmarks/audit.py``; it needs the folder of data that TSFORECAST_DATA names.
"""

from __future__ import annotations

import statistics
import time

from record import record

from tsforecast import GRUForecaster, load_dataset
from tsforecast.data.splits import RollingOrigin, sides, training_part
from tsforecast.leakage.audit import audit_case

REPEATS = 3


def main() -> None:
    panel, model = load_dataset("m4-hourly"), GRUForecaster(horizon=48, random_state=0)
    (fold,), ((learn, test),) = RollingOrigin(48).cutoffs(panel), sides(panel)
    fits, audits = [], []
    for _ in range(REPEATS):
        began = time.perf_counter()
        model.fit(training_part(panel, fold, learn))
        fitted = time.perf_counter()
        outcome = audit_case(model, panel, fold, learn, test, 48, "data").outcome
        fits.append(fitted - began)
        audits.append(time.perf_counter() - fitted)
    shares = [audit / fit for audit, fit in zip(audits, fits, strict=True)]
    row = {"measured": "audit_share_of_fit", "set": "m4-hourly", "model": "gru", "level": "data", "outcome": outcome}
    row |= {"median": statistics.median(shares), "lowest": min(shares), "highest": max(shares), "repeats": REPEATS}
    record("audit", [row | {"fit_seconds": statistics.median(fits), "audit_seconds": statistics.median(audits)}])


if __name__ == "__main__":
    main()
