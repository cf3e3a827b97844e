"""Commands on forecasts: `tsforecast plan | leaderboard | report | fit | inspect | audit`."""

from __future__ import annotations

import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tsforecast.cli.console import (
    BOARD,
    REPORTS,
    console,
    echo,
    heading_of,
    interruptible,
    note_replaced,
    progress,
    require_results,
    show_audit,
    show_plan,
    suffix_of,
    warn,
    write_board,
    write_report,
)
from tsforecast.cli.data import (
    default_ledger,
    horizon_of,
    keep_form,
    protocol_of,
    read_forecasts,
    read_panel,
    read_table,
    tracked,
)
from tsforecast.cli.files import SUFFIXES
from tsforecast.cli.options import (
    MODELS,
    Align,
    AnyData,
    Causal,
    Data,
    DataOptions,
    FitsOptions,
    Horizon,
    MinPast,
    Mlflow,
    Model,
    Models,
    NetworkOptions,
    Recipe,
    RecordingOptions,
    ResultOptions,
    RunningOptions,
    ScoringOptions,
    SealOptions,
    TestOptions,
    expand_options,
    on_cluster,
    require_absent,
)
from tsforecast.cli.wording import note_of
from tsforecast.errors import (
    ParameterError,
    Problem,
    UnknownNameError,
    nearest,
    raise_any,
    spoken,
)
from tsforecast.evaluation.report.terminal import show_classification, show_leaderboard
from tsforecast.files import require_place
from tsforecast.reporting.terminal import show_pairs

if TYPE_CHECKING:
    from tsforecast.catalog.card import Task
    from tsforecast.data.panel import Panel
    from tsforecast.data.protocol import Protocol
    from tsforecast.evaluation.leaderboard import Leaderboard
    from tsforecast.forecasters.base import Forecaster


@expand_options
def leaderboard(
    data: Data,
    test: TestOptions,
    scoring: ScoringOptions,
    networks: NetworkOptions,
    fits: FitsOptions,
    sealed: SealOptions,
    results: ResultOptions,
    reading: DataOptions,
    models: Models = MODELS,
) -> None:
    """Compare networks with the naive forecasts on a dataset or on your own file."""
    from tsforecast.evaluation.duration import seconds_of
    from tsforecast.evaluation.entries import named

    test.check()
    if fits.within is not None:
        seconds_of(fits.within)  # a mistake is found before the data are read
    files, names = _files_among(models)
    chosen = _models(names, networks.settings()) if names else {}
    chosen |= {path.name.partition(".")[0]: read_forecasts(path, reading.id) for path in files}
    require_results(results, BOARD)
    panel, task, seal = _unsealed(data, reading, sealed)
    protocol = protocol_of(task, panel, test)
    if fits.within is not None:
        protocol = _cutoffs_within(fits, chosen, panel, protocol, test, scoring.distributions)
    title = f"{data}, horizon {protocol.horizon}"
    if results.out:
        note_replaced(results.out, {*named(chosen), *(path.name.partition(".")[0] for path in files)})
    with interruptible(results):
        with tracked(results.mlflow, data):
            board = _compared(chosen, panel, protocol, data, test, scoring, fits, results.unfinished, seal)
        show_leaderboard(board, title, console, note_of)
        if results.out and results.unfinished:
            write_board(board, panel, results.out, title)
            shutil.rmtree(results.unfinished, ignore_errors=True)
        if results.report:
            write_report(board, results.report, title)
    if board.failures:
        raise typer.Exit(1)


def _unsealed(data: str, reading: DataOptions, sealed: SealOptions) -> tuple[Panel, Task | None, Path | None]:
    """Return the panel, the task of its card, and the ledger to count the comparison in; see `SealOptions`."""
    from tsforecast.evaluation.seal import read_ledger

    ledger = sealed.seal or (default_ledger(data) if sealed.closed or default_ledger(data).exists() else None)
    panel, task = read_panel(data, reading)
    return (read_ledger(ledger).before(panel), task, None) if sealed.closed and ledger else (panel, task, ledger)


