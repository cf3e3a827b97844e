"""A search over classifiers: trials are scored on the same held-out recordings of other people."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, clone, is_classifier
from typer.testing import CliRunner

from tests.helpers.classifiers import gestures
from tests.helpers.searches import about
from tsforecast import Panel, load
from tsforecast.cli import tune as cli_search
from tsforecast.cli.app import app
from tsforecast.cli.data import read_panel
from tsforecast.cli.options import DataOptions
from tsforecast.cli.tune import tune_classifier
from tsforecast.data import samples as recordings
from tsforecast.errors import DataError, ParameterError
from tsforecast.estimators.base import NotFittedError
from tsforecast.search.objective import ClassificationObjective, classification_objectives
from tsforecast.search.report import headline, html_search
from tsforecast.search.search import RaySearch
from tsforecast.search.space import Space
from tsforecast.search.storage import read_search
from tsforecast.search.trial import Score, TrialSetup, run_trial
from tsforecast.search.tuner import _show_progress
from tsforecast.sequences.baselines import MajorityClassifier
from tsforecast.sequences.classifier import Classifier
from tsforecast.sequences.neural import NeuralClassifier

GESTURES, LABELS = gestures(36)
PEOPLE = np.repeat(["ann", "bob", "cat", "dan"], 9)
SMALL = NeuralClassifier(units=8, layers=1, max_epochs=3, random_state=0)
SPACE = {"cell": ["gru", "conv1d"], "units": [8, 16]}
COLUMNS = ["--time", "step", "--id", "recording", "--target", "x,y", "--group", "person"]


def folds(
    share: float | int = 1, count: int = 1, metric: str = "error", groups: Any = PEOPLE, labels: Any = LABELS
) -> list[ClassificationObjective]:
    classes, places = np.unique(labels, return_inverse=True)
    return classification_objectives(recordings.read(GESTURES), places, classes, groups, share, count, metric, seed=0)


def write(file: Path) -> None:
    """Write the recordings as people have them: one step a line."""
    rows = [
        {"recording": f"r{i:02d}", "step": t, "x": x, "y": y, "gesture": str(LABELS[i])}
        | {"person": PEOPLE[i], "half": "left" if i < 18 else "right"}
        for i, one in enumerate(GESTURES)
        for t, (x, y) in enumerate(one)
    ]
    pd.DataFrame(rows).to_csv(file, index=False)


def test_each_fold_holds_out_other_people_none_of_whom_trains() -> None:
    found = folds(count=3)
    assert [np.unique(PEOPLE[fold.held_out.ids]).tolist() for fold in found] == [["dan"], ["cat"], ["bob"]]
    for fold in found:
        assert sorted([*fold.part.ids, *fold.held_out.ids]) == list(range(36))
        assert np.array_equal(fold.truth, np.asarray(LABELS)[fold.held_out.ids])
        assert np.array_equal(fold.labels, np.asarray(LABELS)[fold.part.ids])


def test_without_groups_a_share_of_each_class_judges() -> None:
    first, second = folds(share=1 / 3, count=2, groups=None)
    for fold in (first, second):
        assert np.unique(fold.truth, return_counts=True)[1].tolist() == [4, 4, 4]
        assert len(fold.part) == 24
    assert first.held_out.ids.tolist() != second.held_out.ids.tolist()


@pytest.mark.long
def test_skill_is_the_share_of_wrong_labels_of_the_majority_that_are_right() -> None:
    fold = folds()[0]
    model = clone(SMALL).set_params(max_epochs=40).fit(fold.part, fold.labels)
    wrong = 1 - model.score(fold.held_out, fold.truth)
    majority = 1 - MajorityClassifier().fit(fold.part, fold.labels).score(fold.held_out, fold.truth)
    assert fold.skill(fold.losses(model)) == pytest.approx(1 - wrong / majority)
    assert fold.skill(fold.naive) == 0
    sure = folds(metric="log_loss")[0]
    probabilities = model.predict_proba(sure.held_out)[np.arange(9), np.searchsorted(model.classes_, sure.truth)]
    assert sure.losses(model) == pytest.approx(-np.log(probabilities))


def test_each_person_counts_the_same_however_many_recordings_there_are_of_them() -> None:
    uneven = np.array(["ann"] * 12 + ["bob"] * 12 + ["cat"] * 9 + ["dan"] * 3)
    fold = folds(share=2, groups=uneven)[0]
    assert fold.weights[:9].sum() == pytest.approx(fold.weights[9:].sum()) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"count": 5}, "validation_origins must leave other groups to each: 5 of 1 need 5, there are 4"),
        ({"share": 4}, "validation must leave a group to train on"),
        ({"labels": [*["a", "b"] * 13, "a", *["c"] * 9]}, "every class must have recordings to train on"),
    ],
)
def test_folds_that_cannot_be_are_refused(asked: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        folds(**asked)


@pytest.mark.long
def test_a_trial_scores_each_epoch_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    class Stopped(Exception):
        """As if killed."""

    setup = TrialSetup(SMALL, folds(count=2), None, seed=0)
    whole: list[Score] = []
    run_trial(setup, {"cell": "gru"}, tmp_path / "whole", whole.append)

    def stops(score: Score) -> None:
        if score.epoch == 2:
            raise Stopped

    with pytest.raises(Stopped):
        run_trial(setup, {"cell": "gru"}, tmp_path / "cut", stops)
    again: list[Score] = []
    run_trial(setup, {"cell": "gru"}, tmp_path / "cut", again.append, reported=1)
    assert [score.epoch for score in whole] == [1, 2, 3]
    assert again == whole[1:]
    assert whole[0].start == pytest.approx(0, abs=0.5)  # an untrained network says what is frequent


def test_a_search_is_refused_what_belongs_to_forecasts() -> None:
    search = RaySearch(SMALL, SPACE)
    assert is_classifier(search)
    assert not hasattr(RaySearch(None, SPACE), "predict_proba")
    with pytest.raises(ParameterError, match="sample_weight belongs to supervised windows"):
        search.fit(GESTURES, LABELS, PEOPLE)
    with pytest.raises(ParameterError, match="metric must be one of"):
        clone(search).set_params(metric="mase").fit(GESTURES, LABELS)
    with pytest.raises(ParameterError, match="has no setting 'window'"):
        RaySearch(SMALL, {"window": [3]}).fit(GESTURES, LABELS)
    with pytest.raises(DataError, match="y to be passed"):
        search.fit(GESTURES)
    with pytest.raises(NotFittedError):
        search.predict(GESTURES)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
def test_a_search_over_classifiers_finds_fits_and_reports(tmp_path: Path) -> None:
    model = clone(SMALL).set_params(max_epochs=30)
    space = SPACE | {"learning_rate": [1e-5, 6e-3]}
    search = RaySearch(model, space, trials=4, scheduler="none", storage=tmp_path, name="s", validation=1)
    search.fit(GESTURES, LABELS, groups=PEOPLE)
    assert search.reference_ == "majority"
    assert search.trials_["status"].tolist() == ["naive", *["finished"] * 4]
    assert search.best_params_["learning_rate"] == 6e-3
    assert search.best_score_ > 0.5
    plain: Classifier = clone(model).set_params(**search.best_params_).fit(GESTURES, LABELS, PEOPLE)
    assert np.array_equal(search.predict_proba(GESTURES), plain.predict_proba(GESTURES))
    assert search.predict(GESTURES).tolist() == plain.predict(GESTURES).tolist()
    assert search.score(GESTURES, LABELS) == plain.score(GESTURES, LABELS)
    assert search.classes_.tolist() == sorted(set(LABELS))
    stored = read_search(tmp_path / "s")
    assert "against majority" in headline(stored, stored.trials)
    page = html_search(stored)
    assert "share of the wrong labels of majority" in page
    assert "9 sequences in 1 validation part" in page
    assert "majority (reference)" in search.plot().get_legend_handles_labels()[1]
    with pytest.raises(ParameterError, match="saved by the best of them"):
        search.save(tmp_path / "model")
    search.best_estimator_.save(tmp_path / "model")
    assert np.array_equal(load(tmp_path / "model").predict_proba(GESTURES), search.predict_proba(GESTURES))
    with pytest.raises(ParameterError, match="holds a search with other labels"):
        search.fit(GESTURES, LABELS[::-1], groups=PEOPLE)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_command_searches_without_each_person_that_it_tests(tmp_path: Path) -> None:
    write(tmp_path / "moves.csv")
    named = (tmp_path / "moves.csv").read_text().replace("dan", "../../[/b]")  # data name people as they like
    (tmp_path / "moves.csv").write_text(named)
    (tmp_path / "space.toml").write_text('cell = ["gru", "conv1d"]\nunits = [8]\nlayers = [1]\n')
    command = ["tune", str(tmp_path / "moves.csv"), *COLUMNS, "--label", "gesture", "--trials", "2", "--epochs", "20"]
    command += ["--folds", "2", "--space", str(tmp_path / "space.toml"), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    scores = pd.read_csv(tmp_path / "out" / "scores.csv")
    assert scores["fold"].tolist() == ["without-person-../../[/b]", "without-person-cat"]
    assert "without-person-../../[/b]" in result.output
    folders = ["without-person-________b_-1", "without-person-cat"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if path.is_dir()) == folders
    assert sorted(path.name for path in tmp_path.iterdir()) == ["moves.csv", "out", "space.toml"]
    assert scores["sequences"].tolist() == [9, 9]
    assert (scores["tuned"] > scores["majority"]).all()
    assert "mean of 2" in result.output
    for fold in folders:
        assert "27 series" in read_search(tmp_path / "out" / fold).spec.data  # the tested person is not in it
        assert (tmp_path / "out" / fold / "search.html").exists()
        assert load(tmp_path / "out" / fold / "model").classes_.tolist() == sorted(set(LABELS))


class Hopeless(BaseEstimator):  # type: ignore[misc]
    """A search that finds nothing better than the majority."""

    reference_, complete_, best_params_ = "majority", True, dict[str, Any]()
    forecaster, random_state = MajorityClassifier(), 0

    def __init__(self, storage: Path | None = None, name: str | None = None) -> None:
        self.storage, self.name = storage, name

    def fit(self, panel: Panel, labels: Any) -> Hopeless:
        self.best_estimator_ = MajorityClassifier().fit(panel, labels)
        return self

    def report(self, path: Path, title: str) -> None:
        path.parent.mkdir(parents=True)
        path.write_text(title)


@pytest.mark.long
def test_a_search_that_does_not_beat_the_majority_says_so_and_saves_no_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[tuple[str, str | None]] = []
    monkeypatch.setattr(cli_search, "echo", lambda sentence, style=None: lines.append((sentence, style)))
    write(tmp_path / "moves.csv")
    reading = DataOptions(time="step", id="recording", target="x,y", group="person")
    panel, _ = read_panel(str(tmp_path / "moves.csv"), reading, "gesture")
    tune_classifier(Hopeless(), panel, "gesture", 1, tmp_path / "out")
    assert lines[0] == ("without-person-dan: best settings: none beats majority", "yellow")
    assert [path.name for path in (tmp_path / "out" / "without-person-dan").iterdir()] == ["search.html"]
    scores = pd.read_csv(tmp_path / "out" / "scores.csv")
    assert scores["tuned"].tolist() == scores["majority"].tolist()
    assert lines[1][0].startswith(
        "No model is shown to beat guessing the most frequent class. Best of 2: untuned, right on 33% of"
    )
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "in 1 user; a verdict needs at least 5" in page


def test_the_progress_of_a_search_names_what_is_to_be_beaten(caplog: pytest.LogCaptureFixture) -> None:
    space = Space.of(SPACE)
    spec = about(space, 2, 5, reference="majority")
    with caplog.at_level("INFO", "tsforecast"), _show_progress(0, space, spec, []) as listen:
        listen("done", {"best_skill": 0.0})
    assert "1 of 2 trials, nothing beats majority yet, about" in caplog.text


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--label", "gestur"], "column 'gestur' does not exist; did you mean 'gesture'"),
        (["--label", "person"], "--label must be another column than the group"),
        (["--label", "gesture", "--horizon", "3"], "--horizon must be left out with --label"),
        (["--label", "gesture", "--folds", "9"], "--folds must be 1 to 4"),
        (["--label", "gesture", "--group", "half"], "--group must name 3 users or more, .* 'half' names 2; leave"),
    ],
)
def test_the_command_refuses_what_cannot_be(words: list[str], sentence: str, tmp_path: Path) -> None:
    write(tmp_path / "moves.csv")
    command = ["tune", str(tmp_path / "moves.csv"), *COLUMNS, *words, "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, command)
    assert result.exit_code
    assert re.search(sentence, f"{result.output} {result.exception}".replace("\n", " ")), result.output
    assert not (tmp_path / "out").exists()
