"""Anchors: the naive forecasts that forecasters correct, and the choice of one on the training part.

An anchor copies what lay some steps back, or the mean of several such steps; `anchor_lags` is its definition for naive
forecasters and networks alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tsforecast.data.panel import Panel
from tsforecast.data.supervised import SupervisedPanel
from tsforecast.errors import DataError
from tsforecast.forecasters.auto import DAYS

AnchorName = Literal["last", "seasonal", "average", "none"]
ANCHORS = get_args(AnchorName)
Anchor = str | Sequence[int]  # a name, or the lengths of the seasons whose naive forecasts are averaged
LONG = 5  # seasons; a longer horizon is corrected from a level
SAMPLE = 100  # series that stand for all of a panel when anchors are compared
INTERMITTENT = 0.5  # share of zeros, above which a panel is of intermittent demand


def anchor_lags(anchor: Anchor, horizon: int, season_length: int) -> NDArray[np.int64]:
    """Return how many steps back from the first forecast step each forecast step looks, shape (H, A).

    An anchor is the last value, the last season, the average of the last season's values, or the mean of the seasonal
    naive forecasts of several season lengths, such as ``(24, 168)``.

    Examples
    --------
    >>> anchor_lags("last", 3, 2).ravel().tolist()
    [1, 1, 1]
    >>> anchor_lags("seasonal", 5, 3).ravel().tolist()
    [3, 2, 1, 3, 2]
    >>> anchor_lags([2, 3], 3, 1).tolist()
    [[2, 3], [1, 2], [2, 1]]
    """
    if anchor == "last":
        return np.ones((horizon, 1), dtype=np.int64)
    if anchor == "average":
        return np.tile(np.arange(1, season_length + 1), (horizon, 1))
    seasons = np.array([season_length] if isinstance(anchor, str) else anchor, dtype=np.int64)
    return np.asarray(seasons - np.arange(horizon)[:, None] % seasons)


def anchor_forecast(
    past: NDArray[Any], lags: NDArray[np.int64], known: NDArray[np.int64] | None = None
) -> NDArray[Any]:
    """Return naive forecasts (B, H, C) of windows (B, W, C): means over the A steps of each row of `lags` (H, A).

    Where only the last steps of a window are `known`, (B,), the means are over those of their steps that exist, and
    over all known ones where none does. `ForecastNetwork` has the same definition.
    """
    window = past.shape[1]
    if known is None or lags.max() == 1:
        if lags.shape[1] == 1:
            return past[:, window - lags[:, 0]]  # (B, H, C), the copied numbers to the bit
        return np.asarray(past[:, window - lags].mean(2))  # (B, H, A, C) -> (B, H, C)
    exist = (lags <= known[:, None, None])[..., None]  # (B, H, A, 1)
    total, count = np.where(exist, past[:, window - lags], 0.0).sum(2), exist.sum(2)  # (B, H, C), (B, H, 1)
    there = (np.arange(window) >= window - known[:, None])[..., None]  # (B, W, 1)
    mean = np.where(there, past, 0.0).sum(1, keepdims=True) / known[:, None, None]  # (B, 1, C)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), mean))


def observed_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of each column, shape (K,), without NaN; NaN where there is no number."""
    observed = ~np.isnan(values)
    count = observed.sum(axis=0)
    return np.where(count > 0, np.where(observed, values, 0.0).sum(axis=0) / np.maximum(count, 1), np.nan)


