"""Dynamic time warping: how far two recordings are apart when time may be stretched."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
CELLS = 1 << 20  # of cost matrices that are held at once


def warping_distances(one: Floats, others: list[Floats], band: float | None = None) -> Floats:
    """Return the distance of one recording to each of many.

    The square root of the smallest sum of squared Euclidean distances along a path of matched steps [Sakoe and Chiba
    1978, IEEE Transactions on Acoustics, Speech and Signal Processing 26, 43-49]; all channels are warped together.

    Parameters
    ----------
    one : array of shape (T, C)
    others : list of arrays of shape (T, C), each with its own T
    band : float, optional
        Matched steps are at most this share of the longer recording apart, or as much as the lengths differ by.

    Returns
    -------
    array of shape (n,)

    Examples
    --------
    >>> early, late = np.array([[0.0], [1.0], [0.0], [0.0]]), np.array([[0.0], [0.0], [1.0], [0.0]])
    >>> warping_distances(early, [late, early + 1]).tolist()
    [0.0, 2.0]
    """
    found = np.empty(len(others))
    for chosen in _alike(one, others):
        found[chosen] = _together(one, [others[i] for i in chosen], band)
    return np.sqrt(found)


def _alike(one: Floats, others: list[Floats]) -> Iterator[NDArray[np.int64]]:
    """Yield numbers of recordings of similar length, as many as memory should hold."""
    lengths = np.array([len(other) for other in others])
    order = np.argsort(lengths, kind="stable")
    while len(order):
        # Each is padded to the longest of its part, and parts get smaller as recordings get longer.
        count = max(1, min(len(order), CELLS // (len(one) * int(lengths[order[0]]))))
        while count > 1 and count * len(one) * lengths[order[count - 1]] > 2 * CELLS:
            count //= 2
        yield order[:count]
        order = order[count:]


def _together(one: Floats, others: list[Floats], band: float | None) -> Floats:
    """Return the smallest sum of squares for each of n recordings, all of them step by step along the diagonals.

    Cells of one diagonal (i + j) depend on the two diagonals before it only, so n diagonals are one array.
    """
    rows, columns = len(one), max(len(other) for other in others)
    lengths = np.array([len(other) for other in others])
    padded = np.zeros((len(others), columns, one.shape[1]))
    for number, other in enumerate(others):
        padded[number, : len(other)] = other
    costs = np.zeros((len(others), rows, columns))  # what is padded lies behind every path's end
    for c in range(one.shape[1]):
        costs += (one[:, None, c] - padded[:, None, :, c]) ** 2
    if band is not None:
        reach = np.maximum(np.ceil(band * np.maximum(lengths, rows)), np.abs(lengths - rows))  # (n,)
        apart = np.abs(np.arange(rows)[:, None] - np.arange(columns))
        costs = np.where(apart > reach[:, None, None], math.inf, costs)
    # Entry i + 1 of a diagonal is its cell in row i; entry 0 is the border.
    before = np.full((len(others), rows + 1), math.inf)
    last = before.copy()
    before[:, 0] = 0.0  # the path begins in the first cell
    found = np.empty(len(others))
    for diagonal in range(rows + columns - 1):
        i = np.arange(max(0, diagonal - columns + 1), min(diagonal, rows - 1) + 1)
        now = np.full_like(last, math.inf)
        best = np.minimum(np.minimum(last[:, i + 1], last[:, i]), before[:, i])
        now[:, i + 1] = costs[:, i, diagonal - i] + best
        ends = lengths == diagonal - rows + 2  # whose last cell lies on this diagonal
        found[ends] = now[ends, rows]
        before, last = last, now
    return found
