"""Verdicts: each model beats the reference, does not beat it, or is inconclusive beside it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsforecast.estimators.registry import NAIVE_FAMILY
from tsforecast.evaluation.metrics import SQUARED, losses_of_rows
from tsforecast.evaluation.significance import Skill, diebold_mariano, holm, skill_interval

SIGNIFICANCE = 0.05  # a p-value below it counts as a difference
MIN_TRIALS = 5  # below which every verdict is inconclusive

# Outcome of a verdict -> its badge, in the order of a report.
BADGES = {
    "beats": "beats",
    "inconclusive": "inconclusive",
    "reference": "reference",
    "does not beat": "does not",
    "cannot be compared": "failed",
    "failed": "failed",
}


@dataclass(frozen=True)
class Verdict:
    """Comparison of one model with the reference; NaN where something was not computed."""

    model: str
    outcome: str  # key of `BADGES`
    sentence: str
    skill: float = math.nan  # share of the reference's error that the model removes
    low: float = math.nan  # ends of its 95 % interval
    high: float = math.nan
    p_value: float = math.nan  # of an error as low from a model as good as the reference, adjusted by Holm

    def __str__(self) -> str:
        return self.sentence


def findings(verdicts: Iterable[Verdict]) -> list[tuple[str, str]]:
    """Return the badge and sentence of each verdict, models that beat the reference first."""
    order = list(BADGES)
    ordered = sorted(verdicts, key=lambda verdict: order.index(verdict.outcome))
    return [(BADGES[verdict.outcome], verdict.sentence) for verdict in ordered]


@dataclass(frozen=True, eq=False)
class Trials:
    """Losses of every model by series and cutoff, in order of time."""

    losses: dict[str, NDArray[np.float64]]  # (S, O) by model, NaN where there is none; of groups their means, (G, 1)
    overlap: int  # neighbouring cutoffs that share targets
    rows: str = "series"  # or "groups"

    @property
    def shape(self) -> tuple[int, int]:
        """Series and targets (S), and cutoffs (O)."""
        return next(iter(self.losses.values())).shape

    @property
    def count(self) -> int:
        """Number of trials: cutoffs, or series where there is one cutoff."""
        return self.shape[1] if self.shape[1] > 1 else self.shape[0]

    @property
    def unit(self) -> str:
        """Unit of the trials: cutoffs, since errors of series at one time are correlated; series at a single cutoff."""
        return "cutoffs" if self.shape[1] > 1 else self.rows

    def p_value(self, model: str, reference: str, skill: Skill) -> float:
        """Return the probability of a loss as low from a model as good as the reference.

        The higher p-value of a Diebold-Mariano test and of the bootstrap behind the interval: the former is too low
        where most cutoffs overlap.
        """
        axis = 0 if self.shape[1] > 1 else 1
        own, other = (np.nanmean(self.losses[name], axis=axis) for name in (model, reference))
        tested = diebold_mariano(own, other, self.overlap if axis == 0 else 1)[1]
        return float(np.maximum(tested, skill.p_value))

    @property
    def counted(self) -> str:
        """Number and unit of the trials, in words."""
        return f"{self.count} {self.unit}" if self.count > 1 or self.unit == "series" else f"1 {self.unit[:-1]}"

    def skill(self, model: str, reference: str) -> Skill:
        """Return skill with its interval."""
        return skill_interval(self.losses[model], self.losses[reference], self.overlap)


def trials(rows: pd.DataFrame, metric: str, unit: str = "series") -> Trials:
    """Arrange rows of `backtest` as losses by series and cutoff, or as the mean of each group (`unit` "groups")."""
    # Counted from the newest cutoff of each series: those without time stamps have cutoffs of their own.
    newest = rows.groupby("series", observed=True)["cutoff"].rank("dense", ascending=False).astype(int)
    keys = [rows["model"].astype(str), rows["series"], rows["target"], -newest]
    means = pd.Series(losses_of_rows(rows, metric), index=rows.index).groupby(keys, observed=True, sort=True).mean()
    means = np.sqrt(means) if metric in SQUARED else means
    table = means.unstack(level=3)  # (models * S, O), the oldest cutoff first
    if unit == "groups":
        models, series = (table.index.get_level_values(name) for name in ("model", "series"))
        group = series.map(rows.groupby("series", observed=True)["group"].first())
        table = table.mean(axis=1).groupby([models, group]).mean().to_frame()  # (models * G, 1)
    losses = {str(model): part.to_numpy(dtype=np.float64) for model, part in table.groupby(level=0, observed=True)}
    return Trials(losses, 1 if unit == "groups" else _overlap(rows), unit)


def _overlap(rows: pd.DataFrame) -> int:
    """Return the number of neighbouring cutoffs that share targets, in the series with the most cutoffs."""
    counts = rows.groupby("series", observed=True)["cutoff"].nunique()
    one = rows[rows["series"] == counts.idxmax()]
    times = one.groupby("cutoff", observed=True)["time"].agg(["min", "max"]).sort_index().to_numpy()
    return max(int((times[i:, 0] <= last).sum()) for i, last in enumerate(times[:, 1]))


def judge(rows: pd.DataFrame, errors: pd.Series, metric: str, reference: str) -> dict[str, Verdict]:
    """Return a verdict on each model, given its error by name, in that order.

    A model beats the reference when the p-value of its lower loss is below 5 % (a one-sided Diebold-Mariano test,
    adjusted by Holm for the number of models) and a 95 % interval of its skill lies above zero. Trials are cutoffs;
    series, where there is one cutoff; groups, where models are tested on groups left out of the fit.
    """
    # A group is one trial, however often it is forecast: models are to generalise to other groups.
    grouped = "group" in rows and rows["group"].notna().any()
    found, word = trials(rows, metric, "groups" if grouped else "series"), metric.upper()
    names, best = [str(name) for name in errors.index], float(errors[reference])
    comparable = [name for name in names if name != reference and np.isfinite(errors[name]) and np.isfinite(best)]
    skills = {name: found.skill(name, reference) for name in comparable if found.count >= MIN_TRIALS}
    adjusted = holm([found.p_value(name, reference, skill) for name, skill in skills.items()])
    p_values = dict(zip(skills, adjusted, strict=True))
    verdicts = {}
    for name in names:
        if name == reference:
            best_naive = errors[[other for other in errors.index if other in NAIVE_FAMILY]].min() == best
            sentence = f"{name} is the reference" + (": the best naive forecast here" if best_naive else "")
            verdicts[name] = Verdict(name, "reference", sentence, 0.0 if np.isfinite(best) else math.nan)
        elif name not in comparable:
            which = "it" if np.isfinite(best) else reference
            sentence = f"{name} cannot be compared: {which} has no finite {word}"
            verdicts[name] = Verdict(name, "cannot be compared", sentence)
        else:
            evidence = skills.get(name), p_values.get(name, math.nan)
            verdicts[name] = _verdict(found, name, reference, (float(errors[name]), best), evidence, word)
    return verdicts


def _verdict(
    found: Trials,
    name: str,
    reference: str,
    errors: tuple[float, float],
    evidence: tuple[Skill | None, float],
    word: str,
) -> Verdict:
    """Compare one model with the reference by errors of both, and by skill and p-value where there are some."""
    (mine, best), (interval, p_value) = errors, evidence
    skill = 1 - mine / best if best else 0.0 if mine == best else -math.inf
    low = high = math.nan
    if interval and math.isfinite(interval.detectable):
        low, high = (skill + bound - interval.value for bound in (interval.low, interval.high))
        high = min(high, 1.0)
    span = f"({100 * low:.1f} to {100 * high:.1f})"
    outcome, lower = "inconclusive", f"{skill:.1%} lower {word} than {reference}"
    if mine >= best:
        how = "the same" if mine == best else f"{mine / best - 1:.1%} higher" if best else f"{mine:.3g}, not 0"
        outcome, text = "does not beat", f"does not beat {reference}: its {word} is {how}"
    elif interval is None:
        units = {"series": "cutoffs or series"}.get(found.unit, found.unit)
        remedy = "test more of them" if found.unit == "groups" else "use more origins"
        few = f"a verdict needs at least {MIN_TRIALS} {units}: {remedy}"
        text = f"is inconclusive: {lower} in {found.counted}; {few}"
    elif math.isnan(low):
        few = f"{found.counted} that share targets throughout are too few: use more origins, or longer steps"
        text = f"is inconclusive: {lower}; {few}"
    elif p_value < SIGNIFICANCE and low > 0:
        outcome, text = "beats", f"beats {reference} by {skill:.1%} {span}"
    else:
        needed = f"{found.counted} would show gains above {interval.detectable:.0%} only"
        text = f"is inconclusive: {lower} {span}; {needed}"
    return Verdict(name, outcome, f"{name} {text}", skill, low, high, p_value)
