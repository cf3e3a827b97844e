"""Equal models are seldom better, whatever the dependence: quick versions of `benchmarks/verdicts.py`, seeds fixed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tsforecast.evaluation import classification, significance
from tsforecast.evaluation.significance import compare, in_time, independent, over_users
from tsforecast.evaluation.verdict import judge, units

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import processes
import verdict_rates
import verdicts

THOROUGH = pytest.mark.thorough
Design, Situation = verdict_rates.Design, verdict_rates.Situation
DRAWS = 400
ERROR = np.sqrt(0.05 * 0.95 / DRAWS)


def rates(design: object, draw: object, skill: float = 0.0, draws: int = DRAWS) -> dict[str, float]:
    return verdict_rates.rates(Situation("test", "test", design, draw, skill, draws))


@pytest.mark.parametrize(
    ("weighing", "count"), [(in_time(12), 12), (in_time(30, 6), 30), (independent([9, 1, 1, 2, 3]), 5)]
)
def test_comparisons_of_many_draws_equal_those_of_one(weighing: object, count: int) -> None:
    own, other = np.exp(0.2 * np.random.default_rng(0).normal(size=(2, 6, count)))
    own[0] *= 0.5
    many = verdict_rates.Comparisons.of(own, other, weighing)
    for i in range(6):
        one = compare(own[i], other[i], weighing)
        assert many.p_value()[i] == pytest.approx(one.p_value)
        assert 1 - np.exp(-many.gain[i]) == pytest.approx(one.skill)
        for end in (one.low, one.high):
            assert many.p_value(-np.log1p(-end))[i] == pytest.approx(0.05)
        wide = max(-one.low, one.high)
        assert wide > 1 or many.equivalent(min(wide * 1.001, 0.9999))[i]
        assert not many.equivalent(min(wide, 1.0) * 0.999)[i]


@pytest.mark.parametrize(
    "design",
    [
        Design(8, 3, horizon=2),
        Design(6, 7, shortest=0.4),
        *(
            pytest.param(design, marks=THOROUGH)
            for design in (
                Design(6, 4, metric="rmse"),
                Design(3, 6, clocks=True),
                Design(2, 6, independent=True),
                Design(3, 13, groups=(5, 3, 1, 2, 1, 1)),
                Design(250, horizon=4),
            )
        ),
    ],
)
def test_losses_are_arranged_in_units_as_those_of_rows(design: object) -> None:
    model, naive = np.exp(np.random.default_rng(0).normal(size=(2, design.series, design.cutoffs)))
    found = units(design.rows({"model": model, "naive": naive}), design.metric, design.independent)
    arranged = [design.arranged(each[None], found.kind) for each in (model, naive)]
    assert arranged[0][0] == pytest.approx(found.losses["model"])
    if not found.problem:
        assert verdict_rates.weighed(found, tuple(arranged)).p_value()[0] == pytest.approx(
            found.compare("model", "naive").p_value
        )


@pytest.mark.parametrize(
    ("design", "draw", "least"),
    [  # with the rate of significance where the dependence is left out
        (Design(24), processes.difference(processes.memory(0.8)), 0.3),
        pytest.param(Design(60, gap=5), processes.ahead(), 0.2, marks=THOROUGH),
        pytest.param(Design(24, gap=11), processes.ahead(), 0.3, marks=THOROUGH),
        pytest.param(Design(60, horizon=12), processes.ahead(), 0.2, marks=THOROUGH),
        pytest.param(Design(24, horizon=12, step=4), processes.ahead(), 0.05, marks=THOROUGH),
    ],
)
def test_equal_models_are_seldom_better_at_cutoffs_that_depend_on_each_other(
    design: object, draw: object, least: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = rates(design, draw)
    assert found["overlap"] == -(-(design.gap + design.horizon) // design.step)
    assert found["better"] <= 0.05 + 2 * ERROR
    assert found["covered"] >= 0.92 - 2 * ERROR
    monkeypatch.setattr(verdict_rates, "in_time", lambda count, overlap: independent(np.ones(count)))
    alone = rates(design, draw)
    assert alone["better"] + alone["worse"] > least


def test_sixty_cutoffs_show_memory_that_is_hidden_under_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = processes.difference(processes.under_noise(0.8))
    found = rates(Design(60), draw, draws=2_000)
    assert found["better"] <= 0.05 + 2 * found["better_error"]
    assert found["covered"] >= 0.92 - 2 * found["covered_error"]
    monkeypatch.setattr(significance, "HIDDEN_LIMIT", 1e-13)
    significance._in_time.cache_clear()
    alone = rates(Design(60), draw, draws=2_000)
    significance._in_time.cache_clear()
    assert alone["covered"] < 0.85


@pytest.mark.parametrize("cutoffs", [10, 12, 16, 24, 30, 60])
def test_the_committed_rows_keep_the_power_that_the_page_claims(cutoffs: int) -> None:
    lines = (Path(verdicts.__file__).parent / "results/verdicts.jsonl").read_text().splitlines()
    part = [row for row in map(json.loads, lines) if row["part"] == "power" and row["cutoffs"] == cutoffs]
    row = part[0]
    assert row["situation"] == "independent differences of losses"
    assert (row["kept_of_best"] >= 0.85) == (cutoffs >= 24)
    # With 24 cutoffs or fewer no test that is valid under hidden memory keeps 0.85 of the best without this demand.
    assert (row["best_hidden"] < 0.85 * row["best"]) == (cutoffs <= 24)


def test_series_that_share_shocks_are_no_independent_evidence() -> None:
    draw = processes.panel(0.9)
    assert rates(Design(1, 50), draw)["better"] == 0
    assert rates(Design(6, 50, horizon=12), draw)["better"] == 0
    assert rates(Design(11, gap=11), processes.ahead())["units"] == 0  # all share a shock
    found = rates(Design(10, 20), draw, draws=200)
    assert found["units"] == 10
    assert found["better"] <= 0.05 + 2 * ERROR
    declared = rates(Design(10, 20, independent=True), draw, draws=200)
    assert declared["better"] + declared["worse"] > 0.4


@THOROUGH
def test_rmse_of_unequal_volatility_and_groups_of_unequal_size_hold_the_level() -> None:
    draw = processes.absolute(volatility="scattered", power=2)
    unequal = Design(2, 67, groups=(60, 1, 1, 1, 1, 1, 1, 1))
    for found in (rates(Design(24, metric="rmse"), draw), rates(unequal, processes.people(0.3), draws=200)):
        assert found["better"] <= 0.05 + 2 * ERROR
        assert found["covered"] >= 0.92 - 2 * ERROR


@THOROUGH
@pytest.mark.parametrize(("count", "least"), [(12, 0.55), (24, 0.85)])
def test_gains_are_found_beside_a_t_test(count: int, least: float) -> None:
    skill = verdict_rates.findable(count) * np.sqrt(2) / processes.LEVEL_OF_LOSSES
    draw = processes.difference(skill=skill)
    situation = Situation("test", "power", Design(count), draw, skill, 2_000, beside=0.0)
    found = verdict_rates.rates(situation)
    error = np.sqrt(0.25 / 2_000)
    assert found["known"] == pytest.approx(0.8, abs=3 * error)
    assert found["better"] > least * found["known"] - 2 * error


@THOROUGH
def test_gains_are_found_at_overlapping_cutoffs() -> None:
    assert rates(Design(60, horizon=12), processes.ahead(), 0.5)["better"] > 0.4


@THOROUGH
def test_the_choice_of_the_reference_costs_little_power_and_naive_forecasts_none() -> None:
    rows = {row["cutoffs"]: row for row in verdicts.references(DRAWS) if row["skill"] == 0.5}
    assert rows[24]["fixed"] > 0.6
    assert min(row["kept_of_fixed"] for row in rows.values()) > 0.85
    random, better = np.random.default_rng(0), []
    names = ("naive", "drift", "mean")
    for _ in range(3):  # as a board of these rows judges them
        shared, *each = random.normal(size=(5, 48))
        losses = np.abs(np.sqrt(0.5) * (shared + np.array(each)))
        naive = dict(zip(names, losses[:3], strict=True))
        chosen = min(names, key=lambda name: naive[name][:24].mean())
        test = {name: each[None, 24:] for name, each in naive.items()} | {"model": 0.5 * losses[3:, 24:]}
        errors = pd.Series({name: each.mean() for name, each in test.items()})
        verdict = judge(Design(24).rows(test), errors, "mae", chosen)["model"]
        alone = units(Design(24).rows(test), "mae").compare("model", chosen)
        assert verdict.p_value == alone.p_value  # naive forecasts are no hypotheses
        better.append(verdict.outcome == "better")
    assert any(better)


@pytest.mark.parametrize("users", [8, 40])
def test_a_fair_coin_is_seldom_better_than_the_better_of_majority_and_one_class(users: int) -> None:
    sizes = np.full(users, 4)
    found = verdict_rates.coins(np.random.default_rng(0), DRAWS, sizes, (2 * users, 2 * users), 0.0)
    assert np.mean((found["p_value"] < 0.05) & (found["gain"] > 0)) <= 0.05 + 2 * ERROR


@THOROUGH
def test_coins_are_judged_as_rows_of_predictions_are() -> None:
    sizes = np.array([6, 4, 9, 5, 7, 5])
    found = verdict_rates.coins(np.random.default_rng(1), 2, sizes, (18, 18), 0.5)
    for draw in range(2):
        parts = []
        tallies = found["tallies"][draw]
        for user, size in enumerate(sizes):
            true = np.repeat(["a", "b"], tallies[user])
            right = np.arange(size) < found["right"][draw, user]
            other = np.where(true == "a", "b", "a")
            most = tallies.sum(axis=0) - tallies[user]
            columns = {"group": f"user {user}", "true": true, "fold": user}
            parts += [
                pd.DataFrame(columns | {"model": "coin", "predicted": np.where(right, true, other)}),
                pd.DataFrame(columns | {"model": "majority", "predicted": "ab"[int(most.argmax())]}),
            ]
        rows = pd.concat(parts, ignore_index=True).assign(protocol="leave-users-out", seed=np.nan)
        verdict = classification.judge(rows)["coin"]
        assert verdict.p_value == pytest.approx(found["p_value"][draw])


@THOROUGH
def test_an_accuracy_near_100_percent_has_an_interval_that_covers_it() -> None:
    random, sizes = np.random.default_rng(0), np.full(8, 20)
    right = random.binomial(sizes, 0.98, (DRAWS, 8))
    mean, error = verdict_rates.over_people(right / sizes, right, sizes)
    for i in range(3):
        one = over_users(right[i] / sizes, right[i], sizes)
        assert (mean[i], error[i] * 2.3646) == pytest.approx((one.mean, one.high - one.mean), rel=1e-4)
    assert error.min() > 0
    assert np.mean(np.abs(mean - 0.98) <= 2.3646 * error) >= 0.92


@THOROUGH
def test_no_valid_test_finds_as_much_as_one_that_knows_there_is_no_memory() -> None:
    import best_valid

    size = verdict_rates.findable(12)
    bound = best_valid.best_power(12, size, 0.05, np.random.default_rng(0), draws=1_000)
    assert 0.65 < bound < 0.75  # of 0.8


@THOROUGH
def test_a_family_of_equal_models_seldom_has_a_better_one() -> None:
    assert max(row["better"] + row["worse"] for row in verdicts.families(DRAWS)) <= 0.05 + 2 * ERROR
