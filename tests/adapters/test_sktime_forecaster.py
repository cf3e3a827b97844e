"""Forecasters of tsforecast within sktime, against direct calls; `make adapters` runs these, where sktime is there."""

from __future__ import annotations

import doctest
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import Ridge

from tsforecast import GRUForecaster, NaiveForecaster, Panel, ReductionForecaster, SeasonalNaiveForecaster
from tsforecast.errors import DataError, ParameterError

pytestmark = [pytest.mark.adapters, pytest.mark.filterwarnings("ignore")]  # those of sktime are theirs

RANDOM = np.random.default_rng(0)
DAYS = pd.date_range("2024-01-01", periods=70, freq="D")
PRICES = RANDOM.normal(size=77)
SALES = np.tile([5.0, 6, 7, 8, 9, 14, 12], 11) + 3 * PRICES + RANDOM.normal(size=77) / 4
Y = pd.Series(SALES[:70], DAYS, name="sales")
X = pd.DataFrame({"price": PRICES}, pd.date_range("2024-01-01", periods=77, freq="D"))
GRU = GRUForecaster(units=4, window=7, max_epochs=2, random_state=0)
RIDGE = ReductionForecaster(Ridge(), window=7)


def ours(forecaster: Any = GRU, **params: Any) -> Any:
    from tsforecast.adapters.sktime_forecaster import TsforecastForecaster

    return TsforecastForecaster(forecaster, **params)


def direct(panel: Panel, forecaster: Any = GRU, horizon: int = 5, **asked: Any) -> np.ndarray:
    """Return the columns of numbers of `predict`, of all series below each other."""
    found = clone(forecaster).set_params(horizon=horizon).fit(panel).predict(**asked)
    return pd.DataFrame(found).select_dtypes("float").to_numpy()


def long(y: pd.DataFrame) -> pd.DataFrame:
    """Return rows of series with one name each as a long frame."""
    return y.reset_index().astype({y.index.names[0]: str})


def test_the_checks_of_sktime_pass() -> None:
    from sktime.utils.estimator_checks import check_estimator

    results = check_estimator(type(ours()), raise_exceptions=True, verbose=False)
    assert len(results) > 1000
    assert set(results.values()) == {"PASSED"}


def test_the_examples_of_the_module_are_as_they_stand() -> None:
    import tsforecast.adapters.sktime_forecaster as module

    assert doctest.testmod(module).attempted > 5
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize("fh", [[1, 2, 5], [5], DAYS[-1:] + pd.to_timedelta(5, "D"), pd.to_timedelta([2, 5], "D")])
def test_steps_with_gaps_are_those_of_a_direct_forecast(fh: Any) -> None:
    expected = pd.Series(direct(Panel.of(Y))[:, 0], DAYS[-1] + pd.to_timedelta(range(1, 6), "D"))
    found = ours().fit(Y, fh=fh).predict()
    assert found.name == "sales"
    assert found.index[-1] == expected.index[-1]
    np.testing.assert_array_equal(found, expected[found.index])


def test_without_fh_in_fit_the_horizon_is_the_own_one_and_steps_beyond_it_continue() -> None:
    model = ours(GRU.__class__(**(GRU.get_params() | {"horizon": 3}))).fit(Y)
    assert model.forecaster_.horizon_ == 3
    expected = direct(Panel.of(Y), horizon=3)[:, 0]
    np.testing.assert_array_equal(model.predict(fh=[1, 3]), expected[[0, 2]])
    continued = clone(GRU).set_params(horizon=3).fit(Y).predict(horizon=7)
    np.testing.assert_array_equal(model.predict(fh=[2, 7]), continued.iloc[[1, 6]])


@pytest.mark.parametrize("forecaster", [GRU, RIDGE])
def test_quantiles_and_intervals_are_those_of_predict(forecaster: Any) -> None:
    model = ours(forecaster).fit(Y, fh=[1, 4])
    expected = direct(Panel.of(Y), forecaster, 4, quantiles=[0.1, 0.5, 0.9])
    found = model.predict_quantiles(alpha=[0.9, 0.1])
    assert found.columns.tolist() == [("sales", 0.9), ("sales", 0.1)]
    np.testing.assert_allclose(found, expected[[0, 3]][:, [3, 1]])
    inside = model.predict_interval(coverage=0.8)
    np.testing.assert_allclose(inside, expected[[0, 3]][:, [1, 3]])


