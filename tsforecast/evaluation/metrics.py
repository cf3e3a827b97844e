"""Metrics: the loss of each forecast, whose mean is the metric, or its square; and errors relative to a reference."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from tsforecast.checks import one_of
from tsforecast.data.panel import Panel
from tsforecast.distributions.base import interval_losses
from tsforecast.errors import ParameterError, nearest, raise_any, reason, shorten
from tsforecast.evaluation.scores import INTERVALS, SCORES, column, size_scores

METRICS = ("mase", "mae", "rmse", "smape", "rmsse")  # of point forecasts
RELATED = ("wape", "mape", "owa")  # of point forecasts, that rank or are shown where they are asked for
DISTRIBUTION_METRICS = ("crps", "wql", "msis")
RANKING = (*METRICS, *RELATED, *DISTRIBUTION_METRICS)  # those that can rank models
SIGNED = ("bias",)  # that is shown, and cannot rank
POINT = (*METRICS, *RELATED, *SIGNED)
COVERAGES = tuple(f"coverage{held}" for held in INTERVALS)  # share of outcomes within central intervals
WIDTHS = tuple(f"width{held}" for held in INTERVALS)  # of these, in seasonal naive errors
SIZE = "size_score"  # normal quantile at the probability of the smallest central interval with the truth
NAMED = (*RANKING, *SIGNED, "coverage", *COVERAGES, *WIDTHS)  # that `leaderboard(metrics=[...])` takes by name
OWN = "loss_"  # begins the column of rows with the losses of a metric of the caller
ROOT = "squared_"  # begins that of losses the root of whose mean is the metric
WEIGHT = "weight"  # column of rows: how much a series counts in means
SQUARED = ("rmse", "rmsse")  # roots of a mean loss
SCALES = {"mase": "naive_mae", "rmsse": "naive_mse"}  # metric -> column of rows with its scale


def losses(metric: str, y: ArrayLike, forecast: ArrayLike, scale: ArrayLike = 1.0) -> NDArray[np.float64]:
    """Return the loss of each forecast, whose mean is the metric, or its square in the case of `SQUARED`.

    sMAPE is in [0, 200], as in the M4 competition, where two zeros are no error [Makridakis et al. 2020,
    doi 10.1016/j.ijforecast.2019.04.014]. MAPE is in percent of the truth, and NaN where that is 0. The bias is the
    error with its sign, above 0 where forecasts are too high. `scale` is the mean absolute (MASE) [Hyndman and Koehler
    2006, doi 10.1016/j.ijforecast.2006.03.001] or squared error (RMSSE) [Makridakis et al. 2022,
    doi 10.1016/j.ijforecast.2021.11.013] of the seasonal naive forecast on all that lies before the cutoff, see
    `tsforecast.data.scaling.seasonal_scale`; where it is 0 the loss is NaN.

    Examples
    --------
    >>> losses("rmse", [1.0, 2.0], [2.0, 4.0]).tolist(), losses("smape", [100.0, 0.0], [300.0, 0.0]).tolist()
    ([1.0, 4.0], [100.0, 0.0])
    >>> losses("mase", [1.0, 2.0], [2.0, 4.0], scale=[4.0, 0.0]).tolist()
    [0.25, nan]
    """
    raise_any(one_of("metric", metric, (*METRICS, "mape", *SIGNED)), ParameterError)
    truth, predicted = np.asarray(y, dtype=np.float64), np.asarray(forecast, dtype=np.float64)
    if metric in SIGNED:
        return predicted - truth
    error: NDArray[np.float64] = np.abs(truth - predicted)
    if metric == "mape":
        return 100 * divide(error, np.abs(truth))
    if metric == "smape":
        size = np.abs(truth) + np.abs(predicted)
        error = 200 * error / np.where(size == 0, 1.0, size)
    if metric in SQUARED:
        error = error**2
    return error if metric not in SCALES else divide(error, scale)


def losses_of_rows(rows: pd.DataFrame, metric: str) -> NDArray[np.float64]:
    """Return the loss of each row of `tsforecast.backtest`; of `COVERAGES`, `WIDTHS` and `SIZE` the value itself.

    CRPS, MSIS and widths are scaled as MASE is. MSIS is the interval score of 95 % [Gneiting and Raftery 2007], in the
    definition of the M4 competition. WQL is the sum of quantile losses, and WAPE that of absolute errors, over the sum
    of absolute values, where each series counts by the means of its own rows. OWA is relative to the seasonal naive
    forecast, where rows have it, else to their first model.
    """
    for name in (OWN + metric, ROOT + metric):
        if name in rows:
            return np.asarray(rows[name], dtype=np.float64)
    if metric in (*METRICS, "mape", *SIGNED):
        return losses(metric, rows["y"], rows["forecast"], rows[SCALES[metric]] if metric in SCALES else 1.0)
    raise_any(one_of("metric", metric, (*known_metrics(rows), *COVERAGES, *WIDTHS, SIZE)), ParameterError)
    if metric == SIZE:
        return size_scores(rows)
    if metric in ("wql", "wape"):
        own = column(rows, "quantile_loss") if metric == "wql" else losses("mae", rows["y"], rows["forecast"])
        return divide(own, _mean_of(rows, rows["y"].abs()))
    if metric == "owa":
        models = rows["model"].astype(str)
        base = models == ("seasonal-naive" if (models == "seasonal-naive").any() else models.iloc[0])
        parts = {name: losses_of_rows(rows, name) for name in ("smape", "mase")}
        means = {name: _mean_of(rows[base], pd.Series(part, rows.index)[base]) for name, part in parts.items()}
        return np.asarray(sum(divide(part, means[name]) for name, part in parts.items()) / 2)
    if metric == "crps":
        return divide(column(rows, "crps"), rows["naive_mae"])
    held = 95 if metric == "msis" else int(metric[-2:])
    y, low, high = rows["y"].to_numpy(dtype=np.float64), column(rows, f"lo{held}"), column(rows, f"hi{held}")
    if metric in COVERAGES:
        inside = _of_counts(rows, (1 - held / 100) / 2, (low <= y) & (y <= high))
        return np.asarray(np.where(np.isnan(low + high), np.nan, inside))
    return divide(interval_losses(y, low, high, 0.95) if metric == "msis" else high - low, rows["naive_mae"])


def _mean_of(rows: pd.DataFrame, values: pd.Series) -> float:
    """Return the mean over series and targets of the means of their own rows, by the weights of the series."""
    means = values.groupby([rows["series"], rows["target"]], observed=True).mean()
    if WEIGHT not in rows:
        return float(means.mean())
    weights = rows[WEIGHT].groupby([rows["series"], rows["target"]], observed=True).first()
    return float((means * weights).sum() / weights[means.notna()].sum())


def series_weights(weights: Mapping[Any, float] | str | None, panel: Panel) -> dict[str, float] | None:
    """Return the weight of each series of a panel by its id as text; None where all count the same.

    ParameterError where a series has none, or one is no finite number above 0.
    """
    if weights is None:
        return None
    if isinstance(weights, str):
        if weights not in panel.statics:
            raise ParameterError(
                f"weights must name a static column of the data: got {weights!r}; "
                + (nearest(weights, panel.statics) if panel.statics else "pass a dict of series to number")
            )
        weights = dict(zip(panel.ids.tolist(), panel.statics[weights].tolist(), strict=True))
    if not isinstance(weights, Mapping | pd.Series):
        raise ParameterError(f"weights must be a dict of series to number: got {type(weights).__name__}")
    known = {str(name): weight for name, weight in weights.items()}
    missing = [repr(str(name)) for name in panel.ids if str(name) not in known]
    wrong = [f"{str(name)!r}: {known[str(name)]!r}" for name in panel.ids if not _counts(known.get(str(name), 1.0))]
    must = "weights must have a finite number above 0 for each series"
    raise_any([f"{must}: {shorten(missing)} of {len(panel)} series have none"] if missing else [], ParameterError)
    raise_any(
        [f"{must}: got {shorten(wrong)}; leave series out of the data that do not count"] if wrong else [],
        ParameterError,
    )
    return {str(name): float(known[str(name)]) for name in panel.ids}


def _counts(weight: Any) -> bool:
    number = isinstance(weight, (int, float, np.number)) and not isinstance(weight, bool)
    return bool(number and np.isfinite(weight) and weight > 0)


def weighted(rows: pd.DataFrame, weights: Mapping[str, float] | None) -> pd.DataFrame:
    """Return rows with the weights of their series, where there are some."""
    return rows if weights is None else rows.assign(**{WEIGHT: rows["series"].astype(str).map(weights).astype(float)})


def is_root(rows: pd.DataFrame, metric: str) -> bool:
    """Return whether a metric is the root of a mean loss."""
    return metric in SQUARED or ROOT + metric in rows


def _of_counts(rows: pd.DataFrame, edge: float, inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return how much of each truth lies inside the central interval that leaves out a share at each edge.

    A count has a share of the probability, of which a part may lie inside: an interval whose end is the count 0, with 9
    of 10 outcomes, holds more than it is to hold, and is no wider than it must be. A forecast that is sure has no edge.
    """
    low, high = column(rows, "pit_lo"), column(rows, "pit_hi")
    width = high - low
    part = np.clip(np.minimum(high, 1 - edge) - np.maximum(low, edge), 0, None) / np.where(width > 0, width, 1.0)
    return np.where((width > 0) & (width < 1), part, inside)


