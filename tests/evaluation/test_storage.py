"""Results travel as Parquet and stand on one board where they belong together; else the field that differs is named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

from tests.helpers.forecasters import ROW_COLUMNS, small, wave
from tsforecast.data.panel import Panel
from tsforecast.errors import DataError, ParameterError, UnknownNameError
from tsforecast.evaluation.backtest import backtest
from tsforecast.evaluation.leaderboard import Leaderboard, leaderboard
from tsforecast.forecasters.naive import DriftForecaster, MeanForecaster, NaiveForecaster

DAYS = pd.date_range("2024-01-01", periods=90)
KINDS = {
    "dates": pd.Series(wave(90), index=DAYS, name="load"),
    "index": [wave(90), wave(70, 1)],
    "teams": Panel.from_frame(
        pd.concat([pd.DataFrame({"who": n, "day": DAYS, "y": wave(90, i), "team": n}) for i, n in enumerate("ab")]),
        id="who", group="team", target="y",
    ),
}  # fmt: skip


@pytest.mark.long
@pytest.mark.sample(2)
@pytest.mark.parametrize("kind", KINDS)
def test_a_board_is_the_same_after_a_way_through_parquet(kind: str, tmp_path: Path) -> None:
    board = leaderboard({"gru": small("gru")}, KINDS[kind], horizon=3, origins=6, seeds=2, metric="rmse")
    board.to_parquet(tmp_path / "rows.parquet")
    again = Leaderboard.from_parquet(tmp_path / "rows.parquet")
    assert Leaderboard.from_parquet(tmp_path).rows.equals(again.rows)  # a folder of results
    pd.testing.assert_frame_equal(again.rows, board.rows, check_exact=True)
    pd.testing.assert_frame_equal(again.table, board.table, check_exact=True)
    assert (again.metric, again.reference, again.notes) == (board.metric, board.reference, board.notes)
    assert repr(again) == repr(board)
    assert again.to_json() == board.to_json()
    assert again.record.fits == board.record.fits
    pd.testing.assert_frame_equal(again.record.past, board.record.past, check_exact=True)
    assert tuple(pl.read_parquet(tmp_path / "rows.parquet").columns) == ROW_COLUMNS  # plain rows for anybody


def test_another_metric_or_reference_can_be_looked_at_without_fitting_again(tmp_path: Path) -> None:
    leaderboard(["mean"], wave(90), horizon=3, origins=6).to_parquet(tmp_path / "rows.parquet")
    board = Leaderboard.from_parquet(tmp_path, metric="smape", reference="drift")
    assert (board.metric, board.reference) == ("smape", "drift")
    with pytest.raises(UnknownNameError, match="reference 'drit' is not among the models; did you mean 'drift'"):
        Leaderboard.from_parquet(tmp_path, reference="drit")
    with pytest.raises(ParameterError, match="metric must be one of"):
        Leaderboard.from_parquet(tmp_path, metric="bias")


@pytest.mark.thorough
def test_two_boards_of_the_same_test_become_one(tmp_path: Path) -> None:
    options = {"data": wave(90), "horizon": 3, "origins": 6}
    one, two = leaderboard(["mean"], **options, reference="drift"), leaderboard(["theta"], **options, reference="drift")
    both = leaderboard(["mean", "theta"], **options, reference="drift")
    seconds = ["fit_seconds", "predict_seconds"]
    for merged in (one.merge(two), two.merge(one)):
        ours, theirs = merged.table.set_index("model"), both.table.set_index("model")
        pd.testing.assert_frame_equal(ours.drop(columns=seconds), theirs.loc[ours.index].drop(columns=seconds))
        assert {str(verdict) for verdict in merged.verdicts.values()} == {str(v) for v in both.verdicts.values()}
        assert sorted(fit.model for fit in merged.record.fits) == sorted(fit.model for fit in both.record.fits)
    one.to_parquet(tmp_path / "one.parquet")
    two.to_parquet(tmp_path / "two.parquet")
    again = Leaderboard.from_parquet(tmp_path / "one.parquet", tmp_path / "two.parquet")
    assert repr(again) == repr(one.merge(two))


def test_a_failure_is_merged_as_well() -> None:
    options = {"data": wave(20), "horizon": 3, "origins": 5}
    one, two = leaderboard(["mean", "gru"], **options), leaderboard(["window-average"], **options)
    merged = two.merge(one, reference="naive")
    assert list(merged.failures) == ["gru"]
    assert set(merged.table["model"]) == {"naive", "seasonal-naive", "drift", "mean", "window-average", "gru"}


BASE = {"data": wave(90), "horizon": 3, "origins": 6, "reference": "naive"}
CHANGES = {
    "data": ({"data": wave(90, 1)}, r"1 series x 90 steps.* \(sha256 [0-9a-f]{12}\) and 1 series x 90 steps"),
    "horizon": ({"horizon": 2}, "3 and 2"),
    "gap": ({"gap": 1}, "0 and 1"),
    "origins": ({"origins": 5}, "6 and 5"),
    "step": ({"step": 2}, "3 and 2"),
    "refit": ({"refit": True}, "False and True"),
    "min_past": ({"min_past": 9}, "1 and 9"),
    "metric": ({"metric": "mae"}, "mase and mae; choose one, as in metric='mase'"),
    "reference": ({"reference": "drift"}, "naive and drift; choose one, as in reference='naive'"),
}


@pytest.mark.thorough
@pytest.mark.parametrize("field", CHANGES)
def test_what_differs_is_named(field: str) -> None:
    change, words = CHANGES[field]
    one, two = leaderboard(["mean"], **BASE), leaderboard(["theta"], **{**BASE, **change})
    with pytest.raises(DataError, match=f"boards must have the same {field} to be merged: .*{words}"):
        one.merge(two)
    if field == "reference":
        assert one.merge(two, reference="drift").reference == "drift"


def test_a_season_that_differs_is_named() -> None:
    one, two = (leaderboard([], Panel.from_array(wave(90), season_length=m), 3, reference="naive") for m in (6, 7))
    with pytest.raises(DataError, match="the same season_length to be merged: 6 and 7"):
        one.merge(two)


def test_a_model_that_failed_on_one_board_is_taken_from_the_other() -> None:
    data = Panel.from_array(wave(60), season_length=6)
    failed = leaderboard({"gru": small("gru").set_params(window=500), "mean": MeanForecaster()}, data, horizon=3)
    complete = leaderboard({"gru": small("gru")}, data, horizon=3)
    for board in (failed.merge(complete), complete.merge(failed)):
        assert board.failures == {}
        assert (board.rows["model"] == "gru").sum() == (complete.rows["model"] == "gru").sum()
        assert (board.rows["model"] == "mean").any()


def test_what_is_no_board_is_not_merged() -> None:
    board = leaderboard([], Panel.from_array(wave(60), season_length=6), horizon=3)
    with pytest.raises(ParameterError, match="merge needs another ForecastResults: got DataFrame"):
        board.merge(board.rows)


def test_a_window_that_cannot_be_is_named_on_the_board() -> None:
    data = Panel.from_array(wave(60), season_length=6)
    board = leaderboard({"gru": small("gru").set_params(window=-1), "mean": MeanForecaster()}, data, horizon=3)
    assert board.failures["gru"] == "window must be a whole number >= 1 or 'auto': got -1"


def test_one_name_for_two_models_is_refused() -> None:
    one, two = (leaderboard({"mine": model}, **BASE) for model in (MeanForecaster(), DriftForecaster()))
    with pytest.raises(
        DataError, match=r"model 'mine' is on both boards with different forecasts: .*\{'mine-2': \.\.\.\}"
    ):
        one.merge(two)
    assert repr(one.merge(one)) == repr(one)


def test_rows_of_backtests_are_put_together_and_judged_on_the_same_targets_only(tmp_path: Path) -> None:
    for model, name in ((NaiveForecaster(), "naive"), (MeanForecaster(), "mean"), (DriftForecaster(), "drift")):
        rows = backtest(model, wave(90), 3, origins=6)
        rows.to_parquet(tmp_path / f"{name}.parquet")
    board = Leaderboard.from_parquet(*(tmp_path / f"{name}.parquet" for name in ("mean", "naive", "drift")))
    assert board.record is None
    assert set(board.table["model"]) == {"naive", "mean", "drift"}
    with pytest.raises(
        DataError, match="results must include a naive forecast, or name a reference: the rows have 'gru'"
    ):
        Leaderboard.from_rows(rows.assign(model="gru"))
    fewer = backtest(MeanForecaster(), wave(90), 3, origins=5)
    other = backtest(MeanForecaster(), wave(90, 1), 3, origins=6)
    shorter = backtest(MeanForecaster(), wave(90), 2, origins=6, step=3)
    for wrong, words in (
        (fewer, r"cutoffs \(6 and 5; not in both: 71\) of 'drift' and 'mean' differ"),
        (other, "the true values of 'drift' and 'mean' differ"),
        (shorter, r"horizons \(3 and 2; not in both: 3\) of"),
        (rows, "'drift' must forecast each target once: 18 rows are there again"),
    ):
        with pytest.raises(DataError, match=f"{words}"):
            Leaderboard.from_rows(pd.concat([rows, wrong]))


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.parquet").write_text("no rows at all, but text")
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "frame.parquet")
    with pytest.raises(DataError, match=r"text\.parquet' must be a Parquet file of rows: .*magic bytes"):
        Leaderboard.from_parquet(tmp_path / "text.parquet")
    with pytest.raises(DataError, match=r"must hold rows of a backtest: columns 'cutoff', 'forecast', .*are missing"):
        Leaderboard.from_parquet(tmp_path / "frame.parquet")
    with pytest.raises(DataError, match=r"rows\.parquet' must be a Parquet file of rows: there is none"):
        Leaderboard.from_parquet(tmp_path)
    with pytest.raises(ParameterError, match="at least one file must be given"):
        Leaderboard.from_parquet()


def test_other_versions_and_machines_are_noted_on_a_merged_board(tmp_path: Path) -> None:
    from dataclasses import replace

    one, two = leaderboard(["mean"], **BASE), leaderboard(["theta"], **BASE)
    older = replace(two.record, versions={**two.record.versions, "numpy": "1.0"}, machine="another")
    merged = one.merge(replace(two, record=older))
    assert tuple(note for note in merged.notes if note.startswith("the merged boards")) == (
        f"the merged boards were made with numpy {np.__version__} and 1.0",
        "the merged boards were made on different machines: their seconds do not compare",
    )


def test_json_holds_what_the_board_shows_and_no_number_that_is_none() -> None:
    board = leaderboard({"gru": small("gru"), "bad": small("gru").set_params(window=500)}, **BASE)
    told = json.loads(board.to_json(), parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert [*told][:6] == ["metric", "reference", "headline", "summary_line", "audit_line", "notes"]
    assert [*told][6:] == ["table", "verdicts", "calibrations", "errors", "win_rates", "ranks", "record"]
    assert [line["model"] for line in told["table"]] == board.table["model"].tolist()
    assert told["table"][0]["mase"] == board.table["mase"].iloc[0]
    assert told["table"][-1]["mase"] is None
    assert {line["model"]: line["sentence"] for line in told["verdicts"]} == {
        name: str(verdict) for name, verdict in board.verdicts.items()
    }
    assert told["errors"]["step"]["gru"] == {str(k): v for k, v in board.by("step")["gru"].items()}
    assert told["ranks"]["average"] == board.ranks.average.to_dict()
    assert told["record"]["fingerprint"] == board.record.fingerprint
    assert {"past", "ahead"}.isdisjoint(told["record"])
