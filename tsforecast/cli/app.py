"""The command line: the app, its commands in order, and errors as one message with an exit code."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise, takewhile
from typing import Annotated

import typer

from tsforecast.cli.classify import classify
from tsforecast.cli.console import console, plain_warnings, warn
from tsforecast.cli.detect import detect
from tsforecast.cli.extras import benchmark, check, compile_kernels, datasets_app, init, seal, track_sync
from tsforecast.cli.forecast import audit, fit, inspect, leaderboard, plan, report
from tsforecast.cli.monitor import monitor
from tsforecast.cli.options import PlainGroup, shown_examples
from tsforecast.cli.predict import predict
from tsforecast.cli.scenario import scenario
from tsforecast.cli.serve import export, serve
from tsforecast.cli.tune import tune, tune_report
from tsforecast.cli.update import update
from tsforecast.cli.verify import record_key, verify
from tsforecast.cli.wording import as_option
from tsforecast.errors import TsForecastError

# Heavy imports stand inside the commands, so that `tsforecast --help` answers at once.
app = typer.Typer(
    cls=PlainGroup,
    help="Train small networks on your own time series and learn whether they beat the naive forecast.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(datasets_app, name="datasets")
# Each command with two examples, in the order in which a newcomer needs them.
COMMANDS: dict[Callable[..., None], tuple[str, str]] = {
    init: ("init shops.csv --horizon 14", "init shops.csv --id shop --time day --target sales --future price"),
    check: ("check shops.csv --id shop", "check shops.csv --horizon 14 --fill-gaps --sort"),
    plan: ("plan shops.csv --id shop", "plan co2-weekly --models ets,gru"),
    leaderboard: (
        "leaderboard co2-weekly",
        "leaderboard shops.csv --id shop --horizon 14 --models ets,gru --out results",
    ),
    classify: (
        "classify moves.csv --label gesture --group user",
        "classify moves.zip --files {user}/{gesture}/*.csv",
    ),
    report: ("report results", "report results more-results --metric rmse --out both.html"),
    fit: ("fit co2-weekly --out model", "fit shops.csv --id shop --future price --recipe best --out model"),
    predict: ("predict model --interval 80", "predict model --data new.csv --horizon 7 --out next.csv"),
    scenario: (
        "scenario model --set price=8.5 --future plan.csv",
        "scenario model --set holiday@2024-12-24=1 --future plan.csv --out if.csv",
    ),
    inspect: ("inspect model", "inspect results/model"),
    export: ("export model model.onnx", "export model model.onnx --interval 80,95"),
    serve: ("serve model", "serve model --port 8123 --max-rows 5000"),
    monitor: ("monitor model --data new.csv", "monitor model"),
    update: ("update model new.csv --out model-2", "update model new.csv --in-place --scales learn --epochs 5"),
    detect: ("detect model --data new.csv", "detect model --data new.csv --level 0.001 --out found.html"),
    verify: ("verify forecasts.jsonl", "verify forecasts.jsonl --data truth.csv --key desk.pub.pem"),
    record_key: ("record-key desk.pem", "record-key keys/desk.pem"),
    tune: ("tune co2-weekly --trials 30", "tune shops.csv --id shop --horizon 14 --time-budget 600 --out tuned"),
    tune_report: ("tune-report tuned", "tune-report tuned --out search.json"),
    audit: ("audit co2-weekly --model gru", "audit shops.csv --id shop --model reduction --level data"),
    seal: ("seal shops.csv --test 60", "seal co2-weekly --test 0.2"),
    benchmark: ("benchmark", "benchmark accuracy --no-measure --out drawn"),
    compile_kernels: ("compile", "compile --help"),
    track_sync: ("track-sync", "track-sync runs/mlflow-unsent"),
}
NAMES: dict[Callable[..., None], str] = {compile_kernels: "compile"}
for command, examples in COMMANDS.items():
    # Options that the benchmark does not know are those of its script.
    own = {"allow_extra_args": True, "ignore_unknown_options": True} if command is benchmark else None
    app.command(NAMES.get(command), context_settings=own, epilog=shown_examples(*examples))(command)
# Base of all errors of typer about arguments of a command, of which it exports this one alone.
UsageError: type[Exception] = typer.BadParameter.__mro__[1]


def _version(shown: bool) -> None:
    if shown:
        from tsforecast.provenance import __version__

        console.print(f"tsforecast {__version__}", highlight=False)
        raise typer.Exit


@app.callback()
def _every_command(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; errors become one message and exit code 2."""
    try:
        with plain_warnings():
            sys.exit(app(prog_name="tsforecast", standalone_mode=False))
    except TsForecastError as error:
        warn("Error", str(error.map(as_option)))
    except UsageError as error:
        sentence = usage_sentence(error, sys.argv[1:])
        if sentence:  # none: the help was shown
            warn("Error", sentence)
    except typer.Abort:
        sys.exit(1)
    sys.exit(2)


def usage_sentence(error: Exception, words: Sequence[str]) -> str:
    """Return an error of typer about the arguments of a command as one sentence; nothing if it has shown the help."""
    message = (
        str(getattr(error, "format_message", error.__str__)()).replace(": Value error, ", ": ").strip().rstrip(".")
    )
    if not message:
        return ""
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "tsforecast"
    if kind := re.search(r"for '(?:.* / )?(--[\w-]+)': .*valid (integer|number)", message):
        parts = [part for word in words for part in word.split("=", 1)]
        given = next((after for name, after in pairwise(parts) if name == kind[1]), "")
        return f"{kind[1]} must be a {'whole number' if kind[2] == 'integer' else 'number'}: got {given!r}"
    extra = re.search(r"unexpected extra arguments?(?:\(s\))? \((.*)\)", message)
    if not extra:
        message = f"{message[0].lower()}{message[1:]}".replace(". Did you", "; did you")
        return message if message.endswith("?") else f"{message}; {command} --help lists the options"
    count = len(extra[1].split())
    for option in ("--models", "--target", "--past", "--future", "--categories"):
        at = words.index(option) + 1 if option in words else len(words)
        # The data may follow the names: as many words as are too many belong to the first one.
        names = list(takewhile(lambda word: not word.startswith("-"), words[at:]))[: count + 1]
        if len(names) > 1:
            joined = ",".join(name.strip(",") for name in names)
            return (
                f"names must have commas between them, and no spaces: got {option} {' '.join(names)}; "
                f"write {option} {shlex.quote(joined)}"
            )
    return f"{extra[1]!r} is one argument too many for {command}; {command} --help lists the options"


if __name__ == "__main__":
    main()
