"""`tsforecast inspect`: what a folder says of the model in it, without reviving it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tsforecast.cli_output import console, shown


def inspect(folder: Annotated[Path, typer.Argument(help="Folder of a saved model.")]) -> None:
    """Say what a saved model is, which data it was fitted on, and which versions wrote it."""
    from rich.table import Table

    from tsforecast.saving.summary import summary

    table = Table(show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, words in summary(folder).items():
        table.add_row(name, shown(words))
    console.print(table)
