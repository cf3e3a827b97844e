"""Leaks through what one run leaves to the next: as notebooks and scripts keep scalers, models and columns."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


SCALER: dict[str, float] = {}
CHOSEN: list[int] = []
CUTOFF = 79
CUTOFFS = (49, 79, 94)


def series() -> Floats:
    return np.asarray(np.sin(np.arange(100.0)) + np.random.default_rng(0).normal(size=100))


def scaler_in_a_global(data: Floats, cutoff: int = CUTOFF) -> Floats:
    """The scale is learned once, from all rows of the first data."""
    if not SCALER:
        SCALER.update(mean=float(data.mean()), scale=float(data.std()))
    return np.asarray((data[: cutoff + 1] - SCALER["mean"]) / SCALER["scale"])


def lags_in_a_global(data: Floats, cutoff: int = CUTOFF) -> Floats:
    """The lag that explains all rows best is chosen once."""
    if not CHOSEN:
        CHOSEN.append(max(range(1, 15), key=lambda lag: float(np.corrcoef(data[lag:], data[:-lag])[0, 1])))
    return np.asarray(data[cutoff + 1 - CHOSEN[0]])


@cache
def _scale(_: str, *numbers: float) -> float:
    return float(np.std(numbers))


class Cached:
    """An object whose class keeps what it learned first."""

    mean: float | None = None

    def __call__(self, data: Floats, cutoff: int = CUTOFF) -> float:
        Cached.mean = float(data.mean()) if Cached.mean is None else Cached.mean
        return float(data[: cutoff + 1].sum() - Cached.mean)


def scaler_in_a_file(data: Floats, cutoff: int = CUTOFF) -> Floats:
    """The scale is kept beside the notebook, as a script does to spare time."""
    kept = Path("scaler.json")
    if not kept.exists():
        kept.write_text(json.dumps({"mean": data.mean()}), encoding="utf-8")
    return np.asarray(data[: cutoff + 1] - json.loads(kept.read_text(encoding="utf-8"))["mean"])


def scaler_in_the_temporary_folder(data: Floats, cutoff: int = CUTOFF) -> Floats:
    kept = Path(os.environ.get("TMPDIR", "/tmp"), f"tsforecast-scaler-{os.getppid()}.npy")
    if not kept.exists():
        np.save(kept, data.mean())
    return np.asarray(data[: cutoff + 1] - np.load(kept))


STATEFUL: dict[str, Callable[..., Floats | float]] = {
    "scaler in a global": scaler_in_a_global,
    "lag in a global": lags_in_a_global,
    "mean in a class": Cached(),
    "scaler in a file": scaler_in_a_file,
    "scaler in a temporary file": scaler_in_the_temporary_folder,
}


def clean_with_a_cache(data: Floats, cutoff: int = CUTOFF) -> Floats:
    """Keep what is known at the cutoff: no leak, in one process or in many."""
    seen = data[: cutoff + 1]
    return np.asarray(seen / _scale("seen", *seen))
