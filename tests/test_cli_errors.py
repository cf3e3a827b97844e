"""Errors have fields: the library and the command line show the same problem, each in its own words."""

from __future__ import annotations

import ast
import copy
import inspect
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import tsforecast
from tests.helpers.commands import tsforecast as tsforecast_command
from tsforecast import GRUForecaster, Panel
from tsforecast.checks import between, flag, jobs, one_of, share_or_count, whole
from tsforecast.cli.files import lines_of
from tsforecast.cli.options import NetworkOptions, expand_options
from tsforecast.cli.wording import ALIKE, FLAGS, PHRASES, RENAMED, as_option
from tsforecast.errors import (
    Argument,
    DataError,
    Parameter,
    ParameterError,
    Phrase,
    Problem,
    Row,
    UnknownNameError,
)
from tsforecast.search.space import Space

PACKAGE = Path(tsforecast.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize(
    ("part", "library", "option"),
    [
        (Argument("fill_gaps", True, "pass"), "pass fill_gaps=True", "pass --fill-gaps"),
        (Parameter("nan_policy"), "nan_policy", "--nan"),
        (Argument("nan_policy", "forward_fill", "pass"), "pass nan_policy='forward_fill'", "pass --nan forward_fill"),
        (Argument("id", "a store"), "id='a store'", "--id 'a store'"),
        (Argument("target", ["a", "b c"]), "target=['a', 'b c']", "--target 'a,b c'"),
        (Argument("frequency"), "frequency=...", "--frequency ..."),
        (Argument("future", ""), "future=", "--future"),
        (Argument("resume", "auto", "use"), "use resume='auto'", "use --resume"),
        (Argument("season_length"), "season_length=...", "--season ..."),
        (Parameter("min_past"), "min_past", "--min-past"),
        (Phrase("the frame", "data"), "the frame", "the file"),
        (Phrase("the context", "context"), "the context", "the file of --data"),
    ],
)
def test_keywords_of_the_library_become_options(part: Argument, library: str, option: str) -> None:
    assert str(part) == library
    assert as_option(part) == option


def test_what_no_option_stands_for_stays_as_it_is() -> None:
    for part in (Row(3), Parameter("pooling"), Argument("groups")):
        assert as_option(part) == part
    assert as_option(Argument("target", [...])) == "--target ..."
    assert as_option(Argument("give_up", False)) == "--all-trials"


def test_each_option_of_a_message_exists() -> None:
    import typer

    from tsforecast.cli.app import app

    group = typer.main.get_command(app)
    options = {word for command in group.commands.values() for param in command.params for word in param.opts}  # type: ignore[attr-defined]
    shown = {as_option(Parameter(name)) for name in (*RENAMED, *ALIKE)}
    assert shown <= options
    assert set(FLAGS) <= {*ALIKE, *RENAMED}


@pytest.mark.thorough
def test_each_phrase_of_the_library_has_words_on_the_command_line() -> None:
    keys = {
        call.args[1].value
        for path in SOURCES
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Phrase"
        if isinstance(call.args[1], ast.Constant)
    }
    assert keys == set(PHRASES)


@pytest.mark.parametrize(
    "found",
    [
        whole("size", 0, 1),
        between("size", 2, 0, 1),
        between("size", 2, 0, 1, part=" of a part"),
        share_or_count("size", "a"),
        flag("size", "a"),
        one_of("size", "a", ["b"]),
        jobs("size", 0),
    ],
)
def test_checks_name_the_parameter(found: list[str]) -> None:
    (problem,) = map(Problem.of, found)
    assert problem.parameter == "size"
    assert problem.startswith("size ")
    assert "".join(map(str, problem.got)).startswith("got ")


def test_an_array_beside_a_text_option_is_refused_as_one_value() -> None:
    found = whole("window", np.array([3, 4]), 1, ["auto"])
    assert found == ["window must be a whole number >= 1 or 'auto': got array([3, 4])"]
    assert whole("window", np.int64(3), 1, ["auto"]) == whole("window", "auto", 1, ["auto"]) == []


def test_processes_are_counted_as_in_scikit_learn() -> None:
    must = "n_jobs must be a whole number of processes, or -1 for one on each core, -2 for one less, ...: got "
    wrong = [True, False, 0, 1.0, "2"]
    assert [jobs("n_jobs", value) for value in wrong] == [[f"{must}{value!r}"] for value in wrong]
    assert not any(jobs("n_jobs", value) for value in (None, 1, np.int64(4), -1, -2))


def test_problems_keep_their_fields_through_errors_pickles_and_copies() -> None:
    problem = Problem(
        "must keep order", ("not in ", Row(12)), Argument("sort", True, "pass"), parameter="time", series="a"
    )
    error = DataError([problem, "another sentence"])
    for other in (error, pickle.loads(pickle.dumps(error)), copy.deepcopy(error)):
        first, second = other.problems
        assert first == "time must keep order: not in row 12; pass sort=True"
        assert (first.parameter, first.series, first.row) == ("time", "a", 12)
        assert first.references == [Parameter("time"), Row(12), Argument("sort", True, "pass")]
        assert (second, second.parameter, second.row, second.references) == ("another sentence", None, None, [])
    assert str(UnknownNameError(problem)) == problem


def test_words_around_a_problem_leave_its_fields() -> None:
    problem = Problem("must be >= 1", "got 0", parameter="max_epochs").within("gru: ", " (of the forecaster)")
    assert problem == "gru: max_epochs must be >= 1: got 0 (of the forecaster)"
    assert problem.parameter == "max_epochs"
    assert problem.map(as_option) == "gru: --epochs must be >= 1: got 0 (of the forecaster)"
    assert Problem("alone").within(after=" x") == "alone x"


def test_a_row_that_is_quoted_is_no_row(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("n,text\n1,row 1\n\n2,b\n")
    with pytest.raises(DataError) as caught, lines_of(path):
        raise DataError(Problem("must hold numbers", (Row(1), " holds 'row 1'")))
    assert str(caught.value) == "must hold numbers: line 3 holds 'row 1'"


def test_problems_of_data_name_series_row_and_remedy() -> None:
    dates = pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-02", "2024-01-03"])
    with pytest.raises(DataError) as caught:
        Panel.from_frame(pd.DataFrame({"shop": "a", "day": dates, "sales": [1.0, 2, 3, 4]}))
    (problem,) = caught.value.problems
    assert (problem.series, problem.row) == ("a", 2)
    assert Argument("duplicates", "last", "pass") in problem.remedy
    assert "pass --duplicates last" in problem.map(as_option)


def test_of_a_space_only_problems_of_the_parameter_that_is_tried_count() -> None:
    space = Space.of({"layers": [0, 1]}, season_length=1)
    (problem,) = space.problems(GRUForecaster(units=0), longest=100)
    assert problem == "layers must be a whole number >= 1: got 0 (of the space)"
    with pytest.raises(ParameterError) as caught:
        GRUForecaster(units=0).fit([1.0, 2.0, 3.0])
    assert [problem.parameter for problem in caught.value.problems] == ["units"]


@pytest.mark.long
def test_no_code_reads_a_message() -> None:
    """No pattern, prefix or substring is looked for in problems, or in errors of our own."""
    assert [found for path in SOURCES for found in _readings(path.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize(
    "line",
    [
        "x = re.sub(pattern, words, problem)",
        "x = [p for problem in error.problems if problem.startswith(name)]",
        "x = ROW.findall(problem)",
        "x = PATTERN.sub('', str(error.problems[0]))",
        "x = 'row' in problem",
        "x = problem.split(':')",
        "x = hint.startswith('did')",
    ],
)
def test_code_that_reads_a_message_is_found(line: str) -> None:
    assert len(_readings(line)) == 1


READS = ("sub", "search", "match", "fullmatch", "findall", "finditer", "split", "partition", "replace")
READS_START = ("startswith", "endswith", "removeprefix", "removesuffix")


def _readings(source: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source)):
        read: list[ast.expr] = []
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr in READS:
                read = [node.func.value, *node.args]
            elif node.func.attr in READS_START:
                read = [node.func.value]
        elif isinstance(node, ast.Compare) and isinstance(node.ops[0], (ast.In, ast.NotIn)):
            read = [node.left, *node.comparators] if isinstance(node.left, ast.Constant) else []
        names = {name for part in read for name in _names(part)}
        if names & {"problem", "problems"} or ("hint" in names and "startswith" in ast.unparse(node)):
            found.append(ast.unparse(node))
    return found


def _names(node: ast.expr) -> set[str]:
    return {getattr(part, "id", None) or getattr(part, "attr", "") for part in ast.walk(node)}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["fit", "--model", "naive", "--window", "5"], "--window must be left out: naive has no such setting"),
        (["leaderboard", "--models", "ets,mean", "--epochs", "5"], "--epochs must be left out: ets, mean have no such"),
        (["fit", "--horizon", "200"], "has 109 (309 less 200 for validation); use --horizon <= 127\n"),
        (["fit", "--horizon", "320"], "shortest has 309 steps; use --horizon <= 77, or give longer series\n"),
        (["audit", "--cutoffs", "90", "--model", "mean"], "need 991 steps, the data have 309; use --cutoffs <= 28\n"),
        (["fit", "--recipe", "nice"], "for '--recipe': 'nice' is not one of 'fast', 'default', 'best'; tsforecast"),
        (
            ["leaderboard", "--address", "127.0.0.1:1"],
            "--address must be that of a ray cluster that runs: '127.0.0.1:1' ",
        ),
        (["tune", "--folds", "3"], "--folds must be left out without --label: forecasts are tested at cutoffs"),
    ],
)
def test_options_that_cannot_work_are_refused(words: list[str], sentence: str, tmp_path: Path) -> None:
    command, *options = words
    out = [] if command == "audit" else ["--out", tmp_path / "out"]
    result = tsforecast_command(command, "sunspots-yearly", *options, *out)
    assert result.returncode == 2
    assert sentence in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_error_without_problems_is_one_all_the_same() -> None:
    for empty in (DataError([]), ParameterError(()), UnknownNameError([])):
        assert (empty.problems, str(empty)) == ((), "")


