"""Kernels or torch: chosen by times of this machine that are measured once, and kept."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.helpers.commands import tsforecast
from tests.helpers.forecasters import SMALL, wave
from tsforecast.cli.console import plain_warnings
from tsforecast.errors import ParameterError, TrainingWarning
from tsforecast.estimators.persistence import load, save
from tsforecast.estimators.registry import make
from tsforecast.events import clock, interruptible, uncounted
from tsforecast.networks.kernels import autograd, choice, memory
from tsforecast.training.loop import steps_of

SHAPE = (2, len(choice.UNITS), len(choice.ROWS), len(choice.STEPS))


def a_table(kernels: float, torches: float) -> Any:
    """Return times of which those of torch and kernels are in proportion, and grow with all sizes."""
    sizes = np.outer(choice.UNITS, np.outer(choice.ROWS, choice.STEPS).ravel()).reshape(SHAPE[1:])
    return np.stack([kernels * sizes, torches * sizes])


def test_times_between_and_beyond_those_measured_go_along_lines() -> None:
    times = a_table(1e-6, 2e-6)
    for units, rows, steps in [(8, 32, 1), (32, 128, 8), (16, 64, 3), (256, 1000, 24)]:
        expected = 1e-6 * units * rows * steps
        assert choice.seconds(times, units, rows, steps) == pytest.approx((expected, 2 * expected))
    wide = choice.seconds(times, 512, 32, 1)
    assert wide == pytest.approx((4e-6 * 256 * 32, 8e-6 * 256 * 32))  # a matrix of twice the side


@pytest.mark.parametrize("steps", range(1, 9))
def test_short_sequences_have_the_time_of_their_first_step_and_that_of_each_further_one(steps: int) -> None:
    times = np.empty(SHAPE)
    times[..., 0], times[..., 1] = 3e-4, 10e-4
    assert choice.seconds(times, 8, 8, steps) == pytest.approx(2 * (3e-4 + (steps - 1) * 1e-4,))


def test_kernels_must_save_more_than_loading_takes_and_more_than_the_times_are_exact() -> None:
    sizes = {"units": 8, "rows": 32, "steps": 1}
    assert choice.pays(a_table(1e-6, 2e-6), reads=2_000, **sizes)
    assert not choice.pays(a_table(1e-6, 2e-6), reads=1_000, **sizes)  # 0.22 s
    assert not choice.pays(a_table(1e-6, 1.1e-6), reads=1_000_000, **sizes)
    assert not choice.pays(a_table(2e-6, 1e-6), reads=1_000_000, **sizes)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A file of times that does not exist yet: those of a machine that has an empty cache."""
    yield from _with_cache(monkeypatch, tmp_path / "cache")


def _with_cache(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[Path]:
    for name in ("autograd", "likelihoods", "program"):  # kernels keep the folder that they were imported with
        import_module(f"tsforecast.networks.kernels.{name}")
    monkeypatch.delenv("TSFORECAST_KERNELS")
    monkeypatch.setenv("TSFORECAST_CACHE", str(folder))
    caches = (memory.folder, choice.times_of, choice._ready)
    for one in caches:
        one.cache_clear()
    yield memory.folder() / choice.FILE
    for one in caches:
        one.cache_clear()


@pytest.mark.long
def test_times_are_measured_once_and_read_from_then_on(machine: Path) -> None:
    first = choice.times_of("RNN_TANH")
    assert first is not None
    assert first.shape == SHAPE
    assert (np.diff(first, axis=1) >= 0).all()
    assert (np.diff(first, axis=3) >= 0).all()
    kept = {"RNN_TANH": (2 * first).tolist()}
    machine.write_text(json.dumps(kept))
    choice.times_of.cache_clear()
    choice._ready.cache_clear()
    assert np.array_equal(choice.times_of("RNN_TANH"), 2 * first)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"RNN_TANH": [1, 2]}', '{"RNN_TANH": "fast"}', json.dumps({"RNN_TANH": np.zeros(SHAPE).tolist()})],
)
def test_a_broken_file_of_times_is_no_file(machine: Path, text: str) -> None:
    machine.parent.mkdir(parents=True)
    machine.write_text(text)
    assert choice._read(machine) == {}


