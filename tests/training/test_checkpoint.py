"""A training that is taken up again ends with the weights of one that was never interrupted, to the bit."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.helpers.forecasters import small, wave
from tsforecast.errors import ModelFileError, ParameterError
from tsforecast.files import sha256
from tsforecast.forecasters.neural import NeuralForecaster
from tsforecast.training import checkpoint, loop
from tsforecast.training.checkpoint import parse_every


def model(cell: str = "gru", **settings: object) -> NeuralForecaster:
    return small(cell).set_params(**{"max_epochs": 6, "dropout": 0.2, "patience": None, **settings})


def state(fitted: NeuralForecaster) -> torch.Tensor:
    return torch.cat([tensor.ravel().float() for tensor in fitted.network_.state_dict().values()])


def interrupted(which: NeuralForecaster, folder: Path, after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fit until `after` passes were made, and die in the next one."""
    passes = 0
    original = loop.run_epoch

    def dies(*arguments: object) -> object:
        nonlocal passes
        passes += 1
        if passes > after:
            raise SystemExit("killed")
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "run_epoch", dies)
        with pytest.raises(SystemExit):
            which.fit(wave(), checkpoint=folder)


@cache
def uninterrupted(**settings: object) -> NeuralForecaster:
    """Return the model that a resumed one is compared with."""
    return model(**settings).fit(wave())


SETTINGS: list[dict] = [
    {}, {"optimizer": "sgd"}, {"schedule": "plateau"}, {"validation": None}, {"norm": "batch"}, {"patience": 2},
    {"refit": True}, {"kernels": "on"}, {"kernels": "on", "optimizer": "sgd", "dropout": 0.2, "members": 2},
]  # fmt: skip


