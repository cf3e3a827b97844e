"""Splitters name positions: every target lies after its cutoff, none is tested and trained on at once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import cross_val_score

from tsforecast.data.panel import Panel
from tsforecast.data.splits import RollingOrigin, holdout, is_tested
from tsforecast.errors import DataError, ParameterError

SETTINGS = {
    "horizon": st.integers(1, 6),
    "origins": st.integers(1, 5),
    "step": st.one_of(st.none(), st.integers(1, 7)),
    "gap": st.integers(0, 4),
    "train_length": st.one_of(st.none(), st.integers(1, 9)),
}


@given(settings=st.fixed_dictionaries(SETTINGS), spare=st.integers(1, 20))
def test_train_positions_end_before_the_gap_and_test_positions_follow_it(settings: dict, spare: int) -> None:
    splitter = RollingOrigin(**settings)
    length = splitter.gap + splitter.horizon + (splitter.origins - 1) * splitter.stride + spare
    splits = list(splitter.split(np.zeros(length)))
    assert len(splits) == splitter.get_n_splits() == splitter.origins
    for train, test in splits:
        assert test[0] - train[-1] == splitter.gap + 1
        assert len(test) == splitter.horizon
        assert not set(train) & set(test)
        assert len(train) == (
            train[-1] + 1 if splitter.train_length is None else min(train[-1] + 1, splitter.train_length)
        )
    starts = [test[0] for _, test in splits]
    assert starts == sorted(starts)
    assert np.all(np.diff(starts) == splitter.stride)
    assert splits[-1][1][-1] == length - 1


@given(settings=st.fixed_dictionaries(SETTINGS), lengths=st.lists(st.integers(1, 15), min_size=1, max_size=4))
def test_folds_of_a_panel_agree_with_the_split_of_one_long_series(settings: dict, lengths: list[int]) -> None:
    splitter = RollingOrigin(**settings)
    needed = splitter.gap + splitter.horizon + (splitter.origins - 1) * splitter.stride + 1
    longest = max(needed, *lengths)
    panel = Panel.from_array([np.zeros(longest), *(np.zeros(n) for n in lengths)])
    for fold, (train, test) in zip(splitter.cutoffs(panel), splitter.split(range(longest)), strict=True):
        for i, length in enumerate(panel.lengths):
            shift = longest - length  # all series end together
            assert set(range(fold.start[i], fold.seen[i])) == {t - shift for t in train if t >= shift}
            assert set(range(fold.first[i], fold.last[i])) == {t - shift for t in test if t >= shift}


def test_series_with_time_stamps_are_cut_at_the_same_time_not_at_the_same_row() -> None:
    import pandas as pd

    early = pd.DataFrame({"id": "early", "day": pd.date_range("2024-01-01", periods=20), "y": 1.0})
    late = pd.DataFrame({"id": "late", "day": pd.date_range("2024-01-11", periods=10), "y": 1.0})
    gone = pd.DataFrame({"id": "gone", "day": pd.date_range("2024-01-01", periods=5), "y": 1.0})
    panel = Panel.of(pd.concat([early, late, gone]))
    (fold,) = holdout(4).cutoffs(panel)
    assert fold.seen.tolist() == [16, 6, 5]
    assert (fold.last - fold.first).tolist() == [4, 4, 0]


def test_a_splitter_works_inside_scikit_learn() -> None:
    x = np.arange(40.0)[:, None]
    scores = cross_val_score(LinearRegression(), x, x.ravel(), cv=RollingOrigin(horizon=5, origins=3))
    assert scores.tolist() == pytest.approx([1, 1, 1])


def test_a_panel_is_not_taken_for_an_array_of_its_series() -> None:
    panel = Panel.of(np.zeros((20, 50, 1)))
    with pytest.raises(DataError) as caught:
        list(RollingOrigin(horizon=2).split(panel))
    assert str(caught.value) == (
        "split takes the rows of one array: got a panel, whose 20 series have rows of their own; use cutoffs(panel)"
    )


def test_too_many_origins_are_refused_with_the_arithmetic() -> None:
    with pytest.raises(DataError) as caught:
        RollingOrigin(horizon=10, origins=9, step=5).ticks(40)
    assert str(caught.value) == (
        "the origins, gap and horizon must leave a step to learn from: they need 51 steps, the data have 40; "
        "use origins <= 6"
    )
    RollingOrigin(horizon=10, origins=6, step=5).ticks(40)  # the remedy works
    with pytest.raises(DataError, match="use horizon <= 7"):
        RollingOrigin(horizon=10).ticks(8)


@pytest.mark.parametrize("settings", [{"origins": 3}, {"origins": 3, "step": 9}, {"origins": 2, "gap": 4}])
def test_where_no_number_of_origins_fits_the_remedy_is_one_that_works(settings: dict) -> None:
    with pytest.raises(DataError, match=r"use origins = 1 and (gap \+ )?horizon <= 4$"):
        RollingOrigin(horizon=5, **settings).ticks(5)
    RollingOrigin(horizon=4).ticks(5)
    with pytest.raises(DataError, match=r"they need 2 steps, the data have 1; give more rows$"):
        RollingOrigin(horizon=1).ticks(1)


def test_a_series_is_tested_from_cutoffs_that_see_enough_of_it() -> None:
    panel = Panel.from_array([np.zeros(n) for n in (12, 9, 5)])
    folds = RollingOrigin(horizon=2, origins=3, min_past=6).cutoffs(panel)
    assert [fold.seen.tolist() for fold in folds] == [[6, 3, 0], [8, 5, 1], [10, 7, 3]]
    assert is_tested(folds).tolist() == [[True, False, False], [True, False, False], [True, True, False]]


def test_too_few_steps_before_the_oldest_cutoff_are_refused_with_the_arithmetic() -> None:
    splitter = RollingOrigin(horizon=5, origins=4, step=1, min_past=10)
    assert (
        repr(splitter) == "RollingOrigin: 4 cutoffs every 1 step, horizon 5, gap 0, expanding, after at least 10 steps"
    )
    with pytest.raises(DataError) as caught:
        splitter.ticks(17)
    assert str(caught.value) == (
        "the origins, gap and horizon must leave min_past = 10 steps before the oldest cutoff: they need 18 steps, the "
        "data have 17; use origins <= 3"
    )
    assert RollingOrigin(horizon=5, origins=3, step=1, min_past=10).ticks(17) == [10, 11, 12]  # the remedy works
    with pytest.raises(DataError, match=r"use origins = 1 and horizon <= 2$"):
        splitter.ticks(12)
    with pytest.raises(DataError, match="the data have 10; give more rows"):
        splitter.ticks(10)
    with pytest.raises(ParameterError) as refused:
        RollingOrigin(horizon=5, train_length=8, min_past=10)
    assert str(refused.value) == (
        "min_past must be <= train_length, the most that a cutoff sees: got 10, train_length 8"
    )


def test_an_array_with_fewer_rows_than_columns_is_said_to_be_read_as_steps_and_targets() -> None:
    with pytest.raises(DataError) as caught:
        holdout(14).cutoffs(Panel.of(np.zeros((5, 200))))
    assert str(caught.value) == (
        "the origins, gap and horizon must leave a step to learn from: they need 15 steps, the data have 5 (the array "
        "was read as 5 steps of 200 targets: pass array[..., None] if its rows are series); use horizon <= 4"
    )


def test_all_wrong_numbers_are_reported_at_once() -> None:
    with pytest.raises(ParameterError) as caught:
        RollingOrigin(horizon=0, origins=1.5, gap=-1)  # type: ignore[arg-type]
    assert str(caught.value) == (
        "3 problems:\n  - horizon must be a whole number >= 1: got 0\n"
        "  - origins must be a whole number >= 1: got 1.5\n  - gap must be a whole number >= 0: got -1"
    )
