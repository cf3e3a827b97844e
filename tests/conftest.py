"""Fixtures and markers of all tests."""

from __future__ import annotations

import gc
import os
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

# Before torch comes in: on a busy machine, threads of tiny networks mostly wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Kernels or torch is chosen by times that do not change from run to run.
os.environ["TSFORECAST_KERNELS"] = str(Path(__file__).parent / "golden" / "times.json")

import pytest
from filelock import FileLock
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

from tests.helpers.forecasters import small, wave
from tsforecast.data.panel import Panel
from tsforecast.estimators.base import Estimator
from tsforecast.estimators.registry import MODEL_NAMES, NETWORKS
from tsforecast.forecasters.base import Forecaster

gc.disable()  # until all tests are loaded: nothing of it is garbage

# The same examples in every run; `make quick` takes few, `make slow` looks for new ones.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("few", max_examples=5, derandomize=True, deadline=None)
settings.register_profile("explore", max_examples=1000, deadline=None)
settings.load_profile("same")

collect_ignore_glob = ["*conftest.py", "helpers/*"]  # they have no examples, and share a name or load MLflow


@pytest.fixture(params=MODEL_NAMES)
def forecaster(request: pytest.FixtureRequest) -> Forecaster:
    """Each forecaster of the package."""
    return small(request.param)


@pytest.fixture(params=NETWORKS)
def network(request: pytest.FixtureRequest) -> Forecaster:
    """Each forecaster that is a network."""
    return small(request.param)


@pytest.fixture
def ragged() -> Panel:
    """Three series of 90, 70 and 60 steps."""
    return Panel.from_array([wave(90, 0), wave(70, 1), wave(60, 2)], season_length=6)


@pytest.fixture
def data_folder() -> Path:
    """The folder of real data; tests that need it are skipped where it is not."""
    if "TSFORECAST_DATA" not in os.environ:
        pytest.skip("TSFORECAST_DATA names no folder of real data")
    return Path(os.environ["TSFORECAST_DATA"])


@pytest.fixture(scope="module")
def only_ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One Ray at a time, whatever files of tests run beside each other: "auto" joins any that it finds."""
    shared = tmp_path_factory.getbasetemp()
    shared = shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared
    with FileLock(shared / "ray.lock", timeout=280):
        yield


# Markers that follow from the fixtures of a test; `process` stands at the tests themselves.
MARKERS = {"only_ray": "ray", "browser": "browser", "empty_database": "mlflow"}


# One model of each kind. A check over all models is `thorough` for the others: run by `make thorough`.
REPRESENTATIVES = {"naive", "theta", "reduction", "gru", "majority"}
OF_MODELS = ("name", "forecaster", "network", "classifier", "estimator", "cls", "cell")  # parameters of such checks


def model_name(parameter: Any) -> str | None:
    """Return the name of the model that a parameter of a test names or is; None for other parameters."""
    if isinstance(parameter, str):
        return parameter if parameter in MODEL_NAMES else None
    kind = parameter if isinstance(parameter, type) else type(parameter)
    if not issubclass(kind, Estimator):
        return None
    return kind.__name__.removesuffix("Forecaster").removesuffix("Classifier").lower()


@cache
def starts_ray(file: Path) -> bool:
    """Return whether a file of tests uses a Ray, its own or a shared one."""
    text = file.read_text(encoding="utf-8")
    return "only_ray" in text or "ray_here" in text


@pytest.hookimpl(tryfirst=True)  # before -m selects by marker
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by fixtures, models and samples, and put those that start a Ray first: they occupy one worker long."""
    cases: Counter[str] = Counter()
    for item in items:
        for fixture in MARKERS.keys() & set(getattr(item, "fixturenames", ())):
            item.add_marker(MARKERS[fixture])
        if item.name.startswith("tsforecast.tracking"):  # an example
            item.add_marker("mlflow")
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        models = {model_name(parameters.get(name)) for name in OF_MODELS} - {None}
        variant = "readonly_memmap" in item.name  # of a check of scikit-learn
        if variant or not models <= REPRESENTATIVES:
            item.add_marker("thorough")
        sample = item.get_closest_marker("sample")
        if sample and item.get_closest_marker("thorough") is None:
            function = item.nodeid.partition("[")[0]
            if cases[function] % sample.args[0]:
                item.add_marker("thorough")
            cases[function] += 1
    items.sort(key=lambda item: not starts_ray(item.path))


def pytest_collection_finish() -> None:
    """Look for garbage from now on, but never again among all that was loaded."""
    gc.freeze()
    gc.enable()


class OneRay(LoadFileScheduling):
    """A file of tests goes to the next free worker; those that start a Ray all go to one, and none waits for it."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return "ray" if starts_ray(self.config.rootpath / file) else file


@pytest.hookimpl(optionalhook=True)  # with -p no:xdist nobody calls it
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OneRay | None:
    """Share files between the workers of ``--dist loadfile``."""
    return OneRay(config, log) if config.getvalue("dist") == "loadfile" else None
