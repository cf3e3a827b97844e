"""Summaries of rows: errors by model and by step, series, group or position in the season; win rates and ranks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsforecast.checks import one_of
from tsforecast.errors import DataError, ParameterError, Problem, raise_any, shorten
from tsforecast.evaluation.metrics import (
    DISTRIBUTION_METRICS,
    METRICS,
    OWN,
    WEIGHT,
    is_root,
    known_metrics,
    losses_of_rows,
)
from tsforecast.evaluation.verdict import SIGNIFICANCE, overlap

KEYS = ("step", "series", "group", "phase", "cutoff")


def errors(rows: pd.DataFrame, by: str | None = None, metrics: Sequence[str] = METRICS) -> pd.DataFrame:
    """Return metrics of each model and seed, averaged over steps and cutoffs, then over series and targets.

    The index is model, seed (-1 where there is none) and the column `by`, one of `KEYS`. A model that forecasts NaN
    anywhere has NaN: it must not be ranked on the rest.
    """
    losses = pd.DataFrame({metric: losses_of_rows(rows, metric) for metric in metrics})
    seed = rows["seed"].fillna(-1).astype(int) if "seed" in rows else pd.Series(-1, index=rows.index, name="seed")
    keys = [rows["model"], seed, *([rows[by]] if by else [])]
    inner = [rows[name] for name in ("series", "target") if name != by]
    groups = [key.reset_index(drop=True) for key in (*keys, *inner)]
    each = losses.groupby(groups, observed=True, sort=by is not None).mean()
    squared = [metric for metric in metrics if is_root(rows, metric)]
    each[squared] = np.sqrt(each[squared])
    outer: dict[str, Any] = {"level": list(range(len(keys))), "observed": True, "sort": by is not None}
    if WEIGHT in rows and by != "series":
        weight = rows[WEIGHT].reset_index(drop=True).groupby(groups, observed=True, sort=by is not None).first()
        counted = each.notna().mul(weight, axis=0).groupby(**outer).sum()
        table = each.mul(weight, axis=0).groupby(**outer).sum() / counted.where(counted > 0)
    else:
        table = each.groupby(**outer).mean()
    failed = pd.Series(rows["forecast"].isna().to_numpy()).groupby(rows["model"].to_numpy(), sort=False).any()
    table[failed.reindex(table.index.get_level_values("model")).to_numpy()] = np.nan
    return table


def errors_by(rows: pd.DataFrame, key: str, metric: str) -> pd.DataFrame:
    """Return one metric for each value of a key, in rows, and each model, in columns, averaged over seeds.

    DataError where the rows have no such column, or there are no groups.
    """
    raise_any(one_of("key", key, KEYS) + one_of("metric", metric, known_metrics(rows)), ParameterError)
    if key not in rows or rows[key].isna().all():
        raise DataError(f"rows must have values of {key!r} to be summarised by it: they have none")
    return _each_by(rows, key, metric)


def errors_by_level(rows: pd.DataFrame, level_of: Mapping[str, str], metric: str) -> pd.DataFrame:
    """Return one metric for each level of series, in rows in the order given, and each model, in columns.

    DataError where a series has no level.
    """
    levels = rows["series"].astype(str).map(level_of)
    if levels.isna().any():
        missing = shorten([repr(str(name)) for name in rows.loc[levels.isna(), "series"].unique()])
        must, remedy = "every series must be one of the hierarchy", "compare models on hierarchy.with_sums(series)"
        raise DataError(Problem(must, f"{missing} are not", remedy))
    ordered = pd.Categorical(levels, [*dict.fromkeys(level_of.values())], ordered=True)
    return _each_by(rows.assign(level=ordered), "level", metric)


def _each_by(rows: pd.DataFrame, key: str, metric: str) -> pd.DataFrame:
    """Return one metric for each value of a column, in rows, and each model, in columns, averaged over seeds."""
    found = errors(rows, key, [metric])[metric].groupby(level=["model", key], observed=True).mean()
    return found.unstack(level="model").rename_axis(columns=None)


def without_scale(rows: pd.DataFrame) -> list[str]:
    """Return a note on the series that have no MASE at some cutoff: the seasonal naive has no error before it."""
    lacks = ~(rows["naive_mae"] > 0)
    names = [repr(str(name)) for name in rows.loc[lacks, "series"].unique()]
    if not names:
        return []
    have, are = ("has", "is") if len(names) == 1 else ("have", "are")
    some = "" if lacks.sum() == rows["series"].isin(rows.loc[lacks, "series"].unique()).sum() else " at some cutoffs"
    return [
        f"{len(names)} of {rows['series'].nunique()} series {have} no MASE and RMSSE{some} and {are} left out of both: "
        f"{shorten(names, 8)}; before the cutoff the seasonal naive forecast had no error (all values or seasons "
        "are equal, or there is one value alone), so that nothing scales theirs; the metric mae counts them"
    ]


def without_percentage(rows: pd.DataFrame, metric: str) -> list[str]:
    """Return a note on the zeros that MAPE leaves out, where it is shown."""
    if metric != "mape" and OWN + "mape" not in rows:
        return []
    zeros = int((rows["y"] == 0).sum())
    if not zeros:
        return []
    return [f"{zeros / len(rows):.1%} of the true values are 0 and are left out of MAPE; wape counts them"]


def without_distribution(rows: pd.DataFrame, metric: str) -> list[str]:
    """Return a note on the models whose point forecasts stand for distributions, where these are shown."""
    if "crps" not in rows and metric not in DISTRIBUTION_METRICS:
        return []
    lacks = rows["crps"].isna() if "crps" in rows else pd.Series(True, index=rows.index)
    lacks &= rows["forecast"].notna()
    names = [str(name) for name in rows.loc[lacks, "model"].unique()]
    if not names:
        return []
    some = "" if lacks.sum() == rows["model"].isin(names).sum() else " at some cutoffs"
    return [
        f"{len(names)} of {rows['model'].nunique()} models {'has' if len(names) == 1 else 'have'} point forecasts "
        f"alone{some}: {shorten(names, 8)}; each counts as a distribution without spread, whose CRPS is the "
        "absolute error and whose intervals have no width"
    ]


def losses_by_trial(rows: pd.DataFrame, metric: str) -> dict[str, NDArray[np.float64]]:
    """Return the loss of each model by series and target, and by cutoff in order of time, (S, O), NaN without one."""
    # Counted from the newest cutoff of each series: those without time stamps have cutoffs of their own.
    newest = rows.groupby("series", observed=True)["cutoff"].rank("dense", ascending=False).astype(int)
    keys = [rows["model"].astype(str), rows["series"], rows["target"], -newest]
    means = pd.Series(losses_of_rows(rows, metric), index=rows.index).groupby(keys, observed=True, sort=True).mean()
    table = (np.sqrt(means) if is_root(rows, metric) else means).unstack(level=3)
    return {str(model): part.to_numpy(dtype=np.float64) for model, part in table.groupby(level=0, observed=True)}


def win_rates(rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the share of trials on which the model of a row has a lower loss than that of a column.

    A trial is a cutoff of a series and target; a tie is half a win.
    """
    losses = losses_by_trial(rows, metric)
    found = pd.DataFrame(np.nan, index=list(losses), columns=list(losses))
    for one in losses:
        for other in losses:
            both = ~(np.isnan(losses[one]) | np.isnan(losses[other]))
            if one != other and both.any():
                less, same = losses[one] < losses[other], losses[one] == losses[other]
                found.loc[one, other] = float((less + 0.5 * same)[both].mean())
    return found


