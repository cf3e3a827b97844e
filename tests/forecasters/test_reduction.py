"""A reduction says what its regressor says of windows that are cut by hand, and corrects the naive forecast with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression, QuantileRegressor, Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.preprocessing import StandardScaler

from tests.helpers.forecasters import options, wave
from tsforecast.data.panel import Panel
from tsforecast.distributions.base import LEVELS
from tsforecast.errors import DataError, ParameterError
from tsforecast.estimators.persistence import load, save
from tsforecast.evaluation.backtest import backtest
from tsforecast.forecasters.naive import NaiveForecaster, SeasonalNaiveForecaster
from tsforecast.forecasters.reduction import LEARNED, ReductionForecaster

STRATEGIES = options(ReductionForecaster, "strategy")
TREES = GradientBoostingRegressor(loss="quantile", n_estimators=3, random_state=0)
PLAIN: dict[str, Any] = {"window": 8, "horizon": 3, "anchor": "none", "value_transform": None, "scaler": None}


class Nothing(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Says zero, whatever it is asked."""

    def fit(self, X: np.ndarray, y: np.ndarray) -> Nothing:
        self.shape_ = y.shape[1:]
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        return np.zeros((len(X), *self.shape_))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def windows(series: list[np.ndarray], horizon: int = 3) -> tuple[np.ndarray, np.ndarray]:
    each = np.concatenate([np.lib.stride_tricks.sliding_window_view(one, 8 + horizon) for one in series])
    return each[:, :8], each[:, 8:]


@pytest.mark.parametrize("regressor", [Ridge(0.1), KNeighborsRegressor(3)], ids=str)
def test_regressors_say_what_they_say_of_windows_cut_by_hand(regressor: Any) -> None:
    series = [wave(60, 0), wave(40, 1)]
    context = wave(20, 2)
    X, y = windows(series)
    at_once = regressor.fit(X, y).predict(context[None, -8:])[0]
    direct = [regressor.fit(X, y[:, step]).predict(context[None, -8:])[0] for step in range(3)]
    one = regressor.fit(*windows(series, 1))
    rolled = list(context)
    for _ in range(3):
        rolled.append(one.predict(np.array(rolled[-8:])[None]).item())
    expected = {"multioutput": at_once, "direct": direct, "recursive": rolled[-3:]}
    for strategy in STRATEGIES:
        model = ReductionForecaster(regressor, strategy, **PLAIN).fit(series)
        assert np.allclose(model.predict([context])[0], expected[strategy]), strategy


def test_a_regressor_that_says_one_number_says_all_steps_one_by_one() -> None:
    model = ReductionForecaster(HistGradientBoostingRegressor(max_iter=5), "multioutput", **PLAIN).fit(wave(80))
    assert len(model.regressors_[0].estimators_) == 3


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("settings", [{}, {"value_transform": "log"}, {"scaler": StandardScaler()},
                                      {"instance_norm": True}], ids=str)  # fmt: skip
def test_a_regressor_that_says_nothing_leaves_the_naive_forecast(strategy: str, settings: dict) -> None:
    panel = Panel.from_array([wave(90), wave(70, 1)], season_length=6)
    for anchor, naive in (("last", NaiveForecaster(7)), ("seasonal", SeasonalNaiveForecaster(7))):
        model = ReductionForecaster(Nothing(), strategy, window=12, horizon=7, anchor=anchor, **settings).fit(panel)
        for said, expected in zip(model.predict(), naive.fit(panel).predict(), strict=True):
            assert np.allclose(said, expected, rtol=1e-12)


@pytest.mark.parametrize("setting", [{"anchor": "last"}, {"value_transform": "log"}, {"scaler": "min-max"},
                                     {"instance_norm": True}, {"per_series": False, "scaler": "standard"},
                                     {"max_windows": 20}, {"window": 5}, {"strategy": "recursive"}],
                         ids=str)  # fmt: skip
def test_every_setting_does_something(setting: dict) -> None:
    data = [wave(80), 3 * wave(80, 1)]
    plain = ReductionForecaster(Ridge(5.0), **PLAIN).fit(data).predict()[0]
    assert not np.allclose(ReductionForecaster(Ridge(5.0), **PLAIN | setting).fit(data).predict()[0], plain, rtol=1e-6)


def gaps(count: int = 300) -> np.ndarray:
    """A season of six steps, of which three are noisy."""
    steps = np.arange(count)
    return 10 + steps % 6 + np.where(steps % 6 < 3, 2.0, 0.1) * np.random.default_rng(0).normal(size=count)


