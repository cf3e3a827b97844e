"""Verdicts: each model is better or worse than the reference, equivalent to it, or inconclusive."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tsforecast.estimators.registry import NAIVE_FAMILY
from tsforecast.evaluation.metrics import WEIGHT, is_root, losses_of_rows, word
from tsforecast.evaluation.significance import (
    Comparison,
    Floats,
    compare,
    holm,
    in_time,
    independent,
    neighbours_averaged,
)

SIGNIFICANCE = 0.05  # a two-sided p-value below it counts as a difference
MARGIN = 0.02  # of skill; models whose interval lies within it are equivalent
MIN_UNITS = 5  # below which every verdict is inconclusive

# Outcome of a verdict -> its badge, in the order of a report.
BADGES = {
    "better": "better",
    "equivalent": "equivalent",
    "inconclusive": "inconclusive",
    "worse": "worse",
    "reference": "reference",
    "naive": "naive",
    "leak": "LEAK",
    "cannot be compared": "failed",
    "failed": "failed",
}


KEYS = ["model", "series", "target", "seed", "time"]  # of a cell: the rows of a model for one cutoff of a series


@dataclass(frozen=True)
class Verdict:
    """Comparison of one model with the reference; NaN where something was not computed."""

    model: str
    outcome: str  # key of `BADGES`
    sentence: str
    skill: float = math.nan  # share of the reference's error that the model removes
    low: float = math.nan  # ends of its 95 % interval
    high: float = math.nan
    p_value: float = math.nan  # two-sided, of no skill, adjusted by Holm for the number of models
    reason: str = ""  # for the outcome, as in the sentence, without the size of the difference

    def __str__(self) -> str:
        return self.sentence


def findings(verdicts: Iterable[Verdict]) -> list[tuple[str, str]]:
    """Return the badge and sentence of each verdict, models that are better than the reference first."""
    order = list(BADGES)
    ordered = sorted(verdicts, key=lambda verdict: order.index(verdict.outcome))
    return [(BADGES[verdict.outcome], verdict.sentence) for verdict in ordered]


@dataclass(frozen=True, eq=False)
class Units:
    """Losses of every model in the units of a comparison, whose weighted mean is the metric that is shown."""

    losses: dict[str, Floats]  # (n,) by model: cutoffs in order of time, series or groups
    kind: str  # "cutoffs", "series" or "groups"
    sizes: Floats  # series in each group, by their weights; 1 of cutoffs, (n,)
    overlap: int = 1  # neighbouring cutoffs whose steps up to the last target overlap
    population: str = ""  # of future forecasts that a verdict is about

    @property
    def count(self) -> int:
        """Number of units."""
        return len(self.sizes)

    @property
    def counted(self) -> str:
        """Number and kind of the units, in words."""
        return f"{self.count} {self.kind}" if self.count > 1 or self.kind == "series" else f"1 {self.kind[:-1]}"

    @property
    def problem(self) -> str:
        """Reason why these units are too few for a verdict, with the remedy; empty where they are not."""
        if self.count < MIN_UNITS:
            remedy = "use more origins" + (", or test more series" if self.kind == "series" else "")
            remedy = "test more of them" if self.kind == "groups" else remedy
            needed = f"a verdict needs at least {MIN_UNITS} {self.kind}: {remedy}"
            shared = ", whose events all series share" if self.population.endswith("series") else ""
            return f"in {self.counted}{shared}; {needed}"
        if self.kind == "cutoffs" and self.overlap >= self.count:
            return f"{self.counted} that share targets throughout count as one: use more origins, or longer steps"
        return ""

    def compare(self, model: str, reference: str) -> Comparison:
        """Compare the losses of two models."""
        own, other = self.losses[model], self.losses[reference]
        if self.kind != "cutoffs":
            return compare(own, other, independent(self.sizes))
        (own, overlap), (other, _) = (neighbours_averaged(each, self.overlap) for each in (own, other))
        return compare(own, other, in_time(len(own), overlap))


def units(rows: pd.DataFrame, metric: str, independent_series: bool = False) -> Units:
    """Arrange rows of `backtest` as losses by the units that a verdict counts.

    Groups, where models are tested on groups left out of the fit: they are to generalise to others. Series, where they
    are independent: declared to be, or without a shared calendar. Else cutoffs: errors of series at one time are
    correlated.
    """
    cells, count = _cells(rows, metric), rows["series"].nunique()
    if "group" in rows and rows["group"].notna().any():
        group = rows.groupby("series", observed=True)["group"].first().astype(str)
        cells["unit"] = cells["series"].map(group)
        kind, population = "groups", "further groups like these"
    elif (independent_series or not _shares_calendar(rows)) and count >= min(MIN_UNITS, cells["time"].nunique() + 1):
        cells["unit"], kind, population = cells["series"].astype(str), "series", "further series like these"
    else:
        cells["unit"], kind = cells["time"], "cutoffs"
        population = "later cutoffs" if count == 1 else f"later cutoffs of these {count} series"
    shares = cells.groupby(["model", "unit"], observed=True)["loss"].sum(min_count=1)
    table = shares.unstack().dropna(axis=1, how="all")  # no model has a loss where nothing scales it
    counts = cells.drop_duplicates(["unit", "series"]).set_index("unit")["series"].map(_weights(rows)).astype(float)
    counts = counts.groupby(level=0).sum().reindex(table.columns)
    sizes = np.ones(table.shape[1]) if kind == "cutoffs" else counts.to_numpy(dtype=np.float64)
    losses = table.to_numpy(dtype=np.float64) * sizes.sum() / sizes  # their weighted mean is the metric
    names = [str(name) for name in table.index]
    return Units(dict(zip(names, losses, strict=True)), kind, sizes, overlap(rows), population)


def _cells(rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the share of each series at each cutoff in the metric of a model: columns model, series, time, loss.

    The shares of a model add up to its metric, as the table shows it. A root of a mean is not a sum: its shares are
    linear around the mean, as in the delta method, and add up to it all the same.
    """
    keys = [rows["model"], rows["series"], rows["target"], _seeds(rows), _times(rows)]
    frame = pd.DataFrame({"loss": losses_of_rows(rows, metric)}, index=rows.index)
    frame["count"] = frame["loss"].notna().astype(float)
    cells = frame.groupby([key.rename(name) for key, name in zip(keys, KEYS, strict=True)], observed=True).sum()
    by_series = cells.groupby(level=KEYS[:4], observed=True)
    total = by_series["count"].transform("sum")
    share = cells["loss"] / total
    if is_root(rows, metric):
        root = np.sqrt(by_series["loss"].transform("sum") / total)
        share = (share / root.where(root > 0, np.inf) + root * cells["count"] / total) / 2
    finite = by_series["loss"].transform("sum").where(total > 0).notna()
    cells["loss"] = share.where(finite)
    count = cells["loss"].notna().groupby(level=KEYS[:4], observed=True).any()
    weights = _weights(rows)
    count = (count * _by_series(count, weights)).groupby(level="model", observed=True).sum()
    cells["loss"] *= _by_series(cells, weights)
    cells["loss"] /= count.reindex(cells.index.get_level_values("model")).to_numpy()
    return cells["loss"].reset_index()


