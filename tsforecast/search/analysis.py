"""What the trials of a search say: the best, which settings varied, pairs of them, cost, failures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsforecast.search.scales import Scale, scale_of
from tsforecast.search.space import Space

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
    >>> from tsforecast.search.journal import Tried
    >>> from tsforecast.search.trials import trials_table
    >>> tried = [Tried({"units": 0}, {0: 0.0, 1: 0.3}), Tried({"units": 1}, error="full", trial=2)]
    >>> scored(trials_table(tried, Space.of({"units": [8, 16]}), 1))["trial"].tolist()
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
