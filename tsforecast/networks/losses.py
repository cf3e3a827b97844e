"""What a network says of each step, how a point forecast is read from it, and how far it is from the truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from tsforecast.errors import reason

if TYPE_CHECKING:
    from tsforecast.data.windows import Batch

SMALL = 1e-8


@dataclass(frozen=True, eq=False)
class Units:
    """From scaled numbers back to the data's own, as `tsforecast.data.scaling.Scaling` does it, in torch.

    Attributes
    ----------
    location, scale, shift, power : tensors of shape (N, K)
        One row for each series.
    naive_mae : tensor of shape (N, K)
        Mean absolute error of the seasonal naive forecast on the training part, in the data's own units.
    powered : bool
        Whether shift and power are to be undone.
    """

    location: Tensor
    scale: Tensor
    shift: Tensor
    power: Tensor
    naive_mae: Tensor
    powered: bool

    def own(self, scaled: Tensor, series: Tensor) -> Tensor:
        """Return scaled numbers (B, H, K) of `series` (B,) in the data's own units."""
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
    """What is said of each step and how it is judged; subclass it for another likelihood.

    Attributes
    ----------
    outputs : int
        Numbers said per step (P). The first `levels` of them are levels in scaled units, to which the anchor is
        added; the others are as the network says them.
    needs_units : bool
        Whether `errors` must know the data's own units.
    """

    outputs: int = 1
    levels: int = 1
    needs_units: bool = False

    def point(self, said: Tensor) -> Tensor:
        """Read a point forecast (B, H, K) from what was said (B, H, K, P)."""
        return said[..., 0]

    def errors(self, said: Tensor, truth: Tensor, series: Tensor, units: Units) -> Tensor:
        """Return the loss of each step, (B, H, K).

        Parameters
        ----------
        said : tensor of shape (B, H, K, P)
        truth : tensor of shape (B, H, K)
            Scaled, without NaN.
        series : int64 tensor of shape (B,)
        units : Units
        """
        raise NotImplementedError(f"{type(self).__name__} must say how far a forecast is from the truth")


class Elementwise(Loss):
    """A function of forecast and truth in scaled units."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.function = function

    def errors(self, said: Tensor, truth: Tensor, series: Tensor, units: Units) -> Tensor:
        """See `Loss.errors`."""
        return self.function(self.point(said), truth)


class ScaledAbsolute(Loss):
    """MASE: the absolute error in the data's units over the naive one of its series [Hyndman and Koehler 2006]."""

    needs_units = True

    def errors(self, said: Tensor, truth: Tensor, series: Tensor, units: Units) -> Tensor:
        """See `Loss.errors`."""
        error = (units.own(self.point(said), series) - units.own(truth, series)).abs()
        return error / units.naive_mae[series][:, None]


class SymmetricPercentage(Loss):
    """sMAPE, from 0 to 2: the absolute error over the mean size of forecast and truth, in the data's units."""

    needs_units = True

    def errors(self, said: Tensor, truth: Tensor, series: Tensor, units: Units) -> Tensor:
        """See `Loss.errors`."""
        forecast, true = units.own(self.point(said), series), units.own(truth, series)
        return 2 * (forecast - true).abs() / (forecast.abs() + true.abs()).clamp(min=SMALL)


LOSSES: dict[str, Loss] = {
    "mae": Elementwise(lambda forecast, truth: (forecast - truth).abs()),
    "mse": Elementwise(lambda forecast, truth: (forecast - truth) ** 2),
    "huber": Elementwise(lambda forecast, truth: F.huber_loss(forecast, truth, reduction="none")),
    "mase": ScaledAbsolute(),
    "smape": SymmetricPercentage(),
}


def loss_problems(loss: Loss) -> list[str]:
    """Try a loss on a few numbers, so that a faulty one is found before anything is trained."""
    name = f"loss {type(loss).__name__}()"
    if not isinstance(loss.outputs, int) or not 1 <= loss.levels <= loss.outputs:
        return [f"{name} must have 1 <= levels <= outputs: got levels {loss.levels!r}, outputs {loss.outputs!r}"]
    said = torch.full((2, 3, 1, loss.outputs), 0.5, requires_grad=True)
    one = torch.ones(2, 1)
    try:
        units = Units(0 * one, one, 0 * one, one, one, powered=False)
        errors = loss.errors(said, torch.zeros(2, 3, 1), torch.arange(2), units)
        point = loss.point(said)
    except Exception as error:  # whatever the code of others raises
        return [
            f"{name} must judge what is said, (B, H, K, P), by the truth, (B, H, K): on a trial with (2, 3, 1, "
            f"{loss.outputs}) and (2, 3, 1) it raised {type(error).__name__}: {reason(error)}"
        ]
    found = []
    for what, numbers in (("errors", errors), ("point", point)):
        shape = tuple(numbers.shape) if isinstance(numbers, Tensor) else type(numbers).__name__
        if shape != (2, 3, 1):
            found.append(f"{name}.{what} must return a number for each step, (B, H, K): for (2, 3, 1) it gave {shape}")
    if not found and not errors.requires_grad:
        found.append(f"{name}.errors must depend on what is said: its result has no gradient; compute it from `said`")
    return found


@dataclass(frozen=True, eq=False)
class Objective:
    """A loss with the units that it judges in.

    Attributes
    ----------
    loss : Loss
    units : Units
    weights : tensor of shape (N,), optional
        How much each series counts, 1 in the mean.
    """

    loss: Loss
    units: Units
    weights: Tensor | None = None

    def loss_of(self, outputs: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the sum of the loss of outputs (B, H, K, P) over a batch, and the number of steps with a truth."""
        return self(outputs, batch.future, batch.series, batch.gaps)

    def __call__(self, said: Tensor, truth: Tensor, series: Tensor, gaps: bool = True) -> tuple[Tensor, Tensor]:
        """Return the sum of the loss over the steps that have a truth, and their number.

        Parameters
        ----------
        said : tensor of shape (B, H, K, P)
        truth : tensor of shape (B, H, K)
            NaN where it is missing.
        series : int64 tensor of shape (B,)
        gaps : bool
            Whether any truth may be missing; without, there is less to compute.
        """
        there = ~torch.isnan(truth) if gaps else None
        known = truth if there is None else torch.where(there, truth, 0.0)
        errors = self.loss.errors(said.float(), known, series, self.units)  # (B, H, K)
        if self.weights is not None:
            errors = errors * self.weights[series][:, None, None]
        if there is None:
            return errors.sum(), truth.new_tensor(truth.numel())
        return torch.where(there, errors, 0.0).sum(), there.sum()
