"""A recording that arrives step by step is answered as the batch answers what has arrived so far."""

from __future__ import annotations

import itertools
import re
import time
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError

from tests.helpers.classifiers import NETWORKS, gestures, quick
from tsforecast.data.scaling import ScalingRecipe
from tsforecast.errors import DataError, ParameterError
from tsforecast.networks.layers import Architecture
from tsforecast.networks.sequence import SequenceNetwork
from tsforecast.sequences.neural import GRUClassifier, NeuralClassifier
from tsforecast.sequences.regressors import GRURegressor
from tsforecast.sequences.stream import Decision, Stream
from tsforecast.sequences.targets import Classes

POOLINGS = ("mean", "max", "mean-max", "last", "attention")
BUILDS = [  # cell, pooling, segment, differences, norm, residual, layers, activation
    *itertools.product(
        ("rnn", "gru", "lstm", "conv1d"), POOLINGS, (1, 3), (False, True), (None, "batch", "layer"), (False, True)
    )
]
RECORDING = 5 + 3 * np.random.default_rng(2).normal(size=(23, 2))


def fitted(cls: Any = GRUClassifier, **settings: Any) -> Any:
    """Return a causal network with a head, and statistics, that are not those of the beginning."""
    settings = {"max_epochs": 1, "validation": None, "bidirectional": False} | settings
    recordings, labels = gestures(12)
    model = quick(cls, **settings) if cls in NETWORKS else cls(units=8, random_state=0, **settings)
    model.fit(recordings, labels)
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, numbers in model.network_.state_dict().items():
            if "head" in name or "running_mean" in name:
                numbers.copy_(torch.randn(numbers.shape, generator=random) / 2)
            elif "running_var" in name:
                numbers.copy_(torch.rand(numbers.shape, generator=random) + 0.5)
    return model


def prefixes(model: Any, recording: np.ndarray) -> np.ndarray:
    """Return the answers of the batch for the recording after each of its steps."""
    return np.asarray(model.predict_proba([recording[: t + 1] for t in range(len(recording))]))


@pytest.mark.long
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm", "conv1d"])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_each_step_is_answered_as_the_batch_answers_the_recording_so_far(cell: str, pooling: str) -> None:
    # Each norm, with each of two others: the rest is drawn, and the thorough test takes every combination.
    for norm, segment in itertools.product((None, "batch", "layer"), (1, 3)):
        odd = len(pooling) + len(norm or "") + segment
        settings = {"differences": odd % 2 > 0, "residual": odd % 3 > 0, "layers": 1 + odd % 2}
        _same(cell=cell, pooling=pooling, norm=norm, segment=segment, **settings)


@pytest.mark.slow
@pytest.mark.parametrize("build", BUILDS, ids=str)
def test_each_combination_of_settings_is_answered_as_the_batch_answers(build: Any) -> None:
    names = ("cell", "pooling", "segment", "differences", "norm", "residual")
    for layers in (1, 2):
        _same(layers=layers, **dict(zip(names, build, strict=True)))


@pytest.mark.parametrize("activation", ["gelu", "tanh", "sigmoid"])
def test_each_activation_is_computed(activation: str) -> None:
    _same(cell="conv1d", activation=activation)


def _same(**settings: Any) -> None:
    model = fitted(NeuralClassifier, **settings)
    expected = prefixes(model, RECORDING)
    assert np.ptp(expected, axis=0).max() > 0.001  # it does depend on the steps
    np.testing.assert_allclose(model.stream().push(RECORDING), expected, rtol=0, atol=1e-6, err_msg=str(settings))


def test_a_head_of_two_layers_and_two_classes_are_read() -> None:
    recordings, labels = gestures(12, classes=2)
    model = quick(GRUClassifier, bidirectional=False, max_epochs=3).fit(recordings, labels)
    tuned = model.fine_tune(recordings, labels, head="new", layers=2, max_epochs=2)
    for one in (model, tuned):
        answers = one.stream().push(RECORDING)
        assert answers.shape == (23, 2)
        np.testing.assert_allclose(answers, prefixes(one, RECORDING), rtol=0, atol=1e-6)


