"""What the trials of a search say: the best, which settings varied, pairs of them, cost, failures."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

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


ALIKE = 1e-9  # scores that differ by no more are the same
# Pairs that people study: columns of a heat map, then its rows.
PAIRS = (
    ("units", "layers"),
    ("cell", "layers"),
    ("cell", "window"),
    ("units", "dropout"),
    ("optimizer", "learning_rate"),
)


@dataclass(frozen=True)
class Pair:
    """Scores by two settings.

    Attributes
    ----------
    across, down : Scale
        Of the columns and of the rows.
    mean, best : array (rows, columns)
        NaN where there is no trial.
    count : array (rows, columns)
    """

    across: Scale
    down: Scale
    mean: NDArray[np.float64]
    best: NDArray[np.float64]
    count: NDArray[np.int64]


@dataclass(frozen=True)
class Failure:
    """An error, and the trials that ended in it."""

    error: str
    trials: tuple[int, ...]


def scored(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the trials that have a score, without naive.

    Parameters
    ----------
    trials : pandas.DataFrame
        See `RaySearch.trials_`.

    Examples
    --------
    >>> from tsforecast.search.journal import TrialRecord, trials_table
    >>> records = [TrialRecord({"units": 0}, {0: 0.0, 1: 0.3}), TrialRecord({"units": 1}, error="full", trial=2)]
    >>> scored(trials_table(records, Space.of({"units": [8, 16]}), 1))["trial"].tolist()
    [1]
    """
    return trials[(trials["trial"] > 0) & np.isfinite(trials["best_score"].astype(float))]


def best(trials: pd.DataFrame, count: int = 10) -> pd.DataFrame:
    """Return the trials with the highest scores, the best first, the older one first where two are equal."""
    return scored(trials).sort_values("best_score", ascending=False, kind="stable").head(count)


def varied(trials: pd.DataFrame, space: Space) -> list[str]:
    """Return the settings of which trials with a score have more than one value, in the order of the space."""
    values: dict[str, set[str]] = {name: set() for name in space.domains}
    for params in scored(trials)["params"]:
        for name, value in params.items():
            values[name].add(repr(value))
    return [name for name, seen in values.items() if len(seen) > 1]


def floor_of(trials: pd.DataFrame) -> float:
    """Return a score so low that what lies below it need not be told apart: a network that diverged says nothing more.

    It lies twice as far below the middle trial (or naive) as that lies below the best one, but within 100 points of it.

    Examples
    --------
    >>> trials = pd.DataFrame({"trial": range(5), "best_score": [0, 0.3, 0.2, 0.1, -70]})
    >>> round(floor_of(trials), 3)
    -0.3
    """
    scores = scored(trials)["best_score"].to_numpy(dtype=float)
    if not len(scores):
        return -1.0
    top, middle = scores.max(), np.median(scores)
    return float(max(min(middle, 0) - 2 * max(top - middle, 0.02), min(top, 0) - 1))


def differ(trials: pd.DataFrame) -> bool:
    """Tell whether there are scores that differ."""
    scores = scored(trials)["best_score"].to_numpy(dtype=float)
    return len(scores) > 1 and bool(np.ptp(scores) > ALIKE)


def at_last(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the trials with a score, each with its last one: where its learning curve ends.

    Examples
    --------
    >>> at_last(pd.DataFrame({"trial": [1], "best_score": [0.0], "last_score": [-0.2]}))["best_score"].tolist()
    [-0.2]
    """
    tried = scored(trials)
    return tried.assign(best_score=tried["last_score"])


def pairs(trials: pd.DataFrame, space: Space) -> list[Pair]:
    """Return scores by pairs of settings that people study, where both were varied and scores differ.

    Examples
    --------
    >>> params = [{"units": units, "layers": layers} for units in (8, 16) for layers in (1, 2)]
    >>> trials = pd.DataFrame({"trial": range(1, 5), "best_score": [0.1, 0.2, 0.3, 0.4], "params": params})
    >>> (pair,) = pairs(trials, Space.of({"units": [8, 16], "layers": (1, 2)}))
    >>> pair.mean.round(1).tolist()
    [[0.1, 0.3], [0.2, 0.4]]
    """
    free = varied(trials, space) if differ(trials) else []
    return [_pair(trials, space, *names) for names in PAIRS if set(names) <= set(free)]


def front(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the trials that no cheaper one equals, the cheapest first.

    Examples
    --------
    >>> trials = pd.DataFrame({"trial": [1, 2, 3], "best_score": [0.1, 0.3, 0.2], "seconds": [1.0, 2.0, 3.0]})
    >>> front(trials)["trial"].tolist()
    [1, 2]
    """
    tried = scored(trials)
    ordered = tried[tried["seconds"].notna()].sort_values(["seconds", "best_score"], ascending=[True, False])
    before = ordered["best_score"].cummax().shift(fill_value=-np.inf)
    return ordered[ordered["best_score"] > before]


def failures(trials: pd.DataFrame) -> list[Failure]:
    """Return what trials failed of, the most frequent first.

    Examples
    --------
    >>> trials = pd.DataFrame({"trial": [0, 1, 2, 3], "error": ["", "no memory", "", "no memory"]})
    >>> failures(trials)
    [Failure(error='no memory', trials=(1, 3))]
    """
    failed = trials[trials["error"] != ""]
    groups = [Failure(str(error), tuple(map(int, group))) for error, group in failed.groupby("error")["trial"]]
    return sorted(groups, key=lambda failure: (-len(failure.trials), failure.trials))


def _pair(trials: pd.DataFrame, space: Space, across: str, down: str) -> Pair:
    scales = scale_of(space, across).binned(), scale_of(space, down).binned()
    shape = len(scales[1].words), len(scales[0].words)
    mean, top, count = np.full(shape, np.nan), np.full(shape, np.nan), np.zeros(shape, dtype=np.int64)
    cells: dict[tuple[int, int], list[float]] = {}
    for one in scored(trials).itertuples():
        if across in one.params and down in one.params:
            place = scales[1].bin(one.params[down]), scales[0].bin(one.params[across])
            cells.setdefault(place, []).append(one.best_score)
    for place, scores in cells.items():
        mean[place], top[place], count[place] = np.mean(scores), max(scores), len(scores)
    return Pair(*scales, mean, top, count)
