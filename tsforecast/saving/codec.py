"""Codec: values and panels as JSON and arrays, and back once their parts are checked."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_type_hints

import numpy as np
from numpy.typing import NDArray

from tsforecast.checks import one_of, whole
from tsforecast.data.calendar import Frequency
from tsforecast.data.panel import Panel
from tsforecast.data.samples import SupervisedPanel
from tsforecast.data.series import CleaningPolicy, Roles, SeasonSource, Source
from tsforecast.errors import DataError, ModelFileError, raise_any
from tsforecast.mapped import opened, reference_of

if TYPE_CHECKING:
    from pydantic import TypeAdapter

Record = TypeVar("Record")
Numbers = dict[str, NDArray[Any]]
FLOAT, TUPLE, DICT, ARRAY, UNFITTED = "float", "tuple", "dict", "array", "unfitted"
_TAGS = {FLOAT, TUPLE, DICT, ARRAY, UNFITTED}
_KINDS = "biufUO"  # of arrays: numbers, text, and mixed values
MOST_VALUES = 1 << 28  # bytes of a panel that are written into a model; of more in a file the place is
MOST_BYTES = 1 << 26  # of an array of text, whose every item takes the room of the longest


def to_plain(value: Any, describe: Callable[[Any], tuple[str, dict[str, Any]]]) -> Any:
    """Return a value as JSON can hold it: a text, number, list, dict, array, or an object that has parameters.

    `describe` returns the name of an object's class, and its parameters, of an estimator that is not fitted or a loss;
    it raises TypeError for other values.
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
        name, parameters = describe(value)
        return {UNFITTED: name, "parameters": plain(parameters)}

    return plain(value)


