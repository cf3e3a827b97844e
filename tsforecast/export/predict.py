"""Predict the recordings of a CSV file with a graph that tsforecast exported; onnxruntime and numpy are all it needs.

python predict.py model.onnx recordings.csv [recording] > predictions.csv

The file has a row for each step, in order, with the channels of the model as columns; the column `recording`, or one of
another name, names the recordings, and without it all rows are one.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnxruntime


def read(path: str, key: str | None, facts: dict[str, Any]) -> dict[str, Any]:
    """Return the steps of each recording of a CSV file, (T, C)."""
    names, found = facts["channels"], dict[str, list[list[float]]]()
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(io.StringIO(file.read(), newline=""))
    except OSError as error:
        sys.exit(f"{path} must be a CSV file that can be read: {error.strerror}")
    except UnicodeDecodeError as error:
        sys.exit(f"{path} must be text in UTF-8: {error.reason} at byte {error.start}; save it as CSV in UTF-8")
    if key and key not in (rows.fieldnames or ()):
        held = ", ".join(rows.fieldnames or ())
        sys.exit(f"{path} must have the column {key!r}, which names the recordings: it has {held or 'none'}")
    if lacks := [name for name in names if name not in (rows.fieldnames or ())]:
        sys.exit(f"the file must have the columns {', '.join(names)}: it lacks {', '.join(lacks)}")
    for line, row in enumerate(rows, 2):
        try:
            step = [float(row[name]) for name in names]
        except (TypeError, ValueError):
            sys.exit(f"line {line} must have a number in each of {', '.join(names)}: got {row}")
        if not np.isfinite(step).all():
            sys.exit(f"line {line} must have finite numbers: got {step}; fill them, or leave the recording out")
        found.setdefault(row.get(key or "recording") or "0", []).append(step)
    for name, steps in found.items():
        if facts["steps"] not in (None, len(steps)):
            sys.exit(
                f"recording {name!r} must have {facts['steps']} steps, as those that were fitted: got {len(steps)}"
            )
    return {name: np.array(steps) for name, steps in found.items()}


def label(row: Any, facts: dict[str, Any]) -> str:
    """Return the class of probabilities: the most probable one, the middle one of an order, or all above a half."""
    if facts["several"]:
        return " ".join(name for name, share in zip(facts["classes"], row, strict=True) if share > 0.5)
    place = int(np.argmax(row))
    if facts["order"]:
        order = facts["order"]
        place = order[min(int((np.cumsum(row[order]) < 0.5).sum()), len(order) - 1)]
    return str(facts["classes"][place])


def header(facts: dict[str, Any], shape: Any) -> list[str]:
    """Return the names of the columns that follow recording and step."""
    if facts["answers"] == "probabilities":
        return ["label", *(f"probability_{name}" for name in facts["classes"])]
    names = ["prediction"] if shape[1] == 1 else [f"prediction_{at}" for at in range(shape[1])]
    return [f"{name}{end}" for name in names for end in ("", "_deviation")[: shape[2]]]


def cells(answers: Any, facts: dict[str, Any]) -> Iterator[list[str]]:
    """Return the cells of each row of answers."""
    for row in answers:
        first = [label(row, facts)] if facts["answers"] == "probabilities" else []
        yield [*first, *(repr(float(value)) for value in row.ravel())]


def main(model: str, data: str, key: str | None = None) -> None:
    """Write a row for each recording, or for each step of it, as CSV."""
    try:
        session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        facts = json.loads(session.get_modelmeta().custom_metadata_map["tsforecast"])
        facts["channels"]
    except Exception as error:
        why = next(iter(str(error).strip().splitlines()), type(error).__name__)
        sys.exit(f"{model} must be a model of recordings that tsforecast exported as .onnx: {why}")
    writer = csv.writer(sys.stdout, lineterminator="\n")
    for number, (name, steps) in enumerate(read(data, key, facts).items()):
        lengths = np.array([len(steps)], dtype=np.int64)
        answers = session.run(None, {"recordings": steps[None], "lengths": lengths})[0]
        if not number:
            place = ["recording", "step"] if facts["at_steps"] else ["recording"]
            writer.writerow([*place, *header(facts, answers.shape)])
        for at, row in enumerate(cells(answers[0] if facts["at_steps"] else answers, facts)):
            writer.writerow([name, at, *row] if facts["at_steps"] else [name, *row])


if __name__ == "__main__":
    if not 3 <= len(sys.argv) <= 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
