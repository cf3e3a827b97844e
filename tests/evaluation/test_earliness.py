"""The curve of accuracy and earliness counts what early decisions do, one recording at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.helpers.classifiers import gestures, quick
from tsforecast.errors import DataError, ParameterError
from tsforecast.evaluation.earliness import choose_threshold, earliness_curve, earliness_figure, harmonic_mean
from tsforecast.sequences.baselines import MajorityClassifier
from tsforecast.sequences.neural import GRUClassifier
from tsforecast.sequences.stream import decided_at

USERS = np.arange(24) % 3


@pytest.fixture(scope="module")
def model() -> Any:
    return quick(GRUClassifier, bidirectional=False).fit(*gestures(60, seed=1))


@pytest.mark.long
def test_rows_are_those_of_decisions_taken_one_by_one(model: Any) -> None:
    recordings, labels = gestures(24)
    curve = earliness_curve(model, recordings, labels, USERS, thresholds=[0.5, 0.7], patience=2, deadlines=[3, 10])
    assert curve["threshold"].tolist() == [0.5, 0.7, 1, 1, 1]
    assert curve["deadline"].tolist()[3:] == [3, 10]
    assert curve["deadline"].isna().sum() == 3
    assert curve["steps"].nunique() == 5  # all rules differ on these recordings
    decision = model.stream()
    for row in curve.itertuples():
        deadline = None if np.isnan(row.deadline) else int(row.deadline)
        found = []
        for recording in recordings:
            one = decision.reset().decide(row.threshold, patience=2, deadline=deadline)
            one.push(recording)
            found.append(one.end())
        right = np.array([one.label == label for one, label in zip(found, labels, strict=True)])
        read = np.mean([one.steps / len(recording) for one, recording in zip(found, recordings, strict=True)])
        assert row.accuracy == pytest.approx(right.mean())
        assert row.lowest == pytest.approx(min(right[user == USERS].mean() for user in range(3)))
        assert row.earliness == pytest.approx(read)
        assert row.steps == pytest.approx(np.mean([one.steps for one in found]))
        assert row.harmonic_mean == pytest.approx(harmonic_mean(row.accuracy, 1 - row.earliness))
        assert row.recordings == 24


@pytest.mark.long
def test_the_whole_recording_has_the_accuracy_of_the_model(model: Any) -> None:
    recordings, labels = gestures(24)
    whole = earliness_curve(model, recordings, labels, thresholds=[]).iloc[0]
    assert whole["accuracy"] == model.score(recordings, labels)
    assert whole["earliness"] == 1
    assert whole["harmonic_mean"] == 0
    assert np.isnan(whole["lowest"])


def test_rules_for_a_whole_recording_are_those_step_by_step() -> None:
    random = np.random.default_rng(0)
    for _ in range(300):
        steps = int(random.integers(1, 12))
        leaders, likely = random.integers(0, 2, steps), random.random(steps)
        threshold, patience = random.choice([0.3, 0.6, 1.0]), int(random.integers(1, 4))
        deadline = None if random.random() < 0.5 else int(random.integers(1, 14))
        lead, before, expected = 0, -1, steps
        for step, (leader, share) in enumerate(zip(leaders, likely, strict=True), 1):
            lead = (lead + 1 if leader == before else 1) if threshold < 1 and share >= threshold else 0
            before = leader
            if lead >= patience or step == deadline:
                expected = step
                break
        assert decided_at(leaders, likely, threshold, patience, deadline) == expected


def test_harmonic_mean_punishes_the_worse_of_both() -> None:
    assert harmonic_mean(0.8, 0.4) == pytest.approx(2 * 0.8 * 0.4 / 1.2)
    assert harmonic_mean(1.0, 0.0) == harmonic_mean(0.0, 0.0) == 0


def test_the_threshold_that_reads_least_within_the_loss_is_chosen() -> None:
    curve = pd.DataFrame(
        {
            "threshold": [0.6, 0.8, 0.9, 1.0, 1.0],
            "deadline": [np.nan] * 4 + [3],
            "accuracy": [0.80, 0.93, 0.94, 0.94, 0.94],
            "earliness": [0.2, 0.4, 0.6, 1.0, 0.1],
        }
    )
    assert choose_threshold(curve) == 0.8
    assert choose_threshold(curve, within=0) == 0.9
    assert choose_threshold(curve, within=0.5) == 0.6
    with pytest.raises(DataError, match="curve must have the row of whole recordings, threshold 1"):
        choose_threshold(curve.iloc[:3])
    with pytest.raises(ParameterError, match="within must be a number"):
        choose_threshold(curve, within=-1)


def test_what_cannot_be_decided_early_is_refused(model: Any) -> None:
    recordings, labels = gestures(24)
    with pytest.raises(ParameterError, match="needs a network with a stream"):
        earliness_curve(MajorityClassifier().fit(recordings, labels), recordings, labels)  # type: ignore[arg-type]
    ahead = quick(GRUClassifier, max_epochs=1).fit(recordings, labels)
    with pytest.raises(ParameterError, match="fit the model with bidirectional=False"):
        earliness_curve(ahead, recordings, labels)
    several = quick(GRUClassifier, max_epochs=1, bidirectional=False).fit(recordings, np.eye(2, dtype=int)[USERS % 2])
    with pytest.raises(ParameterError, match="one label for a whole recording"):
        earliness_curve(several, recordings, labels)
    with pytest.raises(ParameterError) as caught:
        earliness_curve(model, recordings, labels, thresholds=[0, 0.5], deadlines=[0])
    assert "threshold must be a probability in (0, 1]: got 0" in str(caught.value)
    assert "deadline must be a whole number >= 1: got 0" in str(caught.value)
    with pytest.raises(DataError, match=r"y must hold labels that were fitted: 1 was not, 'jump'"):
        earliness_curve(model, recordings, ["jump"] * len(recordings))


def test_the_middle_class_of_an_order_is_decided() -> None:
    recordings, labels = gestures(24)
    order = ["circle", "line", "wave"]
    ordered = quick(GRUClassifier, max_epochs=5, bidirectional=False, ordinal=order).fit(recordings, labels)
    whole = earliness_curve(ordered, recordings, labels, thresholds=[]).iloc[0]
    assert whole["accuracy"] == ordered.score(recordings, labels)


def test_a_curve_is_drawn_with_its_deadlines(model: Any) -> None:
    recordings, labels = gestures(24)
    figure = earliness_figure(earliness_curve(model, recordings, labels, deadlines=[2, 5, 30]))
    late, own = figure.axes[0].get_lines()
    assert len(late.get_xdata()) == 3
    assert len(own.get_xdata()) == 10
    assert [text.get_text() for text in figure.axes[0].texts][-1] == "whole"


def test_a_threshold_is_chosen_from_a_curve_alone() -> None:
    with pytest.raises(DataError, match=r"curve must be a frame as earliness_curve returns it: got \[1\]"):
        choose_threshold([1])  # type: ignore[arg-type]
