"""The training loop: epochs of steps, a validation score after each, the weights of the best one."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from tsforecast.data.windows import Windows
from tsforecast.errors import TrainingError, TrainingWarning, shorten
from tsforecast.events import clock
from tsforecast.networks.encoders import use_kernels, uses_kernels
from tsforecast.networks.forecast import ForecastNetwork
from tsforecast.networks.kernels import choice
from tsforecast.networks.layers import Architecture, TrainableNetwork
from tsforecast.networks.losses import LOSSES, DataScale, number_of
from tsforecast.networks.losses import Objective as LossObjective
from tsforecast.training.batches import Batch, Dataset, Objective
from tsforecast.training.checkpoint import Keeping, Learn, TrainingState
from tsforecast.training.history import Epoch, best_epoch
from tsforecast.training.optim import (
    Captured,
    GraphSteps,
    Stream,
    clip,
    divide,
    make_optimizer,
    parameters,
    rate_share,
    unflatten_parameters,
)
from tsforecast.training.runtime import Team, aside, heed

PREDICT_ROWS = 1_024  # examples in one batch without gradients
VALIDATION_WINDOWS = 4_096  # more are thinned out evenly: the mean over these is as exact as needed
MOST_NATS = 700.0  # worse than naive: e**709 is the largest number

Batch_ = TypeVar("Batch_", bound=Batch)


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of training."""

    batch_size: int
    max_epochs: int
    learning_rate: float  # the highest one, of which `schedule` takes a share at each step
    steps_per_epoch: int | None = None  # at most, drawn again each time; None for all windows
    optimizer: str = "adamw"
    schedule: str = "one-cycle"
    patience: int | None = None  # epochs without a better validation loss that end training; half of them: a plateau
    weight_decay: float = 1e-4
    clip: float | None = 1.0  # largest norm of the gradient
    mixed_precision: bool = False  # compute in bfloat16 where that is safe
    stop: int | None = None  # end after this epoch, on the schedule of `max_epochs`

    @property
    def epochs(self) -> int:
        """The last epoch, unless patience ends before."""
        return self.max_epochs if self.stop is None else self.stop

    def steps(self, windows: int) -> int:
        """Return the number of batches in an epoch over so many windows."""
        every = -(-windows // self.batch_size)
        return every if self.steps_per_epoch is None else min(every, self.steps_per_epoch)


def train(
    network: TrainableNetwork,
    training: Dataset[Batch_],
    validation: Dataset[Batch_] | None,
    objective: Objective[Batch_],
    config: TrainingConfig,
    device: torch.device,
    progress: AbstractContextManager[Callable[[Epoch], None]],
    checkpoints: Keeping | None = None,
    team: Team | None = None,
) -> list[Epoch]:
    """Fit `network` in place, leave it with the weights of its best epoch, and return all epochs.

    Epoch 0, the untrained network, is scored and may be the best. What `progress` yields is called with each epoch.
    Random numbers come from torch's global generator; the caller seeds it. Ctrl-C ends training early, with a warning,
    and keeps the best so far; a loss that is no longer a number ends it with a TrainingError. Of a `team` each worker
    calls this with its parts of the windows, and all end with the same weights.
    """
    losses = _Losses(network, validation, objective, device, team)
    start, naive = _mean(losses()), _mean(losses(naive=True))
    history = [Epoch(0, None, start, 0.0, 0.0, _skill(start, naive, objective.in_nats))]
    optimizer = make_optimizer(network, config.optimizer, config.learning_rate, config.weight_decay)
    learn = learner(network, training, objective, optimizer, config, device, team)
    state = TrainingState(network, optimizer, history, weights_of(network), learn, team)
    if checkpoints:
        checkpoints.resume(state)
    with progress as report:
        report(history[-1])
        try:
            while not finished(history, config, validation is not None):
                began, number = clock(), len(history)
                train_loss, rate = run_epoch(state, training, objective, config, device)
                with _beside(learn):
                    score = _mean(losses())
                seconds = clock() - began
                history.append(Epoch(number, train_loss, score, rate, seconds, _skill(score, naive, objective.in_nats)))
                if best_epoch(history) is history[-1]:
                    state.best = weights_of(network)
                if checkpoints:
                    checkpoints.keep(state, done=finished(history, config, validation is not None))
                report(history[-1])
        except KeyboardInterrupt:
            warn_of_interruption(history)
        finally:
            network.load_state_dict(state.best)
            unflatten_parameters(network.parameters())
            network.eval()
    return history


def warn_of_interruption(history: list[Epoch]) -> None:
    """Warn that training ends early, with the weights of the best epoch."""
    warnings.warn(
        f"training was interrupted in epoch {len(history)}: the weights of epoch {best_epoch(history).number}, the "
        "best so far, are kept",
        TrainingWarning,
        stacklevel=_levels_to_the_caller(),
    )


def weights_of(network: TrainableNetwork) -> dict[str, Tensor]:
    """Return copies of all that a network has learned."""
    return {name: part.clone() for name, part in network.state_dict().items()}


def _levels_to_the_caller() -> int:
    """Return the `stacklevel` with which a warning of the calling function shows the line outside this package."""
    frame, level = sys._getframe(1), 1
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] == "tsforecast":
        frame, level = frame.f_back, level + 1
    return level


