"""A plan predicts how often tests find a gain: as theory has it, and as data show that it has not seen."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tests.evaluation.test_significance import autoregression
from tests.helpers.commands import tsforecast
from tests.helpers.forecasters import wave
from tsforecast.data.protocol import Protocol
from tsforecast.errors import DataError, ParameterError
from tsforecast.estimators.registry import make
from tsforecast.evaluation.backtest import backtest
from tsforecast.evaluation.plan import Plan, plan
from tsforecast.evaluation.significance import compare, in_time
from tsforecast.evaluation.verdict import Units


def planned(own: np.ndarray, other: np.ndarray, count: int, kind: str = "cutoffs", stride: int = 1) -> Plan:
    """Return a plan whose history has these losses."""
    history = Units({"drift": own, "naive": other}, kind, np.ones(len(own), dtype=np.int64))
    return Plan(Protocol(1, origins=count), "mae", "naive", "drift", history, count, stride)


def found_later(skill: float, memory: float, cutoffs: int, tests: int) -> float:
    """Return the share of tests on fresh losses that find the model better."""
    own, other = 6 + autoregression(memory, (2, cutoffs * tests), np.random.default_rng(1))
    pairs = zip(np.split(own * (1 - skill), tests), np.split(other, tests), strict=True)
    return float(np.mean([compare(*pair, in_time(cutoffs)).low > 0 for pair in pairs]))


@pytest.mark.thorough
def test_the_power_among_independent_groups_is_that_of_a_t_test() -> None:
    own = 1 + 0.2 * stats.norm.ppf((np.arange(200) + 0.5) / 200)  # shares of a normal distribution
    found = planned(own, np.ones(200), 20, "groups")
    for skill in (0.05, 0.1, 0.15):
        shift = -math.log(1 - skill) / 0.2 * math.sqrt(20)
        assert found.power(skill) == pytest.approx(stats.nct.sf(stats.t.ppf(0.975, 19), 19, shift), abs=0.07)
    assert found.power(found.detectable()) == pytest.approx(0.8, abs=0.01)
    assert found.power(0.1, found.needed(0.1)) == pytest.approx(0.8, abs=0.07)


@pytest.mark.parametrize("memory", [pytest.param(0.0, marks=pytest.mark.thorough), 0.8])
def test_predicted_power_is_found_on_losses_that_the_plan_has_not_seen(memory: float) -> None:
    own, other = 6 + autoregression(memory, (2, 4000), np.random.default_rng(0))
    found, skill = planned(own, other, 30), (0.1, 0.42)[memory > 0]
    assert 0.2 < found.power(skill) < 0.8
    assert found.power(skill) == pytest.approx(found_later(skill, memory, 30, 200), abs=0.12)


def test_the_interval_of_what_is_predicted_holds_the_deviation_of_the_losses_in_19_of_20_histories() -> None:
    own, held = 1 + 0.1 * np.random.default_rng(0).standard_t(6, size=(400, 100)), []
    for each in own:
        found = planned(each, np.ones(100), 20, "groups")
        ratio = each.std() / each.mean() / (0.1 * math.sqrt(6 / 4))
        held.append(1 / found.uncertainty < ratio < found.uncertainty)
    assert 0.89 < np.mean(held) < 0.98
    low, high = found.power_range(0.1)
    assert low < found.power(0.1) < high
    low, high = found.detectable_range()
    assert low < found.detectable() < high
    assert math.log1p(-high) / math.log1p(-low) == pytest.approx(found.uncertainty**2)
    few, many = found.needed_range(0.1)
    assert few < found.needed(0.1) < many


def test_a_history_that_is_read_between_the_cutoffs_of_the_test_counts_them_as_far_apart_as_they_are() -> None:
    own, other = 6 + autoregression(0.8, (2, 200), np.random.default_rng(0))
    once = planned(own, other, 12)
    often = planned(np.repeat(own, 3), np.repeat(other, 3), 12, stride=3)  # which has nothing to add
    assert (often.separate, often.overlap) == (once.separate, once.overlap) == (200, 1)
    assert often.uncertainty == pytest.approx(once.uncertainty)
    skill = 0.75
    assert 0.3 < once.power(skill) < 0.75
    assert often.power(skill) == pytest.approx(once.power(skill), abs=0.1)


def test_a_plan_by_crps_has_the_naive_distribution_with_the_lowest_one_as_reference() -> None:
    values = np.random.default_rng(0).normal(size=120)
    found = plan(values, horizon=2, origins=10, metric="crps")
    rows = backtest(make(found.reference), values, 2, origins=found.history.count, step=1, distributions=True)
    assert found.reference == "mean"
    losses = (rows["crps"] / rows["naive_mae"]).groupby(rows["cutoff"]).mean()
    assert found.history.losses["mean"] == pytest.approx(losses.to_numpy())
    assert rows["crps"].mean() < 0.8 * np.abs(rows["y"] - rows["forecast"]).mean()


@pytest.mark.thorough
def test_a_plan_by_the_wape_of_one_series_is_that_of_its_mae() -> None:
    shares = [plan(wave(200), 6, metric=metric).history.losses["naive"] for metric in ("mae", "wape")]
    np.testing.assert_allclose(*(each / each.mean() for each in shares))


@pytest.mark.thorough
def test_more_cutoffs_find_smaller_gains_and_too_few_find_none() -> None:
    found = planned(*(6 + np.random.default_rng(0).normal(size=(2, 100))), 12)
    assert found.power(0.05) < found.power(0.1) < found.power(0.3)
    assert found.detectable(80) < found.detectable(20) < found.detectable(7)
    assert found.power(0.9, 4) == 0
    assert found.detectable(4) == math.inf
    assert found.needed(1e-4) is None
    for refuses in (found.power, found.needed, found.needed_range):
        with pytest.raises(ParameterError, match=r"skill must be a share, 1 at most: got 15; write 15 % as 0\.15"):
            refuses(15)
    assert found.needed(0.5) <= 12
    table = found.table.set_index("skill")
    assert table.loc[0.1, "power"] == found.power(0.1)
    assert planned(found.history.losses["drift"], found.history.losses["naive"], 4).sentences[0] == (
        "Today 4 cutoffs, 1 step apart, would show no gain: in 4 cutoffs; a verdict needs at least 5 cutoffs: use more "
        "origins"
    )


@pytest.mark.thorough
def test_a_plan_takes_its_reference_and_spread_from_naive_forecasts_of_the_history() -> None:
    season = np.tile([5.0, 1.0, 2.0], 70) + np.random.default_rng(0).normal(size=210) / 5
    frame = pd.DataFrame({"day": pd.date_range("2024", periods=210), "y": season})
    found = plan(frame, horizon=3, step=3, origins=12, metric="mae")
    assert found.count == 12
    assert found.history.count == 210 - 70 - 3 + 1  # cutoffs from step 70 on
    assert (found.separate, found.overlap, found.stride) == (46, 1, 3)
    assert found.sentences[0].startswith("Today 12 cutoffs, 3 steps apart, would show gains above ")
    again = plan(frame, horizon=3, step=3, origins=12, metric="mae")
    assert again.table.equals(found.table)


@pytest.mark.thorough
def test_data_that_cannot_be_planned_for_are_refused() -> None:
    with pytest.raises(DataError, match="a plan needs naive losses in at least 5 cutoffs of the history: there are 2"):
        plan(wave(20), horizon=5, origins=2)
    for metric in ("mase", "mae"):
        with pytest.raises(DataError, match=f"none has {metric.upper()} above 0 in the history of 1 series"):
            plan(np.ones(100), horizon=2, metric=metric)
    with pytest.raises(ParameterError, match="did you mean 'mase'"):
        plan(wave(60), horizon=2, metric="mas")


@pytest.mark.thorough
def test_the_command_line_shows_a_plan(tmp_path: object) -> None:
    pd.DataFrame({"day": pd.date_range("2024", periods=200), "y": wave(200)}).to_csv(tmp_path / "a.csv", index=False)
    result = tsforecast("plan", tmp_path / "a.csv", "--horizon", "2", "--models", "mean", width=200)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].startswith("30 cutoffs, 2 steps apart: the most that are taken unless told")
    assert [line.split("│")[1].strip() for line in lines if "│" in line] == ["5%", "10%", "20%"]
    assert any(line.startswith("Today 30 cutoffs, 2 steps apart, would show") for line in lines)
    text = " ".join(lines)
    assert ". A model's losses are taken to differ" in text
    assert ". A leaderboard of 4 models at 30 cutoffs, one fit, would take about " in text
    assert text.endswith(".")


def test_the_rows_of_the_benchmark_are_as_the_readme_counts_them() -> None:
    root = Path(__file__).parents[2]
    rows = pd.DataFrame(map(json.loads, (root / "benchmarks/results/plan.jsonl").read_text().splitlines()))
    lengths = rows[rows["kind"].eq("history")].set_index("steps")
    rows = rows[rows["kind"].isna()]
    close = (rows["predicted"] - rows["found"]).abs() <= 0.1
    real = (rows["data"] != "simulated").rename("real")
    counts = close.groupby([real, rows["model"]]).agg(["sum", "size"])
    (own, own_all), (ridge, ridge_all) = counts.loc[False].to_numpy()
    (own_real, own_real_all), (ridge_real, ridge_real_all) = counts.loc[True].to_numpy()
    assert (own_all, ridge_all, own_real_all, ridge_real_all) == (30, 30, 10, 10)
    text = " ".join((root / "docs/how-to/plan.md").read_text().split())
    assert f"for {own} of 30 simulated and {own_real} of 10 real series" in text
    assert f"for {ridge} of 30 and {ridge_real} of 10 where a ridge" in text
    inside = rows["found"].between(rows["low"], rows["high"])
    near = rows["found"].between(rows["low"] - 0.1, rows["high"] + 0.1)
    tallies = pd.DataFrame({"close": close, "inside": inside, "near": near}).groupby([real, rows["model"]]).sum()
    page = (root / "docs/concepts/verdicts.md").read_text().splitlines()
    shown = [line.split("|")[2:5] for line in page if re.match(r"\| .*(imagined model|ridge regression) \|", line)]
    assert [[int(cell) for cell in line] for line in shown] == tallies.to_numpy().tolist()
    ends = tallies.loc[[(False, "imagined"), (True, "imagined")], "near"]
    assert f"of its interval for {ends.iloc[0]} and {ends.iloc[1]}" in text
    assert set(lengths["series"]) == {30}
    short, long = (f"{within:.0f}" for within in lengths.loc[[800, 4000], "within"])
    near = " to ".join(f"{100 * lengths.loc[steps, 'distance']:.0f}" for steps in (800, 4000))
    text = " ".join((root / "docs/concepts/verdicts.md").read_text().split())
    assert f"{short} were within 10 points from 800 steps, and {long} from 4,000" in text
    assert f"the mean distance fell from {near} points" in text
