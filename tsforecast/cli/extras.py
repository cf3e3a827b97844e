"""Commands besides forecasts: `tsforecast init | check | seal | datasets | benchmark | compile | track-sync`."""

from __future__ import annotations

import ast
import os
import runpy
import shlex
import sys
from contextlib import redirect_stderr
from dataclasses import replace
from functools import partial
from io import StringIO
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tsforecast.cli.console import console, echo
from tsforecast.cli.data import default_ledger, horizon_of, protocol_of, read_panel, read_table
from tsforecast.cli.options import (
    Align,
    CutoffOptions,
    Data,
    DataOptions,
    Horizon,
    PlainGroup,
    expand_options,
    shown_examples,
)
from tsforecast.cli.project import PROJECT, written
from tsforecast.cli.wording import as_option, note_of
from tsforecast.errors import DataError, Phrase, Problem, UnknownNameError, nearest, shorten
from tsforecast.files import OutputError, require_place, shipped, write_or_return
from tsforecast.reporting.terminal import show_pairs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tsforecast.data.panel import Panel
    from tsforecast.data.protocol import Protocol

datasets_app = typer.Typer(
    cls=PlainGroup,
    help="List, show and download datasets.",
    invoke_without_command=True,
    epilog=shown_examples("datasets", "datasets show co2-weekly"),
)


@datasets_app.callback()
def datasets(context: typer.Context) -> None:
    """List the datasets that `leaderboard` and `fit` take by name."""
    if context.invoked_subcommand:
        return
    from rich.table import Table

    from tsforecast.catalog.card import card, dataset_names

    table = Table("name", "title", "step", "season")
    for name in dataset_names():
        one = card(name)
        table.add_row(name, one.title, one.frequency, str(one.season_length))
    console.print(table)


@datasets_app.command("show", epilog=shown_examples("datasets show co2-weekly", "datasets show hapt"))
def show_dataset(name: Annotated[str, typer.Argument(help="A dataset's name.")]) -> None:
    """Show a dataset's card: its description and source, how it is read and tested."""
    from tsforecast.catalog.card import card

    one = card(name)
    roles = {
        role: ", ".join([names] if isinstance(names, str) else names)
        for role, names in vars(one.roles).items()
        if names
    }
    cutoffs = "1 cutoff" if one.task.origins == 1 else f"{one.task.origins} cutoffs every {one.task.step} steps"
    lines = {
        "description": one.description,
        "source": "\n".join(one.sources),
        "licence": one.licence,
        "citation": one.citation,
        "step, season": f"{one.frequency}, {one.season_length}",
        **roles,
        "files": "\n".join(file.path for file in one.files) or "part of an installed package",
        "by hand": one.by_hand,
        "task": f"horizon {one.task.horizon}, {cutoffs}",
        "protocol": one.task.protocol,
        "quirks": "\n".join(one.quirks),
    }
    show_pairs(console, lines, f"{one.name}: {one.title}")


