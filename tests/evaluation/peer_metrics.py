"""Print the metrics of other libraries on nasty numbers as JSON; runs in an environment that has those libraries.

``python tests/evaluation/peer_metrics.py > tests/evaluation/peer_metrics.json``
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import numpy as np

NAN = math.nan
# Case -> past, season, truth, forecast.
CASES: dict[str, tuple[list[float], int, list[float], list[float]]] = {
    "plain": ([3.0, 5.0, 4.0, 6.0, 5.0, 7.0], 2, [6.0, 8.0, 7.0], [5.0, 8.5, 9.0]),
    "one step": ([3.0, 5.0, 4.0], 1, [6.0], [4.5]),
    "perfect": ([1.0, 2.0, 4.0], 1, [2.0, 3.0], [2.0, 3.0]),
    "zeros in the truth": ([0.0, 2.0, 0.0, 3.0], 1, [0.0, 4.0], [1.0, 3.0]),
    "zeros in both": ([0.0, 2.0, 0.0, 3.0], 1, [0.0, 0.0], [0.0, 2.0]),
    "only zeros in the truth": ([1.0, 0.0, 1.0], 1, [0.0, 0.0], [1.0, 0.5]),
    "a constant past": ([5.0, 5.0, 5.0, 5.0], 1, [5.0, 6.0], [5.0, 5.0]),
    "opposite signs": ([-1.0, 2.0, -3.0], 1, [-2.0, 3.0], [2.0, -3.0]),
    "negative": ([-4.0, -6.0, -5.0], 1, [-5.0, -7.0], [-6.0, -6.0]),
    "huge": ([1e150, 3e150, 2e150], 1, [2e150, 1e150], [1e150, 4e150]),
    "a missing truth": ([3.0, 5.0, 4.0], 1, [6.0, NAN, 7.0], [5.0, 5.0, 9.0]),
    "a missing past": ([3.0, NAN, 4.0, 7.0], 1, [6.0, 7.0], [5.0, 9.0]),
}


def _utilsforecast(past: Any, season: int, y: Any, forecast: Any) -> dict[str, Callable[[], float]]:
    import pandas as pd
    from utilsforecast import losses

    frame = pd.DataFrame({"unique_id": 0, "ds": range(len(y)), "y": y, "m": forecast})
    train = pd.DataFrame({"unique_id": 0, "ds": range(len(past)), "y": past})

    def plain(name: str) -> Callable[[], float]:
        return lambda: float(getattr(losses, name)(frame, models=["m"])["m"].iloc[0])

    def scaled(name: str) -> Callable[[], float]:
        return lambda: float(
            getattr(losses, name)(frame, models=["m"], seasonality=season, train_df=train)["m"].iloc[0]
        )

    names = {"mae": "mae", "rmse": "rmse", "bias": "bias", "mape": "mape", "smape": "smape", "wape": "nd"}
    return {metric: plain(name) for metric, name in names.items()} | {name: scaled(name) for name in ("mase", "rmsse")}


def _sktime(past: Any, season: int, y: Any, forecast: Any) -> dict[str, Callable[[], float]]:
    from sktime.performance_metrics import forecasting as m

    known = {"y_train": past, "sp": season}
    return {
        "mae": lambda: m.mean_absolute_error(y, forecast),
        "rmse": lambda: m.mean_squared_error(y, forecast, square_root=True),
        "mape": lambda: m.mean_absolute_percentage_error(y, forecast, symmetric=False),
        "smape": lambda: m.mean_absolute_percentage_error(y, forecast, symmetric=True),
        "mase": lambda: m.mean_absolute_scaled_error(y, forecast, **known),
        "rmsse": lambda: m.mean_squared_scaled_error(y, forecast, **known, square_root=True),
    }


def _gluonts(past: Any, season: int, y: Any, forecast: Any) -> dict[str, Callable[[], float]]:
    from gluonts.evaluation import metrics as m

    y = np.ma.masked_invalid(y)
    scale = float(np.ma.mean(np.ma.abs(np.ma.masked_invalid(past[season:] - past[:-season]))))
    return {
        "mae": lambda: m.abs_error(y, forecast) / y.count(),
        "rmse": lambda: math.sqrt(m.mse(y, forecast)),
        "mape": lambda: m.mape(y, forecast),
        "smape": lambda: m.smape(y, forecast),
        "mase": lambda: m.mase(y, forecast, scale),
        "wape": lambda: m.abs_error(y, forecast) / m.abs_target_sum(y),
        "msis": lambda: m.msis(y, forecast - abs(forecast) / 4, forecast + abs(forecast) / 4, scale, 0.05),
        "coverage": lambda: m.coverage(y, forecast + abs(forecast) / 4) - m.coverage(y, forecast - abs(forecast) / 4),
        "wql": lambda: m.quantile_loss(y, forecast, 0.9) / m.abs_target_sum(y),
    }


def _number(compute: Callable[[], float]) -> float | str:
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return float(compute())
    except Exception as error:
        return type(error).__name__


def main() -> None:
    """Print versions and numbers."""
    found: dict[str, Any] = {"versions": {}, "values": {}}
    for library, metrics in {"utilsforecast": _utilsforecast, "sktime": _sktime, "gluonts": _gluonts}.items():
        found["versions"][library] = version(library)
        found["values"][library] = {}
        for case, (past, season, y, forecast) in CASES.items():
            each = metrics(np.array(past), season, np.array(y), np.array(forecast))
            found["values"][library][case] = {name: _number(compute) for name, compute in each.items()}
    print(json.dumps(found, indent=1))  # noqa: T201


if __name__ == "__main__":
    main()
