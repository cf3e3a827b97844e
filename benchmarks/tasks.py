"""Run a list of tasks over a list of models, and show which models are best over all tasks.

``python benchmarks/tasks.py tasks.toml --models gru,ets --out results`` reads tasks and models from a file of TOML. The
folder has the rows of each model and task (``tasks.jsonl``; ``rows.csv``, as fev has them), the standing over tasks
(``overall.csv`` and the page ``tasks.html``), and the forecasts of each task (``boards/NAME.parquet``).

The same command resumes where it was interrupted: finished fits are not repeated. A failure is a row with its error.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import os
import re
import sys
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from record import record

from tsforecast import Leaderboard, Overall, Panel, leaderboard, overall
from tsforecast.adapters.names import is_foreign
from tsforecast.checks import flag, one_of, whole
from tsforecast.checks import jobs as processes
from tsforecast.cli.benchmark_page import html_benchmark, read_rows
from tsforecast.cli.data import protocol_of, read_panel
from tsforecast.cli.options import DataOptions, TestOptions
from tsforecast.data.protocol import option_problems
from tsforecast.errors import DataError, ParameterError, TsForecastError, nearest, raise_any, reason
from tsforecast.estimators.registry import make
from tsforecast.evaluation.entries import named
from tsforecast.evaluation.exchange import NEAREST_METRICS, FevTask, fev_rows, read_fev_tasks
from tsforecast.evaluation.metrics import RANKING
from tsforecast.evaluation.overall import ERROR, MODEL, TASK_COLUMNS
from tsforecast.files import OutputError, require_place, write_or_return
from tsforecast.reporting.tables import to_plain

READING = {each.name for each in fields(DataOptions)}
SETTINGS = ("horizon", "origins", "step", "metric", "align", "min_past", "refit", "seeds", "audit")
SETTINGS += ("independent_series", "distributions")
COUNTS, FLAGS = ("horizon", "origins", "step", "min_past", "seeds"), ("independent_series", "distributions")
SHARED = ("models", "reference", "fev", "folder", "task", *SETTINGS)


@dataclass(frozen=True)
class Job:
    """A task: its data, and parameters of the comparison."""

    name: str
    data: str  # name of a dataset, or path
    settings: dict[str, Any]
    reading: dict[str, Any] = field(default_factory=dict)
    fev: FevTask | None = None  # a task of fev, with its own fields
    beside: Path = Path()
    folder: Path | None = None  # with local copies of datasets of a hub

    def load(self) -> tuple[Panel, dict[str, Any]]:
        """Return the panel, and all parameters of `leaderboard`."""
        if self.fev:
            return self.fev.load(self.folder, self.beside), self.fev.settings() | self.settings
        local = self.beside / self.data
        panel, task = read_panel(str(local if local.is_file() else self.data), DataOptions(**self.reading))
        asked = {name: self.settings[name] for name in ("horizon", "origins", "step", "align") if name in self.settings}
        independent = self.settings.get("independent_series", False)
        found = protocol_of(task, panel, TestOptions(**asked, independent_series=independent))
        return panel, self.settings | {"horizon": found.horizon, "origins": found.origins, "step": found.step}

    def fields(self, panel: Panel | None = None) -> dict[str, Any]:
        """Return the fields that identify the task in rows of fev."""
        if self.fev:
            return self.fev.fields
        own: dict[str, Any] = {"dataset_path": self.data, "dataset_config": self.name, "task_name": self.name}
        if panel is None:
            return own | {"horizon": self.settings.get("horizon")}
        roles = panel.roles.given
        own |= {"id_column": panel.source.id or "id", "timestamp_column": panel.source.time or "timestamp"}
        own |= {"past_dynamic_columns": sorted(roles.past), "known_dynamic_columns": sorted(roles.future)}
        return own | {"static_columns": sorted(roles.static)}


def read_list(path: Path) -> tuple[list[Job], dict[str, Any]]:
    """Read a file of tasks: its tasks, and models and reference where it names them; DataError with every problem."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"file {str(path)!r} must be TOML with a list of tasks: {reason(error)}") from error
    problems = [f"key {name!r} is not known; {nearest(name, SHARED)}" for name in table if name not in SHARED]
    shared = {name: table[name] for name in SETTINGS if name in table}
    listed = table.get("task", [])
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        raise DataError("tasks must be written under [[task]]: the key task holds something else")
    jobs, known = list[Job](), {"name", "data", *SETTINGS, *READING}
    for number, given in enumerate(listed, start=1):
        who = f"task {given.get('name', number)!r}"
        problems += [f"{who}: key {name!r} is not known; {nearest(name, known)}" for name in given.keys() - known]
        if not isinstance(given.get("data"), str) or not given["data"]:
            problems.append(f"{who} must name its data, a dataset or a file: got {given.get('data')!r}")
            continue
        own = {name: value for name, value in given.items() if name in SETTINGS}
        problems += [f"{who}: {problem}" for problem in setting_problems(shared | own)]
        reading = {name: _option(name, value) for name, value in given.items() if name in READING}
        name = str(given.get("name", Path(given["data"]).stem))
        jobs.append(Job(name, given["data"], shared | own, reading, beside=path.parent))
    problems += [
        f"key {name!r} must be text: got {table[name]!r}"
        for name in ("fev", "folder", "reference")
        if not isinstance(table.get(name, ""), str)
    ]
    raise_any(problems)
    if "fev" in table:
        folder = table.get("folder") or os.environ.get("FEV_DATASETS_PREFIX")
        place = path.parent / folder if folder else None
        kept = {name: value for name, value in shared.items() if name in ("seeds", "audit", "refit")}
        for task in read_fev_tasks(path.parent / str(table["fev"])):
            jobs.append(Job(task.name, task.dataset_path, kept, {}, task, (path.parent / table["fev"]).parent, place))
    names = [job.name for job in jobs]
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    problems += [f"tasks must have names of their own: {name!r} occurs twice" for name in twice]
    if not jobs and not problems:
        problems.append(f'file {str(path)!r} must have tasks: add [[task]] with data, or fev = "tasks.yaml"')
    raise_any(problems)
    return jobs, {name: table[name] for name in ("models", "reference") if name in table}


