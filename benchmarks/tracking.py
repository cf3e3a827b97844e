"""What tracking costs: fits of the default GRU on sunspots with and without it, turn by turn.

The store is a database file in a folder that is thrown away, opened before the clock starts. *fit* is what the fit
itself takes longer; *processor* is how much more processor time all threads take meanwhile, which a busy machine hardly
changes; *block* is the whole block of ``with track()``, until all is sent. All are shares of a fit without it, by the
same clock.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from record import record

REPEATS = 7


def measured(tracked: bool, seed: int, place: str) -> dict[str, float]:
    """Return the seconds of a fit, of a fit until all is sent, and of the processor by all threads."""
    from tsforecast import GRUForecaster, load_dataset, track

    panel = load_dataset("sunspots")
    model = GRUForecaster(random_state=seed)
    with track(data="sunspots", uri=Path(place, "mlflow.db")) if tracked else nullcontext():
        began, busy = time.perf_counter(), time.process_time()
        model.fit(panel)
        fit, processor = time.perf_counter() - began, time.process_time() - busy
    return {"fit": fit, "block": time.perf_counter() - began, "processor": processor}


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        for tracked in (False, True):  # whatever is loaded once
            measured(tracked, 0, place)
        pairs = []
        for seed in range(REPEATS):
            found = {tracked: measured(tracked, seed, place) for tracked in (seed % 2 == 0, seed % 2 == 1)}
            pairs.append((found[False], found[True]))
    record("tracking", [_row(part, pairs) for part in ("fit", "processor", "block")])


def _row(part: str, pairs: list[tuple[dict[str, float], dict[str, float]]]) -> dict[str, Any]:
    whole = "processor" if part == "processor" else "fit"
    more = [100 * (tracked[part] - alone[part]) / alone[whole] for alone, tracked in pairs]
    return {
        "measured": f"tracking_{part}",
        "set": "sunspots",
        "model": "gru",
        "settings": "default",
        "unit": "percent of an untracked fit",
        "median": statistics.median(more),
        "lowest": min(more),
        "highest": max(more),
        "fit_seconds": statistics.median(alone["fit"] for alone, _ in pairs),
        "processor_seconds": statistics.median(alone["processor"] for alone, _ in pairs),
        "seeds": list(range(REPEATS)),
    }


if __name__ == "__main__":
    main()
