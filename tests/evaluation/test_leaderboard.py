"""A leaderboard always has the naive family, ranks by rows alone and claims no more than they show."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.evaluation.test_backtest import Oracle
from tests.helpers import metrics
from tests.helpers.forecasters import small, wave
from tsforecast.catalog.loaders import load_dataset, load_task
from tsforecast.data.panel import Panel
from tsforecast.errors import DataError, ParameterError, UnknownNameError
from tsforecast.estimators.registry import make
from tsforecast.evaluation.backtest import backtest
from tsforecast.evaluation.entries import named
from tsforecast.evaluation.leaderboard import leaderboard
from tsforecast.evaluation.results import ForecastResults
from tsforecast.forecasters.base import Forecaster
from tsforecast.forecasters.naive import NaiveForecaster
from tsforecast.forecasters.reduction import ReductionForecaster


class Shifted(Forecaster):
    """The naive forecast plus a constant, or NaN."""

    def __init__(self, shift: float = 0.0, horizon: int = 1) -> None:
        self.shift = shift
        self.horizon = horizon

    def forecast(self, past: object, horizon: int) -> np.ndarray:
        return NaiveForecaster().forecast(past, horizon) + self.shift


RAMP = np.arange(60.0) + np.random.default_rng(0).normal(size=60) / 10


def test_the_naive_family_is_always_there() -> None:
    assert set(leaderboard([], RAMP, horizon=2).table["model"]) == {"naive", "seasonal-naive", "drift"}


def test_the_table_equals_metrics_worked_out_by_hand(ragged: Panel) -> None:
    board = leaderboard(["mean"], ragged, horizon=4, origins=3)
    for record in board.table.to_dict("records"):
        mine = board.rows[board.rows["model"] == record["model"]]
        each = [part for _, part in mine.groupby("series", observed=True)]
        assert record["mae"] == pytest.approx(np.mean([metrics.mae(p.y, p.forecast) for p in each]))
        assert record["rmse"] == pytest.approx(np.mean([metrics.rmse(p.y, p.forecast) for p in each]))
        assert record["smape"] == pytest.approx(np.mean([metrics.smape(p.y, p.forecast) for p in each]))
        assert record["mase"] == pytest.approx(np.mean([metrics.mase(p.y, p.forecast, p.naive_mae) for p in each]))
        assert record["rmsse"] == pytest.approx(np.mean([metrics.rmsse(p.y, p.forecast, p.naive_mse) for p in each]))


@pytest.mark.sample(3)
@pytest.mark.parametrize("metric", ["mase", "mae", "rmse", "smape", "rmsse"])
def test_models_are_sorted_by_the_metric_and_the_reference_is_the_best_naive_one(metric: str) -> None:
    board = leaderboard({"off": Shifted(9.0), "good": Shifted(1.0)}, RAMP, horizon=1, origins=20, metric=metric)
    assert board.table[metric].is_monotonic_increasing
    naive = board.table[board.table["model"].isin(["naive", "seasonal-naive", "drift"])]
    assert board.reference == naive["model"].iloc[0]
    skills = board.table.set_index("model")["skill"]
    assert skills[board.reference] == 0.0
    assert skills["off"] < 0
    errors = board.table.set_index("model")[metric]
    assert skills["good"] == pytest.approx(1 - errors["good"] / errors[board.reference])


def test_a_named_reference_is_taken() -> None:
    board = leaderboard([], RAMP, horizon=2, reference="seasonal-naive")
    assert board.reference == "seasonal-naive"
    with pytest.raises(UnknownNameError, match="reference 'drit' is not among the models; did you mean 'drift'"):
        leaderboard([], RAMP, horizon=2, reference="drit")


def test_a_model_that_wins_at_every_cutoff_is_better_than_the_reference() -> None:
    board = leaderboard({"good": Shifted(1.0)}, RAMP, horizon=1, origins=20, reference="naive")
    assert board.verdicts["good"].sentence.startswith("good is better than naive: 89.4% lower MASE ")
    low, high = map(float, re.search(r"\(skill (.*) to (.*) %\)", board.verdicts["good"].sentence).groups())
    assert 75 < low < 89.4 < high < 98


def test_a_model_equal_to_the_naive_forecast_is_equivalent() -> None:
    board = leaderboard({"same": Shifted(0.0)}, RAMP, horizon=1, origins=20, reference="naive")
    assert board.verdicts["same"].sentence == (
        "same is equivalent to naive: the same MASE as naive (skill 0.0 to 0.0 %), within ±2% on 20 cutoffs, about "
        "later cutoffs"
    )


def test_a_win_at_too_few_cutoffs_is_inconclusive() -> None:
    board = leaderboard({"good": Shifted(1.0)}, RAMP, horizon=1, origins=4, reference="naive")
    assert board.verdicts["good"].sentence == (
        "good is inconclusive: 93.1% lower MASE than naive; in 4 cutoffs; "
        "a verdict needs at least 5 cutoffs: use more origins"
    )
    enough = leaderboard({"good": Shifted(1.0)}, RAMP, horizon=1, origins=8, reference="naive")
    assert enough.verdicts["good"].sentence.startswith("good is better than naive: ")


def test_a_series_that_is_never_forecast_is_named_under_the_table() -> None:
    days = pd.date_range("2024-01-01", periods=60)
    parts = [pd.DataFrame({"id": name, "day": days, "y": wave(60, i)}) for i, name in enumerate("ABC")]
    parts[2] = parts[2].iloc[:30]
    panel = Panel.from_frame(pd.concat(parts), season_length=7)
    board = leaderboard([], panel, horizon=2, origins=3)
    assert board.notes == (
        "1 of 3 series has no past and target at any cutoff and is left out: 'C'; more origins may reach it",
    )
    assert f"{board.summary_line}.\n\nNote: {board.notes[0]}.\n\n- " in board.to_markdown()
    assert leaderboard([], panel, horizon=2, origins=20).notes == ()


def test_zeros_after_a_fit_of_logarithms_are_noted_under_the_table() -> None:
    sales = 50 + 10 * np.sin(np.arange(60) * 2 * np.pi / 7)
    sales[[53, 54]] = 0  # closed after the fit
    series = pd.DataFrame({"day": pd.date_range("2024-01-01", periods=60), "sales": sales})
    models = {kind or "plain": ReductionForecaster(window=7, value_transform=kind) for kind in ("log", None)}
    board = leaderboard(models, series, horizon=2, origins=4)  # cutoffs after 52, 54, 56 and 58 steps
    assert [note for note in board.notes if "contexts" in note] == [
        "log: 3 contexts go below the range of training of value_transform 'log', as zeros after positive numbers do, "
        "and forecasts after them may be far off: fit with value_transform=None, or on rows with such numbers"
    ]


def test_what_was_mended_is_said_under_the_table() -> None:
    frame = pd.DataFrame({"day": pd.date_range("2024-01-01", periods=60), "y": wave(60)}).drop(index=[7])
    board = leaderboard([], Panel.from_frame(frame, fill_gaps=True, nan_policy="mask", season_length=7), horizon=2)
    assert board.notes == ("inserted 1 missing time stamp",)


def test_series_without_mase_are_named_and_the_scale_is_that_of_their_own_past() -> None:
    day = pd.date_range("2024-01-01", periods=12)
    moves = pd.DataFrame({"id": "moves", "day": day, "y": np.arange(12) ** 2.0})
    late = pd.DataFrame({"id": "late", "day": day, "y": [0.0] * 9 + [50, 60, 70]})
    board = leaderboard([], pd.concat([moves, late]), horizon=1, origins=3)
    note = (
        "1 of 2 series has no MASE and RMSSE at some cutoffs and is left out of both: 'late'; before the cutoff the "
        "seasonal naive forecast had no error (all values or seasons are equal, or there is one value alone), so that "
        "nothing scales theirs; the metric mae counts them"
    )
    assert board.notes == (note,)
    assert f"Note: {note}." in board.to_markdown()
    assert ForecastResults.from_rows(board.rows, notes=board.notes).notes == (note,)
    # Seven days back from day t: t^2 - (t - 7)^2 = 14 t - 49, for t from 7 to the cutoff.
    found = board.rows.query("model == 'naive' and step == 1").pivot_table("naive_mae", "cutoff", "series")
    assert found["moves"].tolist() == [(49 + 63) / 2, (49 + 63 + 77) / 3, (49 + 63 + 77 + 91) / 4]
    assert found["late"].tolist() == [0, 50 / 3, 110 / 4]
    always = leaderboard([], pd.concat([moves, late.assign(y=3.0)]), horizon=1, origins=3)
    assert "1 of 2 series has no MASE and RMSSE and is left out of both: 'late'" in always.notes[0]


def test_copies_of_a_series_are_no_further_evidence() -> None:
    alone = leaderboard({"good": Shifted(0.5)}, RAMP, horizon=1, origins=6, reference="naive")
    copies = leaderboard(
        {"good": Shifted(0.5)}, np.tile(RAMP, (10, 1))[..., None], horizon=1, origins=6, reference="naive"
    )
    assert copies.verdicts["good"].sentence == alone.verdicts["good"].sentence


def test_a_few_recordings_with_clocks_of_their_own_at_one_cutoff_show_nothing(ragged: Panel) -> None:
    board = leaderboard({"good": Shifted(0.01)}, ragged, horizon=3, reference="drift")
    assert any(
        verdict.sentence.endswith(
            "in 3 series; a verdict needs at least 5 series: use more origins, or test more series"
        )
        for verdict in board.verdicts.values()
    )


def test_a_constant_series_is_ranked_by_mae() -> None:
    board = leaderboard(["mean", Shifted(1.0)], np.ones(40), horizon=3, origins=2)
    assert board.metric == "mae"
    assert board.table["model"].iloc[-1] == "Shifted"
    assert board.verdicts["Shifted"].sentence.startswith("Shifted is inconclusive: MAE 1, that of naive is 0; ")
    assert board.verdicts["mean"].sentence == "mean is a naive forecast too: the same MAE as naive"


def test_one_model_alone_need_not_be_put_in_a_list() -> None:
    assert "mean" in set(leaderboard("mean", RAMP, horizon=2).table["model"])
    assert "gru" in set(leaderboard(small("gru"), RAMP, horizon=2).table["model"])


def test_a_worse_model_is_said_to_be_worse() -> None:
    board = leaderboard({"bad": Shifted(-5.0)}, RAMP, horizon=1, origins=20)
    assert board.verdicts["bad"].sentence.startswith(f"bad is worse than {board.reference}: ")


def test_a_model_that_forecasts_nan_is_last_and_not_compared() -> None:
    board = leaderboard({"broken": Shifted(np.nan)}, RAMP, horizon=1, origins=3)
    assert board.table["model"].iloc[-1] == "broken"
    assert board.verdicts["broken"].sentence == "broken cannot be compared: it has no finite MASE"


def test_two_models_of_one_kind_get_names_of_their_own() -> None:
    board = leaderboard([small("gru"), small("gru").set_params(units=5)], wave(90), horizon=3)
    assert {"gru", "gru-2"} < set(board.table["model"])


def test_a_board_drawn_from_kept_rows_is_the_same(tmp_path: object) -> None:
    board = leaderboard([Oracle()], pd.Series(RAMP, index=pd.date_range("2024", periods=60)), horizon=3, origins=4)
    board.rows.to_parquet(tmp_path / "rows.parquet")
    again = ForecastResults.from_rows(pd.read_parquet(tmp_path / "rows.parquet"))
    pd.testing.assert_frame_equal(again.table, board.table)
    assert [str(one) for one in again.verdicts.values()] == [str(one) for one in board.verdicts.values()]


def test_rows_of_several_backtests_make_a_board() -> None:
    parts = [backtest(small(name), RAMP, horizon=3, origins=2) for name in ("naive", "mean")]
    assert ForecastResults.from_rows(pd.concat(parts)).table["model"].tolist() == ["naive", "mean"]


def test_markdown_has_the_table_and_a_sentence_for_each_model() -> None:
    board = leaderboard(["mean"], RAMP, horizon=2, origins=3)
    text = board.to_markdown()
    lines = text.splitlines()
    assert lines[0] == f"{board.headline}."
    assert lines[2].split("|")[1].strip() == "model"
    assert sum(line.startswith("- ") for line in lines) == 4
    assert "1 series, 1 target, 3 cutoffs, horizon 2" in text


def test_a_class_in_place_of_a_model_is_refused_before_anything_runs() -> None:
    for models in (NaiveForecaster, [NaiveForecaster], {"mine": NaiveForecaster}):
        with pytest.raises(ParameterError) as caught:
            leaderboard(models, RAMP, horizon=2)
        assert str(caught.value).endswith("got the class NaiveForecaster; write NaiveForecaster()")


def test_names_and_metrics_with_a_typo_are_answered_with_the_nearest_all_at_once() -> None:
    with pytest.raises(UnknownNameError) as caught:
        leaderboard(["grru", "lstn"], RAMP, horizon=2)
    assert str(caught.value).splitlines()[1:] == [
        "  - model 'grru' does not exist; did you mean 'gru'?",
        "  - model 'lstn' does not exist; did you mean 'lstm'?",
    ]
    with pytest.raises(UnknownNameError, match="model 'GRUU' does not exist; did you mean 'gru'"):
        leaderboard("GRUU", RAMP, horizon=2)
    with pytest.raises(ParameterError, match="did you mean 'mase'"):
        leaderboard([], RAMP, horizon=2, metric="mas")


def test_options_that_make_no_sense_are_refused_and_a_model_at_fault_is_named() -> None:
    with pytest.raises(ParameterError) as caught:
        leaderboard(["mean"], RAMP, horizon=2, refit="no", groups="shop", progress=True, audit="full")
    assert [problem.split(" must")[0] for problem in caught.value.problems] == ["audit", "refit", "groups", "progress"]
    with pytest.raises(DataError, match=r"^gru: window \+ horizon must fit in the training part"):
        leaderboard(["gru"], wave(20), horizon=3, origins=5)


@pytest.mark.long
def test_cutoffs_are_those_of_the_data_or_of_the_card_of_a_dataset() -> None:
    own = leaderboard([], wave(200), horizon=14).record
    assert (own.origins, own.step) == (10, 5)
    card = leaderboard([], "sunspots-yearly").record
    task = load_task("sunspots-yearly")[1]
    assert (card.horizon, card.origins, card.step) == (task.horizon, task.origins, task.step)
    other = leaderboard([], "sunspots-yearly", horizon=task.horizon + 1, origins=2).record
    assert (other.horizon, other.origins, other.step) == (task.horizon + 1, 2, task.horizon + 1)
    with pytest.raises(ParameterError, match="horizon must be given unless a dataset is named: got None; pass h"):
        leaderboard([], wave(60))
    for panel in (load_dataset("sunspots-yearly"), "sunspots-yearly"):
        for horizon in (None, task.horizon):
            again = leaderboard([], panel, horizon=horizon).record
            assert (again.horizon, again.origins, again.step) == (task.horizon, task.origins, task.step)
    frame = load_dataset("sunspots-yearly", as_frame="pandas")
    with pytest.raises(ParameterError, match="horizon must be given unless a dataset is named: got None; pass h"):
        leaderboard([], frame)


@pytest.mark.long
def test_the_horizon_that_a_file_states_is_that_of_its_leaderboard(tmp_path: Path) -> None:
    path, numbers = tmp_path / "shops.tsf", ",".join(map(str, wave(60).round(3)))
    header = "# made up\n@relation shops\n@attribute series_name string\n@attribute start_timestamp date\n"
    path.write_text(f"{header}@frequency daily\n@horizon 6\n@data\nA:2024-01-01 00-00-00:{numbers}\n")
    assert leaderboard([], str(path), origins=2).record.horizon == leaderboard([], path, origins=2).record.horizon == 6
    assert leaderboard([], path, horizon=3, origins=2).record.horizon == 3
    path.write_text(path.read_text().replace("@horizon 6\n", ""))
    with pytest.raises(ParameterError, match="horizon must be given unless a dataset is named"):
        leaderboard([], path)


def test_a_name_stands_for_a_model_with_a_seed() -> None:
    models = named(["gru", "naive", NaiveForecaster()])
    assert models["gru"].random_state == 0
    assert make("gru").random_state is None
