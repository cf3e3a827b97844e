"""All trials are scored on the same targets beside the naive forecast, and luck of the best of many is estimated."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from tests.helpers.forecasters import small, wave
from tsforecast.data.panel import Panel
from tsforecast.errors import DataError, ParameterError
from tsforecast.evaluation.leaderboard import leaderboard
from tsforecast.forecasters.naive import NaiveForecaster
from tsforecast.forecasters.neural import NeuralForecaster
from tsforecast.forecasters.reduction import ReductionForecaster
from tsforecast.search.objective import forecast_objectives, honest_skill
from tsforecast.search.search import RaySearch
from tsforecast.search.trial import Score, TrialSetup, losses_of_trial, run_trial

PANEL = Panel.from_array([wave(90, 0), wave(70, 1)], season_length=6)


@pytest.mark.sample(3)
@pytest.mark.parametrize("metric", ["mase", "mae", "rmse", "smape", "rmsse", "crps"])
def test_skill_is_that_of_a_leaderboard_of_the_same_targets(metric: str) -> None:
    panel = Panel.from_array(wave(90), season_length=6)
    fold = forecast_objectives(panel, 3, 20, 1, metric)[0]
    board = leaderboard(["mean", "window-average"], panel, horizon=3, origins=18, step=1, metric=metric)
    model = NaiveForecaster(horizon=3).fit(fold.part)
    assert fold.reference == board.reference
    skill = board.table.set_index("model").loc["naive", "skill"]
    # A board scales by the past of each cutoff, a search by what trains.
    assert fold.skill(fold.losses(model)) == pytest.approx(
        skill, rel=0.01 if metric in ("mase", "rmsse", "crps") else 1e-9
    )


def test_distributions_are_ranked_beside_the_best_naive_one_and_points_are_sure() -> None:
    fold = forecast_objectives(PANEL, 3, 0.2, 1, "crps")[0]
    reference = fold.baseline().fit(fold.part)
    ranges = reference.distribution(fold.context, 3)
    scores = ranges.crps(fold.truth)[..., 0] / fold.scale
    np.testing.assert_allclose(fold.naive, scores.mean(axis=1))
    totals = [fold.total(each, fold.weights) for each in fold.family]
    assert totals == sorted(totals)
    network = NeuralForecaster(window=6, horizon=3, units=4, max_epochs=1, random_state=0).fit(fold.part)
    points = forecast_objectives(PANEL, 3, 0.2, 1, "mase")[0]
    np.testing.assert_allclose(fold.losses(network), points.losses(network))
    assert fold.total(fold.naive, fold.weights) < points.total(points.losses(reference), points.weights)


def test_a_constant_past_ranks_distributions_in_their_own_unit() -> None:
    flat = Panel.from_array(np.r_[np.full(40, 2.0), 5.0, 7.0, 5.0], season_length=6)
    fold = forecast_objectives(flat, 1, 3, 1, "crps")[0]
    assert fold.losses(NaiveForecaster(horizon=1).fit(fold.part)) == pytest.approx([3.0, 2.0, 2.0])


def test_a_network_without_a_distribution_is_no_model_for_crps() -> None:
    search = RaySearch(NeuralForecaster(horizon=3), {"units": [2, 4]}, metric="crps")
    with pytest.raises(ParameterError) as refused:
        search.fit(PANEL)
    assert str(refused.value) == (
        "metric ranks distributions, which a network of point forecasts does not learn: got 'crps'; train with "
        "loss='normal' or that of another distribution"
    )


def test_the_targets_do_not_depend_on_the_window_and_lie_behind_what_trains() -> None:
    fold = forecast_objectives(PANEL, 3, 0.2, 1, "mase")[0]
    assert fold.part.lengths.tolist() == [72, 56]
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


def luck(
    steps: int, horizon: int = 1, trials: int = 5, better: float = 0.0, baselines: int = 1
) -> tuple[float, NDArray[np.float64]]:
    """Return the mean best score of 100 searches of ten epochs, and of each the score less optimism and true skill.

    Losses of neighbouring cutoffs share targets, those of epochs correlate by 0.8, and all are as large as those of
    naive on average, but for the first trial, which gets `better` from epoch to epoch. With several baselines as good
    as each other, the best of them is the reference.
    """
    random, epochs, found = np.random.default_rng(0), 10, []
    fold = forecast_objectives(Panel.of(random.normal(size=steps + 100)), horizon, steps, 1, "mae")[0]
    true = np.zeros((trials, epochs))
    true[0] = better * np.linspace(0.1, 1, epochs)
    for _ in range(100):
        shocks = random.normal(size=(trials, epochs, steps))
        for epoch in range(1, epochs):
            shocks[:, epoch] = 0.8 * shocks[:, epoch - 1] + 0.6 * shocks[:, epoch]
        noise = sliding_window_view(shocks, horizon, axis=2).sum(axis=-1) / np.sqrt(horizon)
        losses = 1 - true[..., None] + 0.6 * noise  # (trials, epochs, n)
        naive = np.ones((1, losses.shape[-1]))
        if baselines > 1:
            naive = 1 + 0.6 * random.normal(size=(baselines, losses.shape[-1]))
        search = replace(fold, family=naive[naive.sum(axis=1).argsort()])
        skills = np.maximum(search.skill(losses), 0)
        honest = honest_skill([search], losses)
        assert honest.best == pytest.approx(skills.max())
        chosen = true.flat[skills.argmax()] if skills.any() else 0.0
        found.append((honest.best, honest.best - honest.optimism - chosen))
    best, left = np.transpose(found)
    return float(best.mean()), left


@pytest.mark.long
@pytest.mark.parametrize(
    ("steps", "horizon", "trials", "best"),
    [
        (60, 1, 5, 0.14),
        (35, 12, 5, 0.7),  # 24 cutoffs that overlap
        (4, 1, 5, 0.5),  # few of them
        pytest.param(60, 1, 40, 0.2, marks=pytest.mark.thorough),
        pytest.param(35, 12, 40, 1.0, marks=pytest.mark.thorough),
        pytest.param(71, 12, 1, 0.2, marks=pytest.mark.thorough),
        pytest.param(300, 12, 5, 0.2, marks=pytest.mark.thorough),  # parts of several cutoffs
    ],
)
def test_the_best_epoch_of_trials_as_good_as_naive_looks_better_by_what_is_estimated(
    steps: int, horizon: int, trials: int, best: float
) -> None:
    observed, left = luck(steps, horizon, trials)
    assert observed > best
    assert abs(left.mean()) < 2 * left.std() / np.sqrt(len(left))


@pytest.mark.thorough
def test_the_best_of_several_baselines_looks_better_than_it_is_as_well() -> None:
    _, left = luck(60, baselines=5)
    assert abs(left.mean()) < 2 * left.std() / np.sqrt(len(left))


def test_where_all_cutoffs_share_targets_all_of_a_score_may_be_luck() -> None:
    fold = forecast_objectives(Panel.of(np.random.default_rng(0).normal(size=120)), 12, 20, 1, "mae")[0]
    found = honest_skill([fold], [0.5 * fold.naive[None]])
    assert (found.best, found.optimism, found.high) == (pytest.approx(0.5), pytest.approx(0.5), np.inf)
    assert not found.is_hopeless


def test_what_shares_targets_with_a_part_does_not_choose_for_it() -> None:
    panel = Panel.from_array(np.random.default_rng(0).normal(size=(4, 60, 1)), season_length=1)
    fold = forecast_objectives(panel, 3, 12, 1, "mae")[0]
    begin = fold.context.lengths
    for part, apart in enumerate(fold.parts.apart):  # of all series: they may share what happens at a time
        own = begin[fold.parts.of == part]
        assert np.array_equal(apart, np.abs(begin[:, None] - own).min(axis=1) >= 3)
    assert fold.parts.blocks == 4
    short = forecast_objectives(panel, 6, 12, 1, "mae")[0]  # two horizons: series are left out, one by one
    assert np.array_equal(short.parts.of, short.context.series)
    assert np.array_equal(short.parts.apart, short.context.series != np.arange(4)[:, None])


@pytest.mark.parametrize("steps", [60, pytest.param(12, marks=pytest.mark.thorough)])
def test_little_is_taken_from_a_skill_that_is_real(steps: int) -> None:
    observed, left = luck(steps, better=0.5)
    assert observed > 0.49
    assert -0.05 < left.mean() < 0.02


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
    assert folds[0].skill(losses_of_trial(tmp_path, 1)) == pytest.approx(every)


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
    with pytest.raises(Cut):
        run_trial(model, {"window": 12}, tmp_path / "killed", cut, pauses=False)
    assert not (tmp_path / "killed" / "fit").exists()  # a minute is not over: it trains again
    losses = tmp_path / "killed" / "losses.npy"
    losses.write_bytes(losses.read_bytes()[:-9])  # in the midst of writing
    assert scores({"window": 12}, tmp_path / "killed") == whole[1:]
    assert np.array_equal(losses_of_trial(tmp_path / "killed", 1), losses_of_trial(tmp_path / "whole", 1))


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


def test_each_epoch_of_a_network_is_scored_by_its_distribution(tmp_path: Path) -> None:
    folds = forecast_objectives(PANEL, 3, 10, 1, "crps")
    setup = TrialSetup(NeuralForecaster(units=4, random_state=0, loss="normal"), folds, 2, 0)
    found: list[Score] = []
    run_trial(setup, {"window": 12, "learning_rate": 0.05}, tmp_path, found.append)
    every = [found[0].start, *(one.skill for one in found)]
    assert len(set(every)) == 3
    model = setup.model({"window": 12, "learning_rate": 0.05}).fit(folds[0].part)
    crps = model.distribution(folds[0].context, 3).crps(folds[0].truth)[..., 0] / folds[0].scale
    assert losses_of_trial(tmp_path, 1)[2] == pytest.approx(crps.mean(axis=1), rel=1e-6)
    assert every == pytest.approx(folds[0].skill(losses_of_trial(tmp_path, 1)))


def test_a_forecaster_without_epochs_is_scored_once(tmp_path: Path) -> None:
    found = scores({"window": 6}, tmp_path, folds=2, model=ReductionForecaster())
    assert [one.epoch for one in found] == [0]
    assert found[0].skill == found[0].start == found[0].best_skill


@pytest.mark.parametrize("folds", [1, 2])
def test_a_network_of_no_epochs_is_scored_once(folds: int, tmp_path: Path) -> None:
    for _ in range(2):  # at first, and from its folder
        found = scores({"window": 12, "anchor": "seasonal"}, tmp_path, folds, epochs=0)
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