def _weights(rows: pd.DataFrame) -> dict[Any, float]:
    """Return the weight of each series, 1 where there are none."""
    if WEIGHT not in rows:
        return dict.fromkeys(rows["series"].unique(), 1.0)
    return dict(rows.groupby("series", observed=True)[WEIGHT].first())


def _by_series(table: pd.DataFrame | pd.Series, weights: dict[Any, float]) -> Floats:
    """Return the weight of each row of a table by model, series and more."""
    return np.asarray(table.index.get_level_values("series").map(weights), dtype=np.float64)


def _seeds(rows: pd.DataFrame) -> pd.Series:
    return rows["seed"].fillna(-1).astype(int) if "seed" in rows else pd.Series(-1, index=rows.index)


def _shares_calendar(rows: pd.DataFrame) -> bool:
    """Return whether series are observed at the same time: dates are, numbers of steps where all cutoffs are equal."""
    pairs = rows[["series", "cutoff"]].drop_duplicates()
    distinct = pairs["cutoff"].nunique()
    if pd.api.types.is_numeric_dtype(rows["cutoff"]):
        return bool(distinct == pairs.groupby("series", observed=True).size().max())
    return bool(len(pairs) > 1.5 * distinct)


def _times(rows: pd.DataFrame) -> pd.Series:
    """Return the cutoff of each row on a shared calendar; else its place, counted from the newest of its series."""
    if _shares_calendar(rows):
        return rows["cutoff"].rank(method="dense").astype(int)
    return -rows.groupby("series", observed=True)["cutoff"].rank("dense", ascending=False).astype(int)


def overlap(rows: pd.DataFrame) -> int:
    """Return the number of neighbouring cutoffs whose steps up to the last target overlap, in the longest series.

    Forecasts depend on each other through shocks between cutoff and target: those of a gap count as well.
    """
    counts = rows.groupby("series", observed=True)["cutoff"].nunique()
    one = rows[rows["series"] == counts.idxmax()]
    last = one.groupby("cutoff", observed=True)["time"].max().sort_index()
    cutoffs = last.index.to_numpy()
    return max(int((cutoffs[i:] < end).sum()) for i, end in enumerate(last.to_numpy()))


