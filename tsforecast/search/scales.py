"""Where the values of a setting stand beside each other: to be drawn, cut into bins, and told to a forest."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from tsforecast.search.space import Range, Space

BINS = 4  # of a range
MOST = 6  # values of a setting that are each told apart in bins


@dataclass(frozen=True)
class Scale:
    """The values of one setting in their order.

    Attributes
    ----------
    setting : str
    words : tuple of str
        Of each choice, or of each bin; of a range that is not binned of its ends and its middle. They stand evenly.
    numeric : bool
        Whether values are numbers, so that neighbours are alike.
    ends : tuple of float
        Places of the first and the last value.
    choices : tuple of str
        How choices are told apart, in order; empty for a range.
    log : bool
        Whether numbers stand by their size.
    few : bool
        Whether it is a range of so few whole numbers that each has a word.
    edges : tuple of float
        Places where bins end, of which there is one more than bins; empty where nothing is binned.
    """

    setting: str
    words: tuple[str, ...]
    numeric: bool
    ends: tuple[float, float]
    choices: tuple[str, ...] = ()
    log: bool = False
    few: bool = False
    edges: tuple[float, ...] = ()

    def place(self, value: Any) -> float:
        """Return where a value stands: of a choice its place in the order, of a number itself or its logarithm."""
        if self.choices:
            return float(self.choices.index(repr(value)))
        return math.log(value) if self.log else float(value)

    def part(self, value: Any) -> float:
        """Return where a value stands between the ends, from 0 to 1."""
        low, high = self.ends
        return float(np.clip((self.place(value) - low) / (high - low), 0, 1)) if high > low else 0.5

    def binned(self) -> Scale:
        """Return the scale cut into bins: every choice its own where they are few, a range in equal parts.

        Examples
        --------
        >>> space = Space.of({"dropout": (0.0, 0.4), "layers": (1, 3), "units": [8, 16, 32]})
        >>> scale_of(space, "dropout").binned().words
        ('0 to 0.1', '0.1 to 0.2', '0.2 to 0.3', '0.3 to 0.4')
        >>> scale_of(space, "layers").binned().words, scale_of(space, "units").binned().words
        (('1', '2', '3'), ('8', '16', '32'))
        """
        if self.choices:
            return self._of_choices()
        low, high = self.ends
        if self.few:
            return replace(self, edges=tuple(low - 0.5 + place for place in range(len(self.words) + 1)))
        edges = np.linspace(low, high, BINS + 1)
        numbers = np.exp(edges) if self.log else edges
        words = tuple(f"{brief_number(a)} to {brief_number(b)}" for a, b in pairwise(numbers))
        return replace(self, words=words, edges=tuple(edges.tolist()))

    def bin(self, value: Any) -> int:
        """Return which bin a value belongs to."""
        return int(np.clip(np.searchsorted(self.edges, self.place(value), side="right") - 1, 0, len(self.words) - 1))

    def _of_choices(self) -> Scale:
        """Return each choice as a bin; of many numbers neighbours share one."""
        count = len(self.choices)
        starts = range(0, count, math.ceil(count / MOST) if self.numeric else 1)
        groups = [self.words[start:end] for start, end in pairwise([*starts, count])]
        words = tuple(group[0] if len(group) == 1 else f"{group[0]} to {group[-1]}" for group in groups)
        return replace(self, words=words, edges=(*(start - 0.5 for start in starts), count - 0.5))


def scale_of(space: Space, name: str) -> Scale:
    """Return where the values of a setting of a space stand.

    Choices that are numbers, or seasons, stand in order; others as they were listed.

    Examples
    --------
    >>> space = Space.of({"window": ["2 seasons", 10, "1 season"], "cell": ["gru", "conv1d"]}, season_length=12)
    >>> scale_of(space, "window").words, scale_of(space, "cell").place("conv1d")
    (('10', '1 season', '2 seasons'), 1.0)
    """
    domain = space.domains[name]
    if isinstance(domain, Range):
        return _of_range(name, domain)
    steps = {repr(choice): space.settings({name: choice})[name] for choice in domain}
    numeric = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in steps.values())
    unique = list({repr(choice): choice for choice in domain}.values())
    ordered = sorted(unique, key=lambda choice: steps[repr(choice)]) if numeric else unique
    words = tuple(word_of(choice) for choice in ordered)
    return Scale(name, words, numeric, (0.0, float(len(ordered) - 1)), choices=tuple(map(repr, ordered)))


def _of_range(name: str, domain: Range) -> Scale:
    low, high = domain.low, domain.high
    few = domain.whole and high - low < MOST
    numbers = domain.grid() if few else [low, math.sqrt(low * high) if domain.log else (low + high) / 2, high]
    words = tuple(brief_number(round(number) if domain.whole else number) for number in numbers)
    ends = (math.log(low), math.log(high)) if domain.log else (float(low), float(high))
    return Scale(name, words, True, ends, log=domain.log, few=few)


def word_of(value: Any) -> str:
    """Return a value of a setting for a reader.

    Examples
    --------
    >>> word_of(0.00123456), word_of("gru"), word_of(None), word_of(True)
    ('0.00123', 'gru', 'none', 'yes')
    """
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return brief_number(value, 3) if isinstance(value, float) else str(value)


def brief_number(value: float, digits: int = 2) -> str:
    """Return a number with few digits; a whole one below a million has all of its own.

    Examples
    --------
    >>> brief_number(0.12345), brief_number(1e-5), brief_number(128), brief_number(0.0001), brief_number(-0.0)
    ('0.12', '1e-05', '128', '0.0001', '0')
    """
    if value == round(value) and abs(value) < 1e6:
        return str(round(value))
    return f"{value:.{digits}g}"
