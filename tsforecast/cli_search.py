"""`tsforecast tune`: search for settings on what lies before the test part, then compare on that part, once."""

from __future__ import annotations

import shlex
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tsforecast.cli_input import Said, cutoffs_of, horizon_of, read_panel
from tsforecast.cli_options import (
    Data,
    DateFormat,
    Duplicates,
    Epochs,
    FillGaps,
    FutureColumns,
    GroupColumn,
    Horizon,
    IdColumn,
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
)
from tsforecast.cli_output import console, report_suffix, say, write_report
from tsforecast.cli_tracking import tracked
from tsforecast.errors import DataError, ParameterError, raise_any, reason

if TYPE_CHECKING:
    from tsforecast.data.panel import Panel
    from tsforecast.evaluation.protocol import Protocol
    from tsforecast.search.search import RaySearch

REPORT = "search.html"
# What is tried unless --space says otherwise; as a file it would look the same.
SPACE: dict[str, Any] = {
    "cell": ["rnn", "gru", "lstm", "conv1d"],
    "units": [16, 32, 64, 128],
    "layers": [1, 2, 3],
    "window": ["1 season", "2 seasons", "4 seasons"],
    "dropout": {"low": 0.0, "high": 0.5},
    "learning_rate": {"low": 1e-3, "high": 3e-2, "log": True},
}
RECOGNITION_SPACE = {name: tried for name, tried in SPACE.items() if name != "window"}


def tune(
    data: Data,
    space: Annotated[
        Path | None, typer.Option(help="TOML file of what to try.", show_default="cells, units, layers, window, ...")
    ] = None,
    trials: Annotated[int, typer.Option(help="Settings to try.")] = 50,
    searcher: Annotated[str, typer.Option(help="tpe, gp, random, grid, bohb or hyperopt.")] = "tpe",
    scheduler: Annotated[str, typer.Option(help="auto, asha, hyperband, median, pbt or none.")] = "auto",
    metric: Annotated[
        str,
        typer.Option(
            help="Error whose skill counts: mase (skill), mae, rmse, smape, rmsse; of labels error (skill), log_loss."
        ),
    ] = "skill",
    time_budget: Annotated[
        float | None, typer.Option(help="Seconds after which no trial goes on.", show_default="no limit")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with this search if it was begun.")] = False,
    validation_origins: Annotated[int, typer.Option(help="Validation parts that a trial is scored on.")] = 1,
    address: Annotated[
        str | None, typer.Option(help="Ray cluster: auto, or host:port.", show_default="this machine")
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="Recognise this column, constant in each series, instead of forecasting.")
    ] = None,
    folds: Annotated[int, typer.Option(help="With --label: groups to test, each with a search of its own.")] = 1,
    horizon: Horizon = None,
    origins: Origins = None,
    step: StepBetween = None,
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
    out: Annotated[Path | None, typer.Option(help="Folder for the search.", show_default="tune-NAME")] = None,
) -> None:
    """Search for the settings of a network; the test part stays out of reach until the end."""
    from tsforecast.classifiers.neural import NeuralClassifier
    from tsforecast.cli_recognise import recognition_problems, tune_recognition
    from tsforecast.evaluation.protocol import Protocol
    from tsforecast.forecasters.neural import NeuralForecaster
    from tsforecast.search.search import RaySearch

    if label:
        raise_any(recognition_problems(horizon=horizon, origins=origins, step=step), ParameterError)
    own = (target, id, past, future, frequency, season, nan, fill_gaps, sort, duplicates, group, label)
    panel, task = read_panel(data, Said(time, date_format, *own))
    ahead = horizon_of(horizon, task, panel)
    out = out or Path(f"tune-{Path(data).stem}")
    model = NeuralClassifier(random_state=seed) if label else NeuralForecaster(random_state=seed)
    if epochs is not None:
        model.set_params(max_epochs=epochs)
    search = RaySearch(
        model,
        _read_space(space) if space else RECOGNITION_SPACE if label else SPACE,
        trials=trials,
        searcher=searcher,
        scheduler=scheduler,
        metric=metric,
        time_budget=time_budget,
        address=address,
        storage=out.absolute().parent,
        name=out.name,
        resume="auto" if resume else False,
        random_state=seed,
        validation_origins=validation_origins,
        horizon=None if label else ahead,
        verbose=1,
    )
    with tracked(mlflow, data):
        if label:
            tune_recognition(search, panel, label, folds, out)
        else:
            _tune_forecasts(search, panel, Protocol(ahead, *cutoffs_of(origins, step, task, ahead)), data, out)


