"""Loss of the default network beside the best naive forecast: with all corrections, those that it keeps, aggregated.

``python benchmarks/naive_bound.py`` fits at the oldest cutoff of each card, and writes a row for each set and seed to
``results/naive_bound.jsonl``. With ``--development`` all that lies after this cutoff is cut off before, so that
settings can be compared without the tests.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np
from record import record

from tsforecast import AggregateForecaster, GRUForecaster, load_dataset
from tsforecast.catalog.card import card
from tsforecast.data.context import Context
from tsforecast.data.panel import Panel
from tsforecast.data.scaling import seasonal_scale
from tsforecast.data.splits import RollingOrigin
from tsforecast.estimators.registry import NAIVE_FAMILY, make
from tsforecast.forecasters.base import Forecaster

SETS = (
    *("co2-weekly", "elnino-monthly", "sunspots", "nyc-taxi", "us-births", "hospital", "bike-sharing"),
    *("machine-temperature", "exchange-rate", "opsd-germany"),
)


def test_part(name: str, development: bool) -> tuple[Panel, np.ndarray, int]:
    """Return the panel, the cutoffs of its card, (F, N), and the horizon."""
    panel, task = load_dataset(name), card(name).task
    origin = RollingOrigin(task.horizon, task.origins, task.step)
    cutoffs = np.stack([cutoff.seen for cutoff in origin.cutoffs(panel)])
    if development:
        panel = panel.until(cutoffs.min(axis=0))
        cutoffs = np.stack([cutoff.seen for cutoff in origin.cutoffs(panel)])
    return panel, cutoffs, task.horizon


def loss(model: Forecaster, panel: Panel, cutoffs: np.ndarray, horizon: int) -> float:
    """Return the mean absolute error in seasonal naive errors of the training part of each series."""
    first, found = cutoffs.min(axis=0), []
    for cutoff in cutoffs:
        series = np.flatnonzero((cutoff > 0) & (cutoff + horizon <= panel.lengths))
        forecasts = model.forecast(Context(panel, series, cutoff[series]), horizon)
        for i, forecast in zip(series, forecasts, strict=True):
            rows = panel.series(i)[:, : panel.n_targets].astype(np.float64)
            scale = [seasonal_scale(column[: first[i]], panel.season_length)[0] for column in rows.T]
            errors = np.abs(rows[cutoff[i] : cutoff[i] + horizon] - forecast)
            found.append(np.nanmean(errors, axis=0) / np.where(np.array(scale) > 0, scale, np.nan))
    return float(np.nanmean(found))


def measured(name: str, seed: int, development: bool, aggregate: bool) -> dict[str, Any]:
    """Return the losses on a set."""
    panel, cutoffs, horizon = test_part(name, development)
    past = panel.until(cutoffs.min(axis=0))
    naive = {each: loss(make(each, horizon=horizon).fit(past), panel, cutoffs, horizon) for each in NAIVE_FAMILY}
    best = min(naive, key=naive.__getitem__)
    model = GRUForecaster(horizon=horizon, random_state=seed).fit(past)
    found: dict[str, Any] = {"naive": best, "naive_loss": naive[best], "share": model.resolved_["share"]}
    found["network_loss"] = loss(model, panel, cutoffs, horizon)
    model.network_.share.fill_(1.0)
    found["unshrunk_loss"] = loss(model, panel, cutoffs, horizon)
    if aggregate:
        several = AggregateForecaster(GRUForecaster(random_state=seed), horizon=horizon).fit(past)
        found["aggregate_loss"] = loss(several, panel, cutoffs, horizon)
    return found | {"best_epoch": model.resolved_["best_epoch"], "anchor": str(model.resolved_["anchor"])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", metavar="SET", help=f"all unless named: {', '.join(SETS)}")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--development", action="store_true", help="cut off the tests before, and write nothing")
    parser.add_argument("--aggregate", action="store_true", help="measure the aggregate, too: two more fits")
    options = parser.parse_args()
    for name in options.sets or SETS:
        for seed in range(options.seeds):
            row = measured(name, seed, options.development, options.aggregate)
            parts = {part: row[part] / row["naive_loss"] for part in row if part.endswith("_loss")}
            sys.stdout.write(
                f"{name} {seed} {row} relative { ({part: round(one, 3) for part, one in parts.items()}) }\n"
            )
            sys.stdout.flush()
            if not options.development:
                record("naive_bound", [{"set": name, "seed": seed} | row], {"set": name, "seed": seed})


if __name__ == "__main__":
    main()
