"""The options of the command line, and the errors of the library in their words."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from itertools import takewhile
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tsforecast.errors import Parameter, Part, Phrase, Reference, Row

ORDER = (
    "datasets",
    "leaderboard",
    "report",
    "fit",
    "predict",
    "inspect",
    "tune",
    "tune-report",
    "audit",
    "benchmark",
    "track-sync",
)


class PlainGroup(TyperGroup):
    """Commands whose flags are shown without ``<bool>``, since nothing is to be said after them."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the group's own options."""
        return _plain(super().get_params(ctx))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command of the group."""
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            _plain(command.get_params(ctx))  # --help among them, which no command declares
        return command


class InOrder(PlainGroup):
    """All commands."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return their names as a newcomer needs them."""
        return sorted(super().list_commands(ctx), key=ORDER.index)


def _plain(params: list[Any]) -> list[Any]:
    for param in params:
        if getattr(param, "is_flag", False):
            param.metavar = ""
    return params


Data = Annotated[str, typer.Argument(metavar="NAME_OR_FILE", help="A dataset's name, or a CSV or Parquet file.")]
Horizon = Annotated[
    int | None,
    typer.Option("--horizon", help="Steps to forecast.", show_default="the dataset's, or a season"),
]
Origins = Annotated[
    int | None,
    typer.Option("--origins", help="Cutoffs to test.", show_default="the dataset's, or 1"),
]
StepBetween = Annotated[
    int | None,
    typer.Option("--step", help="Steps between cutoffs.", show_default="the dataset's, or the horizon"),
]
MinPast = Annotated[
    int,
    typer.Option("--min-past", help="Steps that a cutoff must see of a series; shorter series are left out."),
]
TimeColumn = Annotated[str | None, typer.Option("--time", help="Column of time stamps.")]
DateFormat = Annotated[
    str | None,
    typer.Option("--date-format", help="How dates are written, such as %d/%m/%Y.", show_default="2024-01-31, ISO 8601"),
]
TargetColumns = Annotated[str | None, typer.Option("--target", help="Column to forecast; several with commas.")]
IdColumn = Annotated[str | None, typer.Option("--id", help="Column that names the series.")]
GroupColumn = Annotated[
    str | None,
    typer.Option("--group", help="Column that names who or what a series is of; groups are left out whole."),
]
PastColumns = Annotated[str | None, typer.Option("--past", help="Columns known up to now, with commas.")]
FutureColumns = Annotated[str | None, typer.Option("--future", help="Columns known ahead, with commas.")]
StepName = Annotated[
    str | None,
    typer.Option("--frequency", help="Step between time stamps, such as h, D or MS.", show_default="from the data"),
]
Season = Annotated[
    int | None,
    typer.Option("--season", help="Steps in one season.", show_default="from the frequency"),
]
NanChoice = Annotated[str | None, typer.Option("--nan", help="NaN: forward_fill, mask or drop_series.")]
FillGaps = Annotated[bool, typer.Option("--fill-gaps", help="Insert missing time stamps.")]
Sort = Annotated[bool, typer.Option("--sort", help="Sort each series by time.")]
Duplicates = Annotated[
    str | None,
    typer.Option("--duplicates", help="Which row of equal time stamps to keep: first or last."),
]
Window = Annotated[
    int | None,
    typer.Option("--window", help="Steps that a network reads.", show_default="auto"),
]
Seed = Annotated[int, typer.Option("--seed", help="Makes the networks repeatable.")]
Epochs = Annotated[int | None, typer.Option("--epochs", help="At most so many epochs.")]
Mlflow = Annotated[
    bool,
    typer.Option("--mlflow", help="Keep each fit as a run of MLflow: in mlflow.db, or where MLFLOW_TRACKING_URI says."),
]

# Options that are not called like the parameter of the library; the others are ALIKE.
RENAMED = {
    "season_length": "season",
    "nan_policy": "nan",
    "max_epochs": "epochs",
    "random_state": "seed",
    "storage": "out",
    "n_jobs": "jobs",
}
ALIKE = (
    *("time", "target", "id", "group", "past", "future", "frequency", "fill_gaps", "sort", "duplicates", "horizon"),
    *("window", "origins", "step", "gap", "min_past", "metric", "audit", "seeds", "cutoffs", "level", "trials"),
    *("searcher", "scheduler", "validation_origins", "time_budget", "resume", "reference"),
)
FLAGS = ("fill_gaps", "sort", "resume")  # no value follows them, although `resume` takes one in Python
# What is a frame, or a name, to the library is a file, or a folder, on the command line.
PHRASES = {
    "reader": "",
    "future frame": "say --future FILE, with rows",
    "data": "the file",
    "context": "the file of --data",
    "search": "--out",
    "date format": "say how its dates are written, for example --date-format {!r}",
}


def as_option(part: Reference) -> Part:
    """Return a part of an error message as the command line shows it: options in place of the library's keywords.

    Examples
    --------
    >>> from tsforecast.errors import Argument
    >>> as_option(Argument("sort", True, verb="pass")), as_option(Parameter("nan_policy")), as_option(Row(3))
    ('pass --sort', '--nan', Row(number=3))
    >>> as_option(Argument("target", ["a", "b c"])), as_option(Argument("time"))
    ("--target 'a,b c'", '--time ...')
    """
    if isinstance(part, Phrase):
        return PHRASES[part.key].format(part.value)
    if isinstance(part, Row) or not (part.name in RENAMED or part.name in ALIKE):
        return part
    option = "--" + RENAMED.get(part.name, part.name).replace("_", "-")
    if isinstance(part, Parameter) or part.name in FLAGS or part.value == "":
        value = ""
    else:
        names = part.value if isinstance(part.value, list) else [part.value]
        value = " ..." if ... in names else f" {shlex.quote(','.join(map(str, names)))}"
    return f"{getattr(part, 'verb', '')} {option}{value}".lstrip()


def usage_sentence(error: Exception, words: Sequence[str]) -> str:
    """Return what typer says about the words of a command as one sentence; nothing if it has shown the help.

    Examples
    --------
    >>> error = typer.BadParameter("Got unexpected extra argument(s) (mean)")
    >>> usage_sentence(error, ["leaderboard", "co2-weekly", "--models", "gru", "mean"])
    'names must have commas between them, and no spaces: got --models gru mean; write --models gru,mean'
    >>> usage_sentence(error, ["leaderboard", "--models", "gru", "mean", "co2-weekly"]).endswith(" --models gru,mean")
    True
    """
    message = str(getattr(error, "format_message", error.__str__)()).strip().rstrip(".")
    if not message:
        return ""
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "tsforecast"
    extra = re.search(r"unexpected extra arguments?(?:\(s\))? \((.*)\)", message)
    if not extra:
        message = f"{message[0].lower()}{message[1:]}".replace(". Did you", "; did you")
        return message if message.endswith("?") else f"{message}; {command} --help shows what can be said"
    count = len(extra[1].split())
    for option in ("--models", "--target", "--past", "--future"):
        at = words.index(option) + 1 if option in words else len(words)
        # The data may be named after the names: as many words as are too many belong to the first one.
        names = list(takewhile(lambda word: not word.startswith("-"), words[at:]))[: count + 1]
        if len(names) > 1:
            joined = ",".join(name.strip(",") for name in names)
            return (
                f"names must have commas between them, and no spaces: got {option} {' '.join(names)}; "
                f"write {option} {shlex.quote(joined)}"
            )
    return f"{extra[1]!r} is one word too many for {command}; {command} --help shows what can be said"
