"""Fine-tuning takes a fitted network to other data: what is frozen stays, what is kept stays, the source stays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers.forecasters import small, wave
from tsforecast.data.panel import Panel
from tsforecast.errors import DataError, ParameterError
from tsforecast.estimators.base import NotFittedError
from tsforecast.estimators.persistence import load, save
from tsforecast.forecasters.naive import NaiveForecaster
from tsforecast.forecasters.neural import NeuralForecaster


def source(cell: str = "gru", **settings: object) -> NeuralForecaster:
    model = small(cell).set_params(max_epochs=4, learning_rate=0.02, anchor="last", validation=None, **settings)
    return model.fit(Panel.from_array([wave(90), wave(90, 1)], season_length=6))


def new_data() -> Panel:
    return Panel.from_array([3 * wave(60, 5), 3 * wave(60, 6), wave(60, 7)], season_length=6)


def state(model: NeuralForecaster) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.network_.state_dict().items()}


def test_what_is_frozen_does_not_move_and_the_rest_does(network: NeuralForecaster) -> None:
    model = source(network.cell, norm="batch", dropout=0.1)
    for freeze in ("none", "encoder"):
        before, after = state(model), state(model.fine_tune(new_data(), freeze=freeze))
        moved = {name for name in before if not torch.equal(before[name], after[name])}
        assert any(name.startswith("decoder.") for name in moved)
        assert any(name.startswith(("embed.", "encoder.")) for name in moved) == (freeze == "none")


def test_the_source_stays_as_it_is() -> None:
    model = source()
    before, forecast, scale = state(model), model.predict(), model.inputs_.scaling.scale.copy()
    model.fine_tune(new_data(), head="new", scaling="new")
    assert all(torch.equal(before[name], tensor) for name, tensor in state(model).items())
    assert all(np.array_equal(*pair) for pair in zip(forecast, model.predict(), strict=True))
    assert np.array_equal(scale, model.inputs_.scaling.scale)


def test_a_new_head_starts_from_the_naive_forecast_and_an_old_one_from_where_it_was() -> None:
    model, data = source(), new_data()
    for layers in (1, 2):
        fresh = model.fine_tune(data, head="new", layers=layers, max_epochs=0)
        assert isinstance(fresh.network_.decoder.head, torch.nn.Linear) == (layers == 1)
        for got, naive in zip(fresh.predict(), NaiveForecaster(3).fit(data).predict(), strict=True):
            assert np.array_equal(got, naive)
    kept = model.fine_tune(data, max_epochs=0)
    for got, expected in zip(kept.predict(), model.predict(data), strict=True):
        assert np.allclose(got[:2], expected[:2])


def test_scaling_is_kept_for_known_series_learned_for_new_ones_and_anew_on_request() -> None:
    model, data = source(), new_data()
    kept = model.fine_tune(data, max_epochs=0, validation=10).inputs_.scaling
    assert np.array_equal(kept.scale[:2], model.inputs_.scaling.scale)
    training_part = np.log(data.series(2)[:50])  # the validation part has no say
    assert kept.location[2] == pytest.approx(training_part.mean())
    anew = model.fine_tune(data, scaling="new", max_epochs=0, validation=10).inputs_.scaling
    assert anew.location.ravel() == pytest.approx([np.log(data.series(i)[:50]).mean() for i in range(3)])


@pytest.mark.thorough
def test_a_network_that_learned_elsewhere_needs_little_of_its_own() -> None:
    t = np.arange(1200)
    elsewhere = np.sin(2 * np.pi * t / 20) + np.sin(2 * np.pi * t / 7.3)
    here = (2 * elsewhere + 5)[-90:]
    settings = {"window": 40, "horizon": 5, "units": 16, "anchor": "last", "random_state": 0, "per_series": False}
    learned = NeuralForecaster("gru", **settings, max_epochs=60, learning_rate=0.01).fit(elsewhere[:1000])
    tuned = learned.fine_tune(here[:80], scaling="new", max_epochs=5, learning_rate=0.002, validation=None)
    alone = NeuralForecaster("gru", **settings, max_epochs=5, learning_rate=0.002, validation=None).fit(here[:80])
    error = {name: np.abs(m.predict() - here[80:85]).mean() for name, m in [("tuned", tuned), ("alone", alone)]}
    assert error["tuned"] < 0.5 * error["alone"]


def test_a_fine_tuned_network_is_saved_and_loaded(tmp_path: Path) -> None:
    tuned = source().fine_tune(new_data(), head="new", layers=2, max_epochs=2)
    save(tuned, tmp_path / "model")
    for got, expected in zip(load(tmp_path / "model").predict(), tuned.predict(), strict=True):
        assert np.array_equal(got, expected)


def test_what_cannot_be_fine_tuned_is_refused() -> None:
    with pytest.raises(NotFittedError, match="must be fitted first"):
        small("gru").fine_tune(wave())
    with pytest.raises(ParameterError) as caught:
        source().fine_tune(new_data(), freeze="encodr", head="keep", layers=2, window=5)
    assert caught.value.problems == (
        "freeze must be one of 'none', 'encoder': got 'encodr'; did you mean 'encoder'?",
        "window belongs to the fitted network and cannot change: leave it out",
        "layers=2 is for a new head: use head='new', or layers=1",
    )
    with pytest.raises(DataError, match=r"needs 12 \+ 3 = 15 steps, series '0' has 10; use at least 5 more rows"):
        source().fine_tune(Panel.from_array([wave(10)], season_length=6))
    with pytest.raises(ParameterError, match="has no setting 'lerning_rate'; did you mean 'learning_rate'"):
        source().fine_tune(new_data(), lerning_rate=0.1)


def test_data_that_the_kept_transform_cannot_hold_are_refused_and_learned_anew_on_request() -> None:
    model = NeuralForecaster(window=12, horizon=3, units=4, max_epochs=1, random_state=0).fit(wave())
    assert model.resolved_["value_transform"] == "log"
    below = wave() - 20
    with pytest.raises(
        DataError, match=r"'y' of series '0' must lie where its transform is defined, above .*; use sca"
    ):
        model.fine_tune(below)
    assert model.fine_tune(below, scaling="new").predict().max() < 0
