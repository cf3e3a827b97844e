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
from tsforecast.errors import DataError, reason

if TYPE_CHECKING:
    from tsforecast.data.panel import Panel
    from tsforecast.evaluation.protocol import Protocol

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


def tune(
    data: Data,
    space: Annotated[
        Path | None, typer.Option(help="TOML file of what to try.", show_default="cells, units, layers, window, ...")
    ] = None,
    trials: Annotated[int, typer.Option(help="Settings to try.")] = 50,
    searcher: Annotated[str, typer.Option(help="tpe, gp, random, grid, bohb or hyperopt.")] = "tpe",
    scheduler: Annotated[str, typer.Option(help="auto, asha, hyperband, median, pbt or none.")] = "auto",
    metric: Annotated[str, typer.Option(help="Error whose skill counts: mase, mae, rmse, smape or rmsse.")] = "mase",
    time_budget: Annotated[
        float | None, typer.Option(help="Seconds after which no trial goes on.", show_default="no limit")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with this search if it was begun.")] = False,
    validation_origins: Annotated[int, typer.Option(help="Validation parts that a trial is scored on.")] = 1,
    address: Annotated[
        str | None, typer.Option(help="Ray cluster: auto, or host:port.", show_default="this machine")
    ] = None,
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
    out: Annotated[Path | None, typer.Option(help="Folder for the search.", show_default="tune-NAME")] = None,
) -> None:
    """Search for the settings of a network; the test part stays out of reach until the end."""
    from sklearn.base import clone

    from tsforecast.evaluation.leaderboard import leaderboard
    from tsforecast.evaluation.protocol import Protocol
    from tsforecast.forecasters.neural import NeuralForecaster
    from tsforecast.forecasters.store import save
    from tsforecast.reporting.terminal import show_leaderboard
    from tsforecast.search.search import RaySearch

    tried = _read_space(space) if space else SPACE
    said = Said(time, date_format, target, id, past, future, frequency, season, nan, fill_gaps, sort, duplicates, group)
    panel, task = read_panel(data, said)
    ahead = horizon_of(horizon, task, panel)
    out = out or Path(f"tune-{Path(data).stem}")
    model = NeuralForecaster(random_state=seed)
    if epochs is not None:
        model.set_params(max_epochs=epochs)
    search = RaySearch(
        model,
        tried,
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
        horizon=ahead,
        verbose=1,
    )
    protocol = Protocol(ahead, *cutoffs_of(origins, step, task, ahead))
    search.fit(_seen(panel, protocol))
    search.report(out / REPORT, f"Search on {data}, horizon {ahead}")
    say(f"wrote {out / REPORT}")
    found = " ".join(f"{name}={value!r}" for name, value in search.best_params_.items())
    say(f"best settings: {found or 'none beats ' + search.reference_}")
    say(
        f"skill {search.best_score_:+.1%} over {search.reference_} on the validation part, of which about "
        f"{max(0.0, search.optimism_):.1%} is luck of the choice"
    )
    chosen = clone(search.best_estimator_)
    if panel.groups is None:
        models = {"untuned": model} | ({"tuned": chosen} if search.best_params_ else {})
        board = leaderboard(models, panel, ahead, protocol.origins, protocol.step, metric=metric)
        show_leaderboard(board, f"{data}, horizon {ahead}: the test part, which the search did not see", console)
        write_report(board, out / "report.html", f"Tuned on {data}, horizon {ahead}")
    if search.best_params_:
        save(chosen.set_params(verbose=0).fit(panel), out / "model")
        say(f"fitted on all of the data; forecast with: tsforecast predict {shlex.quote(str(out / 'model'))}")


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
