"""Accuracy on public data, each set by its usual protocol, beside the naive family and published numbers.

``python benchmarks/accuracy.py`` measures naive and classical models once; networks with three seeds by default, by the
recipe "best", and as an ensemble made for one set. It writes a row for each to ``results/accuracy.jsonl``, and needs
the folder of data that TSFORECAST_DATA names.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from record import record
from sklearn.ensemble import HistGradientBoostingRegressor

from tsforecast import (
    EnsembleForecaster,
    GRUForecaster,
    ReductionForecaster,
    backtest,
    load_dataset,
)
from tsforecast.catalog.card import card
from tsforecast.data.context import Context
from tsforecast.data.panel import Panel
from tsforecast.estimators.registry import CLASSICAL, NAIVE_FAMILY, NETWORKS, make
from tsforecast.evaluation import metrics
from tsforecast.evaluation.results import ForecastResults
from tsforecast.forecasters.base import Forecaster

NAIVE2_SMAPE, NAIVE2_MASE = 18.383, 2.395  # M4 Hourly; Mcompetitions/M4-methods
ETT_TRAIN, ETT_SEEN, ETT_END = 8_640, 11_520, 14_400
SUNSPOT_MONTHS = 3_277  # 1749-01 to 2022-01, as in the published rows

Scores = dict[str, float]


def of_card(name: str, forecaster: Forecaster) -> Scores:
    """The cutoffs of the dataset's card, fitted once at the oldest."""
    task = card(name).task
    return _errors(backtest(forecaster, load_dataset(name), task.horizon, task.origins, task.step))


def last_steps(name: str, horizon: int, forecaster: Forecaster) -> Scores:
    """The last `horizon` steps of each series, as in the Monash archive."""
    return _errors(backtest(forecaster, load_dataset(name), horizon))


def tourism_monthly(forecaster: Forecaster) -> Scores:
    """The official test part: two years after the end of each of 366 series of unequal length."""
    return _errors(backtest(forecaster, _tourism(), 24))


def _tourism() -> Panel:
    """Read series in columns: the number of months, first year and month, then values; those of the test apart."""
    folder, series = Path(os.environ["TSFORECAST_DATA"]) / "tourism_monthly", []
    past, future = (pd.read_csv(folder / f"monthly_{part}.csv") for part in ("in", "oos"))
    for name in past:
        count, year, month = (int(number) for number in past[name][:3])
        values = np.concatenate([past[name][3 : 3 + count], future[name][3 : 3 + int(future[name][0])]])
        months = pd.date_range(f"{year}-{month}-01", periods=len(values), freq="MS")
        series.append(pd.DataFrame({"series": name, "month": months, "visitors": values}))
    return Panel.from_frame(pd.concat(series), id="series", time="month", target="visitors")


def m4_hourly(forecaster: Forecaster) -> Scores:
    """The official test part; OWA relative to Naive2."""
    scores = _errors(backtest(forecaster, load_dataset("m4-hourly"), 48))
    return scores | {"owa": metrics.owa(scores["smape"], scores["mase"], NAIVE2_SMAPE, NAIVE2_MASE)}


def etth1(horizon: int, forecaster: Forecaster) -> Scores:
    """All windows of the test part, on numbers scaled by the training part."""
    panel = load_dataset("etth1").until(np.array([ETT_END]))
    model = forecaster.set_params(horizon=horizon)
    several = forecaster.forecasters if isinstance(forecaster, EnsembleForecaster) else [forecaster]
    for member in several:
        if "validation" in member.get_params():
            member.set_params(validation=ETT_SEEN - ETT_TRAIN)
    seconds = time.perf_counter()
    model.fit(panel.until(np.array([ETT_SEEN])))
    seconds = time.perf_counter() - seconds
    cutoffs = np.arange(ETT_SEEN, ETT_END - horizon + 1)
    scale = panel.values[:ETT_TRAIN].std(axis=0)
    squared, absolute, predicting = [], [], 0.0
    for part in np.array_split(cutoffs, 8):
        began = time.perf_counter()
        forecasts = model.forecast(Context(panel, np.zeros_like(part), part), horizon)
        predicting += time.perf_counter() - began
        errors = (panel.values[part[:, None] + np.arange(horizon)] - forecasts) / scale
        squared.append((errors**2).sum())
        absolute.append(np.abs(errors).sum())
    count = len(cutoffs) * horizon * panel.n_targets
    return {
        "mse": sum(squared) / count,
        "mae": sum(absolute) / count,
        "fit_seconds": seconds,
        "predict_seconds": predicting,
    }


