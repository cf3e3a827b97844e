"""Rows and tasks of fev against fev itself: `make adapters` runs them, where it is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from tsforecast.distributions.base import quantile_losses
from tsforecast.evaluation.exchange import NEAREST_METRICS, QUANTILE_METRICS, fev_errors, read_fev_tasks
from tsforecast.evaluation.leaderboard import Leaderboard, leaderboard
from tsforecast.evaluation.overall import TASK_COLUMNS, overall, read_fev

fev = pytest.importorskip("fev", reason="fev is not installed; make adapters installs it")
pytestmark = [pytest.mark.adapters, pytest.mark.filterwarnings("ignore")]

LEVELS = [round(level / 10, 1) for level in range(1, 10)]
METRICS = [name for name in NEAREST_METRICS if name not in QUANTILE_METRICS]
YAML = """tasks:
- dataset_path: data.parquet
  task_name: shops
  horizon: 3
  num_windows: 4
  window_step_size: 2
  seasonality: 7
  eval_metric: MASE
  extra_metrics: [WAPE, RMSSE]
  id_column: shop
  timestamp_column: day
  target: sales
  static_columns: [kind]
- dataset_path: data.parquet
  task_name: dated
  horizon: 3
  num_windows: 2
  initial_cutoff: "2024-03-20"
  seasonality: 7
  eval_metric: RMSSE
  id_column: shop
  timestamp_column: day
  target: [prices, sales]
- dataset_path: data.parquet
  task_name: early
  horizon: 2
  num_windows: 2
  initial_cutoff: -20
  seasonality: 1
  eval_metric: SMAPE
  id_column: shop
  timestamp_column: day
  generate_univariate_targets_from: [prices, sales]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place, rng = tmp_path_factory.mktemp("fev"), np.random.default_rng(0)
    parts = []
    for name, first, kind in (("b", 0, "new"), ("a", 25, "old"), ("c", 10, "new")):
        days = pd.date_range("2024-01-01", periods=100, freq="D")[first:]
        sales = 10 + np.tile([0, 1, 2, 3, 4, 9, 7], 20)[first:100] + rng.normal(size=len(days))
        prices = 3 + rng.normal(size=len(days)).cumsum() / 5
        parts.append(pd.DataFrame({"shop": name, "day": days, "sales": sales, "prices": prices, "kind": kind}))
    nested = [
        {name: part[name].iloc[0] if name in ("shop", "kind") else part[name].to_numpy() for name in part}
        for part in parts
    ]
    pd.DataFrame(nested).to_parquet(place / "data.parquet")
    pd.concat(parts).to_parquet(place / "long.parquet")
    (place / "tasks.yaml").write_text(YAML)
    return place


@pytest.fixture(scope="module")
def boards(folder: Path) -> list[tuple[Any, Leaderboard]]:
    """The board of each task, and the task of fev."""
    ours = read_fev_tasks(folder / "tasks.yaml")
    theirs = fev.Benchmark.from_yaml(folder / "tasks.yaml").tasks
    found = []
    for one, other in zip(ours, theirs, strict=True):
        other.dataset_path = str(folder / "data.parquet")
        models = ["mean", "theta"] if one.name == "shops" else ["mean"]
        found.append((other, leaderboard(models, one.load(beside=folder), audit=None, **one.settings())))
    return found


def predictions(task: Any, rows: pd.DataFrame, quantiles: np.ndarray | None = None) -> list[Any]:
    """Return the forecasts of one model in the form of fev, window by window, and series by their names."""
    names = ["forecast"]
    if quantiles is not None:
        names += [str(level) for level in LEVELS]
        rows = rows.assign(**{name: quantiles[:, at] for at, name in enumerate(names[1:])})
    newest = rows.groupby("series", observed=True)["cutoff"].rank("dense", ascending=False)
    found = []
    for _, part in sorted(rows.groupby(-newest), key=lambda each: each[0]):
        of_targets = {}
        for target, one in part.groupby("target", observed=True):
            series = one.sort_values(["series", "step"]).groupby(one["series"].astype(str), sort=True)
            lists = [{name: each[name].tolist() for name in names} for _, each in series]
            of_targets[str(target)] = [{"predictions": each.pop("forecast"), **each} for each in lists]
        found.append(of_targets)
    return found


def test_windows_series_and_truth_of_a_task_are_those_of_fev(boards: list[tuple[Any, Leaderboard]]) -> None:
    for task, board in boards:
        rows = board.rows[board.rows["model"] == "naive"]
        newest = rows.groupby("series", observed=True)["cutoff"].rank("dense", ascending=False)
        for number, window in enumerate(task.iter_windows(num_proc=1)):
            truth = window.get_ground_truth()
            part = rows[newest == task.num_windows - number]
            assert sorted(truth[task.id_column]) == sorted(part["series"].astype(str).unique())
            for name in task.target_columns:
                held = {str(row[task.id_column]): np.asarray(row[name], dtype=float) for row in truth}
                for series, mine in part[part["target"] == name].groupby("series", observed=True):
                    np.testing.assert_allclose(mine.sort_values("step")["y"], held[str(series)])


