"""The loop shuffles, steps, scores, stops and leaves the network with its best weights."""

from __future__ import annotations

import copy
from contextlib import nullcontext

import numpy as np
import pytest
import torch

from tests.helpers.forecasters import options, wave
from tsforecast.data.windows import Windows, shuffled
from tsforecast.errors import TrainingError, TrainingWarning
from tsforecast.estimators.network import NetworkEstimator
from tsforecast.estimators.registry import make
from tsforecast.networks.encoders import use_kernels
from tsforecast.networks.forecast import ForecastNetwork
from tsforecast.networks.layers import Architecture
from tsforecast.networks.losses import LOSSES, Objective
from tsforecast.training import loop
from tsforecast.training.history import Epoch, best_epoch
from tsforecast.training.loop import TrainingConfig, train
from tsforecast.training.optim import clip, make_optimizer, rate_share

CPU = torch.device("cpu")
OPTIMIZERS, SCHEDULES = (options(NetworkEstimator, name) for name in ("optimizer", "schedule"))
MAE = Objective(LOSSES["mae"], None)


def setting(truth: np.ndarray | None = None) -> tuple[ForecastNetwork, Windows, Windows]:
    torch.manual_seed(0)
    values = (wave(90) - 12)[:, None]
    truth = values if truth is None else truth
    offsets = np.array([0, 90])
    network = ForecastNetwork(Architecture("gru", units=4), 1, 1, 8, 3, np.ones((3, 1), dtype=int))
    training = Windows(values, truth, offsets, 8, 3, last=np.array([70]), names=np.array(["load"]))
    return network, training, Windows(values, truth, offsets, 8, 3, first=np.array([70]))


def plan(**changes: object) -> TrainingConfig:
    return TrainingConfig(**{"batch_size": 16, "max_epochs": 4, "learning_rate": 0.02, **changes})


def fit(validate: bool = True, truth: np.ndarray | None = None, **changes: object) -> tuple[ForecastNetwork, list]:
    network, training, validation = setting(truth)
    history = train(network, training, validation if validate else None, MAE, plan(**changes), CPU, nullcontext(id))
    return network, history


def score(network: ForecastNetwork, windows: Windows) -> float:
    batch = windows.batch(torch.arange(len(windows)))
    with torch.no_grad():
        return float((network(batch.past)[..., 0] - batch.future).abs().mean())


def weights(network: ForecastNetwork) -> torch.Tensor:
    return torch.cat([parameter.detach().ravel() for parameter in network.parameters()])


def test_epoch_zero_scores_the_untrained_network_and_every_epoch_is_reported() -> None:
    network, training, validation = setting()
    naive = score(network, validation)
    seen: list[Epoch] = []
    history = train(network, training, validation, MAE, plan(), CPU, nullcontext(seen.append))
    assert history == seen
    assert [epoch.number for epoch in history] == [0, 1, 2, 3, 4]
    assert history[0].valid_loss == pytest.approx(naive)
    assert history[0].train_loss is None
    assert history[0].skill == pytest.approx(0)
    assert history[4].skill == pytest.approx(1 - history[4].valid_loss / naive, rel=1e-4)


def test_the_network_ends_with_the_weights_of_its_best_epoch() -> None:
    network, history = fit()
    assert best_epoch(history).number > 0
    assert score(network, setting()[2]) == pytest.approx(best_epoch(history).valid_loss, rel=1e-5)
    truth = np.full((90, 1), 100.0)  # training pulls towards it, and what validates is what it was
    truth[70:] = (wave(90) - 12)[70:, None]
    truth[0] = np.nan
    network, history = fit(truth=truth, learning_rate=1.0)
    assert best_epoch(history).number == 0
    assert score(network, setting(truth)[2]) == pytest.approx(history[0].valid_loss, rel=1e-5)


def test_every_window_is_visited_once_in_an_epoch_in_an_order_that_changes() -> None:
    torch.manual_seed(0)
    first, second = (torch.cat(shuffled(50, 16, 4)) for _ in range(2))
    assert sorted(first.tolist()) == list(range(50))
    assert first.tolist() != second.tolist()
    assert [len(part) for part in shuffled(50, 16, 4)] == [16, 16, 16, 2]


def test_each_member_visits_every_window_once_in_an_order_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network = ForecastNetwork(Architecture("gru", units=4), 1, 1, 8, 3, np.ones((3, 1), dtype=int), members=2)
    _, training, validation = setting()
    seen: list[torch.Tensor] = []
    gather = training.batch
    monkeypatch.setattr(training, "batch", lambda index: seen.append(index) or gather(index))
    train(network, training, validation, MAE, plan(max_epochs=1), CPU, nullcontext(id))
    first, second = (torch.cat(parts).tolist() for parts in (seen[::2], seen[1::2]))
    assert first != second
    assert sorted(first) == sorted(second) == list(range(len(training)))


