"""Metrics equal their slow twins on nasty numbers, and those of other libraries."""

from __future__ import annotations

import json
import math
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.evaluation.peer_metrics import CASES
from tsforecast.data.scaling import seasonal_scale
from tsforecast.errors import DataError, ParameterError
from tsforecast.evaluation import metrics
from tsforecast.evaluation.leaderboard import leaderboard
from tsforecast.evaluation.summaries import errors

NASTY = [
    ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]),
    ([0.0, 0.0], [0.0, 5.0]),
    ([-3.0, 4.0, 1e9], [3.0, -4.0, 1.0]),
    ([7.0], [-7.0]),
    ([1e-300, 1e300], [2e-300, 1e300]),
    ([1.0, math.nan, 3.0], [2.0, 2.0, 5.0]),
]


def pairs(y: list[float], forecast: list[float]) -> list[tuple[float, float]]:
    return [(a, f) for a, f in zip(y, forecast, strict=True) if not math.isnan(a)]


@pytest.mark.parametrize(("y", "forecast"), NASTY)
def test_each_metric_equals_its_definition_written_out(y: list[float], forecast: list[float]) -> None:
    both = pairs(y, forecast)
    absolute = [abs(a - f) for a, f in both]
    squared = [e * e for e in absolute]
    mean = sum(absolute) / len(both)
    percent = [0.0 if a == f == 0 else 200 * abs(a - f) / (abs(a) + abs(f)) for a, f in both]
    for metric, expected in [
        ("mae", mean),
        ("rmse", sum(squared) / len(both)),
        ("smape", sum(percent) / len(both)),
        ("mase", mean / 0.3),
        ("rmsse", sum(squared) / len(both) / 0.3),
    ]:
        assert np.nanmean(metrics.losses(metric, y, forecast, 0.3)) == pytest.approx(expected)


def test_a_scale_of_zero_gives_no_number_rather_than_infinity() -> None:
    assert math.isnan(metrics.losses("mase", [1.0], [2.0], 0.0)[0])
    assert math.isnan(metrics.skill(1.0, 0.0))
    assert math.isnan(metrics.losses("mae", [math.nan], [1.0])[0])


def test_the_seasonal_scale_is_the_error_of_the_seasonal_naive_on_the_training_part() -> None:
    values = np.random.default_rng(0).normal(size=50)
    for season in (1, 7, 49):
        moves = [values[t] - values[t - season] for t in range(season, 50)]
        expected = np.mean(np.abs(moves)), np.mean(np.square(moves))
        assert seasonal_scale(values, season) == pytest.approx(expected)
    assert seasonal_scale(values, 50) == seasonal_scale(values, 1)


def test_owa_of_the_reference_is_one_and_its_skill_nothing() -> None:
    assert metrics.owa(18.383, 2.395, 18.383, 2.395) == 1.0
    assert metrics.owa(9.328, 0.893, 18.383, 2.395) == pytest.approx(0.440, abs=5e-4)  # the M4 winner, Hourly
    assert metrics.skill(2.0, 2.0) == 0.0


def test_an_unknown_metric_is_refused_and_not_taken_for_another() -> None:
    with pytest.raises(ParameterError, match=r"^metric must be one of .*: got 'mpae'; did you mean"):
        metrics.losses("mpae", [1.0], [2.0])


ROWS = pd.DataFrame(
    {
        "model": ["seasonal-naive"] * 4 + ["mine"] * 4,
        "series": ["a", "a", "b", "b"] * 2,
        "target": "y",
        "y": [0.0, 4.0, 10.0, 30.0] * 2,
        "forecast": [1.0, 2.0, 20.0, 20.0, 1.0, 5.0, 12.0, 27.0],
        "naive_mae": [1.0, 1.0, 4.0, 4.0] * 2,
        "naive_mse": 1.0,
    }
)


