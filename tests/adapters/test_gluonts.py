"""Models of GluonTS against GluonTS itself; `make adapters` installs it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from shops import (
    AHEAD,
    DAYS,
    HORIZON,
    PANEL,
    PRICED,
    PRICES,
    SALES,
    SHOPS,
    A,
    B,
    check_on_a_board,
    check_quantiles,
    check_that_the_future_moves_nothing,
    forecasts_of,
)

from tsforecast.adapters.gluonts import GluontsForecaster
from tsforecast.adapters.names import make
from tsforecast.adapters.protocol import as_forecaster
from tsforecast.data.panel import Panel
from tsforecast.errors import DataError, ParameterError, UnknownNameError

pytestmark = [
    pytest.mark.adapters,
    pytest.mark.filterwarnings("ignore"),  # those of the library are its own
]

QUIET = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
FEW = {"num_batches_per_epoch": 2, "trainer_kwargs": {"max_epochs": 1, **QUIET}}
STARTS = (DAYS[0], DAYS[20])


def entries(*parts: dict[str, Any]) -> list[dict[str, Any]]:
    """Return b and a as a dataset of GluonTS, with what else each has."""
    both = zip((B, A), STARTS, parts or ({}, {}), strict=True)
    return [
        {"target": y.astype(np.float32), "start": pd.Period(start, "D"), "item_id": "0", **part}
        for y, start, part in both
    ]


def seed() -> None:
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_an_estimator_is_trained_once_on_all_series_and_forecasts_the_medians_of_its_samples() -> None:
    from gluonts.torch import DeepAREstimator

    def model() -> Any:
        return DeepAREstimator("D", prediction_length=HORIZON, hidden_size=8, num_feat_dynamic_real=1, **FEW)

    rows = (PRICES[:100], PRICES[100:])
    seed()
    own = model().train(entries(*({"feat_dynamic_real": [row]} for row in rows)))
    later = [
        {"feat_dynamic_real": [np.append(row, add)]} for row, add in zip(rows, ([0, 1, 2], [3, 4, 5]), strict=True)
    ]
    expected = []
    for entry in entries(*later):
        seed()
        expected.append(next(iter(own.predict([entry]))).quantile(0.5))
    written = list(Path.cwd().iterdir())  # by the training above
    np.testing.assert_allclose(forecasts_of(model(), PRICED, AHEAD), expected, rtol=1e-5)
    assert as_forecaster(model()).note == "reads future covariates alone"
    check_that_the_future_moves_nothing(model(), PRICED)
    assert list(Path.cwd().iterdir()) == written


def test_quantiles_are_those_of_samples_distributions_and_levels() -> None:
    from gluonts.torch import SimpleFeedForwardEstimator, TemporalFusionTransformerEstimator

    wide = {"num_batches_per_epoch": 30, "trainer_kwargs": {"max_epochs": 2, **QUIET}}
    check_quantiles(SimpleFeedForwardEstimator(prediction_length=HORIZON, **wide))

    def fusion() -> Any:
        return TemporalFusionTransformerEstimator("D", HORIZON, hidden_dim=4, quantiles=[0.2, 0.5, 0.8], **FEW)

    seed()
    own = fusion().train(entries())
    found = as_forecaster(fusion()).set_params(horizon=HORIZON).fit(PANEL)
    made = found.predict(quantiles=(0.2, 0.8))
    for shop, entry in zip("ba", entries(), strict=True):
        seed()
        forecast = next(iter(own.predict([entry])))
        expected = np.sort([forecast.quantile(level) for level in (0.2, 0.5, 0.8)], axis=0)[[0, 2]].T
        np.testing.assert_allclose(made.loc[made["shop"] == shop].iloc[:, -2:], np.maximum(expected, 0), rtol=1e-4)


def test_static_and_past_covariates_reach_the_estimators_that_have_them() -> None:
    from gluonts.torch import TemporalFusionTransformerEstimator

    sized = SHOPS.assign(size=np.where(SHOPS["shop"] == "a", 1.0, 2.0), guests=PRICES[::-1])
    roles = {"target": "sales", "future": "price", "past": "guests", "static": "size"}
    panel = Panel.from_frame(sized, id="shop", time="day", **roles)
    dims = {"static_dims": [1], "dynamic_dims": [1], "past_dynamic_dims": [1]}
    model = TemporalFusionTransformerEstimator("D", HORIZON, hidden_dim=4, **dims, **FEW)
    forecaster = as_forecaster(model)
    assert forecaster.reads == ("past", "future", "static")
    assert forecaster.note == "reads past and future and static covariates"
    found = forecasts_of(model, panel, AHEAD)
    for name, other in {
        "price": AHEAD.assign(price=AHEAD["price"] + 5),
        "guests": AHEAD,
        "size": AHEAD,
    }.items():
        changed = sized if name == "price" else sized.assign(**{name: sized[name] * 3 + 1})
        fitted = as_forecaster(model).set_params(horizon=HORIZON).fit(panel)
        made = fitted.predict(changed.drop(columns=[]), future=other)
        assert not np.allclose(np.stack([made.loc[made["shop"] == shop, "sales"] for shop in "ba"]), found), name


def test_a_trained_predictor_and_one_that_needs_no_training_are_used_as_they_are() -> None:
    from gluonts.model.seasonal_naive import SeasonalNaivePredictor
    from gluonts.torch import SimpleFeedForwardEstimator

    naive = SeasonalNaivePredictor(prediction_length=HORIZON, season_length=7)
    np.testing.assert_allclose(forecasts_of(naive), [B[-7:-4], A[-7:-4]], rtol=1e-6)
    assert not as_forecaster(naive).learns_distribution
    check_on_a_board({"last week": naive})

    trained = SimpleFeedForwardEstimator(prediction_length=HORIZON, **FEW).train(entries())
    expected = [next(iter(trained.predict([entry]))).quantile(0.5) for entry in entries()]
    np.testing.assert_allclose(forecasts_of(trained), expected, rtol=1e-5)
    assert as_forecaster(trained).note == "is used as it was trained before"
    with pytest.raises(ParameterError, match="forecasts prediction_length=3 steps, and 4 are requested"):
        as_forecaster(trained).set_params(horizon=4).fit(PANEL)
    fitted = as_forecaster(trained).set_params(horizon=HORIZON).fit(PANEL)
    assert len(fitted.predict(horizon=2)) == 4
    with pytest.raises(DataError, match="it makes 3 steps, and 5 are requested"):
        fitted.predict(horizon=5)


def test_names_have_the_season_covariates_and_step_of_the_data() -> None:
    by_name = make("gluonts:DeepAREstimator", random_state=3).set_params(horizon=5)
    made = by_name.made(PRICED)
    assert (made.prediction_length, made.context_length, made.num_feat_dynamic_real) == (5, 10, 1)
    assert (by_name.random_state, by_name.label) == (3, "DeepAR")
    naive = make("gluonts:SeasonalNaivePredictor")
    np.testing.assert_allclose(forecasts_of(naive), [B[-7:-4], A[-7:-4]], rtol=1e-6)
    check_on_a_board({"gluonts:NPTSPredictor": make("gluonts:NPTSPredictor")})
    with pytest.raises(UnknownNameError, match=r"gluonts has no model 'DeepArEstimator'; .*'DeepAREstimator'"):
        make("gluonts:DeepArEstimator")


@pytest.mark.parametrize("step", ["MS", "h", "W-SUN", 1, 2])
def test_steps_of_other_lengths_and_whole_numbers_are_read(step: Any) -> None:
    times = np.arange(90) * step + 5 if isinstance(step, int) else pd.date_range("2020-01-01", periods=90, freq=step)
    panel = Panel.from_frame(pd.DataFrame({"at": times, "sales": SALES[:90]}), time="at")
    by_name = make("gluonts:DeepAREstimator").set_params(horizon=2)
    model = by_name.made(panel)
    model.trainer_kwargs, model.num_batches_per_epoch = {"max_epochs": 1, **QUIET}, 2
    found = GluontsForecaster(model, horizon=2).fit(panel).predict(quantiles=(0.1, 0.9))
    assert np.isfinite(found[["sales", "sales_q0.1", "sales_q0.9"]]).all(axis=None)


def test_another_seed_trains_another_network() -> None:
    from gluonts.torch import SimpleFeedForwardEstimator

    model = SimpleFeedForwardEstimator(prediction_length=HORIZON, **FEW)
    found = []
    for random_state in (0, 0, 1):
        np.random.random(3)  # noqa: NPY002 the caller goes on
        state = np.random.get_state()[1:3]  # noqa: NPY002
        found.append(forecasts_of(GluontsForecaster(model, random_state=random_state)))
        assert np.random.get_state()[2] == state[1]  # noqa: NPY002
        np.testing.assert_array_equal(np.random.get_state()[1], state[0])  # noqa: NPY002
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.allclose(found[0], found[2])
