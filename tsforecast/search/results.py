"""Results of a search: axes of settings, best trials, pairs of settings, failures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsforecast.search.space import Range, Space, is_number

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
    """Axis of one setting: its values in order, with labels, and bins of neighbours."""

    name: str
    numeric: bool  # values are numbers, so that neighbours are alike
    labels: tuple[str, ...]  # evenly spaced: of each choice or whole number, or of the ends and the middle of a range
    bins: tuple[str, ...]  # label of each bin
    cuts: list[float]  # positions between bins, one less than bins
    limits: tuple[float, float]  # positions of the first and the last value
    choices: tuple[str, ...] = ()  # code of each choice, in order; of a range none
    log: bool = False  # whether a range is even in the logarithm

    @property
    def title(self) -> str:
        """The name, with a mark on a logarithmic scale."""
        return f"{self.name} (log)" if self.log else self.name

    def position(self, value: Any) -> float:
        """Return the index of a choice, or the number of a range, or its logarithm."""
        if self.choices:
            return float(self.choices.index(repr(value)))
        return math.log(value) if self.log else float(value)

    def fraction(self, value: Any) -> float:
        """Return the position of a value between the limits, from 0 to 1."""
        low, high = self.limits
        return float(np.clip((self.position(value) - low) / (high - low), 0, 1)) if high > low else 0.5

    def bin(self, value: Any) -> int:
        """Return the index of the bin of a value."""
        return int(np.searchsorted(self.cuts, self.position(value), side="right"))


def axis_of(space: Space, name: str) -> SettingAxis:
    """Return the axis of a setting of a space.

    Choices that are numbers, or seasons, are sorted; others stay in the order of the space.
    """
    domain = space.domains[name]
    if isinstance(domain, Range):
        low, high = (math.log(bound) if domain.log else float(bound) for bound in (domain.low, domain.high))
        if domain.whole and not domain.log and high - low < MAX_BINS:
            labels = bins = tuple(map(short_number, domain.grid()))
            cuts = [number + 0.5 for number in domain.grid()[:-1]]
        else:
            edges = np.linspace(low, high, RANGE_BINS + 1)
            labels = tuple(map(short_number, (domain.low, domain.middle(), domain.high)))
            ends = [short_number(end) for end in (np.exp(edges) if domain.log else edges)]
            bins = tuple(_span(pair) for pair in pairwise(ends))
            cuts = edges[1:-1].tolist()
        return SettingAxis(name, True, labels, bins, cuts, (low, high), log=domain.log)
    steps = {repr(choice): space.settings({name: choice})[name] for choice in domain}
    numeric = all(map(is_number, steps.values()))
    choices = list({repr(choice): choice for choice in domain}.values())
    if numeric:
        choices.sort(key=lambda choice: steps[repr(choice)])
    labels = tuple(map(value_text, choices))
    width = math.ceil(len(choices) / MAX_BINS) if numeric else 1  # of many numbers, neighbours share a bin
    bins = tuple(_span(labels[start : start + width]) for start in range(0, len(labels), width))
    cuts = [start - 0.5 for start in range(width, len(choices), width)]
    limits = (0.0, float(len(choices) - 1))
    return SettingAxis(name, numeric, labels, bins, cuts, limits, choices=tuple(map(repr, choices)))


def _span(labels: tuple[str, ...]) -> str:
    """Return the label of a bin from the first and the last label in it."""
    return labels[0] if len(labels) == 1 else f"{labels[0]} to {labels[-1]}"


def value_text(value: Any) -> str:
    """Return the value of a setting as text."""
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return short_number(value, 3) if isinstance(value, float) else str(value)


def own_settings(space: Space, params: Mapping[str, Any]) -> dict[str, str]:
    """Return the settings of a space that a forecaster has by itself, as text; none where the space lacks one."""
    start = space.active(space.start(params))
    same = all(repr(value) == repr(params.get(name)) for name, value in start.items())
    return {name: value_text(value) for name, value in start.items()} if same else {}


def short_number(value: float, digits: int = 2) -> str:
    """Return a number with few digits, but a whole one below a million with all of its digits."""
    if value == round(value) and abs(value) < 1e6:
        return str(round(value))
    return f"{value:.{digits}g}"


@dataclass(frozen=True)
class Pair:
    """Scores by two settings, in arrays of shape (rows, columns)."""

    across: SettingAxis  # of the columns
    down: SettingAxis  # of the rows
    mean: NDArray[np.float64]  # NaN without trials
    best: NDArray[np.float64]  # NaN without trials
    count: NDArray[np.int64]


def scored(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the trials that have a score, without the naive forecast; see `RaySearch.trials_`."""
    return trials[(trials["trial"] > 0) & np.isfinite(trials["best_score"].astype(float))]


