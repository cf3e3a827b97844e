"""Words of the command line for those of the library in errors and notes: options in place of keywords."""

from __future__ import annotations

import shlex
import sys

from tsforecast.errors import Argument, Parameter, Part, Phrase, Problem, Reference, Row

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
    *("resample", "aggregate", "tolerance", "decimal", "within", "seal", "test", "memory", "tail", "device"),
    *("scales", "epochs", "unit"),
    *("port", "max_bytes", "max_rows", "max_horizon", "max_seconds", "max_waiting", "max_batch"),
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
    """Return the words of a command without options that will follow again, and their values."""
    kept, value = list[str](), False
    for word in words:
        name, equals, _ = word.partition("=")
        if value or name in options:
            value = not value and not equals and name[2:].replace("-", "_") not in FLAGS
        else:
            kept.append(word)
    return kept