def judge(
    rows: pd.DataFrame,
    errors: pd.Series,
    metric: str,
    reference: str,
    margin: float = MARGIN,
    independent_series: bool = False,
) -> dict[str, Verdict]:
    """Return a verdict on each model, given its error by name, in that order.

    A model is better or worse than the reference where the 95 % interval of its skill does not hold zero and the
    p-value of the same test, adjusted by Holm for the number of models, is below 5 %; better only where its error is
    below that of every naive forecast. Naive forecasts are no hypotheses and get no test of their own. A model is
    equivalent where the interval lies within the margin.
    """
    found, title = units(rows, metric, independent_series), word(metric)
    names, best = [str(name) for name in errors.index], float(errors[reference])
    comparable = [name for name in names if name != reference and np.isfinite(errors[name]) and np.isfinite(best)]
    compared = {name: found.compare(name, reference) for name in comparable if not found.problem}
    tested = [name for name in compared if name not in NAIVE_FAMILY]
    p_values = dict(zip(tested, holm([compared[name].p_value for name in tested]), strict=True))
    naive = errors[[name for name in errors.index if name in NAIVE_FAMILY]]
    verdicts = {}
    for name in names:
        if name == reference:
            rank = ": the best naive forecast here" if naive.min() == best else ""
            skill = 0.0 if np.isfinite(best) else math.nan
            verdicts[name] = Verdict(name, "reference", f"{name} is the reference{rank}", skill)
        elif name not in comparable:
            which = "it" if np.isfinite(best) else reference
            sentence = f"{name} cannot be compared: {which} has no finite {title}"
            verdicts[name] = Verdict(name, "cannot be compared", sentence)
        else:
            case = _Case(found, name, reference, float(errors[name]), best, title, margin, len(tested))
            verdicts[name] = case.verdict(compared.get(name), p_values.get(name, math.nan), naive)
    return verdicts


@dataclass(frozen=True, eq=False)
class _Case:
    """One model compared with the reference."""

    units: Units
    name: str
    reference: str
    error: float
    best: float  # error of the reference
    word: str  # the metric
    margin: float
    tested: int  # models among which Holm adjusts

    @property
    def skill(self) -> float:
        return 1 - self.error / self.best if self.best else 0.0 if self.error == self.best else -math.inf

    @property
    def difference(self) -> str:
        """Difference of the two errors, in words."""
        if self.error == self.best:
            return f"the same {self.word} as {self.reference}"
        if not self.best:
            return f"{self.word} {self.error:.3g}, that of {self.reference} is 0"
        if self.skill < -1:
            return f"{1 - self.skill:.{0 if self.skill < -9 else 1}f} times the {self.word} of {self.reference}"
        size = f"{abs(self.skill):.1%} {'lower' if self.skill > 0 else 'higher'}"
        return f"{size} {self.word} than {self.reference}"

    def verdict(self, found: Comparison | None, p_value: float, naive: pd.Series) -> Verdict:
        """Return the verdict, given interval and test where there are some, and the errors of the naive family."""
        outcome, joint, reason = self._judged(found, p_value, naive)
        low, high = (found.low, found.high) if found else (math.nan, math.nan)
        words = {
            "naive": "is a naive forecast too",
            "inconclusive": "is inconclusive",
            "equivalent": f"is equivalent to {self.reference}",
        }.get(outcome, f"is {outcome} than {self.reference}")
        sentence = f"{self.name} {words}: {self.difference}{_span(found)}{joint}{reason}"
        return Verdict(self.name, outcome, sentence, self.skill, low, high, p_value, reason)

    def _judged(self, found: Comparison | None, p_value: float, naive: pd.Series) -> tuple[str, str, str]:
        """Return the outcome, and the reason with the sign or word before it."""
        if self.name in NAIVE_FAMILY:
            return "naive", "", ""
        if found is None:
            return "inconclusive", "; ", self.units.problem
        about = f"on {self.units.counted}, about {self.units.population}"
        if -self.margin <= found.low and found.high <= self.margin:
            return "equivalent", ", ", f"within ±{self.margin:.0%} {about}"
        probability = chance(p_value, self.tested)
        if p_value < SIGNIFICANCE and found.high < 0:
            return "worse", ", ", f"{probability}, {about}"
        ahead = naive[naive <= self.error]
        if p_value < SIGNIFICANCE and found.low > 0 and len(ahead):
            return "inconclusive", ", but ", f"{ahead.idxmin()} has a lower one on these cutoffs"
        if p_value < SIGNIFICANCE and found.low > 0:
            return "better", ", ", f"{probability}, {about}"
        if found.p_value < SIGNIFICANCE:
            return "inconclusive", ", but ", probability
        return "inconclusive", "; ", self._power(found)

    def _power(self, found: Comparison) -> str:
        if found.detectable < 1:
            return f"{self.units.counted} would show gains above {found.detectable:.0%} only"
        return f"{self.units.counted} are too few to show any gain: use more origins"


def _span(found: Comparison | None) -> str:
    """Return an interval of skill in percent."""
    return "" if found is None else spanned(found.low, found.high)


def spanned(low: float, high: float, digits: int = 1) -> str:
    """Return an interval of skill in percent, in brackets; what is far below zero has no digits worth reading.

    It is empty where neither end is known.
    """
    if not math.isfinite(low) and not math.isfinite(high):
        return ""
    ends = [
        "no limit" if not math.isfinite(end) else "under -1000" if end < -10 else f"{100 * end:z.{digits}f}"
        for end in (low, high)
    ]
    return f" (skill {ends[0]} to {ends[1]} %)"


def chance(p_value: float, tested: int) -> str:
    """Return a p-value that Holm adjusted for so many models, in words."""
    size = "< 0.001" if p_value < 0.001 else f"= {p_value:.3f}" if p_value < 0.1 else f"= {p_value:.2f}"
    return f"p {size}" + (f", adjusted for {tested} models" if tested > 1 else "")