def known_metrics(rows: pd.DataFrame) -> list[str]:
    """Return the metrics that can rank the models of rows."""
    own = own_metrics(rows)
    return [*RANKING, *(name for name in own if name not in RANKING)]


def own_metrics(rows: pd.DataFrame) -> list[str]:
    """Return the metrics of the caller whose losses rows hold."""
    names = [str(name) for name in rows]
    return [name.removeprefix(start) for name in names for start in (OWN, ROOT) if name.startswith(start)]


def shown_metrics(rows: pd.DataFrame, metric: str) -> list[str]:
    """Return what a table shows: of distributions where rows have them, or where one of their metrics ranks."""
    scored = (*DISTRIBUTION_METRICS, *COVERAGES, *WIDTHS) if "crps" in rows else ()
    shown = (*METRICS, *scored, *own_metrics(rows), metric)
    return [name for name in (*known_metrics(rows), *COVERAGES, *WIDTHS) if name in shown]


def word(metric: str) -> str:
    """Return a metric as it stands in sentences; one of the caller as it was named."""
    return metric.upper() if metric in RANKING else metric


@dataclass(frozen=True)
class Metric:
    """A metric of your own, for `leaderboard(metrics=...)`, with its direction and its mean.

    A function alone is a loss, of which less is better, and whose mean is the metric.

    Parameters
    ----------
    function : callable
        Returns the value of each forecast, given arrays named as columns of rows, see `leaderboard`.
    best : float
        Value of a perfect forecast. Losses are the distances from it, so that skill is the share of what a reference
        lacks that a model adds: the table shows ``1 - hits`` where hits are best at 1.
    direction : {"higher", "lower"}
        Which values are better.
    aggregation : {"mean", "root"}
        Of the losses of a series, over steps and cutoffs: their mean, or the root of it, as in RMSE. Then the mean over
        series, by their weights.

    Examples
    --------
    >>> hits = Metric(lambda y, forecast: abs(y - forecast) < 1, best=1.0)
    >>> rows = pd.DataFrame({"y": [1.0, 2.0], "forecast": [1.5, 4.0]})
    >>> with_own(rows, {"hits": hits})["loss_1 - hits"].tolist()
    [0.0, 1.0]
    """

    function: Callable[..., Any]
    best: float = 0.0
    direction: Literal["higher", "lower"] = "higher"
    aggregation: Literal["mean", "root"] = "mean"