def setting_problems(given: dict[str, Any]) -> list[str]:
    """Return the problems of settings of a task that are known before its data are read."""
    found = [each for name in COUNTS if name in given for each in whole(name, given[name], 1)]
    found += one_of("metric", given.get("metric", "mase"), RANKING)
    found += [each for name in FLAGS if name in given for each in flag(name, given[name])]
    return found + option_problems(given.get("refit", False), None, given.get("audit"), given.get("align"))


def _option(name: str, value: Any) -> Any:
    """Return a value as that option of the command line: names are text, several with commas."""
    if isinstance(value, list):
        return ",".join(map(str, value))
    return value if isinstance(value, bool) or name == "season" else str(value)


def models_of(listed: Any) -> dict[str, Any]:
    """Return models by name: names, or tables with a model, settings of it, and a name of their own."""
    if not isinstance(listed, list) or not listed:
        raise ParameterError(f"models must be a list of names, or of tables with a model: got {listed!r}")
    models, problems = dict[str, Any](), list[str]()
    for each in listed:
        given = {"model": each} if isinstance(each, str) else dict(each) if isinstance(each, dict) else {}
        model = given.pop("model", None)
        name = str(given.pop("name", model))
        if not isinstance(model, str):
            problems.append(f"a model must be a name, or a table with one under model: got {each!r}")
        elif name in models:
            problems.append(f"models must have names of their own: {name!r} occurs twice; add name = ...")
        elif not given:
            models[name] = named([model])[model] if name != model else model
        elif is_foreign(model):
            problems.append(f"model {name!r}: settings are for models of tsforecast: got {', '.join(given)}")
        else:
            plain = make(model)
            known = type(plain).get_params(plain, deep=False)
            wrong = [
                f"model {name!r}: {key!r} is not known; {nearest(key, known)}" for key in given if key not in known
            ]
            problems += wrong
            models[name] = make(model, **{"random_state": 0, **given})
    raise_any(problems, ParameterError)
    plain_names = [name for name, model in models.items() if isinstance(model, str)]
    found = named(plain_names) if plain_names else {}
    return {name: found[name] if isinstance(model, str) else model for name, model in models.items()}


def run(job: Job, models: dict[str, Any], out: Path, n_jobs: int) -> list[dict[str, Any]]:
    """Return a row for each model; where nothing can be compared, rows with the error."""
    panel, why = None, ""
    try:
        panel, settings = job.load()
        board, why = compared(job, panel, settings, models, out, n_jobs)
        board.to_parquet(out / "boards" / f"{slug(job.name)}.parquet")
        found = fev_rows(board, job.fields(panel), metric_of(job, board)).to_dict("records")
    except Exception as error:  # the other tasks go on
        own = isinstance(error, TsForecastError)
        why = "; ".join(error.problems) if own else f"{type(error).__name__}: {reason(error)}"
        names = dict.fromkeys([*named([]), *models])
        fields_of = dict.fromkeys(TASK_COLUMNS) | job.fields(panel)
        return [{MODEL: name, **fields_of, ERROR: math.nan, "error": why} for name in names]
    there = {row[MODEL] for row in found}
    lost = [{**found[0], MODEL: name, ERROR: math.nan, "error": why} for name in models if name not in there]
    values = board.table.columns.intersection(["release", "trained_on"])
    more = board.table.set_index("model")[list(values)].to_dict("index") if len(values) else {}
    return [{**row, **more.get(row[MODEL], {})} for row in [*found, *lost]]


