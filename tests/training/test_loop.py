"""The loop shuffles, steps, scores, stops and leaves the network with its best weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.conftest import wave
from tsforecast.data.windows import Windows
from tsforecast.errors import TsForecastError
from tsforecast.networks.forecast import ForecastNetwork
from tsforecast.training.history import Epoch, best_epoch
from tsforecast.training.loop import Plan, _optimizer, _shuffled, train
from tsforecast.training.schedules import one_cycle

CPU = torch.device("cpu")


def setting(truth: np.ndarray | None = None) -> tuple[ForecastNetwork, Windows, Windows]:
    torch.manual_seed(0)
    values = (wave(90) - 12)[:, None]
    truth = values if truth is None else truth
    offsets = np.array([0, 90])
    network = ForecastNetwork("gru", 1, 1, 8, 3, 4, 1, 0.0, np.array([1, 1, 1]))
    training = Windows(values, truth, offsets, 8, 3, last=np.array([70]))
    return network, training, Windows(values, truth, offsets, 8, 3, first=np.array([70]))


def plan(**changes: object) -> Plan:
    return Plan(**{"batch_size": 16, "max_epochs": 4, "learning_rate": 0.02, "patience": None, **changes})


def score(network: ForecastNetwork, windows: Windows) -> float:
    batch = windows.batch(torch.arange(len(windows)))
    with torch.no_grad():
        return float((network.forecast(batch.past) - batch.future).abs().mean())


def test_epoch_zero_scores_the_untrained_network_and_every_epoch_is_reported() -> None:
    network, training, validation = setting()
    naive = score(network, validation)
    seen: list[Epoch] = []
    history = train(network, training, validation, plan(), CPU, seen.append)
    assert history == seen
    assert [epoch.number for epoch in history] == [0, 1, 2, 3, 4]
    assert history[0].valid_loss == pytest.approx(naive)
    assert history[0].train_loss is None


def test_the_network_ends_with_the_weights_of_its_best_epoch() -> None:
    for rate in (0.02, 3.0):  # the second one ruins the network, so that epoch 0 is the best
        network, training, validation = setting()
        history = train(network, training, validation, plan(learning_rate=rate), CPU, lambda epoch: None)
        assert score(network, validation) == pytest.approx(best_epoch(history).valid_loss, rel=1e-5)
    assert best_epoch(history).number == 0


def test_every_window_is_visited_once_in_an_epoch_in_an_order_that_changes() -> None:
    torch.manual_seed(0)
    first, second = (torch.cat(list(_shuffled(50, 16, CPU))) for _ in range(2))
    assert sorted(first.tolist()) == list(range(50))
    assert first.tolist() != second.tolist()
    assert [len(part) for part in _shuffled(50, 16, CPU)] == [16, 16, 16, 2]


def test_missing_truth_carries_no_loss() -> None:
    truth = (wave(90) - 12)[:, None]
    truth[::3] = np.nan
    network, training, validation = setting(truth)
    history = train(network, training, validation, plan(), CPU, lambda epoch: None)
    assert all(np.isfinite(epoch.valid_loss) for epoch in history)
    assert history[-1].train_loss < history[1].train_loss


def test_a_loss_that_is_no_number_stops_with_the_epoch_and_advice() -> None:
    truth = np.full((90, 1), np.inf)
    truth[0] = np.nan  # a truth of its own, beside the values
    network, training, _ = setting(truth)
    with pytest.raises(TsForecastError) as caught:
        train(network, training, None, plan(), CPU, lambda epoch: None)
    assert str(caught.value).startswith(
        "the training loss must stay a number: it became inf in epoch 1; use a learning_rate"
    )


def test_weights_decay_and_biases_do_not() -> None:
    groups = _optimizer(setting()[0], plan(weight_decay=0.1)).param_groups
    assert {p.ndim for p in groups[0]["params"]} == {2}
    assert {p.ndim for p in groups[1]["params"]} == {1}
    assert [group["weight_decay"] for group in groups] == [0.1, 0.0]


def test_the_rate_follows_torch_s_one_cycle() -> None:
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=1001, cycle_momentum=False)
    for step in range(1001):
        assert one_cycle(step / 1000) == pytest.approx(theirs.get_last_lr()[0], abs=0.005)
        optimizer.step()
        if step < 1000:
            theirs.step()


def test_the_best_of_equal_epochs_is_the_first_and_without_scores_the_last() -> None:
    assert best_epoch([Epoch(n, None, loss, 0.0, 0.0) for n, loss in enumerate([2.0, 1.0, 1.0])]).number == 1
    assert best_epoch([Epoch(n, None, None, 0.0, 0.0) for n in range(3)]).number == 2
