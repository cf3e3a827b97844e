"""Quick trials run in this process, with the numbers, log and faults of trials on Ray, which takes over slow ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
import torch

from tests.search.test_ray import BASE, PANEL
from tsforecast.data.panel import Panel
from tsforecast.events import observing
from tsforecast.forecasters.neural import NeuralForecaster
from tsforecast.forecasters.reduction import ReductionForecaster
from tsforecast.networks.kernels import choice
from tsforecast.networks.kernels.choice import alike
from tsforecast.search import tuner
from tsforecast.search.search import RaySearch
from tsforecast.search.space import log
from tsforecast.search.storage import LOG_FILE

SPACE = {"units": [2, 8], "learning_rate": log(1e-3, 1e-1)}


def search(folder: Path, **other: Any) -> RaySearch:
    options = {"trials": 4, "max_epochs": 3, "searcher": "random", "scheduler": "none", "storage": folder, "name": "a"}
    return RaySearch(BASE, SPACE, **{**options, **other}).fit(PANEL)


@pytest.mark.filterwarnings("ignore")  # what ray leaves open when it ends is its own
def test_ray_goes_on_with_what_takes_long_and_all_trials_have_the_same_numbers(
    only_ray: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = search(tmp_path / "here")
    assert not (here.folder_ / "ray").exists()
    monkeypatch.setattr(tuner, "KNOWN", 0.0)
    monkeypatch.setattr(tuner, "QUICK", 0.0)
    both = search(tmp_path / "both")
    assert (both.folder_ / "ray").exists()
    events = [json.loads(line) for line in (both.folder_ / LOG_FILE).read_text().splitlines()]
    assert [event["event"] for event in events[:3]] == ["began", "epoch", "began"]  # one epoch, and Ray begins
    first = [event["epoch"] for event in events if event["event"] == "epoch" and event["trial"] == 1]
    assert first == [1, 2, 3]
    assert both.trials_["scores"].tolist() == here.trials_["scores"].tolist()
    assert both.trials_["status"].tolist() == here.trials_["status"].tolist() == ["naive", *["finished"] * 4]
    assert np.array_equal(both.predict(), here.predict())


@pytest.mark.long
@pytest.mark.parametrize("scheduler", ["asha", "median"])
def test_what_a_search_stops_here_depends_on_nothing_but_its_seed(scheduler: str, tmp_path: Path) -> None:
    rules: dict[str, Any] = {"searcher": "tpe", "scheduler": scheduler, "trials": 10, "max_epochs": 8}
    one, two = (search(tmp_path / name, **rules) for name in ("one", "two"))
    assert not ray.is_initialized()
    assert (one.trials_["status"] == "stopped early").any()
    assert one.trials_.drop(columns="seconds").equals(two.trials_.drop(columns="seconds"))
    more = search(tmp_path / "one", **{**rules, "trials": 12})
    assert more.trials_["scores"].tolist()[:11] == one.trials_["scores"].tolist()
    assert len(more.trials_) == 13


class Faulty(NeuralForecaster):
    """Raises for some numbers of units."""

    def _fit(self, panel: Panel) -> None:
        raise NotImplementedError

    def fit(self, data: object, *rest: object, **more: object) -> Faulty:
        if self.units in (3, 4):
            raise {3: ZeroDivisionError("no denominator"), 4: MemoryError()}[self.units]
        return super().fit(data, *rest, **more)


@pytest.mark.long
def test_a_trial_that_raises_here_is_a_row_and_the_search_goes_on(tmp_path: Path) -> None:
    space = {"units": [2, 3, 4, 8]}
    options: dict[str, Any] = {"trials": 4, "searcher": "grid", "scheduler": "none", "max_epochs": 2}
    found = RaySearch(Faulty(window=12, horizon=3), space, storage=tmp_path, **options).fit(PANEL)
    rows = found.trials_.set_index("param_units")
    assert rows["status"][[2.0, 3.0, 4.0, 8.0]].tolist() == ["finished", "failed", "failed", "finished"]
    assert rows["error"][3.0] == "ZeroDivisionError: no denominator"
    assert rows["error"][4.0].startswith("it needs more memory than there is")
    assert found.complete_


class Ctrl(NeuralForecaster):
    """Is interrupted, as by Ctrl-C, at the first epoch that is over of a network of eight units."""

    def _fit(self, panel: Panel) -> None:
        raise NotImplementedError

    def fit(self, data: object, *rest: object, on_epoch: Any = None, **more: object) -> Ctrl:
        def interrupted(epoch: Any) -> None:
            on_epoch(epoch)
            if self.units == 8 and epoch.number == 1:
                raise KeyboardInterrupt

        return super().fit(data, *rest, on_epoch=on_epoch and interrupted, **more)


@pytest.mark.long
def test_ctrl_c_in_the_midst_of_a_trial_ends_the_search(tmp_path: Path) -> None:
    options: dict[str, Any] = {"trials": 3, "searcher": "grid", "scheduler": "none", "max_epochs": 3}
    with pytest.warns(UserWarning, match="the search was cut short: 1 of 3 trials are over; fit again to go on"):
        found = RaySearch(Ctrl(window=12, horizon=3), {"units": [2, 8, 4]}, storage=tmp_path, **options).fit(PANEL)
    assert found.trials_["status"].tolist() == ["naive", "finished", "cut short"]


class Counting:
    """Counts fits."""

    def __init__(self) -> None:
        self.fits: list[str] = []

    def on_start(self, activity: Any) -> None:
        self.fits.append(type(activity.subject).__name__)

    def on_event(self, activity: Any, event: Any) -> None: ...

    def on_end(self, activity: Any, error: BaseException | None) -> None: ...


@pytest.mark.long
def test_trials_here_are_no_fits_of_their_own_and_leave_no_trace(tmp_path: Path) -> None:
    counting, threads, state = Counting(), torch.get_num_threads(), torch.get_rng_state()
    torch.set_num_threads(3)
    try:
        with observing(counting):
            search(tmp_path)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)
    assert counting.fits == ["RaySearch", "NeuralForecaster"]  # the best settings on all data
    assert torch.equal(torch.get_rng_state(), state)


def test_models_without_epochs_are_searched_here(tmp_path: Path) -> None:
    found = RaySearch(ReductionForecaster(horizon=3), {"window": [6, 12]}, trials=2, storage=tmp_path).fit(PANEL)
    assert found.trials_["status"].tolist() == ["naive", "finished", "finished"]


def test_kernels_are_loaded_once_for_all_trials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba")
    shape = (2, len(choice.UNITS), len(choice.ROWS), len(choice.STEPS))
    times = np.broadcast_to(np.array([1e-4, 1e-2]).reshape(2, 1, 1, 1), shape)  # kernels save 0.01 s of a step
    (tmp_path / "times.json").write_text(json.dumps({"GRU step": times.tolist()}))
    monkeypatch.setenv("TSFORECAST_KERNELS", str(tmp_path / "times.json"))
    choice.times_of.cache_clear()
    try:
        model = NeuralForecaster(window=12, horizon=3, units=8, max_epochs=4, validation=None, segment=1)
        chosen = [model.fit(PANEL).resolved_["kernels"]]  # eight steps
        with alike(40):
            chosen.append(model.fit(PANEL).resolved_["kernels"])
    finally:
        choice.times_of.cache_clear()
    assert chosen == ["off", "on"]
