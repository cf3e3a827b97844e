"""A panel as plain values and arrays, and back once its parts are seen to fit each other."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from tsforecast.checks import whole
from tsforecast.data.calendar import Frequency
from tsforecast.data.frames import Roles, Source
from tsforecast.data.panel import Panel
from tsforecast.data.repair import Mending
from tsforecast.errors import ModelFileError, raise_any
from tsforecast.saving.folder import Numbers
from tsforecast.typed import typed

_ARRAYS = ("values", "offsets", "starts")


def pack(panel: Panel) -> tuple[dict[str, Any], Numbers]:
    """Return what describes a panel, and its arrays."""
    described = {
        "ids": panel.ids,
        "frequency": asdict(panel.frequency),
        "season_length": panel.season_length,
        "kind": panel.kind,
        "roles": asdict(panel.roles),
        "source": asdict(panel.source),
        "facts": panel.facts,
        "mending": asdict(panel.mending),
        "notes": panel.notes,
    }
    return described, {f"panel.{name}": getattr(panel, name) for name in _ARRAYS}


def unpack(described: dict[str, Any], numbers: Numbers) -> Panel:
    """Undo `pack`.

    Raises
    ------
    ModelFileError
        With all parts that do not fit.
    KeyError, TypeError
        When a part is missing, or of another type.
    """
    panel = Panel(
        **{name: numbers[f"panel.{name}"] for name in _ARRAYS},
        ids=described["ids"],
        frequency=typed(Frequency, described["frequency"]),
        season_length=described["season_length"],
        kind=described["kind"],
        roles=typed(Roles, described["roles"]),
        source=typed(Source, described["source"]),
        facts=described["facts"],
        mending=typed(Mending, described["mending"]),
        notes=tuple(map(str, described["notes"])),
    )
    raise_any(_problems(panel), ModelFileError)
    return panel


def _problems(panel: Panel) -> list[str]:
    """Return a sentence for each part that does not fit the others; later code relies on all of this."""
    values, offsets, roles = panel.values, panel.offsets, panel.roles
    if values.ndim != 2 or values.dtype not in (np.float32, np.float64):
        return [f"values of a panel must be floats of shape (rows, C): got {values.dtype}, shape {values.shape}"]
    if offsets.dtype != np.int64 or offsets.ndim != 1 or len(offsets) < 2:
        return [f"offsets of a panel must be int64 of shape (N + 1,): got {offsets.dtype}, shape {offsets.shape}"]
    problems = whole("season_length", panel.season_length, 1)
    count = len(offsets) - 1
    if offsets[0] != 0 or offsets[-1] != len(values) or (np.diff(offsets) <= 0).any():
        problems.append(f"offsets of a panel must go up from 0 to its {len(values)} rows")
    if panel.starts.dtype != np.int64 or panel.starts.shape != (count,):
        problems.append(f"starts of a panel must be int64 of shape ({count},): got shape {panel.starts.shape}")
    for name, array in {"ids": panel.ids, **panel.facts}.items():
        if not isinstance(array, np.ndarray) or array.shape != (count,):
            problems.append(f"{name} must be {count}, one for each series")
    if panel.kind not in ("none", "integer", "datetime"):
        problems.append(f"the time axis must be none, integer or datetime: got {panel.kind!r}")
    if panel.frequency.count < 1:
        problems.append(f"a step must count up: got {panel.frequency.count}")
    if not roles.target or len(roles.varying) != values.shape[1] or len(set(roles.varying)) != values.shape[1]:
        problems.append(f"a panel must have a name for each of its {values.shape[1]} columns: got {roles.varying}")
    if missing := {*roles.static, *([roles.group] if roles.group else [])} - set(panel.facts):
        problems.append(f"a panel must have its static columns: {sorted(missing)} are missing")
    if not 0 <= panel.source.horizon < max(1, int(np.diff(offsets).min())):
        problems.append(f"ready-made windows must be longer than their horizon: got {panel.source.horizon}")
    return problems
