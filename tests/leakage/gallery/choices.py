"""Choices made on the test part, and forecasts that depend on what else is forecast at the time."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import Ridge

from tests.leakage.gallery.entry import AtCutoffs, Floats, OnWindows, following, nearest_mean, real, windows

# Tune -----------------------------------------------------------------------------------------------------------

SETTINGS = [(window, k) for window in (6, 11, 16, 22) for k in (1, 3, 5, 9)]


def _neighbours(series: Floats, cutoff: int, setting: tuple[int, int]) -> Floats:
    """Forecast eleven years from the nearest windows that end at or before the cutoff."""
    seen, (window, k) = series[: cutoff + 1], setting
    return nearest_mean(*windows(seen, window, 11), seen[-window:], k)


def _best(series: Floats, cutoff: int) -> tuple[int, int]:
    """Return the setting with the least error over the eleven years after a cutoff."""
    truth = series[cutoff + 1 : cutoff + 12]
    return min(SETTINGS, key=lambda setting: float(np.mean((_neighbours(series, cutoff, setting) - truth) ** 2)))


def tuned_on_the_test_part(series: Floats, cutoff: int) -> Floats:
    """Length of the window and number of neighbours are those with the least error on the years to forecast."""
    return _neighbours(series, cutoff, _best(series, cutoff))


def tuned_on_a_validation_part(series: Floats, cutoff: int) -> Floats:
    """The setting is the one with the least error on the last eleven years before the cutoff."""
    return _neighbours(series, cutoff, _best(series[: cutoff + 1], cutoff - 11))


# Stop early -----------------------------------------------------------------------------------------------------


def _epochs(series: Floats, cutoff: int, validation: int = 20) -> tuple[Floats, Floats]:
    """Train a layer of 40 random units for 300 epochs, without the last windows.

    Returns
    -------
    said : array of shape (epochs, H)
        The forecast of each epoch at the cutoff.
    errors : array of shape (epochs,)
        On the last windows that were seen.
    """
    seen = series[: cutoff + 1] / 100.0
    X, Y = windows(seen, 11, 5)
    random = np.random.default_rng(0)
    inner, bias = random.normal(size=(11, 40)), random.normal(size=40)
    hidden, now = np.tanh(X @ inner + bias), np.tanh(seen[-11:] @ inner + bias)
    fit, held_out = slice(None, -validation), slice(-validation, None)
    outer, said, errors = np.zeros((40, 5)), [], []
    for _ in range(300):
        outer -= 0.05 * hidden[fit].T @ (hidden[fit] @ outer - Y[fit]) / len(Y[fit])
        said.append(100.0 * now @ outer)
        errors.append(np.mean((hidden[held_out] @ outer - Y[held_out]) ** 2))
    return np.array(said), np.array(errors)


def stopped_on_the_test_part(series: Floats, cutoff: int) -> Floats:
    """The epoch is kept that forecasts the years after the cutoff best."""
    said, _ = _epochs(series, cutoff)
    truth = series[cutoff + 1 : cutoff + 6]
    return np.asarray(said[np.argmin(np.mean((said[:, : len(truth)] - truth) ** 2, axis=1))])


def stopped_on_a_validation_part(series: Floats, cutoff: int) -> Floats:
    """The epoch is kept that forecasts the last windows before the cutoff best."""
    said, errors = _epochs(series, cutoff)
    return np.asarray(said[np.argmin(errors)])


# Pad to the longest of the batch --------------------------------------------------------------------------------


class Reservoir(RegressorMixin, BaseEstimator):
    """Read each row, of which the first numbers are there and the rest is NaN, with a recurrent layer of random units.

    Parameters
    ----------
    masked : bool
        Whether the state of a row is the one after its own last number. Else it is the one after the last step of the
        batch: rows are padded with zeros up to the longest, and go on forgetting.
    """

    def __init__(self, masked: bool = True) -> None:
        self.masked = masked

    def fit(self, X: Any, y: Any) -> Self:
        """Learn to read the forecast from the states."""
        self.readout_ = Ridge(1e-3).fit(self._states(X), y)
        return self

    def predict(self, X: Any) -> Floats:
        """Forecast each row, (n,)."""
        return np.array([self.readout_.predict(state[None])[0] for state in self._states(X)])

    def _states(self, X: Any) -> Floats:
        random = np.random.default_rng(0)
        into, back = random.normal(size=30), 0.9 * np.linalg.qr(random.normal(size=(30, 30)))[0]
        there = ~np.isnan(X)
        longest = int(there.sum(axis=1).max())
        states = np.zeros((len(X), 30))
        for row, (numbers, known) in enumerate(zip(X, there, strict=True)):
            steps = int(known.sum()) if self.masked else longest
            for number in np.where(known, numbers, 0.0)[:steps]:
                states[row] = np.tanh(into * number + back @ states[row])
        return states


SHORT = (110, 130, 150)


def ragged_rows() -> tuple[Floats, Floats]:
    """Return 200 beginnings of sine waves, 8 to 24 steps long, and the step after each."""
    random = np.random.default_rng(8)
    lengths = random.integers(8, 25, size=200)
    lengths[list(SHORT)] = 8  # the first row that is forecast is a short one
    waves = np.sin(random.uniform(0, 6, size=(200, 1)) + np.arange(25) * random.uniform(0.3, 1.2, size=(200, 1)))
    X = np.where(np.arange(24) < lengths[:, None], waves[:, :24], np.nan)
    return X, waves[np.arange(200), lengths]


ENTRIES = [
    AtCutoffs("tuned on the test part", tuned_on_the_test_part, tuned_on_a_validation_part,
              lambda: real("sunspots-yearly"), range(180, 296, 5), following(11)),
    AtCutoffs("stopped on the test part", stopped_on_the_test_part, stopped_on_a_validation_part,
              lambda: real("sunspots-yearly"), range(180, 302, 5), following(5)),
    OnWindows("padded to the longest of the batch", Reservoir(masked=False), Reservoir(), ragged_rows, SHORT),
]  # fmt: skip
