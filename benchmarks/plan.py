"""Power that `tsforecast plan` predicts beside the share of tests that find a gain on data which the plan did not see.

Simulated series: the plan reads 800 steps, tests follow each other along 24,000 further ones. Real series: the plan
reads the first two fifths. The model whose gain is to be found is, in one half of the rows, the one that the plan
imagines, its losses scaled to the gain; in the other half a ridge regression with the gain that it has.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from record import record

from tsforecast.catalog.loaders import load_dataset
from tsforecast.data.panel import Panel
from tsforecast.data.protocol import Protocol
from tsforecast.estimators.registry import make
from tsforecast.evaluation.backtest import Backtest
from tsforecast.evaluation.plan import averaged, plan
from tsforecast.evaluation.significance import compare, in_time
from tsforecast.evaluation.verdict import units

SEEN, LATER = 800, 24_000  # steps of a simulated series: of the plan, and of tests
MEMORIES, SEASONS, HORIZONS = (0.0, 0.3, 0.6, 0.8, 0.95), (1, 7), (1, 3, 6)
CUTOFFS = 12
SKILLS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)  # of which that is taken whose predicted power is the nearest to a half
MOST = 2400  # cutoffs of the tests on a series
REAL = {  # dataset: horizon
    "co2-weekly": 4,
    "sunspots": 3,
    "us-births": 7,
    "us-gasoline": 2,
    "taylor": 8,
    "bike-sharing": 6,
    "etth1": 6,
    "exchange-rate": 5,
    "machine-temperature": 6,
    "nyc-taxi": 12,
}


def simulated(memory: float, season: int, length: int, random: np.random.Generator) -> np.ndarray:
    """Return a season whose size wanders slowly, and errors of first order with heavy tails."""
    noise = random.standard_t(6, size=length)
    for t in range(1, length):
        noise[t] += memory * noise[t - 1]
    size = 2 + np.sin(np.arange(length) / 400)
    return noise + (size * np.sin(2 * np.pi * np.arange(length) / season) if season > 1 else 0.0)


def measured(panel: Panel, seen: int, horizon: int, about: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a row for the imagined model, and one for ridge regression: power predicted, and share found later."""
    counts = {"horizon": horizon, "origins": CUTOFFS, "metric": "mae"}
    found = plan(panel.until(np.array([seen])), **counts)
    origins = min(MOST, (int(panel.lengths[0]) - seen - horizon) // horizon)
    test = Backtest(panel, Protocol(horizon, origins, audit=None))
    twice = make("seasonal-naive", season_length=2 * panel.season_length)
    models = {name: make(name) for name in (found.reference, found.other, "reduction") if name != "two seasons back"}
    models = {"two seasons back": twice} | models
    rows = {name: test.run(name, model, test.folds[0])[0] for name, model in models.items()}
    imagined = averaged(rows[found.reference], rows[found.other], "imagined")
    judged = [rows[found.reference], rows["reduction"], imagined]
    losses = units(pd.concat(judged, ignore_index=True), "mae").losses
    reference, other, ridge = (losses[name] for name in (found.reference, "imagined", "reduction"))
    skill = min(SKILLS, key=lambda each: abs(found.power(each) - 0.5))
    imagined = other * (1 - skill) * reference.mean() / other.mean()
    about |= {"horizon": horizon, "cutoffs": CUTOFFS, "history": found.history.count, "reference": found.reference}
    for model, own in (("imagined", imagined), ("ridge regression", ridge)):
        gain = float(1 - own.mean() / reference.mean())
        share, error = detected(own, reference)
        yield {**about, "model": model, "skill": gain, "predicted": found.power(gain), "found": share, "error": error}


def detected(own: np.ndarray, reference: np.ndarray) -> tuple[float, float]:
    """Return the share of tests of 12 cutoffs each that find the model better, with its Monte-Carlo error."""
    starts = range(0, len(own) - CUTOFFS + 1, CUTOFFS)
    each = [compare(own[i : i + CUTOFFS], reference[i : i + CUTOFFS], in_time(CUTOFFS)).low > 0 for i in starts]
    share = float(np.mean(each))
    return share, float(np.sqrt(max(share * (1 - share), 0.01) / len(each)))


def simulations(draws: int = 1) -> Iterator[dict[str, Any]]:
    """Yield the rows of simulated series, one for each memory, season and horizon."""
    cases = [(memory, season, horizon) for memory in MEMORIES for season in SEASONS for horizon in HORIZONS]
    for number, (memory, season, horizon) in enumerate(cases * draws):
        values = simulated(memory, season, SEEN + LATER, np.random.default_rng(number))
        panel = Panel.from_array(values, season_length=season)
        yield from measured(panel, SEEN, horizon, {"data": "simulated", "memory": memory, "season": season})


def realities() -> Iterator[dict[str, Any]]:
    """Yield the rows of real series."""
    for name, horizon in REAL.items():
        panel = load_dataset(name).select(np.array([0]))
        yield from measured(panel, int(panel.lengths[0] * 0.4), horizon, {"data": name})


if __name__ == "__main__":
    found = [*simulations(), *realities()]
    record("plan", found)
    for row in found:
        sys.stdout.write(f"{row}\n")
