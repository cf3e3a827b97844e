"""The optimism of searches over white noise: what is left of the best score, beside the skill on fresh data.

``python benchmarks/optimism.py`` writes a row for each situation to ``results/optimism.jsonl``, in some six minutes on
one core. No forecast of white noise beats its mean, so that a score above naive is luck of the choice among trials,
epochs and naive references. Each search has five trials of ten epochs of tiny networks, which run one after the other
in this process in place of Ray. The best settings, or the naive forecast where nothing beats it, are fitted again on
all that the search had, and forecast what follows.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from record import record

from tsforecast import NeuralForecaster, Panel, RaySearch
from tsforecast.data.context import Context
from tsforecast.estimators.registry import make
from tsforecast.search import tuner
from tsforecast.search.space import Space, log
from tsforecast.search.storage import RunConfig, TrialRecord, append_event, read_log
from tsforecast.search.suggest import make_searcher
from tsforecast.search.trial import Score, TrialSetup, run_trial

SEARCHES, TRIALS, EPOCHS, TRAINED, FRESH = 200, 5, 10, 200, 2_000
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # hundreds of searches need no disk
SPACE = {"cell": ["gru", "conv1d"], "units": [4, 8], "window": [6, 12, 24], "learning_rate": log(5e-3, 5e-2)}
SITUATIONS = {  # horizon, and steps that validate
    "60 cutoffs of horizon 1": (1, 60),
    "24 cutoffs of horizon 12, which overlap": (12, 35),
    "4 cutoffs of horizon 1": (1, 4),
}


def one_by_one(setup: TrialSetup, space: Space, config: RunConfig, verbose: int) -> tuple[list[TrialRecord], bool]:
    """Run the trials of a search at random in this process; see `tsforecast.search.tuner.tune`."""
    _, codes = make_searcher(
        "random", space, config.spec.trials, config.seed, space.start(setup.model({}).get_params()), []
    )
    for trial, code in enumerate(codes, 1):
        config.trial_folder(trial).mkdir(parents=True)

        def report(score: Score, trial: int = trial, code: dict[str, Any] = code) -> None:
            fields = {"epoch": score.epoch, "skill": score.skill, "start": score.start}
            append_event(config.folder, "epoch", trial, code=code, seconds=0.0, **fields)

        run_trial(setup, space.settings(space.decode(code)), config.trial_folder(trial), report)
        append_event(config.folder, "done", trial)
    return read_log(config.folder), False


def searched(seed: int, horizon: int, validation: int) -> dict[str, float]:
    """Return the score of a search over white noise, its optimism, and the skill on fresh data."""
    steps = TRAINED + validation
    values = np.random.default_rng(seed).normal(size=steps + FRESH)
    model = NeuralForecaster(
        horizon=horizon, anchor="none", max_epochs=EPOCHS, batch_size=256, random_state=seed, device="cpu"
    )
    rules: dict[str, Any] = {"searcher": "random", "scheduler": "none", "validation": validation, "random_state": seed}
    with tempfile.TemporaryDirectory(dir=MEMORY) as place:
        seen = Panel.from_array(values[:steps], season_length=1)
        search = RaySearch(model, SPACE, trials=TRIALS, storage=place, name="a", **rules).fit(seen)
    cutoffs = np.arange(steps, len(values) - horizon + 1)
    fresh = Context(Panel.from_array(values, season_length=1), np.zeros(len(cutoffs), dtype=np.int64), cutoffs)
    truth = sliding_window_view(values, horizon)[cutoffs]
    own, naive = (
        float(np.abs(truth - each.forecast(fresh, horizon)[..., 0]).mean())
        for each in (search.best_estimator_, make(search.reference_, horizon=horizon).fit(seen))
    )
    return {"best": search.best_score_, "optimism": search.optimism_, "true": 1 - own / naive}


def measured(situation: str, searches: int) -> dict[str, Any]:
    """Return the row of a situation."""
    found = [searched(seed, *SITUATIONS[situation]) for seed in range(searches)]
    best, optimism, true = (np.array([one[name] for one in found]) for name in ("best", "optimism", "true"))
    off = best - optimism - true
    return {
        "situation": situation,
        "searches": searches,
        "trials": TRIALS,
        "epochs": EPOCHS,
        "best": round(float(100 * best.mean()), 2),
        "optimism": round(float(100 * optimism.mean()), 2),
        "true": round(float(100 * true.mean()), 2),
        "off": round(float(100 * off.mean()), 2),
        "standard_error": round(float(100 * off.std(ddof=1) / np.sqrt(searches)), 2),
    }


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--searches", type=int, default=SEARCHES)
    words.add_argument("--only", help="one situation, by its first word")
    asked = words.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    tuner.tune = one_by_one
    for situation in SITUATIONS:
        if asked.only in (None, situation.split()[0]):
            row = measured(situation, asked.searches)
            sys.stdout.write(f"{row}\n")
            record("optimism", [row], {"situation": situation})


if __name__ == "__main__":
    main()