def _cutoffs_within(
    fits: FitsOptions, models: dict[str, Any], panel: Panel, protocol: Protocol, test: TestOptions, distributions: bool
) -> Protocol:
    """Return a protocol that keeps to a time; print what is left out for that."""
    from tsforecast.evaluation.backtest import Backtest
    from tsforecast.evaluation.duration import within_time
    from tsforecast.evaluation.entries import named
    from tsforecast.evaluation.leaderboard import needs_distributions

    every = named(models)
    scored = distributions or needs_distributions(every, test.metric, {})
    trial = Backtest(protocol.prepared(panel), protocol, scored)
    protocol, why = within_time(str(fits.within), every, trial, fits.seeds, fits.jobs, test.independent_series)
    echo(f"{why}.")
    return protocol


def _compared(
    models: dict[str, Any],
    panel: Panel,
    protocol: Protocol,
    data: str,
    test: TestOptions,
    scoring: ScoringOptions,
    fits: FitsOptions,
    unfinished: Path | None,
    seal: Path | None,
) -> Leaderboard:
    """Return the board of models, whose names are shown as their fits begin."""
    from tsforecast.evaluation.entries import named
    from tsforecast.evaluation.leaderboard import leaderboard as compare

    counts = {"origins": protocol.origins, "step": protocol.step, "align": protocol.align}
    asked = test.more | counts | {"refit": protocol.refit, "independent_series": test.independent_series}
    with (
        on_cluster(fits.address, fits.jobs) as n_jobs,
        progress(f"{data}: ", len(named(models))) as started,
    ):
        return compare(
            models,
            panel,
            protocol.horizon,
            **asked,
            metric=test.metric,
            margin=scoring.margin,
            distributions=scoring.distributions or None,
            forecast=scoring.forecast,
            unit=scoring.unit,
            seeds=fits.seeds,
            n_jobs=n_jobs,
            checkpoint=unfinished,
            progress=started,
            seal=seal,
        )


@expand_options
def plan(
    data: Data,
    test: TestOptions,
    networks: NetworkOptions,
    fits: RunningOptions,
    reading: DataOptions,
    models: Models = MODELS,
) -> None:
    """Predict which gains a leaderboard could show, the cutoffs that it needs, and its time, by a few short fits."""
    from tsforecast.evaluation.plan import plan as plan_of

    test.check()
    chosen = _models(models, networks.settings())
    panel, task = read_panel(data, reading)
    protocol = protocol_of(task, panel, test)
    found = plan_of(
        panel,
        protocol.horizon,
        origins=protocol.origins,
        step=protocol.step,
        align=protocol.align,
        metric=test.metric,
        independent_series=test.independent_series,
        models=chosen,
        seeds=fits.seeds,
        n_jobs=fits.jobs,
        **test.more,
    )
    show_plan(found, f"{data}, horizon {protocol.horizon}", console)


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
    title: Annotated[str | None, typer.Option(help="Heading.", show_default="a description of the data")] = None,
) -> None:
    """Draw the report of rows of forecasters or classifiers that were kept, without fitting again."""
    from tsforecast.evaluation.compare_classifiers import ClassifierComparison, StepComparison
    from tsforecast.evaluation.leaderboard import Leaderboard
    from tsforecast.evaluation.storage import ROWS, read_rows

    suffix_of(out, (*REPORTS, ".parquet"))
    require_place(out.parent)
    first, _ = read_rows(rows[0] / ROWS if rows[0].is_dir() else rows[0])
    if "predicted" in first:
        why = "classifiers are ranked by accuracy and compared with the majority"
        require_absent("for a comparison of classifiers", why, metric=metric, reference=reference)
        results: Leaderboard | ClassifierComparison = (
            StepComparison if "begin" in first else ClassifierComparison
        ).from_parquet(*rows)
    else:
        results = Leaderboard.from_parquet(*rows, metric=metric, reference=reference)
    if title is None and len(rows) == 1:
        title = heading_of(rows[0])
    title = title or (results.record.data if results.record else " and ".join(map(str, rows)))
    if isinstance(results, Leaderboard):
        show_leaderboard(results, title, console, note_of)
    else:
        show_classification(results, title, console, note_of)
    write_report(results, out, title)


