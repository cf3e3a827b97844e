"""Mutated folders of saved models: `python -m tests.saving.mutations FIRST LAST` loads those of these numbers.

Each must be refused with an error of ours, or be a model that answers, in little more memory than its file has. What is
otherwise is printed, with the number that makes it again.
"""

from __future__ import annotations

import json
import resource
import struct
import sys
import tempfile
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from tests.golden.keep_models import HOME
from tests.helpers.models import RECORDINGS, X
from tsforecast.errors import TsForecastError
from tsforecast.estimators.persistence import load, summary

PLACES = sorted(place for place in HOME.glob("v*/*") if place.is_dir())
STRANGE = [
    *(None, True, False, 0, -1, 1, 3.5, 10**6, 10**12, -(10**12), 2**63, 10**40, 1e300, -1e-300, "", "x", "a" * 999),
    *("../../etc/passwd", "/dev/zero", "gru", "NaiveForecaster", "os.system", "cuda", "meta", "\ud800", "\x00"),
    *([], {}, [[]], [None], [1, 2, 3], {"a": 1}, {"float": "nan"}, {"float": 3}, {"tuple": [1, 2]}, {"dict": 3}),
    *({"array": "int64", "items": [1]}, {"array": "U", "items": ["a", 3]}, {"array": "V8", "items": [1]}),
    *({"array": "O", "items": [[1], [2]]}, {"array": "S9", "items": []}, {"dict": [[[], 1]]}),
    *({"unfitted": "GRUForecaster", "parameters": {}}, {"unfitted": [], "parameters": 1}),
    {"unfitted": "os.system", "parameters": {"command": "true"}},
]
ROOM = 1 << 20  # bytes that any load may take, besides twice the file and what a whole one takes


def mutate(folder: Path, random: np.random.Generator) -> None:
    """Spoil one thing in a folder, or a few."""
    ways: list[Callable[[Path, np.random.Generator], None]] = [_bytes, _cut, _longer, _json, _json, _json, _header]
    for _ in range(1 if random.random() < 0.8 else 3):
        ways[int(random.integers(len(ways)))](folder, random)


def _file(folder: Path, random: np.random.Generator) -> Path:
    return folder / ("model.json" if random.random() < 0.5 else "numbers.safetensors")


def _bytes(folder: Path, random: np.random.Generator) -> None:
    file = _file(folder, random)
    told = bytearray(file.read_bytes())
    for place in random.integers(len(told), size=int(random.integers(1, 9))) if told else ():
        told[place] = int(random.integers(256))
    file.write_bytes(told)


def _cut(folder: Path, random: np.random.Generator) -> None:
    file = _file(folder, random)
    told = file.read_bytes()
    file.write_bytes(told[: int(random.integers(len(told) + 1))])


def _longer(folder: Path, random: np.random.Generator) -> None:
    with _file(folder, random).open("ab") as file:
        file.write(random.bytes(int(random.integers(1, 99))))


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each container with each of its keys."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield value, key
        yield from _places(item)


def _json(folder: Path, random: np.random.Generator) -> None:
    file = folder / "model.json"
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return
    places = list(_places(told))
    if not places:
        return
    inside, key = places[int(random.integers(len(places)))]
    way = int(random.integers(5))
    if way == 0:
        inside[key] = STRANGE[int(random.integers(len(STRANGE)))]
    elif way == 1 and isinstance(inside[key], (int, float)) and not isinstance(inside[key], bool):
        inside[key] = inside[key] * int(random.choice([-1, 0, 2, 1000, 10**9]))
    elif way == 2:
        del inside[key]
    elif way == 3 and isinstance(inside, dict):
        inside[str(random.choice(["forecast", "panel_", "members_", "predict", "__class__", "x_", key + "_"]))] = (
            inside.pop(key)
        )
    else:
        other, another = places[int(random.integers(len(places)))]
        inside[key] = json.loads(json.dumps(other[another]))  # what belongs elsewhere
    text = json.dumps(told)
    if random.random() < 0.02:
        text = text.replace("null", "[" * 200_000, 1)
    file.write_text(text, encoding="utf-8", errors="replace")


