"""A network classifier sees training recordings only, begins as the majority, and reads each recording alone."""

from __future__ import annotations

import re
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.helpers.classifiers import QUICK, gestures, quick
from tests.helpers.forecasters import options
from tsforecast.errors import DataError, ParameterError, TrainingError
from tsforecast.estimators import network as training
from tsforecast.estimators.persistence import load
from tsforecast.sequences.baselines import MajorityClassifier
from tsforecast.sequences.classifier import Classifier
from tsforecast.sequences.network import validation_mask
from tsforecast.sequences.neural import Conv1DClassifier, GRUClassifier, LSTMClassifier, NeuralClassifier
from tsforecast.sequences.targets import class_weights


@pytest.mark.thorough
@pytest.mark.parametrize(("pooling", "segment"), [("mean-max", 1), ("attention", 1), ("last", 3)])
def test_what_is_said_does_not_depend_on_batch_mates_order_or_lengths_to_the_bit(
    network: type[Classifier], pooling: str, segment: int
) -> None:
    recordings, labels = gestures(150)
    model = network(units=64, layers=2, max_epochs=1, random_state=0, pooling=pooling, segment=segment, refit=False)
    together = model.fit(recordings, labels).predict_proba(recordings)
    order = np.random.default_rng(1).permutation(150)
    assert np.array_equal(model.predict_proba([recordings[i] for i in order]), together[order])
    for i in range(0, 150, 10):
        assert np.array_equal(model.predict_proba([recordings[i]]), together[[i]])
    assert np.array_equal(model.predict_proba(recordings[37:118]), together[37:118])
    longer = [np.vstack([one, one, one]) for one in recordings]
    assert np.array_equal(model.predict_proba([*longer, *recordings])[150:], together)


@pytest.mark.sample(3)
@pytest.mark.parametrize(("both", "norm"), [(True, "layer"), (False, "batch")])
@pytest.mark.parametrize("segment", [1, 3])
@pytest.mark.parametrize("pooling", options(NeuralClassifier, "pooling"))
def test_padding_in_a_training_batch_is_not_read(
    network: type[Classifier], pooling: str, segment: int, both: bool, norm: str
) -> None:
    recordings, labels = gestures(12)
    model = quick(network, pooling=pooling, segment=segment, bidirectional=both, norm=norm, max_epochs=2)
    net = model.fit(recordings, labels).network_.eval()
    lengths = torch.tensor([len(one) for one in recordings])
    padded = torch.full((12, 40, 2), 1e3)  # what follows a recording may be anything
    for i, one in enumerate(recordings):
        padded[i, : len(one)] = torch.from_numpy(one - 5)
    with torch.no_grad():
        alone = torch.cat([net(padded[[i], :length]) for i, length in enumerate(lengths.tolist())])
        assert torch.allclose(net(padded, lengths), alone, atol=1e-5)


def test_batch_statistics_in_training_are_those_of_the_steps_of_sequences(network: type[Classifier]) -> None:
    recordings, labels = gestures(12)
    net = quick(network, norm="batch", dropout=0.0, max_epochs=1).fit(recordings, labels).network_
    lengths = torch.tensor([len(one) for one in recordings])
    statistics = []
    for longest, padding in [(int(lengths.max()), 0.0), (40, 0.0), (40, 1e3)]:
        padded = torch.full((12, longest, 2), padding)
        for i, one in enumerate(recordings):
            padded[i, : len(one)] = torch.from_numpy(one - 5)
        copy = deepcopy(net).train()
        copy(padded, lengths)
        statistics.append([buffer for name, buffer in copy.named_buffers() if "running" in name])
    for other in statistics[1:]:
        assert all(torch.allclose(*pair, atol=1e-5) for pair in zip(statistics[0], other, strict=True))


