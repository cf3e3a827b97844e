"""The golden input of a saved model and what it said of it: `load` asks again, and refuses a model that has changed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.classifiers.base import Classifier
from tsforecast.data import recordings
from tsforecast.data.past import Past
from tsforecast.errors import ModelFileError
from tsforecast.forecasters.base import Forecaster
from tsforecast.saving.folder import Numbers

SERIES = 3  # of a panel, whose forecasts are kept
STEPS = 24  # of the recordings that a classifier is asked about, unless it knows one length only
ASKED, SAID = "golden.recordings", "golden.said"  # names of arrays
TOLERANCE = 1e-3  # of the spread of what was said: other machines and libraries round otherwise, and no more than that


def golden(model: Forecaster | Classifier) -> tuple[dict[str, Any], Numbers]:
    """Return a question, in numbers of a file and few words, and the answer of a fitted model.

    A forecaster is asked to go on from the end of the first series that it was fitted on, which are saved anyway; a
    classifier, which keeps no recordings, about waves in its own units.
    """
    if isinstance(model, Classifier):
        waves = _waves(model)
        return {}, {ASKED: waves, SAID: _probabilities(model, waves)}
    begun = Past.at_end(model.panel_).begun.all(axis=1)
    series = np.flatnonzero(begun)[:SERIES]
    return {"series": series.tolist()}, {SAID: _forecast(model, series)}


def require_same(model: Forecaster | Classifier, described: dict[str, Any], numbers: Numbers, wrote: str) -> None:
    """Ask a loaded model again.

    Raises
    ------
    ModelFileError
        When it says something else; the message says which version wrote it.
    """
    then = numbers[SAID]
    if isinstance(model, Classifier):
        now = _probabilities(model, numbers[ASKED])
    else:
        now = _forecast(model, np.array(described["series"], dtype=np.int64))
    if then.shape != now.shape:
        raise ModelFileError(f"the golden forecast must have shape {now.shape}: it has {then.shape}")
    spread = (
        max(float(np.ptp(then)), 1e-6 * float(np.abs(then).max(initial=0.0)), 1e-300) if np.isfinite(then).all() else 1
    )
    apart = np.where((now == then) | (np.isnan(now) & np.isnan(then)), 0.0, np.abs(now - then)) / spread
    if not apart.max(initial=0.0) <= TOLERANCE:
        raise ModelFileError(
            f"a loaded model must say what it said when it was saved: its golden forecast is off by "
            f"{apart.max():.2g} of its spread, and {TOLERANCE:g} is allowed; load it with the versions that wrote it"
            f"{wrote}, or fit it anew"
        )


def _forecast(model: Forecaster, series: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return forecasts from the end of some fitted series, (n, H, K), once they are seen to find a form."""
    panel = model.panel_
    if not len(series):
        return np.zeros((0, model.horizon_, panel.n_targets))
    if series.min() < 0 or series.max() >= len(panel):
        raise ValueError(f"golden series must be among {len(panel)}: got {series.tolist()}")
    with np.errstate(all="ignore"):
        said = model.forecast(Past(panel, series, panel.lengths[series] - panel.ready), model.horizon_)
    last = panel.lengths.copy()
    last[series] -= 1
    panel.between(last, panel.lengths).answer(said)  # in the caller's library, zone and names
    return said


def _probabilities(model: Classifier, waves: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what a classifier says of recordings, (n, K)."""
    with np.errstate(all="ignore"):
        return model._probabilities(recordings.read(list(waves)))


def _waves(model: Classifier) -> NDArray[np.float64]:
    """Return two recordings, (2, T, C), of the size of those that were fitted."""
    steps = getattr(model, "n_features_in_", None) or max(STEPS, model._least_steps())
    time = np.linspace(0, 2 * np.pi, steps)[:, None]
    places = np.arange(model.channels_)
    waves = np.stack([np.sin(time + places), np.cos(3 * time - places)])
    scaling = getattr(model, "scaling_", None)
    return waves if scaling is None else np.stack([scaling.inverse(wave, 0) for wave in waves])
