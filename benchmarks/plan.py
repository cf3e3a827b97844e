"""Power that `tsforecast plan` predicts beside the share of tests that find a gain on data which the plan did not see.

Simulated series: the plan reads 800 steps, tests follow each other along 24,000 further ones. Real series: the plan
reads the first two fifths. The model whose gain is to be found is, in one half of the rows, the one that the plan
imagines, its losses scaled to the gain; in the other half a ridge regression with the gain that it has.

``python benchmarks/plan.py --times`` compares the time that a plan predicts for a leaderboard with the time that the
leaderboard then takes, each in a new process and with one thread, in some ten minutes. Both are processor time where
other processes keep the machine busy (a load above 1.2), else the time on the wall. The share of epochs that a network
is taken to need was chosen on five other datasets.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
from record import record

from tsforecast.catalog.loaders import load_dataset
from tsforecast.data.panel import Panel
from tsforecast.data.protocol import Protocol
from tsforecast.estimators.registry import make
from tsforecast.evaluation import duration
from tsforecast.evaluation.backtest import Backtest
from tsforecast.evaluation.entries import named
from tsforecast.evaluation.leaderboard import leaderboard, panel_and_protocol
from tsforecast.evaluation.plan import averaged, naive_models, plan, rows_of
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


def simulated(memory: float, season: int, length: int, random: np.random.Generator, wanders: bool = True) -> np.ndarray:
    """Return a season, whose size wanders slowly unless told, and errors of first order with heavy tails."""
    noise = random.standard_t(6, size=length)
    for t in range(1, length):
        noise[t] += memory * noise[t - 1]
    size = 2 + wanders * np.sin(np.arange(length) / 400)
    return noise + (size * np.sin(2 * np.pi * np.arange(length) / season) if season > 1 else 0.0)


def measured(panel: Panel, seen: int, horizon: int, about: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a row for the imagined model, and one for ridge regression: power predicted, and share found later."""
    counts = {"horizon": horizon, "origins": CUTOFFS, "metric": "mae"}
    found = plan(panel.until(np.array([seen])), **counts)
    origins = min(MOST, (int(panel.lengths[0]) - seen - horizon) // horizon)
    test = Backtest(panel, Protocol(horizon, origins, audit=None))
    naive = naive_models(panel)[found.reference]
    models = {"imagined": averaged(panel, found.reference, found.other), "reduction": make("reduction")}
    rows = {name: rows_of(test, name, model) for name, model in ({found.reference: naive} | models).items()}
    losses = units(pd.concat(rows.values(), ignore_index=True), "mae").losses
    reference, other, ridge = (losses[name] for name in (found.reference, "imagined", "reduction"))
    skill = min(SKILLS, key=lambda each: abs(found.power(each) - 0.5))
    imagined = other * (1 - skill) * reference.mean() / other.mean()
    about |= {"horizon": horizon, "cutoffs": CUTOFFS, "history": found.separate, "reference": found.reference}
    for model, own in (("imagined", imagined), ("ridge regression", ridge)):
        gain = float(1 - own.mean() / reference.mean())
        share, error = detected(own, reference)
        low, high = found.power_range(gain)
        predicted = {"predicted": found.power(gain), "low": low, "high": high}
        yield {**about, "model": model, "skill": gain, **predicted, "found": share, "error": error}


def detected(own: np.ndarray, reference: np.ndarray) -> tuple[float, float]:
    """Return the share of tests of 12 cutoffs each that find the model better, and at most its Monte-Carlo error.

    Four tests share a cutoff. The error is that of tests that share none.
    """
    starts = range(0, len(own) - CUTOFFS + 1, CUTOFFS // 4)
    each = [compare(own[i : i + CUTOFFS], reference[i : i + CUTOFFS], in_time(CUTOFFS)).low > 0 for i in starts]
    share = float(np.mean(each))
    return share, float(np.sqrt(max(share * (1 - share), 0.01) / (len(own) // CUTOFFS)))


def simulations(draws: int = 1) -> Iterator[dict[str, Any]]:
    """Yield the rows of simulated series, one for each memory, season and horizon."""
    cases = [(memory, season, horizon) for memory in MEMORIES for season in SEASONS for horizon in HORIZONS]
    for number, (memory, season, horizon) in enumerate(cases * draws):
        values = simulated(memory, season, SEEN + LATER, np.random.default_rng(number))
        panel = Panel.from_array(values, season_length=season)
        yield from measured(panel, SEEN, horizon, {"data": "simulated", "memory": memory, "season": season})


def histories() -> Iterator[dict[str, Any]]:
    """Yield a row for each length of the history, on other series: how near the predictions are.

    Seasons keep their size, so that the history is like the time of the tests and only its length is left.
    """
    cases = [(memory, season, horizon) for memory in MEMORIES for season in SEASONS for horizon in HORIZONS]
    for steps in (SEEN, 5 * SEEN):
        off = []
        for number, (memory, season, horizon) in enumerate(cases):
            values = simulated(memory, season, steps + LATER, np.random.default_rng(5000 + number), wanders=False)
            row = next(measured(Panel.from_array(values, season_length=season), steps, horizon, {}))
            off.append(row["predicted"] - row["found"])
        counts = {"series": len(off), "within": int(np.sum(np.abs(off) <= 0.1))}
        yield {
            "kind": "history",
            "steps": steps,
            **counts,
            "bias": float(np.mean(off)),
            "distance": float(np.mean(np.abs(off))),
        }


def realities() -> Iterator[dict[str, Any]]:
    """Yield the rows of real series."""
    for name, horizon in REAL.items():
        panel = load_dataset(name).select(np.array([0]))
        yield from measured(panel, int(panel.lengths[0] * 0.4), horizon, {"data": name})


@dataclass(frozen=True)
class Board:
    """A small leaderboard whose time is predicted, and measured."""

    data: str
    horizon: int
    models: str
    rows: int = 20_000  # the last ones of each series
    series: int = 50
    settings: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def panel(self) -> Panel:
        """The data, or some of them."""
        panel = load_dataset(self.data)
        panel = panel.select(np.arange(min(len(panel), self.series)))
        return panel.between(np.maximum(0, panel.lengths - self.rows), panel.lengths)

    @property
    def forecasters(self) -> dict[str, Any]:
        """The models by name."""
        return {name: make(name, random_state=0, **self.settings) for name in self.models.split()}


NAIVE, NETWORKS = "naive seasonal-naive drift mean window-average", "gru lstm conv1d"
BOARDS = (
    Board("air-passengers", 12, f"{NETWORKS} reduction ets", options={"refit": True}),
    Board("co2-weekly", 13, f"{NETWORKS} ets"),
    Board("co2-weekly", 4, "gru reduction", options={"seeds": 3}),
    Board("elnino-monthly", 12, "conv1d ets", options={"refit": True}),
    Board("elnino-monthly", 6, "gru lstm", options={"seeds": 4}),
    Board("hospital", 12, f"{NETWORKS} reduction", series=50),
    Board("hospital", 6, "ets reduction", series=300),
    Board("nyc-taxi", 48, "gru reduction", rows=3000),
    Board("nyc-taxi", 12, "conv1d", rows=1500, options={"refit": True, "origins": 6}),
    Board("opsd-germany", 7, "gru conv1d", rows=2000),
    Board("opsd-germany", 14, "lstm ets", rows=1000, options={"refit": True, "origins": 5}),
    Board("sunspots", 12, f"{NETWORKS} reduction", rows=2000),
    Board("sunspots", 24, "lstm", rows=2000, settings={"units": 32}, options={"seeds": 3}),
    Board("sunspots-yearly", 5, f"{NETWORKS} ets", options={"refit": True, "origins": 12}),
    Board("taylor", 48, "conv1d ets"),
    Board("taylor", 12, "gru", rows=1500, options={"audit": "fit"}),
    Board("us-births", 14, "gru reduction", rows=4000),
    Board("us-births", 7, "conv1d", rows=2500, settings={"units": 32}, options={"refit": True, "origins": 5}),
    Board("us-births", 28, f"{NAIVE} reduction ets", options={"origins": 60}),
    Board("us-gasoline", 13, f"{NETWORKS} reduction ets"),
    Board("us-gasoline", 4, "gru", options={"refit": True, "origins": 8}),
    Board("exchange-rate", 10, "conv1d", rows=1500, settings={"max_epochs": 40}),
    Board("bike-sharing", 24, "gru", rows=3000, settings={"patience": None, "max_epochs": 6}),
    Board("etth1", 24, f"{NAIVE} reduction", rows=5000, options={"refit": True, "origins": 20}),
    Board("nyc-taxi", 24, "gru conv1d", rows=6000),
    Board("us-births", 14, "lstm conv1d"),
    Board("sunspots", 12, "gru lstm"),
    Board("taylor", 48, "gru lstm"),
    Board("us-gasoline", 13, "lstm", settings={"units": 128}),
    Board("opsd-germany", 14, "gru"),
)


def quoted(board: Board, busy: bool) -> dict[str, Any]:
    """Return the seconds that a plan predicts for a leaderboard, and those that this takes."""
    if busy:
        duration.clock = time.process_time
    counts = {"origins": None, "step": None} | board.options
    origins, step, seeds = counts.pop("origins"), counts.pop("step"), counts.pop("seeds", 1)
    panel, protocol = panel_and_protocol(board.panel, board.horizon, origins, step, False, **counts)
    found = duration.duration_of(named(board.forecasters), Backtest(panel, protocol), seeds)
    cut = [name for name, each in found.models.items() if each.epochs]
    return {"cutoffs": protocol.origins, "cut_short": cut, "quote": found.total(), "spent": found.spent}


def taken(board: Board, busy: bool) -> float:
    """Return the seconds that a leaderboard takes, with its verdicts."""
    panel, models, clock = board.panel, board.forecasters, time.process_time if busy else time.perf_counter
    began = clock()
    assert leaderboard(models, panel, board.horizon, **board.options).verdicts
    return clock() - began


def in_a_new_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a function returns in a process that has loaded no libraries."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=quiet) as executor:
        return executor.submit(function, *arguments).result()


def quiet() -> None:
    """Show no warnings."""
    warnings.simplefilter("ignore")


def times(data: str | None) -> Iterator[dict[str, Any]]:
    """Yield a row for each board, or those of some data: its quote, and the time that it took afterwards."""
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "LOKY_MAX_CPU_COUNT": "1"}
    for board in BOARDS:
        if data not in (None, board.data):
            continue
        busy = os.getloadavg()[0] > 1.2
        found = in_a_new_process(quoted, board, busy)
        seconds = in_a_new_process(taken, board, busy)
        words = {"data": board.data, "horizon": board.horizon, "rows": board.rows, "models": board.models}
        words |= {"settings": board.settings, "options": board.options}
        clock = "processor" if busy else "wall"
        yield {"kind": "time", **words, **found, "clock": clock, "seconds": seconds, "ratio": found["quote"] / seconds}


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--times", action="store_true", help="predicted times, not power")
    words.add_argument("--histories", action="store_true", help="power, from histories of two lengths")
    words.add_argument("--only", metavar="DATA", help="times of boards of one dataset")
    asked = words.parse_args()
    kind = "time" if asked.times else "history" if asked.histories else None  # rows of power have none
    rows = {"time": lambda: times(asked.only), "history": histories, None: lambda: chain(simulations(), realities())}
    found, replacing = [], {"kind": kind}
    for row in rows[kind]():
        sys.stdout.write(f"{row}\n")
        sys.stdout.flush()
        found.append(row)
    record("plan", found, replacing | ({"data": asked.only} if asked.only else {}))


if __name__ == "__main__":
    main()
