"""Labels of steps: read in any form, learned in pieces, answered for recordings as wholes, and causal where asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.model_selection import GridSearchCV, cross_val_score

from tests.helpers.classifiers import NETWORKS, quick
from tsforecast.data.panel import Panel
from tsforecast.data.splits import LeaveGroupsOut
from tsforecast.errors import DataError, DataWarning, ParameterError
from tsforecast.estimators.persistence import load
from tsforecast.networks.encoders import use_kernels, uses_kernels
from tsforecast.search.search import RaySearch
from tsforecast.sequences.baselines import MajorityClassifier
from tsforecast.sequences.classifier import Classifier
from tsforecast.sequences.ensemble import EnsembleClassifier
from tsforecast.sequences.neural import Conv1DClassifier, GRUClassifier, LSTMClassifier
from tsforecast.sequences.rocket import RocketClassifier
from tsforecast.sequences.steps import in_pieces, step_labels
from tsforecast.training.batches import Augmentation, SequenceDataset

NAMES = np.array(["rest", "run", "walk"])


def activities(count: int = 6, steps: int = 120, seed: int = 0) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return recordings of two channels in which three activities follow each other, and the one at each step."""
    random = np.random.default_rng(seed)
    recordings, labels = [], []
    for i in range(count):
        length = steps + 7 * i
        codes = np.repeat([*range(3), *random.integers(0, 3, size=length // 20)], 20)[:length]
        level = codes[:, None] - 1.0 + np.array([0.0, 3.0])
        recordings.append(5 + level + 0.3 * random.normal(size=(length, 2)))
        labels.append(NAMES[codes])
    return recordings, labels


@pytest.fixture(scope="module")
def fitted() -> Classifier:
    recordings, labels = activities()
    return quick(GRUClassifier, output="step", piece=40, max_epochs=15, batch_size=4).fit(recordings, labels)


@pytest.mark.long
@pytest.mark.parametrize("cls", NETWORKS)
def test_every_network_learns_a_label_for_each_step_and_answers_for_each(cls: type[Classifier]) -> None:
    recordings, labels = activities()
    model = quick(cls, output="step", piece=40, max_epochs=15, batch_size=4).fit(recordings, labels)
    unseen, truth = activities(2, steps=90, seed=9)
    predicted, probabilities = model.predict(unseen), model.predict_proba(unseen)
    assert [one.shape for one in predicted] == [(90,), (97,)]
    assert [one.shape for one in probabilities] == [(90, 3), (97, 3)]
    assert np.allclose(probabilities[0].sum(axis=1), 1)
    right = np.concatenate([a == b for a, b in zip(predicted, truth, strict=True)])
    assert model.score(unseen, truth) == pytest.approx(right.mean())
    assert right.mean() > 0.9
    assert model.classes_.tolist() == NAMES.tolist()


def test_the_majority_of_steps_is_predicted_at_each_step() -> None:
    model = MajorityClassifier(output="step").fit([np.zeros(4), np.zeros(2)], [["a", "b", "b", None], ["", "b"]])
    assert model.shares_.tolist() == [0.25, 0.75]
    assert [one.tolist() for one in model.predict([np.ones(2), np.ones(3)])] == [["b", "b"], ["b", "b", "b"]]
    assert model.score([np.ones(3)], [["b", None, "a"]]) == 0.5


@pytest.mark.long
def test_steps_without_a_label_are_not_learned_from_and_not_scored(fitted: Classifier) -> None:
    recordings, labels = activities()
    gaps: list[Any] = [one.astype(object) for one in labels]
    other: list[Any] = [one.astype(object) for one in labels]
    for mine, theirs in zip(gaps, other, strict=True):
        mine[30:50], theirs[30:50] = None, ["", np.nan] * 10
    spoiled = [one.copy() for one in recordings]
    models = [quick(GRUClassifier, output="step", max_epochs=2).fit(spoiled, each) for each in (gaps, other)]
    assert np.array_equal(*(np.concatenate(model.predict_proba(recordings)) for model in models))
    full = quick(GRUClassifier, output="step", max_epochs=2).fit(recordings, labels)
    assert full.history_[1].train_loss != models[0].history_[1].train_loss
    wrong = [np.where(one == None, "walk", one) for one in gaps]  # noqa: E711
    assert fitted.score(recordings, gaps) > fitted.score(recordings, wrong)


def test_arrays_of_one_length_are_answered_by_arrays() -> None:
    recordings, labels = activities(4)
    X = np.stack([one[:100, 0] for one in recordings])
    y = np.stack([one[:100] for one in labels])
    model = quick(GRUClassifier, output="step", max_epochs=1).fit(X, y)
    assert model.predict(X).shape == (4, 100)
    assert model.predict_proba(X).shape == (4, 100, 3)
    assert model.predict([X[0], X[1, :7]])[1].shape == (7,)


def table(recordings: list[np.ndarray], labels: list[Any]) -> Panel:
    """Return a table with the labels of steps as a column, and users."""
    parts = [
        pd.DataFrame({"id": f"r{i}", "user": f"u{i % 3}", "x": one[:, 0], "y": one[:, 1], "activity": label})
        for i, (one, label) in enumerate(zip(recordings, labels, strict=True))
    ]
    frame = pd.concat(parts, ignore_index=True)
    frame["step"] = frame.groupby("id").cumcount()
    return Panel.from_frame(frame, id="id", time="step", target=["x", "y"], past="activity", group="user")


@pytest.mark.long
def test_a_column_of_a_panel_holds_the_labels_and_is_no_channel() -> None:
    recordings, labels = activities()
    some: list[Any] = [one.astype(object) for one in labels]
    some[0][:5] = None
    panel, users = table(recordings, some), [f"u{i % 3}" for i in range(6)]
    model = quick(GRUClassifier, output="step", max_epochs=2).fit(panel, "activity")
    assert (model.channels_, model.columns_, model.label_column_) == (2, ("x", "y"), "activity")
    assert model.resolved_["validated_by"] == "groups"
    plain = quick(GRUClassifier, output="step", max_epochs=2).fit(recordings, some, groups=users)
    with_column, without = model.predict_proba(panel), model.predict_proba(panel.without("activity"))
    for one, other, third in zip(with_column, without, plain.predict_proba(recordings), strict=True):
        assert np.array_equal(one, other)
        assert np.allclose(one, third, atol=1e-6)
    assert model.score(panel, "activity") == pytest.approx(plain.score(recordings, some))
    with pytest.raises(DataError, match="must have a column 'activty' with a label for each step; did you mean"):
        quick(GRUClassifier, output="step").fit(panel, "activty")


def test_a_column_of_numbers_may_hold_the_labels_and_gaps() -> None:
    recordings, labels = activities()
    codes = [np.searchsorted(NAMES, one).astype(float) for one in labels]
    codes[1][3:9] = np.nan
    values = np.concatenate([np.column_stack(pair) for pair in zip(recordings, codes, strict=True)])
    frame = pd.DataFrame(values, columns=["x", "y", "kind"])
    frame["id"] = np.repeat(np.arange(6), list(map(len, codes)))
    panel = Panel.from_frame(frame, id="id", time=False, target=["kind", "x", "y"], nan_policy="mask")
    model = quick(GRUClassifier, output="step", max_epochs=1).fit(panel, "kind")
    assert model.columns_ == ("x", "y")
    assert model.classes_.tolist() == [0, 1, 2]


@pytest.mark.long
@pytest.mark.parametrize("cls", [GRUClassifier, LSTMClassifier, Conv1DClassifier])
@pytest.mark.parametrize("kernels", [False, True])
def test_without_a_second_direction_no_answer_depends_on_later_steps(cls: type[Classifier], kernels: bool) -> None:
    recordings, labels = activities()
    settings = {
        "output": "step",
        "max_epochs": 2,
        "batch_size": 2,
        "validation": None,
        "differences": True,
        "norm": "batch",
        "layers": 2,
    }
    models = [quick(cls, bidirectional=both, **settings).fit(recordings, labels) for both in (False, True)]
    changed = recordings[0].copy()
    changed[60:] = changed[60:][::-1] * 3 - 40
    for model, causal in zip(models, (True, False), strict=True):
        use_kernels(model.network_, kernels)
        one, other, begin = (model.predict_proba([x])[0] for x in (recordings[0], changed, recordings[0][:60]))
        assert (np.abs(one[:60] - other[:60]).max() < 1e-9) == causal
        assert (np.abs(one[:60] - begin).max() < 1e-6) == causal
        assert np.abs(one[60:] - other[60:]).max() > 1e-3


def test_an_answer_does_not_depend_on_the_other_recordings(fitted: Classifier) -> None:
    recordings, _ = activities(4, seed=3)
    together = fitted.predict_proba([recordings[0], recordings[1][:50], *recordings])
    assert np.array_equal(together[0], fitted.predict_proba(recordings[:1])[0])
    assert np.array_equal(together[1], fitted.predict_proba([recordings[1][:50]])[0])


def test_kernels_answer_as_torch_does(fitted: Classifier) -> None:
    recordings, _ = activities(3, seed=3)
    answers, before = [], uses_kernels(fitted.network_)
    for kernels in (False, True):
        use_kernels(fitted.network_, kernels)
        answers.append(np.concatenate(fitted.predict_proba(recordings)))
    use_kernels(fitted.network_, before)
    assert np.allclose(*answers, atol=1e-5)


@pytest.mark.long
def test_segments_answer_for_each_of_their_steps() -> None:
    recordings, labels = activities()
    model = quick(GRUClassifier, output="step", segment=4, piece=40, max_epochs=20, batch_size=4).fit(
        recordings, labels
    )
    assert [len(one) for one in model.predict(recordings)] == [len(one) for one in recordings]
    assert model.score(recordings, labels) > 0.8


def panel_of(lengths: list[int]) -> Panel:
    return Panel.from_array([np.zeros(length) for length in lengths])


def test_pieces_are_equal_parts_of_one_recording_each() -> None:
    cut = in_pieces(panel_of([10, 25]), np.zeros(35, dtype=np.int64), None, None, 10, np.random.default_rng(0))
    assert cut.panel.lengths.tolist() == [10, 8, 9, 8]
    assert cut.panel.ids.tolist() == [0, 1, 1, 1]
    assert (cut.count, cut.by, cut.validates.any()) == (0, "none", False)


def test_groups_validate_as_wholes_then_recordings_and_else_the_last_steps() -> None:
    random, codes = np.random.default_rng(0), np.tile([0, 1, -1, 1], 20)
    panel = panel_of([20] * 4)
    groups = in_pieces(panel, codes, np.array(["a", "b", "a", "b"]), 0.5, 10, random)
    assert (groups.by, groups.count) == ("groups", 1)
    assert groups.panel.ids[groups.validates].tolist() == [1, 1, 3, 3]
    recordings = in_pieces(panel, codes, None, 0.25, 10, random)
    assert (recordings.by, recordings.count) == ("recordings", 1)
    assert len(set(recordings.panel.ids[recordings.validates].tolist())) == 1
    few = in_pieces(panel, codes, None, 0.1, 10, random)
    assert (few.by, few.count) == ("last steps", 4)
    assert few.panel.lengths.tolist() == [9, 9, 2] * 4
    assert few.validates.tolist() == [False, False, True] * 4
    alone = in_pieces(panel_of([80]), codes, None, 0.25, 30, random)
    assert alone.panel.lengths[alone.validates].tolist() == [20]
    assert (alone.panel.offsets[:-1][alone.validates] >= 60).all()
    own = np.repeat([0, 1, 2, 3], 20)  # each recording has a class that no other has
    assert in_pieces(panel, own, None, 0.25, 10, random).by == "last steps"
    with pytest.raises(DataError, match="without the last steps of each recording, which validate, 1 of 2 classes has"):
        in_pieces(panel_of([10]), np.array([0] * 8 + [1] * 2), None, 0.3, 10, random)
    with pytest.raises(DataError, match="without the last groups, which validate, 2 of 4 classes have none"):
        in_pieces(panel, own, np.array(["a", "a", "b", "b"]), 1, 10, random)
    with pytest.raises(DataError, match="validation must leave a group to train on: takes 1 of 1 group"):
        in_pieces(panel, codes, np.array(["a"] * 4), 1, 10, random)
    with pytest.raises(DataError, match="validation must leave recordings to train on: takes 4 of 4"):
        in_pieces(panel, codes, None, 4, 10, random)


def test_one_recording_alone_is_enough_and_its_last_steps_choose_the_epoch() -> None:
    recordings, labels = activities(1, steps=300)
    model = quick(GRUClassifier, output="step", piece=50, max_epochs=3).fit(recordings, labels)
    assert model.resolved_["validated_by"] == "last steps"
    assert model.history_[-1].valid_loss is not None
    assert model.scaled_on_["steps"] == 255  # the last 15 % are not scaled on


def test_classes_weigh_by_step() -> None:
    recordings, labels = activities()
    rare = [np.where((one == "run") & (np.arange(len(one)) % 4 > 0), "walk", one) for one in labels]
    model = quick(GRUClassifier, output="step", class_weight="balanced", max_epochs=0, validation=None)
    model.fit(recordings, rare)
    assert np.allclose(model.predict_proba(recordings)[0], 1 / 3, atol=1e-6)
    target = model._target()
    codes = np.searchsorted(NAMES, np.concatenate(rare))
    weights = target.loss(np.append(codes, -1)).weights.numpy()
    assert weights[codes].mean() == pytest.approx(1, abs=1e-5)
    assert weights * np.bincount(codes) == pytest.approx([len(codes) / 3] * 3, rel=1e-5)


@pytest.mark.parametrize("part", [{"time_warp": 0.3}, {"crop": 0.4}, {"jitter": 0.1}])
def test_labels_go_with_the_steps_that_are_resampled(part: dict[str, float]) -> None:
    torch.manual_seed(0)
    lengths = np.array([30, 50, 41])
    offsets = np.cumsum([0, *lengths])
    codes = np.arange(offsets[-1]) // 7
    data = SequenceDataset(codes[:, None] * 10.0, offsets, codes, augmentation=Augmentation(**part), at_steps=True)
    batch = data.batch(torch.arange(3))
    ends = batch.lengths if batch.lengths is not None else torch.full((3,), batch.steps.shape[1])
    for steps, truth, end in zip(batch.steps, batch.truth, ends.tolist(), strict=True):
        assert (steps[:end, 0] / 10 - truth[:end]).abs().max() <= 0.5 + 1e-4  # the nearest one
        assert (truth[end:] == -1).all()


@pytest.mark.long
def test_a_model_of_steps_is_saved_tuned_and_resumed(fitted: Classifier, tmp_path: Path) -> None:
    recordings, labels = activities(3, seed=4)
    fitted.save(tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert loaded.output == "step"
    assert np.array_equal(*(np.concatenate(m.predict_proba(recordings)) for m in (fitted, loaded)))
    tuned = fitted.fine_tune(recordings, labels, max_epochs=1)
    assert not np.array_equal(*(np.concatenate(m.predict_proba(recordings)) for m in (fitted, tuned)))
    others = [np.where(one == "rest", "jump", "walk") for one in labels]
    fresh = fitted.fine_tune(recordings, others, head="new", max_epochs=0, validation=None)
    naive = MajorityClassifier(output="step").fit(recordings, others).predict_proba(recordings)
    assert np.allclose(fresh.predict_proba(recordings)[0], naive[0], atol=1e-6)
    with pytest.raises(DataError, match=r"labels that were fitted: 1 was not, 'jump' \(\d+ steps\)"):
        fitted.fine_tune(recordings, others)
    with pytest.raises(ParameterError, match="output belongs to the fitted network and cannot change"):
        fitted.fine_tune(recordings, labels, output="recording")

    def stop(epoch: Any) -> None:
        if epoch.number == 2:
            raise RuntimeError("power cut")

    whole = quick(GRUClassifier, output="step", max_epochs=3).fit(recordings, labels)
    with pytest.raises(RuntimeError, match="power cut"):
        quick(GRUClassifier, output="step", max_epochs=3).fit(
            recordings, labels, checkpoint=tmp_path / "kept", on_epoch=stop
        )
    again = quick(GRUClassifier, output="step", max_epochs=3).fit(recordings, labels, resume_from=tmp_path / "kept")
    assert np.array_equal(*(np.concatenate(m.predict_proba(recordings)) for m in (whole, again)))


def test_what_cannot_be_used_is_refused_in_a_sentence(fitted: Classifier) -> None:
    X = [np.zeros(3), np.zeros(2)]
    lengths = np.array([3, 2])
    for y, sentence in (
        (None, "the target y is None: give a label for each step"),
        (["a", "b"], "recording 0 has one label, 'a'; give a .T,. array for each recording, or use output='recording'"),
        ([["a", "b", "c"]], "must have the labels of each recording: got 1 for 2 recordings"),
        ([["a", "b"], ["c", "d"]], r"got shape \(2,\) for the 3 steps of recording 0"),
        ([[None, "", "nan"[:0]], [float("nan"), None]], "must have labelled steps: none of 5 has a label"),
        ([["a", "b", "c"], [1, 2]], "labels must be texts or numbers, not both: got 'a', 1"),
        ("activity", "must be a list of .T,. arrays, one for each recording: got 'activity'"),
    ):
        with pytest.raises(DataError, match=sentence):
            step_labels(y, lengths)
    with pytest.raises(ValueError, match="continuous"):
        step_labels([[0.5, 0.25, 1.0], [1.0, 2.0]], lengths)
    with pytest.raises(DataError, match="got 1 class, 'a', for all 5 steps; give steps of another class as well"):
        MajorityClassifier(output="step").fit(X, [["a"] * 3, ["a"] * 2])
    with pytest.raises(ParameterError) as caught:
        GRUClassifier(output="step", bidirectional=False, segment=2, pooling="max", mixup=0.5, piece=0).fit(
            X, [[0, 1, 1], [0, 1]]
        )
    assert [sentence[:60] for sentence in caught.value.problems] == [
        "piece must be a whole number >= 1 or 'auto': got 0",
        "pooling must be left out with output='step', which sums noth",
        "mixup must be 0 with output='step', which sums nothing up ov",
        "segment must be 1 with output='step' and bidirectional=False",
    ]
    with pytest.warns(DataWarning, match=r"fitted count as wrong: 'jump' \(1 step\); leave those out: \"\" is no"):
        assert fitted.score([np.zeros((2, 2))], [["jump", "walk"]]) <= 0.5
    for model in (GRUClassifier(), RocketClassifier()):
        with pytest.raises(DataError, match="one label for each recording: the first has 3; give several as a table"):
            model.fit(X, [["a", "b", "a"], ["b", "a"]])
    with pytest.raises(ParameterError, match="an ensemble must answer for recordings: got one with output='step'"):
        EnsembleClassifier([GRUClassifier(output="step")]).fit(X, ["a", "b"])
    with pytest.raises(DataError, match="one label for each recording in a search: got labels of steps; use scikit-le"):
        RaySearch(MajorityClassifier(output="step"), {}).fit(X, [["a", "b", "a"], ["b", "a"]])
    alone = Panel.from_frame(pd.DataFrame({"kind": [0.0, 1.0]}), time=False, target="kind")
    with pytest.raises(DataError, match="must have a channel besides their labels: the panel has the column 'kind'"):
        MajorityClassifier(output="step").fit(alone, "kind")


@pytest.mark.thorough
def test_scikit_learn_validates_and_searches_over_users() -> None:
    recordings, labels = activities()
    users = np.repeat(["ann", "bob", "cem"], 2)
    model = quick(GRUClassifier, output="step", max_epochs=1, units=4, batch_size=4)
    scores = cross_val_score(model, recordings, labels, groups=users, cv=LeaveGroupsOut())
    assert scores.shape == (3,)
    assert np.isfinite(scores).all()
    search = GridSearchCV(model, {"max_epochs": [0, 9]}, cv=LeaveGroupsOut()).fit(recordings, labels, groups=users)
    assert search.best_params_ == {"max_epochs": 9}


@pytest.mark.long
@pytest.mark.parametrize("settings", [{"ordinal": True}, {"calibrate": True}, {"focal": 2.0}, {"head_layers": 2}])
def test_other_settings_of_classifiers_go_with_labels_of_steps(settings: dict[str, Any]) -> None:
    recordings, labels = activities()
    labels[0] = np.where(np.arange(len(labels[0])) % 5, labels[0], "")
    model = quick(GRUClassifier, output="step", piece=40, max_epochs=15, batch_size=4, **settings)
    assert model.fit(recordings, labels).score(recordings, labels) > 0.8
