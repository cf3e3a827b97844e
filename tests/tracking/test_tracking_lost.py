"""A store that is not there is said at once, one that goes away once: no fit suffers, and nothing is lost."""

from __future__ import annotations

import math
import shutil
import socket
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pandas as pd
import pytest

from tests.helpers.forecasters import small, wave
from tests.helpers.logged import files, history, runs
from tests.tracking.conftest import Service, free_port, server
from tsforecast import TrackingError, TrackingWarning, track
from tsforecast.forecasters.base import Forecaster
from tsforecast.tracking import sync
from tsforecast.tracking.outbox import LOCK
from tsforecast.training.history import Epoch

pytestmark = pytest.mark.mlflow
SALES = pd.DataFrame({"day": pd.date_range("2024-01-01", periods=90), "sales": wave(90)})


def network() -> Forecaster:
    return small("gru").set_params(max_epochs=6)


@pytest.fixture
def service(empty_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Service:
    """A server of one test alone, not yet started."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    return server(tmp_path)


def test_a_server_that_dies_in_the_middle_of_a_fit_changes_nothing_and_what_is_left_is_sent_later(
    service: Service, tmp_path: Path
) -> None:
    alone = network().fit(SALES)

    def dies(epoch: Epoch) -> None:
        if epoch.number == 3:
            until = time.monotonic() + 30
            while not runs(service.uri) and time.monotonic() < until:
                time.sleep(0.1)
            service.stop()

    service.start()
    try:
        with warnings.catch_warnings(record=True) as warned, track(uri=service.uri):
            warnings.simplefilter("always")
            model = network().fit(SALES, on_epoch=dies)  # type: ignore[call-arg]
            network().fit(SALES)
        assert [item.category for item in warned] == [TrackingWarning]
        sentence = str(warned[0].message)
        assert sentence.startswith("tracking stopped, and the work continues")
        assert "tsforecast track-sync" in sentence
        pd.testing.assert_frame_equal(model.predict(), alone.predict())
        assert [e.valid_loss for e in model.history_] == [e.valid_loss for e in alone.history_]  # type: ignore[attr-defined]

        command = [sys.executable, "-m", "tsforecast.cli.app", "track-sync"]
        early = subprocess.run(command, capture_output=True, text=True, check=False)
        assert early.returncode == 2
        assert "no server answers there" in early.stderr
        service.start()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("sent 2 runs of")
        assert not (tmp_path / "mlflow-unsent").exists()
        for run in runs(service.uri):
            assert run.info.status == "FINISHED"
            assert history(service.uri, run, "loss/validation") == {e.number: e.valid_loss for e in alone.history_}  # type: ignore[attr-defined]
            assert files(service.uri, run) > {"figures/forecast.png", "figures/training.png"}
            assert len(run.outputs.model_outputs) == 1
        assert len(runs(service.uri)) == 2
    finally:
        service.stop()


def refused() -> str:
    return f"http://127.0.0.1:{free_port()}"


def test_a_server_that_is_not_there_is_said_before_anything_is_trained() -> None:
    uri = refused()
    with (
        pytest.raises(
            TrackingError, match=rf"runs cannot be tracked in '{uri}': no server answers there \(Connection re"
        ),
        track(uri=uri),
    ):
        pytest.fail("nothing may be trained")


def test_a_server_that_says_nothing_is_given_up_within_five_seconds() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        seconds = [math.inf]
        while min(seconds) >= 5 and len(seconds) < 4:  # what a user is promised; a busy machine may take longer once
            began = time.monotonic()
            with (
                pytest.raises(TrackingError, match="no server answers there"),
                track(uri=f"http://127.0.0.1:{silent.getsockname()[1]}"),
            ):
                pytest.fail("nothing may be trained")
            seconds.append(time.monotonic() - began)
        assert min(seconds) < 5


@pytest.mark.parametrize(
    ("uri", "sentence"),
    [
        ("localhost:5000", "uri must be that of an MLflow server or of a database file"),
        ("sqlite:////nowhere/mlflow.db", "must be one that can be written to"),
        ("postgresql://127.0.0.1:1/runs", "no server answers there"),
    ],
)
def test_other_places_that_cannot_be_reached_are_said(uri: str, sentence: str) -> None:
    with pytest.raises(TrackingError, match=sentence), track(uri=uri):
        pytest.fail("nothing may be trained")


def test_the_command_line_says_it_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", refused())
    command = [
        sys.executable,
        "-m",
        "tsforecast.cli.app",
        "leaderboard",
        "sunspots-yearly",
        "--models",
        "mean",
        "--mlflow",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("Error: runs cannot be tracked in 'http://127.0.0.1:")


def test_there_must_be_something_to_send(tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match="must hold runs that were not sent: it holds none"):
        sync(tmp_path)


def test_what_another_process_still_writes_is_left_alone(tmp_path: Path) -> None:
    place = tmp_path / "mlflow-unsent" / "one"
    place.mkdir(parents=True)
    (place / "about.json").write_text('{"uri": "sqlite:///none.db", "experiment": "a", "runs": {}}')
    code = (
        f"from filelock import FileLock\nlock = FileLock({str(place / LOCK)!r})\nlock.acquire()\n"
        "print('held', flush=True)\ninput()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(TrackingError, match="is still being written by another process"):
            sync(tmp_path / "mlflow-unsent")
        other.communicate("go\n")