def best(trials: pd.DataFrame, count: int) -> pd.DataFrame:
    """Return the trials with the highest scores, the best first, of equal ones the older first."""
    return scored(trials).sort_values("best_score", ascending=False, kind="stable").head(count)


def varied(trials: pd.DataFrame, space: Space) -> list[str]:
    """Return the settings of which trials with a score have several values, in the order of the space."""
    values: dict[str, set[str]] = {name: set() for name in space.domains}
    for params in scored(trials)["params"]:
        for name, value in params.items():
            values[name].add(repr(value))
    return [name for name, distinct in values.items() if len(distinct) > 1]


def score_floor(trials: pd.DataFrame, score: str = "best_score") -> float:
    """Return a score below which differences do not matter, since such networks diverged.

    It is twice as far below the middle trial (or naive) as that is below the best one, but within 100 points of it.
    Learning curves have one of their own, by their ``last_score``.
    """
    scores = scored(trials)[score].to_numpy(dtype=float)
    if not len(scores):
        return -1.0
    top, middle = scores.max(), np.median(scores)
    return float(max(min(middle, 0) - 2 * max(top - middle, 0.02), min(top, 0) - 1))


def scores_differ(trials: pd.DataFrame) -> bool:
    """Return whether any two scores differ."""
    scores = scored(trials)["best_score"].to_numpy(dtype=float)
    return len(scores) > 1 and bool(np.ptp(scores) > SAME_SCORE)


def pairs(trials: pd.DataFrame, space: Space) -> list[Pair]:
    """Return scores by the pairs of settings in `PAIRS`, where both varied and scores differ."""
    free = varied(trials, space) if scores_differ(trials) else []
    return [_pair(trials, space, *names) for names in PAIRS if set(names) <= set(free)]


def _pair(trials: pd.DataFrame, space: Space, across: str, down: str) -> Pair:
    columns, rows = axis_of(space, across), axis_of(space, down)
    shape = len(rows.bins), len(columns.bins)
    mean, top, count = np.full(shape, np.nan), np.full(shape, np.nan), np.zeros(shape, dtype=np.int64)
    cells: dict[tuple[int, int], list[float]] = {}
    for trial in scored(trials).itertuples():
        if across in trial.params and down in trial.params:
            cell = rows.bin(trial.params[down]), columns.bin(trial.params[across])
            cells.setdefault(cell, []).append(trial.best_score)
    for cell, scores in cells.items():
        mean[cell], top[cell], count[cell] = np.mean(scores), max(scores), len(scores)
    return Pair(columns, rows, mean, top, count)


def failures(trials: pd.DataFrame) -> dict[str, list[int]]:
    """Return the errors of trials, the most frequent first, and the trials that ended in each."""
    groups = trials[trials["error"] != ""].groupby("error")["trial"].agg(list)
    return dict(sorted(groups.items(), key=lambda group: (-len(group[1]), group[1])))


def cv_results(trials: pd.DataFrame) -> dict[str, Any]:
    """Return all trials but the naive forecast as `cv_results_` of scikit-learn's searches."""
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
