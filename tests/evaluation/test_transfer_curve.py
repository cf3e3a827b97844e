"""The transfer curve: the same recordings test each number of shots, and none of them was learned from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.helpers.movements import USERS, movements
from tsforecast.errors import DataError, ParameterError
from tsforecast.evaluation.transfer_curve import learning, of_users, transfer_curve
from tsforecast.sequences.baselines import MajorityClassifier
from tsforecast.sequences.neural import GRUClassifier, NeuralClassifier

SMALL: dict[str, Any] = {"units": 8, "layers": 1, "max_epochs": 2, "random_state": 0, "validation": None}


@pytest.mark.long
def test_the_same_recordings_test_all_shots_and_none_that_was_tuned_on(monkeypatch: pytest.MonkeyPatch) -> None:
    recordings, labels, users = movements(USERS[:3])
    tuned, fitted = [], []
    fit, tune = GRUClassifier.fit, NeuralClassifier.fine_tune

    def spied_fit(self: Any, X: Any, y: Any, groups: Any = None, **more: Any) -> Any:
        fitted.append(set(groups.tolist()))
        return fit(self, X, y, groups, **more)

    def spied_tune(self: Any, X: Any, y: Any, **more: Any) -> Any:
        tuned.append(({one.tobytes() for one in X}, sorted(y.tolist())))
        return tune(self, X, y, **more)

    monkeypatch.setattr(GRUClassifier, "fit", spied_fit)
    monkeypatch.setattr(NeuralClassifier, "fine_tune", spied_tune)
    rows = transfer_curve(GRUClassifier(**SMALL), recordings, labels, users, shots=(0, 3, 1, 2))
    assert fitted == [{*USERS[:3]} - {user} for user in USERS[:3]]
    assert [label for _, label in tuned] == [["fast"] * n + ["slow"] * n for n in (1, 2, 3)] * 3
    for i, user in enumerate(USERS[:3]):
        one, two, three = (learned for learned, _ in tuned[3 * i : 3 * i + 3])
        assert one < two < three
        own = rows[rows["group"] == user]
        tested = [part["recording"].tolist() for _, part in own.groupby("shots")]
        assert tested[0] == tested[1] == tested[2] == tested[3]
        assert len(tested[0]) == 2
        assert not three & {recordings[k].tobytes() for k in tested[0]}
        assert all(users[k] == user for k in tested[0])
    assert rows.groupby("shots")["tuned_on"].first().to_dict() == {0: 0, 1: 2, 2: 4, 3: 6}


def test_no_shots_are_the_answers_of_the_network_as_it_came_from_the_others() -> None:
    recordings, labels, users = movements(USERS[:2])
    rows = transfer_curve(GRUClassifier(**SMALL), recordings, labels, users, shots=(0, 1))
    bob = rows[(rows["group"] == "bob") & (rows["shots"] == 0)]
    model = GRUClassifier(**SMALL).fit([recordings[i] for i in np.flatnonzero(users == "ann")], labels[users == "ann"])
    assert bob["predicted"].tolist() == model.predict([recordings[i] for i in bob["recording"]]).tolist()


def test_copies_of_a_recording_are_never_tuned_on() -> None:
    recordings, labels, users = movements()
    for i in range(0, len(recordings), 8):
        recordings[i + 2] = recordings[i].copy()
    rows = transfer_curve(GRUClassifier(**SMALL | {"max_epochs": 0}), recordings, labels, users, shots=(0, 2))
    tested = set(rows["recording"])
    assert all({i, i + 2} <= tested for i in range(0, len(recordings), 8))
    with pytest.raises(DataError, match="to tune on 3 without copies and test on others: 'ann' has 4 of"):
        transfer_curve(GRUClassifier(**SMALL), recordings, labels, users, shots=(3,))


@pytest.mark.thorough
def test_a_user_who_moves_in_another_way_is_learned_from_few_recordings() -> None:
    recordings, labels, users = movements(each=8)
    theirs = np.where(users == "fay", np.where(labels == "slow", "fast", "slow"), labels)  # the other way round
    model = GRUClassifier(**SMALL | {"max_epochs": 20, "learning_rate": 0.02})
    rows = transfer_curve(model, recordings, theirs, users, shots=(0, 4), max_epochs=40)
    accuracy = of_users(rows).loc["fay"]
    assert accuracy[4] > accuracy[0] + 0.2
    curve = learning(rows)
    assert curve["shots"].tolist() == [0, 4]
    assert curve["accuracy"].tolist() == pytest.approx(of_users(rows).mean().tolist())
    assert curve.loc[1, "gain"] == pytest.approx((of_users(rows)[4] - of_users(rows)[0]).mean())
    assert curve["users"].tolist() == [6, 6]


def test_what_cannot_be_tuned_is_refused() -> None:
    recordings, labels, users = movements(USERS[:2])
    with pytest.raises(DataError) as caught:
        transfer_curve(GRUClassifier(**SMALL), recordings, labels, users, shots=(0, 4))
    assert caught.value.problems[0] == (
        "each user must have more than 4 recordings of each class, to tune on 4 without copies and test on others: "
        "'ann' has 4 of 'fast', 4 of 'slow'; use fewer shots"
    )
    with pytest.raises(ParameterError, match="a transfer curve needs a network with fine_tune: got MajorityClassifier"):
        transfer_curve(MajorityClassifier(), recordings, labels, users)
    with pytest.raises(ParameterError, match="shots must be a whole number >= 0: got -1"):
        transfer_curve(GRUClassifier(**SMALL), recordings, labels, users, shots=(0, -1))
    for shots in (None, "13", 3):
        with pytest.raises(
            ParameterError, match=r"^shots must be a list of whole numbers, such as \[0, 1, 3, 5\]: got"
        ):
            transfer_curve(GRUClassifier(**SMALL), recordings, labels, users, shots=shots)
    with pytest.raises(
        DataError, match=r"^a transfer curve must have users to leave out: got none; pass groups=\.\.\."
    ):
        transfer_curve(GRUClassifier(**SMALL), recordings, labels, None)
    with pytest.raises(DataError, match=r"^X must be a list of \(T, C\) arrays, .*: got None$"):
        transfer_curve(GRUClassifier(**SMALL), None, labels, users)
