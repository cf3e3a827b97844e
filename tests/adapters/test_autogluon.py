"""Models of AutoGluon-TimeSeries against AutoGluon itself; `make adapters` installs it."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
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
    check_on_a_board,
    check_quantiles,
    check_that_the_future_moves_nothing,
    forecasts_of,
)

from tsforecast.adapters.autogluon import MODELS, AutogluonForecaster
from tsforecast.adapters.names import make
from tsforecast.adapters.protocol import as_forecaster
from tsforecast.data.panel import Panel
from tsforecast.errors import DataError, ParameterError, UnknownNameError

pytestmark = [
    pytest.mark.adapters,
    pytest.mark.filterwarnings("ignore"),  # those of the library are its own
]

LONG = SHOPS.rename(columns={"shop": "item_id", "day": "timestamp"})
LONG["item_id"] = np.where(LONG["item_id"] == "b", "0", "1")
LATER = AHEAD.rename(columns={"shop": "item_id", "day": "timestamp"})
LATER["item_id"] = np.where(LATER["item_id"] == "b", "0", "1")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def predictor(tmp_path: Path, **settings: Any) -> Any:
    """Return an unfitted predictor."""
    from autogluon.timeseries import TimeSeriesPredictor

    given = {"target": "sales", "prediction_length": HORIZON, "freq": "D", "verbosity": 0, "log_to_file": False}
    return TimeSeriesPredictor(path=tmp_path / "own", **(given | settings))


def own_forecasts(model: Any, rows: pd.DataFrame, later: pd.DataFrame | None = None, **settings: Any) -> pd.DataFrame:
    """Return what AutoGluon forecasts of b and a."""
    return model.fit(rows, verbosity=0, random_seed=0, **settings).predict(rows, later, random_seed=0)


def test_a_model_by_name_forecasts_as_a_predictor_with_it_alone(tmp_path: Path) -> None:
    rows = LONG[["item_id", "timestamp", "sales"]]
    own = own_forecasts(predictor(tmp_path, quantile_levels=[0.1, 0.5, 0.9]), rows, hyperparameters={"ETS": {}})
    model = make("autogluon:ETS")
    np.testing.assert_allclose(forecasts_of(model), own["mean"].to_numpy().reshape(2, HORIZON), rtol=1e-6)
    np.testing.assert_allclose(
        check_quantiles(model), np.maximum(own[["0.1", "0.5", "0.9"]].to_numpy().reshape(2, HORIZON, 3), 0), rtol=1e-5
    )
    assert (model.label, model.note, model.reads) == ("ETS", "reads no covariates", ())
    check_that_the_future_moves_nothing(model)
    check_on_a_board({"autogluon:SeasonalNaive": make("autogluon:SeasonalNaive")})
    np.testing.assert_allclose(forecasts_of(make("autogluon:SeasonalNaive"))[1], A[-7:-4])
    assert [path.name for path in tmp_path.iterdir()] == ["own"]  # nothing of a forecaster lies in the current folder


def test_past_future_and_static_covariates_reach_a_model_that_reads_them(tmp_path: Path) -> None:
    sized = LONG.assign(guests=PRICES[::-1], size=np.where(LONG["item_id"] == "1", 1.0, 2.0))
    static = sized[["item_id", "size"]].drop_duplicates().reset_index(drop=True)
    from autogluon.timeseries import TimeSeriesDataFrame

    rows = TimeSeriesDataFrame.from_data_frame(sized.drop(columns="size"), static_features_df=static)
    trees = {"model_name": "GBM", "model_hyperparameters": {"num_boost_round": 20, "num_threads": 1}}
    settings = {"hyperparameters": {"DirectTabular": trees}, "enable_ensemble": False}
    own = own_forecasts(predictor(tmp_path, known_covariates_names=["price"]), rows, LATER, **settings)
    data = SHOPS.assign(guests=PRICES[::-1], size=np.where(SHOPS["shop"] == "a", 1.0, 2.0))
    roles = {"target": "sales", "future": "price", "past": "guests", "static": "size"}
    panel = Panel.from_frame(data, id="shop", time="day", **roles)
    model = AutogluonForecaster(fit_settings=settings)
    assert set(model.reads) >= {"future", "static"}
    found = forecasts_of(model, panel, AHEAD)
    np.testing.assert_allclose(found, own["mean"].to_numpy().reshape(2, HORIZON), rtol=1e-5)
    moved = forecasts_of(model, panel, AHEAD.assign(price=AHEAD["price"] * 3 - 4))
    assert not np.allclose(found, moved)


def test_a_predictor_is_fitted_with_models_that_need_no_download_and_its_metric(tmp_path: Path) -> None:
    given = predictor(tmp_path, eval_metric="MASE", prediction_length=1)
    forecaster = as_forecaster(given).set_params(horizon=HORIZON)
    assert forecaster.label == "AutoGluon"
    assert forecaster.note.startswith("weighs SeasonalNaive, ETS, Theta, RecursiveTabular, DirectTabular, and reads")
    made = forecaster.made(PANEL)
    assert (made.eval_metric.name, made.prediction_length, made.freq) == ("MASE", HORIZON, "D")
    place = Path(made.path)
    assert place.is_dir()
    del made
    gc.collect()
    assert not place.exists()
    few = AutogluonForecaster(given, fit_settings={"hyperparameters": {"Naive": {}, "SeasonalNaive": {}}})
    assert np.isfinite(forecasts_of(few)).all()


def test_what_cannot_work_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"autogluon has no model 'EST'; .*'ETS'"):
        make("autogluon:EST")
    with pytest.raises(ParameterError, match="autogluon:Chronos2 downloads weights: give a local folder"):
        make("autogluon:Chronos2")
    for settings, sentence in {
        "presets": ({"presets": "best_quality"}, "must have no presets by name"),
        "light": ({"hyperparameters": "light"}, "must have no hyperparameters by name"),
        "chronos": (
            {"hyperparameters": {"Chronos2": {"model_path": "autogluon/chronos-2"}}},
            "to download: got Chronos2",
        ),
        "list": ({"hyperparameters": {"Chronos-2": [{}]}}, "to download: got Chronos-2"),
        "text": ("fast", "must be a dict of settings"),
    }.values():
        with pytest.raises(ParameterError, match=sentence):
            AutogluonForecaster(fit_settings=settings).fit(PANEL)
    with pytest.raises(ParameterError, match="prediction_length=5 steps, and 3 are requested"):
        forecasts_of(predictor(tmp_path, prediction_length=5))
    with pytest.raises(ParameterError, match=r"known_covariates_names that are no future columns .*'rain'"):
        forecasts_of(AutogluonForecaster(predictor(tmp_path, known_covariates_names=["rain"])), PRICED, AHEAD)
    fitted = predictor(tmp_path / "fitted")
    fitted.fit(LONG[["item_id", "timestamp", "sales"]], hyperparameters={"Naive": {}}, verbosity=0)
    with pytest.raises(ParameterError, match="must be unfitted"):
        as_forecaster(fitted)
    named = Panel.from_frame(
        SHOPS.rename(columns={"price": "timestamp"}), id="shop", time="day", target="sales", future="timestamp"
    )
    with pytest.raises(DataError, match="needs the names item_id, timestamp: rename covariate 'timestamp'"):
        make("autogluon:DirectTabular").fit(named)
    tiny = Panel.from_frame(SHOPS[:5], id="shop", time="day", target="sales")
    with pytest.raises(DataError, match=r"Naive cannot forecast 1 series: .*length"):
        make("autogluon:Naive").set_params(horizon=HORIZON).fit(tiny)
    broken = AutogluonForecaster(fit_settings={"hyperparameters": {"DirectTabular": {"model_name": "none"}}})
    with pytest.raises(
        DataError, match=r"DirectTabular cannot forecast 2 series: .*none of its models could be fitted"
    ):
        broken.fit(PANEL)
    one = make("autogluon:Naive").set_params(horizon=HORIZON).fit(PANEL)
    assert len(one.predict(horizon=2)) == 4
    with pytest.raises(DataError, match="it makes 3 steps, and 4 are requested"):
        one.predict(horizon=4)


def test_the_names_are_those_of_autogluon() -> None:
    from autogluon.timeseries import models

    own = {name.removesuffix("Model") for name in models.__all__ if name.endswith("Model")}
    assert set(MODELS) == own - {"Chronos", "Chronos2", "Toto", "Toto2"}


@pytest.mark.parametrize("step", [1, 3, "MS"])
def test_whole_numbers_and_months_are_read(step: Any) -> None:
    times = np.arange(60) * step + 5 if isinstance(step, int) else pd.date_range("2020-01-01", periods=60, freq=step)
    panel = Panel.from_frame(pd.DataFrame({"at": times, "sales": SALES[:60]}), time="at")
    found = make("autogluon:Naive").set_params(horizon=2).fit(panel).predict()
    np.testing.assert_allclose(found["sales"], SALES[59])
    assert (
        found["at"].tolist() == (pd.Series(times).iloc[-1] + np.array([1, 2]) * step).tolist()
        if step in (1, 3)
        else True
    )


def test_missing_numbers_are_those_of_autogluon(tmp_path: Path) -> None:
    sales = np.where(np.arange(100) % 7 == 3, np.nan, SALES[:100])
    frame = pd.DataFrame({"day": DAYS, "sales": sales})
    rows = frame.rename(columns={"day": "timestamp"}).assign(item_id="0")
    own = own_forecasts(predictor(tmp_path), rows, hyperparameters={"Average": {}})
    panel = Panel.from_frame(frame, time="day", nan_policy="mask")
    found = make("autogluon:Average").set_params(horizon=HORIZON).fit(panel).predict()
    np.testing.assert_allclose(found["sales"], own["mean"], rtol=1e-6)
