"""Trials as rows of a table, the naive forecast first."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from tsforecast.search.journal import Tried
from tsforecast.search.space import Space

NAIVE: dict[str, Any] = {
    "trial": 0,
    "status": "naive",
    "error": "",
    "best_score": 0.0,
    "best_epoch": 0,
    "last_score": 0.0,
    "epochs": 0,
    "scores": [0.0],
    "seconds": 0.0,
    "params": {},
}


def trials_table(tried: list[Tried], space: Space, epochs: int) -> pd.DataFrame:
    """Return a row for each trial; see `RaySearch.trials_`.

    Parameters
    ----------
    tried : list of Tried
    space : Space
    epochs : int
        Of a trial that was not stopped.

    Examples
    --------
    >>> one = Tried({"units": 1}, skills={0: 0.0, 1: 0.3, 2: 0.2}, seconds=1.5, ended=True)
    >>> trials_table([one], Space.of({"units": [8, 16]}), 4)[["trial", "status", "best_score", "best_epoch"]]
       trial         status  best_score  best_epoch
    0      0          naive         0.0           0
    1      1  stopped early         0.3           1
    """
    return pd.DataFrame([NAIVE, *(_row(one, space, epochs) for one in tried)])


def _row(one: Tried, space: Space, epochs: int) -> dict[str, Any]:
    skills = [one.skills[epoch] for epoch in sorted(one.skills)]
    settings = space.active(space.decode(one.code))
    last = max(one.skills, default=0)
    return {
        "trial": one.trial,
        "status": _status(one, last, epochs),
        "error": one.error,
        "best_score": max(skills, default=np.nan),
        "best_epoch": max(one.skills, key=lambda epoch: (one.skills[epoch], -epoch), default=0),
        "last_score": one.skills[last] if skills else np.nan,
        "epochs": last,
        "scores": skills,
        "seconds": one.seconds,
        "params": settings,
        **{f"param_{name}": value for name, value in settings.items()},
    }


def _status(one: Tried, last: int, epochs: int) -> str:
    if one.error:
        return "failed"
    if not one.skills:
        return "not run"
    if last >= epochs:
        return "finished"
    return "stopped early" if one.ended else "cut short"
