"""Distributions from residuals: coverage of the naive family, spreads of theory, and the scale of each past."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import t
from sklearn.base import clone

from tsforecast import ETSForecaster, ReductionForecaster
from tsforecast.data.context import Context, held_out
from tsforecast.data.panel import Panel
from tsforecast.data.scaling import seasonal_scale
from tsforecast.distributions.base import LEVELS
from tsforecast.distributions.residuals import HistoryResiduals, scales
from tsforecast.errors import DataError
from tsforecast.estimators.registry import NAIVE_FAMILY, make
from tsforecast.forecasters.base import Forecaster
from tsforecast.forecasters.naive import (
    DriftForecaster,
    MeanForecaster,
    NaiveForecaster,
    SeasonalNaiveForecaster,
    WindowAverageForecaster,
)

HORIZON = 12


def seasonal_walk(moves: np.ndarray) -> np.ndarray:
    return moves.reshape(-1, 12).cumsum(axis=0).ravel()


def season_with_noise(moves: np.ndarray) -> np.ndarray:
    return 3 * np.sin(np.arange(len(moves)) * 2 * np.pi / 12) + moves


SIMULATED = {
    "noise": (lambda moves: 5 + moves, 1, MeanForecaster),
    "noise around the last value": (lambda moves: 5 + moves, 1, NaiveForecaster),
    "noise around a window": (lambda moves: 5 + moves, 1, WindowAverageForecaster),
    "walk": (np.cumsum, 1, NaiveForecaster),
    "walk with drift": (lambda moves: np.cumsum(0.3 + moves), 1, DriftForecaster),
    "seasonal walk": (seasonal_walk, 12, SeasonalNaiveForecaster),
    "season with noise": (season_with_noise, 12, SeasonalNaiveForecaster),
    "skewed noise": (np.exp, 1, MeanForecaster),
}
DRAWS = {60: 400, 204: 300, 996: 200}


def cases() -> list[object]:
    every = [(kind, steps) for kind in SIMULATED for steps in DRAWS]
    every.remove(("skewed noise", 60))  # 60 values show no skewness: their intervals are too wide
    marks = {60: [pytest.mark.thorough], 204: [pytest.mark.slow], 996: [pytest.mark.slow]}
    return [pytest.param(*case, marks=marks[case[1]]) for case in every]


@pytest.mark.parametrize(("kind", "steps"), cases())
def test_intervals_of_the_naive_family_hold_as_many_outcomes_as_asked(kind: str, steps: int) -> None:
    values_of, season, model = SIMULATED[kind]
    held = [coverage(values_of, season, model(horizon=HORIZON), steps, seed) for seed in range(DRAWS[steps])]
    assert np.mean(held, axis=0) == pytest.approx([0.8, 0.95], abs=0.03)


def coverage(
    values_of: Callable[[np.ndarray], np.ndarray], season: int, model: Forecaster, steps: int, seed: int
) -> list[float]:
    y = values_of(np.random.default_rng(seed).normal(size=steps + HORIZON))
    ends = model.fit(Panel.from_array(y[:steps], season_length=season)).predict(interval=[0.8, 0.95])
    return [float(np.mean((ends[:, at] <= y[steps:]) & (y[steps:] <= ends[:, at + 1]))) for at in (1, 3)]


@pytest.mark.parametrize(
    ("model", "growth"),
    [
        (NaiveForecaster(), lambda h: np.sqrt(h)),
        (SeasonalNaiveForecaster(season_length=4), lambda h: np.sqrt((h - 1) // 4 + 1)),
        (DriftForecaster(), lambda h: np.sqrt(h * (1 + h / 29))),
        (MeanForecaster(), np.ones_like),
        (WindowAverageForecaster(window=5), np.ones_like),
    ],
)
def test_steps_without_errors_are_as_wide_as_theory_has_them(
    model: Forecaster, growth: Callable[[np.ndarray], np.ndarray]
) -> None:
    model = model.set_params(horizon=60).fit(Panel.from_array(np.random.default_rng(3).normal(size=30).cumsum()))
    ends = model.predict(interval=0.8)
    width = ends[30:, 2] - ends[30:, 1]
    assert width / width[0] == pytest.approx(growth(np.arange(31.0, 61.0)) / growth(np.array([31.0])), rel=1e-9)


def test_a_sample_of_independent_errors_counts_in_full_and_overlapping_ones_less() -> None:
    y = np.random.default_rng(0).normal(size=500)
    walk, mean = Panel.from_array(y.cumsum()), Panel.from_array(y)
    of_walk = NaiveForecaster(horizon=30).fit(walk)
    of_mean = MeanForecaster(horizon=30).fit(mean)
    for model in (of_walk, of_mean):
        model.distribution(Context.at_end(model.panel_), 30)
    assert isinstance(of_walk._residuals, HistoryResiduals)
    assert isinstance(of_mean._residuals, HistoryResiduals)
    counts = (~np.isnan(of_walk._residuals.errors)).sum(axis=0)[:, 0]
    shares = [model._residuals.independent[:, 0] / counts for model in (of_walk, of_mean)]
    # r = 1 - lag / step of a random walk: 1 + 2 sum r^2 is about 1 + 2 (step / 3 - 1 / 2).
    assert shares[0][[0, 9, 29]] == pytest.approx([1, 1 / (10 * 2 / 3), 1 / 20], rel=0.3)
    assert shares[1][[0, 9, 29]] == pytest.approx([1, 1, 1], abs=0.2)


def test_few_independent_errors_have_the_quantiles_of_student_and_too_few_those_of_the_step_before() -> None:
    errors = np.random.default_rng(0).exponential(size=(80, 4, 1))
    found = HistoryResiduals(errors, np.array([[80.0], [10.0], [4.0], [3.9]])).quantiles(5)[:, 0]
    assert found[0] == pytest.approx(np.quantile(errors[:, 0], LEVELS, method="weibull"))
    for step, count in ((1, 10), (2, 4)):
        assert found[step] == pytest.approx(np.sqrt((errors[:, step] ** 2).mean()) * t.ppf(LEVELS, count))
    assert (found[3:] == found[2]).all()


@pytest.mark.parametrize("name", NAIVE_FAMILY)
def test_the_naive_family_learns_nothing_and_is_not_fitted_again(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make(name, horizon=3).fit(np.random.default_rng(0).normal(size=40))
    monkeypatch.setattr(type(model), "fit", None)
    assert np.diff(model.predict(quantiles=[0.1, 0.5, 0.9])[:, 1:], axis=1).min() > 0


def test_a_constant_start_does_not_widen_intervals_at_the_end() -> None:
    y = np.r_[np.zeros(40), np.random.default_rng(0).normal(size=40)]
    ends = NaiveForecaster(horizon=3).fit(y).predict(interval=0.95)
    assert (ends[:, 2] - ends[:, 1] < 12).all()  # a normal one has 5.5


@pytest.mark.parametrize("name", ["naive", "mean"])
def test_a_step_has_one_distribution_at_whatever_horizon_it_is_asked_for(name: str) -> None:
    walk = np.cumsum(np.random.default_rng(1).normal(size=200))
    model = make(name, horizon=4).fit(walk)
    before = model.predict(horizon=20, interval=0.8)
    far = model.predict(horizon=100, interval=0.8)
    assert np.array_equal(far[:20], before)
    assert np.array_equal(model.predict(horizon=20, interval=0.8), before)


def test_one_step_shows_no_error() -> None:
    with pytest.raises(DataError, match=r"must have errors to show: no series has a step behind its first 1; give lon"):
        NaiveForecaster().fit(np.array([1.0])).predict(interval=0.8)


def test_cutoffs_near_the_end_have_the_truth_that_there_is() -> None:
    panel = Panel.from_array([np.arange(6.0), np.arange(10.0, 14.0)])
    past, truth = held_out(panel, np.array([4, 3]), 3, least=1)
    assert past.lengths.tolist() == [4, 5, 3]
    assert np.array_equal(truth[..., 0], [[4, 5, np.nan], [5, np.nan, np.nan], [13, np.nan, np.nan]], equal_nan=True)


def test_the_scale_of_every_past_is_its_seasonal_naive_error() -> None:
    draw = np.random.default_rng(0)
    series = [np.where(draw.random(80) < 0.2, np.nan, draw.normal(size=80)) for _ in range(5)]
    panel = Panel.from_array(series, season_length=7, nan_policy="mask")
    chosen, seen = draw.integers(0, 5, 60), draw.integers(3, 80, 60)
    past = Context(panel, chosen, seen, np.minimum(seen - 2, np.where(draw.random(60) < 0.5, 0, 6)))
    each = [[seasonal_scale(past.history(i)[:, 0], 7)[0]] for i in range(60)]
    assert scales(past, 7) == pytest.approx(np.nan_to_num(each), rel=1e-12)


@pytest.mark.parametrize("model", [SeasonalNaiveForecaster(4), ETSForecaster(4), ReductionForecaster(horizon=4)])
def test_no_quantile_is_negative_where_no_number_is(model: Forecaster) -> None:
    sales = np.random.default_rng(0).poisson(0.7, size=120).astype(float)
    found = clone(model).fit(sales).predict(interval=0.95)
    assert found[:, 1].min() == 0.0
    below = clone(model).fit(sales - 1).predict(interval=0.95)
    assert below[:, 1].min() < -1.0  # what may be negative, may be lower than all that was
