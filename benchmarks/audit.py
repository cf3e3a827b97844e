"""What the audit of the data costs beside a fit, on many series: three times each, turn by turn.

The default GRU on M4 Hourly, and on 3,000 series of 25 years an LSTM of 8 units, as beside the peers (`peers.py`).
Run with ``python benchmarks/audit.py``; it needs the folder of data that TSFORECAST_DATA names.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

from peers import SHARED, TASKS, numbers
from record import record

from tsforecast import GRUForecaster, LSTMForecaster, Panel, load_dataset
from tsforecast.data.splits import RollingOrigin, sides, training_part
from tsforecast.forecasters.neural import NeuralForecaster
from tsforecast.leakage.audit import audit_case

REPEATS = 3


def cases() -> Iterator[tuple[str, Panel, NeuralForecaster]]:
    """Yield name, data and forecaster of each row."""
    yield "m4-hourly", load_dataset("m4-hourly"), GRUForecaster(horizon=48, random_state=0)
    task = SHARED | TASKS["many series"]
    lstm = LSTMForecaster(
        horizon=task["horizon"],
        window=task["window"],
        units=task["units"],
        batch_size=task["batch"],
        learning_rate=task["rate"],
        max_epochs=task["epochs"],
        steps_per_epoch=task["steps"],
        validation=None,
        random_state=task["seed"],
    )
    yield task["set"], Panel.from_array(numbers(task["set"])[..., None], season_length=task["season"]), lstm


def main() -> None:
    rows = []
    for name, panel, model in cases():
        (fold,), ((learn, test),) = RollingOrigin(model.horizon).cutoffs(panel), sides(panel)
        fits, audits = [], []
        for repeat in range(REPEATS + 1):  # the first one loads what is slow to load
            began = time.perf_counter()
            model.fit(training_part(panel, fold, learn))
            fitted = time.perf_counter()
            outcome = audit_case(model, panel, fold, learn, test, model.horizon, "data").outcome
            if repeat:
                fits.append(fitted - began)
                audits.append(time.perf_counter() - fitted)
        shares = [audit / fit for audit, fit in zip(audits, fits, strict=True)]
        row = {"measured": "audit_share_of_fit", "set": name, "model": model.cell, "level": "data", "outcome": outcome}
        row |= {"median": statistics.median(shares), "lowest": min(shares), "highest": max(shares), "repeats": REPEATS}
        rows.append(row | {"fit_seconds": statistics.median(fits), "audit_seconds": statistics.median(audits)})
        print(rows[-1], flush=True)  # noqa: T201
    record("audit", rows)


if __name__ == "__main__":
    main()
