"""Fits side by side in one process are those of fits one after the other, to the bit."""

from __future__ import annotations

import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from tests.helpers.forecasters import small, wave
from tsforecast import EnsembleForecaster, Panel, leaderboard
from tsforecast.errors import TrainingWarning
from tsforecast.events import clock, observing
from tsforecast.training.history import Epoch
from tsforecast.training.runtime import aside, seeded, side_by_side, together

CASES: list[dict[str, Any]] = [
    {"name": "gru", "units": 5, "max_epochs": 30, "patience": 2, "learning_rate": 0.05},
    {"name": "gru", "units": 5, "max_epochs": 6, "dropout": 0.3, "layers": 2, "random_state": 1},
    {"name": "lstm", "steps": 140, "batch_size": 17},
    {"name": "rnn", "steps": 70, "refit": True, "max_epochs": 5},
    {"name": "gru", "kernels": "off", "dropout": 0.3},
    {"name": "gru", "members": 3, "steps": 100},
    {"name": "gru", "units": 40, "batch_size": 256, "steps": 400, "window": 24, "segment": 1},  # tiles of several parts
]


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def interrupts() -> Iterator[None]:
    """Python's own handler: Ray puts another in its place."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def fit(name: str, steps: int = 90, **settings: Any) -> tuple[np.ndarray, list[Any]]:
    """Return forecast and losses of a small network."""
    model = small(name).set_params(**{"kernels": "on", "max_epochs": 4} | settings).fit(wave(steps))
    return model.predict(), [(epoch.train_loss, epoch.valid_loss) for epoch in model.history_]


@pytest.mark.long
def test_each_is_what_it_is_alone_to_the_bit_whatever_its_shape() -> None:
    fits = [partial(fit, **case) for case in CASES]
    alone = [each() for each in fits]
    torch.manual_seed(5)
    before, filters = torch.get_rng_state(), list(warnings.filters)
    for (ours, losses), (theirs, expected) in zip(together(fits), alone, strict=True):
        assert np.array_equal(ours, theirs)
        assert losses == expected
    assert len({len(losses) for _, losses in alone}) > 2  # patience ends some before others
    assert torch.equal(torch.get_rng_state(), before)
    assert together([torch.get_num_threads] * 3) == [2, 2, 2]
    assert warnings.filters == filters


def test_what_is_aside_runs_at_once_and_all_else_in_turn() -> None:
    at_once, running, most = threading.Barrier(2, timeout=20), list[int](), list[int]()

    def turn(seed: int) -> float:
        running.append(seed)
        time.sleep(0.01)
        most.append(len(running))
        running.remove(seed)
        return float(torch.rand(1))

    def call(seed: int) -> list[float]:
        with seeded(seed):
            first = turn(seed)
            with aside(1) as generator:
                at_once.wait()
                second = float(torch.rand(1, generator=generator))
            return [first, second, turn(seed)]

    found = together([partial(call, 3), partial(call, 4)])
    assert most == [1, 1, 1, 1]
    for seed, drawn in zip((3, 4), found, strict=True):
        torch.manual_seed(seed)
        assert drawn == [float(torch.rand(1)) for _ in range(3)]


def test_each_has_filters_of_warnings_of_its_own() -> None:
    def call(action: Any) -> str:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter(action)
            for _ in range(3):
                with aside(1):
                    time.sleep(0.01)
                try:
                    warnings.warn("the same", TrainingWarning, stacklevel=1)
                except TrainingWarning:
                    return "raised"
        return str(len(caught))

    assert together([partial(call, each) for each in ("error", "ignore", "always")]) == ["raised", "0", "3"]


def test_an_error_is_the_outcome_of_one_alone() -> None:
    def fails() -> Any:
        with aside(1):
            raise ValueError("no")

    calls: list[Callable[[], Any]] = [partial(fit, "gru"), fails, partial(fit, "rnn")]
    outcomes = dict(side_by_side(calls))
    assert [type(outcomes[i].exception()) for i in range(3)] == [type(None), ValueError, type(None)]
    with pytest.raises(ValueError, match="no"):
        together(calls)


def test_nothing_goes_on_behind_a_caller_who_takes_no_more() -> None:
    begun: list[int] = []

    def call(number: int) -> int:
        begun.append(number)
        for _ in range(20 if number == 0 else 10_000):
            with aside(1):
                time.sleep(0.001)
        return number

    with closing(side_by_side([partial(call, i) for i in range(9)])) as ended:
        assert next(ended)[1].result() == 0
    assert len(begun) in (2, 3, 4)
    assert not [thread for thread in threading.enumerate() if thread.name.endswith("(_work)")]
    with seeded(0):  # and the random numbers are free
        pass


@pytest.mark.long
def test_the_clock_leaves_out_the_turns_of_others() -> None:
    def call(seconds: float) -> float:
        began = clock()
        for _ in range(10):
            with aside(1):
                time.sleep(0.005)
            time.sleep(seconds / 10)
        return clock() - began

    began = time.perf_counter()
    slow, quick = together([partial(call, 0.4), partial(call, 0.1)])
    assert time.perf_counter() - began >= 0.5
    assert slow == pytest.approx(0.45, abs=0.08)
    assert quick == pytest.approx(0.15, abs=0.08)


@pytest.mark.usefixtures("interrupts")
@pytest.mark.parametrize("observed", [False, True])  # one after the other
def test_an_interrupt_ends_all_fits_at_their_next_epoch(observed: bool) -> None:
    epochs = list[tuple[int, int]]()

    def call(seed: int) -> None:
        def note(epoch: Epoch) -> None:
            epochs.append((seed, epoch.number))
            if epochs.count((0, 3)) == 1 and epochs[-1] == (0, 3):
                signal.raise_signal(signal.SIGINT)
                time.sleep(0.05)

        small("gru").set_params(max_epochs=50, patience=None, kernels="on").fit(wave(), on_epoch=note)

    with pytest.raises(KeyboardInterrupt), observing(Nobody() if observed else None):
        together([partial(call, seed) for seed in range(20)])
    assert max(number for _, number in epochs) < 50
    assert max(seed for seed, _ in epochs) < 19
    assert together([lambda: 1, lambda: 2]) == [1, 2]


@pytest.mark.usefixtures("interrupts")
def test_an_interrupt_ends_calls_that_train_nothing() -> None:
    def call() -> None:
        signal.raise_signal(signal.SIGINT)
        time.sleep(0.05)

    with pytest.raises(KeyboardInterrupt):
        together([call] * 3)


class Nobody:
    """An observer."""

    def on_start(self, *_: Any) -> None: ...

    on_event = on_end = on_start


def test_within_another_one_and_with_an_observer_they_run_one_after_the_other() -> None:
    def threads() -> list[int]:
        return together([threading.get_ident] * 3)

    inner = together([threads, threads])
    assert [len(set(each)) for each in inner] == [1, 1]

    with observing(Nobody()):
        assert set(threads()) == {threading.get_ident()}


@pytest.mark.long
def test_an_ensemble_and_a_board_have_the_numbers_of_single_fits() -> None:
    panel = Panel.from_array(wave(120), season_length=6)
    network = small("gru").set_params(kernels="on", max_epochs=4)
    ensemble = EnsembleForecaster(network, seeds=3).fit(panel)
    single = [small("gru").set_params(kernels="on", max_epochs=4, random_state=seed).fit(panel) for seed in range(3)]
    for ours, theirs in zip(ensemble.members_, single, strict=True):
        assert np.array_equal(ours.predict(), theirs.predict())

    board = leaderboard({"gru": network, "lstm": small("lstm").set_params(kernels="on")}, panel, 3, origins=2, seeds=3)
    assert board.rows.query("model == 'gru'")["seed"].is_monotonic_increasing
    for seed in range(3):
        own = leaderboard({"gru": network.set_params(random_state=seed)}, panel, 3, origins=2)
        rows = [each.rows.query(f"model == 'gru' and seed == {seed}") for each in (board, own)]
        assert len(rows[0])
        assert rows[0]["forecast"].tolist() == rows[1]["forecast"].tolist()