@pytest.mark.parametrize("at", [0, 1, 2])
def test_each_point_metric_is_that_of_fev(boards: list[tuple[Any, Leaderboard]], at: int) -> None:
    task, board = boards[at]
    ours = fev_errors(board.rows, METRICS)
    for model, rows in board.rows.groupby("model", observed=True):
        whole = fev.Task(**{**task.to_dict(), "extra_metrics": [name for name in METRICS if name != task.eval_metric]})
        theirs = whole.evaluation_summary(predictions(whole, rows), model_name=str(model))
        for name in METRICS:
            assert ours.loc[model, name] == pytest.approx(theirs[name], rel=1e-9), name


def test_each_quantile_metric_is_that_of_fev(boards: list[tuple[Any, Leaderboard]]) -> None:
    task, board = boards[0]
    rows = board.rows[board.rows["model"] == "mean"].reset_index(drop=True)
    quantiles = rows[["forecast"]].to_numpy() + 2.0 * norm.ppf(LEVELS) + np.linspace(0, 0.5, len(rows))[:, None]
    losses = [quantile_losses(rows["y"].to_numpy(), quantiles[:, at], level) for at, level in enumerate(LEVELS)]
    ours = fev_errors(rows.assign(quantile_loss=2 * np.mean(losses, axis=0)), QUANTILE_METRICS).iloc[0]
    fields = {"eval_metric": "SQL", "extra_metrics": ["WQL", "MQL"], "quantile_levels": LEVELS}
    whole = fev.Task(**{**task.to_dict(), **fields})
    theirs = whole.evaluation_summary(predictions(whole, rows, quantiles), model_name="mean")
    for name in QUANTILE_METRICS:
        assert ours[name] == pytest.approx(theirs[name], rel=1e-9), name


def test_rows_of_a_board_are_those_that_fev_writes(boards: list[tuple[Any, Leaderboard]], folder: Path) -> None:
    for task, board in boards:
        rows = board.to_fev(task=task.to_dict())
        for _, mine in rows.iterrows():
            made = board.rows[board.rows["model"] == mine["model_name"]]
            theirs = task.evaluation_summary(predictions(task, made), model_name=mine["model_name"])
            assert set(theirs) - set(rows) == set()
            assert mine["test_error"] == pytest.approx(theirs["test_error"], rel=1e-9)
            assert mine["num_forecasts"] == theirs["num_forecasts"]
            both = read_fev([dict(mine), theirs | {"model_name": "theirs"}])
            assert both["task"].nunique() == 1, {name: (mine[name], theirs[name]) for name in TASK_COLUMNS}


@pytest.mark.parametrize("suffix", [".csv", ".json"])
def test_fev_ranks_our_rows_as_we_do(boards: list[tuple[Any, Leaderboard]], tmp_path: Path, suffix: str) -> None:
    files = []
    for task, board in boards:
        files.append(str(tmp_path / f"{task.task_name}{suffix}"))
        board.to_fev(files[-1], task=task.to_dict())
    options = {"baseline_model": "seasonal-naive", "missing_strategy": "impute", "n_resamples": 1000}
    theirs = fev.leaderboard(files, **options)
    ours = overall(tuple(files), "seasonal-naive").table.set_index("model")
    assert set(ours.index) == set(theirs.index) == {"naive", "seasonal-naive", "drift", "mean", "theta"}
    for mine, name in (("skill", "skill_score"), ("win_rate", "win_rate")):
        for end, word in (("", ""), ("_low", "_lower"), ("_high", "_upper")):
            np.testing.assert_allclose(ours[mine + end], theirs.loc[ours.index, name + word], rtol=1e-9, err_msg=name)
    assert ours["failed"].to_dict() == theirs["num_failures"].to_dict()
    pairs = fev.pairwise_comparison(files, **options)["win_rate"].unstack()
    found = overall(tuple(files), "seasonal-naive").win_rates
    for one in found:
        for other in found:
            if one != other:
                assert found.loc[one, other] == pytest.approx(pairs.loc[one, other])


def test_rows_that_fev_wrote_are_read(boards: list[tuple[Any, Leaderboard]], tmp_path: Path) -> None:
    lines = []
    for task, board in boards:
        for model, rows in board.rows.groupby("model", observed=True):
            lines.append(task.evaluation_summary(predictions(task, rows), model_name=str(model), training_time_s=1.0))
    pd.DataFrame(lines).to_csv(tmp_path / "rows.csv", index=False)
    options = {"baseline_model": "naive", "missing_strategy": "drop"}
    theirs = fev.leaderboard(str(tmp_path / "rows.csv"), **options)
    ours = overall(tmp_path / "rows.csv", "naive", failures="drop").table.set_index("model")
    np.testing.assert_allclose(ours["skill"], theirs.loc[ours.index, "skill_score"], rtol=1e-9)
    np.testing.assert_allclose(ours["win_rate"], theirs.loc[ours.index, "win_rate"], rtol=1e-9)
    assert (ours["tasks"] == 1).all()  # theta was fitted to one of them alone


def test_a_long_table_is_read_as_a_nested_one_is(folder: Path) -> None:
    [task, *_] = read_fev_tasks(folder / "tasks.yaml")
    (folder / "long.yaml").write_text(YAML.replace("data.parquet", "long.parquet"))
    [other, *_] = read_fev_tasks(folder / "long.yaml")
    assert task.load(beside=folder).fingerprint() == other.load(beside=folder).fingerprint()
