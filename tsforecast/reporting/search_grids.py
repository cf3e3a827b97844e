"""Tables of the page of a search: every cell as the text that a reader sees."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from tsforecast.reporting.grids import MOST_ROWS, NOTHING, Grid
from tsforecast.search.analysis import best, varied
from tsforecast.search.scales import scale_of, word_of
from tsforecast.search.space import Space

NAIVE = "naive"


def best_trials(trials: pd.DataFrame, space: Space, count: int = 10) -> Grid:
    """Return the best trials with the settings that were varied, and naive in its place among them.

    Examples
    --------
    >>> from tsforecast.search.journal import Tried
    >>> from tsforecast.search.trials import trials_table
    >>> space = Space.of({"units": [8, 16], "cell": ["gru"]})
    >>> tried = [Tried({"units": i, "cell": 0}, {0: 0.0, 1: 0.3 * i - 0.1}, 1.0, trial=i + 1) for i in (0, 1)]
    >>> best_trials(trials_table(tried, space, 1), space).rows[0]
    ('2', '+20.0%', '16', '1 of 1', '1.0')
    """
    first = best(trials, count)
    had = {name for params in first["params"] for name in params}
    names = [name for name in varied(trials, space) or list(space.domains) if name in had]
    shown = _with_naive(first, trials)
    rows = tuple(
        (_name(one), _skill(one.best_score), *_settings(one.params, names), _epochs(one), _seconds(one.seconds))
        for one in shown.itertuples()
    )
    columns = ("trial", "skill", *names, "best epoch", "seconds")
    return Grid("Best trials", columns, rows, words=_wordy(space, names), marked=NAIVE)


def all_trials(trials: pd.DataFrame, space: Space) -> Grid:
    """Return all trials, the best first and those without a score last; of very many the first ones."""
    names = list(space.domains)
    ordered = trials.sort_values("best_score", ascending=False, kind="stable", na_position="last")
    rows = tuple(
        (
            _name(one),
            _skill(one.best_score),
            _skill(one.last_score),
            one.status,
            *_settings(one.params, names),
            _epochs(one),
            _seconds(one.seconds),
        )
        for one in ordered.head(MOST_ROWS).itertuples()
    )
    columns = ("trial", "skill", "last skill", "status", *names, "best epoch", "seconds")
    more = max(0, len(ordered) - MOST_ROWS)
    return Grid("All trials", columns, rows, words=("status", *_wordy(space, names)), marked=NAIVE, more=more)


def _with_naive(shown: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    both = pd.concat([trials[trials["trial"] == 0], shown])
    return both.sort_values("best_score", ascending=False, kind="stable")


def _wordy(space: Space, names: list[str]) -> tuple[str, ...]:
    """Return the settings whose values are words, or numbers among words."""
    wordy = []
    for name in names:
        scale = scale_of(space, name)
        if not scale.numeric or any(not _number(word) for word in scale.words):
            wordy.append(name)
    return tuple(wordy)


def _number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _name(one: Any) -> str:
    return str(one.trial) if one.trial else NAIVE


def _settings(params: dict[str, Any], names: list[str]) -> list[str]:
    return [word_of(params[name]) if name in params else NOTHING for name in names]


def _epochs(one: Any) -> str:
    return f"{one.best_epoch} of {one.epochs}" if one.trial and one.epochs else NOTHING


def _skill(skill: float) -> str:
    return NOTHING if math.isnan(skill) else f"{skill:+.1%}"


def _seconds(seconds: float) -> str:
    return NOTHING if math.isnan(seconds) or not seconds else f"{seconds:.1f}"