def from_plain(plain: Any, make: Callable[[str, dict[str, Any]], Any]) -> Any:
    """Undo `to_plain`; `make` returns the object of a class with these parameters.

    ValueError or TypeError is raised when `plain` was not written by `to_plain`.
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


def typed(cls: type[Record], values: dict[str, Any]) -> Record:
    """Return the dataclass `cls` with these values, once each has the type of its field; TypeError otherwise."""
    from pydantic import ValidationError

    adapters = _adapters(cls)  # type: ignore[arg-type]  # a class can be hashed
    for name, value in values.items():
        if name not in adapters:
            raise TypeError(f"{cls.__name__} has no {name!r}")
        try:
            adapters[name].validate_python(value)
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]["msg"].replace("Input", "input", 1)
            raise TypeError(f"{name} of {cls.__name__}: {problem}, got {value!r}") from None
    return cls(**values)


@cache
def _adapters(cls: type[Any]) -> dict[str, TypeAdapter[Any]]:
    """Return a strict check of each field of a dataclass, by its name."""
    from pydantic import ConfigDict, TypeAdapter

    strict = ConfigDict(strict=True, arbitrary_types_allowed=True)
    return {name: TypeAdapter(hint, config=strict) for name, hint in get_type_hints(cls).items()}


_ARRAYS = ("values", "offsets", "starts")


def pack(panel: Panel) -> tuple[dict[str, Any], Numbers]:
    """Return the description of a panel, and its arrays; of large values in a file, where they lie."""
    described = {
        "ids": panel.ids,
        "frequency": asdict(panel.frequency),
        "season_length": panel.season_length,
        "season_source": panel.season_source,
        "other_seasons": panel.other_seasons,
        "kind": panel.kind,
        "roles": asdict(panel.roles),
        "source": asdict(panel.source),
        "facts": panel.statics,
        "mending": asdict(panel.cleaning),
        "notes": panel.notes,
    }
    arrays = {f"panel.{name}": getattr(panel, name) for name in _ARRAYS}
    if panel.values.nbytes >= MOST_VALUES and (reference := reference_of(panel.values)):
        del arrays["panel.values"]
        described["values"] = {"reference": reference, "sha256": panel.fingerprint()}
    return described, arrays


def unpack(described: dict[str, Any], numbers: Numbers) -> Panel:
    """Undo `pack`; raise ModelFileError with all parts that do not fit the others."""
    source = typed(Source, described["source"])
    arrays: dict[str, Any] = {name: numbers[f"panel.{name}"] for name in _ARRAYS if f"panel.{name}" in numbers}
    if held := described.get("values"):
        path, kind, shape, begin, _ = held["reference"]
        if np.dtype(kind).kind != "f":
            raise ModelFileError(f"values of a panel must be floats: got {kind!r}")
        try:
            arrays["values"] = opened(path, kind, shape, begin, None)
        except DataError as error:
            raise ModelFileError(f"the panel that was fitted must lie where it lay: {error}") from error
    panel = (SupervisedPanel if source.form == "windows" else Panel)(
        **arrays,
        ids=described["ids"],
        frequency=typed(Frequency, described["frequency"]),
        season_length=described["season_length"],
        kind=described["kind"],
        roles=typed(Roles, described["roles"]),
        source=source,
        statics=described["facts"],
        cleaning=typed(CleaningPolicy, described["mending"]),
        notes=tuple(map(str, described["notes"])),
        season_source=described.get("season_source", "given"),
        other_seasons=tuple(described.get("other_seasons", ())),
    )
    raise_any(_problems(panel), ModelFileError)
    if held and reference_of(panel.values) != held["reference"] and panel.fingerprint() != held["sha256"]:
        must = f"the panel that was fitted must be as it was: the file {held['reference'][0]!r} holds other numbers"
        raise ModelFileError(f"{must}; put it back, or fit the model again")
    return panel


def _problems(panel: Panel) -> list[str]:
    """Return a problem for each part that does not fit the others; later code relies on all of them."""
    values, offsets, roles = panel.values, panel.offsets, panel.roles
    if values.ndim != 2 or values.dtype not in (np.float32, np.float64):
        return [f"values of a panel must be floats of shape (rows, C): got {values.dtype}, shape {values.shape}"]
    if offsets.dtype != np.int64 or offsets.ndim != 1 or len(offsets) < 2:
        return [f"offsets of a panel must be int64 of shape (N + 1,): got {offsets.dtype}, shape {offsets.shape}"]
    problems = [problem for steps in panel.seasons for problem in whole("season_length", steps, 1)]
    problems += one_of("season_source", panel.season_source, get_args(SeasonSource))
    count = len(offsets) - 1
    if offsets[0] != 0 or offsets[-1] != len(values) or (np.diff(offsets) <= 0).any():
        problems.append(f"offsets of a panel must go up from 0 to its {len(values)} rows")
    if panel.starts.dtype != np.int64 or panel.starts.shape != (count,):
        problems.append(f"starts of a panel must be int64 of shape ({count},): got shape {panel.starts.shape}")
    for name, array in {"ids": panel.ids, **panel.statics}.items():
        if not isinstance(array, np.ndarray) or array.shape != (count,):
            problems.append(f"{name} must be {count}, one for each series")
    if panel.kind not in ("none", "integer", "datetime"):
        problems.append(f"the time axis must be none, integer or datetime: got {panel.kind!r}")
    if panel.frequency.count < 1:
        problems.append(f"a step must count up: got {panel.frequency.count}")
    if not roles.target or len(roles.varying) != values.shape[1] or len(set(roles.varying)) != values.shape[1]:
        problems.append(f"a panel must have a name for each of its {values.shape[1]} columns: got {roles.varying}")
    if missing := {*roles.static, *([roles.group] if roles.group else [])} - set(panel.statics):
        problems.append(f"a panel must have its static columns: {sorted(missing)} are missing")
    if not 0 <= panel.source.horizon < max(1, int(np.diff(offsets).min())):
        problems.append(f"supervised windows must be longer than their horizon: got {panel.source.horizon}")
    return problems


def under(prefix: str, numbers: Numbers) -> Numbers:
    """Return the arrays whose names start with `prefix`, by the rest of their names."""
    return {name.removeprefix(prefix): array for name, array in numbers.items() if name.startswith(prefix)}