def test_with_batch_norm_a_prediction_does_not_depend_on_batch_mates(network: type[Classifier]) -> None:
    recordings, labels = gestures(40)
    model = quick(network, norm="batch", max_epochs=2).fit(recordings, labels)
    together = model.predict_proba(recordings)
    for i in range(0, 40, 7):
        assert np.array_equal(model.predict_proba([recordings[i]]), together[[i]])
    single = quick(network, norm="batch", max_epochs=1, batch_size=1, kernel_size=1, validation=None)
    assert np.isfinite(single.fit([one[:1] for one in recordings[:6]], labels[:6]).predict_proba(recordings)).all()


def test_an_untrained_network_is_the_majority_classifier(network: type[Classifier]) -> None:
    for classes in (2, 3):
        recordings, labels = gestures(31, classes)
        model = quick(network, max_epochs=0, validation=None).fit(recordings, labels)
        naive = MajorityClassifier().fit(recordings, labels)
        assert np.allclose(model.predict_proba(recordings), naive.predict_proba(recordings), atol=1e-6)
        assert model.history_[0].skill is None


def test_automatic_epochs_make_1200_steps_within_limits() -> None:
    epochs = {
        steps: NeuralClassifier(max_epochs="auto", batch_size=32).epochs(32 * steps)
        for steps in (1, 3, 4, 9, 89, 100, 109, 200)
    }
    assert epochs == {1: 300, 3: 300, 4: 300, 9: 134, 89: 14, 100: 12, 109: 12, 200: 12}


@pytest.mark.thorough
def test_skill_is_what_is_removed_of_the_loss_of_the_majority() -> None:
    recordings, labels = gestures(60)
    history = quick(GRUClassifier).fit(recordings, labels).history_
    assert history[0].skill == 0
    assert history[-1].skill == pytest.approx(1 - history[-1].valid_loss / history[0].valid_loss)
    assert history[0].valid_loss == pytest.approx(np.log(3), rel=1e-3)


def test_two_classes_have_one_logit_and_more_have_one_each() -> None:
    for classes, logits in ((2, 1), (3, 3)):
        recordings, labels = gestures(20, classes)
        assert quick(GRUClassifier, max_epochs=1).fit(recordings, labels).network_.head.out_features == logits


def test_recordings_that_validate_choose_no_scale_and_no_share() -> None:
    recordings, labels = gestures(40)
    users = np.repeat(["ann", "bob"], 20)
    spoiled = [one if i < 20 else one * 100 for i, one in enumerate(recordings)]
    models = [
        quick(GRUClassifier, max_epochs=2, validation=1).fit(data, labels, groups=users)
        for data in (recordings, spoiled)
    ]
    assert np.array_equal(models[0].scaling_.location, models[1].scaling_.location)
    assert np.allclose(models[0].scaling_.location[0], np.concatenate(recordings[:20]).mean(axis=0))
    first = [[epoch.train_loss for epoch in model.history_] for model in models]
    assert first[0] == first[1]


def test_groups_validate_as_wholes_and_else_each_class_alike() -> None:
    labels = np.repeat([0, 1, 2], [20, 40, 3])
    count, mask = validation_mask(labels, None, 0.25, np.random.default_rng(0))
    assert count == 16
    assert [int(mask[labels == label].sum()) for label in range(3)] == [5, 10, 1]
    users = np.tile(["ann", "bob", "cem"], 21)
    count, mask = validation_mask(labels, users, 0.25, np.random.default_rng(0))
    assert (count, set(users[mask])) == (1, {"cem"})
    assert validation_mask(labels, users, None, np.random.default_rng(0))[0] == 0
    assert validation_mask(np.array([0, 1]), None, 0.5, np.random.default_rng(0))[0] == 0  # each class keeps one


def test_balanced_classes_weigh_alike_and_a_recording_one_in_the_mean() -> None:
    labels = np.array([0, 0, 0, 1])
    assert class_weights("balanced", np.array(["a", "b"]), labels) == pytest.approx([2 / 3, 2])
    assert class_weights({"b": 5.0}, np.array(["a", "b"]), labels) == pytest.approx([0.5, 2.5])


