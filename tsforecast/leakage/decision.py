"""Whether results moved with perturbed data: by more than equal runs differ, and by more than rounding.

Equal runs and runs with a perturbed copy are drawn in turn. Where the copy makes no difference they can be exchanged,
so that a permutation test has its level whatever the noise: Westfall and Young (1993), maxima over all numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.leakage.evidence import Fingerprint, differences

LEVEL = 5e-4  # of one test
ALIKE = 4  # pairs of runs that are enough where each half is the same to the bit
LOOKS = (8, 16, 32)  # pairs after which a test may end; fewer cannot show a leak at this level
DULL = 0.2  # above it no further pairs are run
PERMUTATIONS = 4999
LARGEST = 10_000  # numbers of an array that are looked at; of more, as many evenly spaced ones
USUAL_SIZE = 20.0  # of perturbed values, in units of the original ones


@dataclass(frozen=True, eq=False)
class Features:
    """What several runs returned, as columns that differ between them."""

    values: NDArray[np.float64]  # (runs, columns)
    names: list[str]  # of the arrays, one for each column
    places: list[tuple[int, ...]]  # in the arrays
    kinds: list[str]  # number; blank: whether it is NaN or infinite; whole: whether the array is a certain one

    @classmethod
    def of(cls, runs: Sequence[Fingerprint]) -> Features:
        """Return the columns of some runs, in the order of the arrays."""
        names = dict.fromkeys(name for run in runs for name in run)
        parts = [(name, *part) for name in names for part in _columns([run.get(name) for run in runs])]
        return cls(
            np.concatenate([np.empty((len(runs), 0)), *(columns for _, columns, _, _ in parts)], axis=1),
            [name for name, _, places, _ in parts for _ in places],
            [place for _, _, places, _ in parts for place in places],
            [kind for _, _, places, kind in parts for _ in places],
        )


def _columns(arrays: list[NDArray[Any] | None]) -> list[tuple[NDArray[np.float64], list[tuple[int, ...]], str]]:
    """Return values, places and kind of the columns of one array that differ between runs."""
    first = arrays[0]
    if first is None or any(a is None or a.shape != first.shape or a.dtype.kind not in "biuf" for a in arrays):
        codes = [None if a is None else (a.shape, a.dtype.str, a.tobytes()) for a in arrays]
        # A value that one run alone has says nothing, unless there are two runs only.
        known = [code for code in dict.fromkeys(codes) if len(codes) == 2 or codes.count(code) > 1]
        same = np.array([[code == one for one in known] for code in codes], dtype=np.float64)
        differ = (same != same[0]).any(axis=0)
        return [(same[:, differ], [()] * int(differ.sum()), "whole")] if differ.any() else []
    flat = np.stack([np.ravel(a).astype(np.float64) for a in arrays if a is not None])  # (runs, numbers)
    at = np.arange(flat.shape[1])[:: 1 + flat.shape[1] // LARGEST]
    found = []
    finite = np.isfinite(flat[:, at]).all(axis=0)
    for kind in (None, np.isnan, np.isposinf, np.isneginf):
        chosen = at[finite if kind is None else ~finite]
        part = flat[:, chosen] if kind is None else kind(flat[:, chosen]).astype(np.float64)
        differ = (part != part[0]).any(axis=0)
        places: list[tuple[int, ...]] = [()] * int(differ.sum())
        if first.ndim:
            places = list(zip(*(at.tolist() for at in np.unravel_index(chosen[differ], first.shape)), strict=True))
        found += [(part[:, differ], places, "blank" if kind else "number")] if differ.any() else []
    return found


def stands_out(runs: Sequence[Fingerprint], other: Fingerprint) -> bool:
    """Return whether a run lies at least as far from all others as any of equal runs."""
    values = Features.of([*runs, other]).values
    far = []
    for i in range(len(values)):
        rest = np.delete(values, i, axis=0)
        off, spread = np.abs(values[i] - rest.mean(axis=0)), rest.std(axis=0)
        ratio = np.divide(off, spread, out=np.where(off > 0, np.inf, 0.0), where=spread > 0)
        far.append(ratio.max(initial=0.0))
    return bool(far[-1] > 0 and far[-1] >= max(far[:-1]))


def p_values(features: Features) -> NDArray[np.float64]:
    """Return the adjusted p-value of each column, (columns,): the first half of the runs against the second.

    The statistic is the share of the variance that lies between the halves, a monotone function of Student's t.
    """
    values, count = features.values - features.values.mean(axis=0), len(features.values) // 2
    values = values / np.maximum(np.abs(values).max(axis=0, initial=0.0), np.finfo(float).tiny)
    total, signs = (values**2).sum(axis=0), _signs(count)
    largest = np.zeros(len(signs))
    for begin in range(0, values.shape[1], 1000):
        part = slice(begin, begin + 1000)
        shares = count / 2 * (signs @ values[:, part]) ** 2 / total[part]
        largest = np.maximum(largest, shares.max(axis=1))
    own = count / 2 * (signs[0] @ values) ** 2 / total
    above = len(largest) - np.searchsorted(np.sort(largest), own - 1e-9)
    return np.asarray(above / len(largest))


@cache
def _signs(count: int) -> NDArray[np.float64]:
    """Return the weights of runs in the difference of two means, as they are and permuted, (1 + permutations, runs)."""
    own = np.repeat([1.0, -1.0], count) / count
    random = np.random.default_rng(0)
    return np.array([own, *(random.permutation(own) for _ in range(PERMUTATIONS))])


def draw_until_clear(
    draw: Callable[[], Fingerprint],
    draw_other: Callable[[], Fingerprint],
    before: Sequence[Fingerprint],
    first: Fingerprint,
) -> tuple[list[Fingerprint], list[Fingerprint], NDArray[np.bool_]]:
    """Draw equal runs and others in turn until it is clear whether they differ.

    Where those `before` and four more are the same to the bit, and so are the `first` other and four more, it is clear:
    of a result that has two values at random, six and five runs are divided so in one case of 2000 at most.

    Returns
    -------
    equal, others : list
        The runs.
    moved : array of bool
        Of the columns of `Features.of(equal + others)`.
    """
    equal: list[Fingerprint] = []
    others: list[Fingerprint] = []
    for pairs in (ALIKE, *LOOKS):
        while len(equal) < pairs:
            others.append(draw_other())
            equal.append(draw())
        columns = Features.of(equal + others)
        if pairs == ALIKE:
            if same([*before, *equal]) and same([first, *others]):
                return equal, others, np.ones(len(columns.names), dtype=np.bool_)
            continue
        found = p_values(columns)
        if found.min(initial=1.0) > DULL or found.min(initial=1.0) <= LEVEL:
            break
    return equal, others, found <= LEVEL


def same(runs: Sequence[Fingerprint]) -> bool:
    """Return whether runs are equal to the bit."""
    return not any(any(differences(runs[0], one)) for one in runs[1:])


def rounding(one: NDArray[Any], other: NDArray[Any], size: float) -> float:
    """Return the largest difference between two arrays that rounding explains.

    Arithmetic in another order moves less than a tenth of half the digits. What passes through sums with numbers that
    are `size` times larger than the results, and cancels, moves by their last digits.
    """
    values = np.concatenate([np.ravel(one), np.ravel(other)]).astype(np.float64)
    values = values[np.isfinite(values)]
    with np.errstate(over="ignore"):
        short = values.astype(np.float32)
    # Numbers of single precision stay recognisable when they are handed on as double.
    single = bool((short == values).all() and (values != np.round(values)).any())
    eps = float(np.finfo(np.float32 if single else np.float64).eps)
    scale = float(np.abs(np.ravel(one)[np.isfinite(np.ravel(one))].astype(np.float64)).max(initial=0.0))
    return scale * float(max(eps**0.5 / 10, eps**0.75 * size))


def is_rounding(one: Fingerprint, other: Fingerprint, size: float) -> bool:
    """Return whether two results differ by rounding at most, in any array."""
    if one.keys() != other.keys():
        return False
    return all(_near(first, other[name], size) for name, first in one.items())


def _near(one: NDArray[Any], other: NDArray[Any], size: float) -> bool:
    if one.shape != other.shape or one.dtype.kind not in "biuf" or other.dtype.kind not in "biuf":
        return np.array_equal(one, other)
    return np.allclose(one, other, rtol=0, atol=rounding(one, other, size), equal_nan=True)
