"""The file `project.toml`: options that the commands of a folder share, found there or by ``--project``."""

from __future__ import annotations

import inspect
import json
import logging
import shlex
import tomllib
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import typer

from tsforecast.errors import DataError, ParameterError, Problem, UnknownNameError, nearest, raise_any, reason

PROJECT = "project.toml"
# Of `out`, the folder for results, each command has its own place; commands on a fitted model look for it there.
PLACES = {"leaderboard": "leaderboard", "classify": "classify", "fit": "model", "tune": "tune"}
MODEL = "model"
WORDS: dict[type, tuple[Any, str]] = {
    bool: (bool, "true or false"),
    int: (int, "a whole number"),
    float: ((int, float), "a number"),
}

_log = logging.getLogger("tsforecast")


def from_project(context: typer.Context, file: Path | None) -> Path | None:
    """Take what a project file has as defaults of a command, before its own words are read; return the file."""
    place = file or Path(PROJECT)
    if file is None and not place.is_file():
        return None
    try:
        given = tomllib.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        must = f"project file {str(place)!r} must be TOML, with lines such as horizon = 14"
        raise DataError(Problem(must, f"it cannot be read ({reason(error)})", "tsforecast init writes one")) from error
    context.default_map = _defaults(given, place, context)
    return place


def _defaults(given: dict[str, Any], place: Path, context: typer.Context) -> dict[str, Any]:
    """Return the values of a command's options in a project; keys that no command has are refused."""
    commands: dict[str, Any] = context.parent.command.commands  # type: ignore[union-attr]
    kinds = {name: _kinds(command.callback) for name, command in commands.items() if command.callback}
    arguments = {name: _arguments(command) for name, command in commands.items()}
    reading = [name for name in kinds if "data" in arguments[name]]
    shared = {"out", *(key for name in reading for key in kinds[name])} - {"project", "context", "verbose"}
    top = {key.replace("-", "_"): value for key, value in given.items() if not (isinstance(value, dict))}
    tables = {name: {key.replace("-", "_"): value for key, value in given[name].items()} for name in given.keys() - top}
    wrong = [
        f"{place} has {key!r}, which is an option of no command; {nearest(key, [*shared, *kinds])}"
        for key in (*top.keys() - shared, *tables.keys() - kinds)
    ]
    wrong += [
        f"{place} has {key!r} in [{name}], which is no option of that command; {nearest(key, kinds[name])}"
        for name in tables.keys() & kinds
        for key in tables[name].keys() - kinds[name]
    ]
    raise_any(wrong, UnknownNameError)
    command = str(context.info_name)
    own, results = kinds[command], top.pop("out", None)
    found = top if command in reading else {}
    if results is not None:
        folder = Path(_value(Path, "out", results, place))
        found = found | ({"out": str(folder / PLACES[command])} if command in PLACES else {})
        found = found | ({MODEL: str(folder / MODEL)} if MODEL in arguments[command] else {})
    found = {key: value for key, value in (found | tables.get(command, {})).items() if key in own}
    values = {key: _value(own[key], key, value, place) for key, value in found.items()}
    return {key: _placed(key, own[key], value, place.parent) for key, value in values.items()}


def _kinds(callback: Any) -> dict[str, type]:
    """Return the type of each option of a command: that of one value, or list."""
    found = {}
    for name, one in inspect.signature(callback, eval_str=True).parameters.items():
        kind = get_args(one.annotation)[0] if get_origin(one.annotation) is Annotated else one.annotation
        types = [get_origin(each) or each for each in (get_args(kind) if _is_union(kind) else [kind])]
        found[name] = next((each for each in types if each is not type(None)), str)
    return found


def _is_union(kind: Any) -> bool:
    return get_origin(kind) in (Union, UnionType)


def _arguments(command: Any) -> set[str]:
    return {one.name for one in command.params if one.param_type_name == "argument"}


def _value(kind: type, key: str, value: Any, place: Path) -> Any:
    """Return a value as an option takes it, lists as names with commas; refuse one of another type."""
    if kind in WORDS:
        types, words = WORDS[kind]
        right, found = isinstance(value, types) and (kind is bool) == isinstance(value, bool), value
    else:
        words, parts = "text, or a list of texts", value if isinstance(value, list) else [value]
        right = bool(parts) and all(isinstance(one, (str, int, float)) and not isinstance(one, bool) for one in parts)
        text = ",".join(map(str, parts))
        found = [text] if kind is list else text
    if not right:
        raise_any([Problem(f"{key} in {place} must be {words}", f"got {value!r}")], ParameterError)
    return found


