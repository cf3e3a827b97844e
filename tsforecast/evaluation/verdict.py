"""From rows to a sentence for each model: it beats the reference, does not, or cannot be told from it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsforecast.estimators.registry import NAIVE_FAMILY
from tsforecast.evaluation import metrics
from tsforecast.evaluation.significance import Skill, diebold_mariano, holm, skill_interval

CERTAIN = 0.05  # a difference that chance alone makes more seldom is called one
NEEDED = 5  # trials below which nothing is told


@dataclass(frozen=True)
class Verdict:
    """What can be said of one model beside the reference.

    Attributes
    ----------
    model : str
    outcome : {"reference", "beats", "does not beat", "cannot be told", "cannot be compared"}
    sentence : str
    skill, low, high : float
        The share of the reference's error that it removes and its 95 % interval; NaN where there is none.
    chance : float
        How likely a model as good as the reference has an error as low, adjusted for all that were tried; NaN where
        that was not tested.
    """

    model: str
    outcome: str
    sentence: str
    skill: float = math.nan
    low: float = math.nan
    high: float = math.nan
    chance: float = math.nan

    def __str__(self) -> str:
        return self.sentence


@dataclass(frozen=True, eq=False)
class Trials:
    """Losses of every model at every cutoff, in order of time.

    Attributes
    ----------
    losses : dict of arrays of shape (S, O)
        Mean loss of each series and target at each cutoff, by model; NaN where there is none. Or of each group at all
        cutoffs, (G, 1).
    overlap : int
        Neighbouring cutoffs that share targets.
    what : {"series", "groups"}
        What the rows of losses are of.
    """

    losses: dict[str, NDArray[np.float64]]
    overlap: int
    what: str = "series"

    @property
    def shape(self) -> tuple[int, int]:
        """Series and targets (S), and cutoffs (O)."""
        return next(iter(self.losses.values())).shape

    @property
    def count(self) -> int:
        """How many trials there are: cutoffs, or series where there is one cutoff."""
        return self.shape[1] if self.shape[1] > 1 else self.shape[0]

    @property
    def unit(self) -> str:
        """What trials are. Series that share their time share their luck: they count one by one at one cutoff alone."""
        return "cutoffs" if self.shape[1] > 1 else self.what

    def chance(self, model: str, reference: str, skill: Skill) -> float:
        """Return how likely a model as good as the reference has a loss as low.

        That is by a Diebold-Mariano test, or by the bootstrap behind the interval where that doubts more: the former
        claims too much where most cutoffs overlap.
        """
        axis = 0 if self.shape[1] > 1 else 1
        own, other = (np.nanmean(self.losses[name], axis=axis) for name in (model, reference))
        tested = diebold_mariano(own, other, self.overlap if axis == 0 else 1)[1]
        return float(np.maximum(tested, skill.chance))

    @property
    def counted(self) -> str:
        """How many trials of what."""
        return f"{self.count} {self.unit}" if self.count > 1 or self.unit == "series" else f"1 {self.unit[:-1]}"

    def skill(self, model: str, reference: str) -> Skill:
        """Return skill with its interval."""
        return skill_interval(self.losses[model], self.losses[reference], self.overlap)


def trials(rows: pd.DataFrame, metric: str, what: str = "series") -> Trials:
    """Lay rows out as losses.

    Parameters
    ----------
    rows : pandas.DataFrame
        See `backtest`.
    metric : {"mase", "mae", "rmse", "smape", "rmsse"}
    what : {"series", "groups"}
        Keep series and cutoffs apart, or take all of a group together.
    """
    error = metrics.absolute_errors(rows["y"], rows["forecast"])
    squared = metric in ("rmse", "rmsse")
    if metric == "smape":
        each = metrics.symmetric_errors(rows["y"].to_numpy(), rows["forecast"].to_numpy())
    elif metric == "mase":
        each = metrics.divide(error, rows["naive_mae"])
    elif metric == "rmsse":
        each = metrics.divide(error**2, rows["naive_mse"])
    else:
        each = error**2 if squared else error
    # Counted from the newest cutoff of each series: those without time stamps have cutoffs of their own.
    newest = rows.groupby("series", observed=True)["cutoff"].rank("dense", ascending=False).astype(int)
    keys = [rows["model"].astype(str), rows["series"], rows["target"], -newest]
    means = pd.Series(np.asarray(each), index=rows.index).groupby(keys, observed=True, sort=True).mean()
    table = (np.sqrt(means) if squared else means).unstack(level=3)  # (models * S, O), the oldest cutoff first
    if what == "groups":
        models, series = (table.index.get_level_values(name) for name in ("model", "series"))
        group = series.map(rows.groupby("series", observed=True)["group"].first())
        table = table.mean(axis=1).groupby([models, group]).mean().to_frame()  # (models * G, 1)
    losses = {str(model): part.to_numpy(dtype=np.float64) for model, part in table.groupby(level=0, observed=True)}
    return Trials(losses, 1 if what == "groups" else _overlap(rows), what)


def _overlap(rows: pd.DataFrame) -> int:
    """Return how many neighbouring cutoffs share targets, in the series with the most cutoffs."""
    counts = rows.groupby("series", observed=True)["cutoff"].nunique()
    one = rows[rows["series"] == counts.idxmax()]
    times = one.groupby("cutoff", observed=True)["time"].agg(["min", "max"]).sort_index().to_numpy()
    return max(int((times[i:, 0] <= last).sum()) for i, last in enumerate(times[:, 1]))


def judge(rows: pd.DataFrame, errors: pd.Series, metric: str, reference: str) -> dict[str, Verdict]:
    """Return a verdict on each model.

    Parameters
    ----------
    rows : pandas.DataFrame
    errors : pandas.Series
        Error of each model by name, in the order of the sentences.
    metric, reference : str

    Notes
    -----
    A model beats the reference when its lower loss would come by chance less often than at 5 % (a one-sided
    Diebold-Mariano test, adjusted by Holm for the number of models) and a 95 % interval of its skill lies above zero.
    What is counted are cutoffs; series, where there is one cutoff; groups, where groups are kept apart.
    """
    # Groups are left out to learn about others like them: a group is one trial, however often it is forecast.
    apart = "group" in rows and rows["group"].notna().any()
    found, word = trials(rows, metric, "groups" if apart else "series"), metric.upper()
    others = [str(name) for name in errors.index if name != reference]
    comparable = [name for name in others if np.isfinite(errors[name]) and np.isfinite(errors[reference])]
    skills = {name: found.skill(name, reference) for name in comparable if found.count >= NEEDED}
    adjusted = holm([found.chance(name, reference, skill) for name, skill in skills.items()])
    chances = dict(zip(skills, adjusted, strict=True))
    verdicts = {}
    for name in map(str, errors.index):
        mine, best = float(errors[name]), float(errors[reference])
        if name == reference:
            best_naive = errors[[other for other in errors.index if other in NAIVE_FAMILY]].min() == best
            sentence = f"{name} is the reference" + (": the best naive forecast here" if best_naive else "")
            verdicts[name] = Verdict(name, "reference", sentence, 0.0 if np.isfinite(best) else math.nan)
        elif name not in comparable:
            which = "it" if np.isfinite(best) else reference
            sentence = f"{name} cannot be compared: {which} has no finite {word}"
            verdicts[name] = Verdict(name, "cannot be compared", sentence)
        else:
            evidence = skills.get(name), chances.get(name, math.nan)
            verdicts[name] = _verdict(found, name, reference, (mine, best), evidence, word)
    return verdicts


def _verdict(
    found: Trials,
    name: str,
    reference: str,
    errors: tuple[float, float],
    evidence: tuple[Skill | None, float],
    word: str,
) -> Verdict:
    """Say whether a lower error is more than luck; a higher one is not lower."""
    (mine, best), (interval, chance) = errors, evidence
    skill = 1 - mine / best if best else 0.0 if mine == best else -math.inf
    unsure = f"cannot be told from {reference}: {skill:.1%} lower {word}"
    low = high = math.nan
    if interval and math.isfinite(interval.detectable):
        low, high = (skill + bound - interval.value for bound in (interval.low, interval.high))
        high = min(high, 1.0)
    span = f"({100 * low:.1f} to {100 * high:.1f})"
    if mine >= best:
        how = "the same" if mine == best else f"{mine / best - 1:.1%} higher" if best else f"{mine:.3g}, not 0"
        outcome, told = "does not beat", f"does not beat {reference}: its {word} is {how}"
    elif interval is None:
        units = {"series": "cutoffs or series"}.get(found.unit, found.unit)
        remedy = "test more of them" if found.unit == "groups" else "use more origins"
        few = f"at least {NEEDED} {units} are needed to tell: {remedy}"
        outcome, told = "cannot be told", f"{unsure} in {found.counted}; {few}"
    elif math.isnan(low):
        few = f"{found.counted} that share targets throughout are too few to tell: use more origins, or longer steps"
        outcome, told = "cannot be told", f"{unsure}; {few}"
    elif chance < CERTAIN and low > 0:
        outcome, told = "beats", f"beats {reference} by {skill:.1%} {span}"
    else:
        needed = f"{found.counted} would show gains above {interval.detectable:.0%} only"
        outcome, told = "cannot be told", f"{unsure} {span}; {needed}"
    return Verdict(name, outcome, f"{name} {told}", skill, low, high, chance)
