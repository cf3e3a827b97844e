"""Files of graphs: they run with onnxruntime and numpy alone, and are written whole or not at all."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch
from sklearn.preprocessing import StandardScaler

from tests.helpers.exports import OTHERS, RAGGED, inputs_for, panel, said_by_model, together, with_large_corrections
from tsforecast.data.panel import Panel
from tsforecast.errors import ParameterError
from tsforecast.export.build import MOST_ROWS
from tsforecast.files import OutputError
from tsforecast.forecasters.meta.ensemble import EnsembleForecaster
from tsforecast.forecasters.naive import DriftForecaster, NaiveForecaster, SeasonalNaiveForecaster
from tsforecast.forecasters.neural import GRUForecaster, NeuralForecaster
from tsforecast.forecasters.statistical.models import ETSForecaster
from tsforecast.networks.losses import Loss

SMALL: dict[str, Any] = {"horizon": 5, "units": 8, "max_epochs": 1, "random_state": 0}
ALL = ("temp", "mood", "price", "holiday", "size", "kind")
ALONE = """
import runpy, sys
for name in ("torch", "tsforecast", "pandas", "onnx", "scipy", "sklearn"):
    sys.modules[name] = None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def opened(file: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])


def facts_of(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(opened(file).get_modelmeta().custom_metadata_map["tsforecast"])
    return found


def forecast_alone(file: Path, *tables: Path) -> str:
    """Run the program beside a file where nothing but onnxruntime and numpy can be imported."""
    done = subprocess.run(
        [sys.executable, "-c", ALONE, file.with_name("forecast.py"), file, *tables],
        capture_output=True,
        text=True,
        cwd=file.parent,
    )
    assert not done.returncode, done.stderr
    return done.stdout


def require_repeats(model: Any, file: Path, levels: tuple[float, ...], **form: Any) -> None:
    """Compare a file with its model on fitted and other series, all at once and one alone."""
    session, fitted = opened(file), panel(**form)
    span = np.nanmax(fitted.values[:, :1]) - np.nanmin(fitted.values[:, :1])
    for contexts in (fitted, panel(**form | OTHERS), fitted.select([1])):
        found = together(session.run(None, inputs_for(model, contexts)))
        truth = said_by_model(model, contexts, levels)
        assert found.shape == truth.shape
        there = ~np.isnan(found)
        assert there[..., 0].all()
        np.testing.assert_allclose(found[there], truth[there], atol=1e-5 * span, rtol=0)


@pytest.mark.long
def test_a_file_of_a_network_repeats_it_and_says_what_it_is(tmp_path: Path) -> None:
    form: dict[str, Any] = {"columns": ALL, "lengths": RAGGED}
    model = with_large_corrections(GRUForecaster(**SMALL).fit(panel(**form)))
    file = model.export(tmp_path / "new" / "model.onnx", quantiles=[0.9], interval=0.8)
    assert sorted(each.name for each in file.parent.iterdir()) == ["forecast.py", "model.onnx"]
    require_repeats(model, file, (0.1, 0.9), **form)
    facts = facts_of(file)
    assert (facts["target"], facts["past"], facts["future"]) == (["y0"], ["temp", "mood"], ["price", "holiday"])
    assert facts["levels"] == {"q0.9": 0.9, "lo80": 0.1, "hi80": 0.9}
    assert (facts["horizon"], facts["frequency"]["name"], facts["ids"]) == (5, "h", ["a", "b", "c"])
    assert facts["data"]["sha256"] == model.fitted_on_["sha256"]
    golden = facts["golden"]
    kinds = {"known": np.int64, "series": np.int64}
    given = {name: np.array(part, dtype=kinds.get(name, np.float64)) for name, part in golden["inputs"].items()}
    for name, found in zip(("forecast", "quantiles"), opened(file).run(None, given), strict=True):
        np.testing.assert_allclose(found, np.array(golden["outputs"][name]), atol=1e-5)
    assert str(Path(__file__).parents[2]).encode() not in file.read_bytes()
    assert b"site-packages" not in file.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("cell", ["rnn", "lstm", "conv1d"])
def test_a_file_has_each_cell(cell: Any, tmp_path: Path) -> None:
    form: dict[str, Any] = {"gaps": True, "columns": ("temp", "size"), "lengths": RAGGED}
    shape = {"layers": 2, "residual": True, "norm": "layer", "segment": 3, "bidirectional": cell != "conv1d"}
    model = with_large_corrections(NeuralForecaster(cell=cell, **shape, **SMALL).fit(panel(**form)))
    require_repeats(model, model.export(tmp_path / "model.onnx", interval=0.5), (0.25, 0.75), **form)


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["normal", "student-t", "quantile", "poisson", "zero-inflated-negative-binomial"])
def test_a_file_has_the_quantiles_of_a_likelihood(loss: Any, tmp_path: Path) -> None:
    form = {"counts": loss in ("poisson", "zero-inflated-negative-binomial")}
    model = with_large_corrections(GRUForecaster(loss=loss, **SMALL).fit(panel(**form)))
    require_repeats(model, model.export(tmp_path / "model.onnx", interval=0.8), (0.1, 0.9), **form)


