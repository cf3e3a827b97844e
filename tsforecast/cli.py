"""The command line: `tsforecast datasets | leaderboard | fit | predict`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer
from rich.console import Console

from tsforecast.errors import DataError, ParameterError, TsForecastError, UnknownNameError, nearest

if TYPE_CHECKING:
    from tsforecast.data.catalog import Task
    from tsforecast.data.panel import Panel

# Heavy imports stand inside the commands, so that `tsforecast --help` answers at once.
app = typer.Typer(
    help="Train small networks on your own time series and learn whether they beat the naive forecast.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
datasets_app = typer.Typer(help="The datasets that tsforecast knows.", invoke_without_command=True)
app.add_typer(datasets_app, name="datasets")
console = Console()

Data = Annotated[str, typer.Argument(metavar="NAME_OR_FILE", help="A dataset's name, or a CSV or Parquet file.")]
TimeColumn = Annotated[Optional[str], typer.Option("--time", help="Column of time stamps.")]  # noqa: UP045
TargetColumns = Annotated[Optional[str], typer.Option("--target", help="Column to forecast; several with commas.")]  # noqa: UP045
IdColumn = Annotated[Optional[str], typer.Option("--id", help="Column that names the series.")]  # noqa: UP045
NanChoice = Annotated[Optional[str], typer.Option("--nan", help="NaN: forward_fill, mask or drop_series.")]  # noqa: UP045
FillGaps = Annotated[bool, typer.Option("--fill-gaps", help="Insert missing time stamps.")]
Season = Annotated[Optional[int], typer.Option("--season", help="Steps in one season.")]  # noqa: UP045
Window = Annotated[Optional[int], typer.Option("--window", help="Steps that a network reads [default: auto].")]  # noqa: UP045
Seed = Annotated[int, typer.Option("--seed", help="Makes the networks repeatable.")]
Epochs = Annotated[Optional[int], typer.Option("--epochs", help="At most so many epochs.")]  # noqa: UP045


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
        "task": f"horizon {one.task.horizon}, {one.task.origins} cutoffs every {one.task.step} steps",
        "protocol": one.task.protocol,
        "quirks": "\n".join(one.quirks),
    }
    for word, text in lines.items():
        if text:
            table.add_row(word, _escape(text))
    console.print(table)


@datasets_app.command("download")
def download_dataset(name: Annotated[str, typer.Argument(help="A dataset's name.")]) -> None:
    """Fetch a dataset into the cache, check it and read it once."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn

    from tsforecast.data.catalog import load_dataset

    columns = ("{task.description}", BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(name, total=None)
        panel = load_dataset(name, lambda got, total: progress.update(task, completed=got, total=total))
    console.print(f"{name} is here. {panel}", highlight=False, soft_wrap=True)


@app.command()
def leaderboard(
    data: Data,
    horizon: Annotated[Optional[int], typer.Option(help="Steps to forecast [default: the dataset's].")] = None,  # noqa: UP045
    models: Annotated[
        str, typer.Option(help="Names with commas; naive, seasonal-naive and drift are always there.")
    ] = ("naive,seasonal-naive,drift,mean,window-average,rnn,gru,lstm,conv1d"),
    origins: Annotated[Optional[int], typer.Option(help="Cutoffs to test [default: the dataset's, or 1].")] = None,  # noqa: UP045
    step: Annotated[
        int | None, typer.Option(help="Steps between cutoffs [default: the dataset's, or the horizon].")
    ] = None,
    gap: Annotated[int, typer.Option(help="Steps between a cutoff and the first forecast.")] = 0,
    refit: Annotated[bool, typer.Option("--refit", help="Fit anew at each cutoff.")] = False,
    metric: Annotated[str, typer.Option(help="Ranks the models: mase, mae, rmse, smape or rmsse.")] = "mase",
    window: Window = None,
    epochs: Epochs = None,
    seed: Seed = 0,
    time: TimeColumn = None,
    target: TargetColumns = None,
    id: IdColumn = None,
    season: Season = None,
    nan: NanChoice = None,
    fill_gaps: FillGaps = False,
    out: Annotated[Optional[Path], typer.Option(help="Folder for table, figure and rows.")] = None,  # noqa: UP045
) -> None:
    """Compare networks with the naive forecasts on a dataset or on your own file."""
    from tsforecast.data.splits import RollingOrigin
    from tsforecast.evaluation.leaderboard import leaderboard as compare
    from tsforecast.evaluation.leaderboard import named
    from tsforecast.reporting.terminal import show_leaderboard

    settings = _settings(window=window, max_epochs=epochs, random_state=seed)
    panel, task = _read(data, time, target, id, season, nan, fill_gaps)
    horizon = _horizon(horizon, task, panel)
    # The card's cutoffs belong to the card's horizon; another horizon starts from one cutoff again.
    own = task if task and task.horizon == horizon else None
    origins, step = origins or (own.origins if own else 1), step or (own.step if own else None)
    RollingOrigin(horizon, origins, step, gap).ticks(panel.clock_end)  # refuse before anything is trained
    chosen = _models(models, settings)
    with _progress(f"{data}: ", len(named(chosen))) as report:
        board = compare(chosen, panel, horizon, origins, step, gap, refit, metric, progress=report)
    show_leaderboard(board, f"{data}, horizon {horizon}", console)
    if out:
        _write_board(board, panel, out, f"{data}, horizon {horizon}")


@app.command()
def fit(
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder for the fitted model.")],
    model: Annotated[str, typer.Option(help="Name of the model.")] = "gru",
    horizon: Annotated[
        int | None, typer.Option(help="Steps to forecast [default: the dataset's, or a season].")
    ] = None,
    window: Window = None,
    epochs: Epochs = None,
    seed: Seed = 0,
    time: TimeColumn = None,
    target: TargetColumns = None,
    id: IdColumn = None,
    season: Season = None,
    nan: NanChoice = None,
    fill_gaps: FillGaps = False,
) -> None:
    """Fit one model on all of the data and save it."""
    from tsforecast.forecasters.registry import make
    from tsforecast.forecasters.store import save

    panel, task = _read(data, time, target, id, season, nan, fill_gaps)
    horizon = _horizon(horizon, task, panel)
    settings = _settings(window=window, max_epochs=epochs, random_state=seed)
    forecaster = make(model, horizon=horizon, **settings, verbose=int(console.is_terminal))
    forecaster.fit(panel)
    save(forecaster, out)
    console.print(f"fitted {model} on {panel}", highlight=False, soft_wrap=True)
    console.print(f"saved in {out}; forecast with: tsforecast predict {out}", highlight=False, soft_wrap=True)


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="Folder of a fitted model.")],
    data: Annotated[
        Path | None, typer.Option(help="CSV or Parquet file to go on from [default: the fitted data].")
    ] = None,
    horizon: Annotated[Optional[int], typer.Option(help="Steps to forecast [default: the model's].")] = None,  # noqa: UP045
    out: Annotated[
        Path | None, typer.Option(help="CSV or Parquet file for the forecasts [default: print them].")
    ] = None,
) -> None:
    """Forecast the steps that follow the fitted data, or other data."""
    from tsforecast.forecasters.store import load

    if out:
        _suffix(out)
    forecaster = load(model)
    context = _read_file(data) if data else None
    frame = _as_polars(forecaster.predict(context, horizon=horizon))
    if out:
        _write_frame(frame, out)
        console.print(f"{len(frame)} forecasts in {out}", highlight=False, soft_wrap=True)
    else:
        sys.stdout.write(frame.write_csv())


