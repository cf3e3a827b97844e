"""Alarms of drift: false ones where nothing has drifted, and steps until one where something has.

Run with ``python benchmarks/drift.py`` (some minutes on one core; `OMP_NUM_THREADS=1`). Series are sums of noise that
the naive forecast of the next step misses by exactly this noise, and a covariate is another noise. Monitors and limits
are those of `tsforecast.drift`, at a level of 5 % of runs of 100 steps for all four together.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from record import record
from scipy.signal import lfilter

from tsforecast import NaiveForecaster, Panel
from tsforecast.anomalies.drift import streams_of, watched

LEVEL, RUN = 0.05, 100
STREAMS, RUNS = 16, 20  # of each case, and runs of so many steps in each stream
DELAYS, PATIENCE = 12, 300  # streams with a drift, and steps that it is waited for
Floats = NDArray[np.float64]


def noise(kind: str, coefficient: float, rows: int, random: np.random.Generator) -> Floats:
    """Return an autoregressive stream of variance 1, (rows,): normal, with heavy tails, or of a wandering spread."""
    drawn = random.standard_t(4, rows + 300) / np.sqrt(2) if kind == "t4" else random.standard_normal(rows + 300)
    if kind == "volatile":
        drawn *= np.exp(lfilter([0.2], [1, -0.97], random.standard_normal(rows + 300)))
    return np.asarray(lfilter([np.sqrt(1 - coefficient**2)], [1, -coefficient], drawn)[300:])


def alarms(errors: Floats, covariate: Floats, known: int) -> dict[str, NDArray[np.bool_]]:
    """Return at which steps after the known ones each monitor has an alarm."""
    frame = pd.DataFrame({"price": covariate, "y": np.cumsum(errors)})
    frame["step"] = np.arange(len(frame))
    panel = Panel.from_frame(frame, time="step", target="y", past="price", season_length=1)
    first = np.array([known])
    model = NaiveForecaster().fit(panel.until(first))
    streams = streams_of(model, panel, first)
    return {each.monitor: watched(each, LEVEL / len(streams), RUN, 1).alarms[:, 0] for each in streams}


def false(kind: str, coefficient: float, known: int) -> list[dict[str, Any]]:
    """Return the share of runs with an alarm where nothing has drifted, of each monitor and of all together."""
    found: dict[str, list[float]] = {}
    for seed in range(STREAMS):
        random = np.random.default_rng([seed, known])
        steps = known + RUN * RUNS
        each = alarms(noise(kind, coefficient, steps, random), noise(kind, coefficient, steps, random), known)
        each["any"] = np.any(list(each.values()), axis=0)
        for name, flags in each.items():
            found.setdefault(name, []).append(float(flags.reshape(RUNS, RUN).any(axis=1).mean()))
    about = {"measured": "false alarms", "noise": kind, "coefficient": coefficient, "known": known}
    about |= {"level": LEVEL, "run": RUN, "streams": STREAMS, "runs": STREAMS * RUNS}
    return [
        about
        | {"monitor": name, "stated": round(LEVEL if name == "any" else LEVEL / (len(found) - 1), 4)}
        | {"rate": round(float(np.mean(rates)), 4), "error": round(float(np.std(rates, ddof=1) / STREAMS**0.5), 4)}
        for name, rates in found.items()
    ]


def delay(drift: str, size: float, known: int = 400) -> dict[str, Any]:
    """Return how many steps after a drift its monitor has an alarm: of the mean, of the spread or of a covariate."""
    steps, moments = known + PATIENCE, list[float]()
    for seed in range(DELAYS):
        random = np.random.default_rng([seed, 7])
        errors, covariate = (noise("normal", 0.0, steps, random) for _ in range(2))
        if drift == "mean":
            errors[known:] += size
        elif drift == "spread":
            errors[known:] *= size
        else:
            covariate[known:] += size
        flags = alarms(errors, covariate, known)[drift]
        moments.append(float(flags.argmax() + 1) if flags.any() else np.inf)
    there = np.isfinite(moments)
    row = {"measured": "delay", "drift": drift, "size": size, "known": known, "streams": DELAYS, "level": LEVEL}
    middle = float(np.median(moments))
    return row | {"found": int(there.sum()), "median": middle if np.isfinite(middle) else None, "patience": PATIENCE}


def main() -> None:
    rows = list[dict[str, Any]]()
    for known in (50, 100, 200, 400, 2_000):  # rows, of which all but ten show an error
        for kind, coefficient in (("normal", 0.0), ("normal", 0.5), ("normal", 0.8), ("t4", 0.5), ("volatile", 0.0)):
            rows += false(kind, coefficient, known)
            rates = {row["monitor"]: row["rate"] for row in rows[-5:]}
            sys.stdout.write(f"{known} {kind} {coefficient} {rates}\n")
            sys.stdout.flush()
    for drift, sizes in {"mean": (0.5, 1.0, 2.0), "spread": (1.5, 2.0), "covariate": (0.5, 1.0, 2.0)}.items():
        for size in sizes:
            rows.append(delay(drift, size))
            sys.stdout.write(f"{rows[-1]}\n")
    record("drift", rows)


if __name__ == "__main__":
    main()
