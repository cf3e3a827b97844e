"""`tsforecast predict`: forecasts from a saved model, written as the file that they go on from."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tsforecast.cli.classify import predict_labels
from tsforecast.cli.console import as_polars, console, echo, show_lines, suffix_of, write_frame
from tsforecast.cli.data import FORMAT_FILE, kept_form, read_next
from tsforecast.cli.dates import Form
from tsforecast.cli.files import lines_of
from tsforecast.cli.options import ContextDateFormat, Options, Trust, expand_options, require_absent, words_of
from tsforecast.errors import Argument, ParameterError, Part, Phrase, Problem, Reference, TsForecastError, raise_any
from tsforecast.files import new_file, require_place

if TYPE_CHECKING:
    from tsforecast.data.panel import Panel
    from tsforecast.forecasters.base import Forecaster

PICTURES = 6  # series of a picture
CLEANING = (
    *("fill_gaps", "sort", "duplicates", "nan_policy", "frequency"),
    *("resample", "aggregate", "tolerance", "decimal"),
)
_forecast = partial(typer.Option, rich_help_panel="Forecast")
_files = partial(typer.Option, rich_help_panel="Results")


@dataclass(frozen=True, kw_only=True)
class ForecastOptions(Options):
    """Which numbers are forecast."""

    horizon: Annotated[int | None, _forecast(help="Steps to forecast.", show_default="the model's")] = None
    interval: Annotated[
        list[str] | None,
        _forecast(help="Central intervals, such as 80 or 50,95: two columns for each, in percent or as shares."),
    ] = None
    quantiles: Annotated[
        list[str] | None, _forecast(help="Quantiles, such as 0.1,0.5,0.9: a column for each level between 0 and 1.")
    ] = None
    tidy: Annotated[
        bool, _forecast("--tidy", help="A row for each quantile and end of an interval, in place of a column.")
    ] = False
    paths: Annotated[
        int | None,
        _forecast(help="Possible futures to draw in place of the forecast: rows of each, with its number as path."),
    ] = None
    seed: Annotated[int | None, _forecast(help="Random seed of --paths.", show_default="0")] = None
    ended: Annotated[
        str | None,
        _forecast(
            help="Series that ended long before the others: drop or forecast.", show_default="forecast, with a note"
        ),
    ] = None

    @property
    def levels(self) -> dict[str, list[float]]:
        """Return shares and levels, as parameters of the library."""
        return {"interval": shares_of(self.interval), "quantiles": levels_of(self.quantiles)}

    @property
    def words(self) -> dict[str, Any]:
        """Return the options that ask for more than the forecast."""
        more = {"interval": self.interval, "quantiles": self.quantiles}
        return more | {"tidy": self.tidy or None, "ended": self.ended}


@dataclass(frozen=True, kw_only=True)
class RecordOptions(Options):
    """Files of forecasts."""

    out: Annotated[
        Path | None,
        _files(
            help="CSV or Parquet file for the forecasts, or a folder for Parquet files of many series, which the same "
            "command continues after an interruption.",
            show_default="print them",
        ),
    ] = None
    plot: Annotated[
        Path | None,
        _files(help="Picture of the forecasts of the first six series with their intervals: PNG, SVG or PDF."),
    ] = None
    record: Annotated[
        Path | None, _files(help="File to append a record of the forecasts to, which tsforecast verify checks.")
    ] = None
    record_key: Annotated[
        Path | None, _files(help="Private key that signs the record; tsforecast record-key makes one.")
    ] = None

    @property
    def folder(self) -> Path | None:
        """Return the folder for files of forecasts, None where they go to one file or are printed."""
        return self.out if self.out and not self.out.suffix else None

    @property
    def kept(self) -> dict[str, Any]:
        """Return the record and its key, as parameters of the library."""
        return {"record": self.record, "record_key": self.record_key}

    @property
    def words(self) -> dict[str, Path | None]:
        """Return the same by their options."""
        return {name.replace("_", "-"): path for name, path in self.kept.items()}


@expand_options
def predict(
    model: Annotated[Path, typer.Argument(help="Folder of a fitted model.")],
    asked: ForecastOptions,
    files: RecordOptions,
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
    id: Annotated[
        str | None,
        typer.Option(help="Column that names recordings to classify.", show_default="as those that were fitted"),
    ] = None,
    trust: Trust = None,
) -> None:
    """Forecast the steps that follow the fitted data, or other data; of a classifier, predict labels of recordings."""
    from tsforecast.forecasters.base import Forecaster

    levels = asked.levels
    _check(asked, files)
    if new and data:
        raise ParameterError(f"data must be named once: got {new!r} and --data {str(data)!r}; leave one out")
    forecaster = saved_model(model, words_of(trust))
    if isinstance(forecaster, Forecaster):
        require_absent("for a forecaster", "series have the names that were fitted", id=id)
        _forecast_of(forecaster, model, Path(new) if new else data, future, date_format, asked, files, levels)
        return
    of: dict[str, Any] = {"future": future, "date-format": date_format, "horizon": asked.horizon, "paths": asked.paths}
    of |= {"plot": files.plot}
    require_absent("for a classifier", "it belongs to forecasts", **of, **asked.words, **files.words)
    require_absent("for a classifier", "labels go to a file that ends in .csv or .parquet", out=files.folder)
    if not (new or data):
        raise ParameterError("recordings to classify must be named: tsforecast predict MODEL NEW")
    predict_labels(forecaster, model, new or str(data), id, files.out)


def _check(asked: ForecastOptions, files: RecordOptions) -> None:
    """Refuse options that do not go together, and files that cannot be written."""
    if files.folder:
        why = "paths go to a file that ends in .csv or .parquet"
        require_absent("with a folder of forecasts", why, paths=asked.paths)
        require_absent("with a folder of forecasts", "what is recorded is in one file", record=files.record)
    elif files.out:
        suffix_of(files.out, (".csv", ".parquet"), "a file")
        require_place(files.out.parent)
    if files.plot:
        suffix_of(files.plot, (".png", ".svg", ".pdf"), "a picture")
        require_place(files.plot.parent)
        require_absent("with --plot", "a picture has points and intervals", paths=asked.paths, out=files.folder)
    if not any(asked.levels.values()):
        require_absent("without --interval or --quantiles", "each row holds one of these", tidy=asked.tidy or None)
    if asked.paths is None:
        require_absent("without --paths", "a forecast has nothing at random", seed=asked.seed)
    else:
        require_absent("with --paths", "a record holds forecasts", **files.words)
        require_absent("with --paths", "paths are drawn of all series, a row for each number", **asked.words)


def _forecast_of(
    forecaster: Forecaster,
    model: Path,
    data: Path | None,
    future: Path | None,
    date_format: str | None,
    asked: ForecastOptions,
    files: RecordOptions,
    levels: dict[str, list[float]],
) -> None:
    """Write or print the forecasts of a model."""
    from tsforecast.data.samples import SupervisedPanel
    from tsforecast.distributions.predictions import asked_levels

    panel = forecaster.panel_
    if future and not panel.roles.given.future:
        raise ParameterError(
            f"--future must be left out: the model in {str(model)!r} reads no columns known ahead; to give it some, "
            "name them when it is fitted, with tsforecast fit --future COLUMNS"
        )
    if isinstance(panel, SupervisedPanel):
        why = "the command line writes points of windows alone; load the model in Python"
        of = {"interval": asked.interval, "quantiles": asked.quantiles, "paths": asked.paths, "out": files.folder}
        of["plot"] = files.plot
        require_absent("for a model of windows", why, **of, **files.words)
    context, form = context_of(panel, model, data, date_format)
    if not (data or files.out) and (model / FORMAT_FILE).exists():  # printed, as `fit` has announced them in a note
        asked = replace(asked, ended=asked.ended or "forecast")
    with lines_of(future):
        rows = None
        if future:
            rows, _ = read_next(
                future, model, panel.source.time, date_format, panel.roles.given.future, texts_of(panel)
            )
        if asked.paths is None:
            how: dict[str, Any] = {"horizon": asked.horizon, "ended": asked.ended, **levels, "tidy": asked.tidy}
            found = forecaster.predict(context, future=rows, **how, **files.kept, to=files.folder)
            if files.folder:
                echo(f"forecasts in Parquet files in {files.folder}")
                return
        else:
            found = forecaster.sample(asked.paths, asked.seed or 0, context, future=rows, horizon=asked.horizon)
        frame = as_polars(found)
    names = asked_levels(**levels)
    write_frame(frame, with_levels(form, names), files.out)
    if files.out:
        many = "numbers of paths" if asked.paths else "quantiles" if asked.tidy else "forecasts"
        echo(f"{len(frame)} {many} in {files.out}")
    if files.plot:
        _picture(forecaster, context, rows, asked, files.plot)
        echo(f"picture in {files.plot}")
    if files.record:
        echo(f"recorded in {files.record}")
    if asked.interval and not (asked.tidy or files.out) and sys.stdout.isatty():
        _draw(panel if context is None else context, frame, names, asked, asked.horizon or forecaster.horizon_)


def _picture(forecaster: Forecaster, context: Panel | None, future: Any, asked: ForecastOptions, path: Path) -> None:
    """Draw the forecasts of the first series into a file, which appears whole or not at all."""
    from matplotlib.figure import Figure

    from tsforecast.reporting.figures import in_style

    names = (forecaster.panel_ if context is None else context).ids.tolist()[:PICTURES]
    with in_style():
        figure = Figure(figsize=(8, 2.9 * len(names)), layout="constrained")
        grid = figure.subplots(len(names), squeeze=False)
    how: dict[str, Any] = {"future": future, "horizon": asked.horizon, "interval": shares_of(asked.interval) or 0.8}
    for name, axes in zip(names, grid[:, 0], strict=True):
        forecaster.plot(context, series=name, ax=axes, **how)
    with new_file(path) as unfinished, in_style():
        figure.savefig(unfinished, format=path.suffix[1:].lower(), dpi=130)


def _draw(panel: Panel, frame: Any, names: Mapping[str, float], asked: ForecastOptions, horizon: int) -> None:
    """Draw forecasts with their intervals on the terminal."""
    from tsforecast.cli.fan import WIDTH, fans  # after the help: it loads numpy

    if asked.ended == "drop":
        panel = panel.select(~panel.ended(max(horizon, panel.season_length)))
    show_lines(fans(panel, frame, names, min(console.width, WIDTH)))


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


def levels_of(given: list[str] | None) -> list[float]:
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