@datasets_app.command("download", epilog=shown_examples("datasets download bike-sharing", "datasets download uci-har"))
def download_dataset(name: Annotated[str, typer.Argument(help="A dataset's name.")]) -> None:
    """Fetch a dataset into the cache, check it and read it once."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn

    from tsforecast.catalog.loaders import load_dataset

    columns = ("{task.description}", BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(name, total=None)
        panel = load_dataset(name, lambda got, total: bar.update(task, completed=got, total=total))
    echo(f"{name} is here. {panel}")


@partial(expand_options, shared=False)
def init(
    reading: DataOptions,
    data: Annotated[
        str | None, typer.Argument(metavar="NAME_OR_FILE", help="A dataset's name, or a file.", show_default="none yet")
    ] = None,
    horizon: Horizon = None,
    out: Annotated[Path, typer.Option(help="File to write.")] = Path(PROJECT),
) -> None:
    """Write project.toml: data, columns, horizon and folder of results for all commands, and comments on the rest."""
    if out.exists():
        must = f"there must be no {str(out)!r} yet"
        raise OutputError(Problem(must, "there is one", "edit it, or name another with --out and --project"))
    columns = {name: value for name, value in vars(reading).items() if value not in (None, False)}
    if data:
        panel, task, _ = read_table(data, reading)
        horizon = horizon if task and horizon is None else horizon_of(task, panel, horizon)
        source, target = panel.source, list(panel.roles.given.target)
        if task is None and source.form == "frame":
            found = {"time": source.time, "id": source.id, "target": target[0] if len(target) == 1 else target}
            columns = {name: value for name, value in found.items() if value} | columns
    write_or_return(written(data, columns, horizon), out)
    echo(f"wrote {out}; next: tsforecast check")


@expand_options
def check(data: Data, test: CutoffOptions, reading: DataOptions) -> None:
    """Describe a dataset or file, its faults and the plan of a run, without training; exit code 1 if a run refuses it.

    Faults that can be repaired are counted, and the rest is described as it would be after the repair.
    """
    faults = None
    try:
        panel, task = read_panel(data, reading)
    except DataError as error:
        faults = error.map(as_option)
        found = error.repair.references if error.repair else []
        repair = next((part.value for part in found if isinstance(part, Phrase) and isinstance(part.value, dict)), {})
        mend = replace(
            reading, nan="mask", **{name: repair[name] for name in ("frequency", "tolerance") if name in repair}
        )
        if reading.time != "none":
            mend = replace(mend, sort=True, duplicates=reading.duplicates or "last", fill_gaps=True)
        try:
            with redirect_stderr(StringIO()):  # notes were printed by the first reading
                panel, task = read_panel(data, mend)
        except DataError:
            raise error from None
    protocol = protocol_of(task, panel, test)
    plan = _plan(panel, protocol)
    show_pairs(console, _overview(panel, protocol.horizon) | plan, data)
    if faults is None and not any(str(plan.get(run)).startswith("refused: ") for run in ("leaderboard", "fit")):
        return
    if faults:
        repairs = [str(faults.repair)] * bool(faults.repair)
        echo("\n".join([*(f"fault: {problem}" for problem in faults.problems), *repairs]))
    raise typer.Exit(1)


def _overview(panel: Panel, horizon: int) -> dict[str, str]:
    """Return what a panel holds, in words."""
    import numpy as np

    from tsforecast.data.scaling import by_part
    from tsforecast.data.seasons import resolved

    lengths, roles, source = panel.lengths, panel.roles.given, panel.source
    targets = panel.values[:, : panel.n_targets]
    missing = np.isnan(targets)
    gone = [i for i in range(len(panel)) if missing[panel.offsets[i] : panel.offsets[i + 1]].any()]
    lowest, highest = (by_part(reduction, targets, panel.offsets) for reduction in (np.fmin, np.fmax))
    columns = {"time": source.time, "id": source.id, "target": roles.target, "past": roles.past}
    columns |= {"future": roles.future, "static": roles.static, "group": roles.group}
    parts = [(role, [names] if isinstance(names, str) else names) for role, names in columns.items() if names]
    low, high = int(lengths.min()), int(lengths.max())
    steps = str(high) if low == high else f"{low} to {high}, {np.median(lengths):g} in the median"
    span = panel.span(np.zeros_like(lengths), lengths)
    step = str(panel.frequency) if panel.kind == "datetime" else f"{panel.frequency.count} on a counter"
    seasons = resolved(panel, panel)
    return {
        "columns": "\n".join(f"{role} {', '.join(map(repr, names))}" for role, names in parts),
        "series": f"{len(panel)}: {shorten([repr(str(name)) for name in panel.ids], 4)}",
        "steps": steps + (f", {span['first']} to {span['last']}" if panel.kind != "none" else ""),
        "frequency, season": f"{step if panel.kind != 'none' else 'no time axis'}, {seasons.season_length}",
        "notes": "\n".join(map(note_of, (*panel.notes, *seasons.season_notes))),
        "missing numbers": f"{missing.sum()} ({missing.mean():.1%}) in {len(gone)} of {len(panel)} series" * bool(gone),
        "constant": _some(panel, np.asarray((lowest == highest).all(axis=1))),
        "ended": _some(panel, panel.ended(max(horizon, panel.season_length))),
    }


def _some(panel: Panel, chosen: NDArray[np.bool_]) -> str:
    names = [repr(str(name)) for name in panel.ids[chosen]]
    return f"{len(names)} of {len(panel)}: {shorten(names, 4)}" if names else ""


def _plan(panel: Panel, protocol: Protocol) -> dict[str, str]:
    """Return what a leaderboard and a fit of a network would do, in words."""
    from tsforecast.data.splits import is_tested
    from tsforecast.forecasters.neural import GRUForecaster

    steps, plan = protocol.horizon, dict[str, str]()
    try:
        cutoffs = [cutoff for fold in protocol.folds(panel) for cutoff in fold.cutoffs]
        tested = is_tested(cutoffs).any(axis=0).sum()
        seen = cutoffs[0].seen
        last = panel.span(seen * 0, seen).get("last", "0")
        many = f"the oldest of {len(cutoffs)} cutoffs at" if len(cutoffs) > 1 else "1 cutoff at"
        plan["leaderboard"] = f"horizon {steps}, {many} {last}; tests {tested} of {len(panel)} series"
    except DataError as error:
        plan["leaderboard"] = f"refused: {error.map(as_option)}"
    try:
        state = GRUForecaster(horizon=steps).preprocessing_state(panel)
        chosen = {name: str(state[f"choices {name}"]) for name in ("window", "anchor", "value_transform", "validation")}
        plan["fit"] = ", ".join([f"horizon {steps}", *(f"{name} {value}" for name, value in chosen.items())])
        rows, least = state["training rows"], int(str(state["choices least"]))
        plan["too short to train"] = _some(panel, (rows > 0) & (rows < least + steps))
    except DataError as error:
        plan["fit"] = f"refused: {error.map(as_option)}"
    return plan


def _steps(text: str) -> int | float | str:
    """Return a number of steps, a share, or other text; the library refuses the rest."""
    try:
        return int(text) if text.isdecimal() else float(text)
    except ValueError:
        return text


@expand_options
def seal(
    data: Data,
    reading: DataOptions,
    test: Annotated[
        Any, typer.Option(help="Steps at the end to seal, or their share.", parser=_steps, metavar="INTEGER|SHARE")
    ],
    align: Align = None,
    out: Annotated[
        Path | None, typer.Option(help="Ledger to write, or to look at.", show_default="NAME_OR_FILE.seal")
    ] = None,
) -> None:
    """Seal the last steps of a dataset or file: a ledger counts which models were tested on them, and how often."""
    from tsforecast.evaluation.seal import SealedPanel, read_ledger

    panel, _ = read_panel(data, reading)
    ledger = out or default_ledger(data)
    SealedPanel(panel, test, align or "time", ledger)  # type: ignore[arg-type] # which it checks
    echo(f"{read_ledger(ledger).sentence}.")
    given = "" if ledger == default_ledger(data) else f" --seal {shlex.quote(str(ledger))}"
    command = f"tsforecast leaderboard {shlex.quote(data)}{given}"
    echo(f"the ledger is {ledger}: {command} opens them, and is counted; with --closed it stops before them")


# Names and scripts in the order of the list; one whose script is not there is left out. That of a dataset has its name.
BENCHMARKS = {
    "tasks": "tasks",
    "smartwatch-gestures": "gestures",
    "sensors": "sensors",
    "accuracy": "accuracy",
    "speed": "speed",
}


def benchmark(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="Which one.", show_default="list them")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for rows and report.", show_default="benchmark-NAME")] = None,
    measure: Annotated[bool, typer.Option(help="Measure again, or draw the report of the installed rows.")] = True,
) -> None:
    """Measure on public data, with the naive baseline; rows and a report.

    Options that are not listed here are the benchmark's own, such as --quick of smartwatch-gestures; see
    tsforecast benchmark NAME -- --help.
    """
    folder = shipped("benchmarks")
    files = {name: folder / f"{script}.py" for name, script in BENCHMARKS.items()}
    scripts = {name: script for name, script in files.items() if script.is_file()}
    if name is None:
        for known, script in scripts.items():
            echo(f"{known:<20} {_about(script)}")
        return
    if name not in scripts:
        renamed = [new for new, script in scripts.items() if script.stem == name]
        near = f"it is called {renamed[0]!r} now, as its dataset is" if renamed else nearest(name, scripts)
        raise UnknownNameError(f"benchmark {name!r} does not exist; {near}")
    if not measure and context.args:
        raise DataError(f"--no-measure draws measured rows: leave {' '.join(context.args)!r} out")
    out = out or Path(f"benchmark-{name}")
    rows, page = out / f"{scripts[name].stem}.jsonl", out / f"{name}.html"
    require_place(out, mark=page.name if not measure else rows.name)
    if measure:
        os.environ["TSFORECAST_RESULTS"] = str(out.absolute())
        sys.path.insert(0, str(folder))  # scripts share the module that records rows
        sys.argv = [f"tsforecast benchmark {name}", *context.args]
        runpy.run_path(str(scripts[name]), run_name="__main__")
    from tsforecast.cli.benchmark_page import html_benchmark, read_rows  # after the checks: it loads pandas

    kept = read_rows(rows if measure else folder / "results" / rows.name)
    write_or_return(html_benchmark(name, kept, _about(scripts[name])), page)
    echo(f"wrote {page}")


def _about(script: Path) -> str:
    """Return the first line of a script's docstring."""
    return (ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or "").split("\n")[0]


