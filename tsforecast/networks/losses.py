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

    Attributes
    ----------
    location, scale, shift, power : tensors of shape (N, K)
        One row for each series.
    naive_mae : tensor of shape (N, K)
        Mean absolute error of the seasonal naive forecast on the training part, in the scale of the data.
    powered : bool
        Whether shift and power are to be undone.
    """

    location: Tensor
    scale: Tensor
    shift: Tensor
    power: Tensor
    naive_mae: Tensor
    powered: bool

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
    """A function of scaled forecast and truth."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.function = function

    def errors(self, outputs: Tensor, truth: Tensor, series: Tensor, scale: DataScale) -> Tensor:
        """See `Loss.errors`."""
        return self.function(self.point(outputs), truth)


class ScaledAbsolute(Loss):
    """MASE: the absolute error over the naive one of its series, both of the data [Hyndman and Koehler 2006]."""

    needs_scale = True

    def errors(self, outputs: Tensor, truth: Tensor, series: Tensor, scale: DataScale) -> Tensor:
        """See `Loss.errors`."""
        error = (scale.to_data(self.point(outputs), series) - scale.to_data(truth, series)).abs()
        return error / scale.naive_mae[series][:, None]


class SymmetricPercentage(Loss):
    """sMAPE, from 0 to 2: the absolute error over the mean size of forecast and truth, in the scale of the data."""

    needs_scale = True

    def errors(self, outputs: Tensor, truth: Tensor, series: Tensor, scale: DataScale) -> Tensor:
        """See `Loss.errors`."""
        forecast, true = scale.to_data(self.point(outputs), series), scale.to_data(truth, series)
        return 2 * (forecast - true).abs() / (forecast.abs() + true.abs()).clamp(min=SMALL)


LOSSES: dict[str, Loss] = {
    "mae": Elementwise(lambda forecast, truth: (forecast - truth).abs()),
    "mse": Elementwise(lambda forecast, truth: (forecast - truth) ** 2),
    "huber": Elementwise(lambda forecast, truth: F.huber_loss(forecast, truth, reduction="none")),
    "mase": ScaledAbsolute(),
    "smape": SymmetricPercentage(),
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
    """A loss with the scale of the data and the weights of series.

    Attributes
    ----------
    loss : Loss
    scale : DataScale
    weights : tensor of shape (N,), optional
        Of the series, 1 in the mean.
    """

    loss: Loss
    scale: DataScale
    weights: Tensor | None = None

    def loss_of(self, outputs: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the sum of the loss of outputs (B, H, K, P) over a batch, and the number of steps with a truth."""
        return self(outputs, batch.future, batch.series, batch.gaps)

    def __call__(self, outputs: Tensor, truth: Tensor, series: Tensor, gaps: bool = True) -> tuple[Tensor, Tensor]:
        """Return the sum of the loss over the steps that have a truth, and their number.

        Parameters
        ----------
        outputs : tensor of shape (B, H, K, P)
        truth : tensor of shape (B, H, K)
            NaN where it is missing.
        series : int64 tensor of shape (B,)
        gaps : bool
            Whether any truth may be missing; False saves computing.
        """
        observed = None if not gaps else ~torch.isnan(truth)
        known = truth if observed is None else torch.where(observed, truth, 0.0)
        errors = self.loss.errors(outputs.float(), known, series, self.scale)  # (B, H, K)
        if self.weights is not None:
            errors = errors * self.weights[series][:, None, None]
        if observed is None:
            return errors.sum(), truth.new_tensor(truth.numel())
        return torch.where(observed, errors, 0.0).sum(), observed.sum()
