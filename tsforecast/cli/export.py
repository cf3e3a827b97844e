"""Command `tsforecast export`: a saved model as one file that forecasts or predicts anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tsforecast.cli.console import console, echo
from tsforecast.cli.options import Trust, expand_options, require_absent, words_of
from tsforecast.cli.predict import levels_of, shares_of


@expand_options
def export(
    model: Annotated[Path, typer.Argument(help="Folder of a fitted model.")],
    file: Annotated[Path, typer.Argument(help="File to write: .onnx for onnxruntime, or .pt2 for torch.")],
    interval: Annotated[
        list[str] | None, typer.Option(help="Central intervals that the file computes, such as 80 or 50,95.")
    ] = None,
    quantiles: Annotated[
        list[str] | None, typer.Option(help="Levels of quantiles that the file computes, such as 0.1,0.9.")
    ] = None,
    trust: Trust = None,
) -> None:
    """Write a saved model as one file that forecasts anywhere, with a program that reads CSV files next to it."""
    with console.status("exporting"):
        from tsforecast.estimators.persistence import load
        from tsforecast.export.file import SCRIPTS
        from tsforecast.forecasters.base import Forecaster

        found = load(model, trust=words_of(trust))
        kind = "forecast" if isinstance(found, Forecaster) else "recordings"
        if kind == "recordings":
            require_absent("for a model of recordings", "it has none", interval=interval, quantiles=quantiles)
            made = found.export(file)
        else:
            made = found.export(file, interval=shares_of(interval), quantiles=levels_of(quantiles))
    program = f", and {made.with_name(SCRIPTS[kind])} to run it" if made.suffix == ".onnx" else ""
    echo(f"{made.stat().st_size / 1000:,.0f} kB in {made}{program}")
