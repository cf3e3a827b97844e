"""Results of trials: settings that matter are found, others are not, and too few trials are reported as such."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.helpers.searches import SPACE, searched
from tsforecast.search.figures import progress, skill_text
from tsforecast.search.importance import importance
from tsforecast.search.report import best_trials
from tsforecast.search.results import (
    axis_of,
    best,
    cv_results,
    failures,
    pairs,
    score_floor,
    scored,
    short_number,
    value_text,
    varied,
)
from tsforecast.search.space import Space, log
from tsforecast.search.storage import TrialRecord, append_event, read_log, trials_table
from tsforecast.search.suggest import remaining_jobs


def trials_of(space: Space, count: int, score: object, seed: int = 0) -> pd.DataFrame:
    """Return trials at random with a score of their settings and of noise."""
    random = np.random.default_rng(seed)
    tried = []
    for i in range(count):
        settings = space.draw(random)
        skills = {1: float(score(settings, random.normal()))}
        tried.append(TrialRecord(space.encode(settings), skills, 1.0, ended=True, trial=i + 1))
    return trials_table(tried, space, 1)


@pytest.mark.thorough
@pytest.mark.parametrize("seed", [0, 1])
def test_the_setting_that_matters_is_found_and_those_that_do_not_reach_zero(seed: int) -> None:
    space = Space.of(SPACE, 24)
    trials = trials_of(
        space, 80, lambda one, noise: -0.03 * (np.log10(one["learning_rate"]) + 2) ** 2 + 0.01 * noise, seed
    )
    shares = {share.setting: share for share in importance(trials, space).shares}
    assert next(iter(shares)) == "learning_rate"
    assert shares["learning_rate"].low > 0.2
    for name in set(SPACE) - {"learning_rate"}:
        assert shares[name].low <= 0.01, name
        assert shares[name].high < shares["learning_rate"].low, name
        assert abs(shares[name].mean) < 0.05, name


@pytest.mark.thorough
def test_shares_are_those_of_the_variance_that_a_setting_makes() -> None:
    space = Space.of({"units": [1, 2, 3, 4], "layers": [1, 2, 3, 4], "dropout": (0.0, 0.5)})
    trials = trials_of(space, 400, lambda one, noise: 0.1 * one["units"] + 0.05 * one["layers"] + 0 * noise)
    shares = {share.setting: share for share in importance(trials, space).shares}
    for name, share in (("units", 0.8), ("layers", 0.2), ("dropout", 0.0)):  # variances of 0.1 u and 0.05 l: 4 to 1
        assert shares[name].mean == pytest.approx(share, abs=0.08), name


@pytest.mark.thorough
def test_intervals_are_wider_where_trials_are_fewer() -> None:
    space = Space.of({"units": [1, 2, 3, 4], "dropout": (0.0, 0.5)})
    widths = []
    for count in (25, 250):
        trials = trials_of(space, count, lambda one, noise: 0.1 * one["units"] + 0.05 * noise)
        (share,) = [share for share in importance(trials, space).shares if share.setting == "units"]
        widths.append(share.high - share.low)
    assert widths[0] > 2 * widths[1]


@pytest.mark.thorough
def test_a_setting_that_some_cells_lack_carries_no_information_about_the_cell() -> None:
    space = Space.of({"cell": ["gru", "conv1d"], "kernel_size": [2, 3, 5]})
    trials = trials_of(space, 100, lambda one, noise: 0.2 * (one["cell"] == "gru") + 0.01 * noise)
    shares = {share.setting: share for share in importance(trials, space).shares}
    assert shares["cell"].low > 0.4
    assert abs(shares["kernel_size"].mean) < 0.01


@pytest.mark.thorough
def test_importance_is_the_same_each_time() -> None:
    space = Space.of({"units": [1, 2, 3, 4], "dropout": (0.0, 0.5)})
    trials = trials_of(space, 40, lambda one, noise: one["units"] + noise)
    assert importance(trials, space) == importance(trials, space)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("count", "score", "words"),
    [
        (12, lambda one, noise: noise, "at least 20 trials with a score are needed, there are 12"),
        (40, lambda one, noise: 0.0, "all trials have the same score"),
        (40, lambda one, noise: noise, "settings do not predict the score of a trial"),
        (0, lambda one, noise: noise, "at least 20 trials with a score are needed, there are 0"),
    ],
)
def test_where_importance_cannot_be_estimated_the_reason_is_given(count: int, score: object, words: str) -> None:
    space = Space.of({"units": [1, 2, 3, 4], "dropout": (0.0, 0.5)})
    found = importance(trials_of(space, count, score), space)
    assert (found.shares, found.reason) == ((), words)


def test_a_space_of_which_one_value_was_seen_has_no_importance() -> None:
    space = Space.of({"units": [4]})
    trials = trials_of(space, 30, lambda one, noise: noise)
    assert importance(trials, space).reason == "no setting has more than one value"
    assert varied(trials, space) == []
    assert pairs(trials, space) == []


@pytest.mark.thorough
def test_one_trial_that_diverged_does_not_make_other_settings_vanish() -> None:
    space = Space.of({"units": [1, 2, 3, 4], "dropout": (0.0, 0.5)})
    trials = trials_of(space, 60, lambda one, noise: 0.1 * one["units"] + 0.02 * noise)
    trials.loc[5, "best_score"] = -900.0
    first = importance(trials, space).shares[0]
    assert first.setting == "units"
    assert first.mean > 0.2


def test_the_floor_lies_below_most_trials_and_not_at_those_that_diverged() -> None:
    for scores in ([0.3, 0.2, 0.1], [-3.0, -4.0, -5.0], [0.0, 0.0, 0.0], [0.1, -900.0, -1e9]):
        trials = pd.DataFrame({"trial": [1, 2, 3], "best_score": scores})
        assert min(max(scores), 0) - 1 <= score_floor(trials) < max(scores)


def test_learning_curves_reach_down_to_where_trials_are_whose_best_is_untrained() -> None:
    trials = pd.DataFrame({"trial": [1, 2, 3], "best_score": 0.0, "last_score": [-0.2, -0.3, -0.4]})
    assert score_floor(trials, "last_score") < -0.4 < score_floor(trials)


def test_cells_of_a_pair_are_means_and_bests_of_their_trials(tmp_path: Path) -> None:
    search = searched(tmp_path)
    trials = scored(search.trials)
    found = {(pair.across.name, pair.down.name): pair for pair in pairs(search.trials, search.space)}
    assert list(found) == [
        ("units", "layers"),
        ("cell", "layers"),
        ("cell", "window"),
        ("units", "dropout"),
        ("optimizer", "learning_rate"),
    ]
    pair = found["cell", "window"]
    assert (pair.across.bins, pair.down.bins) == (
        ("rnn", "gru", "lstm", "conv1d"),
        ("1 season", "2 seasons", "168"),
    )
    mine = trials[(trials["param_cell"] == "gru") & (trials["param_window"] == "2 seasons")]["best_score"]
    assert (pair.mean[1, 1], pair.best[1, 1], pair.count[1, 1]) == (pytest.approx(mine.mean()), mine.max(), len(mine))
    pair = found["optimizer", "learning_rate"]
    assert pair.down.bins == ("0.0001 to 0.00056", "0.00056 to 0.0032", "0.0032 to 0.018", "0.018 to 0.1")
    low = (trials["param_learning_rate"] < 0.00056) & (trials["param_optimizer"] == "sgd")
    assert pair.count[0, 2] == low.sum() > 0
    for pair in found.values():
        assert pair.count.sum() == len(trials)
        assert np.array_equal(pair.count == 0, np.isnan(pair.mean))


def test_choices_stand_in_order_where_they_are_numbers() -> None:
    space = Space.of({"units": [64, 8, 32], "anchor": ["last", None], "batch": list(range(12, 0, -1))}, 24)
    assert axis_of(space, "units").labels == ("8", "32", "64")
    assert axis_of(space, "anchor").labels == ("last", "none")
    assert axis_of(space, "units").bins == ("8", "32", "64")
    assert axis_of(space, "batch").bins == ("1 to 2", "3 to 4", "5 to 6", "7 to 8", "9 to 10", "11 to 12")
    assert [axis_of(space, "batch").bin(value) for value in (1, 2, 3, 12)] == [0, 0, 1, 5]
    assert [axis_of(space, "units").fraction(value) for value in (8, 32, 64)] == [0, 0.5, 1]


def test_a_few_whole_numbers_have_a_place_and_a_bin_each_unless_they_lie_by_size() -> None:
    space = Space.of({"layers": (1, 3), "units": log(2, 6)})
    layers, units = axis_of(space, "layers"), axis_of(space, "units")
    assert layers.labels == layers.bins == ("1", "2", "3")
    assert [layers.bin(value) for value in (1, 2, 3)] == [0, 1, 2]
    assert units.labels == ("2", "3", "6")
    assert units.fraction(12**0.5) == pytest.approx(0.5)  # where the middle label is
    assert units.bins == ("2 to 2.6", "2.6 to 3.5", "3.5 to 4.6", "4.6 to 6")
    assert [units.bin(value) for value in (2, 3, 4, 5, 6)] == [0, 1, 2, 3, 3]


@pytest.mark.parametrize("domain", [(1, 3), (16, 256), (0.0, 0.5), log(1e-4, 1e-1), [1, 2], ["a", "b"]])
def test_every_value_has_a_place_and_a_bin(domain: object) -> None:
    space, random = Space.of({"x": domain}), np.random.default_rng(0)
    axis = axis_of(space, "x")
    ends = domain if isinstance(domain, list) else space.domains["x"].bounds()
    for value in (*ends, *(space.draw(random)["x"] for _ in range(20))):
        assert 0 <= axis.fraction(value) <= 1
        assert 0 <= axis.bin(value) < len(axis.bins)
    assert [axis.fraction(value) for value in ends] == pytest.approx([0, 1])
    assert (axis.bin(ends[0]), axis.bin(ends[1])) == (0, len(axis.bins) - 1)


def test_the_best_and_the_failures_are_those_of_the_journal(tmp_path: Path) -> None:
    search = searched(tmp_path)
    trials = search.trials
    assert best(trials, 3)["best_score"].tolist() == sorted(trials["best_score"].dropna(), reverse=True)[:3]
    failed = failures(trials)
    assert list(failed.items()) == [("ValueError: loss is NaN at epoch 3", [8, 48]), ("killed", [28])]


@pytest.mark.parametrize("by", ["trial", "seconds"])
def test_the_line_of_progress_is_the_best_until_then(by: str) -> None:
    trials = pd.DataFrame({"trial": [0, 1, 2, 3, 4], "best_score": [0, 0.1, 0.3, 0.2, 0.4], "status": "finished"})
    trials["seconds"] = [0.0, 5.0, 4.0, 1.0, np.nan]
    (line,) = [line for line in progress(trials, "drift", by).axes[0].lines if line.get_label().startswith("best")]
    times, scores = line.get_data()
    assert list(times) == ([1, 2, 3, 4] if by == "trial" else [1, 4, 5])
    assert list(scores) == ([0.1, 0.3, 0.3, 0.4] if by == "trial" else [0.2, 0.3, 0.3])


def test_a_search_that_just_began_has_nothing_to_tell(tmp_path: Path) -> None:
    search = searched(tmp_path, trials=0, over=False)
    append_event(tmp_path, "began", 1, code={"cell": 0})
    assert len(scored(search.trials)) == len(best(search.trials, 3)) == len(failures(search.trials)) == 0
    assert score_floor(search.trials) == -1


def test_trials_are_listed_with_their_best_epoch_and_ranked() -> None:
    space = Space.of({"units": [8, 16], "cell": ["gru"]})
    skills = [{0: 0.0, 1: -0.1}, {0: 0.0, 1: 0.2}]
    records = [TrialRecord({"units": i, "cell": 0}, skills[i], 1.0, trial=i + 1) for i in (0, 1)]
    trials = trials_table(records, space, 1)
    assert trials["best_epoch"].tolist() == [0, 0, 1]
    assert best_trials(trials, space).rows[0] == ("2", "+20.0%", "16", "1 of 1", "1.0")
    candidates = cv_results(trials)
    assert candidates["params"] == [{"units": 8, "cell": "gru"}, {"units": 16, "cell": "gru"}]
    assert candidates["rank_test_score"].tolist() == [2, 1]


def test_a_log_holds_the_untrained_score_beside_those_of_epochs(tmp_path: Path) -> None:
    append_event(tmp_path, "began", 1, code={"units": 0})
    append_event(tmp_path, "epoch", 1, code={"units": 0}, epoch=1, skill=0.2, start=0.1, seconds=2.0)
    assert read_log(tmp_path)[0].skills == {0: 0.1, 1: 0.2}


def test_trials_that_were_cut_short_are_the_first_that_are_left() -> None:
    done = TrialRecord({"units": 0}, trial=1, skills={0: 0.0, 1: 0.2}, ended=True)
    cut = TrialRecord({"units": 1}, trial=2, skills={0: 0.0, 1: 0.1}, seconds=2.0)
    jobs = remaining_jobs([{"units": i} for i in range(3)], [done, cut], epochs=4)
    assert [(job["trial"], job["reported"]) for job in jobs] == [(2, 1), (3, 0)]


def test_a_range_has_labels_at_its_ends_and_middle_and_four_bins() -> None:
    axis = axis_of(Space.of({"dropout": (0.0, 0.4)}), "dropout")
    assert axis.labels == ("0", "0.2", "0.4")
    assert axis.bins == ("0 to 0.1", "0.1 to 0.2", "0.2 to 0.3", "0.3 to 0.4")


def test_numbers_are_displayed_with_few_digits() -> None:
    assert [skill_text(skill) for skill in (0.123, -0.004, -0.2)] == ["+12%", "\N{MINUS SIGN}0.4%", "\N{MINUS SIGN}20%"]
    assert [value_text(value) for value in (0.00123456, "gru", None, True)] == ["0.00123", "gru", "none", "yes"]
    assert [short_number(number) for number in (0.12345, 1e-5, 128, 0.0001, -0.0)] == [
        "0.12",
        "1e-05",
        "128",
        "0.0001",
        "0",
    ]