@pytest.mark.slow
@pytest.mark.parametrize(("transform", "scaler"), [("box-cox", "robust"), ("log", "min-max"), (None, "standard")])
def test_a_file_has_transforms_and_scalers_of_other_series(transform: Any, scaler: Any, tmp_path: Path) -> None:
    model = GRUForecaster(value_transform=transform, scaler=scaler, anchor=(12, 24), instance_norm=True, **SMALL)
    with_large_corrections(model.fit(panel(gaps=True)))
    require_repeats(model, model.export(tmp_path / "model.onnx"), (), gaps=True)


@pytest.mark.slow
def test_a_file_of_an_ensemble_has_all_members(tmp_path: Path) -> None:
    members = [NeuralForecaster(channels="joint", members=2, **SMALL), DriftForecaster(horizon=5)]
    model = with_large_corrections(EnsembleForecaster(members).fit(panel(targets=2)))
    require_repeats(model, model.export(tmp_path / "model.onnx", interval=0.8), (0.1, 0.9), targets=2)


@pytest.mark.process
def test_the_program_beside_it_needs_numpy_and_onnxruntime_alone(tmp_path: Path) -> None:
    rng, parts = np.random.default_rng(0), []
    for number, name in enumerate(("north", "south")):
        steps = 120 - 30 * number
        times = pd.date_range("2024-02-01", periods=steps + 4, freq="h")
        y = 30 + 5 * np.sin(np.arange(steps + 4) * np.pi / 12) + rng.normal(size=steps + 4)
        part = pd.DataFrame({"shop": name, "at": times, "sales": y, "price": rng.normal(size=steps + 4)})
        parts.append(part.assign(open=rng.choice(["yes", "no"], steps + 4), town="ab"[number], last=times > times[-5]))
    every = pd.concat(parts)
    data, future = every[~every["last"]].drop(columns="last"), every[every["last"]].drop(columns=["last", "sales"])
    roles: dict[str, Any] = {"future": ["price", "open"], "static": ["town"]}
    read = Panel.from_frame(data, time="at", id="shop", target="sales", **roles).with_calendar(
        "hour", "weekday", "yearday"
    )
    model = with_large_corrections(GRUForecaster(**SMALL | {"horizon": 4}).fit(read))
    file = model.export(tmp_path / "model.onnx", interval=0.8)
    # An hour is missing, a text and a series are new, and rows are in no order.
    data = data[data["at"] != "2024-02-03 05:00"].sample(frac=1, random_state=0)
    data = pd.concat([data, data[data["shop"] == "south"].assign(shop="west")])
    future = pd.concat([future, future[future["shop"] == "south"].assign(shop="west", open="perhaps")])
    data.to_csv(tmp_path / "data.csv", index=False)
    future.to_csv(tmp_path / "future.csv", index=False)
    said = pd.read_csv(io.StringIO(forecast_alone(file, tmp_path / "data.csv", tmp_path / "future.csv")))
    gaps: dict[str, Any] = {"sort": True, "fill_gaps": True, "nan_policy": "mask"}
    context = Panel.from_frame(data, time="at", id="shop", target="sales", **roles, **gaps).with_calendar(*CALENDAR)
    with pytest.warns(UserWarning, match="perhaps"):
        truth = model.predict(context, future=future, interval=0.8, ended="forecast")
    assert list(said) == list(truth) == ["shop", "at", "sales", "sales_lo80", "sales_hi80"]
    said["at"] = pd.to_datetime(said["at"])
    both = said.merge(truth, on=["shop", "at"], suffixes=("", "_truth"))
    assert len(both) == len(truth) == 12
    for name in ("sales", "sales_lo80", "sales_hi80"):
        np.testing.assert_allclose(both[name], both[f"{name}_truth"], atol=1e-4)


