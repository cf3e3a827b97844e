"""Several classifiers as one: their mean, with weights from recordings that they did not see."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.helpers.classifiers import gestures, quick
from tsforecast.errors import ParameterError
from tsforecast.estimators.persistence import load
from tsforecast.sequences.baselines import MajorityClassifier, NearestNeighborClassifier
from tsforecast.sequences.ensemble import EnsembleClassifier, best_weights
from tsforecast.sequences.neural import GRUClassifier
from tsforecast.sequences.rocket import RocketClassifier


def test_equal_weights_are_the_mean_of_members_that_are_fitted_alone() -> None:
    recordings, labels = gestures(30)
    members = [NearestNeighborClassifier(), RocketClassifier(features=672)]
    model = EnsembleClassifier(members, random_state=3).fit(recordings, labels)
    alone = [members[0], RocketClassifier(features=672, random_state=4)]
    mean = sum(one.fit(recordings, labels).predict_proba(recordings) for one in alone) / 2
    assert np.allclose(model.predict_proba(recordings), mean, atol=1e-12)
    assert model.weights_ == [0.5, 0.5]


def test_one_classifier_is_fitted_with_several_seeds() -> None:
    recordings, labels = gestures(18)
    model = EnsembleClassifier(quick(GRUClassifier, max_epochs=1), seeds=3, random_state=7).fit(recordings, labels)
    assert [member.random_state for member in model.members_] == [7, 8, 9]


def test_weights_are_those_of_the_most_likely_mixture() -> None:
    random = np.random.default_rng(0)
    likelihoods = random.uniform(0.05, 0.9, (2, 200)) ** np.array([[1.0], [1.4]])
    grid = np.linspace(0, 1, 1001)
    losses = [-np.log(share * likelihoods[0] + (1 - share) * likelihoods[1]).sum() for share in grid]
    best = grid[np.argmin(losses)]
    assert 0.1 < best < 0.9
    assert best_weights(likelihoods) == pytest.approx([best, 1 - best], abs=0.01)
    assert best_weights(np.array([[0.9, 0.9], [0.1, 0.1], [0.8, 0.8]])).tolist() == [1, 0, 0]


@pytest.mark.long
def test_a_member_that_does_not_help_on_users_held_out_is_left_out(tmp_path: Path) -> None:
    recordings, labels = gestures(40)
    users = np.repeat(["ann", "bob", "cem", "dan"], 10)
    ensemble = EnsembleClassifier(
        [MajorityClassifier(), quick(GRUClassifier, validation=1)], weights="validation", validation=1
    )
    model = ensemble.fit(recordings, labels, groups=users)
    assert model.resolved_ == {"validation": 1, "weights": [0.0, 1.0]}
    (member,) = model.members_
    assert member.fitted_on_["groups"] == 4  # the chosen one learns from all users, which came through to it
    assert member.resolved_["validation"] == 1
    model.save(tmp_path / "model")
    assert np.array_equal(load(tmp_path / "model").predict_proba(recordings), model.predict_proba(recordings))


def test_users_who_are_held_out_teach_members_nothing() -> None:
    recordings, labels = gestures(30)
    users = np.repeat(["ann", "bob", "cem"], 10)
    seen: list[set[str]] = []

    class Watched(NearestNeighborClassifier):
        def _fit(self, panel, labels, groups):  # type: ignore[no-untyped-def]
            seen.append(set(groups.tolist()))
            super()._fit(panel, labels, groups)

    EnsembleClassifier([Watched()], weights="validation", validation=1).fit(recordings, labels, groups=users)
    assert seen == [{"ann", "bob"}, {"ann", "bob", "cem"}]


def test_faulty_members_are_all_named() -> None:
    recordings, labels = gestures(9)
    with pytest.raises(ParameterError) as caught:
        EnsembleClassifier([GRUClassifier(units=0), RocketClassifier(features=0)], seeds=0).fit(recordings, labels)
    for sentence in (
        "seeds must be a whole number >= 1: got 0",
        "GRUClassifier of the ensemble: units must be a whole number >= 1: got 0",
        "RocketClassifier of the ensemble: features must be a whole number >= 1: got 0",
    ):
        assert sentence in str(caught.value)
    with pytest.raises(ParameterError, match=r"classifiers must be a classifier or a list of them: got \[3\]"):
        EnsembleClassifier([3]).fit(recordings, labels)
    with pytest.raises(ParameterError, match=r"classifiers must be a classifier or a list of them: got \[\]"):
        EnsembleClassifier([]).fit(recordings, labels)
