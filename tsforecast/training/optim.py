"""Optimisation: learning rate schedules, the optimiser over flat parameters, and steps as graphs of a GPU."""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from tsforecast.training.history import Epoch

WARM_UP = 0.1  # share of training over which a cosine rises first
PLATEAU_FACTOR = 10.0  # a plateau divides the rate by it
EAGER = 3  # times that work on a GPU is done by Python before it is captured: it allocates, and chooses algorithms

logger = logging.getLogger("tsforecast")


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
        fused = True if any(p.device.type != "cpu" for p in free) else None  # others read the rate from the device
        return _without_hooks(torch.optim.SGD)(groups, lr=rate, momentum=MOMENTUM, fused=fused)
    kind = _without_hooks(torch.optim.AdamW if name == "adamw" else torch.optim.Adam)
    return kind(groups, lr=rate, fused=True, capturable=any(p.device.type == "cuda" for p in free))


def clip(optimizer: torch.optim.Optimizer, largest: float, members: int = 1) -> None:
    """Scale gradients of each member down to a norm of `largest` where theirs, of all numbers together, is larger.

    As `torch.nn.utils.clip_grad_norm_` does, which for one or two vectors takes several times as long. Members have
    equal shares of the parameters, one after the other.
    """
    for own in _by_member(optimizer, members):
        norms = torch.stack(torch._foreach_norm(own))
        share = (largest / (torch.linalg.vector_norm(norms) + 1e-6)).clamp(max=1)
        torch._foreach_mul_(own, share)


def divide(optimizer: torch.optim.Optimizer, numbers: Sequence[Tensor]) -> None:
    """Divide the gradients of each member by a number of its own; see `clip`."""
    for own, number in zip(_by_member(optimizer, len(numbers)), numbers, strict=True):
        torch._foreach_div_(own, number)


def _by_member(optimizer: torch.optim.Optimizer, members: int) -> Iterator[list[Tensor]]:
    """Yield the gradients that each member has."""
    gradients = [_of_members([p.grad for p in group["params"]], members) for group in optimizer.param_groups]
    for parts in zip(*gradients, strict=True):
        yield [gradient for part in parts for gradient in part if gradient is not None]


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
            if parameter.device.type != "cpu":
                parameter.grad = None  # the next one is written, not added to it
            elif parameter.grad is not None:
                parameter.grad.zero_()

    names = ("add_param_group", "step", "state_dict", "load_state_dict")
    methods = {name: torch.no_grad()(inspect.unwrap(getattr(kind, name))) for name in names}
    methods["step"].hooked = True  # torch would add the hook of its profiler again
    return type(kind.__name__, (kind,), methods | {"zero_grad": zero_grad})


class Stream:
    """A stream of a GPU, apart from the usual one, on which work can be captured."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.stream = device, torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    @contextmanager
    def used(self) -> Iterator[None]:
        """Launch on this stream, after all that was launched before and ahead of all that follows."""
        usual = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(usual)
        try:
            with torch.cuda.stream(self.stream):
                yield
        finally:
            usual.wait_stream(self.stream)

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """Return what launches all operations of `work` at once; they are not carried out now."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"):
            work()
        return graph.replay


class Captured:
    """Work on a GPU that is done again and again with tensors in the same places; called while its stream is used.

    Launching the operations of a small network one by one takes Python several times as long as they take the GPU. So
    after a few times they are captured as a graph, and launched at once [NVIDIA, CUDA graphs]. What cannot be captured,
    because it waits for the device or copies to it, goes on as it began.
    """

    def __init__(self, work: Callable[[], None], stream: Stream) -> None:
        self.work, self.stream, self.eager = work, stream, EAGER

    def __call__(self) -> None:
        """Do the work."""
        if not self.eager:
            try:
                self.work, self.eager = self.stream.capture(self.work), -1
            except RuntimeError as error:
                logger.info("a step on the GPU is not captured as a graph: %s", str(error).partition("\n")[0])
        self.eager -= self.eager >= 0
        self.work()


class GraphSteps:
    """Learn epochs by a `step` on a GPU, captured for each size of a batch; the device is not waited for.

    Batches, rates and losses of an epoch lie on the device, with the number of the step, where a step finds them. A
    step learns batches, one of each member, and returns their loss. `torch.compile` would join operations as well, but
    takes longer than most trainings of this package, and leaves recurrent layers as they are.
    """

    order: Tensor  # (steps, M, B), shorter batches filled up
    rates: Tensor  # (steps,)
    losses: Tensor  # (steps,)

    def __init__(
        self, step: Callable[[Sequence[Tensor]], Tensor], optimizer: torch.optim.Optimizer, device: torch.device
    ) -> None:
        self.step, self.optimizer, self.stream = step, optimizer, Stream(device)
        self.rate, self.at = torch.zeros((), device=device), torch.zeros(1, dtype=torch.int64, device=device)
        self.sizes: dict[int, Captured] = {}

    def __call__(self, order: Sequence[Sequence[Tensor]], rates: Sequence[float]) -> Tensor:
        """Learn the batches of an epoch; see `tsforecast.training.checkpoint.Learn`."""
        batches = pad_sequence([index for each in order for index in each], batch_first=True)
        if not self.sizes:
            self.order = self.at.new_zeros(len(order), len(order[0]), batches.shape[1])
            self.rates, self.losses = self.rate.new_zeros(2, len(rates)).unbind()
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate
        with self.stream.used():
            self.order.copy_(batches.view_as(self.order), non_blocking=True)
            self.rates.copy_(torch.tensor(rates), non_blocking=True)
            self.at.zero_()
            for each in order:
                size = len(each[0])
                if size not in self.sizes:
                    self.sizes[size] = Captured(partial(self._next, size), self.stream)
                self.sizes[size]()
        return self.losses

    def _next(self, size: int) -> None:
        """Learn the batch, of so many examples, that is next, and count it."""
        self.rate.copy_(self.rates.index_select(0, self.at)[0])
        loss = self.step(self.order.index_select(0, self.at)[0, :, :size].unbind())
        self.losses.index_copy_(0, self.at, loss[None])
        self.at.add_(1)
