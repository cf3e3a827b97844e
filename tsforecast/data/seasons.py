"""Seasons of a panel, found in its numbers: lines of the spectrum that repeat in step and make a naive forecast better.

A season is a comb of lines: power at whole fractions of its length, far above the power between them. Candidates are
the periods whose comb of autocorrelations, of the whitened differences, is largest. Each is tested on a whole number
of its cycles, where its lines fall on frequencies of the transform exactly: against their own neighbours, so that no
smooth spectrum (noise, a random walk, an autoregression) has lines [Thomson 1982, "Spectrum estimation and harmonic
analysis"]. What is found is then to make the naive forecast of a cycle better. Series vote.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, islice
from math import lcm
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from tsforecast.data.panel import Panel
from tsforecast.data.series import SeasonSource

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
SERIES = 32  # that vote for all of a panel
VALUES = 2**15  # of them that are read in all, the newest ones of each series
LEAST, CYCLES = 3, 3  # steps of the shortest season, and cycles that a series must have of the longest
PROPOSED = 0.1  # of the series, whose combs must have a period that is tested
ROUNDS, MOST = 5, 3  # of the search, and seasons that are returned
ALPHA = 0.05  # of a series without a season, to have a line at one of all periods
VOTES, FURTHER = 1 / 3, 0.15  # of the series, that must have the first season, and each further one
NEIGHBOURS = 6  # frequencies on each side of a line that it must stand out of
WIDTH = 8  # frequencies on each side over which a spectrum is smoothed to whiten it
NEAR = 0.8  # frequencies off a line that are not told from it
CLEAR = 2.0  # logarithm of the power of a line, in that around it, from which it counts where periods are compared
APART = 1.5  # frequencies between the lines of two seasons
LINES = 0.6  # power of the number of lines by which that of a period is divided where periods are compared
NEARLY = 0.8  # of the power of the strongest comb, from which a shorter period is taken first
MANY = 12  # cycles of a shorter period that a longer one is tested to be
PER_SERIES, CANDIDATES = 8, 20  # periods that are tested
NEAR_WHOLE = 0.01  # of a season, by which it may miss a multiple of another
SAME = 1.05  # of the smallest error, that a customary length may have
CUSTOMARY = (4, 5, 7, 12, 24, 48, 52, 60, 96, 144, 168, 288, 336, 365, 672, 1440, 2016)  # steps
REACH = 24  # steps around a long period within which it is refined
NEST = 5  # seasons in a longer one that is a season of its own, as days in a week
SHARE = 2.7  # of the variance of the longer one that the shorter one then has, in that by chance
GAIN = 0.97  # of the error of the naive forecast without a season, that the one with it may have
ROUNDING = 1e-9  # of the largest number, below which moves are those of rounding
EULER = 0.5772  # minus the mean of the logarithm of power without a line
GAMMA = 1.645  # variance of that logarithm


@dataclass(frozen=True)
class Seasons:
    """Lengths of the seasons that were found, the first and longer ones, and a sentence for each of them."""

    lengths: tuple[int, ...] = ()
    reasons: tuple[str, ...] = ()


def resolved(panel: Panel, part: Panel, seen: NDArray[np.int64] | None = None) -> Panel:
    """Return a panel with the seasons of a part that may be learned from, or of its first `seen` rows, and a note.

    A season that was given stays alone. That of a calendar stays the first; the note says where the numbers have others
    and not that one.
    """
    if panel.season_source not in ("calendar", "auto"):
        return panel
    seen = part.lengths if seen is None else seen
    some = np.flatnonzero(seen > 0)
    columns = np.unique(np.linspace(0, len(some) * part.n_targets - 1, SERIES).astype(int))
    voters = zip(some[columns // part.n_targets], columns % part.n_targets, strict=True)
    found = find(part.series(i)[: seen[i], k].astype(np.float64) for i, k in voters)
    source: SeasonSource = "found"
    if panel.season_source == "auto":
        first, reasons = found.lengths[:1] or (1,), found.reasons
    else:
        source = "checked"
        first = (panel.season_length,)
        reasons = tuple(why for p, why in zip(found.lengths, found.reasons, strict=True) if p not in first)
        if reasons and first[0] not in found.lengths:
            lead = f"the numbers do not have the season of {first[0]} steps that is customary for {panel.frequency}"
            reasons = (f"{lead}, but a {reasons[0]}; pass season_length={found.lengths[0]} to use it", *reasons[1:])
    others = tuple(p for p in found.lengths if p not in first)
    return replace(panel, season_length=first[0], season_source=source, other_seasons=others, season_notes=reasons)


def find(series: Iterable[Floats]) -> Seasons:
    """Return the seasons of series, (T,) each, of which the last steps are read; NaN are filled from before."""
    groups = _groups([numbers for numbers in map(_complete, series) if len(numbers) > LEAST * CYCLES])
    levels = [_detrended(group) for group in groups]
    found = _periods(groups, levels)
    found |= {_nested(levels, p) for p in found} - {0}
    longest = max((level.shape[1] for level in levels), default=0)
    wholes = {lcm(a, b) for a, b in combinations(found, 2) if lcm(a, b) < NEST * max(a, b)}
    return _confirmed(levels, sorted(found | {p for p in wholes if CYCLES * p <= longest}))


def _periods(groups: Sequence[Floats], levels: Sequence[Floats]) -> set[int]:
    """Return periods whose lines enough series have, of which some may be parts of others; the strongest comb first.

    Each is taken out of the series before the next one is looked for.
    """
    moves, count, found = [_moves(group) for group in groups], sum(map(len, groups)), list[int]()
    for _ in range(ROUNDS):
        power = {p: _vote(moves, p, count, found) for p in _candidates(moves, found)}
        most = max(power.values(), default=0.0)
        if not most:
            break
        best = min(p for p in power if power[p] > NEARLY * most)
        best = next((d for d in _parts(best) if not _vote(moves, best, count, [*found, d])), best)
        best = _refined(levels, best, found)
        if best in found:
            break
        found.append(best)
        moves, levels = _without(moves, best), _without(levels, best)
    return set(found)


def _confirmed(levels: Sequence[Floats], found: Sequence[int]) -> Seasons:
    """Return the seasons, of periods from the shortest on, that are no part of a longer one and help forecasts."""
    kept, reasons, count = list[int](), list[str](), sum(map(len, levels))
    for p in found:
        long_enough = [level for level in levels if level.shape[1] >= CYCLES * p]
        wholes = [q for q in found if 3 * p < 2 * q < 4 * MANY * p and abs(q - round(q / p) * p) <= NEAR_WHOLE * q]
        if any(q < (NEST - 0.5) * p or (q % p == 0 and _share(long_enough, p, q) < SHARE * p / q) for q in wholes):
            continue
        errors = np.concatenate([_error(level, p) for level in long_enough])
        gains = errors < GAIN
        if len(kept) == MOST or gains.sum() < (FURTHER if kept else VOTES) * len(errors):
            continue
        repeats = float(np.median(np.concatenate([_autocorrelation(level, p) for level in long_enough])))
        voters = f" in {gains.sum()} of {count} series" if count > 1 else ""
        less = round(100 * (1 - float(np.median(errors[gains]))))
        without = f"without that of {kept[-1]}, " if kept else ""
        reasons.append(
            f"season of {p} steps found{voters}: {without}numbers {p} steps apart have a correlation of {repeats:.2f}, "
            f"and a naive forecast with it has {less} % less error than the best without"
        )
        kept.append(p)
        levels = _without(levels, p)
    return Seasons(tuple(kept), tuple(reasons))


def _complete(numbers: Floats) -> Floats:
    """Return the numbers of a series from the first one on, NaN filled, the largest 1; none where they do not vary."""
    missing = np.isnan(numbers)
    if missing.any():
        first = int(np.argmin(missing)) if not missing.all() else len(numbers)
        numbers, missing = numbers[first:], missing[first:]
        numbers = numbers[np.maximum.accumulate(np.where(missing, 0, np.arange(len(numbers))))]
    return numbers / np.abs(numbers).max() if len(numbers) and numbers.min() < numbers.max() else numbers[:0]


def _groups(series: Sequence[Floats]) -> list[Floats]:
    """Return the newest steps of series in few arrays, (S, n) each, of series of about one length."""
    room = max(VALUES // max(len(series), 1), 1)
    by_length: dict[int, list[Floats]] = {}
    several = len({len(numbers) for numbers in series}) > CYCLES
    for numbers in series:
        n = min(len(numbers), room)
        if several:
            n = int(1.15 ** int(np.log(n) / np.log(1.15)))
        by_length.setdefault(n, []).append(numbers[len(numbers) - n :])
    return [np.stack(each) for each in by_length.values()]


def _moves(group: Floats) -> Floats:
    """Return the differences of series, outliers cut off, (S, n): a trend is a constant, a random walk is noise."""
    moves = np.diff(group, axis=1)
    moves -= np.median(moves, axis=1, keepdims=True)
    moves[np.abs(moves) < ROUNDING] = 0.0
    spread = np.median(np.abs(moves), axis=1, keepdims=True) * 1.5
    most = np.where(spread > 0, 6 * spread, 6 * moves.std(axis=1, keepdims=True))
    return np.clip(moves, -most, most) / np.maximum(most, np.finfo(float).tiny)


def _candidates(groups: Sequence[Floats], found: Sequence[int]) -> list[int]:
    """Return the periods that most series have a comb of autocorrelations at, or a peak of the spectrum."""
    counts = Counter[int]()
    for moves in groups:
        n = moves.shape[1]
        last = n // CYCLES
        power = np.abs(np.fft.rfft(moves - moves.mean(axis=1, keepdims=True))) ** 2
        logs = np.log(power + 1e-12 * power.mean(axis=1, keepdims=True) + 1e-300)
        width = min(WIDTH, max(2, power.shape[1] // 8))
        padded = np.pad(logs[:, 1:], ((0, 0), (width, width)), mode="reflect")
        sums = np.cumsum(np.pad(padded, ((0, 0), (1, 0))), axis=1)
        smooth = (sums[:, 2 * width + 1 :] - sums[:, : -2 * width - 1]) / (2 * width + 1)
        white = np.zeros_like(power)
        white[:, 1:] = np.exp(logs[:, 1:] - smooth)
        white[:, _near_lines(n, found)] = 1.0
        acf = np.fft.irfft(white, n)
        acf /= np.maximum(acf[:, :1], 1e-300)
        comb, terms = np.zeros((len(moves), last + 2)), np.zeros(last + 2)
        for j in range(1, 9):
            reach = min(last + 2, (n // 2 + 1) // j + 1)
            comb[:, :reach] += acf[:, np.arange(reach) * j]
            terms[:reach] += 1
        comb /= np.sqrt(np.maximum(terms, 1))
        inner = comb[:, LEAST : last + 1]
        peaks = (inner >= comb[:, LEAST - 1 : last]) & (inner >= comb[:, LEAST + 1 : last + 2])
        ranked = np.argsort(np.where(peaks, -inner, np.inf), axis=1)[:, :PER_SERIES]
        counts.update((ranked[np.take_along_axis(peaks, ranked, axis=1)] + LEAST).tolist())
        tall = np.where((white[:, 1:-1] >= white[:, :-2]) & (white[:, 1:-1] >= white[:, 2:]), white[:, 1:-1], 0)
        tops = 1 + np.argsort(-tall, axis=1)[:, : PER_SERIES // 2]
        periods = np.rint(np.array([1, 2, 3]) * n / tops[..., None]).astype(int)  # a line may be a harmonic
        counts.update(periods[(periods >= LEAST) & (periods <= last)].tolist())
    steps, least = max((moves.shape[1] for moves in groups), default=1), PROPOSED * sum(map(len, groups))
    often = (p for p, number in counts.most_common() if number >= least)
    apart = (p for p in often if all(abs(1 / p - 1 / f) * steps > APART for f in found))
    return list(islice(apart, CANDIDATES))


def _near_lines(size: int, periods: Sequence[int]) -> Flags:
    """Return which frequencies of `size` steps are next to a line of one of the periods, (size // 2 + 1,)."""
    turns = np.arange(size // 2 + 1)[:, None] * (np.array(periods, dtype=float) / size)
    off = np.abs(turns - np.rint(turns)) * size / np.array(periods, dtype=float)
    return np.asarray(((off < NEAR) & (np.rint(turns) > 0)).any(axis=1))


def _comb(moves: Floats, p: int, known: Sequence[int]) -> tuple[Floats, Floats, Floats]:
    """Return power at the lines of a period, power around each, (S, h), and frequencies that the latter is from, (h,).

    Lines that `known` periods have as well are left out. Read are the last whole cycles.
    """
    cycles = moves.shape[1] // p
    size = cycles * p
    part = moves[:, moves.shape[1] - size :]
    power = np.abs(np.fft.rfft(part - part.mean(axis=1, keepdims=True))) ** 2
    near = _near_lines(size, known)
    bins = np.arange(size // 2 + 2)
    between = (bins[:-1] > 0) & (bins[:-1] % cycles != 0) & ~near
    at = cycles * np.arange(1, (p - 1) // 2 + 1)
    at = at[~near[at]]
    logs = np.where(between, np.log(power + 1e-12 * power.mean(axis=1, keepdims=True) + 1e-300), 0)
    first, last = np.maximum(at - NEIGHBOURS, 0), np.minimum(at + NEIGHBOURS + 1, bins[-1])
    sums, counts = np.zeros((len(moves), len(bins))), np.zeros(len(bins))
    np.cumsum(logs, axis=1, out=sums[:, 1:])
    np.cumsum(between, out=counts[1:])
    count = counts[last] - counts[first]
    background = np.exp((sums[:, last] - sums[:, first]) / np.maximum(count, 1) + EULER)
    return power[:, at], background, count / GAMMA


def _tested(moves: Floats, p: int, known: Sequence[int]) -> tuple[Flags, Floats]:
    """Return which series have lines at a period, (S,), and their power in powers of the noise around them, (S,)."""
    power, background, freedom = _comb(moves, p, known)
    if not power.shape[1]:
        return np.zeros(len(moves), dtype=np.bool_), np.zeros(len(moves))
    ratio = power / background
    freedom = np.maximum(freedom, 0.5)
    logs = -freedom * np.log1p(ratio / freedom)  # of the probability of so much power without a line
    lines = logs.shape[1]
    alpha = ALPHA / max(moves.shape[1] / CYCLES, 1) / 2
    one = logs.min(axis=1) + np.log(lines) < np.log(alpha)
    freedom_all = 2 * lines  # of a sum that has the distribution of chi squared [Wilson and Hilferty 1931]
    together = np.cbrt(-2 * logs.sum(axis=1) / freedom_all) - (1 - 2 / (9 * freedom_all))
    every = together / np.sqrt(2 / (9 * freedom_all)) > NormalDist().inv_cdf(1 - alpha)
    return one | every, np.maximum(np.log1p(ratio) - CLEAR, 0).sum(axis=1) / lines**LINES


def _vote(groups: Sequence[Floats], p: int, count: int, known: Sequence[int] = ()) -> float:
    """Return the power of a period in all series that are long enough; zero where too few have its lines."""
    tests = [_tested(moves, p, known) for moves in groups if moves.shape[1] >= CYCLES * p]
    if not tests:
        return 0.0
    votes, power = (np.concatenate(parts) for parts in zip(*tests, strict=True))
    enough = votes.sum() >= (FURTHER if known else VOTES) * len(votes) and len(votes) >= VOTES * count
    return max(float(power[votes].sum()), 1e-9) if enough else 0.0


def _repeated(moves: Floats, p: int) -> Floats:
    """Return the mean cycle of each series, repeated to its length and counted from its end, (S, n)."""
    n = moves.shape[1]
    cycles = n // p
    mean = moves[:, n - cycles * p :].reshape(len(moves), cycles, p).mean(axis=1)
    return np.asarray(mean[:, (np.arange(n) - n) % p])


def _without(groups: Sequence[Floats], p: int) -> list[Floats]:
    """Return series without the mean cycle of a period; remainders of rounding are zeros, which have no lines."""
    rests = [each - _repeated(each, p) if each.shape[1] >= p else each for each in groups]
    return [np.where(np.abs(rest) < ROUNDING, 0.0, rest) for rest in rests]


def _parts(p: int) -> list[int]:
    """Return periods that a longer one is a multiple of, or nearly, the shortest first."""
    return sorted({d for many in range(2, MANY + 1) if (d := round(p / many)) >= LEAST})


def _refined(levels: Sequence[Floats], p: int, found: Sequence[int]) -> int:
    """Return the period next to one, not told from it by its lines, whose naive forecasts have the smallest error.

    Of those with nearly that error it is a customary one, or a multiple of one that was `found`, if there is one.
    """
    long_enough = [level for level in levels if level.shape[1] > CYCLES * p]
    n = max(level.shape[1] for level in long_enough)
    reach = min(p * p // (2 * n), REACH)
    errors = {}
    for q in range(max(p - reach, LEAST), p + reach + 1):
        ratios = [_error(level, q) for level in long_enough if level.shape[1] >= CYCLES * q]
        if ratios:
            errors[q] = float(np.median(np.concatenate(ratios)))
    least = min(errors.values())
    usual = {q for q in errors if q in CUSTOMARY or any(q % f == 0 for f in found)}
    return min(errors, key=lambda q: (errors[q] > SAME * least, q not in usual, errors[q]))


def _nested(levels: Sequence[Floats], p: int) -> int:
    """Return the season that is repeated within a longer one, as a day is in a week, with much of its power; or 0."""
    parts = [p // many for many in range(NEST, MANY + 1) if p % many == 0 and p // many >= LEAST]
    return max((d for d in parts if _share(levels, d, p) > SHARE * d / p), default=0)


def _share(levels: Sequence[Floats], p: int, longer: int) -> float:
    """Return the share of the variance of a longer season's mean cycle that a part of it has."""
    cycles = [_repeated(level, longer) for level in levels if level.shape[1] >= longer]
    shares = [_repeated(cycle, p).var(axis=1) / np.maximum(cycle.var(axis=1), 1e-300) for cycle in cycles]
    return float(np.median(np.concatenate(shares)))


def _detrended(group: Floats) -> Floats:
    """Return series without the straight line through them, (S, n)."""
    line = np.linspace(-1, 1, group.shape[1])
    level = group - group.mean(axis=1, keepdims=True)
    return np.asarray(level - (level @ line / (line @ line))[:, None] * line)


def _error(group: Floats, p: int) -> Floats:
    """Return the error of naive forecasts with a season, as a share of that without, (S,), of one step or of a cycle.

    Compared are the best of each: the last season, or level or last value moved by the mean season so far; and the
    last value, or the mean of a cycle or of all.
    """
    size, n = len(group), group.shape[1]
    cycles = n // p
    blocks = group[:, n - cycles * p :].reshape(size, cycles, p)
    before, truth = blocks[:, :-1], blocks[:, 1:]
    so_far = np.arange(1, cycles)[:, None]
    level, last = before.mean(axis=2, keepdims=True), before[..., -1:]
    shape = np.cumsum(before - level, axis=1) / so_far  # mean season around its mean
    just = np.concatenate([last, truth[..., :-1]], axis=2)
    moved = just + shape - np.roll(shape, 1, axis=2)
    cycle = _least(truth, [before, level + shape, last + shape - shape[..., -1:]])
    cycle /= np.maximum(_least(truth, [last, level, np.cumsum(level, axis=1) / so_far]), 1e-300)
    step = _least(truth, [moved, level + shape]) / np.maximum(_least(truth, [just, level]), 1e-300)
    return np.minimum(cycle, step)


def _least(truth: Floats, forecasts: list[Floats]) -> Floats:
    """Return the smallest root mean squared error of forecasts, (S,)."""
    return np.asarray(np.sqrt(np.min([np.square(truth - each).mean(axis=(1, 2)) for each in forecasts], axis=0)))


def _autocorrelation(level: Floats, p: int) -> Floats:
    """Return the correlation of each series with itself `p` steps ago, (S,)."""
    return np.asarray((level[:, p:] * level[:, :-p]).sum(axis=1) / np.maximum((level**2).sum(axis=1), 1e-300))
