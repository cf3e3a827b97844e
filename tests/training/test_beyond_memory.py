"""Panels in files: fits and forecasts are those of the same numbers in memory, and need far less of it."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open

from tsforecast import (
    Conv1DForecaster,
    DriftForecaster,
    ETSForecaster,
    GRUForecaster,
    LeaveGroupsOut,
    LSTMForecaster,
    MeanForecaster,
    NaiveForecaster,
    Panel,
    ReductionForecaster,
    RNNForecaster,
    SeasonalNaiveForecaster,
    WindowAverageForecaster,
    audit,
    backtest,
    leaderboard,
    load,
    save,
)
from tsforecast import mapped as module
from tsforecast.data import preprocessing
from tsforecast.errors import ModelFileError
from tsforecast.forecasters import anchors
from tsforecast.mapped import Mapped, is_mapped
from tsforecast.saving import codec

SMALL = {"horizon": 3, "units": 4, "max_epochs": 2, "steps_per_epoch": 4, "random_state": 0}


@pytest.fixture
def on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Panel], Panel]:
    """Return what writes a panel into a file, and lets few bytes count as many."""

    monkeypatch.setattr(module, "ROWS", 200)  # of both

    def write(panel: Panel) -> Panel:
        assert panel.values.dtype == np.float32
        panel.values.tofile(tmp_path / "values")
        monkeypatch.setattr(module, "LARGE", 1_000)
        monkeypatch.setattr(module, "BLOCK", 2_000)
        monkeypatch.setenv("TSFORECAST_SCRATCH", str(tmp_path))
        found = replace(panel, values=Mapped(tmp_path / "values", np.float32, panel.values.shape))
        preprocessing._latest.clear()  # what was learned from equal numbers
        anchors._latest.clear()
        assert is_mapped(found.filled)
        assert is_mapped(found.until(found.lengths - 1).values)
        return found

    return write


def panel_of(kind: str) -> Panel:
    """Return a panel of float32 numbers with what its name has; NaN in some, ragged in some."""
    random, frames = np.random.default_rng(0), []
    for i in range(12):
        steps = 90 - (3 * i if "ragged" in kind else 0)
        days = pd.date_range(end="2024-03-31", periods=steps, freq="D")
        price, open_ = random.normal(size=steps), random.integers(0, 2, steps)
        y = 20 + np.sin(np.arange(steps) * 2 * np.pi / 7) * (1 + i) / 4 + price + random.normal(0, 0.3, steps)
        if "negative" in kind:
            y -= 20
        if "NaN" in kind:
            y[random.random(steps) < 0.05] = np.nan
        text = random.choice(["rain", "sun", "snow"], steps)
        frame = pd.DataFrame({"shop": f"s{i}", "day": days, "y": y, "price": price, "open": open_, "sky": text})
        frames.append(frame.assign(size=i, region=f"r{i % 5}"))
    roles: dict[str, Any] = {"id": "shop", "time": "day", "target": "y"}
    if "NaN" in kind:
        roles |= {"nan_policy": "mask"}
    if "covariates" in kind:
        roles |= {"past": ["price", "sky"], "future": "open", "static": "size"}
    if "groups" in kind:
        roles |= {"group": "region"}
    found = Panel.from_frame(pd.concat(frames), **roles)
    if "calendar" in kind:
        found = found.with_calendar("weekday")
    return replace(found, values=found.values.astype(np.float32))


def next_days(panel: Panel, horizon: int) -> pd.DataFrame | None:
    if not panel.roles.given.future:
        return None
    days = pd.date_range("2024-04-01", periods=horizon, freq="D")
    return pd.concat([pd.DataFrame({"shop": name, "day": days, "open": 1}) for name in panel.ids])


def same_numbers(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor | np.ndarray):
        return bool(np.array_equal(np.asarray(one), np.asarray(other), equal_nan=True))
    return bool(one.equals(other))


NETWORKS = [
    ("plain", GRUForecaster, {}),
    ("ragged NaN", GRUForecaster, {"per_series": False}),
    ("negative ragged NaN", RNNForecaster, {"validation_origins": "auto"}),
    ("covariates NaN", LSTMForecaster, {"loss": "normal", "refit": True}),
    ("groups ragged", Conv1DForecaster, {}),
    ("groups covariates", GRUForecaster, {"scaler": "robust"}),
    ("calendar ragged", GRUForecaster, {"kernels": "off"}),
]


@pytest.mark.long
@pytest.mark.parametrize(("kind", "model", "settings"), NETWORKS)
def test_a_network_on_a_panel_in_a_file_is_that_of_the_numbers_in_memory(
    kind: str, model: Any, settings: dict[str, Any], on_disk: Callable[[Panel], Panel]
) -> None:
    panel = panel_of(kind)
    future = next_days(panel, 3)
    kept = model(**SMALL, **settings).fit(panel)
    points, quantiles = kept.predict(future=future), kept.predict(future=future, interval=0.8)
    tuned = kept.fine_tune(panel, max_epochs=1) if kind == "plain" else kept
    filed = on_disk(panel)
    mine = model(**SMALL, **settings).fit(filed)
    assert is_mapped(mine.panel_.values)
    assert {**mine.resolved_} == {**kept.resolved_}
    again = mine.fine_tune(filed, max_epochs=1) if kind == "plain" else mine
    for name, weight in kept.network_.state_dict().items():
        assert same_numbers(weight, mine.network_.state_dict()[name]), name
    for name, weight in tuned.network_.state_dict().items():
        assert same_numbers(weight, again.network_.state_dict()[name]), name
    assert same_numbers(points, mine.predict(future=future))
    assert same_numbers(quantiles, mine.predict(future=future, interval=0.8))
    assert kept.fitted_on_ == mine.fitted_on_


@pytest.mark.long
@pytest.mark.parametrize("kind", ["ragged NaN", "negative"])
@pytest.mark.parametrize(
    "model",
    [
        ReductionForecaster(horizon=3),
        NaiveForecaster(3),
        SeasonalNaiveForecaster(3),
        DriftForecaster(3),
        MeanForecaster(3),
        WindowAverageForecaster(3),
        ETSForecaster(horizon=3),
    ],
    ids=lambda model: type(model).__name__,
)
def test_other_forecasters_are_those_of_the_numbers_in_memory(
    kind: str, model: Any, on_disk: Callable[[Panel], Panel]
) -> None:
    panel = panel_of(kind)
    kept = model.fit(panel).predict(interval=0.8)
    assert same_numbers(kept, model.fit(on_disk(panel)).predict(interval=0.8))


@pytest.mark.long
def test_comparisons_on_a_panel_in_a_file_are_those_of_the_numbers_in_memory(
    on_disk: Callable[[Panel], Panel],
) -> None:
    panel = panel_of("ragged NaN")
    models = [GRUForecaster(**SMALL), SeasonalNaiveForecaster(3)]
    kept, forecasts = compared(models, panel)
    board, others = compared(models, on_disk(panel))
    timed = [name for name in kept.rows if "seconds" in name or "time" in name]
    assert board.rows.drop(columns=timed).equals(kept.rows.drop(columns=timed))
    assert forecasts.equals(others)


def compared(models: Any, panel: Panel) -> tuple[Any, pd.DataFrame]:
    board = leaderboard(models, panel, horizon=3, origins=2)
    scores = backtest(models[0], panel, horizon=3, origins=2, refit=True)
    return board, scores.drop(columns=[name for name in scores if "seconds" in name])


class Peeking(NaiveForecaster):
    """Forecast the number that follows each cutoff in the panel."""

    def forecast(self, past: Any, horizon: int) -> Any:
        panel = past._panel
        rows = panel.offsets[past.series] + np.minimum(past.rows, panel.lengths[past.series] - 1)
        return np.repeat(panel.values[rows][:, None], horizon, axis=1)


@pytest.mark.long
def test_an_audit_of_a_panel_in_a_file_is_of_some_series(
    on_disk: Callable[[Panel], Panel], monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = on_disk(panel_of("groups"))
    assert "the other series" not in audit(SeasonalNaiveForecaster(3), panel).findings["perturbation"].tolist()
    monkeypatch.setattr("tsforecast.leakage.audit.SAMPLE", 2)
    monkeypatch.setattr("tsforecast.leakage.audit.MANY", 2)
    report = audit(SeasonalNaiveForecaster(3), panel)
    note = "4 of 12 series of a panel in a file, evenly taken, stand for all"
    assert report.passed
    assert set(report.findings.set_index("perturbation").loc["the other series", "note"]) == {note}
    grouped = backtest(SeasonalNaiveForecaster(3), panel, horizon=3, groups=LeaveGroupsOut())
    assert set(grouped["leak_audit"]) == {"passed (data)"}
    assert audit(Peeking(3), panel).outcome == "LEAK (fit)"


def test_a_saved_model_refers_to_a_large_panel_in_a_file(
    on_disk: Callable[[Panel], Panel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codec, "MOST_VALUES", 1_000)
    panel = on_disk(panel_of("ragged NaN"))
    model = GRUForecaster(**SMALL).fit(panel)
    file, folder = Path(str(panel.values.filename)), tmp_path / "model"  # type: ignore[attr-defined]
    assert len(pickle.dumps(model)) < len(pickle.dumps(GRUForecaster(**SMALL).fit(panel_of("ragged NaN"))))
    save(model, folder)
    assert "panel.values" not in safe_open(folder / "numbers.safetensors", "numpy").keys()  # noqa: SIM118
    for back in (load(folder), pickle.loads(pickle.dumps(model))):
        assert is_mapped(back.panel_.values)
        assert same_numbers(back.predict(interval=0.8), model.predict(interval=0.8))
    os.utime(file, ns=(0, 0))  # a copy of the same numbers will do
    assert same_numbers(load(folder).predict(), model.predict())
    numbers = np.fromfile(file, np.float32)
    numbers[5] += 1
    numbers.tofile(tmp_path / "other")
    (tmp_path / "other").replace(file)
    with pytest.raises(ModelFileError, match=r"must be as it was: the file .* holds other numbers; put it back"):
        load(folder)
    file.unlink()
    with pytest.raises(ModelFileError, match=r"must lie where it lay: the file .* must be one that can be read"):
        load(folder)


FIT_WITH_LITTLE_MEMORY = """
import resource, sys
from pathlib import Path
import numpy as np
from tsforecast import GRUForecaster, Panel
from tsforecast.data import windows
from tsforecast.mapped import Mapped

