"""A sequence is written for a description, as it was learned, and as uncertain as it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone

from tsforecast.errors import DataError, ParameterError
from tsforecast.estimators.base import NotFittedError
from tsforecast.estimators.persistence import load
from tsforecast.sequences.generator import SequenceGenerator

QUICK: dict[str, Any] = {"units": 16, "max_epochs": 40, "learning_rate": 0.02, "random_state": 0}


def waves(count: int = 120, seed: int = 0) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return amplitudes and periods, and noisy waves of 15 to 25 steps that have them."""
    random = np.random.default_rng(seed)
    described = np.stack([random.uniform(1, 3, size=count), random.uniform(6, 15, size=count)], axis=1)
    lengths = random.integers(15, 26, size=count)
    return described, [wave(*one, steps) + 0.1 * random.normal(size=steps) for one, steps in zip(described, lengths)]  # noqa: B905


def wave(amplitude: float, period: float, steps: int) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * np.arange(steps) / period)


@pytest.fixture(scope="module")
def model() -> SequenceGenerator:
    return SequenceGenerator(**QUICK).fit(*waves())


@pytest.mark.long
def test_amplitude_and_period_of_a_description_are_those_of_the_sequence(model: SequenceGenerator) -> None:
    described, _ = waves(40, seed=1)
    written = model.predict(described)
    assert written.shape == (40, 25, 1)
    truth = np.stack([wave(*one, 25) for one in described])
    assert ((written[..., 0] - truth) ** 2).mean() < 0.1 * truth.var()
    assert 0 == model.history_[0].skill < model.history_[-1].skill


@pytest.mark.long
def test_so_many_steps_are_written_as_are_asked_for(model: SequenceGenerator) -> None:
    longer = model.predict([[2.0, 10.0]], steps=40)
    assert longer.shape == (1, 40, 1)
    assert np.allclose(model.predict([[2.0, 10.0]], steps=7), longer[:, :7], atol=1e-5)
    assert np.isfinite(longer).all()


@pytest.mark.long
@pytest.mark.parametrize("cell", ["gru", "lstm", "rnn"])
def test_samples_are_spread_as_sequences_of_one_description_are(cell: str) -> None:
    random = np.random.default_rng(0)
    described = random.integers(0, 2, size=(400, 1)).astype(float)
    deviation = np.where(described == 1, 2.0, 0.5)
    level = np.repeat(10 + deviation * random.normal(size=(400, 1)), 6, axis=1)  # kept from step to step
    model = SequenceGenerator(cell, **QUICK, own_share=0.0).fit(described, level)
    found = model.sample([[0.0], [1.0]], samples=400, random_state=0)
    assert found.shape == (2, 400, 6, 1)
    assert np.allclose(found.mean(axis=(1, 2)), 10, atol=0.4)
    assert found.std(axis=1)[0] == pytest.approx(np.full((6, 1), 0.5), rel=0.4)
    assert found.std(axis=1)[1] == pytest.approx(np.full((6, 1), 2.0), rel=0.4)
    apart = np.abs(np.diff(found[1, ..., 0], axis=1)).mean()
    assert apart < 0.5  # a draw goes on from the draw before, not from the mean


def test_a_seed_makes_samples_repeatable_and_each_is_another(model: SequenceGenerator) -> None:
    once, again = (model.sample([[2.0, 9.0]], samples=3, random_state=1) for _ in range(2))
    assert np.array_equal(once, again)
    assert len({one.tobytes() for one in once[0]}) == 3


def test_untrained_it_writes_the_mean_path() -> None:
    described, found = waves(30)
    model = SequenceGenerator(units=4, max_epochs=0, validation=None, random_state=0).fit(described, found)
    longest = max(map(len, found))
    padded = np.array([np.pad(one, (0, longest - len(one)), constant_values=np.nan) for one in found])
    assert np.allclose(model.predict(described[:2])[..., 0], np.nanmean(padded, axis=0), atol=1e-5)
    spread = model.sample(described[:1], samples=4000, random_state=0)[0, ..., 0].std(axis=0)
    assert np.allclose(spread, np.sqrt(np.nanmean((padded - np.nanmean(padded, axis=0)) ** 2)), rtol=0.1)


@pytest.mark.long
def test_steps_behind_the_end_of_a_sequence_are_not_learned_from() -> None:
    described = np.repeat([[0.0], [1.0]], 20, axis=0)
    found = [np.full(4, 5.0) for _ in range(20)] + [np.full(9, 5.0 + np.arange(9)) for _ in range(20)]
    model = SequenceGenerator(**(QUICK | {"max_epochs": 150})).fit(described, found)
    assert np.allclose(model.predict([[0.0]], steps=4), 5, atol=0.3)
    assert np.allclose(model.predict([[1.0]])[0, :, 0], 5 + np.arange(9), atol=0.7)


def test_own_draws_are_read_in_training_more_and_more(monkeypatch: pytest.MonkeyPatch) -> None:
    described, found = waves(20)
    told, other = (SequenceGenerator(**(QUICK | {"max_epochs": 4, "own_share": share})) for share in (0.0, 0.8))
    told.fit(described, found)
    other.fit(described, found)
    assert other.network_.own_share == pytest.approx(0.8)
    assert told.network_.own_share == 0
    assert not np.allclose(told.predict(described), other.predict(described))
    assert other.history_[0].valid_loss == told.history_[0].valid_loss
    assert other.history_[1].train_loss == told.history_[1].train_loss  # it begins with the truth alone


