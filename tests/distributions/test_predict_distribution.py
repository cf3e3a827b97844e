from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone

from tests.helpers.forecasters import small, wave
from tsforecast import Panel, SeasonalNaiveForecaster
from tsforecast.errors import DataError, DataWarning, ParameterError

DAYS = pd.date_range("2024-01-01", periods=80)
FRAME = pd.concat([pd.DataFrame({"shop": shop, "day": DAYS, "sales": wave(80, i)}) for i, shop in enumerate("ab")])
PANEL = Panel.from_frame(FRAME, season_length=6)


def test_a_distribution_has_the_names_the_times_and_the_numbers_that_predict_returns() -> None:
    model = SeasonalNaiveForecaster(horizon=3).fit(PANEL)
    found = model.predict_distribution()
    frame = model.predict(quantiles=[0.1, 0.5, 0.9])
    assert found.shape == (2, 3, 1)
    assert found.ids.tolist() == ["a", "b"]
    assert found.targets == ("sales",)
    assert repr(found) == "ForecastDistribution: 2 series x 3 steps ahead, target 'sales'"
    assert found.times.ravel().tolist() == frame["day"].to_numpy().astype("datetime64[ns]").tolist()
    pd.testing.assert_frame_equal(found.to_frame(), frame)
    assert found.to_frame([0.5], tidy=True).equals(model.predict(quantiles=[0.5], tidy=True))
    columns = frame[["sales_q0.9", "sales_q0.1"]].to_numpy().reshape(2, 3, 1, 2)
    assert np.array_equal(found.quantiles([0.9, 0.1]), columns)
    assert np.array_equal(found.median(), found.quantiles([0.5])[..., 0])
    assert found.cdf(found.median()) == pytest.approx(np.full((2, 3, 1), 0.5), abs=0.005)
    assert found.crps(0.0) == pytest.approx(found.mean(), rel=0.05)  # far away it is the distance


def test_a_distribution_of_another_context_and_horizon_is_as_predict_has_it() -> None:
    model = small("theta").fit(wave(60))
    found = model.predict_distribution(wave(70), horizon=2)
    assert np.array_equal(found.to_frame([0.2]), model.predict(wave(70), horizon=2, quantiles=[0.2]))
    assert found.times.tolist() == [[70, 71]]


def test_what_cannot_be_is_refused() -> None:
    model = SeasonalNaiveForecaster().fit(PANEL)
    with pytest.raises(ParameterError, match=r"quantiles must be between 0 and 1, such as 0\.9 for .*: got"):
        model.predict_distribution().quantiles([0.5, 2.0])
    with pytest.raises(ParameterError, match="belong to no family of torch: use quantiles, cdf or sample, or fit a"):
        model.predict_distribution().to_torch()
    X, y = np.arange(40.0).reshape(10, 4), np.arange(10.0)
    windows = small("naive").fit(X, y)
    with pytest.raises(ParameterError, match="predict_distribution belongs to series: fit series"):
        windows.predict_distribution()
    with pytest.raises(ParameterError, match=r"fit ConformalForecaster\(NaiveForecaster\(...\)\), or series"):
        windows.predict(X, interval=0.8)


@pytest.mark.parametrize("name", ["naive", "reduction"])
def test_series_that_never_moved_have_quantiles_that_are_equal_and_a_warning_that_names_them(name: str) -> None:
    panel = Panel.from_array([np.full(40, 5.0), wave(40), np.zeros(40)])
    model = small(name).fit(panel)
    for levels in ({"interval": 0.8}, {"quantiles": [0.1, 0.2]}):
        with pytest.warns(
            DataWarning, match="^2 of 3 series never moved, so that their quantiles are all equal .*: '0', '2'$"
        ):
            found = model.predict(**levels)
        assert (found[0][..., -1] == found[0][..., -2]).all()
        assert (found[1][..., -1] > found[1][..., -2]).all()
    model.predict(quantiles=[0.1])


def test_demand_that_is_mostly_zero_has_moved_where_its_quantiles_are_equal() -> None:
    ends = small("croston").fit(np.where(np.arange(60) % 12, 0.0, 3.0)).predict(interval=0.5)
    assert (ends[:, 1] == ends[:, 2]).all()


@pytest.mark.sample(3)
@pytest.mark.parametrize("loss", ["normal", "laplace", "student-t", "lognormal", "poisson", "negative-binomial"])
def test_a_family_of_torch_has_the_probabilities_of_the_forecast_in_the_units_of_the_data(loss: str) -> None:
    counts = loss in ("poisson", "negative-binomial")
    y = np.round(wave(90)) if counts else wave(90)
    model = small("gru").set_params(loss=loss, value_transform="log" if loss == "lognormal" else None).fit(y)
    found = model.predict_distribution()
    made = found.to_torch()
    assert tuple(made.batch_shape) == found.shape
    at = np.round(found.median()) + 1
    density = made.log_prob(torch.from_numpy(at)).exp().numpy()
    width = 1.0 if counts else 1e-4
    low, high = (at - 1, at) if counts else (at - width / 2, at + width / 2)
    assert density * width == pytest.approx(found.cdf(high) - found.cdf(low), rel=1e-4, abs=1e-12)
    if counts:
        assert (model.sample(20, 0) % 1 == 0).all()


