"""Folder of a saved model: a description in JSON, arrays in safetensors; written atomically, checked when read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from tsforecast.errors import ModelFileError, reason
from tsforecast.files import new_folder, sha256
from tsforecast.saving.codec import FLOAT, Numbers

GOLDEN_INPUTS, GOLDEN_OUTPUTS = "golden.recordings", "golden.said"  # names of arrays
DESCRIPTION, NUMBERS = "model.json", "numbers.safetensors"
MOST_TEXT = 1 << 26  # bytes of a description; read, text takes several times its size
DEPTH = 100  # lists and objects within each other
CHECKSUM = "numbers_sha256"  # in the description; models that were saved before there was one have none
REMEDY = "copy the folder once more, or save the model again"


def write(folder: Path, description: dict[str, Any], numbers: Numbers) -> None:
    """Write a folder, whole or not at all."""
    with new_folder(folder, mark=DESCRIPTION) as place:
        save_file({name: np.asarray(array, order="C") for name, array in numbers.items()}, place / NUMBERS)
        text = json.dumps(description | {CHECKSUM: sha256(place / NUMBERS)}, indent=1, allow_nan=False)
        (place / DESCRIPTION).write_text(text, encoding="utf-8")
        shutil.copymode(place / DESCRIPTION, place / NUMBERS)  # safetensors lets the owner alone read it


def read_description(folder: Path) -> dict[str, Any]:
    """Return the description in a folder; raise ModelFileError where there is none that can be read.

    NaN and infinities, which JSON does not have and version 1 wrote nevertheless, come as `tsforecast.saving.codec` has
    them.
    """
    try:
        if not folder.exists():
            raise ValueError(f"it does not exist; check the name, and the folder, which is {str(Path.cwd())!r}")
        if (folder / "train").is_dir() and not (folder / DESCRIPTION).exists():
            resume = f"fit(data, resume_from={str(folder)!r})"
            raise ValueError(f"it holds the checkpoint of a fit, not a model: {resume} goes on, and save writes one")
        file = inside(folder, DESCRIPTION)
        size = file.stat().st_size
        if size > MOST_TEXT:
            raise ValueError(f"{DESCRIPTION} has {size} bytes, and {MOST_TEXT} are the most that is read")
        bare: list[str] = []

        def no_number(text: str) -> dict[str, str]:
            bare.append(text)
            return {FLOAT: text.lower().replace("infinity", "inf")}

        try:
            description = json.loads(file.read_text(encoding="utf-8"), parse_constant=no_number)
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{DESCRIPTION} is cut short or spoilt; {REMEDY}") from error
        if not isinstance(description, dict):
            raise ValueError(f"{DESCRIPTION} must hold an object: it holds a {type(description).__name__}")
        if bare and description.get("format_version") != 1:
            raise ValueError(f"{DESCRIPTION} must be JSON, which has no {bare[0]}")
        _require_shallow(description)
    except (OSError, ValueError, RecursionError) as error:
        raise _refused(folder, error) from error
    return description


def read_numbers(folder: Path, description: dict[str, Any]) -> Numbers:
    """Return the arrays in a folder; none is allocated before header, size and checksum are checked.

    Damage that the golden forecast does not depend on, such as in a series' early past, is found by the checksum alone.
    """
    try:
        file = inside(folder, NUMBERS)
        size = file.stat().st_size
        with safe_open(file, framework="numpy") as opened:  # refuses a header whose sizes do not fill the file
            names = list(opened.keys())
            for name in names:
                shape = opened.get_slice(name).get_shape()
                if max(shape, default=0) > size:
                    raise ValueError(f"array {name!r} of shape {shape} cannot lie in a file of {size} bytes")
            if CHECKSUM in description and (found := sha256(file)) != description[CHECKSUM]:
                was = str(description[CHECKSUM])[:8]
                raise ValueError(f"{NUMBERS} must be what was saved, SHA-256 {was}...: it is {found[:8]}...; {REMEDY}")
            return {name: opened.get_tensor(name) for name in names}
    except SafetensorError as error:
        raise _refused(folder, ValueError(f"{NUMBERS} is cut short or spoilt; {REMEDY}")) from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise _refused(folder, error) from error


def inside(folder: Path, name: str) -> Path:
    """Return a file of the folder; raise ValueError for links that lead out of it."""
    file = folder / name
    if folder.is_dir() and not file.exists():
        raise ValueError(f"it has no {name}")
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
