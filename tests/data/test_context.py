"""A context is what a slow twin finds before the cutoff; targets without a number there are reported."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.forecasters import small, wave
from tsforecast.data.context import Context
from tsforecast.data.panel import Panel
from tsforecast.errors import DataError
from tsforecast.evaluation.backtest import backtest
from tsforecast.forecasters.base import Forecaster


def masked(*series: list[float]) -> Panel:
    """Return a panel of series with one target each, in which NaN is missing."""
    return Panel.from_array([np.array(one) for one in series], nan_policy="mask")


def slow_past(values: np.ndarray, start: int, seen: int) -> np.ndarray:
    """Copy the rows first, then fill them with what is in the copy: the honest twin."""
    rows = pd.Series(values[start:seen].copy())
    return rows.ffill().bfill().to_numpy()


@pytest.mark.thorough
@given(cut=st.data())
def test_what_may_be_seen_equals_a_copy_that_is_filled_on_its_own(cut: st.DataObject) -> None:
    lengths = cut.draw(st.lists(st.integers(1, 9), min_size=1, max_size=3))
    numbers = st.one_of(st.just(np.nan), st.integers(0, 99).map(float))
    series = [cut.draw(st.lists(numbers, min_size=n, max_size=n)) for n in lengths]
    panel = masked(*series)
    seen = np.array([cut.draw(st.integers(1, n)) for n in lengths])
    start = np.array([cut.draw(st.integers(0, n - 1)) for n in seen])
    past = Context(panel, np.arange(len(panel)), seen, start)
    for i, values in enumerate(series):
        expected = slow_past(np.array(values), start[i], seen[i])
        alone = Context(panel, np.array([i]), seen[[i]], start[[i]])
        assert np.array_equal(alone.tail(len(expected))[0, :, 0], expected, equal_nan=True)
        assert past.has_observations[i].tolist() == [not np.isnan(expected).all()]
        filled = pd.Series(np.array(values[start[i] : seen[i]])).ffill().to_numpy()
        assert np.array_equal(past.history(i)[:, 0], filled, equal_nan=True)
        there = np.flatnonzero(~np.isnan(values))
        assert panel.first_numbers[i].tolist() == [there[0] if len(there) else len(values)]
    for begin in (start, np.zeros_like(start)):
        cut_off = Context(panel, np.arange(len(panel))[::-1], seen[::-1], begin[::-1])
        each = [cut_off.history(i) for i in range(len(panel))]
        assert np.array_equal(cut_off.histories(), np.concatenate(each), equal_nan=True)


def test_rows_before_the_start_cannot_be_asked_for() -> None:
    past = Context(Panel.of(wave()), np.array([0]), np.array([20]), np.array([15]))
    with pytest.raises(DataError, match="lags must lie between 1 and the steps of the context: got 6 to 6"):
        past.lagged(np.array([[6]]))
    with pytest.raises(DataError, match=r"needs 6 steps, series '0' has 5; give more past, .* min_past of 6"):
        past.tail(6)


def shops(*names: str) -> pd.DataFrame:
    """Return a frame of shops; those called `closed...` never sold anything."""
    days = pd.date_range("2024-01-01", periods=60)
    parts = [pd.DataFrame({"shop": name, "day": days, "sales": wave(60, i)}) for i, name in enumerate(names)]
    frame = pd.concat(parts, ignore_index=True)
    frame["price"] = np.where(frame["shop"] == names[-1], np.nan, 1.0)
    frame.loc[frame["shop"].str.startswith("closed"), "sales"] = np.nan
    return frame


def read(frame: pd.DataFrame) -> Panel:
    return Panel.from_frame(frame, target="sales", past="price", nan_policy="mask", season_length=6)


def test_a_past_column_of_which_nothing_is_known_leaves_the_forecast_a_number(forecaster: Forecaster) -> None:
    forecast = forecaster.fit(read(shops("north", "south"))).predict()
    assert np.isfinite(forecast["sales"]).all()


def test_a_target_of_which_nothing_is_known_is_named_instead_of_forecast(forecaster: Forecaster) -> None:
    model = forecaster.fit(read(shops("north", "closed", "closed too")))
    with pytest.raises(DataError) as caught:
        model.predict()
    assert str(caught.value) == (
        "a target must have a number before its forecast: column 'sales' of series 'closed' has none in 60 steps (and "
        "1 more of 3 series likewise); leave such series out, or give more of its past"
    )
    assert np.isfinite(model.predict(read(shops("north", "south")))["sales"]).all()


def test_series_without_any_number_cannot_be_fitted(forecaster: Forecaster) -> None:
    with pytest.raises(DataError, match="column 'sales' of series 'closed' has none in 60 steps; leave that series"):
        forecaster.fit(read(shops("closed")))


@pytest.mark.parametrize("name", ["gru", "mean"])
def test_a_backtest_leaves_out_what_has_not_begun(name: str) -> None:
    frame = shops("north", "late")
    frame.loc[60:105, "sales"] = np.nan  # of late; it starts on day 46
    rows = backtest(small(name), read(frame), horizon=3, origins=6, step=3)
    assert np.isfinite(rows["forecast"]).all()
    counts = rows.groupby("series", observed=True).size().to_dict()
    assert counts == {"north": 18, "late": 12}


def test_a_forecaster_that_reads_nothing_ahead_does_without_it() -> None:
    panel = Panel.from_frame(shops("north").drop(columns="price").assign(open=1.0), target="sales", future="open")
    assert small("naive").fit(panel).predict()["sales"].tolist() == [panel.values[-1, 0]] * 3
    with pytest.raises(DataError, match="future columns 'open' must be known for the 3 steps after each series"):
        small("gru").fit(panel).predict()
    with pytest.raises(DataError, match="series 'north' lacks 3, from 2024-03-01 on"):
        small("naive").fit(panel).predict(future=shops("north").assign(open=1.0))


def test_history_is_as_it_was_measured_where_it_is_not_to_be_filled() -> None:
    values = np.array([np.nan, 1.0, np.nan, 3.0, np.nan, 5.0])
    past = Context(Panel.from_array(values, nan_policy="mask"), np.array([0]), np.array([5]), np.array([1]))
    assert past.history(0)[:, 0].tolist() == [1.0, 1.0, 3.0, 3.0]
    assert past.history(0, filled=False)[:, 0].tolist() == pytest.approx([1.0, np.nan, 3.0, np.nan], nan_ok=True)
