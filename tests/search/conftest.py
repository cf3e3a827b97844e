"""A Ray that tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def ray_here(only_ray: None) -> Iterator[None]:
    """One Ray for the tests of a module, as a user may have started one."""
    import ray

    with pytest.MonkeyPatch.context() as patch:  # its processes find the classes of these files
        patch.setenv("PYTHONPATH", os.pathsep.join([os.getcwd(), str(Path(__file__).parent)]))
        ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    yield
    ray.shutdown()
