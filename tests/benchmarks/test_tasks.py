"""A list of tasks over a list of models: rows, standing and page, failures as rows, and resume after a kill."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from filelock import FileLock

from tests.helpers.commands import in_a_process
from tsforecast import Leaderboard, overall
from tsforecast.errors import TsForecastError

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
LIST = """
models = ["mean", {name = "averages", model = "window-average", window = 5}]
seeds = 1
metric = "mae"

[[task]]
name = "sales"
data = "sales.csv"
horizon = 2
origins = 3
nan = "mask"

[[task]]
data = "shops.tsf"
origins = 2
metric = "rmsse"
align = "end"
"""
TSF = "@attribute series_name string\n@frequency daily\n@horizon 3\n@data\n"
SLOW = """
import os, time
import numpy as np
from pathlib import Path

class Slow:
    def fit(self, frame):
        with open(os.environ["FITS"], "a") as file:
            file.write("fit\\n")
        if (count := len(Path(os.environ["FITS"]).read_text().splitlines())) == int(os.environ.get("STOP", 0)):
            time.sleep(60)
        self.last = float(np.asarray(frame["y"])[-1])

    def predict(self, horizon):
        return [self.last] * horizon

def make():
    return Slow()
"""


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.setenv("TSFORECAST_RESULTS", "")
    import tasks

    return tasks


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A list of two tasks, with their data."""
    rng = np.random.default_rng(0)
    days = pd.date_range("2024-01-01", periods=50, freq="D")
    pd.DataFrame({"day": days, "y": rng.normal(size=50).cumsum()}).to_csv(tmp_path / "sales.csv", index=False)
    series = "".join(f"{name}:{','.join(map(str, rng.normal(size=40).round(3)))}\n" for name in "ab")
    (tmp_path / "shops.tsf").write_text(TSF + series)
    (tmp_path / "tasks.toml").write_text(LIST)
    return tmp_path


def run(tasks: ModuleType, folder: Path, *words: str) -> tuple[list[dict[str, Any]], list[str]]:
    """Run the list; return its rows and the lines that it printed."""
    lines: list[str] = []
    tasks.main([str(folder / "tasks.toml"), "--out", str(folder / "out"), *words], lines.append)
    return [json.loads(line) for line in (folder / "out/tasks.jsonl").read_text().splitlines()], lines


@pytest.mark.long
def test_each_model_has_a_row_of_each_task_by_the_metric_of_the_task(tasks: ModuleType, folder: Path) -> None:
    rows, lines = run(tasks, folder)
    assert {(row["set"], row["eval_metric"], row["horizon"], row["num_windows"]) for row in rows} == {
        ("sales", "MAE", 2, 3),
        ("shops", "RMSSE", 3, 2),
    }
    of_sales = {row["model_name"]: row["test_error"] for row in rows if row["set"] == "sales"}
    assert set(of_sales) == {"naive", "seasonal-naive", "drift", "mean", "averages"}
    board = Leaderboard.from_parquet(folder / "out/boards/sales.parquet")
    assert of_sales["averages"] == pytest.approx(board.table.set_index("model").loc["averages", "mae"])
    assert all(row["machine"] and row["versions"]["tsforecast"] and row["date"] for row in rows)
    found = overall(folder / "out/rows.csv")
    pd.testing.assert_series_equal(pd.read_csv(folder / "out/overall.csv")["skill"], found.table["skill"])
    page = (folder / "out/tasks.html").read_text()
    assert "5 models on 2 tasks, compared with seasonal-naive" in page
    assert "averages" in page
    assert lines[0].startswith("[1/2] sales, ")


