"""What a killed writer leaves is removed by the next one at that place, and what a living one is at is left alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tsforecast import NaiveForecaster, files, load
from tsforecast.files import new_file, new_folder

BEGUN = """
import sys, time
from pathlib import Path
from tsforecast.files import new_folder
with new_folder(Path(sys.argv[1]), mark="model.json") as folder:
    (folder / "model.json").write_text("half")
    print(flush=True)
    sys.stdin.readline()
"""
AGAIN = """
import sys
from pathlib import Path
from tsforecast.files import new_folder
print(flush=True)
for number in range(int(sys.argv[2])):
    with new_folder(Path(sys.argv[1]), mark="model.json") as folder:
        for name in ("model.json", "other"):
            (folder / name).write_text(f"{sys.argv[3]} {number}")
"""


def python(code: str, *words: object) -> subprocess.Popen[str]:
    """Start a process; it has begun once this returns."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-c", code, *map(str, words)], text=True, **pipes)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def save(place: Path, horizon: int = 2) -> None:
    NaiveForecaster(horizon=horizon).fit([1.0, 2.0]).save(place)


@pytest.mark.process
def test_the_next_save_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    place = tmp_path / "model"
    processes = [python(BEGUN, place) for _ in range(3)]
    assert len(list(tmp_path.iterdir())) == 3
    for process in processes[:2]:
        process.kill()
        process.wait()
    (tmp_path / ".model.mine").mkdir()
    (tmp_path / ".other.unfinished-12345678").mkdir()  # of another place
    save(place)
    assert len(list(tmp_path.iterdir())) == 4  # with that of the process that lives
    _, err = processes[2].communicate("go on\n")
    assert not processes[2].returncode, err
    assert (place / "model.json").read_text() == "half"
    left = {".model.mine", ".other.unfinished-12345678", "model"}
    assert {path.name for path in tmp_path.iterdir()} == left
    for process in processes[:2]:
        process.communicate()


@pytest.mark.process
def test_a_save_that_is_followed_by_none_leaves_what_is_known_by_its_name(tmp_path: Path) -> None:
    process = python(BEGUN, tmp_path / "model")
    process.kill()
    process.communicate()
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".model.unfinished-")
    with new_file(tmp_path / "model") as file:  # whatever is written there next
        file.write_text("a file")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.process
def test_processes_at_one_place_take_nothing_from_each_other(tmp_path: Path) -> None:
    place, random = tmp_path / "model", np.random.default_rng(0)
    processes = [python(AGAIN, place, 300, name) for name in "abc"]
    for _ in range(6):  # killed ones among them
        victim = python(AGAIN, place, 10**9, "d")
        with pytest.raises(subprocess.TimeoutExpired):
            victim.wait(float(random.uniform(0, 0.05)))
        victim.kill()
        victim.communicate()
    for process in processes:
        _, err = process.communicate()
        assert not process.returncode, err
    assert (place / "model.json").read_text() == (place / "other").read_text()
    save(place)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_folders_change_places_where_the_system_cannot_do_it_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_exchanged", lambda one, other: False)
    for horizon in (2, 3):
        save(tmp_path / "model", horizon)
    assert load(tmp_path / "model").horizon == 3
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("locks", ["none", "not these disks"])
def test_where_nothing_can_be_locked_nothing_is_removed(
    locks: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(lock: int, how: int) -> None:
        raise OSError("no locks available")

    (tmp_path / ".model.unfinished-12345678").mkdir()
    if locks == "none":
        monkeypatch.setattr(files, "fcntl", None)
    else:
        monkeypatch.setattr(files.fcntl, "flock", refused)
    save(tmp_path / "model")
    assert load(tmp_path / "model").horizon == 2
    assert {path.name for path in tmp_path.iterdir()} == {".model.unfinished-12345678", "model"}


def test_folders_that_were_made_in_vain_are_removed_again(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(KeyError), new_folder(tmp_path / "there" / "a" / "b" / "model", mark="model.json"):
        raise KeyError
    assert list(tmp_path.rglob("*")) == [tmp_path / "there"]
    save(tmp_path / "there" / "a" / "b" / "model")
    assert load(tmp_path / "there" / "a" / "b" / "model").horizon == 2


def test_a_folder_that_is_cleared_before_it_is_locked_is_made_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock, cleared = files.fcntl.flock, []

    def slow(lock: int, how: int) -> None:
        if not cleared:  # by another process, which locks it first
            (folder,) = tmp_path.iterdir()
            folder.rmdir()
            cleared.append(folder)
        flock(lock, how)

    monkeypatch.setattr(files.fcntl, "flock", slow)
    save(tmp_path / "model")
    assert load(tmp_path / "model").horizon == 2
    assert len(cleared) == 1