def test_related_metrics_are_those_of_their_definitions_and_series_count_by_their_weights() -> None:
    plain = errors(ROWS, metrics=["wape", "mape", "bias", "owa"]).droplevel("seed").loc["mine"]
    assert plain["wape"] == pytest.approx((1 + 1 + 2 + 3) / (0 + 4 + 10 + 30))
    assert plain["mape"] == pytest.approx((25.0 + (20.0 + 10.0) / 2) / 2)  # the zero is left out
    assert plain["bias"] == pytest.approx((1 + 1 + 2 - 3) / 4)
    parts = errors(ROWS, metrics=["smape", "mase"]).droplevel("seed")
    assert plain["owa"] == pytest.approx(metrics.owa(*parts.loc["mine"], *parts.loc["seasonal-naive"]))
    heavy = metrics.weighted(ROWS, {"a": 1.0, "b": 3.0})
    found = errors(heavy, metrics=["mae", "rmse", "wape", "owa"]).droplevel("seed").loc["mine"]
    assert found["mae"] == pytest.approx((1.0 + 3 * 2.5) / 4)
    assert found["rmse"] == pytest.approx((1.0 + 3 * math.sqrt(6.5)) / 4)
    assert found["wape"] == pytest.approx((1 + 1 + 3 * (2 + 3)) / (4 + 3 * 40))
    parts = errors(heavy, metrics=["smape", "mase"]).droplevel("seed")
    assert found["owa"] == pytest.approx(metrics.owa(*parts.loc["mine"], *parts.loc["seasonal-naive"]))


@pytest.mark.long
def test_metrics_are_chosen_by_name_and_own_ones_have_a_direction_and_a_mean() -> None:
    def squares(y: np.ndarray, forecast: np.ndarray) -> np.ndarray:
        return (y - forecast) ** 2

    root = metrics.Metric(squares, direction="lower", aggregation="root")
    series = [np.abs(np.random.default_rng(i).normal(size=40)).round(0) for i in range(2)]
    board = leaderboard(
        ["mean"],
        series,
        horizon=2,
        origins=5,
        metric="own",
        metrics={"own": root, "wape": "wape", "mape": "mape", "bias": "bias"},
        weights={0: 1.0, 1: 3.0},
    )
    table = board.table
    np.testing.assert_allclose(table["own"], table["rmse"])
    assert {"wape", "mape", "bias"} < set(table)
    assert list(board.display_table)[:2] == ["model", "own"]
    assert any("of the true values are 0 and are left out of MAPE" in note for note in board.notes)
    assert "2 series by their weights" in board.summary_line
    assert leaderboard(["mean"], series, horizon=2, origins=5, metrics=["coverage"]).table["coverage80"].notna().all()
    ranked = leaderboard(["mean"], series, horizon=2, origins=5, metric="owa")
    assert ranked.metric == "owa"
    assert ranked.table["owa"].is_monotonic_increasing
    other = leaderboard(["mean"], series, horizon=2, origins=5, metric="owa", weights={0: 1.0, 1: 2.0})
    with pytest.raises(DataError, match="boards must have the same weights to be merged: none and 0: 1, 1: 2"):
        ranked.merge(other)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"metrics": ["wap"]}, "got 'wap'; did you mean 'wape'?"),
        ({"metric": "bias"}, "metric must be one of"),
        ({"weights": {0: 1.0}}, "weights must have a finite number above 0 for each series: '1' of 2 series have none"),
        ({"weights": {0: 1.0, 1: 0}}, "got '1': 0; leave series out of the data that do not count"),
        ({"weights": "value"}, "weights must name a static column of the data: got 'value'; pass a dict"),
        ({"weights": 3}, "weights must be a dict of series to number: got int"),
        ({"metrics": {"f": metrics.Metric(abs, direction="up")}}, "direction must be one of 'higher', 'lower'"),  # type: ignore[arg-type]
    ],
)
def test_a_metric_or_weight_that_makes_no_sense_is_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ParameterError) as caught:
        leaderboard(["mean"], [np.arange(20.0)] * 2, horizon=2, origins=2, **options)
    assert sentence in str(caught.value)


