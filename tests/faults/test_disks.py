"""A disk that is full, or may only be read, is said in a sentence; what was there before stays as it was."""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.faults.test_killed import BODY, SHA256, dripping  # noqa: F401 - a fixture
from tests.helpers.forecasters import small, wave
from tsforecast import Leaderboard, NaiveForecaster, backtest, leaderboard, load, save
from tsforecast.catalog import download
from tsforecast.cli.app import app
from tsforecast.errors import DownloadError, TsForecastError
from tsforecast.files import OutputError

pytestmark = pytest.mark.process
ROOM = 64 << 10  # bytes on the small disk
PAGE = 4096  # bytes that a file on it takes at least


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, small."""
    place = tmp_path / "disk"
    place.mkdir()
    options = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "none", str(place)]
    if not hasattr(os, "geteuid") or os.geteuid() or subprocess.run(options, capture_output=True).returncode:
        pytest.skip("a small disk must be mounted for this: that needs the right to")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def fill(place: Path, room: int = 0) -> None:
    """Leave no room at all, or for so many bytes."""
    with (place / "ballast").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
        file.truncate(file.tell() - room)


def all_in(place: Path) -> list[Path]:
    return sorted(place.rglob("*"))


BOARD: Leaderboard = leaderboard(["mean"], wave(60), horizon=3, origins=2)
NETWORK = small("gru").fit(wave(90))
WRITERS: dict[str, Callable[[Path], Any]] = {
    "save": lambda place: save(NETWORK, place / "model"),
    "save of a naive forecaster": lambda place: NaiveForecaster().fit(wave(30)).save(place / "model"),
    "checkpoint": lambda place: small("gru").fit(wave(90), checkpoint=place / "kept"),
    "rows of a leaderboard": lambda place: leaderboard(["mean"], wave(60), horizon=3, checkpoint=place / "rows"),
    "report": lambda place: BOARD.to_html(place / "report.html"),
    "rows": lambda place: BOARD.to_parquet(place / "rows.parquet"),
    "export": lambda place: NETWORK.export(place / "model.onnx"),
    "json": lambda place: BOARD.to_json(place / "rows.json"),
}


@pytest.mark.parametrize(
    ("writer", "how"),
    [(writer, how) for writer in WRITERS for how in ("full", "read-only")]
    + [(writer, "room for one small file") for writer in WRITERS if writer.startswith(("save", "checkpoint"))],
)
def test_every_writer_says_so_and_leaves_nothing_half_written(writer: str, how: str, disk: Path) -> None:
    if how == "read-only":
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    else:
        fill(disk, 0 if how == "full" else PAGE)
    before = all_in(disk)
    with pytest.raises(OutputError, match=r"must be a place that can be written to: .*; name another one") as caught:
        WRITERS[writer](disk / "a" / "folder")
    words = ["no permission to write", "Read-only"] if how == "read-only" else ["No space left"]
    assert any(each in str(caught.value) for each in words)
    assert all_in(disk) == before


def test_a_model_that_finds_no_room_leaves_the_older_one_as_it_was(disk: Path) -> None:
    NaiveForecaster(horizon=2).fit(wave(30)).save(disk / "model")
    fill(disk)
    with pytest.raises(OutputError, match="No space left on device"):
        save(NETWORK, disk / "model")
    assert load(disk / "model").horizon == 2
    (disk / "ballast").unlink()
    save(NETWORK, disk / "model")
    assert np.array_equal(load(disk / "model").predict(), NETWORK.predict())


def test_a_download_that_finds_no_room_goes_on_when_there_is_some(dripping: str, disk: Path) -> None:  # noqa: F811
    with pytest.raises(DownloadError, match=r"must be written to .*: No space left on device; make room"):
        download.fetch(dripping, disk / "file.bin", SHA256)
    assert not (disk / "file.bin").exists()
    subprocess.run(["mount", "-o", "remount,size=8m", disk], check=True)
    download.fetch(dripping, disk / "file.bin", SHA256)
    assert hashlib.sha256((disk / "file.bin").read_bytes()).hexdigest() == SHA256 == hashlib.sha256(BODY).hexdigest()


@pytest.mark.parametrize(
    "words", [["predict", "MODEL", "--out", "DISK/next.csv"], ["fit", "DATA", "--model", "naive", "--out", "DISK/m"]]
)
def test_the_command_line_says_it_in_one_message(words: list[str], disk: Path, tmp_path: Path) -> None:
    save(NETWORK, tmp_path / "model")
    (tmp_path / "data.csv").write_text("sales\n" + "\n".join(map(str, wave(3000))))
    fill(disk)
    places = {"MODEL": str(tmp_path / "model"), "DATA": str(tmp_path / "data.csv"), "DISK": str(disk)}
    for name, place in places.items():
        words = [word.replace(name, place) for word in words]
    result = CliRunner().invoke(app, words)
    assert isinstance(result.exception, TsForecastError)
    assert "No space left on device; name another one" in str(result.exception)
    assert [path.name for path in disk.iterdir()] == ["ballast"]


def test_a_clock_that_goes_backwards_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(10**9, 0, -3600))
    monkeypatch.setattr(time, "time", lambda: float(next(now)))
    model = small("gru").fit(wave(90), checkpoint=tmp_path / "kept", checkpoint_every="60min")
    again = small("gru").fit(wave(90), resume_from=tmp_path / "kept")
    assert np.array_equal(again.predict(), model.predict())
    assert all(epoch.seconds >= 0 for epoch in model.history_)
    save(model, tmp_path / "model")
    assert np.array_equal(load(tmp_path / "model").predict(), model.predict())
    rows = backtest(NaiveForecaster(), wave(60), horizon=3)
    assert len(rows)
