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
    note_replaced,
    progress,
    show_audit,
    show_leaderboard,
    show_pairs,
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
    Address,
    Align,
    AnyData,
    Audit,
    Causal,
    ComparisonFolder,
    Data,
    DataOptions,
    Gap,
    Horizon,
    IndependentSeries,
    Jobs,
    Metric,
    MinPast,
    Mlflow,
    Model,
    Models,
    NetworkOptions,
    Origins,
    Recipe,
    RecordingOptions,
    Refit,
    Report,
    Seeds,
    Step,
    expand_options,
    note_of,
    on_cluster,
    require_absent,
)
from tsforecast.errors import (
    ParameterError,
    Problem,
    UnknownNameError,
    nearest,
    raise_any,
    spoken,
)
from tsforecast.files import require_place

if TYPE_CHECKING:
    from tsforecast.data.panel import Panel
    from tsforecast.forecasters.base import Forecaster


@expand_options
def leaderboard(
    data: Data,
    networks: NetworkOptions,
    reading: DataOptions,
    horizon: Horizon = None,
    models: Models = MODELS,
    origins: Origins = None,
    step: Step = None,
    gap: Gap = 0,
    min_past: MinPast = 1,
    align: Align = None,
    refit: Refit = False,
    audit: Audit = "data",
    metric: Metric = "mase",
    distributions: Annotated[
        bool,
        typer.Option(
            "--distributions",
            help="Score distributions, their coverage and width, also where neither --metric nor a model asks for it.",
        ),
    ] = False,
    margin: Annotated[float, typer.Option(help="Skill within which a model is equivalent to the reference.")] = 0.02,
    independent_series: IndependentSeries = False,
    seeds: Seeds = 1,
    jobs: Jobs = 1,
    address: Address = None,
    within: Annotated[
        str | None,
        typer.Option(
            help="Time that it may take, such as 10min; fewer cutoffs are tested, or models fitted once, to fit it.",
            show_default="no limit",
        ),
    ] = None,
    forecast: Annotated[
        bool,
        typer.Option(
            "--forecast", help="Fit each model once more, on all data: the report has what it forecasts next."
        ),
    ] = False,
    seal: Annotated[
        Path | None,
        typer.Option(
            help="Ledger of a sealed test part, see tsforecast seal: openings are counted.",
            show_default="NAME_OR_FILE.seal, where there is one",
        ),
    ] = None,
    closed: Annotated[
        bool, typer.Option("--closed", help="Compare on the rows before the sealed ones, which stay closed.")
    ] = False,
    report: Report = None,
    mlflow: Mlflow = False,
    out: ComparisonFolder = None,
) -> None:
    """Compare networks with the naive forecasts on a dataset or on your own file."""
    from tsforecast.checks import one_of
    from tsforecast.evaluation.backtest import Backtest
    from tsforecast.evaluation.duration import seconds_of, within_time
    from tsforecast.evaluation.entries import named
    from tsforecast.evaluation.leaderboard import leaderboard as compare
    from tsforecast.evaluation.leaderboard import needs_distributions
    from tsforecast.evaluation.seal import read_ledger

    raise_any(one_of("audit", audit, ("data", "fit", "none")), ParameterError)
    if within is not None:
        seconds_of(within)  # a mistake is found before the data are read
    files, names = _files_among(models)
    chosen = _models(names, networks.settings()) if names else {}
    chosen |= {path.name.partition(".")[0]: read_forecasts(path, reading.id) for path in files}
    if report:
        suffix_of(report)
        require_place(report.parent)
    if out:
        require_place(out, mark=BOARD)
    unfinished = out.with_name(f"{out.name}.unfinished") if out else None  # rows of fits, until all are done
    seal = seal or (default_ledger(data) if closed or default_ledger(data).exists() else None)
    panel, task = read_panel(data, reading)
    panel, seal = (read_ledger(seal).before(panel), None) if closed and seal else (panel, seal)
    protocol = protocol_of(task, panel, horizon, origins, step, align, gap, min_past, independent_series)
    protocol = replace(protocol, refit=refit, audit=None if audit == "none" else audit)  # type: ignore[arg-type]
    if within is not None:
        all_models = named(chosen)
        scored = distributions or needs_distributions(all_models, metric, {})
        test = Backtest(protocol.prepared(panel), protocol, scored)
        protocol, why = within_time(within, all_models, test, seeds, jobs, independent_series)
        echo(f"{why}.")
    title = f"{data}, horizon {protocol.horizon}"
    if out:
        note_replaced(out, {*named(chosen), *(path.name.partition(".")[0] for path in files)})
    shown = progress(f"{data}: ", len(named(chosen)))
    with on_cluster(address, jobs) as n_jobs, tracked(mlflow, data), shown as started:
        board = compare(
            chosen,
            panel,
            protocol.horizon,
            origins=protocol.origins,
            step=protocol.step,
            gap=gap,
            refit=protocol.refit,
            metric=metric,
            distributions=distributions or None,
            forecast=forecast,
            audit=protocol.audit,
            seeds=seeds,
            n_jobs=n_jobs,
            checkpoint=unfinished,
            progress=started,
            min_past=min_past,
            align=protocol.align,
            margin=margin,
            independent_series=independent_series,
            seal=seal,
        )
    show_leaderboard(board, title, console)
    if out and unfinished:
        write_board(board, panel, out, title)
        shutil.rmtree(unfinished, ignore_errors=True)
    if report:
        write_report(board, report, title)
    if board.failures:
        raise typer.Exit(1)