@pytest.mark.long
def test_a_broken_file_of_times_is_written_anew_and_others_in_it_stay(machine: Path) -> None:
    machine.parent.mkdir(parents=True)
    machine.write_text(json.dumps({"RNN_TANH": [1.0], "GRU": a_table(1e-6, 2e-6).tolist()}))
    found = choice.times_of("RNN_TANH")
    assert np.array_equal(json.loads(machine.read_text())["RNN_TANH"], found)
    assert np.array_equal(json.loads(machine.read_text())["GRU"], a_table(1e-6, 2e-6))


@pytest.mark.long
def test_a_cache_that_cannot_be_written_to_is_done_without(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in _with_cache(monkeypatch, tmp_path / "file" / "cache"):
        assert choice.times_of("RNN_TANH") is not None
        assert not place.exists()


FIT = """
import json
import numpy as np
from tsforecast import RNNForecaster
from tsforecast.events import clock
began = clock()
model = RNNForecaster(horizon=2, window=24, segment=1, units=8, max_epochs=3, steps_per_epoch=60, batch_size=8,
    random_state=0, device="cpu").fit(np.sin(np.arange(600.0)))
seconds = clock() - began
from tsforecast.networks.kernels import memory
from tsforecast.networks.kernels.choice import FILE
times = json.loads((memory.folder() / FILE).read_text())
print(json.dumps([model.resolved_["kernels"], model.predict().tolist(), times, seconds]))
"""


def started(cache: Path, **more: str) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if name != "TSFORECAST_KERNELS"}
    environment |= {"TSFORECAST_CACHE": str(cache), "PYTHONPATH": os.pathsep.join(sys.path), **more}
    return subprocess.Popen([sys.executable, "-c", FIT], env=environment, stdout=subprocess.PIPE, text=True)


def result(process: subprocess.Popen[str]) -> Any:
    told, _ = process.communicate(timeout=300)
    assert process.returncode == 0
    return json.loads(told.splitlines()[-1])


@pytest.mark.process
def test_first_fits_at_once_measure_once_and_a_later_one_repeats_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    choice.loaded("RNN_TANH")  # compiled, where the processes find it
    both = [started(tmp_path, NUMBA_CACHE_DIR=str(memory.folder())) for _ in range(2)]
    first, second = (result(process) for process in both)
    for _ in _with_cache(monkeypatch, tmp_path):
        exec(FIT, {})
    later = json.loads(capsys.readouterr().out)
    assert first[:3] == second[:3] == later[:3]
    assert list(first[2]) == ["RNN_TANH", "RNN_TANH step"]  # a cell alone, and whole steps by a program


@pytest.mark.slow
def test_compiling_is_no_part_of_the_first_fit(tmp_path: Path) -> None:
    began = time.perf_counter()
    first = result(started(tmp_path))
    whole = time.perf_counter() - began
    later = result(started(tmp_path))
    assert first[:3] == later[:3]
    assert first[3] < whole / 2


@pytest.mark.long
def test_the_clock_stands_still_for_what_is_done_once(caplog: pytest.LogCaptureFixture) -> None:
    began, start = clock(), time.perf_counter()
    with caplog.at_level("INFO", "tsforecast"), uncounted("made kernels", "making kernels"):
        assert caplog.messages == ["making kernels"]
        with uncounted("inner", "beginning"):
            time.sleep(0.6)
        time.sleep(0.5)
    time.sleep(0.01)
    assert time.perf_counter() - start > 1.1
    assert 0.01 <= clock() - began < 0.3
    assert caplog.messages[1:] == ["made kernels for this machine: 1 s, not counted"]


def test_a_file_of_times_can_be_named_and_decides(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sizes = {"cell": "gru", "reads": 2_400, "units": 32, "rows": 64, "steps": 2}
    for times, expected in ((a_table(1e-7, 9e-7), True), (a_table(9e-7, 1e-7), False)):
        (tmp_path / "times.json").write_text(json.dumps({"GRU": times.tolist()}))
        monkeypatch.setenv("TSFORECAST_KERNELS", str(tmp_path / "times.json"))
        choice.times_of.cache_clear()
        assert choice.chosen(**sizes) is expected  # type: ignore[arg-type]
    assert not choice.chosen("lstm", reads=100, units=32, rows=64, steps=2)  # too short to look
    with pytest.raises(ParameterError, match=r"^TSFORECAST_KERNELS must name a file with times of GRU step, such"):
        choice.chosen(**sizes, whole=steps_of)  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match=r"^TSFORECAST_KERNELS must name a file with times of LSTM, such as times"):
        choice.chosen("lstm", reads=2_400, units=32, rows=64, steps=2)
    with pytest.raises(ParameterError, match=r"^TSFORECAST_KERNELS must name a file with times of CONV, such as times"):
        choice.chosen("conv1d", reads=2_400, units=32, rows=64, steps=2)


