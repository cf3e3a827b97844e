"""Paths hold together as the past did, and each number of them has its own distribution."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest

from tests.helpers.forecasters import small, wave
from tsforecast import ConformalForecaster, DataError, MeanForecaster, NaiveForecaster, Panel, ParameterError
from tsforecast.data.context import Context
from tsforecast.distributions.base import LEVELS, Grid
from tsforecast.distributions.paths import coherent, surprises


def correlated(days: int, shops: int, seed: int) -> np.ndarray:
    """Return shops that share a shock of each day, which lasts, (N, T)."""
    random = np.random.default_rng(seed)
    shock = random.normal(size=days)
    shared = np.convolve(shock, 0.6 ** np.arange(20))[:days]
    return 50 + shared + random.normal(size=(shops, days))


@pytest.mark.thorough
def test_intervals_of_sums_hold_their_share_where_those_of_independent_numbers_do_not() -> None:
    held = {"paths": [], "independent": []}
    for seed in range(25):
        sales = correlated(507, 8, seed)
        model = MeanForecaster(horizon=7).fit(list(sales[:, :500]))
        drawn = np.stack(model.sample(300, random_state=seed), axis=1)  # (P, N, H)
        random = np.random.default_rng(seed)
        alone = random.permuted(drawn, axis=0)
        for name, each in (("paths", drawn), ("independent", alone)):
            low, high = np.quantile(each.sum(axis=(1, 2)), [0.1, 0.9])
            held[name].append(low <= sales[:, 500:].sum() <= high)
    assert np.mean(held["paths"]) == pytest.approx(0.8, abs=0.14)
    assert np.mean(held["independent"]) < 0.5


def test_each_number_of_the_paths_has_its_own_distribution() -> None:
    model = NaiveForecaster(horizon=3).fit([wave(200), wave(180, 1)])
    drawn = np.stack(model.sample(4000, random_state=1), axis=1)
    found = model.predict_distribution().quantiles([0.1, 0.9])[:, :, 0]
    assert np.moveaxis(np.quantile(drawn, [0.1, 0.9], axis=0), 0, -1) == pytest.approx(found, abs=0.01)


def test_a_path_has_the_ranks_of_a_past_cutoff() -> None:
    seen = np.random.default_rng(0).normal(size=(12, 2, 3, 1))
    even = Grid(np.tile(LEVELS, (2, 3, 1, 1)))
    drawn = coherent(even, seen, np.arange(2), 12, np.random.default_rng(0))
    order = np.argsort(np.argsort(seen, axis=0), axis=0)
    mine = [tuple(path.ravel()) for path in np.floor(drawn * 12).astype(int)]
    assert sorted(mine) == sorted(tuple(one.ravel()) for one in order)


def test_of_a_series_that_some_cutoffs_lack_the_other_ranks_are_kept() -> None:
    seen = np.random.default_rng(0).normal(size=(40, 2, 2, 1))
    seen[:20, 1] = np.nan
    even = Grid(np.tile(LEVELS, (3, 2, 1, 1)))
    drawn = coherent(even, seen, np.array([0, 1, -1]), 4000, np.random.default_rng(0))
    assert drawn.mean(axis=0) == pytest.approx(np.full((3, 2, 1), 0.5), abs=0.03)
    assert np.isfinite(drawn).all()


def test_paths_are_repeated_with_a_seed_and_have_the_form_of_the_data() -> None:
    days = pd.date_range("2024-01-01", periods=120)
    frame = pd.concat([pd.DataFrame({"shop": s, "day": days, "sales": wave(120, i)}) for i, s in enumerate("ab")])
    model = NaiveForecaster(horizon=4).fit(Panel.from_frame(frame, season_length=6))
    drawn = model.sample(5, random_state=3)
    assert list(drawn.columns) == ["shop", "day", "sales", "path"]
    assert drawn.groupby("path").size().tolist() == [8] * 5
    pd.testing.assert_frame_equal(drawn, model.sample(5, random_state=3))
    assert not drawn.equals(model.sample(5, random_state=4))
    polar = NaiveForecaster(horizon=4).fit(Panel.from_frame(pl.from_pandas(frame), season_length=6)).sample(5, 3)
    assert np.array_equal(polar["sales"].to_numpy(), drawn["sales"].to_numpy())
    assert NaiveForecaster(horizon=2).fit(wave(90)).sample(6).shape == (6, 2)
    assert (
        list(NaiveForecaster(horizon=2).fit(pd.Series(wave(90), days[:90], name="y")).sample(2).columns)[-1] == "path"
    )
    assert model.sample(3, 0, frame[frame["shop"] == "b"], horizon=2)["shop"].unique().tolist() == ["b"]


@pytest.mark.parametrize("refit", [True, False])
def test_paths_of_conformal_distributions_have_their_quantiles(refit: bool) -> None:
    model = ConformalForecaster(MeanForecaster(), horizon=3, refit=refit).fit(wave(300))
    drawn = model.sample(4000, random_state=0)
    assert np.quantile(drawn, 0.9, axis=0) == pytest.approx(model.predict(quantiles=[0.9])[:, 1], abs=0.05)


def test_a_model_with_its_own_distribution_ranks_what_came_by_its_probability() -> None:
    model = ConformalForecaster(MeanForecaster(), horizon=3).fit(wave(300))
    found = surprises(model, model.panel_, np.array([250]), 3)
    truth = np.lib.stride_tricks.sliding_window_view(wave(300)[250:], 3)
    past = Context(model.panel_, np.zeros(48, dtype=int), np.arange(250, 298))
    assert found[:, 0] == pytest.approx(model.distribution(past, 3).cdf(truth[..., None]), abs=0.01)


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(DataError, match=r"at least 10 past cutoffs with 25 steps .*: the data have 6; .* <= 21"):
        small("theta", 3).fit(wave(60)).sample(horizon=25)
    with pytest.raises(ParameterError, match="paths must be a whole number >= 1: got 0"):
        small("naive").fit(wave(60)).sample(0)
