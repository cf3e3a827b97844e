"""Covariates of text move forecasts as they moved the series; what is new counts as the mean, and nothing leaks."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tests.helpers.commands import tsforecast
from tsforecast import Panel, load
from tsforecast.data.context import Context
from tsforecast.errors import DataWarning
from tsforecast.estimators.registry import NETWORKS, make
from tsforecast.explanations.shuffles import Units
from tsforecast.forecasters.base import Forecaster
from tsforecast.forecasters.neural import NeuralForecaster
from tsforecast.forecasters.reduction import ReductionForecaster
from tsforecast.leakage.audit import audit
from tsforecast.networks.forecast import INDICATORS, Categories

EFFECTS = {None: 0.0, "sale": 5.0, "holiday": -4.0}
HORIZON, STEPS = 5, 300


def shop(seed: int = 0, steps: int = STEPS + HORIZON) -> pd.DataFrame:
    """A shop whose sales follow the kind of a day, which is known ahead, and no weather."""
    random = np.random.default_rng(seed)
    kinds = np.array([*EFFECTS], dtype=object)[random.choice(3, steps, p=[0.6, 0.2, 0.2])]
    sales = 10 + np.array([EFFECTS[kind] for kind in kinds]) + 0.3 * random.normal(size=steps)
    days = pd.date_range("2024-01-01", periods=steps)
    return pd.DataFrame({"day": days, "sales": sales, "weather": random.choice(["sun", "rain"], steps), "kind": kinds})


FRAME = shop()
PANEL = Panel.from_frame(FRAME[:STEPS], past="weather", future="kind")
AHEAD = FRAME.loc[STEPS:, ["day", "kind"]]
TRUTH = FRAME["sales"][STEPS:].to_numpy()


def network(cell: str = "gru", **settings: Any) -> NeuralForecaster:
    usual = {"window": 7, "units": 12, "max_epochs": 14, "learning_rate": 0.02, "random_state": 0, "segment": 1}
    return NeuralForecaster(cell, horizon=HORIZON, **(usual | settings))


@pytest.fixture(scope="module")
def fitted() -> NeuralForecaster:
    return network().fit(PANEL)


@pytest.fixture(scope="module")
def linear() -> ReductionForecaster:
    return ReductionForecaster(horizon=HORIZON, window=7, value_transform=None).fit(PANEL)


def error(model: Forecaster, future: pd.DataFrame | None = AHEAD) -> float:
    return float(np.abs(model.predict(future=future)["sales"].to_numpy() - TRUTH).mean())


WITHOUT = Panel.from_frame(FRAME[["day", "sales"]][:STEPS])


def test_a_network_that_knows_the_kind_of_the_days_ahead_is_far_better(fitted: NeuralForecaster) -> None:
    assert error(fitted) < 0.6 < 1.5 < error(network(max_epochs=1).fit(WITHOUT), None)


@pytest.mark.thorough
@pytest.mark.parametrize("cell", ["rnn", "lstm", "conv1d"])
@pytest.mark.parametrize("settings", [{}, {"channels": "joint"}, {"instance_norm": True}], ids=str)
def test_so_is_every_cell(cell: str, settings: dict[str, Any]) -> None:
    assert error(network(cell, max_epochs=25, **settings).fit(PANEL)) < 0.9


@pytest.mark.parametrize("strategy", ["multioutput", "direct", "recursive"])
def test_so_is_a_regression(strategy: str) -> None:
    assert error(ReductionForecaster(strategy=strategy, horizon=HORIZON, window=7).fit(PANEL)) < 0.5


@pytest.mark.parametrize("name", ["seasonal-naive", "theta"])
def test_models_that_read_no_covariates_ignore_text(name: str) -> None:
    forecasts = [make(name, horizon=2).fit(panel).predict()["sales"].tolist() for panel in (PANEL, WITHOUT)]
    assert forecasts[0] == forecasts[1]


@pytest.mark.parametrize("name", ["fitted", "linear"])
def test_a_text_that_is_new_counts_as_the_mean_of_the_others(name: str, request: pytest.FixtureRequest) -> None:
    model: Forecaster = request.getfixturevalue(name)
    sales = {}
    for kind in EFFECTS:
        sales[kind] = model.predict(future=AHEAD.assign(kind=[kind, *AHEAD["kind"].tolist()[1:]]))["sales"][0]
    with pytest.warns(DataWarning) as caught:
        easter = model.predict(future=AHEAD.assign(kind=["Easter", *AHEAD["kind"].tolist()[1:]]))["sales"][0]
    assert str(caught[0].message) == (
        "column 'kind' holds text that is new since training and counts as the mean of all others: 'Easter'; fit on "
        "data with it"
    )
    assert sales["holiday"] + 2 < easter < sales["sale"] - 2
    if isinstance(model, ReductionForecaster):  # exactly
        _, levels, shares = model.inputs_.categories.columns[1]
        assert easter == pytest.approx(np.dot([sales[level] for level in levels], shares))


def test_a_missing_text_is_named_where_none_was_missing_in_training() -> None:
    frame = FRAME.fillna({"kind": ""})[["day", "sales", "kind"]]
    model = ReductionForecaster(horizon=HORIZON, window=7).fit(Panel.from_frame(frame[:STEPS], future="kind"))
    known = frame.loc[STEPS:, ["day", "kind"]]
    with pytest.warns(
        DataWarning, match="column 'kind' lacks texts, as it never did .*: fill them in, such as with ''"
    ):
        model.predict(future=known.replace({"kind": {"": None}}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.predict(future=known)


@pytest.mark.parametrize("kind", [object, "string", "category"])
def test_a_column_of_text_may_be_empty_in_all_rows(kind: str | type, linear: ReductionForecaster) -> None:
    context = FRAME[:STEPS].assign(kind=pd.Series([None] * STEPS, dtype=kind))
    assert np.isfinite(linear.predict(context, future=FRAME[STEPS:])["sales"]).all()


def test_a_saved_model_keeps_the_texts(fitted: NeuralForecaster, linear: ReductionForecaster, tmp_path: Path) -> None:
    new = AHEAD.assign(kind="Easter")
    for model in (fitted, linear):
        model.save(tmp_path / type(model).__name__)
        again = load(tmp_path / type(model).__name__)
        assert again.panel_.roles.categories == {"weather": ("rain", "sun"), "kind": ("holiday", "sale")}
        assert again.inputs_.categories == model.inputs_.categories
        assert np.allclose(again.predict(future=AHEAD)["sales"], model.predict(future=AHEAD)["sales"], rtol=1e-12)
        with pytest.warns(DataWarning, match="'Easter'"):
            forecast = again.predict(FRAME[:STEPS], future=new)
        assert np.isfinite(forecast["sales"]).all()


def test_texts_after_the_rows_that_train_change_no_weight() -> None:
    later = FRAME[:STEPS].copy()
    last = later.index[-30:]  # they validate
    later.loc[last, "kind"] = ["A text that comes first", None, "z"] * 10
    panels = PANEL, Panel.from_frame(later, past="weather", future="kind")
    one, other = (
        ReductionForecaster(horizon=HORIZON, window=7).fit(panel.until(panel.lengths - 30)) for panel in panels
    )
    assert one.panel_.roles.categories != other.panel_.roles.categories
    assert one.inputs_.categories == other.inputs_.categories
    assert one.inputs_.origin == other.inputs_.origin
    assert all(np.array_equal(a.coef_, b.coef_) for a, b in zip(one.regressors_, other.regressors_, strict=True))
    networks = [network(max_epochs=1, validation=30).preprocessing_state(panel) for panel in panels]
    for name in networks[0]:
        if name.startswith(("scaler", "choices")):
            assert np.array_equal(networks[0][name], networks[1][name]), name


@pytest.mark.thorough
@pytest.mark.parametrize("model", [network(max_epochs=1, units=8), ReductionForecaster(horizon=HORIZON, window=7)])
def test_an_audit_finds_no_leak(model: Forecaster) -> None:
    assert audit(model, PANEL).passed


@pytest.mark.thorough
def test_an_explanation_has_one_part_for_a_column_of_text(linear: ReductionForecaster) -> None:
    found = linear.explain(permutations=20).table().set_index("part")
    two = Panel.from_frame(
        pd.concat([FRAME.assign(shop=name) for name in "ab"]), id="shop", past="weather", future="kind"
    )
    units = Units.of(Context.at_end(two), two, per_series=True, powered=False)
    assert (units.level[:, 1:] == 0).all()
    assert (units.size[:, 1:] == 1).all()  # texts of another series are not scaled
    assert bool(found.loc["kind", "clear"])
    assert not found.loc["weather", "clear"]


MANY = [f"kind {i:02d}" for i in range(INDICATORS + 4)]


def test_many_texts_have_a_learned_embedding(tmp_path: Path) -> None:
    kinds = np.random.default_rng(0).choice(MANY, len(FRAME))
    frame = FRAME.assign(kind=kinds, sales=10.0 + (kinds < MANY[10]) + 0.1 * FRAME.index % 3)
    panel = Panel.from_frame(frame[:STEPS], past="weather", future="kind")
    model = network(max_epochs=2).fit(panel)
    table = model.network_.categories.table1
    assert isinstance(table, torch.nn.Parameter)
    assert table.shape == (20, 9)
    assert len(model.network_.categories.state_dict()) == 1  # indicators need not be saved
    model.save(tmp_path / "model")
    ahead = frame.loc[STEPS:, ["day", "kind"]]
    assert load(tmp_path / "model").predict(future=ahead).equals(model.predict(future=ahead))
    tuned = model.fine_tune(frame[100:200], max_epochs=1, freeze="encoder", scaling="new")
    assert torch.equal(tuned.network_.categories.table1, table)
    assert tuned.inputs_.categories == model.inputs_.categories


def test_a_network_reads_indicators_less_their_mean_as_a_regression_does(linear: ReductionForecaster) -> None:
    encoder = linear.inputs_.categories
    levels = encoder.levels(PANEL.values, PANEL.roles).astype(np.float32)
    levels[3:5, 1:] = 0.0
    read = Categories([(at, shares) for at, _, shares in encoder.columns])
    for first in (0, 1, 2):
        assert read.width(first) == [3, 3, 2][first]
        found = read(torch.from_numpy(levels[None, :, first:]), first)[0].numpy()
        assert np.allclose(found, encoder.numbers(levels[:, first:], first), atol=1e-6)


@pytest.mark.thorough
def test_series_shorter_than_the_window_are_read_with_their_texts() -> None:
    long, short = shop(1).assign(shop="a"), shop(2).assign(shop="b")
    frame = pd.concat([long, short[-12:]])
    cut = frame["day"] < FRAME["day"][STEPS]
    panel = Panel.from_frame(frame[cut], id="shop", past="weather", future="kind")
    future = frame[~cut][["shop", "day", "kind"]]
    for cell in NETWORKS:
        model = network(cell, window=14, max_epochs=25).fit(panel)
        found = model.predict(future=future).merge(frame, on=["shop", "day"])
        assert np.abs(found["sales_x"] - found["sales_y"]).mean() < 1.2, cell


@pytest.mark.thorough
def test_columns_of_text_are_read_from_files(tmp_path: Path) -> None:
    numbers = {"none": "001", "sale": "002", "holiday": "003"}
    for name, frame in {"shop.csv": FRAME[:STEPS], "ahead.csv": AHEAD}.items():
        frame.assign(kind=frame["kind"].fillna("none").map(numbers)).to_csv(tmp_path / name, index=False)
    columns = (
        "--past",
        "weather",
        "--future",
        "kind",
        "--categories",
        "kind",
        "--horizon",
        "5",
        "--model",
        "reduction",
    )
    fit = tsforecast("fit", tmp_path / "shop.csv", *columns, "--out", tmp_path / "model")
    assert fit.returncode == 0, fit.stderr
    out = tsforecast("predict", tmp_path / "model", "--future", tmp_path / "ahead.csv", "--out", tmp_path / "out.csv")
    assert out.returncode == 0, out.stderr
    assert np.abs(pd.read_csv(tmp_path / "out.csv")["sales"].to_numpy() - TRUTH).mean() < 0.5
    assert load(tmp_path / "model").panel_.roles.categories["kind"] == ("001", "002", "003")


@pytest.mark.thorough
def test_mlflow_takes_columns_of_text(linear: ReductionForecaster, tmp_path: Path) -> None:
    from mlflow import pyfunc

    from tsforecast.tracking import flavour

    flavour.save_model(linear, tmp_path / "model")
    served = pyfunc.load_model(str(tmp_path / "model"))
    rows = pd.concat([FRAME[:STEPS], AHEAD])
    assert np.allclose(served.predict(rows)["sales"], linear.predict(future=AHEAD)["sales"])
    assert served.input_example["kind"].dropna().isin(["sale", "holiday"]).all()
