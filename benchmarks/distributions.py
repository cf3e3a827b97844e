"""Distributions on public data: networks with a likelihood, or quantiles, beside the seasonal naive distribution.

``python benchmarks/distributions.py`` writes a row for each set, model and seed to ``results/distributions.jsonl``: the
CRPS scaled as MASE is, as a share of that of the seasonal naive distribution, MASE of the point forecast, coverage and
MSIS (alpha .05). It needs the folder of data that TSFORECAST_DATA names. Settings are the defaults on all sets.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from record import record

from tsforecast import GRUForecaster, backtest, load_dataset
from tsforecast.catalog.card import card
from tsforecast.data.panel import Panel
from tsforecast.estimators.registry import NAIVE_FAMILY, make
from tsforecast.evaluation.results import ForecastResults
from tsforecast.forecasters.base import Forecaster

SUNSPOT_MONTHS = 3_277  # as in `accuracy.py`
LOSSES = ("mae", "normal", "student-t", "quantile")
LAST = {"m4-hourly": 48, "hospital": 12, "us-births": 30}  # the last steps, as in the official test parts
SETS = ("co2-weekly", "elnino-monthly", "sunspots", "nyc-taxi", "m4-hourly", "hospital", "us-births")
PUBLISHED = {"m4-hourly": 11.5}  # MSIS of the best submission [Makridakis et al. 2020]


def tested(name: str) -> tuple[Panel, dict[str, Any]]:
    """Return a set, and its cutoffs."""
    panel = load_dataset(name)
    if name in LAST:
        return panel, {"horizon": LAST[name]}
    if name == "sunspots":
        months = SUNSPOT_MONTHS - int(0.8 * SUNSPOT_MONTHS)
        return panel.until(np.array([SUNSPOT_MONTHS])), {"horizon": 1, "origins": months, "step": 1}
    task = card(name).task
    return panel, {"horizon": task.horizon, "origins": task.origins, "step": task.step}


def scores(panel: Panel, cutoffs: dict[str, Any], forecaster: Forecaster) -> dict[str, float]:
    """Return the scores of one fit."""
    rows = backtest(forecaster, panel, **cutoffs, name="model", audit=None, distributions=True)
    table = ForecastResults.from_rows(rows, "crps", reference="model").table.iloc[0]
    names = ("crps", "mase", "msis", "wql", "coverage80", "coverage95", "fit_seconds", "predict_seconds")
    return {name: round(float(table[name]), 5) for name in names}


def measurements(seeds: int) -> Iterator[tuple[str, int | None, Forecaster]]:
    """Yield model, seed and forecaster."""
    for name in NAIVE_FAMILY:
        yield name, None, make(name)
    for loss in LOSSES:
        for seed in range(seeds):
            yield f"gru, {loss}", seed, GRUForecaster(loss=loss, random_state=seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", metavar="SET", help=f"all unless named: {', '.join(SETS)}")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    for name in options.sets or SETS:
        panel, cutoffs = tested(name)
        rows: list[dict[str, Any]] = []
        for model, seed, forecaster in measurements(options.seeds):
            rows.append({"set": name, "model": model, "seed": seed, **scores(panel, cutoffs, forecaster)})
            base = next((row["crps"] for row in rows if row["model"] == "seasonal-naive"), float("nan"))
            rows[-1]["of_seasonal_naive"] = round(rows[-1]["crps"] / base, 4)
            sys.stdout.write(f"{rows[-1]}\n")
            sys.stdout.flush()
        if name in PUBLISHED:
            rows.append({"set": name, "model": "best submission of M4", "seed": None, "msis": PUBLISHED[name]})
        record("distributions", rows, {"set": name})


if __name__ == "__main__":
    main()