def sunspots_one_step(forecaster: Forecaster) -> Scores:
    """One month ahead over the last fifth, fitted once on the first four."""
    months = SUNSPOT_MONTHS - int(0.8 * SUNSPOT_MONTHS)
    return _errors(backtest(forecaster, _sunspots(), 1, origins=months, step=1))


def sunspots_rolled_out(forecaster: Forecaster) -> Scores:
    """The last 274 months from one cutoff."""
    return _errors(backtest(forecaster, _sunspots(), 274))


def _sunspots() -> Panel:
    return load_dataset("sunspots").until(np.array([SUNSPOT_MONTHS]))


def _errors(rows: Any) -> Scores:
    table = ForecastResults.from_rows(rows.assign(model="model"), reference="model").table.iloc[0]
    names = ("mae", "rmse", "smape", "mase", "fit_seconds", "predict_seconds")
    return {name: float(table[name]) for name in names}


def etth1_recipe(seed: int, cell: str = "gru") -> Forecaster:
    """One network on each anchor: they err in different ways."""
    anchors = ("average", "last", "seasonal")
    return EnsembleForecaster(
        [make(cell, anchor=anchor, random_state=100 * seed + i, max_epochs=10) for i, anchor in enumerate(anchors)]
    )


def hospital_recipe(seed: int) -> Forecaster:
    """Nine networks on what the set is judged by, each window by its own spread: counts differ in size and noise."""
    return EnsembleForecaster(GRUForecaster(loss="mase", instance_norm=True), seeds=9, random_state=100 * seed)


def boosting_recipe() -> Forecaster:
    """Gradient boosting, one for each hour ahead, on the mean of the same hours a day and a week before.

    Anchor, window and number of windows are those with the smallest OWA, of seven tried, on the last 48 hours of the
    training part, among those that take less than two minutes.
    """
    trees = HistGradientBoostingRegressor(loss="absolute_error", random_state=0)
    return ReductionForecaster(trees, "direct", window=168, anchor=(24, 168), max_windows=20_000)


@dataclass(frozen=True)
class Protocol:
    """How a set is tested, the metric that counts, what was published for it, and what is done for it alone."""

    score: Callable[[Forecaster], Scores]
    metric: str
    published: dict[str, float] = field(default_factory=dict)
    recipe: Callable[[int], Forecaster] | None = None


