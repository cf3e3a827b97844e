"""MLflow passes on whatever type was fitted: the answer is the one of `predict`, with the same types."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tests.helpers.forecasters import small
from tests.helpers.logged import runs
from tsforecast import track, tracking
from tsforecast.data.panel import Panel
from tsforecast.forecasters.base import Forecaster
from tsforecast.forecasters.naive import SeasonalNaiveForecaster
from tsforecast.serving.table import as_json

pytestmark = pytest.mark.mlflow
COUNT = np.arange(60)
DAYS = pd.date_range("2024-03-20", periods=60)
HOURS = pd.date_range("2024-03-30", periods=60, freq="h", tz="Europe/Berlin")  # clocks go forward on the 31st
MONTHS = pd.period_range("2024-01", periods=60, freq="M")


def arrow(values: Any, kind: pa.DataType) -> pd.Series[Any]:
    return pd.Series(pa.array(values, kind), dtype=pd.ArrowDtype(kind))


def numbers(y: Any, time: Any = DAYS) -> pd.DataFrame:
    return pd.DataFrame({"time": time, "y": y})


def two(ids: Any) -> pd.DataFrame:
    return pd.DataFrame({"time": [*DAYS[:30]] * 2, "shop": ids, "y": COUNT})


NEXT_DAYS, WEEK_BEFORE = ["2024-05-19", "2024-05-20"], [53.0, 54.0]  # of 0, 1, ..., 59: seven days before
# Frame, forecasts of the seasonal naive, and their times as text.
CASES: dict[str, tuple[Any, list[float], list[str]]] = {
    "whole numbers": (numbers(COUNT), WEEK_BEFORE, NEXT_DAYS),
    "whole numbers of 8 bits": (numbers(COUNT.astype(np.uint8)), WEEK_BEFORE, NEXT_DAYS),
    "booleans": (numbers(COUNT % 2 == 0), [0.0, 1.0], NEXT_DAYS),
    "float32": (numbers(COUNT.astype(np.float32)), WEEK_BEFORE, NEXT_DAYS),
    "nullable": (numbers(pd.array(COUNT, dtype="Int64")), WEEK_BEFORE, NEXT_DAYS),
    "nullable booleans": (numbers(pd.array(COUNT % 2 == 0, dtype="boolean")), [0.0, 1.0], NEXT_DAYS),
    "arrow": (numbers(arrow(COUNT, pa.int32()), arrow(DAYS, pa.timestamp("us"))), WEEK_BEFORE, NEXT_DAYS),
    "arrow booleans": (numbers(arrow(COUNT % 2 == 0, pa.bool_())), [0.0, 1.0], NEXT_DAYS),
    "arrow table": (pa.table({"time": DAYS, "y": COUNT}).to_pandas(), WEEK_BEFORE, NEXT_DAYS),
    "seconds": (numbers(COUNT, DAYS.as_unit("s")), WEEK_BEFORE, NEXT_DAYS),
    "text": (numbers(COUNT, DAYS.strftime("%Y-%m-%d")), WEEK_BEFORE, NEXT_DAYS),
    "text with offsets": (  # the last of them is the one of forecasts
        numbers(COUNT, [day.isoformat() for day in DAYS.tz_localize("Europe/Berlin")]),
        WEEK_BEFORE,
        ["2024-05-19 00:00:00+02:00", "2024-05-20 00:00:00+02:00"],
    ),
    "arrow text": (numbers(COUNT, arrow(DAYS.strftime("%Y-%m-%d"), pa.large_string())), WEEK_BEFORE, NEXT_DAYS),
    "arrow days": (numbers(COUNT, arrow([day.date() for day in DAYS], pa.date32())), WEEK_BEFORE, NEXT_DAYS),
    "days of Python": (numbers(COUNT, [day.date() for day in DAYS]), WEEK_BEFORE, NEXT_DAYS),
    "zone": (numbers(COUNT, HOURS), [36.0, 37.0], ["2024-04-01 13:00:00+02:00", "2024-04-01 14:00:00+02:00"]),
    "UTC": (
        numbers(COUNT, HOURS.tz_convert("UTC")),
        [36.0, 37.0],
        ["2024-04-01 11:00:00+00:00", "2024-04-01 12:00:00+00:00"],
    ),
    "arrow zone": (
        numbers(COUNT, arrow(HOURS, pa.timestamp("us", tz="Europe/Berlin"))),
        [36.0, 37.0],
        ["2024-04-01 13:00:00+02:00", "2024-04-01 14:00:00+02:00"],
    ),
    "days of a zone": (
        numbers(COUNT, DAYS.tz_localize("Europe/Berlin")),
        WEEK_BEFORE,
        ["2024-05-19 00:00:00+02:00", "2024-05-20 00:00:00+02:00"],
    ),
    "dates as whole numbers": (
        numbers(COUNT, MONTHS.strftime("%Y%m").astype(int)),
        [48.0, 49.0],
        ["202901", "202902"],
    ),
    "periods": (numbers(COUNT, MONTHS), [48.0, 49.0], ["2029-01", "2029-02"]),
    "categories": (two(pd.Categorical(["x"] * 30 + ["a"] * 30)), [23, 24, 53, 54], ["2024-04-19", "2024-04-20"] * 2),
    "categories of numbers": (
        two(pd.Categorical([7] * 30 + [3] * 30)),
        [23, 24, 53, 54],
        ["2024-04-19", "2024-04-20"] * 2,
    ),
    "index": (pd.DataFrame({"y": COUNT}, index=DAYS), WEEK_BEFORE, NEXT_DAYS),
    "index of periods": (pd.DataFrame({"y": COUNT}, index=MONTHS), [48.0, 49.0], ["2029-01", "2029-02"]),
    "two levels": (
        two(["x"] * 30 + ["a"] * 30).set_index(["shop", "time"]),
        [23, 24, 53, 54],
        ["2024-04-19", "2024-04-20"] * 2,
    ),
}


def loaded(model: Forecaster, place: Path) -> Any:
    tracking.save_model(model, place / "model")
    return mlflow.pyfunc.load_model(str(place / "model"))


@pytest.mark.parametrize("kind", CASES)
def test_the_frame_that_was_fitted_is_answered_as_predict_answers(kind: str, tmp_path: Path) -> None:
    frame, right, times = CASES[kind]
    model = SeasonalNaiveForecaster(horizon=2).fit(Panel.from_frame(frame, target="y"))
    answer = loaded(model, tmp_path).predict(frame)
    assert answer["y"].tolist() == right
    written = answer["time"] if "time" in answer else answer.index.get_level_values(-1)
    assert [str(time).removesuffix(" 00:00:00") for time in written] == times
    pd.testing.assert_frame_equal(answer, model.predict(frame), check_exact=True)


def test_a_missing_whole_number_is_read_as_by_predict(tmp_path: Path) -> None:
    frame = numbers(pd.array([None if i == 7 else i for i in COUNT], dtype="Int64"))
    panel = Panel.from_frame(frame, time="time", target="y", nan_policy="mask")
    answer = loaded(SeasonalNaiveForecaster(horizon=2).fit(panel), tmp_path).predict(frame)
    assert answer["y"].tolist() == WEEK_BEFORE


def shops(times: Any, ids: Any, **kinds: Any) -> Iterator[pd.DataFrame]:
    """Two shops with whole numbers, a flag known ahead and static columns: the past, what is ahead, and both as one."""
    rows = pd.DataFrame({"shop": np.repeat(ids, 60), "time": [*times] * 2, "y": np.tile(COUNT * 7 % 23, 2)})
    rows = rows.assign(promo=rows["y"] % 2 == 0, size=rows["shop"].map({"x": 7, "a": 9}), region="south").astype(kinds)
    step = np.tile(COUNT, 2)
    yield rows[step < 57]
    yield rows.loc[step >= 57, ["shop", "time", "promo"]]
    yield rows.assign(y=rows["y"].astype("Int64").mask(step >= 57))


CATEGORIES = {"shop": "category", "region": "category"}
KNOWN_AHEAD: dict[str, tuple[Any, dict[str, str]]] = {
    "days, categories": (DAYS, CATEGORIES),
    "zone, nullable": (HOURS, {"y": "Int64", "promo": "boolean", "size": "Int32"}),
    "periods": (MONTHS, {}),
    "text, arrow": (DAYS.strftime("%Y-%m-%d"), {"y": "int64[pyarrow]", "promo": "bool[pyarrow]", "shop": "string"}),
}


@pytest.mark.parametrize("kind", KNOWN_AHEAD)
def test_future_and_static_columns_of_any_type_are_read_as_by_predict(kind: str, tmp_path: Path) -> None:
    times, kinds = KNOWN_AHEAD[kind]
    past, ahead, both = shops(times, ["x", "a"], **kinds)
    roles: Any = {"time": "time", "id": "shop", "target": "y", "future": "promo", "static": ["size", "region"]}
    model = small("gru").fit(Panel.from_frame(past, **roles))
    expected = model.predict(past, future=ahead)
    service = loaded(model, tmp_path)
    pd.testing.assert_frame_equal(service.predict(both), expected, check_exact=True)
    posted = pd.DataFrame(**json.loads(json.dumps(as_json(both))))  # as a service reads it
    assert service.predict(posted)["y"].tolist() == expected["y"].tolist()


@pytest.mark.parametrize("index", [["shop", "time"], ["time"]])
def test_a_frame_with_its_times_in_the_index_is_split_there(index: list[str], tmp_path: Path) -> None:
    past, ahead, both = (rows.set_index(index) for rows in shops(HOURS, ["x", "a"]))
    roles: Any = {"id": None if "shop" in index else "shop", "target": "y", "future": "promo"}
    model = small("gru").fit(Panel.from_frame(past, **roles, static=["size", "region"]))
    expected = model.predict(past, future=ahead)
    pd.testing.assert_frame_equal(loaded(model, tmp_path).predict(both), expected, check_exact=True)


def test_the_model_of_a_run_takes_the_frame_of_the_run(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)
    frame, right, _ = CASES["zone"]
    with track("hours") as uri:
        SeasonalNaiveForecaster(horizon=2).fit(frame)
    (run,) = runs(uri, "hours")
    service = mlflow.pyfunc.load_model(f"models:/{run.outputs.model_outputs[0].model_id}")
    assert service.predict(frame)["y"].tolist() == right
    assert [(each.name, each.required) for each in service.metadata.signature.inputs] == [("time", True), ("y", True)]


def test_another_shop_than_the_fitted_ones_is_forecast_by_a_model_of_categories(tmp_path: Path) -> None:
    frame, right, _ = CASES["categories"]
    service = loaded(SeasonalNaiveForecaster(horizon=2).fit(frame), tmp_path)
    other = frame.assign(shop=frame["shop"].astype(str).replace("a", "new"))
    answer = service.predict(other)
    assert (answer["shop"].tolist(), answer["y"].tolist()) == (["x", "x", "new", "new"], right)


def test_values_without_a_form_in_json_are_written_as_text_or_null() -> None:
    frame = pd.DataFrame(
        {"day": [DAYS[0].date()], "month": MONTHS[:1], "n": pd.array([None], dtype="Int64"), "t": pd.NaT}
    )
    assert as_json(frame)["data"] == [["2024-03-20", "2024-01", None, None]]
