"""Losses: network outputs per step, the point forecast or the distribution in them, and the training loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from tsforecast.checks import one_of
from tsforecast.data.panel import Panel
from tsforecast.data.scaling import SCALERS, Scaling, seasonal_scale
from tsforecast.data.windows import Batch
from tsforecast.distributions.base import Floats
from tsforecast.distributions.counts import NegativeBinomial, Poisson, ZeroInflated
from tsforecast.distributions.families import GRID, Family, Laplace, Normal, OfTorch, Quantiles, StudentT
from tsforecast.errors import Argument, DataError, ParameterError, Problem, reason
from tsforecast.mapped import chunks

SMALL = 1e-8
LOGNORMAL = "lognormal"
MOST_QUANTILES = 199


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
    only_logs: bool = False  # whether every power is 0

    @classmethod
    def of(
        cls, loss: Loss, scaling: Scaling, panel: Panel, trains: NDArray[np.int64], device: torch.device
    ) -> DataScale:
        """Return the scale of each series for a loss, learned on its first rows that train, (N,)."""
        targets = panel.n_targets
        naive = np.ones((len(panel), targets))
        for i in range(len(panel)) if loss.needs_scale else ():
            for k in range(targets):
                error, _ = seasonal_scale(panel.series(i)[: trains[i] or None, k], panel.season_length)
                naive[i, k] = error if error > 0 else 1.0
        parts = (scaling.location[:, :targets], scaling.scale[:, :targets], scaling.shift, scaling.power, naive)
        family = loss.family  # gamma functions of counts need many digits, which Apple's devices do not have
        exact = family is not None and family.counts and device.type != "mps"
        kind = np.float64 if exact else np.float32
        location, scale, shift, power, mae = (torch.from_numpy(part.astype(kind)).to(device) for part in parts)
        return cls(location, scale, shift, power, mae, scaling.powered, not scaling.power.any())

    def to_data(self, scaled: Tensor, series: Tensor) -> Tensor:
        """Return scaled numbers (B, H, K) of `series` (B,) in the scale of the data."""
        values = scaled * self.scale[series][:, None] + self.location[series][:, None]  # (B, H, K)
        if not self.powered:
            return values
        return torch.exp(self._logs(values, series).clamp(max=80.0)) - self.shift[series][:, None]  # e**88 is the most

    def log_slope(self, scaled: Tensor, series: Tensor) -> Tensor:
        """Return the logarithm of what a unit of scaled numbers (B, H, K) is in the scale of the data."""
        scale = self.scale[series][:, None]
        if not self.powered:
            return scale.log().expand_as(scaled)
        logs = self._logs(scaled * scale + self.location[series][:, None], series)
        return scale.log() + (logs if self.only_logs else (1 - self.power[series][:, None]) * logs)

    def _logs(self, values: Tensor, series: Tensor) -> Tensor:
        """Return the logarithms of transformed values (B, H, K), before the shift is taken away."""
        if self.only_logs:
            return values
        power = self.power[series][:, None]
        safe = torch.where(power == 0, 1.0, power)
        return torch.where(power == 0, values, torch.log1p((safe * values).clamp(min=-1 + 1e-6)) / safe)


class Loss:
    """Outputs per step and the loss on them; subclass it, or `Likelihood`, for another one.

    Attributes
    ----------
    outputs : int
        Numbers per step (P). The first `levels` of them are scaled levels, to which the anchor is added; the others
        are not changed.
    levels : int
    spreads : int
        Numbers after the levels that are positive, in the unit of the levels: those of an untrained network are what
        the errors of the naive forecast have on the training part.
    needs_scale : bool
        Whether `errors` reads the scale of the data.
    in_nats : bool
        Whether `errors` are negative logarithms of a likelihood, which are compared by their difference.
    """

    outputs: int = 1
    levels: int = 1
    spreads: int = 0
    needs_scale: bool = False
    in_nats: bool = False

    @property
    def family(self) -> Family | None:
        """The distributions that the outputs are parameters of; None for a loss of point forecasts."""
        return None

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

    def start(self, location: Tensor, truth: Tensor, series: Tensor, scale: DataScale) -> Floats:
        """Return the outputs after the levels of an untrained network, (H, K, P - levels).

        From scaled naive forecasts and truths of m windows, (m, H, K), with NaN.
        """
        family = OfTorch(None, self.outputs - self.levels + 1, self.spreads)
        return family.start(location.cpu().double().numpy(), truth.cpu().double().numpy())

    def arguments(self) -> dict[str, Any]:
        """Return the arguments that make the same loss again: attributes of the names of its parameters."""
        return {name: getattr(self, name) for name in signature(type(self)).parameters}

    def __repr__(self) -> str:
        """Return the loss as code, if it keeps its arguments."""
        try:
            given = self.arguments()
        except AttributeError:
            return super().__repr__()
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in given.items())})"


class Likelihood(Loss):
    """The negative logarithm of the likelihood of a distribution of `torch.distributions`.

    A subclass names the numbers per step, `outputs`, and in `distribution` the distribution of which they are the
    parameters. The network has point forecasts, quantiles and intervals of it, by `icdf` where the distribution has it,
    else from samples. A saved model keeps the import path of its class, see `tsforecast.load`.

    Examples
    --------
    >>> class Gumbel(Likelihood):
    ...     outputs, spreads = 2, 1
    ...
    ...     def distribution(self, outputs):
    ...         return torch.distributions.Gumbel(outputs[..., 0], outputs[..., 1])
    >>> Gumbel().errors(torch.tensor([0.0, 1.0]), torch.tensor(0.0), None, None)
    tensor(1.)
    """

    in_nats = True

    def distribution(self, outputs: Tensor) -> torch.distributions.Distribution:
        """Return the distribution of scaled numbers, (B, H, K), whose parameters are outputs (B, H, K, P)."""
        raise NotImplementedError(f"{type(self).__name__} must return a distribution")

    @property
    def family(self) -> Family:
        """See `Loss.family`."""
        return OfTorch(self.distribution, self.outputs, self.spreads)

    def errors(self, outputs: Tensor, truth: Tensor, series: Tensor, scale: DataScale) -> Tensor:
        """See `Loss.errors`."""
        return -self.distribution(outputs).log_prob(truth)


class OfFamily(Loss):
    """The loss of a family: as a rule the negative logarithm of the likelihood, of the data.

    Where scaled numbers have a density, that of the data is less by the slope of the scaling, a constant in training
    (that of an object of scikit-learn is not known, and left out). Families of counts read a level in the data's
    units, in the precision of the scale.

    A likelihood counts errors in units of the spread, so that levels of a series that is hard to forecast are hardly
    learned beside those of an easy one. In training the slopes of a window are weighted with its mean spread; values
    are not [cf. Seitzer et al. 2022, arXiv 2203.09168, who weight every number].
    """

    def __init__(self, family: Family, in_nats: bool = True) -> None:
        self._family, self.in_nats = family, in_nats
        self.outputs, self.spreads, self.needs_scale = family.outputs, family.spreads, family.counts

    @property
    def family(self) -> Family:
        """See `Loss.family`."""
        return self._family

    def errors(self, outputs: Tensor, truth: Tensor, series: Tensor, scale: DataScale) -> Tensor:
        """See `Loss.errors`."""
        found = self._errors(outputs, truth, series, scale)
        if self.spreads == 1 and self.in_nats and found.requires_grad:
            spread = outputs[..., 1].detach().mean(dim=1, keepdim=True)  # (B, 1, K)
            weights = spread / spread.mean()
            found.register_hook(lambda slopes: slopes * weights)  # type: ignore[no-untyped-call]
        return found

    def _errors(self, outputs: Tensor, truth: Tensor, series: Tensor, scale: DataScale) -> Tensor:
        """Return the loss of each step, (B, H, K)."""
        compiled = self._family.counts or isinstance(self._family, Quantiles | StudentT)
        if compiled and outputs.device.type == "cpu":
            from tsforecast.networks.kernels import likelihoods  # loads numba

            if isinstance(self._family, Quantiles):
                return likelihoods.quantile_losses(outputs, truth, self._family.levels)
            if self._family.name in likelihoods.FAMILIES:
                parts = (scale.location, scale.scale, scale.shift, scale.power)
                return likelihoods.losses(self._family.name, outputs, truth, series, parts, scale.powered)
        if not self._family.counts:
            found = self._family.loss(outputs, truth)
            return found + scale.log_slope(truth, series) if self.in_nats else found
        level, counts = scale.to_data(outputs[..., 0], series), scale.to_data(truth, series).round()
        return self._family.loss(torch.cat([level[..., None], outputs[..., 1:]], dim=-1), counts)

    def start(self, location: Tensor, truth: Tensor, series: Tensor, scale: DataScale) -> Floats:
        """See `Loss.start`."""
        if self._family.counts:
            location, truth = scale.to_data(location, series), scale.to_data(truth, series).round()
        return self._family.start(location.cpu().double().numpy(), truth.cpu().double().numpy())


class QuantileLoss(OfFamily):
    """Quantiles at any levels, which never cross: twice their mean quantile loss, in scaled units.

    Parameters
    ----------
    quantiles : sequence of float
        Levels between 0 and 1; the median, which is the point forecast, is always one of them.

    Examples
    --------
    >>> QuantileLoss([0.1, 0.9]).outputs
    3
    """

    def __init__(self, quantiles: Sequence[float] = GRID) -> None:
        levels = quantiles if isinstance(quantiles, Sequence) else np.asarray(quantiles).tolist()
        inside = all(isinstance(level, float) and 0 < level < 1 for level in levels)
        if not inside or not 1 <= len({*levels} - {0.5}) <= MOST_QUANTILES:
            must = f"must be 1 to {MOST_QUANTILES} levels between 0 and 1 besides the median"
            got = f"got {str(quantiles)[:80]}"
            raise ParameterError(Problem(must, got, "use QuantileLoss([0.1, 0.9])", parameter="quantiles"))
        self.quantiles = levels
        super().__init__(Quantiles(quantiles), in_nats=False)


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


class Unknown(Elementwise):
    """Stand for a loss whose class is not imported, in the summary of a saved model."""

    def __init__(self, code: str) -> None:
        super().__init__(_absolute)
        self.code = code

    def __repr__(self) -> str:
        """Return the loss as code."""
        return self.code


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
    "normal": OfFamily(Normal()),
    "student-t": OfFamily(StudentT()),
    "laplace": OfFamily(Laplace()),
    LOGNORMAL: OfFamily(Normal()),  # of the logarithm, which value_transform then takes
    "poisson": OfFamily(Poisson()),
    "negative-binomial": OfFamily(NegativeBinomial()),
    "zero-inflated-poisson": OfFamily(ZeroInflated(Poisson())),
    "zero-inflated-negative-binomial": OfFamily(ZeroInflated(NegativeBinomial())),
    "quantile": QuantileLoss(),
}


def number_of(loss: Loss) -> int | None:
    """Return the number of a loss among those of kernels (`judge` of `tsforecast.networks.kernels.likelihoods`)."""
    from tsforecast.networks.kernels import likelihoods

    for name, number in (("mae", likelihoods.MAE), ("mse", likelihoods.MSE), ("huber", likelihoods.HUBER)):
        if loss is LOSSES[name]:
            return number
    if type(loss) is QuantileLoss:
        return likelihoods.QUANTILE
    return likelihoods.NORMAL if type(loss) is OfFamily and type(loss.family) is Normal and loss.in_nats else None


def loss_problems(name: str, loss: Any) -> list[str]:
    """Require the name of a loss, or a loss that works."""
    if isinstance(loss, Loss):
        return _faults(loss)
    if isinstance(loss, str):
        return one_of(name, loss, tuple(LOSSES))
    names = ", ".join(map(repr, LOSSES))
    must = f"must be one of {names}, or an instance of your own subclass of tsforecast.networks.losses.Loss"
    return [Problem(must, f"got {loss!r}", parameter=name)]


def conflicts(given: Any, scaler: object, point: str, value_transform: object) -> list[str]:
    """Require that other settings of a forecaster are what a loss, or its name, can be used with."""
    problems, loss = list[str](), LOSSES.get(given) if isinstance(given, str) else given
    if isinstance(loss, Loss) and loss.needs_scale and not isinstance(scaler, str | None):
        named = repr(given) if isinstance(given, str) else f"{type(loss).__name__}()"
        must = f"{named} judges in the data's own units, which scaler {type(scaler).__name__}() hides"
        remedy = f"use one of {', '.join(map(repr, SCALERS))} or None, or loss='mae'"
        problems.append(Problem(must, "", remedy, parameter="loss"))
    if isinstance(loss, Loss) and loss.family is None and point in ("mean", "median", "mode"):
        got = f"got {given!r}, which has a point forecast alone"
        must = f"must have a distribution for point={point!r}"
        problems.append(Problem(must, got, "use loss='normal', or point='auto'", parameter="loss"))
    if given == LOGNORMAL and value_transform not in ("auto", "log"):
        must = "must be 'auto' or 'log' for loss 'lognormal', which is a normal distribution of the logarithm"
        problems.append(Problem(must, f"got {value_transform!r}", "use loss='normal'", parameter="value_transform"))
    return problems


def _faults(loss: Loss) -> list[str]:
    """Try a loss on a few numbers, so that a faulty one is found before training."""
    name = f"loss {type(loss).__name__}()"
    if not isinstance(loss.outputs, int) or not 1 <= loss.levels <= loss.outputs:
        return [f"{name} must have 1 <= levels <= outputs: got levels {loss.levels!r}, outputs {loss.outputs!r}"]
    if not 0 <= loss.spreads <= loss.outputs - loss.levels:
        return [f"{name} must have 0 <= spreads <= outputs - levels: got spreads {loss.spreads!r} of {loss.outputs}"]
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


def require_numbers(given: str | Loss, panel: Panel) -> None:
    """Raise DataError where targets are no numbers of the distribution that a loss, or its name, stands for."""
    family, name = (LOSSES[given] if isinstance(given, str) else given).family, given
    if given != LOGNORMAL and not (family is not None and family.counts):
        return
    every, count, numbers, found = panel.values[: panel.offsets[-1], : panel.n_targets], 0, 0, list[Any]()
    for rows in chunks(every):
        targets = every[rows].astype(np.float64)
        with np.errstate(invalid="ignore"):
            wrong = targets <= 0 if given == LOGNORMAL else (targets < 0) | (targets != np.round(targets))
        wrong &= ~np.isnan(targets)
        count, numbers = count + int(wrong.sum()), numbers + int((~np.isnan(targets)).sum())
        if count and not found:
            found = (np.argwhere(wrong)[0] + (rows.start, 0)).tolist()
    if found:
        row, k = found
        series = panel.ids[np.searchsorted(panel.offsets, row, side="right") - 1]
        kind = "positive numbers" if given == LOGNORMAL else "counts, whole numbers from 0 on"
        raise DataError(
            Problem(
                f"{panel.roles.target[k]!r} must be {kind}, for loss {name!r}",
                f"{count} of {numbers} are not, the first is {every[row, k]:g} in series {str(series)!r}",
                (Argument("loss", "normal", "use"), ", or ", Argument("loss", "quantile")),
                series=series,
            )
        )


@dataclass(frozen=True, eq=False)
class Objective:
    """A loss with the scale of the data and the weights of series."""

    loss: Loss
    scale: DataScale
    weights: Tensor | None = None  # (N,), of the series, 1 in the mean

    @property
    def in_nats(self) -> bool:
        """See `Loss.in_nats`."""
        return self.loss.in_nats

    def errors_of(self, outputs: Tensor, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Return the loss of outputs (B, H, K, P) at each step, (B, H, K), and which have a truth; None: all have."""
        truth = batch.future  # (B, H, K), NaN where it is missing
        observed = ~torch.isnan(truth) if batch.gaps else None  # not computed where none can be missing
        known = truth if observed is None else torch.where(observed, truth, 0.0)
        errors = self.loss.errors(outputs.float(), known, batch.series, self.scale)
        if self.weights is not None:
            errors = errors * self.weights[batch.series][:, None, None]
        return errors if observed is None else torch.where(observed, errors, 0.0), observed

    def loss_of(self, outputs: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the sum of the loss of outputs (B, H, K, P) over a batch, and the number of steps with a truth."""
        errors, observed = self.errors_of(outputs, batch)
        return errors.sum(), batch.future.new_full((), errors.numel()) if observed is None else observed.sum()
