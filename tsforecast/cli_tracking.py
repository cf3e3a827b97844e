"""`--mlflow`, and `tsforecast track-sync`: what could not be sent when it happened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from tsforecast.cli_output import say


@contextmanager
def tracked(mlflow: bool, data: str) -> Iterator[None]:
    """Let fits be runs if that was asked for, with the data as the command names them."""
    if not mlflow:
        yield
        return
    from tsforecast.tracking import track

    with track(data=Path(data).stem) as uri:
        yield
    look = f"; look at them with: mlflow server --backend-store-uri {uri}" if uri.startswith("sqlite:") else ""
    say(f"runs are in {uri}{look}")


def track_sync(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of runs that were not sent.")] = Path(
        "mlflow-unsent"
    ),
) -> None:
    """Send runs to MLflow that could not be sent when they happened."""
    from tsforecast.tracking import sync

    for sentence in sync(folder):
        say(sentence)