def test_channels_groups_and_scales_are_those_of_sequences_that_train() -> None:
    described, found = waves(24)
    pairs = [np.stack([one, 1e3 + 10 * one], axis=1) for one in found]
    users = np.arange(24) % 4
    model = SequenceGenerator(**QUICK).fit(described, pairs, users)
    assert model.resolved_["validation"] == 1
    trains = np.concatenate([one for one, user in zip(pairs, users, strict=True) if user != 3])
    assert np.allclose(model.scaling_.location[0], trains.mean(axis=0))
    assert np.allclose(model.description_scaling_.location[0], described[users != 3].mean(axis=0))
    assert abs(model.predict(described)[..., 1].mean() - 1e3) < 30


def test_a_generator_is_saved_and_cloned(model: SequenceGenerator, tmp_path: Any) -> None:
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    described, _ = waves(5)
    assert np.array_equal(again.predict(described), model.predict(described))
    assert np.array_equal(again.sample(described, random_state=2), model.sample(described, random_state=2))
    with pytest.raises(NotFittedError, match=r"this SequenceGenerator must be fitted first: call fit\(X, Y\)"):
        clone(model).predict(described)


def test_what_cannot_be_used_is_refused(model: SequenceGenerator) -> None:
    described, found = waves(6)
    fresh = SequenceGenerator(**QUICK)
    with pytest.raises(DataError, match=r"^X must have a row for each sequence: got shape \(6, 2\) for 5 sequences$"):
        fresh.fit(described, found[:5])
    with pytest.raises(DataError, match="fit requires Y to be passed"):
        fresh.fit(described)
    with pytest.raises(DataError, match="recording 2 must hold finite numbers"):
        fresh.fit(described, [*found[:2], found[2] * np.nan, *found[3:]])
    with pytest.raises(ParameterError, match="samples must be a whole number >= 1: got 0"):
        model.sample(described, samples=0)
    with pytest.raises(ParameterError, match="steps must be a whole number >= 1"):
        model.predict(described, steps=0)
    with pytest.raises(ParameterError, match=r"own_share must be a number in \[0, 1\): got 2"):
        SequenceGenerator(own_share=2).fit(described, found)
    with pytest.raises(ParameterError, match="cell must be one of 'rnn', 'gru', 'lstm': got 'conv1d'"):
        SequenceGenerator("conv1d").fit(described, found)
    constant = SequenceGenerator(**(QUICK | {"max_epochs": 2})).fit(np.ones((6, 1)), [np.ones(1) for _ in range(6)])
    assert np.allclose(constant.predict([[1.0]]), 1, atol=0.1)


TABLE = "X must be a table of numbers, (N, D), a row for each description: "


@pytest.mark.parametrize(
    ("strange", "sentence"),
    [
        ([2.0, 10.0], TABLE + "got shape (2,); if it is one description, pass [X]"),
        ([], TABLE + "got shape (0,)"),
        (np.zeros((0, 2)), TABLE + "got shape (0, 2)"),
        (np.zeros((1, 2, 2)), TABLE + "got shape (1, 2, 2)"),
        (None, TABLE + "got None"),
        ([["a", "b"]], TABLE + "got text; give numbers alone, as many in each row"),
        ([[1j, 2]], TABLE + "got complex ones; give numbers alone, as many in each row"),
        (
            [[2.0, np.nan], [np.inf, 9.0]],
            "X must hold numbers within ±1e+100: 2 of 4 are not, the first is nan in row 0, column 1; fill them in, or "
            "leave those rows out",
        ),
    ],
)  # fmt: skip
def test_descriptions_that_cannot_be_read_are_refused_in_a_sentence(
    model: SequenceGenerator, strange: Any, sentence: str
) -> None:
    for method in (model.predict, model.sample, lambda X: clone(model).fit(X, [np.ones(3)] * 2)):
        with pytest.raises(DataError) as caught:
            method(strange)
        assert str(caught.value) == sentence


def test_descriptions_have_the_numbers_and_columns_that_were_fitted(model: SequenceGenerator, tmp_path: Any) -> None:
    with pytest.raises(DataError, match=r"^X must have the 2 numbers of each description that were fitted: got 3$"):
        model.predict(np.ones((1, 3)))
    described, found = waves(20)
    frame = pd.DataFrame(described, columns=["size", "period"])
    named = SequenceGenerator(**(QUICK | {"max_epochs": 2})).fit(frame, found)
    assert named.feature_names_in_.tolist() == ["size", "period"]
    assert named.n_features_in_ == 2
    named.save(tmp_path / "model")
    wanted = named.predict(frame)
    for asked in (frame[["period", "size"]], pl.DataFrame(frame)[["period", "size"]], described):
        assert np.array_equal(load(tmp_path / "model").predict(asked), wanted)
    with pytest.raises(DataError, match=r"^X must have the columns that were fitted, \['size', 'period'\]: got \['si"):
        named.predict(frame.rename(columns={"period": "speed"}))
    for strange in (None, "Y.csv", 5, iter(found)):
        with pytest.raises(DataError, match=r"^Y must be a list of \(T, C\) arrays, .*: got "):
            named.score(described, strange)


def test_the_score_is_of_the_mean_paths_over_all_steps() -> None:
    described = np.linspace(1, 2, 6)[:, None]
    flat = [np.full(9 + i, 3.0) + np.arange(9 + i) for i in range(6)]
    model = SequenceGenerator(units=4, max_epochs=0, validation=None, random_state=0).fit(described, flat)
    assert model.score(described, flat) == pytest.approx(1)
    assert model.score(described, [-one for one in flat]) < 0
    with pytest.raises(DataError, match="Y must have a sequence of 1 channels for each of 6 rows of X: got 5"):
        model.score(described, flat[:5])
