"""What the trials of a search say: which settings mattered and how surely, pairs of them, cost, failures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsforecast.search.scales import Scale, scale_of
from tsforecast.search.space import Space

FEWEST = 20  # trials with a score below which importance is noise
DRAWS = 100  # of the bootstrap
TREES = 12  # of the forest of each draw
SHUFFLES = 4  # of each setting on the trials that a forest has not seen
ALIKE = 1e-9  # scores that differ by no more are the same
LOW, HIGH = 0.025, 0.975  # ends of an interval
# Pairs that people study: columns of a heat map, then its rows.
PAIRS = (
    ("units", "layers"),
    ("cell", "layers"),
    ("cell", "window"),
    ("units", "dropout"),
    ("optimizer", "learning_rate"),
)


@dataclass(frozen=True)
class Share:
    """Which share of the variance of scores a setting makes, alone and together with others."""

    setting: str
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Importance:
    """Which settings matter, the most important first.

    Attributes
    ----------
    shares : tuple of Share
        Empty where nothing can be said.
    explained : float
        Share of the variance of scores that a forest foretells on trials that it has not seen; negative where the mean
        score would foretell them better.
    trials : int
        How many had a score.
    floor : float
        Lower scores counted as this one.
    reason : str
        Why nothing can be said; empty where something can.
    """

    shares: tuple[Share, ...]
    explained: float
    trials: int
    floor: float
    reason: str


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
    >>> tried = [Tried({"units": 0}, {0: 0.0, 1: 0.3}), Tried({"units": 1}, error="out of memory")]
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


def trained(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the trials with a score, each with the best that training brought it: epoch 0 does not count.

    Examples
    --------
    >>> trials = pd.DataFrame({"trial": [1], "best_score": [0.0], "scores": [[0.0, -0.4, -0.2]]})
    >>> trained(trials)["best_score"].tolist()
    [-0.2]
    """
    tried = scored(trials)
    return tried.assign(best_score=[max(scores[1:] or scores) for scores in tried["scores"]])


def importance(trials: pd.DataFrame, space: Space, seed: int = 0) -> Importance:
    """Estimate which settings make scores differ, with intervals.

    A random forest learns the score from the settings of trials drawn with replacement. On the trials not drawn, a
    setting is shuffled, and the squared error grows [Breiman 2001, section 10]. Half of that is the variance of scores
    that the setting makes, alone and together with others, as far as the forest knows it [Gregorutti, Michel and
    Saint-Pierre 2017]: the total effect of functional ANOVA. Many draws give its mean and a 95% interval over trials.
    Functional ANOVA of the forest itself [Hutter, Hoos and Leyton-Brown 2014] looks at no trial that the forest has not
    seen, so that of few trials every setting seems to matter; here one that does nothing lies around 0.

    A trial that was stopped early or cut short counts with its best score so far, as in the search. One without a
    score is left out. A setting that a cell does not have is filled in by chance, so that it tells nothing of the cell.

    Parameters
    ----------
    trials : pandas.DataFrame
        See `RaySearch.trials_`.
    space : Space
    seed : int

    Examples
    --------
    >>> random = np.random.default_rng(0)
    >>> params = [{"units": int(random.integers(4)), "layers": int(random.integers(4))} for _ in range(60)]
    >>> scores = [one["units"] / 10 for one in params]
    >>> trials = pd.DataFrame({"trial": range(1, 61), "best_score": scores, "params": params})
    >>> found = importance(trials, Space.of({"units": (0, 3), "layers": (0, 3)}))
    >>> [share.setting for share in found.shares], found.shares[0].low > 0.5, found.shares[1].high < 0.1
    (['units', 'layers'], True, True)
    """
    tried, names, floor = scored(trials), varied(trials, space), floor_of(trials)
    scores = np.maximum(tried["best_score"].to_numpy(dtype=float), floor)
    reason = _too_little(scores, names)
    if reason:
        return Importance((), np.nan, len(scores), floor, reason)
    random = np.random.default_rng(seed)
    table = _encoded(tried, space, names)
    drawn = [one for _ in range(DRAWS) if (one := _one_draw(table, scores, random)) is not None]
    losses = np.array([loss for loss, _ in drawn])  # (draws, settings)
    explained = float(np.median([share for _, share in drawn])) if drawn else 0.0
    if explained <= 0:
        return Importance((), explained, len(scores), floor, "settings do not foretell the score of a trial")
    ends = np.quantile(losses, [LOW, HIGH], axis=0)
    shares = [Share(*told) for told in zip(names, losses.mean(axis=0).tolist(), *ends.tolist(), strict=True)]
    return Importance(tuple(sorted(shares, key=lambda share: -share.mean)), explained, len(scores), floor, "")


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


def _too_little(scores: NDArray[np.float64], names: list[str]) -> str:
    """Say why importance cannot be told, or nothing."""
    if len(scores) < FEWEST:
        return f"at least {FEWEST} trials with a score are needed, there are {len(scores)}"
    if not names:
        return "no setting has more than one value"
    return "" if np.ptp(scores) > ALIKE else "all trials have the same score"


def _encoded(tried: pd.DataFrame, space: Space, names: list[str]) -> NDArray[np.float64]:
    """Return settings as numbers, (trials, settings), NaN where a cell has no such setting."""
    scales = {name: scale_of(space, name) for name in names}
    rows = [
        [scales[name].place(params[name]) if name in params else np.nan for name in names] for params in tried["params"]
    ]
    return np.array(rows, dtype=float)


def _one_draw(
    table: NDArray[np.float64], scores: NDArray[np.float64], random: np.random.Generator
) -> tuple[NDArray[np.float64], float] | None:
    """Return what shuffling each setting loses on trials not drawn, and what is explained there; None of no spread."""
    from sklearn.ensemble import RandomForestRegressor

    drawn = random.integers(len(scores), size=len(scores))
    left = np.setdiff1d(np.arange(len(scores)), drawn)
    variance = scores[left].var() if len(left) else 0.0
    if variance <= 0:
        return None
    told = _filled(table, random)
    # The draw is the bootstrap of the forest; some of the settings at each split keep its trees apart.
    forest = RandomForestRegressor(
        TREES,
        bootstrap=False,
        max_features=-(-3 * table.shape[1] // 4),
        min_samples_leaf=2,
        random_state=int(random.integers(2**31)),
    ).fit(told[drawn], scores[drawn])
    held, count = told[left], told.shape[1]
    shuffled = np.tile(held, (count, SHUFFLES, 1, 1))  # (settings, shuffles, trials, settings)
    for setting in range(count):
        for shuffle in range(SHUFFLES):
            random.shuffle(shuffled[setting, shuffle, :, setting])
    forecast = forest.predict(np.concatenate([held[None, None].reshape(-1, count), shuffled.reshape(-1, count)]))
    squared = (forecast.reshape(-1, len(left)) - scores[left]) ** 2
    errors = squared.mean(axis=1) / variance
    return (errors[1:].reshape(count, SHUFFLES).mean(axis=1) - errors[0]) / 2, float(1 - errors[0])


def _filled(table: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    """Return settings with what is missing drawn from the values that other trials have."""
    filled = table.copy()
    for column in filled.T:
        missing = np.isnan(column)
        column[missing] = random.choice(column[~missing], size=missing.sum())
    return filled


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
