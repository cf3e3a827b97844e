from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from tsforecast import SeasonalNaiveForecaster
from tsforecast.catalog.synthetic import noisy_season
from tsforecast.distributions.base import LEVELS, Grid, assembled, interval_losses, mixture, quantile_losses
from tsforecast.distributions.predictions import asked_levels
from tsforecast.errors import ParameterError

NORMAL = Grid(np.tile(norm.ppf(LEVELS), (2, 3, 1, 1)))
Y = np.array([0.3, -2.0, 1.4, 0.0, 0.1, 1.0]).reshape(2, 3, 1)


def test_scores_and_probabilities_of_a_grid_are_those_of_the_distribution() -> None:
    closed = Y * (2 * norm.cdf(Y) - 1) + 2 * norm.pdf(Y) - 1 / np.sqrt(np.pi)
    assert NORMAL.crps(Y) == pytest.approx(closed, rel=2e-3)
    assert NORMAL.cdf(Y) == pytest.approx(norm.cdf(Y), abs=1e-3)
    assert NORMAL.quantiles([0.1, 0.123, 0.9])[1, 2, 0] == pytest.approx(norm.ppf([0.1, 0.123, 0.9]), abs=1e-3)
    assert NORMAL.mean() == pytest.approx(np.zeros((2, 3, 1)), abs=1e-12)


def test_a_point_is_a_distribution_that_is_sure() -> None:
    sure = Grid.at(Y)
    assert (sure.quantiles([0.01, 0.5, 0.99]) == Y[..., None]).all()
    assert sure.crps(Y + np.array([[1.0], [-2.0], [0.5]])) == pytest.approx(np.tile([[1.0], [2.0], [0.5]], (2, 1, 1)))
    assert (sure.cdf(Y) == 1).all()
    assert (sure.below(Y) == 0).all()


def test_a_mixture_pools_its_parts_by_their_weights() -> None:
    apart = Grid(NORMAL.values + 10)
    levels = [0.125, 0.375, 0.625, 0.875]
    equal, uneven = mixture([NORMAL, apart]), mixture([NORMAL, apart], [0.25, 0.75])
    expected = norm.ppf([0.25, 0.75, 0.25, 0.75]) + np.array([0, 0, 10, 10])
    assert equal.quantiles(levels)[0, 0, 0] == pytest.approx(expected, abs=0.02)
    assert uneven.quantiles([0.125])[0, 0, 0] == pytest.approx(norm.ppf([0.5]), abs=0.02)


def test_parts_are_assembled_by_cutoff() -> None:
    first = np.array([True, False])
    found = assembled((2, 3, 1), [(first, Grid(NORMAL.values[:1])), (~first, Grid.at(Y[1:]))])
    assert (found.values[0] == NORMAL.values[0]).all()
    assert (found.values[1] == Y[1][..., None]).all()


def test_steps_are_chosen_for_all_cutoffs_or_for_each() -> None:
    grid = Grid.at(Y)
    assert (grid.steps(slice(1, None)).median() == Y[:, 1:]).all()
    assert grid.steps(np.array([[2, 0], [1, 1]])).median()[..., 0].tolist() == [[1.4, 0.3], [0.1, 0.1]]


def test_losses_have_the_values_of_their_definition() -> None:
    assert quantile_losses([3.0, 1.0], 2.0, 0.9) == pytest.approx([0.9, 0.1])
    assert interval_losses([0.5, 2.0, -1.0], 0.0, 1.0, 0.9) == pytest.approx([1.0, 21.0, 21.0])


@pytest.mark.parametrize("quantiles", [(0.0,), (1.0,), (80,), ("a",), (None,)])
def test_levels_lie_between_0_and_1(quantiles: tuple[float]) -> None:
    with pytest.raises(ParameterError, match=r"quantiles must be between 0 and 1, such as .*: got"):
        asked_levels(quantiles, None)
    with pytest.raises(
        ParameterError, match=r"interval must be between 0 and 1, such as 0.8 .*: got 80; did you mean 0.8\?$"
    ):
        asked_levels((), 80)


@pytest.mark.long
def test_intervals_from_residuals_hold_as_many_outcomes_as_asked() -> None:
    held = []
    for seed in range(60):
        y = noisy_season(400, horizon=7, season=7, noise=0.3, seed=seed)
        ends = SeasonalNaiveForecaster(horizon=7, season_length=7).fit(y.past).predict(interval=[0.8, 0.5])
        held.append([np.mean((ends[:, at] <= y.future) & (y.future <= ends[:, at + 1])) for at in (1, 3)])
    assert np.mean(held, axis=0) == pytest.approx([0.8, 0.5], abs=0.06)


def test_rows_of_public_data_keep_the_promises() -> None:
    lines = (Path(__file__).parents[2] / "benchmarks/results/distributions.jsonl").read_text().splitlines()
    rows = pd.DataFrame([json.loads(line) for line in lines])
    shares = rows.groupby(["model", "set"])["of_seasonal_naive"].mean().unstack()
    assert shares.shape[1] == 7
    assert (shares.loc[["gru, student-t", "gru, quantile"]] < 0.9).all(axis=None)
    scores = rows.groupby(["model", "set"])["msis"].mean().unstack()["m4-hourly"]
    assert (
        scores[["gru, mae", "gru, normal", "gru, student-t", "gru, quantile"]].max() < scores["best submission of M4"]
    )
    points = rows.groupby(["model", "set"])["mase"].mean().unstack()
    higher = points.loc["gru, quantile"] / points.loc["gru, mae"]
    assert higher.drop("nyc-taxi").max() < 1.02  # 1.04 there
