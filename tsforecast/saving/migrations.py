"""Migrations of older formats to the current one, step by step; `tests/golden/models/` keeps models of each version.

Every version reads all older ones. A change of the format raises `VERSION`, adds a function here and a folder there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tsforecast.errors import ModelFileError, nearest

VERSION = 2

# Classes by the names that version 1 wrote; frozen, whatever the models are called today.
_CLASSES_1 = {
    "naive": "NaiveForecaster",
    "seasonal-naive": "SeasonalNaiveForecaster",
    "drift": "DriftForecaster",
    "mean": "MeanForecaster",
    "window-average": "WindowAverageForecaster",
    "ets": "ETSForecaster",
    "arima": "ARIMAForecaster",
    "theta": "ThetaForecaster",
    "holt-winters": "HoltWintersForecaster",
    "rnn": "RNNForecaster",
    "gru": "GRUForecaster",
    "lstm": "LSTMForecaster",
    "conv1d": "Conv1DForecaster",
    "reduction": "ReductionForecaster",
    "neural": "NeuralForecaster",
    "ensemble": "EnsembleForecaster",
}


def migrated(description: dict[str, Any]) -> dict[str, Any]:
    """Return a description in the current format; raise ModelFileError when its version is not known."""
    version = description.get("format_version")
    known = isinstance(version, int) and not isinstance(version, bool) and 1 <= version <= VERSION
    if not known:
        raise ModelFileError(
            f"it must have format version {VERSION} or an older one, and has {str(version)[:40]}; load it with the "
            f"version of tsforecast that wrote it{wrote(description)}"
        )
    for step in range(int(str(version)), VERSION):
        description = _STEPS[step](description)
    return description


def wrote(description: dict[str, Any]) -> str:
    """Return the versions that wrote a model, in brackets; empty where they were not recorded."""
    versions = description.get("written_by")
    if not isinstance(versions, dict) or not versions:
        return ""
    return f" ({', '.join(f'{name} {version}' for name, version in versions.items())})"[:300]


def _from_1(description: dict[str, Any]) -> dict[str, Any]:
    """Names of classes in place of names of models; tuples and arrays say that they are; what was learned from whom.

    Version 1 had no golden forecast, and wrote NaN as no JSON has it.
    """
    panel = dict(description["panel"])
    panel["ids"] = _column(panel["ids"])
    panel["facts"] = {name: _column(items) for name, items in panel["facts"].items()}
    lists = ("target", "past", "future", "static", "calendar")
    roles = panel["roles"]
    panel["roles"] = roles | {name: {"tuple": roles[name]} for name in lists}
    return {
        "format_version": 2,
        "written_by": {"tsforecast": "0.1.0"},
        "fitted": _model_from_1(description),
        "panel": panel,
        "provenance": {},
        "golden": None,
    }


def _model_from_1(described: dict[str, Any]) -> dict[str, Any]:
    learned = described["learned"]
    if "scaled_ids" in learned:
        ids, statics = learned["scaled_ids"], learned["statics"]
        learned = {name: value for name, value in learned.items() if name not in ("scaled_ids", "statics")}
        learned |= {"scaled_ids_": _column(ids), "statics_": statics, "scaled_on_": {}}
    parameters = {name: _parameter_from_1(value) for name, value in described["parameters"].items()}
    return {
        "class": _class_1(described["model"]),
        "parameters": parameters,
        "learned": learned | {"fitted_on_": {}},
        "members": [_model_from_1(member) for member in described["members"]],
    }


def _class_1(name: Any) -> str:
    if name not in _CLASSES_1:
        raise ModelFileError(f"model {str(name)[:80]!r} does not exist; {nearest(name, _CLASSES_1)}")
    return _CLASSES_1[name]


def _parameter_from_1(value: Any) -> Any:
    if isinstance(value, dict) and value.keys() >= {"model", "parameters"}:
        inner = {name: _parameter_from_1(item) for name, item in value["parameters"].items()}
        return {"unfitted": _class_1(value["model"]), "parameters": inner}
    return [_parameter_from_1(item) for item in value] if isinstance(value, list) else value


def _column(items: list[Any]) -> dict[str, Any]:
    """Return ids, or a static column, as an encoded array."""
    kinds = {float if isinstance(item, dict) else type(item) for item in items}  # NaN came as an object
    name = "bool" if kinds == {bool} else "int64" if kinds == {int} else "float64" if kinds <= {int, float} else "O"
    return {"array": name, "items": items}


_STEPS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _from_1}
