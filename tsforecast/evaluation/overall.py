"""Overall standing of models over tasks: skill by geometric mean, win rate and rank, with intervals over tasks.

Rows of results, one for each task and model, have the columns of fev [Shchur et al. 2025, arXiv 2509.26468].
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsforecast.checks import one_of, whole
from tsforecast.errors import DataError, ParameterError, UnknownNameError, counted, nearest, raise_any, reason, shorten
from tsforecast.files import write_or_return
from tsforecast.reporting.tables import MISSING, as_text, markdown

Floats = NDArray[np.float64]
# Columns that identify a task, in their order.
TASK_COLUMNS = (
    *("dataset_path", "dataset_config", "horizon", "num_windows", "initial_cutoff", "window_step_size"),
    *("min_context_length", "max_context_length", "seasonality", "eval_metric", "extra_metrics", "quantile_levels"),
    *("id_column", "timestamp_column", "target", "generate_univariate_targets_from", "known_dynamic_columns"),
    *("past_dynamic_columns", "static_columns"),
)
MODEL, ERROR, TRAINED = "model_name", "test_error", "trained_on_this_dataset"
TIMES = ("training_time_s", "inference_time_s")
FORMER = {
    "num_rolling_windows": "num_windows",
    "rolling_step_size": "window_step_size",
    "cutoff": "initial_cutoff",
    "target_column": "target",
    "multiple_target_columns": "generate_univariate_targets_from",
}
SUFFIXES = (".csv", ".json", ".parquet")
RESAMPLES, SEED, OUTSIDE = 1000, 123, 0.05  # of the bootstrap over tasks, and the share outside its intervals
LEAST, MOST = 0.01, 100.0  # relative errors are held within: one task must not decide for all
FEW = 10  # tasks, of which a bootstrap has too narrow intervals
REFERENCES = ("seasonal-naive", "seasonal_naive", "SeasonalNaive", "Seasonal Naive", "naive", "Naive")
# Column of the table -> its title and format where it is displayed.
DISPLAY = {
    "model": ("model", "{}"),
    "skill": ("skill", "{:+.1%}"),
    "win_rate": ("win rate", "{:.1%}"),
    "rank": ("rank", "{:.2f}"),
    "failed": ("failed", "{}"),
    "leaks": ("leaks", "{}"),
    "seen": ("seen before", "{}"),
    "training_time_s": ("fit s", "{:.2f}"),
    "inference_time_s": ("predict s", "{:.3f}"),
}
SPANNED = ("skill", "win_rate", "rank")  # columns with an interval


@dataclass(frozen=True, eq=False, repr=False)
class Overall:
    """Standing of models over tasks.

    Attributes
    ----------
    table : DataFrame
        A row for each model, the best first, and behind them those with a leak in a task: ``skill`` (1 - the geometric
        mean of the error relative to the reference), ``win_rate`` (share of comparisons with the other models that it
        wins, half for a tie), ``rank`` (1 is best; these two among models without a leak), each with ``_low`` and
        ``_high``; the tasks that it ``failed``, whose audit found a leak (``leaks``), and whose data it was trained on
        before (``seen``); the median ``training_time_s`` and ``inference_time_s``.
    relative : DataFrame
        Error relative to the reference of each task (rows) and model (columns), as it counts.
    errors : DataFrame
        Error of each task and model; NaN where it failed.
    replaced : DataFrame of bool
        Where the reference's error counts in place of the model's, since that failed or reads the future.
    reference : str
    metrics : Series
        Metric of each task.
    notes : tuple of str
    """

    table: pd.DataFrame
    relative: pd.DataFrame
    errors: pd.DataFrame
    replaced: pd.DataFrame
    reference: str
    metrics: pd.Series
    notes: tuple[str, ...] = ()

    @cached_property
    def win_rates(self) -> pd.DataFrame:
        """Share of tasks on which the model of a row has a lower error than that of a column, half for a tie.

        Models that read the future of a task are left out.
        """
        names = self.table.loc[self.table["leaks"] == 0, "model"].tolist()
        values = self.relative[names].to_numpy()
        return pd.DataFrame(_wins(values).mean(axis=0), names, names)

    @cached_property
    def headline(self) -> str:
        """The best model compared with the reference, in one sentence without its full stop."""
        others = self.table[(self.table["model"] != self.reference) & (self.table["leaks"] == 0)]
        if others.empty:
            return f"No model was compared with {self.reference}"
        best, tasks = others.iloc[0], counted(len(self.relative), "task")
        better = int((others["skill_low"] > 0).sum())
        removed = f"{best['model']} removes {best['skill']:.1%} of {self.reference}'s error over {tasks}"
        if best["skill"] <= 0:
            more = f"{-best['skill']:.1%} more" if best["skill"] else "as much"
            removed = (
                f"No model has less error than {self.reference}: {best['model']}, the best, has {more} over {tasks}"
            )
        if np.isnan(best["skill_low"]):
            return removed
        span = f"95% interval {best['skill_low']:+.1%} to {best['skill_high']:+.1%}"
        many = f"{better} of {len(others)} models {'has' if better == 1 else 'have'} an interval above 0"
        return f"{removed} ({span}); {many}"

    @property
    def display_table(self) -> pd.DataFrame:
        """The table as text, with intervals behind their numbers; columns of nothing are left out."""
        empty = {name for name in ("failed", "leaks", "seen") if not self.table[name].any()}
        shown = {name: look for name, look in DISPLAY.items() if name not in empty and self.table[name].notna().any()}
        cells, spans = as_text(self.table, shown), [name for name in SPANNED if self.table[f"{name}_low"].notna().any()]
        for name in spans:
            title, digits = DISPLAY[name]
            ends = zip(self.table[f"{name}_low"], self.table[f"{name}_high"], strict=True)
            texts = [
                MISSING if np.isnan(low) else f"{digits.format(low)} to {digits.format(high)}" for low, high in ends
            ]
            cells.insert(cells.columns.get_loc(title) + 1, f"{title}, 95%", texts)
        return cells

    def to_markdown(self) -> str:
        """Return headline, table and notes as Markdown."""
        notes = "".join(f"Note: {note}.\n\n" for note in self.notes)
        return f"{self.headline}.\n\n{markdown(self.display_table)}\n\n{notes}"

    def to_html(self, path: str | Path | None = None, title: str | None = None) -> str | None:
        """Write the page to a file, or return it: one page of HTML that needs no network.

        Raises
        ------
        OutputError
        """
        from tsforecast.evaluation.report.overall import html_overall

        return write_or_return(html_overall(self, title), path)

    def __repr__(self) -> str:  # at a prompt, the same as print
        return self.to_markdown()


def overall(
    rows: Any,
    reference: str | None = None,
    *,
    failures: Literal["reference", "drop"] = "reference",
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Overall:
    """Summarise results over tasks, each of which counts the same.

    Parameters
    ----------
    rows : path, DataFrame or list of dict
        See `read_fev`; `Leaderboard.to_fev` makes them.
    reference : str, optional
        The model that errors are relative to, which must have a result of every task; the seasonal naive forecast, or
        else the naive one, unless given.
    failures : {"reference", "drop"}
        Where a model failed on a task, or read its future, the error of the reference counts in its place, or the task
        is dropped for all models.
    resamples, seed : int
        Draws of tasks with replacement, of which intervals of 95 % are made, and their random seed.

    Returns
    -------
    Overall

    Raises
    ------
    DataError
        When the reference has no result of a task, or no task is left.
    ParameterError, UnknownNameError

    Examples
    --------
    >>> def row(task, model, error):
    ...     return {"dataset_path": task, "model_name": model, "test_error": error}
    >>> found = overall([row("a", "naive", 2.0), row("a", "mine", 1.0), row("b", "naive", 1.0), row("b", "mine", 2.0)])
    >>> found.table[["model", "skill", "win_rate", "rank"]].values.tolist()
    [['mine', 0.0, 0.5, 1.5], ['naive', 0.0, 0.5, 1.5]]
    """
    problems = one_of("failures", failures, ("reference", "drop")) + whole("resamples", resamples, 1)
    raise_any(problems + whole("seed", seed, 0), ParameterError)
    read = read_fev(rows) if not isinstance(rows, tuple) else read_fev(*rows)
    errors = _pivot(read, ERROR).astype(float)
    errors = errors.where(np.isfinite(errors))
    notes = list[str]()
    nowhere = errors.index[errors.isna().all(axis=1)]
    if len(nowhere):
        are = "is" if len(nowhere) == 1 else "are"
        notes.append(f"{counted(len(nowhere), 'task')} without any result {are} left out: {shorten(list(nowhere), 8)}")
    errors = errors.drop(index=nowhere)
    if errors.empty:
        raise DataError("results must have an error of some model on some task: there is none")
    reference = _reference(errors, reference)
    leaking = _marked(read, "leak_audit", errors, lambda texts: texts.str.startswith("LEAK"))
    if leaking[reference].any():
        where = shorten([repr(task) for task in leaking.index[leaking[reference]]])
        raise DataError(f"reference {reference!r} must not read the future: its leak audit found that on {where}")
    failed, replaced = errors.isna(), errors.isna() | leaking
    counts = errors.columns
    if failures == "drop":
        dropped = errors.index[replaced.any(axis=1)]
        if len(dropped) == len(errors):
            raise DataError(
                f"a task must be left without failures and leaks: each of {len(errors)} has some; leave out a model, "
                "or pass failures='reference'"
            )
        if len(dropped):
            much = counted(len(dropped), "task")
            notes.append(f"{much} with failures or leaks left out: {shorten(list(dropped), 8)}")
        errors, replaced = errors.drop(index=dropped), replaced.drop(index=dropped)
    relative = _relative(errors, reference).where(~replaced, 1.0)
    held = int(((relative == LEAST) | (relative == MOST)).to_numpy().sum())
    if held:
        notes.append(f"{counted(held, 'relative error')} outside {LEAST} to {MOST:g}, taken as these ends")
    seen = _marked(read, TRAINED, errors, lambda values: values.str.lower().isin(["true", "1", "1.0"]))
    table = pd.DataFrame({"model": counts.astype(str)})
    ranked = ~leaking.any().to_numpy()  # a model that reads the future takes no place from others
    for name, (mean, low, high) in _statistics(relative.to_numpy(), ranked, resamples, seed).items():
        table[name], table[f"{name}_low"], table[f"{name}_high"] = mean, low, high
    table["tasks"] = len(errors)
    for name, marks in (("failed", failed), ("leaks", leaking), ("seen", seen)):
        table[name] = marks.sum().reindex(counts).to_numpy()
    for name in TIMES:
        known = _pivot(read, name).apply(pd.to_numeric, errors="coerce") if name in read else errors * np.nan
        table[name] = known.reindex(errors.index).median().reindex(counts).to_numpy()
    table["behind"] = table["leaks"] > 0
    order = table.sort_values(["behind", "skill", "model"], ascending=[True, False, True]).index
    table = table.loc[order].drop(columns="behind").reset_index(drop=True)
    notes += _notes(table, read, errors, replaced, reference, failures)
    metrics = read.groupby("task", sort=False)["eval_metric"].first().map(_text).reindex(errors.index)
    names = list(table["model"])
    return Overall(table, relative[names], errors[names], replaced[names], reference, metrics, tuple(notes))


def _pivot(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return a column by task, in the order in which tasks come, and model."""
    table = rows.pivot(index="task", columns=MODEL, values=column)
    return table.reindex(index=rows["task"].unique(), columns=rows[MODEL].unique())


