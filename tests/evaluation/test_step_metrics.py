"""Scores of the labels of steps equal slow ones, and a comparison leaves users out, step by step."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from tsforecast import compare_classifiers
from tsforecast.data.panel import Panel
from tsforecast.errors import DataError, ParameterError
from tsforecast.evaluation.compare_classifiers import ClassifierComparison, StepComparison
from tsforecast.evaluation.report.steps import median_recording, timeline_figure
from tsforecast.evaluation.steps import edit_distance, step_scores
from tsforecast.sequences.baselines import MajorityClassifier

LABELS = np.array(["climb", "rest", "run", "walk"])


def drawn(seed: int, gaps: bool) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return true and predicted labels of a few recordings, in segments of any length."""
    random = np.random.default_rng(seed)
    truth, predicted = [], []
    for _ in range(3):
        length = int(random.integers(1, 60))
        true = np.repeat(random.integers(0, 4, size=length), random.integers(1, 9, size=length))[:length]
        wrong = np.where(random.random(length) < 0.3, random.integers(0, 4, size=length), true)
        late = np.roll(true, int(random.integers(0, 5)))
        one = LABELS[true].astype(object)
        if gaps:
            one[random.random(length) < 0.15] = None
            one[0] = "rest"
        truth.append(one)
        predicted.append(LABELS[wrong if random.random() < 0.5 else late])
    return truth, predicted


# Slow twins: from step to step, with sets and recursion.


def segments(labels: list[Any], known: list[bool]) -> list[tuple[str, frozenset[int]]]:
    """Return the segments of a recording as label and steps."""
    found: list[tuple[str, set[int]]] = []
    for step, (label, is_known) in enumerate(zip(labels, known, strict=True)):
        if is_known and step > 0 and known[step - 1] and labels[step - 1] == label:
            found[-1][1].add(step)
        elif is_known:
            found.append((label, {step}))
    return [(label, frozenset(steps)) for label, steps in found]


def stretches(known: list[bool]) -> list[set[int]]:
    return [
        {step for step, _ in part}
        for is_known, part in itertools.groupby(enumerate(known), key=lambda pair: pair[1])
        if is_known
    ]


def levenshtein(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    table = {(i, 0): i for i in range(len(one) + 1)} | {(0, j): j for j in range(len(other) + 1)}
    for i, j in itertools.product(range(1, len(one) + 1), range(1, len(other) + 1)):
        change = table[i - 1, j - 1] + (one[i - 1] != other[j - 1])
        table[i, j] = min(table[i - 1, j] + 1, table[i, j - 1] + 1, change)
    return table[len(one), len(other)]


def slow_scores(truth: list[Any], predicted: list[Any]) -> dict[str, float]:
    edits, tallies = [], {10: [0, 0, 0], 25: [0, 0, 0], 50: [0, 0, 0]}
    for true, answer in zip(truth, predicted, strict=True):
        known = [label is not None for label in true]
        real, said = segments(list(true), known), segments(list(answer), known)
        distance = longest = 0
        for stretch in stretches(known):
            both = [tuple(label for label, steps in each if steps <= stretch) for each in (real, said)]
            distance, longest = distance + levenshtein(*both), longest + max(map(len, both))
        edits.append(1 - distance / longest)
        for share, tally in tallies.items():
            free = list(range(len(real)))
            for label, steps in said:
                shares = [len(steps & own) / len(steps | own) * (label == kind) for kind, own in real]
                best = shares.index(max(shares))
                if 100 * shares[best] >= share and best in free:
                    free.remove(best)
                    tally[0] += 1
                else:
                    tally[1] += 1
            tally[2] += len(free)
    f1 = {f"f1_{share}": 2 * hit / (2 * hit + false + missed) for share, (hit, false, missed) in tallies.items()}
    return {"edit": float(np.mean(edits))} | f1


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("gaps", [False, True])
def test_scores_are_those_of_scikit_learn_by_step_and_of_slow_ones_by_segment(seed: int, gaps: bool) -> None:
    truth, predicted = drawn(seed, gaps)
    found = step_scores(truth, predicted)
    both = [(a, b) for pair in zip(truth, predicted, strict=True) for a, b in zip(*pair, strict=True) if a is not None]
    true, answer = zip(*both, strict=True)
    expected = {
        "accuracy": accuracy_score(true, answer),
        "balanced_accuracy": np.mean([np.mean([b == a for a, b in both if a == k]) for k in sorted(set(true))]),
        "macro_f1": f1_score(true, answer, average="macro"),
    }
    assert found == pytest.approx(expected | slow_scores(truth, predicted))
    if set(answer) <= set(true):
        assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(true, answer))