@pytest.mark.long
def test_failures_are_rows_and_other_tasks_go_on(tasks: ModuleType, folder: Path) -> None:
    more = '[[task]]\nname = "gone"\ndata = "none.csv"\nhorizon = 2\n'
    own = 'models = ["mean", {name = "broken", model = "reduction", window = 400}]'
    text = LIST.replace(LIST.splitlines()[1], own)
    (folder / "tasks.toml").write_text(text + more)
    with pytest.raises(SystemExit) as left:
        run(tasks, folder)
    assert left.value.code == 1
    rows = [json.loads(line) for line in (folder / "out/tasks.jsonl").read_text().splitlines()]
    failed = {(row["set"], row["model_name"]): row["error"] for row in rows if row["test_error"] is None}
    assert {model for name, model in failed if name == "gone"} == {"naive", "seasonal-naive", "drift", "mean", "broken"}
    assert "does not exist" in failed["gone", "mean"]
    assert ("sales", "broken") in failed
    page = (folder / "out/tasks.html").read_text()
    assert ">Failures</h2>" in page
    assert "1 task without any result is left out: gone" in page


@pytest.mark.long
def test_where_every_requested_model_fails_the_naive_ones_stay(tasks: ModuleType, folder: Path) -> None:
    own = 'models = [{name = "broken", model = "reduction", window = 400}]'
    (folder / "tasks.toml").write_text(LIST.replace(LIST.splitlines()[1], own))
    rows, lines = run(tasks, folder)
    of_sales = {row["model_name"]: row["test_error"] for row in rows if row["set"] == "sales"}
    assert of_sales.pop("broken") is None
    assert all(math.isfinite(error) for error in of_sales.values())
    assert "failed: broken" in lines[0]


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("seeds = 1", "seed = 1", "key 'seed' is not known; did you mean 'seeds'?"),
        ("horizon = 2", "horizn = 2", "task 'sales': key 'horizn' is not known; did you mean 'horizon'?"),
        ('data = "sales.csv"', "", "task 'sales' must name its data, a dataset or a file: got None"),
        ('data = "shops.tsf"', 'data = "shops.tsf"\nname = "sales"', "'sales' occurs twice"),
        ("window = 5", "windw = 5", "model 'averages': 'windw' is not known; did you mean 'window'?"),
        ('"mean",', '"mean", "mean",', "models must have names of their own: 'mean' occurs twice"),
        ('metric = "rmsse"', 'metric = "rmse2"', "task 2: metric must be one of"),
        ("origins = 2", 'origins = "two"', "task 2: origins must be a whole number >= 1: got 'two'"),
        ('align = "end"', 'align = "ends"', "task 2: align must be one of"),
        ("seeds = 1", "seeds = 1\nreference = 3", "key 'reference' must be text: got 3"),
        ("seeds = 1", "seeds = 1\nfev = 3", "key 'fev' must be text: got 3"),
        ('"mean",', '"maen",', "model 'maen' does not exist; did you mean 'mean'?"),
        ("models = ", "model = ", "key 'model' is not known"),
        ("[[task]]", "[[task", "must be TOML with a list of tasks"),
        ("[[task]]", "[task]", "must be TOML with a list of tasks"),
    ],
)
def test_a_mistake_in_the_list_is_a_sentence_before_any_fit(
    tasks: ModuleType, folder: Path, old: str, new: str, sentence: str
) -> None:
    (folder / "tasks.toml").write_text(LIST.replace(old, new))
    with pytest.raises(TsForecastError) as caught:
        run(tasks, folder)
    assert sentence in str(caught.value)
    assert not (folder / "out").exists()


@pytest.mark.long
def test_options_stand_before_the_list_and_choose_tasks(tasks: ModuleType, folder: Path) -> None:
    rows, _ = run(tasks, folder, "--models", "drift", "--only", "shops", "--reference", "naive")
    assert {row["set"] for row in rows} == {"shops"}
    assert {row["model_name"] for row in rows} == {"naive", "seasonal-naive", "drift"}
    assert {row["reference"] for row in rows} == {"naive"}
    (folder / "file").write_text("")
    for words in (
        ["--out", str(folder / "file")],
        ["--only", "shop"],
        ["--reference", "grru"],
        ["--models", "nothing"],
        ["--jobs", "0"],
    ):
        with pytest.raises(
            TsForecastError, match=r"did you mean|is not among|does not exist|must be a folder|number of processes"
        ):
            run(tasks, folder, *words)