windows.LISTED = 2**20  # more are drawn without a list of all
path, series, steps, gaps, most = Path(sys.argv[1]), 40_000, 1_000, sys.argv[2] == "gaps", int(sys.argv[3])
day = 20 + np.sin(np.arange(steps) * 2 * np.pi / 24) + np.random.default_rng(0).normal(0, 0.3, (100, steps))
lengths = np.full(series, steps)
if gaps:
    day[:, 500] = np.nan
    lengths[::100] = 90
with path.open("wb") as file:
    for _ in range(series // 100):
        rows = day.astype(np.float32)
        file.write(np.concatenate([rows[0, :90], rows[1:].ravel()]).tobytes() if gaps else rows.tobytes())
offsets = np.append(0, np.cumsum(lengths))
values = Mapped(path, np.float32, (int(offsets[-1]), 1))
few = Panel.from_array(np.arange(9_000.0).reshape(30, 300, 1), season_length=24)
panel = few.untimed(values, offsets, np.arange(series), few.roles, few.source)
model = GRUForecaster(horizon=12, max_epochs=1, steps_per_epoch=50, random_state=0)
model.fit(few).predict()  # what is loaded once
held = int(next(line for line in open("/proc/self/status") if line.startswith("VmData")).split()[1]) << 10
resource.setrlimit(resource.RLIMIT_DATA, (held + (most << 20),) * 2)
print(model.fit(panel).predict().shape, values.nbytes >> 20)
"""


@pytest.mark.process
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of memory are those of Linux")
@pytest.mark.parametrize("kind", [pytest.param("plain", marks=pytest.mark.thorough), "gaps"])
def test_a_fit_needs_far_less_memory_than_its_panel(kind: str, tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", FIT_WITH_LITTLE_MEMORY, str(tmp_path / "values"), kind, "100"]
    environment = os.environ | {"TSFORECAST_SCRATCH": str(tmp_path / "scratch"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]
    assert done.stdout.split("\n")[0].startswith("(40000, 12, 1) 15")  # megabytes of numbers
