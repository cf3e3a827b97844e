"""Every kind of real set reaches a leaderboard from its card: gaps, duplicates, late starters, users."""

from __future__ import annotations

import numpy as np
import pytest

from tsforecast.catalog.card import card
from tsforecast.catalog.loaders import load_dataset
from tsforecast.data.panel import Panel
from tsforecast.evaluation.leaderboard import leaderboard
from tsforecast.forecasters.neural import GRUForecaster

pytestmark = pytest.mark.usefixtures("data_folder")


def newest(panel: Panel, steps: int) -> Panel:
    """Keep the newest steps, so that a network is fitted in a moment."""
    return panel.between(np.maximum(panel.lengths - steps, 0), panel.lengths)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("name", "window", "note"),
    [
        ("bike-sharing", 48, "inserted 165 missing time stamps"),
        ("machine-temperature", 24, "dropped 12 duplicate time stamps, kept the first of each"),
        ("us-gasoline", 52, None),
        ("opsd-germany", 28, None),
        ("hospital", 24, None),
    ],
)
def test_a_network_and_the_naive_family_forecast_it(name: str, window: int, note: str | None) -> None:
    panel, task = load_dataset(name), card(name).task
    assert panel.notes == ((note,) if note else ())
    model = GRUForecaster(window=window, units=8, max_epochs=1, random_state=0)
    part = newest(panel, 1500)
    board = leaderboard([model], part, min(task.horizon, 48), origins=2)
    assert set(board.table["model"]) == {"naive", "seasonal-naive", "drift", "gru"}
    assert np.isfinite(board.table["mase"]).all()
    assert len(set(board.rows.groupby("model", observed=True).size())) == 1


def test_series_that_start_late_are_judged_from_their_first_number_on() -> None:
    panel = load_dataset("opsd-germany")
    board = leaderboard([], panel, horizon=7, origins=550, step=7)
    cutoffs = board.rows.groupby("target", observed=True)["cutoff"].min()
    assert cutoffs["Consumption"] < cutoffs["Wind"] < cutoffs["Solar"]
    assert np.isfinite(board.rows["forecast"]).all()


@pytest.mark.thorough
def test_gestures_are_forecast_for_users_that_were_not_learned_from() -> None:
    panel = load_dataset("smartwatch-gestures")
    assert len(set(panel.groups)) == 8
    few = panel.select(np.arange(0, len(panel), 20))
    model = GRUForecaster(window=5, units=8, max_epochs=1, random_state=0)
    board = leaderboard([model], few, horizon=2)
    assert board.rows["series"].nunique() == len(few)
    assert np.isfinite(board.table["mase"]).all()


@pytest.mark.thorough
def test_a_default_network_is_better_than_the_naive_forecast_on_co2() -> None:
    task = card("co2-weekly").task
    board = leaderboard(
        [GRUForecaster(random_state=0)], load_dataset("co2-weekly"), task.horizon, task.origins, task.step
    )
    assert board.table.set_index("model").loc["gru", "skill"] > 0.6
    assert board.verdicts["gru"].sentence.startswith("gru is better than seasonal-naive: ")
