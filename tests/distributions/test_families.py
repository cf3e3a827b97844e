"""Families: likelihoods as scipy has them, gradients, quantiles and probabilities, scores in closed form."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from tsforecast.data.scaling import Scaling, ScalingRecipe
from tsforecast.distributions.base import LEVELS, Distribution, quantile_losses
from tsforecast.distributions.counts import NegativeBinomial, Poisson, ZeroInflated
from tsforecast.distributions.families import Family, Laplace, Normal, OfTorch, Quantiles, StudentT
from tsforecast.distributions.parametric import Parametric
from tsforecast.errors import DataWarning

COUNTS = [Poisson(), NegativeBinomial(), ZeroInflated(Poisson()), ZeroInflated(NegativeBinomial())]
SYMMETRIC = [Normal(), StudentT(), Laplace()]
Q = np.array([1e-6, 0.005, 0.1, 0.5, 0.9, 0.995, 1 - 1e-6])


def of_scipy(family: Family, parameters: np.ndarray) -> object:
    """Return the distributions of scipy; of counts without zeros of their own."""
    first, *rest = np.moveaxis(parameters, -1, 0)
    if isinstance(family, Poisson):
        return stats.poisson(first)
    if isinstance(family, NegativeBinomial):
        return stats.nbinom(1 / rest[0], 1 / (1 + rest[0] * first))
    if isinstance(family, StudentT):
        return stats.t(rest[1], first, rest[0])
    return {"normal": stats.norm, "laplace": stats.laplace}[family.name](first, rest[0])


def symmetric(family: Family, count: int = 1_000) -> tuple[np.ndarray, np.ndarray]:
    """Return parameters with tiny and huge scales, and truths near by and far out."""
    rng = np.random.default_rng(0)
    location, scale = rng.normal(size=count) * 100, np.exp(rng.uniform(-12, 12, count))
    parameters = [location, scale, 2 + np.exp(rng.uniform(-6, 11, count))][: family.outputs]
    far = np.where(np.arange(count) % 10 == 0, 1_000.0, 1.0)
    return np.stack(parameters, axis=-1), location + scale * far * rng.standard_t(3, count)


def counts(family: Family, count: int = 1_000, largest: float = 9.0) -> tuple[np.ndarray, np.ndarray]:
    """Return parameters with tiny and huge means and dispersions, and counts among which are zeros."""
    rng = np.random.default_rng(0)
    mean, dispersion = np.exp(rng.uniform(-9, largest, count)), np.exp(rng.uniform(-13, 5, count))
    share = rng.uniform(1e-6, 1 - 1e-6, count)
    inner = [mean, dispersion] if "negative" in family.name else [mean]
    parameters = [*inner, share] if "zero" in family.name else inner
    y = rng.poisson(mean * np.exp(rng.normal(size=count)))
    return np.stack(parameters, axis=-1), np.where(np.arange(count) % 7 == 0, 0, y).astype(float)


@pytest.mark.parametrize("family", [*SYMMETRIC, *COUNTS], ids=lambda family: family.name)
def test_likelihoods_are_those_of_scipy(family: Family) -> None:
    parameters, y = counts(family) if family.counts else symmetric(family)
    found = family.log_likelihood(torch.from_numpy(parameters), torch.from_numpy(y)).numpy()
    if isinstance(family, ZeroInflated):
        share, inner = parameters[:, -1], parameters[:, :-1].copy()
        inner[:, 0] /= 1 - share
        with np.errstate(divide="ignore"):
            zero = np.where(y == 0, np.log(share), -np.inf)
        expected = np.logaddexp(zero, np.log1p(-share) + of_scipy(family.base, inner).logpmf(y))
    else:
        theirs = of_scipy(family, parameters)
        expected = theirs.logpmf(y) if family.counts else theirs.logpdf(y)
        if isinstance(family, Laplace):  # theirs is that of a density, which is zero far out
            expected = -np.abs(y - parameters[:, 0]) / parameters[:, 1] - np.log(2 * parameters[:, 1])
    assert np.isfinite(found).all()
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-6)


@pytest.mark.long
@pytest.mark.sample(3)
@pytest.mark.parametrize("family", [*SYMMETRIC, Quantiles([0.1, 0.3, 0.9]), *COUNTS], ids=lambda family: family.name)
def test_gradients_are_those_of_differences(family: Family) -> None:
    generator = torch.Generator().manual_seed(0)
    outputs = torch.randn(60, family.outputs, dtype=torch.float64, generator=generator)
    outputs[:, 1 : 1 + family.spreads] = outputs[:, 1 : 1 + family.spreads].exp()
    if family.counts:
        outputs[:, 0] = torch.linspace(-3, 9, 60).exp()
        outputs[:3, 0] = torch.tensor([-5.0, -0.01, 0.01])  # a level below zero has a positive mean as well
        if family.outputs > 1:
            outputs[::2, 1] = torch.linspace(-9, -1, 30)  # dispersions for which the series counts
    y = torch.arange(60, dtype=torch.float64) % 7 if family.counts else 3 * outputs.flip(0)[:, 0] + 0.123
    assert torch.autograd.gradcheck(lambda outputs: family.loss(outputs, y), outputs.requires_grad_())


@pytest.mark.parametrize("family", [*SYMMETRIC, *COUNTS[:2]], ids=lambda family: family.name)
def test_quantiles_probabilities_and_moments_are_those_of_scipy(family: Family) -> None:
    parameters, y = counts(family, 300) if family.counts else symmetric(family, 300)
    theirs = of_scipy(family, parameters[:, None])
    assert family.quantiles(parameters, Q) == pytest.approx(theirs.ppf(Q), rel=1e-6)
    theirs = of_scipy(family, parameters)
    for at in (y, y + 0.5, y - 1):
        assert family.cdf(parameters, at) == pytest.approx(theirs.cdf(at), abs=1e-9)
        assert family.below(parameters, at) == pytest.approx(theirs.cdf(np.ceil(at) - 1 if family.counts else at))
    assert family.mean(parameters) == pytest.approx(theirs.mean(), rel=1e-6)
    mode = family.mode(parameters)
    density = theirs.pmf if family.counts else theirs.pdf
    assert (density(mode) >= np.maximum(density(mode - 1), density(mode + 1)) * (1 - 1e-9)).all()


@pytest.mark.thorough
def test_scores_are_those_of_scoringrules() -> None:
    import scoringrules  # which compiles for seconds

    (normal, y), (laplace, z), (student, t) = (symmetric(family) for family in (Normal(), Laplace(), StudentT()))
    assert Normal().crps(normal, y) == pytest.approx(scoringrules.crps_normal(y, *normal.T), rel=1e-9)
    assert Laplace().crps(laplace, z) == pytest.approx(scoringrules.crps_laplace(z, *laplace.T), rel=1e-9)
    location, scale, degrees = student.T
    expected = scoringrules.crps_t(t, degrees, location, scale)
    assert StudentT().crps(student, t) == pytest.approx(expected, rel=1e-6)
    poisson, y = counts(Poisson(), largest=3)  # theirs has no number where a factorial is too large
    y = np.minimum(y, 60)
    assert COUNTS[0].crps(poisson, y) == pytest.approx(scoringrules.crps_poisson(y, poisson[:, 0]), abs=1e-9)
    binomial, y = counts(NegativeBinomial(), largest=5)
    size, share = 1 / binomial[:, 1], 1 / (1 + binomial[:, 1] * binomial[:, 0])
    expected = scoringrules.crps_negbinom(y, size, share)
    known = (binomial[:, 1] > 1e-3) & np.isfinite(expected)
    assert known.sum() > 500
    assert COUNTS[1].crps(binomial, y)[known] == pytest.approx(expected[known], rel=1e-6, abs=1e-8)


@pytest.mark.long
@pytest.mark.parametrize("family", COUNTS, ids=lambda family: family.name)
def test_scores_quantiles_and_modes_of_counts_follow_from_their_probabilities(family: Family) -> None:
    parameters, y = counts(family, 60, largest=3)
    if "negative" in family.name:
        parameters[:, 1] = np.minimum(parameters[:, 1], 2.0)
    if "zero" in family.name:
        parameters[:, -1] = np.minimum(parameters[:, -1], 0.9)
    grid = np.arange(20_000.0)
    for each, truth in zip(parameters, y, strict=True):
        below = family.cdf(np.tile(each, (len(grid), 1)), grid)
        score = ((below - (grid >= truth)) ** 2).sum()
        assert family.crps(each[None], np.array([truth]))[0] == pytest.approx(score, rel=1e-5, abs=1e-6)
        assert family.quantiles(each[None], Q)[0].tolist() == [np.argmax(below >= level) for level in Q]
        assert family.mode(each[None])[0] == np.argmax(np.diff(below, prepend=0.0))
        assert family.mean(each[None])[0] == pytest.approx((1 - below).sum(), rel=1e-6)


def scaling_of(transform: str | None) -> Scaling:
    rng = np.random.default_rng(0)
    values = np.exp(rng.normal(size=(60, 1)) + 2)
    return ScalingRecipe(transform).fit(values, np.array([0, 30, 60]), 1)


def forecast_of(family: Family, transform: str | None) -> Parametric:
    rng = np.random.default_rng(1)
    outputs = np.concatenate([rng.normal(size=(2, 3, 1, 1)), rng.uniform(0.2, 1, (2, 3, 1, family.outputs - 1))], -1)
    return Parametric(family, outputs, scaling_of(transform))


@pytest.mark.parametrize("family", [*SYMMETRIC, Quantiles()], ids=lambda family: family.name)
@pytest.mark.parametrize("transform", [None, "log", "box-cox"])
def test_quantiles_of_a_transformed_distribution_are_the_transformed_quantiles(
    family: Family, transform: str | None
) -> None:
    found = forecast_of(family, transform)
    scaled = family.quantiles(found.parameters, Q[1:-1])
    expected = np.stack([found.scaling.inverse(scaled[..., at], np.arange(2)) for at in range(scaled.shape[-1])], -1)
    assert found.quantiles(Q[1:-1]) == pytest.approx(expected, rel=1e-12)
    for at, level in enumerate(Q[1:-1]):
        assert found.cdf(expected[..., at]) == pytest.approx(np.full(found.shape, level), abs=1e-9)
    assert found.quantiles([0.5])[..., 0] == pytest.approx(found.point("median"))


@pytest.mark.parametrize("transform", ["log", "box-cox"])
def test_probabilities_below_all_of_training_are_those_of_the_quantiles(transform: str) -> None:
    """Contexts are held at an edge there; the truth of a walk that falls is not."""
    walks = np.cumsum(np.random.default_rng(0).normal(size=(60, 1)), axis=0)
    scaling = ScalingRecipe(transform).fit(walks, np.array([0, 30, 60]), 1)
    least = -scaling.shift[:, None]
    low, edge = (
        replace(scaling, edge=0 * scaling.edge).transform(least + share * scaling.edge[:, None], np.arange(2))
        for share in (0.5, 1.0)
    )
    found = Parametric(Normal(), np.stack([low, (edge - low) / 10], axis=-1), scaling)
    for level in (0.1, 0.5, 0.9):
        assert found.cdf(found.quantiles([level])[..., 0]) == pytest.approx(np.full(found.shape, level), abs=1e-4)
    assert not found.cdf(least - 1.0).any()
    assert not found.below(least).any()


@pytest.mark.parametrize("family", [*SYMMETRIC, Quantiles()], ids=lambda family: family.name)
@pytest.mark.parametrize("transform", [None, "log", "box-cox"])
def test_closed_forms_agree_with_the_grid_of_quantiles(family: Family, transform: str | None) -> None:
    found = forecast_of(family, transform)
    y = found.quantiles([0.2, 0.7])
    if isinstance(family, Normal) and transform != "box-cox":  # thin tails; the others are cut off by the grid
        assert found.mean() == pytest.approx(Distribution.mean(found), rel=0.02)
    for at in (0, 1):
        assert found.crps(y[..., at]) == pytest.approx(Distribution.crps(found, y[..., at]), rel=0.02)
    width = np.diff(found.quantiles([0.25, 0.75]))[..., 0]
    around = np.stack([found.cdf(found.mode() + width * by + width / 20) - found.cdf(
        found.mode() + width * by - width / 20) for by in (-0.3, 0, 0.3)])  # fmt: skip
    assert (around[1] >= around.max(axis=0) - 0.012).all()
    assert (found.steps(slice(1, 2)).median() == found.median()[:, 1:2]).all()


@pytest.mark.parametrize("power", [0.0, 0.2, 0.6])
def test_the_median_stands_in_for_an_infinite_mean(power: float) -> None:
    """Of t with about 4 degrees of freedom: of any logarithm, and of powers up to a quarter."""
    found = forecast_of(StudentT(), "box-cox")
    outputs = np.concatenate([found.outputs[..., :2], np.full((*found.shape, 1), 1.87)], axis=-1)
    found = replace(
        found, outputs=outputs, scaling=replace(found.scaling, power=np.full_like(found.scaling.power, power))
    )
    if power > 0.25:
        assert (found.mean() != found.median()).all()
        return
    with pytest.warns(DataWarning, match="^6 of 6 means are infinite, of a student-t distribution of logarithms or"):
        assert (found.mean() == found.median()).all()


def test_the_mean_of_a_logarithm_that_is_laplace_is_finite_up_to_a_spread_of_one() -> None:
    found = forecast_of(Laplace(), "log")
    wide = found.scaling.scale[:, None, :1] * found.outputs[..., 1]
    found = replace(found, outputs=found.outputs * np.array([1, 0.99 / wide.max()]))
    assert np.isfinite(found.mean()).all()
    with pytest.warns(DataWarning, match="means are infinite, of a laplace distribution"):
        wider = replace(found, outputs=found.outputs * np.array([1, 1.02])).mean()
    assert (wider != found.mean()).any()


@pytest.mark.thorough
def test_a_logarithm_that_is_normal_has_the_score_of_scoringrules() -> None:
    import scoringrules  # which compiles for seconds

    found = forecast_of(Normal(), "log")
    scaling = found.scaling
    location = found.outputs[..., 0] * scaling.scale[:, None] + scaling.location[:, None]
    deviation = found.outputs[..., 1] * scaling.scale[:, None]
    for y in (np.exp(location - 2), np.exp(location), np.full(found.shape, 100.0)):
        assert found.crps(y) == pytest.approx(scoringrules.crps_lognormal(y, location, deviation), rel=1e-9)
    assert found.crps(np.full(found.shape, -3.0)) == pytest.approx(found.crps(np.zeros(found.shape)) + 3)
    assert found.mean() == pytest.approx(np.exp(location + deviation**2 / 2))


def test_quantiles_never_cross_and_go_on_beyond_their_levels() -> None:
    family = Quantiles([0.1, 0.25, 0.8])
    assert family.levels.tolist() == [0.1, 0.25, 0.5, 0.8]
    outputs = torch.tensor([[5.0, 1.0, 2.0, 4.0]], dtype=torch.float64)  # the median, two steps down, one up
    parameters = family.parameters(outputs).numpy()
    assert parameters.tolist() == [[2.0, 4.0, 5.0, 9.0]]
    found = family.quantiles(parameters, LEVELS)[0]
    assert (np.diff(found) > 0).all()
    assert found[0] < 2
    assert found[-1] > 9
    assert family.quantiles(parameters, family.levels).tolist() == parameters.tolist()
    assert family.cdf(np.tile(parameters, (len(LEVELS), 1)), found) == pytest.approx(LEVELS)


def test_the_loss_of_quantiles_is_twice_their_mean_quantile_loss() -> None:
    family, generator = Quantiles([0.1, 0.25, 0.8]), torch.Generator().manual_seed(0)
    outputs = torch.rand(50, 4, dtype=torch.float64, generator=generator)
    y = 3 * torch.rand(50, dtype=torch.float64, generator=generator) - 1
    expected = quantile_losses(y.numpy()[:, None], family.parameters(outputs).numpy(), family.levels)
    assert family.loss(outputs, y).numpy() == pytest.approx(2 * expected.mean(axis=-1))


@pytest.mark.long
def test_a_distribution_of_torch_answers_with_icdf_or_from_samples() -> None:
    parameters = np.array([[1.0, 2.0], [3.0, 0.5]])
    gumbel = OfTorch(lambda p: torch.distributions.Gumbel(p[..., 0], p[..., 1]), 2, 1)
    theirs = stats.gumbel_r(parameters[:, :1], parameters[:, 1:])
    assert gumbel.quantiles(parameters, Q) == pytest.approx(theirs.ppf(Q), rel=1e-6)
    assert gumbel.cdf(parameters, np.array([1.0, 4.0])) == pytest.approx(theirs.cdf([[1.0], [4.0]])[:, 0])
    assert gumbel.mean(parameters) == pytest.approx(theirs.mean()[:, 0])
    drawn = OfTorch(lambda p: torch.distributions.StudentT(5.0, p[..., 0], p[..., 1]), 2, 1)
    theirs = stats.t(5, parameters[:, :1], parameters[:, 1:])
    levels = np.array([0.1, 0.5, 0.9])
    assert drawn.quantiles(parameters, levels) == pytest.approx(theirs.ppf(levels), abs=0.4)
    assert (drawn.quantiles(parameters, levels) == drawn.quantiles(parameters, levels)).all()
    assert drawn.cdf(parameters, np.array([1.0, 3.5])) == pytest.approx(theirs.cdf([[1.0], [3.5]])[:, 0], abs=0.05)


@pytest.mark.parametrize("family", [Normal(), Laplace(), StudentT(), Quantiles()], ids=lambda family: family.name)
def test_a_start_is_the_likeliest_spread_of_the_errors_by_step(family: Family) -> None:
    rng = np.random.default_rng(0)
    location = rng.normal(size=(4_000, 2, 1)) * 10
    y = location + np.array([[1.0], [3.0]]) * rng.standard_t(5, size=location.shape)
    y[::3, 1] = np.nan
    start = family.start(location, y)
    outputs = np.concatenate([np.zeros((2, 1, 1)), start], axis=-1)
    parameters = family.parameters(torch.from_numpy(outputs)).numpy()
    levels = np.array([0.25, 0.5, 0.75])
    found = family.quantiles(parameters, levels)[:, 0]
    expected = np.array([[1.0], [3.0]]) * stats.t(5).ppf(levels)
    assert found == pytest.approx(expected, abs=0.2 if family.name in ("student-t", "quantile") else 0.5)
    tilted = np.concatenate([np.zeros((2, 1, 1)), start * 1.05], axis=-1)
    errors = torch.from_numpy(np.nan_to_num(y - location))
    losses = [
        family.loss(torch.from_numpy(part).expand(4_000, -1, -1, -1), errors).numpy() for part in (outputs, tilted)
    ]
    there = ~np.isnan(y)
    assert losses[0][there].mean() <= losses[1][there].mean() + (1e-3 if family.name == "quantile" else 0)