def test_a_command_takes_the_fields_of_its_dataclasses_as_options() -> None:
    given: list[object] = []

    @expand_options
    def fit(data: str, network: NetworkOptions, model: str = "gru") -> None:
        given.extend([data, model, network.settings()])

    names = "data model epochs seed device verbose loss recipe window validation_origins project context"
    assert " ".join(inspect.signature(fit).parameters) == names
    unasked = dict.fromkeys(["epochs", "device", "verbose", "loss", "recipe", "validation_origins"])
    fit(data="a.csv", model="rnn", window=3, seed=0, **unasked)
    assert given == ["a.csv", "rnn", {"window": 3, "random_state": 0}]


@pytest.mark.parametrize("name", ["fast", "default", "best"])
def test_a_recipe_on_the_command_line_has_the_settings_of_the_library(name: str) -> None:
    settings = dict(GRUForecaster.recipes()[name].settings)
    given = NetworkOptions(recipe=name, window=3).settings()  # type: ignore[arg-type]
    assert given == settings | {"window": 3, "random_state": 0}


@pytest.mark.parametrize("words", [("--horizon", "ten"), ("--horizon=ten",)])
def test_an_option_that_is_no_number_is_refused_in_a_sentence(words: tuple[str, ...]) -> None:
    found = tsforecast_command("fit", "co2-weekly", "--out", "m", *words)
    assert (found.returncode, found.stderr) == (2, "Error: --horizon must be a whole number: got 'ten'\n")
