"""Metrics of rows against gluonts, in any environment that has it; `make adapters` runs these tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tsforecast.data.scaling import seasonal_scale
from tsforecast.distributions.base import LEVELS, Grid
from tsforecast.evaluation.scores import DECILES, scores
from tsforecast.evaluation.summaries import errors

pytestmark = [pytest.mark.adapters, pytest.mark.filterwarnings("ignore")]
pytest.importorskip("gluonts")

RANDOM = np.random.default_rng(0)
COUNT, HORIZON, SEASON = 12, 5, 3
SIZES = np.array([1.0, 1e3, -50.0, 1e80] * 3)[:, None]
PASTS = [size * (np.tile([1.0, 4, 2], 20)[: 9 + 4 * i] + RANDOM.normal(size=9 + 4 * i)) for i, size in enumerate(SIZES)]
Y = SIZES * RANDOM.normal(3.0, 2.0, size=(COUNT, HORIZON))
Y[1, 2] = 0.0
SPREAD = np.sort(SIZES[..., None] * RANDOM.normal(3.0, 2.0, size=(COUNT, HORIZON, len(LEVELS))), axis=-1)
GRID = Grid(SPREAD[:, :, None])
MADE = {name: values[..., 0] for name, values in scores(GRID, Y[..., None]).items()}
POINTS = GRID.quantiles([0.5])[:, :, 0, 0]
SCALES = np.array([seasonal_scale(past, SEASON) for past in PASTS])


def rows_of(y: np.ndarray = Y) -> pd.DataFrame:
    """Return a row for each series and step."""
    columns = {"y": y, "forecast": POINTS, **MADE}
    rows = pd.DataFrame({name: values.ravel() for name, values in columns.items()})
    mae, mse = np.repeat(SCALES, HORIZON, axis=0).T
    return rows.assign(model="m", target="y", series=np.repeat(np.arange(COUNT), HORIZON), naive_mae=mae, naive_mse=mse)


def data_of(y: np.ndarray = Y) -> dict[str, Any]:
    """Return numbers in the words of gluonts, with the quantiles of deciles and of intervals."""
    levels = sorted({*np.round(DECILES, 3), 0.025, 0.975})
    quantiles = GRID.quantiles(levels)[:, :, 0]
    named = {str(float(level)): quantiles[..., at] for at, level in enumerate(levels)}
    return {"label": np.ma.masked_invalid(y), "mean": POINTS, "seasonal_error": SCALES[:, :1]} | named


def theirs(metric: Any, y: np.ndarray = Y, axis: int | None = 1) -> Any:
    """Return a metric of gluonts, of each series or of all numbers."""
    evaluator = metric(axis=axis)
    evaluator.update(data_of(y))
    return np.ma.filled(evaluator.get(), np.nan)


def test_scales_are_the_seasonal_errors_of_gluonts_also_where_the_season_is_longer_than_the_history() -> None:
    from gluonts.evaluation.metrics import calculate_seasonal_error

    for past in [*PASTS, PASTS[0][:2], PASTS[0][:3], PASTS[0][:4]]:
        for season in (1, SEASON, len(past) - 1, len(past), 40):
            found = calculate_seasonal_error(past, seasonality=season)
            assert seasonal_scale(past, season)[0] == pytest.approx(found, rel=1e-12)
    assert np.isnan(seasonal_scale([3.0], 1)[0])  # of one number, as there
    assert np.isnan(calculate_seasonal_error(np.array([3.0]), seasonality=1))
    # A missing number is left out here, and leaves no scale there.
    assert seasonal_scale([1.0, np.nan, 2.0, 5.0], 1)[0] == 3.0
    assert np.isnan(calculate_seasonal_error(np.array([1.0, np.nan, 2.0, 5.0]), seasonality=1))


@pytest.mark.parametrize("missing", [False, True])
def test_metrics_of_each_series_are_those_of_gluonts(missing: bool) -> None:
    from gluonts.ev import metrics as m

    y = np.where(RANDOM.random(Y.shape) < 0.2, np.nan, Y) if missing else Y
    rows = rows_of(y)
    pairs = {
        "mae": (m.MAE("mean"), 1),
        "rmse": (m.RMSE("mean"), 1),
        "smape": (m.SMAPE("mean"), 100),
        "mape": (m.MAPE("mean"), 100),
        "mase": (m.MASE("mean"), 1),
        "msis": (m.MSIS(0.05), 1),
        "wape": (m.ND("mean"), 1),
    }
    for name, (metric, unit) in pairs.items():
        own = np.array([errors(part, metrics=[name])[name].iloc[0] for _, part in rows.groupby("series")])
        found = np.asarray(theirs(metric, y), dtype=np.float64) * unit
        np.testing.assert_allclose(own, found, rtol=1e-9, err_msg=name)


def test_wql_pools_all_series_where_these_have_as_many_numbers_each_and_else_counts_series_alike() -> None:
    from gluonts.ev import metrics as m

    levels = [float(level) for level in np.round(DECILES, 3)]
    some = np.abs(SIZES[:, 0]) < 1e10  # else one series is all of a sum
    rows = rows_of()[np.repeat(some, HORIZON)]

    def pooled(y: np.ndarray) -> float:
        evaluator = m.MeanWeightedSumQuantileLoss(levels)(axis=None)
        evaluator.update({name: values[some] for name, values in data_of(y).items()})
        return float(evaluator.get())

    assert errors(rows, metrics=["wql"])["wql"].iloc[0] == pytest.approx(pooled(Y), rel=1e-9)
    holes = Y.copy()
    holes[1, 1:] = np.nan
    missing = rows.assign(
        y=holes[some].ravel(), quantile_loss=np.where(np.isnan(holes), np.nan, MADE["quantile_loss"])[some].ravel()
    )
    missing = missing.dropna(subset="y")
    by_series = missing.assign(size=missing["y"].abs()).groupby("series")[["quantile_loss", "size"]].mean()
    ours = errors(missing, metrics=["wql"])["wql"].iloc[0]
    assert ours == pytest.approx(by_series["quantile_loss"].mean() / by_series["size"].mean(), rel=1e-9)
    sums = missing["quantile_loss"].sum() / missing["y"].abs().sum()
    assert pooled(holes) == pytest.approx(sums, rel=1e-9)
    assert abs(ours / pooled(holes) - 1) > 0.01


def test_scaled_quantile_losses_are_those_of_gluonts() -> None:
    from gluonts.ev import metrics as m

    levels = [float(level) for level in np.round(DECILES, 3)]
    found = theirs(m.AverageMeanScaledQuantileLoss(levels))
    own = MADE["quantile_loss"].mean(axis=1) / SCALES[:, 0]
    np.testing.assert_allclose(own, found, rtol=1e-9)


def test_an_outcome_at_the_end_of_an_interval_is_inside_here_and_gluonts_counts_those_up_to_a_quantile() -> None:
    from gluonts.ev import metrics as m

    rows = rows_of()
    between = theirs(m.Coverage(0.975)) - theirs(m.Coverage(0.025))
    own = np.array([errors(part, metrics=["coverage95"])["coverage95"].iloc[0] for _, part in rows.groupby("series")])
    np.testing.assert_allclose(own, between)
    at_end = rows.assign(y=rows["lo95"], pit_lo=0.025, pit_hi=0.025)
    assert errors(at_end, metrics=["coverage95"])["coverage95"].iloc[0] == 1.0
    evaluators = [m.Coverage(level)(axis=None) for level in (0.025, 0.975)]
    for each in evaluators:
        each.update(data_of(MADE["lo95"]))
    assert evaluators[1].get() - evaluators[0].get() == 0.0  # both count it