@pytest.mark.long
def test_tasks_of_fev_are_run_from_local_copies(tasks: ModuleType, folder: Path) -> None:
    (folder / "daily").mkdir()
    frame = pd.read_csv(folder / "sales.csv", parse_dates=["day"]).assign(id="a")
    frame.to_parquet(folder / "daily/data.parquet")
    fields = "dataset_path: hub/x, dataset_config: daily, horizon: 2, num_windows: 3, seasonality: 7, target: y"
    (folder / "tasks.yaml").write_text(f"tasks: [{{{fields}, timestamp_column: day, eval_metric: RMSSE}}]")
    (folder / "tasks.toml").write_text('models = ["mean"]\nfev = "tasks.yaml"\nfolder = "."\n')
    rows, _ = run(tasks, folder)
    assert {(row["dataset_path"], row["dataset_config"], row["eval_metric"]) for row in rows} == {
        ("hub/x", "daily", "RMSSE")
    }
    assert all(math.isfinite(row["test_error"]) for row in rows)


def test_a_folder_is_of_one_run_at_a_time(tasks: ModuleType, folder: Path) -> None:
    (folder / "out").mkdir()
    with (
        FileLock(folder / "out/.lock"),
        pytest.raises(TsForecastError, match="is in use by another run: name another folder, or wait"),
    ):
        run(tasks, folder)
    assert not (folder / "out/tasks.jsonl").exists()


@pytest.mark.long
def test_rows_stay_where_the_reference_failed_and_while_others_are_written(tasks: ModuleType, folder: Path) -> None:
    own = 'models = ["mean", {name = "broken", model = "reduction", window = 400}]\nreference = "broken"'
    (folder / "tasks.toml").write_text(LIST.replace(LIST.splitlines()[1], own))
    with pytest.raises(TsForecastError, match="reference 'broken' must have a result of every task"):
        run(tasks, folder)
    assert len(pd.read_csv(folder / "out/rows.csv")) == 10
    old = (folder / "out/tasks.jsonl").read_text()
    os.link(folder / "out/tasks.jsonl", folder / "old")
    tasks.record("tasks", [])
    assert (folder / "old").read_text() == old  # replaced as a whole, never written over


@pytest.mark.process
def test_a_run_that_is_killed_resumes_without_repeating_fits(folder: Path) -> None:
    (folder / "slow.py").write_text(SLOW)
    one = '[[task]]\nname = "{}"\ndata = "sales.csv"\nhorizon = 2\norigins = 3\n'
    listed = 'models = ["slow:make"]\nrefit = true\n' + "".join(map(one.format, "abc"))
    (folder / "tasks.toml").write_text(listed)
    fits, paths = folder / "fits.txt", os.pathsep.join([os.getcwd(), str(folder), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, str(BENCHMARKS / "tasks.py"), str(folder / "tasks.toml"), "--out", str(folder / "out")]

    def environment(stop: int, file: Path) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": paths, "FITS": str(file), "STOP": str(stop)}

    whole = folder / "whole.txt"
    done = subprocess.run(
        [*command[:-1], str(folder / "once")], env=environment(0, whole), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    total = len(whole.read_text().splitlines())
    stop = total // 2 + 2
    process = subprocess.Popen(command, env=environment(stop, fits), stdout=subprocess.DEVNULL)
    while not fits.exists() or len(fits.read_text().splitlines()) < stop:
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    kept = len((folder / "out/tasks.jsonl").read_text().splitlines())
    assert kept in (4, 8)  # rows of the tasks that were finished
    again = subprocess.run(command, env=environment(0, fits), capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    repeated = len(fits.read_text().splitlines()) - total
    assert 0 < repeated <= total // 3 + 1  # of the fits of one task at most
    errors = [pd.read_csv(folder / name / "rows.csv")["test_error"] for name in ("once", "out")]
    pd.testing.assert_series_equal(*errors)


@pytest.mark.process
def test_the_command_runs_a_list(folder: Path) -> None:
    result = in_a_process("benchmark", "tasks", "tasks.toml", "--models", "mean", "--out", "mine", cwd=folder)
    assert result.returncode == 0, result.stderr
    assert "skill" in result.stdout
    assert (folder / "mine/tasks.html").is_file()
