"""`tsforecast serve` as a process: it answers, finishes what has begun when it is stopped, and names a port in use."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.commands import tsforecast
from tests.helpers.forecasters import wave
from tests.helpers.serving import ask, get
from tsforecast import SeasonalNaiveForecaster, save

pytestmark = pytest.mark.process


@pytest.fixture(name="model")
def folder(tmp_path: Path) -> Path:
    save(SeasonalNaiveForecaster(horizon=3, season_length=6).fit(wave()), tmp_path / "model")
    return tmp_path


@contextmanager
def command(place: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the command on a free port; yield its process and its address, and end it by its number."""
    words = [sys.executable, "-m", "tsforecast.cli.app", "serve", "model", "--port", "0"]
    process = subprocess.Popen(words, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        line = process.stdout.readline()
        yield process, line.partition(" at ")[2].partition(";")[0]
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.thorough)])
def test_a_request_that_has_begun_is_finished_when_the_server_is_stopped(number: signal.Signals, model: Path) -> None:
    found: list[tuple[int, Any]] = []
    with command(model) as (process, url):
        assert get(url, "/health")[0] == 200
        many = {"context": np.tile(wave(), 900).tolist()}
        asking = threading.Thread(target=lambda: found.append(ask(url, "/forecast", many)))
        asking.start()
        while get(url, "/health")[1]["waiting"] == 0 and not found:
            time.sleep(0.01)
        process.send_signal(number)
        asking.join()
        out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    assert out == "stopped after 1 request\n"
    ((status, answer),) = found
    assert (status, len(answer["forecast"])) == (200, 3)


def test_a_port_in_use_and_an_address_for_everybody_are_one_sentence_each(model: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        result = tsforecast("serve", "model", "--port", str(port), cwd=model, width=200)
        open_to_all = tsforecast("serve", "model", "--port", str(port), "--host", "0.0.0.0", cwd=model, width=200)
    assert result.returncode == open_to_all.returncode == 2
    assert result.stderr.startswith(f"Error: 127.0.0.1:{port} must be an address of this machine that is free: Address")
    note = "Note: there is no authentication: whoever can reach 0.0.0.0 can request forecasts of the model\n"
    assert open_to_all.stderr.startswith(f"{note}Error: 0.0.0.0:{port} must be an address of this machine that is free")
    result = tsforecast("serve", "model", "--max-rows", "0", cwd=model)
    assert (result.returncode, result.stderr) == (2, "Error: --max-rows must be a whole number >= 1: got 0\n")
