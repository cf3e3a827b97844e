"""Plans: the gains that a test could show, and the cutoffs that it needs, from naive forecasts of the history alone."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from tsforecast.checks import jobs, one_of, whole
from tsforecast.data.panel import Panel
from tsforecast.data.protocol import Protocol, option_problems
from tsforecast.data.splits import Align
from tsforecast.errors import DataError, ParameterError, counted, raise_any
from tsforecast.estimators.registry import NAIVE_FAMILY, make
from tsforecast.evaluation.backtest import Backtest, joined
from tsforecast.evaluation.duration import Duration, duration_of
from tsforecast.evaluation.leaderboard import MAX_ROWS, Models, named, needs_distributions, panel_and_protocol
from tsforecast.evaluation.metrics import METRICS
from tsforecast.evaluation.significance import (
    POWER,
    Floats,
    compare,
    in_time,
    independent,
    neighbours_averaged,
)
from tsforecast.evaluation.verdict import MIN_UNITS, Units, units

SKILLS = (0.05, 0.1, 0.2)  # of a table
COUNTS = (5, 10, 20, 40, 80, 160, 320, 640)  # that are tried
MOST_CUTOFFS = 400  # of the history
COMPARABLE = 1.1  # times the error of the reference that an average may have
DRAWS = 300  # simulated tests for each count


@dataclass(frozen=True, eq=False)
class Plan:
    """Gains that a test of one model could show; see `plan`."""

    protocol: Protocol  # of the test, with its cutoffs
    metric: str
    reference: str  # the naive forecast with the lowest error in the history
    other: str  # the naive forecast whose average with it is the imagined model
    history: Units  # losses of both in the history
    count: int  # units of the test
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
        return float(np.mean(self.gains(self.count if count is None else count) < skill))

    def detectable(self, count: int | None = None) -> float:
        """Return the skill that four of five tests would show; infinite where they show none."""
        return float(np.quantile(self.gains(self.count if count is None else count), POWER, method="higher"))

    def needed(self, skill: float) -> int | None:
        """Return the units that show so much skill in four of five tests; None above `COUNTS`."""
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

    @property
    def table(self) -> pd.DataFrame:
        """Skill, power of the test as planned, and units needed for 80 %, for gains of 5, 10 and 20 %."""
        rows = [(skill, self.power(skill), self.needed(skill)) for skill in SKILLS]
        return pd.DataFrame(rows, columns=["skill", "power", "needed"]).astype({"needed": "Int64"})

    @property
    def sentences(self) -> list[str]:
        """Findings, and the assumption behind them."""
        history, least = self.history, self.detectable()
        today = Units({}, history.kind, np.ones(self.count, dtype=np.int64), history.overlap, history.population)
        apart = ""
        if history.kind == "cutoffs" and self.count > 1:
            apart = f", {counted(self.protocol.step or self.protocol.horizon, 'step')} apart,"
        gain = f"show gains above {least:.0%} of {self.reference}'s {self.metric.upper()} in four of five tests"
        if today.problem or least >= 1:
            gain = f"show no gain: {today.problem or 'the losses differ too much'}"
        return [
            f"Today {today.counted}{apart} would {gain}",
            f"A model's losses are taken to differ from those of {self.reference} as those of its average with "
            f"{self.other} do, on {history.counted} of the history. One that differs more needs more, and so does each "
            "of several models",
            *([self.duration.sentence] if self.duration else []),
        ]

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds that each model is predicted to take in a leaderboard, and its "total"; nothing without models."""
        return {**self.duration.seconds, "total": self.duration.total()} if self.duration else {}

    def __str__(self) -> str:
        rows = [f"{row.skill:.0%}: power {row.power:.0%}, {row.needed} needed" for row in self.table.itertuples()]
        return "\n".join([*rows, *self.sentences])

    def _simulated(self, count: int) -> Floats:
        """Draw pairs of losses from the history: cutoffs in blocks, so that their dependence stays."""
        history, random = self.history, np.random.default_rng([self.random_state, count])
        in_order = history.kind == "cutoffs"
        if count < MIN_UNITS or (in_order and history.overlap >= count):
            return np.full(DRAWS, math.inf)
        own, other = (history.losses[name] / np.mean(history.losses[name]) for name in (self.other, self.reference))
        block = _block(own - other, history.overlap) if in_order else 1
        starts = random.integers(history.count, size=(DRAWS, -(-count // block), 1))
        drawn = (starts + np.arange(block)).reshape(DRAWS, -1)[:, :count] % history.count
        if not in_order:
            weighing = independent(np.ones(count))
            found = [compare(own[one], other[one], weighing) for one in drawn]
        else:
            pairs = [[neighbours_averaged(each[one], history.overlap) for each in (own, other)] for one in drawn]
            weighing = in_time(len(pairs[0][0][0]), pairs[0][0][1])
            found = [compare(mine, its, weighing) for (mine, _), (its, _) in pairs]
        return np.array([1 - 1 / (1 - each.low) for each in found])  # a gain moves skill and its interval alike


def _block(values: Floats, overlap: int) -> int:
    """Return the length of blocks with which a bootstrap of neighbours has the least error in the variance of the mean.

    The rule is that for an autoregression of first order [Carlstein 1986, doi 10.1214/aos/1176350057].
    """
    memory = min(0.95, abs(float(np.corrcoef(values[:-1], values[1:])[0, 1])))
    best: float = (math.sqrt(6) * memory / (1 - memory**2)) ** (2 / 3) * len(values) ** (1 / 3)
    return min(len(values), max(2 * overlap, round(best), round(math.cbrt(len(values)))))


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
    n_jobs: int | None = 1,
) -> Plan:
    """Plan a leaderboard: how often it would find a model better that has so much skill.

    The naive family forecasts the history from rolling cutoffs; the best of it is the reference. A model is imagined
    whose losses differ from those of the reference as those of its average with another naive forecast do, in size, in
    memory and in what overlapping cutoffs share; its mean loss is lower by the skill. Of averages with at most a tenth
    more error than the reference it is the one that differs most. Blocks of such losses are drawn at random and judged
    as those of a leaderboard are. How much models gain cannot be known before they are fitted; how much it must be to
    be seen can, as far as the history is like the time of the test.

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
        ``table`` (skill, power, needed), ``power(skill)``, ``detectable()``, ``needed(skill)``, ``seconds``,
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
    problems = one_of("metric", metric, METRICS) + option_problems(refit, None, audit, align)
    raise_any(problems + whole("seeds", seeds, 1) + jobs("n_jobs", n_jobs), ParameterError)
    options = {"gap": gap, "audit": None, "min_past": min_past, "align": align}
    panel, protocol = panel_and_protocol(data, horizon, origins, step, independent_series, **options)
    panel = protocol.long_enough(panel)
    rows = naive_rows(panel, protocol)
    found = units(pd.concat(rows.values(), ignore_index=True), metric, independent_series)
    means = {name: float(np.average(each, weights=found.sizes)) for name, each in found.losses.items()}
    usable = [name for name in NAIVE_FAMILY if means.get(name, 0) > 0 and np.isfinite(found.losses[name]).all()]
    if found.count < MIN_UNITS or not usable:
        raise DataError(
            f"a plan needs naive losses in at least {MIN_UNITS} {found.kind} of the history: there are {found.count}; "
            "give longer series or a shorter horizon"
        )
    reference = min(usable, key=lambda name: means[name])
    parts = [rows[reference], *(averaged(rows[reference], rows[name], name) for name in rows if name != reference)]
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
        test = Backtest(panel, run, needs_distributions(forecasters, metric, {}))
        duration = duration_of(forecasters, test, seeds, n_jobs)
    return Plan(protocol, metric, reference, other, found, count, random_state, duration)


def naive_rows(panel: Panel, protocol: Protocol) -> dict[str, pd.DataFrame]:
    """Return rows of naive forecasts by name, from cutoffs in the last two thirds of the median series, as far apart.

    The value two seasons back is among them: its average with the last season is a simple model that learns.
    """
    if panel.groups is None and protocol.origins > 1:
        length, stride = int(np.median(panel.lengths)), protocol.step or protocol.horizon
        room = length - max(length // 3, protocol.min_past) - protocol.ahead
        most = min(MOST_CUTOFFS, MAX_ROWS // (len(panel) * protocol.horizon))
        many = max(protocol.origins, min(most, max(0, room) // stride + 1))
        protocol = replace(protocol, origins=many)
    test = Backtest(panel, replace(protocol, audit=None, refit=False))
    models = {name: make(name) for name in NAIVE_FAMILY}
    models["two seasons back"] = make("seasonal-naive", season_length=2 * panel.season_length)
    return {name: joined([test.run(name, each, fold)[0] for fold in test.folds]) for name, each in models.items()}


def averaged(one: pd.DataFrame, other: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return rows of the average of two forecasts, under a name."""
    forecast = (one["forecast"].to_numpy() + other["forecast"].to_numpy()) / 2
    return one.assign(model=pd.Categorical([name]).repeat(len(one)), forecast=forecast)
