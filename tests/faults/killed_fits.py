"""Fits that are killed at random moments, and go on: `python -m tests.faults.killed_fits FOLDER KILLS SEED`.

A process of its own, with one thread, so that it may fork: what is killed has not to load everything again.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from tests.helpers.forecasters import small, wave
from tsforecast.errors import ModelFileError
from tsforecast.forecasters.neural import NeuralForecaster
from tsforecast.training.checkpoint import Checkpoints

EPOCHS = 30


def model() -> NeuralForecaster:
    return small("gru").set_params(max_epochs=EPOCHS, patience=None, dropout=0.2)


def weights(fitted: NeuralForecaster) -> bytes:
    return b"".join(part.numpy().tobytes() for part in fitted.network_.state_dict().values())


def fit(folder: Path) -> NeuralForecaster:
    """Fit, from the last checkpoint on if there is one, and say in a file which epochs are kept."""
    keep = Checkpoints.keep

    def told(self: Checkpoints, training: object, done: bool) -> None:
        keep(self, training, done)
        (folder / "told").write_text(str(training.history[-1].number))  # type: ignore[attr-defined]

    Checkpoints.keep = told  # type: ignore[method-assign]
    try:
        begun = (folder / "kept" / "train").exists()
        return model().fit(wave(), checkpoint=folder / "kept", resume_from=folder / "kept" if begun else None)
    finally:
        Checkpoints.keep = keep  # type: ignore[method-assign]


def main(folder: Path, kills: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    began = time.perf_counter()
    whole = weights(model().fit(wave(), checkpoint=folder / "whole"))
    usual = time.perf_counter() - began
    killed = 0
    while killed < kills:
        child = os.fork()
        if not child:
            fit(folder)
            os._exit(0)
        time.sleep(float(random.uniform(0, 0.6 * usual)))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        killed += os.WIFSIGNALED(status)
        kept = folder / "kept" / "train" / "checkpoint.json"
        told = folder / "told"
        if told.exists() and told.read_text():
            last = json.loads(kept.read_text())["history"][-1]["number"]
            assert last >= int(told.read_text()), f"epoch {told.read_text()} was kept, and {last} is there"
            if last == EPOCHS or random.random() < 0.2:
                assert weights(fit(folder)) == whole, "what went on ends with other weights"
                for file in (folder / "kept" / "train").iterdir():
                    file.unlink()
                (folder / "kept" / "train").rmdir()
                told.unlink()
    assert weights(fit(folder)) == whole, "what went on ends with other weights"
    try:
        model().set_params(units=5).fit(wave(), resume_from=folder / "kept")
    except (ModelFileError, ValueError):
        sys.stdout.write(f"killed {killed}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
