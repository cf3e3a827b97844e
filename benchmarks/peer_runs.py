"""One run of a peer: read, fit, predict, backtest; in the environment of the peers, with its task as JSON.

Whatever takes a peer time and is not asked for is off: logs, checkpoints, bars, summaries, validation. Both read a
window step by step and forecast the whole horizon at once, from the states of the last steps, through one hidden layer.
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

    def __init__(self, task: dict[str, Any]) -> None:
        self.task = task
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
        self.train = self.scaler.fit_transform([part[: self.task["train"]] for part in every])
        self.every = self.scaler.transform(every)

    def fit(self, epochs: int) -> None:
        """Train a new network."""
        task = self.task
        self.model = self.models.BlockRNNModel(
            model=task["cell"],
            input_chunk_length=task["window"],
            output_chunk_length=task["horizon"],
            hidden_dim=task["units"],
            n_rnn_layers=1,
            hidden_fc_sizes=[task["units"]],
            batch_size=task["batch"],
            n_epochs=epochs,
            loss_fn=self.loss(),
            optimizer_kwargs={"lr": task["rate"]},
            random_state=task["seed"],
            pl_trainer_kwargs={**QUIET, "limit_train_batches": task["steps"]},
        )
        self.model.fit(self.train, dataloader_kwargs={"drop_last": True}, verbose=False)
        self.steps = self.model.trainer.global_step

    def predict(self) -> Any:
        """Forecast the steps after the rows to learn from."""
        return self.model.predict(n=self.task["horizon"], series=self.train, verbose=False)

    def backtest(self) -> Any:
        """Forecast from the last cutoffs of the one series."""
        return self.model.historical_forecasts(
            self.every[0],
            start=self.task["train"],
            start_format="position",
            forecast_horizon=self.task["horizon"],
            stride=1,
            retrain=False,
            overlap_end=False,
            last_points_only=False,
            verbose=False,
        )

    def numbers(self, forecasts: Any) -> np.ndarray:
        """Return forecasts in the data's units, (n, H)."""
        one = len(self.train) == 1  # all of them belong to the first scaler
        back = self.scaler.inverse_transform([forecasts] if one else forecasts)
        return np.stack([part.values()[:, 0] for part in (back[0] if one else back)])


class NeuralForecast:
    """Its recurrent networks, which scale each window for themselves."""

    def __init__(self, task: dict[str, Any]) -> None:
        self.task = task
        self.kind = getattr(import_module("neuralforecast.models"), task["cell"])
        self.loss = import_module("neuralforecast.losses.pytorch").MAE
        self.core = import_module("neuralforecast").NeuralForecast
        self.dataset = import_module("neuralforecast.tsdataset").TimeSeriesDataset
        self.engine: Any = None

    def read(self, frame: pd.DataFrame) -> None:
        """Make its dataset of a frame, as its first fit does once for all."""
        self.every = frame
        self.train = frame[frame.groupby("unique_id").cumcount() < self.task["train"]]
        self.dataset.from_df(self.train)

    def fit(self, epochs: int) -> None:
        """Train a new network; all but the first on the dataset that is there."""
        task, steps = self.task, epochs * self.task["steps"]
        network = self.kind(
            h=task["horizon"],
            input_size=task["window"],
            encoder_hidden_size=task["units"],
            encoder_n_layers=1,
            decoder_hidden_size=task["units"],
            decoder_layers=2,
            loss=self.loss(),
            max_steps=steps,
            val_check_steps=steps,
            learning_rate=task["rate"],
            windows_batch_size=task["batch"],
            valid_batch_size=1024,  # series that are forecast at once: twice as quick as its default
            scaler_type="standard",
            random_seed=task["seed"],
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
        """Forecast the steps after the rows to learn from."""
        return self.engine.predict()

    def backtest(self) -> Any:
        """Forecast from the last cutoffs of the one series."""
        return self.engine.cross_validation(
            self.every, n_windows=self.task["origins"], step_size=1, use_fitted=True, refit=False
        )

    def numbers(self, forecasts: Any) -> np.ndarray:
        """Return forecasts, (n, H)."""
        return forecasts[self.task["cell"]].to_numpy().reshape(-1, self.task["horizon"])


def measured(task: dict[str, Any], peer: Any) -> dict[str, Any]:
    """Return both seconds of each part, the steps of training, and the error in the data's units."""
    frame = pd.read_csv(task["data"], parse_dates=["ds"])
    values = frame["y"].to_numpy().reshape(-1, task["length"])
    found = {"read": timed(lambda: peer.read(frame))[1]}
    peer.fit(task["warm"])
    found["fit"] = timed(lambda: peer.fit(task["epochs"]))[1]
    if task["origins"]:
        forecasts, found["backtest"] = middle(peer.backtest, CALLS if "backtest" in task["keeps"] else 1)
        truth = np.lib.stride_tricks.sliding_window_view(values[0, task["train"] :], task["horizon"])
    else:
        forecasts, found["predict"] = middle(peer.predict, CALLS)
        truth = values[:, task["train"] : task["train"] + task["horizon"]]
    numbers = peer.numbers(forecasts)
    if numbers.shape != truth.shape:
        raise ValueError(f"there must be as many forecasts as truths, {truth.shape}: got {numbers.shape}")
    return found | {"mae": float(np.abs(numbers - truth).mean()), "steps": int(peer.steps)}


def timed(do: Callable[[], Any]) -> tuple[Any, list[float]]:
    """Return the result of a call, its seconds, and those that cores computed."""
    began = time.perf_counter(), time.process_time()
    result = do()
    return result, [time.perf_counter() - began[0], time.process_time() - began[1]]


def middle(do: Callable[[], Any], calls: int) -> tuple[Any, list[float]]:
    """Return the result of a call, and the medians of the seconds of `calls` calls after a first one."""
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

    task = json.loads(sys.argv[1])
    torch.set_num_threads(task["threads"])
    peer = {"Darts": Darts, "NeuralForecast": NeuralForecast}[task["library"]](task)
    print(json.dumps(measured(task, peer)))  # noqa: T201


if __name__ == "__main__":
    main()
