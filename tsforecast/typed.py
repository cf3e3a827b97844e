"""Values that came from outside, seen to have the types that a dataclass says."""

from __future__ import annotations

from functools import cache
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

Record = TypeVar("Record")


def typed(cls: type[Record], values: Any) -> Record:
    """Return the dataclass `cls` with these values, once each is seen to have the type that its field says.

    Raises
    ------
    TypeError

    Examples
    --------
    >>> from tsforecast.data.calendar import Frequency
    >>> typed(Frequency, {"unit": "month", "count": 3})
    Frequency(unit='month', count=3)
    >>> typed(Frequency, {"unit": "month", "count": "3"})
    Traceback (most recent call last):
        ...
    TypeError: count of Frequency must be int: got '3'
    """
    hints = _hints(cls)  # type: ignore[arg-type]  # a class can be hashed
    for name, value in values.items():
        if name not in hints:
            raise TypeError(f"{cls.__name__} has no {name!r}")
        if not _fits(value, hints[name]):
            wanted = getattr(hints[name], "__name__", hints[name])
            raise TypeError(f"{name} of {cls.__name__} must be {wanted}: got {value!r}")
    return cls(**values)


@cache
def _hints(cls: type[Any]) -> dict[str, Any]:
    return get_type_hints(cls)


def _fits(value: Any, hint: Any) -> bool:
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Literal:
        return any(value is part or (isinstance(value, str) and value == part) for part in parts)
    if origin in (Union, UnionType):
        return any(_fits(value, part) for part in parts)
    if origin in (tuple, list):
        return isinstance(value, origin) and all(_fits(item, parts[0]) for item in value)
    if origin is dict:
        return isinstance(value, dict) and all(_fits(name, parts[0]) for name in value)
    if hint is Any:
        return True
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, type(None) if hint is None else hint)
