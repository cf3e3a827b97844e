"""Results of a search: axes of settings, best trials, pairs of settings, cost, failures."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsforecast.search.space import Range, Space

RANGE_BINS = 4
MAX_BINS = 6  # of choices that are numbers; a range of fewer whole numbers has a bin for each
SAME_SCORE = 1e-9  # largest difference between equal scores
# Pairs of settings that are often studied: columns of a heat map, then its rows.
PAIRS = (
    ("units", "layers"),
    ("cell", "layers"),
    ("cell", "window"),
    ("units", "dropout"),
    ("optimizer", "learning_rate"),
)


@dataclass(frozen=True)
class SettingAxis:
    """Axis of one setting: its values in order, with labels.

    Attributes
    ----------
    name : str
    labels : tuple of str
        Evenly spaced: of each choice, or of each bin; of a range without bins those of its ends and its middle.
    numeric : bool
        Whether values are numbers, so that neighbours are alike.
    limits : tuple of float
        Positions of the first and the last value.
    choices : tuple of str
        Representations of the choices, in order; empty for a range.
    log : bool
        Whether positions are logarithms.
    enumerated : bool
        Whether it is a range of so few whole numbers that each has a label.
    edges : tuple of float
        Positions where bins end, one more than bins; empty without bins.
    """

    name: str
    labels: tuple[str, ...]
    numeric: bool
    limits: tuple[float, float]
    choices: tuple[str, ...] = ()
    log: bool = False
    enumerated: bool = False
    edges: tuple[float, ...] = ()

    def position(self, value: Any) -> float:
        """Return the index of a choice, or a number, or its logarithm."""
        if self.choices:
            return float(self.choices.index(repr(value)))
        return math.log(value) if self.log else float(value)

    def fraction(self, value: Any) -> float:
        """Return the position of a value between the limits, from 0 to 1."""
        low, high = self.limits
        return float(np.clip((self.position(value) - low) / (high - low), 0, 1)) if high > low else 0.5

    def binned(self) -> SettingAxis:
        """Return the axis with bins: one for each of few choices, equal parts of a range.

        Examples
        --------
        >>> space = Space.of({"dropout": (0.0, 0.4), "layers": (1, 3), "units": [8, 16, 32]})
        >>> axis_of(space, "dropout").binned().labels
        ('0 to 0.1', '0.1 to 0.2', '0.2 to 0.3', '0.3 to 0.4')
        >>> axis_of(space, "layers").binned().labels, axis_of(space, "units").binned().labels
        (('1', '2', '3'), ('8', '16', '32'))
        """
        low, high = self.limits
        if self.choices:  # of many numbers, neighbours share a bin
            starts = range(0, len(self.choices), math.ceil(len(self.choices) / MAX_BINS) if self.numeric else 1)
            groups = [self.labels[start:end] for start, end in pairwise([*starts, len(self.choices)])]
            labels = tuple(group[0] if len(group) == 1 else f"{group[0]} to {group[-1]}" for group in groups)
            return replace(self, labels=labels, edges=(*(start - 0.5 for start in starts), len(self.choices) - 0.5))
        if self.enumerated:
            return replace(self, edges=tuple(low - 0.5 + i for i in range(len(self.labels) + 1)))
        edges = np.linspace(low, high, RANGE_BINS + 1)
        numbers = np.exp(edges) if self.log else edges
        labels = tuple(f"{short_number(a)} to {short_number(b)}" for a, b in pairwise(numbers))
        return replace(self, labels=labels, edges=tuple(edges.tolist()))

    def bin(self, value: Any) -> int:
        """Return the index of the bin of a value."""
        index = np.searchsorted(self.edges, self.position(value), side="right") - 1
        return int(np.clip(index, 0, len(self.labels) - 1))


def axis_of(space: Space, name: str) -> SettingAxis:
    """Return the axis of a setting of a space.

    Choices that are numbers, or seasons, are sorted; others stay in the order of the space.

    Examples
    --------
    >>> space = Space.of({"window": ["2 seasons", 10, "1 season"], "cell": ["gru", "conv1d"]}, season_length=12)
    >>> axis_of(space, "window").labels, axis_of(space, "cell").position("conv1d")
    (('10', '1 season', '2 seasons'), 1.0)
    """
    domain = space.domains[name]
    if isinstance(domain, Range):
        low, high = domain.low, domain.high
        enumerated = domain.whole and high - low < MAX_BINS
        middle = math.sqrt(low * high) if domain.log else (low + high) / 2
        numbers = domain.grid() if enumerated else [low, middle, high]
        labels = tuple(short_number(round(number) if domain.whole else number) for number in numbers)
        limits = (math.log(low), math.log(high)) if domain.log else (float(low), float(high))
        return SettingAxis(name, labels, True, limits, log=domain.log, enumerated=enumerated)
    steps = {repr(choice): space.settings({name: choice})[name] for choice in domain}
    numeric = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in steps.values())
    choices = list({repr(choice): choice for choice in domain}.values())
    if numeric:
        choices.sort(key=lambda choice: steps[repr(choice)])
    labels = tuple(value_text(choice) for choice in choices)
    return SettingAxis(name, labels, numeric, (0.0, float(len(choices) - 1)), choices=tuple(map(repr, choices)))


def value_text(value: Any) -> str:
    """Return the value of a setting as text.

    Examples
    --------
    >>> value_text(0.00123456), value_text("gru"), value_text(None), value_text(True)
    ('0.00123', 'gru', 'none', 'yes')
    """
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return short_number(value, 3) if isinstance(value, float) else str(value)


def short_number(value: float, digits: int = 2) -> str:
    """Return a number with few digits, but a whole one below a million with all of its digits.

    Examples
    --------
    >>> short_number(0.12345), short_number(1e-5), short_number(128), short_number(0.0001), short_number(-0.0)
    ('0.12', '1e-05', '128', '0.0001', '0')
    """
    if value == round(value) and abs(value) < 1e6:
        return str(round(value))
    return f"{value:.{digits}g}"


@dataclass(frozen=True)
class Pair:
    """Scores by two settings.

    Attributes
    ----------
    across, down : SettingAxis
        Of the columns and of the rows.
    mean, best : array (rows, columns)
        NaN without trials.
    count : array (rows, columns)
    """

    across: SettingAxis
    down: SettingAxis
    mean: NDArray[np.float64]
    best: NDArray[np.float64]
    count: NDArray[np.int64]


@dataclass(frozen=True)
class Failure:
    """An error, and the trials that ended in it."""

    error: str
    trials: tuple[int, ...]


def scored(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the trials that have a score, without the naive forecast.

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
    """Return the trials with the highest scores, the best first, of equal ones the older first."""
    return scored(trials).sort_values("best_score", ascending=False, kind="stable").head(count)


def varied(trials: pd.DataFrame, space: Space) -> list[str]:
    """Return the settings of which trials with a score have several values, in the order of the space."""
    values: dict[str, set[str]] = {name: set() for name in space.domains}
    for params in scored(trials)["params"]:
        for name, value in params.items():
            values[name].add(repr(value))
    return [name for name, distinct in values.items() if len(distinct) > 1]


def score_floor(trials: pd.DataFrame) -> float:
    """Return a score below which differences do not matter, since such networks diverged.

    It is twice as far below the middle trial (or naive) as that is below the best one, but within 100 points of it.

    Examples
    --------
    >>> trials = pd.DataFrame({"trial": range(5), "best_score": [0, 0.3, 0.2, 0.1, -70]})
    >>> round(score_floor(trials), 3)
    -0.3
    """
    scores = scored(trials)["best_score"].to_numpy(dtype=float)
    if not len(scores):
        return -1.0
    top, middle = scores.max(), np.median(scores)
    return float(max(min(middle, 0) - 2 * max(top - middle, 0.02), min(top, 0) - 1))


def scores_differ(trials: pd.DataFrame) -> bool:
    """Return whether any two scores differ."""
    scores = scored(trials)["best_score"].to_numpy(dtype=float)
    return len(scores) > 1 and bool(np.ptp(scores) > SAME_SCORE)


def with_last_score(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the trials with a score, with their last one, where learning curves end, as the best.

    Examples
    --------
    >>> trials = pd.DataFrame({"trial": [1], "best_score": [0.0], "last_score": [-0.2]})
    >>> with_last_score(trials)["best_score"].tolist()
    [-0.2]
    """
    with_score = scored(trials)
    return with_score.assign(best_score=with_score["last_score"])