def test_a_short_epoch_draws_other_windows_each_time() -> None:
    torch.manual_seed(0)
    drawn = [torch.cat(shuffled(500, 16, 3)).tolist() for _ in range(2)]
    assert [len(set(part)) for part in drawn] == [48, 48]
    assert len(set(drawn[0]) & set(drawn[1])) < 20


def test_many_validation_windows_are_thinned_out_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "VALIDATION_WINDOWS", 4)
    windows = setting()[1]
    assert torch.cat(list(loop.evenly(windows))).tolist() == [i * len(windows) // 4 for i in range(4)]


def test_missing_truth_carries_no_loss() -> None:
    truth = (wave(90) - 12)[:, None]
    truth[::3] = np.nan
    _, history = fit(truth=truth)
    assert all(np.isfinite(epoch.valid_loss) for epoch in history)
    assert history[-1].train_loss < history[1].train_loss


@pytest.mark.parametrize("kernels", [False, True])
def test_a_loss_that_is_no_number_stops_with_step_series_and_advice_and_keeps_the_last_good_weights(
    kernels: bool,
) -> None:
    truth = (wave(90) - 12)[:, None]
    truth[0], truth[40] = np.nan, np.inf  # NaN: a truth of its own, beside the values
    network, training, _ = setting(truth)
    use_kernels(network, kernels)
    before = weights(network)
    with pytest.raises(TrainingError) as caught:
        train(network, training, None, MAE, plan(batch_size=1000), CPU, nullcontext(id))
    assert str(caught.value) == (
        "the training loss must stay a number: it became inf in epoch 1, step 1 of 1, on a batch from series 'load'; "
        "use a learning_rate below 0.02 or look for extreme values there. The weights of epoch 0 are kept"
    )
    assert torch.equal(weights(network), before)


def test_an_interrupt_keeps_the_best_so_far_and_says_so() -> None:
    network, training, validation = setting()

    def stop(epoch: Epoch) -> None:
        if epoch.number == 3:
            raise KeyboardInterrupt

    with pytest.warns(TrainingWarning, match=r"interrupted in epoch 4: the weights of epoch \d, the best so far, are"):
        history = train(network, training, validation, MAE, plan(max_epochs=50), CPU, nullcontext(stop))
    assert len(history) == 4
    assert score(network, validation) == pytest.approx(best_epoch(history).valid_loss, rel=1e-5)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weights_decay_and_biases_do_not(name: str) -> None:
    network = setting()[0]
    groups = make_optimizer(network, name, 0.02, weight_decay=0.1).param_groups
    assert [group["weight_decay"] for group in groups] == [0.1, 0.0]
    for group, high in zip(groups, (True, False), strict=True):
        sizes = [p.numel() for p in network.parameters() if (p.ndim > 1) == high]
        assert [p.shape for p in group["params"]] == [(sum(sizes),)]


@pytest.mark.long
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_parameters_laid_flat_move_as_torch_moves_each(name: str) -> None:
    """Clipped and decayed, as by torch's own optimiser with `clip_grad_norm_`."""
    kind, named = {"adamw": (torch.optim.AdamW, {}), "adam": (torch.optim.Adam, {})}.get(
        name, (torch.optim.SGD, {"momentum": 0.9})
    )
    flat = setting()[0]
    usual = copy.deepcopy(flat)
    decays = [p for p in usual.parameters() if p.ndim > 1]
    others = [p for p in usual.parameters() if p.ndim <= 1]
    theirs = kind([{"params": decays, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}], lr=0.01, **named)
    ours = make_optimizer(flat, name, 0.01, weight_decay=0.1)
    x, y = torch.randn(8, 8, 1), torch.randn(8, 3, 1, 1)
    for _ in range(5):
        for largest in (0.1, 1e3):
            for network, optimizer in ((flat, ours), (usual, theirs)):
                optimizer.zero_grad()
                (network(x) - y).square().sum().backward()
            clip(ours, largest)
            assert 0.1 < torch.nn.utils.clip_grad_norm_(list(usual.parameters()), largest) < 1e3
            for optimizer in (ours, theirs):
                optimizer.step()
    for a, b in zip(flat.parameters(), usual.parameters(), strict=True):
        assert torch.allclose(a, b, rtol=1e-5, atol=1e-6)


def test_a_trained_network_has_parameters_of_their_own_and_no_gradients() -> None:
    parameters = list(fit()[0].parameters())
    assert len({p.untyped_storage().data_ptr() for p in parameters}) == len(parameters)
    assert all(p.grad is None and p.untyped_storage().nbytes() == 4 * p.numel() for p in parameters)


def test_decay_makes_weights_smaller() -> None:
    assert weights(fit(weight_decay=5.0, validate=False)[0]).norm() < weights(fit(validate=False)[0]).norm()


@pytest.mark.long
@pytest.mark.sample(2)
@pytest.mark.parametrize(
    ("before", "after"),
    [({}, {"optimizer": "adam"}), ({}, {"optimizer": "sgd"}), ({}, {"schedule": "cosine"}),
     ({}, {"schedule": "constant"}), ({}, {"schedule": "plateau"}), ({}, {"mixed_precision": True}),
     ({}, {"steps_per_epoch": 2}), ({}, {"batch_size": 8}), ({}, {"stop": 2}), ({}, {"weight_decay": 0.1}),
     ({"optimizer": "sgd", "clip": 1e-3}, {"optimizer": "sgd", "clip": None})],
    ids=str,
)  # fmt: skip
def test_every_part_of_a_plan_changes_the_weights(before: dict, after: dict) -> None:
    first, second = (weights(fit(validate=False, **{"weight_decay": 0.5, **part})[0]) for part in (before, after))
    assert not torch.equal(first, second)


@pytest.mark.long
@pytest.mark.sample(5)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_optimizer_learns_on_every_schedule(optimizer: str, schedule: str) -> None:
    rate = 0.2 if optimizer == "sgd" else 0.02
    _, history = fit(optimizer=optimizer, schedule=schedule, learning_rate=rate, max_epochs=12)
    assert min(epoch.valid_loss for epoch in history) < 0.9 * history[0].valid_loss


@pytest.mark.long
def test_the_rate_follows_torch_s_one_cycle() -> None:
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=1001, cycle_momentum=False)
    for step in range(1001):
        assert rate_share("one-cycle", step / 1000, [], 1) == pytest.approx(theirs.get_last_lr()[0], abs=0.005)
        optimizer.step()
        if step < 1000:
            theirs.step()


