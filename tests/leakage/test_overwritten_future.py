"""What lies after the cutoff cannot reach a forecaster: not its windows, scaling, weights or forecasts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.helpers.forecasters import wave
from tsforecast.data.context import Context
from tsforecast.data.panel import Panel
from tsforecast.data.splits import RollingOrigin
from tsforecast.data.windows import Windows
from tsforecast.evaluation.backtest import backtest
from tsforecast.forecasters.base import Forecaster
from tsforecast.forecasters.neural import NeuralForecaster

CUTOFF = 70
OTHERS = [pytest.param(refit, gap, marks=pytest.mark.slow) for refit, gap in ((False, 2), (True, 0))]
FUTURES = {
    "other numbers": lambda rows: rows * -1000 + 7,
    "shuffled": lambda rows: np.random.default_rng(0).permutation(rows),
    "NaN": lambda rows: np.full_like(rows, np.nan),
    "infinities": lambda rows: np.full_like(rows, np.inf),
}


def panels(change: str) -> tuple[Panel, Panel]:
    """Return two panels of two series and two channels that differ after the cutoff only."""
    data = np.stack([np.stack([wave(90, 2 * i), wave(90, 2 * i + 1)], axis=1) for i in range(2)])  # (2, 90, 2)
    changed = data.copy()
    changed[:, CUTOFF:] = FUTURES[change](changed[:, CUTOFF:])
    original = Panel.from_array(data, season_length=6)
    # NaN and infinities are refused at the door, so they are put in behind it.
    return original, original.with_values(changed.reshape(-1, 2))


def fold_of(panel: Panel) -> np.ndarray:
    (fold,) = RollingOrigin(horizon=90 - CUTOFF).cutoffs(panel)
    assert fold.seen.tolist() == [CUTOFF, CUTOFF]
    return fold.seen


@pytest.mark.sample(3)
@pytest.mark.parametrize("change", list(FUTURES))
def test_when_the_future_is_overwritten_the_forecast_is_unchanged(forecaster: Forecaster, change: str) -> None:
    forecasts, states = [], []
    for panel in panels(change):
        model = forecaster.fit(panel.until(fold_of(panel)))
        # The later rows are at hand here; the past door must not let them through.
        forecasts.append(model.forecast(Context(panel, np.arange(2), fold_of(panel)), 20))
        if isinstance(model, NeuralForecaster):
            scaling = model.inputs_.scaling
            states.append(
                [*model.network_.state_dict().values(), *map(torch.from_numpy, (scaling.location, scaling.scale))]
            )
            states[-1] = [tensor.clone() for tensor in states[-1]]
    assert np.array_equal(*forecasts)
    assert np.isfinite(forecasts[0]).all()
    for first, second in zip(*states, strict=True) if states else ():
        assert torch.equal(first, second)


@pytest.mark.parametrize("change", list(FUTURES))
def test_when_the_future_is_overwritten_every_training_window_is_unchanged(
    network: NeuralForecaster, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[torch.Tensor] = []
    original = Windows.batch

    def spy(self: Windows, index: torch.Tensor) -> object:
        batch = original(self, index)
        kept.extend([index, batch.past, batch.future])
        return batch

    monkeypatch.setattr(Windows, "batch", spy)
    seen = []
    for panel in panels(change):
        kept.clear()
        network.fit(panel.until(fold_of(panel)))
        seen.append([tensor.clone() for tensor in kept])
    assert len(seen[0]) > 3
    for first, second in zip(*seen, strict=True):
        assert torch.equal(first, second)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::tsforecast.errors.FitWarning")  # the later pasts are made of nonsense
@pytest.mark.parametrize(("refit", "gap"), [(False, 0), (True, 2), *OTHERS])
def test_forecasts_of_a_backtest_do_not_depend_on_later_rows(forecaster: Forecaster, refit: bool, gap: int) -> None:
    first, second = panels("other numbers")
    settings = {"horizon": 4, "origins": 5, "step": 4, "gap": gap, "refit": refit}
    before, after = (backtest(forecaster, panel, **settings) for panel in (first, second))
    cutoffs = np.unique(before["cutoff"])
    assert cutoffs.tolist() == [90 - 4 - gap - 4 * k - 1 for k in (4, 3, 2, 1, 0)]
    early = before["cutoff"] < CUTOFF
    assert 0 < early.sum() < len(before)
    assert np.array_equal(before.loc[early, "forecast"], after.loc[early, "forecast"])
    scales = ["naive_mae", "naive_mse"]
    assert np.array_equal(before.loc[early, scales], after.loc[early, scales])


def test_the_validation_tail_moves_no_scaler_statistic(network: NeuralForecaster) -> None:
    data = wave(90)
    changed = data.copy()
    tail = network.set_params(validation=15).fit(data).resolved_["validation"]
    changed[-tail:] = 1e6
    before, after = network.fit(data).inputs_.scaling, network.fit(changed).inputs_.scaling
    assert np.array_equal(before.location, after.location)
    assert np.array_equal(before.scale, after.scale)


def test_the_future_of_one_series_does_not_reach_another() -> None:
    import pandas as pd

    def frame(tail: float) -> pd.DataFrame:
        days = pd.date_range("2024-01-01", periods=90)
        long = pd.DataFrame({"id": "long", "day": days, "y": np.r_[wave(CUTOFF), np.full(20, tail)]})
        return pd.concat([long, pd.DataFrame({"id": "other", "day": days, "y": wave(90, 1)})])

    settings = {"window": 10, "units": 4, "max_epochs": 2, "random_state": 0}
    rows = [backtest(NeuralForecaster("gru", **settings), frame(tail), horizon=20) for tail in (0.0, 1e5)]
    assert np.array_equal(rows[0]["forecast"], rows[1]["forecast"])
