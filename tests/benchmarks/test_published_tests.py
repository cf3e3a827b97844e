"""Published tests beside the comparison of the package: computed as published, and the claims on power hold."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student
from scipy.stats import ttest_1samp

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
ROWS = pd.read_json(BENCHMARKS / "results/verdicts.jsonl", lines=True)


@pytest.fixture
def tests(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    import published_tests

    return published_tests


def test_a_t_test_of_differences_and_one_of_blocks_are_those_of_scipy(tests: ModuleType) -> None:
    moves = 0.8 + np.random.default_rng(0).normal(size=(50, 10))
    parts = np.stack([each.mean(axis=1) for each in np.array_split(moves, 4, axis=1)], axis=1)
    for test, values in ((tests.t_test(10), moves), (tests.blocks(4)(10), parts)):
        there = ttest_1samp(values, 0, axis=1)
        signs = np.where(there.pvalue < 0.05, np.sign(there.statistic), 0)
        assert set(signs) == {0, 1}
        assert test.significant(moves).tolist() == signs.tolist()
        assert test.significant(-moves).tolist() == (-signs).tolist()


def test_variances_are_those_of_their_papers(tests: ModuleType) -> None:
    moves, count = np.random.default_rng(1).normal(size=16), 16
    rest = moves - moves.mean()
    lags = [rest[lag:] @ rest[: count - lag] / count for lag in range(4)]
    bartlett = lags[0] + 2 * sum((1 - lag / 4) * lags[lag] for lag in range(1, 4))
    spectrum = np.abs(np.fft.fft(moves)[1:3]) ** 2 / count
    wave = [np.sqrt(2 / count) * moves @ np.cos(np.pi * j * (np.arange(16) + 0.5) / 16) for j in (1, 2, 3)]
    found = [test(count) for test in (tests.fixed_b, tests.periodogram, tests.cosines)]
    for test, variance in zip(found, (bartlett, spectrum.mean(), np.square(wave).mean()), strict=True):
        assert moves @ test.form @ moves == pytest.approx(variance / count)
    assert found[1].bound == pytest.approx(student.isf(0.025, 4))
    assert found[2].bound == pytest.approx(student.isf(0.025, 3))


@pytest.mark.sample(2)
@pytest.mark.parametrize("count", [10, 24])
def test_rates_in_the_rows_are_those_that_integration_gives(tests: ModuleType, count: int) -> None:
    part = ROWS[(ROWS["part"] == "published") & (ROWS["cutoffs"] == count) & (ROWS["skill"] == 0)]
    part = part[part["test"] != tests.OWN]
    assert len(part) == len(tests.TESTS) * 5
    made = {name: make(count) for name, make in tests.TESTS.items()}
    for _, row in part.iterrows():
        level = made[row["test"]].level(tests.correlated(count, row["memory"]))
        error = np.sqrt(level * (1 - level) / row["draws"])
        assert 1 - row["covered"] == pytest.approx(level, abs=4 * error)
        assert row["better"] == pytest.approx(level / 2, abs=4 * error)


def test_principal_components_hold_their_level_up_to_the_memory_that_is_asked_for(tests: ModuleType) -> None:
    test = tests.components(0.05)(12)
    levels = [test.level(tests.correlated(12, share)) for share in np.arange(0, 0.96, 0.05)]
    assert max(levels[:17]) == pytest.approx(0.05, abs=1e-4)
    assert min(levels[17:]) > 0.05


def test_the_comparison_is_valid_and_keeps_the_power_of_the_best_valid_published_test(tests: ModuleType) -> None:
    import verdict_tables

    valid = verdict_tables.valid(ROWS)
    assert valid[tests.OWN].all()
    assert valid["principal components"].all()
    at = {name: [int(count) for count in valid.index.levels[1] if valid[name, count]] for name in tests.TESTS}
    widely = {name: counts for name, counts in at.items() if not name.startswith("principal")}
    assert widely.pop("4 blocks") == [60]
    assert set(map(tuple, widely.values())) == {()}
    best = verdict_tables.best_published(ROWS)
    assert best.index.tolist() == list(tests.COUNTS)
    assert best["kept"].min() >= 0.85  # asked for
    page = (BENCHMARKS.parent / "docs" / "concepts" / "verdicts.md").read_text(encoding="utf-8")
    shown = [f"{kept:.1f}" for kept in best["kept"]]
    assert f"it has {', '.join(shown[:-1])} and {shown[-1]} times as much" in page


def test_rows_of_the_comparison_are_those_of_the_same_draws_elsewhere(tests: ModuleType) -> None:
    own = ROWS[ROWS["test"] == tests.OWN]
    there = ROWS[ROWS["part"].isin(["memory", "power"]) & ROWS["limit"].isna() | (ROWS["part"] == "memory")]
    both = own.merge(there, on=["situation", "cutoffs", "skill"])
    assert len(both) >= 4 * len(tests.COUNTS)
    assert both["better_x"].tolist() == both["better_y"].tolist()
    assert both["covered_x"].tolist() == both["covered_y"].tolist()
