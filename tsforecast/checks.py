"""Checks of parameters: each returns the problems that it finds, so that a caller can report all at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tsforecast.errors import nearest


def whole(name: str, value: Any, least: int, also: Sequence[Any] = ()) -> list[str]:
    """Require a whole number >= `least`, or one of the values `also`.

    Examples
    --------
    >>> whole("horizon", 0, 1)
    ['horizon must be a whole number >= 1: got 0']
    """
    if any(value is other or (isinstance(other, str) and value == other) for other in also):
        return []
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool) and value >= least:
        return []
    others = "".join(f" or {other!r}" for other in also)
    return [f"{name} must be a whole number >= {least}{others}: got {value!r}"]


def between(name: str, value: Any, low: float, high: float, *, open_low: bool = False) -> list[str]:
    """Require a number in [low, high), or in (low, high) with `open_low`.

    Examples
    --------
    >>> between("dropout", 1.5, 0, 1)
    ['dropout must be a number in [0, 1): got 1.5']
    """
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if number and (low < value if open_low else low <= value) and value < high:
        return []
    return [f"{name} must be a number in {'(' if open_low else '['}{low:g}, {high:g}): got {value!r}"]


def one_of(name: str, value: Any, options: Sequence[str]) -> list[str]:
    """Require one of some names, and guess which one was meant.

    Examples
    --------
    >>> one_of("cell", "grru", ["gru", "lstm"])
    ["cell must be one of 'gru', 'lstm': got 'grru'; did you mean 'gru'?"]
    """
    if value in options:
        return []
    hint = nearest(value, options)
    tail = f"; {hint}" if hint.startswith("did") else ""
    return [f"{name} must be one of {', '.join(map(repr, options))}: got {value!r}{tail}"]