@expand_options
def fit(
    data: AnyData,
    networks: NetworkOptions,
    reading: DataOptions,
    recordings: RecordingOptions,
    out: Annotated[Path, typer.Option(help="Folder for the fitted model.")],
    model: Model = "gru",
    horizon: Horizon = None,
    causal: Causal = False,
    within: Annotated[
        str | None,
        typer.Option(
            help="Time limit, such as 60s; the best recipe within it is used.",
            show_default="no limit",
        ),
    ] = None,
    mlflow: Mlflow = False,
) -> None:
    """Fit one model on all of the data and save it; with --label a classifier of recordings."""
    from tsforecast.cli.classify import fit_classifier
    from tsforecast.data.protocol import ended_note, silent_note
    from tsforecast.estimators.persistence import check_folder, save
    from tsforecast.estimators.registry import NETWORKS
    from tsforecast.provenance import naive_note, skill_note

    check_folder(out)
    if recordings.label or recordings.files:
        of = {"horizon": horizon, "window": networks.window, "recipe": networks.recipe, "loss": networks.loss}
        of |= {"validation-origins": networks.validation_origins, "within": within}
        require_absent("with --label", "it belongs to forecasts", **of)
        with tracked(mlflow, data):
            fit_classifier(data, model, reading, recordings, networks, causal, out)
        return
    of = {"output": recordings.output, "causal": causal or None}
    require_absent("without --label", "forecasts are of the past alone", **of)
    panel, task, form = read_table(data, reading)
    horizon = horizon_of(task, panel, horizon)
    own = {"horizon": horizon, "verbose": int(console.is_terminal)}
    if within is not None:
        networks = _recipe_within(within, model, networks, own, panel)
    forecaster = _one_model(model, {**networks.settings(), **own})
    forecaster.saved_params()  # which refuses what cannot be saved, before it is fitted
    with tracked(mlflow, data):
        forecaster.fit(panel)
    save(forecaster, out)
    keep_form(out, panel, form)
    echo(f"fitted {model} on {panel}")
    for note in (*panel.notes, *forecaster.panel_.season_notes):
        warn("Note", note_of(note))
    apart = max(horizon, panel.season_length)
    if (old := panel.ended(apart)).any():
        warn("Note", note_of(ended_note(panel, old)))
    if silent := silent_note(panel, apart):
        warn("Note", silent)
    if history := getattr(forecaster, "history_", None):
        from tsforecast.training.history import best_epoch

        if note := skill_note(getattr(forecaster, "resolved_", {}), best_epoch(history).skill):
            echo(f"{model}: {note}")
    if note := naive_note(getattr(forecaster, "resolved_", {})):
        echo(f"{model}: {note}", style="yellow")
    future = panel.roles.given.future if model in NETWORKS else ()
    more = " --future FILE" * bool(future) + " --interval 80" * forecaster.learns_distribution
    command = f"tsforecast predict {shlex.quote(str(out))}{more}"
    echo(f"saved in {out}; forecast with: {command}")
    if future:
        columns = [name for name in (panel.source.time, panel.source.id, *future) if name]
        echo(f"FILE must hold {', '.join(map(repr, columns))} for the {horizon} steps after each series")


@expand_options
def inspect(model: Annotated[Path, typer.Argument(help="Folder of a saved model.")]) -> None:
    """Describe a saved model: its kind, the data it was fitted on, and the versions that wrote it."""
    from tsforecast.estimators.persistence import summary

    show_pairs(console, summary(model))


@expand_options
def audit(
    data: Data,
    networks: NetworkOptions,
    reading: DataOptions,
    model: Model = "gru",
    horizon: Horizon = None,
    cutoffs: Annotated[int, typer.Option(help="Cutoffs to audit, a horizon apart.")] = 2,
    level: Annotated[
        str, typer.Option(help="data (windows and scalers, trains nothing) or fit (weights and forecasts).")
    ] = "fit",
    min_past: MinPast = 1,
    align: Align = None,
    isolated: Annotated[
        bool,
        typer.Option("--isolated", help="A new process for each run, so that no state is passed on to the next."),
    ] = False,
) -> None:
    """Perturb data that a model must not use, and check that no result changes; exit code 1 if one does."""
    from tsforecast.leakage.audit import audit as run_audit

    forecaster = _one_model(model, networks.settings())
    panel, task = read_panel(data, reading)
    horizon = horizon_of(task, panel, horizon)
    report = run_audit(
        forecaster,
        panel,
        cutoffs=cutoffs,
        horizon=horizon,
        level=level,  # type: ignore[arg-type]
        min_past=min_past,
        align=align,  # type: ignore[arg-type] # which it checks
        isolated=isolated,
    )
    show_audit(report, f"{model} on {data}, horizon {horizon}", console)
    if not report.passed:
        raise typer.Exit(1)


