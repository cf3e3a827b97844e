"""Metrics: the loss of each forecast, whose mean is the metric, or its square; and errors relative to a reference."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from tsforecast.checks import one_of
from tsforecast.distributions.base import interval_losses
from tsforecast.errors import ParameterError, raise_any, reason, shorten
from tsforecast.evaluation.scores import INTERVALS, SCORES, column, size_scores

METRICS = ("mase", "mae", "rmse", "smape", "rmsse")  # of point forecasts
DISTRIBUTION_METRICS = ("crps", "wql", "msis")
COVERAGES = tuple(f"coverage{held}" for held in INTERVALS)  # share of outcomes within central intervals
WIDTHS = tuple(f"width{held}" for held in INTERVALS)  # of these, in seasonal naive errors
SIZE = "size_score"  # normal quantile at the probability of the smallest central interval with the truth
OWN = "loss_"  # begins the column of rows with the losses of a metric of the caller
SQUARED = ("rmse", "rmsse")  # roots of a mean loss
SCALES = {"mase": "naive_mae", "rmsse": "naive_mse"}  # metric -> column of rows with its scale


def losses(metric: str, y: ArrayLike, forecast: ArrayLike, scale: ArrayLike = 1.0) -> NDArray[np.float64]:
    """Return the loss of each forecast, whose mean is the metric, or its square in the case of `SQUARED`.

    sMAPE is in [0, 200], as in the M4 competition, where two zeros are no error [Makridakis et al. 2020,
    doi 10.1016/j.ijforecast.2019.04.014]. `scale` is the mean absolute (MASE) [Hyndman and Koehler 2006,
    doi 10.1016/j.ijforecast.2006.03.001] or squared error (RMSSE) [Makridakis et al. 2022,
    doi 10.1016/j.ijforecast.2021.11.013] of the seasonal naive forecast on all that lies before the cutoff, see
    `tsforecast.data.scaling.seasonal_scale`; where it is 0 the loss is NaN.

    Examples
    --------
    >>> losses("rmse", [1.0, 2.0], [2.0, 4.0]).tolist(), losses("smape", [100.0, 0.0], [300.0, 0.0]).tolist()
    ([1.0, 4.0], [100.0, 0.0])
    >>> losses("mase", [1.0, 2.0], [2.0, 4.0], scale=[4.0, 0.0]).tolist()
    [0.25, nan]
    """
    raise_any(one_of("metric", metric, METRICS), ParameterError)
    truth, predicted = np.asarray(y, dtype=np.float64), np.asarray(forecast, dtype=np.float64)
    error: NDArray[np.float64] = np.abs(truth - predicted)
    if metric == "smape":
        size = np.abs(truth) + np.abs(predicted)
        error = 200 * error / np.where(size == 0, 1.0, size)
    if metric in SQUARED:
        error = error**2
    return error if metric not in SCALES else divide(error, scale)


def losses_of_rows(rows: pd.DataFrame, metric: str) -> NDArray[np.float64]:
    """Return the loss of each row of `tsforecast.backtest`; of `COVERAGES`, `WIDTHS` and `SIZE` the value itself.

    CRPS, MSIS and widths are scaled as MASE is. MSIS is the interval score of 95 % [Gneiting and Raftery 2007], in the
    definition of the M4 competition. WQL is the sum of quantile losses over the sum of absolute values, where each
    series counts by the means of its own rows.
    """
    if metric in METRICS:
        return losses(metric, rows["y"], rows["forecast"], rows[SCALES[metric]] if metric in SCALES else 1.0)
    if OWN + metric in rows:
        return np.asarray(rows[OWN + metric], dtype=np.float64)
    raise_any(one_of("metric", metric, (*known_metrics(rows), *COVERAGES, *WIDTHS, SIZE)), ParameterError)
    if metric == SIZE:
        return size_scores(rows)
    if metric == "wql":
        size = rows["y"].abs().groupby([rows["series"], rows["target"]], observed=True).mean().mean()
        return divide(column(rows, "quantile_loss"), size)
    if metric == "crps":
        return divide(column(rows, "crps"), rows["naive_mae"])
    held = 95 if metric == "msis" else int(metric[-2:])
    y, low, high = rows["y"].to_numpy(dtype=np.float64), column(rows, f"lo{held}"), column(rows, f"hi{held}")
    if metric in COVERAGES:
        inside = _of_counts(rows, (1 - held / 100) / 2, (low <= y) & (y <= high))
        return np.asarray(np.where(np.isnan(low + high), np.nan, inside))
    return divide(interval_losses(y, low, high, 0.95) if metric == "msis" else high - low, rows["naive_mae"])


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
    return [*METRICS, *DISTRIBUTION_METRICS, *own_metrics(rows)]


def own_metrics(rows: pd.DataFrame) -> list[str]:
    """Return the metrics of the caller whose losses rows hold."""
    return [str(name).removeprefix(OWN) for name in rows if str(name).startswith(OWN)]


def shown_metrics(rows: pd.DataFrame, metric: str) -> list[str]:
    """Return what a table shows: of distributions where rows have them, or where one of their metrics ranks."""
    found = [name for name in known_metrics(rows) if name not in DISTRIBUTION_METRICS or name == metric]
    return found if "crps" not in rows else [*known_metrics(rows), *COVERAGES, *WIDTHS]


def word(metric: str) -> str:
    """Return a metric as it stands in sentences; one of the caller as it was named."""
    return metric.upper() if metric in (*METRICS, *DISTRIBUTION_METRICS) else metric


@dataclass(frozen=True)
class Metric:
    """A metric of your own, for `leaderboard(metrics=...)`, where a greater value is better.

    A function alone is a loss, of which less is better.

    Parameters
    ----------
    function : callable
        Returns the value of each forecast, given arrays named as columns of rows, see `leaderboard`.
    best : float
        Value of a perfect forecast. Losses are the distances from it, so that skill is the share of what a reference
        lacks that a model adds: the table shows ``1 - hits`` where hits are best at 1.

    Examples
    --------
    >>> hits = Metric(lambda y, forecast: abs(y - forecast) < 1, best=1.0)
    >>> rows = pd.DataFrame({"y": [1.0, 2.0], "forecast": [1.5, 4.0]})
    >>> with_own(rows, {"hits": hits})["loss_1 - hits"].tolist()
    [0.0, 1.0]
    """

    function: Callable[..., Any]
    best: float


Own = Mapping[str, Callable[..., Any] | Metric]  # metrics of the caller by name
REST = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
SYNONYMS = {"y_true": "y", "y_pred": "forecast"}  # names of scikit-learn


def own_name(name: str, own: Own) -> str:
    """Return the name in the table of a metric: that of a loss, or the distance of a greater value from the best."""
    metric = own.get(name)
    return f"{metric.best:g} - {name}" if isinstance(metric, Metric) else name


def own_problems(own: Own) -> list[str]:
    """Return a sentence for each metric of the caller that cannot be one."""
    problems = []
    for name, metric in own.items():
        if not isinstance(name, str) or not name or name in (*METRICS, *DISTRIBUTION_METRICS, *COVERAGES, *WIDTHS):
            problems.append(f"metrics must have names of their own: got {name!r}; choose another one")
        if not callable(metric.function if isinstance(metric, Metric) else metric):
            problems.append(f"metrics[{name!r}] must be a function, such as lambda y, forecast: ...: got {metric!r}")
        if isinstance(metric, Metric) and not np.isfinite(metric.best):
            problems.append(f"metrics[{name!r}] must have a finite best value: got {metric.best!r}; return a loss")
    return problems


def reads_scores(own: Own) -> bool:
    """Return whether a metric of the caller has a parameter that is a score of distributions."""
    functions = [metric.function if isinstance(metric, Metric) else metric for metric in own.values()]
    return any(name in SCORES for function in functions for name in _parameters(function))


def with_own(rows: pd.DataFrame, own: Own, ranking: str = "") -> pd.DataFrame:
    """Return rows with the losses of each metric of the caller; ParameterError where a function has none.

    The one that ranks must not be negative: skill is a share.
    """
    found = {}
    for name, metric in own.items():
        values = _values(rows, name, metric.function if isinstance(metric, Metric) else metric)
        losses = metric.best - values if isinstance(metric, Metric) else values
        if name == ranking and (losses < 0).any():
            least = f"its least is {np.nanmin(losses):.3g}"
            raise ParameterError(f"metrics[{name!r}] must be at least 0 to rank models by its ratio: {least}")
        found[OWN + own_name(name, own)] = losses
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
