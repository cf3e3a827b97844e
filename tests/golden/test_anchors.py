"""Naive forecasts on public data reproduce published numbers: metric, scaling and split are the field's."""

from __future__ import annotations

import numpy as np
import pytest

from tests.helpers import metrics
from tsforecast.catalog.loaders import load_dataset
from tsforecast.data.scaling import ScalingRecipe
from tsforecast.estimators.registry import make
from tsforecast.evaluation.backtest import backtest
from tsforecast.evaluation.metrics import owa as owa_of
from tsforecast.evaluation.results import ForecastResults

from_rows = ForecastResults.from_rows

pytestmark = pytest.mark.usefixtures("data_folder")


@pytest.mark.parametrize(
    ("name", "smape", "mase", "owa"), [("naive", 43.003, 11.608, 3.593), ("seasonal-naive", 13.912, 1.193, 0.627)]
)
def test_m4_hourly_naive_rows_are_exact(name: str, smape: float, mase: float, owa: float) -> None:
    # Source: Mcompetitions/M4-methods, "Evaluation and Ranks.xlsx"; Naive2 has sMAPE 18.383 and MASE 2.395.
    panel = load_dataset("m4-hourly")
    assert len(panel) == 414
    record = from_rows(backtest(make(name), panel, horizon=48), reference=name).table.iloc[0]
    assert record["smape"] == pytest.approx(smape, abs=5e-4)
    assert record["mase"] == pytest.approx(mase, abs=5e-4)
    assert owa_of(record["smape"], record["mase"], 18.383, 2.395) == pytest.approx(owa, abs=6e-4)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("horizon", "windows", "naive", "seasonal"),
    [
        (96, 2785, (1.294, 0.713), (0.512, 0.433)),
        (192, 2689, (1.325, 0.733), (0.581, 0.469)),
        (336, 2545, (1.330, 0.746), (0.650, 0.501)),
        (720, 2161, (1.335, 0.755), (0.655, 0.514)),
    ],
)
def test_etth1_naive_rows_are_exact_over_all_windows(
    horizon: int, windows: int, naive: tuple[float, float], seasonal: tuple[float, float]
) -> None:
    panel = load_dataset("etth1").until(np.array([14_400]))
    scaling = ScalingRecipe().fit(panel.values[:8_640], np.array([0, 8_640]), targets=7)
    panel = panel.with_values(scaling.transform(panel.values, 0))
    assert 2_880 - horizon + 1 == windows
    for name, expected in [("naive", naive), ("seasonal-naive", seasonal)]:
        rows = backtest(make(name), panel, horizon, origins=windows, step=1)
        assert len(rows) == windows * horizon * 7
        got = metrics.mse(rows["y"], rows["forecast"]), metrics.mae(rows["y"], rows["forecast"])
        assert got == pytest.approx(expected, abs=6e-4)


def test_sunspots_one_step_persistence_is_exact() -> None:
    panel = load_dataset("sunspots")
    values = panel.values[:3_277]  # 1749-01 to 2022-01, as the published rows
    months = len(values) - int(0.8 * len(values))
    rows = backtest(make("naive"), values[:, 0].copy(), horizon=1, origins=months, step=1)
    assert metrics.rmse(rows["y"], rows["forecast"]) == pytest.approx(24.97, abs=0.005)
    assert metrics.mae(rows["y"], rows["forecast"]) == pytest.approx(18.00, abs=0.005)


def test_us_births_and_hospital_naive_rows_are_exact() -> None:
    # Source: Monash archive (Godahewa et al. 2021).
    births = from_rows(backtest(make("naive"), load_dataset("us-births"), horizon=30), reference="naive").table.iloc[0]
    assert births["mae"] == pytest.approx(1152.667, abs=5e-4)
    for name, births_mase, hospital_mase in [("naive", 4.199, 0.968), ("seasonal-naive", 1.700, 0.921)]:
        for dataset, horizon, expected in [("us-births", 30, births_mase), ("hospital", 12, hospital_mase)]:
            rows = backtest(make(name), load_dataset(dataset), horizon=horizon)
            assert from_rows(rows, reference=name).table["mase"].item() == pytest.approx(expected, abs=6e-4)
