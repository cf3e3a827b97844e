"""Verdicts on intervals: right where the truth is known, and careful where outcomes depend on each other."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from tsforecast.evaluation.calibration import below, calibrations, histogram, judged, reached
from tsforecast.evaluation.metrics import COVERAGES, losses_of_rows
from tsforecast.evaluation.results import ForecastResults
from tsforecast.evaluation.scores import ENDS
from tsforecast.evaluation.verdict import Units

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import coverage_rates as rates

STEPS = 12


def rows_of(errors: np.ndarray, width: float, model: str = "m") -> pd.DataFrame:
    """Return rows of standard normal errors, (cutoffs, steps), with intervals that are so many times as wide."""
    cutoffs, steps = np.meshgrid(np.arange(len(errors)) * STEPS, np.arange(1, STEPS + 1), indexing="ij")
    y = errors.ravel()
    return pd.DataFrame(
        {
            "model": model,
            "series": "s",
            "target": "y",
            "cutoff": cutoffs.ravel(),
            "step": steps.ravel(),
            "time": (cutoffs + steps).ravel(),
            "y": y,
            "forecast": 0.0,
            "naive_mae": 1.0,
            "naive_mse": 1.0,
            "crps": abs(y),
            "quantile_loss": abs(y),
            "fit_seconds": 0.0,
            "predict_seconds": 0.0,
            **{name: width * norm.ppf(level) for name, level in ENDS.items()},
            **{name: norm.cdf(y / width) for name in ("pit_lo", "pit_hi")},
        }
    )


def reach(errors: np.ndarray) -> float:
    """Return the reach of the interval of a mean of errors, (cutoffs, steps), in deviations of one."""
    scores = norm.ppf(np.clip(2 * norm.cdf(abs(errors)) - 1, 0.0025, 0.9975))
    found = Units({}, "cutoffs", np.ones(len(errors), dtype=np.int64))
    return reached(found, scores.mean(axis=1), float(scores.std(ddof=1)), scores.size)


def words(rows: pd.DataFrame) -> list[str]:
    return [coverage.outcome for coverage in calibrations(rows)["m"].coverages]


@pytest.mark.parametrize(
    ("width", "outcomes"),
    [(1.0, ["covers", "covers"]), (0.6, ["too narrow", "too narrow"]), (2.0, ["too wide", "too wide"])],
)
def test_intervals_that_cover_are_too_narrow_or_too_wide_are_told_apart(width: float, outcomes: list[str]) -> None:
    errors = np.random.default_rng(1).normal(size=(120, STEPS))
    assert words(rows_of(errors, width)) == outcomes


def test_the_sentence_has_shares_intervals_and_units() -> None:
    rows = rows_of(np.random.default_rng(1).normal(size=(20, STEPS)), 0.5)
    found = calibrations(rows)["m"]
    share = 100 * (rows["y"].abs() <= 0.5 * norm.ppf(0.9)).mean()
    low, high = (100 * end for end in (found.coverages[0].low, found.coverages[0].high))
    assert low < share < high < 80
    assert str(found).startswith(
        f"m: too narrow at 80 % ({share:.1f} % of outcomes inside, interval {low:.1f} to {high:.1f} %), too narrow at "
    )
    assert str(found).endswith("; on 20 cutoffs, about later cutoffs")


def test_few_cutoffs_have_no_verdict() -> None:
    found = calibrations(rows_of(np.random.default_rng(1).normal(size=(4, STEPS)), 0.1))["m"]
    assert [coverage.outcome for coverage in found.coverages] == ["inconclusive"] * 2
    assert str(found).endswith("; in 4 cutoffs; a verdict needs at least 5 cutoffs: use more origins")


def test_cutoffs_whose_steps_fail_together_are_as_few_outcomes_as_they_are() -> None:
    scores, steps = np.random.default_rng(0).normal(size=(30, 1)), np.random.default_rng(1).normal(size=(30, STEPS))
    together, apart = np.tile(scores, (1, STEPS)), steps
    for errors, low, high in ((together, 0.8, 1.2), (apart, 2.0, 3.6)):
        assert low < 2.045 / np.sqrt(30) / reach(errors) < high  # beside Student's t of 30 outcomes
    assert words(rows_of(together[:12] / 2, 1.0)) == ["inconclusive"] * 2  # 12 outcomes, not 144: all are inside
    assert words(rows_of(apart[:12] / 2, 1.0)) == ["too wide"] * 2


def test_sizes_of_errors_that_last_seldom_make_right_intervals_too_narrow_or_too_wide() -> None:
    found = rates.rates(80, "test", rates.volatile(0.8), 1, 24, 1.0, 200)
    error = 2 * np.sqrt(0.05 * 0.95 / 200)
    assert max(found["too narrow"], found["too wide"]) <= 0.05 + error
    assert found["covered"] >= 0.92 - error


def test_the_committed_rates_miss_their_limits_only_where_misses_come_in_runs() -> None:
    lines = (Path(rates.__file__).parent / "results/verdicts.jsonl").read_text().splitlines()
    rows = [row for row in map(json.loads, lines) if row["part"] == "coverage" and row["limit"]]
    assert len(rows) == 50
    least = [max(row[name] - 2 * row[f"{name}_error"] for name in ("too narrow", "too wide")) for row in rows]
    beyond = [row for row, each in zip(rows, least, strict=True) if each > row["limit"]]
    missed = [(row["situation"], row["held"], row["cutoffs"]) for row in beyond]
    assert missed == [("misses: neighbours correlate by 0.8", 80, cutoffs) for cutoffs in (24, 60)]


@pytest.mark.thorough
@pytest.mark.parametrize("kind", ["independent", "random walk", "autoregression"])
@pytest.mark.parametrize("cutoffs", [10, 24])
def test_calibrated_intervals_are_seldom_called_too_narrow_or_too_wide(kind: str, cutoffs: int) -> None:
    false, draws = 0, 150
    for seed in range(draws):
        noise = np.random.default_rng([seed, cutoffs]).normal(size=(cutoffs, STEPS))
        errors = noise
        if kind == "random walk":
            errors = noise.cumsum(axis=1) / np.sqrt(np.arange(1, STEPS + 1))
        elif kind == "autoregression":
            flat = noise.ravel()
            for at in range(1, len(flat)):
                flat[at] = 0.7 * flat[at - 1] + np.sqrt(1 - 0.49) * flat[at]
            errors = flat.reshape(noise.shape)
        inside = Units({}, "cutoffs", np.ones(cutoffs, dtype=np.int64))
        shares = (abs(errors) <= norm.ppf(0.9)).mean(axis=1)
        false += judged(80, inside, shares, reach(errors)).outcome in ("too narrow", "too wide")
    assert false / draws <= 0.05


def test_a_count_spreads_its_probability_between_its_ends() -> None:
    rows = pd.DataFrame({"y": [0.0, 1.0, 2.0], "forecast": 1.0, "pit_lo": [0.0, 0.5, 0.8], "pit_hi": [0.5, 0.8, 0.8]})
    assert below(rows, [0.25, 0.5, 0.65, 0.8]) == pytest.approx([0.5 / 3, 1 / 3, 1.5 / 3, 1.0])
    assert histogram(rows) == pytest.approx(
        np.array([0.2, 0.2, 0.2, 0.2, 0.2, 1 / 3, 1 / 3, 1 + 1 / 3, 0.0, 0.0]) * 10 / 3, abs=1e-9
    )


@pytest.mark.long
def test_results_have_a_sentence_for_each_model_in_the_order_of_the_table() -> None:
    errors = np.random.default_rng(1).normal(size=(30, STEPS))
    both = pd.concat([rows_of(errors, 0.3, "naive"), rows_of(errors, 1.0, "good")])
    results = ForecastResults.from_rows(both.assign(crps=both["crps"] * both["hi50"]), "crps")
    assert list(results.calibrations) == results.table["model"].tolist()
    table = results.table.set_index("model")
    for name, found in results.calibrations.items():
        assert [c.share for c in found.coverages] == pytest.approx(list(table.loc[name, list(COVERAGES[1:])]))
        assert f"- {found}\n" in results.to_markdown()
    points = ForecastResults.from_rows(both.drop(columns=["crps"]))
    assert points.calibrations == {}
    assert "Intervals" not in points.to_markdown()


def test_a_count_at_the_edge_of_an_interval_counts_in_part() -> None:
    sold = np.random.default_rng(0).binomial(1, 0.1, size=4_000).astype(float)  # nine of ten are 0
    ends = {"lo50": 0.0, "hi50": 0.0, "lo80": 0.0, "hi80": 0.0, "lo95": 0.0, "hi95": 1.0}
    pits = {"pit_lo": np.where(sold == 0, 0.0, 0.9), "pit_hi": np.where(sold == 0, 0.9, 1.0)}
    rows = pd.DataFrame({"y": sold, "forecast": 0.0, "naive_mae": 1.0, **ends, **pits})
    assert np.mean(sold == 0) > 0.89  # inside of the interval of 80 %
    for held in (50, 80, 95):
        assert losses_of_rows(rows, f"coverage{held}").mean() == pytest.approx(held / 100, abs=0.01)
