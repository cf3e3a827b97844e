"""A group is never on both sides of a split, whatever splits it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from sklearn.model_selection import cross_val_score

from tests.helpers.forecasters import wave
from tsforecast.data.panel import Panel
from tsforecast.data.splits import GroupKFold, LeaveGroupsOut
from tsforecast.errors import DataError, ParameterError
from tsforecast.evaluation.backtest import backtest
from tsforecast.evaluation.leaderboard import leaderboard
from tsforecast.forecasters.base import Forecaster
from tsforecast.forecasters.neural import GRUForecaster


def recordings(users: list[str], steps: int = 30, dates: bool = False) -> Panel:
    """Return one recording for each entry of `users`."""
    parts = []
    for number, user in enumerate(users):
        part = pd.DataFrame({"recording": f"r{number}", "user": user, "x": wave(steps, number) + 10 * ord(user)})
        parts.append(part.assign(day=pd.date_range("2024-01-01", periods=steps)) if dates else part)
    return Panel.from_frame(pd.concat(parts), id="recording", target="x", group="user")


@given(users=st.lists(st.sampled_from("abcd"), min_size=2, max_size=12), parts=st.integers(2, 4))
def test_a_group_is_never_on_both_sides(users: list[str], parts: int) -> None:
    if len(set(users)) < max(2, parts):
        return
    panel = recordings(users)
    for splitter in (LeaveGroupsOut(), LeaveGroupsOut(n_groups=len(set(users)) - 1), GroupKFold(parts)):
        tested: list[int] = []
        for train, test in splitter.split(panel):
            assert not set(panel.groups[train]) & set(panel.groups[test])
            assert sorted([*train, *test]) == list(range(len(panel)))
            tested += test.tolist()
        assert set(tested) == set(range(len(panel)))


class Sees(Forecaster):
    """Forecasts nothing but notes who was fitted and who was forecast."""

    seen: list[tuple[set[str], set[str]]] = []  # noqa: RUF012

    def __init__(self, horizon: int = 1) -> None:
        self.horizon = horizon

    def _fit(self, panel: Panel) -> None:
        self.users_ = set(panel.groups.tolist())
        self.rows_ = panel.lengths.tolist()

    def forecast(self, past: object, horizon: int) -> np.ndarray:
        self.seen.append((self.users_, set(past.statics["user"].tolist()), self.rows_))
        return past.tail(1).repeat(horizon, axis=1)


@pytest.mark.parametrize("dates", [False, True])
def test_a_backtest_leaves_each_group_out_in_turn(dates: bool) -> None:
    Sees.seen.clear()
    rows = backtest(Sees(), recordings(list("aabbc"), dates=dates), horizon=3, origins=2)
    assert [(fitted, tested) for fitted, tested, _ in Sees.seen] == [
        ({"b", "c"}, {"a"}),
        ({"a", "c"}, {"b"}),
        ({"a", "b"}, {"c"}),
    ]
    # On a common clock nobody's future is learned from; without one there is no such thing.
    assert {length for *_, lengths in Sees.seen for length in lengths} == ({24} if dates else {30})
    assert len(rows) == 5 * 2 * 3


def test_parts_of_whole_groups_can_be_chosen_instead() -> None:
    Sees.seen.clear()
    backtest(Sees(), recordings(list("aabbcd")), horizon=3, groups=GroupKFold(2))
    assert len(Sees.seen) == 2
    assert not any(fitted & tested for fitted, tested, _ in Sees.seen)


def test_a_network_validates_on_groups_that_it_does_not_train_on() -> None:
    panel = recordings(list("aabbccd"))
    model = GRUForecaster(window=5, horizon=3, units=2, max_epochs=1, validation=2, random_state=0).fit(panel)
    assert model.resolved_["validation"] == 2
    changed = panel.values.copy()
    changed[panel.offsets[4] :] *= 100  # users c and d
    again = GRUForecaster(window=5, horizon=3, units=2, max_epochs=1, validation=2, random_state=0)
    again.fit(panel.with_values(changed))
    assert np.array_equal(model.inputs_.scaling.location[0], again.inputs_.scaling.location[0])
    assert model.history_[1].train_loss == again.history_[1].train_loss
    assert model.history_[1].valid_loss != again.history_[1].valid_loss
    with pytest.raises(DataError, match="validation must leave a group to train on: takes 4 of 4 groups"):
        GRUForecaster(window=5, horizon=3, validation=4).fit(panel)


def test_what_other_groups_do_in_the_test_part_changes_no_forecast() -> None:
    panel = recordings(list("abc"), dates=True)
    changed = panel.values.copy()
    for i in (0, 1):
        changed[panel.offsets[i] + 27 : panel.offsets[i + 1]] = 1e4
    settings = {"window": 5, "units": 2, "max_epochs": 2, "random_state": 0}
    first, second = (
        backtest(GRUForecaster(**settings), p, horizon=3).query("series == 'r2'")["forecast"]
        for p in (panel, panel.with_values(changed))
    )
    assert np.array_equal(first, second)


def test_a_leaderboard_of_a_grouped_panel_has_all_series() -> None:
    board = leaderboard(["mean"], recordings(list("aabbc")), horizon=3)
    assert board.summary_line.startswith("5 series, 1 target, 1 cutoff, horizon 3")


def test_the_splitters_work_inside_scikit_learn() -> None:
    x = np.arange(24.0)[:, None]
    users = np.repeat(list("abc"), 8)
    for splitter in (LeaveGroupsOut(), GroupKFold(3)):
        assert cross_val_score(Ridge(1e-9), x, x.ravel(), groups=users, cv=splitter).tolist() == pytest.approx(
            [1, 1, 1]
        )


def test_the_number_of_splits_of_a_panel_is_that_of_its_groups() -> None:
    panel = recordings(list("aabbcd"))
    assert LeaveGroupsOut().get_n_splits(panel) == 4
    assert LeaveGroupsOut(2).get_n_splits(groups=list("abc")) == 3
    assert GroupKFold(2).get_n_splits(panel) == GroupKFold(2).get_n_splits() == 2


@pytest.mark.parametrize(
    ("work", "message"),
    [
        (
            lambda: list(LeaveGroupsOut().split(Panel.of(wave()))),
            "a panel must have groups to be split by them; name the column with group=...",
        ),
        (
            lambda: list(GroupKFold(2).split(np.zeros(4))),
            "rows must have groups to be split by them: pass groups=..., one label for each row",
        ),
        (
            lambda: LeaveGroupsOut().get_n_splits(),
            "rows must have groups to be split by them: pass groups=..., one label for each row",
        ),
        (
            lambda: list(LeaveGroupsOut().split(recordings(["a"] * 5))),
            "LeaveGroupsOut: 1 group tested at a time needs at least 2 groups: the data have 1",
        ),
        (
            lambda: LeaveGroupsOut(2).get_n_splits(recordings(["a", "b"] * 3)),
            "LeaveGroupsOut: 2 groups tested at a time needs at least 3 groups: the data have 2",
        ),
        (
            lambda: list(GroupKFold(3).split(recordings(["a", "b"] * 3))),
            "GroupKFold: 3 parts with whole groups, each tested once needs at least 3 groups: the data have 2",
        ),
    ],
)
def test_what_cannot_be_split_by_groups_is_refused(work: Callable[[], object], message: str) -> None:
    with pytest.raises(DataError) as caught:
        work()
    assert str(caught.value) == message


def test_numbers_of_groups_that_cannot_work_are_refused() -> None:
    for make, message in [
        (lambda: LeaveGroupsOut(0), "n_groups must be a whole number >= 1: got 0"),
        (lambda: LeaveGroupsOut("2"), "n_groups must be a whole number >= 1: got '2'"),
        (lambda: GroupKFold(1), "n_splits must be a whole number >= 2: got 1"),
        (lambda: GroupKFold(2.5), "n_splits must be a whole number >= 2: got 2.5"),
    ]:
        with pytest.raises(ParameterError) as caught:
            make()
        assert str(caught.value) == message


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, pd.NaT])
@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_series_without_a_group_is_named(missing: object, library: str) -> None:
    frame = pd.DataFrame({"id": np.repeat(["a", "b", "c"], 3), "x": wave(9), "user": "ann"}).astype({"user": object})
    frame.loc[3:, "user"] = missing
    with pytest.raises(DataError) as caught:
        Panel.from_frame(
            frame if library == "pandas" else pl.from_pandas(frame), id="id", target="x", group="user", season_length=6
        )
    assert caught.value.problems == (
        "column 'user' must name the group of every series: 2 of 3 series have none, such as 'b'; fill it in, or leave "
        "those series out",
    )


def test_numbered_groups_may_not_be_missing_either() -> None:
    frame = pd.DataFrame({"id": np.repeat(["a", "b"], 3), "x": wave(6), "user": [1.0] * 3 + [np.nan] * 3})
    with pytest.raises(DataError, match="column 'user' must name the group of every series: series 'b' has none"):
        Panel.from_frame(frame, id="id", target="x", group="user")


def test_the_scale_of_a_group_that_validates_does_not_come_from_its_targets() -> None:
    panel = recordings(list("aabbc"))
    settings = {"window": 5, "horizon": 3, "units": 2, "max_epochs": 0, "validation": 1, "per_series": True}
    settings |= {"anchor": "last", "value_transform": None}
    changed = panel.values.copy()
    changed[panel.offsets[4] + 15 :] *= 100  # the second half of user c, the last group
    losses = []
    for data in (panel, panel.with_values(changed)):
        model = GRUForecaster(**settings).fit(data)
        losses.append(model.history_[0].valid_loss)
    first = panel.series(4)[:5]
    values = panel.series(4)[:, 0]
    naive = np.mean([np.abs(values[c : c + 3] - values[c - 1]) for c in range(5, 28)]) / first.std()
    assert losses[0] == pytest.approx(naive, rel=1e-4)
    assert losses[1] > 10 * losses[0]  # far larger targets are far larger errors: no scale hides them
