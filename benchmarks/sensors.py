"""Streams of sensors: the axes of a watch on people that the model has never seen, and two streams without an end.

``python benchmarks/sensors.py`` measures the naive family and ridge regression once, networks with two seeds, and
writes a row for each to ``results/sensors.jsonl``; it needs the folder of data that TSFORECAST_DATA names.
``--choose`` measures the candidates for the network of the watch instead, on the people whom the first fold learns
from: what was chosen there is tested on them as well, and on the first person, who had no part in it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from accuracy import of_card
from record import record

from tsforecast import (
    EnsembleForecaster,
    GroupKFold,
    GRUForecaster,
    LeaveGroupsOut,
    NeuralForecaster,
    ReductionForecaster,
    backtest,
    load_dataset,
)
from tsforecast.data.panel import Panel
from tsforecast.estimators.registry import NAIVE_FAMILY, make
from tsforecast.forecasters.base import Forecaster

WINDOW, HORIZON = 10, 5  # steps of the watch, of about 111 ms
INNER = GroupKFold(3)  # how people are kept apart where settings are chosen

# Settings of the network of the watch, each tried on people 2 to 8, whom the first fold learns from (`--choose`).
BASE: dict[str, Any] = {
    "window": WINDOW,
    "channels": "joint",
    "anchor": "none",
    "batch_size": 256,
    "max_epochs": 10,
    "patience": None,
    "validation": None,
}
CANDIDATES: dict[str, dict[str, Any]] = {
    "base": {},
    "anchor last": {"anchor": "last"},
    "faster": {"learning_rate": 0.005},
    "lstm": {"cell": "lstm"},
    "segments of 5": {"segment": 5, "units": 128},
    "one segment": {"segment": 10, "units": 256},
    "segments of 5, faster": {"segment": 5, "units": 128, "learning_rate": 0.005},
    "segments of 5, faster, 20 epochs": {"segment": 5, "units": 128, "learning_rate": 0.005, "max_epochs": 20},
    "segments of 5, faster, two layers": {"segment": 5, "units": 128, "learning_rate": 0.005, "layers": 2},
}
CHOSEN = "segments of 5, faster"  # the candidate with the smallest error there
CHOSEN_ON = "gestures, first training part"

Scores = dict[str, Any]


def watch() -> Panel:
    """Return the recordings without their gestures: which one it will be is not known while it goes on."""
    return load_dataset("smartwatch-gestures").without("gesture")


def first_training_part() -> Panel:
    """Return the recordings that the first fold learns from: of everybody but the first person."""
    panel = watch()
    learn, _ = next(LeaveGroupsOut().split(panel))
    return panel.select(learn)


def forecasts(forecaster: Forecaster, panel: Panel, groups: LeaveGroupsOut | GroupKFold | None = None) -> pd.DataFrame:
    """Forecast from every cutoff of every recording with a window before and a horizon after it.

    Each person is left out in turn, unless `groups` says otherwise: fitted on the others, forecast from one past after
    the other.
    """
    origins = int(panel.lengths.max()) - WINDOW - HORIZON + 1
    return backtest(forecaster, panel, HORIZON, origins, step=1, min_past=WINDOW, groups=groups)


def on_people(panel: Panel, groups: GroupKFold | None, forecaster: Forecaster) -> Scores:
    """Return the mean absolute error for each person, over all that was forecast for them, and its mean over people."""
    rows = forecasts(forecaster, panel, groups)
    errors = (rows["y"] - rows["forecast"]).abs().groupby(rows["group"]).mean()
    return {
        "metric": "mae",
        "value": float(errors.mean()),
        "each": {str(name): float(error) for name, error in errors.items()},
        "forecasts": len(rows),
        "fit_seconds": float(rows["fit_seconds"].median()),
        "predict_seconds": float(rows["predict_seconds"].median()),
        "audit": str(rows["leak_audit"].iloc[0]),
    }


def on_stream(name: str, forecaster: Forecaster) -> Scores:
    """Return the scores at the cutoffs of the dataset's card."""
    scores = of_card(name, forecaster)
    return {"metric": "mase", "value": scores["mase"], "each": {name: scores["mase"]}, **scores}


