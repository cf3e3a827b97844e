"""From answers to accuracy: of each user, of each class, of all; and how sure that is, counted in users."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

LEVEL = 0.95
FIT = ["protocol", "model", "seed", "fold"]  # what one fit is known by


@dataclass(frozen=True)
class Interval:
    """A mean over users and where that of all users lies.

    Attributes
    ----------
    mean : float
    low, high : float
        The 95 % interval; NaN with fewer than two users.
    users : int
    """

    mean: float
    low: float
    high: float
    users: int


def over_users(values: ArrayLike) -> Interval:
    """Return the mean over users with an interval from Student's t over them.

    Users are what the next recording may come from another one of: however many recordings each has, they count once.

    Parameters
    ----------
    values : array of shape (users,)

    Examples
    --------
    >>> found = over_users([0.9, 1.0, 0.95, 0.95])
    >>> round(found.mean, 3), round(found.low, 3), round(found.high, 3), found.users
    (0.95, 0.885, 1.015, 4)
    """
    from scipy.stats import t

    each = np.asarray(values, dtype=np.float64)
    mean, n = float(each.mean()), len(each)
    if n < 2:
        return Interval(mean, math.nan, math.nan, n)
    reach = float(t.ppf((1 + LEVEL) / 2, n - 1) * each.std(ddof=1) / math.sqrt(n))
    return Interval(mean, mean - reach, mean + reach, n)


def chance(gains: ArrayLike) -> float:
    """Return how likely gains as high are, one for each user, where there is none: a one-sided t test.

    Examples
    --------
    >>> round(chance([0.1, 0.2, 0.15]), 4), chance([0.5, 0.5]), chance([0.0, 0.0])
    (0.0175, 0.0, 1.0)
    """
    from scipy.stats import t

    each = np.asarray(gains, dtype=np.float64)
    if len(each) < 2:
        return math.nan
    spread = float(each.std(ddof=1))
    if spread == 0:
        return float(each[0] <= 0)
    return float(t.sf(each.mean() / spread * math.sqrt(len(each)), len(each) - 1))


def tallied(rows: pd.DataFrame) -> pd.DataFrame:
    """Return how often each fit said each class of recordings of each user and class; tallies stay as they are.

    Everything below takes rows or their tallies.

    Examples
    --------
    >>> one = dict(zip(FIT, ["random", "gru", 0, 0])) | {"group": "ann", "true": "up", "chosen": "", "fit_seconds": 1.0}
    >>> rows = pd.DataFrame([one | {"predicted": said, "predict_seconds": 0.1} for said in ("up", "up", "down")])
    >>> tallied(rows)[["predicted", "count"]].to_numpy().tolist()
    [['down', 1], ['up', 2]]
    """
    if "count" in rows:
        return rows
    keys = [*FIT, "group", "true", "predicted", "chosen", "fit_seconds", "predict_seconds"]
    return rows.groupby(keys, dropna=False, sort=True).size().rename("count").reset_index()


def accuracy_by(rows: pd.DataFrame, key: Literal["group", "true", "fold", "seed"]) -> pd.DataFrame:
    """Return the share of recordings that each model recognises, a line for each user, class, fold or seed.

    Examples
    --------
    >>> rows = pd.DataFrame({"model": ["gru"] * 3, "group": ["ann", "ann", "bob"], "count": [3, 1, 2]})
    >>> accuracy_by(rows.assign(true="up", predicted=["up", "down", "up"]), "group")["gru"].to_dict()
    {'ann': 0.75, 'bob': 1.0}
    """
    counts = rows["count"] if "count" in rows else pd.Series(1, index=rows.index)
    right = counts.where(rows["true"] == rows["predicted"], 0)
    keys = [rows["model"], rows[key]]
    shares = right.groupby(keys, dropna=False, sort=True).sum() / counts.groupby(keys, dropna=False, sort=True).sum()
    return shares.unstack(level=0)[list(dict.fromkeys(rows["model"]))]


def confusion(rows: pd.DataFrame, model: str) -> pd.DataFrame:
    """Return how many recordings of each class (a line) a model took for each class (a column), of all seeds.

    Examples
    --------
    >>> rows = pd.DataFrame({"model": "gru", "true": ["a", "a", "b"], "predicted": ["a", "b", "b"]})
    >>> confusion(rows, "gru").to_numpy().tolist()
    [[1, 1], [0, 1]]
    """
    own = rows[rows["model"] == model]
    counts = own["count"] if "count" in own else pd.Series(1, index=own.index)
    classes = sorted(set(own["true"]) | set(own["predicted"]))
    table = counts.groupby([own["true"], own["predicted"]]).sum().unstack(fill_value=0)
    return table.reindex(index=classes, columns=classes, fill_value=0).astype(int)


def has_users(rows: pd.DataFrame) -> bool:
    """Tell whether it is known whom recordings are of."""
    return bool(rows["group"].notna().all())
