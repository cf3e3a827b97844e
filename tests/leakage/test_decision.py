"""When a difference is a leak, noise or rounding: on numbers made up for each case."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest

from tests.helpers.forecasters import wave
from tsforecast import audit_procedure
from tsforecast.leakage.decision import (
    LEVEL,
    Features,
    draw_until_clear,
    is_rounding,
    p_values,
    rounding,
    same,
    stands_out,
)

EPS = np.finfo(np.float64).eps


def runs(*values: Any) -> list[dict[str, Any]]:
    return [{"forecast": np.array(value)} for value in values]


def test_columns_are_what_differs_between_runs() -> None:
    found = Features.of(
        [
            {"same": np.ones(3), "two": np.array([[1.0, 2.0], [3.0, 4.0]]), "text": np.array("a"), "odd": np.ones(1)},
            {"same": np.ones(3), "two": np.array([[1.0, 2.0], [3.0, 9.0]]), "text": np.array("a")},
            {"same": np.ones(3), "two": np.array([[1.0, np.nan], [3.0, 4.0]]), "text": np.array("b")},
            {"same": np.ones(3), "two": np.array([[1.0, np.inf], [3.0, 4.0]]), "text": np.array("c")},
        ]
    )
    columns = list(zip(found.names, found.places, found.kinds, found.values.T.tolist(), strict=True))
    assert columns == [
        ("two", (1, 1), "number", [4, 9, 4, 4]),
        ("two", (0, 1), "blank", [0, 0, 1, 0]),
        ("two", (0, 1), "blank", [0, 0, 0, 1]),
        ("text", (), "whole", [1, 1, 0, 0]),
        ("odd", (), "whole", [0, 1, 1, 1]),
    ]
    assert same(runs([1.0, np.nan], [1.0, np.nan]))
    assert not same(runs([1.0], [1.0 + EPS]))


def test_the_p_value_is_that_of_all_divisions_into_halves() -> None:
    values = np.random.default_rng(0).normal(size=(8, 2)) + np.repeat([[1.5], [0.0]], 4, axis=0)
    found = p_values(Features.of(runs(*values)))

    def gap(first: tuple[int, ...]) -> np.ndarray:
        one, other = values[list(first)], np.delete(values, first, axis=0)
        return np.abs(one.mean(axis=0) - other.mean(axis=0)) / values.std(axis=0)

    divided = [gap(first) for first in combinations(range(8), 4)]
    exact = np.mean([np.max(one) >= divided[0] - 1e-12 for one in divided], axis=0)
    assert found == pytest.approx(exact, abs=0.02)  # of 4999 permutations
    apart = p_values(Features.of(runs(*([1.0, k] for k in range(8)), *([2.0, k] for k in range(8)))))
    assert apart[0] <= LEVEL  # a number that is one of two, each on one side
    assert apart[1] == 1.0


@pytest.mark.thorough
def test_equal_runs_seldom_seem_to_differ_whatever_their_noise() -> None:
    random = np.random.default_rng(0)
    noises = {
        "one of two": lambda: random.integers(2, size=1).astype(float),
        "one of two, seldom the other": lambda: (random.random(1) < 0.15).astype(float),
        "one of a list": lambda: random.choice([3.0, 1.0, 4.0, 1.5], 1),
        "heavy tails": lambda: random.standard_cauchy(20),
        "many numbers": lambda: random.normal(size=100),
        "rounding": lambda: 100 + EPS * random.integers(3, size=5),
    }
    for name, noise in noises.items():

        def draw(noise: Any = noise) -> dict[str, Any]:
            return {"forecast": noise()}

        accused = 0
        for _ in range(40):
            before, first = [draw() for _ in range(8)], draw()
            accused += stands_out(before, first) and bool(draw_until_clear(draw, draw, before, first)[2].any())
        assert accused == 0, name


@pytest.mark.thorough
def test_a_difference_beyond_the_noise_is_found_in_one_of_many_numbers_or_in_half_of_the_runs() -> None:
    random = np.random.default_rng(0)

    def clean() -> dict[str, Any]:
        return {"forecast": random.normal(size=100)}

    def in_one_place() -> dict[str, Any]:
        return {"forecast": random.normal(size=100) + 12.0 * (np.arange(100) == 40)}

    def in_half_of_the_runs() -> dict[str, Any]:
        return {"forecast": random.normal(size=100) + 100.0 * (random.random() < 0.5)}

    equal, others, moved = draw_until_clear(clean, in_one_place, [clean() for _ in range(8)], in_one_place())
    columns = Features.of(equal + others)
    assert [columns.places[i] for i in np.flatnonzero(moved)] == [(40,)]
    found = [draw_until_clear(clean, in_half_of_the_runs, [clean()], clean())[2].any() for _ in range(10)]
    assert sum(found) >= 6


def test_a_run_stands_out_where_none_of_the_others_is_as_far_from_the_rest() -> None:
    assert stands_out(runs([1.0], [1.0]), {"forecast": np.array([1.0 + EPS])})
    assert stands_out(runs([1.0], [1.1], [0.9]), {"forecast": np.array([1.5])})
    assert not stands_out(runs([1.0], [1.1], [0.9]), {"forecast": np.array([1.05])})
    assert not stands_out(runs([1.0], [1.0]), {"forecast": np.array([1.0])})


def test_what_is_the_same_to_the_bit_on_each_side_is_clear_after_four_pairs() -> None:
    calls = iter(range(99))
    one, other = runs([1.0, 2.0], [1.0, 2.5])

    def draw(which: dict[str, Any]) -> dict[str, Any]:
        next(calls)
        return which

    _, _, moved = draw_until_clear(lambda: draw(one), lambda: draw(other), [one, one], other)
    assert moved.tolist() == [True]
    assert next(calls) == 8


def test_rounding_is_measured_by_the_digits_that_the_numbers_have() -> None:
    double = np.array([100.3, 7.1])
    assert rounding(double, double, 20.0) == pytest.approx(100.3 * np.sqrt(EPS) / 10)
    assert rounding(double, double, 2e7) == pytest.approx(100.3 * EPS**0.75 * 2e7)
    short = double.astype(np.float32)
    expected = float(short[0]) * float(np.finfo(np.float32).eps) ** 0.75 * 20
    assert rounding(short, short, 20.0) == pytest.approx(expected)
    assert rounding(short.astype(np.float64), short.astype(np.float64), 20.0) == pytest.approx(expected)
    # Counts fit into single precision, and are none.
    assert rounding(np.array([1e6, 3.0]), np.array([1e6 + 1, 3.0]), 20.0) < 1.0
    assert is_rounding({"a": double}, {"a": double * (1 + 1e-12)}, 20.0)
    assert not is_rounding({"a": double}, {"a": double * (1 + 1e-8)}, 20.0)
    assert not is_rounding({"a": double}, {"b": double}, 20.0)
    assert not is_rounding({"a": double}, {"a": double[:1]}, 20.0)
    assert is_rounding({"a": np.array([1.0, np.nan])}, {"a": np.array([1.0, np.nan])}, 20.0)
    assert not is_rounding({"a": np.array([1.0, 2.0])}, {"a": np.array([1.0, np.nan])}, 20.0)


@pytest.mark.parametrize("weight", [1e-3, 1e-8, 1e-10])
def test_a_leak_of_small_weight_is_found_because_it_grows_with_the_values(weight: float) -> None:
    report = audit_procedure(lambda series: series[:20] + weight * series[25], 100 + wave(40), 19)
    outcomes = report.findings.set_index("perturbation")["outcome"]
    assert "LEAK" in report.outcome, str(report)
    if weight == 1e-10:
        assert outcomes["rows after the cutoff: other values"] == "rounding"
        assert outcomes["rows after the cutoff: larger values"] == "LEAK"


def test_rounding_that_does_not_grow_is_named_so() -> None:
    """As a sum that is made in another order for other numbers."""
    series = wave(40)
    report = audit_procedure(lambda data: data[:20] * (1 + 1e-13 * (data[-1] == series[-1])), series, 19)
    assert set(report.findings["outcome"]) == {"rounding"}
    assert report.findings["perturbation"].iloc[-1] == "rows after the cutoff: larger values"
    assert 0 < report.findings["by"].max() < 1e-11
    assert report.passed
    assert "but for rounding" in report.verdict
    assert any(matter.startswith("differences by less than 1e-09") for matter in report.unseen)
