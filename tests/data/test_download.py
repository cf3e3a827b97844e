"""`fetch` against a real server on this machine that misbehaves on request."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tsforecast.catalog import download
from tsforecast.errors import DownloadError

BODY = bytes(range(256)) * 1500  # several chunks
SHA256 = hashlib.sha256(BODY).hexdigest()
OTHER = BODY[::-1]


@dataclass
class Site:
    """One file on a server, how often it is cut, and what was asked for."""

    url: str = ""
    body: bytes = BODY
    cuts: int = 0
    statuses: list[int] = field(default_factory=list)
    gate: threading.Event | None = None
    asked: int = 0


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(download, "PAUSE", 0.0)
    found = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked += 1
            if found.statuses:
                self.send_error(found.statuses.pop(0))
                return
            if found.gate:
                found.gate.wait(30)
            self.send_response(200)
            self.send_header("Content-Length", str(len(found.body)))
            self.end_headers()
            whole = found.cuts == 0
            found.cuts -= not whole
            self.wfile.write(found.body if whole else found.body[: len(found.body) // 2])

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *args: None  # a client that has gone away is no news
    found.url = f"http://127.0.0.1:{server.server_port}/file.bin"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


def left_behind(target: Path) -> list[str]:
    """What lies in the folder besides the lock, which stays for the next process."""
    return sorted(path.name for path in target.parent.iterdir() if path.suffix != ".lock")


def test_a_file_comes_whole_and_leaves_nothing_else_behind(site: Site, tmp_path: Path) -> None:
    target, seen = tmp_path / "deep" / "down" / "file.bin", []
    assert download.fetch(site.url, target, SHA256, lambda done, total: seen.append((done, total))) == target
    assert target.read_bytes() == BODY
    assert left_behind(target) == ["file.bin"]
    assert seen[-1] == (len(BODY), len(BODY))
    assert len(seen) > 3


def test_a_file_that_is_there_is_not_asked_for_again(site: Site, tmp_path: Path) -> None:
    target = tmp_path / "file.bin"
    target.write_bytes(b"mine")
    download.fetch(site.url, target, SHA256)
    assert target.read_bytes() == b"mine"
    assert site.asked == 0


@pytest.mark.parametrize("sha256", [SHA256, None])
def test_a_file_whose_connection_is_cut_is_asked_for_again(site: Site, tmp_path: Path, sha256: str | None) -> None:
    site.cuts = 1
    target, seen = tmp_path / "file.bin", []
    download.fetch(site.url, target, sha256, lambda done, total: seen.append((done, total)))
    assert target.read_bytes() == BODY
    assert site.asked == 2
    assert seen[-1] == (len(BODY), len(BODY))
    assert left_behind(target) == ["file.bin"]


def test_a_connection_that_breaks_three_times_is_an_error_that_leaves_nothing(site: Site, tmp_path: Path) -> None:
    site.cuts = 3
    target = tmp_path / "file.bin"
    with pytest.raises(DownloadError, match=r"connection broke in each of 3 attempts \(.*192000.*; put it there"):
        download.fetch(site.url, target, SHA256, remedy="put it there")
    assert site.asked == 3
    assert left_behind(target) == []
    download.fetch(site.url, target, SHA256)
    assert target.read_bytes() == BODY


def test_what_a_killed_download_left_is_written_over(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(OTHER + OTHER)
    download.fetch(site.url, tmp_path / "file.bin")
    assert (tmp_path / "file.bin").read_bytes() == BODY
    assert left_behind(tmp_path / "file.bin") == ["file.bin"]


def test_wrong_bytes_are_deleted_and_both_checksums_are_named(site: Site, tmp_path: Path) -> None:
    site.body = OTHER
    target = tmp_path / "file.bin"
    with pytest.raises(DownloadError) as error:
        download.fetch(site.url, target, SHA256)
    got = hashlib.sha256(OTHER).hexdigest()
    assert f"must have the sha256 checksum {SHA256}: got {got} ({len(OTHER)} bytes)" in str(error.value)
    assert left_behind(target) == []
    assert site.asked == 1


def test_a_missing_file_is_an_error_at_once_that_names_status_address_and_remedy(site: Site, tmp_path: Path) -> None:
    site.statuses = [404]
    with pytest.raises(DownloadError) as error:
        download.fetch(site.url, tmp_path / "file.bin", SHA256, remedy="put the file at TSFORECAST_DATA/a/b.csv")
    assert str(error.value) == (
        f"{site.url} must be there: the server answered 404 (Not Found); put the file at TSFORECAST_DATA/a/b.csv"
    )
    assert site.asked == 1


def test_a_server_in_trouble_is_asked_again(site: Site, tmp_path: Path) -> None:
    site.statuses = [503, 500]
    download.fetch(site.url, tmp_path / "file.bin", SHA256)
    assert (tmp_path / "file.bin").read_bytes() == BODY
    assert site.asked == 3


def test_a_folder_that_cannot_be_written_is_an_error_with_a_remedy(site: Site, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(DownloadError, match=r"must be written to .*cache: .*TSFORECAST_CACHE"):
        download.fetch(site.url, tmp_path / "cache" / "file.bin", SHA256)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a disk without room")
def test_a_full_disk_is_an_error_that_says_so(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").symlink_to("/dev/full")
    with pytest.raises(DownloadError, match=r"must be written to .*: No space left on device; make room"):
        download.fetch(site.url, tmp_path / "file.bin", SHA256)
    assert site.asked == 1


def test_a_server_that_does_not_answer_is_an_error(site: Site, tmp_path: Path) -> None:
    closed = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    closed.server_close()
    with pytest.raises(DownloadError, match=r"connection broke in each of 3 attempts .*refused"):
        download.fetch(f"http://127.0.0.1:{closed.server_port}/file.bin", tmp_path / "file.bin")


@pytest.mark.long
def test_a_server_that_falls_silent_counts_as_a_cut_connection(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "SILENCE", 0.1)
    site.gate = threading.Event()
    with pytest.raises(DownloadError, match=r"connection broke in each of 3 attempts \(.*timed out"):
        download.fetch(site.url, tmp_path / "file.bin")
    site.gate.set()


def zipped(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, body in files.items():
            archive.writestr(name, body)
    return buffer.getvalue()


def test_one_file_of_an_archive_is_unpacked_and_checked(site: Site, tmp_path: Path) -> None:
    site.body, site.cuts = zipped(hour=BODY, day=OTHER), 1
    download.fetch(site.url, tmp_path / "hour.csv", SHA256, member="hour")
    assert (tmp_path / "hour.csv").read_bytes() == BODY
    assert left_behind(tmp_path / "hour.csv") == ["hour.csv"]


def test_an_archive_without_the_file_is_an_error(site: Site, tmp_path: Path) -> None:
    site.body = zipped(day=OTHER)
    with pytest.raises(DownloadError, match="must be a zip archive with the file 'hour'"):
        download.fetch(site.url, tmp_path / "hour.csv", SHA256, member="hour")
    assert left_behind(tmp_path / "hour.csv") == []


@pytest.mark.process
def test_two_processes_at_once_fetch_the_file_once(site: Site, tmp_path: Path) -> None:
    site.gate = threading.Event()
    code = (
        "import sys; from pathlib import Path; from tsforecast.catalog.download import fetch;"
        "print('ready', flush=True); fetch(sys.argv[1], Path(sys.argv[2]), sys.argv[3])"
    )
    target = tmp_path / "file.bin"
    command = [sys.executable, "-c", code, site.url, str(target), SHA256]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, env=dict(os.environ)) for _ in range(2)]
    for process in both:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
    # The first holds the lock while the server makes it wait; the second meets the lock meanwhile.
    threading.Timer(0.5, site.gate.set).start()
    outcomes = [process.wait(60) for process in both]
    for process in both:
        process.communicate()
    assert outcomes == [0, 0]
    assert site.asked == 1
    assert target.read_bytes() == BODY
    assert left_behind(target) == ["file.bin"]
