"""Fine-tuning takes a network to other recordings: what is frozen stays, what is kept stays, the source stays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers.classifiers import gestures, quick
from tsforecast.errors import DataError, ParameterError
from tsforecast.estimators.base import NotFittedError
from tsforecast.estimators.persistence import load
from tsforecast.sequences.baselines import MajorityClassifier
from tsforecast.sequences.classifier import Classifier
from tsforecast.sequences.neural import GRUClassifier


def turned(count: int = 12, seed: int = 5) -> tuple[list[np.ndarray], np.ndarray]:
    """Return gestures of a person who wears the sensor the other way round."""
    recordings, labels = gestures(count, seed=seed)
    return [10 - one for one in recordings], labels


def state(model: Classifier) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.network_.state_dict().items()}


def test_what_is_frozen_does_not_move_and_the_rest_does(network: type[Classifier]) -> None:
    model = quick(network, max_epochs=2, dropout=0.1).fit(*gestures(24))
    for freeze in ("none", "encoder"):
        before, tuned = state(model), model.fine_tune(*turned(), freeze=freeze)
        after = state(tuned)
        moved = {name for name in before if not torch.equal(before[name], after[name])}
        assert any(name.startswith("head.") for name in moved)
        assert any(name.startswith(("embed.", "encoder.")) for name in moved) == (freeze == "none")
        assert all(parameter.requires_grad for parameter in tuned.network_.parameters())


def test_the_source_stays_as_it_is_and_scales_are_kept_unless_asked_for() -> None:
    recordings, labels = gestures(24)
    model = quick(GRUClassifier, max_epochs=2).fit(recordings, labels)
    before, said, scale = state(model), model.predict_proba(recordings), model.scaling_.location.copy()
    wide = [3 * one for one in turned()[0]]
    anew = model.fine_tune(wide, turned()[1], head="new", scaling="new")
    assert np.array_equal(model.fine_tune(wide, turned()[1]).scaling_.location, scale)
    assert (anew.scaling_.location > 2 * scale).all()
    assert all(torch.equal(before[name], tensor) for name, tensor in state(model).items())
    assert np.array_equal(model.predict_proba(recordings), said)


def test_a_new_head_starts_from_the_majority_of_its_own_classes_and_an_old_one_from_where_it_was() -> None:
    model = quick(GRUClassifier, max_epochs=2).fit(*gestures(24))
    others, labels = gestures(10, classes=2)
    labels = np.where(labels == "circle", "jump", labels)
    fresh = model.fine_tune(others, labels, head="new", max_epochs=0, validation=None)
    assert fresh.classes_.tolist() == ["jump", "line"]
    naive = MajorityClassifier().fit(others, labels).predict_proba(others)
    assert np.allclose(fresh.predict_proba(others), naive, atol=1e-6)
    deep = model.fine_tune(others, labels, head="new", layers=2, max_epochs=0, validation=None)
    assert [type(part).__name__ for part in deep.network_.head] == ["Linear", "ReLU", "Dropout", "Linear"]
    assert np.allclose(deep.predict_proba(others), naive, atol=1e-6)
    kept = model.fine_tune(*turned(), max_epochs=0, validation=None)
    assert np.array_equal(kept.predict_proba(others), model.predict_proba(others))


@pytest.mark.thorough
def test_a_head_of_two_layers_is_repeatable_kept_when_tuned_again_saved_and_loaded(tmp_path: Path) -> None:
    model = quick(GRUClassifier, max_epochs=2, norm="batch", dropout=0.2).fit(*gestures(24))
    tuned, again = (model.fine_tune(*turned(), head="new", layers=2, max_epochs=2) for _ in range(2))
    assert all(torch.equal(*pair) for pair in zip(state(tuned).values(), state(again).values(), strict=True))
    tuned.fine_tune(*turned(seed=7), max_epochs=1).save(tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert loaded.resolved_["head_layers"] == 2
    assert loaded.network_.head[2].p == 0.2


@pytest.mark.thorough
def test_a_person_who_moves_in_another_way_is_learned_from_two_recordings_of_each_movement() -> None:
    model = quick(GRUClassifier).fit(*gestures(60))
    few, unseen = turned(6), turned(30, seed=9)
    tuned = model.fine_tune(*few, validation=None)
    assert tuned.resolved_["validation"] == 0
    assert tuned.score(*unseen) > model.score(*unseen) + 0.2


@pytest.mark.thorough
def test_a_class_of_which_nothing_is_new_is_still_known() -> None:
    model = quick(GRUClassifier).fit(*gestures(60))
    recordings, labels = gestures(20, seed=3)
    some = labels != "wave"
    tuned = model.fine_tune(
        [recordings[i] for i in np.flatnonzero(some)], labels[some], class_weight="balanced", max_epochs=1
    )
    assert tuned.classes_.tolist() == model.classes_.tolist()
    assert np.isfinite(tuned.predict_proba(recordings)).all()


def test_what_cannot_be_fine_tuned_is_refused() -> None:
    recordings, labels = gestures(12)
    with pytest.raises(NotFittedError, match="this GRUClassifier must be fitted first"):
        quick(GRUClassifier).fine_tune(recordings, labels)
    model = quick(GRUClassifier, max_epochs=1).fit(recordings, labels)
    with pytest.raises(ParameterError) as caught:
        model.fine_tune(recordings, labels, freeze="encodr", layers=2, units=5, lerning_rate=1)
    assert caught.value.problems == (
        "freeze must be one of 'none', 'encoder': got 'encodr'; did you mean 'encoder'?",
        "units belongs to the fitted network and cannot change: leave it out",
        "GRUClassifier has no setting 'lerning_rate'; did you mean 'learning_rate'?",
        "layers=2 is for a new head: use head='new', or layers=1",
    )
    with pytest.raises(DataError) as caught:
        model.fine_tune(recordings, np.where(labels == "line", "jump", labels))
    assert str(caught.value) == (
        "y must hold labels that were fitted: 1 was not, 'jump' (4 recordings); use head='new', or leave those out"
    )
    with pytest.raises(DataError, match="X must have the 2 channels that were fitted: got 3"):
        model.fine_tune([np.zeros((9, 3))], labels[:1])
    with pytest.raises(DataError, match="recording 0 must have a step at least"):
        model.fine_tune([np.zeros((0, 2))], labels[:1])
