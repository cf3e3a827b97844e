"""Optimisation: learning rate schedules, settings of training, and the optimiser over flat parameters."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from tsforecast.training.history import Epoch

SCHEDULES = ("one-cycle", "cosine", "plateau", "constant")
WARM_UP = 0.1  # share of training over which a cosine rises first
PLATEAU_FACTOR = 10.0  # a plateau divides the rate by it


def rate_share(schedule: str, done: float, history: Sequence[Epoch], wait: int) -> float:
    """Return the share of the highest learning rate.

    Parameters
    ----------
    schedule : {"one-cycle", "cosine", "plateau", "constant"}
    done : float
        Share of all steps that is done, in [0, 1].
    history : sequence of Epoch
        Epochs so far; a plateau reads them.
    wait : int
        Epochs without a better loss that make a plateau.
    """
    if schedule == "one-cycle":
        return one_cycle(done)
    if schedule == "cosine":
        return warm_cosine(done)
    if schedule == "plateau":
        return plateau(history, wait)
    return 1.0


def one_cycle(done: float) -> float:
    """Rise from a 25th to the highest rate over the first 30 %, then fall to nearly nothing.

    Both ways along half a cosine [Smith and Topin 2017, arXiv 1708.07120; shape and constants as in
    torch's `OneCycleLR`].

    Examples
    --------
    >>> [round(one_cycle(done), 4) for done in (0.0, 0.3, 1.0)]
    [0.04, 1.0, 0.0]
    """
    start, top, end = 1 / 25, 1.0, 1 / 250_000
    if done < 0.3:
        return _cosine(start, top, done / 0.3)
    return _cosine(top, end, (done - 0.3) / 0.7)


def warm_cosine(done: float) -> float:
    """Rise in a line over the first tenth, then fall to zero along half a cosine.

    Without restarts [Loshchilov and Hutter 2016, arXiv 1608.03983].

    Examples
    --------
    >>> [round(warm_cosine(done), 4) for done in (0.0, 0.05, 0.1, 0.55, 1.0)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    if done < WARM_UP:
        return done / WARM_UP
    return _cosine(1.0, 0.0, (done - WARM_UP) / (1 - WARM_UP))


def plateau(history: Sequence[Epoch], wait: int) -> float:
    """Divide the rate by ten each time that `wait` epochs have passed without a better loss.

    The loss is that of validation, or of training where nothing validates.

    Examples
    --------
    >>> losses = [3.0, 2.0, 2.5, 2.1, 1.9, 2.0, 2.0]
    >>> [plateau([Epoch(n, None, loss, 0.1, 0.0) for n, loss in enumerate(losses[:k])], 2) for k in (3, 4, 6, 7)]
    [1.0, 0.1, 0.1, 0.01]
    """
    best, since, share = math.inf, 0, 1.0
    for epoch in history:
        loss = epoch.train_loss if epoch.valid_loss is None else epoch.valid_loss
        if loss is None:
            continue
        since += 1
        if loss < best:
            best, since = loss, 0
        elif since >= wait:
            share, since = share / PLATEAU_FACTOR, 0
    return share


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))


def flatten_parameters(parameters: Sequence[nn.Parameter]) -> nn.Parameter:
    """Move parameters and their gradients into one vector, and return it.

    The parameters become views of the vector. Gradients must be set to zero, not to None.

    Examples
    --------
    >>> layer = nn.Linear(2, 3)
    >>> whole = flatten_parameters(list(layer.parameters()))
    >>> whole.data.zero_().shape, layer.weight.detach().abs().sum().item()
    (torch.Size([9]), 0.0)
    """
    whole = nn.Parameter(torch.cat([parameter.detach().flatten() for parameter in parameters]))
    whole.grad = torch.zeros_like(whole)
    numbers = [parameter.numel() for parameter in parameters]
    values, slopes = torch.split(whole.detach(), numbers), torch.split(whole.grad, numbers)
    for parameter, value, slope in zip(parameters, values, slopes, strict=True):
        parameter.data, parameter.grad = value.view_as(parameter), slope.view_as(parameter)
    return whole


def unflatten_parameters(parameters: Iterable[nn.Parameter]) -> None:
    """Give each parameter memory of its own again, and remove gradients; on a GPU nothing was flattened."""
    for parameter in parameters:
        parameter.grad = None
        if parameter.device.type == "cpu":
            parameter.data = parameter.detach().clone()