def test_recordings_longer_than_any_that_trained_are_read() -> None:
    model = fitted(NeuralClassifier, cell="conv1d", layers=2)
    long = np.tile(RECORDING, (100, 1))
    last = model.stream().push(long)[-1:]
    np.testing.assert_allclose(last, model.predict_proba([long]), rtol=0, atol=1e-6)


@pytest.mark.parametrize("pooling", ["attention", "mean-max"])
@pytest.mark.parametrize("cls", NETWORKS)
def test_steps_one_by_one_in_parts_and_after_a_reset_are_the_same(cls: Any, pooling: str) -> None:
    model = fitted(cls, segment=2, differences=True, pooling=pooling)
    whole = model.stream().push(RECORDING)
    stream = model.stream()
    single = np.concatenate([stream.push(row) for row in RECORDING])
    assert stream.steps == 23
    assert stream.reset() is stream
    assert stream.steps == 0
    parts = np.concatenate([stream.push(RECORDING[:1]), stream.push(RECORDING[1:8]), stream.push(RECORDING[8:])])
    np.testing.assert_array_equal(single, whole)
    np.testing.assert_array_equal(parts, whole)


def test_streams_of_a_model_do_not_meet_and_keep_the_weights_they_began_with() -> None:
    model = fitted()
    first, second, alone = model.stream(), model.stream(), model.stream().push(RECORDING)
    taken = []
    for i, row in enumerate(RECORDING):
        taken.append(first.push(row))
        second.push(-row)
        if i == 10:
            model.fit(*gestures(20, seed=3))
    np.testing.assert_array_equal(np.concatenate(taken), alone)


def test_one_channel_takes_numbers() -> None:
    waves = [np.sin(np.arange(12) * (1 + i % 2)) for i in range(8)]
    model = quick(GRUClassifier, bidirectional=False, max_epochs=2).fit(waves, ["a", "b"] * 4)
    stream, other = model.stream(), model.stream()
    np.testing.assert_array_equal(
        stream.push(waves[0]), np.concatenate([other.push(float(number)) for number in waves[0]])
    )
    assert stream.steps == other.steps == 12


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (np.zeros(3), "a push must have the 2 channels that were fitted, (2,) or (n, 2): got shape (3,)"),
        (0.5, "a push must have the 2 channels that were fitted, (2,) or (n, 2): got shape ()"),
        (np.zeros((1, 2, 2)), "a push must have the 2 channels that were fitted, (2,) or (n, 2): got shape (1, 2, 2)"),
        (np.zeros((0, 2)), "a push must have a step at least: it is empty, (0, 2); leave it out"),
        ([], "a push must have the 2 channels that were fitted, (2,) or (n, 2): got shape (0,)"),
        (
            [[0, 1], [2, np.nan]],
            "a push must hold finite numbers: got nan at step 1, channel 1; fill it in, perhaps with the number before",
        ),
        (
            [np.inf, 1],
            "a push must hold finite numbers: got inf at step 0, channel 0; fill it in, perhaps with the number before",
        ),
        (
            [[0, 1e300]],
            "a push must hold numbers that single precision holds when scaled: got 1e+300 at step 0, channel 1; leave "
            "the step out, or repeat the one before",
        ),
        (["a", "b"], "a push must hold numbers, (2,) or (n, 2): could not convert string to float: 'a'"),
    ],
)
def test_steps_that_cannot_be_read_are_refused_and_change_nothing(rows: Any, sentence: str) -> None:
    model = fitted(segment=2, differences=True)
    stream, other = model.stream(), model.stream()
    stream.push(RECORDING[:5])
    other.push(RECORDING[:5])
    with pytest.raises(DataError, match=f"^{re.escape(sentence)}"):
        stream.push(rows)
    assert stream.steps == 5
    np.testing.assert_array_equal(stream.push(RECORDING[5:]), other.push(RECORDING[5:]))


def test_only_fitted_networks_that_look_back_have_streams() -> None:
    with pytest.raises(NotFittedError, match="must be fitted first"):
        quick(GRUClassifier, bidirectional=False).stream()
    for cls in NETWORKS:
        with pytest.raises(ParameterError, match="fit the model with bidirectional=False"):
            fitted(cls, bidirectional=True).stream()


