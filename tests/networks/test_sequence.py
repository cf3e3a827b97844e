"""Pooling and cross entropy are those of the slow way."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.helpers.forecasters import options
from tsforecast.networks.layers import Pooling
from tsforecast.networks.sequence import UNLABELLED, CrossEntropy, SequenceBatch
from tsforecast.sequences.neural import NeuralClassifier


@pytest.mark.parametrize("name", options(NeuralClassifier, "pooling"))
def test_pooling_sums_up_the_steps_of_each_recording_alone(name: str) -> None:
    torch.manual_seed(0)
    states, lengths = torch.randn(6, 9, 4), torch.tensor([1, 9, 4, 2, 8, 5])
    pooling = Pooling(name, 4)
    together = pooling(states, lengths)
    for row, length in enumerate(lengths.tolist()):
        own = states[row, :length]
        slow = {
            "mean": own.mean(dim=0),
            "max": own.amax(dim=0),
            "mean-max": torch.cat([own.mean(dim=0), own.amax(dim=0)]),
            "last": own[-1],
        }
        expected = slow.get(name)
        if expected is None:
            share = torch.exp(pooling.score(own))
            expected = (own * share / share.sum()).sum(dim=0)
        assert torch.allclose(together[row], expected, atol=1e-6)
    if name == "last":
        both = Pooling(name, 4, bidirectional=True)(states, lengths)
        assert torch.allclose(both[2], (states[2, 0] + states[2, 3]) / 2)


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_cross_entropy_is_that_of_the_formula(classes: int, smoothing: float) -> None:
    random = np.random.default_rng(0)
    logits, labels = random.normal(size=(20, classes)), random.integers(classes, size=20)
    weights = random.uniform(0.5, 2, size=classes)
    log_share = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    truth = (1 - smoothing) * np.eye(classes)[labels] + smoothing / classes
    expected = (weights[labels] * -(truth * log_share).sum(axis=1)).sum()
    outputs = logits[:, 1:] - logits[:, :1] if classes == 2 else logits
    judge = CrossEntropy(torch.from_numpy(weights).float(), smoothing)
    batch = SequenceBatch(torch.zeros(20, 1, 1), None, torch.from_numpy(labels))
    total, count = judge.loss_of(torch.from_numpy(outputs), batch)
    assert (float(total), int(count)) == (pytest.approx(expected, rel=1e-5), 20)


@pytest.mark.parametrize("outputs", [1, 4])
@pytest.mark.parametrize("focal", [0.0, 2.0])
def test_steps_without_a_label_and_padding_carry_no_loss_and_no_slope(outputs: int, focal: float) -> None:
    torch.manual_seed(0)
    logits = torch.randn(3, 7, outputs, requires_grad=True)
    truth = torch.randint(max(2, outputs), (3, 7))
    truth[0, 4:], truth[1, 2] = UNLABELLED, UNLABELLED
    labelled = truth != UNLABELLED
    judge = CrossEntropy(torch.ones(max(2, outputs)), 0.1, focal)
    total, count = judge.loss_of(logits, SequenceBatch(torch.zeros(3, 7, 1), None, truth))
    alone, _ = judge.loss_of(logits[labelled], SequenceBatch(torch.zeros(17, 1, 1), None, truth[labelled]))
    assert int(count) == 17
    assert total.item() == pytest.approx(alone.item(), rel=1e-5)
    total.backward()
    assert logits.grad is not None
    assert (logits.grad[~labelled] == 0).all()
    assert (logits.grad[labelled] != 0).all()
