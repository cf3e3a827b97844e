"""Boards in plain words: steps, seasons and units by their names, and a headline that needs no table."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest

from tsforecast.errors import ParameterError
from tsforecast.evaluation.leaderboard import leaderboard
from tsforecast.evaluation.phrasing import Wording, amount_format, class_headline, headline, share, size, span_of, times
from tsforecast.evaluation.results import ForecastResults
from tsforecast.evaluation.verdict import Verdict


def rows_at(frequency: str, season: int, gap: int = 0) -> pd.DataFrame:
    """Return rows of one series, two seasons of forecasts one after the other."""
    time = pd.date_range("2024-01-01", periods=2 * season + 1 + gap, freq=frequency)
    step = np.arange(1, 2 * season + 1)
    rows = {"model": "naive", "series": "a", "target": "y", "cutoff": time[0], "step": step, "time": time[1 + gap :]}
    return pd.DataFrame(rows | {"phase": (step + gap) % season})


@pytest.mark.parametrize(
    ("frequency", "season", "step", "naive", "phase", "first"),
    [
        ("h", 24, "hour", "yesterday's value", "hour of the day", ("0:00", "1:00")),
        ("D", 7, "day", "last week's value", "weekday", ("Mon", "Tue")),
        ("B", 5, "day", "last week's value", "weekday", ("Mon", "Tue")),
        ("W-MON", 52, "week", "last year's value", "week of the year", ()),
        ("MS", 12, "month", "last year's value", "month of the year", ("Jan", "Feb")),
        ("QS", 4, "quarter", "last year's value", "quarter of the year", ("Q1", "Q2")),
        ("15min", 96, "15 minutes", "yesterday's value", "15 minutes of the day", ()),
        ("D", 11, "day", "the value one season before", "position in the season", ()),
    ],
)
def test_steps_and_seasons_have_the_names_of_the_calendar(
    frequency: str, season: int, step: str, naive: str, phase: str, first: tuple[str, ...]
) -> None:
    words = Wording.of(rows_at(frequency, season), None)
    assert (words.step, words.naive("seasonal-naive"), words.phase) == (step, naive, phase)
    assert words.names[: len(first)] == first
    assert bool(words.names) == bool(first)
    assert words.naive("ets") == "ets"


def test_numbers_of_steps_have_no_calendar_and_phases_of_several_weekdays_no_names() -> None:
    rows = rows_at("D", 7)
    plain = Wording.of(rows.assign(time=rows["step"], cutoff=0), None)
    assert (plain.step, plain.ahead, plain.season) == ("step", "steps ahead", "")
    assert Wording.of(rows.assign(phase=(rows["step"] + rows["step"] // 7) % 7), None).names == ()


def test_amounts_have_the_unit_and_the_fewest_digits_that_tell_them_apart() -> None:
    shops = Wording(step="day", series="shop", unit="EUR", many=True)
    assert shops.amounts(63.21, 89.04) == "off by 63 EUR instead of 89 EUR per shop and day"
    assert Wording(step="week").amounts(0.3712, 0.3745) == "off by 0.371 instead of 0.374 per week"
    assert shops.amounts(12345.0, 23456.0).startswith("off by 12,345 EUR instead of 23,456 EUR")
    assert shops.titled("sales") == "sales (EUR)"
    looks = {value: amount_format(np.array([value])).format(value) for value in (1234.6, 12.346, 0.0, 1e-9)}
    assert looks == {1234.6: "1,235", 12.346: "12.35", 0.0: "0", 1e-9: "1e-09"}


def test_differences_are_percent_up_to_twice_the_error_and_times_beyond() -> None:
    def words(skill: float, low: float = math.nan, high: float = math.nan) -> str:
        return size(Verdict("a", "worse", "", skill, low, high))

    assert words(0.29, 0.23, 0.35) == "29% less error (23 to 35)"
    assert words(-0.05, -0.12, 0.03) == "5.0% more error (-3 to 12)"
    assert words(-20.721, -30.0, -11.0) == "22 times the error (12 to 31)"
    assert words(-1.4) == "2.4 times the error"
    assert words(0.0) == "the same error"
    assert words(0.2, -np.inf, 0.3) == "20% less error (no limit to 30)"
    assert words(-np.inf) == "an error where the reference has none"
    assert (share(-0.0001), share(0.0996), times(9.96)) == ("0.0%", "10%", "10 times")
    assert span_of(28 * 86400.0) == "month"


def test_the_headline_counts_who_beats_the_reference_in_words() -> None:
    def found(*outcomes: str, networks: tuple[str, ...] = ()) -> str:
        verdicts = [
            Verdict(f"m{i}", outcome, "", 0.3 - 0.1 * i, 0.2 - 0.1 * i, 0.4 - 0.1 * i)
            for i, outcome in enumerate(outcomes)
        ]
        verdicts.append(Verdict("seasonal-naive", "reference", "", 0.0))
        words = Wording(step="day", season="week", series="shop", many=True, unit="EUR")
        return headline(verdicts, "seasonal-naive", words, {"m0": 62.3, "seasonal-naive": 89.0}, networks)

    amounts = "off by 62 EUR instead of 89 EUR per shop and day"
    best = f"m0, 30% less error (20 to 40); {amounts}"
    both = found("better", "better", networks=("m0", "m1"))
    assert both == f"Both networks beat last week's value. Best: {best}"
    every = found("better", "better", "better", networks=("m0", "m1"))
    assert every == f"All 3 models beat last week's value. Best: {best}"
    assert found("better", "worse", networks=("m0",)) == f"1 of 2 models beats last week's value. Best: {best}"
    assert found("better") == f"m0 beats last week's value: 30% less error (20 to 40); {amounts}"
    none = found("inconclusive", "worse")
    assert none.startswith("No model is shown to beat last week's value. Best of 2: m0, 30% less error (20 to 40), inc")
    assert found("failed").startswith("m0 ") is True


def test_a_unit_goes_from_the_leaderboard_to_stored_results_and_figures(tmp_path: object) -> None:
    days = pd.date_range("2024-01-01", periods=60)
    frame = pd.concat([pd.DataFrame({"shop": name, "day": days, "sales": np.arange(60.0) % 7}) for name in "ab"])
    board = leaderboard([], frame, horizon=7, unit="EUR")
    assert (board.wording.each, board.wording.time) == ("shop and day", "day")
    board.to_parquet(f"{tmp_path}/rows.parquet")
    again = ForecastResults.from_parquet(f"{tmp_path}/rows.parquet")
    assert (again.unit, again.wording) == ("EUR", board.wording)
    with pytest.raises(ParameterError, match="unit must be text of at most 20 letters: got 5; pass unit='EUR'"):
        leaderboard([], frame, horizon=7, unit=5)  # type: ignore[arg-type]
    assert dataclasses.replace(board, unit="").wording.titled("sales") == "sales"


def test_the_headline_of_classifiers_has_who_beats_a_guess_and_how_often_the_best_is_right() -> None:
    def found(outcomes: dict[str, str], shares: dict[str, float], base: float = 0.25, networks: str = "") -> str:
        table = pd.DataFrame({"accuracy": shares}).sort_values("accuracy", ascending=False)
        table = table.assign(low=table["accuracy"] - 0.05, high=table["accuracy"] + 0.05)
        verdicts = {name: Verdict(name, outcome, "") for name, outcome in outcomes.items()}
        return class_headline(verdicts, table, base, "recordings of a user that it has not seen", networks.split())

    tested, guess = "of the recordings of a user that it has not seen", "guessing the most frequent class"
    one = found({"gru": "better", "majority": "reference"}, {"gru": 0.927, "majority": 0.25})
    assert one == f"gru beats {guess}: right on 93% (88 to 98) instead of 25% {tested}"
    both = found({"gru": "better", "lstm": "better"}, {"gru": 0.9, "lstm": 0.9999}, networks="gru lstm")
    assert both == f"Both networks beat {guess}. Best: lstm, right on 99.9% (95 to 100) instead of 25% {tested}"
    some = found({"gru": "better", "dtw": "inconclusive", "x": "failed"}, {"gru": 1.0, "dtw": 0.3, "x": math.nan})
    assert some == f"1 of 3 models beats {guess}. Best: gru, right on 100% (95 to 100) instead of 25% {tested}"
    none = found({"gru": "worse", "dtw": "inconclusive"}, {"gru": 0.1, "dtw": 0.26})
    assert none.startswith(f"No model is shown to beat {guess}. Best of 2: dtw, right on 26% (21 to 31) instead of")
    assert none.endswith(", inconclusive")
    assert found({"gru": "inconclusive"}, {"gru": 0.25}).endswith(
        f"right on 25% (20 to 30) {tested}, as often as a guess, inconclusive"
    )
    alone = found({"majority": "reference"}, {"majority": 0.25})
    assert alone == f"Guessing the most frequent class is the answer to beat: right on 25% {tested}"
