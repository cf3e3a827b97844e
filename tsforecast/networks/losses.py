"""Losses: network outputs per step, the point forecast in them, and the training loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from tsforecast.data.windows import Batch
from tsforecast.errors import reason

SMALL = 1e-8


@dataclass(frozen=True, eq=False)
class DataScale:
    """The way from scaled numbers back to the scale of the data, as `tsforecast.data.scaling.Scaling`, in torch.

    Tensors have the shape (N, K), one row for each series.
    """

    location: Tensor
    scale: Tensor
    shift: Tensor
    power: Tensor
    naive_mae: Tensor  # of the seasonal naive forecast on the training part, in the scale of the data
    powered: bool  # whether shift and power are to be undone

    def to_data(self, scaled: Tensor, series: Tensor) -> Tensor:
        """Return scaled numbers (B, H, K) of `series` (B,) in the scale of the data."""
        location, scale, shift, power = (
            part[series][:, None] for part in (self.location, self.scale, self.shift, self.power)
        )
        values = scaled * scale + location  # (B, H, K)
        if not self.powered:
            return values
        safe = torch.where(power == 0, 1.0, power)
        logs = torch.where(power == 0, values, torch.log1p((safe * values).clamp(min=-1 + 1e-6)) / safe)
        return torch.exp(logs.clamp(max=80.0)) - shift  # e**88 is the largest float32


class Loss:
    """Outputs per step and the loss on them; subclass it for another likelihood.

    Attributes
    ----------
    outputs : int
        Numbers per step (P). The first `levels` of them are scaled levels, to which the anchor is added; the others
        are not changed.
    needs_scale : bool
        Whether `errors` reads the scale of the data.
    """

    outputs: int = 1
    levels: int = 1
    needs_scale: bool = False

    def point(self, outputs: Tensor) -> Tensor:
        """Return the point forecast (B, H, K) in outputs (B, H, K, P)."""
        return outputs[..., 0]

    def errors(self, outputs: Tensor, truth: Tensor, series: Tensor, scale: DataScale) -> Tensor:
        """Return the loss of each step, (B, H, K).

        Parameters
        ----------
        outputs : tensor of shape (B, H, K, P)
        truth : tensor of shape (B, H, K)
            Scaled, without NaN.
        series : int64 tensor of shape (B,)
        scale : DataScale
        """
        raise NotImplementedError(f"{type(self).__name__} must return the loss of each step")


class Elementwise(Loss):
    """A function of forecast and truth: scaled, or with `needs_scale` in the scale of the data."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor], needs_scale: bool = False) -> None:
        self.function, self.needs_scale = function, needs_scale

    def errors(self, outputs: Tensor, truth: Tensor, series: Tensor, scale: DataScale) -> Tensor:
        """See `Loss.errors`."""
        forecast = self.point(outputs)
        if self.needs_scale:
            forecast, truth = scale.to_data(forecast, series), scale.to_data(truth, series)
        return self.function(forecast, truth)


class ScaledAbsolute(Elementwise):
    """MASE: the absolute error over the naive one of its series, both of the data [Hyndman and Koehler 2006]."""

    def errors(self, outputs: Tensor, truth: Tensor, series: Tensor, scale: DataScale) -> Tensor:
        """See `Loss.errors`."""
        return super().errors(outputs, truth, series, scale) / scale.naive_mae[series][:, None]


def _absolute(forecast: Tensor, truth: Tensor) -> Tensor:
    return (forecast - truth).abs()


def _symmetric_percentage(forecast: Tensor, truth: Tensor) -> Tensor:
    """Return sMAPE, from 0 to 2: the absolute error over the mean size of forecast and truth."""
    return 2 * (forecast - truth).abs() / (forecast.abs() + truth.abs()).clamp(min=SMALL)


LOSSES: dict[str, Loss] = {
    "mae": Elementwise(_absolute),
    "mse": Elementwise(lambda forecast, truth: (forecast - truth) ** 2),
    "huber": Elementwise(lambda forecast, truth: F.huber_loss(forecast, truth, reduction="none")),
    "mase": ScaledAbsolute(_absolute, needs_scale=True),
    "smape": Elementwise(_symmetric_percentage, needs_scale=True),
}


def loss_problems(loss: Loss) -> list[str]:
    """Try a loss on a few numbers, so that a faulty one is found before training."""
    name = f"loss {type(loss).__name__}()"
    if not isinstance(loss.outputs, int) or not 1 <= loss.levels <= loss.outputs:
        return [f"{name} must have 1 <= levels <= outputs: got levels {loss.levels!r}, outputs {loss.outputs!r}"]
    outputs = torch.full((2, 3, 1, loss.outputs), 0.5, requires_grad=True)
    one = torch.ones(2, 1)
    try:
        scale = DataScale(0 * one, one, 0 * one, one, one, powered=False)
        errors = loss.errors(outputs, torch.zeros(2, 3, 1), torch.arange(2), scale)
        point = loss.point(outputs)
    except Exception as error:  # code of the user
        return [
            f"{name} must compare outputs, (B, H, K, P), with the truth, (B, H, K): on a trial with (2, 3, 1, "
            f"{loss.outputs}) and (2, 3, 1) it raised {type(error).__name__}: {reason(error)}"
        ]
    problems = []
    for what, numbers in (("errors", errors), ("point", point)):
        shape = tuple(numbers.shape) if isinstance(numbers, Tensor) else type(numbers).__name__
        if shape != (2, 3, 1):
            problems.append(
                f"{name}.{what} must return a number for each step, (B, H, K): for (2, 3, 1) it gave {shape}"
            )
    if not problems and not errors.requires_grad:
        problems.append(
            f"{name}.errors must depend on the outputs: its result has no gradient; compute it from `outputs`"
        )
    return problems


@dataclass(frozen=True, eq=False)
class Objective:
    """A loss with the scale of the data and the weights of series."""

    loss: Loss
    scale: DataScale
    weights: Tensor | None = None  # (N,), of the series, 1 in the mean

    def loss_of(self, outputs: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the sum of the loss of outputs (B, H, K, P) over a batch, and the number of steps with a truth."""
        truth = batch.future  # (B, H, K), NaN where it is missing
        observed = ~torch.isnan(truth) if batch.gaps else None  # not computed where none can be missing
        known = truth if observed is None else torch.where(observed, truth, 0.0)
        errors = self.loss.errors(outputs.float(), known, batch.series, self.scale)  # (B, H, K)
        if self.weights is not None:
            errors = errors * self.weights[batch.series][:, None, None]
        if observed is None:
            return errors.sum(), truth.new_tensor(truth.numel())
        return torch.where(observed, errors, 0.0).sum(), observed.sum()
