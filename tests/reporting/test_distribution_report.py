"""Distributions in the report: intervals, probabilities of the truth, and the next horizon."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.helpers.forecasters import wave
from tests.reporting.test_report import titles
from tsforecast.data.context import Context
from tsforecast.errors import DataError, ParameterError
from tsforecast.evaluation.leaderboard import Leaderboard, leaderboard
from tsforecast.evaluation.report import figures
from tsforecast.evaluation.report.figures import View, ahead_of
from tsforecast.evaluation.report.forecasts import html_report, html_table, interval_table
from tsforecast.forecasters.naive import NaiveForecaster


class Pastless(NaiveForecaster):
    """The naive forecast until the last rows of the data may be seen."""

    def forecast(self, past: Context, horizon: int) -> np.ndarray:
        if past.lengths.max() >= 90:
            raise DataError("nothing is known after the data")
        return super().forecast(past, horizon)


@pytest.fixture(scope="module")
def board() -> Leaderboard:
    """Three series, six cutoffs, with the steps after the data."""
    days = pd.date_range("2024-01-01", periods=90)
    frame = pd.concat(
        [pd.DataFrame({"id": name, "day": days, "y": wave(90, i) * (1 + i)}) for i, name in enumerate("abc")]
    )
    return leaderboard(["theta", Pastless()], frame, horizon=4, origins=6, gap=2, metric="crps", forecast=True)


@pytest.mark.thorough
def test_the_page_has_the_next_horizon_and_the_distributions(board: Leaderboard) -> None:
    page = html_report(board)
    assert titles(page)[:4] == ["Forecast", "All numbers", "Forecasts and actual values", "Distributions"]
    assert all(f"<li>{name}: " in page for name in board.calibrations)
    for name in ("pit", "reliability", "ahead-0"):
        assert f'id="{name}-' in page
    assert "Shades should hold 50, 80 and 95% of outcomes" in page
    plain = html_report(leaderboard([], wave(60), horizon=3, origins=5))
    assert {"Forecast", "Distributions"}.isdisjoint(titles(plain))
    assert "Shades" not in plain


def test_the_next_horizon_follows_the_data_after_the_gap(board: Leaderboard, tmp_path: Path) -> None:
    known = board.record.ahead
    assert set(known["model"]) == {"theta", board.reference}
    mine = ahead_of(board, "b", "y", "theta")
    assert mine["time"].tolist() == pd.date_range("2024-04-02", periods=4).tolist()  # two days after 30 March
    assert (mine["lo95"] <= mine["lo80"]).all()
    assert (mine["lo80"] < mine["forecast"]).all()
    assert (mine["forecast"] < mine["hi80"]).all()
    assert board.notes[-1] == "Pastless has no forecast after the data: nothing is known after the data"
    board.to_parquet(tmp_path / "rows.parquet")
    pd.testing.assert_frame_equal(Leaderboard.from_parquet(tmp_path / "rows.parquet").record.ahead, known)
    with pytest.raises(ParameterError, match="forecast must be True or False: got 4"):
        leaderboard([], wave(60), horizon=3, forecast=4)


@pytest.mark.long
def test_merged_boards_have_the_next_horizon_of_both() -> None:
    options = {"horizon": 3, "origins": 5, "reference": "naive", "forecast": True}
    one, other = (leaderboard([name], wave(60), **options) for name in ("mean", "theta"))
    merged = one.merge(other).record.ahead
    assert merged["model"].unique().tolist() == ["naive", "mean", "theta"]
    assert len(merged) == 9
    assert leaderboard([], wave(60), horizon=3, origins=5).record.ahead is None


def test_intervals_of_the_best_model_are_shaded_around_the_cutoffs(board: Leaderboard) -> None:
    axes = board.plot_forecasts("c")
    best, cutoffs = figures.fanned(View(board)), figures.disjoint_cutoffs(figures.rows_of(board, "c", "y"))[-4:]
    assert len(axes.collections) == 3 * len(cutoffs)
    rows = figures.rows_of(board, "c", "y")
    mine = rows[(rows["model"] == best) & (rows["cutoff"] == cutoffs[0])]
    heights = axes.collections[1].get_paths()[0].vertices[:, 1]  # 95, then 80 %
    assert (heights.min(), heights.max()) == pytest.approx((mine["lo80"].min(), mine["hi80"].max()))
    assert axes.get_title(loc="left") == f"c: forecasts 4 steps ahead; shades: 50, 80 and 95% intervals of {best}"
    plain = leaderboard([], wave(60), horizon=3, origins=5).plot_forecasts()
    assert not plain.collections
    with pytest.raises(DataError, match="there is no 'y' of 'd'; series are 'a', 'b', 'c'"):
        board.plot_forecasts("d")


def test_the_lines_of_probabilities_are_those_of_the_rows(board: Leaderboard) -> None:
    view = View(board)
    (axes,) = figures.reliability(view).axes
    line = next(line for line in axes.lines if line.get_label() == view.drawn[0])
    mine = board.rows[board.rows["model"] == view.drawn[0]]
    assert line.get_ydata()[9] == pytest.approx((mine["pit_hi"] <= 0.5).mean())
    (axes,) = figures.probabilities(view).axes
    line = next(line for line in axes.lines if line.get_label() == view.drawn[0])
    assert line.get_ydata()[0] == pytest.approx((mine["pit_hi"] <= 0.1).mean() * 10)
    assert np.mean(line.get_ydata()[:-1]) == pytest.approx(1)


def test_the_table_of_intervals_has_shares_widths_and_words(board: Leaderboard) -> None:
    grid = interval_table(board)
    assert grid.columns == (
        *("model", "50% inside", "50% width", "80% inside", "80% width", "95% inside", "95% width", "at 80%", "at 95%"),
    )
    table = board.table.set_index("model")
    for row in grid.rows:
        assert row[3] == f"{table.loc[row[0], 'coverage80']:.1%}"
        assert list(row[-2:]) == [each.outcome for each in board.calibrations[row[0]].coverages]


def test_json_and_notebooks_have_the_columns_of_distributions(board: Leaderboard) -> None:
    text = board.to_json()
    assert '"calibrations"' in text
    assert '"coverage80"' in text
    assert re.search(r"<th[^>]*>CRPS</th>", html_table(board))
