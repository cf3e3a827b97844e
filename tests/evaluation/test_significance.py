"""Tests and intervals agree with published values, with slow twins, and with simulations of nothing at all."""

from __future__ import annotations

import math

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests
from statsmodels.tsa.arima.model import ARIMA
from statsmodels.tsa.exponential_smoothing.ets import ETSModel

from tsforecast.errors import DataError
from tsforecast.evaluation.significance import diebold_mariano, holm, skill_interval

# Users on a server, one number a minute: R's datasets::WWWusage [Makridakis, Wheelwright and Hyndman 1998].
WWW_USAGE = np.array(
    [
        "88",
        "84",
        "85",
        "85",
        "84",
        "85",
        "83",
        "85",
        "88",
        "89",
        "91",
        "99",
        "104",
        "112",
        "126",
        "138",
        "146",
        "151",
        "150",
        "148",
        "147",
        "149",
        "143",
        "132",
        "131",
        "139",
        "147",
        "150",
        "148",
        "145",
        "140",
        "134",
        "131",
        "131",
        "129",
        "126",
        "126",
        "132",
        "137",
        "140",
        "142",
        "150",
        "159",
        "167",
        "170",
        "171",
        "172",
        "172",
        "174",
        "175",
        "172",
        "172",
        "174",
        "174",
        "169",
        "165",
        "156",
        "142",
        "131",
        "121",
        "112",
        "104",
        "102",
        "99",
        "99",
        "95",
        "88",
        "84",
        "84",
        "87",
        "89",
        "88",
        "85",
        "86",
        "89",
        "91",
        "91",
        "94",
        "101",
        "110",
        "121",
        "135",
        "145",
        "149",
        "156",
        "165",
        "171",
        "175",
        "177",
        "182",
        "193",
        "204",
        "208",
        "210",
        "215",
        "222",
        "228",
        "226",
        "222",
        "220",
    ],
    dtype=float,
)


def test_the_example_of_r_s_dm_test_gives_its_statistic() -> None:
    # Damped smoothing with the parameters that ets() prints; it estimates them a little differently in each version.
    smoothed = ETSModel(WWW_USAGE, error="add", trend="add", damped_trend=True)
    smoothed = smoothed.smooth([0.9999, 0.9966, 0.815, 90.3516, -1.7193]).resid
    arima = ARIMA(WWW_USAGE, order=(1, 1, 1)).fit()
    shocks = arima.filter_results.standardized_forecasts_error[0] * np.sqrt(arima.params[-1])
    # ?dm.test of forecast 8.24: RMSE 3.40781 and 3.113754, DM = 1.9078, p-value = 0.05932.
    assert np.sqrt((smoothed**2).mean()) == pytest.approx(3.40781, rel=3e-3)
    assert np.sqrt((shocks**2).mean()) == pytest.approx(3.113754, rel=1e-4)
    statistic, chance = diebold_mariano(smoothed**2, shocks**2)
    assert statistic == pytest.approx(1.9078, abs=0.06)
    assert 2 * (1 - chance) == pytest.approx(0.05932, abs=0.008)


def slow(moves: np.ndarray, overlap: int) -> float:
    n, mean = len(moves), sum(moves) / len(moves)
    gamma = [sum((moves[t] - mean) * (moves[t - lag] - mean) for t in range(lag, n)) / n for lag in range(overlap)]
    variance = (gamma[0] + 2 * sum(gamma[1:])) / n
    return mean / variance**0.5 * ((n + 1 - 2 * overlap + overlap * (overlap - 1) / n) / n) ** 0.5


@pytest.mark.parametrize("overlap", [1, 2, 3])
@pytest.mark.parametrize("n", [10, 50])
def test_the_statistic_equals_its_formula(n: int, overlap: int) -> None:
    random = np.random.default_rng(n + overlap)
    noise = np.convolve(random.normal(size=n + 5), np.ones(3), mode="valid")[:n]
    first, second = noise + 0.3, np.zeros(n)
    assert diebold_mariano(first, second, overlap)[0] == pytest.approx(slow(noise + 0.3, overlap))
    there, back = diebold_mariano(first, second, overlap), diebold_mariano(second, first, overlap)
    assert (there[0], there[1]) == pytest.approx((-back[0], 1 - back[1]))


