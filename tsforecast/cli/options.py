"""Options of the command line: declared once, expanded into commands, and named in errors."""

from __future__ import annotations

import inspect
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, is_dataclass
from functools import partial, wraps
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from tsforecast.errors import Argument, Parameter, ParameterError, Part, Phrase, Problem, Reference, Row, raise_any
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
Report = Annotated[Path | None, typer.Option(help="Report to write, by its ending: HTML, Markdown (md) or JSON.")]
ComparisonFolder = Annotated[
    Path | None,
    typer.Option(help="Folder for report, table and rows; an interrupted comparison resumes from there."),
]
Horizon = Annotated[int | None, typer.Option(help="Steps to forecast.", show_default="the dataset's, or a season")]
Origins = Annotated[int | None, typer.Option(help="Cutoffs to test.", show_default="the dataset's, or 10 to 30")]
Step = Annotated[int | None, typer.Option(help="Steps between cutoffs.", show_default="the dataset's, or the horizon")]
Gap = Annotated[int, typer.Option(help="Steps between a cutoff and the first forecast.")]
Metric = Annotated[
    str,
    typer.Option(
        help="Ranks the models: mase, mae, rmse, smape, rmsse, wape, mape or owa, or by their distributions crps, wql "
        "or msis."
    ),
]
IndependentSeries = Annotated[
    bool, typer.Option("--independent-series", help="Series at one time do not depend on each other: count series.")
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
MinPast = Annotated[int, typer.Option(help="Observed steps that a cutoff needs; shorter series are left out.")]
Align = Annotated[
    str | None,
    typer.Option(
        help="Cutoffs at the same time in all series, or counted from the end of each: time or end.",
        show_default="time, refused where that loses most series",
    ),
]
Model = Annotated[str, typer.Option(help="Name of the model.")]
Models = Annotated[
    str,
    typer.Option(
        help="Names with commas, or all; naive, seasonal-naive and drift are always there; croston, sba and tsb are "
        "for demand with many zeros; library:Class and module:callable are models of other software, and a file has "
        "forecasts that were made elsewhere."
    ),
]
MODELS = "naive,seasonal-naive,drift,mean,window-average,rnn,gru,lstm,conv1d"
Refit = Annotated[bool, typer.Option("--refit", help="Fit anew at each cutoff.")]
Audit = Annotated[str, typer.Option(help="Prove that nothing leaks: data (quick), fit (about ten fits) or none.")]
Causal = Annotated[
    bool,
    typer.Option("--causal", help="Networks look back alone, so that their labels can be streamed: not bidirectional."),
]
Seeds = Annotated[int, typer.Option(help="Fits of each network, from --seed on; their spread is shown.")]
Jobs = Annotated[int, typer.Option(help="Processes to share the fits between; -1 for one on each core.")]
Address = Annotated[
    str | None, typer.Option(help="Ray cluster: auto, host:port, or local.", show_default="this machine")
]
Mlflow = Annotated[
    bool,
    typer.Option("--mlflow", help="Keep each fit as a run of MLflow: in mlflow.db, or at MLFLOW_TRACKING_URI."),
]


def _whole_or_text(text: str) -> int | str:
    """Return a number, such as the steps of a season, or other text, such as auto; the library refuses the rest."""
    return int(text) if text.isdecimal() else text


class Options:
    """Base of options that belong together, which `expand_options` gives to a command."""

    def settings(self) -> dict[str, Any]:
        """Return those that were given, as parameters of the library."""
        return {PARAMETERS.get(name, name): value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class TrainingOptions(Options):
    """Settings of the training of networks."""

    epochs: Annotated[int | None, typer.Option(help="Maximum number of epochs.")] = None
    seed: Annotated[int, typer.Option(help="Random seed of the networks.")] = 0


@dataclass(frozen=True, kw_only=True)
class LossOptions(TrainingOptions):
    """Settings of the training of forecasting networks."""

    loss: Annotated[
        str | None, typer.Option(help=f"Loss of the networks: {', '.join(LOSS_NAMES)}.", show_default="mae")
    ] = None


Recipe = Literal["fast", "default", "best"]


@dataclass(frozen=True, kw_only=True)
class NetworkOptions(LossOptions):
    """Settings of networks."""

    recipe: Annotated[
        Recipe | None,
        typer.Option(help="Settings of the networks by name: fast takes half the time, best three times as long."),
    ] = None
    window: Annotated[int | None, typer.Option(help="Steps that a network reads.", show_default="auto")] = None
    validation_origins: Annotated[
        Any,
        typer.Option(
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


_reading = partial(typer.Option, rich_help_panel="Reading a file")


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
        str | None, _reading(help="Column that names who or what a series is of; groups are left out whole.")
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
        str | None, _reading(help="By how much stamps may miss the steps of --frequency, such as 2ms.")
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


def expand_options(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command take the fields of its dataclass parameters as options, after its own ones."""
    parameters = inspect.signature(command, eval_str=True).parameters
    kinds: dict[str, Any] = {name: one.annotation for name, one in parameters.items() if is_dataclass(one.annotation)}
    fields = {name: inspect.signature(kind, eval_str=True).parameters for name, kind in kinds.items()}
    own = [one.replace(kind=one.KEYWORD_ONLY) for name, one in parameters.items() if name not in kinds]

    @wraps(command)
    def expanded(**given: Any) -> None:
        built = {name: kind(**{field: given.pop(field) for field in fields[name]}) for name, kind in kinds.items()}
        command(**given, **built)

    params = [*own, *(one for group in fields.values() for one in group.values())]
    expanded.__signature__ = inspect.Signature(params)  # type: ignore[attr-defined]
    expanded.__annotations__ = {one.name: one.annotation for one in params} | {"return": None}
    return expanded


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


# Options that are not called like the parameter of the library; the others are ALIKE.
RENAMED = {
    "season_length": "season",
    "nan_policy": "nan",
    "max_epochs": "epochs",
    "members": "recipe",
    "random_state": "seed",
    "ledger": "out",
    "storage": "out",
    "n_jobs": "jobs",
    "give_up": "all_trials",
    "changes": "set",
}
PARAMETERS = {option: name for name, option in RENAMED.items()}
ALIKE = (
    *("time", "target", "id", "group", "past", "future", "categories", "frequency", "fill_gaps", "sort", "duplicates"),
    "horizon",
    *("window", "origins", "step", "gap", "min_past", "metric", "audit", "seeds", "cutoffs", "level", "trials"),
    *("searcher", "scheduler", "validation_origins", "time_budget", "resume", "reference", "ended", "align"),
    *("interval", "quantiles", "paths", "loss", "trust", "address", "record", "record_key", "key", "head"),
    *("resample", "aggregate", "tolerance", "decimal", "within", "seal", "test", "memory", "tail"),
    *("port", "max_bytes", "max_rows", "max_seconds", "max_waiting", "max_batch"),
)
FLAGS = ("fill_gaps", "sort", "resume", "give_up")  # no value follows them, although some take one in Python
# What is a frame, or a name, to the library is a file, or a folder, on the command line.
PHRASES = {
    "reader": "",
    "repair": "one command repairs all of it: ",
    "repair fitted": "all of it is repaired by a model that was fitted with ",
    "no value": "",
    "future frame": "pass --future FILE, with rows",
    "data": "the file",
    "context": "the file of --data",
    "search": "--out",
    "date format": "give its format{}",
    "two columns": "pass --time {}",
    "wide": "turn it with pandas.read_csv(FILE){}",
}


def note_of(note: str) -> str:
    """Return a note about data as the command line shows it."""
    return Problem.of(note).map(as_option)


def as_option(part: Reference) -> Part:
    """Return a part of an error message as the command line shows it: options in place of the library's keywords."""
    if isinstance(part, Phrase) and isinstance(part.value, dict):  # the whole command, to paste
        options = [str(as_option(Argument(name, value))) for name, value in part.value.items()]
        anew = [option.split()[0] for option in options]
        command = [] if part.key == "repair fitted" else [shlex.join(["tsforecast", *_without(sys.argv[1:], anew)])]
        return PHRASES[part.key] + " ".join([*command, *options])
    if isinstance(part, Phrase):
        return PHRASES[part.key].format(part.value)
    if isinstance(part, Row) or not (part.name in RENAMED or part.name in ALIKE):
        return part
    option = "--" + RENAMED.get(part.name, part.name).replace("_", "-")
    if isinstance(part, Parameter) or part.name in FLAGS or part.value == "":
        value = ""
    else:
        names = part.value if isinstance(part.value, list) else [part.value]
        text = ",".join("none" if name is False else str(name) for name in names)
        value = " ..." if ... in names else f" {shlex.quote(text)}"
    return f"{getattr(part, 'verb', '')} {option}{value}".lstrip()


def _without(words: list[str], options: list[str]) -> list[str]:
    """Return the words of a command without options that will follow anew, and their values."""
    kept, value = list[str](), False
    for word in words:
        name, equals, _ = word.partition("=")
        if value or name in options:
            value = not value and not equals and name[2:].replace("-", "_") not in FLAGS
        else:
            kept.append(word)
    return kept