def main() -> None:
    """Run the command line; our own errors become one message and exit code 2."""
    try:
        app()
    except TsForecastError as error:
        Console(stderr=True).print(f"[bold red]Error:[/] {_escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(2)


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _settings(**given: Any) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}


def _models(names: str, settings: dict[str, Any]) -> dict[str, Any]:
    from tsforecast.forecasters.registry import MODEL_NAMES, make

    wanted = [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in wanted if name not in MODEL_NAMES]
    if unknown:
        raise UnknownNameError([f"model {name!r} does not exist; {nearest(name, MODEL_NAMES)}" for name in unknown])
    return {name: make(name, **settings) for name in wanted}


def _read(
    data: str, time: str | None, target: str | None, id: str | None, season: int | None, nan: Any, fill_gaps: bool
) -> tuple[Panel, Task | None]:
    """Return the panel, and the task of its card if it has one."""
    from tsforecast.data.catalog import card, dataset_names, load_dataset
    from tsforecast.data.panel import Panel

    if data in dataset_names():
        if any(option is not None for option in (time, target, id, season, nan)) or fill_gaps:
            raise ParameterError(f"dataset {data!r} has its own columns, season and mending; leave those options out")
        return load_dataset(data), card(data).task
    path = Path(data)
    if not path.exists():
        looks_like_file = bool(path.suffix) or path.parent != Path()
        what = f"file {data!r} does not exist" if looks_like_file else f"dataset {data!r} does not exist"
        raise UnknownNameError(f"{what}; {nearest(data, dataset_names())}")
    panel = Panel.from_frame(
        _read_file(path),
        time=time,
        id=id,
        target=[name.strip() for name in target.split(",")] if target else None,
        season_length=season,
        nan_policy=nan,
        fill_gaps=fill_gaps,
    )
    return panel, None