def _placed(key: str, kind: type, value: Any, folder: Path) -> Any:
    """Return a value whose path begins at the folder of the project; that of a dataset or a URL is left as it is."""
    if folder == Path() or not isinstance(value, str) or "://" in value:
        return value
    file = key == "data" and (Path(value).suffix or "/" in value or (folder / value).exists())
    return str(folder / value) if file or kind is Path else value


def used(context: typer.Context, given: dict[str, Any], place: Path) -> dict[str, Any]:
    """Return the values of a command, and note those that a project gave; it has none for another dataset."""
    sources = {name: getattr(context.get_parameter_source(name), "name", "") for name in given}
    taken = {name: given[name] for name, source in sources.items() if source == "DEFAULT_MAP"}
    if sources.get("data") == "COMMANDLINE" and _is_dataset(given["data"]):
        own = {one.name: one for one in context.command.params if one.name in taken}
        missing = [name for name, one in own.items() if one.required]
        raise_any(
            [Problem(f"--{name} must be given", f"{place} is of other data than {given['data']}") for name in missing],
            ParameterError,
        )
        return given | {str(name): one.default for name, one in own.items()}
    arguments = _arguments(context.command)
    if taken:
        words = [
            shlex.quote(str(value)) if name in arguments else _words(name, value)
            for name, value in taken.items()
            if value is not False
        ]
        _log.info("%s has %s", place, " ".join(words), extra={"note": True})
    return given


def _is_dataset(name: str) -> bool:
    from tsforecast.catalog.card import dataset_names

    return not Path(name).exists() and name in dataset_names()


def _words(name: str, value: Any) -> str:
    """Return an option as a command has it."""
    text = shlex.quote(",".join(map(str, value)) if isinstance(value, list) else str(value))
    option = f"--{name.replace('_', '-')}"
    return option if value is True else f"{option} {text}"


def written(data: str | None, columns: dict[str, Any], horizon: int | None) -> str:
    """Return the text of a project file: what is known of the data, and what else can be set as comments."""
    lines = [f"{key} = {_toml(columns[key])}" if key in columns else f"# {key} = {example}" for key, example in KEYS]
    further = [f"{key} = {_toml(value)}" for key, value in columns.items() if key not in dict(KEYS)]
    return TEMPLATE.format(
        data=f"data = {_toml(data)}" if data else '# data = "shops.csv"',
        columns="\n".join([*lines, *further]),
        horizon=f"horizon = {horizon}" if horizon else "# horizon = 14",
    )


def _toml(value: Any) -> str:
    """Return a value as TOML has it, which has JSON's texts, numbers, lists and booleans."""
    return json.dumps(value, ensure_ascii=False)


KEYS = (
    ("time", '"day"          # column of time stamps'),
    ("id", '"shop"           # column that names the series'),
    ("target", '"sales"      # column to forecast, or several: ["sales", "visitors"]'),
    ("past", '["visitors"]   # columns known up to now'),
    ("future", '["price"]    # columns known ahead'),
    ("group", '"owner"       # column of groups that are left out whole'),
    ("frequency", '"D"       # step between time stamps'),
    ("season", "7           # steps in a season"),
    ("nan", '"forward_fill"  # or mask, drop_series'),
    ("fill_gaps", "true     # insert missing time stamps"),
    ("date_format", '"%d.%m.%Y"'),
)
TEMPLATE = """\
# Options that the commands of this folder share. Options of a command line take precedence; a line that begins with
# # has no effect. Each option of a command that reads data can be set here, under the name that its --help shows.

# A CSV, Excel or Parquet file, or the name of a dataset (tsforecast datasets lists them).
{data}

# Columns of the file and how it is cleaned; tsforecast check shows how it is read.
{columns}

# Steps to forecast.
{horizon}

# Folder for results: leaderboard, classify, tune, and model, which predict and inspect read.
out = "results"

# Options of one command stand in a table of its name, below all others.
[leaderboard]
# models = ["naive", "seasonal-naive", "ets", "gru"]
# recipe = "best"

[fit]
# model = "gru"

[predict]
# interval = [80, 95]
"""
