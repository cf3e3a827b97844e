"""The simulation of a cluster has the times that arithmetic has, and never less than what must pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st


@pytest.fixture(scope="module")
def cluster() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
        import cluster as found

        yield found


def test_times_are_those_of_arithmetic(cluster: Any) -> None:
    of = cluster.Cluster
    assert cluster.makespan([2.0] * 12, of(1, 1)) == 24.0
    assert cluster.makespan([2.0] * 12, of(3, 2)) == 4.0
    assert cluster.makespan([1.0, 1.0, 9.0], of(100, 16)) == 9.0  # the longest one
    # Three nodes wait for the data one after the other; a second task on a node does not.
    assert cluster.makespan([1.0] * 3, of(3, 1, sent=10.0, bandwidth=2.0)) == 5.0 * 3 + 1.0
    assert cluster.makespan([1.0] * 2, of(1, 1, sent=10.0, bandwidth=2.0)) == 5.0 + 2.0
    # The driver hands out one task after the other, which begins a while later.
    assert cluster.makespan([0.0] * 10, of(10, 1, handing=1.0, delay=3.0)) == 13.0
    assert cluster.makespan([1.0] * 4, of(1, 2, start=5.0)) == 7.0


@given(
    tasks=st.lists(st.floats(0, 100), min_size=1, max_size=50),
    nodes=st.integers(1, 20),
    cores=st.integers(1, 4),
    handing=st.floats(0, 1),
)
def test_no_cluster_is_quicker_than_its_cores_or_its_longest_task(
    cluster: Any, tasks: list[float], nodes: int, cores: int, handing: float
) -> None:
    seconds = cluster.makespan(tasks, cluster.Cluster(nodes, cores, handing=handing))
    least = max(sum(tasks) / nodes / cores, max(tasks) + handing, len(tasks) * handing)
    assert seconds >= least - 1e-6
    most = sum(tasks) / nodes / cores + max(tasks)  # of any order of tasks [Graham 1966]
    assert seconds <= most + len(tasks) * handing + 1e-6
