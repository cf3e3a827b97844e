"""Time warping distances are those of the textbook's recursion."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tsforecast.sequences import baselines as warping
from tsforecast.sequences.baselines import NearestNeighborClassifier, warping_distances


def slow(one: np.ndarray, other: np.ndarray, band: float | None) -> float:
    """Return the distance by the recursion, cell by cell."""
    reach = math.inf if band is None else max(math.ceil(band * max(len(one), len(other))), abs(len(one) - len(other)))
    best = {(-1, -1): 0.0}
    for i in range(len(one)):
        for j in range(len(other)):
            if abs(i - j) <= reach:
                before = min(best.get(cell, math.inf) for cell in ((i - 1, j), (i, j - 1), (i - 1, j - 1)))
                best[i, j] = before + float(((one[i] - other[j]) ** 2).sum())
    return math.sqrt(best[len(one) - 1, len(other) - 1])


@pytest.mark.parametrize("band", [None, 0.0, 0.2])
@pytest.mark.parametrize("cells", [1, 200, 1 << 20])
def test_distances_are_those_of_the_recursion(band: float | None, cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warping, "CELLS", cells)  # one by one, in parts, all together
    random = np.random.default_rng(0)
    every = [random.normal(size=(steps, 2)) for steps in (9, 1, 4, 12, 9, 2, 30)]
    for one in every:
        expected = [slow(one, other, band) for other in every]
        assert warping_distances(one, every, band) == pytest.approx(expected, abs=1e-12)


def test_the_nearest_recording_is_found_however_it_is_stretched() -> None:
    random = np.random.default_rng(0)
    shapes = [np.sin(np.linspace(0, cycles * np.pi, 25)) for cycles in (1, 2, 3)]
    stretched = [np.interp(np.linspace(0, 24, steps), np.arange(25), shape) for shape in shapes for steps in (18, 40)]
    noisy = [one + 0.05 * random.normal(size=one.shape) for one in stretched]
    model = NearestNeighborClassifier().fit(shapes, ["one", "two", "three"])
    assert model.predict(noisy).tolist() == ["one", "one", "two", "two", "three", "three"]
    assert model.predict_proba(noisy).sum(axis=1).tolist() == [1.0] * 6


def test_channels_count_the_same_whatever_their_units() -> None:
    random = np.random.default_rng(0)
    recordings = list(random.normal(size=(20, 10, 2)))
    labels = np.arange(20) % 4
    said = NearestNeighborClassifier().fit(recordings[:12], labels[:12]).predict(recordings[12:])
    units = np.array([1e6, 1e-3])
    scaled = [one * units for one in recordings]
    assert np.array_equal(NearestNeighborClassifier().fit(scaled[:12], labels[:12]).predict(scaled[12:]), said)