Own = Mapping[str, Callable[..., Any] | Metric | str]  # metrics by name: of the caller, or of this module
REST = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
SYNONYMS = {"y_true": "y", "y_pred": "forecast"}  # names of scikit-learn


def own_name(name: str, own: Own) -> str:
    """Return the name in the table of a metric: that of a loss, or the distance of a greater value from the best."""
    metric = own.get(name)
    return f"{metric.best:g} - {name}" if isinstance(metric, Metric) and metric.direction == "higher" else name


def named_metrics(metrics: Own | Iterable[str] | None) -> Own:
    """Return metrics by name, given those or names alone."""
    if isinstance(metrics, Mapping):
        return dict(metrics)
    names = [metrics] if isinstance(metrics, str) else metrics or ()
    return {name: name for name in names}


def own_problems(own: Own) -> list[str]:
    """Return a sentence for each metric of the caller that cannot be one."""
    problems = []
    for name, metric in own.items():
        if isinstance(metric, str):
            problems += one_of("metrics", metric, NAMED)
            continue
        if not isinstance(name, str) or not name or name in NAMED:
            problems.append(f"metrics must have names of their own: got {name!r}; choose another one")
        if not callable(metric.function if isinstance(metric, Metric) else metric):
            problems.append(f"metrics[{name!r}] must be a function, such as lambda y, forecast: ...: got {metric!r}")
        if isinstance(metric, Metric) and not np.isfinite(metric.best):
            problems.append(f"metrics[{name!r}] must have a finite best value: got {metric.best!r}; return a loss")
        if isinstance(metric, Metric):
            problems += one_of("direction", metric.direction, ("higher", "lower"))
            problems += one_of("aggregation", metric.aggregation, ("mean", "root"))
    return problems


