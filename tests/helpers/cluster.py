"""A Ray cluster of three nodes on this machine, for tests that lose some of it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


@contextmanager
def cluster_of(cores: Sequence[int] = (1, 1, 1), paths: Sequence[str] = ()) -> Iterator[Any]:
    """Yield a cluster, a `ray.cluster_utils.Cluster`, whose head and other nodes have so many cores.

    Each node has processes of its own, which find the classes in files of `paths`; nothing is connected to it yet. End
    a node at once, with all that it runs, by `cluster.remove_node(cluster.worker_nodes..., allow_graceful=False)`.
    """
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([os.getcwd(), *paths]))
        nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": cores[0], "include_dashboard": False})
        try:
            for count in cores[1:]:
                nodes.add_node(num_cpus=count)
            yield nodes
        finally:
            nodes.shutdown()


def beside(file: str) -> str:
    """Return the folder of a file of tests, as a path where workers find its classes."""
    return str(Path(file).parent)
