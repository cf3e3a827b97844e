"""One search with NeuralForecast's AutoGRU; runs in the environment of the peers, with its task as JSON."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import warnings
from importlib.metadata import version
from typing import Any

os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"


def search(task: dict[str, Any]) -> dict[str, float]:
    """Return the seconds of a search, Ray's start and the fit of the best settings among them."""
    import pandas as pd
    from neuralforecast import NeuralForecast
    from neuralforecast.auto import AutoGRU
    from neuralforecast.common._base_auto import RayOptions
    from neuralforecast.losses.pytorch import MAE
    from ray import tune
    from ray.tune.search.basic_variant import BasicVariantGenerator

    frame = pd.read_csv(task["data"], parse_dates=["ds"])
    config = {
        "input_size": tune.choice(task["windows"]),
        "encoder_hidden_size": tune.choice(task["units"]),
        "encoder_n_layers": tune.choice(task["layers"]),
        "learning_rate": tune.loguniform(*task["rates"]),
        "max_steps": task["steps"],
        "val_check_steps": task["steps"] // task["epochs"],
        "windows_batch_size": task["batch"],
        "scaler_type": "standard",
        "random_seed": 1,
        "accelerator": "cpu",
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    auto = AutoGRU(
        h=task["h"],
        loss=MAE(),
        config=config,
        search_alg=BasicVariantGenerator(random_state=1),
        num_samples=task["trials"],
        ray_options=RayOptions(cpus=task["cpus"], gpus=0),
    )
    began = time.perf_counter()
    forecaster = NeuralForecast(models=[auto], freq="MS")
    forecaster.fit(frame, val_size=task["validation"])
    seconds = time.perf_counter() - began
    results = forecaster.models[0].results
    return {"seconds": seconds, "finished": len(results) - results.num_errors}


def main() -> None:
    task: dict[str, Any]
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    if len(sys.argv) > 1:
        task = search(json.loads(sys.argv[1]))
    else:
        task = {name: version(name) for name in ("neuralforecast", "ray", "torch", "pytorch-lightning")}
    print(json.dumps(task))  # noqa: T201


if __name__ == "__main__":
    main()
