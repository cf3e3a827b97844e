"""Plans: the gains that a test could show, and the cutoffs that it needs, from naive forecasts of the history alone."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsforecast.checks import jobs, one_of, whole
from tsforecast.data.panel import Panel
from tsforecast.data.protocol import Protocol, option_problems
from tsforecast.data.splits import Align
from tsforecast.errors import DataError, ParameterError, counted, raise_any
from tsforecast.estimators.registry import NAIVE_FAMILY, make
from tsforecast.evaluation.backtest import Backtest, joined
from tsforecast.evaluation.duration import Duration, duration_of
from tsforecast.evaluation.entries import MAX_ROWS, Models, named
from tsforecast.evaluation.leaderboard import needs_distributions, panel_and_protocol
from tsforecast.evaluation.metrics import DISTRIBUTION_METRICS, RANKING
from tsforecast.evaluation.significance import (
    LEVEL,
    POWER,
    Floats,
    in_time,
    independent,
    least_shown,
    neighbours_averaged,
)
from tsforecast.evaluation.verdict import MIN_UNITS, Units, units
from tsforecast.forecasters.base import Forecaster
from tsforecast.forecasters.meta.ensemble import EnsembleForecaster

SKILLS = (0.05, 0.1, 0.2)  # of a table
COUNTS = (5, 10, 20, 40, 80, 160, 320, 640)  # that are tried
MOST_CUTOFFS = 400  # of the history, as far apart as those of the test
MOST_ROWS = 30_000  # of a naive forecast, from cutoffs between those
COMPARABLE = 1.1  # times the error of the reference that an average may have
DRAWS = 1000  # simulated tests for each count
PARTS = 5  # of the history: how much they differ is what it leaves open


@dataclass(frozen=True, eq=False)
class Plan:
    """Gains that a test of one model could show; see `plan`."""

    protocol: Protocol  # of the test, with its cutoffs
    metric: str
    reference: str  # the naive forecast with the lowest error in the history
    other: str  # the naive forecast whose average with it is the imagined model
    history: Units  # losses of both in the history
    count: int  # units of the test
    stride: int = 1  # cutoffs of the history from one of a test to the next
    random_state: int = 0
    duration: Duration | None = None  # that the models are predicted to take, where they were given
    _drawn: dict[int, Floats] = field(default_factory=dict)

    def gains(self, count: int) -> Floats:
        """Return for each simulated test with so many units the least skill that it would show, sorted, (B,)."""
        if count not in self._drawn:
            self._drawn[count] = np.sort(self._simulated(count))
        return self._drawn[count]

    def power(self, skill: float, count: int | None = None) -> float:
        """Return how often a model with so much skill is found better, of 1, unless in the test as planned."""
        _refuse_percent(skill)
        return float(np.mean(self.gains(self.count if count is None else count) < skill))

    def detectable(self, count: int | None = None) -> float:
        """Return the skill that four of five tests would show; infinite where they show none."""
        return float(np.quantile(self.gains(self.count if count is None else count), POWER, method="higher"))

    def power_range(self, skill: float, count: int | None = None) -> tuple[float, float]:
        """Return the 95 % interval of `power`, of a history that is one of many that could have been."""
        return self.power(_times(skill, 1 / self.uncertainty), count), self.power(
            _times(skill, self.uncertainty), count
        )

    def detectable_range(self, count: int | None = None) -> tuple[float, float]:
        """Return the 95 % interval of `detectable`."""
        least = self.detectable(count)
        return _times(least, 1 / self.uncertainty), _times(least, self.uncertainty)

    @cached_property
    def uncertainty(self) -> float:
        """Factor by which gains in logarithms that can be shown may be larger, or smaller, than the history has it.

        Those gains are in proportion to the deviation of means of blocks. That of the whole history is compared with
        those without one of its parts (a jackknife), which differ by heavy tails, memory, and volatility that changes.
        """
        from scipy.special import stdtrit

        moves = self._moves
        squares = np.mean(moves[self._from(np.arange(len(moves)))], axis=-1) ** 2
        sums = np.array([part.sum() for part in np.array_split(squares, PARTS)])
        if not (sums.sum() > sums).all():  # all that moves lies in one part
            return math.inf
        logs = np.log(sums.sum() - sums) / 2
        error = math.sqrt((PARTS - 1) * float(np.var(logs)))
        return math.exp(float(stdtrit(PARTS - 1, (1 + LEVEL) / 2)) * error)

    def needed(self, skill: float) -> int | None:
        """Return the units that show so much skill in four of five tests; None above `COUNTS`."""
        _refuse_percent(skill)
        below = 0
        for count in COUNTS:
            if self.detectable(count) < skill:
                break
            below = count
        else:
            return None
        ends = self.detectable(below) if below else math.inf, self.detectable(count)
        if not (math.isfinite(ends[0]) and ends[1] > 0):
            return count
        share = math.log(ends[0] / skill) / math.log(ends[0] / ends[1])  # along a line of logarithms
        return math.ceil(float(below * (count / below) ** share))

    def needed_range(self, skill: float) -> tuple[int | None, int | None]:
        """Return the 95 % interval of `needed`."""
        return self.needed(_times(skill, self.uncertainty)), self.needed(_times(skill, 1 / self.uncertainty))

    @property
    def table(self) -> pd.DataFrame:
        """Power of the test as planned, and units needed for 80 %, with intervals, for gains of 5, 10 and 20 %."""
        rows = [
            (skill, self.power(skill), *self.power_range(skill), self.needed(skill), *self.needed_range(skill))
            for skill in SKILLS
        ]
        columns = ["skill", "power", "low", "high", "needed", "fewest", "most"]
        return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(columns[4:], "Int64"))

    @property
    def shown(self) -> list[tuple[str, str]]:
        """Power and units needed in the lines of the table, in words."""
        power = ["{:.0%} ({:.0%} to {:.0%})".format(self.power(skill), *self.power_range(skill)) for skill in SKILLS]
        counts = ((self.needed(skill), *self.needed_range(skill)) for skill in SKILLS)
        needed = ["{} ({} to {})".format(*(each or f"more than {COUNTS[-1]}" for each in three)) for three in counts]
        return list(zip(power, needed, strict=True))

    @property
    def sentences(self) -> list[str]:
        """Findings, and the assumption behind them."""
        history, least = self.history, self.detectable()
        today = Units({}, history.kind, np.ones(self.count, dtype=np.int64), self.overlap, history.population)
        apart = ""
        if history.kind == "cutoffs" and self.count > 1:
            apart = f", {counted(self.protocol.step or self.protocol.horizon, 'step')} apart,"
        gain = f"show gains above {least:.0%} of {self.reference}'s {self.metric.upper()} in four of five tests"
        low, high = self.detectable_range()
        gain += f" ({low:.0%} to {high:.0%}, as far as the parts of the history differ)"
        if today.problem or least >= 1:
            gain = f"show no gain: {today.problem or 'the losses differ too much'}"
        between = f", {self.stride} for each step of the test" if self.stride > 1 else ""
        return [
            f"Today {today.counted}{apart} would {gain}",
            f"A model's losses are taken to differ from those of {self.reference} as those of its average with "
            f"{self.other} do, on {history.counted} of the history{between}. One that differs more needs more, and "
            "so does each of several models",
            *([self.duration.sentence] if self.duration else []),
        ]

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds that each model is predicted to take in a leaderboard, and its "total"; nothing without models."""
        return {**self.duration.seconds, "total": self.duration.total()} if self.duration else {}

    def __str__(self) -> str:
        lines = zip(self.table["skill"], self.shown, strict=True)
        rows = [f"{skill:.0%}: power {power}, {needed} needed" for skill, (power, needed) in lines]
        return "\n".join([*rows, *self.sentences])

    @property
    def overlap(self) -> int:
        """Neighbouring cutoffs of a test whose steps up to the last target overlap."""
        return -(-self.history.overlap // self.stride)

    @property
    def separate(self) -> int:
        """Cutoffs of the history that are as far apart as those of a test, or its other units."""
        return -(-self.history.count // self.stride)

    @property
    def _losses(self) -> tuple[Floats, Floats]:
        """Losses of imagined model and reference, both of mean 1, (n,)."""
        own, other = (
            self.history.losses[name] / np.mean(self.history.losses[name]) for name in (self.other, self.reference)
        )
        return own, other

    @property
    def _moves(self) -> Floats:
        own, other = self._losses
        return np.asarray(own - other)

    @cached_property
    def _length(self) -> int:
        """Length of blocks of units."""
        return _block(self._moves, self.stride, self.overlap) if self.history.kind == "cutoffs" else 1

    def _from(self, starts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the units of the blocks that begin at some, as far apart as those of a test, (..., b)."""
        return np.asarray((starts[..., None] + self.stride * np.arange(self._length)) % self.history.count)

    def _simulated(self, count: int) -> Floats:
        """Draw pairs of losses from the history: cutoffs in blocks, so that their dependence stays."""
        random, in_order = np.random.default_rng([self.random_state, count]), self.history.kind == "cutoffs"
        if count < MIN_UNITS or (in_order and self.overlap >= count):
            return np.full(DRAWS, math.inf)
        own, other = self._losses
        starts = random.integers(self.history.count, size=(DRAWS, -(-count // self._length)))
        drawn = self._from(starts).reshape(DRAWS, -1)[:, :count]
        pairs, weighing = (own[drawn], other[drawn]), independent(np.ones(count))
        if in_order:
            (mine, overlap), (its, _) = (neighbours_averaged(each, self.overlap) for each in pairs)
            pairs, weighing = (mine, its), in_time(mine.shape[1], overlap)
        parts = zip(*(np.array_split(each, PARTS) for each in pairs), strict=True)  # of which each fits in memory
        return np.concatenate([least_shown(mine, its, weighing) for mine, its in parts])


def _refuse_percent(skill: float) -> None:
    """Refuse a skill above 1, which no model can have: percent are meant."""
    if skill > 1:
        raise ParameterError(f"skill must be a share, 1 at most: got {skill:g}; write {skill:g} % as {skill / 100:g}")


def _times(skill: float, factor: float) -> float:
    """Return a skill so many times as large in logarithms of losses; infinite where it is."""
    return -math.expm1(factor * math.log1p(-skill)) if skill < 1 else skill


def _block(values: Floats, stride: int, overlap: int) -> int:
    """Return the length of blocks with which a bootstrap of neighbours has the least error in the variance of the mean.

    The rule is that for an autoregression of first order [Carlstein 1986, doi 10.1214/aos/1176350057].
    """
    memory = min(0.95, abs(float(np.corrcoef(values[:-stride], values[stride:])[0, 1])))
    count = -(-len(values) // stride)
    best: float = (math.sqrt(6) * memory / (1 - memory**2)) ** (2 / 3) * count ** (1 / 3)
    return min(count, max(2 * overlap, round(best), round(math.cbrt(count))))


def plan(
    data: Any,
    horizon: int | None = None,
    origins: int | None = None,
    step: int | None = None,
    gap: int = 0,
    metric: str = "mase",
    min_past: int = 1,
    align: Align | None = None,
    independent_series: bool = False,
    random_state: int = 0,
    *,
    models: Models | None = None,
    refit: bool = False,
    audit: Literal["data", "fit"] | None = "data",
    seeds: int = 1,
    n_jobs: int | None = None,
) -> Plan:
    """Plan a leaderboard: how often it would find a model better that has so much skill.

    The naive family forecasts the history from rolling cutoffs; the best of it is the reference. A model is imagined
    whose losses differ from those of the reference as those of its average with another naive forecast do, in size, in
    memory and in what overlapping cutoffs share; its mean loss is lower by the skill. Of averages with at most a tenth
    more error than the reference it is the one that differs most. Blocks of such losses are drawn at random, from
    cutoffs at each step of the history where there are not too many, and judged as those of a leaderboard are. How much
    models gain cannot be known before they are fitted; how much it must be to be seen can, as far as the history is
    like the time of the test. Fifths of the history differ, and give each number its interval.

    Parameters
    ----------
    data, horizon, origins, step, gap, metric, min_past, align, independent_series
        See `leaderboard`.
    random_state : int
        Seed of the simulated tests.
    models : optional
        Forecasters as in `leaderboard`, of which short fits are made, to predict the time that it will take: of a
        network for two seconds, and of others until they are done, on a part of the series where there are many.
    refit, audit, seeds, n_jobs
        See `leaderboard`.

    Returns
    -------
    Plan
        ``table`` (skill, power, its 95 % interval from low to high, needed, its interval from fewest to most),
        ``power(skill)``, ``detectable()``, ``needed(skill)``, for each of these ``..._range``, ``seconds``,
        ``sentences``.

    Raises
    ------
    ParameterError, DataError
        Also when the history has too few cutoffs, or no two naive forecasts that differ.

    Examples
    --------
    >>> found = plan(np.random.default_rng(0).normal(size=300), horizon=2)
    >>> found.count, found.reference, found.power(0.05) < found.power(0.2)
    (30, 'mean', True)
    """
    problems = one_of("metric", metric, RANKING) + option_problems(refit, None, audit, align)
    raise_any(problems + whole("seeds", seeds, 1) + jobs("n_jobs", n_jobs), ParameterError)
    options = {"gap": gap, "audit": None, "min_past": min_past, "align": align}
    panel, protocol = panel_and_protocol(data, horizon, origins, step, independent_series, **options)
    panel = protocol.prepared(panel)
    test, stride = history(panel, protocol, metric)
    rows = {name: rows_of(test, name, model) for name, model in naive_models(panel).items()}
    found = units(pd.concat(rows.values(), ignore_index=True), metric, independent_series)
    stride = stride if found.kind == "cutoffs" else 1
    means = {name: float(np.average(each, weights=found.sizes)) for name, each in found.losses.items() if len(each)}
    usable = [name for name in NAIVE_FAMILY if means.get(name, 0) > 0 and np.isfinite(found.losses[name]).all()]
    if (found.count >= MIN_UNITS or not found.count) and not usable:
        raise DataError(
            f"a plan needs a naive forecast with errors: none has {metric.upper()} above 0 in the history of "
            f"{len(panel)} series, as where all numbers are equal; give series that vary"
        )
    if (separate := -(-found.count // stride)) < MIN_UNITS:
        raise DataError(
            f"a plan needs naive losses in at least {MIN_UNITS} {found.kind} of the history: there are {separate}; "
            "give longer series or a shorter horizon"
        )
    reference = min(usable, key=lambda name: means[name])
    parts = [
        rows[reference],
        *(rows_of(test, name, averaged(panel, reference, name)) for name in rows if name != reference),
    ]
    found = units(pd.concat(parts, ignore_index=True), metric, independent_series)
    means = {name: float(np.average(each, weights=found.sizes)) for name, each in found.losses.items()}
    base = found.losses[reference] / means[reference]
    apart = {name: float(np.std(each / means[name] - base)) for name, each in found.losses.items() if means[name] > 0}
    differ = sorted((name for name in apart if apart[name] > 1e-9), key=lambda name: means[name])
    if not differ:
        raise DataError("a plan needs two naive forecasts that differ: all have the same losses in the history")
    comparable = [name for name in differ if means[name] <= COMPARABLE * means[reference]] or differ[:1]
    other = max(comparable, key=lambda name: apart[name])
    count = protocol.origins if found.kind == "cutoffs" else found.count
    duration = None
    if models is not None:
        run = replace(protocol, refit=refit, audit=audit)
        forecasters = named(models)
        board = Backtest(panel, run, needs_distributions(forecasters, metric, {}))
        duration = duration_of(forecasters, board, seeds, n_jobs)
    return Plan(protocol, metric, reference, other, found, count, stride, random_state, duration)


def history(panel: Panel, protocol: Protocol, metric: str) -> tuple[Backtest, int]:
    """Return a backtest in the last two thirds of the median series, and its cutoffs from one of the test to the next.

    They lie at each step, or at each second or third one of a long history: neighbours that share targets still have
    more to show of how losses vary than every sixth cutoff alone.
    """
    stride = 1
    if panel.groups is None and protocol.origins > 1:
        length, step = int(np.median(panel.lengths)), protocol.step or protocol.horizon
        room = length - max(length // 3, protocol.min_past) - protocol.ahead
        most = min(MOST_CUTOFFS, MAX_ROWS // (len(panel) * protocol.horizon))
        many = max(protocol.origins, min(most, max(0, room) // step + 1))
        affordable = MOST_ROWS // (len(panel) * protocol.horizon * many)
        stride = max(each for each in range(1, step + 1) if step % each == 0 and each <= max(1, affordable))
        many = max((many - 1) * stride + 1, min(many * stride, max(0, room) * stride // step + 1))
        protocol = replace(protocol, origins=many, step=step // stride)
    return Backtest(panel, replace(protocol, audit=None, refit=False), metric in DISTRIBUTION_METRICS), stride


def rows_of(test: Backtest, name: str, model: Forecaster) -> pd.DataFrame:
    """Return the rows of a model in all folds, under a name."""
    return joined([test.run(name, model, fold)[0] for fold in test.folds])


def naive_models(panel: Panel) -> dict[str, Forecaster]:
    """Return naive forecasts by name.

    The value two seasons back is among them: its average with the last season is a simple model that learns.
    """
    return {name: make(name) for name in NAIVE_FAMILY} | {
        "two seasons back": make("seasonal-naive", season_length=2 * panel.season_length)
    }


def averaged(panel: Panel, one: str, other: str) -> EnsembleForecaster:
    """Return the average of two naive forecasts, whose distribution is the mixture of both."""
    models = naive_models(panel)
    return EnsembleForecaster([models[one], models[other]])