def test_the_rate_of_a_cosine_rises_over_a_tenth_and_falls_to_zero() -> None:
    shares = [rate_share("cosine", done, [], 1) for done in (0.0, 0.05, 0.1, 0.55, 1.0)]
    assert shares == pytest.approx([0.0, 0.5, 1.0, 0.5, 0.0])


def test_a_plateau_is_so_many_epochs_without_a_better_loss() -> None:
    losses = [3.0, 2.0, 2.5, 2.1, 1.9, 2.0, 2.0]
    history = [Epoch(number, None, loss, 0.1, 0.0) for number, loss in enumerate(losses)]
    shares = [rate_share("plateau", 0.5, history[:epochs], 2) for epochs in (3, 4, 6, 7)]
    assert shares == pytest.approx([1.0, 0.1, 0.1, 0.01])


def test_a_plateau_divides_the_rate_by_ten() -> None:
    _, history = fit(schedule="plateau", learning_rate=1.0, max_epochs=30, patience=8)
    rates = [epoch.learning_rate for epoch in history[1:]]
    assert rates[0] == 1.0
    assert 0.1 in [pytest.approx(rate) for rate in rates]


def test_training_stops_early_on_the_schedule_of_the_whole() -> None:
    _, whole = fit(validate=False, max_epochs=4)
    _, part = fit(validate=False, max_epochs=4, stop=2)
    assert [(e.number, e.train_loss, e.learning_rate) for e in part] == [
        (e.number, e.train_loss, e.learning_rate) for e in whole[:3]
    ]


def test_the_best_of_equal_epochs_is_the_first_and_without_scores_the_last() -> None:
    assert best_epoch([Epoch(n, None, loss, 0.0, 0.0) for n, loss in enumerate([2.0, 1.0, 1.0])]).number == 1
    assert best_epoch([Epoch(n, None, None, 0.0, 0.0) for n in range(3)]).number == 2


def test_a_likelihood_that_is_out_of_reach_of_the_naive_one_does_not_stop_a_training() -> None:
    y = np.r_[np.full(100, 5.0), np.full(20, 1e9)]
    model = make("gru", window=10, horizon=3, units=4, max_epochs=3, loss="poisson", random_state=0).fit(y)
    assert all(np.isfinite(epoch.skill) for epoch in model.history_)
