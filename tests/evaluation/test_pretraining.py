"""Models that were trained before: their release and data stand on a board, and mark what they may have seen."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tsforecast import EnsembleForecaster, Pretraining, as_forecaster
from tsforecast.catalog.loaders import load_dataset
from tsforecast.data.panel import Panel
from tsforecast.errors import ParameterError, UnknownNameError
from tsforecast.evaluation.leaderboard import Leaderboard, leaderboard
from tsforecast.evaluation.record import ForecastFit
from tsforecast.forecasters.base import Forecaster
from tsforecast.forecasters.naive import NaiveForecaster

DAYS = pd.date_range("2024-01-01", periods=60, freq="D")
SALES = pd.Series(20 + np.random.default_rng(0).normal(size=60).cumsum(), index=DAYS, name="sales")
CUTOFFS = pd.to_datetime(["2024-02-04", "2024-02-09", "2024-02-14", "2024-02-19", "2024-02-24"])


def level(context: Any, horizon: int) -> np.ndarray:
    """Forecast the mean of the last three numbers."""
    return np.full(horizon, np.asarray(context)[-3:].mean())


def trained(release: str, *names: str) -> Any:
    """Return a function that states a pretraining."""
    made = partial(level)
    made.pretraining = Pretraining(release, names)  # type: ignore[attr-defined]
    return made


def board_of(model: Any, data: Any = SALES, **options: Any) -> Leaderboard:
    return leaderboard({"mine": model}, data, horizon=5, origins=5, audit=None, **options)


@pytest.mark.long
@pytest.mark.parametrize(
    ("release", "outcome"),
    [
        ("2024-02-04", "after the release"),  # the first step that is forecast is that of the next day
        ("2024-02-05", "1 of 5 cutoffs may have been seen"),
        ("2024-02-15", "3 of 5 cutoffs may have been seen"),
        ("2024-02-24", "4 of 5 cutoffs may have been seen"),
        ("2024-02-25", "may have been seen"),
        ("2025-01-01", "may have been seen"),
        ("", "not known"),
    ],
)
def test_a_cutoff_may_have_been_seen_whose_first_step_is_not_later_than_the_release(release: str, outcome: str) -> None:
    board = board_of(trained(release, "m4", "electricity"))
    assert pd.DatetimeIndex(board.rows["cutoff"].unique()).equals(CUTOFFS)
    line = board.table.set_index("model").loc["mine"]
    assert (line["release"], line["trained_on"]) == (release or "not known", "m4, electricity")
    assert line["exposure"] == outcome
    assert board.table.set_index("model").loc[["naive", "drift"], "release"].isna().all()
    told = outcome != "after the release"
    assert any(note.startswith("mine: ") for note in board.notes) == told
    assert ("training" in board.verdicts["mine"].sentence) == told
    assert board.verdicts["naive"].sentence.count("training") == 0


def test_whole_numbers_as_times_do_not_compare_with_a_release() -> None:
    board = board_of(trained("2024-02-15"), SALES.to_numpy())
    assert board.table.set_index("model").loc["mine", "exposure"] == "not known"
    assert any("no dates to compare" in note for note in board.notes)


def test_a_board_without_such_models_has_no_such_columns() -> None:
    assert not {"release", "trained_on", "exposure"} & set(board_of(level).table)


@pytest.mark.long
def test_table_report_and_stored_rows_have_it(tmp_path: Path) -> None:
    board = board_of(trained("2024-02-15", *"abcd"))
    again = Leaderboard.from_parquet(_written(board, tmp_path / "rows.parquet"))
    assert again.to_markdown() == board.to_markdown()
    assert "| trained on |" in board.to_markdown().replace("  ", "")
    assert "3 of 5 cutoffs may have been seen" in board.to_markdown()
    html, told = str(board.to_html()), json.loads(str(board.to_json()))
    assert "3 of 5 cutoffs may have been seen" in html
    assert "a, b, c, d" in html  # in the table of fits, of which the first table has three
    assert [each["exposure"] for each in told["table"] if each["model"] == "mine"] == [
        "3 of 5 cutoffs may have been seen"
    ]
    fits = {fit["model"]: fit for fit in told["record"]["fits"]}
    assert fits["mine"]["trained_on"] == ["a", "b", "c", "d"]
    assert fits["naive"]["release"] is None


def _written(board: Leaderboard, path: Path) -> Path:
    board.to_parquet(path)
    return path


def test_merged_boards_keep_it() -> None:
    one, two = board_of(trained("2024-02-15")), leaderboard({"own": level}, SALES, horizon=5, origins=5, audit=None)
    both = two.merge(one, reference="naive")
    assert both.exposures.keys() == {"mine"}
    assert sum(note.startswith("mine: ") for note in both.notes) == 1


def test_a_record_of_before_is_read() -> None:
    old = {
        "model": "gru",
        "seed": 0,
        "series": 1,
        "steps": 9,
        "left_out": [],
        "settings": "GRU",
        "learned_from": [1, 2],
    }
    fit = ForecastFit.from_plain(old)
    assert (fit.release, fit.trained_on) == (None, ())


def test_a_dataset_that_a_model_names_was_seen() -> None:
    panel = load_dataset("co2-weekly")
    named, other = trained("2030-01-01", "CO2 weekly"), trained("2030-01-01", "co2")
    board = leaderboard({"named": named, "other": other}, panel, horizon=4, origins=5, audit=None)
    table = board.table.set_index("model")["exposure"]
    assert (table["named"], table["other"]) == ("seen in training", "may have been seen")
    assert board.verdicts["named"].sentence.endswith("it was trained on CO2 weekly, these data")
    late = leaderboard({"early": trained("1990-01-01", "co2-weekly")}, panel, horizon=4, origins=5, audit=None)
    assert late.table.set_index("model").loc["early", "exposure"] == "after the release"


def test_the_dataset_of_a_panel_is_not_in_its_fingerprint() -> None:
    panel = load_dataset("co2-weekly")
    assert panel.source.dataset == panel.until(panel.lengths - 3).source.dataset == "co2-weekly"
    frame = pd.DataFrame({"y": SALES})
    assert Panel.of(frame["y"]).source.dataset == ""


def test_the_headline_states_it_of_the_best_model() -> None:
    assert "it may have seen the test part in training" in board_of(trained("2024-02-25")).headline


class Pretrained(NaiveForecaster):
    """A forecaster with weights of before."""

    @property
    def pretraining(self) -> Pretraining:
        return Pretraining("2024-11-27", ("m4",))


class Object:
    """An object of other software."""

    pretraining = Pretraining("2024-11-27", ("m4",))

    def fit(self, frame: Any) -> None:
        self.last = float(np.asarray(frame)[-1])

    def predict(self, horizon: int) -> np.ndarray:
        return np.full(horizon, self.last)

    def answer(self, context: Any, horizon: int) -> np.ndarray:
        return np.full(horizon, float(np.asarray(context)[-1]))


class PretrainedRidge(Ridge):
    """A regressor with weights of before."""

    pretraining = Pretraining("2024-11-27", ("m4",))


@pytest.mark.long
@pytest.mark.parametrize(
    "model",
    [
        Pretrained(),
        Object(),
        Object().answer,
        PretrainedRidge(),
        make_pipeline(StandardScaler(), PretrainedRidge()),
        EnsembleForecaster([NaiveForecaster(), Pretrained()]),
    ],
    ids=lambda model: type(model).__name__,
)
def test_models_of_any_kind_and_their_parts_state_it(model: Any) -> None:
    assert as_forecaster(model).pretraining == Pretraining("2024-11-27", ("m4",))
    assert board_of(model).exposures["mine"].release == "2024-11-27"


def test_of_several_parts_the_latest_release_counts_if_all_are_known() -> None:
    def of(*parts: Any) -> Pretraining | None:
        return as_forecaster(EnsembleForecaster([as_forecaster(part) for part in parts])).pretraining

    assert of(trained("2024-01-01", "a"), trained("2024-05-01", "b", "a")) == Pretraining("2024-05-01", ("a", "b"))
    assert of(trained("2024-01-01"), trained("")) == Pretraining("")
    assert of(level, NaiveForecaster()) is None


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (("2024-13-01",), "release must be a date such as '2024-11-27', or '' where it is not known: got '2024-13-01'"),
        (("20240101",), "release must be a date such as '2024-11-27', or '' where it is not known: got '20240101'"),
        ((None,), "release must be a date such as '2024-11-27', or '' where it is not known: got None"),
        (("", "m4"), "trained_on must be names of datasets, such as ('m4-hourly',): got 'm4'"),
        (("", (1,)), "trained_on must be names of datasets, such as ('m4-hourly',): got (1,)"),
        (("", 3), "trained_on must be names of datasets, such as ('m4-hourly',): got 3"),
    ],
)
def test_a_mistaken_statement_is_refused(values: Any, sentence: str) -> None:
    with pytest.raises(ParameterError) as found:
        Pretraining(*values)
    assert str(found.value) == sentence


def test_an_attribute_that_is_no_pretraining_is_refused() -> None:
    made = partial(level)
    made.pretraining = "2024"  # type: ignore[attr-defined]
    with pytest.raises(ParameterError, match=r"pretraining must be Pretraining\(release, trained_on\) where partial"):
        board_of(made)


def test_forecasts_that_were_made_elsewhere_take_it() -> None:
    frame = SALES.rename_axis("day").reset_index()
    made = pd.concat(
        pd.DataFrame({"day": DAYS[at : at + 3], "cutoff": DAYS[at - 1], "theirs": 20.0}) for at in (40, 45, 50, 55)
    )
    stated = {"theirs": Pretraining("2024-02-16", ("m4",))}
    board = Leaderboard.from_forecasts(made, frame, pretraining=stated)
    assert board.table.set_index("model").loc["theirs", "exposure"] == "2 of 4 cutoffs may have been seen"
    with pytest.raises(UnknownNameError, match="pretraining of 'thiers' has no forecasts; did you mean 'theirs'"):
        Leaderboard.from_forecasts(made, frame, pretraining={"thiers": Pretraining("2024-02-16")})
    with pytest.raises(ParameterError, match="got '2024-02-16' of 'theirs'"):
        Leaderboard.from_forecasts(made, frame, pretraining={"theirs": "2024-02-16"})  # type: ignore[dict-item]


def test_a_forecaster_that_learns_in_fit_alone_states_nothing() -> None:
    assert isinstance(NaiveForecaster(), Forecaster)
    assert NaiveForecaster().pretraining is None