def finished(history: list[Epoch], config: TrainingConfig, validates: bool) -> bool:
    """Return whether training is over: all epochs are done, or patience is exhausted."""
    last = history[-1].number
    waited = last - best_epoch(history).number
    out_of_patience = config.patience is not None and validates and waited >= config.patience
    return last >= config.epochs or out_of_patience


def run_epoch(
    state: TrainingState,
    training: Dataset[Batch_],
    objective: Objective[Batch_],
    config: TrainingConfig,
    device: torch.device,
) -> tuple[float, float]:
    """Train for one epoch; return the mean loss and the last learning rate."""
    network, number = state.network, len(state.history)
    steps = config.steps(len(training))
    wait = max(1, (config.patience or 10) // 2)  # epochs without a better loss that make a plateau
    orders = [training.shuffled(config.batch_size, steps) for _ in range(network.members)]
    order = list(zip(*orders, strict=True))
    done = [(step + (number - 1) * steps) / (steps * config.max_epochs) for step in range(steps)]
    rates = [config.learning_rate * rate_share(config.schedule, share, state.history, wait) for share in done]
    network.train()
    with state.team.own_numbers() if state.team else nullcontext(), _beside(state.learn) as generators:
        losses = state.learn(order, rates, *generators)
    losses = losses.cpu()  # the one time in an epoch that a GPU is waited for
    broken = (~torch.isfinite(losses)).nonzero()
    if len(broken):
        step = int(broken[0])
        series = sorted(set(training.series_index(torch.cat(order[step])).tolist()))
        where = shorten([repr(str(training.names[i])) for i in series])
        raise TrainingError(
            f"the training loss must stay a number: it became {float(losses[step])} in epoch {number}, step {step + 1} "
            f"of {steps}, on a batch from {training.kind} {where}; use a learning_rate below {config.learning_rate:g} "
            f"or look for extreme values there. The weights of epoch {best_epoch(state.history).number} are kept"
        )
    return float(losses.mean()), rates[-1]


@contextmanager
def _beside(learn: Learn) -> Iterator[list[torch.Generator]]:
    """Let other fits go on beside a program; torch, which learns with the random numbers of all, keeps its turn."""
    if threads := getattr(learn, "threads", 0):
        with aside(threads) as generator:
            yield [generator]
    else:
        heed()
        yield []


def learner(
    network: TrainableNetwork,
    training: Dataset[Batch_],
    objective: Objective[Batch_],
    optimizer: torch.optim.Optimizer,
    config: TrainingConfig,
    device: torch.device,
    team: Team | None = None,
) -> Learn:
    """Return what learns an epoch of batches: a program of kernels where these cover a network, else torch.

    On a GPU windows, all of one length, are learned by captured steps; sequences are as long as their batch has them.
    So are the shares that the workers of a team have of batches.
    """
    if team is not None:
        share = partial(_step_of_share, network, training, objective, optimizer, config, device, team)
        return partial(_learn, share, optimizer, device)
    if not config.mixed_precision and covers(network, training, objective):
        from tsforecast.networks.kernels.program import Program

        loss, settings = number_of(objective.loss), (config.optimizer, config.clip, config.batch_size)  # type: ignore[attr-defined]
        return Program(network, training, objective, loss, optimizer, *settings)  # type: ignore[arg-type]
    step = partial(_step, network, training, objective, optimizer, config, device)
    if captures(training, device):
        return GraphSteps(step, optimizer, device)
    return partial(_learn, step, optimizer, device)


def captures(dataset: object, device: torch.device) -> bool:
    """Return whether work on batches is captured, and repeated as it is: on a GPU, where all have the same shape."""
    return device.type == "cuda" and type(dataset) is Windows


def covers(network: nn.Module, training: object, objective: object) -> bool:
    """Return whether kernels do whole steps of training a network that they read; torch trains those of rare shapes."""
    if type(network) is not ForecastNetwork or type(training) is not Windows or type(objective) is not LossObjective:
        return False
    shape = network.architecture
    return (
        uses_kernels(network)
        and shape.cell != "conv1d"
        and find_spec("numba") is not None
        and shape.norm is None
        and shape.activation == "relu"
        and not shape.bidirectional
        and network.separate
        and all(p.requires_grad and p.device.type == "cpu" for p in network.parameters())
        and number_of(objective.loss) is not None
    )


def steps_of(mode: str, units: int, rows: int, steps: int) -> list[Callable[[], object]]:
    """Return an epoch of `choice.BATCHES` steps of a plain forecaster by kernels, and one by torch, for `choice`."""
    cell = next(name for name, known in choice.MODES.items() if known == mode)
    architecture = Architecture(cell, units, segment=choice.INPUTS)
    window, horizon = steps * choice.INPUTS, choice.INPUTS
    values, one = np.sin(np.arange(float(rows + window + horizon)))[:, None], torch.ones(1, 1)
    windows = Windows(values, values, np.array([0, len(values)]), window, horizon)
    objective = LossObjective(LOSSES["mae"], DataScale(one, one, one, one, one, powered=False))
    config, device = TrainingConfig(rows, max_epochs=1, learning_rate=1e-3), torch.device("cpu")
    order, rates = [[torch.arange(rows)]] * choice.BATCHES, [1e-3] * choice.BATCHES
    ways: list[Callable[[], object]] = []
    for kernels in (True, False):
        network = ForecastNetwork(architecture, 1, 1, window, horizon, lags=np.ones((horizon, 1), dtype=np.int64))
        use_kernels(network, kernels)
        network.train()
        optimizer = make_optimizer(network, config.optimizer, config.learning_rate, config.weight_decay)
        ways.append(partial(learner(network, windows, objective, optimizer, config, device), order, rates))
    return ways


def _learn(
    step: Callable[[Sequence[Tensor]], Tensor],
    optimizer: torch.optim.Optimizer,
    device: torch.device,
    order: Sequence[Sequence[Tensor]],
    rates: Sequence[float],
) -> Tensor:
    """Learn batches with torch, for each step one of each member; return the losses of steps."""
    losses = torch.zeros(len(order), device=device)
    for number, (batches, rate) in enumerate(zip(order, rates, strict=True)):
        for group in optimizer.param_groups:
            group["lr"] = rate
        losses[number] = step(batches)
    return losses


def _step(
    network: TrainableNetwork,
    training: Dataset[Batch_],
    objective: Objective[Batch_],
    optimizer: torch.optim.Optimizer,
    config: TrainingConfig,
    device: torch.device,
    batches: Sequence[Tensor],
) -> Tensor:
    """Learn one batch of each member; return the mean of their losses, unread, so as not to wait for the device."""
    precision = torch.autocast(device.type, torch.bfloat16) if config.mixed_precision else nullcontext()
    optimizer.zero_grad()
    total = torch.zeros((), device=device)
    for forward, index in zip(network.alone(), batches, strict=True):
        with precision:
            batch = training.batch(index)
            error, count = objective.loss_of(forward(*batch.inputs), batch)
            loss = error / count.clamp(min=1)
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.detach() / len(batches)
    if config.clip is not None:
        clip(optimizer, config.clip, network.members if network.separate else 1)
    optimizer.step()
    return total


def _step_of_share(
    network: TrainableNetwork,
    training: Any,
    objective: Objective[Any],
    optimizer: torch.optim.Optimizer,
    config: TrainingConfig,
    device: torch.device,
    team: Team,
    batches: Sequence[Tensor],
) -> Tensor:
    """Learn the share of this worker of batches, and those of the others; see `_step`.

    Sums of gradients, of losses and of the numbers of their terms are one message. Only where members share parameters
    the numbers, which their losses are divided by, must be known before.
    """
    precision = torch.autocast(device.type, torch.bfloat16) if config.mixed_precision else nullcontext()
    apart = network.members == 1 or network.separate
    optimizer.zero_grad()
    sums = torch.zeros(2, len(batches), device=device)  # of losses, and of their terms
    for member, (forward, index) in enumerate(zip(network.alone(), batches, strict=True)):
        error, own = torch.zeros((), device=device), training.own(index)
        with precision:
            if len(own):
                batch = training.batch(own)
                error, sums[1, member] = objective.loss_of(forward(*batch.inputs), batch)
            if not apart:
                team.sum(sums[1, member])
                error = error / sums[1, member].clamp(min=1)
        if len(own):
            error.backward()  # type: ignore[no-untyped-call]
        sums[0, member] = error.detach()
    gradients = []
    for parameter in parameters(optimizer):
        parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        gradients.append(parameter.grad)
    team.sum(*gradients, sums if apart else sums[0])
    if apart:
        divide(optimizer, sums[1].clamp(min=1).unbind())
        sums[0] /= sums[1].clamp(min=1)
    if config.clip is not None:
        clip(optimizer, config.clip, network.members if network.separate else 1)
    optimizer.step()
    return sums[0].mean()


class _Losses:
    """Losses of a network, or of its naive reference, over the validation examples; on a GPU they are captured."""

    def __init__(
        self,
        network: TrainableNetwork,
        validation: Dataset[Batch_] | None,
        objective: Objective[Batch_],
        device: torch.device,
        team: Team | None = None,
    ) -> None:
        self.network, self.validation, self.objective = network, validation, objective
        self.device, self.team = device, team
        self.parts = [] if validation is None else list(evenly(validation))
        self.stream: Stream | None = None
        if validation is not None and team is None and captures(validation, device):
            self.parts, self.stream = [index.to(device) for index in self.parts], Stream(device)
            self.captured = Captured(self._keep, self.stream)

    @torch.inference_mode()
    def __call__(self, naive: bool = False, anew: bool = False) -> tuple[Tensor, Tensor] | None:
        """Return sums of the loss, and numbers of its terms, of parts, unread; None without any truth."""
        if self.validation is None:
            return None
        self.network.eval()
        if self.stream is not None and not (naive or anew):
            with self.stream.used():
                self.captured()
            return self.kept
        forward, errors, counts = self.network.naive if naive else self.network, [], []
        for part in self.parts:
            index = self.validation.own(part) if self.team else part  # type: ignore[attr-defined]
            if not len(index):
                continue
            batch = self.validation.batch(index)
            error, count = self.objective.loss_of(forward(*batch.inputs), batch)
            errors.append(error)
            counts.append(count)
        if self.team is None:
            return torch.stack(errors), torch.stack(counts)
        sums = [[math.fsum(map(float, part))] for part in (errors, counts)]
        whole = torch.tensor(sums, dtype=torch.float64, device=self.device)
        self.team.sum(whole)
        return whole[0], whole[1]

    def _keep(self) -> None:
        """Keep losses where a captured repetition puts them."""
        self.kept = self(anew=True)


def _mean(losses: tuple[Tensor, Tensor] | None) -> float | None:
    """Return the mean of sums over numbers of terms, which are read here; None without any."""
    if losses is None:
        return None
    errors, counts = (sum(part.cpu().tolist()) for part in losses)
    return errors / counts if counts else None


def evenly(dataset: Dataset[Any]) -> Iterator[Tensor]:
    """Yield the examples that validate, in parts; of many so many that are spread evenly."""
    chosen = min(len(dataset), VALIDATION_WINDOWS)
    index = torch.arange(chosen) * len(dataset) // chosen
    yield from torch.split(index, PREDICT_ROWS)


def _skill(score: float | None, naive: float | None, in_nats: bool) -> float | None:
    """Return the share of the naive loss that is removed; of a likelihood, by how much the density is higher."""
    if score is None or naive is None or not (naive or in_nats):
        return None
    return -math.expm1(min(score - naive, MOST_NATS)) if in_nats else 1 - score / naive