def pairs(trials: pd.DataFrame, space: Space) -> list[Pair]:
    """Return scores by the pairs of settings in `PAIRS`, where both varied and scores differ.

    Examples
    --------
    >>> params = [{"units": units, "layers": layers} for units in (8, 16) for layers in (1, 2)]
    >>> trials = pd.DataFrame({"trial": range(1, 5), "best_score": [0.1, 0.2, 0.3, 0.4], "params": params})
    >>> (pair,) = pairs(trials, Space.of({"units": [8, 16], "layers": (1, 2)}))
    >>> pair.mean.round(1).tolist()
    [[0.1, 0.3], [0.2, 0.4]]
    """
    free = varied(trials, space) if scores_differ(trials) else []
    return [_pair(trials, space, *names) for names in PAIRS if set(names) <= set(free)]


def _pair(trials: pd.DataFrame, space: Space, across: str, down: str) -> Pair:
    columns, rows = axis_of(space, across).binned(), axis_of(space, down).binned()
    shape = len(rows.labels), len(columns.labels)
    mean, top, count = np.full(shape, np.nan), np.full(shape, np.nan), np.zeros(shape, dtype=np.int64)
    cells: dict[tuple[int, int], list[float]] = {}
    for trial in scored(trials).itertuples():
        if across in trial.params and down in trial.params:
            cell = rows.bin(trial.params[down]), columns.bin(trial.params[across])
            cells.setdefault(cell, []).append(trial.best_score)
    for cell, scores in cells.items():
        mean[cell], top[cell], count[cell] = np.mean(scores), max(scores), len(scores)
    return Pair(columns, rows, mean, top, count)


