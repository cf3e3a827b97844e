"""Metrics of whole boards against utilsforecast and sktime, on nasty panels; `make adapters` runs these tests.

Single series are compared in tests/evaluation/test_metrics.py, with numbers of these libraries that are kept.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tsforecast.data.panel import Panel
from tsforecast.distributions.base import LEVELS, Grid
from tsforecast.evaluation.backtest import backtest
from tsforecast.evaluation.metrics import losses_of_rows
from tsforecast.evaluation.scores import DECILES, scores
from tsforecast.evaluation.summaries import errors
from tsforecast.forecasters.naive import SeasonalNaiveForecaster

pytestmark = [pytest.mark.adapters, pytest.mark.filterwarnings("ignore")]

RANDOM = np.random.default_rng(0)
DAYS = pd.date_range("2024-01-01", periods=90, freq="D")
SEASON, HORIZON = 7, 4
WEEK = np.tile([5.0, 6, 7, 8, 9, 14, 12], 13)[:90]
SERIES = {
    "plain": WEEK + RANDOM.normal(size=90),
    "short": (WEEK + RANDOM.normal(size=90))[50:],
    "negative": -1e3 - 100 * WEEK + RANDOM.normal(size=90),
    "huge": 1e90 * (WEEK + RANDOM.normal(size=90)),
    "zeros": RANDOM.poisson(0.7, size=90).astype(float),
    "signs": RANDOM.normal(size=90),
    "missing": np.where(RANDOM.random(90) < 0.2, np.nan, WEEK + RANDOM.normal(size=90)),
    "constant": np.full(90, 3.0),
}
LONG = pd.concat(
    [pd.DataFrame({"unique_id": name, "ds": DAYS[-len(y) :], "y": y}) for name, y in SERIES.items()], ignore_index=True
)
POINT = ("mae", "rmse", "bias", "mape", "smape", "wape", "mase", "rmsse")
UNITS = {"mape": 100, "smape": 200}  # of ours in one of utilsforecast


def rows_of(long: pd.DataFrame, season: int = SEASON, origins: int = 6) -> pd.DataFrame:
    """Return the rows of a naive forecast from several cutoffs."""
    panel = Panel.from_frame(
        long, id="unique_id", time="ds", target="y", nan_policy="mask", season_length=season, frequency="D"
    )
    settings = {"horizon": HORIZON, "origins": origins, "audit": None, "distributions": True}
    return backtest(SeasonalNaiveForecaster(season_length=SEASON), panel, **settings)


def theirs_of(rows: pd.DataFrame, long: pd.DataFrame, season: int = SEASON) -> pd.DataFrame:
    """Return metrics of utilsforecast for each series and cutoff."""
    from utilsforecast import losses

    frame = rows.rename(
        columns={"series": "unique_id", "time": "ds", "forecast": "m", "lo80": "m-lo-80", "hi80": "m-hi-80"}
    )
    frame = frame[["unique_id", "cutoff", "ds", "y", "m", "m-lo-80", "m-hi-80"]].dropna().reset_index(drop=True)
    scaled = {"seasonality": season, "train_df": long[["unique_id", "ds", "y"]]}
    names = ("mae", "rmse", "bias", "mape", "smape", "wape")
    found = {name: getattr(losses, name)(frame, models=["m"]) for name in names}
    found |= {name: getattr(losses, name)(frame, models=["m"], **scaled) for name in ("mase", "rmsse")}
    found["coverage80"] = losses.coverage(frame, models=["m"], level=80)
    return pd.DataFrame({name: part.set_index(["unique_id", "cutoff"])["m"] for name, part in found.items()})


def ours_of(rows: pd.DataFrame, metrics: tuple[str, ...] = (*POINT, "coverage80")) -> pd.DataFrame:
    """Return our metrics for each series and cutoff."""
    parts = {
        key: errors(part, metrics=metrics).iloc[0] for key, part in rows.groupby(["series", "cutoff"], observed=True)
    }
    return pd.DataFrame(parts).T.rename_axis(["unique_id", "cutoff"])


ROWS = rows_of(LONG)


def test_the_panel_has_zeros_missing_numbers_unequal_lengths_and_several_cutoffs() -> None:
    assert ROWS.groupby("series")["cutoff"].nunique().eq(6).all()
    assert (ROWS["y"] == 0).any()
    assert (ROWS["naive_mae"] == 0).any()
    assert ROWS.groupby("series").size().loc["missing"] >= ROWS.loc[ROWS["series"] == "missing", "y"].notna().sum()
    assert 0.2 < losses_of_rows(ROWS, "coverage80").mean() < 1


@pytest.mark.parametrize("name", [*POINT, "coverage80"])
def test_each_series_and_cutoff_has_the_numbers_of_utilsforecast(name: str) -> None:
    theirs, ours = theirs_of(ROWS, LONG)[name] * UNITS.get(name, 1), ours_of(ROWS)[name]
    theirs, ours = theirs.reindex(ours.index), ours.astype(float)
    different = ~np.isclose(theirs.astype(float), ours, rtol=1e-9, equal_nan=True)
    if name in ("mase", "rmsse"):
        # No error of the past scales the constant: infinity, or no number where all is right, there; none here.
        assert ours["constant"].isna().all()
        different[ours.index.get_level_values(0) == "constant"] = False
    assert ours.notna().sum() >= 36
    assert not different.any(), pd.DataFrame({"theirs": theirs, "ours": ours})[different]


def test_each_series_and_cutoff_has_the_numbers_of_sktime() -> None:
    from sktime.performance_metrics import forecasting as m

    ours = ours_of(ROWS)
    for (name, cutoff), part in ROWS.groupby(["series", "cutoff"]):
        y, forecast = part["y"].to_numpy(), part["forecast"].to_numpy()
        own = LONG[(LONG["unique_id"] == name) & (LONG["ds"] <= cutoff)]["y"].to_numpy()
        if name in ("missing", "constant"):  # refused there; a division by the smallest float
            continue
        found = {
            "mae": m.mean_absolute_error(y, forecast),
            "rmse": m.mean_squared_error(y, forecast, square_root=True),
            "smape": 100 * m.mean_absolute_percentage_error(y, forecast, symmetric=True),
            "mase": m.mean_absolute_scaled_error(y, forecast, y_train=own, sp=SEASON),
            "rmsse": m.mean_squared_scaled_error(y, forecast, y_train=own, sp=SEASON, square_root=True),
        }
        if (y != 0).all():  # else a division by the smallest float
            found["mape"] = 100 * m.mean_absolute_percentage_error(y, forecast, symmetric=False)
        for metric, value in found.items():
            assert ours.loc[(name, cutoff), metric] == pytest.approx(value, rel=1e-9), (name, cutoff, metric)


def test_the_table_is_the_mean_over_cutoffs_then_series_but_roots_are_taken_of_a_series_as_a_whole() -> None:
    some = ROWS[~ROWS["series"].isin(["missing", "constant"])]
    theirs = theirs_of(some, LONG)
    table = errors(some, metrics=POINT).iloc[0]
    for name in ("mae", "bias", "smape", "mase"):
        per_series = theirs[name].groupby("unique_id").mean() * UNITS.get(name, 1)
        assert table[name] == pytest.approx(per_series.mean(), rel=1e-9)
    for name in ("rmse", "rmsse"):
        per_series = (theirs[name] ** 2).groupby("unique_id").mean() ** 0.5
        assert table[name] == pytest.approx(per_series.mean(), rel=1e-9)
        assert table[name] >= theirs[name].groupby("unique_id").mean().mean()
    size = some["y"].abs().groupby(some["series"]).mean()
    error = (some["y"] - some["forecast"]).abs().groupby(some["series"]).mean()
    assert table["wape"] == pytest.approx(error.mean() / size.mean(), rel=1e-9)


def test_a_season_longer_than_the_history_compares_neighbours_here_and_nothing_there() -> None:
    from sktime.performance_metrics import forecasting as m

    short = LONG[LONG["unique_id"] == "short"].tail(20)
    rows = rows_of(short, season=30, origins=1)
    past = short["y"].to_numpy()[:-HORIZON]
    assert rows["naive_mae"].to_numpy() == pytest.approx(np.abs(np.diff(past)).mean())
    assert theirs_of(rows, short, season=30)[["mase", "rmsse"]].isna().all(axis=None)
    y, forecast = rows["y"].to_numpy(), rows["forecast"].to_numpy()
    with pytest.raises(ValueError):
        m.mean_absolute_scaled_error(y, forecast, y_train=past, sp=30)


def test_quantile_losses_of_many_levels_are_those_of_utilsforecast_and_near_the_crps() -> None:
    from utilsforecast import losses

    count = 60
    spread = np.sort(RANDOM.normal(size=(count, HORIZON, 1, len(LEVELS))) * 3, axis=-1)
    grid, y = Grid(spread), RANDOM.normal(size=(count, HORIZON, 1)).round(0)  # of which many are 0
    made, deciles = scores(grid, y), grid.quantiles(DECILES)[:, :, 0]
    names = [f"q{at}" for at in range(len(DECILES))]
    frame = pd.DataFrame(deciles.reshape(-1, len(DECILES)), columns=names)
    frame = frame.assign(
        unique_id=np.repeat(np.arange(count), HORIZON), ds=np.tile(np.arange(HORIZON), count), y=y.ravel()
    )
    found = losses.mqloss(frame, models={"m": names}, quantiles=DECILES)["m"]
    np.testing.assert_allclose(made["quantile_loss"][..., 0].mean(axis=1), 2 * found, rtol=1e-9)
    many = [f"all{at}" for at in range(len(LEVELS))]
    frame = pd.concat([frame, pd.DataFrame(spread.reshape(-1, len(LEVELS)), columns=many)], axis=1)
    found = losses.mqloss(frame, models={"m": many}, quantiles=np.asarray(LEVELS))["m"]
    assert made["crps"].mean() == pytest.approx(2 * found.mean(), rel=0.02)  # whose levels are no equal steps
    rows = pd.DataFrame({"model": "m", "series": frame["unique_id"], "target": "y", "y": frame["y"], "naive_mae": 2.0})
    rows = rows.assign(forecast=0.0, **{name: value.ravel() for name, value in made.items()})
    pooled = 2 * losses.mqloss(frame, models={"m": names}, quantiles=DECILES)["m"].mean() / np.abs(y).mean()
    assert errors(rows, metrics=["wql"])["wql"].iloc[0] == pytest.approx(pooled, rel=1e-9)
    train = pd.DataFrame(
        {"unique_id": np.repeat(np.arange(count), 2), "ds": np.tile([-2, -1], count), "y": [0.0, 2.0] * count}
    )
    scaled = losses.scaled_mqloss(
        frame, models={"m": many}, quantiles=np.asarray(LEVELS), seasonality=1, train_df=train
    )
    assert errors(rows, metrics=["crps"])["crps"].iloc[0] == pytest.approx(2 * scaled["m"].mean(), rel=0.02)


def test_interval_scores_are_those_of_utilsforecast() -> None:
    from utilsforecast import losses

    some = ROWS[~ROWS["series"].isin(["missing", "constant"])]
    frame = some.rename(
        columns={"series": "unique_id", "time": "ds", "forecast": "m", "lo95": "m-lo-95", "hi95": "m-hi-95"}
    )
    frame = frame[["unique_id", "cutoff", "ds", "y", "m", "m-lo-95", "m-hi-95"]]
    found: Any = losses.winkler_score(frame, models=["m"], level=95).set_index(["unique_id", "cutoff"])["m"]
    ours = ours_of(some.assign(naive_mae=1.0), ("msis",))["msis"].astype(float)
    np.testing.assert_allclose(ours, found.reindex(ours.index), rtol=1e-9)