CALENDAR = ("hour", "weekday", "yearday")


@pytest.mark.process
def test_sensors_that_jitter_for_longer_than_an_example_are_exported(tmp_path: Path) -> None:
    rng, steps = np.random.default_rng(0), MOST_ROWS + 400
    waves = np.sin(np.arange(steps) / 8) * np.repeat([9, 1], [400, MOST_ROWS])  # a spread that differs in the last rows
    times = pd.Timestamp("2024-03-01 10:00") + pd.to_timedelta(20 * np.arange(steps) + rng.integers(-6, 7, steps), "ms")
    frame = pd.DataFrame({"time": times, "load": waves + rng.normal(0, 0.1, steps)}).drop(index=[700, 701])
    how: dict[str, Any] = {"frequency": "20ms", "tolerance": "8ms", "fill_gaps": True, "nan_policy": "mask"}
    model = NaiveForecaster(horizon=4).fit(Panel.from_frame(frame, time="time", target="load", **how))
    frame.to_csv(tmp_path / "data.csv", index=False)
    file, truth = model.export(tmp_path / "model.onnx", interval=0.8), model.predict(interval=0.8)
    found = pd.read_csv(io.StringIO(forecast_alone(file, tmp_path / "data.csv")))
    assert pd.to_datetime(found["time"], format="mixed").tolist() == truth["time"].tolist()
    names = ["load", "load_lo80", "load_hi80"]
    np.testing.assert_allclose(found[names], truth[names], atol=1e-4)


@pytest.mark.process
@pytest.mark.parametrize("aggregate", ["nearest", "mean"])
def test_the_program_puts_stamps_that_jitter_into_the_bins_of_the_panel(aggregate: Any, tmp_path: Path) -> None:
    rng, parts = np.random.default_rng(0), []
    for name, steps in (("left", 300), ("right", 240)):
        times = pd.Timestamp("2024-03-01 10:00") + pd.to_timedelta(
            20 * np.arange(steps) + rng.normal(0, 3, steps), "ms"
        )
        load, state = np.sin(np.arange(steps) / 8).round(4), rng.choice(["on", "off"], steps)
        parts.append(pd.DataFrame({"sensor": name, "time": times, "load": load, "heat": load + 1, "state": state}))
    frame = pd.concat(parts).drop(index=[70, 71])
    frame.loc[100, "load"] = np.nan
    how: dict[str, Any] = {"resample": "40ms" if aggregate == "nearest" else "60ms", "aggregate": aggregate}
    roles: dict[str, Any] = {"time": "time", "id": "sensor", "target": "load", "past": ["heat", "state"]}
    panel = Panel.from_frame(frame, **roles, **how, sort=True, fill_gaps=True, nan_policy="mask")
    model = with_large_corrections(GRUForecaster(**SMALL, window=20).fit(panel))
    frame.to_csv(tmp_path / "data.csv", index=False)
    file, truth = model.export(tmp_path / "model.onnx"), model.predict(ended="forecast")
    found = pd.read_csv(io.StringIO(forecast_alone(file, tmp_path / "data.csv")))
    assert pd.to_datetime(found["time"], format="mixed").tolist() == truth["time"].tolist()
    np.testing.assert_allclose(found["load"], truth["load"], atol=1e-4)


@pytest.mark.process
@pytest.mark.parametrize(
    ("frequency", "begin"),
    [("MS", "2019-11-01"), ("ME", "2020-01-31"), ("B", "2024-01-01"), ("W", "2024-01-07"), ("15min", "2024-01-01")],
)
def test_the_program_writes_the_times_that_follow(frequency: str, begin: str, tmp_path: Path) -> None:
    times = pd.date_range(begin, periods=30, freq=frequency)
    frame = pd.DataFrame({"day": times, "one": np.arange(30.0), "two": np.arange(30.0) ** 2})
    model = NaiveForecaster(horizon=4).fit(Panel.from_wide(frame, time="day"))
    frame.to_csv(tmp_path / "data.csv", index=False)
    said = pd.read_csv(io.StringIO(forecast_alone(model.export(tmp_path / "m.onnx"), tmp_path / "data.csv")))
    assert (
        pd.to_datetime(said["day"].unique()).tolist()
        == pd.date_range(times[-1], periods=5, freq=frequency)[1:].tolist()
    )
    assert said.iloc[:, -1].tolist() == [29.0] * 4 + [841.0] * 4


