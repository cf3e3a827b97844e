"""`tsforecast scenario`: forecasts with other covariates than the planned ones, next to the forecast for the plan."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tsforecast.cli.console import as_polars, echo, suffix_of, write_frame
from tsforecast.cli.data import read_next
from tsforecast.cli.files import lines_of
from tsforecast.cli.options import ContextDateFormat, Trust, expand_options, words_of
from tsforecast.cli.predict import context_of, saved_forecaster, shares_of, texts_of, with_levels
from tsforecast.errors import ParameterError, Problem
from tsforecast.files import require_place


@expand_options
def scenario(
    model: Annotated[Path, typer.Argument(help="Folder of a fitted model that reads columns known ahead.")],
    change: Annotated[
        list[str],
        typer.Option(
            "--set",
            help="A column known ahead and what it would be, such as price=8.5, or at one time holiday@2024-12-24=1; "
            "several times.",
        ),
    ],
    future: Annotated[
        Path, typer.Option(help="CSV, Excel or Parquet file of the columns known ahead as they are planned.")
    ],
    data: Annotated[
        Path | None, typer.Option(help="Such a file to forecast from.", show_default="the fitted data")
    ] = None,
    date_format: ContextDateFormat = None,
    horizon: Annotated[int | None, typer.Option(help="Steps to forecast.", show_default="the model's")] = None,
    interval: Annotated[
        list[str] | None,
        typer.Option(help="Central intervals of the difference, such as 80 or 50,95.", show_default="80"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="CSV or Parquet file for the forecasts.", show_default="print them")
    ] = None,
    trust: Trust = None,
) -> None:
    """Forecast with other prices, holidays or weather than planned, and compare with the forecast for the plan.

    The difference is what the model has learned, and no proof of a causal effect.
    """
    from tsforecast.distributions.predictions import asked_levels
    from tsforecast.explanations.scenario import DIFFERENCE, SCENARIO

    if out:
        suffix_of(out, (".csv", ".parquet"), "a file")
        require_place(out.parent)
    shares = shares_of(interval or ["80"])
    forecaster = saved_forecaster(model, words_of(trust))
    panel = forecaster.panel_
    changes = _changes(change, set(panel.roles.categories))
    context, form = context_of(panel, model, data, date_format)
    with lines_of(future):
        rows, _ = read_next(future, model, panel.source.time, date_format, panel.roles.given.future, texts_of(panel))
        found = forecaster.scenario(changes, context, future=rows, horizon=horizon, interval=shares)
    frame = as_polars(found)
    added = [SCENARIO, DIFFERENCE, *(f"{DIFFERENCE}_{level}" for level in asked_levels((), shares))]
    write_frame(frame, with_levels(form, dict.fromkeys(added, 0.0)), out)
    if out:
        echo(f"{len(frame)} forecasts in {out}")


def _changes(words: list[str], texts: set[str]) -> dict[str, Any]:
    """Return changes by column, as `Forecaster.scenario` takes them, from words such as price=8.5."""
    found: dict[str, Any] = {}
    for word in words:
        place, equals, text = (part.strip() for part in word.partition("="))
        name, at, time = (part.strip() for part in place.partition("@"))
        value: Any = text
        if name not in texts:
            try:
                value = float(text)
            except ValueError:
                equals = ""
        if not (name and equals and text) or bool(at) != bool(time):
            must = "must be a column and a number, or one of its texts, such as price=8.5 or kind@2024-12-24=sale"
            raise ParameterError(Problem(must, f"got {word!r}", "decimals have a point", parameter="changes"))
        if name in found and (not at or not isinstance(found[name], dict)):
            must = "must set a column once, or at several times"
            raise ParameterError(Problem(must, f"{name!r} is set twice", parameter="changes"))
        if at:
            found.setdefault(name, {})[time] = value
        else:
            found[name] = value
    return found
