"""Evaluations that other libraries make, with a scaler that knows the test part, each beside the same one done right.

They need the environment of `make adapters`, whose versions stand in `requirements.txt`. Each returns the forecasts
that were made at a cutoff, and so are known there.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import tsforecast
from tsforecast import AuditReport

Floats = NDArray[np.float64]
HORIZON, WINDOWS, DAYS = 7, 5, 154
FIRST = DAYS - HORIZON * WINDOWS  # rows before the first cutoff
STAMPS = pd.date_range("2024-01-01", periods=DAYS, freq="D")
CUTOFFS = [STAMPS[FIRST - 1 + HORIZON * i] for i in (0, 2, 4)]


def climbing() -> pd.DataFrame:
    """Return the sales of two shops, in the columns of NeuralForecast: they climb to four times their level."""
    random, t = np.random.default_rng(5), np.arange(DAYS)
    week = np.array([0, 0, 1, 2, 4, 7, 5])[t % 7]
    climb = 1 + 3 / (1 + np.exp(-(t - 110) / 12))
    parts = [
        pd.DataFrame({"unique_id": shop, "ds": STAMPS, "y": level * climb + week + random.normal(size=DAYS)})
        for shop, level in (("port", 10.0), ("town", 20.0))
    ]
    return pd.concat(parts, ignore_index=True)


# NeuralForecast -------------------------------------------------------------------------------------------------


def cross_validated(frame: pd.DataFrame, cutoff: Any, scaler: str | None = "standard", **options: Any) -> Floats:
    """`cross_validation` with its defaults: one fit, before the first cutoff, of a network on scaled series.

    The network sees no later row, but `local_scaler_type` is fitted on all of them, and the windows are scaled by it.
    """
    import torch
    from neuralforecast import NeuralForecast
    from neuralforecast.models import MLP

    _silence()
    torch.set_num_threads(1)  # equal runs are the same to the bit
    off = ("logger", "enable_progress_bar", "enable_checkpointing", "enable_model_summary")
    quiet = {**dict.fromkeys(off, False), "accelerator": "cpu"}
    inner = options.pop("scaler_type", "identity")
    model = MLP(
        h=HORIZON, input_size=14, hidden_size=16, num_layers=2, max_steps=30, random_seed=1, scaler_type=inner, **quiet
    )
    evaluation = NeuralForecast([model], freq="D", local_scaler_type=scaler)
    made = evaluation.cross_validation(frame, n_windows=WINDOWS, step_size=HORIZON, **options)
    return np.asarray(made.loc[made["cutoff"] == cutoff, "MLP"].to_numpy())


refitted = partial(cross_validated, refit=True)  # scaler and network are fitted at each cutoff, on what lies before it
unscaled = partial(cross_validated, scaler=None)  # the default of NeuralForecast is no scaler
scaled_by_window = partial(cross_validated, scaler=None, scaler_type="standard")  # within the network, of each window


# Darts ----------------------------------------------------------------------------------------------------------


def scaled_beforehand(frame: pd.DataFrame, cutoff: Any) -> Floats:
    """`Scaler().fit_transform(series)` before `historical_forecasts`: smallest and largest value are those of all rows.

    A linear model without a penalty undoes any scale; one with a penalty, a tree or a network does not.
    """
    from darts.dataprocessing.transformers import Scaler

    series, model, told = _of_darts(frame, cutoff)
    scaler = Scaler()
    made = model.historical_forecasts(scaler.fit_transform(series), **told)
    return np.asarray(scaler.inverse_transform(made[0]).values()[:, 0])


def scaled_within(frame: pd.DataFrame, cutoff: Any) -> Floats:
    """`data_transformers=` of `historical_forecasts`: the scaler is fitted at each cutoff, on what lies before it."""
    from darts.dataprocessing.transformers import Scaler

    series, model, told = _of_darts(frame, cutoff)
    made = model.historical_forecasts(series, data_transformers={"series": Scaler()}, **told)
    return np.asarray(made[0].values()[:, 0])


def _of_darts(frame: pd.DataFrame, cutoff: Any) -> tuple[Any, Any, dict[str, Any]]:
    """Return the series of one shop, a model, and how it is asked for the forecasts at a cutoff."""
    from darts import TimeSeries
    from darts.models import SKLearnModel
    from sklearn.linear_model import Ridge

    _silence()
    shop = frame.loc[frame["unique_id"] == "town"].set_index("ds")["y"]
    series = TimeSeries.from_times_and_values(shop.index, shop.to_numpy())
    model = SKLearnModel(lags=14, output_chunk_length=HORIZON, model=Ridge(alpha=1.0))
    told = {"start": cutoff + pd.Timedelta(days=1), "forecast_horizon": HORIZON, "stride": HORIZON, "retrain": True}
    return series, model, {**told, "last_points_only": False, "verbose": False}


# Audit ----------------------------------------------------------------------------------------------------------

PAIRS: dict[str, tuple[Callable[..., Floats], dict[str, Callable[..., Floats]], Callable[[pd.DataFrame], pd.DataFrame]]]
PAIRS = {
    "NeuralForecast: cross_validation with local_scaler_type": (
        cross_validated,
        {"refit=True": refitted, "no scaler": unscaled, "scaler_type of the network": scaled_by_window},
        lambda later: later,
    ),
    "Darts: Scaler before historical_forecasts": (
        scaled_beforehand,
        {"data_transformers=": scaled_within},
        lambda later: later[later["unique_id"] == "town"],
    ),
}


def audited(evaluation: Callable[..., Floats], cutoff: Any) -> AuditReport:
    """Audit the forecasts of an evaluation at one cutoff; the number of windows is counted from the planned end."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of the libraries are theirs
        return tsforecast.audit_procedure(
            partial(_at, evaluation, cutoff), climbing(), cutoff, columns=["y"], time="ds", planned_length=True
        )


def _at(evaluation: Callable[..., Floats], cutoff: Any, frame: pd.DataFrame) -> Floats:
    return evaluation(frame, cutoff)


def rmse(evaluation: Callable[..., Floats], rows: Callable[[pd.DataFrame], pd.DataFrame]) -> float:
    """Return the error at the first cutoff, for which every evaluation fits its model on the same rows."""
    frame, cutoff = climbing(), CUTOFFS[0]
    later = frame[(frame["ds"] > cutoff) & (frame["ds"] <= cutoff + pd.Timedelta(days=HORIZON))]
    return float(np.sqrt(np.mean((evaluation(frame, cutoff) - rows(later)["y"].to_numpy()) ** 2)))


def _silence() -> None:
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric", "neuralforecast", "darts"):
        logging.getLogger(name).setLevel(logging.ERROR)
