"""Observers are called for each fit and comparison, and for none that only checks something."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tests.helpers.forecasters import small, wave
from tsforecast.errors import DataError
from tsforecast.evaluation.leaderboard import leaderboard
from tsforecast.evaluation.record import ForecastFit
from tsforecast.events import Activity, observing
from tsforecast.leakage.audit import audit
from tsforecast.training.history import Epoch


class Recorder:
    """Record of the calls as text."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def on_start(self, activity: Activity) -> None:
        self.calls.append(f"start {type(activity.subject).__name__}")

    def on_event(self, activity: Activity, event: Any) -> None:
        self.calls.append(f"epoch {event.number}" if isinstance(event, Epoch) else f"outcome of {event.model}")

    def on_end(self, activity: Activity, error: BaseException | None) -> None:
        self.calls.append(f"end {type(activity.subject).__name__} {type(error).__name__ if error else ''}".strip())


def test_a_fit_reports_its_epochs() -> None:
    recorder, own = Recorder(), list[int]()
    with observing(recorder):
        small("gru").fit(wave(), on_epoch=lambda epoch: own.append(epoch.number))  # type: ignore[call-arg]
    assert recorder.calls == ["start GRUForecaster", "epoch 0", "epoch 1", "epoch 2", "end GRUForecaster"]
    assert own == [0, 1, 2]


def test_a_comparison_reports_its_fits_and_their_outcomes() -> None:
    recorder = Recorder()
    with observing(recorder):
        leaderboard([], wave(), horizon=2)
    assert recorder.calls[:4] == ["start dict", "start NaiveForecaster", "end NaiveForecaster", "outcome of naive"]
    assert recorder.calls[-2:] == ["outcome of drift", "end dict"]


def test_the_fits_of_an_audit_are_not_reported() -> None:
    recorder = Recorder()
    with observing(recorder):
        audit(small("gru"), wave(), cutoffs=1)
    assert recorder.calls == []


def test_an_error_within_is_reported_and_raised() -> None:
    recorder = Recorder()
    with observing(recorder), pytest.raises(DataError):
        small("gru").set_params(window=1000).fit(wave())
    assert recorder.calls == ["start GRUForecaster", "end GRUForecaster DataError"]


def test_other_threads_and_later_fits_are_not_reported() -> None:
    recorder = Recorder()
    with observing(recorder):
        other = threading.Thread(target=lambda: small("naive").fit(wave()))
        other.start()
        other.join()
    small("naive").fit(wave())
    assert recorder.calls == []


def test_an_outcome_is_a_record_of_the_fit() -> None:
    events: list[Any] = []
    recorder = Recorder()
    recorder.on_event = lambda activity, event: events.append(event)  # type: ignore[method-assign]
    with observing(recorder):
        leaderboard([], wave(), horizon=2)
    assert [type(event) for event in events] == [ForecastFit] * 3
