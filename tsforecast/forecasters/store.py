"""Saved forecasters: a folder with numbers in safetensors and everything else in JSON, no code."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from tsforecast.data.calendar import Frequency
from tsforecast.data.frames import Roles, Source
from tsforecast.data.panel import Panel
from tsforecast.data.repair import Mending
from tsforecast.errors import ModelFileError, ParameterError, reason
from tsforecast.files import new_folder, require_place
from tsforecast.forecasters.base import Forecaster, NotFittedError, require_forecaster
from tsforecast.forecasters.registry import forecaster_class, model_name

FORMAT_VERSION = 1
_DESCRIPTION, _NUMBERS = "model.json", "numbers.safetensors"

Numbers = dict[str, NDArray[Any]]


def save(forecaster: Forecaster, folder: str | Path) -> None:
    """Write a fitted forecaster to a folder, whole or not at all.

    Parameters
    ----------
    forecaster : Forecaster
    folder : path
        Replaced if it holds an older model; any other folder that is not empty is left alone.

    Raises
    ------
    ParameterError, NotFittedError
        When there is nothing to save.
    OutputError
        When the place cannot be written to, or holds something else than a model.

    Examples
    --------
    >>> import tempfile
    >>> from tsforecast.forecasters.naive import NaiveForecaster
    >>> with tempfile.TemporaryDirectory() as place:
    ...     save(NaiveForecaster(horizon=2).fit(np.arange(5.0)), f"{place}/model")
    ...     load(f"{place}/model").predict().tolist()
    [4.0, 4.0]
    """
    require_forecaster(forecaster, example="GRUForecaster().fit(data)")
    if not hasattr(forecaster, "panel_"):
        raise NotFittedError(f"this {type(forecaster).__name__} must be fitted before it is saved: call fit(data)")
    described, numbers = _describe(forecaster)
    panel, panel_numbers = _pack(forecaster.panel_)
    description = {"format_version": FORMAT_VERSION, **described, "panel": panel}
    try:
        text = json.dumps(description, indent=1, default=_plain)
    except TypeError as error:
        raise ParameterError(
            f"this {type(forecaster).__name__} cannot be saved: {error}; use a setting that has a name, or keep the "
            "forecaster with pickle"
        ) from error
    with new_folder(Path(folder), mark=_DESCRIPTION) as place:
        (place / _DESCRIPTION).write_text(text, encoding="utf-8")
        contiguous = {name: np.ascontiguousarray(array) for name, array in (numbers | panel_numbers).items()}
        save_file(contiguous, place / _NUMBERS)
        shutil.copymode(place / _DESCRIPTION, place / _NUMBERS)  # safetensors lets the owner alone read it


def check_folder(folder: str | Path) -> None:
    """Raise OutputError if `save` could not write to a folder; before long work, so that its result finds a place."""
    require_place(Path(folder), mark=_DESCRIPTION)


def load(folder: str | Path) -> Forecaster:
    """Read a forecaster that `save` wrote. Nothing in the folder is executed.

    Raises
    ------
    ModelFileError
        When the folder does not hold a model of a known format.
    """
    place = Path(folder)
    if (place / "train").is_dir() and not (place / _DESCRIPTION).exists():
        raise ModelFileError(
            f"{str(place)!r} holds the checkpoint of a fit, not a model: fit(data, resume_from={str(place)!r}) goes on "
            "from it, and save writes the model then"
        )
    try:
        description = json.loads((place / _DESCRIPTION).read_text(encoding="utf-8"))
        numbers: Numbers = load_file(place / _NUMBERS)
    except (OSError, ValueError, SafetensorError) as error:
        raise ModelFileError(f"{str(place)!r} must be a folder that tsforecast saved: {reason(error)}") from error
    version = description.get("format_version") if isinstance(description, dict) else None
    if version != FORMAT_VERSION:
        raise ModelFileError(
            f"{str(place)!r} must have format version {FORMAT_VERSION}: it has {version}; load it with the version "
            "of tsforecast that wrote it"
        )
    try:
        return _revive(description, numbers, _unpack(description["panel"], numbers))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ModelFileError(f"{str(place)!r} must hold a whole model: {type(error).__name__}: {error}") from error


def _describe(forecaster: Forecaster) -> tuple[dict[str, Any], Numbers]:
    """Return a fitted forecaster and its members as plain values and arrays."""
    learned, numbers = forecaster.learned()
    members = [_describe(member) for member in forecaster.members_]
    for i, (_, theirs) in enumerate(members):
        numbers |= {f"member{i}.{name}": array for name, array in theirs.items()}
    return {**_as_made(forecaster), "learned": learned, "members": [plain for plain, _ in members]}, numbers


def _revive(described: dict[str, Any], numbers: Numbers, panel: Panel) -> Forecaster:
    """Undo `_describe`."""
    forecaster = _made(described)
    forecaster.panel_ = panel
    if described["members"]:
        forecaster.members_ = [
            _revive(member, _under(f"member{i}.", numbers), panel) for i, member in enumerate(described["members"])
        ]
    forecaster.restore(described["learned"], numbers)
    return forecaster


def _under(prefix: str, numbers: Numbers) -> Numbers:
    return {name.removeprefix(prefix): array for name, array in numbers.items() if name.startswith(prefix)}


def _as_made(forecaster: Forecaster) -> dict[str, Any]:
    """Return name and parameters; a parameter that is a forecaster, or a list of them, likewise."""

    def plain(value: Any) -> Any:
        if isinstance(value, Forecaster):
            return _as_made(value)
        return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value

    parameters = {name: plain(value) for name, value in forecaster.get_params(deep=False).items()}
    return {"model": model_name(forecaster), "parameters": parameters}


def _made(described: dict[str, Any]) -> Forecaster:
    """Undo `_as_made`."""

    def value_of(plain: Any) -> Any:
        if isinstance(plain, dict) and plain.keys() >= {"model", "parameters"}:
            return _made(plain)
        return [value_of(item) for item in plain] if isinstance(plain, list) else plain

    parameters = {name: value_of(plain) for name, plain in described["parameters"].items()}
    return forecaster_class(described["model"])(**parameters)


def _pack(panel: Panel) -> tuple[dict[str, Any], Numbers]:
    description = {
        "ids": panel.ids.tolist(),
        "frequency": asdict(panel.frequency),
        "season_length": panel.season_length,
        "kind": panel.kind,
        "roles": asdict(panel.roles),
        "source": asdict(panel.source),
        "facts": {name: fact.tolist() for name, fact in panel.facts.items()},
        "mending": asdict(panel.mending),
        "notes": panel.notes,
    }
    numbers = {"panel.values": panel.values, "panel.offsets": panel.offsets, "panel.starts": panel.starts}
    return description, numbers


def _unpack(description: dict[str, Any], numbers: Numbers) -> Panel:
    roles: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in description["roles"].items()
    }
    return Panel(
        values=numbers["panel.values"],
        offsets=numbers["panel.offsets"],
        starts=numbers["panel.starts"],
        ids=_objects(description["ids"]),
        frequency=Frequency(**description["frequency"]),
        season_length=description["season_length"],
        kind=description["kind"],
        roles=Roles(**roles),
        source=Source(**description["source"]),
        facts={name: _objects(fact) for name, fact in description["facts"].items()},
        mending=Mending(**description["mending"]),
        notes=tuple(description["notes"]),
    )


def _objects(items: list[Any]) -> NDArray[Any]:
    """Return an array of numbers if all items are numbers, else of objects."""
    array = np.array(items)
    return array if array.dtype.kind in "biuf" else np.array(items, dtype=object)


def _plain(value: Any) -> Any:
    """Turn numpy numbers into Python's for JSON."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a saved model holds numbers, text and lists only, and one of its parameters is {value!r}")
