"""Commands that take a saved model: `tsforecast inspect | predict`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from tsforecast.cli.console import as_polars, console, print_frame, say, shown, write_frame
from tsforecast.cli.data import kept_format, read_next
from tsforecast.cli.files import lines_of, suffix_of
from tsforecast.errors import Argument, ParameterError, Part, Reference, TsForecastError

CLEANING = ("fill_gaps", "sort", "duplicates", "nan_policy")


def inspect(folder: Annotated[Path, typer.Argument(help="Folder of a saved model.")]) -> None:
    """Say what a saved model is, which data it was fitted on, and which versions wrote it."""
    from rich.table import Table

    from tsforecast.estimators.inspect import summary

    table = Table(show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, words in summary(folder).items():
        table.add_row(name, shown(words))
    console.print(table)


def predict(
    model: Annotated[Path, typer.Argument(help="Folder of a fitted model.")],
    data: Annotated[
        Path | None, typer.Option(help="CSV or Parquet file to go on from.", show_default="the fitted data")
    ] = None,
    future: Annotated[
        Path | None, typer.Option(help="CSV or Parquet file of the columns known ahead, for the steps to forecast.")
    ] = None,
    date_format: Annotated[
        str | None,
        typer.Option(
            help="How dates in --data are written, such as %d.%m.%Y.", show_default="as those that were fitted"
        ),
    ] = None,
    horizon: Annotated[int | None, typer.Option(help="Steps to forecast.", show_default="the model's")] = None,
    out: Annotated[
        Path | None, typer.Option(help="CSV or Parquet file for the forecasts.", show_default="print them")
    ] = None,
) -> None:
    """Forecast the steps that follow the fitted data, or other data."""
    from tsforecast.data.frames import Source
    from tsforecast.data.supervised import SupervisedPanel
    from tsforecast.estimators.persistence import load
    from tsforecast.files import require_place
    from tsforecast.forecasters.base import Forecaster

    if out:
        suffix_of(out)
        require_place(out.parent)
    forecaster = load(model)
    if not isinstance(forecaster, Forecaster):
        raise ParameterError(
            f"{str(model)!r} must hold a forecaster: it holds a {type(forecaster).__name__}, which is asked from Python"
        )
    panel = forecaster.panel_
    ahead = panel.roles.given.future
    if future and not ahead:
        raise ParameterError(
            f"--future must be left out: the model in {str(model)!r} reads no columns known ahead; to give it some, "
            "name them when it is fitted, with tsforecast fit --future COLUMNS"
        )
    source = panel.source
    if data and source.form in ("array", "arrays"):
        raise ParameterError(
            f"--data must be left out: the model in {str(model)!r} was fitted on arrays, whose columns have no names; "
            "let it go on from others in Python, with load and predict"
        )
    known = (*panel.roles.target, *panel.roles.given.past, *ahead)
    context, later, forms = None, None, dict[str, str]()
    if data:
        time = None if source.time_in_index else source.time  # what an index is called says nothing of a file
        with _as_fitted(), lines_of(None if source.form == "wide" else data):  # a wide table's rows are of its stack
            context, forms = read_next(data, model, time, date_format, known)
            context = context if isinstance(panel, SupervisedPanel) else panel.read_like(context)
    elif source.form in ("array", "arrays"):  # which a table can hold once columns have names
        named = Source("frame", backend="polars", id="series" if len(panel) > 1 else None)
        context = replace(panel, source=named)
    elif source.time and (written := kept_format(model)):
        forms = {source.time: written}
    with lines_of(future):
        if future:
            later, _ = read_next(future, model, source.time, date_format, ahead)
        frame = as_polars(forecaster.predict(context, future=later, horizon=horizon))
    if out:
        write_frame(frame, forms, out)
        say(f"{len(frame)} forecasts in {out}")
    else:
        print_frame(frame, forms)


@contextmanager
def _as_fitted() -> Iterator[None]:
    """Let errors about data say what this command has no option for: data are mended as the model was told to."""
    try:
        yield
    except TsForecastError as error:
        raise error.map(_when_fitted) from error


def _when_fitted(part: Reference) -> Part:
    if isinstance(part, Argument) and part.verb and part.name in CLEANING:
        return Argument(part.name, part.value, "fit the model with")
    return part
