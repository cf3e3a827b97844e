"""A backtest forecasts from each cutoff with what was known there, and keeps every forecast as a row."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.helpers.forecasters import ROW_COLUMNS, small, wave
from tsforecast.data.context import Context
from tsforecast.data.panel import Panel
from tsforecast.data.scaling import seasonal_scale
from tsforecast.errors import DataError, ParameterError
from tsforecast.evaluation.backtest import backtest
from tsforecast.forecasters.base import Forecaster
from tsforecast.forecasters.naive import NaiveForecaster, SeasonalNaiveForecaster


class Oracle(Forecaster):
    """A model whose answer is known: it counts the rows that it was fitted on and those that it sees."""

    def __init__(self, horizon: int = 1) -> None:
        self.horizon = horizon

    def _fit(self, panel: Panel) -> None:
        self.fitted_rows_ = int(panel.lengths.sum())

    def forecast(self, past: Context, horizon: int) -> np.ndarray:
        steps = np.arange(horizon)[None, :, None]
        return 1000.0 * self.fitted_rows_ + past.lengths[:, None, None] + steps / 100 + np.zeros((1, 1, past.n_targets))


def test_rows_have_the_agreed_columns_and_one_row_for_each_step() -> None:
    rows = backtest(NaiveForecaster(), np.zeros((3, 30, 2)), horizon=4, origins=5)
    assert tuple(rows.columns) == ROW_COLUMNS
    assert len(rows) == 3 * 2 * 5 * 4
    assert not rows.duplicated(["series", "target", "cutoff", "step"]).any()


def test_rows_equal_those_of_a_plain_loop(ragged: Panel) -> None:
    rows = backtest(SeasonalNaiveForecaster(), ragged, horizon=5, origins=3, step=2, gap=1).set_index(
        ["series", "cutoff", "step"]
    )
    assert len(rows) == 3 * 3 * 5
    for i in range(3):
        values = ragged.series(i)[:, 0]
        for origin in range(3):
            seen = len(values) - 5 - 1 - 2 * (2 - origin)
            grown = list(values[:seen])
            for _ in range(6):
                grown.append(grown[-6])
            for step in range(5):
                row = rows.loc[(i, seen - 1, step + 1)]
                assert row["forecast"] == grown[seen + 1 + step]
                assert row["y"] == values[seen + 1 + step]
                assert row["time"] == seen + 1 + step
            assert (row["naive_mae"], row["naive_mse"]) == pytest.approx(seasonal_scale(values[:seen], 6))


def test_without_refit_the_model_is_fitted_once_at_the_oldest_cutoff_and_sees_each_past() -> None:
    rows = backtest(Oracle(), np.zeros(50), horizon=2, origins=3)
    assert rows["forecast"].tolist() == [44044.0, 44044.01, 44046.0, 44046.01, 44048.0, 44048.01]


def test_with_refit_it_is_fitted_at_each_cutoff() -> None:
    rows = backtest(Oracle(), np.zeros(50), horizon=2, origins=3, refit=True)
    assert rows["forecast"].tolist() == [44044.0, 44044.01, 46046.0, 46046.01, 48048.0, 48048.01]


@pytest.mark.parametrize("refit", [False, True])
def test_a_sliding_cutoff_fits_on_and_sees_no_more_than_the_training_length(refit: bool) -> None:
    rows = backtest(Oracle(), np.zeros(50), horizon=2, origins=2, train_length=10, refit=refit)
    assert rows["forecast"].iloc[::2].tolist() == [10010.0, 10010.0]


@pytest.mark.long
def test_what_lies_before_a_sliding_past_moves_no_forecast_and_no_scale(forecaster: Forecaster) -> None:
    data = np.stack([wave(90, i) for i in range(4)], axis=1)
    data[70:, 1] = np.nan  # nothing is known any more: its last numbers lie before the past of the later cutoff
    data[50:62, 2] = np.nan  # the past of the later cutoff begins with nothing
    changed = data.copy()
    changed[:60] = -7 * changed[:60] + 1000
    settings = {"horizon": 4, "origins": 2, "step": 6, "train_length": 26, "refit": True}
    before, after = (
        backtest(forecaster, Panel.from_array(part, season_length=6, nan_policy="mask"), **settings).query(
            "cutoff == 85"
        )
        for part in (data, changed)
    )
    columns = ["forecast", "naive_mae", "naive_mse"]
    assert np.isfinite(before[columns]).all(axis=None)
    assert before[columns].equals(after[columns])
    assert len(before) == 4 * 3


def test_the_scale_of_a_sliding_past_is_that_of_the_rows_in_it() -> None:
    values = wave(50)
    panel = Panel.from_array(values, season_length=6)
    for _, row in backtest(NaiveForecaster(), panel, horizon=1, origins=3, train_length=20).iterrows():
        seen = row["cutoff"] + 1
        assert (row["naive_mae"], row["naive_mse"]) == seasonal_scale(values[seen - 20 : seen], 6)


def test_a_gap_skips_the_first_forecast_steps() -> None:
    rows = backtest(Oracle(), np.zeros(50), horizon=2, gap=3)
    assert rows["forecast"].tolist() == [45045.03, 45045.04]
    assert rows[["cutoff", "step", "time"]].values.tolist() == [[44, 1, 48], [44, 2, 49]]


def test_the_forecaster_that_was_given_is_left_alone() -> None:
    model = small("gru", horizon=9)
    backtest(model, wave(90), horizon=3)
    assert model.horizon == 9
    assert not hasattr(model, "panel_")


def test_time_stamps_and_names_stand_in_the_rows() -> None:
    frame = pd.DataFrame({"shop": "a", "day": pd.date_range("2024-01-01", periods=20), "sales": wave(20)})
    rows = backtest(small("naive"), frame, horizon=2, name="mine")
    assert rows["time"].astype(str).tolist() == ["2024-01-19", "2024-01-20"]
    assert rows["cutoff"].astype(str).tolist() == ["2024-01-18"] * 2
    assert rows[["model", "series", "target"]].values.tolist() == [["mine", "a", "sales"]] * 2


def test_the_seed_stands_in_the_rows_of_a_network_and_is_missing_for_a_naive_forecast() -> None:
    assert backtest(small("gru"), wave(90), horizon=3)["seed"].tolist() == [0, 0, 0]
    assert backtest(small("naive"), wave(90), horizon=3)["seed"].isna().all()


def test_missing_truth_makes_no_row_and_a_series_that_has_not_begun_no_forecast() -> None:
    days = pd.date_range("2024-01-01", periods=20)
    whole = pd.DataFrame({"id": "whole", "day": days, "y": wave(20)})
    late = pd.DataFrame({"id": "late", "day": days[15:], "y": wave(5)})
    whole.loc[17, "y"] = np.nan
    panel = Panel.from_frame(pd.concat([whole, late]), nan_policy="mask")
    rows = backtest(NaiveForecaster(), panel, horizon=4, origins=2)
    counts = rows.groupby(["series", "cutoff"], observed=True).size().to_dict()
    assert counts == {
        ("whole", days[11]): 4,
        ("whole", days[15]): 3,
        ("late", days[15]): 4,
    }


def test_too_short_data_are_refused_before_anything_is_fitted() -> None:
    with pytest.raises(DataError, match="they need 13 steps, the data have 12; use origins <= 1"):
        backtest(NaiveForecaster(), wave(12), horizon=6, origins=2)


def test_something_that_is_no_forecaster_is_refused() -> None:
    with pytest.raises(ParameterError, match=r"a model must be a forecaster, such as GRUForecaster\(\), .*: got str"):
        backtest("gru", wave(90), horizon=3)
    with pytest.raises(ParameterError) as caught:
        backtest([NaiveForecaster()], wave(90), horizon=3)
    assert str(caught.value) == (
        "a model must be a forecaster, such as GRUForecaster(), a regressor of scikit-learn, a function of context and "
        "horizon, or an object with fit and predict: got list; give one (leaderboard compares several)"
    )
    with pytest.raises(ParameterError, match="got the class NaiveForecaster; write NaiveForecaster"):
        backtest(NaiveForecaster, wave(90), horizon=3)
