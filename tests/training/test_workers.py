"""Several workers train the network that a single process trains, but for rounding; one that is lost costs an epoch."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tests.helpers.cluster import beside, cluster_of
from tests.helpers.forecasters import wave
from tests.helpers.workers import forked_workers
from tsforecast import Panel, TrainingError, TrainingWarning
from tsforecast.data.windows import Windows
from tsforecast.errors import ParameterError
from tsforecast.forecasters.neural import NeuralForecaster
from tsforecast.networks.losses import Loss
from tsforecast.training.runtime import Team


def shops(count: int = 7) -> Panel:
    """Return series of several lengths, with missing values and covariates of each kind."""
    random, frames = np.random.default_rng(0), []
    for number in range(count):
        steps = 40 + 9 * number
        frame = pd.DataFrame({"shop": f"shop {number}", "day": np.arange(steps), "y": wave(steps, number)})
        frame["y"] = (number + 1) * frame["y"].where(random.random(steps) > 0.05)
        frame["open"], frame["price"] = np.arange(steps) % 3, random.normal(size=steps)
        frame["town"] = "abc"[number % 3]
        frames.append(frame)
    return Panel.from_frame(
        pd.concat(frames), time="day", id="shop", target="y", past="price", future="open", static="town",
        season_length=6, nan_policy="mask",
    )  # fmt: skip


def model(cell: str = "gru", **settings: Any) -> NeuralForecaster:
    usual = {"window": 12, "horizon": 3, "units": 4, "max_epochs": 3, "batch_size": 16, "random_state": 0}
    return NeuralForecaster(cell, **{**usual, "kernels": "off", **settings})  # type: ignore[arg-type]


def weights(fitted: NeuralForecaster) -> np.ndarray:
    return np.concatenate([part.numpy().ravel() for part in fitted.network_.state_dict().values()])


def distance(one: NeuralForecaster, other: NeuralForecaster) -> float:
    return float(np.abs(weights(one) - weights(other)).max())


@pytest.mark.long
@pytest.mark.parametrize(
    ("count", "settings"),
    [
        (1, {"max_epochs": 1}),
        (3, {}),
        (2, {"max_epochs": 1, "loss": "normal", "bidirectional": True, "clip": None}),
        (2, {"members": 2, "refit": True, "validation_origins": 2}),
        # Some workers have no share of a batch.
        (3, {"cell": "conv1d", "validation": None, "optimizer": "sgd", "batch_size": 3, "steps_per_epoch": 20}),
        (2, {"cell": "lstm", "loss": "mase", "schedule": "plateau", "patience": 1, "kernels": "on"}),
    ],
    ids=str,
)
def test_workers_end_with_the_weights_of_a_single_process(settings: dict[str, Any], count: int) -> None:
    one, several = model(**settings).fit(shops()), model(**settings)
    heard: list[int] = []
    with forked_workers():
        several.fit(shops(), workers=count, on_epoch=lambda epoch: heard.append(epoch.number))
    assert distance(one, several) < 1e-5
    assert heard == [epoch.number for epoch in one.history_]
    for mine, its in zip(one.history_, several.history_, strict=True):
        assert np.allclose(mine.train_loss or 0, its.train_loss or 0, atol=1e-5)
        assert np.allclose([mine.valid_loss or 0, mine.skill or 0], [its.valid_loss or 0, its.skill or 0], atol=1e-5)


@pytest.mark.long
def test_members_that_share_an_embedding_train_on_several_workers() -> None:
    days = np.arange(150)
    kinds = np.array([f"kind {number}" for number in range(20)])[days * 7 % 20]
    frame = pd.DataFrame({"day": days, "y": wave(150) + days * 7 % 20, "kind": kinds})
    panel = Panel.from_frame(frame, time="day", target="y", past="kind", season_length=6)
    one = model(members=2).fit(panel)
    with forked_workers():
        assert distance(one, model(members=2).fit(panel, workers=2)) < 1e-5


def test_each_worker_draws_numbers_of_its_own_and_then_those_of_all_again() -> None:
    own, common = [], []
    for rank in (0, 1, 1):
        with torch.random.fork_rng():
            torch.manual_seed(5)
            with Team(rank, 2).own_numbers():
                own.append(torch.rand(3).tolist())
            common.append(torch.rand(3).tolist())
    torch.manual_seed(5)
    assert common == [torch.rand(3).tolist()] * 3
    assert own[0] != own[1] == own[2]


@pytest.mark.long
def test_dropout_depends_on_the_number_of_workers_alone() -> None:
    with forked_workers():
        two, again, three = (model(dropout=0.3).fit(shops(), workers=count) for count in (2, 2, 3))
    assert distance(two, again) == 0
    assert distance(two, three) > 1e-4
    with forked_workers():  # those of a worker differ from those of another, and batches stay those of all
        without = model(dropout=0.0).fit(shops(), workers=2)
    assert distance(two, without) > 1e-4


@pytest.mark.long
@pytest.mark.parametrize("numbers", [(2, 1), (1, 3), (None, 2), (2, None)], ids=str)
def test_a_checkpoint_resumes_with_another_number_of_workers(
    numbers: tuple[int | None, int | None], tmp_path: Path
) -> None:
    whole, begun, resumed = model(max_epochs=4).fit(shops()), model(max_epochs=4), model(max_epochs=4)

    def stops(epoch: Any) -> None:
        if epoch.number == 2:
            raise InterruptedError

    with forked_workers():
        with pytest.raises(InterruptedError):
            begun.fit(shops(), checkpoint=tmp_path, workers=numbers[0], on_epoch=stops)
        heard: list[int] = []
        resumed.fit(
            shops(), resume_from=tmp_path, workers=numbers[1], on_epoch=lambda epoch: heard.append(epoch.number)
        )
    assert heard == [2, 3, 4]
    assert distance(whole, resumed) < 1e-5


@pytest.mark.long
def test_ctrl_c_keeps_the_best_network_so_far() -> None:
    def stops(epoch: Any) -> None:
        if epoch.number == 2:
            raise KeyboardInterrupt

    stopped = model(max_epochs=50)
    with forked_workers(), pytest.warns(TrainingWarning, match=r"interrupted in epoch 3: the weights of epoch \d"):
        stopped.fit(shops(), workers=2, on_epoch=stops)
    assert [epoch.number for epoch in stopped.history_] == [0, 1, 2]
    assert stopped.resolved_["best_epoch"] in (0, 1, 2)


class Breaks(Loss):
    """The absolute error, but of one series no number."""

    def errors(self, outputs: torch.Tensor, truth: torch.Tensor, series: torch.Tensor, scale: Any) -> torch.Tensor:
        return torch.where((series == 4)[:, None, None], torch.nan, (outputs[..., 0] - truth).abs())


@pytest.mark.long
def test_a_loss_that_is_no_number_ends_all_workers_with_the_names_of_series() -> None:
    with forked_workers(), pytest.raises(TrainingError, match=r"must stay a number: it became nan in .* 'shop 4'"):
        model(loss=Breaks(), batch_size=4).fit(shops(), workers=2)


@pytest.mark.parametrize("cut", [(0, 40, 40, 113), (7, 8), (0, 1)])
def test_a_part_of_windows_gathers_its_own_as_the_whole_does(cut: tuple[int, ...]) -> None:
    random = np.random.default_rng(0)
    offsets = np.cumsum([0, 30, 4, 50, 21, 9, 60])
    values = random.normal(size=(offsets[-1], 3)).astype(np.float32)
    truth = np.where(random.random((offsets[-1], 1)) < 0.2, np.nan, values[:, :1])
    within = np.stack([np.diff(offsets) // 3, np.diff(offsets)], axis=1)[:, None]
    for blocks in (None, within):
        windows = Windows(values, truth, offsets, 10, 4, least=3, ahead=1, static=values[:6], within=blocks)
        edges = [0, *(edge for edge in cut if edge < len(windows)), len(windows)]
        found = []
        for first, last in itertools.pairwise(edges):
            part, every = windows.part(first, last), torch.randperm(len(windows))
            own = part.own(every)
            assert sorted(own.tolist()) == list(range(first, last))
            found += own.tolist()
            if first == last:
                continue
            mine, whole = part.batch(own), windows.batch(own)
            there = (torch.arange(10)[None] >= 10 - whole.known[:, None])[..., None]  # type: ignore[index]
            assert torch.equal(mine.past * there, whole.past * there)
            assert torch.equal(mine.future.nan_to_num(9), whole.future.nan_to_num(9))
            assert torch.equal(mine.static, whole.static)
            assert torch.equal(mine.series, whole.series)
            assert torch.equal(mine.ahead, whole.ahead)
            assert len(part._values) <= len(windows._values)
        assert sorted(found) == list(range(len(windows)))


@pytest.mark.parametrize(
    ("given", "settings", "sentence"),
    [
        ({"workers": 0}, {}, r"workers must be a whole number >= 1 or None: got 0"),
        ({"workers": 2.5}, {}, r"workers must be a whole number >= 1 or None: got 2.5"),
        ({"address": "auto"}, {}, r"address must have workers to train there: got 'auto'; add workers=2, or leave it"),
        ({"workers": 2, "address": 6379}, {}, r"address must be 'auto', or the address of a Ray cluster: got 6379"),
        ({"workers": 2}, {"norm": "batch"}, r"workers must be 1 for norm 'batch', which reads a batch as a whole: got"),
    ],
)
def test_workers_that_cannot_be_are_refused(given: dict[str, Any], settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ParameterError, match=sentence):
        model(**settings).fit(shops(), **given)


@pytest.fixture(scope="module")
def nodes(only_ray: None) -> Iterator[Any]:
    """A cluster of three nodes of one core each, that this process is connected to."""
    import ray

    with cluster_of((1, 1, 1), paths=[beside(__file__)]) as cluster:
        ray.init(address=cluster.address, log_to_driver=False, logging_level="CRITICAL")
        try:
            yield cluster
        finally:
            ray.shutdown()


class Dies(Loss):
    """The absolute error, at a step of which the second worker is killed, once."""

    def __init__(self, once: str = "", step: int = 30) -> None:
        self.once, self.step, self.steps = once, step, 0

    def errors(self, outputs: torch.Tensor, truth: torch.Tensor, series: torch.Tensor, scale: Any) -> torch.Tensor:
        if self.once and torch.distributed.is_initialized() and torch.distributed.get_rank() == 1:
            self.steps += 1
            if self.steps == self.step and not Path(self.once).exists():
                Path(self.once).touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return (outputs[..., 0] - truth).abs()


@pytest.mark.cluster
def test_a_worker_of_a_cluster_that_is_killed_costs_an_epoch_and_nothing_else(nodes: Any, tmp_path: Path) -> None:
    with pytest.raises(
        ParameterError, match="workers must be at most the cores of the Ray that trains: got 9, it has 3"
    ):
        model().fit(shops(), workers=9)
    one = model(loss=Dies()).fit(shops())
    several, heard = model(loss=Dies(str(tmp_path / "once"))), list[int]()
    kept = tmp_path / "kept"
    several.fit(shops(), workers=2, checkpoint=kept, on_epoch=lambda epoch: heard.append(epoch.number))
    assert (tmp_path / "once").exists()
    assert heard == [0, 1, 2, 3]
    assert distance(one, several) < 1e-5
    assert json.loads((kept / "train" / "checkpoint.json").read_text())["history"][-1]["number"] == 3


@pytest.mark.slow
def test_training_outlives_a_node_and_ends_with_ctrl_c_and_errors(nodes: Any) -> None:
    one, several, heard = model(max_epochs=6).fit(shops()), model(max_epochs=6), list[int]()

    def loses(epoch: Any) -> None:
        heard.append(epoch.number)
        if epoch.number == 2:
            nodes.remove_node(next(iter(nodes.worker_nodes)), allow_graceful=False)

    several.fit(shops(), workers=2, on_epoch=loses)  # a node is left, and the head
    assert heard == [0, 1, 2, 3, 4, 5, 6]
    assert distance(one, several) < 1e-5

    def stops(epoch: Any) -> None:
        if epoch.number == 2:
            raise KeyboardInterrupt

    with pytest.warns(TrainingWarning, match="interrupted in epoch 3"):
        model(max_epochs=5_000).fit(shops(), workers=2, on_epoch=stops)
    with pytest.raises(TrainingError, match=r"must stay a number: it became nan in .* 'shop 4'"):
        model(loss=Breaks(), batch_size=4).fit(shops(), workers=2)  # where those that were stopped are no more


LOST = """
from tests.helpers.cluster import cluster_of
from tests.training.test_workers import model, shops
from tsforecast.clusters import connected, silenced
from tsforecast.errors import TrainingError
with cluster_of((1, 1)) as nodes, silenced(), connected(nodes.address):
    def ends(epoch):
        if epoch.number == 2:
            nodes.head_node.kill_all_processes(check_alive=False, allow_graceful=False)
    try:
        model(max_epochs=200).fit(shops(), workers=2, on_epoch=ends)
    except TrainingError as error:
        print(error)
"""


@pytest.mark.cluster
def test_a_ray_that_is_lost_as_a_whole_is_one_sentence() -> None:
    done = subprocess.run([sys.executable, "-c", LOST], capture_output=True, text=True, timeout=200)
    assert done.stdout.startswith("the Ray of the workers must run until training ends: it is lost"), done.stderr
    assert "resume from a checkpoint" in done.stdout
