"""Each setting of a network classifier does what its name promises, in every cell and together with the others."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import log_loss
from torch import nn

from tests.helpers.classifiers import gestures, quick
from tests.helpers.forecasters import options
from tsforecast.errors import DataError, ParameterError
from tsforecast.estimators.persistence import load
from tsforecast.networks.layers import Architecture
from tsforecast.networks.sequence import CrossEntropy, SequenceBatch, SequenceNetwork
from tsforecast.sequences.classifier import Classifier
from tsforecast.sequences.neural import GRUClassifier, NeuralClassifier
from tsforecast.sequences.targets import Classes
from tsforecast.training.batches import SequenceDataset


def noisy(count: int = 120, seed: int = 0, share: float = 0.3) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Return recordings of eight users, with a share of labels that are wrong, and the users."""
    recordings, labels = gestures(count, seed=seed)
    random = np.random.default_rng(seed)
    wrong = random.random(count) < share
    labels = np.where(wrong, random.permutation(labels), labels)
    return recordings, labels, np.repeat([f"u{i}" for i in range(8)], -(-count // 8))[:count]


@pytest.mark.long
def test_predictions_do_not_depend_on_batch_mates_whatever_the_settings(network: type[Classifier]) -> None:
    recordings, labels = gestures(14)
    names = (None, "layer", "batch"), options(NeuralClassifier, "pooling"), (False, True), (False, True), (1, 2)
    few = network is not GRUClassifier  # all settings with one cell, a seventh of them with each of the others
    for norm, pooling, both, residual, head in list(product(*names))[:: 7 if few else 1]:
        settings = {"norm": norm, "pooling": pooling, "bidirectional": both, "residual": residual}
        model = quick(network, **settings, head_layers=head, layers=2, units=4, max_epochs=0)
        net = model.fit(recordings, labels).network_
        torch.manual_seed(0)
        nn.init.normal_((net.head if head == 1 else net.head[-1]).weight)
        together = model.predict_proba(recordings)
        assert len(np.unique(together[:, 0].round(6))) > 3, settings  # recordings are read
        assert np.array_equal(model.predict_proba(recordings[5:6]), together[5:6]), settings
        lengths = torch.tensor([len(one) for one in recordings])
        padded = torch.full((14, 40, 2), 1e3)
        for i, one in enumerate(recordings):
            padded[i, : len(one)] = torch.from_numpy(one - 5)
        with torch.inference_mode():
            alone = torch.cat([net(padded[[i], :length]) for i, length in enumerate(lengths.tolist())])
            assert torch.allclose(net(padded, lengths), alone, atol=1e-4), settings


@pytest.mark.long
@pytest.mark.parametrize("settings", [{"norm": "layer"}, {"norm": "batch"}, {"residual": True}, {"head_layers": 2}])
def test_layers_that_are_set_are_trained(network: type[Classifier], settings: dict[str, object]) -> None:
    recordings, labels = gestures(40)
    plain, other = (
        quick(network, layers=2, max_epochs=3, validation=None, **changes).fit(recordings, labels)
        for changes in ({}, settings)
    )
    alike = np.allclose(plain.predict_proba(recordings), other.predict_proba(recordings), atol=1e-4)
    assert alike == (network.__name__ == "Conv1DClassifier" and "residual" in settings)  # which always has it


@pytest.mark.long
def test_a_head_of_two_layers_has_dropout_between_and_is_saved(tmp_path: Path) -> None:
    recordings, labels = gestures(40)
    model = quick(GRUClassifier, head_layers=2, dropout=0.3).fit(recordings, labels)
    kinds = [type(part) for part in model.network_.head]
    assert kinds == [nn.Linear, nn.ReLU, nn.Dropout, nn.Linear]
    assert model.network_.head[2].p == 0.3
    assert model.resolved_["head_layers"] == 2
    model.save(tmp_path / "model")
    assert np.array_equal(load(tmp_path / "model").predict_proba(recordings), model.predict_proba(recordings))
    assert model.fine_tune(recordings, labels, head="new", max_epochs=1).resolved_["head_layers"] == 1
    for layers in (0, 3, True, "2"):
        with pytest.raises(ParameterError, match=f"head_layers must be 1 or 2: got {layers!r}"):
            quick(GRUClassifier, head_layers=layers).fit(recordings, labels)


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("focal", [0.5, 2.0])
def test_the_focal_loss_is_that_of_the_paper(classes: int, focal: float) -> None:
    random = np.random.default_rng(0)
    logits, labels = random.normal(size=(20, classes)), random.integers(classes, size=20)
    weights = random.uniform(0.5, 2, size=classes)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    p = p[np.arange(20), labels]
    expected = (weights[labels] * -((1 - p) ** focal) * np.log(p)).sum()
    outputs = torch.from_numpy(logits[:, 1:] - logits[:, :1] if classes == 2 else logits)
    batch = SequenceBatch(torch.zeros(20, 1, 1), None, torch.from_numpy(labels))
    total, _ = CrossEntropy(torch.from_numpy(weights).float(), focal=focal).loss_of(outputs, batch)
    assert float(total) == pytest.approx(expected, rel=1e-5)
    smoothed = CrossEntropy(torch.from_numpy(weights).float(), 0.2)
    limit = CrossEntropy(torch.from_numpy(weights).float(), 0.2, focal=1e-9)
    assert float(limit.loss_of(outputs, batch)[0]) == pytest.approx(float(smoothed.loss_of(outputs, batch)[0]))


def test_a_focal_loss_of_certain_logits_has_a_gradient_that_is_a_number() -> None:
    outputs = torch.tensor([[80.0, 0.0, 0.0]], requires_grad=True)
    batch = SequenceBatch(torch.zeros(1, 1, 1), None, torch.tensor([0]))
    CrossEntropy(torch.ones(3), focal=0.5).loss_of(outputs, batch)[0].backward()
    assert torch.isfinite(outputs.grad).all()


@pytest.mark.long
def test_a_classifier_trained_with_focus_is_less_certain() -> None:
    recordings, labels, _ = noisy()
    certain = [
        quick(GRUClassifier, focal=focal, label_smoothing=0.0, validation=None)
        .fit(recordings, labels)
        .predict_proba(recordings)
        .max(axis=1)
        .mean()
        for focal in (0.0, 4.0)
    ]
    assert certain[1] < certain[0] - 0.03


@pytest.mark.long
def test_weights_of_a_class_move_predictions_to_it() -> None:
    recordings, labels, _ = noisy()
    chosen = [
        float((quick(GRUClassifier, class_weight=weight).fit(recordings, labels).predict(recordings) == "wave").mean())
        for weight in (None, {"wave": 20.0})
    ]
    assert chosen[1] > chosen[0] + 0.1


@pytest.mark.long
def test_smoothed_labels_keep_probabilities_off_one() -> None:
    recordings, labels = gestures(60)
    highest = [
        quick(GRUClassifier, label_smoothing=share).fit(recordings, labels).predict_proba(recordings).max()
        for share in (0.0, 0.4)
    ]
    assert highest[0] > 0.95 > highest[1]


def test_a_mixture_is_that_of_summaries_and_of_losses_by_the_share_of_each() -> None:
    torch.manual_seed(0)
    net = SequenceNetwork(Architecture(units=5, dropout=0.0), 2, "mean-max", False, torch.zeros(3), 9).eval()
    nn.init.normal_(net.head.weight)
    steps, lengths, truth = torch.randn(4, 9, 2), torch.tensor([9, 3, 5, 1]), torch.tensor([0, 1, 2, 1])
    partner, share = torch.tensor([1, 0, 3, 2]), torch.tensor([0.25, 1.0, 0.5, 0.0])
    summaries = net.pooling(net.encoder.states(steps, lengths, net.embed), lengths)  # of recordings of any length
    mixed = share[:, None] * summaries + (1 - share[:, None]) * summaries[partner]
    outputs = net(steps, lengths, (partner, share)).detach()
    assert torch.allclose(outputs, net.head(mixed), atol=1e-6)
    assert torch.allclose(outputs[3], net(steps[[2]], lengths[[2]])[0], atol=1e-6)  # all of its partner
    loss = CrossEntropy(torch.ones(3))
    entropy = nn.functional.cross_entropy
    each = [float(entropy(outputs[[i]], truth[[i]])) for i in range(4)]
    other = [float(entropy(outputs[[i]], truth[partner[[i]]])) for i in range(4)]
    total, count = loss.loss_of(outputs, SequenceBatch(steps, lengths, truth, (partner, share)))
    expected = sum(float(s) * a + (1 - float(s)) * b for s, a, b in zip(share, each, other, strict=True))
    assert (float(total), float(count)) == (pytest.approx(expected, rel=1e-5), 4.0)


def test_shares_are_drawn_from_the_beta_distribution_and_only_in_training() -> None:
    torch.manual_seed(0)
    values, offsets = np.zeros((4000, 1)), np.arange(4001)
    shares = SequenceDataset(values, offsets, np.zeros(4000, np.int64), mixup=0.4).batch(torch.arange(4000)).mix[1]
    assert float(shares.mean()) == pytest.approx(0.5, abs=0.02)
    assert float(shares.var()) == pytest.approx(1 / (4 * (2 * 0.4 + 1)), abs=0.01)  # of Beta(a, a)
    assert SequenceDataset(values, offsets, np.zeros(4000, np.int64)).batch(torch.arange(4)).mix is None


@pytest.mark.long
def test_mixing_makes_a_classifier_less_certain_and_it_learns_all_the_same() -> None:
    recordings, labels = gestures(60)
    plain, mixed = (
        quick(GRUClassifier, mixup=mixup, label_smoothing=0.0, max_epochs=60, validation=None).fit(recordings, labels)
        for mixup in (0.0, 1.0)
    )
    assert mixed.score(recordings, labels) > 0.9
    assert plain.predict_proba(recordings).max(axis=1).mean() > mixed.predict_proba(recordings).max(axis=1).mean()


@pytest.mark.long
def test_the_temperature_is_learned_on_users_that_validate_and_improves_the_probabilities_of_others(
    tmp_path: Path,
) -> None:
    recordings, labels, users = noisy(160)
    settings = {"label_smoothing": 0.4, "validation": 2}
    seen, held = np.flatnonzero(users < "u6"), np.flatnonzero(users >= "u6")
    data = [recordings[i] for i in seen], labels[seen], users[seen]
    plain, model = (quick(GRUClassifier, **settings, calibrate=each).fit(*data) for each in (False, True))
    assert model.resolved_["temperature"] < 0.9  # smoothed labels make a network less certain than it could be
    assert "temperature" not in plain.resolved_
    assert quick(GRUClassifier, **settings).fit(*data).resolved_["temperature"] == model.resolved_["temperature"]
    odds = [np.log(each.predict_proba(recordings)) for each in (plain, model)]
    differences = [each[:, 1:] - each[:, :1] for each in odds]
    assert np.allclose(differences[0] / model.resolved_["temperature"], differences[1], atol=1e-6)
    own = [recordings[i] for i in held]
    losses = [log_loss(labels[held], each.predict_proba(own), labels=model.classes_) for each in (plain, model)]
    assert losses[1] < losses[0] - 0.02
    assert np.array_equal(model.predict(recordings), plain.predict(recordings))  # the order of classes is the same
    validate = np.flatnonzero((users == "u4") | (users == "u5"))
    outputs = model._outputs(model._read([recordings[i] for i in validate], reset=False))
    codes = np.searchsorted(model.classes_, labels[validate])
    found = Classes(model.classes_).best_temperature(outputs, codes, codes)
    assert found == pytest.approx(model.resolved_["temperature"], rel=1e-6)
    model.save(tmp_path / "model")
    assert np.array_equal(load(tmp_path / "model").predict_proba(recordings), model.predict_proba(recordings))


def test_the_temperature_has_the_lowest_cross_entropy_and_few_right_answers_are_no_certainty() -> None:
    random = np.random.default_rng(0)
    for classes in (2, 5):
        logits = random.normal(size=(4000, classes))
        odds = np.exp(logits)
        truth = (random.random((4000, 1)) > (odds / odds.sum(axis=1, keepdims=True)).cumsum(axis=1)).sum(axis=1)
        outputs = torch.from_numpy(logits[:, 1:] - logits[:, :1] if classes == 2 else logits)
        target = Classes(np.arange(classes))
        for factor in (0.5, 1.0, 3.0):
            assert target.best_temperature(outputs * factor, truth, truth) == pytest.approx(factor, rel=0.08)
        right = 3 * np.eye(classes)[np.arange(6) % classes]
        few = torch.from_numpy(right[:, 1:] - right[:, :1] if classes == 2 else right)
        temperature = target.best_temperature(few, np.arange(6) % classes, truth)
        assert 0.3 < temperature < 2  # and not the lowest
        assert target.best_temperature(few, np.full(6, -1), truth) == 1.0  # steps without labels


@pytest.mark.long
def test_a_temperature_is_kept_when_nothing_of_the_same_classes_validates_and_else_learned_anew() -> None:
    recordings, labels, users = noisy(160)
    model = quick(GRUClassifier, label_smoothing=0.0, calibrate=True).fit(recordings, labels, users)
    kept = model.fine_tune(recordings[:6], labels[:6], validation=None, max_epochs=1)
    assert kept.resolved_["temperature"] == model.resolved_["temperature"]
    new = model.fine_tune(recordings[:6], labels[:6], validation=None, max_epochs=1, head="new")
    assert "temperature" not in new.resolved_
    again = model.fine_tune(*noisy(80, seed=1), max_epochs=1)
    assert again.resolved_["temperature"] != model.resolved_["temperature"]
    assert "temperature" not in model.fine_tune(recordings, labels, users, max_epochs=1, calibrate=False).resolved_


@pytest.mark.long
def test_calibration_without_recordings_that_validate_is_refused() -> None:
    recordings, labels = gestures(12)
    message = (
        "calibrate=True must have recordings that validate: got none of 12, with validation=None; raise validation, or "
        "use calibrate=False"
    )
    with pytest.raises(DataError, match=message):
        quick(GRUClassifier, calibrate=True, validation=None).fit(recordings, labels)
    assert "temperature" not in quick(GRUClassifier, validation=None).fit(recordings, labels).resolved_
    majority = quick(GRUClassifier, calibrate=True, max_epochs=0).fit(recordings, labels)
    assert majority.resolved_["temperature"] == 1.0  # shares of classes as they are
    with pytest.raises(ParameterError, match="calibrate must be one of 'auto', True, False: got 'temperature'"):
        quick(GRUClassifier, calibrate="temperature").fit(recordings, labels)


@pytest.mark.long
@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_scikit_learn_calibrates_a_network(method: str) -> None:
    recordings, labels, _ = noisy(90)
    array = np.stack([np.resize(one, (20, 2)) for one in recordings])
    inside = CalibratedClassifierCV(quick(GRUClassifier), method=method, cv=2).fit(array, labels)
    fitted = quick(GRUClassifier).fit(array[:60], labels[:60])
    after = CalibratedClassifierCV(FrozenEstimator(fitted), method=method).fit(array[60:], labels[60:])
    for model in (inside, after):
        found = model.predict_proba(array)
        assert np.allclose(found.sum(axis=1), 1)
        assert not np.allclose(found, fitted.predict_proba(array), atol=1e-3)
        assert model.score(array, labels) > 0.5
