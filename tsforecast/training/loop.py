"""Train a network: epochs of steps, a score after each, and the best one kept."""

from __future__ import annotations

import copy
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from tsforecast.errors import TrainingError, TrainingWarning, shorten
from tsforecast.training.batches import Examples, Objective
from tsforecast.training.checkpoint import Checkpoints, Training
from tsforecast.training.history import Epoch, best_epoch
from tsforecast.training.optim import TrainingConfig, clip, lay_apart, make_optimizer, rate_share

PREDICT_ROWS = 1_024  # examples in one batch when nothing has to be remembered for gradients
VALIDATION_WINDOWS = 4_096  # more are thinned out evenly: the mean over these says as much


def train(
    network: nn.Module,
    examples: Examples,
    validation: Examples | None,
    objective: Objective,
    plan: TrainingConfig,
    device: torch.device,
    report: Callable[[Epoch], None],
    checkpoints: Checkpoints | None = None,
) -> list[Epoch]:
    """Fit `network` in place and leave it with the weights of its best epoch.

    Random numbers come from torch's global generator; the caller seeds it. Ctrl-C ends training early, with a
    warning, and keeps the best so far.

    Returns
    -------
    list of Epoch
        Epoch 0, the untrained network, is scored and may be the best.

    Raises
    ------
    TrainingError
        When a loss is no longer a number; the network then has the last good weights.
    """
    start = _score(network, validation, objective)
    naive = _score(network, validation, objective, naive=True)
    history = [Epoch(0, None, start, 0.0, 0.0, _skill(start, naive))]
    training = Training(network, make_optimizer(network, plan), history, copy.deepcopy(network.state_dict()))
    if checkpoints:
        checkpoints.resume(training)
    report(history[-1])
    try:
        while not finished(history, plan, validation is not None):
            began, number = time.perf_counter(), len(history)
            train_loss, rate = _pass(training, examples, objective, plan, device)
            score = _score(network, validation, objective)
            seconds = time.perf_counter() - began
            history.append(Epoch(number, train_loss, score, rate, seconds, _skill(score, naive)))
            if best_epoch(history) is history[-1]:
                training.best = copy.deepcopy(network.state_dict())
            if checkpoints:
                checkpoints.keep(training, done=finished(history, plan, validation is not None))
            report(history[-1])
    except KeyboardInterrupt:
        best = best_epoch(history).number
        warnings.warn(
            f"training was interrupted in epoch {len(history)}: the weights of epoch {best}, the best so far, are kept",
            TrainingWarning,
            stacklevel=_levels_to_the_caller(),
        )
    finally:
        network.load_state_dict(training.best)
        lay_apart(network.parameters())
        network.eval()
    return history


def _levels_to_the_caller() -> int:
    """Return the `stacklevel` with which a warning of the function that asks shows the line outside this package."""
    frame, level = sys._getframe(1), 1
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] == "tsforecast":
        frame, level = frame.f_back, level + 1
    return level


def finished(history: list[Epoch], plan: TrainingConfig, validates: bool) -> bool:
    """Tell whether training is over: all epochs are done, or patience is."""
    last = history[-1].number
    waited = last - best_epoch(history).number
    out_of_patience = plan.patience is not None and validates and waited >= plan.patience
    return last >= plan.epochs or out_of_patience


def _pass(
    training: Training, examples: Examples, objective: Objective, plan: TrainingConfig, device: torch.device
) -> tuple[float, float]:
    """Train for one epoch; return the mean loss and the last learning rate."""
    network, optimizer, number = training.network, training.optimizer, len(training.history)
    steps = plan.steps(len(examples))
    losses, rate = torch.zeros(steps, device=device), 0.0
    order = examples.shuffled(plan.batch_size, steps)
    precision = torch.autocast(device.type, torch.bfloat16) if plan.mixed_precision else nullcontext()
    network.train()
    for step, index in enumerate(order):
        done = (step + (number - 1) * steps) / (steps * plan.max_epochs)
        rate = plan.learning_rate * rate_share(plan.schedule, done, training.history, plan.plateau)
        for group in optimizer.param_groups:
            group["lr"] = rate
        with precision:
            batch = examples.batch(index.to(device))
            error, count = objective.loss_of(network(*batch.inputs), batch)
            loss = error / count.clamp(min=1)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if plan.clip is not None:
            clip(optimizer, plan.clip)
        optimizer.step()
        losses[step] = loss.detach()  # looked at once an epoch: a device need not be waited for
    broken = (~torch.isfinite(losses)).nonzero()
    if len(broken):
        step = int(broken[0])
        owners = sorted(set(examples.owner(order[step].to(device)).tolist()))
        where = shorten([repr(str(examples.names[i])) for i in owners])
        raise TrainingError(
            f"the training loss must stay a number: it became {float(losses[step])} in epoch {number}, step {step + 1} "
            f"of {steps}, on a batch from {examples.kind} {where}; use a learning_rate below {plan.learning_rate:g} or "
            f"look for extreme values there. The weights of epoch {best_epoch(training.history).number} are kept"
        )
    return float(losses.mean()), rate


@torch.inference_mode()
def _score(network: nn.Module, validation: Examples | None, objective: Objective, naive: bool = False) -> float | None:
    """Return the mean loss over the validation examples; None without any truth to compare with."""
    if validation is None:
        return None
    network.eval()
    forecast: Any = network.naive if naive else network
    total, count = 0.0, 0
    for index in _evenly(validation):
        batch = validation.batch(index)
        error, number = objective.loss_of(forecast(*batch.inputs), batch)
        total, count = total + float(error), count + int(number)
    return total / count if count else None


def _evenly(examples: Examples) -> Iterator[Tensor]:
    chosen = min(len(examples), VALIDATION_WINDOWS)
    index = torch.arange(chosen, device=examples.device) * len(examples) // chosen
    yield from torch.split(index, PREDICT_ROWS)


def _skill(score: float | None, naive: float | None) -> float | None:
    return None if score is None or not naive else 1 - score / naive