@dataclass(frozen=True)
class Ranks:
    """Average ranks, and the least difference of two that is significant."""

    average: pd.Series  # by model, the best first; 1 is best
    critical_difference: float  # NaN where there are fewer than two models or trials
    count: int  # number of independent trials that were ranked
    unit: str  # of the trials: "series", or "cutoffs" of a single one

    @property
    def ties(self) -> list[tuple[str, ...]]:
        """Models without a significant difference: the longest runs of them in order of rank."""
        names, ranks = [str(name) for name in self.average.index], self.average.to_numpy()
        runs: list[tuple[int, int]] = []
        for first in range(len(names)):
            last = int(np.flatnonzero(ranks - ranks[first] <= self.critical_difference)[-1])
            if last > first and (not runs or last > runs[-1][1]):
                runs.append((first, last))
        return [tuple(names[first : last + 1]) for first, last in runs]


def average_ranks(rows: pd.DataFrame, metric: str) -> Ranks:
    """Rank the models on each series, or at each cutoff where there is one series, and average.

    Models without a finite loss on every trial are left out. Series count the same, whatever their weights.
    """
    from scipy.stats import rankdata

    losses = losses_by_trial(rows, metric)
    unit = "series" if len(next(iter(losses.values()))) > 1 else "cutoffs"
    axis = 1 if unit == "series" else 0  # over the cutoffs of each series, or over the one series at each cutoff
    means = {name: pd.DataFrame(each).mean(axis=axis).to_numpy() for name, each in losses.items()}
    kept = ~np.isnan(list(means.values())).all(axis=0)  # trials that some model has
    names = [name for name, each in means.items() if np.isfinite(each[kept]).all()]
    if not names:
        return Ranks(pd.Series(dtype=float), math.nan, 0, unit)
    places = rankdata(np.stack([means[name][kept] for name in names]), axis=0)  # (models, trials)
    average = pd.Series(places.mean(axis=1), index=names).sort_values(kind="stable")
    count = places.shape[1] if unit == "series" else max(1, places.shape[1] // overlap(rows))
    return Ranks(average, critical_difference(len(names), count), count, unit)


def critical_difference(models: int, count: int) -> float:
    """Return the least difference of average ranks over `count` trials that is significant at 5 %, by Nemenyi's test.

    [Demsar 2006, Journal of Machine Learning Research 7, 1-30]; NaN for fewer than two models or trials.
    """
    from scipy.stats import studentized_range

    if models < 2 or count < 2:
        return math.nan
    quantile = float(studentized_range.ppf(1 - SIGNIFICANCE, models, np.inf)) / math.sqrt(2)
    return quantile * math.sqrt(models * (models + 1) / (6 * count))
