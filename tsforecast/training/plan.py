"""How a network is trained: what the user can set, and what follows from it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from tsforecast.training.flat import lay_flat

OPTIMIZERS = ("adamw", "adam", "sgd")
MOMENTUM = 0.9  # of sgd


@dataclass(frozen=True)
class Plan:
    """How to train.

    Attributes
    ----------
    batch_size, max_epochs : int
    steps_per_epoch : int or None
        At most so many batches an epoch, drawn anew each time; None takes all windows.
    optimizer : {"adamw", "adam", "sgd"}
        AdamW: Loshchilov and Hutter 2017, arXiv 1711.05101; Adam: Kingma and Ba 2014, arXiv 1412.6980; stochastic
        gradient descent with momentum 0.9.
    learning_rate : float
        The highest one; `schedule` says which share of it a step takes.
    schedule : {"one-cycle", "cosine", "plateau", "constant"}
        See `tsforecast.training.schedules`.
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
        >>> Plan(64, 10, 0.1).steps(130), Plan(64, 10, 0.1, steps_per_epoch=2).steps(130)
        (3, 2)
        """
        every = -(-windows // self.batch_size)
        return every if self.steps_per_epoch is None else min(every, self.steps_per_epoch)


def make_optimizer(network: nn.Module, plan: Plan) -> torch.optim.Optimizer:
    """Return the optimiser of the parameters that are not frozen; on a CPU it sees them as one vector, or two."""
    free = [p for p in network.parameters() if p.requires_grad]
    kinds = [([p for p in free if p.ndim > 1], plan.weight_decay), ([p for p in free if p.ndim <= 1], 0.0)]
    # A GPU's recurrent modules want their weights as they have laid them.
    groups = [
        {"params": [lay_flat(part)] if part[0].device.type == "cpu" else part, "weight_decay": decay}
        for part, decay in kinds
        if part
    ]
    if plan.optimizer == "sgd":
        return _light(torch.optim.SGD)(groups, lr=plan.learning_rate, momentum=MOMENTUM)
    kind = torch.optim.AdamW if plan.optimizer == "adamw" else torch.optim.Adam
    return _light(kind)(groups, lr=plan.learning_rate, fused=True)


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
    """Return what an optimiser moves."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _light(kind: type[torch.optim.Optimizer]) -> Callable[..., torch.optim.Optimizer]:
    """Return an optimiser whose methods do without what takes long at small vectors: hooks, and torch's compiler.

    The compiler would be loaded at the first use, for a second.
    """

    def zero_grad(self: torch.optim.Optimizer) -> None:
        for parameter in parameters(self):
            if parameter.grad is not None:
                parameter.grad.zero_()

    names = ("add_param_group", "step", "state_dict", "load_state_dict")
    methods = {name: torch.no_grad()(inspect.unwrap(getattr(kind, name))) for name in names}
    methods["step"].hooked = True  # torch would hook its profiler in again
    return type(kind.__name__, (kind,), methods | {"zero_grad": zero_grad})
