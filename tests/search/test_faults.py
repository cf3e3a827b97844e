"""A search that is interrupted or killed, runs out of time, room or luck says so, and keeps what is there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from filelock import FileLock

from tests.helpers.commands import tsforecast
from tests.search.test_ray import BASE, PANEL
from tsforecast import audit, leaderboard
from tsforecast.data.panel import Panel
from tsforecast.errors import ParameterError, TrainingWarning
from tsforecast.executors import compute
from tsforecast.files import OutputError
from tsforecast.search import tuner
from tsforecast.search.search import RaySearch
from tsforecast.search.storage import LOG_FILE, read_log

pytestmark = pytest.mark.usefixtures("only_ray")
SPACE = {"units": [2, 8], "dropout": (0.0, 0.5)}


def search(folder: Path, **other: object) -> RaySearch:
    options = {"trials": 3, "searcher": "random", "scheduler": "none", "max_epochs": 3, "storage": folder, "name": "a"}
    return RaySearch(BASE, SPACE, **{**options, **other})


def test_a_search_that_is_over_may_be_asked_for_more_trials(tmp_path: Path) -> None:
    first = search(tmp_path).fit(PANEL)
    lines = (tmp_path / "a" / LOG_FILE).read_text()
    more = search(tmp_path, trials=5).fit(PANEL)
    assert more.trials_["scores"].tolist()[:4] == first.trials_["scores"].tolist()
    assert len(more.trials_) == 6
    added = (tmp_path / "a" / LOG_FILE).read_text().removeprefix(lines)
    assert {one.trial for one in read_log(tmp_path / "a")} == {1, 2, 3, 4, 5}
    assert added.count('"event": "epoch"') == 2 * 3  # of the new ones alone


NOISE = Panel.from_array(np.random.default_rng(0).normal(size=240), season_length=1)


def test_a_search_over_white_noise_ends_early_and_goes_on_when_told_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuner, "ENOUGH_TRIALS", 4)  # in place of 10
    rules = {"trials": 6, "max_epochs": 1}
    sentence = r"ended after [45] of 6 trials, since nothing beats mean: .*; run it again with give_up=False"
    with pytest.warns(TrainingWarning, match=sentence):
        found = search(tmp_path, **rules).fit(NOISE)
    assert found.complete_
    assert (found.trials_["status"] == "finished").sum() in (4, 5)
    assert "The search ended after" in found.report()
    lines = (tmp_path / "a" / LOG_FILE).read_text()
    with pytest.warns(TrainingWarning, match=sentence):
        search(tmp_path, **rules).fit(NOISE)
    assert (tmp_path / "a" / LOG_FILE).read_text() == lines  # it ends as it did
    more = search(tmp_path, give_up=False, **rules).fit(NOISE)
    assert (more.trials_["status"] == "finished").sum() == 6
    assert "The search ended" not in more.report()


@pytest.mark.slow
def test_a_search_that_finds_something_runs_all_trials(tmp_path: Path) -> None:
    found = search(tmp_path, trials=12, max_epochs=2).fit(PANEL)
    assert (found.trials_["status"] == "finished").sum() == 12
    assert found.best_score_ > found.optimism_


def test_a_search_on_a_board_is_audited_and_sees_nothing_of_the_test(tmp_path: Path) -> None:
    wanted = search(tmp_path, name=None, trials=2)
    report = audit(wanted, PANEL, cutoffs=1, horizon=3, level="data")
    assert report.passed, report
    board = leaderboard({"search": wanted, "gru": BASE}, PANEL, horizon=3, origins=2)
    assert board.table.set_index("model").loc["search", "leak_audit"] == "passed (data)"
    changed = PANEL.values.copy()
    changed[-6:] += 1e3  # all of the test part
    folders = set(tmp_path.iterdir())
    leaderboard({"search": wanted}, Panel.from_array(changed[:, 0], season_length=6), horizon=3, origins=2)
    assert set(tmp_path.iterdir()) == folders  # to the search, these are the same data


def test_a_search_runs_once_at_a_time(tmp_path: Path) -> None:
    has_observations = search(tmp_path, trials=1).fit(PANEL)
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "thesis.txt").touch()
    with pytest.raises(OutputError, match="must be new or empty, or hold an older search"):
        search(tmp_path, name="else").fit(PANEL)
    with FileLock(tmp_path / "a" / "lock"), pytest.raises(ParameterError, match="another process runs the one in"):
        has_observations.set_params(trials=2).fit(PANEL)


def test_a_search_that_runs_out_of_time_has_what_is_there(tmp_path: Path) -> None:
    with pytest.warns(TrainingWarning, match=r"the search was cut short: \d+ of 40 trials are over; fit again"):
        found = search(tmp_path, trials=40, max_epochs=400, time_budget=2).fit(PANEL)
    assert found.trials_["status"].isin(["naive", "finished", "cut short"]).all()
    assert len(found.trials_) < 41
    assert not (found.folder_ / "ray").exists()
    assert np.isfinite(found.predict()).all()


SCRIPT = """
import sys
from tests.search.test_faults import PANEL, search
if __name__ == "__main__":
    found = search(sys.argv[1], trials=40, max_epochs=400).fit(PANEL)
    print(len(found.trials_), found.predict().shape)