def pareto_front(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the trials with a better score than every cheaper one, the cheapest first.

    Examples
    --------
    >>> trials = pd.DataFrame({"trial": [1, 2, 3], "best_score": [0.1, 0.3, 0.2], "seconds": [1.0, 2.0, 3.0]})
    >>> pareto_front(trials)["trial"].tolist()
    [1, 2]
    """
    with_score = scored(trials)
    timed = with_score[with_score["seconds"].notna()]
    ordered = timed.sort_values(["seconds", "best_score"], ascending=[True, False])
    before = ordered["best_score"].cummax().shift(fill_value=-np.inf)
    return ordered[ordered["best_score"] > before]


def failures(trials: pd.DataFrame) -> list[Failure]:
    """Return the errors of trials, the most frequent first.

    Examples
    --------
    >>> trials = pd.DataFrame({"trial": [0, 1, 2, 3], "error": ["", "no memory", "", "no memory"]})
    >>> failures(trials)
    [Failure(error='no memory', trials=(1, 3))]
    """
    failed = trials[trials["error"] != ""]
    groups = [Failure(str(error), tuple(map(int, group))) for error, group in failed.groupby("error")["trial"]]
    return sorted(groups, key=lambda failure: (-len(failure.trials), failure.trials))


def cv_results(trials: pd.DataFrame) -> dict[str, Any]:
    """Return all trials but the naive forecast as `cv_results_` of scikit-learn's searches.

    Examples
    --------
    >>> from tsforecast.search.journal import TrialRecord, trials_table
    >>> records = [TrialRecord({"units": i}, {0: 0.0, 1: 0.1 * i}, trial=i + 1) for i in (0, 1)]
    >>> candidates = cv_results(trials_table(records, Space.of({"units": [8, 16]}), 1))
    >>> candidates["params"], candidates["rank_test_score"].tolist()
    ([{'units': 8}, {'units': 16}], [2, 1])
    """
    candidates = trials.iloc[1:]
    scores = candidates["best_score"].to_numpy(dtype=float)
    names = [name for name in candidates.columns if name.startswith("param_")]
    missing = candidates.isna()
    return {
        "params": candidates["params"].tolist(),
        **{name: np.ma.masked_array(candidates[name].to_numpy(dtype=object), missing[name]) for name in names},
        "mean_test_score": scores,
        "std_test_score": np.zeros(len(candidates)),
        "rank_test_score": (-pd.Series(scores)).rank(method="min", na_option="bottom").astype(int).to_numpy(),
        "split0_test_score": scores,
        "mean_fit_time": candidates["seconds"].to_numpy(dtype=float),
    }
