"""Contamination: how often memory is found, and how often models that cannot have any are suspected.

Panels are drawn; each has models that learn from them alone, which are judged in turn with the others as rivals, and
memories: functions that know the test part. ``python benchmarks/contamination.py [PANELS]`` writes how often each is
suspected on so many panels of each kind to ``results/contamination.jsonl``, in five minutes.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from record import record

from tsforecast.adapters.protocol import as_forecaster
from tsforecast.data.panel import Panel
from tsforecast.data.protocol import Protocol
from tsforecast.estimators.registry import make
from tsforecast.evaluation.contamination import DATA, judge, losses_on, twins
from tsforecast.forecasters.neural import GRUForecaster

Floats = NDArray[np.float64]
SERIES, STEPS, SEASON, HORIZON, CUTOFFS = 16, 96, 12, 6, 2
KEY = 12  # steps of a context by which a memory finds its future
KINDS = ("season", "trend", "walk", "autoregression", "growth", "decay")
HONEST = ("naive", "seasonal-naive", "drift", "mean", "theta", "reduction")


def drawn(kind: str, rng: np.random.Generator) -> Floats:
    """Return series of one kind, (N, T)."""
    time_, noise = np.arange(STEPS), rng.normal(size=(SERIES, STEPS))
    level = rng.uniform(20, 100, size=(SERIES, 1))
    wave = np.sin(2 * np.pi * (time_ / SEASON + rng.uniform(size=(SERIES, 1))))
    smooth = noise.copy()
    for t in range(1, STEPS):
        smooth[:, t] = 0.7 * smooth[:, t - 1] + noise[:, t]
    if kind == "season":
        return level + 5 * wave + smooth
    if kind == "trend":
        return level + rng.uniform(-0.3, 0.3, size=(SERIES, 1)) * time_ + 3 * wave + 2 * noise
    if kind == "walk":
        return level + noise.cumsum(axis=1)
    if kind == "decay":  # shocks that fade: forwards they are foreseen, backwards they are not
        shocks = rng.exponential(10, size=smooth.shape) * (rng.uniform(size=smooth.shape) < 0.1) + 0.2 * noise
        for t in range(1, STEPS):
            shocks[:, t] += 0.8 * shocks[:, t - 1]
        return level + shocks
    if kind == "autoregression":
        return level + 3 * smooth
    return level * np.exp(0.01 * time_ + 0.1 * wave + 0.03 * smooth)


def memory(truth: Floats, scaled: bool, share: float = 1.0, blur: float = 0.0) -> Callable[..., Any]:
    """Return a function that knows the futures of contexts, also in other units if `scaled`; of a share of series.

    It forecasts the mean of the last season where it knows nothing, and a share `blur` of it where it knows the future.
    """

    def key(context: Floats) -> bytes:
        last = context[-KEY:]
        if scaled:
            last = (last - last.mean()) / (last.std() or 1.0)
        return np.round(last, 6).astype(np.float64).tobytes()

    known: dict[bytes, tuple[Floats, Floats]] = {}
    for row in truth[: round(share * len(truth))]:
        for cutoff in range(KEY, len(row)):
            known[key(row[:cutoff])] = row[cutoff - KEY : cutoff], row[cutoff : cutoff + HORIZON]

    def remembered(context: Any, horizon: int) -> Floats:
        found = []
        for own in np.asarray(context)[..., 0]:
            last = own[-KEY:]
            mean = np.full(HORIZON, last.mean())
            past, future = known.get(key(own), (last, mean))
            if scaled:
                future = last.mean() + (future - past.mean()) * (last.std() or 1.0) / (past.std() or 1.0)
            found.append((blur * mean + (1 - blur) * future)[:horizon])
        return np.stack(found)[..., None]

    return remembered


def memories(truth: Floats) -> dict[str, Callable[..., Any]]:
    """Return models that know the test part."""
    return {
        "memory, exact": memory(truth, scaled=False),
        "memory, any scale": memory(truth, scaled=True),
        "memory of half of the series": memory(truth, scaled=True, share=0.5),
        "memory, blurred by half": memory(truth, scaled=True, blur=0.5),
    }


def judged(kind: str, seed: int) -> dict[str, tuple[bool, str]]:
    """Return whether each model is suspected on one panel, and the twins that show it."""
    truth = drawn(kind, np.random.default_rng([KINDS.index(kind), seed]))
    panel = Panel.from_array(truth[..., None], season_length=SEASON)
    protocol = Protocol(HORIZON, CUTOFFS, audit=None)
    honest = {name: make(name) for name in HONEST}
    honest["gru"] = GRUForecaster(units=16, layers=1, max_epochs=8, window=2 * SEASON, random_state=seed)
    known = {name: as_forecaster(model) for name, model in memories(truth).items()}
    rows, failed = losses_on(honest | known, {DATA: panel} | twins(panel, HORIZON, seed), protocol)
    assert not failed, failed
    found = {}
    for name in [*honest, *known]:
        report = judge(rows, name, [rival for rival in honest if rival != name], random_state=seed)
        shown = report.table.loc[report.table["outcome"] == "memory", "set"]
        found[name] = report.suspected, ", ".join(shown)
    return found


def main(panels: int) -> None:
    """Judge all models on so many panels of each kind, and keep a row for each kind and model."""
    rows = []
    for kind in KINDS:
        began, counts, ways = time.perf_counter(), Counter[str](), dict[str, Counter[str]]()
        for seed in range(panels):
            for name, (suspected, shown) in judged(kind, seed).items():
                counts[name] += suspected
                ways.setdefault(name, Counter()).update(shown.split(", ") if shown else [])
        for name, each in ways.items():
            row = {"kind": kind, "model": name, "panels": panels, "suspected": counts[name], "twins": dict(each)}
            rows.append(row | {"seeds": [0, panels - 1], "seconds": round(time.perf_counter() - began, 1)})
    record("contamination", rows)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