OPTIMIZERS = ("adamw", "adam", "sgd")
MOMENTUM = 0.9  # of sgd


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of training.

    Attributes
    ----------
    batch_size, max_epochs : int
    steps_per_epoch : int or None
        Upper limit of batches per epoch, drawn anew each time; None for all windows.
    optimizer : {"adamw", "adam", "sgd"}
        AdamW: Loshchilov and Hutter 2017, arXiv 1711.05101; Adam: Kingma and Ba 2014, arXiv 1412.6980; stochastic
        gradient descent with momentum 0.9.
    learning_rate : float
        The highest one; `schedule` scales it at each step.
    schedule : {"one-cycle", "cosine", "plateau", "constant"}
        See `rate_share`.
    patience : int or None
        Stop after so many epochs without a better validation loss; half of it makes a plateau.
    weight_decay : float
        L2 penalty on weights, not on biases and normalisation; decoupled with adamw.
    clip : float or None
        Largest norm of the gradient.
    mixed_precision : bool
        Compute in bfloat16 where that is safe.
    stop : int or None
        End after this epoch, on the schedule of `max_epochs`.
    """

    batch_size: int
    max_epochs: int
    learning_rate: float
    steps_per_epoch: int | None = None
    optimizer: str = "adamw"
    schedule: str = "one-cycle"
    patience: int | None = None
    weight_decay: float = 1e-4
    clip: float | None = 1.0
    mixed_precision: bool = False
    stop: int | None = None

    @property
    def plateau(self) -> int:
        """Epochs without a better loss after which the rate falls."""
        return max(1, (self.patience or 10) // 2)

    @property
    def epochs(self) -> int:
        """The last epoch, unless patience ends before."""
        return self.max_epochs if self.stop is None else self.stop

    def steps(self, windows: int) -> int:
        """Return the number of batches in an epoch over so many windows.

        Examples
        --------
        >>> TrainingConfig(64, 10, 0.1).steps(130), TrainingConfig(64, 10, 0.1, steps_per_epoch=2).steps(130)
        (3, 2)
        """
        every = -(-windows // self.batch_size)
        return every if self.steps_per_epoch is None else min(every, self.steps_per_epoch)


def make_optimizer(network: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    """Return the optimiser of the parameters that are not frozen; on a CPU they are one vector, or two."""
    free = [p for p in network.parameters() if p.requires_grad]
    kinds = [([p for p in free if p.ndim > 1], config.weight_decay), ([p for p in free if p.ndim <= 1], 0.0)]
    # Recurrent modules on a GPU need the layout of their own weights.
    groups = [
        {"params": [flatten_parameters(part)] if part[0].device.type == "cpu" else part, "weight_decay": decay}
        for part, decay in kinds
        if part
    ]
    if config.optimizer == "sgd":
        return _without_hooks(torch.optim.SGD)(groups, lr=config.learning_rate, momentum=MOMENTUM)
    kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    return _without_hooks(kind)(groups, lr=config.learning_rate, fused=True)


def clip(optimizer: torch.optim.Optimizer, largest: float) -> None:
    """Scale gradients down to a norm of `largest` where theirs, of all numbers together, is larger.

    As `torch.nn.utils.clip_grad_norm_` does, which for one or two vectors takes several times as long.
    """
    gradients = [parameter.grad for parameter in parameters(optimizer) if parameter.grad is not None]
    norms = torch.stack([torch.linalg.vector_norm(gradient) for gradient in gradients])
    share = (largest / (torch.linalg.vector_norm(norms) + 1e-6)).clamp(max=1)
    for gradient in gradients:
        gradient.mul_(share)


def parameters(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    """Return the parameters of an optimiser."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _without_hooks(kind: type[torch.optim.Optimizer]) -> Callable[..., torch.optim.Optimizer]:
    """Return an optimiser without what is slow for small vectors: hooks, and torch's compiler.

    Loading the compiler at the first use takes a second.
    """

    def zero_grad(self: torch.optim.Optimizer) -> None:
        for parameter in parameters(self):
            if parameter.grad is not None:
                parameter.grad.zero_()

    names = ("add_param_group", "step", "state_dict", "load_state_dict")
    methods = {name: torch.no_grad()(inspect.unwrap(getattr(kind, name))) for name in names}
    methods["step"].hooked = True  # torch would add the hook of its profiler again
    return type(kind.__name__, (kind,), methods | {"zero_grad": zero_grad})
