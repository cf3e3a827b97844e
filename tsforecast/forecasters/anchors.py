"""Anchors: the naive forecasts that forecasters correct, chosen or blended on the training part.

An anchor copies what lay some steps back, or the mean of several such steps (`anchor_lags`), or is the weighted mean of
several naive forecasts (`Blend`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import compress, pairwise
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tsforecast.checks import whole
from tsforecast.data.panel import Panel
from tsforecast.data.preprocessing import once
from tsforecast.data.scaling import ScalingRecipe

Floats = NDArray[np.float64]
AnchorName = Literal["last", "seasonal", "average", "none"]
ANCHORS = get_args(AnchorName)
BLEND = "blend"  # anchor of which `Blend` has the weights
Anchor = str | Sequence[int]  # a name, or the lengths of the seasons whose naive forecasts are averaged
DAYS = (24, 48, 72, 96, 144, 288)  # seasons that are taken for a day; seven of them are a week
COUNT, NUMBERS = 8_000, 2**22  # windows that a blend is learned from, and numbers in all of them
GROUP, STEPS = 0.4, 4  # steps of a group that share weights, as a share of those before it; and those that stand for it
MOST = 1_000  # series, of which each may have weights of its own
BLOCKS, OWN_BLOCKS = 8, 2  # of time, each left out in turn: for weights of all series, and of each
SIMPLE, CLEAR = 1.0, 2.5  # standard errors of a gain: by another candidate than the first, and by weights
GAIN = 0.002  # of the error, which is the least gain
TAIL, FAR = (
    0.05,
    3.0,
)  # share of the lowest and highest numbers; widths of the range between, beyond which one is cut off
FLOOR = 0.5  # median errors, below which errors count by their square, above by their size
POOLED, OWN = 30.0, 1.0  # strength of the shrinkage toward one candidate, and from a series toward all
ROUNDS = 50  # steps to the best weights
SMALL = 0.01  # weight below which a candidate is left out


def anchor_lags(anchor: Anchor, horizon: int, season_length: int) -> NDArray[np.int64]:
    """Return how many steps back from the first forecast step each forecast step looks, shape (H, A).

    An anchor is the last value, the last season, the average of the last season's values, or the mean of the seasonal
    naive forecasts of several season lengths, such as ``(24, 168)``.

    Examples
    --------
    >>> anchor_lags("last", 3, 2).ravel().tolist()
    [1, 1, 1]
    >>> anchor_lags("seasonal", 5, 3).ravel().tolist()
    [3, 2, 1, 3, 2]
    >>> anchor_lags([2, 3], 3, 1).tolist()
    [[2, 3], [1, 2], [2, 1]]
    """
    if anchor == "last":
        return np.ones((horizon, 1), dtype=np.int64)
    if anchor == "average":
        return np.tile(np.arange(1, season_length + 1), (horizon, 1))
    seasons = np.array([season_length] if isinstance(anchor, str) else anchor, dtype=np.int64)
    return np.asarray(seasons - np.arange(horizon)[:, None] % seasons)


def anchor_forecast(
    past: NDArray[Any], lags: NDArray[np.int64], known: NDArray[np.int64] | None = None
) -> NDArray[Any]:
    """Return naive forecasts (B, H, C) of windows (B, W, C): means over the A steps of each row of `lags` (H, A).

    Where only the last steps of a window are `known`, (B,), the means are over those of their steps that exist, and
    over all known ones where none does. `ForecastNetwork` has the same definition.
    """
    window = past.shape[1]
    if known is None or lags.max() == 1:
        if lags.shape[1] == 1:
            return past[:, window - lags[:, 0]]  # (B, H, C), the copied numbers to the bit
        return np.asarray(past[:, window - lags].mean(2))  # (B, H, A, C) -> (B, H, C)
    exist = (lags <= known[:, None, None])[..., None]  # (B, H, A, 1)
    total, count = np.where(exist, past[:, window - lags], 0.0).sum(2), exist.sum(2)  # (B, H, C), (B, H, 1)
    there = (np.arange(window) >= window - known[:, None])[..., None]  # (B, W, 1)
    mean = np.where(there, past, 0.0).sum(1, keepdims=True) / known[:, None, None]  # (B, 1, C)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), mean))


Kind = Literal["last", "level", "drift", "average", "season", "profile", "profile at mean", "profile at last", "growth"]
Candidate = tuple[str, int]  # a kind, and the length of its season; 0 for those without
SEASONAL: tuple[Kind, ...] = ("average", "season", "profile", "profile at mean", "profile at last", "growth")


@dataclass(frozen=True, eq=False)
class Blend:
    """Weighted mean of naive forecasts: weights by step of the horizon, of all series and perhaps of each one.

    Candidates are the last value, the mean of the window (level), the line from its first to its last value (drift),
    and for a season: the mean of the last one, a copy of it, the mean profile of all in the window, that profile moved
    to the mean of the last season or to the last value, and the last season plus the growth between the last two.
    Weights add up to 1: where a series is moved or stretched, so is its forecast. Of windows that begin before their
    series the known steps alone are used; where a step that is copied is unknown, the mean of the last season is taken.
    """

    horizon: int
    candidates: tuple[Candidate, ...]  # (J,)
    ids: NDArray[Any]  # of series that have weights of their own, (N,)
    starts: NDArray[np.int64]  # first step of each group of steps that share weights, (G,)
    weights: Floats  # of series that were not fitted, and perhaps of each one that was, (1 + N, K, G, J)

    def rows(self, ids: NDArray[Any]) -> Floats:
        """Return the weights of series by their ids, (n, K * G * J)."""
        if not len(self.ids):
            return np.repeat(self.weights.reshape(1, -1), len(ids), axis=0)
        known = {name: place for place, name in enumerate(self.ids.tolist(), start=1)}
        places = np.array([known.get(name, 0) for name in ids.tolist()], dtype=np.int64)
        return self.weights[places].reshape(len(ids), -1)

    def single(self, season: int) -> str | list[int]:
        """Return the anchor that copies the same, where all weight is on one candidate that has a name; else ''."""
        if len(self.candidates) > 1:
            return ""
        kind, length = self.candidates[0]
        if kind == "season" and length != season:
            return [length]
        return {"last": "last", "season": "seasonal", "average": "average"}.get(kind, "")

    def checked(self, window: int, targets: int) -> Blend:
        """Return this blend, which was saved, or raise ValueError where it does not fit windows and targets."""
        for kind, season in self.candidates:
            least = 0 if kind in get_args(Kind)[:3] else 1 + (kind not in ("average", "season"))
            if kind not in get_args(Kind) or whole("season", season, 0) or not least * max(season, least) <= window:
                raise ValueError(f"a candidate must fit in the window of {window} steps: got {kind!r}, {season!r}")
        shape = (1 + len(self.ids), targets, len(self.starts), len(self.candidates))
        if self.weights.shape != shape or not np.allclose(self.weights.sum(axis=-1), 1.0):
            raise ValueError(f"weights of a blend must have shape {shape} and sum to 1: got {self.weights.shape}")
        if self.starts.tolist() != sorted(set(self.starts.tolist())) or self.starts[0] != 0:
            raise ValueError(f"groups of steps must begin at step 0 and follow each other: got {self.starts.tolist()}")
        return self

    def forecast(self, past: Any, rows: Any, there: Any = None) -> Any:
        """Return forecasts (B, H, K) of windows (B, W, K), given weights of `rows` (B, K * G * J), in numpy or torch.

        A single row of weights is that of all windows. Of windows that begin before their series the steps that are
        `there`, (B, W, 1), are known.
        """
        steps = list(range(self.horizon))
        weights = rows.reshape(rows.shape[0], past.shape[2], len(self.starts), -1)  # (B, K, G, J)
        weights = _at(weights, self._groups(steps), 2)  # (B, K, H, J)
        total: Any = 0.0
        for j, naive in enumerate(naive_forecasts(self.candidates, past, steps, there)):
            total = total + weights[..., j].swapaxes(1, 2) * naive
        return total

    def _groups(self, steps: Sequence[int]) -> list[int]:
        """Return the group that each step belongs to."""
        return [int(np.searchsorted(self.starts, step, side="right")) - 1 for step in steps]

    @property
    def shares(self) -> dict[str, float]:
        """Mean weight of each candidate, over steps and series, the largest first."""
        own = self.weights[min(len(self.weights) - 1, 1) :]  # (R, K, G, J)
        means = own[:, :, self._groups(range(self.horizon))].mean(axis=(0, 1, 2))
        named = {
            f"{kind} {season}" if season else kind: round(float(mean), 3)
            for (kind, season), mean in zip(self.candidates, means, strict=True)
        }
        return dict(sorted(named.items(), key=lambda share: -share[1]))


def naive_forecasts(
    candidates: Sequence[Candidate], past: Any, steps: Sequence[int], there: Any = None
) -> Iterator[Any]:
    """Yield the forecasts of each candidate, (B, 1 or s, K), for `steps` (s,) from 0 on; see `Blend.forecast`."""
    window, there = past.shape[1], None if there is None else there * 1.0
    last = past[:, window - 1 :]  # (B, 1, K)

    def rows(begin: int, end: int = 0) -> tuple[Any, Any]:
        """Return the rows from so many steps back up to others, and which of them are there."""
        chosen = slice(window - begin, window - end)
        return past[:, chosen], None if there is None else there[:, chosen]

    @cache
    def average_of(season: int) -> Any:
        """Return the mean of the last season, (B, 1, K)."""
        return _mean(*rows(season))

    @cache
    def profile_of(season: int) -> Any:
        """Return the mean of all seasons in the window, step by step, (B, m, K)."""
        count = window // season
        whole, seen = rows(count * season)
        cycles = whole.reshape(past.shape[0], count, season, past.shape[2])
        known = None if seen is None else seen.reshape(past.shape[0], count, season, 1)
        return _mean(cycles, known, average_of(season)[:, None])[:, 0]

    for kind, season in candidates:
        if kind == "last":
            yield last
        elif kind == "level":
            yield _mean(past, there)
        elif kind == "drift":
            slope = (last - past[:, :1]) / max(window - 1, 1)
            slope = slope if there is None else slope * there[:, :1]
            yield last + slope * _column(past, [step + 1 for step in steps])
        else:
            (recent, seen), phases = rows(season), [step % season for step in steps]
            average = average_of(season)
            if kind == "average":
                yield average
            elif kind in ("season", "growth"):
                known = recent if seen is None else recent * seen + average * (1 - seen)
                copied = _at(known, phases)  # (B, s, K)
                if kind == "season":
                    yield copied
                else:
                    growth = average - _mean(*rows(2 * season, season), otherwise=average)
                    yield copied + growth * _column(past, [1 + step // season for step in steps])
            else:
                profile = profile_of(season)
                if kind == "profile":
                    yield _at(profile, phases)
                elif kind == "profile at mean":
                    yield _at(profile, phases) + (average - _mean(*rows(window // season * season)))
                else:
                    yield _at(profile, phases) + (last - profile[:, season - 1 :])


def _mean(rows: Any, there: Any, otherwise: Any = 0.0) -> Any:
    """Return means over the second axis, which stays, of rows that are `there`; `otherwise` where there is none."""
    if there is None:
        return rows.mean(1)[:, None]
    count = there.sum(1)[:, None]
    return (rows * there).sum(1)[:, None] / count.clip(1) + (count == 0) * otherwise


def _column(past: Any, numbers: Sequence[int]) -> Any:
    """Return numbers as a column, (s, 1), of the library and kind of `past`."""
    if isinstance(past, np.ndarray):
        return np.array(numbers, dtype=np.float64)[:, None]
    from tsforecast.data.windows import constant  # loads torch

    return constant(tuple(numbers), past.device, past.dtype)[:, None]


def _at(rows: Any, places: Sequence[int], axis: int = 1) -> Any:
    """Return the parts of rows at places along an axis, in numpy or torch."""
    if isinstance(rows, np.ndarray):
        return rows.take(places, axis)
    from tsforecast.data.windows import constant  # loads torch

    return rows.index_select(axis, constant(tuple(places), rows.device))


def blend(past: Panel, horizon: int, resolved: Mapping[str, Any], least: int) -> Blend:
    """Return the blend whose weights are learned on a training part, from windows of `least` known steps or more.

    Weights are at least zero, and those with the smallest absolute error (below the median, squared) less a shrinkage
    toward the best single candidate; those of a series are shrunk toward those of all. They are taken where blocks of
    time that were left out show a gain of two standard errors, each series' own where that is a further gain;
    otherwise the single candidate stays, and the first one unless another is better by a standard error. Window and
    value transform are those of a forecaster's `resolved` settings.

    The blends of the latest parts are kept: an audit asks for that of a fit again, of a copy that is equal to the bit.
    """
    own = [resolved[name] for name in ("window", "value_transform", "per_series")]
    key = repr((past.fingerprint(), past.seasons, horizon, least, own))
    return once(_latest, key, lambda: _blend(past, horizon, resolved, least))


_latest: dict[str, Blend] = {}


def _blend(past: Panel, horizon: int, resolved: Mapping[str, Any], least: int) -> Blend:
    """Return the blend of a training part; see `blend`."""
    window = resolved["window"]
    candidates = _candidates(past.seasons, window)
    starts = _starts(horizon)
    cases = _Cases.of(past, candidates, starts, window, least, horizon, resolved["value_transform"])
    pooled, own = cases.learned(resolved["per_series"] and len(cases.spans) == len(past) * past.n_targets)
    weights = np.repeat(pooled[None, None], past.n_targets, axis=1)  # (1, K, G, J)
    if own is not None:
        weights = np.concatenate([weights, own.reshape(len(past), past.n_targets, *own.shape[1:])])
    kept = weights.max(axis=(0, 1, 2)) >= SMALL
    weights = weights[..., kept] / weights[..., kept].sum(axis=-1, keepdims=True)
    ids = past.ids[: len(weights) - 1]
    return Blend(horizon, tuple(compress(candidates, kept)), ids, starts, weights)


def _candidates(seasons: Sequence[int], window: int) -> list[Candidate]:
    """Return the candidates of a blend that fit in a window, the simplest first; longer seasons are copied alone."""
    season, *others = seasons
    found: list[Candidate] = [("last", 0), ("level", 0), ("drift", 0)]
    if 1 < season <= window:
        found += [(kind, season) for kind in SEASONAL if kind in ("average", "season") or 2 * season <= window]
    if season in DAYS and 7 * season not in others:
        others = [7 * season, *others]
    return found + [("season", count * longer) for longer in others for count in (1, 2) if count * longer <= window]


def _starts(horizon: int) -> NDArray[np.int64]:
    """Return the first step of each group of steps that share weights: the further ahead, the more."""
    starts = [0]
    while (following := starts[-1] + math.ceil(GROUP * (starts[-1] + 1))) < horizon:
        starts.append(following)
    return np.array(starts)


@dataclass(frozen=True, eq=False)
class _Cases:
    """Naive forecasts at cutoffs of the training part, and the truth, less the first candidate, in scaled units."""

    naive: Floats  # (n, S, J)
    truth: Floats  # (n, S); zero where it is missing
    present: NDArray[np.bool_]  # whether it is not
    series: NDArray[np.int64]  # and target, of each case, (n,)
    block: NDArray[np.int64]  # of time, (n,)
    group: NDArray[np.int64]  # of each step, (S,)
    spans: Floats  # horizons between the first and last cutoff of each series and target, (N,)

    @classmethod
    def of(
        cls,
        past: Panel,
        candidates: Sequence[Candidate],
        starts: NDArray[np.int64],
        window: int,
        least: int,
        horizon: int,
        transform: str | None,
    ) -> _Cases:
        """Return the cases of at most so many cutoffs, evenly taken, of all series or of a sample of them."""
        count = min(len(past), max(MOST // past.n_targets, 1))
        sample = past.select(np.linspace(0, len(past) - 1, count).astype(int)) if count < len(past) else past
        ends = np.append(starts[1:], horizon) - 1
        parts = [np.unique(np.linspace(*bounds, STEPS).astype(int)) for bounds in zip(starts, ends, strict=True)]
        steps = np.concatenate(parts)
        scaling = ScalingRecipe(transform).fit(sample.values, sample.offsets, sample.n_targets)
        each = math.ceil(min(COUNT, NUMBERS // window) / (len(sample) * sample.n_targets))
        naive, truth, series, block = [], [], [], []
        spans = list[float]()
        for i, (begin, end) in enumerate(pairwise(sample.offsets)):
            rows = scaling.transform(sample.filled[begin:end, : sample.n_targets], i)
            rows = _without_outliers(np.where(np.isnan(rows), 0.0, rows))
            missing = np.isnan(sample.values[begin:end, : sample.n_targets])
            first = max(least, min(window, (len(rows) - horizon) // 2), 1)
            cutoffs = np.arange(first, len(rows) - horizon + 1)
            cutoffs = cutoffs[np.unique(np.linspace(0, len(cutoffs) - 1, min(each, len(cutoffs))).astype(int))]
            place = cutoffs[:, None] - np.arange(window, 0, -1)  # (c, W)
            there = None if first >= window else (place >= 0)[..., None]
            later = cutoffs[:, None] + steps  # (c, S)
            for k in range(sample.n_targets):
                seen = rows[np.maximum(place, 0), k][..., None]  # (c, W, 1)
                made = naive_forecasts(candidates, seen, steps.tolist(), there)
                found = np.concatenate([np.broadcast_to(part, (*later.shape, 1)) for part in made], axis=2)
                naive.append(found - found[..., :1])  # (c, S, J)
                truth.append(np.where(missing[later, k], np.nan, rows[later, k] - found[..., 0]))
                series.append(np.full(len(cutoffs), len(spans)))
                # Few cutoffs are no blocks of time: series take their place.
                first = 0 if len(cutoffs) > 1 else len(spans) % BLOCKS
                block.append(first + np.arange(len(cutoffs)) * BLOCKS // max(len(cutoffs), 1))
                spans.append(1 + np.ptp(cutoffs) / horizon if len(cutoffs) else 1.0)
        errors = np.concatenate(truth)
        return cls(
            np.concatenate(naive),
            np.nan_to_num(errors),
            ~np.isnan(errors),
            np.concatenate(series),
            np.concatenate(block),
            np.repeat(np.arange(len(parts)), [len(part) for part in parts]),
            np.array(spans),
        )

    def learned(self, each: bool) -> tuple[Floats, Floats | None]:
        """Return the weights of all series, (G, J), and if asked for of each one, (N, G, J), where that is a gain."""
        candidates, count = self.naive.shape[2], len(self.spans)
        errors_of = np.stack([self._errors(one) for one in np.eye(candidates)], axis=-1)  # (n, S, J)
        mean = errors_of.sum(axis=(0, 1)) / max(self.present.sum(), 1)  # (J,)
        best = int(mean.argmin())
        if not self._clear(errors_of[..., 0] - errors_of[..., best], SIMPLE, mean[best]):
            best = 0
        single = pooled = np.tile(np.eye(candidates)[best], (self.group[-1] + 1, 1))  # (G, J)
        errors = errors_of[..., best]
        # Errors a horizon apart count as independent, and those of several series at one time as partly so.
        strength = np.array([POOLED / (self.spans.max() * math.sqrt(count))])
        found = single[None]
        for _ in range(2):  # errors that count by their size are those of the weights before
            found, held = self._shrunk(single, found[0], strength, np.zeros_like(self.series), BLOCKS)
        if self._clear(errors - held, CLEAR, mean[best]):
            pooled, errors = found[0], held
        if not (each and count > 1):
            return pooled, None
        found, held = self._shrunk(pooled, pooled, OWN / self.spans, self.series, OWN_BLOCKS)
        return pooled, found if self._clear(errors - held, CLEAR, mean[best]) else None

    def _errors(self, weights: Floats) -> Floats:
        """Return absolute errors with weights (n, S, J), or those of all cases or steps, (n, S)."""
        found = np.einsum("nsj,nsj->ns", self.naive, np.broadcast_to(weights, self.naive.shape))
        return np.asarray(np.abs(self.truth - found) * self.present)

    def _clear(self, gain: Floats, deviations: float, error: float) -> bool:
        """Return whether a gain (n, S) is, in the mean over blocks of time, so many standard errors above zero."""
        count = np.bincount(self.block, self.present.sum(axis=1), minlength=BLOCKS)
        gains = np.bincount(self.block, gain.sum(axis=1), minlength=BLOCKS)[count > 0] / count[count > 0]
        if len(gains) < 2:
            return False
        return bool(gains.mean() > max(deviations * gains.std(ddof=1) / math.sqrt(len(gains)), GAIN * error))

    def _shrunk(
        self, prior: Floats, around: Floats, strength: Floats, owner: NDArray[np.int64], blocks: int
    ) -> tuple[Floats, Floats]:
        """Return weights of owners, (M, G, J), shrunk toward a prior, and errors with those learned from other blocks.

        Errors that count by their size are those with the weights `around`; `strength` is (M,), `owner` (n,).
        """
        count, block = len(strength), self.block * blocks // BLOCKS
        parts = [
            part.reshape(count, blocks, *part.shape[1:])
            for part in self._moments(around, owner * blocks + block, count * blocks)
        ]
        wholes = [part.sum(axis=1, keepdims=True) for part in parts]
        # Without each block in turn, and of all blocks: each is found on its own, but all of them at once.
        both = [np.concatenate([whole - part, whole], axis=1) for whole, part in zip(wholes, parts, strict=True)]
        rows = (part.reshape(-1, *part.shape[2:]) for part in both)
        weights = _best_weights(*rows, strength=np.repeat(strength, blocks + 1), prior=prior)
        weights = weights.reshape(count, blocks + 1, *prior.shape)
        return weights[:, -1], self._errors(weights[owner, block][:, self.group])

    def _moments(self, around: Floats, key: NDArray[np.int64], count: int) -> tuple[Floats, Floats, Floats]:
        """Return weighted sums of products, (M, G, J, J), (M, G, J) and (M, G), over the cases of each of M keys."""
        errors = self._errors(around[self.group])
        floor = FLOOR * float(np.median(errors[self.present])) if self.present.any() else 1.0
        scale = self.present / np.maximum(errors, floor or 1.0)
        order = np.argsort(key, kind="stable")
        there, begins = np.unique(key[order], return_index=True)
        candidates, groups = self.naive.shape[2], self.group[-1] + 1
        squares, products = np.zeros((count, groups, candidates, candidates)), np.zeros((count, groups, candidates))
        sizes = np.zeros((count, groups))
        for g in range(groups):
            chosen = np.ix_(order, self.group == g)
            naive, truth, weight = self.naive[chosen], self.truth[chosen], scale[chosen]
            weighted = (naive * weight[..., None]).swapaxes(1, 2)  # (n, J, s)
            squares[there, g] = np.add.reduceat(weighted @ naive, begins)
            products[there, g] = np.add.reduceat((weighted @ truth[..., None])[..., 0], begins)
            sizes[there, g] = np.add.reduceat((weight * errors[chosen] ** 2).sum(axis=1), begins)
        return squares, products, sizes


def _without_outliers(rows: Floats) -> Floats:
    """Return columns (T, K), cut off where they lie far outside the range of most numbers, and scaled."""
    if not len(rows):
        return rows
    low, high = np.quantile(rows, (TAIL, 1 - TAIL), axis=0)
    room = np.where(high > low, FAR * (high - low), np.inf)
    rows = np.clip(rows, low - room, high + room)
    spread = rows.std(axis=0)
    return np.asarray(rows / np.where(spread > 0, spread, 1.0))


def _best_weights(squares: Floats, products: Floats, sizes: Floats, *, strength: Floats, prior: Floats) -> Floats:
    """Return weights (M, G, J) of least squares, zero or above with the sum 1, shrunk toward a prior (G, J).

    By steps between two weights at a time, of the pair that gains most [cf. Platt 1998, sequential minimal
    optimization], on moments as of `_Cases`; `strength` is (M,).
    """
    penalty = (strength[:, None] * sizes)[..., None]  # (M, G, 1)
    shape, candidates = products.shape, products.shape[-1]
    matrix = (squares + penalty[..., None] * np.eye(candidates)).reshape(-1, candidates, candidates)  # (M * G, J, J)
    weights = np.broadcast_to(prior, shape).reshape(-1, candidates).copy()  # (M * G, J)
    slope = (matrix @ weights[..., None])[..., 0] - (products + penalty * prior).reshape(-1, candidates)
    diagonal = np.diagonal(matrix, axis1=1, axis2=2)
    every = np.arange(len(weights))
    for _ in range(ROUNDS):
        up = slope.argmin(axis=1)
        drop = slope - slope[every, up, None]  # (M * G, J)
        bend = diagonal + diagonal[every, up, None] - 2 * matrix[every, up]
        step = np.divide(drop, bend, out=weights.copy(), where=drop < weights * bend)  # all of it where that is less
        down = (step * (drop - step * bend / 2)).argmax(axis=1)
        moved = step[every, down]
        weights[every, up] += moved
        weights[every, down] -= moved
        slope += moved[:, None] * (matrix[every, up] - matrix[every, down])
    return weights.reshape(shape)


def observed_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of each column, shape (K,), without NaN; NaN where there is no number."""
    observed = ~np.isnan(values)
    count = observed.sum(axis=0)
    return np.where(count > 0, np.where(observed, values, 0.0).sum(axis=0) / np.maximum(count, 1), np.nan)
