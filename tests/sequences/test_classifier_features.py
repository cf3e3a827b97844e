"""Features of random convolutions stand beside the states of a network where few recordings train."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.helpers.classifiers import gestures, quick
from tsforecast import load
from tsforecast.errors import ParameterError
from tsforecast.networks.layers import Architecture
from tsforecast.networks.sequence import SequenceNetwork
from tsforecast.sequences.classifier import Classifier
from tsforecast.sequences.neural import FEW, Conv1DClassifier, GRUClassifier
from tsforecast.sequences.rocket import NORM, features_of

RECORDINGS, LABELS = gestures(24)


@pytest.fixture(scope="module")
def fitted() -> GRUClassifier:
    """A network that reads features, with two recordings of each class that validate."""
    model: Any = quick(GRUClassifier, features="auto", validation=6, max_epochs=6).fit(RECORDINGS, LABELS)
    return model


@pytest.mark.long
@pytest.mark.parametrize(
    ("count", "settings", "features"),
    [
        (24, {}, 9408),
        (24, {"features": 1400}, 1344),
        (24, {"features": 0}, 0),
        (24, {"bidirectional": False}, 0),
        (24, {"augment": {"jitter": 0.1}}, 0),
        (FEW + 1, {}, 0),
        (FEW + 1, {"validation": 0.5}, 9408),
    ],
)
def test_features_are_read_by_default_where_few_recordings_train(
    count: int, settings: dict[str, Any], features: int
) -> None:
    recordings, labels = gestures(count)
    how = {"features": "auto", "validation": None, "max_epochs": 0} | settings
    model = quick(GRUClassifier, **how).fit(recordings, labels)
    assert model.resolved_["features"] == model.network_.features == features
    assert model.network_.head.in_features == 16 + features


def test_they_are_the_summaries_of_a_rocket_scaled_on_the_recordings_that_train(fitted: GRUClassifier) -> None:
    model = copy.deepcopy(fitted)
    panel, truth, _ = model._checked(RECORDINGS, LABELS, None, reset=False, head="keep")
    _, validates = model._split(panel, truth, None)
    values = fitted.scaling_.transform(panel.values, 0).astype(np.float32)
    plain, drawn = features_of(fitted.convolutions_.bank, values, panel.offsets), fitted.convolutions_
    trains = plain[~validates].astype(np.float64)
    spread = trains.std(axis=0)
    read = spread > 1e-6
    expected = (
        np.where(read, (plain - trains.mean(axis=0)) / np.where(read, spread, 1), 0) * NORM / plain.shape[1] ** 0.5
    )
    assert validates.sum() == 6
    assert np.allclose(drawn.read(values, panel.offsets), expected, atol=1e-3)
    assert (expected[~validates] ** 2).sum(axis=1).mean() == pytest.approx(NORM**2 * read.mean())


def test_the_head_learns_to_read_them_and_a_prediction_has_no_batch_mates(fitted: GRUClassifier) -> None:
    of_features = fitted.network_.head.weight[:, -fitted.network_.features :]
    assert of_features.abs().mean() > 1e-3
    together = fitted.predict_proba(RECORDINGS)
    apart = np.concatenate([fitted.predict_proba([one]) for one in RECORDINGS])
    assert np.array_equal(together, apart)
    with torch.no_grad():
        before, _ = of_features.clone(), of_features.zero_()
        without = fitted.predict_proba(RECORDINGS)
        of_features.copy_(before)
    assert np.abs(without - together).max() > 0.05


@pytest.mark.parametrize("cls", [GRUClassifier, Conv1DClassifier])
def test_a_model_with_features_is_saved_and_tuned_further(cls: type[Classifier], tmp_path: Path) -> None:
    model: Any = quick(cls, features=672, max_epochs=2).fit(RECORDINGS, LABELS)
    tuned = model.fine_tune(RECORDINGS[:4], ["a", "b", "a", "b"], head="new", max_epochs=1)
    assert tuned.resolved_["features"] == 672
    for kept in (model, tuned):
        kept.save(tmp_path / "model")
        assert np.array_equal(load(tmp_path / "model").predict_proba(RECORDINGS), kept.predict_proba(RECORDINGS))


def test_convolutions_of_a_damaged_file_are_refused(fitted: GRUClassifier) -> None:
    plain, arrays = fitted.get_state()
    for name, value in (("scale", np.nan), ("triples", 84), ("dilations", 0)):
        damaged = arrays[f"convolutions.{name}"].copy()
        damaged[0] = value
        with pytest.raises(ValueError, match=rf"{name} (of features )?must be"):
            GRUClassifier(**fitted.get_params()).set_state(plain, arrays | {f"convolutions.{name}": damaged})


def test_features_of_whole_recordings_answer_no_step_and_no_stream() -> None:
    with pytest.raises(ParameterError, match=r"features must be 0 with output='step'.* got 672"):
        quick(GRUClassifier, output="step", features=672).fit(RECORDINGS, LABELS)
    model: Any = quick(GRUClassifier, bidirectional=False, features=672, max_epochs=0).fit(RECORDINGS, LABELS)
    with pytest.raises(ParameterError, match=r"got 672 features of whole recordings; fit the model with features=0"):
        model.stream()


def test_features_are_mixed_as_states_are() -> None:
    network = SequenceNetwork(
        Architecture(units=4, dropout=0.0), 2, "mean", False, torch.zeros(3), 9, features=5
    ).eval()
    steps, features = torch.randn(2, 9, 2), torch.randn(2, 5)
    with torch.no_grad():
        torch.nn.init.normal_(network.head.weight)
        plain = network(steps, features=features)
        mixed = network(steps, None, (torch.tensor([1, 0]), torch.tensor([0.75, 0.25])), features)
    shares = torch.tensor([[0.75, 0.25], [0.75, 0.25]])
    assert torch.allclose(mixed, shares @ plain, atol=1e-5)
