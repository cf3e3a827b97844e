"""Accuracy on public data, each set by its usual protocol, beside the naive family and published numbers.

``python benchmarks/accuracy.py`` measures the default settings and the recipes with three seeds and writes a row
for each to ``results/accuracy.jsonl``; it needs the folder of data that TSFORECAST_DATA names.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tsforecast import backtest, load_dataset
from tsforecast.data.catalog import card
from tsforecast.data.panel import Panel
from tsforecast.data.past import Past
from tsforecast.evaluation import metrics
from tsforecast.evaluation.leaderboard import from_rows
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


def m4_hourly(forecaster: Forecaster) -> Scores:
    """The official test part; OWA relative to Naive2."""
    scores = _errors(backtest(forecaster, load_dataset("m4-hourly"), 48))
    return scores | {"owa": metrics.owa(scores["smape"], scores["mase"], NAIVE2_SMAPE, NAIVE2_MASE)}


def etth1(horizon: int, forecaster: Forecaster) -> Scores:
    """All windows of the test part, on numbers scaled by the training part."""
    panel = load_dataset("etth1").until(np.array([ETT_END]))
    model = forecaster.set_params(horizon=horizon)
    if "validation" in model.get_params():
        model.set_params(validation=ETT_SEEN - ETT_TRAIN)
    seconds = time.perf_counter()
    model.fit(panel.until(np.array([ETT_SEEN])))
    seconds = time.perf_counter() - seconds
    cutoffs = np.arange(ETT_SEEN, ETT_END - horizon + 1)
    scale = panel.values[:ETT_TRAIN].std(axis=0)
    squared, absolute, predicting = [], [], 0.0
    for part in np.array_split(cutoffs, 8):
        began = time.perf_counter()
        forecasts = model.forecast(Past(panel, np.zeros_like(part), part), horizon)
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
    table = from_rows(rows.assign(model="model"), reference="model").table.iloc[0]
    names = ("mae", "rmse", "smape", "mase", "fit_seconds", "predict_seconds")
    return {name: float(table[name]) for name in names}


@dataclass(frozen=True)
class Protocol:
    """How a set is tested, the metric that counts, and what was published for it."""

    score: Callable[[Forecaster], Scores]
    metric: str
    published: dict[str, float]
    recipe: Callable[[int], Forecaster] | None = None


PROTOCOLS: dict[str, Protocol] = {
    "m4-hourly": Protocol(m4_hourly, "owa", {"Smyl, winner": 0.440, "Doornik et al.": 0.410, "Theta": 1.006}),
    "etth1-96": Protocol(lambda f: etth1(96, f), "mse", {"SegRNN": 0.351, "PatchTST": 0.370, "DLinear": 0.375}),
    "etth1-192": Protocol(lambda f: etth1(192, f), "mse", {"SegRNN": 0.392, "PatchTST": 0.413, "DLinear": 0.405}),
    "etth1-336": Protocol(lambda f: etth1(336, f), "mse", {"SegRNN": 0.423, "PatchTST": 0.422, "DLinear": 0.439}),
    "etth1-720": Protocol(lambda f: etth1(720, f), "mse", {"SegRNN": 0.466, "PatchTST": 0.447, "DLinear": 0.472}),
    "sunspots-one-step": Protocol(sunspots_one_step, "rmse", {"deep ensemble": 24.61, "ridge on 48 lags": 22.37}),
    "sunspots-274": Protocol(sunspots_rolled_out, "rmse", {"Informer (Dang et al.)": 29.90}),
    "us-births": Protocol(lambda f: last_steps("us-births", 30, f), "mase", {"TBATS": 1.453, "DeepAR": 1.548}),
    "hospital": Protocol(lambda f: last_steps("hospital", 12, f), "mase", {"Theta": 0.761, "DeepAR": 0.769}),
    "exchange-rate": Protocol(lambda f: of_card("exchange-rate", f), "mase", {}),
    "nyc-taxi": Protocol(lambda f: of_card("nyc-taxi", f), "mase", {}),
    "taylor": Protocol(lambda f: of_card("taylor", f), "mase", {}),
    "air-passengers": Protocol(lambda f: of_card("air-passengers", f), "mase", {}),
    "opsd-germany": Protocol(lambda f: of_card("opsd-germany", f), "mase", {}),
}