PROTOCOLS: dict[str, Protocol] = {
    "m4-hourly": Protocol(m4_hourly, "owa", {"Smyl, winner": 0.440, "Doornik et al.": 0.410, "Theta": 1.006}),
    "etth1-96": Protocol(
        partial(etth1, 96), "mse", {"SegRNN": 0.351, "PatchTST": 0.370, "DLinear": 0.375}, etth1_recipe
    ),
    "etth1-192": Protocol(
        partial(etth1, 192), "mse", {"SegRNN": 0.392, "PatchTST": 0.413, "DLinear": 0.405}, etth1_recipe
    ),
    "etth1-336": Protocol(
        partial(etth1, 336), "mse", {"SegRNN": 0.423, "PatchTST": 0.422, "DLinear": 0.439}, etth1_recipe
    ),
    "etth1-720": Protocol(
        partial(etth1, 720), "mse", {"SegRNN": 0.466, "PatchTST": 0.447, "DLinear": 0.472}, etth1_recipe
    ),
    "sunspots-one-step": Protocol(sunspots_one_step, "rmse", {"deep ensemble": 24.61, "ridge on 48 lags": 22.37}),
    "sunspots-274": Protocol(sunspots_rolled_out, "rmse", {"Informer (Dang et al. 2022)": 29.90}),
    "us-births": Protocol(partial(last_steps, "us-births", 30), "mase", {"TBATS": 1.453, "DeepAR": 1.548}),
    "hospital": Protocol(
        partial(last_steps, "hospital", 12), "mase", {"Theta": 0.761, "DeepAR": 0.769}, hospital_recipe
    ),
    "tourism-monthly": Protocol(tourism_monthly, "mase", {"best of the Monash archive": 1.382, "DeepAR": 1.409}),
    "bike-sharing": Protocol(partial(of_card, "bike-sharing"), "mase"),
    "machine-temperature": Protocol(partial(of_card, "machine-temperature"), "mase"),
    "exchange-rate": Protocol(partial(of_card, "exchange-rate"), "mase"),
    "nyc-taxi": Protocol(partial(of_card, "nyc-taxi"), "mase"),
    "taylor": Protocol(partial(of_card, "taylor"), "mase"),
    "air-passengers": Protocol(partial(of_card, "air-passengers"), "mase"),
    "opsd-germany": Protocol(partial(of_card, "opsd-germany"), "mase"),
}
# Sets on which classical models and regression are measured: each of their fits takes seconds there at most.
WITH_CLASSICAL = (
    "m4-hourly",
    "sunspots-one-step",
    "sunspots-274",
    "us-births",
    "hospital",
    "exchange-rate",
    "nyc-taxi",
    "taylor",
    "air-passengers",
    "opsd-germany",
)
EVERY_CELL = ("m4-hourly", "etth1-96")  # sets on which each cell is measured, not the GRU alone


def measurements(name: str, seeds: int) -> Iterator[tuple[str, str, int | None, Forecaster]]:
    """Yield model, kind of settings, seed and forecaster for all that is measured on a set."""
    for model in (*NAIVE_FAMILY, *((*CLASSICAL, "reduction") if name in WITH_CLASSICAL else ())):
        yield model, "default", None, make(model)
    if name == "m4-hourly":
        yield "boosting", "recipe", None, boosting_recipe()
    for seed in range(seeds):
        for model in NETWORKS if name in EVERY_CELL else ("gru",):
            yield model, "default", seed, make(model, random_state=seed)
        yield "gru", "best", seed, GRUForecaster(random_state=seed, **GRUForecaster.recipes()["best"].settings)
        if (recipe := PROTOCOLS[name].recipe) is not None:
            yield "ensemble", "recipe", seed, recipe(seed)
        if name == "etth1-96":
            yield "ensemble of conv1d", "recipe", seed, etth1_recipe(seed, "conv1d")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", metavar="SET", help=f"all unless named: {', '.join(PROTOCOLS)}")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--settings", choices=["default", "best", "recipe"], help="measure these alone, and keep the other rows"
    )
    parser.add_argument("--models", nargs="+", metavar="MODEL", help="measure these alone, and keep the other rows")
    options = parser.parse_args()
    for name in options.sets or PROTOCOLS:
        protocol = PROTOCOLS[name]
        replacing = {"set": name} | ({"settings": options.settings} if options.settings else {})
        rows: list[dict[str, Any]] = [
            {"set": name, "model": model, "settings": "published", "metric": protocol.metric, "value": value}
            for model, value in ({} if options.settings or options.models else protocol.published).items()
        ]
        for model, settings, seed, forecaster in measurements(name, options.seeds):
            if options.settings not in (None, settings) or (options.models and model not in options.models):
                continue
            scores = protocol.score(forecaster)
            if options.models:
                rows, replacing = [], replacing | {"model": model, "settings": settings, "seed": seed}
            rows.append({"set": name, "model": model, "settings": settings, "seed": seed, "metric": protocol.metric})
            rows[-1] |= {"value": scores[protocol.metric], **scores}
            record("accuracy", rows, replacing)  # after each: a run that is cut short keeps what it measured
            sys.stdout.write(f"{name} {model} {settings} {seed}: {protocol.metric} {scores[protocol.metric]:.4f}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
