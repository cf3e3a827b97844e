"""Probes: data that differ from the given ones in nothing but what must not be seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.data import frames, twins
from tsforecast.data.panel import Panel
from tsforecast.errors import DataError

Floats = NDArray[np.float64]
REPLACEMENTS = ("other values", "NaN", "infinities", "shuffled")


def replaced(rows: Floats, how: str, random: np.random.Generator) -> Floats:
    """Return other numbers in the place of rows of shape (n, C).

    Parameters
    ----------
    how : {"other values", "NaN", "infinities", "shuffled"}

    Examples
    --------
    >>> replaced(np.array([[1.0], [2.0]]), "infinities", np.random.default_rng(0)).ravel().tolist()
    [inf, -inf]
    """
    if how == "NaN":
        return np.full_like(rows, np.nan)
    if how == "infinities":
        return np.where(np.indices(rows.shape).sum(axis=0) % 2, -np.inf, np.inf)
    if how == "shuffled":
        turned = random.permutation(rows)
        return turned[::-1] if np.array_equal(turned, rows, equal_nan=True) else turned
    size = np.abs(np.nan_to_num(rows)).max(axis=0, initial=0.0) + 1.0
    return np.asarray(10 * size * random.choice([-1.0, 1.0], rows.shape) * random.uniform(1, 2, rows.shape))


def panel_twins(panel: Panel, seen: NDArray[np.int64], horizon: int) -> Iterator[tuple[str, Panel]]:
    """Yield panels that differ in rows that must not be seen, each with the name of what was done.

    Parameters
    ----------
    panel : Panel
    seen : int64 array of shape (N,)
        Rows of each series before the cutoff. Those after it are replaced; future columns only beyond the horizon.
    horizon : int
    """
    random, seen = np.random.default_rng(0), np.minimum(seen, panel.lengths)
    rows = np.arange(len(panel.values)) - np.repeat(panel.offsets[:-1], panel.lengths)  # number within the series
    after = rows >= np.repeat(seen, panel.lengths)
    beyond = rows >= np.repeat(seen + horizon, panel.lengths)
    known = len(panel.roles.varying) - len(panel.roles.future)
    hidden = np.where(np.arange(panel.values.shape[1]) < known, after[:, None], beyond[:, None])  # (rows, C)
    for how in REPLACEMENTS:
        yield f"rows after the cutoff: {how}", _with(panel, hidden, how, random)
    if len(panel) > 1:
        last = hidden.copy()
        last[: panel.offsets[-2]] = False
        yield "rows after the cutoff of one series: other values", _with(panel, last, "other values", random)
    if panel.roles.past:
        past = hidden.copy()
        past[:, : panel.n_targets] = past[:, known:] = False
        yield "past columns after the cutoff: other values", _with(panel, past, "other values", random)
    if not panel.roles.future:  # those are to be given for the steps to forecast
        yield "rows after the cutoff: cut off", panel.until(np.maximum(seen, 1))


def _with(panel: Panel, hidden: NDArray[np.bool_], how: str, random: np.random.Generator) -> Panel:
    values = panel.values.copy()
    for column in range(values.shape[1]):
        at = hidden[:, column]
        values[at, column] = replaced(values[at, column : column + 1].astype(np.float64), how, random)[:, 0]
    return panel.with_values(values)


def data_twins(data: Any, cutoff: Any, columns: Sequence[str] | None = None) -> Iterator[tuple[str, Any]]:
    """Yield arrays, frames or panels that differ in rows after `cutoff`.

    Parameters
    ----------
    data : array of shape (T,) or (T, C), list of such arrays, frame or Panel
    cutoff : int, time stamp or whatever the time column holds
        The last row, or time, that may be seen.
    columns : list of str, optional
        Of a frame, those that are replaced; all that hold numbers unless given.
    """
    random = np.random.default_rng(0)
    if isinstance(data, Panel):
        seen = data.seen(int(cutoff) + 1)
        yield from panel_twins(data, seen, 0)
        return
    if frames.is_frame(data):
        for how in REPLACEMENTS:
            other = twins.replace_after(data, cutoff, partial(replaced, how=how, random=random), columns)
            yield f"rows after the cutoff: {how}", other
        yield "rows after the cutoff: cut off", twins.replace_after(data, cutoff, None)
        return
    arrays = list(data) if isinstance(data, (list, tuple)) else [data]
    arrays = [np.asarray(array) for array in arrays]
    if any(array.ndim not in (1, 2) or array.dtype.kind not in "biuf" for array in arrays):
        raise DataError(
            "an audit takes a frame, a Panel, an array of numbers of shape (T,) or (T, C), or a list of them: got "
            f"{type(data).__name__}"
        )
    for how in (*REPLACEMENTS, "cut off"):
        parts = [_array_with(array, cutoff, how, random) for array in arrays]
        yield f"rows after the cutoff: {how}", parts if isinstance(data, (list, tuple)) else parts[0]


def _array_with(array: NDArray[Any], cutoff: int, how: str, random: np.random.Generator) -> NDArray[Any]:
    if how == "cut off":
        return array[: cutoff + 1].copy()
    values = array.astype(np.float64)
    later = values[cutoff + 1 :]
    values[cutoff + 1 :] = replaced(later.reshape(len(later), -1), how, random).reshape(later.shape)
    return values
