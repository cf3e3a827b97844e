"""Labelled anomalies that are found, and false alarms: on two series of the Numenta Anomaly Benchmark, and simulated.

Run with ``python benchmarks/anomalies.py`` (some minutes on two cores). The windows of anomalies are those of
labels/combined_windows.json of github.com/numenta/NAB, commit 450b949. Models learn from a first part that lies before
all windows, and nothing is chosen by them: every row that was run is kept, with the level and memory of `detect` as
they are, each model at one step and at a day. Rivals have the greatest score of the first part as their limit.

Detections of a method that are less than a day apart are one alarm. It is a true one if any of them lies in a window.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from record import record
from scipy.signal import lfilter

from tsforecast import (
    ConformalForecaster,
    GRUForecaster,
    NaiveForecaster,
    Panel,
    SeasonalNaiveForecaster,
    detect,
    load_dataset,
)
from tsforecast.anomalies.calibration import HeldOut, SumTail
from tsforecast.anomalies.detector import LAGS, MEMORY, SEED, Watch
from tsforecast.distributions.conformal import Calibration

WINDOWS = {
    "nyc-taxi": [
        ("2014-10-30 15:30", "2014-11-03 22:30"),
        ("2014-11-25 12:00", "2014-11-29 19:00"),
        ("2014-12-23 11:30", "2014-12-27 18:30"),
        ("2014-12-29 21:30", "2015-01-03 04:30"),
        ("2015-01-24 20:30", "2015-01-29 03:30"),
    ],
    "machine-temperature": [
        ("2013-12-10 06:25", "2013-12-12 05:35"),
        ("2013-12-15 17:50", "2013-12-17 17:00"),
        ("2014-01-27 14:20", "2014-01-29 13:30"),
        ("2014-02-07 14:55", "2014-02-09 14:05"),
    ],
}
FIRST = {"nyc-taxi": "2014-10-01", "machine-temperature": "2013-12-09"}  # end of the part that models learn from
DAY = pd.Timedelta(days=1)
FALSE = 0.11  # what a false alarm costs in the standard profile of NAB, where a window is worth 1 at most
SEEDS = (0, 1, 2)
SIMULATED, STEPS = 20, 2_000  # streams, and steps of each
Times = NDArray[np.datetime64]


def models(day: int, weekly: bool) -> dict[str, Any]:
    """Return forecasters by name, with their seeds; a network keeps three tenths of its rows to calibrate on."""
    found: dict[str, Any] = {
        "naive": NaiveForecaster(horizon=day),
        "seasonal-naive, a day": SeasonalNaiveForecaster(horizon=day, season_length=day),
    }
    if weekly:
        found["seasonal-naive, a week"] = SeasonalNaiveForecaster(horizon=day, season_length=7 * day)
    for seed in SEEDS:
        gru = GRUForecaster(horizon=day, window=(7 if weekly else 2) * day, random_state=seed)
        found[f"gru, seed {seed}"] = ConformalForecaster(gru, calibration=0.3, refit=False)
    return found


def rivals(values: NDArray[np.float64], first: int, day: int) -> dict[str, NDArray[np.int64]]:
    """Return the rows that plain rules name: scores beyond the greatest one of the first part."""
    series = pd.Series(values)
    past = series.shift(1).rolling(day, min_periods=day // 2)
    scores = {
        "rolling z-score, a day": (series - past.mean()).abs() / past.std(),
        "change since the last row": series.diff().abs(),
        "change since a day before": series.diff(day).abs(),
    }
    return {
        name: np.flatnonzero((score > score[:first].max()) & (np.arange(len(score)) >= first))
        for name, score in scores.items()
    }


def scored(data: str, times: Times, detections: Times) -> dict[str, Any]:
    """Return how many windows are found, and how many alarms are false, of so many rows that were judged."""
    windows = [tuple(map(np.datetime64, window)) for window in WINDOWS[data]]
    alarms = np.split(detections, np.flatnonzero(np.diff(detections) >= DAY) + 1) if len(detections) else []
    inside = [[(begin <= alarm) & (alarm <= end) for begin, end in windows] for alarm in alarms]
    true = sum(any(each.any() for each in alarm) for alarm in inside)
    firsts = [detections[(begin <= detections) & (detections <= end)][:1] for begin, end in windows]
    # A window is worth less the later it is found, by the sigmoid of NAB; 0 is what silence has, 100 the best.
    early = [
        2 / (1 + np.exp(5 * ((first[0] - end) / (end - begin)))) - 1
        for first, (begin, end) in zip(firsts, windows, strict=True)
        if len(first)
    ]
    best = 2 / (1 + np.exp(-5)) - 1
    total = sum(each / best + 1 for each in early) - FALSE * (len(alarms) - true)
    outside = (times[-1] - times[0]) - sum((end - begin for begin, end in windows), np.timedelta64(0))
    delays = [
        (first[0] - begin) / np.timedelta64(1, "h")
        for first, (begin, _) in zip(firsts, windows, strict=True)
        if len(first)
    ]
    return {
        "windows": len(windows),
        "found": len(early),
        "recall": round(len(early) / len(windows), 3),
        "alarms": len(alarms),
        "false_alarms": len(alarms) - true,
        "precision": round(true / len(alarms), 3) if alarms else None,
        "false_per_week": round(float((len(alarms) - true) / (outside / np.timedelta64(7, "D"))), 3),
        "median_delay_hours": round(float(np.median(delays)), 1) if delays else None,
        "nab_like": round(float(100 * total / (2 * len(windows))), 1),
    }


def real(data: str) -> list[dict[str, Any]]:
    """Return rows of all methods on one series."""
    panel: Panel = load_dataset(data)
    times = panel.stamps(0, np.arange(panel.lengths[0])).astype("datetime64[ns]")
    first, day = int((times < np.datetime64(FIRST[data])).sum()), panel.season_length
    rows = []
    for name, model in models(day, data == "nyc-taxi").items():
        for step in (1, day):
            began = time.perf_counter()
            found = detect(panel, model, step=step, learn=first)
            judged = found.rows
            about = {"data": data, "model": name, "step": step, "residuals": found.facts.residuals}
            about |= {"level": found.facts.level, "memory": found.facts.memory}
            about |= {"seconds": round(time.perf_counter() - began, 1)}
            for kind, chosen in (
                ("points", judged["anomaly"]),
                ("collective", judged["alarm"]),
                ("both", judged["anomaly"] | judged["alarm"]),
            ):
                row = {"measured": "labelled anomalies", "kind": kind} | about
                rows.append(row | scored(data, times[first:], judged.loc[chosen, "time"].to_numpy()))
                sys.stdout.write(f"{rows[-1]}\n")
                sys.stdout.flush()
    values = panel.series(0)[:, 0].astype(np.float64)
    for name, places in rivals(values, first, day).items():
        row = {"measured": "labelled anomalies", "kind": "rule", "data": data, "model": name}
        rows.append(row | scored(data, times[first:], times[places]))
        sys.stdout.write(f"{rows[-1]}\n")
    return rows


def noise(kind: str, coefficient: float, rows: int, seed: int) -> NDArray[np.float64]:
    """Return autoregressive streams, (rows, SIMULATED): normal, with heavy tails, or of a spread that wanders."""
    random, shape = np.random.default_rng(seed), (rows + 300, SIMULATED)
    drawn = random.standard_t(4, shape) if kind == "t4" else random.standard_normal(shape)
    if kind == "volatile":
        drawn *= np.exp(lfilter([0.2], [1, -0.97], random.standard_normal(shape), axis=0))
    return np.asarray(lfilter([1.0], [1, -coefficient], drawn, axis=0)[300:])


def simulated(kind: str, coefficient: float, residuals: int, level: float) -> dict[str, Any]:
    """Return the share of stretches of `MEMORY` steps with a false point, and a false sum, where nothing is wrong."""
    drawn, rows = noise(kind, coefficient, residuals + STEPS, 1), np.arange(residuals)
    held = Calibration(drawn[:residuals, None], np.zeros_like(rows), rows)
    points = {}
    for tail in ("power", "exponential", None):
        p = HeldOut(held, tail).p_values(drawn[residuals:])
        nothing = np.zeros((STEPS, 1))
        false = [Watch(level, MEMORY, np.ones(1)).take(p[:, [k]], nothing).found for k in range(SIMULATED)]
        points[f"points_{tail or 'ranks'}"] = _share(np.concatenate(false, axis=1))
    usual = HeldOut(held, None)
    limits = SumTail(usual.greatest_sums(MEMORY, LAGS, SEED)).limits(level)
    sums = (
        Watch(level, MEMORY, limits).take(np.full((STEPS, SIMULATED), np.nan), usual.scores(drawn[residuals:])).alarms
    )
    about = {"measured": "false stretches", "noise": kind, "coefficient": coefficient, "residuals": residuals}
    return about | {"level": level, "streams": SIMULATED, "steps": STEPS, "seed": 1} | points | {"sums": _share(sums)}


def _share(false: NDArray[np.bool_]) -> float:
    return round(float(false.reshape(-1, MEMORY, SIMULATED).any(axis=1).mean()), 4)


def main() -> None:
    parts = sys.argv[1:] or [*WINDOWS, "simulated"]
    for part in parts:
        if part == "simulated":
            rows = [
                simulated(kind, coefficient, residuals, level)
                for residuals in (100, 400, 2_000)
                for kind, coefficient in (
                    ("normal", 0.0), ("normal", 0.5), ("normal", 0.8), ("t4", 0.0), ("t4", 0.5), ("volatile", 0.0),
                )
                for level in (0.1, 0.01)
            ]  # fmt: skip
            for row in rows:
                sys.stdout.write(f"{row}\n")
            record("anomalies", rows, {"measured": "false stretches"})
        else:
            record("anomalies", real(part), {"measured": "labelled anomalies", "data": part})


if __name__ == "__main__":
    main()