SETS: dict[str, Callable[[Forecaster], Scores]] = {
    "gestures": lambda forecaster: on_people(watch(), None, forecaster),
    "machine-temperature": partial(on_stream, "machine-temperature"),
    "bike-sharing": partial(on_stream, "bike-sharing"),
}


def skill(scores: Scores, naive: Scores) -> dict[str, float]:
    """Return the share of the error of a naive forecast that is gone, as a mean over people, and its deviation."""
    each = [1 - error / naive["each"][name] for name, error in scores["each"].items()]
    return {"skill": float(np.mean(each)), "deviation": float(np.std(each, ddof=1)) if len(each) > 1 else 0.0}


def network(seed: int | None = None, candidate: str = CHOSEN) -> NeuralForecaster:
    """Return the network that was chosen for the watch, or another candidate."""
    return NeuralForecaster(random_state=seed, **(BASE | CANDIDATES[candidate]))


def measurements(name: str, seeds: int) -> Iterator[tuple[str, str, int | None, Forecaster]]:
    """Yield model, kind of settings, seed and forecaster for all but the naive forecasts of a set."""
    reads = {"window": WINDOW} if name == "gestures" else {}
    yield "ridge", "default", None, ReductionForecaster(**reads)
    if name == "gestures":
        yield "ridge of levels", "recipe", None, ReductionForecaster(anchor=BASE["anchor"], **reads)
    for seed in range(seeds):
        yield "gru", "default", seed, GRUForecaster(random_state=seed, **reads)
        if name == "gestures":
            yield "network", "recipe", seed, network(seed)
            yield "ensemble", "recipe", seed, EnsembleForecaster(network(), seeds=3, random_state=100 * seed)


def candidates() -> Iterator[tuple[str, str, int | None, Forecaster]]:
    """Yield what `measurements` does for all that the network of the watch was chosen from."""
    for name in CANDIDATES:
        yield name, "candidate", 0, network(0, name)


def measure(
    name: str,
    score: Callable[[Forecaster], Scores],
    models: Iterator[tuple[str, str, int | None, Forecaster]],
    wanted: list[str] | None,
) -> None:
    """Score the naive family, and models beside the best of it, and keep a row for each."""
    every = [(model, "default", None, make(model)) for model in NAIVE_FAMILY]
    naive = {model: score(forecaster) for model, _, _, forecaster in every}
    best = min(naive, key=lambda model: naive[model]["value"])
    for model, settings, seed, forecaster in (*every, *models):
        if model not in naive and wanted and model not in wanted:
            continue
        scores = naive.get(model) or score(forecaster)
        place = {"set": name, "model": model, "settings": settings, "seed": seed}
        row = place | scores | skill(scores, naive[best]) | {"reference": best}
        row |= {"chosen_on": CHOSEN_ON} if settings == "recipe" else {}
        record("sensors", [row], place)  # after each: a run that is cut short keeps what it measured
        sys.stdout.write(f"{name} {model} {seed}: {row['metric']} {row['value']:.4f}, skill {row['skill']:+.4f}\n")
        sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", metavar="SET", help=f"all unless named: {', '.join(SETS)}")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--models", nargs="+", metavar="MODEL", help="measure these alone, and keep the other rows")
    parser.add_argument("--choose", action="store_true", help="measure candidates for the network of the watch")
    options = parser.parse_args()
    if options.choose:
        inner = partial(on_people, first_training_part(), INNER)
        measure(CHOSEN_ON, inner, candidates(), options.models)
        return
    for name in options.sets or SETS:
        measure(name, SETS[name], measurements(name, options.seeds), options.models)


if __name__ == "__main__":
    main()
