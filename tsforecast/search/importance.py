"""Importance of the settings of a search, with intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsforecast.search.results import axis_of, score_floor, scored, scores_differ, varied
from tsforecast.search.space import Space

MIN_TRIALS = 20  # with a score; importance of fewer is noise
DRAWS = 100  # of the bootstrap
TREES = 12  # of the forest of each draw
SHUFFLES = 4  # of each setting on the trials not drawn
INTERVAL = (0.025, 0.975)  # quantiles


@dataclass(frozen=True)
class Share:
    """Share of the variance of scores that a setting causes, alone and together with others."""

    setting: str
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Importance:
    """Importance of all settings."""

    shares: tuple[Share, ...]  # the most important setting first; empty where importance cannot be estimated
    # Share of the variance of scores that a forest predicts on trials not drawn; negative where their mean would be a
    # better prediction.
    explained: float
    trials: int  # with a score
    floor: float  # lower scores are raised to this one
    reason: str  # why importance cannot be estimated; empty where it can


def importance(trials: pd.DataFrame, space: Space) -> Importance:
    """Estimate how much each setting makes scores differ, with intervals.

    A random forest is fitted to the scores of trials drawn with replacement. On the trials not drawn, a setting is
    shuffled, and the squared error grows [Breiman 2001, section 10]. Half of that is the variance of scores that the
    setting causes, alone and together with others, as far as the forest has learned it [Gregorutti, Michel and
    Saint-Pierre 2017]: the total effect of functional ANOVA. Many draws give its mean and a 95% interval over trials.
    Functional ANOVA of the forest itself [Hutter, Hoos and Leyton-Brown 2014] uses no held-out trials, so that of few
    trials every setting seems to matter; here one without effect is around 0.

    A trial that was stopped early or cut short counts with its best score so far, as in the search. One without a
    score is left out. A setting that a cell does not have is filled in at random, so that it carries no information
    about the cell.
    """
    usable, names, floor = scored(trials), varied(trials, space), score_floor(trials)
    scores = np.maximum(usable["best_score"].to_numpy(dtype=float), floor)
    if reason := _reason_against(usable, names):
        return Importance((), np.nan, len(scores), floor, reason)
    random = np.random.default_rng(0)
    table = _encoded(usable, space, names)
    draws = [draw for _ in range(DRAWS) if (draw := _one_draw(table, scores, random)) is not None]
    losses = np.array([loss for loss, _ in draws])  # (draws, settings)
    explained = float(np.median([share for _, share in draws])) if draws else 0.0
    if explained <= 0:
        return Importance((), explained, len(scores), floor, "settings do not predict the score of a trial")
    limits = np.quantile(losses, INTERVAL, axis=0)
    shares = [Share(*fields) for fields in zip(names, losses.mean(axis=0).tolist(), *limits.tolist(), strict=True)]
    return Importance(tuple(sorted(shares, key=lambda share: -share.mean)), explained, len(scores), floor, "")


def _reason_against(usable: pd.DataFrame, names: list[str]) -> str:
    """Return why importance cannot be estimated, or an empty text."""
    if len(usable) < MIN_TRIALS:
        return f"at least {MIN_TRIALS} trials with a score are needed, there are {len(usable)}"
    if not names:
        return "no setting has more than one value"
    return "" if scores_differ(usable) else "all trials have the same score"


def _encoded(usable: pd.DataFrame, space: Space, names: list[str]) -> NDArray[np.float64]:
    """Return settings as numbers, (trials, settings), NaN where a cell has no such setting."""
    axes = {name: axis_of(space, name) for name in names}
    rows = [
        [axes[name].position(params[name]) if name in params else np.nan for name in names]
        for params in usable["params"]
    ]
    return np.array(rows, dtype=float)


def _one_draw(
    table: NDArray[np.float64], scores: NDArray[np.float64], random: np.random.Generator
) -> tuple[NDArray[np.float64], float] | None:
    """Return the loss by shuffling each setting on trials not drawn, and the share explained there.

    None where those trials do not differ.
    """
    from sklearn.ensemble import RandomForestRegressor

    drawn = random.integers(len(scores), size=len(scores))
    left = np.setdiff1d(np.arange(len(scores)), drawn)
    variance = scores[left].var() if len(left) else 0.0
    if variance <= 0:
        return None
    filled = _filled(table, random)
    # The draw is the bootstrap of the forest; trees differ since each split considers some of the settings.
    forest = RandomForestRegressor(
        TREES,
        bootstrap=False,
        max_features=-(-3 * table.shape[1] // 4),
        min_samples_leaf=2,
        random_state=int(random.integers(2**31)),
    ).fit(filled[drawn], scores[drawn])
    held_out, count = filled[left], filled.shape[1]
    shuffled = np.tile(held_out, (count, SHUFFLES, 1, 1))  # (settings, shuffles, trials, settings)
    for setting in range(count):
        for shuffle in range(SHUFFLES):
            random.shuffle(shuffled[setting, shuffle, :, setting])
    forecast = forest.predict(np.concatenate([held_out, shuffled.reshape(-1, count)]))
    squared = (forecast.reshape(-1, len(left)) - scores[left]) ** 2
    errors = squared.mean(axis=1) / variance
    return (errors[1:].reshape(count, SHUFFLES).mean(axis=1) - errors[0]) / 2, float(1 - errors[0])


def _filled(table: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    """Return settings with missing ones drawn from the values of other trials."""
    filled = table.copy()
    for column in filled.T:
        missing = np.isnan(column)
        column[missing] = random.choice(column[~missing], size=missing.sum())
    return filled
