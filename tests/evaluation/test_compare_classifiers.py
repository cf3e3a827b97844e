"""Classifiers are tested on users whom they have not seen, beside the majority; what is known beforehand is said."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.ensemble import VotingClassifier
from sklearn.model_selection import GridSearchCV

from tests.helpers.classifiers import ROW_COLUMNS
from tests.helpers.movements import USERS, Known, movements, named_movements
from tsforecast.data.splits import GroupKFold, LeaveGroupsOut
from tsforecast.errors import DataError, DataWarning, ParameterError, TsForecastError
from tsforecast.evaluation.classification import ClassificationResults
from tsforecast.evaluation.compare_classifiers import compare_classifiers, named
from tsforecast.sequences import network
from tsforecast.sequences.baselines import MajorityClassifier, NearestNeighborClassifier
from tsforecast.sequences.neural import GRUClassifier

SMALL: dict[str, Any] = {"units": 8, "layers": 1, "max_epochs": 3, "random_state": 0}


@pytest.fixture(autouse=True)
def forgotten() -> None:
    Known.seen.clear()


def test_each_user_is_left_out_once_and_every_recording_is_answered_once() -> None:
    recordings, labels, users = movements()
    rows = compare_classifiers(NearestNeighborClassifier(), recordings, labels, users).rows
    assert tuple(rows.columns) == (*ROW_COLUMNS[:-2], "p_fast", "p_slow", *ROW_COLUMNS[-2:])
    for _, own in rows.groupby("model"):
        assert own["recording"].tolist() == list(range(len(recordings)))
        assert own["true"].tolist() == labels.tolist()
        assert own["group"].tolist() == users.tolist()
        assert (own.groupby("fold")["group"].nunique() == 1).all()
    assert rows["protocol"].unique().tolist() == ["leave-users-out"]
    assert rows["model"].unique().tolist() == ["nearest-neighbor", "majority"]
    assert rows["probability"].between(0, 1).all()


def test_no_fit_sees_the_user_whom_it_is_tested_on() -> None:
    compare_classifiers(Known(), *named_movements())
    assert [users for users, _ in Known.seen] == [{*USERS} - {user} for user in USERS]


def test_a_classifier_that_goes_on_from_its_last_fit_begins_anew_in_each_fold() -> None:
    class Warm(Known):
        def fit(self, X: Any, y: Any, groups: Any = None) -> Any:
            before = getattr(self, "users_", set())
            super().fit(X, y, groups)
            self.users_ |= before
            return self

    found = compare_classifiers({"warm": Warm()}, *named_movements())
    assert found.by("group")["warm"].tolist() == [0.0] * 6  # nobody was seen before


def test_what_a_tested_user_does_changes_no_answer_about_the_others_and_labels_change_none_about_him() -> None:
    recordings, labels, users = movements()
    model = NearestNeighborClassifier()
    before = compare_classifiers(model, recordings, labels, users).rows.query("model == 'nearest-neighbor'")
    theirs = users == "cem"
    swapped = np.where(theirs, np.where(labels == "slow", "fast", "slow"), labels)
    after = compare_classifiers(model, recordings, swapped, users).rows.query("model == 'nearest-neighbor'")
    assert before["predicted"][theirs].tolist() == after["predicted"][theirs].tolist()


def test_a_random_split_is_asked_for_by_name_and_its_optimism_is_reported() -> None:
    found = compare_classifiers(Known(), *named_movements(), protocol=["random", "leave-users-out"])
    (optimism,) = found.optimism
    assert (optimism.random, optimism.unseen) == (1.0, 0.0)
    assert str(optimism) == (
        "The optimism of the random split (leak premium) is 100.0 points (100.0 to 100.0) for known: accuracy 100.0% "
        "with users on both sides, 0.0% on users it has not seen"
    )
    said = str(found)
    assert "random: users on both sides" in said
    assert "known is worse than majority by -50.0 points" in said  # the honest protocol decides
    assert compare_classifiers(Known(), *named_movements()).optimism == []


def test_a_random_split_learns_from_as_many_recordings_as_leaving_users_out() -> None:
    rows = compare_classifiers(Known(), *named_movements(), protocol="random").rows
    assert [count for _, count in Known.seen] == [40] * 6
    assert rows.query("model == 'known'").groupby("fold")["true"].value_counts().tolist() == [4] * 12
    assert sorted(rows.query("model == 'known'")["recording"]) == list(range(48))


def test_copies_are_reported_before_anything_is_trained_and_kept() -> None:
    recordings, labels, users = named_movements()
    recordings[9] = recordings[0].copy()  # bob's is ann's, with another label
    warns = pytest.warns(DataWarning, match="recordings '0' and '9' are the same, but labelled 'slow' and 'fast'")
    with warns:
        found = compare_classifiers(Known(), recordings, labels, users, protocol=["leave-users-out", "random"])
    assert found.notes == (
        "recordings '0' and '9' are the same, but labelled 'slow' and 'fast': one label must be wrong; both are kept, "
        "on both sides of a fold of leave-users-out",
    )
    assert found.rows["recording"].value_counts().unique().tolist() == [4]  # two models, two protocols

    class Never(Known):
        def fit(self, X: Any, y: Any, groups: Any = None) -> Any:
            raise RuntimeError("trained")

    with warns, pytest.raises(TsForecastError, match=r"^never: RuntimeError: trained$"):
        compare_classifiers(Never(), recordings, labels, users)


def test_copies_are_on_one_side_of_a_random_split() -> None:
    recordings, labels, users = movements()
    for i in range(0, 40, 8):
        recordings[i + 9] = recordings[i + 3]  # of another user, with the same label
    found = compare_classifiers(MajorityClassifier(), recordings, labels, users, protocol="random")
    folds = found.rows.set_index("recording")["fold"]
    assert all(folds[i + 9] == folds[i + 3] for i in range(0, 40, 8))
    assert found.notes[0] == (
        "recordings '3' and '9' are the same, of 'ann' and 'bob'; both are kept, on one side of each fold"
    )


def test_a_split_that_came_with_the_recordings_is_used_once() -> None:
    recordings, labels, users = movements()
    tested = np.isin(users, ["eva", "fay"])
    found = compare_classifiers(NearestNeighborClassifier(), recordings, labels, test=tested)
    assert found.rows.query("model == 'majority'")["recording"].tolist() == np.flatnonzero(tested).tolist()
    assert found.rows["protocol"].unique().tolist() == ["given"]
    assert np.isnan(found.table["low"]).all()  # of whom they are is not known
    assert "of unknown users" in found.verdicts["nearest-neighbor"].sentence
    assert found.verdicts["nearest-neighbor"].outcome == "inconclusive"
    alternating = np.arange(48) % 3 == 0
    (note,) = compare_classifiers(MajorityClassifier(), recordings, labels, users, test=alternating).notes
    assert note == "6 of 6 tested users are on both sides of the split that came with the recordings"
    assert compare_classifiers(MajorityClassifier(), recordings, labels, users, test=tested).notes == ()


@pytest.mark.process
def test_answers_do_not_depend_on_the_number_of_processes_and_seeds_differ() -> None:
    recordings, labels, users = movements(USERS[:3])
    models = {"small": GRUClassifier(**SMALL)}
    one = compare_classifiers(models, recordings, labels, users, seeds=2)
    two = compare_classifiers(models, recordings, labels, users, seeds=2, n_jobs=2)
    same = [name for name in ROW_COLUMNS if not name.endswith("seconds")]
    pd.testing.assert_frame_equal(one.rows[same], two.rows[same])
    assert one.rows.query("model == 'small'")["seed"].unique().tolist() == [0, 1]
    assert one.rows.query("model == 'majority'")["seed"].isna().all()
    first, second = (one.rows.query("model == 'small' and seed == @seed")["probability"] for seed in (0, 1))
    assert not np.array_equal(first, second)


def test_a_search_chooses_inside_the_users_that_it_learns_from() -> None:
    recordings, labels, users = named_movements()

    class Picky(Known):
        def __init__(self, luck: int = 0) -> None:
            self.luck = luck

    search = GridSearchCV(Picky(), {"luck": [0, 1]}, cv=LeaveGroupsOut())
    with pytest.raises(Exception, match="groups"):  # scikit-learn hands on what was asked for alone
        compare_classifiers(search, recordings, labels, users)
    with config_context(enable_metadata_routing=True):
        search.estimator.set_fit_request(groups=True)
    Known.seen.clear()
    found = compare_classifiers({"chosen": search}, recordings, labels, users)
    of_fold = np.split(np.array([users for users, _ in Known.seen], dtype=object), 6)
    for user, fits in zip(USERS, of_fold, strict=True):
        assert len(fits) == 11  # 5 inner users, 2 candidates, and the refit
        assert all(user not in users for users in fits)
        assert sorted(len(users) for users in fits) == [4] * 10 + [5]
    assert found.rows.query("model == 'chosen'")["chosen"].unique().tolist() == ["luck=0"]


def test_a_search_that_keeps_the_default_settings_is_said_to() -> None:
    search = GridSearchCV(NearestNeighborClassifier(), [{}], cv=GroupKFold(2))
    rows = compare_classifiers({"search": search}, *movements()).rows
    assert rows.groupby("model")["chosen"].unique().map(list).to_dict() == {"majority": [""], "search": ["default"]}


@pytest.mark.thorough
def test_a_search_or_a_vote_lets_whole_users_validate(monkeypatch: pytest.MonkeyPatch) -> None:
    recordings, labels, users = movements(USERS[:4])
    given = []
    true = network.validation_mask

    def spied(labels: Any, groups: Any, *rest: Any) -> Any:
        given.append(None if groups is None else len(set(groups.tolist())))
        return true(labels, groups, *rest)

    monkeypatch.setattr(network, "validation_mask", spied)
    search = GridSearchCV(GRUClassifier(**SMALL), {"units": [4]}, cv=LeaveGroupsOut())
    vote = VotingClassifier([("a", GRUClassifier(**SMALL)), ("b", GRUClassifier(**SMALL))], voting="soft")
    found = compare_classifiers({"search": search, "vote": vote}, recordings, labels, users)
    assert given == [2, 2, 2, 3] * 4 + [3, 3] * 4
    assert set(found.table["model"]) == {"search", "vote", "majority"}


def test_models_keep_their_names_and_what_is_no_classifier_is_refused() -> None:
    recordings, labels, users = movements(USERS[:2])
    found = compare_classifiers([MajorityClassifier(), MajorityClassifier()], recordings, labels, users)
    assert set(found.table["model"]) == {"majority", "majority-2"}
    assert list(named([GRUClassifier(), GRUClassifier(units=8)])) == ["gru", "gru-2", "majority"]
    for wrong in (MajorityClassifier, "gru", object()):
        with pytest.raises(ParameterError, match="a classifier must have fit and predict_proba: got"):
            compare_classifiers([wrong], recordings, labels, users)


def refused(*data: Any, model: Any = None, **options: Any) -> str:
    with pytest.raises((DataError, ParameterError)) as caught:
        compare_classifiers(model or Known(), *data, **options)
    assert Known.seen == []  # nothing was trained in vain
    return str(caught.value)


def test_faulty_recordings_labels_and_users_are_explained_before_anything_is_trained() -> None:
    recordings, labels, users = movements()
    assert refused([np.empty((0, 2)), *recordings[1:]], labels, users) == (
        "recording 0 must have a step at least: it is empty, (0, 2); leave it out"
    )
    assert "y must have two classes at least: got 1 class, 'slow', for all 48" in refused(
        recordings, ["slow"] * 48, users
    )
    assert "groups must be one for each recording, (48,): got shape (2,)" in refused(recordings, labels, ["ann", "bob"])
    assert refused(recordings, labels, ["ann"] * 48) == (
        "groups must be two at least, one to learn from and one to test on: got 1 group, 'ann', for all 48 recordings; "
        "protocol='random' measures accuracy on that one"
    )
    assert refused(recordings, labels, [None, *users[1:5], np.nan, *users[6:]]) == (
        "groups must have the user of each recording: 2 of 48 are missing, the first at position 0; name these users, "
        "or leave their recordings out"
    )
    assert refused(recordings, labels).startswith("recordings must have users to leave out: pass groups=...")
    jump = np.where((users == "bob") & (labels == "slow"), "jump", labels)
    assert refused(recordings, jump, users) == (
        "every class must have recordings to learn from: without user 'bob' class 'jump' has none, and 4 are tested; "
        "leave these out, or record that class more widely"
    )
    assert "in the given split class 'jump' has none" in refused(recordings, jump, test=users == "bob")
    once = np.where(np.arange(48) == 7, "jump", labels)
    assert re.search(
        r"in part \d of the random split class 'jump' has none", refused(recordings, once, protocol="random")
    )


def test_faulty_splits_are_explained() -> None:
    recordings, labels, users = movements()
    assert refused(recordings, labels, users, protocol="randm") == (
        "protocol must be one of 'leave-users-out', 'random': got 'randm'; did you mean 'random'?"
    )
    assert refused(recordings, labels, users, protocol=[]) == (
        "protocol must name one of 'leave-users-out', 'random', or both: got none"
    )
    assert "test must leave recordings on both sides: it is True for 48 of 48" in refused(
        recordings, labels, test=np.ones(48, dtype=bool)
    )
    assert "test must hold True (tested) or False for each recording" in refused(recordings, labels, test=[0, 1])
    assert "seeds must be a whole number >= 1: got 0" in refused(recordings, labels, users, seeds=0)
    assert "n_jobs must be a whole number of processes" in refused(recordings, labels, users, n_jobs=0)


def test_one_user_and_a_class_of_one_recording_have_a_way_out() -> None:
    recordings, labels, _ = movements(("ann",), each=6)
    found = compare_classifiers(NearestNeighborClassifier(), recordings, labels, ["ann"] * 12, protocol="random")
    assert isinstance(found, ClassificationResults)
    assert found.verdicts["nearest-neighbor"].outcome in ("inconclusive", "worse")
