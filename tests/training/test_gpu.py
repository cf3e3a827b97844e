"""On a GPU steps are captured as graphs, learn the same, and wait for nothing; the device is one of `tests.helpers`."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tests.helpers.forecasters import wave
from tests.helpers.gpu import DEVICE, Gpu, gpu
from tsforecast import Panel
from tsforecast.data.windows import Windows
from tsforecast.forecasters.neural import NeuralForecaster
from tsforecast.networks.forecast import ForecastNetwork
from tsforecast.networks.layers import Architecture
from tsforecast.networks.losses import LOSSES, DataScale, Objective
from tsforecast.networks.sequence import CrossEntropy, SequenceNetwork
from tsforecast.sequences.neural import NeuralClassifier
from tsforecast.training import loop
from tsforecast.training.batches import Augmentation, SequenceDataset
from tsforecast.training.loop import TrainingConfig, learner, train
from tsforecast.training.optim import make_optimizer

CPU = torch.device("cpu")


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gpu]:
    with gpu(monkeypatch) as found:
        yield found


def setting(place: torch.device, loss: str = "mae", members: int = 1, **shape: Any) -> tuple[Any, ...]:
    """Return a network, windows to train on and to validate with, and the objective, on a device."""
    torch.manual_seed(0)
    values = np.float32(wave(90) - 12)[:, None]
    architecture = Architecture(**{"cell": "gru", "units": 4, **shape})
    about = {"loss": LOSSES[loss], "members": members}
    network = ForecastNetwork(architecture, 1, 1, 8, 3, np.ones((3, 1), dtype=int), **about).to(place)
    rows = {"training": {"last": np.array([70])}, "validation": {"first": np.array([70])}}
    parts = [Windows(values, values, np.array([0, 90]), 8, 3, device=place, **each) for each in rows.values()]
    one = torch.ones(1, 1, device=place)
    return network, *parts, Objective(LOSSES[loss], DataScale(one * 0, one, one * 0, one, one, powered=False))


def fitted(place: torch.device, config: TrainingConfig, **given: Any) -> tuple[torch.Tensor, list[Any]]:
    """Return the weights and the history of a training."""
    network, training, validation, objective = setting(place, **given)
    torch.manual_seed(1)
    history = train(network, training, validation, objective, config, place, nullcontext(id))
    return torch.cat([p.detach().cpu().flatten() for p in network.parameters()]), history


@pytest.mark.long
@pytest.mark.parametrize(
    ("config", "given"),
    [({}, {}), ({"optimizer": "adam", "clip": None}, {"loss": "normal"}), ({"optimizer": "sgd"}, {"loss": "quantile"}),
     ({"schedule": "plateau"}, {"members": 2, "dropout": 0.3}), ({}, {"cell": "lstm", "layers": 2, "residual": True}),
     ({}, {"cell": "conv1d", "loss": "laplace"})],
    ids=str,
)  # fmt: skip
def test_captured_steps_learn_what_the_host_learns(device: Gpu, config: dict, given: dict) -> None:
    plan = TrainingConfig(**{"batch_size": 16, "max_epochs": 4, "learning_rate": 0.02, **config})
    (weights, history), (theirs, expected) = (fitted(place, plan, **given) for place in (DEVICE, CPU))
    assert device.graphs == 3  # of whole batches, of the last one, which is shorter, and of validation
    assert device.replays == 12  # of 16 steps and 5 scores; each three times by operations first
    assert torch.allclose(weights, theirs, rtol=1e-5, atol=1e-6)
    for name in ("train_loss", "valid_loss"):
        ours, others = ([getattr(epoch, name) for epoch in each[1:]] for each in (history, expected))
        assert ours == pytest.approx(others, rel=1e-5)


def recorded(place: torch.device, pooling: str = "mean", **more: Any) -> tuple[Any, ...]:
    """Return a network for recordings of 5 to 12 steps, these recordings, and the loss, on a device."""
    random, lengths = np.random.default_rng(0), np.arange(40) % 8 + 5
    offsets = np.append(0, lengths.cumsum())
    augmentation = Augmentation(jitter=0.1, scale=0.1, time_warp=0.2, rotation=5.0, crop=0.1)
    how = {"augmentation": augmentation, "mixup": 0.2, "device": place, **more}
    data = SequenceDataset(random.normal(size=(offsets[-1], 3)), offsets, np.arange(40) % 3, **how)
    shape = Architecture("gru", 4, segment=2, bidirectional=pooling != "last")
    network = SequenceNetwork(shape, 3, pooling, True, torch.zeros(3), 12).to(place)
    return network, data, CrossEntropy(torch.ones(3)).to(place)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["windows", "members", "mean", "last", "max", "attention"])
def test_nothing_in_an_epoch_waits_for_the_device(device: Gpu, kind: str) -> None:
    if kind in ("windows", "members"):
        network, training, _, objective = setting(DEVICE, members=1 + (kind == "members"))
    else:
        network, training, objective = recorded(DEVICE, kind)
    plan = TrainingConfig(8, max_epochs=3, learning_rate=0.02)
    learn = learner(network, training, objective, make_optimizer(network, "adamw", 0.02), plan, DEVICE)
    for _ in range(3):
        order = [(index,) * network.members for index in training.shuffled(8, 4)]
        device.strict = True
        losses = learn(order, [0.02] * len(order))
        device.strict = False
        assert torch.isfinite(losses.cpu()).all()


@pytest.mark.long
@pytest.mark.parametrize("anchor", ["auto", (4, 6), "none"])
def test_a_whole_fit_of_a_forecaster_is_that_of_the_host(
    device: Gpu, anchor: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tsforecast")
    steps = {"waves": np.float64(np.round(wave(90), 1)), "kind": np.tile(["a", "b", "c"], 30)}
    frame = pd.DataFrame(steps | {"day": pd.date_range("2024-01-01", periods=90)})
    panel = Panel.from_frame(frame[:87], time="day", target="waves", future="kind")
    found = []
    for place in ("meta", "cpu"):
        settings = {"window": 24, "units": 4, "max_epochs": 6, "kernels": "off", "loss": "normal"}
        model = NeuralForecaster("gru", horizon=3, device=place, anchor=anchor, random_state=0, **settings)
        found.append(model.fit(panel).predict(future=frame[87:].drop(columns="waves"))["waves"])
    assert np.allclose(*(one.to_numpy() for one in found))
    assert device.graphs
    assert (model.blend_ is not None) == (anchor == "auto")
    assert "not captured" not in caplog.text


@pytest.mark.long
@pytest.mark.parametrize("given", [{}, {"bidirectional": True}, {"norm": "batch"}])
def test_a_whole_fit_of_a_classifier_is_that_of_the_host(device: Gpu, given: dict) -> None:
    random = np.random.default_rng(0)
    recordings = [random.normal(size=(5 + i % 4, 3)) + i % 2 for i in range(24)]
    found = []
    for place in ("meta", "cpu"):
        settings = {"units": 4, "max_epochs": 3, "kernels": "off", "random_state": 0, **given}
        model = NeuralClassifier("gru", device=place, **settings).fit(recordings, np.arange(24) % 2)
        found.append(model.predict_proba(recordings))
    assert np.allclose(*found, atol=1e-5)


@pytest.mark.long
def test_what_cannot_be_captured_goes_on_by_operations_and_the_log_has_the_reason(
    device: Gpu, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    plan = TrainingConfig(16, max_epochs=4, learning_rate=0.02)
    expected = fitted(CPU, plan)[0]
    given = ForecastNetwork.prepare
    monkeypatch.setattr(ForecastNetwork, "prepare", lambda *args: float(args[1].sum()) and given(*args))
    with caplog.at_level(logging.INFO, "tsforecast"):
        weights = fitted(DEVICE, plan)[0]
    assert torch.allclose(weights, expected, rtol=1e-5, atol=1e-6)
    assert not device.graphs
    lines = [record.getMessage() for record in caplog.records if "captured" in record.getMessage()]
    assert len(lines) == 3  # for each of what else is captured
    assert lines[0].startswith("a step on the GPU is not captured as a graph: ")


def test_steps_are_captured_on_a_gpu_alone_and_where_all_batches_have_one_shape() -> None:
    windows, recordings = setting(CPU)[1], recorded(CPU)[1]
    assert loop.captures(windows, torch.device("cuda", 1))
    assert not loop.captures(windows, CPU)
    assert not loop.captures(recordings, torch.device("cuda"))
