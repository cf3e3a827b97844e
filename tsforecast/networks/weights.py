"""Weights from elsewhere put into a network, once they are seen to be its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from numpy.typing import NDArray
from torch import nn
from torch.overrides import TorchFunctionMode

Network = TypeVar("Network", bound=nn.Module)


def with_weights(build: Callable[[], Network], layers: int, weights: Mapping[str, NDArray[Any]]) -> Network:
    """Return the network that `build` makes, with these weights.

    Nothing is allocated before all shapes are seen to be those of the weights: a file that asks for a huge network
    without bringing its weights costs nothing.

    Parameters
    ----------
    build : callable
    layers : int
        Of the network; each has a weight at least.
    weights : dict of arrays

    Raises
    ------
    ValueError

    Examples
    --------
    >>> import numpy as np
    >>> with_weights(lambda: nn.Linear(10**9, 10**9), 1, {"weight": np.ones((1, 2)), "bias": np.ones(1)})
    Traceback (most recent call last):
        ...
    ValueError: weights must be those of the network: 'bias' has shape (1,), and (1000000000,) is needed
    """
    if layers > len(weights):
        raise ValueError(f"weights must be those of the network: {len(weights)} arrays are no {layers} layers")
    with torch.device("meta"), _NothingInPlace():
        needed = {name: tuple(part.shape) for name, part in build().state_dict().items()}
    there = {name: array.shape for name, array in weights.items()}
    for name in sorted(needed.keys() | there.keys()):
        if there.get(name) != needed.get(name):
            found = f"has shape {there[name]}" if name in there else "is missing"
            wanted = f"{needed[name]} is needed" if name in needed else "nothing of the name is needed"
            raise ValueError(f"weights must be those of the network: {name!r} {found}, and {wanted}")
    with torch.random.fork_rng(devices=[]):  # what `build` draws is not used
        network = build()
    network.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    return network


class _NothingInPlace(TorchFunctionMode):
    """What fills a tensor is left out: of shapes alone there is nothing to fill, and torch imports a lot to do so."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name.endswith("_") and not name.startswith("_"):
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


def under(prefix: str, numbers: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return the arrays whose names start with `prefix`, by the rest of their names."""
    return {name.removeprefix(prefix): array for name, array in numbers.items() if name.startswith(prefix)}
