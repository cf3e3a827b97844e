"""Commands besides forecasts: `tsforecast datasets [show | download] | benchmark | track-sync`."""

from __future__ import annotations

import ast
import os
import runpy
import sys
from pathlib import Path
from typing import Annotated

import typer

from tsforecast.cli.console import console, echo, show_pairs
from tsforecast.cli.options import PlainGroup
from tsforecast.errors import DataError, UnknownNameError, nearest
from tsforecast.files import require_place, shipped, write_or_return

datasets_app = typer.Typer(cls=PlainGroup, help="List, show and download datasets.", invoke_without_command=True)


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


@datasets_app.command("show")
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
    show_pairs(lines, f"{one.name}: {one.title}")


@datasets_app.command("download")
def download_dataset(name: Annotated[str, typer.Argument(help="A dataset's name.")]) -> None:
    """Fetch a dataset into the cache, check it and read it once."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn

    from tsforecast.catalog.loaders import load_dataset

    columns = ("{task.description}", BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(name, total=None)
        panel = load_dataset(name, lambda got, total: bar.update(task, completed=got, total=total))
    echo(f"{name} is here. {panel}")


# In the order of the list; one whose script is not there is left out.
BENCHMARKS = ("gestures", "sensors", "accuracy", "speed")


def benchmark(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="Which one.", show_default="list them")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for rows and report.", show_default="benchmark-NAME")] = None,
    measure: Annotated[bool, typer.Option(help="Measure anew, or draw the report of the rows that come along.")] = True,
) -> None:
    """Measure on public data, beside the naive baseline; rows and a report.

    Options that are not listed here are the benchmark's own, such as --quick of gestures; see
    tsforecast benchmark NAME -- --help.
    """
    folder = shipped("benchmarks")
    scripts = {name: folder / f"{name}.py" for name in BENCHMARKS if (folder / f"{name}.py").is_file()}
    if name is None:
        for known, script in scripts.items():
            echo(f"{known:<10} {_about(script)}")
        return
    if name not in scripts:
        raise UnknownNameError(f"benchmark {name!r} does not exist; {nearest(name, scripts)}")
    if not measure and context.args:
        raise DataError(f"--no-measure draws what was measured: leave {' '.join(context.args)!r} out")
    out = out or Path(f"benchmark-{name}")
    rows, page = out / f"{name}.jsonl", out / f"{name}.html"
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


def track_sync(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of runs that were not sent.")] = Path(
        "mlflow-unsent"
    ),
) -> None:
    """Send runs to MLflow that could not be sent when they happened."""
    from tsforecast.tracking import sync

    for sentence in sync(folder):
        echo(sentence)