def reads_scores(own: Own) -> bool:
    """Return whether a metric is one of distributions, or has a parameter that is a score of theirs."""
    if any(isinstance(metric, str) and metric in NAMED and metric not in POINT for metric in own.values()):
        return True
    functions = [metric.function if isinstance(metric, Metric) else metric for metric in own.values()]
    return any(name in SCORES for each in functions if callable(each) for name in _parameters(each))


def with_own(rows: pd.DataFrame, own: Own, ranking: str = "") -> pd.DataFrame:
    """Return rows with the losses of each metric that was asked for; ParameterError where a function has none.

    The one that ranks must not be negative: skill is a share.
    """
    found = dict[str, NDArray[np.float64]]()
    for name, metric in own.items():
        if isinstance(metric, str):
            found |= {OWN + metric: losses_of_rows(rows, metric)} if metric in (*RELATED, *SIGNED) else {}
            continue
        values = _values(rows, name, metric.function if isinstance(metric, Metric) else metric)
        losses, start = values, OWN
        if isinstance(metric, Metric):
            losses = metric.best - values if metric.direction == "higher" else values - metric.best
            start = ROOT if metric.aggregation == "root" else OWN
        if name == ranking and (losses < 0).any():
            least = f"its least is {np.nanmin(losses):.3g}"
            remedy = "; give a Metric its best value: best=" if isinstance(metric, Metric) else "; return a loss"
            raise ParameterError(f"metrics[{name!r}] must be at least 0 to rank models by its ratio: {least}{remedy}")
        found[start + own_name(name, own)] = losses
    return rows.assign(**found)


def _parameters(function: Callable[..., Any]) -> list[str]:
    """Return the names of the parameters that a function must be given; none where it does not tell them."""
    with suppress(TypeError, ValueError):
        found = inspect.signature(function).parameters.values()
        return [each.name for each in found if each.default is each.empty and each.kind not in REST]
    return []


def _values(rows: pd.DataFrame, name: str, function: Callable[..., Any]) -> NDArray[np.float64]:
    """Return the value of each row: a function is given the columns that its parameters are named after."""
    who, count = f"metrics[{name!r}]", len(rows)
    known = [*rows, *(score for score in SCORES if score not in rows)]
    names = _parameters(function)
    if not names:
        raise ParameterError(f"{who} must name its parameters: wrap it as lambda y, forecast: ...")
    if unknown := [each for each in names if SYNONYMS.get(each, each) not in known]:
        raise ParameterError(
            f"{who} must have parameters that are columns of rows, such as y, forecast and hi80: it has "
            f"{shorten(list(map(repr, unknown)))}, which none is; rename them, or give them a default"
        )
    columns = {each: SYNONYMS.get(each, each) for each in names}
    given = {each: column(rows, of) if of in SCORES else rows[of].to_numpy() for each, of in columns.items()}
    try:
        values = np.asarray(function(**given), dtype=np.float64)
    except Exception as error:
        raise ParameterError(
            f"{who} must work on arrays of {count} forecasts: {type(error).__name__}: {reason(error)}"
        ) from error
    if values.shape != (count,):
        raise ParameterError(
            f"{who} must return a value for each of {count} forecasts: got an array of shape {values.shape}; leave "
            "out the mean, as in abs(y - forecast)"
        )
    if wrong := int((~np.isfinite(values) & np.isfinite(rows["forecast"].to_numpy(dtype=np.float64))).sum()):
        raise ParameterError(f"{who} must return finite numbers: {wrong} of {count} are not")
    return values


def owa(smape: float, mase: float, reference_smape: float, reference_mase: float) -> float:
    """Overall weighted average: the mean of sMAPE and MASE, each relative to a reference model's.

    In the M4 competition the reference is Naive2 [Makridakis et al. 2020].
    """
    return float((divide(smape, reference_smape) + divide(mase, reference_mase)) / 2)


def skill(error: float, reference_error: float) -> float:
    """Share of a reference model's error that a model removes; above 0 it beats the reference."""
    return float(1 - divide(error, reference_error))


def divide(numerator: ArrayLike, denominator: ArrayLike) -> NDArray[np.float64]:
    """Divide; NaN where the denominator is 0."""
    below = np.asarray(denominator, dtype=np.float64)
    return np.asarray(numerator, dtype=np.float64) / np.where(below == 0, np.nan, below)
