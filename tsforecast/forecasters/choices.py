"""What a network forecaster chooses from the data: which rows train, the window, the anchor."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.data.anchors import anchor_lags
from tsforecast.data.panel import Panel
from tsforecast.errors import DataError


def training_rows(panel: Panel, validation: float | int | None, horizon: int) -> tuple[int, NDArray[np.int64]]:
    """Choose what trains and what validates.

    Parameters
    ----------
    validation : float, int or None
        Share or number of the last steps, or of whole groups where the panel has several.

    Returns
    -------
    int
        Steps, or groups, that validate.
    int64 array of shape (N,)
        How many first rows of each series train; 0 for the series of a group that validates.

    Raises
    ------
    DataError
        When validation holds no whole horizon, or leaves no group to train on.

    Examples
    --------
    >>> training_rows(Panel.of(np.zeros(100)), 0.2, horizon=5)
    (20, array([80]))
    """
    if not validation:
        return 0, panel.lengths
    groups = _groups(panel)
    total, least = (len(groups), 1) if len(groups) > 1 else (int(panel.lengths.min()), horizon)
    count = max(least, round(validation * total)) if isinstance(validation, float) else int(validation)
    if len(groups) > 1:
        if count >= len(groups):
            raise DataError(
                f"validation must leave a group to train on: takes {count} of {len(groups)} groups; "
                f"use validation <= {len(groups) - 1}"
            )
        return count, np.where(np.isin(np.asarray(panel.groups), groups[-count:]), 0, panel.lengths)
    if count < horizon:
        raise DataError(
            f"validation must hold a whole horizon: takes {count} steps, the horizon is {horizon}; "
            f"use validation >= {horizon}, or None"
        )
    return count, panel.lengths - count


def _groups(panel: Panel) -> list[Any]:
    """Return the groups in the order in which they first appear."""
    return [] if panel.groups is None else list(dict.fromkeys(panel.groups.tolist()))


def window(panel: Panel, seen: NDArray[np.int64], asked: int | str, horizon: int) -> int:
    """Return the window that was asked for, or two seasons and at least two horizons as far as they fit.

    Parameters
    ----------
    seen : int64 array of shape (N,)
        First rows of each series that train.
    asked : int or "auto"

    Raises
    ------
    DataError
        When a series has no room for window and horizon; with the arithmetic and what would fit.
    """
    trains = seen != 0 if len(_groups(panel)) > 1 else np.ones(len(panel), dtype=bool)  # whole groups may validate
    shortest = int(seen[trains].min())
    wanted = max(2 * panel.season_length, 2 * horizon)
    chosen = min(wanted, max(1, shortest // 3)) if isinstance(asked, str) else asked
    needed = chosen + horizon
    short = np.flatnonzero((seen < needed) & trains)
    if not len(short):
        return chosen
    worst = short[seen[short].argmin()]
    has, length = int(seen[worst]), int(panel.lengths[worst])
    held = f" ({length} less {length - has} for validation)" if has < length else ""
    others = f"; so do {len(short) - 1} other series" if len(short) > 1 else ""
    ways = [f"window <= {has - horizon}"] if has > horizon else []
    ways += [f"horizon <= {has - chosen}"] if has > chosen else []
    ways = ways or ["more rows, or a smaller window, horizon and validation"]
    raise DataError(
        f"window + horizon must fit in the training part: needs {chosen} + {horizon} = {needed} steps, "
        f"series {str(panel.ids[worst])!r} has {max(has, 0)}{held}{others}; use {' or '.join(ways)}"
    )


def anchor(past: Panel, asked: str, window: int, horizon: int) -> str:
    """Return the anchor that was asked for, or the one with the smaller error on the training part.

    Raises
    ------
    DataError
        When a seasonal anchor is asked for and there is no season in the window.
    """
    season = past.season_length
    fits = 1 < season <= window
    if asked == "seasonal" and not fits:
        raise DataError(
            f"a seasonal anchor needs a season that fits in the window: season_length is {season}, the window "
            f"{window}; use window >= {max(season, 2)}, anchor='last', or give season_length to the panel"
        )
    if asked != "auto":
        return asked
    candidates = ["last", "seasonal"] if fits else ["last"]
    return min(candidates, key=lambda name: _anchor_error(past, name, horizon))


def _anchor_error(past: Panel, name: str, horizon: int) -> float:
    """Return the scaled mean absolute error of a naive forecast, over all cutoffs of the training part."""
    errors = []
    for i in range(len(past)):
        for values in past.series(i)[:, : past.n_targets].astype(np.float64).T:
            there = values[~np.isnan(values)]
            spread = (float(there.std()) if len(there) else 0.0) or 1.0
            for step, lag in enumerate(anchor_lags(name, horizon, past.season_length)):
                moves = values[step + lag :] - values[: -(step + lag)]
                moves = moves[~np.isnan(moves)]
                if len(moves):
                    errors.append(np.abs(moves).mean() / spread)
    return float(np.mean(errors)) if errors else math.inf
