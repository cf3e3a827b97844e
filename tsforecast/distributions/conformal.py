"""Conformal quantiles: from errors at cutoffs that calibrate, all at once or along the order of time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tsforecast.distributions.base import LEVELS, Floats

REPORTED = (0.8, 0.95)  # intervals whose coverage is measured along the order of time
_LOW, _HIGH = ([round((1 + sign * share) / 2 * (len(LEVELS) + 1)) - 1 for share in REPORTED] for sign in (-1, 1))


@dataclass(frozen=True, eq=False)
class Calibration:
    """Errors at m cutoffs, in order of series and time, in units of the scale or the own interval of each forecast."""

    errors: Floats  # (m, H, K), NaN where there is no truth
    series: NDArray[np.int64]  # position in the fitted panel, (m,)
    cutoffs: NDArray[np.int64]  # rows of it before the cutoff, (m,)

    def __post_init__(self) -> None:
        rows = len(self.errors)
        if self.errors.ndim != 3 or self.series.shape != (rows,) or self.cutoffs.shape != (rows,):
            shapes = f"{self.errors.shape}, {self.series.shape} and {self.cutoffs.shape}"
            raise ValueError(f"errors (m, H, K) must have a series and a cutoff each: got {shapes}")

    def of(self, chosen: NDArray[np.bool_]) -> Calibration:
        """Return the errors of some cutoffs."""
        return Calibration(self.errors[chosen], self.series[chosen], self.cutoffs[chosen])

    def count(self) -> int:
        """Return the number of errors of the step and target that has the fewest."""
        return int((~np.isnan(self.errors)).sum(axis=0).min(initial=len(self.errors)))

    def quantiles(self, horizon: int) -> Floats:
        """Return the quantiles at `LEVELS` of so many steps, (H, K, L); beyond the last step they stay."""
        found = _ranked(np.sort(self.errors, axis=0), np.broadcast_to(LEVELS, (*self.errors.shape[1:], len(LEVELS))))
        return as_long(found, horizon)


def as_long(quantiles: Floats, horizon: int) -> Floats:
    """Return quantiles (H, ...) for another number of steps; beyond the last one they stay."""
    return quantiles[np.minimum(np.arange(horizon), len(quantiles) - 1)]


def needed(share: float) -> int:
    """Return how many residuals an interval of a share needs, so that each end is one of them.

    Examples
    --------
    >>> needed(0.95), needed(0.8)
    (39, 9)
    """
    return int(np.ceil(round(2 / (1 - share), 9))) - 1


def adaptive(
    errors: Floats,
    cutoffs: NDArray[np.int64],
    asked: NDArray[np.int64],
    rate: float,
    warm: int,
    window: int,
) -> tuple[Floats, dict[float, float]]:
    """Return quantiles at `asked` cutoffs, (a, H, K, L), from errors (m, H, K) that are known there, in order of time.

    The error of step h after a cutoff c is known at the cutoff c + h. Each quantile is the one of the last `window`
    known errors at a level of its own, which moves by the rate times how far it missed: up by the level where the
    error lay above, down by 1 less the level where it did not [Gibbs and Candes 2021, arXiv 2106.00170], for each step
    by itself. The first `warm` errors only fill the window. The second result is the share of errors after them that
    lay within central intervals, by their share.
    """
    count, horizon, targets = errors.shape
    steps = np.arange(horizon)
    known_at = cutoffs[:, None] + steps + 1  # (m, H)
    levels = np.broadcast_to(LEVELS, (horizon, targets, len(LEVELS))).copy()
    done = np.zeros(horizon, dtype=np.int64)  # errors of each step that have moved the levels
    up_to = np.zeros((count, horizon, targets, len(LEVELS)), dtype=np.bool_)  # whether errors lay up to the quantile
    inside = np.zeros((count, horizon, targets, len(REPORTED)), dtype=np.bool_)
    judged = np.zeros((count, horizon, targets), dtype=np.bool_)
    found = np.full((len(asked), horizon, targets, len(LEVELS)), np.nan)
    latest = np.full((horizon, targets, len(LEVELS)), np.nan)
    for moment in np.unique(np.concatenate([cutoffs, asked])):
        known = np.array([np.searchsorted(known_at[:, step], moment, side="right") for step in steps])
        while (done < known).any():
            late, at = done < known, np.minimum(done, count - 1)
            moved = np.clip(levels + rate * (LEVELS - up_to[at, steps]), -rate, 1 + rate)
            levels = np.where((late[:, None] & judged[at, steps])[..., None], moved, levels)
            done += late
        rows = known - 1 - np.arange(window)[:, None]  # (window, H)
        recent = np.where((rows >= 0)[..., None], errors[np.maximum(rows, 0), steps], np.nan)
        quantiles = _ranked(np.sort(recent, axis=0), levels)
        ordered = np.sort(quantiles, axis=-1)  # levels that moved each by itself may cross
        ordered = latest = np.where(np.isnan(ordered), latest, ordered)  # as before where truth was missing for long
        here = int(np.searchsorted(cutoffs, moment))
        if here < count and cutoffs[here] == moment:
            error = errors[here][..., None]
            up_to[here] = error <= quantiles
            inside[here] = (ordered[..., _LOW] <= error) & (error <= ordered[..., _HIGH])
            judged[here] = (known >= warm)[:, None] & ~np.isnan(errors[here]) & ~np.isnan(ordered[..., 0])
        found[asked == moment] = ordered
    rates = inside[judged].mean(axis=0).tolist() if judged.any() else []
    return found, dict(zip(REPORTED, rates, strict=False))


def _ranked(ordered: Floats, levels: Floats) -> Floats:
    """Return the quantiles at levels (H, K, L) of errors in order, (m, H, K), NaN last: the i-th of m at i / (m + 1).

    Levels beyond the first and the last error have these; without any error all are NaN.
    """
    if not len(ordered):
        return np.full(levels.shape, np.nan)
    counts = (~np.isnan(ordered)).sum(axis=0)[..., None]  # (H, K, 1)
    place = np.clip(levels * (counts + 1) - 1, 0, np.maximum(counts - 1, 0))
    lower = np.floor(place).astype(np.int64)
    upper = np.minimum(lower + 1, np.maximum(counts - 1, 0))
    by_step = np.moveaxis(ordered, 0, -1)  # (H, K, m)
    low, high = np.take_along_axis(by_step, lower, axis=-1), np.take_along_axis(by_step, upper, axis=-1)
    return np.asarray(low + (place - lower) * (high - low))
