"""Copies: recordings that hold the same numbers, found before anything is learned from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.data.panel import Panel
from tsforecast.errors import shorten


@dataclass(frozen=True)
class Copies:
    """Recordings that hold the same numbers, step by step.

    Attributes
    ----------
    places : tuple of int
        Positions of the recordings.
    names, labels, groups : tuples of str
        Of each; groups are empty where there are none.
    """

    places: tuple[int, ...]
    names: tuple[str, ...]
    labels: tuple[str, ...]
    groups: tuple[str, ...]

    @property
    def disagree(self) -> bool:
        """Whether they have different labels, of which one at most can be true."""
        return len(set(self.labels)) > 1

    @property
    def sentence(self) -> str:
        """What was found, for a person.

        Examples
        --------
        >>> Copies((0, 4), ("ann/03", "ann/17"), ("wave", "circle"), ("ann", "ann")).sentence
        "recordings 'ann/03' and 'ann/17' are the same, but labelled 'wave' and 'circle': one label must be wrong"
        """
        named = _joined(self.names)
        if self.disagree:
            return f"recordings {named} are the same, but labelled {_joined(self.labels)}: one label must be wrong"
        whose = f", of {_joined(sorted(set(self.groups)))}" if len(set(self.groups)) > 1 else ""
        return f"recordings {named} are the same{whose}"


def find_copies(panel: Panel, labels: NDArray[Any], groups: NDArray[Any] | None = None) -> list[Copies]:
    """Return the recordings of which there are several, those with different labels first.

    Parameters
    ----------
    panel : Panel
    labels, groups : arrays of shape (N,)

    Examples
    --------
    >>> panel = Panel.from_array([[1.0, 2.0], [3.0], [1.0, 2.0]])
    >>> find_copies(panel, np.array(["up", "up", "down"]))[0].places
    (0, 2)
    """
    found = [
        Copies(
            tuple(places),
            tuple(str(panel.ids[i]) for i in places),
            tuple(str(labels[i]) for i in places),
            () if groups is None else tuple(str(groups[i]) for i in places),
        )
        for places in _alike(panel).values()
        if len(places) > 1
    ]
    return sorted(found, key=lambda copies: (not copies.disagree, copies.places))


def content(panel: Panel) -> NDArray[np.int64]:
    """Return a number for each recording, (N,), that its copies share.

    Examples
    --------
    >>> content(Panel.from_array([[1.0, 2.0], [3.0], [1.0, 2.0]])).tolist()
    [0, 1, 0]
    """
    numbers = np.empty(len(panel), dtype=np.int64)
    for number, places in enumerate(_alike(panel).values()):
        numbers[places] = number
    return numbers


def _alike(panel: Panel) -> dict[bytes, list[int]]:
    """Return the positions of recordings by what they hold."""
    found: dict[bytes, list[int]] = {}
    for i in range(len(panel)):
        found.setdefault((panel.series(i) + 0.0).tobytes(), []).append(i)  # -0.0 and 0.0 are the same number
    return found


def _joined(names: tuple[str, ...] | list[str]) -> str:
    quoted = [repr(name) for name in names]
    return " and ".join(quoted) if len(quoted) == 2 else shorten(quoted)