"""


def with_this_tree() -> dict[str, str]:
    """Return the environment of a process, in any folder, that imports what is tested here."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")])}


def interrupted(command: list[str], folder: Path, search: Path) -> tuple[int, str, str]:
    """Press Ctrl-C once a trial is in the trial log of `search`; return exit code, output and errors."""
    process = subprocess.Popen(
        command, cwd=folder, env=with_this_tree(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while not any(one.skills for one in read_log(search)):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


@pytest.mark.slow
def test_ctrl_c_returns_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, str(tmp_path / "script.py"), str(tmp_path)]
    code, out, err = interrupted(command, tmp_path, tmp_path / "a")
    assert code == 0, err
    assert out.splitlines()[-1].endswith("(3,)")
    assert "the search was cut short: " in err


def test_ctrl_c_ends_tune_before_anything_is_tested(tmp_path: Path) -> None:
    pd.DataFrame({"day": pd.date_range("2024-01-01", periods=120), "y": PANEL.series(0)[:, 0]}).to_csv(
        tmp_path / "a.csv", index=False
    )
    (tmp_path / "space.toml").write_text("units = [2, 3]\nlearning_rate = { low = 1e-3, high = 1e-1, log = true }\n")
    words = ["tune", "a.csv", "--space", "space.toml", "--trials", "40", "--epochs", "400", "--out", "tuned"]
    command = [sys.executable, "-m", "tsforecast.cli.app", *words]
    code, out, err = interrupted(command, tmp_path, tmp_path / "tuned")
    assert code == 130, err
    assert "nothing was tested yet; the same command with --resume continues" in out
    assert {"model", "report.html"}.isdisjoint(path.name for path in (tmp_path / "tuned").iterdir())
    again = tsforecast(*words, cwd=tmp_path)
    assert again.returncode == 2
    assert "use --resume to go on, or another --out" in again.stderr


@pytest.mark.slow
def test_a_full_disk_is_an_error_and_the_search_resumes_when_there_is_room(tmp_path: Path) -> None:
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100k", "none", place], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small disk must be mounted for this: that needs the right to")
    try:
        with pytest.raises(OutputError, match="make room, or choose another storage"):
            search(place, trials=6).fit(PANEL)
        subprocess.run(["mount", "-o", "remount,size=100m", place], check=True)
        found = search(place, trials=6).fit(PANEL)
        assert set(found.trials_["status"].iloc[1:]) == {"finished"}
    finally:
        subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.filterwarnings("ignore")
def test_a_search_that_is_killed_fifty_times_ends_with_the_same_trials(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.replace("trials=40, max_epochs=400", "trials=12, max_epochs=40"))
    whole = search(tmp_path / "whole", trials=12, max_epochs=40).fit(PANEL)
    random = np.random.default_rng(0)
    for _ in range(50):
        command = [sys.executable, str(script), str(tmp_path)]
        process = subprocess.Popen(
            command, env=with_this_tree(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        time.sleep(float(random.uniform(4, 14)))
        os.killpg(process.pid, signal.SIGKILL)  # Ray's own processes with it
        process.wait()
    resumed = search(tmp_path, trials=12, max_epochs=40).fit(PANEL)
    assert resumed.trials_["scores"].tolist() == whole.trials_["scores"].tolist()
    assert np.array_equal(resumed.predict(), whole.predict())


def test_auto_without_a_cluster_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"address must be that of a ray cluster that runs: 'auto' cannot be"):
        RaySearch(BASE, {"units": [2, 4]}, trials=2, address="auto", storage=tmp_path).fit(PANEL)


def test_a_search_runs_on_the_cluster_of_compute(tmp_path: Path) -> None:
    with compute("ray", address="127.0.0.1:1"), pytest.raises(ParameterError, match=r"'127\.0\.0\.1:1' cannot be"):
        RaySearch(BASE, {"units": [2, 4]}, trials=2, storage=tmp_path).fit(PANEL)