def anchor(past: Panel, given: Anchor, window: int, horizon: int) -> str | list[int]:
    """Return the anchor that was given, or the one with the smallest error on the training part.

    Auto compares the last value, the last season, means of two and three seasons, the mean of the last season's
    values, and the same with further seasons: where a season is a day, or a week was found, the same hours a week ago
    and their mean with yesterday's. Where the horizon is longer than five seasons it is the mean of the last season's
    values: a season that is copied so often has its noise copied with it, and networks do better to learn the season
    on top of the level. Where
    most numbers are zero, squared errors are compared, which forecasts of zero do not make small, and one of the
    anchors is none: the mean of each series. An anchor that looks back further than the window is a DataError.
    """
    season = past.season_length
    if given == "auto":
        if isinstance(past, SupervisedPanel):
            return _anchor_of_windows(past, horizon)
        if 1 < season < horizon / LONG and season <= window:
            return "average"
        sparse = zero_share(past) > INTERMITTENT
        every = [(option, anchor_lags(option, horizon, season)) for option in _anchors(past.seasons)]
        fitting = [(option, lags) for option, lags in every if lags.max() <= window]
        furthest = max(int(lags.max()) for _, lags in fitting)
        if sparse:
            fitting.append(("none", np.zeros((horizon, 0), dtype=np.int64)))
        return min(fitting, key=lambda pair: _anchor_error(past, pair[1], furthest, squared=sparse))[0]
    found = given if isinstance(given, str) else [int(length) for length in given]
    if found == "none":
        return found
    if found in ("seasonal", "average") and season == 1:
        raise DataError(
            f"anchor {found!r} must have a season: season_length is 1; give the panel one, as in "
            "Panel.from_array(data, season_length=24), or use anchor='last'"
        )
    reach = int(anchor_lags(found, horizon, season).max())
    if reach > window and reach + horizon > past.lengths.max():
        raise DataError(
            f"an anchor of seasons must fit in the training part: looks back {reach} steps, and with the horizon needs "
            f"{reach + horizon}, the longest has {past.lengths.max()}; use shorter seasons, or anchor='last'"
        )
    if reach > window:
        raise DataError(
            f"an anchor of seasons must fit in the window: looks back {reach} steps, the window is {window}; use "
            f"window >= {reach}, or anchor='last'"
        )
    return found


def _anchor_of_windows(past: SupervisedPanel, horizon: int) -> str:
    """Return the last value, or none where the mean of y is closer to it: then y may be of another kind than X."""
    rows = past.values.reshape(len(past), -1, past.values.shape[1])[..., : past.n_targets].astype(np.float64)
    later, last = rows[:, -horizon:], rows[:, -horizon - 1 : -horizon]
    weights = np.ones(len(past)) if past.weights is None else past.weights
    mean = np.average(later, axis=0, weights=weights)
    errors = [np.average(np.abs(later - guess).mean(axis=(1, 2)), weights=weights) for guess in (last, mean)]
    return "last" if errors[0] <= errors[1] else "none"


def zero_share(past: Panel) -> float:
    """Return the share of zeros among the numbers of the targets."""
    targets = past.values[: past.offsets[-1], : past.n_targets]
    return float((targets == 0).sum() / max((~np.isnan(targets)).sum(), 1))


def _anchors(seasons: Sequence[int]) -> list[str | list[int]]:
    """Return the anchors that are compared, of which the first of equal ones is chosen."""
    season, *others = seasons
    if season == 1:
        return ["last"]
    if season in DAYS and 7 * season not in others:
        others = [7 * season, *others]
    further = [anchor for longer in others for anchor in ([longer], [season, longer], [longer, 2 * longer])]
    return ["last", "seasonal", [season, 2 * season], [season, 2 * season, 3 * season], "average", *further]


def _anchor_error(past: Panel, lags: NDArray[np.int64], furthest: int, squared: bool = False) -> float:
    """Return the scaled mean absolute error of the anchor with `lags` (H, A) over cutoffs of the training part.

    With `furthest`, the largest lag of all candidates, all are compared on the same cutoffs. Without lags the forecast
    is the mean of the series. Errors may be `squared`.
    """
    horizon = len(lags)
    steps = np.unique(np.linspace(0, horizon - 1, 8).astype(int))
    looked = lags[steps]  # (s, A)
    errors = []
    for i in np.unique(np.linspace(0, len(past) - 1, SAMPLE).astype(int)):
        for values in past.series(i)[:, : past.n_targets].astype(np.float64).T:
            cutoffs = np.arange(furthest, len(values) - horizon + 1)
            there = values[~np.isnan(values)]
            spread = (float(there.std()) if len(there) else 0.0) or 1.0
            level = float(there.mean()) if len(there) else 0.0
            naive = values[cutoffs[:, None, None] - looked].mean(axis=2) if lags.size else level  # (cutoffs, s)
            power = 1 + squared
            means = observed_mean(np.abs(values[cutoffs[:, None] + steps] - naive) ** power)
            errors += (means[~np.isnan(means)] / spread**power).tolist()
    return float(np.mean(errors)) if errors else math.inf