def _files_among(models: str) -> tuple[list[Path], str]:
    """Return the files among names of models, whose forecasts were made elsewhere, and the other names."""
    words = models.split(",")
    files = [word for word in words if word.strip().lower().endswith(SUFFIXES)]
    return [Path(word.strip()) for word in files], ",".join(word for word in words if word not in files)


def _models(names: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Return models by name, those of other software as they are."""
    from tsforecast.adapters.names import is_foreign
    from tsforecast.adapters.names import make as make_foreign
    from tsforecast.estimators.registry import MODEL_NAMES, known_name, make
    from tsforecast.forecasters.base import Forecaster

    wanted = [name.strip() for name in names.split(",") if name.strip()]
    if not wanted:
        raise ParameterError(f"at least one model must be named: got {names!r}; choose from {', '.join(MODEL_NAMES)}")
    wanted = [name for word in wanted for name in (MODEL_NAMES if word == "all" else [known_name(word)])]
    unknown = [name for name in wanted if name not in MODEL_NAMES and not is_foreign(name)]
    if unknown:
        raise UnknownNameError([f"model {name!r} does not exist; {nearest(name, MODEL_NAMES)}" for name in unknown])
    models = {name: (make_foreign if is_foreign(name) else make)(name, **settings) for name in wanted}
    known = {
        name for model in models.values() if isinstance(model, Forecaster) for name in model.get_params(deep=False)
    }
    lack = f"{', '.join(models)} {'have' if len(models) > 1 else 'has'} no such setting"
    ignored = [
        name
        for name in ("window", "max_epochs", "members", "loss", "validation_origins", "device")
        if name in settings and name not in known
    ]
    raise_any([Problem("must be left out", lack, parameter=name) for name in ignored], ParameterError)
    return models


def _recipe_within(
    within: str, model: str, networks: NetworkOptions, own: dict[str, Any], panel: Panel
) -> NetworkOptions:
    """Return the options with the best recipe of which a fit keeps to a time, by quotes; the given one if there is."""
    from tsforecast.estimators.network import NetworkEstimator
    from tsforecast.evaluation.duration import seconds_of

    limit, quotes = seconds_of(within), {}
    if not isinstance(_one_model(model, own), NetworkEstimator):
        raise ParameterError(Problem("must be left out", f"{model} is no network", parameter="within"))
    recipes: tuple[Recipe, ...] = (networks.recipe,) if networks.recipe else ("best", "default", "fast")
    for recipe in recipes:
        chosen = replace(networks, recipe=recipe)
        quotes[recipe] = _one_model(model, {**chosen.settings(), **own}).quote(panel)
        spent = sum(quote.spent for quote in quotes.values())
        if quotes[recipe].seconds + spent <= limit:
            longer = "".join(f"; {name} would take {spoken(quote.seconds)}" for name, quote in [*quotes.items()][:-1])
            echo(f"recipe {recipe}: {quotes[recipe]}; quotes took {spoken(spent)} of the {spoken(limit)}{longer}")
            return chosen
    recipe, least = min(quotes.items(), key=lambda each: each[1].seconds)
    must = f"must be at least {spoken(1.2 * (least.seconds + spent))}"
    got = f"got {within}, of which quotes took {spoken(spent)}; recipe {recipe} would take {least}"
    raise ParameterError(Problem(must, got, "give fewer series or --epochs", parameter="within"))


def _one_model(name: str, settings: dict[str, Any]) -> Forecaster:
    from tsforecast.adapters.protocol import as_forecaster

    models = _models(name, settings)
    if len(models) != 1:
        raise ParameterError(f"--model takes one name: got {name}; leaderboard compares several")
    forecaster = as_forecaster(next(iter(models.values())))
    return forecaster.set_params(horizon=settings["horizon"]) if "horizon" in settings else forecaster
