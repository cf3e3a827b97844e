"""A search on a cluster of three nodes, which lose trials, workers, nodes and the driver, and share no folder."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem

from tests.helpers.cluster import beside, cluster_of
from tests.search.test_ray import BASE, PANEL
from tsforecast.errors import ParameterError
from tsforecast.forecasters.neural import NeuralForecaster
from tsforecast.search import tuner
from tsforecast.search.search import RaySearch
from tsforecast.search.storage import LOG_FILE, changed_files, read_log, write_files

pytestmark = [  # what ray leaves open when it ends is its own
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.usefixtures("only_ray"),
]
SPACE = {"units": [2, 3, 4, 5, 6, 8], "dropout": (0.0, 0.5)}
EPOCHS = 16


class Slow(NeuralForecaster):
    """Takes a moment for each epoch on a cluster, where it records node and process, and waits while it is to hold."""

    def _fit(self, panel: Any) -> None:
        raise NotImplementedError

    def fit(self, data: object, *rest: object, on_epoch: Any = None, **more: object) -> Slow:
        import ray

        def slowly(epoch: Any) -> None:
            on_epoch(epoch)
            time.sleep(0.1)
            while (place.parent / "hold").exists() and epoch.number > 1:
                time.sleep(0.1)

        if on_epoch and ray.is_initialized():
            place = Path(os.environ["WITNESSES"]) / ray.get_runtime_context().get_node_id()
            place.write_text(str(os.getpid()))
            return super().fit(data, *rest, on_epoch=slowly, **more)
        return super().fit(data, *rest, on_epoch=on_epoch, **more)


@pytest.fixture(scope="module")
def nodes(only_ray: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Three nodes of one core each, with processes of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WITNESSES", str(tmp_path_factory.mktemp("nodes")))
        with cluster_of((1, 1, 1), [beside(__file__)]) as cluster:
            yield cluster


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> RaySearch:
    """The same search in one process."""
    return search(tmp_path_factory.mktemp("here"), model=BASE).fit(PANEL)


def search(folder: Path | str, **other: Any) -> RaySearch:
    options = {"trials": 6, "searcher": "random", "scheduler": "none", "max_epochs": EPOCHS, "storage": folder}
    model = other.pop("model", Slow(window=12, horizon=3))
    return RaySearch(model, other.pop("space", SPACE), **{**options, "name": "a", **other})


def events(folder: Path) -> Counter[tuple[str, int, int]]:
    """Return how often each event of each trial and epoch was logged."""
    lines = (folder / LOG_FILE).read_text().splitlines()
    return Counter((one["event"], one["trial"], one.get("epoch", 0)) for one in map(json.loads, lines))


SCRIPT = """
import json, sys
from collections import Counter
from tests.search.test_cluster import PANEL, search
from tsforecast import Panel
pickled, reduce = [], Panel.__reduce_ex__
Panel.__reduce_ex__ = lambda self, protocol: (pickled.append(id(self)), reduce(self, protocol))[1]
from tsforecast.search import tuner
tuner._mark = lambda folder: "on another machine"
found = search(sys.argv[1], address=sys.argv[2]).fit(PANEL)
print(json.dumps([found.optimism_, max(Counter(pickled).values()), found.predict().tolist()]))
"""


def driver(storage: object, nodes: Any) -> subprocess.Popen[str]:
    """Start a process that searches."""
    command = [sys.executable, "-c", SCRIPT, str(storage), nodes.address]
    paths = os.pathsep.join([os.getcwd(), beside(__file__)])
    return subprocess.Popen(command, env=os.environ | {"PYTHONPATH": paths}, stdout=subprocess.PIPE, text=True)


def wait(process: subprocess.Popen[str], until: Callable[[], object]) -> None:
    """Wait for something while a process runs."""
    while not until():
        assert process.poll() is None
        time.sleep(0.05)


@pytest.mark.cluster  # three minutes, for nodes that begin and end
def test_nodes_that_are_lost_and_added_and_workers_that_die_cost_no_trial(
    nodes: Any, here: RaySearch, tmp_path: Path
) -> None:
    used = Path(os.environ["WITNESSES"])
    (used / "hold").touch()
    process = driver(tmp_path, nodes)
    wait(process, lambda: len(list(used.iterdir())) == 3 + 1)
    before = {file.name for file in used.iterdir()}
    added = nodes.add_node(num_cpus=1)
    wait(process, (used / added.node_id).exists)
    lost = next(node for node in nodes.worker_nodes if node.node_id in before)
    nodes.remove_node(lost, allow_graceful=False)
    os.kill(int((used / added.node_id).read_text()), signal.SIGKILL)
    (used / "hold").unlink()
    optimism, pickles, predicted = json.loads(process.communicate()[0].splitlines()[-1])
    found = events(tmp_path / "a")
    assert [record.skills for record in read_log(tmp_path / "a")] == [
        record.skills for record in read_log(here.folder_)
    ]
    assert optimism == here.optimism_  # from the files that workers sent
    assert predicted == here.predict().tolist()
    assert {found["epoch", trial, epoch] for trial in range(1, 7) for epoch in range(1, EPOCHS + 1)} == {1}
    assert sum(times for (event, *_), times in found.items() if event == "failed") == 2
    assert sum(times for (event, *_), times in found.items() if event == "began") == 6 + 2
    assert 0 < pickles <= 2  # put once, and again for the trials that were lost


@pytest.mark.cluster
def test_a_driver_that_is_killed_goes_on_from_a_url(
    nodes: Any, here: RaySearch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, there = f"file://{tmp_path}/bucket", tmp_path / "bucket" / "a"
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    process = driver(url, nodes)
    wait(process, lambda: any(record.is_over(EPOCHS) for record in read_log(there)))
    process.kill()
    process.communicate()
    over = [record.trial for record in read_log(there) if record.is_over(EPOCHS)]
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "of another machine"))
    monkeypatch.setattr(tuner, "_mark", lambda folder: "on another machine")
    second = search(url, address=nodes.address).fit(PANEL)
    assert second.trials_["scores"].tolist() == here.trials_["scores"].tolist()
    assert second.optimism_ == here.optimism_
    assert {events(there)["began", trial, 0] for trial in over} == {1}
    assert read_log(there) == read_log(second.folder_)


class Bucket(DirFileSystem):  # type: ignore[misc]
    """Files in a folder, as those of an object store."""

    protocol = "bucket"

    def __init__(self, **options: Any) -> None:
        super().__init__(os.environ["BUCKET"], LocalFileSystem(auto_mkdir=True))

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return path.removeprefix("bucket://").strip("/")


def test_a_url_has_a_copy_of_a_search_which_is_read_where_there_is_less(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsspec.register_implementation("bucket", Bucket, clobber=True)
    monkeypatch.setenv("BUCKET", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    first = search("bucket://searches", model=BASE, trials=2, max_epochs=2).fit(PANEL)
    assert read_log(tmp_path / "searches" / "a") == read_log(first.folder_)
    assert (tmp_path / "searches" / "a" / "outcome.json").exists()
    for home in ("home", "other"):  # the copy here has as much; there is none
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / home))
        more = search("bucket://searches", model=BASE, trials=3 + (home == "other"), max_epochs=2).fit(PANEL)
        assert more.trials_["scores"].tolist()[:3] == first.trials_["scores"].tolist()
    assert set(events(tmp_path / "searches" / "a").values()) == {1}  # nothing was run again
    with pytest.raises(
        ParameterError, match=r"storage must be a folder, or a URL that fsspec supports: got 's33://b/a'"
    ):
        search("s33://b", model=BASE).fit(PANEL)


def test_files_that_change_arrive_elsewhere_as_they_are(tmp_path: Path) -> None:
    here, there, sent = tmp_path / "here", tmp_path / "there", {}
    (here / "fit").mkdir(parents=True)
    (here / "fit" / "b.json").write_text("1")
    for text, expected in (("one", 3), ("one, two", 5), ("new", 3), ("new", 0)):
        (here / "losses.npy").write_text(text)
        (here / "fit" / "a.bin").write_text(text[:3])
        changes = changed_files(here, sent)
        assert len(changes.get("losses.npy", (0, b""))[1]) == expected
        assert ("fit/b.json" in changes) == ("fit/a.bin" in changes)
        write_files(there, changes)
        assert {file.relative_to(there): file.read_text() for file in there.rglob("*.*")} == {
            file.relative_to(here): file.read_text() for file in here.rglob("*.*")
        }
