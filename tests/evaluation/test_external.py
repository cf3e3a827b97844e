"""Forecasts that were made elsewhere: the board that our own models get, in any layout, and refusals."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from tests.helpers.commands import tsforecast
from tsforecast.data.panel import Panel
from tsforecast.errors import DataError, ParameterError
from tsforecast.evaluation.leaderboard import Leaderboard, leaderboard
from tsforecast.forecasters.naive import MeanForecaster, WindowAverageForecaster

DAYS = pd.date_range("2024-01-01", periods=40, freq="D")
NOISE = np.random.default_rng(0).normal(size=(2, 40))
TRUTH = pd.DataFrame(
    {"unique_id": np.repeat(["b", "a"], 40), "ds": np.tile(DAYS, 2), "y": 20 + NOISE.cumsum(axis=1).ravel()}
)
MODELS = {"mean": MeanForecaster(), "average": WindowAverageForecaster()}
KEYS = ["unique_id", "ds", "cutoff"]


@pytest.fixture(scope="module")
def own() -> Leaderboard:
    """Return the board of our own models, with intervals."""
    return leaderboard(MODELS, Panel.of(TRUTH), horizon=3, origins=6, distributions=True, audit=None)


@pytest.fixture(scope="module")
def wide(own: Leaderboard) -> pd.DataFrame:
    """Return their forecasts as NeuralForecast and StatsForecast lay them out."""
    rows = own.rows.rename(columns={"series": "unique_id", "time": "ds"}).astype({"model": str, "unique_id": str})
    parts = []
    for name in MODELS:
        mine = rows[rows["model"] == name].set_index(KEYS)
        ends = {f"{name}-lo-80": mine["lo80"], f"{name}-hi-80": mine["hi80"]}
        parts.append(pd.DataFrame({"y": mine["y"], name: mine["forecast"], **ends}))
    joined = pd.concat([parts[0], parts[1].drop(columns="y")], axis=1).reset_index()
    return joined.sample(frac=1, random_state=0, ignore_index=True)


def long(wide: pd.DataFrame) -> pd.DataFrame:
    """Return forecasts with a row for each model."""
    parts = []
    for name in MODELS:
        ends = {f"{name}-lo-80": "0.1", f"{name}-hi-80": "0.9", name: "forecast"}
        parts.append(wide[[*KEYS, *ends]].rename(columns=ends).assign(model=name))
    return pd.concat(parts, ignore_index=True)


def nested(wide: pd.DataFrame) -> pd.DataFrame:
    """Return forecasts with a row for each cutoff, and lists of steps without their times."""
    listed = long(wide).sort_values("ds").groupby(["model", "unique_id", "cutoff"], sort=False)
    return listed[["forecast", "0.1", "0.9"]].agg(list).reset_index().rename(columns={"forecast": "predictions"})


LAYOUTS = {
    "medians as points": lambda wide: wide.rename(columns={name: f"{name}-median" for name in MODELS}),
    "ends named by levels": lambda wide: wide.rename(
        columns={
            f"{name}-{end}-80": f"{name}_ql{level}" for name in MODELS for end, level in (("lo", 0.1), ("hi", 0.9))
        }
    ),
    "frames with columns of the model's name": lambda wide: {
        name: wide[[*KEYS, *(column for column in wide if column.startswith(name))]].rename(
            columns={f"{name}-lo-80": "lo-80", f"{name}-hi-80": "hi-80"}
        )
        for name in MODELS
    },
    "a column for each model": lambda wide: wide.astype({"mean": np.float32, "y": np.float32}),
    "the id in the index": lambda wide: wide.set_index("unique_id"),
    "polars": lambda wide: pl.from_pandas(wide),
    "a row for each model": long,
    "lists of steps": nested,
    "a frame for each model": lambda wide: {
        name: long(wide).query(f"model == '{name}'").drop(columns="model").rename(columns={"forecast": "mean"})
        for name in MODELS
    },
}


@pytest.mark.long
@pytest.mark.parametrize("layout", LAYOUTS)
def test_given_forecasts_have_the_errors_verdicts_and_reference_of_those_that_were_made_here(
    layout: str, own: Leaderboard, wide: pd.DataFrame
) -> None:
    board = Leaderboard.from_forecasts(LAYOUTS[layout](wide), TRUTH)
    columns = ["mase", "mae", "rmse", "smape", "coverage80", "width80"]
    ours, theirs = (each.table.set_index("model").loc[list(MODELS)] for each in (own, board))
    np.testing.assert_allclose(theirs[columns], ours[columns], rtol=1e-5)
    np.testing.assert_allclose(theirs["crps"], ours["crps"], rtol=0.1)  # of three quantiles in place of all
    naive = [each.table.set_index("model").loc["drift", [*columns, "crps"]] for each in (own, board)]
    np.testing.assert_allclose(*naive)
    assert board.reference == own.reference
    assert {name: verdict.outcome for name, verdict in board.verdicts.items()} == {
        name: verdict.outcome for name, verdict in own.verdicts.items()
    }
    (note,) = board.notes
    assert note.endswith("scores of distributions are of curves through the few quantiles that were given")


def test_a_board_of_given_forecasts_is_kept_reported_and_has_a_record(wide: pd.DataFrame, tmp_path: Path) -> None:
    points = wide[[*KEYS, "mean"]].rename(columns={"mean": "theirs"})
    board = Leaderboard.from_forecasts(points, TRUTH, metrics={"big": lambda y, forecast: abs(y - forecast) > 2})
    assert board.record is not None
    assert (board.record.horizon, board.record.origins, board.record.step, board.record.gap) == (3, 6, 3, 0)
    assert "crps" not in board.table
    assert "big" in board.table
    board.to_parquet(tmp_path / "rows.parquet")
    assert Leaderboard.from_parquet(tmp_path / "rows.parquet").table.equals(board.table)


@pytest.mark.thorough
def test_a_board_of_given_forecasts_has_a_page(wide: pd.DataFrame) -> None:
    page = str(Leaderboard.from_forecasts(wide, TRUTH).to_html())
    assert "average" in page
    assert "Intervals" in page


@pytest.mark.long
def test_forecasts_without_cutoffs_begin_right_after_them_and_a_gap_is_seen(wide: pd.DataFrame) -> None:
    last = wide[wide["cutoff"] == wide["cutoff"].max()]
    plain = last[["unique_id", "ds", "mean"]].rename(columns={"mean": "theirs"})
    board = Leaderboard.from_forecasts(plain, TRUTH)
    assert board.rows["cutoff"].unique().tolist() == [pd.Timestamp(last["cutoff"].iloc[0])]
    gapped = last.assign(cutoff=last["cutoff"] - pd.Timedelta("2D"))[[*KEYS, "average"]]
    record = Leaderboard.from_forecasts(gapped, TRUTH).record
    assert record is not None
    assert (record.gap, record.horizon) == (2, 3)


def without(wide: pd.DataFrame, **columns: Any) -> pd.DataFrame:
    """Return forecasts of one model with some columns changed."""
    return wide[[*KEYS, "y", "mean"]].rename(columns={"mean": "theirs"}).assign(**columns)


WRONG: dict[str, tuple[Any, str]] = {
    "twice": (
        lambda wide: pd.concat([without(wide), without(wide).head(2)]),
        "a model must forecast each series, cutoff and step once: 'theirs' has 2 rows more, the first for series",
    ),
    "a model lacks rows": (
        lambda wide: long(wide).drop(index=[0, 1]),
        "model 'mean' must forecast what the others do: it lacks 2 of 36 forecasts, the first for series",
    ),
    "a step is missing": (
        lambda wide: without(wide)[lambda frame: frame["ds"] != DAYS[24]],
        "each cutoff must have the same steps: series 'b', cutoff 2024-01-22 has 2 of 3 (and 1 more)",
    ),
    "another truth": (
        lambda wide: without(wide, y=wide["y"] + (wide["ds"] == DAYS[30])),
        "column 'y' must hold the numbers of the truth: 2 of 36 differ, the first for series",
    ),
    "another series": (
        lambda wide: without(wide, unique_id=wide["unique_id"].replace("a", "c")),
        "forecasts must be of series of the truth: it has no 'c'",
    ),
    "another time": (
        lambda wide: without(wide, ds=wide["ds"] + pd.Timedelta("1h")),
        "column 'ds' must hold times of the truth: ",
    ),
    "cutoffs after the forecasts": (
        lambda wide: without(wide, cutoff=wide["ds"]),
        "a forecast must lie after its cutoff: series",
    ),
    "no past": (
        lambda wide: without(wide, cutoff=DAYS[0] - pd.Timedelta("1D")),
        "column 'cutoff' must hold times of the truth: 2023-12-31 is none of series 'b', which has 2024-01-01",
    ),
    "no number": (lambda wide: wide[KEYS], "forecasts must have a column of numbers: there is none besides"),
    "no times": (lambda wide: wide[["unique_id", "mean"]], "forecasts must have their times: no column is one of ds"),
    "no series": (lambda wide: wide[["ds", "mean"]], "forecasts must name their series: no column is one of unique_id"),
    "the name of a naive one": (
        lambda wide: without(wide).rename(columns={"theirs": "drift"}),
        "given models must have names of their own: 'drift' is made here; rename it",
    ),
    "ends alone": (
        lambda wide: wide[[*KEYS, "mean-lo-80", "mean-hi-80"]],
        "model 'mean' must have a point forecast or a median: it has 'mean-lo-80', 'mean-hi-80' alone; add it",
    ),
    "two points": (
        lambda wide: wide[[*KEYS, "average"]].assign(model="a", other=1.0),
        "forecasts must have one column of point forecasts: 'average', 'other' hold numbers; pass forecast=...",
    ),
    "no cutoff": (
        lambda wide: without(wide)[lambda frame: frame["ds"] != DAYS[24]].drop(columns="cutoff"),
        "without a column of cutoffs each series has one: pass cutoff=...",
    ),
    "a cutoff is missing": (
        lambda wide: without(wide, cutoff=wide["cutoff"].where(wide.index > 0)),
        "column 'cutoff' must be complete: row 0 has none",
    ),
    "no rows": (lambda wide: wide.head(0), "forecasts must have a row at least: there are none"),
    "no models": (lambda wide: {}, "forecasts must have a row at least: there are none"),
    "no frame": (lambda wide: wide.to_numpy(), "forecasts must be a frame, or a dict of model to frame: got ndarray"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_forecasts_that_cannot_be_compared_are_refused_with_the_place(fault: str, wide: pd.DataFrame) -> None:
    change, sentence = WRONG[fault]
    with pytest.raises(DataError) as caught:
        Leaderboard.from_forecasts(change(wide), TRUTH)
    assert sentence in str(caught.value)


def test_covariates_of_the_truth_are_no_models_and_forecasts_without_a_number_are_named(wide: pd.DataFrame) -> None:
    truth = Panel.from_frame(TRUTH.assign(price=1.0), target="y", future="price")
    given = without(wide, price=1.0).sort_values(KEYS, ignore_index=True)
    given.loc[[2, 5], "theirs"] = [np.inf, np.nan]
    board = Leaderboard.from_forecasts(given, truth)
    assert set(board.table["model"]) == {"theirs", "naive", "seasonal-naive", "drift"}
    assert any(note.startswith("theirs: 2 of 36 forecasts are no finite numbers, the first") for note in board.notes)
    assert "theirs cannot be compared" in str(board)


def test_a_column_that_is_named_must_exist(wide: pd.DataFrame) -> None:
    with pytest.raises(ParameterError, match="cutoff='cut' is no column of the forecasts; did you mean 'cutoff'"):
        Leaderboard.from_forecasts(wide, TRUTH, cutoff="cut")


def theirs(wide: pd.DataFrame) -> pd.DataFrame:
    """Return the forecasts under names that are none of the naive family."""
    return wide.rename(columns={name: name.replace(model, f"my {model}") for model in MODELS for name in wide
                                if name.startswith(model)})  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("refit", [False, True])
def test_given_forecasts_stand_on_one_board_with_models_that_are_fitted(
    own: Leaderboard, wide: pd.DataFrame, refit: bool
) -> None:
    board = leaderboard(
        [MeanForecaster(), theirs(wide)], TRUTH, horizon=3, origins=6, distributions=True, audit=None, refit=refit
    )
    columns = ["mase", "mae", "rmse", "coverage80", "width80"]
    table = board.table.set_index("model")
    np.testing.assert_allclose(table.loc["my mean", columns], own.table.set_index("model").loc["mean", columns])
    np.testing.assert_allclose(table.loc["my average", columns], own.table.set_index("model").loc["average", columns])
    assert table.loc["my mean", "mase"] == pytest.approx(table.loc["mean", "mase"], rel=1e-9)
    assert table.loc["my mean", "leak_audit"] == "not run"
    assert {"my mean", "my average", "mean"} <= board.verdicts.keys()
    assert "my average" in str(board.to_html())


def test_some_of_the_given_cutoffs_and_steps_are_enough_for_a_board(own: Leaderboard, wide: pd.DataFrame) -> None:
    frame = theirs(wide)[[*KEYS, "my mean"]]
    frame["my mean"] += (frame["ds"] - frame["cutoff"]).dt.days  # each step has its own forecast
    board = leaderboard({"vendor": frame}, TRUTH, horizon=2, gap=1, origins=2, step=3, audit=None)
    there = board.rows.query("model == 'vendor'")
    whole = own.rows.query("model == 'mean' and step > 1").assign(step=lambda rows: rows["step"] - 1)
    same = there.merge(whole, on=["series", "cutoff", "step"], suffixes=("", "_there"))
    assert len(same) == len(there) == 2 * 2 * 2
    np.testing.assert_allclose(same["forecast"], same["forecast_there"] + same["step"] + 1)
    np.testing.assert_array_equal(same["y"], same["y_there"])


def test_cutoffs_that_were_not_forecast_are_refused_with_those_that_were(wide: pd.DataFrame) -> None:
    sentence = (
        "must be of the cutoffs of the board: 18 of 24 are missing, the first for series 'b', cutoff 2024-01-28, step "
        "4; there are 6 cutoffs from 2024-01-22 to 2024-02-06, 3 steps apart, of steps 1 to 3: choose horizon, origins"
    )
    with pytest.raises(DataError, match=sentence):
        leaderboard([theirs(wide)], TRUTH, horizon=4, origins=3, audit=None)
    with pytest.raises(DataError, match=r"'mean' is on the board already; rename it"):
        leaderboard([MeanForecaster(), wide], TRUTH, horizon=3, origins=6, audit=None)


@pytest.mark.thorough
def test_a_file_among_the_models_of_the_command_line_has_forecasts(tmp_path: Path, wide: pd.DataFrame) -> None:
    TRUTH.to_csv(tmp_path / "truth.csv", index=False)
    theirs(wide)[[*KEYS, "my mean"]].to_csv(tmp_path / "vendor.csv", index=False)
    words = ("leaderboard", "truth.csv", "--horizon", "3", "--origins", "6", "--models", "mean,vendor.csv")
    done = tsforecast(*words, cwd=tmp_path, width=200)
    assert done.returncode == 0, done.stderr
    mean, vendor = (re.search(rf"│ {name} +│ ([\d.]+)", done.stdout) for name in ("mean", "vendor"))
    assert mean is not None
    assert vendor is not None
    assert mean[1] == vendor[1]
    assert "not run: vendor" in done.stdout
