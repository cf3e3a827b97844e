"""What data there were: a fingerprint that only the same data have, and from where to where they reach."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.data.panel import Panel


def fingerprint(panel: Panel, labels: NDArray[np.int64] | None = None) -> str:
    """Return the SHA-256 of everything in a panel that models can read, and of the labels of its series.

    Examples
    --------
    >>> one, other = Panel.of(np.arange(9.0)), Panel.of(np.arange(9.0) + 1)
    >>> fingerprint(one) == fingerprint(Panel.of(np.arange(9.0))), fingerprint(one) == fingerprint(other)
    (True, False)
    """
    told = hashlib.sha256(repr((panel.roles, panel.frequency, panel.kind, panel.season_length)).encode())
    for name, array in {"values": panel.values, "offsets": panel.offsets, "starts": panel.starts}.items():
        told.update(f"{name} {array.dtype} {array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    facts = {name: fact.tolist() for name, fact in panel.facts.items()}
    weights = None if panel.weights is None else panel.weights.tolist()
    told.update(repr((panel.ids.tolist(), facts, weights)).encode())
    if labels is not None:
        told.update(np.ascontiguousarray(labels).tobytes())
    return told.hexdigest()


def span(panel: Panel, first: NDArray[np.int64], last: NDArray[np.int64]) -> dict[str, Any]:
    """Return how many series have steps ``first[i]`` to ``last[i] - 1``, how many steps, the first and the last.

    Examples
    --------
    >>> span(Panel.of(np.arange(9.0)), np.array([2]), np.array([9]))
    {'series': 1, 'steps': 7, 'first': '2', 'last': '8'}
    """
    mine = np.flatnonzero(last > first)
    if not len(mine):
        return {"series": 0, "steps": 0}
    stamps = [panel.frequency.advance(panel.starts[mine], steps[mine]) for steps in (first, last - 1)]
    ends = {"first": panel.label(stamps[0].min()), "last": panel.label(stamps[1].max())}
    return {"series": len(mine), "steps": int((last - first)[mine].sum()), **ends}


def origin(panel: Panel, labels: NDArray[np.int64] | None = None) -> dict[str, Any]:
    """Return what something was learned from: the span of a panel, and its fingerprint."""
    return span(panel, np.zeros_like(panel.lengths), panel.lengths) | {"sha256": fingerprint(panel, labels)}