@pytest.mark.long
@pytest.mark.sample(3)
@pytest.mark.parametrize(
    ("settings", "after"),
    [(settings, after) for settings in SETTINGS for after in (1, 4)] + [({"refit": True}, after) for after in (6, 8)],
    ids=str,
)
def test_a_resumed_fit_equals_an_uninterrupted_one(
    settings: dict, after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = uninterrupted(**settings)
    interrupted(model(**settings), tmp_path / "kept", after, monkeypatch)
    resumed = model(**settings).fit(wave(), resume_from=tmp_path / "kept")
    assert torch.equal(state(resumed), state(whole))
    assert [e.valid_loss for e in resumed.history_] == [e.valid_loss for e in whole.history_]
    assert np.array_equal(resumed.predict(), whole.predict())


def test_what_was_trained_once_more_is_not_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, passes, one_pass = model(refit=True).fit(wave()), [], loop.run_epoch
    best = whole.resolved_["best_epoch"]
    assert best > 2
    interrupted(model(refit=True), tmp_path / "kept", 6 + 2, monkeypatch)

    def counted(*arguments: object) -> object:
        passes.append(arguments)
        return one_pass(*arguments)

    monkeypatch.setattr(loop, "run_epoch", counted)
    resumed = model(refit=True).fit(wave(), resume_from=tmp_path / "kept")
    assert len(passes) == best - 2  # nothing of the six epochs, and of the second training what was left
    assert torch.equal(state(resumed), state(whole))


@pytest.mark.process
def test_a_process_that_is_killed_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    code = f"""
from tests.helpers.forecasters import wave
from tests.training.test_checkpoint import model
import tsforecast.training.checkpoint as checkpoint
keep = checkpoint.Checkpoints.keep
def slow(self, training, done):
    keep(self, training, done)
    print(training.history[-1].number, flush=True)
checkpoint.Checkpoints.keep = slow
model(max_epochs=500).fit(wave(), checkpoint={str(tmp_path / "kept")!r})
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) == 20:
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert [path.name for path in (tmp_path / "kept").iterdir() if not path.name.startswith(".")] == ["train"]
    resumed = model(max_epochs=500).fit(wave(), resume_from=tmp_path / "kept")
    assert torch.equal(state(resumed), state(model(max_epochs=500).fit(wave())))


def test_checkpoints_come_every_so_many_epochs_or_minutes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = []
    original = checkpoint.Checkpoints.keep

    def spy(self: checkpoint.Checkpoints, training: object, done: bool) -> None:
        place = tmp_path / "kept" / "train" / "checkpoint.json"
        original(self, training, done)
        last = len(json.loads(place.read_text())["history"]) - 1 if place.exists() else None
        kept.append(last)

    monkeypatch.setattr(checkpoint.Checkpoints, "keep", spy)
    model().fit(wave(), checkpoint=tmp_path / "kept", checkpoint_every=4)
    assert kept == [None, None, None, 4, 4, 6]  # and always the last
    kept.clear()
    model().fit(wave(), checkpoint=tmp_path / "kept", checkpoint_every="60min")
    assert kept == [6] * 6  # that of the first fit stays until this one is done


@pytest.mark.parametrize("what", ["tensors", "state"])
def test_a_checkpoint_in_which_something_changed_is_refused(what: str, tmp_path: Path) -> None:
    model().fit(wave(), checkpoint=tmp_path / "kept")
    place = tmp_path / "kept" / "train"
    if what == "tensors":
        damaged = bytearray((place / "checkpoint.safetensors").read_bytes())
        damaged[len(damaged) // 2] ^= 0x41
        (place / "checkpoint.safetensors").write_bytes(damaged)
    else:
        (place / "checkpoint.json").write_text("[]")
    with pytest.raises(ModelFileError, match="must hold a checkpoint to resume from: it is cut short or spoilt"):
        model().fit(wave(), resume_from=tmp_path / "kept")


def test_a_checkpoint_that_lays_the_optimiser_out_otherwise_is_refused(tmp_path: Path) -> None:
    model().fit(wave(), checkpoint=tmp_path / "kept")
    file = tmp_path / "kept" / "train" / "checkpoint.safetensors"
    tensors = load_file(file)
    tensors["optimizer.7.exp_avg"] = tensors.pop("optimizer.1.exp_avg")  # one part for each parameter
    save_file(tensors, file)
    state = file.with_name("checkpoint.json")
    state.write_text(json.dumps(json.loads(state.read_text()) | {"sha256": sha256(file)}))
    with pytest.raises(ModelFileError, match="must hold a checkpoint of this version of tsforecast"):
        model().fit(wave(), resume_from=tmp_path / "kept")


def test_a_checkpoint_of_other_data_or_settings_is_refused(tmp_path: Path) -> None:
    model().fit(wave(), checkpoint=tmp_path / "kept")
    with pytest.raises(ParameterError) as caught:
        model(units=5, learning_rate=0.5).fit(wave(80), resume_from=tmp_path / "kept")
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        f"a fit must resume with the {name} it began with" for name in ("learning_rate", "units", "data")
    ]


def test_a_folder_without_a_checkpoint_is_refused_and_one_with_other_things_is_left_alone(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="must hold a checkpoint to resume from"):
        model().fit(wave(), resume_from=tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("no checkpoint")
    for place in ("empty", "file"):
        with pytest.raises(ModelFileError, match="must hold a checkpoint to resume from"):
            model().fit(wave(), resume_from=tmp_path / place)
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "thesis.txt").write_text("years of work")
    with pytest.raises(OSError, match="must be new or empty"):
        model().fit(wave(), checkpoint=tmp_path)
    assert (tmp_path / "train" / "thesis.txt").read_text() == "years of work"


def test_an_interval_between_checkpoints_is_in_epochs_or_minutes() -> None:
    assert parse_every(5) == (5, False)
    assert parse_every("10min") == (10, True)


@pytest.mark.parametrize("every", [0, "soon", "0min", 1.5])
def test_a_time_between_checkpoints_that_makes_no_sense_is_refused(every: object, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="checkpoint_every must be a number of epochs or minutes"):
        model().fit(wave(), checkpoint=tmp_path / "kept", checkpoint_every=every)
