"""Learning-rate schedules: from the share of training that is done to a share of the highest rate."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tsforecast.training.history import Epoch

SCHEDULES = ("one-cycle", "cosine", "plateau", "constant")
WARM_UP = 0.1  # share of training over which a cosine rises first
FACTOR = 10.0  # a plateau divides the rate by it


def rate_share(schedule: str, done: float, history: Sequence[Epoch], wait: int) -> float:
    """Return the share of the highest learning rate.

    Parameters
    ----------
    schedule : {"one-cycle", "cosine", "plateau", "constant"}
    done : float
        Share of all steps that is done, in [0, 1].
    history : sequence of Epoch
        What happened so far; a plateau looks at it.
    wait : int
        Epochs without a better loss that make a plateau.
    """
    if schedule == "one-cycle":
        return one_cycle(done)
    if schedule == "cosine":
        return warm_cosine(done)
    if schedule == "plateau":
        return plateau(history, wait)
    return 1.0


def one_cycle(done: float) -> float:
    """Rise from a 25th to the highest rate over the first 30 %, then fall to nearly nothing.

    Both ways along half a cosine [Smith and Topin 2017, arXiv 1708.07120; shape and constants as in
    torch's `OneCycleLR`].

    Examples
    --------
    >>> [round(one_cycle(done), 4) for done in (0.0, 0.3, 1.0)]
    [0.04, 1.0, 0.0]
    """
    start, top, end = 1 / 25, 1.0, 1 / 250_000
    if done < 0.3:
        return _cosine(start, top, done / 0.3)
    return _cosine(top, end, (done - 0.3) / 0.7)


def warm_cosine(done: float) -> float:
    """Rise in a line over the first tenth, then fall to zero along half a cosine.

    Without restarts [Loshchilov and Hutter 2016, arXiv 1608.03983].

    Examples
    --------
    >>> [round(warm_cosine(done), 4) for done in (0.0, 0.05, 0.1, 0.55, 1.0)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    if done < WARM_UP:
        return done / WARM_UP
    return _cosine(1.0, 0.0, (done - WARM_UP) / (1 - WARM_UP))


def plateau(history: Sequence[Epoch], wait: int) -> float:
    """Divide the rate by ten each time that `wait` epochs have passed without a better loss.

    The loss is that of validation, or of training where nothing validates.

    Examples
    --------
    >>> losses = [3.0, 2.0, 2.5, 2.1, 1.9, 2.0, 2.0]
    >>> [plateau([Epoch(n, None, loss, 0.1, 0.0) for n, loss in enumerate(losses[:k])], 2) for k in (3, 4, 6, 7)]
    [1.0, 0.1, 0.1, 0.01]
    """
    best, since, share = math.inf, 0, 1.0
    for epoch in history:
        loss = epoch.train_loss if epoch.valid_loss is None else epoch.valid_loss
        if loss is None:
            continue
        since += 1
        if loss < best:
            best, since = loss, 0
        elif since >= wait:
            share, since = share / FACTOR, 0
    return share


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))