@pytest.mark.long
@pytest.mark.sample(3)
@pytest.mark.parametrize("strategy", ["multioutput", "direct"])
@pytest.mark.parametrize(("regressor", "name"), [(QuantileRegressor(alpha=0), "quantile"), (TREES, "alpha")], ids=str)
def test_regressors_of_quantiles_say_what_clones_of_each_level_say(strategy: str, regressor: Any, name: str) -> None:
    series = gaps(120)
    X, y = windows([series])
    model = ReductionForecaster(regressor, strategy, **PLAIN | {"anchor": "none"}).fit(series)
    by_hand = np.array(
        [
            [
                clone(regressor).set_params(**{name: level}).fit(X, y[:, step]).predict(series[None, -8:])[0]
                for level in LEARNED
            ]
            for step in range(3)
        ]
    )
    found = model.predict(quantiles=LEARNED)
    assert np.allclose(found[:, 1:], np.sort(by_hand, axis=1), rtol=1e-5)
    assert model.learns_distribution
    all_levels = model.predict(quantiles=LEVELS, horizon=7)[:, 1:]
    assert (np.diff(all_levels, axis=1) >= 0).all()
    assert np.allclose(model.predict(horizon=7), model.predict(quantiles=[0.5], horizon=7)[:, 0])
    assert np.allclose(np.diff(all_levels[:3]), np.diff(all_levels[3:6]))  # beyond the horizon: its steps again


@pytest.mark.long
def test_the_width_of_quantiles_follows_the_window_as_that_of_errors_does_not() -> None:
    series = gaps()
    quantiles, errors = QuantileRegressor(alpha=0.001), Ridge()
    ratios = []
    for regressor in (quantiles, errors):
        model = ReductionForecaster(regressor, window=12, horizon=1).fit(series)
        ends = np.array([model.predict(series[:at], interval=0.8) for at in range(280, 292)])[:, 0, 1:]
        width = np.diff(ends, axis=1)[:, 0]
        ratios.append(width[np.arange(280, 292) % 6 < 3].mean() / width[np.arange(280, 292) % 6 >= 3].mean())
    assert ratios[0] > 5 > 1.5 > ratios[1]


def test_supervised_windows_have_quantiles_of_a_regressor_of_them_alone() -> None:
    X, y = windows([gaps(120)])
    model = ReductionForecaster(QuantileRegressor(alpha=0.01), window=8, horizon=3).fit(X, y)
    found = model.predict(X[:5], interval=0.8)
    assert found.shape == (5, 3, 3)
    assert (found[..., 1] < found[..., 2]).all()
    with pytest.raises(ParameterError, match="supervised windows show no errors"):
        ReductionForecaster(window=8, horizon=3).fit(X, y).predict(X[:5], interval=0.8)


def test_regressors_of_one_number_and_recursion_have_the_distribution_of_their_errors() -> None:
    trees, quantiles = HistGradientBoostingRegressor(max_iter=3), QuantileRegressor(alpha=0.01)
    for regressor, strategy in (
        (None, "direct"),
        (Ridge(), "multioutput"),
        (trees, "direct"),
        (quantiles, "recursive"),
    ):
        model = ReductionForecaster(regressor, strategy, window=8, horizon=2).fit(gaps(100))
        assert not model.learns_distribution
        assert (np.diff(model.predict(interval=0.8)[:, 1:]) > 0).all()


@pytest.mark.long
@pytest.mark.sample(2)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_is_known_ahead_of_each_step_and_of_each_series_counts(strategy: str) -> None:
    days = pd.date_range("2024-01-01", periods=120, freq="D")
    random = np.random.default_rng(0)
    parts = []
    for shop, region in (("a", "north"), ("b", "south")):
        event = (random.random(120) < 0.3).astype(float)
        sales = 5.0 + 4.0 * event * (1 if region == "north" else 0) + 0.01 * random.normal(size=120)
        parts.append(pd.DataFrame({"shop": shop, "day": days, "sales": sales, "event": event, "region": region}))
    frame = pd.concat(parts)
    known = frame["day"] < days[117]
    panel = Panel.from_frame(frame[known], id="shop", target="sales", future="event", static="region")
    model = ReductionForecaster(
        HistGradientBoostingRegressor(min_samples_leaf=5), strategy, window=3, horizon=3, anchor="none", scaler=None
    )
    said = model.fit(panel).predict(future=frame.loc[~known, ["shop", "day", "event"]])
    assert np.abs(said["sales"].to_numpy() - frame.loc[~known, "sales"].to_numpy()).max() < 1.0