def _reference(errors: pd.DataFrame, given: str | None) -> str:
    """Return the model that errors are relative to; UnknownNameError or DataError where it cannot be."""
    names = [str(name) for name in errors]
    if given is None:
        given = next((name for name in REFERENCES if name in names and errors[name].notna().all()), None)
        given = given or next((name for name in REFERENCES if name in names), None)
    if given is None:
        held = shorten(list(map(repr, names)), 8)
        raise DataError(f"results must have a naive forecast, or name a reference: they have {held}; pass reference=")
    if given not in names:
        raise UnknownNameError(f"reference {given!r} is not among the models; {nearest(given, names)}")
    lacks = list(errors.index[errors[given].isna()])
    if lacks:
        raise DataError(
            f"reference {given!r} must have a result of every task: it has none of {len(lacks)} of {len(errors)}, "
            f"{shorten(list(map(repr, lacks)))}; choose another reference, or leave those tasks out"
        )
    return given


def _marked(rows: pd.DataFrame, column: str, errors: pd.DataFrame, test: Any) -> pd.DataFrame:
    """Return by task and model whether a column, as text, passes a test."""
    if column not in rows:
        return pd.DataFrame(False, errors.index, errors.columns)
    marks = rows.assign(mark=test(rows[column].astype(str)).astype(bool))
    return _pivot(marks, "mark").reindex(errors.index).eq(True).astype(bool)