@expand_options
def plan(
    data: Data,
    networks: NetworkOptions,
    reading: DataOptions,
    horizon: Horizon = None,
    models: Models = MODELS,
    origins: Origins = None,
    step: Step = None,
    gap: Gap = 0,
    min_past: MinPast = 1,
    align: Align = None,
    refit: Refit = False,
    audit: Audit = "data",
    metric: Metric = "mase",
    independent_series: IndependentSeries = False,
    seeds: Seeds = 1,
    jobs: Jobs = 1,
) -> None:
    """Predict which gains a leaderboard could show, the cutoffs that it needs, and its time, by a few short fits."""
    from tsforecast.checks import one_of
    from tsforecast.evaluation.plan import plan as plan_of

    raise_any(one_of("audit", audit, ("data", "fit", "none")), ParameterError)
    chosen = _models(models, networks.settings())
    panel, task = read_panel(data, reading)
    protocol = protocol_of(task, panel, horizon, origins, step, align, gap, min_past, independent_series)
    found = plan_of(
        panel,
        protocol.horizon,
        origins=protocol.origins,
        step=protocol.step,
        gap=gap,
        metric=metric,
        min_past=min_past,
        align=protocol.align,
        independent_series=independent_series,
        models=chosen,
        refit=refit,
        audit=None if audit == "none" else audit,  # type: ignore[arg-type]
        seeds=seeds,
        n_jobs=jobs,
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
        why = "accuracy ranks classifiers, beside the majority"
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
        show_leaderboard(results, title, console)
    else:
        echo(f"{title}\n\n{results.to_markdown()}")
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
            help="Time that it may take, such as 60s; of the recipes the best one that keeps to it is used.",
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
    from tsforecast.provenance import naive_note

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
        warn("Note", ended_note(panel, old))
    if silent := silent_note(panel, apart):
        warn("Note", silent)
    if note := naive_note(getattr(forecaster, "resolved_", {})):
        echo(f"{model}: {note}", style="yellow")
    future = panel.roles.given.future if model in NETWORKS else ()
    more = " --future FILE" * bool(future) + " --interval 80" * forecaster.learns_distribution
    command = f"tsforecast predict {shlex.quote(str(out))}{more}"
    echo(f"saved in {out}; forecast with: {command}")
    if future:
        columns = [name for name in (panel.source.time, panel.source.id, *future) if name]
        echo(f"FILE must hold {', '.join(map(repr, columns))} for the {horizon} steps after each series")


def inspect(folder: Annotated[Path, typer.Argument(help="Folder of a saved model.")]) -> None:
    """Describe a saved model: its kind, the data it was fitted on, and the versions that wrote it."""
    from tsforecast.estimators.persistence import summary

    show_pairs(summary(folder))


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
        typer.Option("--isolated", help="A new process for each run, so that what one leaves is not seen by the next."),
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
    from tsforecast.estimators.registry import MODEL_NAMES, make
    from tsforecast.forecasters.base import Forecaster

    wanted = [name.strip() for name in names.split(",") if name.strip()]
    if not wanted:
        raise ParameterError(f"at least one model must be named: got {names!r}; choose from {', '.join(MODEL_NAMES)}")
    wanted = [name for word in wanted for name in (MODEL_NAMES if word == "all" else [word])]
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
        for name in ("window", "max_epochs", "members", "loss", "validation_origins")
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