def test_covariates_that_are_known_ahead_are_read() -> None:
    model = ours(RIDGE).fit(Y, X=X[:70], fh=np.arange(1, 8))
    found = model.predict(X=X[70:])
    frame = pd.DataFrame({"day": DAYS, "sales": Y.to_numpy(), "price": PRICES[:70]})
    ahead = X[70:].rename_axis("day").reset_index()
    panel = Panel.from_frame(frame, time="day", target="sales", future="price")
    np.testing.assert_allclose(found, direct(panel, RIDGE, 7, future=ahead)[:, 0])
    without = ours(RIDGE).fit(Y, fh=np.arange(1, 8)).predict()
    assert np.abs(found - SALES[70:]).mean() < 0.75 * np.abs(without - SALES[70:]).mean()
    assert not ours(NaiveForecaster()).get_tag("capability:exogenous")
    text = X.assign(kind=np.array(["a", "b"])[(PRICES > 0).astype(int)]).astype({"kind": "category"})
    assert ours(GRU).fit(Y, X=text[:70], fh=[1]).predict(X=text[70:]).notna().all()


def test_several_columns_are_forecast_by_one_model() -> None:
    both = pd.DataFrame({"sales": Y, "sales'": Y * 2, 0: Y + PRICES[:70]})
    panel = Panel.from_frame(
        both.rename(columns=str).rename_axis("day").reset_index(), time="day", target=["sales", "sales'", "0"]
    )
    found = ours().fit(both, fh=[2, 5]).predict()
    assert found.columns.tolist() == ["sales", "sales'", 0]
    np.testing.assert_array_equal(found, direct(panel)[[1, 4]])
    quantiles = ours().fit(both, fh=[2]).predict_quantiles(alpha=[0.5])
    assert quantiles.columns.tolist() == [("sales", 0.5), ("sales'", 0.5), (0, 0.5)]


def many(ends: tuple[int, ...] = (70, 70, 70)) -> pd.DataFrame:
    """Return series of two levels of names, each with sizes of its own."""
    parts = {(f"s{i}", i): pd.DataFrame({"sales": Y[:end] * (i + 1)}) for i, end in enumerate(ends)}
    return pd.concat(parts, names=["shop", "floor", "day"])


def test_one_model_learns_from_all_series_of_a_hierarchy() -> None:
    y = many()
    found = ours().fit(y, fh=[1, 3]).predict()
    assert found.index.names == ["shop", "floor", "day"]
    assert found.index.tolist() == [
        (f"s{i}", i, DAYS[-1] + pd.to_timedelta(at, "D")) for i in range(3) for at in (1, 3)
    ]
    panel = Panel.from_frame(long(y).drop(columns="floor"), id="shop", time="day", target="sales")
    np.testing.assert_array_equal(found, direct(panel, horizon=3)[[0, 2, 3, 5, 6, 8]])
    alone = ours().fit(y.loc[("s1", 1)], fh=[1, 3]).predict()
    assert not np.allclose(found.loc[("s1", 1)], alone)


def test_relative_steps_count_from_each_end_and_absolute_ones_are_the_same_times() -> None:
    y = many((70, 66, 50)).droplevel("floor")
    panel = Panel.from_frame(long(y), id="shop", time="day", target="sales")
    expected = direct(panel, SeasonalNaiveForecaster(), 25, ended="forecast").reshape(3, 25)
    model = ours(SeasonalNaiveForecaster()).fit(y, fh=[1, 5])
    found = model.predict()
    np.testing.assert_array_equal(found["sales"], expected[:, [0, 4]].ravel())
    assert found.loc["s2"].index.tolist() == [DAYS[50], DAYS[54]]
    later = model.predict(fh=pd.DatetimeIndex(["2024-03-14"]))  # the fourth day after the last
    np.testing.assert_array_equal(later["sales"], expected[[0, 1, 2], [3, 7, 23]])
    assert set(later.index.get_level_values(-1)) == {pd.Timestamp("2024-03-14")}


def test_updates_learn_again_or_forecast_from_the_new_end() -> None:
    first, new = Y[:60], Y[60:]
    fitted = clone(GRU).set_params(horizon=3).fit(first)
    model = ours().fit(first, fh=[1, 3]).update(new, update_params=False)
    np.testing.assert_array_equal(model.predict(), fitted.predict(Y).iloc[[0, 2]])
    assert model.predict().index[0] == DAYS[-1] + pd.to_timedelta(1, "D")
    model = ours().fit(first, fh=[1, 3]).update(new)
    np.testing.assert_array_equal(model.predict(), clone(GRU).set_params(horizon=3).fit(Y).predict().iloc[[0, 2]])
    model = ours(RIDGE).fit(first, X=X[:60], fh=[1]).update(new, X=X[60:70], update_params=False)
    assert np.isfinite(model.predict(X=X[70:])).all()