def test_the_edit_score_and_f1_of_segments_are_those_worked_out_by_hand() -> None:
    truth = [["rest"] * 10 + ["walk"] * 10 + ["rest"] * 10]
    early = [["rest"] * 5 + ["walk"] * 10 + ["rest"] * 15]  # all by five steps too early
    scores = step_scores(truth, early)
    assert scores["accuracy"] == pytest.approx(20 / 30)
    assert scores["edit"] == 1  # the order is right
    # Overlaps of 5/10, 5/15 and 10/15.
    assert [scores[f"f1_{share}"] for share in (10, 25, 50)] == pytest.approx([1, 1, 2 / 3])
    flicker = [["rest", "walk"] * 5 + ["walk"] * 10 + ["rest"] * 10]
    assert step_scores(truth, flicker)["edit"] == pytest.approx(1 - 8 / 11)
    gap = [["walk"] * 3 + [None] + ["walk"] * 3]  # cut in two, and not scored between
    assert step_scores(gap, [["walk"] * 7])["f1_50"] == 1
    assert step_scores(gap, [["walk"] * 3 + ["rest"] + ["walk"] * 3])["accuracy"] == 1


def test_an_edit_distance_is_that_of_the_textbook() -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        one, other = (tuple(LABELS[random.integers(0, 4, size=random.integers(0, 9))]) for _ in range(2))
        assert edit_distance(np.array(one), np.array(other)) == levenshtein(one, other)


def test_what_cannot_be_scored_is_refused() -> None:
    with pytest.raises(DataError, match=r"got shape \(2,\) for the 3 steps of recording 0"):
        step_scores([["a", "b"]], [["a", "b", "a"]])
    with pytest.raises(DataError, match="must be a recording at least to score"):
        step_scores([], [])


USERS = ("ann", "bob", "cem", "dan", "eva", "fay")


class Threshold(ClassifierMixin, BaseEstimator):
    """Calls a step "up" above zero; keeps the users and gaps that it was fitted with."""

    seen: list[tuple[set[str], int]] = []  # noqa: RUF012 - of all clones

    def fit(self, X: Any, y: Any, groups: Any) -> Self:
        self.classes_ = np.array(["down", "up"])
        Threshold.seen.append((set(groups.tolist()), sum(label is None for one in y for label in one)))
        return self

    def predict(self, X: Any) -> list[np.ndarray]:
        return [np.where(one[:, 0] > 0, "up", "down") for one in X]

    def predict_proba(self, X: Any) -> list[np.ndarray]:
        return [np.stack([one[:, 0] <= 0, one[:, 0] > 0], axis=1).astype(float) for one in X]


def swings() -> tuple[list[np.ndarray], list[np.ndarray], np.ndarray]:
    """Return two recordings of each user that go up and down, with gaps, and a user whose labels are turned over."""
    random = np.random.default_rng(0)
    X, y, users = [], [], []
    for user in USERS:
        for _ in range(2):
            steps = np.repeat(random.permutation([1, -1, 1, -1, 1]), random.integers(3, 9, size=5))
            labels = np.where(steps * (-1 if user == "eva" else 1) > 0, "up", "down").astype(object)
            labels[:2] = None
            X.append(np.append(steps, 1.0 + len(X))[:, None])  # no two are alike
            y.append(np.append(labels, None))
            users.append(user)
    return X, y, np.array(users)


@pytest.fixture(scope="module")
def compared() -> StepComparison:
    X, y, users = swings()
    found = compare_classifiers(Threshold(), X, y, users, protocol=["leave-users-out", "random"])
    assert isinstance(found, StepComparison)
    return found


def test_a_comparison_leaves_users_out_and_scores_each_by_its_labelled_steps(compared: StepComparison) -> None:
    X, y, _ = swings()
    assert all(len(users) == 5 for users, _ in Threshold.seen[:6])
    assert all(gaps == 30 for _, gaps in Threshold.seen[:6])
    accuracy = compared.by("group")["threshold"]
    assert accuracy.to_dict() == {user: float(user != "eva") for user in USERS}
    rows = compared.of("leave-users-out")
    own = rows[rows["model"] == "threshold"]
    assert own["count"].sum() == sum(len(one) - 3 for one in X)
    for at, part in own.groupby("recording"):
        assert part["begin"].min() == 2  # steps without a label have no row
        spread = np.repeat(part["true"], part["count"]).tolist()
        assert spread == [label for label in y[at] if label is not None]
    line = compared.table.set_index(["protocol", "model"]).loc[("leave-users-out", "threshold")]
    assert line["accuracy"] == pytest.approx(5 / 6)
    expected = np.mean([np.mean([step_scores([y[i]], Threshold().predict([X[i]]))["edit"] for i in pair])
                        for pair in np.arange(12).reshape(6, 2)])  # fmt: skip
    assert line["edit"] == pytest.approx(expected)
    assert line["f1_50"] == pytest.approx(5 / 6)
    assert "accuracy 83.3%" in compared.verdicts["threshold"].sentence
    assert [each.model for each in compared.optimism] == ["threshold"]
    steps = sum(len(one) - 3 for one in X)
    assert f"12 recordings of 6 users, {steps} labelled steps, 2 classes." in compared.to_markdown()


