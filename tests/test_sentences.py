"""Sentences about parameters and names, as they are shown."""

from __future__ import annotations

import pytest

from tsforecast.checks import between, flag, jobs, one_of, share_or_count, whole
from tsforecast.errors import Problem, Row, guess, likewise, nearest, reason, shorten
from tsforecast.estimators.registry import MODEL_NAMES


@pytest.mark.parametrize(
    ("problems", "sentence"),
    [
        (whole("horizon", 0, 1), "horizon must be a whole number >= 1: got 0"),
        (
            jobs("n_jobs", 0),
            "n_jobs must be a whole number of processes, or -1 for one on each core, -2 for one less, ...: got 0",
        ),
        (between("dropout", 1.5, 0, 1), "dropout must be a number in [0, 1): got 1.5"),
        (
            share_or_count("validation", "20%", [None]),
            "validation must be a share in (0, 1), a whole number >= 1 or None: got '20%'",
        ),
        (flag("residual", "yes"), "residual must be True or False: got 'yes'"),
        (one_of("cell", "grru", ["gru", "lstm"]), "cell must be one of 'gru', 'lstm': got 'grru'; did you mean 'gru'?"),
        (
            one_of("norm", "none", ["layer"], [None]),
            "norm must be one of 'layer', None: got 'none'; did you mean None?",
        ),
    ],
)
def test_a_check_describes_the_value_that_cannot_work(problems: list[str], sentence: str) -> None:
    assert problems == [sentence]


def test_a_check_of_a_value_that_works_has_no_problem() -> None:
    assert jobs("n_jobs", -3) == whole("step", None, 1, [None]) == one_of("cell", "gru", ["gru"]) == []


def test_the_closest_name_is_suggested_whatever_its_case() -> None:
    assert nearest("grru", ["gru", "lstm"]) == "did you mean 'gru'?"
    assert nearest("LSTM", ["gru", "lstm"]) == "did you mean 'lstm'?"
    assert nearest("zzz", ["gru", "lstm"]) == "choose from 'gru', 'lstm'"
    assert nearest("zzz", MODEL_NAMES).endswith(", 'lstm', 'conv1d'")  # none is left out
    assert guess("none", ["layer", None]) == "did you mean None?"
    assert guess("zzz", ["gru", "lstm"]) == ""


def test_long_lists_are_counted() -> None:
    assert shorten(["a", "b", "c", "d"], 2) == "a, b and 2 more"
    assert likewise(["a", "b", "c"], 9) == " (and 2 more of 9 series likewise)"
    assert likewise(["a"], 9) == ""


def test_an_error_of_the_system_is_named_without_its_number() -> None:
    assert reason(FileNotFoundError(2, "No such file or directory", "a.csv")) == "No such file or directory"


def test_references_of_a_problem_are_replaced_for_another_interface() -> None:
    problem = Problem("must hold", ("not in ", Row(3)))
    assert problem.map(lambda part: f"line {part.number + 2}" if isinstance(part, Row) else part) == (
        "must hold: not in line 5"
    )
