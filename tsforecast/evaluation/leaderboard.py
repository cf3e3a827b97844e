"""Leaderboard: forecasters compared on the same cutoffs, always with the naive family, and its report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self

import pandas as pd

from tsforecast.checks import between, flag, jobs, one_of, whole
from tsforecast.data.panel import Panel
from tsforecast.data.protocol import Protocol, default_cutoffs, option_problems
from tsforecast.data.splits import Align, GroupKFold, LeaveGroupsOut
from tsforecast.errors import (
    Argument,
    DataError,
    ParameterError,
    Problem,
    UnknownNameError,
    nearest,
    raise_any,
)
from tsforecast.estimators.registry import make
from tsforecast.evaluation.backtest import Ahead, Backtest, joined
from tsforecast.evaluation.duration import within_time
from tsforecast.evaluation.entries import (
    ALWAYS,
    Models,
    best_before,
    given_forecasts,
    given_outcomes,
    named_with_notes,
    names_of,
    stated_pretraining,
    with_levels,
)
from tsforecast.evaluation.external import read_forecasts
from tsforecast.evaluation.metrics import (
    DISTRIBUTION_METRICS,
    RANKING,
    Own,
    named_metrics,
    own_name,
    own_problems,
    reads_scores,
    series_weights,
    weighted,
    with_own,
)
from tsforecast.evaluation.notes import (
    audited_as_a_whole,
    cut_off,
    fallbacks,
    naive_again,
    not_pickled,
    skipped_series,
    undistributed,
)
from tsforecast.evaluation.phrasing import unit_problems
from tsforecast.evaluation.record import ForecastRecord
from tsforecast.evaluation.report.interface import BoardPlots
from tsforecast.evaluation.results import ForecastResults
from tsforecast.evaluation.runner import complete, run_all
from tsforecast.evaluation.seal import count_opening
from tsforecast.evaluation.verdict import MARGIN
from tsforecast.events import observed, unobserved
from tsforecast.executors import run_here
from tsforecast.files import write_or_return
from tsforecast.forecasters.base import Forecaster, Pretraining, pretraining_of
from tsforecast.monash import stated_horizon


class Leaderboard(BoardPlots, ForecastResults):
    """Forecast results with a report: one page of HTML, JSON, and a table for notebooks; see `ForecastResults`."""

    # The reports draw with matplotlib and render with jinja: both are loaded when a report is asked for.

    def to_html(self, path: str | Path | None = None, title: str | None = None) -> str | None:
        """Write the report to a file, or return it: one page of HTML that needs no network.

        Folders of the path that are missing are made.

        Raises
        ------
        OutputError
        """
        from tsforecast.evaluation.report.forecasts import html_report

        return write_or_return(html_report(self, title), path)

    @classmethod
    def from_forecasts(
        cls,
        forecasts: Any,
        truth: Any,
        *,
        id: str | None = None,
        time: str | None = None,
        cutoff: str | None = None,
        model: str | None = None,
        forecast: str | None = None,
        metric: str = "mase",
        reference: str | None = None,
        margin: float = MARGIN,
        independent_series: bool = False,
        metrics: Own | Iterable[str] | None = None,
        weights: Mapping[Any, float] | str | None = None,
        pretraining: Mapping[str, Pretraining] | None = None,
        unit: str = "",
    ) -> Self:
        """Compare forecasts that were made elsewhere with the naive family at the same cutoffs.

        Parameters
        ----------
        forecasts : frame, or dict of model to frame
            One row for each series, cutoff, time and model; or a column for each model, as NeuralForecast and
            StatsForecast have them (``unique_id, ds, cutoff, y, AutoARIMA, AutoARIMA-lo-90``); or a row for each series
            and cutoff with lists of steps (``predictions, 0.1, 0.9``). Without a column of cutoffs each series has one,
            right before its first forecast. Quantiles are columns named after levels (``0.1``, ``q0.1``) or ends of
            intervals (``lo-90``, ``hi80``). A column of the truth must agree with `truth`.
        truth : anything that `Panel.of` reads
            The series with their past, of which naive forecasts and scales are made.
        id, time, cutoff, model, forecast : str, optional
            Columns of the forecasts, where those have other names than the ones of the truth and the usual ones.
        metric, reference, margin, independent_series, metrics, weights, unit
            See `leaderboard`.
        pretraining : dict of model to Pretraining, optional
            Release and datasets of models that were trained before.

        Raises
        ------
        DataError
            When models do not forecast the same series, cutoffs and steps, one does so twice, a time is none of the
            truth's, or the truth differs.
        ParameterError, UnknownNameError

        Examples
        --------
        >>> import pandas as pd
        >>> days = pd.date_range("2024-01-01", periods=6, freq="D")
        >>> truth = pd.DataFrame({"id": "a", "day": days, "y": [1.0, 3.0, 2.0, 4.0, 3.0, 5.0]})
        >>> made = pd.DataFrame({"id": "a", "day": days[4:], "cutoff": days[3], "mine": [3.5, 4.5]})
        >>> Leaderboard.from_forecasts(made, truth).table[["model", "mae"]].values[0].tolist()
        ['mine', 0.5]
        """
        own = named_metrics(metrics)
        problems = one_of("metric", metric, (*RANKING, *own)) + own_problems(own)
        problems += between("margin", margin, 0, 1) + flag("independent_series", independent_series)
        problems += unit_problems(unit)
        raise_any(problems, ParameterError)
        columns = {"id": id, "time": time, "cutoff": cutoff, "model": model, "forecast": forecast}
        given = read_forecasts(forecasts, Panel.of(truth), columns)
        stated = stated_pretraining(pretraining, given.values)
        past = given.panel.until(given.oldest)
        models, why = with_levels({name: make(name) for name in ALWAYS}, past)
        if taken := sorted(set(models) & set(given.values)):
            raise DataError(f"given models must have names of their own: {taken[0]!r} is made here; rename it")
        found = [*(given.rows_of_model(name, each) for name, each in models.items()), *given.rows()]
        counted = series_weights(weights, given.panel)
        rows = with_own(weighted(pd.concat([part for part, _ in found], ignore_index=True), counted), own, metric)
        protocol = Protocol(given.horizon, gap=given.gap, audit=None)
        chosen = reference or best_before(past, protocol, given.has_quantiles, models, metric, own, counted)
        notes = (*given.panel.notes, *given.panel.season_notes, *given.notes, *why)
        record = given.board_record(tuple(fit.after(stated.get(fit.model)) for _, fit in found))
        ranking = own_name(metric, own)
        return cls.from_rows(rows, ranking, chosen, notes, record, margin, independent_series, unit)

    def to_json(self, path: str | Path | None = None) -> str | None:
        """Write table, verdicts, summaries and record to a file, or return them; NaN and infinities are null.

        Raises
        ------
        OutputError
        """
        from tsforecast.evaluation.report.forecasts import json_report

        return write_or_return(json_report(self), path)

    def to_fev(
        self,
        path: str | Path | None = None,
        *,
        task: Mapping[str, Any] | None = None,
        metric: str | None = None,
        extra_metrics: Sequence[str] = (),
    ) -> pd.DataFrame:
        """Return a row for each model as fev has them, and write them to a file where a path is given.

        Errors are computed from the rows by fev's definitions, which average over windows; quantile losses are those of
        the deciles. A failed model has a row without an error.

        Parameters
        ----------
        path : path, optional
            A file in ``.csv``, ``.json`` or ``.parquet``.
        task : dict, optional
            Fields of the task as fev names them, such as ``dataset_path``, ``id_column`` and ``task_name``, so that the
            rows are those of the same task as rows of others. What is not given follows from the board.
        metric : str, optional
            The metric of fev in ``test_error``, such as ``"MASE"`` or ``"WQL"``; that of the board unless given, with
            ``"SQL"`` for crps.
        extra_metrics : list of str
            Further metrics of fev, a column each.

        Raises
        ------
        ParameterError, OutputError

        Examples
        --------
        >>> import numpy as np
        >>> board = leaderboard(["mean"], np.arange(20.0), horizon=2, origins=3)
        >>> rows = board.to_fev(task={"dataset_path": "line"}, metric="MAE")
        >>> rows[["model_name", "dataset_path", "num_windows", "test_error"]].values[1].tolist()
        ['naive', 'line', 3, 1.5]
        """
        from tsforecast.evaluation.exchange import fev_rows, write_fev

        rows = fev_rows(self, task, metric, extra_metrics)
        if path is not None:
            write_fev(rows, Path(path))
        return rows


def leaderboard(
    forecasters: Models,
    data: Any,
    horizon: int | None = None,
    origins: int | None = None,
    step: int | None = None,
    gap: int = 0,
    refit: bool = False,
    metric: str = "mase",
    reference: str | None = None,
    groups: LeaveGroupsOut | GroupKFold | None = None,
    audit: Literal["data", "fit"] | None = "data",
    seeds: int = 1,
    n_jobs: int | None = None,
    checkpoint: str | Path | None = None,
    progress: Callable[[str], None] | None = None,
    min_past: int = 1,
    align: Align | None = None,
    margin: float = MARGIN,
    independent_series: bool = False,
    distributions: bool | None = None,
    metrics: Own | Iterable[str] | None = None,
    forecast: bool = False,
    within: float | str | None = None,
    weights: Mapping[Any, float] | str | None = None,
    seal: str | Path | None = None,
    unit: str = "",
) -> Leaderboard:
    """Compare forecasters with the naive family on the same cutoffs.

    A model that fails is listed with its error, and the others continue.

    Parameters
    ----------
    forecasters : name or model, list of them, or dict of name to model
        A model is anything that `as_forecaster` takes: a forecaster, a regressor of scikit-learn, a function, an object
        with fit and predict; or a frame of forecasts that were made elsewhere, which `Leaderboard.from_forecasts`
        describes. A name may be ``"library:Class"`` or ``"module:callable"`` as well; ``"all"`` stands for every model
        of this package that has a name. Naive, seasonal naive and drift are added where they
        are missing, and mean and window average where most numbers are 0. A name stands for the model with its
        defaults and ``random_state=0``, as on the command line.
    data : anything that `Panel.of` reads, or the name of a dataset, which its panel stands for as well
    horizon : int, optional
        Steps to forecast; a dataset has its own, and a ``.tsf`` file may state one.
    origins, step : int, optional
        Cutoffs to test, and steps between them; see `RollingOrigin`. With its own horizon a dataset has its own. Else
        as many as the last third of the median series holds, from 10 (which overlap where it is short) to 30; one
        where verdicts count groups or series.
    gap, refit, groups, audit
        See `backtest`.
    metric : {"mase", "mae", "rmse", "smape", "rmsse", "wape", "mape", "owa", "crps", "wql", "msis"}
        Ranks the models: by point forecasts, or (the last three) by their distributions, see
        `docs/reference/metrics.md`. Or one of `metrics` by its name.
    reference : str, optional
        The model that skill is relative to. Unless given, the naive forecast with the lowest error at cutoffs before
        the oldest one of the test, so that the choice costs no power; where there are none, that of the test itself.
    seeds : int
        How often each model with a random state is fitted, with ``random_state, random_state + 1, ...``.
    n_jobs : int, optional
        Processes to share fits of models, seeds and (with `refit`) cutoffs between; -1 for one on each core. Unless
        given, those of `tsforecast.compute`, and one outside of it. Forecasts are those of one process, to the bit.
    checkpoint : path, optional
        Folder for the rows of each finished fit. An interrupted comparison resumes from them when it is called again;
        fits of other data or settings are not used.
    progress : callable, optional
        Called with the name of each model at its start.
    min_past, align
        See `backtest`.
    margin : float
        Skill within which a model is equivalent to the reference.
    independent_series : bool
        Whether errors of different series at one time are independent of each other. Verdicts then count series, and
        one cutoff can be enough; else series that share a calendar count as one observation at each cutoff.
    distributions : bool, optional
        Score the distributions of forecasts as well. Unless given, where `metric` or a function of `metrics` needs
        them, or a model learns distributions.
    metrics : list of names, or dict of name to function, optional
        Further columns by name, such as ``["wape", "bias", "coverage"]``; or losses of your own: a function returns
        the loss of each forecast as an array, given arrays that are named as columns of `backtest`, such as
        ``lambda y, forecast: abs(y - forecast)`` or, of the 80 % interval, ``lambda y, lo80, hi80: (y < lo80) |
        (y > hi80)``. `evaluation.metrics.Metric` takes those of which more is better, or whose mean has a root.
    forecast : bool
        Fit each model that is compared with the reference once more, on all data, and forecast the steps that follow,
        with intervals: ``results.record.ahead``, and a section of the report. Of the best network, or other model that
        corrects an anchor, another section has what its forecasts are made of (`Forecaster.explain`).
    within : float or str, optional
        Seconds, or a text such as ``"10min"``, that the comparison may take. Short fits predict how long it will; of
        the cutoffs as many are tested as fit, the newest ones, and models are fitted once where not even five with a
        fit at each would. A note has the numbers. Where the least does not fit it is refused.
    weights : dict of series to number, or str, optional
        How much each series counts in the means over series, such as its value; or the static column with it. Verdicts
        weigh as the table does; win rates and ranks count series.
    seal : path, optional
        Ledger of a sealed test part, see `tsforecast.seal`. Where its rows are tested, a note has how often and by
        which models they were opened before, and this comparison is counted there before it begins.
    unit : str
        Of the target, such as ``"EUR"``, for the headline and the titles of figures.

    Raises
    ------
    UnknownNameError, ParameterError, DataError
        Also when every requested model failed, or one that all are compared with did.

    Examples
    --------
    >>> import numpy as np
    >>> results = leaderboard(["mean"], np.arange(20.0), horizon=2, origins=3)
    >>> results.reference, results.table["model"].tolist()
    ('drift', ['drift', 'naive', 'seasonal-naive', 'mean'])
    """
    own = named_metrics(metrics)
    problems = one_of("metric", metric, (*RANKING, *own)) + option_problems(refit, groups, audit, align)
    problems += whole("seeds", seeds, 1) + jobs("n_jobs", n_jobs)
    problems += between("margin", margin, 0, 1) + flag("independent_series", independent_series)
    problems += (
        own_problems(own)
        + unit_problems(unit)
        + ([] if distributions is None else flag("distributions", distributions))
    )
    problems += flag("forecast", forecast)
    if progress is not None and not callable(progress):
        problems.append(f"progress must be a function of a model's name: got {progress!r}")
    raise_any(problems, ParameterError)
    models, adapted = named_with_notes(forecasters)
    options = {"gap": gap, "refit": refit, "groups": groups, "audit": audit, "min_past": min_past, "align": align}
    panel, protocol = panel_and_protocol(data, horizon, origins, step, independent_series, **options)
    given = given_forecasts(forecasters, panel)
    known = [*models, *names_of(given, models)]
    if reference is not None and reference not in known:
        raise UnknownNameError(f"reference {reference!r} is not among the models; {nearest(reference, known)}")
    panel = protocol.prepared(panel)
    counted = series_weights(weights, panel)
    own_names = models.keys() - ALWAYS
    models, why = with_levels(models, panel)
    needed = [name for name in models if name in (*ALWAYS, reference)]
    before = {name: pretraining_of(model) for name, model in models.items()}
    if distributions is None:
        distributions = needs_distributions(models, metric, own) or any(each.has_quantiles for each in given)
    backtest = Backtest(panel, protocol, distributions)
    protocol.folds(panel)  # a mistaken cutoff is an error before the run begins
    if own:  # a mistaken function, too
        with_own(backtest.run("naive", models["naive"], backtest.folds[0])[0], own, metric)
    if within is not None:
        protocol, reason = within_time(within, models, backtest, seeds, n_jobs, independent_series)
        backtest, why = replace(backtest, protocol=protocol), [*why, reason]
    ready = [outcome for each in given for outcome in given_outcomes(each, backtest)]
    if checkpoint is not None or not run_here(n_jobs):
        why = [*why, *not_pickled(models)]
    if seal is not None:
        opened_by = [name for name in known if name not in ALWAYS] or ALWAYS
        why = [count_opening(seal, panel, backtest.folds, opened_by), *why]
    with observed(models, panel) as activity:
        outcomes = run_all(models, backtest, seeds, n_jobs, checkpoint, progress, needed, activity.notify)
        outcomes += ready
        parts = [joined(each) for each in complete(outcomes, ALWAYS).values()]
        replaced = [note for part in parts for note in fallbacks(part)]
        adapted += [note for each in given for note in each.notes]
        more = (*panel.season_notes, *replaced, *naive_again(outcomes), *cut_off(outcomes), *undistributed(outcomes))
        adapted = [*adapted, *audited_as_a_whole(outcomes)]
        notes = (*panel.notes, *why, *adapted, *skipped_series(panel, parts[0]), *more)
        fits = tuple(outcome.fit.after(before.get(outcome.fit.model)) for outcome in outcomes)
        record = ForecastRecord.of(panel, protocol, fits)
        rows = with_own(weighted(pd.concat(parts, ignore_index=True), counted), own, metric)
        if reference is None and protocol.groups is None and len(panel) == len(backtest.folds[0].test):
            past = panel.until(backtest.folds[0].cutoffs[0].seen)
            reference = best_before(past, protocol, distributions, models, metric, own, counted)
        results = Leaderboard.from_rows(
            rows, own_name(metric, own), reference, notes, record, margin, independent_series, unit
        )
        if forecast:
            asked = {name: model for name, model in models.items() if name in own_names or name == results.reference}
            ranked = [name for name in results.table["model"] if name in asked and asked[name].has_parts]
            record, unknown = _ahead(record, asked, backtest, n_jobs, checkpoint, *ranked[:1])
            results = replace(results, record=record, notes=(*results.notes, *unknown))
        activity.result = results
    return results


@unobserved()
def _ahead(
    record: ForecastRecord,
    models: Mapping[str, Forecaster],
    test: Backtest,
    n_jobs: int | None,
    checkpoint: Any,
    explained: str | None = None,
) -> tuple[ForecastRecord, tuple[str, ...]]:
    """Return the record with forecasts of the steps after the data, those of one explained; notes on models without."""
    outcomes = run_all(models, Ahead(test.panel, test.protocol, explained=explained), 1, n_jobs, checkpoint)
    known = {outcome.fit.model: outcome.fit.explanation for outcome in outcomes if outcome.fit.explanation}
    record = replace(record, explained=known)
    failed = [f"{outcome.fit.model} has no forecast after the data: {outcome.fit.error}" for outcome in outcomes]
    failed = [note for note, outcome in zip(failed, outcomes, strict=True) if outcome.rows is None]
    return record.with_ahead([outcome.rows for outcome in outcomes]), (*failed, *undistributed(outcomes))


def needs_distributions(models: Mapping[str, Forecaster], metric: str, own: Own) -> bool:
    """Return whether distributions are scored by default: for a metric, or since a model learns them."""
    asked = metric in DISTRIBUTION_METRICS or reads_scores(own)
    return asked or any(model.learns_distribution for model in models.values())


def panel_and_protocol(
    data: Any, horizon: int | None, origins: int | None, step: int | None, independent_series: bool, **options: Any
) -> tuple[Panel, Protocol]:
    """Return panel and protocol, with the task of a dataset, or as many cutoffs as the data allow, if not given."""
    from tsforecast.catalog.card import card, dataset_names
    from tsforecast.catalog.loaders import load_task

    if isinstance(data, str) and data in dataset_names():
        data = load_task(data)[0]
    panel = Panel.of(data)
    name = panel.source.dataset  # of a panel that load_dataset returned as well
    task = card(name).task if name in dataset_names() else None
    if task and horizon in (None, task.horizon):
        horizon, origins = task.horizon, task.origins if origins is None else origins
        step = task.step if step is None else step
    if horizon is None and isinstance(data, (str, Path)):
        horizon = stated_horizon(Path(data))
    if horizon is None:
        usual = Argument("horizon", max(1, panel.season_length))
        must, remedy = "must be given unless a dataset is named", ("pass ", usual, " or another number of steps")
        raise ParameterError(Problem(must, "got None", remedy, parameter="horizon"))
    protocol = Protocol(horizon, 1 if origins is None else origins, step, **options)
    if origins is None:
        counts = default_cutoffs(panel, protocol, independent_series)
        protocol = replace(protocol, origins=counts[0], step=counts[1])
    return panel, protocol