def _tune_forecasts(search: RaySearch, panel: Panel, protocol: Protocol, data: str, out: Path) -> None:
    """Search in what lies before the test part, compare tuned and untuned on it, and keep the tuned model."""
    from sklearn.base import clone

    from tsforecast.evaluation.leaderboard import leaderboard
    from tsforecast.reporting.terminal import show_leaderboard
    from tsforecast.saving.store import save

    search.fit(_seen(panel, protocol))
    stop_if_cut_short(search)
    search.report(out / REPORT, f"Search on {data}, horizon {protocol.horizon}")
    say(f"wrote {out / REPORT}")
    say_best(search)
    say(
        f"skill {search.best_score_:+.1%} over {search.reference_} on the validation part, of which about "
        f"{max(0.0, search.optimism_):.1%} is luck of the choice"
    )
    chosen = clone(search.best_estimator_)
    if panel.groups is None:
        models = {"untuned": search.forecaster} | ({"tuned": chosen} if search.best_params_ else {})
        metric = "mase" if search.metric == "skill" else search.metric
        board = leaderboard(models, panel, protocol.horizon, protocol.origins, protocol.step, metric=metric)
        title = f"{data}, horizon {protocol.horizon}: the test part, which the search did not see"
        show_leaderboard(board, title, console)
        write_report(board, out / "report.html", f"Tuned on {data}, horizon {protocol.horizon}")
    if search.best_params_:
        save(chosen.set_params(verbose=0).fit(panel), out / "model")
        say(f"fitted on all of the data; forecast with: tsforecast predict {shlex.quote(str(out / 'model'))}")


def say_best(search: RaySearch, where: str = "") -> None:
    """Say which settings are the best; that none beats the reference stands out."""
    found = " ".join(f"{name}={value!r}" for name, value in search.best_params_.items())
    say(f"{where}best settings: {found or f'none beats {search.reference_}'}", style=None if found else "yellow")


def stop_if_cut_short(search: RaySearch) -> None:
    """End the command where somebody ended the search: what it is tested on stays closed until all trials are over."""
    if not (search.complete_ or search.time_budget):
        say("nothing was tested yet; the same command with --resume goes on, and tests when all trials are over")
        raise typer.Exit(130)


def tune_report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that a search wrote; it may still run.")],
    out: Annotated[Path, typer.Option(help="Report to write, by its ending: HTML or JSON.")] = Path("search.html"),
    title: Annotated[
        str | None, typer.Option(help="Heading.", show_default="which settings beat the reference")
    ] = None,
) -> None:
    """Draw the report of a search, without its data."""
    from tsforecast.files import require_place, write_or_return
    from tsforecast.reporting.search_report import heading, html_search, json_search
    from tsforecast.reporting.terminal import show_search
    from tsforecast.search.folder import read_search

    suffix = report_suffix(out, (".html", ".json"))
    require_place(out.parent)
    kept = read_search(folder)
    write_or_return(html_search(kept, title) if suffix == ".html" else json_search(kept), out)
    show_search(kept, title or heading(kept), console)
    say(f"wrote {out}")


def _seen(panel: Panel, protocol: Protocol) -> Panel:
    """Return what lies before the oldest cutoff of the test; everything where groups are kept apart."""
    from tsforecast.data.splits import training_part

    if panel.groups is not None:
        return panel
    piece = protocol.pieces(panel)[0]
    return training_part(panel, piece.folds[0], piece.learn)


def _read_space(path: Path) -> dict[str, Any]:
    """Return the space in a TOML file.

    Raises
    ------
    DataError
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"--space must name a TOML file with lines such as units = [16, 32]: {str(path)!r} cannot be read "
            f"({reason(error)})"
        ) from error
