"""Scores of distributions: by hand on a few rows, with what a board makes of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import poisson

from tests.helpers.forecasters import ROW_COLUMNS, wave
from tsforecast import leaderboard
from tsforecast.data.context import Context
from tsforecast.distributions.base import LEVELS, Distribution, Grid
from tsforecast.errors import DataError, ParameterError
from tsforecast.evaluation.backtest import backtest
from tsforecast.evaluation.leaderboard import Leaderboard
from tsforecast.evaluation.metrics import Metric, losses_of_rows
from tsforecast.evaluation.results import ForecastResults
from tsforecast.evaluation.scores import SCORES, column, scores
from tsforecast.evaluation.summaries import errors
from tsforecast.forecasters.naive import NaiveForecaster

NOISE = np.random.default_rng(0).normal(size=120)


class Spread(NaiveForecaster):
    """Zero, with uniform distributions from -width to width."""

    def __init__(self, width: float = 2.0, horizon: int = 1) -> None:
        super().__init__(horizon)
        self.width = width

    @property
    def learns_distribution(self) -> bool:
        return True

    def forecast(self, past: Context, horizon: int) -> np.ndarray:
        return np.zeros((len(past), horizon, past.n_targets))

    def distribution(self, past: Context, horizon: int) -> Distribution:
        values = np.interp(LEVELS, [0, 1], [-self.width, self.width])
        return Grid(np.tile(values, (len(past), horizon, past.n_targets, 1)))


class Silent(Spread):
    """A model whose distributions fail."""

    def distribution(self, past: Context, horizon: int) -> Distribution:
        raise DataError("too few errors are known")


class Poisson(Distribution):
    """Counts."""

    shape = (1, 3, 1)

    def quantiles(self, levels: object) -> np.ndarray:
        return np.tile(poisson.ppf(levels, 2.5), (1, 3, 1, 1))

    def cdf(self, y: object) -> np.ndarray:
        return poisson.cdf(y, 2.5)

    def below(self, y: object) -> np.ndarray:
        return poisson.cdf(np.asarray(y) - 1, 2.5)


def made(**columns: object) -> pd.DataFrame:
    """Return four rows of two series, whose truth has means of 2 and 8."""
    shared = {"model": "m", "series": ["a", "a", "b", "b"], "target": "y", "y": [1.0, 3.0, -4.0, 12.0]}
    return pd.DataFrame({**shared, "forecast": 2.0, "naive_mae": [0.5, 0.5, 4, 4], "naive_mse": 1.0} | columns)


def test_metrics_of_distributions_have_the_values_of_their_definitions() -> None:
    ends = {f"{end}{held}": sign * held / 10 for held in (50, 80, 95) for end, sign in (("lo", -1), ("hi", 1))}
    rows = made(crps=[1.0, 2.0, 3.0, 4.0], quantile_loss=[1.0, 1.0, 2.0, 6.0], pit_lo=0.5, pit_hi=0.5, **ends)
    assert losses_of_rows(rows, "crps").tolist() == [2.0, 4.0, 0.75, 1.0]
    assert errors(rows, metrics=["crps"])["crps"].tolist() == [(3.0 + 0.875) / 2]
    assert errors(rows, metrics=["wql"])["wql"].tolist() == [(1 + 1 + 2 + 6) / (1 + 3 + 4 + 12)]
    # Intervals of 95 % reach to 9.5: the last truth lies 2.5 above, at a price of 2 / 0.05 each.
    assert losses_of_rows(rows, "msis") == pytest.approx([19 / 0.5, 19 / 0.5, 19 / 4, (19 + 40 * 2.5) / 4])
    assert losses_of_rows(rows, "coverage50").tolist() == [1, 1, 1, 0]
    assert losses_of_rows(rows, "coverage80").tolist() == [1, 1, 1, 0]
    assert losses_of_rows(rows, "width80") == pytest.approx([32, 32, 4, 4])


def test_a_series_with_more_rows_counts_by_its_mean_in_wql() -> None:
    rows = made(crps=0.0, quantile_loss=[1.0, 1.0, 2.0, 6.0])
    twice = pd.concat([rows, rows.iloc[2:], rows.iloc[2:]])
    assert errors(twice, metrics=["wql"])["wql"].tolist() == errors(rows, metrics=["wql"])["wql"].tolist()


def test_a_point_forecast_alone_is_a_distribution_that_is_sure() -> None:
    rows, sure = made(), Grid.at(np.full((1, 4, 1), 2.0))
    truth = np.array([1.0, 3.0, -4.0, 12.0]).reshape(1, 4, 1)
    whole = rows.assign(**{name: value.ravel() for name, value in scores(sure, truth).items()})
    for metric in ("crps", "wql", "msis", "coverage80", "width95"):
        assert losses_of_rows(rows, metric) == pytest.approx(losses_of_rows(whole, metric))
        half = whole.assign(**{name: [np.nan, *whole[name][1:]] for name in SCORES})
        assert losses_of_rows(half, metric) == pytest.approx(losses_of_rows(whole, metric))
    assert losses_of_rows(rows, "crps") == pytest.approx(losses_of_rows(rows, "mase"))
    for name in SCORES:
        assert column(rows, name) == pytest.approx(whole[name].to_numpy())


def test_a_row_has_the_scores_of_its_distribution() -> None:
    rows = backtest(Spread(2.0), NOISE, horizon=3, origins=4, gap=2, distributions=True)
    assert tuple(rows.columns) == (*ROW_COLUMNS, *SCORES)
    y = rows["y"].to_numpy()
    share = (np.clip(y, -2, 2) + 2) / 4
    crps = 4 * (share**2 - share + 1 / 3) + np.maximum(abs(y) - 2, 0)  # of uniform distributions
    assert rows["crps"].to_numpy() == pytest.approx(crps, rel=0.01)
    assert rows["pit_hi"].to_numpy() == pytest.approx(share, abs=0.01)
    assert (rows["pit_lo"] == rows["pit_hi"]).all()
    assert rows[["lo50", "hi50", "lo80", "hi80", "lo95", "hi95"]].iloc[0].tolist() == pytest.approx(
        [-1, 1, -1.6, 1.6, -1.9, 1.9]
    )
    plain = backtest(Spread(2.0), NOISE, horizon=3, origins=4, gap=2)
    pd.testing.assert_frame_equal(rows[[*ROW_COLUMNS[:-2]]], plain[[*ROW_COLUMNS[:-2]]])


class Widening(Spread):
    """As wide as steps ahead."""

    def distribution(self, past: Context, horizon: int) -> Distribution:
        steps = np.arange(1, horizon + 1)[:, None, None]
        return Grid(np.tile(steps * np.interp(LEVELS, [0, 1], [-1, 1]), (len(past), 1, 1, 1)))


def test_steps_within_the_gap_are_not_scored() -> None:
    rows = backtest(Widening(), NOISE, horizon=3, origins=4, gap=2, distributions=True)
    assert rows["hi80"].tolist() == pytest.approx([0.8 * (step + 2) for step in rows["step"]])


def test_the_probability_of_a_count_has_two_ends() -> None:
    found = scores(Poisson(), np.array([[[0.0], [2.0], [7.0]]]))
    assert found["pit_lo"].ravel() == pytest.approx([0, poisson.cdf(1, 2.5), poisson.cdf(6, 2.5)])
    assert found["pit_hi"].ravel() == pytest.approx(poisson.cdf([0, 2, 7], 2.5))


def test_scores_in_parts_are_those_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    data = np.stack([wave(80, seed) for seed in range(5)])[..., None]
    whole = backtest(NaiveForecaster(), data, horizon=4, origins=3, distributions=True)
    monkeypatch.setattr("tsforecast.evaluation.scores.MOST", 8)
    parts = backtest(NaiveForecaster(), data, horizon=4, origins=3, distributions=True)
    pd.testing.assert_frame_equal(whole[[*SCORES]], parts[[*SCORES]])


@pytest.mark.long
@pytest.mark.parametrize("metric", ["crps", "wql", "msis"])
def test_the_right_spread_ranks_before_too_narrow_and_too_wide(metric: str) -> None:
    models = {"narrow": Spread(0.2), "right": Spread(2.2), "wide": Spread(20.0)}
    board = leaderboard(models, NOISE, horizon=1, origins=30, metric=metric)
    assert board.metric == metric
    ranked = [name for name in board.table["model"] if name in models]
    assert ranked[0] == "right"
    assert (losses_of_rows(board.rows, metric) >= 0).all()
    table = board.table.set_index("model")
    assert board.reference in ("naive", "seasonal-naive", "drift")
    assert table["skill"]["right"] == pytest.approx(1 - table[metric]["right"] / table[metric][board.reference])
    assert board.verdicts["right"].sentence.startswith(f"right is better than {board.reference}: ")
    assert f" lower {metric.upper()} than " in board.verdicts["right"].sentence
    assert table["crps_ratio"]["right"] == pytest.approx(table["crps"]["right"] / table["crps"]["seasonal-naive"])
    assert table["coverage80"]["narrow"] < 0.3 < 0.7 < table["coverage80"]["right"] < table["coverage80"]["wide"]


@pytest.mark.long
def test_distributions_are_scored_where_they_are_asked_for_or_a_model_has_its_own() -> None:
    def scored(**options: object) -> bool:
        return "crps" in leaderboard(horizon=1, origins=5, data=NOISE, **options).rows

    assert not scored(forecasters=[])
    assert scored(forecasters=[], distributions=True)
    assert scored(forecasters=[Spread()])
    assert not scored(forecasters=[Spread()], distributions=False)
    assert scored(forecasters=[], metrics={"beyond": lambda y, hi80: y > hi80})
    with pytest.raises(ParameterError, match="distributions must be True or False: got 'yes'"):
        scored(forecasters=[], distributions="yes")


def test_models_whose_distributions_fail_are_named_with_the_reason() -> None:
    board = leaderboard({"silent": Silent()}, NOISE, horizon=1, origins=5, metric="crps")
    assert board.notes[0] == "silent has no distribution: too few errors are known"
    assert board.notes[1] == (
        "1 of 4 models has point forecasts alone: silent; each counts as a distribution without spread, "
        "whose CRPS is the absolute error and whose intervals have no width"
    )
    table = board.table.set_index("model").loc["silent"]
    assert (table["crps"], table["coverage95"], table["width95"]) == (pytest.approx(table["mase"]), 0, 0)


def test_rows_without_scores_are_ranked_by_their_points(tmp_path: Path) -> None:
    board = leaderboard([], NOISE, horizon=1, origins=5)
    board.to_parquet(tmp_path / "old.parquet")
    again = Leaderboard.from_parquet(tmp_path / "old.parquet", metric="crps")
    assert again.notes[-1].startswith("3 of 3 models have point forecasts alone: ")
    assert again.table["crps"].tolist() == pytest.approx(again.table["mase"].tolist())
    assert "coverage80" not in again.table


@pytest.mark.long
def test_boards_with_and_without_scores_are_merged_and_read_again(tmp_path: Path) -> None:
    one = leaderboard([Spread()], NOISE, horizon=1, origins=5)
    other = leaderboard(["mean"], NOISE, horizon=1, origins=5)
    merged = one.merge(other, reference="naive")
    assert any(note.startswith("1 of 5 models has point forecasts alone: mean;") for note in merged.notes)
    turned = other.merge(one, reference="naive")  # the naive family has distributions on one board alone
    columns = ["model", "crps", "coverage80"]
    pd.testing.assert_frame_equal(
        *(board.table[columns].sort_values("model", ignore_index=True) for board in (merged, turned))
    )
    merged.to_parquet(tmp_path / "both.parquet")
    pd.testing.assert_frame_equal(ForecastResults.from_parquet(tmp_path / "both.parquet").table, merged.table)


@pytest.mark.process
def test_the_same_scores_come_from_two_processes_and_a_checkpoint(tmp_path: Path) -> None:
    options = {"horizon": 2, "origins": 4, "metric": "crps", "checkpoint": tmp_path}
    first = leaderboard(["mean"], NOISE, n_jobs=2, **options)
    second = leaderboard(["mean"], NOISE, **options)
    alone = leaderboard(["mean"], NOISE, **options | {"checkpoint": None})
    for board in (first, second):
        pd.testing.assert_frame_equal(board.rows[[*SCORES]], alone.rows[[*SCORES]])
    plain = leaderboard(["mean"], NOISE, horizon=2, origins=4, checkpoint=tmp_path)
    assert "crps" not in plain.rows


def pinball(y: np.ndarray, hi80: np.ndarray) -> np.ndarray:
    return np.maximum(0.9 * (y - hi80), 0.1 * (hi80 - y))


@pytest.mark.long
def test_a_metric_of_the_caller_is_a_column_and_can_rank(tmp_path: Path) -> None:
    own = {"pinball90": pinball, "hits": Metric(lambda y_true, y_pred: abs(y_true - y_pred) < 1, best=1.0)}
    board = leaderboard([Spread()], NOISE, horizon=1, origins=20, metrics=own, metric="pinball90")
    assert board.metric == "pinball90"
    table, rows = board.table.set_index("model"), board.rows
    mine = rows[rows["model"] == "Spread"]
    assert table["pinball90"]["Spread"] == pytest.approx(pinball(mine["y"], mine["hi80"]).mean())
    assert table["1 - hits"]["Spread"] == pytest.approx(1 - (mine["y"].abs() < 1).mean())
    assert board.display_table.columns[:3].tolist() == ["model", "pinball90", "1 - hits"]
    assert " lower pinball90 than " in board.verdicts["Spread"].sentence
    board.to_parquet(tmp_path / "own.parquet")
    again = ForecastResults.from_parquet(tmp_path / "own.parquet", metric="1 - hits")
    assert again.table["1 - hits"].is_monotonic_increasing
    ranked = leaderboard([Spread()], NOISE, horizon=1, origins=20, metrics=own, metric="hits")
    assert (ranked.metric, ranked.table["model"].tolist()) == ("1 - hits", again.table["model"].tolist())


@pytest.mark.parametrize(
    ("metrics", "sentence"),
    [
        ({"mase": pinball}, "metrics must have names of their own: got 'mase'; choose another one"),
        ({"f": 3}, "metrics['f'] must be a function, such as lambda y, forecast: ...: got 3"),
        ({"f": Metric(pinball, np.inf)}, "metrics['f'] must have a finite best value: got inf; return a loss"),
        ({"f": lambda: 1}, "metrics['f'] must name its parameters: wrap it as lambda y, forecast: ..."),
        (
            {"f": lambda y, guess: y},
            "metrics['f'] must have parameters that are columns of rows, such as y, forecast and hi80: it has 'guess', "
            "which none is; rename them, or give them a default",
        ),
        (
            {"f": lambda y, forecast: abs(y - forecast).mean()},
            "metrics['f'] must return a value for each of 5 forecasts: got an array of shape (); leave out the mean, "
            "as in abs(y - forecast)",
        ),
        ({"f": lambda y: y * np.nan}, "metrics['f'] must return finite numbers: 5 of 5 are not"),
        (
            {"f": lambda y: 1 // 0},
            "metrics['f'] must work on arrays of 5 forecasts: ZeroDivisionError: integer division or modulo by zero",
        ),
        (
            {"pinball90": lambda y, forecast: y - forecast},
            "metrics['pinball90'] must be at least 0 to rank models by its ratio: its least is -",
        ),
    ],
)
def test_a_function_that_is_no_metric_is_refused_in_a_sentence(metrics: dict, sentence: str) -> None:
    rank = "pinball90" if "pinball90" in metrics else "mase"
    with pytest.raises(ParameterError) as caught:
        leaderboard([], NOISE, horizon=1, origins=5, metrics=metrics, metric=rank)
    assert sentence in str(caught.value)
