"""Optimisation: learning rate schedules, and the optimiser over flat parameters."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn

from tsforecast.training.history import Epoch

WARM_UP = 0.1  # share of training over which a cosine rises first
PLATEAU_FACTOR = 10.0  # a plateau divides the rate by it


def rate_share(schedule: str, done: float, history: Sequence[Epoch], wait: int) -> float:
    """Return the share of the highest learning rate, once a share of all steps is `done`.

    One-cycle rises from a 25th over the first 30 %, then falls to nearly nothing, both ways along half a cosine [Smith
    and Topin 2017, arXiv 1708.07120; shape and constants as in torch's `OneCycleLR`]. A cosine rises in a line over the
    first tenth, then falls to zero, without restarts [Loshchilov and Hutter 2016, arXiv 1608.03983]. A plateau reads
    the epochs so far, and `wait` of them without a better loss make one.
    """
    if schedule == "one-cycle":
        if done < 0.3:
            return _cosine(1 / 25, 1.0, done / 0.3)
        return _cosine(1.0, 1 / 250_000, (done - 0.3) / 0.7)
    if schedule == "cosine":
        if done < WARM_UP:
            return done / WARM_UP
        return _cosine(1.0, 0.0, (done - WARM_UP) / (1 - WARM_UP))
    if schedule == "plateau":
        return _plateau(history, wait)
    return 1.0


def _plateau(history: Sequence[Epoch], wait: int) -> float:
    """Divide the rate by ten each time that `wait` epochs have passed without a better loss.

    The loss is that of validation, or of training where nothing validates.
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
    """Return the rate after a share of the way from start to end, along half a cosine."""
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))


def flatten_parameters(parameters: Sequence[nn.Parameter]) -> nn.Parameter:
    """Move parameters and their gradients into one vector, and return it.

    The parameters become views of the vector. Gradients must be set to zero, not to None.
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


MOMENTUM = 0.9  # of sgd


def make_optimizer(network: nn.Module, name: str, rate: float, weight_decay: float = 1e-4) -> torch.optim.Optimizer:
    """Return the optimiser of the parameters that are not frozen; on a CPU they are one vector, or two.

    AdamW: Loshchilov and Hutter 2017, arXiv 1711.05101; Adam: Kingma and Ba 2014, arXiv 1412.6980; stochastic gradient
    descent with momentum. Weights decay (with adamw decoupled from the gradient), biases and normalisation do not.
    """
    free = [p for p in network.parameters() if p.requires_grad]
    kinds = [([p for p in free if p.ndim > 1], weight_decay), ([p for p in free if p.ndim <= 1], 0.0)]
    # Recurrent modules on a GPU need the layout of their own weights.
    groups = [
        {"params": [flatten_parameters(part)] if part[0].device.type == "cpu" else part, "weight_decay": decay}
        for part, decay in kinds
        if part
    ]
    if name == "sgd":
        return _without_hooks(torch.optim.SGD)(groups, lr=rate, momentum=MOMENTUM)
    return _without_hooks(torch.optim.AdamW if name == "adamw" else torch.optim.Adam)(groups, lr=rate, fused=True)


def clip(optimizer: torch.optim.Optimizer, largest: float, members: int = 1) -> None:
    """Scale gradients of each member down to a norm of `largest` where theirs, of all numbers together, is larger.

    As `torch.nn.utils.clip_grad_norm_` does, which for one or two vectors takes several times as long. Members have
    equal shares of the parameters, one after the other.
    """
    gradients = [_of_members([p.grad for p in group["params"]], members) for group in optimizer.param_groups]
    for parts in zip(*gradients, strict=True):
        own = [gradient for part in parts for gradient in part if gradient is not None]
        norms = torch.stack([torch.linalg.vector_norm(gradient) for gradient in own])
        share = (largest / (torch.linalg.vector_norm(norms) + 1e-6)).clamp(max=1)
        for gradient in own:
            gradient.mul_(share)


def _of_members(gradients: list[Tensor | None], members: int) -> list[list[Tensor | None]]:
    """Return the gradients of each member, of a list or of one vector."""
    if members > 1 and len(gradients) == 1 and gradients[0] is not None:
        return [[part] for part in gradients[0].chunk(members)]
    each = len(gradients) // members
    return [gradients[i * each : (i + 1) * each] for i in range(members)]


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
