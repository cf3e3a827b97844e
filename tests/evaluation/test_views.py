"""Summaries are plain means of rows, each with a slow twin; ranks of equal models differ as seldom as promised."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import friedmanchisquare

from tests.helpers import metrics
from tests.helpers.forecasters import wave
from tsforecast.data.panel import Panel
from tsforecast.errors import DataError, ParameterError
from tsforecast.evaluation.backtest import backtest
from tsforecast.evaluation.leaderboard import leaderboard
from tsforecast.evaluation.results import ForecastResults
from tsforecast.evaluation.summaries import Ranks, average_ranks, critical_difference, errors_by, win_rates
from tsforecast.forecasters.naive import DriftForecaster, MeanForecaster, NaiveForecaster, SeasonalNaiveForecaster

MODELS = (NaiveForecaster, SeasonalNaiveForecaster, DriftForecaster, MeanForecaster)
DAYS = pd.date_range("2024-01-03", periods=90)


def frame(people: str = "abcd") -> pd.DataFrame:
    """Return two targets of each person; the persons a and b are one group, the others another."""
    parts = [
        pd.DataFrame({"day": DAYS, "who": name, "team": "ab" if name in "ab" else "cd", "y": wave(90, i),
                      "z": 5 * wave(90, i + 9)}) for i, name in enumerate(people)
    ]  # fmt: skip
    return pd.concat(parts)


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    panel = Panel.from_frame(frame(), time="day", id="who", group="team", target=["y", "z"])
    return pd.concat([backtest(model(), panel, horizon=4, origins=5, step=2) for model in MODELS], ignore_index=True)


SLOW = {
    "mase": lambda part: metrics.mase(part.y, part.forecast, part.naive_mae),
    "mae": lambda part: metrics.mae(part.y, part.forecast),
    "rmse": lambda part: metrics.rmse(part.y, part.forecast),
    "smape": lambda part: metrics.smape(part.y, part.forecast),
    "rmsse": lambda part: metrics.rmsse(part.y, part.forecast, part.naive_mse),
}


@pytest.mark.thorough
@pytest.mark.parametrize("key", ["step", "series", "group", "phase", "cutoff"])
@pytest.mark.parametrize("metric", SLOW)
def test_a_summary_is_the_mean_over_series_and_targets_of_the_metric_of_each(
    rows: pd.DataFrame, key: str, metric: str
) -> None:
    found = errors_by(rows, key, metric)
    assert found.index.tolist() == sorted(rows[key].unique())
    assert set(found.columns) == set(rows["model"])
    for value in found.index:
        for model in found.columns:
            mine = rows[(rows[key] == value) & (rows["model"] == model)]
            each = [SLOW[metric](part) for _, part in mine.groupby(["series", "target"], observed=True)]
            assert found.loc[value, model] == pytest.approx(np.mean(each))


def test_phases_are_weekdays_months_and_hours_and_the_group_of_a_series_is_its_own(rows: pd.DataFrame) -> None:
    assert (rows["phase"] == rows["time"].dt.day_of_week).all()
    assert set(rows.loc[rows["series"].isin(["a", "b"]), "group"]) == {"ab"}
    months = backtest(
        NaiveForecaster(), pd.Series(wave(60), index=pd.date_range("2019-04-01", periods=60, freq="MS")), 9
    )
    assert (months["phase"] == months["time"].dt.month - 1).all()
    zone = pd.date_range("2024-03-20", periods=400, freq="h", tz="Europe/Berlin")
    hours = backtest(NaiveForecaster(), pd.Series(wave(400), index=zone), 48)
    local = hours["time"].dt.tz_localize("UTC").dt.tz_convert("Europe/Berlin")
    assert (hours["phase"] == local.dt.hour).all()


def test_a_summary_by_a_column_without_values_is_refused(rows: pd.DataFrame) -> None:
    with pytest.raises(ParameterError, match=r"key must be one of .* got 'steps'; did you mean 'step'"):
        errors_by(rows, "steps", "mae")
    alone = backtest(NaiveForecaster(), wave(60), 4)
    with pytest.raises(DataError, match="rows must have values of 'group' to be summarised by it: they have none"):
        errors_by(alone, "group", "mae")


def test_seeds_are_averaged_after_their_errors_and_their_spread_stands_beside() -> None:
    one = backtest(NaiveForecaster(), wave(60), horizon=4, origins=3)
    noise = np.random.default_rng(0).normal(size=(3, len(one)))
    seeds = [
        one.assign(model="net", seed=pd.array([k] * len(one), dtype="Int32"), forecast=one["forecast"] + noise[k])
        for k in range(3)
    ]
    board = ForecastResults.from_rows(pd.concat([one, *seeds]), "rmse")
    each = [metrics.rmse(part.y, part.forecast) for part in seeds]
    record = board.table.set_index("model").loc["net"]
    assert record["rmse"] == pytest.approx(np.mean(each))
    assert record["spread"] == pytest.approx(np.std(each, ddof=1))
    assert np.isnan(board.table.set_index("model").loc["naive", "spread"])
    shown = board.display_table.set_index("model")["RMSE"]
    assert shown["net"] == f"{np.mean(each):.4g} ± {np.std(each, ddof=1):.4g}"
    assert "±" not in shown["naive"]
    assert board.summary_line.endswith("; ± is the standard deviation over 3 seeds")


def test_win_rates_count_cutoffs_of_series_and_a_tie_is_half_a_win(rows: pd.DataFrame) -> None:
    found = win_rates(rows, "mae")
    mean = rows.assign(loss=(rows["y"] - rows["forecast"]).abs()).groupby(
        ["model", "series", "target", "cutoff"], observed=True
    )["loss"].mean()  # fmt: skip
    wins = mean["naive"] < mean["drift"]
    assert found.loc["naive", "drift"] == pytest.approx(wins.mean())
    assert found.loc["drift", "naive"] == pytest.approx(1 - wins.mean())
    same = pd.concat([rows[rows["model"] == "naive"].assign(model=name) for name in ("one", "two")])
    assert win_rates(same, "mae").loc["one", "two"] == 0.5


def test_ranks_are_averages_over_series_or_over_the_cutoffs_of_one(rows: pd.DataFrame) -> None:
    ranks = average_ranks(rows, "mae")
    per_target = rows.assign(loss=(rows["y"] - rows["forecast"]).abs()).groupby(
        ["series", "target", "model"], observed=True
    )["loss"].mean().unstack()  # fmt: skip
    assert ranks.average.to_dict() == pytest.approx(per_target.rank(axis=1).mean().to_dict())
    assert (ranks.count, ranks.unit) == (8, "series")
    assert ranks.average.is_monotonic_increasing
    one = pd.concat([backtest(model(), wave(90), horizon=4, origins=10, step=2) for model in MODELS])
    assert (average_ranks(one, "mae").count, average_ranks(one, "mae").unit) == (5, "cutoffs")  # every other overlaps


@pytest.mark.parametrize(("models", "quantile"), [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (10, 3.164)])
def test_the_critical_difference_is_that_of_the_published_table(models: int, quantile: float) -> None:
    # q at 5 %: table 5(a) of Demsar 2006, Journal of Machine Learning Research 7.
    assert critical_difference(models, 12) == pytest.approx(quantile * np.sqrt(models * (models + 1) / 72), abs=2e-3)


def test_equal_models_lie_further_apart_than_the_critical_difference_in_one_of_twenty_experiments() -> None:
    random = np.random.default_rng(0)
    limit = critical_difference(5, 20)
    places = np.argsort(np.argsort(random.random((2_000, 20, 5)), axis=2), axis=2).mean(axis=1)
    apart = (np.ptp(places, axis=1) > limit).mean()
    assert 0.03 < apart < 0.06


def test_models_without_a_difference_stand_together_in_the_longest_runs() -> None:
    ranks = Ranks(pd.Series({"a": 1.0, "b": 1.8, "c": 2.5, "d": 4.0, "e": 4.1}), 1.0, 9, "series")
    assert ranks.ties == [("a", "b"), ("b", "c"), ("d", "e")]
    assert replace(ranks, critical_difference=0.05).ties == []


def test_the_order_of_ranks_agrees_with_a_test_of_friedman_where_one_model_is_far_better() -> None:
    random = np.random.default_rng(1)
    data = [np.cumsum(1 + random.normal(size=60)) for _ in range(12)]
    board = leaderboard(["mean"], data, horizon=3)
    losses = board.by("series")
    assert friedmanchisquare(*losses.to_numpy().T).pvalue < 0.01
    assert board.ranks.average.index[0] == "drift"
    assert not any({"drift", "mean"} <= set(run) for run in board.ranks.ties)
