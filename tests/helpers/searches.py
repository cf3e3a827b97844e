"""Folders of searches that never ran: their trials are written line by line, as a search would."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tsforecast.search.space import Space, log
from tsforecast.search.storage import SearchSpec, StoredSearch, append_event, open_search, read_search, write_outcome

SPACE: dict[str, Any] = {
    "cell": ["rnn", "gru", "lstm", "conv1d"],
    "units": [16, 32, 64, 128],
    "layers": (1, 3),
    "window": ["1 season", "2 seasons", 168],
    "dropout": (0.0, 0.5),
    "learning_rate": log(1e-4, 1e-1),
    "optimizer": ["adam", "adamw", "sgd"],
    "kernel_size": [2, 3, 5],
}
GAIN = {"rnn": -0.05, "gru": 0.03, "lstm": 0.01, "conv1d": -0.02}


def about(space: Space, trials: int, epochs: int, **other: Any) -> SearchSpec:
    """Return what a search could be about."""
    fields: dict[str, Any] = {
        "data": "3 series of 2,400 hours, 1 target",
        "forecaster": "NeuralForecaster(horizon=24)",
        "space": space.plain(),
        "season_length": space.season_length,
        "epochs": epochs,
        "trials": trials,
        "horizon": 24,
        "metric": "mase",
        "reference": "seasonal-naive",
        "cutoffs": 36,
        "origins": 1,
        "searcher": "tpe",
        "scheduler": "asha",
        "made": "2026-01-31T08:05:09+00:00",
        "versions": {"tsforecast": "0.1.0", "ray": "2.50.0"},
        "machine": "2 cores",
    }
    return SearchSpec(**(fields | other))


def write_trial(folder: Path, trial: int, code: dict[str, Any], skills: list[float], seconds: float = 1.0) -> None:
    """Write that a trial began and reported these skills, from epoch 0 on."""
    append_event(folder, "began", trial, code=code)
    for epoch, skill in enumerate(skills[1:], 1):
        fields = {"epoch": epoch, "skill": skill, "start": skills[0], "seconds": seconds * epoch / (len(skills) - 1)}
        append_event(folder, "epoch", trial, code=code, **fields)


def searched(
    folder: Path, trials: int = 60, epochs: int = 40, shift: float = 0.1, over: bool = True, **other: Any
) -> StoredSearch:
    """Write a search in which cell and learning rate matter, with early stops, three failures of 60, and read it."""
    space, random = Space.of(SPACE, 24), np.random.default_rng(0)
    open_search(folder, {}, about(space, trials, epochs, **other), "auto")
    for i in range(trials):
        settings = space.draw(random)
        code, trial, rate = space.encode(settings), i + 1, np.log10(settings["learning_rate"])
        if i % 20 == 7:
            append_event(folder, "began", trial, code=code)
            append_event(
                folder, "failed", trial, error="ValueError: loss is NaN at epoch 3" if i % 40 == 7 else "killed"
            )
            continue
        limit = shift + GAIN[settings["cell"]] - 0.03 * (rate + 2) ** 2 + 0.01 * random.normal()
        t = np.arange(1, epochs + 1) / epochs
        noise = 0.008 * random.normal(size=epochs).cumsum() / np.sqrt(1 + np.arange(epochs))
        start = -0.15 if rate < -3.2 else -0.25 * max(0.0, rate + 1.6)
        curve = limit + (start - limit) * np.exp(-6 * t * (1 + rate / 8)) + noise
        stop = epochs if limit > shift - 0.02 else max(1, int(epochs * [0.25, 0.25, 0.75][i % 3]))
        seconds = (2 + settings["units"] / 16 * settings["layers"]) * stop / epochs * (1 + 0.2 * random.random())
        write_trial(folder, trial, code, [0.0, *curve[:stop].tolist()], float(seconds))
        append_event(folder, "done", trial)
    if over:
        write_outcome(folder, 0.031)
    return read_search(folder)
