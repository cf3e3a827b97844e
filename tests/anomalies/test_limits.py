"""P-values are ranks with a tail that errs on the safe side; discoveries and sums keep their level."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.signal import lfilter

from tsforecast.anomalies.calibration import HeldOut, SumTail, Tail, added, autocorrelations, discovered
from tsforecast.anomalies.detector import Watch
from tsforecast.distributions.conformal import Calibration

MEMORY = 50


def held_out(errors: np.ndarray, tail: Tail | None = "power") -> HeldOut:
    """Return errors of one series and K targets, (m, K), as held-out residuals."""
    rows = np.arange(len(errors))
    return HeldOut(Calibration(errors[:, None], np.zeros_like(rows), rows), tail)


def noise(coefficient: float, heavy: bool, shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    drawn = (
        random.standard_t(4, (shape[0] + 100, shape[1])) if heavy else random.normal(size=(shape[0] + 100, shape[1]))
    )
    return lfilter([1.0], [1, -coefficient], drawn, axis=0)[100:]


def test_a_p_value_is_the_rank_among_the_sizes_of_held_out_residuals() -> None:
    errors, new = (
        np.array([[-3.0], [1.0], [2.0], [np.nan], [5.0]] * 20),
        np.array([[0.0], [-2.0], [2.5], [9.0], [np.nan]]),
    )
    found = held_out(errors, None).p_values(new)[:, 0]
    assert found[:4].tolist() == [
        (1 + sum(abs(each) >= abs(one) for each in errors[:, 0])) / 81 for one in (0.0, -2.0, 2.5, 9.0)
    ]
    assert np.isnan(found[4])


@pytest.mark.parametrize("tail", ["power", "exponential"])
def test_beyond_the_largest_residuals_a_p_value_is_exact_for_the_distribution_of_its_tail(tail: Tail) -> None:
    random = np.random.default_rng(0)
    rates = []
    for _ in range(300):
        drawn = random.exponential(size=(200, 1))
        sizes = held_out(np.exp(drawn / 3) if tail == "power" else drawn, tail).sizes_at(1e-4)
        rates.append(float(np.exp(-3 * np.log(sizes[0]) if tail == "power" else -sizes[0])))
    assert np.mean(rates) == pytest.approx(1e-4, rel=0.4)


def test_the_tail_of_a_power_law_is_safe_for_lighter_tails_and_an_exponential_one_finds_more() -> None:
    errors = np.random.default_rng(1).normal(size=(500, 1))
    power, exponential = (held_out(errors, tail).sizes_at(1e-4)[0] for tail in ("power", "exponential"))
    assert 3.9 < exponential < power  # 3.9 is the size of normal numbers with that probability
    for tail in ("power", "exponential"):
        held = held_out(errors, tail)
        assert held.p_values(held.sizes_at(1e-4)[None])[0, 0] == pytest.approx(1e-4)
    assert held_out(errors, None).sizes_at(1e-4) == np.inf
    assert held_out(errors, None).p_values(np.array([[99.0]])) == 1 / 501


def test_discoveries_are_those_of_benjamini_and_hochberg() -> None:
    random = np.random.default_rng(2)
    for tests in (20, 40):
        for _ in range(200):
            p = random.uniform(size=20) ** random.choice([1, 3])
            ordered = np.sort(p)
            fine = [i for i in range(20) if ordered[i] <= 0.1 * (i + 1) / tests]
            wanted = p <= ordered[fine[-1]] if fine else np.zeros(20, bool)
            assert discovered(p, 0.1, tests).tolist() == wanted.tolist()
    assert not discovered(np.array([np.nan, 0.5]), 0.1, 2).any()


def test_a_sum_grows_by_scores_beyond_the_slack_and_never_falls_below_zero() -> None:
    sums = np.zeros((2, 1))
    for score, wanted in [(2.0, (1.5, 0.0)), (1.0, (2.0, 0.0)), (-4.0, (0.0, 3.5)), (0.25, (0.0, 2.75))]:
        sums = added(sums, np.array([score]))
        assert sums[:, 0].tolist() == list(wanted)


def test_autocorrelations_end_at_twice_the_last_that_is_not_by_chance_and_do_not_cross_series() -> None:
    series = np.repeat([0, 1], 500)
    white = np.random.default_rng(3).normal(size=1000)
    assert len(autocorrelations(white, series, 10)) == 1
    moving = np.convolve(white, [1, 1, 1], mode="same")
    found = autocorrelations(moving, series, 10)
    assert len(found) == 5
    assert found[:3] == pytest.approx([1, 2 / 3, 1 / 3], abs=0.06)
    opposite = np.where(series == 0, 1.0, -1.0) + 0.01 * white
    assert autocorrelations(opposite, np.arange(1000), 10).tolist() == [1.0]  # a series each: no pair


@pytest.mark.long
@pytest.mark.parametrize(
    ("coefficient", "heavy"),
    [(0.0, False), (0.5, True), pytest.param(0.8, False, marks=pytest.mark.thorough)],
)
def test_false_points_and_sums_come_in_no_more_stretches_than_the_level_also_of_dependent_residuals(
    coefficient: float, heavy: bool
) -> None:
    level, columns, steps = 0.1, 30, 1_000
    drawn = noise(coefficient, heavy, (800 + steps, columns))
    held = held_out(drawn[:800])
    p, scores = held.p_values(drawn[800:]), held.scores(drawn[800:])
    limits = SumTail(held.greatest_sums(MEMORY, 24, 0)).limits(level)
    points = [Watch(level, MEMORY, limits[:1]).take(p[:, [k]], scores[:, [k]]).found for k in range(columns)]
    sums = Watch(level, MEMORY, limits).take(p, scores).alarms
    for false in (np.concatenate(points, axis=1), sums):
        rate = false.reshape(-1, MEMORY, columns).any(axis=1).mean()
        # Stretches of a column share its held-out residuals: their rates differ.
        assert rate <= level * 1.4
    assert sums.any()


@pytest.mark.long
def test_of_what_is_found_in_the_long_run_the_share_that_is_false_is_the_level_and_a_part_of_it_for_each_true_one() -> (
    None
):
    level, columns, steps = 0.1, 30, 1_000
    drawn = noise(0.5, False, (800 + steps, columns), seed=4)
    held, new = held_out(drawn[:800]), drawn[800:].copy()
    true = np.random.default_rng(5).uniform(size=new.shape) < 0.03
    new[true] += 12
    p = held.p_values(new)
    shares = []
    for k in range(columns):
        found = Watch(level, MEMORY, np.ones(1)).take(p[:, [k]], np.zeros((steps, 1))).found[:, 0]
        shares.append((found & ~true[:, k]).sum() / max(found.sum(), 1))
        assert found[true[:, k]].mean() > 0.8
    assert np.mean(shares) <= level * (1 + 1 / (0.03 * MEMORY))
    assert np.mean(shares) > level / 2  # it is used


def test_a_stream_that_is_taken_in_parts_is_decided_as_one_that_is_taken_at_once() -> None:
    drawn = noise(0.5, True, (1_100, 3), seed=6)
    held = held_out(drawn[:800])
    p, scores = held.p_values(drawn[800:]), held.scores(drawn[800:])
    p[40:45, 1] = scores[40:45, 1] = np.nan
    scores[100:130] += 3
    p[200], p[[201, 203]] = 1e-4, 1e-3
    limits = SumTail(held.greatest_sums(MEMORY, 24, 0)).limits(0.1)
    whole, parts = Watch(0.2, MEMORY, limits), Watch(0.2, MEMORY, limits)
    once = whole.take(p, scores)
    ends = [0, 1, 2, 60, 61, 115, 300]
    taken = [parts.take(p[a:b], scores[a:b]) for a, b in pairwise(ends)]
    assert once.found.any()
    assert once.alarms.any()
    for name in ("found", "totals", "alarms"):
        assert np.array_equal(getattr(once, name), np.concatenate([getattr(part, name) for part in taken]))
    since = np.concatenate([part.since + begin for part, begin in zip(taken, ends, strict=False)])
    assert np.array_equal(since[once.totals != 0], once.since[once.totals != 0])


def test_discoveries_before_a_row_make_its_own_easier_and_those_after_it_do_not() -> None:
    p = np.full((60, 1), 0.9)
    p[20], p[21:31] = 0.005, 1e-5
    nothing = np.zeros((60, 1))
    assert not Watch(0.1, MEMORY, np.ones(1)).take(p, nothing).found[20]
    assert Watch(0.1, MEMORY, np.ones(1)).take(p, nothing).found[21:31].all()
    p[31] = 0.005
    assert Watch(0.1, MEMORY, np.ones(1)).take(p, nothing).found[31]
