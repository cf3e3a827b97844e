"""The four networks by name: each a `NeuralForecaster` with its cell."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from sklearn.base import BaseEstimator

from tsforecast.errors import nearest
from tsforecast.forecasters.neural import NeuralForecaster


def with_cell(kind: type[BaseEstimator], cell: str) -> Callable[..., None]:
    """Return an `__init__` for a subclass of `kind` that fixes the cell and takes every other parameter."""

    signature = inspect.signature(kind.__init__)
    known = [name for name in signature.parameters if name not in ("self", "cell")]

    def __init__(self: BaseEstimator, **settings: Any) -> None:
        if "cell" in settings:
            raise TypeError(
                f"{type(self).__name__} has the cell {cell!r}; use {kind.__name__}(cell=...) for another one"
            )
        for name in settings.keys() - set(known):
            raise TypeError(f"{type(self).__name__} has no setting {name!r}; {nearest(name, known)}")
        kind.__init__(self, cell, **settings)

    kept = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) if name != "self" else parameter
        for name, parameter in signature.parameters.items()
        if name != "cell"
    ]
    __init__.__signature__ = signature.replace(parameters=kept)  # type: ignore[attr-defined]
    return __init__


class RNNForecaster(NeuralForecaster):
    """A `NeuralForecaster` with an Elman network, ``cell="rnn"``; same parameters, by keyword."""

    __init__ = with_cell(NeuralForecaster, "rnn")


class GRUForecaster(NeuralForecaster):
    """A `NeuralForecaster` with gated recurrent units, ``cell="gru"``; same parameters, by keyword.

    Examples
    --------
    >>> GRUForecaster(units=8).get_params()["units"]
    8
    """

    __init__ = with_cell(NeuralForecaster, "gru")


class LSTMForecaster(NeuralForecaster):
    """A `NeuralForecaster` with long short-term memory, ``cell="lstm"``; same parameters, by keyword."""

    __init__ = with_cell(NeuralForecaster, "lstm")


class Conv1DForecaster(NeuralForecaster):
    """A `NeuralForecaster` with causal convolutions, ``cell="conv1d"``; same parameters, by keyword."""

    __init__ = with_cell(NeuralForecaster, "conv1d")
