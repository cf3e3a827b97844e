"""`tsforecast predict`: forecasts from a saved model, written as the file that they go on from."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tsforecast.cli.classify import predict_labels
from tsforecast.cli.console import as_polars, console, echo, show_lines, suffix_of, write_frame
from tsforecast.cli.data import FORMAT_FILE, kept_form, read_next
from tsforecast.cli.dates import Form
from tsforecast.cli.files import lines_of
from tsforecast.cli.options import ContextDateFormat, Trust, require_absent, words_of
from tsforecast.errors import Argument, ParameterError, Part, Phrase, Problem, Reference, TsForecastError, raise_any
from tsforecast.files import require_place

if TYPE_CHECKING:
    from tsforecast.data.panel import Panel
    from tsforecast.forecasters.base import Forecaster

CLEANING = (
    *("fill_gaps", "sort", "duplicates", "nan_policy", "frequency"),
    *("resample", "aggregate", "tolerance", "decimal"),
)


def predict(
    model: Annotated[Path, typer.Argument(help="Folder of a fitted model.")],
    new: Annotated[
        str | None, typer.Argument(help="Data to forecast from, or recordings to classify.", show_default="--data")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="CSV, Excel or Parquet file, or pattern, folder or URL of files, to forecast from.",
            show_default="the fitted data",
        ),
    ] = None,
    future: Annotated[
        Path | None, typer.Option(help="Such a file of the future covariates, for the steps to forecast.")
    ] = None,
    date_format: ContextDateFormat = None,
    horizon: Annotated[int | None, typer.Option(help="Steps to forecast.", show_default="the model's")] = None,
    interval: Annotated[
        list[str] | None,
        typer.Option(help="Central intervals, such as 80 or 50,95: two columns for each, in percent or as shares."),
    ] = None,
    quantiles: Annotated[
        list[str] | None, typer.Option(help="Quantiles, such as 0.1,0.5,0.9: a column for each level between 0 and 1.")
    ] = None,
    tidy: Annotated[
        bool, typer.Option("--tidy", help="A row for each quantile and end of an interval, in place of a column.")
    ] = False,
    paths: Annotated[
        int | None,
        typer.Option(help="Possible futures to draw in place of the forecast: rows of each, with its number as path."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Random seed of --paths.", show_default="0")] = None,
    id: Annotated[
        str | None,
        typer.Option(help="Column that names recordings to classify.", show_default="as those that were fitted"),
    ] = None,
    ended: Annotated[
        str | None,
        typer.Option(
            help="Series that ended long before the others: drop or forecast.", show_default="forecast, with a note"
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="CSV or Parquet file for the forecasts, or a folder for Parquet files of many, which the same command "
            "goes on with where it was interrupted.",
            show_default="print them",
        ),
    ] = None,
    record: Annotated[
        Path | None, typer.Option(help="File to append a record of the forecasts to, which tsforecast verify checks.")
    ] = None,
    record_key: Annotated[
        Path | None, typer.Option(help="Private key that signs the record; tsforecast record-key makes one.")
    ] = None,
    trust: Trust = None,
) -> None:
    """Forecast the steps that follow the fitted data, or other data; of a classifier, predict labels of recordings."""
    from tsforecast.cli.fan import WIDTH, fans  # after the help: it loads numpy
    from tsforecast.data.samples import SupervisedPanel
    from tsforecast.distributions.predictions import asked_levels
    from tsforecast.forecasters.base import Forecaster

    folder = out if out and not out.suffix else None
    if folder:
        require_absent("with a folder of forecasts", "paths go to a file that ends in .csv or .parquet", paths=paths)
        require_absent("with a folder of forecasts", "what is recorded is in one file", record=record)
    elif out:
        suffix_of(out, (".csv", ".parquet"), "a file")
        require_place(out.parent)
    asked = {"interval": shares_of(interval), "quantiles": _levels(quantiles)}
    kept = {"record": record, "record_key": record_key}
    kept_words = {name.replace("_", "-"): path for name, path in kept.items()}
    asked_words = {"interval": interval, "quantiles": quantiles, "tidy": tidy or None, "ended": ended}
    if not any(asked.values()):
        require_absent("without --interval or --quantiles", "each row holds one of these", tidy=tidy or None)
    if paths is None:
        require_absent("without --paths", "a forecast has nothing at random", seed=seed)
    else:
        why = "paths are drawn of all series, a row for each number"
        require_absent("with --paths", "a record holds forecasts", **kept_words)
        require_absent("with --paths", why, interval=interval, quantiles=quantiles, tidy=tidy or None, ended=ended)
    if new and data:
        raise ParameterError(f"data must be named once: got {new!r} and --data {str(data)!r}; leave one out")
    forecaster = saved_model(model, words_of(trust))
    if not isinstance(forecaster, Forecaster):
        of: dict[str, Any] = {"future": future, "date-format": date_format, "horizon": horizon, "paths": paths}
        require_absent("for a classifier", "it belongs to forecasts", **of, **asked_words, **kept_words)
        require_absent("for a classifier", "labels go to a file that ends in .csv or .parquet", out=folder)
        if not (new or data):
            raise ParameterError("recordings to classify must be named: tsforecast predict MODEL NEW")
        predict_labels(forecaster, model, new or str(data), id, out)
        return
    require_absent("for a forecaster", "series have the names that were fitted", id=id)
    data = Path(new) if new else data
    panel = forecaster.panel_
    if future and not panel.roles.given.future:
        raise ParameterError(
            f"--future must be left out: the model in {str(model)!r} reads no columns known ahead; to give it some, "
            "name them when it is fitted, with tsforecast fit --future COLUMNS"
        )
    if isinstance(panel, SupervisedPanel):
        require_absent(
            "for a model of windows",
            "the command line writes points of windows alone; load the model in Python",
            interval=interval,
            quantiles=quantiles,
            paths=paths,
            out=folder,
            **kept_words,
        )
    context, form = context_of(panel, model, data, date_format)
    if not (data or out) and (model / FORMAT_FILE).exists():  # printed, as `fit` has announced them in a note
        ended = ended or "forecast"
    with lines_of(future):
        rows = None
        if future:
            rows, _ = read_next(
                future, model, panel.source.time, date_format, panel.roles.given.future, texts_of(panel)
            )
        if paths is None:
            how: dict[str, Any] = {"horizon": horizon, "ended": ended, **asked, "tidy": tidy, **kept}
            found = forecaster.predict(context, future=rows, **how, to=folder)
            if folder:
                echo(f"forecasts in Parquet files in {folder}")
                return
        else:
            found = forecaster.sample(paths, seed or 0, context, future=rows, horizon=horizon)
        frame = as_polars(found)
    levels = asked_levels(**asked)
    write_frame(frame, with_levels(form, levels), out)
    if out:
        echo(f"{len(frame)} {'numbers of paths' if paths else 'quantiles' if tidy else 'forecasts'} in {out}")
    if record:
        echo(f"recorded in {record}")
    if out:
        return
    if interval and not tidy and sys.stdout.isatty():
        panel = panel if context is None else context
        if ended == "drop":
            panel = panel.select(~panel.ended(max(horizon or forecaster.horizon_, panel.season_length)))
        show_lines(fans(panel, frame, levels, min(console.width, WIDTH)))


def shares_of(given: list[str] | None) -> list[float]:
    """Return the shares of outcomes that intervals hold, which are given in percent, or as shares."""
    found = list[float]()
    for word in words_of(given):
        number, percent = _number(word.removesuffix("%")), word.endswith("%")
        found.append(number if 0 < number < 1 and not percent else number / 100)
        if not 0 < found[-1] < 1 or (number == 1 and not percent):  # which may be all outcomes as well
            must = "must be a share of outcomes: in percent, above 1 and below 100, or between 0 and 1"
            remedy = "write 80 or 0.8, several with commas and decimals with a point"
            raise_any([Problem(must, f"got {','.join(given or ())!r}", remedy, parameter="interval")], ParameterError)
    return found


def _levels(given: list[str] | None) -> list[float]:
    """Return the levels of quantiles."""
    levels = [_number(word) for word in words_of(given)]
    if not all(0 < level < 1 for level in levels):
        remedy = "write .1,.5,.9, several with commas and decimals with a point"
        problem = Problem("must be between 0 and 1", f"got {','.join(given or ())!r}", remedy, parameter="quantiles")
        raise_any([problem], ParameterError)
    return levels


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return math.nan


def with_levels(form: Form, levels: Mapping[str, float]) -> Form:
    """Return a form whose quantiles have as many decimals as the numbers that they are of."""
    more = {f"{name}_{suffix}": places for name, places in form.decimals.items() for suffix in levels}
    return replace(form, decimals=more | form.decimals)


def saved_model(model: Path, trust: list[str]) -> Any:
    """Return the forecaster or classifier in a folder; `trust` as of `load`."""
    from tsforecast.estimators.persistence import load
    from tsforecast.forecasters.base import Forecaster

    found = load(model, trust=trust)
    if not (isinstance(found, Forecaster) or hasattr(found, "predict_proba")):
        raise ParameterError(
            f"{str(model)!r} must hold a forecaster or a classifier: it holds a {type(found).__name__}, which is used "
            "from Python"
        )
    return found


def saved_forecaster(model: Path, trust: list[str]) -> Forecaster:
    """Return the forecaster in a folder; `trust` as of `load`."""
    from tsforecast.forecasters.base import Forecaster

    forecaster = saved_model(model, trust)
    if not isinstance(forecaster, Forecaster):
        raise ParameterError(f"{str(model)!r} must hold a forecaster: it holds a {type(forecaster).__name__}")
    return forecaster


def context_of(panel: Panel, model: Path, data: Path | None, date_format: str | None) -> tuple[Any, Form]:
    """Return the rows to forecast from, None for the fitted ones, and how their file is written."""
    from tsforecast.data.samples import SupervisedPanel
    from tsforecast.data.series import Source
    from tsforecast.tables import is_many

    source, given = panel.source, panel.roles.given
    arrays = source.form in ("array", "arrays")
    if data and arrays:
        raise ParameterError(
            f"--data must be left out: the model in {str(model)!r} was fitted on arrays, whose columns have no names; "
            "forecast from others in Python, with load and predict"
        )
    if data:
        time = None if source.time_in_index else source.time  # the name of an index is no column of a file
        numbers = (*panel.roles.target, *given.past, *given.future)
        texts = texts_of(panel)
        wide = source.form == "wide"  # its rows are those of the stacked table, not lines
        try:
            if is_many(str(data)):
                return panel.read_like(str(data)), kept_form(model)
            with lines_of(None if wide else data):
                frame, form = read_next(data, model, time, date_format, numbers, texts)
                return frame if isinstance(panel, SupervisedPanel) else panel.read_like(frame), form
        except TsForecastError as error:
            raise error.map(_when_fitted) from error
    if arrays:  # which a table can hold once columns have names
        named = Source("frame", backend="polars", id="series" if len(panel) > 1 else None)
        return replace(panel, source=named), Form()
    form = kept_form(model)
    if source.time and form.date_format and not form.dates:  # all that older models keep
        form = replace(form, dates={source.time: form.date_format})
    return None, form


def texts_of(panel: Panel) -> list[str | None]:
    """Return the columns of ids, groups and categories that were text when a model was fitted."""
    named = [(panel.source.id, panel.ids), *panel.statics.items()]
    texts = [name for name, values in named if len(values) and isinstance(values[0], str)]
    return [*texts, *panel.roles.categories]


def _when_fitted(part: Reference) -> Part:
    """Name `fit` where `predict` has no option: data are cleaned as those that were fitted."""
    if isinstance(part, Argument) and part.verb and part.name in CLEANING:
        return Argument(part.name, part.value, "fit the model with")
    if isinstance(part, Phrase) and part.key == "repair":
        return Phrase(part.text, "repair fitted", part.value)
    return part
