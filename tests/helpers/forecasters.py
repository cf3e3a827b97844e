"""Small forecasters that fit in a moment, and a series for them."""

from __future__ import annotations

from typing import get_args, get_type_hints

import numpy as np

from tsforecast.data.panel import Panel
from tsforecast.estimators.registry import NETWORKS, make
from tsforecast.forecasters.base import Forecaster
from tsforecast.forecasters.naive import NaiveForecaster

SMALL = {"window": 12, "units": 4, "max_epochs": 2, "random_state": 0, "season_length": 6}
ROW_COLUMNS = (
    "model",
    "series",
    "group",
    "target",
    "cutoff",
    "step",
    "time",
    "phase",
    "y",
    "forecast",
    "seed",
    "replaced",
    "leak_audit",
    "naive_mae",
    "naive_mse",
    "fit_seconds",
    "predict_seconds",
)  # of a backtest


class Failing(NaiveForecaster):
    """Fails at the cutoffs that see more than so many steps."""

    def __init__(self, steps: int = 0, horizon: int = 1) -> None:
        super().__init__(horizon)
        self.steps = steps

    def _fit(self, panel: Panel) -> None:
        if panel.lengths.max() > self.steps:
            raise ZeroDivisionError("no denominator\nand more lines")


def small(name: str, horizon: int = 3) -> Forecaster:
    """Return the forecaster of that name, small enough to fit in a moment."""
    settings = SMALL if name in NETWORKS else {}
    return make(name, horizon=horizon, **settings)


def wave(steps: int = 90, seed: int = 0) -> np.ndarray:
    """Return a season of six with trend and noise, shape (steps,)."""
    t = np.arange(steps)
    return 10 + 0.05 * t + np.sin(2 * np.pi * t / 6) + 0.1 * np.random.default_rng(seed).normal(size=steps)


def options(cls: type, name: str) -> tuple[str, ...]:
    """Return the options of a setting, so that a new one is tested with the others."""
    return get_args(get_type_hints(cls)[name])