@pytest.mark.parametrize("cls", NETWORKS)
def test_a_step_takes_as_long_after_many_steps_as_at_the_beginning(cls: Any) -> None:
    model = fitted(cls)
    stream = model.stream()
    rows = np.tile(RECORDING, (20, 1))

    def seconds() -> float:
        began = time.thread_time()
        stream.push(rows)
        return time.thread_time() - began

    seconds()
    first = min(seconds() for _ in range(3))
    assert min(seconds() for _ in range(6)) < 2 * first


def test_a_stream_works_in_a_model_that_was_saved(tmp_path: Any) -> None:
    from tsforecast import load

    model = fitted(norm="layer")
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(load(tmp_path / "model").stream().push(RECORDING), model.stream().push(RECORDING))


class Told(Stream):
    """A stream whose probabilities are known: each step holds that of the second class."""

    def __init__(self) -> None:
        self._target = Classes(np.array(["no", "yes"]))
        self.steps, self.classes = 0, np.array(["no", "yes"])

    def push(self, rows: Any) -> Any:
        yes = np.asarray(rows, dtype=float)[:, None]
        return np.hstack([1 - yes, yes])


@pytest.mark.parametrize(
    ("steps", "rule", "expected"),
    [
        ([0.6, 0.7, 0.9, 0.2], {"threshold": 0.9}, Decision("yes", 0.9, 3, True)),
        ([0.6, 0.7, 0.8, 0.3], {"threshold": 0.9}, Decision("no", 0.7, 4, False)),
        ([0.9, 0.6, 0.9, 0.95, 0.1], {"threshold": 0.9, "patience": 2}, Decision("yes", 0.95, 4, True)),
        ([0.9, 0.1, 0.1, 0.9], {"threshold": 0.9, "patience": 2}, Decision("no", 0.9, 3, True)),
        ([0.6, 0.4, 0.9], {"threshold": 0.9, "deadline": 2}, Decision("no", 0.6, 2, True)),
        ([1.0, 1.0, 0.25], {"threshold": 1}, Decision("no", 0.75, 3, False)),
    ],
)
def test_a_label_is_decided_when_it_stays_probable_or_at_the_deadline_or_the_end(
    steps: list[float], rule: dict[str, Any], expected: Decision
) -> None:
    at_once, one_by_one = Told().decide(**rule), Told().decide(**rule)
    at_once.push(steps)
    found = at_once.end()
    assert found == Decision(expected.label, pytest.approx(expected.probability), expected.steps, expected.early)
    for step in steps:
        decided = one_by_one.push([step])
        assert (decided is not None) == (expected.early and one_by_one._read >= expected.steps)
    assert one_by_one.end() == found
    assert one_by_one.decision == found


def test_a_decision_is_kept_until_it_is_reset() -> None:
    stream = fitted().stream()
    decision = stream.decide(0.01)
    first = decision.push(RECORDING[:1])
    assert first is not None
    assert first.label in fitted().classes_
    assert decision.push(RECORDING[1:]) is first
    assert stream.steps == 1  # nothing more was read
    decision.reset()
    assert stream.steps == 0
    assert decision.decision is None
    with pytest.raises(DataError, match="a decision needs a step at least: none was pushed"):
        decision.end()
    assert decision.push(RECORDING[:1]) == first


def test_rules_that_cannot_be_are_refused_together() -> None:
    with pytest.raises(ParameterError) as caught:
        fitted().stream().decide(1.5, patience=0, deadline=2.5)
    message = str(caught.value)
    assert "threshold must be a probability in (0, 1]: got 1.5" in message
    assert "patience must be a whole number >= 1: got 0" in message
    assert "deadline must be a whole number >= 1: got 2.5" in message


def test_a_decision_begins_with_its_recording() -> None:
    stream = fitted().stream()
    stream.push(RECORDING[:3])
    sentence = "a decision must begin with the recording: 3 steps of the stream were read before; reset it first"
    with pytest.raises(ParameterError, match=sentence):
        stream.decide(0.9)
    assert stream.reset().decide(0.9).decision is None


