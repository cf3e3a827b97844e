"""Blends of naive forecasts: what they are by hand, how their weights are learned, and that nothing is lost by them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.optimize import minimize

from tsforecast.data.panel import Panel
from tsforecast.estimators.persistence import load, save
from tsforecast.evaluation.leaderboard import leaderboard
from tsforecast.forecasters.anchors import SEASONAL, Blend, _best_weights, blend
from tsforecast.forecasters.neural import GRUForecaster
from tsforecast.forecasters.reduction import ReductionForecaster
from tsforecast.forecasters.windowed import AnchorForecaster
from tsforecast.leakage.audit import audit

B, W, H, K, SEASON = 6, 14, 9, 2, 4
CANDIDATES = (("last", 0), ("level", 0), ("drift", 0), *((kind, SEASON) for kind in SEASONAL), ("season", 3))
KNOWN = np.array([1, 3, 5, 9, 13, 14])
STARTS = np.array([0, 1, 4])
RNG = np.random.default_rng(0)


def by_hand(kind: str, season: int, there: np.ndarray, window: int, step: int) -> float:
    """Return one naive forecast from the known steps of a window: the honest twin."""
    n = len(there)
    recent = there[-season:].mean() if season else 0.0

    def profile(phase: int) -> float:
        lags = [k * season - phase for k in range(1, window // season + 1)]
        return float(np.mean([there[n - lag] for lag in lags if lag <= n] or recent))

    lag = season - step % season if season else 0
    copied = there[n - lag] if 0 < lag <= n else recent
    found: dict[str, Any] = {
        "last": lambda: there[-1],
        "level": there.mean,
        "drift": lambda: there[-1] + (step + 1) * (there[-1] - there[0]) / (window - 1) * (n == window),
        "average": lambda: recent,
        "season": lambda: copied,
        "profile": lambda: profile(step % season),
        "profile at mean": lambda: profile(step % season) + recent - there[-(window // season) * season :].mean(),
        "profile at last": lambda: profile(step % season) + there[-1] - profile(season - 1),
        "growth": lambda: (
            copied + (1 + step // season) * (recent - np.mean(there[-2 * season : -season] if n > season else recent))
        ),
    }
    return float(found[kind]())


def test_a_blend_is_the_weighted_mean_of_naive_forecasts_in_numpy_and_torch() -> None:
    past = RNG.normal(size=(B, W, K))
    weights = RNG.dirichlet(np.ones(len(CANDIDATES)), size=(1 + 3, K, len(STARTS)))
    made = Blend(H, CANDIDATES, np.array(["a", "b", "c"]), STARTS, weights)
    names = np.array(["b", "new", "a", "c", "b", "a"])
    rows, place = made.rows(names), np.array([2, 0, 1, 3, 2, 1])
    assert np.array_equal(rows, weights[place].reshape(B, -1))
    there = torch.from_numpy((np.arange(W) >= W - KNOWN[:, None])[..., None])
    found = made.forecast(past, rows, there.numpy())
    for i, known in enumerate(KNOWN):
        for h in range(H):
            for k in range(K):
                each = [by_hand(*one, past[i, W - known :, k], W, h) for one in CANDIDATES]
                group = np.searchsorted(STARTS, h, side="right") - 1
                assert found[i, h, k] == pytest.approx(weights[place[i], k, group] @ each, rel=1e-10)
    tensors = torch.from_numpy(past), torch.from_numpy(rows)
    assert np.allclose(made.forecast(*tensors, there).numpy(), found, rtol=1e-12)
    whole = made.forecast(past, rows)
    assert np.allclose(whole, made.forecast(past, rows, np.ones((B, W, 1), dtype=bool)), rtol=1e-12)
    assert np.allclose(made.forecast(*tensors).numpy(), whole, rtol=1e-12)
    other = past.copy()  # what does not exist is not read
    for i, known in enumerate(KNOWN):
        other[i, : W - known] = 1e6
    assert np.array_equal(made.forecast(other, rows, there.numpy()), found)
    moved = made.forecast(3 * past + 7, rows, there.numpy())
    assert np.allclose(moved, 3 * found + 7)


def test_the_best_weights_are_those_of_a_general_solver() -> None:
    naive, prior = RNG.normal(size=(5, 30, 4)), np.eye(4)[:1]
    truth = naive @ [0.5, 0.3, 0.4, -0.2] + 0.1 * RNG.normal(size=(5, 30))
    squares, products = naive.swapaxes(1, 2) @ naive, (naive.swapaxes(1, 2) @ truth[..., None])[..., 0]
    sizes, strength = (truth**2).sum(axis=1, keepdims=True), np.array([0.0, 0.1, 1.0, 10.0, 1e6])
    found = _best_weights(squares[:, None], products[:, None], sizes, strength=strength, prior=prior)[:, 0]
    assert (found >= 0).all()
    assert np.allclose(found.sum(axis=1), 1)
    for i in range(5):
        penalty = strength[i] * sizes[i, 0]

        def error(weights: np.ndarray, i: int = i, penalty: float = penalty) -> float:
            off = ((truth[i] - naive[i] @ weights) ** 2).sum() + penalty * ((weights - prior[0]) ** 2).sum()
            return float(off / (1 + penalty))

        limits: dict[str, Any] = {"bounds": [(0, 1)] * 4, "constraints": {"type": "eq", "fun": lambda w: w.sum() - 1}}
        best = minimize(error, np.full(4, 0.25), **limits, tol=1e-12)
        assert np.allclose(found[i], best.x, atol=1e-3)


def learned(series: Any, season: int, horizon: int = 6, **resolved: Any) -> Blend:
    panel = Panel.from_array(series, season_length=season)
    settings = {"window": 4 * season, "value_transform": None, "per_series": True} | resolved
    return blend(panel, horizon, settings, settings["window"])


def test_a_blend_is_kept_for_a_part_that_is_equal_in_all_that_it_is_learned_from() -> None:
    series = seasons(200, 6, noise=0.5)
    first, changed = learned(series, 6), series.copy()
    changed[0] = np.nextafter(changed[0], 9)
    assert learned(series.copy(), 6) is first
    for other in (
        learned(changed, 6),
        learned(series, 4),
        learned(series, 6, horizon=5),
        learned(series, 6, window=30),
    ):
        assert other is not first
    assert learned(series + 20, 6, value_transform="log") is not learned(series + 20, 6)
    for seed in range(9):
        learned(walk(60, seed), 6)
    assert learned(series, 6) is not first  # few are kept
    assert np.array_equal(learned(series, 6).weights, first.weights)


def walk(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=count).cumsum()


def seasons(count: int, season: int, seed: int = 0, noise: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.tile(rng.normal(size=season), count // season + 1)[:count] + noise * rng.normal(size=count)


@pytest.mark.parametrize("seed", range(2))  # of 100 such walks 93 are
def test_a_random_walk_is_left_with_its_last_value(seed: int) -> None:
    assert learned(walk(400, seed), 6).shares == {"last": 1.0}
    assert learned([walk(120, 10 * seed + i) for i in range(8)], 6).shares == {"last": 1.0}


def test_a_mixture_is_recovered_by_step() -> None:
    """Of a season and an autoregression around it, the last value counts one step ahead, and the profile far ahead."""
    rng, y = np.random.default_rng(0), np.zeros(4_000)
    for t in range(1, len(y)):
        y[t] = 0.9 * y[t - 1] + rng.normal()
    found = learned(y + 3 * seasons(4_000, 6), 6, horizon=24, window=60)
    at = {kind: j for j, (kind, _) in enumerate(found.candidates)}
    near, far = found.weights[0, 0, 0], found.weights[0, 0, -1]
    assert near[at["profile at last"]] > 0.5 > 0.3 > near[at["profile"]]
    assert far[at["profile"]] > 0.8 > 0.2 > far[at["profile at last"]]
    assert np.allclose(found.weights.sum(axis=-1), 1)
    assert (found.weights >= 0).all()


def test_series_of_different_kinds_have_weights_of_their_own() -> None:
    series = [walk(300, i) for i in range(6)] + [seasons(300, 6, i, noise=0.05) + 0.02 * walk(300, i) for i in range(6)]
    found = learned(series, 6)
    assert len(found.weights) == 13
    seasonal = [j for j, (kind, _) in enumerate(found.candidates) if kind in ("season", "profile at mean", "growth")]
    own = found.weights[1:, 0, -1][:, seasonal].sum(axis=1)  # of the last steps
    assert own[:6].mean() < 0.2 < 0.6 < own[6:].mean()
    assert len(learned(series, 6, per_series=False).weights) == 1
    assert len(learned([walk(300, i) for i in range(12)], 6).weights) == 1


def test_outliers_and_short_histories_do_no_harm() -> None:
    clean = seasons(600, 6, noise=0.5)
    spoilt = clean.copy()
    spoilt[::97] += 1e4
    past = clean[-24:][None, :, None]
    expected, found = (learned(data, 6) for data in (clean, spoilt))
    forecasts = [made.forecast(past, made.rows(np.array(["series"]))) for made in (expected, found)]
    errors = [np.abs(made[0, :, 0] - seasons(6, 6)).mean() for made in forecasts]
    assert errors[1] < 1.5 * errors[0]
    for count in (2, 3, 9, 14):
        model = AnchorForecaster(horizon=1, window=min(count - 1, 8))
        assert np.isfinite(model.fit(Panel.from_array(clean[:count], season_length=6)).predict()).all()
    assert np.isfinite(AnchorForecaster(horizon=2).fit(np.full(30, 5.0)).predict()).all()


def blended() -> Panel:
    return Panel.from_array([5 + walk(150, i) / 9 + (i % 2) * seasons(150, 6, i) for i in range(4)], season_length=6)


@pytest.mark.parametrize("kind", ["network", "reduction"])
def test_what_corrects_nothing_is_the_blend(kind: str) -> None:
    panel, settings = blended(), {"window": 24, "horizon": 6, "value_transform": None}
    anchor = AnchorForecaster(**settings).fit(panel)
    assert anchor.resolved_["anchor"] == "blend"
    assert sum(anchor.resolved_["blend"].values()) == pytest.approx(1, abs=0.01)
    if kind == "network":
        model: Any = GRUForecaster(**settings, units=4, max_epochs=0, validation=None).fit(panel)
        assert np.array_equal(model.predict(), anchor.predict())
    else:
        model = ReductionForecaster(**settings).fit(panel)
        for regressor in model.regressors_:
            regressor.coef_, regressor.intercept_ = 0 * regressor.coef_, 0 * regressor.intercept_
        assert np.array_equal(model.predict(), anchor.predict())
    assert [len(each) for each in model.predict(horizon=15)] == [15] * 4


def test_an_anchor_needs_no_covariates_ahead() -> None:
    days, y = pd.date_range("2024-01-01", periods=150), 5 + seasons(150, 7)
    frame = pd.DataFrame({"day": days, "y": y, "price": np.r_[np.ones(149), 1e6], "open": np.arange(150) % 2})
    settings = {"window": 21, "horizon": 5, "value_transform": None}
    model = AnchorForecaster(**settings).fit(
        Panel.from_frame(frame, time="day", target="y", past="price", future="open")
    )
    alone = AnchorForecaster(**settings).fit(Panel.from_frame(frame[["day", "y"]]))
    for horizon in (5, 12):
        assert model.predict(horizon=horizon).equals(alone.predict(horizon=horizon))


def test_a_blend_is_saved_with_its_model_and_a_model_without_one_loads(tmp_path: Path) -> None:
    panel = blended()
    for model in (
        AnchorForecaster(horizon=6, window=24).fit(panel),
        GRUForecaster(horizon=6, window=24, units=4, max_epochs=1, random_state=0).fit(panel),
        AnchorForecaster(horizon=6, window=24, anchor="last").fit(panel),
    ):
        save(model, tmp_path / "model")
        loaded = load(tmp_path / "model")
        assert np.array_equal(loaded.predict(), model.predict())
        assert (loaded.blend_ is None) == (model.resolved_["anchor"] == "last")
    plain, numbers = model.get_state()
    del plain["blend_"]  # as older models are
    restored = AnchorForecaster(horizon=6, window=24, anchor="last")
    restored.panel_, restored.horizon_ = model.panel_, model.horizon_
    restored.set_state(plain, numbers)
    assert np.array_equal(restored.predict(), model.predict())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"candidates": (("season", 99),)}, "fit in the window of 24"),
        ({"candidates": (("growth", 13),)}, "fit in the window of 24"),
        ({"candidates": (("best", 0),)}, "fit in the window of 24"),
        ({"weights": np.full((1, 1, 3, 1), 0.5)}, "sum to 1"),
        ({"weights": np.ones((2, 1, 3, 1))}, "must have shape"),
        ({"starts": np.array([1, 2, 3])}, "begin at step 0"),
    ],
)
def test_weights_that_were_damaged_are_refused(changes: dict[str, Any], message: str) -> None:
    made = {"candidates": (("last", 0),), "ids": np.array([]), "starts": STARTS, "weights": np.ones((1, 1, 3, 1))}
    assert Blend(H, **made).checked(24, 1)
    with pytest.raises(ValueError, match=message):
        Blend(H, **made | changes).checked(24, 1)


def test_rows_after_the_cutoff_change_nothing() -> None:
    series = 5 + seasons(200, 6, noise=0.3) + walk(200) / 20
    proof = audit(AnchorForecaster(horizon=4, window=18), Panel.from_array(series, season_length=6), horizon=4)
    assert proof.passed


def test_the_board_shows_the_anchor_as_a_model_of_its_own() -> None:
    panel = Panel.from_array(seasons(150, 6, noise=0.5), season_length=6)
    table = leaderboard(["anchor"], panel, horizon=3, origins=5).table.set_index("model")
    assert table.loc["anchor", "mae"] < table.loc["seasonal-naive", "mae"]
