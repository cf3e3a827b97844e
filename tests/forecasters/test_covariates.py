"""Covariates that are constant, empty or huge do no harm to forecasts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.helpers.forecasters import wave
from tsforecast.data.panel import Panel
from tsforecast.data.scaling import ScalingRecipe
from tsforecast.errors import DataWarning
from tsforecast.estimators.persistence import load, save
from tsforecast.forecasters.base import Forecaster
from tsforecast.forecasters.neural import NeuralForecaster
from tsforecast.forecasters.reduction import ReductionForecaster

STEPS, HORIZON = 120, 3
Y = wave(STEPS + HORIZON)
NOISE = np.random.default_rng(1).normal(size=STEPS + HORIZON)
EARLY = np.arange(STEPS + HORIZON) < STEPS - 3  # what is learned from; the sensor then breaks
COLUMNS = {
    "constant": np.full(len(Y), 3.0),
    "huge": 1e12 * NOISE,
    "huge level": 1e12 + NOISE,
    "one huge number": np.where(np.arange(len(Y)) == 40, 1e12, NOISE),
    "empty": np.full(len(Y), np.nan),
    "huge at last": np.where(EARLY, NOISE, 1e12),
    "a code of a fault at last": np.where(EARLY, NOISE, -999.0),
    "constant until it is huge": np.where(EARLY, 3.0, 1e12),
    "empty until it is huge": np.where(EARLY, np.nan, 1e12),
}
BROKEN = [name for name in COLUMNS if " at last" in name or " until " in name]
MODELS = {
    "reduction": ReductionForecaster(window=6, horizon=HORIZON, value_transform=None),
    **{
        cell: NeuralForecaster(
            cell, window=6, horizon=HORIZON, units=4, max_epochs=2, value_transform=None, random_state=0
        )
        for cell in ("gru", "conv1d")
    },
}


def fitted(model: Forecaster, **columns: np.ndarray) -> Forecaster:
    """Return a model of the steps before the sensor breaks, which have a season of 6."""
    frame = pd.DataFrame({"t": np.arange(STEPS), "y": Y[:STEPS]} | {name: x[:STEPS] for name, x in columns.items()})
    roles = dict(zip(columns, columns, strict=True))  # each is named by its role
    options = {"time": "t", "target": "y", "nan_policy": "mask", "season_length": 6}
    return model.fit(Panel.from_frame(frame[: STEPS - 3], **options, **roles))


def forecast(model: Forecaster, **columns: np.ndarray) -> np.ndarray:
    frame = pd.DataFrame({"t": np.arange(len(Y)), "y": Y} | columns)
    future = frame[STEPS:][["t", "future"]] if "future" in columns else None
    return model.predict(frame[:STEPS], future=future)["y"].to_numpy()


EACH = [("reduction", name, role) for name in COLUMNS for role in ("past", "future")]
EACH.remove(("reduction", "empty", "future"))  # what is known ahead must be complete
FEWER = [("conv1d", "a code of a fault at last", "past"), ("conv1d", "empty until it is huge", "future")]
MORE = [(model, name, role) for _, name, role in EACH for model in ("gru", "conv1d")]


@pytest.mark.sample(3)
@pytest.mark.parametrize(
    ("model", "name", "role"), EACH + FEWER + [pytest.param(*each, marks=pytest.mark.thorough) for each in MORE[::3]]
)
def test_a_column_that_has_nothing_to_say_moves_no_forecast_far(model: str, name: str, role: str) -> None:
    alone = forecast(fitted(MODELS[model]))
    with_column = fitted(MODELS[model], **{role: COLUMNS[name]})
    if name in BROKEN:
        with pytest.warns(DataWarning, match=f"column '{role}' goes far beyond the range of training in 1 of 1 con"):
            found = forecast(with_column, **{role: COLUMNS[name]})
    else:
        found = forecast(with_column, **{role: COLUMNS[name]})
    assert np.isfinite(found).all()
    assert np.abs(found - alone).max() < 0.3  # a wave of height 1


def test_columns_are_held_as_far_again_as_they_reached_and_targets_are_not() -> None:
    nan = np.nan
    rows = np.array([[5.0, 1.0, 7.0, nan], [6.0, 3.0, 7.0, nan], [5.0, 7.0, 2.0, nan], [6.0, 7.0, 4.0, nan]])
    scaling = ScalingRecipe(None, None).fit(rows, np.array([0, 2, 4]), 1)
    far = np.array([[[1e9, 1e9, 1e9, 1e9], [-1e9, -1e9, -1e9, -1e9]]] * 2)
    one, other = scaling.transform(far, np.arange(2))
    assert one.tolist() == [[1e9, 5.0, 8.0, 1.0], [-1e9, -1.0, 6.0, -1.0]]  # where nothing varies the scale is 1
    assert other.tolist() == [[1e9, 8.0, 6.0, 1.0], [-1e9, 6.0, 0.0, -1.0]]
    assert scaling.transform(rows[:2], np.zeros(2, dtype=np.int64))[:, :3].tolist() == rows[:2, :3].tolist()
    covariates = scaling.columns(1).transform(far[..., 1:], np.arange(2))
    assert covariates.tolist() == [part[:, 1:].tolist() for part in (one, other)]
    assert scaling.beyond(far, np.arange(2))[0].tolist() == [[False, True, True, True]] * 2
    assert not scaling.beyond(rows[:2], np.zeros(2, dtype=np.int64)).any()


def test_the_range_is_saved_and_older_models_without_one_hold_nothing(tmp_path: Path) -> None:
    model = fitted(MODELS["reduction"], past=COLUMNS["huge at last"])
    save(model, tmp_path / "model")
    again = load(tmp_path / "model")
    for name in ("lowest", "highest"):
        assert (getattr(again.inputs_.scaling, name) == getattr(model.inputs_.scaling, name)).all()
    numbers = model.inputs_.scaling.numbers()
    older = {name: array for name, array in numbers.items() if "est" not in name}
    scaling = type(model.inputs_.scaling).from_numbers(older, False, 1, 1, 2)
    assert np.isinf(scaling.lowest).all()
    assert scaling.transform(np.array([[0.0, 1e12]]), np.zeros(1, dtype=np.int64))[0, 1] > 1e11
