"""A quote is the time and memory of a fit before it runs, and leaves nothing behind."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.classifiers import quick
from tsforecast.errors import DataError, ParameterError
from tsforecast.estimators.base import NotFittedError
from tsforecast.estimators.quotes import Quote, Trial
from tsforecast.events import observing
from tsforecast.forecasters.neural import GRUForecaster
from tsforecast.sequences.neural import GRUClassifier
from tsforecast.training.history import Epoch
from tsforecast.training.loop import TrainingConfig

SERIES = np.sin(np.arange(600) / 5) + 0.1 * np.random.default_rng(0).normal(size=600)


def small(**settings: Any) -> GRUForecaster:
    return GRUForecaster(**{"horizon": 3, "window": 12, "units": 8, "max_epochs": 20, "random_state": 0} | settings)


def trained(step: float, validation: float) -> Any:
    """Return a training that takes exactly so many seconds for each step and for each validation."""

    def train(*, config: TrainingConfig, progress: Any) -> list[Epoch]:
        with progress as report:
            history = [Epoch(0, None, 1.0, 0.0, 0.0)]
            for number in range(1, config.epochs + 1):
                steps = config.steps(64 * 1_000)
                seconds = steps * step + validation + (number == 1)  # the first one loads what is slow to load
                history.append(Epoch(number, 1.0, 1.0, 0.1, seconds))
                report(history[-1])
        return history

    return train


def test_steps_and_validation_of_a_trial_are_multiplied() -> None:
    trial = Trial()
    config = TrainingConfig(batch_size=64, max_epochs=50, learning_rate=0.1, steps_per_epoch=200, patience=8)
    history = trial.run(trained(0.01, 0.3), config, 64 * 1_000, 1)
    assert (trial.epochs, trial.steps) == (50, 200)
    assert trial.epoch == pytest.approx(200 * 0.01 + 0.3)
    assert trial.seconds == pytest.approx(50 * trial.epoch)
    assert trial.least == pytest.approx(8 * trial.epoch)
    assert len(history) < 8  # short
    again = Trial()
    again.run(trained(0.01, 0.3), config, 64 * 1_000, 2)  # fitted once more on all data
    assert again.seconds == pytest.approx(2 * trial.seconds)
    assert again.least == pytest.approx(trial.least)
    assert again.epoch == pytest.approx(2 * trial.epoch)


def test_epochs_of_few_steps_are_timed_as_they_are() -> None:
    trial = Trial()
    trial.run(trained(0.2, 0.1), TrainingConfig(64, 30, 0.1, steps_per_epoch=3), 64 * 1_000, 1)
    assert trial.epoch == pytest.approx(3 * 0.2 + 0.1)
    assert trial.least == trial.seconds  # no patience ends it before


def test_a_quote_leaves_the_forecaster_as_it_is_and_announces_nothing() -> None:
    class Observer:
        events = 0

        def on_start(self, activity: Any) -> None:
            self.events += 1

        on_end = on_event = lambda self, *_: None

    model, observer = small(), Observer()
    with observing(observer):  # type: ignore[arg-type]
        quote = model.quote(SERIES)
    assert observer.events == 0
    with pytest.raises(NotFittedError):
        model.predict()
    assert (quote.epochs, quote.steps) == (20, 8)
    assert 0 < quote.least_seconds < quote.seconds
    assert quote.after(20) == quote.seconds
    assert quote.after(10) == pytest.approx(quote.seconds - 10 * quote.epoch_seconds)
    for epochs in (-1, 21, 1.5, float("nan"), "a", True):
        with pytest.raises(ParameterError, match="epochs must be a whole number from 0 to 20, the epochs of the fit"):
            quote.after(epochs)  # type: ignore[arg-type]
    fitted = model.fit(SERIES)
    assert len(fitted.history_) > 8  # all of them: the trial is over
    assert np.array_equal(fitted.predict(), small().fit(SERIES).predict())


def test_a_quote_keeps_no_checkpoint(tmp_path: Path) -> None:
    quote = small().quote(SERIES, checkpoint=tmp_path / "kept")
    assert quote.epochs == 20
    assert not (tmp_path / "kept").exists()


def test_a_quote_reads_as_a_sentence() -> None:
    quote = Quote(90.0, 30.0, 512 * 2**20, 20, 8, 4.0, 1.0)
    assert str(quote) == "30 s to 1.5 min for at most 20 epochs of 8 steps, 512 MiB of memory at the peak"
    assert str(Quote(3.0, 3.0, 0, 1, 1, 3.0, 1.0)) == "3.0 s for at most 1 epoch of 1 step"


def test_classifiers_are_quoted_and_mistakes_are_those_of_a_fit() -> None:
    recordings = [np.sin(np.arange(20 + i) * (1 + i % 2)) for i in range(24)]
    quote = quick(GRUClassifier).quote(recordings, np.arange(24) % 2)
    assert (quote.epochs, quote.steps) == (30, 1)
    with pytest.raises(DataError, match="steps"):
        small().quote(SERIES[:5])


@pytest.mark.thorough
@pytest.mark.parametrize("settings", [{}, {"segment": 1, "units": 32}, {"members": 3, "max_epochs": 10}])
def test_a_fit_takes_about_as_long_as_was_quoted(settings: dict[str, Any]) -> None:
    ratios = []
    for _ in range(3):  # the machine may be busy for a moment
        model = small(**settings)
        quote, began = model.quote(SERIES), time.perf_counter()
        model.fit(SERIES)
        ratios.append((time.perf_counter() - began) / quote.after(len(model.history_) - 1))
    assert 0.5 < np.median(ratios) < 2


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is counted in a file of Linux")
def test_memory_of_the_process_is_that_at_the_peak_of_the_fit() -> None:
    large = np.random.default_rng(0).normal(size=(4_000_000, 1)).cumsum(axis=0)  # 32 MB, read in a fit several times
    before = small(max_epochs=1).quote(SERIES).memory
    assert small(max_epochs=1).quote(large).memory > before + 64 * 2**20
