"""Checks of parameters; each returns its problems, so that a caller can report all at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tsforecast.errors import Parameter, ParameterError, Part, Phrase, Problem, guess


def whole(name: str, value: Any, least: int, also: Sequence[Any] = ()) -> list[str]:
    """Require a whole number >= `least`, or one of the values `also`."""
    if _among(value, also) or (_is_whole(value) and value >= least):
        return []
    return [Problem((f"must be a whole number >= {least}", *_others(also)), f"got {value!r}", parameter=name)]


def jobs(name: str, value: Any) -> list[str]:
    """Require a number of processes as in scikit-learn, or None."""
    fine = value is None or (_is_whole(value) and value != 0)
    must = "must be a whole number of processes, or -1 for one on each core, -2 for one less, ..."
    return [] if fine else [Problem(must, f"got {value!r}", parameter=name)]


def between(name: str, value: Any, low: float, high: float, *, open_low: bool = False, part: str = "") -> list[str]:
    """Require a number in [low, high), or in (low, high) with `open_low`, of a parameter or a part of it."""
    number = _is_whole(value) or isinstance(value, (float, np.floating))
    if number and (low < value if open_low else low <= value) and value < high:
        return []
    must = f"{part} must be a number in {'(' if open_low else '['}{low:g}, {high:g})"
    return [Problem((Parameter(name), must), f"got {value!r}")]


def share_or_count(name: str, value: Any, also: Sequence[Any] = ()) -> list[str]:
    """Require a share in (0, 1), a whole number >= 1, or one of the values `also`."""
    if _among(value, also) or (_is_whole(value) and value >= 1) or (isinstance(value, float) and 0 < value < 1):
        return []
    must = ("must be a share in (0, 1), a whole number >= 1", *_others(also))
    return [Problem(must, f"got {value!r}", parameter=name)]


def flag(name: str, value: Any) -> list[str]:
    """Require True or False."""
    fine = isinstance(value, (bool, np.bool_))
    return [] if fine else [Problem("must be True or False", f"got {value!r}", parameter=name)]


def one_of(name: str, value: Any, options: Sequence[str], also: Sequence[Any] = ()) -> list[str]:
    """Require one of some names, or one of the values `also`, and guess which one was meant."""
    if _among(value, [*options, *also]):
        return []
    shown = [*options, *also]
    remedy = "" if value is None else guess(value, [option for option in shown if not isinstance(option, bool)])
    must = (f"must be one of {', '.join(map(repr, options))}", *_others(also, ", "))
    return [Problem(must, f"got {value!r}", remedy, parameter=name)]


def _others(values: Sequence[Any], between: str = " or ") -> list[Part]:
    """Return more values that are possible, in words; on the command line None is an option that is left out."""
    return [Phrase(f"{between}None", "no value") if value is None else f"{between}{value!r}" for value in values]


def _is_whole(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _among(value: Any, options: Sequence[Any]) -> bool:
    """Return whether a value is one of the options; texts are compared, others are identical."""
    return any(value is other or (isinstance(value, str) and value == other) for other in options)


def require_estimator(value: object, kind: type, example: str) -> None:
    """Raise ParameterError unless `value` is an estimator of a kind; explain what to do with a class, or several."""
    if isinstance(value, kind) and not isinstance(value, type):
        return
    got = type(value).__name__
    if isinstance(value, type):
        got = f"the class {value.__name__}; write {value.__name__}()"
    elif isinstance(value, (list, tuple, dict)):
        got += "; give one (leaderboard compares several)"
    elif hasattr(value, "fit") and hasattr(value, "predict"):
        got += f"; a regressor of scikit-learn becomes one as ReductionForecaster({got}())"
    raise ParameterError(f"a forecaster is needed, such as {example}: got {got}")
