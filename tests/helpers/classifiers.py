"""Small classifiers that fit in a moment, and labelled sequences for them."""

from __future__ import annotations

from typing import Any

import numpy as np

from tsforecast.sequences.classifier import Classifier
from tsforecast.sequences.ensemble import EnsembleClassifier
from tsforecast.sequences.neural import Conv1DClassifier, GRUClassifier, LSTMClassifier, RNNClassifier
from tsforecast.sequences.rocket import RocketClassifier

QUICK: dict[str, Any] = {
    "units": 8,
    "layers": 1,
    "max_epochs": 30,
    "learning_rate": 0.02,
    "refit": False,
    "features": 0,
    "random_state": 0,
}
ROW_COLUMNS = (
    "protocol",
    "model",
    "seed",
    "fold",
    "group",
    "recording",
    "true",
    "predicted",
    "probability",
    "chosen",
    "fit_seconds",
    "predict_seconds",
)  # of a comparison of classifiers
NETWORKS = (RNNClassifier, GRUClassifier, LSTMClassifier, Conv1DClassifier)


def quick(cls: type[Classifier], **settings: Any) -> Classifier:
    """Return a classifier that is small enough to fit in a moment."""
    if cls is EnsembleClassifier:
        members = [quick(GRUClassifier), quick(Conv1DClassifier)]
        return cls(**({"classifiers": members} | settings))
    if cls is RocketClassifier:
        return cls(**({"features": 2_000, "random_state": 0} | settings))
    return cls(**(QUICK | settings)) if cls in NETWORKS else cls(**settings)


def gestures(count: int = 60, classes: int = 3, seed: int = 0) -> tuple[list[np.ndarray], np.ndarray]:
    """Return recordings of 8 to 30 steps and two channels, and which movement each one is."""
    random = np.random.default_rng(seed)
    names = np.array(["circle", "line", "wave", "rest"])
    labels = np.arange(count) % classes
    found = []
    for label in labels:
        time = np.linspace(0, 1, random.integers(8, 31))[:, None]
        movement = np.sin(2 * np.pi * (1 + label) * (time + np.array([0.0, 0.25])))
        found.append(5 + movement + 0.1 * random.normal(size=movement.shape))
    return found, names[labels]
