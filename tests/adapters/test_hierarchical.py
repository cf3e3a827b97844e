"""Reconciliation against HierarchicalForecast: `make adapters` runs it, where that is installed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tsforecast import Hierarchy, reconcile
from tsforecast.hierarchies.reconciliation import Covariance

methods = pytest.importorskip("hierarchicalforecast.methods", reason="make adapters installs hierarchicalforecast")
utils = pytest.importorskip("hierarchicalforecast.utils")
pytestmark = [pytest.mark.adapters, pytest.mark.filterwarnings("ignore")]

REGIONS, CITIES = 5, 4
TREE = Hierarchy.of(
    {
        "all": {f"{r}-{c}": "total" for r in range(REGIONS) for c in range(CITIES)},
        "region": {f"{r}-{c}": f"region {r}" for r in range(REGIONS) for c in range(CITIES)},
    }
)
GROUPED = Hierarchy.of(
    {
        "all": {f"{r}-{c}": "total" for r in range(REGIONS) for c in range(CITIES)},
        "region": {f"{r}-{c}": f"region {r}" for r in range(REGIONS) for c in range(CITIES)},
        "kind": {f"{r}-{c}": f"kind {c}" for r in range(REGIONS) for c in range(CITIES)},
    }
)
THEIRS = {"ols": "ols", "wls-structure": "wls_struct", "wls-variance": "wls_var", "mint": "mint_shrink"}


def case(tree: Hierarchy, times: int, seed: int) -> tuple[Any, Any]:
    """Return base forecasts (N, 6), and correlated errors with mean zero, (T, N)."""
    random, count = np.random.default_rng(seed), len(tree.names)
    mixing = np.eye(count) + 0.4 * random.normal(size=(count, count)) / np.sqrt(count)
    errors = random.normal(size=(times, count)) @ mixing * random.uniform(0.5, 3, count)
    return 20 + 5 * random.normal(size=(count, 6)), errors - errors.mean(
        axis=0
    ) + 2e-4 / times  # they centre, and refuse zeros


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("times", [15, 60, 600])
@pytest.mark.parametrize("tree", [TREE, GROUPED], ids=["tree", "grouped"])
@pytest.mark.parametrize("method", THEIRS)
def test_reconciled_forecasts_are_those_of_hierarchicalforecast(
    method: Any, tree: Hierarchy, times: int, seed: int
) -> None:
    base, errors = case(tree, times, seed)
    ours = reconcile(base, tree, method, residuals=errors)
    other = methods.MinTrace(THEIRS[method])
    summing = tree.summing.toarray()
    theirs = other.fit_predict(
        S=summing,
        y_hat=base,
        y_insample=errors.T,
        y_hat_insample=np.zeros_like(errors.T),
    )["mean"]
    assert np.abs(ours - theirs).max() < {"mint": 1e-4, "wls-variance": 1e-5}.get(method, 1e-10)  # theirs have a ridge


@pytest.mark.parametrize("times", [15, 60, 600])
def test_the_shrunk_covariance_is_theirs(times: int) -> None:
    _, errors = case(TREE, times, 0)
    theirs = utils._shrunk_covariance_schaferstrimmer_no_nans(np.ascontiguousarray(errors.T), 0.0)
    ours = Covariance.of(errors)
    assert ours.matrix() / ours.matrix()[0, 0] == pytest.approx(theirs / theirs[0, 0], rel=1e-5, abs=1e-8)


def test_bottom_up_and_shares_are_theirs() -> None:
    base, _ = case(TREE, 10, 0)
    history = np.random.default_rng(0).uniform(1, 3, size=(30, len(TREE.series)))
    summing = TREE.summing.toarray()
    tags = {
        level: np.flatnonzero([TREE.level_of[name] == level for name in TREE.names]) for level in TREE.level_of.values()
    }
    theirs = methods.BottomUp().fit_predict(S=summing, y_hat=base)["mean"]
    assert reconcile(base, TREE, "bottom-up") == pytest.approx(theirs)
    top = methods.TopDown("proportion_averages").fit_predict(
        S=summing, y_hat=base, tags=tags, y_insample=summing @ history.T
    )["mean"]
    assert reconcile(base, TREE, "top-down", history=history) == pytest.approx(top)
    shares = methods.TopDown("forecast_proportions").fit_predict(S=summing, y_hat=base, tags=tags)["mean"]
    assert reconcile(base, TREE, "top-down-forecasts") == pytest.approx(shares)
