"""Gain by forecasts that add up, level by level: made-up tourism, and rentals of bikes by user and hour of day.

Run with ``python benchmarks/hierarchies.py`` (about ten minutes on one core). Each model is fitted once, before all
cutoffs of its test part. A row has the mean scaled error of base and reconciled forecasts in a level, the share of it
that reconciliation removes, with its standard error over simulations (of bikes over cutoffs), and the share of outcomes
within intervals of 80 %.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from record import record

from tsforecast import Hierarchy, Panel, ReconciledForecaster
from tsforecast.catalog.card import card
from tsforecast.catalog.loaders import _locate
from tsforecast.data.context import Context
from tsforecast.data.scaling import seasonal_scale
from tsforecast.distributions.base import Distribution
from tsforecast.estimators.registry import make
from tsforecast.hierarchies.reconciliation import METHODS

Floats = NDArray[np.float64]
MODELS = ("theta", "ets", "reduction")
SIMULATIONS, MONTHS, STATES, REGIONS, PURPOSES = 10, 120, 6, 4, ("business", "holiday")
PARTS = {
    "night": range(6),
    "morning": range(6, 11),
    "noon": range(11, 16),
    "evening": range(16, 21),
    "late": range(21, 24),
}
SHOWN = ("mint", "bottom-up")  # whose intervals are looked at


def tourism(seed: int) -> tuple[Panel, Hierarchy]:
    """Draw visitors of regions by purpose: shocks of nation, state, region and purpose that stay, season and noise."""
    random, t, frames = np.random.default_rng(seed), np.arange(MONTHS), []

    def walk(size: float) -> Floats:
        return np.cumsum(random.normal(scale=size, size=MONTHS))

    nation = walk(0.01)
    waves = {name: random.uniform(0.1, 0.4) * np.sin(2 * np.pi * (t / 12 + random.uniform())) for name in PURPOSES}
    trends = {name: walk(0.02) for name in PURPOSES}
    for state in range(STATES):
        of_state = nation + walk(0.015)
        for region in range(REGIONS):
            of_region, size = of_state + walk(0.015), np.exp(random.normal(4, 0.8))
            for name in PURPOSES:
                logs = of_region + trends[name] + random.uniform(0.5, 1.5) * waves[name]
                logs += random.normal(scale=random.uniform(0.1, 0.6), size=MONTHS)
                frame = pd.DataFrame({"month": pd.date_range("2010-01-01", periods=MONTHS, freq="MS")})
                named = {"state": f"state {state}", "region": f"region {state}{region}", "purpose": name}
                visitors = size * random.uniform(0.3, 1) * np.exp(logs)
                frames.append(frame.assign(id=f"{named['region']} {name}", visitors=visitors, **named))
    static = ["state", "region", "purpose"]
    panel = Panel.from_frame(pd.concat(frames), id="id", time="month", target="visitors", static=static)
    return panel, Hierarchy.of(panel, "state/region", "state/purpose", "purpose")


def bikes() -> tuple[Panel, Hierarchy]:
    """Return the rentals of each day by user and hour of day: published counts, whose sums are those of the day."""
    table = pd.read_csv(_locate(card("bike-sharing"), None)[0])
    table = table.melt(["dteday", "hr"], ["casual", "registered"], "user", "rented")
    part = {hour: name for name, hours in PARTS.items() for hour in hours}
    days, hours = sorted(table["dteday"].unique()), range(24)
    every = pd.MultiIndex.from_product([["casual", "registered"], hours, days], names=["user", "hr", "dteday"])
    table = (
        table.set_index(["user", "hr", "dteday"]).reindex(every, fill_value=0.0).reset_index()
    )  # hours without rentals
    hour = table["hr"].map("{:02d}:00".format)
    table = table.assign(id=table["user"] + " " + hour, hour=hour, part=table["hr"].map(part), day=table["dteday"])
    static = ["user", "part", "hour"]
    panel = Panel.from_frame(
        table[["id", "day", "rented", *static]], id="id", time="day", target="rented", static=static
    )
    return panel, Hierarchy.of(panel, "user/part", "part/hour")


def measured(
    panel: Panel, tree: Hierarchy, name: str, horizon: int, origins: int, step: int, methods: Sequence[str]
) -> dict[str, Any]:
    """Return scaled errors (O, N) of base and reconciled forecasts, and outcomes within intervals, by method."""
    full = tree.with_sums(panel)
    steps, count = int(full.lengths[0]), len(full)
    cutoffs = steps - horizon - step * np.arange(origins)[::-1]
    train = full.until(np.full(count, cutoffs[0]))
    past = Context(full, np.tile(np.arange(count), origins), np.repeat(cutoffs, count))
    rows = cutoffs[:, None, None] + np.arange(horizon)
    truth = np.stack([full.series(i)[:, 0] for i in range(count)])[np.arange(count)[:, None], rows]  # (O, N, H)
    scale = np.array([seasonal_scale(train.series(i)[:, 0], full.season_length)[0] for i in range(count)])

    def errors(forecasts: Floats) -> Floats:
        return np.abs(forecasts.reshape(truth.shape) - truth).mean(axis=2) / scale

    def held(distribution: Distribution) -> Floats:
        low, high = np.moveaxis(distribution.quantiles([0.1, 0.9])[:, :, 0], -1, 0).reshape(2, *truth.shape)
        return ((low <= truth) & (truth <= high)).mean(axis=2)

    base = make(name, horizon=horizon).fit(train)
    found: dict[str, Any] = {
        "base": (errors(base.forecast(past, horizon)), held(base.distribution(past, horizon)), 0.0)
    }
    for method in methods:
        began = time.perf_counter()
        model = ReconciledForecaster(make(name), hierarchy=tree, horizon=horizon, method=method).fit(train)  # type: ignore[arg-type]
        seconds = time.perf_counter() - began
        inside = held(model.distribution(past, horizon)) if method in SHOWN else None
        found[method] = (errors(model.forecast(past, horizon)), inside, seconds)
    return found


def rows(about: dict[str, Any], tree: Hierarchy, cases: list[dict[str, Any]], spread: str) -> list[dict[str, Any]]:
    """Return a row for each method and level; the spread is over cases, or over the cutoffs of one."""
    level_of = np.array([*tree.level_of.values()])
    made = []
    for method in [name for name in cases[0] if name != "base"]:
        for level in [*dict.fromkeys(level_of), "all levels"]:
            own = level_of == level

            def mean(errors: Floats, own: NDArray[np.bool_] = own) -> Floats:
                if own.any():
                    return errors[:, own].mean(axis=1)
                return np.mean([errors[:, level_of == each].mean(axis=1) for each in dict.fromkeys(level_of)], axis=0)

            before, after = (np.stack([mean(case[kind][0]) for case in cases]) for kind in ("base", method))  # (S, O)
            units = 1 - (after.mean(axis=1) / before.mean(axis=1) if len(cases) > 1 else after[0] / before[0])
            row = {**about, "method": method, "level": str(level), "series": int(own.sum() or len(own))}
            row |= {
                spread: len(units),
                "base": round(float(before.mean()), 4),
                "reconciled": round(float(after.mean()), 4),
            }
            row["gain"] = round(float(units.mean() if len(cases) > 1 else 1 - after.mean() / before.mean()), 4)
            row["standard_error"] = round(float(units.std(ddof=1) / np.sqrt(len(units))), 4)
            if cases[0][method][1] is not None:
                shares = [np.mean([mean(case[kind][1]) for case in cases]) for kind in ("base", method)]
                row |= {
                    f"{kind}_held": round(float(each), 3) for kind, each in zip(("base", "own"), shares, strict=True)
                }
            row["fit_seconds"] = round(float(np.mean([case[method][2] for case in cases])), 2)
            made.append(row)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=MODELS, help=f"{', '.join(MODELS)} unless named")
    parser.add_argument("--simulations", type=int, default=SIMULATIONS)
    parser.add_argument("--dry", action="store_true", help="write nothing")
    options = parser.parse_args()
    for name in options.models:
        cases = []
        for seed in range(options.simulations):
            panel, tree = tourism(seed)
            usable = [method for method in METHODS if tree.nested or method != "top-down-forecasts"]
            cases.append(measured(panel, tree, name, 12, 6, 3, usable))
        about = {"data": "made-up tourism", "model": name, "horizon": 12, "cutoffs": 6, "seed": 0}
        found = rows(about, tree, cases, "simulations")
        panel, tree = bikes()
        case = measured(panel, tree, name, 7, 20, 7, usable)
        found += rows({"data": "bike-sharing", "model": name, "horizon": 7}, tree, [case], "cutoffs")
        for row in found:
            if row["level"] == "all levels" or row["method"] == "mint":
                sys.stdout.write(f"{row}\n")
        if not options.dry:
            record("hierarchies", found, {"model": name})


if __name__ == "__main__":
    main()
