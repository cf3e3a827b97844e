"""The sealed test part is out of reach until it is opened, and each opening leaves a trace."""

from __future__ import annotations

import numpy as np
import pytest

from tests.helpers.forecasters import wave
from tsforecast.data.panel import Panel
from tsforecast.data.protocol import Protocol, default_cutoffs
from tsforecast.errors import DataError, ParameterError
from tsforecast.evaluation.leaderboard import leaderboard
from tsforecast.evaluation.seal import SealedPanel
from tsforecast.forecasters.naive import NaiveForecaster


def test_fits_and_boards_see_the_rows_before_the_seal_alone(ragged: Panel) -> None:
    sealed = SealedPanel(ragged, test=10)
    assert np.array_equal(sealed.train.lengths, ragged.lengths - 10)
    assert all(np.array_equal(sealed.train.series(i), ragged.series(i)[:-10]) for i in range(3))
    model = NaiveForecaster().fit(sealed)
    assert [part.item() for part in model.predict()] == [ragged.series(i)[-11, 0] for i in range(3)]
    board = leaderboard("mean", sealed, horizon=5)
    assert board.rows["time"].max() == 79
    assert sealed.opened == 0
    assert not any("test part" in note for note in board.notes)


def test_no_attribute_of_the_seal_holds_the_rows(ragged: Panel) -> None:
    sealed = SealedPanel(ragged, test=10)
    held = [value for value in vars(sealed).values() if isinstance(value, (Panel, np.ndarray))]
    assert held == [sealed.train]
    assert sealed.train.values.base is None or len(sealed.train.values.base) == len(sealed.train.values)


def test_every_opening_is_counted_and_a_board_says_how_many() -> None:
    sealed = SealedPanel(Panel.from_array(wave(90), season_length=6), test=0.1)
    assert (sealed.test, sealed.opened) == (9, 0)
    first = sealed.open()
    assert np.array_equal(first.values[:, 0], wave(90))
    board = leaderboard("mean", sealed.open(), horizon=9)
    assert f"test part (the last 9 steps) opened 2 times; sha256 {sealed.fingerprint[:12]}" in board.notes
    assert "opened 2 times" in str(board)
    assert "opened 2 times" in repr(sealed)


def test_the_fingerprint_is_that_of_the_test_part() -> None:
    data, other, early = wave(90), wave(90), wave(90)
    other[85], early[5] = 0.0, 0.0
    prints = [SealedPanel(Panel.of(one), test=10).fingerprint for one in (data, other, early)]
    assert prints[0] == prints[2] != prints[1]


def test_series_that_begin_in_the_test_part_are_not_there_before_it() -> None:
    import pandas as pd

    days = pd.date_range("2024-01-01", periods=40)
    parts = [
        pd.DataFrame({"id": "old", "day": days, "y": 1.0}),
        pd.DataFrame({"id": "new", "day": days[35:], "y": 2.0}),
    ]
    sealed = SealedPanel(Panel.of(pd.concat(parts)), test=10)
    assert sealed.train.ids.tolist() == ["old"]
    assert len(sealed.open()) == 2


def test_a_seal_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(DataError, match="must leave steps to learn from: takes 90 of 90; use test < 90"):
        SealedPanel(Panel.of(wave(90)), test=90)
    with pytest.raises(ParameterError, match="test must be a share in"):
        SealedPanel(Panel.of(wave(90)), test=0)


@pytest.mark.parametrize(
    ("length", "more", "counts", "why"),
    [
        # A third is 166 steps; 166 - 14 = 152 from the oldest cutoff to the newest: 10 * 14 fit.
        (500, {}, (11, None), "11 cutoffs, 14 steps apart: all in the last third of the median series (500 steps)"),
        (500, {"gap": 20}, (10, None), "10 cutoffs, 14 steps apart: all"),
        (500, {"gap": 30}, (10, 13), "10 cutoffs, 13 steps apart: the last third"),  # 166 - 44 = 122 = 9 * 13 + 5
        (5000, {}, (30, None), "30 cutoffs, 14 steps apart: the most that are taken unless told, of 119 in the last"),
        (200, {}, (10, 5), "10 cutoffs, 5 steps apart: the last third of the median series (200 steps) would hold 4"),
        (200, {"step": 20}, (3, 20), "3 cutoffs, 20 steps apart: all in the last third"),
        (60, {}, (7, 1), "7 cutoffs, 1 step apart: "),
        (60, {"min_past": 45}, (2, 1), "2 cutoffs, 1 step apart: "),
        (20, {}, (1, None), "1 cutoff: the last third of the median series (20 steps) holds no more"),
    ],
)
def test_cutoffs_are_as_many_as_the_last_third_holds(
    length: int, more: dict[str, int], counts: tuple[int, int | None], why: str
) -> None:
    found = default_cutoffs(Panel.of(np.arange(float(length))), Protocol(14, **more))
    assert found[:2] == counts
    assert found[2].startswith(why)


def test_one_cutoff_is_the_default_where_verdicts_count_groups_or_series() -> None:
    others = Panel.from_array([np.arange(50.0 + i) for i in range(6)])  # each ends after steps of its own
    alike = Panel.from_array([np.arange(50.0)] * 6)
    assert default_cutoffs(others, Protocol(2))[:2] == (1, None)
    assert default_cutoffs(alike, Protocol(2))[0] == 10
    assert default_cutoffs(alike, Protocol(2), independent_series=True)[0] == 1
    with pytest.raises(ParameterError, match="horizon must be a whole number >= 1: got 0"):
        default_cutoffs(alike, Protocol(0))
