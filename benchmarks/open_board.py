"""One board for models of any origin, on three sets: naive family, network, four libraries, a function, a file.

Needs the environment of ``make adapters``: ``.venv-adapters/bin/python benchmarks/open_board.py``, some minutes. Writes
rows, and the report of each board to ``docs/open-board/``.
"""

from __future__ import annotations

import time
import warnings
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from darts.models import LinearRegressionModel
from record import record
from sklearn.linear_model import RidgeCV
from sktime.forecasting.compose import TransformedTargetForecaster
from sktime.forecasting.exp_smoothing import ExponentialSmoothing
from sktime.transformations.series.detrend import Deseasonalizer
from statsforecast import StatsForecast
from statsforecast.models import AutoETS, DynamicOptimizedTheta

from tsforecast.adapters.libraries import frequency_of
from tsforecast.adapters.tables import long
from tsforecast.catalog.loaders import load_task
from tsforecast.data.panel import Panel
from tsforecast.evaluation.leaderboard import leaderboard
from tsforecast.forecasters.neural import GRUForecaster

REPORTS = Path(__file__).parents[1] / "docs" / "open-board"
LIBRARIES = ("statsforecast", "sktime", "darts", "scikit-learn")


def shops(count: int = 12, days: int = 400, seed: int = 0) -> Panel:
    """Return made-up daily sales of shops: a week, a level that wanders, and prices that are known ahead."""
    random = np.random.default_rng(seed)
    times = pd.date_range("2024-01-01", periods=days, freq="D")
    week = np.array([0.9, 0.8, 0.85, 0.95, 1.2, 1.6, 0.7])[times.dayofweek]
    parts = []
    for shop in range(count):
        price = np.where(random.random(days) < 0.15, 7.0, 10.0)
        level = 60 * np.exp(np.cumsum(random.normal(scale=0.02, size=days)))
        sales = random.poisson(level * week * (10 / price) ** 1.5)
        parts.append(pd.DataFrame({"shop": f"shop {shop + 1:02}", "day": times, "sales": sales, "price": price}))
    return Panel.from_frame(pd.concat(parts), id="shop", time="day", target="sales", future="price")


def task(name: str) -> tuple[Panel, dict[str, int]]:
    """Return the panel of a set, and horizon, number of cutoffs and steps between them."""
    if name == "shops":
        return shops(), {"horizon": 7, "origins": 12, "step": 7}
    panel, card = load_task(name)
    return panel, {"horizon": card.horizon, "origins": 24, "step": card.step or card.horizon}


def last_seasons(context: Any, horizon: int, season: int, key: str | None, time: str, y: str) -> Any:
    """Forecast the means of the same steps of the last three seasons, moved to the level of the last one."""
    frame = context if isinstance(context, pd.DataFrame) else context.to_pandas()
    found = {}
    for name, rows in frame.groupby(key) if key else [("", frame)]:
        numbers = rows.sort_values(time)[y].ffill().to_numpy()[-3 * season :]
        seasons = numbers.reshape(3, season)
        shape = (seasons - seasons.mean(axis=1, keepdims=True)).mean(axis=0) + seasons[-1].mean()
        found[name] = np.resize(shape, horizon)
    return found if key else found[""]


def made_elsewhere(panel: Panel, horizon: int, origins: int, step: int) -> pd.DataFrame:
    """Return the forecasts that StatsForecast makes by itself, in its own layout."""
    rows = long(panel)[["unique_id", "ds", "y"]]
    rows["y"] = rows.groupby("unique_id")["y"].ffill()
    theta = StatsForecast([DynamicOptimizedTheta(season_length=panel.season_length)], freq=frequency_of(panel))
    found = theta.cross_validation(df=rows, h=horizon, n_windows=origins, step_size=step, level=[50, 80, 90, 95]).drop(
        columns="y"
    )
    if len(panel) == 1:
        return found.drop(columns="unique_id")
    return found.assign(unique_id=panel.ids[found["unique_id"]])


def models(panel: Panel, counts: dict[str, int]) -> dict[str, Any]:
    """Return a model of each origin."""
    season = panel.season_length
    level = ExponentialSmoothing(trend="add", damped_trend=True)
    pipeline = TransformedTargetForecaster([("season", Deseasonalizer(sp=season)), ("level", level)])
    width = max(season, 2 * counts["horizon"])
    names = {"key": panel.source.id, "time": panel.source.time, "y": panel.roles.target[0]}
    future = (0,) if panel.roles.future else None
    return {
        "gru": GRUForecaster(random_state=0),
        "AutoETS (StatsForecast)": AutoETS(season_length=season if season <= 24 else 1),
        "pipeline (sktime)": pipeline,
        "linear (Darts)": LinearRegressionModel(lags=width, lags_future_covariates=future and list(future)),
        "RidgeCV (scikit-learn)": RidgeCV(alphas=np.logspace(-3, 3, 13)),
        "last seasons (a function)": partial(last_seasons, season=season, **names),
        "theta (a file)": made_elsewhere(panel, **counts),
    }


def main() -> None:
    """Compare on each set, and write rows and reports."""
    warnings.simplefilter("ignore")  # those of the libraries are theirs
    versions = {library: version(library) for library in LIBRARIES}
    found = []
    for name in ("co2-weekly", "elnino-monthly", "shops"):
        panel, counts = task(name)
        began = time.perf_counter()
        board = leaderboard(models(panel, counts), panel, **counts)
        seconds = time.perf_counter() - began
        REPORTS.mkdir(exist_ok=True)
        board.to_html(REPORTS / f"{name}.html", title=f"Models of any origin on {name}")
        for _, line in board.table.iterrows():
            verdict = board.verdicts.get(line["model"])
            row = {"set": name, **counts, "season": panel.season_length, "reference": board.reference}
            row |= {each: line[each] for each in ("model", "mase", "crps", "skill", "coverage80", "leak_audit")}
            found.append(
                row | {"verdict": verdict.outcome if verdict else "", "seconds": seconds, "libraries": versions}
            )
    record("open_board", found)


if __name__ == "__main__":
    main()
