"""Auto-configuration from the data: training rows, window, segment and value_transform; anchors are in `anchors`."""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.data.panel import Panel
from tsforecast.data.samples import SupervisedPanel
from tsforecast.data.scaling import by_part
from tsforecast.errors import DataError, Parameter, Part, Problem
from tsforecast.forecasters.anchors import BLEND, DAYS, Anchor, anchor_lags, observed_mean
from tsforecast.mapped import chunks, whole_series

Rows = Callable[[int], NDArray[np.int64]]  # from a horizon to how many first rows of each series train, (N,)
ORIGINS = 4  # blocks that validate where they are spread automatically, at most
SPREAD = 3  # times the rows of the blocks, over which they are spread
SEGMENT = 24  # steps that one segment has at most, unless given
FEW = 3  # known steps of a window, from which on a network corrects the naive forecast
SAMPLE = 100  # series that stand for all of a panel when anchors are compared
MANY = 20  # series of a panel whose windows differ in spread
INTERMITTENT = 0.5  # share of zeros, above which a panel is of intermittent demand
NEAR_ZERO = 0.01  # of a series' median: below it, logarithms stretch more than they even out


@dataclass(frozen=True)
class Recipe:
    """Settings of a network that belong together, and the time of a fit with them, in those of the default.

    Times were measured on tourism-monthly and m4-hourly, on two cores.
    """

    settings: Mapping[str, Any]
    time: float
    use: str


RECIPES = {
    "fast": Recipe({"max_epochs": 5, "units": 32}, 0.5, "a first look"),
    "default": Recipe({}, 1.0, "everything else"),
    "best": Recipe({"members": 5}, 3.0, "the last step: the mean of five networks errs less than one of them"),
}


def training_rows(
    panel: Panel,
    validation: float | int | None,
    horizon: int,
    without: str = "validation=None",
    named: str = "validation",
) -> tuple[int, NDArray[np.int64]]:
    """Return how many steps, or groups, validate, and how many first rows of each series train, (N,).

    `validation` is a share or a number of the last steps of each series; of whole groups where the panel has several,
    whose series then train 0 rows; or of supervised windows. Of series of different lengths those that are too short to
    validate train all rows, and the steps are those of the median series. For a DataError's remedy it is `named`, and
    `without` is the setting that does without it.
    """
    units = panel.units
    if not validation or (units is not None and units.max() == 0):
        return 0, panel.lengths
    if units is not None:
        total = int(units.max()) + 1
        count = max(1, round(validation * total)) if isinstance(validation, float) else int(validation)
        if count >= total:
            raise DataError(
                f"{named} must leave a {panel.unit} to train on: takes {count} of {total} {panel.unit}s; "
                f"use {named} <= {total - 1}"
            )
        return count, np.where(units >= total - count, 0, panel.lengths)
    lengths, counts = panel.lengths, np.full(len(panel), validation)
    if isinstance(validation, float):
        counts = np.maximum(np.round(validation * lengths), horizon)
    counts = counts.astype(np.int64)
    total, uneven = int(lengths.max()), bool(lengths.min() < lengths.max())
    validates = (counts >= horizon) & (lengths - counts > uneven * horizon)  # a first step and a horizon can then train
    if validates.any():
        return int(np.median(counts[validates])), np.where(validates, lengths - counts, lengths)
    count, which = int(counts.max()), "longest" if uneven else "shortest"
    if horizon > total // 3 and not horizon <= count < total - uneven * horizon:
        found = f"it is {horizon}, the {which} has {total} steps{panel.reading}"
        remedy = ("use ", Parameter("horizon"), f" <= {max(1, total // 4)}, or give longer series")
        raise DataError(Problem("the horizon must be far shorter than the series", found, remedy))
    if count < horizon:
        raise DataError(
            f"{named} must hold a whole horizon: takes {count} steps, the horizon is {horizon}{panel.reading}; "
            f"use {named} >= {horizon}, or {without}"
        )
    raise DataError(
        f"{named} must leave steps to train on: takes {count}, the {which} series has {total}{panel.reading}; "
        f"use {named} < {total - uneven * horizon}, or {without}"
    )


