"""The same search on a cluster of two nodes that was there before."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.search.test_ray import BASE, PANEL
from tsforecast.errors import ParameterError
from tsforecast.forecasters.neural import NeuralForecaster
from tsforecast.search.search import RaySearch

pytestmark = [  # what ray leaves open when it ends is its own
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.usefixtures("only_ray"),
]


class Witness(NeuralForecaster):
    """Records the node that fits it, and waits there until the other node has begun, too."""

    def _fit(self, panel: Any) -> None:
        raise NotImplementedError

    def fit(self, data: object, *rest: object, **more: object) -> Witness:
        import ray

        if ray.is_initialized():
            nodes = Path(os.environ["WITNESSES"])
            (nodes / ray.get_runtime_context().get_node_id()).touch()
            patience = time.monotonic() + 60  # on a busy machine one node is through before the other has a process
            while len(list(nodes.iterdir())) < 2 and time.monotonic() < patience:
                time.sleep(0.1)
        return super().fit(data, *rest, **more)


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Two nodes of one core each, each with processes of its own."""
    from ray.cluster_utils import Cluster

    (tmp_path / "nodes").mkdir()
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([os.getcwd(), str(Path(__file__).parent)]))
    monkeypatch.setenv("WITNESSES", str(tmp_path / "nodes"))
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    nodes.add_node(num_cpus=1)  # ray takes the machine's own address for 127.0.0.1, and would not find the node there
    yield nodes.address
    nodes.shutdown()


def test_a_search_runs_on_both_nodes_of_a_cluster_with_the_numbers_of_one_machine(cluster: str, tmp_path: Path) -> None:
    options = {"trials": 4, "max_epochs": 3, "searcher": "random", "scheduler": "none", "storage": tmp_path}
    there = RaySearch(
        Witness(window=12, horizon=3), {"units": [2, 4, 8]}, address=cluster, name="there", **options
    ).fit(PANEL)
    here = RaySearch(BASE, {"units": [2, 4, 8]}, name="here", **options).fit(PANEL)
    assert there.trials_["scores"].tolist() == here.trials_["scores"].tolist()
    assert np.array_equal(there.predict(), here.predict())
    driver = 1  # the best settings are fitted again by this process, which is connected to neither
    assert len(list((tmp_path / "nodes").iterdir())) in (2, 2 + driver)


def test_auto_without_a_cluster_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"address must be that of a ray cluster that runs: 'auto' cannot be"):
        RaySearch(BASE, {"units": [2, 4]}, trials=2, address="auto", storage=tmp_path).fit(PANEL)
