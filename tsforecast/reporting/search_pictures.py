"""Figures of the page of a search with the words around them; what does not apply to a search is left out."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tsforecast.reporting import search_charts
from tsforecast.reporting.canvas import percent
from tsforecast.reporting.pictures import Picture, picture
from tsforecast.search.analysis import at_last, differ, floor_of, pairs, scored, varied
from tsforecast.search.importance import Importance
from tsforecast.search.scales import scale_of
from tsforecast.search.space import Space


def of_learning(trials: pd.DataFrame, reference: str) -> list[Picture]:
    """Return how trials learned and how the search went on.

    Examples
    --------
    >>> from tsforecast.search.journal import Tried
    >>> from tsforecast.search.trials import trials_table
    >>> tried = [Tried({"units": i}, {0: 0.0, 1: 0.3}, trial=i + 1) for i in (0, 1)]
    >>> trials = trials_table(tried, Space.of({"units": [8, 16]}), 1)
    >>> [picture.title for picture in of_learning(trials, "drift")]
    ['Learning curves', 'One trial after the other']
    """
    tried, found = scored(trials), []
    below = _below(trials)
    if len(tried) and tried["epochs"].max() > 0:
        large = "; the large dot is the best of all" if differ(trials) else ""
        dots = (
            " A small dot marks where a trial was stopped early." if (tried["status"] == "stopped early").any() else ""
        )
        caption = f"Skill of each trial on validation at each epoch{large}.{dots}{below}"
        found.append(picture("curves", "Learning curves", search_charts.curves(trials, reference), caption))
    if len(tried) > 1:
        caption = f"Each dot is a trial, at its best epoch; a hollow one did not run to the end.{_arrows(trials)}"
        figure = search_charts.progress(trials, reference)
        found.append(picture("progress", "One trial after the other", figure, caption))
    return found


def of_settings(trials: pd.DataFrame, space: Space, found: Importance) -> list[Picture]:
    """Return which settings matter, and how trials with each did."""
    names, tried = varied(trials, space), scored(trials)
    pictures = []
    if found.shares:
        figure = search_charts.importance(found)
        pictures.append(picture("importance", "Importance of each setting", figure, _about_importance(found, trials)))
    if names and differ(trials):
        figure = search_charts.parallel(trials, [scale_of(space, name) for name in names])
        few = min(search_charts.LEADERS, len(tried))
        caption = (
            f"Each line is a trial: through its settings from top to bottom, down to its skill. The best {few} are "
            "coloured. A line passes by a setting that its cell does not have."
        )
        pictures.append(picture("parallel", "From settings to skill", figure, caption))
    return pictures


def of_pairs(trials: pd.DataFrame, space: Space) -> list[Picture]:
    """Return the skill by pairs of settings."""
    found: list[Picture] = []
    for pair in pairs(trials, space):
        across, down = pair.across, pair.down
        row, column = np.unravel_index(np.nanargmax(pair.mean), pair.mean.shape)
        count = pair.count[row, column]
        caption = (
            f"Highest mean: {across.setting} {across.words[column]} with {down.setting} {down.words[row]}, of {count} "
            f"trial{'' if count == 1 else 's'}."
        )
        title = f"{across.setting} and {down.setting}"
        found.append(picture(f"pair-{len(found)}", title, search_charts.heat(pair), caption))
    return found


def of_cost(trials: pd.DataFrame, reference: str) -> list[Picture]:
    """Return skill against time."""
    tried = scored(trials)
    if (tried["seconds"] > 0).sum() < 2:
        return []
    caption = (
        "Each dot is a trial, with the time until its end; a hollow one did not run to the end. The line is the best "
        f"skill to be had for so much time or less.{_arrows(trials)}"
    )
    return [picture("cost", "Skill and time", search_charts.cost(trials, reference), caption)]


def _about_importance(found: Importance, trials: pd.DataFrame) -> str:
    below = f", and one below {_percent(found.floor)} as that" if _any_below(trials) else ""
    return (
        f"How much of the differences between the scores of {found.trials} trials each setting makes, alone and "
        "together with others. Lines are 95% intervals over trials; a hollow dot may be nothing. Settings foretell "
        f"{found.explained:.0%} of the differences between trials not seen before. Measured by shuffling each setting "
        f"for a random forest (Breiman 2001). A trial stopped early counts with its best score so far{below}."
    )


def _below(trials: pd.DataFrame) -> str:
    floor = floor_of(at_last(trials))
    lowest = min((min(scores) for scores in scored(trials)["scores"]), default=0.0)
    return f" What lies below {_percent(floor)} is not drawn." if lowest < floor else ""


def _arrows(trials: pd.DataFrame) -> str:
    return f" Arrows mark trials below {_percent(floor_of(trials))}." if _any_below(trials) else ""


def _any_below(trials: pd.DataFrame) -> bool:
    return bool((scored(trials)["best_score"] < floor_of(trials)).any())


def _percent(floor: float) -> str:
    return percent(round(floor, 2))