def test_refit_learns_from_all_recordings_for_as_many_epochs_as_were_best(monkeypatch: pytest.MonkeyPatch) -> None:
    recordings, labels = gestures(40)
    seen = []
    true = training.train

    def spied(net: nn.Module, examples: object, validation: object, *rest: object) -> object:
        seen.append((len(examples), validation is not None, rest[1].epochs))
        return true(net, examples, validation, *rest)

    monkeypatch.setattr(training, "train", spied)
    model = quick(GRUClassifier, max_epochs=4, refit=True).fit(recordings, labels)
    held = model.resolved_["validation"]
    assert seen == [(40 - held, True, 4), (40, False, model.resolved_["best_epoch"])]


def test_faulty_groups_are_explained() -> None:
    recordings, labels = gestures(12)
    with pytest.raises(DataError, match=r"groups must be two at least, one to train on .* got 1 group, 'ann', for all"):
        quick(GRUClassifier).fit(recordings, labels, groups=["ann"] * 12)
    assert quick(GRUClassifier, validation=None, max_epochs=1).fit(recordings, labels, groups=["ann"] * 12)
    users = np.where(labels == "wave", "bob", "ann")
    with pytest.raises(DataError, match=r"without the groups that validate \('bob'\) 1 of 3 classes have none"):
        quick(GRUClassifier).fit(recordings[:2] + recordings, [*labels[:2], *labels], groups=["ann", "ann", *users])
    with pytest.raises(DataError, match="validation must leave a group to train on: takes 2 of 2 groups"):
        quick(GRUClassifier, validation=2).fit(recordings, labels, groups=users)
    with pytest.raises(DataError, match="validation must leave recordings to train on: takes 12 of 12"):
        quick(GRUClassifier, validation=12).fit(recordings, labels)


def test_all_faulty_settings_are_named_at_once() -> None:
    recordings, labels = gestures(12)
    model = NeuralClassifier(
        cell="grru", pooling="men", augment={"jiter": 0.1, "scale": -1}, label_smoothing=1.0, norm="bach",
        class_weight={"line": 0}, max_epochs="many", segment="all", scaler="standrad",
    )  # fmt: skip
    with pytest.raises(ParameterError) as caught:
        model.fit(recordings, labels)
    said = str(caught.value)
    for sentence in (
        "cell must be one of 'rnn', 'gru', 'lstm', 'conv1d', 'auto': got 'grru'; did you mean 'gru'?",
        "pooling must be one of 'mean', 'max', 'mean-max', 'last', 'attention': got 'men'; did you mean 'mean'?",
        "augment has no part 'jiter'; did you mean 'jitter'?",
        "augment 'scale' must be a number in [0, 10): got -1",
        "label_smoothing must be a number in [0, 1): got 1.0",
        "norm must be one of 'layer', 'batch', None: got 'bach'; did you mean 'batch'?",
        "class_weight of 'line' must be a number in (0, inf): got 0",
        "max_epochs must be a whole number >= 0 or 'auto': got 'many'",
        "segment must be a whole number >= 1 or 'auto': got 'all'",
        "scaler must be one of 'standard', 'min-max', 'robust': got 'standrad'; did you mean 'standard'?",
    ):
        assert sentence in said
    assert len(caught.value.problems) == 10
    with pytest.raises(TypeError, match=re.escape("GRUClassifier has no setting 'unit'; did you mean 'units'?")):
        GRUClassifier(unit=3)
    with pytest.raises(DataError, match=r"augment 'rotation' must have channels in threes.* got 2; leave rotation out"):
        quick(GRUClassifier, augment="motion").fit(recordings, labels)


