"""One run of a peer: read, fit, predict, backtest; in the environment of the peers, told what to do as JSON.

Whatever takes a peer time and is not asked for is off: logs, checkpoints, bars, summaries, validation. Both read a
window step by step and say the whole horizon at once, from the states of the last steps, through one hidden layer.
"""

from __future__ import annotations

import json
import logging
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd

CALLS = 5  # of predict and backtest, after one that is not counted; their median counts
QUIET = {
    "accelerator": "cpu",
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "num_sanity_val_steps": 0,
    "limit_val_batches": 0,
}


class Darts:
    """Its block RNN, on series of single precision; taking forecasts back to the data's units is not timed."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.told = told
        self.models, self.scaling = import_module("darts.models"), import_module("darts.dataprocessing.transformers")
        self.series = import_module("darts").TimeSeries
        self.standard = import_module("sklearn.preprocessing").StandardScaler
        self.loss = import_module("torch.nn").L1Loss

    def read(self, frame: pd.DataFrame) -> None:
        """Make scaled series of a frame: all rows, and those to learn from."""
        single = frame.astype({"y": np.float32})
        every = self.series.from_group_dataframe(
            single, "unique_id", "ds", "y", drop_group_cols="unique_id", freq="MS", verbose=False
        )
        self.scaler = self.scaling.Scaler(self.standard())
        self.train = self.scaler.fit_transform([part[: self.told["train"]] for part in every])
        self.every = self.scaler.transform(every)

    def fit(self, epochs: int) -> None:
        """Train a new network."""
        told = self.told
        self.model = self.models.BlockRNNModel(
            model=told["cell"],
            input_chunk_length=told["window"],
            output_chunk_length=told["horizon"],
            hidden_dim=told["units"],
            n_rnn_layers=1,
            hidden_fc_sizes=[told["units"]],
            batch_size=told["batch"],
            n_epochs=epochs,
            loss_fn=self.loss(),
            optimizer_kwargs={"lr": told["rate"]},
            random_state=told["seed"],
            pl_trainer_kwargs={**QUIET, "limit_train_batches": told["steps"]},
        )
        self.model.fit(self.train, dataloader_kwargs={"drop_last": True}, verbose=False)
        self.steps = self.model.trainer.global_step

    def predict(self) -> Any:
        """Forecast what follows the rows to learn from."""
        return self.model.predict(n=self.told["horizon"], series=self.train, verbose=False)

    def backtest(self) -> Any:
        """Forecast from the last cutoffs of the one series."""
        return self.model.historical_forecasts(
            self.every[0],
            start=self.told["train"],
            start_format="position",
            forecast_horizon=self.told["horizon"],
            stride=1,
            retrain=False,
            overlap_end=False,
            last_points_only=False,
            verbose=False,
        )

    def numbers(self, said: Any) -> np.ndarray:
        """Return forecasts in the data's units, (n, H)."""
        one = len(self.train) == 1  # all of them belong to the first scaler
        back = self.scaler.inverse_transform([said] if one else said)
        return np.stack([part.values()[:, 0] for part in (back[0] if one else back)])


class NeuralForecast:
    """Its recurrent networks, which scale each window for themselves."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.told = told
        self.kind = getattr(import_module("neuralforecast.models"), told["cell"])
        self.loss = import_module("neuralforecast.losses.pytorch").MAE
        self.core = import_module("neuralforecast").NeuralForecast
        self.dataset = import_module("neuralforecast.tsdataset").TimeSeriesDataset
        self.engine: Any = None

    def read(self, frame: pd.DataFrame) -> None:
        """Make its dataset of a frame: what the first fit does, and keeps for the others."""
        self.every = frame
        self.train = frame[frame.groupby("unique_id").cumcount() < self.told["train"]]
        self.dataset.from_df(self.train)

    def fit(self, epochs: int) -> None:
        """Train a new network; all but the first on the dataset that is there."""
        told, steps = self.told, epochs * self.told["steps"]
        network = self.kind(
            h=told["horizon"],
            input_size=told["window"],
            encoder_hidden_size=told["units"],
            encoder_n_layers=1,
            decoder_hidden_size=told["units"],
            decoder_layers=2,
            loss=self.loss(),
            max_steps=steps,
            val_check_steps=steps,
            learning_rate=told["rate"],
            windows_batch_size=told["batch"],
            valid_batch_size=1024,  # series that are forecast at once: twice as quick as its default
            scaler_type="standard",
            random_seed=told["seed"],
            **QUIET,
        )
        if self.engine is None:
            self.engine = self.core([network], freq="MS")
            self.engine.fit(self.train)
        else:
            self.engine.models = [network]
            self.engine.fit()
        self.steps = self.engine.models[0].train_trajectories[-1][0] + 1

    def predict(self) -> Any:
        """Forecast what follows the rows to learn from."""
        return self.engine.predict()

    def backtest(self) -> Any:
        """Forecast from the last cutoffs of the one series."""
        return self.engine.cross_validation(
            self.every, n_windows=self.told["origins"], step_size=1, use_fitted=True, refit=False
        )

    def numbers(self, said: Any) -> np.ndarray:
        """Return forecasts, (n, H)."""
        return said[self.told["cell"]].to_numpy().reshape(-1, self.told["horizon"])


def measured(told: dict[str, Any], peer: Any) -> dict[str, Any]:
    """Return both seconds of each part, the steps of training, and the error in the data's units."""
    frame = pd.read_csv(told["data"], parse_dates=["ds"])
    values = frame["y"].to_numpy().reshape(-1, told["length"])
    found = {"read": timed(lambda: peer.read(frame))[1]}
    peer.fit(told["warm"])
    found["fit"] = timed(lambda: peer.fit(told["epochs"]))[1]
    if told["origins"]:
        said, found["backtest"] = middle(peer.backtest, CALLS if "backtest" in told["keeps"] else 1)
        truth = np.lib.stride_tricks.sliding_window_view(values[0, told["train"] :], told["horizon"])
    else:
        said, found["predict"] = middle(peer.predict, CALLS)
        truth = values[:, told["train"] : told["train"] + told["horizon"]]
    numbers = peer.numbers(said)
    if numbers.shape != truth.shape:
        raise ValueError(f"there must be as many forecasts as truths, {truth.shape}: got {numbers.shape}")
    return found | {"mae": float(np.abs(numbers - truth).mean()), "steps": int(peer.steps)}


def timed(do: Callable[[], Any]) -> tuple[Any, list[float]]:
    """Return what it says, its seconds, and those that cores computed."""
    began = time.perf_counter(), time.process_time()
    result = do()
    return result, [time.perf_counter() - began[0], time.process_time() - began[1]]


def middle(do: Callable[[], Any], calls: int) -> tuple[Any, list[float]]:
    """Return what it says, and the medians of the seconds of `calls` calls after a first one."""
    result, _ = timed(do)
    return result, [statistics.median(part) for part in zip(*(timed(do)[1] for _ in range(calls)), strict=True)]


def main() -> None:
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    if len(sys.argv) == 1:
        names = ("darts", "neuralforecast", "torch", "pytorch-lightning")
        print(json.dumps({name: version(name) for name in names}))  # noqa: T201
        return
    import torch

    told = json.loads(sys.argv[1])
    torch.set_num_threads(told["threads"])
    peer = {"Darts": Darts, "NeuralForecast": NeuralForecast}[told["library"]](told)
    print(json.dumps(measured(told, peer)))  # noqa: T201


if __name__ == "__main__":
    main()
