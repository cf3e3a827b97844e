"""Standing over tasks: numbers by hand, failures and leaks, and faults of rows as sentences."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata

from tsforecast.errors import DataError, ParameterError, UnknownNameError
from tsforecast.evaluation.overall import Overall, overall, read_fev

ERRORS = {
    "sales": {"seasonal-naive": 2.0, "gru": 1.0, "ets": 2.0, "mean": 4.0},
    "load": {"seasonal-naive": 1.0, "gru": 0.8, "ets": 0.5, "mean": 1.0},
    "wind": {"seasonal-naive": 4.0, "gru": 5.0, "ets": 3.0, "mean": 8.0},
    "taxi": {"seasonal-naive": 3.0, "gru": 3.0, "ets": 3.3, "mean": 6.0},
}


def rows_of(errors: dict[str, dict[str, float]] = ERRORS, **more: Any) -> list[dict[str, Any]]:
    return [
        {"dataset_path": task, "model_name": model, "test_error": error, **more}
        for task, line in errors.items()
        for model, error in line.items()
    ]


def line_of(found: Overall, model: str) -> pd.Series:
    return found.table.set_index("model").loc[model]


def test_skill_win_rate_and_rank_are_those_by_hand() -> None:
    found = overall(rows_of())
    gru = line_of(found, "gru")
    assert gru["skill"] == pytest.approx(1 - (0.5 * 0.8 * 1.25 * 1.0) ** 0.25)
    # Of 3 others on 4 tasks: all, two (ets is better), one, and one and a tie.
    assert gru["win_rate"] == pytest.approx((3 + 2 + 1 + 2.5) / 12)
    assert gru["rank"] == pytest.approx((1 + 2 + 3 + 1.5) / 4)
    assert line_of(found, "seasonal-naive")["skill"] == 0
    assert line_of(found, "ets")["skill"] == pytest.approx(1 - (1.0 * 0.5 * 0.75 * 1.1) ** 0.25)
    assert found.table["model"].tolist() == ["ets", "gru", "seasonal-naive", "mean"]
    assert found.win_rates.loc["gru", "ets"] == 0.5
    assert found.win_rates.loc["gru", "seasonal-naive"] == pytest.approx(2.5 / 4)


def test_intervals_are_quantiles_over_draws_of_tasks() -> None:
    found = overall(rows_of(), resamples=400, seed=7)
    values = np.array([[line["gru"] / line["seasonal-naive"] for line in ERRORS.values()]]).T
    draws = np.random.default_rng(7).integers(0, 4, size=(400, 4))
    skills = [1 - math.exp(np.mean([math.log(values[at, 0]) for at in draw])) for draw in draws]
    gru = line_of(found, "gru")
    assert [gru["skill_low"], gru["skill_high"]] == pytest.approx(np.quantile(skills, [0.025, 0.975]).tolist())
    ranks = np.array([rankdata(list(line.values())) for line in ERRORS.values()])[:, 1]
    means = [np.mean([ranks[at] for at in draw]) for draw in draws]
    assert [gru["rank_low"], gru["rank_high"]] == pytest.approx(np.quantile(means, [0.025, 0.975]).tolist())


@pytest.mark.long
def test_an_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng, held, runs = np.random.default_rng(0), 0, 50
    for _ in range(runs):
        errors = {f"t{task}": {"naive": 1.0, "mine": math.exp(rng.normal(-0.1, 0.3))} for task in range(40)}
        line = line_of(overall(rows_of(errors), resamples=200), "mine")
        held += line["skill_low"] <= 1 - math.exp(-0.1) <= line["skill_high"]
    assert held / runs == pytest.approx(0.94, abs=0.06)


def test_a_model_that_failed_counts_as_the_reference_there_and_is_named() -> None:
    errors = {**ERRORS, "wind": {**ERRORS["wind"], "gru": math.nan}}
    for rows in (rows_of(errors), [row for row in rows_of(errors) if row["test_error"] == row["test_error"]]):
        found = overall(rows)
        assert line_of(found, "gru")["skill"] == pytest.approx(1 - (0.5 * 0.8 * 1.0 * 1.0) ** 0.25)
        assert line_of(found, "gru")["failed"] == 1
        assert any(
            note.startswith("failures: gru on 1 task; the error of seasonal-naive counts") for note in found.notes
        )
        dropped = overall(rows, failures="drop")
        assert line_of(dropped, "gru")["skill"] == pytest.approx(1 - (0.5 * 0.8 * 1.0) ** (1 / 3))
        assert list(dropped.relative.index) == ["sales", "load", "taxi"]
        assert line_of(dropped, "gru")["failed"] == 1


def test_a_model_that_reads_the_future_gains_nothing_by_it_and_stands_last() -> None:
    rows = [{**row, "leak_audit": "passed"} for row in rows_of()]
    for row in rows:
        if (row["dataset_path"], row["model_name"]) == ("load", "ets"):
            row |= {"leak_audit": "LEAK in y", "test_error": 0.0}
    found = overall(rows)
    assert line_of(found, "ets")["skill"] == pytest.approx(1 - (1.0 * 1.0 * 0.75 * 1.1) ** 0.25)
    assert found.table["model"].iloc[-1] == "ets"
    assert line_of(found, "ets")["leaks"] == 1
    assert found.replaced.loc["load", "ets"]
    without = overall([row for row in rows if row["model_name"] != "ets"])
    for name in ("win_rate", "rank"):  # it takes no place from others
        assert math.isnan(line_of(found, "ets")[name])
        assert line_of(found, "gru")[name] == line_of(without, "gru")[name]
    assert "ets" not in found.win_rates
    assert "ets" not in found.headline
    assert any("move the forecasts: ets on 1 task" in note for note in found.notes)


def test_a_model_that_has_seen_the_data_is_marked_and_counts() -> None:
    rows = [{**row, "trained_on_this_dataset": row["model_name"] == "gru"} for row in rows_of()]
    found = overall(rows)
    assert line_of(found, "gru")["seen"] == 4
    assert line_of(found, "gru")["skill"] == line_of(overall(rows_of()), "gru")["skill"]
    assert any(note.startswith("data seen in training before: gru on 4 tasks") for note in found.notes)


def test_one_task_gives_no_interval_and_relative_errors_are_held() -> None:
    found = overall(
        rows_of({"a": {"naive": 0.0, "same": 0.0, "far": 7.0}, "b": {"naive": 1.0, "same": 1e-9, "far": 1}})
    )
    assert found.relative.loc["a"].to_dict() == {"naive": 1.0, "same": 1.0, "far": 100.0}
    assert found.relative.loc["b", "same"] == 0.01
    assert any(note.startswith("2 relative errors outside 0.01 to 100") for note in found.notes)
    alone = overall(rows_of({"a": ERRORS["sales"]}))
    assert math.isnan(line_of(alone, "gru")["skill_low"])
    assert any(note.startswith("1 task has no spread") for note in alone.notes)
    assert "nan" not in alone.to_markdown()


def test_the_headline_names_the_best_model_or_that_none_is_better() -> None:
    assert overall(rows_of()).headline.startswith("ets removes 19.9% of seasonal-naive's error over 4 tasks (95%")
    worse = overall(rows_of(), "ets").headline
    assert worse.startswith("No model has less error than ets: gru, the best, has ")
    assert " more over 4 tasks (95% interval -" in worse


def test_a_task_without_any_result_is_left_out_and_named() -> None:
    found = overall(rows_of({**ERRORS, "gone": dict.fromkeys(ERRORS["sales"], math.nan)}))
    assert len(found.relative) == 4
    assert any("1 task without any result is left out: gone" in note for note in found.notes)


@pytest.mark.parametrize(
    ("rows", "options", "error", "sentence"),
    [
        ([], {}, DataError, "must have columns 'model_name' and 'test_error'"),
        (
            [{"model_name": "a", "test_error": "low"}],
            {},
            DataError,
            "must hold numbers: 1 of 1 rows hold none, as 'low'",
        ),
        (7, {}, DataError, "must be a table, a file or a list of dicts: got int"),
        ([1, 2], {}, DataError, "got a list of something else"),
        (
            rows_of() + rows_of()[:1],
            {},
            DataError,
            "one row of each task: 1 are there again, the first 'seasonal-naive'",
        ),
        (
            rows_of({"a": {"gru": 1.0}}),
            {},
            DataError,
            "must have a naive forecast, or name a reference: they have 'gru'",
        ),
        (rows_of(), {"reference": "grru"}, UnknownNameError, "did you mean 'gru'?"),
        (rows_of() + rows_of({"x": {"gru": 1.0}}), {}, DataError, "it has none of 1 of 5, 'x'"),
        (rows_of({"a": {"naive": 1, "m": math.nan}}), {"failures": "drop"}, DataError, "each of 1 has some"),
        (rows_of({"a": {"naive": math.nan}}), {}, DataError, "must have an error of some model"),
        (
            rows_of({"a": {"naive": -1.0, "m": 2.0}}),
            {},
            DataError,
            "must hold errors of 0 or more: 1 of 2 are below",
        ),
        (
            pd.DataFrame([["m", 1.0, 2.0]], columns=["model_name", "test_error", "test_error"]),
            {},
            DataError,
            "must have one column 'test_error': they have several",
        ),
        (rows_of(leak_audit="LEAK"), {}, DataError, "reference 'seasonal-naive' must not read the future"),
        (rows_of(), {"failures": "skip"}, ParameterError, "failures must be one of 'reference', 'drop'"),
        (rows_of(), {"resamples": 0}, ParameterError, "resamples must be a whole number >= 1"),
        ("none.csv", {}, DataError, "there is no such file"),
        ("none.txt", {}, DataError, "must be a file in .csv, .json, .parquet"),
    ],
)
def test_faults_of_rows_are_sentences(
    rows: Any, options: dict[str, Any], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error) as caught:
        overall(rows, **options)
    assert sentence in str(caught.value)


def test_a_damaged_file_is_a_sentence(tmp_path: Path) -> None:
    for suffix in (".json", ".parquet", ".csv"):
        (tmp_path / f"x{suffix}").write_bytes(b"\xff\xfe{nothing")
        with pytest.raises(DataError, match="rows of fev"):
            read_fev(tmp_path / f"x{suffix}")


def test_rows_of_several_sources_are_one_table(tmp_path: Path) -> None:
    pd.DataFrame(rows_of()).to_csv(tmp_path / "ours.csv", index=False)
    theirs = [row | {"model_name": "theirs"} for row in rows_of() if row["model_name"] == "gru"]
    found = overall((tmp_path / "ours.csv", theirs))
    assert line_of(found, "theirs")["skill"] == line_of(found, "gru")["skill"]


def test_tasks_of_one_name_are_told_apart_by_their_fields() -> None:
    rows = [row | {"horizon": horizon} for horizon in (7, 28) for row in rows_of({"sales": ERRORS["sales"]})]
    read = read_fev(rows)
    assert read["task"].unique().tolist() == ["sales (horizon 7)", "sales (horizon 28)"]
    assert any("2 of 2 tasks share their data" in note for note in overall(rows).notes)


def test_a_field_is_the_same_from_any_file(tmp_path: Path) -> None:
    fields = {"horizon": 7, "initial_cutoff": -14, "quantile_levels": [0.1, 0.5], "target": ["a", "b"]}
    rows = pd.DataFrame([{**fields, "dataset_path": "x", "dataset_config": None, "model_name": "m", "test_error": 1.0}])
    rows.to_csv(tmp_path / "x.csv", index=False)
    rows.to_json(tmp_path / "x.json", orient="records")
    rows.to_parquet(tmp_path / "x.parquet")
    blank = rows.assign(model_name="n", horizon=7.0, initial_cutoff="-14")
    sources = [tmp_path / "x.csv", tmp_path / "x.json", tmp_path / "x.parquet"]
    read = [read_fev(source, blank) for source in sources]
    assert [each["task"].nunique() for each in read] == [1, 1, 1]


@pytest.mark.long
def test_the_page_has_every_model_task_and_note_and_escapes_them(tmp_path: Path) -> None:
    rows = [row | {"leak_audit": "passed"} for row in rows_of()]
    rows[1] |= {"leak_audit": "LEAK"}
    rows[2] |= {"test_error": math.nan}
    found = overall([row | {"dataset_path": row["dataset_path"].replace("taxi", "<b>taxi")} for row in rows])
    page = found.to_html()
    assert page is not None
    for text in ("seasonal-naive", "&lt;b&gt;taxi", "LEAK", "failed", "4 models on 4 tasks", "skill"):
        assert text in page
    assert "<b>taxi" not in page
    assert "Blue is better than seasonal-naive with its whole interval." in page
    found.to_html(tmp_path / "page.html", title="Mine")
    assert "<h1>Mine</h1>" in (tmp_path / "page.html").read_text()


def test_seconds_that_are_no_numbers_are_not_known() -> None:
    rows = rows_of({"a": {"naive": 2.0, "m": 1.0}}, training_time_s="long")
    assert overall(rows).table["training_time_s"].isna().all()
