"""Exchange with fev: rows of a board, one for each model, and files of tasks.

Fields and definitions are those of fev [Shchur et al. 2025, arXiv 2509.26468] at version 0.10.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_type_hints

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from tsforecast.checks import whole
from tsforecast.data.panel import Panel
from tsforecast.errors import DataError, ParameterError, nearest, raise_any, reason, shorten
from tsforecast.evaluation.metrics import WEIGHT, divide
from tsforecast.evaluation.overall import ERROR, FORMER, MODEL, SUFFIXES, TASK_COLUMNS, TIMES, TRAINED
from tsforecast.evaluation.results import ForecastResults
from tsforecast.evaluation.scores import DECILES, column
from tsforecast.files import new_file
from tsforecast.provenance import __version__

FEV_VERSION = "0.10.0"  # whose fields and definitions these rows follow
QUANTILE_METRICS = ("SQL", "WQL", "MQL")
# Metric of fev -> the metric of a board that is the same, or the nearest to it.
NEAREST_METRICS = {name: name.lower() for name in ("MASE", "MAE", "RMSE", "SMAPE", "RMSSE", "WAPE", "MAPE", "WQL")}
NEAREST_METRICS |= {"SQL": "crps", "MQL": "wql", "MSE": "rmse", "RMSLE": "mae", "MAEB": "mae", "WAPEB": "wape"}
# Metric of a board -> that of fev: a scaled CRPS is the limit of SQL for many quantiles.
FEV_METRICS = {"crps": "SQL"} | {
    name.lower(): name for name in NEAREST_METRICS if name.lower() == NEAREST_METRICS[name]
}
_LISTS = ("extra_metrics", "quantile_levels", "known_dynamic_columns", "past_dynamic_columns", "static_columns")


def fev_errors(rows: pd.DataFrame, metrics: Sequence[str], origins: int = 1) -> pd.DataFrame:
    """Return metrics by the definitions of fev, a row for each model, averaged over seeds; see `windows`.

    A metric is computed in each window (all series at one cutoff) and for each target, and averaged over targets, then
    windows. Quantile losses are those of the deciles. A model that forecasts NaN anywhere has NaN.
    """
    wrong = [f"metrics of fev: {name!r} is not known; {nearest(name, NEAREST_METRICS)}" for name in metrics]
    raise_any([each for each, name in zip(wrong, metrics, strict=True) if name not in NEAREST_METRICS], ParameterError)
    seed = rows["seed"].fillna(-1).astype(int) if "seed" in rows else 0
    quantiles = column(rows, "quantile_loss") if set(metrics) & set(QUANTILE_METRICS) else np.nan
    parts = rows.assign(seed=seed, window=windows(rows, origins), quantiles=quantiles)
    keys = ["model", "seed", "window", "target"]
    found = parts.groupby(keys, observed=True, sort=False)[[*parts]].apply(
        lambda part: pd.Series({name: _metric(name, part) for name in metrics})
    )
    for levels in (["model", "seed", "window"], ["model", "seed"]):  # one that is NaN makes the mean NaN
        found = found.groupby(level=levels, observed=True, sort=False).agg(lambda part: np.mean(part.to_numpy()))
    by_seed = found
    table = by_seed.groupby(level="model", observed=True, sort=False).mean()
    failed = rows["forecast"].isna().groupby(rows["model"], observed=True).any()
    table[failed.reindex(table.index).to_numpy()] = np.nan
    return table.set_axis(table.index.astype(str), axis=0)


def windows(rows: pd.DataFrame, origins: int = 1) -> pd.Series:
    """Return the window of each row: its cutoff, or where each series has cutoffs of its own, its place from the end.

    Cutoffs are shared where all series together have no more than were asked for (`origins`), or than one of them has.
    """
    if pd.api.types.is_datetime64_any_dtype(rows["cutoff"]):
        most = rows.groupby("series", observed=True)["cutoff"].nunique().max()
        if rows["cutoff"].nunique() <= max(most, origins):
            return rows["cutoff"]
    return rows.groupby("series", observed=True)["cutoff"].rank("dense", ascending=False).astype(int)


def _metric(name: str, part: pd.DataFrame) -> float:
    """Return a metric of one target in one window; what is not finite is left out, as fev does."""
    y, forecast = (part[each].to_numpy(dtype=np.float64) for each in ("y", "forecast"))
    error, size = np.abs(y - forecast), _mean(np.abs(y))
    bias = abs(_mean(forecast - y))
    quantiles = part["quantiles"].to_numpy(dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        logs = (np.log1p(y) - np.log1p(forecast)) ** 2
    found: dict[str, Callable[[], Any]] = {
        "MASE": lambda: _mean(divide(error, part["naive_mae"])),
        "MAE": lambda: _mean(error),
        "MAEB": lambda: _mean(error) + bias,
        "MSE": lambda: _mean(error**2),
        "RMSE": lambda: np.sqrt(_mean(error**2)),
        "RMSSE": lambda: np.sqrt(_mean(divide(error**2, part["naive_mse"]))),
        "RMSLE": lambda: np.sqrt(_mean(logs)),
        "WAPE": lambda: divide(_mean(error), size),
        "WAPEB": lambda: divide(_mean(error) + bias, size),
        "MAPE": lambda: _mean(divide(error, np.abs(y))),
        "SMAPE": lambda: _mean(divide(2 * error, np.abs(y) + np.abs(forecast))),
        "MQL": lambda: _mean(quantiles),
        "WQL": lambda: divide(_mean(quantiles), size),
        "SQL": lambda: _mean(divide(quantiles, part["naive_mae"])),
    }
    return float(found[name]())


def _mean(values: NDArray[np.float64]) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")


def fev_rows(
    board: ForecastResults,
    task: Mapping[str, Any] | None = None,
    metric: str | None = None,
    extra_metrics: Sequence[str] = (),
) -> pd.DataFrame:
    """Return the rows of a board as fev has them; see `Leaderboard.to_fev`."""
    given = dict(task or {})
    unknown = [name for name in given if name not in (*TASK_COLUMNS, "task_name")]
    raise_any(
        (f"task: field {name!r} is none of fev's; {nearest(name, TASK_COLUMNS)}" for name in unknown), ParameterError
    )
    record = board.record
    if record is not None and record.gap:
        raise ParameterError(f"fev has no gap between a cutoff and the first step: the board has one of {record.gap}")
    if WEIGHT in board.rows:
        raise ParameterError("fev has no weights of series: the board has some; compare the models without weights=")
    if metric is None and (stated := given.get("eval_metric")):
        metric = str(stated["name"] if isinstance(stated, Mapping) else stated)
    if metric is None and board.metric not in FEV_METRICS:
        held = f"the board ranks by {board.metric!r}"
        raise ParameterError(f"metric must be one of fev's, {shorten(list(NEAREST_METRICS), 14)}: {held}; pass one")
    metric = metric or FEV_METRICS[board.metric]
    names = [name.upper() for name in dict.fromkeys((metric, *extra_metrics, *given.get("extra_metrics", ())))]
    found = fev_errors(board.rows, names, record.origins if record else 1)
    asked = [name for name in names if name in QUANTILE_METRICS]
    known = _task_of(board) | {"eval_metric": names[0], "extra_metrics": names[1:]}
    known |= {"quantile_levels": [round(level, 1) for level in DECILES.tolist()] if asked else []}
    known |= {name: value for name, value in given.items() if name not in ("quantile_levels", "extra_metrics")}
    known["initial_cutoff"] = str(known["initial_cutoff"])  # of several tasks in one table some are dates
    reference = board.rows[board.rows["model"] == board.reference]
    single = reference["seed"].iloc[0] if "seed" in reference else None
    one = reference[reference["seed"] == single] if single is not None and pd.notna(single) else reference
    rows = []
    for _, line in board.table.iterrows():
        name = str(line["model"])
        failed = name not in found.index
        values = {each: float("nan") if failed else float(found.loc[name, each]) for each in names}
        exposure = board.exposures.get(name)
        rows.append(
            {MODEL: name}
            | {"task_name": known.get("task_name") or known["dataset_path"]}
            | {each: known.get(each) for each in TASK_COLUMNS}
            | {ERROR: values[names[0]], **_times(board, name)}
            | {"num_forecasts": len(one[["series", "target", "cutoff"]].drop_duplicates())}
            | {"dataset_fingerprint": record.fingerprint if record else None}
            | {TRAINED: bool(exposure and exposure.outcome.startswith("seen in training"))}
            | {"fev_version": FEV_VERSION, **values, "made_by": f"tsforecast {__version__}"}
            | {"leak_audit": line["leak_audit"], "exposure": exposure.outcome if exposure else ""}
            | {"error": board.failures.get(name, "")}
        )
    return pd.DataFrame(rows)


def _task_of(board: ForecastResults) -> dict[str, Any]:
    """Return the fields of a task that a board has; the names of columns are those that fev expects unless given."""
    record, rows = board.record, board.rows[board.rows["model"] == board.reference]
    targets = sorted(rows["target"].astype(str).unique())
    shown = windows(rows, record.origins if record else 1)
    count = int(shown.nunique())
    horizon = record.horizon if record else int(rows["step"].max())
    step = record.step if record else horizon
    start: Any = -horizon - (count - 1) * step
    if shown.dtype.kind == "M":
        start = rows["cutoff"].min().isoformat()
    fields: dict[str, Any] = {name: [] if name in _LISTS else None for name in TASK_COLUMNS}
    return fields | {
        "dataset_path": (record.dataset or f"sha256:{record.fingerprint[:12]}") if record else "rows",
        "horizon": horizon,
        "num_windows": count,
        "initial_cutoff": start,
        "window_step_size": step,
        "min_context_length": record.min_past if record else 1,
        "seasonality": record.season_length if record else 1,
        "id_column": "id",
        "timestamp_column": "timestamp",
        "target": targets[0] if len(targets) == 1 else targets,
    }


def _times(board: ForecastResults, name: str) -> dict[str, float]:
    """Return the seconds of all fits and of all forecasts of a model, for one seed."""
    fits = [fit for fit in (board.record.fits if board.record else ()) if fit.model == name]
    if not fits:
        own = board.rows[board.rows["model"] == name][["fit_seconds", "predict_seconds"]].mean()
        return dict(zip(TIMES, map(float, own), strict=True))
    seeds = len({fit.seed for fit in fits})
    sums = (sum(fit.fit_seconds for fit in fits), sum(fit.predict_seconds for fit in fits))
    return dict(zip(TIMES, (each / seeds for each in sums), strict=True))


def write_fev(rows: pd.DataFrame, path: Path) -> None:
    """Write rows to CSV, JSON or Parquet by the suffix of the path, whole or not at all."""
    if path.suffix.lower() not in SUFFIXES:
        raise ParameterError(f"rows of fev must be written to a file in {', '.join(SUFFIXES)}: got {str(path)!r}")
    with new_file(path) as unfinished:
        if path.suffix.lower() == ".csv":
            rows.to_csv(unfinished, index=False)
        elif path.suffix.lower() == ".json":
            rows.to_json(unfinished, orient="records", indent=1)
        else:
            rows.assign(target=rows["target"].map(str)).to_parquet(unfinished, index=False)


@dataclass(frozen=True, kw_only=True)
class FevTask:
    """A task of fev: where its data lie, their roles, its windows and its metric. The fields are those of fev."""

    dataset_path: str
    dataset_config: str | None = None
    horizon: int = 1
    num_windows: int = 1
    initial_cutoff: int | str | None = None
    window_step_size: int | str | None = None
    min_context_length: int = 1
    max_context_length: int | None = None
    seasonality: int = 1
    eval_metric: str | dict[str, Any] = "MASE"
    extra_metrics: list[str | dict[str, Any]] = field(default_factory=list)
    quantile_levels: list[float] = field(default_factory=list)
    id_column: str = "id"
    timestamp_column: str = "timestamp"
    target: str | list[str] = "target"
    generate_univariate_targets_from: list[str] | Literal["__ALL__"] | None = None
    known_dynamic_columns: list[str] = field(default_factory=list)
    past_dynamic_columns: list[str] = field(default_factory=list)
    static_columns: list[str] = field(default_factory=list)
    task_name: str | None = None

    @property
    def name(self) -> str:
        """Name in tables: its own, that of its configuration, or of the two folders above its file."""
        folders = "/".join(Path(self.dataset_path).parts[-3:-1])
        return self.task_name or self.dataset_config or folders or Path(self.dataset_path).stem

    @property
    def fields(self) -> dict[str, Any]:
        """Fields as rows of results have them: lists of columns sorted, defaults filled in."""
        step = self.horizon if self.window_step_size is None else self.window_step_size
        start = self.initial_cutoff
        if start is None and isinstance(step, int):
            start = -self.horizon - (self.num_windows - 1) * step
        if isinstance(start, str):
            start = pd.Timestamp(start).isoformat()
        own = asdict(self) | {"initial_cutoff": start, "window_step_size": step, "task_name": self.name}
        lists = ("known_dynamic_columns", "past_dynamic_columns", "static_columns", "quantile_levels")
        target = sorted(self.target) if isinstance(self.target, list) else self.target
        return own | {name: sorted(own[name]) for name in lists} | {"target": target}

    @property
    def metric(self) -> str:
        """Name of the metric that ranks, as fev writes it."""
        return str(self.eval_metric["name"] if isinstance(self.eval_metric, dict) else self.eval_metric).upper()

    def problems(self) -> list[str]:
        """Return a sentence for each field that cannot be kept here."""
        who = f"task {self.name!r}"
        counts = {"horizon": self.horizon, "num_windows": self.num_windows, "seasonality": self.seasonality}
        counts |= {"min_context_length": self.min_context_length}
        found = [each for name, value in counts.items() for each in whole(f"{who}: {name}", value, 1)]
        metrics = [self.eval_metric, *self.extra_metrics]
        names = [str(each.get("name") if isinstance(each, dict) else each).upper() for each in metrics]
        found += [
            f"{who}: metric {name!r} is none of fev's; {nearest(name, NEAREST_METRICS)}"
            for name in names
            if name not in NEAREST_METRICS
        ]
        if any(value for each in metrics if isinstance(each, dict) for key, value in each.items() if key != "name"):
            found.append(f"{who}: metrics must have no epsilon: it has one; leave it out")
        levels = [round(float(level), 4) for level in sorted(self.quantile_levels)]
        if set(names) & set(QUANTILE_METRICS) and levels != [round(each, 1) for each in DECILES.tolist()]:
            must = f"{who}: quantile_levels must be 0.1, 0.2, ..., 0.9 for {shorten(names)}"
            found.append(f"{must}: got {levels}; scores of boards are of those")
        if self.max_context_length is not None:
            remedy = "leave it out, or give models a window"
            found.append(f"{who}: max_context_length cannot be kept: got {self.max_context_length}; {remedy}")
        if self.initial_cutoff is None and isinstance(self.window_step_size, str):
            found.append(f"{who}: window_step_size must be a number of steps without initial_cutoff: got a time")
        return found

    def load(self, folder: str | Path | None = None, beside: Path = Path()) -> Panel:
        """Return the series up to the end of the last window.

        A file is looked for next to the file of tasks; a dataset of a hub in the folder, as ``CONFIG/*.parquet``.
        Nothing is downloaded.
        """
        frame = _frame_of_task(self, folder, beside)
        targets = self.target if isinstance(self.target, list) else [self.target]
        past, future = self.past_dynamic_columns, self.known_dynamic_columns
        names = [*targets, *past, *future, *self.static_columns, self.timestamp_column]
        missing = [name for name in dict.fromkeys(names) if name not in frame.columns]
        if missing or self.id_column not in frame.columns:
            lacks = shorten([repr(name) for name in [*missing, self.id_column] if name not in frame.columns])
            held = shorten(list(map(repr, frame.columns)), 8)
            raise DataError(f"task {self.name!r}: the data must have columns {lacks}: they have {held}")
        panel = Panel.from_frame(
            frame.select(self.id_column, *dict.fromkeys(names)),
            id=self.id_column,
            time=self.timestamp_column,
            target=targets,
            past=past,
            future=future,
            static=self.static_columns,
            season_length=self.seasonality,
            nan_policy="mask",
            sort=True,
        )
        return panel.until(self._ends(panel))

    def settings(self) -> dict[str, Any]:
        """Return parameters of `leaderboard` for the panel of `load`."""
        align = "time" if isinstance(self.initial_cutoff, str) else "end"
        step = self.window_step_size if isinstance(self.window_step_size, int) else self.horizon
        own = {"origins": self.num_windows, "step": step, "align": align, "min_past": self.min_context_length}
        return own | {"horizon": self.horizon, "metric": NEAREST_METRICS[self.metric]}

    def _ends(self, panel: Panel) -> NDArray[np.int64]:
        """Return how many rows of each series lie before the end of the last window."""
        step = self.horizon if self.window_step_size is None else self.window_step_size
        who, start = f"task {self.name!r}", self.initial_cutoff
        if isinstance(step, str):
            raise DataError(f"{who}: window_step_size must be a number of steps: got {step!r}; count them")
        span = self.horizon + (self.num_windows - 1) * step
        if start is None:
            return panel.lengths
        if isinstance(start, str):
            cutoff = pd.Timestamp(start).as_unit("ns").value
            seen = [int((panel.stamps(i, np.arange(n)) <= cutoff).sum()) for i, n in enumerate(panel.lengths)]
            ends = np.minimum(np.array(seen) + span, panel.lengths)
            if not ((np.array(seen) + span == ends) & (np.array(seen) > 0)).any():
                raise DataError(f"{who}: series must go on for {span} steps after {start}: none does")
            return np.asarray(ends)
        if start < 0:
            if -start < span:
                raise DataError(f"{who}: initial_cutoff must leave {span} steps for its windows: got {start}")
            return np.clip(panel.lengths - (-start - span), 0, None)
        if (panel.lengths < start + span).any():
            short = int((panel.lengths < start + span).sum())
            must = f"{who}: series must have {start + span} steps for cutoffs that count from their beginning"
            raise DataError(f"{must}: {short} of {len(panel)} have fewer; leave them out")
        return np.full_like(panel.lengths, start + span)


def read_fev_tasks(path: str | Path) -> list[FevTask]:
    """Read a file of tasks, as ``fev.Benchmark.from_yaml`` does; DataError with every problem.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> text = "tasks:\\n- dataset_path: shops/sales.parquet\\n  horizon: 7\\n  num_windows: 3\\n"
    >>> with TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "tasks.yaml").write_text(text)
    ...     [task] = read_fev_tasks(Path(folder) / "tasks.yaml")
    >>> task.name, task.horizon, task.settings()["origins"]
    ('shops', 7, 3)
    """
    import yaml

    path = Path(path)
    try:
        plain = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"file {str(path)!r} must be YAML with a list of tasks: {reason(error)}") from error
    listed = plain.get("tasks") if isinstance(plain, dict) else None
    if not isinstance(listed, list) or not listed or not all(isinstance(each, dict) for each in listed):
        raise DataError(f"file {str(path)!r} must have a list under the key tasks, each with fields: it has none")
    known = {each.name: each for each in fields(FevTask)}
    problems, found = list[str](), list[FevTask]()
    for number, given in enumerate(listed, start=1):
        own = {FORMER.get(str(name), str(name)): value for name, value in given.items() if name != "lead_time"}
        wrong = [f"task {number}: field {name!r} is not known; {nearest(name, known)}" for name in own.keys() - known]
        wrong += [] if "dataset_path" in own else [f"task {number} must have a dataset_path: it has none"]
        for name in own.keys() & known.keys():
            try:
                own[name] = TypeAdapter(get_type_hints(FevTask)[name]).validate_python(own[name], strict=True)
            except ValidationError:
                wrong.append(f"task {number}: field {name!r} cannot be {own[name]!r}")
        problems += wrong
        if not wrong:
            found.append(FevTask(**own))
            problems += found[-1].problems()
    raise_any(problems)
    return found


def _frame_of_task(task: FevTask, folder: str | Path | None, beside: Path) -> Any:
    """Return the data of a task as a long polars frame."""
    import polars as pl

    who = f"task {task.name!r}"
    if task.dataset_config is not None:
        if folder is None:
            raise DataError(
                f"{who}: {task.dataset_path} is on a hub, and nothing is downloaded: save its Parquet files as "
                f"FOLDER/{task.dataset_config}/*.parquet and name FOLDER"
            )
        pattern = Path(folder) / task.dataset_config / "*.parquet"
    elif "://" in task.dataset_path:
        raise DataError(f"{who}: {task.dataset_path} is not on this machine: save it, and give the path of the copy")
    else:
        pattern = beside / task.dataset_path
    files = sorted(pattern.parent.glob(pattern.name)) if "*" in pattern.name else [pattern]
    if not files or not all(file.is_file() for file in files):
        raise DataError(f"{who}: its data must be at {str(pattern)!r}: there is no such file")
    try:
        frames = [pl.read_ipc_stream(each) if each.suffix == ".arrow" else pl.read_parquet(each) for each in files]
        frame = pl.concat(frames)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{who}: {str(files[0])!r} must be Parquet, or a stream of Arrow: {reason(error)}") from error
    if task.id_column in frame.columns:
        frame = frame.with_columns(pl.col(task.id_column).cast(pl.String))
    lists = [name for name, kind in frame.schema.items() if isinstance(kind, (pl.List, pl.Array))]
    split = task.generate_univariate_targets_from
    if split is not None:
        columns = [name for name in lists if name != task.timestamp_column] if split == "__ALL__" else split
        lacks = [name for name in columns if name not in frame.columns]
        if lacks or not columns or isinstance(task.target, list):
            raise DataError(
                f"{who}: generate_univariate_targets_from must name columns: got {split!r}, {lacks} unknown"
            )
        parts = [
            frame.drop([other for other in columns if other != name])
            .rename({name: task.target})
            .with_columns((pl.col(task.id_column) + pl.lit(f"_{name}")).alias(task.id_column))
            for name in columns
        ]
        frame = pl.concat(part.select(parts[0].columns) for part in parts)
        lists = [name for name in lists if name in frame.columns] + ([task.target] if columns[0] in lists else [])
    return frame.explode(lists) if lists else frame
