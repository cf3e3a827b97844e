"""Train a network on windows."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tsforecast.data.windows import Windows
from tsforecast.errors import TsForecastError
from tsforecast.networks.forecast import ForecastNetwork
from tsforecast.training.history import Epoch, best_epoch
from tsforecast.training.schedules import one_cycle

PREDICT_ROWS = 4096  # windows in one batch when nothing has to be remembered for gradients


@dataclass(frozen=True)
class Plan:
    """How to train: what the user can set.

    Attributes
    ----------
    batch_size, max_epochs : int
    learning_rate : float
        The highest one; see `tsforecast.training.schedules.one_cycle`.
    patience : int or None
        Stop after so many epochs without a better validation loss.
    weight_decay : float
        On weights, not on biases [AdamW: Loshchilov and Hutter 2017, arXiv 1711.05101].
    clip : float
        Largest norm of the gradient.
    """

    batch_size: int
    max_epochs: int
    learning_rate: float
    patience: int | None
    weight_decay: float = 1e-4
    clip: float = 1.0


def train(
    network: ForecastNetwork,
    windows: Windows,
    validation: Windows | None,
    plan: Plan,
    device: torch.device,
    report: Callable[[Epoch], None],
) -> list[Epoch]:
    """Fit `network` in place and leave it with the weights of its best epoch.

    Random numbers come from torch's global generator; the caller seeds it.

    Returns
    -------
    list of Epoch
        Epoch 0, the untrained network, is scored and may be the best.

    Raises
    ------
    TsForecastError
        When the loss is no longer a number.
    """
    steps = math.ceil(len(windows) / plan.batch_size)
    optimizer = _optimizer(network, plan)
    history = [Epoch(0, None, _score(network, validation), 0.0, 0.0)]
    best = copy.deepcopy(network.state_dict())
    report(history[0])
    for number in range(1, plan.max_epochs + 1):
        began = time.perf_counter()
        network.train()
        losses, rate = torch.zeros((), device=device), 0.0
        for step, index in enumerate(_shuffled(len(windows), plan.batch_size, device)):
            rate = _set_rate(optimizer, plan, (step + (number - 1) * steps) / (steps * plan.max_epochs))
            error, count = _errors(network, windows, index)
            loss = error / count.clamp(min=1)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), plan.clip)
            optimizer.step()
            losses += loss.detach()
        train_loss = float(losses) / steps
        if not math.isfinite(train_loss):
            raise TsForecastError(
                f"the training loss must stay a number: it became {train_loss} in epoch {number}; "
                f"use a learning_rate below {plan.learning_rate:g} or look for extreme values in the data"
            )
        seconds = time.perf_counter() - began
        epoch = Epoch(number, train_loss, _score(network, validation), rate, seconds)
        history.append(epoch)
        report(epoch)
        leader = best_epoch(history)
        if leader is epoch:
            best = copy.deepcopy(network.state_dict())
        if plan.patience is not None and validation is not None and number - leader.number >= plan.patience:
            break
    network.load_state_dict(best)
    network.eval()
    return history


def _optimizer(network: nn.Module, plan: Plan) -> torch.optim.Optimizer:
    weights = [p for p in network.parameters() if p.ndim > 1]
    biases = [p for p in network.parameters() if p.ndim <= 1]
    groups = [{"params": weights, "weight_decay": plan.weight_decay}, {"params": biases, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=plan.learning_rate)


def _set_rate(optimizer: torch.optim.Optimizer, plan: Plan, done: float) -> float:
    rate = plan.learning_rate * one_cycle(done)
    for group in optimizer.param_groups:
        group["lr"] = rate
    return rate


def _shuffled(count: int, batch_size: int, device: torch.device) -> Iterator[Tensor]:
    order = torch.randperm(count, dtype=torch.int32)  # int32: half the memory for millions of windows
    for begin in range(0, count, batch_size):
        yield order[begin : begin + batch_size].long().to(device)


def _errors(network: ForecastNetwork, windows: Windows, index: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sum of absolute errors over the targets that are there, and their number."""
    batch = windows.batch(index)
    error = network.forecast(batch.past, batch.ahead, batch.static) - batch.future  # (B, H, K)
    there = ~torch.isnan(batch.future)
    return torch.where(there, error, 0.0).abs().sum(), there.sum()


@torch.inference_mode()
def _score(network: ForecastNetwork, validation: Windows | None) -> float | None:
    """Return the mean absolute error over all validation windows; None without any truth to compare with."""
    if validation is None:
        return None
    network.eval()
    device = next(network.parameters()).device
    total, count = 0.0, 0
    for index in torch.split(torch.arange(len(validation), device=device), PREDICT_ROWS):
        error, number = _errors(network, validation, index)
        total, count = total + float(error), count + int(number)
    return total / count if count else None