def compile_kernels() -> None:
    """Compile and measure the fast kernels for this machine, once; without it the first models that use them do so.

    They are kept in the cache: in TSFORECAST_CACHE if that is set, else in that of the user.
    """
    import numpy as np

    from tsforecast.events import uncounted
    from tsforecast.forecasters.neural import NeuralForecaster
    from tsforecast.networks.kernels import choice, memory
    from tsforecast.sequences.neural import NeuralClassifier
    from tsforecast.sequences.rocket import RocketClassifier
    from tsforecast.training.loop import steps_of

    small: dict[str, Any] = {"units": 8, "max_epochs": 1, "device": "cpu"}
    series, recordings = 9 + np.arange(60) % 5, [np.zeros((5, 1)), np.ones((6, 1))] * 4
    with console.status("compiling"), uncounted():  # no note for each
        for cell, mode in choice.MODES.items():
            choice.times_of(mode)
            if cell != "conv1d":  # no program of whole steps has convolutions
                choice.times_of(mode, steps_of)
            NeuralForecaster(cell, window=10, horizon=2, kernels="on", **small).fit(series)
            echo(f"kernels of {cell} are ready")
        for loss, kernels in product(("quantile", "student-t", "poisson"), ("on", "off")):
            own = small | {"loss": loss, "kernels": kernels}
            NeuralForecaster("gru", window=10, horizon=2, **own).fit(series)
        NeuralClassifier("gru", kernels="on", **small).fit(recordings, [0, 1] * 4)
        RocketClassifier().fit(recordings, [0, 1] * 4)
    echo(f"kernels for this machine are in {memory.folder()}")


def track_sync(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of runs that were not sent.")] = Path(
        "mlflow-unsent"
    ),
) -> None:
    """Send runs to MLflow that could not be sent when they happened."""
    from tsforecast.tracking import sync

    for sentence in sync(folder):
        echo(sentence)
