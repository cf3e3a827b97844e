"""Options of the command line: declared once, expanded into commands, and named in errors."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, is_dataclass
from functools import partial, wraps
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import typer
from rich.console import Console
from typer.core import TyperGroup

from tsforecast.cli.project import PROJECT, from_project, used
from tsforecast.cli.wording import PARAMETERS
from tsforecast.errors import ParameterError, Problem, raise_any
from tsforecast.estimators.registry import LOSS_NAMES


class PlainGroup(TyperGroup):
    """Commands whose flags are shown without ``<bool>``, since no value follows them."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the group's own options."""
        return _plain(super().get_params(ctx))

    def list_commands(self, ctx: Any) -> list[str]:
        """Return names in the order of declaration, groups first."""
        return sorted(super().list_commands(ctx), key=lambda name: not isinstance(self.commands[name], TyperGroup))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command of the group."""
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            _plain(command.get_params(ctx))  # --help among them, which no command declares
        return command


def _plain(params: list[Any]) -> list[Any]:
    for param in params:
        if getattr(param, "is_flag", False):
            param.metavar = ""
    return params


Data = Annotated[
    str,
    typer.Argument(
        metavar="NAME_OR_FILE",
        help="A dataset's name, or a CSV, Excel, Parquet or TSF file, or a pattern, folder or URL of files.",
    ),
]
AnyData = Annotated[
    str,
    typer.Argument(
        metavar="NAME_OR_FILE",
        help="A dataset's name, or a CSV, Excel, Parquet or TSF file, or a pattern, folder or URL of files; with "
        "--label a folder, zip, TS or ARFF file as well.",
    ),
]
Labelled = Annotated[
    str,
    typer.Argument(
        metavar="NAME_OR_FILES",
        help="A dataset's name; a CSV, Excel or Parquet table; a folder or zip, one file a recording; .ts or .arff.",
    ),
]
# Panels of the help: options that answer one question stand together.
_test = partial(typer.Option, rich_help_panel="Test")
_network = partial(typer.Option, rich_help_panel="Networks")
_running = partial(typer.Option, rich_help_panel="Running")
_results = partial(typer.Option, rich_help_panel="Results")
_reading = partial(typer.Option, rich_help_panel="Reading a file")

Report = Annotated[Path | None, _results(help="Report to write, by its ending: HTML, Markdown (md) or JSON.")]
ComparisonFolder = Annotated[
    Path | None,
    _results(help="Folder for report, table and rows; an interrupted comparison resumes from there."),
]
Horizon = Annotated[int | None, _test(help="Steps to forecast.", show_default="the dataset's, or a season")]
Origins = Annotated[int | None, _test(help="Cutoffs to test.", show_default="the dataset's, or 10 to 30")]
Step = Annotated[int | None, _test(help="Steps between cutoffs.", show_default="the dataset's, or the horizon")]
Metric = Annotated[
    str,
    _test(
        help="Ranks the models: mase, mae, rmse, smape, rmsse, wape, mape or owa, or by their distributions crps, wql "
        "or msis."
    ),
]
ContextDateFormat = Annotated[
    str | None,
    typer.Option(help="How dates in --data are written, such as %d.%m.%Y.", show_default="as those that were fitted"),
]
Trust = Annotated[
    list[str] | None,
    typer.Option(
        help="Import path of a loss of your own, such as shop.losses.Gumbel, that the model may import; several with "
        "commas.",
        show_default="none",
    ),
]
MinPast = Annotated[int, _test(help="Observed steps that a cutoff needs; shorter series are left out.")]
Align = Annotated[
    str | None,
    _test(
        help="Cutoffs at the same time in all series, or counted from the end of each: time or end.",
        show_default="time, refused where that loses most series",
    ),
]
Model = Annotated[str, typer.Option(help="Name of the model.")]
Models = Annotated[
    str,
    typer.Option(
        help="Names with commas, or all; naive, seasonal-naive and drift are always included; croston, sba and tsb are "
        "for demand with many zeros; library:Class and module:callable are models of other libraries, and a file holds "
        "forecasts from elsewhere."
    ),
]
MODELS = "naive,seasonal-naive,drift,mean,window-average,rnn,gru,lstm,conv1d"
Causal = Annotated[
    bool,
    _network("--causal", help="Networks look back alone, so that their labels can be streamed: not bidirectional."),
]
Seeds = Annotated[int, _running(help="Fits of each network, from --seed on; their spread is shown.")]
Jobs = Annotated[int, _running(help="Processes to share the fits between; -1 for one on each core.")]
Address = Annotated[str | None, _running(help="Ray cluster: auto, host:port, or local.", show_default="this machine")]
Mlflow = Annotated[
    bool,
    _results("--mlflow", help="Keep each fit as a run of MLflow: in mlflow.db, or at MLFLOW_TRACKING_URI."),
]


def _whole_or_text(text: str) -> int | str:
    """Return a number, such as the steps of a season, or other text, such as auto; the library refuses the rest."""
    return int(text) if text.isdecimal() else text


SHOWN = ("verbose",)  # no parameter of the library


class Options:
    """Base of options that belong together, which `expand_options` gives to a command."""

    def settings(self) -> dict[str, Any]:
        """Return those that were given, as parameters of the library."""
        given = {name: value for name, value in vars(self).items() if value is not None and name not in SHOWN}
        return {PARAMETERS.get(name, name): value for name, value in given.items()}


@dataclass(frozen=True, kw_only=True)
class TrainingOptions(Options):
    """Settings of the training of networks."""

    epochs: Annotated[int | None, _network(help="Maximum number of epochs.")] = None
    seed: Annotated[int, _network(help="Random seed of the networks.")] = 0
    device: Annotated[
        str | None, _running(help="Device that trains networks: cpu, cuda, cuda:1 or mps.", show_default="auto")
    ] = None
    verbose: Annotated[
        bool, _running("--verbose", help="Print each epoch of each network, and the trace of a fit that failed.")
    ] = False


@dataclass(frozen=True, kw_only=True)
class LossOptions(TrainingOptions):
    """Settings of the training of forecasting networks."""

    loss: Annotated[
        str | None, _network(help=f"Loss of the networks: {', '.join(LOSS_NAMES)}.", show_default="mae")
    ] = None


Recipe = Literal["fast", "default", "best"]


@dataclass(frozen=True, kw_only=True)
class NetworkOptions(LossOptions):
    """Settings of networks."""

    recipe: Annotated[
        Recipe | None,
        _network(help="Settings of the networks by name: fast takes half the time, best three times as long."),
    ] = None
    window: Annotated[int | None, _network(help="Steps that a network reads.", show_default="auto")] = None
    validation_origins: Annotated[
        Any,
        _network(
            help="Blocks of a horizon that validate a network, or auto: up to four.",
            parser=_whole_or_text,
            metavar="INTEGER|auto",
            show_default="1",
        ),
    ] = None

    def settings(self) -> dict[str, Any]:
        """Return those that were given, and those of the recipe; see `Options.settings`."""
        from tsforecast.forecasters.auto import RECIPES

        given = super().settings()
        given.pop(PARAMETERS["recipe"], None)
        return dict(RECIPES[self.recipe or "default"].settings) | given


@dataclass(frozen=True, kw_only=True)
class CutoffOptions(Options):
    """The horizon, and the cutoffs of a test."""

    horizon: Horizon = None
    origins: Origins = None
    step: Step = None
    align: Align = None
    independent_series: ClassVar[bool] = False

    @property
    def more(self) -> dict[str, Any]:
        """Return further settings of the protocol."""
        return {}


@dataclass(frozen=True, kw_only=True)
class TestOptions(CutoffOptions):
    """How forecasters are tested."""

    gap: Annotated[int, _test(help="Steps between a cutoff and the first forecast.")] = 0
    min_past: MinPast = 1
    refit: Annotated[bool, _test("--refit", help="Fit again at each cutoff.")] = False
    audit: Annotated[str, _test(help="Prove that nothing leaks: data (fast), fit (about ten fits) or none.")] = "data"
    metric: Metric = "mase"
    independent_series: Annotated[  # type: ignore[misc] # a command without this option has the constant
        bool, _test("--independent-series", help="Series at one time do not depend on each other: count series.")
    ] = False

    def check(self) -> None:
        """Refuse a mistake before the data are read."""
        from tsforecast.checks import one_of

        raise_any(one_of("audit", self.audit, ("data", "fit", "none")), ParameterError)

    @property
    def more(self) -> dict[str, Any]:
        """Return further settings of the protocol."""
        audit = None if self.audit == "none" else self.audit
        return {"gap": self.gap, "min_past": self.min_past, "refit": self.refit, "audit": audit}


@dataclass(frozen=True, kw_only=True)
class ScoringOptions(Options):
    """Further scores of a leaderboard, and forecasts in its report."""

    distributions: Annotated[
        bool,
        _test(
            "--distributions",
            help="Score distributions, their coverage and width, also where neither --metric nor a model needs it.",
        ),
    ] = False
    margin: Annotated[float, _test(help="Skill within which a model is equivalent to the reference.")] = 0.02
    forecast: Annotated[
        bool,
        _results("--forecast", help="Fit each model once more, on all data: the report shows its next forecast."),
    ] = False
    unit: Annotated[
        str, _results(help="Unit of the target in sentences and figures, such as EUR.", show_default="none")
    ] = ""


@dataclass(frozen=True, kw_only=True)
class RunningOptions(Options):
    """How often models are fitted, and in how many processes."""

    seeds: Seeds = 1
    jobs: Jobs = 1


@dataclass(frozen=True, kw_only=True)
class ClusterOptions(RunningOptions):
    """Where the fits of a comparison run, and how often."""

    address: Address = None


@dataclass(frozen=True, kw_only=True)
class FitsOptions(ClusterOptions):
    """Where the fits of a leaderboard run, and in which time."""

    within: Annotated[
        str | None,
        _running(
            help="Time limit, such as 10min, kept by testing fewer cutoffs, or by fitting models once.",
            show_default="no limit",
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class SealOptions(Options):
    """The sealed test part of a dataset or file."""

    seal: Annotated[
        Path | None,
        _test(
            help="Ledger of a sealed test part, see tsforecast seal: openings are counted.",
            show_default="NAME_OR_FILE.seal, where there is one",
        ),
    ] = None
    closed: Annotated[
        bool, _test("--closed", help="Compare on the rows before the sealed ones, which stay closed.")
    ] = False


@dataclass(frozen=True, kw_only=True)
class ResultOptions(Options):
    """Files of a comparison."""

    report: Report = None
    mlflow: Mlflow = False
    out: ComparisonFolder = None

    @property
    def unfinished(self) -> Path | None:
        """Return the folder for rows of fits, until all are done."""
        return self.out.with_name(f"{self.out.name}.unfinished") if self.out else None


@dataclass(frozen=True, kw_only=True)
class DataOptions(Options):
    """Roles of the columns of a file, and how it is cleaned; as in `Panel.from_frame`, several names with commas."""

    time: Annotated[str | None, _reading(help="Column of time stamps; days and hours with a comma; none.")] = None
    date_format: Annotated[
        str | None,
        _reading(help="How dates are written, such as %d/%m/%Y.", show_default="2024-01-31, ISO 8601"),
    ] = None
    decimal: Annotated[
        str | None,
        _reading(help="Decimal sign, '.' or ','; the other one sets thousands apart.", show_default="from the data"),
    ] = None
    target: Annotated[
        str | None, _reading(help="Column to forecast, or channel of recordings; several with commas.")
    ] = None
    id: Annotated[str | None, _reading(help="Column that names the series or recordings.")] = None
    group: Annotated[
        str | None, _reading(help="Column that names the person or machine of a series; groups are left out whole.")
    ] = None
    past: Annotated[str | None, _reading(help="Past covariates: columns known up to now, with commas.")] = None
    future: Annotated[str | None, _reading(help="Future covariates: columns known ahead, with commas.")] = None
    categories: Annotated[str | None, _reading(help="Covariates whose numbers are categories, with commas.")] = None
    frequency: Annotated[
        str | None, _reading(help="Step between time stamps, such as h, D or MS.", show_default="from the data")
    ] = None
    season: Annotated[
        Any,
        _reading(
            help="Steps in one season, or auto: from the frequency, or found in the numbers.",
            parser=_whole_or_text,
            metavar="INTEGER|auto",
            show_default="auto",
        ),
    ] = None
    nan: Annotated[str | None, _reading(help="NaN: forward_fill, mask or drop_series.")] = None
    fill_gaps: Annotated[bool, _reading("--fill-gaps", help="Insert missing time stamps.")] = False
    sort: Annotated[bool, _reading("--sort", help="Sort each series by time.")] = False
    duplicates: Annotated[str | None, _reading(help="Which row of equal time stamps to keep: first or last.")] = None
    resample: Annotated[
        str | None, _reading(help="Step of bins to put rows into, such as 20ms; each is labelled by its end.")
    ] = None
    aggregate: Annotated[
        str | None, _reading(help="The number of a bin: mean, last or nearest.", show_default="mean")
    ] = None
    tolerance: Annotated[
        str | None, _reading(help="Largest distance of stamps from the steps of --frequency, such as 2ms.")
    ] = None


@dataclass(frozen=True, kw_only=True)
class RecordingOptions(Options):
    """The class of recordings, and their places in a folder."""

    label: Annotated[
        str | None,
        _reading(help="Classify recordings by this column, or level of folders.", show_default="that of a dataset"),
    ] = None
    files: Annotated[
        str | None,
        _reading(
            help="Place of each recording in a folder or zip, such as {user}/{gesture}/*.csv.",
            show_default="{GROUP}/{LABEL}/*",
        ),
    ] = None
    output: Annotated[
        Literal["recording", "step"] | None,
        _reading(
            help="Whether each recording has a label, or each of its steps.",
            show_default="step, where the label changes within most recordings",
        ),
    ] = None


KEYWORD = inspect.Parameter.KEYWORD_ONLY
ProjectFile = Annotated[
    Path | None,
    typer.Option(
        help="File of options, as written by tsforecast init; those of the command take precedence.",
        callback=from_project,
        is_eager=True,  # it is read before the other options, whose defaults it has
        show_default=f"{PROJECT}, where there is one",
    ),
]


def shown_examples(*examples: str) -> str:
    """Return the end of a help: commands without their first word."""
    return "\n\n".join(["Examples:", *(f"tsforecast {words}" for words in examples)])


def expand_options(command: Callable[..., None], shared: bool = True) -> Callable[..., None]:
    """Let a command take the fields of its dataclass parameters as options after its own, if `shared` from a project.

    With ``--verbose``, where it is among them, all that is logged is printed.
    """
    parameters = inspect.signature(command, eval_str=True).parameters
    kinds: dict[str, Any] = {name: one.annotation for name, one in parameters.items() if is_dataclass(one.annotation)}
    fields = {name: inspect.signature(kind, eval_str=True).parameters for name, kind in kinds.items()}
    own = [one.replace(kind=one.KEYWORD_ONLY) for name, one in parameters.items() if name not in kinds]

    @wraps(command)
    def expanded(context: Any = None, project: Path | None = None, **given: Any) -> None:
        given = used(context, given, project) if project else given
        built = {name: kind(**{field: given.pop(field) for field in fields[name]}) for name, kind in kinds.items()}
        with _details() if any(getattr(group, "verbose", False) for group in built.values()) else nullcontext():
            command(**given, **built)

    params = [*own, *(one for group in fields.values() for one in group.values())]
    if shared:
        params.append(
            inspect.Parameter("project", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=ProjectFile)
        )
    params.append(inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context))
    expanded.__signature__ = inspect.Signature(params)  # type: ignore[attr-defined]
    expanded.__annotations__ = {one.name: one.annotation for one in params} | {"return": None}
    return expanded


@contextmanager
def _details() -> Iterator[None]:
    """Print on stderr all that the package logs, as it happens."""
    log, handler = logging.getLogger("tsforecast"), _Details()
    before = log.level
    log.setLevel(logging.DEBUG)
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before)


class _Details(logging.Handler):
    """Prints records of the log; notes have a handler of their own."""

    def emit(self, record: logging.LogRecord) -> None:
        if not getattr(record, "note", False):
            Console(stderr=True).print(record.getMessage(), style="dim", markup=False, highlight=False, soft_wrap=True)


def require_absent(where: str, why: str, **given: object) -> None:
    """Refuse options that were given where they would have no effect."""
    ignored = [name for name, value in given.items() if value is not None]
    raise_any([Problem(f"--{name} must be left out {where}", why) for name in ignored], ParameterError)


@contextmanager
def on_cluster(address: str | None, jobs: int) -> Iterator[int | None]:
    """Run the fits of a comparison on a Ray cluster if its address is given; yield the `n_jobs` of the comparison."""
    if address is None:
        yield jobs
        return
    from tsforecast.executors import compute

    with compute("ray", address=address, n_jobs=None if jobs == 1 else jobs):
        yield None


def words_of(given: list[str] | None) -> list[str]:
    """Return the words of an option that may be given several times, each time with several words and commas."""
    return [word.strip() for text in given or () for word in text.split(",")]