@pytest.mark.long
def test_training_goes_on_from_a_checkpoint_to_the_same_weights(tmp_path: Path) -> None:
    recordings, labels = gestures(30)
    whole = quick(LSTMClassifier, max_epochs=4, refit=True).fit(recordings, labels)

    def stop(epoch: object) -> None:
        if epoch.number == 2:
            raise RuntimeError("power cut")

    cut = quick(LSTMClassifier, max_epochs=4, refit=True)
    with pytest.raises(RuntimeError, match="power cut"):
        cut.fit(recordings, labels, checkpoint=tmp_path / "kept", on_epoch=stop)
    again = quick(LSTMClassifier, max_epochs=4, refit=True).fit(recordings, labels, resume_from=tmp_path / "kept")
    assert np.array_equal(again.predict_proba(recordings), whole.predict_proba(recordings))
    with pytest.raises(ParameterError, match="a fit must resume with the labels it began with"):
        quick(LSTMClassifier, max_epochs=4, refit=True).fit(recordings, labels[::-1], resume_from=tmp_path / "kept")


def test_the_same_random_state_gives_the_same_weights_and_augmentation_other_ones() -> None:
    recordings, labels = gestures(30)
    said = [
        quick(Conv1DClassifier, max_epochs=3, augment=augment).fit(recordings, labels).predict_proba(recordings)
        for augment in (None, None, {"jitter": 0.1, "crop": 0.2})
    ]
    assert np.array_equal(said[0], said[1])
    assert not np.array_equal(said[0], said[2])


@pytest.mark.long
def test_a_loss_that_is_no_number_names_the_recordings_and_leaves_the_majority() -> None:
    recordings, labels = gestures(12)
    model = NeuralClassifier(**QUICK | {"learning_rate": 9.0, "optimizer": "sgd", "clip": None, "max_epochs": 300})
    model.set_params(scaler=None)
    with pytest.raises(TrainingError, match=r"on a batch from sequence '0'"):
        model.fit([1e30 * one for one in recordings], labels)
    assert np.isfinite(model.predict_proba(recordings)).all()


def test_long_recordings_are_read_in_forty_segments_and_short_ones_step_by_step(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    labels = np.arange(8) % 2
    for steps, segment in ((30, 1), (80, 2), (200, 5)):
        model = quick(GRUClassifier, max_epochs=1).fit(random.normal(size=(8, steps)), labels)
        assert model.resolved_["segment"] == model.network_.architecture.segment == segment
    tuned = model.fine_tune(random.normal(size=(8, 200)), labels, max_epochs=1)
    assert tuned.resolved_["segment"] == 5
    for kept in (model, tuned):
        kept.save(tmp_path / "model")
        X = random.normal(size=(3, 200))
        assert np.array_equal(load(tmp_path / "model").predict_proba(X), kept.predict_proba(X))
    each = quick(GRUClassifier, max_epochs=1, output="step").fit(
        [random.normal(size=200)] * 4, [np.arange(200) % 2] * 4
    )
    assert each.resolved_["segment"] == 1


@pytest.mark.long
def test_the_cell_is_chosen_by_the_loss_on_validation_and_kept(tmp_path: Path) -> None:
    recordings, labels = gestures(48)
    settings = QUICK | {"cell": "auto", "validation": 0.25, "max_epochs": 12}
    seen: list[int] = []
    model = NeuralClassifier(**settings).fit(recordings, labels, on_epoch=lambda epoch: seen.append(epoch.number))
    losses = model.resolved_["cell_losses"]
    single = {cell: NeuralClassifier(**settings | {"cell": cell}).fit(recordings, labels) for cell in losses}
    assert losses == {cell: min(e.valid_loss for e in one.history_) for cell, one in single.items()}
    best = min(losses, key=lambda cell: losses[cell])
    assert model.resolved_["cell"] == best == model.network_.architecture.cell
    assert np.array_equal(model.predict_proba(recordings), single[best].predict_proba(recordings))
    assert seen == 2 * list(range(13))
    model.save(tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert np.array_equal(loaded.predict_proba(recordings), model.predict_proba(recordings))
    tuned = model.fine_tune(recordings[:6], labels[:6], max_epochs=1)
    tuned.save(tmp_path / "tuned")
    assert load(tmp_path / "tuned").network_.architecture.cell == best
    with pytest.raises(DataError, match="cell='auto' must have recordings that validate: got none of 48"):
        NeuralClassifier(**settings | {"validation": None}).fit(recordings, labels)
