"""Metrics equal their slow twins on nasty numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tsforecast.data.scaling import seasonal_scale
from tsforecast.errors import ParameterError
from tsforecast.evaluation import metrics

NASTY = [
    ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]),
    ([0.0, 0.0], [0.0, 5.0]),
    ([-3.0, 4.0, 1e9], [3.0, -4.0, 1.0]),
    ([7.0], [-7.0]),
    ([1e-300, 1e300], [2e-300, 1e300]),
    ([1.0, math.nan, 3.0], [2.0, 2.0, 5.0]),
]


def pairs(y: list[float], forecast: list[float]) -> list[tuple[float, float]]:
    return [(a, f) for a, f in zip(y, forecast, strict=True) if not math.isnan(a)]


@pytest.mark.parametrize(("y", "forecast"), NASTY)
def test_each_metric_equals_its_definition_written_out(y: list[float], forecast: list[float]) -> None:
    both = pairs(y, forecast)
    absolute = [abs(a - f) for a, f in both]
    squared = [e * e for e in absolute]
    mean = sum(absolute) / len(both)
    percent = [0.0 if a == f == 0 else 200 * abs(a - f) / (abs(a) + abs(f)) for a, f in both]
    for metric, expected in [
        ("mae", mean),
        ("rmse", sum(squared) / len(both)),
        ("smape", sum(percent) / len(both)),
        ("mase", mean / 0.3),
        ("rmsse", sum(squared) / len(both) / 0.3),
    ]:
        assert np.nanmean(metrics.losses(metric, y, forecast, 0.3)) == pytest.approx(expected)


def test_a_scale_of_zero_gives_no_number_rather_than_infinity() -> None:
    assert math.isnan(metrics.losses("mase", [1.0], [2.0], 0.0)[0])
    assert math.isnan(metrics.skill(1.0, 0.0))
    assert math.isnan(metrics.losses("mae", [math.nan], [1.0])[0])


def test_the_seasonal_scale_is_the_error_of_the_seasonal_naive_on_the_training_part() -> None:
    values = np.random.default_rng(0).normal(size=50)
    for season in (1, 7, 49):
        moves = [values[t] - values[t - season] for t in range(season, 50)]
        expected = np.mean(np.abs(moves)), np.mean(np.square(moves))
        assert seasonal_scale(values, season) == pytest.approx(expected)
    assert seasonal_scale(values, 50) == seasonal_scale(values, 1)


def test_owa_of_the_reference_is_one_and_its_skill_nothing() -> None:
    assert metrics.owa(18.383, 2.395, 18.383, 2.395) == 1.0
    assert metrics.owa(9.328, 0.893, 18.383, 2.395) == pytest.approx(0.440, abs=5e-4)  # the M4 winner, Hourly
    assert metrics.skill(2.0, 2.0) == 0.0


def test_an_unknown_metric_is_refused_and_not_taken_for_another() -> None:
    with pytest.raises(ParameterError, match=r"^metric must be one of .*: got 'mpae'; did you mean"):
        metrics.losses("mpae", [1.0], [2.0])
