"""`tsforecast tune`: search for settings on what lies before the test part, then compare on that part, once."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tsforecast.cli.console import console, report_suffix, say, write_report
from tsforecast.cli.data import Said, cutoffs_of, horizon_of, read_panel, tracked
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
from tsforecast.errors import DataError, ParameterError, nearest, raise_any, reason

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tsforecast.data.panel import Panel
    from tsforecast.data.protocol import Protocol
    from tsforecast.search.search import RaySearch


REPORT, SCORES = "search.html", "scores.csv"
PARTS = 5  # of recordings without groups; one tests
LEAST = 3  # groups
MOST_LETTERS = 100  # of the name of a folder


def tune_classifier(search: RaySearch, panel: Panel, label: str, folds: int, out: Path) -> None:
    """Search in the training part of each fold, then compare tuned, untuned and majority on the rest of it, once.

    Parameters
    ----------
    search : RaySearch
        Over a classifier; cloned for each fold.
    panel : Panel
    label : str
        Static column to recognise.
    folds : int
        How many groups are left out, one after the other, the last ones first.
    out : Path
        Holds a folder for each fold with its search and report, and the scores of all.
    """
    import pandas as pd
    from sklearn.base import clone

    from tsforecast.classifiers.baselines import MajorityClassifier
    from tsforecast.search.trial import clone_with_seed

    labels = _labels(panel, label)
    rows: list[dict[str, Any]] = []
    if panel.groups is None:
        say("without --group the same user may be on both sides of a test", style="yellow")
    for name, tests in _folds(panel, labels, folds, search.random_state):
        part, known, unknown = panel.select(~tests), labels[~tests], panel.select(tests)
        place = out / _folder(name, len(rows))
        found = clone(search).set_params(storage=out.absolute(), name=place.name).fit(part, known)
        stop_if_cut_short(found)
        found.report(place / REPORT, f"Search {name}")
        say_best(found, f"{name}: ")
        if found.best_params_:
            found.best_estimator_.save(place / "model")
        untuned = clone_with_seed(search.forecaster, search.random_state).fit(part, known)
        models = {"majority": MajorityClassifier().fit(part, known), "untuned": untuned, "tuned": found.best_estimator_}
        accuracy = {key: model.score(unknown, labels[tests]) for key, model in models.items()}
        rows.append({"fold": name, "recordings": int(tests.sum()), **accuracy})
        pd.DataFrame(rows).to_csv(out / SCORES, index=False)
    _show(rows, label)
    say(f"wrote {out / SCORES}, and for each fold {REPORT} and the tuned model, if any, in its folder")


def recognition_problems(**asked: int | None) -> list[str]:
    """Return a sentence for each option that makes no sense where recordings are recognised."""
    return [
        f"--{name} must be left out with --label: it belongs to forecasts, recordings are recognised whole"
        for name, value in asked.items()
        if value is not None
    ]


def _labels(panel: Panel, label: str) -> NDArray[Any]:
    if label not in panel.statics:
        raise DataError(
            f"--label must name a column that is constant in each recording: {nearest(label, panel.statics)}"
        )
    if label == panel.roles.group:
        raise ParameterError(f"--label must be another column than the group: got {label!r} for both")
    return panel.statics[label]


def _folder(fold: str, number: int) -> str:
    """Return a name for the folder of a fold: groups are named by data, and may be called ``../x``.

    Examples
    --------
    >>> _folder("without-user-U07", 0), _folder("without-user-../../x", 1)
    ('without-user-U07', 'without-user-______x-2')
    """
    safe = re.sub(r"[^\w-]", "_", fold)[:MOST_LETTERS]
    return safe if safe == fold else f"{safe}-{number + 1}"


def _folds(panel: Panel, labels: NDArray[Any], folds: int, seed: int) -> list[tuple[str, NDArray[np.bool_]]]:
    """Return the name of each fold, and which recordings test in it: one group, or a fifth of each class."""
    import numpy as np
    from sklearn.model_selection import StratifiedKFold

    if panel.groups is not None:
        names = list(dict.fromkeys(panel.groups.tolist()))[::-1]
        if len(names) < LEAST:
            raise DataError(
                f"--group must name {LEAST} users or more, one to test, one to validate and one to learn from: column "
                f"{panel.roles.group!r} names {len(names)}; leave --group out to test on recordings of the same users"
            )
        found = [(f"without-{panel.roles.group}-{name}", panel.groups == name) for name in names]
    else:
        parts = StratifiedKFold(PARTS, shuffle=True, random_state=seed).split(labels, labels.astype(str))
        found = [(f"part-{k}", np.isin(np.arange(len(labels)), test)) for k, (_, test) in enumerate(parts, 1)]
    if not 1 <= folds <= len(found):
        raise ParameterError(f"--folds must be 1 to {len(found)}, as many as there are groups or parts: got {folds}")
    return found[:folds]


def _show(rows: list[dict[str, Any]], label: str) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=f"Accuracy of {escape(label)} on recordings that no search saw", title_justify="left")
    for name in rows[0]:
        table.add_column(name, justify="left" if name == "fold" else "right", overflow="fold")
    for row in rows:
        table.add_row(escape(row["fold"]), str(row["recordings"]), *(f"{row[name]:.1%}" for name in list(row)[2:]))
    if len(rows) > 1:
        means = [f"{sum(row[name] for row in rows) / len(rows):.1%}" for name in list(rows[0])[2:]]
        table.add_row(f"mean of {len(rows)}", str(sum(row["recordings"] for row in rows)), *means, style="bold")
    console.print(table)


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
    from tsforecast.data.protocol import Protocol
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
            tune_classifier(search, panel, label, folds, out)
        else:
            _tune_forecasts(search, panel, Protocol(ahead, *cutoffs_of(origins, step, task, ahead)), data, out)


def _tune_forecasts(search: RaySearch, panel: Panel, protocol: Protocol, data: str, out: Path) -> None:
    """Search in what lies before the test part, compare tuned and untuned on it, and keep the tuned model."""
    from sklearn.base import clone

    from tsforecast.cli.console import show_leaderboard
    from tsforecast.estimators.persistence import save
    from tsforecast.evaluation.leaderboard import leaderboard

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
    from tsforecast.cli.console import show_search
    from tsforecast.files import require_place, write_or_return
    from tsforecast.search.report import heading, html_search, json_search
    from tsforecast.search.storage import read_search

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
    piece = protocol.folds(panel)[0]
    return training_part(panel, piece.cutoffs[0], piece.train)


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
