"""Forecasters as MLflow models: whatever was fitted, a long frame goes in and the answer of predict comes out."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

from tests.helpers import losses
from tests.helpers.forecasters import small, wave
from tests.helpers.serving import ask
from tsforecast import __version__, tracking
from tsforecast.data.panel import Panel
from tsforecast.errors import ModelFileError, ParameterError
from tsforecast.estimators.base import NotFittedError
from tsforecast.forecasters.base import Forecaster
from tsforecast.forecasters.meta.ensemble import EnsembleForecaster
from tsforecast.serving.app import listening
from tsforecast.serving.table import as_json, long
from tsforecast.tracking import flavour

pytestmark = pytest.mark.mlflow
DAYS = pd.date_range("2024-01-01", periods=60)


def shops(days: Any = DAYS) -> pd.DataFrame:
    each = {"price": np.arange(60.0) % 5, "region": "south"}
    return pd.concat(
        [pd.DataFrame({"shop": name, "day": days, "sales": wave(60, i), **each}) for i, name in enumerate("ab")]
    )


NAMES: dict[str, Any] = {"time": "day", "id": "shop", "target": "sales"}
FORMS: dict[str, Any] = {
    "long frame": shops().drop(columns=["price", "region"]),
    "polars": pl.DataFrame(shops()[["shop", "day", "sales"]]).with_columns(pl.col("day").cast(pl.Date)),
    "zone": shops(DAYS.tz_localize("Europe/Berlin"))[["shop", "day", "sales"]],
    "periods": shops(DAYS.to_period("D"))[["shop", "day", "sales"]],
    "series": pd.Series(wave(60), index=DAYS, name="sales"),
    "array": wave(60),
    "channels": np.stack([wave(60), wave(60, 1)], axis=1),
    "arrays": [wave(60), wave(50)],
    "roles": Panel.from_frame(shops(), **NAMES, past="price", static="region").with_calendar("weekday"),
    "wide": Panel.from_wide(pd.DataFrame({"day": DAYS, "north": wave(60), "south": wave(60, 1)})),
    "integers": pd.DataFrame({"hour": np.arange(5, 65), "sales": wave(60)}).set_index("hour"),
}


def served(model: Forecaster, place: Path) -> Any:
    """Return the model as MLflow serves it."""
    from mlflow import pyfunc

    tracking.save_model(model, place / "model")
    return pyfunc.load_model(str(place / "model"))


def numbers(answer: Any) -> np.ndarray:
    """Return forecasts in any form as numbers in a row, series after series."""
    if isinstance(answer, list):
        return np.concatenate([numbers(each) for each in answer])
    if isinstance(answer, (pl.DataFrame, pd.DataFrame)):
        frame = pd.DataFrame(answer.to_dict(as_series=False)) if isinstance(answer, pl.DataFrame) else answer
        frame = frame.drop(columns=[name for name in ("series", "hour") if name in frame])
        return np.asarray(frame.select_dtypes("number").to_numpy().T.ravel())
    return np.asarray(answer).T.ravel()


@pytest.mark.parametrize("form", FORMS)
def test_the_example_of_a_model_is_answered_as_predict_answers(form: str, tmp_path: Path) -> None:
    model = small("gru").fit(FORMS[form])
    service = served(model, tmp_path)
    answer = service.predict(service.input_example)
    np.testing.assert_array_equal(numbers(answer), numbers(model.predict()))
    outputs = service.metadata.get_output_schema()
    assert [column.name for column in outputs.inputs] == list(answer.columns)
    assert len(service.predict(service.input_example, params={"horizon": 5})) == len(answer) // 3 * 5


@pytest.mark.parametrize("form", ["long frame", "zone", "series", "array"])
def test_quantiles_and_intervals_are_parameters_of_a_service(form: str, tmp_path: Path) -> None:
    data = FORMS[form]
    model = small("gru").fit(data)
    service = served(model, tmp_path)
    schema = service.metadata.get_params_schema()
    assert {each.name: (each.default, each.shape) for each in schema.params} == {
        "horizon": (3, None),
        "quantiles": ([], (-1,)),
        "interval": ([], (-1,)),
    }
    asked = {"interval": [0.8, 0.5], "quantiles": [0.25], "horizon": 4}
    frames: dict[str, Any] = {"series": lambda: data.rename_axis("time").reset_index(), "array": lambda: {"y": data}}
    frame = pd.DataFrame(frames[form]()) if form in frames else data
    answer, expected = service.predict(frame, params=asked), model.predict(data, **asked)
    if form in frames:
        target = "y" if form == "array" else "sales"
        shown = [target, *(f"{target}_{suffix}" for suffix in ("q0.25", "lo80", "hi80", "lo50", "hi50"))]
        np.testing.assert_array_equal(answer[shown].to_numpy(), np.asarray(expected))
    else:
        pd.testing.assert_frame_equal(answer.drop(columns="day"), expected.drop(columns="day"))
    assert "interval" in (tmp_path / "model" / "MLmodel").read_text()


def test_what_is_known_ahead_comes_in_rows_without_target(tmp_path: Path) -> None:
    panel = Panel.from_frame(shops().drop(columns="region"), **NAMES, future="price")
    model = small("gru").fit(panel)
    example = served(model, tmp_path).input_example
    assert example["sales"].isna().sum() == 6  # the last three days of two shops
    ahead = shops(DAYS + pd.Timedelta(days=60))[["shop", "day", "price"]].groupby("shop").head(3)
    context = shops()[["shop", "day", "sales", "price"]]
    asked = pd.concat([context, ahead]).sort_values(["shop", "day"])
    answer = served(model, tmp_path / "again").predict(asked)
    pd.testing.assert_frame_equal(answer, model.predict(future=ahead), check_dtype=False)


def test_a_model_of_ready_made_windows_takes_an_array(tmp_path: Path) -> None:
    windows = np.lib.stride_tricks.sliding_window_view(wave(60), 15)
    model = small("gru").fit(windows[:, :12], windows[:, 12:])
    answer = served(model, tmp_path).predict(windows[:5, :12])
    np.testing.assert_array_equal(answer, model.predict(windows[:5, :12]))


def test_requirements_are_those_that_ran(tmp_path: Path) -> None:
    tracking.save_model(small("drift").fit(wave()), tmp_path / "model")
    lines = (tmp_path / "model" / "requirements.txt").read_text().splitlines()
    assert f"torch=={torch.__version__.partition('+')[0]}" in lines
    assert f"pandas=={pd.__version__}" in lines
    assert lines[0] == f"tsforecast-toolkit=={__version__}"  # tsforecast is another package there
    assert all(line.count("==") == 1 and "+" not in line for line in lines)


def test_a_model_of_a_device_that_is_not_here_loads(tmp_path: Path) -> None:
    model = EnsembleForecaster(small("gru"), seeds=2, horizon=3).fit(wave())
    for member in model.members_:
        member.set_params(device="cuda:7")
    tracking.save_model(model, tmp_path / "model")
    np.testing.assert_array_equal(tracking.load_model(tmp_path / "model").predict(), model.predict())
    assert [member.get_params()["device"] for member in model.members_] == ["cuda:7"] * 2  # left as it was


def test_the_example_can_be_posted_as_it_lies_there(tmp_path: Path) -> None:
    model = small("gru").fit(FORMS["long frame"])
    service = served(model, tmp_path)
    posted = json.loads((tmp_path / "model" / "serving_input_example.json").read_text())
    pd.testing.assert_frame_equal(
        pd.DataFrame(posted["dataframe_split"]["data"], columns=posted["dataframe_split"]["columns"])[["sales"]],
        service.input_example[["sales"]].reset_index(drop=True),
        check_exact=True,
    )
    assert as_json(service.input_example) == posted["dataframe_split"]


def test_a_frame_without_the_columns_is_refused(tmp_path: Path) -> None:
    from mlflow.exceptions import MlflowException

    service = served(small("gru").fit(FORMS["long frame"]), tmp_path)
    with pytest.raises(MlflowException, match="sales"):
        service.predict(FORMS["long frame"].drop(columns="sales"))


def test_the_server_of_mlflow_answers_a_bad_request_with_the_sentence_alone(tmp_path: Path) -> None:
    import uvicorn
    from mlflow.pyfunc import scoring_server

    service = served(small("gru").fit(FORMS["long frame"]), tmp_path)
    config = uvicorn.Config(scoring_server.init(service), port=0, log_config=None, lifespan="off", ws="none")
    server = uvicorn.Server(config)
    ours = listening("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, args=([ours],))
    thread.start()
    try:
        url = f"http://127.0.0.1:{ours.getsockname()[1]}"
        posted = as_json(service.input_example)
        assert ask(url, "/invocations", {"dataframe_split": posted})[0] == 200
        short = {**posted, "data": posted["data"][:3]}
        status, answer = ask(url, "/invocations", {"dataframe_split": short})
        assert (status, answer["error_code"]) == (400, "BAD_REQUEST")
        assert answer["message"].startswith("the window must fit in the past of every series: needs 12 steps, series")
        assert "stack_trace" not in answer
        status, answer = ask(url, "/invocations", {"dataframe_split": posted, "params": {"interval": [80.0]}})
        assert (status, answer["message"][:44]) == (400, "interval must be between 0 and 1, such as 0.")
    finally:
        server.should_exit = True
        thread.join()


def test_what_is_not_fitted_or_no_forecaster_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFittedError, match="must be fitted first"):
        tracking.save_model(small("gru"), tmp_path / "model")
    with pytest.raises(ParameterError, match="a forecaster is needed"):
        tracking.save_model("gru", tmp_path / "model")  # type: ignore[arg-type]
    with pytest.raises(ModelFileError):
        tracking.load_model(tmp_path)
    assert not (tmp_path / "model").exists()


def test_a_loss_of_ones_own_is_imported_by_the_consent_of_who_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import pyfunc

    model, path = small("gru").set_params(loss=losses.Gumbel(), max_epochs=1).fit(wave()), "tests.helpers.losses.Gumbel"
    place = str(tmp_path / "model")
    tracking.save_model(model, place)
    config = {"trust": [path]}
    remedy = (
        f"load it with model_config={config}, or serve it with MLFLOW_PYFUNC_INFERENCE_CONFIG='{json.dumps(config)}'"
    )
    for wrong in (None, {"trust": ["tests.helpers.losses.Absolute"]}):
        with pytest.raises(ModelFileError, match=f"is not imported; if it is yours, {re.escape(remedy)}$"):
            pyfunc.load_model(place, model_config=wrong)
    with pytest.raises(ModelFileError, match=rf"load the model with trust=\['{path}'\]$"):
        tracking.load_model(place)
    frame = pd.DataFrame({"y": wave()})
    answer = pyfunc.load_model(place, model_config=config).predict(frame)
    np.testing.assert_array_equal(numbers(answer), model.predict())
    np.testing.assert_array_equal(tracking.load_model(place, trust=[path]).predict(), model.predict())
    monkeypatch.setenv("MLFLOW_PYFUNC_INFERENCE_CONFIG", json.dumps(config))  # that a service reads
    np.testing.assert_array_equal(numbers(pyfunc.load_model(place).predict(frame)), model.predict())


def test_tracking_names_what_it_has() -> None:
    with pytest.raises(AttributeError, match=r"tsforecast\.tracking has no 'save'; it has load_model"):
        tracking.save  # noqa: B018
    assert tracking.load_model is flavour.load_model


def test_arrays_are_answered_in_a_long_frame() -> None:
    answer = long(Panel.of([[1.0, 2.0], [3.0, 4.0, 5.0]])).to_native(np.array([[[3.0]], [[6.0]]]))
    assert answer.values.tolist() == [[0.0, 3.0], [1.0, 6.0]]
