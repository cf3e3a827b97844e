"""Whoever listens hears of each fit, and of nothing that is tried only to prove something."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tests.conftest import small, wave
from tsforecast.audit.audit import audit
from tsforecast.errors import DataError
from tsforecast.evaluation.leaderboard import leaderboard
from tsforecast.evaluation.record import Fit
from tsforecast.events import Activity, observing
from tsforecast.training.history import Epoch


class Listener:
    """Writes down what it hears."""

    def __init__(self) -> None:
        self.heard_of: list[str] = []

    def began(self, work: Activity) -> None:
        self.heard_of.append(f"began {type(work.subject).__name__}")

    def heard(self, work: Activity, fact: Any) -> None:
        self.heard_of.append(f"epoch {fact.number}" if isinstance(fact, Epoch) else f"outcome of {fact.model}")

    def ended(self, work: Activity, error: BaseException | None) -> None:
        self.heard_of.append(f"ended {type(work.subject).__name__} {type(error).__name__ if error else ''}".strip())


def test_a_fit_tells_of_its_epochs() -> None:
    listener, own = Listener(), list[int]()
    with observing(listener):
        small("gru").fit(wave(), on_epoch=lambda epoch: own.append(epoch.number))  # type: ignore[call-arg]
    assert listener.heard_of == ["began GRUForecaster", "epoch 0", "epoch 1", "epoch 2", "ended GRUForecaster"]
    assert own == [0, 1, 2]


def test_a_comparison_tells_of_the_fits_inside_and_of_their_outcomes() -> None:
    listener = Listener()
    with observing(listener):
        leaderboard([], wave(), horizon=2)
    assert listener.heard_of[:4] == ["began dict", "began NaiveForecaster", "ended NaiveForecaster", "outcome of naive"]
    assert listener.heard_of[-2:] == ["outcome of drift", "ended dict"]


def test_the_fits_of_an_audit_are_not_told_of() -> None:
    listener = Listener()
    with observing(listener):
        audit(small("gru"), wave(), cutoffs=1)
    assert listener.heard_of == []


def test_what_goes_wrong_within_is_told_and_raised() -> None:
    listener = Listener()
    with observing(listener), pytest.raises(DataError):
        small("gru").set_params(window=1000).fit(wave())
    assert listener.heard_of == ["began GRUForecaster", "ended GRUForecaster DataError"]


def test_other_threads_and_what_comes_after_are_not_heard() -> None:
    listener = Listener()
    with observing(listener):
        other = threading.Thread(target=lambda: small("naive").fit(wave()))
        other.start()
        other.join()
    small("naive").fit(wave())
    assert listener.heard_of == []


def test_an_outcome_is_a_record_of_the_fit() -> None:
    facts: list[Any] = []
    listener = Listener()
    listener.heard = lambda work, fact: facts.append(fact)  # type: ignore[method-assign]
    with observing(listener):
        leaderboard([], wave(), horizon=2)
    assert [type(fact) for fact in facts] == [Fit] * 3
