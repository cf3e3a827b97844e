"""What a folder says of the model in it, in words; the model itself is not revived."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tsforecast.errors import ModelFileError
from tsforecast.saving.folder import read_description, read_numbers
from tsforecast.saving.migrations import migrated, wrote
from tsforecast.saving.plain import from_plain
from tsforecast.saving.store import made


def summary(folder: str | Path) -> dict[str, str]:
    """Return what a saved model is, by name; what is not known is left out.

    Raises
    ------
    ModelFileError
    """
    place = Path(folder)
    written, numbers = read_description(place), read_numbers(place)
    try:
        description = from_plain(migrated(written), made)
        fitted, where = description["fitted"], description["provenance"]
        told = {
            "model": _as_code(fitted),
            "members": ", ".join(map(_as_code, fitted["members"])),
            "chosen": _pairs(fitted["learned"].get("resolved_", {})),
            "data": where.get("data", {}).get("panel") or _span(where.get("data", {})),
            "fingerprint": where.get("data", {}).get("sha256", ""),
            **{part: _span(each) for part, each in where.get("split", {}).items()},
            "scaling": where.get("scaling", {}).get("steps", ""),
            "scales from": _span(where.get("scaling", {}).get("learned_from", {})),
            "made": where.get("made", ""),
            "machine": where.get("machine", ""),
            "format": f"version {written['format_version']}{wrote(description)}",
            "golden": "a forecast that load asks for again" if description["golden"] is not None else "none",
            "numbers": f"{len(numbers)} arrays, {sum(array.nbytes for array in numbers.values()):,} bytes",
        }
    except ModelFileError as error:
        raise ModelFileError([f"{str(place)!r} cannot be read: {problem}" for problem in error.problems]) from error
    except Exception as error:  # whatever a file makes code stumble over, it is the file that is wrong
        raise ModelFileError(
            f"{str(place)!r} must hold a whole model: {type(error).__name__}: {error}"[:500]
        ) from error
    return {name: str(words) for name, words in told.items() if words}


def _as_code(described: dict[str, Any]) -> str:
    """Return a model as code, with the parameters that are not the default ones."""
    return " ".join(repr(made(described["class"], described["parameters"])).split())


def _pairs(values: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in values.items())


def _span(part: Any) -> str:
    """Say which part of the data this is."""
    if not isinstance(part, dict):
        return f"{part} windows, recordings or groups" if part else ""
    if not part.get("steps"):
        return ""
    return f"{part['series']} series, {part['steps']} steps, {part['first']} to {part['last']}"
