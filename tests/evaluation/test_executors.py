"""One executor: results of one process to the bit, data sent once, and what is killed costs its own task alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import tsforecast
from tests.helpers.cluster import beside, cluster_of
from tests.helpers.commands import tsforecast as command
from tests.helpers.forecasters import Failing, small, wave
from tests.helpers.kills import kill_and_resume
from tsforecast import executors
from tsforecast.clusters import connected
from tsforecast.data.panel import Panel
from tsforecast.errors import FitWarning, ParameterError, TsForecastError
from tsforecast.evaluation.backtest import backtest
from tsforecast.evaluation.leaderboard import Leaderboard, leaderboard
from tsforecast.executors import compute, run_here, run_tasks, workers
from tsforecast.forecasters.meta.ensemble import EnsembleForecaster
from tsforecast.forecasters.naive import MeanForecaster, NaiveForecaster
from tsforecast.forecasters.statistical.models import ThetaForecaster
from tsforecast.mapped import Mapped

pytestmark = [pytest.mark.usefixtures("only_ray"), pytest.mark.process, pytest.mark.timeout(300)]
SECONDS = ["fit_seconds", "predict_seconds"]
BOTH = [pytest.param("processes", marks=pytest.mark.cluster), "ray"]


@pytest.fixture(scope="module")
def nodes(only_ray: None) -> Iterator[Any]:
    """A cluster of three nodes."""
    with cluster_of((1, 1, 1), [beside(__file__)]) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def cluster(nodes: Any) -> Iterator[Any]:
    """The same, with a connection for all tests that run tasks from here; workers then need not load all again."""
    with connected(nodes.address):
        yield nodes


class Strange(Failing):
    """Fails, and warns at the cutoffs where it does not."""

    def _fit(self, panel: Panel) -> None:
        super()._fit(panel)
        warnings.warn("2 series are strange", FitWarning, stacklevel=2)


class Killed(NaiveForecaster):
    """Ends its own process, so many times, as the system does where memory runs out."""

    def __init__(self, file: str = "", times: int = 9, horizon: int = 1) -> None:
        super().__init__(horizon)
        self.file, self.times = file, times

    def _fit(self, panel: Panel) -> None:
        with open(self.file, "a") as lines:
            lines.write("fit\n")
        if len(Path(self.file).read_text().splitlines()) <= self.times:
            os.kill(os.getpid(), signal.SIGKILL)


class Sent:
    """Writes a line whenever it is pickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        with open(self.file, "a") as lines:
            lines.write("sent\n")
        return Sent, (self.file,)


