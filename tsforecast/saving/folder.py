"""The folder of a saved model: a description in JSON and numbers in safetensors, written whole, read with suspicion."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from tsforecast.errors import ModelFileError, reason
from tsforecast.files import new_folder
from tsforecast.saving.plain import FLOAT

DESCRIPTION, NUMBERS = "model.json", "numbers.safetensors"
MOST_TEXT = 1 << 26  # bytes of a description; read, text takes several times its size
DEPTH = 100  # lists and objects within each other

Numbers = dict[str, NDArray[Any]]


def write(folder: Path, description: dict[str, Any], numbers: Numbers) -> None:
    """Write a folder, whole or not at all.

    Raises
    ------
    OutputError
    """
    text = json.dumps(description, indent=1, allow_nan=False)
    with new_folder(folder, mark=DESCRIPTION) as place:
        (place / DESCRIPTION).write_text(text, encoding="utf-8")
        save_file({name: np.ascontiguousarray(array) for name, array in numbers.items()}, place / NUMBERS)
        shutil.copymode(place / DESCRIPTION, place / NUMBERS)  # safetensors lets the owner alone read it


def read_description(folder: Path) -> dict[str, Any]:
    """Return the description in a folder.

    NaN and infinities, which JSON does not have and version 1 wrote nevertheless, come as `tsforecast.saving.plain` has
    them.

    Raises
    ------
    ModelFileError
    """
    if (folder / "train").is_dir() and not (folder / DESCRIPTION).exists():
        raise ModelFileError(
            f"{str(folder)!r} holds the checkpoint of a fit, not a model: fit(data, resume_from={str(folder)!r}) goes "
            "on from it, and save writes the model then"
        )
    if folder.is_dir() and not (folder / DESCRIPTION).exists():
        raise ModelFileError(f"{str(folder)!r} must be a folder that tsforecast saved: it has no {DESCRIPTION}")
    try:
        file = _inside(folder, DESCRIPTION)
        size = file.stat().st_size
        if size > MOST_TEXT:
            raise ValueError(f"{DESCRIPTION} has {size} bytes, and {MOST_TEXT} are the most that is read")
        bare: list[str] = []

        def no_number(text: str) -> dict[str, str]:
            bare.append(text)
            return {FLOAT: text.lower().replace("infinity", "inf")}

        description = json.loads(file.read_text(encoding="utf-8"), parse_constant=no_number)
        if not isinstance(description, dict):
            raise ValueError(f"{DESCRIPTION} must hold an object: it holds a {type(description).__name__}")
        if bare and description.get("format_version") != 1:
            raise ValueError(f"{DESCRIPTION} must be JSON, which has no {bare[0]}")
        _require_shallow(description)
    except (OSError, ValueError, RecursionError) as error:
        raise _refused(folder, error) from error
    return description


def read_numbers(folder: Path) -> Numbers:
    """Return the arrays in a folder; none is made before the header is seen to fit the file.

    Raises
    ------
    ModelFileError
    """
    try:
        file = _inside(folder, NUMBERS)
        size = file.stat().st_size
        with safe_open(file, framework="numpy") as opened:  # refuses a header whose sizes do not fill the file
            names = list(opened.keys())
            for name in names:
                shape = opened.get_slice(name).get_shape()
                if max(shape, default=0) > size:
                    raise ValueError(f"array {name!r} of shape {shape} cannot lie in a file of {size} bytes")
            return {name: opened.get_tensor(name) for name in names}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, SafetensorError) as error:
        raise _refused(folder, error) from error


def _inside(folder: Path, name: str) -> Path:
    """Return a file of the folder, once it is seen to be a file, and in there."""
    file = folder / name
    if file.exists() and (not file.is_file() or file.resolve().parent != folder.resolve()):
        raise ValueError(f"{name} must be a file that lies in the folder, and no link out of it")
    return file


def _require_shallow(value: Any) -> None:
    level = [value]
    for _ in range(DEPTH):
        level = [item for one in level for item in (one.values() if isinstance(one, dict) else one)]
        level = [item for item in level if isinstance(item, (dict, list))]
        if not level:
            return
    raise ValueError(f"{DESCRIPTION} must not nest deeper than {DEPTH} levels")


def _refused(folder: Path, error: BaseException) -> ModelFileError:
    return ModelFileError(f"{str(folder)!r} must be a folder that tsforecast saved: {reason(error)[:300]}")
