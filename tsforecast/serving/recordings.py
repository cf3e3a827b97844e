"""A classifier behind a service: recordings as lists or as rows, labels and probabilities out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.errors import nearest
from tsforecast.saving.folder import GOLDEN_INPUTS
from tsforecast.serving.model import about_model, noted, or_error, plain, reading, written
from tsforecast.serving.reading import read_json, read_numbers, read_table, refuse
from tsforecast.serving.worker import Answer, Limits

Floats = NDArray[np.float64]


class ServedClassifier:
    """A fitted classifier that answers bodies of JSON, and describes what it reads."""

    fields = ("recordings", "id")
    path, verb = "/classify", "classify"
    joined = False  # the time goes into each of them

    def __init__(self, classifier: Any, limits: Limits) -> None:
        self.classifier, self.limits = classifier, limits

    def warm_up(self) -> None:
        """Answer the example, so that libraries are loaded before the first request comes."""
        self.answer([json.dumps(self.example()).encode()])

    def answer(self, bodies: Sequence[bytes]) -> list[Answer]:
        """Return one answer for each body: JSON, or an error."""
        return [or_error(self._alone, body) for body in bodies]

    def _alone(self, body: bytes) -> bytes:
        given, notes = read_json(body, self.fields), list[str]()
        with noted(notes), reading("the request"):
            names, recordings = self._recordings(given)
            found = self.classifier.predict_proba(recordings)
            labels = self.classifier.predict(recordings)
            classes = [str(label) for label in np.asarray(self.classifier.classes_).tolist()]
            answers = [
                {"id": name, "label": plain(label), "probabilities": self._named(classes, np.asarray(shares))}
                for name, label, shares in zip(names, labels, found, strict=True)
            ]
        return written({"predictions": answers, "notes": notes})

    def _named(self, classes: list[str], shares: Floats) -> Any:
        """Return probabilities by class, a list of them where there is one for each step."""
        return dict(zip(classes, plain(shares) if shares.ndim == 1 else plain(shares.T), strict=True))

    def _recordings(self, given: dict[str, Any]) -> tuple[list[Any], list[Any]]:
        """Return names and arrays, or frames, of the recordings of a request."""
        rows, most = given.get("recordings"), self.limits.max_rows
        if isinstance(rows, dict) or (isinstance(rows, list) and rows and isinstance(rows[0], dict)):
            frame, name = read_table(rows, "recordings", most), given.get("id", "id")
            if not isinstance(name, str) or name not in frame:
                remedy = nearest(str(name)[:80], frame.columns) + ", with the field 'id'"
                refuse(f"rows of recordings must have a column {str(name)[:80]!r} that names them", "", remedy)
            missing = int(frame[name].isna().sum())
            if missing:
                refuse(f"column {name[:80]!r} must name each row's recording", f"{missing} of {len(frame)} have none")
            columns = list(self.classifier.columns_ or [column for column in frame if column != name])
            lacks = [column for column in columns if column not in frame]
            if lacks or not columns:
                refuse(f"rows of recordings must have the columns {columns}", f"they lack {lacks}")
            strange = [column for column in columns if frame[column].dtype.kind not in "fiub"]
            if strange:
                refuse(f"column {str(strange[0])[:80]!r} of recordings must hold numbers", "it holds something else")
            parts = {key: part[columns].astype(np.float64) for key, part in frame.groupby(name, sort=False)}
            arrays = [part if self.classifier.columns_ else part.to_numpy() for part in parts.values()]
            return [plain(key) for key in parts], arrays
        if "id" in given:
            refuse("'id' must be left out", "recordings are lists, which have no columns", "send rows to name them")
        if not isinstance(rows, list) or not rows:
            refuse("'recordings' must be a list of recordings, each a list of steps", f"got {str(rows)[:40]}")
        arrays = [read_numbers(row, "a recording", most) for row in rows]
        if (total := sum(map(len, arrays))) > most:
            refuse(f"'recordings' must have at most {most} steps", f"got {total}", "send fewer", status=413)
        return list(range(len(rows))), [array[:, None] if array.ndim == 1 else array for array in arrays]

    def example(self) -> dict[str, Any]:
        """Return a request that runs: two waves of the size of the fitted recordings."""
        waves = self.classifier.golden()[1][GOLDEN_INPUTS]
        return {"recordings": plain(np.round(np.asarray(waves), 4))}

    def about(self) -> dict[str, Any]:
        """Return what a client should know of the model."""
        columns = self.classifier.columns_
        return {
            **about_model(self.classifier),
            "kind": "classifier",
            "classes": np.asarray(self.classifier.classes_).tolist(),
            "channels": self.classifier.channels_,
            "columns": list(columns) if columns else None,
            "joins": self.joined,
        }
