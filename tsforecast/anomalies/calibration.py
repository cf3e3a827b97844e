"""How rare residuals are: p-values from cutoffs that a model did not learn from, discoveries, and sums of residuals.

A conformal p-value is the share of held-out residuals that are as large [Vovk, Gammerman and Shafer 2005]. Those of
many rows that share held-out residuals are positively dependent, and the procedure of Benjamini and Hochberg keeps its
level with them [Bates et al. 2023, arXiv 2104.08279].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from tsforecast.data.context import CUTOFFS, Context
from tsforecast.data.panel import Panel
from tsforecast.distributions.conformal import Calibration
from tsforecast.distributions.residuals import ENOUGH
from tsforecast.errors import DataError, Problem
from tsforecast.forecasters.base import Forecaster
from tsforecast.forecasters.meta.conformal import ConformalForecaster, units_of

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Positions = NDArray[np.int64]
Tail = Literal["power", "exponential"]  # how p-values go on beyond the largest residuals; None: not at all
EACH = 100  # cutoffs of a series that calibrate, where there are many series
MOST = 20_000  # cutoffs that calibrate, at most
AT_ONCE = 2_000  # cutoffs that are forecast from at once
TAIL = 20  # a twentieth of the residuals, the largest ones, shows how the tail goes on
LEAST_TAIL, MOST_TAIL = 10, 200  # residuals of the tail
FARTHEST = 600.0  # logarithm of the largest size
SLACK = 0.5  # deviations of a residual that add nothing to a sum: half of the shift that is found soonest
STREAMS, DRAWN = 4_000, 1_000  # simulated, by which limits of sums are chosen; at once
SHOWN = 0.1  # of them, those with the greatest sums, show how the tail of sums goes on


@dataclass(frozen=True, eq=False)
class Residuals:
    """Residuals of n rows, forecast some steps before, (n, K) each; NaN where there is none."""

    forecast: Floats
    unit: Floats
    error: Floats  # in the unit

    @classmethod
    def of(cls, model: Forecaster, panel: Panel, series: Positions, rows: Positions, step: int) -> Residuals:
        """Return those of rows of some series, (n,) each, whose forecast is made `step` steps before."""
        found = np.full((3, len(rows), panel.n_targets), np.nan)
        for first in range(0, len(rows), AT_ONCE):
            part = np.arange(first, min(first + AT_ONCE, len(rows)))
            part = part[rows[part] >= step]
            past = Context(panel, series[part], rows[part] - step + 1)
            known = np.asarray(past.has_observations.any(axis=1))
            if known.any():
                found[:, part[known]] = _residuals(model, panel, past.select(known), rows[part[known]], step)
        return cls(*found)


def _residuals(model: Forecaster, panel: Panel, past: Context, rows: Positions, step: int) -> Floats:
    """Return forecast, unit and error of rows that lie `step` steps after each cutoff, (3, n, K)."""
    forecast = model.forecast_on_the_wall(past, step)[:, -1]
    unit = units_of(model, past, step)[:, -1]
    truth = panel.values[panel.offsets[past.series] + rows, : panel.n_targets]
    unit = np.where(past.has_observations & (unit > 0) & np.isfinite(forecast), unit, np.nan)
    return np.stack([np.where(past.has_observations, forecast, np.nan), unit, (truth - forecast) / unit])


def judge_of(model: Forecaster) -> Forecaster:
    """Return the forecaster whose residuals are judged: the member of a conformal one, whose intervals are not used."""
    return model.members_[0] if isinstance(model, ConformalForecaster) else model


def calibrated(model: Forecaster, step: int, least: float, known: Positions | None = None) -> Calibration:
    """Return residuals of a fitted model at the last cutoffs of each series that it did not learn from.

    Of each series so many rows are `known`, (N,); all unless given. Residuals are at least so many, in all series
    together, where there are. DataError is raised below `ENOUGH`.
    """
    panel = model.panel_
    lengths = panel.lengths if known is None else known
    if isinstance(model, ConformalForecaster):
        seen = model.seen_
        judge = model._new_member().fit(panel.until(seen)) if model.refit else model.members_[0]
    else:
        judge, seen = model._held_out()
    first = np.where(seen > 0, seen, panel.first_cutoffs(step)) + step - 1
    counts = np.maximum(lengths - first, 0)
    wanted, chosen = int(min(max(CUTOFFS, least), MOST)), np.flatnonzero(counts)
    if len(chosen) > wanted // EACH:  # too many series: some of them, so that each has a run of cutoffs
        chosen = chosen[np.linspace(0, len(chosen) - 1, wanted // EACH).astype(np.int64)]
    taken = np.minimum(counts[chosen], -(-wanted // max(len(chosen), 1)))
    series: Positions = np.repeat(chosen, taken)
    rows: Positions = lengths[series] - np.repeat(taken.cumsum(), taken) + np.arange(len(series))
    errors = Residuals.of(judge_of(judge), panel, series, rows, step).error
    found = Calibration(errors[:, None], series, rows)
    if found.count() < ENOUGH:
        must = f"anomalies must have {ENOUGH} residuals of each target to be compared with"
        got = f"the rows that the model did not learn from have {found.count()}"
        remedy = f"give longer series, or fit ConformalForecaster({type(model).__name__}(...), calibration=0.3)"
        raise DataError(Problem(must, got, remedy))
    return found


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What residuals of K targets are like where nothing is wrong; errors are (n, K)."""

    calibration: Calibration
    tail: Tail | None

    @cached_property
    def ordered(self) -> list[Floats]:
        """Errors of each target in order."""
        errors = self.calibration.errors[:, 0]
        return [np.sort(column[~np.isnan(column)]) for column in errors.T]

    @cached_property
    def sizes(self) -> list[Floats]:
        """Sizes of the errors of each target in order."""
        return [np.sort(np.abs(column)) for column in self.ordered]

    def p_values(self, errors: Floats) -> Floats:
        """Return the probability of errors as large: their rank among the held-out ones, and a tail beyond them.

        Beyond the largest twentieth, the excess of sizes (of their logarithms, for a power law) is taken to be
        exponential, with the mean of the held-out ones, whose own uncertainty is in the p-value: it is exact then, and
        too large for lighter tails.
        """
        found = np.full(errors.shape, np.nan)
        for k, sizes in enumerate(self.sizes):
            there = np.flatnonzero(~np.isnan(errors[:, k]))
            own = np.abs(errors[there, k])
            p = (1 + len(sizes) - np.searchsorted(sizes, own)) / (1 + len(sizes))
            count, begin, mean = self._tail_of(k)
            if count:
                beyond = own > begin
                excess = np.log(own[beyond] / begin) if self.tail == "power" else own[beyond] - begin
                p[beyond] = (count + 1) / (len(sizes) + 1) * (1 + excess / mean / count) ** -count
            found[there, k] = p
        return found

    def sizes_at(self, p: float) -> Floats:
        """Return the size of errors beyond which the p-value is less than p, (K,); infinite where none is."""
        found = np.full(len(self.sizes), np.inf)
        for k, sizes in enumerate(self.sizes):
            count, begin, mean = self._tail_of(k)
            share, rank = (count + 1) / (len(sizes) + 1), int(p * (len(sizes) + 1))
            if count and p < share:
                excess = mean * count * ((p / share) ** (-1 / count) - 1)
                found[k] = begin * np.exp(min(excess, FARTHEST)) if self.tail == "power" else begin + excess
            elif rank:
                found[k] = sizes[len(sizes) - min(rank, len(sizes))]
        return found

    def _tail_of(self, k: int) -> tuple[int, float, float]:
        """Return how many residuals the tail of a target has, where it begins, and its mean excess; 0 without one."""
        sizes = self.sizes[k]
        count = min(max(LEAST_TAIL, len(sizes) // TAIL), MOST_TAIL)
        begin, top = float(sizes[-count - 1]), sizes[-count:]
        if self.tail is None or (self.tail == "power" and begin <= 0):
            return 0, begin, 0.0
        mean = float((np.log(top / begin) if self.tail == "power" else top - begin).mean())
        return (count if mean > 0 else 0), begin, mean

    def scores(self, errors: Floats) -> Floats:
        """Return errors as standard normal numbers of the same rank among the held-out ones, (n, K)."""
        found = np.full(errors.shape, np.nan)
        for k, ordered in enumerate(self.ordered):
            there = np.flatnonzero(~np.isnan(errors[:, k]))
            ranks = sum(np.searchsorted(ordered, errors[there, k], side) for side in ("left", "right")) / 2
            found[there, k] = ndtri((ranks + 0.5) / (len(ordered) + 1))
        return found

    def greatest_sums(
        self, steps: int, lags: int, seed: int, read: Callable[[Floats], Floats] = lambda drawn: drawn
    ) -> Floats:
        """Return the greatest sums in simulated streams of so many steps, in order, (K, STREAMS).

        What is added up is `read` from the streams: themselves, unless given.

        Streams are normal, as scores are, with the autocorrelations of the held-out scores up to the last of some lags
        that is not by chance. Each has a level and a spread that differ from the usual ones by as much as those of so
        many scores may, since these are known no better. As many steps go before, so that sums do not begin at 0.
        """
        random, found = np.random.default_rng(seed), list[Floats]()
        scores = self.scores(self.calibration.errors[:, 0])
        for column in scores.T:
            own, count = autocorrelations(column, self.calibration.series, lags), int((~np.isnan(column)).sum())
            length = 2 * (2 * steps + len(own))
            row = np.zeros(length)
            row[: len(own)] = own * np.clip(2 - 2 * np.arange(len(own)) / len(own), 0, 1)  # flat, then to 0
            row[-np.arange(1, len(own))] = row[1 : len(own)]
            spectrum = np.maximum(np.fft.rfft(row).real, 0)
            shape = np.sqrt(spectrum / max(spectrum.mean(), 1e-12))
            level = np.sqrt(spectrum[0] / count)
            spread = np.sqrt(((row**2).sum() + len(own) - 1) / (2 * count))  # of variance, and of its memory
            for size in [DRAWN] * (STREAMS // DRAWN):
                noise = np.fft.rfft(random.standard_normal((size, length)), axis=1)
                drawn = np.fft.irfft(shape * noise, length, axis=1)[:, : 2 * steps]
                factors, moves = random.standard_normal((2, size, 1))
                found.append(_greatest(read(drawn * np.exp(spread * factors) + level * moves), steps))
        return np.sort(np.reshape(found, (scores.shape[1], STREAMS)), axis=1)


def _greatest(scores: Floats, steps: int) -> Floats:
    """Return the greatest sum in the last steps of each stream, (S, 2 steps)."""
    sums, greatest = np.zeros((2, len(scores))), np.zeros(len(scores))
    for at, column in enumerate(scores.T):
        sums = added(sums, column)
        if at >= steps:
            greatest = np.maximum(greatest, sums.max(axis=0))
    return greatest


def autocorrelations(scores: Floats, series: Positions, lags: int) -> Floats:
    """Return the autocorrelations of scores in runs, (m,), from lag 0 to twice the last that is not by chance.

    One is by chance below two standard errors or so [Politis 2003, doi 10.1081/ETC-120028836]. NaN is left out.
    """
    there = ~np.isnan(scores)
    numbers = np.where(there, scores - np.nanmean(scores), 0.0)
    most = min(lags, int(np.bincount(series).max()) // 3)
    found = np.ones(2 * most + 1)
    for lag in range(1, 2 * most + 1):
        both = (series[lag:] == series[:-lag]) & there[lag:] & there[:-lag]
        found[lag] = (numbers[lag:] * numbers[:-lag])[both].mean() if both.any() else 0.0
    found[1:] /= max((numbers[there] ** 2).mean(), 1e-12)
    seen = int(there.sum())
    real = np.flatnonzero(np.abs(found[: most + 1]) > 2 * np.sqrt(np.log10(seen) / seen))
    found = found[: 2 * int(real.max(initial=0)) + 1]
    found[1:] += (1 + 2 * found[1:].sum()) / seen  # what the removed mean takes from each
    return np.minimum(found, 1.0)


def added(sums: Floats, scores: Floats) -> Floats:
    """Return sums of scores up and down, (2, ...), after the next score: none falls below 0 [Page 1954]."""
    return np.maximum(sums + np.stack([scores, -scores]) - SLACK, 0.0)


@dataclass(frozen=True, eq=False)
class SumTail:
    """Probability of sums in a stretch of steps, of each of M series and targets: from simulations, with a tail."""

    greatest: Floats  # of simulated streams, in order, (M, STREAMS)

    @cached_property
    def _tail(self) -> tuple[Floats, Floats]:
        """Where the tail begins, and its mean; that of a sum of scores is exponential [Siegmund 1985], (M,) each."""
        top = self.greatest[:, -int(SHOWN * self.greatest.shape[1]) :]
        return top[:, 0], np.maximum((top - top[:, :1]).mean(axis=1), 1e-9)

    def limits(self, share: float) -> Floats:
        """Return the sums that a share of the stretches reach, (M,)."""
        begin, mean = self._tail
        if share >= SHOWN:
            return np.asarray(np.quantile(self.greatest, 1 - min(share, 1.0), axis=1))
        return np.asarray(begin + mean * np.log(SHOWN / share))

    def p_value(self, which: int, total: float) -> float:
        """Return the share of stretches that reach a sum."""
        begin, mean = (float(part[which]) for part in self._tail)
        if total >= begin:
            return SHOWN * float(np.exp((begin - total) / mean))
        own = self.greatest[which]
        return float(1 - np.searchsorted(own, total) / len(own))


def discovered(p: Floats, level: float, tests: int) -> Flags:
    """Return which p-values, (n,), are discoveries of so many tests at a false discovery rate.

    [Benjamini and Hochberg 1995]; tests whose p-value is not given count as tests without a discovery.
    """
    small = np.sort(p[p <= level])  # no other can be one, and NaN is none
    fine = np.flatnonzero(small <= level * np.arange(1, len(small) + 1) / tests)
    return np.asarray(p <= small[fine[-1]]) if len(fine) else np.zeros(p.shape, dtype=np.bool_)