def _relative(errors: pd.DataFrame, reference: str) -> pd.DataFrame:
    """Return errors over those of the reference, held within limits; 1 where both are 0."""
    own, other = errors.to_numpy(dtype=np.float64), errors[[reference]].to_numpy(dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where((own == 0) & (other == 0), 1.0, own / other)
    return pd.DataFrame(np.clip(ratio, LEAST, MOST), errors.index, errors.columns)


def _wins(relative: Floats) -> Floats:
    """Return wins of each model over each other on each task, (T, M, M), half for a tie."""
    one, other = relative[:, :, None], relative[:, None, :]
    wins = (one < other) + 0.5 * (one == other)
    models = np.arange(relative.shape[1])
    wins[:, models, models] = np.nan
    return np.asarray(wins)


def _statistics(
    relative: Floats, ranked: NDArray[np.bool_], resamples: int, seed: int
) -> dict[str, tuple[Floats, Floats, Floats]]:
    """Return skill, win rate and rank of each model, (M,), with the ends of their intervals, NaN with one task.

    Each is a mean over tasks, of logarithms in the case of skill: a draw of tasks weighs them by how often it has them.
    Models that are not `ranked` have a skill alone.
    """
    from scipy.stats import rankdata

    tasks, models = relative.shape
    draws = np.random.default_rng(seed).integers(0, tasks, size=(resamples, tasks))
    shares = np.stack([np.bincount(draw, minlength=tasks) for draw in draws]) / tasks  # (R, T)
    wins, ranks = np.full((tasks, models), np.nan), np.full((tasks, models), np.nan)
    if ranked.sum() > 1:
        wins[:, ranked] = np.nanmean(_wins(relative[:, ranked]), axis=2)
    ranks[:, ranked] = rankdata(relative[:, ranked], axis=1)
    found = dict[str, tuple[Floats, Floats, Floats]]()
    for name, each in (("skill", np.log(relative)), ("win_rate", wins), ("rank", ranks)):
        mean, drawn = each.mean(axis=0), shares @ each
        if name == "skill":
            mean, drawn = 1 - np.exp(mean), 1 - np.exp(drawn)
        ends = np.quantile(drawn, [OUTSIDE / 2, 1 - OUTSIDE / 2], axis=0)
        low, high = ends if tasks > 1 else np.full((2, models), np.nan)
        found[name] = (np.asarray(mean), np.asarray(low), np.asarray(high))
    return found


def _notes(
    table: pd.DataFrame,
    rows: pd.DataFrame,
    errors: pd.DataFrame,
    replaced: pd.DataFrame,
    reference: str,
    failures: str,
) -> list[str]:
    """Return notes on failures, leaks, models that were trained on the data, and on intervals."""
    place = f"the error of {reference} counts there" if failures == "reference" else "those tasks are left out"
    facts = {
        "failed": ("failures", f"; {place}"),
        "leaks": ("rows after a cutoff move the forecasts", f"; {place}, and a model with a leak is not ranked"),
        "seen": ("data seen in training before", "; these errors count as they are"),
    }
    notes = []
    for name, (title, rest) in facts.items():
        known = table[table[name] > 0]
        cases = [
            f"{model} on {counted(count, 'task')}" for model, count in zip(known["model"], known[name], strict=True)
        ]
        notes += [f"{title}: {shorten(cases, 8)}{rest}"] if cases else []
    if len(errors) < FEW:
        much = "has no spread" if len(errors) == 1 else "give intervals that are too narrow"
        notes.append(f"{counted(len(errors), 'task')} {much}: they are no estimate for other tasks")
    data = rows[rows["task"].isin(errors.index)].drop_duplicates("task")
    shared = data.duplicated(["dataset_path", "dataset_config"], keep=False).sum()
    if shared:
        notes.append(f"{shared} of {len(errors)} tasks share their data with another; intervals count each as a draw")
    return notes


def read_fev(*sources: Any) -> pd.DataFrame:
    """Read rows of fev, or those of `Leaderboard.to_fev`, for `overall`.

    Parameters
    ----------
    sources : path, DataFrame or list of dict
        Files in CSV, JSON or Parquet, or rows in memory; all of them together.

    Returns
    -------
    DataFrame
        The rows, with every column of a task, and a column ``task`` that names it: a task is one where all those
        columns are equal.

    Raises
    ------
    DataError
        When a file cannot be read, model or error are missing, or a model has two rows of a task.

    Examples
    --------
    >>> rows = [{"model_name": "mine", "dataset_path": "sales", "horizon": 7, "test_error": 0.8}]
    >>> read_fev(rows)[["task", "model_name", "test_error"]].values.tolist()
    [['sales', 'mine', 0.8]]
    """
    if not sources:
        raise ParameterError("at least one table of rows must be given: got none")
    frames = [_frame_of(source) for source in sources]
    rows = pd.concat([frame for frame in frames if len(frame)] or frames, ignore_index=True)
    if not len(rows):
        raise DataError("rows of fev must be there: the table has none")
    for name in TASK_COLUMNS:
        if name not in rows:
            rows[name] = None
    numbers = pd.to_numeric(rows[ERROR], errors="coerce")
    wrong = rows[ERROR][numbers.isna() & rows[ERROR].notna()]
    if len(wrong):
        raise DataError(
            f"column {ERROR!r} must hold numbers: {len(wrong)} of {len(rows)} rows hold none, as {wrong.iloc[0]!r}"
        )
    if low := int((numbers < 0).sum()):
        raise DataError(f"column {ERROR!r} must hold errors of 0 or more: {low} of {len(rows)} are below; give a loss")
    if rows[MODEL].isna().any():
        raise DataError(f"column {MODEL!r} must name a model in every row: {int(rows[MODEL].isna().sum())} have none")
    rows = rows.assign(**{ERROR: numbers.astype(float), MODEL: rows[MODEL].astype(str)})
    keys = pd.DataFrame({name: rows[name].map(_text) for name in TASK_COLUMNS})
    rows["task"] = _labels(rows, keys)
    twice = rows.duplicated(["task", MODEL])
    if twice.any():
        first = rows[twice].iloc[0]
        raise DataError(
            f"a model must have one row of each task: {int(twice.sum())} are there again, the first {first[MODEL]!r} "
            f"on {first['task']!r}; give one of them another name"
        )
    return rows


def _frame_of(source: Any) -> pd.DataFrame:
    """Return rows of one source with the names of columns of today."""
    if isinstance(source, (str, Path)):
        source = _read_table(Path(source))
    elif isinstance(source, Iterable) and not isinstance(source, (pd.DataFrame, Mapping)):
        source = list(source)
        if not all(isinstance(row, Mapping) for row in source):
            raise DataError("rows of fev must be a table, a file or a list of dicts: got a list of something else")
        source = pd.DataFrame(source)
    if not isinstance(source, pd.DataFrame):
        raise DataError(f"rows of fev must be a table, a file or a list of dicts: got {type(source).__name__}")
    twice = source.columns[source.columns.duplicated()].unique()
    raise_any(f"rows of fev must have one column {name!r}: they have several" for name in twice)
    both = [name for name in FORMER if name in source and FORMER[name] in source]
    raise_any(f"rows of fev must have one of {name!r} and {FORMER[name]!r}: they have both" for name in both)
    frame = source.rename(columns=FORMER)
    missing = [name for name in (MODEL, ERROR) if name not in frame]
    if missing:
        held = shorten([repr(str(name)) for name in frame], 8) or "no columns"
        raise DataError(f"rows of fev must have columns {' and '.join(map(repr, missing))}: they have {held}")
    return frame.reset_index(drop=True)


def _read_table(path: Path) -> pd.DataFrame:
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(f"rows of fev must be a file in {', '.join(SUFFIXES)}: got {str(path)!r}")
    if not path.is_file():
        raise DataError(f"file {str(path)!r} must hold rows of fev: there is no such file")
    try:
        if suffix == ".json":
            return pd.DataFrame(json.loads(path.read_text(encoding="utf-8")))
        return pd.read_csv(path) if suffix == ".csv" else pd.read_parquet(path)
    except (ValueError, OSError, UnicodeDecodeError) as error:
        raise DataError(f"file {str(path)!r} must hold rows of fev: {reason(error)}") from error


def _text(value: Any) -> str:
    """Return a field of a task as text that is the same however a file holds it: 24, 24.0 and "24" are alike."""
    if isinstance(value, str):
        if value[:1] in "[{":
            try:
                value = ast.literal_eval(value)
            except (ValueError, SyntaxError):
                return str(value)
        else:
            try:
                value = float(value)
            except ValueError:
                return "" if value in ("", "None") else str(value)
    value = value.tolist() if isinstance(value, np.ndarray) else value
    if isinstance(value, (list, tuple)):
        return str([_text(each) for each in value]) if len(value) else ""
    if isinstance(value, Mapping):
        return str({str(name): _text(each) for name, each in value.items()})
    if value is None or value is pd.NA or value != value:
        return ""
    return f"{float(value):.10g}" if isinstance(value, (int, float, np.number)) else str(value)


def _labels(rows: pd.DataFrame, keys: pd.DataFrame) -> pd.Series:
    """Return a name for each task: that of its data, with the fields that set it apart from others of this name."""
    base = keys["dataset_config"].where(keys["dataset_config"] != "", keys["dataset_path"]).replace("", "task")
    if "task_name" in rows:
        named = rows["task_name"].map(_text)
        base = named.where(named != "", base)
    number = keys.groupby(list(TASK_COLUMNS), sort=False).ngroup()
    first = ~number.duplicated()  # rows of one task may carry several names: the first one stands for all
    distinct, names = keys[first].set_axis(number[first]), base[first].set_axis(number[first])
    for name in names[names.duplicated()].unique():
        alike = distinct[names == name]
        differ = [each for each in TASK_COLUMNS if alike[each].nunique() > 1]
        for at, line in alike[differ].iterrows():
            more = ", ".join(f"{field} {value or 'none'}" for field, value in line.items())
            names[at] = f"{name} ({more})"
    return number.map(names)