def test_sktime_nests_clones_splits_tunes_and_pipes_it() -> None:
    from sktime.forecasting.compose import TransformedTargetForecaster
    from sktime.forecasting.model_evaluation import evaluate
    from sktime.forecasting.model_selection import ForecastingGridSearchCV
    from sktime.forecasting.naive import NaiveForecaster as Last
    from sktime.split import ExpandingWindowSplitter
    from sktime.transformations.series.difference import Differencer

    model = ours().clone().set_params(forecaster__units=3)
    assert model.clone().get_params()["forecaster__units"] == 3
    assert GRU.units == 4
    cutoffs = ExpandingWindowSplitter(fh=[1, 2], initial_window=56, step_length=7)
    found = evaluate(ours(RIDGE), cutoffs, Y, X[:70], strategy="refit", error_score="raise")
    assert len(found) == 2
    search = ForecastingGridSearchCV(ours(RIDGE), cutoffs, {"forecaster__window": [3, 7]}, error_score="raise")
    assert search.fit(Y, fh=[1, 2]).best_params_ in ({"forecaster__window": 3}, {"forecaster__window": 7})
    piped = [TransformedTargetForecaster([Differencer(lags=7), each]) for each in (ours(NaiveForecaster()), Last())]
    np.testing.assert_allclose(*(each.fit(Y, fh=[1, 2]).predict() for each in piped))


def test_any_model_that_a_board_takes_is_taken() -> None:
    def last(context: pd.DataFrame, horizon: int) -> np.ndarray:
        return np.repeat(context["sales"].to_numpy()[-1], horizon)

    assert ours(last).fit(Y, fh=[1, 2]).predict().tolist() == [Y.iloc[-1]] * 2
    assert ours(Ridge()).fit(Y, fh=[1, 2]).predict().notna().all()


@pytest.mark.parametrize(
    "index",
    [
        pd.date_range("2024-01-31", periods=30, freq="ME"),
        pd.date_range("2024-01-01", periods=30, freq="W-WED"),
        pd.date_range("2024-01-01", periods=30, freq="YS-APR"),
        pd.date_range("2024-01-01", periods=30, freq="B"),
        pd.date_range("2024-01-01", periods=30, freq="15min", tz="Europe/Berlin"),
        pd.period_range("2024-01-01", periods=30, freq="M"),
        pd.period_range("2024-01-01", periods=30, freq="Q-JAN"),
        pd.period_range("2024-01-01", periods=30, freq="2M"),
        pd.RangeIndex(5, 35),
        pd.Index(np.arange(30)),
    ],
    ids=str,
)
def test_every_index_of_sktime_is_continued(index: pd.Index) -> None:
    y = pd.Series(np.arange(30.0), index)
    for rows in (29, 1):
        found = ours(NaiveForecaster()).fit(y[:rows], fh=[1]).predict()
        assert found.index[0] == index[rows]
        assert found.iloc[0] == rows - 1


def test_missing_numbers_and_times_carry_no_loss() -> None:
    holes = Y.mask(np.arange(70) % 9 == 4)
    frame = holes.rename_axis("day").reset_index()
    panel = Panel.from_frame(frame, time="day", target="sales", nan_policy="mask")
    np.testing.assert_array_equal(ours().fit(holes, fh=[5]).predict(), direct(panel)[4])
    np.testing.assert_array_equal(ours().fit(holes.dropna(), fh=[5]).predict(), direct(panel)[4])


@pytest.mark.parametrize(
    ("act", "error", "sentence"),
    [
        (lambda: ours().fit(Y, fh=[-1, 1]), NotImplementedError, "can not perform in-sample prediction"),
        (lambda: ours(GRUForecaster).fit(Y, fh=1), ParameterError, "write GRUForecaster()"),
        (lambda: ours(GRUForecaster(units=0)).fit(Y, fh=1), ParameterError, "units must be a whole number >= 1: got 0"),
        (lambda: ours().fit(Y, X=X[:65], fh=1), DataError, "a row for each of the 70 of y: 5 are missing, the first"),
        (lambda: ours().fit(Y, fh=1).predict(X=X[70:]), DataError, "X must be given to fit as well"),
        (lambda: ours().fit(Y, X=X[:70], fh=1).predict(), DataError, "nothing was given; pass X from 2024-03-11"),
        (
            lambda: ours().fit(Y, X=X[:70], fh=3).predict(X=X[72:]),
            DataError,
            "lacks 2, from 2024-03-11 on; add them to X",
        ),
        (
            lambda: ours().fit(Y, X=X[:70], fh=1).predict(X=X[70:].rename(columns={"price": "cost"})),
            DataError,
            "'price' are missing",
        ),
        (lambda: ours().fit(Y[:5], fh=2), DataError, "needs 7 + 2 = 9 steps"),
        (lambda: ours().fit(Y.replace(Y.iloc[3], np.inf), fh=2), DataError, "1 infinite value, first at row 3"),
        (lambda: ours().fit(Y * np.nan, fh=2), DataError, "a target must have a number before its forecast"),
    ],
)
def test_bad_input_gives_a_sentence(act: Any, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error) as caught:
        act()
    assert sentence in str(caught.value)