def _header(folder: Path, random: np.random.Generator) -> None:
    """Say other shapes, types or places of arrays."""
    file = folder / "numbers.safetensors"
    told = file.read_bytes()
    try:
        size = struct.unpack("<Q", told[:8])[0]
        header = json.loads(told[8 : 8 + size])
    except (struct.error, ValueError, OverflowError, MemoryError):
        return
    names = [name for name in header if name != "__metadata__"]
    if not names:
        return
    name = names[int(random.integers(len(names)))]
    way = int(random.integers(5))
    if way == 0:
        shape = [[10**12], [2**40, 2**40], [0, 2**62], [-1], [1] * 70, [], [2**31, 0]]
        header[name]["shape"] = shape[int(random.integers(len(shape)))]
    elif way == 1:
        header[name]["dtype"] = str(random.choice(["F64", "F32", "I64", "U8", "BF16", "F8_E4M3", "BOOL", "C64", "X"]))
    elif way == 2:
        header[name]["data_offsets"] = [0, int(random.choice([8, 10**12, 2**63]))]
    elif way == 3:
        header[str(random.choice([*names, "panel.values", "x"]))] = header.pop(name)
    else:
        other = names[int(random.integers(len(names)))]
        header[name], header[other] = header[other], header[name]
    text = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(text)) + text + told[8 + size :])


def ask(folder: Path) -> str:
    """Load a model and ask it; return what came of it, or raise what is no error of ours."""
    with suppress(TsForecastError):
        summary(folder)
    try:
        model = load(folder)
    except TsForecastError:
        return "refused"
    recordings, windows = hasattr(model, "classes_"), hasattr(model, "n_features_in_")
    # Where X is an array, scikit-learn says what is wrong with it.
    with suppress(TsForecastError, *([ValueError] if recordings or windows else [])):
        model.predict(RECORDINGS if recordings else X[:2] if windows else None)
        return "answered"
    return "asked in vain"


def run(first: int, last: int) -> tuple[dict[str, int], list[str]]:
    """Return how often what happened, and what must not have."""
    counts: dict[str, int] = {}
    wrong: list[str] = []
    usual = {}
    tracemalloc.start()
    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = Path(scratch, "model")
        folder.mkdir()
        for place in PLACES:  # once before it counts, for all that is made once
            for _ in range(2):
                tracemalloc.reset_peak()
                before = tracemalloc.get_traced_memory()[0]
                ask(place)
                usual[place] = tracemalloc.get_traced_memory()[1] - before
        resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for number in range(first, last):
            random = np.random.default_rng(number)
            place = PLACES[int(random.integers(len(PLACES)))]
            for file in place.iterdir():
                (folder / file.name).write_bytes(file.read_bytes())
            mutate(folder, random)
            size = sum(file.stat().st_size for file in folder.iterdir())
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            try:
                outcome = ask(folder)
            except BaseException as error:
                outcome = "failed"
                wrong.append(f"{number} ({place.parent.name}/{place.name}): {type(error).__name__}: {str(error)[:200]}")
            counts[outcome] = counts.get(outcome, 0) + 1
            took = tracemalloc.get_traced_memory()[1] - before
            if took > usual[place] + 2 * size + ROOM:
                wrong.append(f"{number} ({place.parent.name}/{place.name}): took {took:,} bytes, has {size:,}")
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - resident)
    if grown > 64 << 20:  # what torch allocates is seen here alone
        wrong.append(f"the process grew by {grown:,} bytes")
    return counts, wrong


if __name__ == "__main__":
    found, bad = run(int(sys.argv[1]), int(sys.argv[2]))
    sys.stdout.write(json.dumps({"counts": found, "wrong": bad}))
