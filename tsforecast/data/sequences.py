"""Sequences to classify as a panel, and duplicates among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.data.panel import Panel
from tsforecast.data.series import Roles, Source
from tsforecast.errors import DataError, Problem, raise_any, shorten

FORMS = "a list of (T, C) arrays, an array of shape (N, T, C) or (N, T), or a Panel"


def is_ragged(data: Any) -> bool:
    """Return whether sequences are given one by one, each of its own length, rather than as rows of one array."""
    if isinstance(data, Panel):
        return True
    if isinstance(data, np.ndarray):
        return (
            data.dtype == object and data.ndim == 1 and len(data) > 0 and all(hasattr(one, "__len__") for one in data)
        )
    if not isinstance(data, (list, tuple)) or not data or not all(hasattr(one, "__len__") for one in data):
        return False
    return any(hasattr(one, "ndim") for one in data) or len({len(one) for one in data}) > 1


def read(data: Any) -> Panel:
    """Read sequences into a panel: a list of (T, C) or (T,) arrays, an array (N, T, C) or (N, T), or a panel.

    Without C there is one channel. All varying columns of a panel are channels; its static columns, the label
    among them, are not read, but its groups are kept. DataError names every sequence that is empty, not finite, or of
    another number of channels.
    """
    if isinstance(data, Panel):
        must, got = "channels must hold numbers", f"{shorten([*map(repr, data.roles.categories)])} hold text"
        raise_any([Problem(must, got, "leave them out: panel.without(...)")] if data.roles.coded else [])
        raise_any(recording_problems([data.series(i) for i in range(len(data))]))
        statics = {} if data.groups is None else {"group": data.groups}
        roles = Roles(data.roles.varying, group="group" if statics else None)
        source = Source("arrays", 2, dataset=data.source.dataset)
        return Panel.untimed(data.values, data.offsets, data.ids, roles, source, statics)
    parts, problems = [], []
    for i, one in enumerate(data):
        try:
            part = np.asarray(one)
            part = part if part.dtype == np.float32 else part.astype(np.float64)
        except (TypeError, ValueError, OverflowError) as error:
            problems.append(f"recording {i} must hold numbers: {error}")
            continue
        parts.append(part[:, None] if part.ndim == 1 else part)
    raise_any(problems)
    if not parts:
        raise DataError(f"there must be a recording at least: got none; pass {FORMS}")
    raise_any(recording_problems(parts))
    offsets = np.cumsum([0, *map(len, parts)])
    names = tuple(f"c{c}" for c in range(parts[0].shape[1]))
    return Panel.untimed(np.concatenate(parts), offsets, np.arange(len(parts)), Roles(names), Source("arrays", 2))


def recording_problems(parts: Sequence[NDArray[Any]]) -> list[str]:
    """Return a problem for each sequence, (T, C), that is empty, not finite, or of another shape than the first."""
    found = []
    channels = next((part.shape[1] for part in parts if part.ndim == 2 and part.size), 1)
    for i, part in enumerate(parts):
        if part.ndim != 2:
            found.append(f"recording {i} must have shape (T, C): got {part.shape}; pass {FORMS}")
        elif not part.size:
            found.append(f"recording {i} must have a step at least: it is empty, {part.shape}; leave it out")
        elif part.shape[1] != channels:
            found.append(
                f"recording {i} must have as many channels as the others: {channels}, got {part.shape[1]}; leave it "
                "out, or give all the same columns (steps are rows)"
            )
        elif not np.isfinite(part).all():
            step, channel = np.argwhere(~np.isfinite(part))[0]
            counts = [(int(np.isnan(part).sum()), "NaN"), (int(np.isinf(part).sum()), "inf")]
            found.append(
                f"recording {i} must hold finite numbers: it has "
                f"{' and '.join(f'{count} {what}' for count, what in counts if count)}, the first at step {step}, "
                f"channel {channel}; fill them in, or leave the recording out"
            )
    return found


@dataclass(frozen=True)
class DuplicateSet:
    """Sequences that hold the same numbers, step by step."""

    places: tuple[int, ...]
    names: tuple[str, ...]
    labels: tuple[str, ...]
    groups: tuple[str, ...]  # none where there are none

    @property
    def disagree(self) -> bool:
        """Whether their labels differ, of which one at most can be true."""
        return len(set(self.labels)) > 1

    @property
    def sentence(self) -> str:
        """Description of the finding."""
        named = _joined(self.names)
        if self.disagree:
            return f"recordings {named} are the same, but labelled {_joined(self.labels)}: one label must be wrong"
        whose = f", of {_joined(sorted(set(self.groups)))}" if len(set(self.groups)) > 1 else ""
        return f"recordings {named} are the same{whose}"


def find_duplicates(panel: Panel, labels: NDArray[Any], groups: NDArray[Any] | None = None) -> list[DuplicateSet]:
    """Return the sequences that occur several times, those with different labels, (N,), first."""
    found = [
        DuplicateSet(
            tuple(places),
            tuple(str(panel.ids[i]) for i in places),
            tuple(str(labels[i]) for i in places),
            () if groups is None else tuple(str(groups[i]) for i in places),
        )
        for places in _alike(panel).values()
        if len(places) > 1
    ]
    return sorted(found, key=lambda found: (not found.disagree, found.places))


def content(panel: Panel) -> NDArray[np.int64]:
    """Return a number for each sequence, (N,), that its duplicates share."""
    numbers = np.empty(len(panel), dtype=np.int64)
    for number, places in enumerate(_alike(panel).values()):
        numbers[places] = number
    return numbers


def _alike(panel: Panel) -> dict[bytes, list[int]]:
    """Return the positions of sequences by their bytes."""
    found: dict[bytes, list[int]] = {}
    for i in range(len(panel)):
        found.setdefault((panel.series(i) + 0.0).tobytes(), []).append(i)  # -0.0 and 0.0 are the same number
    return found


def _joined(names: tuple[str, ...] | list[str]) -> str:
    quoted = [repr(name) for name in names]
    return " and ".join(quoted) if len(quoted) == 2 else shorten(quoted)
