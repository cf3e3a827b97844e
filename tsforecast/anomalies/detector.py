"""Detector: anomalies among the rows that come after a fit, each judged by itself and what came before it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, get_args

import numpy as np
import pandas as pd
from sklearn.base import clone

from tsforecast.adapters.protocol import as_forecaster
from tsforecast.anomalies.calibration import (
    Flags,
    Floats,
    HeldOut,
    Positions,
    Residuals,
    SumTail,
    Tail,
    added,
    calibrated,
    discovered,
    judge_of,
)
from tsforecast.anomalies.results import Anomalies, Facts
from tsforecast.checks import between, one_of, share_or_count, whole
from tsforecast.data.panel import Panel
from tsforecast.data.protocol import joined
from tsforecast.data.samples import SupervisedPanel
from tsforecast.errors import DataError, ParameterError, Problem, counted, raise_any
from tsforecast.estimators.registry import model_name
from tsforecast.evaluation.record import times_of
from tsforecast.forecasters.base import Forecaster

MEMORY = 100  # steps, or a season where that is longer
LAGS = 24  # at which residuals may depend on each other, or a season, or two of the steps that forecasts overlap by
SEED = 0  # of the simulated streams: limits are the same each time


def detect(
    data: Any,
    model: Any,
    level: float = 0.01,
    *,
    step: int = 1,
    memory: int | None = None,
    tail: Tail | None = "power",
    learn: float | int = 0.5,
) -> Anomalies:
    """Find anomalies: rows whose forecast misses by more than forecasts of the model do, and long runs of small misses.

    Each row has a p-value: the share of residuals that are as large, at cutoffs that the model did not learn from. A
    row is an anomaly (a *point*) if it is a discovery of the procedure of Benjamini and Hochberg among the rows of all
    series and targets in the last `memory` steps. Where residuals lie to one side for long, their sum (CUSUM) passes a
    limit that simulated streams of held-out residuals pass in at most a share `level` of stretches of `memory` steps: a
    *collective* anomaly. Both look back only: what is found up to a time does not depend on the rows that follow.

    The level holds where residuals are like the held-out ones, which may depend on each other. It does not where the
    model grows worse, or the data drift, without an anomaly, nor for sums where the spread of residuals wanders. Rows
    that follow an anomaly are often found with it, as forecasts go on from it.

    Parameters
    ----------
    data : frame, Series, array, list of arrays or Panel
        In the form of the data that were fitted: rows that follow them, which may begin with known ones. Without time
        stamps the whole series. Of a model that is not fitted: all rows.
    model : Forecaster, regressor, function or object
        A fitted forecaster of any kind; one that is not fitted learns from the first rows, see `learn`. A
        `ConformalForecaster` has its residuals from the rows that it calibrates on.
    level : float
        False discovery rate at each step, among the rows of the last `memory` steps: where nothing is wrong, about this
        share of stretches of so many steps has a false point. With T true ones in each of them the false ones are, in
        the long run, up to `level` (1 + 1 / T) of all that are found [Krönert, Célisse and Hattab 2023, arXiv
        2312.01969]. And the share of stretches with a false collective anomaly.
    step : int
        Steps before a row that its forecast is made, up to the horizon. Forecasts of 1 step soon get used to an
        anomaly; those of a whole season before show all of its rows.
    memory : int, optional
        Steps; 100 unless given, or a season where that is longer.
    tail : {"power", "exponential"} or None
        How p-values go on beyond the largest residuals: as those of a power law, which holds for residuals of any
        distribution that is not heavier, or of an exponential one, which finds smaller anomalies, and is wrong where
        residuals have heavy tails. None: not at all; then no p-value is less than 1 / (m + 1) with m residuals, exact
        for any distribution, and a single row is not found unless m is `memory` times the number of series and targets
        / `level`.
    learn : float or int
        Share or number of first rows of each series that a model learns from which is not fitted.

    Returns
    -------
    Anomalies
        Anomalies by rank, all rows that were judged, and a page.

    Raises
    ------
    ParameterError
    DataError
        When the data cannot be read or do not follow on, or fewer than 40 residuals were held out.

    Examples
    --------
    >>> from tsforecast.forecasters.naive import SeasonalNaiveForecaster
    >>> t = np.arange(600)
    >>> load = 10 + np.sin(2 * np.pi * t / 24) + 0.1 * np.random.default_rng(0).normal(size=600)
    >>> load[500] += 2
    >>> found = detect(load, SeasonalNaiveForecaster(season_length=24))
    >>> found.to_frame()[["kind", "start", "end"]].values.tolist()
    [['point', 500, 500], ['point', 524, 524]]
    """
    fitted = as_forecaster(model)
    if getattr(fitted, "panel_", None) is not None:
        detector = Detector(fitted, level, step, memory, tail)
        return detector.read(data)
    raise_any(share_or_count("learn", learn), ParameterError)
    panel = Panel.of(data)
    seen = np.floor(learn * panel.lengths) if isinstance(learn, float) else np.minimum(learn, panel.lengths)
    begun: Forecaster = clone(fitted)
    begun.fit(panel.until(seen.astype(np.int64)))
    return Detector(begun, level, step, memory, tail).read(panel)


@dataclass(eq=False)
class Detector:
    """Anomalies in rows that come one after the other; `detect` explains the parameters.

    Rows that are read in several parts have the anomalies of rows that are read at once.

    Parameters
    ----------
    model : Forecaster
        A fitted one.
    level, step, memory, tail
        As in `detect`.

    Examples
    --------
    >>> from tsforecast.forecasters.naive import NaiveForecaster
    >>> walk = np.cumsum(np.random.default_rng(0).normal(size=300))
    >>> detector = Detector(NaiveForecaster().fit(walk[:200]))
    >>> len(detector.read(walk[:250]).rows), len(detector.read(walk).rows)
    (50, 100)
    """

    model: Forecaster
    level: float = 0.01
    step: int = 1
    memory: int | None = None
    tail: Tail | None = "power"
    panel: Panel = field(init=False, repr=False)
    _parts: list[pd.DataFrame] = field(init=False, repr=False, default_factory=list)
    _tick: int | None = field(init=False, repr=False, default=None)  # on the clock of all series, of the next step

    def __post_init__(self) -> None:
        problems = between("level", self.level, 0, 1, open_low=True) + whole("step", self.step, 1)
        problems += whole("memory", self.memory, 1, [None]) + one_of("tail", self.tail, get_args(Tail), [None])
        raise_any(problems, ParameterError)
        self.model.check_fitted()
        self.panel = panel = self.model.panel_
        if isinstance(panel, SupervisedPanel):
            raise ParameterError("anomalies are found in series: fit a series, not supervised windows")
        if self.step > self.model.horizon_:
            got = f"got {self.step}, the model forecasts {counted(self.model.horizon_, 'step')}"
            problem = Problem("must be at most the horizon of the model", got, "fit a longer horizon", parameter="step")
            raise ParameterError(problem)
        self._memory = self.memory or max(MEMORY, panel.season_length)
        self._width = len(panel) * panel.n_targets
        self._held_out = HeldOut(calibrated(self.model, self.step, self._tests / self.level), self.tail)
        lags = max(LAGS, panel.season_length, 2 * self.step)
        sums = self._held_out.greatest_sums(self._memory, lags, SEED)  # (K, S)
        self._sum_tail = SumTail(np.tile(sums, (len(panel), 1)))  # (N K, S)
        self._watch = Watch(self.level, self._memory, self._sum_tail.limits(self.level / self._width))
        self._firsts = panel.firsts  # rows are added at ends alone

    @property
    def _tests(self) -> int:
        """Rows of all series and targets that are tested together."""
        return self._memory * self._width

    @property
    def facts(self) -> Facts:
        """What anomalies are compared with."""
        return Facts(
            model=model_name(self.model),
            level=self.level,
            step=self.step,
            memory=self._memory,
            tests=self._tests,
            residuals=self._held_out.calibration.count(),
            tail=self.tail,
            lone=bool(np.isfinite(self._held_out.sizes_at(self.level / self._tests)).all()),
        )

    def read(self, data: Any) -> Anomalies:
        """Judge the rows that follow those that were fitted, or that were read before; known rows may come again.

        Parameters
        ----------
        data : as in `detect`

        Returns
        -------
        Anomalies
            Those of all rows that were read.

        Raises
        ------
        DataError
            When rows do not follow on, or those of one series come after later ones of another were judged.
        """
        before = self.panel
        panel = joined(before, self.model.panel_.read_like(data))
        longer = np.flatnonzero(panel.lengths > before.lengths)
        due = self._firsts + before.lengths
        if self._tick is None:
            self._tick = int(due[longer].min()) if len(longer) else None
        late = longer[due[longer] < (self._tick or 0)]
        if len(late):
            must = "rows of all series must come in order of time"
            got = f"series {str(panel.ids[late[0]])!r} has new ones at a time that was tested without it"
            raise DataError(Problem(must, got, "give the rows of one time together", series=panel.ids[late[0]]))
        self.panel = panel
        self._parts.append(self._judged(before.lengths))
        rows = pd.concat([part for part in self._parts if len(part)] or self._parts[:1], ignore_index=True)
        rows = rows.sort_values(["series", "target", "row"], kind="stable", ignore_index=True)
        return Anomalies(rows, self.facts, self._sum_tail)

    def _judged(self, first: Positions) -> pd.DataFrame:
        """Return the rows of each series from a first one on, (N,), with what is found in them."""
        panel, targets = self.panel, self.panel.n_targets
        counts = np.maximum(panel.lengths - first, 0)
        series: Positions = np.repeat(np.arange(len(panel)), counts)
        rows: Positions = first[series] + np.arange(len(series)) - np.repeat(counts.cumsum() - counts, counts)
        found = Residuals.of(judge_of(self.model), panel, series, rows, self.step)
        p, scores = self._held_out.p_values(found.error), self._held_out.scores(found.error)
        begin = self._tick or 0
        ticks = self._firsts[series] + rows - begin
        duration = int(ticks.max(initial=-1)) + 1
        at = ticks[:, None], series[:, None] * targets + np.arange(targets)  # place of each number, (n, K)
        laid_out = np.full((2, duration, self._width), np.nan)
        laid_out[0][at], laid_out[1][at] = p, scores
        decided = self._watch.take(*laid_out)
        self._tick = begin + duration if duration else self._tick
        reach = self._held_out.sizes_at(self.level / self._tests) * found.unit
        columns = {
            "row": np.repeat(rows[:, None], targets, axis=1),
            "y": panel.values[panel.offsets[series] + rows, :targets].astype(np.float64),
            "forecast": found.forecast,
            "low": found.forecast - reach,
            "high": found.forecast + reach,
            "p_value": p,
            "error": found.error,
            "anomaly": decided.found[at],
            "total": decided.totals[at],
            "alarm": decided.alarms[at],
            "since": decided.since[at] - (self._firsts[series] - begin)[:, None],  # a row
        }
        names = {
            "series": pd.Categorical.from_codes(np.repeat(series, targets), pd.Index(panel.ids)),
            "target": pd.Categorical.from_codes(np.tile(np.arange(targets), len(rows)), pd.Index(panel.roles.target)),
            "time": times_of(panel, np.repeat(panel.stamps(series, rows), targets)),
        }
        return pd.DataFrame(names | {name: part.ravel() for name, part in columns.items()})


@dataclass(frozen=True, eq=False)
class Decided:
    """What is found at each of T steps in M series and targets, (T, M) each."""

    found: Flags
    totals: Floats  # the greater of the sums up and down; the latter negative
    alarms: Flags  # where it passes its limit, and begins again
    since: Positions  # step at which it left 0, counted from the first one of these T


@dataclass(eq=False)
class Watch:
    """What decisions depend on from before: p-values of the last steps, and sums with the steps at which they began."""

    level: float
    memory: int
    limits: Floats  # (M,)

    def __post_init__(self) -> None:
        width = len(self.limits)
        self.recent = np.full((0, width), np.nan)  # of at most `memory` - 1 steps
        self.sums, self.since = np.zeros((2, width)), np.zeros((2, width), dtype=np.int64)

    def take(self, p: Floats, scores: Floats) -> Decided:
        """Decide on the next T steps, (T, M), one after the other; NaN is not judged, and adds nothing."""
        return Decided(self._discoveries(p), *self._sums(scores))

    def _discoveries(self, p: Floats) -> Flags:
        """Return which p-values are discoveries among those of the last steps, each when it comes."""
        every, known = np.concatenate([self.recent, p]), len(self.recent)
        found, tests = np.zeros(p.shape, dtype=np.bool_), self.memory * p.shape[1]
        for step in np.flatnonzero((p <= self.level).any(axis=1)):
            end = known + int(step) + 1
            window = every[max(0, end - self.memory) : end]
            found[step] = discovered(window.ravel(), self.level, tests).reshape(window.shape)[-1]
        self.recent = every[max(0, len(every) - self.memory + 1) :]
        return found

    def _sums(self, scores: Floats) -> tuple[Floats, Flags, Positions]:
        """Return the sums, which of them pass their limit, and since when they are not 0."""
        totals, since = np.zeros(scores.shape), np.zeros(scores.shape, dtype=np.int64)
        alarms = np.zeros(scores.shape, dtype=np.bool_)
        columns = np.arange(scores.shape[1])
        for step, score in enumerate(scores):
            grown = np.where(np.isnan(score), self.sums, added(self.sums, score))
            self.since = np.where((self.sums == 0) & (grown > 0), step, self.since)
            side = grown.argmax(axis=0)
            greater = grown[side, columns]
            totals[step], since[step] = np.where(side == 0, greater, -greater), self.since[side, columns]
            alarms[step] = greater >= self.limits
            self.sums = np.where(alarms[step], 0.0, grown)
        self.since = self.since - len(scores)  # counted from the first of the next ones
        return totals, alarms, since