def test_a_calendar_and_past_columns_are_read() -> None:
    days = pd.date_range("2024-01-01", periods=150, freq="D")
    lead = np.random.default_rng(0).normal(size=151)
    weekday = (days.day_of_week == 2) * 3.0
    frame = pd.DataFrame({"day": days, "y": lead[:150] + weekday, "lead": lead[1:]})
    panel = Panel.from_frame(frame[:149], target="y", past="lead").with_calendar("weekday")
    model = ReductionForecaster(LinearRegression(), window=7, anchor="none").fit(panel)
    assert model.predict()["y"].item() == pytest.approx(frame["y"][149], abs=0.2)


def test_several_targets_have_rows_of_their_own() -> None:
    data = np.stack([wave(90), 40 - 2 * wave(90, 1)], axis=1)
    model = ReductionForecaster(window=12, horizon=4).fit(data[:86])
    naive = np.abs(data[85] - data[86:]).mean(axis=0)
    assert (np.abs(model.predict() - data[86:]).mean(axis=0) < naive).all()
    assert model.regressors_[0].n_features_in_ == 12 + 2


def test_steps_without_truth_teach_nothing() -> None:
    gaps = wave(90)
    gaps[[30, 45]] = np.nan
    panel = Panel.from_array(gaps, nan_policy="mask")
    model = ReductionForecaster(LinearRegression(), "direct", **PLAIN).fit(panel)
    filled = pd.Series(gaps).ffill().to_numpy()
    X, y = windows([filled])
    truth = windows([gaps])[1]
    for step in range(3):
        there = ~np.isnan(truth[:, step])
        expected = LinearRegression().fit(X[there], y[there, step]).predict(filled[None, -8:])
        assert model.predict()[step] == pytest.approx(expected.item())


def test_a_reduction_beats_the_naive_forecast_on_a_board() -> None:
    panel = Panel.from_array(wave(200), season_length=6)
    rows = backtest(ReductionForecaster(), panel, horizon=6, origins=5)
    naive = backtest(SeasonalNaiveForecaster(), panel, horizon=6, origins=5)
    error, other = ((r["y"] - r["forecast"]).abs().mean() for r in (rows, naive))
    assert error < 0.8 * other


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_default_one_is_saved_and_loaded_and_others_say_how_to_be_kept(strategy: str, tmp_path: Path) -> None:
    model = ReductionForecaster(strategy=strategy, window=12, horizon=4).fit([wave(90), wave(80, 1)])
    save(model, tmp_path / "model")
    for got, expected in zip(load(tmp_path / "model").predict(), model.predict(), strict=True):
        assert np.array_equal(got, expected)
    with pytest.raises(ParameterError, match=r"cannot be saved: .* or keep the forecaster with pickle"):
        save(ReductionForecaster(Ridge(), strategy, window=12).fit(wave(90)), tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_loaded_one_forecasts_the_same_to_the_bit(tmp_path: Path) -> None:
    for seed, (rows, horizon, window) in enumerate([(220, 15, 42), (211, 16, 32), (353, 15, 34)]):
        model = ReductionForecaster(horizon=horizon, window=window).fit(50 + wave(rows, seed))
        model.save(tmp_path / str(seed))
        again = load(tmp_path / str(seed))
        assert again.regressors_[0].coef_.strides == model.regressors_[0].coef_.strides
        assert again.predict().tolist() == model.predict().tolist()


def test_what_cannot_work_is_refused() -> None:
    with pytest.raises(ParameterError) as caught:
        ReductionForecaster(Ridge, "directly", window=0, max_windows=0, instance_norm=None).fit(wave())
    assert [problem.split(" must")[0] for problem in caught.value.problems] == [
        "window",
        "regressor",
        "strategy",
        "instance_norm",
        "max_windows",
    ]
    with pytest.raises(ParameterError, match="sample_weight must have a regressor that takes it: KNeighborsRegressor"):
        ReductionForecaster(KNeighborsRegressor()).fit(np.ones((9, 4)), np.ones(9), sample_weight=np.ones(9))
    panel = Panel.from_array(np.where(np.arange(30) < 12, wave(30), np.nan), nan_policy="mask")
    with pytest.raises(DataError, match="a step to forecast must be known after some window: it is missing every"):
        ReductionForecaster(window=12).fit(panel)