def blocks(panel: Panel, trains: NDArray[np.int64], horizon: int, origins: int) -> NDArray[np.int64]:
    """Return first and last row of the blocks that validate, (N, B, 2), where the rows behind `trains` would be one.

    The last block lies at the end of each series. Blocks are a horizon or more; one that does not fit is empty.
    """
    lengths, held = panel.lengths, panel.lengths - trains
    count = np.clip(held // horizon, 1, origins)  # (N,)
    apart = np.minimum(SPREAD * held, np.maximum(lengths // 2, held)) // count
    number = np.arange(origins)
    last = lengths[:, None] - number * apart[:, None]  # (N, B)
    first = last - (held // count)[:, None]
    return np.where(((number < count[:, None]) & (held > 0)[:, None])[..., None], np.stack([first, last], axis=2), 0)


def last_block(panel: Panel, trains: NDArray[np.int64], horizon: int, origins: int) -> NDArray[np.int64]:
    """Return how many rows of each series lie before its last block, (N,); whole groups have no blocks."""
    if origins == 1 or panel.units is not None:
        return trains
    return np.where(trains < panel.lengths, blocks(panel, trains, horizon, origins)[:, 0, 0], trains)


def window(panel: Panel, rows: Rows, given: int | str, horizon: int) -> tuple[int, int]:
    """Return the window that was given, or as much as helps and fits, and the fewest known steps of one that is used.

    Auto: two weeks where a season is a day, else three seasons, two horizons or 24 steps, whichever is longest, and
    two of a further season of up to seven; at most a third of the training part of the shortest series, or, where half
    of that does not fit there, of the median one. Windows are whole where all series have one and a horizon to train
    on; of series of different lengths some then begin before their series, as long as one has a whole one. A DataError
    has the arithmetic and the largest numbers that would fit.
    """
    chosen, seen, least = _room(panel, rows, given, horizon)
    if not least:
        ways: list[tuple[Part, ...]] = []
        if (has := int(seen.max())) > horizon:
            ways = [(Parameter("window"), f" <= {has - horizon}")]
        most = _largest_horizon(panel, rows, given, horizon)
        ways += [(Parameter("horizon"), f" <= {most}")] if most else []
        raise _too_short(panel, seen, int(seen.argmax()), chosen, horizon, ways)
    return chosen, least


def require_room(panel: Panel, seen: NDArray[np.int64], window: int, least: int, horizon: int) -> None:
    """Raise DataError unless a fitted network can be trained further on the rows `seen`, (N,)."""
    # A network that reads whole windows alone needs one of each series.
    worst = int(seen.argmax() if least < window else np.where(seen > 0, seen, seen.max()).argmin())
    if seen[worst] < least + horizon:
        raise _too_short(panel, seen, worst, least, horizon, [])


def _too_short(
    panel: Panel, seen: NDArray[np.int64], worst: int, window: int, horizon: int, ways: list[tuple[Part, ...]]
) -> DataError:
    """Return the error of series that are too short, one of them with its numbers, and the ways to go on."""
    needed = window + horizon
    has, length = int(seen[worst]), int(panel.lengths[worst])
    held = f" ({length} less {length - has} for validation)" if has < length else ""
    more = np.count_nonzero((seen < needed) & (seen != 0)) - 1
    others = f"; so {'does' if more == 1 else 'do'} {more} other series" if more else ""
    if not ways:
        ways = [(f"at least {needed - has} more rows",), *([("less validation",)] if held else [])]
    return DataError(
        Problem(
            "window + horizon must fit in the training part",
            f"needs {window} + {horizon} = {needed} steps, series {str(panel.ids[worst])!r} has {max(has, 0)}{held}"
            f"{others}{panel.reading}",
            ("use ", *[part for way in ways for part in (" or ", *way)][1:]),
            series=panel.ids[worst],
        )
    )


def _room(panel: Panel, rows: Rows, given: int | str, horizon: int) -> tuple[int, NDArray[np.int64], int]:
    """Return the window for a horizon, the rows that train, (N,), and the fewest known steps; 0 where none fits."""
    seen = rows(horizon)
    trains = seen[seen != 0]  # a group, or a window of supervised ones, may validate as a whole
    supervised, shortest, longest = isinstance(panel, SupervisedPanel), int(trains.min()), int(trains.max())
    median = int(np.median(trains))
    auto = shortest - horizon if supervised else _auto_window(panel.seasons, horizon, shortest, median)
    chosen = auto if isinstance(given, str) else int(given)
    if supervised and chosen > auto:
        raise DataError(
            f"window must fit in the rows of X: needs {chosen} steps, they have {auto}; use window <= {auto}"
        )
    if shortest >= chosen + horizon:
        return chosen, seen, chosen
    return chosen, seen, min(chosen, FEW) if shortest < longest and longest >= chosen + horizon else 0


def _largest_horizon(panel: Panel, rows: Rows, given: int | str, below: int) -> int:
    """Return the largest horizon below a number that fits; 0 where none does.

    A shorter horizon needs fewer steps, and may leave more of them to train on: those that fit come first.
    """

    def too_long(horizon: int) -> bool:
        try:
            return not _room(panel, rows, given, horizon)[2]
        except DataError:
            return True

    return bisect(range(1, below), False, key=too_long)


def _auto_window(seasons: Sequence[int], horizon: int, shortest: int, median: int) -> int:
    """Return the window of `window`, in whole segments, for the steps of the shortest and the median training part."""
    season, *others = seasons
    wanted = 14 * season if season in DAYS else max(3 * season, 2 * horizon, 24)
    wanted = max([wanted, *(2 * longer for longer in others if longer <= 7 * season)])
    fitting = min(wanted, max(1, shortest // 3))
    if 2 * fitting < wanted:  # else a longer window costs more time than it is worth
        fitting = min(wanted, max(1, median // 3))
    step = segment("auto", season)
    return fitting - fitting % step if fitting >= step else fitting


def segment(given: int | str, season_length: int) -> int:
    """Return the segment that was given, or the longest one, up to 24 steps, that a season is made of.

    Examples
    --------
    >>> [segment("auto", season) for season in (24, 48, 7, 12, 52, 132, 1, 29)]
    [24, 24, 7, 12, 13, 22, 1, 1]
    """
    if not isinstance(given, str):
        return given
    return max(size for size in range(1, SEGMENT + 1) if season_length % size == 0)


def transform(past: Panel, given: str | None) -> str | None:
    """Return the transform that was given; auto: the logarithm where all numbers that train are well above zero."""
    if given != "auto":
        return given
    if isinstance(past, SupervisedPanel):
        past = replace(past, offsets=past.offsets[[0, -1]], ids=past.ids[:1])  # as one series
    targets = past.values[: past.offsets[-1], : past.n_targets]
    lowest, highest = np.zeros((2, len(past), past.n_targets))
    for begin, end in whole_series(past.offsets):
        rows, parts = targets[past.offsets[begin] : past.offsets[end]], past.offsets[begin : end + 1]
        lowest[begin:end] = by_part(np.fmin, rows, parts - parts[0])
        highest[begin:end] = by_part(np.fmax, rows, parts - parts[0])
    for i, k in np.argwhere(lowest <= NEAR_ZERO * highest):  # only here can the median decide
        numbers = past.series(i)[:, k]
        numbers = numbers[~np.isnan(numbers)]
        if len(numbers) and numbers.min() <= NEAR_ZERO * np.median(numbers):
            return None
    return "log"


def instance_norm(past: Panel, given: bool | str, point_forecast: bool) -> bool:
    """Return the setting that was given; auto: whether a point forecast is of many series, few of their numbers zero.

    The level and spread of one series change less than those of many: on development parts of panels of 366, 767 and
    414 series it took 7, 0 and 0 % of the loss, and on 13 sets of one to eight series it added 1 % (-17 to 13 %).
    """
    if not isinstance(given, str):
        return given
    return (
        point_forecast
        and not isinstance(past, SupervisedPanel)
        and len(past) >= MANY
        and zero_share(past) <= INTERMITTENT
    )


def anchor(past: Panel, given: Anchor, window: int, horizon: int) -> str | list[int]:
    """Return the anchor that was given; auto: a blend, to be learned.

    Of supervised windows auto is the last value or none. Where most numbers are zero it is the anchor with the smallest
    squared error on the training part, which forecasts of zero do not make small: the last value, the last season,
    means of two and three seasons, the mean of the last season's values, where a season is a day the same hours a week
    ago and their mean with yesterday's, or none, the mean of each series. An anchor that looks back further than the
    window is a DataError.
    """
    season = past.season_length
    if given == "auto":
        if isinstance(past, SupervisedPanel):
            return _anchor_of_windows(past, horizon)
        if zero_share(past) <= INTERMITTENT:
            return BLEND
        every = [(option, anchor_lags(option, horizon, season)) for option in _anchors(past.seasons)]
        fitting = [(option, lags) for option, lags in every if lags.max() <= window]
        furthest = max(int(lags.max()) for _, lags in fitting)
        fitting.append(("none", np.zeros((horizon, 0), dtype=np.int64)))
        return min(fitting, key=lambda pair: _anchor_error(past, pair[1], furthest))[0]
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
    targets, zeros, numbers = past.values[: past.offsets[-1], : past.n_targets], 0, 0
    for rows in chunks(targets):
        zeros += int(np.count_nonzero(targets[rows] == 0))
        numbers += int(np.count_nonzero(~np.isnan(targets[rows])))
    return zeros / max(numbers, 1)


def _anchors(seasons: Sequence[int]) -> list[str | list[int]]:
    """Return the anchors that are compared, of which the first of equal ones is chosen."""
    season, *others = seasons
    if season == 1:
        return ["last"]
    if season in DAYS and 7 * season not in others:
        others = [7 * season, *others]
    further = [anchor for longer in others for anchor in ([longer], [season, longer], [longer, 2 * longer])]
    return ["last", "seasonal", [season, 2 * season], [season, 2 * season, 3 * season], "average", *further]


def _anchor_error(past: Panel, lags: NDArray[np.int64], furthest: int) -> float:
    """Return the scaled mean squared error of the anchor with `lags` (H, A) over cutoffs of the training part.

    With `furthest`, the largest lag of all candidates, all are compared on the same cutoffs. Without lags the forecast
    is the mean of the series.
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
            means = observed_mean((values[cutoffs[:, None] + steps] - naive) ** 2)
            errors += (means[~np.isnan(means)] / spread**2).tolist()
    return float(np.mean(errors)) if errors else math.inf
