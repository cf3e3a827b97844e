"""`forward` is what is trained and what predicts: hooks fire in both, and an exported network gives its numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.helpers.classifiers import gestures, quick
from tests.helpers.forecasters import small, wave
from tsforecast.estimators.registry import NETWORKS
from tsforecast.networks.forecast import ForecastNetwork
from tsforecast.networks.layers import CELL_NAMES, Architecture
from tsforecast.networks.losses import LOSSES, Loss
from tsforecast.sequences.neural import Conv1DClassifier, GRUClassifier, LSTMClassifier, RNNClassifier
from tsforecast.training.history import Epoch

CLASSIFIERS = (RNNClassifier, GRUClassifier, LSTMClassifier, Conv1DClassifier)


def watched(model: Any, *data: Any) -> tuple[list[bool], list[Tensor]]:
    """Fit a model and return for each forward pass after epoch 0 whether it trained, and a list of later outputs."""
    trained: list[bool] = []
    outputs: list[Tensor] = []

    def hook(module: torch.nn.Module, inputs: object, output: Tensor) -> None:
        trained.append(module.training)
        outputs.append(output.detach())

    def on_epoch(epoch: Epoch) -> None:
        if epoch.number == 0:
            model.network_.register_forward_hook(hook)

    model.fit(*data, on_epoch=on_epoch)
    during = list(trained)
    outputs.clear()
    return during, outputs


@pytest.mark.parametrize("name", NETWORKS)
def test_hooks_of_a_forecast_network_fire_in_fit_and_in_predict(name: str) -> None:
    model = small(name)
    during, outputs = watched(model, wave())
    # In each epoch one batch that trains, one that validates; then both ends of the shares of corrections, twice.
    assert during == [True, False] * 2 + [False] * 4
    assert model.predict().shape == (3,)
    assert [output.shape[1:] for output in outputs] == [(3, 1, 1)]


@pytest.mark.parametrize("cls", CLASSIFIERS)
def test_hooks_of_a_classifier_network_fire_in_fit_and_in_predict(cls: type) -> None:
    model, (sequences, labels) = quick(cls, max_epochs=2, calibrate=False), gestures()
    during, outputs = watched(model, sequences, labels)
    assert {True, False} == set(during)
    proba = model.predict_proba(sequences[:1])
    assert torch.softmax(outputs[0][0].double(), dim=0).numpy() == pytest.approx(proba[0])


class TwoOutputs(Loss):
    """A level and another number, to which no anchor is added."""

    outputs = 2


@pytest.mark.parametrize("cell", CELL_NAMES)
@pytest.mark.parametrize("loss", [LOSSES["mae"], TwoOutputs()])
@pytest.mark.parametrize("instance_norm", [False, True])
@pytest.mark.parametrize("lags", [None, [[1], [1]], [[3], [2]], [[3, 4], [2, 3]]])
def test_a_forecast_is_the_anchor_plus_corrections(
    cell: str, loss: Loss, instance_norm: bool, lags: list[list[int]] | None
) -> None:
    torch.manual_seed(0)
    steps = None if lags is None else np.array(lags)
    architecture = Architecture(cell, units=4)
    network = ForecastNetwork(architecture, 2, 2, 8, 2, steps, instance_norm=instance_norm, loss=loss).eval()
    torch.nn.init.normal_(network.decoder.head.weight)
    past = torch.randn(5, 8, 2)
    corrections = network(past, add_anchor=False)
    expected = corrections.clone()
    if steps is not None:
        expected[..., 0] += torch.stack([past[:, 8 - row].mean(1) for row in steps], dim=1)
    assert corrections.abs().min() > 0
    assert torch.allclose(network(past), expected, atol=1e-6)


# torch says so of its own recurrent modules, whose list of weights it makes again
exports = pytest.mark.filterwarnings("ignore:The tensor attributes self.encoder:UserWarning")


@pytest.mark.thorough
@exports
@pytest.mark.parametrize("name", NETWORKS)
def test_an_exported_forecast_network_gives_equal_numbers(name: str) -> None:
    network, past = small(name).fit(wave()).network_.eval(), torch.randn(4, 12, 1)
    exported = torch.export.export(network, (past,)).module()
    assert torch.allclose(exported(past), network(past), atol=1e-6)


@pytest.mark.thorough
@exports
@pytest.mark.parametrize("cls", CLASSIFIERS)
def test_an_exported_classifier_network_gives_equal_numbers(cls: type) -> None:
    network, steps = quick(cls, max_epochs=1).fit(*gestures()).network_.eval(), torch.randn(2, 20, 2)
    exported = torch.export.export(network, (steps,)).module()
    assert torch.allclose(exported(steps), network(steps), atol=1e-6)
