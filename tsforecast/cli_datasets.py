"""The command line's catalogue: `tsforecast datasets [show | download]`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from tsforecast.cli_help import PlainGroup
from tsforecast.cli_output import console, say

if TYPE_CHECKING:
    from tsforecast.data.catalog import Task

datasets_app = typer.Typer(cls=PlainGroup, help="The datasets that tsforecast knows.", invoke_without_command=True)


@datasets_app.callback()
def datasets(context: typer.Context) -> None:
    """List the datasets that `leaderboard` and `fit` take by name."""
    if context.invoked_subcommand:
        return
    from rich.table import Table

    from tsforecast.data.catalog import card, dataset_names

    table = Table("name", "what it is", "step", "season")
    for name in dataset_names():
        one = card(name)
        table.add_row(name, one.title, one.frequency, str(one.season_length))
    console.print(table)


@datasets_app.command("show")
def show_dataset(name: Annotated[str, typer.Argument(help="A dataset's name.")]) -> None:
    """Show a dataset's card: what it is, where it comes from, how it is read and tested."""
    from rich.table import Table

    from tsforecast.data.catalog import card

    one = card(name)
    table = Table(title=f"{one.name}: {one.title}", title_justify="left", title_style="bold", show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    roles = {
        role: ", ".join([names] if isinstance(names, str) else names)
        for role, names in vars(one.roles).items()
        if names
    }
    lines = {
        "what": one.description,
        "source": "\n".join(one.sources),
        "licence": one.licence,
        "citation": one.citation,
        "step, season": f"{one.frequency}, {one.season_length}",
        **roles,
        "files": "\n".join(file.path for file in one.files) or "part of an installed package",
        "by hand": one.by_hand,
        "task": f"horizon {one.task.horizon}, {_cutoffs(one.task)}",
        "protocol": one.task.protocol,
        "quirks": "\n".join(one.quirks),
    }
    for word, text in lines.items():
        if text:
            table.add_row(word, escape(text))
    console.print(table)


@datasets_app.command("download")
def download_dataset(name: Annotated[str, typer.Argument(help="A dataset's name.")]) -> None:
    """Fetch a dataset into the cache, check it and read it once."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn

    from tsforecast.data.catalog import load_dataset

    columns = ("{task.description}", BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(name, total=None)
        panel = load_dataset(name, lambda got, total: bar.update(task, completed=got, total=total))
    say(f"{name} is here. {panel}")


def _cutoffs(task: Task) -> str:
    return "1 cutoff" if task.origins == 1 else f"{task.origins} cutoffs every {task.step} steps"
