"""How many outcomes conformal intervals hold, also after shifts, and intervals of sums over days and shops from paths.

Run with ``python benchmarks/conformal.py`` (some minutes on one core). Series are made up; settings are the defaults.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from record import record
from scipy.signal import lfilter

from tsforecast import ConformalForecaster, MeanForecaster, Panel, ReductionForecaster, SeasonalNaiveForecaster
from tsforecast.data.context import Context
from tsforecast.forecasters.base import Forecaster

Floats = NDArray[np.float64]
SHARES = (0.8, 0.95)
SIMULATIONS, PAST, TEST, HORIZON = 200, 400, 100, 3
SHIFTED = 200  # steps after a shift
SHOPS, DAYS, AHEAD = 40, 7, 14
HISTORIES = (366, 731, 1096)  # days: one year to three


def season(random: np.random.Generator) -> Floats:
    """Draw a season of 7 steps with normal noise."""
    steps = PAST + TEST
    return 10 + 3 * np.sin(2 * np.pi * np.arange(steps) / 7) + random.normal(size=steps)


def autoregression(random: np.random.Generator) -> Floats:
    """Draw a stationary autoregression with normal shocks."""
    return np.asarray(lfilter([1.0], [1.0, -0.8], random.normal(size=PAST + TEST + 100))[100:])


def skewed(random: np.random.Generator) -> Floats:
    """Draw independent lognormal numbers."""
    return np.exp(random.normal(size=PAST + TEST))


STATIONARY: dict[str, tuple[Callable[[np.random.Generator], Floats], Forecaster]] = {
    "season": (season, SeasonalNaiveForecaster(season_length=7)),
    "autoregression": (autoregression, ReductionForecaster(window=10)),
    "skewed": (skewed, MeanForecaster()),
}


def held(model: Forecaster, y: Floats, horizon: int, fitted: int) -> list[float]:
    """Return the share of outcomes within intervals at all cutoffs after the fitted steps, by the share claimed."""
    cutoffs = np.arange(fitted, len(y) - horizon + 1)
    past = Context(Panel.from_array(y), np.zeros_like(cutoffs), cutoffs)
    truth = np.lib.stride_tricks.sliding_window_view(y[fitted:], horizon)
    ends = model.distribution(past, horizon).quantiles([0.025, 0.1, 0.9, 0.975])[:, :, 0]
    pairs = ((1, 2), (0, 3))
    return [float(np.mean((ends[..., low] <= truth) & (truth <= ends[..., high]))) for low, high in pairs]


def rows(about: dict[str, Any], found: list[list[float]]) -> list[dict[str, Any]]:
    """Return a row for each share, with the mean over simulations and its standard error."""
    rates, error = np.mean(found, axis=0), np.std(found, axis=0, ddof=1) / np.sqrt(len(found))
    held = zip(SHARES, rates.tolist(), error.tolist(), strict=True)
    return [
        {**about, "simulations": len(found), "share": share, "held": round(rate, 4), "standard_error": round(own, 4)}
        for share, rate, own in held
    ]


def stationary(simulations: int = SIMULATIONS) -> list[dict[str, Any]]:
    """Measure both methods where nothing shifts."""
    made = []
    for name, (draw, forecaster) in STATIONARY.items():
        for method in ("split", "adaptive"):
            found = []
            for seed in range(simulations):
                y = draw(np.random.default_rng([seed, 1]))
                model = ConformalForecaster(forecaster, HORIZON, method).fit(y[:PAST])  # type: ignore[arg-type]
                found.append(held(model, y, HORIZON, PAST))
            made += rows({"measured": "stationary", "series": name, "method": method}, found)
    return made


def shifts(simulations: int = SIMULATIONS // 2) -> list[dict[str, Any]]:
    """Measure both methods over the steps that follow a shift, at which the fit ends."""
    made = []
    for name in ("level", "spread"):
        for method in ("split", "adaptive"):
            found = []
            for seed in range(simulations):
                y = np.random.default_rng([seed, 2]).normal(size=PAST + SHIFTED)
                y[PAST:] = y[PAST:] + 3 if name == "level" else 3 * y[PAST:]
                model = ConformalForecaster(MeanForecaster(), 1, method).fit(y[:PAST])  # type: ignore[arg-type]
                found.append(held(model, y, 1, PAST))
            made += rows({"measured": "shift", "series": name, "method": method}, found)
    return made


def shops(seed: int, steps: int, count: int = SHOPS) -> Floats:
    """Draw sales of shops by day, (N, T): a week, a shock of each day that all share and that lasts, and noise."""
    random = np.random.default_rng([seed, 3])
    shared = lfilter([1.0], [1.0, -0.6], random.normal(size=steps + 100))[100:]
    week = 5 * np.sin(2 * np.pi * np.arange(steps) / DAYS)
    return np.asarray(50 + week + random.uniform(0.5, 1.5, (count, 1)) * shared + random.normal(size=(count, steps)))


def sums(simulations: int = 2 * SIMULATIONS) -> list[dict[str, Any]]:
    """Measure intervals for the total of all shops and days: of paths, and of the same numbers in any order."""
    made = []
    for days in HISTORIES:
        found: dict[str, list[list[float]]] = {"paths": [], "independent": []}
        for seed in range(simulations):
            sales = shops(seed, days + AHEAD)
            panel = Panel.from_array(list(sales[:, :days]), season_length=DAYS)
            drawn = np.stack(SeasonalNaiveForecaster(AHEAD).fit(panel).sample(400, random_state=seed), axis=1)
            for name, own in found.items():
                each = drawn if name == "paths" else np.random.default_rng(seed).permuted(drawn, axis=0)
                ends = np.quantile(each.sum(axis=(1, 2)), [0.025, 0.1, 0.9, 0.975])
                total = sales[:, days:].sum()
                own.append([float(ends[1] <= total <= ends[2]), float(ends[0] <= total <= ends[3])])
        for name, own in found.items():
            made += rows({"measured": "sums", "series": f"{days} days", "method": name}, own)
    return made


def main(parts: list[str]) -> None:
    for name, measure in {"stationary": stationary, "shift": shifts, "sums": sums}.items():
        if not parts or name in parts:
            record("conformal", measure(), replacing={"measured": name})


if __name__ == "__main__":
    main(sys.argv[1:])