def test_a_variance_that_would_be_negative_is_that_of_a_bartlett_window() -> None:
    moves = np.tile([1.0, -1.0], 6) + 0.1
    statistic, chance = diebold_mariano(moves, np.zeros(12), 2)
    assert np.cov(moves, bias=True) + 2 * ((moves - 0.1)[1:] @ (moves - 0.1)[:-1]) / 12 < 0
    assert math.isfinite(statistic)
    assert 0.5 < chance < 1


def test_equal_moves_are_certain_and_no_moves_are_even() -> None:
    assert diebold_mariano(np.zeros(8), np.ones(8)) == (-math.inf, 0.0)
    assert diebold_mariano(np.ones(8), np.zeros(8)) == (math.inf, 1.0)
    assert diebold_mariano(np.ones(8), np.ones(8)) == (0.0, 0.5)
    assert math.isnan(diebold_mariano([1.0], [2.0])[1])


def test_holm_equals_statsmodels() -> None:
    chances = np.random.default_rng(0).uniform(size=20) ** 3
    assert np.allclose(holm(chances.tolist()), multipletests(chances, method="holm")[1])
    assert holm([0.01, math.nan, 0.04]) == [0.02, 1.0, 0.04]


def equal_models(cutoffs: int, overlap: int, series: int, random: np.random.Generator) -> list[np.ndarray]:
    """Losses of two models of the same quality whose errors hang together over `overlap` cutoffs."""
    noise = random.normal(size=(2, series, cutoffs + overlap))
    means = np.lib.stride_tricks.sliding_window_view(noise, overlap, axis=2)[:, :, :cutoffs].mean(axis=3)
    return list(np.abs(means))


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("cutoffs", "overlap", "series"),
    [(24, 1, 1), (60, 6, 1), (24, 4, 1), (12, 1, 10)],
)
def test_equal_models_are_told_apart_no_more_often_than_promised(cutoffs: int, overlap: int, series: int) -> None:
    random, draws = np.random.default_rng(0), 2_000
    covered = claimed = 0
    for _ in range(draws):
        own, other = equal_models(cutoffs, overlap, series, random)
        found = skill_interval(own, other, overlap)
        covered += found.low <= 0 <= found.high
        claimed += found.low > 0 and diebold_mariano(own.mean(axis=0), other.mean(axis=0), overlap)[1] < 0.05
    assert covered / draws > 0.93  # 95 % less three standard errors
    assert claimed / draws < 0.05


@pytest.mark.thorough
def test_a_gain_is_covered_and_found_as_often_as_promised() -> None:
    random, draws = np.random.default_rng(1), 500
    covered = found_it = 0
    needed = np.mean([skill_interval(*equal_models(40, 1, 1, random)).detectable for _ in range(50)])
    for _ in range(draws):
        own, other = equal_models(40, 1, 1, random)
        found = skill_interval(own * (1 - needed), other)
        covered += found.low <= needed <= found.high
        found_it += found.low > 0 and diebold_mariano((own * (1 - needed))[0], other[0])[1] < 0.05
    assert covered / draws > 0.92
    assert found_it / draws > 0.78  # four of five; more, since a model that errs less varies less


def test_series_without_a_cutoff_count_with_those_they_have() -> None:
    random = np.random.default_rng(0)
    other = 1 + random.random((4, 30))
    own = 0.7 * other
    own[0, :10] = np.nan
    found = skill_interval(own, other)
    assert found.value == pytest.approx(0.3)
    assert found.low == pytest.approx(0.3)


def test_more_cutoffs_make_a_shorter_interval_and_copies_of_a_series_do_not() -> None:
    random = np.random.default_rng(2)
    own, other = equal_models(80, 1, 1, random)
    reach = [
        found.high - found.value for found in (skill_interval(own[:, :20], other[:, :20]), skill_interval(own, other))
    ]
    assert reach[1] < 0.7 * reach[0]
    copies, alone = skill_interval(np.tile(own, (9, 1)), np.tile(other, (9, 1))), skill_interval(own, other)
    assert (copies.low, copies.high) == pytest.approx((alone.low, alone.high))


def test_one_number_has_no_interval() -> None:
    with pytest.raises(DataError, match="an interval needs several cutoffs or series: there is one of each"):
        skill_interval([[1.0]], [[2.0]])
