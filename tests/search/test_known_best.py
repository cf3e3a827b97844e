"""A search finds the cell and the window that are known to be best; `pytest -m slow` runs this file."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest

from tsforecast.data.panel import Panel
from tsforecast.forecasters.neural import NeuralForecaster
from tsforecast.search.objective import forecast_objectives
from tsforecast.search.search import RaySearch
from tsforecast.search.space import log
from tsforecast.search.trial import TrialSetup

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.filterwarnings("ignore"),  # what ray leaves open when it ends is its own
    pytest.mark.usefixtures("only_ray"),
]
LAG, ECHO = 30, 0.95
CELLS, WINDOWS, EPOCHS, TRIALS = ["rnn", "gru", "lstm", "conv1d"], [12, 24, 36], 10, 30
BEST = {"cell": "conv1d", "window": 36}
MODEL = NeuralForecaster(horizon=1, segment=1, batch_size=32, units=16, random_state=0)


def echo(steps: int = 2_000) -> Panel:
    """Return a series that repeats what was 30 steps ago, and is noise to whoever sees less.

    Only the longest window reaches back so far; a convolution has it before its eyes, a recurrent cell would have to
    carry it through 30 steps, which takes more than ten epochs to learn.
    """
    random = np.random.default_rng(0)
    values = list(random.normal(size=LAG))
    for _ in range(steps - LAG):
        values.append(ECHO * values[-LAG] + np.sqrt(1 - ECHO**2) * random.normal())
    return Panel.from_array(np.array(values), season_length=1)


def test_only_one_cell_with_one_window_learns_the_echo() -> None:
    folds = forecast_objectives(echo(), 1, 0.2, 1, "mae")
    skills = {}
    for cell, window in product(CELLS, WINDOWS):
        model = TrialSetup(MODEL, folds, EPOCHS, 0).model({"cell": cell, "window": window})
        skills[cell, window] = folds[0].skill(folds[0].losses(folds[0].fit(model)))
    assert max(skills, key=lambda pair: skills[pair]) == (BEST["cell"], BEST["window"])
    assert sorted(skills.values())[-1] > 0.5 > 0.2 > sorted(skills.values())[-2]


def test_thirty_trials_find_it_with_nine_seeds_of_ten(tmp_path: Path) -> None:
    import ray

    space = {"cell": CELLS, "window": WINDOWS, "units": [8, 16], "learning_rate": log(2e-3, 2e-2)}
    found = []
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    try:
        for seed in range(10):
            rules = {"trials": TRIALS, "max_epochs": EPOCHS, "random_state": seed, "validation": 0.2, "metric": "mae"}
            search = RaySearch(MODEL, space, storage=tmp_path, name=f"seed-{seed}", **rules).fit(echo())
            found.append({name: search.best_params_.get(name) for name in BEST} == BEST)
    finally:
        ray.shutdown()
    assert sum(found) >= 9, found
