"""Which settings of a search mattered, and how surely."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsforecast.search.results import differ, floor_of, scale_of, scored, varied
from tsforecast.search.space import Space

FEWEST = 20  # trials with a score below which importance is noise
DRAWS = 100  # of the bootstrap
TREES = 12  # of the forest of each draw
SHUFFLES = 4  # of each setting on the trials that a forest has not seen
LOW, HIGH = 0.025, 0.975  # ends of an interval


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
    reason = _too_little(tried, names)
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


def _too_little(tried: pd.DataFrame, names: list[str]) -> str:
    """Say why importance cannot be told, or nothing."""
    if len(tried) < FEWEST:
        return f"at least {FEWEST} trials with a score are needed, there are {len(tried)}"
    if not names:
        return "no setting has more than one value"
    return "" if differ(tried) else "all trials have the same score"


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
