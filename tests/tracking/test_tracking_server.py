"""Runs on a real server: a leaderboard and a search, a model that is registered, loaded by its alias, and served."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest

from tests.helpers.forecasters import small, wave
from tests.helpers.logged import children, files, named, runs
from tests.tracking.conftest import Service
from tsforecast import RaySearch, leaderboard, track, tracking
from tsforecast.forecasters.neural import NeuralForecaster
from tsforecast.serving.table import as_json

pytestmark = pytest.mark.mlflow
SALES = pd.concat(
    [
        pd.DataFrame({"shop": name, "day": pd.date_range("2024-01-01", periods=90), "sales": wave(90, i)})
        for i, name in enumerate("ab")
    ]
)


@pytest.fixture
def client(running: Service, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> mlflow.MlflowClient:
    """A client of the server, to which all of MLflow speaks for a while."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", running.uri)
    return mlflow.MlflowClient()


def test_a_leaderboard_and_a_search_are_logged(client: Any, running: Service, tmp_path: Path, only_ray: None) -> None:
    base = NeuralForecaster(window=12, horizon=3, max_epochs=2)
    with track("shops", data="shops") as uri:
        leaderboard(small("gru"), SALES, horizon=3, origins=2)
        RaySearch(base, {"units": [2, 4]}, trials=2, searcher="random", storage=tmp_path / "searches").fit(SALES)
    assert uri == running.uri
    board = named(uri, "4 models on shops", "shops")
    search = named(uri, "gru search on shops", "shops")
    assert [len(children(uri, parent, "shops")) for parent in (board, search)] == [4, 4]  # naive, two trials, the best
    assert {"report.html", "search.html"} <= files(uri, board) | files(uri, search)
    assert {run.info.status for run in runs(uri, "shops")} == {"FINISHED"}
    gru = named(uri, "gru, seed 0 on shops", "shops")
    assert files(uri, gru) == {"figures/forecast.png", "figures/training.png"}


def test_a_model_is_registered_loaded_by_its_alias_and_served(client: Any, running: Service, tmp_path: Path) -> None:
    with track("served"):
        model = small("gru").fit(SALES)
    (run,) = runs(running.uri, "served")
    version = mlflow.register_model(f"models:/{run.outputs.model_outputs[0].model_id}", "shops")
    client.set_registered_model_alias("shops", "champion", version.version)
    again = tracking.load_model("models:/shops@champion")
    pd.testing.assert_frame_equal(again.predict(), model.predict())

    words = ["models", "serve", "-m", "models:/shops@champion", "--env-manager", "local", "--host", "127.0.0.1"]
    service = Service([*words, "--port", "{port}", "--workers", "1"], "/ping", tmp_path).start()
    try:
        asked = SALES[SALES["day"] < "2024-03-20"]  # another past than the fitted one
        body = {"dataframe_split": as_json(asked), "params": {"horizon": 4}}
        said = posted(f"{service.uri}/invocations", body)["predictions"]
        body["params"] = {"interval": [0.8], "quantiles": [0.5]}
        ranges = posted(f"{service.uri}/invocations", body)["predictions"]
        whole = SALES.assign(sales=SALES["sales"].round().astype(int), day=SALES["day"].dt.strftime("%Y-%m-%d"))
        categories = whole.assign(shop=whole["shop"].astype("category"))
        counted = posted(f"{service.uri}/invocations", {"dataframe_split": as_json(categories)})["predictions"]
    finally:
        service.stop()
    expected = model.predict(asked, horizon=4)
    assert [row["sales"] for row in said] == expected["sales"].tolist()  # to the last digit
    assert [row["shop"] for row in said] == expected["shop"].tolist()
    assert pd.to_datetime([row["day"] for row in said]).tolist() == expected["day"].tolist()
    expected = model.predict(asked, interval=[0.8], quantiles=[0.5])
    for name in ("sales", "sales_q0.5", "sales_lo80", "sales_hi80"):
        assert [row[name] for row in ranges] == expected[name].tolist()
    assert [row["sales"] for row in counted] == model.predict(whole)["sales"].tolist()
    assert [row["day"][:10] for row in counted] == ["2024-03-31", "2024-04-01", "2024-04-02"] * 2  # after 90 days


def test_a_model_is_logged_to_a_run_of_ones_own(client: Any) -> None:
    model = small("drift").fit(np.arange(20.0))
    mlflow.set_experiment("own")
    with mlflow.start_run():
        info = tracking.log_model(model, name="drift", registered_model_name="lines")
    assert tracking.load_model(info.model_uri).predict().tolist() == [20.0, 21.0, 22.0]
    assert tracking.load_model("models:/lines/1").predict().tolist() == [20.0, 21.0, 22.0]


def posted(url: str, body: dict[str, Any]) -> Any:
    """Return the answer of a service to JSON."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())
