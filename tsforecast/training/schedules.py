"""Learning-rate schedules: from the share of training that is done to a share of the highest rate."""

from __future__ import annotations

import math


def one_cycle(done: float) -> float:
    """Rise from a 25th to the highest rate over the first 30 %, then fall to nearly nothing.

    Both ways along half a cosine [Smith and Topin 2017, arXiv 1708.07120; shape and constants as in
    torch's `OneCycleLR`].

    Parameters
    ----------
    done : float
        Share of all steps that is done, in [0, 1].

    Examples
    --------
    >>> [round(one_cycle(done), 4) for done in (0.0, 0.3, 1.0)]
    [0.04, 1.0, 0.0]
    """
    start, top, end = 1 / 25, 1.0, 1 / 250_000
    if done < 0.3:
        return _cosine(start, top, done / 0.3)
    return _cosine(top, end, (done - 0.3) / 0.7)


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))
