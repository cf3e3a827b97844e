"""Steps of training as one program of kernels, beside the same steps by torch, whatever the shape of a network."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from numba import njit

from tsforecast.data.windows import Windows
from tsforecast.networks.encoders import use_kernels
from tsforecast.networks.forecast import ForecastNetwork
from tsforecast.networks.kernels import memory, program
from tsforecast.networks.layers import Architecture
from tsforecast.networks.losses import LOSSES, DataScale, Objective
from tsforecast.training.checkpoint import Learn
from tsforecast.training.loop import TrainingConfig, _learn, _step, learner
from tsforecast.training.optim import make_optimizer

SERIES, ROWS, BATCH = 3, 80, 37  # two tiles are full, a third one is not

CASES: list[dict[str, Any]] = [
    {},
    {"cell": "rnn", "units": 17},
    {"cell": "lstm", "window": 24, "horizon": 13},
    {"cell": "lstm", "layers": 3, "residual": True},
    {"cell": "rnn", "layers": 2, "segment": 4},
    {"segment": 12, "horizon": 24},
    {"segment": 3, "horizon": 7, "window": 10, "lag": 4},
    {"window": 60, "units": 64, "layers": 2},  # more steps than stay in a cache
    {"targets": 3},
    {"targets": 3, "channels": "joint", "lag": 3, "segment": 2},
    {"ahead": 2, "others": 1, "static": 2, "segment": 2, "targets": 2},
    {"least": 6, "lag": 4},
    {"gaps": True, "weights": True},
    {"instance_norm": True, "lag": 3},
    {"head_layers": 2},
    {"dropout": 0.3, "layers": 2, "head_layers": 2},
    {"loss": "mse", "optimizer": "adam"},
    {"loss": "huber", "optimizer": "sgd", "clip": None},
    {"loss": "normal", "targets": 2, "weights": True, "gaps": True},
    {"loss": "normal", "instance_norm": True, "channels": "joint", "targets": 2},
    {"loss": "quantile", "instance_norm": True, "gaps": True, "lag": 3},
    {"members": 3, "static": 1, "dropout": 0.2},
]


def made(
    window: int = 12,
    horizon: int = 5,
    targets: int = 1,
    others: int = 0,
    ahead: int = 0,
    static: int = 0,
    least: int | None = None,
    gaps: bool = False,
    weights: bool = False,
    lag: int | None = None,
    instance_norm: bool = False,
    loss: str = "mae",
    members: int = 1,
    optimizer: str = "adamw",
    clip: float | None = 1.0,
    kernels: bool = True,
    dtype: torch.dtype = torch.float32,
    **shape: Any,
) -> tuple[Any, ...]:
    """Return a network with random weights, its windows, and the other arguments of `learner`."""
    rng = np.random.default_rng(0)
    values = 0.1 * rng.normal(size=(SERIES * ROWS, targets + others + ahead)).cumsum(axis=0)
    truth = values[:, :targets].copy()
    if gaps:
        truth[rng.random(truth.shape) < 0.1] = np.nan
    offsets, facts = np.arange(SERIES + 1) * ROWS, rng.normal(size=(SERIES, static))
    windows = Windows(values, truth, offsets, window, horizon, ahead=ahead, static=facts, least=least, dtype=dtype)
    torch.manual_seed(0)
    network = ForecastNetwork(
        Architecture(**{"units": 10, **shape}), values.shape[1], targets, window, horizon,
        lags=None if lag is None else np.full((horizon, 1), lag), ahead=ahead, static=static,
        instance_norm=instance_norm, loss=LOSSES[loss], masked=least is not None, members=members,
    )  # fmt: skip
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    use_kernels(network.to(dtype), kernels)
    one = torch.ones(SERIES, targets)
    scale = DataScale(0 * one, 2 * one, 0 * one, one, one, powered=False)
    objective = Objective(LOSSES[loss], scale, torch.tensor([0.5, 1.0, 1.5]) if weights else None)
    config = TrainingConfig(BATCH, 1, 0.01, optimizer=optimizer, clip=clip)
    return network, windows, objective, make_optimizer(network, optimizer, 0.01), config, torch.device("cpu")


def by_torch(*parts: Any) -> Learn:
    """Return what learns by torch, of the arguments of `learner`."""
    return partial(_learn, partial(_step, *parts), parts[3], parts[5])


def learned(parts: tuple[Any, ...], learn: Learn, steps: int) -> list[torch.Tensor]:
    """Return the losses of so many steps, and weights and biases after them."""
    network, windows, _, optimizer, *_ = parts
    network.train()
    torch.manual_seed(1)
    orders = [
        [batch for _ in range(steps) for batch in windows.shuffled(BATCH, 3)][:steps] for _ in range(network.members)
    ]
    losses = learn(list(zip(*orders, strict=True)), np.linspace(0.001, 0.01, steps).tolist())
    return [losses, *(group["params"][0].detach().clone() for group in optimizer.param_groups)]


def apart(one: torch.Tensor, other: torch.Tensor) -> float:
    """Return the size of a difference beside that of what is expected."""
    return float((one - other).norm() / other.norm().clamp(min=1e-30))


@pytest.mark.long
@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(f"{k}={v}" for k, v in case.items()) or "gru")
def test_losses_gradients_and_weights_are_those_of_torch(case: dict[str, Any]) -> None:
    # Kernels that read one layer draw dropout in the same order; torch's own modules in that of their memory.
    fused = bool(case.get("dropout"))
    ours, theirs = made(**case), made(**case, kernels=fused)
    by_kernels, torchs = learner(*ours), by_torch(*theirs)
    assert isinstance(by_kernels, program.Program)
    found, expected = learned(ours, by_kernels, 20), learned(theirs, torchs, 20)
    assert [apart(*pair) for pair in zip(found, expected, strict=True)] == pytest.approx([0, 0, 0], abs=1e-5)
    if case.get("clip", 1.0) is None:
        slopes = [[group["params"][0].grad for group in parts[3].param_groups] for parts in (ours, theirs)]
        assert [apart(*pair) for pair in zip(*slopes, strict=True)] == pytest.approx([0, 0], abs=1e-5)
    counts = [
        [state["step"].item() for state in parts[3].state.values() if "step" in state] for parts in (ours, theirs)
    ]
    assert counts[0] == counts[1]


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(f"{k}={v}" for k, v in case.items()) or "gru")
@pytest.mark.slow
def test_in_double_precision_they_are_nearly_the_same_numbers(case: dict[str, Any]) -> None:
    case = {name: value for name, value in case.items() if name not in ("dropout", "weights")}
    if case.get("loss") in ("normal", "quantile", "huber"):
        return  # a float32 is among what torch makes of them
    ours, theirs = made(**case, dtype=torch.float64), made(**case, kernels=False, dtype=torch.float64)
    found, expected = learned(ours, learner(*ours), 5), learned(theirs, by_torch(*theirs), 5)
    assert [apart(*pair) for pair in zip(found[1:], expected[1:], strict=True)] == pytest.approx([0, 0], abs=1e-6)


def test_each_member_is_the_network_that_is_trained_alone() -> None:
    together = made(members=3, cell="lstm")
    network = together[0]
    alone = [made(cell="lstm") for _ in range(3)]
    for parts, member in zip(alone, [network, *network.further], strict=True):
        own = dict(member.named_parameters())
        parts[0].load_state_dict({n: p.detach() for n, p in own.items() if not n.startswith("further")}, strict=False)
    batches = [together[1].shuffled(BATCH, 3) for _ in range(3)]
    learner(*together)(list(zip(*batches, strict=True)), [0.01] * 3)
    for parts, own, member in zip(alone, batches, [network, *network.further], strict=True):
        learner(*parts)([[batch] for batch in own], [0.01] * 3)
        trained = dict(member.named_parameters())
        for name, parameter in parts[0].named_parameters():
            torch.testing.assert_close(parameter, trained[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("members", [1, 3])
def test_numbers_do_not_depend_on_the_number_of_threads(members: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "WORTH_SHARING", 1)
    found = []
    for threads in (1, 2, 5):
        parts = made(members=members, cell="gru", layers=2)
        token = memory.allowed.set(threads)
        found.append(learned(parts, learner(*parts), 4))
        memory.allowed.reset(token)
    for other in found[1:]:
        assert all(torch.equal(*pair) for pair in zip(found[0], other, strict=True))


def test_programs_that_train_at_once_do_not_wait_for_each_other_in_a_circle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "WORTH_SHARING", 1)
    programs = [made(members=3) for _ in range(4)]
    orders = [[[batch] * 3 for batch in programs[0][1].shuffled(BATCH, 3)] * 3] * len(programs)
    token = memory.allowed.set(6)  # more than the pool has where there are few cores
    learners = [(copy_context(), learner(*parts)) for parts in programs]
    memory.allowed.reset(token)
    with ThreadPoolExecutor(len(programs)) as pool:
        found = [
            pool.submit(about.run, learn, order, [0.01] * len(order))
            for (about, learn), order in zip(learners, orders, strict=True)
        ]
        losses = [each.result(timeout=60) for each in found]
    assert all(torch.equal(losses[0], other) for other in losses[1:])


@pytest.mark.parametrize("case", [{"targets": 3, "least": 6, "ahead": 2, "static": 2}, {"loss": "normal"}])
def test_windows_that_are_kept_are_those_that_are_made_for_each_batch(
    case: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, made_anew = made(**case), made(**case)
    one, other = learner(*kept), learner(*made_anew)
    found = learned(kept, one, 4)
    monkeypatch.setattr(program, "NUMBERS", 1)
    expected = learned(made_anew, other, 4)
    assert isinstance(one, program.Program)
    assert isinstance(other, program.Program)
    assert one.prepared is not None
    assert other.prepared is None
    assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))


@pytest.mark.parametrize(
    "case",
    [{"norm": "layer"}, {"bidirectional": True}, {"activation": "tanh"}, {"loss": "laplace"}, {"cell": "conv1d"}],
)
def test_other_shapes_stay_with_torch(case: dict[str, Any]) -> None:
    parts = made(**case)
    assert not isinstance(learner(*parts), program.Program)
    assert torch.isfinite(learned(parts, learner(*parts), 2)[0]).all()


def test_frozen_parameters_stay_with_torch() -> None:
    parts = made()
    parts[0].freeze(("encoder.",))
    assert not isinstance(learner(*parts), program.Program)


def test_a_loss_that_is_no_number_is_noted_where_it_arises() -> None:
    parts = made()
    with torch.no_grad():
        parts[0].decoder.head.weight += float("nan")
    assert torch.isnan(learned(parts, learner(*parts), 2)[0]).all()


@pytest.mark.long
def test_slopes_that_vanish_along_many_steps_cost_no_more_time() -> None:
    numbers, seconds = np.zeros(4_096, dtype=np.float32), []
    for first in (1e-3, 1e-39):  # the second is too small for all its digits
        numbers[:] = first
        times = []
        for _ in range(5):
            began = time.perf_counter()
            memory.share(_halved, 1, 0.0, numbers, 2_000)
            times.append(time.perf_counter() - began)
        seconds.append(min(times))
    assert seconds[1] < 3 * seconds[0]
    assert 1e-310 * np.float64(1.0) > 0  # the caller's own setting stays


@njit(nogil=True)  # type: ignore[untyped-decorator]
def _halved(first: int, last: int, numbers: np.ndarray[Any, Any], times: int) -> float:
    """Return a sum of halves of numbers, computed many times."""
    total = np.float32(0)
    for _ in range(times):
        for number in numbers:
            total = total * np.float32(0.5) + number * np.float32(0.5)
    return total
