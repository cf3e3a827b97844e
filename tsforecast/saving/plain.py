"""Values as JSON can hold them, and back, without loss: what JSON lacks is an object with one of the names below.

Only values come back: text, numbers, lists, arrays, and forecasters that were not fitted. Nothing is imported or called
by a name that a file says.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

FLOAT, TUPLE, DICT, ARRAY, UNFITTED = "float", "tuple", "dict", "array", "unfitted"
_TAGS = {FLOAT, TUPLE, DICT, ARRAY, UNFITTED}
_KINDS = "biufUO"  # of arrays: numbers, text, and mixed values
MOST_BYTES = 1 << 26  # of an array of text, whose every item takes the room of the longest


def to_plain(value: Any, describe: Callable[[Any], tuple[str, dict[str, Any]]]) -> Any:
    """Return a value as JSON can hold it.

    Parameters
    ----------
    value : Any
    describe : callable
        Returns the name of the class, and the parameters, of a forecaster or classifier.

    Raises
    ------
    TypeError
        When it is no text, number, list, dict, array, forecaster or classifier.

    Examples
    --------
    >>> to_plain({"anchor": (6, 12), "loss": float("nan"), 3: "three"}, None)
    {'dict': [['anchor', {'tuple': [6, 12]}], ['loss', {'float': 'nan'}], [3, 'three']]}
    """

    def plain(value: Any) -> Any:
        if isinstance(value, np.generic):
            value = value.item()
        if value is None or isinstance(value, (bool, int, str)):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else {FLOAT: repr(value)}
        if isinstance(value, list):
            return [plain(item) for item in value]
        if isinstance(value, tuple):
            return {TUPLE: [plain(item) for item in value]}
        if isinstance(value, dict):
            if all(isinstance(name, str) and name not in _TAGS for name in value):
                return {name: plain(item) for name, item in value.items()}
            return {DICT: [[plain(name), plain(item)] for name, item in value.items()]}
        if isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind in _KINDS:
            kind = value.dtype.kind if value.dtype.kind in "UO" else value.dtype.name
            return {ARRAY: kind, "items": [plain(item) for item in value.tolist()]}
        if isinstance(value, BaseEstimator):
            name, parameters = describe(value)
            return {UNFITTED: name, "parameters": plain(parameters)}
        raise TypeError(f"a saved model holds numbers, text and lists only, and one of its parameters is {value!r}")

    return plain(value)


def from_plain(plain: Any, make: Callable[[str, dict[str, Any]], Any]) -> Any:
    """Undo `to_plain`.

    Parameters
    ----------
    plain : as JSON was read
    make : callable
        Returns the forecaster or classifier of a class with these parameters.

    Raises
    ------
    ValueError, TypeError
        When this was not written by `to_plain`.

    Examples
    --------
    >>> from_plain(to_plain(((), [np.float32(0.5)], {"a": np.array(["x", "yz"])}), None), None)
    ((), [0.5], {'a': array(['x', 'yz'], dtype='<U2')})
    """

    def value(plain: Any) -> Any:
        if isinstance(plain, list):
            return [value(item) for item in plain]
        if not isinstance(plain, dict):
            return plain
        if UNFITTED in plain:
            return make(plain[UNFITTED], value(plain["parameters"]))
        if FLOAT in plain:
            if plain[FLOAT] not in ("nan", "inf", "-inf"):
                raise ValueError(f"a number must be nan, inf or -inf to be written as text: got {plain[FLOAT]!r}")
            return float(plain[FLOAT])
        if TUPLE in plain:
            return tuple(value(_list(plain[TUPLE])))
        if DICT in plain:
            return {value(name): value(item) for name, item in _list(plain[DICT])}
        if ARRAY in plain:
            return _array(plain[ARRAY], value(_list(plain["items"])))
        return {name: value(item) for name, item in plain.items()}

    return value(plain)


def _list(items: Any) -> list[Any]:
    if not isinstance(items, list):
        raise ValueError(f"items must be a list: got {type(items).__name__}")
    return items


def _array(kind: Any, items: list[Any]) -> NDArray[Any]:
    if kind == "O":
        array = np.empty(len(items), dtype=object)
        array[:] = items
        return array
    if kind == "U":
        if not all(isinstance(item, str) for item in items):
            raise ValueError("an array of text must hold text only")
        if 4 * len(items) * max(map(len, items), default=0) > MOST_BYTES:
            raise ValueError(f"an array of text must take {MOST_BYTES} bytes at most")
        return np.array(items, dtype=np.str_)
    dtype = np.dtype(str(kind))
    if dtype.kind not in "biuf":
        raise ValueError(f"an array must hold numbers or text: got {kind!r}")
    return np.array(items, dtype=dtype)
