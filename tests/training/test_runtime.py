"""Fits in threads of one process do not disturb each other's random numbers."""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from tests.helpers.forecasters import small, wave
from tsforecast.training.runtime import seeded


@pytest.mark.thorough
def test_fits_in_several_threads_give_what_each_gives_alone() -> None:
    noise = wave(120) + np.random.default_rng(0).normal(size=120)

    def losses(seed: int | None) -> np.ndarray:
        model = small("gru").set_params(dropout=0.2, max_epochs=8, patience=None, random_state=seed)
        return np.asarray([epoch.train_loss for epoch in model.fit(noise).history_[1:]])

    seeds = [0, 1, 2, None, 0, 1, None, 2]
    alone = {seed: losses(seed) for seed in (0, 1, 2)}
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(losses, seeds))
    assert not np.array_equal(alone[0], alone[1])
    assert all(np.array_equal(got, alone[seed]) for seed, got in zip(seeds, together, strict=True) if seed is not None)


def test_a_child_of_a_process_in_which_somebody_trains_does_not_wait() -> None:
    inside, over = threading.Event(), threading.Event()

    def train() -> None:
        with seeded(0):
            inside.set()
            over.wait()

    other = threading.Thread(target=train)
    other.start()
    inside.wait()
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        with seeded(0):
            drawn = float(torch.rand(1))
        os._exit(0 if drawn >= 0 else 1)
    _, status = os.waitpid(child, 0)
    over.set()
    other.join()
    assert os.waitstatus_to_exitcode(status) == 0
