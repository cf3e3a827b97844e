"""Many short recordings of many people: each is forecast from every cutoff that sees enough of it, and no other."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tsforecast.data.panel import Panel
from tsforecast.errors import DataError
from tsforecast.evaluation.backtest import backtest
from tsforecast.evaluation.leaderboard import leaderboard
from tsforecast.evaluation.record import ForecastRecord
from tsforecast.forecasters.base import Forecaster
from tsforecast.forecasters.naive import WindowAverageForecaster
from tsforecast.forecasters.neural import GRUForecaster
from tsforecast.forecasters.reduction import ReductionForecaster
from tsforecast.leakage.audit import audit

LENGTHS = [9, 12, 7, 6, 8, 10, 15, 4]  # of ann's, bob's and cem's recordings
PEOPLE = ["ann", "ann", "ann", "bob", "bob", "cem", "cem", "cem"]
EVERY = {"horizon": 2, "origins": 9, "step": 1, "min_past": 5}  # 15 - 5 - 2 + 1 cutoffs in the longest


def recordings(lengths: list[int] = LENGTHS, people: list[str] = PEOPLE) -> Panel:
    """Return recordings with two channels; every number of a recording lies within 1 of 100 times its own number."""
    random = np.random.default_rng(0)
    parts = [
        pd.DataFrame({"id": f"r{i}", "who": who, "x": 100 * i + random.random(n), "y": 100 * i - random.random(n)})
        for i, (n, who) in enumerate(zip(lengths, people, strict=True))
    ]
    return Panel.from_frame(pd.concat(parts), id="id", target=["x", "y"], group="who")


def test_each_recording_is_forecast_from_every_cutoff_that_sees_enough_and_from_no_other() -> None:
    rows = backtest(WindowAverageForecaster(window=5), recordings(), **EVERY)
    found = set(rows[["series", "cutoff"]].itertuples(index=False, name=None))
    assert found == {(f"r{i}", seen - 1) for i, n in enumerate(LENGTHS) for seen in range(5, n - 1)}
    assert (rows.groupby(["series", "cutoff"], observed=True).size() == 2 * 2).all()


def test_no_window_crosses_from_one_recording_into_another() -> None:
    rows = backtest(WindowAverageForecaster(window=5), recordings(), **EVERY)
    number = rows["series"].astype(str).str[1:].astype(int)
    assert ((rows["forecast"] - 100 * number).abs() < 1).all()


class Counts(Forecaster):
    """Forecasts the last value, and notes what it was fitted on and asked."""

    asked: list[tuple[set[str], set[str], int]] = []  # noqa: RUF012

    def __init__(self, horizon: int = 1) -> None:
        self.horizon = horizon

    def _fit(self, panel: Panel) -> None:
        self.fitted_ = set(panel.ids.tolist())

    def forecast(self, past: object, horizon: int) -> np.ndarray:
        self.asked.append((self.fitted_, set(past.ids.tolist()), len(past)))
        return past.tail(1).repeat(horizon, axis=1)


def test_all_cutoffs_of_a_person_are_forecast_at_once_by_a_model_that_never_saw_them() -> None:
    Counts.asked.clear()
    backtest(Counts(), recordings(), **EVERY)
    long = {f"r{i}" for i, n in enumerate(LENGTHS) if n >= 7}  # r3 and r7 have no cutoff: nobody learns from them
    ann, bob, cem = {"r0", "r1", "r2"}, {"r4"}, {"r5", "r6"}
    assert Counts.asked == [(long - ann, ann, 3 + 6 + 1), (long - bob, bob, 2), (long - cem, cem, 4 + 9)]


def test_a_model_with_a_window_as_long_as_the_past_learns_from_what_is_left() -> None:
    model = GRUForecaster(window=5, units=2, max_epochs=1, random_state=0)
    board = leaderboard([model, ReductionForecaster(window=5)], recordings(), metric="mae", **EVERY)
    assert not board.failures
    assert set(board.rows["leak_audit"]) == {"passed (data)"}
    assert board.notes[0] == (
        "2 of 8 series are shorter than min_past + gap + horizon = 5 + 0 + 2 = 7 steps and are left out: 'r3', 'r7'"
    )
    assert board.record is not None
    assert ForecastRecord.from_plain(board.record.plain()).min_past == 5


def test_the_audit_looks_at_every_recording_of_the_first_person_that_is_left_out() -> None:
    panel = recordings()
    same = panel.values.copy()
    same[panel.offsets[5] : panel.offsets[5] + 9] = same[: panel.offsets[1]]
    twice = panel.with_values(same).between(
        np.zeros(8, dtype=int), np.where(np.arange(8) == 5, 9, panel.lengths)
    )  # ann's first recording, of 9 steps, is also cem's first one
    rows = backtest(WindowAverageForecaster(window=5), twice, **EVERY)
    assert set(rows["leak_audit"]) == {"LEAK (data)"}
    rows = backtest(ReductionForecaster(window=5), panel, audit="fit", **EVERY)
    assert set(rows["leak_audit"]) == {"passed (fit)"}


@pytest.mark.thorough
def test_a_window_may_be_longer_than_most_recordings_but_not_than_all() -> None:
    model = ReductionForecaster(window=14, horizon=2)
    with pytest.raises(DataError) as caught:
        model.fit(recordings())
    assert str(caught.value).endswith(
        "needs 14 + 2 = 16 steps, series 'r6' has 15; so do 7 other series; use window <= 13 or horizon <= 1"
    )
    model.set_params(window=8).fit(recordings())
    assert model.resolved_["least"] == 3
    assert audit(model, recordings(), min_past=5).outcome == "passed (fit)"


@pytest.mark.parametrize("refit", [False, True])
def test_a_person_whose_recordings_are_all_short_of_the_oldest_cutoff_is_tested_at_later_ones(refit: bool) -> None:
    rows = backtest(WindowAverageForecaster(), recordings(), horizon=2, origins=11, step=1, refit=refit)
    assert rows.groupby("group")["cutoff"].max().to_dict() == {"ann": 9, "bob": 5, "cem": 12}


def test_with_time_stamps_a_series_waits_until_it_has_enough_past() -> None:
    days = pd.date_range("2024-01-01", periods=20)
    early, late = (pd.DataFrame({"id": name, "day": d, "y": 1.0}) for name, d in (("a", days), ("b", days[9:])))
    rows = backtest(WindowAverageForecaster(), pd.concat([early, late]), horizon=2, origins=5, min_past=6)
    first = rows.groupby("series", observed=True)["cutoff"].min()
    assert first.to_dict() == {"a": days[9], "b": days[15]}


def test_recordings_that_are_all_too_short_are_refused_with_the_arithmetic() -> None:
    with pytest.raises(DataError) as caught:
        backtest(WindowAverageForecaster(), recordings(), horizon=2, min_past=14)
    assert str(caught.value) == (
        "a series must have min_past + gap + horizon = 14 + 0 + 2 = 16 steps: the longest has 15; use a smaller "
        "min_past or a shorter horizon"
    )


def test_an_audit_is_not_misled_by_how_numbers_lie_in_memory() -> None:
    frame = pd.DataFrame({"step": range(40), "y": np.arange(40.0) ** 1.5, "left": 1.0, "z": 2.0})
    panel = Panel.from_frame(frame, time="step", target="y", past=["left", "z"]).without("left")
    assert audit(ReductionForecaster(window=5, horizon=3), panel, level="data").passed