def fitted(**settings: Any) -> Any:
    chosen = {**SMALL, "units": 8, "segment": 1, "max_epochs": 2, "horizon": 3, "device": "cpu", **settings}
    return make(chosen.pop("model", "gru"), **chosen).fit(wave())


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_a_fit_goes_the_way_that_is_set_and_both_forecast_alike(cell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, really = [], autograd.share
    monkeypatch.setattr(autograd, "share", lambda *arguments: (calls.append(arguments[0]), really(*arguments)))
    off = fitted(model=cell, kernels="off")
    assert not calls
    on = fitted(model=cell, kernels="on")
    assert calls
    assert np.abs(on.predict() - off.predict()).max() < 1e-5 * np.abs(off.predict()).max()


def test_the_choice_is_kept_by_refit_fine_tuning_and_files(tmp_path: Path) -> None:
    on = fitted(kernels="on", refit=True, max_epochs=3)
    assert on.network_.encoder.layers[0].fused
    tuned = on.fine_tune(wave(), kernels="auto", max_epochs=1)
    assert (tuned.resolved_["kernels"], tuned.network_.encoder.layers[0].fused) == ("on", True)
    other = on.fine_tune(wave(), kernels="off", max_epochs=1)
    assert (other.resolved_["kernels"], other.network_.encoder.layers[0].fused) == ("off", False)
    for model in (on, other):
        save(model, tmp_path / "model")
        restored = load(tmp_path / "model")
        assert restored.resolved_["kernels"] == model.resolved_["kernels"]
        assert restored.network_.encoder.layers[0].fused == model.network_.encoder.layers[0].fused


@pytest.mark.parametrize(("fused", "kept"), [(True, "on"), (False, "off"), (None, "off")])
def test_models_of_before_have_the_choice_under_another_name(fused: bool | None, kept: str) -> None:
    model = fitted(kernels="off")
    plain, arrays = model.get_state()
    plain["resolved_"] = {name: value for name, value in plain["resolved_"].items() if name != "kernels"}
    plain["resolved_"] |= {} if fused is None else {"fused": fused}
    model.set_state(plain, arrays)
    assert model.resolved_["kernels"] == kept
    assert "fused" not in model.resolved_
    assert model.network_.encoder.layers[0].fused == (kept == "on")


def test_what_kernels_do_not_read_is_recorded_as_off() -> None:
    assert fitted(kernels="on", mixed_precision=True).resolved_["kernels"] == "off"


def test_kernels_need_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "find_spec", lambda name: None)
    assert fitted(kernels="auto").resolved_["kernels"] == "off"
    with pytest.raises(ParameterError) as caught:
        fitted(kernels="on")
    assert str(caught.value) == "kernels must be 'auto' or 'off' without numba: got 'on'; install numba"
    with pytest.raises(ParameterError, match="kernels must be one of 'auto', 'on', 'off': got 'fast'"):
        fitted(kernels="fast")


@pytest.mark.long
def test_the_command_compiles_all_kernels_and_notes_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = tsforecast("compile", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert str(memory.folder()) in found.stdout.replace("\n", "")
    assert "kernels of conv1d are ready" in found.stdout.splitlines()
    names = {file.name.partition("-")[0] for file in memory.folder().rglob("*.nbi")}
    losses, bank = {"likelihoods._losses", "likelihoods._quantile_losses"}, {"rocket.quantiles", "rocket.summaries"}
    assert {"cells.forward", "cells.backward", *losses, *bank} <= names
    with plain_warnings():
        logging.getLogger("tsforecast").info("compiled %s", "kernels", extra={"note": True})
        logging.getLogger("tsforecast").info("an epoch")
    assert capsys.readouterr().err == "Note: compiled kernels\n"


@pytest.mark.parametrize("mode", sorted(choice.MODES.values()))
def test_kernels_load_where_a_forecast_needs_them_first(mode: str) -> None:
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("error")
        assert choice._tried(mode) is not None


def test_a_warning_about_kernels_is_no_interruption_of_a_comparison() -> None:
    with pytest.warns(TrainingWarning, match="numba"), interruptible():
        warnings.warn("numba must compile the fast kernels and cannot", TrainingWarning, stacklevel=1)
    with pytest.raises(KeyboardInterrupt), interruptible():
        warnings.warn("training was interrupted in epoch 2", TrainingWarning, stacklevel=1)