def plain(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows without what no two runs share."""
    return rows.drop(columns=SECONDS).astype({"model": str})


def panel_of(series: int, steps: int) -> Panel:
    return Panel.from_array(np.stack([wave(steps, i) for i in range(series)])[..., None], season_length=6)


def test_a_board_on_three_nodes_is_that_of_one_process_to_the_bit(cluster: Any) -> None:
    panel = panel_of(3, 90)
    models = {
        "gru": small("gru"),
        "theta": ThetaForecaster(),
        "ensemble": EnsembleForecaster(small("gru"), random_state=0),
        "bad": Strange(84),
    }
    boards = list[Leaderboard]()
    for executor, address in (("processes", None), ("ray", cluster.address)):
        with compute(executor, n_jobs=1 if address is None else None, address=address):
            assert (run_here(), workers()) == ((True, 1) if address is None else (False, 3))
            with pytest.warns(FitWarning, match="2 series are strange"):
                boards.append(leaderboard(models, panel, 3, origins=2, refit=True))
    one, three = boards
    pd.testing.assert_frame_equal(plain(one.rows), plain(three.rows), check_exact=True)
    assert one.failures == three.failures == {"bad": "ZeroDivisionError: no denominator"}
    assert [(fit.model, fit.seed, fit.learned_from) for fit in one.record.fits] == [
        (fit.model, fit.seed, fit.learned_from) for fit in three.record.fits
    ]


def test_a_command_compares_on_a_cluster(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent, on_ray = list[int](), executors._on_ray

    def counted(call: Any, tasks: Any, *rest: Any) -> Any:
        sent.append(len(tasks))
        return on_ray(call, tasks, *rest)

    monkeypatch.setattr(executors, "_on_ray", counted)
    words = ["leaderboard", "co2-weekly", "--models", "theta", "--origins", "2", "--audit", "none"]
    for folder, where in {"here": [], "there": ["--address", cluster.address]}.items():
        result = command(*words, *where, "--out", tmp_path / folder)
        assert result.returncode == 0, result.stderr
    assert sum(sent) == 4  # three naive forecasters and another
    here, there = (pd.read_parquet(tmp_path / folder / "rows.parquet") for folder in ("here", "there"))
    pd.testing.assert_frame_equal(plain(here), plain(there), check_exact=True)


def test_a_backtest_and_a_classical_panel_on_three_nodes_are_those_of_one_process(cluster: Any) -> None:
    panel = panel_of(60, 90)  # enough numbers to be worth several processes
    here = [
        backtest(ThetaForecaster(), panel, 3, origins=2, refit=True),
        ThetaForecaster(3, n_jobs=1).fit(panel).predict(),
    ]
    with compute("ray", address=cluster.address):
        fitted = ThetaForecaster(3).fit(panel)
        there = [backtest(ThetaForecaster(), panel, 3, origins=2, refit=True), fitted.predict()]
        with pytest.raises(TsForecastError, match="2 is too many"):
            backtest(Unlucky(), panel, 3, origins=2, refit=True)
    pd.testing.assert_frame_equal(plain(here[0]), plain(there[0]), check_exact=True)
    np.testing.assert_array_equal(here[1], there[1])


class Unlucky(NaiveForecaster):
    """Fails with a sentence."""

    def _fit(self, panel: Panel) -> None:
        raise TsForecastError("2 is too many")


def test_forecasts_of_a_panel_in_a_file_are_written_on_three_nodes(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = np.random.default_rng(0).normal(10, 1, (23, 60, 1)).astype(np.float32)
    numbers.tofile(tmp_path / "values")
    panel = Panel.from_array(numbers, season_length=7)
    panel = replace(panel, values=Mapped(tmp_path / "values", np.float32, panel.values.shape))
    model = small("gru").fit(panel)
    monkeypatch.setattr("tsforecast.distributions.parquet.MOST", 4)
    model.predict(to=tmp_path / "here", interval=0.8)
    with compute("ray", address=cluster.address):
        model.predict(to=tmp_path / "there", interval=0.8)
    names = os.listdir(tmp_path / "here")
    assert len(names) == 7
    for name in names:
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "there" / name).read_bytes()


def test_what_tasks_share_is_sent_once_to_a_cluster(cluster: Any, tmp_path: Path) -> None:
    tasks = dict(enumerate(range(12)))
    with compute("ray", address=cluster.address):
        ended = run_tasks(lambda number, shared: number**2, tasks, Sent(tmp_path / "sent"))
        found = {number: outcome.result() for number, outcome in ended}
    assert found == {number: number**2 for number in tasks}
    assert (tmp_path / "sent").read_text() == "sent\n"


def test_a_worker_that_is_killed_is_tried_again_and_is_a_failure_only_if_it_always_is(
    cluster: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    once, always = tmp_path / "once", tmp_path / "always"
    models = {"once": Killed(str(once), 1), "always": Killed(str(always)), "mean": MeanForecaster()}
    with compute("ray", address=cluster.address, retries=1):
        board = leaderboard(models, wave(60), 3)
    assert board.failures == {"always": "its process was killed 2 times; it may need more memory: use smaller settings"}
    assert (len(once.read_text().splitlines()), len(always.read_text().splitlines())) == (2, 2)
    assert Counter(board.rows["model"])["once"] == Counter(board.rows["model"])["naive"]
    time.sleep(1.0)  # in which Ray would have its say about the workers
    assert capfd.readouterr() == ("", "")


def test_a_process_that_is_killed_costs_its_own_task_alone() -> None:
    def square(number: int, by: int) -> int:
        if number == by:
            os.kill(os.getpid(), signal.SIGKILL)
        return number**2

    # Without a retry it could not be known which of two tasks was the reason.
    for retries, times in ((0, 2), (2, 3)):
        with compute(n_jobs=2, retries=retries):
            found = dict(run_tasks(square, dict(enumerate(range(6))), 3))
        killed = str(found.pop(3).exception())
        assert killed == f"its process was killed {times} times; it may need more memory: use smaller settings"
        assert {number: outcome.result() for number, outcome in found.items()} == {0: 0, 1: 1, 2: 4, 4: 16, 5: 25}


def test_a_node_that_dies_costs_its_tasks_alone_and_one_that_joins_gets_some(cluster: Any, tmp_path: Path) -> None:
    def wait(seconds: float, begun: Path) -> tuple[str, float]:
        """Write the beginning to a file, and return the node."""
        import ray

        with open(begun, "a") as lines:
            lines.write(f"{seconds}\n")
        time.sleep(seconds)
        return ray.get_runtime_context().get_node_id(), seconds

    tasks = {
        number: (0.2 if number < 6 else 0.8) + number / 1000 for number in range(24)
    }  # a node takes seconds to join
    found = dict[int, tuple[str, float]]()
    with compute("ray", address=cluster.address):
        for number, outcome in run_tasks(wait, tasks, tmp_path / "begun"):
            assert number not in found
            found[number] = outcome.result()
            if len(found) == 4:
                cluster.remove_node(cluster.worker_nodes.copy().pop(), allow_graceful=False)
                new = cluster.add_node(num_cpus=1)
    assert {number: seconds for number, (_, seconds) in found.items()} == tasks
    assert new.node_id in {node for node, _ in found.values()}
    begun = (tmp_path / "begun").read_text().splitlines()
    assert len(set(begun)) == 24
    assert len(begun) <= 25  # the node had one core


def idle(cluster: Any) -> bool:
    """Return whether the nodes have nothing to do, or soon."""
    import ray

    until = time.monotonic() + 30
    while ray.available_resources().get("CPU") != ray.cluster_resources()["CPU"]:
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


def test_tasks_whose_outcomes_nobody_takes_are_ended(cluster: Any) -> None:
    with compute("ray", address=cluster.address):
        ended = run_tasks(lambda seconds, shared: time.sleep(seconds), {0: 0.1, 1: 60.0, 2: 60.0}, None)
        assert next(ended)[0] == 0
        ended.close()
        assert idle(cluster)


def test_processes_whose_outcomes_nobody_takes_are_ended_without_a_warning() -> None:
    with compute(n_jobs=2), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ended = run_tasks(lambda seconds, shared: time.sleep(seconds), {0: 0.1, 1: 60.0, 2: 60.0, 3: 60.0}, None)
        assert next(ended)[0] == 0
        ended.close()
    assert [str(each.message) for each in caught] == []


@pytest.mark.slow
def test_tasks_that_are_on_their_way_to_a_worker_are_ended_as_well(cluster: Any) -> None:
    """Of a task that is cancelled just then Ray itself may lose sight, and runs it: that was one of some ten."""
    for _ in range(20):
        with compute("ray", address=cluster.address):
            ended = run_tasks(lambda seconds, shared: time.sleep(seconds), {0: 0.1, 1: 60.0, 2: 60.0}, None)
            assert next(ended)[0] == 0
            ended.close()
            assert idle(cluster)


def test_a_cluster_other_than_the_one_that_is_connected_is_refused(cluster: Any) -> None:
    host, port = cluster.address.split(":")
    for same in ("auto", cluster.address, f"localhost:{port}"):
        with connected(same):
            pass
    for other in (f"{host}:1", f"192.0.2.99:{port}", "nonsense"):
        with pytest.raises(ParameterError) as caught, compute("ray", address=other):
            list(run_tasks(lambda number, shared: number, {0: 0}, None))
        assert str(caught.value) == (
            f"address must be that of the Ray that this process is connected to: {other!r} is not {cluster.address!r}; "
            "call ray.shutdown() before, or leave it out"
        )


SCRIPT = """
import os, sys, time
from tests.helpers.forecasters import wave
from tsforecast import compute
from tsforecast.data.panel import Panel
from tsforecast.evaluation.leaderboard import leaderboard
from tsforecast.forecasters.naive import NaiveForecaster
class Slow(NaiveForecaster):
    def __init__(self, file="", horizon=1):
        super().__init__(horizon)
        self.file = file
    def _fit(self, panel):
        with open(self.file, "a") as lines:
            lines.write("fit\\n")
        time.sleep(0.5)
if __name__ == "__main__":
    address = os.environ.get("CLUSTER")
    with compute("ray" if address else "processes", n_jobs=2, address=address):
        board = leaderboard({"slow": Slow(sys.argv[1])}, wave(60), 3, origins=8, refit=True, checkpoint=sys.argv[2])
    print(len(board.rows), board.rows.duplicated(["model", "series", "cutoff", "step"]).sum())
"""


def on_both(nodes: Any, executor: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if executor == "ray":
        monkeypatch.setenv("CLUSTER", nodes.address)


@pytest.mark.cluster
@pytest.mark.parametrize("executor", ["processes", "ray"])
def test_a_driver_that_is_killed_loses_the_fits_it_was_at_and_no_other(
    executor: str, nodes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_both(nodes, executor, monkeypatch)
    done, resumed, printed = kill_and_resume(SCRIPT, tmp_path, fits=5)
    assert done >= 2
    assert resumed == 8 - done
    assert printed == f"{4 * 8 * 3} 0\n"


@pytest.mark.parametrize("executor", BOTH)
def test_ctrl_c_ends_a_board_at_once_and_keeps_what_was_done(
    executor: str, nodes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_both(nodes, executor, monkeypatch)
    (tmp_path / "script.py").write_text(SCRIPT.replace("0.5", "1 if len(panel.values) < 46 else 60"))
    command = [sys.executable, str(tmp_path / "script.py"), str(tmp_path / "fits"), str(tmp_path / "kept")]
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")])}
    process = subprocess.Popen(command, env=paths, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while not list((tmp_path / "kept").glob("slow-*.parquet")):
        assert process.poll() is None
        time.sleep(0.02)
    time.sleep(0.3)
    began = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, errors = process.communicate(timeout=20)
    assert time.monotonic() - began < 10
    assert "KeyboardInterrupt" in errors
    assert process.returncode != 0
    if executor == "ray":  # nothing runs on
        with connected(nodes.address):
            assert idle(nodes)


def test_contexts_are_nested_and_threads_have_their_own() -> None:
    seen = dict[str, int]()
    with compute(n_jobs=3):
        assert (workers(), workers(2), workers(otherwise=1)) == (3, 2, 3)
        with compute(n_jobs=1):
            assert (workers(), run_here()) == (1, True)
        assert workers() == 3
        thread = threading.Thread(target=lambda: seen.update(thread=workers()))
        thread.start()
        thread.join()
    assert (workers(), workers(otherwise=-1) >= 1, seen) == (1, True, {"thread": 1})


def test_mistaken_executors_are_refused_with_all_their_problems() -> None:
    with pytest.raises(ParameterError) as caught, compute("dask", n_jobs=0, address=5, retries=-1):  # type: ignore[arg-type]
        pass
    assert [problem.split(" must")[0] for problem in caught.value.problems] == [
        "executor",
        "n_jobs",
        "retries",
        "address",
    ]
    with pytest.raises(ParameterError) as caught, compute(address="auto"):
        pass
    assert str(caught.value) == "address must be None with processes: got 'auto'; give executor=\"ray\""
    assert tsforecast.compute is compute
