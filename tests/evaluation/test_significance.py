"""Tests and intervals agree with published tests, with slow twins, and with simulations of nothing at all."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from tsforecast.evaluation.significance import (
    MAX_CUTOFFS,
    Comparison,
    _kinds,
    compare,
    holm,
    in_time,
    independent,
    least_shown,
    neighbours_averaged,
    over_users,
)


def autoregression(memory: float, shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    """Return series of variance 1 whose neighbours, along the last axis, correlate by `memory`."""
    noise = random.normal(size=shape)
    values = noise.copy()
    for t in range(1, shape[-1]):
        values[..., t] = memory * values[..., t - 1] + math.sqrt(1 - memory**2) * noise[..., t]
    return values


def rates(draws: int, memory: float, cutoffs: int, weighing: str = "time", overlap: int = 1) -> tuple[float, float]:
    """Return how often equal models differ significantly, and how often the interval holds no skill."""
    random, false, covered = np.random.default_rng(0), 0, 0
    for _ in range(draws):
        own, other = 6 + autoregression(memory, (2, cutoffs + overlap - 1), random)
        if overlap > 1:
            own, other = (np.convolve(each, np.ones(overlap) / overlap, "valid") for each in (own, other))
        found = compare(own, other, in_time(cutoffs, overlap) if weighing == "time" else independent(np.ones(cutoffs)))
        false += found.p_value < 0.05
        covered += found.low <= 0 <= found.high
    return false / draws, covered / draws


def test_independent_units_are_compared_as_in_a_t_test_of_the_differences() -> None:
    random = np.random.default_rng(1)
    other = 10 + random.normal(size=400)
    own = 0.99 * other + random.normal(size=400)
    found = compare(own, other, independent(np.ones(400)))
    tested = stats.ttest_1samp(other / other.mean() - own / own.mean() + np.log(other.mean() / own.mean()), 0)
    assert found.p_value == pytest.approx(tested.pvalue, rel=0.1)
    interval = 1 - np.exp(-np.array(tested.confidence_interval()))
    assert (found.low, found.high) == pytest.approx(tuple(interval), rel=0.02)
    assert found.skill == pytest.approx(1 - own.mean() / other.mean())


def test_without_memory_in_the_prior_cutoffs_would_be_independent(monkeypatch: pytest.MonkeyPatch) -> None:
    from tsforecast.evaluation import significance

    own, other = 6 + np.random.default_rng(2).normal(size=(2, 20))
    monkeypatch.setattr(significance, "MEMORY_WEIGHT", 1e-13)
    monkeypatch.setattr(significance, "HIDDEN_LIMIT", 1e-13)
    significance._in_time.cache_clear()
    alone = compare(own, other, in_time(20))
    significance._in_time.cache_clear()
    expected = compare(own, other, independent(np.ones(20)))
    assert (alone.low, alone.high, alone.p_value) == pytest.approx((expected.low, expected.high, expected.p_value))


@pytest.mark.parametrize("cutoffs", [5, 24, 100])
def test_kinds_of_dependence_have_probabilities(cutoffs: int) -> None:
    kinds, prior = _kinds(cutoffs)
    assert len(kinds) == len(set(kinds)) == len(prior)
    assert prior.sum() == pytest.approx(1)
    assert prior.min() > 0
    assert prior[kinds.index((0.0, 0.0))] > 0.7
    assert sum(share for share, (_, noise) in zip(prior, kinds, strict=True) if noise) < min(cutoffs / 500, 0.06)


@pytest.mark.parametrize(("memory", "noise"), [(0.0, 0.0), (0.5, 0.0), (0.8, 0.5)])
@pytest.mark.parametrize("overlap", [1, 3])
def test_the_variance_of_the_mean_is_right_where_the_dependence_is(overlap: int, memory: float, noise: float) -> None:
    n = 12
    # Shares of neighbours in each other: sums of `overlap` steps of an autoregression under noise, each step apart.
    steps = np.abs(np.subtract.outer(np.arange(n + overlap - 1), np.arange(n + overlap - 1)))
    sums = np.array([np.r_[np.zeros(i), np.ones(overlap), np.zeros(n - 1 - i)] for i in range(n)])
    correlation = sums @ np.where(steps == 0, 1.0, (1 - noise) * memory**steps) @ sums.T
    correlation /= correlation[0, 0]
    form = in_time(n, overlap).forms[_kinds(n)[0].index((memory, noise))]
    assert np.trace(form @ correlation) == pytest.approx(correlation.mean())  # unbiased
    assert np.allclose(form @ np.ones(n), 0)  # whatever the mean


def test_equal_losses_have_no_skill_and_no_doubt() -> None:
    losses = 1 + np.random.default_rng(0).random(12)
    found = compare(losses, losses, in_time(12))
    assert (found.skill, found.p_value) == (0.0, pytest.approx(1.0))
    assert max(abs(found.low), abs(found.high), found.detectable) < 1e-9


def test_models_that_change_places_change_the_sign_only() -> None:
    own, other = 5 + np.random.default_rng(0).normal(size=(2, 15))
    there, back = compare(own, other, in_time(15)), compare(other, own, in_time(15))
    assert there.p_value == pytest.approx(back.p_value)
    assert (1 - there.low) * (1 - back.high) == pytest.approx(1)
    assert (1 - there.skill) * (1 - back.skill) == pytest.approx(1)
    assert compare(3 * own, 3 * other, in_time(15)).low == pytest.approx(there.low)


def test_the_interval_holds_zero_exactly_where_the_test_does_not_reject() -> None:
    random, outcomes = np.random.default_rng(3), set()
    for _ in range(200):
        own, other = 4 + autoregression(0.4, (2, 14), random) + [[0.0], [random.normal()]]
        found = compare(own, other, in_time(14))
        assert (found.p_value < 0.05) == (not found.low <= 0 <= found.high)
        outcomes.add(found.p_value < 0.05)
    assert outcomes == {True, False}


def test_a_reference_or_a_model_without_error() -> None:
    zeros, ones = np.zeros(6), np.ones(6)
    assert compare(ones, zeros, in_time(6)).p_value == 1
    assert compare(ones, zeros, in_time(6)).skill == -math.inf
    assert compare(zeros, zeros, in_time(6)).skill == 0
    assert compare(zeros, ones, in_time(6)) == Comparison(1.0, 1.0, 1.0, 0.0, 0.0)


def test_memory_and_overlap_are_in_the_error() -> None:
    assert rates(150, 0.8, 24)[0] < 0.1
    assert rates(150, 0.8, 24, "independent")[0] > 0.3
    assert rates(150, 0.0, 24, overlap=6)[0] < 0.1
    assert rates(150, 0.0, 24, "independent", overlap=6)[0] > 0.3


@pytest.mark.thorough
@pytest.mark.parametrize("cutoffs", [10, 24, 60])
@pytest.mark.parametrize("memory", [0.0, 0.5, 0.8])
def test_intervals_cover_from_ten_cutoffs_on(cutoffs: int, memory: float) -> None:
    false, covered = rates(800, memory, cutoffs)
    assert covered > 0.92 - 2 * math.sqrt(0.92 * 0.08 / 800)
    assert false < 0.08 + 2 * math.sqrt(0.92 * 0.08 / 800)


@pytest.mark.thorough
def test_a_gain_as_large_as_can_be_detected_is_found_four_times_in_five() -> None:
    random, needed, found = np.random.default_rng(1), [], 0
    for _ in range(100):
        needed.append(compare(*(6 + random.normal(size=(2, 40))), in_time(40)).detectable)
    for _ in range(400):
        own, other = 6 + random.normal(size=(2, 40))
        found += compare(own * (1 - np.mean(needed)), other, in_time(40)).p_value < 0.05
    assert found / 400 == pytest.approx(0.8, abs=0.07)


def test_the_least_skill_that_would_be_shown_is_where_the_interval_begins_at_no_skill() -> None:
    own, other = np.exp(np.random.default_rng(0).normal(size=(2, 6, 12)))
    own[5] = 0  # whose skill no share of it can change
    weighing = in_time(12, 2)
    least = least_shown(own, other, weighing)
    assert np.isinf(least[5])
    for i in range(5):
        assert compare(own[i] * (1 - least[i]), other[i], weighing).low == pytest.approx(0, abs=1e-9)


def test_many_cutoffs_are_averaged_by_neighbours() -> None:
    losses = 1 + np.random.default_rng(0).random(2474)
    averaged, overlap = neighbours_averaged(losses, 13)
    assert len(averaged) == MAX_CUTOFFS
    assert averaged.mean() == pytest.approx(losses.mean())
    assert overlap == pytest.approx(1 + 12 * 100 / 2474)
    assert neighbours_averaged(losses[:50], 13)[1] == 13


def test_a_large_group_leaves_few_degrees_of_freedom() -> None:
    assert independent(np.ones(8)).freedom == pytest.approx(7)
    assert independent([60, 1, 1, 1, 1, 1, 1, 1]).freedom < 1.5
    assert 2 < independent([5, 5, 5, 1, 1, 1]).freedom < 3
    equal = independent(np.ones(8)).forms[0]
    assert equal == pytest.approx((np.eye(8) - 1 / 8) / 56)  # of the mean of eight


@pytest.mark.thorough
def test_groups_of_very_different_size_are_covered() -> None:
    random, sizes, covered = np.random.default_rng(0), np.array([60, 1, 1, 1, 1, 1, 1, 1]), 0
    for _ in range(1000):
        noise = random.normal(size=(2, 8)) * np.sqrt(0.5 + 0.5 / sizes)
        found = compare(*(6 + noise), independent(sizes))
        covered += found.low <= 0 <= found.high
    assert covered / 1000 > 0.92


def test_holm_equals_statsmodels() -> None:
    chances = np.random.default_rng(0).uniform(size=20) ** 3
    assert np.allclose(holm(chances.tolist()), multipletests(chances, method="holm")[1])
    assert holm([0.01, math.nan, 0.04]) == [0.02, 1.0, 0.04]


def test_the_interval_over_users_is_that_of_student() -> None:
    values = np.random.default_rng(0).random(9)
    found = over_users(values)
    expected = stats.ttest_1samp(values, 0).confidence_interval()
    assert (found.low, found.high) == pytest.approx(tuple(expected))
    assert over_users(values - 0.4).p_value == pytest.approx(stats.ttest_1samp(values, 0.4).pvalue)
    assert math.isnan(over_users([0.5]).low)


def test_few_users_who_agree_do_not_make_an_interval_of_no_width() -> None:
    found = over_users(np.ones(5), right=np.full(5, 4), counts=np.full(5, 4))
    share = 21 / 22
    reach = stats.t.ppf(0.975, 4) * math.sqrt(share * (1 - share) / 4 / 5)
    assert (found.low, found.high) == pytest.approx((1 - reach, 1 + reach))
    assert over_users(np.ones(5)).low == 1.0  # no numbers of sequences are given