def _suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".parquet"):
        raise ParameterError(f"a file must end in .csv or .parquet: got {str(path)!r}")
    return suffix


def _read_file(path: Path) -> Any:
    import polars as pl

    suffix = _suffix(path)
    try:
        if suffix == ".parquet":
            return pl.read_parquet(path)
        # Types are read from all rows: a column that turns to decimals late is still a number column.
        return pl.read_csv(path, try_parse_dates=True, infer_schema_length=None)
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).split("\n")[0]
        raise DataError(f"file {str(path)!r} must be a readable {suffix[1:].upper()} table: {reason}") from error


def _as_polars(forecasts: Any) -> Any:
    import pandas as pd
    import polars as pl

    if isinstance(forecasts, pl.DataFrame):
        return forecasts
    if isinstance(forecasts, pl.Series):
        return forecasts.to_frame()
    if isinstance(forecasts, (pd.DataFrame, pd.Series)):
        return pl.from_pandas(forecasts.reset_index())
    return pl.DataFrame({"forecast": forecasts})


def _write_frame(frame: Any, out: Path) -> None:
    from tsforecast.files import new_file

    with new_file(out) as unfinished:
        if _suffix(out) == ".parquet":
            frame.write_parquet(unfinished)
        else:
            frame.write_csv(unfinished)


def _write_board(board: Any, panel: Panel, out: Path, title: str) -> None:
    from tsforecast.files import new_file
    from tsforecast.reporting.plots import plot_forecasts, save_figure

    figure = plot_forecasts(board, panel)  # drawn before anything is written
    with new_file(out / "leaderboard.md") as unfinished:
        unfinished.write_text(f"# {title}\n\n{board.to_markdown()}", encoding="utf-8")
    with new_file(out / "rows.parquet") as unfinished:
        board.rows.to_parquet(unfinished, index=False)
    save_figure(figure, out / "forecasts.png")
    console.print(f"wrote leaderboard.md, forecasts.png and rows.parquet in {out}", highlight=False, soft_wrap=True)


def _horizon(asked: int | None, task: Task | None, panel: Panel) -> int:
    """Return what was asked for, or the card's, or one season but no more than a tenth of the shortest series."""
    if asked is not None:
        return asked
    if task:
        return task.horizon
    season = panel.season_length if panel.season_length > 1 else 10
    return max(1, min(season, int(panel.lengths.min()) // 10))


def _progress(title: str, total: int) -> Any:
    """Return a context manager that yields a function to call with the name of each model."""
    from contextlib import contextmanager

    from rich.progress import Progress

    @contextmanager
    def bar() -> Any:
        with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
            task = progress.add_task(title, total=total)
            done = -1

            def report(name: str) -> None:
                nonlocal done
                done += 1
                progress.update(task, completed=done, description=f"{title}{name}")

            yield report

    return bar()


if __name__ == "__main__":
    main()
