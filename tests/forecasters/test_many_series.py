"""Forecasts of very many series: in parts, with the same numbers and in bounded memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from tests.helpers.forecasters import small
from tsforecast import GRUForecaster, Panel
from tsforecast.forecasters import windowed
from tsforecast.forecasters.base import Forecaster
from tsforecast.forecasters.meta.ensemble import EnsembleForecaster
from tsforecast.forecasters.reduction import ReductionForecaster

STEPS, WINDOW = 50, 48


def many(count: int) -> Panel:
    """Return short noisy waves, each with a level of its own."""
    random = np.random.default_rng(1)
    level = random.uniform(10, 100, (count, 1))
    waves = level + np.sin(np.arange(STEPS) + random.uniform(0, 6, (count, 1))) + random.normal(size=(count, STEPS))
    return Panel.from_array(waves[..., None], season_length=6)


@pytest.fixture(scope="module")
def fitted() -> Forecaster:
    model = GRUForecaster(window=WINDOW, horizon=2, units=2, max_epochs=1, validation=None, random_state=0)
    return model.fit(many(30))


@pytest.mark.long
def test_memory_does_not_grow_with_the_number_of_series(fitted: Forecaster) -> None:
    assert windowed.NUMBERS < 10_000 * WINDOW  # both have several parts
    peaks = []
    for count in (10_000, 20_000):
        panel = many(count)
        tracemalloc.start()
        forecasts = fitted.predict(panel)
        peaks.append(tracemalloc.get_traced_memory()[1] - forecasts.nbytes)
        tracemalloc.stop()
        assert forecasts.shape == (count, 2, 1)
    assert peaks[1] < 30e6
    assert peaks[1] - peaks[0] < 4e6  # what each series has of its own: scales, ids, offsets


@pytest.mark.long
@pytest.mark.parametrize("loss", ["mae", "normal"])
def test_forecasts_in_parts_are_those_of_each_part_to_the_bit(loss: str, monkeypatch: pytest.MonkeyPatch) -> None:
    panel = many(150)
    model = small("gru").set_params(loss=loss, horizon=3).fit(panel.select(np.arange(40)))
    ridge = ReductionForecaster(window=12, horizon=3).fit(panel.select(np.arange(40)))
    several = EnsembleForecaster(model, seeds=5).fit(panel.select(np.arange(40)))
    for each in (model, ridge, several):
        at_once = each.predict(panel, horizon=7)
        monkeypatch.setattr(windowed, "NUMBERS", 1)  # 64 windows at a time
        parts = each.predict(panel, horizon=7)
        monkeypatch.undo()
        alone = [each.predict(panel.select([i]), horizon=7)[0] for i in (0, 39, 63, 64, 149)]
        assert np.array_equal(at_once, parts)
        assert np.array_equal(at_once[[0, 39, 63, 64, 149]], alone)
    if loss == "normal":
        whole = model.predict(panel, horizon=7, quantiles=[0.1])
        monkeypatch.setattr(windowed, "NUMBERS", 1)
        assert np.array_equal(model.predict(panel, horizon=7, quantiles=[0.1]), whole)
