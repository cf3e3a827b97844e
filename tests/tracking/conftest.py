"""A real MLflow server, and database files that need not be made again for each test."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tsforecast.tracking.store import Store

# A server starts ten helpers for jobs that nobody here gives it, and tells its makers of itself.
SPARE = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}


def free_port() -> int:
    """Return a port of this machine that nobody uses."""
    with socket.socket() as ours:
        ours.bind(("127.0.0.1", 0))
        return int(ours.getsockname()[1])


@dataclass
class Service:
    """A program that answers on a port, in a process group of its own.

    Attributes
    ----------
    command : list of str
        Of MLflow, with ``{port}`` where that belongs.
    health : str
        Path that answers when all is well.
    folder : Path
        Working folder; gets what the program says.
    """

    command: list[str]
    health: str
    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> Service:
        """Return when it answers."""
        words = [sys.executable, "-m", "mlflow", *(word.format(port=self.port) for word in self.command)]
        # Its helpers are started by name.
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        environment = os.environ | {"PATH": path} | SPARE
        with (self.folder / f"{self.port}.log").open("ab") as log:
            self.process = subprocess.Popen(
                words, cwd=self.folder, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        until = time.monotonic() + 150
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > until:
                self.stop()
                raise RuntimeError((self.folder / f"{self.port}.log").read_text()[-3000:])
            time.sleep(0.2)
        return self

    def stop(self) -> None:
        """End it, and all that it started, at once."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(f"{self.uri}{self.health}", timeout=2).close()
        except OSError:
            return False
        return True


def server(folder: Path) -> Service:
    """Return a server, not yet started, that keeps everything in a folder."""
    words = ["server", "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}", "--default-artifact-root"]
    words += [str(folder / "files"), "--host", "127.0.0.1", "--port", "{port}", "--workers", "1"]
    return Service(words, "/health", folder)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with all tables, which MLflow takes seconds to make."""
    place = tmp_path_factory.mktemp("database") / "mlflow.db"
    Store(f"sqlite:///{place}", "Default")
    return place


@pytest.fixture
def database(empty_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URI of an empty database in a working folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


@pytest.fixture(scope="module")
def running(empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A server that all tests of a module share."""
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(empty_database, folder / "mlflow.db")
    service = server(folder).start()
    yield service
    service.stop()
