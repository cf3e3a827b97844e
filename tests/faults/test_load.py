"""Many threads on one fitted model, and many models in one process: the same answers, and no more memory."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch

from tests.helpers.models import FRAME, RECORDINGS, X, fitted
from tsforecast.data.samples import SupervisedPanel
from tsforecast.training.runtime import few_threads

pytestmark = pytest.mark.process
THREADS = 200


def state(model: Any) -> bytes:
    """Return all that a model holds, as bytes."""
    return pickle.dumps(vars(model))


def questions(model: Any, count: int) -> list[tuple[Any, dict[str, Any]]]:
    """Return different things to ask a model, each of which has an answer."""
    if hasattr(model, "classes_"):
        return [(RECORDINGS[i % 9 :], {}) for i in range(count)]
    if isinstance(model.panel_, SupervisedPanel):
        return [(X[i % 9 :], {}) for i in range(count)]
    contexts = [FRAME.assign(size=1.5).groupby("shop", group_keys=False).head(40 - i % 9) for i in range(count)]
    return [(context[["shop", "day", "sales", "size"]], {"horizon": 1 + i % 5}) for i, context in enumerate(contexts)]


def answer(model: Any, context: Any, options: dict[str, Any]) -> np.ndarray:
    said = model.predict_proba(context) if hasattr(model, "classes_") else model.predict(context, **options)
    return np.asarray(said["sales"] if hasattr(said, "columns") else said)


MORE = [pytest.param(name, marks=pytest.mark.slow) for name in ("seasonal-naive", "arima", "ensemble")]


@pytest.mark.parametrize("name", ["theta", "reduction", "gru", "gru-classifier", *MORE])
def test_two_hundred_threads_get_the_answers_of_one_and_change_nothing(name: str) -> None:
    model = fitted(name)
    asked = questions(model, THREADS)
    alone = [answer(copy.deepcopy(model), *question) for question in asked[:45]]
    before, together = state(model), threading.Barrier(len(asked))

    def ask(number: int) -> np.ndarray:
        together.wait(60)  # all at once
        return answer(model, *asked[number])

    with ThreadPoolExecutor(len(asked)) as pool:
        said = list(pool.map(ask, range(len(asked))))
    for number, found in enumerate(said):
        assert np.array_equal(found, alone[number % 45])
    assert state(model) == before


def test_many_threads_leave_torch_as_many_as_it_had() -> None:
    model, usual = fitted("gru-classifier"), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        together = threading.Barrier(30)

        def ask(_: int) -> None:
            together.wait(60)
            model.predict(RECORDINGS)

        with ThreadPoolExecutor(30) as pool:
            list(pool.map(ask, range(30)))
        assert torch.get_num_threads() == 2
        with ThreadPoolExecutor(1) as pool:  # a thread that begins afterwards
            assert pool.submit(torch.get_num_threads).result() == 2
        with few_threads(1), few_threads(1):
            pass
        with few_threads(1):
            with few_threads(1):
                pass
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(usual)


SOAK = """
import resource, sys
from tests.helpers.forecasters import small, wave
from tests.helpers.models import CLASSIFIERS, fitted, said
names = ("naive", "reduction", "gru", "conv1d", "theta", *CLASSIFIERS)
grown = []
for number in range(int(sys.argv[1])):
    said(fitted(names[number % len(names)]))
    grown.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
print(grown[49], grown[-1])
"""


def soak(fits: int, slack: int) -> None:
    result = subprocess.run([sys.executable, "-c", SOAK, str(fits)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    early, late = (int(kibibytes) for kibibytes in result.stdout.split())
    assert late - early < slack, f"{early} KiB after 50 fits, {late} KiB after {fits}"


@pytest.mark.slow
@pytest.mark.process
def test_memory_stays_flat_over_a_hundred_and_fifty_fits() -> None:
    soak(150, slack=12 << 10)


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_memory_stays_flat_over_a_thousand_fits() -> None:
    soak(1000, slack=16 << 10)