def compared(
    job: Job, panel: Panel, settings: dict[str, Any], models: dict[str, Any], out: Path, n_jobs: int
) -> tuple[Leaderboard, str]:
    """Return the board of a task; where all models failed, that of the naive forecasts, and the reason."""
    kept = out / "fits" / slug(job.name)
    kept.mkdir(parents=True, exist_ok=True)
    common: dict[str, Any] = {"n_jobs": n_jobs, "checkpoint": kept, **settings}
    try:
        return leaderboard(models, panel, **common), ""
    except TsForecastError as error:
        try:
            return leaderboard([], panel, **common), "; ".join(error.problems)
        except TsForecastError:
            raise error from None


def metric_of(job: Job, board: Leaderboard) -> str | None:
    """Return the metric of rows: that of a task of fev; of msis, owa and the like, which fev has not, the nearest."""
    if job.fev:
        return job.fev.metric
    return None if board.metric in NEAREST_METRICS.values() else "WQL" if board.metric == "msis" else "MASE"


def slug(name: str) -> str:
    """Return a name as one of a file, which no other name has."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", name)
    return plain if plain == name else f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def finish(rows: list[dict[str, Any]], reference: str | None, out: Path) -> Overall:
    """Write the rows as fev has them, the standing over tasks, and its page."""
    import pandas as pd

    write_or_return(pd.DataFrame(rows).to_csv(index=False), out / "rows.csv")
    found = overall(rows, reference)
    write_or_return(found.table.to_csv(index=False), out / "overall.csv")
    about = (__doc__ or "").split("\n")[0]
    write_or_return(html_benchmark("tasks", read_rows(out / "tasks.jsonl"), about), out / "tasks.html")
    return found


def main(words: list[str] | None = None, say: Callable[[str], Any] = lambda line: print(line, flush=True)) -> None:  # noqa: T201
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="?", type=Path, default=Path(__file__).parent / "tasks.toml", metavar="FILE")
    parser.add_argument("--models", help="names with commas; those of the file unless given")
    parser.add_argument("--reference", help="the model that skill is relative to; seasonal-naive unless given")
    parser.add_argument("--only", help="names of tasks with commas; all unless given")
    parser.add_argument("--jobs", type=int, default=1, help="processes to share fits between")
    parser.add_argument("--out", type=Path, default=Path(os.environ.get("TSFORECAST_RESULTS") or "benchmark-tasks"))
    options = parser.parse_args(words)
    raise_any(processes("jobs", options.jobs), ParameterError)
    jobs, stated = read_list(options.tasks)
    if options.only:
        wanted = [name.strip() for name in options.only.split(",")]
        unknown = [name for name in wanted if name not in [job.name for job in jobs]]
        raise_any(f"task {name!r} does not exist; {nearest(name, [job.name for job in jobs])}" for name in unknown)
        jobs = [job for job in jobs if job.name in wanted]
    listed = [name.strip() for name in options.models.split(",")] if options.models else stated.get("models")
    models, reference = models_of(listed), options.reference or stated.get("reference")
    if reference is not None and reference not in {*models, *named([])}:
        raise ParameterError(f"reference {reference!r} is not among the models; {nearest(reference, models)}")
    require_place(options.out)
    os.environ["TSFORECAST_RESULTS"] = str(options.out.absolute())  # where `record` writes
    options.out.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(options.out / ".lock", timeout=0):
            run_tasks(jobs, models, reference, options, say)
    except Timeout:
        raise OutputError(f"{str(options.out)!r} is in use by another run: name another folder, or wait") from None


def run_tasks(
    jobs: list[Job], models: dict[str, Any], reference: str | None, options: Any, say: Callable[[str], Any]
) -> None:
    """Run each task, and write what is known after each."""
    rows = list[dict[str, Any]]()
    for number, job in enumerate(jobs, start=1):
        began = time.perf_counter()
        new = run(job, models, options.out, options.jobs)
        mark = {"measured": "tasks", "reference": reference, "set": job.name, "seeds": job.settings.get("seeds", 1)}
        rows += [to_plain({**mark, **row}) for row in new]
        record("tasks", rows)
        failed = [row[MODEL] for row in new if math.isnan(row[ERROR])]
        errors = ", ".join(f"{row[MODEL]} {row[ERROR]:.4g}" for row in new if row[MODEL] not in failed)
        lost = f"; failed: {', '.join(failed)}" if failed else ""
        why = f" ({new[0]['error']})" if len(failed) == len(new) else ""
        seconds = time.perf_counter() - began
        say(f"[{number}/{len(jobs)}] {job.name}, {seconds:.1f} s: {errors}{lost}{why}")
    say(finish(rows, reference, options.out).to_markdown())
    nothing = {row["set"] for row in rows} - {row["set"] for row in rows if row[ERROR] is not None}
    if nothing:
        sys.exit(1)


if __name__ == "__main__":
    try:
        main()
    except TsForecastError as error:
        sys.stderr.write(f"Error: {error}\n")
        sys.exit(2)