def test_quantiles_belong_to_no_family_of_torch() -> None:
    model = small("gru").set_params(loss="quantile").fit(wave(90))
    with pytest.raises(ParameterError, match="belong to no family of torch"):
        model.predict_distribution().to_torch()


@pytest.mark.parametrize("refit", [False, True])
def test_errors_of_a_network_in_training_are_not_kept(refit: bool) -> None:
    model = small("gru").set_params(max_epochs=3, learning_rate=0.02, refit=refit)
    asked = clone(model)
    asked.fit(wave(), on_epoch=lambda _: asked.predict(interval=0.8))
    assert np.array_equal(asked.predict(interval=0.8), clone(model).fit(wave()).predict(interval=0.8))


def test_after_a_lost_hour_the_distribution_lies_around_the_forecast() -> None:
    hours = pd.date_range("2024-03-20", "2024-03-31 06:00", freq="h", tz="Europe/Berlin")
    y = 10 + 5 * np.sin(hours.hour / 24 * 2 * np.pi) + 0.1 * np.random.default_rng(0).normal(size=len(hours))
    model = SeasonalNaiveForecaster(horizon=24).fit(pd.Series(y, hours))
    found = model.predict(interval=0.95)
    assert found.iloc[:, 0].between(found.iloc[:, 1], found.iloc[:, 2]).all()
    assert np.array_equal(model.predict_distribution().quantiles([0.975]).ravel(), found.iloc[:, 2])


@pytest.mark.parametrize("name", ["sales_lo80", "quantile", "path"])
def test_a_column_of_the_data_is_not_taken_by_one_that_a_forecast_adds(name: str) -> None:
    model = SeasonalNaiveForecaster(horizon=3)
    if name == "sales_lo80":
        model.fit(Panel.from_frame(FRAME.assign(sales_lo80=1.0), target=["sales", name], season_length=6))
    else:
        model.fit(Panel.from_frame(FRAME.rename(columns={"shop": name}), season_length=6))
    with pytest.raises(ParameterError, match=f"the data must have no column '{name}', which a forecast adds: they"):
        model.sample(2) if name == "path" else model.predict(interval=0.8, tidy=name == "quantile")
    wide = pd.DataFrame({"a": wave(80), "a_lo80": wave(80, 1)}, index=DAYS)
    with pytest.raises(ParameterError, match="no column 'a_lo80'"):
        SeasonalNaiveForecaster(horizon=3).fit(Panel.from_wide(wide)).predict(interval=0.8)


@pytest.mark.filterwarnings("ignore:1 of 2 targets repeats its last value")
@pytest.mark.parametrize("first", [60, 78])
def test_a_target_that_begins_late_takes_no_errors_from_another(first: int) -> None:
    late = np.where(np.arange(80) < first, np.nan, wave(80, 1))
    both = Panel.from_frame(
        pd.DataFrame({"day": DAYS, "sales": wave(80), "late": late}), target=["sales", "late"], nan_policy="mask"
    )
    alone = Panel.from_frame(pd.DataFrame({"day": DAYS, "sales": wave(80)}))
    found, expected = (SeasonalNaiveForecaster(horizon=3).fit(panel) for panel in (both, alone))
    columns = ["sales", "sales_lo80", "sales_hi80"]
    pd.testing.assert_frame_equal(found.predict(interval=0.8)[columns], expected.predict(interval=0.8)[columns])
    numbers = (model.sample(50, random_state=0)["sales"].std() for model in (found, expected))
    assert next(numbers) == pytest.approx(next(numbers), rel=0.3)


@pytest.mark.filterwarnings("ignore:1 of 2 targets has no number in more than 7 last rows")
@pytest.mark.parametrize("name", ["reduction", "gru"])
def test_a_target_without_errors_has_no_quantiles_rather_than_sure_ones(name: str) -> None:
    ended = np.where(np.arange(80) < 60, wave(80, 1), np.nan)
    frame = pd.DataFrame({"day": DAYS, "sales": wave(80), "ended": ended})
    model = small(name).fit(Panel.from_frame(frame, target=["sales", "ended"], nan_policy="mask"))
    with pytest.raises(DataError, match="quantiles of 'ended' must have errors to show: it has no number in the rows"):
        model.predict(interval=0.8)
