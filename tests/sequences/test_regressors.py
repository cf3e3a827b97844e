"""A number, or several, for each recording: beside the mean, in its own units, and as certain as it is."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.dummy import DummyRegressor
from sklearn.metrics import r2_score
from sklearn.model_selection import cross_val_score
from sklearn.utils.estimator_checks import parametrize_with_checks

from tests.helpers import classifiers
from tests.sequences.test_classifier_contract import as_panel
from tsforecast.data.scaling import ScalingRecipe
from tsforecast.data.splits import LeaveGroupsOut
from tsforecast.errors import DataError, ParameterError
from tsforecast.estimators.base import NotFittedError
from tsforecast.estimators.persistence import load
from tsforecast.sequences.regressors import (
    Conv1DRegressor,
    GRURegressor,
    LSTMRegressor,
    MeanRegressor,
    Regressor,
    RNNRegressor,
)
from tsforecast.sequences.targets import Numbers

QUICK = {name: value for name, value in classifiers.QUICK.items() if name != "features"}  # of classifiers alone

NETWORKS = (RNNRegressor, GRURegressor, LSTMRegressor, Conv1DRegressor)


def quick(cls: type[Regressor] = GRURegressor, **settings: Any) -> Regressor:
    return cls(**(QUICK | settings)) if cls in NETWORKS else cls()


def waves(count: int = 80, seed: int = 0, longest: int = 30) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Return noisy waves, their periods, and the user of each."""
    random = np.random.default_rng(seed)
    periods = random.uniform(5, 20, size=count)
    recordings = []
    for period in periods:
        time = np.arange(random.integers(longest // 2, longest))
        recordings.append(np.sin(2 * np.pi * (time / period + random.random())) + 0.1 * random.normal(size=len(time)))
    return recordings, periods, np.arange(count) % 8


@pytest.mark.thorough
@parametrize_with_checks(
    [
        quick(units=16, max_epochs=80),
        quick(Conv1DRegressor, units=16, max_epochs=60),
        MeanRegressor(),
    ]
)
def test_scikit_learns_own_checks_pass(estimator: Regressor, check: Any) -> None:
    if isinstance(estimator, NETWORKS) and "regressors_train" not in str(check):  # the others ask for no good fit
        estimator = clone(estimator).set_params(max_epochs=2)
    check(estimator)


@pytest.mark.slow
def test_default_settings_read_the_period_of_waves_of_users_never_seen() -> None:
    recordings, periods, users = waves(400, longest=91)
    held_out = users >= 6
    train, test = np.flatnonzero(~held_out), np.flatnonzero(held_out)
    model = GRURegressor(random_state=0).fit([recordings[i] for i in train], periods[train], users[train])
    assert model.resolved_["validation"] == 1  # a whole user
    assert model.score([recordings[i] for i in test], periods[test]) >= 0.95


@pytest.mark.parametrize("cls", NETWORKS)
def test_a_number_is_predicted_better_than_by_the_mean(cls: type[Regressor]) -> None:
    (recordings, periods, _), (others, truth, _) = waves(), waves(40, seed=1)
    model = quick(cls, units=16).fit(recordings, periods)
    predicted = model.predict(others)
    assert predicted.shape == (40,)
    assert model.score(others, truth) == pytest.approx(r2_score(truth, predicted))
    assert model.score(others, truth) > 0.5 > 0 >= MeanRegressor().fit(recordings, periods).score(others, truth)
    assert np.array_equal(model.predict(others[:1]), predicted[:1])  # whatever its batch-mates
    assert model.history_[0].skill == 0 < model.history_[-1].skill


@pytest.mark.parametrize("cls", [GRURegressor, Conv1DRegressor])
@pytest.mark.parametrize("loss", ["mse", "mae", "huber", "normal"])
def test_untrained_it_is_the_mean_or_the_median(cls: type[Regressor], loss: str) -> None:
    recordings, periods, _ = waves(31)
    y = np.stack([periods, np.exp(periods)], axis=1)
    model = quick(cls, loss=loss, max_epochs=0, validation=None).fit(recordings, y)
    wanted = DummyRegressor(strategy="median" if loss == "mae" else "mean").fit(recordings, y).predict(recordings)
    assert np.allclose(model.predict(recordings), wanted, rtol=1e-5)
    if loss == "normal":
        assert np.allclose(model.predicted(recordings)[1][..., 1], y.std(axis=0), rtol=1e-5)


def test_the_mean_is_predicted_for_all() -> None:
    recordings, periods, _ = waves(20)
    model = MeanRegressor().fit(recordings, periods)
    assert np.allclose(model.predict(recordings[:3]), periods.mean())
    both = MeanRegressor().fit(recordings, np.stack([periods, -periods], axis=1))
    assert np.allclose(both.predict(recordings[:3]), [periods.mean(), -periods.mean()])
    assert both.score(recordings, np.stack([periods, -periods], axis=1)) == pytest.approx(0)


def test_intervals_of_the_mean_are_as_wide_as_training_and_those_of_an_untrained_network() -> None:
    recordings, periods, _ = waves(200)
    y = np.stack([np.random.default_rng(0).normal(3, 2, size=200), periods], axis=1)
    model = MeanRegressor().fit(recordings, y)
    found = model.predict(recordings[:3], quantiles=[0.5], interval=0.8)
    assert found.shape == (3, 2, 4)  # mean, median, low end, high end
    assert np.allclose(found[..., 0], model.predict(recordings[:3]))
    assert np.allclose(found[..., 1], y.mean(axis=0))
    assert np.allclose(found[..., 3] - found[..., 2], 2 * 1.2815516 * y.std(axis=0))
    low, high = found[0, 0, 2:]
    assert np.mean((low < y[:, 0]) & (y[:, 0] < high)) == pytest.approx(0.8, abs=0.06)
    untrained = quick(loss="normal", max_epochs=0, validation=None).fit(recordings, y)
    assert np.allclose(found, untrained.predict(recordings[:3], quantiles=[0.5], interval=0.8), rtol=1e-4)
    alone = MeanRegressor().fit(recordings, periods)
    assert np.allclose(alone.predict(recordings, interval=0.8)[:, 0], periods.mean())
    constant = MeanRegressor().fit(recordings, np.ones(200))
    assert np.allclose(constant.predict(recordings[:1], interval=0.9), 1)
    assert constant.predict_distribution(recordings[:1]).cdf([[[1.5]]]).item() == 1
    del alone.deviation_
    with pytest.raises(ParameterError, match=r"must have the standard deviation of training .*; fit it again"):
        alone.predict(recordings, interval=0.8)


@pytest.mark.long
def test_scales_are_those_of_recordings_that_train_and_predictions_have_the_unit_of_y() -> None:
    recordings, periods, users = waves(40)
    model = quick().fit(recordings, periods, users)
    trains = users < 7  # a user of eight validates
    assert model.truth_scaling_.location[0, 0] == pytest.approx(periods[trains].mean())
    assert model.truth_scaling_.scale[0, 0] == pytest.approx(periods[trains].std())
    metres = quick().fit(recordings, 1e6 + 1e3 * periods, users)
    assert np.allclose(metres.predict(recordings), 1e6 + 1e3 * model.predict(recordings), rtol=1e-6)


def test_several_numbers_come_from_a_table_a_frame_or_columns_of_a_panel() -> None:
    recordings, periods, users = waves(24)
    pairs = [np.stack([one, one], axis=1) for one in recordings]
    panel = as_panel(pairs, periods, users)
    y = np.stack([periods, -periods], axis=1)
    model = quick(max_epochs=2)
    found = model.fit(pairs, y, users).predict(pairs)
    assert found.shape == (24, 2)
    assert np.array_equal(model.fit(pairs, pd.DataFrame(y, columns=["a", "b"]), users).predict(pairs), found)
    one = model.fit(pairs, periods, users).predict(pairs)
    assert one.shape == (24,)
    assert np.array_equal(model.fit(panel, "gesture").predict(panel), one)
    assert model.score(panel, "gesture") == model.score(pairs, periods)
    assert model.fit(panel, ["gesture"]).predict(panel).shape == (24, 1)
    with pytest.raises(DataError, match="the panel must have a static column 'gestur'; did you mean 'gesture'"):
        model.fit(panel, "gestur")


@pytest.mark.long
def test_a_normal_distribution_is_as_wide_as_the_errors() -> None:
    random = np.random.default_rng(0)
    noisy = random.random(300) < 0.5  # a channel knows which recordings are
    recordings = [np.stack([random.normal(size=6), np.full(6, float(one))], axis=1) for one in noisy]
    y = 100 + np.where(noisy, 10.0, 1.0) * random.normal(size=300)
    model = quick(loss="normal", validation=None, max_epochs=40).fit(recordings, y)
    found = model.predict_distribution(recordings)
    assert found.shape == (300, 1, 1)
    spread = model.predicted(recordings)[1][:, 0, 1]
    assert np.median(spread[noisy]) == pytest.approx(10, rel=0.25)
    assert np.median(spread[~noisy]) == pytest.approx(1, rel=0.35)
    numbers = model.predict(recordings, quantiles=[0.9, 0.5], interval=0.8)
    assert numbers.shape == (300, 5)
    mean, upper, middle, low, high = numbers.T
    assert np.allclose(mean, model.predict(recordings))
    assert np.allclose(middle, mean)
    assert np.allclose(upper, high)
    assert np.allclose(high - mean, 1.2815516 * spread)
    assert np.mean((low < y) & (y < high)) == pytest.approx(0.8, abs=0.08)
    assert np.allclose(found.cdf(middle[:, None, None]), 0.5)
    several = quick(loss="normal", max_epochs=1).fit(recordings, np.stack([y, y], axis=1))
    assert several.predict(recordings, interval=[0.5, 0.9]).shape == (300, 2, 5)
    with pytest.raises(ParameterError, match=r"loss must be 'normal' for quantiles, .*: got 'mse'; fit one with loss"):
        quick(max_epochs=0).fit(recordings, y).predict(recordings, interval=0.8)


@pytest.mark.parametrize("name", ["mse", "mae", "huber", "normal"])
def test_losses_are_those_of_torch(name: str) -> None:
    truth, outputs = torch.randn(5, 2), torch.randn(5, 4 if name == "normal" else 2)
    errors, counts = Numbers(2, name).loss(truth.numpy()).errors(outputs, truth)
    level = outputs[:, :2]
    wanted = {
        "mse": (level - truth) ** 2,
        "mae": (level - truth).abs(),
        "huber": torch.nn.functional.huber_loss(level, truth, reduction="none"),
        "normal": -torch.distributions.Normal(level, outputs[:, -2:].exp()).log_prob(truth),
    }[name]
    assert torch.allclose(errors, wanted, atol=1e-6)
    assert counts.all()
    truth[1, 0] = np.nan  # as behind the end of a sequence
    gaps, counts = Numbers(2, name).loss(truth.numpy()).errors(outputs, truth)
    assert torch.equal(counts, ~truth.isnan())
    assert torch.allclose(gaps[counts], wanted[counts], atol=1e-6)


@pytest.mark.long
def test_regressors_are_saved_copied_pickled_and_fine_tuned(tmp_path: Any) -> None:
    recordings, periods, users = waves(30)
    for model in (quick(loss="normal"), quick(Conv1DRegressor, max_epochs=3), MeanRegressor()):
        model.fit(recordings, periods, users)
        place = tmp_path / type(model).__name__
        model.save(place)
        for again in (load(place), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            assert np.array_equal(again.predict(recordings), model.predict(recordings))
        with pytest.raises(NotFittedError, match=f"this {type(model).__name__} must be fitted first"):
            clone(model).predict(recordings)
    model = quick().fit(recordings, periods)
    kept = model.fine_tune(recordings[:6], periods[:6] + 1, max_epochs=0)
    assert np.array_equal(kept.predict(recordings), model.predict(recordings))
    fresh = model.fine_tune(recordings, np.stack([periods, 1e3 * periods], axis=1), head="new", scaling="new", layers=2)
    assert fresh.predict(recordings).shape == (30, 2)
    assert fresh.score(recordings, np.stack([periods, 1e3 * periods], axis=1)) > 0.5
    with pytest.raises(DataError, match=r"y must have as many numbers .* as were fitted, 1: got 2; use head='new'"):
        model.fine_tune(recordings, np.stack([periods, periods], axis=1))
    shifted = model.fine_tune(recordings, periods + 100, head="new", max_epochs=0, validation=None)
    assert np.allclose(shifted.predict(recordings), periods.mean() + 100, rtol=1e-5)


@pytest.mark.thorough
def test_users_are_left_out_one_by_one() -> None:
    recordings, periods, users = waves(60)
    scores = cross_val_score(quick(units=16), recordings, periods, groups=users % 3, cv=LeaveGroupsOut())
    assert scores.shape == (3,)
    assert scores.mean() > 0.4


@pytest.mark.long
@pytest.mark.parametrize("model", [quick(), MeanRegressor()])
def test_a_truth_that_cannot_be_used_is_refused(model: Regressor) -> None:
    recordings, periods, _ = waves(9)

    def refused(y: Any) -> str:
        with pytest.raises(DataError) as caught:
            model.fit(recordings, y)
        with pytest.raises(NotFittedError):
            model.predict(recordings)
        return str(caught.value)

    assert refused(["low", *periods[1:]]) == (
        "y must hold a number for each recording: it holds text such as 'low'; use a classifier for labels"
    )
    assert refused([*periods[:-1], np.nan]) == (
        "y must have a number for each recording: 1 is NaN, the first at 8; leave those out"
    )
    assert refused([*periods[:-1], None]).startswith("y must have a number for each recording: 1 is NaN")
    assert refused(periods[:-1]) == "y must have a number for each recording: got 8 for 9 recordings"
    assert "requires y to be passed" in refused(None)
    assert "got shape (9, 1, 1)" in refused(periods[:, None, None])
    large = "y must hold finite numbers within ±1e+100: got {} for 1 of 9 recordings, the first at 8; leave those out"
    assert refused([*periods[:-1], np.inf]).startswith(large.format("inf"))
    assert refused([*periods[:-1], 1e300]).startswith(large.format("larger ones"))
    assert "it holds dates or durations" in refused(np.arange(9).astype("datetime64[D]"))
    model.fit(recordings, periods)
    with pytest.raises(DataError, match=r"as were fitted, 1: got 2$"):
        model.score(recordings, np.stack([periods, periods], axis=1))
    with pytest.raises(ParameterError, match="loss must be one of 'mse', 'mae', 'huber', 'normal'"):
        quick(loss="mes").fit(recordings, periods)


@pytest.mark.long
@pytest.mark.parametrize("loss", ["mse", "mae", "normal"])
def test_a_constant_truth_and_recordings_of_a_step_are_learned(loss: str) -> None:
    recordings, _, _ = waves(12)
    recordings = [*recordings[:-2], np.zeros(1), np.ones(2)]
    model = quick(loss=loss).fit(recordings, np.full(12, 7.5))
    assert np.allclose(model.predict(recordings), 7.5, atol=0.2)
    assert np.isfinite(model.predict([np.zeros(1)])).all()
    with pytest.raises(DataError, match="recording 1 must have a step at least"):
        model.predict([np.zeros(3), np.zeros(0)])


def test_scaled_numbers_are_answered_in_their_own_units() -> None:
    y = np.array([[1.0, 100.0], [3.0, 300.0], [5.0, 200.0]])
    target = Numbers(2, "mse", ScalingRecipe(per_series=False).fit(y, np.array([0, 3]), 2))
    assert np.allclose(target.answers(torch.from_numpy(target.coded(y)))[..., 0], y)
