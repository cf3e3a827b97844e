"""The command line: `tsforecast datasets | leaderboard | report | tune | ... | fit | predict | ...`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from tsforecast.cli.console import (
    BOARD,
    REPORTS,
    complain,
    console,
    plain_warnings,
    progress,
    report_suffix,
    say,
    unfinished,
    write_board,
    write_report,
)
from tsforecast.cli.data import (
    Said,
    cutoffs_of,
    horizon_of,
    keep_format,
    read_panel,
    track_sync,
    tracked,
)
from tsforecast.cli.extras import benchmark, datasets_app
from tsforecast.cli.forecast import inspect, predict
from tsforecast.cli.options import (
    Data,
    DateFormat,
    Duplicates,
    Epochs,
    FillGaps,
    FutureColumns,
    GroupColumn,
    Horizon,
    IdColumn,
    InOrder,
    MinPast,
    Mlflow,
    NanChoice,
    Origins,
    PastColumns,
    Season,
    Seed,
    Sort,
    StepBetween,
    StepName,
    TargetColumns,
    TimeColumn,
    Window,
    as_option,
    usage_sentence,
)
from tsforecast.cli.tune import tune, tune_report
from tsforecast.errors import ParameterError, TsForecastError, UnknownNameError, nearest

# Heavy imports stand inside the commands, so that `tsforecast --help` answers at once.
app = typer.Typer(
    cls=InOrder,
    help="Train small networks on your own time series and learn whether they beat the naive forecast.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(datasets_app, name="datasets")
for command in (tune, tune_report, inspect, predict, track_sync):
    app.command()(command)
# What this command does not know is the benchmark's own.
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(benchmark)


def _version(asked: bool) -> None:
    if asked:
        from tsforecast._version import __version__

        console.print(f"tsforecast {__version__}", highlight=False)
        raise typer.Exit


@app.callback()
def _every_command(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    pass


@app.command()
def leaderboard(
    data: Data,
    horizon: Horizon = None,
    models: Annotated[
        str, typer.Option(help="Names with commas, or all; naive, seasonal-naive and drift are always there.")
    ] = ("naive,seasonal-naive,drift,mean,window-average,rnn,gru,lstm,conv1d"),
    origins: Origins = None,
    step: StepBetween = None,
    gap: Annotated[int, typer.Option(help="Steps between a cutoff and the first forecast.")] = 0,
    min_past: MinPast = 1,
    refit: Annotated[bool, typer.Option("--refit", help="Fit anew at each cutoff.")] = False,
    audit: Annotated[
        str, typer.Option(help="Prove that nothing leaks: data (quick), fit (about ten fits) or none.")
    ] = "data",
    metric: Annotated[str, typer.Option(help="Ranks the models: mase, mae, rmse, smape or rmsse.")] = "mase",
    seeds: Annotated[int, typer.Option(help="Fits of each network, from --seed on; their spread is shown.")] = 1,
    jobs: Annotated[int, typer.Option(help="Processes to share the fits between; -1 for one on each core.")] = 1,
    window: Window = None,
    epochs: Epochs = None,
    seed: Seed = 0,
    time: TimeColumn = None,
    date_format: DateFormat = None,
    target: TargetColumns = None,
    id: IdColumn = None,
    group: GroupColumn = None,
    past: PastColumns = None,
    future: FutureColumns = None,
    frequency: StepName = None,
    season: Season = None,
    nan: NanChoice = None,
    fill_gaps: FillGaps = False,
    sort: Sort = False,
    duplicates: Duplicates = None,
    report: Annotated[
        Path | None, typer.Option(help="Report to write, by its ending: HTML, Markdown (md) or JSON.")
    ] = None,
    mlflow: Mlflow = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for report, table and rows; a comparison that is cut short goes on from there."),
    ] = None,
) -> None:
    """Compare networks with the naive forecasts on a dataset or on your own file."""
    from tsforecast.cli.console import show_leaderboard
    from tsforecast.data.splits import RollingOrigin
    from tsforecast.evaluation.leaderboard import leaderboard as compare
    from tsforecast.evaluation.leaderboard import named
    from tsforecast.files import require_place

    chosen = _models(models, _settings(window=window, max_epochs=epochs, random_state=seed))
    if report:
        report_suffix(report)
        require_place(report.parent)
    if out:
        require_place(out, mark=BOARD)
    said = Said(time, date_format, target, id, past, future, frequency, season, nan, fill_gaps, sort, duplicates, group)
    panel, task = read_panel(data, said)
    horizon = horizon_of(horizon, task, panel)
    origins, step = cutoffs_of(origins, step, task, horizon)
    RollingOrigin(horizon, origins, step, gap, min_past=min_past).ticks(panel.clock_end)  # refuse before it trains
    title = f"{data}, horizon {horizon}"
    with tracked(mlflow, data), progress(f"{data}: ", len(named(chosen))) as started:
        board = compare(
            chosen,
            panel,
            horizon,
            origins,
            step,
            gap,
            refit,
            metric,
            audit=None if audit == "none" else audit,  # type: ignore[arg-type]
            seeds=seeds,
            n_jobs=jobs,
            checkpoint=unfinished(out) if out else None,
            progress=started,
            min_past=min_past,
        )
    show_leaderboard(board, title, console)
    if out:
        write_board(board, panel, out, title)
    if report:
        write_report(board, report, title)
    if board.failures:
        raise typer.Exit(1)


@app.command()
def report(
    rows: Annotated[
        list[Path], typer.Argument(help="Folders that leaderboard wrote, or files of rows; several are merged.")
    ],
    out: Annotated[
        Path,
        typer.Option(help="Report to write, by its ending: HTML, Markdown (md) or JSON; Parquet keeps merged rows."),
    ] = Path("report.html"),
    metric: Annotated[str | None, typer.Option(help="Ranks the models.", show_default="as before")] = None,
    reference: Annotated[
        str | None, typer.Option(help="Model that skill is relative to.", show_default="as before")
    ] = None,
    title: Annotated[str | None, typer.Option(help="Heading.", show_default="the data in a sentence")] = None,
) -> None:
    """Draw the report of rows that were kept, without fitting again."""
    from tsforecast.cli.console import show_leaderboard
    from tsforecast.evaluation.leaderboard import Leaderboard
    from tsforecast.files import require_place

    report_suffix(out, (*REPORTS, ".parquet"))
    require_place(out.parent)
    board = Leaderboard.from_parquet(*rows, metric=metric, reference=reference)
    title = title or (board.record.data if board.record else " and ".join(map(str, rows)))
    show_leaderboard(board, title, console)
    write_report(board, out, title)


@app.command()
def fit(
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder for the fitted model.")],
    model: Annotated[str, typer.Option(help="Name of the model.")] = "gru",
    horizon: Horizon = None,
    window: Window = None,
    epochs: Epochs = None,
    seed: Seed = 0,
    time: TimeColumn = None,
    date_format: DateFormat = None,
    target: TargetColumns = None,
    id: IdColumn = None,
    group: GroupColumn = None,
    past: PastColumns = None,
    future: FutureColumns = None,
    frequency: StepName = None,
    season: Season = None,
    nan: NanChoice = None,
    fill_gaps: FillGaps = False,
    sort: Sort = False,
    duplicates: Duplicates = None,
    mlflow: Mlflow = False,
) -> None:
    """Fit one model on all of the data and save it."""
    from tsforecast.estimators.persistence import check_folder, save
    from tsforecast.estimators.registry import NETWORKS

    check_folder(out)
    said = Said(time, date_format, target, id, past, future, frequency, season, nan, fill_gaps, sort, duplicates, group)
    panel, task = read_panel(data, said)
    horizon = horizon_of(horizon, task, panel)
    settings = _settings(window=window, max_epochs=epochs, random_state=seed)
    forecaster = _one_model(model, {**settings, "horizon": horizon, "verbose": int(console.is_terminal)})
    with tracked(mlflow, data):
        forecaster.fit(panel)
    save(forecaster, out)
    keep_format(out, date_format)
    say(f"fitted {model} on {panel}")
    chosen = getattr(forecaster, "resolved_", {})
    if chosen.get("validation") and not chosen["best_epoch"]:
        say(f"nothing better than the naive forecast was found: it is that ({chosen['anchor']})", style="yellow")
    ahead = panel.roles.given.future if model in NETWORKS else ()
    say(f"saved in {out}; forecast with: tsforecast predict {shlex.quote(str(out))}{' --future FILE' if ahead else ''}")
    if ahead:
        columns = [name for name in (panel.source.time, panel.source.id, *ahead) if name]
        say(f"FILE must hold {', '.join(map(repr, columns))} for the {horizon} steps after each series")


@app.command()
def audit(
    data: Data,
    model: Annotated[str, typer.Option(help="Name of the model.")] = "gru",
    horizon: Horizon = None,
    cutoffs: Annotated[int, typer.Option(help="Cutoffs to audit, a horizon apart.")] = 2,
    level: Annotated[
        str, typer.Option(help="data (windows and scalers, trains nothing) or fit (weights and forecasts).")
    ] = "fit",
    min_past: MinPast = 1,
    window: Window = None,
    epochs: Epochs = None,
    seed: Seed = 0,
    time: TimeColumn = None,
    date_format: DateFormat = None,
    target: TargetColumns = None,
    id: IdColumn = None,
    group: GroupColumn = None,
    past: PastColumns = None,
    future: FutureColumns = None,
    frequency: StepName = None,
    season: Season = None,
    nan: NanChoice = None,
    fill_gaps: FillGaps = False,
    sort: Sort = False,
    duplicates: Duplicates = None,
) -> None:
    """Change what a model must not see, and look whether anything moves; exit code 1 if it does."""
    from tsforecast.cli.console import show_audit
    from tsforecast.leakage.audit import audit as examine

    forecaster = _one_model(model, _settings(window=window, max_epochs=epochs, random_state=seed))
    said = Said(time, date_format, target, id, past, future, frequency, season, nan, fill_gaps, sort, duplicates, group)
    panel, task = read_panel(data, said)
    horizon = horizon_of(horizon, task, panel)
    report = examine(
        forecaster,
        panel,
        cutoffs=cutoffs,
        horizon=horizon,
        level=level,  # type: ignore[arg-type]
        min_past=min_past,
    )
    show_audit(report, f"{model} on {data}, horizon {horizon}", console)
    if not report.passed:
        raise typer.Exit(1)


# What typer raises when the words of a command do not fit; of its kinds it exports this one alone.
UsageError: type[Exception] = typer.BadParameter.__mro__[1]


def main() -> None:
    """Run the command line; errors become one message and exit code 2."""
    try:
        with plain_warnings():
            sys.exit(app(prog_name="tsforecast", standalone_mode=False))
    except TsForecastError as error:
        complain("Error", str(error.map(as_option)))
    except UsageError as error:
        sentence = usage_sentence(error, sys.argv[1:])
        if sentence:  # none: the help was shown
            complain("Error", sentence)
    except typer.Abort:
        sys.exit(1)
    sys.exit(2)


def _settings(**given: Any) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}


def _models(names: str, settings: dict[str, Any]) -> dict[str, Any]:
    from tsforecast.estimators.registry import MODEL_NAMES, make

    wanted = [name.strip() for name in names.split(",") if name.strip()]
    if not wanted:
        raise ParameterError(f"at least one model must be named: got {names!r}; choose from {', '.join(MODEL_NAMES)}")
    wanted = [name for word in wanted for name in (MODEL_NAMES if word == "all" else [word])]
    unknown = [name for name in wanted if name not in MODEL_NAMES]
    if unknown:
        raise UnknownNameError([f"model {name!r} does not exist; {nearest(name, MODEL_NAMES)}" for name in unknown])
    return {name: make(name, **settings) for name in wanted}


def _one_model(name: str, settings: dict[str, Any]) -> Any:
    models = _models(name, settings)
    if len(models) != 1:
        raise ParameterError(f"--model takes one name: got {name}; leaderboard compares several")
    return next(iter(models.values()))


if __name__ == "__main__":
    main()
