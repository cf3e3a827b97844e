"""Every classifier takes recordings in every form, answers alike, and says what is wrong with them."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import cross_val_score

from tests.helpers.classifiers import gestures, quick
from tsforecast.data.panel import Panel
from tsforecast.data.splits import LeaveGroupsOut
from tsforecast.errors import DataError, DataWarning, ParameterError
from tsforecast.estimators.base import NotFittedError
from tsforecast.sequences.baselines import MajorityClassifier
from tsforecast.sequences.classifier import Classifier
from tsforecast.sequences.neural import GRUClassifier


def as_panel(recordings: list[np.ndarray], labels: np.ndarray, users: np.ndarray) -> Panel:
    frame = pd.concat(
        pd.DataFrame(one, columns=["x", "y"]).assign(step=range(len(one)), id=i, gesture=labels[i], user=users[i])
        for i, one in enumerate(recordings)
    )
    return Panel.from_frame(frame, time="step", id="id", target=["x", "y"], static="gesture", group="user")


def test_a_list_a_panel_and_an_array_are_answered_alike(classifier: Classifier) -> None:
    recordings, labels = gestures(24)
    users = np.arange(24) % 2
    if "max_epochs" in classifier.get_params():
        classifier.set_params(max_epochs=2)
    ragged = clone(classifier).fit(recordings, labels, groups=users).predict_proba(recordings)
    panel = as_panel(recordings, labels, users)
    assert np.array_equal(clone(classifier).fit(panel, "gesture").predict_proba(panel), ragged)
    objects = np.empty(24, dtype=object)
    objects[:] = recordings
    assert np.array_equal(clone(classifier).fit(objects, labels, groups=users).predict_proba(objects), ragged)
    equal = np.stack([one[:8] for one in recordings])  # (N, T, C)
    fitted = clone(classifier).fit(equal, labels)
    assert fitted.n_features_in_ == 8
    assert np.array_equal(fitted.predict_proba(list(equal)), fitted.predict_proba(equal))
    one_channel = clone(classifier).fit(equal[..., 0], labels).predict_proba(equal[..., 0])  # (N, T)
    assert np.array_equal(clone(classifier).fit(equal[..., :1], labels).predict_proba(equal[..., :1]), one_channel)


@pytest.mark.long
def test_probabilities_sum_to_one_and_the_largest_is_said(classifier: Classifier) -> None:
    for classes in (2, 3):
        recordings, labels = gestures(30, classes)
        fitted = classifier.fit(recordings, labels)
        probabilities = fitted.predict_proba(recordings)
        assert probabilities.shape == (30, classes)
        assert np.allclose(probabilities.sum(axis=1), 1)
        assert fitted.classes_.tolist() == sorted(set(labels.tolist()))
        assert fitted.predict(recordings).tolist() == fitted.classes_[probabilities.argmax(axis=1)].tolist()


@pytest.mark.long
def test_movements_are_recognised_better_than_by_the_majority(classifier: Classifier) -> None:
    (recordings, labels), (others, truth) = gestures(60), gestures(30, seed=1)
    fitted = classifier.fit(recordings, labels)
    if isinstance(classifier, MajorityClassifier):
        assert fitted.score(others, truth) == pytest.approx(1 / 3)
    else:
        assert fitted.score(others, truth) >= 0.9


@pytest.mark.long
def test_a_classifier_can_be_cloned_copied_and_pickled(classifier: Classifier) -> None:
    recordings, labels = gestures(12)
    fitted = classifier.fit(recordings, labels)
    assert repr(clone(fitted).get_params()) == repr(fitted.get_params())
    for again in (copy.deepcopy(fitted), pickle.loads(pickle.dumps(fitted))):
        assert np.array_equal(again.predict_proba(recordings), fitted.predict_proba(recordings))
    with pytest.raises(NotFittedError, match=f"this {type(fitted).__name__} must be fitted first: call fit"):
        clone(fitted).predict(recordings)


@pytest.mark.thorough
def test_users_are_left_out_one_by_one() -> None:
    recordings, labels = gestures(24)
    users = np.repeat(["ann", "bob", "cem"], 8)
    scores = []
    for train, test in LeaveGroupsOut().split(recordings, groups=users):
        model = quick(GRUClassifier).fit([recordings[i] for i in train], labels[train], groups=users[train])
        assert model.resolved_["validation"] == 1  # a whole user
        scores.append(model.score([recordings[i] for i in test], labels[test]))
    assert np.mean(scores) > 0.8
    equal = np.stack([one[:8] for one in recordings])
    assert cross_val_score(MajorityClassifier(), equal, labels, groups=users, cv=LeaveGroupsOut()).shape == (3,)


def refused(model: Classifier, X: object, y: object, groups: object = None) -> str:
    with pytest.raises((DataError, ParameterError)) as caught:
        model.fit(X, y, groups)
    with pytest.raises(NotFittedError):
        model.predict(X)
    return str(caught.value)


def test_weights_are_of_labels_that_there_are() -> None:
    recordings, labels = gestures(9)
    known = sorted(set(labels.tolist()))
    weights = {known[0]: 2.0, "unheard": 3.0}
    assert refused(quick(GRUClassifier).set_params(class_weight=weights), recordings, labels) == (
        f"class_weight must be by labels of y, {', '.join(map(repr, known))}: got 'unheard'"
    )


def test_all_faulty_recordings_are_named_at_once(classifier: Classifier) -> None:
    recordings, labels = gestures(9)
    recordings[1] = np.empty((0, 2))
    recordings[2] = recordings[2][:, :1]
    recordings[3] = recordings[3].copy()
    recordings[3][4, 1] = np.nan
    recordings[5] = np.zeros((2, 2, 2))
    said = refused(classifier, recordings, labels)
    for sentence in (
        "recording 1 must have a step at least: it is empty, (0, 2); leave it out",
        "recording 2 must have as many channels as the others: 2, got 1; leave it out",
        "recording 3 must hold finite numbers: it has 1 NaN, the first at step 4, channel 1; fill them in",
        "recording 5 must have shape (T, C): got (2, 2, 2); pass a list of (T, C) arrays",
    ):
        assert sentence in said


@pytest.mark.long
def test_labels_must_be_there_and_of_two_classes(classifier: Classifier) -> None:
    recordings, labels = gestures(9)
    said = refused(classifier, recordings, ["circle"] * 9)
    assert said.startswith("y must have two classes at least: got 1 class, 'circle', for all 9 recordings; give")
    assert refused(classifier, recordings, labels[:-1]) == (
        "y must have one label for each recording: got 8 for 9 recordings"
    )
    assert "requires y to be passed" in refused(classifier, recordings, None)
    assert refused(classifier, recordings, [*list(labels)[:-1], float("nan")]) == (
        "y must have a label for each recording: 1 is NaN, the first at 8"
    )
    assert "groups must be one for each recording, (9,): got shape (2,)" in refused(
        classifier, recordings, labels, ["ann", "bob"]
    )
    assert refused(classifier, recordings, labels, [None, "ann", None, *["bob"] * 6]) == (
        "groups must have the user of each recording: 2 of 9 are missing, the first at position 0; name these users, "
        "or leave their recordings out"
    )
    with pytest.raises(DataError, match=r"there must be a recording at least: got none; pass a list"):
        clone(classifier).fit(recordings, labels).predict([])
    assert refused(classifier, as_panel(recordings, labels, labels), "gestur") == (
        "the panel must have a static column 'gestur'; did you mean 'gesture'?"
    )


@pytest.mark.long
def test_a_label_that_was_not_fitted_counts_as_wrong_with_a_warning(classifier: Classifier) -> None:
    recordings, labels = gestures(12)
    fitted = classifier.fit(recordings, labels)
    other = np.where(labels == "line", "jump", labels)
    with pytest.warns(DataWarning) as caught:
        share = fitted.score(recordings, other)
    assert share == np.mean(fitted.predict(recordings) == other)
    assert [str(one.message) for one in caught] == [
        "labels that were not fitted count as wrong: 'jump' (4 recordings); fit on recordings of every class, or leave "
        "those out"
    ]
    with pytest.raises(DataError, match=r"^y must hold texts, as the labels that were fitted: got numbers; convert"):
        fitted.score(recordings, np.arange(12) % 3)


def test_a_class_of_one_fold_alone_leaves_a_cross_validation_its_numbers() -> None:
    recordings, labels = gestures(9)
    users = np.arange(9) // 3
    labels = np.where(users == 2, "jump", labels)
    with pytest.warns(DataWarning, match=r"count as wrong: 'jump' \(3 recordings\)"):
        scores = cross_val_score(MajorityClassifier(), recordings, labels, groups=users, cv=LeaveGroupsOut())
    assert np.isfinite(scores).all()
    assert scores[2] == 0


@pytest.mark.long
def test_recordings_unlike_those_that_were_fitted_are_refused(classifier: Classifier) -> None:
    recordings, labels = gestures(12)
    fitted = classifier.fit(recordings, labels)
    with pytest.raises(DataError, match="X must have the 2 channels that were fitted: got 3"):
        fitted.predict([np.zeros((9, 3))])
    panel = as_panel(recordings, labels, np.arange(12) % 2)
    fitted.fit(panel, "gesture")
    other = replace(panel, roles=replace(panel.roles, target=("y", "z")))
    with pytest.raises(DataError, match=r"X must have the columns that were fitted, \('x', 'y'\): got \('y', 'z'\)"):
        fitted.predict(other)
    assert len(fitted.predict(recordings)) == 12  # without names nothing can be compared


@pytest.mark.long
def test_recordings_of_a_step_or_two_are_fitted_and_classified(classifier: Classifier) -> None:
    recordings, labels = gestures(12)
    fitted = classifier.fit([*recordings[:-2], np.zeros((2, 2)), np.zeros((1, 2))], labels)
    short = [np.zeros((1, 2)), np.ones((2, 2))]
    found = fitted.predict_proba([*short, *recordings])
    assert np.array_equal(found[:2], fitted.predict_proba(short))
    assert np.array_equal(found[2:], fitted.predict_proba(recordings))


@pytest.mark.long
def test_columns_of_frames_are_matched_by_name() -> None:
    recordings, labels = gestures(12)
    frames = [pd.DataFrame(one, columns=["x", "y"]) for one in recordings]
    fitted = quick(GRUClassifier).fit([frames[0], *(one[["y", "x"]] for one in frames[1:])], labels)
    assert fitted.columns_ == ("x", "y")
    wanted = quick(GRUClassifier).fit(recordings, labels).predict_proba(recordings)
    for asked in (frames, [one[["y", "x"]] for one in frames], recordings):
        assert np.array_equal(fitted.predict_proba(asked), wanted)
    panel = as_panel(recordings, labels, np.arange(12))
    turned = replace(panel, values=panel.values[:, ::-1], roles=replace(panel.roles, target=("y", "x")))
    assert np.array_equal(fitted.predict_proba(turned), wanted)
    assert refused(
        quick(GRUClassifier), [*frames[:3], frames[3].set_axis(["x", "z"], axis=1), *frames[4:]], labels
    ) == (
        "recording 3 must have the columns of the others, 'x', 'y': got 'x', 'z'; rename them, or leave the recording "
        "out"
    )


def test_labels_and_recordings_that_cannot_be_meant_are_refused() -> None:
    recordings, labels = gestures(9)
    model, rest = quick(GRUClassifier), labels.tolist()[1:]
    unlabelled = "y must have a label for each recording: 1 is {}, the first at 0"
    assert refused(model, recordings, ["", *rest]) == unlabelled.format('""')
    assert refused(model, recordings, [pd.NA, *rest]) == unlabelled.format("NaN")
    assert refused(model, recordings, [1, *rest]) == "labels must be texts or numbers, not both: got 'line', 1"
    assert refused(model, recordings, np.arange(9) + 0.5).endswith("use a GRURegressor.")
    assert "must hold numbers: got complex ones" in refused(model, [one + 1j for one in recordings], labels)
    assert "must hold numbers within ±1e+100: got" in refused(model, [one * 1e200 for one in recordings], labels)
    for strange in (None, "moves.csv", ["abc"] * 9, {"a": 1}, iter(recordings)):
        assert refused(model, strange, labels).startswith("X must be a list of (T, C) arrays, an array of shape (N, T,")
    most = [recordings[0][:, :1], *recordings[1:]]
    assert refused(model, most, labels).startswith("recording 0 must have as many channels as the others: 2, got 1")
    fitted = model.fit(recordings, labels)
    with pytest.raises(DataError, match=r"2 channels that were fitted; if it is a single recording, pass \[X\]"):
        fitted.predict(recordings[0])