HERE = Path(__file__).parent
PEERS = json.loads((HERE / "peer_metrics.json").read_text())
UNITS = {
    **{(library, "mape"): 100 for library in PEERS["versions"]},
    ("utilsforecast", "smape"): 200,
    ("sktime", "smape"): 100,
    ("gluonts", "smape"): 100,
}  # of which one of theirs has so many of ours
ZEROS = ("zeros in the truth", "zeros in both", "only zeros in the truth")
DIFFERENT = {
    "no scale: a number without bounds there, none here": {
        *(("utilsforecast", "a constant past", metric) for metric in ("mase", "rmsse")),
        *(("sktime", "a constant past", metric) for metric in ("mase", "rmsse")),
        *(("gluonts", "a constant past", metric) for metric in ("mase", "msis")),
        *(("gluonts", case, metric) for case in ZEROS[1:] for metric in ("wape", "wql")),
    },
    "zeros of the truth: divided by the smallest float there, left out here": {("sktime", c, "mape") for c in ZEROS},
    "two zeros: left out of the mean there, no error here, as in the M4 competition": {
        ("gluonts", "zeros in both", "smape")
    },
    "ends of an interval: below the upper one there, up to it here": {("gluonts", "zeros in both", "coverage")},
    "missing numbers: refused there, left out here": {
        *(("sktime", "a missing truth", name) for name in ("mae", "rmse", "mape", "smape", "mase", "rmsse")),
        *(("sktime", "a missing past", name) for name in ("mase", "rmsse")),
    },
}


def ours(case: str) -> dict[str, float]:
    """Return the metrics of this package of one case, with an interval of a quarter of the forecast on both sides."""
    past, season, y, forecast = CASES[case]
    mae, mse = seasonal_scale(np.array(past), season)
    rows = pd.DataFrame({"series": "s", "target": "y", "y": y, "forecast": forecast}).dropna()
    side, error = rows["forecast"].abs() / 4, rows["y"] - rows["forecast"]
    rows = rows.assign(naive_mae=mae, naive_mse=mse, lo95=rows["forecast"] - side, hi95=rows["forecast"] + side)
    rows["quantile_loss"] = 2 * np.maximum(0.9 * error, -0.1 * error)
    found = {"coverage": float(((rows["lo95"] <= rows["y"]) & (rows["y"] <= rows["hi95"])).mean())}
    for name in ("mae", "rmse", "mape", "smape", "mase", "rmsse", "wape", "bias", "msis", "wql"):
        mean = float(pd.Series(metrics.losses_of_rows(rows, name)).mean())
        found[name] = math.sqrt(mean) if metrics.is_root(rows, name) else mean
    return found


def test_metrics_are_those_of_other_libraries_but_for_the_named_differences() -> None:
    different = set()
    for library, cases in PEERS["values"].items():
        for case, values in cases.items():
            own = ours(case)
            for name, value in values.items():
                theirs = math.nan if isinstance(value, str) else value * UNITS.get((library, name), 1)
                if isinstance(value, str) or not np.isclose(theirs, own[name], rtol=1e-9, equal_nan=True):
                    different.add((library, case, name))
    assert different == set().union(*DIFFERENT.values())


@pytest.mark.slow
def test_the_kept_numbers_of_other_libraries_are_those_of_the_installed_ones() -> None:
    python = Path(os.environ.get("TSFORECAST_PEERS", HERE.parents[1] / ".venv-peers" / "bin" / "python"))
    libraries = "utilsforecast, sktime, gluonts"
    if not python.is_file() or subprocess.run([python, "-c", f"import {libraries}"], capture_output=True).returncode:
        pytest.skip(f"no environment with {libraries}: name its Python in TSFORECAST_PEERS")
    done = subprocess.run(
        [python, "-W", "ignore", HERE / "peer_metrics.py"], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)["values"]
    for library, cases in PEERS["values"].items():
        for case, values in cases.items():
            for name, value in values.items():
                assert found[library][case][name] == (
                    value if isinstance(value, str) else pytest.approx(value, nan_ok=True)
                )
