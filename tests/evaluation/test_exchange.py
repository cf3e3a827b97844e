"""Rows of fev from a board by hand, and its files of tasks; `tests/adapters/test_fev.py` compares both with fev."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tsforecast.errors import DataError, ParameterError
from tsforecast.evaluation.exchange import NEAREST_METRICS, FevTask, fev_errors, read_fev_tasks
from tsforecast.evaluation.leaderboard import Leaderboard, leaderboard
from tsforecast.evaluation.overall import TASK_COLUMNS, overall, read_fev

DAYS = pd.date_range("2024-01-01", periods=60, freq="D")
DRAWN = np.random.default_rng(0)
SHOPS = pd.DataFrame(
    {
        "shop": np.repeat(["a", "b"], 60),
        "day": [*DAYS, *DAYS],
        "sales": 10 + np.tile([0.0, 1, 2, 3, 4, 9, 7], 18)[:120] + DRAWN.normal(size=120),
        "price": DRAWN.normal(size=120),
        "kind": np.repeat(["old", "new"], 60),
    }
)
TASK = {"dataset_path": "shops.parquet", "horizon": 3, "num_windows": 4, "window_step_size": 2, "seasonality": 7}
TASK |= {"id_column": "shop", "timestamp_column": "day", "target": "sales"}


class Broken:
    """A model that fails."""

    def fit(self, frame: Any) -> None:
        raise ValueError("no luck")

    def predict(self, horizon: int) -> Any:
        """Never get here."""


@pytest.fixture(scope="module")
def board() -> Leaderboard:
    models = {"mean": "mean", "broken": Broken()}
    return leaderboard(["mean", models["broken"]], SHOPS[["shop", "day", "sales"]], horizon=3, origins=4, step=2)


def written(folder: Path, **fields: Any) -> Path:
    """Write a file with one task, and its data."""
    import yaml

    SHOPS.to_parquet(folder / "shops.parquet")
    (folder / "tasks.yaml").write_text(yaml.safe_dump({"tasks": [TASK | fields]}))
    return folder / "tasks.yaml"


def test_a_row_has_the_mean_over_windows_of_the_metric_of_each(board: Leaderboard) -> None:
    rows = board.to_fev(extra_metrics=["RMSSE", "WAPE"]).set_index("model_name")
    own = board.rows[board.rows["model"] == "mean"]
    expected: dict[str, list[float]] = {"MASE": [], "RMSSE": [], "WAPE": []}
    for _, part in own.groupby("cutoff"):
        error = (part["y"] - part["forecast"]).abs()
        expected["MASE"].append((error / part["naive_mae"]).mean())
        expected["RMSSE"].append(np.sqrt((error**2 / part["naive_mse"]).mean()))
        expected["WAPE"].append(error.sum() / part["y"].abs().sum())
    for name, values in expected.items():
        assert rows.loc["mean", name] == pytest.approx(np.mean(values)), name
    assert rows.loc["mean", "test_error"] == rows.loc["mean", "MASE"]
    assert (rows["num_forecasts"] == 2 * 4).all()
    assert rows.loc["mean", "initial_cutoff"] == own["cutoff"].min().isoformat()
    assert rows.loc["mean", "num_windows"] == 4
    assert rows.loc["mean", "window_step_size"] == 2
    assert rows.loc["mean", "seasonality"] == 7
    assert rows.loc["mean", "dataset_path"].startswith("sha256:")


def test_a_model_that_failed_has_a_row_without_an_error(board: Leaderboard) -> None:
    row = board.to_fev().set_index("model_name").loc["Broken"]
    assert np.isnan(row["test_error"])
    assert "no luck" in row["error"]
    assert overall(board.to_fev()).table.set_index("model").loc["Broken", "failed"] == 1


@pytest.mark.parametrize("suffix", [".csv", ".json", ".parquet"])
def test_rows_that_are_written_are_read(board: Leaderboard, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"rows{suffix}"
    rows = board.to_fev(path, task={"task_name": "shops", "static_columns": ["kind"]}, metric="RMSE")
    both = read_fev(path, rows.assign(model_name="other " + rows["model_name"]))
    assert both["task"].unique().tolist() == ["shops"]
    np.testing.assert_allclose(both["test_error"][: len(rows)], rows["test_error"])


def test_seeds_and_windows_are_averaged_and_not_pooled() -> None:
    base = {"series": "a", "target": "y", "cutoff": 0, "step": 1, "y": 0.0, "naive_mae": 1.0, "naive_mse": 1.0}
    rows = pd.DataFrame(
        [{**base, "model": "m", "seed": seed, "forecast": value} for seed, value in ((0, 3.0), (1, 5.0))]
    )
    assert fev_errors(rows, ["RMSE"]).loc["m", "RMSE"] == 4.0


def test_a_board_that_fev_cannot_state_is_refused(board: Leaderboard) -> None:
    with pytest.raises(
        ParameterError, match="fev has no gap between a cutoff and the first step: the board has one of 1"
    ):
        leaderboard(["mean"], SHOPS[["shop", "day", "sales"]], horizon=2, origins=2, gap=1).to_fev()
    with pytest.raises(ParameterError, match="did you mean 'MASE'"):
        board.to_fev(metric="MASEE")
    with pytest.raises(ParameterError, match="field 'id_colum' is none of fev's; did you mean 'id_column'"):
        board.to_fev(task={"id_colum": "x"})
    with pytest.raises(ParameterError, match=r"must be written to a file in \.csv, \.json, \.parquet: got 'x\.txt'"):
        board.to_fev("x.txt")
    weighed = leaderboard(["mean"], SHOPS[["shop", "day", "sales"]], 2, 2, weights={"a": 1, "b": 2})
    with pytest.raises(ParameterError, match="fev has no weights of series"):
        weighed.to_fev()


def test_a_task_is_a_panel_and_the_settings_of_a_leaderboard(tmp_path: Path) -> None:
    fields = {"known_dynamic_columns": ["price"], "static_columns": ["kind"], "eval_metric": "WAPE"}
    [task] = read_fev_tasks(written(tmp_path, **fields))
    panel = task.load(beside=tmp_path)
    assert (panel.roles.target, panel.roles.future, panel.roles.static) == (("sales",), ("price",), ("kind",))
    found = leaderboard(["mean"], panel, **task.settings())
    rows = found.rows[found.rows["model"] == "mean"]
    assert sorted(rows["cutoff"].unique()) == [DAYS[at] for at in (50, 52, 54, 56)]
    stated = found.to_fev(task=task.fields)
    assert {name: stated[name].iloc[0] for name in ("dataset_path", "initial_cutoff", "id_column")} == {
        "dataset_path": "shops.parquet",
        "initial_cutoff": "-9",
        "id_column": "shop",
    }
    assert stated["eval_metric"].iloc[0] == "WAPE"


@pytest.mark.long
@pytest.mark.parametrize(
    ("fields", "newest"),
    [
        ({"initial_cutoff": -20}, 60 - 20 + 6 - 1),
        ({"initial_cutoff": 30}, 30 + 6 - 1),
        ({"initial_cutoff": "2024-02-01"}, 31 + 6),
    ],
)
def test_windows_begin_at_the_first_cutoff(tmp_path: Path, fields: dict[str, Any], newest: int) -> None:
    [task] = read_fev_tasks(written(tmp_path, **fields))
    found = leaderboard(["mean"], task.load(beside=tmp_path), **task.settings())
    cutoffs = found.rows["cutoff"].unique()
    assert len(cutoffs) == 4
    assert max(cutoffs) == DAYS[newest]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"horizn": 3}, "task 1: field 'horizn' is not known; did you mean 'horizon'?"),
        ({"horizon": "three"}, "task 1: field 'horizon' cannot be 'three'"),
        ({"horizon": 0}, "horizon must be a whole number >= 1: got 0"),
        ({"eval_metric": "MASSE"}, "metric 'MASSE' is none of fev's; did you mean"),
        ({"eval_metric": {"name": "MASE", "epsilon": 0.1}}, "metrics must have no epsilon"),
        ({"eval_metric": "SQL", "quantile_levels": [0.1, 0.9]}, "quantile_levels must be 0.1, 0.2, ..., 0.9 for SQL"),
        ({"max_context_length": 50}, "max_context_length cannot be kept: got 50"),
        ({"window_step_size": "D"}, "window_step_size must be a number of steps without initial_cutoff"),
    ],
)
def test_faults_of_a_task_are_sentences(tmp_path: Path, fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(DataError) as caught:
        read_fev_tasks(written(tmp_path, **fields))
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"dataset_config": "m4"}, "shops.parquet is on a hub, and nothing is downloaded: save its Parquet files as"),
        ({"dataset_path": "s3://x/y.parquet"}, "s3://x/y.parquet is not on this machine: save it"),
        ({"dataset_path": "none.parquet"}, "there is no such file"),
        ({"dataset_path": "tasks.yaml"}, "must be Parquet, or a stream of Arrow"),
        ({"target": "sale"}, "the data must have columns 'sale': they have 'shop', 'day', 'sales'"),
        ({"initial_cutoff": -3}, "initial_cutoff must leave 9 steps for its windows: got -3"),
        ({"initial_cutoff": 55}, "series must have 64 steps for cutoffs that count from their beginning: 2 of 2 have"),
        ({"initial_cutoff": "2024-02-28"}, "series must go on for 9 steps after 2024-02-28: none does"),
        ({"initial_cutoff": "2024-02-01", "window_step_size": "2D"}, "must be a number of steps: got '2D'"),
        ({"generate_univariate_targets_from": ["z"]}, "generate_univariate_targets_from must name columns"),
    ],
)
def test_data_that_cannot_be_read_are_sentences(tmp_path: Path, fields: dict[str, Any], sentence: str) -> None:
    [task] = read_fev_tasks(written(tmp_path, **fields))
    with pytest.raises(DataError) as caught:
        task.load(beside=tmp_path)
    assert sentence in str(caught.value)


def test_a_dataset_of_a_hub_is_read_from_a_folder(tmp_path: Path) -> None:
    [task] = read_fev_tasks(written(tmp_path, dataset_path="hub/shops", dataset_config="daily"))
    (tmp_path / "daily").mkdir()
    SHOPS[:60].to_parquet(tmp_path / "daily" / "one.parquet")
    SHOPS[60:].to_parquet(tmp_path / "daily" / "two.parquet")
    assert task.name == "daily"
    assert task.load(tmp_path).ids.tolist() == ["a", "b"]


def test_other_files_are_no_tasks(tmp_path: Path) -> None:
    for text in ("tasks: 3", "- 1", "tasks: [", "tasks: []", ""):
        (tmp_path / "x.yaml").write_text(text)
        with pytest.raises(DataError, match=r"x\.yaml' must"):
            read_fev_tasks(tmp_path / "x.yaml")
    with pytest.raises(DataError, match="No such file"):
        read_fev_tasks(tmp_path / "none.yaml")


def test_former_names_of_fields_are_read(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("tasks: [{dataset_path: a.parquet, num_rolling_windows: 3, target_column: y}]")
    [task] = read_fev_tasks(tmp_path / "x.yaml")
    assert (task.num_windows, task.target) == (3, "y")


def test_every_column_of_a_task_is_a_field() -> None:
    assert set(TASK_COLUMNS) | {"task_name"} == set(FevTask(dataset_path="x").fields)
    assert set(NEAREST_METRICS.values()) >= {"mase", "crps", "wql", "rmse"}


def test_a_metric_is_that_of_each_window_where_windows_have_different_numbers_of_series() -> None:
    longer = SHOPS[(SHOPS["shop"] == "a") | (SHOPS["day"] < DAYS[54])][["shop", "day", "sales"]]
    board = leaderboard(["mean"], longer, horizon=3, origins=3, align="time")
    own = board.rows[board.rows["model"] == "mean"]
    counts = own.groupby("cutoff")["series"].nunique()
    assert counts.tolist() == [2, 1, 1]
    found = board.to_fev(metric="RMSE", extra_metrics=["WAPE"]).set_index("model_name").loc["mean"]
    parts = [part for _, part in own.groupby("cutoff")]
    error = [(part["y"] - part["forecast"]).abs() for part in parts]
    assert found["RMSE"] == pytest.approx(np.mean([np.sqrt((each**2).mean()) for each in error]))
    wape = [each.sum() / part["y"].abs().sum() for each, part in zip(error, parts, strict=True)]
    assert found["WAPE"] == pytest.approx(np.mean(wape))


@pytest.mark.long
@pytest.mark.parametrize(("align", "windows", "start"), [("end", 2, "-6"), ("time", 2, "2024-02-23T00:00:00")])
def test_windows_of_series_with_ends_of_their_own_count_from_each_end(align: Any, windows: int, start: str) -> None:
    lengths = {"a": 60, "b": 60, "c": 50, "d": 30}
    parts = [pd.DataFrame({"id": name, "day": DAYS[:n], "y": DRAWN.normal(size=n)}) for name, n in lengths.items()]
    rows = leaderboard(["mean"], pd.concat(parts), horizon=3, origins=2, align=align).to_fev()
    assert set(rows["num_windows"]) == {windows}
    assert set(rows["initial_cutoff"]) == {start}
