"""Losses compare in the scale that they name, and a likelihood slots in without touching networks or loop."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.helpers import metrics
from tests.helpers.forecasters import wave
from tsforecast.data.panel import Panel
from tsforecast.data.scaling import ScalingRecipe
from tsforecast.forecasters.neural import GRUForecaster
from tsforecast.networks.kernels import likelihoods
from tsforecast.networks.losses import LOSSES, DataScale, Loss, Objective

B, H, K = 6, 4, 2


def units_of(scaling: object, naive: np.ndarray) -> DataScale:
    parts = (scaling.location[:, :K], scaling.scale[:, :K], scaling.shift, scaling.power, naive)
    return DataScale(*(torch.from_numpy(part).float() for part in parts), scaling.powered)


def judged(
    loss: Loss, units: DataScale | None, outputs: torch.Tensor, truth: torch.Tensor, series: object = 0
) -> tuple:
    """Return the sum of a loss over a batch and the number of its terms."""
    series = torch.zeros(B, dtype=torch.int64) if isinstance(series, int) else series
    return Objective(loss, units).loss_of(outputs, SimpleNamespace(future=truth, series=series, gaps=True))


@pytest.fixture(params=[None, "log", "box-cox"])
def truth_and_units(request: pytest.FixtureRequest) -> tuple:
    rng = np.random.default_rng(0)
    values = np.exp(rng.normal(size=(60, K))) + 1
    scaling = ScalingRecipe(request.param).fit(values, np.array([0, 20, 40, 60]), targets=K)
    series = rng.integers(0, 3, size=B)
    y, forecast = values[rng.integers(0, 60, (2, B, H)), :]
    naive = rng.uniform(1, 2, size=(3, K))
    outputs = torch.from_numpy(scaling.transform(forecast, series)).float()[..., None]
    truth = torch.from_numpy(scaling.transform(y, series)).float()
    return y, forecast, series, naive, outputs, truth, units_of(scaling, naive)


def test_units_undo_the_scaling_as_numpy_does(truth_and_units: tuple) -> None:
    _, forecast, series, _, outputs, _, units = truth_and_units
    assert np.allclose(units.to_data(outputs[..., 0], torch.from_numpy(series)).numpy(), forecast, rtol=1e-4)


def test_mase_and_smape_equal_the_metrics_of_the_same_names(truth_and_units: tuple) -> None:
    y, forecast, series, naive, outputs, truth, units = truth_and_units
    for name, expected in [
        ("mase", metrics.mase(y, forecast, naive[series][:, None])),
        ("smape", metrics.smape(y, forecast) / 100),
    ]:
        total, count = judged(LOSSES[name], units, outputs, truth, torch.from_numpy(series))
        assert float(total / count) == pytest.approx(expected, rel=1e-3)


def test_the_scaled_losses_are_torch_s_own() -> None:
    outputs, truth = torch.randn(B, H, K, 1) * 3, torch.randn(B, H, K)
    for name, theirs in [
        ("mae", torch.nn.functional.l1_loss),
        ("mse", torch.nn.functional.mse_loss),
        ("huber", torch.nn.functional.huber_loss),
    ]:
        total, count = judged(LOSSES[name], None, outputs, truth)
        assert float(total / count) == pytest.approx(float(theirs(outputs[..., 0], truth)), rel=1e-5)


def test_a_missing_truth_carries_no_loss_and_no_gradient() -> None:
    truth = torch.zeros(B, H, K)
    truth[0] = torch.nan
    for loss in LOSSES.values():
        outputs = torch.ones(B, H, K, loss.outputs, requires_grad=True)
        ones = torch.ones(1, K)
        units = DataScale(0 * ones, ones, 0 * ones, ones, ones, powered=False)
        total, count = judged(loss, units, outputs, truth)
        total.backward()
        assert int(count) == (B - 1) * H * K
        assert torch.isfinite(outputs.grad).all()
        assert (outputs.grad[0] == 0).all()


class Gaussian(Loss):
    """The negative logarithm of a normal density: a level and the logarithm of a deviation."""

    outputs, levels = 2, 1

    def errors(
        self, outputs: torch.Tensor, truth: torch.Tensor, series: torch.Tensor, units: DataScale
    ) -> torch.Tensor:
        level, log_deviation = outputs.unbind(-1)
        return ((truth - level) / log_deviation.exp()) ** 2 / 2 + log_deviation + math.log(2 * math.pi) / 2


@pytest.mark.thorough
@pytest.mark.parametrize("channels", ["independent", "joint"])
@pytest.mark.parametrize("instance_norm", [False, True])
def test_a_likelihood_with_two_outputs_slots_in(channels: str, instance_norm: bool) -> None:
    noise = np.random.default_rng(0).normal(size=(600, 1)) * [0.5, 2.0]
    model = GRUForecaster(
        window=4, horizon=3, units=16, max_epochs=20, anchor="none", scaler=None, loss=Gaussian(), channels=channels
    )
    model.set_params(random_state=0, learning_rate=0.01, instance_norm=instance_norm).fit(noise)
    assert model.predict().shape == (3, 2)
    if not instance_norm:
        assert np.abs(model.predict()).max() < 1.5
        past = torch.from_numpy(noise[-4:].astype(np.float32))[None]
        with torch.no_grad():
            deviation = model.network_(past)[0, ..., 1].exp().mean(dim=0).numpy()
        assert deviation == pytest.approx([0.5, 2.0], rel=0.25)  # what was put in is found
    untrained = GRUForecaster(window=4, horizon=3, max_epochs=0, anchor="last", loss=Gaussian()).fit(noise)
    assert np.array_equal(untrained.predict(), np.tile(noise[-1], (3, 1)))


def test_mase_in_training_is_scaled_by_each_series_on_its_own_training_part() -> None:
    panel = Panel.from_array([wave(90), 1000 * wave(90, 1)], season_length=6)
    model = GRUForecaster(window=12, horizon=3, units=4, max_epochs=0, loss="mase", anchor="last", value_transform=None)
    naive_loss = model.fit(panel).history_[0].valid_loss
    errors = []
    seen = 90 - model.resolved_["validation"]
    for i in range(2):
        values = panel.series(i)[:, 0]
        scale = np.abs(values[6:seen] - values[: seen - 6]).mean()
        errors += [np.abs(values[c : c + 3] - values[c - 1]) / scale for c in range(seen, 90 - 2)]
    assert naive_loss == pytest.approx(np.mean(errors), rel=1e-4)


@pytest.mark.long
@pytest.mark.sample(4)
@pytest.mark.parametrize("name", [*likelihoods.FAMILIES, "quantile"])
@pytest.mark.parametrize("power", [None, 0.0, 0.4])
def test_a_loss_in_one_pass_has_the_values_and_slopes_of_torch(name: str, power: float | None) -> None:
    loss, generator = LOSSES[name], torch.Generator().manual_seed(0)
    family = loss.family
    assert family is not None
    zeros, spread = torch.zeros(3, 2, dtype=torch.float64), torch.linspace(0.5, 2, 6, dtype=torch.float64).view(3, 2)
    powered = {"powered": power is not None, "only_logs": power == 0}
    scale = DataScale(zeros, spread, 1 + zeros, zeros + (power or 0.0), spread, **powered)
    series = torch.arange(300) % 3
    outputs = 3 * torch.randn(300, 5, 2, family.outputs, dtype=torch.float64, generator=generator)
    outputs[..., 0] = outputs[..., 0].clamp(-2, 4)
    outputs[:3, ..., 1:] = 9.0
    outputs[..., 1 : 1 + family.spreads] = (outputs[..., 1 : 1 + family.spreads] / 4).exp()
    if name.endswith("binomial"):
        outputs[3:9, ..., 1] = -10.0  # almost no dispersion
    truth = 3 * torch.rand(300, 5, 2, dtype=torch.float64, generator=generator)
    truth[::4] = 0.0
    truth[1:40:4] = 9.0

    level, y, others = scale.to_data(outputs[..., 0], series), scale.to_data(truth, series).round(), outputs[..., 1:]
    assert not family.counts or ((y == 0).any() and (y > likelihoods.FEW).any())
    first, second = (outputs.clone().requires_grad_() for _ in range(2))
    found = loss.errors(first, truth, series, scale)
    if family.counts:
        level, others = scale.to_data(second[..., 0], series), second[..., 1:]
        expected = family.loss(torch.cat([level[..., None], others], dim=-1), y)
    else:
        expected = family.loss(second, truth) + (scale.log_slope(truth, series) if loss.in_nats else 0.0)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    weights = torch.rand(found.shape, dtype=torch.float64, generator=generator)
    spread = outputs[..., 1].mean(dim=1, keepdim=True) if family.spreads == 1 else torch.ones(1)
    ways = ((found, first, weights), (expected, second, weights * spread / spread.mean()))
    slopes = (torch.autograd.grad((each * by).sum(), given)[0] for each, given, by in ways)
    torch.testing.assert_close(*slopes, rtol=1e-5, atol=1e-5)