def test_rows_are_runs_that_survive_a_file_and_show_a_recording_along_time(
    compared: StepComparison, tmp_path: Path
) -> None:
    compared.to_parquet(tmp_path / "rows.parquet")
    again = StepComparison.from_parquet(tmp_path)
    pd.testing.assert_frame_equal(again.table, compared.table)
    X, _, _ = swings()
    runs = again.along_time(8, "threshold")
    assert (runs["true"] != runs["predicted"]).all()
    turns = np.flatnonzero(np.diff(X[8][:-1, 0])) + 1
    assert runs["begin"].tolist() == [2, *turns[turns > 2]]
    with pytest.raises(ParameterError, match="a recording must be among the rows: got 99"):
        again.along_time(99, "threshold")
    again.merge(compared)


def test_a_column_of_a_panel_and_one_for_each_recording_are_told_apart() -> None:
    X, y, users = swings()
    parts = [
        pd.DataFrame({"id": i, "user": user, "x": one[:, 0], "way": labels})
        for i, (one, labels, user) in enumerate(zip(X, y, users, strict=True))
    ]
    frame = pd.concat(parts, ignore_index=True)
    panel = Panel.from_frame(frame, id="id", time=False, target="x", past="way", group="user")
    found = compare_classifiers(Threshold(), panel, "way")
    assert found.by("group")["threshold"].mean() == pytest.approx(5 / 6)
    whole = compare_classifiers(MajorityClassifier(), X, ["a", "b"] * 6, users)
    assert type(whole) is ClassifierComparison
    with pytest.raises(ParameterError, match="majority must have output='step', as y has a label for each step: got"):
        compare_classifiers(MajorityClassifier(), panel, "way")
    with pytest.raises(ParameterError, match="majority must have output='recording', as y has a label for each rec"):
        compare_classifiers(MajorityClassifier(output="step"), X, ["a", "b"] * 6, users)


def test_a_class_of_one_user_cannot_be_learned_without_that_user() -> None:
    X, y, users = swings()
    y[0][4] = "sideways"
    with pytest.raises(DataError, match=r"without user 'ann' class 'sideways' has none, and 1 are tested"):
        compare_classifiers(Threshold(), X, y, users)


def test_predictions_of_another_shape_are_a_failure_of_the_model() -> None:
    class Short(Threshold):
        def predict(self, X: Any) -> list[np.ndarray]:
            return [one[1:] for one in super().predict(X)]

    X, y, users = swings()
    found = compare_classifiers({"short": Short(), "threshold": Threshold()}, X, y, users)
    assert "predict must return a (T,) array for each recording: got shapes" in found.failures["short"]


@pytest.mark.long
def test_the_page_shows_truth_and_prediction_along_the_time_of_the_median_recording(compared: StepComparison) -> None:
    page = compared.to_html()
    assert page is not None
    for words in ("Along time", "Truth and prediction of threshold", "edit score", "F1 at 50%", "labelled steps"):
        assert words in page
    _, user, share = median_recording(compared, "threshold")
    assert (user != "eva", share) == (True, 1.0)
    runs = pd.DataFrame(
        {"begin": [0, 4, 9], "count": [4, 2, 3], "true": ["a", "b", "b"], "predicted": ["a", "c", "b"]}
    )  # steps 6 to 8 have no label
    bars = [bar for part in timeline_figure(runs).axes[0].containers for bar in part]
    drawn = {
        (bar.get_x(), bar.get_width(), round(bar.get_y() + bar.get_height() / 2), round(bar.get_height(), 3))
        for bar in bars
    }
    truth, answers = {(0, 4, 0), (4, 2, 1), (9, 3, 1)}, {(0, 4, 0), (4, 2, 2), (9, 3, 1)}
    assert drawn == {(*each, 0.86) for each in truth} | {(*each, 0.4) for each in answers}
    colours = {bar.get_x(): bar.get_facecolor() for bar in bars if bar.get_height() < 0.5}
    assert colours[0] == colours[9] != colours[4]