def test_only_one_label_of_a_whole_recording_is_decided() -> None:
    recordings, labels = gestures(12)
    table = np.stack([labels == "line", labels == "wave"], axis=1).astype(int)
    model = quick(GRUClassifier, max_epochs=1, bidirectional=False).fit(recordings, table)
    with pytest.raises(ParameterError, match="an early decision needs one label for a whole recording"):
        model.stream().decide(0.9)


@pytest.mark.parametrize("target", ["several", "ordinal", "calibrated"])
def test_each_target_is_answered_as_in_the_batch(target: str) -> None:
    recordings, labels = gestures(24)
    truth: Any = np.stack([labels == "line", labels == "wave"], axis=1).astype(int) if target == "several" else labels
    settings = {"ordinal": target == "ordinal", "calibrate": target == "calibrated", "max_epochs": 3}
    model = quick(GRUClassifier, bidirectional=False, **settings).fit(recordings, truth)
    np.testing.assert_allclose(model.stream().push(RECORDING), prefixes(model, RECORDING), rtol=0, atol=1e-6)


@pytest.mark.parametrize("loss", ["mse", "normal"])
def test_numbers_are_those_of_predict_with_their_spread(loss: Any) -> None:
    recordings, _ = gestures(24)
    truth = np.array([[len(recording), 100 * recording.mean()] for recording in recordings])
    model = GRURegressor(units=8, layers=1, bidirectional=False, loss=loss, max_epochs=3, random_state=0)
    stream = model.fit(recordings, truth).stream()
    answers, parts = stream.push(RECORDING), [RECORDING[: t + 1] for t in range(23)]
    np.testing.assert_allclose(answers[..., 0], model.predict(parts), rtol=1e-6)
    assert answers.shape == (23, 2, 2 if loss == "normal" else 1)
    if loss == "normal":
        np.testing.assert_allclose(answers[..., 1], model.predicted(parts)[1][..., 1], rtol=1e-5)
    with pytest.raises(ParameterError, match="an early decision needs one label for a whole recording"):
        stream.decide(0.9)


def test_the_most_probable_class_of_an_order_is_that_of_predict() -> None:
    recordings, labels = gestures(24)
    model = quick(GRUClassifier, bidirectional=False, ordinal=True, max_epochs=3).fit(recordings, labels)
    for recording in recordings:
        decision = model.stream().decide(1.0)
        decision.push(recording)
        assert decision.end().label == model.predict([recording])[0]


@pytest.mark.parametrize("cell", ["gru", "conv1d"])
def test_a_label_for_each_step_is_that_of_the_last_step_so_far(cell: str) -> None:
    recordings, _ = gestures(12)
    truth = [np.where(recording[:, 0] > 5, "high", "low") for recording in recordings]
    model = NeuralClassifier(cell, units=8, max_epochs=3, bidirectional=False, output="step", random_state=0)
    stream = model.fit(recordings, truth).stream()
    np.testing.assert_allclose(stream.push(RECORDING), model.predict_proba([RECORDING])[0], rtol=0, atol=1e-6)
    with pytest.raises(ParameterError, match="an early decision needs one label for a whole recording"):
        stream.decide(0.9)


@pytest.mark.parametrize("cell", ["gru", "conv1d"])
@pytest.mark.parametrize("segment", [1, 3])
def test_outputs_at_steps_are_those_of_the_last_step_so_far(cell: str, segment: int) -> None:
    random = torch.Generator().manual_seed(0)
    network = SequenceNetwork(Architecture(cell, 8, 2, segment), 2, None, False, torch.tensor([0.1, 0.2, 0.3]), 23)
    torch.nn.init.normal_(network.head.weight, generator=random)
    network.eval()
    scaling = ScalingRecipe(None, "standard", per_series=False).fit(RECORDING, np.array([0, 23]), 2)
    steps = torch.from_numpy(scaling.transform(RECORDING, 0)).float()
    with torch.inference_mode():
        expected = torch.stack([network(steps[None, : t + 1])[0, -1] for t in range(23)])
    answers = Stream(network, scaling, Classes(np.arange(3), at_steps=True)).push(RECORDING)
    np.testing.assert_allclose(answers, torch.softmax(expected, dim=1), rtol=0, atol=1e-6)
