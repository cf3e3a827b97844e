"""All trials are scored on the same targets beside the naive forecast, and luck of the best of many is estimated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.helpers.forecasters import small, wave
from tsforecast.data.panel import Panel
from tsforecast.errors import DataError
from tsforecast.evaluation.leaderboard import leaderboard
from tsforecast.forecasters.naive import NaiveForecaster
from tsforecast.forecasters.neural import NeuralForecaster
from tsforecast.forecasters.reduction import ReductionForecaster
from tsforecast.search.objective import forecast_objectives, optimism
from tsforecast.search.trial import Score, TrialSetup, losses_at_best, run_trial

PANEL = Panel.from_array([wave(90, 0), wave(70, 1)], season_length=6)


@pytest.mark.parametrize("metric", ["mase", "mae", "rmse", "smape", "rmsse"])
def test_skill_is_that_of_a_leaderboard_of_the_same_targets(metric: str) -> None:
    panel = Panel.from_array(wave(90), season_length=6)
    fold = forecast_objectives(panel, 3, 20, 1, metric)[0]
    board = leaderboard(["mean", "window-average"], panel, horizon=3, origins=18, step=1, metric=metric)
    model = NaiveForecaster(horizon=3).fit(fold.part)
    assert fold.reference == board.reference
    skill = board.table.set_index("model").loc["naive", "skill"]
    # A board scales by the past of each cutoff, a search by what trains.
    assert fold.skill(fold.losses(model)) == pytest.approx(skill, rel=0.01 if metric in ("mase", "rmsse") else 1e-9)


def test_the_targets_do_not_depend_on_the_window_and_lie_behind_what_trains() -> None:
    fold = forecast_objectives(PANEL, 3, 0.2, 1, "mase")[0]
    assert fold.part.lengths.tolist() == [76, 56]
    assert fold.context.lengths.min() >= 56
    assert fold.weights.sum() == pytest.approx(1)
    for window in (5, 20):
        assert len(fold.losses(NeuralForecaster(window=window, units=4, max_epochs=1).fit(fold.part))) == len(
            fold.naive
        )


def test_older_origins_lie_one_before_the_other() -> None:
    folds = forecast_objectives(PANEL, 3, 10, 3, "mae")
    assert [fold.part.lengths.tolist() for fold in folds] == [[80, 60], [70, 50], [60, 40]]
    with pytest.raises(DataError, match="validation_origins must leave steps to learn from: 9 of 10 steps"):
        forecast_objectives(PANEL, 3, 10, 9, "mae")


def test_what_lies_after_the_validation_part_moves_no_score() -> None:
    sealed = PANEL.until(PANEL.lengths - 8)
    changed = Panel.from_array(
        [np.r_[PANEL.series(i)[: n - 8, 0], np.full(8, 1e6)] for i, n in enumerate(PANEL.lengths)], season_length=6
    )
    again = changed.until(changed.lengths - 8)
    one, two = (forecast_objectives(panel, 3, 0.2, 1, "mase")[0] for panel in (sealed, again))
    assert np.array_equal(one.truth, two.truth)
    assert np.array_equal(one.naive, two.naive)


def test_the_best_of_many_equal_trials_looks_better_than_it_is_by_what_is_estimated() -> None:
    random, left = np.random.default_rng(0), []
    fold = forecast_objectives(Panel.of(random.normal(size=400)), 1, 0.25, 1, "mae")
    naive = fold[0].naive
    for _ in range(40):
        # Twenty trials as good as naive on the whole; what each shows is luck.
        losses = naive.mean() * (1 + 0.6 * random.normal(size=(20, len(naive))))
        best = max(fold[0].skill(each) for each in losses)
        left.append((best, best - optimism(fold, losses)))
    observed, honest = np.mean(left, axis=0)
    assert observed > 0.08
    assert abs(honest) < 0.15 * observed


def scores(
    settings: dict[str, object], folder: Path, folds: int = 1, model: object = None, epochs: int = 4
) -> list[Score]:
    """Run a trial and return what it reported."""
    found: list[Score] = []
    forecaster = model or NeuralForecaster(units=4, random_state=0)
    setup = TrialSetup(forecaster, forecast_objectives(PANEL, 3, 10, folds, "mae"), epochs, 0)
    run_trial(setup, settings, folder, found.append)
    return found


def test_a_trial_reports_each_epoch_and_its_score_is_the_best_so_far(tmp_path: Path) -> None:
    found = scores({"learning_rate": 0.1, "window": 12}, tmp_path)
    assert [one.epoch for one in found] == [1, 2, 3, 4]
    every = [found[0].start, *(one.skill for one in found)]
    assert [one.best_skill for one in found] == pytest.approx(np.maximum.accumulate(every)[1:])
    folds = forecast_objectives(PANEL, 3, 10, 1, "mae")
    assert folds[0].skill(losses_at_best(tmp_path, folds)) == pytest.approx(found[-1].best_skill)


def test_a_trial_over_several_origins_averages_their_skill(tmp_path: Path) -> None:
    found = scores({"window": 12}, tmp_path / "both", folds=2)
    newest = scores({"window": 12}, tmp_path / "one")
    older = forecast_objectives(PANEL, 3, 10, 2, "mae")[1]
    losses = np.load(tmp_path / "both" / "origin-1.npy")
    assert found[2].skill == pytest.approx((newest[2].skill + older.skill(losses[3])) / 2)


def test_a_trial_that_was_cut_short_goes_on_to_the_same_scores(tmp_path: Path) -> None:
    whole = scores({"window": 12}, tmp_path / "whole")

    class Cut(Exception):
        pass

    def cut(score: Score) -> None:
        if score.epoch == 2:
            raise Cut

    model = TrialSetup(NeuralForecaster(units=4, random_state=0), forecast_objectives(PANEL, 3, 10, 1, "mae"), 4, 0)
    with pytest.raises(Cut):
        run_trial(model, {"window": 12}, tmp_path / "cut", cut)
    assert scores({"window": 12}, tmp_path / "cut") == whole[2:]


def test_a_population_goes_on_with_weights_that_were_trained_in_another_way(tmp_path: Path) -> None:
    setup = TrialSetup(NeuralForecaster(units=4, random_state=0), forecast_objectives(PANEL, 3, 10, 1, "mae"), 4, 0)
    found: list[Score] = []

    def first(score: Score) -> None:
        found.append(score)
        if score.epoch == 2:
            raise KeyError

    with pytest.raises(KeyError):
        run_trial(setup, {"window": 12, "learning_rate": 0.01}, tmp_path, first)
    run_trial(setup, {"window": 12, "learning_rate": 0.05}, tmp_path, found.append, mutates=True)
    assert [one.epoch for one in found] == [1, 2, 3, 4]
    plain = scores({"window": 12, "learning_rate": 0.01}, tmp_path / "plain")
    assert found[:2] == plain[:2]
    assert found[2].skill != plain[2].skill


def test_a_forecaster_without_epochs_is_scored_once(tmp_path: Path) -> None:
    found = scores({"window": 6}, tmp_path, folds=2, model=ReductionForecaster())
    assert [one.epoch for one in found] == [0]
    assert found[0].skill == found[0].start == found[0].best_skill


@pytest.mark.parametrize("folds", [1, 2])
def test_a_network_of_no_epochs_is_scored_once(folds: int, tmp_path: Path) -> None:
    for _ in range(2):  # at first, and from its folder
        found = scores({"window": 12}, tmp_path, folds, epochs=0)
        assert [one.epoch for one in found] == [0]
        assert found[0].skill == found[0].start == found[0].best_skill == pytest.approx(0, abs=1e-6)


def test_forecasting_while_a_network_trains_changes_nothing() -> None:
    seen: list[float] = []
    plain = small("gru").fit(wave(90))
    observed = small("gru")
    observed.fit(wave(90), on_epoch=lambda epoch: seen.append(float(observed.predict()[0])))
    assert np.array_equal(plain.predict(), observed.predict())
    assert len(seen) == 3
    assert len(set(seen)) > 1
