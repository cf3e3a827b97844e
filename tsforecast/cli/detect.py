"""Command `tsforecast detect`: anomalies in the rows that follow those of a saved model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tsforecast.cli.console import console, echo, show_anomalies, suffix_of
from tsforecast.cli.options import ContextDateFormat, Trust, expand_options, words_of
from tsforecast.cli.predict import context_of, saved_forecaster
from tsforecast.errors import ParameterError
from tsforecast.files import require_place, write_or_return


@expand_options
def detect(
    model: Annotated[Path, typer.Argument(help="Folder of a fitted model.")],
    data: Annotated[
        Path,
        typer.Option(help="CSV, Excel or Parquet file of the rows that follow; known rows may be repeated."),
    ],
    level: Annotated[
        float, typer.Option(help="False discovery rate of points, and of collective ones in a stretch of --memory.")
    ] = 0.01,
    step: Annotated[
        int, typer.Option(help="Steps before a row that its forecast is made; a season shows all of an anomaly.")
    ] = 1,
    memory: Annotated[
        int | None, typer.Option(help="Steps whose rows are tested together.", show_default="100, or a season")
    ] = None,
    tail: Annotated[
        str,
        typer.Option(help="Tail of p-values beyond the largest residuals: power, exponential (finds more) or none."),
    ] = "power",
    out: Annotated[
        Path | None,
        typer.Option(help="File for the anomalies: page (html), table (csv) or JSON.", show_default="print a table"),
    ] = None,
    date_format: ContextDateFormat = None,
    trust: Trust = None,
) -> None:
    """Find anomalies in rows that follow the fitted ones: points, and long runs of small errors.

    Each row is tested against earlier rows alone: the next file does not change earlier results.
    """
    suffix = suffix_of(out, (".html", ".csv", ".json"), "what is found") if out else ""
    if out:
        require_place(out.parent)
    forecaster = saved_forecaster(model, words_of(trust))
    if forecaster.panel_.source.form in ("array", "arrays", "windows"):
        raise ParameterError(
            f"the model in {str(model)!r} must have been fitted on a table, to know which rows are new: use "
            "tsforecast.detect from Python"
        )
    from tsforecast.anomalies.detector import Detector

    named: Any = None if tail == "none" else tail
    detector = Detector(forecaster, level, step, memory, named)
    found = detector.read(context_of(forecaster.panel_, model, data, date_format)[0])
    title = f"Anomalies in {data.name}"
    show_anomalies(found, title, console)
    if suffix == ".html":
        found.to_html(out, title)
    elif suffix == ".json":
        found.to_json(out)
    elif suffix:
        write_or_return(found.to_frame().to_csv(index=False), out)
    if out:
        echo(f"wrote {out}")
