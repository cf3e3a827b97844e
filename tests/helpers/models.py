"""Small fitted models of every kind, and what each says: what tests of saving share."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import torch

from tests.helpers.forecasters import small, wave
from tsforecast import (
    AggregateForecaster,
    ConformalForecaster,
    EnsembleClassifier,
    EnsembleForecaster,
    GRUClassifier,
    Hierarchy,
    MajorityClassifier,
    NearestNeighborClassifier,
    Panel,
    ReconciledForecaster,
    RocketClassifier,
)
from tsforecast.data.samples import SupervisedPanel
from tsforecast.estimators.registry import MODEL_NAMES

DAYS = pd.date_range("2024-01-01", periods=40)
FRAME = pd.concat(
    [pd.DataFrame({"shop": shop, "day": DAYS, "sales": wave(40, i).round(3)}) for i, shop in enumerate("ab")]
)
PANEL = Panel.from_frame(FRAME.assign(size=1.5), time="day", id="shop", target="sales", static="size")
EVERY = np.lib.stride_tricks.sliding_window_view(wave(40).round(3), 9)
X, Y = EVERY[:, :6], EVERY[:, 6:]
LABELS = np.array(["rest", "wave"] * 6)
RECORDINGS = [(1 + i % 2) * np.sin(np.arange(8.0 + i) * (1 + i % 2)) for i in range(12)]
FORECASTERS = (*MODEL_NAMES, "ensemble", "conformal", "aggregate", "reconciled", "windows")
CLASSIFIERS = ("gru-classifier", "majority", "nearest", "rocket", "ensemble-classifier")


def fitted(name: str) -> Any:
    """Return a model of that name, fitted."""
    if name == "ensemble":
        return EnsembleForecaster([small("naive"), small("conv1d")], horizon=3).fit(PANEL)
    if name == "conformal":
        return ConformalForecaster(small("reduction"), method="adaptive", coverage=0.5).fit(PANEL)
    if name == "aggregate":
        return AggregateForecaster(small("drift"), horizon=3).fit(PANEL)
    if name == "reconciled":
        tree = Hierarchy.of({"both": ["a", "b"]})
        return ReconciledForecaster(small("reduction"), hierarchy=tree, horizon=3).fit(tree.with_sums(PANEL))
    if name == "windows":
        return small("reduction").set_params(window=6).fit(X, Y)
    if name == "gru":  # with parameters that JSON does not have
        return small("gru").set_params(anchor=(6, 12), validation=None).fit(PANEL)
    if name in MODEL_NAMES:
        return small(name).fit(PANEL)
    made = {
        "gru-classifier": GRUClassifier(units=3, layers=1, max_epochs=2, class_weight={"rest": 2.0}, random_state=0),
        "majority": MajorityClassifier(),
        "nearest": NearestNeighborClassifier(),
        "ensemble-classifier": EnsembleClassifier(
            [NearestNeighborClassifier(), MajorityClassifier()], weights="validation", validation=0.5
        ),
        "rocket": RocketClassifier(features=672, random_state=0),
    }[name]
    return made.fit(RECORDINGS, LABELS)


@contextmanager
def no_random_numbers() -> Iterator[None]:
    """See to it that nobody takes random numbers that belong to the user."""

    def state() -> tuple[Any, ...]:
        theirs = np.random.get_state()  # noqa: NPY002 - that of everybody who does not say whose
        return torch.get_rng_state().tolist(), random.getstate(), repr(theirs)

    before = state()
    yield
    assert state() == before


def said(model: Any) -> np.ndarray:
    """Return what a model says, as one array."""
    if hasattr(model, "classes_"):
        return model.predict_proba(RECORDINGS)
    answer = model.predict(X[:2]) if isinstance(model.panel_, SupervisedPanel) else model.predict()
    return np.asarray(answer["sales"] if isinstance(answer, pd.DataFrame) else answer)