@pytest.mark.long
@pytest.mark.parametrize(
    "model", [SeasonalNaiveForecaster(horizon=5), pytest.param(GRUForecaster(**SMALL), marks=pytest.mark.slow)]
)
def test_a_file_for_torch_has_the_same_graph_and_no_pickle(model: Any, tmp_path: Path) -> None:
    model = with_large_corrections(model.fit(panel(gaps=True)))
    file = model.export(tmp_path / "model.pt2")
    extra = {"tsforecast.json": ""}
    program = torch.export.load(file, extra_files=extra)
    assert json.loads(extra["tsforecast.json"])["horizon"] == 5
    other = panel(gaps=True, **OTHERS)
    found = program.module()(*(torch.from_numpy(part) for part in inputs_for(model, other).values()))
    np.testing.assert_allclose(found.numpy(), said_by_model(model, other, ())[..., 0], atol=1e-4)
    with zipfile.ZipFile(file) as archive:
        assert not [name for name in archive.namelist() if archive.read(name)[:1] == b"\x80"]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["model.pt2"]


class Absolute(Loss):
    """A loss of one's own."""

    def errors(self, outputs: Any, truth: Any, series: Any, scale: Any) -> Any:
        return (outputs[..., 0] - truth).abs()


@pytest.mark.long
@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (
            ETSForecaster(horizon=2),
            "ETSForecaster must have a graph to be exported: it has none; export a network, a naive",
        ),
        (GRUForecaster(**SMALL, scaler=StandardScaler()), "scaler must have a graph: got StandardScaler()"),
        (GRUForecaster(**SMALL, loss=Absolute()), "loss must be one of this package: got Absolute()"),
        (
            GRUForecaster(**SMALL, loss="laplace", point="mean", value_transform="log"),
            "point must have a graph: got the mean",
        ),
        (EnsembleForecaster([NaiveForecaster(), ETSForecaster()], horizon=2), "ETSForecaster must have a graph"),
    ],
)
def test_what_has_no_graph_is_refused_before_anything_is_written(model: Any, sentence: str, tmp_path: Path) -> None:
    model.fit(panel())
    with pytest.raises(ParameterError) as refusal:
        model.export(tmp_path / "new" / "model.onnx")
    assert str(refusal.value).startswith(sentence)
    assert not list(tmp_path.iterdir())


def test_quantiles_of_many_counts_and_models_of_windows_are_refused(tmp_path: Path) -> None:
    counts = GRUForecaster(**SMALL, loss="poisson").fit(np.random.default_rng(0).poisson(9_000, 90).astype(float))
    with pytest.raises(ParameterError, match="quantiles of counts must lie below about 512: the data reach 9"):
        counts.export(tmp_path / "m.onnx", interval=0.8)
    windows = NaiveForecaster().fit(np.ones((9, 3)), np.ones(9))
    with pytest.raises(
        ParameterError, match="must be of a forecaster of series: this one was fitted on windows X and y"
    ):
        windows.export(tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_a_place_that_does_not_do_is_refused(tmp_path: Path) -> None:
    model = SeasonalNaiveForecaster(season_length=3).fit(np.arange(9.0))
    with pytest.raises(
        ParameterError, match=r"file must end in .onnx or .pt2: got 'model.zip'; use such as 'model.onnx'"
    ):
        model.export("model.zip")
    (tmp_path / "forecast.py").write_text("print('mine')")
    with pytest.raises(OutputError, match="must be absent or of an older export: it is another file"):
        model.export(tmp_path / "model.onnx")
    assert (tmp_path / "forecast.py").read_text() == "print('mine')"
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(OutputError, match="must be a file: it is a folder"):
        model.export(tmp_path / "folder.onnx")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["folder.onnx", "forecast.py"]


def test_without_the_library_of_onnx_a_sentence_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    model = NaiveForecaster().fit(np.arange(9.0))
    with pytest.raises(ModuleNotFoundError, match=r"the package onnx, .* pip install 'tsforecast-toolkit\[export\]'"):
        model.export(tmp_path / "model.onnx")
