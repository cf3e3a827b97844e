"""The way from `fit` to the network is short: few calls deep, through few modules."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import numpy as np
import pytest

from tsforecast.forecasters.neural import GRUForecaster
from tsforecast.sequences.neural import GRUClassifier

HOPS, MODULES = 4, 27  # at most; arrays in files, and workers, are two of them


class ArrivedError(Exception):
    """Raised at the first `forward` of the network, where the journey ends."""


def ours(frame: FrameType) -> str:
    """Return the module of a function of the package; nothing for others, and for those that are generated."""
    module: str = frame.f_globals.get("__name__", "")
    return module if module.startswith("tsforecast.") and not frame.f_code.co_filename.startswith("<") else ""


def journey(fit: Callable[[], Any]) -> tuple[list[str], set[str]]:
    """Return the functions on the stack from `fit` to the first `forward`, and the modules entered by then."""
    stack: list[str] = []
    modules: set[str] = set()

    def look(frame: FrameType, event: str, _: Any) -> None:
        if event != "call" or not ours(frame):
            return
        modules.add(ours(frame))
        if frame.f_code.co_qualname in ("ForecastNetwork.forward", "SequenceNetwork.forward"):
            at: FrameType | None = frame
            while at is not None:
                stack.extend([at.f_code.co_qualname] if ours(at) else [])
                at = at.f_back
            raise ArrivedError

    sys.setprofile(look)
    try:
        fit()
    except ArrivedError:
        sys.setprofile(None)
        return stack[::-1], modules
    finally:
        sys.setprofile(None)
    raise AssertionError("the network was not reached")


SERIES = 2 + np.sin(np.arange(200) / 5)
FITS = {
    "forecaster": lambda data: GRUForecaster(horizon=3, units=4, max_epochs=1, random_state=0).fit(data),
    # Without features of random convolutions, which the head reads beside the network.
    "classifier": lambda data: GRUClassifier(units=4, features=0, max_epochs=1, random_state=0).fit(data, [0, 1] * 5),
}
DATA = {"forecaster": SERIES, "classifier": SERIES.reshape(10, 20)}


@pytest.mark.parametrize("name", FITS)
def test_from_fit_to_the_network_it_is_few_calls_and_modules(name: str) -> None:
    FITS[name](DATA[name])  # once, so that all is imported
    stack, modules = journey(lambda: FITS[name](DATA[name]))
    assert stack[0].endswith(".fit")
    assert len(stack) - 1 <= HOPS, stack
    assert len(modules) <= MODULES, sorted(modules)
