"""What is killed at any moment goes on from where it was: nothing that was kept is lost, nothing is half there."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from tsforecast import NaiveForecaster, load
from tsforecast.catalog import download

pytestmark = pytest.mark.process
BODY = np.random.default_rng(0).bytes(1 << 20)
SHA256 = hashlib.sha256(BODY).hexdigest()


def killed_fits(folder: Path, kills: int, seed: int) -> None:
    command = [sys.executable, "-m", "tests.faults.killed_fits", str(folder), str(kills), str(seed)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"killed {kills}"


def test_a_fit_that_is_killed_again_and_again_ends_with_the_same_weights(tmp_path: Path) -> None:
    killed_fits(tmp_path, kills=4, seed=0)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_fit_that_is_killed_fifty_times_ends_with_the_same_weights(tmp_path: Path) -> None:
    killed_fits(tmp_path, kills=50, seed=1)


@pytest.fixture
def dripping(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server that takes half a second for a file, and gives parts of it."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            begin = int((self.headers.get("Range") or "bytes=0-")[6:-1])
            self.send_response(206 if begin else 200)
            self.send_header("Content-Length", str(len(BODY) - begin))
            self.send_header("ETag", '"one"')
            if begin:
                self.send_header("Content-Range", f"bytes {begin}-{len(BODY) - 1}/{len(BODY)}")
            self.end_headers()
            for at in range(begin, len(BODY), len(BODY) // 32):
                self.wfile.write(BODY[at : at + len(BODY) // 32])
                time.sleep(1 / 64)

        def log_message(self, *words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *words: None  # type: ignore[method-assign]  # a client that was killed is no news
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/file.bin"
    server.shutdown()
    thread.join()
    server.server_close()


def killed_downloads(url: str, folder: Path, kills: int, seed: int) -> None:
    """Kill downloads at random moments, two at a time on one cache, and look at what is there."""
    random = np.random.default_rng(seed)
    code = "import sys; from pathlib import Path; from tsforecast.catalog.download import fetch; "
    code += "print(flush=True); fetch(sys.argv[1], Path(sys.argv[2]), sys.argv[3])"
    target = folder / "file.bin"
    killed = 0
    while killed < kills:
        command = [sys.executable, "-c", code, url, str(target), SHA256]
        both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
        for process in both:
            assert process.stdout is not None
            process.stdout.readline()
        time.sleep(float(random.uniform(0, 0.5)))
        for process in both:
            process.send_signal(signal.SIGKILL)
        for process in both:
            process.communicate()
            killed += process.returncode == -signal.SIGKILL
        if target.exists():  # whole, or not at all
            assert target.read_bytes() == BODY
            target.unlink()
    download.fetch(url, target, SHA256)
    assert target.read_bytes() == BODY
    assert sorted(file.name for file in folder.iterdir() if file.suffix != ".lock") == ["file.bin"]


def test_downloads_that_are_killed_leave_a_whole_file_or_none(dripping: str, tmp_path: Path) -> None:
    killed_downloads(dripping, tmp_path, kills=6, seed=0)


@pytest.mark.slow
def test_fifty_downloads_that_are_killed_leave_a_whole_file_or_none(dripping: str, tmp_path: Path) -> None:
    killed_downloads(dripping, tmp_path, kills=50, seed=1)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere folders cannot change places at once")
def test_a_kill_while_a_folder_is_replaced_leaves_the_old_one_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "model"
    NaiveForecaster(horizon=2).fit([1.0, 2.0]).save(place)
    rename = Path.rename

    def killed(self: Path, target: Path) -> None:
        rename(self, target)
        raise SystemExit("killed")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed)
        with suppress(SystemExit):
            NaiveForecaster(horizon=3).fit([1.0, 2.0]).save(place)
    assert load(place).horizon in (2, 3)
    NaiveForecaster(horizon=4).fit([1.0, 2.0]).save(place)
    assert load(place).horizon == 4
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
